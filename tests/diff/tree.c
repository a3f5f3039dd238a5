// SPDX-License-Identifier: Apache-2.0
// Comparing all that is under the two roots.
/*
 * Theory of operation
 *
 * Both trees are walked at once, in the order of names. What is compared of each entry: that it is on
 * both sides, its type in the directory, all that check_stat() looks at, the target of a link, extended
 * attributes, and the contents of regular files. Two names are one file on both sides or on neither: a
 * table for this walk holds side A's inode number for each of side B. Sparse files are read where either
 * side has data. In a directory shared by several workers only names of this worker are looked at.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "rng.h"

#define CHUNK     (128u << 10)
#define LINKS     8192u /* a power of two */
#define MOST_READ (64ll << 20)
#define LIST      65536

struct link_pair {
	uint64_t ino[2]; /* keyed by the first; 0 = free */
};

struct walk {
	struct ex *ex;
	struct diff *diff;
	struct link_pair *by[2]; /* keyed by A's number, and by B's */
	char *buf[2];
	char path[EXEC_PATH]; /* from the root, for people */
};

struct names {
	struct name {
		char *name;
		uint8_t type;
		uint64_t ino;
	} * list;
	size_t cnt;
};

static int compare_name(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->name, ((const struct name *)b)->name);
}

static void free_names(struct names *n)
{
	for (size_t i = 0; i < n->cnt; i++)
		free(n->list[i].name);
	free(n->list);
	*n = (struct names){0};
}

/* All names of a directory, sorted. */
static int read_names(int dirfd, const char *prefix, struct names *ret)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;
	size_t room = 0;

	*ret = (struct names){0};
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return -errno;
	}
	for (errno = 0; (d = readdir(dir)); errno = 0) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		if (prefix && d->d_name[0] != 'S' && strncmp(d->d_name, prefix, strlen(prefix)))
			continue;
		if (ret->cnt == room) {
			room = room ? room * 2 : 32;
			ret->list = reallocarray(ret->list, room, sizeof(*ret->list));
			if (!ret->list)
				abort();
		}
		ret->list[ret->cnt++] = (struct name){strdup(d->d_name), d->d_type, d->d_ino};
	}
	room = (size_t)errno;
	closedir(dir);
	if (ret->cnt)
		qsort(ret->list, ret->cnt, sizeof(*ret->list), compare_name);
	return -(int)room;
}

/* The number that goes with @ino on the other side, or 0 after noting that it is @other. */
static uint64_t pair(struct link_pair *table, uint64_t ino, uint64_t other)
{
	for (uint64_t i = rng_mix(ino), n = 0; n < 64; i++, n++) {
		struct link_pair *p = &table[i % LINKS];

		if (p->ino[0] == ino)
			return p->ino[1];
		if (!p->ino[0]) {
			*p = (struct link_pair){{ino, other}};
			return other;
		}
	}
	return other;
}

static void compare_identity(struct walk *w, const struct statx stx[2])
{
	uint64_t ino[2] = {stx[0].stx_ino, stx[1].stx_ino};

	if (pair(w->by[0], ino[0], ino[1]) != ino[1] || pair(w->by[1], ino[1], ino[0]) != ino[0])
		diff_set(w->diff, "identity",
			 "%s (inode %llu on A, %llu on B) is one file with another name on one "
			 "side only",
			 w->path, (unsigned long long)ino[0], (unsigned long long)ino[1]);
}

/* Where data begins, at or after @off; @end when there is none. */
static off_t next_data(int fd, off_t off, off_t end)
{
	off_t at = lseek(fd, off, SEEK_DATA);

	return at < 0 ? errno == ENXIO ? end : off : at;
}

static void compare_contents(struct walk *w, const int dir[2], const char *name, off_t size)
{
	off_t done = 0;
	int fd[2];

	for (int i = 0; i < 2; i++)
		fd[i] = openat(dir[i], name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd[0] < 0 || fd[1] < 0) {
		if ((fd[0] < 0) != (fd[1] < 0))
			diff_set(w->diff, "open", "%s cannot be opened on %s", w->path,
				 fd[0] < 0 ? "A" : "B");
		size = 0;
	}
	for (off_t off = 0; off < size && done < MOST_READ && !w->diff->found;) {
		ssize_t r[2];
		off_t at[2];

		if (size > MOST_READ) {
			for (int i = 0; i < 2; i++)
				at[i] = next_data(fd[i], off, size);
			off = at[0] < at[1] ? at[0] : at[1];
			if (off >= size)
				break;
		}
		for (int i = 0; i < 2; i++)
			r[i] = pread(fd[i], w->buf[i], CHUNK, off);
		if (r[0] != r[1]) {
			diff_set(w->diff, "contents", "read of %s at %lld: A %zd, B %zd", w->path,
				 (long long)off, r[0], r[1]);
			break;
		}
		for (ssize_t i = 0; i < r[0]; i++)
			if (w->buf[0][i] != w->buf[1][i]) {
				diff_set(w->diff, "contents", "%s at byte %lld: A %#x, B %#x",
					 w->path, (long long)(off + i), (uint8_t)w->buf[0][i],
					 (uint8_t)w->buf[1][i]);
				break;
			}
		if (r[0] <= 0)
			break;
		off += r[0];
		done += r[0];
	}
	for (int i = 0; i < 2; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

/* Every attribute of A has the same value on B. Returns how many A has, or a negative errno. */
static int compare_values(struct walk *w, char path[2][64], int from)
{
	char *list = w->buf[0];
	char *value[2] = {w->buf[0] + LIST, w->buf[1]};
	ssize_t len = listxattr(path[from], list, LIST);
	int cnt = 0;

	for (ssize_t i = 0; i < len; i += (ssize_t)strlen(list + i) + 1, cnt++) {
		ssize_t n[2];

		for (int s = 0; s < 2; s++)
			n[s] = getxattr(path[s], list + i, value[s], LIST);
		if (n[0] != n[1] || (n[0] > 0 && memcmp(value[0], value[1], (size_t)n[0])))
			diff_set(w->diff, "xattr", "attribute %s of %s: A %zd bytes, B %zd%s",
				 list + i, w->path, n[0], n[1],
				 n[0] == n[1] ? ", which are not the same" : "");
	}
	return len < 0 ? -errno : cnt;
}

static void compare_xattrs(struct walk *w, const int dir[2], const char *name)
{
	char path[2][64];
	int fd[2];

	for (int i = 0; i < 2; i++) {
		fd[i] = openat(dir[i], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		snprintf(path[i], sizeof(path[i]), "/proc/self/fd/%d", fd[i]);
	}
	if (fd[0] >= 0 && fd[1] >= 0) {
		int cnt[2] = {compare_values(w, path, 0), compare_values(w, path, 1)};

		if (cnt[0] != cnt[1])
			diff_set(w->diff, "xattrs", "attributes of %s: A %d, B %d", w->path, cnt[0],
				 cnt[1]);
	}
	for (int i = 0; i < 2; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

static void compare_link(struct walk *w, const int dir[2], const char *name)
{
	ssize_t r[2];

	for (int i = 0; i < 2; i++)
		r[i] = readlinkat(dir[i], name, w->buf[i], CHUNK);
	if (r[0] != r[1] || (r[0] > 0 && memcmp(w->buf[0], w->buf[1], (size_t)r[0])))
		diff_set(w->diff, "target", "target of %s: A %zd bytes, B %zd", w->path, r[0],
			 r[1]);
}

static void walk_dir(struct walk *w, const int dir[2], const char *prefix);

static void walk_entry(struct walk *w, const int dir[2], const struct name *a, const struct name *b,
		       const char *prefix)
{
	bool shared = prefix && a->name[0] == 'S';
	struct statx stx[2];
	int ret[2];
	int fd[2];

	for (int i = 0; i < 2; i++)
		ret[i] = check_statx(w->ex, i, dir[i], a->name, AT_SYMLINK_NOFOLLOW, &stx[i]);
	if (ret[0] || ret[1]) {
		diff_set(w->diff, "stat", "stat of %s: A %d, B %d", w->path, ret[0], ret[1]);
		return;
	}
	if (a->type != b->type)
		diff_set(w->diff, "d_type", "type of %s in its directory: A %u, B %u", w->path,
			 a->type, b->type);
	if (b->ino == stx[1].stx_ino && a->ino != stx[0].stx_ino)
		diff_set(w->diff, "d_ino",
			 "%s is inode %llu in its directory, and %llu for stat on A", w->path,
			 (unsigned long long)a->ino, (unsigned long long)stx[0].stx_ino);
	if (!shared)
		check_stat(w->ex, &stx[0], &stx[1], w->path, true, false, w->diff);
	compare_identity(w, stx);
	if (w->diff->found)
		return;
	if (S_ISREG(stx[1].stx_mode))
		compare_contents(w, dir, a->name, (off_t)stx[1].stx_size);
	if (S_ISLNK(stx[1].stx_mode))
		compare_link(w, dir, a->name);
	else if (w->ex->conf->xattr && !shared)
		compare_xattrs(w, dir, a->name);
	if (!S_ISDIR(stx[1].stx_mode))
		return;
	for (int i = 0; i < 2; i++)
		fd[i] = openat(dir[i], a->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd[0] >= 0 && fd[1] >= 0)
		walk_dir(w, fd, shared ? prefix : NULL);
	else
		diff_set(w->diff, "open", "directory %s cannot be opened", w->path);
	for (int i = 0; i < 2; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

static void walk_dir(struct walk *w, const int dir[2], const char *prefix)
{
	size_t len = strlen(w->path);
	struct names names[2];
	int r[2];

	for (int i = 0; i < 2; i++)
		r[i] = read_names(dir[i], prefix, &names[i]);
	if (r[0] != r[1])
		diff_set(w->diff, "readdir", "reading %s: A %d, B %d", len ? w->path : ".", r[0],
			 r[1]);
	for (size_t i = 0; (i < names[0].cnt || i < names[1].cnt) && !w->diff->found; i++) {
		const struct name *a = i < names[0].cnt ? &names[0].list[i] : NULL;
		const struct name *b = i < names[1].cnt ? &names[1].list[i] : NULL;
		int c = !a ? 1 : !b ? -1 : strcmp(a->name, b->name);

		if (c)
			diff_set(w->diff, "names", "%s in %s is on %s only",
				 c < 0 ? a->name : b->name, len ? w->path : ".", c < 0 ? "A" : "B");
		if (w->diff->found || len + strlen(a->name) + 2 > sizeof(w->path))
			break;
		sprintf(w->path + len, "%s%s", len ? "/" : "", a->name);
		walk_entry(w, dir, a, b, prefix);
		w->path[len] = 0;
	}
	free_names(&names[0]);
	free_names(&names[1]);
}

void check_tree(struct ex *ex, struct diff *diff)
{
	struct walk *w = calloc(1, sizeof(*w));
	bool ok;

	if (!w)
		return;
	w->ex = ex;
	w->diff = diff;
	clock_gettime(CLOCK_REALTIME_COARSE, &ex->began);
	for (int i = 0; i < 2; i++) {
		w->by[i] = calloc(LINKS, sizeof(*w->by[i]));
		w->buf[i] = malloc(2 * CHUNK);
	}
	ok = w->by[0] && w->by[1] && w->buf[0] && w->buf[1];
	if (ok)
		walk_dir(w, ex->root, ex->prefix);
	for (int i = 0; i < 2; i++) {
		free(w->by[i]);
		free(w->buf[i]);
	}
	free(w);
}
