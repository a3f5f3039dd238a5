/* SPDX-License-Identifier: Apache-2.0 */
/* A virtqueue as the device sees it (VIRTIO 1.3, sections 2.6 to 2.8), split or packed. */
#ifndef CULVERT_VQ_H
#define CULVERT_VQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "gmem.h"

#define VQ_SIZE_MAX 1024u /* descriptors; what QEMU's largest queue-size is */

/**
 * struct vq_chain - one descriptor chain, translated.
 * @iov:     segments: first the ones that the device reads, then those that it writes. The array is
 *           the caller's.
 * @max:     entries in @iov; VQ_CHAIN_IOV() of the queue's size is enough for every honest driver.
 * @nread:   device-readable segments.
 * @nwrite:  device-writable segments, after them.
 * @id:      split: index of the head descriptor; packed: buffer id.
 * @ndesc:   descriptors of the ring that the chain takes up.
 * @entry:   its entry in the region of vq_inflight.h.
 * @faulted: an address was outside guest memory. The readable part, the writable part or both end
 *           before the first segment that is; the other part is whole, so that there is room to
 *           answer. The chain is returned like any other: one request fails and the queue goes on.
 * @start:   which vq_start() it was taken after.
 */
struct vq_chain {
	struct iovec *iov;
	unsigned int max;
	unsigned int nread;
	unsigned int nwrite;
	uint16_t id;
	uint16_t ndesc;
	uint16_t entry;
	bool faulted;
	uint32_t start;
};

/*
 * Descriptors that an indirect table may chain, however small the queue is. VIRTIO says the queue's
 * size, but Linux before 5.13 sends a request of 256 pages and its headers through any queue.
 */
#define VQ_TABLE_MIN 288u

/* Segments of the longest chain: every descriptor may straddle two regions. */
#define VQ_CHAIN_IOV(size) (2u * ((size) > VQ_TABLE_MIN ? (size) : VQ_TABLE_MIN))

/**
 * struct vq_conf - what the front-end said about a ring before it started.
 * @size:      descriptors, 1 to VQ_SIZE_MAX; a power of two for a split ring.
 * @packed:    VIRTIO_F_RING_PACKED was negotiated.
 * @event_idx: VIRTIO_RING_F_EVENT_IDX was negotiated.
 * @indirect:  VIRTIO_RING_F_INDIRECT_DESC was negotiated.
 * @desc:      front-end address of the descriptor area.
 * @driver:    of the available ring, or the driver event suppression structure.
 * @device:    of the used ring, or the device event suppression structure.
 * @log_used:  the used ring's writes are logged too, at @log_gpa (VHOST_VRING_F_LOG).
 * @log_gpa:   guest physical address of the used ring for the log.
 * @base:      where to go on: SET_VRING_BASE's number (for a packed ring: bits 0-14 available index,
 *             15 its wrap counter, 16-30 used index, 31 its wrap counter; VQ_BASE_PACKED in the
 *             beginning).
 */
struct vq_conf {
	uint16_t size;
	bool packed;
	bool event_idx;
	bool indirect;
	uint64_t desc;
	uint64_t driver;
	uint64_t device;
	bool log_used;
	uint64_t log_gpa;
	uint32_t base;
};

#define VQ_BASE_PACKED 0x80008000u /* both indices 0, both wrap counters 1 */

struct vq_inflight; /* vq_inflight.h */
struct gmem_region; /* gmem_internal.h */

/**
 * struct vq - a running virtqueue.
 * @conf:      what vq_start() was told.
 * @gm:        reference on the table that the pointers below come from.
 * @near:      a region of @gm, where the last buffer was.
 * @log:       not owned; NULL = nothing is logged. Set by the owner of the queue, at any time.
 * @infl:      owned; NULL = not tracked.
 * @desc:      struct vring_desc[] or struct vring_packed_desc[].
 * @driver:    struct vring_avail or struct vring_packed_desc_event.
 * @device:    struct vring_used or struct vring_packed_desc_event.
 * @running:   between vq_start() and vq_stop().
 * @broken:    see below.
 * @avail_wrap: packed: wrap counter of @last_avail.
 * @used_wrap: packed: wrap counter of @used_idx.
 * @signalled_wrap: packed: wrap counter of @signalled_idx.
 * @signalled_valid: @signalled_idx means something: false after a start.
 * @last_avail: next entry to take.
 * @avail_seen: split: the available index when it was last read.
 * @used_idx:  next entry to fill.
 * @signalled_idx: @used_idx when it was last asked whether the driver wants a notification.
 * @in_use:    descriptors of chains that were taken and not flushed.
 * @unflushed: of these, descriptors of chains that were pushed.
 * @first_slot: packed: where the first chain pushed since the last flush goes.
 * @first_word: packed: what the flush writes there.
 * @starts:    vq_start() calls; tells old chains from new ones.
 * @held:      split: a bit for every head that the device holds.
 * @guard_age: when it was last looked whether the ring's memory has gone.
 *
 * Owned by one thread at a time: the queue's own while it runs, the control thread while the queues
 * are quiesced. Nothing in it is shared. The ring itself is shared with the guest, which may write
 * anything there at any time: indices are read once, checked, and used from locals.
 *
 * A ring that breaks the rules of the specification, or whose memory the front-end has taken away, is
 * marked @broken: nothing is taken from it or put into it until it is started again; the process serves
 * on.
 */
struct vq {
	struct vq_conf conf;
	struct gmem *gm;
	const struct gmem_region *near;
	struct gmem_log *log;
	struct vq_inflight *infl;
	void *desc;
	void *driver;
	void *device;
	bool running;
	bool broken;
	bool avail_wrap;
	bool used_wrap;
	bool signalled_wrap;
	bool signalled_valid;
	uint16_t last_avail;
	uint16_t avail_seen;
	uint16_t used_idx;
	uint16_t signalled_idx;
	uint16_t in_use;
	uint16_t unflushed;
	uint16_t first_slot;
	uint64_t first_word;
	uint32_t starts;
	uint64_t held[VQ_SIZE_MAX / 64];
	uint32_t guard_age;
};

/**
 * vq_start() - begin to serve a ring.
 * @vq:   zeroed, or stopped before.
 * @conf: copied.
 * @gm:   the memory table; a reference is taken.
 *
 * A split ring goes on at the used index that stands in it. Returns 0, -EBUSY (it is running), -EINVAL
 * (size, base, or the alignment of an area: 16/2/4 bytes split, 16/4/4 packed) or -EFAULT (an area is
 * not in guest memory).
 */
int vq_start(struct vq *vq, const struct vq_conf *conf, struct gmem *gm);

/** vq_rebind() - the memory table has changed: find the areas again. 0, or -errno and @broken. */
int vq_rebind(struct vq *vq, struct gmem *gm);

/**
 * vq_stop() - let go of the ring.
 *
 * What was pushed is shown to the driver, but call vq_flush() first to know whether to notify it.
 * Ends the tracking of vq_inflight_attach(). Returns what GET_VRING_BASE answers (see vq_conf.base).
 */
uint32_t vq_stop(struct vq *vq);

/**
 * vq_pop() - take the next available descriptor chain.
 * @vq:    the queue.
 * @chain: @iov and @max set by the caller; the rest is filled in.
 *
 * Each descriptor is read once. Returns 1, 0 when none is available, or -EPROTO: the driver broke the
 * rules and @vq->broken is set. A loop, an index out of range, a table of descriptors without
 * VIRTIO_RING_F_INDIRECT_DESC, within another, or before a further descriptor, a readable descriptor
 * after a writable one, more than 2^32 bytes, more than @max segments, a chain longer than the queue
 * (VQ_TABLE_MIN), a chain that the device still holds, more descriptors held than the queue has, and
 * an available index that ran ahead by more than that break the rules. An address outside guest
 * memory does not (@chain->faulted), nor does a descriptor of length zero, which no text forbids: it
 * is passed over.
 */
int vq_pop(struct vq *vq, struct vq_chain *chain);

/**
 * vq_push() - give a chain back with @written bytes in its writable part.
 *
 * The driver sees it at the next vq_flush(). @gm_of_chain is the table by which the chain was
 * translated (it may be older than the queue's). Each chain that vq_pop() gave is pushed once, with
 * the iov that it came with. Does nothing on a queue that is broken or was stopped meanwhile.
 */
void vq_push(struct vq *vq, const struct vq_chain *chain, uint32_t written,
	     const struct gmem *gm_of_chain);

/**
 * vq_flush() - show the driver what was pushed.
 *
 * Returns true when the driver wants a notification: the caller then writes the call eventfd, once.
 */
bool vq_flush(struct vq *vq);

/** vq_kicks_off() - ask the driver not to kick: the device is looking anyway. */
void vq_kicks_off(struct vq *vq);

/**
 * vq_kicks_on() - ask the driver to kick, before sleeping.
 * @after: not for the first so many that it adds (descriptors, on a packed ring), at most half the ring. 0 where
 *         EVENT_IDX was not agreed on.
 *
 * Returns true when a chain became available meanwhile: do not sleep, pop it.
 */
bool vq_kicks_on(struct vq *vq, uint16_t after);

#endif
