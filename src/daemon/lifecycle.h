/* SPDX-License-Identifier: Apache-2.0 */
/* From the first connection to the end: accept, serve, disconnect, signals. */
#ifndef CULVERT_LIFECYCLE_H
#define CULVERT_LIFECYCLE_H

#include <signal.h>

struct listener;
struct options;
struct pt;

/**
 * lifecycle_block_signals() - from now on SIGTERM, SIGINT, SIGHUP and SIGALRM wait to be asked for;
 * SIGPIPE is ignored. Before the sandbox, which relies on it, and before any thread.
 */
void lifecycle_block_signals(void);

/**
 * lifecycle_serve() - wait for a front-end and serve it until it goes or a signal comes; with
 * @o->relisten the next one after it.
 * @o:  what to serve.
 * @l:  where they come from. Closed once one is there, unless there may be another.
 * @pt: the backend; stays the caller's.
 *
 * The only thread that calls it becomes the control thread. Returns the exit status: 0, or 1 when
 * it could not begin to serve. Where requests are stuck in the host, it does not return but exits
 * (0; 1 when it should have gone on with another front-end).
 */
int lifecycle_serve(const struct options *o, struct listener *l, struct pt *pt);

#endif
