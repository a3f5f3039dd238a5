// SPDX-License-Identifier: Apache-2.0
/* The driver's side of a virtqueue, in both formats, over a memory of its own. */
/*
 * Theory of operation
 *
 * Written from the specification alone and without regard to speed, so that it does not share mistakes
 * with the device's side. The two regions of guest memory lie in the file the other way round: what
 * meets in the guest does not in the host. Tables of descriptors stand around the place where they
 * meet, at addresses that are not aligned.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "fd.h"
#include "rnd.h"
#include "util.h"
#include "vq_inflight.h"
#include "vqdriver.h"

#define RINGS  (DRV_GPA + 0x10000)
#define DRIVER (DRV_GPA + 0x20000)
#define DEVICE (DRV_GPA + 0x30000)
#define TABLES (DRV_MEET - 0x200000 + 4)

#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED  (1u << VRING_PACKED_DESC_F_USED)

/* Ids come back to a random place, so that chains are not in order. */
static void return_id(struct drv *d, uint16_t id)
{
	uint16_t at = (uint16_t)rnd_below(&d->seed, d->nfree_ids + 1u);

	d->free_ids[d->nfree_ids++] = d->free_ids[at];
	d->free_ids[at] = id;
}

void drv_init(struct drv *d, bool packed, uint16_t size, bool event_idx, uint16_t start)
{
	memset(d, 0, sizeof(*d));
	d->packed = packed;
	d->size = size;
	d->event_idx = event_idx;
	d->seed = 4711;
	d->fd = memfd_create("vqdriver", MFD_CLOEXEC);
	assert_true(d->fd >= 0);
	assert_int_equal(ftruncate(d->fd, DRV_SIZE), 0);
	d->mem = mmap(NULL, DRV_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, 0);
	assert_ptr_not_equal(d->mem, MAP_FAILED);
	d->desc = drv_at(d, RINGS);
	d->pdesc = drv_at(d, RINGS);
	d->avail = drv_at(d, DRIVER);
	d->driver_ev = drv_at(d, DRIVER);
	d->used = drv_at(d, DEVICE);
	d->device_ev = drv_at(d, DEVICE);
	for (uint16_t i = 0; i < size; i++)
		return_id(d, i);
	d->free_slots = size;
	d->avail_wrap = true;
	d->used_wrap = true;
	if (!packed) {
		d->avail_idx = d->kicked_idx = d->used_idx = start;
		d->avail->idx = d->used->idx = start;
	}
}

void drv_done(struct drv *d)
{
	munmap(d->mem, DRV_SIZE);
	fd_close(&d->fd);
}

void drv_clone(struct drv *to, const struct drv *from)
{
	struct drv own = *to;

	*to = *from;
	to->fd = own.fd;
	to->mem = own.mem;
	to->desc = own.desc;
	to->pdesc = own.pdesc;
	to->avail = own.avail;
	to->driver_ev = own.driver_ev;
	to->used = own.used;
	to->device_ev = own.device_ev;
}

struct vq_conf drv_conf(const struct drv *d, bool indirect)
{
	return (struct vq_conf){
		.size = d->size,
		.packed = d->packed,
		.event_idx = d->event_idx,
		.indirect = indirect,
		.desc = RINGS + DRV_UVA,
		.driver = DRIVER + DRV_UVA,
		.device = DEVICE + DRV_UVA,
		.log_gpa = DEVICE,
		.base = d->packed ? VQ_BASE_PACKED : d->used_idx,
	};
}

struct gmem *drv_gmem(const struct drv *d)
{
	struct gmem *gm = gmem_new();

	for (unsigned int i = 0; i < 2; i++) {
		const struct gmem_conf conf = {
			.gpa = DRV_GPA + i * DRV_HALF,
			.size = DRV_HALF,
			.uva = DRV_GPA + DRV_UVA + i * DRV_HALF,
			.offset = (1 - i) * DRV_HALF,
		};
		struct gmem *with = NULL;

		assert_int_equal(gmem_with(gm, &conf, d->fd, &with), 0);
		gmem_put(gm);
		gm = with;
	}
	return gm;
}

void *drv_at(const struct drv *d, uint64_t gpa)
{
	return d->mem + (gpa - DRV_GPA + DRV_HALF) % DRV_SIZE;
}

uint64_t drv_table(uint16_t n)
{
	return TABLES + n * DRV_TABLE;
}

/* Guest memory that may straddle the two regions. */
static void put(struct drv *d, uint64_t gpa, const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		*(uint8_t *)drv_at(d, gpa + i) = ((const uint8_t *)bytes)[i];
}

uint16_t drv_next_id(const struct drv *d)
{
	return d->free_ids[d->nfree_ids - 1];
}

static uint16_t take_id(struct drv *d)
{
	return d->free_ids[--d->nfree_ids];
}

/* A split table's entries stand in any order; entry 0 is the first. */
static void write_table(struct drv *d, uint64_t table, const struct drv_seg *segs, unsigned int n,
			unsigned int nread)
{
	bool backwards = !d->packed && rnd_below(&d->seed, 2);

	for (unsigned int i = 0; i < n; i++) {
		unsigned int at = backwards && i ? n - i : i;
		unsigned int next = i + 1 == n ? 0 : backwards ? n - i - 1 : i + 1;
		uint16_t flags = i < nread ? 0 : VRING_DESC_F_WRITE;

		if (d->packed) {
			/* The id is reserved: anything may stand there. */
			struct vring_packed_desc p = {segs[i].gpa, segs[i].len, 0xdead, flags};

			put(d, table + at * sizeof(p), &p, sizeof(p));
		} else {
			struct vring_desc s = {segs[i].gpa, segs[i].len, flags, (uint16_t)next};

			if (i + 1 < n)
				s.flags |= VRING_DESC_F_NEXT;
			put(d, table + at * sizeof(s), &s, sizeof(s));
		}
	}
}

/* The descriptors that go to the ring: at most one for each segment. */
static unsigned int plan(struct drv *d, const struct drv_seg *segs, unsigned int nread,
			 unsigned int nwrite, enum drv_how how, uint16_t table,
			 struct vring_desc *ring)
{
	unsigned int n = nread + nwrite, direct = how == DRV_DIRECT ? n : how == DRV_MIXED ? 1 : 0;

	for (unsigned int i = 0; i < direct; i++)
		ring[i] = (struct vring_desc){segs[i].gpa, segs[i].len,
					      i < nread ? 0 : VRING_DESC_F_WRITE, 0};
	if (direct == n)
		return n;
	write_table(d, drv_table(table), segs + direct, n - direct,
		    nread > direct ? nread - direct : 0);
	/* The write flag does not mean anything here. */
	ring[direct] = (struct vring_desc){
		drv_table(table), (n - direct) * 16,
		VRING_DESC_F_INDIRECT | (rnd_below(&d->seed, 2) ? VRING_DESC_F_WRITE : 0), 0};
	return direct + 1;
}

static int add_split(struct drv *d, struct vring_desc *ring, unsigned int n, uint16_t head)
{
	uint16_t at = head;

	for (unsigned int i = 0; i < n; i++) {
		uint16_t next = i + 1 < n ? take_id(d) : at;

		if (i + 1 < n)
			ring[i].flags |= VRING_DESC_F_NEXT;
		ring[i].next = next;
		d->desc[at] = ring[i];
		d->chain[at] = next;
		at = next;
	}
	d->avail->ring[d->avail_idx % d->size] = head;
	d->avail_idx++;
	__atomic_store_n(&d->avail->idx, d->avail_idx, __ATOMIC_RELEASE);
	return head;
}

static int add_packed(struct drv *d, const struct vring_desc *ring, unsigned int n, uint16_t id)
{
	uint16_t first = d->avail_idx, first_flags = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint16_t flags = ring[i].flags | (d->avail_wrap ? AVAIL : USED);
		struct vring_packed_desc *p = &d->pdesc[d->avail_idx];

		if (i + 1 < n)
			flags |= VRING_DESC_F_NEXT;
		p->addr = ring[i].addr;
		p->len = ring[i].len;
		p->id = i + 1 < n ? 0xbeef : id;
		if (i == 0)
			first_flags = flags;
		else
			p->flags = flags;
		if (++d->avail_idx == d->size) {
			d->avail_idx = 0;
			d->avail_wrap = !d->avail_wrap;
		}
	}
	d->added += n;
	__atomic_store_n(&d->pdesc[first].flags, first_flags, __ATOMIC_RELEASE);
	return id;
}

int drv_add(struct drv *d, const struct drv_seg *segs, unsigned int nread, unsigned int nwrite,
	    enum drv_how how)
{
	static _Thread_local struct vring_desc ring[VQ_SIZE_MAX];
	unsigned int n = nread + nwrite, need = how == DRV_DIRECT           ? n
						: how == DRV_MIXED && n > 1 ? 2
									    : 1;
	uint16_t id;

	if (need > d->free_slots)
		return -1;
	id = take_id(d);
	n = plan(d, segs, nread, nwrite, how, id, ring);
	assert_int_equal(n, need);
	d->free_slots -= n;
	d->ndesc[id] = (uint16_t)n;
	d->out[id] = true;
	return d->packed ? add_packed(d, ring, n, id) : add_split(d, ring, n, id);
}

static bool kick_split(struct drv *d)
{
	uint16_t old = d->kicked_idx, event;

	d->kicked_idx = d->avail_idx;
	if (!d->event_idx)
		return !(__atomic_load_n(&d->used->flags, __ATOMIC_RELAXED) &
			 VRING_USED_F_NO_NOTIFY);
	event = __atomic_load_n((uint16_t *)(void *)&d->used->ring[d->size], __ATOMIC_RELAXED);
	for (; old != d->avail_idx; old++)
		if (old == event)
			return true;
	return false;
}

static bool kick_packed(struct drv *d)
{
	uint32_t event = __atomic_load_n((uint32_t *)(void *)d->device_ev, __ATOMIC_RELAXED);
	uint32_t added = d->added;
	uint16_t at = d->avail_idx;
	bool wrap = d->avail_wrap;

	d->added = 0;
	if (event >> 16 == VRING_PACKED_EVENT_FLAG_DISABLE)
		return false;
	if (event >> 16 != VRING_PACKED_EVENT_FLAG_DESC)
		return true;
	assert_true(d->event_idx);
	while (added--) {
		if (at == 0) {
			at = d->size;
			wrap = !wrap;
		}
		at--;
		if ((event & 0x7fff) == at && (event >> 15 & 1) == wrap)
			return true;
	}
	return false;
}

bool drv_kick(struct drv *d)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return d->packed ? kick_packed(d) : kick_split(d);
}

static void give_back(struct drv *d, uint16_t id)
{
	uint16_t at = id;

	assert_true(id < d->size && d->out[id]);
	d->out[id] = false;
	d->free_slots += d->ndesc[id];
	return_id(d, id);
	if (d->packed)
		return;
	for (uint16_t i = 1; i < d->ndesc[id]; i++) {
		at = d->chain[at];
		return_id(d, at);
	}
}

static bool is_used(const struct drv *d)
{
	uint16_t flags;

	if (!d->packed)
		return __atomic_load_n(&d->used->idx, __ATOMIC_ACQUIRE) != d->used_idx;
	flags = __atomic_load_n(&d->pdesc[d->used_idx].flags, __ATOMIC_ACQUIRE);
	return (flags & (AVAIL | USED)) == (d->used_wrap ? AVAIL | USED : 0);
}

int drv_get(struct drv *d, uint32_t *ret_len)
{
	uint16_t id;

	if (!is_used(d))
		return -1;
	if (d->packed) {
		const struct vring_packed_desc *p = &d->pdesc[d->used_idx];

		id = p->id;
		*ret_len = p->flags & VRING_DESC_F_WRITE ? p->len : 0;
		assert_true(id < d->size);
		d->used_idx += d->ndesc[id];
		if (d->used_idx >= d->size) {
			d->used_idx -= d->size;
			d->used_wrap = !d->used_wrap;
		}
	} else {
		const struct vring_used_elem *e = &d->used->ring[d->used_idx % d->size];

		assert_true(e->id < d->size);
		id = (uint16_t)e->id;
		*ret_len = e->len;
		d->used_idx++;
	}
	give_back(d, id);
	return id;
}

bool drv_irq_on(struct drv *d)
{
	if (d->packed) {
		uint32_t event = d->event_idx ? VRING_PACKED_EVENT_FLAG_DESC << 16 |
							(uint32_t)d->used_wrap << 15 | d->used_idx
					      : VRING_PACKED_EVENT_FLAG_ENABLE << 16;

		__atomic_store_n((uint32_t *)(void *)d->driver_ev, event, __ATOMIC_RELAXED);
	} else if (d->event_idx) {
		__atomic_store_n(&d->avail->ring[d->size], d->used_idx, __ATOMIC_RELAXED);
	} else {
		__atomic_store_n(&d->avail->flags, 0, __ATOMIC_RELAXED);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return is_used(d);
}

void drv_irq_off(struct drv *d)
{
	if (d->packed)
		__atomic_store_n((uint32_t *)(void *)d->driver_ev,
				 VRING_PACKED_EVENT_FLAG_DISABLE << 16, __ATOMIC_RELAXED);
	else if (!d->event_idx)
		__atomic_store_n(&d->avail->flags, VRING_AVAIL_F_NO_INTERRUPT, __ATOMIC_RELAXED);
}

const struct drv_seg rig_small[3] = {{DRV_DATA, 16}, {DRV_DATA + 16, 16}, {DRV_DATA + 32, 16}};

void rig_init(struct rig *r, bool packed, uint16_t size, bool event_idx, uint16_t start)
{
	memset(r, 0, sizeof(*r));
	drv_init(&r->d, packed, size, event_idx, start);
	r->gm = drv_gmem(&r->d);
	r->conf = drv_conf(&r->d, true);
	assert_int_equal(vq_start(&r->vq, &r->conf, r->gm), 0);
}

void rig_done(struct rig *r)
{
	vq_stop(&r->vq);
	gmem_put(r->gm);
	drv_done(&r->d);
}

struct vq_chain rig_pop(struct rig *r)
{
	static struct iovec iov[VQ_CHAIN_IOV(VQ_SIZE_MAX)];
	struct vq_chain c = {.iov = iov, .max = ARRAY_SIZE(iov)};

	assert_int_equal(vq_pop(&r->vq, &c), 1);
	return c;
}

void *rig_region(const struct rig *r)
{
	return drv_at(&r->d, RIG_REGION);
}

void rig_attach(struct rig *r)
{
	assert_int_equal(vq_inflight_attach(&r->vq, rig_region(r),
					    vq_inflight_size(r->d.size, r->d.packed)),
			 0);
}

int rig_add(struct rig *r, uint64_t *seed)
{
	unsigned int n = 1 + rnd_below(seed, 3), nread = rnd_below(seed, n + 1);

	return drv_add(&r->d, rig_small, nread, n - nread,
		       rnd_below(seed, 3) ? DRV_DIRECT : DRV_INDIRECT);
}

void rig_expect_add(struct rig_expect *e, int id)
{
	if (id >= 0)
		e->ids[e->n++] = id;
}

void rig_expect_remove(struct rig_expect *e, int id)
{
	unsigned int i;

	for (i = 0; i < e->n && e->ids[i] != id; i++)
		;
	/* Given back though nobody waits for it: twice, that is. */
	assert_true(i < e->n);
	memmove(&e->ids[i], &e->ids[i + 1], (--e->n - i) * sizeof(e->ids[0]));
}

void rig_get_all(struct rig *r, struct rig_expect *e)
{
	uint32_t len;
	int id;

	while ((id = drv_get(&r->d, &len)) >= 0)
		rig_expect_remove(e, id);
}
