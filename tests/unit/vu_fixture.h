/* SPDX-License-Identifier: Apache-2.0 */
/* A vhost-user device with a front-end made of a test, and an owner that writes down its calls. */
#ifndef CULVERT_VU_FIXTURE_H
#define CULVERT_VU_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vu_dev.h"
#include "vu_msg.h"

#define FIX_QUEUES 3u
#define FIX_RAM    (UINT64_C(4) << 20) /* bytes of guest memory */
#define FIX_GPA    UINT64_C(0x40000000)
#define FIX_UVA    UINT64_C(0x7f0000000000)
#define FIX_SHMEM  (UINT64_C(8) << 20) /* bytes of shared memory */

/* Offsets into guest memory of ring @i's areas. */
#define FIX_DESC(i)  ((i)*UINT64_C(0x10000))
#define FIX_AVAIL(i) (FIX_DESC(i) + 0x4000)
#define FIX_USED(i)  (FIX_DESC(i) + 0x6000)

#define BIT(n) (UINT64_C(1) << (n))

/* What is offered: bits 26, 28, 29, 30, 32, 34, and 0, 1, 3, 5, 10, 12, 13, 15, 16, 22. */
#define FIX_FEATURES       UINT64_C(0x574000000)
#define FIX_PROTOCOL_NOTAG (UINT64_C(0x41b42b) | BIT(VU_PROTOCOL_F_SHMEM_ADDR))
#define FIX_PROTOCOL       (FIX_PROTOCOL_NOTAG | BIT(VU_PROTOCOL_F_CONFIG))
/* No packed rings. */
#define FIX_SPLIT (FIX_FEATURES & ~BIT(34) & ~BIT(VU_F_LOG_ALL))

/**
 * struct fix - the device and its two neighbours.
 * @fe:     the front-end's end of the connection.
 * @memfd:  guest memory, @ram mapped here.
 * @calls:  the owner's diary: Q quiesce, R resume, +N start, -N stop, X reset.
 * @start_result: what vring_start answers.
 * @on_stop, @on_quiesce, @on_resume: called from within, or NULL.
 * @kick, @call, @err: our copies of the last rings' descriptors.
 */
struct fix {
	struct vu_dev *dev;
	int fe;
	int memfd;
	uint8_t *ram;
	char calls[512];
	int start_result;
	int failed; /* what vring_failed() was told last */
	void (*on_stop)(struct fix *f, struct vu_vring *vr);
	void (*on_quiesce)(struct fix *f);
	void (*on_resume)(struct fix *f);
	int kick[FIX_QUEUES];
	int call[FIX_QUEUES];
	int err[FIX_QUEUES];
};

/** fix_init() - a connected device; @tag may be NULL. */
void fix_init(struct fix *f, const char *tag);

/** fix_done() - free it; every call of the owner must have been balanced. */
void fix_done(struct fix *f);

/** fix_connect() - a new connection in place of the old one. */
void fix_connect(struct fix *f);

/** fix_negotiate() - SET_PROTOCOL_FEATURES and SET_FEATURES. */
void fix_negotiate(struct fix *f, uint64_t features, uint64_t protocol);

/** fix_send() - put one message on the wire; descriptors are not closed. */
void fix_send(struct fix *f, uint32_t request, uint32_t flags, const void *body, size_t size,
	      const int *fds, unsigned int nfds);

/** fix_reply() - all bytes that have come back, header included; with at most one descriptor. */
size_t fix_reply(struct fix *f, void *buf, size_t max, int *ret_fd);

/** fix_do() - send without NEED_REPLY; vu_dev_handle()'s result. No answer may come. */
int fix_do(struct fix *f, uint32_t request, const void *body, size_t size, const int *fds,
	   unsigned int nfds);

/** fix_ack() - send with NEED_REPLY, serve; returns the u64 that was answered. */
uint64_t fix_ack(struct fix *f, uint32_t request, const void *body, size_t size, const int *fds,
		 unsigned int nfds);

/** fix_get() - send, serve, and take the answer's payload, which must be @size bytes. */
void fix_get(struct fix *f, uint32_t request, const void *body, size_t body_size, void *ret,
	     size_t size, int *ret_fd);

/** fix_u64() - fix_do() with a number, which must succeed. */
void fix_u64(struct fix *f, uint32_t request, uint64_t value);

/** fix_state() - fix_do() with a ring state. */
int fix_state(struct fix *f, uint32_t request, uint32_t index, uint32_t num);

/** fix_fd() - SET_VRING_KICK, CALL or ERR with a descriptor. */
int fix_fd(struct fix *f, uint32_t request, uint32_t index, int fd);

/** fix_addr() - SET_VRING_ADDR of ring @index, at its place in guest memory. */
int fix_addr(struct fix *f, uint32_t index, uint32_t flags, uint64_t log);

/** fix_region() - guest memory from @start on, @size bytes. */
struct vu_mem_region fix_region(uint64_t start, uint64_t size);

/** fix_memory() - SET_MEM_TABLE with all of guest memory as one region. */
void fix_memory(struct fix *f);

/** fix_begin() - fix_init() without a tag, fix_negotiate(), fix_memory(). */
void fix_begin(struct fix *f, uint64_t features);

/** fix_enable() - SET_VRING_ENABLE. */
void fix_enable(struct fix *f, uint32_t index, bool on);

/** fix_ring() - describe a ring of @num descriptors from base @base, and start it. */
void fix_ring(struct fix *f, uint32_t index, uint32_t num, uint32_t base);

/** fix_get_base() - GET_VRING_BASE. */
uint32_t fix_get_base(struct fix *f, uint32_t index);

/** fix_calls() - the diary must read like this since the last time. */
void fix_calls(struct fix *f, const char *expected);

/** fix_counter() - take an eventfd's count; 0 when it was not signalled. */
uint64_t fix_counter(int evfd);

/** fix_open_fds() - descriptors that this process has open. */
unsigned int fix_open_fds(void);

/** fix_mappings() - memfds that this process has mapped, each as often as it is; the empty mirror of a window aside. */
unsigned int fix_mappings(void);

#endif
