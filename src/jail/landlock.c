// SPDX-License-Identifier: Apache-2.0
/* Landlock: only the share can be opened, created in, removed from. */
/*
 * Theory of operation
 *
 * All rights of the file system that the kernel knows are taken away and given back beneath the share,
 * but for executing and for ioctl(2) on devices. The rule is on the share's inode: what the host mounts
 * below it later is beneath it, too, and what the host moves out of it is not any more, even where a
 * descriptor is open on it. TCP, abstract sockets and signals to the outside go where the kernel can.
 *
 * It does not cover looking (stat, readlink, walking) nor chmod, chown, utimes and xattrs: those are the
 * mount namespace's to prevent, which makes this a second line there and a weaker first one alone.
 *
 * A file that was opened by its handle may have no way up to the share that the kernel knows, and is
 * refused then. So this is left out where files are opened by handles.
 *
 * The kernel's header of Debian 12 knows version 2 only, so what came later is written down here.
 */
#include <errno.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"
#include "landlock.h"
#include "util.h"

#define FS_V1        ((UINT64_C(1) << 13) - 1)
#define FS_REFER     (UINT64_C(1) << 13)
#define FS_TRUNCATE  (UINT64_C(1) << 14)
#define FS_IOCTL_DEV (UINT64_C(1) << 15)
#define NET_TCP      UINT64_C(3) /* bind, connect */
#define SCOPES       UINT64_C(3) /* abstract sockets, signals */

/* What each version added. */
static const struct {
	int abi;
	uint64_t fs, net, scoped;
} versions[] = {
	{1, FS_V1, 0, 0},   {2, FS_REFER, 0, 0},     {3, FS_TRUNCATE, 0, 0},
	{4, 0, NET_TCP, 0}, {5, FS_IOCTL_DEV, 0, 0}, {6, 0, 0, SCOPES},
};

/* struct landlock_ruleset_attr of version 6. */
struct ruleset {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

int landlock_enter(int root_fd)
{
	const int abi = landlock_abi();
	struct ruleset set = {0};
	struct landlock_path_beneath_attr share = {.parent_fd = root_fd};
	scoped_fd int fd = -1;

	if (abi < LANDLOCK_ABI_MIN)
		return -EOPNOTSUPP;
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		if (versions[i].abi > abi)
			continue;
		set.fs |= versions[i].fs;
		set.net |= versions[i].net;
		set.scoped |= versions[i].scoped;
	}
	share.allowed_access = set.fs & ~(LANDLOCK_ACCESS_FS_EXECUTE | FS_IOCTL_DEV);
	fd = (int)syscall(SYS_landlock_create_ruleset, &set, sizeof(set), 0);
	if (fd < 0)
		return -errno;
	if (syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &share, 0) < 0)
		return -errno;
	return syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
}
