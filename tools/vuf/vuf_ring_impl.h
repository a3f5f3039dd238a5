/* SPDX-License-Identifier: Apache-2.0 */
/* What the two kinds of ring share; for vuf_ring.c, vuf_split.c and vuf_packed.c alone. */
#ifndef CULVERT_VUF_RING_IMPL_H
#define CULVERT_VUF_RING_IMPL_H

#include "vuf_ring.h"

/**
 * struct vuf_slot - a chain that the device holds, or that could be.
 * @token:   of vuf_ring_add(); NULL = not out.
 * @room:    bytes that the device may write.
 * @ndesc:   descriptors taken from the ring.
 * @table:   an indirect table of @table_cap entries, kept for the next chain; or NULL.
 */
struct vuf_slot {
	void *token;
	uint64_t room;
	uint16_t ndesc;
	void *table;
	uint32_t table_cap;
};

/** slot_table() - the slot's indirect table with at least @n entries, or NULL: no memory. */
void *slot_table(struct vuf_ring *r, struct vuf_slot *s, unsigned int n);

/** segs_room() - bytes of the segments that the device writes. */
uint64_t segs_room(const struct vuf_seg *seg, unsigned int n);

/** wants_table() - whether a chain of @n descriptors goes through an indirect table. */
static inline bool wants_table(const struct vuf_ring *r, unsigned int n)
{
	return r->conf.indirect && r->indirect_min && n >= r->indirect_min;
}

void split_reset(struct vuf_ring *r, uint32_t base);
int split_add(struct vuf_ring *r, const struct vuf_seg *seg, unsigned int n, void *token);
int split_raw(struct vuf_ring *r, const struct vring_desc *d, unsigned int n, uint16_t at,
	      void *token);
bool split_publish(struct vuf_ring *r);
int split_get(struct vuf_ring *r, void **ret_token, uint32_t *ret_len);
bool split_pending(const struct vuf_ring *r);
void split_arm(struct vuf_ring *r, unsigned int n);
void split_disarm(struct vuf_ring *r);

void packed_reset(struct vuf_ring *r, uint32_t base);
int packed_add(struct vuf_ring *r, const struct vuf_seg *seg, unsigned int n, void *token);
int packed_raw(struct vuf_ring *r, const struct vring_desc *d, unsigned int n, uint16_t id,
	       void *token);
bool packed_publish(struct vuf_ring *r);
int packed_get(struct vuf_ring *r, void **ret_token, uint32_t *ret_len);
bool packed_pending(const struct vuf_ring *r);
void packed_arm(struct vuf_ring *r, unsigned int n);
void packed_disarm(struct vuf_ring *r);

#endif
