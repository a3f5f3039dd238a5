// SPDX-License-Identifier: Apache-2.0
/* The front-end's DAX window: what it maps, what it forbids, and how ill it may serve. */
/*
 * Theory of operation
 *
 * A front-end talks to a back end that is a thread here: it answers what vuf_dax_up() and regions need, and
 * keeps the channel, over which the test then sends requests of its own, honest ones and others.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fd.h"
#include "util.h"
#include "vuf.h"

#define PAGE    4096u
#define MIB     (1024u * 1024u)
#define WINDOW  (16u * MIB)
#define WAIT_MS 20000
#define RW      VU_SHMEM_MAP_RW

/*
 * @sock: the back end's end of the connection.
 * @chan: of the channel; set before vuf_dax_up() returns.
 * @adds, @rems, @tables, @last: messages about memory, and the regions of the last table.
 */
struct rig {
	struct vuf *v;
	int sock;
	int chan;
	pthread_t backend;
	_Atomic unsigned int adds;
	_Atomic unsigned int rems;
	_Atomic unsigned int tables;
	_Atomic unsigned int last;
	int file;
};

static void reply(int sock, uint32_t request, const void *body, uint32_t size)
{
	struct vu_hdr hdr = {request, VU_VERSION | VU_FLAG_REPLY, size};
	struct iovec iov[] = {{&hdr, sizeof(hdr)}, {(void *)(uintptr_t)body, size}};

	(void)fd_sendmsg(sock, iov, 2, NULL, 0);
}

static void *backend(void *arg)
{
	struct rig *t = arg;
	struct vu_msg msg;

	while (vu_msg_recv(t->sock, &msg) == 1) {
		struct vu_shmem_config config = {.nregions = 1, .size = {WINDOW}};
		uint64_t ok = 0;

		if (msg.hdr.request == VU_SET_BACKEND_REQ_FD)
			t->chan = fd_steal(&msg.fds[0]);
		t->adds += msg.hdr.request == VU_ADD_MEM_REG;
		t->rems += msg.hdr.request == VU_REM_MEM_REG;
		if (msg.hdr.request == VU_SET_MEM_TABLE) {
			t->tables++;
			t->last = msg.body.mem.count;
		}
		if (msg.hdr.request == VU_GET_SHMEM_CONFIG)
			reply(t->sock, msg.hdr.request, &config, sizeof(config));
		else if (msg.hdr.request == VU_GET_VRING_BASE)
			reply(t->sock, msg.hdr.request, &msg.body.state, sizeof(msg.body.state));
		else
			reply(t->sock, msg.hdr.request, &ok, sizeof(ok));
		vu_msg_close_fds(&msg);
	}
	return NULL;
}

static struct rig *rig_new(const char *rules)
{
	struct rig *t = calloc(1, sizeof(*t));
	struct vuf_conf conf = {
		.rules = vuf_rules_named(rules), .dax_size = WINDOW, .timeout_ms = WAIT_MS};
	int sv[2];

	assert_non_null(t);
	assert_non_null(conf.rules);
	t->chan = -1;
	assert_int_equal(vuf_new(&conf, &t->v), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	t->sock = sv[1];
	assert_int_equal(pthread_create(&t->backend, NULL, backend, t), 0);
	vuf_attach(t->v, sv[0]);
	t->v->proto = conf.rules->proto;
	assert_int_equal(vuf_dax_up(t->v), 0);
	t->file = memfd_create("file", MFD_CLOEXEC);
	assert_true(t->file >= 0);
	assert_int_equal(ftruncate(t->file, 4 * MIB + 100), 0);
	return t;
}

static void rig_free(struct rig *t)
{
	vuf_free(t->v);
	pthread_join(t->backend, NULL);
	fd_close(&t->sock);
	fd_close(&t->chan);
	fd_close(&t->file);
	free(t);
}

static void send_fds(struct rig *t, uint32_t request, const struct vu_shmem_map *m, const int *fds,
		     unsigned int nfds)
{
	struct vu_msg msg = {
		.hdr = {request, VU_VERSION | VU_FLAG_NEED_REPLY, sizeof(*m)},
		.body.shmem = *m,
		.nfds = nfds,
	};

	if (nfds)
		memcpy(msg.fds, fds, nfds * sizeof(*fds));
	assert_int_equal(vu_msg_send(t->chan, &msg), 0);
}

/* Whether an answer comes within this time; what it says. */
static bool answered(struct rig *t, uint32_t request, int ms, uint64_t *ret)
{
	struct pollfd pfd = {.fd = t->chan, .events = POLLIN};
	struct vu_msg msg;

	if (poll(&pfd, 1, ms) != 1 || vu_msg_recv(t->chan, &msg) != 1)
		return false;
	assert_int_equal(msg.hdr.request, request);
	assert_int_equal(msg.hdr.flags, VU_VERSION | VU_FLAG_REPLY);
	assert_int_equal(msg.hdr.size, 8);
	*ret = msg.body.u64;
	return true;
}

static int map(struct rig *t, uint64_t at, uint64_t len, uint64_t off, uint64_t flags)
{
	struct vu_shmem_map m = {.shm_offset = at, .len = len, .fd_offset = off, .flags = flags};
	uint64_t val = 99;

	send_fds(t, VU_BACKEND_SHMEM_MAP, &m, &t->file, 1);
	assert_true(answered(t, VU_BACKEND_SHMEM_MAP, WAIT_MS, &val));
	return (int)val;
}

static int unmap(struct rig *t, uint64_t at, uint64_t len)
{
	struct vu_shmem_map m = {.shm_offset = at, .len = len};
	uint64_t val = 99;

	send_fds(t, VU_BACKEND_SHMEM_UNMAP, &m, NULL, 0);
	assert_true(answered(t, VU_BACKEND_SHMEM_UNMAP, WAIT_MS, &val));
	return (int)val;
}

static void live(struct rig *t, unsigned int n)
{
	if (!vuf_dax_wait_live(t->v, n, WAIT_MS))
		fail_msg("%u mappings instead of %u", vuf_dax_stats(t->v).live, n);
}

static void clean(struct rig *t)
{
	if (vuf_dax_wrong(t->v))
		fail_msg("wrong: %s", vuf_dax_wrong(t->v));
}

static const char *const with_window[] = {"strict",       "culvert", "qemu11",
					  "qemu11-slots", "crosvm",  "alioth"};

static void pages_of_the_file(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(with_window); i++) {
		struct rig *t = rig_new(with_window[i]);
		char buf[8] = "";

		assert_int_equal(vuf_dax_size(t->v), WINDOW);
		assert_int_equal(pwrite(t->file, "content", 7, 2 * MIB), 7);
		assert_int_equal(map(t, 4 * MIB, 2 * MIB, 2 * MIB, VU_SHMEM_MAP_RW), 0);
		live(t, 1);
		assert_int_equal(vuf_dax_read(t->v, 4 * MIB, buf, 7), 0);
		assert_string_equal(buf, "content");
		memcpy(vuf_dax_at(t->v, 6 * MIB - 3), "end", 3);
		assert_int_equal(pread(t->file, buf, 3, 4 * MIB - 3), 3);
		assert_memory_equal(buf, "end", 3);
		assert_int_equal(vuf_dax_read(t->v, 6 * MIB - 3, buf, 4), -EFAULT);
		assert_int_equal(map(t, 0, PAGE, 0, 0), 0);
		live(t, 2);
		assert_int_equal(vuf_dax_read(t->v, 0, buf, 4), 0);
		assert_int_equal(vuf_dax_write(t->v, 0, buf, 4), -EFAULT);
		assert_int_equal(unmap(t, 4 * MIB, 2 * MIB), 0);
		assert_int_equal(unmap(t, 0, PAGE), 0);
		live(t, 0);
		assert_int_equal(vuf_dax_read(t->v, 4 * MIB, buf, 1), -EFAULT);
		assert_int_equal(vuf_dax_read(t->v, 0, buf, 1), -EFAULT);
		clean(t);
		rig_free(t);
	}
}

static void what_is_forbidden(void **state)
{
	static const struct vu_shmem_map maps[] = {
		{.shm_offset = 2 * MIB, .len = PAGE},                   /* over it */
		{.shm_offset = 4 * MIB - PAGE, .len = 2 * PAGE},        /* over its end */
		{.shm_offset = PAGE, .len = 2 * MIB},                   /* over its start */
		{.shm_offset = 0, .len = WINDOW},                       /* around it */
		{.shm_offset = 8 * MIB, .len = 0},                      /* nothing */
		{.shm_offset = 8 * MIB, .len = 100},                    /* not aligned */
		{.shm_offset = 8 * MIB + 1, .len = PAGE},               /* not aligned */
		{.shm_offset = 8 * MIB, .len = PAGE, .fd_offset = 1},   /* not aligned */
		{.shm_offset = WINDOW, .len = PAGE},                    /* outside */
		{.shm_offset = WINDOW - PAGE, .len = 2 * PAGE},         /* outside */
		{.shm_offset = UINT64_MAX - PAGE + 1, .len = 2 * PAGE}, /* round the end */
		{.shm_offset = 8 * MIB, .len = PAGE, .fd_offset = 0x7ffffffffffff000},
		{.shm_offset = 8 * MIB, .len = PAGE, .shmid = 1},
		{.shm_offset = 8 * MIB, .len = PAGE, .flags = 2},
		{.shm_offset = 8 * MIB, .len = PAGE, .padding = {0, 1}},
	};
	static const struct vu_shmem_map unmaps[] = {
		{.shm_offset = 2 * MIB, .len = PAGE},
		{.shm_offset = 2 * MIB, .len = 4 * MIB},
		{.shm_offset = 2 * MIB + PAGE, .len = 2 * MIB - PAGE},
		{.shm_offset = 8 * MIB, .len = 2 * MIB},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(maps) + ARRAY_SIZE(unmaps); i++) {
		struct rig *t = rig_new("strict");
		uint64_t val = 0;

		assert_int_equal(map(t, 2 * MIB, 2 * MIB, 0, VU_SHMEM_MAP_RW), 0);
		clean(t);
		if (i < ARRAY_SIZE(maps)) {
			send_fds(t, VU_BACKEND_SHMEM_MAP, &maps[i], &t->file, 1);
			assert_true(answered(t, VU_BACKEND_SHMEM_MAP, WAIT_MS, &val));
		} else {
			send_fds(t, VU_BACKEND_SHMEM_UNMAP, &unmaps[i - ARRAY_SIZE(maps)], NULL, 0);
			assert_true(answered(t, VU_BACKEND_SHMEM_UNMAP, WAIT_MS, &val));
		}
		if (!val || !vuf_dax_wrong(t->v))
			fail_msg("case %u is not forbidden", i);
		assert_int_equal(vuf_dax_stats(t->v).live, 1);
		rig_free(t);
	}
}

static void descriptors_that_are_forbidden(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 7; i++) {
		struct vu_shmem_map m = {.shm_offset = 0, .len = PAGE, .flags = VU_SHMEM_MAP_RW};
		uint32_t request = i == 6 ? VU_BACKEND_SHMEM_UNMAP : VU_BACKEND_SHMEM_MAP;
		struct rig *t = rig_new("strict");
		char path[32];
		int fds[2] = {t->file, t->file};
		scoped_fd int fd = -1;
		uint64_t val = 0;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", t->file);
		if (i == 1)
			fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
		else if (i == 2)
			fd = open(path, O_RDONLY | O_CLOEXEC);
		else if (i == 3)
			fd = open(path, O_WRONLY | O_CLOEXEC);
		else if (i == 4)
			fd = open("/", O_PATH | O_CLOEXEC);
		if (fd >= 0)
			fds[0] = fd;
		send_fds(t, request, &m, fds, i == 0 ? 0 : i == 5 ? 2 : 1);
		assert_true(answered(t, request, WAIT_MS, &val));
		if (!val || !vuf_dax_wrong(t->v))
			fail_msg("case %u is not forbidden", i);
		rig_free(t);
	}
}

static void how_a_request_must_come(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		struct vu_msg msg = {.hdr = {VU_BACKEND_CONFIG_CHANGE_MSG, VU_VERSION, 0}};
		struct rig *t = rig_new("alioth");

		if (i == 1) {
			msg.hdr = (struct vu_hdr){77, VU_VERSION | VU_FLAG_NEED_REPLY, 0};
		} else if (i == 2) {
			msg.hdr = (struct vu_hdr){VU_BACKEND_SHMEM_UNMAP,
						  VU_VERSION | VU_FLAG_NEED_REPLY, 40};
			assert_int_equal(send(t->chan, &msg.hdr, sizeof(msg.hdr), 0), 12);
			usleep(50000);
			assert_int_equal(send(t->chan, &msg.body, 40, 0), 40);
		}
		if (i < 2)
			assert_int_equal(vu_msg_send(t->chan, &msg), 0);
		assert_true(vuf_dax_wait_requests(t->v, 1, WAIT_MS));
		vuf_dax_down(t->v);
		if (!vuf_dax_wrong(t->v))
			fail_msg("case %u is not forbidden", i);
		rig_free(t);
	}
}

static void the_end_of_the_file(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(with_window); i++) {
		bool qemu = strncmp(with_window[i], "qemu", 4) == 0;
		struct rig *t = rig_new(with_window[i]);
		char c;

		assert_int_equal(map(t, 0, 2 * MIB, 4 * MIB, VU_SHMEM_MAP_RW) != 0, qemu);
		assert_int_equal(map(t, 4 * MIB, 2 * MIB, 2 * MIB, VU_SHMEM_MAP_RW), 0);
		clean(t);
		live(t, qemu ? 1 : 2);
		assert_int_equal(vuf_dax_stats(t->v).past_end, qemu);
		assert_int_equal(vuf_dax_read(t->v, 99, &c, 1), qemu ? -EFAULT : 0);
		assert_int_equal(vuf_dax_read(t->v, PAGE, &c, 1), -EFAULT);
		assert_int_equal(ftruncate(t->file, 0), 0);
		assert_int_equal(map(t, 8 * MIB, PAGE, 0, VU_SHMEM_MAP_RW) != 0, qemu);
		assert_int_equal(vuf_dax_wrong(t->v) != NULL, qemu);
		assert_int_equal(lseek(t->file, 0, SEEK_END), qemu ? PAGE : 0);
		rig_free(t);
	}
}

static void mappings_as_regions(void **state)
{
	struct rig *t = rig_new("qemu11");
	unsigned int n = 0;

	(void)state;
	assert_int_equal(map(t, 0, PAGE, 0, RW), 0);
	assert_int_equal(map(t, PAGE, PAGE, 0, RW), 0);
	assert_int_equal(unmap(t, 0, PAGE), 0);
	assert_int_equal(unmap(t, PAGE, PAGE), 0);
	/* Served one after the other: this one is answered when the last is done. */
	assert_int_equal(map(t, 0, PAGE, 0, RW), 0);
	assert_int_equal(unmap(t, 0, PAGE), 0);
	/* What is for reading alone is not told. */
	assert_int_equal(map(t, 0, PAGE, 0, 0), 0);
	assert_int_equal(unmap(t, 0, PAGE), 0);
	assert_int_equal(map(t, 0, PAGE, 0, 0), 0);
	assert_int_equal(t->adds, 3);
	assert_int_equal(t->rems, 3);
	assert_int_equal(t->tables, 0);
	clean(t);
	rig_free(t);

	t = rig_new("qemu11-slots");
	while (map(t, n * PAGE, PAGE, 0, RW) == 0)
		n++;
	assert_int_equal(n + t->v->mem.nregions, VU_MEM_REGIONS_MAX);
	assert_int_equal(t->tables, n);
	assert_int_equal(t->last, VU_MEM_REGIONS_MAX);
	assert_int_equal(t->adds, 0);
	clean(t);
	rig_free(t);
}

static void a_reset(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(with_window); i++) {
		struct rig *t = rig_new(with_window[i]);
		bool keeps = t->v->conf.rules->keeps_on_reset;
		char c;

		assert_int_equal(map(t, 0, PAGE, 0, 0), 0);
		live(t, 1);
		assert_int_equal(vuf_dax_reset(t->v), 0);
		live(t, keeps);
		assert_int_equal(vuf_dax_read(t->v, 0, &c, 1), keeps ? 0 : -EFAULT);
		/* The back end may not know that it is gone. */
		assert_int_equal(unmap(t, 0, PAGE) != 0, !keeps);
		clean(t);
		rig_free(t);
	}
}

static void moods(void **state)
{
	const struct vu_shmem_map m = {.len = PAGE};
	struct rig *t = rig_new("strict");
	struct vu_msg msg;
	uint64_t val = 0;

	(void)state;
	vuf_dax_set_mood(t->v, VUF_DAX_REFUSE, 0);
	assert_int_not_equal(map(t, 0, PAGE, 0, 0), 0);
	assert_int_equal(vuf_dax_stats(t->v).refused, 1);

	vuf_dax_set_mood(t->v, VUF_DAX_MUTE, 0);
	send_fds(t, VU_BACKEND_SHMEM_MAP, &m, &t->file, 1);
	assert_true(vuf_dax_wait_requests(t->v, 2, WAIT_MS));
	assert_false(answered(t, VU_BACKEND_SHMEM_MAP, 50, &val));
	assert_int_equal(vuf_dax_stats(t->v).live, 0);

	vuf_dax_set_mood(t->v, VUF_DAX_HOLD, 0);
	send_fds(t, VU_BACKEND_SHMEM_MAP, &m, &t->file, 1);
	assert_true(vuf_dax_wait_requests(t->v, 3, WAIT_MS));
	assert_false(answered(t, VU_BACKEND_SHMEM_MAP, 50, &val));
	vuf_dax_set_mood(t->v, VUF_DAX_SERVE, 0);
	val = 1;
	assert_true(answered(t, VU_BACKEND_SHMEM_MAP, WAIT_MS, &val));
	assert_int_equal(val, 0);
	live(t, 1);

	vuf_dax_set_mood(t->v, VUF_DAX_LATE, 100);
	send_fds(t, VU_BACKEND_SHMEM_UNMAP, &m, NULL, 0);
	assert_false(answered(t, VU_BACKEND_SHMEM_UNMAP, 20, &val));
	assert_true(answered(t, VU_BACKEND_SHMEM_UNMAP, WAIT_MS, &val));
	assert_int_equal(val, 0);

	vuf_dax_set_mood(t->v, VUF_DAX_GARBAGE, 0);
	send_fds(t, VU_BACKEND_SHMEM_MAP, &m, &t->file, 1);
	assert_int_equal(vu_msg_recv(t->chan, &msg), 1);
	assert_int_not_equal(msg.hdr.request, VU_BACKEND_SHMEM_MAP);

	vuf_dax_set_mood(t->v, VUF_DAX_HANGUP, 0);
	send_fds(t, VU_BACKEND_SHMEM_MAP, &m, &t->file, 1);
	assert_int_equal(vu_msg_recv(t->chan, &msg), 0);
	clean(t);
	rig_free(t);
}

static void one_thread_serves_one_thing(void **state)
{
	struct rig *t = rig_new("qemu11");
	const struct vu_shmem_map m = {.len = PAGE};
	uint64_t val = 1;

	(void)state;
	/* As if an answer were waited for. */
	pthread_mutex_lock(&t->v->lock);
	send_fds(t, VU_BACKEND_SHMEM_MAP, &m, &t->file, 1);
	assert_false(answered(t, VU_BACKEND_SHMEM_MAP, 50, &val));
	assert_true(vuf_dax_pending(t->v, WAIT_MS));
	assert_int_equal(vuf_dax_stats(t->v).requests, 0);
	pthread_mutex_unlock(&t->v->lock);
	assert_true(answered(t, VU_BACKEND_SHMEM_MAP, WAIT_MS, &val));
	assert_int_equal(val, 0);
	rig_free(t);
}

static void an_end_at_any_time(void **state)
{
	const struct vu_shmem_map m = {.len = PAGE};
	static const enum vuf_dax_mood all[] = {VUF_DAX_SERVE, VUF_DAX_HOLD, VUF_DAX_LATE};

	(void)state;
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(all); i++) {
		struct rig *t = rig_new(i % 2 ? "qemu11" : "strict");

		vuf_dax_set_mood(t->v, all[i / 2], 1000000);
		send_fds(t, VU_BACKEND_SHMEM_MAP, &m, &t->file, 1);
		if (all[i / 2] != VUF_DAX_SERVE)
			assert_true(vuf_dax_wait_requests(t->v, 1, WAIT_MS));
		vuf_hangup(t->v);
		assert_int_equal(vuf_dax_stats(t->v).live, 0);
		rig_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_of_the_file),
		cmocka_unit_test(what_is_forbidden),
		cmocka_unit_test(descriptors_that_are_forbidden),
		cmocka_unit_test(how_a_request_must_come),
		cmocka_unit_test(the_end_of_the_file),
		cmocka_unit_test(mappings_as_regions),
		cmocka_unit_test(a_reset),
		cmocka_unit_test(moods),
		cmocka_unit_test(one_thread_serves_one_thing),
		cmocka_unit_test(an_end_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
