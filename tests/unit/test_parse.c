// SPDX-License-Identifier: Apache-2.0
/* Numbers and words in options. */
/* Theory of operation: tables of strings and what they must give. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "parse.h"
#include "util.h"

static void numbers(void **state)
{
	static const struct {
		const char *s;
		uint64_t max;
		int r;
		uint64_t value;
	} cases[] = {
		{"0", 0, 0, 0},
		{"7", 10, 0, 7},
		{"10", 10, 0, 10},
		{"11", 10, -ERANGE, 0},
		{"007", 10, 0, 7},
		{"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
		{"18446744073709551616", UINT64_MAX, -ERANGE, 0},
		{"99999999999999999999999", UINT64_MAX, -ERANGE, 0},
		{"99999999999999999999999x", UINT64_MAX, -EINVAL, 0},
		{"000000000000000000000000000001", 1, 0, 1},
		{"", UINT64_MAX, -EINVAL, 0},
		{" 1", UINT64_MAX, -EINVAL, 0},
		{"1 ", UINT64_MAX, -EINVAL, 0},
		{"-1", UINT64_MAX, -EINVAL, 0},
		{"+1", UINT64_MAX, -EINVAL, 0},
		{"0x10", UINT64_MAX, -EINVAL, 0},
		{"1k", UINT64_MAX, -EINVAL, 0},
		{"1.0", UINT64_MAX, -EINVAL, 0},
		{"\xd9\xa1", UINT64_MAX, -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t v = 4711;

		assert_int_equal(parse_u64(cases[i].s, cases[i].max, &v), cases[i].r);
		assert_int_equal(v, cases[i].r ? 4711 : cases[i].value);
	}
}

static void words(void **state)
{
	static const char *const list[] = {"auto", "always", "never", NULL};
	static const char *const none[] = {NULL};

	(void)state;
	assert_int_equal(parse_word("auto", list), 0);
	assert_int_equal(parse_word("never", list), 2);
	assert_int_equal(parse_word("neve", list), -EINVAL);
	assert_int_equal(parse_word("nevers", list), -EINVAL);
	assert_int_equal(parse_word("Never", list), -EINVAL);
	assert_int_equal(parse_word("", list), -EINVAL);
	assert_int_equal(parse_word("auto", none), -EINVAL);
}

static void sizes(void **state)
{
	static const struct {
		const char *s;
		uint64_t v;
	} good[] = {
		{"0", 0},
		{"4096", 4096},
		{"1K", 1024},
		{"0M", 0},
		{"3M", UINT64_C(3) << 20},
		{"17G", UINT64_C(17) << 30},
		{"8589934591G", UINT64_C(8589934591) << 30},
	};
	static const char *const bad[] = {"", "K", "M1", "1k", "1KK", "1T", "-1M", " 1M", "1M "};
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(parse_size(good[i].s, INT64_MAX, &v), 0);
		assert_true(v == good[i].v);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_size(bad[i], INT64_MAX, &v), -EINVAL);
	assert_int_equal(parse_size("8589934592G", INT64_MAX, &v), -ERANGE);
	assert_int_equal(parse_size("99999999999999999999G", INT64_MAX, &v), -ERANGE);
	assert_int_equal(parse_size("2K", 2047, &v), -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(words),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
