// SPDX-License-Identifier: Apache-2.0
/* The sandbox: its stages, in order, and the keeper that stays outside. */
/*
 * Theory of operation
 *
 * The process is single-threaded here. The table below is the order of things; a stage that fails
 * ends the program. What each should do, and what it must not:
 *
 * user namespace   Only without CAP_SYS_ADMIN: makes the caller root of a world of one user, so
 *                  that the later stages work. Must not be used by a real root: it would lose all
 *                  other users.
 * pid namespace    The service sees no other process. Must come before the fork.
 *                  With ids that were asked for, it is made by the fork instead.
 * fork             The keeper stays outside: it owns the pid that was started, the socket's file
 *                  and its pid file. It must not outlive the service, nor the service it.
 * namespaces       Mounts and network of our own: no address to talk to, no mount to disturb.
 * propagation      Later host mounts below the share must show; ours must not reach the host.
 * proc             A descriptor of /proc/self/fd, to reopen O_PATH descriptors by. Must be of the
 *                  new pid namespace, and must not lead to the rest of proc.
 * pivot            The share is the root. Nothing of the old root may stay reachable: no mount, no
 *                  working directory. Descriptors that pass through are the caller's care.
 * chroot           As much of that as there is without a mount namespace.
 * read-only        When asked for. It holds for all that is mounted below the share now; later
 *                  mounts are refused writes by the backend.
 * root             A descriptor of the share as it is seen from inside.
 * root of the ns   With ids that were asked for: become 0 in there. After the mounts, which may lie
 *                  where only the user that was started gets to.
 * capabilities     Only what caps.c lists is left; must come after everything that needs
 *                  CAP_SYS_ADMIN.
 * no new privs     An execve(2) would gain nothing.
 *
 * With JAIL_NONE only /proc/self/fd and the share are opened.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
#include "jail.h"
#include "log.h"
#include "mounts.h"
#include "util.h"

/* What the stages work on; lives on jail_enter()'s stack. */
struct state {
	const struct jail_conf *conf;
	struct jail *jail;
	char dir[PATH_MAX];
	int keeper_fd; /* in the service: end of a pipe whose other end lives as long as the keeper */
};

static int stage_resolve(struct state *s)
{
	return realpath(s->conf->shared_dir, s->dir) ? 0 : -errno;
}

/* A user namespace with the ids that were asked for. */
static bool mapped(const struct state *s)
{
	return s->conf->kind == JAIL_NAMESPACE && (s->conf->n_uids || s->conf->n_gids);
}

static int stage_user_ns(struct state *s)
{
	if (mapped(s))
		return 0;
	return caps_has(CAP_SYS_ADMIN) ? 0 : mounts_user_ns();
}

static int stage_pid_ns(struct state *s)
{
	return mapped(s) ? 0 : mounts_pid_ns();
}

/* Have this process killed when the keeper goes; it may have gone already. */
static int tie_to_keeper(int keeper_fd)
{
	struct pollfd pfd = {.fd = keeper_fd};

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return poll(&pfd, 1, 0) == 0 ? 0 : -EOWNERDEAD;
}

/* Wait for the service, passing on what we are told meanwhile. Returns its exit status. */
static int keep(pid_t child)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	for (;;) {
		int status, sig;

		/* SIGCHLD is blocked since before the fork: it cannot come unseen. */
		if (waitpid(child, &status, WNOHANG) == child) {
			if (WIFEXITED(status))
				return WEXITSTATUS(status);
			if (WIFSIGNALED(status)) {
				log_err("the service was killed by signal %d (%s)",
					WTERMSIG(status), strsignal(WTERMSIG(status)));
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

static int stage_fork(struct state *s)
{
	int go[2] = {-1, -1};
	const struct jail_conf *conf = s->conf;
	int alive[2];
	sigset_t set;
	pid_t child;

	if (conf->kind == JAIL_CHROOT && !conf->cleanup)
		return 0;
	/* An ignored SIGCHLD, inherited, would lose the exit status. */
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (pipe2(alive, O_CLOEXEC) < 0)
		return -errno;
	if (mapped(s)) {
		if (pipe2(go, O_CLOEXEC) < 0)
			return -errno;
		child = userns_fork();
	} else {
		child = fork();
	}
	if (child < 0)
		return mapped(s) ? child : -errno;
	if (child) {
		bool ok = !mapped(s) || give_ids(conf, child, go[1]);
		int status;

		fd_close(&go[0]);
		fd_close(&go[1]);

		close(alive[0]);
		if (conf->service_fd >= 0)
			close(conf->service_fd);
		/* Do not hold on to the mount that the launcher stood in. */
		if (chdir("/") < 0)
			log_debug("keeper: chdir: %s", strerror(errno));
		status = keep(child);
		if (!ok)
			status = EXIT_FAILURE;
		if (conf->cleanup)
			conf->cleanup(conf->cleanup_arg);
		_exit(status);
	}
	close(alive[1]);
	fd_close(&go[1]);
	if (mapped(s))
		wait_for_ids(go[0]);
	fd_close(&go[0]);
	s->keeper_fd = alive[0];
	s->jail->kept = true;
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	return tie_to_keeper(s->keeper_fd);
}

static int stage_unshare(struct state *s)
{
	(void)s;
	return mounts_unshare();
}

static int stage_slave(struct state *s)
{
	(void)s;
	return mounts_slave();
}

static int stage_proc(struct state *s)
{
	return mounts_proc_fd(&s->jail->proc_fd_fd);
}

static int stage_open_proc(struct state *s)
{
	s->jail->proc_fd_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return s->jail->proc_fd_fd < 0 ? -errno : 0;
}

static int stage_pivot(struct state *s)
{
	return mounts_pivot(s->dir);
}

static int stage_chroot(struct state *s)
{
	return mounts_chroot(s->dir);
}

static int stage_readonly(struct state *s)
{
	return s->conf->readonly ? mounts_readonly() : 0;
}

static int stage_root(struct state *s)
{
	const char *root = s->conf->kind == JAIL_NONE ? s->dir : "/";

	s->jail->root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return s->jail->root_fd < 0 ? -errno : 0;
}

static int stage_ids(struct state *s)
{
	return mapped(s) ? userns_become_root() : 0;
}

static int stage_caps(struct state *s)
{
	return caps_drop(s->conf->open_handles);
}

static int stage_no_new_privs(struct state *s)
{
	(void)s;
	return caps_no_new_privs();
}

/* A change of credentials forgets the signal that was asked for: ask again at the end. */
static int stage_tie(struct state *s)
{
	int r = s->jail->kept ? tie_to_keeper(s->keeper_fd) : 0;

	fd_close(&s->keeper_fd);
	return r;
}

#define NS   (1u << JAIL_NAMESPACE)
#define ROOT (1u << JAIL_CHROOT)
#define NONE (1u << JAIL_NONE)

static const struct stage {
	const char *name;
	unsigned int kinds;
	int (*run)(struct state *s);
} stages[] = {
	{"shared directory", NS | ROOT | NONE, stage_resolve},
	{"user namespace", NS, stage_user_ns},
	{"pid namespace", NS, stage_pid_ns},
	{"fork", NS | ROOT, stage_fork},
	{"mount and network namespaces", NS, stage_unshare},
	{"mount propagation", NS, stage_slave},
	{"mounting proc", NS, stage_proc},
	{"opening /proc/self/fd", ROOT | NONE, stage_open_proc},
	{"pivot_root", NS, stage_pivot},
	{"chroot", ROOT, stage_chroot},
	{"read-only mount", NS, stage_readonly},
	{"opening the share", NS | ROOT | NONE, stage_root},
	{"root of the user namespace", NS, stage_ids},
	{"capabilities", NS | ROOT, stage_caps},
	{"no_new_privs", NS | ROOT, stage_no_new_privs},
	{"keeper", NS | ROOT, stage_tie},
};

void jail_enter(const struct jail_conf *conf, struct jail *ret)
{
	static const char *const kinds[] = {"namespace", "chroot", "none"};
	struct jail jail = {.root_fd = -1, .proc_fd_fd = -1};
	struct state s = {.conf = conf, .jail = &jail, .keeper_fd = -1};

	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		int r;

		if (!(stages[i].kinds & (1u << conf->kind)))
			continue;
		r = stages[i].run(&s);
		if (r == 0)
			continue;
		log_err("sandbox %s: %s: %s", kinds[conf->kind], stages[i].name, strerror(-r));
		/* After the fork the keeper cleans up. */
		if (!jail.kept && conf->cleanup)
			conf->cleanup(conf->cleanup_arg);
		_exit(1);
	}
	*ret = jail;
}
