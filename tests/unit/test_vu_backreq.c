// SPDX-License-Identifier: Apache-2.0
/* vu_backreq: answers good, bad, late, missing and cut short; requests that are called off. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fd.h"
#include "vu_backreq.h"

/* One end is the back end's, the other is ours to play the front-end on. */
static struct vu_backreq *channel(bool ack, int *ret_peer)
{
	struct vu_backreq *br;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(vu_backreq_new(&br), 0);
	vu_backreq_open(br, pair[0], ack);
	*ret_peer = pair[1];
	return br;
}

struct backreq_answer {
	struct vu_hdr hdr;
	uint64_t value;
} __attribute__((packed));

static void answer_with(int peer, uint32_t request, uint64_t value)
{
	const struct backreq_answer answer = {{request, VU_VERSION | VU_FLAG_REPLY, 8}, value};

	assert_int_equal(send(peer, &answer, sizeof(answer), 0), sizeof(answer));
}

static void test_answers(void **state)
{
	const struct vu_hdr change = {.request = 2, .flags = VU_VERSION | VU_FLAG_NEED_REPLY};
	struct vu_backreq *br;
	struct vu_hdr got;
	int peer;

	(void)state;
	vu_backreq_free(NULL);
	br = channel(true, &peer);
	/* The answer is there beforehand: good, then bad. */
	answer_with(peer, 2, 0);
	assert_int_equal(vu_backreq_config_changed(br), 0);
	assert_int_equal(recv(peer, &got, sizeof(got), MSG_DONTWAIT), sizeof(got));
	assert_memory_equal(&got, &change, sizeof(got));
	answer_with(peer, 2, 1);
	assert_int_equal(vu_backreq_config_changed(br), -EREMOTEIO);
	/* It comes too late, and is not taken for the answer of the next. */
	assert_int_equal(vu_backreq_config_changed(br), -EINPROGRESS);
	answer_with(peer, 2, 1);
	answer_with(peer, 2, 0);
	assert_int_equal(vu_backreq_config_changed(br), 0);
	/* An answer to something else: nothing more can be believed. */
	answer_with(peer, 3, 0);
	assert_int_equal(vu_backreq_config_changed(br), -EINPROGRESS);
	assert_int_equal(vu_backreq_config_changed(br), -ENOTCONN);
	fd_close(&peer);
	vu_backreq_free(br);
}

static void test_silent(void **state)
{
	const struct vu_hdr change = {.request = 2, .flags = VU_VERSION};
	const struct vu_shmem_map map = {.len = 4096};
	struct vu_backreq *br;
	struct vu_hdr got;
	int peer;

	(void)state;
	br = channel(false, &peer);
	assert_int_equal(vu_backreq_config_changed(br), 0);
	assert_int_equal(recv(peer, &got, sizeof(got), MSG_DONTWAIT), sizeof(got));
	assert_memory_equal(&got, &change, sizeof(got));
	/* What became of a mapping nobody would say: it is not asked for. */
	assert_int_equal(vu_backreq_map(br, &map, peer), -EOPNOTSUPP);
	assert_int_equal(vu_backreq_unmap(br, &map), -EOPNOTSUPP);
	assert_int_equal(recv(peer, &got, sizeof(got), MSG_DONTWAIT), -1);
	vu_backreq_close(br);
	assert_int_equal(vu_backreq_unmap(br, &map), -ENOTCONN);
	vu_backreq_free(br);
	fd_close(&peer);
}

/* The owed answer may be another request's. */
static void test_mixed(void **state)
{
	const struct vu_shmem_map map = {
		.fd_offset = 4096, .shm_offset = 8192, .len = 12288, .flags = VU_SHMEM_MAP_RW};
	struct vu_backreq *br;
	struct vu_msg got;
	struct stat a, b;
	int peer;

	(void)state;
	br = channel(true, &peer);
	assert_int_equal(vu_backreq_config_changed(br), -EINPROGRESS);
	answer_with(peer, 2, 5);
	answer_with(peer, 9, 0);
	assert_int_equal(vu_backreq_map(br, &map, peer), 0);
	answer_with(peer, 10, 1);
	assert_int_equal(vu_backreq_unmap(br, &map), -EREMOTEIO);
	assert_int_equal(vu_msg_recv(peer, &got), 1);
	assert_int_equal(got.hdr.request, VU_BACKEND_CONFIG_CHANGE_MSG);
	assert_int_equal(vu_msg_recv(peer, &got), 1);
	assert_int_equal(got.hdr.request, VU_BACKEND_SHMEM_MAP);
	assert_int_equal(got.hdr.flags, VU_VERSION | VU_FLAG_NEED_REPLY);
	assert_int_equal(got.hdr.size, sizeof(map));
	assert_memory_equal(&got.body.shmem, &map, sizeof(map));
	assert_int_equal(got.nfds, 1);
	assert_int_equal(fstat(got.fds[0], &a), 0);
	assert_int_equal(fstat(peer, &b), 0);
	assert_true(a.st_ino == b.st_ino);
	vu_msg_close_fds(&got);
	assert_int_equal(vu_msg_recv(peer, &got), 1);
	assert_int_equal(got.hdr.request, VU_BACKEND_SHMEM_UNMAP);
	assert_int_equal(got.nfds, 0);
	vu_backreq_free(br);
	fd_close(&peer);
}

struct asking {
	struct vu_backreq *br;
	int result;
};

static void *ask(void *arg)
{
	const struct vu_shmem_map map = {.len = 4096};
	struct asking *a = arg;

	a->result = vu_backreq_unmap(a->br, &map);
	return NULL;
}

/* One that never answers is left alone after a while. */
static void test_owes(void **state)
{
	struct asking a;
	struct vu_backreq *br;
	struct vu_msg got;
	pthread_t thread;
	int peer;

	(void)state;
	br = channel(true, &peer);
	a = (struct asking){.br = br};
	for (int i = 0; i < 8; i++) {
		assert_int_equal(pthread_create(&thread, NULL, ask, &a), 0);
		assert_int_equal(vu_msg_recv(peer, &got), 1);
		vu_backreq_call_off(br);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(a.result, -EINTR);
		vu_backreq_go_on(br);
	}
	ask(&a);
	assert_int_equal(a.result, -EBUSY);
	vu_backreq_close(br);
	assert_int_equal(vu_msg_recv(peer, &got), 0);
	vu_backreq_free(br);
	fd_close(&peer);
}

/* Who waits for the answer, who waits for the turn, and who comes later: all are sent away. */
static void test_called_off(void **state)
{
	struct asking a[2], late;
	struct vu_backreq *br;
	pthread_t thread[2];
	struct vu_msg got;
	unsigned int begun = 0;
	int peer;

	(void)state;
	br = channel(true, &peer);
	for (int i = 0; i < 2; i++) {
		a[i] = (struct asking){.br = br, .result = 1};
		assert_int_equal(pthread_create(&thread[i], NULL, ask, &a[i]), 0);
	}
	assert_int_equal(vu_msg_recv(peer, &got), 1);
	vu_backreq_call_off(br);
	vu_backreq_call_off(br);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		begun += a[i].result == -EINTR;
		assert_true(a[i].result == -EINTR || a[i].result == -ECANCELED);
	}
	assert_int_equal(begun, 1);
	vu_backreq_go_on(br);
	late = (struct asking){.br = br};
	ask(&late);
	assert_int_equal(late.result, -ECANCELED);
	assert_int_equal(vu_backreq_outcome(br), -ECANCELED);
	vu_backreq_go_on(br);
	/* The late answer comes first. */
	answer_with(peer, 10, 1);
	assert_int_equal(vu_backreq_outcome(br), -EREMOTEIO);
	answer_with(peer, 10, 0);
	ask(&late);
	assert_int_equal(late.result, 0);
	assert_int_equal(vu_backreq_outcome(br), 0);
	fd_close(&peer);
	ask(&late);
	assert_int_equal(late.result, -ENOTCONN);
	vu_backreq_free(br);
}

/* Half an answer holds nobody who was called off. */
static void test_half(void **state)
{
	const struct vu_hdr half = {10, VU_VERSION | VU_FLAG_REPLY, 8};
	struct vu_backreq *br;
	struct asking a;
	struct vu_msg got;
	pthread_t thread;
	int peer;

	(void)state;
	br = channel(true, &peer);
	assert_int_equal(send(peer, &half, sizeof(half), 0), sizeof(half));
	a = (struct asking){.br = br};
	assert_int_equal(pthread_create(&thread, NULL, ask, &a), 0);
	assert_int_equal(vu_msg_recv(peer, &got), 1);
	vu_backreq_close(br);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(a.result, -EINTR);
	assert_int_equal(vu_backreq_outcome(br), -ENOTCONN);
	vu_backreq_free(br);
	fd_close(&peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),    cmocka_unit_test(test_silent),
		cmocka_unit_test(test_mixed),      cmocka_unit_test(test_owes),
		cmocka_unit_test(test_called_off), cmocka_unit_test(test_half),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
