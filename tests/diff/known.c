// SPDX-License-Identifier: Apache-2.0
// What differs between a FUSE mount and a local file system and cannot be helped.
/*
 * Theory of operation
 *
 * One table holds every allowance with its reason: refusals, where side A answers an errno for
 * something that the FUSE client in the kernel cannot do, and things that are not compared. Refusals
 * count how often they were used. Without a FUSE mount on side A none of the refusals hold.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "known.h"
#include "util.h"

static bool fallocate_mode(const struct op *op)
{
	return op->n[1] &
	       ~(int64_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
}

static bool map_shared(const struct op *op)
{
	return op->n[5] == MAP_SHARED;
}

#define KEPT_LISTING "kept-listing"

static const struct {
	const char *name;
	const char *why;
	bool (*match)(const struct op *op); /* NULL: not a refusal */
	uint8_t code;
	int err;
} table[] = {
	{"", "", NULL, 0, 0},
	{"fallocate-mode",
	 "fallocate gives EOPNOTSUPP for COLLAPSE, INSERT and UNSHARE: the kernel's client passes "
	 "on "
	 "KEEP_SIZE, PUNCH_HOLE and ZERO only",
	 fallocate_mode, OP_FALLOCATE, EOPNOTSUPP},
	{"mmap-shared",
	 "a shared mapping gives ENODEV where the daemon asks for direct I/O (cache never and "
	 "metadata): "
	 "the kernel's client has no pages to share then",
	 map_shared, OP_MMAP, ENODEV},
	{"atime",
	 "atime is compared only where it was set: reads from the client's cache do not reach the "
	 "file",
	 NULL, 0, 0},
	{"mapped-times",
	 "times and blocks of a file with changes in a shared mapping are compared after msync or "
	 "fsync: "
	 "until then the changes are in the client's cache; an mtime that was set before that is "
	 "not compared: writing back stamps the file; on a tmpfs, which does not stamp files for "
	 "that, they are not compared at all",
	 NULL, 0, 0},
	{"shared-directories",
	 "where several processes share directories, those are looked at past the client's cache: "
	 "what another process reads of them while they change can come into it late",
	 NULL, 0, 0},
	{"old-clients",
	 "a client before Linux 6.6 does not ask for the time of birth, which is not compared "
	 "then, nor tell "
	 "(before 6.3) by which of its groups the caller may keep a set-group-id bit of what he "
	 "makes, which "
	 "is made without supplementary groups",
	 NULL, 0, 0},
	{"fifo-times",
	 "mtime and ctime of a fifo are not compared, and the second actor does not write to one: "
	 "it "
	 "is a pipe of the client's kernel, which the file system does not see",
	 NULL, 0, 0},
	{"seek-unwritten",
	 "SEEK_DATA and SEEK_HOLE are not compared on files that fallocate gave blocks, nor on "
	 "those that "
	 "were mapped: the host takes cached pages of such blocks for data; nor from negative "
	 "places, where "
	 "the daemon gives ENXIO for all hosts",
	 NULL, 0, 0},
	{"far-positions",
	 "lseek, and a copy of nothing, may go further than the host's largest file: the client "
	 "does not "
	 "know that limit; reads and writes there are compared",
	 NULL, 0, 0},
	{"whiteout-directory",
	 "RENAME_WHITEOUT of a directory is done without: ext4 stamps the directory "
	 "even when it fails, which a client with a cache cannot know",
	 NULL, 0, 0},
	{"far-writes",
	 "other users do not write near the end of what the host can have: the client clears "
	 "set-id bits "
	 "before the host refuses; and times and blocks are not compared after EFBIG, as the "
	 "client then "
	 "truncates",
	 NULL, 0, 0},
	{"chown-nothing",
	 "other users do not chown to -1 and -1: the client sends the same for that and for a "
	 "write, so the "
	 "daemon cannot refuse it to those who do not own the file",
	 NULL, 0, 0},
	{"set-group-id",
	 "what writes, truncates and changes owners is done without supplementary groups: FUSE "
	 "tells the "
	 "daemon one group of the caller, so it cannot know who may keep a set-group-id bit "
	 "without x",
	 NULL, 0, 0},
	{"own-set-ids",
	 "the owner does not write to a file with both set-id bits and no x for the group: the "
	 "client sends "
	 "a mode without set-user-id, as chmod(2) of somebody in the group would",
	 NULL, 0, 0},
	{"client-capabilities",
	 "on a host file system that is FUSE, other users do not write to files with a "
	 "set-group-id bit "
	 "and no x for the group: that file system is not told that the daemon acts without "
	 "CAP_FSETID",
	 NULL, 0, 0},
	{"holes-in-holes",
	 "on btrfs other users make no holes in files with set-id bits: where there is no data "
	 "btrfs leaves "
	 "the bits, which the client has cleared before",
	 NULL, 0, 0},
	{"piped-pages",
	 "sendfile to a fifo is not done: it puts the very pages of a file into the pipe, and "
	 "whether "
	 "later writes to the file show there depends on whose pages they are",
	 NULL, 0, 0},
	{"alignment",
	 "O_DIRECT transfers are rounded to 4096 on both sides, and not done by copyrange and "
	 "sendfile: what alignment is wanted differs",
	 NULL, 0, 0},
	{"directory-offsets",
	 "order, offsets and the number of entries per getdents64 are not compared; that each name "
	 "comes "
	 "once is; the client takes any offset, also of a directory that was removed",
	 NULL, 0, 0},
	{KEPT_LISTING,
	 "with listings kept (cache always and metadata) a listing that was begun may go on with "
	 "old "
	 "names, when another reader had stopped in the middle and names came or went: the client "
	 "continues the half listing that it kept, and looks only at its start whether it is still "
	 "right; reading it anew must give the right names",
	 NULL, 0, 0},
	{"delayed-writes",
	 "with delayed writes (writeback) stamps of files are the client's, and only those that "
	 "were set "
	 "are compared, st_blocks, SEEK_DATA and SEEK_HOLE are not, and nothing is written beyond "
	 "what the "
	 "host can have, nor times set: the host only sees it later",
	 NULL, 0, 0},
	{"apart",
	 "on two file systems (--apart, where the sides have two kernels) their sizes are not "
	 "compared, and "
	 "no holes are made beyond the end of a file, which some kernels of the host stamp",
	 NULL, 0, 0},
	{"statfs", "type, id, flags and free space of a file system are not compared", NULL, 0, 0},
};

unsigned int known_refused(const struct ex *ex, const struct op *op, int64_t ret_a)
{
	_Static_assert(ARRAY_SIZE(table) <= ARRAY_SIZE(ex->skipped), "room to count");
	if (!ex->conf->fuse || ret_a >= 0)
		return 0;
	for (unsigned int i = 1; i < ARRAY_SIZE(table); i++)
		if (table[i].match && table[i].code == op->code && table[i].err == -ret_a &&
		    table[i].match(op))
			return i;
	return 0;
}

/* The largest file of ext4 is by far the smallest of file systems today. */
#define FAR_POSITION (1ll << 43)
/* So are its last seconds, but for file systems that end in 2038 or 2106. */
#define FAR_TIME 0x37ffffffell

/* Where a write to a slot begins. */
static int64_t write_position(const struct slot *s, int64_t off)
{
	struct stat st;

	if (fcntl(s->fd[SIDE_B], F_GETFL) & O_APPEND)
		return fstat(s->fd[SIDE_B], &st) ? 0 : st.st_size;
	return off >= 0 ? off : lseek(s->fd[SIDE_B], 0, SEEK_CUR);
}

/* The slot that an operation writes to, or -1. */
static int writes_slot(const struct op *op)
{
	switch (op->code) {
	case OP_WRITE:
	case OP_PWRITE:
	case OP_SENDFILE:
	case OP_FALLOCATE:
		return (int)op->n[0];
	case OP_COPYRANGE:
		return (int)op->n[2];
	default:
		return -1;
	}
}

/* Is it a write by the owner to a file with both set-id bits, and without x for the group, or the like? */
static bool own_set_ids(const struct ex *ex, const struct op *op)
{
	char path[EXEC_PATH];
	struct stat st;
	int slot = writes_slot(op);
	int dir;

	if (slot < 0 && op->code != OP_PUT)
		return false;
	if (slot >= 0 && fstat(ex->slot[slot].fd[SIDE_B], &st))
		return false;
	if (slot < 0) {
		dir = exec_path(ex, op, op->s[0], SIDE_B, path);
		if (fstatat(dir, path, &st, 0))
			return false;
	}
	if (ex->conf->hostfuse && (st.st_mode & (S_ISGID | S_IXGRP)) == S_ISGID)
		return true;
	return st.st_uid == ex->uid &&
	       (st.st_mode & (S_ISUID | S_ISGID | S_IXGRP)) == (S_ISUID | S_ISGID);
}

static bool is_fifo(const struct ex *ex, int slot)
{
	struct stat st;

	return !fstat(ex->slot[slot].fd[SIDE_B], &st) && S_ISFIFO(st.st_mode);
}

/* Would the second actor write to a fifo, which the client's programs have open in the client's kernel? */
static bool host_fifo(const struct ex *ex, const struct op *op)
{
	char path[EXEC_PATH];
	struct stat st;
	int dir;

	if (!op->host || op->code != OP_PUT)
		return false;
	dir = exec_path(ex, op, op->s[0], SIDE_B, path);
	return !fstatat(dir, path, &st, 0) && S_ISFIFO(st.st_mode);
}

/* Does it write further than any host can have? */
static bool writes_far(const struct ex *ex, const struct op *op)
{
	int slot = writes_slot(op);

	switch (op->code) {
	case OP_WRITE:
	case OP_SENDFILE:
		return write_position(&ex->slot[slot], -1) > FAR_POSITION;
	case OP_PWRITE:
		return write_position(&ex->slot[slot], op->n[1]) > FAR_POSITION;
	case OP_COPYRANGE:
		return write_position(&ex->slot[slot], op->n[3]) > FAR_POSITION;
	case OP_PUT:
		return op->n[0] > FAR_POSITION;
	default:
		return false;
	}
}

/* Does it set a time that is beyond those of some hosts? */
static bool sets_far_time(const struct op *op)
{
	switch (op->code) {
	case OP_UTIMENS:
		return op->n[0] > FAR_TIME || op->n[2] > FAR_TIME;
	case OP_FUTIMENS:
		return op->n[1] > FAR_TIME || op->n[3] > FAR_TIME;
	default:
		return false;
	}
}

static bool has_set_ids(const struct ex *ex, int slot)
{
	struct stat st;

	return !fstat(ex->slot[slot].fd[SIDE_B], &st) && st.st_mode & (S_ISUID | S_ISGID);
}

/* What the kernels of the two sides may do in different ways: a hole beyond the end of a file. */
static bool differs_by_kernel(const struct ex *ex, const struct op *op)
{
	struct stat st;

	return op->code == OP_FALLOCATE && op->n[1] & FALLOC_FL_PUNCH_HOLE &&
	       !fstat(ex->slot[op->n[0]].fd[SIDE_B], &st) && op->n[2] >= st.st_size;
}

bool known_skipped(const struct ex *ex, const struct op *op)
{
	if (ex->conf->apart && differs_by_kernel(ex, op))
		return true;
	if (ex->conf->fuse && host_fifo(ex, op))
		return true;
	if (ex->conf->fuse && op->code == OP_SENDFILE && is_fifo(ex, (int)op->n[0]))
		return true;
	if (ex->conf->writeback && (writes_far(ex, op) || sets_far_time(op)))
		return true;
	if (!ex->conf->fuse || !ex->uid)
		return false;
	if (own_set_ids(ex, op) || writes_far(ex, op))
		return true;
	switch (op->code) {
	case OP_FALLOCATE:
		return op->n[1] & FALLOC_FL_ZERO_RANGE || op->n[2] > FAR_POSITION ||
		       (ex->conf->btrfs && op->n[1] & FALLOC_FL_PUNCH_HOLE &&
			has_set_ids(ex, (int)op->n[0]));
	case OP_CHOWN:
		return op->n[0] == -1 && op->n[1] == -1;
	case OP_FCHOWN:
		return op->n[1] == -1 && op->n[2] == -1;
	default:
		return false;
	}
}

static bool may_seek_elsewhere(struct ex *ex, const struct op *op, const struct outcome *a,
			       const struct outcome *b)
{
	const struct seen *s;

	if (op->n[2] != SEEK_DATA && op->n[2] != SEEK_HOLE)
		return ex->conf->fuse && b->ret == -EINVAL && a->ret > FAR_POSITION;
	if (ex->conf->fuse && op->n[1] < 0)
		return true;
	s = check_seen_slot(ex, (int)op->n[0]);
	if (ex->conf->writeback)
		return true;
	return s && (s->unwritten || s->dirty_map != -1);
}

/* The slot whose position an operation reads at, or -1. */
static int reads_slot(const struct op *op)
{
	switch (op->code) {
	case OP_READ:
	case OP_WRITE:
	case OP_COPYRANGE:
		return (int)op->n[0];
	case OP_SENDFILE:
		return (int)op->n[1];
	default:
		return -1;
	}
}

bool known_result(struct ex *ex, const struct op *op, const struct outcome *a,
		  const struct outcome *b)
{
	if (op->code == OP_SEEKDIR && ex->conf->fuse && a->ret != b->ret) {
		ex->slot[op->n[0]].wild = true;
		return true;
	}
	/* A directory is at a place that only its file system understands, which may be no position. */
	if ((a->ret < 0 || (!a->ret && b->ret == -EOVERFLOW)) && b->ret < 0 &&
	    reads_slot(op) >= 0 && ex->slot[reads_slot(op)].dir)
		return true;
	/* Where nothing is left to be copied the client does not ask how far away it is to go. */
	if (op->code == OP_COPYRANGE && ex->conf->fuse && !a->ret && b->ret == -EFBIG)
		return true;
	if (op->code != OP_LSEEK || a->ret == b->ret || !may_seek_elsewhere(ex, op, a, b))
		return false;
	for (int i = 0; i < 2; i++)
		lseek(ex->slot[op->n[0]].fd[i], 0, SEEK_SET);
	return true;
}

bool known_listing(struct ex *ex, struct slot *s)
{
	if (!ex->conf->fuse || !ex->conf->listings || !exec_scan_fresh(s))
		return false;
	for (unsigned int i = 1; i < ARRAY_SIZE(table); i++)
		if (!strcmp(table[i].name, KEPT_LISTING))
			ex->skipped[i]++;
	s->wild = true;
	return true;
}

bool known_groupless(const struct ex *ex, const struct op *op)
{
	static const bool codes[OP_COUNT] = {
		[OP_WRITE] = true,    [OP_PWRITE] = true,    [OP_FTRUNCATE] = true,
		[OP_TRUNCATE] = true, [OP_FALLOCATE] = true, [OP_COPYRANGE] = true,
		[OP_SENDFILE] = true, [OP_PUT] = true,       [OP_CHOWN] = true,
		[OP_FCHOWN] = true,
	};

	if (!ex->conf->fuse || !ex->groups)
		return false;
	if (!ex->conf->btime && (op->code == OP_OPEN || op->code == OP_MKDIR ||
				 op->code == OP_MKNOD || op->code == OP_SYMLINK))
		return true;
	return codes[op->code] || (op->code == OP_OPEN && op->n[1] & O_TRUNC);
}

void known_print(FILE *f)
{
	for (unsigned int i = 1; i < ARRAY_SIZE(table); i++)
		fprintf(f, "%s: %s\n", table[i].name, table[i].why);
}

const char *known_name(unsigned int index)
{
	return table[index].name;
}
