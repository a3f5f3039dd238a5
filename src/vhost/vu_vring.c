// SPDX-License-Identifier: Apache-2.0
/* The vhost-user device: rings, from their description to their start and stop. */
/*
 * Theory of operation
 *
 * A ring is stopped, or started; a started one is enabled or not, and only an enabled one is
 * served. It starts as soon as it has a size, addresses and a kick descriptor: the specification
 * lets it start with the first kick, but a kick may have been spent before we came. It stops by
 * GET_VRING_BASE, by a reset, or by being described anew while it is disabled. A stop takes the
 * kick descriptor away, so that the ring does not start again by itself. Only one that was never
 * enabled keeps it: alioth gives it first, also to a ring whose old description is still here.
 *
 * Order at the start: vq_start(), inflight tracking, then the owner serves it; at the stop the
 * owner lets go first, then vq_stop(), which ends the tracking. When it cannot start, the front-end
 * hears of it through the err descriptor, and each message that could have changed something tries
 * again.
 *
 * A memory table without the ring's own pages marks the ring lost; it goes on when they come back.
 * Until then its vq counts as broken.
 *
 * Descriptors that the front-end passes must be of a kind that never blocks once they are
 * non-blocking: an eventfd or another anonymous file, a pipe, a socket. Files, directories and
 * devices are refused: reading those may hang, and polling them may spin.
 *
 * Control thread only, except vu_vring_call() and vu_vring_error().
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/stat.h>

#include "fd.h"
#include "log.h"
#include "util.h"
#include "vq_inflight.h"
#include "vu_dev.h"
#include "vu_priv.h"

static_assert(VU_QUEUES_MAX - 1 <= VU_VRING_IDX_MASK, "every index fits in SET_VRING_KICK");

void vu_vring_init(struct vu_vring *vr, unsigned int index)
{
	*vr = (struct vu_vring){.index = index, .kick_fd = -1, .call_fd = -1, .err_fd = -1};
}

void vu_vring_forget(struct vu_vring *vr)
{
	vr->conf = (struct vq_conf){0};
	vr->have_addr = false;
}

void vu_vring_done(struct vu_vring *vr)
{
	fd_close(&vr->kick_fd);
	fd_close(&vr->call_fd);
	fd_close(&vr->err_fd);
	vu_vring_init(vr, vr->index);
}

void vu_vring_call(struct vu_vring *vr)
{
	if (vr->call_fd >= 0)
		fd_signal(vr->call_fd);
}

void vu_vring_error(struct vu_vring *vr)
{
	if (vr->err_fd >= 0)
		fd_signal(vr->err_fd);
}

static void set_log(struct vu_dev *dev, struct vu_vring *vr)
{
	vr->vq.log = vu_dev_has(dev, VU_F_LOG_ALL) && dev->log.base ? &dev->log : NULL;
}

/*
 * User-Mode Linux says base 0 for a new packed ring too, where both wrap counters are 1. A ring that has
 * really come round to that base got a used descriptor in its last round, the one that ends at the ring's
 * end. It is still there, or one that was made available after it, in the next round: both have the used
 * bit set, which nothing in a fresh ring has.
 */
static void guess_packed_base(const struct vu_dev *dev, struct vq_conf *conf)
{
	const volatile struct vring_packed_desc *desc;

	if (!conf->packed || conf->base != 0)
		return;
	desc = gmem_uva(dev->gm, conf->desc, conf->size * sizeof(*desc));
	/* vq_start() refuses such a ring. */
	if (!desc || (uintptr_t)desc % VRING_DESC_ALIGN_SIZE)
		return;
	for (unsigned int i = 0; i < conf->size; i++)
		if (le16toh(desc[i].flags) & 1u << VRING_PACKED_DESC_F_USED)
			return;
	conf->base = VQ_BASE_PACKED;
}

static int start_vq(struct vu_dev *dev, struct vu_vring *vr)
{
	int r = vq_start(&vr->vq, &vr->conf, dev->gm);

	if (r < 0)
		return r;
	set_log(dev, vr);
	if (vr->inflight) {
		r = vq_inflight_attach(&vr->vq, vr->inflight, vr->inflight_size);
		if (r < 0)
			goto stop;
	}
	vr->started = true;
	vr->served = vr->enabled;
	r = dev->conf.ops->vring_start(dev->conf.owner, vr);
	if (r == 0)
		return 0;
	vr->started = false;
stop:
	vr->conf.base = vq_stop(&vr->vq);
	return r;
}

static void try_start(struct vu_dev *dev, struct vu_vring *vr)
{
	int r;

	if (vr->started || vr->kick_fd < 0 || !vr->have_addr || !vr->conf.size)
		return;
	vr->conf.packed = vu_dev_has(dev, VIRTIO_F_RING_PACKED);
	vr->conf.event_idx = vu_dev_has(dev, VIRTIO_RING_F_EVENT_IDX);
	vr->conf.indirect = vu_dev_has(dev, VIRTIO_RING_F_INDIRECT_DESC);
	if (!vu_dev_has(dev, VU_F_PROTOCOL_FEATURES))
		vr->enabled = true;
	guess_packed_base(dev, &vr->conf);
	r = start_vq(dev, vr);
	if (r < 0) {
		log_debug("vhost-user: ring %u cannot start: %s", vr->index, strerror(-r));
		dev->conf.ops->vring_failed(dev->conf.owner, vr, r);
		vu_vring_error(vr);
		return;
	}
	log_debug("vhost-user: ring %u started: %s, %u descriptors, base %#x", vr->index,
		  vr->conf.packed ? "packed" : "split", vr->conf.size, vr->conf.base);
}

/* Its kick descriptor stays. */
static void stop_vq(struct vu_dev *dev, struct vu_vring *vr)
{
	if (vr->started) {
		/* The front-end waits for us, and what it is asked for meanwhile would wait for it. */
		vu_shmem_call_off(dev);
		dev->conf.ops->vring_stop(dev->conf.owner, vr);
		vu_shmem_go_on(dev);
		vr->conf.base = vq_stop(&vr->vq);
		vr->started = false;
		vr->lost = false;
		log_debug("vhost-user: ring %u stopped at base %#x", vr->index, vr->conf.base);
	}
}

static void stop(struct vu_dev *dev, struct vu_vring *vr)
{
	stop_vq(dev, vr);
	fd_close(&vr->kick_fd);
}

int vu_vring_settle(struct vu_dev *dev, struct vu_vring *vr)
{
	if (!vr->started)
		return 0;
	if (vr->enabled)
		return -EBUSY;
	/* Nothing but its description has come since it was given the descriptor. */
	if (!vr->served)
		stop_vq(dev, vr);
	else
		stop(dev, vr);
	return 0;
}

int vu_vring_settle_all(struct vu_dev *dev)
{
	for (unsigned int i = 0; i < dev->conf.max_queues; i++)
		if (dev->vrings[i].started && dev->vrings[i].enabled)
			return -EBUSY;
	for (unsigned int i = 0; i < dev->conf.max_queues; i++)
		vu_vring_settle(dev, &dev->vrings[i]);
	return 0;
}

void vu_vring_stop_all(struct vu_dev *dev)
{
	for (unsigned int i = 0; i < dev->conf.max_queues; i++) {
		stop(dev, &dev->vrings[i]);
		dev->vrings[i].enabled = false;
	}
}

void vu_vring_start_all(struct vu_dev *dev)
{
	for (unsigned int i = 0; i < dev->conf.max_queues; i++)
		try_start(dev, &dev->vrings[i]);
}

static void rebind(struct vu_dev *dev, struct vu_vring *vr)
{
	bool broken = vr->vq.broken;

	if (vq_rebind(&vr->vq, dev->gm) < 0) {
		vr->lost |= !broken;
		vu_vring_error(vr);
	} else if (vr->lost) {
		vr->lost = false;
		vr->vq.broken = false;
	}
}

void vu_vring_rebind_all(struct vu_dev *dev)
{
	for (unsigned int i = 0; i < dev->conf.max_queues; i++)
		if (dev->vrings[i].started)
			rebind(dev, &dev->vrings[i]);
}

void vu_vring_set_log_all(struct vu_dev *dev)
{
	for (unsigned int i = 0; i < dev->conf.max_queues; i++)
		if (dev->vrings[i].started)
			set_log(dev, &dev->vrings[i]);
}

int vu_vring_set_num(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	struct vu_vring *vr = vu_dev_vring(dev, msg->body.state.index);
	uint32_t num = msg->body.state.num;
	int r;

	(void)reply;
	if (!vr || num == 0 || num > VQ_SIZE_MAX)
		return -EINVAL;
	if (!vu_dev_has(dev, VIRTIO_F_RING_PACKED) && num & (num - 1))
		return -EINVAL;
	r = vu_vring_settle(dev, vr);
	if (r < 0)
		return r;
	vr->conf.size = (uint16_t)num;
	try_start(dev, vr);
	return 0;
}

static void set_log_used(struct vu_vring *vr, const struct vu_vring_addr *addr)
{
	vr->conf.log_used = addr->flags & VU_VRING_F_LOG;
	vr->conf.log_gpa = vr->conf.log_used ? addr->log : 0;
}

int vu_vring_set_addr(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	const struct vu_vring_addr *addr = &msg->body.addr;
	struct vu_vring *vr = vu_dev_vring(dev, addr->index);
	uint64_t device_align = 4;
	uint64_t driver_align = vu_dev_has(dev, VIRTIO_F_RING_PACKED) ? 4 : 2;
	int r;

	(void)reply;
	if (!vr || addr->flags & ~VU_VRING_F_LOG)
		return -EINVAL;
	if (addr->desc % 16 || addr->avail % driver_align || addr->used % device_align)
		return -EINVAL;
	if (vr->started && addr->desc == vr->conf.desc && addr->avail == vr->conf.driver &&
	    addr->used == vr->conf.device) {
		/* A migration begins or ends: the ring runs on. */
		dev->conf.ops->quiesce(dev->conf.owner);
		set_log_used(vr, addr);
		vr->vq.conf.log_used = vr->conf.log_used;
		vr->vq.conf.log_gpa = vr->conf.log_gpa;
		dev->conf.ops->resume(dev->conf.owner);
		return 0;
	}
	r = vu_vring_settle(dev, vr);
	if (r < 0)
		return r;
	vr->conf.desc = addr->desc;
	vr->conf.driver = addr->avail;
	vr->conf.device = addr->used;
	set_log_used(vr, addr);
	vr->have_addr = true;
	try_start(dev, vr);
	return 0;
}

int vu_vring_set_base(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	struct vu_vring *vr = vu_dev_vring(dev, msg->body.state.index);
	uint32_t base = msg->body.state.num;
	int r;

	(void)reply;
	if (!vr || (!vu_dev_has(dev, VIRTIO_F_RING_PACKED) && base > UINT16_MAX))
		return -EINVAL;
	r = vu_vring_settle(dev, vr);
	if (r < 0)
		return r;
	vr->conf.base = base;
	try_start(dev, vr);
	return 0;
}

int vu_vring_get_base(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	struct vu_vring *vr = vu_dev_vring(dev, msg->body.state.index);

	if (!vr)
		return -EINVAL;
	stop(dev, vr);
	reply->hdr.size = sizeof(reply->body.state);
	reply->body.state.index = vr->index;
	reply->body.state.num = vr->conf.base;
	return 0;
}

/*
 * The ring and the descriptor of SET_VRING_KICK, CALL and ERR. @unusable: O_RDONLY or O_WRONLY,
 * whichever does not do. *@ret_fd becomes the caller's; -1 when the message says that there is
 * none.
 */
/* seccomp: fcntl 1==F_GETFL, fcntl 1==F_SETFL */
static int take_fd(struct vu_dev *dev, struct vu_msg *msg, int unusable, struct vu_vring **ret_vr,
		   int *ret_fd)
{
	uint64_t word = msg->body.u64;
	struct vu_vring *vr = vu_dev_vring(dev, word & VU_VRING_IDX_MASK);
	bool nofd = word & VU_VRING_NOFD;
	struct stat st;
	int flags, r;

	if (!vr || word & ~(uint64_t)(VU_VRING_IDX_MASK | VU_VRING_NOFD) || nofd != !msg->nfds)
		return -EINVAL;
	if (!nofd) {
		flags = fcntl(msg->fds[0], F_GETFL);
		if (flags < 0)
			return -errno;
		r = fd_stat(msg->fds[0], &st);
		if (r < 0)
			return r;
		/* An anonymous file, as an eventfd is, has no type. */
		if ((st.st_mode & S_IFMT) != 0 && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))
			return -EBADF;
		if (flags & O_PATH || (flags & O_ACCMODE) == unusable)
			return -EBADF;
		if (fcntl(msg->fds[0], F_SETFL, flags | O_NONBLOCK) < 0)
			return -errno;
	}
	*ret_vr = vr;
	*ret_fd = nofd ? -1 : fd_steal(&msg->fds[0]);
	return 0;
}

/* Exchange one of a ring's descriptors. */
static void replace_fd(struct vu_dev *dev, int *slot, int fd)
{
	int old;

	dev->conf.ops->quiesce(dev->conf.owner);
	old = *slot;
	*slot = fd;
	dev->conf.ops->resume(dev->conf.owner);
	fd_close(&old);
}

/* Without a descriptor the ring would have to be polled all the time: that is not offered. */
int vu_vring_set_kick(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	struct vu_vring *vr;
	int fd, r;

	(void)reply;
	if (msg->body.u64 & VU_VRING_NOFD)
		return -EOPNOTSUPP;
	r = take_fd(dev, msg, O_WRONLY, &vr, &fd);
	if (r < 0)
		return r;
	replace_fd(dev, &vr->kick_fd, fd);
	try_start(dev, vr);
	return 0;
}

int vu_vring_set_call(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	struct vu_vring *vr;
	int fd, r;

	(void)reply;
	r = take_fd(dev, msg, O_RDONLY, &vr, &fd);
	if (r < 0)
		return r;
	replace_fd(dev, &vr->call_fd, fd);
	/*
	 * QEMU unmasks an interrupt by this message and does not wait: what we signalled meanwhile
	 * went to the old descriptor, where nobody looks. One interrupt too many does no harm.
	 */
	if (vr->started)
		vu_vring_call(vr);
	return 0;
}

int vu_vring_set_err(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	struct vu_vring *vr;
	int fd, r;

	(void)reply;
	r = take_fd(dev, msg, O_RDONLY, &vr, &fd);
	if (r < 0)
		return r;
	replace_fd(dev, &vr->err_fd, fd);
	return 0;
}

int vu_vring_set_enable(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	struct vu_vring *vr = vu_dev_vring(dev, msg->body.state.index);

	(void)reply;
	if (!vr || msg->body.state.num > 1)
		return -EINVAL;
	dev->conf.ops->quiesce(dev->conf.owner);
	vr->enabled = msg->body.state.num;
	vr->served |= vr->enabled;
	dev->conf.ops->resume(dev->conf.owner);
	return 0;
}
