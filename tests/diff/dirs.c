// SPDX-License-Identifier: Apache-2.0
// The directories that programs run in.
/*
 * Theory of operation
 *
 * A program runs some levels below a directory of its own, so that the few ".." that it may use do not
 * lead out of what is removed afterwards. Removing goes through the mount on side A, which tests it once
 * more. No state.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dirs.h"

#define LEVELS 4

static int remove_at(int dir, const char *name)
{
	int fd;
	int r;

	if (!unlinkat(dir, name, 0))
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return errno == ENOENT ? 0 : -errno;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == EACCES) {
		(void)!fchmodat(dir, name, 0700, 0);
		fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0)
		return -errno;
	if (geteuid())
		(void)!fchmod(fd, 0700);
	r = dirs_empty(fd, "");
	close(fd);
	if (r)
		return r;
	return unlinkat(dir, name, AT_REMOVEDIR) ? -errno : 0;
}

int dirs_empty(int dir, const char *prefix)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int r = 0;

	if (!d) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (!r && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
		    !strncmp(e->d_name, prefix, strlen(prefix)))
			r = remove_at(dir, e->d_name);
	closedir(d);
	return r;
}

static int make_levels(int dir, const char *name)
{
	int fd = dup(dir);

	for (int i = 0; i <= LEVELS && fd >= 0; i++) {
		const char *level = i ? "d" : name;
		int next = -1;

		if (!mkdirat(fd, level, 0755))
			next = openat(fd, level, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	if (fd < 0 || fchmod(fd, 0777))
		return -errno;
	return fd;
}

static int open_levels(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; i < LEVELS && fd >= 0; i++) {
		int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		close(fd);
		fd = next;
	}
	return fd < 0 ? -errno : fd;
}

int dirs_make(const int top[3], const char *name, int ret_root[3])
{
	int root[3] = {-1, -1, -1};

	for (int i = 0; i < 3; i++) {
		if (i == 2 && top[2] < 0)
			break;
		root[i] = i == 2 ? open_levels(top[2], name) : make_levels(top[i], name);
		if (root[i] < 0) {
			fprintf(stderr, "fsdiff: making %s in %s: %s\n", name,
				i == 0   ? "A"
				: i == 1 ? "B"
					 : "the host's side of A",
				strerror(-root[i]));
			dirs_close(root);
			return root[i];
		}
	}
	memcpy(ret_root, root, sizeof(root));
	return 0;
}

void dirs_close(int root[3])
{
	for (int i = 0; i < 3; i++)
		if (root[i] >= 0)
			close(root[i]);
}

int dirs_remove(const int top[3], const char *name)
{
	int r = 0;

	for (int i = 0; i < 2; i++) {
		int one = remove_at(top[i], name);

		r = r ? r : one;
	}
	return r;
}
