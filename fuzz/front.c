// SPDX-License-Identifier: Apache-2.0
/* Messages of a front-end that says what an input wants it to say. */
/*
 * Theory of operation
 *
 * A table has the fields of each request's payload, a letter each, and how many descriptors it takes; what
 * stands in a field is near to what would be right. Descriptors come from a fixed set: guest memory, files
 * that are too short or may not be written, eventfds, pipes, sockets, things that are none of these. One in
 * some messages is spoiled: other flags, another size, more or fewer bytes or descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "front.h"
#include "guard.h"
#include "util.h"

#define BIT(n) (UINT64_C(1) << (n))

/*
 * F features · P protocol features · U any · K word of a kick, with or without a descriptor (8 bytes each); r ring
 * · s size of a ring · b base · e 0 or 1 · l log flag · i any (4 bytes each); D, A, V areas of the ring that r
 * said · L size and offset of a log · M memory table · R a region, after 8 bytes of padding · C configuration
 * · I inflight · W where the window is.
 */
static const struct form {
	uint32_t request;
	const char *args;
	uint8_t fds;
} forms[] = {
	{VU_GET_FEATURES, "", 0},
	{VU_SET_FEATURES, "F", 0},
	{VU_SET_OWNER, "", 0},
	{VU_RESET_OWNER, "", 0},
	{VU_SET_MEM_TABLE, "M", 0},
	{VU_SET_LOG_BASE, "L", 1},
	{VU_SET_LOG_FD, "", 1},
	{VU_SET_VRING_NUM, "rs", 0},
	{VU_SET_VRING_ADDR, "rlDVAU", 0},
	{VU_SET_VRING_BASE, "rb", 0},
	{VU_GET_VRING_BASE, "ri", 0},
	{VU_SET_VRING_KICK, "K", 1},
	{VU_SET_VRING_CALL, "K", 1},
	{VU_SET_VRING_ERR, "K", 1},
	{VU_GET_PROTOCOL_FEATURES, "", 0},
	{VU_SET_PROTOCOL_FEATURES, "P", 0},
	{VU_GET_QUEUE_NUM, "", 0},
	{VU_SET_VRING_ENABLE, "re", 0},
	{VU_SET_BACKEND_REQ_FD, "", 1},
	{VU_GET_CONFIG, "C", 0},
	{VU_SET_CONFIG, "C", 0},
	{VU_GET_INFLIGHT_FD, "I", 0},
	{VU_SET_INFLIGHT_FD, "I", 1},
	{VU_RESET_DEVICE, "", 0},
	{VU_VRING_KICK, "re", 0},
	{VU_GET_MAX_MEM_SLOTS, "", 0},
	{VU_ADD_MEM_REG, "R", 1},
	{VU_REM_MEM_REG, "R", 0},
	{VU_SET_STATUS, "U", 0},
	{VU_GET_STATUS, "", 0},
	{VU_GET_SHMEM_CONFIG, "", 0},
	{VU_SET_SHMEM_ADDR, "W", 0},
};

enum {
	FD_RAM,
	FD_SHORT,
	FD_RO,
	FD_EVENT,
	FD_EVENT2,
	FD_READ,
	FD_WRITE,
	FD_SOCK,
	FD_SOCK2,
	FD_NULL,
	FD_DIR,
	FD_EPOLL,
	FD_INFLIGHT,
	FDS,
};

static const struct vu_mem_region regions[] = {
	{FRONT_GPA, FRONT_SIZE, FRONT_GPA + FRONT_UVA, 0},
	{FRONT_GPA, 0x10000, FRONT_GPA + FRONT_UVA, 0},
	{FRONT_GPA + FRONT_SIZE, 0x8000, FRONT_GPA + FRONT_SIZE + FRONT_UVA, 0x1000},
	{FRONT_GPA + 0x10000, 0x30000, FRONT_GPA + 0x10000 + FRONT_UVA, 0x10000},
	{0x1000, 0xfff, 0x1001, 0x1001},
	{0, 0x1000, 0, 0},
};

static int fd[FDS];
static uint8_t *ram;
static struct guard_entry *guard;
static bool cut;
static uint64_t inflight_size = 0x4000; /* as the last answer said */

static int reopened(int from, int flags)
{
	char path[32];
	int ret;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", from);
	ret = open(path, flags | O_CLOEXEC);
	MUST(ret >= 0);
	return ret;
}

static void map_ram(void)
{
	ram = mmap(NULL, FRONT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd[FD_RAM], 0);
	MUST(ram != MAP_FAILED);
	MUST(guard_add(ram, FRONT_SIZE, 4096, &guard) == 0);
	cut = false;
}

void front_make(void)
{
	int pair[2];

	fd[FD_RAM] = memfd_create("ram", MFD_CLOEXEC);
	fd[FD_SHORT] = memfd_create("short", MFD_CLOEXEC);
	MUST(ftruncate(fd[FD_RAM], FRONT_SIZE) == 0 && ftruncate(fd[FD_SHORT], 0x9001) == 0);
	fd[FD_RO] = reopened(fd[FD_SHORT], O_RDONLY);
	fd[FD_EVENT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fd[FD_EVENT2] = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	MUST(pipe2(pair, O_CLOEXEC | O_NONBLOCK) == 0);
	fd[FD_READ] = pair[0];
	fd[FD_WRITE] = pair[1];
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	fd[FD_SOCK] = pair[0];
	fd[FD_SOCK2] = pair[1];
	fd[FD_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fd[FD_DIR] = open("/", O_PATH | O_CLOEXEC);
	fd[FD_EPOLL] = epoll_create1(EPOLL_CLOEXEC);
	fd[FD_INFLIGHT] = memfd_create("inflight", MFD_CLOEXEC);
	MUST(ftruncate(fd[FD_INFLIGHT], 0x4000) == 0);
	for (unsigned int i = 0; i < FDS; i++)
		MUST(fd[i] >= 0);
	map_ram();
}

void front_reset(void)
{
	MUST(ftruncate(fd[FD_RAM], FRONT_SIZE) == 0 && ftruncate(fd[FD_SHORT], 0x9001) == 0);
	/* Pages that were found gone have been replaced. */
	if (cut) {
		guard_del(guard);
		munmap(ram, FRONT_SIZE);
		map_ram();
	}
	memset(ram, 0, FRONT_DATA);
	inflight_size = 0x4000;
}

uint8_t *front_ram(void)
{
	return ram;
}

void front_cut(struct feed *f)
{
	off_t size = feed_u8(f) * 4096ll;

	cut = true;
	MUST(ftruncate(fd[feed_one_in(f, 2) ? FD_SHORT : FD_RAM], MIN(size, FRONT_SIZE)) == 0);
}

void front_inflight(int from)
{
	/* Its number stays. */
	MUST(dup3(from, fd[FD_INFLIGHT], O_CLOEXEC) >= 0);
	close(from);
}

static void put(struct front_msg *m, const void *bytes, size_t len)
{
	MUST(m->len + len <= sizeof(m->body));
	memcpy(m->body + m->len, bytes, len);
	m->len += len;
}

static void put32(struct front_msg *m, uint32_t v)
{
	put(m, &v, sizeof(v));
}

static void put64(struct front_msg *m, uint64_t v)
{
	put(m, &v, sizeof(v));
}

static void add_fd(struct front_msg *m, int which)
{
	if (m->nfds < ARRAY_SIZE(m->fds))
		m->fds[m->nfds++] = fd[which];
}

static struct vu_mem_region a_region(struct feed *f)
{
	struct vu_mem_region r = regions[feed_below(f, ARRAY_SIZE(regions))];

	switch (feed_u8(f)) {
	case 0x80:
		r.size = feed_odd64(f);
		break;
	case 0x81:
		r.gpa = feed_odd64(f);
		break;
	case 0x82:
		r.uva = feed_odd64(f);
		break;
	case 0x83:
		r.offset = feed_odd64(f);
		break;
	default:
		break;
	}
	return r;
}

static int a_ram_fd(struct feed *f)
{
	uint8_t way = feed_u8(f);

	return way < 192 ? FD_RAM : way < 224 ? FD_SHORT : way < 232 ? FD_RO : way % FDS;
}

static void put_table(struct front_msg *m, struct feed *f)
{
	uint32_t n = feed_below(f, 4);

	if (feed_one_in(f, 32))
		n = feed_u8(f);
	put32(m, n);
	put32(m, 0);
	for (uint32_t i = 0; i < MIN(n, 10u); i++) {
		const struct vu_mem_region r = a_region(f);

		put(m, &r, sizeof(r));
		add_fd(m, a_ram_fd(f));
	}
}

static void put_config(struct front_msg *m, struct feed *f)
{
	uint32_t size = feed_u8(f);

	put32(m, feed_one_in(f, 4) ? feed_u32(f) : feed_u8(f));
	put32(m, feed_one_in(f, 16) ? feed_u32(f) : size);
	put32(m, feed_u8(f));
	memset(m->body + m->len, 'c', size);
	m->len += size;
}

static void put_inflight(struct front_msg *m, struct feed *f)
{
	uint32_t queues, size;

	put64(m, feed_one_in(f, 4) ? feed_odd64(f) : inflight_size);
	put64(m, feed_one_in(f, 8) ? feed_odd64(f) : 0);
	queues = feed_below(f, 5);
	size = feed_one_in(f, 4) ? feed_u16(f) : 16;
	put32(m, queues | size << 16);
	if (feed_u8(f) & 1)
		put32(m, 0);
}

static uint64_t most_of(uint64_t bits, struct feed *f)
{
	uint8_t way = feed_u8(f);

	if (way < 64)
		return bits;
	return way < 240 ? bits & ~BIT(way % 64) : feed_u64(f);
}

#define FEATURES (BIT(26) | BIT(28) | BIT(29) | BIT(30) | BIT(32) | BIT(34))
#define PROTOCOL (UINT64_C(0x41b62b) | BIT(VU_PROTOCOL_F_SHMEM_ADDR))

static uint64_t an_area(struct feed *f, uint32_t right)
{
	return feed_one_in(f, 16) ? feed_odd64(f) : FRONT_GPA + FRONT_UVA + right;
}

static void put_form(struct front_msg *m, struct feed *f, const struct form *form)
{
	uint32_t ring = 0;

	for (const char *s = form->args; *s; s++) {
		switch (*s) {
		case 'F':
			put64(m, most_of(FEATURES & ~(uint64_t)(feed_u8(f) & 1 ? BIT(34) : 0), f));
			break;
		case 'P':
			put64(m, most_of(PROTOCOL, f));
			break;
		case 'U':
			put64(m, feed_one_in(f, 4) ? feed_odd64(f) : feed_u8(f));
			break;
		case 'K': {
			uint64_t word = feed_one_in(f, 16) ? feed_odd64(f) : feed_below(f, 3);

			if (feed_one_in(f, 16))
				word |= VU_VRING_NOFD;
			put64(m, word);
			break;
		}
		case 'r':
			ring = feed_one_in(f, 16) ? feed_u32(f) : feed_below(f, 3);
			put32(m, ring);
			ring %= 3;
			break;
		case 's':
			put32(m, feed_one_in(f, 8) ? feed_u32(f) : 1u << feed_below(f, 9));
			break;
		case 'b':
			put32(m, feed_one_in(f, 2)   ? 0x80008000u
				 : feed_one_in(f, 2) ? feed_u32(f)
						     : 0);
			break;
		case 'e':
			put32(m, feed_below(f, 16) != 1);
			break;
		case 'l':
			put32(m, feed_below(f, 16) % 15 % 3 == 1);
			break;
		case 'D':
			put64(m, an_area(f, FRONT_DESC(ring)));
			break;
		case 'A':
			put64(m, an_area(f, FRONT_AVAIL(ring)));
			break;
		case 'V':
			put64(m, an_area(f, FRONT_USED(ring)));
			break;
		case 'L':
			put64(m, feed_one_in(f, 4) ? feed_odd64(f) : 64);
			put64(m, feed_one_in(f, 4) ? feed_odd64(f) : 0);
			break;
		case 'M':
			put_table(m, f);
			break;
		case 'R': {
			const struct vu_mem_region r = a_region(f);

			put64(m, 0);
			put(m, &r, sizeof(r));
			break;
		}
		case 'C':
			put_config(m, f);
			break;
		case 'I':
			put_inflight(m, f);
			break;
		case 'W':
			put64(m, feed_one_in(f, 16));
			put64(m, feed_one_in(f, 4) ? feed_odd64(f) : 1ull << 35);
			put64(m, feed_one_in(f, 4) ? feed_odd64(f) : 2u << 20);
			break;
		default: /* i */
			put32(m, feed_u8(f));
			break;
		}
	}
}

static int a_fd(struct feed *f, uint32_t request)
{
	if (feed_one_in(f, 8))
		return feed_u8(f) % FDS;
	switch (request) {
	case VU_ADD_MEM_REG:
		return a_ram_fd(f);
	case VU_SET_LOG_BASE:
		return FD_SHORT;
	case VU_SET_INFLIGHT_FD:
		return FD_INFLIGHT;
	case VU_SET_BACKEND_REQ_FD:
		return FD_SOCK;
	case VU_SET_VRING_CALL:
	case VU_SET_VRING_ERR:
		return FD_EVENT2;
	default:
		return FD_EVENT;
	}
}

static void spoil(struct front_msg *m, struct feed *f)
{
	switch (feed_below(f, 6)) {
	case 0:
		m->hdr.flags = feed_u8(f);
		break;
	case 1:
		m->hdr.size = (uint32_t)feed_odd64(f);
		break;
	case 2:
		m->len = feed_u16(f) % (m->len + 1);
		m->hdr.size = (uint32_t)m->len;
		break;
	case 3:
		for (unsigned int n = feed_below(f, 10); n; n--)
			add_fd(m, feed_u8(f) % FDS);
		break;
	case 4:
		m->nfds = 0;
		break;
	default:
		m->hdr.request = feed_u16(f);
		break;
	}
}

void front_message(struct feed *f, struct front_msg *ret)
{
	const struct form *form = &forms[feed_below(f, ARRAY_SIZE(forms))];
	uint8_t how = feed_u8(f);

	*ret = (struct front_msg){.hdr = {form->request, VU_VERSION, 0}};
	if (how & 1)
		ret->hdr.flags |= VU_FLAG_NEED_REPLY;
	put_form(ret, f, form);
	if (form->fds && !(form->request >= VU_SET_VRING_KICK &&
			   form->request <= VU_SET_VRING_ERR && ret->body[1] & VU_VRING_NOFD >> 8))
		add_fd(ret, a_fd(f, form->request));
	ret->hdr.size = (uint32_t)ret->len;
	if (how >= 240)
		spoil(ret, f);
}

bool front_step(unsigned int n, unsigned int i, uint64_t features, uint64_t protocol, uint32_t size,
		struct front_msg *ret)
{
	static const uint32_t requests[] = {
		VU_SET_PROTOCOL_FEATURES, VU_SET_FEATURES,   VU_SET_MEM_TABLE,
		VU_SET_VRING_NUM,         VU_SET_VRING_BASE, VU_SET_VRING_ADDR,
		VU_SET_VRING_CALL,        VU_SET_VRING_KICK, VU_SET_VRING_ENABLE,
	};

	if (n >= ARRAY_SIZE(requests))
		return false;
	*ret = (struct front_msg){.hdr = {requests[n], VU_VERSION, 0}};
	switch (n) {
	case 0:
		put64(ret, PROTOCOL & protocol);
		break;
	case 1:
		put64(ret, FEATURES & features);
		break;
	case 2:
		put64(ret, 1);
		put(ret, &regions[0], sizeof(regions[0]));
		add_fd(ret, FD_RAM);
		break;
	case 5:
		put32(ret, i);
		put32(ret, 0);
		put64(ret, FRONT_GPA + FRONT_UVA + FRONT_DESC(i));
		put64(ret, FRONT_GPA + FRONT_UVA + FRONT_USED(i));
		put64(ret, FRONT_GPA + FRONT_UVA + FRONT_AVAIL(i));
		put64(ret, 0);
		break;
	case 6:
	case 7:
		put64(ret, i);
		add_fd(ret, n == 6 ? FD_EVENT2 : FD_EVENT);
		break;
	default:
		put32(ret, i);
		put32(ret, n == 3 ? size : n == 8 ? 1 : features & BIT(34) ? 0x80008000u : 0);
		break;
	}
	ret->hdr.size = (uint32_t)ret->len;
	return true;
}

bool front_send(struct feed *f, int sock, const struct front_msg *m)
{
	uint8_t bytes[sizeof(m->hdr) + sizeof(m->body)];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(m->fds))];
	} control;
	struct iovec iov = {bytes, sizeof(m->hdr) + m->len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	memcpy(bytes, &m->hdr, sizeof(m->hdr));
	memcpy(bytes + sizeof(m->hdr), m->body, m->len);
	if (m->nfds) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(m->nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(m->nfds * sizeof(int));
		memcpy(CMSG_DATA(c), m->fds, m->nfds * sizeof(int));
	}
	if (f && feed_one_in(f, 32))
		iov.iov_len = 1 + feed_u16(f) % iov.iov_len;
	sent = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	return sent == (ssize_t)(sizeof(m->hdr) + m->len) && m->hdr.size == m->len;
}

unsigned int front_replies(int sock, uint32_t request)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control;
	uint8_t bytes[8192];
	struct iovec iov = {bytes, sizeof(bytes)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control)};
	ssize_t len = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	unsigned int n = 0;
	struct cmsghdr *c;

	if (len <= 0)
		return 0;
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		int got;

		MUST(c->cmsg_len == CMSG_LEN(sizeof(int)) &&
		     (!request || request == VU_GET_INFLIGHT_FD));
		memcpy(&got, CMSG_DATA(c), sizeof(got));
		front_inflight(got);
	}
	for (size_t at = 0; at < (size_t)len; n++) {
		struct vu_hdr hdr;

		MUST((size_t)len - at >= sizeof(hdr));
		memcpy(&hdr, bytes + at, sizeof(hdr));
		MUST(hdr.flags == (VU_VERSION | VU_FLAG_REPLY));
		MUST(!request || hdr.request == request);
		MUST(hdr.size <= (size_t)len - at - sizeof(hdr));
		if (hdr.request == VU_GET_INFLIGHT_FD && hdr.size >= 8)
			memcpy(&inflight_size, bytes + at + sizeof(hdr), 8);
		at += sizeof(hdr) + hdr.size;
	}
	return n;
}
