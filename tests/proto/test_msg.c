// SPDX-License-Identifier: Apache-2.0
/* vhost-user messages, rightly used: each does what the specification says, and is answered so. */
/*
 * Theory of operation
 *
 * Tests begin with a connected front-end that has said nothing, or with a device that runs. Silence is
 * shown by the next answer being that of the next question. What a message did is shown by requests.
 */
#include <errno.h>
#include <linux/virtio_fs.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "fx.h"
#include "fz.h"
#include "util.h"

#define BIT(n) (1ull << (n))

static const struct fx_opts quiet = {.no_up = true};
static const struct fx_opts quiet_tag = {.no_up = true, .args = {"--tag=myfs"}};
static const struct fx_opts long_tag = {.no_up = true,
					.args = {"--tag=123456789012345678901234567890123456"}};
static const struct fx_opts no_ack = {.vuf = {.no_ack = true}};
static const struct fx_opts three_rings = {.vuf = {.rings = 3}};
static const struct fx_opts no_proto = {.no_up = true};

static void works(struct fx *f)
{
	struct fuse_attr_out a;

	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
}

/* The next answer on the wire is that of this question: nothing was said before. */
static void nothing_was_answered(struct fx *f)
{
	uint64_t val;

	assert_int_equal(vuf_get_u64(f->v, VU_GET_FEATURES, &val), 0);
}

static void features_offered(void **state)
{
	struct fx *f = *state;
	const bool tag = f->opts == &quiet_tag;
	uint64_t want = BIT(VUF_F_VERSION_1) | BIT(VUF_F_PACKED) |
			BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |
			BIT(VU_F_LOG_ALL) | BIT(VU_F_PROTOCOL_FEATURES);
	uint64_t proto = VUF_PROTO_ALL & ~BIT(VU_PROTOCOL_F_CONFIG);
	uint64_t val;

	assert_int_equal(vuf_get_u64(f->v, VU_GET_FEATURES, &val), 0);
	assert_int_equal(val, want);
	assert_int_equal(vuf_get_u64(f->v, VU_GET_PROTOCOL_FEATURES, &val), 0);
	assert_int_equal(val, proto | (tag ? BIT(VU_PROTOCOL_F_CONFIG) : 0));
	fx_up(f, true);
	works(f);
}

static void features_not_offered(void **state)
{
	struct fx *f = *state;

	assert_int_equal(vuf_negotiate(f->v), 0);
	for (unsigned int bit = 0; bit < 64; bit++) {
		uint64_t one = BIT(bit);

		if (!(f->v->offered & one))
			assert_int_equal(vuf_set_u64(f->v, VU_SET_FEATURES, f->v->features | one),
					 -EREMOTEIO);
		if (!(f->v->proto_offered & one))
			assert_int_equal(vuf_set_u64(f->v, VU_SET_PROTOCOL_FEATURES,
						     f->v->proto | one),
					 -EREMOTEIO);
	}
	fx_up(f, true);
	works(f);
}

/* A front-end without protocol features: rings are enabled from the start, nothing is acknowledged. */
static void the_oldest_front_end(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	uint64_t features = BIT(VUF_F_VERSION_1);

	if (fx_packed())
		features |= BIT(VUF_F_PACKED);
	if (!v->conf.no_indirect)
		features |= BIT(VIRTIO_RING_F_INDIRECT_DESC);
	if (!v->conf.no_event_idx)
		features |= BIT(VIRTIO_RING_F_EVENT_IDX);
	assert_int_equal(vuf_set_none(v, VU_SET_OWNER), 0);
	assert_int_equal(vuf_set_u64(v, VU_SET_FEATURES, features), 0);
	assert_int_equal(vuf_share_mem(v), 0);
	for (unsigned int i = 0; i < v->nrings; i++) {
		struct vuf_ring *r = &v->ring[i];

		assert_int_equal(vuf_set_state(v, VU_SET_VRING_NUM, i, r->conf.size), 0);
		assert_int_equal(vuf_set_state(v, VU_SET_VRING_BASE, i, vuf_ring_base(r)), 0);
		assert_int_equal(vuf_set_addr(v, i, 0), 0);
		assert_int_equal(vuf_set_fd(v, VU_SET_VRING_CALL, i, r->call_fd), 0);
		assert_int_equal(vuf_set_fd(v, VU_SET_VRING_KICK, i, r->kick_fd), 0);
	}
	assert_int_equal(vuf_fuse_init(v, 31, 0, &f->init), 0);
	works(f);
	nothing_was_answered(f);
}

/* With NEED_REPLY: one answer to each, its own where there is one. Without: silence. */
static void need_reply_on_each(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	static const uint32_t gets[] = {VU_GET_FEATURES, VU_GET_PROTOCOL_FEATURES, VU_GET_QUEUE_NUM,
					VU_GET_MAX_MEM_SLOTS, VU_GET_STATUS};
	struct vu_vring_state base = {.index = 1}, en = {.index = 1, .num = 1};
	uint64_t features, proto, status = 15;
	struct vu_msg msg;

	assert_int_equal(vuf_negotiate(v), 0);
	features = v->features;
	proto = v->proto;
	for (int need = 0; need < 2; need++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(gets); i++) {
			assert_int_equal(vuf_send(v, gets[i], NULL, 0, NULL, 0, need), 0);
			assert_int_equal(vuf_recv(v, gets[i], &msg), 0);
			assert_int_equal(msg.hdr.size, 8);
			nothing_was_answered(f);
		}
		assert_int_equal(vuf_send(v, VU_GET_VRING_BASE, &base, sizeof(base), NULL, 0, need),
				 0);
		assert_int_equal(vuf_recv(v, VU_GET_VRING_BASE, &msg), 0);
		assert_int_equal(msg.hdr.size, 8);
		nothing_was_answered(f);
	}
	v->conf.no_ack = true;
	for (int need = 1; need >= 0; need--) {
		uint64_t call = 1;

		v->conf.no_ack = !need;
		assert_int_equal(vuf_set_none(v, VU_SET_OWNER), 0);
		assert_int_equal(vuf_set_u64(v, VU_SET_FEATURES, features), 0);
		assert_int_equal(vuf_set_u64(v, VU_SET_PROTOCOL_FEATURES, proto), 0);
		assert_int_equal(vuf_share_mem(v), 0);
		assert_int_equal(vuf_set_state(v, VU_SET_VRING_NUM, 1, 128), 0);
		assert_int_equal(vuf_set_addr(v, 1, 0), 0);
		assert_int_equal(vuf_set_state(v, VU_SET_VRING_BASE, 1, vuf_ring_base(&v->ring[1])),
				 0);
		assert_int_equal(
			vuf_send_ack(v, VU_SET_VRING_CALL, &call, 8, &v->ring[1].call_fd, 1), 0);
		assert_int_equal(vuf_set_fd(v, VU_SET_VRING_ERR, 1, v->ring[1].err_fd), 0);
		assert_int_equal(vuf_set_fd(v, VU_SET_VRING_KICK, 1, v->ring[1].kick_fd), 0);
		assert_int_equal(vuf_send_ack(v, VU_SET_VRING_ENABLE, &en, sizeof(en), NULL, 0), 0);
		assert_int_equal(vuf_set_backend_channel(v), 0);
		assert_int_equal(vuf_set_u64(v, VU_SET_STATUS, status), 0);
		assert_int_equal(vuf_set_none(v, VU_RESET_DEVICE), 0);
		assert_int_equal(vuf_set_none(v, VU_RESET_OWNER), 0);
		nothing_was_answered(f);
	}
	v->conf.no_ack = false;
}

/* The flag without the feature asks for nothing. */
static void need_reply_not_negotiated(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	uint64_t val = f->v->proto & ~BIT(VU_PROTOCOL_F_REPLY_ACK);

	assert_int_equal(vuf_send(v, VU_SET_PROTOCOL_FEATURES, &val, 8, NULL, 0, true), 0);
	assert_int_equal(vuf_send(v, VU_SET_OWNER, NULL, 0, NULL, 0, true), 0);
	assert_int_equal(vuf_send(v, VU_SET_OWNER, NULL, 0, NULL, 0, false), 0);
	nothing_was_answered(f);
	works(f);
}

static void without_acknowledgements(void **state)
{
	struct fx *f = *state;

	works(f);
	nothing_was_answered(f);
}

static void queues_by_number(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	uint64_t n = 0;

	assert_int_equal(vuf_negotiate(v), 0);
	assert_int_equal(vuf_get_u64(v, VU_GET_QUEUE_NUM, &n), 0);
	/* Hiprio and what a guest of 64 CPUs takes. */
	assert_int_equal(n, VUF_RINGS_MAX);
	assert_int_equal(vuf_set_state(v, VU_SET_VRING_NUM, (uint32_t)n - 1, 128), 0);
	for (uint32_t i = (uint32_t)n; i <= 256; i += 191) {
		uint64_t word = i & 0xff;

		assert_int_equal(vuf_set_state(v, VU_SET_VRING_NUM, i, 128), -EREMOTEIO);
		assert_int_equal(vuf_set_state(v, VU_SET_VRING_BASE, i, 0), -EREMOTEIO);
		assert_int_equal(vuf_set_state(v, VU_SET_VRING_ENABLE, i, 1), -EREMOTEIO);
		if (word >= n)
			assert_int_equal(vuf_send_ack(v, VU_SET_VRING_KICK, &word, 8,
						      &v->ring[0].kick_fd, 1),
					 -EREMOTEIO);
	}
	assert_int_equal(vuf_set_state(v, VU_SET_VRING_NUM, UINT32_MAX, 128), -EREMOTEIO);
	fx_up(f, true);
	works(f);
}

/* Each part of the configuration space, by any offset and size, as UML asks byte by byte. */
static void config_in_pieces(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	struct virtio_fs_config whole, twin;
	uint8_t buf[VU_CONFIG_MAX];
	const char *tag = strchr(f->opts->args[0], '=') + 1;
	char padded[VUF_TAG_MAX] = "";

	memcpy(padded, tag, strlen(tag));
	assert_int_equal(vuf_negotiate(v), 0);
	assert_true(v->proto & BIT(VU_PROTOCOL_F_CONFIG));
	assert_int_equal(vuf_get_config(v, 0, sizeof(whole), &whole), 0);
	assert_memory_equal(whole.tag, padded, VUF_TAG_MAX);
	assert_true(whole.num_request_queues >= 1);
	assert_true(whole.num_request_queues < VUF_RINGS_MAX);
	for (uint32_t i = 0; i < sizeof(whole); i++)
		assert_int_equal(vuf_get_config(v, i, 1, (uint8_t *)&twin + i), 0);
	assert_memory_equal(&twin, &whole, sizeof(whole));
	for (uint32_t off = 0; off < sizeof(whole); off += 3) {
		uint32_t size = (uint32_t)sizeof(whole) - off;

		assert_int_equal(vuf_get_config(v, off, size, buf), 0);
		assert_memory_equal(buf, (uint8_t *)&whole + off, size);
	}
	/* Beyond what there is: zeroes; beyond what can be: refused, and on it goes. */
	memset(buf, 0xff, sizeof(buf));
	assert_int_equal(vuf_get_config(v, 0, VU_CONFIG_MAX, buf), 0);
	assert_memory_equal(buf, &whole, sizeof(whole));
	for (uint32_t i = sizeof(whole); i < VU_CONFIG_MAX; i++)
		assert_int_equal(buf[i], 0);
	assert_int_equal(vuf_get_config(v, 44, 4, buf), 0);
	assert_int_equal(vuf_get_config(v, 1, VU_CONFIG_MAX, buf), -EREMOTEIO);
	assert_int_equal(vuf_get_config(v, 257, 0, buf), -EREMOTEIO);
	assert_int_equal(vuf_get_config(v, UINT32_MAX, 1, buf), -EREMOTEIO);
	/* It cannot be written to. */
	assert_int_equal(vuf_set_config(v, 0, 4, "evil"), -EREMOTEIO);
	v->conf.no_ack = true;
	assert_int_equal(vuf_set_config(v, 0, 4, "evil"), 0);
	v->conf.no_ack = false;
	assert_int_equal(vuf_get_config(v, 0, sizeof(twin), &twin), 0);
	assert_memory_equal(&twin, &whole, sizeof(whole));
	fx_up(f, true);
	works(f);
}

static void backend_channel(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	uint8_t byte;

	assert_int_equal(vuf_set_backend_channel(v), 0);
	/* Another one takes its place: the first is closed. */
	{
		int first = v->backend_fd;

		v->backend_fd = -1;
		assert_int_equal(vuf_set_backend_channel(v), 0);
		assert_int_equal(recv(first, &byte, 1, 0), 0);
		close(first);
	}
	assert_int_equal(vuf_send_ack(v, VU_SET_BACKEND_REQ_FD, NULL, 0, &v->ring[0].kick_fd, 1),
			 -EREMOTEIO);
	works(f);
	fd_close(&v->backend_fd);
	works(f);
	/* The daemon still holds its end of it: it is not to be counted as a leak. */
	f->fds = 0;
}

static void status_is_kept(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	uint64_t val;

	for (uint64_t s = 1; s < 256; s = s * 2 + 1) {
		assert_int_equal(vuf_set_u64(v, VU_SET_STATUS, s), 0);
		assert_int_equal(vuf_get_u64(v, VU_GET_STATUS, &val), 0);
		assert_int_equal(val, s);
	}
	assert_int_equal(vuf_set_u64(v, VU_SET_STATUS, 256), -EREMOTEIO);
	works(f);
	/* 0 stops the rings; a driver that begins anew goes on from where they were. */
	assert_int_equal(vuf_set_u64(v, VU_SET_STATUS, 0), 0);
	assert_int_equal(vuf_get_u64(v, VU_GET_STATUS, &val), 0);
	assert_int_equal(val, 0);
	for (unsigned int i = 0; i < v->nrings; i++) {
		uint32_t base;

		assert_int_equal(vuf_get_base(v, i, &base), 0);
		assert_int_equal(base, vuf_ring_base(&v->ring[i]));
		assert_int_equal(vuf_ring_start(v, i, base), 0);
	}
	works(f);
}

/* The base tells how far a ring has come; a ring goes on from any base. */
static void rings_stop_and_go(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	struct vuf_ring *r = &v->ring[1];
	uint32_t base, again;

	for (int i = 0; i < 300; i++) {
		works(f);
		if (i % 7)
			continue;
		assert_int_equal(vuf_ring_stop(v, 1, &base), 0);
		assert_int_equal(base, vuf_ring_base(r));
		assert_int_equal(vuf_get_base(v, 1, &again), 0);
		assert_int_equal(again, base);
		assert_int_equal(vuf_ring_start(v, 1, base), 0);
	}
	/* Not far from where the index wraps. */
	assert_int_equal(vuf_ring_stop(v, 1, NULL), 0);
	base = fx_packed() ? 0x007e007e : 65530;
	vuf_ring_reset(r, base);
	assert_int_equal(vuf_ring_start(v, 1, base), 0);
	for (int i = 0; i < 20; i++)
		works(f);
	assert_int_equal(vuf_ring_stop(v, 1, &base), 0);
	assert_int_equal(base, vuf_ring_base(r));
	assert_int_equal(vuf_ring_start(v, 1, base), 0);
	/* While others run, ten times over. */
	for (int i = 0; i < 10; i++) {
		f->ring = 2;
		works(f);
		f->ring = 1;
		assert_int_equal(vuf_ring_stop(v, 2, &base), 0);
		works(f);
		assert_int_equal(vuf_ring_start(v, 2, base), 0);
	}
}

/* A ring that is not enabled is not served; its requests wait. */
static void rings_off_and_on(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	struct fuse_getattr_in in = {0};
	struct vuf_req *q = f->q;

	assert_int_equal(vuf_set_state(v, VU_SET_VRING_ENABLE, 1, 0), 0);
	q = vuf_req_new(v, 128, 256);
	assert_non_null(q);
	vuf_req_begin(q, FUSE_GETATTR, FUSE_ROOT_ID);
	vuf_req_add(q, &in, sizeof(in));
	assert_int_equal(vuf_req_submit(q, &v->ring[1]), 0);
	vuf_ring_kick_force(&v->ring[1]);
	f->ring = 2;
	for (int i = 0; i < 50; i++)
		works(f);
	assert_false(vuf_ring_pending(&v->ring[1]));
	assert_int_equal(vuf_set_state(v, VU_SET_VRING_ENABLE, 1, 1), 0);
	assert_int_equal(vuf_req_wait(q, &v->ring[1]), 0);
	assert_int_equal(vuf_req_check(q), 0);
	vuf_req_free(q);
	f->ring = 1;
	works(f);
	assert_int_equal(vuf_set_state(v, VU_SET_VRING_ENABLE, 1, 2), -EREMOTEIO);
	works(f);
}

/* Eventfds are exchanged under a running ring, as QEMU does when it masks interrupts. */
static void other_eventfds(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	struct vuf_ring *r = &v->ring[1];

	for (int i = 0; i < 20; i++) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		int *slot = i & 1 ? &r->call_fd : &r->kick_fd;

		assert_true(fd >= 0);
		assert_int_equal(
			vuf_set_fd(v, i & 1 ? VU_SET_VRING_CALL : VU_SET_VRING_KICK, 1, fd), 0);
		close(*slot);
		*slot = fd;
		works(f);
	}
	/* No call descriptor: whoever wants to know looks by himself. */
	assert_int_equal(vuf_set_fd(v, VU_SET_VRING_CALL, 1, -1), 0);
	vuf_req_begin(f->q, FUSE_STATFS, FUSE_ROOT_ID);
	assert_int_equal(vuf_req_submit(f->q, r), 0);
	vuf_ring_kick(r);
	while (!vuf_ring_pending(r))
		;
	assert_int_equal(vuf_req_wait(f->q, r), 0);
	assert_int_equal(vuf_set_fd(v, VU_SET_VRING_CALL, 1, r->call_fd), 0);
	assert_int_equal(vuf_set_fd(v, VU_SET_VRING_ERR, 1, -1), 0);
	works(f);
	f->fds = 0;
}

static void sizes_of_rings(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;

	assert_int_equal(vuf_negotiate(v), 0);
	for (uint32_t n = 0; n <= 70000; n = n < 20 ? n + 1 : n * 3 / 2) {
		bool pow2 = n && !(n & (n - 1));
		bool good = n && n <= 1024 && (fx_packed() || pow2);

		assert_int_equal(vuf_set_state(v, VU_SET_VRING_NUM, 1, n), good ? 0 : -EREMOTEIO);
	}
	assert_int_equal(vuf_set_state(v, VU_SET_VRING_NUM, 1, 1024), 0);
	assert_int_equal(vuf_set_state(v, VU_SET_VRING_NUM, 1, 1025), -EREMOTEIO);
	assert_int_equal(vuf_set_state(v, VU_SET_VRING_NUM, 1, 65536), -EREMOTEIO);
	if (!fx_packed())
		assert_int_equal(vuf_set_state(v, VU_SET_VRING_BASE, 1, 65536), -EREMOTEIO);
	fx_up(f, true);
	works(f);
	/* What describes a ring cannot change while it is served. */
	assert_int_equal(vuf_set_state(v, VU_SET_VRING_NUM, 1, 64), -EREMOTEIO);
	works(f);
}

static void restart(struct fx *f)
{
	for (unsigned int i = 0; i < f->v->nrings; i++) {
		uint32_t base = fx_packed() ? VUF_BASE_PACKED : 0;

		vuf_ring_reset(&f->v->ring[i], base);
		assert_int_equal(vuf_ring_start(f->v, i, base), 0);
	}
}

/* Device reset: rings stop, the session ends, memory stays; then all of it again. */
static void reset_device(void **state)
{
	struct fx *f = *state;
	struct fuse_attr_out a;
	uint64_t val;

	for (int i = 0; i < 5; i++) {
		works(f);
		assert_int_equal(vuf_set_u64(f->v, VU_SET_STATUS, 15), 0);
		assert_int_equal(vuf_set_none(f->v, VU_RESET_DEVICE), 0);
		assert_int_equal(vuf_get_u64(f->v, VU_GET_STATUS, &val), 0);
		assert_int_equal(val, 0);
		restart(f);
		assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), -ENOTCONN);
		assert_int_equal(vuf_fuse_init(f->v, FX_MINOR, FX_LINUX_FLAGS, &f->init), 0);
	}
	works(f);
}

/* A guest that reboots in QEMU without RESET_DEVICE: rings are asked for their bases and begin at 0. */
static void reboot(void **state)
{
	struct fx *f = *state;

	for (int i = 0; i < 5; i++) {
		for (unsigned int k = 0; k < f->v->nrings; k++)
			assert_int_equal(vuf_ring_stop(f->v, k, NULL), 0);
		restart(f);
		assert_int_equal(vuf_fuse_init(f->v, FX_MINOR, FX_LINUX_FLAGS, &f->init), 0);
		works(f);
	}
}

static void reset_owner_stops(void **state)
{
	struct fx *f = *state;

	assert_int_equal(vuf_set_none(f->v, VU_RESET_OWNER), 0);
	for (unsigned int i = 0; i < f->v->nrings; i++)
		assert_int_equal(vuf_ring_start(f->v, i, vuf_ring_base(&f->v->ring[i])), 0);
	works(f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(features_offered, &quiet),
		{"features_offered_with_tag", features_offered, fx_setup, fx_teardown,
		 (void *)(uintptr_t)&quiet_tag},
		FX_TEST(features_not_offered, &quiet),
		FX_TEST(the_oldest_front_end, &no_proto),
		FX_TEST(need_reply_on_each, &quiet),
		FX_TEST(need_reply_not_negotiated, NULL),
		FX_TEST(without_acknowledgements, &no_ack),
		FX_TEST(queues_by_number, &quiet),
		FX_TEST(config_in_pieces, &quiet_tag),
		{"config_with_a_long_tag", config_in_pieces, fx_setup, fx_teardown,
		 (void *)(uintptr_t)&long_tag},
		FX_TEST(backend_channel, NULL),
		FX_TEST(status_is_kept, NULL),
		FX_TEST(rings_stop_and_go, &three_rings),
		FX_TEST(rings_off_and_on, &three_rings),
		FX_TEST(other_eventfds, NULL),
		FX_TEST(sizes_of_rings, &quiet),
		FX_TEST(reset_device, NULL),
		FX_TEST(reboot, NULL),
		FX_TEST(reset_owner_stops, NULL),
	};

	return fx_main(argc, argv, "msg", tests, ARRAY_SIZE(tests));
}
