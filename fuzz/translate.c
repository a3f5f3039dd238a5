// SPDX-License-Identifier: Apache-2.0
/* Fuzzing target: rules that translate ids, ids, and ACLs with ids in them. */
/*
 * Theory of operation
 *
 * The input is a program: rules are added, ids and ACLs are translated. Rules are made of a word and numbers
 * here, or are any text. What is made here is kept in a list too, and every id is looked up in that list as
 * well, by the definition and without bisection: both must say the same.
 */
#include <endian.h>
#include <errno.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "pt_impl.h"
#include "util.h"

#define RULES_MAX 64u

struct rule {
	bool gids;
	unsigned int word;
	uint32_t first, to, count;
};

static const struct word {
	const char *text;
	bool from_guest, from_host, squash, forbid;
} words[] = {
	{"guest", .from_guest = true},
	{"host", .from_host = true},
	{"map", .from_guest = true, .from_host = true},
	{"squash-guest", .from_guest = true, .squash = true},
	{"squash-host", .from_host = true, .squash = true},
	{"forbid-guest", .from_guest = true, .forbid = true},
};

static struct rule rules[RULES_MAX];
static unsigned int n_rules;
static bool texts; /* rules that the list does not know of */
static struct pt pt;

void target_init(void)
{
}

static struct idmap *map_of(bool gids)
{
	return gids ? &pt.conf.gids : &pt.conf.uids;
}

/* By the definition; 1: no rule says anything. */
static int wanted(bool gids, bool to_host, uint32_t id, uint32_t *ret)
{
	int found = 1;

	*ret = id;
	for (unsigned int i = 0; i < n_rules; i++) {
		const struct rule *r = &rules[i];
		const struct word *w = &words[r->word];
		bool both = w->from_guest && w->from_host;
		uint32_t first = both && !to_host ? r->to : r->first;
		uint32_t to = both && !to_host ? r->first : r->to;

		if (r->gids != gids || !(to_host ? w->from_guest : w->from_host))
			continue;
		if (id < first || id - first >= r->count)
			continue;
		/* Rules of one direction do not overlap. */
		MUST(found == 1);
		found = w->forbid ? -EPERM : 0;
		if (!w->forbid)
			*ret = w->squash ? to : to + (id - first);
	}
	return found;
}

static void look_up(bool gids, uint32_t id)
{
	uint32_t host = id, guest = idmap_to_guest(map_of(gids), id), want;
	int r = idmap_to_host(map_of(gids), id, &host);

	MUST(r == 0 || r == -EPERM);
	/* "Leave it as it is" is never what an id becomes. */
	MUST(id == UINT32_MAX || ((r < 0 || host != UINT32_MAX) && guest != UINT32_MAX));
	if (texts)
		return;
	MUST((wanted(gids, true, id, &want) == -EPERM) == (r == -EPERM));
	MUST(r < 0 || host == want);
	wanted(gids, false, id, &want);
	MUST(guest == want);
}

static uint32_t odd_id(struct feed *f)
{
	return feed_one_in(f, 4) ? (uint32_t)feed_odd64(f) : feed_u8(f);
}

static void add_rule(struct feed *f)
{
	struct rule r = {.gids = feed_below(f, 2), .word = feed_below(f, ARRAY_SIZE(words))};
	char spec[80], err[160] = "", by = ":.,/ "[feed_below(f, 5)];
	const struct word *w = &words[r.word];

	r.first = odd_id(f);
	r.to = odd_id(f);
	r.count = odd_id(f);
	if (w->forbid)
		snprintf(spec, sizeof(spec), "%s%c%u%c%u", w->text, by, r.first, by, r.count);
	else
		snprintf(spec, sizeof(spec), "%s%c%u%c%u%c%u", w->text, by, r.first, by, r.to, by,
			 r.count);
	if (n_rules < RULES_MAX && idmap_add(map_of(r.gids), spec, err, sizeof(err)) == 0)
		rules[n_rules++] = r;
}

static void add_text(struct feed *f)
{
	bool gids = feed_below(f, 2);
	char *spec = feed_text(f, '\0', 100), err[160] = "";
	int r = idmap_add(map_of(gids), spec, err, sizeof(err));

	MUST(r == 0 || r == -EINVAL);
	if (r < 0)
		MUST(*err && !strchr(err, '\n'));
	texts |= r == 0;
	free(spec);
}

static void translate_acl(struct feed *f)
{
	size_t size = feed_u8(f);
	uint8_t *value = malloc(size ? size : 1);
	void *host = NULL;
	int r;

	MUST(value);
	feed_bytes(f, value, size);
	if (size >= 4 && !feed_one_in(f, 8))
		*(uint32_t *)(void *)value = htole32(POSIX_ACL_XATTR_VERSION);
	r = pt_acl_to_host(&pt, value, size, &host);
	MUST(r <= 0);
	if (r == 0)
		free(host);
	r = pt_acl_to_guest(&pt, value, size);
	MUST(r == 0 || r == -EIO);
	free(value);
}

void target_run(struct feed *f)
{
	n_rules = 0;
	texts = false;
	while (f->left) {
		switch (feed_below(f, 8)) {
		case 0:
			add_text(f);
			break;
		case 1:
		case 2:
		case 3:
			add_rule(f);
			break;
		case 4:
			translate_acl(f);
			break;
		default:
			look_up(feed_below(f, 2), odd_id(f));
			break;
		}
	}
	for (unsigned int i = 0; i < n_rules; i++) {
		look_up(rules[i].gids, rules[i].first);
		look_up(rules[i].gids, rules[i].first - 1);
		look_up(rules[i].gids, rules[i].to + rules[i].count);
		look_up(rules[i].gids, rules[i].first + rules[i].count - 1);
	}
	idmap_done(&pt.conf.uids);
	idmap_done(&pt.conf.gids);
}
