// SPDX-License-Identifier: Apache-2.0
/* FORGET and BATCH_FORGET: lookup counts, to the last one and beyond. */
/*
 * Theory of operation
 *
 * A node is there as long as GETATTR of its id succeeds. Counts are only as good as the forgetting of
 * exactly as many, so each test ends with the last one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fx.h"
#include "fz.h"
#include "util.h"

static bool is_there(struct fx *f, uint64_t node)
{
	struct fuse_attr_out a;
	int r = fz_getattr(f, node, &a);

	assert_true(r == 0 || r == -ESTALE);
	return r == 0;
}

/* BATCH_FORGET with a count that may lie. */
static void batch(struct fx *f, const struct fuse_forget_one *one, uint32_t count, size_t bytes)
{
	struct fuse_batch_forget_in in = {.count = count};
	struct vuf_req *q = f->q;

	vuf_req_begin(q, FUSE_BATCH_FORGET, 0);
	vuf_req_add(q, &in, sizeof(in));
	vuf_req_add(q, one, bytes);
	q->out_len = 0;
	assert_int_equal(vuf_req_call(q, &f->v->ring[0]), 0);
}

static void the_last_lookup_counts(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e;

	fx_put(f, "file", "", 0, 0644);
	for (int i = 0; i < 100; i++)
		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "file", &e), 0);
	fz_forget(f, e.nodeid, 0);
	fz_forget(f, e.nodeid, 60);
	fz_forget(f, e.nodeid, 39);
	assert_true(is_there(f, e.nodeid));
	fz_forget(f, e.nodeid, 1);
	assert_false(is_there(f, e.nodeid));
}

static void too_many_and_too_much(void **state)
{
	static const uint64_t counts[] = {2, 1ull << 32, 1ull << 63, UINT64_MAX};
	struct fx *f = *state;
	struct fuse_entry_out e;

	fx_put(f, "file", "", 0, 0644);
	for (unsigned int i = 0; i < ARRAY_SIZE(counts); i++) {
		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "file", &e), 0);
		fz_forget(f, e.nodeid, counts[i]);
		assert_false(is_there(f, e.nodeid));
		/* Once more, of what is not there. */
		fz_forget(f, e.nodeid, counts[i]);
		fz_forget(f, FUSE_ROOT_ID, counts[i]);
		assert_true(is_there(f, FUSE_ROOT_ID));
	}
	fz_forget(f, 0, 1);
	fz_forget(f, UINT64_MAX, 1);
}

static void batches(void **state)
{
	struct fx *f = *state;
	struct fuse_forget_one one[200];
	char name[16];

	for (unsigned int i = 0; i < ARRAY_SIZE(one); i++) {
		struct fuse_entry_out e;

		snprintf(name, sizeof(name), "%u", i);
		fx_put(f, name, "", 0, 0644);
		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, name, &e), 0);
		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, name, &e), 0);
		one[i] = (struct fuse_forget_one){.nodeid = e.nodeid, .nlookup = 1};
	}
	/* A count beyond what came is believed in nothing. */
	batch(f, one, 201, sizeof(one));
	batch(f, one, UINT32_MAX, sizeof(one));
	batch(f, one, 1, sizeof(one[0]) - 1);
	batch(f, one, 200, sizeof(one));
	for (unsigned int i = 0; i < ARRAY_SIZE(one); i++)
		assert_true(is_there(f, one[i].nodeid));
	batch(f, one, 0, sizeof(one));
	batch(f, one, 199, sizeof(one));
	for (unsigned int i = 0; i < ARRAY_SIZE(one) - 1; i++)
		assert_false(is_there(f, one[i].nodeid));
	assert_true(is_there(f, one[199].nodeid));
	/* One node twice in a batch, beside others that are gone. */
	one[0] = one[1] = one[199];
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "199", &(struct fuse_entry_out){0}), 0);
	batch(f, one, 3, sizeof(one));
	assert_false(is_there(f, one[199].nodeid));
}

/* A forgotten node's handles live on; its id means another inode or none, never this one again. */
static void handles_outlive_the_node(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e, again;
	struct fuse_open_out o;
	char buf[8];

	fx_put(f, "file", "content", 7, 0644);
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "file", &e), 0);
	assert_int_equal(fz_open(f, e.nodeid, O_RDONLY, &o), 0);
	fz_forget(f, e.nodeid, 1);
	assert_int_equal(fz_read(f, e.nodeid, o.fh, 0, buf, 8), 7);
	assert_int_equal(fz_release(f, e.nodeid, o.fh), 0);
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "file", &again), 0);
	assert_true(again.nodeid != e.nodeid || again.generation != e.generation);
}

/* As many descriptors after as before, with some handles still open between. */
static void descriptors_come_back(void **state)
{
	struct fx *f = *state;
	struct fuse_forget_one one[500];
	struct fuse_open_out o[50];
	unsigned int before = fx_count_fds(f), during;
	char name[16];

	for (unsigned int i = 0; i < ARRAY_SIZE(one); i++) {
		struct fuse_entry_out e;

		snprintf(name, sizeof(name), "%u", i);
		fx_put(f, name, "", 0, 0644);
		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, name, &e), 0);
		one[i] = (struct fuse_forget_one){.nodeid = e.nodeid, .nlookup = 1};
		if (i < ARRAY_SIZE(o))
			assert_int_equal(fz_open(f, e.nodeid, O_RDONLY, &o[i]), 0);
	}
	during = fx_count_fds(f);
	assert_true(during >= before + ARRAY_SIZE(o));
	for (unsigned int i = 0; i < ARRAY_SIZE(o); i++)
		assert_int_equal(fz_release(f, one[i].nodeid, o[i].fh), 0);
	batch(f, one, ARRAY_SIZE(one), sizeof(one));
	/* Requests of the same thread are done one after the other. */
	assert_true(is_there(f, FUSE_ROOT_ID));
	assert_int_equal(fx_count_fds(f), before);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(the_last_lookup_counts, NULL),
		FX_TEST(too_many_and_too_much, NULL),
		FX_TEST(batches, NULL),
		FX_TEST(handles_outlive_the_node, NULL),
		FX_TEST(descriptors_come_back, NULL),
	};

	return fx_main(argc, argv, "forget", tests, ARRAY_SIZE(tests));
}
