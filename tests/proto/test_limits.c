// SPDX-License-Identifier: Apache-2.0
/* What a guest may have at a time: --max-inodes, --max-open-files, --max-write, --max-pending. */
/*
 * Theory of operation
 *
 * Each test goes up to a limit, over it, looks at the errno, and comes back below: then all is well again.
 * Beyond a limit the daemon's memory and descriptors do not grow.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "fx.h"
#include "fz.h"
#include "util.h"

static const struct fx_opts inodes = {.args = {"--max-inodes=64"}};
static const struct fx_opts files = {.args = {"--max-open-files=10"}};
static const struct fx_opts writes = {.args = {"--max-write=70000"}};
static const struct fx_opts pending = {
	.tmpfs = true, .vuf = {.rings = 3}, .args = {"--max-pending=3", "--thread-pool-size=16"}};

static void inodes_known(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e[80], last;
	struct fuse_attr_out a;
	char name[16];
	unsigned int n;
	int r = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(e); i++) {
		snprintf(name, sizeof(name), "%u", i);
		fx_put(f, name, "x", 1, 0644);
	}
	for (n = 0; n < ARRAY_SIZE(e); n++) {
		snprintf(name, sizeof(name), "%u", n);
		r = fz_lookup(f, FUSE_ROOT_ID, name, &e[n]);
		if (r)
			break;
	}
	assert_int_equal(r, -ENOMEM);
	assert_in_range(n, 60, 64);
	/* Those that it knows go on, and what it makes is there though it cannot be told of it. */
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "0", &last), 0);
	assert_int_equal(last.nodeid, e[0].nodeid);
	fz_forget(f, last.nodeid, 1);
	assert_int_equal(fz_getattr(f, e[n - 1].nodeid, &a), 0);
	assert_int_equal(fz_mkdir(f, FUSE_ROOT_ID, "dir", 0755, &last), -ENOMEM);
	fz_forget(f, e[0].nodeid, 1);
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "79", &last), 0);
	fz_forget(f, last.nodeid, 1);
	while (--n)
		fz_forget(f, e[n].nodeid, 1);
}

static void files_open(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out o[11];
	struct fz_entry_open c;
	uint64_t node;

	fx_put(f, "file", "x", 1, 0644);
	node = fz_walk(f, "file");
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(fz_open(f, node, O_RDONLY, &o[i]), 0);
	assert_int_equal(fz_open(f, node, O_RDONLY, &o[10]), -ENFILE);
	assert_int_equal(fz_opendir(f, FUSE_ROOT_ID, &o[10]), -ENFILE);
	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "new", O_RDWR, 0644, &c), -ENFILE);
	assert_int_equal(fz_release(f, node, o[0].fh), 0);
	assert_int_equal(fz_opendir(f, FUSE_ROOT_ID, &o[0]), 0);
	assert_int_equal(fz_open(f, node, O_RDONLY, &o[10]), -ENFILE);
	assert_int_equal(fz_releasedir(f, FUSE_ROOT_ID, o[0].fh), 0);
	for (unsigned int i = 1; i < 10; i++)
		assert_int_equal(fz_release(f, node, o[i].fh), 0);
	fz_forget(f, node, 1);
}

static void data_of_a_request(void **state)
{
	struct fx *f = *state;
	static char buf[17 * 4096 + 1];
	struct fz_entry_open c;

	/* In whole pages. */
	assert_int_equal(f->init.max_write, 17 * 4096);
	assert_int_equal(f->init.max_pages, 17);
	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "file", O_RDWR, 0644, &c), 0);
	assert_int_equal(fz_write(f, c.entry.nodeid, c.open.fh, 0, buf, sizeof(buf) - 1),
			 sizeof(buf) - 1);
	assert_int_equal(fz_write(f, c.entry.nodeid, c.open.fh, 0, buf, sizeof(buf)), -EINVAL);
	assert_int_equal(fx_stat(f, "file").st_size, sizeof(buf) - 1);
	assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
	fz_forget(f, c.entry.nodeid, 1);
}

/* Three are stuck; the fourth waits in the ring, and comes to its turn. Other queues have their own. */
static void requests_on_their_way(void **state)
{
	struct fx *f = *state;
	struct vuf_ring *r = &f->v->ring[1];
	struct vuf_req *q[4], *back;
	struct fuse_attr_out a;
	int stall;

	fx_need_root();
	stall = fx_stall(f, "stall");
	for (unsigned int i = 0; i < ARRAY_SIZE(q); i++) {
		q[i] = vuf_req_new(f->v, 256, 256);
		assert_non_null(q[i]);
		if (i < 3) {
			vuf_req_begin(q[i], FUSE_UNLINK, FUSE_ROOT_ID);
			vuf_req_add_str(q[i], "stall");
		} else {
			vuf_req_begin(q[i], FUSE_GETATTR, FUSE_ROOT_ID);
			vuf_req_add(q[i], &(struct fuse_getattr_in){0},
				    sizeof(struct fuse_getattr_in));
		}
		assert_int_equal(vuf_req_submit(q[i], r), 0);
	}
	vuf_ring_kick(r);
	for (unsigned int i = 0; i < 100; i++) {
		f->ring = i % 2 ? 2 : 0;
		assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
	}
	assert_int_equal(vuf_ring_wait(r, 1, 200), -ETIMEDOUT);
	close(stall);
	for (unsigned int i = 0; i < ARRAY_SIZE(q); i++)
		if (!q[i]->done)
			assert_int_equal(vuf_req_wait(q[i], r), 0);
	assert_int_equal(vuf_req_reap(r, &back), 0);
	assert_int_equal(vuf_req_error(q[3]), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(q); i++)
		vuf_req_free(q[i]);
	f->ring = 1;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(inodes_known, &inodes),
		FX_TEST(files_open, &files),
		FX_TEST(data_of_a_request, &writes),
		FX_TEST(requests_on_their_way, &pending),
	};

	return fx_main(argc, argv, "limits", tests, ARRAY_SIZE(tests));
}
