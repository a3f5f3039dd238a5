// SPDX-License-Identifier: Apache-2.0
/* The daemon's life: how it starts, who may connect, and what ends it. */
/*
 * Theory of operation
 *
 * Each test starts daemons itself, in the sandbox that its name says, and looks at exit status, lines
 * of stderr and files. Processes are waited for by pidfd.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "fx.h"
#include "fz.h"
#include "util.h"

static const struct fx_opts no_start = {.no_start = true};
static const struct fx_opts none = {.no_start = true, .args = {"--sandbox=none"}};
static const struct fx_opts in_chroot = {.no_start = true, .args = {"--sandbox=chroot"}};
static const struct fx_opts namespace = {.no_start = true, .args = {"--sandbox=namespace"}};
static const struct fx_opts threads = {.no_start = true,
				       .args = {"--sandbox=namespace", "--thread-pool-size=4"}};

static void need_root_for(const struct fx *f)
{
	if (f->opts != &none && f->opts != &no_start)
		fx_need_root();
}

static void works(struct fx *f)
{
	struct fuse_attr_out a;

	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
}

static bool exists(const struct fx *f, const char *suffix)
{
	char path[128];

	snprintf(path, sizeof(path), "%s%s", f->sock, suffix);
	return access(path, F_OK) == 0;
}

/* Ended as it should: status 0, one line that says why, nothing left behind. */
static void ended_well(struct fx *f)
{
	assert_int_equal(fx_wait_exit(f, FX_WAIT_MS), 0);
	if (fx_log_count(f, "ending:") != 1)
		fail_msg("not one line about the end:\n%s", f->log);
	assert_int_equal(fx_log_count(f, "Waiting for vhost-user socket connection"), 1);
	assert_int_equal(fx_log_count(f, "ERROR"), 0);
	assert_int_equal(fx_log_count(f, "WARN"), 0);
	assert_false(exists(f, ""));
	assert_false(exists(f, ".pid"));
}

static void serve(struct fx *f)
{
	fx_start(f);
	fx_connect(f);
	fx_up(f, true);
	works(f);
}

static void a_hang_up_ends_it(void **state)
{
	struct fx *f = *state;

	need_root_for(f);
	for (int i = 0; i < 3; i++) {
		serve(f);
		vuf_hangup(f->v);
		ended_well(f);
		fx_drop(f);
	}
}

/* A guest that is killed: requests in flight, handles open, nothing said. */
static void a_hang_up_amid_requests(void **state)
{
	struct fx *f = *state;
	struct vuf_req *q[20];
	struct fz_entry_open c;

	need_root_for(f);
	serve(f);
	for (unsigned int i = 0; i < ARRAY_SIZE(q); i++) {
		char name[16];

		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(fz_create(f, FUSE_ROOT_ID, name, O_CREAT | O_RDWR, 0644, &c), 0);
		q[i] = vuf_req_new(f->v, 65536 + 256, 64);
		assert_non_null(q[i]);
		vuf_req_begin(q[i], FUSE_WRITE, c.entry.nodeid);
		vuf_req_add(q[i], &(struct fuse_write_in){.fh = c.open.fh, .size = 65536},
			    sizeof(struct fuse_write_in));
		assert_non_null(vuf_req_room(q[i], 65536));
		assert_int_equal(vuf_req_submit(q[i], &f->v->ring[1]), 0);
	}
	vuf_ring_kick(&f->v->ring[1]);
	vuf_hangup(f->v);
	ended_well(f);
	for (unsigned int i = 0; i < ARRAY_SIZE(q); i++)
		vuf_req_free(q[i]);
}

static void hang_ups_before_anything_was_said(void **state)
{
	struct fx *f = *state;

	for (int step = 0; step < 3; step++) {
		fx_start(f);
		fx_connect(f);
		if (step > 0)
			assert_int_equal(vuf_negotiate(f->v), 0);
		if (step > 1)
			assert_int_equal(vuf_share_mem(f->v), 0);
		vuf_hangup(f->v);
		ended_well(f);
	}
}

static void one_front_end_at_a_time(void **state)
{
	struct fx *f = *state;
	int second;

	serve(f);
	for (int i = 0; i < 3; i++) {
		second = vuf_connect(f->sock);
		assert_true(second == -ECONNREFUSED || second == -ENOENT);
		works(f);
	}
	vuf_hangup(f->v);
	ended_well(f);
}

/* SIGTERM and others: at once, whatever it is doing. */
static void signals_end_it(void **state)
{
	static const int sigs[] = {SIGTERM, SIGINT, SIGHUP};
	struct fx *f = *state;

	need_root_for(f);
	for (unsigned int i = 0; i < ARRAY_SIZE(sigs); i++) {
		fx_start(f);
		kill(f->pid, sigs[i]);
		ended_well(f);
		serve(f);
		kill(f->pid, sigs[i]);
		ended_well(f);
		fx_drop(f);
	}
}

/* Nor do answers that nobody reads hold it. */
static void a_full_socket_holds_no_signal(void **state)
{
	static const uint32_t get_features[] = {1, 1, 0};
	struct fx *f = *state;
	scoped_fd int sock = -1;
	int idle = 0;

	need_root_for(f);
	fx_start(f);
	sock = vuf_connect(f->sock);
	assert_true(sock >= 0);
	/* Until it takes no more. */
	while (idle < 20) {
		if (send(sock, get_features, sizeof(get_features), MSG_DONTWAIT) > 0) {
			idle = 0;
			continue;
		}
		assert_int_equal(errno, EAGAIN);
		usleep(10000);
		idle++;
	}
	kill(f->pid, SIGTERM);
	ended_well(f);
}

static int pidfd_of(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	assert_true(fd >= 0);
	return fd;
}

static bool has_ended(int pidfd)
{
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};

	return poll(&pfd, 1, FX_WAIT_MS) == 1;
}

/* Whoever kills one of the two processes has killed both. */
static void neither_process_outlives_the_other(void **state)
{
	struct fx *f = *state;

	fx_need_root();
	for (int inner = 0; inner < 2; inner++) {
		pid_t serving;
		int pidfd;

		serve(f);
		serving = fx_serving_pid(f);
		assert_int_not_equal(serving, f->pid);
		pidfd = pidfd_of(serving);
		kill(inner ? serving : f->pid, SIGKILL);
		assert_int_equal(fx_wait_exit(f, FX_WAIT_MS), 128 + SIGKILL);
		assert_true(has_ended(pidfd));
		close(pidfd);
		fx_drop(f);
	}
}

static void the_socket_and_its_lock(void **state)
{
	struct fx *f = *state;
	scoped_fd int lock = -1;
	struct fx other = *f;
	struct stat st;
	char path[128], pid[32] = "";

	fx_start(f);
	assert_int_equal(stat(f->sock, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0700);
	snprintf(path, sizeof(path), "%s.pid", f->sock);
	lock = open(path, O_RDWR | O_CLOEXEC);
	assert_true(lock >= 0);
	assert_true(read(lock, pid, sizeof(pid) - 1) > 0);
	assert_int_equal(strtol(pid, NULL, 10), f->pid);
	/* A second daemon on the same socket: refused, and the first is not harmed. */
	other.err_fd = -1;
	fx_spawn(&other,
		 (const char *const[]){"--shared-dir", f->share, "--socket-path", f->sock, NULL});
	assert_int_not_equal(fx_wait_exit(&other, FX_WAIT_MS), 0);
	assert_int_equal(fx_log_count(&other, "ERROR"), 1);
	fd_close(&other.err_fd);
	fx_connect(f);
	fx_up(f, true);
	works(f);
	/* Killed: the socket is stale then, and the next one takes it over. */
	kill(f->pid, SIGKILL);
	fx_wait_exit(f, FX_WAIT_MS);
	assert_true(exists(f, ""));
	serve(f);
	vuf_hangup(f->v);
	ended_well(f);
}

/* A listening socket that the launcher made, with a client that waits already. */
static void a_socket_that_is_passed(void **state)
{
	struct fx *f = *state;
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct vuf_conf conf = {.packed = fx_packed()};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), sock;
	char number[16];
	struct stat st;

	assert_true(listener >= 0);
	strcpy(sun.sun_path, f->sock);
	assert_int_equal(bind(listener, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(listener, 1), 0);
	sock = vuf_connect(f->sock);
	assert_true(sock >= 0);
	snprintf(number, sizeof(number), "%d", listener);
	fx_spawn(f,
		 (const char *const[]){"--shared-dir", f->share, "--fd", number,
				       geteuid() ? "--sandbox=none" : "--sandbox=namespace", NULL});
	close(listener);
	assert_int_equal(vuf_new(&conf, &f->v), 0);
	f->q = vuf_req_new(f->v, 4096, 4096);
	vuf_attach(f->v, sock);
	fx_up(f, true);
	works(f);
	vuf_hangup(f->v);
	assert_int_equal(fx_wait_exit(f, FX_WAIT_MS), 0);
	assert_int_equal(fx_log_count(f, "ending:"), 1);
	/* Its name is the launcher's. */
	assert_int_equal(stat(f->sock, &st), 0);
}

static void a_descriptor_that_is_no_socket(void **state)
{
	struct fx *f = *state;
	int fd = open("/dev/null", O_RDWR);
	char number[16];

	snprintf(number, sizeof(number), "%d", fd);
	fx_spawn(f, (const char *const[]){"--shared-dir", f->share, "--fd", number, NULL});
	assert_true(fx_wait_exit(f, FX_WAIT_MS) > 0);
	assert_int_equal(fx_log_count(f, ""), 1);
	close(fd);
	fx_spawn(f, (const char *const[]){"--shared-dir", f->share, "--fd", number, NULL});
	assert_true(fx_wait_exit(f, FX_WAIT_MS) > 0);
	assert_int_equal(fx_log_count(f, ""), 1);
}

/* Nobody reads its stderr any more: it serves on, and ends as ever. */
static void stderr_is_closed(void **state)
{
	struct fx *f = *state;

	serve(f);
	fd_close(&f->err_fd);
	works(f);
	/* To say something, it has to write. */
	vuf_hangup(f->v);
	f->err_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fx_wait_exit(f, FX_WAIT_MS), 0);
}

static void names_of_its_processes(void **state)
{
	struct fx *f = *state;
	char path[64], comm[32] = "";
	scoped_fd int fd = -1;

	serve(f);
	snprintf(path, sizeof(path), "/proc/%d/comm", f->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, comm, sizeof(comm) - 1) > 0);
	assert_string_equal(comm, "virtiofsd\n");
	vuf_hangup(f->v);
	ended_well(f);
}

#define IN(fn, opts)                                                                   \
	{                                                                              \
#fn " " #opts, fn, fx_setup, fx_teardown, (void *)(uintptr_t) & (opts) \
	}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		IN(a_hang_up_ends_it, none),
		IN(a_hang_up_ends_it, in_chroot),
		IN(a_hang_up_ends_it, namespace),
		IN(a_hang_up_amid_requests, none),
		IN(a_hang_up_amid_requests, namespace),
		IN(a_hang_up_amid_requests, threads),
		FX_TEST(hang_ups_before_anything_was_said, &no_start),
		FX_TEST(one_front_end_at_a_time, &no_start),
		IN(signals_end_it, none),
		IN(signals_end_it, in_chroot),
		IN(signals_end_it, namespace),
		FX_TEST(a_full_socket_holds_no_signal, &namespace),
		FX_TEST(neither_process_outlives_the_other, &namespace),
		FX_TEST(the_socket_and_its_lock, &no_start),
		FX_TEST(a_socket_that_is_passed, &no_start),
		FX_TEST(a_descriptor_that_is_no_socket, &no_start),
		FX_TEST(stderr_is_closed, &no_start),
		FX_TEST(names_of_its_processes, &no_start),
	};

	return fx_main(argc, argv, "life", tests, ARRAY_SIZE(tests));
}
