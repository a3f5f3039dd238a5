// SPDX-License-Identifier: Apache-2.0
/* Opcodes on names: LOOKUP, MKNOD, MKDIR, SYMLINK, READLINK, LINK, UNLINK, RMDIR, RENAME, RENAME2. */
/*
 * Theory of operation
 *
 * What a request says it did is looked for on the host, and what the host has is compared with the
 * reply, attribute by attribute.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fx.h"
#include "fz.h"
#include "util.h"

#define STALE 0x7777777700001234ull

static void timeouts_are_cache_auto(const struct fuse_entry_out *e)
{
	assert_int_equal(e->entry_valid, 1);
	assert_int_equal(e->entry_valid_nsec, 0);
	assert_int_equal(e->attr_valid, 1);
	assert_int_equal(e->attr_valid_nsec, 0);
}

static void lookup_finds_every_kind(void **state)
{
	static const char *const names[] = {"file", "dir", "link", "fifo", "sock"};
	struct fx *f = *state;
	struct fuse_entry_out e, again;

	fx_put(f, "file", "twelve bytes", 12, 04751);
	assert_int_equal(mkdir(fx_path(f, "dir"), 0700), 0);
	assert_int_equal(symlink("nowhere", fx_path(f, "link")), 0);
	assert_int_equal(mknod(fx_path(f, "fifo"), S_IFIFO | 0600, 0), 0);
	assert_int_equal(mknod(fx_path(f, "sock"), S_IFSOCK | 0600, 0), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, names[i], &e), 0);
		fz_entry_is(f, &e, names[i]);
		timeouts_are_cache_auto(&e);
		/* The same again, byte by byte. */
		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, names[i], &again), 0);
		assert_memory_equal(&e, &again, sizeof(e));
		fz_forget(f, e.nodeid, 2);
	}
	if (geteuid() == 0) {
		assert_int_equal(mknod(fx_path(f, "null"), S_IFCHR | 0600, makedev(1, 300)), 0);
		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "null", &e), 0);
		fz_entry_is(f, &e, "null");
	}
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "missing", &e), -ENOENT);
	assert_int_equal(fz_lookup(f, fz_walk(f, "file"), "x", &e), -ENOTDIR);
	assert_int_equal(fz_lookup(f, fz_walk(f, "link"), "x", &e), -ENOTDIR);
	assert_int_equal(fz_lookup(f, STALE, "file", &e), -ESTALE);
	assert_int_equal(fz_lookup(f, 0, "file", &e), -ESTALE);
}

static void one_inode_is_one_node(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out a, b, c;
	struct fuse_attr_out attr;

	fx_put(f, "a", "", 0, 0644);
	assert_int_equal(mkdir(fx_path(f, "d"), 0755), 0);
	assert_int_equal(link(fx_path(f, "a"), fx_path(f, "d/b")), 0);
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "a", &a), 0);
	assert_int_equal(fz_lookup(f, fz_walk(f, "d"), "b", &b), 0);
	assert_int_equal(a.nodeid, b.nodeid);
	assert_int_equal(a.generation, b.generation);
	assert_int_equal(a.attr.nlink, 2);
	/* A new file with the old one's name is another node. */
	assert_int_equal(unlink(fx_path(f, "a")), 0);
	fx_put(f, "a", "new", 3, 0644);
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "a", &c), 0);
	assert_int_not_equal(c.nodeid, a.nodeid);
	assert_int_equal(c.attr.size, 3);
	/* The old one lives on by its other name. */
	assert_int_equal(fz_getattr(f, a.nodeid, &attr), 0);
	assert_int_equal(attr.attr.size, 0);
	assert_int_equal(attr.attr.nlink, 1);
}

/* Names that are not one component, in every opcode that takes names, at each place. */
static void names_that_are_refused(void **state)
{
	static const struct {
		uint32_t opcode;
		uint8_t fixed;
		uint8_t names;
	} ops[] = {{FUSE_LOOKUP, 0, 1},  {FUSE_MKNOD, 16, 1},  {FUSE_MKDIR, 8, 1},
		   {FUSE_UNLINK, 0, 1},  {FUSE_RMDIR, 0, 1},   {FUSE_SYMLINK, 0, 1},
		   {FUSE_LINK, 8, 1},    {FUSE_CREATE, 16, 1}, {FUSE_RENAME, 8, 2},
		   {FUSE_RENAME2, 16, 2}};
	static const struct {
		const char *bytes;
		size_t len;
		int error;
	} bad[] = {
		{"", 1, -EINVAL},           {".", 2, -EINVAL},           {"..", 3, -EINVAL},
		{"/", 2, -EINVAL},          {"a/b", 4, -EINVAL},         {"../x", 5, -EINVAL},
		{"/etc", 5, -EINVAL},       {"a/", 3, -EINVAL},          {"dir/..", 7, -EINVAL},
		{NULL, 257, -ENAMETOOLONG}, {NULL, 1000, -ENAMETOOLONG},
	};
	struct fx *f = *state;
	char lots[1024];

	memset(lots, 'x', sizeof(lots));
	assert_int_equal(mkdir(fx_path(f, "dir"), 0755), 0);
	for (unsigned int o = 0; o < ARRAY_SIZE(ops); o++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(bad) * ops[o].names; i++) {
			unsigned int b = i % ARRAY_SIZE(bad), at = i / ARRAY_SIZE(bad);
			uint64_t fixed[2] = {FUSE_ROOT_ID};
			struct iovec iov[4] = {{fixed, ops[o].fixed}};
			unsigned int n = 1;
			uint8_t out[256];
			int r;

			lots[bad[b].len - 1] = bad[b].bytes ? 'x' : '\0';
			if (at == 1)
				iov[n++] = (struct iovec)IOV_STR("good");
			iov[n++] = (struct iovec){
				bad[b].bytes ? (void *)(uintptr_t)bad[b].bytes : lots, bad[b].len};
			if (at == 0 && (ops[o].names == 2 || ops[o].opcode == FUSE_SYMLINK))
				iov[n++] = (struct iovec)IOV_STR("good");
			r = fz_call(f, ops[o].opcode, FUSE_ROOT_ID, iov, n, out, sizeof(out), NULL);
			lots[bad[b].len - 1] = 'x';
			if (r != bad[b].error)
				fail_msg("opcode %u, name %u at %u: %d", ops[o].opcode, b, at, r);
		}
	}
}

/* Without a NUL, with one inside, with something behind. */
static void names_that_are_cut(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {{"", 0}, {"file", 4}, {"fi\0le", 6}, {"file\0\0", 6}, {"file\0file", 10}};
	struct fx *f = *state;
	uint8_t out[256];

	fx_put(f, "file", "", 0, 0644);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct iovec iov = {(void *)(uintptr_t)bad[i].bytes, bad[i].len};

		assert_int_equal(fz_call(f, FUSE_LOOKUP, FUSE_ROOT_ID, &iov, 1, out, 128, NULL),
				 -EINVAL);
		assert_int_equal(fz_call(f, FUSE_UNLINK, FUSE_ROOT_ID, &iov, 1, out, 0, NULL),
				 -EINVAL);
	}
	fx_stat(f, "file");
}

static void names_of_all_bytes(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e;
	char name[256];

	/* The longest name, and bytes that are no letters. */
	memset(name, 'n', 255);
	name[255] = '\0';
	assert_int_equal(fz_mkdir(f, FUSE_ROOT_ID, name, 0755, &e), 0);
	fz_entry_is(f, &e, name);
	assert_int_equal(fz_rmdir(f, FUSE_ROOT_ID, name), 0);
	for (int c = 1; c < 256; c++) {
		snprintf(name, sizeof(name), "%c-%c%c", c == '/' ? 'x' : c, c == '/' ? 'x' : c,
			 255);
		assert_int_equal(fz_mknod(f, FUSE_ROOT_ID, name, S_IFREG | 0600, 0, &e), 0);
		fz_entry_is(f, &e, name);
		assert_int_equal(fz_unlink(f, FUSE_ROOT_ID, name), 0);
	}
}

static const struct fx_opts mknod_opts = {.args = {"--modcaps=+mknod"}};

static void mknod_makes_every_kind(void **state)
{
	static const struct {
		const char *name;
		uint32_t mode;
		dev_t dev;
		bool root;
	} kinds[] = {
		{"reg", S_IFREG | 0666, 0, false},      {"zero", 0644, 0, false},
		{"fifo", S_IFIFO | 0622, 0, false},     {"sock", S_IFSOCK | 0777, 0, false},
		{"whiteout", S_IFCHR | 0000, 0, true},  {"chr", S_IFCHR | 0640, 0x12345, true},
		{"blk", S_IFBLK | 0640, 0x70003, true},
	};
	struct fx *f = *state;
	struct fuse_entry_out e;

	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		dev_t dev = makedev(kinds[i].dev >> 8 & 0xfff, (kinds[i].dev & 0xff) + 256);
		struct stat st;

		if (kinds[i].root && geteuid() != 0)
			continue;
		if (!kinds[i].dev)
			dev = 0;
		assert_int_equal(fz_mknod(f, FUSE_ROOT_ID, kinds[i].name, kinds[i].mode,
					  fz_rdev(dev), &e),
				 0);
		fz_entry_is(f, &e, kinds[i].name);
		timeouts_are_cache_auto(&e);
		st = fx_stat(f, kinds[i].name);
		/* The guest has applied its umask: the field in the message is not ours to apply. */
		assert_int_equal(st.st_mode & 07777, kinds[i].mode & 07777);
		assert_int_equal(st.st_rdev, dev);
		assert_int_equal(fz_mknod(f, FUSE_ROOT_ID, kinds[i].name, kinds[i].mode, 0, &e),
				 -EEXIST);
	}
	assert_int_equal(fz_mknod(f, FUSE_ROOT_ID, "dir", S_IFDIR | 0755, 0, &e), -EPERM);
	assert_int_equal(fz_mknod(f, FUSE_ROOT_ID, "lnk", S_IFLNK | 0755, 0, &e), -EINVAL);
	assert_int_equal(fz_mknod(f, STALE, "x", S_IFREG, 0, &e), -ESTALE);
	assert_int_equal(fz_mknod(f, fz_walk(f, "reg"), "x", S_IFREG, 0, &e), -ENOTDIR);
	assert_int_equal(access(fx_path(f, "dir"), F_OK), -1);
}

static const struct fx_opts sandboxed = {.args = {"--sandbox=namespace"}};

/* By default a guest makes no device nodes, but for the whiteouts of its overlayfs. */
static void mknod_without_the_capability(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e;

	fx_need_root();
	assert_int_equal(fz_mknod(f, FUSE_ROOT_ID, "chr", S_IFCHR | 0640, fz_rdev(makedev(1, 3)),
				  &e),
			 -EPERM);
	assert_int_equal(fz_mknod(f, FUSE_ROOT_ID, "blk", S_IFBLK | 0640, fz_rdev(makedev(7, 0)),
				  &e),
			 -EPERM);
	assert_int_equal(fz_mknod(f, FUSE_ROOT_ID, "whiteout", S_IFCHR, 0, &e), 0);
}

static void mkdir_and_rmdir(void **state)
{
	static const uint32_t modes[] = {0755, 0777, 0700, 0, 01777, 02755};
	struct fx *f = *state;
	struct fuse_entry_out e, sub;

	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		assert_int_equal(fz_mkdir(f, FUSE_ROOT_ID, "d", modes[i], &e), 0);
		fz_entry_is(f, &e, "d");
		/* mkdir(2) has no set-id bits to give. */
		assert_int_equal(e.attr.mode & ~06000u, S_IFDIR | (modes[i] & ~06000u));
		assert_int_equal(e.attr.nlink, fx_stat(f, "d").st_nlink);
		assert_int_equal(fz_mkdir(f, FUSE_ROOT_ID, "d", 0755, &e), -EEXIST);
		assert_int_equal(fz_rmdir(f, FUSE_ROOT_ID, "d"), 0);
		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "d", &e), -ENOENT);
	}
	assert_int_equal(fz_mkdir(f, FUSE_ROOT_ID, "d", 0755, &e), 0);
	assert_int_equal(fz_mkdir(f, e.nodeid, "sub", 0755, &sub), 0);
	fz_entry_is(f, &sub, "d/sub");
	assert_int_equal(fz_rmdir(f, FUSE_ROOT_ID, "d"), -ENOTEMPTY);
	assert_int_equal(fz_rmdir(f, e.nodeid, "missing"), -ENOENT);
	fx_put(f, "file", "", 0, 0644);
	assert_int_equal(fz_rmdir(f, FUSE_ROOT_ID, "file"), -ENOTDIR);
	assert_int_equal(fz_mkdir(f, fz_walk(f, "file"), "x", 0755, &sub), -ENOTDIR);
	/* Gone, but still held by the guest. */
	assert_int_equal(fz_rmdir(f, e.nodeid, "sub"), 0);
	assert_int_equal(fz_rmdir(f, FUSE_ROOT_ID, "d"), 0);
	assert_int_equal(fz_mkdir(f, e.nodeid, "x", 0755, &sub), -ENOENT);
}

static void symlink_and_readlink(void **state)
{
	static const char *const targets[] = {"x", "/etc/passwd", "../..", "a b\nc\xff"};
	struct fx *f = *state;
	struct fuse_entry_out e;
	char buf[4096], lots[4098];

	for (unsigned int i = 0; i < ARRAY_SIZE(targets); i++) {
		char name[16];

		snprintf(name, sizeof(name), "link%u", i);
		assert_int_equal(fz_symlink(f, FUSE_ROOT_ID, name, targets[i], &e), 0);
		fz_entry_is(f, &e, name);
		assert_true(S_ISLNK(e.attr.mode));
		assert_int_equal(e.attr.size, strlen(targets[i]));
		assert_int_equal(fz_readlink(f, e.nodeid, buf), 0);
		assert_string_equal(buf, targets[i]);
		assert_int_equal(fz_symlink(f, FUSE_ROOT_ID, name, "y", &e), -EEXIST);
	}
	memset(lots, 't', sizeof(lots));
	lots[4095] = '\0';
	assert_int_equal(fz_symlink(f, FUSE_ROOT_ID, "long", lots, &e), 0);
	assert_int_equal(fz_readlink(f, e.nodeid, buf), 0);
	assert_string_equal(buf, lots);
	lots[4095] = 't';
	lots[4097] = '\0';
	assert_int_equal(fz_symlink(f, FUSE_ROOT_ID, "longer", lots, &e), -ENAMETOOLONG);
	assert_int_equal(fz_symlink(f, FUSE_ROOT_ID, "empty", "", &e), -ENOENT);
	assert_int_equal(fz_readlink(f, FUSE_ROOT_ID, buf), -EINVAL);
	assert_int_equal(fz_readlink(f, STALE, buf), -ESTALE);
}

static void link_adds_a_name(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e, l;
	struct fuse_attr_out a;

	fx_put(f, "file", "x", 1, 0644);
	assert_int_equal(mkdir(fx_path(f, "dir"), 0755), 0);
	assert_int_equal(symlink("nowhere", fx_path(f, "sym")), 0);
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "file", &e), 0);
	assert_int_equal(fz_link(f, e.nodeid, fz_walk(f, "dir"), "two", &l), 0);
	assert_int_equal(l.nodeid, e.nodeid);
	fz_entry_is(f, &l, "dir/two");
	assert_int_equal(l.attr.nlink, 2);
	assert_int_equal(fz_link(f, e.nodeid, FUSE_ROOT_ID, "dir", &l), -EEXIST);
	/* It counted a lookup: one may go and the node stays. */
	fz_forget(f, e.nodeid, 1);
	assert_int_equal(fz_getattr(f, e.nodeid, &a), 0);
	fz_forget(f, e.nodeid, 1);
	assert_int_equal(fz_getattr(f, e.nodeid, &a), -ESTALE);
	/* The symlink itself, not what it points to. */
	assert_int_equal(fz_link(f, fz_walk(f, "sym"), FUSE_ROOT_ID, "sym2", &l), 0);
	fz_entry_is(f, &l, "sym2");
	assert_true(S_ISLNK(l.attr.mode));
	assert_int_equal(fz_link(f, fz_walk(f, "dir"), FUSE_ROOT_ID, "dir2", &l), -EPERM);
	assert_int_equal(fz_link(f, STALE, FUSE_ROOT_ID, "x", &l), -ESTALE);
	assert_int_equal(fz_link(f, fz_walk(f, "file"), STALE, "x", &l), -ESTALE);
}

static void unlink_keeps_what_is_held(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e;
	struct fuse_open_out o;
	struct fuse_attr_out a;
	char buf[8];

	fx_put(f, "file", "content", 7, 0644);
	assert_int_equal(mkdir(fx_path(f, "dir"), 0755), 0);
	assert_int_equal(fz_unlink(f, FUSE_ROOT_ID, "dir"), -EISDIR);
	assert_int_equal(fz_unlink(f, FUSE_ROOT_ID, "missing"), -ENOENT);
	assert_int_equal(fz_unlink(f, STALE, "file"), -ESTALE);
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "file", &e), 0);
	assert_int_equal(fz_unlink(f, FUSE_ROOT_ID, "file"), 0);
	assert_int_equal(access(fx_path(f, "file"), F_OK), -1);
	/* Known before the name went, opened after. */
	assert_int_equal(fz_getattr(f, e.nodeid, &a), 0);
	assert_int_equal(a.attr.nlink, 0);
	assert_int_equal(a.attr.size, 7);
	assert_int_equal(fz_open(f, e.nodeid, O_RDWR, &o), 0);
	assert_int_equal(fz_read(f, e.nodeid, o.fh, 0, buf, 8), 7);
	assert_memory_equal(buf, "content", 7);
	assert_int_equal(fz_write(f, e.nodeid, o.fh, 7, "!", 1), 1);
	assert_int_equal(fz_getattr_fh(f, e.nodeid, o.fh, &a), 0);
	assert_int_equal(a.attr.size, 8);
	assert_int_equal(fz_release(f, e.nodeid, o.fh), 0);
	assert_int_equal(fz_getattr(f, e.nodeid, &a), 0);
	fz_forget(f, e.nodeid, 1);
	assert_int_equal(fz_getattr(f, e.nodeid, &a), -ESTALE);
}

static void rename_moves(void **state)
{
	struct fx *f = *state;
	struct fuse_attr_out a;
	uint64_t d1, d2, file;

	assert_int_equal(mkdir(fx_path(f, "d1"), 0755), 0);
	assert_int_equal(mkdir(fx_path(f, "d1/sub"), 0755), 0);
	assert_int_equal(mkdir(fx_path(f, "d2"), 0755), 0);
	fx_put(f, "d1/sub/file", "x", 1, 0644);
	fx_put(f, "d2/victim", "yy", 2, 0644);
	d1 = fz_walk(f, "d1");
	d2 = fz_walk(f, "d2");
	file = fz_walk(f, "d1/sub/file");
	/* The directory above a node moves; the node is found all the same. */
	assert_int_equal(fz_rename(f, d1, "sub", d2, "moved", 0), 0);
	assert_int_equal(fz_getattr(f, file, &a), 0);
	fx_stat(f, "d2/moved/file");
	/* Over another file, which is gone then. */
	assert_int_equal(fz_rename(f, fz_walk(f, "d2/moved"), "file", d2, "victim", 0), 0);
	assert_int_equal(fx_stat(f, "d2/victim").st_size, 1);
	assert_int_equal(fz_getattr(f, file, &a), 0);
	assert_int_equal(a.attr.ino, fx_stat(f, "d2/victim").st_ino);
	assert_int_equal(fz_rename(f, d2, "missing", d2, "x", 0), -ENOENT);
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "d2", d2, "inside", 0), -EINVAL);
	assert_int_equal(fz_rename(f, d2, "victim", FUSE_ROOT_ID, "d1", 0), -EISDIR);
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "d1", d2, "victim", 0), -ENOTDIR);
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "d1", FUSE_ROOT_ID, "d2", 0), -ENOTEMPTY);
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "d2", FUSE_ROOT_ID, "d1", 0), 0);
	assert_int_equal(access(fx_path(f, "d2"), F_OK), -1);
	fx_stat(f, "d1/victim");
	assert_int_equal(fz_rename(f, STALE, "a", FUSE_ROOT_ID, "b", 0), -ESTALE);
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "d1", STALE, "b", 0), -ESTALE);
}

static void rename_with_flags(void **state)
{
	struct fx *f = *state;
	struct stat st;

	fx_put(f, "a", "a", 1, 0644);
	fx_put(f, "b", "bb", 2, 0644);
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "a", FUSE_ROOT_ID, "b", RENAME_NOREPLACE),
			 -EEXIST);
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "a", FUSE_ROOT_ID, "b", RENAME_EXCHANGE), 0);
	assert_int_equal(fx_stat(f, "a").st_size, 2);
	assert_int_equal(fx_stat(f, "b").st_size, 1);
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "a", FUSE_ROOT_ID, "c", RENAME_NOREPLACE), 0);
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "a", FUSE_ROOT_ID, "b", RENAME_EXCHANGE),
			 -ENOENT);
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "b", FUSE_ROOT_ID, "c",
				   RENAME_EXCHANGE | RENAME_NOREPLACE),
			 -EINVAL);
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "b", FUSE_ROOT_ID, "c", 1u << 31), -EINVAL);
	if (geteuid() != 0)
		return;
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "b", FUSE_ROOT_ID, "d", RENAME_WHITEOUT), 0);
	st = fx_stat(f, "b");
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(st.st_rdev, 0);
	assert_int_equal(fx_stat(f, "d").st_size, 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(lookup_finds_every_kind, NULL),
		FX_TEST(one_inode_is_one_node, NULL),
		FX_TEST(names_that_are_refused, NULL),
		FX_TEST(names_that_are_cut, NULL),
		FX_TEST(names_of_all_bytes, NULL),
		FX_TEST(mknod_makes_every_kind, &mknod_opts),
		FX_TEST(mknod_without_the_capability, &sandboxed),
		FX_TEST(mkdir_and_rmdir, NULL),
		FX_TEST(symlink_and_readlink, NULL),
		FX_TEST(link_adds_a_name, NULL),
		FX_TEST(unlink_keeps_what_is_held, NULL),
		FX_TEST(rename_moves, NULL),
		FX_TEST(rename_with_flags, NULL),
	};

	return fx_main(argc, argv, "name", tests, ARRAY_SIZE(tests));
}
