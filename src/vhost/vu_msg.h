/* SPDX-License-Identifier: Apache-2.0 */
/* vhost-user messages: numbers, layouts, framing. For the device and the front-end library. */
#ifndef CULVERT_VU_MSG_H
#define CULVERT_VU_MSG_H

#include <stddef.h>
#include <stdint.h>

/* Requests from the front-end (vhost-user specification, "Front-end message types"). */
enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_LOG_BASE = 6,
	VU_SET_LOG_FD = 7,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_SET_BACKEND_REQ_FD = 21,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_GET_INFLIGHT_FD = 31,
	VU_SET_INFLIGHT_FD = 32,
	VU_RESET_DEVICE = 34,
	VU_VRING_KICK = 35,
	VU_GET_MAX_MEM_SLOTS = 36,
	VU_ADD_MEM_REG = 37,
	VU_REM_MEM_REG = 38,
	VU_SET_STATUS = 39,
	VU_GET_STATUS = 40,
	VU_GET_SHMEM_CONFIG = 44,
	VU_REQUEST_MAX = 45, /* first number that no request has */
};

/*
 * Ours, and agreed on with contrib/qemu, until the specification has a number for it: where the guest sees
 * shared memory, so that buffers of requests may lie in it.
 */
#define VU_SET_SHMEM_ADDR        1000u
#define VU_PROTOCOL_F_SHMEM_ADDR 62

/* Requests to the front-end, over the back-end channel. */
enum vu_backend_request {
	VU_BACKEND_CONFIG_CHANGE_MSG = 2,
	VU_BACKEND_SHMEM_MAP = 9,
	VU_BACKEND_SHMEM_UNMAP = 10,
};

/* Bits of GET_PROTOCOL_FEATURES. */
enum vu_protocol_feature {
	VU_PROTOCOL_F_MQ = 0,
	VU_PROTOCOL_F_LOG_SHMFD = 1,
	VU_PROTOCOL_F_REPLY_ACK = 3,
	VU_PROTOCOL_F_BACKEND_REQ = 5,
	VU_PROTOCOL_F_CONFIG = 9,
	VU_PROTOCOL_F_BACKEND_SEND_FD = 10,
	VU_PROTOCOL_F_INFLIGHT_SHMFD = 12,
	VU_PROTOCOL_F_RESET_DEVICE = 13,
	VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
	VU_PROTOCOL_F_STATUS = 16,
	VU_PROTOCOL_F_SHMEM_ALIOTH = 21, /* alioth's SHMEM; the specification's GPA_ADDRESSES */
	VU_PROTOCOL_F_SHMEM = 22,
};

#define VU_F_LOG_ALL           26 /* feature bit: log writes to guest memory */
#define VU_F_PROTOCOL_FEATURES 30 /* feature bit: protocol features exist */

#define VU_VERSION         1u
#define VU_VERSION_MASK    3u
#define VU_FLAG_REPLY      (1u << 2)
#define VU_FLAG_NEED_REPLY (1u << 3)

#define VU_MEM_REGIONS_MAX 8u    /* of SET_MEM_TABLE */
#define VU_FDS_MAX         8u    /* of one message */
#define VU_CONFIG_MAX      256u  /* bytes of configuration space in a message */
#define VU_VRING_IDX_MASK  0xffu /* of SET_VRING_KICK, CALL, ERR */
#define VU_VRING_NOFD      (1u << 8)
#define VU_VRING_F_LOG     (1u << 0) /* of vu_vring_addr.flags */

struct vu_hdr {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* bytes of payload that follow */
} __attribute__((packed));

struct vu_vring_state {
	uint32_t index;
	uint32_t num;
} __attribute__((packed));

struct vu_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
} __attribute__((packed));

struct vu_mem_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t uva;
	uint64_t offset;
} __attribute__((packed));

struct vu_mem_table {
	uint32_t count;
	uint32_t padding;
	struct vu_mem_region region[VU_MEM_REGIONS_MAX];
} __attribute__((packed));

struct vu_mem_reg {
	uint64_t padding;
	struct vu_mem_region region;
} __attribute__((packed));

struct vu_log {
	uint64_t size;
	uint64_t offset;
} __attribute__((packed));

struct vu_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t data[VU_CONFIG_MAX];
} __attribute__((packed));

#define VU_CONFIG_HDR 12u /* bytes of struct vu_config before its data */

/*
 * The specification lists 20 bytes; front-ends that send the C structure send the 4 bytes of
 * padding too, and want as many back as they sent.
 */
struct vu_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
	uint32_t padding;
} __attribute__((packed));

#define VU_INFLIGHT_MIN 20u /* bytes of struct vu_inflight before its padding */

#define VU_SHMEM_REGIONS 256u /* shared memory regions, by their id */

/* The answer to GET_SHMEM_CONFIG: always whole, the index is the region's id. */
struct vu_shmem_config {
	uint32_t nregions; /* sizes that are not zero */
	uint32_t padding;
	uint64_t size[VU_SHMEM_REGIONS];
} __attribute__((packed));

#define VU_SHMEM_MAP_RW (UINT64_C(1) << 0) /* of vu_shmem_map.flags; without it, read-only */

/* Of SHMEM_MAP and SHMEM_UNMAP. */
struct vu_shmem_map {
	uint8_t shmid;
	uint8_t padding[7];
	uint64_t fd_offset;
	uint64_t shm_offset;
	uint64_t len;
	uint64_t flags;
} __attribute__((packed));

/* Of SET_SHMEM_ADDR; @size 0: not in the address space. */
struct vu_shmem_addr {
	uint8_t shmid;
	uint8_t padding[7];
	uint64_t gpa;
	uint64_t size;
} __attribute__((packed));

union vu_payload {
	uint64_t u64;
	struct vu_vring_state state;
	struct vu_vring_addr addr;
	struct vu_mem_table mem;
	struct vu_mem_reg reg;
	struct vu_log log;
	struct vu_config config;
	struct vu_inflight inflight;
	struct vu_shmem_map shmem;
	struct vu_shmem_addr shmem_addr;
	struct vu_shmem_config shmem_config;
	uint8_t bytes[sizeof(struct vu_shmem_config)];
};

/**
 * struct vu_msg - one message, with the descriptors that came with it.
 * @hdr:  as on the wire.
 * @body: @hdr.size bytes are valid; the rest is zero.
 * @fds:  owned by the message until taken with fd_steal().
 * @nfds: entries in @fds.
 */
struct vu_msg {
	struct vu_hdr hdr;
	union vu_payload body;
	int fds[VU_FDS_MAX];
	unsigned int nfds;
};

/**
 * vu_msg_recv() - read one message.
 *
 * Returns 1, 0 at a clean end of the connection, -EPROTO (wrong version, payload too large),
 * -EMSGSIZE (too many descriptors) or what recvmsg(2) says. On anything but 1 no descriptor stays
 * open.
 */
int vu_msg_recv(int sock, struct vu_msg *msg);

/**
 * struct vu_reader - a message that is coming in, perhaps by pieces.
 * @msg:       what is there of it.
 * @hdr_have:  bytes of its header.
 * @body_have: bytes of its payload.
 */
struct vu_reader {
	struct vu_msg msg;
	size_t hdr_have;
	size_t body_have;
};

/** vu_reader_init() - no message yet. */
void vu_reader_init(struct vu_reader *rd);

/** vu_reader_done() - drop what came of a message, its descriptors included. */
void vu_reader_done(struct vu_reader *rd);

/**
 * vu_msg_read() - vu_msg_recv() without waiting: goes on with the message where it left off.
 * @ret: filled in when the message is whole.
 *
 * Returns 1, -EAGAIN when it is not whole yet, 0 when the peer closed between two messages, or a negative
 * errno.
 */
int vu_msg_read(int sock, struct vu_reader *rd, struct vu_msg *ret);

/** vu_msg_send() - write header and @hdr.size bytes in one sendmsg(2), with @fds. 0 or -errno. */
int vu_msg_send(int sock, const struct vu_msg *msg);

/** vu_msg_close_fds() - close what was not taken. */
void vu_msg_close_fds(struct vu_msg *msg);

/** vu_request_name() - "SET_MEM_TABLE" and so on; "?" for an unknown number. */
const char *vu_request_name(uint32_t request);

#endif
