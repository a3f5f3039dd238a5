// SPDX-License-Identifier: Apache-2.0
/* Counts the system calls of another process, by their numbers. */
/*
 * Theory of operation
 *
 * A thread of ours is the tracer of all threads of the other process (ptrace(2)): it seizes those that are
 * there, is told of new ones, and lets each go on from one system call to the next, counting the entries.
 * Only the thread that has seized one may do that, so it never leaves its loop before the process has ended.
 * It waits for its own tracees alone (__WNOTHREAD), so the test's other children are not taken from it.
 *
 * The counts are atomic and grow: a reset remembers where they stood.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fx.h"
#include "sc.h"
#include "util.h"

#define CALLS_MAX 1024u
#define OPTIONS   (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL)

/**
 * struct sc - see above.
 * @pid:    constant.
 * @thread: the tracer.
 * @ready:  1 when all threads are seized, -1 when that failed.
 * @calls:  by number. The last one stands for all that are beyond.
 * @from:   what @calls was at the last reset.
 */
struct sc {
	pid_t pid;
	pthread_t thread;
	_Atomic int ready;
	_Atomic unsigned int calls[CALLS_MAX];
	unsigned int from[CALLS_MAX];
};

static int seize_all(pid_t pid)
{
	char path[64];
	struct dirent *de;
	DIR *dir;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return -1;
	while (r == 0 && (de = readdir(dir))) {
		pid_t tid = atoi(de->d_name);

		if (tid && ptrace(PTRACE_SEIZE, tid, 0, OPTIONS) < 0)
			r = -1;
		/* It stops, and goes on to its next system call. */
		if (tid && r == 0 && ptrace(PTRACE_INTERRUPT, tid, 0, 0) < 0)
			r = -1;
	}
	closedir(dir);
	return r;
}

static void count(struct sc *sc, pid_t tid)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return;
	atomic_fetch_add(&sc->calls[MIN(info.entry.nr, (uint64_t)CALLS_MAX - 1)], 1);
}

static void *tracer(void *arg)
{
	struct sc *sc = arg;
	int status;
	pid_t tid;

	atomic_store(&sc->ready, seize_all(sc->pid) == 0 ? 1 : -1);
	while ((tid = waitpid(-1, &status, __WALL | __WNOTHREAD)) > 0 || errno == EINTR) {
		int sig = 0;

		if (tid <= 0 || !WIFSTOPPED(status))
			continue;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			count(sc, tid);
		else if (status >> 16 == 0)
			sig = WSTOPSIG(status);
		ptrace(PTRACE_SYSCALL, tid, 0, sig);
	}
	return NULL;
}

struct sc *sc_new(pid_t pid)
{
	struct sc *sc = calloc(1, sizeof(*sc));

	assert_non_null(sc);
	sc->pid = pid;
	assert_int_equal(pthread_create(&sc->thread, NULL, tracer, sc), 0);
	while (atomic_load(&sc->ready) == 0)
		usleep(1000);
	assert_int_equal(atomic_load(&sc->ready), 1);
	return sc;
}

void sc_free(struct sc *sc)
{
	if (!sc)
		return;
	pthread_join(sc->thread, NULL);
	free(sc);
}

void sc_reset(struct sc *sc)
{
	for (unsigned int i = 0; i < CALLS_MAX; i++)
		sc->from[i] = atomic_load(&sc->calls[i]);
}

unsigned int sc_count(const struct sc *sc, int nr)
{
	unsigned int n = 0;

	if (nr >= 0)
		return atomic_load(&sc->calls[nr]) - sc->from[nr];
	for (unsigned int i = 0; i < CALLS_MAX; i++)
		n += atomic_load(&sc->calls[i]) - sc->from[i];
	return n;
}

bool sc_wait(const struct sc *sc, int nr, unsigned int n)
{
	for (int ms = 0; ms < FX_WAIT_MS; ms++) {
		if (sc_count(sc, nr) >= n)
			return true;
		usleep(1000);
	}
	return false;
}

void sc_print(const struct sc *sc)
{
	for (unsigned int i = 0; i < CALLS_MAX; i++)
		if (sc_count(sc, (int)i))
			print_message("system call %u: %u\n", i, sc_count(sc, (int)i));
}
