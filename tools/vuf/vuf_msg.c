// SPDX-License-Identifier: Apache-2.0
/* A vhost-user front-end: its messages, one by one. */
/*
 * Theory of operation
 *
 * Every message goes out in one sendmsg(2). Answers are waited for with the configured time-out, so a
 * back end that forgets to answer is a failure and not a hang. Messages without an answer of their own
 * ask for one wherever REPLY_ACK was agreed on: what they did is then done when the call returns.
 *
 * Threads: all of this belongs to the thread that owns the connection, but for what the thread that
 * serves the back-end channel sends: nobody sends while another waits for an answer (vuf.lock).
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "util.h"
#include "vuf.h"

int vuf_send(struct vuf *v, uint32_t request, const void *body, size_t size, const int *fds,
	     unsigned int nfds, bool need_reply)
{
	struct vu_msg msg = {
		.hdr = {.request = request,
			.flags = VU_VERSION | (need_reply ? VU_FLAG_NEED_REPLY : 0),
			.size = (uint32_t)size},
		.nfds = nfds,
	};

	if (size > sizeof(msg.body) || nfds > VU_FDS_MAX)
		return -EINVAL;
	if (size)
		memcpy(msg.body.bytes, body, size);
	if (nfds)
		memcpy(msg.fds, fds, nfds * sizeof(*fds));
	return vu_msg_send(v->sock, &msg);
}

int vuf_send_bytes(struct vuf *v, const void *bytes, size_t size, const int *fds, unsigned int nfds)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};

	return fd_sendmsg(v->sock, &iov, 1, fds, nfds);
}

int vuf_recv(struct vuf *v, uint32_t request, struct vu_msg *ret)
{
	struct pollfd pfd = {.fd = v->sock, .events = POLLIN};
	int r;

	do
		r = poll(&pfd, 1, v->conf.timeout_ms);
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		return r < 0 ? -errno : -ETIMEDOUT;
	r = vu_msg_recv(v->sock, ret);
	if (r <= 0)
		return r < 0 ? r : -ECONNRESET;
	if (ret->hdr.request != request || ret->hdr.flags != (VU_VERSION | VU_FLAG_REPLY)) {
		vu_msg_close_fds(ret);
		return -EPROTO;
	}
	return 0;
}

/* A message and its answer. */
static int call(struct vuf *v, uint32_t request, const void *body, size_t size, const int *fds,
		unsigned int nfds, bool need_reply, struct vu_msg *ret)
{
	int r;

	need_reply |= v->conf.rules && v->conf.rules->asks_all;
	pthread_mutex_lock(&v->lock);
	r = vuf_send(v, request, body, size, fds, nfds, need_reply);
	if (r == 0)
		r = vuf_recv(v, request, ret);
	pthread_mutex_unlock(&v->lock);
	return r;
}

/* The payload of an answer, which is exactly @size bytes without descriptors. */
static int take_fixed(struct vu_msg *msg, void *buf, size_t size)
{
	if (msg->hdr.size != size || msg->nfds) {
		vu_msg_close_fds(msg);
		return -EPROTO;
	}
	memcpy(buf, msg->body.bytes, size);
	return 0;
}

int vuf_send_ack(struct vuf *v, uint32_t request, const void *body, size_t size, const int *fds,
		 unsigned int nfds)
{
	bool ack = (v->proto & (1ull << VU_PROTOCOL_F_REPLY_ACK)) && !v->conf.no_ack;
	struct vu_msg msg;
	uint64_t status = 0;
	int r;

	if (!ack) {
		pthread_mutex_lock(&v->lock);
		r = vuf_send(v, request, body, size, fds, nfds, false);
		pthread_mutex_unlock(&v->lock);
		return r;
	}
	r = call(v, request, body, size, fds, nfds, true, &msg);
	if (r == 0)
		r = take_fixed(&msg, &status, sizeof(status));
	if (r < 0)
		return r;
	return status ? -EREMOTEIO : 0;
}

int vuf_get_u64(struct vuf *v, uint32_t request, uint64_t *ret)
{
	struct vu_msg msg;
	int r = call(v, request, NULL, 0, NULL, 0, false, &msg);

	return r < 0 ? r : take_fixed(&msg, ret, sizeof(*ret));
}

int vuf_set_u64(struct vuf *v, uint32_t request, uint64_t val)
{
	return vuf_send_ack(v, request, &val, sizeof(val), NULL, 0);
}

int vuf_set_none(struct vuf *v, uint32_t request)
{
	return vuf_send_ack(v, request, NULL, 0, NULL, 0);
}

int vuf_set_state(struct vuf *v, uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_vring_state st = {.index = index, .num = num};

	return vuf_send_ack(v, request, &st, sizeof(st), NULL, 0);
}

int vuf_set_addr(struct vuf *v, unsigned int i, uint32_t flags)
{
	const struct vuf_ring *r = &v->ring[i];
	struct vu_vring_addr addr = {
		.index = i,
		.flags = flags,
		.desc = vuf_mem_uva(&v->mem, r->area_gpa[0]),
		.avail = vuf_mem_uva(&v->mem, r->area_gpa[1]),
		.used = vuf_mem_uva(&v->mem, r->area_gpa[2]),
		.log = r->area_gpa[2],
	};

	return vuf_send_ack(v, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
}

int vuf_set_fd(struct vuf *v, uint32_t request, unsigned int i, int fd)
{
	uint64_t val = i | (fd < 0 ? VU_VRING_NOFD : 0);

	return vuf_send_ack(v, request, &val, sizeof(val), &fd, fd < 0 ? 0 : 1);
}

int vuf_get_base(struct vuf *v, unsigned int i, uint32_t *ret)
{
	struct vu_vring_state st = {.index = i};
	struct vu_msg msg;
	int r = call(v, VU_GET_VRING_BASE, &st, sizeof(st), NULL, 0, false, &msg);

	if (r == 0)
		r = take_fixed(&msg, &st, sizeof(st));
	if (r < 0)
		return r;
	if (st.index != i)
		return -EPROTO;
	*ret = st.num;
	return 0;
}

struct vu_mem_region vuf_region_wire(const struct vuf_region *rg)
{
	return (struct vu_mem_region){
		.gpa = rg->gpa,
		.size = rg->size,
		.uva = rg->uva,
		.offset = rg->offset,
	};
}

int vuf_add_region(struct vuf *v, const struct vuf_region *rg)
{
	struct vu_mem_reg reg = {.region = vuf_region_wire(rg)};

	return vuf_send_ack(v, VU_ADD_MEM_REG, &reg, sizeof(reg), &rg->fd, 1);
}

int vuf_rem_region(struct vuf *v, const struct vuf_region *rg)
{
	struct vu_mem_reg reg = {.region = vuf_region_wire(rg)};

	return vuf_send_ack(v, VU_REM_MEM_REG, &reg, sizeof(reg), NULL, 0);
}

int vuf_get_config(struct vuf *v, uint32_t offset, uint32_t size, void *buf)
{
	struct vu_config c = {.offset = offset, .size = size};
	struct vu_msg msg;
	int r;

	if (size > VU_CONFIG_MAX)
		return -EINVAL;
	r = call(v, VU_GET_CONFIG, &c, VU_CONFIG_HDR + size, NULL, 0, false, &msg);
	if (r < 0)
		return r;
	vu_msg_close_fds(&msg);
	if (msg.hdr.size == 0)
		return -EREMOTEIO;
	if (msg.hdr.size != VU_CONFIG_HDR + size || msg.body.config.offset != offset ||
	    msg.body.config.size != size)
		return -EPROTO;
	memcpy(buf, msg.body.config.data, size);
	return 0;
}

int vuf_set_config(struct vuf *v, uint32_t offset, uint32_t size, const void *buf)
{
	struct vu_config c = {.offset = offset, .size = size};

	if (size > VU_CONFIG_MAX)
		return -EINVAL;
	memcpy(c.data, buf, size);
	return vuf_send_ack(v, VU_SET_CONFIG, &c, VU_CONFIG_HDR + size, NULL, 0);
}

int vuf_set_log(struct vuf *v, int fd, uint64_t size, uint64_t offset)
{
	struct vu_log log = {.size = size, .offset = offset};
	struct vu_msg msg;
	int r;

	if (!(v->proto & (1ull << VU_PROTOCOL_F_LOG_SHMFD)))
		return -ENOTSUP;
	/* The one message that is always answered, with whatever payload. */
	r = call(v, VU_SET_LOG_BASE, &log, sizeof(log), &fd, 1, false, &msg);
	if (r == 0)
		vu_msg_close_fds(&msg);
	return r;
}

int vuf_set_backend_channel(struct vuf *v)
{
	int sv[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	r = vuf_send_ack(v, VU_SET_BACKEND_REQ_FD, NULL, 0, &sv[1], 1);
	fd_close(&sv[1]);
	if (r < 0) {
		fd_close(&sv[0]);
		return r;
	}
	fd_close(&v->backend_fd);
	v->backend_fd = sv[0];
	return 0;
}

int vuf_get_inflight(struct vuf *v, struct vu_inflight *ret, int *ret_fd)
{
	struct vu_inflight in = {
		.num_queues = (uint16_t)v->nrings,
		.queue_size = v->conf.ring_size,
	};
	struct vu_msg msg;
	int r = call(v, VU_GET_INFLIGHT_FD, &in, sizeof(in), NULL, 0, false, &msg);

	if (r < 0)
		return r;
	/* Some send the structure with its padding. */
	if (msg.hdr.size < sizeof(in) || msg.nfds != 1 || !msg.body.inflight.mmap_size) {
		vu_msg_close_fds(&msg);
		return msg.body.inflight.mmap_size ? -EPROTO : -EREMOTEIO;
	}
	*ret = msg.body.inflight;
	*ret_fd = fd_steal(&msg.fds[0]);
	return 0;
}

int vuf_set_inflight(struct vuf *v, const struct vu_inflight *in, int fd)
{
	return vuf_send_ack(v, VU_SET_INFLIGHT_FD, in, sizeof(*in), &fd, 1);
}
