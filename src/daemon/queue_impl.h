/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the queues share among themselves. */
#ifndef CULVERT_QUEUE_IMPL_H
#define CULVERT_QUEUE_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "pool.h"
#include "queue.h"
#include "slab.h"
#include "vu_dev.h"

/**
 * struct queue - a virtqueue's thread.
 * @qs, @index: constant.
 * @thread, @have_thread, @evfd: control thread, before the thread owns anything for the first time.
 * @lock, @go, @idle: @go: holds fell to 0 or quit was set; @idle: the thread is not busy any more.
 * @holds:  how often the control thread holds it. Written under @lock.
 * @busy:   the thread owns the queue. Under @lock.
 * @quit:   the thread shall end. Under @lock.
 * @init_result: of the thread's start; 1 = not known yet. Under @lock.
 * @vr:     the ring that is served, or NULL. Owner.
 * @slab:   or NULL before the first ring. Owner.
 * @rewatch: the kick descriptor may be another one. Owner.
 * @complained: the ring's being broken was told. Owner.
 * @complained_at: when that was told last. Owner.
 * @batch_bytes: bytes answered since the last flush. Owner.
 * @pushed: requests that were given back, ever. Owner.
 * @silent: those of them without an answer (FORGET). Owner.
 * @late:   the thread sleeps, but not for long, as the driver does not kick for each. Owner, or the thread that
 *          sleeps.
 * @slept_at: when it went to sleep after nothing else. Owner.
 * @skip, @skips: how often polling is still to be left out; how often it was after the last failure. Owner.
 * @op:     requests that were begun in the backend << 1 | one is there now. Changed by the owner, and by
 *          the one that becomes the owner.
 * @current: the one that is; NULL: what was kept is let go of. Owner.
 * @seen:   @op at the watcher's last look, or with the first request after the timer was armed.
 * @timer:  wakes the watcher, if @have_timer; it will if @armed. Owner.
 * @arms, @arms_since: how often it was armed since when, in ns. Owner.
 * @heir:   has a spare thread take over if @op still is @heir_op. The watcher's own until it is submitted.
 * @heir_out: it is. Set by the watcher, cleared by the spare thread.
 * @over:   the thread that serves the queue has ended, by @quit. Under @lock.
 * @epfd:   of the thread that is the owner or sleeps.
 * @timeout: of its sleep, in ms. The same.
 */
struct queue {
	struct queues *qs;
	unsigned int index;
	int evfd;
	pthread_t thread;
	bool have_thread;
	pthread_mutex_t lock;
	pthread_cond_t go;
	pthread_cond_t idle;
	_Atomic unsigned int holds;
	bool busy;
	bool quit;
	int init_result;
	struct vu_vring *vr;
	struct slab *slab;
	bool rewatch;
	bool complained;
	int64_t complained_at;
	size_t batch_bytes;
	uint64_t pushed;
	uint64_t silent;
	bool late;
	int64_t slept_at;
	unsigned int skip;
	unsigned int skips;
	_Alignas(64) _Atomic uint64_t op;
	struct queue_req *current;
	_Atomic uint64_t seen;
	uint64_t heir_op;
	timer_t timer;
	bool have_timer;
	bool armed;
	unsigned int arms;
	int64_t arms_since;
	struct pool_task heir;
	_Atomic bool heir_out;
	bool over;
	int epfd;
	int timeout;
};

struct queues {
	struct queues_conf conf;
	int work_fd;
	pthread_mutex_t work_lock;
	struct queue_req *work; /* exclusive requests, first come first; under work_lock */
	struct queue_req **work_end;
	bool lost; /* requests were given up; control thread */
	pthread_t watcher;
	bool have_watcher; /* control thread */
	/* These two by the watcher, before it is parked for the first time. */
	pthread_t watcher_self;
	pid_t watcher_tid;
	pthread_mutex_t watch_lock; /* conf.spares */
	_Atomic bool parked;        /* the watcher sleeps until it is told */
	_Atomic bool watch_quit;
	struct queue q[];
};

static inline int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

/** queue_main() - a queue's first thread; @arg: the queue. */
void *queue_main(void *arg);

/**
 * queue_serve() - serve a queue on this thread until told to end, or until another thread does.
 * @busy: as its owner already.
 */
void queue_serve(struct queue *q, bool busy);

/** queue_go_away() - a request is to be answered elsewhere. By the owner. */
void queue_go_away(struct queue *q, struct queue_req *r);

/** queue_push_all() - give back requests, linked by @next. By the owner. */
void queue_push_all(struct queue *q, struct queue_req *list);

/** queue_flush() - show the driver what was pushed, and that it is there. By the owner. */
void queue_flush(struct queue *q);

/** queue_spare_start() - watch over the queues, if there are spare threads. Control thread. */
void queue_spare_start(struct queues *qs);

/** queue_spare_end() - do not any more. Control thread. */
void queue_spare_end(struct queues *qs);

/** queue_spare_arm() - the queue has become busy while @qs->parked was set. By the owner. */
void queue_spare_arm(struct queue *q);

/** queue_spare_disarm() - it goes to sleep, and is @armed. By the owner. */
void queue_spare_disarm(struct queue *q);

#endif
