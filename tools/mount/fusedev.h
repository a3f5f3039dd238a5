/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's FUSE device: mounting, unmounting, and descriptors for several threads. */
#ifndef CULVERT_FUSEDEV_H
#define CULVERT_FUSEDEV_H

#include <stdbool.h>

/**
 * fusedev_mount() - mount a FUSE file system whose requests come from a new descriptor.
 * @source: what the mount is said to be of.
 * @dir:    where; absolute.
 * @opts:   mount options, apart by commas; may be empty. What is no flag of mount(2) goes to the kernel.
 * @ret_fd: the descriptor, non-blocking, owned by the caller.
 *
 * As root by mount(2), for everybody else with the help of fusermount3. The kernel checks permissions,
 * as it does for virtio-fs; root's mounts are open to all users, as well. Returns 0 or a negative errno
 * (-EPROTO: fusermount3 failed, and has said why).
 */
int fusedev_mount(const char *source, const char *dir, const char *opts, int *ret_fd);

/**
 * fusedev_unmount() - take the mount away.
 * @lazy: also when it is in use: it disappears from @dir at once, and ends with its last user.
 *
 * Returns 0 or a negative errno. Any thread that does not serve requests.
 */
int fusedev_unmount(const char *dir, bool lazy);

/** fusedev_clone() - another descriptor, non-blocking, for requests of the mount of @fd. fd or -errno. */
int fusedev_clone(int fd);

#endif
