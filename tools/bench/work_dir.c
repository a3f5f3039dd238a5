// SPDX-License-Identifier: Apache-2.0
/* virtiofs-bench: READDIRPLUS. */
/*
 * Theory of operation
 *
 * Each slot has a handle of its own and reads the folder from its beginning until the daemon has no more,
 * as Linux does: a page at a time, with an empty answer at the end. A listing that was begun is ended.
 * Each file must be in it once, with its inode number. Counted are files.
 *
 * The daemon knows the files from the listing before, but in "-new", where all is forgotten after each.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"
#include "fd.h"
#include "util.h"

#define ASK      BENCH_PAGE
#define KEPT_MAX 1000u /* files of a folder that stay known */

static int dir_begin(struct load *l)
{
	unsigned int which = (unsigned int)l->work->dir, n = l->files->dir[which].n;
	int r = share_dir(l, which, false);

	for (unsigned int i = 0; r == 0 && i < l->nslots; i++) {
		struct slot *s = &l->slot[i];

		if (!s->seen)
			s->seen = calloc(n / 64 + 1, sizeof(*s->seen));
		if (!s->seen)
			return -ENOMEM;
		s->at = s->seq = 0;
		r = share_open(l, FUSE_OPENDIR, l->arm->ids[which].node, O_RDONLY | O_DIRECTORY,
			       &s->fh);
	}
	return r;
}

static int close_all(struct load *l)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < l->nslots; i++)
		r = share_release(l, FUSE_RELEASEDIR, l->arm->ids[l->work->dir].node,
				  l->slot[i].fh);
	return r;
}

static int dir_end(struct load *l)
{
	int r = close_all(l);
	/* The warm-up makes files known, so a hundred thousand of them need not be kept open meanwhile. */
	bool few = l->files->dir[l->work->dir].n <= KEPT_MAX;

	return r < 0 ? r : share_forget(l, (unsigned int)l->work->dir, few);
}

static int new_end(struct load *l)
{
	int r = close_all(l);

	return r < 0 ? r : share_forget(l, (unsigned int)l->work->dir, 0);
}

static int new_begin(struct load *l)
{
	int r = share_dir(l, (unsigned int)l->work->dir, false);

	if (r == 0)
		r = share_forget(l, (unsigned int)l->work->dir, 0);
	return r < 0 ? r : dir_begin(l);
}

static void dir_issue(struct load *l, struct slot *s)
{
	struct fuse_read_in *in;

	slot_begin(l, s, FUSE_READDIRPLUS, l->arm->ids[l->work->dir].node);
	in = slot_arg(s, sizeof(*in));
	in->fh = s->fh;
	in->offset = s->at;
	in->size = ASK;
	slot_reply_data(s, ASK);
}

/* One entry. Returns files that it is, 0 or 1. */
static int check_entry(struct load *l, struct slot *s, const struct fuse_direntplus *e)
{
	const struct bench_dir *d = &l->files->dir[l->work->dir];
	struct ids *ids = &l->arm->ids[l->work->dir];
	int i = files_number(e->dirent.name, e->dirent.namelen);

	if (i < 0)
		return e->dirent.name[0] == '.' && e->dirent.namelen < 3
			       ? 0
			       : load_fail(l, "READDIRPLUS: an unknown name");
	if ((unsigned int)i >= d->n || s->seen[i / 64] >> (i % 64) & 1)
		return load_fail(l, "READDIRPLUS: file %d, which is not there or was before", i);
	s->seen[i / 64] |= 1ull << (i % 64);
	if (e->dirent.ino != d->ino[i] || e->entry_out.attr.ino != d->ino[i] ||
	    e->entry_out.attr.size != files_size((unsigned int)i) || !e->entry_out.nodeid ||
	    (ids->refs[i] && ids->id[i] != e->entry_out.nodeid))
		return load_fail(l, "READDIRPLUS: file %d has wrong attributes", i);
	ids->id[i] = e->entry_out.nodeid;
	ids->refs[i]++;
	return 1;
}

static int end_of_listing(struct load *l, struct slot *s)
{
	unsigned int n = l->files->dir[l->work->dir].n;

	if (s->seq != n)
		return load_fail(l, "READDIRPLUS: %llu files of %u", (unsigned long long)s->seq, n);
	memset(s->seen, 0, (n / 64 + 1) * sizeof(*s->seen));
	s->at = s->seq = 0;
	return 0;
}

static int dir_check(struct load *l, struct slot *s, bool *ret_rest)
{
	size_t len = slot_len(s), at = 0;
	int files = 0;

	if (slot_error(s) == -ENFILE || slot_error(s) == -EMFILE)
		return -ENFILE;
	if (slot_error(s))
		return load_fail(l, "READDIRPLUS: error %d", slot_error(s));
	*ret_rest = !len;
	if (!len)
		return end_of_listing(l, s);
	while (at + FUSE_NAME_OFFSET_DIRENTPLUS < len) {
		const struct fuse_direntplus *e = (const void *)(s->data + at);
		int r;

		if (e->dirent.namelen > len - at - FUSE_NAME_OFFSET_DIRENTPLUS)
			return load_fail(l, "READDIRPLUS: an entry is cut off");
		r = check_entry(l, s, e);
		if (r < 0)
			return r;
		files += r;
		s->at = e->dirent.off;
		at += FUSE_DIRENTPLUS_SIZE(e);
	}
	s->seq += (unsigned int)files;
	return files;
}

/* ---- the native loop: getdents64(2), and statx(2) of each ---- */

static int dir_native_begin(struct native *n)
{
	n->fds = malloc(sizeof(*n->fds));
	if (!n->fds)
		return -ENOMEM;
	n->fds[0] = openat(n->files->dir[n->work->dir].fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return n->fds[0] < 0 ? -errno : 0;
}

static void dir_native_end(struct native *n)
{
	if (n->fds)
		fd_close(&n->fds[0]);
	free(n->fds);
	n->fds = NULL;
}

/* A whole listing, in the room that the daemons have for theirs: some 25 names at a time. */
static int dir_native(struct native *n)
{
	uint8_t buf[1024];
	int files = 0, fd = n->fds[0];
	long len;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	while ((len = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < len;) {
			const struct dirent64 *e = (const void *)(buf + at);

			at += e->d_reclen;
			if (e->d_name[0] == '.')
				continue;
			if (statx(fd, e->d_name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS,
				  &n->stat[0]) < 0 ||
			    n->stat[0].stx_ino != e->d_ino)
				return -EIO;
			files++;
		}
	}
	n->next = (uint64_t)files;
	return len < 0 ? -errno : files;
}

static int dir_native_check(struct native *n)
{
	return n->next == n->files->dir[n->work->dir].n ? 0 : -EIO;
}

#define DIR_ROW(suffix, which, most, text)                                                         \
	{                                                                                          \
		.name = "readdirplus-" suffix, .about = "READDIRPLUS of a folder of " text,        \
		.size = ASK, .dir = which, .max_depth = most, .unit = "entry", .issue = dir_issue, \
		.check = dir_check, .native_begin = dir_native_begin,                              \
		.native_end = dir_native_end, .native = dir_native,                                \
		.native_check = dir_native_check,

const struct work work_dir[] =
	{
		/* clang-format off */
	DIR_ROW("10", DIR_10, 0, "10 files")
		.begin = dir_begin, .end = dir_end,
	},
	DIR_ROW("1k", DIR_1K, 0, "1,000 files")
		.begin = dir_begin, .end = dir_end,
	},
	DIR_ROW("1k-new", DIR_1K, 1, "1,000 files that the daemon has not seen")
		.once = true, .begin = new_begin, .end = new_end,
	},
	DIR_ROW("100k", DIR_100K, 4, "100,000 files")
		.begin = dir_begin, .end = dir_end,
	},
	/* clang-format on */
	{0},
}
;
