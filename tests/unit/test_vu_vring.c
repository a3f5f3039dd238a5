// SPDX-License-Identifier: Apache-2.0
/* vu_vring: rings from their description to their start and stop; the dirty log. */
/*
 * Theory of operation
 *
 * The fixture plays front-end and owner in one thread; rings are real ones in a memfd. What the
 * driver would write there is written by the tests.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "util.h"
#include "vu_fixture.h"

#define PACKED     34
#define LOG_ALL    (FIX_SPLIT | BIT(VU_F_LOG_ALL))
#define PACKED_FTS (FIX_SPLIT | BIT(PACKED))

static struct vu_vring *ring(struct fix *f, unsigned int index)
{
	return vu_dev_vring(f->dev, index);
}

/* With protocol features a ring starts disabled, without it starts enabled. */
static void test_enabled(void **state)
{
	struct fix f;

	(void)state;
	fix_begin(&f, FIX_SPLIT);
	fix_ring(&f, 0, 16, 0);
	fix_calls(&f, "QR+0");
	assert_true(ring(&f, 0)->started);
	assert_false(ring(&f, 0)->enabled);
	fix_enable(&f, 0, true);
	fix_calls(&f, "QR");
	assert_true(ring(&f, 0)->enabled);
	fix_enable(&f, 0, false);
	assert_false(ring(&f, 0)->enabled);
	fix_done(&f);

	fix_begin(&f, FIX_SPLIT & ~BIT(VU_F_PROTOCOL_FEATURES));
	fix_ring(&f, 0, 16, 0);
	assert_true(ring(&f, 0)->enabled);
	/* That ends when they are acknowledged. */
	fix_get_base(&f, 0);
	fix_u64(&f, VU_SET_FEATURES, FIX_SPLIT);
	fix_ring(&f, 0, 16, 0);
	assert_false(ring(&f, 0)->enabled);
	fix_done(&f);

	/* Enabled before it starts. */
	fix_begin(&f, FIX_SPLIT);
	fix_enable(&f, 1, true);
	assert_false(ring(&f, 1)->started);
	fix_ring(&f, 1, 16, 0);
	assert_true(ring(&f, 1)->started && ring(&f, 1)->enabled);
	fix_done(&f);
}

/* It starts with whatever comes last of size, addresses, kick and memory. */
static void test_any_order(void **state)
{
	(void)state;
	for (unsigned int last = 0; last < 4; last++) {
		int kick = eventfd(0, EFD_CLOEXEC), err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		struct fix f;

		fix_init(&f, NULL);
		fix_negotiate(&f, FIX_SPLIT, FIX_PROTOCOL_NOTAG);
		assert_int_equal(fix_fd(&f, VU_SET_VRING_ERR, 0, err), 1);
		for (unsigned int n = 1; n <= 4; n++) {
			unsigned int what = (last + n) % 4;

			assert_false(ring(&f, 0)->started);
			if (what == 0)
				assert_int_equal(fix_state(&f, VU_SET_VRING_NUM, 0, 8), 1);
			else if (what == 1)
				assert_int_equal(fix_addr(&f, 0, 0, 0), 1);
			else if (what == 2)
				assert_int_equal(fix_fd(&f, VU_SET_VRING_KICK, 0, kick), 1);
			else
				fix_memory(&f);
		}
		assert_true(ring(&f, 0)->started);
		/* Without memory it was tried in vain. */
		assert_int_equal(fix_counter(err), last == 3);
		fix_done(&f);
		fd_close(&kick);
		fd_close(&err);
	}
}

static void test_bad_values(void **state)
{
	static const uint32_t bad_num[] = {0, 3, 12, 1025, 2048, 65536, UINT32_MAX};
	static const uint32_t bad_index[] = {FIX_QUEUES, 255, 256, 65536, UINT32_MAX};
	static const uint32_t states[] = {VU_SET_VRING_NUM, VU_SET_VRING_BASE, VU_GET_VRING_BASE,
					  VU_SET_VRING_ENABLE};
	static const uint32_t files[] = {VU_SET_VRING_KICK, VU_SET_VRING_CALL, VU_SET_VRING_ERR};
	static const struct vu_vring_addr bad_addr[] = {
		{.index = FIX_QUEUES}, {.index = 256},       {.index = UINT32_MAX}, {.flags = 2},
		{.flags = UINT32_MAX}, {.desc = 8},          {.desc = 1},           {.avail = 1},
		{.used = 2},           {.used = UINT64_MAX},
	};
	unsigned int before = fix_open_fds();
	struct fix f;

	(void)state;
	fix_begin(&f, FIX_SPLIT);
	for (size_t i = 0; i < ARRAY_SIZE(bad_num); i++)
		assert_int_equal(fix_state(&f, VU_SET_VRING_NUM, 0, bad_num[i]), -EINVAL);
	assert_int_equal(fix_state(&f, VU_SET_VRING_BASE, 0, 65536), -EINVAL);
	assert_int_equal(fix_state(&f, VU_SET_VRING_ENABLE, 0, 2), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(bad_index); i++)
		for (size_t s = 0; s < ARRAY_SIZE(states); s++)
			assert_int_equal(fix_state(&f, states[s], bad_index[i], 1), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(bad_addr); i++)
		assert_int_equal(fix_do(&f, VU_SET_VRING_ADDR, &bad_addr[i], sizeof(bad_addr[i]),
					NULL, 0),
				 -EINVAL);
	for (size_t s = 0; s < ARRAY_SIZE(files); s++) {
		int ev = eventfd(0, EFD_CLOEXEC);
		uint64_t word = VU_VRING_NOFD;

		assert_int_equal(fix_fd(&f, files[s], FIX_QUEUES, ev), -EINVAL);
		/* One where none is announced, and the reverse; unknown bits. */
		assert_true(fix_do(&f, files[s], &word, sizeof(word), &ev, 1) < 0);
		word = 0;
		assert_int_equal(fix_do(&f, files[s], &word, sizeof(word), NULL, 0), -EINVAL);
		word = 512;
		assert_int_equal(fix_do(&f, files[s], &word, sizeof(word), &ev, 1), -EINVAL);
		word = BIT(63);
		assert_int_equal(fix_do(&f, files[s], &word, sizeof(word), &ev, 1), -EINVAL);
		fd_close(&ev);
	}
	assert_int_equal(ring(&f, 0)->conf.size, 0);
	assert_false(ring(&f, 0)->have_addr);
	fix_done(&f);

	/* Packed rings need no power of two, and their base has 32 bits. */
	fix_begin(&f, PACKED_FTS);
	assert_int_equal(fix_state(&f, VU_SET_VRING_NUM, 0, 12), 1);
	assert_int_equal(fix_state(&f, VU_SET_VRING_NUM, 0, 1025), -EINVAL);
	assert_int_equal(fix_state(&f, VU_SET_VRING_BASE, 0, 0x80058005), 1);
	assert_int_equal(fix_get_base(&f, 0), 0x80058005);
	fix_done(&f);
	assert_int_equal(fix_open_fds(), before);
}

static int open_kind(const char *kind)
{
	int pair[2] = {-1, -1}, fd = -1;

	if (!strcmp(kind, "eventfd")) {
		fd = eventfd(0, EFD_CLOEXEC);
	} else if (!strcmp(kind, "pipe-read") || !strcmp(kind, "pipe-write")) {
		bool write_end = !strcmp(kind, "pipe-write");

		assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
		fd = fd_steal(&pair[write_end]);
	} else if (!strcmp(kind, "socket")) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		fd = fd_steal(&pair[0]);
	} else if (!strcmp(kind, "file")) {
		fd = memfd_create("vu-test", MFD_CLOEXEC);
	} else if (!strcmp(kind, "device")) {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} else if (!strcmp(kind, "directory")) {
		fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	} else if (!strcmp(kind, "path")) {
		fd = open("/", O_PATH | O_CLOEXEC);
	}
	fd_close(&pair[0]);
	fd_close(&pair[1]);
	assert_true(fd >= 0);
	return fd;
}

static void test_kinds_of_fd(void **state)
{
	static const struct {
		const char *kind;
		bool kick;
		bool call;
	} kinds[] = {
		{"eventfd", true, true},     {"pipe-read", true, false},
		{"pipe-write", false, true}, {"socket", true, true},
		{"file", false, false},      {"device", false, false},
		{"directory", false, false}, {"path", false, false},
	};
	unsigned int before = fix_open_fds();
	struct fix f;

	(void)state;
	fix_begin(&f, FIX_SPLIT);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		int fd = open_kind(kinds[i].kind);

		assert_int_equal(fix_fd(&f, VU_SET_VRING_KICK, 0, fd), kinds[i].kick ? 1 : -EBADF);
		assert_int_equal(fix_fd(&f, VU_SET_VRING_CALL, 0, fd), kinds[i].call ? 1 : -EBADF);
		assert_int_equal(fix_fd(&f, VU_SET_VRING_ERR, 0, fd), kinds[i].call ? 1 : -EBADF);
		/* Never may the daemon block on one. */
		if (kinds[i].kick || kinds[i].call)
			assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		fd_close(&fd);
	}
	fix_done(&f);
	assert_int_equal(fix_open_fds(), before);
}

static void test_without_fd(void **state)
{
	uint64_t word = VU_VRING_NOFD | 1;
	struct fix f;

	(void)state;
	fix_begin(&f, FIX_SPLIT);
	fix_ring(&f, 1, 16, 0);
	assert_int_equal(fix_do(&f, VU_SET_VRING_KICK, &word, sizeof(word), NULL, 0), -EOPNOTSUPP);
	assert_true(ring(&f, 1)->kick_fd >= 0);
	fix_u64(&f, VU_SET_VRING_CALL, word);
	assert_int_equal(ring(&f, 1)->call_fd, -1);
	fix_u64(&f, VU_SET_VRING_ERR, word);
	assert_int_equal(ring(&f, 1)->err_fd, -1);
	vu_vring_call(ring(&f, 1));
	vu_vring_error(ring(&f, 1));
	assert_int_equal(fix_counter(f.call[1]), 0);
	fix_done(&f);
}

static int seen_call;

static void see_call(struct fix *f)
{
	seen_call = ring(f, 0)->call_fd;
}

static void see_new_call(struct fix *f)
{
	assert_int_not_equal(ring(f, 0)->call_fd, seen_call);
}

/* A descriptor of a running ring is exchanged while the queues stand still, and signalled once. */
static void test_call_while_running(void **state)
{
	int call = eventfd(0, EFD_CLOEXEC);
	unsigned int open_fds;
	struct fix f;

	(void)state;
	fix_begin(&f, FIX_SPLIT);
	fix_ring(&f, 0, 16, 0);
	open_fds = fix_open_fds();
	assert_int_equal(fix_counter(f.call[0]), 0);
	f.on_quiesce = see_call;
	f.on_resume = see_new_call;
	f.calls[0] = '\0';
	assert_int_equal(fix_fd(&f, VU_SET_VRING_CALL, 0, call), 1);
	fix_calls(&f, "QR");
	assert_int_equal(fix_counter(f.call[0]), 0);
	assert_int_equal(fix_counter(call), 1);
	vu_vring_call(ring(&f, 0));
	assert_int_equal(fix_counter(call), 1);
	assert_int_equal(fix_open_fds(), open_fds);
	fix_done(&f);
	fd_close(&call);
}

static void see_stop(struct fix *f, struct vu_vring *vr)
{
	(void)f;
	/* Its last chains can still be given back, and kicks be read. */
	assert_true(vr->vq.running);
	assert_true(vr->kick_fd >= 0);
	vr->vq.last_avail = 5;
}

static void test_get_base(void **state)
{
	unsigned int open_fds;
	struct fix f;

	(void)state;
	fix_begin(&f, FIX_SPLIT);
	open_fds = fix_open_fds();
	fix_ring(&f, 2, 16, 3);
	f.on_stop = see_stop;
	f.calls[0] = '\0';
	assert_int_equal(fix_get_base(&f, 2), 5);
	fix_calls(&f, "-2");
	assert_false(ring(&f, 2)->started);
	assert_false(ring(&f, 2)->vq.running);
	assert_int_equal(ring(&f, 2)->kick_fd, -1);
	/* Ours (kick, call, err) and theirs (call, err). */
	assert_int_equal(fix_open_fds(), open_fds + 5);
	assert_int_equal(fix_get_base(&f, 2), 5);
	fix_calls(&f, "");
	/* It goes on from there by a new kick descriptor alone. */
	assert_int_equal(fix_fd(&f, VU_SET_VRING_KICK, 2, f.kick[2]), 1);
	fix_calls(&f, "QR+2");
	assert_int_equal(ring(&f, 2)->vq.last_avail, 5);
	fix_done(&f);
}

/* User-Mode Linux: queues are disabled, their bases not asked for, and then described anew. */
static void test_described_anew(void **state)
{
	struct vu_vring_addr moved = {
		.desc = FIX_UVA + FIX_DESC(1),
		.avail = FIX_UVA + FIX_AVAIL(1),
		.used = FIX_UVA + FIX_USED(1),
	};
	struct fix f;

	(void)state;
	fix_begin(&f, FIX_SPLIT);
	fix_ring(&f, 0, 16, 0);
	fix_enable(&f, 0, true);
	f.calls[0] = '\0';
	assert_int_equal(fix_state(&f, VU_SET_VRING_NUM, 0, 8), -EBUSY);
	assert_int_equal(fix_state(&f, VU_SET_VRING_BASE, 0, 0), -EBUSY);
	assert_int_equal(fix_do(&f, VU_SET_VRING_ADDR, &moved, sizeof(moved), NULL, 0), -EBUSY);
	fix_calls(&f, "");
	assert_int_equal(ring(&f, 0)->vq.conf.size, 16);
	fix_enable(&f, 0, false);
	f.calls[0] = '\0';
	assert_int_equal(fix_state(&f, VU_SET_VRING_NUM, 0, 8), 1);
	fix_calls(&f, "-0");
	fix_ring(&f, 0, 8, 0);
	fix_calls(&f, "QR+0");
	assert_int_equal(ring(&f, 0)->vq.conf.size, 8);
	fix_enable(&f, 0, true);
	fix_enable(&f, 0, false);
	f.calls[0] = '\0';
	assert_int_equal(fix_do(&f, VU_SET_VRING_ADDR, &moved, sizeof(moved), NULL, 0), 1);
	fix_calls(&f, "-0");
	assert_int_equal(fix_fd(&f, VU_SET_VRING_KICK, 0, f.kick[0]), 1);
	assert_ptr_equal((uint8_t *)ring(&f, 0)->vq.desc - (uint8_t *)ring(&f, 0)->vq.driver,
			 (intptr_t)FIX_DESC(1) - (intptr_t)FIX_AVAIL(1));
	fix_done(&f);
}

/* alioth: a new kick descriptor first, while the description of the time before is still here. */
static void test_kick_first(void **state)
{
	const uint64_t words[] = {VU_SET_VRING_NUM, VU_SET_VRING_BASE, VU_SET_VRING_ADDR};
	struct vu_vring_addr moved = {
		.desc = FIX_UVA + FIX_DESC(1),
		.avail = FIX_UVA + FIX_AVAIL(1),
		.used = FIX_UVA + FIX_USED(1),
	};

	(void)state;
	/* In whatever order the rest comes. */
	for (unsigned int first = 0; first < 3; first++) {
		struct fix f;

		fix_begin(&f, FIX_SPLIT);
		fix_ring(&f, 0, 16, 0);
		fix_enable(&f, 0, true);
		fix_enable(&f, 0, false);
		assert_int_equal(fix_do(&f, VU_RESET_OWNER, NULL, 0, NULL, 0), 1);
		assert_int_equal(ring(&f, 0)->kick_fd, -1);
		assert_int_equal(fix_fd(&f, VU_SET_VRING_KICK, 0, f.kick[0]), 1);
		for (unsigned int i = 0; i < 3; i++) {
			uint64_t request = words[(first + i) % 3];

			if (request == VU_SET_VRING_ADDR)
				assert_int_equal(fix_do(&f, VU_SET_VRING_ADDR, &moved,
							sizeof(moved), NULL, 0),
						 1);
			else
				assert_int_equal(fix_state(&f, (uint32_t)request, 0,
							   request == VU_SET_VRING_NUM ? 8 : 5),
						 1);
		}
		fix_enable(&f, 0, true);
		assert_true(ring(&f, 0)->started);
		assert_true(ring(&f, 0)->kick_fd >= 0);
		assert_int_equal(ring(&f, 0)->vq.conf.size, 8);
		assert_int_equal(ring(&f, 0)->vq.conf.base, 5);
		assert_int_equal(ring(&f, 0)->vq.conf.desc, moved.desc);
		fix_done(&f);
	}
}

static void test_owner_refuses(void **state)
{
	struct fix f;

	(void)state;
	fix_begin(&f, FIX_SPLIT);
	f.start_result = -ENOMEM;
	fix_ring(&f, 0, 16, 9);
	assert_int_equal(f.failed, -ENOMEM);
	assert_false(ring(&f, 0)->started);
	assert_false(ring(&f, 0)->vq.running);
	assert_int_equal(fix_counter(f.err[0]), 1);
	f.start_result = 0;
	fix_memory(&f);
	assert_true(ring(&f, 0)->started);
	assert_int_equal(fix_get_base(&f, 0), 9);
	fix_done(&f);
}

static void test_packed_base(void **state)
{
	enum {
		AVAIL = 1u << VRING_PACKED_DESC_F_AVAIL,
		USED = 1u << VRING_PACKED_DESC_F_USED,
		SIZE = 16,
	};
	static const struct {
		uint16_t flags[SIZE];
		uint32_t said;
		uint32_t used;
	} cases[] = {
		{{0}, 0, 0x80008000},
		{{AVAIL}, 0, 0x80008000},
		{{AVAIL, AVAIL, AVAIL, AVAIL}, 0, 0x80008000},
		{{USED}, 0, 0},
		{{USED | AVAIL}, 0, 0},
		/* The first slot was in the middle of a chain; what was used stands behind it. */
		{{AVAIL, AVAIL, USED | AVAIL}, 0, 0},
		{{AVAIL, [SIZE - 1] = USED | AVAIL}, 0, 0},
		{{AVAIL, [SIZE - 1] = USED}, 0, 0},
		{{0}, 0x80008000, 0x80008000},
		{{0}, 0x00038003, 0x00038003},
		{{0}, 0x80000000, 0x80000000},
	};
	struct fix f;

	(void)state;
	fix_begin(&f, PACKED_FTS);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vring_packed_desc *desc = (void *)(f.ram + FIX_DESC(0));

		for (unsigned int k = 0; k < SIZE; k++)
			desc[k].flags = cases[i].flags[k];
		fix_ring(&f, 0, SIZE, cases[i].said);
		assert_true(ring(&f, 0)->started);
		assert_int_equal(fix_get_base(&f, 0), cases[i].used);
	}
	fix_done(&f);
}

/* Aligned as the front-end sees it, but not here: refused before anything is read by words. */
static void test_packed_misaligned(void **state)
{
	struct vu_mem_table table = {.count = 1, .region[0] = fix_region(0, FIX_RAM)};
	struct fix f;

	(void)state;
	fix_begin(&f, PACKED_FTS);
	for (unsigned int by = 1; by < 16; by++) {
		table.region[0].uva = FIX_UVA - by;
		assert_int_equal(fix_do(&f, VU_SET_MEM_TABLE, &table,
					offsetof(struct vu_mem_table, region[1]), &f.memfd, 1),
				 1);
		fix_ring(&f, 0, 16, 0);
		assert_false(ring(&f, 0)->started);
	}
	fix_memory(&f);
	assert_true(ring(&f, 0)->started);
	fix_done(&f);
}

static void send_log(struct fix *f, uint64_t size, uint64_t offset, uint64_t file, bool good)
{
	const struct vu_log log = {.size = size, .offset = offset};
	int fd = memfd_create("vu-test-log", MFD_CLOEXEC);
	uint64_t value;

	assert_int_equal(ftruncate(fd, (off_t)file), 0);
	fix_send(f, VU_SET_LOG_BASE, VU_VERSION, &log, sizeof(log), &fd, 1);
	if (good) {
		uint8_t buf[32];

		assert_int_equal(vu_dev_handle(f->dev), 1);
		assert_int_equal(fix_reply(f, buf, sizeof(buf), NULL), 20);
		memcpy(&value, buf + 12, 8);
		assert_int_equal(value, 0);
	} else {
		assert_int_equal(vu_dev_handle(f->dev), -EINVAL);
		assert_true(fix_ack(f, VU_SET_LOG_BASE, &log, sizeof(log), &fd, 1) != 0);
	}
	fd_close(&fd);
}

static void test_log(void **state)
{
	unsigned int before = fix_open_fds(), maps = fix_mappings(), with_log;
	struct fix f;
	struct vq *vq;

	(void)state;
	fix_begin(&f, FIX_SPLIT);
	vq = &ring(&f, 0)->vq;
	fix_ring(&f, 0, 16, 0);
	fix_enable(&f, 0, true);
	f.calls[0] = '\0';
	send_log(&f, 4096, 0, 4096, true);
	fix_calls(&f, "QR");
	assert_null(vq->log);
	fix_u64(&f, VU_SET_FEATURES, LOG_ALL);
	assert_non_null(vq->log);
	assert_int_equal(vq->log->size, 4096);
	/* The used ring too, and back. */
	assert_int_equal(fix_addr(&f, 0, VU_VRING_F_LOG, 0x1234), 1);
	assert_true(vq->conf.log_used);
	assert_int_equal(vq->conf.log_gpa, 0x1234);
	/* A larger one. */
	with_log = fix_mappings();
	send_log(&f, 8192, 4096, 16384, true);
	assert_int_equal(fix_mappings(), with_log);
	assert_int_equal(vq->log->size, 8192);
	gmem_log_gpa(vq->log, 0, 4096);
	assert_int_equal(fix_addr(&f, 0, 0, UINT64_MAX), 1);
	assert_false(vq->conf.log_used);
	send_log(&f, 0, 0, 4096, false);
	send_log(&f, 4097, 0, 4096, false);
	send_log(&f, 4096, 4096, 4096, false);
	send_log(&f, UINT64_MAX, 4096, 4096, false);
	send_log(&f, 4096, UINT64_MAX - 100, 4096, false);
	assert_int_equal(vq->log->size, 8192);
	fix_u64(&f, VU_SET_FEATURES, FIX_SPLIT);
	assert_null(vq->log);
	assert_true(ring(&f, 0)->started);
	/* A ring that starts while logging is on logs, too. */
	fix_u64(&f, VU_SET_FEATURES, LOG_ALL);
	fix_ring(&f, 1, 16, 0);
	assert_non_null(ring(&f, 1)->vq.log);
	fix_done(&f);
	assert_int_equal(fix_open_fds(), before);
	assert_int_equal(fix_mappings(), maps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_enabled),           cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_bad_values),        cmocka_unit_test(test_kinds_of_fd),
		cmocka_unit_test(test_without_fd),        cmocka_unit_test(test_call_while_running),
		cmocka_unit_test(test_get_base),          cmocka_unit_test(test_described_anew),
		cmocka_unit_test(test_kick_first),        cmocka_unit_test(test_owner_refuses),
		cmocka_unit_test(test_packed_base),       cmocka_unit_test(test_log),
		cmocka_unit_test(test_packed_misaligned), cmocka_unit_test(test_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
