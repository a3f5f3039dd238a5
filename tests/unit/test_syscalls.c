// SPDX-License-Identifier: Apache-2.0
/* Tests of the system call filter from within: what the C library does by itself, and to let go of pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those before it. */
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "resident.h"
#include "syscalls.h"
#include "util.h"

#define PIECE (60u << 10) /* less than what the C library maps by itself */

/*
 * In a process behind the filter: have the C library shrink its heap, then take more memory than
 * there was. Exits with 0.
 */
__attribute__((noreturn)) static void use_memory(bool keeper)
{
	uint8_t *before[8], *after[64];

	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		before[i] = malloc(PIECE);
		if (!before[i])
			_exit(2);
		memset(before[i], 1, PIECE);
	}
	if ((keeper ? syscalls_enter_keeper(SECCOMP_KILL) : syscalls_enter(SECCOMP_KILL, false)) <
	    0)
		_exit(3);
	for (size_t i = ARRAY_SIZE(before); i > 0; i--)
		free(before[i - 1]);
	resident_trim();
	for (size_t i = 0; i < ARRAY_SIZE(after); i++) {
		after[i] = malloc(PIECE);
		if (!after[i])
			_exit(4);
		memset(after[i], (int)i, PIECE);
	}
	for (size_t i = 0; i < ARRAY_SIZE(after); i++) {
		if (after[i][0] != i || after[i][PIECE - 1] != i)
			_exit(5);
		free(after[i]);
	}
	_exit(0);
}

static void heap(bool keeper)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		use_memory(keeper);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void service_heap(void **state)
{
	(void)state;
	heap(false);
}

static void keeper_heap(void **state)
{
	(void)state;
	heap(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(service_heap),
		cmocka_unit_test(keeper_heap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
