// SPDX-License-Identifier: Apache-2.0
/* A vhost-user device with a front-end made of a test, and an owner that writes down its calls. */
/*
 * Theory of operation
 *
 * One thread plays both sides: it writes a message, lets the device handle it, and reads what came
 * back without waiting, so that a missing or a surplus answer fails the test at once.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "util.h"
#include "vu_fixture.h"

static void note(struct fix *f, const char *what, int index)
{
	size_t used = strlen(f->calls);

	if (index >= 0)
		snprintf(f->calls + used, sizeof(f->calls) - used, "%s%d", what, index);
	else
		snprintf(f->calls + used, sizeof(f->calls) - used, "%s", what);
}

static int vring_start(void *owner, struct vu_vring *vr)
{
	struct fix *f = owner;

	note(f, "+", (int)vr->index);
	assert_true(vr->vq.running);
	return f->start_result;
}

static void vring_failed(void *owner, struct vu_vring *vr, int error)
{
	struct fix *f = owner;

	assert_true(error < 0);
	f->failed = error;
	assert_false(vr->started);
}

static void vring_stop(void *owner, struct vu_vring *vr)
{
	struct fix *f = owner;

	note(f, "-", (int)vr->index);
	assert_true(vr->started);
	assert_true(vr->vq.running);
	if (f->on_stop)
		f->on_stop(f, vr);
}

static void quiesce(void *owner)
{
	struct fix *f = owner;

	note(f, "Q", -1);
	if (f->on_quiesce)
		f->on_quiesce(f);
}

static void resume(void *owner)
{
	struct fix *f = owner;

	note(f, "R", -1);
	if (f->on_resume)
		f->on_resume(f);
}

static void reset(void *owner)
{
	struct fix *f = owner;

	note(f, "X", -1);
	for (unsigned int i = 0; i < FIX_QUEUES; i++) {
		assert_false(vu_dev_vring(f->dev, i)->started);
		assert_false(vu_dev_vring(f->dev, i)->vq.running);
	}
}

static const struct vu_dev_ops ops = {
	.vring_start = vring_start,
	.vring_failed = vring_failed,
	.vring_stop = vring_stop,
	.quiesce = quiesce,
	.resume = resume,
	.reset = reset,
};

void fix_connect(struct fix *f)
{
	int pair[2];

	fd_close(&f->fe);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->fe = pair[0];
	vu_dev_connect(f->dev, pair[1]);
	f->calls[0] = '\0';
}

void fix_init(struct fix *f, const char *tag)
{
	const struct vu_dev_conf conf = {
		.ops = &ops,
		.owner = f,
		.max_queues = FIX_QUEUES,
		.num_request_queues = FIX_QUEUES - 1,
		.tag = tag,
		.shmem_size = FIX_SHMEM,
	};

	memset(f, 0, sizeof(*f));
	f->fe = -1;
	for (unsigned int i = 0; i < FIX_QUEUES; i++)
		f->kick[i] = f->call[i] = f->err[i] = -1;
	f->memfd = memfd_create("vu-test-ram", MFD_CLOEXEC);
	assert_true(f->memfd >= 0);
	assert_int_equal(ftruncate(f->memfd, FIX_RAM), 0);
	f->ram = mmap(NULL, FIX_RAM, PROT_READ | PROT_WRITE, MAP_SHARED, f->memfd, 0);
	assert_ptr_not_equal(f->ram, MAP_FAILED);
	assert_int_equal(vu_dev_new(&conf, &f->dev), 0);
	fix_connect(f);
}

void fix_done(struct fix *f)
{
	vu_dev_free(f->dev);
	fd_close(&f->fe);
	munmap(f->ram, FIX_RAM);
	fd_close(&f->memfd);
	for (unsigned int i = 0; i < FIX_QUEUES; i++) {
		fd_close(&f->kick[i]);
		fd_close(&f->call[i]);
		fd_close(&f->err[i]);
	}
}

void fix_send(struct fix *f, uint32_t request, uint32_t flags, const void *body, size_t size,
	      const int *fds, unsigned int nfds)
{
	struct vu_hdr hdr = {.request = request, .flags = flags, .size = (uint32_t)size};
	const struct iovec iov[] = {
		{.iov_base = &hdr, .iov_len = sizeof(hdr)},
		{.iov_base = (void *)(uintptr_t)body, .iov_len = size},
	};

	assert_int_equal(fd_sendmsg(f->fe, iov, ARRAY_SIZE(iov), fds, nfds), 0);
}

size_t fix_reply(struct fix *f, void *buf, size_t max, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = buf, .iov_len = max};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n = recvmsg(f->fe, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);

	if (ret_fd)
		*ret_fd = -1;
	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return 0;
	}
	if (c) {
		assert_non_null(ret_fd);
		memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	}
	return (size_t)n;
}

static void no_reply(struct fix *f)
{
	uint8_t byte;

	assert_int_equal(fix_reply(f, &byte, 1, NULL), 0);
}

int fix_do(struct fix *f, uint32_t request, const void *body, size_t size, const int *fds,
	   unsigned int nfds)
{
	int r;

	fix_send(f, request, VU_VERSION, body, size, fds, nfds);
	r = vu_dev_handle(f->dev);
	no_reply(f);
	return r;
}

static void take_reply(struct fix *f, uint32_t request, void *ret, size_t size, int *ret_fd)
{
	uint8_t buf[sizeof(struct vu_hdr) + sizeof(union vu_payload) + 1];
	const struct vu_hdr expected = {
		.request = request,
		.flags = VU_VERSION | VU_FLAG_REPLY,
		.size = (uint32_t)size,
	};
	size_t n = fix_reply(f, buf, sizeof(buf), ret_fd);

	assert_int_equal(n, sizeof(expected) + size);
	assert_memory_equal(buf, &expected, sizeof(expected));
	memcpy(ret, buf + sizeof(expected), size);
}

uint64_t fix_ack(struct fix *f, uint32_t request, const void *body, size_t size, const int *fds,
		 unsigned int nfds)
{
	uint64_t value;

	fix_send(f, request, VU_VERSION | VU_FLAG_NEED_REPLY, body, size, fds, nfds);
	assert_int_equal(vu_dev_handle(f->dev), 1);
	take_reply(f, request, &value, sizeof(value), NULL);
	return value;
}

void fix_get(struct fix *f, uint32_t request, const void *body, size_t body_size, void *ret,
	     size_t size, int *ret_fd)
{
	fix_send(f, request, VU_VERSION, body, body_size, NULL, 0);
	assert_int_equal(vu_dev_handle(f->dev), 1);
	take_reply(f, request, ret, size, ret_fd);
}

void fix_u64(struct fix *f, uint32_t request, uint64_t value)
{
	assert_int_equal(fix_do(f, request, &value, sizeof(value), NULL, 0), 1);
}

void fix_negotiate(struct fix *f, uint64_t features, uint64_t protocol)
{
	fix_u64(f, VU_SET_PROTOCOL_FEATURES, protocol);
	fix_u64(f, VU_SET_FEATURES, features);
	f->calls[0] = '\0';
}

int fix_state(struct fix *f, uint32_t request, uint32_t index, uint32_t num)
{
	const struct vu_vring_state state = {.index = index, .num = num};

	return fix_do(f, request, &state, sizeof(state), NULL, 0);
}

int fix_fd(struct fix *f, uint32_t request, uint32_t index, int fd)
{
	uint64_t word = index;

	return fix_do(f, request, &word, sizeof(word), &fd, 1);
}

int fix_addr(struct fix *f, uint32_t index, uint32_t flags, uint64_t log)
{
	const struct vu_vring_addr addr = {
		.index = index,
		.flags = flags,
		.desc = FIX_UVA + FIX_DESC(index),
		.avail = FIX_UVA + FIX_AVAIL(index),
		.used = FIX_UVA + FIX_USED(index),
		.log = log,
	};

	return fix_do(f, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
}

struct vu_mem_region fix_region(uint64_t start, uint64_t size)
{
	return (struct vu_mem_region){
		.gpa = FIX_GPA + start,
		.size = size,
		.uva = FIX_UVA + start,
		.offset = start,
	};
}

void fix_memory(struct fix *f)
{
	struct vu_mem_table table = {.count = 1, .region[0] = fix_region(0, FIX_RAM)};

	assert_int_equal(fix_do(f, VU_SET_MEM_TABLE, &table,
				offsetof(struct vu_mem_table, region[1]), &f->memfd, 1),
			 1);
	f->calls[0] = '\0';
}

void fix_begin(struct fix *f, uint64_t features)
{
	fix_init(f, NULL);
	fix_negotiate(f, features, FIX_PROTOCOL_NOTAG);
	fix_memory(f);
}

void fix_enable(struct fix *f, uint32_t index, bool on)
{
	assert_int_equal(fix_state(f, VU_SET_VRING_ENABLE, index, on), 1);
}

static int event(int *slot)
{
	fd_close(slot);
	*slot = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(*slot >= 0);
	return *slot;
}

void fix_ring(struct fix *f, uint32_t index, uint32_t num, uint32_t base)
{
	assert_int_equal(fix_fd(f, VU_SET_VRING_CALL, index, event(&f->call[index])), 1);
	assert_int_equal(fix_fd(f, VU_SET_VRING_ERR, index, event(&f->err[index])), 1);
	assert_int_equal(fix_state(f, VU_SET_VRING_NUM, index, num), 1);
	assert_int_equal(fix_state(f, VU_SET_VRING_BASE, index, base), 1);
	assert_int_equal(fix_addr(f, index, 0, 0), 1);
	f->calls[0] = '\0';
	assert_int_equal(fix_fd(f, VU_SET_VRING_KICK, index, event(&f->kick[index])), 1);
}

uint32_t fix_get_base(struct fix *f, uint32_t index)
{
	const struct vu_vring_state state = {.index = index};
	struct vu_vring_state answer;

	fix_get(f, VU_GET_VRING_BASE, &state, sizeof(state), &answer, sizeof(answer), NULL);
	assert_int_equal(answer.index, index);
	return answer.num;
}

void fix_calls(struct fix *f, const char *expected)
{
	assert_string_equal(f->calls, expected);
	f->calls[0] = '\0';
}

uint64_t fix_counter(int evfd)
{
	uint64_t count = 0;

	if (read(evfd, &count, sizeof(count)) < 0)
		assert_int_equal(errno, EAGAIN);
	return count;
}

unsigned int fix_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

unsigned int fix_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned int count = 0;
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, "/memfd:") && !strstr(line, "/memfd:culvert-window-hole");
	fclose(maps);
	return count;
}
