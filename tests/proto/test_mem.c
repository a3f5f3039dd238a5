// SPDX-License-Identifier: Apache-2.0
/* Guest memory that changes while requests are served, and the dirty log of a migration. */
/*
 * Theory of operation
 *
 * A thread keeps a request queue busy and checks every reply; meanwhile the main thread sends memory
 * messages. Nothing that the busy queue uses goes away, so nothing may fail. The dirty log is a
 * bitmap of 4 KiB pages in a memory file: cleared, one request, and then exactly the pages that the
 * device wrote are marked.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fd.h"
#include "fx.h"
#include "fz.h"
#include "util.h"

#define MIB (1u << 20)

static const struct fx_opts three_rings = {.vuf = {.rings = 3}};

/* The queue that is kept busy: ring 2. */
struct busy {
	struct fx *f;
	pthread_t thread;
	_Atomic bool stop;
	_Atomic uint64_t done;
	int error;
};

static void *busy_run(void *arg)
{
	struct busy *b = arg;
	struct vuf *v = b->f->v;
	struct vuf_req *q[16];

	for (unsigned int i = 0; i < ARRAY_SIZE(q); i++) {
		q[i] = vuf_req_new(v, 128, 256);
		if (!q[i])
			abort();
	}
	while (!b->stop && !b->error) {
		struct fuse_getattr_in in = {0};

		for (unsigned int i = 0; i < ARRAY_SIZE(q) && !b->error; i++) {
			vuf_req_begin(q[i], FUSE_GETATTR, FUSE_ROOT_ID);
			vuf_req_add(q[i], &in, sizeof(in));
			q[i]->out_len = 16 + sizeof(struct fuse_attr_out);
			b->error = vuf_req_submit(q[i], &v->ring[2]);
		}
		for (unsigned int i = 0; i < ARRAY_SIZE(q) && !b->error; i++) {
			b->error = vuf_req_wait(q[i], &v->ring[2]);
			if (!b->error)
				b->error = vuf_req_check(q[i]);
			if (!b->error)
				b->error = vuf_req_error(q[i]);
		}
		b->done += ARRAY_SIZE(q);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(q) && !b->error; i++)
		vuf_req_free(q[i]);
	return NULL;
}

static struct busy *busy_start(struct fx *f)
{
	struct busy *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->f = f;
	assert_int_equal(pthread_create(&b->thread, NULL, busy_run, b), 0);
	return b;
}

static void busy_stop(struct busy *b)
{
	while (!b->done && !b->error)
		usleep(1000);
	b->stop = true;
	pthread_join(b->thread, NULL);
	if (b->error)
		fail_msg("the busy queue: %s", strerror(-b->error));
	assert_true(b->done > 0);
	free(b);
}

/* A request whose buffers lie in this region of guest memory. */
static int call_in_region(struct fx *f, const struct vuf_region *rg)
{
	struct fuse_getattr_in in = {0};
	struct vuf_req q = *f->q;
	int r;

	q.in_gpa = rg->gpa;
	q.in = vuf_mem_at(&f->v->mem, q.in_gpa);
	q.out_gpa = rg->gpa + rg->size - 120;
	q.out = vuf_mem_at(&f->v->mem, q.out_gpa);
	q.in_cap = q.out_cap = 120;
	vuf_req_begin(&q, FUSE_GETATTR, FUSE_ROOT_ID);
	vuf_req_add(&q, &in, sizeof(in));
	assert_int_equal(vuf_req_submit(&q, &f->v->ring[1]), 0);
	assert_int_equal(vuf_req_wait(&q, &f->v->ring[1]), 0);
	if (!q.used)
		return -EFAULT;
	r = vuf_req_check(&q);
	return r < 0 ? r : vuf_req_error(&q);
}

static void slots_come_and_go(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	struct busy *b = busy_start(f);
	uint64_t max = 0;

	assert_int_equal(vuf_get_u64(v, VU_GET_MAX_MEM_SLOTS, &max), 0);
	assert_true(max >= 32);
	for (unsigned int i = 0; i < 200; i++) {
		struct vuf_region rg = {
			.gpa = (8ull << 30) + i % 3 * MIB,
			.size = MIB,
			.offset = i % 5 * VUF_PAGE,
			.uva = (1ull << 45) + i % 7 * (64ull << 20),
			.fd = -1,
		};
		int index = vuf_mem_add(&v->mem, &rg);

		assert_true(index >= 0);
		rg = v->mem.region[index];
		assert_int_equal(vuf_add_region(v, &rg), 0);
		assert_int_equal(call_in_region(f, &rg), 0);
		assert_int_equal(vuf_rem_region(v, &rg), 0);
		assert_int_equal(call_in_region(f, &rg), -EFAULT);
		assert_int_equal(vuf_mem_drop(&v->mem, (unsigned int)index), 0);
	}
	busy_stop(b);
}

static void many_slots(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	struct busy *b = busy_start(f);
	unsigned int first = v->mem.nregions;

	/* As hotplugged memory comes: neighbours, every other one, and then the rest. */
	for (unsigned int i = 0; i < 28; i++) {
		unsigned int at = i < 14 ? 2 * i : 2 * (i - 14) + 1;
		struct vuf_region rg = {
			.gpa = (8ull << 30) + at * (uint64_t)MIB, .size = MIB, .fd = -1};
		int index = vuf_mem_add(&v->mem, &rg);

		assert_true(index >= 0);
		assert_int_equal(vuf_add_region(v, &v->mem.region[index]), 0);
	}
	for (unsigned int i = first; i < v->mem.nregions; i++)
		assert_int_equal(call_in_region(f, &v->mem.region[i]), 0);
	for (unsigned int i = v->mem.nregions; i-- > first;) {
		assert_int_equal(vuf_rem_region(v, &v->mem.region[i]), 0);
		assert_int_equal(vuf_mem_drop(&v->mem, i), 0);
	}
	busy_stop(b);
}

/* The whole table again and again, with a region more or less, as QEMU 7.2 without slots does. */
static void tables_during_requests(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	struct busy *b = busy_start(f);

	for (unsigned int i = 0; i < 200; i++) {
		struct vuf_region rg = {.gpa = 8ull << 30, .size = MIB, .fd = -1};
		int index = vuf_mem_add(&v->mem, &rg);

		assert_true(index >= 0);
		assert_int_equal(vuf_share_mem(v), 0);
		assert_int_equal(call_in_region(f, &v->mem.region[index]), 0);
		rg = v->mem.region[index];
		assert_int_equal(vuf_mem_drop(&v->mem, (unsigned int)index), 0);
		assert_int_equal(vuf_share_mem(v), 0);
	}
	busy_stop(b);
	/* The daemon has unmapped what it does not have any more. */
	fx_settle(f);
	assert_int_equal(fx_count_maps(f, "guest memory"), v->mem.nregions);
}

/* Addresses of the front-end's that are nobody's: rings are found by them all the same. */
static void told_addresses_are_only_told(void **state)
{
	static const struct vuf_region far[] = {
		{.gpa = 0, .size = 4 * MIB, .uva = 0x4000, .fd = -1},
		{.gpa = 4 * MIB,
		 .size = 4 * MIB,
		 .uva = 1ull << 62,
		 .offset = 5 * VUF_PAGE,
		 .fd = -1},
		{.gpa = 8 * MIB, .size = 4 * MIB, .uva = 0xffffffff00000000ull, .fd = -1},
	};
	struct fx *f = *state;
	struct fuse_attr_out a;

	for (unsigned int i = 0; i < ARRAY_SIZE(far); i++) {
		/* Rings go where the first region is. */
		struct vuf_region order[3] = {far[i], far[(i + 1) % 3], far[(i + 2) % 3]};
		struct vuf_conf conf = f->opts->vuf;
		struct vuf *v;

		conf.packed = fx_packed();
		conf.region = order;
		conf.nregions = 3;
		assert_int_equal(vuf_new(&conf, &v), 0);
		if (!f->pid)
			fx_start(f);
		vuf_attach(v, vuf_connect(f->sock));
		assert_int_equal(vuf_bring_up(v), 0);
		assert_int_equal(vuf_fuse_init(v, FX_MINOR, FX_LINUX_FLAGS, &f->init), 0);
		f->v = v;
		f->q = vuf_req_new(v, 4096, 4096);
		assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
		fx_drop(f);
		assert_int_equal(fx_wait_exit(f, FX_WAIT_MS), 0);
	}
}

/* The ring's own memory goes and comes back. */
static void a_ring_without_its_memory(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	const struct vuf_region low = v->mem.region[0];
	struct fuse_attr_out a;

	assert_true(v->ring[1].area_gpa[2] < low.size);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(vuf_rem_region(v, &low), 0);
		assert_true(vuf_ring_broken(&v->ring[0]));
		assert_true(vuf_ring_broken(&v->ring[1]));
		assert_int_equal(vuf_add_region(v, &low), 0);
		assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
	}
}

static const struct fx_opts logged = {.vuf = {.log_all = true}};

struct log {
	int fd;
	uint8_t *bits;
	size_t size;
};

static struct log log_new(const struct fx *f)
{
	uint64_t top = 0;
	struct log l;

	for (unsigned int i = 0; i < f->v->mem.nregions; i++)
		top = MAX(top, f->v->mem.region[i].gpa + f->v->mem.region[i].size);
	l.size = top / VUF_PAGE / 8;
	l.fd = memfd_create("log", MFD_CLOEXEC);
	assert_true(l.fd >= 0);
	assert_int_equal(ftruncate(l.fd, (off_t)(l.size + VUF_PAGE)), 0);
	l.bits = mmap(NULL, l.size, PROT_READ | PROT_WRITE, MAP_SHARED, l.fd, VUF_PAGE);
	assert_ptr_not_equal(l.bits, MAP_FAILED);
	return l;
}

static void log_free(struct log *l)
{
	munmap(l->bits, l->size);
	close(l->fd);
}

static bool log_has(const struct log *l, uint64_t gpa)
{
	return l->bits[gpa / VUF_PAGE / 8] >> gpa / VUF_PAGE % 8 & 1;
}

static unsigned int log_count(const struct log *l)
{
	unsigned int n = 0;

	for (size_t i = 0; i < l->size; i++)
		n += (unsigned int)__builtin_popcount(l->bits[i]);
	return n;
}

/* Where the device writes to a ring: the used ring, or the descriptors. */
static uint64_t written_area(const struct vuf_ring *r)
{
	return r->area_gpa[fx_packed() ? 0 : 2];
}

static void what_is_written_is_marked(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	struct vuf_ring *r = &v->ring[1];
	struct log l = log_new(f);
	struct fuse_read_in in = {.size = 20000};
	struct fuse_open_out o;
	struct vuf_req *q;
	uint64_t node, from, to;
	char *bytes = calloc(1, 20000);

	fx_put(f, "file", bytes, 20000, 0644);
	free(bytes);
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDONLY, &o), 0);
	assert_int_equal(vuf_set_log(v, l.fd, l.size, VUF_PAGE), 0);
	/* Addresses once more, now with a log: the rings run on. */
	assert_int_equal(vuf_set_addr(v, 1, VU_VRING_F_LOG), 0);
	fx_settle(f);
	q = vuf_req_new(v, 128, 32768);
	assert_non_null(q);
	vuf_req_begin(q, FUSE_READ, node);
	in.fh = o.fh;
	vuf_req_add(q, &in, sizeof(in));
	q->out_len = 16 + 20000;
	memset(l.bits, 0, l.size);
	assert_int_equal(vuf_req_call(q, r), 0);
	assert_int_equal(vuf_req_payload_len(q), 20000);
	from = q->out_gpa & ~(uint64_t)(VUF_PAGE - 1);
	to = q->out_gpa + 16 + 20000;
	for (uint64_t at = from; at < to; at += VUF_PAGE)
		assert_true(log_has(&l, at));
	assert_false(log_has(&l, to + VUF_PAGE - 1));
	assert_true(log_has(&l, written_area(r)));
	/* Few pages besides: parts of rings, and nothing of what was only read. */
	assert_in_range(log_count(&l), (to - from) / VUF_PAGE + 1, (to - from) / VUF_PAGE + 5);
	/* A short reply marks what it is long, not the room. */
	in.offset = 19999;
	vuf_req_begin(q, FUSE_READ, node);
	vuf_req_add(q, &in, sizeof(in));
	memset(l.bits, 0, l.size);
	assert_int_equal(vuf_req_call(q, r), 0);
	assert_int_equal(vuf_req_payload_len(q), 1);
	assert_true(log_has(&l, q->out_gpa));
	assert_false(log_has(&l, q->out_gpa + 2 * VUF_PAGE));
	/* The migration is over. */
	assert_int_equal(vuf_set_u64(v, VU_SET_FEATURES, v->features & ~(1ull << VU_F_LOG_ALL)), 0);
	assert_int_equal(vuf_set_addr(v, 1, 0), 0);
	fx_settle(f);
	memset(l.bits, 0, l.size);
	vuf_req_begin(q, FUSE_READ, node);
	vuf_req_add(q, &in, sizeof(in));
	assert_int_equal(vuf_req_call(q, r), 0);
	assert_int_equal(log_count(&l), 0);
	assert_int_equal(fz_release(f, node, o.fh), 0);
	vuf_req_free(q);
	log_free(&l);
}

static void logs_that_lie(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	scoped_fd int fd = memfd_create("log", MFD_CLOEXEC);
	struct vu_log bad[] = {{0, 0},          {8192, 0}, {4096, 4096},
			       {UINT64_MAX, 0}, {4096, 1}, {4096, UINT64_MAX - 4095}};
	uint64_t word = 0;

	assert_int_equal(ftruncate(fd, 4096), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(vuf_send_ack(v, VU_SET_LOG_BASE, &bad[i], sizeof(bad[i]), &fd, 1),
				 -EREMOTEIO);
	fx_settle(f);
	/* One that is too small for the memory: what is beyond is not marked, and no harm done. */
	assert_int_equal(vuf_set_log(v, fd, 1, 0), 0);
	fx_settle(f);
	assert_int_equal(vuf_send_ack(v, VU_SET_LOG_FD, &word, 8, &v->ring[0].call_fd, 1), 0);
	fx_settle(f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(slots_come_and_go, &three_rings),
		FX_TEST(many_slots, &three_rings),
		FX_TEST(tables_during_requests, &three_rings),
		FX_TEST(told_addresses_are_only_told, &(const struct fx_opts){.no_connect = true}),
		FX_TEST(a_ring_without_its_memory, NULL),
		FX_TEST(what_is_written_is_marked, &logged),
		FX_TEST(logs_that_lie, &logged),
	};

	return fx_main(argc, argv, "mem", tests, ARRAY_SIZE(tests));
}
