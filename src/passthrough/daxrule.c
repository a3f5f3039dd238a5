// SPDX-License-Identifier: Apache-2.0
/* Which files a guest should use through the DAX window. */
/*
 * Theory of operation
 *
 * A list of conditions, any of which is enough. Read once, constant afterwards: any thread may match.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daxrule.h"
#include "parse.h"

#define SIZE_WORD "size>="

void daxrules_done(struct daxrules *dr)
{
	for (unsigned int i = 0; i < dr->n; i++)
		free(dr->rules[i].glob);
	free(dr->rules);
	*dr = (struct daxrules){0};
}

static int parse_one(struct daxrule *rule, const char *word, bool only, char *why, size_t size)
{
	if (strcmp(word, "always") == 0 || strcmp(word, "never") == 0) {
		if (only)
			return 0;
		snprintf(why, size, "'%s' stands alone", word);
		return -EINVAL;
	}
	if (strncmp(word, SIZE_WORD, strlen(SIZE_WORD)) == 0) {
		if (parse_size(word + strlen(SIZE_WORD), INT64_MAX, &rule->min_size) == 0)
			return 0;
		snprintf(why, size, "'%.40s': not a size", word);
		return -EINVAL;
	}
	if (!*word || strchr(word, '/')) {
		snprintf(why, size, "'%.40s' is no pattern of file names", word);
		return -EINVAL;
	}
	rule->glob = strdup(word);
	if (rule->glob)
		return 0;
	snprintf(why, size, "out of memory");
	return -ENOMEM;
}

static unsigned int count(const char *text)
{
	unsigned int n = 1;

	for (; *text; text++)
		n += *text == ',';
	return n;
}

int daxrules_parse(struct daxrules *dr, const char *text, char *why, size_t size)
{
	unsigned int n = count(text);
	struct daxrules new = {.rules = calloc(n, sizeof(*new.rules))};
	char *copy = strdup(text), *rest = copy;
	int r = 0;

	if (!copy || !new.rules) {
		snprintf(why, size, "out of memory");
		r = -ENOMEM;
	}
	while (r == 0 && new.n < n) {
		struct daxrule *rule = &new.rules[new.n++];

		r = parse_one(rule, strsep(&rest, ","), n == 1, why, size);
		new.names |= rule->glob != NULL;
	}
	free(copy);
	if (r == 0 && strcmp(text, "never") == 0)
		daxrules_done(&new);
	if (r < 0) {
		daxrules_done(&new);
		return r;
	}
	daxrules_done(dr);
	*dr = new;
	return 0;
}

bool daxrules_match(const struct daxrules *dr, uint64_t size, const char *name)
{
	for (unsigned int i = 0; i < dr->n; i++) {
		const struct daxrule *rule = &dr->rules[i];

		if (rule->glob ? name && fnmatch(rule->glob, name, 0) == 0 : size >= rule->min_size)
			return true;
	}
	return false;
}
