// SPDX-License-Identifier: Apache-2.0
// Making up the arguments of operations.
/*
 * Theory of operation
 *
 * Arguments are drawn by their letters (prog.h) from what is likely to matter: offsets near block
 * boundaries and a few at the limits of file sizes, modes with set-id bits, ids of other users. What is
 * allocated for real (fallocate, transfers) stays small, and what can harm (devices) is harmless. State
 * is the maker's.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "gen.h"
#include "util.h"

int64_t gen_offset(struct gen *g)
{
	static const int64_t huge[] = {-1,
				       0x7fffffff,
				       0x80000000,
				       0xfffff000,
				       0x100000000,
				       0x10000000000,
				       0xffffffff000,
				       0x100000000000,
				       0x7ffffffffffff000,
				       INT64_MAX};
	uint32_t r = rng_below(&g->rng, 100);

	if (r < 25)
		return rng_below(&g->rng, 4096);
	if (r < 60)
		return rng_below(&g->rng, 65536);
	if (r < 85)
		return (int64_t)rng_below(&g->rng, 40) * 4096 + rng_below(&g->rng, 3) - 1;
	if (r < 97)
		return rng_below(&g->rng, 1u << 20);
	return huge[rng_below(&g->rng, ARRAY_SIZE(huge))];
}

int64_t gen_length(struct gen *g)
{
	uint32_t r = rng_below(&g->rng, 100);

	if (r < 3)
		return 0;
	if (r < 35)
		return rng_below(&g->rng, 128);
	if (r < 75)
		return rng_below(&g->rng, 8192);
	if (r < 90)
		return (int64_t)(1 + rng_below(&g->rng, 6)) * 4096;
	if (r < 98)
		return rng_below(&g->rng, 70000);
	return rng_below(&g->rng, 600000);
}

unsigned int gen_mode(struct gen *g)
{
	static const unsigned int modes[] = {0644,  0644,  0600,  0666,  0444,  0000,
					     0755,  0777,  04755, 02755, 06777, 02644,
					     01777, 02775, 07777, 0070,  0007,  0311};

	return modes[rng_below(&g->rng, ARRAY_SIZE(modes))];
}

void gen_string(struct gen *g, uint8_t code, char *ret)
{
	static const char *const xattrs[] = {"user.a", "user.b",       "user.c",  "user.{x*250}",
					     "user.",  "user.{y*251}", "nothing", "bogus.x"};

	if (code != OP_SYMLINK) {
		uint32_t r = rng_below(&g->rng, 16);

		strcpy(ret, xattrs[r < ARRAY_SIZE(xattrs) ? r : r % 3]);
		return;
	}
	if (g->conf->prefix) /* leads nowhere: others may be everywhere */
		strcpy(ret, "/nonexistent/x");
	else if (rng_chance(&g->rng, 70))
		gen_path(g, GEN_ANY, ret);
	else if (rng_chance(&g->rng, 20))
		strcpy(ret, rng_chance(&g->rng, 50) ? "{t*4095}" : "{t*1500}");
	else if (rng_chance(&g->rng, 20))
		sprintf(ret, "../%c", 'a' + (int)rng_below(&g->rng, 10));
	else
		sprintf(ret, "%c", 'a' + (int)rng_below(&g->rng, 10));
	if (*ret == '@')
		strcpy(ret, "a");
}

void gen_time(struct gen *g, int64_t *ret)
{
	static const int64_t times[][2] = {{0, 0},
					   {1, 1},
					   {-1, 500000000},
					   {999999999, 123456789},
					   {1234567890, 999999999},
					   {2147483647, 999999999},
					   {2147483648, 0},
					   {4294967296, 5},
					   {15032385535, 999999999},
					   {-2147483648, 0},
					   {100, 1000000000}};
	uint32_t r = rng_below(&g->rng, 100);

	ret[0] = 0;
	if (r < 25)
		ret[1] = UTIME_NOW;
	else if (r < 45)
		ret[1] = UTIME_OMIT;
	else
		memcpy(ret, times[rng_below(&g->rng, ARRAY_SIZE(times))], 2 * sizeof(*ret));
}

static int64_t open_flags(struct gen *g)
{
	static const struct {
		int flag;
		uint8_t percent;
	} extra[] = {{O_CREAT, 45},  {O_EXCL, 12},     {O_TRUNC, 12},
		     {O_APPEND, 12}, {O_DIRECTORY, 4}, {O_NOFOLLOW, 5},
		     {O_NOATIME, 3}, {O_NONBLOCK, 2},  {O_PATH, 3}};
	static const int access_modes[] = {O_RDONLY, O_RDWR, O_RDWR, O_WRONLY};
	int flags = access_modes[rng_below(&g->rng, ARRAY_SIZE(access_modes))];

	for (size_t i = 0; i < ARRAY_SIZE(extra); i++)
		if (rng_chance(&g->rng, extra[i].percent))
			flags |= extra[i].flag;
	if (rng_below(&g->rng, 10000) < g->conf->sync)
		flags |= rng_chance(&g->rng, 50) ? O_SYNC : O_DSYNC;
	if (g->conf->direct && rng_chance(&g->rng, 2))
		flags |= O_DIRECT;
	return flags;
}

int64_t gen_words(struct gen *g, char letter, uint8_t code)
{
	static const int falloc[] = {0,
				     0,
				     FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
				     FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
				     FALLOC_FL_ZERO_RANGE,
				     FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_COLLAPSE_RANGE,
				     FALLOC_FL_INSERT_RANGE,
				     FALLOC_FL_PUNCH_HOLE};
	static const int seek[] = {SEEK_SET, SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE};
	static const int lock[] = {F_RDLCK, F_WRLCK, F_UNLCK};
	static const int flk[] = {1, 2, 8}; /* LOCK_SH, LOCK_EX, LOCK_UN */
	uint32_t r = rng_below(&g->rng, 100);

	switch (letter) {
	case 'o':
		if (code == OP_SETFL)
			return r < 50 ? O_APPEND : r < 75 ? 0 : O_NONBLOCK;
		return open_flags(g);
	case 'r':
		return r < 60   ? 0
		       : r < 75 ? RENAME_NOREPLACE
		       : r < 92 ? RENAME_EXCHANGE
		       : r < 98 ? RENAME_WHITEOUT
				: RENAME_NOREPLACE | RENAME_EXCHANGE;
	case 'a':
		if (code == OP_LINK)
			return r < 75 ? 0 : AT_SYMLINK_FOLLOW;
		if (code == OP_ACCESS)
			return r < 50 ? 0 : r < 80 ? AT_EACCESS : AT_SYMLINK_NOFOLLOW;
		return r < 60 ? 0 : AT_SYMLINK_NOFOLLOW;
	case 'w':
		return seek[rng_below(&g->rng, ARRAY_SIZE(seek))];
	case 'k':
		return falloc[rng_below(&g->rng, ARRAY_SIZE(falloc))];
	case 'x':
		return r < 50 ? 0 : r < 75 ? XATTR_CREATE : XATTR_REPLACE;
	case 'y':
		return r < 80 ? MS_SYNC : MS_ASYNC;
	case 't':
		return r < 75 ? PROT_READ | PROT_WRITE : PROT_READ;
	case 'h':
		return r < 65 ? MAP_SHARED : MAP_PRIVATE;
	case 'v':
		return r < 60 ? POSIX_FADV_DONTNEED : POSIX_FADV_WILLNEED;
	case 'c':
		return rng_below(&g->rng, 8);
	case 'l':
		return lock[rng_below(&g->rng, ARRAY_SIZE(lock))];
	case 'u':
		return flk[rng_below(&g->rng, ARRAY_SIZE(flk))];
	default:
		return 0;
	}
}

static int64_t random_id(struct gen *g)
{
	static const int64_t ids[] = {0, 1000, 1000, 2000, 3000, 65534, -1};

	return g->conf->root ? ids[rng_below(&g->rng, ARRAY_SIZE(ids))] : -1;
}

int64_t gen_number(struct gen *g, uint8_t code, unsigned int index)
{
	switch (code) {
	case OP_FALLOCATE: /* blocks that are given are taken from a real disk */
		return index == 2 ? gen_offset(g) : (int64_t)rng_below(&g->rng, 200000);
	case OP_COPYRANGE:
	case OP_SENDFILE:
		if (code == OP_COPYRANGE ? index == 4 : index == 3)
			return gen_length(g);
		return rng_chance(&g->rng, 30) ? -1 : gen_offset(g);
	case OP_MMAP:
		if (index == 2)
			return (int64_t)rng_below(&g->rng, 8) * 4096 + rng_chance(&g->rng, 2);
		return (int64_t)rng_below(&g->rng, 20) * 4096 + rng_below(&g->rng, 4096);
	case OP_MREAD:
	case OP_MWRITE:
		return index == 1 ? rng_below(&g->rng, 65536) : rng_below(&g->rng, 9000);
	case OP_FCHOWN:
	case OP_CHOWN:
		return random_id(g);
	case OP_READDIR:
		return index == 1 ? 1 + rng_below(&g->rng, 40) : 300 + rng_below(&g->rng, 4096);
	case OP_SEEKDIR:
		return rng_below(&g->rng, 20);
	case OP_MKNOD:
		return 0x103; /* what a device's node leads to must do no harm: /dev/null */
	case OP_FSETXATTR:
	case OP_SETXATTR:
	case OP_FGETXATTR:
	case OP_GETXATTR:
		return rng_chance(&g->rng, 80)   ? rng_below(&g->rng, 200)
		       : rng_chance(&g->rng, 50) ? rng_below(&g->rng, 4200)
						 : rng_below(&g->rng, 70000);
	case OP_FLISTXATTR:
	case OP_LISTXATTR:
		return rng_chance(&g->rng, 70) ? 65536 : rng_below(&g->rng, 400);
	case OP_READ:
	case OP_WRITE:
		return index == 1 ? gen_length(g) : 1 + rng_below(&g->rng, 5);
	case OP_PREAD:
	case OP_PWRITE:
		return index == 1   ? gen_offset(g)
		       : index == 2 ? gen_length(g)
				    : 1 + rng_below(&g->rng, 5);
	case OP_PUT:
		return index == 0 ? gen_offset(g) : gen_length(g);
	case OP_OFDLOCK:
		return rng_below(&g->rng, 100);
	default:
		return gen_offset(g);
	}
}

int64_t gen_bits(struct gen *g, uint8_t code)
{
	static const unsigned int types[] = {S_IFIFO, S_IFIFO, S_IFSOCK, S_IFREG, S_IFCHR, S_IFBLK};

	if (code == OP_UMASK)
		return rng_chance(&g->rng, 60) ? 022 : rng_below(&g->rng, 0777 + 1);
	if (code == OP_MKNOD)
		return types[rng_below(&g->rng, g->conf->root ? 6 : 4)] | gen_mode(g);
	return gen_mode(g);
}
