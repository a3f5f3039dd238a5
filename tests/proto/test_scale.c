// SPDX-License-Identifier: Apache-2.0
/* A million inodes with a limit of 1,024 descriptors: found, kept, used, forgotten. */
/*
 * Theory of operation
 *
 * The files are made on a tmpfs that is mounted for this process alone, so they vanish with it. The
 * guest looks every one of them up and forgets none; the daemon's descriptors are counted on the way,
 * and its memory before and after. Then some thousands are used again, most of which have no
 * descriptor any more, and at the end all are forgotten.
 *
 * The full million is looked up over split rings; the other kinds of ring, sanitized builds and small
 * machines take fewer, and say so.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "fx.h"
#include "fz.h"
#include "util.h"

#define PER_DIR 10000u
#define LIMIT   1024u
#define DEPTH   24u   /* requests in flight */
#define BATCH   4000u /* nodes in one BATCH_FORGET */

static const struct fx_opts limited = {
	.tmpfs = true,
	.nofile = LIMIT,
	.args = {"--rlimit-nofile=1024"},
	.no_start = true,
};

struct seen {
	uint64_t node;
	uint64_t ino;
};

static uint64_t available_memory(void)
{
	char line[128];
	unsigned long kib = 0;
	FILE *s = fopen("/proc/meminfo", "re");

	assert_non_null(s);
	while (fgets(line, sizeof(line), s))
		if (sscanf(line, "MemAvailable: %lu", &kib) == 1)
			break;
	fclose(s);
	return kib * 1024ull;
}

static unsigned int how_many(const struct fx *f)
{
	unsigned int n = 1000000;

	if (fx_packed() || f->v->conf.no_indirect)
		n = 200000;
	if (fx_sanitized())
		n = MIN(n, 100000u);
	/* About 1 KiB of the kernel's memory for each file. */
	while (n > PER_DIR && n * 4096ull > available_memory())
		n /= 2;
	n -= n % PER_DIR;
	if (n < 1000000)
		print_message("%u files here instead of a million\n", n);
	return n;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void make_files(const struct fx *f, unsigned int n)
{
	char name[32];

	for (unsigned int d = 0; d < n / PER_DIR; d++) {
		scoped_fd int dir = -1;

		snprintf(name, sizeof(name), "%u", d);
		assert_int_equal(mkdir(fx_path(f, name), 0755), 0);
		dir = open(fx_path(f, name), O_PATH | O_CLOEXEC);
		for (unsigned int i = 0; i < PER_DIR; i++) {
			snprintf(name, sizeof(name), "file-%u", i);
			if (mknodat(dir, name, S_IFREG | 0644, 0) < 0)
				fail_msg("cannot make a file: %s", strerror(errno));
		}
	}
}

/* Look up all files of a directory, many at a time. */
static void look_up(struct fx *f, uint64_t dir, struct seen *seen, struct vuf_req **q)
{
	struct vuf_ring *r = &f->v->ring[1];
	unsigned int sent = 0, done = 0;
	char name[32];

	while (done < PER_DIR) {
		struct vuf_req *d;
		unsigned int before = done;
		int n;

		while (sent < PER_DIR && sent - done < DEPTH) {
			d = q[sent % DEPTH];
			snprintf(name, sizeof(name), "file-%u", sent);
			vuf_req_begin(d, FUSE_LOOKUP, dir);
			vuf_req_add_str(d, name);
			d->out_len = 16 + sizeof(struct fuse_entry_out);
			d->user = &seen[sent];
			assert_int_equal(vuf_req_submit(d, r), 0);
			sent++;
		}
		vuf_ring_kick(r);
		while (done < sent && q[done % DEPTH]->done == false) {
			const struct fuse_entry_out *e;
			struct seen *s;

			n = vuf_req_reap(r, &d);
			if (n == 0)
				break;
			assert_int_equal(n, 1);
			if (vuf_req_check(d) < 0 || vuf_req_error(d))
				fail_msg("LOOKUP: %s", strerror(-vuf_req_error(d)));
			e = vuf_req_payload(d);
			s = d->user;
			*s = (struct seen){.node = e->nodeid, .ino = e->attr.ino};
		}
		while (done < sent && q[done % DEPTH]->done)
			done++;
		if (done == before)
			assert_int_equal(vuf_ring_wait(r, DEPTH / 2, FX_WAIT_MS), 0);
	}
}

static int by_node(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	return x->node < y->node ? -1 : x->node > y->node;
}

static void forget_all(struct fx *f, const struct seen *seen, unsigned int n)
{
	for (unsigned int i = 0; i < n; i += BATCH) {
		struct fuse_batch_forget_in in = {.count = MIN(BATCH, n - i)};

		vuf_req_begin(f->q, FUSE_BATCH_FORGET, 0);
		vuf_req_add(f->q, &in, sizeof(in));
		for (unsigned int k = i; k < i + in.count; k++) {
			struct fuse_forget_one one = {.nodeid = seen[k].node, .nlookup = 1};

			vuf_req_add(f->q, &one, sizeof(one));
		}
		f->q->out_len = 0;
		assert_int_equal(vuf_req_call(f->q, &f->v->ring[0]), 0);
	}
}

static void a_million_lookups(void **state)
{
	struct fx *f = *state;
	struct vuf_req *q[DEPTH];
	struct fuse_entry_out dir;
	struct fuse_attr_out a;
	struct seen *seen;
	unsigned int n, fds_most = 0, seed = 3;
	uint64_t rss;
	double at;

	fx_need_root();
	fx_start(f);
	fx_connect(f);
	n = how_many(f);
	make_files(f, n);
	seen = calloc(n, sizeof(*seen));
	assert_non_null(seen);
	fx_up(f, true);
	for (unsigned int i = 0; i < DEPTH; i++) {
		q[i] = vuf_req_new(f->v, 128, 256);
		assert_non_null(q[i]);
	}
	rss = fx_rss(f);
	at = now();
	for (unsigned int d = 0; d < n / PER_DIR; d++) {
		char name[16];

		snprintf(name, sizeof(name), "%u", d);
		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, name, &dir), 0);
		look_up(f, dir.nodeid, seen + (size_t)d * PER_DIR, q);
		fds_most = MAX(fds_most, fx_count_fds(f));
	}
	at = now() - at;
	rss = fx_rss(f) - rss;
	print_message(
		"%u lookups: %.1f us each, %u descriptors at most, %llu bytes of RSS per inode\n",
		n, at * 1e6 / n, fds_most, (unsigned long long)(rss / n));
	assert_true(fds_most < LIMIT);
	/* Again by their ids, most without a descriptor by now. */
	for (unsigned int i = 0; i < 5000; i++) {
		unsigned int k = (unsigned int)rand_r(&seed) % n;

		assert_int_equal(fz_getattr(f, seen[k].node, &a), 0);
		assert_int_equal(a.attr.ino, seen[k].ino);
	}
	assert_true(fx_count_fds(f) < LIMIT);
	qsort(seen, n, sizeof(*seen), by_node);
	for (unsigned int i = 1; i < n; i++)
		assert_int_not_equal(seen[i].node, seen[i - 1].node);
	/* All but the directories, and then those. */
	forget_all(f, seen, n);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(fz_getattr(f, seen[(uint64_t)i * n / 100].node, &a), -ESTALE);
	for (unsigned int d = 0; d < n / PER_DIR; d++) {
		char name[16];

		snprintf(name, sizeof(name), "%u", d);
		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, name, &dir), 0);
		fz_forget(f, dir.nodeid, 2);
	}
	fx_settle(f);
	assert_int_equal(fx_count_fds(f), f->fds);
	for (unsigned int i = 0; i < DEPTH; i++)
		vuf_req_free(q[i]);
	free(seen);
}

/* Handles are what keeps descriptors for good: opened to the limit, then an errno, and on it goes. */
static void files_opened_to_the_limit(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out o[2 * LIMIT];
	struct fuse_entry_out e;
	struct fuse_attr_out a;
	unsigned int n = 0;
	uint64_t node;
	uint64_t room;
	int r = 0;

	fx_need_root();
	fx_start(f);
	fx_connect(f);
	fx_up(f, true);
	room = fx_proc(f, "status", "FDSize:");
	fx_put(f, "file", "x", 1, 0644);
	fx_put(f, "other", "x", 1, 0644);
	node = fz_walk(f, "file");
	while (n < ARRAY_SIZE(o)) {
		r = fz_open(f, node, O_RDONLY, &o[n]);
		if (r < 0)
			break;
		n++;
	}
	assert_true(r == -ENFILE || r == -EMFILE);
	assert_in_range(n, LIMIT / 2, LIMIT);
	assert_true(fx_count_fds(f) < LIMIT);
	/* No OPEN had to wait until the kernel's table had grown. */
	assert_true(room >= n);
	assert_int_equal(fx_proc(f, "status", "FDSize:"), room);
	/* What needs no lasting descriptor still works, a new memory table among it. */
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "other", &e), 0);
	assert_int_equal(fz_getattr(f, e.nodeid, &a), 0);
	assert_int_equal(fz_mkdir(f, FUSE_ROOT_ID, "dir", 0755, &e), 0);
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "dir", FUSE_ROOT_ID, "dir2", 0), 0);
	assert_int_equal(fz_rmdir(f, FUSE_ROOT_ID, "dir2"), 0);
	assert_int_equal(vuf_share_mem(f->v), 0);
	while (n)
		assert_int_equal(fz_release(f, node, o[--n].fh), 0);
	assert_int_equal(fz_open(f, node, O_RDONLY, &o[0]), 0);
	assert_int_equal(fz_release(f, node, o[0].fh), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(a_million_lookups, &limited),
		FX_TEST(files_opened_to_the_limit, &limited),
	};

	return fx_main(argc, argv, "scale", tests, ARRAY_SIZE(tests));
}
