/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a virtqueue share. For the files of this folder only. */
#ifndef CULVERT_VQ_INTERNAL_H
#define CULVERT_VQ_INTERNAL_H

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

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
 * A chain that is being gathered, a local of who gathers it: what is inline below is a part of that
 * function, so that it stays in registers. @near: the region that was hit last. @iov, @end: the free
 * segments. @total: bytes so far. @nwrite: as in the chain. @cut: bit 0 for the readable, bit 1 for the writable
 * part, once it has met an address outside memory; what follows in it is left out.
 */
struct vq_walk {
	const struct gmem_region *near;
	struct iovec *iov;
	struct iovec *end;
	uint64_t total;
	unsigned int nwrite;
	unsigned int cut;
};

static inline struct vq_walk vq_walk_begin(const struct vq *vq, const struct vq_chain *chain)
{
	return (struct vq_walk){
		.near = vq->near,
		.iov = chain->iov,
		.end = chain->iov + chain->max,
	};
}

/* Nothing follows. 0 or -EPROTO. */
static inline int vq_walk_end(struct vq *vq, const struct vq_walk *w, struct vq_chain *chain)
{
	if (unlikely(w->total > VQ_CHAIN_BYTES))
		return -EPROTO;
	chain->nread = (unsigned int)(w->iov - chain->iov) - w->nwrite;
	chain->nwrite = w->nwrite;
	chain->entry = 0;
	chain->faulted = w->cut;
	chain->start = vq->starts;
	vq->near = w->near;
	return 0;
}

/* Add any buffer. 0 or -EPROTO. */
int vq_walk_any(const struct vq *vq, struct vq_walk *w, struct vq_desc d);

/* Add one buffer; those of most chains are in one piece and in the region of the one before. 0 or -EPROTO. */
static always_inline int vq_walk_add(const struct vq *vq, struct vq_walk *w, struct vq_desc d)
{
	const struct gmem_region *near = w->near;
	bool write = d.flags & VRING_DESC_F_WRITE;
	uint64_t at = d.addr - near->gpa;
	struct vq_walk w_any;
	int r;

	if (likely(at < near->size && d.len <= near->size - at && d.len && w->iov != w->end &&
		   !w->cut && !(write ? near->readonly : w->nwrite))) {
		w->iov->iov_base = near->host + at;
		w->iov->iov_len = d.len;
		w->iov++;
		w->total += d.len;
		w->nwrite += write;
		return 0;
	}
	w_any = *w;
	r = vq_walk_any(vq, &w_any, d);
	*w = w_any;
	return r;
}

/* Descriptor @at of the table that @ref refers to; @table: where that is, or NULL: not in one piece. 0 or -EFAULT. */
static always_inline int vq_table_desc(const struct vq *vq, struct vq_desc ref,
				       const uint8_t *table, unsigned int at, bool packed,
				       struct vq_desc *ret)
{
	uint64_t word0, word1, raw[2], addr;

	if (likely(table)) {
		memcpy(&word0, table + at * VQ_DESC_SIZE, sizeof(word0));
		memcpy(&word1, table + at * VQ_DESC_SIZE + sizeof(word0), sizeof(word1));
		atomic_signal_fence(memory_order_seq_cst);
	} else {
		if (__builtin_add_overflow(ref.addr, at * VQ_DESC_SIZE, &addr) ||
		    gmem_read(vq->gm, addr, raw, sizeof(raw)) < 0)
			return -EFAULT;
		word0 = raw[0];
		word1 = raw[1];
	}
	*ret = vq_desc_of(word0, word1, packed);
	return 0;
}

/* Add the buffers of an indirect table, which @ref refers to. 0 or -EPROTO. */
static always_inline int vq_walk_table(const struct vq *vq, struct vq_walk *w, struct vq_desc ref,
				       bool packed)
{
	unsigned int count = ref.len / VQ_DESC_SIZE, limit = MAX(vq->conf.size, VQ_TABLE_MIN);
	const uint8_t *table = gmem_near_gpa(vq->gm, w->near, ref.addr, ref.len);
	unsigned int at = 0;

	if (unlikely(!vq->conf.indirect || count == 0 || ref.len % VQ_DESC_SIZE))
		return -EPROTO;
	for (unsigned int n = 0; n < limit; n++) {
		struct vq_desc d;
		int r;

		if (unlikely(vq_table_desc(vq, ref, table, at, packed, &d) < 0)) {
			/* Nobody knows what the rest of it says. */
			w->cut = 3;
			return 0;
		}
		if (unlikely(d.flags & VRING_DESC_F_INDIRECT))
			return -EPROTO;
		r = vq_walk_add(vq, w, d);
		if (unlikely(r < 0))
			return r;
		if (packed)
			at++; /* in order to the end; NEXT is to be ignored here */
		else if (d.flags & VRING_DESC_F_NEXT)
			at = d.link;
		else
			return 0;
		if (at >= count)
			return packed ? 0 : -EPROTO;
	}
	return -EPROTO;
}

/* Whether a chain is all in a table, as Linux sends them. */
static inline bool vq_is_table(const struct vq_desc *d)
{
	return (d->flags & (VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT)) == VRING_DESC_F_INDIRECT;
}

/* That whole chain. 0 or -EPROTO. */
static always_inline int vq_walk_only_table(struct vq *vq, struct vq_chain *chain,
					    struct vq_desc ref, bool packed)
{
	struct vq_walk w = vq_walk_begin(vq, chain);
	int r = vq_walk_table(vq, &w, ref, packed);

	return unlikely(r < 0) ? r : vq_walk_end(vq, &w, chain);
}

/* A table after other buffers. */
int vq_walk_table_after(const struct vq *vq, struct vq_walk *w, struct vq_desc ref);

/* Add what a descriptor of the ring stands for. 0 or -EPROTO. */
static inline int vq_walk_ring(const struct vq *vq, struct vq_walk *w, struct vq_desc d)
{
	return d.flags & VRING_DESC_F_INDIRECT ? vq_walk_table_after(vq, w, d)
					       : vq_walk_add(vq, w, d);
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
int vq_split_walk(struct vq *vq, struct vq_chain *chain, uint16_t head);
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
