// SPDX-License-Identifier: Apache-2.0
/* Threads that wait for a lock of the host, each for one, and can be called off. */
/*
 * Theory of operation
 *
 * A wait is a blocking system call on a thread that does nothing else; there are at most @max of
 * them. Only a signal gets the thread out of the call, and a signal that comes just before the call
 * is lost. So a wait that is called off is not sent one signal but many: each thread has a timer
 * that signals just this thread (SIGEV_THREAD_ID), and calling off sets it to go off at once and
 * then every millisecond, until the thread notices and deletes it. Nobody has to wait for that, so it
 * is fit for the thread of a queue. The handler does nothing and is installed without SA_RESTART.
 *
 * A wait is in the list from lock_wait_start() until its call has returned; in between it can be
 * called off, before it has a timer, too. Granted and called off at the same time is granted.
 *
 * Threads: any may start and call off. Lock: lock_waits.lock, a leaf.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lock_wait.h"
#include "util.h"

#define STACK_SIZE (256u << 10)
#define REPEAT_NS  1000000

static void on_signal(int sig)
{
	(void)sig;
}

int lock_waits_init(struct lock_waits *ws, unsigned int max)
{
	struct sigaction act = {.sa_handler = on_signal};
	pthread_condattr_t attr;
	int r;

	*ws = (struct lock_waits){.max = max};
	if (sigaction(SIGRTMAX, &act, NULL) < 0)
		return -errno;
	r = -pthread_mutex_init(&ws->lock, NULL);
	if (r < 0)
		return r;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	r = -pthread_cond_init(&ws->ended, &attr);
	pthread_condattr_destroy(&attr);
	if (r < 0)
		pthread_mutex_destroy(&ws->lock);
	return r;
}

/* Under the lock. */
/* seccomp: timer_settime */
static void cancel(struct lock_wait *w)
{
	const struct itimerspec now = {{0, REPEAT_NS}, {0, 1}};

	if (!atomic_exchange(&w->cancelled, true) && w->armed)
		timer_settime(w->timer, 0, &now, NULL);
}

void lock_wait_cancel(struct lock_waits *ws,
		      bool (*match)(const struct lock_wait *w, const struct lock_wait *key),
		      const struct lock_wait *key)
{
	pthread_mutex_lock(&ws->lock);
	for (struct lock_wait *w = ws->first; w; w = w->next)
		if (match(w, key))
			cancel(w);
	pthread_mutex_unlock(&ws->lock);
}

static void add(struct lock_waits *ws, struct lock_wait *w)
{
	w->prev = NULL;
	w->next = ws->first;
	if (w->next)
		w->next->prev = w;
	ws->first = w;
	ws->count++;
}

static void leave_list(struct lock_waits *ws, struct lock_wait *w)
{
	if (w->prev)
		w->prev->next = w->next;
	else
		ws->first = w->next;
	if (w->next)
		w->next->prev = w->prev;
}

/* Under the lock. */
static void leave_count(struct lock_waits *ws)
{
	if (--ws->count == 0)
		pthread_cond_broadcast(&ws->ended);
}

static int block(struct lock_wait *w)
{
	int r;

	do {
		if (atomic_load(&w->cancelled))
			return -ECANCELED;
		r = w->block(w);
	} while (r == -EINTR);
	return r;
}

/* seccomp: prctl 0==PR_SET_NAME, gettid, timer_create, timer_delete */
static void *wait_main(void *arg)
{
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMAX};
	struct lock_wait *w = arg;
	struct lock_waits *ws = w->waits;
	bool armed;
	sigset_t set;
	int r = -ENOLCK;

	prctl(PR_SET_NAME, "virtiofsd-lock");
	sigemptyset(&set);
	sigaddset(&set, SIGRTMAX);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	ev.sigev_notify_thread_id = gettid();
	armed = timer_create(CLOCK_MONOTONIC, &ev, &w->timer) == 0;
	pthread_mutex_lock(&ws->lock);
	w->armed = armed;
	pthread_mutex_unlock(&ws->lock);
	if (armed)
		r = block(w);
	pthread_mutex_lock(&ws->lock);
	leave_list(ws, w);
	pthread_mutex_unlock(&ws->lock);
	if (armed)
		timer_delete(w->timer);
	w->end(w, r);
	pthread_mutex_lock(&ws->lock);
	leave_count(ws);
	pthread_mutex_unlock(&ws->lock);
	return NULL;
}

int lock_wait_start(struct lock_waits *ws, struct lock_wait *w)
{
	pthread_attr_t attr;
	pthread_t thread;
	bool full;
	int r;

	w->waits = ws;
	w->armed = false;
	atomic_store(&w->cancelled, false);
	pthread_mutex_lock(&ws->lock);
	full = ws->count >= ws->max;
	if (!full)
		add(ws, w);
	pthread_mutex_unlock(&ws->lock);
	if (full)
		return -ENOLCK;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	r = pthread_create(&thread, &attr, wait_main, w);
	pthread_attr_destroy(&attr);
	if (r == 0)
		return 0;
	pthread_mutex_lock(&ws->lock);
	leave_list(ws, w);
	leave_count(ws);
	pthread_mutex_unlock(&ws->lock);
	return -ENOLCK;
}

static bool any(const struct lock_wait *w, const struct lock_wait *key)
{
	(void)w;
	(void)key;
	return true;
}

bool lock_waits_done(struct lock_waits *ws, unsigned int timeout_ms)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	lock_wait_cancel(ws, any, NULL);
	pthread_mutex_lock(&ws->lock);
	while (ws->count && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&ws->ended, &ws->lock, &until);
	r = ws->count != 0;
	pthread_mutex_unlock(&ws->lock);
	if (r)
		return false;
	pthread_cond_destroy(&ws->ended);
	pthread_mutex_destroy(&ws->lock);
	return true;
}
