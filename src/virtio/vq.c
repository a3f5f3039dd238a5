// SPDX-License-Identifier: Apache-2.0
/* A virtqueue as the device sees it: what split and packed rings have in common. */
/*
 * Theory of operation
 *
 * A struct vq has one owner at a time and takes no lock; the ring behind it is shared with the guest.
 * The functions of vq.h check that the queue is alive, branch once on the format, and keep the counts
 * that both formats need. A chain is gathered descriptor by descriptor, each read once into a local; it goes
 * out whole, or the queue is broken. There is a fast way for chains as Linux makes them (vq_table_fast()), and a
 * slow one that knows all there can be, errors among it (struct vq_walk).
 *
 * Life of a chain: vq_pop() (in_use up) → vq_push() (unflushed up; the used entry is filled in, but not
 * seen) → vq_flush() (both down). Descriptors count as in use until the driver can know that they are
 * not, so a driver that runs ahead breaks its queue and nothing here overflows.
 *
 * The ring's memory may be taken away by the front-end: a touch of it then reads zeroes and is counted
 * (guard.h). The functions here compare the count before and after, and look whether another thread has
 * found a page of the ring gone, so the queue is broken before anything that was not there is believed.
 */
#include <stdatomic.h>
#include <string.h>

#include "guard.h"
#include "vq_inflight.h"
#include "vq_internal.h"

static void *area(const struct gmem *gm, uint64_t uva, uint64_t size, uint64_t align, int *error)
{
	void *at = gmem_uva(gm, uva, size);

	if (!at)
		*error = -EFAULT;
	else if (uva % align || (uintptr_t)at % align)
		*error = -EINVAL;
	return at;
}

/* Bytes of the three areas. */
struct sizes {
	size_t desc;
	size_t driver;
	size_t device;
};

static struct sizes sizes_of(const struct vq_conf *conf)
{
	size_t n = conf->size, event = conf->event_idx ? sizeof(uint16_t) : 0;

	if (conf->packed)
		return (struct sizes){n * VQ_DESC_SIZE, sizeof(struct vring_packed_desc_event),
				      sizeof(struct vring_packed_desc_event)};
	return (struct sizes){
		n * VQ_DESC_SIZE,
		sizeof(struct vring_avail) + n * sizeof(uint16_t) + event,
		sizeof(struct vring_used) + n * sizeof(struct vring_used_elem) + event,
	};
}

/* Look up the three areas; @vq is touched only when all are found. */
static int find_areas(struct vq *vq, const struct vq_conf *conf, const struct gmem *gm)
{
	struct sizes s = sizes_of(conf);
	void *desc_at, *driver_at, *device_at;
	int error = 0;

	desc_at = area(gm, conf->desc, s.desc, VQ_DESC_SIZE, &error);
	driver_at = area(gm, conf->driver, s.driver, conf->packed ? 4 : 2, &error);
	device_at = area(gm, conf->device, s.device, 4, &error);
	if (error)
		return error;
	vq->desc = desc_at;
	vq->driver = driver_at;
	vq->device = device_at;
	return 0;
}

static bool areas_gone(const struct vq *vq)
{
	struct sizes s = sizes_of(&vq->conf);

	return guard_gone(vq->desc, s.desc) || guard_gone(vq->driver, s.driver) ||
	       guard_gone(vq->device, s.device);
}

/* To be called at the end: whether memory was gone since @hits. Then the queue is broken. */
static bool lost_memory(struct vq *vq, uint32_t hits)
{
	uint32_t age = guard_age();

	if (likely(guard_hits() == hits)) {
		if (likely(age == vq->guard_age))
			return false;
		/* Somebody has found something gone. */
		vq->guard_age = age;
		if (!areas_gone(vq))
			return false;
	}
	vq->broken = true;
	return true;
}

static bool conf_ok(const struct vq_conf *conf)
{
	uint16_t size = conf->size;

	if (size == 0 || size > VQ_SIZE_MAX)
		return false;
	if (!conf->packed)
		return (size & (size - 1)) == 0;
	return (conf->base & 0x7fff) < size && (conf->base >> 16 & 0x7fff) < size;
}

int vq_start(struct vq *vq, const struct vq_conf *conf, struct gmem *gm)
{
	struct vq fresh = {
		.conf = *conf,
		.log = vq->log,
		.running = true,
		.starts = vq->starts + 1,
	};
	uint32_t hits = guard_hits();
	int r;

	fresh.guard_age = guard_age();
	if (vq->running)
		return -EBUSY;
	if (!conf_ok(conf))
		return -EINVAL;
	r = find_areas(&fresh, conf, gm);
	if (r < 0)
		return r;
	if (conf->packed) {
		fresh.last_avail = conf->base & 0x7fff;
		fresh.avail_wrap = conf->base >> 15 & 1;
		fresh.used_idx = conf->base >> 16 & 0x7fff;
		fresh.used_wrap = conf->base >> 31 & 1;
	} else {
		const struct vring_used *used = fresh.device;

		fresh.last_avail = (uint16_t)conf->base;
		fresh.avail_seen = fresh.last_avail;
		fresh.used_idx = le16toh(vq_load(&used->idx));
	}
	/* Gone just now, or before. */
	if (guard_hits() != hits || areas_gone(&fresh))
		return -EFAULT;
	fresh.gm = gmem_get(gm);
	fresh.near = gm->regions;
	*vq = fresh;
	return 0;
}

int vq_rebind(struct vq *vq, struct gmem *gm)
{
	int r;

	if (!vq->running)
		return 0;
	r = find_areas(vq, &vq->conf, gm);
	if (r < 0) {
		/* The old table stays until vq_stop(): the pointers go on to be valid. */
		vq->broken = true;
		return r;
	}
	gmem_get(gm);
	gmem_put(vq->gm);
	vq->gm = gm;
	vq->near = gm->regions;
	return 0;
}

uint32_t vq_stop(struct vq *vq)
{
	if (vq->running) {
		vq_flush(vq);
		vq_inflight_detach(vq);
		gmem_put(vq->gm);
		vq->gm = NULL;
		vq->running = false;
	}
	if (!vq->conf.packed)
		return vq->last_avail;
	return (uint32_t)vq->used_wrap << 31 | (uint32_t)vq->used_idx << 16 |
	       (uint32_t)vq->avail_wrap << 15 | vq->last_avail;
}

/* Add one buffer. 0 or -EPROTO. */
static int walk_add(struct vq_walk *w, const struct vq_desc *d)
{
	bool write = d->flags & VRING_DESC_F_WRITE;
	int n;

	if (d->len == 0)
		return 0;
	if (!write && (w->nwrite || w->cut & 2))
		return -EPROTO;
	w->total += d->len;
	if (w->total > VQ_CHAIN_BYTES)
		return -EPROTO;
	if (w->cut & 1u << write)
		return 0;
	n = gmem_gpa_iov(w->gm, d->addr, d->len, write, w->iov, (unsigned int)(w->end - w->iov));
	if (n == -E2BIG)
		return -EPROTO;
	if (n < 0) {
		w->cut |= 1u << write;
		return 0;
	}
	w->iov += n;
	if (write)
		w->nwrite += (unsigned int)n;
	return 0;
}

/* Add the buffers of an indirect table, which @ref refers to. 0 or -EPROTO. */
static int walk_table(const struct vq *vq, struct vq_walk *w, const struct vq_desc *ref)
{
	unsigned int count = ref->len / VQ_DESC_SIZE, limit = MAX(vq->conf.size, VQ_TABLE_MIN);
	bool packed = vq->conf.packed;
	unsigned int at = 0;

	if (!vq->conf.indirect || count == 0 || ref->len % VQ_DESC_SIZE)
		return -EPROTO;
	for (unsigned int n = 0; n < limit; n++) {
		uint64_t raw[2], addr;
		struct vq_desc d;
		int r;

		if (__builtin_add_overflow(ref->addr, at * VQ_DESC_SIZE, &addr) ||
		    gmem_read(w->gm, addr, raw, sizeof(raw)) < 0) {
			/* Nobody knows what the rest of it says. */
			w->cut = 3;
			return 0;
		}
		d = vq_desc_of(raw[0], raw[1], packed);
		if (d.flags & VRING_DESC_F_INDIRECT)
			return -EPROTO;
		r = walk_add(w, &d);
		if (r < 0)
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

int vq_walk_ring(const struct vq *vq, struct vq_walk *w, const struct vq_desc *d)
{
	return d->flags & VRING_DESC_F_INDIRECT ? walk_table(vq, w, d) : walk_add(w, d);
}

int vq_pop(struct vq *vq, struct vq_chain *chain)
{
	uint32_t hits = guard_hits();
	int r;

	if (unlikely(!vq->running || vq->broken))
		return vq->broken ? -EPROTO : 0;
	if (unlikely(vq->infl && vq_inflight_waiting(vq->infl)))
		r = vq_inflight_again(vq, chain);
	else
		r = vq->conf.packed ? vq_packed_pop(vq, chain) : vq_split_pop(vq, chain);
	if (unlikely(r < 0))
		vq->broken = true;
	return unlikely(lost_memory(vq, hits)) ? -EPROTO : r;
}

void vq_push(struct vq *vq, const struct vq_chain *chain, uint32_t written,
	     const struct gmem *gm_of_chain)
{
	uint32_t hits = guard_hits();
	bool done;

	if (unlikely(!vq->running || vq->broken || chain->start != vq->starts))
		return;
	if (unlikely(vq->log))
		gmem_log_iov(vq->log, gm_of_chain, chain->iov + chain->nread, chain->nwrite,
			     written);
	done = vq->conf.packed ? vq_packed_push(vq, chain, written)
			       : vq_split_push(vq, chain, written);
	if (likely(done))
		vq->unflushed += chain->ndesc;
	lost_memory(vq, hits);
}

bool vq_flush(struct vq *vq)
{
	uint32_t hits = guard_hits();
	bool wants;

	if (unlikely(!vq->running || vq->broken) || !vq->unflushed)
		return false;
	if (vq->conf.packed)
		vq_packed_publish(vq);
	else
		vq_split_publish(vq);
	vq->in_use -= vq->unflushed;
	vq->unflushed = 0;
	/* What was published is seen before the driver's wish is read. */
	atomic_thread_fence(memory_order_seq_cst);
	wants = vq->conf.packed ? vq_packed_wants(vq) : vq_split_wants(vq);
	return !lost_memory(vq, hits) && wants;
}

void vq_kicks_off(struct vq *vq)
{
	uint32_t hits = guard_hits();

	if (unlikely(!vq->running || vq->broken))
		return;
	if (vq->conf.packed)
		vq_packed_kicks_off(vq);
	else
		vq_split_kicks_off(vq);
	lost_memory(vq, hits);
}

bool vq_kicks_on(struct vq *vq, uint16_t after)
{
	uint32_t hits = guard_hits();
	bool more;

	if (unlikely(!vq->running || vq->broken))
		return false;
	more = vq->conf.packed ? vq_packed_kicks_on(vq, after) : vq_split_kicks_on(vq, after);
	if (unlikely(lost_memory(vq, hits)))
		return false;
	return more || (vq->infl && vq_inflight_waiting(vq->infl));
}
