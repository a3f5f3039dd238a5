/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls that are left, and what happens to others. */
#ifndef CULVERT_SYSCALLS_H
#define CULVERT_SYSCALLS_H

#include <stdbool.h>
#include <stdio.h>

/* What a call that is not allowed comes to. */
enum seccomp_action {
	SECCOMP_NONE, /* there is no filter */
	SECCOMP_LOG,  /* it works, and the kernel's log has a line */
	SECCOMP_TRAP, /* SIGSYS: a line of our own, and the end */
	SECCOMP_KILL, /* the end */
};

/**
 * syscalls_enter() - allow what the service calls, for good.
 * @action:  for the rest, but for what answers ENOSYS.
 * @handles: it opens files by handle.
 *
 * Single-threaded process; sets no_new_privs. 0 or -errno.
 */
int syscalls_enter(enum seccomp_action action, bool handles);

/** syscalls_enter_keeper() - the same for the keeper, which waits, logs, and removes files. */
int syscalls_enter_keeper(enum seccomp_action action);

/** syscalls_print() - the lists, a line a call. */
void syscalls_print(FILE *f, bool handles);

#endif
