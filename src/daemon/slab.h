/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of one queue: preallocated, taken, completed elsewhere, and given up. */
#ifndef CULVERT_SLAB_H
#define CULVERT_SLAB_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "gmem.h"
#include "pool.h"
#include "request.h"
#include "vq.h"

struct slab;

/**
 * struct queue_req - a request and its descriptor chain.
 * @slab:     where it belongs. Constant.
 * @next:     in the list that it is in: free (owner), completed (slab's lock), exclusive
 *            (work_lock).
 * @gm:       reference on the table of the chain while the request is away, else NULL. Owner.
 * @used:     bytes of the answer. Whoever answers, then the owner.
 * @held:     descriptors of the ring that it takes up while it waits for a lock, else 0. Owner.
 * @kept:     with its thread, while another one serves the queue. Owner.
 * @interruptible: the session knows it by its unique. Whoever runs it.
 * @chain:    its array of segments is behind the struct. Owner.
 */
struct queue_req {
	struct request req;
	struct pool_task task;
	struct slab *slab;
	struct queue_req *next;
	struct gmem *gm;
	size_t used;
	uint16_t held;
	bool kept;
	bool interruptible;
	struct vq_chain chain;
	struct iovec iov[];
};

/**
 * struct slab - all that a queue can have on the way at a time.
 * @user, @wake_fd, @size, @max, @stride, @mem: constant. @size: descriptors of the ring; @max: requests.
 * @free:      requests that were given back. Owner.
 * @fresh:     requests from here on were never used. Owner.
 * @away:      requests that left the owner and were not pushed yet. Owner.
 * @held:      what those of them hold that wait for locks: descriptors of the ring. Owner.
 * @lock:      a leaf lock.
 * @arrived:   signalled when @completed gets its first entry.
 * @completed: answered elsewhere, to be pushed by the owner; latest first. Under @lock.
 * @given_up:  the owner has let go: completions are dropped. Under @lock.
 * @left:      how many of them are to come then; the last frees the slab. Under @lock.
 *
 * The owner is the thread that owns the queue (queue.c).
 */
struct slab {
	void *user;
	int wake_fd;
	unsigned int size;
	unsigned int max;
	size_t stride;
	uint8_t *mem;
	struct queue_req *free;
	unsigned int fresh;
	unsigned int away;
	unsigned int held;
	pthread_mutex_t lock;
	pthread_cond_t arrived;
	struct queue_req *completed;
	bool given_up;
	unsigned int left;
};

/**
 * slab_new() - requests for a ring; memory is used as they are.
 * @size:    descriptors of the ring.
 * @max:     requests at a time; not above @size.
 * @wake_fd: eventfd that is signalled when a completed request waits for the owner; stays the
 *           caller's.
 * @user:    the caller's.
 *
 * NULL: out of memory.
 */
struct slab *slab_new(unsigned int size, unsigned int max, int wake_fd, void *user);

/** slab_free() - free it; nothing may be away. Accepts NULL. */
void slab_free(struct slab *slab);

/** slab_get() - the request that was given back last, or NULL when all are in use. Owner. */
struct queue_req *slab_get(struct slab *slab);

/** slab_put() - give a request back. Owner. */
void slab_put(struct queue_req *r);

/**
 * slab_complete() - a request that is away was answered. Any thread.
 *
 * The owner gets it by slab_completed(), or it is dropped when the slab was given up.
 */
void slab_complete(struct queue_req *r);

/** slab_completed() - all completed requests, oldest first, linked by @next. Owner. */
struct queue_req *slab_completed(struct slab *slab);

/**
 * slab_wait() - sleep until there is a completed request. False: @until (CLOCK_MONOTONIC, ns) came
 * first.
 */
bool slab_wait(struct slab *slab, int64_t until);

/**
 * slab_give_up() - let go of requests that are away; the last to be completed frees the slab.
 * Owner.
 * @ret_list: what was completed just in time, as slab_completed() gives it.
 *
 * Returns how many were given up. With 0 the slab stays the owner's.
 */
unsigned int slab_give_up(struct slab *slab, struct queue_req **ret_list);

#endif
