/* SPDX-License-Identifier: Apache-2.0 */
/* A vhost-user device: everything that the front-end says, one table row a request. */
#ifndef CULVERT_VU_DEV_H
#define CULVERT_VU_DEV_H

#include <stdbool.h>
#include <stdint.h>

#include "gmem.h"
#include "vq.h"
#include "vu_msg.h"

#define VU_QUEUES_MAX 65u /* hiprio and 64 request queues */

/**
 * struct vu_vring - a ring as the front-end describes it, and its virtqueue.
 * @vq:       the running virtqueue. The queue's thread's while started; the control thread's when
 *            the queues are quiesced or the ring is stopped.
 * @index:    0 = hiprio, 1… = request queues.
 * @conf:     what SET_VRING_NUM, _ADDR and _BASE said. Control thread.
 * @have_addr: SET_VRING_ADDR came. Control thread.
 * @kick_fd:  non-blocking, readable: an eventfd, pipe or socket; or -1. A pipe or socket whose
 *            other end was closed stays readable for ever. Changed by the control thread while the
 *            ring is stopped or the queues are quiesced.
 * @call_fd, @err_fd: non-blocking, writable, of the same kinds; or -1. User-Mode Linux passes
 *            sockets, so the process must ignore SIGPIPE. Changed while the ring is stopped or the
 *            queues are quiesced.
 * @enabled:  SET_VRING_ENABLE (or no protocol features). Changed while the ring is stopped or the
 *            queues are quiesced.
 * @started:  between vring_start and vring_stop. Control thread.
 * @served:   it was enabled at some time since it started. Control thread.
 * @lost:     a change of the memory table took the ring's own memory away; @vq is broken until a
 *            later table has it again. Control thread.
 * @inflight: this queue's part of the inflight region, or NULL. Control thread.
 * @inflight_size: its bytes. Control thread.
 */
struct vu_vring {
	struct vq vq;
	unsigned int index;
	struct vq_conf conf;
	bool have_addr;
	int kick_fd;
	int call_fd;
	int err_fd;
	bool enabled;
	bool started;
	bool served;
	bool lost;
	uint8_t *inflight;
	size_t inflight_size;
};

/**
 * struct vu_dev_ops - what the device asks of its owner. All on the control thread.
 *
 * @vring_start: the ring is ready (vq_start() is done): serve it from now on. 0 or -errno.
 * @vring_failed: the front-end has said all of a ring, and it cannot be started: a negative errno; -EFAULT
 *               when it is not in the guest's memory, as far as that was shown to us.
 * @vring_stop:  serve it no longer. On return its thread does not touch it, and every chain that
 *               was taken has been pushed, or is given up. The device then calls vq_stop().
 * @quiesce:     on return no queue thread touches a vring or guest memory table, until @resume.
 *               Requests elsewhere (pool) may go on: they hold their own table. Not nested.
 * @resume:      go on; queues look at their rings again even without a kick.
 * @reset:       the device was reset (RESET_DEVICE) or the front-end is gone: all rings are
 *               stopped; end the FUSE session. RESET_OWNER and SET_STATUS 0 stop the rings without
 *               this: QEMU stops a device in the same way whether its guest was reset or is merely
 *               paused, and then the mount must live on. A guest that was rebooted says so itself:
 *               its FUSE_INIT ends the old session.
 */
struct vu_dev_ops {
	int (*vring_start)(void *owner, struct vu_vring *vr);
	void (*vring_failed)(void *owner, struct vu_vring *vr, int error);
	void (*vring_stop)(void *owner, struct vu_vring *vr);
	void (*quiesce)(void *owner);
	void (*resume)(void *owner);
	void (*reset)(void *owner);
};

/**
 * struct vu_dev_conf - how the device presents itself.
 * @ops, @owner: upward calls.
 * @max_queues:  hiprio included; what GET_QUEUE_NUM answers.
 * @num_request_queues: in the configuration space.
 * @tag:         in the configuration space; NULL = do not offer VHOST_USER_PROTOCOL_F_CONFIG
 *               (QEMU 7.1 to 8.0 warn, and crash while doing so, when it is offered needlessly).
 * @shmem_size:  bytes of shared memory region 0, the DAX window; 0 = there is none.
 * @alioth:      offer shared memory by the feature bit that alioth knows it by.
 */
struct vu_dev_conf {
	const struct vu_dev_ops *ops;
	void *owner;
	unsigned int max_queues;
	unsigned int num_request_queues;
	const char *tag;
	uint64_t shmem_size;
	bool alioth;
};

struct vu_dev;

/** vu_dev_new() - a device with no front-end. -EINVAL: tag empty or over 36 bytes. 0 or -errno. */
int vu_dev_new(const struct vu_dev_conf *conf, struct vu_dev **ret);

/** vu_dev_free() - disconnects first. Accepts NULL. */
void vu_dev_free(struct vu_dev *dev);

/** vu_dev_connect() - serve the front-end at @sock, which becomes the device's. */
void vu_dev_connect(struct vu_dev *dev, int sock);

/**
 * vu_dev_handle() - read on, and serve one message when it is whole; does not wait for it.
 *
 * Returns 1 when it was served (also when it was refused in a way that the protocol can say) or is not
 * whole yet, 0 when the front-end hung up, or a negative errno when it broke the protocol: drop the connection.
 * The message is logged at debug. Control thread.
 */
int vu_dev_handle(struct vu_dev *dev);

/** vu_dev_disconnect() - stop all rings, reset, close every descriptor, unmap guest memory. */
void vu_dev_disconnect(struct vu_dev *dev);

/** vu_dev_vring() - the ring with this index, or NULL. */
struct vu_vring *vu_dev_vring(struct vu_dev *dev, unsigned int index);

/** vu_dev_shmem_ready() - whether the front-end can map into shared memory at all. Control thread. */
bool vu_dev_shmem_ready(struct vu_dev *dev);

/**
 * vu_dev_shmem_map() - let a part of a file appear in shared memory.
 * @fd:         the file, open for reading, and for writing as well with @write; stays the caller's.
 * @fd_offset:  where the part begins, bytes. A multiple of the page, as all that follows.
 * @shm_offset: where in shared memory it is to be. Nothing is mapped there.
 * @len:        bytes.
 *
 * Waits for the front-end: any thread but the control thread, which must be free to serve it. Once
 * this returns 0 the guest can see it. Otherwise as vu_backreq_map(); -ENOSPC when the front-end
 * could not have more mappings.
 */
int vu_dev_shmem_map(struct vu_dev *dev, int fd, uint64_t fd_offset, uint64_t shm_offset,
		     uint64_t len, bool write);

/** vu_dev_shmem_unmap() - take exactly one such mapping away; as vu_backreq_unmap(). */
int vu_dev_shmem_unmap(struct vu_dev *dev, uint64_t shm_offset, uint64_t len);

/** vu_dev_shmem_outcome() - what came of the last of these; as vu_backreq_outcome(). */
int vu_dev_shmem_outcome(struct vu_dev *dev);

/** vu_vring_call() - notify the driver. The thread that owns the vring. */
void vu_vring_call(struct vu_vring *vr);

/** vu_vring_error() - tell the front-end that the ring is broken (its err eventfd, if any). */
void vu_vring_error(struct vu_vring *vr);

#endif
