// SPDX-License-Identifier: Apache-2.0
/* Rules for ids: what they mean, which are refused, and that looking up finds what was said. */
/*
 * Theory of operation
 *
 * Tables of rules and ids; then random rules, each of which is also kept in a plain list that is
 * searched from one end to the other. Both must take the same rules and give the same ids.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "idmap.h"
#include "rnd.h"
#include "util.h"

#define NONE UINT32_MAX
#define LAST (UINT32_MAX - 1)

static int add(struct idmap *m, const char *spec)
{
	char err[128] = "";
	int r = idmap_add(m, spec, err, sizeof(err));

	assert_true(r == 0 ? err[0] == '\0' : err[0] != '\0');
	assert_null(strchr(err, '\n'));
	return r;
}

/* -EPERM as an id that there is not. */
static uint32_t to_host(const struct idmap *m, uint32_t id)
{
	uint32_t host = NONE;
	int r = idmap_to_host(m, id, &host);

	assert_true(r == 0 || r == -EPERM);
	return host;
}

static void meaning(void **state)
{
	static const struct {
		const char *spec;
		uint32_t guest, host_of_it; /* NONE: forbidden */
		uint32_t host, guest_of_it;
	} cases[] = {
		{"guest:10:1000:5", 10, 1000, 1000, 1000},
		{"guest:10:1000:5", 14, 1004, 1004, 1004},
		{"guest:10:1000:5", 15, 15, 10, 10},
		{"guest:10:1000:5", 9, 9, 14, 14},
		{"host:1000:10:5", 10, 10, 1000, 10},
		{"host:1000:10:5", 1000, 1000, 1004, 14},
		{"host:1000:10:5", 14, 14, 1005, 1005},
		{"host:1000:10:5", 0, 0, 999, 999},
		{"map:10:1000:5", 12, 1002, 1002, 12},
		{"map:10:1000:5", 15, 15, 1005, 1005},
		{"squash-guest:10:1000:5", 10, 1000, 1000, 1000},
		{"squash-guest:10:1000:5", 14, 1000, 10, 10},
		{"squash-guest:10:1000:5", 15, 15, 15, 15},
		{"squash-host:1000:10:5", 10, 10, 1000, 10},
		{"squash-host:1000:10:5", 1004, 1004, 1004, 10},
		{"squash-host:1000:10:5", 1005, 1005, 1005, 1005},
		{"forbid-guest:10:5", 10, NONE, 10, 10},
		{"forbid-guest:10:5", 14, NONE, 14, 14},
		{"forbid-guest:10:5", 15, 15, 15, 15},
		{"forbid-guest:10:5", 9, 9, 9, 9},
		{"map:0:100000:1", 0, 100000, 100000, 0},
		{"map:4294967294:7:1", LAST, 7, 7, LAST},
		{"map:7:4294967294:1", 7, LAST, LAST, 7},
		{"map:0:0:4294967295", LAST, LAST, LAST, LAST},
		{"squash-guest:0:107:4294967295", LAST, 107, 0, 0},
		{"squash-guest:0:107:4294967295", 0, 107, LAST, LAST},
		{"squash-guest:0:107:4294967295", 107, 107, 107, 107},
		{"forbid-guest:0:4294967295", LAST, NONE, LAST, LAST},
		{"squash-host:0:4294967294:4294967295", 3, 3, LAST, LAST},
		/* Other separators. */
		{"map,10,1000,5", 12, 1002, 1002, 12},
		{"Squash-Guest/10/1000/5", 14, 1000, 10, 10},
		/* Without effect. */
		{"map:5:6:0", 5, 5, 6, 6},
		{"guest:5:4294967295:0", 5, 5, 5, 5},
		{"squash-guest:5:4294967295:0", 5, 5, 5, 5},
		{"forbid-guest:0:0", 0, 0, 0, 0},
		{"forbid-guest:4294967295:0", LAST, LAST, LAST, LAST},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct idmap m = {0};
		uint32_t none;

		print_message("%s\n", cases[i].spec);
		assert_int_equal(add(&m, cases[i].spec), 0);
		assert_int_equal(to_host(&m, cases[i].guest), cases[i].host_of_it);
		assert_int_equal(idmap_to_guest(&m, cases[i].host), cases[i].guest_of_it);
		/* What is no id stays that. */
		assert_int_equal(idmap_to_host(&m, NONE, &none), 0);
		assert_int_equal(none, NONE);
		assert_int_equal(idmap_to_guest(&m, NONE), NONE);
		idmap_done(&m);
		assert_int_equal(to_host(&m, cases[i].guest), cases[i].guest);
		idmap_done(&m);
	}
}

static void refused(void **state)
{
	static const char *const specs[] = {
		"",
		":",
		"map",
		"map:",
		"map:1",
		"map:1:2",
		"map:1:2:",
		"map:1:2:3:",
		"map:1:2:3:4",
		"map::2:3",
		"map:1::3",
		" map:1:2:3",
		"map :1:2:3",
		"map:-1:2:3",
		"map:+1:2:3",
		"map:0x1:2:3",
		"map:1:2:3 ",
		"map,1:2,3",
		"map1:2:3",
		"ma:1:2:3",
		"maps:1:2:3",
		"squash:1:2:3",
		"forbid-host:1:2",
		"forbid-guest:1",
		"forbid-guest:1:2:3",
		"map:4294967296:0:0",
		"map:0:0:4294967296",
		"map:00000000000000001:2:3",
		/* Beyond the last id. */
		"map:4294967295:0:1",
		"map:0:4294967295:1",
		"map:1:0:4294967295",
		"map:0:1:4294967295",
		"guest:0:1:4294967295",
		"host:4294967290:0:6",
		"squash-guest:1:107:4294967295",
		"squash-guest:0:4294967295:1",
		"squash-host:0:4294967295:1",
		"forbid-guest:4294967295:1",
		"forbid-guest:2001:4294967295",
	};
	struct idmap m = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		print_message("'%s'\n", specs[i]);
		assert_int_equal(add(&m, specs[i]), -EINVAL);
		assert_int_equal(m.to_host.n + m.to_guest.n, 0);
	}
	idmap_done(&m);
}

static void overlapping(void **state)
{
	struct idmap m = {0};

	(void)state;
	assert_int_equal(add(&m, "map:100:1100:10"), 0);
	/* Of the guest's: 100 to 109. */
	assert_int_equal(add(&m, "guest:109:0:1"), -EINVAL);
	assert_int_equal(add(&m, "squash-guest:100:0:1"), -EINVAL);
	assert_int_equal(add(&m, "forbid-guest:0:101"), -EINVAL);
	assert_int_equal(add(&m, "forbid-guest:105:1"), -EINVAL);
	assert_int_equal(add(&m, "forbid-guest:0:4294967295"), -EINVAL);
	/* Of the host's: 1100 to 1109. */
	assert_int_equal(add(&m, "host:1109:0:1"), -EINVAL);
	assert_int_equal(add(&m, "squash-host:1000:0:101"), -EINVAL);
	/* One that overlaps in one direction has no effect in the other either. */
	assert_int_equal(add(&m, "map:200:1105:1"), -EINVAL);
	assert_int_equal(to_host(&m, 200), 200);
	assert_int_equal(add(&m, "map:105:3000:1"), -EINVAL);
	assert_int_equal(idmap_to_guest(&m, 3000), 3000);
	/* Next to it, of the other direction, to the same ids, or empty: no overlap. */
	assert_int_equal(add(&m, "forbid-guest:0:100"), 0);
	assert_int_equal(add(&m, "squash-guest:110:1100:4294967185"), 0);
	assert_int_equal(add(&m, "host:100:0:10"), 0);
	assert_int_equal(add(&m, "forbid-guest:105:0"), 0);
	assert_int_equal(add(&m, "forbid-guest:99:1"), -EINVAL);
	assert_int_equal(to_host(&m, 99), NONE);
	assert_int_equal(to_host(&m, 100), 1100);
	assert_int_equal(to_host(&m, 110), 1100);
	assert_int_equal(to_host(&m, LAST), 1100);
	assert_int_equal(idmap_to_guest(&m, 1100), 100);
	assert_int_equal(idmap_to_guest(&m, 100), 0);
	idmap_done(&m);
}

/* The plain list. */
struct said {
	char word;
	uint64_t from, to, n;
};

static bool has(const struct said *s, uint64_t id)
{
	return id >= s->from && id < s->from + s->n;
}

static bool meets(const struct said *list, size_t n, const struct said *s)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].n && s->n && list[i].from < s->from + s->n &&
		    s->from < list[i].from + list[i].n)
			return true;
	return false;
}

static uint32_t plain(const struct said *list, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (has(&list[i], id))
			return list[i].word == 'f'   ? NONE
			       : list[i].word == 's' ? (uint32_t)list[i].to
						     : (uint32_t)(list[i].to + id - list[i].from);
	return id;
}

/* Small ids most of the time, so that they meet; sometimes the very last ones. */
static uint32_t any_id(uint64_t *r)
{
	return rnd_below(r, 8) ? rnd_below(r, 300) : LAST - rnd_below(r, 300);
}

static void random_rules(void **state)
{
	static const char *const words[] = {"guest",        "host",        "map",
					    "squash-guest", "squash-host", "forbid-guest"};
	uint64_t r = 20;
	size_t taken = 0, not_taken = 0;

	(void)state;
	for (unsigned int round = 0; round < 400; round++) {
		struct said guest[40], host[40];
		size_t guests = 0, hosts = 0;
		struct idmap m = {0};

		for (unsigned int i = 0; i < 40; i++) {
			unsigned int w = rnd_below(&r, ARRAY_SIZE(words));
			uint32_t a = any_id(&r), b = any_id(&r), n = rnd_below(&r, 20);
			char kind = w >= 5 ? 'f' : w >= 3 ? 's' : 'm';
			bool from_guest = w == 0 || w == 2 || w == 3 || w == 5;
			bool from_host = w == 1 || w == 2 || w == 4;
			struct said g = {kind, a, b, n}, h = g;
			bool ok =
				(uint64_t)a + n <= NONE && (kind != 'm' || (uint64_t)b + n <= NONE);
			char spec[80];

			if (w == 2)
				h = (struct said){kind, b, a, n};
			if (w == 5)
				snprintf(spec, sizeof(spec), "%s:%u:%u", words[w], a, n);
			else
				snprintf(spec, sizeof(spec), "%s:%u:%u:%u", words[w], a, b, n);
			if (ok && from_guest)
				ok = !meets(guest, guests, &g);
			if (ok && from_host)
				ok = !meets(host, hosts, &h);
			assert_int_equal(add(&m, spec), ok ? 0 : -EINVAL);
			taken += ok;
			not_taken += !ok;
			if (ok && from_guest)
				guest[guests++] = g;
			if (ok && from_host)
				host[hosts++] = h;
		}
		for (uint32_t id = 0; id < 640; id++) {
			uint32_t at = id < 320 ? id : NONE - (id - 320);

			assert_int_equal(to_host(&m, at), plain(guest, guests, at));
			assert_int_equal(idmap_to_guest(&m, at), plain(host, hosts, at));
		}
		idmap_done(&m);
	}
	/* Both happen, or nothing was tried. */
	assert_true(taken > 1000 && not_taken > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(meaning),
		cmocka_unit_test(refused),
		cmocka_unit_test(overlapping),
		cmocka_unit_test(random_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
