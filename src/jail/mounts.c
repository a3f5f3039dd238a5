// SPDX-License-Identifier: Apache-2.0
/* Namespaces and mounts: how the share becomes the only tree there is. */
/*
 * Theory of operation
 *
 * Called by jail_enter() in the order of the header, in a process with one thread. No state but the
 * kernel's.
 *
 * All work is done on /proc, the one directory that is sure to exist: our own proc is mounted
 * there, its self/fd is bound over it and opened (".." of a bind mount's root leads nowhere), both
 * are taken off again, and then the share is bound there and becomes the root. So nothing depends
 * on where the share lies: it may be a mount point or not, or "/" itself.
 *
 * Every mount was made a slave before, so what is mounted or unmounted here stays here, while what
 * the host mounts below the share later on arrives: a bind of a slave is a slave of the same
 * master.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"
#include "mounts.h"
#include "util.h"

#define STAGE_DIR "/proc"

static int write_file(const char *path, const char *text)
{
	scoped_fd int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int mounts_user_ns(void)
{
	char uids[32], gids[32];
	int r;

	/* By the same numbers: the guest's user of this number is the one who may do something here. */
	snprintf(uids, sizeof(uids), "%u %u 1\n", geteuid(), geteuid());
	snprintf(gids, sizeof(gids), "%u %u 1\n", getegid(), getegid());
	if (unshare(CLONE_NEWUSER) < 0)
		return -errno;
	r = write_file("/proc/self/setgroups", "deny");
	if (r == 0)
		r = write_file("/proc/self/uid_map", uids);
	return r == 0 ? write_file("/proc/self/gid_map", gids) : r;
}

int mounts_pid_ns(void)
{
	return unshare(CLONE_NEWPID) < 0 ? -errno : 0;
}

int mounts_unshare(void)
{
	/* What a kernel may be built without, there is nothing to share of. */
	static const int more[] = {CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP};

	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(more); i++)
		if (unshare(more[i]) < 0 && errno != EINVAL)
			return -errno;
	return 0;
}

int mounts_slave(void)
{
	return mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ? -errno : 0;
}

int mounts_proc_fd(int *ret_fd)
{
	scoped_fd int fd = -1;

	if (mount("proc", STAGE_DIR, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return -errno;
	if (mount(STAGE_DIR "/self/fd", STAGE_DIR, NULL, MS_BIND, NULL) < 0)
		return -errno;
	fd = open(STAGE_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		if (umount2(STAGE_DIR, MNT_DETACH) < 0)
			return -errno;
	*ret_fd = fd_steal(&fd);
	return 0;
}

int mounts_proc_detached(int *ret_fd)
{
	/* In the namespace of the mounts that are there, but nowhere in its tree. */
	int fd = (int)syscall(SYS_open_tree, AT_FDCWD, "/proc/self/fd",
			      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int mounts_pivot(const char *dir)
{
	if (mount(dir, STAGE_DIR, NULL, MS_BIND | MS_REC, NULL) < 0)
		return -errno;
	if (chdir(STAGE_DIR) < 0)
		return -errno;
	/* The old root ends up on top of the new one, at the same place; then it is taken off. */
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return -errno;
	if (umount2(".", MNT_DETACH) < 0)
		return -errno;
	return chdir("/") < 0 ? -errno : 0;
}

/* Before Linux 5.12: the topmost mount only. Flags that are set must be given again. */
static int remount(unsigned long add)
{
	static const struct {
		unsigned long st, ms;
	} map[] = {
		{ST_RDONLY, MS_RDONLY},     {ST_NOSUID, MS_NOSUID},
		{ST_NODEV, MS_NODEV},       {ST_NOEXEC, MS_NOEXEC},
		{ST_NOATIME, MS_NOATIME},   {ST_NODIRATIME, MS_NODIRATIME},
		{ST_RELATIME, MS_RELATIME},
	};
	unsigned long flags = MS_REMOUNT | MS_BIND | add;
	struct statvfs st;

	if (statvfs("/", &st) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (st.f_flag & map[i].st)
			flags |= map[i].ms;
	return mount(NULL, "/", NULL, flags, NULL) < 0 ? -errno : 0;
}

int mounts_restrict(bool readonly)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
	};
	int r;

	if (readonly)
		attr.attr_set |= MOUNT_ATTR_RDONLY;
	if (syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof(attr)) == 0)
		return 0;
	if (errno != ENOSYS)
		return -errno;
	r = remount(MS_NODEV | MS_NOSUID | MS_NOEXEC | (readonly ? MS_RDONLY : 0));
	return r < 0 ? r : 1;
}

int mounts_chroot(const char *dir)
{
	if (chroot(dir) < 0)
		return -errno;
	return chdir("/") < 0 ? -errno : 0;
}
