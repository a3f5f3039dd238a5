// SPDX-License-Identifier: Apache-2.0
/* Opcodes on directories: OPENDIR, READDIR, READDIRPLUS, RELEASEDIR, FSYNCDIR. */
/*
 * Theory of operation
 *
 * A listing is taken through the protocol with a buffer of some size and compared with what the host
 * has: each name once, its inode number and type, and for READDIRPLUS all attributes. Names are
 * numbers, so a table of flags tells what was seen.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "fx.h"
#include "fz.h"
#include "util.h"

#define LOTS 3000u

/* A walk over a directory, one reply after the other. */
struct walk {
	struct fx *f;
	uint64_t node;
	uint64_t fh;
	uint64_t off;
	bool plus;
	size_t size;
	uint8_t buf[1 << 16];
	size_t at;
	size_t len;
	const struct fuse_entry_out *entry;
	const struct fuse_dirent *de;
	char name[256];
};

static struct walk *walk_new(struct fx *f, uint64_t node, bool plus, size_t size)
{
	struct walk *w = calloc(1, sizeof(*w));
	struct fuse_open_out o;

	assert_non_null(w);
	assert_int_equal(fz_opendir(f, node, &o), 0);
	*w = (struct walk){.f = f, .node = node, .fh = o.fh, .plus = plus, .size = size};
	return w;
}

static void walk_free(struct walk *w)
{
	assert_int_equal(fz_releasedir(w->f, w->node, w->fh), 0);
	free(w);
}

/* The next entry; false at the end. Checks the form of each. */
static bool walk_next(struct walk *w)
{
	size_t head = w->plus ? sizeof(struct fuse_entry_out) : 0;
	size_t whole;

	if (w->at == w->len) {
		ssize_t n = fz_readdir(w->f, w->node, w->fh, w->off, w->plus, w->buf, w->size);

		assert_true(n >= 0);
		assert_int_equal(n % 8, 0);
		w->at = 0;
		w->len = (size_t)n;
		if (n == 0)
			return false;
	}
	assert_true(w->len - w->at >= head + FUSE_NAME_OFFSET);
	w->entry = w->plus ? (void *)(w->buf + w->at) : NULL;
	w->de = (void *)(w->buf + w->at + head);
	whole = FUSE_DIRENT_ALIGN(head + FUSE_NAME_OFFSET + w->de->namelen);
	assert_true(w->len - w->at >= whole);
	assert_in_range(w->de->namelen, 1, 255);
	memcpy(w->name, w->de->name, w->de->namelen);
	w->name[w->de->namelen] = '\0';
	assert_int_equal(strlen(w->name), w->de->namelen);
	assert_null(strchr(w->name, '/'));
	for (size_t i = head + FUSE_NAME_OFFSET + w->de->namelen; i < whole; i++)
		assert_int_equal(w->buf[w->at + i], 0);
	w->at += whole;
	w->off = w->de->off;
	return true;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* @n empty files, named by their numbers, in a directory. */
static void make_lots(const struct fx *f, const char *dir, unsigned int n)
{
	char name[64];

	assert_int_equal(mkdir(fx_path(f, dir), 0755), 0);
	for (unsigned int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%s/%u", dir, i);
		fx_put(f, name, "", 0, 0644);
	}
}

static void entries_are_the_hosts(void **state)
{
	static const char *const names[] = {"file", "dir",  "link",
					    "fifo", "sock", "a name with \xff bytes\n"};
	static const uint32_t types[] = {DT_REG, DT_DIR, DT_LNK, DT_FIFO, DT_SOCK, DT_REG};
	struct fx *f = *state;

	fx_put(f, "file", "12345", 5, 0600);
	assert_int_equal(mkdir(fx_path(f, "dir"), 0711), 0);
	assert_int_equal(symlink("x", fx_path(f, "link")), 0);
	assert_int_equal(mkfifo(fx_path(f, "fifo"), 0600), 0);
	assert_int_equal(mknod(fx_path(f, "sock"), S_IFSOCK | 0600, 0), 0);
	fx_put(f, names[5], "", 0, 0644);
	for (int plus = 0; plus < 2; plus++) {
		struct walk *w = walk_new(f, FUSE_ROOT_ID, plus, 4096);
		unsigned int seen = 0, dots = 0;

		while (walk_next(w)) {
			unsigned int i = 0;

			if (is_dots(w->name)) {
				dots++;
				assert_int_equal(w->de->type, DT_DIR);
				/* Nobody shall see what is above the share. */
				assert_int_equal(w->de->ino, fx_stat(f, ".").st_ino);
				/* Linux takes no node for these, and forgets none. */
				if (plus)
					assert_int_equal(w->entry->nodeid, 0);
				continue;
			}
			while (i < ARRAY_SIZE(names) && strcmp(names[i], w->name) != 0)
				i++;
			assert_true(i < ARRAY_SIZE(names));
			assert_false(seen & 1u << i);
			seen |= 1u << i;
			assert_int_equal(w->de->type, types[i]);
			assert_int_equal(w->de->ino, fx_stat(f, w->name).st_ino);
			if (plus) {
				fz_entry_is(f, w->entry, w->name);
				assert_int_equal(w->entry->entry_valid, 1);
				assert_int_equal(w->entry->attr_valid, 1);
			}
		}
		assert_int_equal(seen, (1u << ARRAY_SIZE(names)) - 1);
		assert_int_equal(dots, 2);
		walk_free(w);
	}
}

/* What is above a directory that is not the root is the directory above. */
static void dot_and_dotdot_below(void **state)
{
	struct fx *f = *state;
	struct walk *w;

	assert_int_equal(mkdir(fx_path(f, "d"), 0755), 0);
	assert_int_equal(mkdir(fx_path(f, "d/e"), 0755), 0);
	w = walk_new(f, fz_walk(f, "d/e"), false, 4096);
	while (walk_next(w))
		assert_int_equal(w->de->ino, fx_stat(f, w->name[1] ? "d" : "d/e").st_ino);
	walk_free(w);
}

/* READDIRPLUS counts one lookup for each entry that it gives, and for no other. */
static void each_entry_counts_one_lookup(void **state)
{
	struct fx *f = *state;
	struct fuse_attr_out a;
	uint64_t nodes[50];
	unsigned int n = 0;
	struct walk *w;

	make_lots(f, "d", 50);
	w = walk_new(f, fz_walk(f, "d"), true, 1000);
	while (walk_next(w))
		if (!is_dots(w->name)) {
			assert_true(n < 50);
			nodes[n++] = w->entry->nodeid;
		}
	assert_int_equal(n, 50);
	walk_free(w);
	for (n = 0; n < 50; n++) {
		assert_int_equal(fz_getattr(f, nodes[n], &a), 0);
		fz_forget(f, nodes[n], 1);
		assert_int_equal(fz_getattr(f, nodes[n], &a), -ESTALE);
	}
}

static void lots_of_entries_each_once(void **state)
{
	static const size_t sizes[] = {300, 512, 4096, 32768, 65536};
	struct fx *f = *state;

	make_lots(f, "d", LOTS);
	for (unsigned int s = 0; s < ARRAY_SIZE(sizes); s++) {
		bool seen[LOTS] = {false};
		struct walk *w = walk_new(f, fz_walk(f, "d"), s & 1, sizes[s]);
		unsigned int n = 0;

		while (walk_next(w)) {
			unsigned long i = strtoul(w->name, NULL, 10);

			if (is_dots(w->name))
				continue;
			assert_true(i < LOTS);
			assert_false(seen[i]);
			seen[i] = true;
			n++;
		}
		assert_int_equal(n, LOTS);
		walk_free(w);
	}
}

/* seekdir(3): from the offset of any entry on come those that came behind it. */
static void every_offset_is_a_place(void **state)
{
	struct fx *f = *state;
	uint64_t offs[100];
	char names[100][8];
	unsigned int n = 0;
	struct walk *w;

	make_lots(f, "d", 97);
	w = walk_new(f, fz_walk(f, "d"), false, 4096);
	while (walk_next(w)) {
		offs[n] = w->off;
		strcpy(names[n++], w->name);
	}
	assert_int_equal(n, 99);
	for (unsigned int i = 0; i < 99; i++) {
		unsigned int from = i * 37 % 99;

		w->off = offs[from];
		w->at = w->len = 0;
		w->plus = i & 1;
		for (unsigned int k = from + 1; k < MIN(from + 4, 99u); k++) {
			assert_true(walk_next(w));
			assert_string_equal(w->name, names[k]);
		}
		if (from >= 98)
			assert_false(walk_next(w));
	}
	walk_free(w);
}

/* rm -rf: remove what was read, read on. Nothing is left out. */
static void removal_while_reading(void **state)
{
	struct fx *f = *state;
	unsigned int n = 0;
	uint64_t dir;
	struct walk *w;

	make_lots(f, "d", LOTS);
	dir = fz_walk(f, "d");
	w = walk_new(f, dir, true, 4096);
	while (walk_next(w)) {
		if (is_dots(w->name))
			continue;
		assert_int_equal(fz_unlink(f, dir, w->name), 0);
		fz_forget(f, w->entry->nodeid, 1);
		n++;
	}
	assert_int_equal(n, LOTS);
	walk_free(w);
	assert_int_equal(fz_rmdir(f, FUSE_ROOT_ID, "d"), 0);
}

static void rewinding_shows_what_is_new(void **state)
{
	struct fx *f = *state;
	unsigned int n = 0;
	struct walk *w;

	make_lots(f, "d", 3);
	w = walk_new(f, fz_walk(f, "d"), false, 4096);
	while (walk_next(w))
		n++;
	assert_int_equal(n, 5);
	fx_put(f, "d/new", "", 0, 0644);
	w->off = 0;
	while (walk_next(w))
		n++;
	assert_int_equal(n, 11);
	walk_free(w);
}

static void a_directory_that_is_gone(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out o;
	struct walk *w;

	assert_int_equal(mkdir(fx_path(f, "d"), 0755), 0);
	w = walk_new(f, fz_walk(f, "d"), false, 4096);
	assert_int_equal(fz_rmdir(f, FUSE_ROOT_ID, "d"), 0);
	/* What getdents(2) says of it. */
	assert_int_equal(fz_readdir(f, w->node, w->fh, 0, false, w->buf, 4096), -ENOENT);
	walk_free(w);
	fx_put(f, "file", "", 0, 0644);
	assert_int_equal(fz_opendir(f, fz_walk(f, "file"), &o), -ENOTDIR);
	assert_int_equal(fz_opendir(f, 0x7777777700001234ull, &o), -ESTALE);
}

static void syncing(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out o;

	assert_int_equal(fz_opendir(f, FUSE_ROOT_ID, &o), 0);
	assert_int_equal(o.padding, 0);
	assert_int_equal(fz_fsyncdir(f, FUSE_ROOT_ID, o.fh, false), 0);
	assert_int_equal(fz_fsyncdir(f, FUSE_ROOT_ID, o.fh, true), 0);
	assert_int_equal(fz_releasedir(f, FUSE_ROOT_ID, o.fh), 0);
}

/* Sizes that leave no room, and one that no buffer has. */
static void sizes_at_the_edges(void **state)
{
	struct fx *f = *state;
	struct fuse_read_in in = {.size = UINT32_MAX};
	struct fuse_open_out o;
	uint8_t buf[4096];
	size_t len;

	make_lots(f, "d", 5);
	assert_int_equal(fz_opendir(f, fz_walk(f, "d"), &o), 0);
	in.fh = o.fh;
	/* fz_walk() counted a lookup for the node each time; that is no matter here. */
	assert_int_equal(fz_call(f, FUSE_READDIR, fz_walk(f, "d"), &(struct iovec)IOV(in), 1, buf,
				 sizeof(buf), &len),
			 0);
	assert_in_range(len, 7 * 24, 7 * 32);
	for (size_t size = 0; size < 32; size += 8)
		assert_true(fz_readdir(f, fz_walk(f, "d"), o.fh, 0, false, buf, size) <= 0);
	in.offset = UINT64_MAX;
	assert_int_equal(fz_call(f, FUSE_READDIR, fz_walk(f, "d"), &(struct iovec)IOV(in), 1, buf,
				 sizeof(buf), &len),
			 -EINVAL);
	assert_int_equal(fz_releasedir(f, fz_walk(f, "d"), o.fh), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(entries_are_the_hosts, NULL),
		FX_TEST(dot_and_dotdot_below, NULL),
		FX_TEST(each_entry_counts_one_lookup, NULL),
		FX_TEST(lots_of_entries_each_once, NULL),
		FX_TEST(every_offset_is_a_place, NULL),
		FX_TEST(removal_while_reading, NULL),
		FX_TEST(rewinding_shows_what_is_new, NULL),
		FX_TEST(a_directory_that_is_gone, NULL),
		FX_TEST(syncing, NULL),
		FX_TEST(sizes_at_the_edges, NULL),
	};

	return fx_main(argc, argv, "dir", tests, ARRAY_SIZE(tests));
}
