// SPDX-License-Identifier: Apache-2.0
/* The command line: one table of options, and what they were set to. */
/*
 * Theory of operation
 *
 * A row of the table is an option: its names, what it takes, where the value goes (options_set.c puts it
 * there), and its line in the help (options_help.c). `--name=value` and `--name value` mean the same;
 * the last one wins. The words of `-o`, comma separated with doubled commas standing for one, are rows
 * too: those whose legacy name matches. Nothing here touches the system, so that a test can parse
 * anything.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jail.h"
#include "log.h"
#include "options_table.h"
#include "pt.h"
#include "session.h"
#include "util.h"
#include "vq.h"
#include "xattrmap.h"

static const struct option_word cache_words[] = {
	{"auto", PT_CACHE_AUTO},
	{"always", PT_CACHE_ALWAYS},
	{"never", PT_CACHE_NEVER},
	{"metadata", PT_CACHE_METADATA},
	{"none", PT_CACHE_NEVER, .alias = true},
	{NULL, 0},
};

static const struct option_word sandbox_words[] = {
	{"namespace", JAIL_NAMESPACE},
	{"chroot", JAIL_CHROOT},
	{"none", JAIL_NONE},
	{"landlock", JAIL_LANDLOCK},
	{NULL, 0},
};

static const struct option_word seccomp_words[] = {
	{"none", SECCOMP_NONE},
	{"log", SECCOMP_LOG},
	{"trap", SECCOMP_TRAP},
	{"kill", SECCOMP_KILL},
	{NULL, 0},
};

static const struct option_word handle_words[] = {
	{"never", PT_HANDLES_NEVER},
	{"prefer", PT_HANDLES_PREFER},
	{"fallback", PT_HANDLES_PREFER, .alias = true},
	{"mandatory", PT_HANDLES_MANDATORY},
	{NULL, 0},
};

static const struct option_word compat_words[] = {
	{"none", OPTIONS_COMPAT_NONE},
	{"alioth", OPTIONS_COMPAT_ALIOTH},
	{NULL, 0},
};

static const struct option_word migration_words[] = {
	{"find-paths", OPTIONS_MIGRATE_PATHS},
	{"file-handles", OPTIONS_MIGRATE_HANDLES},
	{NULL, 0},
};

static const struct option_word on_error_words[] = {
	{"abort", OPTIONS_MIGRATE_ABORT},
	{"guest-error", OPTIONS_MIGRATE_GUEST_ERROR},
	{NULL, 0},
};

static const struct option_word mode_words[] = {
	{"never", PT_NEVER},
	{"auto", PT_AUTO},
	{"always", PT_ALWAYS},
	{NULL, 0},
};

static const struct option_word log_words[] = {
	{"error", LOG_LEVEL_ERROR},
	{"warn", LOG_LEVEL_WARN},
	{"info", LOG_LEVEL_INFO},
	{"debug", LOG_LEVEL_DEBUG},
	{"trace", LOG_LEVEL_TRACE},
	{"off", LOG_LEVEL_OFF},
	{"err", LOG_LEVEL_ERROR, .alias = true},
	{NULL, 0},
};

#define AT(field) .offset = offsetof(struct options, field)

const struct option_row option_rows[] = {
	{"shared-dir", 0, "source", "DIR", "directory to share (needed)", STRING, AT(shared_dir),
	 .max = 4095},
	{"socket-path", 0, NULL, "PATH", "listen on a new socket at PATH", STRING, AT(socket_path),
	 .max = 4095},
	{"socket", 0, NULL, "PATH", NULL, STRING, AT(socket_path), .max = 4095},
	{"socket-group", 0, NULL, "GROUP", "let this group connect to it, too", STRING,
	 AT(socket_group), .max = 255},
	{"fd", 0, NULL, "N", "use descriptor N, a listening socket, instead", NUMBER, AT(fd),
	 .max = 0x7fffffff},
	{"relisten", 0, NULL, NULL, "wait for another front-end when one has gone", FLAG,
	 AT(relisten), 1},
	{"tag", 0, NULL, "TAG", "name by which the guest mounts it, if the front-end asks us",
	 STRING, AT(tag), .max = OPTIONS_TAG_MAX},
	{"cache", 0, "cache", "POLICY",
	 "what the guest may cache: auto (default), always, never, metadata", WORD, AT(cache),
	 .words = cache_words},
	{"sandbox", 0, "sandbox", "MODE", "namespace (default), chroot, landlock, none", WORD,
	 AT(sandbox), .words = sandbox_words},
	{"seccomp", 0, NULL, "ACTION",
	 "system calls that are not needed: kill (default), trap, log, none (allow them)", WORD,
	 AT(seccomp), .words = seccomp_words},
	{"modcaps", 0, "modcaps", "LIST", "capabilities to keep or drop, e.g. +mknod:-chown", CAPS,
	 AT(modcaps)},
	{"uid-map", 0, NULL, ":IN:OUT:N:", "users that exist in the sandbox namespace", MAPS,
	 AT(uid_map)},
	{"gid-map", 0, NULL, ":IN:OUT:N:", "groups that exist in the sandbox namespace", MAPS,
	 AT(gid_map)},
	{"translate-uid", 0, NULL, "RULE", "users of the guest that are others on the host", IDS,
	 AT(translate_uid)},
	{"translate-gid", 0, NULL, "RULE", "groups of the guest that are others on the host", IDS,
	 AT(translate_gid)},
	{"readonly", 0, NULL, NULL, "refuse every change", FLAG, AT(readonly), 1},
	{"xattr", 0, "xattr", NULL, "pass extended attributes through", FLAG, AT(xattr), 1},
	{NULL, 0, "no_xattr", NULL, NULL, FLAG, AT(xattr), 0},
	{"xattrmap", 0, "xattrmap", "RULES",
	 "their names on the host, e.g. :map::user.virtiofs.: (implies --xattr)", RULES,
	 AT(xattrmap)},
	{"posix-acl", 0, NULL, "WHEN",
	 "ACLs: never (default), auto, always; --posix-acl is always (implies --xattr)", WORD,
	 AT(posix_acl), .words = mode_words, .missing = "always"},
	{NULL, 0, "posix_acl", NULL, NULL, CHOICE, AT(posix_acl), PT_ALWAYS},
	{NULL, 0, "no_posix_acl", NULL, NULL, CHOICE, AT(posix_acl), PT_NEVER},
	{"security-label", 0, NULL, "WHEN",
	 "labels of what the guest creates: never, auto, always (implies --xattr)", WORD,
	 AT(security_label), .words = mode_words, .missing = "always"},
	{NULL, 0, "security_label", NULL, NULL, CHOICE, AT(security_label), PT_ALWAYS},
	{NULL, 0, "no_security_label", NULL, NULL, CHOICE, AT(security_label), PT_NEVER},
	{"no-readdirplus", 0, "no_readdirplus", NULL,
	 "read directories without the attributes of what is in them", FLAG, AT(readdirplus), 0},
	{NULL, 0, "readdirplus", NULL, NULL, FLAG, AT(readdirplus), 1},
	{"writeback", 0, "writeback", NULL, "let the guest delay writes (cache auto or always)",
	 FLAG, AT(writeback), 1},
	{NULL, 0, "no_writeback", NULL, NULL, FLAG, AT(writeback), 0},
	{"allow-mmap", 0, NULL, NULL,
	 "allow shared mappings of files that are not cached (cache never or metadata)", FLAG,
	 AT(allow_mmap), 1},
	{"allow-direct-io", 0, "allow_direct_io", NULL, "keep O_DIRECT on the host, too", FLAG,
	 AT(allow_direct_io), 1},
	{NULL, 0, "no_allow_direct_io", NULL, NULL, FLAG, AT(allow_direct_io), 0},
	{"preserve-noatime", 0, "preserve_noatime", NULL, "keep O_NOATIME on the host, too", FLAG,
	 AT(preserve_noatime), 1},
	{"killpriv-v2", 0, "killpriv_v2", NULL,
	 "clear set-id bits on the host, not in the guest, where it understands that", FLAG,
	 AT(killpriv_v2), 1},
	{"no-killpriv-v2", 0, "no_killpriv_v2", NULL, "do not (default)", FLAG, AT(killpriv_v2), 0},
	{"inode-file-handles", 0, NULL, "MODE",
	 "open files by handle: never, prefer (default; where it is possible), mandatory", WORD,
	 AT(inode_file_handles), .words = handle_words},
	{"thread-pool-size", 0, NULL, "N",
	 "threads that may block, for all that could; 0 (default): for what must, as needed",
	 NUMBER, AT(thread_pool_size), .max = OPTIONS_POOL_MAX},
	{"poll-us", 0, NULL, "N",
	 "microseconds that a queue looks for more requests before it sleeps, where that pays",
	 NUMBER, AT(poll_us), .max = OPTIONS_POLL_MAX,
	 .set_offset = offsetof(struct options, poll_us_set)},
	{"dax-window", 0, NULL, "SIZE",
	 "show files to the guest in memory of this size: 0 (default) or a power of two from 2M on",
	 SIZE, AT(dax_window)},
	{"dax", 0, NULL, "FILES",
	 "those files: always (default), never, or a list: size>=SIZE, patterns of names", DAX,
	 AT(dax)},
	{"compat", 0, NULL, "WHOM", "do as this front-end does: none (default), alioth", WORD,
	 AT(compat), .words = compat_words},
	{"announce-submounts", 0, "announce_submounts", NULL,
	 "show mount points as such to the guest (default)", FLAG, AT(announce_submounts), 1},
	{"no-announce-submounts", 0, "no_announce_submounts", NULL, "do not", FLAG,
	 AT(announce_submounts), 0},
	{"rlimit-nofile", 0, NULL, "N",
	 "limit of open files to set; 0: leave it; default: the least of 1000000 and fs.nr_open",
	 NUMBER, AT(rlimit_nofile), .max = OPTIONS_NOFILE_MAX,
	 .set_offset = offsetof(struct options, rlimit_nofile_set)},
	{"max-inodes", 0, NULL, "N",
	 "files that a guest may know at a time (default 16777216); more are ENOMEM to it", NUMBER,
	 AT(max_inodes), .min = 16, .max = OPTIONS_INODES_MAX},
	{"max-open-files", 0, NULL, "N",
	 "files that it may have open (default: by the limit of open files); more are ENFILE",
	 NUMBER, AT(max_open_files), .min = 1, .max = OPTIONS_FILES_MAX},
	{"max-write", 0, NULL, "BYTES", "data of one request (default 1048576); more is EINVAL",
	 NUMBER, AT(max_write), .min = 4096, .max = SESSION_MAX_WRITE},
	{"max-pending", 0, NULL, "N",
	 "requests of a virtqueue that are on their way (default: as many as it holds)", NUMBER,
	 AT(max_pending), .min = 1, .max = VQ_SIZE_MAX},
	{"log-level", 0, "log_level", "LEVEL", "error, warn, info (default), debug, trace, off",
	 WORD, AT(log_level), .words = log_words},
	{NULL, 0, "loglevel", "LEVEL", NULL, WORD, AT(log_level), .words = log_words},
	{"syslog", 0, NULL, NULL, "log to the system log instead of stderr", FLAG, AT(syslog), 1},
	{NULL, 'd', "debug", NULL, "same as --log-level=debug", CHOICE, AT(log_level),
	 LOG_LEVEL_DEBUG},
	{NULL, 'f', NULL, NULL, "nothing: it always stays in the foreground", NOTHING},
	{NULL, 'o', NULL, "WORD[=VALUE][,...]", "options in the form of older launchers", LEGACY},
	{NULL, 0, "flock", NULL, "flock(2) locks are the host's, not the guest's own", FLAG,
	 AT(flock), 1},
	{NULL, 0, "no_flock", NULL, "they are the guest's own (default)", FLAG, AT(flock), 0},
	{NULL, 0, "posix_lock", NULL, "fcntl(2) locks are the host's, not the guest's own", FLAG,
	 AT(posix_lock), 1},
	{NULL, 0, "no_posix_lock", NULL, "they are the guest's own (default)", FLAG, AT(posix_lock),
	 0},
	{"migration-mode", 0, NULL, "MODE",
	 "without effect, as there is no migration yet: find-paths (default), file-handles", WORD,
	 AT(migration_mode), .words = migration_words},
	{"migration-on-error", 0, NULL, "WHAT", "the same: abort (default), guest-error", WORD,
	 AT(migration_on_error), .words = on_error_words},
	{"migration-verify-handles", 0, NULL, NULL, "the same", FLAG, AT(migration_verify_handles),
	 1},
	{"migration-confirm-paths", 0, NULL, NULL, "the same", FLAG, AT(migration_confirm_paths),
	 1},
	{"print-capabilities", 0, NULL, NULL, "print what management software asks for, as JSON",
	 CHOICE, AT(action), OPTIONS_CAPABILITIES},
	{"show-jail", 0, NULL, NULL,
	 "print how it would be kept from the host, with the other options", CHOICE, AT(action),
	 OPTIONS_SHOW_JAIL},
	{"version", 'V', NULL, NULL, "print the version", CHOICE, AT(action), OPTIONS_VERSION},
	{"help", 'h', NULL, NULL, "print this help", CHOICE, AT(action), OPTIONS_HELP},
	{"posix-acl-create-fallback", .kind = REFUSED,
	 .refused = "there is no such second try: what a user of the guest may not create, the "
		    "daemon does not create for him"},
	{"daemonize", .kind = REFUSED,
	 .refused = "it always stays in the foreground; put it in the background with & or a "
		    "service manager"},
	{.legacy = "timeout",
	 .arg = "SECONDS",
	 .kind = REFUSED,
	 .refused = "how long the guest caches follows from --cache"},
	{.legacy = "vhost_user_socket",
	 .arg = "PATH",
	 .kind = REFUSED,
	 .refused = "it is --socket-path PATH"},
	{.legacy = "norace",
	 .kind = REFUSED,
	 .refused = "there is no racy way that could be left out: leave the word out"},
};

const size_t option_rows_n = ARRAY_SIZE(option_rows);

static int set_legacy_word(struct option_parser *p, char *word)
{
	char *value = strchr(word, '=');
	char shown[80];

	if (value)
		*value++ = '\0';
	for (size_t i = 0; i < option_rows_n; i++) {
		if (option_rows[i].legacy && strcmp(option_rows[i].legacy, word) == 0) {
			snprintf(shown, sizeof(shown), "-o %s", word);
			return option_set(p, &option_rows[i], shown, value);
		}
	}
	return option_fail(p, "-o: unknown word '%.64s'", word);
}

static int set_legacy(struct option_parser *p, const char *value)
{
	char *word = malloc(strlen(value) + 1);
	size_t len = 0;
	int r = 0;

	if (!word)
		return option_fail(p, "-o: out of memory");
	for (const char *s = value; r == 0; s++) {
		if (*s == ',' && s[1] == ',') {
			word[len++] = *s++;
		} else if (*s == ',' || !*s) {
			word[len] = '\0';
			r = set_legacy_word(p, word);
			len = 0;
			if (!*s)
				break;
		} else {
			word[len++] = *s;
		}
	}
	free(word);
	return r;
}

static const struct option_row *find_long(const char *name, size_t len)
{
	for (size_t i = 0; i < option_rows_n; i++)
		if (option_rows[i].name && strlen(option_rows[i].name) == len &&
		    strncmp(option_rows[i].name, name, len) == 0)
			return &option_rows[i];
	return NULL;
}

static const struct option_row *find_letter(char letter)
{
	for (size_t i = 0; i < option_rows_n; i++)
		if (option_rows[i].letter && option_rows[i].letter == letter)
			return &option_rows[i];
	return NULL;
}

/* One option at argv[*i]; goes on past its value. */
static int parse_one(struct option_parser *p, int argc, char *const argv[], int *i)
{
	const struct option_row *row;
	const char *arg = argv[(*i)++], *value = NULL;
	char shown[80];

	if (arg[0] != '-' || !arg[1])
		return option_fail(p, "unexpected argument '%.64s'", arg);
	if (arg[1] == '-') {
		size_t len = strcspn(arg + 2, "=");

		row = find_long(arg + 2, len);
		if (arg[2 + len])
			value = arg + 2 + len + 1;
		snprintf(shown, sizeof(shown), "%.*s", (int)MIN(len + 2, 64), arg);
	} else {
		row = find_letter(arg[1]);
		/* -oWORD is -o WORD; -help is nothing. */
		if (arg[2]) {
			value = arg + 2;
			if (row && !option_takes_value(row))
				row = NULL;
		}
		snprintf(shown, sizeof(shown), "-%c", arg[1]);
	}
	if (!row)
		return option_fail(p, "unknown option '%.64s'", arg);
	/* A value that begins with a dash is more likely the next option: it has to be glued on. */
	p->dash = row->name && *i < argc && argv[*i][0] == '-';
	if (!value && option_takes_value(row) && *i < argc && argv[*i][0] != '-')
		value = argv[(*i)++];
	if (row->kind == LEGACY && value)
		return set_legacy(p, value);
	return option_set(p, row, shown, value);
}

int options_parse(struct options *o, int argc, char *const argv[], char *err, size_t size)
{
	struct option_parser p = {.o = o, .err = err, .size = size};

	*o = (struct options){
		.fd = -1,
		.cache = PT_CACHE_AUTO,
		.sandbox = JAIL_NAMESPACE,
		.seccomp = SECCOMP_KILL,
		.log_level = LOG_LEVEL_INFO,
		.announce_submounts = true,
		.readdirplus = true,
		.inode_file_handles = PT_HANDLES_PREFER,
	};
	if (daxrules_parse(&o->dax, "always", err, size) < 0)
		return -ENOMEM;
	for (int i = 1; i < argc;) {
		int r = parse_one(&p, argc, argv, &i);

		if (r < 0)
			return r;
	}
	if (o->xattrmap || o->posix_acl != PT_NEVER || o->security_label != PT_NEVER)
		o->xattr = true;
	if (o->action != OPTIONS_RUN)
		return 0;
	if ((o->uid_map.n || o->gid_map.n) && o->sandbox != JAIL_NAMESPACE)
		return option_fail(&p, "--%s needs --sandbox=namespace",
				   o->uid_map.n ? "uid-map" : "gid-map");
	if (o->migration_mode == OPTIONS_MIGRATE_HANDLES &&
	    (o->migration_verify_handles || o->migration_confirm_paths))
		return option_fail(&p, "--migration-%s needs --migration-mode=find-paths",
				   o->migration_verify_handles ? "verify-handles"
							       : "confirm-paths");
	if (!o->shared_dir)
		return option_fail(&p, "--shared-dir DIR is missing");
	if (o->socket_path && o->fd >= 0)
		return option_fail(&p, "--fd %d and --socket-path '%.64s' exclude each other",
				   o->fd, o->socket_path);
	if (o->socket_group && o->fd >= 0)
		return option_fail(&p, "--fd %d and --socket-group '%.64s' exclude each other",
				   o->fd, o->socket_group);
	if (!o->socket_path && o->fd < 0)
		return option_fail(&p, "--socket-path PATH or --fd N is missing");
	return 0;
}

void options_done(struct options *o)
{
	xattrmap_free(o->xattrmap);
	o->xattrmap = NULL;
	daxrules_done(&o->dax);
	idmap_done(&o->translate_uid);
	idmap_done(&o->translate_gid);
	free(o->shared_dir);
	free(o->socket_path);
	free(o->socket_group);
	free(o->tag);
	o->shared_dir = o->socket_path = o->socket_group = o->tag = NULL;
}
