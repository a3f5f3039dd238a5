// SPDX-License-Identifier: Apache-2.0
/* Tests of what is resident. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those before it. */
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resident.h"
#include "util.h"

#define PIECE (60u << 10) /* less than what the C library maps by itself */

/* As code is: in the program's file, and not changed. */
static const uint8_t constant[1 << 20] = {1, 2, 3};

/* Resident KiB of the mapping that has it. */
static unsigned long constant_rss(void)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long start, end, rss = 0;
	bool here = false;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= (uintptr_t)constant && (uintptr_t)constant < end;
		else if (here && sscanf(line, "Rss: %lu kB", &rss) == 1)
			break;
	}
	fclose(f);
	return rss;
}

static void code_goes(void **state)
{
	const volatile uint8_t *p = constant;

	(void)state;
	for (size_t at = 0; at < sizeof(constant); at += 4096)
		assert_int_equal(p[at], at == 0);
	assert_true(constant_rss() >= sizeof(constant) / 1024);
	resident_trim();
	assert_true(constant_rss() < sizeof(constant) / 1024 / 2);
	/* It is there when it is used. */
	assert_int_equal(p[1], 2);
}

static int relocated(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Data and relocated pointers are what they were. */
static void data_stay(void **state)
{
	static int (*const compare)(const void *, const void *) = relocated;
	static int numbers[] = {3, 1, 2};
	uint8_t *pieces[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		pieces[i] = malloc(PIECE);
		assert_non_null(pieces[i]);
		memset(pieces[i], (int)i, PIECE);
	}
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i += 2)
		free(pieces[i]);
	resident_trim();
	qsort(numbers, ARRAY_SIZE(numbers), sizeof(numbers[0]), compare);
	assert_int_equal(numbers[0], 1);
	assert_int_equal(numbers[2], 3);
	for (size_t i = 1; i < ARRAY_SIZE(pieces); i += 2) {
		for (size_t at = 0; at < PIECE; at++)
			assert_int_equal(pieces[i][at], i);
		free(pieces[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(code_goes),
		cmocka_unit_test(data_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
