// SPDX-License-Identifier: Apache-2.0
/* vu_shmem: the shared memory region, mappings, and memory tables that follow them. */
/*
 * Theory of operation
 *
 * The test is the front-end's main channel and the device's control thread; another thread is the
 * front-end's end of the back-end channel, or asks for the mapping.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "vu_fixture.h"

#define PAGE UINT64_C(4096)

/* What a front-end takes that has a channel for mappings, without single regions. */
#define PLAIN (BIT(VU_PROTOCOL_F_REPLY_ACK) | BIT(VU_PROTOCOL_F_BACKEND_REQ) | BIT(22))
#define SLOTS (PLAIN | BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS))

static int begin(struct fix *f, uint64_t protocol)
{
	int pair[2];

	fix_init(f, NULL);
	fix_negotiate(f, FIX_SPLIT, protocol);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fix_do(f, VU_SET_BACKEND_REQ_FD, NULL, 0, &pair[0], 1), 1);
	fd_close(&pair[0]);
	return pair[1];
}

static void answer(int peer, uint32_t request, uint64_t value)
{
	const struct {
		struct vu_hdr hdr;
		uint64_t value;
	} __attribute__((packed)) a = {{request, VU_VERSION | VU_FLAG_REPLY, 8}, value};

	assert_int_equal(send(peer, &a, sizeof(a), 0), sizeof(a));
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

static void test_config(void **state)
{
	static const uint64_t less[] = {SLOTS & ~BIT(VU_PROTOCOL_F_REPLY_ACK),
					SLOTS & ~BIT(VU_PROTOCOL_F_BACKEND_REQ)};
	struct vu_shmem_config config;
	struct fix f;

	(void)state;
	fix_init(&f, NULL);
	fix_negotiate(&f, FIX_SPLIT, SLOTS);
	fix_get(&f, VU_GET_SHMEM_CONFIG, NULL, 0, &config, sizeof(config), NULL);
	assert_int_equal(config.nregions, 1);
	assert_int_equal(config.size[0], FIX_SHMEM);
	for (unsigned int i = 1; i < VU_SHMEM_REGIONS; i++)
		assert_int_equal(config.size[i], 0);
	/* Nobody could map anything: there is no window. */
	for (unsigned int i = 0; i < 2; i++) {
		fix_u64(&f, VU_SET_PROTOCOL_FEATURES, less[i]);
		fix_get(&f, VU_GET_SHMEM_CONFIG, NULL, 0, &config, sizeof(config), NULL);
		assert_int_equal(config.nregions, 0);
		assert_int_equal(config.size[0], 0);
	}
	fix_done(&f);
}

static void test_map(void **state)
{
	struct vu_msg got;
	struct fix f;
	int peer;

	(void)state;
	peer = begin(&f, PLAIN);
	assert_true(vu_dev_shmem_ready(f.dev));
	answer(peer, 9, 0);
	assert_int_equal(vu_dev_shmem_map(f.dev, f.memfd, PAGE, 2 * PAGE, 3 * PAGE, true), 0);
	assert_int_equal(vu_msg_recv(peer, &got), 1);
	assert_int_equal(got.hdr.request, 9);
	assert_int_equal(got.body.shmem.shmid, 0);
	assert_int_equal(got.body.shmem.fd_offset, PAGE);
	assert_int_equal(got.body.shmem.shm_offset, 2 * PAGE);
	assert_int_equal(got.body.shmem.len, 3 * PAGE);
	assert_int_equal(got.body.shmem.flags, 1);
	vu_msg_close_fds(&got);
	answer(peer, 9, 22);
	assert_int_equal(vu_dev_shmem_map(f.dev, f.memfd, 0, 0, PAGE, false), -EREMOTEIO);
	assert_int_equal(vu_msg_recv(peer, &got), 1);
	assert_int_equal(got.body.shmem.flags, 0);
	vu_msg_close_fds(&got);
	answer(peer, 10, 0);
	assert_int_equal(vu_dev_shmem_unmap(f.dev, 2 * PAGE, 3 * PAGE), 0);
	assert_int_equal(vu_msg_recv(peer, &got), 1);
	assert_int_equal(got.hdr.request, 10);
	assert_int_equal(got.body.shmem.shm_offset, 2 * PAGE);
	assert_int_equal(got.body.shmem.len, 3 * PAGE);
	assert_int_equal(got.nfds, 0);
	/* The front-end is gone: nothing is sent any more. */
	vu_dev_disconnect(f.dev);
	assert_false(vu_dev_shmem_ready(f.dev));
	assert_int_equal(vu_dev_shmem_map(f.dev, f.memfd, 0, 0, PAGE, false), -EOPNOTSUPP);
	assert_int_equal(vu_dev_shmem_unmap(f.dev, 0, PAGE), -ENOTCONN);
	assert_int_equal(vu_msg_recv(peer, &got), 0);
	fd_close(&peer);
	fix_done(&f);
}

struct mapping {
	struct fix *f;
	int fd;
	bool read_only;
	int result;
	int64_t done;
};

static void *map(void *arg)
{
	struct mapping *m = arg;

	m->result = vu_dev_shmem_map(m->f->dev, m->fd, 0, 0, PAGE, !m->read_only);
	m->done = now_ms();
	return NULL;
}

static int file(void)
{
	int fd = memfd_create("vu-shmem", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	return fd;
}

static void add(struct fix *f, int fd, uint64_t gpa)
{
	const struct vu_mem_reg reg = {.region = {.gpa = gpa, .size = PAGE, .uva = gpa}};

	assert_int_equal(fix_do(f, VU_ADD_MEM_REG, &reg, sizeof(reg), &fd, 1), 1);
}

static void rem(struct fix *f, uint64_t gpa)
{
	const struct vu_mem_reg reg = {.region = {.gpa = gpa, .size = PAGE, .uva = gpa}};

	assert_int_equal(fix_do(f, VU_REM_MEM_REG, &reg, sizeof(reg), NULL, 0), 1);
}

static void *call_off(void *arg)
{
	struct fix *f = arg;

	fix_get_base(f, 0);
	return NULL;
}

/* One that answers first and adds the region then: the mapping is there when it is in the table. */
static void test_table_follows(void **state)
{
	struct mapping m;
	struct fix f;
	pthread_t thread, stopper;
	int64_t added;
	int peer;

	(void)state;
	peer = begin(&f, SLOTS);
	fix_memory(&f);
	m = (struct mapping){.f = &f, .fd = file()};
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(ftruncate(m.fd, PAGE), 0);
		answer(peer, 9, 0);
		assert_int_equal(pthread_create(&thread, NULL, map, &m), 0);
		poll(NULL, 0, 100);
		/* By then the guest may have made the file shorter. */
		if (i == 1)
			assert_int_equal(ftruncate(m.fd, 0), 0);
		added = now_ms();
		add(&f, m.fd, (UINT64_C(1) << 40) + i * PAGE);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(m.result, 0);
		assert_true(m.done >= added);
		fd_close(&m.fd);
		m.fd = file();
	}
	/* Who waits for a table does not hold up the end of a ring. */
	fix_ring(&f, 0, 16, 0);
	answer(peer, 9, 0);
	added = now_ms();
	assert_int_equal(pthread_create(&thread, NULL, map, &m), 0);
	poll(NULL, 0, 50);
	assert_int_equal(pthread_create(&stopper, NULL, call_off, &f), 0);
	assert_int_equal(pthread_join(stopper, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(m.result, 0);
	assert_true(m.done - added < 1500);
	fd_close(&m.fd);
	fd_close(&peer);
	fix_done(&f);
}

/* The same part of a file again, while the table has it or what was unmapped of it: that does not count. */
static void test_the_same_twice(void **state)
{
	struct mapping m;
	struct fix f;
	pthread_t thread;
	int64_t added;
	int peer;

	(void)state;
	peer = begin(&f, SLOTS);
	m = (struct mapping){.f = &f, .fd = file()};
	for (unsigned int i = 0; i < 3; i++) {
		answer(peer, 9, 0);
		assert_int_equal(pthread_create(&thread, NULL, map, &m), 0);
		poll(NULL, 0, 100);
		if (i == 2)
			rem(&f, UINT64_C(1) << 40);
		added = now_ms();
		add(&f, m.fd, (UINT64_C(1) << 40) + i % 2 * PAGE);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(m.result, 0);
		assert_true(m.done >= added);
		assert_true(m.done < added + 1500);
	}
	fd_close(&m.fd);
	fd_close(&peer);
	fix_done(&f);
}

/* Read-only memory is in no table: what follows it is answered when it is done. */
static void test_read_only(void **state)
{
	struct mapping m;
	struct fix f;
	pthread_t thread;
	struct vu_msg got;
	int64_t begun;
	int peer;

	(void)state;
	peer = begin(&f, SLOTS);
	m = (struct mapping){.f = &f, .fd = file()};
	answer(peer, 9, 0);
	assert_int_equal(pthread_create(&thread, NULL, map, &m), 0);
	poll(NULL, 0, 50);
	add(&f, m.fd, UINT64_C(1) << 40);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(vu_msg_recv(peer, &got), 1);
	vu_msg_close_fds(&got);
	m.read_only = true;
	begun = now_ms();
	answer(peer, 9, 0);
	answer(peer, 2, 1);
	map(&m);
	assert_int_equal(m.result, 0);
	assert_true(m.done - begun < 900);
	assert_int_equal(vu_msg_recv(peer, &got), 1);
	assert_int_equal(got.hdr.request, 9);
	vu_msg_close_fds(&got);
	assert_int_equal(vu_msg_recv(peer, &got), 1);
	assert_int_equal(got.hdr.request, 2);
	fd_close(&m.fd);
	fd_close(&peer);
	fix_done(&f);
}

/* One that could add regions and does not is found out by the first mapping. */
static void test_no_table_follows(void **state)
{
	struct mapping m;
	struct fix f;
	int64_t begun = 0;
	int peer;

	(void)state;
	peer = begin(&f, SLOTS);
	m = (struct mapping){.f = &f, .fd = file()};
	for (unsigned int i = 0; i < 20; i++) {
		if (i == 1)
			begun = now_ms();
		answer(peer, 9, 0);
		map(&m);
		assert_int_equal(m.result, 0);
	}
	assert_true(m.done - begun < 1000);
	fd_close(&m.fd);
	fd_close(&peer);
	fix_done(&f);
}

/* Where each mapping takes a place in the table, the table is what limits them. */
static void test_table_full(void **state)
{
	struct mapping m;
	struct fix f;
	pthread_t thread;
	int peer, fd;

	(void)state;
	peer = begin(&f, SLOTS);
	m = (struct mapping){.f = &f, .fd = file()};
	answer(peer, 9, 0);
	assert_int_equal(pthread_create(&thread, NULL, map, &m), 0);
	poll(NULL, 0, 50);
	add(&f, m.fd, UINT64_C(1) << 40);
	assert_int_equal(pthread_join(thread, NULL), 0);
	fd = file();
	for (unsigned int i = 1; i < 256; i++)
		add(&f, fd, (UINT64_C(1) << 40) + i * PAGE);
	map(&m);
	assert_int_equal(m.result, -ENOSPC);
	fd_close(&fd);
	fd_close(&m.fd);
	fd_close(&peer);
	fix_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),        cmocka_unit_test(test_map),
		cmocka_unit_test(test_table_follows), cmocka_unit_test(test_no_table_follows),
		cmocka_unit_test(test_table_full),    cmocka_unit_test(test_the_same_twice),
		cmocka_unit_test(test_read_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
