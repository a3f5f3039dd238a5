// SPDX-License-Identifier: Apache-2.0
/* Rules for names of extended attributes: the language, both directions, lists, and rules by chance. */
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

#include "rnd.h"
#include "util.h"
#include "xattrmap.h"

static struct xattrmap *good(const char *rules)
{
	struct xattrmap *m = NULL;
	char err[200] = "";

	if (xattrmap_new(rules, &m, err, sizeof(err)) < 0)
		fail_msg("'%s': %s", rules, err);
	assert_non_null(m);
	return m;
}

/* Refused, and the line says @says, a place in the rules among it. */
static void bad(const char *rules, const char *says)
{
	struct xattrmap *m = NULL;
	char err[200] = "";

	if (xattrmap_new(rules, &m, err, sizeof(err)) != -EINVAL)
		fail_msg("'%s' is accepted", rules);
	assert_null(m);
	if (!strstr(err, says) || strchr(err, '\n'))
		fail_msg("'%s': '%s' lacks '%s'", rules, err, says);
}

static void client_is(const struct xattrmap *m, const char *name, const char *host)
{
	char got[XATTRMAP_NAME_SIZE];

	memset(got, 'x', sizeof(got));
	assert_int_equal(xattrmap_client(m, name, got), 0);
	assert_string_equal(got, host);
}

static void client_fails(const struct xattrmap *m, const char *name, int error)
{
	char got[XATTRMAP_NAME_SIZE];

	assert_int_equal(xattrmap_client(m, name, got), error);
}

/* Lists have a space where a NUL belongs. On the heap, so that a step too far is seen. */
static void list_is(const struct xattrmap *m, const char *host, const char *guest)
{
	size_t len = strlen(host), want = strlen(guest), got;
	char *list = malloc(len + 1);

	assert_non_null(list);
	memcpy(list, host, len + 1);
	list = realloc(list, len ? len : 1);
	assert_non_null(list);
	for (size_t i = 0; i < len; i++)
		if (list[i] == ' ')
			list[i] = '\0';
	got = xattrmap_list(m, list, len);
	for (size_t i = 0; i < got; i++)
		if (!list[i])
			list[i] = ' ';
	if (got != want || memcmp(list, guest, want) != 0)
		fail_msg("'%s' gives '%.*s', not '%s'", host, (int)got, list, guest);
	free(list);
}

static void everything_passes(void **state)
{
	struct xattrmap *m = good(":ok:all:::");

	(void)state;
	client_is(m, "user.a", "user.a");
	client_is(m, "trusted.overlay.opaque", "trusted.overlay.opaque");
	list_is(m, "user.a security.selinux ", "user.a security.selinux ");
	list_is(m, "", "");
	xattrmap_free(m);
	xattrmap_free(NULL);
}

static void all_get_a_prefix(void **state)
{
	static const char *const same[] = {
		":map::user.virtiofs.:",
		"  \t\n:map::user.virtiofs.: \n",
		":prefix:all::user.virtiofs.::bad:all:::",
		"#prefix#all##user.virtiofs.#\n/bad/all///",
		":prefix:client::user.virtiofs.: :prefix:server::user.virtiofs.: :bad:all:::",
		"mprefixmallmmuser.virtiofs.m xbadxallxxx",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		struct xattrmap *m = good(same[i]);

		client_is(m, "trusted.a", "user.virtiofs.trusted.a");
		client_is(m, "user.virtiofs.b", "user.virtiofs.user.virtiofs.b");
		list_is(m,
			"user.virtiofs.trusted.a user.mine security.selinux user.virtiofs.user.b ",
			"trusted.a user.b ");
		/* A name that is nothing but the prefix is none of the guest's. */
		list_is(m, "user.virtiofs. user.virtiofs.x ", "x ");
		xattrmap_free(m);
	}
}

static void one_class_gets_a_prefix(void **state)
{
	static const char *const same[] = {
		"/map/trusted./user.v./",
		"/prefix/all/trusted./user.v./ /bad/server//trusted./ /bad/client/user.v.// "
		"/ok/all///",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		struct xattrmap *m = good(same[i]);

		client_is(m, "trusted.overlay.opaque", "user.v.trusted.overlay.opaque");
		client_is(m, "user.a", "user.a");
		client_is(m, "security.capability", "security.capability");
		/* Not by the real name: a user of the guest may set user.*, but not trusted.*. */
		client_fails(m, "user.v.trusted.overlay.opaque", -EPERM);
		list_is(m, "user.v.trusted.x trusted.host user.a ", "trusted.x user.a ");
		xattrmap_free(m);
	}
}

static void the_first_rule_decides(void **state)
{
	struct xattrmap *m =
		good(":ok:client:user.a:: :bad:client:user.:: :unsupported:client:sec::"
		     ":ok:server::user.a: :bad:server::user.: :unsupported:server::sec:"
		     ":ok:all:::");

	(void)state;
	client_is(m, "user.a", "user.a");
	client_is(m, "user.abc", "user.abc");
	client_fails(m, "user.b", -EPERM);
	client_fails(m, "security.x", -EOPNOTSUPP);
	client_is(m, "other", "other");
	list_is(m, "user.a user.b security.x other user.abc ", "user.a other user.abc ");
	xattrmap_free(m);
}

/* A rule for one direction says nothing of the other. */
static void scopes(void **state)
{
	struct xattrmap *m = good(":prefix:client:a:x.: :prefix:server:a:y.: :ok:all:::");

	(void)state;
	client_is(m, "ab", "x.ab");
	client_is(m, "y.ab", "y.ab");
	list_is(m, "x.ab y.ab ", "x.ab ab ");
	xattrmap_free(m);
	/* Key and prepend of "all" are two tests. */
	m = good(":bad:all:k:p: :ok:all:::");
	client_fails(m, "kx", -EPERM);
	client_is(m, "px", "px");
	list_is(m, "kx px ", "kx ");
	xattrmap_free(m);
}

static void white_space(void **state)
{
	struct xattrmap *m = good("\n:bad:client:with space::\n\n\t/ok/all///\v\f\r ");

	(void)state;
	client_fails(m, "with space", -EPERM);
	client_is(m, "with", "with");
	xattrmap_free(m);
	/* Next to each other, too, and a separator of its own for each. */
	m = good(":ok:client:::|ok|server|||");
	client_is(m, "a", "a");
	list_is(m, "a ", "a ");
	xattrmap_free(m);
}

static void long_names(void **state)
{
	struct xattrmap *m = good(":map::user.v.:");
	char name[XATTRMAP_NAME_SIZE + 1], host[XATTRMAP_NAME_SIZE];
	char rules[1200], field[300];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[XATTR_NAME_MAX - 7] = '\0';
	assert_int_equal(xattrmap_client(m, name, host), 0);
	assert_int_equal(strlen(host), XATTR_NAME_MAX);
	name[XATTR_NAME_MAX - 7] = 'n';
	name[XATTR_NAME_MAX - 6] = '\0';
	client_fails(m, name, -ERANGE);
	name[XATTR_NAME_MAX - 6] = 'n';
	name[XATTR_NAME_MAX] = '\0';
	client_fails(m, name, -ERANGE);
	xattrmap_free(m);
	m = good(":ok:all:::");
	client_is(m, name, name);
	name[XATTR_NAME_MAX] = 'n';
	name[XATTR_NAME_MAX + 1] = '\0';
	client_fails(m, name, -ERANGE);
	xattrmap_free(m);

	memset(field, 'f', sizeof(field));
	field[XATTR_NAME_MAX + 1] = '\0';
	snprintf(rules, sizeof(rules), ":ok:all:%s:: :ok:all:::", field);
	bad(rules, "byte 9: the key is longer");
	snprintf(rules, sizeof(rules), ":ok:all::%s: :ok:all:::", field);
	bad(rules, "byte 10: the prepend is longer");
	field[XATTR_NAME_MAX] = '\0';
	snprintf(rules, sizeof(rules), ":bad:all:%s:%s: :ok:all:::", field, field);
	m = good(rules);
	client_fails(m, field, -EPERM);
	xattrmap_free(m);
}

static void wrong_rules(void **state)
{
	static const char *const wrong[][2] = {
		{"", "no rule"},
		{" \n\t", "no rule"},
		{":", "rule 1, byte 2: no ':' ends the type"},
		{":ok", "byte 4: no ':' ends the type"},
		{":ok:", "byte 5: no ':' ends the scope"},
		{":ok:all", "no ':' ends the scope"},
		{":ok:all:", "byte 9: no ':' ends the key"},
		{":ok:all::", "byte 10: no ':' ends the prepend"},
		{":map::x", "no ':' ends the prepend"},
		{"::all:::", "the type '' is none"},
		{":OK:all:::", "the type 'OK' is none"},
		{":okay:all:::", "byte 2: the type 'okay' is none of prefix, ok,"},
		{":ok:both:::", "byte 5: the scope 'both' is none of client, server and all"},
		{":ok::::", "the scope '' is none"},
		{": ok:all:::", "the type ' ok' is none"},
		{":\nok:all:::", "the type '?ok' is none"},
		{":ok:all::: x", "rule 2, byte 13"},
		{":ok:all::: :no:all:::", "rule 2, byte 13: the type 'no'"},
		{":ok/all/:/", "the type 'ok/all/'"},
		{"\x80ok\x80"
		 "all\x80\x80\x80",
		 "rule 1, byte 1: a rule begins"},
		{"\x01", "a rule begins"},
		{":map:a:b: :ok:all:::", "rule 1, byte 11: a map must be the last"},
		{":map:a:b::map:a:b:", "a map must be the last"},
		{":prefix:all:trusted.:user.v.:", "for all names of the guest"},
		{":ok:client:::", "for all names of the host"},
		{":ok:server:::", "for all names of the guest"},
		{":ok:client::: :ok:server::user.:", "for all names of the host"},
		{":ok:all:user.:user.: :bad:all:security.:security.:", "all names of the guest"},
		{":a-type-that-would-not-end-within-a-line-of-any-width:x:::",
		 "'a-type-that-would-not-end-within'"},
	};
	struct xattrmap *m;
	char tiny[8] = "";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		bad(wrong[i][0], wrong[i][1]);
	for (size_t size = 1; size <= sizeof(tiny); size++) {
		assert_int_equal(xattrmap_new(":x:", &m, tiny, size), -EINVAL);
		assert_true(strlen(tiny) < size);
	}
}

/* More rules than any array begins with. */
static void many_rules(void **state)
{
	char rules[8192] = "", name[32];
	struct xattrmap *m;
	size_t at = 0;

	(void)state;
	for (int i = 0; i < 200; i++)
		at += (size_t)snprintf(rules + at, sizeof(rules) - at,
				       ":prefix:all:name%03d:host%03d.: ", i, i);
	snprintf(rules + at, sizeof(rules) - at, ":bad:all:::");
	m = good(rules);
	for (int i = 0; i < 200; i++) {
		char host[32];

		snprintf(name, sizeof(name), "name%03d", i);
		snprintf(host, sizeof(host), "host%03d.name%03d", i, i);
		client_is(m, name, host);
	}
	client_fails(m, "name200", -EPERM);
	xattrmap_free(m);
}

static const char *pick(uint64_t *seed, const char *const *from, size_t n)
{
	return from[rnd_below(seed, (uint32_t)n)];
}

static size_t rule_by_chance(uint64_t *seed, char *buf, size_t size, bool wrong)
{
	static const char *const types[] = {"prefix", "ok", "bad", "unsupported"};
	static const char *const scopes_[] = {"all", "client", "server"};
	static const char *const names[] = {"",          "user.",   "trusted.",
					    "security.", "user.v.", "system.",
					    "user.v",    "u",       "trusted.overlay."};
	static const char seps[] = ":/|#,;%@=+";
	char sep = seps[rnd_below(seed, sizeof(seps) - 1)];
	int len = snprintf(buf, size, "%s%c%s%c%s%c%s%c%s%c", rnd_below(seed, 2) ? " " : "", sep,
			   pick(seed, types, ARRAY_SIZE(types)), sep,
			   pick(seed, scopes_, ARRAY_SIZE(scopes_)), sep,
			   pick(seed, names, ARRAY_SIZE(names)), sep,
			   pick(seed, names, ARRAY_SIZE(names)), sep);

	assert_true(len > 0 && (size_t)len < size);
	if (wrong)
		buf[rnd_below(seed, (uint32_t)len)] = (char)(1 + rnd_below(seed, 255));
	return (size_t)len;
}

/*
 * What must hold whatever the rules are: a list never grows, holds no empty name and ends in a NUL; what
 * a name of the guest becomes ends in it.
 */
static void check_map(uint64_t *seed, const struct xattrmap *m)
{
	static const char *const names[] = {"user.a",
					    "trusted.overlay.opaque",
					    "user.v.trusted.x",
					    "user.v.",
					    "security.selinux",
					    "u",
					    "system.posix_acl_access",
					    "user.v.user.v.user.v.deep"};
	char host[XATTRMAP_NAME_SIZE], list[256];
	size_t len = 0, left;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int r = xattrmap_client(m, names[i], host);

		assert_true(r == 0 || r == -EPERM || r == -EOPNOTSUPP);
		if (r == 0)
			assert_string_equal(host + strlen(host) - strlen(names[i]), names[i]);
	}
	for (uint32_t n = rnd_below(seed, 8); n; n--) {
		const char *name = pick(seed, names, ARRAY_SIZE(names));

		memcpy(list + len, name, strlen(name) + 1);
		len += strlen(name) + 1;
	}
	left = xattrmap_list(m, list, len);
	assert_true(left <= len);
	for (size_t at = 0; at < left;) {
		size_t n = strnlen(list + at, left - at);

		assert_true(n > 0 && at + n < left);
		at += n + 1;
	}
}

static void rules_by_chance(void **state)
{
	uint64_t seed = 20260817;
	unsigned int taken = 0, refused = 0;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char rules[600], err[200] = "";
		struct xattrmap *m = NULL;
		bool wrong = rnd_below(&seed, 2);
		size_t len = 0;
		int r;

		for (uint32_t n = 1 + rnd_below(&seed, 6); n; n--)
			len += rule_by_chance(&seed, rules + len, sizeof(rules) - len, wrong);
		if (rnd_below(&seed, 2))
			snprintf(rules + len, sizeof(rules) - len, " %s",
				 rnd_below(&seed, 2) ? ":ok:all:::" : "/map/x./y./");
		r = xattrmap_new(rules, &m, err, sizeof(err));
		if (r == 0) {
			check_map(&seed, m);
			xattrmap_free(m);
			taken++;
		} else {
			assert_int_equal(r, -EINVAL);
			assert_true(err[0] && !strchr(err, '\n'));
			refused++;
		}
	}
	assert_true(taken > 2000 && refused > 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_passes),
		cmocka_unit_test(all_get_a_prefix),
		cmocka_unit_test(one_class_gets_a_prefix),
		cmocka_unit_test(the_first_rule_decides),
		cmocka_unit_test(scopes),
		cmocka_unit_test(white_space),
		cmocka_unit_test(long_names),
		cmocka_unit_test(wrong_rules),
		cmocka_unit_test(many_rules),
		cmocka_unit_test(rules_by_chance),
	};

	return cmocka_run_group_tests_name("xattrmap", tests, NULL, NULL);
}
