// SPDX-License-Identifier: Apache-2.0
/* The driver's rings of tools/vuf against the device's rings of src/virtio. */
/*
 * Theory of operation
 *
 * Driver and device live in one thread over the same memory files, mapped twice. A seeded generator
 * decides what happens next: the driver adds a chain, the device takes one, gives one back (in any
 * order), the driver takes it. Each side sleeps only after it asked to be woken, so a notification
 * that one side owes and does not send shows at once, without any time-out. The contents of the
 * buffers and the lengths are checked, and the rings go round often enough to pass 65,536 chains.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gmem.h"
#include "util.h"
#include "vq.h"
#include "vuf_mem.h"
#include "vuf_ring.h"

#define HELD_MAX 1024u
#define BUF_SIZE 64u

/* A buffer of the driver's: one chain of up to @nseg segments, each in a place of its own. */
struct buf {
	uint8_t *bytes;
	uint64_t gpa;
	uint32_t nread;
	uint32_t nwrite;
	uint32_t stamp;
	struct buf *free;
};

struct pair {
	struct vuf_mem mem;
	struct vuf_ring drv;
	struct gmem *gm;
	struct vq dev;
	struct iovec iov[HELD_MAX][64];
	struct vq_chain held[HELD_MAX];
	unsigned int nheld;
	struct buf *bufs;
	struct buf *free;
	unsigned int seed;
	bool drv_sleeps;
	bool dev_sleeps;
	uint64_t done;
};

static unsigned int rnd(struct pair *p, unsigned int n)
{
	return (unsigned int)rand_r(&p->seed) % n;
}

static void start(struct pair *p, const struct vuf_ring_conf *conf, uint32_t base)
{
	static const struct vuf_region regions[] = {
		{.gpa = 0, .size = 1 << 20, .fd = -1},
		{.gpa = 1 << 20, .size = 1 << 20, .uva = 0x7000000, .fd = -1},
	};
	struct vq_conf vc = {
		.size = conf->size,
		.packed = conf->packed,
		.event_idx = conf->event_idx,
		.indirect = conf->indirect,
		.base = base,
	};

	assert_int_equal(vuf_mem_init(&p->mem), 0);
	p->gm = gmem_new();
	for (unsigned int i = 0; i < ARRAY_SIZE(regions); i++) {
		const struct vuf_region *rg;
		struct gmem_conf gc;
		struct gmem *gm;

		assert_int_equal(vuf_mem_add(&p->mem, &regions[i]), i);
		rg = &p->mem.region[i];
		gc = (struct gmem_conf){rg->gpa, rg->size, rg->uva, rg->offset};
		assert_int_equal(gmem_with(p->gm, &gc, rg->fd, &gm), 0);
		gmem_put(p->gm);
		p->gm = gm;
	}
	assert_int_equal(vuf_ring_init(&p->drv, &p->mem, conf), 0);
	vuf_ring_reset(&p->drv, base);
	vc.desc = vuf_mem_uva(&p->mem, p->drv.area_gpa[0]);
	vc.driver = vuf_mem_uva(&p->mem, p->drv.area_gpa[1]);
	vc.device = vuf_mem_uva(&p->mem, p->drv.area_gpa[2]);
	assert_int_equal(vq_start(&p->dev, &vc, p->gm), 0);
	p->bufs = calloc(conf->size, sizeof(*p->bufs));
	for (unsigned int i = 0; i < conf->size; i++) {
		struct buf *b = &p->bufs[i];

		b->bytes = vuf_mem_alloc(&p->mem, 16 * BUF_SIZE, 1, &b->gpa);
		assert_non_null(b->bytes);
		b->free = p->free;
		p->free = b;
	}
}

static void stop(struct pair *p)
{
	vq_stop(&p->dev);
	gmem_put(p->gm);
	vuf_ring_done(&p->drv);
	vuf_mem_done(&p->mem);
	free(p->bufs);
}

/* The driver adds a chain of random shape; false when the ring or the buffers are full. */
static bool add(struct pair *p)
{
	struct buf *b = p->free;
	struct vuf_seg seg[16];
	unsigned int n;

	if (!b)
		return false;
	b->nread = rnd(p, 5);
	b->nwrite = rnd(p, 5) + !b->nread;
	b->stamp = rnd(p, 1u << 30);
	n = b->nread + b->nwrite;
	for (unsigned int i = 0; i < n; i++) {
		seg[i].gpa = b->gpa + i * BUF_SIZE;
		seg[i].len = i < b->nread ? 4 : BUF_SIZE;
		seg[i].write = i >= b->nread;
		memset(b->bytes + i * BUF_SIZE, 0, BUF_SIZE);
		if (i < b->nread)
			memcpy(b->bytes + i * BUF_SIZE, &b->stamp, 4);
	}
	p->drv.indirect_min = rnd(p, 2) ? 2 : rnd(p, 4);
	if (vuf_ring_add(&p->drv, seg, n, b) < 0)
		return false;
	p->free = b->free;
	return true;
}

/* The device takes a chain and checks what it was given; false when there is none. */
static bool take(struct pair *p)
{
	struct vq_chain *c = &p->held[p->nheld];
	uint32_t stamp;
	int r;

	if (p->nheld == HELD_MAX)
		return false;
	*c = (struct vq_chain){.iov = p->iov[p->nheld], .max = 64};
	r = vq_pop(&p->dev, c);
	assert_true(r >= 0);
	if (r == 0)
		return false;
	assert_false(c->faulted);
	for (unsigned int i = 0; i < c->nread; i++) {
		uint32_t got;

		assert_int_equal(c->iov[i].iov_len, 4);
		memcpy(&got, c->iov[i].iov_base, 4);
		if (i)
			assert_int_equal(got, stamp);
		stamp = got;
	}
	for (unsigned int i = 0; i < c->nwrite; i++) {
		assert_int_equal(c->iov[c->nread + i].iov_len, BUF_SIZE);
		memset(c->iov[c->nread + i].iov_base, (int)(0x80 + i), BUF_SIZE);
	}
	p->nheld++;
	return true;
}

/* The device gives back any one that it holds. */
static void give(struct pair *p)
{
	unsigned int i = rnd(p, p->nheld);
	struct iovec iov[64];
	struct vq_chain *c = &p->held[i], *last = &p->held[p->nheld - 1];
	uint32_t written = c->nwrite * BUF_SIZE;

	vq_push(&p->dev, c, written, p->gm);
	/* The last one takes its place, with its segments. */
	memcpy(iov, c->iov, sizeof(iov));
	memcpy(c->iov, last->iov, sizeof(iov));
	last->iov = c->iov;
	*c = *last;
	c->iov = p->iov[i];
	p->nheld--;
}

/* The driver takes back all there is. */
static unsigned int reap(struct pair *p)
{
	unsigned int n = 0;
	uint32_t len;
	void *token;
	int r;

	while ((r = vuf_ring_get(&p->drv, &token, &len)) == 1) {
		struct buf *b = token;

		assert_int_equal(len, b->nwrite * BUF_SIZE);
		for (unsigned int i = 0; i < b->nwrite; i++)
			assert_int_equal(b->bytes[(b->nread + i) * BUF_SIZE + 63], 0x80 + i);
		b->free = p->free;
		p->free = b;
		n++;
	}
	assert_int_equal(r, 0);
	p->done += n;
	return n;
}

static void driver_turn(struct pair *p)
{
	if (p->drv_sleeps)
		return;
	reap(p);
	for (unsigned int n = rnd(p, 8); n; n--)
		add(p);
	if (vuf_ring_kick(&p->drv))
		p->dev_sleeps = false;
	if (rnd(p, 4) == 0) {
		vuf_ring_disarm(&p->drv);
	} else if (p->drv.nout && !vuf_ring_arm(&p->drv, 1 + rnd(p, 3))) {
		/* Asleep: only a notification wakes it. */
		p->drv_sleeps = true;
	}
}

static void device_turn(struct pair *p)
{
	if (p->dev_sleeps && !p->nheld)
		return;
	if (!p->dev_sleeps) {
		vq_kicks_off(&p->dev);
		for (unsigned int n = rnd(p, 8); n && take(p); n--)
			;
	}
	for (unsigned int n = rnd(p, 8); n && p->nheld; n--)
		give(p);
	if (vq_flush(&p->dev))
		p->drv_sleeps = false;
	if (!p->dev_sleeps && rnd(p, 2) && !vq_kicks_on(&p->dev, 0))
		p->dev_sleeps = true;
}

static void run(const struct vuf_ring_conf *conf, uint32_t base, uint64_t chains)
{
	struct pair *p = calloc(1, sizeof(*p));
	uint64_t turns = 0;

	assert_non_null(p);
	p->seed = base + conf->size;
	start(p, conf, base);
	while (p->done < chains) {
		if (rnd(p, 2))
			driver_turn(p);
		else
			device_turn(p);
		/* Both asleep with work to do, or the driver asleep with nothing out there. */
		assert_false(p->drv_sleeps && p->dev_sleeps && !p->nheld);
		assert_true(turns++ < 64 * chains);
	}
	stop(p);
	free(p);
}

static void all_modes(bool packed, uint16_t size, uint32_t base, uint64_t chains)
{
	for (int mode = 0; mode < 4; mode++) {
		struct vuf_ring_conf conf = {
			.size = size,
			.packed = packed,
			.event_idx = mode & 1,
			.indirect = mode & 2,
		};

		run(&conf, base, chains);
	}
}

static void split_goes_round(void **state)
{
	(void)state;
	all_modes(false, 128, 0, 70000);
	all_modes(false, 16, 65530, 5000);
	all_modes(false, 1024, 0x8000, 5000);
}

static void packed_goes_round(void **state)
{
	(void)state;
	all_modes(true, 128, VUF_BASE_PACKED, 70000);
	all_modes(true, 17, VUF_BASE_PACKED, 5000);
	all_modes(true, 16, 0x00050005, 5000);
	all_modes(true, 1000, 0x83e783e7, 5000);
}

static void memory_is_kept_account_of(void **state)
{
	static const struct vuf_region regions[] = {
		{.gpa = 0, .size = 1 << 16, .fd = -1},
		{.gpa = 1 << 16, .size = 1 << 16, .offset = 4096, .fd = -1},
		{.gpa = 1 << 20, .size = 1 << 16, .fd = -1},
	};
	struct vuf_mem m;
	void *at[500];
	uint64_t gpa;

	(void)state;
	assert_int_equal(vuf_mem_init(&m), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(regions); i++)
		assert_int_equal(vuf_mem_add(&m, &regions[i]), i);
	assert_true(vuf_mem_add(&m, &regions[1]) < 0);
	assert_int_equal(vuf_mem_avail(&m), 3 << 16);
	/* Over the edge of two regions only when asked for. */
	at[0] = vuf_mem_take(&m, 0xff00, 0x200);
	assert_non_null(at[0]);
	assert_null(vuf_mem_take(&m, 0xfff0, 0x10));
	assert_null(vuf_mem_take(&m, 0x1ff00, 0x200));
	assert_null(vuf_mem_alloc(&m, 0x10001, 1, NULL));
	vuf_mem_free(&m, at[0], 0x200);
	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
		at[i] = vuf_mem_alloc(&m, 100 + i % 7, 1u << i % 6, &gpa);
		assert_non_null(at[i]);
		assert_ptr_equal(vuf_mem_at(&m, gpa), at[i]);
		assert_int_equal(gpa % (1u << i % 6), 0);
		memset(at[i], (int)i, 100);
	}
	assert_int_equal(vuf_mem_drop(&m, 0), -EBUSY);
	for (unsigned int i = 0; i < ARRAY_SIZE(at); i += 2)
		vuf_mem_free(&m, at[i], 100 + i % 7);
	for (unsigned int i = 1; i < ARRAY_SIZE(at); i += 2) {
		assert_int_equal(((uint8_t *)at[i])[99], i & 0xff);
		vuf_mem_free(&m, at[i], 100 + i % 7);
	}
	assert_int_equal(vuf_mem_avail(&m), 3 << 16);
	assert_non_null(vuf_mem_take(&m, 0, 1 << 17));
	assert_int_equal(vuf_mem_drop(&m, 2), 0);
	assert_int_equal(vuf_mem_uva(&m, 1 << 20), 0);
	vuf_mem_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_kept_account_of),
		cmocka_unit_test(split_goes_round),
		cmocka_unit_test(packed_goes_round),
	};

	return cmocka_run_group_tests_name("vuf", tests, NULL, NULL);
}
