// SPDX-License-Identifier: Apache-2.0
/* Messages for people. */
/*
 * Theory of operation
 *
 * stderr is replaced by a pipe or a socket for the length of a case, and what arrives is compared less
 * its time stamp. The system log is a datagram socket that the test binds at /dev/log, in a mount
 * namespace of a child process; without the right to make one the case is skipped.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fd.h"
#include "log.h"
#include "util.h"

static int real_stderr;

static void stderr_to(int fd)
{
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
}

static int teardown(void **state)
{
	(void)state;
	log_init(LOG_LEVEL_INFO, LOG_SINK_STDERR);
	return dup2(real_stderr, STDERR_FILENO) < 0;
}

/* One message through a pipe; returns what arrived behind the time, or "" for nothing. */
static const char *logged(const char *text)
{
	static char line[4096];
	int p[2];
	ssize_t n;

	assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	stderr_to(p[1]);
	log_msg(LOG_LEVEL_WARN, "%s", text);
	dup2(real_stderr, STDERR_FILENO);
	n = read(p[0], line, sizeof(line) - 1);
	close(p[0]);
	close(p[1]);
	if (n <= 0)
		return "";
	line[n] = '\0';
	assert_int_equal(line[n - 1], '\n');
	assert_true(n > 26 && line[4] == '-' && line[10] == 'T' && line[23] == 'Z');
	return line + 25;
}

static void texts(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"hello", "WARN  hello\n"},
		{"", "WARN  \n"},
		{"tab\tnl\ncr\resc\033[2Jdel\x7f",
		 "WARN  tab\\x09nl\\x0acr\\x0desc\\x1b[2Jdel\\x7f\n"},
		{"Grün, 東京, 🐧", "WARN  Grün, 東京, 🐧\n"},
		{"\x80 \xff \xc3", "WARN  \\x80 \\xff \\xc3\n"},
		{"\xc0\xaf \xe0\x80\xaf", "WARN  \\xc0\\xaf \\xe0\\x80\\xaf\n"},
		{"\xed\xa0\x80 \xf4\x90\x80\x80", "WARN  \\xed\\xa0\\x80 \\xf4\\x90\\x80\\x80\n"},
		{"\xc2\x9b"
		 "2J",
		 "WARN  \\xc2\\x9b2J\n"},
		{"a\xe2\x80\xae"
		 "b\xe2\x80\xa8"
		 "c\xe2\x81\xa6",
		 "WARN  a\\xe2\\x80\\xaeb\\xe2\\x80\\xa8"
		 "c\\xe2\\x81\\xa6\n"},
		{"%s%n back\\slash", "WARN  %s%n back\\slash\n"},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(logged(cases[i].in), cases[i].out);
}

static void long_lines(void **state)
{
	char text[3000];
	const char *got;

	(void)state;
	for (int kind = 0; kind < 2; kind++) {
		for (size_t len = 900; len < 1100; len++) {
			memset(text, kind ? '\001' : 'x', len);
			text[len] = '\0';
			log_init(LOG_LEVEL_INFO, LOG_SINK_STDERR);
			got = logged(text);
			assert_true(strlen(got) + 25 <= 1024);
			assert_true(strstr(got, kind ? "\\x01...\n" : "x...\n") || len < 1000);
		}
	}
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_true(strlen(logged(text)) + 25 >= 1020);
}

static void levels(void **state)
{
	(void)state;
	log_init(LOG_LEVEL_ERROR, LOG_SINK_STDERR);
	assert_true(log_on(LOG_LEVEL_ERROR));
	assert_false(log_on(LOG_LEVEL_WARN));
	assert_string_equal(logged("x"), "");
	log_init(LOG_LEVEL_TRACE, LOG_SINK_STDERR);
	assert_true(log_on(LOG_LEVEL_TRACE));
	assert_false(log_on(LOG_LEVEL_OFF));
	assert_string_equal(logged("x"), "WARN  x\n");
	log_init(LOG_LEVEL_OFF, LOG_SINK_STDERR);
	assert_false(log_on(LOG_LEVEL_ERROR));
	assert_false(log_on(LOG_LEVEL_OFF));
	assert_string_equal(logged("x"), "");
}

static void errno_is_kept(void **state)
{
	scoped_fd int closed = dup(real_stderr);

	(void)state;
	close(STDERR_FILENO);
	errno = EXDEV;
	log_warn("nobody hears this");
	assert_int_equal(errno, EXDEV);
	stderr_to(closed);
}

/* A reader that does not read: the line is lost, the writer goes on. */
static void full_pipe(void **state)
{
	static char junk[1 << 16];
	int p[2], n = 0;

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_true(fcntl(p[1], F_SETPIPE_SZ, 4096) > 0);
	stderr_to(p[1]);
	for (int i = 0; i < 200; i++)
		log_err("%0500d", i);
	dup2(real_stderr, STDERR_FILENO);
	close(p[1]);
	while (read(p[0], junk, sizeof(junk)) > 0)
		n++;
	assert_true(n > 0);
	close(p[0]);
}

/* No reader at all: SIGPIPE would end the test here. */
static void broken_pipe(void **state)
{
	int p[2];

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	close(p[0]);
	stderr_to(p[1]);
	log_warn("into the void");
	dup2(real_stderr, STDERR_FILENO);
	close(p[1]);
}

/* stderr as a socket, as under a service manager; full, and then without a peer. */
static void socket_stderr(void **state)
{
	char line[256];
	int s[2];
	ssize_t n;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	stderr_to(s[1]);
	log_warn("through a socket");
	n = read(s[0], line, sizeof(line) - 1);
	assert_true(n > 0);
	line[n] = '\0';
	assert_non_null(strstr(line, "WARN  through a socket\n"));
	for (int i = 0; i < 2000; i++)
		log_err("%0500d", i);
	close(s[0]);
	log_warn("nobody there");
	dup2(real_stderr, STDERR_FILENO);
	close(s[1]);
}

/* What is waiting in the socket. */
static const char *waiting(int fd)
{
	static char buf[1 << 20];
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, buf + len, sizeof(buf) - 1 - len, MSG_DONTWAIT)) > 0)
		len += (size_t)n;
	buf[len] = '\0';
	return buf;
}

static unsigned int count(const char *in, const char *text)
{
	unsigned int n = 0;

	for (; (in = strstr(in, text)); in++)
		n++;
	return n;
}

/* A flood is cut, but for what is an error or was asked for; then it is told how much is missing. */
static void floods(void **state)
{
	const char *got;
	int s[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	assert_int_equal(setsockopt(s[1], SOL_SOCKET, SO_SNDBUF, &(int){1 << 20}, sizeof(int)), 0);
	stderr_to(s[1]);
	log_init(LOG_LEVEL_DEBUG, LOG_SINK_STDERR);
	for (int i = 0; i < 2500; i++) {
		log_warn("the guest does it again");
		log_info("the guest does it again");
	}
	log_err("an error");
	for (int i = 0; i < 50; i++)
		log_debug("asked for");
	got = waiting(s[0]);
	/* What counts is the time that it took; a slow machine is allowed some more. */
	assert_true(count(got, "does it again\n") >= 100);
	assert_true(count(got, "does it again\n") < 2500);
	assert_int_equal(count(got, "asked for\n"), 50);
	assert_int_equal(count(got, "ERROR an error\n"), 1);
	do
		log_warn("later");
	while (!strstr(waiting(s[0]), " lines were left out here\n"));
	dup2(real_stderr, STDERR_FILENO);
	close(s[0]);
	close(s[1]);
}

/* The journal's stream is told by its numbers; of another one nothing is believed. */
static void journal(void **state)
{
	char name[64], line[256];
	struct stat st;
	int s[2];
	ssize_t n;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	assert_int_equal(fstat(s[1], &st), 0);
	for (int other = 0; other < 2; other++) {
		snprintf(name, sizeof(name), "%llu:%llu", (unsigned long long)st.st_dev,
			 (unsigned long long)st.st_ino + (unsigned int)other);
		setenv("JOURNAL_STREAM", name, 1);
		stderr_to(s[1]);
		log_init(LOG_LEVEL_INFO, LOG_SINK_STDERR);
		log_warn("a line\nof one");
		dup2(real_stderr, STDERR_FILENO);
		n = read(s[0], line, sizeof(line) - 1);
		assert_true(n > 0);
		line[n] = '\0';
		assert_int_equal(strcmp(line, "<4>a line\\x0aof one\n") == 0, !other);
	}
	unsetenv("JOURNAL_STREAM");
	close(s[0]);
	close(s[1]);
}

enum { DONE, SKIP, FAIL };

/* In the child. */
static int syslog_child(void)
{
	const struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	char line[2048], tag[64];
	ssize_t n;
	int sock;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/dev", "tmpfs", 0, NULL) < 0)
		return SKIP;
	/* Nobody listens: no error, and nothing happens. */
	log_init(LOG_LEVEL_INFO, LOG_SINK_SYSLOG);
	log_warn("unheard");
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(sock, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return FAIL;
	log_init(LOG_LEVEL_INFO, LOG_SINK_SYSLOG);
	/* The jail takes the name away; the socket stays. */
	if (unlink("/dev/log") < 0)
		return FAIL;
	log_err("one\n%d", 2);
	n = recv(sock, line, sizeof(line) - 1, MSG_DONTWAIT);
	if (n <= 0)
		return FAIL;
	line[n] = '\0';
	snprintf(tag, sizeof(tag), " %s[%d]: one\\x0a2", program_invocation_short_name,
		 (int)getpid());
	/* facility daemon, priority err */
	if (strncmp(line, "<27>", 4) || !strstr(line, tag) || strlen(line) != (size_t)n)
		return FAIL;
	/* A system log that does not read is not waited for. */
	for (int i = 0; i < 5000; i++)
		log_err("%d", i);
	close(sock);
	log_err("gone");
	return DONE;
}

static void system_log(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(syslog_child());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == SKIP)
		skip();
	assert_int_equal(WEXITSTATUS(status), DONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(texts, teardown),
		cmocka_unit_test_teardown(long_lines, teardown),
		cmocka_unit_test_teardown(levels, teardown),
		cmocka_unit_test_teardown(errno_is_kept, teardown),
		cmocka_unit_test_teardown(full_pipe, teardown),
		cmocka_unit_test_teardown(broken_pipe, teardown),
		cmocka_unit_test_teardown(socket_stderr, teardown),
		cmocka_unit_test_teardown(floods, teardown),
		cmocka_unit_test_teardown(journal, teardown),
		cmocka_unit_test_teardown(system_log, teardown),
	};

	real_stderr = dup(STDERR_FILENO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
