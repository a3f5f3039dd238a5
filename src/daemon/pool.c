// SPDX-License-Identifier: Apache-2.0
/* Threads for requests that may wait for a disk. */
/*
 * Theory of operation
 *
 * One list of tasks, first in first out, and up to @max threads that take from it. A thread is started
 * when a task arrives and more tasks wait than threads; it ends when it has had nothing to do for
 * @linger_ms, or with the pool. A slot of @threads is used again once its thread has ended. Whoever
 * starts one waits until it has initialised itself, so that a task is never accepted that nobody can
 * run: when that fails the pool grows no more, and with no thread at all tasks are refused.
 *
 * @lock guards everything; it is a leaf lock and not held while a task runs.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "log.h"
#include "pool.h"

/**
 * struct pool_thread - a slot for a thread.
 * @pool: constant.
 * @used: @id is to be joined. Under the pool's lock.
 * @ended: it takes no more tasks. Under the pool's lock.
 */
struct pool_thread {
	struct pool *pool;
	pthread_t id;
	bool used;
	bool ended;
};

/**
 * struct pool - see above.
 * @max, @linger_ms, @thread_init, @arg: constant.
 * The others: under @lock.
 */
struct pool {
	unsigned int max;
	unsigned int linger_ms;
	int (*thread_init)(void *arg);
	void *arg;
	pthread_mutex_t lock;
	pthread_cond_t work;    /* a task was added, or @stopping was set */
	pthread_cond_t changed; /* a thread was started or has ended */
	struct pool_task *first;
	struct pool_task **last;
	unsigned int waiting; /* tasks in the list */
	unsigned int idle;    /* threads that wait for one */
	unsigned int ready;   /* threads that can work and have not ended */
	int init_result;      /* of the thread that is being started: 1 = not known yet */
	bool starting;        /* somebody waits for a new thread */
	bool broken;          /* a thread could not be started: no more of them */
	bool stopping;
	struct pool_thread threads[];
};

int pool_new(unsigned int max, unsigned int linger_ms, int (*thread_init)(void *arg), void *arg,
	     struct pool **ret)
{
	struct pool *pool = calloc(1, sizeof(*pool) + max * sizeof(pool->threads[0]));
	pthread_condattr_t attr;

	if (!pool)
		return -ENOMEM;
	pool->max = max;
	pool->linger_ms = linger_ms;
	pool->thread_init = thread_init;
	pool->arg = arg;
	pool->last = &pool->first;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, &attr);
	pthread_cond_init(&pool->changed, &attr);
	pthread_condattr_destroy(&attr);
	*ret = pool;
	return 0;
}

static struct timespec in_ms(unsigned int ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += ms / 1000;
	ts.tv_nsec += (long)(ms % 1000) * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	return ts;
}

/* The next task; NULL: the thread shall end. */
static struct pool_task *take(struct pool *pool)
{
	struct pool_task *task;
	struct timespec until;
	int r = 0;

	if (!pool->first)
		until = in_ms(pool->linger_ms);
	pool->idle++;
	while (!pool->first && !pool->stopping && r != ETIMEDOUT)
		r = pool->linger_ms ? pthread_cond_timedwait(&pool->work, &pool->lock, &until)
				    : pthread_cond_wait(&pool->work, &pool->lock);
	pool->idle--;
	task = pool->first;
	if (task) {
		pool->first = task->next;
		if (!pool->first)
			pool->last = &pool->first;
		pool->waiting--;
	}
	return task;
}

/* seccomp: prctl 0==PR_SET_NAME */
static void *pool_main(void *arg)
{
	struct pool_thread *self = arg;
	struct pool *pool = self->pool;
	struct pool_task *task;
	int r = pool->thread_init ? pool->thread_init(pool->arg) : 0;

	prctl(PR_SET_NAME, "virtiofsd-pool");
	pthread_mutex_lock(&pool->lock);
	pool->init_result = r;
	if (r == 0) {
		pool->ready++;
		pthread_cond_broadcast(&pool->changed);
		while ((task = take(pool))) {
			pthread_mutex_unlock(&pool->lock);
			task->run(task);
			pthread_mutex_lock(&pool->lock);
		}
		pool->ready--;
	}
	self->ended = true;
	pthread_cond_broadcast(&pool->changed);
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Wait for a thread that has ended, or will. It does not need the lock for that any more. */
static void join(struct pool_thread *thread)
{
	if (thread->used)
		pthread_join(thread->id, NULL);
	thread->used = thread->ended = false;
}

/* Under the lock, which is given up meanwhile. */
static void start_thread(struct pool *pool)
{
	struct pool_thread *slot = pool->threads;
	int r;

	while (slot->used && !slot->ended)
		slot++;
	join(slot);
	slot->pool = pool;
	pool->starting = true;
	pool->init_result = 1;
	r = -pthread_create(&slot->id, NULL, pool_main, slot);
	if (r == 0) {
		slot->used = true;
		while (pool->init_result == 1)
			pthread_cond_wait(&pool->changed, &pool->lock);
		r = pool->init_result;
	}
	pool->starting = false;
	pthread_cond_broadcast(&pool->changed);
	if (r < 0) {
		pool->broken = true;
		log_warn("the thread pool stays at %u threads: %s", pool->ready, strerror(-r));
	}
}

int pool_submit(struct pool *pool, struct pool_task *task)
{
	int r = 0;

	pthread_mutex_lock(&pool->lock);
	if (pool->waiting >= pool->idle && pool->ready < pool->max && !pool->broken &&
	    !pool->starting && !pool->stopping)
		start_thread(pool);
	/* Somebody else may be starting the first one. */
	while (!pool->ready && pool->starting)
		pthread_cond_wait(&pool->changed, &pool->lock);
	if (pool->stopping) {
		r = -ESHUTDOWN;
	} else if (!pool->ready) {
		r = -EAGAIN;
	} else {
		task->next = NULL;
		*pool->last = task;
		pool->last = &task->next;
		pool->waiting++;
		pthread_cond_signal(&pool->work);
	}
	pthread_mutex_unlock(&pool->lock);
	return r;
}

bool pool_stop(struct pool *pool, unsigned int timeout_ms)
{
	const struct timespec until = in_ms(timeout_ms);
	int r = 0;

	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->work);
	while ((pool->ready || pool->starting) && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&pool->changed, &pool->lock, &until);
	r = pool->ready || pool->starting;
	pthread_mutex_unlock(&pool->lock);
	if (r)
		return false;
	for (unsigned int i = 0; i < pool->max; i++)
		join(&pool->threads[i]);
	return true;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	pthread_cond_destroy(&pool->changed);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}
