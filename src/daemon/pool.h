/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for requests that may wait for a disk. */
#ifndef CULVERT_POOL_H
#define CULVERT_POOL_H

#include <stdbool.h>

struct pool;

/**
 * struct pool_task - a piece of work, embedded in what it is about.
 * @run:  called once, on a thread of the pool; the task is its own again from then on.
 * @next: the pool's, while the task waits.
 */
struct pool_task {
	void (*run)(struct pool_task *task);
	struct pool_task *next;
};

/**
 * pool_new() - a pool without threads; they are started as work comes in.
 * @max:         threads at most; above 0.
 * @linger_ms:   a thread ends that had nothing to do for so long; 0 = none does.
 * @thread_init: run once on every thread before it works; 0 or -errno. May be NULL.
 * @arg:         its argument.
 *
 * Returns 0 or -ENOMEM.
 */
int pool_new(unsigned int max, unsigned int linger_ms, int (*thread_init)(void *arg), void *arg,
	     struct pool **ret);

/**
 * pool_submit() - have a task run; first come, first served. Any thread.
 *
 * Returns 0, or a negative errno when there is no thread and none can be started: the task was not
 * taken.
 */
int pool_submit(struct pool *pool, struct pool_task *task);

/**
 * pool_stop() - take no more work, finish what was taken, end the threads.
 * @timeout_ms: how long to wait for that.
 *
 * Returns whether all threads have ended; while one is stuck in a task the pool must not be freed.
 * One thread.
 */
bool pool_stop(struct pool *pool, unsigned int timeout_ms);

/** pool_free() - free a pool that pool_stop() has stopped. Accepts NULL. */
void pool_free(struct pool *pool);

#endif
