// SPDX-License-Identifier: Apache-2.0
/* The kernel's FUSE device: mounting, unmounting, and descriptors for several threads. */
/*
 * Theory of operation
 *
 * A FUSE mount is a descriptor of /dev/fuse that was named in the options of mount(2). Options that are
 * flags there are turned into flags; all others are the kernel's to judge. Without the right to mount,
 * the setuid helper fusermount3 does it and passes the descriptor over a socket.
 *
 * Clones of the descriptor take requests from the same mount, and answers go to the one that the request
 * came from. No state; descriptors belong to the caller.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "fusedev.h"
#include "util.h"

#define OPTS_MAX 4096

static const struct {
	const char *word;
	unsigned long flag;
	bool clear;
} flag_words[] = {
	{"ro", MS_RDONLY, false},
	{"rw", MS_RDONLY, true},
	{"nosuid", MS_NOSUID, false},
	{"suid", MS_NOSUID, true},
	{"nodev", MS_NODEV, false},
	{"dev", MS_NODEV, true},
	{"noexec", MS_NOEXEC, false},
	{"exec", MS_NOEXEC, true},
	{"noatime", MS_NOATIME, false},
	{"atime", MS_NOATIME, true},
	{"nodiratime", MS_NODIRATIME, false},
	{"diratime", MS_NODIRATIME, true},
	{"relatime", MS_RELATIME, false},
	{"strictatime", MS_STRICTATIME, false},
	{"sync", MS_SYNCHRONOUS, false},
	{"async", MS_SYNCHRONOUS, true},
	{"dirsync", MS_DIRSYNC, false},
};

static bool take_flag(const char *word, unsigned long *flags)
{
	for (size_t i = 0; i < ARRAY_SIZE(flag_words); i++) {
		if (strcmp(flag_words[i].word, word))
			continue;
		if (flag_words[i].clear)
			*flags &= ~flag_words[i].flag;
		else
			*flags |= flag_words[i].flag;
		return true;
	}
	return false;
}

/* Flags go to @flags, the rest stays in @rest, each with a comma before it. */
static int split_opts(const char *opts, unsigned long *flags, char *rest, size_t size)
{
	char *copy = strdup(opts);
	char *save = NULL;
	size_t len = 0;

	if (!copy)
		return -ENOMEM;
	rest[0] = 0;
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		if (take_flag(w, flags))
			continue;
		if (len + strlen(w) + 2 > size) {
			free(copy);
			return -E2BIG;
		}
		len += (size_t)sprintf(rest + len, ",%s", w);
	}
	free(copy);
	return 0;
}

static int mount_as_root(const char *source, const char *dir, const char *opts, int *ret_fd)
{
	scoped_fd int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	char data[OPTS_MAX + 256];
	char rest[OPTS_MAX];
	unsigned long flags = 0;
	struct stat st;
	int r;

	if (fd < 0 || stat(dir, &st) < 0)
		return -errno;
	r = split_opts(opts, &flags, rest, sizeof(rest));
	if (r < 0)
		return r;
	snprintf(data, sizeof(data),
		 "fd=%d,rootmode=%o,user_id=%u,group_id=%u,default_permissions,allow_other%s", fd,
		 st.st_mode & S_IFMT, getuid(), getgid(), rest);
	if (mount(source, dir, "fuse.virtiofs", flags, data) < 0)
		return -errno;
	*ret_fd = fd_steal(&fd);
	return 0;
}

/* Run fusermount3; @comm is its end of a socket, or -1. Returns its exit status or a negative errno. */
static int run_helper(const char *const argv[], int comm)
{
	char env[32];
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid) {
		if (comm >= 0) {
			snprintf(env, sizeof(env), "%d", comm);
			setenv("_FUSE_COMMFD", env, 1);
			fcntl(comm, F_SETFD, 0);
		}
		execvp(argv[0], (char *const *)argv);
		fprintf(stderr, "virtiofs-mount: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EPROTO;
}

static int mount_as_user(const char *source, const char *dir, const char *opts, int *ret_fd)
{
	char words[OPTS_MAX + 256];
	const char *argv[] = {"fusermount3", "-o", words, "--", dir, NULL};
	unsigned int nfds = 0;
	int pair[2];
	char byte;
	int fd = -1;
	int r;

	snprintf(words, sizeof(words), "subtype=virtiofs,fsname=%s,default_permissions%s%s", source,
		 *opts ? "," : "", opts);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	r = run_helper(argv, pair[1]);
	fd_close(&pair[1]);
	if (!r)
		r = fd_recvmsg(pair[0], &byte, 1, &fd, 1, &nfds) == 1 && nfds == 1 ? 0 : -EPROTO;
	else if (r > 0)
		r = -EPROTO;
	fd_close(&pair[0]);
	if (r < 0)
		return r;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		r = -errno;
		fd_close(&fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int fusedev_mount(const char *source, const char *dir, const char *opts, int *ret_fd)
{
	if (strlen(source) + strlen(opts) > OPTS_MAX - 64)
		return -E2BIG;
	return geteuid() ? mount_as_user(source, dir, opts, ret_fd)
			 : mount_as_root(source, dir, opts, ret_fd);
}

int fusedev_unmount(const char *dir, bool lazy)
{
	const char *argv[] = {"fusermount3", lazy ? "-uqz" : "-uq", "--", dir, NULL};
	int r;

	if (!geteuid())
		return umount2(dir, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) < 0 ? -errno : 0;
	r = run_helper(argv, -1);
	return r > 0 ? -EBUSY : r;
}

int fusedev_clone(int fd)
{
	scoped_fd int clone = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	uint32_t from = (uint32_t)fd;

	if (clone < 0 || ioctl(clone, FUSE_DEV_IOC_CLONE, &from) < 0)
		return -errno;
	return fd_steal(&clone);
}
