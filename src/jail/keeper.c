// SPDX-License-Identifier: Apache-2.0
/* The process that stays outside. */
/*
 * Theory of operation
 *
 * The keeper is what the launcher started: it has the pid that is known, passes signals on to the
 * service, tells its exit status, and removes the socket's files, which the service cannot reach.
 * Neither outlives the other: the service asks to be killed with its parent, and looks at a pipe to
 * see whether that has gone already; the keeper waits for nothing else.
 *
 * It sees the host as the launcher does, so it keeps as little as it can to work on it: what removing
 * files and sending signals takes, and the system calls for that. It reads nothing that comes from the
 * guest or the front-end.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "caps.h"
#include "fd.h"
#include "keeper.h"
#include "log.h"
#include "resident.h"
#include "syscalls.h"
#include "userns.h"

int keeper_tie(int fd)
{
	struct pollfd pfd = {.fd = fd};

	/* It may have gone already. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return poll(&pfd, 1, 0) == 0 ? 0 : -EOWNERDEAD;
}

static void tell_end(int sig)
{
	log_err("the service was killed by signal %d (%s)", sig, strsignal(sig));
	if (sig == SIGSYS)
		log_err("it made a system call that is not in the list: the kernel's log has the "
			"number, --seccomp=trap tells it here, --seccomp=log lets it pass");
}

/*
 * Wait for the service, passing on what we are told meanwhile. Returns its exit status.
 * seccomp[keeper]: wait4, rt_sigtimedwait, kill, exit_group, restart_syscall, rt_sigreturn
 * seccomp[keeper]: write, poll, sendmsg, clock_gettime, close, futex, munmap
 * seccomp[keeper]: mmap 2&PROT_EXEC==0, madvise 2==MADV_DONTNEED
 */
static int keep(pid_t child)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	/* Hardly any of it is used from here on. */
	resident_trim();
	for (;;) {
		int status, sig;

		/* SIGCHLD is blocked since before the fork: it cannot come unseen. */
		if (waitpid(child, &status, WNOHANG) == child) {
			if (WIFEXITED(status))
				return WEXITSTATUS(status);
			if (WIFSIGNALED(status)) {
				tell_end(WTERMSIG(status));
				return 128 + WTERMSIG(status);
			}
		}
		sig = sigwaitinfo(&set, NULL);
		if (sig > 0 && sig != SIGCHLD)
			kill(child, sig);
	}
}

/* In the keeper: users and groups for the service, which waits for a byte on @go. */
static bool give_ids(const struct jail_conf *conf, pid_t child, int go)
{
	const char *what = "--uid-map";
	char err[200];
	int r = userns_write(child, false, conf->uids, conf->n_uids, err, sizeof(err));

	if (r == 0) {
		what = "--gid-map";
		r = userns_write(child, true, conf->gids, conf->n_gids, err, sizeof(err));
	}
	if (r < 0) {
		log_err("sandbox namespace: %s: %s", what, err);
		return false;
	}
	return write(go, "", 1) == 1;
}

/* In the service; without ids there is nothing to go on with, and the keeper has said why. */
static void wait_for_ids(int go)
{
	char byte;

	if (read(go, &byte, 1) != 1)
		_exit(1);
}

/* What the keeper does not need. The file of a pid belongs to whom the launcher is. */
static int restrict_keeper(const struct jail_conf *conf)
{
	const struct caps_mods few = {
		.add = UINT64_C(1) << CAP_KILL,
		.drop = ~(UINT64_C(1) << CAP_DAC_OVERRIDE | UINT64_C(1) << CAP_FOWNER |
			  UINT64_C(1) << CAP_KILL),
	};
	int r = caps_keep(caps_wanted(&few, false));

	if (r == 0)
		r = caps_no_new_privs();
	return r < 0 ? r : syscalls_enter_keeper(conf->seccomp);
}

/* The keeper's life. */
__attribute__((noreturn)) static void be_keeper(const struct jail_conf *conf, pid_t child, bool ok)
{
	int r, status = EXIT_FAILURE;

	if (conf->service_fd >= 0)
		close(conf->service_fd);
	/* Do not hold on to the mount that the launcher stood in. */
	if (chdir("/") < 0)
		log_debug("keeper: chdir: %s", strerror(errno));
	r = restrict_keeper(conf);
	if (r == 0)
		status = keep(child);
	else
		log_err("sandbox: keeper: %s", strerror(-r));
	if (!ok)
		status = EXIT_FAILURE;
	if (conf->cleanup)
		conf->cleanup(conf->cleanup_arg);
	/* The service dies with us, if it has not. */
	_exit(status);
}

int keeper_fork(const struct jail_conf *conf, bool mapped, int *ret_fd)
{
	int go[2] = {-1, -1}, alive[2];
	sigset_t set;
	pid_t child;

	/* An ignored SIGCHLD, inherited, would lose the exit status. */
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (pipe2(alive, O_CLOEXEC) < 0)
		return -errno;
	if (mapped && pipe2(go, O_CLOEXEC) < 0)
		return -errno;
	child = mapped ? userns_fork() : fork();
	if (child < 0)
		return mapped ? child : -errno;
	if (child) {
		bool ok = !mapped || give_ids(conf, child, go[1]);

		fd_close(&go[0]);
		fd_close(&go[1]);
		close(alive[0]);
		be_keeper(conf, child, ok);
	}
	close(alive[1]);
	fd_close(&go[1]);
	if (mapped)
		wait_for_ids(go[0]);
	fd_close(&go[0]);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	*ret_fd = alive[0];
	return keeper_tie(alive[0]);
}
