// SPDX-License-Identifier: Apache-2.0
/* vhost-user messages, wrongly used: refused where that can be said, else the connection ends. */
/*
 * Theory of operation
 *
 * What the protocol can refuse (NEED_REPLY with REPLY_ACK) is refused with a value that is not zero, and
 * the device works on. What breaks the protocol ends the connection: the daemon closes it, exits 0 and
 * says so in one line. Each case of the latter has a daemon of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "fx.h"
#include "fz.h"
#include "util.h"

#define BIT(n) (1ull << (n))

static const struct fx_opts quiet = {.no_up = true};
static const struct fx_opts by_hand = {.no_connect = true, .args = {"--tag=x"}};

static void works(struct fx *f)
{
	struct fuse_attr_out a;

	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
}

/* The daemon hangs up, exits 0, and has one line to say about it. */
static void is_dropped(struct fx *f, const char *what, unsigned int i)
{
	struct vu_msg msg;
	int r = vuf_recv(f->v, 0, &msg);
	int status;

	if (r != -ECONNRESET)
		fail_msg("%s %u: not dropped: %s", what, i, strerror(-r));
	status = fx_wait_exit(f, FX_WAIT_MS);
	if (status)
		fail_msg("%s %u: exit status %d:\n%s", what, i, status, f->log);
	assert_int_equal(fx_log_count(f, "ending:"), 1);
}

/* A daemon and a connection in which REPLY_ACK and all else was negotiated. */
static void begin(struct fx *f)
{
	if (f->pid && f->v && f->v->sock >= 0) {
		vuf_hangup(f->v);
		assert_int_equal(fx_wait_exit(f, FX_WAIT_MS), 0);
	}
	if (!f->pid)
		fx_start(f);
	fx_connect(f);
	assert_int_equal(vuf_negotiate(f->v), 0);
}

static void headers(void **state)
{
	static const struct vu_hdr bad[] = {
		{VU_GET_FEATURES, 0, 0},
		{VU_GET_FEATURES, 2, 0},
		{VU_GET_FEATURES, 3, 0},
		{VU_GET_FEATURES, VU_VERSION | VU_FLAG_REPLY, 0},
		{VU_SET_OWNER, VU_VERSION | VU_FLAG_REPLY | VU_FLAG_NEED_REPLY, 0},
		{VU_GET_FEATURES, VU_VERSION, UINT32_MAX},
		{VU_GET_FEATURES, VU_VERSION, 0x10000},
		{VU_GET_FEATURES, VU_VERSION, sizeof(union vu_payload) + 1},
		{VU_SET_MEM_TABLE, VU_VERSION, 0x7fffffff},
		{VU_GET_CONFIG, VU_VERSION, 4096},
	};
	struct fx *f = *state;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		begin(f);
		assert_int_equal(vuf_send_bytes(f->v, &bad[i], sizeof(bad[i]), NULL, 0), 0);
		is_dropped(f, "header", i);
	}
}

/* Half a header, half a payload, then the end. */
static void cut_short(void **state)
{
	struct fx *f = *state;
	struct vu_hdr h = {VU_SET_FEATURES, VU_VERSION, 8};

	for (unsigned int i = 1; i < 20; i += 6) {
		uint8_t bytes[20] = {0};

		begin(f);
		memcpy(bytes, &h, sizeof(h));
		assert_int_equal(vuf_send_bytes(f->v, bytes, i, NULL, 0), 0);
		vuf_hangup(f->v);
		assert_int_equal(fx_wait_exit(f, FX_WAIT_MS), 0);
		assert_int_equal(fx_log_count(f, "ending:"), 1);
	}
}

/* In pieces, with pauses: slow is not wrong. */
static void byte_by_byte(void **state)
{
	struct fx *f = *state;
	struct {
		struct vu_hdr h;
		uint64_t val;
	} __attribute__((packed)) m = {{VU_SET_STATUS, VU_VERSION, 8}, 15};
	uint64_t val;

	begin(f);
	for (unsigned int i = 0; i < sizeof(m); i++)
		assert_int_equal(vuf_send_bytes(f->v, (uint8_t *)&m + i, 1, NULL, 0), 0);
	assert_int_equal(vuf_get_u64(f->v, VU_GET_STATUS, &val), 0);
	assert_int_equal(val, 15);
}

/* Numbers that no request has: refused with an answer, dropped without. */
static void unknown_requests(void **state)
{
	static const uint32_t numbers[] = {0,  19, 20, 22, 23, 26, 27, 28,  29,  30,
					   33, 35, 41, 42, 43, 45, 46, 100, 255, UINT32_MAX};
	struct fx *f = *state;

	begin(f);
	for (unsigned int i = 0; i < ARRAY_SIZE(numbers); i++) {
		uint8_t body[512] = {0};
		uint64_t val;
		struct vu_msg msg;

		assert_int_equal(vuf_send(f->v, numbers[i], body, i * 25, NULL, 0, true), 0);
		assert_int_equal(vuf_recv(f->v, numbers[i], &msg), 0);
		assert_int_equal(msg.hdr.size, 8);
		assert_int_not_equal(msg.body.u64, 0);
		assert_int_equal(vuf_get_u64(f->v, VU_GET_FEATURES, &val), 0);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(numbers); i += 4) {
		begin(f);
		assert_int_equal(vuf_send(f->v, numbers[i], NULL, 0, NULL, 0, false), 0);
		is_dropped(f, "unknown", i);
	}
}

/* Each request with payloads of sizes that it does not have. */
static void sizes(void **state)
{
	static const struct {
		uint32_t request;
		uint32_t size;
		uint8_t nfds;
	} bad[] = {
		{VU_GET_FEATURES, 8, 0},
		{VU_SET_FEATURES, 0, 0},
		{VU_SET_FEATURES, 7, 0},
		{VU_SET_FEATURES, 9, 0},
		{VU_SET_OWNER, 1, 0},
		{VU_RESET_OWNER, 8, 0},
		{VU_SET_MEM_TABLE, 0, 0},
		{VU_SET_MEM_TABLE, 7, 0},
		{VU_SET_MEM_TABLE, 300, 0},
		{VU_SET_LOG_BASE, 8, 1},
		{VU_SET_LOG_BASE, 16, 0},
		{VU_SET_LOG_BASE, 16, 2},
		{VU_SET_LOG_FD, 0, 0},
		{VU_SET_VRING_NUM, 4, 0},
		{VU_SET_VRING_NUM, 8, 1},
		{VU_SET_VRING_ADDR, 39, 0},
		{VU_SET_VRING_ADDR, 41, 0},
		{VU_SET_VRING_BASE, 12, 0},
		{VU_GET_VRING_BASE, 4, 0},
		{VU_SET_VRING_KICK, 4, 1},
		{VU_SET_VRING_KICK, 8, 2},
		{VU_SET_VRING_CALL, 16, 1},
		{VU_SET_VRING_ERR, 0, 1},
		{VU_GET_PROTOCOL_FEATURES, 8, 0},
		{VU_SET_PROTOCOL_FEATURES, 4, 0},
		{VU_GET_QUEUE_NUM, 8, 0},
		{VU_SET_VRING_ENABLE, 0, 0},
		{VU_SET_BACKEND_REQ_FD, 0, 0},
		{VU_SET_BACKEND_REQ_FD, 0, 2},
		{VU_GET_CONFIG, 0, 0},
		{VU_GET_CONFIG, 11, 0},
		{VU_SET_CONFIG, 11, 0},
		{VU_GET_INFLIGHT_FD, 8, 0},
		{VU_GET_INFLIGHT_FD, 20, 1},
		{VU_SET_INFLIGHT_FD, 20, 0},
		{VU_SET_INFLIGHT_FD, 4, 1},
		{VU_RESET_DEVICE, 8, 0},
		{VU_GET_MAX_MEM_SLOTS, 8, 0},
		{VU_ADD_MEM_REG, 40, 0},
		{VU_ADD_MEM_REG, 32, 1},
		{VU_ADD_MEM_REG, 40, 8},
		{VU_REM_MEM_REG, 8, 0},
		{VU_SET_STATUS, 1, 0},
		{VU_GET_STATUS, 8, 0},
		{VU_GET_FEATURES, 0, 1},
		{VU_SET_OWNER, 0, 8},
	};
	struct fx *f = *state;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		uint8_t body[512] = {0};
		int fds[8];

		for (unsigned int k = 0; k < 8; k++)
			fds[k] = STDERR_FILENO;
		begin(f);
		assert_int_equal(vuf_send(f->v, bad[i].request, body, bad[i].size, fds, bad[i].nfds,
					  i & 1),
				 0);
		is_dropped(f, vu_request_name(bad[i].request), i);
	}
}

/* More descriptors than any message has, again and again: none stays open. */
static void too_many_descriptors(void **state)
{
	struct fx *f = *state;
	struct vu_hdr h = {VU_SET_OWNER, VU_VERSION, 0};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(200 * sizeof(int))];
	} control = {0};
	struct iovec iov = {&h, sizeof(h)};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	int fds[200];

	begin(f);
	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = STDERR_FILENO;
	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(&control.align), fds, sizeof(fds));
	assert_int_equal(sendmsg(f->v->sock, &msg, 0), sizeof(h));
	is_dropped(f, "descriptors", 0);
}

/* Requests of features that were not acknowledged. */
static void features_not_acknowledged(void **state)
{
	static const struct {
		uint32_t request;
		uint32_t size;
		uint8_t nfds;
		bool answers;
	} bad[] = {
		{VU_SET_LOG_BASE, 16, 1, false},   {VU_SET_BACKEND_REQ_FD, 0, 1, false},
		{VU_GET_CONFIG, 16, 0, true},      {VU_SET_CONFIG, 16, 0, false},
		{VU_GET_INFLIGHT_FD, 20, 0, true}, {VU_SET_INFLIGHT_FD, 20, 1, false},
		{VU_RESET_DEVICE, 0, 0, false},    {VU_GET_MAX_MEM_SLOTS, 0, 0, true},
		{VU_ADD_MEM_REG, 40, 1, false},    {VU_REM_MEM_REG, 40, 0, false},
		{VU_SET_STATUS, 8, 0, false},      {VU_GET_STATUS, 0, 0, true},
	};
	struct fx *f = *state;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		uint64_t ack = BIT(VU_PROTOCOL_F_REPLY_ACK);
		uint8_t body[64] = {0};
		struct vu_msg msg;

		/* Where there is an answer of its own, the connection is over: a daemon anew. */
		if (!f->pid || !f->v)
			begin(f);
		f->v->conf.no_ack = true;
		assert_int_equal(vuf_set_u64(f->v, VU_SET_PROTOCOL_FEATURES, ack), 0);
		f->v->conf.no_ack = false;
		assert_int_equal(vuf_send(f->v, bad[i].request, body, bad[i].size,
					  &f->v->ring[0].kick_fd, bad[i].nfds, true),
				 0);
		if (bad[i].answers) {
			is_dropped(f, vu_request_name(bad[i].request), i);
			continue;
		}
		assert_int_equal(vuf_recv(f->v, bad[i].request, &msg), 0);
		assert_int_not_equal(msg.body.u64, 0);
	}
}

/* Descriptors of the wrong kind for a ring. */
static void descriptors_of_the_wrong_kind(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	scoped_fd int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	scoped_fd int dir = open("/", O_RDONLY | O_CLOEXEC);
	scoped_fd int path = open("/", O_PATH | O_CLOEXEC);
	scoped_fd int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	scoped_fd int mem = memfd_create("x", MFD_CLOEXEC);
	const int bad[] = {file, dir, path, zero, mem};
	static const uint32_t requests[] = {VU_SET_VRING_KICK, VU_SET_VRING_CALL, VU_SET_VRING_ERR};
	uint64_t word = 1 | VU_VRING_NOFD;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad) * ARRAY_SIZE(requests); i++)
		assert_int_equal(vuf_set_fd(v, requests[i % ARRAY_SIZE(requests)], 1,
					    bad[i / ARRAY_SIZE(requests)]),
				 -EREMOTEIO);
	/* One that says there is none and brings it, and the other way round; odd bits. */
	for (unsigned int i = 0; i < ARRAY_SIZE(requests); i++) {
		assert_int_equal(vuf_send_ack(v, requests[i], &word, 8, &v->ring[1].kick_fd, 1),
				 -EREMOTEIO);
		word = 1;
		assert_int_equal(vuf_send_ack(v, requests[i], &word, 8, NULL, 0), -EREMOTEIO);
		word = 1 | 1ull << 40;
		assert_int_equal(vuf_send_ack(v, requests[i], &word, 8, &v->ring[1].kick_fd, 1),
				 -EREMOTEIO);
		word = 1 | VU_VRING_NOFD;
	}
	works(f);
}

/* Addresses that no ring can have, and ring addresses outside of memory. */
static void ring_addresses(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	struct vu_vring_addr good, a;

	assert_int_equal(vuf_negotiate(v), 0);
	assert_int_equal(vuf_share_mem(v), 0);
	good = (struct vu_vring_addr){
		.index = 1,
		.desc = vuf_mem_uva(&v->mem, v->ring[1].area_gpa[0]),
		.avail = vuf_mem_uva(&v->mem, v->ring[1].area_gpa[1]),
		.used = vuf_mem_uva(&v->mem, v->ring[1].area_gpa[2]),
	};
	for (unsigned int i = 0; i < 6; i++) {
		a = good;
		switch (i) {
		case 0:
			a.desc += 8;
			break;
		case 1:
			a.avail += 1;
			break;
		case 2:
			a.used += 2;
			break;
		case 3:
			a.flags = 2;
			break;
		case 4:
			a.index = 65;
			break;
		default:
			a.index = UINT32_MAX;
			break;
		}
		assert_int_equal(vuf_send_ack(v, VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0),
				 -EREMOTEIO);
	}
	/* Outside of memory it cannot start, which the err descriptor tells. */
	for (unsigned int i = 0; i < 6; i++) {
		uint64_t out = i & 1 ? UINT64_MAX & ~63ull : 16;

		a = good;
		if (i / 2 == 0)
			a.desc = out;
		else if (i / 2 == 1)
			a.avail = out;
		else
			a.used = out;
		assert_int_equal(vuf_set_state(v, VU_SET_VRING_NUM, 1, 128), 0);
		assert_int_equal(vuf_set_fd(v, VU_SET_VRING_ERR, 1, v->ring[1].err_fd), 0);
		vuf_send_ack(v, VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
		vuf_set_fd(v, VU_SET_VRING_KICK, 1, v->ring[1].kick_fd);
		assert_true(vuf_ring_broken(&v->ring[1]));
		assert_int_equal(vuf_get_base(v, 1, &(uint32_t){0}), 0);
		vuf_ring_broken(&v->ring[1]);
	}
	assert_true(fx_log_count(f, "not shared with us") >= 6);
	fx_up(f, true);
	works(f);
}

/* Memory tables that lie. The one in force stays in force. */
static void memory_tables(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	const struct vu_mem_region r0 = vuf_region_wire(&v->mem.region[0]);
	const struct vu_mem_region r1 = vuf_region_wire(&v->mem.region[1]);
	int fds[8] = {v->mem.region[0].fd, v->mem.region[1].fd};

	for (unsigned int i = 0; i < 14; i++) {
		struct vu_mem_table t = {.count = 2, .region = {r0, r1}};
		size_t size = 8 + 2 * 32;
		unsigned int nfds = 2;

		switch (i) {
		case 0: /* larger than its file */
			t.region[1].size += VUF_PAGE;
			break;
		case 1: /* empty */
			t.region[1].size = 0;
			break;
		case 2: /* wraps */
			t.region[1].gpa = UINT64_MAX - VUF_PAGE + 1;
			break;
		case 3:
			t.region[1].uva = UINT64_MAX - VUF_PAGE + 1;
			break;
		case 4: /* overlaps */
			t.region[1].gpa = VUF_PAGE;
			break;
		case 5:
			t.region[1].uva = r0.uva + VUF_PAGE;
			break;
		case 6: /* the same twice */
			t.region[1] = r0;
			fds[1] = fds[0];
			break;
		case 7: /* offset beyond the file */
			t.region[1].offset = 1ull << 40;
			break;
		case 8:
			t.region[1].offset = UINT64_MAX - VUF_PAGE + 1;
			break;
		case 9:
			t.region[1].size = UINT64_MAX;
			break;
		case 10: /* more regions than it says, or than there are descriptors */
			t.count = 3;
			break;
		case 11:
			t.count = 9;
			break;
		case 12:
			t.count = UINT32_MAX;
			break;
		default:
			nfds = 1;
			break;
		}
		assert_int_equal(vuf_send_ack(v, VU_SET_MEM_TABLE, &t, size, fds, nfds),
				 -EREMOTEIO);
		fds[1] = v->mem.region[1].fd;
		works(f);
	}
}

static void memory_slots(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	scoped_fd int small = memfd_create("x", MFD_CLOEXEC);
	struct vuf_region rg = {.gpa = 1ull << 33, .size = 4 * VUF_PAGE, .fd = small};

	assert_int_equal(ftruncate(small, VUF_PAGE), 0);
	rg.uva = 1ull << 40;
	assert_int_equal(vuf_add_region(v, &rg), -EREMOTEIO);
	rg.size = 0;
	assert_int_equal(vuf_add_region(v, &rg), -EREMOTEIO);
	rg.size = VUF_PAGE;
	rg.gpa = v->mem.region[0].gpa;
	assert_int_equal(vuf_add_region(v, &rg), -EREMOTEIO);
	rg.gpa = 1ull << 33;
	rg.fd = v->ring[0].kick_fd;
	assert_int_equal(vuf_add_region(v, &rg), -EREMOTEIO);
	rg.fd = small;
	assert_int_equal(vuf_rem_region(v, &rg), -EREMOTEIO);
	assert_int_equal(vuf_add_region(v, &rg), 0);
	assert_int_equal(vuf_add_region(v, &rg), -EREMOTEIO);
	rg.uva++;
	assert_int_equal(vuf_rem_region(v, &rg), -EREMOTEIO);
	rg.uva--;
	assert_int_equal(vuf_rem_region(v, &rg), 0);
	assert_int_equal(vuf_rem_region(v, &rg), -EREMOTEIO);
	works(f);
}

static void inflight_regions(void **state)
{
	struct fx *f = *state;
	struct vuf *v = f->v;
	struct vu_inflight good, in;
	int fd;

	assert_int_equal(vuf_negotiate(v), 0);
	assert_int_equal(vuf_get_inflight(v, &good, &fd), 0);
	for (unsigned int i = 0; i < 9; i++) {
		in = good;
		switch (i) {
		case 0:
			in.mmap_size = 1;
			break;
		case 1:
			in.mmap_size = UINT64_MAX;
			break;
		case 2:
			in.mmap_offset = 1;
			break;
		case 3:
			in.mmap_offset = 1ull << 40;
			break;
		case 4:
			in.mmap_offset = UINT64_MAX - VUF_PAGE + 1;
			break;
		case 5:
			in.num_queues = 0;
			break;
		case 6:
			in.num_queues = UINT16_MAX;
			break;
		case 7:
			in.queue_size = 0;
			break;
		default:
			in.queue_size = UINT16_MAX;
			break;
		}
		assert_int_equal(vuf_set_inflight(v, &in, fd), -EREMOTEIO);
	}
	assert_int_equal(vuf_set_inflight(v, &good, v->ring[0].kick_fd), -EREMOTEIO);
	assert_int_equal(vuf_set_inflight(v, &good, fd), 0);
	close(fd);
	fx_up(f, true);
	works(f);
}

/* Noise, seeded: whatever comes, the daemon ends well or goes on. */
static void noise(void **state)
{
	struct fx *f = *state;
	unsigned int seed = 11;

	for (unsigned int round = 0; round < (fx_sanitized() ? 20u : 60u); round++) {
		begin(f);
		for (unsigned int i = 0; i < 200; i++) {
			uint8_t bytes[12 + 512];
			struct vu_hdr h = {
				.request = (uint32_t)rand_r(&seed) % 48,
				.flags = VU_VERSION | (rand_r(&seed) % 2 ? VU_FLAG_NEED_REPLY : 0),
				.size = (uint32_t)(rand_r(&seed) % 4 ? rand_r(&seed) % 6 * 8
								     : rand_r(&seed) % 512),
			};
			int fds[8];
			struct vu_msg msg;

			for (unsigned int k = 0; k < sizeof(bytes); k++)
				bytes[k] = (uint8_t)(rand_r(&seed) % 5 ? 0 : rand_r(&seed));
			for (unsigned int k = 0; k < 8; k++)
				fds[k] = k & 1 ? f->v->ring[0].call_fd : f->v->mem.region[0].fd;
			memcpy(bytes, &h, sizeof(h));
			if (vuf_send_bytes(f->v, bytes, 12 + h.size, fds,
					   (unsigned int)rand_r(&seed) % 3) < 0)
				break;
			/* Take what answers come, so that it never waits for us. */
			while (recv(f->v->sock, &msg, sizeof(msg), MSG_DONTWAIT) > 0)
				;
		}
		vuf_hangup(f->v);
		assert_int_equal(fx_wait_exit(f, FX_WAIT_MS), 0);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(headers, &by_hand),
		FX_TEST(cut_short, &by_hand),
		FX_TEST(byte_by_byte, &by_hand),
		FX_TEST(unknown_requests, &by_hand),
		FX_TEST(sizes, &by_hand),
		FX_TEST(too_many_descriptors, &by_hand),
		FX_TEST(features_not_acknowledged, &by_hand),
		FX_TEST(descriptors_of_the_wrong_kind, NULL),
		FX_TEST(ring_addresses, &quiet),
		FX_TEST(memory_tables, NULL),
		FX_TEST(memory_slots, NULL),
		FX_TEST(inflight_regions, &quiet),
		FX_TEST(noise, &by_hand),
	};

	return fx_main(argc, argv, "badmsg", tests, ARRAY_SIZE(tests));
}
