// SPDX-License-Identifier: Apache-2.0
/* Fuzzing target: the command line. */
/*
 * Theory of operation
 *
 * The input is the words of a command line, each with a NUL behind it. Every other input begins with a
 * directory and a socket, so that the rest is what decides. The last word is also taken for RUST_LOG.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "log.h"
#include "options.h"
#include "util.h"

#define WORDS_MAX 64

void target_init(void)
{
}

static void check(const struct options *o)
{
	MUST(o->action != OPTIONS_RUN ||
	     (o->shared_dir && (o->socket_path != NULL) != (o->fd >= 0)));
	MUST(o->uid_map.n <= OPTIONS_MAPS_MAX && o->gid_map.n <= OPTIONS_MAPS_MAX);
	MUST(!o->tag || strlen(o->tag) <= OPTIONS_TAG_MAX);
	MUST(!(o->dax_window & (o->dax_window - 1)) && o->dax_window <= OPTIONS_WINDOW_MAX);
	daxrules_match(&o->dax, 4096, "name");
}

void target_run(struct feed *f)
{
	char *argv[WORDS_MAX + 1] = {strdup("virtiofsd")}, err[256] = "";
	unsigned int level = LOG_LEVEL_OFF;
	struct options o;
	int argc = 1, r;

	if (feed_u8(f) % 2) {
		argv[argc++] = strdup("--shared-dir=/");
		argv[argc++] = strdup("--socket-path=/s");
	}
	while (f->left && argc < WORDS_MAX)
		argv[argc++] = feed_text(f, '\0', 8192);
	r = options_parse(&o, argc, argv, err, sizeof(err));
	MUST(r == 0 || r == -EINVAL);
	if (r == 0)
		check(&o);
	else
		MUST(*err && !strchr(err, '\n'));
	options_done(&o);
	options_rust_log(argv[argc - 1], &level);
	MUST(level <= LOG_LEVEL_TRACE);
	while (argc)
		free(argv[--argc]);
}
