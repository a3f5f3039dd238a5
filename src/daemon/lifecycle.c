// SPDX-License-Identifier: Apache-2.0
/* From the first connection to the end: accept, serve, disconnect, signals. */
/*
 * Theory of operation
 *
 * The control thread (the one that calls lifecycle_serve()) sleeps in poll on the listening socket,
 * then on the connection, on the queues' request for exclusive work, and on an eventfd that tells
 * to end. It is the only one that talks to the front-end, holds queues, or changes the session.
 *
 * Signals are taken by a thread of their own, the watcher, for the control thread may be waiting
 * for a front-end that does not read its answers, or for a queue that is stuck in the host's file
 * system. It asks the control thread to end, and if that has not happened after a while it ends the
 * process itself. The same holds for the end after a disconnect. Nothing is lost by that: what was
 * answered to the guest is in the host's kernel.
 *
 * One front-end is served. The listening socket is closed when it has come, so that a second one is
 * refused at once, where the launcher keeps no copy of the socket. With --relisten the socket stays, and
 * front-ends are served one after the other, whatever the end of each was: another one that connects
 * meanwhile waits. Nothing of a connection outlives it but requests that are stuck in the host. Those in
 * the pool are left behind with the pool, and the next front-end gets a new one; where a queue's own
 * thread is stuck there is no next one.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "guard.h"
#include "jail.h"
#include "lifecycle.h"
#include "listener.h"
#include "log.h"
#include "options.h"
#include "pool.h"
#include "pt.h"
#include "queue.h"
#include "resident.h"
#include "session.h"
#include "util.h"
#include "vu_dev.h"
#include "window.h"

#define NUDGE (SIGRTMAX - 2) /* has the control thread go on from what it waits for */

#define SIGNAL_SECONDS 2  /* from a signal to the end, at most */
#define DRAIN_SECONDS  10 /* how long a ring that is stopped waits for its requests */
#define END_SECONDS    (DRAIN_SECONDS + 5) /* from a disconnect to the end, at most */

#define POOL_STOP_MS 1000 /* the rings were drained before: threads that are alive end at once */

#define POOL_THREADS   64    /* at most, unless the user says how many */
#define SPARE_THREADS  64    /* that can take a queue over, or are stuck in a request */
#define POOL_LINGER_MS 10000 /* after so long without work one ends */

#define MAP_THREADS 4 /* that wait for the front-end, which does one thing at a time */

#define FDS_AT_ONCE 4096 /* descriptors that no request waits for: 32 KiB in the kernel */

#define REQUEST_QUEUES 1 /* in the configuration space; front-ends mostly say it themselves */

/**
 * struct life - all that serves a front-end. Made and taken apart by the control thread.
 * @window, @maps: the DAX window, and the threads that wait for the front-end to map files into it; or
 *             NULL.
 * @tidy:      on its way to @maps while @tidying.
 * @stop_fd:   eventfd: end.
 * @over:      the watcher shall end, too.
 * @timer:     SIGALRM for the watcher.
 * @control:   the control thread, for the watcher. Constant.
 * @relisten:  a front-end's end is not the daemon's.
 * @lost:      requests were left behind.
 */
struct life {
	struct listener *listener;
	struct session se;
	struct pool *pool;
	struct pool *spares;
	struct window *window;
	struct pool *_Atomic maps;
	struct pool_task tidy;
	_Atomic bool tidying;
	struct queues *queues;
	struct vu_dev *dev;
	bool relisten;
	bool lost;
	int stop_fd;
	_Atomic bool over;
	timer_t timer;
	pthread_t control;
	pthread_t watcher;
};

static void nothing(int sig)
{
	(void)sig;
}

static void signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGALRM);
}

void lifecycle_block_signals(void)
{
	const struct sigaction nudge = {.sa_handler = nothing};
	sigset_t set;
	int r;

	signal(SIGPIPE, SIG_IGN);
	sigaction(NUDGE, &nudge, NULL);
	signals(&set);
	/* A launcher may have blocked what it likes. */
	sigprocmask(SIG_SETMASK, &set, NULL);
	/* Guest memory that goes away under us. */
	r = guard_init();
	if (r < 0)
		log_warn("SIGBUS cannot be caught: %s", strerror(-r));
}

/* End without what does not come back. With --relisten this is no end that was wished for. */
static void give_up(const struct life *life, bool told)
{
	log_warn("requests are stuck in the host: ending without them");
	listener_cleanup(life->listener);
	_exit(life->relisten && !told);
}

/* ---- the watcher ---- */

/* alarm(3), without a system call of its own: whether it was set before. 0 = not any more. */
/* seccomp: timer_settime */
static bool alarm_in(const struct life *life, unsigned int seconds)
{
	const struct itimerspec in = {.it_value.tv_sec = seconds};
	struct itimerspec old = {0};

	timer_settime(life->timer, 0, &in, &old);
	return old.it_value.tv_sec || old.it_value.tv_nsec;
}

/* seccomp: prctl 0==PR_SET_NAME, rt_sigtimedwait */
static void *watch(void *arg)
{
	struct life *life = arg;
	bool told = false;
	sigset_t set;

	prctl(PR_SET_NAME, "virtiofsd-sig");
	signals(&set);
	for (;;) {
		int sig = sigwaitinfo(&set, NULL);

		if (sig < 0)
			continue;
		if (sig == SIGALRM && atomic_load(&life->over))
			return NULL;
		if (sig == SIGALRM) {
			give_up(life, told);
		}
		if (told)
			continue;
		told = true;
		log_info("ending: signal %d (%s)", sig, strsignal(sig));
		fd_signal(life->stop_fd);
		alarm_in(life, SIGNAL_SECONDS);
		/* It may be waiting for room for an answer. If it is just about to, SIGNAL_SECONDS end it. */
		pthread_kill(life->control, NUDGE);
	}
}

static void end_watcher(struct life *life)
{
	alarm_in(life, 0);
	atomic_store(&life->over, true);
	pthread_kill(life->watcher, SIGALRM);
	pthread_join(life->watcher, NULL);
}

/* ---- the device's upward calls ---- */

static int vring_start(void *owner, struct vu_vring *vr)
{
	struct life *life = owner;

	return queues_start(life->queues, vr);
}

static void vring_failed(void *owner, struct vu_vring *vr, int error)
{
	(void)owner;
	if (error == -EFAULT)
		log_warn("queue %u cannot be served: it is in memory of the guest's that is not "
			 "shared with us (QEMU: a memory backend with share=on)",
			 vr->index);
	else
		log_warn("queue %u cannot be served: %s", vr->index, strerror(-error));
}

static void vring_stop(void *owner, struct vu_vring *vr)
{
	struct life *life = owner;

	queues_stop(life->queues, vr);
}

static void quiesce(void *owner)
{
	struct life *life = owner;

	queues_hold(life->queues);
}

static void resume(void *owner)
{
	struct life *life = owner;

	queues_release(life->queues);
}

static void reset(void *owner)
{
	struct life *life = owner;

	queues_hold(life->queues);
	session_purge(&life->se);
	queues_release(life->queues);
}

static const struct vu_dev_ops dev_ops = {
	.vring_start = vring_start,
	.vring_failed = vring_failed,
	.vring_stop = vring_stop,
	.quiesce = quiesce,
	.resume = resume,
	.reset = reset,
};

/* ---- the window's upward calls ---- */

static bool window_is_ready(void *owner)
{
	struct life *life = owner;

	return vu_dev_shmem_ready(life->dev);
}

static int window_map(void *owner, int fd, uint64_t fd_offset, uint64_t offset, uint64_t len,
		      bool write)
{
	struct life *life = owner;

	return vu_dev_shmem_map(life->dev, fd, fd_offset, offset, len, write);
}

static int window_unmap(void *owner, uint64_t offset, uint64_t len)
{
	struct life *life = owner;

	return vu_dev_shmem_unmap(life->dev, offset, len);
}

static int window_outcome(void *owner)
{
	struct life *life = owner;

	return vu_dev_shmem_outcome(life->dev);
}

static void run_tidy(struct pool_task *task)
{
	struct life *life = container_of(task, struct life, tidy);

	/* What is asked for from now on is not seen by this run. */
	atomic_store(&life->tidying, false);
	window_tidy(life->window);
}

static void tidy(void *owner)
{
	struct life *life = owner;

	struct pool *maps = atomic_load(&life->maps);

	if (!maps || atomic_exchange(&life->tidying, true))
		return;
	if (pool_submit(maps, &life->tidy) < 0)
		atomic_store(&life->tidying, false);
}

static const struct window_ops window_ops = {
	.ready = window_is_ready,
	.map = window_map,
	.unmap = window_unmap,
	.outcome = window_outcome,
	.tidy = tidy,
};

/* ---- the control thread ---- */

static int thread_init(void *arg)
{
	struct session *se = arg;

	return se->ops->thread_init ? se->ops->thread_init(se->be) : 0;
}

/* The threads that may be stuck in the host when a front-end goes, and are then left behind. */
static int make_pools(struct life *life, const struct options *o)
{
	struct pool *maps = NULL;
	int r;

	r = pool_new(o->thread_pool_size ? o->thread_pool_size : POOL_THREADS, POOL_LINGER_MS,
		     thread_init, &life->se, &life->pool);
	if (r == 0 && o->dax_window)
		r = pool_new(MAP_THREADS, POOL_LINGER_MS, thread_init, &life->se, &maps);
	if (r == 0)
		r = pool_new(SPARE_THREADS, POOL_LINGER_MS, thread_init, &life->se, &life->spares);
	life->maps = maps;
	queues_set_pools(life->queues, life->pool, maps, life->spares);
	return r;
}

/* One that may never be free to end. Accepts that there is none. */
static void leave_pool(struct pool *pool)
{
	if (pool)
		pool_stop(pool, 0);
}

static int begin(struct life *life, const struct options *o)
{
	struct vu_dev_conf dev_conf = {
		.ops = &dev_ops,
		.owner = life,
		.max_queues = VU_QUEUES_MAX,
		.num_request_queues = REQUEST_QUEUES,
		.tag = o->tag,
		.shmem_size = o->dax_window,
		.alioth = o->compat == OPTIONS_COMPAT_ALIOTH,
	};
	struct queues_conf queues_conf = {.se = &life->se,
					  .max = VU_QUEUES_MAX,
					  .max_pending = o->max_pending,
					  .poll_us = o->poll_us,
					  .pool_first = o->thread_pool_size > 0,
					  .drain_ms = DRAIN_SECONDS * 1000};
	int r = queues_new(&queues_conf, &life->queues);

	if (r == 0 && o->dax_window)
		r = window_new(o->dax_window, &window_ops, life, &life->window);
	life->tidy.run = run_tidy;
	life->se.window = life->window;
	if (r == 0)
		r = make_pools(life, o);
	if (r == 0)
		r = vu_dev_new(&dev_conf, &life->dev);
	if (r == 0)
		r = thread_init(&life->se);
	return r;
}

static bool readable(const struct pollfd *pfd)
{
	return pfd->revents != 0;
}

/* Whether the watcher has told us to end. */
static bool stopped(const struct life *life)
{
	struct pollfd pfd = {.fd = life->stop_fd, .events = POLLIN};

	return poll(&pfd, 1, 0) > 0;
}

/* Wait for a front-end. Returns 1 and the connection, 0 when told to end, or -errno. */
/* seccomp: poll, accept4 */
static int accept_one(struct life *life, int *ret_conn)
{
	struct pollfd pfd[] = {
		{.fd = life->stop_fd, .events = POLLIN},
		{.fd = life->listener->fd, .events = POLLIN},
	};

	for (;;) {
		int conn;

		if (poll(pfd, ARRAY_SIZE(pfd), -1) < 0)
			continue;
		if (readable(&pfd[0]))
			return 0;
		conn = accept4(life->listener->fd, NULL, NULL, SOCK_CLOEXEC);
		if (conn >= 0) {
			if (!life->relisten)
				fd_close(&life->listener->fd);
			*ret_conn = conn;
			return 1;
		}
		/* Gone again, or taken by a process that we share the socket with. */
		if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
			return -errno;
	}
}

/* Why the front-end is not served any more. */
static void say_end(const struct life *life, int r)
{
	if (life->relisten && r == 0)
		log_info("the front-end has disconnected, waiting for another one");
	else if (life->relisten)
		log_warn("the front-end broke the protocol and is disconnected: %s", strerror(-r));
	else if (r == 0)
		log_info("ending: the front-end has disconnected");
	else
		log_err("ending: the front-end broke the protocol: %s", strerror(-r));
}

/* Serve the front-end at @conn, which is the device's, until it goes. False: told to end. */
static bool serve(struct life *life, int conn)
{
	struct pollfd pfd[] = {
		{.fd = life->stop_fd, .events = POLLIN},
		{.fd = queues_work_fd(life->queues), .events = POLLIN},
		{.fd = conn, .events = POLLIN},
	};

	for (;;) {
		int r;

		if (poll(pfd, ARRAY_SIZE(pfd), -1) < 0)
			continue;
		if (readable(&pfd[0]))
			return false;
		if (readable(&pfd[1]))
			queues_work(life->queues);
		if (!readable(&pfd[2]))
			continue;
		r = vu_dev_handle(life->dev);
		if (r <= 0 && stopped(life))
			return false;
		if (r <= 0) {
			say_end(life, r);
			return true;
		}
	}
}

/* Take apart what serves the front-end. The watcher ends the process if that takes too long. */
static void disconnect(struct life *life)
{
	/* Keeps the watcher's earlier and shorter time, if a signal has come. */
	if (alarm_in(life, END_SECONDS))
		alarm_in(life, SIGNAL_SECONDS);
	if (life->dev)
		vu_dev_disconnect(life->dev);
	if (life->window)
		window_reset(life->window);
}

/* After a disconnect: be ready for another front-end. 0 or -errno. */
static int renew(struct life *life, const struct options *o)
{
	int r = 0;

	/* Threads that are stuck stay with their pool, which nobody frees. */
	if (queues_lost(life->queues)) {
		life->lost = true;
		leave_pool(life->pool);
		leave_pool(life->maps);
		leave_pool(life->spares);
		life->pool = NULL;
		life->spares = NULL;
		life->maps = NULL;
		r = make_pools(life, o);
	}
	alarm_in(life, 0);
	/* A signal's time may have been cut off by that. */
	if (stopped(life))
		alarm_in(life, SIGNAL_SECONDS);
	return r;
}

/* Take apart the rest. Requests that never come back are left behind, with the process. */
static void end(struct life *life)
{
	if ((life->queues && queues_lost(life->queues)) || life->lost)
		give_up(life, true);
	if (life->queues)
		queues_end(life->queues);
	if ((life->spares && !pool_stop(life->spares, POOL_STOP_MS)) ||
	    (life->pool && !pool_stop(life->pool, POOL_STOP_MS)) ||
	    (life->maps && !pool_stop(life->maps, POOL_STOP_MS)))
		give_up(life, true);
	queues_free(life->queues);
	vu_dev_free(life->dev);
	session_done(&life->se);
	pool_free(life->pool);
	pool_free(life->maps);
	pool_free(life->spares);
	window_free(life->window);
}

/* One front-end after the other, or just one. 0 or -errno. */
static int serve_all(struct life *life, const struct options *o)
{
	int conn = -1, r;

	log_info("Waiting for vhost-user socket connection...");
	/* Without a sandbox it may run in a debugger, which has its breakpoints in the code. */
	if (o->sandbox != JAIL_NONE)
		resident_trim();
	for (;;) {
		r = accept_one(life, &conn);
		if (r <= 0)
			return r;
		log_info("a front-end has connected");
		vu_dev_connect(life->dev, conn);
		if (!serve(life, conn) || !life->relisten)
			return 0;
		disconnect(life);
		r = renew(life, o);
		if (r < 0)
			return r;
	}
}

/* seccomp: timer_create */
int lifecycle_serve(const struct options *o, struct listener *l, struct pt *pt)
{
	struct life life = {.listener = l, .stop_fd = -1, .relisten = o->relisten};
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	int r;

	life.control = pthread_self();
	r = session_init(&life.se, &pt_ops, pt);
	if (r == 0) {
		life.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r = life.stop_fd < 0 ? -errno : 0;
	}
	if (r == 0)
		fd_reserve(life.stop_fd, FDS_AT_ONCE);
	if (r == 0)
		r = timer_create(CLOCK_MONOTONIC, &ev, &life.timer) < 0 ? -errno : 0;
	if (r == 0)
		r = -pthread_create(&life.watcher, NULL, watch, &life);
	if (r < 0) {
		log_err("cannot begin to serve: %s", strerror(-r));
		return 1;
	}
	if (o->max_write)
		life.se.write_limit = o->max_write & ~4095u;
	r = begin(&life, o);
	if (r == 0)
		r = serve_all(&life, o);
	if (r < 0)
		log_err("cannot go on to serve: %s", strerror(-r));
	disconnect(&life);
	end(&life);
	end_watcher(&life);
	fd_close(&life.stop_fd);
	return r < 0;
}
