// SPDX-License-Identifier: Apache-2.0
/* vu_msg: framing. */
/*
 * Theory of operation
 *
 * Both ends of a socket pair are in one thread; what is sent fits in the socket's buffer. A
 * front-end may send header and payload apart, so each test of a good message runs with both ways
 * of sending.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "util.h"
#include "vu_fixture.h"

struct pair {
	int ours;
	int theirs;
	unsigned int open_fds;
};

static int setup(void **state)
{
	static struct pair p;
	int fds[2];

	p.open_fds = fix_open_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	p.ours = fds[0];
	p.theirs = fds[1];
	*state = &p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	fd_close(&p->ours);
	fd_close(&p->theirs);
	assert_int_equal(fix_open_fds(), p->open_fds);
	return 0;
}

static void send_bytes(int sock, const void *bytes, size_t len, const int *fds, unsigned int nfds)
{
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};

	assert_int_equal(fd_sendmsg(sock, &iov, 1, fds, nfds), 0);
}

static void send_hdr(const struct pair *p, uint32_t request, uint32_t flags, uint32_t size,
		     const int *fds, unsigned int nfds)
{
	const struct vu_hdr hdr = {.request = request, .flags = flags, .size = size};

	send_bytes(p->theirs, &hdr, sizeof(hdr), fds, nfds);
}

static void test_round_trip(void **state)
{
	const struct pair *p = *state;
	struct vu_msg out = {
		.hdr = {.request = VU_SET_VRING_KICK, .flags = VU_VERSION, .size = 8},
		.body.u64 = 0x1122334455667788,
	};
	struct vu_msg in;

	out.fds[0] = eventfd(7, EFD_CLOEXEC);
	out.nfds = 1;
	assert_int_equal(vu_msg_send(p->theirs, &out), 0);
	assert_int_equal(vu_msg_recv(p->ours, &in), 1);
	assert_memory_equal(&in.hdr, &out.hdr, sizeof(in.hdr));
	assert_true(in.body.u64 == out.body.u64);
	for (size_t i = 8; i < sizeof(in.body); i++)
		assert_int_equal(in.body.bytes[i], 0);
	assert_int_equal(in.nfds, 1);
	assert_int_equal(fix_counter(in.fds[0]), 7);
	vu_msg_close_fds(&in);
	assert_int_equal(in.nfds, 0);
	assert_int_equal(in.fds[0], -1);
	vu_msg_close_fds(&out);
}

/* The wire, byte by byte. */
static void test_layout(void **state)
{
	static const uint8_t expected[] = {
		11, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0, 0, 0x34, 0x12, 0, 0,
	};
	const struct pair *p = *state;
	const struct vu_msg msg = {
		.hdr =
			{
				.request = VU_GET_VRING_BASE,
				.flags = VU_VERSION | VU_FLAG_REPLY,
				.size = 8,
			},
		.body.state = {.index = 2, .num = 0x1234},
	};
	uint8_t got[64];

	assert_int_equal(vu_msg_send(p->ours, &msg), 0);
	assert_int_equal(recv(p->theirs, got, sizeof(got), MSG_DONTWAIT), sizeof(expected));
	assert_memory_equal(got, expected, sizeof(expected));
}

/* Descriptors with the header, with the payload, and with both. */
static void test_apart(void **state)
{
	const struct pair *p = *state;
	const uint64_t word = 5;
	int ev[2] = {eventfd(1, EFD_CLOEXEC), eventfd(2, EFD_CLOEXEC)};

	for (unsigned int with_hdr = 0; with_hdr <= 2; with_hdr++) {
		struct vu_msg in;

		send_hdr(p, VU_SET_FEATURES, VU_VERSION, 8, ev, with_hdr);
		send_bytes(p->theirs, &word, 3, ev + with_hdr, 2 - with_hdr);
		send_bytes(p->theirs, (const char *)&word + 3, 5, NULL, 0);
		assert_int_equal(vu_msg_recv(p->ours, &in), 1);
		assert_int_equal(in.body.u64, 5);
		assert_int_equal(in.nfds, 2);
		vu_msg_close_fds(&in);
	}
	fd_close(&ev[0]);
	fd_close(&ev[1]);
}

static void test_taken_fd_stays(void **state)
{
	const struct pair *p = *state;
	int ev = eventfd(3, EFD_CLOEXEC), kept;
	struct vu_msg in;

	send_hdr(p, VU_SET_OWNER, VU_VERSION, 0, &ev, 1);
	assert_int_equal(vu_msg_recv(p->ours, &in), 1);
	kept = fd_steal(&in.fds[0]);
	vu_msg_close_fds(&in);
	assert_int_equal(fix_counter(kept), 3);
	fd_close(&kept);
	fd_close(&ev);
}

static void test_bad_header(void **state)
{
	static const struct {
		uint32_t flags;
		uint32_t size;
	} bad[] = {
		{0, 0},
		{2, 0},
		{3, 0},
		{VU_FLAG_REPLY, 0},
		{VU_VERSION, sizeof(union vu_payload) + 1},
		{VU_VERSION, 0x80000000},
		{VU_VERSION, UINT32_MAX},
	};
	const struct pair *p = *state;
	int ev = eventfd(0, EFD_CLOEXEC);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct vu_msg in;

		send_hdr(p, VU_SET_FEATURES, bad[i].flags, bad[i].size, &ev, 1);
		assert_int_equal(vu_msg_recv(p->ours, &in), -EPROTO);
		assert_int_equal(in.nfds, 0);
	}
	fd_close(&ev);
}

static void test_largest(void **state)
{
	const struct pair *p = *state;
	uint8_t bytes[sizeof(union vu_payload)];
	struct vu_msg in;

	memset(bytes, 0xa5, sizeof(bytes));
	send_hdr(p, 99, VU_VERSION, sizeof(bytes), NULL, 0);
	send_bytes(p->theirs, bytes, sizeof(bytes), NULL, 0);
	assert_int_equal(vu_msg_recv(p->ours, &in), 1);
	assert_memory_equal(in.body.bytes, bytes, sizeof(bytes));
}

static void test_too_many_fds(void **state)
{
	const struct pair *p = *state;
	const uint64_t word = 0;
	int ev[8];
	struct vu_msg in;

	for (unsigned int i = 0; i < 8; i++)
		ev[i] = eventfd(0, EFD_CLOEXEC);
	send_hdr(p, VU_SET_MEM_TABLE, VU_VERSION, 8, ev, 8);
	send_bytes(p->theirs, &word, 8, ev, 1);
	assert_int_equal(vu_msg_recv(p->ours, &in), -EMSGSIZE);
	assert_int_equal(in.nfds, 0);
	for (unsigned int i = 0; i < 8; i++)
		fd_close(&ev[i]);
}

static void test_end(void **state)
{
	struct pair *p = *state;
	struct vu_msg in;

	fd_close(&p->theirs);
	assert_int_equal(vu_msg_recv(p->ours, &in), 0);
}

static void test_end_in_header(void **state)
{
	struct pair *p = *state;
	int ev = eventfd(0, EFD_CLOEXEC);
	struct vu_msg in;

	send_bytes(p->theirs, "\1\0\0\0\1", 5, &ev, 1);
	fd_close(&p->theirs);
	assert_int_equal(vu_msg_recv(p->ours, &in), -ECONNRESET);
	fd_close(&ev);
}

static void test_end_in_payload(void **state)
{
	struct pair *p = *state;
	int ev = eventfd(0, EFD_CLOEXEC);
	struct vu_msg in;

	send_hdr(p, VU_SET_FEATURES, VU_VERSION, 8, &ev, 1);
	fd_close(&p->theirs);
	assert_int_equal(vu_msg_recv(p->ours, &in), -ECONNRESET);
	assert_int_equal(in.nfds, 0);
	fd_close(&ev);
}

/* By pieces of every length, descriptors with the first and the last: never a wait, nothing lost. */
static void test_by_pieces(void **state)
{
	const struct pair *p = *state;
	const struct {
		struct vu_hdr hdr;
		uint64_t word;
	} __attribute__((packed)) m = {{VU_SET_VRING_KICK, VU_VERSION, 8}, 0x1122334455667788};
	int ev[2] = {eventfd(1, EFD_CLOEXEC), eventfd(2, EFD_CLOEXEC)};
	struct vu_reader rd;
	struct vu_msg in;

	vu_reader_init(&rd);
	for (size_t piece = 1; piece <= sizeof(m); piece++) {
		assert_int_equal(vu_msg_read(p->ours, &rd, &in), -EAGAIN);
		for (size_t at = 0; at < sizeof(m); at += piece) {
			size_t n = MIN(piece, sizeof(m) - at);

			send_bytes(p->theirs, (const uint8_t *)&m + at, n, at ? &ev[1] : ev,
				   at == 0 || at + n == sizeof(m));
			assert_int_equal(vu_msg_read(p->ours, &rd, &in),
					 at + n == sizeof(m) ? 1 : -EAGAIN);
		}
		assert_memory_equal(&in.hdr, &m.hdr, sizeof(m.hdr));
		assert_true(in.body.u64 == m.word);
		assert_int_equal(in.nfds, piece == sizeof(m) ? 1 : 2);
		assert_int_equal(in.fds[in.nfds], -1);
		vu_msg_close_fds(&in);
	}
	/* Half a message is dropped with what came along. */
	send_bytes(p->theirs, &m, 15, ev, 2);
	assert_int_equal(vu_msg_read(p->ours, &rd, &in), -EAGAIN);
	vu_reader_done(&rd);
	send_bytes(p->theirs, &m, sizeof(m), ev, 2);
	assert_int_equal(vu_msg_read(p->ours, &rd, &in), 1);
	assert_int_equal(in.nfds, 2);
	vu_msg_close_fds(&in);
	fd_close(&ev[0]);
	fd_close(&ev[1]);
}

static void test_pieces_end(void **state)
{
	struct pair *p = *state;
	struct vu_reader rd;
	struct vu_msg in;
	int ev = eventfd(0, EFD_CLOEXEC);

	vu_reader_init(&rd);
	send_hdr(p, VU_SET_FEATURES, VU_VERSION + 1, 8, &ev, 1);
	assert_int_equal(vu_msg_read(p->ours, &rd, &in), -EPROTO);
	send_hdr(p, VU_SET_FEATURES, VU_VERSION, sizeof(union vu_payload) + 1, &ev, 1);
	assert_int_equal(vu_msg_read(p->ours, &rd, &in), -EPROTO);
	send_hdr(p, VU_SET_FEATURES, VU_VERSION, 8, &ev, 1);
	assert_int_equal(vu_msg_read(p->ours, &rd, &in), -EAGAIN);
	fd_close(&p->theirs);
	assert_int_equal(vu_msg_read(p->ours, &rd, &in), -ECONNRESET);
	assert_int_equal(vu_msg_read(p->ours, &rd, &in), 0);
	fd_close(&ev);
}

static void test_send_refuses(void **state)
{
	const struct pair *p = *state;
	struct vu_msg msg = {.hdr = {.flags = VU_VERSION, .size = sizeof(union vu_payload) + 1}};

	assert_int_equal(vu_msg_send(p->ours, &msg), -EINVAL);
	msg.hdr.size = 0;
	msg.nfds = VU_FDS_MAX + 1;
	assert_int_equal(vu_msg_send(p->ours, &msg), -EINVAL);
}

static void test_send_to_nobody(void **state)
{
	struct pair *p = *state;
	const struct vu_msg msg = {.hdr = {.flags = VU_VERSION}};

	fd_close(&p->theirs);
	assert_int_equal(vu_msg_send(p->ours, &msg), -EPIPE);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(vu_request_name(VU_GET_FEATURES), "GET_FEATURES");
	assert_string_equal(vu_request_name(VU_GET_STATUS), "GET_STATUS");
	assert_string_equal(vu_request_name(0), "?");
	assert_string_equal(vu_request_name(19), "?");
	assert_string_equal(vu_request_name(VU_REQUEST_MAX), "?");
	assert_string_equal(vu_request_name(UINT32_MAX), "?");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_round_trip),     TEST(test_layout),       TEST(test_apart),
		TEST(test_taken_fd_stays), TEST(test_bad_header),   TEST(test_largest),
		TEST(test_too_many_fds),   TEST(test_end),          TEST(test_end_in_header),
		TEST(test_end_in_payload), TEST(test_send_refuses), TEST(test_send_to_nobody),
		TEST(test_by_pieces),      TEST(test_pieces_end),   cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
