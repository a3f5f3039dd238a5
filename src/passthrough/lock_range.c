// SPDX-License-Identifier: Apache-2.0
/* The byte ranges that a lock owner holds in a file. */
/*
 * Theory of operation
 *
 * A sorted array. A change takes out the ranges that it touches and puts at most three in their
 * place: what is left of the first one, the new one, and what is left of the last one. So it adds at
 * most two, and for that there is room before the change begins: it cannot fail once the host has
 * granted the lock. An unlocking that splits nothing may go ahead without room. The host's kernel is the one who knows what is locked; the array follows it, to
 * bound how much of the host's memory a guest can fill with locks, and to tell whose they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "lock_range.h"
#include "util.h"

#define GROWTH 2u /* ranges that a change adds at most */

/* The first range that ends at @byte or behind it. */
static uint32_t first_from(const struct lock_ranges *l, uint64_t byte)
{
	uint32_t lo = 0, hi = l->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (l->at[mid].end < byte)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct lock_range *lock_range_find(const struct lock_ranges *l, uint64_t byte)
{
	uint32_t i = first_from(l, byte);

	return i < l->n && l->at[i].start <= byte ? &l->at[i] : NULL;
}

static int grow(struct lock_ranges *l, uint32_t *budget)
{
	uint32_t need = l->n + GROWTH * (l->busy + 1);
	struct lock_range *at;
	uint32_t room;

	if (need <= l->room)
		return 0;
	room = need + need / 2;
	if (room - l->room > *budget)
		room = need;
	if (room - l->room > *budget)
		return -ENOLCK;
	at = realloc(l->at, room * sizeof(*at));
	if (!at)
		return -ENOLCK;
	*budget -= room - l->room;
	l->at = at;
	l->room = room;
	return 0;
}

int lock_range_reserve(struct lock_ranges *l, uint64_t start, uint64_t end, uint32_t type,
		       uint32_t *budget)
{
	const struct lock_range *in;

	if (grow(l, budget) < 0) {
		in = lock_range_find(l, start);
		if (type != F_UNLCK || (in && in->start < start && in->end > end))
			return -ENOLCK;
	}
	l->busy++;
	return 0;
}

void lock_range_cancel(struct lock_ranges *l)
{
	l->busy--;
}

void lock_range_set(struct lock_ranges *l, uint64_t start, uint64_t end, uint32_t type)
{
	struct lock_range new[3], mid = {.start = start, .end = end, .type = type};
	uint32_t from = first_from(l, start), to = from, n = 0;

	while (to < l->n && l->at[to].start <= end)
		to++;
	/* Neighbours of the same kind become one with it. */
	if (type != F_UNLCK && from > 0 && l->at[from - 1].end + 1 == start &&
	    l->at[from - 1].type == type)
		from--;
	if (type != F_UNLCK && to < l->n && l->at[to].start == end + 1 && l->at[to].type == type)
		to++;
	if (from < to) {
		const struct lock_range *first = &l->at[from], *last = &l->at[to - 1];

		if (first->start < start && first->type == type)
			mid.start = first->start;
		else if (first->start < start)
			new[n++] = (struct lock_range){first->start, start - 1, first->type};
		if (last->end > end && last->type == type)
			mid.end = last->end;
	}
	if (type != F_UNLCK)
		new[n++] = mid;
	if (from < to && l->at[to - 1].end > mid.end)
		new[n++] = (struct lock_range){end + 1, l->at[to - 1].end, l->at[to - 1].type};
	/* An unlocking without a reserve has come to split after all. What is not known is not lost. */
	if (l->n + n - (to - from) > l->room)
		n--;
	memmove(&l->at[from + n], &l->at[to], (l->n - to) * sizeof(*l->at));
	memcpy(&l->at[from], new, n * sizeof(*l->at));
	l->n += n - (to - from);
	l->busy--;
}

void lock_range_free(struct lock_ranges *l, uint32_t *budget)
{
	uint32_t keep = GROWTH * l->busy;

	l->n = 0;
	if (!keep) {
		*budget += l->room;
		l->room = 0;
		free(l->at);
		l->at = NULL;
	}
}
