// SPDX-License-Identifier: Apache-2.0
/* Inodes when much happens at once. */
/*
 * Theory of operation
 *
 * The stress test has threads that look up, open, forget, rename, unlink and stat the same few names
 * with a cache of a few descriptors, while the host renames, too; every other one keeps what it has found
 * for the next request. Any answer is right there as long as it is one of the expected errors; what counts
 * is what remains: no inode and no descriptor. Another test counts lookups of an inode by two names, each of
 * which makes its record change its own. In the last the host swaps a directory and a link as fast as it
 * can, and the guest must not get out.
 */
#include <pthread.h>

#include "pt_fixture.h"
#include "rnd.h"
#include "util.h"

#define NAMES   8u
#define WORKERS 4u
#define ROUNDS  3000u

struct worker {
	pthread_t thread;
	struct ptf *f;
	struct request req;
	uint64_t seed;
	unsigned int bad;
};

static bool expected(int64_t r)
{
	switch (r) {
	case -ENOENT:
	case -ESTALE:
	case -EEXIST:
	case -ENOTDIR:
	case -EISDIR:
	case -ENOTEMPTY:
	case -EINVAL: /* a directory into itself */
	case -ENFILE: /* all descriptors pinned by the others */
	case -EBUSY:
		return true;
	default:
		return r >= 0;
	}
}

static unsigned int pick(struct worker *w, unsigned int n)
{
	return rnd_below(&w->seed, n);
}

/* A directory to work in: the root, or one below; counted, or the root. */
static uint64_t some_dir(struct worker *w)
{
	char name[8];
	struct fuse_entry_out e = {0};

	snprintf(name, sizeof(name), "d%u", pick(w, 3));
	if (pick(w, 3) == 0 || pt_ops.lookup(&w->req, FUSE_ROOT_ID, name, &e) < 0)
		return FUSE_ROOT_ID;
	return e.nodeid;
}

/* The handle outlives what it was opened by. */
static int use(struct worker *w, uint64_t dir, const char *name)
{
	struct fuse_open_in open_in = {.flags = O_RDWR};
	struct fuse_release_in release = {0};
	struct fuse_read_in read_in = {.size = 4};
	struct fuse_entry_out e = {0};
	struct fuse_open_out open = {0};
	char buf[4];
	struct iovec vec = {.iov_base = buf, .iov_len = sizeof(buf)};
	struct iov_cursor c;
	int r = pt_ops.lookup(&w->req, dir, name, &e);

	if (r < 0)
		return r;
	r = pt_ops.open(&w->req, e.nodeid, &open_in, &open);
	pt_ops.forget(w->f->pt, e.nodeid, 1);
	if (r < 0)
		return r;
	read_in.fh = release.fh = open.fh;
	iov_init(&c, &vec, 1);
	if (pt_ops.read(&w->req, e.nodeid, &read_in, &c) < 0)
		return -EIO;
	return pt_ops.release(&w->req, e.nodeid, &release);
}

static int act(struct worker *w, uint64_t dir, uint64_t dir2, const char *name, const char *name2)
{
	struct fuse_create_in create = {.mode = S_IFREG | 0600, .flags = O_RDWR};
	struct fuse_release_in release = {0};
	struct fuse_mkdir_in mkdir_in = {.mode = 0700};
	struct fuse_entry_out e = {0};
	struct fuse_open_out open = {0};
	struct fuse_attr_out attr = {0};
	int r;

	switch (pick(w, 10)) {
	case 0:
		r = pt_ops.create(&w->req, dir, name, &create, &e, &open);
		release.fh = open.fh;
		if (r == 0)
			r = pt_ops.release(&w->req, e.nodeid, &release);
		break;
	case 1:
		r = pt_ops.mkdir(&w->req, dir, name, &mkdir_in, &e);
		break;
	case 2:
		r = pt_ops.unlink(&w->req, dir, name);
		break;
	case 3:
		r = pt_ops.rmdir(&w->req, dir, name);
		break;
	case 4:
		r = pt_ops.rename(&w->req, dir, name, dir2, name2, 0);
		break;
	case 5:
		r = pt_ops.rename(&w->req, dir, name, dir2, name2, RENAME_EXCHANGE);
		break;
	case 6:
		/* Behind the back of all. */
		r = renameat(w->f->root, name, w->f->root, name2) < 0 ? -errno : 0;
		break;
	case 7:
		return use(w, dir, name);
	default:
		r = pt_ops.lookup(&w->req, dir, name, &e);
		if (r == 0)
			r = pt_ops.getattr(&w->req, e.nodeid, NULL, &attr);
		break;
	}
	if (e.nodeid)
		pt_ops.forget(w->f->pt, e.nodeid, 1);
	return r;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	if (pt_ops.thread_init(w->f->pt) < 0)
		w->bad++;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t dir = some_dir(w), dir2 = some_dir(w);
		char name[8], name2[8];
		int r;

		snprintf(name, sizeof(name), "%c%u", "nd"[pick(w, 2)], pick(w, NAMES));
		snprintf(name2, sizeof(name2), "%c%u", "nd"[pick(w, 2)], pick(w, NAMES));
		if (pick(w, 4) == 0)
			pt_ops.rest(w->f->pt);
		r = act(w, dir, dir2, name, name2);
		if (!expected(r)) {
			print_message("unexpected: %s\n", strerror(-r));
			w->bad++;
		}
		if (dir != FUSE_ROOT_ID)
			pt_ops.forget(w->f->pt, dir, 1);
		if (dir2 != FUSE_ROOT_ID)
			pt_ops.forget(w->f->pt, dir2, 1);
	}
	pt_ops.rest(w->f->pt);
	return NULL;
}

static void stress(void **state)
{
	struct worker w[WORKERS];
	struct ptf f;

	(void)state;
	ptf_start(&f, (struct pt_conf){.max_inodes = 512, .max_fds = 24});
	ptf_host_mkdir(&f, "d0");
	ptf_host_mkdir(&f, "d1");
	ptf_host_mkdir(&f, "d2");
	for (unsigned int i = 0; i < WORKERS; i++) {
		w[i] = (struct worker){.f = &f, .seed = i + 1};
		ptf_req(&f, &w[i].req);
		w[i].req.keeps = i % 2;
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (unsigned int i = 0; i < WORKERS; i++) {
		assert_int_equal(pthread_join(w[i].thread, NULL), 0);
		assert_int_equal(w[i].bad, 0);
	}
	/* Each lookup was forgotten: nothing is left but the root. */
	assert_int_equal(ptf_stats(&f).inodes, 1);
	assert_int_equal(ptf_stats(&f).handles, 0);
	assert_int_equal(ptf_stats(&f).fds, 1);
	ptf_stop(&f);
}

#define LOOKUPS 30000u

struct looker {
	pthread_t thread;
	struct ptf *f;
	struct request req;
	const char *name;
	uint64_t node;
	unsigned int wrong;
};

/* The same inode each time, whatever happens to its name and around it. */
static void *look(void *arg)
{
	struct looker *l = arg;

	for (unsigned int i = 0; i < LOOKUPS; i++) {
		struct fuse_entry_out e = {0};

		if (pt_ops.lookup(&l->req, FUSE_ROOT_ID, l->name, &e) < 0 || e.nodeid != l->node)
			l->wrong++;
	}
	return NULL;
}

/* As many lookups as were answered are to be forgotten: not one more or less. */
static void lookups_are_counted(void **state)
{
	static const char *const names[] = {"a", "b", "a", "b"};
	struct looker l[ARRAY_SIZE(names)];
	struct ptf f;
	uint64_t node;

	(void)state;
	ptf_start(&f, (struct pt_conf){0});
	ptf_host_file(&f, "a", "text");
	assert_int_equal(linkat(f.root, "a", f.root, "b", 0), 0);
	node = ptf_node(&f, FUSE_ROOT_ID, "a");
	for (unsigned int i = 0; i < ARRAY_SIZE(l); i++) {
		l[i] = (struct looker){.f = &f, .name = names[i], .node = node};
		ptf_req(&f, &l[i].req);
		assert_int_equal(pthread_create(&l[i].thread, NULL, look, &l[i]), 0);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(l); i++) {
		assert_int_equal(pthread_join(l[i].thread, NULL), 0);
		assert_int_equal(l[i].wrong, 0);
	}
	pt_ops.forget(f.pt, node, ARRAY_SIZE(l) * LOOKUPS);
	assert_int_equal(ptf_stats(&f).inodes, 2);
	pt_ops.forget(f.pt, node, 1);
	assert_int_equal(ptf_stats(&f).inodes, 1);
	ptf_stop(&f);
}

struct swapper {
	pthread_t thread;
	struct ptf *f;
	_Atomic bool stop;
};

/* "d" is a directory, then a link out of the share, and so on. */
static void *swap(void *arg)
{
	struct swapper *s = arg;

	while (!atomic_load(&s->stop))
		if (renameat2(s->f->root, "d", s->f->root, "l", RENAME_EXCHANGE) < 0)
			break;
	return NULL;
}

/* No name leads out, whatever the host makes of it meanwhile. */
static void links_are_not_followed(void **state)
{
	struct fuse_attr attr;
	struct swapper s = {0};
	unsigned int dirs = 0;
	struct ptf f, g;

	(void)state;
	ptf_start(&g, (struct pt_conf){.max_fds = 64});
	ptf_host_file(&g, "secret", "");
	ptf_start(&f, (struct pt_conf){.max_fds = 64});
	ptf_host_mkdir(&f, "d");
	ptf_host_file(&f, "d/x", "");
	assert_int_equal(symlinkat(g.path, f.root, "l"), 0);
	s.f = &f;
	assert_int_equal(pthread_create(&s.thread, NULL, swap, &s), 0);
	for (int i = 0; i < 10000; i++) {
		int64_t d = ptf_lookup(&f, FUSE_ROOT_ID, "d"), x;

		assert_true(d > 0);
		x = ptf_lookup(&f, (uint64_t)d, "secret");
		assert_true(x == -ENOENT || x == -ENOTDIR || x == -ESTALE);
		if (ptf_getattr(&f, (uint64_t)d, &attr) == 0)
			dirs += S_ISDIR(attr.mode);
		while (i % 3 == 0 && fdcache_shrink(&f.pt->inodes.fds))
			;
		pt_ops.forget(f.pt, (uint64_t)d, 1);
	}
	atomic_store(&s.stop, true);
	assert_int_equal(pthread_join(s.thread, NULL), 0);
	assert_true(dirs > 0 && dirs < 10000);
	assert_int_equal(ptf_stats(&f).inodes, 1);
	ptf_stop(&f);
	ptf_stop(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stress),
		cmocka_unit_test(lookups_are_counted),
		cmocka_unit_test(links_are_not_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
