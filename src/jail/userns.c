// SPDX-License-Identifier: Apache-2.0
/* A user namespace in which other ids than the caller's own exist. */
/*
 * Theory of operation
 *
 * Which ids a namespace has is written once, from outside, by somebody who may use them there: the
 * parent of the process that was born in it. So the parent keeps its own ids, by which it removes the
 * socket at the end, and the child waits meanwhile.
 *
 * Without privileges newuidmap(1) and newgidmap(1) write for us. What they say goes into our own
 * error line. They are looked for in PATH, or where execvp(3) looks without one.
 *
 * The child stays who it was for as long as it works on mounts, which lie where that user gets to, and
 * becomes root of the namespace last.
 *
 * Single-threaded processes; no state.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "caps.h"
#include "fd.h"
#include "parse.h"
#include "userns.h"
#include "util.h"

#define TEXT_MAX 4096u /* what the kernel takes in one go */
#define ARGS_MAX 512u

int userns_parse(const char *spec, struct userns_map *ret)
{
	const char apart[] = {*spec, '\0'};
	uint32_t v[3];

	if (!apart[0] || (apart[0] >= '0' && apart[0] <= '9'))
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		char word[16];
		uint64_t n;
		size_t len;

		len = strcspn(++spec, apart);
		if (!spec[len] || len >= sizeof(word))
			return -EINVAL;
		memcpy(word, spec, len);
		word[len] = '\0';
		if (parse_u64(word, UINT32_MAX, &n) < 0)
			return -EINVAL;
		v[i] = (uint32_t)n;
		spec += len;
	}
	if (spec[1] || !v[2] || (uint64_t)v[0] + v[2] > UINT32_MAX ||
	    (uint64_t)v[1] + v[2] > UINT32_MAX)
		return -EINVAL;
	*ret = (struct userns_map){v[0], v[1], v[2]};
	return 0;
}

pid_t userns_fork(void)
{
	struct clone_args args = {.flags = CLONE_NEWUSER | CLONE_NEWPID, .exit_signal = SIGCHLD};
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	return pid < 0 ? -errno : (pid_t)pid;
}

/* Directly. */
static int write_map(pid_t pid, bool gids, const char *text, size_t len)
{
	char path[40];
	scoped_fd int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, gids ? "gid_map" : "uid_map");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, text, len) < 0 ? -errno : 0;
}

/* The child of call_helper(). */
static void run_helper(char *const *argv, int fd)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(fd, STDERR_FILENO) < 0)
		_exit(126);
	execvp(argv[0], argv);
	if (errno == ENOENT)
		dprintf(STDERR_FILENO, "not found (package uidmap)");
	else
		dprintf(STDERR_FILENO, "%s", strerror(errno));
	_exit(127);
}

/* Run newuidmap or newgidmap; the first line that it writes, if it fails, goes to @err. */
static int call_helper(char *const *argv, char *err, size_t size)
{
	char said[160] = "";
	int fds[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		run_helper(argv, fds[1]);
	close(fds[1]);
	while (len < sizeof(said) - 1 && (n = read(fds[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	close(fds[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -EIO;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	said[strcspn(said, "\n")] = '\0';
	n = (ssize_t)strlen(argv[0]);
	/* It begins with its own name, mostly. */
	snprintf(err, size, "%s: %s", argv[0],
		 strncmp(said, argv[0], (size_t)n) == 0 && said[n] == ':'
			 ? said + n + 1 + (said[n + 1] == ' ')
			 : said);
	return -EPERM;
}

static int write_by_helper(pid_t pid, bool gids, char *text, char *err, size_t size)
{
	char uidmap[] = "newuidmap", gidmap[] = "newgidmap", number[16], *save = NULL;
	char *argv[ARGS_MAX] = {gids ? gidmap : uidmap};
	size_t n = 1;

	snprintf(number, sizeof(number), "%d", (int)pid);
	argv[n++] = number;
	for (char *word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		if (n + 1 == ARGS_MAX)
			return -E2BIG;
		argv[n++] = word;
	}
	return call_helper(argv, err, size);
}

int userns_write(pid_t pid, bool gids, const struct userns_map *maps, size_t n, char *err,
		 size_t size)
{
	const struct userns_map own = {0, gids ? getegid() : geteuid(), 1};
	char text[TEXT_MAX];
	size_t len = 0;
	int r;

	if (n == 0) {
		maps = &own;
		n = 1;
	}
	for (size_t i = 0; i < n && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%u %u %u\n",
					maps[i].inside, maps[i].outside, maps[i].count);
	if (len >= sizeof(text)) {
		r = -E2BIG;
	} else if (caps_has(CAP_SETUID) && caps_has(CAP_SETGID)) {
		r = write_map(pid, gids, text, len);
	} else {
		r = write_by_helper(pid, gids, text, err, size);
		if (r == -EPERM)
			return r;
	}
	if (r < 0)
		snprintf(err, size, "%s", strerror(-r));
	return r;
}

int userns_become_root(void)
{
	/* EINVAL: there is no 0 in here; then it stays who it is. */
	if (setresgid(0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	if (setresuid(0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	return 0;
}
