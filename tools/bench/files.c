// SPDX-License-Identifier: Apache-2.0
/* virtiofs-bench: what is in the share. */
/*
 * Theory of operation
 *
 * All lies in one folder below the share, made by plain system calls before any daemon is asked; what a
 * run before this one has left is used again where it is as it must be. The pages of the data file all
 * differ, so that a page from a wrong place is noticed, and so are the sizes of neighbouring files.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "fd.h"
#include "util.h"

static const struct bench_dir dirs[DIRS] = {
	[DIR_10] = {.name = "dir-10", .n = 10, .fd = -1},
	[DIR_1K] = {.name = "dir-1k", .n = 1000, .fd = -1},
	[DIR_100K] = {.name = "dir-100k", .n = 100000, .fd = -1},
	[DIR_MANY] = {.name = "dir-many", .n = FILES_MANY, .fd = -1},
};

void files_name(char name[16], unsigned int i)
{
	name[0] = 'f';
	for (int at = 6; at > 0; at--, i /= 10)
		name[at] = (char)('0' + i % 10);
	name[7] = 0;
}

int files_number(const char *name, size_t len)
{
	int n = 0;

	if (len != 7 || name[0] != 'f')
		return -1;
	for (size_t i = 1; i < 7; i++) {
		if (name[i] < '0' || name[i] > '9')
			return -1;
		n = 10 * n + (name[i] - '0');
	}
	return n;
}

static void make_data(uint8_t *data)
{
	uint64_t x = 0x2545f4914f6cdd1dull;

	for (size_t i = 0; i < FILES_DATA; i += sizeof(x)) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(data + i, &x, sizeof(x));
	}
}

static int write_all(int fd, const uint8_t *data)
{
	for (size_t at = 0; at < FILES_DATA;) {
		ssize_t n = pwrite(fd, data + at, MIN(FILES_DATA - at, 1u << 20), (off_t)at);

		if (n < 0)
			return -errno;
		at += (size_t)n;
	}
	return 0;
}

static int make_folder(int at, const char *name)
{
	int fd;

	if (mkdirat(at, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The data file and the one to be written; nothing else ever writes to the first. */
static int make_files(struct files *f)
{
	int r;

	f->data = malloc(FILES_DATA);
	if (!f->data)
		return -ENOMEM;
	make_data(f->data);
	f->data_fd = openat(f->fd, "data", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	f->out_fd = openat(f->fd, "out", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (f->data_fd < 0 || f->out_fd < 0)
		return -errno;
	r = write_all(f->data_fd, f->data);
	if (r == 0)
		r = write_all(f->out_fd, f->data);
	if (r == 0 && (ftruncate(f->data_fd, FILES_DATA) < 0 || ftruncate(f->out_fd, FILES_DATA)))
		r = -errno;
	return r;
}

int files_open(struct files *f, const char *dir)
{
	scoped_fd int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	memset(f, 0, sizeof(*f));
	f->fd = f->data_fd = f->out_fd = f->made_fd = -1;
	memcpy(f->dir, dirs, sizeof(dirs));
	if (at < 0)
		return -errno;
	if (asprintf(&f->path, "%s/" FILES_NAME, dir) < 0)
		return -ENOMEM;
	f->fd = make_folder(at, FILES_NAME);
	if (f->fd < 0)
		return f->fd;
	r = make_files(f);
	if (r < 0)
		return r;
	f->made_fd = make_folder(f->fd, "made");
	return MIN(f->made_fd, 0);
}

static int make_one(int dirfd, unsigned int i, uint64_t *ret_ino)
{
	struct stat st;
	char name[16];
	scoped_fd int fd = -1;

	files_name(name, i);
	fd = openat(dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size != files_size(i) && ftruncate(fd, (off_t)files_size(i)) < 0)
		return -errno;
	*ret_ino = st.st_ino;
	return 0;
}

int files_dir(struct files *f, unsigned int which)
{
	struct bench_dir *d = &f->dir[which];
	int r = 0;

	if (d->fd >= 0)
		return 0;
	d->fd = make_folder(f->fd, d->name);
	if (d->fd < 0)
		return d->fd;
	d->ino = calloc(d->n, sizeof(*d->ino));
	if (!d->ino)
		return -ENOMEM;
	for (unsigned int i = 0; r == 0 && i < d->n; i++)
		r = make_one(d->fd, i, &d->ino[i]);
	return r;
}

void files_many(struct files *f, unsigned int n)
{
	f->dir[DIR_MANY].n = n;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void files_close(struct files *f, bool all)
{
	for (unsigned int i = 0; i < DIRS; i++) {
		fd_close(&f->dir[i].fd);
		free(f->dir[i].ino);
	}
	fd_close(&f->data_fd);
	fd_close(&f->out_fd);
	fd_close(&f->made_fd);
	free(f->data);
	if (all && f->fd >= 0)
		nftw(f->path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	fd_close(&f->fd);
	free(f->path);
}
