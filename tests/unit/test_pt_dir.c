// SPDX-License-Identifier: Apache-2.0
/* The passthrough backend: reading directories. */
/*
 * Theory of operation
 *
 * A small reader takes replies of any size apart as the guest's kernel does, so the tests can read a
 * directory to its end with small and with large buffers, stop and go on, and change it meanwhile.
 * What must hold is what readdir(3) promises: an entry that was there all the time comes exactly once.
 */
#include "pt_fixture.h"
#include "util.h"

enum { NAMES = 500 };

struct listing {
	unsigned int count; /* entries but for "." and ".." */
	unsigned int dots;
	unsigned int seen[NAMES]; /* how often "n<i>" came */
	uint64_t lookups;         /* counted for the guest */
	uint64_t next;            /* where to go on */
};

static const struct pt_conf conf = {.max_fds = 128};

static uint64_t open_dir(struct ptf *f, uint64_t node)
{
	struct fuse_open_in in = {.flags = O_RDONLY};
	struct fuse_open_out out = {0};

	assert_int_equal(pt_ops.opendir(&f->req, node, &in, &out), 0);
	return out.fh;
}

static void close_dir(struct ptf *f, uint64_t node, uint64_t fh)
{
	struct fuse_release_in in = {.fh = fh};

	assert_int_equal(pt_ops.releasedir(&f->req, node, &in), 0);
}

/* One entry of a reply; returns its length. */
static size_t take(struct ptf *f, const uint8_t *at, bool plus, bool forget, struct listing *l)
{
	struct fuse_entry_out e = {0};
	struct fuse_dirent d;
	char name[NAME_MAX + 1];
	size_t fixed = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
	unsigned int i;

	if (plus)
		memcpy(&e, at, sizeof(e));
	memcpy(&d, at + (plus ? sizeof(e) : 0), FUSE_NAME_OFFSET);
	assert_in_range(d.namelen, 1, NAME_MAX);
	memcpy(name, at + fixed, d.namelen);
	name[d.namelen] = '\0';
	l->next = d.off;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		assert_int_equal(e.nodeid, 0);
		assert_int_equal(d.type, DT_DIR);
		l->dots++;
	} else {
		l->count++;
		if (sscanf(name, "n%u", &i) == 1 && i < NAMES)
			l->seen[i]++;
	}
	if (e.nodeid) {
		struct fuse_attr attr;

		l->lookups++;
		assert_int_equal(e.attr.ino, d.ino);
		assert_int_equal(e.attr.mode >> 12, d.type);
		assert_int_equal(ptf_getattr(f, e.nodeid, &attr), 0);
		assert_int_equal(attr.ino, d.ino);
		if (forget)
			pt_ops.forget(f->pt, e.nodeid, 1);
	}
	return FUSE_DIRENT_ALIGN(fixed + d.namelen);
}

/* One request; returns bytes or -errno. */
static int read_some(struct ptf *f, uint64_t node, uint64_t fh, size_t size, bool plus, bool forget,
		     struct listing *l)
{
	struct fuse_read_in in = {.fh = fh, .offset = l->next, .size = (uint32_t)size};
	struct direntbuf db = {.left = size, .plus = plus};
	uint8_t *buf = malloc(size);
	struct iovec vec = {.iov_base = buf, .iov_len = size};
	int r;

	assert_non_null(buf);
	iov_init(&db.dst, &vec, 1);
	r = pt_ops.readdir(&f->req, node, &in, &db);
	if (r == 0) {
		for (size_t at = 0; at < db.used;)
			at += take(f, buf + at, plus, forget, l);
		r = (int)db.used;
	}
	free(buf);
	return r;
}

static void read_all(struct ptf *f, uint64_t node, uint64_t fh, size_t size, bool plus,
		     struct listing *l)
{
	int r;

	do {
		r = read_some(f, node, fh, size, plus, true, l);
		assert_true(r >= 0);
	} while (r > 0);
}

static void make_names(struct ptf *f, unsigned int from, unsigned int to)
{
	char name[64];

	for (unsigned int i = from; i < to; i++) {
		snprintf(name, sizeof(name), "n%u%.*s", i, (int)(i % 40),
			 "-----------------------------------------");
		assert_int_equal(mknodat(f->root, name, S_IFREG | 0644, 0), 0);
	}
}

static void assert_each_once(const struct listing *l, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++)
		assert_int_equal(l->seen[i], 1);
}

static void all_sizes(void **state)
{
	static const size_t sizes[] = {200, 512, 1000, 4096, 40000, 1 << 20};
	uint64_t fh, root = FUSE_ROOT_ID;
	struct ptf f;

	(void)state;
	ptf_start(&f, conf);
	make_names(&f, 0, NAMES);
	fh = open_dir(&f, root);
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
		struct listing l = {0};

		/* From the beginning again, on the same handle. */
		read_all(&f, root, fh, sizes[i / 2] + 100, i % 2, &l);
		assert_int_equal(l.count, NAMES);
		assert_int_equal(l.dots, 2);
		assert_int_equal(l.lookups, i % 2 ? NAMES : 0);
		assert_each_once(&l, 0, NAMES);
		assert_int_equal(ptf_stats(&f).inodes, 1);
	}
	close_dir(&f, root, fh);
	ptf_stop(&f);
}

/* Room for not even one entry is an error: an empty reply would be the end. */
static void too_small(void **state)
{
	struct listing l = {0};
	struct ptf f;
	uint64_t fh;

	(void)state;
	ptf_start(&f, conf);
	make_names(&f, 39, 40);
	fh = open_dir(&f, FUSE_ROOT_ID);
	assert_int_equal(read_some(&f, FUSE_ROOT_ID, fh, 16, false, true, &l), -EINVAL);
	assert_int_equal(read_some(&f, FUSE_ROOT_ID, fh, 100, true, true, &l), -EINVAL);
	read_all(&f, FUSE_ROOT_ID, fh, 4096, false, &l);
	assert_int_equal(l.count, 1);
	l.next = UINT64_MAX;
	assert_true(read_some(&f, FUSE_ROOT_ID, fh, 4096, false, true, &l) <= 0);
	close_dir(&f, FUSE_ROOT_ID, fh);
	ptf_stop(&f);
}

/* rm -rf: what is read is removed before the next read. */
static void removal_while_reading(void **state)
{
	struct listing l = {0};
	struct ptf f;
	uint64_t fh;
	char name[64];
	int r;

	(void)state;
	ptf_start(&f, conf);
	make_names(&f, 0, NAMES);
	fh = open_dir(&f, FUSE_ROOT_ID);
	do {
		struct listing before = l;

		r = read_some(&f, FUSE_ROOT_ID, fh, 2000, true, true, &l);
		assert_true(r >= 0);
		for (unsigned int i = 0; i < NAMES; i++) {
			if (l.seen[i] == before.seen[i])
				continue;
			snprintf(name, sizeof(name), "n%u%.*s", i, (int)(i % 40),
				 "-----------------------------------------");
			assert_int_equal(pt_ops.unlink(&f.req, FUSE_ROOT_ID, name), 0);
		}
	} while (r > 0);
	assert_int_equal(l.count, NAMES);
	assert_each_once(&l, 0, NAMES);
	/* From the start: empty; and what is new is seen. */
	l = (struct listing){0};
	read_all(&f, FUSE_ROOT_ID, fh, 4096, true, &l);
	assert_int_equal(l.count, 0);
	make_names(&f, 0, 3);
	l = (struct listing){0};
	read_all(&f, FUSE_ROOT_ID, fh, 4096, true, &l);
	assert_int_equal(l.count, 3);
	close_dir(&f, FUSE_ROOT_ID, fh);
	ptf_stop(&f);
}

/* Any offset that was given out can be gone back to, in any order, on any handle. */
static void seeking(void **state)
{
	static uint64_t offs[NAMES + 3];
	uint64_t fh, fh2;
	struct listing l = {0};
	struct ptf f;
	int n = 0;

	(void)state;
	ptf_start(&f, conf);
	make_names(&f, 0, NAMES);
	fh = open_dir(&f, FUSE_ROOT_ID);
	fh2 = open_dir(&f, FUSE_ROOT_ID);
	while (offs[n] = l.next, read_some(&f, FUSE_ROOT_ID, fh, 100, false, true, &l) > 0)
		n++;
	for (int i = n - 1; i >= 0; i -= 17) {
		struct listing a = {.next = offs[i]}, b = a;

		read_all(&f, FUSE_ROOT_ID, i % 2 ? fh : fh2, 4096, false, &a);
		read_all(&f, FUSE_ROOT_ID, i % 2 ? fh : fh2, 9000, true, &b);
		assert_memory_equal(a.seen, b.seen, sizeof(a.seen));
		for (unsigned int k = 0; k < NAMES; k++)
			assert_in_range(a.seen[k], 0, 1);
		if (i < n - 3)
			assert_true(a.count > 0);
	}
	close_dir(&f, FUSE_ROOT_ID, fh);
	close_dir(&f, FUSE_ROOT_ID, fh2);
	ptf_stop(&f);
}

/* What is read ahead is bounded over all handles; beyond that they read on from what the guest took. */
static void many_at_once(void **state)
{
	enum { HANDLES = 400 };
	static struct listing l[HANDLES];
	static uint64_t fh[HANDLES];
	const _Atomic uint32_t *ahead;
	struct ptf f;

	(void)state;
	memset(l, 0, sizeof(l));
	ptf_start(&f, (struct pt_conf){.max_fds = HANDLES + 100});
	ahead = &f.pt->handles.ahead;
	make_names(&f, 0, NAMES);
	for (unsigned int i = 0; i < HANDLES; i++) {
		fh[i] = open_dir(&f, FUSE_ROOT_ID);
		assert_true(read_some(&f, FUSE_ROOT_ID, fh[i], 300, i % 2, true, &l[i]) > 0);
		assert_in_range(*ahead, 1, HANDLE_AHEAD_MAX);
	}
	assert_in_range(*ahead, HANDLE_AHEAD_MAX - 4096, HANDLE_AHEAD_MAX);
	for (unsigned int i = 0; i < HANDLES / 2; i++) {
		read_all(&f, FUSE_ROOT_ID, fh[i], 300 + i, i % 2, &l[i]);
		assert_int_equal(l[i].count, NAMES);
		assert_each_once(&l[i], 0, NAMES);
	}
	/* The others are released in the middle. */
	for (unsigned int i = 0; i < HANDLES; i++)
		close_dir(&f, FUSE_ROOT_ID, fh[i]);
	assert_int_equal(*ahead, 0);
	ptf_stop(&f);
}

/* What was looked up is counted, what did not fit is not; what cannot be counted is still listed. */
static void lookups_are_exact(void **state)
{
	struct listing l = {0};
	struct ptf f;
	uint64_t fh;

	(void)state;
	ptf_start(&f, (struct pt_conf){.max_inodes = 100});
	make_names(&f, 0, NAMES);
	fh = open_dir(&f, FUSE_ROOT_ID);
	assert_true(read_some(&f, FUSE_ROOT_ID, fh, 4000, true, false, &l) > 0);
	assert_true(l.lookups > 10 && l.lookups < 40);
	assert_int_equal(ptf_stats(&f).inodes, l.lookups + 1);
	/* The table fills: the rest comes without attributes, and the guest will ask. */
	while (read_some(&f, FUSE_ROOT_ID, fh, 4000, true, false, &l) > 0)
		;
	assert_int_equal(l.count, NAMES);
	assert_in_range(l.lookups, 100, 101);
	assert_int_equal(ptf_stats(&f).inodes, l.lookups + 1);
	close_dir(&f, FUSE_ROOT_ID, fh);
	ptf_stop(&f);
}

static void below_root(void **state)
{
	struct listing l = {0};
	uint64_t d, fh;
	struct ptf f;

	(void)state;
	ptf_start(&f, conf);
	ptf_host_mkdir(&f, "d");
	ptf_host_mkdir(&f, "d/n1");
	ptf_host_file(&f, "d/n2", "");
	assert_int_equal(symlinkat("/", f.root, "d/n3"), 0);
	assert_int_equal(mkfifoat(f.root, "d/n4", 0600), 0);
	d = ptf_node(&f, FUSE_ROOT_ID, "d");
	fh = open_dir(&f, d);
	read_all(&f, d, fh, 4096, true, &l);
	assert_int_equal(l.lookups, 4);
	assert_each_once(&l, 1, 5);
	/* A directory that is gone reads as empty, as on the host. */
	assert_int_equal(unlinkat(f.root, "d/n1", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(f.root, "d/n2", 0), 0);
	assert_int_equal(unlinkat(f.root, "d/n3", 0), 0);
	assert_int_equal(unlinkat(f.root, "d/n4", 0), 0);
	assert_int_equal(pt_ops.rmdir(&f.req, FUSE_ROOT_ID, "d"), 0);
	l = (struct listing){0};
	assert_true(read_some(&f, d, fh, 4096, true, true, &l) <= 0);
	close_dir(&f, d, fh);
	ptf_stop(&f);
}

/* To open a directory takes no right to search it. */
static void unsearchable(void **state)
{
	struct listing l = {0};
	uint64_t d, fh;
	struct ptf f;

	(void)state;
	ptf_start(&f, conf);
	ptf_host_mkdir(&f, "d");
	ptf_host_file(&f, "d/n1", "");
	d = ptf_node(&f, FUSE_ROOT_ID, "d");
	assert_int_equal(ptf_getattr(&f, d, NULL), 0);
	assert_int_equal(fchmodat(f.root, "d", 0400, 0), 0);
	if (geteuid() == 0) {
		assert_int_equal(fchownat(f.root, "d", 65534, 65534, 0), 0);
		assert_int_equal(seteuid(65534), 0);
	}
	fh = open_dir(&f, d);
	read_all(&f, d, fh, 4096, false, &l);
	assert_int_equal(l.count, 1);
	close_dir(&f, d, fh);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(fchmodat(f.root, "d", 0700, 0), 0);
	ptf_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_sizes),
		cmocka_unit_test(too_small),
		cmocka_unit_test(removal_while_reading),
		cmocka_unit_test(seeking),
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(lookups_are_exact),
		cmocka_unit_test(below_root),
		cmocka_unit_test(unsearchable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
