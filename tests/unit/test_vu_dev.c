// SPDX-License-Identifier: Apache-2.0
/* vu_dev: every request against its row. */
/*
 * Theory of operation
 *
 * The table below says of each request, independently of the device's own table, how large it is,
 * what comes with it and what answers it. build() makes a good one, or one that must be refused for
 * what it says. The matrix then runs every request through good and bad, with and without REPLY_ACK
 * and NEED_REPLY, and looks at the exact bytes that come back.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "rnd.h"
#include "util.h"
#include "vu_fixture.h"

#define NONE (-1)

/*
 * @request, @min, @max: sizes of the payload; @fmin, @fmax: descriptors.
 * @feature: protocol feature that it needs, or NONE.
 * @reply:   bytes of the answer of its own; 0 = none.
 * @soft:    refused silently, without losing the connection.
 * @no_bad:  nothing in it can be refused.
 */
static const struct about {
	uint32_t request;
	unsigned int min, max;
	unsigned int fmin, fmax;
	int feature;
	unsigned int reply;
	bool soft, no_bad;
} all[] = {
	{VU_GET_FEATURES, 0, 0, 0, 0, NONE, 8, .no_bad = true},
	{VU_SET_FEATURES, 8, 8, 0, 0, NONE, 0},
	{VU_SET_OWNER, 0, 0, 0, 0, NONE, 0, .no_bad = true},
	{VU_RESET_OWNER, 0, 0, 0, 0, NONE, 0, .no_bad = true},
	{VU_SET_MEM_TABLE, 8, 264, 0, 8, NONE, 0},
	{VU_SET_LOG_BASE, 16, 16, 1, 1, VU_PROTOCOL_F_LOG_SHMFD, 0},
	{VU_SET_LOG_FD, 0, 8, 1, 1, NONE, 0, .no_bad = true},
	{VU_SET_VRING_NUM, 8, 8, 0, 0, NONE, 0},
	{VU_SET_VRING_ADDR, 40, 40, 0, 0, NONE, 0},
	{VU_SET_VRING_BASE, 8, 8, 0, 0, NONE, 0},
	{VU_GET_VRING_BASE, 8, 8, 0, 0, NONE, 8},
	{VU_SET_VRING_KICK, 8, 8, 0, 1, NONE, 0},
	{VU_SET_VRING_CALL, 8, 8, 0, 1, NONE, 0},
	{VU_SET_VRING_ERR, 8, 8, 0, 1, NONE, 0},
	{VU_GET_PROTOCOL_FEATURES, 0, 0, 0, 0, NONE, 8, .no_bad = true},
	{VU_SET_PROTOCOL_FEATURES, 8, 8, 0, 0, NONE, 0},
	{VU_GET_QUEUE_NUM, 0, 0, 0, 0, NONE, 8, .no_bad = true},
	{VU_SET_VRING_ENABLE, 8, 8, 0, 0, NONE, 0},
	{VU_SET_BACKEND_REQ_FD, 0, 0, 1, 1, VU_PROTOCOL_F_BACKEND_REQ, 0},
	{VU_GET_CONFIG, 12, 268, 0, 0, VU_PROTOCOL_F_CONFIG, 12 + 40},
	{VU_SET_CONFIG, 12, 268, 0, 0, VU_PROTOCOL_F_CONFIG, 0, .soft = true},
	{VU_GET_INFLIGHT_FD, 20, 24, 0, 0, VU_PROTOCOL_F_INFLIGHT_SHMFD, 24},
	{VU_SET_INFLIGHT_FD, 20, 24, 1, 1, VU_PROTOCOL_F_INFLIGHT_SHMFD, 0},
	{VU_RESET_DEVICE, 0, 0, 0, 0, VU_PROTOCOL_F_RESET_DEVICE, 0, .no_bad = true},
	{VU_GET_MAX_MEM_SLOTS, 0, 0, 0, 0, VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS, 8, .no_bad = true},
	{VU_ADD_MEM_REG, 40, 40, 1, 1, VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS, 0},
	{VU_REM_MEM_REG, 40, 40, 0, 1, VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS, 0, .soft = true},
	{VU_SET_STATUS, 8, 8, 0, 0, VU_PROTOCOL_F_STATUS, 0},
	{VU_GET_STATUS, 0, 0, 0, 0, VU_PROTOCOL_F_STATUS, 8, .no_bad = true},
	{VU_GET_SHMEM_CONFIG, 0, 0, 0, 0, VU_PROTOCOL_F_SHMEM, 2056, .no_bad = true},
};

static int dup_of(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	assert_true(copy >= 0);
	return copy;
}

static int memory_file(size_t size)
{
	int fd = memfd_create("vu-test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static int socket_end(void)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fd_close(&pair[1]);
	return pair[0];
}

static void attach(struct vu_msg *m, int fd)
{
	m->fds[m->nfds++] = fd;
}

/* Payload, size and descriptors of a request. Guest memory is its first half, as one region. */
static void build(struct fix *f, uint32_t request, bool good, uint64_t protocol, struct vu_msg *m)
{
	*m = (struct vu_msg){.hdr = {.request = request, .flags = VU_VERSION}};
	switch (request) {
	case VU_SET_FEATURES:
		m->body.u64 = good ? FIX_FEATURES : BIT(63);
		m->hdr.size = 8;
		break;
	case VU_SET_MEM_TABLE:
		m->body.mem.count = 1;
		m->body.mem.region[0] = fix_region(0, good ? FIX_RAM : FIX_RAM + 4096);
		m->hdr.size = 40;
		attach(m, dup_of(f->memfd));
		break;
	case VU_SET_LOG_BASE:
		m->body.log.size = good ? 4096 : 4097;
		m->hdr.size = 16;
		attach(m, memory_file(4096));
		break;
	case VU_SET_LOG_FD:
		attach(m, eventfd(0, EFD_CLOEXEC));
		break;
	case VU_SET_VRING_NUM:
		m->body.state.index = 1;
		m->body.state.num = good ? 128 : 65536;
		m->hdr.size = 8;
		break;
	case VU_SET_VRING_ADDR:
		m->body.addr.index = 1;
		m->body.addr.desc = FIX_UVA + (good ? 0 : 8);
		m->body.addr.avail = FIX_UVA + FIX_AVAIL(0);
		m->body.addr.used = FIX_UVA + FIX_USED(0);
		m->hdr.size = 40;
		break;
	case VU_SET_VRING_BASE:
	case VU_GET_VRING_BASE:
		m->body.state.index = good ? FIX_QUEUES - 1 : FIX_QUEUES;
		m->hdr.size = 8;
		break;
	case VU_SET_VRING_KICK:
	case VU_SET_VRING_CALL:
	case VU_SET_VRING_ERR:
		m->body.u64 = 1;
		m->hdr.size = 8;
		attach(m, good ? eventfd(0, EFD_CLOEXEC) : memory_file(8));
		break;
	case VU_SET_PROTOCOL_FEATURES:
		m->body.u64 = good ? protocol : protocol | BIT(40);
		m->hdr.size = 8;
		break;
	case VU_SET_VRING_ENABLE:
		m->body.state.index = 1;
		m->body.state.num = good ? 1 : 2;
		m->hdr.size = 8;
		break;
	case VU_SET_BACKEND_REQ_FD:
		attach(m, good ? socket_end() : eventfd(0, EFD_CLOEXEC));
		break;
	case VU_GET_CONFIG:
		m->body.config.size = good ? 40 : 300;
		m->hdr.size = VU_CONFIG_HDR + 40;
		break;
	case VU_SET_CONFIG:
		m->body.config.size = 1;
		m->hdr.size = VU_CONFIG_HDR + 1;
		break;
	case VU_GET_INFLIGHT_FD:
	case VU_SET_INFLIGHT_FD:
		m->body.inflight.num_queues = good ? FIX_QUEUES : FIX_QUEUES + 1;
		m->body.inflight.queue_size = 128;
		m->hdr.size = 24;
		if (request == VU_SET_INFLIGHT_FD) {
			m->body.inflight.mmap_size = 65536;
			attach(m, memory_file(65536));
		}
		break;
	case VU_ADD_MEM_REG:
		m->body.reg.region = fix_region(good ? FIX_RAM / 2 : 0, FIX_RAM / 2);
		m->hdr.size = 40;
		attach(m, dup_of(f->memfd));
		break;
	case VU_REM_MEM_REG:
		m->body.reg.region = fix_region(0, good ? FIX_RAM / 2 : FIX_RAM);
		m->hdr.size = 40;
		break;
	case VU_SET_STATUS:
		m->body.u64 = good ? 0x8f : 0x100;
		m->hdr.size = 8;
		break;
	default:
		break;
	}
}

/* A device with features, the first half of guest memory, and no ring. */
static void prepare(struct fix *f, uint64_t protocol)
{
	struct vu_mem_table table = {.count = 1, .region[0] = fix_region(0, FIX_RAM / 2)};

	fix_init(f, "tag");
	fix_negotiate(f, FIX_FEATURES, protocol);
	assert_int_equal(fix_do(f, VU_SET_MEM_TABLE, &table,
				offsetof(struct vu_mem_table, region[1]), &f->memfd, 1),
			 1);
}

/* Send and serve @m. What came back is in @reply; returns vu_dev_handle()'s result. */
static int exchange(struct fix *f, struct vu_msg *m, struct vu_msg *reply, size_t *ret_len)
{
	uint8_t raw[4096];
	int r;

	fix_send(f, m->hdr.request, m->hdr.flags, &m->body, m->hdr.size, m->fds, m->nfds);
	vu_msg_close_fds(m);
	r = vu_dev_handle(f->dev);
	*reply = (struct vu_msg){0};
	*ret_len = fix_reply(f, raw, sizeof(raw), &reply->fds[0]);
	assert_true(*ret_len <= sizeof(reply->hdr) + sizeof(reply->body));
	memcpy(&reply->hdr, raw, MIN(*ret_len, sizeof(reply->hdr)));
	if (*ret_len > sizeof(reply->hdr))
		memcpy(&reply->body, raw + sizeof(reply->hdr), *ret_len - sizeof(reply->hdr));
	fd_close(&reply->fds[0]);
	return r;
}

static void check_reply(const struct vu_msg *reply, size_t len, uint32_t request, size_t size)
{
	assert_int_equal(len, sizeof(reply->hdr) + size);
	assert_int_equal(reply->hdr.request, request);
	assert_int_equal(reply->hdr.flags, VU_VERSION | VU_FLAG_REPLY);
	assert_int_equal(reply->hdr.size, size);
}

static void matrix_case(const struct about *a, bool good, bool ack, bool need)
{
	uint64_t protocol = FIX_PROTOCOL & ~(ack ? 0 : BIT(VU_PROTOCOL_F_REPLY_ACK));
	/* SET_CONFIG is never served. */
	bool served = good && a->request != VU_SET_CONFIG;
	struct vu_msg m, reply;
	struct fix f;
	size_t len;
	int r;

	prepare(&f, protocol);
	build(&f, a->request, good, protocol, &m);
	m.hdr.flags |= need ? VU_FLAG_NEED_REPLY : 0;
	r = exchange(&f, &m, &reply, &len);
	if (a->reply && (served || a->request == VU_GET_CONFIG)) {
		assert_int_equal(r, 1);
		check_reply(&reply, len, a->request, served ? a->reply : 0);
	} else if (a->reply) {
		assert_true(r < 0);
		assert_int_equal(len, 0);
	} else if ((ack && need) || (served && a->request == VU_SET_LOG_BASE)) {
		assert_int_equal(r, 1);
		check_reply(&reply, len, a->request, 8);
		assert_true((reply.body.u64 == 0) == served);
	} else {
		assert_true(served || a->soft ? r == 1 : r < 0);
		assert_int_equal(len, 0);
	}
	fix_done(&f);
}

static void test_matrix(void **state)
{
	unsigned int before = fix_open_fds();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (unsigned int bits = 0; bits < 8; bits++)
			if (bits & 4 || !all[i].no_bad)
				matrix_case(&all[i], bits & 4, bits & 2, bits & 1);
	assert_int_equal(fix_open_fds(), before);
}

/* Every request with a name is in the table, or is one that we do not serve. */
static void test_complete(void **state)
{
	unsigned int named = 0;

	(void)state;
	for (uint32_t n = 0; n < 256; n++)
		named += vu_request_name(n)[0] != '?';
	assert_int_equal(named, ARRAY_SIZE(all) + 1);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		assert_string_not_equal(vu_request_name(all[i].request), "?");
}

static void test_wrong_size(void **state)
{
	static const unsigned int sizes[] = {0,  1,  4,  7,   8,   9,   11,  12,  15, 16,
					     17, 19, 20, 21,  24,  25,  32,  39,  40, 41,
					     48, 63, 64, 263, 264, 265, 268, 269, 512};
	unsigned int before = fix_open_fds();
	struct fix f;

	(void)state;
	prepare(&f, FIX_PROTOCOL);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
			struct vu_msg m, reply;
			size_t len;

			if (sizes[s] >= all[i].min && sizes[s] <= all[i].max)
				continue;
			build(&f, all[i].request, true, FIX_PROTOCOL, &m);
			m.hdr.size = sizes[s];
			m.hdr.flags |= VU_FLAG_NEED_REPLY;
			assert_int_equal(exchange(&f, &m, &reply, &len), -EPROTO);
			assert_int_equal(len, 0);
		}
	}
	fix_done(&f);
	assert_int_equal(fix_open_fds(), before);
}

static void test_wrong_fds(void **state)
{
	unsigned int before = fix_open_fds();
	struct fix f;

	(void)state;
	prepare(&f, FIX_PROTOCOL);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		for (unsigned int n = 0; n <= 8; n++) {
			struct vu_msg m, reply;
			size_t len;

			if (n >= all[i].fmin && n <= all[i].fmax)
				continue;
			build(&f, all[i].request, true, FIX_PROTOCOL, &m);
			vu_msg_close_fds(&m);
			while (m.nfds < n)
				attach(&m, dup_of(f.memfd));
			m.hdr.flags |= VU_FLAG_NEED_REPLY;
			assert_int_equal(exchange(&f, &m, &reply, &len), -EPROTO);
			assert_int_equal(len, 0);
		}
	}
	fix_done(&f);
	assert_int_equal(fix_open_fds(), before);
}

/* A request comes before the feature that it belongs to. */
static void test_before_feature(void **state)
{
	unsigned int before = fix_open_fds();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		for (unsigned int need = 0; need < 2; need++) {
			struct vu_msg m, reply;
			struct fix f;
			size_t len;
			int r;

			if (all[i].feature == NONE)
				continue;
			prepare(&f, FIX_PROTOCOL & ~BIT(all[i].feature));
			build(&f, all[i].request, true, FIX_PROTOCOL, &m);
			m.hdr.flags |= need ? VU_FLAG_NEED_REPLY : 0;
			r = exchange(&f, &m, &reply, &len);
			if (!all[i].reply && need) {
				assert_int_equal(r, 1);
				check_reply(&reply, len, all[i].request, 8);
				assert_true(reply.body.u64 != 0);
			} else {
				assert_int_equal(r, all[i].soft ? 1 : -EOPNOTSUPP);
				assert_int_equal(len, 0);
			}
			fix_done(&f);
		}
	}
	assert_int_equal(fix_open_fds(), before);
}

static void test_unknown(void **state)
{
	static const uint32_t unknown[] = {0,  19, 20, 22, 23, 26, 27, 28,      29,        30,
					   33, 35, 41, 42, 43, 45, 46, 0x10000, UINT32_MAX};
	struct fix f;

	(void)state;
	prepare(&f, FIX_PROTOCOL);
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		assert_true(fix_ack(&f, unknown[i], "12345678", 8, &f.memfd, 1) != 0);
		assert_int_equal(fix_do(&f, unknown[i], NULL, 0, NULL, 0), -EOPNOTSUPP);
	}
	fix_done(&f);
}

static void test_flags(void **state)
{
	static const uint32_t bad[] = {0, 2, 3, VU_VERSION | VU_FLAG_REPLY,
				       VU_VERSION | VU_FLAG_REPLY | VU_FLAG_NEED_REPLY};
	struct fix f;

	(void)state;
	fix_init(&f, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		fix_send(&f, VU_SET_OWNER, bad[i], NULL, 0, NULL, 0);
		assert_int_equal(vu_dev_handle(f.dev), -EPROTO);
	}
	fix_done(&f);
}

static void test_unoffered(void **state)
{
	struct fix f;

	(void)state;
	prepare(&f, FIX_PROTOCOL);
	for (unsigned int bit = 0; bit < 64; bit++) {
		uint64_t word = BIT(bit);

		assert_true((fix_ack(&f, VU_SET_FEATURES, &word, 8, NULL, 0) == 0) ==
			    !!(FIX_FEATURES & word));
		word |= BIT(VU_PROTOCOL_F_REPLY_ACK);
		assert_true((fix_ack(&f, VU_SET_PROTOCOL_FEATURES, &word, 8, NULL, 0) == 0) ==
			    !(word & ~FIX_PROTOCOL));
	}
	fix_done(&f);
}

/* Everything set up, then the front-end goes: nothing is left. */
static void test_disconnect(void **state)
{
	unsigned int before = fix_open_fds(), connected;
	struct fix f;

	(void)state;
	fix_init(&f, "tag");
	connected = fix_open_fds();
	for (unsigned int round = 0; round < 3; round++) {
		struct vu_msg m, reply;
		size_t len;

		fix_negotiate(&f, FIX_SPLIT, FIX_PROTOCOL);
		fix_memory(&f);
		for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
			/* These would not fit what is set up already, or start a ring. */
			if (all[i].request == VU_SET_FEATURES || all[i].request == VU_ADD_MEM_REG ||
			    all[i].request == VU_REM_MEM_REG || all[i].request == VU_SET_VRING_KICK)
				continue;
			build(&f, all[i].request, true, FIX_PROTOCOL, &m);
			assert_int_equal(exchange(&f, &m, &reply, &len), 1);
		}
		fix_ring(&f, 0, 16, 0);
		fix_ring(&f, 2, 16, 0);
		f.calls[0] = '\0';
		vu_dev_disconnect(f.dev);
		fix_calls(&f, "-0-2X");
		for (unsigned int i = 0; i < FIX_QUEUES; i++) {
			fd_close(&f.kick[i]);
			fd_close(&f.call[i]);
			fd_close(&f.err[i]);
		}
		fd_close(&f.fe);
		assert_int_equal(fix_open_fds(), connected - 2);
		fix_connect(&f);
		/* And nothing is remembered. */
		assert_int_equal(fix_do(&f, VU_GET_STATUS, NULL, 0, NULL, 0), -EOPNOTSUPP);
		assert_false(vu_dev_vring(f.dev, 1)->have_addr);
	}
	fix_done(&f);
	assert_int_equal(fix_open_fds(), before);
}

/* Good requests with a few bytes changed, in any order: nothing breaks, nothing leaks. */
static void test_noise(void **state)
{
	unsigned int before = fix_open_fds();
	uint64_t seed = 1;
	struct fix f;

	(void)state;
	fix_init(&f, "tag");
	for (unsigned int n = 0; n < 20000; n++) {
		const struct about *a = &all[rnd(&seed) % ARRAY_SIZE(all)];
		struct vu_msg m, reply;
		size_t len;

		build(&f, a->request, rnd(&seed) % 8, FIX_PROTOCOL, &m);
		if (m.hdr.size == 8 && a->request != VU_SET_FEATURES && rnd(&seed) % 2)
			m.body.state.index = rnd(&seed) % 4;
		for (unsigned int flips = rnd(&seed) % 3; flips && m.hdr.size; flips--)
			m.body.bytes[rnd(&seed) % m.hdr.size] ^= 1u << rnd(&seed) % 8;
		if (rnd(&seed) % 16 == 0)
			m.hdr.size += rnd(&seed) % 3 - 1;
		if (m.hdr.size > sizeof(m.body))
			m.hdr.size = 0;
		if (rnd(&seed) % 2)
			m.hdr.flags |= VU_FLAG_NEED_REPLY;
		f.calls[0] = '\0';
		if (exchange(&f, &m, &reply, &len) < 0)
			fix_connect(&f);
	}
	fix_done(&f);
	assert_int_equal(fix_open_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matrix),         cmocka_unit_test(test_complete),
		cmocka_unit_test(test_wrong_size),     cmocka_unit_test(test_wrong_fds),
		cmocka_unit_test(test_before_feature), cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_flags),          cmocka_unit_test(test_unoffered),
		cmocka_unit_test(test_disconnect),     cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
