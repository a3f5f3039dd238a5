/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded set of open descriptors of inodes, found by slot without a lock. */
#ifndef CULVERT_FDCACHE_H
#define CULVERT_FDCACHE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * struct fdcache_pin - a descriptor in use: it is not closed before fdcache_unpin().
 * @fd:    the descriptor.
 * @entry: its entry, 0 = none.
 */
struct fdcache_pin {
	int fd;
	uint32_t entry;
};

/* Where a descriptor stands. Its owner is the cache; see fdcache.c. */
struct fdcache_entry {
	_Atomic uint64_t word; /* slot << 32 | used lately << 31 | pins; 0 = nobody's */
	int fd;                /* constant while @word names a slot */
	uint32_t prev;         /* ring of those that may be closed, or free list. Under the lock. */
	uint32_t next;         /* 0 = in no list: kept */
};

/**
 * struct fdcache - the descriptors, and the budget that they share with open files.
 * @max:     descriptors at most, reserved ones included.
 * @used:    descriptors reserved or kept.
 * @ring_max: entries at most that may be closed at need.
 * @index:   entry by slot, 0 = none.
 * @slots:   length of @index.
 * @entries: @max + 1 entries; entry 0 is never used.
 * @lock:    guards the lists and every change of @index.
 * @hand:    where the clock stands; 0 = the ring is empty. Under @lock.
 * @ring:    entries in the ring. Under @lock.
 * @next:    first entry that was never used. Under @lock.
 * @free:    first freed entry. Under @lock.
 */
struct fdcache {
	uint32_t max;
	uint32_t ring_max;
	uint32_t slots;
	_Atomic uint32_t used;
	_Atomic uint32_t *index;
	struct fdcache_entry *entries;
	pthread_mutex_t lock;
	uint32_t hand;
	uint32_t ring;
	uint32_t next;
	uint32_t free;
};

/** fdcache_init() - for slots below @slots and @max descriptors (1 to 2^24). 0 or -errno. */
int fdcache_init(struct fdcache *fc, uint32_t slots, uint32_t max);

/** fdcache_done() - close all. */
void fdcache_done(struct fdcache *fc);

/**
 * fdcache_reserve() - set one descriptor aside before opening it; closes an idle one if need be.
 *
 * Returns 0, or -ENFILE when all are in use. Any thread.
 */
int fdcache_reserve(struct fdcache *fc);

/** fdcache_release() - the descriptor that was set aside is closed. */
void fdcache_release(struct fdcache *fc);

/** fdcache_shrink() - close one idle descriptor, whatever the budget says. False: there is none. */
bool fdcache_shrink(struct fdcache *fc);

/**
 * fdcache_pin() - find the descriptor of a slot and hold on to it. No lock.
 *
 * The caller holds a reference on the record in @slot. False: there is none.
 */
bool fdcache_pin(struct fdcache *fc, uint32_t slot, struct fdcache_pin *ret);

/** fdcache_unpin() - let go; accepts one that holds nothing. */
void fdcache_unpin(struct fdcache *fc, struct fdcache_pin *pin);

/** fdcache_has() - whether @slot has a descriptor at this moment. */
static inline bool fdcache_has(const struct fdcache *fc, uint32_t slot)
{
	return atomic_load_explicit(&fc->index[slot], memory_order_relaxed) != 0;
}

/**
 * fdcache_insert() - give a slot its descriptor, and pin it.
 * @fd: reserved; the cache's from here on. Where the slot has one already, that one is pinned and
 *      @fd closed.
 */
void fdcache_insert(struct fdcache *fc, uint32_t slot, int fd, struct fdcache_pin *ret);

/** fdcache_keep() - never close the descriptor of @slot, if it has one, or allow it again. */
void fdcache_keep(struct fdcache *fc, uint32_t slot, bool keep);

/** fdcache_drop() - the record in @slot is gone, nobody pins it: close its descriptor. */
void fdcache_drop(struct fdcache *fc, uint32_t slot);

#endif
