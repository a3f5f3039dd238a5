/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock: only the share can be opened, created in, removed from. */
#ifndef CULVERT_LANDLOCK_H
#define CULVERT_LANDLOCK_H

#define LANDLOCK_ABI_MIN 2 /* Linux 5.19: before, no file could be moved between directories */

/** landlock_abi() - which version the kernel has; 0: none. */
int landlock_abi(void);

/**
 * landlock_enter() - confine this process, and all that it starts.
 * @root_fd: the share.
 *
 * Single-threaded process that has no_new_privs. 0; -EOPNOTSUPP where the kernel has none or one that is
 * older than LANDLOCK_ABI_MIN; -errno.
 */
int landlock_enter(int root_fd);

#endif
