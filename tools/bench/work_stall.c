// SPDX-License-Identifier: Apache-2.0
/* virtiofs-bench: one slow request among fast ones. */
/*
 * Theory of operation
 *
 * The first slot opens and closes a file again and again, the others READ; of these alone the latencies
 * are taken. In "stall" this program holds a lease on the file (fcntl(2), F_SETLEASE): whoever opens it
 * sleeps in open(2) until the holder lets go, which a thread here does STALL_MS after it was asked to. So
 * the daemon meets a stalled disk or server without there being one. In "calm" there is no lease, and all
 * else is the same.
 *
 * Threads: the keeper takes SIGIO, which is blocked in all threads, for the lease and lets go of it; the main thread takes the lease again
 * when the daemon has closed the file.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "fd.h"
#include "util.h"

#define STALL_MS 20
#define LOOK_MS  50 /* how soon the keeper sees that it is over */
#define TRIES    1000
#define READ_AT  4096u

/**
 * struct stall - the file that is slow to open.
 * @fd:     of this process, which holds the lease; -1 = no lease.
 * @node:   its node.
 * @keeper, @have_keeper: main thread.
 * @over:   the keeper shall end.
 */
struct stall {
	int fd;
	uint64_t node;
	pthread_t keeper;
	bool have_keeper;
	atomic_bool over;
};

enum { SLOW_OPEN, SLOW_RELEASE };

static void *keep(void *arg)
{
	struct timespec look = {.tv_nsec = LOOK_MS * 1000000l},
			wait = {.tv_nsec = STALL_MS * 1000000l};
	struct stall *st = arg;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	while (!st->over)
		if (sigtimedwait(&set, NULL, &look) == SIGIO) {
			nanosleep(&wait, NULL);
			fcntl(st->fd, F_SETLEASE, F_UNLCK);
		}
	return NULL;
}

/* The daemon may be a moment late to close the file. */
static int take_lease(struct load *l)
{
	struct timespec ts = {.tv_nsec = 10000};

	for (unsigned int i = 0; i < TRIES; i++) {
		if (fcntl(l->stall->fd, F_SETLEASE, F_WRLCK) == 0)
			return 0;
		if (errno != EAGAIN)
			break;
		nanosleep(&ts, NULL);
	}
	return load_fail(l, "taking a lease: %s", strerror(errno));
}

static int start_keeper(struct load *l)
{
	struct stall *st = l->stall;
	int r;

	st->fd = openat(l->files->fd, "slow", O_RDWR | O_CLOEXEC);
	if (st->fd < 0)
		return -errno;
	r = take_lease(l);
	if (r < 0)
		return r;
	r = -pthread_create(&st->keeper, NULL, keep, st);
	st->have_keeper = r == 0;
	return r;
}

static int slow_begin(struct load *l)
{
	scoped_fd int fd = openat(l->files->fd, "slow", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	struct fuse_entry_out e;
	int r;

	l->stall = calloc(1, sizeof(*l->stall));
	if (!l->stall)
		return -ENOMEM;
	l->stall->fd = -1;
	l->wake = 1;
	l->slot[0].unmeasured = true;
	if (fd < 0)
		return -errno;
	fd_close(&fd);
	r = share_enter(l);
	if (r == 0)
		r = share_lookup(l, l->arm->root, "slow", &e);
	if (r == 0)
		l->stall->node = e.nodeid;
	return r;
}

static int stall_begin(struct load *l)
{
	int r = slow_begin(l);

	return r < 0 ? r : start_keeper(l);
}

static int slow_end(struct load *l)
{
	struct stall *st = l->stall;
	struct slot *s = &l->slot[0];
	struct fuse_forget_in *in;

	st->over = true;
	if (st->have_keeper)
		pthread_join(st->keeper, NULL);
	slot_begin(l, s, FUSE_FORGET, st->node);
	s->ring = &l->arm->v->ring[0];
	in = slot_arg(s, sizeof(*in));
	in->nlookup = 1;
	fd_close(&st->fd);
	free(st);
	l->stall = NULL;
	return slot_call(l, s);
}

static void slow_issue(struct load *l, struct slot *s)
{
	if (!s->unmeasured) {
		read_issue(l, s);
	} else if (s->step == SLOW_OPEN) {
		struct fuse_open_in *in;

		slot_begin(l, s, FUSE_OPEN, l->stall->node);
		in = slot_arg(s, sizeof(*in));
		in->flags = O_RDWR;
		slot_reply(s, sizeof(struct fuse_open_out));
	} else {
		struct fuse_release_in *in;

		slot_begin(l, s, FUSE_RELEASE, l->stall->node);
		in = slot_arg(s, sizeof(*in));
		in->fh = s->fh;
		slot_reply(s, 0);
	}
}

static int slow_check(struct load *l, struct slot *s, bool *ret_rest)
{
	const struct fuse_open_out *out = slot_payload(s);
	bool opening = s->step == SLOW_OPEN;

	if (!s->unmeasured)
		return read_check(l, s, ret_rest);
	*ret_rest = !opening;
	if (slot_error(s) || slot_len(s) != (opening ? sizeof(*out) : 0))
		return load_fail(l, "%s of a slow file: error %d", opening ? "OPEN" : "RELEASE",
				 slot_error(s));
	s->step = opening ? SLOW_RELEASE : SLOW_OPEN;
	if (opening)
		s->fh = out->fh;
	else if (l->stall->fd >= 0)
		return take_lease(l);
	return 0;
}

#define SLOW_ROW(called, text, how)                                                             \
	{                                                                                       \
		.name = called, .about = text, .size = READ_AT, .dir = -1, .least_depth = 2,    \
		.max_depth = 8, .unit = "READ", .latency = true, .begin = how, .end = slow_end, \
		.issue = slow_issue, .check = slow_check,                                       \
	}

const struct work work_stall[] = {
	SLOW_ROW("calm", "READ of 4k beside one OPEN and RELEASE after the other", slow_begin),
	SLOW_ROW("stall", "the same, and each OPEN takes 20 ms", stall_begin),
	{0},
};
