/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one table of options, and what they were set to. */
#ifndef CULVERT_OPTIONS_H
#define CULVERT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "caps.h"
#include "daxrule.h"
#include "idmap.h"
#include "userns.h"

#define OPTIONS_POOL_MAX   4096u
#define OPTIONS_NOFILE_MAX 0x7fffffffu
#define OPTIONS_INODES_MAX (64u << 20)
#define OPTIONS_FILES_MAX  (1u << 20)
#define OPTIONS_POLL_MAX   10000u
#define OPTIONS_MAPS_MAX   100u
#define OPTIONS_TAG_MAX    36u
#define OPTIONS_WINDOW_MIN (UINT64_C(2) << 20)
#define OPTIONS_WINDOW_MAX (UINT64_C(1) << 40)

struct xattrmap;

/* What the command line asks for. */
enum options_action {
	OPTIONS_RUN,
	OPTIONS_HELP,
	OPTIONS_VERSION,
	OPTIONS_CAPABILITIES,
	OPTIONS_SHOW_JAIL,
};

/* Front-ends that do things in their own way. */
enum options_compat {
	OPTIONS_COMPAT_NONE,
	OPTIONS_COMPAT_ALIOTH,
};

/* How the state of a session would be carried to another host. */
enum options_migration {
	OPTIONS_MIGRATE_PATHS,
	OPTIONS_MIGRATE_HANDLES,
};

enum options_migration_error {
	OPTIONS_MIGRATE_ABORT,
	OPTIONS_MIGRATE_GUEST_ERROR,
};

/**
 * struct options_maps - ids of the user namespace.
 * @maps: @n of them.
 */
struct options_maps {
	unsigned int n;
	struct userns_map maps[OPTIONS_MAPS_MAX];
};

/**
 * struct options - a parsed command line. Owned by main(); constant once parsed.
 * @action:             enum options_action.
 * @shared_dir, @socket_path, @socket_group, @tag: heap strings or NULL.
 * @fd:                 the listening socket that was passed, or -1.
 * @cache:              enum pt_cache.
 * @sandbox:            enum jail_kind.
 * @seccomp:            enum seccomp_action.
 * @modcaps:            capabilities to keep or drop.
 * @log_level:          enum log_level.
 * @posix_acl, @security_label: enum pt_mode.
 * @xattrmap:           compiled rules or NULL.
 * @translate_uid, @translate_gid: the rules, in no order.
 * @uid_map, @gid_map:  of a user namespace; only with JAIL_NAMESPACE.
 * @inode_file_handles: enum pt_handles.
 * @thread_pool_size:   threads for all requests that may block; 0 = as many as needed, for those that
 *                      have to.
 * @max_inodes, @max_open_files, @max_write, @max_pending: what a guest may have at a time; 0 = the
 *                      default.
 * @poll_us:            how long a queue looks for more before it sleeps; with @poll_us_set false, the
 *                      default.
 * @relisten:           serve one front-end after the other.
 * @dax_window:         bytes of the DAX window; 0 = there is none.
 * @dax:                files that a guest uses through it unless its mount says otherwise.
 * @compat:             enum options_compat.
 * @migration_mode, @migration_on_error: enum options_migration, enum options_migration_error; without
 *                      effect, as what begins with migration_ is.
 * @rlimit_nofile:      file descriptors to ask for; 0 = leave the limit alone; with
 *                      @rlimit_nofile_set false, the default.
 */
struct options {
	unsigned int action;
	char *shared_dir;
	char *socket_path;
	char *socket_group;
	char *tag;
	int fd;
	unsigned int cache;
	unsigned int sandbox;
	unsigned int seccomp;
	struct caps_mods modcaps;
	unsigned int log_level;
	unsigned int inode_file_handles;
	unsigned int thread_pool_size;
	unsigned int rlimit_nofile;
	unsigned int max_inodes;
	unsigned int max_open_files;
	unsigned int max_write;
	unsigned int max_pending;
	unsigned int poll_us;
	bool rlimit_nofile_set;
	bool poll_us_set;
	unsigned int posix_acl;
	unsigned int security_label;
	struct xattrmap *xattrmap;
	struct idmap translate_uid;
	struct idmap translate_gid;
	struct options_maps uid_map;
	struct options_maps gid_map;
	uint64_t dax_window;
	struct daxrules dax;
	unsigned int compat;
	unsigned int migration_mode;
	unsigned int migration_on_error;
	bool migration_verify_handles;
	bool migration_confirm_paths;
	bool readonly;
	bool xattr;
	bool announce_submounts;
	bool flock;
	bool posix_lock;
	bool readdirplus;
	bool writeback;
	bool allow_mmap;
	bool allow_direct_io;
	bool preserve_noatime;
	bool killpriv_v2;
	bool relisten;
	bool syslog;
};

/**
 * options_parse() - read a command line.
 * @o:    filled in; options_done() it, also after an error.
 * @argv: @argc words, the first of which is the program's name.
 * @err:  on an error one line that names the option and its value, without a newline.
 * @size: bytes of @err.
 *
 * Returns 0 or -EINVAL (-ENOMEM). With an @o->action other than OPTIONS_RUN nothing more is needed;
 * otherwise the directory and exactly one of socket path and descriptor are set.
 */
int options_parse(struct options *o, int argc, char *const argv[], char *err, size_t size);

/**
 * options_rust_log() - the level that the environment asks for.
 * @spec:      value of RUST_LOG, as env_logger has it: levels, or TARGET=LEVEL for other programs and for
 *             us, with commas between; may be NULL.
 * @ret_level: enum log_level; left alone where nothing in @spec is about us.
 */
void options_rust_log(const char *spec, unsigned int *ret_level);

/** options_done() - free the strings. */
void options_done(struct options *o);

/** options_help() - write the usage text, made from the table. */
void options_help(FILE *f);

#endif
