// SPDX-License-Identifier: Apache-2.0
/* The back-end channel: requests from us to the front-end. */
/*
 * Theory of operation
 *
 * Requests go out one at a time on a socket of their own. Where REPLY_ACK was negotiated each asks
 * for an answer, and answers come in the order of the requests. A front-end that is busy waiting
 * for us on the main channel may answer late: after a second we give up waiting, and remember how
 * many answers are still to come so that the next request does not take them for its own. One that
 * never answers is left alone after a few requests, before the socket could fill up.
 *
 * One thread at a time: the control thread.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "fd.h"
#include "vu_backreq.h"
#include "vu_msg.h"

#define ANSWER_MS 1000
#define OWED_MAX  8

/*
 * @sock: owned.
 * @ack:  ask for answers.
 * @owed: answers that have not come yet.
 */
struct vu_backreq {
	int sock;
	bool ack;
	unsigned int owed;
};

int vu_backreq_new(int sock, bool ack, struct vu_backreq **ret)
{
	struct vu_backreq *br = calloc(1, sizeof(*br));

	if (!br)
		return -ENOMEM;
	br->sock = sock;
	br->ack = ack;
	*ret = br;
	return 0;
}

void vu_backreq_free(struct vu_backreq *br)
{
	if (!br)
		return;
	fd_close(&br->sock);
	free(br);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

/* Wait until @deadline for something to read, or for room to write. */
static int wait_until(int sock, short events, int64_t deadline)
{
	struct pollfd pfd = {.fd = sock, .events = events};

	for (;;) {
		int64_t left = deadline - now_ms();
		int n = poll(&pfd, 1, left > 0 ? (int)left : 0);

		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int receive_answer(struct vu_backreq *br, uint32_t request, uint64_t *ret_value)
{
	struct vu_msg msg;
	int r = vu_msg_recv(br->sock, &msg);

	if (r == 0)
		return -ECONNRESET;
	if (r < 0)
		return r;
	vu_msg_close_fds(&msg);
	if (!(msg.hdr.flags & VU_FLAG_REPLY) || msg.hdr.request != request ||
	    msg.hdr.size != sizeof(msg.body.u64))
		return -EPROTO;
	*ret_value = msg.body.u64;
	return 0;
}

static int request(struct vu_backreq *br, const struct vu_msg *msg)
{
	int64_t deadline = now_ms() + ANSWER_MS;
	uint64_t value = 0;
	int r;

	if (br->owed >= OWED_MAX)
		return -EBUSY;
	r = wait_until(br->sock, POLLOUT, deadline);
	if (r == 0)
		r = vu_msg_send(br->sock, msg);
	if (r < 0 || !br->ack)
		return r;
	br->owed++;
	while (br->owed) {
		r = wait_until(br->sock, POLLIN, deadline);
		if (r == 0)
			r = receive_answer(br, msg->hdr.request, &value);
		if (r < 0)
			return r;
		br->owed--;
	}
	return value ? -EIO : 0;
}

int vu_backreq_config_changed(struct vu_backreq *br)
{
	const struct vu_msg msg = {
		.hdr =
			{
				.request = VU_BACKEND_CONFIG_CHANGE_MSG,
				.flags = VU_VERSION | (br->ack ? VU_FLAG_NEED_REPLY : 0),
			},
	};

	return request(br, &msg);
}
