// SPDX-License-Identifier: Apache-2.0
/* The back-end channel as a front-end serves it. */
/*
 * Theory of operation
 *
 * One thread reads a request, holds it against the rules, does it in the window, and answers. What a real
 * front-end does in its own way is done so here: some answer first and map later, some tell the back end
 * of each mapping as a region of memory, and one that is a single thread serves nothing while it waits for
 * an answer on the connection, which is why it takes vuf.lock.
 *
 * The mood says how well it serves. Whoever sets it wakes the thread.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "util.h"
#include "vuf_dax_impl.h"

#define COMMIT_MS 5 /* between the answer and the deed, where the rules have it so */

/* Sleep, but not beyond the end or a change of mood from @mood. */
static void sleep_in_mood(struct vuf_dax *d, enum vuf_dax_mood mood, int ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000l;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&d->lock);
	while (!d->ending && d->mood == mood)
		if (pthread_cond_timedwait(&d->changed, &d->lock, &until) == ETIMEDOUT)
			break;
	pthread_mutex_unlock(&d->lock);
}

/* Count a request, and wait as the mood has it. Returns the mood in which it is to be served. */
static enum vuf_dax_mood arrive(struct vuf_dax *d)
{
	enum vuf_dax_mood mood;
	int ms;

	pthread_mutex_lock(&d->lock);
	d->stats.requests++;
	pthread_cond_broadcast(&d->changed);
	while (d->mood == VUF_DAX_HOLD && !d->ending)
		pthread_cond_wait(&d->changed, &d->lock);
	mood = d->mood;
	ms = d->late_ms;
	pthread_mutex_unlock(&d->lock);
	if (mood == VUF_DAX_LATE)
		sleep_in_mood(d, mood, ms);
	return mood;
}

static void answer(struct vuf_dax *d, const struct vu_msg *msg, uint32_t request, uint64_t value)
{
	struct vu_msg reply = {
		.hdr = {.request = request,
			.flags = VU_VERSION | VU_FLAG_REPLY,
			.size = sizeof(value)},
		.body.u64 = value,
	};

	if (msg->hdr.flags & VU_FLAG_NEED_REPLY && d->v->proto & 1ull << VU_PROTOCOL_F_REPLY_ACK)
		(void)vu_msg_send(d->sock, &reply);
}

static void done(struct vuf_dax *d, const struct vu_msg *msg, int r)
{
	bool map = msg->hdr.request == VU_BACKEND_SHMEM_MAP;

	pthread_mutex_lock(&d->lock);
	if (r == 0 && map)
		d->stats.maps++;
	else if (r == 0)
		d->stats.unmaps++;
	else if (map)
		d->stats.refused++;
	d->stats.live = (unsigned int)d->nmaps;
	d->stats.peak = MAX(d->stats.peak, d->stats.live);
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

static void serve_shmem(struct vuf_dax *d, struct vu_msg *msg, enum vuf_dax_mood mood)
{
	int r = vuf_dax_check(d, msg);

	if (mood == VUF_DAX_REFUSE && msg->hdr.request == VU_BACKEND_SHMEM_MAP)
		r = -EPERM;
	if (!d->rules->late) {
		if (r == 0)
			r = vuf_dax_apply(d, msg);
		done(d, msg, r);
		answer(d, msg, msg->hdr.request, r != 0);
		return;
	}
	answer(d, msg, msg->hdr.request, r != 0);
	if (r == 0) {
		sleep_in_mood(d, mood, COMMIT_MS);
		r = vuf_dax_apply(d, msg);
		if (r < 0)
			vuf_dax_forbidden(d, "a mapping fails that was promised: %s", strerror(-r));
	}
	done(d, msg, r);
}

/* Some read header and payload one after the other without waiting between: both have to be there. */
static void check_whole(struct vuf_dax *d)
{
	struct vu_hdr hdr;
	int avail = 0;

	if (recv(d->sock, &hdr, sizeof(hdr), MSG_PEEK) <= 0)
		return;
	if (ioctl(d->sock, FIONREAD, &avail) < 0 || (size_t)avail < sizeof(hdr) ||
	    (size_t)avail - sizeof(hdr) < hdr.size)
		vuf_dax_forbidden(d, "a request in more than one piece");
}

/* False: the channel has ended. */
static bool serve_one(struct vuf_dax *d)
{
	enum vuf_dax_mood mood;
	struct vu_msg msg;
	int r;

	check_whole(d);
	r = vu_msg_recv(d->sock, &msg);
	if (r <= 0) {
		if (r == -EPROTO || r == -EMSGSIZE)
			vuf_dax_forbidden(d, "not a message: %s", strerror(-r));
		return false;
	}
	if (msg.hdr.flags & VU_FLAG_REPLY)
		vuf_dax_forbidden(d, "an answer to nothing");
	if (!(msg.hdr.flags & VU_FLAG_NEED_REPLY))
		vuf_dax_forbidden(d, "request %u wants no answer", msg.hdr.request);
	mood = arrive(d);
	if (mood == VUF_DAX_GARBAGE)
		answer(d, &msg, msg.hdr.request + 1, 0);
	else if (mood != VUF_DAX_SERVE && mood != VUF_DAX_LATE && mood != VUF_DAX_REFUSE)
		; /* mute, or the end */
	else if (msg.hdr.request == VU_BACKEND_SHMEM_MAP ||
		 msg.hdr.request == VU_BACKEND_SHMEM_UNMAP)
		serve_shmem(d, &msg, mood);
	else if (msg.hdr.request == VU_BACKEND_CONFIG_CHANGE_MSG)
		answer(d, &msg, msg.hdr.request, 0);
	else
		vuf_dax_forbidden(d, "unknown request %u", msg.hdr.request);
	vu_msg_close_fds(&msg);
	return mood != VUF_DAX_HANGUP;
}

static bool is_ending(struct vuf_dax *d)
{
	bool ending;

	pthread_mutex_lock(&d->lock);
	ending = d->ending;
	pthread_mutex_unlock(&d->lock);
	return ending;
}

/* One that is a single thread looks at its channel only when it waits for nothing else. */
static bool serve_next(struct vuf_dax *d)
{
	bool go_on;

	if (!d->rules->one_thread)
		return serve_one(d);
	pthread_mutex_lock(&d->v->lock);
	go_on = is_ending(d) || serve_one(d);
	pthread_mutex_unlock(&d->v->lock);
	return go_on;
}

void *vuf_dax_serve(void *arg)
{
	struct vuf_dax *d = arg;
	struct pollfd pfd[] = {{.fd = d->sock, .events = POLLIN},
			       {.fd = d->wake_fd, .events = POLLIN}};

	while (!is_ending(d)) {
		if (poll(pfd, 2, -1) < 0 && errno != EINTR)
			break;
		if (pfd[0].revents && !is_ending(d) && !serve_next(d))
			break;
	}
	pthread_mutex_lock(&d->lock);
	d->stats.closed = !d->ending;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	shutdown(d->sock, SHUT_RDWR);
	return NULL;
}
