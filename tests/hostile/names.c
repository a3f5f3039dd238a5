// SPDX-License-Identifier: Apache-2.0
/* Names that are none, in every request that has one: refused before anything is looked at. */
/*
 * Theory of operation
 *
 * A row for each opcode tells how its body is made around one name; the product with the list of bad names
 * is a list of requests as asks.c has them, made once. Names of attributes may be anything but empty,
 * too long or unterminated.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "hz.h"

#define ARGS(type, ...) &(const struct fuse_##type){__VA_ARGS__}, sizeof(struct fuse_##type)

static char long_name[257], path_name[4097];

/* @good: a name in front of the bad one, or behind it. */
static const struct carrier {
	const char *name;
	uint32_t op;
	const void *args;
	uint32_t nargs;
	const char *before;
	const char *behind;
	bool attr;
} carriers[] = {
	{"LOOKUP", FUSE_LOOKUP},
	{"SYMLINK", FUSE_SYMLINK, .behind = "target"},
	{"MKNOD", FUSE_MKNOD, ARGS(mknod_in, S_IFREG | 0644)},
	{"MKDIR", FUSE_MKDIR, ARGS(mkdir_in, 0755)},
	{"UNLINK", FUSE_UNLINK},
	{"RMDIR", FUSE_RMDIR},
	{"RENAME from", FUSE_RENAME, ARGS(rename_in, N_ROOT), .behind = "new"},
	{"RENAME to", FUSE_RENAME, ARGS(rename_in, N_ROOT), .before = "file"},
	{"RENAME2 from", FUSE_RENAME2, ARGS(rename2_in, N_ROOT, 1), .behind = "new"},
	{"RENAME2 to", FUSE_RENAME2, ARGS(rename2_in, N_ROOT, 2), .before = "file"},
	{"LINK", FUSE_LINK, ARGS(link_in, N_FILE)},
	{"CREATE", FUSE_CREATE, ARGS(create_in, O_RDWR, 0644)},
	{"GETXATTR", FUSE_GETXATTR, ARGS(getxattr_in, 16), .attr = true},
	{"SETXATTR", FUSE_SETXATTR, ARGS(setxattr_in, 0), .attr = true},
	{"REMOVEXATTR", FUSE_REMOVEXATTR, .attr = true},
};

static const struct bad {
	const char *name;
	const char *text;
	uint32_t len; /* with what stands for the end; 0: strlen and NUL */
	int want;
	int attr_want; /* 0: such names are attributes' */
} bads[] = {
	{"nothing", "", 1, -EINVAL, -ERANGE},
	{"/", "/", 0, -EINVAL, 0},
	{".", ".", 0, -EINVAL, 0},
	{"..", "..", 0, -EINVAL, 0},
	{"../canary", "../canary", 0, -EINVAL, 0},
	{"dir/inner", "dir/inner", 0, -EINVAL, 0},
	{"up/canary", "up/canary", 0, -EINVAL, 0},
	{"/etc/passwd", "/etc/passwd", 0, -EINVAL, 0},
	{"a NUL inside", "a\0b", 4, -EINVAL, -EINVAL},
	{"256 bytes", long_name, 257, -ENAMETOOLONG, -ERANGE},
	{"4096 bytes", path_name, 4097, -ENAMETOOLONG, -ERANGE},
	{"no NUL", "abc", 3, -EINVAL, -EINVAL},
	{"no name", "", UINT32_MAX, -EINVAL, -EINVAL},
};

static void make(struct hz_ask *a, const struct carrier *c, const struct bad *b)
{
	uint32_t len = b->len == UINT32_MAX ? 0 : b->len ? b->len : (uint32_t)strlen(b->text) + 1;
	char *text = malloc(8192), *name = NULL, *at = text;

	if (asprintf(&name, "%s of %s", c->name, b->name) < 0 || !text)
		abort();
	if (c->before)
		at = stpcpy(at, c->before) + 1;
	memcpy(at, b->text, len);
	at += len;
	/* Where there is no end, what is behind would make one. */
	if (c->behind && b->len != 3 && b->len != UINT32_MAX)
		at = stpcpy(at, c->behind) + 1;
	*a = (struct hz_ask){
		.name = name,
		.op = c->op,
		.node = c->attr ? N_FILE : N_ROOT,
		.args = c->args,
		.nargs = c->nargs,
		.text = text,
		.ntext = (uint32_t)(at - text),
		.want = c->attr ? b->attr_want : b->want,
	};
}

const struct hz_ask *hz_names(unsigned int *ret_n)
{
	static struct hz_ask asks[ARRAY_SIZE(carriers) * ARRAY_SIZE(bads)];
	unsigned int n = 0;

	memset(long_name, 'n', sizeof(long_name) - 1);
	memset(path_name, 'n', sizeof(path_name) - 1);
	for (size_t c = 0; c < ARRAY_SIZE(carriers); c++)
		for (size_t b = 0; b < ARRAY_SIZE(bads); b++)
			if (!carriers[c].attr || bads[b].attr_want)
				make(&asks[n++], &carriers[c], &bads[b]);
	*ret_n = n;
	return asks;
}
