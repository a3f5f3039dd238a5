/* SPDX-License-Identifier: Apache-2.0 */
/* The front-end's side of a DAX window: its memory, the back-end channel, and what front-ends permit. */
#ifndef CULVERT_VUF_DAX_H
#define CULVERT_VUF_DAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vuf;
struct vuf_dax;

#define VUF_DAX_GPA (1ull << 35) /* where the window lies; no region of guest memory may */
#define VUF_DAX_MAX (1ull << 35) /* bytes that it may have */

/**
 * struct vuf_rules - the personality of a front-end: what it agrees to, permits, and does in its own way.
 *
 * What the specification forbids is forbidden by all of them.
 *
 * @name:      "strict", "qemu11"…
 * @proto:     protocol features that it takes when they are offered.
 * @need:      those without which it refuses the device.
 * @shmem:     the feature that means SHMEM to it; also in @proto.
 * @no_config: the window's size is its own affair (vuf_conf.dax_size); it sends no GET_SHMEM_CONFIG.
 * @refuses_past_end: a MAP that ends behind the end of its file fails.
 * @grows_empty: a MAP of an empty file makes the file as large as the mapping, which is forbidden.
 * @regions:   each mapping for writing becomes a region of guest memory, that the back end is told.
 * @slots:     regions that it can have without CONFIGURE_MEM_SLOTS; 0 = any number.
 * @late:      a MAP or UNMAP is done only after it was answered.
 * @one_thread: the channel is not served while an answer on the connection is waited for.
 * @unmaps_by_start: an UNMAP is told by its first byte; the length does not matter to it.
 * @keeps_on_reset: a device reset leaves the mappings alone. The specification has them go.
 * @asks_all:  wants an answer to each message, and says so in each.
 * @kick_first: gives rings their kick descriptor before all else, and memory by ADD_MEM_REG alone.
 */
struct vuf_rules {
	const char *name;
	uint64_t proto;
	uint64_t need;
	unsigned int shmem;
	bool no_config;
	bool refuses_past_end;
	bool grows_empty;
	bool regions;
	unsigned int slots;
	bool late;
	bool one_thread;
	bool unmaps_by_start;
	bool keeps_on_reset;
	bool asks_all;
	bool kick_first;
};

/** vuf_rules_at() - the personalities, from index 0 on; NULL behind the last one. */
const struct vuf_rules *vuf_rules_at(unsigned int i);

/** vuf_rules_named() - one by its name, or NULL. */
const struct vuf_rules *vuf_rules_named(const char *name);

/**
 * enum vuf_dax_mood - how the channel is served from now on.
 * @VUF_DAX_SERVE:   as it should be.
 * @VUF_DAX_REFUSE:  each MAP fails, without a reason.
 * @VUF_DAX_MUTE:    requests are read, but neither done nor answered.
 * @VUF_DAX_HOLD:    a request is read; it is done and answered when the mood changes.
 * @VUF_DAX_LATE:    a request is done and answered after some time.
 * @VUF_DAX_HANGUP:  the next request is read, and the channel closed.
 * @VUF_DAX_GARBAGE: a request is not done; its answer is that to another one.
 */
enum vuf_dax_mood {
	VUF_DAX_SERVE,
	VUF_DAX_REFUSE,
	VUF_DAX_MUTE,
	VUF_DAX_HOLD,
	VUF_DAX_LATE,
	VUF_DAX_HANGUP,
	VUF_DAX_GARBAGE,
};

/**
 * struct vuf_dax_stats - what came over the channel.
 * @requests: all.
 * @maps, @unmaps: done.
 * @refused:  MAP that failed, for whatever reason.
 * @past_end: those of them that ended behind the end of the file.
 * @live, @peak: mappings now, and at most. One counts until the back end has been told that it is gone,
 *            where it is told.
 * @closed:   the back end has closed the channel.
 */
struct vuf_dax_stats {
	uint64_t requests;
	uint64_t maps;
	uint64_t unmaps;
	uint64_t refused;
	uint64_t past_end;
	unsigned int live;
	unsigned int peak;
	bool closed;
};

/**
 * vuf_dax_up() - after protocol features were agreed on: ask for the window's size, reserve it, give the
 * back end its channel and serve it in a thread. vuf_negotiate() calls it.
 *
 * Does nothing where there are no rules, or SHMEM was not agreed on. 0 or as vuf_send_ack().
 */
int vuf_dax_up(struct vuf *v);

/** vuf_dax_down() - end the thread, close the channel, empty the window. vuf_hangup() calls it. */
void vuf_dax_down(struct vuf *v);

/** vuf_dax_free() - the rest of it; after vuf_dax_down(). vuf_free() calls it. */
void vuf_dax_free(struct vuf *v);

/** vuf_dax_size() - bytes of the window; 0 = there is none. */
uint64_t vuf_dax_size(const struct vuf *v);

/**
 * vuf_dax_at() - where a byte of the window lies, as a guest would touch it.
 *
 * Where nothing is mapped there, touching it raises SIGSEGV; behind the end of the file, SIGBUS.
 */
void *vuf_dax_at(const struct vuf *v, uint64_t offset);

/**
 * vuf_dax_read(), vuf_dax_write() - copy bytes out of the window, into it.
 *
 * Return 0, or -EFAULT where a guest could not touch all of them.
 */
int vuf_dax_read(const struct vuf *v, uint64_t offset, void *buf, size_t len);
int vuf_dax_write(const struct vuf *v, uint64_t offset, const void *buf, size_t len);

/** vuf_dax_reset() - RESET_DEVICE, and what the front-end does with its window then. */
int vuf_dax_reset(struct vuf *v);

/** vuf_dax_set_mood() - @ms: how late VUF_DAX_LATE is. Any thread. */
void vuf_dax_set_mood(struct vuf *v, enum vuf_dax_mood mood, int ms);

/** vuf_dax_stats() - so far. Any thread. */
struct vuf_dax_stats vuf_dax_stats(struct vuf *v);

/** vuf_dax_wait_requests() - until so many requests came in all. False: time ran out. Any thread. */
bool vuf_dax_wait_requests(struct vuf *v, uint64_t n, int timeout_ms);

/** vuf_dax_wait_live() - until there are so many mappings. False: time ran out. Any thread. */
bool vuf_dax_wait_live(struct vuf *v, unsigned int n, int timeout_ms);

/**
 * vuf_dax_quiet() - until there are no mappings, and the back end is through with what it was told of them.
 *
 * False: time ran out. Message thread.
 */
bool vuf_dax_quiet(struct vuf *v, int timeout_ms);

/** vuf_dax_pending() - until a request is there that is not read yet. False: time ran out. */
bool vuf_dax_pending(struct vuf *v, int timeout_ms);

/** vuf_dax_wrong() - what came that is forbidden, a line each; NULL: nothing. Any thread. */
const char *vuf_dax_wrong(struct vuf *v);

/** vuf_dax_regions() - the mappings as regions of guest memory, where the rules say so. How many. */
struct vuf_region;
unsigned int vuf_dax_regions(struct vuf *v, struct vuf_region *ret, unsigned int max);

#endif
