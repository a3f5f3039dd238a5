// SPDX-License-Identifier: Apache-2.0
/* The sandbox: its stages, in order. */
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
 * namespaces       Mounts, network, IPC, host name and control groups of our own: no address to talk to,
 *                  no mount to disturb, no shared memory of others.
 * propagation      Later host mounts below the share must show; ours must not reach the host.
 * proc             A descriptor of /proc/self/fd, to reopen O_PATH descriptors by. Must be of the
 *                  new pid namespace, and must not lead to the rest of proc. Where there is no mount
 *                  namespace, it is detached from the tree if the kernel lets us; if not, whoever takes
 *                  over the service walks from it to the surroundings' proc, and a line says so.
 * pivot            The share is the root. Nothing of the old root may stay reachable: no mount, no
 *                  working directory. Descriptors that pass through are the caller's care.
 * chroot           As much of that as there is without a mount namespace.
 * mount flags      No devices, no set-id, no execution; read-only when asked for. It holds for all that
 *                  is mounted below the share now. Must not change what the guest stores. Later
 *                  mounts keep the host's flags; the backend opens no devices and refuses writes itself.
 * root             A descriptor of the share as it is seen from inside.
 * root of the ns   With ids that were asked for: become 0 in there. After the mounts, which may lie
 *                  where only the user that was started gets to.
 * capabilities     Only what caps.c lists and --modcaps adds is left; must come after everything that
 *                  needs CAP_SYS_ADMIN.
 * no new privs     An execve(2) would gain nothing; filter and Landlock need it.
 * memory           No core file has the guest's data in it, and no other process of the same user reads
 *                  our memory. Must come after the ids of a user namespace are written.
 * Landlock         Nothing but the share is opened, made or removed, whatever descriptor there is to
 *                  begin at. Not where files are opened by handles: see landlock.c.
 * keeper           A change of credentials has undone the tie to it: once more.
 *
 * Then the caller makes its backend, and jail_seal() closes the last door:
 *
 * seccomp          Only the system calls that serving takes. It is left for the end because setting up
 *                  takes others; no guest and no front-end has been heard by then.
 *
 * With JAIL_NONE only /proc/self/fd and the share are opened, --modcaps is applied, and the filter set.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "caps.h"
#include "fd.h"
#include "jail.h"
#include "keeper.h"
#include "landlock.h"
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

static const char *const kinds[] = {
	[JAIL_NAMESPACE] = "namespace",
	[JAIL_CHROOT] = "chroot",
	[JAIL_NONE] = "none",
	[JAIL_LANDLOCK] = "landlock",
};

/* ---- what the options come to ---- */

/* A user namespace with the ids that were asked for. */
static bool mapped(const struct jail_conf *conf)
{
	return conf->kind == JAIL_NAMESPACE && (conf->n_uids || conf->n_gids);
}

static uint64_t wanted_caps(const struct jail_conf *conf)
{
	struct caps_mods mods = conf->modcaps;

	if (conf->open_handles)
		mods.add |= UINT64_C(1) << CAP_DAC_READ_SEARCH;
	return caps_wanted(&mods, conf->kind == JAIL_NONE);
}

/* Whether files can be opened by their handles. */
static bool handles(const struct jail_conf *conf)
{
	return wanted_caps(conf) & UINT64_C(1) << CAP_DAC_READ_SEARCH;
}

/* ---- the stages ---- */

static int stage_resolve(struct state *s)
{
	return realpath(s->conf->shared_dir, s->dir) ? 0 : -errno;
}

static int stage_user_ns(struct state *s)
{
	if (mapped(s->conf))
		return 0;
	return caps_has(CAP_SYS_ADMIN) ? 0 : mounts_user_ns();
}

static int stage_pid_ns(struct state *s)
{
	return mapped(s->conf) ? 0 : mounts_pid_ns();
}

static int stage_fork(struct state *s)
{
	int r;

	if (s->conf->kind != JAIL_NAMESPACE && !s->conf->cleanup)
		return 0;
	r = keeper_fork(s->conf, mapped(s->conf), &s->keeper_fd);
	s->jail->kept = s->keeper_fd >= 0;
	return r;
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
	int r = mounts_proc_detached(&s->jail->proc_fd_fd);

	if (r == 0)
		return 0;
	if (s->conf->kind == JAIL_CHROOT)
		log_warn("sandbox chroot: the surroundings' /proc can be reached from inside: %s",
			 strerror(-r));
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

static int stage_flags(struct state *s)
{
	int r = mounts_restrict(s->conf->readonly);

	if (r > 0)
		log_info("sandbox namespace: mount_setattr(2) is missing (Linux 5.12): nodev, "
			 "nosuid, "
			 "noexec%s hold for the share, not for what is mounted below it",
			 s->conf->readonly ? ", ro" : "");
	return MIN(r, 0);
}

static int stage_root(struct state *s)
{
	const bool inside = s->conf->kind == JAIL_NAMESPACE || s->conf->kind == JAIL_CHROOT;

	s->jail->root_fd = open(inside ? "/" : s->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return s->jail->root_fd < 0 ? -errno : 0;
}

static int stage_ids(struct state *s)
{
	return mapped(s->conf) ? userns_become_root() : 0;
}

static int stage_caps(struct state *s)
{
	const struct caps_mods *mods = &s->conf->modcaps;

	if (s->conf->kind == JAIL_NONE && !mods->add && !mods->drop)
		return 0;
	return caps_keep(wanted_caps(s->conf));
}

static int stage_no_new_privs(struct state *s)
{
	(void)s;
	return caps_no_new_privs();
}

static int stage_memory(struct state *s)
{
	const struct rlimit none = {0};

	(void)s;
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

static int stage_landlock(struct state *s)
{
	int r = handles(s->conf) ? -EOPNOTSUPP : landlock_enter(s->jail->root_fd);

	if (r == -EOPNOTSUPP && s->conf->kind != JAIL_LANDLOCK) {
		log_debug("sandbox %s: without Landlock", kinds[s->conf->kind]);
		return 0;
	}
	if (r == -EOPNOTSUPP)
		log_err("sandbox landlock: %s",
			handles(s->conf) ? "files cannot be opened by handles in it"
					 : "this kernel has no Landlock, or one before Linux 5.19");
	return r;
}

/* A change of credentials forgets the signal that was asked for: ask again at the end. */
static int stage_tie(struct state *s)
{
	int r = s->jail->kept ? keeper_tie(s->keeper_fd) : 0;

	fd_close(&s->keeper_fd);
	return r;
}

#define NS   (1u << JAIL_NAMESPACE)
#define ROOT (1u << JAIL_CHROOT)
#define NONE (1u << JAIL_NONE)
#define LOCK (1u << JAIL_LANDLOCK)
#define ALL  (NS | ROOT | NONE | LOCK)

static const struct stage {
	const char *name;
	unsigned int kinds;
	int (*run)(struct state *s);
} stages[] = {
	{"shared directory", ALL, stage_resolve},
	{"user namespace", NS, stage_user_ns},
	{"pid namespace", NS, stage_pid_ns},
	{"fork", NS | ROOT | LOCK, stage_fork},
	{"namespaces", NS, stage_unshare},
	{"mount propagation", NS, stage_slave},
	{"mounting proc", NS, stage_proc},
	{"opening /proc/self/fd", ROOT | NONE | LOCK, stage_open_proc},
	{"pivot_root", NS, stage_pivot},
	{"chroot", ROOT, stage_chroot},
	{"mount flags", NS, stage_flags},
	{"opening the share", ALL, stage_root},
	{"root of the user namespace", NS, stage_ids},
	{"capabilities", ALL, stage_caps},
	{"no_new_privs", NS | ROOT | LOCK, stage_no_new_privs},
	{"memory", NS | ROOT | LOCK, stage_memory},
	{"Landlock", NS | ROOT | LOCK, stage_landlock},
	{"keeper", NS | ROOT | LOCK, stage_tie},
};

void jail_enter(const struct jail_conf *conf, struct jail *ret)
{
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

int jail_seal(const struct jail_conf *conf)
{
	int r;

	/* It would be missed later, in the middle of things. */
	if (syscall(SYS_statx, -1, "", 0, 0, NULL) < 0 && errno == ENOSYS) {
		log_err("sandbox: statx(2) is missing (Linux 4.11)");
		return -ENOSYS;
	}
	r = syscalls_enter(conf->seccomp, handles(conf) && caps_has(CAP_DAC_READ_SEARCH));
	if (r < 0)
		log_err("sandbox %s: seccomp: %s", kinds[conf->kind], strerror(-r));
	return r;
}

/* ---- --show-jail ---- */

static const char *if_mapped(const struct jail_conf *conf)
{
	if (mapped(conf))
		return "yes: the ids of --uid-map and --gid-map";
	return caps_has(CAP_SYS_ADMIN) ? "no: it would lose the other users"
				       : "yes: of this user alone, who has no CAP_SYS_ADMIN";
}

static const char *if_landlock(const struct jail_conf *conf)
{
	if (handles(conf))
		return "no: files are opened by handles";
	return landlock_abi() < LANDLOCK_ABI_MIN ? "no: this kernel has none that does"
						 : "yes: the share only";
}

void jail_show(const struct jail_conf *conf, FILE *f)
{
	static const char *const actions[] = {
		[SECCOMP_NONE] = "none",
		[SECCOMP_LOG] = "log",
		[SECCOMP_TRAP] = "trap",
		[SECCOMP_KILL] = "kill",
	};
	const unsigned int kind = 1u << conf->kind;
	fprintf(f, "sandbox: %s\n", kinds[conf->kind]);
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		const char *how = "yes";

		if (stages[i].run == stage_user_ns)
			how = if_mapped(conf);
		else if (stages[i].run == stage_landlock)
			how = if_landlock(conf);
		else if (stages[i].run == stage_flags)
			how = conf->readonly ? "nodev, nosuid, noexec, ro"
					     : "nodev, nosuid, noexec";
		else if (stages[i].run == stage_unshare)
			how = "mount, network, ipc, uts, cgroup";
		fprintf(f, "%s: %s\n", stages[i].name, stages[i].kinds & kind ? how : "no");
	}
	fputs("capabilities kept, where there are any:", f);
	caps_print(f, wanted_caps(conf));
	fprintf(f, "\nseccomp: %s\n", actions[conf->seccomp]);
	if (conf->seccomp != SECCOMP_NONE)
		syscalls_print(f, handles(conf));
}
