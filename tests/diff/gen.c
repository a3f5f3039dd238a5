// SPDX-License-Identifier: Apache-2.0
// Making up operations at random.
/*
 * Theory of operation
 *
 * A table of weights picks the operation, and its arguments are drawn by their letters (prog.h) from
 * what is likely to matter: names that exist, offsets near block boundaries, modes with set-id bits.
 * To know which names exist the maker keeps a list of paths, corrected by what side B answers; the list
 * may be wrong, which costs nothing but an ENOENT. Everything follows from the seed and from side B.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gen.h"
#include "util.h"

#define BIT(kind) (1u << (kind))

static const struct {
	uint8_t code;
	uint16_t weight;
} weights[] = {
	{OP_OPEN, 120},     {OP_REOPEN, 8},     {OP_DUP, 5},        {OP_CLOSE, 70},
	{OP_READ, 25},      {OP_PREAD, 40},     {OP_WRITE, 40},     {OP_PWRITE, 60},
	{OP_LSEEK, 30},     {OP_TRUNCATE, 15},  {OP_FTRUNCATE, 20}, {OP_FALLOCATE, 20},
	{OP_COPYRANGE, 12}, {OP_SENDFILE, 6},   {OP_MMAP, 14},      {OP_MREAD, 14},
	{OP_MWRITE, 14},    {OP_MSYNC, 5},      {OP_MUNMAP, 6},     {OP_FCHMOD, 8},
	{OP_FCHOWN, 6},     {OP_FUTIMENS, 8},   {OP_FSTAT, 10},     {OP_SETFL, 5},
	{OP_FADVISE, 5},    {OP_FLOCK, 3},      {OP_OFDLOCK, 3},    {OP_FSETXATTR, 5},
	{OP_FGETXATTR, 5},  {OP_FLISTXATTR, 4}, {OP_FRMXATTR, 3},   {OP_MKDIR, 40},
	{OP_RMDIR, 20},     {OP_UNLINK, 50},    {OP_RENAME, 50},    {OP_LINK, 25},
	{OP_LINKFD, 6},     {OP_SYMLINK, 18},   {OP_READLINK, 8},   {OP_MKNOD, 12},
	{OP_CHMOD, 20},     {OP_CHOWN, 12},     {OP_UTIMENS, 15},   {OP_STAT, 20},
	{OP_STATFS, 2},     {OP_ACCESS, 10},    {OP_CAT, 20},       {OP_PUT, 25},
	{OP_SETXATTR, 10},  {OP_GETXATTR, 8},   {OP_LISTXATTR, 6},  {OP_RMXATTR, 5},
	{OP_READDIR, 20},   {OP_SEEKDIR, 6},    {OP_REWINDDIR, 5},  {OP_UMASK, 3},
};

static bool is_xattr(uint8_t code)
{
	return strstr(prog_info[code].name, "xattr");
}

void gen_init(struct gen *g, const struct gen_conf *conf, uint64_t seed)
{
	*g = (struct gen){.conf = conf, .rng = {rng_mix(seed + 1)}};
	if (conf->prefix) {
		/* Directories that all workers use, and that are never removed. */
		for (int i = 0; i < 2; i++) {
			sprintf(g->known[g->nknown].path, "S%d", i);
			g->known[g->nknown++].kind = GEN_DIR;
		}
	}
}

void gen_queue(struct gen *g, const char *fmt, ...)
{
	char line[3 * PROG_STR];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (g->queued == GEN_QUEUE)
		return;
	if (prog_parse(line, &g->queue[g->queued]) != 1) {
		fprintf(stderr, "fsdiff: made up a line that is none: %s\n", line);
		exit(2);
	}
	g->queued++;
}

int gen_slot(struct gen *g, enum gen_kind kind)
{
	unsigned int start = rng_below(&g->rng, PROG_SLOTS);

	for (unsigned int i = 0; i < PROG_SLOTS; i++)
		if (g->slot[(start + i) % PROG_SLOTS] == kind)
			return (int)((start + i) % PROG_SLOTS);
	return (int)start;
}

static void new_name(struct gen *g, bool shared_dir, char *ret)
{
	static const char *const odd[] = {"{L*255}",  "{M*254}b",   "{N*256}", "%C3%A9t%C3%A9",
					  "sp%20ace", "new%0Aline", ".h",      "%FFx",
					  "...",      "%7B%25*"};

	if (shared_dir && g->conf->prefix)
		ret += sprintf(ret, "%s", g->conf->prefix);
	if (rng_chance(&g->rng, 4) && !g->conf->prefix)
		strcpy(ret, odd[rng_below(&g->rng, ARRAY_SIZE(odd))]);
	else
		sprintf(ret, "%c", 'a' + (int)rng_below(&g->rng, 10));
}

void gen_path(struct gen *g, unsigned int kinds, char *ret)
{
	unsigned int start = g->nknown ? rng_below(&g->rng, g->nknown) : 0;

	for (unsigned int i = 0; i < g->nknown; i++) {
		unsigned int n = (start + i) % g->nknown;

		if (!(kinds & BIT(g->known[n].kind)))
			continue;
		/* What all workers use is a place for names, and nothing else. */
		if (g->known[n].path[0] == 'S' && kinds != BIT(GEN_DIR))
			continue;
		strcpy(ret, g->known[n].path);
		return;
	}
	gen_new_path(g, ret);
}

void gen_new_path(struct gen *g, char *ret)
{
	char dir[PROG_STR] = "";
	char name[64];
	bool shared;

	if (g->nknown && rng_chance(&g->rng, 65)) {
		unsigned int n = rng_below(&g->rng, g->nknown);

		if (g->known[n].kind == GEN_DIR)
			strcpy(dir, g->known[n].path);
		else if (g->known[n].kind == GEN_LINK && !g->conf->prefix &&
			 rng_chance(&g->rng, 20))
			strcpy(dir, g->known[n].path);
	} else if (!g->conf->prefix && rng_chance(&g->rng, 4)) {
		sprintf(dir, "@%d", gen_slot(g, GEN_DIR));
	}
	shared = !dir[0] || (dir[0] == 'S' && !dir[2]);
	new_name(g, shared, name);
	if (strlen(dir) + strlen(name) + 2 > 80)
		dir[0] = 0;
	sprintf(ret, "%s%s%s", dir, dir[0] ? "/" : "", name);
	if (!dir[0] && g->conf->prefix && !shared)
		sprintf(ret, "%s%s", g->conf->prefix, name);
}

/* Paths that are no plain names. */
static void weird_path(struct gen *g, char *ret)
{
	char path[PROG_STR];

	gen_path(g, GEN_ANY, path);
	switch (rng_below(&g->rng, 8)) {
	case 0:
		strcpy(ret, "");
		return;
	case 1:
		sprintf(ret, "%s/", path);
		return;
	case 2:
		sprintf(ret, "./%s", path);
		return;
	case 3:
		sprintf(ret, "%s/.", path);
		return;
	case 4:
		sprintf(ret, "%s/..", path);
		return;
	case 5:
		sprintf(ret, "%s/../a", path);
		return;
	case 6:
		strcpy(ret, "{a/*2100}b");
		return;
	default:
		sprintf(ret, "%s/{x*256}", path);
	}
}

static void any_path(struct gen *g, uint8_t code, bool second, char *ret)
{
	unsigned int kinds = GEN_ANY;
	uint32_t fresh = 15;

	if (!g->conf->prefix && rng_chance(&g->rng, 2)) {
		weird_path(g, ret);
		return;
	}
	if (code == OP_MKDIR || code == OP_MKNOD || code == OP_SYMLINK || code == OP_LINKFD ||
	    second)
		fresh = 75;
	else if (code == OP_OPEN || code == OP_PUT)
		fresh = 40;
	else if (code == OP_RMDIR)
		kinds = BIT(GEN_DIR);
	else if (code == OP_READLINK)
		kinds = BIT(GEN_LINK);
	else if (code == OP_CAT || code == OP_TRUNCATE || code == OP_LINK)
		kinds = BIT(GEN_FILE);
	if (rng_chance(&g->rng, 10))
		kinds = GEN_ANY;
	if (g->conf->prefix && kinds == BIT(GEN_DIR))
		kinds = GEN_ANY; /* not the directories of all */
	if (rng_chance(&g->rng, fresh))
		gen_new_path(g, ret);
	else
		gen_path(g, kinds, ret);
}

static void random_op(struct gen *g, uint8_t code, struct op *op)
{
	unsigned int n = 0;
	unsigned int s = 0;

	*op = (struct op){.code = code};
	for (const char *a = prog_info[code].args; *a; a++) {
		switch (*a) {
		case 'F':
			op->n[n++] = gen_slot(g, rng_chance(&g->rng, 85) ? GEN_NONE : GEN_FILE);
			break;
		case 'f':
			op->n[n++] = gen_slot(g, code == OP_READDIR || code == OP_SEEKDIR ||
								 code == OP_REWINDDIR
							 ? GEN_DIR
						 : rng_chance(&g->rng, 94) ? GEN_FILE
									   : GEN_DIR);
			break;
		case 'M':
			op->n[n] = rng_below(&g->rng, PROG_MAPS);
			for (int i = 0; i < PROG_MAPS && g->map[op->n[n]] == (code == OP_MMAP); i++)
				op->n[n] = (op->n[n] + 1) % PROG_MAPS;
			n++;
			break;
		case 'p':
			any_path(g, code, s > 0, op->s[s]);
			s++;
			break;
		case 's':
			gen_string(g, code, op->s[s++]);
			break;
		case 'm':
			op->n[n++] = gen_bits(g, code);
			break;
		case 'T':
			gen_time(g, &op->n[n]);
			n += 2;
			break;
		case 'i':
			op->n[n] = gen_number(g, code, n);
			n++;
			break;
		default:
			op->n[n++] = gen_words(g, *a, code);
		}
	}
}

/* A file without a name, made in a directory. */
static void unnamed_file(struct gen *g, struct op *op)
{
	op->n[1] = O_TMPFILE | (rng_chance(&g->rng, 80) ? O_RDWR : O_WRONLY) |
		   (rng_chance(&g->rng, 15) ? O_EXCL : 0);
	gen_path(g, BIT(GEN_DIR), op->s[0]);
	if (!g->nknown)
		strcpy(op->s[0], ".");
}

static uint8_t pick(struct gen *g)
{
	unsigned int sum = 0;
	unsigned int r;

	for (size_t i = 0; i < ARRAY_SIZE(weights); i++)
		sum += weights[i].weight;
	for (;;) {
		size_t i = 0;

		for (r = rng_below(&g->rng, sum); r >= weights[i].weight; i++)
			r -= weights[i].weight;
		if (g->conf->xattr || !is_xattr(weights[i].code))
			return weights[i].code;
	}
}

static void queue_op(struct gen *g, const struct op *op)
{
	if (g->queued < GEN_QUEUE)
		g->queue[g->queued++] = *op;
}

/* One operation of the second actor. False when none fits now. */
static bool host_op(struct gen *g, struct op *op)
{
	static const uint8_t codes[] = {OP_MKDIR,  OP_RMDIR,  OP_UNLINK,   OP_UNLINK,   OP_RENAME,
					OP_RENAME, OP_RENAME, OP_LINK,     OP_SYMLINK,  OP_MKNOD,
					OP_CHMOD,  OP_CHOWN,  OP_UTIMENS,  OP_TRUNCATE, OP_PUT,
					OP_PUT,    OP_PUT,    OP_SETXATTR, OP_RMXATTR};
	const char *paths[2];
	unsigned int n;

	random_op(g, codes[rng_below(&g->rng, ARRAY_SIZE(codes))], op);
	if (is_xattr(op->code) && !g->conf->xattr)
		return false;
	op->host = true;
	n = prog_paths(op, paths);
	for (unsigned int i = 0; i < n; i++)
		if (paths[i][0] == '@' || strstr(paths[i], "..") ||
		    (g->conf->host_deep && !strchr(paths[i], '/')))
			return false;
	return true;
}

/* The second actor at work while the mount is left alone, until its caches have caught up. */
static void host_burst(struct gen *g)
{
	char paths[4][PROG_STR];
	unsigned int n = 0;
	struct op op;

	for (unsigned int i = 0; i < 40 && n < 4; i++) {
		if (!host_op(g, &op))
			continue;
		if (!n) {
			gen_queue(g, "closeall");
			gen_queue(g, "check 0");
		}
		queue_op(g, &op);
		strcpy(paths[n++], op.s[op.code == OP_SYMLINK]);
	}
	if (!n)
		return;
	gen_queue(g, "settle");
	gen_queue(g, "check 1");
	for (unsigned int i = 0; i < n; i++)
		gen_queue(g, "stat %s NOFOLLOW", paths[i][0] ? paths[i] : "%-");
	if (rng_chance(&g->rng, 30))
		gen_queue(g, "tree");
}

static void sync_op(struct gen *g, struct op *op)
{
	static const uint8_t codes[] = {OP_FSYNC, OP_FSYNC, OP_FDATASYNC, OP_FDATASYNC, OP_SYNCFS};

	random_op(g, codes[rng_below(&g->rng, ARRAY_SIZE(codes))], op);
}

/* Fill the queue, unless what is next is a single operation, which goes to @op. True for that. */
static bool make(struct gen *g, struct op *op)
{
	if (g->conf->cold && !rng_below(&g->rng, g->conf->cold)) {
		gen_queue(g, "drop 3");
		return false;
	}
	if (g->other_user && rng_chance(&g->rng, 12)) {
		gen_queue(g, "cred 0 0 0");
		return false;
	}
	if (g->conf->root && !g->other_user && rng_chance(&g->rng, 1)) {
		gen_queue(g, "cred %u %u %u", 1000 * (1 + rng_below(&g->rng, 2)),
			  1000 * (1 + rng_below(&g->rng, 3)), rng_below(&g->rng, 3));
		return false;
	}
	if (g->conf->host == 2 && rng_below(&g->rng, 1000) < 4) {
		host_burst(g);
		return false;
	}
	if (g->conf->host == 1 && rng_chance(&g->rng, 6))
		return host_op(g, op);
	if (rng_chance(&g->rng, 2)) {
		gen_burst(g);
		return false;
	}
	if (rng_below(&g->rng, 10000) < g->conf->sync) {
		sync_op(g, op);
		return true;
	}
	random_op(g, pick(g), op);
	if (op->code == OP_OPEN && rng_chance(&g->rng, 3))
		unnamed_file(g, op);
	return true;
}

void gen_next(struct gen *g, struct op *ret)
{
	for (;;) {
		if (g->taken < g->queued) {
			*ret = g->queue[g->taken++];
			return;
		}
		g->taken = g->queued = 0;
		if (make(g, ret))
			return;
	}
}

static int find_known(struct gen *g, const char *path)
{
	for (unsigned int i = 0; i < g->nknown; i++)
		if (!strcmp(g->known[i].path, path))
			return (int)i;
	return -1;
}

static enum gen_kind kind_of(struct gen *g, const char *path)
{
	int i = find_known(g, path);

	return i < 0 ? GEN_FILE : g->known[i].kind;
}

static void forget(struct gen *g, const char *path)
{
	int i = find_known(g, path);

	if (i >= 0 && path[0] != 'S')
		g->known[i] = g->known[--g->nknown];
}

static void add(struct gen *g, const char *path, enum gen_kind kind)
{
	int i = find_known(g, path);

	if (strlen(path) > 90 || *path == '@')
		return;
	if (i < 0)
		i = (int)(g->nknown < GEN_KNOWN ? g->nknown++
						: 2 + rng_below(&g->rng, GEN_KNOWN - 2));
	strcpy(g->known[i].path, path);
	g->known[i].kind = kind;
}

/* @from is now called @to, and so is all below it. */
static void moved(struct gen *g, const char *from, const char *to)
{
	size_t len = strlen(from);
	enum gen_kind kind = kind_of(g, from);

	forget(g, to);
	for (unsigned int i = 0; i < g->nknown; i++) {
		char *path = g->known[i].path;
		char rest[PROG_STR];

		if (strncmp(path, from, len) || path[len] != '/')
			continue;
		if (strlen(path) - len + strlen(to) > 90)
			continue;
		strcpy(rest, path + len);
		sprintf(path, "%s%s", to, rest);
	}
	forget(g, from);
	add(g, to, kind);
}

static void learn_names(struct gen *g, const struct op *op)
{
	enum gen_kind kind;

	switch (op->code) {
	case OP_MKDIR:
		add(g, op->s[0], GEN_DIR);
		break;
	case OP_MKNOD:
		add(g, op->s[0], S_ISREG(op->n[0]) ? GEN_FILE : GEN_OTHER);
		break;
	case OP_SYMLINK:
		add(g, op->s[1], GEN_LINK);
		break;
	case OP_LINK:
		add(g, op->s[1], kind_of(g, op->s[0]));
		break;
	case OP_LINKFD:
	case OP_PUT:
		if (find_known(g, op->s[0]) < 0)
			add(g, op->s[0], GEN_FILE);
		break;
	case OP_UNLINK:
	case OP_RMDIR:
		forget(g, op->s[0]);
		break;
	case OP_RENAME:
		if (op->n[0] & RENAME_EXCHANGE) {
			kind = kind_of(g, op->s[0]);
			add(g, op->s[0], kind_of(g, op->s[1]));
			add(g, op->s[1], kind);
		} else {
			moved(g, op->s[0], op->s[1]);
		}
		break;
	default:
		break;
	}
}

void gen_learn(struct gen *g, const struct op *op, int64_t ret)
{
	const char *paths[2];

	switch (op->code) {
	case OP_CRED:
		g->other_user = op->n[0];
		return;
	case OP_CLOSEALL:
		memset(g->slot, 0, sizeof(g->slot));
		memset(g->map, 0, sizeof(g->map));
		return;
	case OP_OPEN:
		g->slot[op->n[0]] = ret < 0                               ? GEN_NONE
				    : (op->n[1] & O_TMPFILE) == O_TMPFILE ? GEN_FILE
				    : op->n[1] & O_DIRECTORY              ? GEN_DIR
				    : kind_of(g, op->s[0]) == GEN_DIR     ? GEN_DIR
									  : GEN_FILE;
		if (ret >= 0 && op->n[1] & O_CREAT && find_known(g, op->s[0]) < 0 &&
		    (op->n[1] & O_TMPFILE) != O_TMPFILE)
			add(g, op->s[0], GEN_FILE);
		break;
	case OP_REOPEN:
	case OP_DUP:
		g->slot[op->n[0]] = ret < 0 ? GEN_NONE : g->slot[op->n[1]];
		break;
	case OP_CLOSE:
		g->slot[op->n[0]] = GEN_NONE;
		break;
	case OP_MMAP:
		g->map[op->n[0]] = ret >= 0;
		break;
	case OP_MUNMAP:
		g->map[op->n[0]] = false;
		break;
	default:
		if (ret >= 0)
			learn_names(g, op);
	}
	if (ret == -ENOENT && prog_paths(op, paths))
		forget(g, paths[0]);
}
