// SPDX-License-Identifier: Apache-2.0
/* Rules that give the guest's extended attributes other names on the host. */
/*
 * Theory of operation
 *
 * The language is that of the other virtiofsds. A rule is
 *
 *	:type:scope:key:prepend:
 *
 * where the first character that is not white space separates the fields, in this rule; white space may
 * stand between rules. The first rule that matches decides. Two directions:
 *
 *	client	a name that the guest gives (get, set, remove) matches when it begins with key
 *	server	a name that the host lists matches when it begins with prepend
 *
 * and the scope is one of them or "all". What the types do with a name of the guest, and of the host:
 *
 *	prefix		prepend is put before it; prepend is taken off
 *	ok		it stays as it is; the same
 *	bad		EPERM; it is not listed
 *	unsupported	ENOTSUP; it is not listed
 *
 * An empty key or prepend matches everything. Each direction must have a rule that does, so that no name
 * is left undecided. As the last rule, ":map:key:prepend:" stands for
 *
 *	:prefix:all:key:prepend:  :bad:server::key:  :bad:client:prepend::  :ok:all:::
 *
 * (only the guest's "key…" are renamed, and neither side gets at the other's by their real names), or with
 * an empty key for ":prefix:all::prepend:" and ":bad:all:::" (all are renamed, none else exist).
 *
 * A map is one allocation for the rules and one for a copy of their text, which keys and prepends point
 * into. It is constant once made: no locks.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"
#include "xattrmap.h"

#define SHOWN_MAX 32 /* bytes of a field that an error line shows */

enum type {
	TYPE_PREFIX,
	TYPE_OK,
	TYPE_BAD,
	TYPE_UNSUPPORTED,
	TYPE_MAP, /* in the text only */
};

enum scope {
	SCOPE_CLIENT = 1,
	SCOPE_SERVER = 2,
	SCOPE_ALL = SCOPE_CLIENT | SCOPE_SERVER,
};

struct part {
	const char *s;
	size_t len;
};

struct rule {
	enum type type;
	unsigned int scope;
	struct part key;
	struct part prepend;
};

struct xattrmap {
	char *text;
	struct rule *rules;
	size_t n;
	size_t size; /* rules that there is room for */
};

/* Where in the text we are, and where an error is told. */
struct parser {
	struct xattrmap *m;
	const char *at;
	unsigned int rule; /* from 1 */
	char sep;
	char *err;
	size_t err_size;
};

struct word {
	const char *name;
	unsigned int value;
};

static const struct word types[] = {
	{"prefix", TYPE_PREFIX},           {"ok", TYPE_OK},   {"bad", TYPE_BAD},
	{"unsupported", TYPE_UNSUPPORTED}, {"map", TYPE_MAP},
};

static const struct word scopes[] = {
	{"client", SCOPE_CLIENT},
	{"server", SCOPE_SERVER},
	{"all", SCOPE_ALL},
};

/* @at: the byte that is to blame; NULL when it is no single one. */
__attribute__((format(printf, 3, 4))) static int fail(struct parser *p, const char *at,
						      const char *fmt, ...)
{
	int len = 0;
	va_list ap;

	if (at)
		len = snprintf(p->err, p->err_size, "rule %u, byte %zu: ", p->rule,
			       (size_t)(at - p->m->text) + 1);
	if (len < 0 || (size_t)len >= p->err_size)
		return -EINVAL;
	va_start(ap, fmt);
	vsnprintf(p->err + len, p->err_size - (size_t)len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* A field as it can stand in a line. */
struct shown {
	char s[SHOWN_MAX + 1];
};

static struct shown show(const struct part *f)
{
	struct shown ret = {0};

	for (size_t i = 0; i < MIN(f->len, (size_t)SHOWN_MAX); i++)
		ret.s[i] = isprint((unsigned char)f->s[i]) ? f->s[i] : '?';
	return ret;
}

static int take_field(struct parser *p, const char *what, struct part *ret)
{
	const char *end = strchr(p->at, p->sep);

	if (!end)
		return fail(p, p->at + strlen(p->at), "no '%c' ends the %s", p->sep, what);
	*ret = (struct part){p->at, (size_t)(end - p->at)};
	p->at = end + 1;
	return 0;
}

static int take_word(struct parser *p, const char *what, const struct word *words, size_t n,
		     const char *known, unsigned int *ret)
{
	struct part f = {0};
	int r = take_field(p, what, &f);

	if (r)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (strlen(words[i].name) == f.len && memcmp(words[i].name, f.s, f.len) == 0) {
			*ret = words[i].value;
			return 0;
		}
	}
	return fail(p, f.s, "the %s '%s' is none of %s", what, show(&f).s, known);
}

static int take_name(struct parser *p, const char *what, struct part *ret)
{
	int r = take_field(p, what, ret);

	if (r == 0 && ret->len > XATTR_NAME_MAX)
		r = fail(p, ret->s, "the %s is longer than a name may be, %d bytes", what,
			 XATTR_NAME_MAX);
	return r;
}

static int add(struct xattrmap *m, enum type type, unsigned int scope, struct part key,
	       struct part prepend)
{
	if (m->n == m->size) {
		size_t size = m->size ? 2 * m->size : 8;
		struct rule *rules = realloc(m->rules, size * sizeof(*rules));

		if (!rules)
			return -ENOMEM;
		m->rules = rules;
		m->size = size;
	}
	m->rules[m->n++] = (struct rule){type, scope, key, prepend};
	return 0;
}

static int add_map(struct xattrmap *m, struct part key, struct part prepend)
{
	const struct part any = {"", 0};
	int r = add(m, TYPE_PREFIX, SCOPE_ALL, key, prepend);

	if (r == 0 && !key.len)
		return add(m, TYPE_BAD, SCOPE_ALL, any, any);
	if (r == 0)
		r = add(m, TYPE_BAD, SCOPE_SERVER, any, key);
	if (r == 0)
		r = add(m, TYPE_BAD, SCOPE_CLIENT, prepend, any);
	if (r == 0)
		r = add(m, TYPE_OK, SCOPE_ALL, any, any);
	return r;
}

static void skip_space(struct parser *p)
{
	while (isspace((unsigned char)*p->at))
		p->at++;
}

static int take_rule(struct parser *p)
{
	const char *start = p->at;
	unsigned int type = 0, scope = SCOPE_ALL;
	struct part key = {0}, prepend = {0};
	int r;

	if (!isgraph((unsigned char)*start))
		return fail(p, start, "a rule begins with its separator, which is printable ASCII");
	p->sep = *p->at++;
	r = take_word(p, "type", types, ARRAY_SIZE(types), "prefix, ok, bad, unsupported and map",
		      &type);
	if (r == 0 && type != TYPE_MAP)
		r = take_word(p, "scope", scopes, ARRAY_SIZE(scopes), "client, server and all",
			      &scope);
	if (r == 0)
		r = take_name(p, "key", &key);
	if (r == 0)
		r = take_name(p, "prepend", &prepend);
	if (r)
		return r;
	if (type != TYPE_MAP)
		return add(p->m, (enum type)type, scope, key, prepend);
	skip_space(p);
	if (*p->at)
		return fail(p, p->at, "a map must be the last rule");
	return add_map(p->m, key, prepend);
}

static const struct rule *find(const struct xattrmap *m, enum scope scope, const char *name,
			       size_t len)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct rule *rule = &m->rules[i];
		const struct part *f = scope == SCOPE_CLIENT ? &rule->key : &rule->prepend;

		if (rule->scope & scope && f->len <= len && memcmp(f->s, name, f->len) == 0)
			return rule;
	}
	return NULL;
}

static int compile(struct parser *p)
{
	int r;

	for (skip_space(p); *p->at; skip_space(p)) {
		p->rule++;
		r = take_rule(p);
		if (r)
			return r;
	}
	if (!p->rule)
		return fail(p, NULL, "there is no rule");
	/* Only what matches everything matches the empty name. */
	if (!find(p->m, SCOPE_CLIENT, "", 0))
		return fail(p, NULL,
			    "no rule is for all names of the guest; end with :ok:all::: or "
			    ":bad:all:::");
	if (!find(p->m, SCOPE_SERVER, "", 0))
		return fail(p, NULL,
			    "no rule is for all names of the host; end with :ok:all::: or "
			    ":bad:all:::");
	return 0;
}

int xattrmap_new(const char *rules, struct xattrmap **ret, char *err, size_t size)
{
	struct xattrmap *m = calloc(1, sizeof(*m));
	struct parser p = {.m = m, .err = err, .err_size = size};
	int r = -ENOMEM;

	if (m)
		m->text = strdup(rules);
	if (m && m->text) {
		p.at = m->text;
		r = compile(&p);
	}
	if (r == -ENOMEM)
		snprintf(err, size, "out of memory");
	if (r)
		xattrmap_free(m);
	else
		*ret = m;
	return r;
}

void xattrmap_free(struct xattrmap *m)
{
	if (!m)
		return;
	free(m->rules);
	free(m->text);
	free(m);
}

int xattrmap_client(const struct xattrmap *m, const char *name, char ret[XATTRMAP_NAME_SIZE])
{
	size_t len = strlen(name), before = 0;
	const struct rule *rule = find(m, SCOPE_CLIENT, name, len);

	if (rule->type == TYPE_BAD)
		return -EPERM;
	if (rule->type == TYPE_UNSUPPORTED)
		return -EOPNOTSUPP;
	if (rule->type == TYPE_PREFIX)
		before = rule->prepend.len;
	if (before + len > XATTR_NAME_MAX)
		return -ERANGE;
	memcpy(ret, rule->prepend.s, before);
	memcpy(ret + before, name, len + 1);
	return 0;
}

size_t xattrmap_list(const struct xattrmap *m, char *list, size_t len)
{
	size_t from = 0, to = 0;

	while (from < len) {
		const char *name = list + from;
		size_t n = strnlen(name, len - from);
		const struct rule *rule = find(m, SCOPE_SERVER, name, n);
		size_t off = rule->type == TYPE_PREFIX ? rule->prepend.len : 0;

		/* The host's list ends in a NUL; nothing else is a name. */
		if (n == len - from)
			break;
		/* A name that is all prefix would be none. */
		if (n > off && (rule->type == TYPE_PREFIX || rule->type == TYPE_OK)) {
			memmove(list + to, name + off, n - off + 1);
			to += n - off + 1;
		}
		from += n + 1;
	}
	return to;
}
