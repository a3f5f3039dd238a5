// SPDX-License-Identifier: Apache-2.0
/* A daemon that is killed in the middle of requests: the one after it answers what was left open. */
/*
 * Theory of operation
 *
 * The front-end keeps rings, memory and the inflight region while the daemon is killed and started
 * again. The new one has a new FUSE session, so what was in flight is answered with an error; what
 * matters is that each chain comes back, once: vuf_ring_get() refuses a chain that is not out, and
 * the account of what is out must come to zero.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "fx.h"
#include "fz.h"
#include "util.h"

#define LOAD  250u
#define BYTES 16384u

static const struct fx_opts quiet = {.no_up = true};
static const struct fx_opts long_rings = {.no_up = true, .vuf = {.ring_size = 1024}};
static const struct fx_opts stalled = {.no_up = true, .tmpfs = true};
static const struct fx_opts stalled_pool = {
	.no_up = true, .tmpfs = true, .args = {"--thread-pool-size=4"}};

struct region {
	struct vu_inflight desc;
	int fd;
};

/* Bring up with inflight tracking; the region is asked for the first time only. */
static void up(struct fx *f, struct region *rg)
{
	struct vuf *v = f->v;

	assert_int_equal(vuf_negotiate(v), 0);
	assert_int_equal(vuf_share_mem(v), 0);
	if (rg->fd < 0)
		assert_int_equal(vuf_get_inflight(v, &rg->desc, &rg->fd), 0);
	assert_int_equal(vuf_set_inflight(v, &rg->desc, rg->fd), 0);
	for (unsigned int i = 0; i < v->nrings; i++)
		assert_int_equal(vuf_ring_start(v, i, vuf_ring_base(&v->ring[i])), 0);
}

static void init(struct fx *f)
{
	assert_int_equal(vuf_fuse_init(f->v, FX_MINOR, FX_LINUX_FLAGS, &f->init), 0);
}

/*
 * Kill @pid, which serves, take what it had answered, start another, go on. Returns how many answers
 * came meanwhile.
 */
static unsigned int kill_and_restart(struct fx *f, pid_t pid, struct region *rg)
{
	struct vuf_req *q;
	unsigned int n = 0;
	int r;

	kill(pid, SIGKILL);
	assert_int_equal(fx_wait_exit(f, FX_WAIT_MS), 128 + SIGKILL);
	while ((r = vuf_req_reap(&f->v->ring[1], &q)) == 1)
		n++;
	assert_int_equal(r, 0);
	fx_start(f);
	fx_connect(f);
	up(f, rg);
	return n;
}

static struct vuf_req *submit(struct fx *f, uint32_t opcode, const char *name)
{
	struct fuse_getattr_in in = {0};
	struct vuf_req *q = vuf_req_new(f->v, 128, 256);

	assert_non_null(q);
	vuf_req_begin(q, opcode, FUSE_ROOT_ID);
	if (name)
		vuf_req_add_str(q, name);
	else
		vuf_req_add(q, &in, sizeof(in));
	assert_int_equal(vuf_req_submit(q, &f->v->ring[1]), 0);
	return q;
}

static void works(struct fx *f)
{
	struct fuse_attr_out a;

	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
}

static void the_region(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	struct region rg = {.fd = -1};
	struct vu_msg msg;
	struct stat st;
	uint8_t padded[24] = {0};

	assert_int_equal(vuf_negotiate(v), 0);
	assert_int_equal(vuf_get_inflight(v, &rg.desc, &rg.fd), 0);
	assert_int_equal(rg.desc.num_queues, v->nrings);
	assert_int_equal(rg.desc.queue_size, v->conf.ring_size);
	assert_int_equal(fstat(rg.fd, &st), 0);
	assert_true((uint64_t)st.st_size >= rg.desc.mmap_offset + rg.desc.mmap_size);
	/* QEMU sends the structure with its padding, and means the same. */
	memcpy(padded, &rg.desc, sizeof(rg.desc));
	assert_int_equal(vuf_send_ack(v, VU_SET_INFLIGHT_FD, padded, 24, &rg.fd, 1), 0);
	memset(padded, 0, 16);
	assert_int_equal(vuf_send(v, VU_GET_INFLIGHT_FD, padded, 24, NULL, 0, false), 0);
	assert_int_equal(vuf_recv(v, VU_GET_INFLIGHT_FD, &msg), 0);
	assert_int_equal(msg.nfds, 1);
	assert_int_equal(msg.body.inflight.mmap_size, rg.desc.mmap_size);
	vu_msg_close_fds(&msg);
	up(f, &rg);
	init(f);
	for (int i = 0; i < 300; i++)
		works(f);
	/* Rings that stop and start go on with it. */
	assert_int_equal(vuf_ring_stop(v, 1, NULL), 0);
	assert_int_equal(vuf_ring_start(v, 1, vuf_ring_base(&v->ring[1])), 0);
	works(f);
	fd_close(&rg.fd);
}

/* A queue that is stuck in its first request, with more behind it. */
static void what_is_stuck_is_given_out_again(void **state)
{
	struct fx *f = *state;
	struct region rg = {.fd = -1};
	struct vuf_req *q[12];
	unsigned int pool = f->opts == &stalled_pool ? 4 : 1, early;
	int stall;

	fx_need_root();
	stall = fx_stall(f, "stall");
	up(f, &rg);
	init(f);
	for (unsigned int i = 0; i < ARRAY_SIZE(q); i++) {
		if (i < pool)
			q[i] = submit(f, pool > 1 ? FUSE_UNLINK : FUSE_LOOKUP, "stall");
		else
			q[i] = submit(f, FUSE_GETATTR, NULL);
	}
	vuf_ring_kick(&f->v->ring[1]);
	/* With a pool the rest goes on: wait until only those that are stuck are out. */
	for (unsigned int i = pool; pool > 1 && i < ARRAY_SIZE(q); i++)
		assert_int_equal(vuf_req_wait(q[i], &f->v->ring[1]), 0);
	early = kill_and_restart(f, fx_serving_pid(f), &rg);
	assert_int_equal(early, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(q); i++) {
		assert_int_equal(vuf_req_wait(q[i], &f->v->ring[1]), 0);
		assert_int_equal(vuf_req_check(q[i]), 0);
		if (i < pool || pool == 1)
			assert_int_equal(vuf_req_error(q[i]), -ENOTCONN);
		vuf_req_free(q[i]);
	}
	assert_int_equal(f->v->ring[1].nout, 0);
	close(stall);
	init(f);
	works(f);
	fd_close(&rg.fd);
}

/* READ of enough that a batch of them takes a while. */
static struct vuf_req *submit_read(struct fx *f, const struct fz_entry_open *c)
{
	struct fuse_read_in in = {.fh = c->open.fh, .size = BYTES};
	struct vuf_req *q = vuf_req_new(f->v, 128, 16 + BYTES);

	assert_non_null(q);
	vuf_req_begin(q, FUSE_READ, c->entry.nodeid);
	vuf_req_add(q, &in, sizeof(in));
	assert_int_equal(vuf_req_submit(q, &f->v->ring[1]), 0);
	return q;
}

/* Killed anywhere in a batch, again and again, on the same rings. */
static void killed_under_load(void **state)
{
	static uint8_t bytes[BYTES];
	struct fx *f = *state;
	struct region rg = {.fd = -1};
	unsigned int seed = 5, amid = 0;

	up(f, &rg);
	fx_put(f, "file", bytes, sizeof(bytes), 0644);
	for (unsigned int round = 0; round < (fx_sanitized() ? 10u : 25u); round++) {
		unsigned int until = (unsigned int)rand_r(&seed) % 4 * LOAD / 8, done = 0;
		pid_t pid = fx_serving_pid(f);
		struct vuf_req *q[LOAD], *d;
		struct fz_entry_open c;

		init(f);
		assert_int_equal(fz_create(f, FUSE_ROOT_ID, "file", O_CREAT | O_RDWR, 0, &c), 0);
		for (unsigned int i = 0; i < LOAD; i++)
			q[i] = submit_read(f, &c);
		vuf_ring_kick(&f->v->ring[1]);
		while (done < until) {
			int r = vuf_req_reap(&f->v->ring[1], &d);

			if (r == 0)
				r = vuf_ring_wait(&f->v->ring[1], 1, FX_WAIT_MS) ? -1 : 0;
			assert_true(r >= 0);
			done += (unsigned int)r;
		}
		done += kill_and_restart(f, pid, &rg);
		assert_int_equal(f->v->ring[1].nout, LOAD - done);
		amid += done > 0 && done < LOAD;
		for (unsigned int i = 0; i < LOAD; i++) {
			int error;

			assert_int_equal(vuf_req_wait(q[i], &f->v->ring[1]), 0);
			assert_int_equal(vuf_req_check(q[i]), 0);
			error = vuf_req_error(q[i]);
			assert_true(error == 0 || error == -ENOTCONN);
			if (!error)
				assert_int_equal(vuf_req_payload_len(q[i]), BYTES);
			vuf_req_free(q[i]);
		}
		assert_int_equal(f->v->ring[1].nout, 0);
		assert_false(vuf_ring_pending(&f->v->ring[1]));
	}
	/* When the kill comes is the scheduler's to say; that it came amid a batch is worth knowing. */
	print_message("killed amid requests %u times\n", amid);
	init(f);
	works(f);
	fd_close(&rg.fd);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(the_region, &quiet),
		FX_TEST(what_is_stuck_is_given_out_again, &stalled),
		{"what_is_in_a_pool_is_given_out_again", what_is_stuck_is_given_out_again, fx_setup,
		 fx_teardown, (void *)(uintptr_t)&stalled_pool},
		FX_TEST(killed_under_load, &long_rings),
	};

	return fx_main(argc, argv, "inflight", tests, ARRAY_SIZE(tests));
}
