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
 * Nobody waits for a FORGET, and a guest that removes many files sends one for each, on a queue that has
 * nothing else. Once they come in numbers, the thread asks to be kicked for a few of them together, and looks
 * by itself after LATE_MS.
 *
 * What may wait for a disk is tried here all the same, as it mostly need not, and goes to the pool when
 * the backend finds that it has to (request.no_wait); what mostly waits goes there at once.
 *
 * No request can be trusted to do so: any name may lead to a mount that does not answer. One that keeps
 * its thread loses the queue to another one (queue_spare.c). So a thread asks whether it still is the
 * owner (@lost) when it comes back from the backend, before it touches anything of the queue.
 *
 * Requests of a batch are often about the same directory or open file. The backend may keep what one of them
 * has found for the next (request.keeps), until the thread tells it to let go: before it sleeps or gives way,
 * and before a request of another kind. What goes may be the last of a file and take its time, so the queue can be
 * taken over then as well.
 *
 * A request lives in the queue's slab (slab.c). It leaves the thread in four ways: to the pool, to the
 * control thread (INIT and DESTROY, with all queues held), because the backend answers later, or because
 * it keeps its thread while the queue goes on with another. Then it is "away" and keeps a reference on
 * the memory table by which its buffers were translated. An answer given on the queue's own thread is
 * pushed at once; elsewhere it goes to the slab's list of completed requests, from where the owner
 * pushes it.
 *
 * Stopping a ring waits for what is away. What does not come back in time is given up together with
 * its slab: the queue gets a new one, and the last late completion frees the old one.
 *
 * Locks: queue.lock guards what says so; work_lock the list of exclusive requests; watch_lock the
 * spare threads, and it is outside of queue.lock. All others, and slab.lock, are leaves; none is held
 * while a request runs.
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "dispatch.h"
#include "fd.h"
#include "gmem.h"
#include "log.h"
#include "queue_impl.h"
#include "session.h"
#include "util.h"

/* The driver sees its answers after so many at the latest, or after so many bytes of them. */
#define BATCH_REQUESTS 64u
#define BATCH_BYTES    (512u << 10)
#define KICKLESS_MS    1   /* how often a ring without a kick descriptor is looked at */
#define SKIP_MAX       64u /* so often at most polling is left out, after it was in vain */
#define LATE_MAX       16u /* so many forgets may lie in the ring… */
#define LATE_MS        5   /* …for so long */
#define COMPLAIN_NS    (10 * 1000000000ll) /* one line about a broken ring at most this often */

/*
 * What this thread is doing. @q: the queue that it serves, or NULL. @r: the request with which it is in the
 * backend, or NULL; @op: queue.op then. @lost: another thread serves the queue by now, of which nothing is to
 * be touched any more. @keeps: the backend may keep something for this thread's next request.
 */
static _Thread_local struct {
	struct queue *q;
	struct queue_req *r;
	uint64_t op;
	bool lost;
	bool keeps;
} me;

static struct queue_req no_request; /* me.r of a thread that is in the backend without one */

/* ---- requests ---- */

void queue_go_away(struct queue *q, struct queue_req *r)
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
	q->silent += !r->used;
	if (r->gm)
		come_back(q, r);
	if (unlikely(r->kept))
		session_pending_del(q->qs->conf.se, &r->req);
	slab_put(r);
}

/* Into the backend with a request, or with none (NULL), by the owner. */
static void op_begin(struct queue *q, struct queue_req *r)
{
	q->current = r;
	me.r = r ? r : &no_request;
	me.op = atomic_load_explicit(&q->op, memory_order_relaxed) + 3;
	atomic_store_explicit(&q->op, me.op, memory_order_release);
}

/* Out of it: whether this thread still is the owner. */
static bool op_end(struct queue *q)
{
	uint64_t op = me.op;

	me.r = NULL;
	/* Whoever has taken over has changed it, and no number comes again. */
	me.lost = !atomic_compare_exchange_strong_explicit(
		&q->op, &op, op - 1, memory_order_acq_rel, memory_order_relaxed);
	return !me.lost;
}

/* Whether a request that was answered on this thread can go to the ring at once. */
static bool may_push(struct queue *q, const struct queue_req *r)
{
	if (me.q != q || me.lost)
		return false;
	if (likely(me.r))
		return me.r == r && op_end(q);
	/* A late one of a slab that was given up may end here, too. */
	return r->slab == q->slab;
}

/* request.done */
static void queue_done(struct request *req, size_t used)
{
	struct queue_req *r = container_of(req, struct queue_req, req);
	struct queue *q = r->slab->user;

	r->used = used;
	if (likely(may_push(q, r))) {
		if (r->interruptible)
			session_pending_del(req->se, req);
		push(q, r);
		return;
	}
	/* One that has kept its thread may be known, too. */
	session_pending_del(req->se, req);
	slab_complete(r);
}

void queue_push_all(struct queue *q, struct queue_req *list)
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

	r->req.keeps = false;
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
	queue_go_away(q, r);
	make_known(q, r);
	if (pool_submit(pool, &r->task) == 0)
		return true;
	come_back(q, r);
	return false;
}

/* Nothing is kept for this thread's next request. Also by one that has lost its queue. */
static void rest(const struct session *se)
{
	if (!me.keeps)
		return;
	me.keeps = false;
	if (se->ops->rest)
		se->ops->rest(se->be);
}

/* The same between two requests: what goes may be the last of a file here, too. */
static void rest_alone(struct queue *q)
{
	const struct session *se = q->qs->conf.se;
	bool owner = !me.lost;

	if (!me.keeps)
		return;
	if (owner)
		op_begin(q, NULL);
	rest(se);
	if (owner)
		op_end(q);
}

/* On this thread, as long as it need not wait. */
static void run_here(struct queue *q, struct queue_req *r)
{
	struct pool *pool = q->qs->conf.pool;
	struct request *req = &r->req;

	bool again;

	req->no_wait = pool;
	op_begin(q, r);
	/* What goes may be the last of a file, and take its time: from here on the queue can go on without us. */
	if (!req->keeps)
		rest(req->se);
	me.keeps = req->keeps;
	again = !fuse_dispatch(req);
	/* Answered, and perhaps not ours any more. */
	if (likely(!me.r))
		return;
	op_end(q);
	if (again) {
		req->no_wait = false;
		if (!me.lost && give_to_pool(q, r, pool))
			return;
		if (!me.lost)
			op_begin(q, r);
		fuse_dispatch(req);
		if (!me.r)
			return;
		op_end(q);
	}
	/* It is answered later: the table cannot have changed, as this thread is busy. */
	if (!me.lost)
		queue_go_away(q, r);
}

static void run(struct queue *q, struct queue_req *r)
{
	struct request *req = &r->req;
	const struct queues_conf *conf = &q->qs->conf;

	req->se = q->qs->conf.se;
	req->done = queue_done;
	req->faulted = r->chain.faulted;
	req->crowded = 2 * q->slab->held >= q->slab->max;
	iov_init(&req->in, r->iov, r->chain.nread);
	iov_init(&req->out, r->iov + r->chain.nread, r->chain.nwrite);
	r->task.run = run_in_pool;
	r->gm = NULL;
	r->held = 0;
	r->kept = false;
	r->interruptible = false;

	switch (fuse_receive(req)) {
	case FUSE_ANSWERED:
		return;
	case FUSE_EXCLUSIVE:
		queue_go_away(q, r);
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
void queue_flush(struct queue *q)
{
	q->batch_bytes = 0;
	if (vq_flush(&q->vr->vq))
		vu_vring_call(q->vr);
}

enum batch {
	BATCH_EMPTY, /* the ring is */
	BATCH_MORE,  /* there may be more in it */
	BATCH_STUCK, /* there may be, but it cannot be taken now */
	BATCH_LOST,  /* the queue is another thread's */
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
		if (unlikely(me.lost))
			return BATCH_LOST;
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

/*
 * The thread is going to sleep: how many the driver may add before it kicks. @silent, @pushed: when the thread
 * woke; @late: so it was then.
 */
static uint16_t may_be_late(struct queue *q, uint64_t silent, uint64_t pushed, bool late)
{
	const struct vq *vq = &q->vr->vq;
	uint64_t n = q->silent - silent;
	int64_t before = q->slept_at, now;

	q->late = false;
	if (likely(n == 0 || n != q->pushed - pushed) || !vq->conf.event_idx)
		return 0;
	now = q->slept_at = now_ns();
	/* One alone is to be the second within a short time, and not what a sleep of LATE_MS has brought. */
	if (n < 2 && (late || now - before > LATE_MS * 500000ll))
		return 0;
	q->late = true;
	return (uint16_t)MIN(LATE_MAX, vq->conf.size / 2u);
}

/* By the thread, as the owner. Returns whether to come again instead of sleeping. */
static bool serve(struct queue *q)
{
	const uint64_t silent = q->silent, pushed = q->pushed;
	const bool late = q->late;
	bool kicks_off = false;
	int64_t until = 0;

	q->late = false;
	for (;;) {
		uint64_t before = q->pushed - q->silent;
		enum batch end = BATCH_STUCK;
		struct vq *vq;

		if (!q->vr)
			return false;
		vq = &q->vr->vq;
		if (q->slab->away)
			queue_push_all(q, slab_completed(q->slab));
		if (q->vr->enabled && !vq->broken) {
			if (!kicks_off)
				vq_kicks_off(vq);
			kicks_off = true;
			end = batch(q);
			if (unlikely(end == BATCH_LOST))
				return false;
		}
		queue_flush(q);
		if (vq->broken)
			complain(q);
		if (atomic_load_explicit(&q->holds, memory_order_relaxed))
			return true;
		if (end == BATCH_STUCK)
			return false;
		if (end == BATCH_EMPTY && !look_again(q, q->pushed - q->silent != before, &until)) {
			if (!vq_kicks_on(vq, may_be_late(q, silent, pushed, late)))
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
	int timeout = q->late && q->timeout < 0 ? LATE_MS : q->timeout;
	struct epoll_event ev[2];

	if (q->epfd >= 0)
		epoll_wait(q->epfd, ev, ARRAY_SIZE(ev), timeout);
	else
		poll(NULL, 0, timeout);
}

/* Become the owner; false: the thread shall end. */
static bool enter(struct queue *q)
{
	bool busy;

	pthread_mutex_lock(&q->lock);
	while (q->holds && !q->quit)
		pthread_cond_wait(&q->go, &q->lock);
	busy = q->busy = !q->quit;
	pthread_mutex_unlock(&q->lock);
	if (unlikely(atomic_load(&q->qs->parked)) && busy)
		queue_spare_arm(q);
	return busy;
}

static void leave(struct queue *q)
{
	if (unlikely(q->armed))
		queue_spare_disarm(q);
	pthread_mutex_lock(&q->lock);
	q->busy = false;
	pthread_cond_signal(&q->idle);
	pthread_mutex_unlock(&q->lock);
}

/* Serve the queue until told to end, or until another thread does. @busy: as its owner already. */
void queue_serve(struct queue *q, bool busy)
{
	me.q = q;
	me.lost = false;
	while (busy || enter(q)) {
		bool again;

		busy = false;
		if (q->rewatch)
			watch(q);
		again = serve(q);
		rest_alone(q);
		if (me.lost)
			break;
		leave(q);
		if (!again)
			sleep_until_told(q);
	}
	if (!me.lost) {
		fd_close(&q->epfd);
		pthread_mutex_lock(&q->lock);
		q->over = true;
		pthread_cond_signal(&q->idle);
		pthread_mutex_unlock(&q->lock);
	}
	me.q = NULL;
	me.lost = false;
}

/* seccomp: prctl 0==PR_SET_NAME */
void *queue_main(void *arg)
{
	struct queue *q = arg;
	struct session *se = q->qs->conf.se;
	int r = se->ops->thread_init ? se->ops->thread_init(se->be) : 0;

	prctl(PR_SET_NAME, "virtiofsd-queue");
	pthread_mutex_lock(&q->lock);
	q->init_result = r;
	pthread_cond_signal(&q->idle);
	pthread_mutex_unlock(&q->lock);
	if (r == 0)
		queue_serve(q, false);
	return NULL;
}
