// SPDX-License-Identifier: Apache-2.0
/* Opcodes of locks: against the host, against another guest, waiting, interrupted, and ended by a stop. */
/*
 * Theory of operation
 *
 * This process is the host's: what it locks conflicts with what the daemon locks. Another guest is a
 * second daemon on the same share with a front-end of its own. A SETLKW that waits is a request of
 * its own beside fz.h's; requests of a ring are begun in their order, so when a later one is answered
 * and it is not, it waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "fd.h"
#include "fx.h"
#include "fz.h"
#include "util.h"

#define END     INT64_MAX
#define SOON_MS 8000 /* before anything that waits for requests gives up on them */

static const struct fx_opts both = {.args = {"-o", "flock,posix_lock", NULL}};
static const struct fx_opts pooled = {
	.args = {"-o", "flock,posix_lock", "--thread-pool-size=4", NULL}};
static const struct fx_opts small = {.args = {"-o", "flock,posix_lock", NULL},
				     .vuf = {.ring_size = 64}};
static const struct fx_opts flock_only = {.args = {"-o", "flock", NULL}};
static const struct fx_opts taken_back = {
	.args = {"-o", "flock,posix_lock,no_flock,no_posix_lock", NULL}};

/* A file of the share and a handle. */
struct file {
	uint64_t node;
	uint64_t fh;
};

static struct file open_file(struct fx *f, const char *name)
{
	struct file file = {.node = fz_walk(f, name)};
	struct fuse_open_out o;

	assert_int_equal(fz_open(f, file.node, O_RDWR, &o), 0);
	file.fh = o.fh;
	return file;
}

static struct fuse_lk_in lk(const struct file *file, uint64_t owner, uint32_t type, uint64_t start,
			    uint64_t end)
{
	return (struct fuse_lk_in){
		.fh = file->fh,
		.owner = owner,
		.lk = {.start = start, .end = end, .type = type, .pid = 4321},
	};
}

static struct fuse_lk_in flk(const struct file *file, uint32_t type)
{
	struct fuse_lk_in in = lk(file, 0xf11e0000 + file->fh, type, 0, END);

	in.lk_flags = FUSE_LK_FLOCK;
	return in;
}

static int setlk(struct fx *f, const struct file *file, struct fuse_lk_in in)
{
	struct iovec v = IOV(in);

	return fz_call(f, FUSE_SETLK, file->node, &v, 1, NULL, 0, NULL);
}

static int getlk(struct fx *f, const struct file *file, struct fuse_lk_in in,
		 struct fuse_lk_out *ret)
{
	struct iovec v = IOV(in);

	return fz_call(f, FUSE_GETLK, file->node, &v, 1, ret, sizeof(*ret), NULL);
}

/* A SETLKW that is sent and not waited for. */
static struct vuf_req *send_setlkw(struct fx *f, const struct file *file, struct fuse_lk_in in)
{
	struct vuf_req *w = vuf_req_new(f->v, 256, 256);

	assert_non_null(w);
	vuf_req_begin(w, FUSE_SETLKW, file->node);
	assert_int_equal(vuf_req_add(w, &in, sizeof(in)), 0);
	w->out_len = sizeof(struct fuse_out_header);
	assert_int_equal(vuf_req_submit(w, &f->v->ring[1]), 0);
	vuf_ring_kick(&f->v->ring[1]);
	return w;
}

static int answer(struct fx *f, struct vuf_req *w)
{
	int r = 0;

	if (!w->done)
		r = vuf_req_wait(w, &f->v->ring[1]);
	if (r == 0)
		r = vuf_req_check(w);
	assert_int_equal(r, 0);
	r = vuf_req_error(w);
	vuf_req_free(w);
	return r;
}

/* A request that comes after. */
static void pass(struct fx *f)
{
	struct fuse_attr_out a;

	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
}

/* Returns what INTERRUPT answers; 0 = nothing, as it should. */
static int interrupt(struct fx *f, uint64_t unique, unsigned int ring)
{
	struct fuse_interrupt_in in = {.unique = unique};

	vuf_req_begin(f->q, FUSE_INTERRUPT, 0);
	assert_int_equal(vuf_req_add(f->q, &in, sizeof(in)), 0);
	f->q->out_len = sizeof(struct fuse_out_header);
	assert_int_equal(vuf_req_call(f->q, &f->v->ring[ring]), 0);
	return f->q->used ? vuf_req_error(f->q) : 0;
}

static int flush(struct fx *f, const struct file *file, uint64_t owner)
{
	struct fuse_flush_in in = {.fh = file->fh, .lock_owner = owner};
	struct iovec v = IOV(in);

	return fz_call(f, FUSE_FLUSH, file->node, &v, 1, NULL, 0, NULL);
}

static int host_lk(int fd, short type, off_t start, off_t len)
{
	struct flock fl = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

	return fcntl(fd, F_OFD_SETLK, &fl) < 0 ? -errno : 0;
}

static int host_open(struct fx *f, const char *name)
{
	int fd = open(fx_path(f, name), O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void not_asked_for(void **state)
{
	struct fx *f = *state;
	struct fuse_lk_out out;
	struct file a;

	assert_int_equal(f->init.flags & (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS), 0);
	fx_put(f, "f", "x", 1, 0644);
	a = open_file(f, "f");
	assert_int_equal(setlk(f, &a, lk(&a, 1, F_RDLCK, 0, 0)), -ENOSYS);
	assert_int_equal(setlk(f, &a, flk(&a, F_RDLCK)), -ENOSYS);
	assert_int_equal(getlk(f, &a, lk(&a, 1, F_RDLCK, 0, 0), &out), -ENOSYS);
	assert_int_equal(answer(f, send_setlkw(f, &a, lk(&a, 1, F_RDLCK, 0, 0))), -ENOSYS);
}

static void only_flock(void **state)
{
	struct fx *f = *state;
	scoped_fd int host = -1;
	struct file a;

	assert_int_equal(f->init.flags & (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS), FUSE_FLOCK_LOCKS);
	fx_put(f, "f", "x", 1, 0644);
	host = host_open(f, "f");
	a = open_file(f, "f");
	assert_int_equal(setlk(f, &a, lk(&a, 1, F_RDLCK, 0, 0)), -ENOSYS);
	assert_int_equal(setlk(f, &a, flk(&a, F_WRLCK)), 0);
	assert_int_equal(flock(host, LOCK_SH | LOCK_NB), -1);
}

static void excludes_the_host(void **state)
{
	struct fx *f = *state;
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 50, .l_len = 10};
	scoped_fd int host = -1;
	struct fuse_lk_out out;
	struct file a;

	assert_int_equal(f->init.flags & (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS),
			 FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS);
	fx_put(f, "f", "x", 1, 0644);
	host = host_open(f, "f");
	a = open_file(f, "f");
	assert_int_equal(setlk(f, &a, lk(&a, 1, F_WRLCK, 10, 19)), 0);
	assert_int_equal(host_lk(host, F_RDLCK, 0, 0), -EAGAIN);
	assert_int_equal(host_lk(host, F_WRLCK, 20, 10), 0);
	assert_int_equal(setlk(f, &a, lk(&a, 1, F_RDLCK, 10, 20)), -EAGAIN);
	/* Of the host's processes the guest learns no more than that they are there. */
	assert_int_equal(getlk(f, &a, lk(&a, 1, F_RDLCK, 0, END), &out), 0);
	assert_int_equal(out.lk.type, F_WRLCK);
	assert_int_equal(out.lk.start, 20);
	assert_int_equal(out.lk.end, 29);
	assert_int_equal(out.lk.pid, 0);
	assert_int_equal(fcntl(host, F_SETLK, &fl), 0);
	assert_int_equal(getlk(f, &a, lk(&a, 1, F_RDLCK, 40, END), &out), 0);
	assert_int_equal(out.lk.start, 50);
	assert_int_equal(out.lk.pid, 0);
	/* Another process of this guest. */
	assert_int_equal(getlk(f, &a, lk(&a, 2, F_RDLCK, 0, 15), &out), 0);
	assert_int_equal(out.lk.start, 10);
	assert_int_equal(out.lk.pid, 4321);
	assert_int_equal(flush(f, &a, 1), 0);
	assert_int_equal(host_lk(host, F_WRLCK, 0, 20), 0);
	/* flock apart from those. */
	assert_int_equal(setlk(f, &a, flk(&a, F_RDLCK)), 0);
	assert_int_equal(flock(host, LOCK_EX | LOCK_NB), -1);
	assert_int_equal(fz_release(f, a.node, a.fh), 0);
	assert_int_equal(flock(host, LOCK_EX | LOCK_NB), 0);
}

/* A second guest: its own daemon and front-end on the first one's share. */
static struct fx *other_guest(struct fx *f)
{
	struct fx *g = calloc(1, sizeof(*g));

	assert_non_null(g);
	g->opts = f->opts;
	g->err_fd = -1;
	g->ring = 1;
	memcpy(g->share, f->share, sizeof(g->share));
	snprintf(g->sock, sizeof(g->sock), "%s/other", f->dir);
	fx_start(g);
	fx_connect(g);
	fx_up(g, true);
	return g;
}

static void other_guest_ends(struct fx *g)
{
	vuf_hangup(g->v);
	assert_int_equal(fx_wait_exit(g, SOON_MS), 0);
	vuf_req_free(g->q);
	vuf_free(g->v);
	fd_close(&g->err_fd);
	free(g);
}

static void excludes_another_guest(void **state)
{
	struct fx *f = *state, *g = other_guest(f);
	struct vuf_req *w;
	struct fuse_lk_out out;
	struct file a, b;

	fx_put(f, "f", "x", 1, 0644);
	a = open_file(f, "f");
	b = open_file(g, "f");
	/* The same owner's number means another one there. */
	assert_int_equal(setlk(f, &a, lk(&a, 1, F_WRLCK, 0, 9)), 0);
	assert_int_equal(setlk(g, &b, lk(&b, 1, F_WRLCK, 0, 9)), -EAGAIN);
	assert_int_equal(setlk(g, &b, lk(&b, 1, F_WRLCK, 10, 19)), 0);
	assert_int_equal(getlk(f, &a, lk(&a, 1, F_RDLCK, 0, END), &out), 0);
	assert_int_equal(out.lk.start, 10);
	assert_int_equal(out.lk.pid, 0);
	w = send_setlkw(g, &b, lk(&b, 1, F_WRLCK, 0, 9));
	pass(g);
	assert_false(w->done);
	assert_int_equal(setlk(f, &a, lk(&a, 1, F_UNLCK, 0, END)), 0);
	assert_int_equal(answer(g, w), 0);
	assert_int_equal(setlk(f, &a, lk(&a, 1, F_RDLCK, 5, 5)), -EAGAIN);
	/* flock, and a guest that is gone while it holds both kinds. */
	assert_int_equal(setlk(g, &b, flk(&b, F_WRLCK)), 0);
	assert_int_equal(setlk(f, &a, flk(&a, F_RDLCK)), -EAGAIN);
	w = send_setlkw(f, &a, flk(&a, F_RDLCK));
	pass(f);
	assert_false(w->done);
	other_guest_ends(g);
	assert_int_equal(answer(f, w), 0);
	assert_int_equal(setlk(f, &a, lk(&a, 1, F_WRLCK, 0, END)), 0);
}

static void waits(void **state)
{
	struct fx *f = *state;
	scoped_fd int host = -1;
	struct vuf_req *w, *x;
	struct file a;

	fx_put(f, "f", "x", 1, 0644);
	host = host_open(f, "f");
	a = open_file(f, "f");
	assert_int_equal(host_lk(host, F_WRLCK, 0, 0), 0);
	w = send_setlkw(f, &a, lk(&a, 1, F_WRLCK, 5, 6));
	x = send_setlkw(f, &a, lk(&a, 2, F_RDLCK, 7, 7));
	pass(f);
	/* Everything else goes on. */
	assert_int_equal(fz_write(f, a.node, a.fh, 0, "hello", 5), 5);
	fz_forget(f, FUSE_ROOT_ID, 1);
	assert_false(w->done || x->done);
	assert_int_equal(host_lk(host, F_UNLCK, 7, 1), 0);
	assert_int_equal(answer(f, x), 0);
	assert_false(w->done);
	assert_int_equal(host_lk(host, F_UNLCK, 0, 0), 0);
	assert_int_equal(answer(f, w), 0);
	assert_int_equal(host_lk(host, F_RDLCK, 5, 1), -EAGAIN);
	/* What is no lock at all. */
	assert_int_equal(answer(f, send_setlkw(f, &a, lk(&a, 1, 9, 5, 6))), -EINVAL);
	assert_int_equal(answer(f, send_setlkw(f, &a, lk(&a, 1, F_UNLCK, 0, END))), 0);
	assert_int_equal(host_lk(host, F_WRLCK, 0, 7), 0);
}

static void is_interrupted(void **state)
{
	struct fx *f = *state;
	scoped_fd int host = -1;
	struct vuf_req *w, *x;
	struct file a;

	fx_put(f, "f", "x", 1, 0644);
	host = host_open(f, "f");
	a = open_file(f, "f");
	assert_int_equal(host_lk(host, F_WRLCK, 0, 0), 0);
	assert_int_equal(flock(host, LOCK_EX), 0);
	for (unsigned int i = 0; i < 100; i++) {
		int r;

		w = send_setlkw(f, &a, i & 1 ? flk(&a, F_RDLCK) : lk(&a, i, F_WRLCK, 0, 0));
		/* From another ring it may come first, and is sent again, as Linux does. */
		do
			r = interrupt(f, w->unique, i & 2 ? 0 : 1);
		while (r == -EAGAIN && i & 2);
		assert_int_equal(r, 0);
		assert_int_equal(answer(f, w), -EINTR);
	}
	/* One of two; and who is not waiting any more is not found. */
	w = send_setlkw(f, &a, lk(&a, 1, F_WRLCK, 0, 0));
	x = send_setlkw(f, &a, lk(&a, 2, F_WRLCK, 0, 0));
	assert_int_equal(interrupt(f, x->unique, 1), 0);
	assert_int_equal(answer(f, x), -EINTR);
	assert_false(w->done);
	assert_int_equal(host_lk(host, F_UNLCK, 0, 0), 0);
	assert_int_equal(answer(f, w), 0);
	assert_int_equal(interrupt(f, f->v->unique + 1000, 1), -EAGAIN);
	assert_int_equal(flush(f, &a, 1), 0);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(flush(f, &a, i), 0);
}

/* The guest pauses: rings stop, what waits is answered, what is held stays. */
static void rings_stop(void **state)
{
	struct fx *f = *state;
	scoped_fd int host = -1;
	uint32_t base;
	struct vuf_req *w, *x;
	struct file a;

	fx_put(f, "f", "x", 1, 0644);
	host = host_open(f, "f");
	a = open_file(f, "f");
	assert_int_equal(setlk(f, &a, lk(&a, 1, F_WRLCK, 0, 9)), 0);
	assert_int_equal(host_lk(host, F_WRLCK, 10, 0), 0);
	assert_int_equal(flock(host, LOCK_EX), 0);
	w = send_setlkw(f, &a, lk(&a, 1, F_WRLCK, 10, 10));
	x = send_setlkw(f, &a, flk(&a, F_RDLCK));
	pass(f);
	assert_int_equal(vuf_ring_stop(f->v, 1, &base), 0);
	assert_int_equal(answer(f, w), -EAGAIN);
	assert_int_equal(answer(f, x), -EAGAIN);
	assert_int_equal(vuf_ring_start(f->v, 1, base), 0);
	pass(f);
	assert_int_equal(host_lk(host, F_RDLCK, 9, 1), -EAGAIN);
	assert_int_equal(setlk(f, &a, lk(&a, 1, F_UNLCK, 0, END)), 0);
	assert_int_equal(host_lk(host, F_RDLCK, 9, 1), 0);
}

/* The guest is gone, or another one there, while it holds locks and waits for some. */
static void guest_resets(void **state)
{
	struct fx *f = *state;
	scoped_fd int host = -1;
	struct vuf_req *w;
	struct file a;

	fx_put(f, "f", "x", 1, 0644);
	host = host_open(f, "f");
	a = open_file(f, "f");
	assert_int_equal(setlk(f, &a, lk(&a, 1, F_WRLCK, 0, 9)), 0);
	assert_int_equal(host_lk(host, F_WRLCK, 10, 0), 0);
	w = send_setlkw(f, &a, lk(&a, 1, F_WRLCK, 10, 10));
	pass(f);
	/* A second INIT, as after a reboot: nothing is left of the first guest's locks. */
	assert_int_equal(vuf_fuse_init(f->v, FX_MINOR, FX_LINUX_FLAGS, &f->init), 0);
	assert_int_equal(host_lk(host, F_WRLCK, 0, 10), 0);
	assert_int_equal(answer(f, w), -EINTR);
	a = open_file(f, "f");
	assert_int_equal(setlk(f, &a, lk(&a, 1, F_WRLCK, 10, 10)), -EAGAIN);
	w = send_setlkw(f, &a, lk(&a, 1, F_WRLCK, 10, 10));
	pass(f);
	assert_int_equal(vuf_send_ack(f->v, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	vuf_req_free(w);
	/* And the front-end goes with one waiting. */
	vuf_hangup(f->v);
	assert_int_equal(fx_wait_exit(f, SOON_MS), 0);
}

static void front_end_goes(void **state)
{
	struct fx *f = *state;
	scoped_fd int host = -1;
	struct vuf_req *w[5];
	struct file a;

	fx_put(f, "f", "x", 1, 0644);
	host = host_open(f, "f");
	a = open_file(f, "f");
	assert_int_equal(host_lk(host, F_WRLCK, 0, 0), 0);
	assert_int_equal(flock(host, LOCK_EX), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(w); i++)
		w[i] = send_setlkw(f, &a, i & 1 ? flk(&a, F_WRLCK) : lk(&a, i, F_WRLCK, 0, 0));
	pass(f);
	vuf_hangup(f->v);
	assert_int_equal(fx_wait_exit(f, SOON_MS), 0);
	assert_int_equal(fx_log_count(f, "do not end"), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(w); i++)
		vuf_req_free(w[i]);
}

/* So many may wait that half of the ring is taken: the unlocking has to get through. */
static void waits_leave_room(void **state)
{
	struct fx *f = *state;
	struct vuf_req *w[64];
	unsigned int n;
	struct file a;

	fx_put(f, "f", "x", 1, 0644);
	a = open_file(f, "f");
	assert_int_equal(setlk(f, &a, lk(&a, 1, F_WRLCK, 0, END)), 0);
	for (n = 0; n < ARRAY_SIZE(w) - 1; n++) {
		w[n] = send_setlkw(f, &a, lk(&a, 2 + n, F_WRLCK, n, n));
		pass(f);
		if (w[n]->done)
			break;
	}
	assert_in_range(n, 2, 32);
	assert_int_equal(answer(f, w[n]), -ENOLCK);
	assert_int_equal(setlk(f, &a, lk(&a, 1, F_UNLCK, 0, END)), 0);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(answer(f, w[i]), 0);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(flush(f, &a, 2 + i), 0);
	/* And there is room again. */
	assert_int_equal(setlk(f, &a, lk(&a, 1, F_WRLCK, 0, END)), 0);
	w[0] = send_setlkw(f, &a, lk(&a, 2, F_WRLCK, 0, 0));
	pass(f);
	assert_false(w[0]->done);
	assert_int_equal(flush(f, &a, 1), 0);
	assert_int_equal(answer(f, w[0]), 0);
}

static void hostile(void **state)
{
	static const uint64_t odd[] = {0, 1, 4096, END - 1, END, 1ull << 63, UINT64_MAX};
	struct fx *f = *state;
	struct fuse_lk_out out;
	struct fuse_lk_in in;
	unsigned int fds;
	struct file a;

	fx_put(f, "f", "x", 1, 0644);
	a = open_file(f, "f");
	fds = fx_count_fds(f);
	for (unsigned int i = 0; i < ARRAY_SIZE(odd); i++) {
		for (unsigned int j = 0; j < ARRAY_SIZE(odd); j++) {
			bool good = odd[i] <= odd[j] && odd[j] <= END;

			in = lk(&a, odd[i] ^ odd[j], F_WRLCK, odd[i], odd[j]);
			assert_int_equal(setlk(f, &a, in), good ? 0 : -EINVAL);
			assert_int_equal(getlk(f, &a, in, &out), good ? 0 : -EINVAL);
			assert_int_equal(flush(f, &a, odd[i] ^ odd[j]), 0);
		}
		in = lk(&a, 1, F_WRLCK, 0, 1);
		in.fh = odd[i] == a.fh ? 77 : odd[i];
		assert_int_equal(setlk(f, &a, in), -EBADF);
		assert_int_equal(getlk(f, &a, in, &out), -EBADF);
		in.lk_flags = FUSE_LK_FLOCK;
		assert_int_equal(setlk(f, &a, in), -EBADF);
		in = lk(&a, 1, F_WRLCK, 0, 1);
		in.lk_flags = 2u << i;
		assert_int_equal(setlk(f, &a, in), -EINVAL);
		in = lk(&a, 1, 3 + (uint32_t)odd[i], 0, 1);
		if (in.lk.type > F_UNLCK)
			assert_int_equal(setlk(f, &a, in), -EINVAL);
	}
	assert_int_equal(getlk(f, &a, lk(&a, 1, F_UNLCK, 0, 1), &out), -EINVAL);
	assert_int_equal(getlk(f, &a, flk(&a, F_WRLCK), &out), -EINVAL);
	assert_int_equal(fx_count_fds(f), fds);
	/* Owners by the thousand: each has a descriptor, until all of them end with the file. */
	for (uint64_t i = 0; i < 2000; i++)
		assert_int_equal(setlk(f, &a, lk(&a, i * i, F_RDLCK, i, i + 2)), 0);
	assert_int_equal(fx_count_fds(f), fds + 2000);
	assert_int_equal(fz_release(f, a.node, a.fh), 0);
	pass(f);
	assert_int_equal(fx_count_fds(f), fds - 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(not_asked_for, NULL),
		FX_TEST(not_asked_for, &taken_back),
		FX_TEST(only_flock, &flock_only),
		FX_TEST(excludes_the_host, &both),
		FX_TEST(excludes_another_guest, &both),
		FX_TEST(waits, &both),
		FX_TEST(waits, &pooled),
		FX_TEST(is_interrupted, &both),
		FX_TEST(is_interrupted, &pooled),
		FX_TEST(rings_stop, &both),
		FX_TEST(rings_stop, &pooled),
		FX_TEST(guest_resets, &both),
		FX_TEST(front_end_goes, &both),
		FX_TEST(front_end_goes, &pooled),
		FX_TEST(waits_leave_room, &small),
		FX_TEST(hostile, &both),
	};

	return fx_main(argc, argv, "lock", tests, ARRAY_SIZE(tests));
}
