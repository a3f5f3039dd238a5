// SPDX-License-Identifier: Apache-2.0
/* The system calls that are left, and what happens to others. */
/*
 * Theory of operation
 *
 * Each function that makes a system call after the sandbox is closed says so in a tag beside it;
 * gather.py makes the table below of them when the daemon is built. What the C library calls on its
 * own is tagged here. So a call that nobody makes any more is not allowed any more.
 *
 * Three things can happen to a call that is not in the list. Where a C library only tries whether the
 * kernel has it, it is answered with ENOSYS (brk(2) with 0, which means the same there): so a newer
 * library does not end the daemon. Calls that are newer than our knowledge are answered in the same
 * way: every program has to do without those. The rest is what --seccomp says.
 *
 * clone3(2) hides its flags from a filter. Without it the C library uses clone(2), of which only what
 * makes a thread is allowed.
 *
 * The kernel is asked to leave out the mitigation against reading one's own memory by speculation
 * (SSB) that a filter brought with it before Linux 5.16: nothing here runs code that others wrote.
 *
 * In a build with a sanitizer what is not in the list is logged, whatever was asked for.
 *
 * No state. The table is built on the stack, because some arguments are known only now.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "log.h"
#include "syscalls.h"
#include "util.h"

/*
 * Memory, threads and ends.
 * seccomp: madvise, munmap, mmap 2&PROT_EXEC==0, mprotect 2&PROT_EXEC==0
 * seccomp: clone 0&THREAD_MASK==THREAD_FLAGS, rseq, futex, exit, exit_group, restart_syscall
 * seccomp: rt_sigprocmask, rt_sigreturn, tgkill 0==getpid(), getpid, gettid
 * Where the vDSO has no clock to read.
 * seccomp: clock_gettime
 * What the C library uses where a machine, as arm64, has no epoll_wait(2) and poll(2).
 * seccomp[newer]: epoll_pwait, ppoll
 * The C library has another way to memory. It takes anything but a lower address for success, -ENOSYS as well.
 * seccomp[zero]: brk
 * What is tried, and done without.
 * seccomp[enosys]: clone3, set_robust_list, mremap, sched_getaffinity, getrandom, faccessat2
 * seccomp[enosys]: writev, futex_waitv, epoll_pwait2, io_uring_setup, membarrier, sysinfo
 */
#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
#define THREAD_MASK                                                                   \
	(THREAD_FLAGS | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | \
	 CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_PTRACE | CLONE_VFORK)

/* Numbers are the same on all machines since 424; these are newer than what was known here. */
#define UNKNOWN_FIRST 451
#define UNKNOWN_LAST  511

enum group {
	GROUP_SERVICE,
	GROUP_HANDLES,
	GROUP_NEWER,
	GROUP_ENOSYS,
	GROUP_ZERO,
	GROUP_KEEPER,
};

struct rule {
	enum group group;
	const char *name;
	int nr;
	const char *conditions;
	unsigned int n_args;
	struct scmp_arg_cmp args[4];
};

static bool sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	return true;
#endif
#endif
	return false;
}

static uint32_t scmp_action(enum seccomp_action action)
{
	switch (action) {
	case SECCOMP_NONE:
		break;
	case SECCOMP_LOG:
		return SCMP_ACT_LOG;
	case SECCOMP_TRAP:
		return SCMP_ACT_TRAP;
	case SECCOMP_KILL:
		return SCMP_ACT_KILL_PROCESS;
	}
	return SCMP_ACT_ALLOW;
}

/* What a row comes to; @otherwise: as if it were not there. */
static uint32_t row_action(enum group group, bool keeper, bool handles, uint32_t otherwise)
{
	switch (group) {
	case GROUP_KEEPER:
		return keeper ? SCMP_ACT_ALLOW : otherwise;
	case GROUP_ENOSYS:
		return SCMP_ACT_ERRNO(ENOSYS);
	case GROUP_ZERO:
		return SCMP_ACT_ERRNO(0);
	case GROUP_NEWER:
		return SCMP_SYS(epoll_wait) < 0 ? SCMP_ACT_ALLOW : otherwise;
	case GROUP_HANDLES:
		if (!keeper)
			return handles ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM);
		break;
	case GROUP_SERVICE:
		if (!keeper)
			return SCMP_ACT_ALLOW;
		break;
	}
	return otherwise;
}

/* Call @visit with every row, until it returns other than 0. */
static int each_rule(int (*visit)(const struct rule *rule, void *arg), void *arg)
{
	const struct rule rules[] = {
#include "syscalls_rules.h"
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		int r = visit(&rules[i], arg);

		if (r)
			return r;
	}
	return 0;
}

struct build {
	scmp_filter_ctx ctx;
	uint32_t otherwise;
	bool keeper;
	bool handles;
};

static int add(const struct rule *rule, void *arg)
{
	const struct build *b = arg;
	const uint32_t action = row_action(rule->group, b->keeper, b->handles, b->otherwise);
	int r;

	if (action == b->otherwise)
		return 0;
	r = seccomp_rule_add_array(b->ctx, action, rule->nr, rule->n_args, rule->args);
	/* A machine that has no such call. */
	return r == -EDOM ? 0 : r;
}

static int enter(enum seccomp_action action, bool keeper, bool handles)
{
	struct build b = {
		.otherwise = scmp_action(action),
		.keeper = keeper,
		.handles = handles,
	};
	int r;

	if (action == SECCOMP_NONE)
		return 0;
	/* A sanitizer looks for leaks, and tells what it has found, by calls that nobody else makes. */
	if (sanitized())
		b.otherwise = SCMP_ACT_LOG;
	b.ctx = seccomp_init(b.otherwise);
	if (!b.ctx)
		return -ENOMEM;
	r = seccomp_attr_set(b.ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* Not known to every kernel and library: to do without is no danger. */
	seccomp_attr_set(b.ctx, SCMP_FLTATR_CTL_SSB, 1);
	seccomp_attr_set(b.ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = each_rule(add, &b);
	for (int nr = UNKNOWN_FIRST; r == 0 && nr <= UNKNOWN_LAST; nr++)
		r = seccomp_rule_add(b.ctx, SCMP_ACT_ERRNO(ENOSYS), nr, 0);
	if (r == 0)
		r = seccomp_load(b.ctx);
	seccomp_release(b.ctx);
	return r;
}

/* Says what happened, and then lets it happen. */
static void on_trap(int sig, siginfo_t *info, void *context)
{
	(void)context;
	log_err("ending: system call %d is not in the list (--seccomp=trap)", info->si_syscall);
	/* To its default, by SA_RESETHAND. */
	raise(sig);
}

static void *nothing(void *arg)
{
	return arg;
}

/* With the first thread the C library sets up things for which it takes rt_sigaction(2). */
static int first_thread(void)
{
	pthread_t thread;
	int r = -pthread_create(&thread, NULL, nothing, NULL);

	return r < 0 ? r : -pthread_join(thread, NULL);
}

int syscalls_enter(enum seccomp_action action, bool handles)
{
	struct sigaction act = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_RESETHAND};
	int r;

	if (action == SECCOMP_TRAP && sigaction(SIGSYS, &act, NULL) < 0)
		return -errno;
	r = first_thread();
	return r < 0 ? r : enter(action, false, handles);
}

int syscalls_enter_keeper(enum seccomp_action action)
{
	return enter(action, true, false);
}

struct print {
	FILE *f;
	const char *last;
	enum group group;
	bool handles;
};

static int print(const struct rule *rule, void *arg)
{
	static const char *const heads[] = {
		[GROUP_SERVICE] = "allowed",
		[GROUP_HANDLES] = "allowed to open files by handle",
		[GROUP_NEWER] = "allowed on this machine",
		[GROUP_ENOSYS] = "answered with ENOSYS",
		[GROUP_ZERO] = "answered with 0",
		[GROUP_KEEPER] = "allowed in the keeper",
	};
	struct print *p = arg;

	if ((rule->group == GROUP_NEWER && SCMP_SYS(epoll_wait) >= 0) ||
	    (rule->group == GROUP_HANDLES && !p->handles))
		return 0;
	if (!p->last || p->group != rule->group) {
		fprintf(p->f, "%s  %s:", p->last ? "\n" : "", heads[rule->group]);
	} else if (strcmp(p->last, rule->name) == 0) {
		fprintf(p->f, " or (%s)", rule->conditions);
		return 0;
	}
	fprintf(p->f, " %s", rule->name);
	if (rule->n_args)
		fprintf(p->f, "(%s)", rule->conditions);
	p->last = rule->name;
	p->group = rule->group;
	return 0;
}

void syscalls_print(FILE *f, bool handles)
{
	struct print p = {.f = f, .handles = handles};

	each_rule(print, &p);
	fputc('\n', f);
}
