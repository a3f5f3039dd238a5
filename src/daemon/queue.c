// SPDX-License-Identifier: Apache-2.0
/* One thread per virtqueue: takes requests from the ring, runs them, gives them back. */
/*
 * Theory of operation
 *
 * A queue has an owner at any moment: its thread while that is busy, or the control thread while it
 * holds the queue. Only the owner touches the ring (struct vu_vring and all that it leads to) and
 * the fields marked "owner". To hold a queue is to raise @holds and to wait until the thread is not
 * busy; the thread looks at @holds between two requests and gives way, also in the middle of a long
 * batch. It sleeps without being busy, so that holding a sleeping queue wakes nobody.
 *
 * Sleeping is epoll on the kick eventfd and on one of our own (@evfd), both edge-triggered: nobody
 * has to read them, and a descriptor that is always readable cannot keep the thread spinning. The
 * front-end may change the kick descriptor while the queue is held, so the epoll set is made anew
 * after each hold. A ring without a kick descriptor is looked at every millisecond.
 *
 * Before it sleeps, a thread that has just worked goes on looking for up to @poll_us, with kicks off: to be
 * woken takes many times as long as a small request, and a guest that waits for one answer before it
 * asks again is there before that. Whether it pays is found out by doing it. When nothing came, the
 * thread leaves it the next time, then twice, then four times and so on; when something did, it does it
 * each time. So a queue that is idle, or busy at long intervals, is not looked at for long.
 *
 * What may wait for a disk is tried here all the same, as it mostly need not, and goes to the pool when
 * the backend finds that it has to (request.no_wait); what mostly waits goes there at once.
 *
 * A request lives in the queue's slab (slab.c). It leaves the thread in three ways: to the pool, to
 * the control thread (INIT and DESTROY, with all queues held), or because the backend answers
 * later. Then it is "away" and keeps a reference on the memory table by which its buffers were
 * translated. An answer given on the queue's own thread is pushed at once; elsewhere it goes to the
 * slab's list of completed requests, from where the owner pushes it.
 *
 * Stopping a ring waits for what is away. What does not come back in time is given up together with
 * its slab: the queue gets a new one, and the last late completion frees the old one.
 *
 * Locks: queue.lock guards what says so; work_lock the list of exclusive requests. Both, and
 * slab.lock, are leaves; none is held while a request runs.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>

#include "dispatch.h"
#include "fd.h"
#include "gmem.h"
#include "log.h"
#include "pool.h"
#include "queue.h"
#include "session.h"
#include "slab.h"
#include "util.h"
#include "vu_dev.h"

/* The driver sees its answers after so many at the latest, or after so many bytes of them. */
#define BATCH_REQUESTS 64u
#define BATCH_BYTES    (512u << 10)
#define KICKLESS_MS    1   /* how often a ring without a kick descriptor is looked at */
#define SKIP_MAX       64u /* so often at most polling is left out, after it was in vain */
#define COMPLAIN_NS    (10 * 1000000000ll) /* one line about a broken ring at most this often */

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
 * @skip, @skips: how often polling is still to be left out; how often it was after the last failure. Owner.
 * @epfd:   the thread's own.
 * @timeout: of its sleep, in ms. The thread's own.
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
	unsigned int skip;
	unsigned int skips;
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
	struct queue q[];
};

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

/* ---- requests ---- */

static void go_away(struct queue *q, struct queue_req *r)
{
	r->gm = gmem_get(q->vr->vq.gm);
	q->slab->away++;
	q->slab->held += r->held;
}

static void come_back(struct queue *q, struct queue_req *r)
{
	gmem_put(r->gm);
	r->gm = NULL;
	q->slab->away--;
	q->slab->held -= r->held;
}

/* By the owner. */
static void push(struct queue *q, struct queue_req *r)
{
	struct vq *vq = &q->vr->vq;

	vq_push(vq, &r->chain, (uint32_t)r->used, r->gm ? r->gm : vq->gm);
	q->batch_bytes += r->used;
	q->pushed++;
	if (r->gm)
		come_back(q, r);
	slab_put(r);
}

/* request.done */
static void queue_done(struct request *req, size_t used)
{
	struct queue_req *r = container_of(req, struct queue_req, req);
	struct queue *q = r->slab->user;

	r->used = used;
	if (r->interruptible)
		session_pending_del(req->se, req);
	/* A late one of a slab that was given up may end here, too. */
	if (q->have_thread && pthread_equal(pthread_self(), q->thread) && r->slab == q->slab) {
		r->answered = true;
		push(q, r);
		return;
	}
	slab_complete(r);
}

static void push_all(struct queue *q, struct queue_req *list)
{
	while (list) {
		struct queue_req *r = list;

		list = r->next;
		push(q, r);
	}
}

/* On a pool thread. */
static void run_in_pool(struct pool_task *task)
{
	struct queue_req *r = container_of(task, struct queue_req, task);

	fuse_dispatch(&r->req);
}

static void give_to_control(struct queues *qs, struct queue_req *r)
{
	pthread_mutex_lock(&qs->work_lock);
	r->next = NULL;
	*qs->work_end = r;
	qs->work_end = &r->next;
	pthread_mutex_unlock(&qs->work_lock);
	fd_signal(qs->work_fd);
}

/* To INTERRUPT, before it may leave this thread. */
static void make_known(struct queue *q, struct queue_req *r)
{
	if (!r->interruptible)
		session_pending_add(q->qs->conf.se, &r->req);
	r->interruptible = true;
}

static bool give_to_pool(struct queue *q, struct queue_req *r, struct pool *pool)
{
	if (!pool)
		return false;
	go_away(q, r);
	make_known(q, r);
	if (pool_submit(pool, &r->task) == 0)
		return true;
	come_back(q, r);
	return false;
}

/* On this thread, as long as it need not wait. */
static void run_here(struct queue *q, struct queue_req *r)
{
	struct pool *pool = q->qs->conf.pool;
	struct request *req = &r->req;

	req->no_wait = pool;
	fuse_dispatch(req);
	if (likely(r->answered))
		return;
	if (req->would_wait) {
		req->no_wait = req->would_wait = false;
		if (give_to_pool(q, r, pool))
			return;
		fuse_dispatch(req);
	}
	/* Not answered yet: the table cannot have changed, as this thread is busy. */
	if (!r->answered)
		go_away(q, r);
}

static void run(struct queue *q, struct queue_req *r)
{
	struct request *req = &r->req;
	const struct queues_conf *conf = &q->qs->conf;

	req_begin(req);
	req->se = q->qs->conf.se;
	req->done = queue_done;
	req->faulted = r->chain.faulted;
	req->crowded = 2 * q->slab->held >= q->slab->max;
	iov_init(&req->in, r->iov, r->chain.nread);
	iov_init(&req->out, r->iov + r->chain.nread, r->chain.nwrite);
	r->task.run = run_in_pool;
	r->gm = NULL;
	r->held = 0;
	r->answered = false;
	r->interruptible = false;

	switch (fuse_receive(req)) {
	case FUSE_ANSWERED:
		return;
	case FUSE_EXCLUSIVE:
		go_away(q, r);
		give_to_control(q->qs, r);
		return;
	case FUSE_MAY_WAIT:
		r->held = r->chain.ndesc;
		make_known(q, r);
		__attribute__((fallthrough));
	case FUSE_MAY_BLOCK:
		if (conf->pool_first && give_to_pool(q, r, conf->pool))
			return;
		break;
	case FUSE_WAITS:
		if (give_to_pool(q, r, conf->pool))
			return;
		break;
	case FUSE_MAPS:
		if (give_to_pool(q, r, conf->maps))
			return;
		/* The control thread may need this one while the front-end waits for it. */
		if (conf->maps) {
			req_reply_err(req, -ENOMEM);
			return;
		}
		break;
	case FUSE_INLINE:
	case FUSE_TRIES:
		break;
	}
	run_here(q, r);
}

/* ---- the queue's thread ---- */

static void complain(struct queue *q)
{
	int64_t now = now_ns();

	/* Of a ring whose memory went away the front-end was told when it took it. */
	if (q->complained || q->vr->lost)
		return;
	q->complained = true;
	vu_vring_error(q->vr);
	if (q->complained_at && now - q->complained_at < COMPLAIN_NS)
		return;
	q->complained_at = now;
	log_warn("queue %u: the guest broke the rules of the ring; it is not served until it is "
		 "started again",
		 q->index);
}

/* Show the driver what was pushed, and that it is there. By the owner. */
static void flush(struct queue *q)
{
	q->batch_bytes = 0;
	if (vq_flush(&q->vr->vq))
		vu_vring_call(q->vr);
}

enum batch {
	BATCH_EMPTY, /* the ring is */
	BATCH_MORE,  /* there may be more in it */
	BATCH_STUCK, /* there may be, but it cannot be taken now */
};

static enum batch batch(struct queue *q)
{
	struct vq *vq = &q->vr->vq;

	for (unsigned int n = 0; n < BATCH_REQUESTS && q->batch_bytes < BATCH_BYTES; n++) {
		struct queue_req *r;
		int got;

		if (atomic_load_explicit(&q->holds, memory_order_relaxed))
			break;
		/* All away: the one that comes back first wakes us. */
		r = slab_get(q->slab);
		if (!r)
			return BATCH_STUCK;
		got = vq_pop(vq, &r->chain);
		if (got != 1)
			slab_put(r);
		if (got < 0)
			return BATCH_STUCK;
		if (got == 0)
			return BATCH_EMPTY;
		run(q, r);
	}
	return BATCH_MORE;
}

/*
 * The ring is empty: whether to look again at once. @worked: it was not the last time. @until: when
 * looking ends; 0 = it has not begun.
 */
static bool look_again(struct queue *q, bool worked, int64_t *until)
{
	const int64_t poll_ns = q->qs->conf.poll_us * 1000ll;

	if (worked) {
		if (*until)
			q->skips = 0;
		else if (!poll_ns || (q->skip && q->skip--))
			return false;
		*until = now_ns() + poll_ns;
	} else if (!*until) {
		return false;
	} else if (now_ns() >= *until) {
		*until = 0;
		q->skips = MIN(MAX(q->skips * 2, 1u), SKIP_MAX);
		q->skip = q->skips;
		return false;
	}
	cpu_relax();
	return true;
}

/* By the thread, as the owner. Returns whether to come again instead of sleeping. */
static bool serve(struct queue *q)
{
	bool kicks_off = false;
	int64_t until = 0;

	for (;;) {
		uint64_t before = q->pushed;
		enum batch end = BATCH_STUCK;
		struct vq *vq;

		if (!q->vr)
			return false;
		vq = &q->vr->vq;
		if (q->slab->away)
			push_all(q, slab_completed(q->slab));
		if (q->vr->enabled && !vq->broken) {
			if (!kicks_off)
				vq_kicks_off(vq);
			kicks_off = true;
			end = batch(q);
		}
		flush(q);
		if (vq->broken)
			complain(q);
		if (atomic_load_explicit(&q->holds, memory_order_relaxed))
			return true;
		if (end == BATCH_STUCK)
			return false;
		if (end == BATCH_EMPTY && !look_again(q, q->pushed != before, &until)) {
			if (!vq_kicks_on(vq))
				return false;
			kicks_off = false;
		}
	}
}

/* Watch the descriptors of now. By the thread, as the owner. */
/* seccomp: epoll_create1, epoll_ctl */
static void watch(struct queue *q)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	scoped_fd int epfd = epoll_create1(EPOLL_CLOEXEC);

	q->rewatch = false;
	q->timeout = -1;
	if (epfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, q->evfd, &ev) < 0) {
		/* Out of descriptors or memory: look often instead, and try again. */
		q->rewatch = true;
		q->timeout = KICKLESS_MS;
		return;
	}
	if (q->vr && q->vr->enabled && !q->vr->vq.broken &&
	    (q->vr->kick_fd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, q->vr->kick_fd, &ev) < 0))
		q->timeout = KICKLESS_MS;
	fd_close(&q->epfd);
	q->epfd = fd_steal(&epfd);
}

/* seccomp: epoll_wait, poll */
static void sleep_until_told(struct queue *q)
{
	struct epoll_event ev[2];

	if (q->epfd >= 0)
		epoll_wait(q->epfd, ev, ARRAY_SIZE(ev), q->timeout);
	else
		poll(NULL, 0, q->timeout);
}

/* Become the owner; false: the thread shall end. */
static bool enter(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	while (q->holds && !q->quit)
		pthread_cond_wait(&q->go, &q->lock);
	q->busy = !q->quit;
	pthread_mutex_unlock(&q->lock);
	return q->busy;
}

static void leave(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->busy = false;
	pthread_cond_signal(&q->idle);
	pthread_mutex_unlock(&q->lock);
}

/* seccomp: prctl 0==PR_SET_NAME */
static void *queue_main(void *arg)
{
	struct queue *q = arg;
	struct session *se = q->qs->conf.se;
	int r = se->ops->thread_init ? se->ops->thread_init(se->be) : 0;

	prctl(PR_SET_NAME, "virtiofsd-queue");
	pthread_mutex_lock(&q->lock);
	q->init_result = r;
	pthread_cond_signal(&q->idle);
	pthread_mutex_unlock(&q->lock);
	while (r == 0 && enter(q)) {
		bool again;

		if (q->rewatch)
			watch(q);
		again = serve(q);
		leave(q);
		if (!again)
			sleep_until_told(q);
	}
	fd_close(&q->epfd);
	return NULL;
}

/* ---- the control thread ---- */

/* In two steps, so that many queues finish what they are at side by side. */
static void ask(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->holds++;
	pthread_mutex_unlock(&q->lock);
}

static void wait_idle(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	while (q->busy)
		pthread_cond_wait(&q->idle, &q->lock);
	pthread_mutex_unlock(&q->lock);
}

static void release(struct queue *q)
{
	q->rewatch = true;
	pthread_mutex_lock(&q->lock);
	if (--q->holds == 0)
		pthread_cond_signal(&q->go);
	pthread_mutex_unlock(&q->lock);
	if (q->have_thread)
		fd_signal(q->evfd);
}

void queues_hold(struct queues *qs)
{
	for (unsigned int i = 0; i < qs->conf.max; i++)
		ask(&qs->q[i]);
	for (unsigned int i = 0; i < qs->conf.max; i++)
		wait_idle(&qs->q[i]);
}

void queues_release(struct queues *qs)
{
	for (unsigned int i = 0; i < qs->conf.max; i++)
		release(&qs->q[i]);
}

bool queues_lost(struct queues *qs)
{
	bool lost = qs->lost;

	qs->lost = false;
	return lost;
}

void queues_set_pools(struct queues *qs, struct pool *pool, struct pool *maps)
{
	qs->conf.pool = pool;
	qs->conf.maps = maps;
}

int queues_work_fd(const struct queues *qs)
{
	return qs->work_fd;
}

void queues_work(struct queues *qs)
{
	struct queue_req *list;

	fd_drain(qs->work_fd);
	pthread_mutex_lock(&qs->work_lock);
	list = qs->work;
	qs->work = NULL;
	qs->work_end = &qs->work;
	pthread_mutex_unlock(&qs->work_lock);
	if (!list)
		return;
	queues_hold(qs);
	while (list) {
		struct queue_req *r = list;

		list = r->next;
		fuse_dispatch(&r->req);
	}
	queues_release(qs);
}

/* Start the thread and wait until it is ready. */
static int start_thread(struct queue *q)
{
	int r;

	q->init_result = 1;
	r = -pthread_create(&q->thread, NULL, queue_main, q);
	if (r < 0)
		return r;
	pthread_mutex_lock(&q->lock);
	while (q->init_result == 1)
		pthread_cond_wait(&q->idle, &q->lock);
	r = q->init_result;
	pthread_mutex_unlock(&q->lock);
	if (r < 0) {
		pthread_join(q->thread, NULL);
		return r;
	}
	q->have_thread = true;
	return 0;
}

/* What a ring with @size descriptors needs; no ring is served meanwhile, so nothing is away. */
/* seccomp: eventfd2 */
static int prepare(struct queue *q, unsigned int size)
{
	unsigned int limit = q->qs->conf.max_pending;
	struct slab *slab;

	if (q->evfd < 0) {
		q->evfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (q->evfd < 0)
			return -errno;
	}
	if (q->slab && q->slab->size == size)
		return 0;
	slab = slab_new(size, limit ? MIN(size, limit) : size, q->evfd, q);
	if (!slab)
		return -ENOMEM;
	slab_free(q->slab);
	q->slab = slab;
	return 0;
}

int queues_start(struct queues *qs, struct vu_vring *vr)
{
	struct queue *q;
	int r;

	if (vr->index >= qs->conf.max)
		return -EINVAL;
	q = &qs->q[vr->index];
	/* Held before there is a thread: it finds everything in place. */
	ask(q);
	wait_idle(q);
	r = prepare(q, vr->vq.conf.size);
	if (r == 0 && !q->have_thread)
		r = start_thread(q);
	if (r == 0) {
		q->vr = vr;
		q->complained = false;
		q->batch_bytes = 0;
	}
	release(q);
	return r;
}

/* Wait for what is away, or let go of it. By the control thread, as the owner. */
static void drain(struct queue *q)
{
	int64_t until = now_ns() + q->qs->conf.drain_ms * 1000000ll;
	struct queue_req *list;
	unsigned int left;

	/* Locks may be waited for as long as somebody else likes. */
	if (q->slab->away)
		session_hurry(q->qs->conf.se);
	while (q->slab->away) {
		/* Nobody else runs these; one of them may be this queue's. */
		queues_work(q->qs);
		push_all(q, slab_completed(q->slab));
		if (!q->slab->away || slab_wait(q->slab, until))
			continue;
		left = slab_give_up(q->slab, &list);
		push_all(q, list);
		if (left) {
			q->slab = NULL;
			q->qs->lost = true;
			log_warn("queue %u: %u requests did not end within %u ms and are given up",
				 q->index, left, q->qs->conf.drain_ms);
			return;
		}
	}
}

void queues_stop(struct queues *qs, struct vu_vring *vr)
{
	struct queue *q;

	if (vr->index >= qs->conf.max)
		return;
	q = &qs->q[vr->index];
	ask(q);
	wait_idle(q);
	if (q->vr) {
		drain(q);
		flush(q);
		q->vr = NULL;
	}
	release(q);
}

int queues_new(const struct queues_conf *conf, struct queues **ret)
{
	struct queues *qs = calloc(1, sizeof(*qs) + conf->max * sizeof(qs->q[0]));

	if (!qs)
		return -ENOMEM;
	qs->conf = *conf;
	qs->work_end = &qs->work;
	qs->work_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (qs->work_fd < 0) {
		int r = -errno;

		free(qs);
		return r;
	}
	pthread_mutex_init(&qs->work_lock, NULL);
	for (unsigned int i = 0; i < conf->max; i++) {
		struct queue *q = &qs->q[i];

		q->qs = qs;
		q->index = i;
		q->evfd = -1;
		q->epfd = -1;
		pthread_mutex_init(&q->lock, NULL);
		pthread_cond_init(&q->go, NULL);
		pthread_cond_init(&q->idle, NULL);
	}
	*ret = qs;
	return 0;
}

static void end_thread(struct queue *q)
{
	if (!q->have_thread)
		return;
	pthread_mutex_lock(&q->lock);
	q->quit = true;
	pthread_cond_signal(&q->go);
	pthread_mutex_unlock(&q->lock);
	fd_signal(q->evfd);
	pthread_join(q->thread, NULL);
}

void queues_free(struct queues *qs)
{
	if (!qs)
		return;
	for (unsigned int i = 0; i < qs->conf.max; i++) {
		struct queue *q = &qs->q[i];

		end_thread(q);
		slab_free(q->slab);
		fd_close(&q->evfd);
		pthread_cond_destroy(&q->idle);
		pthread_cond_destroy(&q->go);
		pthread_mutex_destroy(&q->lock);
	}
	pthread_mutex_destroy(&qs->work_lock);
	fd_close(&qs->work_fd);
	free(qs);
}
