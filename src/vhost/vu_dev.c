// SPDX-License-Identifier: Apache-2.0
/* The vhost-user device: the table of requests, replies, features, configuration space, reset. */
/*
 * Theory of operation
 *
 * One control thread reads a message, which may come by pieces, finds its row in the table, checks size, descriptors and
 * negotiated feature against the row, and calls the handler. Handlers of memory are in vu_mem.c, of
 * rings in vu_vring.c, of inflight tracking in vu_inflight.c, of shared memory in vu_shmem.c. All state belongs to the control
 * thread; what queue threads look at (struct vu_vring, the dirty log) changes only while the owner
 * has quiesced them, or while the ring is stopped.
 *
 * How a request ends:
 * - Malformed (version, reply flag, size or number of descriptors that the row excludes): the
 *   connection is to be dropped, whatever the flags say; nothing that follows could be trusted.
 * - Served, with an answer of its own: that answer and nothing else, also under NEED_REPLY.
 * - Served, without: a zero u64 if NEED_REPLY is set and REPLY_ACK was negotiated (also by the very
 *   message that negotiates it), else silence. SET_LOG_BASE is always acknowledged: front-ends wait
 *   for it once LOG_SHMFD is negotiated.
 * - Refused, and NEED_REPLY can be honoured: errno as a non-zero u64, and the connection goes on.
 * - Refused without that: the front-end goes on in the belief that it was served, so the connection
 *   is dropped before harm is done. Two requests are excepted, as nothing depends on them:
 *   SET_CONFIG (a guest may write to its read-only configuration at will) and REM_MEM_REG of a
 *   region that does not exist (it is gone, as was wished).
 * - Refused, where an answer of its own is awaited: dropped, unless the answer has a form for it
 *   (GET_CONFIG: empty payload; GET_INFLIGHT_FD: size zero).
 *
 * A handler that refuses has changed nothing. Descriptors that no handler took are closed here.
 *
 * Memory table, protocol features and back-end channel survive every reset: front-ends do not send
 * them again.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fd.h"
#include "log.h"
#include "util.h"
#include "vu_backreq.h"
#include "vu_dev.h"
#include "vu_priv.h"

#define BIT(n) (UINT64_C(1) << (n))

#define FEATURES                                                                              \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_RING_F_EVENT_IDX) | \
	 BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VU_F_LOG_ALL) | BIT(VU_F_PROTOCOL_FEATURES))

#define PROTOCOL_FEATURES                                                                      \
	(BIT(VU_PROTOCOL_F_MQ) | BIT(VU_PROTOCOL_F_LOG_SHMFD) | BIT(VU_PROTOCOL_F_REPLY_ACK) | \
	 BIT(VU_PROTOCOL_F_BACKEND_REQ) | BIT(VU_PROTOCOL_F_BACKEND_SEND_FD) |                 \
	 BIT(VU_PROTOCOL_F_INFLIGHT_SHMFD) | BIT(VU_PROTOCOL_F_RESET_DEVICE) |                 \
	 BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | BIT(VU_PROTOCOL_F_STATUS))

static_assert(sizeof(struct virtio_fs_config) == 40, "configuration space");
static_assert(sizeof(((struct virtio_fs_config *)0)->tag) == sizeof(((struct vu_dev *)0)->tag),
	      "configuration space");

static uint64_t protocol_features(const struct vu_dev *dev)
{
	return PROTOCOL_FEATURES | (dev->conf.tag ? BIT(VU_PROTOCOL_F_CONFIG) : 0) |
	       vu_shmem_features(dev);
}

static void reply_u64(struct vu_msg *reply, uint64_t value)
{
	reply->hdr.size = sizeof(reply->body.u64);
	reply->body.u64 = value;
}

static int get_features(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	(void)dev;
	(void)msg;
	reply_u64(reply, FEATURES);
	return 0;
}

static int set_features(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	uint64_t features = msg->body.u64, changed = features ^ dev->features;
	int r;

	(void)reply;
	if (features & ~FEATURES)
		return -EINVAL;
	if (changed & ~BIT(VU_F_LOG_ALL)) {
		/* The layout of the rings depends on them. */
		r = vu_vring_settle_all(dev);
		if (r < 0)
			return r;
	}
	if (changed & features & BIT(VU_F_PROTOCOL_FEATURES))
		for (unsigned int i = 0; i < dev->conf.max_queues; i++)
			dev->vrings[i].enabled = false;
	dev->conf.ops->quiesce(dev->conf.owner);
	dev->features = features;
	vu_vring_set_log_all(dev);
	dev->conf.ops->resume(dev->conf.owner);
	vu_vring_start_all(dev);
	return 0;
}

static int get_protocol_features(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	(void)msg;
	reply_u64(reply, protocol_features(dev));
	return 0;
}

static int set_protocol_features(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	(void)reply;
	if (msg->body.u64 & ~protocol_features(dev))
		return -EINVAL;
	dev->protocol = msg->body.u64;
	vu_shmem_negotiated(dev);
	return 0;
}

static int set_owner(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	(void)dev;
	(void)msg;
	(void)reply;
	return 0;
}

/* Deprecated; the specification leaves of it that the rings are disabled. */
static int reset_owner(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	(void)msg;
	(void)reply;
	vu_vring_stop_all(dev);
	return 0;
}

static int reset_device(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	(void)msg;
	(void)reply;
	vu_vring_stop_all(dev);
	vu_inflight_reset(dev);
	for (unsigned int i = 0; i < dev->conf.max_queues; i++)
		vu_vring_forget(&dev->vrings[i]);
	dev->status = 0;
	dev->conf.ops->reset(dev->conf.owner);
	return 0;
}

static int set_status(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	(void)reply;
	if (msg->body.u64 > UINT8_MAX)
		return -EINVAL;
	dev->status = (uint8_t)msg->body.u64;
	/*
	 * Some ask for the bases of the rings only after this, and QEMU stops a device in the same
	 * way whether its guest was reset or is merely paused: the rings stop, but their bases
	 * stay, and so does the FUSE session.
	 */
	if (dev->status == 0)
		vu_vring_stop_all(dev);
	return 0;
}

static int get_status(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	(void)msg;
	reply_u64(reply, dev->status);
	return 0;
}

static int get_queue_num(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	(void)msg;
	reply_u64(reply, dev->conf.max_queues);
	return 0;
}

static int set_backend_req_fd(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	struct stat st;
	int r;

	(void)reply;
	r = fd_stat(msg->fds[0], &st);
	if (r < 0)
		return r;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	vu_backreq_open(dev->backreq, fd_steal(&msg->fds[0]),
			dev->protocol & BIT(VU_PROTOCOL_F_REPLY_ACK));
	dev->have_channel = true;
	return 0;
}

/* Bytes beyond the structure read as zero, up to what a message can carry. */
static int get_config(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	const struct vu_config *req = &msg->body.config;
	struct vu_config *res = &reply->body.config;
	uint8_t space[VU_CONFIG_MAX] = {0};
	struct virtio_fs_config config = {
		.num_request_queues = htole32(dev->conf.num_request_queues),
	};

	if (req->offset > VU_CONFIG_MAX || req->size > VU_CONFIG_MAX - req->offset ||
	    msg->hdr.size != VU_CONFIG_HDR + req->size)
		return 0; /* an empty payload is how the refusal is said */
	memcpy(config.tag, dev->tag, sizeof(config.tag));
	memcpy(space, &config, sizeof(config));
	res->offset = req->offset;
	res->size = req->size;
	res->flags = req->flags;
	memcpy(res->data, space + req->offset, req->size);
	reply->hdr.size = VU_CONFIG_HDR + req->size;
	return 0;
}

static int set_config(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	(void)dev;
	(void)msg;
	(void)reply;
	return -EPERM;
}

enum row_flag {
	ROW_REPLY = 1, /* has an answer of its own */
	ROW_ACK = 2,   /* acknowledged even without NEED_REPLY */
	ROW_SOFT = 4,  /* when refused without a way to say so, the connection goes on */
};

#define ANY (-1)

/*
 * struct row - one kind of request.
 * @handler:  NULL = there is no such request.
 * @min, @max: bytes of payload.
 * @fds_min, @fds_max: descriptors.
 * @feature:  protocol feature that must have been acknowledged, or ANY.
 * @flags:    enum row_flag.
 */
struct row {
	vu_handler *handler;
	uint16_t min;
	uint16_t max;
	uint8_t fds_min;
	uint8_t fds_max;
	int8_t feature;
	uint8_t flags;
};

#define SIZE(type)     sizeof(type), sizeof(type)
#define NO_PAYLOAD     0, 0
#define NO_FDS         0, 0
#define ONE_FD         1, 1
#define NEEDS(feature) VU_PROTOCOL_F_##feature
#define CONFIG_SIZE    VU_CONFIG_HDR, sizeof(struct vu_config)
#define INFLIGHT_SIZE  VU_INFLIGHT_MIN, sizeof(struct vu_inflight)
#define MEM_TABLE_SIZE offsetof(struct vu_mem_table, region), sizeof(struct vu_mem_table)
#define ROW(name, ...) [VU_##name] = {__VA_ARGS__}

/* clang-format off */
static const struct row rows[VU_REQUEST_MAX] = {
	ROW(GET_FEATURES, get_features, NO_PAYLOAD, NO_FDS, ANY, ROW_REPLY),
	ROW(SET_FEATURES, set_features, SIZE(uint64_t), NO_FDS, ANY, 0),
	ROW(SET_OWNER, set_owner, NO_PAYLOAD, NO_FDS, ANY, 0),
	ROW(RESET_OWNER, reset_owner, NO_PAYLOAD, NO_FDS, ANY, 0),
	ROW(SET_MEM_TABLE, vu_mem_set_table, MEM_TABLE_SIZE, 0, VU_MEM_REGIONS_MAX, ANY, 0),
	ROW(SET_LOG_BASE, vu_mem_set_log_base, SIZE(struct vu_log), ONE_FD,
	    NEEDS(LOG_SHMFD), ROW_ACK),
	ROW(SET_LOG_FD, vu_mem_set_log_fd, 0, sizeof(uint64_t), ONE_FD, ANY, 0),
	ROW(SET_VRING_NUM, vu_vring_set_num, SIZE(struct vu_vring_state), NO_FDS, ANY, 0),
	ROW(SET_VRING_ADDR, vu_vring_set_addr, SIZE(struct vu_vring_addr), NO_FDS, ANY, 0),
	ROW(SET_VRING_BASE, vu_vring_set_base, SIZE(struct vu_vring_state), NO_FDS, ANY, 0),
	ROW(GET_VRING_BASE, vu_vring_get_base, SIZE(struct vu_vring_state), NO_FDS, ANY, ROW_REPLY),
	ROW(SET_VRING_KICK, vu_vring_set_kick, SIZE(uint64_t), 0, 1, ANY, 0),
	ROW(SET_VRING_CALL, vu_vring_set_call, SIZE(uint64_t), 0, 1, ANY, 0),
	ROW(SET_VRING_ERR, vu_vring_set_err, SIZE(uint64_t), 0, 1, ANY, 0),
	ROW(GET_PROTOCOL_FEATURES, get_protocol_features, NO_PAYLOAD, NO_FDS, ANY, ROW_REPLY),
	ROW(SET_PROTOCOL_FEATURES, set_protocol_features, SIZE(uint64_t), NO_FDS, ANY, 0),
	ROW(GET_QUEUE_NUM, get_queue_num, NO_PAYLOAD, NO_FDS, ANY, ROW_REPLY),
	ROW(SET_VRING_ENABLE, vu_vring_set_enable, SIZE(struct vu_vring_state), NO_FDS, ANY, 0),
	ROW(SET_BACKEND_REQ_FD, set_backend_req_fd, NO_PAYLOAD, ONE_FD, NEEDS(BACKEND_REQ), 0),
	ROW(GET_CONFIG, get_config, CONFIG_SIZE, NO_FDS, NEEDS(CONFIG), ROW_REPLY),
	ROW(SET_CONFIG, set_config, CONFIG_SIZE, NO_FDS, NEEDS(CONFIG), ROW_SOFT),
	ROW(GET_INFLIGHT_FD, vu_inflight_get_fd, INFLIGHT_SIZE, NO_FDS,
	    NEEDS(INFLIGHT_SHMFD), ROW_REPLY),
	ROW(SET_INFLIGHT_FD, vu_inflight_set_fd, INFLIGHT_SIZE, ONE_FD, NEEDS(INFLIGHT_SHMFD), 0),
	ROW(RESET_DEVICE, reset_device, NO_PAYLOAD, NO_FDS, NEEDS(RESET_DEVICE), 0),
	ROW(GET_MAX_MEM_SLOTS, vu_mem_get_max_slots, NO_PAYLOAD, NO_FDS,
	    NEEDS(CONFIGURE_MEM_SLOTS), ROW_REPLY),
	ROW(ADD_MEM_REG, vu_mem_add_region, SIZE(struct vu_mem_reg), ONE_FD,
	    NEEDS(CONFIGURE_MEM_SLOTS), 0),
	/* Some front-ends pass a descriptor with it. */
	ROW(REM_MEM_REG, vu_mem_remove_region, SIZE(struct vu_mem_reg), 0, 1,
	    NEEDS(CONFIGURE_MEM_SLOTS), ROW_SOFT),
	ROW(SET_STATUS, set_status, SIZE(uint64_t), NO_FDS, NEEDS(STATUS), 0),
	ROW(GET_STATUS, get_status, NO_PAYLOAD, NO_FDS, NEEDS(STATUS), ROW_REPLY),
	ROW(GET_SHMEM_CONFIG, vu_shmem_get_config, NO_PAYLOAD, NO_FDS, NEEDS(SHMEM), ROW_REPLY),
};

/* The one number far from the others. */
static const struct row set_shmem_addr = {
	vu_mem_set_shmem_addr, SIZE(struct vu_shmem_addr), NO_FDS, NEEDS(SHMEM_ADDR), 0,
};
/* clang-format on */

static_assert(sizeof(struct vu_config) <= sizeof(union vu_payload) &&
		      sizeof(struct vu_mem_table) <= sizeof(union vu_payload),
	      "every row's largest payload is received whole");

static int send_reply(struct vu_dev *dev, const struct vu_msg *msg, struct vu_msg *reply)
{
	reply->hdr.request = msg->hdr.request;
	reply->hdr.flags = VU_VERSION | VU_FLAG_REPLY;
	return vu_msg_send(dev->sock, reply);
}

static int send_ack(struct vu_dev *dev, const struct vu_msg *msg, int result)
{
	struct vu_msg reply = {0};

	reply_u64(&reply, (uint64_t)-result);
	return send_reply(dev, msg, &reply);
}

static bool may_ack(const struct vu_dev *dev, const struct vu_msg *msg)
{
	return msg->hdr.flags & VU_FLAG_NEED_REPLY && dev->protocol & BIT(VU_PROTOCOL_F_REPLY_ACK);
}

/* Serve a request with an answer of its own. */
static int answer(struct vu_dev *dev, const struct row *row, struct vu_msg *msg)
{
	struct vu_msg reply = {0};
	int r = row->handler(dev, msg, &reply);

	if (r == 0)
		r = send_reply(dev, msg, &reply);
	vu_msg_close_fds(&reply);
	return r;
}

static int check(const struct row *row, const struct vu_msg *msg)
{
	if (msg->hdr.flags & VU_FLAG_REPLY)
		return -EPROTO;
	if (!row->handler)
		return 0;
	if (msg->hdr.size < row->min || msg->hdr.size > row->max || msg->nfds < row->fds_min ||
	    msg->nfds > row->fds_max)
		return -EPROTO;
	return 0;
}

static const struct row *row_of(uint32_t request)
{
	static const struct row none;

	if (request == VU_SET_SHMEM_ADDR)
		return &set_shmem_addr;
	return request < VU_REQUEST_MAX ? &rows[request] : &none;
}

static int serve(struct vu_dev *dev, struct vu_msg *msg)
{
	const struct row *row = row_of(msg->hdr.request);
	int r = check(row, msg);

	if (r < 0)
		return r;
	if (!row->handler || (row->feature != ANY && !(dev->protocol >> row->feature & 1)))
		r = -EOPNOTSUPP;
	if (row->flags & ROW_REPLY)
		return r < 0 ? r : answer(dev, row, msg);
	if (r == 0)
		r = row->handler(dev, msg, NULL);
	if (r < 0)
		log_debug("vhost-user: %s refused: %s", vu_request_name(msg->hdr.request),
			  strerror(-r));
	if (may_ack(dev, msg) || (r == 0 && row->flags & ROW_ACK))
		return send_ack(dev, msg, r);
	return row->flags & ROW_SOFT ? 0 : r;
}

int vu_dev_handle(struct vu_dev *dev)
{
	struct vu_msg msg;
	int r = vu_msg_read(dev->sock, &dev->reader, &msg);

	if (r == -EAGAIN)
		return 1;
	if (r == 0) {
		log_debug("vhost-user: the front-end hung up");
		return 0;
	}
	if (r < 0) {
		log_debug("vhost-user: bad message: %s", strerror(-r));
		return r;
	}
	log_debug("vhost-user: %s (%u), flags %#x, %u bytes, %u descriptors",
		  vu_request_name(msg.hdr.request), msg.hdr.request, msg.hdr.flags, msg.hdr.size,
		  msg.nfds);
	r = serve(dev, &msg);
	vu_msg_close_fds(&msg);
	if (r < 0) {
		log_debug("vhost-user: %s ends the connection: %s",
			  vu_request_name(msg.hdr.request), strerror(-r));
		return r;
	}
	return 1;
}

int vu_dev_new(const struct vu_dev_conf *conf, struct vu_dev **ret)
{
	size_t tag_len = conf->tag ? strlen(conf->tag) : 1;
	struct vu_dev *dev;
	int r;

	if (tag_len == 0 || tag_len > sizeof(dev->tag) || conf->max_queues == 0 ||
	    conf->max_queues > VU_QUEUES_MAX)
		return -EINVAL;
	dev = calloc(1, sizeof(*dev) + conf->max_queues * sizeof(dev->vrings[0]));
	if (!dev)
		return -ENOMEM;
	dev->empty = gmem_new();
	if (!dev->empty) {
		free(dev);
		return -ENOMEM;
	}
	r = vu_shmem_init(dev);
	if (r < 0) {
		gmem_put(dev->empty);
		free(dev);
		return r;
	}
	dev->gm = gmem_get(dev->empty);
	dev->conf = *conf;
	if (conf->tag) {
		memcpy(dev->tag, conf->tag, tag_len);
		dev->conf.tag = dev->tag;
	}
	dev->sock = -1;
	for (unsigned int i = 0; i < conf->max_queues; i++)
		vu_vring_init(&dev->vrings[i], i);
	*ret = dev;
	return 0;
}

void vu_dev_free(struct vu_dev *dev)
{
	if (!dev)
		return;
	vu_dev_disconnect(dev);
	gmem_put(dev->gm);
	gmem_put(dev->empty);
	vu_shmem_done(dev);
	free(dev);
}

void vu_dev_connect(struct vu_dev *dev, int sock)
{
	vu_dev_disconnect(dev);
	dev->sock = sock;
}

void vu_dev_disconnect(struct vu_dev *dev)
{
	if (dev->sock < 0)
		return;
	/* The front-end knows at once, whatever the rest takes. */
	fd_close(&dev->sock);
	vu_backreq_close(dev->backreq);
	dev->have_channel = false;
	vu_vring_stop_all(dev);
	dev->conf.ops->reset(dev->conf.owner);
	for (unsigned int i = 0; i < dev->conf.max_queues; i++)
		vu_vring_done(&dev->vrings[i]);
	vu_inflight_reset(dev);
	vu_mem_reset(dev);
	dev->features = 0;
	dev->protocol = 0;
	vu_shmem_negotiated(dev);
	dev->status = 0;
	vu_reader_done(&dev->reader);
}

struct vu_vring *vu_dev_vring(struct vu_dev *dev, unsigned int index)
{
	return index < dev->conf.max_queues ? &dev->vrings[index] : NULL;
}
