// SPDX-License-Identifier: Apache-2.0
/* What a queue's thread keeps for its next request, and when it lets go of it. */
#include "pt_fixture.h"

/* References on a record. */
static uint32_t refs(const void *rec)
{
	const struct slot *slot = rec;

	return (uint32_t)(atomic_load(&slot->state) & INT32_MAX);
}

static void *inode_of(struct ptf *f, uint64_t node)
{
	return slots_at(&f->pt->inodes.slots, slots_of_id(node));
}

static void *handle_of(struct ptf *f, uint64_t fh)
{
	return slots_at(&f->pt->handles.slots, slots_of_id(fh));
}

static void start(struct ptf *f)
{
	ptf_start(f, (struct pt_conf){0});
	f->req.keeps = true;
}

/* With a file of four bytes; its nodeid. */
static uint64_t start_with_file(struct ptf *f)
{
	start(f);
	ptf_host_file(f, "a", "text");
	return ptf_node(f, FUSE_ROOT_ID, "a");
}

/* Between READs and WRITEs of one file its handle is not given back. */
static void a_handle(void **state)
{
	uint64_t a, fh, other;
	char buf[4];
	struct ptf f;

	(void)state;
	a = start_with_file(&f);
	assert_int_equal(ptf_open(&f, a, O_RDWR, &fh), 0);
	assert_int_equal(ptf_open(&f, a, O_RDWR, &other), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ptf_read(&f, a, fh, 0, buf, sizeof(buf)), 4);
		assert_int_equal(ptf_write(&f, a, fh, 0, buf, sizeof(buf), O_RDWR, 0), 4);
		assert_int_equal(refs(handle_of(&f, fh)), 2);
	}
	/* One at a time. */
	assert_int_equal(ptf_read(&f, a, other, 0, buf, sizeof(buf)), 4);
	assert_int_equal(refs(handle_of(&f, fh)), 1);
	assert_int_equal(refs(handle_of(&f, other)), 2);
	/* It is good for its own inode only, also when it is kept. */
	assert_int_equal(ptf_read(&f, FUSE_ROOT_ID, other, 0, buf, sizeof(buf)), -EBADF);
	assert_int_equal(ptf_read(&f, a, other, 0, buf, sizeof(buf)), 4);
	pt_ops.rest(f.pt);
	assert_int_equal(refs(handle_of(&f, other)), 1);
	ptf_stop(&f);
}

/* What was released is not found, though it is kept; its descriptor goes when it is not any more. */
static void released(void **state)
{
	uint64_t a, fh;
	char buf[4];
	struct ptf f;

	(void)state;
	a = start_with_file(&f);
	assert_int_equal(ptf_open(&f, a, O_RDONLY, &fh), 0);
	assert_int_equal(ptf_read(&f, a, fh, 0, buf, sizeof(buf)), 4);
	assert_int_equal(ptf_release(&f, a, fh), 0);
	assert_int_equal(ptf_stats(&f).handles, 1);
	assert_int_equal(ptf_read(&f, a, fh, 0, buf, sizeof(buf)), -EBADF);
	assert_int_equal(ptf_stats(&f).handles, 0);

	assert_int_equal(ptf_open(&f, a, O_RDONLY, &fh), 0);
	assert_int_equal(ptf_read(&f, a, fh, 0, buf, sizeof(buf)), 4);
	assert_int_equal(ptf_release(&f, a, fh), 0);
	pt_ops.rest(f.pt);
	assert_int_equal(ptf_stats(&f).handles, 0);
	pt_ops.rest(f.pt);
	ptf_stop(&f);
}

/* Between LOOKUPs in one directory neither that nor its descriptor is given back. */
static void a_directory(void **state)
{
	uint64_t d, a, fh;
	char buf[4];
	struct ptf f;

	(void)state;
	start(&f);
	ptf_host_mkdir(&f, "d");
	ptf_host_file(&f, "d/a", "text");
	d = ptf_node(&f, FUSE_ROOT_ID, "d");
	for (int i = 0; i < 3; i++) {
		a = ptf_node(&f, d, "a");
		assert_int_equal(ptf_lookup(&f, d, "none"), -ENOENT);
		/* Its lookups, its child and this. */
		assert_int_equal(refs(inode_of(&f, d)), 3);
	}
	assert_true(fdcache_has(&f.pt->inodes.fds, slots_of_id(d)));
	/* The root's is never closed, and this one is in use. */
	assert_false(fdcache_shrink(&f.pt->inodes.fds));
	assert_int_equal(ptf_open(&f, a, O_RDONLY, &fh), 0);
	assert_int_equal(ptf_read(&f, a, fh, 0, buf, sizeof(buf)), 4);
	assert_int_equal(refs(inode_of(&f, d)), 2);
	while (fdcache_shrink(&f.pt->inodes.fds))
		;
	assert_false(fdcache_has(&f.pt->inodes.fds, slots_of_id(d)));
	assert_int_equal(ptf_node(&f, d, "a"), a);
	pt_ops.rest(f.pt);
	assert_true(fdcache_shrink(&f.pt->inodes.fds));
	ptf_stop(&f);
}

/* What was forgotten is not known any more, though it is kept. */
static void forgotten(void **state)
{
	uint64_t d;
	struct ptf f;

	(void)state;
	start(&f);
	ptf_host_mkdir(&f, "d");
	d = ptf_node(&f, FUSE_ROOT_ID, "d");
	assert_int_equal(ptf_lookup(&f, d, "none"), -ENOENT);
	pt_ops.forget(f.pt, d, 1);
	assert_int_equal(ptf_stats(&f).inodes, 2);
	assert_int_equal(ptf_lookup(&f, d, "none"), -ESTALE);
	assert_int_equal(ptf_stats(&f).inodes, 1);
	pt_ops.rest(f.pt);
	ptf_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handle),
		cmocka_unit_test(released),
		cmocka_unit_test(a_directory),
		cmocka_unit_test(forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
