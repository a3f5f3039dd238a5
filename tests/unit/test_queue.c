// SPDX-License-Identifier: Apache-2.0
/* Queue threads under a front-end that starts, stops and changes rings while requests run. */
/*
 * Theory of operation
 *
 * A device over a socket pair, with the real queues and pool and a backend of this file whose
 * operations wait at a gate, or are answered by another thread. The test's own thread is the front-end;
 * a second one is the control thread; more of them put load on rings of their own.
 *
 * STATFS waits (pool), GETATTR runs on the queue's thread: for node 7 both stand at the gate, for node 8
 * GETATTR takes about as long as it may before another thread takes over. FSYNC is answered later, by a
 * thread that is started for it.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fd.h"
#include "log.h"
#include "pool.h"
#include "queue.h"
#include "session.h"
#include "util.h"
#include "vu_dev.h"
#include "vuf_fuse.h"

#define RINGS       5u
#define SLOW_NODE   7u
#define LAZY_NODE   8u
#define DRAIN_LONG  20000u
#define DRAIN_SHORT 50u

struct backend {
	sem_t gate;    /* SLOW_NODE waits here… */
	sem_t at_gate; /* …after having said so here */
	_Atomic unsigned int inits;
	_Atomic unsigned int destroys;
	_Atomic unsigned int forgets;
	_Atomic unsigned int late; /* threads that answer later */
	_Atomic unsigned int lazy; /* GETATTRs of LAZY_NODE */
	_Atomic bool exclusive;    /* INIT or DESTROY is running */
	_Atomic bool overlapped;   /* …and something else was, too */
	_Atomic int keepers;       /* threads that keep something for their next request… */
	_Atomic unsigned int kept; /* …and found it there */
	_Atomic bool hoarded; /* one has kept it for too long, or where nothing is to be kept */
	_Atomic bool clings;  /* the next one to let go waits at the gate */
};

static _Thread_local bool keeping;

struct bench {
	struct backend be;
	struct session se;
	struct pool *pool;
	struct pool *spares;
	struct queues *qs;
	struct vu_dev *dev;
	struct vuf *v;
	int sock;
	pthread_t control;
};

/* ---- the backend ---- */

static void alone(struct backend *be, bool on)
{
	if (atomic_exchange(&be->exclusive, on) == on)
		atomic_store(&be->overlapped, true);
}

static void shared(struct backend *be)
{
	if (atomic_load(&be->exclusive))
		atomic_store(&be->overlapped, true);
}

static int be_init(void *p, struct fuse_init *init)
{
	struct backend *be = p;

	(void)init;
	alone(be, true);
	sched_yield();
	atomic_fetch_add(&be->inits, 1);
	alone(be, false);
	return 0;
}

static void be_destroy(void *p)
{
	struct backend *be = p;

	alone(be, true);
	sched_yield();
	atomic_fetch_add(&be->destroys, 1);
	alone(be, false);
}

/* A request begins that has no use for what was kept. */
static void nothing_kept(struct backend *be)
{
	if (keeping)
		atomic_store(&be->hoarded, true);
}

static void stand_at_gate(struct backend *be)
{
	sem_post(&be->at_gate);
	while (sem_wait(&be->gate) < 0)
		;
}

static void be_rest(void *p)
{
	struct backend *be = p;

	if (keeping)
		atomic_fetch_sub(&be->keepers, 1);
	keeping = false;
	if (atomic_exchange(&be->clings, false))
		stand_at_gate(be);
}

/* Every third one would have to wait. */
static ssize_t be_read(struct request *req, uint64_t nodeid, const struct fuse_read_in *in,
		       struct iov_cursor *dst)
{
	struct backend *be = req_backend(req);

	(void)nodeid;
	(void)in;
	(void)dst;
	if (!req->keeps)
		nothing_kept(be);
	else if (keeping)
		atomic_fetch_add(&be->kept, 1);
	else
		atomic_fetch_add(&be->keepers, 1);
	keeping = req->keeps;
	return req->no_wait && req->hdr.unique % 3 == 0 ? REQ_WOULD_WAIT : 0;
}

static void be_forget(void *p, uint64_t nodeid, uint64_t nlookup)
{
	struct backend *be = p;

	(void)nodeid;
	shared(be);
	atomic_fetch_add(&be->forgets, (unsigned int)nlookup);
}

static int be_getattr(struct request *req, uint64_t nodeid, const uint64_t *fh,
		      struct fuse_attr_out *ret)
{
	struct backend *be = req_backend(req);

	(void)fh;
	shared(be);
	nothing_kept(be);
	if (nodeid == SLOW_NODE)
		stand_at_gate(be);
	if (nodeid == LAZY_NODE)
		usleep(3000 + atomic_fetch_add(&be->lazy, 1) % 8 * 1000);
	ret->attr.ino = nodeid;
	return 0;
}

static int be_statfs(struct request *req, uint64_t nodeid, struct fuse_kstatfs *ret)
{
	struct backend *be = req_backend(req);

	nothing_kept(be);
	if (nodeid == SLOW_NODE)
		stand_at_gate(be);
	ret->blocks = nodeid;
	return 0;
}

static void *answer_later(void *arg)
{
	struct request *req = arg;
	struct backend *be = req_backend(req);

	req_reply_err(req, 0);
	atomic_fetch_sub(&be->late, 1);
	return NULL;
}

static int be_fsync(struct request *req, uint64_t nodeid, uint64_t fh, bool datasync)
{
	struct backend *be = req_backend(req);
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	(void)nodeid;
	(void)fh;
	(void)datasync;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	atomic_fetch_add(&be->late, 1);
	r = pthread_create(&thread, &attr, answer_later, req);
	pthread_attr_destroy(&attr);
	if (r == 0)
		return REQ_PENDING;
	atomic_fetch_sub(&be->late, 1);
	return -r;
}

static const struct fuse_ops ops = {
	.name = "test",
	.init = be_init,
	.destroy = be_destroy,
	.rest = be_rest,
	.forget = be_forget,
	.read = be_read,
	.getattr = be_getattr,
	.statfs = be_statfs,
	.fsync = be_fsync,
};

/* ---- the daemon in small ---- */

static int vring_start(void *owner, struct vu_vring *vr)
{
	return queues_start(((struct bench *)owner)->qs, vr);
}

static void vring_failed(void *owner, struct vu_vring *vr, int error)
{
	(void)owner;
	(void)vr;
	fail_msg("a ring cannot be started: %d", error);
}

static void vring_stop(void *owner, struct vu_vring *vr)
{
	queues_stop(((struct bench *)owner)->qs, vr);
}

static void quiesce(void *owner)
{
	queues_hold(((struct bench *)owner)->qs);
}

static void resume(void *owner)
{
	queues_release(((struct bench *)owner)->qs);
}

static void reset(void *owner)
{
	struct bench *b = owner;

	queues_hold(b->qs);
	session_end(&b->se);
	queues_release(b->qs);
}

static const struct vu_dev_ops dev_ops = {
	.vring_start = vring_start,
	.vring_failed = vring_failed,
	.vring_stop = vring_stop,
	.quiesce = quiesce,
	.resume = resume,
	.reset = reset,
};

static void *control(void *arg)
{
	struct bench *b = arg;
	struct pollfd pfd[] = {
		{.fd = queues_work_fd(b->qs), .events = POLLIN},
		{.fd = b->sock, .events = POLLIN},
	};

	vu_dev_connect(b->dev, b->sock);
	for (;;) {
		if (poll(pfd, ARRAY_SIZE(pfd), -1) < 0)
			continue;
		if (pfd[0].revents)
			queues_work(b->qs);
		if (pfd[1].revents && vu_dev_handle(b->dev) <= 0)
			break;
	}
	vu_dev_disconnect(b->dev);
	return NULL;
}

/* What a bench is like: threads of the pools, 0 = there is none. */
struct kind {
	unsigned int pool_size;
	unsigned int spares;
	unsigned int poll_us;
	unsigned int drain_ms;
	bool packed;
	bool no_event_idx;
};

static struct bench *bench_of(struct kind kind)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct vu_dev_conf dev_conf = {
		.ops = &dev_ops, .owner = b, .max_queues = RINGS, .num_request_queues = RINGS - 1};
	struct queues_conf conf = {
		.se = &b->se, .max = RINGS, .drain_ms = kind.drain_ms, .poll_us = kind.poll_us};
	struct vuf_conf vuf_conf = {.rings = RINGS,
				    .ring_size = 64,
				    .packed = kind.packed,
				    .no_event_idx = kind.no_event_idx};
	struct fuse_init_out out;
	int sv[2];

	assert_non_null(b);
	sem_init(&b->be.gate, 0, 0);
	sem_init(&b->be.at_gate, 0, 0);
	assert_int_equal(session_init(&b->se, &ops, &b->be), 0);
	if (kind.pool_size)
		assert_int_equal(pool_new(kind.pool_size, 0, NULL, NULL, &b->pool), 0);
	if (kind.spares)
		assert_int_equal(pool_new(kind.spares, 20, NULL, NULL, &b->spares), 0);
	conf.pool = b->pool;
	conf.spares = b->spares;
	assert_int_equal(queues_new(&conf, &b->qs), 0);
	assert_int_equal(vu_dev_new(&dev_conf, &b->dev), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	b->sock = sv[0];
	assert_int_equal(pthread_create(&b->control, NULL, control, b), 0);
	assert_int_equal(vuf_new(&vuf_conf, &b->v), 0);
	vuf_attach(b->v, sv[1]);
	assert_int_equal(vuf_bring_up(b->v), 0);
	assert_int_equal(vuf_fuse_init(b->v, 38, 0, &out), 0);
	return b;
}

static struct bench *bench_new(unsigned int pool_size, unsigned int drain_ms)
{
	return bench_of((struct kind){.pool_size = pool_size, .drain_ms = drain_ms});
}

static void bench_free(struct bench *b)
{
	vuf_hangup(b->v);
	pthread_join(b->control, NULL);
	queues_end(b->qs);
	if (b->pool)
		assert_true(pool_stop(b->pool, 60000));
	if (b->spares)
		assert_true(pool_stop(b->spares, 60000));
	while (atomic_load(&b->be.late))
		sched_yield();
	queues_free(b->qs);
	vu_dev_free(b->dev);
	session_done(&b->se);
	pool_free(b->pool);
	pool_free(b->spares);
	vuf_free(b->v);
	assert_false(atomic_load(&b->be.overlapped));
	assert_false(atomic_load(&b->be.hoarded));
	assert_int_equal(atomic_load(&b->be.keepers), 0);
	assert_int_equal(atomic_load(&b->be.inits), atomic_load(&b->be.destroys));
	sem_destroy(&b->be.gate);
	sem_destroy(&b->be.at_gate);
	free(b);
}

/* ---- requests ---- */

static size_t args_of(uint32_t opcode)
{
	if (opcode == FUSE_GETATTR)
		return sizeof(struct fuse_getattr_in);
	if (opcode == FUSE_READ)
		return sizeof(struct fuse_read_in);
	return opcode == FUSE_FSYNC ? sizeof(struct fuse_fsync_in) : 0;
}

static struct vuf_req *make(struct bench *b, uint32_t opcode, uint64_t nodeid)
{
	static const uint8_t zero[64];
	struct vuf_req *q = vuf_req_new(b->v, 256, 256);

	assert_non_null(q);
	vuf_req_begin(q, opcode, nodeid);
	assert_int_equal(vuf_req_add(q, zero, args_of(opcode)), 0);
	return q;
}

static void call(struct bench *b, unsigned int ring, uint32_t opcode, uint64_t nodeid)
{
	struct vuf_req *q = make(b, opcode, nodeid);

	assert_int_equal(vuf_req_call(q, &b->v->ring[ring]), 0);
	vuf_req_free(q);
}

static struct vuf_req *submit(struct bench *b, unsigned int ring, uint32_t opcode, uint64_t nodeid)
{
	struct vuf_req *q = make(b, opcode, nodeid);

	assert_int_equal(vuf_req_submit(q, &b->v->ring[ring]), 0);
	vuf_ring_kick(&b->v->ring[ring]);
	return q;
}

static void finish(struct bench *b, unsigned int ring, struct vuf_req *q)
{
	assert_int_equal(vuf_req_wait(q, &b->v->ring[ring]), 0);
	assert_int_equal(vuf_req_check(q), 0);
	vuf_req_free(q);
}

static struct vuf_req *submit_forget(struct bench *b, unsigned int ring)
{
	struct fuse_forget_in in = {.nlookup = 1};
	struct vuf_req *q = vuf_req_new(b->v, 256, 256);

	assert_non_null(q);
	vuf_req_begin(q, FUSE_FORGET, 5);
	assert_int_equal(vuf_req_add(q, &in, sizeof(in)), 0);
	q->out_len = 0;
	assert_int_equal(vuf_req_submit(q, &b->v->ring[ring]), 0);
	return q;
}

static void forget(struct bench *b, unsigned int ring)
{
	finish(b, ring, submit_forget(b, ring));
}

/* ---- load on one ring ---- */

struct load {
	struct bench *b;
	unsigned int ring;
	pthread_t thread;
	_Atomic bool stop;
	unsigned long done;
	int error;
};

/* Keeps 16 requests on the way, of all kinds. No asserts: this is not the test's thread. */
static void *load_main(void *arg)
{
	static const uint32_t opcodes[] = {FUSE_GETATTR, FUSE_STATFS, FUSE_READ, FUSE_FSYNC,
					   FUSE_READ};
	struct load *l = arg;
	struct vuf_ring *ring = &l->b->v->ring[l->ring];
	struct vuf_req *q[16], *got;
	unsigned int out = 0;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(q); i++) {
		q[i] = make(l->b, opcodes[i % ARRAY_SIZE(opcodes)], 3);
		l->error = vuf_req_submit(q[i], ring);
		out++;
	}
	vuf_ring_kick(ring);
	while (out && !l->error) {
		l->error = vuf_ring_wait(ring, 1, 20000);
		while (!l->error && (r = vuf_req_reap(ring, &got)) != 0) {
			if (r < 0 || vuf_req_check(got) < 0) {
				l->error = -EPROTO;
				break;
			}
			l->done++;
			if (atomic_load(&l->stop)) {
				out--;
				continue;
			}
			vuf_req_begin(got, got->opcode, 3);
			got->in_len = 0;
			vuf_req_adopt(got, sizeof(struct fuse_in_header) + args_of(got->opcode));
			l->error = vuf_req_submit(got, ring);
		}
		vuf_ring_kick(ring);
	}
	for (size_t i = 0; i < ARRAY_SIZE(q); i++)
		vuf_req_free(q[i]);
	return NULL;
}

static void load_start(struct load *l, struct bench *b, unsigned int ring)
{
	*l = (struct load){.b = b, .ring = ring};
	assert_int_equal(pthread_create(&l->thread, NULL, load_main, l), 0);
}

static void load_end(struct load *l)
{
	atomic_store(&l->stop, true);
	pthread_join(l->thread, NULL);
	assert_int_equal(l->error, 0);
	assert_true(l->done >= 16);
}

/* ---- tests ---- */

static void all_kinds(void **state)
{
	(void)state;
	for (unsigned int pool = 0; pool < 3; pool++) {
		struct bench *b = bench_new(pool, DRAIN_LONG);

		for (unsigned int ring = 0; ring < RINGS; ring++) {
			call(b, ring, FUSE_GETATTR, 3);
			call(b, ring, FUSE_STATFS, 3);
			call(b, ring, FUSE_FSYNC, 3);
			forget(b, ring);
		}
		assert_int_equal(atomic_load(&b->be.forgets), RINGS);
		bench_free(b);
	}
}

/* What a request leaves to the next one is there for that, and gone when the thread sleeps. */
static void keeps_for_the_next(void **state)
{
	struct bench *b = bench_new(0, DRAIN_LONG);
	struct vuf_req *q[8];
	uint32_t base;

	(void)state;
	for (unsigned int n = 0; n < 10; n++) {
		/* So that all are there at once. */
		assert_int_equal(vuf_ring_stop(b->v, 1, &base), 0);
		for (unsigned int i = 0; i < ARRAY_SIZE(q); i++) {
			q[i] = make(b, i == 4 ? FUSE_GETATTR : FUSE_READ, 3);
			assert_int_equal(vuf_req_submit(q[i], &b->v->ring[1]), 0);
		}
		assert_int_equal(vuf_ring_start(b->v, 1, base), 0);
		for (unsigned int i = 0; i < ARRAY_SIZE(q); i++)
			finish(b, 1, q[i]);
		/* It lets go after it has answered. */
		for (int i = 0; atomic_load(&b->be.keepers) && i < 10000; i++)
			usleep(1000);
		assert_int_equal(atomic_load(&b->be.keepers), 0);
	}
	/* Four READs, another request, three READs: the first of each found nothing. */
	assert_int_equal(atomic_load(&b->be.kept), 10 * (3 + 2));
	bench_free(b);
}

/* Whether the device wants to be kicked not for the next chain, but for the one that comes 16 later. */
static bool waits_for_more(const struct vuf_ring *r)
{
	uint16_t size = r->conf.size, to = (uint16_t)(r->used_pos + 16);

	if (r->conf.packed)
		return (__atomic_load_n(&r->device->off_wrap, __ATOMIC_RELAXED) & 0x7fff) ==
		       to % size;
	return __atomic_load_n((uint16_t *)(void *)&r->used->ring[size], __ATOMIC_RELAXED) == to;
}

/* Where forgets come in numbers they are kicked for together, and none is left lying; others are served as ever. */
static void forgets_in_numbers(void **state)
{
	(void)state;
	for (unsigned int k = 0; k < 4; k++) {
		struct bench *b = bench_of((struct kind){
			.drain_ms = DRAIN_LONG, .packed = k % 2, .no_event_idx = k / 2});
		struct vuf_ring *ring = &b->v->ring[0];
		unsigned int rounds = 0;
		struct vuf_req *q[16];
		bool seen = false;

		/* Soon, but for how long the thread sleeps so depends on how busy the machine is. */
		while (!seen && rounds++ < (k < 2 ? 5000 : 20)) {
			for (unsigned int i = 0; i < ARRAY_SIZE(q); i++)
				q[i] = submit_forget(b, 0);
			for (unsigned int i = 0; i < ARRAY_SIZE(q); i++)
				finish(b, 0, q[i]);
			for (unsigned int i = 0; k < 2 && !seen && i < 100; i++) {
				seen = waits_for_more(ring);
				sched_yield();
			}
		}
		assert_int_equal(seen, k < 2);
		/* With or without a kick. */
		forget(b, 0);
		call(b, 0, FUSE_GETATTR, 3);
		bench_free(b);
	}
}

/* The control thread changes things all the time while four rings are busy. */
static void change_under_load(unsigned int poll_us)
{
	struct bench *b = bench_of((struct kind){
		.pool_size = 2, .spares = 2, .drain_ms = DRAIN_LONG, .poll_us = poll_us});
	struct load l[RINGS - 1];

	for (unsigned int i = 0; i < ARRAY_SIZE(l); i++)
		load_start(&l[i], b, i + 1);
	for (unsigned int n = 0; n < 150; n++) {
		unsigned int i = 1 + n % (RINGS - 1);

		assert_int_equal(vuf_set_fd(b->v, VU_SET_VRING_CALL, i, b->v->ring[i].call_fd), 0);
		assert_int_equal(vuf_set_state(b->v, VU_SET_VRING_ENABLE, i, 0), 0);
		assert_int_equal(vuf_set_fd(b->v, VU_SET_VRING_KICK, i, b->v->ring[i].kick_fd), 0);
		assert_int_equal(vuf_set_state(b->v, VU_SET_VRING_ENABLE, i, 1), 0);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(l); i++)
		load_end(&l[i]);
	bench_free(b);
}

static void changes_under_load(void **state)
{
	(void)state;
	change_under_load(0);
	change_under_load(200);
}

/* A queue that was busy looks for more without being kicked, but not for ever. */
static void polls(void **state)
{
	struct bench *b = bench_of((struct kind){.drain_ms = DRAIN_LONG, .poll_us = 10000});
	struct timespec from, to;
	unsigned int seen = 0;

	(void)state;
	for (unsigned int n = 0; n < 2000 && seen < 10; n++) {
		struct vuf_req *q = make(b, FUSE_GETATTR, 3);

		call(b, 1, FUSE_GETATTR, 3);
		assert_int_equal(vuf_req_submit(q, &b->v->ring[1]), 0);
		/* Long after it was done, and yet it asks for no kick. */
		usleep(500);
		seen += !vuf_ring_kick(&b->v->ring[1]);
		finish(b, 1, q);
	}
	assert_int_equal(seen, 10);
	usleep(100000);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	usleep(300000);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	assert_true((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000 < 100);
	bench_free(b);
}

/* A ring is stopped in full flight and started again where it was: nothing is lost or done twice. */
static void restarts_under_load(void **state)
{
	struct bench *b = bench_new(2, DRAIN_LONG);
	struct load l[2];

	(void)state;
	load_start(&l[0], b, 1);
	load_start(&l[1], b, 2);
	for (unsigned int n = 0; n < 60; n++) {
		uint32_t base;

		assert_int_equal(vuf_ring_stop(b->v, 1, &base), 0);
		assert_int_equal(vuf_ring_start(b->v, 1, base), 0);
	}
	load_end(&l[0]);
	load_end(&l[1]);
	bench_free(b);
}

/* A request that waits in the pool holds up nobody, and its answer comes when it can. */
static void stalled_in_pool(void **state)
{
	struct bench *b = bench_new(1, DRAIN_LONG);
	struct vuf_req *q = submit(b, 1, FUSE_STATFS, SLOW_NODE);

	(void)state;
	sem_wait(&b->be.at_gate);
	forget(b, 0);
	call(b, 1, FUSE_GETATTR, 3);
	call(b, 2, FUSE_GETATTR, 3);
	assert_false(q->done);
	sem_post(&b->be.gate);
	finish(b, 1, q);
	bench_free(b);
}

/* One that waits on the queue's own thread does not, either: another thread serves the queue. */
static void stuck_on_its_thread(void **state)
{
	struct bench *b = bench_of((struct kind){.spares = 3, .drain_ms = DRAIN_LONG});

	(void)state;
	for (unsigned int n = 0; n < 4; n++) {
		struct vuf_req *q[2];

		/* The second one sticks to the thread that has taken over from the first. */
		for (unsigned int i = 0; i < 2; i++) {
			q[i] = submit(b, 1, FUSE_GETATTR, SLOW_NODE);
			sem_wait(&b->be.at_gate);
		}
		call(b, 1, FUSE_GETATTR, 3);
		call(b, 2, FUSE_FSYNC, 3);
		forget(b, 1);
		assert_false(q[0]->done || q[1]->done);
		sem_post(&b->be.gate);
		sem_post(&b->be.gate);
		finish(b, 1, q[0]);
		if (!q[1]->done)
			finish(b, 1, q[1]);
		else
			vuf_req_free(q[1]);
	}
	bench_free(b);
}

/* Nor does one that waits when it lets go of what it has kept. */
static void stuck_after_the_last(void **state)
{
	struct bench *b = bench_of((struct kind){.spares = 3, .drain_ms = DRAIN_LONG});

	(void)state;
	for (unsigned int n = 0; n < 4; n++) {
		atomic_store(&b->be.clings, true);
		call(b, 1, FUSE_READ, 3);
		sem_wait(&b->be.at_gate);
		call(b, 1, FUSE_GETATTR, 3);
		call(b, 1, FUSE_FSYNC, 3);
		sem_post(&b->be.gate);
		call(b, 1, FUSE_GETATTR, 3);
	}
	bench_free(b);
}

/* Requests that end just when another thread takes over, and rings that stop then. */
static void takes_over_at_any_time(void **state)
{
	struct bench *b = bench_of((struct kind){.spares = 8, .drain_ms = DRAIN_LONG});
	struct load l;

	(void)state;
	load_start(&l, b, 2);
	for (unsigned int n = 0; n < 60; n++) {
		struct vuf_req *q[3];
		uint32_t base;

		for (unsigned int i = 0; i < ARRAY_SIZE(q); i++)
			q[i] = submit(b, 1, FUSE_GETATTR, LAZY_NODE);
		if (n % 4 == 0) {
			assert_int_equal(vuf_ring_stop(b->v, 1, &base), 0);
			assert_int_equal(vuf_ring_start(b->v, 1, base), 0);
		}
		for (unsigned int i = 0; i < ARRAY_SIZE(q); i++) {
			if (!q[i]->done)
				assert_int_equal(vuf_req_wait(q[i], &b->v->ring[1]), 0);
			assert_int_equal(vuf_req_check(q[i]), 0);
			vuf_req_free(q[i]);
		}
	}
	load_end(&l);
	bench_free(b);
}

static void *open_gate(void *arg)
{
	struct bench *b = arg;

	/* While the front-end waits in GET_VRING_BASE, most likely; either way must work. */
	poll(NULL, 0, 20);
	sem_post(&b->be.gate);
	return NULL;
}

static void stop_waits(void **state)
{
	struct bench *b = bench_new(1, DRAIN_LONG);
	struct vuf_req *q = submit(b, 1, FUSE_STATFS, SLOW_NODE);
	pthread_t opener;
	uint32_t base;

	(void)state;
	sem_wait(&b->be.at_gate);
	assert_int_equal(pthread_create(&opener, NULL, open_gate, b), 0);
	assert_int_equal(vuf_ring_stop(b->v, 1, &base), 0);
	/* It is in the used ring by now. */
	assert_true(vuf_ring_pending(&b->v->ring[1]));
	finish(b, 1, q);
	pthread_join(opener, NULL);
	bench_free(b);
}

/* What does not end in time is given up; it ends later, also with its ring in use again. */
static void stop_gives_up(void **state)
{
	struct bench *b = bench_new(2, DRAIN_SHORT);
	struct vuf_req *q[2];
	uint32_t base;

	(void)state;
	for (unsigned int n = 0; n < 2; n++) {
		q[n] = submit(b, 1, FUSE_STATFS, SLOW_NODE);
		sem_wait(&b->be.at_gate);
	}
	assert_int_equal(vuf_ring_stop(b->v, 1, &base), 0);
	assert_false(vuf_ring_pending(&b->v->ring[1]));
	vuf_ring_reset(&b->v->ring[1], 0);
	assert_int_equal(vuf_ring_start(b->v, 1, 0), 0);
	call(b, 1, FUSE_GETATTR, 3);
	sem_post(&b->be.gate);
	sem_post(&b->be.gate);
	for (unsigned int n = 0; n < 100; n++)
		call(b, 1, FUSE_STATFS, 3);
	assert_false(q[0]->done || q[1]->done);
	for (unsigned int n = 0; n < 2; n++)
		vuf_req_free(q[n]);
	bench_free(b);
}

/* GET_VRING_BASE must run the INIT or DESTROY that only its own thread can run. */
static void stop_runs_exclusive(void **state)
{
	struct bench *b = bench_new(1, DRAIN_LONG);

	(void)state;
	for (unsigned int n = 0; n < 50; n++) {
		struct vuf_req *q = submit(b, 1, FUSE_DESTROY, 0);
		struct fuse_init_out out;
		uint32_t base;

		assert_int_equal(vuf_ring_stop(b->v, 1, &base), 0);
		assert_int_equal(vuf_ring_start(b->v, 1, base), 0);
		assert_int_equal(vuf_req_wait(q, &b->v->ring[1]), 0);
		vuf_req_free(q);
		assert_int_equal(vuf_fuse_init(b->v, 38, 0, &out), 0);
	}
	bench_free(b);
}

static void broken_ring(void **state)
{
	struct bench *b = bench_new(0, DRAIN_LONG);
	struct vuf_ring *ring = &b->v->ring[1];

	(void)state;
	/* A head index that no descriptor has. */
	vuf_ring_offer(ring, ring->conf.size);
	vuf_ring_kick_force(ring);
	while (!vuf_ring_broken(ring))
		sched_yield();
	call(b, 2, FUSE_GETATTR, 3);
	assert_int_equal(vuf_ring_stop(b->v, 1, NULL), 0);
	vuf_ring_reset(ring, 0);
	assert_int_equal(vuf_ring_start(b->v, 1, 0), 0);
	call(b, 1, FUSE_GETATTR, 3);
	bench_free(b);
}

/* The front-end goes in full flight. */
static void hangup_under_load(void **state)
{
	(void)state;
	for (unsigned int n = 0; n < 10; n++) {
		struct bench *b = bench_new(2, DRAIN_LONG);
		struct vuf_req *q[64];
		unsigned int out = 0;

		for (; out < 20; out++)
			q[out] = submit(b, 1 + out % (RINGS - 1),
					out % 2 ? FUSE_FSYNC : FUSE_STATFS, 3);
		vuf_hangup(b->v);
		pthread_join(b->control, NULL);
		pthread_create(&b->control, NULL, open_gate, b);
		while (out)
			vuf_req_free(q[--out]);
		bench_free(b);
	}
}

static void reset_under_load(void **state)
{
	struct bench *b = bench_new(2, DRAIN_LONG);

	(void)state;
	for (unsigned int n = 0; n < 20; n++) {
		struct vuf_req *q = submit(b, 1, FUSE_FSYNC, 3);
		struct fuse_init_out out;

		assert_int_equal(vuf_set_none(b->v, VU_RESET_DEVICE), 0);
		for (unsigned int i = 0; i < RINGS; i++) {
			vuf_ring_reset(&b->v->ring[i], 0);
			assert_int_equal(vuf_ring_start(b->v, i, 0), 0);
		}
		vuf_req_free(q);
		assert_int_equal(vuf_fuse_init(b->v, 38, 0, &out), 0);
	}
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_kinds),
		cmocka_unit_test(keeps_for_the_next),
		cmocka_unit_test(forgets_in_numbers),
		cmocka_unit_test(changes_under_load),
		cmocka_unit_test(restarts_under_load),
		cmocka_unit_test(polls),
		cmocka_unit_test(stalled_in_pool),
		cmocka_unit_test(stuck_on_its_thread),
		cmocka_unit_test(stuck_after_the_last),
		cmocka_unit_test(takes_over_at_any_time),
		cmocka_unit_test(stop_waits),
		cmocka_unit_test(stop_gives_up),
		cmocka_unit_test(stop_runs_exclusive),
		cmocka_unit_test(broken_ring),
		cmocka_unit_test(hangup_under_load),
		cmocka_unit_test(reset_under_load),
	};

	log_init(LOG_LEVEL_OFF, LOG_SINK_STDERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
