// SPDX-License-Identifier: Apache-2.0
/* Locks of the passthrough: conflicts with the host, owners, waits and all that ends them. */
/*
 * Theory of operation
 *
 * The host's part is played by open file description locks and flock(2) on descriptors of this
 * process, which conflict with the backend's as those of any other process would. That a request
 * waits cannot be seen at once; that it has an answer can, so a wait is looked at twice: it has none
 * when what follows is set up, and the expected one in the end.
 */
#include <semaphore.h>
#include <sys/file.h>
#include <time.h>

#include "lock_owner.h"
#include "pt_fixture.h"
#include "util.h"

#define END    INT64_MAX
#define WAIT_S 20
#define STORM  (PT_LOCK_WAITS_MAX + 20)

/* A request that can be answered later. */
struct ask {
	struct request req;
	struct iovec vec;
	struct fuse_out_header out;
	sem_t done;
};

static void ask_done(struct request *req, size_t used)
{
	struct ask *a = container_of(req, struct ask, req);

	(void)used;
	sem_post(&a->done);
}

static void ask_begin(struct ptf *f, struct ask *a)
{
	memset(a, 0, sizeof(*a));
	ptf_req(f, &a->req);
	req_begin(&a->req);
	a->req.done = ask_done;
	a->vec = (struct iovec){&a->out, sizeof(a->out)};
	iov_init(&a->req.out, &a->vec, 1);
	sem_init(&a->done, 0, 0);
}

/* How it was answered; 1: not in time. */
static int ask_wait(struct ask *a)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	while (sem_timedwait(&a->done, &until) < 0)
		if (errno == ETIMEDOUT)
			return 1;
	sem_destroy(&a->done);
	return a->out.error;
}

static bool asked(struct ask *a)
{
	int n;

	sem_getvalue(&a->done, &n);
	return n > 0;
}

static struct fuse_lk_in lk(uint64_t fh, uint64_t owner, uint32_t type, uint64_t start,
			    uint64_t end)
{
	return (struct fuse_lk_in){
		.fh = fh,
		.owner = owner,
		.lk = {.start = start, .end = end, .type = type, .pid = (uint32_t)owner + 100},
	};
}

static int setlk(struct ptf *f, uint64_t node, struct fuse_lk_in in)
{
	return pt_ops.setlk(&f->req, node, &in, false);
}

static int setlkw(struct ptf *f, struct ask *a, uint64_t node, struct fuse_lk_in in)
{
	ask_begin(f, a);
	return pt_ops.setlk(&a->req, node, &in, true);
}

static int flk(struct ptf *f, uint64_t node, uint64_t fh, uint32_t type)
{
	struct fuse_lk_in in = lk(fh, fh, type, 0, END);

	in.lk_flags = FUSE_LK_FLOCK;
	return pt_ops.setlk(&f->req, node, &in, false);
}

static int flkw(struct ptf *f, struct ask *a, uint64_t node, uint64_t fh, uint32_t type)
{
	struct fuse_lk_in in = lk(fh, fh, type, 0, END);

	in.lk_flags = FUSE_LK_FLOCK;
	return setlkw(f, a, node, in);
}

static struct fuse_file_lock getlk(struct ptf *f, uint64_t node, struct fuse_lk_in in)
{
	struct fuse_file_lock out = {.type = 77};

	assert_int_equal(pt_ops.getlk(&f->req, node, &in, &out), 0);
	return out;
}

static int flush(struct ptf *f, uint64_t node, uint64_t fh, uint64_t owner)
{
	struct fuse_flush_in in = {.fh = fh, .lock_owner = owner};

	return pt_ops.flush(&f->req, node, &in);
}

/* The host's own lock; 0 or a negative errno. */
static int host_lk(int fd, short type, off_t start, off_t len)
{
	struct flock fl = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

	return fcntl(fd, F_OFD_SETLK, &fl) < 0 ? -errno : 0;
}

static int host_open(struct ptf *f, const char *name)
{
	int fd = openat(f->root, name, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

struct two {
	struct ptf f;
	uint64_t node;
	uint64_t a, b; /* handles */
	int host;
};

static void start(struct two *t)
{
	ptf_start(&t->f, (struct pt_conf){.posix_lock = true, .flock = true});
	ptf_host_file(&t->f, "f", "x");
	t->node = ptf_node(&t->f, FUSE_ROOT_ID, "f");
	assert_int_equal(ptf_open(&t->f, t->node, O_RDWR, &t->a), 0);
	assert_int_equal(ptf_open(&t->f, t->node, O_RDWR, &t->b), 0);
	t->host = host_open(&t->f, "f");
}

static void stop(struct two *t)
{
	close(t->host);
	ptf_stop(&t->f);
}

static void test_ranges(void **state)
{
	struct fuse_file_lock got;
	struct two t;

	(void)state;
	start(&t);
	/* Nothing there: unlocking makes no record. */
	assert_int_equal(setlk(&t.f, t.node, lk(t.a, 1, F_UNLCK, 0, END)), 0);
	assert_int_equal(t.f.pt->locks.count, 0);
	assert_int_equal(setlk(&t.f, t.node, lk(t.a, 1, F_WRLCK, 10, 19)), 0);
	assert_int_equal(host_lk(t.host, F_RDLCK, 10, 1), -EAGAIN);
	assert_int_equal(host_lk(t.host, F_RDLCK, 20, 5), 0);
	assert_int_equal(setlk(&t.f, t.node, lk(t.a, 1, F_WRLCK, 15, 20)), -EAGAIN);
	assert_int_equal(setlk(&t.f, t.node, lk(t.a, 1, F_RDLCK, 15, 20)), 0);
	/* Downgraded from 15 on. */
	assert_int_equal(host_lk(t.host, F_RDLCK, 15, 5), 0);
	assert_int_equal(host_lk(t.host, F_RDLCK, 14, 1), -EAGAIN);
	assert_int_equal(host_lk(t.host, F_UNLCK, 0, 0), 0);
	/* Upgraded, then split. */
	assert_int_equal(setlk(&t.f, t.node, lk(t.a, 1, F_WRLCK, 0, END)), 0);
	assert_int_equal(host_lk(t.host, F_RDLCK, END, 0), -EAGAIN);
	assert_int_equal(setlk(&t.f, t.node, lk(t.a, 1, F_UNLCK, 100, 199)), 0);
	assert_int_equal(host_lk(t.host, F_WRLCK, 100, 100), 0);
	assert_int_equal(host_lk(t.host, F_WRLCK, 99, 1), -EAGAIN);
	assert_int_equal(host_lk(t.host, F_WRLCK, 200, 1), -EAGAIN);
	assert_int_equal(host_lk(t.host, F_UNLCK, 0, 0), 0);

	/* Who asks does not see itself; others see the pid of the guest's process. */
	got = getlk(&t.f, t.node, lk(t.a, 1, F_WRLCK, 0, END));
	assert_int_equal(got.type, F_UNLCK);
	got = getlk(&t.f, t.node, lk(t.b, 2, F_RDLCK, 150, END));
	assert_int_equal(got.type, F_WRLCK);
	assert_int_equal(got.start, 200);
	assert_int_equal(got.end, END);
	assert_int_equal(got.pid, 101);
	got = getlk(&t.f, t.node, lk(t.b, 2, F_WRLCK, 100, 199));
	assert_int_equal(got.type, F_UNLCK);
	/* The host's are nobody's. */
	assert_int_equal(host_lk(t.host, F_RDLCK, 150, 10), 0);
	got = getlk(&t.f, t.node, lk(t.b, 2, F_WRLCK, 100, 199));
	assert_int_equal(got.type, F_RDLCK);
	assert_int_equal(got.start, 150);
	assert_int_equal(got.end, 159);
	assert_int_equal(got.pid, 0);
	got = getlk(&t.f, t.node, lk(t.b, 2, F_RDLCK, 100, 199));
	assert_int_equal(got.type, F_UNLCK);
	stop(&t);
}

static void test_owners(void **state)
{
	struct two t;

	(void)state;
	start(&t);
	/* An owner is one, whatever handle it uses. */
	assert_int_equal(setlk(&t.f, t.node, lk(t.a, 1, F_WRLCK, 0, 9)), 0);
	assert_int_equal(setlk(&t.f, t.node, lk(t.b, 1, F_WRLCK, 5, 14)), 0);
	assert_int_equal(t.f.pt->locks.count, 1);
	assert_int_equal(setlk(&t.f, t.node, lk(t.a, 2, F_RDLCK, 14, 14)), -EAGAIN);
	assert_int_equal(setlk(&t.f, t.node, lk(t.a, 2, F_WRLCK, 15, 15)), 0);
	assert_int_equal(t.f.pt->locks.count, 2);
	/* Releasing one of its handles says nothing about it; FLUSH does, and of it alone. */
	assert_int_equal(ptf_release(&t.f, t.node, t.b), 0);
	assert_int_equal(host_lk(t.host, F_WRLCK, 14, 1), -EAGAIN);
	assert_int_equal(flush(&t.f, t.node, t.a, 3), 0);
	assert_int_equal(flush(&t.f, t.node, t.a, 1), 0);
	assert_int_equal(host_lk(t.host, F_WRLCK, 0, 15), 0);
	assert_int_equal(host_lk(t.host, F_WRLCK, 15, 1), -EAGAIN);
	assert_int_equal(t.f.pt->locks.count, 1);
	/* The last handle that an owner used takes its locks along. */
	assert_int_equal(ptf_release(&t.f, t.node, t.a), 0);
	assert_int_equal(host_lk(t.host, F_WRLCK, 15, 1), 0);
	assert_int_equal(t.f.pt->locks.count, 0);
	stop(&t);
}

static void test_refused(void **state)
{
	struct fuse_lk_in in;
	struct fuse_file_lock out;
	uint64_t ro, wo, dir;
	struct pt_stats st;
	struct two t;
	struct fuse_open_in oin = {0};
	struct fuse_open_out oout;

	(void)state;
	start(&t);
	ptf_host_file(&t.f, "other", "x");
	assert_int_equal(ptf_open(&t.f, t.node, O_RDONLY, &ro), 0);
	assert_int_equal(ptf_open(&t.f, t.node, O_WRONLY, &wo), 0);
	assert_int_equal(pt_ops.opendir(&t.f.req, FUSE_ROOT_ID, &oin, &oout), 0);
	dir = oout.fh;
	pt_stats(t.f.pt, &st);
	assert_int_equal(setlk(&t.f, t.node, lk(ro, 1, F_WRLCK, 0, 1)), -EBADF);
	assert_int_equal(setlk(&t.f, t.node, lk(wo, 1, F_RDLCK, 0, 1)), -EBADF);
	assert_int_equal(setlk(&t.f, t.node, lk(12345, 1, F_RDLCK, 0, 1)), -EBADF);
	assert_int_equal(setlk(&t.f, FUSE_ROOT_ID, lk(dir, 1, F_RDLCK, 0, 1)), -EBADF);
	assert_int_equal(setlk(&t.f, FUSE_ROOT_ID, lk(t.a, 1, F_RDLCK, 0, 1)), -EBADF);
	assert_int_equal(flk(&t.f, t.node, 12345, F_RDLCK), -EBADF);
	in = lk(12345, 1, F_RDLCK, 0, 1);
	assert_int_equal(pt_ops.getlk(&t.f.req, t.node, &in, &out), -EBADF);
	assert_int_equal(t.f.pt->locks.count, 0);
	/* A reader may lock for reading, and for writing through another handle. */
	assert_int_equal(setlk(&t.f, t.node, lk(ro, 1, F_RDLCK, 0, 1)), 0);
	assert_int_equal(setlk(&t.f, t.node, lk(wo, 1, F_WRLCK, 0, 1)), 0);
	assert_int_equal(ptf_stats(&t.f).fds, st.fds + 1);
	assert_int_equal(flush(&t.f, t.node, ro, 1), 0);
	assert_int_equal(ptf_stats(&t.f).fds, st.fds);
	stop(&t);

	/* Told not to, or of a share that may not be changed. */
	ptf_start(&t.f, (struct pt_conf){0});
	assert_int_equal(setlk(&t.f, 1, lk(1, 1, F_RDLCK, 0, 1)), -ENOSYS);
	in = lk(1, 1, F_RDLCK, 0, 1);
	assert_int_equal(pt_ops.getlk(&t.f.req, 1, &in, &out), -ENOSYS);
	ptf_stop(&t.f);
	ptf_start(&t.f, (struct pt_conf){.posix_lock = true, .readonly = true});
	ptf_host_file(&t.f, "f", "x");
	t.node = ptf_node(&t.f, FUSE_ROOT_ID, "f");
	assert_int_equal(ptf_open(&t.f, t.node, O_RDONLY, &ro), 0);
	assert_int_equal(setlk(&t.f, t.node, lk(ro, 1, F_RDLCK, 0, 1)), 0);
	assert_int_equal(setlk(&t.f, t.node, lk(ro, 1, F_WRLCK, 0, 1)), -EBADF);
	ptf_stop(&t.f);
}

static void test_flock(void **state)
{
	struct fuse_release_in rel = {.release_flags = FUSE_RELEASE_FLOCK_UNLOCK};
	struct two t;

	(void)state;
	start(&t);
	assert_int_equal(flk(&t.f, t.node, t.a, F_RDLCK), 0);
	assert_int_equal(flk(&t.f, t.node, t.b, F_RDLCK), 0);
	assert_int_equal(flock(t.host, LOCK_EX | LOCK_NB), -1);
	assert_int_equal(flock(t.host, LOCK_SH | LOCK_NB), 0);
	assert_int_equal(flk(&t.f, t.node, t.a, F_WRLCK), -EAGAIN);
	assert_int_equal(flock(t.host, LOCK_UN), 0);
	assert_int_equal(flk(&t.f, t.node, t.b, F_UNLCK), 0);
	assert_int_equal(flk(&t.f, t.node, t.a, F_WRLCK), 0);
	assert_int_equal(flock(t.host, LOCK_SH | LOCK_NB), -1);
	/* FLUSH is not its end: the file may be open elsewhere. RELEASE is. */
	assert_int_equal(flush(&t.f, t.node, t.a, t.a), 0);
	assert_int_equal(flock(t.host, LOCK_SH | LOCK_NB), -1);
	/* The two kinds know nothing of each other. */
	assert_int_equal(setlk(&t.f, t.node, lk(t.b, 1, F_WRLCK, 0, END)), 0);
	rel.fh = t.a;
	assert_int_equal(pt_ops.release(&t.f.req, t.node, &rel), 0);
	assert_int_equal(flock(t.host, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(pt_ops.release(&t.f.req, t.node, &rel), -EBADF);
	stop(&t);
}

static void test_wait(void **state)
{
	struct ask a, b, c;
	struct two t;

	(void)state;
	start(&t);
	assert_int_equal(host_lk(t.host, F_WRLCK, 0, 10), 0);
	/* What is free needs no wait. */
	assert_int_equal(setlkw(&t.f, &a, t.node, lk(t.a, 1, F_WRLCK, 10, 10)), 0);
	assert_int_equal(setlkw(&t.f, &a, t.node, lk(t.a, 1, F_WRLCK, 0, 4)), REQ_PENDING);
	assert_int_equal(setlkw(&t.f, &b, t.node, lk(t.b, 2, F_WRLCK, 4, 9)), REQ_PENDING);
	assert_int_equal(setlkw(&t.f, &c, t.node, lk(t.b, 3, F_UNLCK, 0, END)), 0);
	assert_false(asked(&a) || asked(&b));
	assert_int_equal(host_lk(t.host, F_UNLCK, 0, 4), 0);
	assert_false(asked(&a) || asked(&b));
	assert_int_equal(host_lk(t.host, F_UNLCK, 5, 0), 0);
	assert_false(asked(&a) || asked(&b));
	assert_int_equal(host_lk(t.host, F_UNLCK, 0, 0), 0);
	/* One of them, then the other: they meet at byte 4. */
	while (!asked(&a) && !asked(&b))
		usleep(1000);
	if (asked(&a)) {
		assert_int_equal(ask_wait(&a), 0);
		assert_int_equal(getlk(&t.f, t.node, lk(t.b, 2, F_WRLCK, 0, 4)).pid, 101);
		assert_int_equal(flush(&t.f, t.node, t.a, 1), 0);
		assert_int_equal(ask_wait(&b), 0);
	} else {
		assert_int_equal(ask_wait(&b), 0);
		assert_int_equal(flush(&t.f, t.node, t.b, 2), 0);
		assert_int_equal(ask_wait(&a), 0);
	}
	assert_int_equal(flush(&t.f, t.node, t.a, 1), 0);
	assert_int_equal(flush(&t.f, t.node, t.a, 2), 0);

	/* FLUSH takes the owner's locks, but not those that it is still waiting for. */
	assert_int_equal(host_lk(t.host, F_WRLCK, 0, 1), 0);
	assert_int_equal(setlk(&t.f, t.node, lk(t.a, 1, F_WRLCK, 5, 5)), 0);
	assert_int_equal(setlkw(&t.f, &a, t.node, lk(t.a, 1, F_WRLCK, 0, 0)), REQ_PENDING);
	assert_int_equal(flush(&t.f, t.node, t.b, 1), 0);
	assert_int_equal(host_lk(t.host, F_WRLCK, 5, 1), 0);
	assert_int_equal(host_lk(t.host, F_UNLCK, 0, 1), 0);
	assert_int_equal(ask_wait(&a), 0);
	assert_int_equal(host_lk(t.host, F_RDLCK, 0, 1), -EAGAIN);

	/* flock */
	assert_int_equal(flock(t.host, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(flkw(&t.f, &a, t.node, t.a, F_RDLCK), REQ_PENDING);
	assert_int_equal(flkw(&t.f, &b, t.node, t.b, F_RDLCK), REQ_PENDING);
	assert_int_equal(flkw(&t.f, &c, t.node, t.b, F_UNLCK), 0);
	assert_false(asked(&a) || asked(&b));
	assert_int_equal(flock(t.host, LOCK_UN), 0);
	assert_int_equal(ask_wait(&a), 0);
	assert_int_equal(ask_wait(&b), 0);
	stop(&t);
}

/* As the session does. */
static void interrupt(struct ptf *f, struct ask *a, int how)
{
	atomic_store(&a->req.interrupted, how);
	pt_ops.interrupt(f->pt, &a->req);
}

static void test_interrupt(void **state)
{
	struct ask a, b, c;
	struct two t;

	(void)state;
	start(&t);
	assert_int_equal(host_lk(t.host, F_WRLCK, 0, 0), 0);
	assert_int_equal(flock(t.host, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(setlk(&t.f, t.node, lk(t.a, 1, F_UNLCK, 0, 0)), 0);
	/* At every moment: before it sleeps, while it does. */
	for (unsigned int i = 0; i < 300; i++) {
		bool fl = i & 1;

		assert_int_equal(fl ? flkw(&t.f, &a, t.node, t.a, F_WRLCK)
				    : setlkw(&t.f, &a, t.node, lk(t.a, 1, F_WRLCK, 0, 0)),
				 REQ_PENDING);
		if (i % 3)
			usleep(i % 7 * 50);
		interrupt(&t.f, &a, i & 2 ? REQ_INTERRUPTED : REQ_RING_STOPS);
		assert_int_equal(ask_wait(&a), i & 2 ? -EINTR : -EAGAIN);
	}
	/* It was told before the backend had it. */
	ask_begin(&t.f, &a);
	atomic_store(&a.req.interrupted, REQ_INTERRUPTED);
	{
		struct fuse_lk_in in = lk(t.a, 1, F_WRLCK, 0, 0);

		assert_int_equal(pt_ops.setlk(&a.req, t.node, &in, true), REQ_PENDING);
	}
	assert_int_equal(ask_wait(&a), -EINTR);
	/* Only the one that is meant. */
	assert_int_equal(setlkw(&t.f, &a, t.node, lk(t.a, 1, F_WRLCK, 0, 0)), REQ_PENDING);
	assert_int_equal(setlkw(&t.f, &b, t.node, lk(t.a, 2, F_WRLCK, 0, 0)), REQ_PENDING);
	assert_int_equal(setlkw(&t.f, &c, t.node, lk(t.b, 3, F_WRLCK, 0, 0)), REQ_PENDING);
	interrupt(&t.f, &b, REQ_INTERRUPTED);
	assert_int_equal(ask_wait(&b), -EINTR);
	assert_false(asked(&a) || asked(&c));
	/* RELEASE ends what came by its handle. */
	assert_int_equal(ptf_release(&t.f, t.node, t.b), 0);
	assert_int_equal(ask_wait(&c), -EINTR);
	assert_false(asked(&a));
	assert_int_equal(host_lk(t.host, F_UNLCK, 0, 0), 0);
	assert_int_equal(ask_wait(&a), 0);
	stop(&t);
}

static void test_forget_and_destroy(void **state)
{
	struct ask a, b;
	struct two t;

	(void)state;
	start(&t);
	assert_int_equal(setlk(&t.f, t.node, lk(t.a, 1, F_WRLCK, 5, 5)), 0);
	assert_int_equal(setlk(&t.f, t.node, lk(t.b, 1, F_WRLCK, 6, 6)), 0);
	assert_int_equal(host_lk(t.host, F_WRLCK, 0, 1), 0);
	assert_int_equal(setlkw(&t.f, &a, t.node, lk(t.a, 2, F_WRLCK, 0, 0)), REQ_PENDING);
	pt_ops.forget(t.f.pt, FUSE_ROOT_ID, 1);
	pt_ops.forget(t.f.pt, t.node, 0);
	assert_int_equal(t.f.pt->locks.count, 2);
	/* The guest forgets an inode that it has open: that is its own look-out. */
	pt_ops.forget(t.f.pt, t.node, 1);
	assert_int_equal(ask_wait(&a), -EINTR);
	assert_int_equal(t.f.pt->locks.count, 0);
	assert_int_equal(host_lk(t.host, F_WRLCK, 5, 2), 0);
	/* The handles are still good. */
	assert_int_equal(setlk(&t.f, t.node, lk(t.a, 1, F_WRLCK, 7, 7)), 0);
	assert_int_equal(flock(t.host, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(setlkw(&t.f, &a, t.node, lk(t.a, 1, F_WRLCK, 0, 0)), REQ_PENDING);
	assert_int_equal(flkw(&t.f, &b, t.node, t.b, F_RDLCK), REQ_PENDING);
	/* At once, though one still waits with that record. */
	pt_ops.destroy(t.f.pt);
	assert_int_equal(host_lk(t.host, F_WRLCK, 7, 1), 0);
	assert_int_equal(ask_wait(&a), -EINTR);
	assert_int_equal(ask_wait(&b), -EINTR);
	stop(&t);

	/* The backend ends with waits under way. */
	start(&t);
	assert_int_equal(host_lk(t.host, F_WRLCK, 0, 1), 0);
	assert_int_equal(setlkw(&t.f, &a, t.node, lk(t.a, 2, F_WRLCK, 0, 0)), REQ_PENDING);
	stop(&t);
	assert_int_equal(ask_wait(&a), -EINTR);
}

/* The number of waits is bounded, and a ring half full of them is enough. */
static void test_storm(void **state)
{
	static struct ask asks[STORM];
	unsigned int waiting = 0;
	struct two t;
	int r;

	(void)state;
	start(&t);
	assert_int_equal(host_lk(t.host, F_WRLCK, 0, 0), 0);
	ask_begin(&t.f, &asks[0]);
	asks[0].req.crowded = true;
	{
		struct fuse_lk_in in = lk(t.a, 1, F_WRLCK, 0, 0);

		assert_int_equal(pt_ops.setlk(&asks[0].req, t.node, &in, true), -ENOLCK);
	}
	for (unsigned int i = 0; i < STORM; i++) {
		r = setlkw(&t.f, &asks[i], t.node, lk(t.a, i, F_RDLCK, i, i));
		assert_int_equal(r, i < PT_LOCK_WAITS_MAX ? REQ_PENDING : -ENOLCK);
		waiting += r == REQ_PENDING;
	}
	/* What needs no wait goes on. */
	assert_int_equal(setlk(&t.f, t.node, lk(t.b, 7000, F_RDLCK, 0, 0)), -EAGAIN);
	pt_ops.forget(t.f.pt, t.node, 0);
	for (unsigned int i = 0; i < waiting; i += 2)
		interrupt(&t.f, &asks[i], REQ_INTERRUPTED);
	for (unsigned int i = 0; i < waiting; i += 2)
		assert_int_equal(ask_wait(&asks[i]), -EINTR);
	assert_int_equal(host_lk(t.host, F_UNLCK, 0, 0), 0);
	for (unsigned int i = 1; i < waiting; i += 2)
		assert_int_equal(ask_wait(&asks[i]), 0);
	stop(&t);
}

/* Ranges and owners are bounded; what is locked can be unlocked. */
static void test_bounds(void **state)
{
	struct two t;
	uint64_t i;
	int r = 0;

	(void)state;
	start(&t);
	assert_int_equal(t.f.pt->locks.budget, PT_LOCK_RANGES_MAX);
	t.f.pt->locks.budget = 1000;
	for (i = 0; r == 0; i++)
		r = setlk(&t.f, t.node, lk(t.a, 1, F_RDLCK, 2 * i, 2 * i));
	assert_int_equal(r, -ENOLCK);
	assert_in_range(i, 500, 1000);
	assert_int_equal(setlk(&t.f, t.node, lk(t.a, 2, F_RDLCK, 0, 0)), -ENOLCK);
	assert_int_equal(setlk(&t.f, t.node, lk(t.a, 1, F_UNLCK, 0, END)), 0);
	assert_int_equal(host_lk(t.host, F_WRLCK, 0, 0), 0);
	assert_int_equal(host_lk(t.host, F_UNLCK, 0, 0), 0);
	assert_int_equal(flush(&t.f, t.node, t.a, 1), 0);
	assert_int_equal(t.f.pt->locks.budget, 1000);
	assert_int_equal(setlk(&t.f, t.node, lk(t.a, 2, F_RDLCK, 0, 0)), 0);
	stop(&t);

	/* Descriptors come from the common budget. */
	ptf_start(&t.f, (struct pt_conf){.posix_lock = true, .max_fds = 32});
	ptf_host_file(&t.f, "f", "x");
	t.node = ptf_node(&t.f, FUSE_ROOT_ID, "f");
	assert_int_equal(ptf_open(&t.f, t.node, O_RDWR, &t.a), 0);
	for (i = 0, r = 0; r == 0; i++)
		r = setlk(&t.f, t.node, lk(t.a, i, F_RDLCK, 0, 0));
	assert_int_equal(r, -ENOLCK);
	assert_in_range(i, 8, 32);
	assert_int_equal(flush(&t.f, t.node, t.a, 0), 0);
	assert_int_equal(setlk(&t.f, t.node, lk(t.a, i, F_RDLCK, 0, 0)), 0);
	ptf_stop(&t.f);
}

struct racer {
	struct two *t;
	uint64_t owner;
	unsigned int granted;
};

/* Takes and frees the same bytes, sometimes by interrupts, FLUSH or RELEASE. */
static void *race(void *arg)
{
	struct racer *r = arg;
	struct two *t = r->t;
	struct request req;

	assert_int_equal(pt_ops.thread_init(t->f.pt), 0);
	for (unsigned int i = 0; i < 200; i++) {
		struct fuse_flush_in fl = {.lock_owner = r->owner};
		struct fuse_release_in rel = {0};
		struct fuse_open_in oin = {.flags = O_RDWR};
		struct fuse_open_out out = {0};
		struct fuse_lk_in in;
		struct ask a;
		int got;

		ptf_req(&t->f, &req);
		assert_int_equal(pt_ops.open(&req, t->node, &oin, &out), 0);
		in = lk(out.fh, r->owner, i % 3 ? F_WRLCK : F_RDLCK, i % 5, 8 + i % 5);
		if (i % 4 == 3)
			in.lk_flags = FUSE_LK_FLOCK;
		ask_begin(&t->f, &a);
		got = pt_ops.setlk(&a.req, t->node, &in, true);
		if (got == REQ_PENDING && i % 2)
			interrupt(&t->f, &a, REQ_INTERRUPTED);
		if (got == REQ_PENDING)
			got = ask_wait(&a);
		assert_true(got == 0 || got == -EINTR);
		r->granted += got == 0;
		fl.fh = out.fh;
		if (i % 5)
			assert_int_equal(pt_ops.flush(&req, t->node, &fl), 0);
		rel.fh = out.fh;
		rel.release_flags = i % 4 == 3 ? FUSE_RELEASE_FLOCK_UNLOCK : 0;
		assert_int_equal(pt_ops.release(&req, t->node, &rel), 0);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct racer r[4];
	pthread_t th[4];
	struct two t;

	(void)state;
	start(&t);
	for (unsigned int i = 0; i < ARRAY_SIZE(r); i++) {
		r[i] = (struct racer){.t = &t, .owner = i};
		assert_int_equal(pthread_create(&th[i], NULL, race, &r[i]), 0);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(r); i++) {
		pthread_join(th[i], NULL);
		assert_true(r[i].granted > 0);
	}
	assert_int_equal(t.f.pt->locks.count, 0);
	assert_int_equal(host_lk(t.host, F_WRLCK, 0, 0), 0);
	assert_int_equal(flock(t.host, LOCK_EX | LOCK_NB), 0);
	stop(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_flock),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_interrupt),
		cmocka_unit_test(test_forget_and_destroy),
		cmocka_unit_test(test_storm),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
