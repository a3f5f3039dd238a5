/* SPDX-License-Identifier: Apache-2.0 */
/* Which chains the device holds, kept in memory that outlives it (vhost-user, "Inflight I/O tracking"). */
#ifndef CULVERT_VQ_INFLIGHT_H
#define CULVERT_VQ_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vq;
struct vq_chain;

/** vq_inflight_size() - bytes of one queue's region, for GET_INFLIGHT_FD. */
size_t vq_inflight_size(uint16_t queue_size, bool packed);

/**
 * vq_inflight_attach() - track a queue in @region.
 * @vq:     started, and nothing taken from it yet; its base is taken back to what the region tells
 *          when there was a previous process.
 * @region: shared with the front-end: hostile like guest memory. Aligned to 8 bytes. Stays the
 *          caller's and must outlive the attachment.
 * @size:   bytes of @region: vq_inflight_size() or more.
 *
 * A region of zeroes is initialised. Otherwise the chains that were in flight are given out again by
 * vq_pop(), oldest first, before new ones. Returns 0, -EINVAL (the region does not fit the queue, or
 * what it says cannot be) or -ENOMEM; @vq is then as it was.
 */
int vq_inflight_attach(struct vq *vq, void *region, size_t size);

/**
 * vq_inflight_detach() - track no longer; vq_stop() does it.
 *
 * When no chain is in flight the region becomes a fresh one: the next attachment goes by the ring and
 * by the base that the front-end gives, which a reset of the device may have set back.
 */
void vq_inflight_detach(struct vq *vq);

#endif
