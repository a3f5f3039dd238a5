/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox: what the daemon gives up before it meets a guest. */
#ifndef CULVERT_JAIL_H
#define CULVERT_JAIL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "caps.h"
#include "syscalls.h"
#include "userns.h"

enum jail_kind {
	JAIL_NAMESPACE, /* namespaces, pivot_root into the share */
	JAIL_CHROOT,    /* chroot into the share */
	JAIL_NONE,      /* no confinement of paths */
	JAIL_LANDLOCK,  /* Landlock alone: for users without privileges and without namespaces */
};

/**
 * struct jail_conf - what is asked for.
 * @kind:        the sandbox.
 * @shared_dir:  the directory that is shared; relative ones are from the current directory.
 * @readonly:    mount the share read-only inside the mount namespace, too.
 * @open_handles: keep CAP_DAC_READ_SEARCH, which open_by_handle_at(2) takes.
 * @modcaps:     other capabilities to keep, or not to. With JAIL_NONE, of all.
 * @seccomp:     what becomes of system calls that are not in the list.
 * @uids, @gids: with JAIL_NAMESPACE: @n_uids users and @n_gids groups of a user namespace, which is made
 *               where there are any; an empty list of the two is the caller's own, as 0.
 * @service_fd:  a descriptor that only the service needs, or -1: the keeper closes its copy.
 * @cleanup:     called outside before the process that was started ends, also when a stage fails:
 *               what has to be removed there, the service cannot reach any more. May be NULL.
 * @cleanup_arg: its argument.
 */
struct jail_conf {
	enum jail_kind kind;
	const char *shared_dir;
	bool readonly;
	bool open_handles;
	struct caps_mods modcaps;
	enum seccomp_action seccomp;
	const struct userns_map *uids;
	const struct userns_map *gids;
	unsigned int n_uids;
	unsigned int n_gids;
	int service_fd;
	void (*cleanup)(void *arg);
	void *cleanup_arg;
};

/**
 * struct jail - what is left of the host after jail_enter().
 * @root_fd:    O_PATH descriptor of the shared directory as seen from inside.
 * @proc_fd_fd: O_PATH descriptor of this process's /proc/self/fd.
 * @kept:       a keeper stays outside and does the cleanup; this process does not.
 */
struct jail {
	int root_fd;
	int proc_fd_fd;
	bool kept;
};

/**
 * jail_enter() - go in; single-threaded process only, SIGTERM, SIGINT and SIGHUP blocked.
 *
 * With JAIL_NAMESPACE, and with JAIL_CHROOT and JAIL_LANDLOCK when there is a cleanup, the process forks: the call
 * returns in the child, which is pid 1 of its own pid namespace (JAIL_NAMESPACE). The parent, the
 * keeper, stays outside, passes the three signals on, exits with the child's exit status (128 +
 * signal when it was killed), and the child dies when the keeper does. On failure this writes one
 * line that names the stage and exits with status 1: a daemon half jailed must not run.
 */
void jail_enter(const struct jail_conf *conf, struct jail *ret);

/**
 * jail_seal() - from here on only the system calls that serving takes.
 *
 * Single-threaded process still, after jail_enter() and before anything is heard of a front-end. Logs why
 * it failed. 0 or -errno: then do not serve.
 */
int jail_seal(const struct jail_conf *conf);

/** jail_show() - write what jail_enter() and jail_seal() would do here and now. */
void jail_show(const struct jail_conf *conf, FILE *f);

#endif
