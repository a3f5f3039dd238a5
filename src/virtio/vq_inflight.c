// SPDX-License-Identifier: Apache-2.0
/* Which chains the device holds, kept in memory that outlives it (vhost-user, "Inflight I/O tracking"). */
/*
 * Theory of operation
 *
 * The region is laid out as the vhost-user specification says, so another back-end can take over.
 * It is shared with the front-end and therefore written only: what we need to know stands in struct
 * vq_inflight too. It is read once, by vq_inflight_attach(), and checked.
 *
 * The process may be killed between any two stores, and the next one must find out exactly which chains
 * the driver has got back: one too many or too few would be a request lost or answered twice. Only
 * program order counts (the kernel does not lose the stores of a killed process), which step() keeps.
 *
 * Split. Taking: counter, then inflight = 1. Publishing a batch: link its heads into the list of the
 * last batch; used index of the ring; inflight = 0 for each; used_idx of the region. When the two used
 * indices differ, the batch was published: as many heads as they differ by are taken from the list.
 * The next available index is the used index plus the chains in flight.
 *
 * Packed. The used entries that are written overwrite descriptors of chains that are still in flight,
 * so each descriptor is copied into an entry of the region; free entries are a list. Taking: fill in
 * entries from the head of the list, then move free_head, then old_free_head, which is the moment that
 * counts. Publishing: put the entries of the batch back in front of the list; used_idx; the used
 * descriptors of the ring, first to last, each visible at once; inflight = 0 for each; old_free_head,
 * old_used_idx, old_used_wrap_counter. The specification lets a batch be seen as a whole or not at all
 * and looks at its first slot; going through the slots in order also finds a batch that was cut short,
 * and leaves no stale used descriptor in front of the driver. When old and new differ:
 *   - free_head == old_free_head: the batch was published, only the last stores are missing;
 *   - otherwise the chains of the batch, as the list tells them, are published up to the first whose
 *     slot still is as the driver made it available.
 * Entries that neither way belong to a chain are free, and so is what a killed taking left behind.
 *
 * Chains are taken and pushed in between, as they like: a batch is linked when it is published, so the
 * lists of the region never show half of one.
 */
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "vq_inflight.h"
#include "vq_internal.h"

#define VERSION      1
#define REGION_ALIGN 64

struct split_desc {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};

struct split_region {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct split_desc desc[];
};

struct packed_desc {
	uint8_t inflight;
	uint8_t padding;
	uint16_t next;
	uint16_t last;
	uint16_t num;
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

struct packed_region {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t free_head;
	uint16_t old_free_head;
	uint16_t used_idx;
	uint16_t old_used_idx;
	uint8_t used_wrap_counter;
	uint8_t old_used_wrap_counter;
	uint8_t padding[7];
	struct packed_desc desc[];
};

static_assert(sizeof(struct split_desc) == 16 && sizeof(struct split_region) == 16,
	      "region, split");
static_assert(sizeof(struct packed_desc) == 32 && sizeof(struct packed_region) == 32,
	      "region, packed");

/*
 * One for every descriptor of the queue. What the numbers count in is told for each.
 * @next:  packed, by entry: the next one of the chain, or of the free list; the queue's size ends it.
 * @last:  packed, by head entry: the last one of the chain.
 * @again: by place in the order: a head that is to be given out again.
 * @batch: by place in the batch: a head that was pushed.
 * @slot:  packed, by place in the batch: where its used descriptor goes.
 * @word:  packed, by place in the batch: the used descriptor.
 */
struct item {
	uint64_t word;
	uint16_t next;
	uint16_t last;
	uint16_t again;
	uint16_t batch;
	uint16_t slot;
};

/* Owned by the queue's owner. */
struct vq_inflight {
	union {
		struct split_region *split;
		struct packed_region *packed;
		void *region;
	};
	uint64_t counter;    /* for the next chain */
	uint16_t size;       /* of the queue */
	uint16_t again_next; /* chains that were given out again */
	uint16_t again_len;  /* of so many */
	uint16_t batch_len;  /* chains pushed since the last publish */
	uint16_t free_head;  /* packed: first free entry, or size */
	uint16_t fill;       /* packed: the entry that the next descriptor goes to */
	struct item items[];
};

/* Whatever stands before it in the program is stored before what follows. */
static inline void step(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

size_t vq_inflight_size(uint16_t queue_size, bool packed)
{
	size_t bytes =
		packed ? sizeof(struct packed_region) + queue_size * sizeof(struct packed_desc)
		       : sizeof(struct split_region) + queue_size * sizeof(struct split_desc);

	return (bytes + REGION_ALIGN - 1) & ~(size_t)(REGION_ALIGN - 1);
}

/* Split rings */

void vq_inflight_split_taken(struct vq_inflight *infl, uint16_t head)
{
	vq_store(&infl->split->desc[head].counter, infl->counter++);
	step();
	vq_store(&infl->split->desc[head].inflight, 1);
	step();
}

void vq_inflight_split_pushed(struct vq_inflight *infl, uint16_t head)
{
	infl->items[infl->batch_len++].batch = head;
}

void vq_inflight_split_publish(struct vq_inflight *infl)
{
	struct split_region *r = infl->split;
	uint16_t before = r->last_batch_head;

	for (uint16_t i = 0; i < infl->batch_len; i++) {
		uint16_t head = infl->items[i].batch;

		vq_store(&r->desc[head].next, before);
		before = head;
	}
	vq_store(&r->last_batch_head, before);
	step();
}

void vq_inflight_split_published(struct vq_inflight *infl, uint16_t used_idx)
{
	step();
	for (uint16_t i = 0; i < infl->batch_len; i++)
		vq_store(&infl->split->desc[infl->items[i].batch].inflight, 0);
	step();
	vq_store(&infl->split->used_idx, used_idx);
	infl->batch_len = 0;
	step();
}

static void split_fresh(const struct vq *vq, struct vq_inflight *infl)
{
	struct split_region *r = infl->split;

	memset(r, 0, vq_inflight_size(infl->size, false));
	r->desc_num = infl->size;
	r->used_idx = vq->used_idx;
	step();
	vq_store(&r->version, VERSION);
}

/* Finish the batch that was published when the process was killed. 0 or -EINVAL. */
static int split_finish_batch(const struct vq *vq, struct vq_inflight *infl)
{
	struct split_region *r = infl->split;
	uint16_t batch = (uint16_t)(vq->used_idx - vq_load(&r->used_idx));
	uint16_t head = vq_load(&r->last_batch_head);

	if (batch > infl->size)
		return -EINVAL;
	for (; batch; batch--) {
		if (head >= infl->size)
			return -EINVAL;
		vq_store(&r->desc[head].inflight, 0);
		head = vq_load(&r->desc[head].next);
	}
	step();
	vq_store(&r->used_idx, vq->used_idx);
	step();
	return 0;
}

static int split_recover(struct vq *vq, struct vq_inflight *infl)
{
	int r = split_finish_batch(vq, infl);

	if (r < 0)
		return r;
	for (uint16_t i = 0; i < infl->size; i++) {
		if (!vq_load(&infl->split->desc[i].inflight))
			continue;
		infl->items[infl->again_len++].again = i;
		vq_hold(vq, i);
	}
	vq->last_avail = (uint16_t)(vq->used_idx + infl->again_len);
	vq->avail_seen = vq->last_avail;
	return 0;
}

static int split_again(struct vq *vq, struct vq_chain *chain, uint16_t head)
{
	int r = vq_split_walk(vq, chain, head);

	if (r < 0)
		return r;
	if (chain->ndesc > vq->conf.size - vq->in_use)
		return -EPROTO;
	vq->in_use += chain->ndesc;
	return 1;
}

/* Packed rings */

void vq_inflight_packed_read(struct vq_inflight *infl, const struct vq_desc *d, bool head)
{
	struct packed_desc *e;

	if (head)
		infl->fill = infl->free_head;
	e = &infl->packed->desc[infl->fill];
	vq_store(&e->addr, d->addr);
	vq_store(&e->len, d->len);
	vq_store(&e->flags, d->flags);
	vq_store(&e->id, d->link);
	infl->items[infl->free_head].last = infl->fill;
	infl->fill = infl->items[infl->fill].next;
}

uint16_t vq_inflight_packed_taken(struct vq_inflight *infl, uint16_t ndesc)
{
	struct packed_region *r = infl->packed;
	uint16_t head = infl->free_head;

	vq_store(&r->desc[head].last, infl->items[head].last);
	vq_store(&r->desc[head].num, ndesc);
	vq_store(&r->desc[head].counter, infl->counter++);
	vq_store(&r->desc[head].inflight, 1);
	step();
	vq_store(&r->free_head, infl->fill);
	step();
	vq_store(&r->old_free_head, infl->fill);
	step();
	infl->free_head = infl->fill;
	return head;
}

void vq_inflight_packed_pushed(struct vq_inflight *infl, uint16_t entry, uint16_t slot,
			       uint64_t word)
{
	struct item *b = &infl->items[infl->batch_len++];

	b->batch = entry;
	b->slot = slot;
	b->word = word;
}

/* Put the entries of a chain in front of the free list. */
static void packed_link(struct vq_inflight *infl, uint16_t head)
{
	uint16_t last = infl->items[head].last;

	infl->items[last].next = infl->free_head;
	vq_store(&infl->packed->desc[last].next, infl->free_head);
	infl->free_head = head;
}

void vq_inflight_packed_publish(struct vq *vq)
{
	struct vq_inflight *infl = vq->infl;
	struct packed_region *r = infl->packed;

	for (uint16_t i = 0; i < infl->batch_len; i++)
		packed_link(infl, infl->items[i].batch);
	step();
	vq_store(&r->free_head, infl->free_head);
	step();
	vq_store(&r->used_idx, vq->used_idx);
	vq_store(&r->used_wrap_counter, vq->used_wrap);
	step();
	for (uint16_t i = 0; i < infl->batch_len; i++)
		vq_packed_put_used(vq, infl->items[i].slot, infl->items[i].word);
	step();
	for (uint16_t i = 0; i < infl->batch_len; i++)
		vq_store(&r->desc[infl->items[i].batch].inflight, 0);
	step();
	vq_store(&r->old_free_head, infl->free_head);
	step();
	vq_store(&r->old_used_idx, vq->used_idx);
	step();
	vq_store(&r->old_used_wrap_counter, vq->used_wrap);
	step();
	infl->batch_len = 0;
}

/* Make a free list of the entries that are not @taken, in the region and in our own words. */
static void packed_free_list(struct vq_inflight *infl, const bool *taken)
{
	struct packed_region *r = infl->packed;
	uint16_t head = infl->size;

	for (int i = infl->size - 1; i >= 0; i--) {
		if (taken[i])
			continue;
		infl->items[i].next = head;
		vq_store(&r->desc[i].next, head);
		head = (uint16_t)i;
	}
	step();
	infl->free_head = head;
	vq_store(&r->free_head, head);
	step();
	vq_store(&r->old_free_head, head);
	step();
}

/*
 * Settle on where the used index stands. As long as the heads of the lists differ, the next process
 * finds the same out again; once free_head is set back, it takes used_idx for granted.
 */
static void packed_settle(const struct vq *vq, struct packed_region *r)
{
	vq_store(&r->used_idx, vq->used_idx);
	vq_store(&r->used_wrap_counter, vq->used_wrap);
	step();
	vq_store(&r->free_head, vq_load(&r->old_free_head));
	step();
	vq_store(&r->old_used_idx, vq->used_idx);
	step();
	vq_store(&r->old_used_wrap_counter, vq->used_wrap);
	step();
}

static void packed_fresh(const struct vq *vq, struct vq_inflight *infl)
{
	static const bool taken[VQ_SIZE_MAX];
	struct packed_region *r = infl->packed;

	memset(r, 0, vq_inflight_size(infl->size, true));
	r->desc_num = infl->size;
	packed_free_list(infl, taken);
	packed_settle(vq, r);
	vq_store(&r->version, VERSION);
}

/*
 * Finish the batch that was being published: go through its chains in the order of their slots, and
 * move the used index past those that the driver can see. 0 or -EINVAL.
 */
static int packed_finish_batch(struct vq *vq, struct vq_inflight *infl)
{
	struct packed_region *r = infl->packed;
	uint16_t at = vq_load(&r->free_head), end = vq_load(&r->old_free_head), n = 0;

	/* The list names the last one first. */
	for (; at != end; n++) {
		uint16_t last;

		if (at >= infl->size || n == infl->size)
			return -EINVAL;
		infl->items[n].batch = at;
		last = vq_load(&r->desc[at].last);
		if (last >= infl->size)
			return -EINVAL;
		at = vq_load(&r->desc[last].next);
	}
	while (n--) {
		struct packed_desc *e = &r->desc[infl->items[n].batch];
		uint16_t num = vq_load(&e->num);
		uint16_t flags = vq_packed_flags_at(vq, vq->used_idx);

		if (num == 0 || num > infl->size)
			return -EINVAL;
		if ((flags & VQ_PACKED_STATE) == vq_packed_avail(vq->used_wrap))
			break;
		vq_store(&e->inflight, 0);
		vq_packed_advance(infl->size, &vq->used_idx, &vq->used_wrap, num);
	}
	return 0;
}

/* Where the used index stands, after what a killed publish left is finished or undone. */
static int packed_find_used(struct vq *vq, struct vq_inflight *infl)
{
	struct packed_region *r = infl->packed;
	uint16_t used = vq_load(&r->used_idx), old_used = vq_load(&r->old_used_idx);
	bool wrap = vq_load(&r->used_wrap_counter), old_wrap = vq_load(&r->old_used_wrap_counter);

	if (used >= infl->size || old_used >= infl->size)
		return -EINVAL;
	vq->used_idx = old_used;
	vq->used_wrap = old_wrap;
	if (used == old_used && wrap == old_wrap)
		return 0;
	if (vq_load(&r->free_head) != vq_load(&r->old_free_head))
		return packed_finish_batch(vq, infl);
	vq->used_idx = used;
	vq->used_wrap = wrap;
	return 0;
}

/* A taking that was not finished: its head stands in the free list, and is not in flight. */
static void packed_clear_free(struct vq_inflight *infl)
{
	struct packed_region *r = infl->packed;
	uint16_t at = vq_load(&r->old_free_head);

	for (uint16_t n = 0; n < infl->size && at < infl->size; n++) {
		vq_store(&r->desc[at].inflight, 0);
		at = vq_load(&r->desc[at].next);
	}
	step();
}

/* Read the chains in flight: their entries into @taken, their heads into the list. 0 or -EINVAL. */
static int packed_read_chains(struct vq *vq, struct vq_inflight *infl, bool *taken)
{
	const struct packed_region *r = infl->packed;
	unsigned int total = 0;

	for (uint16_t head = 0; head < infl->size; head++) {
		uint16_t num, at = head;

		if (!vq_load(&r->desc[head].inflight))
			continue;
		num = vq_load(&r->desc[head].num);
		total += num;
		if (num == 0 || total > infl->size)
			return -EINVAL;
		for (uint16_t i = 0; i < num; i++) {
			if (at >= infl->size || taken[at])
				return -EINVAL;
			taken[at] = true;
			infl->items[head].last = at;
			infl->items[at].next = vq_load(&r->desc[at].next);
			at = infl->items[at].next;
		}
		infl->items[infl->again_len++].again = head;
	}
	vq->in_use = (uint16_t)total;
	vq->last_avail = vq->used_idx;
	vq->avail_wrap = vq->used_wrap;
	vq_packed_advance(infl->size, &vq->last_avail, &vq->avail_wrap, (uint16_t)total);
	return 0;
}

static int packed_recover(struct vq *vq, struct vq_inflight *infl)
{
	bool taken[VQ_SIZE_MAX] = {false};
	int r = packed_find_used(vq, infl);

	if (r < 0)
		return r;
	packed_clear_free(infl);
	r = packed_read_chains(vq, infl, taken);
	if (r < 0)
		return r;
	packed_settle(vq, infl->packed);
	packed_free_list(infl, taken);
	return 0;
}

static int packed_again(struct vq *vq, struct vq_chain *chain, uint16_t head)
{
	struct vq_inflight *infl = vq->infl;
	struct vq_walk w = vq_walk_begin(vq, chain);
	uint16_t at = head, n = 0;

	for (;;) {
		const struct packed_desc *e = &infl->packed->desc[at];
		struct vq_desc d = {
			.addr = vq_load(&e->addr),
			.len = vq_load(&e->len),
			.flags = vq_load(&e->flags),
			.link = vq_load(&e->id),
		};
		int r = vq_walk_ring(vq, &w, &d);

		if (r < 0)
			return r;
		n++;
		if (at == infl->items[head].last) {
			chain->id = d.link;
			break;
		}
		at = infl->items[at].next;
	}
	vq_walk_end(vq, &w, chain);
	chain->ndesc = n;
	chain->entry = head;
	return 1;
}

/* Both formats */

bool vq_inflight_waiting(const struct vq_inflight *infl)
{
	return infl->again_next < infl->again_len;
}

int vq_inflight_again(struct vq *vq, struct vq_chain *chain)
{
	uint16_t head = vq->infl->items[vq->infl->again_next++].again;

	return vq->conf.packed ? packed_again(vq, chain, head) : split_again(vq, chain, head);
}

struct order {
	uint64_t counter;
	uint16_t head;
};

static int by_counter(const void *a, const void *b)
{
	const struct order *x = a, *y = b;

	return x->counter < y->counter ? -1 : x->counter > y->counter;
}

/* Sort the heads to be given out again by age; new chains are counted on from the youngest. */
static int sort_again(struct vq_inflight *infl, bool packed)
{
	struct order *order = calloc((size_t)infl->again_len + 1, sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (uint16_t i = 0; i < infl->again_len; i++) {
		uint16_t head = infl->items[i].again;

		order[i].head = head;
		order[i].counter = packed ? vq_load(&infl->packed->desc[head].counter)
					  : vq_load(&infl->split->desc[head].counter);
	}
	qsort(order, infl->again_len, sizeof(*order), by_counter);
	for (uint16_t i = 0; i < infl->again_len; i++) {
		infl->items[i].again = order[i].head;
		infl->counter = order[i].counter + 1;
	}
	free(order);
	return 0;
}

static int attach(struct vq *vq, struct vq_inflight *infl)
{
	bool packed = vq->conf.packed;
	/* The fields up to desc_num are in the same place in both. */
	uint16_t version = vq_load(&infl->split->version);
	int r;

	if (version == 0) {
		if (packed)
			packed_fresh(vq, infl);
		else
			split_fresh(vq, infl);
		return 0;
	}
	if (version != VERSION || vq_load(&infl->split->features) ||
	    vq_load(&infl->split->desc_num) != infl->size)
		return -EINVAL;
	r = packed ? packed_recover(vq, infl) : split_recover(vq, infl);
	return r < 0 ? r : sort_again(infl, packed);
}

int vq_inflight_attach(struct vq *vq, void *region, size_t size)
{
	uint16_t n = vq->conf.size;
	uint32_t hits = guard_hits();
	struct vq before = *vq;
	struct vq_inflight *infl;
	int r;

	if (!vq->running || vq->infl || vq->in_use || size < vq_inflight_size(n, vq->conf.packed) ||
	    (uintptr_t)region % sizeof(uint64_t))
		return -EINVAL;
	infl = calloc(1, sizeof(*infl) + n * sizeof(infl->items[0]));
	if (!infl)
		return -ENOMEM;
	infl->region = region;
	infl->size = n;
	r = attach(vq, infl);
	if (r == 0 && guard_hits() != hits)
		r = -EFAULT;
	if (r < 0) {
		*vq = before;
		free(infl);
		return r;
	}
	vq->infl = infl;
	return 0;
}

void vq_inflight_detach(struct vq *vq)
{
	if (vq->infl && vq->in_use == 0 && !vq_inflight_waiting(vq->infl))
		vq_store(&vq->infl->split->version, 0);
	free(vq->infl);
	vq->infl = NULL;
}
