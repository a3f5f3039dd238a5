// SPDX-License-Identifier: Apache-2.0
/* Run a program on a kernel that lacks some system calls. */
/*
 * usage: deny-syscall NAME[=ERRNO][,...] PROGRAM [ARG...]
 *
 * Each system call that is named fails with ENOSYS (or the number that is given) for the program and all
 * that it starts, as on a kernel that is older or built without it.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int die(const char *what, int error)
{
	fprintf(stderr, "deny-syscall: %s: %s\n", what, strerror(error));
	return 126;
}

int main(int argc, char **argv)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	char *save = NULL;
	int r;

	if (argc < 3 || !ctx) {
		fputs("usage: deny-syscall NAME[=ERRNO][,...] PROGRAM [ARG...]\n", stderr);
		return 126;
	}
	for (char *name = strtok_r(argv[1], ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		char *value = strchr(name, '=');
		int nr, error = ENOSYS;

		if (value) {
			*value++ = '\0';
			error = atoi(value);
		}
		nr = seccomp_syscall_resolve_name(name);
		if (nr == __NR_SCMP_ERROR)
			return die(name, EINVAL);
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint16_t)error), nr, 0);
		if (r < 0)
			return die(name, -r);
	}
	r = seccomp_load(ctx);
	if (r < 0)
		return die("seccomp", -r);
	seccomp_release(ctx);
	execv(argv[2], argv + 2);
	return die(argv[2], errno);
}
