// SPDX-License-Identifier: Apache-2.0
/* A directory to share, and a file beside it that nobody may get at. */
/*
 * Theory of operation
 *
 * Three directories lie side by side: "share", "outside" with the canary, and "away", to which the host moves
 * things. The file system keeps access times strictly, so that a read of the canary shows in it as a write
 * does; links to it stand in the share. The tree is small, and made anew for each input: what an input did is
 * gone with it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fd.h"
#include "share.h"
#include "util.h"

#define SECRET "the canary sings, and nobody may hear it"

const char *const share_names[SHARE_NAMES] = {
	"f",     "g",   "d",   "l", "out",    "abs", "fifo", "hard",
	"inner", "sub", "new", "x", "canary", "..",  ".",    "",
};

static char base[64];
static int base_fd = -1, root_fd = -1, away_fd = -1, outside_fd = -1, proc_fd = -1;
static struct stat canary, canary_dir;
static bool mounted;

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		perror(path);
	close(fd);
}

/* A mount namespace of our own, by way of a user namespace if need be. */
static bool unshare_mounts(void)
{
	unsigned int uid = geteuid(), gid = getegid();
	char map[40];

	if (unshare(CLONE_NEWNS) == 0)
		return true;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return false;
	write_text("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	write_text("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "0 %u 1", gid);
	write_text("/proc/self/gid_map", map);
	return true;
}

static int make_dir(const char *name)
{
	int fd;

	MUST(mkdirat(base_fd, name, 0755) == 0);
	fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(fd >= 0);
	return fd;
}

static void put_file(int dir, const char *name, const char *text, mode_t mode)
{
	int fd = openat(dir, name, O_CREAT | O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return;
	/* The file system may be full by now, or this be something else by that name. */
	if (write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fchmod(fd, mode) == 0)
		fsetxattr(fd, "user.x", "value", 5, 0);
	close(fd);
}

static void empty(int dir, int depth);

/* Whatever a guest made of it. */
static void remove_one(int dir, const char *name, int depth)
{
	int none = 0, fd;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0) {
		struct stat st;

		/* Immutable files, and directories that may only grow. */
		ioctl(fd, FS_IOC_SETFLAGS, &none);
		if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
			empty(fd, depth + 1);
		close(fd);
	}
	if (unlinkat(dir, name, 0) < 0)
		unlinkat(dir, name, AT_REMOVEDIR);
}

static void empty(int dir, int depth)
{
	DIR *d;
	struct dirent *e;
	int none = 0, fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	MUST(fd >= 0 && depth < 500);
	ioctl(fd, FS_IOC_SETFLAGS, &none);
	d = fdopendir(fd);
	MUST(d);
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			remove_one(dir, e->d_name, depth);
	closedir(d);
}

static void clean_up(void)
{
	empty(root_fd, 0);
	empty(away_fd, 0);
	empty(outside_fd, 0);
	unlinkat(base_fd, "share", AT_REMOVEDIR);
	unlinkat(base_fd, "away", AT_REMOVEDIR);
	unlinkat(base_fd, "outside", AT_REMOVEDIR);
	if (mounted)
		umount2(base, MNT_DETACH);
	rmdir(base);
}

void share_make(void)
{
	const char *tmp = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";

	MUST((size_t)snprintf(base, sizeof(base), "%s/culvert-fuzz-XXXXXX", tmp) < sizeof(base));
	MUST(mkdtemp(base));
	if (unshare_mounts()) {
		MUST(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0);
		mounted = mount("fuzz", base, "tmpfs", MS_STRICTATIME | MS_NODEV | MS_NOSUID,
				"size=8m,nr_inodes=2k,mode=755") == 0;
	}
	base_fd = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
	proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	MUST(base_fd >= 0 && proc_fd >= 0);
	root_fd = make_dir("share");
	away_fd = make_dir("away");
	outside_fd = make_dir("outside");
	put_file(outside_fd, "canary", SECRET, 0666);
	MUST(fstatat(outside_fd, "canary", &canary, 0) == 0 && fstat(outside_fd, &canary_dir) == 0);
	atexit(clean_up);
}

int share_root(void)
{
	return root_fd;
}

int share_proc(void)
{
	return proc_fd;
}

void share_reset(void)
{
	char path[128];
	int fd;

	empty(root_fd, 0);
	empty(away_fd, 0);
	MUST(fchown(root_fd, geteuid(), getegid()) == 0 && fchmod(root_fd, 0755) == 0);
	put_file(root_fd, "f", "hello, world", 0644);
	put_file(root_fd, "g", "", 06777);
	MUST(linkat(root_fd, "f", root_fd, "hard", 0) == 0);
	MUST(mkdirat(root_fd, "d", 0755) == 0 && mkdirat(root_fd, "d/sub", 01777) == 0);
	MUST(mkfifoat(root_fd, "fifo", 0600) == 0);
	fd = openat(root_fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(fd >= 0);
	put_file(fd, "inner", "within", 0600);
	close(fd);
	snprintf(path, sizeof(path), "%s/outside/canary", base);
	MUST(symlinkat("d", root_fd, "l") == 0 &&
	     symlinkat("../outside/canary", root_fd, "out") == 0);
	MUST(symlinkat(path, root_fd, "abs") == 0);
}

void share_host(struct feed *f)
{
	const char *name = share_names[feed_below(f, 12)];

	switch (feed_below(f, 9)) {
	case 0:
		renameat(root_fd, name, away_fd, name);
		break;
	case 1:
		renameat(away_fd, name, root_fd, name);
		break;
	case 2:
		if (renameat(root_fd, name, away_fd, name) == 0 &&
		    symlinkat("../outside", root_fd, name) < 0)
			perror(name);
		break;
	case 3:
		remove_one(root_fd, name, 0);
		break;
	case 4:
		if (mkdirat(root_fd, name, 0777) < 0)
			put_file(root_fd, name, "the host's", 0666);
		break;
	case 5:
		put_file(root_fd, name, "another text of the host's", 04755);
		break;
	case 6:
		mkfifoat(root_fd, name, 0666);
		break;
	case 7:
		renameat2(root_fd, name, root_fd, "d", RENAME_EXCHANGE);
		break;
	default: {
		int fd = openat(root_fd, name, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

		if (fd >= 0 && ftruncate(fd, feed_u16(f)) < 0)
			errno = 0;
		fd_close(&fd);
		break;
	}
	}
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static void check_one(const struct stat *was, const struct stat *st)
{
	MUST(st->st_ino == was->st_ino && st->st_mode == was->st_mode &&
	     st->st_nlink == was->st_nlink);
	MUST(st->st_uid == was->st_uid && st->st_gid == was->st_gid && st->st_size == was->st_size);
	MUST(same_time(st->st_mtim, was->st_mtim) && same_time(st->st_ctim, was->st_ctim));
	MUST(same_time(st->st_atim, was->st_atim));
}

void share_check(void)
{
	struct stat st;

	MUST(fstatat(outside_fd, "canary", &st, AT_SYMLINK_NOFOLLOW) == 0);
	check_one(&canary, &st);
	MUST(fstat(outside_fd, &st) == 0);
	check_one(&canary_dir, &st);
}

bool share_is_canary_ino(uint64_t ino)
{
	return ino == canary.st_ino || ino == canary_dir.st_ino;
}

bool share_is_canary(int fd)
{
	struct stat st;

	MUST(fstat(fd, &st) == 0);
	return st.st_dev == canary.st_dev && share_is_canary_ino(st.st_ino);
}

bool share_has_secret(const void *bytes, size_t len)
{
	return memmem(bytes, len, SECRET, sizeof(SECRET) - 1);
}
