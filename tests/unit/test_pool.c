// SPDX-License-Identifier: Apache-2.0
/* The pool: order, growth, threads that cannot start, and its end. */
/*
 * Theory of operation
 *
 * Tasks say on a semaphore that they run and wait on another to go on, so that the test knows what each
 * thread is doing. Nothing is timed but pool_stop()'s own time limit.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "pool.h"
#include "util.h"

#define LONG_MS 60000

struct item {
	struct pool_task task;
	struct log *log;
	unsigned int number;
};

/* What happened; shared by the items of a test. */
struct log {
	sem_t began;
	sem_t go;
	_Atomic unsigned int inits;
	_Atomic unsigned int
		init_fails_from; /* the thread with this number and later ones; 0 = none */
	_Atomic unsigned int done;
	_Atomic unsigned int running;
	_Atomic unsigned int most_running;
	unsigned int order[64]; /* only used with one thread */
};

static int setup(void **state)
{
	struct log *log = calloc(1, sizeof(*log));

	sem_init(&log->began, 0, 0);
	sem_init(&log->go, 0, 0);
	*state = log;
	return 0;
}

static int teardown(void **state)
{
	struct log *log = *state;

	sem_destroy(&log->began);
	sem_destroy(&log->go);
	free(log);
	return 0;
}

static int init(void *arg)
{
	struct log *log = arg;
	unsigned int n = atomic_fetch_add(&log->inits, 1) + 1;

	return log->init_fails_from && n >= log->init_fails_from ? -EPERM : 0;
}

static void note(struct pool_task *task)
{
	struct item *item = container_of(task, struct item, task);

	item->log->order[atomic_fetch_add(&item->log->done, 1)] = item->number;
}

static void wait_to_go(struct pool_task *task)
{
	struct log *log = container_of(task, struct item, task)->log;
	unsigned int now = atomic_fetch_add(&log->running, 1) + 1;
	unsigned int most = atomic_load(&log->most_running);

	while (now > most && !atomic_compare_exchange_weak(&log->most_running, &most, now))
		;
	sem_post(&log->began);
	while (sem_wait(&log->go) < 0)
		;
	atomic_fetch_sub(&log->running, 1);
	atomic_fetch_add(&log->done, 1);
}

static void fifo(void **state)
{
	struct log *log = *state;
	struct item items[64];
	struct pool *pool;

	assert_int_equal(pool_new(1, 0, init, log, &pool), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(items); i++) {
		items[i] = (struct item){.task.run = note, .log = log, .number = i};
		assert_int_equal(pool_submit(pool, &items[i].task), 0);
	}
	/* What was taken is done before the end. */
	assert_true(pool_stop(pool, LONG_MS));
	pool_free(pool);
	assert_int_equal(log->inits, 1);
	assert_int_equal(log->done, ARRAY_SIZE(items));
	for (unsigned int i = 0; i < ARRAY_SIZE(items); i++)
		assert_int_equal(log->order[i], i);
}

static void grows_to_its_limit(void **state)
{
	struct log *log = *state;
	struct item items[10];
	struct pool *pool;

	assert_int_equal(pool_new(3, 0, init, log, &pool), 0);
	assert_int_equal(log->inits, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(items); i++) {
		items[i] = (struct item){.task.run = wait_to_go, .log = log};
		assert_int_equal(pool_submit(pool, &items[i].task), 0);
		if (i < 3)
			sem_wait(&log->began);
	}
	assert_int_equal(log->inits, 3);
	for (unsigned int i = 0; i < ARRAY_SIZE(items); i++)
		sem_post(&log->go);
	assert_true(pool_stop(pool, LONG_MS));
	pool_free(pool);
	assert_int_equal(log->done, ARRAY_SIZE(items));
	assert_int_equal(log->most_running, 3);
	assert_int_equal(log->inits, 3);
}

/* A thread that is free is used before another is started. */
static void reuses_threads(void **state)
{
	struct log *log = *state;
	struct item item = {.task.run = wait_to_go, .log = log};
	struct pool *pool;

	assert_int_equal(pool_new(8, 0, init, log, &pool), 0);
	for (unsigned int i = 0; i < 200; i++) {
		assert_int_equal(pool_submit(pool, &item.task), 0);
		sem_wait(&log->began);
		sem_post(&log->go);
		while (atomic_load(&log->done) != i + 1)
			sched_yield();
	}
	/* Others may start while one is on its way back to the list, but not for each task. */
	assert_true(log->inits < 8);
	assert_true(pool_stop(pool, LONG_MS));
	pool_free(pool);
}

static void no_thread_can_start(void **state)
{
	struct log *log = *state;
	struct item item = {.task.run = note, .log = log};
	struct pool *pool;

	log->init_fails_from = 1;
	assert_int_equal(pool_new(4, 0, init, log, &pool), 0);
	assert_true(pool_submit(pool, &item.task) < 0);
	assert_true(pool_submit(pool, &item.task) < 0);
	assert_int_equal(log->inits, 1);
	assert_true(pool_stop(pool, LONG_MS));
	pool_free(pool);
	assert_int_equal(log->done, 0);
}

static void second_thread_cannot_start(void **state)
{
	struct log *log = *state;
	struct item items[3];
	struct pool *pool;

	log->init_fails_from = 2;
	assert_int_equal(pool_new(4, 0, init, log, &pool), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(items); i++) {
		items[i] = (struct item){.task.run = wait_to_go, .log = log};
		assert_int_equal(pool_submit(pool, &items[i].task), 0);
		if (!i)
			sem_wait(&log->began);
		sem_post(&log->go);
	}
	assert_true(pool_stop(pool, LONG_MS));
	pool_free(pool);
	assert_int_equal(log->done, ARRAY_SIZE(items));
	assert_int_equal(log->most_running, 1);
	assert_true(log->inits <= 2);
}

static void stop_does_not_wait_for_ever(void **state)
{
	struct log *log = *state;
	struct item item = {.task.run = wait_to_go, .log = log}, late = item;
	struct pool *pool;

	assert_int_equal(pool_new(2, 0, NULL, NULL, &pool), 0);
	assert_int_equal(pool_submit(pool, &item.task), 0);
	sem_wait(&log->began);
	assert_false(pool_stop(pool, 20));
	assert_int_equal(pool_submit(pool, &late.task), -ESHUTDOWN);
	sem_post(&log->go);
	assert_true(pool_stop(pool, LONG_MS));
	pool_free(pool);
	pool_free(NULL);
}

static unsigned int threads(void)
{
	unsigned int n = 0;
	DIR *d = opendir("/proc/self/task");

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* Threads that have nothing to do end, and their places are used again. */
static void idle_threads_end(void **state)
{
	struct log *log = *state;
	unsigned int before = threads();
	struct item items[4];
	struct pool *pool;

	assert_int_equal(pool_new(ARRAY_SIZE(items), 20, init, log, &pool), 0);
	for (unsigned int round = 1; round <= 3; round++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(items); i++) {
			items[i] = (struct item){.task.run = wait_to_go, .log = log};
			assert_int_equal(pool_submit(pool, &items[i].task), 0);
			sem_wait(&log->began);
		}
		/* All four run at once: none could be left out. */
		for (unsigned int i = 0; i < ARRAY_SIZE(items); i++)
			sem_post(&log->go);
		while (threads() != before)
			usleep(5000);
		assert_int_equal(log->done, round * ARRAY_SIZE(items));
		assert_int_equal(log->inits, round * ARRAY_SIZE(items));
	}
	assert_true(pool_stop(pool, LONG_MS));
	pool_free(pool);
}

struct submitter {
	struct pool *pool;
	struct item items[500];
	pthread_t thread;
	int error;
};

static void count(struct pool_task *task)
{
	atomic_fetch_add(&container_of(task, struct item, task)->log->done, 1);
}

static void *submit_many(void *arg)
{
	struct submitter *s = arg;

	for (unsigned int i = 0; i < ARRAY_SIZE(s->items) && !s->error; i++)
		s->error = pool_submit(s->pool, &s->items[i].task);
	return NULL;
}

static void many_at_once(void **state)
{
	struct log *log = *state;
	struct submitter *s = calloc(4, sizeof(*s));
	struct pool *pool;

	assert_non_null(s);
	assert_int_equal(pool_new(4, 0, init, log, &pool), 0);
	for (unsigned int i = 0; i < 4; i++) {
		s[i].pool = pool;
		for (unsigned int n = 0; n < ARRAY_SIZE(s[i].items); n++)
			s[i].items[n] = (struct item){.task.run = count, .log = log};
		assert_int_equal(pthread_create(&s[i].thread, NULL, submit_many, &s[i]), 0);
	}
	for (unsigned int i = 0; i < 4; i++) {
		pthread_join(s[i].thread, NULL);
		assert_int_equal(s[i].error, 0);
	}
	assert_true(pool_stop(pool, LONG_MS));
	pool_free(pool);
	free(s);
	assert_int_equal(log->done, 4 * ARRAY_SIZE(s->items));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fifo),
		TEST(grows_to_its_limit),
		TEST(reuses_threads),
		TEST(no_thread_can_start),
		TEST(second_thread_cannot_start),
		TEST(stop_does_not_wait_for_ever),
		TEST(idle_threads_end),
		TEST(many_at_once),
	};

	log_init(LOG_LEVEL_OFF, LOG_SINK_STDERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
