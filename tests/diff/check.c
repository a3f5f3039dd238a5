// SPDX-License-Identifier: Apache-2.0
// Comparing the state of what an operation named.
/*
 * Theory of operation
 *
 * Inode numbers and devices differ between the sides, and so do time stamps. So an inode is known by
 * side B's number and birth time (which a reused number does not share), and for each one that was
 * looked at the table "seen" holds side A's number, which must stay the same, and the times of both
 * sides. mtime and ctime must have changed on both sides since then or on neither. Where stamps are
 * coarser than an operation is long (older kernels), a stamp that did not change proves nothing while
 * it is younger than a few ticks. A stamp more than an hour away from now was set by somebody, and
 * must be equal on both sides to the nanosecond.
 *
 * Number and birth time can come again within a tick of the clock: what an operation may remove is
 * forgotten before it. The table forgets more: a collision replaces an entry, if it can be one whose
 * loss only loses a comparison: not one of a file that a mapping has changed. One thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "rng.h"

#define STATX_WANT   (STATX_BASIC_STATS | STATX_BTIME)
#define GRAIN_NS     (40 * 1000 * 1000LL) /* longer than the tick of any kernel, some ticks */
#define BLOCKS_SLACK 64                   /* blocks of extents more or less, in sectors */
#define HOUR         3600

static int64_t ns_since(const struct statx_timestamp *t, const struct timespec *now)
{
	int64_t s = now->tv_sec - t->tv_sec;

	if (s > HOUR || s < -HOUR)
		return s * 1000000000LL;
	return s * 1000000000LL + now->tv_nsec - (int64_t)t->tv_nsec;
}

static bool same_time(const struct statx_timestamp *a, const struct statx_timestamp *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool was_set(const struct statx_timestamp *t, const struct timespec *now)
{
	return llabs(now->tv_sec - (int64_t)t->tv_sec) > HOUR;
}

/* What is known of an inode that only costs a comparison when it is forgotten. */
static bool may_be_lost(const struct seen *s)
{
	return !s->valid ||
	       (s->dirty_map == -1 && !s->untimed && !s->unwritten && !s->late && !s->cut);
}

struct seen *check_seen(struct ex *ex, const struct statx *b)
{
	uint64_t birth = (uint64_t)b->stx_btime.tv_sec * 1000000007u + b->stx_btime.tv_nsec;
	uint64_t hash = rng_mix(b->stx_ino + birth * 31);
	struct seen *victim = NULL;

	for (unsigned int i = 0; i < EXEC_SEEN_WAYS; i++) {
		struct seen *s = &ex->seen[(hash + i) % EXEC_SEEN];

		if (s->valid && s->ino_b == b->stx_ino && same_time(&s->btime, &b->stx_btime))
			return s;
		if (!victim || (!may_be_lost(victim) && may_be_lost(s)) ||
		    (victim->valid && !s->valid))
			victim = s;
	}
	*victim = (struct seen){
		.valid = true, .ino_b = b->stx_ino, .btime = b->stx_btime, .dirty_map = -1};
	return victim;
}

static void check_one_time(struct ex *ex, const char *name, const struct statx_timestamp *now[2],
			   const struct statx_timestamp *old, bool relate, const char *where,
			   struct diff *diff)
{
	bool changed[2];
	int still;

	if (was_set(now[0], &ex->began) || was_set(now[1], &ex->began)) {
		if (!same_time(now[0], now[1]))
			diff_set(diff, name, "%s of %s: A %lld.%09u, B %lld.%09u", name, where,
				 (long long)now[0]->tv_sec, now[0]->tv_nsec,
				 (long long)now[1]->tv_sec, now[1]->tv_nsec);
		return;
	}
	if (!relate)
		return;
	for (int i = 0; i < 2; i++)
		changed[i] = !same_time(now[i], &old[i]);
	if (changed[0] == changed[1])
		return;
	still = changed[0] ? SIDE_B : SIDE_A;
	if (!ex->conf->fine && ns_since(now[still], &ex->began) < GRAIN_NS)
		return;
	diff_set(diff, name, "%s of %s changed on %s only (%lld.%09u, on the other side %lld.%09u)",
		 name, where, still == SIDE_B ? "A" : "B", (long long)now[!still]->tv_sec,
		 now[!still]->tv_nsec, (long long)now[still]->tv_sec, now[still]->tv_nsec);
}

static void check_times(struct ex *ex, const struct statx *a, const struct statx *b, struct seen *s,
			bool times, const char *where, struct diff *diff)
{
	const struct statx_timestamp *m[2] = {&a->stx_mtime, &b->stx_mtime};
	const struct statx_timestamp *c[2] = {&a->stx_ctime, &b->stx_ctime};
	/* What goes through a pipe stamps it, where the pipe is: in the client's kernel. */
	bool clean =
		s->dirty_map == -1 && !s->untimed && !(S_ISFIFO(b->stx_mode) && ex->conf->fuse);

	if (!same_time(m[SIDE_B], &s->mtime[SIDE_B]))
		s->late = false;
	if (clean) {
		if (!s->late)
			check_one_time(ex, "mtime", m, s->mtime, times && s->timed, where, diff);
		check_one_time(ex, "ctime", c, s->ctime, times && s->timed, where, diff);
	}
	s->timed = times && clean && !(ex->conf->writeback && S_ISREG(b->stx_mode));
	for (int i = 0; i < 2; i++) {
		s->mtime[i] = *m[i];
		s->ctime[i] = *c[i];
	}
}

#define FIELD(field, fmt)                                                                 \
	do {                                                                              \
		if (a->stx_##field != b->stx_##field)                                     \
			diff_set(diff, #field, #field " of %s: A " fmt ", B " fmt, where, \
				 a->stx_##field, b->stx_##field);                         \
	} while (0)

void check_stat(struct ex *ex, const struct statx *a, const struct statx *b, const char *where,
		bool times, bool atime, struct diff *diff)
{
	const struct statx_timestamp *at[2] = {&a->stx_atime, &b->stx_atime};
	struct seen *s;

	FIELD(mode, "%#o");
	FIELD(uid, "%u");
	FIELD(gid, "%u");
	FIELD(nlink, "%u");
	FIELD(blksize, "%u");
	if (!S_ISDIR(b->stx_mode) || ex->conf->dirsize)
		FIELD(size, "%llu");
	if (S_ISCHR(b->stx_mode) || S_ISBLK(b->stx_mode)) {
		FIELD(rdev_major, "%u");
		FIELD(rdev_minor, "%u");
	}
	if ((a->stx_mask ^ b->stx_mask) & (ex->conf->btime ? STATX_WANT : STATX_BASIC_STATS))
		diff_set(diff, "mask", "statx of %s knows: A %#x, B %#x", where, a->stx_mask,
			 b->stx_mask);
	s = check_seen(ex, b);
	if (s->ino_a && b->stx_mask & STATX_BTIME && s->ino_a != a->stx_ino)
		diff_set(diff, "ino", "%s was inode %llu on A and now is %llu; B did not change",
			 where, (unsigned long long)s->ino_a, (unsigned long long)a->stx_ino);
	if (ex->conf->blocks && s->dirty_map == -1 && !s->cut &&
	    llabs((long long)a->stx_blocks - (long long)b->stx_blocks) > BLOCKS_SLACK)
		FIELD(blocks, "%llu");
	check_times(ex, a, b, s, times, where, diff);
	if (atime)
		check_one_time(ex, "atime", at, NULL, false, where, diff);
	s->ino_a = a->stx_ino;
}

static void check_pair(struct ex *ex, const int ret[2], const struct statx stx[2],
		       const char *where, bool atime, struct diff *diff)
{
	if (ret[0] != ret[1])
		diff_set(diff, "stat", "stat of %s: A %s, B %s", where,
			 ret[0] ? strerrorname_np(ret[0]) : "works",
			 ret[1] ? strerrorname_np(ret[1]) : "works");
	else if (!ret[0])
		check_stat(ex, &stx[0], &stx[1], where, true, atime, diff);
}

int check_statx(const struct ex *ex, int side, int dir, const char *path, int flags,
		struct statx *ret_stx)
{
	int r = statx(dir, path, flags, STATX_WANT, ret_stx) ? errno : 0;

	if (!r && side == SIDE_A && ex->prefix && ex->conf->fuse && S_ISDIR(ret_stx->stx_mode))
		r = statx(dir, path, flags | AT_STATX_FORCE_SYNC, STATX_WANT, ret_stx) ? errno : 0;
	return r;
}

static void check_at(struct ex *ex, const int dir[2], const char *const path[2], int flags,
		     bool atime, const char *where, struct diff *diff)
{
	struct statx stx[2];
	int ret[2];

	for (int i = 0; i < 2; i++)
		ret[i] = check_statx(ex, i, dir[i], path[i], flags, &stx[i]);
	check_pair(ex, ret, stx, where, atime, diff);
}

/* Of several workers in one directory, each compares what lies under names of its own. */
static bool ours(const struct ex *ex, const char *path)
{
	if (!ex->prefix)
		return true;
	/* S0, S1… are the directories that all of them use. */
	while (path[0] == 'S' && path[1] >= '0' && path[1] <= '9' && path[2] == '/')
		path += 3;
	return !strncmp(path, ex->prefix, strlen(ex->prefix));
}

/* Cut @path to the directory that holds its last component; false when that cannot be told. */
static bool cut_last(char *path)
{
	size_t len = strlen(path);
	char *slash;

	if (!len || path[len - 1] == '/' || (len > 1 && !strcmp(path + len - 2, "..")))
		return false;
	slash = strrchr(path, '/');
	if (!slash) {
		strcpy(path, ".");
		return true;
	}
	*slash = 0;
	return slash != path;
}

static bool sets_atime(const struct ex *ex, const int64_t *time)
{
	return !ex->ret && time[1] != UTIME_OMIT;
}

static void check_path(struct ex *ex, const struct op *op, const char *s, int flags,
		       struct diff *diff)
{
	char path[2][EXEC_PATH];
	const char *paths[2] = {path[0], path[1]};
	bool atime = op->code == OP_UTIMENS && sets_atime(ex, op->n);
	char where[PROG_STR + 32];
	int dir[2];

	/* What B does is done by name on both sides: the mount is looked at even after "host". */
	for (int i = 0; i < 2; i++) {
		struct op plain = {.code = op->code};

		dir[i] = exec_path(ex, &plain, s, i, path[i]);
	}
	if (!ours(ex, path[0]))
		return;
	check_at(ex, dir, paths, flags, atime, s, diff);
	if (diff->found || !cut_last(path[0]) || !cut_last(path[1]) || !ours(ex, path[0]))
		return;
	snprintf(where, sizeof(where), "the directory of %s", s);
	check_at(ex, dir, paths, 0, false, where, diff);
}

static void check_slot(struct ex *ex, const struct op *op, int n, struct diff *diff)
{
	struct slot *s = &ex->slot[n];
	char where[32];
	const char *path[2] = {"", ""};

	if (s->fd[0] < 0 && s->fd[1] < 0)
		return;
	snprintf(where, sizeof(where), "slot %d", n);
	check_at(ex, s->fd, path, AT_EMPTY_PATH,
		 op->code == OP_FUTIMENS && sets_atime(ex, op->n + 1), where, diff);
}

void check_op(struct ex *ex, const struct op *op, struct diff *diff)
{
	const char *paths[2];
	int slots[2];
	unsigned int n = prog_paths(op, paths);

	for (unsigned int i = 0; i < n && !diff->found; i++) {
		check_path(ex, op, paths[i], AT_SYMLINK_NOFOLLOW, diff);
		if (op->code == OP_STAT && !(op->n[0] & AT_SYMLINK_NOFOLLOW))
			check_path(ex, op, paths[i], 0, diff);
	}
	n = prog_slots(op, slots);
	for (unsigned int i = 0; i < n && !diff->found; i++)
		check_slot(ex, op, slots[i], diff);
}

/* The inode of side B behind a descriptor, or NULL. */
static struct seen *seen_of_fd(struct ex *ex, int fd)
{
	struct statx stx;

	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_WANT, &stx))
		return NULL;
	return check_seen(ex, &stx);
}

static void note_dirty(const struct ex *ex, struct seen *s, int map)
{
	if (!s)
		return;
	if (!ex->conf->maptimes)
		s->untimed = true;
	s->dirty_map = s->dirty_map == -1 || s->dirty_map == map ? map : -2;
	s->timed = false;
}

/* @map: what was written back; -2 is all of the file. */
static void note_clean(struct seen *s, int map)
{
	if (!s || s->dirty_map == -1 || (map != -2 && s->dirty_map != map))
		return;
	s->dirty_map = -1;
	s->timed = false;
	s->late = true;
}

static void forget(struct ex *ex, const struct statx *stx, bool only_gone)
{
	struct seen *s = check_seen(ex, stx);

	if (only_gone && stx->stx_nlink)
		return;
	s->timed = false;
	s->ino_a = 0;
}

static void forget_fd(struct ex *ex, int fd)
{
	struct statx stx;

	if (fd >= 0 && !statx(fd, "", AT_EMPTY_PATH, STATX_WANT, &stx))
		forget(ex, &stx, true);
}

static void forget_path(struct ex *ex, const struct op *op, const char *s)
{
	char path[EXEC_PATH];
	struct statx stx;
	int dir = exec_path(ex, op, s, SIDE_B, path);

	if (!statx(dir, path, AT_SYMLINK_NOFOLLOW, STATX_WANT, &stx))
		forget(ex, &stx, false);
}

/* A write that the host refused was followed by the client's SETATTR of the size: times moved on side A. */
static void note_cut(struct seen *s)
{
	if (!s)
		return;
	s->timed = false;
	s->late = true;
	s->cut = true;
}

static void note_far(struct ex *ex, const struct op *op)
{
	const char *paths[2];
	char path[EXEC_PATH];
	struct statx stx;
	int slots[2];
	unsigned int n = prog_slots(op, slots);

	for (unsigned int i = 0; i < n; i++)
		note_cut(seen_of_fd(ex, ex->slot[slots[i]].fd[SIDE_B]));
	n = prog_paths(op, paths);
	for (unsigned int i = 0; i < n; i++) {
		int dir = exec_path(ex, op, paths[i], SIDE_B, path);

		if (!statx(dir, path, 0, STATX_WANT, &stx))
			note_cut(check_seen(ex, &stx));
	}
}

void check_note(struct ex *ex, const struct op *op, const struct outcome *b)
{
	struct seen *s;

	if (b->ret == -EFBIG && ex->conf->fuse)
		note_far(ex, op);
	if (b->ret < 0)
		return;
	switch (op->code) {
	case OP_FALLOCATE:
		s = seen_of_fd(ex, ex->slot[op->n[0]].fd[SIDE_B]);
		if (s && !(op->n[1] & FALLOC_FL_PUNCH_HOLE))
			s->unwritten = true;
		break;
	case OP_MMAP:
		s = seen_of_fd(ex, ex->map[op->n[0]].fd_b);
		if (s)
			s->unwritten =
				true; /* a tmpfs gives a block to each page that is looked at */
		break;
	case OP_MWRITE:
		if (ex->map[op->n[0]].shared)
			note_dirty(ex, seen_of_fd(ex, ex->map[op->n[0]].fd_b), (int)op->n[0]);
		break;
	case OP_MSYNC:
		if (op->n[1] & MS_SYNC)
			note_clean(seen_of_fd(ex, ex->map[op->n[0]].fd_b), (int)op->n[0]);
		break;
	case OP_FSYNC:
	case OP_FDATASYNC:
		note_clean(seen_of_fd(ex, ex->slot[op->n[0]].fd[SIDE_B]), -2);
		break;
	default:
		break;
	}
}

void check_forget(struct ex *ex, const struct op *op)
{
	switch (op->code) {
	case OP_UNLINK:
	case OP_RMDIR:
		forget_path(ex, op, op->s[0]);
		break;
	case OP_RENAME:
		forget_path(ex, op, op->s[1]);
		break;
	case OP_OPEN:
	case OP_REOPEN:
	case OP_DUP:
	case OP_CLOSE:
		forget_fd(ex, ex->slot[op->n[0]].fd[SIDE_B]);
		break;
	case OP_MMAP:
	case OP_MUNMAP:
		forget_fd(ex, ex->map[op->n[0]].fd_b);
		break;
	case OP_RMMANY:
	case OP_CLOSEALL:
		for (size_t i = 0; i < EXEC_SEEN; i++) {
			ex->seen[i].timed = false;
			ex->seen[i].ino_a = 0;
		}
		break;
	default:
		break;
	}
}

const struct seen *check_seen_slot(struct ex *ex, int slot)
{
	return seen_of_fd(ex, ex->slot[slot].fd[SIDE_B]);
}
