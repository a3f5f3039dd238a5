/* SPDX-License-Identifier: Apache-2.0 */
/* Records named by slot number and generation, found and referenced without a lock. */
#ifndef CULVERT_SLOTS_H
#define CULVERT_SLOTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"

/**
 * struct slot - how every record of a table begins.
 * @state: generation << 32 | hidden << 31 | references. The generation goes up each time the slot is
 *         freed, so that an old id finds nothing; references 0 = free or on the way there. Only the
 *         functions below touch it.
 */
struct slot {
	_Atomic uint64_t state;
};

/**
 * struct slots - a table of records of one size.
 * @base:     the records, in an arena; slot 0 is never used.
 * @rec_size: bytes of a record, struct slot included; a multiple of 8, at least 16.
 * @clear:    bytes of it that are zeroed when it is allocated, but for struct slot; what is behind them
 *            stays.
 * @count:    slots in all, slot 0 included.
 * @next:     first slot that was never used. Under @lock.
 * @free:     first freed slot; the number of the next one stands behind its struct slot. Under @lock.
 * @live:     records in use; for limits and statistics.
 * @lock:     a leaf lock, taken to allocate and to free only.
 *
 * An id is generation << 32 | slot. The first record of a fresh table is slot 1, generation 0: id 1,
 * which is FUSE_ROOT_ID. No id is 0.
 */
struct slots {
	uint8_t *base;
	uint32_t rec_size;
	uint32_t clear;
	uint32_t count;
	uint32_t next;
	uint32_t free;
	_Atomic uint32_t live;
	pthread_mutex_t lock;
};

/** slots_init() - carve a table of @count records of @rec_size bytes out of @a, all zero. 0 or -errno. */
int slots_init(struct slots *s, struct arena *a, uint32_t rec_size, uint32_t clear, uint32_t count);

/** slots_done() - forget the table; the arena keeps the memory. */
void slots_done(struct slots *s);

/**
 * slots_alloc() - a record with one reference, zeroed as far as @clear says, or NULL when the table is
 * full. Any thread.
 *
 * slots_get() does not find it before slots_publish(): a guest can guess the id of a record that is
 * still being filled in.
 */
void *slots_alloc(struct slots *s);

/** slots_publish() - the record is filled in: let slots_get() find it. By the one that made it. */
void slots_publish(void *rec);

/**
 * slots_get() - find a record by id and take a reference. Lock-free, any thread.
 *
 * Any 64-bit value may be asked for. Returns NULL when there is no such slot, when it has another
 * generation by now, when it is not published yet, or when its last reference is gone.
 */
void *slots_get(struct slots *s, uint64_t id);

/** slots_try_ref() - one more reference on a record unless it has none left. 1 taken, 0 not. */
int slots_try_ref(void *rec);

/** slots_ref() - one more reference on a record that the caller holds one on. */
void slots_ref(void *rec);

/**
 * slots_unref() - give a reference back.
 *
 * Returns 1 when it was the last: nobody finds the record any more, and the caller takes it apart
 * and ends with slots_free().
 */
int slots_unref(void *rec);

/** slots_free() - raise the generation and let the slot be used again. */
void slots_free(struct slots *s, void *rec);

/** slots_at() - the record in a slot, whatever its state; @slot < @s->count. */
static inline void *slots_at(const struct slots *s, uint32_t slot)
{
	return s->base + (size_t)slot * s->rec_size;
}

/** slots_index() - the slot number of a record. */
static inline uint32_t slots_index(const struct slots *s, const void *rec)
{
	return (uint32_t)((size_t)((const uint8_t *)rec - s->base) / s->rec_size);
}

/** slots_of_id() - the slot number in an id. */
static inline uint32_t slots_of_id(uint64_t id)
{
	return (uint32_t)id;
}

/** slots_id() - the id of a record on which the caller holds a reference. */
uint64_t slots_id(const struct slots *s, const void *rec);

#endif
