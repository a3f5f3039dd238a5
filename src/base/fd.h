/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors: scoped ones, eventfds, and those that travel over a socket. */
#ifndef CULVERT_FD_H
#define CULVERT_FD_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

/** fd_close() - close *@fd if it is not negative, and set it to -1. errno is kept. */
void fd_close(int *fd);

/** scoped_fd - an int that is closed at the end of its block: `scoped_fd int fd = open(…);` */
#define scoped_fd __attribute__((cleanup(fd_close)))

/** fd_steal() - take *@fd out of its scope: returns it and leaves -1 behind. */
static inline int fd_steal(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

/**
 * fd_close_others() - close all descriptors but 0 to 2 and @keep (-1 = none).
 *
 * Single-threaded process, before it has opened anything: what a launcher left open by mistake would
 * lead out of the sandbox.
 */
void fd_close_others(int keep);

/**
 * fd_reserve() - have the kernel's table of descriptors hold @n, or as many as the limit lets it.
 * @fd: any that is open; stays as it is.
 *
 * It grows by doubling, and once there are other threads each time waits for an RCU grace period, some ten
 * milliseconds, in whatever call wanted the descriptor (fs/file.c, expand_fdtable()). Before the first thread, this
 * costs a few microseconds, and 8 bytes of the kernel's memory for each.
 */
void fd_reserve(int fd, int n);

/**
 * fd_signal() - add one to an eventfd. Any thread.
 *
 * A full counter is no error, but would block: set what a peer passes non-blocking first.
 */
void fd_signal(int evfd);

/** fd_drain() - set a non-blocking eventfd back to zero. Any thread. */
void fd_drain(int evfd);

/** fd_stat() - device, inode, mode (0 for an anonymous file) and size; the rest is 0. 0 or -errno. */
int fd_stat(int fd, struct stat *ret);

/** fd_send() - send(2), without SIGPIPE; it is one system call less to allow. Bytes or -errno. */
ssize_t fd_send(int sock, const void *buf, size_t len, int flags);

/** fd_recv() - recv(2); descriptors that come with it are dropped. Bytes or -errno. */
ssize_t fd_recv(int sock, void *buf, size_t len, int flags);

/**
 * fd_sendmsg() - send all bytes, with descriptors on the first, over a stream socket.
 * @sock: the socket; may be blocking or not (waits for room).
 * @iov:  the bytes.
 * @cnt:  entries in @iov, at most 8.
 * @fds:  descriptors to pass; they stay the caller's.
 * @nfds: how many, 0 to 8.
 *
 * Returns 0 or a negative errno (-ETIMEDOUT: no room for seconds; -EINTR: a signal was handled while there was none);
 * never raises SIGPIPE.
 */
int fd_sendmsg(int sock, const struct iovec *iov, unsigned int cnt, const int *fds,
	       unsigned int nfds);

/**
 * fd_recvmsg() - receive exactly @len bytes and whatever descriptors come with them.
 * @sock:  a stream socket.
 * @buf:   where to.
 * @len:   bytes wanted.
 * @fds:   filled with descriptors (O_CLOEXEC), owned by the caller afterwards; may be NULL when
 *         none may come.
 * @max:   entries in @fds. More than that is -EMSGSIZE, and all of them are closed.
 * @nfds:  in: descriptors already in @fds; out: that plus those received.
 *
 * Returns 1, 0 when the peer closed before the first byte, or a negative errno (-ECONNRESET when it
 * closed within). On an error all descriptors in @fds are closed and *@nfds is 0.
 */
int fd_recvmsg(int sock, void *buf, size_t len, int *fds, unsigned int max, unsigned int *nfds);

/**
 * fd_recv_part() - the same without waiting, to go on with later.
 * @done: in and out: the bytes of @buf that are there.
 *
 * Returns 1 when all are, -EAGAIN when not yet, 0 when the peer closed before the first byte, or another
 * negative errno. The descriptors in @fds stay the caller's, whatever it returns.
 */
int fd_recv_part(int sock, void *buf, size_t len, size_t *done, int *fds, unsigned int max,
		 unsigned int *nfds);

#endif
