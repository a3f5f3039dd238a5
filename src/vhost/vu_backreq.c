// SPDX-License-Identifier: Apache-2.0
/* The back-end channel: requests from us to the front-end. */
/*
 * Theory of operation
 *
 * Requests go out one at a time on a socket of their own. Where REPLY_ACK was negotiated each asks
 * for an answer, and answers come in the order of the requests. A front-end that is busy waiting
 * for us on the main channel may answer late: then we give up waiting, and remember which answers
 * are still to come so that the next request does not take them for its own. One that never answers
 * is left alone after a few requests, before the socket could fill up. One that answers something
 * else is not listened to again: the stream has lost its step.
 *
 * An answer is read as far as it is there and never waited for within, so that half a message can
 * hold nobody.
 *
 * Threads: who has the turn (@busy) owns the socket and what belongs to it, and sleeps in poll on
 * the socket and on @wake, an eventfd that is readable as long as requests are called off. @lock is
 * a leaf lock, held for the turn's sake alone and never while a request is under way.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include "fd.h"
#include "util.h"
#include "vu_backreq.h"

#define CONFIG_MS 1000
#define MAP_MS    10000
#define OWED_MAX  8u

struct answer {
	struct vu_hdr hdr;
	uint64_t value;
} __attribute__((packed));

static_assert(sizeof(struct answer) == 20, "wire format");

/**
 * struct vu_backreq - see above.
 * @turn:   signalled when @busy falls, or @off rises.
 * @busy:   somebody has the turn. Under @lock.
 * @off:    how often requests were called off. Under @lock.
 * @wake:   readable while @off is not 0. Constant.
 * @sock:   owned; -1 = there is no channel. The turn's, as all that follows.
 * @ack:    ask for answers.
 * @owed, @nowed: requests whose answers have not come yet, oldest first.
 * @answer, @have: what has come of the next answer.
 * @shmem: the answer to the last request about shared memory: 0, -EREMOTEIO, or -ENOTCONN.
 */
struct vu_backreq {
	pthread_mutex_t lock;
	pthread_cond_t turn;
	bool busy;
	unsigned int off;
	int wake;
	int sock;
	bool ack;
	uint32_t owed[OWED_MAX];
	unsigned int nowed;
	struct answer answer;
	size_t have;
	int shmem;
};

int vu_backreq_new(struct vu_backreq **ret)
{
	struct vu_backreq *br = calloc(1, sizeof(*br));
	pthread_condattr_t attr;

	if (!br)
		return -ENOMEM;
	br->sock = -1;
	br->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (br->wake < 0) {
		int r = -errno;

		free(br);
		return r;
	}
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&br->lock, NULL);
	pthread_cond_init(&br->turn, &attr);
	pthread_condattr_destroy(&attr);
	*ret = br;
	return 0;
}

void vu_backreq_free(struct vu_backreq *br)
{
	if (!br)
		return;
	fd_close(&br->sock);
	fd_close(&br->wake);
	pthread_cond_destroy(&br->turn);
	pthread_mutex_destroy(&br->lock);
	free(br);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

/* ---- the turn ---- */

static int enter(struct vu_backreq *br, int64_t deadline)
{
	const struct timespec until = {.tv_sec = deadline / 1000,
				       .tv_nsec = deadline % 1000 * 1000000};
	int r = 0;

	pthread_mutex_lock(&br->lock);
	while (br->busy && !br->off && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&br->turn, &br->lock, &until);
	if (br->off)
		r = -ECANCELED;
	else if (br->busy)
		r = -EBUSY;
	else
		r = 0;
	br->busy |= r == 0;
	pthread_mutex_unlock(&br->lock);
	return r;
}

static void leave(struct vu_backreq *br)
{
	pthread_mutex_lock(&br->lock);
	br->busy = false;
	pthread_cond_broadcast(&br->turn);
	pthread_mutex_unlock(&br->lock);
}

void vu_backreq_call_off(struct vu_backreq *br)
{
	pthread_mutex_lock(&br->lock);
	if (br->off++ == 0)
		fd_signal(br->wake);
	pthread_cond_broadcast(&br->turn);
	pthread_mutex_unlock(&br->lock);
}

void vu_backreq_go_on(struct vu_backreq *br)
{
	pthread_mutex_lock(&br->lock);
	if (--br->off == 0)
		fd_drain(br->wake);
	pthread_mutex_unlock(&br->lock);
}

static void replace(struct vu_backreq *br, int sock, bool ack)
{
	vu_backreq_call_off(br);
	pthread_mutex_lock(&br->lock);
	while (br->busy)
		pthread_cond_wait(&br->turn, &br->lock);
	fd_close(&br->sock);
	br->sock = sock;
	br->ack = ack;
	br->nowed = 0;
	br->have = 0;
	br->shmem = -ENOTCONN;
	pthread_mutex_unlock(&br->lock);
	vu_backreq_go_on(br);
}

void vu_backreq_open(struct vu_backreq *br, int sock, bool ack)
{
	replace(br, sock, ack);
}

void vu_backreq_close(struct vu_backreq *br)
{
	replace(br, -1, false);
}

/* ---- a request, by whoever has the turn ---- */

/* Wait until @deadline for something to read, or for room to write. */
/* seccomp: poll */
static int wait_until(struct vu_backreq *br, short events, int64_t deadline)
{
	struct pollfd pfd[] = {
		{.fd = br->wake, .events = POLLIN},
		{.fd = br->sock, .events = events},
	};

	for (;;) {
		int64_t left = deadline - now_ms();
		int n = poll(pfd, ARRAY_SIZE(pfd), left > 0 ? (int)left : 0);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && pfd[0].revents)
			return -ECANCELED;
		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
	}
}

/* Read what is there of the next answer. 1 when it is whole. */
static int receive(struct vu_backreq *br)
{
	const struct vu_hdr *hdr = &br->answer.hdr;
	ssize_t n = fd_recv(br->sock, (char *)&br->answer + br->have, sizeof(br->answer) - br->have,
			    MSG_DONTWAIT);

	if (n < 0)
		return n == -EAGAIN || n == -EINTR ? 0 : (int)n;
	if (n == 0)
		return -ECONNRESET;
	br->have += (size_t)n;
	if (br->have < sizeof(*hdr))
		return 0;
	if ((hdr->flags & (VU_VERSION_MASK | VU_FLAG_REPLY)) != (VU_VERSION | VU_FLAG_REPLY) ||
	    hdr->request != br->owed[0] || hdr->size != sizeof(br->answer.value))
		return -EPROTO;
	return br->have == sizeof(br->answer);
}

static bool is_shmem(uint32_t request)
{
	return request == VU_BACKEND_SHMEM_MAP || request == VU_BACKEND_SHMEM_UNMAP;
}

/* Read until nothing is owed; the last answer is the one that counts. */
static int settle(struct vu_backreq *br, int64_t deadline, uint64_t *ret_value)
{
	while (br->nowed) {
		int r = wait_until(br, POLLIN, deadline);

		if (r < 0)
			return r;
		r = receive(br);
		if (r < 0) {
			fd_close(&br->sock);
			br->nowed = 0;
			return r;
		}
		if (r == 0)
			continue;
		*ret_value = br->answer.value;
		if (is_shmem(br->owed[0]))
			br->shmem = *ret_value ? -EREMOTEIO : 0;
		br->have = 0;
		br->nowed--;
		memmove(&br->owed[0], &br->owed[1], br->nowed * sizeof(br->owed[0]));
	}
	return 0;
}

static int send_it(struct vu_backreq *br, const struct vu_msg *msg, int64_t deadline)
{
	int r;

	if (br->sock < 0)
		return -ENOTCONN;
	if (br->nowed == OWED_MAX)
		return -EBUSY;
	r = wait_until(br, POLLOUT, deadline);
	if (r < 0)
		return r == -ETIMEDOUT ? -EBUSY : r;
	r = vu_msg_send(br->sock, msg);
	if (r < 0) {
		fd_close(&br->sock);
		return -ENOTCONN;
	}
	return 0;
}

static int request(struct vu_backreq *br, struct vu_msg *msg, int timeout_ms, bool needs_ack)
{
	int64_t deadline = now_ms() + timeout_ms;
	uint64_t value = 0;
	int r = enter(br, deadline);

	if (r < 0)
		return r;
	msg->hdr.flags = VU_VERSION | (br->ack ? VU_FLAG_NEED_REPLY : 0);
	r = needs_ack && br->sock >= 0 && !br->ack ? -EOPNOTSUPP : send_it(br, msg, deadline);
	if (r == 0 && br->ack) {
		br->owed[br->nowed++] = msg->hdr.request;
		if (is_shmem(msg->hdr.request))
			br->shmem = -ENOTCONN;
		r = settle(br, deadline, &value);
		if (r < 0)
			r = r == -ECANCELED ? -EINTR : -EINPROGRESS;
		else if (value)
			r = -EREMOTEIO;
	}
	leave(br);
	return r;
}

int vu_backreq_config_changed(struct vu_backreq *br)
{
	struct vu_msg msg = {.hdr = {.request = VU_BACKEND_CONFIG_CHANGE_MSG}};

	return request(br, &msg, CONFIG_MS, false);
}

int vu_backreq_map(struct vu_backreq *br, const struct vu_shmem_map *map, int fd)
{
	struct vu_msg msg = {
		.hdr = {.request = VU_BACKEND_SHMEM_MAP, .size = sizeof(*map)},
		.body.shmem = *map,
		.fds = {fd},
		.nfds = 1,
	};

	return request(br, &msg, MAP_MS, true);
}

int vu_backreq_unmap(struct vu_backreq *br, const struct vu_shmem_map *map)
{
	struct vu_msg msg = {
		.hdr = {.request = VU_BACKEND_SHMEM_UNMAP, .size = sizeof(*map)},
		.body.shmem = *map,
	};

	return request(br, &msg, MAP_MS, true);
}

int vu_backreq_outcome(struct vu_backreq *br)
{
	int64_t deadline = now_ms() + MAP_MS;
	uint64_t value;
	int r = enter(br, deadline);

	if (r < 0)
		return r == -EBUSY ? -EINPROGRESS : r;
	r = settle(br, deadline, &value);
	if (r == 0)
		r = br->shmem;
	else if (r != -ECANCELED)
		r = r == -ETIMEDOUT ? -EINPROGRESS : -ENOTCONN;
	leave(br);
	return r;
}
