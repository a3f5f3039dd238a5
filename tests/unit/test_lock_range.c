// SPDX-License-Identifier: Apache-2.0
/* The ranges of a lock owner: split, join, upgrade, downgrade, and the bound on them. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lock_range.h"
#include "util.h"

#define END INT64_MAX

static void set(struct lock_ranges *l, uint64_t start, uint64_t end, uint32_t type)
{
	uint32_t budget = UINT32_MAX;

	assert_int_equal(lock_range_reserve(l, start, end, type, &budget), 0);
	lock_range_set(l, start, end, type);
}

static void ranges_are(const struct lock_ranges *l, const struct lock_range *want, uint32_t n)
{
	assert_int_equal(l->n, n);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(l->at[i].start, want[i].start);
		assert_int_equal(l->at[i].end, want[i].end);
		assert_int_equal(l->at[i].type, want[i].type);
	}
}

#define ARE(...)                                                       \
	do {                                                           \
		static const struct lock_range want[] = {__VA_ARGS__}; \
		ranges_are(&l, want, ARRAY_SIZE(want));                \
	} while (0)

static void test_steps(void **state)
{
	struct lock_ranges l = {0};
	uint32_t budget = 0;

	(void)state;
	set(&l, 10, 19, F_UNLCK);
	assert_int_equal(l.n, 0);
	set(&l, 10, 19, F_RDLCK);
	ARE({10, 19, F_RDLCK});
	/* Neighbours of one kind join, others do not. */
	set(&l, 20, 29, F_RDLCK);
	set(&l, 5, 9, F_RDLCK);
	set(&l, 30, 39, F_WRLCK);
	ARE({5, 29, F_RDLCK}, {30, 39, F_WRLCK});
	/* Upgrade in the middle: three of one. */
	set(&l, 10, 10, F_WRLCK);
	ARE({5, 9, F_RDLCK}, {10, 10, F_WRLCK}, {11, 29, F_RDLCK}, {30, 39, F_WRLCK});
	/* Downgrade it: one again. */
	set(&l, 10, 10, F_RDLCK);
	ARE({5, 29, F_RDLCK}, {30, 39, F_WRLCK});
	/* Across two kinds. */
	set(&l, 25, 34, F_UNLCK);
	ARE({5, 24, F_RDLCK}, {35, 39, F_WRLCK});
	set(&l, 20, 36, F_WRLCK);
	ARE({5, 19, F_RDLCK}, {20, 39, F_WRLCK});
	/* To the end, over everything. */
	set(&l, 100, END, F_RDLCK);
	set(&l, 0, END, F_WRLCK);
	ARE({0, END, F_WRLCK});
	set(&l, END, END, F_UNLCK);
	set(&l, 0, 0, F_UNLCK);
	ARE({1, END - 1, F_WRLCK});
	assert_null(lock_range_find(&l, 0));
	assert_ptr_equal(lock_range_find(&l, END - 1), &l.at[0]);
	assert_null(lock_range_find(&l, END));
	lock_range_free(&l, &budget);
	assert_true(budget > 0);
	assert_null(l.at);
}

/* Against a map of single bytes. */
static void test_random(void **state)
{
	static const uint32_t types[] = {F_RDLCK, F_WRLCK, F_UNLCK};
	struct lock_ranges l = {0};
	uint8_t map[64];
	uint32_t budget = 0;

	(void)state;
	srand(7);
	memset(map, F_UNLCK, sizeof(map));
	for (unsigned int i = 0; i < 100000; i++) {
		uint64_t a = (uint64_t)rand() % sizeof(map), b = (uint64_t)rand() % sizeof(map);
		uint32_t type = types[rand() % 3];

		set(&l, MIN(a, b), MAX(a, b), type);
		memset(map + MIN(a, b), (int)type, MAX(a, b) - MIN(a, b) + 1);
		for (uint64_t at = 0; at < sizeof(map); at++) {
			const struct lock_range *r = lock_range_find(&l, at);

			assert_int_equal(r ? r->type : F_UNLCK, map[at]);
		}
		for (uint32_t j = 1; j < l.n; j++) {
			assert_true(l.at[j - 1].end < l.at[j].start);
			assert_true(l.at[j - 1].end + 1 < l.at[j].start ||
				    l.at[j - 1].type != l.at[j].type);
		}
	}
	lock_range_free(&l, &budget);
}

static void test_budget(void **state)
{
	struct lock_ranges l = {0}, other = {0};
	uint32_t budget = 10, spent = 0;

	(void)state;
	/* Changes under way hold room, too. */
	while (lock_range_reserve(&l, 1, 1, F_RDLCK, &budget) == 0)
		spent++;
	assert_int_equal(spent, 5);
	assert_int_equal(lock_range_reserve(&other, 1, 1, F_RDLCK, &budget), -ENOLCK);
	for (uint32_t i = 0; i < spent; i++)
		lock_range_cancel(&l);
	for (uint64_t i = 0; lock_range_reserve(&l, i, i + 9, F_WRLCK, &budget) == 0; i += 20)
		lock_range_set(&l, i, i + 9, F_WRLCK);
	assert_int_equal(l.n, 9);
	/* What is locked can be unlocked, but for the middle of something. */
	assert_int_equal(lock_range_reserve(&l, 5, 5, F_UNLCK, &budget), -ENOLCK);
	assert_int_equal(lock_range_reserve(&l, 5, 5, F_RDLCK, &budget), -ENOLCK);
	assert_int_equal(lock_range_reserve(&l, 5, 9, F_UNLCK, &budget), 0);
	lock_range_set(&l, 5, 9, F_UNLCK);
	assert_int_equal(lock_range_reserve(&l, 20, 22, F_UNLCK, &budget), 0);
	lock_range_set(&l, 20, 22, F_UNLCK);
	assert_int_equal(l.n, 9);
	assert_int_equal(l.at[0].end, 4);
	assert_int_equal(l.at[1].start, 23);
	/* Without a reserve: never more than there is room for. */
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(lock_range_reserve(&l, 200, 300, F_UNLCK, &budget), 0);
	for (uint64_t i = 0; i < 5; i++)
		lock_range_set(&l, 20 * i + 24, 20 * i + 24, F_UNLCK);
	assert_int_equal(l.n, 10);
	assert_int_equal(lock_range_reserve(&l, 0, END, F_UNLCK, &budget), 0);
	lock_range_set(&l, 0, END, F_UNLCK);
	assert_int_equal(l.n, 0);
	lock_range_free(&l, &budget);
	assert_int_equal(budget, 10);
	assert_int_equal(lock_range_reserve(&other, 1, 2, F_RDLCK, &budget), 0);
	lock_range_free(&other, &budget);
	assert_non_null(other.at);
	lock_range_set(&other, 1, 2, F_RDLCK);
	lock_range_free(&other, &budget);
	assert_int_equal(budget, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
