// SPDX-License-Identifier: Apache-2.0
/* Records named by slot number and generation, found and referenced without a lock. */
/*
 * Theory of operation
 *
 * Generation and references of a record are one 64-bit word, changed by compare-and-swap: a
 * reference can only be taken on the generation that was asked for, so a slot that was freed and
 * used again meanwhile is never touched by an old id, not even for a moment.
 *
 * Life of a slot: free (refs 0) → slots_alloc(): refs 1 and HIDDEN → slots_publish(): found by id →
 * references come and go → the last slots_unref() leaves refs 0, which nobody can raise again →
 * slots_free(): generation + 1, on the free list. A slot whose generation is used up (2^32 lives) is
 * left out of the free list, so that no id ever means two things.
 *
 * The list of free slots and the end of the used ones are under slots.lock, a leaf that is taken to
 * allocate and to free. The link of the free list is written behind the word, where no slots_get()
 * looks. Memory order: publishing and giving back release, taking acquires.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "slots.h"
#include "util.h"

#define GEN_SHIFT 32
#define HIDDEN    (UINT64_C(1) << 31)
#define REFS_MASK (HIDDEN - 1)

static_assert(sizeof(struct slot) == 8, "generation and references are one word");

static _Atomic uint64_t *state_of(void *rec)
{
	return &((struct slot *)rec)->state;
}

static uint32_t *link_of(void *rec)
{
	return (uint32_t *)(void *)((uint8_t *)rec + sizeof(struct slot));
}

int slots_init(struct slots *s, struct arena *a, uint32_t rec_size, uint32_t clear, uint32_t count)
{
	uint8_t *base;

	if (rec_size <= sizeof(struct slot) || rec_size % sizeof(struct slot) ||
	    clear < 2 * sizeof(struct slot) || clear > rec_size || count < 2)
		return -EINVAL;
	base = arena_carve(a, (size_t)rec_size * count);
	if (!base)
		return -ENOMEM;
	*s = (struct slots){
		.base = base, .rec_size = rec_size, .clear = clear, .count = count, .next = 1};
	return -pthread_mutex_init(&s->lock, NULL);
}

void slots_done(struct slots *s)
{
	if (!s->base)
		return;
	pthread_mutex_destroy(&s->lock);
	s->base = NULL;
}

void *slots_alloc(struct slots *s)
{
	void *rec = NULL;
	uint64_t state;

	pthread_mutex_lock(&s->lock);
	if (s->free) {
		rec = slots_at(s, s->free);
		s->free = *link_of(rec);
	} else if (s->next < s->count) {
		rec = slots_at(s, s->next++);
	}
	pthread_mutex_unlock(&s->lock);
	if (!rec)
		return NULL;
	atomic_fetch_add_explicit(&s->live, 1, memory_order_relaxed);
	memset((uint8_t *)rec + sizeof(struct slot), 0, s->clear - sizeof(struct slot));
	state = atomic_load_explicit(state_of(rec), memory_order_relaxed);
	atomic_store_explicit(state_of(rec), state | HIDDEN | 1, memory_order_release);
	return rec;
}

void slots_publish(void *rec)
{
	atomic_fetch_and_explicit(state_of(rec), ~HIDDEN, memory_order_release);
}

void *slots_get(struct slots *s, uint64_t id)
{
	uint32_t slot = slots_of_id(id);
	uint64_t state;
	void *rec;

	if (unlikely(slot == 0 || slot >= s->count))
		return NULL;
	rec = slots_at(s, slot);
	state = atomic_load_explicit(state_of(rec), memory_order_relaxed);
	do {
		if (unlikely(state >> GEN_SHIFT != id >> GEN_SHIFT || state & HIDDEN))
			return NULL;
		if (unlikely((state & REFS_MASK) == 0 || (state & REFS_MASK) == REFS_MASK))
			return NULL;
	} while (!atomic_compare_exchange_weak_explicit(
		state_of(rec), &state, state + 1, memory_order_acquire, memory_order_relaxed));
	return rec;
}

int slots_try_ref(void *rec)
{
	uint64_t state = atomic_load_explicit(state_of(rec), memory_order_relaxed);

	do {
		if ((state & REFS_MASK) == 0 || (state & REFS_MASK) == REFS_MASK)
			return 0;
	} while (!atomic_compare_exchange_weak_explicit(
		state_of(rec), &state, state + 1, memory_order_acquire, memory_order_relaxed));
	return 1;
}

void slots_ref(void *rec)
{
	atomic_fetch_add_explicit(state_of(rec), 1, memory_order_relaxed);
}

int slots_unref(void *rec)
{
	uint64_t state = atomic_fetch_sub_explicit(state_of(rec), 1, memory_order_acq_rel);

	return (state & REFS_MASK) == 1;
}

void slots_free(struct slots *s, void *rec)
{
	uint64_t gen = atomic_load_explicit(state_of(rec), memory_order_relaxed) >> GEN_SHIFT;

	atomic_fetch_sub_explicit(&s->live, 1, memory_order_relaxed);
	if (gen == UINT32_MAX)
		return;
	atomic_store_explicit(state_of(rec), (gen + 1) << GEN_SHIFT, memory_order_release);
	pthread_mutex_lock(&s->lock);
	*link_of(rec) = s->free;
	s->free = slots_index(s, rec);
	pthread_mutex_unlock(&s->lock);
}

uint64_t slots_id(const struct slots *s, const void *rec)
{
	const struct slot *slot = rec;
	uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);

	return (state >> GEN_SHIFT << GEN_SHIFT) | slots_index(s, rec);
}
