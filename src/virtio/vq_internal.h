/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a virtqueue share. For the files of this folder only. */
#ifndef CULVERT_VQ_INTERNAL_H
#define CULVERT_VQ_INTERNAL_H

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "gmem_internal.h"
#include "util.h"
#include "vq.h"

#define VQ_DESC_SIZE   16u
#define VQ_CHAIN_BYTES (UINT64_C(1) << 32) /* the most that a chain may hold */

static_assert(__atomic_always_lock_free(sizeof(uint64_t), 0), "descriptors are loaded by words");
static_assert(sizeof(struct vring_desc) == VQ_DESC_SIZE, "split descriptor");
static_assert(sizeof(struct vring_packed_desc) == VQ_DESC_SIZE, "packed descriptor");
static_assert(sizeof(struct vring_packed_desc_event) == 4, "event suppression structure");

/*
 * Fields of a ring. The guest writes them at any time: each is loaded once, into a local. Memory order
 * is the caller's business, by acquire and release variants and fences.
 */
#define vq_load(p)             __atomic_load_n((p), __ATOMIC_RELAXED)
#define vq_load_acquire(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define vq_store(p, v)         __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define vq_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* A descriptor of either format, in host byte order. @link: split: next; packed: buffer id. */
struct vq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t link;
};

/* Split the two little-endian words of a descriptor. */
static inline struct vq_desc vq_desc_of(uint64_t word0, uint64_t word1, bool packed)
{
	uint64_t rest = le64toh(word1);
	uint16_t low = (uint16_t)(rest >> 32), high = (uint16_t)(rest >> 48);

	return (struct vq_desc){
		.addr = le64toh(word0),
		.len = (uint32_t)rest,
		.flags = packed ? high : low,
		.link = packed ? low : high,
	};
}

/* The second word of a packed descriptor. */
static inline uint64_t vq_packed_word(uint32_t len, uint16_t id, uint16_t flags)
{
	return htole64((uint64_t)flags << 48 | (uint64_t)id << 32 | len);
}

/* Flags of a packed descriptor that is available, or used, in a lap. */
static inline uint16_t vq_packed_avail(bool wrap)
{
	return wrap ? 1u << VRING_PACKED_DESC_F_AVAIL : 1u << VRING_PACKED_DESC_F_USED;
}

static inline uint16_t vq_packed_used(bool wrap)
{
	return wrap ? 1u << VRING_PACKED_DESC_F_AVAIL | 1u << VRING_PACKED_DESC_F_USED : 0;
}

#define VQ_PACKED_STATE (1u << VRING_PACKED_DESC_F_AVAIL | 1u << VRING_PACKED_DESC_F_USED)

/* Go on by @n slots of a packed ring. */
static inline void vq_packed_advance(uint16_t size, uint16_t *idx, bool *wrap, uint16_t n)
{
	*idx += n;
	if (*idx >= size) {
		*idx -= size;
		*wrap = !*wrap;
	}
}

/*
 * A chain that is being gathered. @near: the region that was hit last, or NULL. @cut: the readable [0] or writable [1] part has met an address
 * outside memory, and what follows in it is left out.
 */
struct vq_walk {
	const struct gmem *gm;
	const struct gmem_region *near;
	struct vq_chain *chain;
	uint64_t total;
	bool cut[2];
};

static inline struct vq_walk vq_walk_begin(const struct vq *vq, struct vq_chain *chain)
{
	chain->nread = 0;
	chain->nwrite = 0;
	chain->entry = 0;
	chain->faulted = false;
	chain->start = vq->starts;
	return (struct vq_walk){.gm = vq->gm, .chain = chain};
}

static inline void vq_walk_cut(struct vq_walk *w, bool write)
{
	w->cut[write] = true;
	w->chain->faulted = true;
}

/* Add one buffer. 0 or -EPROTO. */
static inline int vq_walk_add(struct vq_walk *w, const struct vq_desc *d)
{
	struct vq_chain *chain = w->chain;
	bool write = d->flags & VRING_DESC_F_WRITE;
	unsigned int used = chain->nread + chain->nwrite;
	int n;

	if (unlikely(d->len == 0))
		return 0;
	if (unlikely(!write && (chain->nwrite || w->cut[1])))
		return -EPROTO;
	w->total += d->len;
	if (unlikely(w->total > VQ_CHAIN_BYTES))
		return -EPROTO;
	if (unlikely(w->cut[write]))
		return 0;
	n = gmem_near_iov(w->gm, &w->near, d->addr, d->len, write, chain->iov + used,
			  chain->max - used);
	if (unlikely(n < 0)) {
		if (n == -E2BIG)
			return -EPROTO;
		vq_walk_cut(w, write);
		return 0;
	}
	if (write)
		chain->nwrite += (unsigned int)n;
	else
		chain->nread += (unsigned int)n;
	return 0;
}

/* Add the buffers of an indirect table, which @d refers to. 0 or -EPROTO. */
int vq_walk_table(const struct vq *vq, struct vq_walk *w, const struct vq_desc *d);

/* Add what a descriptor of the ring stands for. 0 or -EPROTO. */
static inline int vq_walk_ring(const struct vq *vq, struct vq_walk *w, const struct vq_desc *d)
{
	return d->flags & VRING_DESC_F_INDIRECT ? vq_walk_table(vq, w, d) : vq_walk_add(w, d);
}

/* Mark what the device wrote to its part of a ring, @offset bytes into it. */
static inline void vq_log_used(const struct vq *vq, uint64_t offset, uint64_t len)
{
	if (unlikely(vq->log && vq->conf.log_used))
		gmem_log_gpa(vq->log, vq->conf.log_gpa + offset, len);
}

/*
 * The two formats. pop: as vq_pop(). push: fill in the used entry. publish: make it visible. wants:
 * whether the driver is to be notified, after a full fence. kicks: as the functions of vq.h.
 */
int vq_split_pop(struct vq *vq, struct vq_chain *chain);
int vq_split_walk(const struct vq *vq, struct vq_walk *w, uint16_t head);
bool vq_split_push(struct vq *vq, const struct vq_chain *chain, uint32_t written);
void vq_split_publish(struct vq *vq);
bool vq_split_wants(struct vq *vq);
void vq_split_kicks_off(struct vq *vq);
bool vq_split_kicks_on(struct vq *vq);

int vq_packed_pop(struct vq *vq, struct vq_chain *chain);
bool vq_packed_push(struct vq *vq, const struct vq_chain *chain, uint32_t written);
void vq_packed_publish(struct vq *vq);
bool vq_packed_wants(struct vq *vq);
void vq_packed_kicks_off(struct vq *vq);
bool vq_packed_kicks_on(struct vq *vq);
/* One used descriptor, visible at once; the flags of a slot as they are. */
void vq_packed_put_used(const struct vq *vq, uint16_t slot, uint64_t word);
uint16_t vq_packed_flags_at(const struct vq *vq, uint16_t slot);

/* Heads of a split ring that the device holds. */
static inline bool vq_held(const struct vq *vq, uint16_t head)
{
	return vq->held[head / 64] >> (head % 64) & 1;
}

static inline void vq_hold(struct vq *vq, uint16_t head)
{
	vq->held[head / 64] |= UINT64_C(1) << (head % 64);
}

static inline void vq_unhold(struct vq *vq, uint16_t head)
{
	vq->held[head / 64] &= ~(UINT64_C(1) << (head % 64));
}

/*
 * Tracking, where vq->infl is not NULL. The order of the calls is that of vhost-user's "Inflight I/O
 * tracking"; vq_inflight.c tells why.
 */

/* Whether chains of a previous process wait to be given out again. */
bool vq_inflight_waiting(const struct vq_inflight *infl);

/* Give out the oldest of them: 1 or -EPROTO. */
int vq_inflight_again(struct vq *vq, struct vq_chain *chain);

/* Split: a chain was taken; pushed; all that were pushed are about to be published; were published. */
void vq_inflight_split_taken(struct vq_inflight *infl, uint16_t head);
void vq_inflight_split_pushed(struct vq_inflight *infl, uint16_t head);
void vq_inflight_split_publish(struct vq_inflight *infl);
void vq_inflight_split_published(struct vq_inflight *infl, uint16_t used_idx);

/* Packed: one more descriptor was read; the chain of these was taken, by which entry. */
void vq_inflight_packed_read(struct vq_inflight *infl, const struct vq_desc *d, bool head);
uint16_t vq_inflight_packed_taken(struct vq_inflight *infl, uint16_t ndesc);
/* Packed: a chain was pushed to @slot, where @word goes; write these words. */
void vq_inflight_packed_pushed(struct vq_inflight *infl, uint16_t entry, uint16_t slot,
			       uint64_t word);
void vq_inflight_packed_publish(struct vq *vq);

#endif
