/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's side of a virtqueue (VIRTIO 1.3, sections 2.7 and 2.8), split or packed. */
#ifndef CULVERT_VUF_RING_H
#define CULVERT_VUF_RING_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vuf_mem.h"

#define VUF_RING_MAX 32768u /* descriptors */

/**
 * struct vuf_seg - one descriptor to be: a buffer that the device reads or writes.
 * @gpa:   its guest physical address; nothing is checked.
 * @len:   bytes; nothing is checked.
 * @write: the device writes it.
 */
struct vuf_seg {
	uint64_t gpa;
	uint32_t len;
	bool write;
};

struct vuf_slot;

/**
 * struct vuf_ring_conf - what a ring is made like.
 * @index:     0 = hiprio, 1… = request queues.
 * @size:      descriptors, 1 to VUF_RING_MAX; a power of two for a split ring.
 * @packed, @event_idx, @indirect: what is to be negotiated.
 */
struct vuf_ring_conf {
	unsigned int index;
	uint16_t size;
	bool packed;
	bool event_idx;
	bool indirect;
};

/**
 * struct vuf_ring - a virtqueue, filled and emptied by one thread at a time.
 *
 * Everything belongs to that thread. The areas are public so that a test can write what no honest
 * driver would.
 *
 * @conf:      constant.
 * @mem:       constant; where the areas and the indirect tables lie.
 * @kick_fd, @call_fd, @err_fd: non-blocking eventfds of ours; constant.
 * @watch_fd:  a socket whose hang-up ends a wait, or -1. Not owned; set by whoever connects.
 * @area_gpa:  descriptor area, driver area, device area.
 * @desc, @avail, @used:     the areas of a split ring.
 * @pdesc, @driver, @device: the areas of a packed ring.
 * @indirect_min: chains of this many descriptors or more go through an indirect table, where that
 *             was negotiated; 0 = none does. May be changed between any two chains; initially 2.
 * @slot:      what is out, by head index (split) or buffer id (packed).
 * @link:      links of the list of free descriptors (split) or ids (packed), and of chains.
 * @free_head: first of the free list.
 * @nfree:     descriptors that are free.
 * @nout:      chains that the device holds.
 * @avail_pos, @used_pos: chains (split) or descriptors (packed) made available, and seen used, ever.
 *             A packed ring's place is this modulo its size; even laps have the wrap counter 1.
 * @kicked_pos: @avail_pos when the device was last shown it.
 * @kicks, @calls: notifications sent and received.
 */
struct vuf_ring {
	struct vuf_ring_conf conf;
	struct vuf_mem *mem;
	int kick_fd;
	int call_fd;
	int err_fd;
	int watch_fd;
	uint64_t area_gpa[3];
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_packed_desc *pdesc;
	struct vring_packed_desc_event *driver;
	struct vring_packed_desc_event *device;
	unsigned int indirect_min;
	struct vuf_slot *slot;
	uint16_t *link;
	uint16_t free_head;
	uint16_t nfree;
	uint16_t nout;
	uint64_t avail_pos;
	uint64_t used_pos;
	uint64_t kicked_pos;
	uint64_t kicks;
	uint64_t calls;
};

/** vuf_ring_init() - an empty ring, from base 0. -EINVAL, -ENOMEM or another negative errno. */
int vuf_ring_init(struct vuf_ring *r, struct vuf_mem *mem, const struct vuf_ring_conf *conf);

/** vuf_ring_done() - free the areas, close the eventfds; accepts one that is all zero. */
void vuf_ring_done(struct vuf_ring *r);

/**
 * vuf_ring_reset() - empty the ring, as after a device reset.
 * @base: where it begins, as SET_VRING_BASE tells it. Split: the first available index. Packed: place
 *        and wrap counter of the driver in bits 0-15, of the device in bits 16-31; both the same.
 *        A fresh ring has 0, or VUF_BASE_PACKED.
 *
 * Chains that were out are forgotten. The device must not be using the ring.
 */
void vuf_ring_reset(struct vuf_ring *r, uint32_t base);

#define VUF_BASE_PACKED 0x80008000u

/** vuf_ring_base() - how far the driver has seen the ring used, for SET_VRING_BASE after a crash. */
uint32_t vuf_ring_base(const struct vuf_ring *r);

/** vuf_ring_area_size() - bytes of the descriptor (0), driver (1) and device (2) area. */
size_t vuf_ring_area_size(const struct vuf_ring_conf *conf, unsigned int area);

/**
 * vuf_ring_add() - write a chain.
 * @seg:   the descriptors, readable ones first if it is to be an honest chain.
 * @n:     how many, at least 1.
 * @token: what vuf_ring_get() gives back; not NULL.
 *
 * The device may see a packed ring's chain at once and a split ring's at the next vuf_ring_kick().
 * Returns 0, -EINVAL, -ENOSPC (not enough free descriptors) or -ENOMEM (no room for the table).
 */
int vuf_ring_add(struct vuf_ring *r, const struct vuf_seg *seg, unsigned int n, void *token);

/**
 * vuf_ring_raw() - write descriptors verbatim, for chains that break the rules.
 * @d:     addresses, lengths and flags as given. Split: .next as given. Packed: .next is the buffer
 *         id, and the bits that make the descriptor available are added to the flags.
 * @n:     how many, at least 1.
 * @at:    split: the table index of the first, the rest follow; the head is @at. Packed: the buffer
 *         id by which the chain is known; the descriptors go to the ring's next places.
 * @token: as for vuf_ring_add().
 *
 * Returns 0, -EINVAL, or -EBUSY when one of the places is taken. What the device does not give back
 * is lost until vuf_ring_reset().
 */
int vuf_ring_raw(struct vuf_ring *r, const struct vring_desc *d, unsigned int n, uint16_t at,
		 void *token);

/** vuf_ring_offer() - split ring: make @head available, whatever it is, and expect nothing back. */
void vuf_ring_offer(struct vuf_ring *r, uint16_t head);

/** vuf_ring_kick() - show the device what was added, and kick it if it asks for that. True: kicked. */
bool vuf_ring_kick(struct vuf_ring *r);

/** vuf_ring_kick_force() - show the device what was added, and kick it in any case. */
void vuf_ring_kick_force(struct vuf_ring *r);

/**
 * vuf_ring_get() - take back a used chain.
 * @ret_token: its token.
 * @ret_len:   bytes that the device says it wrote.
 *
 * Returns 1, 0 when there is none, or -EPROTO when the device gives back what it does not hold, claims
 * to have written more than there was room for, or moves its index too far.
 */
int vuf_ring_get(struct vuf_ring *r, void **ret_token, uint32_t *ret_len);

/** vuf_ring_pending() - whether vuf_ring_get() would return something else than 0. */
bool vuf_ring_pending(const struct vuf_ring *r);

/**
 * vuf_ring_arm() - ask to be notified.
 * @n: not before this many more chains are used, where EVENT_IDX can say so; at most @nout counts.
 *
 * Returns true when something is there already: do not sleep.
 */
bool vuf_ring_arm(struct vuf_ring *r, unsigned int n);

/** vuf_ring_disarm() - ask not to be notified; it is only a hint. */
void vuf_ring_disarm(struct vuf_ring *r);

/**
 * vuf_ring_wait() - arm, and sleep until there is something to take.
 * @n:          as for vuf_ring_arm().
 * @timeout_ms: longest sleep.
 *
 * Returns 0, -ETIMEDOUT, -EPROTO (the device signalled the err eventfd), or -ECONNRESET (it hung up).
 */
int vuf_ring_wait(struct vuf_ring *r, unsigned int n, int timeout_ms);

/** vuf_ring_broken() - whether the device has signalled the err eventfd; forgets that it did. */
bool vuf_ring_broken(struct vuf_ring *r);

#endif
