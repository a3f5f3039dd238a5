// SPDX-License-Identifier: Apache-2.0
/* Several virtqueues, many requests: wrap-around, order of completion, and queues that do not wait. */
/*
 * Theory of operation
 *
 * Load is driven with as many requests in flight as the ring holds; each reply is checked. A queue is
 * made to wait by a file system in the share that answers nothing (fx_stall()), so what must go on
 * meanwhile is shown to go on, without a clock. Whether a queue's thread has slept is how often the kernel
 * has taken it off a CPU; a round that a busy machine has disturbed is done again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "fx.h"
#include "fz.h"
#include "util.h"

static const struct fx_opts small_rings = {.vuf = {.ring_size = 8}};
static const struct fx_opts five_rings = {.vuf = {.rings = 5}};
static const struct fx_opts stalled = {.tmpfs = true, .vuf = {.rings = 3}};
static const struct fx_opts stalled_pool = {
	.tmpfs = true, .vuf = {.rings = 3}, .args = {"--thread-pool-size=2"}};
static const struct fx_opts polling = {.args = {"--poll-us=10000"}};
static const struct fx_opts sleeping = {.args = {"--poll-us=0"}};

/* A lane: requests of one thread on one ring. */
struct lane {
	struct fx *f;
	struct vuf_ring *ring;
	uint64_t node;
	uint64_t fh;
	unsigned int depth;
	uint64_t total;
	uint64_t done;
	const char *failed;
};

static void lane_begin(struct lane *l, struct vuf_req *q, uint64_t serial)
{
	struct fuse_getattr_in get = {0};
	struct fuse_read_in rd = {.fh = l->fh, .offset = serial % 4096, .size = 512};

	switch (serial % 3) {
	case 0:
		vuf_req_begin(q, FUSE_GETATTR, l->node);
		vuf_req_add(q, &get, sizeof(get));
		q->out_len = 16 + sizeof(struct fuse_attr_out);
		break;
	case 1:
		vuf_req_begin(q, FUSE_READ, l->node);
		vuf_req_add(q, &rd, sizeof(rd));
		q->out_len = 16 + rd.size;
		break;
	default:
		vuf_req_begin(q, FUSE_LOOKUP, FUSE_ROOT_ID);
		vuf_req_add_str(q, "missing");
		q->out_len = 16 + sizeof(struct fuse_entry_out);
		break;
	}
	q->user = (void *)(uintptr_t)serial;
}

static const char *lane_check(const struct vuf_req *q)
{
	uint64_t serial = (uintptr_t)q->user;
	const uint8_t *p = vuf_req_payload(q);

	if (vuf_req_check(q) < 0)
		return "a reply that Linux would not take";
	if (serial % 3 == 2)
		return vuf_req_error(q) == -ENOENT ? NULL : "LOOKUP";
	if (vuf_req_error(q))
		return "an error";
	if (serial % 3 == 0)
		return vuf_req_payload_len(q) == sizeof(struct fuse_attr_out) ? NULL : "GETATTR";
	if (vuf_req_payload_len(q) != 512)
		return "READ";
	for (unsigned int i = 0; i < 512; i++)
		if (p[i] != (uint8_t)(serial % 4096 + i))
			return "the content";
	return NULL;
}

/* No assertions here: they jump, and this may be a thread of its own. */
static void *lane_run(void *arg)
{
	struct lane *l = arg;
	struct vuf_req *q[64] = {NULL}, *d;
	uint64_t sent = 0;
	int r = 0;

	for (unsigned int i = 0; i < l->depth && !l->failed; i++) {
		q[i] = vuf_req_new(l->f->v, 128, 1024);
		if (!q[i])
			l->failed = "no memory";
	}
	for (unsigned int i = 0; i < l->depth && !l->failed; i++) {
		lane_begin(l, q[i], sent++);
		if (vuf_req_submit(q[i], l->ring) < 0)
			l->failed = "the ring is full";
	}
	while (!l->failed && l->done < l->total) {
		uint64_t before = l->done;

		vuf_ring_kick(l->ring);
		while (!l->failed && (r = vuf_req_reap(l->ring, &d)) == 1) {
			l->failed = lane_check(d);
			l->done++;
			if (sent < l->total) {
				lane_begin(l, d, sent++);
				if (vuf_req_submit(d, l->ring) < 0)
					l->failed = "the ring is full";
			}
		}
		if (r == 0 && l->done == before)
			r = vuf_ring_wait(l->ring, 1 + l->depth / 2, FX_WAIT_MS);
		if (r < 0)
			l->failed = r == -ETIMEDOUT ? "time-out" : "the ring";
	}
	if (!l->failed && l->ring->nout)
		l->failed = "something is left over";
	for (unsigned int i = 0; !l->failed && i < l->depth; i++)
		vuf_req_free(q[i]);
	return NULL;
}

static struct lane lane_of(struct fx *f, unsigned int ring, unsigned int depth, uint64_t total)
{
	struct lane l = {.f = f, .ring = &f->v->ring[ring], .depth = depth, .total = total};
	struct fuse_open_out o;
	uint8_t bytes[8192];

	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	fx_put(f, "file", bytes, sizeof(bytes), 0644);
	l.node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, l.node, O_RDONLY, &o), 0);
	l.fh = o.fh;
	return l;
}

static void lane_end(struct fx *f, const struct lane *l)
{
	if (l->failed)
		fail_msg("%s after %llu of %llu", l->failed, (unsigned long long)l->done,
			 (unsigned long long)l->total);
	assert_int_equal(fz_release(f, l->node, l->fh), 0);
}

/* Past the end of a 16-bit index, with rings of 8: more than 10,000 laps. */
static void round_and_round(void **state)
{
	struct fx *f = *state;
	struct lane l = lane_of(f, 1, 2, 100000);

	lane_run(&l);
	lane_end(f, &l);
}

static void all_that_a_ring_holds(void **state)
{
	struct fx *f = *state;
	/* A request takes four descriptors at most where there are no indirect tables. */
	struct lane l = lane_of(f, 1, 32, 30000);

	lane_run(&l);
	lane_end(f, &l);
	/* So many replies were not asked for one by one, nor told one by one. */
	if (!f->v->conf.no_event_idx) {
		assert_true(l.ring->calls < 20000);
		assert_true(l.ring->kicks < 20000);
	}
}

static void queues_beside_each_other(void **state)
{
	struct fx *f = *state;
	struct lane l[4];
	pthread_t t[4];

	for (unsigned int i = 0; i < 4; i++)
		l[i] = lane_of(f, i + 1, 16, 15000);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, lane_run, &l[i]), 0);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	for (unsigned int i = 0; i < 4; i++)
		lane_end(f, &l[i]);
}

/* A session is one whatever the queue: what one names, the other knows. */
static void one_session_on_all_queues(void **state)
{
	struct fx *f = *state;
	struct fz_entry_open c;
	struct fuse_attr_out a;
	char buf[8];

	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "x", O_CREAT | O_RDWR, 0644, &c), 0);
	for (f->ring = 4; f->ring > 1; f->ring--) {
		assert_int_equal(fz_getattr(f, c.entry.nodeid, &a), 0);
		assert_int_equal(fz_write(f, c.entry.nodeid, c.open.fh, 0, "data", 4), 4);
		assert_int_equal(fz_read(f, c.entry.nodeid, c.open.fh, 0, buf, 8), 4);
	}
	/* Also on the queue for what is urgent. */
	f->ring = 0;
	assert_int_equal(fz_getattr(f, c.entry.nodeid, &a), 0);
	assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
	f->ring = 1;
}

/* A LOOKUP that waits until @stall is closed, on ring 1. */
static struct vuf_req *stuck_lookup(struct fx *f)
{
	struct vuf_req *q = vuf_req_new(f->v, 128, 256);

	assert_non_null(q);
	vuf_req_begin(q, FUSE_LOOKUP, FUSE_ROOT_ID);
	vuf_req_add_str(q, "stall");
	assert_int_equal(vuf_req_submit(q, &f->v->ring[1]), 0);
	vuf_ring_kick(&f->v->ring[1]);
	return q;
}

/* It is found: at most one answer, none where INTERRUPT has done its work, and it is not the request's. */
static void interrupt(struct fx *f, const struct vuf_req *q)
{
	struct fuse_interrupt_in in = {.unique = q->unique};

	vuf_req_begin(f->q, FUSE_INTERRUPT, 0);
	vuf_req_add(f->q, &in, sizeof(in));
	f->q->out_len = 16;
	assert_int_equal(vuf_req_call(f->q, &f->v->ring[0]), 0);
	assert_int_equal(f->q->used, 0);
}

/* All queues go on while a request on one waits for the host. */
static void a_queue_that_waits(void **state)
{
	struct fx *f = *state;
	struct fuse_attr_out a;
	struct vuf_req *q;
	uint64_t node;
	int stall;

	fx_need_root();
	stall = fx_stall(f, "stall");
	fx_put(f, "file", "content", 7, 0644);
	node = fz_walk(f, "file");
	q = stuck_lookup(f);
	for (unsigned int i = 0; i < 200; i++) {
		f->ring = 1 + i % 2;
		assert_int_equal(fz_getattr(f, node, &a), 0);
		fz_forget(f, FUSE_ROOT_ID, 1);
	}
	fz_forget(f, node, 1);
	assert_int_equal(fz_getattr(f, node, &a), -ESTALE);
	assert_false(q->done);
	/* INTERRUPT finds it, though it was begun as one that does not wait. */
	f->ring = 1;
	interrupt(f, q);
	close(stall);
	assert_int_equal(vuf_req_wait(q, &f->v->ring[1]), 0);
	assert_int_equal(vuf_req_check(q), 0);
	assert_true(vuf_req_error(q) < 0);
	vuf_req_free(q);
}

/* The same queue goes on, too, where a pool takes what may block. */
static void a_pool_takes_what_waits(void **state)
{
	struct fx *f = *state;
	struct fuse_attr_out a;
	struct vuf_req *q = vuf_req_new(f->v, 128, 256);
	int stall;

	fx_need_root();
	assert_non_null(q);
	stall = fx_stall(f, "stall");
	vuf_req_begin(q, FUSE_UNLINK, FUSE_ROOT_ID);
	vuf_req_add_str(q, "stall");
	q->out_len = 16;
	assert_int_equal(vuf_req_submit(q, &f->v->ring[1]), 0);
	vuf_ring_kick(&f->v->ring[1]);
	for (int i = 0; i < 100; i++)
		assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
	/* INTERRUPT finds it. */
	interrupt(f, q);
	close(stall);
	assert_int_equal(vuf_req_wait(q, &f->v->ring[1]), 0);
	assert_int_equal(vuf_req_check(q), 0);
	assert_true(vuf_req_error(q) < 0);
	vuf_req_free(q);
}

/* GET_VRING_BASE while a request is in flight answers when that has been answered. */
static void stopping_a_ring_drains_it(void **state)
{
	struct fx *f = *state;
	struct vu_vring_state st = {.index = 1};
	struct vu_msg reply;
	struct vuf_req *q, *back;
	struct fuse_attr_out a;
	int stall;

	fx_need_root();
	stall = fx_stall(f, "stall");
	q = stuck_lookup(f);
	/* It was taken: so was what came behind it. */
	f->ring = 1;
	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
	assert_int_equal(vuf_send(f->v, VU_GET_VRING_BASE, &st, sizeof(st), NULL, 0, false), 0);
	close(stall);
	assert_int_equal(vuf_recv(f->v, VU_GET_VRING_BASE, &reply), 0);
	assert_int_equal(vuf_req_reap(&f->v->ring[1], &back), 1);
	assert_ptr_equal(back, q);
	assert_int_equal(vuf_req_check(q), 0);
	assert_int_equal(reply.body.state.num, vuf_ring_base(&f->v->ring[1]));
	vuf_req_free(q);
	/* And on with it from there. */
	assert_int_equal(vuf_ring_start(f->v, 1, reply.body.state.num), 0);
	f->ring = 1;
	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
}

/* A chain that breaks the rules costs its ring, until that is started anew, and nothing else. */
static void a_broken_ring_is_alone(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	struct vuf_ring *r = &v->ring[1];
	const uint64_t in = f->q->in_gpa, out = f->q->out_gpa;
	const uint16_t next = fx_packed() ? 5 : 1, next2 = fx_packed() ? 5 : 2;
	const struct vring_desc bad[][3] = {
		/* Readable after writable. */
		{{out, 16, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, next}, {in, 40, 0, next2}},
		/* A table of half a descriptor, one of none, and a table that is not allowed. */
		{{in, 24, VRING_DESC_F_INDIRECT, next}},
		{{in, 0, VRING_DESC_F_INDIRECT, next}},
		{{in, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, next}, {in, 40, 0, next2}},
	};
	struct fuse_attr_out a;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		const uint16_t at = fx_packed() ? 5 : 0;
		const uint32_t base = fx_packed() ? VUF_BASE_PACKED : 0;
		unsigned int n = bad[i][0].flags & VRING_DESC_F_NEXT ? 2 : 1;

		assert_int_equal(vuf_ring_raw(r, bad[i], n, at, f), 0);
		vuf_ring_kick_force(r);
		if (vuf_ring_wait(r, 1, FX_WAIT_MS) != -EPROTO)
			fail_msg("chain %u is taken for a good one", i);
		assert_true(vuf_ring_broken(r));
		assert_int_equal(r->nout, 1);
		f->ring = 2;
		assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
		fz_forget(f, FUSE_ROOT_ID, 1);
		f->ring = 1;
		assert_int_equal(vuf_ring_stop(v, 1, NULL), 0);
		vuf_ring_reset(r, base);
		assert_int_equal(vuf_ring_start(v, 1, base), 0);
		assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
	}
	if (fx_packed())
		return;
	/* A head that is no descriptor, and an index that runs away. */
	for (unsigned int i = 0; i < 2; i++) {
		if (i == 0)
			vuf_ring_offer(r, r->conf.size);
		else
			r->avail_pos += r->conf.size + 1;
		vuf_ring_kick_force(r);
		assert_int_equal(vuf_ring_wait(r, 1, FX_WAIT_MS), -EPROTO);
		assert_int_equal(vuf_ring_stop(v, 1, NULL), 0);
		vuf_ring_reset(r, 0);
		assert_int_equal(vuf_ring_start(v, 1, 0), 0);
		assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
	}
}

/* What the daemon's threads have used: how often they left a CPU, and their time on one in clock ticks. */
struct used {
	unsigned long leaves;
	unsigned long ticks;
};

static struct used used(const struct fx *f)
{
	struct used u = {0, 0};
	struct dirent *de;
	char path[64], line[512];
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)fx_serving_pid(f));
	d = opendir(path);
	assert_non_null(d);
	while ((de = readdir(d))) {
		unsigned long n, user, system;
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/status", (int)fx_serving_pid(f),
			 de->d_name);
		file = fopen(path, "re");
		while (file && fgets(line, sizeof(line), file))
			if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1)
				u.leaves += n;
		if (file)
			fclose(file);
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/stat", (int)fx_serving_pid(f),
			 de->d_name);
		file = fopen(path, "re");
		if (file && fgets(line, sizeof(line), file) && strrchr(line, ')') &&
		    sscanf(strrchr(line, ')'),
			   ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			   &system) == 2)
			u.ticks += user + system;
		if (file)
			fclose(file);
	}
	closedir(d);
	return u;
}

/* A queue that polls does not sleep between two requests, one that does not does; idle, both do nothing. */
static void looks_for_more(void **state)
{
	struct fx *f = *state;
	const bool polls = f->opts == &polling;
	const time_t end = time(NULL) + FX_WAIT_MS / 1000;
	struct used from, to;
	struct fuse_attr_out a;
	bool good;

	do {
		from = used(f);
		for (unsigned int n = 0; n < 200; n++) {
			assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
			usleep(200);
		}
		to = used(f);
		good = polls ? to.leaves - from.leaves < 50 : to.leaves - from.leaves >= 150;
	} while (!good && time(NULL) < end);
	assert_true(good);
	do {
		from = used(f);
		usleep(500000);
		to = used(f);
		/* ThreadSanitizer has a thread of its own, which wakes up now and then. */
		good = to.ticks == from.ticks && (fx_tsan() || to.leaves == from.leaves);
	} while (!good && time(NULL) < end);
	assert_true(good);
	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(round_and_round, &small_rings),
		FX_TEST(all_that_a_ring_holds, NULL),
		FX_TEST(queues_beside_each_other, &five_rings),
		FX_TEST(one_session_on_all_queues, &five_rings),
		FX_TEST(a_queue_that_waits, &stalled),
		FX_TEST(a_pool_takes_what_waits, &stalled_pool),
		FX_TEST(stopping_a_ring_drains_it, &stalled),
		FX_TEST(a_broken_ring_is_alone, &five_rings),
		FX_TEST(looks_for_more, &polling),
		FX_TEST(looks_for_more, &sleeping),
	};

	return fx_main(argc, argv, "queues", tests, ARRAY_SIZE(tests));
}
