// SPDX-License-Identifier: Apache-2.0
// Preloaded into User-Mode Linux, for CPUs whose extended state is larger than it knows.
//
// Theory of operation: User-Mode Linux before 6.13 keeps the extended state of its processes in a buffer of a fixed
// size, which is too small for a CPU with AMX. To read the first part of a state is allowed; to write one, ptrace(2)
// takes a whole state and nothing else (Linux arch/x86/kernel/fpu/regset.c, xstateregs_set), and User-Mode Linux dies
// of EFAULT with its first process. So each write of a part becomes the write of a whole: what the process has now,
// with that part in its place. One thread; whether writes of parts fail here is found out by the first.

#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

// More than any CPU has: AMX makes it 11,008 bytes.
#define STATE_MAX 65536

long ptrace(enum __ptrace_request request, ...)
{
	static char state[STATE_MAX];
	static bool in_parts;
	struct iovec whole = {state, sizeof(state)};
	const struct iovec *part;
	void *addr, *data;
	va_list ap;
	pid_t pid;

	va_start(ap, request);
	pid = va_arg(ap, pid_t);
	addr = va_arg(ap, void *);
	data = va_arg(ap, void *);
	va_end(ap);

	if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA ||
	    request == PTRACE_PEEKUSER) {
		long word, status = syscall(SYS_ptrace, request, pid, addr, &word);

		// What was read may be any value, so a caller looks at errno.
		if (status < 0)
			return status;
		errno = 0;
		return word;
	}
	part = data;
	if (request == PTRACE_SETREGSET && addr == (void *)(unsigned long)NT_X86_XSTATE) {
		if (!in_parts) {
			long status = syscall(SYS_ptrace, request, pid, addr, data);

			if (status >= 0 || errno != EFAULT)
				return status;
			in_parts = true;
		}
		if (!syscall(SYS_ptrace, PTRACE_GETREGSET, pid, addr, &whole) &&
		    part->iov_len < whole.iov_len) {
			memcpy(state, part->iov_base, part->iov_len);
			data = &whole;
		}
	}
	return syscall(SYS_ptrace, request, pid, addr, data);
}
