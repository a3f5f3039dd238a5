// SPDX-License-Identifier: Apache-2.0
/* A bounded set of open descriptors of inodes, found by slot without a lock. */
/*
 * Theory of operation
 *
 * An entry's word names the slot that it belongs to and counts the pins. To pin is one load of the
 * index and one compare-and-swap on the word, which fails if the entry belongs to another slot by
 * now. To close an idle descriptor is a compare-and-swap of an unpinned word to 0: whoever wins it
 * owns the descriptor, so none is closed under a user.
 *
 * Entries that may be closed form a ring; a hand goes round it, passes over pinned ones, and closes
 * the first one that was not pinned since it came by last. Kept entries are in no list, so they cost
 * the hand nothing.
 *
 * Budget. @used counts kept descriptors and those set aside, for open files too, and never passes
 * @max. When it is spent, the hand closes one. Each entry accounts for one.
 *
 * Locks: fdcache.lock, taken inside an inode stripe's lock and outside nothing. close(2) can take its
 * time (the last reference to a deleted file frees its blocks), so it is called without the lock.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fd.h"
#include "fdcache.h"
#include "util.h"

#define SLOT_SHIFT 32
#define LATELY     (UINT64_C(1) << 31)
#define PINS       (LATELY - 1)

/* Idle descriptors keep inodes of the host in memory, so there is an end to what they are good for. */
#define RING_MAX 32768u

static_assert(sizeof(struct fdcache_entry) == 24, "no padding");

static void *map_zeroed(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

int fdcache_init(struct fdcache *fc, uint32_t slots, uint32_t max)
{
	int r;

	if (max == 0 || max > 1u << 24)
		return -EINVAL;
	*fc = (struct fdcache){
		.max = max, .ring_max = MIN(max, RING_MAX), .slots = slots, .next = 1};
	fc->index = map_zeroed(sizeof(*fc->index) * slots);
	fc->entries = map_zeroed(sizeof(*fc->entries) * ((size_t)max + 1));
	r = fc->index && fc->entries ? -pthread_mutex_init(&fc->lock, NULL) : -ENOMEM;
	if (r < 0) {
		if (fc->index)
			munmap(fc->index, sizeof(*fc->index) * slots);
		if (fc->entries)
			munmap(fc->entries, sizeof(*fc->entries) * ((size_t)max + 1));
		*fc = (struct fdcache){0};
	}
	return r;
}

void fdcache_done(struct fdcache *fc)
{
	if (!fc->entries)
		return;
	for (uint32_t i = 1; i < fc->next; i++)
		if (atomic_load_explicit(&fc->entries[i].word, memory_order_relaxed))
			close(fc->entries[i].fd);
	pthread_mutex_destroy(&fc->lock);
	munmap(fc->index, sizeof(*fc->index) * fc->slots);
	munmap(fc->entries, sizeof(*fc->entries) * ((size_t)fc->max + 1));
	*fc = (struct fdcache){0};
}

/* Into the ring, behind the hand: the last to be looked at. */
static void ring_add(struct fdcache *fc, uint32_t i)
{
	struct fdcache_entry *e = &fc->entries[i];

	if (!fc->hand) {
		fc->hand = e->prev = e->next = i;
	} else {
		e->next = fc->hand;
		e->prev = fc->entries[fc->hand].prev;
		fc->entries[e->prev].next = i;
		fc->entries[e->next].prev = i;
	}
	fc->ring++;
}

static void ring_del(struct fdcache *fc, uint32_t i)
{
	struct fdcache_entry *e = &fc->entries[i];

	if (fc->hand == i)
		fc->hand = e->next == i ? 0 : e->next;
	fc->entries[e->prev].next = e->next;
	fc->entries[e->next].prev = e->prev;
	e->prev = e->next = 0;
	fc->ring--;
}

static uint32_t entry_get(struct fdcache *fc)
{
	uint32_t i = fc->free;

	if (i) {
		fc->free = fc->entries[i].prev;
		fc->entries[i].prev = 0;
		return i;
	}
	return fc->next++;
}

static void entry_put(struct fdcache *fc, uint32_t i)
{
	fc->entries[i].prev = fc->free;
	fc->free = i;
}

/* Take one idle descriptor out of the ring; -1 when all are pinned. Under the lock. */
static int ring_evict(struct fdcache *fc)
{
	for (uint64_t n = 2 * (uint64_t)fc->ring; n && fc->hand; n--) {
		uint32_t i = fc->hand;
		struct fdcache_entry *e = &fc->entries[i];
		uint64_t word = atomic_load_explicit(&e->word, memory_order_relaxed);

		fc->hand = e->next;
		if (word & PINS)
			continue;
		if (word & LATELY) {
			atomic_fetch_and_explicit(&e->word, ~LATELY, memory_order_relaxed);
			continue;
		}
		if (!atomic_compare_exchange_strong_explicit(
			    &e->word, &word, 0, memory_order_acq_rel, memory_order_relaxed))
			continue;
		atomic_store_explicit(&fc->index[word >> SLOT_SHIFT], 0, memory_order_relaxed);
		ring_del(fc, i);
		entry_put(fc, i);
		return e->fd;
	}
	return -1;
}

static int evict(struct fdcache *fc)
{
	int fd;

	pthread_mutex_lock(&fc->lock);
	fd = ring_evict(fc);
	pthread_mutex_unlock(&fc->lock);
	return fd;
}

int fdcache_reserve(struct fdcache *fc)
{
	uint32_t used = atomic_load_explicit(&fc->used, memory_order_relaxed);
	scoped_fd int fd = -1;

	do {
		if (unlikely(used >= fc->max)) {
			/* The place of the one that goes is ours: the count stays. */
			fd = evict(fc);
			return fd < 0 ? -ENFILE : 0;
		}
	} while (!atomic_compare_exchange_weak_explicit(
		&fc->used, &used, used + 1, memory_order_relaxed, memory_order_relaxed));
	return 0;
}

void fdcache_release(struct fdcache *fc)
{
	atomic_fetch_sub_explicit(&fc->used, 1, memory_order_relaxed);
}

bool fdcache_shrink(struct fdcache *fc)
{
	scoped_fd int fd = evict(fc);

	if (fd < 0)
		return false;
	fdcache_release(fc);
	return true;
}

bool fdcache_pin(struct fdcache *fc, uint32_t slot, struct fdcache_pin *ret)
{
	uint32_t i = atomic_load_explicit(&fc->index[slot], memory_order_acquire);
	struct fdcache_entry *e = &fc->entries[i];
	uint64_t word;

	if (!i)
		return false;
	word = atomic_load_explicit(&e->word, memory_order_relaxed);
	do {
		if (word >> SLOT_SHIFT != slot)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&e->word, &word, (word + 1) | LATELY, memory_order_acquire, memory_order_relaxed));
	ret->fd = e->fd;
	ret->entry = i;
	return true;
}

void fdcache_unpin(struct fdcache *fc, struct fdcache_pin *pin)
{
	if (pin->entry)
		atomic_fetch_sub_explicit(&fc->entries[pin->entry].word, 1, memory_order_release);
	*pin = (struct fdcache_pin){.fd = -1};
}

void fdcache_insert(struct fdcache *fc, uint32_t slot, int fd, struct fdcache_pin *ret)
{
	struct fdcache_entry *e;
	int spare = -1;
	uint32_t i;

	pthread_mutex_lock(&fc->lock);
	if (fdcache_pin(fc, slot, ret)) {
		pthread_mutex_unlock(&fc->lock);
		fd_close(&fd);
		fdcache_release(fc);
		return;
	}
	if (fc->ring >= fc->ring_max) {
		spare = ring_evict(fc);
		if (spare >= 0)
			fdcache_release(fc);
	}
	i = entry_get(fc);
	e = &fc->entries[i];
	e->fd = fd;
	atomic_store_explicit(&e->word, (uint64_t)slot << SLOT_SHIFT | LATELY | 1,
			      memory_order_release);
	ring_add(fc, i);
	atomic_store_explicit(&fc->index[slot], i, memory_order_release);
	pthread_mutex_unlock(&fc->lock);
	fd_close(&spare);
	*ret = (struct fdcache_pin){.fd = fd, .entry = i};
}

void fdcache_keep(struct fdcache *fc, uint32_t slot, bool keep)
{
	uint32_t i;

	pthread_mutex_lock(&fc->lock);
	i = atomic_load_explicit(&fc->index[slot], memory_order_relaxed);
	if (i && keep && fc->entries[i].next)
		ring_del(fc, i);
	else if (i && !keep && !fc->entries[i].next)
		ring_add(fc, i);
	pthread_mutex_unlock(&fc->lock);
}

void fdcache_drop(struct fdcache *fc, uint32_t slot)
{
	int fd = -1;
	uint32_t i;

	if (!fdcache_has(fc, slot))
		return;
	pthread_mutex_lock(&fc->lock);
	i = atomic_load_explicit(&fc->index[slot], memory_order_relaxed);
	if (i) {
		fd = fc->entries[i].fd;
		atomic_store_explicit(&fc->entries[i].word, 0, memory_order_relaxed);
		atomic_store_explicit(&fc->index[slot], 0, memory_order_relaxed);
		if (fc->entries[i].next)
			ring_del(fc, i);
		entry_put(fc, i);
		fdcache_release(fc);
	}
	pthread_mutex_unlock(&fc->lock);
	fd_close(&fd);
}
