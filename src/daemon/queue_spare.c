// SPDX-License-Identifier: Apache-2.0
/* A queue goes on with another thread when its own is stuck in a request. */
/*
 * Theory of operation
 *
 * While a thread is in the backend the word queue.op says so, and in which request. What ends that is a
 * compare-and-swap. A watcher looks at the words of all queues every TICK_MS. Where it finds the same
 * request twice, it has a spare thread try the swap in its place. The one that comes first goes on as the
 * owner. The other one, if it was the queue's thread, finds out when it comes back, answers as a thread
 * of the pool would, and ends, or becomes a spare one. So a request holds up its queue for two ticks
 * at most, and for the others that costs a swap of a word that nobody else touches.
 *
 * The watcher sleeps for good when no queue has been busy for LINGER_TICKS: to wake it costs more than a
 * small request, so a guest that asks for one thing after the other must not find it asleep each time. It
 * says that it will sleep (@parked) before it looks at the queues for the last time, and a queue that becomes
 * busy looks at @parked after that: one of them sees the other.
 *
 * That a thread was merely not given a CPU for so long looks the same. It does no harm.
 *
 * Locks: watch_lock, outside each queue.lock. It is held for all of a look, in which spare threads may be
 * started, and not by a queue's thread but to wake the watcher.
 */
#include <errno.h>
#include <sys/prctl.h>

#include "dispatch.h"
#include "log.h"
#include "queue_impl.h"
#include "session.h"
#include "util.h"

#define TICK_MS      5   /* a request that takes two of them keeps its thread */
#define LINGER_TICKS 20u /* so often it looks at queues that do nothing */

/* On a spare thread. */
/* seccomp: prctl 0==PR_SET_NAME */
static void inherit(struct pool_task *task)
{
	struct queue *q = container_of(task, struct queue, heir);
	uint64_t op = q->heir_op;
	bool mine = atomic_compare_exchange_strong_explicit(
		&q->op, &op, op + 1, memory_order_acq_rel, memory_order_relaxed);

	if (mine) {
		struct queue_req *r = q->current;

		/* It is away from now on, though it may be answered already. */
		r->kept = true;
		queue_go_away(q, r);
		if (!r->interruptible)
			session_pending_add(q->qs->conf.se, &r->req);
	}
	atomic_store_explicit(&q->heir_out, false, memory_order_release);
	if (!mine)
		return;
	log_debug("queue %u: %s takes long: another thread takes over", q->index,
		  fuse_opcode_name(q->current->req.hdr.opcode));
	prctl(PR_SET_NAME, "virtiofsd-queue");
	queue_serve(q, true);
	prctl(PR_SET_NAME, "virtiofsd-pool");
}

/* Whether the queue is busy, or was since the last look. Sees to it that no request keeps it. */
static bool look_at(struct queue *q)
{
	uint64_t op = atomic_load_explicit(&q->op, memory_order_acquire);
	bool busy = op != q->seen;

	if (op & 1 && op == q->seen && !atomic_load_explicit(&q->heir_out, memory_order_acquire)) {
		q->heir.run = inherit;
		q->heir_op = op;
		atomic_store_explicit(&q->heir_out, true, memory_order_relaxed);
		if (pool_submit(q->qs->conf.spares, &q->heir) < 0)
			atomic_store_explicit(&q->heir_out, false, memory_order_relaxed);
	}
	q->seen = op;
	pthread_mutex_lock(&q->lock);
	busy |= q->busy;
	pthread_mutex_unlock(&q->lock);
	return busy;
}

static bool look_at_all(struct queues *qs)
{
	bool busy = false;

	for (unsigned int i = 0; i < qs->conf.max; i++)
		busy |= look_at(&qs->q[i]);
	return busy;
}

/* seccomp: prctl 0==PR_SET_NAME */
static void *watch_main(void *arg)
{
	struct queues *qs = arg;
	unsigned int idle = 0;

	prctl(PR_SET_NAME, "virtiofsd-watch");
	pthread_mutex_lock(&qs->watch_lock);
	while (!qs->watch_quit) {
		struct timespec ts;

		/* A queue that becomes busy from here on sees this, or is seen: enter(). */
		if (idle == LINGER_TICKS)
			atomic_store(&qs->parked, true);
		if (look_at_all(qs)) {
			idle = 0;
		} else if (idle++ == LINGER_TICKS) {
			while (atomic_load(&qs->parked) && !qs->watch_quit)
				pthread_cond_wait(&qs->watch, &qs->watch_lock);
			idle = 0;
			continue;
		}
		atomic_store(&qs->parked, false);
		clock_gettime(CLOCK_MONOTONIC, &ts);
		ts.tv_nsec += TICK_MS * 1000000l;
		if (ts.tv_nsec >= 1000000000l) {
			ts.tv_nsec -= 1000000000l;
			ts.tv_sec++;
		}
		while (!qs->watch_quit &&
		       pthread_cond_timedwait(&qs->watch, &qs->watch_lock, &ts) != ETIMEDOUT)
			;
	}
	pthread_mutex_unlock(&qs->watch_lock);
	return NULL;
}

/* Without it a request that is stuck holds up its queue, no more. */
void queue_spare_start(struct queues *qs)
{
	if (qs->conf.spares && !qs->have_watcher)
		qs->have_watcher = pthread_create(&qs->watcher, NULL, watch_main, qs) == 0;
}

void queue_spare_end(struct queues *qs)
{
	if (!qs->have_watcher)
		return;
	pthread_mutex_lock(&qs->watch_lock);
	qs->watch_quit = true;
	pthread_cond_signal(&qs->watch);
	pthread_mutex_unlock(&qs->watch_lock);
	pthread_join(qs->watcher, NULL);
	qs->have_watcher = false;
}

void queue_spare_wake(struct queues *qs)
{
	pthread_mutex_lock(&qs->watch_lock);
	if (atomic_exchange(&qs->parked, false))
		pthread_cond_signal(&qs->watch);
	pthread_mutex_unlock(&qs->watch_lock);
}
