/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that wait for a lock of the host, each for one, and can be called off. */
#ifndef CULVERT_LOCK_WAIT_H
#define CULVERT_LOCK_WAIT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct lock_waits;

/**
 * struct lock_wait - a wait, embedded in what it is about.
 * @block: one system call that may sleep: 0, -EINTR after a signal, or another negative errno. The
 *         wait's thread calls it, and again after an -EINTR that meant nothing. What else could have
 *         called the wait off before it was in the list, it looks at first: -ECANCELED.
 * @end:   told once, on the wait's thread, how it ended: 0, or -errno (-ECANCELED: called off). The
 *         wait is the caller's again.
 * @node, @fh: what is waited for, for those who call it off. Constant.
 * @req:   the same; the request. Constant.
 * The rest: private. @waits, @timer: constant while in the list. @cancelled: called off.
 * @armed, @next, @prev: under lock_waits.lock.
 */
struct lock_wait {
	int (*block)(struct lock_wait *w);
	void (*end)(struct lock_wait *w, int result);
	uint64_t node;
	uint64_t fh;
	const void *req;
	struct lock_waits *waits;
	timer_t timer;
	_Atomic bool cancelled;
	bool armed;
	struct lock_wait *next;
	struct lock_wait *prev;
};

/**
 * struct lock_waits - those that are under way.
 * @lock:  guards what follows; a leaf lock, not held over @block and @end.
 * @ended: @count has become 0.
 * @max:   threads at most. Constant.
 * @count: threads.
 * @first: waits that can be called off.
 */
struct lock_waits {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	unsigned int max;
	unsigned int count;
	struct lock_wait *first;
};

/**
 * lock_waits_init() - for at most @max waits at a time. 0 or -errno.
 *
 * Takes SIGRTMAX for this process, with a handler that does nothing.
 */
int lock_waits_init(struct lock_waits *ws, unsigned int max);

/**
 * lock_waits_done() - call all waits off and wait until their threads have ended.
 * @timeout_ms: how long.
 *
 * False: some have not, being stuck in the host's file system: what they use must stay.
 */
bool lock_waits_done(struct lock_waits *ws, unsigned int timeout_ms);

/**
 * lock_wait_start() - wait on a thread of its own; fields that are not private are set.
 *
 * 0, and @end will be called; or -ENOLCK: there are @max, or no thread can be had.
 */
int lock_wait_start(struct lock_waits *ws, struct lock_wait *w);

/** lock_wait_cancel() - call off all waits that @match: they end soon, with -ECANCELED if not granted. */
void lock_wait_cancel(struct lock_waits *ws,
		      bool (*match)(const struct lock_wait *w, const struct lock_wait *key),
		      const struct lock_wait *key);

#endif
