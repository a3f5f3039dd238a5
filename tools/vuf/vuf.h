/* SPDX-License-Identifier: Apache-2.0 */
/* A vhost-user front-end in user space: the connection, its messages, and bringing a device up. */
#ifndef CULVERT_VUF_H
#define CULVERT_VUF_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vu_msg.h"
#include "vuf_dax.h"
#include "vuf_mem.h"
#include "vuf_ring.h"

#define VUF_RINGS_MAX   65u /* hiprio and 64 request queues */
#define VUF_F_VERSION_1 32  /* feature bits that virtio_ring.h does not number */
#define VUF_F_PACKED    34
#define VUF_TAG_MAX     36u /* bytes of the tag in the configuration space */

/* Protocol features that vuf_negotiate() takes when they are offered. */
#define VUF_PROTO_ALL                                                                \
	(1ull << VU_PROTOCOL_F_MQ | 1ull << VU_PROTOCOL_F_LOG_SHMFD |                \
	 1ull << VU_PROTOCOL_F_REPLY_ACK | 1ull << VU_PROTOCOL_F_BACKEND_REQ |       \
	 1ull << VU_PROTOCOL_F_CONFIG | 1ull << VU_PROTOCOL_F_BACKEND_SEND_FD |      \
	 1ull << VU_PROTOCOL_F_INFLIGHT_SHMFD | 1ull << VU_PROTOCOL_F_RESET_DEVICE | \
	 1ull << VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS | 1ull << VU_PROTOCOL_F_STATUS)

/**
 * struct vuf_conf - what a front-end is to be like. All zero is a sensible one.
 * @packed:      packed rings instead of split ones.
 * @no_indirect, @no_event_idx: do not take that feature.
 * @rings:       virtqueues, hiprio included; 0 = 2.
 * @ring_size:   descriptors of each; 0 = 128.
 * @region, @nregions: guest memory; @nregions 0 = 64 MiB in three regions, two of them adjacent and
 *               then a hole.
 * @proto:       protocol features to take when they are offered; 0 = VUF_PROTO_ALL.
 * @log_all:     take VHOST_F_LOG_ALL when it is offered.
 * @no_ack:      do not ask for an answer to messages that have none of their own.
 * @timeout_ms:  longest wait for any answer; 0 = 20 s.
 * @rules:       the personality of a front-end with a DAX window; then @proto does not count. NULL = none.
 * @dax_size:    bytes of the window, where the personality has it that they are not asked for.
 */
struct vuf_conf {
	bool packed;
	bool no_indirect;
	bool no_event_idx;
	unsigned int rings;
	uint16_t ring_size;
	const struct vuf_region *region;
	unsigned int nregions;
	uint64_t proto;
	bool log_all;
	bool no_ack;
	int timeout_ms;
	const struct vuf_rules *rules;
	uint64_t dax_size;
};

/**
 * struct vuf - a front-end: guest memory, rings, and a connection or none.
 *
 * Messages are sent by one thread, and by the one that serves the back-end channel. A ring may be
 * another thread's.
 *
 * @conf:       defaults filled in; constant.
 * @mem:        guest memory.
 * @ring, @nrings: the virtqueues; constant.
 * @sock:       the connection, or -1. Message thread.
 * @backend_fd: our end of the back-end channel, or -1. Message thread.
 * @offered, @features, @proto_offered, @proto: device and protocol features. Message thread.
 * @unique:     of the FUSE request that was made last. Any thread.
 */
struct vuf {
	struct vuf_conf conf;
	struct vuf_mem mem;
	struct vuf_ring *ring;
	unsigned int nrings;
	int sock;
	int backend_fd;
	uint64_t offered;
	uint64_t features;
	uint64_t proto_offered;
	uint64_t proto;
	pthread_mutex_t lock;
	struct vuf_dax *dax;
	_Atomic uint64_t unique;
};

/** vuf_new() - guest memory and empty rings; no connection. 0 or -errno. */
int vuf_new(const struct vuf_conf *conf, struct vuf **ret);

/** vuf_free() - hang up and free everything. Accepts NULL. */
void vuf_free(struct vuf *v);

/** vuf_connect() - a connected socket to the listener at @path; shorter than 108 bytes. fd or -errno. */
int vuf_connect(const char *path);

/** vuf_attach() - speak over @sock, which becomes the front-end's. Hangs up before, if need be. */
void vuf_attach(struct vuf *v, int sock);

/** vuf_hangup() - close the connection and the back-end channel. Memory and rings stay. */
void vuf_hangup(struct vuf *v);

/**
 * vuf_bring_up() - all that a driver needs: negotiate, share the memory, start every ring.
 *
 * The rings go on from where they are: on new ones from the beginning, after a hang-up from where the
 * driver saw them used. Returns 0 or a negative errno (see vuf_send_ack()); -ENOTSUP: the back end
 * lacks what the configuration needs (packed rings, VERSION_1, protocol features, enough queues).
 */
int vuf_bring_up(struct vuf *v);

/** vuf_negotiate() - features, protocol features, owner. As vuf_bring_up(). */
int vuf_negotiate(struct vuf *v);

/** vuf_share_mem() - SET_MEM_TABLE with all regions (or the first 8, then ADD_MEM_REG). */
int vuf_share_mem(struct vuf *v);

/**
 * vuf_ring_start() - NUM, ADDR, BASE, ERR, CALL, KICK and ENABLE of ring @i.
 * @base: for SET_VRING_BASE; vuf_ring_base() goes on where the driver is.
 */
int vuf_ring_start(struct vuf *v, unsigned int i, uint32_t base);

/**
 * vuf_ring_stop() - GET_VRING_BASE of ring @i, which stops it.
 * @ret_base: where the device stands; may be NULL.
 */
int vuf_ring_stop(struct vuf *v, unsigned int i, uint32_t *ret_base);

/* ---- single messages; all return 0 or a negative errno, see vuf_send_ack() ---- */

/**
 * vuf_send() - one message, no answer read.
 * @body: @size bytes, at most 512; may be NULL with 0.
 * @fds:  @nfds descriptors that go with it; they stay the caller's.
 * @need_reply: set VHOST_USER_NEED_REPLY.
 */
int vuf_send(struct vuf *v, uint32_t request, const void *body, size_t size, const int *fds,
	     unsigned int nfds, bool need_reply);

/** vuf_send_bytes() - any bytes with any descriptors, at most 8. */
int vuf_send_bytes(struct vuf *v, const void *bytes, size_t size, const int *fds,
		   unsigned int nfds);

/**
 * vuf_recv() - the answer to @request.
 * @ret: filled in; its descriptors are the caller's to take or to close.
 *
 * Returns 0, -ETIMEDOUT, -ECONNRESET (the back end hung up), or -EPROTO (answers something else, or not
 * as an answer must look).
 */
int vuf_recv(struct vuf *v, uint32_t request, struct vu_msg *ret);

/**
 * vuf_send_ack() - a message that has no answer of its own; asks for one with REPLY_ACK.
 *
 * Returns 0, -EREMOTEIO when the back end answers that it failed, or what vuf_recv() returns. Without
 * REPLY_ACK (or with conf.no_ack) it does not wait.
 */
int vuf_send_ack(struct vuf *v, uint32_t request, const void *body, size_t size, const int *fds,
		 unsigned int nfds);

/** vuf_get_u64() - a request without payload that is answered with 64 bits. */
int vuf_get_u64(struct vuf *v, uint32_t request, uint64_t *ret);

/** vuf_set_u64() - a request with 64 bits: SET_FEATURES, SET_PROTOCOL_FEATURES, SET_STATUS. */
int vuf_set_u64(struct vuf *v, uint32_t request, uint64_t val);

/** vuf_set_none() - a request without payload: SET_OWNER, RESET_OWNER, RESET_DEVICE. */
int vuf_set_none(struct vuf *v, uint32_t request);

/** vuf_set_state() - SET_VRING_NUM, _BASE, _ENABLE, VRING_KICK. */
int vuf_set_state(struct vuf *v, uint32_t request, uint32_t index, uint32_t num);

/** vuf_set_addr() - SET_VRING_ADDR; @flags: VU_VRING_F_LOG logs the used ring. */
int vuf_set_addr(struct vuf *v, unsigned int i, uint32_t flags);

/** vuf_set_fd() - SET_VRING_KICK, _CALL, _ERR; a negative @fd says that there is none. */
int vuf_set_fd(struct vuf *v, uint32_t request, unsigned int i, int fd);

/** vuf_get_base() - GET_VRING_BASE. */
int vuf_get_base(struct vuf *v, unsigned int i, uint32_t *ret);

/** vuf_region_wire() - a region as messages describe it. */
struct vu_mem_region vuf_region_wire(const struct vuf_region *rg);

/** vuf_add_region(), vuf_rem_region() - ADD_MEM_REG, REM_MEM_REG; only tell, map nothing. */
int vuf_add_region(struct vuf *v, const struct vuf_region *rg);
int vuf_rem_region(struct vuf *v, const struct vuf_region *rg);

/**
 * vuf_get_config() - bytes of the configuration space.
 * @buf: @size bytes, at most VU_CONFIG_MAX.
 *
 * -EREMOTEIO when the back end answers with an empty payload, which is how it refuses.
 */
int vuf_get_config(struct vuf *v, uint32_t offset, uint32_t size, void *buf);

/** vuf_set_config() - SET_CONFIG. */
int vuf_set_config(struct vuf *v, uint32_t offset, uint32_t size, const void *buf);

/** vuf_set_log() - SET_LOG_BASE: a dirty log of @size bytes at @offset of @fd. */
int vuf_set_log(struct vuf *v, int fd, uint64_t size, uint64_t offset);

/** vuf_set_backend_channel() - SET_BACKEND_REQ_FD with a new socket pair. */
int vuf_set_backend_channel(struct vuf *v);

/** vuf_get_shmem_config() - GET_SHMEM_CONFIG. */
int vuf_get_shmem_config(struct vuf *v, struct vu_shmem_config *ret);

/** vuf_set_shmem_addr() - SET_SHMEM_ADDR of the window; @size 0: the guest cannot see it. */
int vuf_set_shmem_addr(struct vuf *v, uint64_t gpa, uint64_t size);

/**
 * vuf_get_inflight() - GET_INFLIGHT_FD for all rings.
 * @ret:    the region's description.
 * @ret_fd: its memory, owned by the caller.
 */
int vuf_get_inflight(struct vuf *v, struct vu_inflight *ret, int *ret_fd);

/** vuf_set_inflight() - SET_INFLIGHT_FD. */
int vuf_set_inflight(struct vuf *v, const struct vu_inflight *in, int fd);

#endif
