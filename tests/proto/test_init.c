// SPDX-License-Identifier: Apache-2.0
/* INIT in all its variants, DESTROY, opcodes without a meaning, INTERRUPT: the session itself. */
/*
 * Theory of operation
 *
 * Most tests bring the rings up without INIT and send their own. Replies are compared with what
 * Linux demands of them (fs/fuse: process_init_reply) and with what docs say that we offer.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fx.h"
#include "fz.h"
#include "util.h"

static const struct fx_opts no_init = {.no_init = true};

/* INIT with any body; the reply's error. */
static int raw_init(struct fx *f, const struct fuse_init_in *in, size_t len,
		    struct fuse_init_out *ret)
{
	struct iovec iov = {(void *)(uintptr_t)in, len};

	return fz_call(f, FUSE_INIT, 0, &iov, 1, ret, sizeof(*ret), NULL);
}

static void linux_gets_what_it_needs(void **state)
{
	struct fx *f = *state;
	const struct fuse_init_out *o = &f->init;
	uint64_t flags = o->flags | (uint64_t)o->flags2 << 32;

	assert_int_equal(o->major, 7);
	assert_int_equal(o->minor, FX_MINOR);
	assert_int_equal(o->max_readahead, 128 * 1024);
	assert_true(o->max_write >= 1 << 20);
	assert_true(o->max_pages * 4096u >= 1 << 20);
	assert_true(o->max_background > 0);
	assert_true(o->congestion_threshold > 0);
	assert_true(o->congestion_threshold <= o->max_background);
	/* Linux refuses a granularity that is no power of ten up to a second. */
	assert_int_equal(o->time_gran, 1);
	assert_int_equal(o->map_alignment, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(o->unused); i++)
		assert_int_equal(o->unused[i], 0);
	/* Nothing that was not offered. */
	assert_int_equal(flags & ~(FX_LINUX_FLAGS | FUSE_INIT_EXT), 0);
	assert_true(flags & FUSE_INIT_EXT);
	assert_true(flags & FUSE_MAX_PAGES);
	assert_true(flags & FUSE_ASYNC_READ);
	assert_true(flags & FUSE_DO_READDIRPLUS);
	assert_true(flags & FUSE_PARALLEL_DIROPS);
	assert_true(flags & FUSE_SUBMOUNTS);
	assert_true(flags & FUSE_CREATE_SUPP_GROUP);
	/* The defaults of the options: no locks, no write-back, no ACLs, no kill-priv. */
	assert_false(flags & (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS | FUSE_WRITEBACK_CACHE |
			      FUSE_POSIX_ACL | FUSE_HANDLE_KILLPRIV_V2 | FUSE_EXPORT_SUPPORT));
	assert_false(flags & (FUSE_MAP_ALIGNMENT | FUSE_HAS_INODE_DAX | FUSE_SECURITY_CTX));
}

static void every_minor(void **state)
{
	struct fx *f = *state;

	for (uint32_t minor = 0; minor < 60; minor++) {
		struct fuse_init_in in = {7, minor, 4096, FUSE_ASYNC_READ};
		struct fuse_init_out out;
		int r;

		if (minor >= 36)
			in.flags |= FUSE_INIT_EXT;
		r = raw_init(f, &in, minor >= 36 ? sizeof(in) : 16, &out);
		if (minor < FUSE_ABI_MINOR_MIN) {
			assert_int_equal(r, -EPROTO);
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(out.major, 7);
		assert_int_equal(out.minor, MIN(minor, FUSE_ABI_MINOR));
		assert_int_equal(out.max_readahead, 4096);
		assert_int_equal(out.flags & ~(uint32_t)FUSE_INIT_EXT, FUSE_ASYNC_READ);
		assert_int_equal(out.flags2, 0);
		/* Without FUSE_MAX_PAGES there is nothing to say about pages. */
		assert_int_equal(out.max_pages, 0);
	}
}

static void the_upper_flags_need_the_extension(void **state)
{
	struct fx *f = *state;
	struct fuse_init_in in = {.major = 7, .minor = 38, .flags2 = UINT32_MAX};
	struct fuse_init_out out;

	assert_int_equal(raw_init(f, &in, sizeof(in), &out), 0);
	assert_int_equal(out.flags, 0);
	assert_int_equal(out.flags2, 0);
	in.flags = FUSE_INIT_EXT;
	assert_int_equal(raw_init(f, &in, sizeof(in), &out), 0);
	assert_int_equal(out.flags, FUSE_INIT_EXT);
	assert_true(out.flags2 & (FUSE_CREATE_SUPP_GROUP >> 32));
	/* It promises a long structure. */
	assert_int_equal(raw_init(f, &in, 16, &out), -EINVAL);
}

static void other_majors(void **state)
{
	struct fx *f = *state;
	struct fuse_init_in in = {.major = 6, .minor = 39};
	struct fuse_init_out out;
	struct fuse_attr_out attr;

	assert_int_equal(raw_init(f, &in, sizeof(in), &out), -EPROTO);
	/* A newer guest is told our version and asks again; the session has not begun. */
	in.major = 8;
	assert_int_equal(raw_init(f, &in, sizeof(in), &out), 0);
	assert_int_equal(out.major, 7);
	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &attr), -ENOTCONN);
	assert_int_equal(raw_init(f, &in, 8, &out), 0);
	assert_int_equal(out.major, 7);
	in.major = 7;
	assert_int_equal(raw_init(f, &in, sizeof(in), &out), 0);
	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &attr), 0);
}

static void short_bodies(void **state)
{
	struct fx *f = *state;
	struct fuse_init_in in = {.major = 7, .minor = 31};
	struct fuse_init_out out;

	for (size_t len = 0; len < 16; len++)
		assert_int_equal(raw_init(f, &in, len, &out), -EINVAL);
	for (size_t len = 16; len <= sizeof(in); len += 4)
		assert_int_equal(raw_init(f, &in, len, &out), 0);
}

/* A guest that booted anew: the old session's ids mean nothing any more. */
static void a_second_init(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e;
	struct fuse_open_out o;
	struct fuse_attr_out a;
	char buf[8];

	fx_put(f, "file", "content", 7, 0644);
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "file", &e), 0);
	assert_int_equal(fz_open(f, e.nodeid, O_RDONLY, &o), 0);
	assert_int_equal(fz_read(f, e.nodeid, o.fh, 0, buf, 8), 7);
	assert_int_equal(vuf_fuse_init(f->v, 31, 0, &f->init), 0);
	assert_int_equal(f->init.minor, 31);
	assert_int_equal(fz_getattr(f, e.nodeid, &a), -ESTALE);
	assert_int_equal(fz_read(f, e.nodeid, o.fh, 0, buf, 8), -EBADF);
	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "file", &e), 0);
	assert_int_equal(fz_read(f, e.nodeid, o.fh, 0, buf, 8), -EBADF);
	assert_int_equal(fz_open(f, e.nodeid, O_RDONLY, &o), 0);
	assert_int_equal(fz_read(f, e.nodeid, o.fh, 0, buf, 8), 7);
}

static void before_init_and_after_destroy(void **state)
{
	struct fx *f = *state;
	struct fuse_init_in in = {.major = 7, .minor = 38};
	struct fuse_init_out out;
	struct fuse_attr_out a;

	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), -ENOTCONN);
	fz_forget(f, FUSE_ROOT_ID, 1);
	assert_int_equal(fz_call(f, FUSE_DESTROY, 0, NULL, 0, NULL, 0, NULL), -ENOTCONN);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(raw_init(f, &in, sizeof(in), &out), 0);
		assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
		assert_int_equal(fz_call(f, FUSE_DESTROY, 0, NULL, 0, NULL, 0, NULL), 0);
		assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), -ENOTCONN);
		assert_int_equal(fz_call(f, FUSE_LOOKUP, 1, NULL, 0, NULL, 0, NULL), -ENOTCONN);
	}
}

/* What the guest did not release or forget goes with the session: end_well() counts descriptors. */
static void destroy_lets_go_of_everything(void **state)
{
	struct fx *f = *state;
	struct fz_entry_open c;
	struct fuse_entry_out e;
	struct fuse_open_out o;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(fz_create(f, FUSE_ROOT_ID, "file", O_CREAT | O_RDWR, 0644, &c), 0);
		assert_int_equal(fz_unlink(f, FUSE_ROOT_ID, "file"), 0);
		assert_int_equal(fz_mkdir(f, FUSE_ROOT_ID, "dir", 0755, &e), 0);
		assert_int_equal(fz_opendir(f, e.nodeid, &o), 0);
		assert_int_equal(fz_rmdir(f, FUSE_ROOT_ID, "dir"), 0);
		assert_int_equal(fz_opendir(f, FUSE_ROOT_ID, &o), 0);
		assert_true(fx_count_fds(f) >= f->fds + 3);
		if (i < 2)
			assert_int_equal(vuf_fuse_init(f->v, FX_MINOR, FX_LINUX_FLAGS, &f->init),
					 0);
	}
}

static void opcodes_without_a_meaning(void **state)
{
	static const uint32_t ops[] = {
		0, 7, 19, FUSE_STATX + 1, 60, 1000, CUSE_INIT, CUSE_INIT_BSWAP_RESERVED, UINT32_MAX,
	};
	struct fx *f = *state;
	uint8_t body[128] = {0};
	struct iovec iov = {body, sizeof(body)};

	for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++) {
		assert_int_equal(fz_call(f, ops[i], FUSE_ROOT_ID, NULL, 0, NULL, 0, NULL), -ENOSYS);
		assert_int_equal(fz_call(f, ops[i], FUSE_ROOT_ID, &iov, 1, NULL, 0, NULL), -ENOSYS);
	}
}

/* What a guest gets along without: it stops asking, or falls back. */
static void opcodes_not_offered(void **state)
{
	struct fx *f = *state;
	struct fuse_lk_in lk = {.lk = {.type = F_WRLCK, .end = INT64_MAX}};
	struct fuse_bmap_in bmap = {.blocksize = 512};
	struct fuse_poll_in poll = {0};
	struct fuse_setupmapping_in map = {.fh = UINT64_MAX, .len = 1 << 21};
	uint8_t unmap[20] = {1};
	struct iovec lk_iov = IOV(lk), bmap_iov = IOV(bmap), poll_iov = IOV(poll),
		     map_iov = IOV(map), unmap_iov = IOV(unmap);
	uint8_t out[64];
	uint64_t node;

	fx_put(f, "file", "", 0, 0644);
	node = fz_walk(f, "file");
	assert_int_equal(fz_call(f, FUSE_GETLK, node, &lk_iov, 1, out, 24, NULL), -ENOSYS);
	assert_int_equal(fz_call(f, FUSE_SETLK, node, &lk_iov, 1, NULL, 0, NULL), -ENOSYS);
	assert_int_equal(fz_call(f, FUSE_SETLKW, node, &lk_iov, 1, NULL, 0, NULL), -ENOSYS);
	assert_int_equal(fz_call(f, FUSE_BMAP, node, &bmap_iov, 1, out, 8, NULL), -ENOSYS);
	assert_int_equal(fz_call(f, FUSE_POLL, node, &poll_iov, 1, out, 8, NULL), -ENOSYS);
	assert_int_equal(fz_call(f, FUSE_SETUPMAPPING, node, &map_iov, 1, NULL, 0, NULL), -ENOSYS);
	assert_int_equal(fz_call(f, FUSE_REMOVEMAPPING, node, &unmap_iov, 1, NULL, 0, NULL),
			 -ENOSYS);
}

static void interrupt_of_nothing(void **state)
{
	struct fx *f = *state;
	struct fuse_interrupt_in in = {.unique = 0x123456};
	struct vuf_req *q = f->q;

	/* The request is gone or was never there: try again, or no answer at all. */
	for (int room = 0; room < 2; room++) {
		vuf_req_begin(q, FUSE_INTERRUPT, 0);
		vuf_req_add(q, &in, sizeof(in));
		q->out_len = room ? 16 : 0;
		assert_int_equal(vuf_req_call(q, &f->v->ring[room]), 0);
		if (room && q->used)
			assert_int_equal(vuf_req_error(q), -EAGAIN);
		else
			assert_int_equal(q->used, 0);
	}
}

/* Everything that a request's header can say wrong, on a queue that goes on. */
static void headers_that_are_wrong(void **state)
{
	struct fx *f = *state;
	struct fuse_getattr_in in = {0};
	struct vuf_req *q = f->q;
	struct fuse_in_header *h;
	struct fuse_attr_out a;

	for (int i = 0; i < 6; i++) {
		h = vuf_req_begin(q, FUSE_GETATTR, FUSE_ROOT_ID);
		vuf_req_add(q, &in, sizeof(in));
		q->out_len = 16 + sizeof(a);
		switch (i) {
		case 0: /* more than was sent */
			h->len++;
			break;
		case 1: /* less than was sent */
			h->len--;
			break;
		case 2:
			h->len = 0;
			break;
		case 3:
			h->len = UINT32_MAX;
			break;
		case 4: /* would look like a notification */
			h->unique = 0;
			break;
		default: /* shorter than the fixed arguments */
			h->len = 40 + 8;
			q->in_len = 40 + 8;
			break;
		}
		assert_int_equal(vuf_req_call(q, &f->v->ring[1]), 0);
		assert_int_equal(vuf_req_error(q), -EINVAL);
	}
	/* A header that is cut short: what is there of it serves the reply. */
	h = vuf_req_begin(q, FUSE_GETATTR, FUSE_ROOT_ID);
	q->in_len = 24;
	q->out_len = 16;
	assert_int_equal(vuf_req_call(q, &f->v->ring[1]), 0);
	assert_int_equal(vuf_req_error(q), -EINVAL);
	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
}

/* Too little room for a reply: an error where that fits, else nothing. */
static void no_room_for_the_reply(void **state)
{
	struct fx *f = *state;
	struct fuse_getattr_in in = {0};
	struct vuf_req *q = f->q;
	struct fuse_attr_out a;

	for (size_t room = 0; room < 16 + sizeof(a); room += room < 17 ? 1 : 13) {
		vuf_req_begin(q, FUSE_GETATTR, FUSE_ROOT_ID);
		vuf_req_add(q, &in, sizeof(in));
		q->out_len = room;
		assert_int_equal(vuf_req_submit(q, &f->v->ring[1]), 0);
		assert_int_equal(vuf_req_wait(q, &f->v->ring[1]), 0);
		if (room < 16) {
			assert_int_equal(q->used, 0);
		} else {
			assert_int_equal(vuf_req_check(q), 0);
			assert_int_equal(vuf_req_error(q), -EIO);
		}
	}
	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(linux_gets_what_it_needs, NULL),
		FX_TEST(every_minor, &no_init),
		FX_TEST(the_upper_flags_need_the_extension, &no_init),
		FX_TEST(other_majors, &no_init),
		FX_TEST(short_bodies, &no_init),
		FX_TEST(a_second_init, NULL),
		FX_TEST(before_init_and_after_destroy, &no_init),
		FX_TEST(destroy_lets_go_of_everything, NULL),
		FX_TEST(opcodes_without_a_meaning, NULL),
		FX_TEST(opcodes_not_offered, NULL),
		FX_TEST(interrupt_of_nothing, NULL),
		FX_TEST(headers_that_are_wrong, NULL),
		FX_TEST(no_room_for_the_reply, NULL),
	};

	return fx_main(argc, argv, "init", tests, ARRAY_SIZE(tests));
}
