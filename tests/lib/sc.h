/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the system calls of another process, by their numbers. */
#ifndef CULVERT_SC_H
#define CULVERT_SC_H

#include <stdbool.h>
#include <sys/types.h>

struct sc;

/**
 * sc_new() - begin to count the calls of all threads of @pid, those to come included.
 *
 * Needs CAP_SYS_PTRACE. The process is slow from then on, and ends with the counter. Fails the test.
 */
struct sc *sc_new(pid_t pid);

/** sc_free() - the process has ended, or is about to. Accepts NULL. */
void sc_free(struct sc *sc);

/** sc_reset() - from 0 again. */
void sc_reset(struct sc *sc);

/** sc_count() - how often the call @nr (SYS_…) was entered; -1: all calls together. */
unsigned int sc_count(const struct sc *sc, int nr);

/** sc_wait() - wait until @nr was entered @n times. False: not in time. */
bool sc_wait(const struct sc *sc, int nr, unsigned int n);

/** sc_print() - all that was counted, for a test that fails. */
void sc_print(const struct sc *sc);

#endif
