// SPDX-License-Identifier: Apache-2.0
/* RUST_LOG: the log level in the form of other daemons' environment. */
/*
 * Theory of operation
 *
 * Launchers and their users know this variable from daemons that are written in Rust, where each
 * directive is for a module. We are one module, "virtiofsd". A directive with our name counts more than
 * one without a name, and of two that count the same the last one wins. A name alone means everything.
 * What is behind a slash is a filter of texts there, and is not looked at; nor is what makes no sense.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "log.h"
#include "options.h"
#include "util.h"

static bool level_of(const char *name, unsigned int *ret)
{
	static const char *const names[] = {
		[LOG_LEVEL_OFF] = "off",   [LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARN] = "warn",
		[LOG_LEVEL_INFO] = "info", [LOG_LEVEL_DEBUG] = "debug", [LOG_LEVEL_TRACE] = "trace",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcasecmp(name, names[i]) == 0) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static char *trim(char *s)
{
	s += strspn(s, " \t");
	for (size_t len = strlen(s); len && strchr(" \t", s[len - 1]); len--)
		s[len - 1] = '\0';
	return s;
}

/* The level of one directive, and whether it names us. False: it is not about us, or makes no sense. */
static bool directive(char *word, bool *ret_named, unsigned int *ret_level)
{
	char *level = strchr(word, '=');

	*ret_named = false;
	*ret_level = LOG_LEVEL_TRACE;
	if (level)
		*level++ = '\0';
	word = trim(word);
	if (strcmp(word, "virtiofsd") != 0)
		return !level && level_of(word, ret_level);
	*ret_named = true;
	if (!level)
		return true;
	level = trim(level);
	return !*level || level_of(level, ret_level);
}

void options_rust_log(const char *spec, unsigned int *ret_level)
{
	char *copy = spec ? strndup(spec, strcspn(spec, "/")) : NULL, *rest = copy, *word;
	bool any_named = false;

	while (rest && (word = strsep(&rest, ","))) {
		unsigned int level;
		bool named;

		if (!directive(word, &named, &level) || (any_named && !named))
			continue;
		any_named |= named;
		*ret_level = level;
	}
	free(copy);
}
