// SPDX-License-Identifier: Apache-2.0
/* Virtqueues with a driver that keeps the rules: traffic, restarts, changes of memory, migration. */
/*
 * Theory of operation
 *
 * vqdriver.c is the other end. The traffic test does at random what either side may do, checks every
 * byte of every chain, and gives a number that sums up what happened; the same seed must give the same
 * number for a split and for a packed ring.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "fd.h"
#include "iov.h"
#include "rnd.h"
#include "util.h"
#include "vq.h"
#include "vqdriver.h"

#define SLOT      4096u /* bytes of data that belong to a chain's id */
#define BYTES_MAX 500u
#define SEGS_MAX  24u

static uint64_t data_at(int id)
{
	return DRV_DATA + (uint64_t)id * SLOT;
}

/* Traffic */

struct sent {
	uint32_t serial;
	uint32_t nread; /* bytes */
	uint32_t nwrite;
};

struct traffic {
	struct rig r;
	uint64_t seed;
	uint64_t sum;                  /* of all that happened */
	struct sent sent[VQ_SIZE_MAX]; /* by id */
	int fifo[VQ_SIZE_MAX];         /* ids in the order in which they were added */
	unsigned int fifo_head, fifo_len;
	struct vq_chain held[VQ_SIZE_MAX];
	unsigned int nheld, unflushed;
	uint32_t serial, done;
	enum drv_how hows[3];
	unsigned int nhows;
};

static struct iovec iovs[VQ_SIZE_MAX][64];

static void note(struct traffic *t, uint64_t what)
{
	t->sum = (t->sum ^ what) * UINT64_C(0x100000001b3);
}

/* The byte that stands at @i of the readable, or writable, part of chain @serial. */
static uint8_t byte_of(uint32_t serial, uint32_t i, bool write)
{
	return (uint8_t)(serial * 7 + i * 13 + (write ? 101 : 0));
}

static void fill(uint8_t *buf, uint32_t serial, uint32_t bytes, bool write)
{
	for (uint32_t i = 0; i < bytes; i++)
		buf[i] = byte_of(serial, i, write);
}

/* Cut @bytes into @n segments from @gpa on; the last one takes what is left. */
static void cut(struct traffic *t, struct drv_seg *segs, unsigned int n, uint64_t gpa,
		uint32_t bytes)
{
	for (unsigned int i = 0; i < n; i++) {
		uint32_t len = i + 1 == n ? bytes : rnd_below(&t->seed, bytes / n + 1);

		segs[i] = (struct drv_seg){gpa, len};
		gpa += len;
		bytes -= len;
	}
}

static void driver_adds(struct traffic *t)
{
	enum drv_how how = t->hows[rnd_below(&t->seed, t->nhows)];
	unsigned int most = how == DRV_DIRECT ? MIN(8u, t->r.d.size) : SEGS_MAX;
	unsigned int n = 1 + rnd_below(&t->seed, most), nread = rnd_below(&t->seed, n + 1);
	uint32_t rbytes = nread ? 1 + rnd_below(&t->seed, BYTES_MAX) : 0;
	uint32_t wbytes = n - nread ? 1 + rnd_below(&t->seed, BYTES_MAX) : 0;
	unsigned int need = how == DRV_DIRECT ? n : how == DRV_MIXED && n > 1 ? 2 : 1;
	struct drv_seg segs[SEGS_MAX];
	uint8_t *at;
	bool kick;
	int id;

	if (need > t->r.d.free_slots)
		return;
	id = drv_next_id(&t->r.d);
	cut(t, segs, nread, data_at(id), rbytes);
	cut(t, segs + nread, n - nread, data_at(id) + SLOT / 2, wbytes);
	at = drv_at(&t->r.d, data_at(id));
	fill(at, t->serial, rbytes, false);
	memset(at + SLOT / 2, 0xcc, wbytes);
	assert_int_equal(drv_add(&t->r.d, segs, nread, n - nread, how), id);
	t->sent[id] = (struct sent){t->serial++, rbytes, wbytes};
	t->fifo[(t->fifo_head + t->fifo_len++) % VQ_SIZE_MAX] = id;
	kick = drv_kick(&t->r.d);
	/* With EVENT_IDX a split ring has no way to say that no kick is wanted at all. */
	note(t, t->r.d.event_idx ? 1 : 2 + kick);
}

static void check_readable(const struct sent *s, const struct vq_chain *c)
{
	uint8_t buf[SLOT], want[SLOT];
	struct iov_cursor cur;

	iov_init(&cur, c->iov, c->nread);
	assert_int_equal(cur.left, s->nread);
	assert_int_equal(iov_read(&cur, buf, SLOT), s->nread);
	fill(want, s->serial, s->nread, false);
	assert_memory_equal(buf, want, s->nread);
	iov_init(&cur, c->iov + c->nread, c->nwrite);
	assert_int_equal(cur.left, s->nwrite);
}

static void device_pops(struct traffic *t)
{
	struct vq_chain *c = &t->held[t->nheld];
	int r, id;

	c->iov = iovs[t->nheld];
	c->max = ARRAY_SIZE(iovs[0]);
	r = vq_pop(&t->r.vq, c);
	note(t, 2);
	note(t, (uint64_t)r);
	assert_int_equal(r, t->fifo_len ? 1 : 0);
	if (!r)
		return;
	id = t->fifo[t->fifo_head++ % VQ_SIZE_MAX];
	t->fifo_len--;
	assert_int_equal(c->id, id);
	assert_int_equal(c->ndesc, t->r.d.ndesc[id]);
	assert_false(c->faulted);
	note(t, (uint64_t)c->nread << 32 | c->nwrite);
	check_readable(&t->sent[id], c);
	t->nheld++;
}

static void device_pushes(struct traffic *t)
{
	unsigned int at = rnd_below(&t->seed, t->nheld);
	struct vq_chain c = t->held[at];
	const struct sent *s = &t->sent[c.id];
	struct iov_cursor cur;
	uint8_t buf[SLOT];

	fill(buf, s->serial, s->nwrite, true);
	iov_init(&cur, c.iov + c.nread, c.nwrite);
	assert_int_equal(iov_write(&cur, buf, s->nwrite), s->nwrite);
	vq_push(&t->r.vq, &c, s->nwrite, t->r.gm);
	/* The last one moves to the gap; with its own segments, so that each has an array. */
	t->nheld--;
	memcpy(iovs[at], iovs[t->nheld], sizeof(iovs[0]));
	t->held[at] = t->held[t->nheld];
	t->held[at].iov = iovs[at];
	t->unflushed++;
	note(t, 3);
}

static void device_flushes(struct traffic *t)
{
	bool wants = vq_flush(&t->r.vq);

	/* The driver never said that it does not want to hear of what it waits for. */
	if (!t->unflushed)
		assert_false(wants);
	t->unflushed = 0;
	note(t, 4);
}

/* All that was flushed, and nothing else, can be got. */
static void driver_gets(struct traffic *t)
{
	uint8_t want[SLOT];
	const struct sent *s;
	uint32_t len;
	int id = drv_get(&t->r.d, &len);

	note(t, 5);
	if (id < 0)
		return;
	s = &t->sent[id];
	note(t, s->serial);
	assert_int_equal(len, s->nwrite);
	fill(want, s->serial, s->nwrite, true);
	assert_memory_equal(drv_at(&t->r.d, data_at(id) + SLOT / 2), want, s->nwrite);
	t->done++;
}

static void device_restarts(struct traffic *t)
{
	if (t->nheld)
		return;
	if (t->unflushed)
		device_flushes(t);
	t->r.conf.base = vq_stop(&t->r.vq);
	assert_int_equal(vq_pop(&t->r.vq, &t->held[0]), 0);
	assert_int_equal(vq_stop(&t->r.vq), t->r.conf.base);
	assert_int_equal(vq_start(&t->r.vq, &t->r.conf, t->r.gm), 0);
	note(t, 6);
}

static void traffic_init(struct traffic *t, bool packed, uint16_t size, bool event_idx,
			 uint64_t seed)
{
	memset(t, 0, sizeof(*t));
	t->seed = seed;
	rig_init(&t->r, packed, size, event_idx, 65200);
}

static void traffic_step(struct traffic *t)
{
	switch (rnd_below(&t->seed, 12)) {
	case 0 ... 2:
		driver_adds(t);
		break;
	case 3 ... 5:
		if (t->nheld < t->r.d.size)
			device_pops(t);
		break;
	case 6 ... 7:
		if (t->nheld)
			device_pushes(t);
		break;
	case 8:
		device_flushes(t);
		break;
	case 9 ... 10:
		driver_gets(t);
		break;
	default:
		if (rnd_below(&t->seed, 20) == 0)
			device_restarts(t);
		else if (rnd_below(&t->seed, 2))
			vq_kicks_off(&t->r.vq);
		else
			assert_int_equal(vq_kicks_on(&t->r.vq, 0), t->fifo_len != 0);
	}
	assert_false(t->r.vq.broken);
}

static uint64_t traffic_run(struct traffic *t, unsigned int steps)
{
	for (unsigned int i = 0; i < steps; i++)
		traffic_step(t);
	while (t->fifo_len)
		device_pops(t);
	while (t->nheld)
		device_pushes(t);
	device_flushes(t);
	while (t->done < t->serial)
		driver_gets(t);
	assert_int_equal(t->r.d.free_slots, t->r.d.size);
	assert_int_equal(t->r.vq.in_use, 0);
	return t->sum;
}

static void traffic(void **state)
{
	static const uint16_t sizes[] = {1, 2, 4, 16, 128, 1024};
	static struct traffic t;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes) * 2; i++) {
		bool event_idx = i % 2;
		uint64_t sum[2];

		for (int packed = 0; packed < 2; packed++) {
			traffic_init(&t, packed, sizes[i / 2], event_idx, 42 + i);
			t.nhows = 2;
			t.hows[0] = DRV_DIRECT;
			t.hows[1] = DRV_INDIRECT;
			sum[packed] = traffic_run(&t, 60000);
			assert_true(t.done > 1500);
			rig_done(&t.r);
		}
		assert_int_equal(sum[0], sum[1]);
	}
}

/* What only one format knows: chains that end in a table; rings of any size. */
static void traffic_of_one_kind(void **state)
{
	static const uint16_t sizes[] = {3, 5, 100, 255, 1000};
	static struct traffic t;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		traffic_init(&t, true, sizes[i], i % 2, 7 + i);
		t.nhows = 2;
		t.hows[0] = DRV_DIRECT;
		t.hows[1] = DRV_INDIRECT;
		traffic_run(&t, 10000);
		rig_done(&t.r);
	}
	traffic_init(&t, false, 64, true, 99);
	t.nhows = 3;
	t.hows[0] = DRV_DIRECT;
	t.hows[1] = DRV_INDIRECT;
	t.hows[2] = DRV_MIXED;
	traffic_run(&t, 30000);
	rig_done(&t.r);
}

/* The driver sees nothing of a batch before the flush, and then all of it. */
static void batches(void **state)
{
	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		struct vq_chain c[3];
		struct rig r;
		uint32_t len;

		rig_init(&r, packed, 8, false, 0);
		for (unsigned int i = 0; i < 3; i++)
			assert_true(drv_add(&r.d, rig_small, 1, i ? 1 : 0, DRV_DIRECT) >= 0);
		for (int i = 0; i < 3; i++)
			c[i] = rig_pop(&r);
		assert_int_equal(r.vq.in_use, 5);
		vq_push(&r.vq, &c[2], 16, r.gm);
		vq_push(&r.vq, &c[0], 0, r.gm);
		assert_int_equal(drv_get(&r.d, &len), -1);
		assert_int_equal(r.vq.in_use, 5);
		assert_true(vq_flush(&r.vq));
		assert_int_equal(r.vq.in_use, 2);
		assert_int_equal(drv_get(&r.d, &len), c[2].id);
		assert_int_equal(len, 16);
		assert_int_equal(drv_get(&r.d, &len), c[0].id);
		assert_int_equal(len, 0);
		assert_int_equal(drv_get(&r.d, &len), -1);
		/* Stopping shows what was pushed. */
		vq_push(&r.vq, &c[1], 4, r.gm);
		vq_stop(&r.vq);
		assert_int_equal(drv_get(&r.d, &len), c[1].id);
		assert_int_equal(len, 4);
		rig_done(&r);
	}
}

/* Changes under way */

static void memory_changes(void **state)
{
	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		const struct gmem_conf data = {
			.gpa = DRV_MEET, .size = DRV_HALF, .uva = DRV_MEET + DRV_UVA};
		struct gmem *less = NULL, *none = gmem_new();
		struct vq_chain c;
		struct rig r;
		uint32_t len;

		rig_init(&r, packed, 8, false, 0);
		assert_true(drv_add(&r.d, rig_small, 1, 1, DRV_DIRECT) >= 0);
		c = rig_pop(&r);
		assert_int_equal(gmem_without(r.gm, &data, &less), 0);
		assert_int_equal(vq_rebind(&r.vq, less), 0);
		/* The buffers of the old table can be written until the chain is given back. */
		memset(c.iov[c.nread].iov_base, 0x5a, 16);
		vq_push(&r.vq, &c, 16, r.gm);
		gmem_put(r.gm);
		r.gm = NULL;
		assert_true(vq_flush(&r.vq));
		assert_int_equal(drv_get(&r.d, &len), c.id);
		assert_int_equal(*(uint8_t *)drv_at(&r.d, DRV_DATA + 16), 0x5a);
		/* A new chain finds the memory gone. */
		assert_true(drv_add(&r.d, rig_small, 1, 1, DRV_DIRECT) >= 0);
		c = rig_pop(&r);
		assert_true(c.faulted);
		assert_int_equal(c.nread + c.nwrite, 0);
		vq_push(&r.vq, &c, 0, less);
		assert_true(vq_flush(&r.vq));
		assert_int_equal(drv_get(&r.d, &len), c.id);
		/* The rings themselves gone: broken, and usable again after a restart. */
		assert_int_equal(vq_rebind(&r.vq, none), -EFAULT);
		assert_true(r.vq.broken);
		assert_int_equal(vq_pop(&r.vq, &c), -EPROTO);
		r.conf.base = vq_stop(&r.vq);
		assert_int_equal(vq_start(&r.vq, &r.conf, none), -EFAULT);
		assert_int_equal(vq_start(&r.vq, &r.conf, less), 0);
		assert_int_equal(vq_pop(&r.vq, &c), 0);
		vq_stop(&r.vq);
		assert_int_equal(vq_rebind(&r.vq, none), 0);
		gmem_put(less);
		gmem_put(none);
		rig_done(&r);
	}
}

/* A chain that outlives its queue is not given to the next one; nor is one given back twice. */
static void stray_pushes(void **state)
{
	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		struct vq_chain old, c;
		struct rig r;
		uint32_t len;

		rig_init(&r, packed, 8, false, 0);
		assert_true(drv_add(&r.d, rig_small, 1, 0, DRV_DIRECT) >= 0);
		old = rig_pop(&r);
		vq_stop(&r.vq);
		vq_push(&r.vq, &old, 0, r.gm);
		/* The base set back: the same chain comes again. */
		assert_int_equal(vq_start(&r.vq, &r.conf, r.gm), 0);
		assert_int_equal(vq_start(&r.vq, &r.conf, r.gm), -EBUSY);
		c = rig_pop(&r);
		assert_int_equal(c.id, old.id);
		vq_push(&r.vq, &old, 0, r.gm);
		assert_int_equal(r.vq.unflushed, 0);
		assert_false(vq_flush(&r.vq));
		assert_int_equal(drv_get(&r.d, &len), -1);
		vq_push(&r.vq, &c, 0, r.gm);
		vq_push(&r.vq, &c, 0, r.gm);
		assert_int_equal(r.vq.unflushed, 1);
		vq_flush(&r.vq);
		vq_push(&r.vq, &c, 0, r.gm);
		assert_int_equal(r.vq.unflushed, 0);
		assert_int_equal(r.vq.in_use, 0);
		assert_int_equal(drv_get(&r.d, &len), c.id);
		assert_int_equal(drv_get(&r.d, &len), -1);
		rig_done(&r);
	}
}

static void dirty_log(void **state)
{
	scoped_fd int fd = memfd_create("log", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, 0x10000), 0);
	for (int i = 0; i < 4; i++) {
		bool packed = i % 2, log_used = i / 2;
		/* Two writable pages, of which one is written; a readable one. */
		const struct drv_seg segs[] = {
			{DRV_DATA, 16}, {DRV_DATA + 0x1000, 16}, {DRV_DATA + 0x2000, 16}};
		static uint8_t want[0x10000];
		struct gmem_log log = {0};
		struct vq_chain c;
		struct rig r;
		uint64_t page;

		rig_init(&r, packed, 8, false, 0);
		vq_stop(&r.vq);
		r.conf.log_used = log_used;
		assert_int_equal(gmem_log_init(&log, fd, 0x10000, 0), 0);
		memset(log.base, 0, log.size);
		r.vq.log = &log;
		assert_int_equal(vq_start(&r.vq, &r.conf, r.gm), 0);
		assert_ptr_equal(r.vq.log, &log);
		assert_true(drv_add(&r.d, segs, 1, 2, DRV_INDIRECT) >= 0);
		c = rig_pop(&r);
		vq_push(&r.vq, &c, 10, r.gm);
		vq_flush(&r.vq);
		memset(want, 0, sizeof(want));
		page = (DRV_DATA + 0x1000) >> 12;
		want[page / 8] |= 1u << page % 8;
		/* Split: the used ring, at log_gpa. Packed: the descriptor in the ring. */
		page = (packed ? r.conf.desc - DRV_UVA : r.conf.log_gpa) >> 12;
		if (log_used)
			want[page / 8] |= 1u << page % 8;
		assert_memory_equal(log.base, want, sizeof(want));
		/* The device's event suppression is written, too. */
		vq_kicks_on(&r.vq, 0);
		page = r.conf.log_gpa >> 12;
		if (log_used)
			want[page / 8] |= 1u << page % 8;
		assert_memory_equal(log.base, want, sizeof(want));
		rig_done(&r);
		gmem_log_done(&log);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(traffic),      cmocka_unit_test(traffic_of_one_kind),
		cmocka_unit_test(batches),      cmocka_unit_test(memory_changes),
		cmocka_unit_test(stray_pushes), cmocka_unit_test(dirty_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
