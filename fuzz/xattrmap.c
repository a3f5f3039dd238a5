// SPDX-License-Identifier: Apache-2.0
/* Fuzzing target: rules for the names of attributes, names of a guest, lists of a host. */
/*
 * Theory of operation
 *
 * The input is three texts with a NUL behind each: the rules, a name that the guest sends, and a list of
 * names that the host has, with newlines between.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "xattrmap.h"

void target_init(void)
{
}

static void ask(const struct xattrmap *m, const char *name)
{
	char host[XATTRMAP_NAME_SIZE];
	int r = xattrmap_client(m, name, host);

	MUST(r == 0 || r == -EPERM || r == -EOPNOTSUPP || r == -ERANGE);
	if (r == 0)
		MUST(memchr(host, '\0', sizeof(host)));
}

static void list(const struct xattrmap *m, struct feed *f)
{
	char *names = feed_text(f, '\0', 65535);
	size_t len = strlen(names) + 1, left;

	for (size_t i = 0; i < len; i++)
		if (names[i] == '\n')
			names[i] = '\0';
	left = xattrmap_list(m, names, len);
	MUST(left <= len);
	MUST(!left || names[left - 1] == '\0');
	/* What the guest is shown it may ask for, whatever the answer. */
	for (size_t at = 0; at < left; at += strlen(names + at) + 1)
		if (strlen(names + at) < XATTRMAP_NAME_SIZE)
			ask(m, names + at);
	free(names);
}

void target_run(struct feed *f)
{
	char *rules = feed_text(f, '\0', 4096), *name = feed_text(f, '\0', XATTRMAP_NAME_SIZE - 1);
	struct xattrmap *m = NULL;
	char err[160] = "";
	int r = xattrmap_new(rules, &m, err, sizeof(err));

	MUST(r == 0 || r == -EINVAL);
	if (r == 0) {
		ask(m, name);
		list(m, f);
		xattrmap_free(m);
	} else {
		MUST(*err && !strchr(err, '\n'));
	}
	free(rules);
	free(name);
}
