// SPDX-License-Identifier: Apache-2.0
/* Virtqueues with a driver that breaks the rules, and what is tolerated. */
/*
 * Theory of operation
 *
 * A table of chains, written into the ring by hand, and what must come of each: broken, or taken with
 * so many segments. Every case runs in each format that can express it, in a queue of its own; a queue
 * that was broken must stay so, and serve again after a restart. Last, a thread scribbles over the
 * whole ring while the device reads it: whatever is taken lies in guest memory.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rnd.h"
#include "util.h"
#include "vqdriver.h"

#define SIZE 8u
#define D    DRV_DATA
#define BAD  0x1000ull /* not in guest memory */
#define END  (DRV_GPA + DRV_SIZE)
#define T    drv_table(0)

#define N VRING_DESC_F_NEXT
#define W VRING_DESC_F_WRITE
#define I VRING_DESC_F_INDIRECT

#define SPLIT  1
#define PACKED 2
#define BOTH   (SPLIT | PACKED)

struct raw {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next; /* packed: buffer id */
};

struct rule {
	const char *name;
	unsigned int formats;
	struct raw ring[SIZE];
	unsigned int n;
	struct raw table[SIZE];
	unsigned int ntable;
	int r;
	unsigned int nread, nwrite;
	bool faulted;
};

/* A table's address and length are filled in where they are 0 and I is set. */
static const struct rule rules[] = {
	/* What the specification has. */
	{"read and write", BOTH, {{D, 8, N, 1}, {D + 8, 8, W, 2}}, 2, .r = 1, 1, 1},
	{"straddling", BOTH, {{DRV_MEET - 8, 16, N, 1}, {DRV_MEET - 4, 5, W, 0}}, 2, .r = 1, 2, 2},
	{"table", BOTH, {{0, 0, I, 3}}, 1, {{D, 8, N, 1}, {D, 8, W, 0}}, 2, 1, 1, 1},
	{"table that says write", BOTH, {{0, 0, I | W, 3}}, 1, {{D, 8, 0, 0}}, 1, 1, 1, 0},
	{"table last",
	 BOTH,
	 {{D, 8, N, 1}, {0, 0, I, 0}},
	 2,
	 {{D, 8, N, 1}, {D, 8, W}},
	 2,
	 1,
	 2,
	 1},
	{"table, not all of it",
	 SPLIT,
	 {{0, 0, I}},
	 1,
	 {{D, 8, N, 2}, {BAD, 8, W}, {D, 8, W}},
	 3,
	 1,
	 1,
	 1},
	{"flags in a packed table",
	 PACKED,
	 {{0, 0, I, 1}},
	 1,
	 {{D, 8, 0xfff8, 77}, {D, 8, 0xfff8 | N | W, 78}},
	 2,
	 1,
	 1,
	 1},
	{"4 GiB", BOTH, {{BAD, UINT32_MAX, N, 1}, {D, 1, 0, 0}}, 2, .r = 1, 0, 0, true},
	/* What it does not have, and no harm is in. */
	{"length 0",
	 BOTH,
	 {{D, 0, N, 1}, {D, 4, N, 2}, {BAD, 0, N, 3}, {D, 4, W | N, 4}, {D, 0, 0, 0}},
	 5,
	 .r = 1,
	 1,
	 1},
	{"all of length 0", BOTH, {{D, 0, N, 1}, {D, 0, W, 0}}, 2, .r = 1, 0, 0},
	/* Addresses outside: the request fails, the queue goes on. */
	{"read outside", BOTH, {{BAD, 8, N, 1}, {D, 8, N, 2}, {D, 8, W, 0}}, 3, .r = 1, 0, 1, true},
	{"read outside later",
	 BOTH,
	 {{D, 8, N, 1}, {BAD, 8, N, 2}, {D, 8, N, 3}, {D, 8, W}},
	 4,
	 .r = 1,
	 1,
	 1,
	 true},
	{"write outside",
	 BOTH,
	 {{D, 8, N, 1}, {BAD, 8, W | N, 2}, {D, 8, W, 0}},
	 3,
	 .r = 1,
	 1,
	 0,
	 true},
	{"beyond the end", BOTH, {{END - 8, 9, N, 1}, {END - 8, 8, W, 0}}, 2, .r = 1, 0, 1, true},
	{"before the start", BOTH, {{DRV_GPA - 1, 2, 0, 0}}, 1, .r = 1, 0, 0, true},
	{"address wraps", BOTH, {{UINT64_MAX - 3, 16, 0, 0}}, 1, .r = 1, 0, 0, true},
	{"address wraps into memory",
	 BOTH,
	 {{DRV_GPA - UINT32_MAX, UINT32_MAX, W, 0}},
	 1,
	 .r = 1,
	 0,
	 0,
	 true},
	{"table outside", BOTH, {{D, 8, N, 1}, {BAD, 32, I, 0}}, 2, .r = 1, 1, 0, true},
	{"table at the top", BOTH, {{UINT64_MAX - 15, 32, I, 0}}, 1, .r = 1, 0, 0, true},
	{"table of 4 GiB outside", BOTH, {{BAD, 0xfffffff0, I, 0}}, 1, .r = 1, 0, 0, true},
	/* Broken. */
	{"next out of range", SPLIT, {{D, 8, N, SIZE}}, 1, .r = -EPROTO},
	{"next far out of range", SPLIT, {{D, 8, N, 0xffff}}, 1, .r = -EPROTO},
	{"loop of one", SPLIT, {{D, 8, N, 0}}, 1, .r = -EPROTO},
	{"loop of two", SPLIT, {{D, 8, N, 1}, {D, 8, N, 0}}, 2, .r = -EPROTO},
	{"loop of length 0", SPLIT, {{D, 0, N, 1}, {D, 0, N, 0}}, 2, .r = -EPROTO},
	{"never an end",
	 PACKED,
	 {{D, 8, N}, {D, 8, N}, {D, 8, N}, {D, 8, N}, {D, 8, N}, {D, 8, N}, {D, 8, N}, {D, 8, N}},
	 8,
	 .r = -EPROTO},
	{"read after write", BOTH, {{D, 8, N | W, 1}, {D, 8, 0, 0}}, 2, .r = -EPROTO},
	{"read after write outside", BOTH, {{BAD, 8, N | W, 1}, {D, 8, 0, 0}}, 2, .r = -EPROTO},
	{"more than 4 GiB", BOTH, {{BAD, UINT32_MAX, N, 1}, {D, 2, 0, 0}}, 2, .r = -EPROTO},
	{"table and next", BOTH, {{0, 0, I | N, 1}, {D, 8, 0, 0}}, 2, {{D, 8, 0, 0}}, 1, -EPROTO},
	{"table in a table", BOTH, {{0, 0, I, 0}}, 1, {{D, 8, N, 1}, {D, 16, I, 0}}, 2, -EPROTO},
	{"table of no length", BOTH, {{D, 0, I, 0}}, 1, .r = -EPROTO},
	{"table of 8 bytes", BOTH, {{D, 8, I, 0}}, 1, .r = -EPROTO},
	{"table of 17 bytes", BOTH, {{D, 17, I, 0}}, 1, .r = -EPROTO},
	{"table of 17 bytes outside", BOTH, {{BAD, 17, I, 0}}, 1, .r = -EPROTO},
	{"next outside the table",
	 SPLIT,
	 {{0, 0, I, 0}},
	 1,
	 {{D, 8, N, 2}, {D, 8, W, 0}},
	 2,
	 -EPROTO},
	{"loop in a table", SPLIT, {{0, 0, I, 0}}, 1, {{D, 8, N, 1}, {D, 8, N, 0}}, 2, -EPROTO},
	{"loop of length 0 in a table", SPLIT, {{0, 0, I}}, 1, {{D, 0, N, 0}}, 1, -EPROTO},
	{"read after write in a table",
	 BOTH,
	 {{0, 0, I, 0}},
	 1,
	 {{D, 8, N | W, 1}, {D, 8, 0, 0}},
	 2,
	 -EPROTO},
	{"table of reads after write",
	 BOTH,
	 {{D, 8, N | W, 1}, {0, 0, I, 0}},
	 2,
	 {{D, 8, 0, 0}},
	 1,
	 -EPROTO},
};

/* Write @n descriptors from the next free place of the ring on, and offer them. */
static void offer(struct rig *r, const struct raw *ring, unsigned int n)
{
	struct drv *d = &r->d;

	if (!d->packed) {
		for (unsigned int i = 0; i < n; i++)
			d->desc[i] = (struct vring_desc){ring[i].addr, ring[i].len, ring[i].flags,
							 ring[i].next};
		d->avail->ring[d->avail_idx++ % d->size] = 0;
		d->avail->idx = d->avail_idx;
		return;
	}
	for (unsigned int i = 0; i < n; i++) {
		uint16_t flags = 1u << (d->avail_wrap ? VRING_PACKED_DESC_F_AVAIL
						      : VRING_PACKED_DESC_F_USED);

		d->pdesc[d->avail_idx] = (struct vring_packed_desc){
			ring[i].addr, ring[i].len, ring[i].next, ring[i].flags | flags};
		if (++d->avail_idx == d->size) {
			d->avail_idx = 0;
			d->avail_wrap = !d->avail_wrap;
		}
	}
}

static void offer_rule(struct rig *r, const struct rule *rule)
{
	struct raw ring[SIZE];

	memcpy(ring, rule->ring, sizeof(ring));
	for (unsigned int i = 0; i < rule->n; i++) {
		if (!(ring[i].flags & I) || ring[i].addr)
			continue;
		ring[i].addr = T;
		ring[i].len = rule->ntable * 16;
	}
	for (unsigned int i = 0; i < rule->ntable; i++) {
		const struct raw *e = &rule->table[i];
		struct vring_desc s = {e->addr, e->len, e->flags, e->next};
		struct vring_packed_desc p = {e->addr, e->len, e->next, e->flags};

		memcpy(drv_at(&r->d, T + i * 16), r->d.packed ? (void *)&p : (void *)&s, 16);
	}
	offer(r, ring, rule->n);
}

static const struct raw good = {D, 8, 0, 0};

/* Nothing moves any more, and after a restart, with the ring in order, everything does. */
static void check_broken(struct rig *r)
{
	struct vring_used used = *r->d.used;
	struct vq_chain c = {.max = 0};

	assert_true(r->vq.broken);
	assert_int_equal(vq_pop(&r->vq, &c), -EPROTO);
	vq_push(&r->vq, &c, 0, r->gm);
	assert_false(vq_flush(&r->vq));
	assert_false(vq_kicks_on(&r->vq, 0));
	vq_kicks_off(&r->vq);
	assert_memory_equal(r->d.used, &used, sizeof(used));
	vq_stop(&r->vq);
	assert_int_equal(vq_start(&r->vq, &r->conf, r->gm), 0);
	assert_false(r->vq.broken);
	r->d.avail_idx = r->conf.base & 0x7fff;
	r->d.avail_wrap = true;
	offer(r, &good, 1);
	c = rig_pop(r);
	assert_int_equal(c.nread, 1);
}

static void check_rule(const struct rule *rule, bool packed, uint16_t start)
{
	struct vq_chain c = {.max = 0};
	struct iovec iov[2 * SIZE];
	struct rig r;
	int got;

	rig_init(&r, packed, SIZE, false, start);
	c.iov = iov;
	c.max = ARRAY_SIZE(iov);
	offer_rule(&r, rule);
	got = vq_pop(&r.vq, &c);
	if (got != rule->r)
		fail_msg("%s, %s: %d", rule->name, packed ? "packed" : "split", got);
	if (rule->r < 0) {
		check_broken(&r);
	} else {
		if (c.nread != rule->nread || c.nwrite != rule->nwrite ||
		    c.faulted != rule->faulted)
			fail_msg("%s, %s: %u and %u segments, faulted %d", rule->name,
				 packed ? "packed" : "split", c.nread, c.nwrite, c.faulted);
		assert_int_equal(c.ndesc, rule->n);
		/* The id is that of the last descriptor, or the head's index. */
		assert_int_equal(c.id, packed ? rule->ring[rule->n - 1].next : 0);
		vq_push(&r.vq, &c, 0, r.gm);
		vq_flush(&r.vq);
		assert_int_equal(r.vq.in_use, 0);
		assert_int_equal(vq_pop(&r.vq, &c), 0);
	}
	rig_done(&r);
}

static void table_of_rules(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(rules); i++) {
		if (rules[i].formats & SPLIT)
			check_rule(&rules[i], false, 0);
		if (rules[i].formats & PACKED)
			check_rule(&rules[i], true, 0);
	}
}

/* A table without the feature; more segments than the caller has room for. */
static void limits_of_the_device(void **state)
{
	static const struct raw three[] = {{D, 8, N, 1}, {D, 8, N, 2}, {D, 8, W, 0}};
	static const struct raw table = {DRV_DATA, 16, I, 0};

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		struct iovec iov[3];
		struct vq_chain c = {.iov = iov, .max = 2};
		struct rig r;

		rig_init(&r, packed, SIZE, false, 0);
		offer(&r, three, 3);
		assert_int_equal(vq_pop(&r.vq, &c), -EPROTO);
		check_broken(&r);
		rig_done(&r);
		rig_init(&r, packed, SIZE, false, 0);
		offer(&r, three, 3);
		c.max = 3;
		assert_int_equal(vq_pop(&r.vq, &c), 1);
		rig_done(&r);
		rig_init(&r, packed, SIZE, false, 0);
		vq_stop(&r.vq);
		r.conf.indirect = false;
		assert_int_equal(vq_start(&r.vq, &r.conf, r.gm), 0);
		offer(&r, &table, 1);
		assert_int_equal(vq_pop(&r.vq, &c), -EPROTO);
		check_broken(&r);
		rig_done(&r);
	}
}

/* Linux before 5.13 sends longer tables than the queue has descriptors; there is an end, though. */
static void long_tables(void **state)
{
	static struct drv_seg segs[VQ_TABLE_MIN + 1];

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(segs); i++)
		segs[i] = (struct drv_seg){D + i * 16, 16};
	for (int packed = 0; packed < 2; packed++) {
		struct iovec iov[VQ_CHAIN_IOV(4)];
		struct vq_chain c = {.iov = iov, .max = ARRAY_SIZE(iov)};
		struct rig r;

		rig_init(&r, packed, 4, false, 0);
		assert_true(drv_add(&r.d, segs, 100, VQ_TABLE_MIN - 100, DRV_INDIRECT) >= 0);
		assert_int_equal(vq_pop(&r.vq, &c), 1);
		assert_int_equal(c.nread, 100);
		assert_int_equal(c.nwrite, VQ_TABLE_MIN - 100);
		assert_true(drv_add(&r.d, segs, 100, VQ_TABLE_MIN - 99, DRV_INDIRECT) >= 0);
		assert_int_equal(vq_pop(&r.vq, &c), -EPROTO);
		rig_done(&r);
	}
}

/* A table that runs off the end of memory, and one that straddles regions at an odd place. */
static void tables_at_edges(void **state)
{
	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		for (unsigned int shift = 0; shift < 48; shift++) {
			struct vring_desc s = {D, 8, N, 0};
			struct vring_packed_desc p = {D, 8, 0, 0};
			struct raw table = {END - 48, 64, I, 0};
			struct vq_chain c;
			struct rig r;

			rig_init(&r, packed, SIZE, false, 0);
			for (unsigned int i = 0; i < 3; i++) {
				s.next = (uint16_t)(i + 1);
				memcpy(drv_at(&r.d, table.addr + i * 16),
				       packed ? (void *)&p : (void *)&s, 16);
			}
			offer(&r, &table, 1);
			c = rig_pop(&r);
			assert_true(c.faulted);
			assert_int_equal(c.nread, 3);
			table.addr = DRV_MEET - shift;
			table.len = 48;
			for (unsigned int i = 0; i < 3; i++) {
				const uint8_t *from = packed ? (void *)&p : (void *)&s;

				s.next = (uint16_t)(i + 1);
				s.flags = i < 2 ? N : 0;
				for (unsigned int b = 0; b < 16; b++)
					*(uint8_t *)drv_at(&r.d, table.addr + i * 16 + b) = from[b];
			}
			vq_push(&r.vq, &c, 0, r.gm);
			vq_flush(&r.vq);
			offer(&r, &table, 1);
			c = rig_pop(&r);
			assert_false(c.faulted);
			assert_int_equal(c.nread, 3);
			rig_done(&r);
		}
	}
}

static void split_avail(struct rig *r, uint16_t head)
{
	r->d.avail->ring[r->d.avail_idx++ % SIZE] = head;
	r->d.avail->idx = r->d.avail_idx;
}

/* The available ring itself. */
static void avail_ring(void **state)
{
	static const uint16_t steps[] = {SIZE, SIZE + 1, 100, 0x7fff, 0x8000, 0xfff0, 0xffff};
	struct iovec iov[2 * SIZE];
	struct vq_chain c = {.iov = iov, .max = ARRAY_SIZE(iov)}, first;
	struct rig r;

	(void)state;
	/* Heads out of range. */
	for (uint32_t head = SIZE; head <= 0xffff; head = head * 2 + 1) {
		rig_init(&r, false, SIZE, false, 0);
		split_avail(&r, (uint16_t)head);
		assert_int_equal(vq_pop(&r.vq, &c), -EPROTO);
		check_broken(&r);
		rig_done(&r);
	}
	/* The index runs ahead, or back; here over the end of 16 bits. */
	for (unsigned int k = 0; k < ARRAY_SIZE(steps); k++) {
		rig_init(&r, false, SIZE, false, 65530);
		for (uint16_t i = 0; i < SIZE; i++) {
			r.d.desc[i] = (struct vring_desc){D, 8, 0, 0};
			r.d.avail->ring[(65530 + i) % SIZE] = i;
		}
		r.d.avail->idx = (uint16_t)(65530 + steps[k]);
		for (unsigned int i = 0; i < SIZE && steps[k] == SIZE; i++)
			rig_pop(&r);
		assert_int_equal(vq_pop(&r.vq, &c), steps[k] == SIZE ? 0 : -EPROTO);
		rig_done(&r);
	}
	/* A head that the device holds; it may come again once it was shown as used. */
	rig_init(&r, false, SIZE, false, 0);
	r.d.desc[2] = r.d.desc[3] = (struct vring_desc){D, 8, 0, 0};
	split_avail(&r, 2);
	first = rig_pop(&r);
	vq_push(&r.vq, &first, 0, r.gm);
	vq_flush(&r.vq);
	split_avail(&r, 2);
	rig_pop(&r);
	split_avail(&r, 3);
	rig_pop(&r);
	split_avail(&r, 2);
	assert_int_equal(vq_pop(&r.vq, &c), -EPROTO);
	check_broken(&r);
	rig_done(&r);
}

/* Chains that share descriptors, so that the device would hold more than there are. */
static void more_than_there_is(void **state)
{
	struct iovec iov[2 * SIZE];
	struct vq_chain c = {.iov = iov, .max = ARRAY_SIZE(iov)};
	struct rig r;

	(void)state;
	rig_init(&r, false, SIZE, false, 0);
	for (unsigned int i = 0; i < SIZE; i++)
		r.d.desc[i] = (struct vring_desc){D, 8, N, 7};
	r.d.desc[7].flags = 0;
	for (uint16_t i = 0; i < 4; i++) {
		split_avail(&r, i);
		rig_pop(&r);
	}
	assert_int_equal(r.vq.in_use, SIZE);
	split_avail(&r, 4);
	assert_int_equal(vq_pop(&r.vq, &c), -EPROTO);
	check_broken(&r);
	rig_done(&r);
	/* Pushed chains count until they are flushed: the driver cannot know of them. */
	for (int packed = 0; packed < 2; packed++) {
		rig_init(&r, packed, SIZE, false, 0);
		for (uint16_t i = 0; i < SIZE; i++) {
			struct raw one = {D, 8, 0, i};

			if (packed) {
				offer(&r, &one, 1);
			} else {
				r.d.desc[i] = (struct vring_desc){D, 8, 0, 0};
				split_avail(&r, i);
			}
			c = rig_pop(&r);
			vq_push(&r.vq, &c, 0, r.gm);
		}
		if (packed) {
			offer(&r, &good, 1);
		} else {
			split_avail(&r, 0);
		}
		assert_int_equal(vq_pop(&r.vq, &c), -EPROTO);
		check_broken(&r);
		rig_done(&r);
	}
}

static void starts(void **state)
{
	static const struct {
		bool packed;
		uint16_t size;
		int64_t desc, driver, device;
		uint32_t base;
		int r;
	} cases[] = {
		{false, 0, 0, 0, 0, 0, -EINVAL},
		{false, 3, 0, 0, 0, 0, -EINVAL},
		{false, 1023, 0, 0, 0, 0, -EINVAL},
		{false, 2048, 0, 0, 0, 0, -EINVAL},
		{false, 32768, 0, 0, 0, 0, -EINVAL},
		{false, 1024, 0, 0, 0, 0xffff, 0},
		{false, 1, 0, 2, 4, 0, 0},
		{false, 8, 8, 0, 0, 0, -EINVAL},
		{false, 8, 0, 1, 0, 0, -EINVAL},
		{false, 8, 0, 0, 2, 0, -EINVAL},
		{true, 0, 0, 0, 0, 0, -EINVAL},
		{true, 3, 0, 0, 0, 0, 0},
		{true, 1025, 0, 0, 0, 0, -EINVAL},
		{true, 8, 0, 4, 4, 0x80078007, 0},
		{true, 8, 0, 0, 0, 8, -EINVAL},
		{true, 8, 0, 0, 0, 8 << 16, -EINVAL},
		{true, 8, 8, 0, 0, 0, -EINVAL},
		{true, 8, 0, 2, 0, 0, -EINVAL},
		{true, 8, 0, 0, 2, 0, -EINVAL},
		/* Outside, by a little or by far. */
		{false, 8, -(int64_t)DRV_UVA, 0, 0, 0, -EFAULT},
		{false, 8, 0, INT64_MAX - 1, 0, 0, -EFAULT},
		{false, 8, 0, 0, -0x30004, 0, -EFAULT},
		{true, 8, -0x10010, 0, 0, 0, -EFAULT},
		{true, 8, 0, INT64_MIN, 0, 0, -EFAULT},
		{true, 8, 0, 0, -0x30004, 0, -EFAULT},
		/* The end of the second region, less one byte too little. */
		{false, 8, 0xfeff80, 0, 0, 0, 0},
		{false, 8, 0xfeff90, 0, 0, 0, -EFAULT},
		{false, 8, 0, 0xfdffea, 0, 0, 0},
		{false, 8, 0, 0xfdffec, 0, 0, -EFAULT},
		{false, 8, 0, 0, 0xfcffb8, 0, 0},
		{false, 8, 0, 0, 0xfcffbc, 0, -EFAULT},
		/* Where the two meet: not in one piece for us. */
		{false, 8, 0x7effc0, 0, 0, 0, -EFAULT},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vq_conf conf;
		struct vq vq;
		struct rig r;

		rig_init(&r, cases[i].packed, SIZE, true, 0);
		vq_stop(&r.vq);
		conf = r.conf;
		conf.size = cases[i].size;
		conf.desc += (uint64_t)cases[i].desc;
		conf.driver += (uint64_t)cases[i].driver;
		conf.device += (uint64_t)cases[i].device;
		conf.base = cases[i].base;
		memset(&vq, 0, sizeof(vq));
		if (vq_start(&vq, &conf, r.gm) != cases[i].r)
			fail_msg("case %u", i);
		if (cases[i].r == 0)
			assert_int_equal(vq_stop(&vq), cases[i].base);
		else
			assert_false(vq.running);
		rig_done(&r);
	}
}

/* A guest that writes while we read */

#define TAKEN 4000u

struct scribble {
	struct rig r;
	_Atomic bool stop;
};

static void *scribbler(void *arg)
{
	struct scribble *s = arg;
	uint64_t seed = 11;

	while (!s->stop) {
		const uint64_t addrs[] = {D, DRV_MEET - 8, END - 16, BAD, T, UINT64_MAX - 8};
		static const uint32_t lens[] = {0, 8, 16, 32, 48, 4096, UINT32_MAX};
		uint64_t at = rnd_below(&seed, 2) ? T : s->r.conf.desc - DRV_UVA;
		uint16_t flags = (uint16_t)rnd_below(&seed, 8);
		uint64_t *word;

		at += rnd_below(&seed, SIZE) * 16;
		word = drv_at(&s->r.d, at);
		if (rnd_below(&seed, 3) == 0) {
			__atomic_store_n(word, addrs[rnd_below(&seed, ARRAY_SIZE(addrs))],
					 __ATOMIC_RELAXED);
			continue;
		}
		if (s->r.d.packed && rnd_below(&seed, 4))
			flags |= 1u << (rnd_below(&seed, 2) ? VRING_PACKED_DESC_F_AVAIL
							    : VRING_PACKED_DESC_F_USED);
		__atomic_store_n(word + 1,
				 lens[rnd_below(&seed, ARRAY_SIZE(lens))] |
					 (uint64_t)flags << (s->r.d.packed ? 48 : 32) |
					 (uint64_t)rnd_below(&seed, SIZE + 1)
						 << (s->r.d.packed ? 32 : 48),
				 __ATOMIC_RELAXED);
	}
	return NULL;
}

static void check_in_memory(const struct rig *r, const struct vq_chain *c)
{
	assert_true(c->nread + c->nwrite <= c->max);
	for (unsigned int i = 0; i < c->nread + c->nwrite; i++) {
		const uint8_t *base = c->iov[i].iov_base;
		bool in = false;

		for (unsigned int half = 0; half < 2; half++) {
			const uint8_t *region = gmem_gpa(r->gm, DRV_GPA + half * DRV_HALF, 1);

			in |= base >= region && base < region + DRV_HALF &&
			      c->iov[i].iov_len <= (size_t)(region + DRV_HALF - base);
		}
		assert_true(in);
	}
}

static void scribbled(void **state)
{
	static struct scribble s;

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		unsigned int taken = 0, broken = 0;
		struct iovec iov[VQ_CHAIN_IOV(SIZE)];
		struct vq_chain c = {.iov = iov, .max = ARRAY_SIZE(iov)};
		pthread_t thread;
		uint32_t base;

		rig_init(&s.r, packed, SIZE, true, 0);
		s.stop = false;
		assert_int_equal(pthread_create(&thread, NULL, scribbler, &s), 0);
		while (taken < TAKEN || broken < TAKEN) {
			int got;

			if (!packed)
				split_avail(&s.r, (uint16_t)(s.r.d.avail_idx % SIZE));
			got = vq_pop(&s.r.vq, &c);
			if (got == 1) {
				check_in_memory(&s.r, &c);
				vq_push(&s.r.vq, &c, 0, s.r.gm);
				vq_flush(&s.r.vq);
				taken++;
			} else if (got < 0) {
				broken++;
				base = vq_stop(&s.r.vq);
				s.r.conf.base = packed ? base : s.r.d.avail_idx;
				assert_int_equal(vq_start(&s.r.vq, &s.r.conf, s.r.gm), 0);
			}
		}
		s.stop = true;
		assert_int_equal(pthread_join(thread, NULL), 0);
		rig_done(&s.r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_of_rules), cmocka_unit_test(limits_of_the_device),
		cmocka_unit_test(long_tables),    cmocka_unit_test(tables_at_edges),
		cmocka_unit_test(avail_ring),     cmocka_unit_test(more_than_there_is),
		cmocka_unit_test(starts),         cmocka_unit_test(scribbled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
