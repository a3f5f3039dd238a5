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
 * The watcher sleeps for good when it has found all queues asleep LINGER_TICKS times: to wake it costs more than a
 * small request, and so does a tick of its. It says that it will sleep (@parked) before it looks at the queues for
 * the last time, and a queue that becomes busy looks at @parked after that: one of them sees the other. That queue
 * does not wake the watcher either. It arms a timer that will, and disarms it when it goes to sleep: two small
 * system calls for a guest that asks for something now and then. Only one that does so all the time
 * (ARMS_MAX in a tick) wakes the watcher at once. When the timer goes off, the first request since then
 * counts as seen before.
 *
 * That a thread was merely not given a CPU for so long looks the same. It does no harm.
 *
 * The watcher sleeps in sigtimedwait(2). SPARE_SIGNAL is for it alone, and means no more than to look.
 *
 * Locks: watch_lock, outside each queue.lock. It is held for all of a look, in which spare threads may be
 * started, and not by a queue's thread.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "dispatch.h"
#include "log.h"
#include "queue_impl.h"
#include "session.h"
#include "util.h"

#define TICK_NS      5000000 /* a request that takes two of them keeps its thread */
#define LINGER_TICKS 4u      /* so often it looks at queues that are asleep */
#define ARMS_MAX     8u
#define SPARE_SIGNAL (SIGRTMAX - 1)

/* A request is away from now on, though it may be answered already. */
static void leave_behind(struct queue *q, struct queue_req *r)
{
	r->kept = true;
	queue_go_away(q, r);
	if (!r->interruptible)
		session_pending_add(q->qs->conf.se, &r->req);
}

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

		log_debug("queue %u: %s takes long: another thread takes over", q->index,
			  r ? fuse_opcode_name(r->req.hdr.opcode) : "letting go");
		if (r)
			leave_behind(q, r);
	}
	atomic_store_explicit(&q->heir_out, false, memory_order_release);
	if (!mine)
		return;
	prctl(PR_SET_NAME, "virtiofsd-queue");
	queue_serve(q, true);
	prctl(PR_SET_NAME, "virtiofsd-pool");
}

/* Whether the queue is busy. Sees to it that no request keeps it. */
static bool look_at(struct queue *q)
{
	uint64_t op = atomic_load_explicit(&q->op, memory_order_acquire);
	bool busy;

	if (op & 1 && op == atomic_load_explicit(&q->seen, memory_order_relaxed) &&
	    !atomic_load_explicit(&q->heir_out, memory_order_acquire)) {
		q->heir.run = inherit;
		q->heir_op = op;
		atomic_store_explicit(&q->heir_out, true, memory_order_relaxed);
		if (pool_submit(q->qs->conf.spares, &q->heir) < 0)
			atomic_store_explicit(&q->heir_out, false, memory_order_relaxed);
	}
	atomic_store_explicit(&q->seen, op, memory_order_relaxed);
	pthread_mutex_lock(&q->lock);
	busy = q->busy;
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

static sigset_t spare_signal(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SPARE_SIGNAL);
	return set;
}

/* A tick, whatever signals come meanwhile. */
static void sleep_tick(struct queues *qs, const sigset_t *set)
{
	int64_t until = now_ns() + TICK_NS, left = TICK_NS;

	while (left > 0 && !atomic_load(&qs->watch_quit)) {
		const struct timespec ts = {.tv_nsec = left};

		sigtimedwait(set, NULL, &ts);
		left = until - now_ns();
	}
}

/* seccomp: prctl 0==PR_SET_NAME, gettid, rt_sigtimedwait */
static void *watch_main(void *arg)
{
	struct queues *qs = arg;
	const sigset_t set = spare_signal();
	unsigned int idle = 0;

	prctl(PR_SET_NAME, "virtiofsd-watch");
	/* Known to whoever sees @parked. */
	qs->watcher_self = pthread_self();
	qs->watcher_tid = gettid();
	while (!atomic_load(&qs->watch_quit)) {
		bool busy;

		/* A queue that becomes busy from here on sees this, or is seen: enter(). */
		atomic_store(&qs->parked, idle == LINGER_TICKS);
		pthread_mutex_lock(&qs->watch_lock);
		busy = look_at_all(qs);
		pthread_mutex_unlock(&qs->watch_lock);
		if (busy) {
			idle = 0;
		} else if (idle++ == LINGER_TICKS) {
			if (!atomic_load(&qs->watch_quit))
				sigwaitinfo(&set, NULL);
			idle = 0;
			continue;
		}
		sleep_tick(qs, &set);
	}
	return NULL;
}

/* Without a watcher a request that is stuck holds up its queue, no more. */
void queue_spare_start(struct queues *qs)
{
	const sigset_t set = spare_signal();
	sigset_t before;

	if (!qs->conf.spares || qs->have_watcher)
		return;
	atomic_store(&qs->watch_quit, false);
	/* Blocked in the watcher from its beginning. */
	pthread_sigmask(SIG_BLOCK, &set, &before);
	qs->have_watcher = pthread_create(&qs->watcher, NULL, watch_main, qs) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* seccomp: timer_delete */
void queue_spare_end(struct queues *qs)
{
	if (!qs->have_watcher)
		return;
	atomic_store(&qs->watch_quit, true);
	pthread_kill(qs->watcher, SPARE_SIGNAL);
	pthread_join(qs->watcher, NULL);
	qs->have_watcher = false;
	for (unsigned int i = 0; i < qs->conf.max; i++) {
		struct queue *q = &qs->q[i];

		if (q->have_timer)
			timer_delete(q->timer);
		q->have_timer = false;
	}
}

static void wake(struct queues *qs)
{
	if (atomic_exchange(&qs->parked, false))
		pthread_kill(qs->watcher_self, SPARE_SIGNAL);
}

/* seccomp: timer_create, timer_settime */
void queue_spare_arm(struct queue *q)
{
	const struct itimerspec tick = {.it_value.tv_nsec = TICK_NS};
	int64_t now = now_ns();

	if (now - q->arms_since > TICK_NS) {
		q->arms_since = now;
		q->arms = 0;
	}
	if (!q->have_timer) {
		struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SPARE_SIGNAL};

		ev.sigev_notify_thread_id = q->qs->watcher_tid;
		q->have_timer = timer_create(CLOCK_MONOTONIC, &ev, &q->timer) == 0;
	}
	/* The first request has then been there for a tick. */
	atomic_store_explicit(&q->seen, atomic_load_explicit(&q->op, memory_order_relaxed) + 3,
			      memory_order_relaxed);
	if (q->have_timer && q->arms++ < ARMS_MAX && timer_settime(q->timer, 0, &tick, NULL) == 0)
		q->armed = true;
	else
		wake(q->qs);
}

void queue_spare_disarm(struct queue *q)
{
	const struct itimerspec never = {0};

	timer_settime(q->timer, 0, &never, NULL);
	q->armed = false;
}
