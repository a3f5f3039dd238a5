// SPDX-License-Identifier: Apache-2.0
/* The vhost-user device: the memory that tells which requests were in flight. */
/*
 * Theory of operation
 *
 * GET_INFLIGHT_FD makes a sealed memfd, hands it to the front-end and forgets it. SET_INFLIGHT_FD
 * brings it back, in this process or in the one that follows it after a crash. The region has one
 * part per queue, each a multiple of 64 bytes; the layout of a part is vq_inflight.h's. A ring is
 * attached to its part when it starts and detached when it stops, so the region only changes while
 * all rings are stopped.
 *
 * What the region holds is as hostile as guest memory, and checked by vq_inflight_attach(). It may be
 * taken away like guest memory, too, and is guarded (guard.h).
 *
 * Control thread only.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "guard.h"
#include "util.h"
#include "vq.h"
#include "vq_inflight.h"
#include "vu_dev.h"
#include "vu_priv.h"

#define PART_ALIGN ((size_t)64)

/* Bytes of one queue's part; 0 when the description makes no sense. */
static size_t part_size(const struct vu_dev *dev, const struct vu_inflight *desc)
{
	bool packed = vu_dev_has(dev, VIRTIO_F_RING_PACKED);

	if (desc->num_queues == 0 || desc->num_queues > dev->conf.max_queues ||
	    desc->queue_size == 0 || desc->queue_size > VQ_SIZE_MAX)
		return 0;
	return (vq_inflight_size(desc->queue_size, packed) + PART_ALIGN - 1) & ~(PART_ALIGN - 1);
}

/* The seals keep the front-end from taking the memory away under us. */
/* seccomp: memfd_create, ftruncate, fcntl 1==F_ADD_SEALS */
static int make_region(size_t len)
{
	scoped_fd int fd = memfd_create("culvert-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)len) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return fd_steal(&fd);
}

int vu_inflight_get_fd(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	const struct vu_inflight *desc = &msg->body.inflight;
	struct vu_inflight *res = &reply->body.inflight;
	size_t part = part_size(dev, desc);
	int fd;

	if (!part)
		return -EINVAL;
	reply->hdr.size = msg->hdr.size;
	res->num_queues = desc->num_queues;
	res->queue_size = desc->queue_size;
	fd = make_region(part * desc->num_queues);
	if (fd < 0)
		return 0; /* size 0: there is nothing to track with, which is no reason to part */
	res->mmap_size = part * desc->num_queues;
	reply->fds[0] = fd;
	reply->nfds = 1;
	return 0;
}

int vu_inflight_set_fd(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	const struct vu_inflight *desc = &msg->body.inflight;
	size_t part = part_size(dev, desc);
	uint64_t size = desc->mmap_size, offset = desc->mmap_offset, end;
	struct guard_entry *guard = NULL;
	struct stat st;
	void *base;
	int r;

	(void)reply;
	if (!part || size < part * desc->num_queues || size > SIZE_MAX / 2 ||
	    offset % (uint64_t)sysconf(_SC_PAGESIZE) || __builtin_add_overflow(offset, size, &end))
		return -EINVAL;
	r = fd_stat(msg->fds[0], &st);
	if (r < 0)
		return r;
	if (!S_ISREG(st.st_mode) || end > (uint64_t)st.st_size)
		return -EINVAL;
	size = part * desc->num_queues;
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, msg->fds[0], (off_t)offset);
	if (base == MAP_FAILED)
		return -errno;
	r = guard_add(base, size, gmem_page_size(msg->fds[0]), &guard);
	if (r == 0)
		r = vu_vring_settle_all(dev);
	if (r < 0) {
		guard_del(guard);
		munmap(base, size);
		return r;
	}
	vu_inflight_reset(dev);
	dev->inflight = base;
	dev->inflight_len = size;
	dev->inflight_guard = guard;
	for (unsigned int i = 0; i < desc->num_queues; i++) {
		dev->vrings[i].inflight = (uint8_t *)base + i * part;
		dev->vrings[i].inflight_size = part;
	}
	return 0;
}

void vu_inflight_reset(struct vu_dev *dev)
{
	for (unsigned int i = 0; i < dev->conf.max_queues; i++) {
		dev->vrings[i].inflight = NULL;
		dev->vrings[i].inflight_size = 0;
	}
	guard_del(dev->inflight_guard);
	dev->inflight_guard = NULL;
	if (dev->inflight)
		munmap(dev->inflight, dev->inflight_len);
	dev->inflight = NULL;
	dev->inflight_len = 0;
}
