// SPDX-License-Identifier: Apache-2.0
/* FUSE_ATTR_DAX: which files a guest is told to use through the window, by every reply that has attributes. */
/*
 * Theory of operation
 *
 * A guest that is mounted with dax=inode maps those files and no others, and it gets an error where one
 * cannot be mapped. So the flag is for what the user chose (--dax), and of that for what the front-end can
 * show in whole: one that maps whole pages within files alone gets it for files that cannot change and end
 * with a page.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dx.h"
#include "util.h"

static const struct dx_opts never = {.fx.args = {"--dax=never"}};
static const struct dx_opts by_size = {.fx.args = {"--dax=size>=1M"}};
static const struct dx_opts by_name = {.fx.args = {"--dax", "*.so,lib[0-9]*"}};
static const struct dx_opts by_both = {.fx.args = {"--dax", "size>=1M,*.so,lib[0-9]*"}};
static const struct dx_opts readonly = {.fx.args = {"--readonly"}};
static const struct dx_opts not_by_inode = {.fx.flags = FX_LINUX_FLAGS | FUSE_MAP_ALIGNMENT};
static const struct dx_opts no_window = {.window = UINT64_MAX, .with = "strict"};

/* Files, and which rules want them: 1 = always, 2 = size, 4 = name. */
static const struct {
	const char *name;
	uint64_t size;
	unsigned int wanted;
} files[] = {
	{"empty", 0, 1},
	{"tiny", 100, 1},
	{"page", 4096, 1},
	{"large", 4 * DX_MIB, 1 | 2},
	{"odd", 4 * DX_MIB + 1, 1 | 2},
	{"just", DX_MIB, 1 | 2},
	{"below", DX_MIB - 4096, 1},
	{"a.so", 8192, 1 | 4},
	{"b.so", 2 * DX_MIB, 1 | 2 | 4},
	{"lib7", 100, 1 | 4},
	{"libx", 100, 1},
	{".so", 4096, 1 | 4},
	{"c.so.1", 4096, 1},
};

static bool expected(const struct fx *f, unsigned int i, unsigned int rules, bool fixed)
{
	if (!(files[i].wanted & rules))
		return false;
	if (!dx_rules(f)->refuses_past_end)
		return true;
	return fixed && files[i].size && files[i].size % DX_PAGE == 0;
}

static void flag_is(const char *name, const char *how, const struct fuse_attr *attr, bool want)
{
	uint32_t flags = attr->flags & (uint32_t)~FUSE_ATTR_SUBMOUNT;

	if (flags != (want ? FUSE_ATTR_DAX : 0))
		fail_msg("%s by %s: flags are %#x", name, how, attr->flags);
}

static int find(const char *name, size_t len)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(files); i++)
		if (strlen(files[i].name) == len && memcmp(files[i].name, name, len) == 0)
			return (int)i;
	return -1;
}

static void check_readdirplus(struct fx *f, unsigned int rules, bool fixed)
{
	static uint8_t buf[65536];
	struct fuse_open_out open;
	unsigned int seen = 0;
	uint64_t off = 0;

	assert_int_equal(fz_opendir(f, FUSE_ROOT_ID, &open), 0);
	for (;;) {
		ssize_t n = fz_readdir(f, FUSE_ROOT_ID, open.fh, off, true, buf, sizeof(buf));

		assert_true(n >= 0);
		if (!n)
			break;
		for (ssize_t at = 0; at < n;) {
			struct fuse_direntplus *d = (void *)(buf + at);
			int i = find(d->dirent.name, d->dirent.namelen);

			if (i >= 0)
				flag_is(files[i].name, "READDIRPLUS", &d->entry_out.attr,
					expected(f, (unsigned int)i, rules, fixed));
			else
				flag_is("another", "READDIRPLUS", &d->entry_out.attr, false);
			seen += i >= 0;
			off = d->dirent.off;
			at += (ssize_t)FUSE_DIRENTPLUS_SIZE(d);
		}
	}
	assert_int_equal(seen, ARRAY_SIZE(files));
	assert_int_equal(fz_releasedir(f, FUSE_ROOT_ID, open.fh), 0);
}

/* Each file by each kind of reply. */
static void check(struct fx *f, unsigned int rules, bool fixed)
{
	struct fuse_attr_out attr;
	struct fuse_entry_out e;
	struct fuse_open_out open;

	for (unsigned int i = 0; i < ARRAY_SIZE(files); i++)
		dx_file(f, files[i].name, i + 1, files[i].size);
	assert_int_equal(mkdir(fx_path(f, "dir.so"), 0755), 0);
	assert_int_equal(mkfifo(fx_path(f, "fifo.so"), 0644), 0);
	assert_int_equal(symlink("large", fx_path(f, "link.so")), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(files); i++) {
		bool want = expected(f, i, rules, fixed);
		const char *name = files[i].name;

		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, name, &e), 0);
		flag_is(name, "LOOKUP", &e.attr, want);
		assert_int_equal(fz_getattr(f, e.nodeid, &attr), 0);
		flag_is(name, "GETATTR", &attr.attr, want);
		assert_int_equal(fz_open(f, e.nodeid, O_RDONLY, &open), 0);
		assert_int_equal(fz_getattr_fh(f, e.nodeid, open.fh, &attr), 0);
		flag_is(name, "GETATTR of a handle", &attr.attr, want);
		assert_int_equal(fz_release(f, e.nodeid, open.fh), 0);
	}
	for (unsigned int i = 0; i < 3; i++) {
		const char *name = (const char *const[]){"dir.so", "fifo.so", "link.so"}[i];

		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, name, &e), 0);
		flag_is(name, "LOOKUP", &e.attr, false);
	}
	check_readdirplus(f, rules, fixed);
}

static bool by_inode(const struct fx *f)
{
	return f->init.flags2 & (FX_DAX_FLAGS >> 32);
}

static void all_files(void **state)
{
	struct fx *f = *state;

	assert_true(by_inode(f));
	check(f, 1, false);
}

static void no_files(void **state)
{
	struct fx *f = *state;

	assert_false(by_inode(f));
	check(f, 0, false);
}

static void large_files(void **state)
{
	struct fx *f = *state;
	struct fuse_setattr_in in = {.valid = FATTR_SIZE, .size = 2 * DX_MIB};
	struct fuse_attr_out attr;
	uint64_t node;

	check(f, 2, false);
	/* It is what it is now that counts. */
	node = fz_walk(f, "tiny");
	assert_int_equal(fz_setattr(f, node, &in, &attr), 0);
	flag_is("tiny", "SETATTR", &attr.attr, !dx_rules(f)->refuses_past_end);
	in.size = 1;
	assert_int_equal(fz_setattr(f, node, &in, &attr), 0);
	flag_is("tiny", "SETATTR", &attr.attr, false);
}

static void files_of_these_names(void **state)
{
	struct fx *f = *state;
	bool whole = !dx_rules(f)->refuses_past_end;
	struct fz_entry_open c;
	struct fuse_entry_out e;
	struct fuse_attr_out attr;

	check(f, 4, false);
	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "new.so", O_CREAT | O_RDWR, 0644, &c), 0);
	flag_is("new.so", "CREATE", &c.entry.attr, whole);
	assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "new.txt", O_CREAT | O_RDWR, 0644, &c), 0);
	flag_is("new.txt", "CREATE", &c.entry.attr, false);
	assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
	assert_int_equal(fz_mknod(f, FUSE_ROOT_ID, "node.so", S_IFREG | 0644, 0, &e), 0);
	flag_is("node.so", "MKNOD", &e.attr, whole);
	/* Another name, and what is told by the node goes by it. */
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "node.so", FUSE_ROOT_ID, "node", 0), 0);
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "node", &e), 0);
	flag_is("node", "LOOKUP", &e.attr, false);
	assert_int_equal(fz_getattr(f, e.nodeid, &attr), 0);
	flag_is("node", "GETATTR", &attr.attr, false);
}

static void one_or_the_other(void **state)
{
	check(*state, 2 | 4, false);
}

/* Where nothing can change a file: also with front-ends that map only what is there. */
static void files_that_stay(void **state)
{
	check(*state, 1, true);
}

/* It can be mapped, for all that: mount -o dax=always asks for no flag. */
static void mapped_without_the_flag(void **state)
{
	struct fx *f = *state;
	uint64_t a;

	assert_false(by_inode(f));
	dx_file(f, "a", 1, DX_RANGE);
	a = fz_walk(f, "a");
	dx_map(f, a, 0, DX_RANGE, DX_WRITE, 0);
	dx_is(f, 0, 1, 0, DX_RANGE);
}

int main(int argc, char **argv)
{
	const struct dx_test tests[] = {
		DX_TEST(all_files, NULL),
		DX_TEST(no_files, &never),
		{"no_window", no_files, &no_window},
		{"a_guest_without_it", no_files, &not_by_inode},
		DX_TEST(large_files, &by_size),
		DX_TEST(files_of_these_names, &by_name),
		DX_TEST(one_or_the_other, &by_both),
		DX_TEST(files_that_stay, &readonly),
		{"never_yet_mapped", mapped_without_the_flag, &never},
	};

	return dx_main(argc, argv, "dax_policy", tests, ARRAY_SIZE(tests));
}
