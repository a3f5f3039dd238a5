/* SPDX-License-Identifier: Apache-2.0 */
/* Which files a guest should use through the DAX window. */
#ifndef CULVERT_DAXRULE_H
#define CULVERT_DAXRULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct daxrule - one condition; a file for which any of them holds is for the window.
 * @glob:     a pattern of file names, or NULL.
 * @min_size: without a pattern: files of so many bytes and more.
 */
struct daxrule {
	char *glob;
	uint64_t min_size;
};

/**
 * struct daxrules - all of them. All zero: there are none, and no file is for the window.
 * @rules: @n, on the heap.
 * @names: some of them are about names.
 */
struct daxrules {
	struct daxrule *rules;
	unsigned int n;
	bool names;
};

/**
 * daxrules_parse() - replace the rules by those in @text.
 *
 * A list with commas between: "always", "never", "size>=N" with N in bytes or with K, M or G behind it,
 * or a pattern of names as glob(7) describes it. "always" and "never" stand alone. Returns 0; -EINVAL or
 * -ENOMEM with the reason in @why, and the rules are as before.
 */
int daxrules_parse(struct daxrules *dr, const char *text, char *why, size_t size);

/** daxrules_done() - none any more. */
void daxrules_done(struct daxrules *dr);

/** daxrules_match() - whether a file is for the window. @name: NULL = it has none that is known. */
bool daxrules_match(const struct daxrules *dr, uint64_t size, const char *name);

#endif
