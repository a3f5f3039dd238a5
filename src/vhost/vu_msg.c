// SPDX-License-Identifier: Apache-2.0
/* vhost-user messages: framing on a stream socket. */
/*
 * Theory of operation
 *
 * No state. A message is a header of 12 bytes and a payload whose size the header tells. Peers send
 * the two in one piece or in two; descriptors may come with either. Outgoing messages are one
 * sendmsg(2), descriptors on the first byte, because some peers look for them there only.
 *
 * What is received is hostile: the version and the size are checked before the payload is read, the
 * payload is zeroed beyond what came, and descriptors never outlive a failure.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "fd.h"
#include "util.h"
#include "vu_msg.h"

static_assert(sizeof(struct vu_hdr) == 12, "wire format");
static_assert(sizeof(struct vu_vring_state) == 8, "wire format");
static_assert(sizeof(struct vu_vring_addr) == 40, "wire format");
static_assert(sizeof(struct vu_mem_region) == 32, "wire format");
static_assert(sizeof(struct vu_mem_table) == 8 + 8 * 32, "wire format");
static_assert(sizeof(struct vu_mem_reg) == 40, "wire format");
static_assert(sizeof(struct vu_log) == 16, "wire format");
static_assert(offsetof(struct vu_config, data) == VU_CONFIG_HDR, "wire format");
static_assert(offsetof(struct vu_inflight, padding) == VU_INFLIGHT_MIN, "wire format");
static_assert(sizeof(struct vu_inflight) == 24, "wire format");
static_assert(sizeof(struct vu_shmem_config) == 2056, "wire format");
static_assert(sizeof(struct vu_shmem_map) == 40, "wire format");
static_assert(sizeof(struct vu_shmem_addr) == 24, "wire format");
static_assert(sizeof(union vu_payload) == 2056, "the largest payload that is accepted");

static const char *const names[VU_REQUEST_MAX] = {
	[VU_GET_FEATURES] = "GET_FEATURES",
	[VU_SET_FEATURES] = "SET_FEATURES",
	[VU_SET_OWNER] = "SET_OWNER",
	[VU_RESET_OWNER] = "RESET_OWNER",
	[VU_SET_MEM_TABLE] = "SET_MEM_TABLE",
	[VU_SET_LOG_BASE] = "SET_LOG_BASE",
	[VU_SET_LOG_FD] = "SET_LOG_FD",
	[VU_SET_VRING_NUM] = "SET_VRING_NUM",
	[VU_SET_VRING_ADDR] = "SET_VRING_ADDR",
	[VU_SET_VRING_BASE] = "SET_VRING_BASE",
	[VU_GET_VRING_BASE] = "GET_VRING_BASE",
	[VU_SET_VRING_KICK] = "SET_VRING_KICK",
	[VU_SET_VRING_CALL] = "SET_VRING_CALL",
	[VU_SET_VRING_ERR] = "SET_VRING_ERR",
	[VU_GET_PROTOCOL_FEATURES] = "GET_PROTOCOL_FEATURES",
	[VU_SET_PROTOCOL_FEATURES] = "SET_PROTOCOL_FEATURES",
	[VU_GET_QUEUE_NUM] = "GET_QUEUE_NUM",
	[VU_SET_VRING_ENABLE] = "SET_VRING_ENABLE",
	[VU_SET_BACKEND_REQ_FD] = "SET_BACKEND_REQ_FD",
	[VU_GET_CONFIG] = "GET_CONFIG",
	[VU_SET_CONFIG] = "SET_CONFIG",
	[VU_GET_INFLIGHT_FD] = "GET_INFLIGHT_FD",
	[VU_SET_INFLIGHT_FD] = "SET_INFLIGHT_FD",
	[VU_RESET_DEVICE] = "RESET_DEVICE",
	[VU_VRING_KICK] = "VRING_KICK",
	[VU_GET_MAX_MEM_SLOTS] = "GET_MAX_MEM_SLOTS",
	[VU_ADD_MEM_REG] = "ADD_MEM_REG",
	[VU_REM_MEM_REG] = "REM_MEM_REG",
	[VU_SET_STATUS] = "SET_STATUS",
	[VU_GET_STATUS] = "GET_STATUS",
	[VU_GET_SHMEM_CONFIG] = "GET_SHMEM_CONFIG",
};

int vu_msg_recv(int sock, struct vu_msg *msg)
{
	int r;

	memset(msg, 0, sizeof(*msg));
	for (unsigned int i = 0; i < VU_FDS_MAX; i++)
		msg->fds[i] = -1;

	r = fd_recvmsg(sock, &msg->hdr, sizeof(msg->hdr), msg->fds, VU_FDS_MAX, &msg->nfds);
	if (r <= 0)
		goto fail;
	r = -EPROTO;
	if ((msg->hdr.flags & VU_VERSION_MASK) != VU_VERSION)
		goto fail;
	if (msg->hdr.size > sizeof(msg->body))
		goto fail;
	if (!msg->hdr.size)
		return 1;
	r = fd_recvmsg(sock, &msg->body, msg->hdr.size, msg->fds, VU_FDS_MAX, &msg->nfds);
	if (r == 1)
		return 1;
	if (r == 0)
		r = -ECONNRESET;
fail:
	vu_msg_close_fds(msg);
	return r;
}

void vu_reader_init(struct vu_reader *rd)
{
	*rd = (struct vu_reader){0};
}

void vu_reader_done(struct vu_reader *rd)
{
	vu_msg_close_fds(&rd->msg);
	vu_reader_init(rd);
}

/* Go on with header, then payload. As fd_recv_part(). */
static int read_on(int sock, struct vu_reader *rd)
{
	struct vu_msg *msg = &rd->msg;
	int r = fd_recv_part(sock, &msg->hdr, sizeof(msg->hdr), &rd->hdr_have, msg->fds, VU_FDS_MAX,
			     &msg->nfds);

	if (r <= 0)
		return r;
	if ((msg->hdr.flags & VU_VERSION_MASK) != VU_VERSION || msg->hdr.size > sizeof(msg->body))
		return -EPROTO;
	r = fd_recv_part(sock, &msg->body, msg->hdr.size, &rd->body_have, msg->fds, VU_FDS_MAX,
			 &msg->nfds);
	return r == 0 ? -ECONNRESET : r;
}

int vu_msg_read(int sock, struct vu_reader *rd, struct vu_msg *ret)
{
	int r = read_on(sock, rd);

	if (r == -EAGAIN)
		return r;
	if (r > 0) {
		*ret = rd->msg;
		for (unsigned int i = ret->nfds; i < VU_FDS_MAX; i++)
			ret->fds[i] = -1;
		vu_reader_init(rd);
	} else {
		vu_reader_done(rd);
	}
	return r;
}

int vu_msg_send(int sock, const struct vu_msg *msg)
{
	const struct iovec iov[] = {
		{.iov_base = (void *)&msg->hdr, .iov_len = sizeof(msg->hdr)},
		{.iov_base = (void *)&msg->body, .iov_len = msg->hdr.size},
	};

	if (msg->hdr.size > sizeof(msg->body) || msg->nfds > VU_FDS_MAX)
		return -EINVAL;
	return fd_sendmsg(sock, iov, ARRAY_SIZE(iov), msg->fds, msg->nfds);
}

void vu_msg_close_fds(struct vu_msg *msg)
{
	for (unsigned int i = 0; i < msg->nfds; i++)
		fd_close(&msg->fds[i]);
	msg->nfds = 0;
}

const char *vu_request_name(uint32_t request)
{
	if (request >= VU_REQUEST_MAX || !names[request])
		return "?";
	return names[request];
}
