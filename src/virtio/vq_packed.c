// SPDX-License-Identifier: Apache-2.0
/* Packed virtqueues (VIRTIO 1.3, 2.8). */
/*
 * Theory of operation
 *
 * One ring, which the driver and the device both go around; each keeps a wrap counter that flips at the
 * end of it. A slot is available when its AVAIL flag equals the counter of the lap and USED does not,
 * and used when both equal it. The flags share a 64-bit word with length and id, so one acquire load
 * takes, and one release store gives back, all that the other side looks at.
 *
 * A chain is read from its slots in order; its buffer id stands in the last one. A chain that is done
 * is written to the next used slot, whichever chain's that was, and the used index goes on by the
 * number of slots of the chain that is done. The driver waits at the first slot of a batch, so push
 * writes all the others and publish writes the first: the driver sees the whole batch at once. With
 * tracking, push writes none of them (see vq_inflight.c).
 *
 * vq.in_use bounds what is held: slots that were not given back are not read as new ones.
 */
#include "vq_internal.h"

static uint64_t *words(const struct vq *vq, uint16_t slot)
{
	return (uint64_t *)vq->desc + slot * 2;
}

static bool is_avail(const struct vq *vq, uint64_t word1)
{
	uint16_t flags = (uint16_t)(le64toh(word1) >> 48);

	return (flags & VQ_PACKED_STATE) == vq_packed_avail(vq->avail_wrap);
}

static struct vq_desc desc_at(const struct vq *vq, uint16_t slot, uint64_t word1)
{
	return vq_desc_of(vq_load(words(vq, slot)), word1, true);
}

/* A chain that begins at @vq->last_avail with @d, and may have @room descriptors. 0 or -EPROTO. */
static out_of_line int walk_ring(struct vq *vq, struct vq_chain *chain, struct vq_desc d,
				 uint16_t room)
{
	uint16_t size = vq->conf.size, at = vq->last_avail, n = 0;
	struct vq_walk w = vq_walk_begin(vq, chain);

	for (;;) {
		int r;

		if (unlikely(n++ == room))
			return -EPROTO;
		if (unlikely(vq->infl))
			vq_inflight_packed_read(vq->infl, &d, n == 1);
		r = vq_walk_ring(vq, &w, &d);
		if (unlikely(r < 0))
			return r;
		chain->id = d.link;
		if (!(d.flags & VRING_DESC_F_NEXT))
			break;
		if (unlikely(d.flags & VRING_DESC_F_INDIRECT))
			return -EPROTO;
		if (++at == size)
			at = 0;
		d = desc_at(vq, at, vq_load(words(vq, at) + 1));
	}
	chain->ndesc = n;
	vq_walk_end(vq, &w, chain);
	return 0;
}

int vq_packed_pop(struct vq *vq, struct vq_chain *chain)
{
	uint16_t size = vq->conf.size, room = size - vq->in_use;
	uint64_t word1 = vq_load_acquire(words(vq, vq->last_avail) + 1);
	struct vq_desc d;

	if (!is_avail(vq, word1))
		return 0;
	d = desc_at(vq, vq->last_avail, word1);
	if (likely(room && !vq->infl && vq_table_fast(vq, chain, d, true))) {
		chain->id = d.link;
	} else {
		int r = walk_ring(vq, chain, d, room);

		if (unlikely(r < 0))
			return r;
	}
	vq->in_use += chain->ndesc;
	vq_packed_advance(size, &vq->last_avail, &vq->avail_wrap, chain->ndesc);
	if (unlikely(vq->infl))
		chain->entry = vq_inflight_packed_taken(vq->infl, chain->ndesc);
	return 1;
}

uint16_t vq_packed_flags_at(const struct vq *vq, uint16_t slot)
{
	return (uint16_t)(le64toh(vq_load_acquire(words(vq, slot) + 1)) >> 48);
}

/* The descriptor ring is not the area that log_gpa tells of: its pages are found by host address. */
static void log_slot(const struct vq *vq, uint16_t slot)
{
	struct iovec iov = {.iov_base = words(vq, slot), .iov_len = VQ_DESC_SIZE};

	if (unlikely(vq->log && vq->conf.log_used))
		gmem_log_iov(vq->log, vq->gm, &iov, 1, VQ_DESC_SIZE);
}

void vq_packed_put_used(const struct vq *vq, uint16_t slot, uint64_t word)
{
	vq_store_release(words(vq, slot) + 1, word);
	log_slot(vq, slot);
}

bool vq_packed_push(struct vq *vq, const struct vq_chain *chain, uint32_t written)
{
	uint16_t slot = vq->used_idx;
	uint16_t flags = vq_packed_used(vq->used_wrap) | (written ? VRING_DESC_F_WRITE : 0);
	uint64_t word = vq_packed_word(written, chain->id, flags);

	if (unlikely(chain->ndesc > vq->in_use - vq->unflushed))
		return false;
	if (unlikely(vq->infl)) {
		vq_inflight_packed_pushed(vq->infl, chain->entry, slot, word);
	} else if (vq->unflushed) {
		vq_packed_put_used(vq, slot, word);
	} else {
		vq->first_slot = slot;
		vq->first_word = word;
	}
	vq_packed_advance(vq->conf.size, &vq->used_idx, &vq->used_wrap, chain->ndesc);
	return true;
}

void vq_packed_publish(struct vq *vq)
{
	if (unlikely(vq->infl))
		vq_inflight_packed_publish(vq);
	else
		vq_packed_put_used(vq, vq->first_slot, vq->first_word);
}

bool vq_packed_wants(struct vq *vq)
{
	uint32_t event = le32toh(vq_load((const uint32_t *)vq->driver));
	int size = vq->conf.size, used = vq->used_idx;
	int since =
		vq->signalled_wrap == vq->used_wrap ? vq->signalled_idx : vq->signalled_idx - size;
	int slot = (int)(event & 0x7fff);
	bool wrap = event >> VRING_PACKED_EVENT_F_WRAP_CTR & 1, valid = vq->signalled_valid;

	vq->signalled_idx = vq->used_idx;
	vq->signalled_wrap = vq->used_wrap;
	vq->signalled_valid = true;
	switch (event >> 16 & 3) {
	case VRING_PACKED_EVENT_FLAG_DISABLE:
		return false;
	case VRING_PACKED_EVENT_FLAG_DESC:
		/* Slots of the lap before this one count as negative. */
		if (wrap != vq->used_wrap)
			slot -= size;
		return !vq->conf.event_idx || !valid || (slot >= since && slot < used);
	default:
		return true;
	}
}

static void set_event(struct vq *vq, uint16_t off_wrap, uint16_t flags)
{
	vq_store((uint32_t *)vq->device, htole32((uint32_t)flags << 16 | off_wrap));
	vq_log_used(vq, 0, sizeof(struct vring_packed_desc_event));
}

void vq_packed_kicks_off(struct vq *vq)
{
	set_event(vq, 0, VRING_PACKED_EVENT_FLAG_DISABLE);
}

bool vq_packed_kicks_on(struct vq *vq, uint16_t after)
{
	uint16_t slot = vq->last_avail;
	bool wrap = vq->avail_wrap;

	vq_packed_advance(vq->conf.size, &slot, &wrap, after);
	if (vq->conf.event_idx)
		set_event(vq, (uint16_t)(slot | wrap << VRING_PACKED_EVENT_F_WRAP_CTR),
			  VRING_PACKED_EVENT_FLAG_DESC);
	else
		set_event(vq, 0, VRING_PACKED_EVENT_FLAG_ENABLE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return is_avail(vq, vq_load(words(vq, vq->last_avail) + 1));
}
