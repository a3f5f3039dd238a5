/* SPDX-License-Identifier: Apache-2.0 */
/* The byte ranges that a lock owner holds in a file. */
#ifndef CULVERT_LOCK_RANGE_H
#define CULVERT_LOCK_RANGE_H

#include <stdint.h>

/** struct lock_range - bytes @start to @end, both included; @type is F_RDLCK or F_WRLCK. */
struct lock_range {
	uint64_t start;
	uint64_t end;
	uint32_t type;
};

/**
 * struct lock_ranges - sorted, apart from each other. All zero is an empty one.
 * @at:   @n ranges in heap memory for @room.
 * @busy: changes that were reserved and not made yet.
 *
 * It has no lock of its own.
 */
struct lock_ranges {
	struct lock_range *at;
	uint32_t n;
	uint32_t room;
	uint32_t busy;
};

/**
 * lock_range_reserve() - make sure that this change finds room; lock_range_set() or
 * lock_range_cancel() must follow.
 * @budget: ranges for which memory may still be taken; lowered by what is.
 *
 * 0, or -ENOLCK: the budget is spent, or there is no memory. F_UNLCK is refused only where it would
 * make two ranges of one.
 */
int lock_range_reserve(struct lock_ranges *l, uint64_t start, uint64_t end, uint32_t type,
		       uint32_t *budget);

/** lock_range_cancel() - the change that was reserved is not made. */
void lock_range_cancel(struct lock_ranges *l);

/**
 * lock_range_set() - make a change that was reserved.
 * @start, @end: both included, at most INT64_MAX; @start is not above @end.
 * @type:  F_RDLCK, F_WRLCK, or F_UNLCK to take them out.
 *
 * Splits and joins ranges as fcntl(2) does.
 */
void lock_range_set(struct lock_ranges *l, uint64_t start, uint64_t end, uint32_t type);

/** lock_range_find() - the range that @byte is in, or NULL. */
const struct lock_range *lock_range_find(const struct lock_ranges *l, uint64_t byte);

/** lock_range_free() - take all out and give the memory back to @budget; changes stay reserved. */
void lock_range_free(struct lock_ranges *l, uint32_t *budget);

#endif
