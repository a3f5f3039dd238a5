// SPDX-License-Identifier: Apache-2.0
/* File descriptors: scoped ones, eventfds, and those that travel over a socket. */
/*
 * Theory of operation
 *
 * No state. Sockets are stream sockets, so a message may go out or come in by pieces: descriptors
 * are attached to the first byte sent and gathered from any piece received. What a peer passes is
 * owned from the moment recvmsg(2) returns; every error path closes it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fd.h"
#include "util.h"

#define SEND_IOV_MAX 8
#define SEND_FDS_MAX 8
#define SEND_MS      5000 /* longest wait for room: a peer that does not read must not hold us */
#define RECV_FDS_MAX 253  /* what the kernel lets one message carry (SCM_MAX_FD) */

/* seccomp: close */
void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

static void close_limit(unsigned int first, unsigned int last)
{
	struct rlimit lim = {.rlim_cur = 1024};

	/* Who lowered the limit may have opened more before: this is the best there is. */
	getrlimit(RLIMIT_NOFILE, &lim);
	for (unsigned int fd = first; fd <= last && fd < lim.rlim_cur; fd++)
		close((int)fd);
}

/* Before Linux 5.9: what /proc says is open. */
static void close_listed(unsigned int first, unsigned int last)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *d;

	if (!dir) {
		close_limit(first, last);
		return;
	}
	while ((d = readdir(dir))) {
		char *end;
		unsigned long fd = strtoul(d->d_name, &end, 10);

		if (!*end && fd >= first && fd <= last && fd != (unsigned long)dirfd(dir))
			close((int)fd);
	}
	closedir(dir);
}

static void close_from_to(unsigned int first, unsigned int last)
{
	if (first <= last && syscall(SYS_close_range, first, last, 0) < 0)
		close_listed(first, last);
}

void fd_close_others(int keep)
{
	unsigned int first = STDERR_FILENO + 1;

	if (keep >= (int)first) {
		close_from_to(first, (unsigned int)keep - 1);
		first = (unsigned int)keep + 1;
	}
	close_from_to(first, ~0u);
}

/* statx(2) is there anyway; which system call fstat(3) is differs from one C library to the next. */
/* seccomp: statx */
int fd_stat(int fd, struct stat *ret)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) < 0)
		return -errno;
	*ret = (struct stat){
		.st_dev = makedev(stx.stx_dev_major, stx.stx_dev_minor),
		.st_ino = stx.stx_ino,
		.st_mode = stx.stx_mode,
		.st_size = (off_t)stx.stx_size,
	};
	return 0;
}

/* seccomp: sendmsg */
ssize_t fd_send(int sock, const void *buf, size_t len, int flags)
{
	struct iovec vec = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	const struct msghdr msg = {.msg_iov = &vec, .msg_iovlen = 1};
	ssize_t n = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);

	return n < 0 ? -errno : n;
}

/* seccomp: recvmsg */
ssize_t fd_recv(int sock, void *buf, size_t len, int flags)
{
	struct iovec vec = {.iov_base = buf, .iov_len = len};
	struct msghdr msg = {.msg_iov = &vec, .msg_iovlen = 1};
	ssize_t n = recvmsg(sock, &msg, flags);

	return n < 0 ? -errno : n;
}

/* seccomp: fcntl 1==F_DUPFD_CLOEXEC, close */
void fd_reserve(int fd, int n)
{
	for (; n > 0; n /= 2) {
		int last = fcntl(fd, F_DUPFD_CLOEXEC, n - 1);

		if (last >= 0) {
			close(last);
			return;
		}
	}
}

/* seccomp: write */
void fd_signal(int evfd)
{
	uint64_t one = 1;

	while (write(evfd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* seccomp: read */
void fd_drain(int evfd)
{
	uint64_t count;

	while (read(evfd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

/*
 * Sleep until the socket can be used. 0, -ETIMEDOUT, or -EINTR after a signal that is handled; other errors are left to
 * the call that follows.
 */
/* seccomp: poll */
static int wait_for(int sock, short events, int timeout_ms)
{
	struct pollfd pfd = {.fd = sock, .events = events};
	int n = poll(&pfd, 1, timeout_ms);

	if (n < 0 && errno == EINTR)
		return -EINTR;
	return n ? 0 : -ETIMEDOUT;
}

/* Drop the first @n bytes of a list. */
static void consume(struct msghdr *msg, size_t n)
{
	while (msg->msg_iovlen && n >= msg->msg_iov->iov_len) {
		n -= msg->msg_iov->iov_len;
		msg->msg_iov++;
		msg->msg_iovlen--;
	}
	if (n) {
		msg->msg_iov->iov_base = (char *)msg->msg_iov->iov_base + n;
		msg->msg_iov->iov_len -= n;
	}
}

/* seccomp: sendmsg */
int fd_sendmsg(int sock, const struct iovec *iov, unsigned int cnt, const int *fds,
	       unsigned int nfds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(SEND_FDS_MAX * sizeof(int))];
	} control = {0};
	struct iovec vec[SEND_IOV_MAX];
	struct msghdr msg = {.msg_iov = vec, .msg_iovlen = cnt};

	if (cnt > SEND_IOV_MAX || nfds > SEND_FDS_MAX)
		return -EINVAL;
	memcpy(vec, iov, cnt * sizeof(*iov));
	consume(&msg, 0);
	if (!msg.msg_iovlen)
		return nfds ? -EINVAL : 0;
	if (nfds) {
		struct cmsghdr *c = &control.align;

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	}
	while (msg.msg_iovlen) {
		ssize_t n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			consume(&msg, (size_t)n);
			msg.msg_control = NULL;
			msg.msg_controllen = 0;
		} else if (n == 0 || errno == EAGAIN) {
			int r = wait_for(sock, POLLOUT, SEND_MS);

			if (r < 0)
				return r;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

/* Take the descriptors out of a received message; what does not fit is closed and counted. */
static unsigned int gather(struct msghdr *msg, int *fds, unsigned int max, unsigned int *nfds)
{
	unsigned int over = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (*nfds < max) {
				fds[(*nfds)++] = fd;
			} else {
				fd_close(&fd);
				over++;
			}
		}
	}
	return over;
}

/* One recvmsg(2): the bytes that came, 0 at the end, or a negative errno, -EAGAIN among them. */
/* seccomp: recvmsg */
static ssize_t recv_some(int sock, void *buf, size_t len, int flags, int *fds, unsigned int max,
			 unsigned int *nfds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(RECV_FDS_MAX * sizeof(int))];
	} control;
	struct iovec vec = {.iov_base = buf, .iov_len = len};
	struct msghdr msg = {
		.msg_iov = &vec,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (gather(&msg, fds, max, nfds))
		return -EMSGSIZE;
	/* There is room for all that can be sent: what is missing could not be installed. */
	return msg.msg_flags & MSG_CTRUNC ? -EMFILE : n;
}

static int recv_all(int sock, void *buf, size_t len, int *fds, unsigned int max, unsigned int *nfds)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = recv_some(sock, (char *)buf + done, len - done, 0, fds, max, nfds);

		if (n == -EAGAIN)
			wait_for(sock, POLLIN, -1);
		else if (n < 0)
			return (int)n;
		else if (n == 0)
			return done ? -ECONNRESET : 0;
		else
			done += (size_t)n;
	}
	return 1;
}

int fd_recv_part(int sock, void *buf, size_t len, size_t *done, int *fds, unsigned int max,
		 unsigned int *nfds)
{
	while (*done < len) {
		ssize_t n = recv_some(sock, (char *)buf + *done, len - *done, MSG_DONTWAIT, fds,
				      max, nfds);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return *done ? -ECONNRESET : 0;
		*done += (size_t)n;
	}
	return 1;
}

int fd_recvmsg(int sock, void *buf, size_t len, int *fds, unsigned int max, unsigned int *nfds)
{
	unsigned int have = nfds ? *nfds : 0;
	int r = recv_all(sock, buf, len, fds, fds ? max : 0, &have);

	if (r < 0)
		while (have)
			fd_close(&fds[--have]);
	if (nfds)
		*nfds = have;
	return r;
}
