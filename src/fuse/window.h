/* SPDX-License-Identifier: Apache-2.0 */
/* The DAX window: which part of which file is mapped where. */
#ifndef CULVERT_WINDOW_H
#define CULVERT_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

struct window;

/**
 * struct window_ops - what the daemon does for a window.
 *
 * Those that wait for the front-end are called by threads that may wait; one at a time. A range is
 * mapped once, and unmapped as it was mapped.
 *
 * @ready:   whether the front-end can map at all. Queues quiesced; may not wait.
 * @map:     let a part of a file appear in the window. 0; -EREMOTEIO when the front-end refuses;
 *           -EINPROGRESS (it does not answer) or -EINTR (called off) when it may have done it or not;
 *           another errno when it was not asked.
 * @unmap:   the same for taking it away.
 * @outcome: what came of the last of these after all: 0 or -EREMOTEIO; another errno while nobody knows.
 * @tidy:    have window_tidy() called soon by a thread that may wait. Called by any thread, under any
 *           lock but the window's.
 */
struct window_ops {
	bool (*ready)(void *owner);
	int (*map)(void *owner, int fd, uint64_t fd_offset, uint64_t offset, uint64_t len,
		   bool write);
	int (*unmap)(void *owner, uint64_t offset, uint64_t len);
	int (*outcome)(void *owner);
	void (*tidy)(void *owner);
};

/**
 * struct window_files - what the backend does for a window.
 *
 * @alive: whether the guest still knows the file. Any thread.
 * @open:  a descriptor to map it by, open for writing too with @write; or -errno. Threads that may wait.
 * @close: the end of that.
 */
struct window_files {
	bool (*alive)(void *be, uint64_t nodeid);
	int (*open)(void *be, uint64_t nodeid, bool write);
	void (*close)(void *be, int fd);
};

/**
 * struct window_part - a part of a file, and where it is to be seen.
 * @nodeid:  the file.
 * @foffset: where the part begins in the file, bytes.
 * @moffset: where it is to be seen in the window, bytes.
 * @len:     bytes. All three are multiples of window_align().
 * @write:   it is to be written to.
 */
struct window_part {
	uint64_t nodeid;
	uint64_t foffset;
	uint64_t moffset;
	uint64_t len;
	bool write;
};

/**
 * window_new() - a window with nothing in it.
 * @size: bytes, a power of two, at least 2 MiB.
 * @ops, @owner: the daemon's.
 *
 * 0 or -ENOMEM.
 */
int window_new(uint64_t size, const struct window_ops *ops, void *owner, struct window **ret);

/** window_free() - forget it all; nobody uses it. Accepts NULL. */
void window_free(struct window *w);

/** window_align() - what offsets and lengths are multiples of: the host's page, bytes. */
uint64_t window_align(void);

/** window_holds() - whether [@moffset, @moffset + @len) is aligned, within the window, and not empty. */
bool window_holds(const struct window *w, uint64_t moffset, uint64_t len);

/** window_ready() - whether the front-end can map at all. Queues quiesced. */
bool window_ready(const struct window *w);

/**
 * window_begin() - a session begins: from now on its files can be mapped.
 * @files, @be: the backend's. Constant from the first call on.
 *
 * Queues quiesced. What an earlier session left is taken away in time.
 */
void window_begin(struct window *w, const struct window_files *files, void *be);

/** window_end() - the session is over: all is to be unmapped, and nothing is mapped any more. */
void window_end(struct window *w);

/** window_session() - the session of now, for window_setup(). Any thread. */
uint32_t window_session(const struct window *w);

/** What the front-end can map; known once it was asked. */
enum window_kind {
	WINDOW_UNKNOWN, /* it was not asked yet */
	WINDOW_WHOLE,   /* also what is not behind the end of the file yet */
	WINDOW_STRICT,  /* whole pages within the file only */
	WINDOW_BROKEN,  /* nothing, or it does not say */
};

/** window_reset() - the front-end is gone with all that it had mapped; another may come. Never waits. */
void window_reset(struct window *w);

/** window_kind() - any thread. */
enum window_kind window_kind(const struct window *w);

/**
 * window_setup() - SETUPMAPPING: show a part of a file in place of what was there.
 * @part:    its range is one that window_holds().
 * @fd:      the file; open for writing too, if @write is set.
 * @size:    of the file, bytes.
 * @session: window_session() of before @part.nodeid was looked up.
 *
 * No message is sent where all of it can be seen already. Returns 0; -EAGAIN when it was called off; -EIO
 * when the front-end does not do it, and where a strict one could not show all that the file has in the
 * range; -ENOMEM when there are too many mappings; -ESTALE when the session is another one. Threads that
 * may wait.
 */
int window_setup(struct window *w, const struct window_part *part, int fd, uint64_t size,
		 uint32_t session);

/** window_remove() - REMOVEMAPPING of a range that window_holds(), whatever is there. As window_setup(). */
int window_remove(struct window *w, uint64_t moffset, uint64_t len);

/**
 * window_grows() - whether it takes messages to show more of a file that has grown. Any thread.
 *
 * So with a strict front-end alone. Then the two functions below are for threads that may wait.
 */
bool window_grows(const struct window *w, uint64_t nodeid);

/** window_can_show() - whether the guest could be shown all of the file if it had @size bytes. */
bool window_can_show(struct window *w, uint64_t nodeid, uint64_t size);

/**
 * window_show() - the file has @size bytes: continue its mappings, before the guest hears of that.
 *
 * Returns how large the file may be for all of it to be seen where the guest believes it to be mapped:
 * @size, or less where that failed.
 */
uint64_t window_show(struct window *w, uint64_t nodeid, uint64_t size);

/** window_forget() - the guest has forgotten an inode, or may have. Any thread, never waits. */
void window_forget(struct window *w, uint64_t nodeid);

/** window_tidy() - unmap what no living file of this session has to do with. Threads that may wait. */
void window_tidy(struct window *w);

/** window_probe() - the same once it is known, if that can be. Threads that may wait. */
enum window_kind window_probe(struct window *w);

/** window_count() - mappings. For tests and statistics; any thread. */
unsigned int window_count(const struct window *w);

#endif
