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

/* Fill in what both ways of gathering a chain have in common. */
static inline void vq_chain_set(const struct vq *vq, struct vq_chain *chain,
				const struct iovec *end, unsigned int nwrite, bool faulted)
{
	chain->nread = (unsigned int)(end - chain->iov) - nwrite;
	chain->nwrite = nwrite;
	chain->entry = 0;
	chain->faulted = faulted;
	chain->start = vq->starts;
}

/*
 * The fast way: a chain that is all in one table, as Linux sends them. False: it is not, or there is anything
 * unusual in that table, right or wrong, and nothing has happened: the slow way reads it all anew.
 *
 * No address of a local is taken here, and no pointer but @chain's written through: all stays in registers.
 */
static always_inline bool vq_table_fast(struct vq *vq, struct vq_chain *chain, struct vq_desc ref,
					bool packed)
{
	unsigned int count = ref.len / VQ_DESC_SIZE, limit = MAX(vq->conf.size, VQ_TABLE_MIN);
	const struct gmem_region *near = vq->near;
	struct iovec *iov = chain->iov;
	const struct iovec *end = iov + chain->max;
	const uint8_t *table = gmem_near_gpa(vq->gm, near, ref.addr, ref.len);
	unsigned int nwrite = 0, at = 0;
	uint64_t total = 0;

	if (unlikely((ref.flags & (VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT)) !=
			     VRING_DESC_F_INDIRECT ||
		     !vq->conf.indirect || !table || ref.len % VQ_DESC_SIZE))
		return false;
	for (unsigned int n = 0; n < limit && at < count; n++) {
		uint64_t word0, word1, in;
		struct vq_desc d;
		bool write;

		memcpy(&word0, table + at * VQ_DESC_SIZE, sizeof(word0));
		memcpy(&word1, table + at * VQ_DESC_SIZE + sizeof(word0), sizeof(word1));
		atomic_signal_fence(memory_order_seq_cst);
		d = vq_desc_of(word0, word1, packed);
		write = d.flags & VRING_DESC_F_WRITE;
		in = d.addr - near->gpa;
		if (unlikely(in >= near->size)) {
			near = gmem_find(vq->gm, d.addr);
			if (!near)
				return false;
			in = d.addr - near->gpa;
		}
		if (unlikely(d.len > near->size - in || !d.len || iov == end ||
			     d.flags & VRING_DESC_F_INDIRECT || (write ? near->readonly : nwrite)))
			return false;
		iov->iov_base = near->host + in;
		iov->iov_len = d.len;
		iov++;
		total += d.len;
		nwrite += write;
		if (packed ? ++at == count : !(d.flags & VRING_DESC_F_NEXT)) {
			if (unlikely(total > VQ_CHAIN_BYTES))
				return false;
			vq->near = near;
			vq_chain_set(vq, chain, iov, nwrite, false);
			chain->ndesc = 1;
			return true;
		}
		if (!packed)
			at = d.link;
	}
	return false;
}

/*
 * The slow way, for chains of any form: a chain that is being gathered. @iov, @end: the free segments. @total: bytes
 * so far. @nwrite: as in the chain. @cut: bit 0 for the readable, bit 1 for the writable part, once it has met an
 * address outside memory; what follows in it is left out.
 */
struct vq_walk {
	const struct gmem *gm;
	struct iovec *iov;
	struct iovec *end;
	uint64_t total;
	unsigned int nwrite;
	unsigned int cut;
};

static inline struct vq_walk vq_walk_begin(const struct vq *vq, const struct vq_chain *chain)
{
	return (struct vq_walk){
		.gm = vq->gm,
		.iov = chain->iov,
		.end = chain->iov + chain->max,
	};
}

/* Add what a descriptor of the ring stands for. 0 or -EPROTO. */
int vq_walk_ring(const struct vq *vq, struct vq_walk *w, const struct vq_desc *d);

/* Nothing follows. */
static inline void vq_walk_end(const struct vq *vq, const struct vq_walk *w, struct vq_chain *chain)
{
	vq_chain_set(vq, chain, w->iov, w->nwrite, w->cut);
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
bool vq_split_kicks_on(struct vq *vq, uint16_t after);

int vq_packed_pop(struct vq *vq, struct vq_chain *chain);
bool vq_packed_push(struct vq *vq, const struct vq_chain *chain, uint32_t written);
void vq_packed_publish(struct vq *vq);
bool vq_packed_wants(struct vq *vq);
void vq_packed_kicks_off(struct vq *vq);
bool vq_packed_kicks_on(struct vq *vq, uint16_t after);
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
