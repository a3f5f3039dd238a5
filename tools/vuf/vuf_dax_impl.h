/* SPDX-License-Identifier: Apache-2.0 */
/* What the files about the DAX window share. */
#ifndef CULVERT_VUF_DAX_IMPL_H
#define CULVERT_VUF_DAX_IMPL_H

#include <pthread.h>

#include "vuf.h"
#include "vuf_dax.h"

/**
 * struct vuf_dax_map - a mapping.
 * @at, @len, @fd_offset, @write: as it was asked for.
 * @fd: its file, where it is a region of guest memory; else -1.
 */
struct vuf_dax_map {
	uint64_t at;
	uint64_t len;
	uint64_t fd_offset;
	bool write;
	int fd;
};

/**
 * struct vuf_dax - the window of a front-end.
 * @v, @rules: constant.
 * @size:    bytes of the window, reserved at VUF_DAX_GPA. Changed while no thread runs.
 * @sock:    our end of the channel. The thread's while it runs.
 * @wake_fd: an eventfd that ends the thread's sleep; constant.
 * @thread, @running: of the message thread.
 * @lock:    guards the rest; taken inside of vuf.lock, a leaf.
 * @changed: signalled at each change.
 * @ending:  the thread is to end.
 * @map, @nmaps, @cap: the mappings, in no order.
 * @gone, @ngone, @gone_cap: mappings that a reset took without the back end's asking: an UNMAP of one
 *           fails, but is no mistake.
 * @mood, @late_ms: how to serve.
 * @stats:   so far.
 * @wrong:   what was forbidden, a line each; the first ones.
 */
struct vuf_dax {
	struct vuf *v;
	const struct vuf_rules *rules;
	uint64_t size;
	int sock;
	int wake_fd;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ending;
	struct vuf_dax_map *map;
	size_t nmaps;
	size_t cap;
	struct vuf_dax_map *gone;
	size_t ngone;
	size_t gone_cap;
	enum vuf_dax_mood mood;
	int late_ms;
	struct vuf_dax_stats stats;
	char wrong[1024];
};

/** vuf_dax_serve() - the thread: serve the channel until the end of either side. @arg: struct vuf_dax. */
void *vuf_dax_serve(void *arg);

/** vuf_dax_forbidden() - note a mistake of the back end's. */
void vuf_dax_forbidden(struct vuf_dax *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * vuf_dax_check() - hold a MAP or UNMAP against the rules.
 *
 * Returns 0: it may be done; else it is to fail.
 */
int vuf_dax_check(struct vuf_dax *d, const struct vu_msg *msg);

/** vuf_dax_apply() - do what vuf_dax_check() let pass. 0 or a negative errno. */
int vuf_dax_apply(struct vuf_dax *d, struct vu_msg *msg);

/** vuf_dax_clear() - empty the window. */
void vuf_dax_clear(struct vuf_dax *d);

#endif
