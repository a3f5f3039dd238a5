// SPDX-License-Identifier: Apache-2.0
/* The driver's side of a packed virtqueue. */
/*
 * Theory of operation
 *
 * avail_pos and used_pos count descriptors for ever. A position's place in the ring is its remainder
 * by the size, and its wrap counter is 1 in laps 0, 2, 4… All comparisons are made on positions, and
 * turned into places and counters only where memory is touched.
 *
 * Buffer ids come from a list of their own (link[]), last freed first and beginning with the highest,
 * so that an id says nothing about a place. The flags of a chain's first descriptor are stored last,
 * with release: from then on the device may have it.
 *
 * The device may write anything: a used descriptor is read once and checked.
 */
#include <errno.h>
#include <string.h>

#include "util.h"
#include "vuf_ring_impl.h"

#define F_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define F_USED  (1u << VRING_PACKED_DESC_F_USED)

#define LOAD16(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define STORE16(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

static uint16_t place(const struct vuf_ring *r, uint64_t pos)
{
	return (uint16_t)(pos % r->conf.size);
}

static bool wrap(const struct vuf_ring *r, uint64_t pos)
{
	return !((pos / r->conf.size) & 1);
}

/* The bits that make a descriptor at @pos available. */
static uint16_t avail_bits(const struct vuf_ring *r, uint64_t pos)
{
	return wrap(r, pos) ? F_AVAIL : F_USED;
}

void packed_reset(struct vuf_ring *r, uint32_t base)
{
	uint16_t size = r->conf.size;

	r->avail_pos = base & 0x7fff;
	if (!(base & 0x8000))
		r->avail_pos += size;
	r->used_pos = r->kicked_pos = r->avail_pos;
	/* What lies before the base looks used, as it would after that many chains. */
	for (uint16_t i = 0; i < size; i++) {
		bool lap = (i < place(r, r->avail_pos)) == wrap(r, r->avail_pos);

		r->pdesc[i].flags = lap ? F_AVAIL | F_USED : 0;
	}
	for (uint16_t i = 0; i < size; i++)
		r->link[i] = i ? i - 1 : size;
	r->free_head = size - 1;
	r->device->off_wrap = (uint16_t)base;
	r->device->flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	r->driver->off_wrap = (uint16_t)base;
	r->driver->flags = VRING_PACKED_EVENT_FLAG_ENABLE;
}

/* Account for a chain of @ndesc descriptors that is out under @id. */
static void out(struct vuf_ring *r, uint16_t id, unsigned int ndesc, uint64_t room, void *token)
{
	struct vuf_slot *s = &r->slot[id];

	s->token = token;
	s->ndesc = (uint16_t)ndesc;
	s->room = room;
	r->nfree -= ndesc;
	r->nout++;
	r->avail_pos += ndesc;
}

static void fill(struct vring_packed_desc *d, const struct vuf_seg *seg, uint16_t id)
{
	d->addr = seg->gpa;
	d->len = seg->len;
	d->id = id;
}

int packed_add(struct vuf_ring *r, const struct vuf_seg *seg, unsigned int n, void *token)
{
	uint16_t id = r->free_head, head_flags = 0;
	uint64_t pos = r->avail_pos;
	struct vring_packed_desc *head = &r->pdesc[place(r, pos)];

	if ((wants_table(r, n) ? 1 : n) > r->nfree)
		return -ENOSPC;
	if (wants_table(r, n)) {
		struct vring_packed_desc *t = slot_table(r, &r->slot[id], n);

		if (!t)
			return -ENOMEM;
		for (unsigned int i = 0; i < n; i++) {
			fill(&t[i], &seg[i], 0);
			t[i].flags = seg[i].write ? VRING_DESC_F_WRITE : 0;
		}
		head->addr = vuf_mem_gpa(r->mem, t);
		head->len = n * sizeof(*t);
		head->id = id;
		head_flags = VRING_DESC_F_INDIRECT | avail_bits(r, pos);
		out(r, id, 1, segs_room(seg, n), token);
	} else {
		for (unsigned int i = 0; i < n; i++) {
			struct vring_packed_desc *d = &r->pdesc[place(r, pos + i)];
			uint16_t flags = (seg[i].write ? VRING_DESC_F_WRITE : 0) |
					 (i + 1 < n ? VRING_DESC_F_NEXT : 0) |
					 avail_bits(r, pos + i);

			fill(d, &seg[i], id);
			if (i)
				d->flags = flags;
			else
				head_flags = flags;
		}
		out(r, id, n, segs_room(seg, n), token);
	}
	r->free_head = r->link[id];
	STORE16(&head->flags, head_flags);
	return 0;
}

/* Take @id off the list of free ids; false when it is not there. */
static bool unlink_id(struct vuf_ring *r, uint16_t id)
{
	for (uint16_t *at = &r->free_head; *at < r->conf.size; at = &r->link[*at]) {
		if (*at == id) {
			*at = r->link[id];
			return true;
		}
	}
	return false;
}

int packed_raw(struct vuf_ring *r, const struct vring_desc *d, unsigned int n, uint16_t id,
	       void *token)
{
	uint64_t pos = r->avail_pos;

	if (n > r->conf.size || id >= r->conf.size)
		return -EINVAL;
	if (n > r->nfree || !unlink_id(r, id))
		return -EBUSY;
	for (unsigned int i = n; i-- > 0;) {
		struct vring_packed_desc *p = &r->pdesc[place(r, pos + i)];

		p->addr = d[i].addr;
		p->len = d[i].len;
		p->id = d[i].next;
		STORE16(&p->flags, d[i].flags | avail_bits(r, pos + i));
	}
	out(r, id, n, UINT64_MAX, token);
	return 0;
}

/* Whether the place and wrap counter that the device named are among [from, to). */
static bool named(const struct vuf_ring *r, uint16_t off_wrap, uint64_t from, uint64_t to)
{
	uint16_t size = r->conf.size, off = off_wrap & 0x7fff;
	uint64_t pos;

	if (off >= size)
		return true;
	pos = from + (off + size - place(r, from)) % size;
	return pos < to && wrap(r, pos) == !!(off_wrap & 0x8000);
}

bool packed_publish(struct vuf_ring *r)
{
	uint64_t from = r->kicked_pos, to = r->avail_pos;
	uint16_t flags;

	r->kicked_pos = to;
	/* The descriptors must be visible before we look whether the device sleeps. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (from == to)
		return false;
	flags = LOAD16(&r->device->flags) & 3;
	if (r->conf.event_idx && flags == VRING_PACKED_EVENT_FLAG_DESC)
		return named(r, LOAD16(&r->device->off_wrap), from, to);
	return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
}

static bool is_used(uint16_t flags, bool w)
{
	return !!(flags & F_AVAIL) == w && !!(flags & F_USED) == w;
}

bool packed_pending(const struct vuf_ring *r)
{
	return is_used(LOAD16(&r->pdesc[place(r, r->used_pos)].flags), wrap(r, r->used_pos));
}

int packed_get(struct vuf_ring *r, void **ret_token, uint32_t *ret_len)
{
	struct vring_packed_desc *d = &r->pdesc[place(r, r->used_pos)];
	uint16_t flags = LOAD16(&d->flags), id;
	struct vuf_slot *s;
	uint32_t len;

	if (!is_used(flags, wrap(r, r->used_pos)))
		return 0;
	id = *(volatile const uint16_t *)&d->id;
	len = *(volatile const uint32_t *)&d->len;
	/* The length means something only where something was written. */
	if (!(flags & VRING_DESC_F_WRITE))
		len = 0;
	if (id >= r->conf.size || !r->slot[id].token || len > r->slot[id].room)
		return -EPROTO;
	s = &r->slot[id];
	*ret_token = s->token;
	*ret_len = len;
	s->token = NULL;
	r->link[id] = r->free_head;
	r->free_head = id;
	r->nfree += s->ndesc;
	r->nout--;
	r->used_pos += s->ndesc;
	return 1;
}

void packed_arm(struct vuf_ring *r, unsigned int n)
{
	uint64_t pos = r->used_pos + n - 1;

	if (r->conf.event_idx) {
		STORE16(&r->driver->off_wrap,
			(uint16_t)(place(r, pos) | (wrap(r, pos) ? 0x8000 : 0)));
		STORE16(&r->driver->flags, VRING_PACKED_EVENT_FLAG_DESC);
	} else {
		STORE16(&r->driver->flags, VRING_PACKED_EVENT_FLAG_ENABLE);
	}
}

void packed_disarm(struct vuf_ring *r)
{
	STORE16(&r->driver->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
}
