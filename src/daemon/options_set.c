// SPDX-License-Identifier: Apache-2.0
/* What an option's value means. */
/*
 * Theory of operation
 *
 * A function for each kind of row: it checks the value and puts it where the row says, or tells in one
 * line what is wrong with it. Fields keep what they had when a value is refused.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "options_table.h"
#include "parse.h"
#include "xattrmap.h"

int option_fail(struct option_parser *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->err, p->size, fmt, ap);
	va_end(ap);
	parse_one_line(p->err);
	return -EINVAL;
}

static void *field(struct option_parser *p, const struct option_row *row)
{
	return (char *)p->o + row->offset;
}

static int set_string(struct option_parser *p, const struct option_row *row, const char *shown,
		      const char *value)
{
	char **str = field(p, row);
	char *copy;

	if (!*value)
		return option_fail(p, "%s: the value is empty", shown);
	if (strlen(value) > row->max)
		return option_fail(p, "%s: '%.64s…' is longer than %u bytes", shown, value,
				   row->max);
	copy = strdup(value);
	if (!copy)
		return option_fail(p, "%s: out of memory", shown);
	free(*str);
	*str = copy;
	return 0;
}

static int set_number(struct option_parser *p, const struct option_row *row, const char *shown,
		      const char *value)
{
	unsigned int *num = field(p, row);
	uint64_t v;

	if (parse_u64(value, row->max, &v) < 0 || v < row->min)
		return option_fail(p, "%s: '%.64s' is not a number from %u to %u", shown, value,
				   row->min, row->max);
	*num = (unsigned int)v;
	return 0;
}

static int set_word(struct option_parser *p, const struct option_row *row, const char *shown,
		    const char *value)
{
	unsigned int *num = field(p, row);
	char list[128] = "";
	size_t at = 0;

	for (const struct option_word *w = row->words; w->name; w++) {
		if (strcasecmp(w->name, value) == 0) {
			*num = w->value;
			return 0;
		}
	}
	for (const struct option_word *w = row->words; w->name; w++)
		if (!w->alias)
			at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", at ? ", " : "",
					       w->name);
	return option_fail(p, "%s: '%.64s' is not known; it takes: %s", shown, value, list);
}

static int set_rules(struct option_parser *p, const struct option_row *row, const char *shown,
		     const char *value)
{
	struct xattrmap **old = field(p, row), *map;
	char why[160];

	if (xattrmap_new(value, &map, why, sizeof(why)) < 0)
		return option_fail(p, "%s: %s", shown, why);
	xattrmap_free(*old);
	*old = map;
	return 0;
}

static int add_map(struct option_parser *p, const struct option_row *row, const char *shown,
		   const char *value)
{
	struct options_maps *m = field(p, row);

	if (m->n == OPTIONS_MAPS_MAX)
		return option_fail(p, "%s: more than %u", shown, OPTIONS_MAPS_MAX);
	if (userns_parse(value, &m->maps[m->n]) < 0)
		return option_fail(p, "%s: '%.64s' is not :INSIDE:OUTSIDE:COUNT:", shown, value);
	m->n++;
	return 0;
}

static int add_ids(struct option_parser *p, const struct option_row *row, const char *shown,
		   const char *value)
{
	char why[160];

	if (idmap_add(field(p, row), value, why, sizeof(why)) < 0)
		return option_fail(p, "%s: '%.64s': %s", shown, value, why);
	return 0;
}

static int set_size(struct option_parser *p, const struct option_row *row, const char *shown,
		    const char *value)
{
	uint64_t v;

	if (parse_size(value, OPTIONS_WINDOW_MAX, &v) < 0 ||
	    (v && (v < OPTIONS_WINDOW_MIN || v & (v - 1))))
		return option_fail(p,
				   "%s: '%.64s' is neither 0 nor a power of two from 2M to 1024G",
				   shown, value);
	*(uint64_t *)field(p, row) = v;
	return 0;
}

static int set_dax(struct option_parser *p, const struct option_row *row, const char *shown,
		   const char *value)
{
	char why[160];

	if (daxrules_parse(field(p, row), value, why, sizeof(why)) < 0)
		return option_fail(p, "%s: %s", shown, why);
	return 0;
}

static int set_caps(struct option_parser *p, const struct option_row *row, const char *shown,
		    const char *value)
{
	char why[160];

	if (caps_parse(value, field(p, row), why, sizeof(why)) < 0)
		return option_fail(p, "%s: %s", shown, why);
	return 0;
}

bool option_takes_value(const struct option_row *row)
{
	return row->kind != FLAG && row->kind != CHOICE && row->kind != NOTHING;
}

int option_set(struct option_parser *p, const struct option_row *row, const char *shown,
	       const char *value)
{
	int r = 0;

	if (row->kind == REFUSED)
		return option_fail(p, "%s: %s", shown, row->refused);
	if (value && !option_takes_value(row))
		return option_fail(p, "%s: takes no value, but got '%.64s'", shown, value);
	if (!value)
		value = row->missing;
	if (!value && option_takes_value(row))
		return option_fail(p, "%s: a value (%s) is missing%s", shown, row->arg,
				   p->dash ? "; one that begins with a dash goes behind a =" : "");
	switch (row->kind) {
	case FLAG:
		*(bool *)field(p, row) = row->value;
		break;
	case CHOICE:
		*(unsigned int *)field(p, row) = row->value;
		break;
	case STRING:
		r = set_string(p, row, shown, value);
		break;
	case NUMBER:
		r = set_number(p, row, shown, value);
		break;
	case WORD:
		r = set_word(p, row, shown, value);
		break;
	case RULES:
		r = set_rules(p, row, shown, value);
		break;
	case MAPS:
		r = add_map(p, row, shown, value);
		break;
	case SIZE:
		r = set_size(p, row, shown, value);
		break;
	case DAX:
		r = set_dax(p, row, shown, value);
		break;
	case CAPS:
		r = set_caps(p, row, shown, value);
		break;
	case IDS:
		r = add_ids(p, row, shown, value);
		break;
	case REFUSED:
	case LEGACY:
	case NOTHING:
		break;
	}
	if (r == 0 && row->set_offset)
		*(bool *)((char *)p->o + row->set_offset) = true;
	return r;
}
