/* SPDX-License-Identifier: Apache-2.0 */
/* Carrying FUSE requests from /dev/fuse to virtqueues, and replies back. */
#ifndef CULVERT_BRIDGE_H
#define CULVERT_BRIDGE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vuf.h"

#define BRIDGE_WORKERS_MAX 64u

/* Why a bridge has come down. */
enum bridge_end {
	BRIDGE_RUNS,
	BRIDGE_UNMOUNTED, /* the kernel has taken the mount away */
	BRIDGE_HUNG_UP,   /* the daemon has closed the connection */
	BRIDGE_BROKEN,    /* the daemon has broken a queue, or said so */
};

struct bridge_buf;
struct bridge;

/**
 * struct bridge_worker - a thread with a FUSE descriptor and a request queue.
 * @b:      constant.
 * @ring:   its own.
 * @fd:     its own; closed by bridge_free().
 * @thread: valid when @started. Main thread.
 * @spin:   for how long looking at the ring has paid of late, in microseconds. The worker's.
 */
struct bridge_worker {
	struct bridge *b;
	struct vuf_ring *ring;
	int fd;
	pthread_t thread;
	bool started;
	unsigned int spin;
};

/**
 * struct bridge - a mount joined to a daemon.
 * @v:        the front-end, with one ring for urgent requests and one for each worker. Borrowed.
 * @nbufs, @bufs: all buffers; constant.
 * @lock:     guards @free_bufs; a leaf lock.
 * @free_bufs: buffers that hold no request.
 * @hiprio_lock: guards ring 0; @lock may be taken under it.
 * @worker, @nworkers: constant once they run.
 * @end_fd:   eventfd that is readable from when @end is set. Constant.
 * @end:      the first reason to stop.
 */
struct bridge {
	struct vuf *v;
	struct bridge_buf *bufs;
	unsigned int nbufs;
	pthread_mutex_t lock;
	struct bridge_buf *free_bufs;
	pthread_mutex_t hiprio_lock;
	struct bridge_worker worker[BRIDGE_WORKERS_MAX];
	unsigned int nworkers;
	int end_fd;
	_Atomic int end;
};

/**
 * bridge_vuf_conf() - what a front-end for a bridge is to be like.
 * @queues: request queues.
 * @packed: packed rings.
 *
 * Guest memory is virtual: only what requests use is ever touched. The result points to static memory.
 */
struct vuf_conf bridge_vuf_conf(unsigned int queues, bool packed);

/** bridge_new() - over a front-end made with bridge_vuf_conf() and brought up. 0 or -errno. */
int bridge_new(struct vuf *v, struct bridge **ret);

/** bridge_free() - stop the workers and close what is the bridge's. Accepts NULL. */
void bridge_free(struct bridge *b);

/**
 * bridge_init() - carry the kernel's INIT to the daemon and the answer back.
 * @fd: the mount's descriptor.
 *
 * Flags that need more than messages (DAX, passthrough of descriptors, io_uring) are withheld from the
 * daemon. Returns 0, -EPROTO when the daemon's answer is none, or its errno. Main thread, before
 * bridge_start().
 */
int bridge_init(struct bridge *b, int fd);

/** bridge_start() - start a worker for each queue; @fd becomes the first one's. 0 or -errno. */
int bridge_start(struct bridge *b, int fd);

#endif
