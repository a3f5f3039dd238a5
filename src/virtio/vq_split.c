// SPDX-License-Identifier: Apache-2.0
/* Split virtqueues (VIRTIO 1.3, 2.7). */
/*
 * Theory of operation
 *
 * Indices are free-running 16-bit counters; the ring position is the index modulo the size. The
 * available index is read with acquire, and again only when all that it covered is taken, so a batch
 * costs one look at the driver's cache line. Used entries are filled in by push and shown by one
 * release store of the used index in publish.
 *
 * A driver cannot make us hold more than its ring: vq.held knows the heads that are out, vq.in_use the
 * descriptors, both until they are published.
 *
 * Notifications. With EVENT_IDX each side writes the index whose passing it wants to hear of, at the
 * end of the ring that it writes itself; without, a flag. Both sides write, fence, and then look, so
 * one of them sees the other.
 */
#include "vq_internal.h"

/* The fields after the rings: not in the structures of linux/virtio_ring.h. */
static const uint16_t *used_event(const struct vq *vq)
{
	const struct vring_avail *avail = vq->driver;

	return &avail->ring[vq->conf.size];
}

static uint16_t *avail_event(const struct vq *vq)
{
	struct vring_used *used = vq->device;

	return (uint16_t *)(void *)&used->ring[vq->conf.size];
}

/* Read the available index again: 1 when there is something, 0, or -EPROTO. */
static int look(struct vq *vq)
{
	const struct vring_avail *avail = vq->driver;
	uint16_t ahead;

	vq->avail_seen = le16toh(vq_load_acquire(&avail->idx));
	ahead = (uint16_t)(vq->avail_seen - vq->last_avail);
	if (unlikely(ahead > vq->conf.size))
		return -EPROTO;
	return ahead != 0;
}

static inline struct vq_desc desc_at(const struct vq *vq, uint16_t at)
{
	const uint64_t *table = vq->desc;

	return vq_desc_of(vq_load(&table[at * 2]), vq_load(&table[at * 2 + 1]), false);
}

/* A chain that begins in the ring with @d. 0 or -EPROTO. */
static out_of_line int walk_ring(struct vq *vq, struct vq_chain *chain, struct vq_desc d)
{
	struct vq_walk w = vq_walk_begin(vq, chain);
	uint16_t size = vq->conf.size, n = 0;

	for (;;) {
		bool next = d.flags & VRING_DESC_F_NEXT;
		int r;

		if (unlikely(++n > size || (next && d.flags & VRING_DESC_F_INDIRECT)))
			return -EPROTO;
		r = vq_walk_ring(vq, &w, &d);
		if (unlikely(r < 0))
			return r;
		if (!next)
			break;
		if (unlikely(d.link >= size))
			return -EPROTO;
		d = desc_at(vq, d.link);
	}
	chain->ndesc = n;
	vq_walk_end(vq, &w, chain);
	return 0;
}

int vq_split_walk(struct vq *vq, struct vq_chain *chain, uint16_t head)
{
	struct vq_desc d = desc_at(vq, head);

	chain->id = head;
	return likely(vq_table_fast(vq, chain, d, false)) ? 0 : walk_ring(vq, chain, d);
}

int vq_split_pop(struct vq *vq, struct vq_chain *chain)
{
	const struct vring_avail *avail = vq->driver;
	uint16_t size = vq->conf.size, head;
	int r;

	if (vq->last_avail == vq->avail_seen) {
		r = look(vq);
		if (r <= 0)
			return r;
	}
	head = le16toh(vq_load(&avail->ring[vq->last_avail & (size - 1)]));
	if (unlikely(head >= size || vq_held(vq, head)))
		return -EPROTO;
	r = vq_split_walk(vq, chain, head);
	if (unlikely(r < 0))
		return r;
	if (unlikely(chain->ndesc > size - vq->in_use))
		return -EPROTO;
	vq_hold(vq, head);
	vq->in_use += chain->ndesc;
	vq->last_avail++;
	if (unlikely(vq->infl))
		vq_inflight_split_taken(vq->infl, head);
	return 1;
}

bool vq_split_push(struct vq *vq, const struct vq_chain *chain, uint32_t written)
{
	struct vring_used *used = vq->device;
	uint16_t at = vq->used_idx & (vq->conf.size - 1);

	if (unlikely(!vq_held(vq, chain->id)))
		return false;
	vq_unhold(vq, chain->id);
	vq_store(&used->ring[at].id, htole32(chain->id));
	vq_store(&used->ring[at].len, htole32(written));
	vq->used_idx++;
	vq_log_used(vq, offsetof(struct vring_used, ring) + at * sizeof(used->ring[0]),
		    sizeof(used->ring[0]));
	if (unlikely(vq->infl))
		vq_inflight_split_pushed(vq->infl, chain->id);
	return true;
}

void vq_split_publish(struct vq *vq)
{
	struct vring_used *used = vq->device;

	if (unlikely(vq->infl))
		vq_inflight_split_publish(vq->infl);
	vq_store_release(&used->idx, htole16(vq->used_idx));
	if (unlikely(vq->infl))
		vq_inflight_split_published(vq->infl, vq->used_idx);
	vq_log_used(vq, offsetof(struct vring_used, idx), sizeof(used->idx));
}

bool vq_split_wants(struct vq *vq)
{
	const struct vring_avail *avail = vq->driver;
	uint16_t old = vq->signalled_idx, event;
	bool valid = vq->signalled_valid;

	if (!vq->conf.event_idx)
		return !(le16toh(vq_load(&avail->flags)) & VRING_AVAIL_F_NO_INTERRUPT);
	event = le16toh(vq_load(used_event(vq)));
	vq->signalled_idx = vq->used_idx;
	vq->signalled_valid = true;
	return !valid || vring_need_event(event, vq->used_idx, old);
}

static void set_flags(struct vq *vq, uint16_t flags)
{
	struct vring_used *used = vq->device;

	vq_store(&used->flags, htole16(flags));
	vq_log_used(vq, offsetof(struct vring_used, flags), sizeof(used->flags));
}

void vq_split_kicks_off(struct vq *vq)
{
	/* With EVENT_IDX the event index that is left behind does not come up again for 65,536. */
	if (!vq->conf.event_idx)
		set_flags(vq, VRING_USED_F_NO_NOTIFY);
}

bool vq_split_kicks_on(struct vq *vq, uint16_t after)
{
	const struct vring_avail *avail = vq->driver;

	if (vq->conf.event_idx) {
		vq_store(avail_event(vq), htole16((uint16_t)(vq->last_avail + after)));
		vq_log_used(vq,
			    offsetof(struct vring_used, ring) +
				    vq->conf.size * sizeof(struct vring_used_elem),
			    sizeof(uint16_t));
	} else {
		set_flags(vq, 0);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return le16toh(vq_load(&avail->idx)) != vq->last_avail;
}
