// SPDX-License-Identifier: Apache-2.0
/* The driver's side of a split virtqueue. */
/*
 * Theory of operation
 *
 * Free descriptors form a list through link[], which is our own memory: what the device scribbles
 * into the table can mislead nobody but itself. A direct chain keeps its links while it is out, so
 * giving it back is walking ndesc links and putting the free list behind the last.
 *
 * avail_pos and used_pos count chains for ever; the ring's 16-bit indices are their low halves. The
 * available index is shown by split_publish() only, so that a batch costs one store.
 *
 * The device may write anything: used entries are read once and checked.
 */
#include <errno.h>
#include <string.h>

#include "util.h"
#include "vuf_ring_impl.h"

/* Memory that the device reads or writes meanwhile. */
#define LOAD16(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define STORE16(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

/* Where the driver says when it wants a notification, and the device when it wants a kick. */
static uint16_t *used_event(const struct vuf_ring *r)
{
	return &r->avail->ring[r->conf.size];
}

static uint16_t *avail_event(const struct vuf_ring *r)
{
	return (void *)&r->used->ring[r->conf.size];
}

void split_reset(struct vuf_ring *r, uint32_t base)
{
	uint16_t size = r->conf.size;

	for (uint16_t i = 0; i < size; i++)
		r->link[i] = i + 1;
	r->free_head = 0;
	r->avail_pos = r->used_pos = r->kicked_pos = (uint16_t)base;
	STORE16(&r->avail->idx, (uint16_t)base);
	STORE16(&r->used->idx, (uint16_t)base);
	STORE16(used_event(r), (uint16_t)base);
	STORE16(avail_event(r), (uint16_t)base);
}

static void offer(struct vuf_ring *r, uint16_t head)
{
	r->avail->ring[r->avail_pos % r->conf.size] = head;
	r->avail_pos++;
}

static void fill(struct vring_desc *d, const struct vuf_seg *seg, bool more, uint16_t next)
{
	d->addr = seg->gpa;
	d->len = seg->len;
	d->flags = (seg->write ? VRING_DESC_F_WRITE : 0) | (more ? VRING_DESC_F_NEXT : 0);
	d->next = more ? next : 0;
}

int split_add(struct vuf_ring *r, const struct vuf_seg *seg, unsigned int n, void *token)
{
	uint16_t head = r->free_head, at = head;
	unsigned int need = wants_table(r, n) ? 1 : n;
	struct vuf_slot *s;

	if (need > r->nfree)
		return -ENOSPC;
	s = &r->slot[head];
	if (wants_table(r, n)) {
		struct vring_desc *t = slot_table(r, s, n);

		if (!t)
			return -ENOMEM;
		for (unsigned int i = 0; i < n; i++)
			fill(&t[i], &seg[i], i + 1 < n, (uint16_t)(i + 1));
		r->desc[head] = (struct vring_desc){
			.addr = vuf_mem_gpa(r->mem, t),
			.len = n * sizeof(*t),
			.flags = VRING_DESC_F_INDIRECT,
		};
		at = r->link[head];
	} else {
		for (unsigned int i = 0; i < n; i++) {
			fill(&r->desc[at], &seg[i], i + 1 < n, r->link[at]);
			at = r->link[at];
		}
	}
	s->token = token;
	s->ndesc = (uint16_t)need;
	s->room = segs_room(seg, n);
	r->free_head = at;
	r->nfree -= need;
	r->nout++;
	offer(r, head);
	return 0;
}

/* Whether descriptor @i is on the free list. */
static bool is_free(const struct vuf_ring *r, uint16_t i)
{
	uint16_t at = r->free_head;

	for (unsigned int n = r->nfree; n; n--, at = r->link[at])
		if (at == i)
			return true;
	return false;
}

int split_raw(struct vuf_ring *r, const struct vring_desc *d, unsigned int n, uint16_t at,
	      void *token)
{
	uint16_t *from = &r->free_head;
	uint16_t left = r->nfree;

	if (n > r->conf.size || at > r->conf.size - n)
		return -EINVAL;
	for (unsigned int i = 0; i < n; i++)
		if (!is_free(r, at + i))
			return -EBUSY;
	/* Unlink all of [at, at + n), wherever in the list they are. */
	while (left--) {
		uint16_t i = *from;

		if ((uint16_t)(i - at) < n)
			*from = r->link[i];
		else
			from = &r->link[i];
	}
	for (unsigned int i = 0; i < n; i++) {
		r->desc[at + i] = d[i];
		r->link[at + i] = (uint16_t)(at + i + 1);
	}
	r->slot[at].token = token;
	r->slot[at].ndesc = (uint16_t)n;
	r->slot[at].room = UINT64_MAX;
	r->nfree -= n;
	r->nout++;
	offer(r, at);
	return 0;
}

void vuf_ring_offer(struct vuf_ring *r, uint16_t head)
{
	offer(r, head);
}

bool split_publish(struct vuf_ring *r)
{
	uint16_t from = (uint16_t)r->kicked_pos, to = (uint16_t)r->avail_pos;

	STORE16(&r->avail->idx, to);
	r->kicked_pos = r->avail_pos;
	/* The index must be visible before we look whether the device sleeps. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (from == to)
		return false;
	if (r->conf.event_idx)
		return vring_need_event(LOAD16(avail_event(r)), to, from);
	return !(LOAD16(&r->used->flags) & VRING_USED_F_NO_NOTIFY);
}

bool split_pending(const struct vuf_ring *r)
{
	return LOAD16(&r->used->idx) != (uint16_t)r->used_pos;
}

int split_get(struct vuf_ring *r, void **ret_token, uint32_t *ret_len)
{
	uint16_t idx = LOAD16(&r->used->idx), ahead = idx - (uint16_t)r->used_pos;
	volatile const struct vring_used_elem *e = &r->used->ring[r->used_pos % r->conf.size];
	uint32_t id, len;
	struct vuf_slot *s;
	uint16_t last;

	if (!ahead)
		return 0;
	if (ahead > r->nout)
		return -EPROTO;
	id = e->id;
	len = e->len;
	if (id >= r->conf.size || !r->slot[id].token || len > r->slot[id].room)
		return -EPROTO;
	s = &r->slot[id];
	*ret_token = s->token;
	*ret_len = len;
	s->token = NULL;
	last = (uint16_t)id;
	for (unsigned int i = 1; i < s->ndesc; i++)
		last = r->link[last];
	r->link[last] = r->free_head;
	r->free_head = (uint16_t)id;
	r->nfree += s->ndesc;
	r->nout--;
	r->used_pos++;
	return 1;
}

void split_arm(struct vuf_ring *r, unsigned int n)
{
	if (r->conf.event_idx)
		STORE16(used_event(r), (uint16_t)(r->used_pos + n - 1));
	else
		STORE16(&r->avail->flags, 0);
}

void split_disarm(struct vuf_ring *r)
{
	/* An event that has passed already does not come again for 65,536 chains. */
	if (r->conf.event_idx)
		STORE16(used_event(r), (uint16_t)(r->used_pos - 1));
	else
		STORE16(&r->avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
}
