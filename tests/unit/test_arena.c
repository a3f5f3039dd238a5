// SPDX-License-Identifier: Apache-2.0
/* The arena and its cells. */
/*
 * Theory of operation
 *
 * Cells are checked by content: every string that is kept carries bytes of its own, and is compared
 * before it is dropped, so two runs that overlap are noticed. Counting what fits at once shows that
 * nothing is lost to fragmentation for good.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "arena.h"
#include "rnd.h"
#include "util.h"

static void carving(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct arena a;
	uint8_t *one, *two;

	(void)state;
	assert_true(arena_init(&a, "test", 0) < 0);
	assert_true(arena_init(&a, "test", SIZE_MAX) < 0);
	assert_int_equal(arena_init(&a, "test", 4 * page - 1), 0);
	assert_int_equal(a.size, 4 * page);
	one = arena_carve(&a, 1);
	two = arena_carve(&a, page + 1);
	assert_ptr_equal(one, a.base);
	assert_ptr_equal(two, one + page);
	assert_null(arena_carve(&a, page + 1));
	assert_null(arena_carve(&a, 0));
	assert_null(arena_carve(&a, SIZE_MAX));
	assert_ptr_equal(arena_carve(&a, page), two + 2 * page);
	assert_null(arena_carve(&a, 1));
	for (size_t i = 0; i < 4 * page; i++)
		assert_int_equal(a.base[i], 0);
	arena_done(&a);
	assert_int_equal(a.fd, -1);
}

/* Who is handed the descriptor sees the same memory, and nobody can cut it short. */
static void shared_and_sealed(void **state)
{
	struct arena a;
	uint8_t *other;

	(void)state;
	assert_int_equal(arena_init(&a, "test", 8192), 0);
	other = mmap(NULL, a.size, PROT_READ, MAP_SHARED, a.fd, 0);
	assert_ptr_not_equal(other, MAP_FAILED);
	strcpy(arena_carve(&a, 100), "hello");
	assert_string_equal((char *)other, "hello");
	assert_int_equal(ftruncate(a.fd, 0), -1);
	assert_int_equal(ftruncate(a.fd, 1 << 20), -1);
	assert_int_equal(fcntl(a.fd, F_GETFD), FD_CLOEXEC);
	munmap(other, a.size);
	arena_done(&a);
}

#define COUNT 4096
#define KEPT  600

struct kept {
	uint32_t cell;
	uint16_t len;
	uint8_t seed;
};

static void fill(uint8_t *buf, const struct kept *k)
{
	for (unsigned int i = 0; i < k->len; i++)
		buf[i] = (uint8_t)(k->seed + i * 7);
}

static void check(const struct cells *cs, const struct kept *k)
{
	uint8_t want[CELL_LEN_MAX];

	fill(want, k);
	assert_memory_equal(cells_at(cs, k->cell), want, k->len);
}

static void cells_keep_bytes(void **state)
{
	static struct kept kept[KEPT];
	uint8_t buf[CELL_LEN_MAX];
	uint64_t seed = 99;
	unsigned int full = 0;
	struct arena a;
	struct cells cs;

	(void)state;
	assert_int_equal(arena_init(&a, "test", COUNT * CELL_SIZE), 0);
	assert_int_equal(cells_init(&cs, &a, COUNT), 0);
	for (int round = 0; round < 100000; round++) {
		struct kept *k = &kept[rnd_below(&seed, KEPT)];

		if (k->cell) {
			check(&cs, k);
			cells_drop(&cs, k->cell, k->len);
			k->cell = 0;
			continue;
		}
		k->len = (uint16_t)(1 + rnd_below(&seed, rnd_below(&seed, 3) ? 60 : CELL_LEN_MAX));
		k->seed = (uint8_t)rnd(&seed);
		fill(buf, k);
		k->cell = cells_put(&cs, buf, k->len);
		full += !k->cell;
	}
	for (unsigned int i = 0; i < KEPT; i++)
		if (kept[i].cell)
			check(&cs, &kept[i]);
	/* It was filled to the brim now and then, or the test has shown nothing. */
	assert_true(full > 10);
	cells_done(&cs);
	arena_done(&a);
}

/* Fill it with strings of one length; returns how many fit. */
static unsigned int fill_all(struct cells *cs, uint32_t *cell, size_t len)
{
	uint8_t buf[CELL_LEN_MAX] = {0};
	unsigned int n = 0;

	while ((cell[n] = cells_put(cs, buf, len)))
		n++;
	return n;
}

/* Whatever lengths it was full of before, it takes as many of any other afterwards. */
static void cells_do_not_fragment(void **state)
{
	static const size_t lens[] = {1, 16, 17, 1024, 48, 1000, 16, 300, 1, 1024};
	static uint32_t cell[COUNT];
	uint64_t seed = 5;
	struct arena a;
	struct cells cs;

	(void)state;
	assert_int_equal(arena_init(&a, "test", COUNT * CELL_SIZE), 0);
	assert_int_equal(cells_init(&cs, &a, COUNT), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(lens); i++) {
		unsigned int run = (unsigned int)((lens[i] + CELL_SIZE - 1) / CELL_SIZE);
		unsigned int n = fill_all(&cs, cell, lens[i]);

		assert_int_equal(n, (COUNT - 1) / run);
		for (unsigned int left = n; left; left--) {
			unsigned int pick = rnd_below(&seed, left);

			cells_drop(&cs, cell[pick], lens[i]);
			cell[pick] = cell[left - 1];
		}
	}
	cells_done(&cs);
	arena_done(&a);
}

static void cells_limits(void **state)
{
	static const uint8_t buf[CELL_LEN_MAX + 1];
	struct arena a;
	struct cells cs;

	(void)state;
	assert_int_equal(arena_init(&a, "test", 65 * CELL_SIZE), 0);
	assert_int_equal(cells_init(&cs, &a, UINT32_MAX), -ENOMEM);
	assert_int_equal(cells_init(&cs, &a, 65), 0);
	assert_int_equal(cells_put(&cs, buf, 0), 0);
	assert_int_equal(cells_put(&cs, buf, CELL_LEN_MAX + 1), 0);
	assert_int_equal(cells_put(&cs, buf, CELL_LEN_MAX), 1);
	assert_int_equal(cells_put(&cs, buf, 1), 0);
	cells_drop(&cs, 0, 5);
	assert_int_equal(cells_put(&cs, buf, 1), 0);
	cells_drop(&cs, 1, CELL_LEN_MAX);
	assert_int_not_equal(cells_put(&cs, buf, 1), 0);
	cells_done(&cs);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(carving),          cmocka_unit_test(shared_and_sealed),
		cmocka_unit_test(cells_keep_bytes), cmocka_unit_test(cells_do_not_fragment),
		cmocka_unit_test(cells_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
