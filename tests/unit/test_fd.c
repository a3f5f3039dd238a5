// SPDX-License-Identifier: Apache-2.0
/* File descriptors: scoped, eventfds, over sockets. */
/*
 * Theory of operation
 *
 * Each case works on a socket pair of its own; the teardown counts the open descriptors, so that one
 * that leaks fails the case. Where a message must go by pieces, a thread is the other end.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fd.h"
#include "util.h"

struct fixture {
	int sock[2];
	unsigned int open_before;
};

static unsigned int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int setup(void **state)
{
	static struct fixture f;

	f.open_before = open_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f.sock), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fd_close(&f->sock[0]);
	fd_close(&f->sock[1]);
	return open_fds() == f->open_before ? 0 : -1;
}

static void scoped(void **state)
{
	int kept;

	(void)state;
	{
		scoped_fd int gone = dup(0);
		scoped_fd int stolen = dup(0);
		scoped_fd int none = -1;

		assert_true(gone >= 0 && stolen >= 0);
		kept = fd_steal(&stolen);
		assert_int_equal(stolen, -1);
		(void)none;
	}
	assert_int_equal(fcntl(kept, F_GETFD), 0);
	errno = ENOTTY;
	fd_close(&kept);
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(kept, -1);
	fd_close(&kept);
}

static void eventfds(void **state)
{
	scoped_fd int ev = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	uint64_t v = UINT64_MAX - 1;

	(void)state;
	fd_drain(ev);
	fd_signal(ev);
	fd_signal(ev);
	assert_int_equal(read(ev, &v, sizeof(v)), 8);
	assert_int_equal(v, 2);
	fd_signal(ev);
	fd_drain(ev);
	assert_int_equal(read(ev, &v, sizeof(v)), -1);
	v = UINT64_MAX - 1;
	assert_int_equal(write(ev, &v, sizeof(v)), 8);
	fd_signal(ev);
	assert_int_equal(read(ev, &v, sizeof(v)), 8);
	assert_int_equal(v, UINT64_MAX - 1);
}

/* Descriptors that the kernel's table has room for. */
static int table_size(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "FDSize: %d", &n) == 1)
			break;
	fclose(f);
	return n;
}

static void reserved(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, few;

	assert_true(table_size() < 1024);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	few.rlim_cur = 1000;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	fd_reserve(f->sock[0], 2048);
	assert_in_range(table_size(), 512, 1024);
	few.rlim_cur = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	fd_reserve(f->sock[0], 2048);
	assert_true(table_size() >= 2048);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

static void message_with_fds(void **state)
{
	struct fixture *f = *state;
	scoped_fd int a = eventfd(0, 0);
	scoped_fd int b = eventfd(0, 0);
	char head[4], body[6];
	struct iovec iov[3] = {{(char[]){"head"}, 4}, {NULL, 0}, {(char[]){"body!!"}, 6}};
	int fds[8], send[2] = {a, b};
	unsigned int n = 0;
	uint64_t v = 5;

	assert_int_equal(fd_sendmsg(f->sock[0], iov, 3, send, 2), 0);
	assert_int_equal(fd_recvmsg(f->sock[1], head, 4, fds, 8, &n), 1);
	assert_memory_equal(head, "head", 4);
	assert_int_equal(n, 2);
	assert_int_equal(fd_recvmsg(f->sock[1], body, 6, fds, 8, &n), 1);
	assert_memory_equal(body, "body!!", 6);
	assert_int_equal(n, 2);
	assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(fds[1], &v, sizeof(v)), 8);
	assert_int_equal(read(b, &v, sizeof(v)), 8);
	assert_int_equal(v, 5);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	/* The list of the caller is left as it was. */
	assert_int_equal(iov[0].iov_len, 4);
}

static void fds_add_up(void **state)
{
	struct fixture *f = *state;
	struct iovec iov = {(char[]){"xxxx"}, 4};
	int fds[3], one[1] = {f->sock[0]}, two[2] = {f->sock[0], f->sock[1]};
	unsigned int n = 0;
	char buf[4];

	assert_int_equal(fd_sendmsg(f->sock[0], &iov, 1, one, 1), 0);
	assert_int_equal(fd_sendmsg(f->sock[0], &iov, 1, two, 2), 0);
	assert_int_equal(fd_sendmsg(f->sock[0], &iov, 1, one, 1), 0);
	assert_int_equal(fd_recvmsg(f->sock[1], buf, 4, fds, 3, &n), 1);
	assert_int_equal(fd_recvmsg(f->sock[1], buf, 4, fds, 3, &n), 1);
	assert_int_equal(n, 3);
	/* A fourth is too much: all go, the earlier ones too. */
	assert_int_equal(fd_recvmsg(f->sock[1], buf, 4, fds, 3, &n), -EMSGSIZE);
	assert_int_equal(n, 0);
}

static void too_many_fds(void **state)
{
	struct fixture *f = *state;
	struct iovec iov = {(char[]){"xxxx"}, 4};
	int fds[4], eight[8];
	unsigned int n = 0;
	char buf[4];

	for (int i = 0; i < 8; i++)
		eight[i] = f->sock[0];
	assert_int_equal(fd_sendmsg(f->sock[0], &iov, 1, eight, 8), 0);
	assert_int_equal(fd_recvmsg(f->sock[1], buf, 4, fds, 4, &n), -EMSGSIZE);
	assert_int_equal(n, 0);
	/* Where none may come, one is too many. */
	assert_int_equal(fd_sendmsg(f->sock[0], &iov, 1, eight, 1), 0);
	assert_int_equal(fd_recvmsg(f->sock[1], buf, 4, NULL, 0, NULL), -EMSGSIZE);
	assert_int_equal(fd_sendmsg(f->sock[0], &iov, 1, eight, 9), -EINVAL);
	assert_int_equal(fd_sendmsg(f->sock[0], &iov, 0, eight, 1), -EINVAL);
	assert_int_equal(fd_sendmsg(f->sock[0], &iov, 9, NULL, 0), -EINVAL);
	assert_int_equal(fd_sendmsg(f->sock[0], &iov, 0, NULL, 0), 0);
}

static void no_room_for_fds(void **state)
{
	struct fixture *f = *state;
	struct iovec iov = {(char[]){"xxxx"}, 4};
	int fds[8], send[2] = {f->sock[0], f->sock[1]};
	struct rlimit old, low;
	unsigned int n = 0;
	int top = dup(0), r;
	char buf[4];

	assert_int_equal(fd_sendmsg(f->sock[0], &iov, 1, send, 2), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = (rlim_t)top + 1;
	assert_int_equal(close(top), 0);
	/* Room for one of the two. */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	r = fd_recvmsg(f->sock[1], buf, 4, fds, 8, &n);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EMFILE);
	assert_int_equal(n, 0);
}

static void peer_gone(void **state)
{
	struct fixture *f = *state;
	struct iovec iov = {(char[]){"xxxx"}, 4};
	char buf[8];

	assert_int_equal(fd_sendmsg(f->sock[0], &iov, 1, NULL, 0), 0);
	fd_close(&f->sock[0]);
	assert_int_equal(fd_recvmsg(f->sock[1], buf, 8, NULL, 0, NULL), -ECONNRESET);
	assert_int_equal(fd_recvmsg(f->sock[1], buf, 8, NULL, 0, NULL), 0);
	assert_int_equal(fd_recvmsg(f->sock[1], buf, 0, NULL, 0, NULL), 1);
	/* SIGPIPE would end the test here. */
	assert_int_equal(fd_sendmsg(f->sock[1], &iov, 1, NULL, 0), -EPIPE);
}

#define BIG (1u << 20)

static uint8_t big_out[BIG], big_in[BIG];

static void *receive_big(void *arg)
{
	struct fixture *f = arg;
	int fds[1] = {-1};
	unsigned int n = 0;
	intptr_t r = fd_recvmsg(f->sock[1], big_in, BIG, fds, 1, &n);

	if (n)
		fd_close(&fds[0]);
	return (void *)(r == 1 && n == 1 ? (intptr_t)1 : (intptr_t)0);
}

/* Both ends non-blocking, and more bytes than the socket takes at once. */
static void by_pieces(void **state)
{
	struct fixture *f = *state;
	struct iovec iov[4] = {{big_out, 3},
			       {big_out + 3, BIG / 2},
			       {big_out + 3 + BIG / 2, 0},
			       {big_out + 3 + BIG / 2, BIG - 3 - BIG / 2}};
	pthread_t thread;
	void *ok;

	for (unsigned int i = 0; i < BIG; i++)
		big_out[i] = (uint8_t)(i * 31 + i / 251);
	for (int i = 0; i < 2; i++)
		assert_int_equal(fcntl(f->sock[i], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(pthread_create(&thread, NULL, receive_big, f), 0);
	assert_int_equal(fd_sendmsg(f->sock[0], iov, 4, &f->sock[0], 1), 0);
	assert_int_equal(pthread_join(thread, &ok), 0);
	assert_non_null(ok);
	assert_memory_equal(big_in, big_out, BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(scoped, setup, teardown),
		cmocka_unit_test_setup_teardown(eventfds, setup, teardown),
		cmocka_unit_test_setup_teardown(reserved, setup, teardown),
		cmocka_unit_test_setup_teardown(message_with_fds, setup, teardown),
		cmocka_unit_test_setup_teardown(fds_add_up, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many_fds, setup, teardown),
		cmocka_unit_test_setup_teardown(no_room_for_fds, setup, teardown),
		cmocka_unit_test_setup_teardown(peer_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(by_pieces, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
