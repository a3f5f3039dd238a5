// SPDX-License-Identifier: Apache-2.0
/* --relisten: one front-end after the other, whatever the end of each. */
/*
 * Theory of operation
 *
 * Each test ends connections in some way and looks at what the next one finds: a fresh session, the same
 * descriptors and mappings of the daemon as before, and nothing of what the guest before it knew.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "fx.h"
#include "fz.h"
#include "util.h"

static const struct fx_opts relisten = {.no_connect = true, .args = {"--relisten"}};
static const struct fx_opts pooled = {
	.tmpfs = true, .no_connect = true, .args = {"--relisten", "--thread-pool-size=2"}};
static const struct fx_opts unpooled = {.tmpfs = true, .no_connect = true, .args = {"--relisten"}};

static void works(struct fx *f)
{
	struct fuse_attr_out a;

	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
}

/* A new guest: fresh memory and rings. */
static void come(struct fx *f)
{
	fx_drop(f);
	fx_connect(f);
	fx_up(f, true);
	works(f);
}

static void ends_by_signal(struct fx *f)
{
	kill(f->pid, SIGTERM);
	assert_int_equal(fx_wait_exit(f, FX_WAIT_MS), 0);
	assert_int_equal(fx_log_count(f, "ending:"), 1);
}

static void one_after_the_other(void **state)
{
	struct fx *f = *state;
	unsigned int fds, maps;

	come(f);
	fds = f->fds;
	maps = fx_count_maps(f, "");
	for (int i = 0; i < 20; i++) {
		come(f);
		assert_int_equal(f->fds, fds);
		assert_in_range(fx_count_maps(f, ""), maps - 8, maps + 8);
	}
	assert_int_equal(fx_log_count(f, "ending"), 0);
	assert_int_equal(fx_log_count(f, "Waiting for vhost-user socket connection"), 1);
	assert_int_equal(fx_log_count(f, "a front-end has connected"), 21);
	ends_by_signal(f);
}

/* What one guest has opened, found and locked is gone for the next. */
static void a_fresh_session(void **state)
{
	struct fx *f = *state;
	struct fuse_attr_out a;
	struct fuse_open_out o;
	char buf[4];
	uint64_t node;

	come(f);
	fx_put(f, "file", "x", 1, 0644);
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDWR, &o), 0);
	fx_drop(f);
	fx_connect(f);
	fx_up(f, false);
	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), -ENOTCONN);
	assert_int_equal(vuf_fuse_init(f->v, FX_MINOR, FX_LINUX_FLAGS, &f->init), 0);
	assert_int_equal(fz_getattr(f, node, &a), -ESTALE);
	assert_int_equal(fz_read(f, node, o.fh, 0, buf, 1), -EBADF);
	ends_by_signal(f);
}

/* Another one that connects meanwhile waits, and is served when the first has gone. */
static void the_next_one_waits(void **state)
{
	struct fx *f = *state;
	struct vuf_conf conf = {.packed = fx_packed()};
	struct vuf *first;
	int sock;

	come(f);
	sock = vuf_connect(f->sock);
	assert_true(sock >= 0);
	works(f);
	first = f->v;
	assert_int_equal(vuf_new(&conf, &f->v), 0);
	vuf_attach(f->v, sock);
	vuf_hangup(first);
	fx_up(f, true);
	vuf_req_free(f->q);
	vuf_free(first);
	f->q = vuf_req_new(f->v, 4096, 4096);
	assert_non_null(f->q);
	works(f);
	ends_by_signal(f);
}

/* Half a message holds up nobody but its sender: the guest's INIT runs on the control thread. */
static void half_a_message(void **state)
{
	struct fx *f = *state;
	struct vu_hdr h = {VU_SET_FEATURES, VU_VERSION | VU_FLAG_NEED_REPLY, 8};
	struct fuse_init_out init;

	for (unsigned int n = 1; n < 13; n += 11) {
		come(f);
		assert_int_equal(vuf_send_bytes(f->v, &h, n, &f->v->ring[0].kick_fd, 1), 0);
		assert_int_equal(vuf_fuse_init(f->v, FX_MINOR, FX_LINUX_FLAGS, &init), 0);
		works(f);
	}
	/* Nor does one that never reads its answers. */
	come(f);
	for (unsigned int i = 0; i < 20000; i++)
		if (vuf_send(f->v, VU_GET_QUEUE_NUM, NULL, 0, NULL, 0, false) < 0)
			break;
	come(f);
	ends_by_signal(f);
}

static void bad_messages(void **state)
{
	struct fx *f = *state;
	struct vu_hdr h = {VU_GET_FEATURES, 0, 0};

	for (int i = 0; i < 10; i++) {
		struct vu_msg msg;

		come(f);
		assert_int_equal(vuf_send_bytes(f->v, &h, sizeof(h), &f->v->ring[0].kick_fd, 1), 0);
		assert_int_equal(vuf_recv(f->v, 0, &msg), -ECONNRESET);
	}
	come(f);
	assert_int_equal(fx_log_count(f, "broke the protocol"), 10);
	ends_by_signal(f);
}

/*
 * An UNLINK in a file system that does not answer, on ring 1. It is not waited for, and the device has its
 * buffers until the guest's memory goes: the caller then frees no more than the structure.
 */
static struct vuf_req *get_stuck(struct fx *f, uint32_t opcode)
{
	struct vuf_req *q = vuf_req_new(f->v, 128, 256);

	assert_non_null(q);
	vuf_req_begin(q, opcode, FUSE_ROOT_ID);
	vuf_req_add_str(q, "stall");
	assert_int_equal(vuf_req_submit(q, &f->v->ring[1]), 0);
	vuf_ring_kick(&f->v->ring[1]);
	return q;
}

/* Requests that do not come back stay behind with their threads; the next guest has new ones. */
static void stuck_and_on(struct fx *f, uint32_t opcode)
{
	struct vuf_req *stuck[2];
	struct fz_entry_open c;
	int stall;

	fx_need_root();
	come(f);
	stall = fx_stall(f, "stall");
	for (int i = 0; i < 2; i++)
		stuck[i] = get_stuck(f, opcode);
	works(f);
	come(f);
	for (int i = 0; i < 2; i++)
		free(stuck[i]);
	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "new", O_RDWR, 0644, &c), 0);
	assert_int_equal(fx_log_count(f, "given up"), 1);
	close(stall);
	works(f);
	ends_by_signal(f);
}

static void the_pool_is_stuck(void **state)
{
	stuck_and_on(*state, FUSE_UNLINK);
}

static void a_queue_is_stuck(void **state)
{
	stuck_and_on(*state, FUSE_LOOKUP);
}

/* Where all threads that could serve the queue are stuck there is no way on: it ends, and says so. */
static void all_are_stuck(void **state)
{
	struct fx *f = *state;
	struct vuf_req *stuck[65];
	int stall;

	fx_need_root();
	come(f);
	stall = fx_stall(f, "stall");
	for (unsigned int i = 0; i < ARRAY_SIZE(stuck); i++)
		stuck[i] = get_stuck(f, FUSE_LOOKUP);
	while (fx_count_threads(f, "virtiofsd-queue") < 1 + ARRAY_SIZE(stuck))
		usleep(1000);
	/* Other queues go on. */
	f->ring = 0;
	works(f);
	vuf_hangup(f->v);
	assert_int_equal(fx_wait_exit(f, FX_WAIT_MS), 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(stuck); i++)
		free(stuck[i]);
	assert_int_equal(fx_log_count(f, "stuck in the host"), 1);
	close(stall);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(one_after_the_other, &relisten),
		FX_TEST(a_fresh_session, &relisten),
		FX_TEST(the_next_one_waits, &relisten),
		FX_TEST(half_a_message, &relisten),
		FX_TEST(bad_messages, &relisten),
		/* Half a minute, and no matter of rings: only with the first kind of them. */
		FX_TEST(the_pool_is_stuck, &pooled),
		FX_TEST(a_queue_is_stuck, &unpooled),
		FX_TEST(all_are_stuck, &unpooled),
	};
	const bool all = argc > 2 && strcmp(argv[2], "split") == 0;

	return fx_main(argc, argv, "relisten", tests, ARRAY_SIZE(tests) - (all ? 0 : 3));
}
