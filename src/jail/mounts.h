/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces and mounts: how the share becomes the only tree there is. */
#ifndef CULVERT_MOUNTS_H
#define CULVERT_MOUNTS_H

#include <stdbool.h>

/* All: single-threaded process, in this order, 0 or -errno. */

/** mounts_user_ns() - a user namespace with this user alone, whose number stays. For the unprivileged. */
int mounts_user_ns(void);

/** mounts_pid_ns() - the next child is pid 1 of a pid namespace. */
int mounts_pid_ns(void);

/**
 * mounts_unshare() - mount and network namespaces of our own; ipc, uts and cgroup namespaces where
 * the kernel has them.
 */
int mounts_unshare(void);

/** mounts_slave() - host mounts show up here from now on, ours never there. */
int mounts_slave(void);

/**
 * mounts_proc_fd() - open this process's /proc/self/fd.
 * @ret_fd: O_PATH; in a proc of this pid namespace that is visible nowhere, and with nothing above
 *          it.
 */
int mounts_proc_fd(int *ret_fd);

/**
 * mounts_proc_detached() - open this process's /proc/self/fd as a mount that is nowhere.
 * @ret_fd: as of mounts_proc_fd(), in the proc that is mounted.
 *
 * Takes CAP_SYS_ADMIN and Linux 5.2, but no mount namespace.
 */
int mounts_proc_detached(int *ret_fd);

/**
 * mounts_pivot() - make @dir (absolute), with the mounts below it, the root, and let go of the old
 * one.
 */
int mounts_pivot(const char *dir);

/**
 * mounts_restrict() - no devices, no set-id programs, no execution on the root and all that is mounted
 * below it by now; with @readonly no writing either.
 *
 * What is stored does not change by it: nodes can be made, set-id bits be set. Returns 1 where the
 * kernel (before 5.12) can do it for the topmost mount only.
 */
int mounts_restrict(bool readonly);

/** mounts_chroot() - make @dir the root without a mount namespace. */
int mounts_chroot(const char *dir);

#endif
