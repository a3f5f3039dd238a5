/* SPDX-License-Identifier: Apache-2.0 */
/* The table of options; for those who parse it, print it, or write completions from it. */
#ifndef CULVERT_OPTIONS_TABLE_H
#define CULVERT_OPTIONS_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"

enum option_kind {
	FLAG,   /* bool at @offset becomes @value */
	CHOICE, /* unsigned int at @offset becomes @value */
	STRING, /* char * at @offset, at most @max bytes */
	NUMBER, /* int at @offset, from @min to @max */
	WORD,   /* unsigned int at @offset, one of @words */
	RULES,  /* struct xattrmap * at @offset */
	MAPS,   /* struct options_maps at @offset gets one more */
	SIZE,   /* uint64_t at @offset: 0, or a power of two from 2 MiB on */
	DAX,    /* struct daxrules at @offset */
	CAPS,   /* struct caps_mods at @offset */
	IDS,    /* struct idmap at @offset gets one rule more */
	LEGACY, /* a list of words that are legacy names of other rows */
	NOTHING,
	REFUSED, /* what others have and we do not: @refused says why */
};

/**
 * struct option_word - one value of a WORD; NULL ends a list.
 * @alias: what others call it: taken, but not offered.
 */
struct option_word {
	const char *name;
	unsigned int value;
	bool alias;
};

/** struct option_row - an option. At least one of @name, @letter and @legacy is there. */
struct option_row {
	const char *name;   /* long name, NULL: none */
	char letter;        /* short name, 0: none */
	const char *legacy; /* word of -o, NULL: none */
	const char *arg;    /* what the help calls the value, NULL: takes none */
	const char *help;   /* NULL: not shown */
	enum option_kind kind;
	size_t offset;
	unsigned int value;
	unsigned int max;
	unsigned int min; /* of a NUMBER */
	const struct option_word *words;
	const char *missing; /* what it means without a value, NULL: it needs one */
	size_t set_offset;   /* bool that tells that the option was given, 0: none */
	const char *refused;
};

extern const struct option_row option_rows[];
extern const size_t option_rows_n;

/**
 * struct option_parser - where an option goes, and where an error is told.
 * @err:  one line of at most @size bytes.
 * @dash: what follows the option begins with a dash, and so is not its value.
 */
struct option_parser {
	struct options *o;
	char *err;
	size_t size;
	bool dash;
};

/** option_fail() - write the error. Returns -EINVAL. */
__attribute__((format(printf, 2, 3))) int option_fail(struct option_parser *p, const char *fmt,
						      ...);

/** option_takes_value() - whether a word that follows it is its value. */
bool option_takes_value(const struct option_row *row);

/**
 * option_set() - set an option that is not a LEGACY.
 * @shown: how it was written, for the error.
 * @value: NULL: there is none.
 */
int option_set(struct option_parser *p, const struct option_row *row, const char *shown,
	       const char *value);

#endif
