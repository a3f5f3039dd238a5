// SPDX-License-Identifier: Apache-2.0
/* Ids of users and groups: the guest's and the host's. */
/*
 * Theory of operation
 *
 * Each direction is an array of ranges, sorted by their first id, looked up by bisection. A rule puts
 * one range into one direction, or (map) one into each. The directions know nothing of each other, so
 * a file's owner may come back as another than was set: that is what squashing is.
 *
 * An id without a rule is itself. 2^32-1 is no id but "none" to the kernel; no rule takes it or leads
 * to it, so nothing can be turned into "leave the owner as it is".
 *
 * No locks: the rules are made before there are threads.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "idmap.h"
#include "parse.h"
#include "util.h"

enum kind {
	SHIFT,  /* first is @to, and so on */
	SQUASH, /* all are @to */
	FORBID, /* none can be used */
};

struct idmap_range {
	uint32_t first;
	uint32_t last; /* included */
	uint32_t to;
	enum kind kind;
};

/* What a rule's word means. The first number is where the range begins, the last its length. */
static const struct rule {
	const char *word;
	unsigned int numbers;
	enum kind kind;
	bool from_guest;
	bool from_host;
} rules[] = {
	/* clang-format off */
	{"guest",        3, SHIFT,  .from_guest = true},
	{"host",         3, SHIFT,  .from_host = true},
	{"map",          3, SHIFT,  .from_guest = true, .from_host = true},
	{"squash-guest", 3, SQUASH, .from_guest = true},
	{"squash-host",  3, SQUASH, .from_host = true},
	{"forbid-guest", 2, FORBID, .from_guest = true},
	/* clang-format on */
};

#define NUMBERS_MAX 3u

/* The first range that does not end before @id; d->n if there is none. */
static size_t at_or_after(const struct idmap_dir *d, uint32_t id)
{
	size_t low = 0, high = d->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (d->ranges[mid].last < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static const struct idmap_range *find(const struct idmap_dir *d, uint32_t id)
{
	size_t i = at_or_after(d, id);

	return i < d->n && d->ranges[i].first <= id ? &d->ranges[i] : NULL;
}

static bool overlaps(const struct idmap_dir *d, const struct idmap_range *r)
{
	size_t i = at_or_after(d, r->first);

	return i < d->n && d->ranges[i].first <= r->last;
}

/* Room for one more, so that an insertion cannot fail. */
static int make_room(struct idmap_dir *d)
{
	struct idmap_range *ranges = reallocarray(d->ranges, d->n + 1, sizeof(*ranges));

	if (!ranges)
		return -ENOMEM;
	d->ranges = ranges;
	return 0;
}

static void insert(struct idmap_dir *d, const struct idmap_range *r)
{
	size_t i = at_or_after(d, r->first);

	memmove(d->ranges + i + 1, d->ranges + i, (d->n - i) * sizeof(*r));
	d->ranges[i] = *r;
	d->n++;
}

/* Bytes of the word that @spec begins with; the one behind it separates it from the numbers. */
static size_t word_len(const char *spec)
{
	size_t len = 0;

	while (isalnum((unsigned char)spec[len]) || spec[len] == '-' || spec[len] == '_')
		len++;
	return len;
}

static const struct rule *find_rule(const char *spec, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (strlen(rules[i].word) == len && strncasecmp(rules[i].word, spec, len) == 0)
			return &rules[i];
	return NULL;
}

/* Exactly @n numbers, each behind the same byte. */
static int numbers(const char *s, unsigned int n, uint32_t *ret)
{
	const char apart[] = {*s, '\0'};

	for (unsigned int i = 0; i < n; i++) {
		char word[16];
		uint64_t v;
		size_t len;

		if (!*s || *s++ != apart[0])
			return -EINVAL;
		len = strcspn(s, apart);
		if (len >= sizeof(word))
			return -EINVAL;
		memcpy(word, s, len);
		word[len] = '\0';
		if (parse_u64(word, UINT32_MAX, &v) < 0)
			return -EINVAL;
		ret[i] = (uint32_t)v;
		s += len;
	}
	return *s ? -EINVAL : 0;
}

/* @n ids from @first on exist. */
static bool are_ids(uint32_t first, uint32_t n)
{
	return (uint64_t)first + n <= UINT32_MAX;
}

int idmap_add(struct idmap *m, const char *spec, char *err, size_t size)
{
	struct idmap_range guest, host;
	uint32_t v[NUMBERS_MAX] = {0}, count, to;
	size_t len = word_len(spec);
	const struct rule *rule = find_rule(spec, len);
	const char *wrong = NULL;
	int r = -EINVAL;

	if (!rule) {
		snprintf(err, size,
			 "the rules are guest, host, map, squash-guest, squash-host and "
			 "forbid-guest");
		return r;
	}
	if (numbers(spec + len, rule->numbers, v) < 0) {
		snprintf(err, size, "%s takes %u numbers from 0 to 4294967295", rule->word,
			 rule->numbers);
		return r;
	}
	to = rule->kind == FORBID ? 0 : v[1];
	count = v[rule->numbers - 1];
	if (!are_ids(v[0], count) ||
	    !are_ids(to, rule->kind == SHIFT ? count : (uint32_t)(count > 0))) {
		snprintf(err, size, "the last id there is, is 4294967294");
		return r;
	}
	if (count == 0)
		return 0;
	guest = (struct idmap_range){v[0], v[0] + count - 1, to, rule->kind};
	/* A rule for both names the guest's first. */
	host = rule->from_guest ? (struct idmap_range){to, to + count - 1, v[0], rule->kind}
				: guest;
	if (rule->from_guest && overlaps(&m->to_host, &guest))
		wrong = "guest";
	else if (rule->from_host && overlaps(&m->to_guest, &host))
		wrong = "host";
	if (wrong) {
		snprintf(err, size, "an earlier rule has some of these ids of the %s already",
			 wrong);
		return r;
	}
	r = rule->from_guest ? make_room(&m->to_host) : 0;
	if (r == 0 && rule->from_host)
		r = make_room(&m->to_guest);
	if (r < 0) {
		snprintf(err, size, "out of memory");
		return r;
	}
	if (rule->from_guest)
		insert(&m->to_host, &guest);
	if (rule->from_host)
		insert(&m->to_guest, &host);
	return 0;
}

void idmap_done(struct idmap *m)
{
	free(m->to_host.ranges);
	free(m->to_guest.ranges);
	*m = (struct idmap){0};
}

static uint32_t apply(const struct idmap_range *r, uint32_t id)
{
	return r->kind == SHIFT ? r->to + (id - r->first) : r->to;
}

int idmap_to_host(const struct idmap *m, uint32_t id, uint32_t *ret)
{
	const struct idmap_range *r = likely(m->to_host.n == 0) ? NULL : find(&m->to_host, id);

	if (r && r->kind == FORBID)
		return -EPERM;
	*ret = r ? apply(r, id) : id;
	return 0;
}

uint32_t idmap_to_guest(const struct idmap *m, uint32_t id)
{
	const struct idmap_range *r = likely(m->to_guest.n == 0) ? NULL : find(&m->to_guest, id);

	return r ? apply(r, id) : id;
}
