// SPDX-License-Identifier: Apache-2.0
/* Inodes: identity, lookup counts, names, and descriptors that come and go. */
/*
 * Theory of operation
 *
 * The operations of the backend are called directly, on a temporary directory that the test also
 * changes behind the backend's back. Wherever a descriptor would hide a mistake all idle ones are
 * closed first (evict()), so that the inode has to be found again by name and proven by its handle.
 * Each test ends with a count of the process's descriptors.
 *
 * The stress test has threads that look up, forget, rename, unlink and stat the same few names with a
 * cache of a few descriptors, while the host renames, too. Any answer is right there as long as it is
 * one of the expected errors; what counts is what remains: no inode and no descriptor.
 */
#include <sys/resource.h>

#include "pt_fixture.h"
#include "util.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

static const struct pt_conf small = {.xattr = true, .max_inodes = 4096, .max_fds = 64};

static void evict(struct ptf *f)
{
	while (fdcache_shrink(&f->pt->inodes.fds))
		;
}

static void forget(struct ptf *f, uint64_t node, uint64_t n)
{
	pt_ops.forget(f->pt, node, n);
}

static void same_inode_same_id(void **state)
{
	struct ptf f;
	uint64_t a, b, c;

	(void)state;
	ptf_start(&f, small);
	ptf_host_file(&f, "a", "1");
	ptf_host_file(&f, "c", "2");
	assert_int_equal(linkat(f.root, "a", f.root, "b", 0), 0);
	a = ptf_node(&f, FUSE_ROOT_ID, "a");
	b = ptf_node(&f, FUSE_ROOT_ID, "b");
	c = ptf_node(&f, FUSE_ROOT_ID, "c");
	assert_int_equal(a, b);
	assert_int_not_equal(a, c);
	evict(&f);
	assert_int_equal(ptf_node(&f, FUSE_ROOT_ID, "a"), a);
	assert_int_equal(ptf_lookup(&f, FUSE_ROOT_ID, "none"), -ENOENT);
	assert_int_equal(ptf_lookup(&f, a, "below"), -ENOTDIR);
	assert_int_equal(ptf_stats(&f).inodes, 3);
	ptf_stop(&f);
}

static void lookup_counts(void **state)
{
	struct ptf f;
	uint64_t a;

	(void)state;
	ptf_start(&f, small);
	ptf_host_file(&f, "a", "1");
	a = ptf_node(&f, FUSE_ROOT_ID, "a");
	assert_int_equal(ptf_node(&f, FUSE_ROOT_ID, "a"), a);
	assert_int_equal(ptf_node(&f, FUSE_ROOT_ID, "a"), a);
	forget(&f, a, 2);
	assert_int_equal(ptf_getattr(&f, a, NULL), 0);
	forget(&f, a, 0);
	assert_int_equal(ptf_getattr(&f, a, NULL), 0);
	forget(&f, a, 1);
	assert_int_equal(ptf_getattr(&f, a, NULL), -ESTALE);
	assert_int_equal(ptf_stats(&f).inodes, 1);
	forget(&f, a, 1);

	/* More than there are; any number as id. */
	assert_int_not_equal(ptf_node(&f, FUSE_ROOT_ID, "a"), a);
	a = ptf_node(&f, FUSE_ROOT_ID, "a");
	forget(&f, a, UINT64_MAX);
	assert_int_equal(ptf_stats(&f).inodes, 1);
	forget(&f, 0, 1);
	forget(&f, UINT64_MAX, UINT64_MAX);
	forget(&f, a ^ (UINT64_C(1) << 40), 1);

	/* The root stays. */
	forget(&f, FUSE_ROOT_ID, UINT64_MAX);
	forget(&f, FUSE_ROOT_ID, 1);
	assert_int_equal(ptf_getattr(&f, FUSE_ROOT_ID, NULL), 0);
	ptf_stop(&f);
}

/* A count that has reached the top never comes down: it is not known any more. */
static void lookup_count_saturates(void **state)
{
	struct inode *ino;
	struct ptf f;
	uint64_t a;

	(void)state;
	ptf_start(&f, small);
	ptf_host_file(&f, "a", "1");
	a = ptf_node(&f, FUSE_ROOT_ID, "a");
	ino = inode_get(&f.pt->inodes, a);
	assert_non_null(ino);
	atomic_store(&ino->nlookup, UINT64_MAX - 1);
	inode_put(&f.pt->inodes, ino);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ptf_node(&f, FUSE_ROOT_ID, "a"), a);
	assert_int_equal(atomic_load(&ino->nlookup), UINT64_MAX);
	forget(&f, a, UINT64_MAX);
	assert_int_equal(ptf_getattr(&f, a, NULL), 0);
	pt_ops.destroy(f.pt);
	assert_int_equal(ptf_getattr(&f, a, NULL), -ESTALE);
	assert_int_equal(ptf_stats(&f).inodes, 1);
	ptf_stop(&f);
}

/* A directory that the guest has forgotten lives on as a parent, but its id is unknown. */
static void forgotten_parent(void **state)
{
	struct ptf f;
	uint64_t d, x;

	(void)state;
	ptf_start(&f, small);
	ptf_host_mkdir(&f, "d");
	ptf_host_file(&f, "d/x", "1");
	d = ptf_node(&f, FUSE_ROOT_ID, "d");
	x = ptf_node(&f, d, "x");
	forget(&f, d, 1);
	evict(&f);
	assert_int_equal(ptf_getattr(&f, d, NULL), -ESTALE);
	assert_int_equal(ptf_lookup(&f, d, "x"), -ESTALE);
	assert_int_equal(ptf_getattr(&f, x, NULL), 0);
	assert_int_equal(ptf_node(&f, FUSE_ROOT_ID, "d"), d);
	assert_int_equal(ptf_getattr(&f, d, NULL), 0);
	forget(&f, d, 1);
	forget(&f, x, 1);
	assert_int_equal(ptf_stats(&f).inodes, 1);
	ptf_stop(&f);
}

/* Far more inodes than descriptors: all can be used, at any time. */
static void eviction(void **state)
{
	enum { FILES = 1000 };
	struct fuse_attr attr;
	uint64_t dir, *node = calloc(FILES, sizeof(*node));
	uint64_t ino[FILES];
	char name[32];
	struct ptf f;

	(void)state;
	assert_non_null(node);
	ptf_start(&f, (struct pt_conf){.max_fds = 32});
	ptf_host_mkdir(&f, "d");
	dir = ptf_node(&f, FUSE_ROOT_ID, "d");
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "d/file-%d", i);
		ptf_host_file(&f, name, "x");
		node[i] = ptf_node(&f, dir, name + 2);
		assert_int_equal(ptf_getattr(&f, node[i], &attr), 0);
		ino[i] = attr.ino;
	}
	assert_int_equal(ptf_stats(&f).inodes, FILES + 2);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < FILES; i++) {
			int at = round == 1 ? FILES - 1 - i : i * 7 % FILES;

			assert_int_equal(ptf_getattr(&f, node[at], &attr), 0);
			assert_int_equal(attr.ino, ino[at]);
			assert_true(ptf_stats(&f).fds <= 32);
		}
	}
	assert_true(ptf_fds() <= f.fds + 32 + 4);
	for (int i = 0; i < FILES; i++)
		forget(&f, node[i], 1);
	forget(&f, dir, 1);
	assert_int_equal(ptf_stats(&f).inodes, 1);
	assert_int_equal(ptf_stats(&f).fds, 1);
	free(node);
	ptf_stop(&f);
}

/* What keeps descriptors for good uses them up, and is told so; nothing else breaks. */
static void nothing_to_evict(void **state)
{
	uint64_t node[64], fh[64], more;
	char name[32];
	struct ptf f;
	int n = 0;

	(void)state;
	ptf_start(&f, (struct pt_conf){.max_fds = 16});
	for (; n < 64; n++) {
		int64_t id;

		snprintf(name, sizeof(name), "f%d", n);
		id = ptf_create(&f, FUSE_ROOT_ID, name, 0644, O_RDWR, &fh[n]);
		if (id < 0) {
			assert_int_equal(id, -ENFILE);
			break;
		}
		node[n] = (uint64_t)id;
	}
	assert_in_range(n, 14, 16);
	assert_true(ptf_stats(&f).fds <= 16);
	assert_int_equal(ptf_open(&f, node[0], O_RDONLY, &more), -ENFILE);
	assert_int_equal(ptf_write(&f, node[0], fh[0], 0, "x", 1, 0, 0), 1);
	/* To remove is possible all the same. */
	assert_int_equal(pt_ops.unlink(&f.req, FUSE_ROOT_ID, "f1"), 0);
	/* To open takes two: the inode's own, which can be closed again, and the handle's. */
	assert_int_equal(ptf_release(&f, node[0], fh[0]), 0);
	assert_int_equal(ptf_release(&f, node[2], fh[2]), 0);
	assert_int_equal(ptf_open(&f, node[0], O_RDONLY, &fh[0]), 0);
	assert_int_equal(ptf_open(&f, node[0], O_RDONLY, &more), -ENFILE);
	ptf_stop(&f);
}

static void table_full(void **state)
{
	char name[32];
	struct ptf f;
	int64_t id = 0;
	int n = 0;

	(void)state;
	ptf_start(&f, (struct pt_conf){.max_inodes = 100});
	for (; n < 200; n++) {
		snprintf(name, sizeof(name), "f%d", n);
		ptf_host_file(&f, name, "");
		id = ptf_lookup(&f, FUSE_ROOT_ID, name);
		if (id < 0)
			break;
	}
	assert_int_equal(id, -ENOMEM);
	assert_in_range(n, 100, 101);
	id = ptf_lookup(&f, FUSE_ROOT_ID, "f0");
	assert_true(id > 0);
	forget(&f, (uint64_t)id, 2);
	assert_true(ptf_lookup(&f, FUSE_ROOT_ID, name) > 0);
	ptf_stop(&f);
}

static void unlinked_but_known(void **state)
{
	struct fuse_attr attr;
	uint64_t a, d, fh;
	struct ptf f;

	(void)state;
	ptf_start(&f, small);
	ptf_host_file(&f, "a", "text");
	ptf_host_mkdir(&f, "d");
	a = ptf_node(&f, FUSE_ROOT_ID, "a");
	d = ptf_node(&f, FUSE_ROOT_ID, "d");
	evict(&f);
	assert_int_equal(pt_ops.unlink(&f.req, FUSE_ROOT_ID, "a"), 0);
	assert_int_equal(pt_ops.rmdir(&f.req, FUSE_ROOT_ID, "d"), 0);
	evict(&f);
	assert_int_equal(ptf_getattr(&f, a, &attr), 0);
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(attr.size, 4);
	assert_int_equal(ptf_getattr(&f, d, &attr), 0);
	assert_int_equal(ptf_open(&f, a, O_RDONLY, &fh), 0);
	assert_int_equal(ptf_release(&f, a, fh), 0);
	assert_int_equal(ptf_lookup(&f, d, "x"), -ENOENT);
	forget(&f, a, 1);
	forget(&f, d, 1);
	assert_int_equal(ptf_stats(&f).inodes, 1);
	assert_int_equal(ptf_stats(&f).fds, 1);
	ptf_stop(&f);
}

/* A removal that fails changes nothing. */
static void removal_fails(void **state)
{
	struct ptf f;
	uint64_t d;

	(void)state;
	ptf_start(&f, small);
	ptf_host_mkdir(&f, "d");
	ptf_host_file(&f, "d/x", "");
	d = ptf_node(&f, FUSE_ROOT_ID, "d");
	assert_int_equal(pt_ops.rmdir(&f.req, FUSE_ROOT_ID, "d"), -ENOTEMPTY);
	assert_int_equal(pt_ops.unlink(&f.req, FUSE_ROOT_ID, "d"), -EISDIR);
	assert_int_equal(pt_ops.unlink(&f.req, FUSE_ROOT_ID, "none"), -ENOENT);
	evict(&f);
	assert_int_equal(ptf_stats(&f).fds, 1);
	assert_int_equal(ptf_getattr(&f, d, NULL), 0);
	ptf_stop(&f);
}

/* One of two names goes: the inode is kept until another name of it is seen. */
static void hard_link_goes(void **state)
{
	struct fuse_entry_out e = {0};
	struct ptf f;
	uint64_t a;

	(void)state;
	ptf_start(&f, small);
	ptf_host_file(&f, "a", "1");
	a = ptf_node(&f, FUSE_ROOT_ID, "a");
	evict(&f);
	assert_int_equal(pt_ops.link(&f.req, a, FUSE_ROOT_ID, "b", &e), 0);
	assert_int_equal(e.nodeid, a);
	assert_int_equal(e.attr.nlink, 2);
	/* "b" is the name that is remembered: to remove "a" costs no descriptor. */
	assert_int_equal(pt_ops.unlink(&f.req, FUSE_ROOT_ID, "a"), 0);
	evict(&f);
	assert_int_equal(ptf_stats(&f).fds, 1);
	assert_int_equal(ptf_getattr(&f, a, NULL), 0);
	assert_int_equal(linkat(f.root, "b", f.root, "c", 0), 0);
	assert_int_equal(pt_ops.unlink(&f.req, FUSE_ROOT_ID, "b"), 0);
	evict(&f);
	assert_int_equal(ptf_stats(&f).fds, 2);
	assert_int_equal(ptf_getattr(&f, a, NULL), 0);
	assert_int_equal(ptf_node(&f, FUSE_ROOT_ID, "c"), a);
	evict(&f);
	assert_int_equal(ptf_stats(&f).fds, 1);
	assert_int_equal(ptf_getattr(&f, a, NULL), 0);
	ptf_stop(&f);
}

static int rename_to(struct ptf *f, uint64_t from, const char *name, uint64_t to,
		     const char *newname, uint32_t flags)
{
	return pt_ops.rename(&f->req, from, name, to, newname, flags);
}

static void renames(void **state)
{
	uint64_t a, b, x, y, root = FUSE_ROOT_ID;
	struct fuse_attr attr;
	char name[48], last[48] = "a";
	struct ptf f;

	(void)state;
	ptf_start(&f, small);
	ptf_host_mkdir(&f, "a");
	ptf_host_mkdir(&f, "a/b");
	ptf_host_file(&f, "a/b/x", "x");
	ptf_host_file(&f, "y", "yy");
	a = ptf_node(&f, root, "a");
	b = ptf_node(&f, a, "b");
	x = ptf_node(&f, b, "x");
	y = ptf_node(&f, root, "y");
	/* A chain of renames above; below nothing has to be told. */
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "a-name-longer-than-a-cell-%d", i);
		assert_int_equal(rename_to(&f, root, last, root, name, 0), 0);
		memcpy(last, name, sizeof(last));
		evict(&f);
		assert_int_equal(ptf_getattr(&f, x, &attr), 0);
	}
	assert_int_equal(rename_to(&f, root, last, root, "a", 0), 0);
	/* Up and down the tree. */
	evict(&f);
	assert_int_equal(rename_to(&f, a, "b", root, "b", 0), 0);
	evict(&f);
	assert_int_equal(rename_to(&f, root, "a", b, "a", 0), 0);
	evict(&f);
	assert_int_equal(ptf_getattr(&f, a, NULL), 0);
	assert_int_equal(ptf_getattr(&f, x, NULL), 0);
	/* Over another: that one lives on without a name. */
	evict(&f);
	assert_int_equal(rename_to(&f, b, "x", root, "y", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(rename_to(&f, b, "x", root, "y", 0), 0);
	evict(&f);
	assert_int_equal(ptf_getattr(&f, x, &attr), 0);
	assert_int_equal(attr.size, 1);
	assert_int_equal(ptf_getattr(&f, y, &attr), 0);
	assert_int_equal(attr.size, 2);
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(ptf_lookup(&f, b, "x"), -ENOENT);
	forget(&f, y, 1);
	evict(&f);
	assert_int_equal(ptf_stats(&f).fds, 1);
	/* Exchange. */
	assert_int_equal(rename_to(&f, root, "y", b, "a", RENAME_EXCHANGE), 0);
	evict(&f);
	assert_int_equal(ptf_getattr(&f, a, &attr), 0);
	assert_true(S_ISDIR(attr.mode));
	assert_int_equal(ptf_getattr(&f, x, &attr), 0);
	assert_int_equal(ptf_node(&f, root, "y"), a);
	assert_int_equal(ptf_node(&f, b, "a"), x);
	/* Two names of one file: nothing happens. */
	assert_int_equal(linkat(f.root, "b/a", f.root, "b/c", 0), 0);
	assert_int_equal(rename_to(&f, b, "a", b, "c", 0), 0);
	evict(&f);
	assert_int_equal(ptf_getattr(&f, x, &attr), 0);
	assert_int_equal(attr.nlink, 2);
	assert_int_equal(ptf_stats(&f).inodes, 4);
	ptf_stop(&f);
}

/* The host renames; a look at the new name mends the record. */
static void host_renames(void **state)
{
	uint64_t a, x, root = FUSE_ROOT_ID;
	struct ptf f;

	(void)state;
	ptf_start(&f, small);
	ptf_host_mkdir(&f, "a");
	ptf_host_file(&f, "a/x", "x");
	a = ptf_node(&f, root, "a");
	x = ptf_node(&f, a, "x");
	evict(&f);
	assert_int_equal(renameat(f.root, "a", f.root, "b"), 0);
	assert_int_equal(ptf_getattr(&f, x, NULL), -ESTALE);
	assert_int_equal(ptf_getattr(&f, a, NULL), -ESTALE);
	assert_int_equal(ptf_node(&f, root, "b"), a);
	evict(&f);
	assert_int_equal(ptf_getattr(&f, x, NULL), 0);
	/* Something else in its place is not it, whatever it is. */
	evict(&f);
	assert_int_equal(renameat(f.root, "b", f.root, "c"), 0);
	ptf_host_mkdir(&f, "b");
	ptf_host_file(&f, "b/x", "other");
	assert_int_equal(ptf_getattr(&f, x, NULL), -ESTALE);
	assert_int_equal(unlinkat(f.root, "b/x", 0), 0);
	assert_int_equal(unlinkat(f.root, "b", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("c", f.root, "b"), 0);
	assert_int_equal(ptf_getattr(&f, x, NULL), -ESTALE);
	assert_int_equal(ptf_lookup(&f, a, "x"), -ESTALE);
	ptf_stop(&f);
}

/* What is open in the guest is not lost, whatever the host does to its name. */
static void host_takes_open_file(void **state)
{
	struct fuse_open_in in = {.flags = O_RDONLY};
	struct fuse_open_out out = {0};
	uint64_t a, d, x, fh, fh2, root = FUSE_ROOT_ID;
	struct fuse_attr attr;
	struct ptf f;

	(void)state;
	ptf_start(&f, small);
	ptf_host_file(&f, "a", "text");
	ptf_host_mkdir(&f, "d");
	a = ptf_node(&f, root, "a");
	d = ptf_node(&f, root, "d");
	assert_int_equal(ptf_open(&f, a, O_RDONLY, &fh), 0);
	assert_int_equal(ptf_open(&f, a, O_RDONLY, &fh2), 0);
	assert_int_equal(pt_ops.opendir(&f.req, d, &in, &out), 0);
	evict(&f);
	assert_int_equal(unlinkat(f.root, "a", 0), 0);
	assert_int_equal(renameat(f.root, "d", f.root, "e"), 0);
	ptf_host_file(&f, "a", "other");
	ptf_host_file(&f, "e/x", "");
	assert_int_equal(ptf_getattr(&f, a, &attr), 0);
	assert_int_equal(attr.size, 4);
	assert_int_equal(attr.nlink, 0);
	x = ptf_node(&f, d, "x");
	evict(&f);
	assert_int_equal(ptf_getattr(&f, x, &attr), 0);
	assert_int_equal(ptf_release(&f, a, fh2), 0);
	evict(&f);
	assert_int_equal(ptf_getattr(&f, a, &attr), 0);
	assert_int_equal(ptf_release(&f, a, fh), 0);
	evict(&f);
	assert_int_equal(ptf_getattr(&f, a, &attr), -ESTALE);
	ptf_stop(&f);
}

/* The host turns the tree inside out, so that the guest's view becomes a circle. */
static void circle(void **state)
{
	uint64_t a, b, c, root = FUSE_ROOT_ID;
	struct fuse_attr attr;
	struct ptf f;

	(void)state;
	ptf_start(&f, small);
	ptf_host_mkdir(&f, "a");
	ptf_host_mkdir(&f, "a/b");
	ptf_host_mkdir(&f, "a/b/c");
	a = ptf_node(&f, root, "a");
	b = ptf_node(&f, a, "b");
	c = ptf_node(&f, b, "c");
	assert_int_equal(ptf_getattr(&f, c, NULL), 0);
	assert_int_equal(renameat(f.root, "a/b/c", f.root, "c"), 0);
	assert_int_equal(renameat(f.root, "a", f.root, "c/a"), 0);
	/* The guest does not know that c has moved, and finds a in it. */
	assert_int_equal(ptf_node(&f, c, "a"), a);
	evict(&f);
	/* The only stale way was from c up; whichever link was cut, each answer is prompt. */
	(void)ptf_getattr(&f, a, &attr);
	(void)ptf_getattr(&f, b, &attr);
	(void)ptf_getattr(&f, c, &attr);
	assert_int_equal(ptf_node(&f, root, "c"), c);
	assert_int_equal(ptf_node(&f, c, "a"), a);
	assert_int_equal(ptf_node(&f, a, "b"), b);
	evict(&f);
	assert_int_equal(ptf_getattr(&f, b, NULL), 0);
	forget(&f, a, 100);
	forget(&f, b, 100);
	forget(&f, c, 100);
	assert_int_equal(ptf_stats(&f).inodes, 1);
	assert_int_equal(ptf_stats(&f).fds, 1);
	ptf_stop(&f);
}

static void deep(void **state)
{
	enum { DEPTH = 1500 };
	static uint64_t node[DEPTH];
	uint64_t at = FUSE_ROOT_ID;
	struct ptf f;

	(void)state;
	ptf_start(&f, (struct pt_conf){.max_fds = 16});
	for (int i = 0; i < DEPTH; i++) {
		int64_t id = ptf_mkdir(&f, at, "d");

		assert_true(id > 0);
		node[i] = at = (uint64_t)id;
	}
	evict(&f);
	assert_int_equal(ptf_getattr(&f, node[DEPTH - 1], NULL), 0);
	assert_int_equal(ptf_getattr(&f, node[DEPTH / 2], NULL), 0);
	assert_true(ptf_stats(&f).fds <= 16);
	/* The last one holds all the others. */
	for (int i = 0; i < DEPTH - 1; i++)
		forget(&f, node[i], 1);
	assert_int_equal(ptf_stats(&f).inodes, DEPTH + 1);
	evict(&f);
	assert_int_equal(ptf_getattr(&f, node[DEPTH - 1], NULL), 0);
	forget(&f, node[DEPTH - 1], 1);
	assert_int_equal(ptf_stats(&f).inodes, 1);
	ptf_stop(&f);
}

/* An inode number that is used again is another inode. @age: of the first that has it, in us. */
static void reuse_number(unsigned int age)
{
	struct fuse_attr attr, now;
	uint64_t old, root = FUSE_ROOT_ID;
	bool reused = false;
	struct ptf f;

	ptf_start(&f, small);
	ptf_host_file(&f, "a", "1");
	usleep(age);
	old = ptf_node(&f, root, "a");
	assert_int_equal(ptf_getattr(&f, old, &attr), 0);
	evict(&f);
	for (int i = 0; i < 200 && !reused; i++) {
		int64_t id;

		assert_int_equal(unlinkat(f.root, "a", 0), 0);
		ptf_host_file(&f, "a", "another");
		id = ptf_lookup(&f, root, "a");
		assert_true(id > 0);
		assert_int_equal(ptf_getattr(&f, (uint64_t)id, &now), 0);
		reused = now.ino == attr.ino;
		if (reused) {
			assert_int_not_equal((uint64_t)id, old);
			assert_int_equal(ptf_getattr(&f, old, NULL), -ESTALE);
			evict(&f);
			assert_int_equal(ptf_getattr(&f, (uint64_t)id, &now), 0);
			assert_int_equal(ptf_node(&f, root, "a"), (uint64_t)id);
			assert_int_equal(ptf_getattr(&f, old, NULL), -ESTALE);
			forget(&f, old, 1);
			assert_int_equal(ptf_getattr(&f, (uint64_t)id, &now), 0);
		} else {
			forget(&f, (uint64_t)id, 1);
			evict(&f);
		}
	}
	if (!reused)
		print_message("the file system of %s does not use numbers again\n", f.path);
	ptf_stop(&f);
}

static void number_reused(void **state)
{
	(void)state;
	reuse_number(0);
}

/* The same where the first one is known by the time at which it was made. */
static void number_reused_later(void **state)
{
	(void)state;
	reuse_number(200000);
}

/* The records of a session that has ended are gone; the next one starts afresh. */
static void sessions(void **state)
{
	struct fuse_init init = {.capable = UINT64_MAX};
	uint64_t a, d, x, fh;
	struct ptf f;

	(void)state;
	ptf_start(&f, small);
	for (int i = 0; i < 3; i++) {
		d = (uint64_t)ptf_mkdir(&f, FUSE_ROOT_ID, i ? "dd" : "d");
		a = (uint64_t)ptf_create(&f, d, "a", 0600, O_RDWR, &fh);
		x = ptf_node(&f, d, "a");
		assert_int_equal(a, x);
		assert_int_equal(pt_ops.unlink(&f.req, d, "a"), 0);
		pt_ops.destroy(f.pt);
		assert_int_equal(ptf_stats(&f).inodes, 1);
		assert_int_equal(ptf_stats(&f).handles, 0);
		assert_int_equal(ptf_stats(&f).fds, 1);
		assert_int_equal(ptf_getattr(&f, a, NULL), -ESTALE);
		assert_int_equal(ptf_release(&f, a, fh), -EBADF);
		assert_int_equal(unlinkat(f.root, i ? "dd" : "d", AT_REMOVEDIR), 0);
		assert_int_equal(pt_ops.init(f.pt, &init), 0);
		assert_int_equal(ptf_getattr(&f, FUSE_ROOT_ID, NULL), 0);
	}
	ptf_stop(&f);
}

/* KiB of a line of /proc/self/status. */
static long status_kib(const char *key)
{
	FILE *s = fopen("/proc/self/status", "re");
	char line[128];
	long kib = -1;

	assert_non_null(s);
	while (fgets(line, sizeof(line), s))
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtol(line + strlen(key) + 1, NULL, 10);
	fclose(s);
	return kib;
}

/* What a remembered inode costs, and that descriptors stay below a low limit. */
static void memory(void **state)
{
	enum { DIRS = 100, FILES = 1500 };
	struct rlimit lim, low;
	char name[32], path[64];
	long before, after;
	struct ptf f;
	double bytes;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
	low = (struct rlimit){.rlim_cur = MIN(lim.rlim_cur, 1024), .rlim_max = lim.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	ptf_start_in(&f, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : NULL,
		     (struct pt_conf){.cache = PT_CACHE_AUTO}, UINT64_MAX);
	for (int d = 0; d < DIRS; d++) {
		snprintf(name, sizeof(name), "dir%d", d);
		ptf_host_mkdir(&f, name);
		for (int i = 0; i < FILES; i++) {
			snprintf(path, sizeof(path), "%s/f-%06d.c", name, i);
			assert_int_equal(mknodat(f.root, path, S_IFREG | 0644, 0), 0);
		}
	}
	before = status_kib("RssAnon") + status_kib("RssShmem");
	for (int d = 0; d < DIRS; d++) {
		uint64_t dir;

		snprintf(name, sizeof(name), "dir%d", d);
		dir = ptf_node(&f, FUSE_ROOT_ID, name);
		for (int i = 0; i < FILES; i++) {
			snprintf(path, sizeof(path), "f-%06d.c", i);
			assert_true(ptf_lookup(&f, dir, path) > 0);
		}
	}
	after = status_kib("RssAnon") + status_kib("RssShmem");
	assert_int_equal(ptf_stats(&f).inodes, DIRS * (FILES + 1) + 1);
	assert_true(ptf_stats(&f).fds < 1024);
	bytes = (double)(after - before) * 1024 / (DIRS * (FILES + 1));
	print_message("%.1f bytes of memory per inode, %u inodes, %u descriptors\n", bytes,
		      ptf_stats(&f).inodes, ptf_stats(&f).fds);
	/* Sanitizers keep books of their own. */
	assert_true(bytes <= 100 || SANITIZED);
	pt_ops.destroy(f.pt);
	ptf_stop(&f);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_inode_same_id),
		cmocka_unit_test(lookup_counts),
		cmocka_unit_test(lookup_count_saturates),
		cmocka_unit_test(forgotten_parent),
		cmocka_unit_test(eviction),
		cmocka_unit_test(nothing_to_evict),
		cmocka_unit_test(table_full),
		cmocka_unit_test(unlinked_but_known),
		cmocka_unit_test(removal_fails),
		cmocka_unit_test(hard_link_goes),
		cmocka_unit_test(renames),
		cmocka_unit_test(host_renames),
		cmocka_unit_test(host_takes_open_file),
		cmocka_unit_test(circle),
		cmocka_unit_test(deep),
		cmocka_unit_test(number_reused),
		cmocka_unit_test(number_reused_later),
		cmocka_unit_test(sessions),
		cmocka_unit_test(memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
