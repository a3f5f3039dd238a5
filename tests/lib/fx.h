/* SPDX-License-Identifier: Apache-2.0 */
/* A test's surroundings: a temporary share, the real daemon on it, and a front-end connected to it. */
#ifndef CULVERT_FX_H
#define CULVERT_FX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cmocka.h>

#include "vuf_fuse.h"

#define FX_ARGS_MAX 24u
#define FX_WAIT_MS  30000 /* nothing here takes that long, also on a busy machine and sanitized */

/* Everything that a Linux guest of today offers at INIT, but for what needs a DAX window. */
#define FX_LINUX_FLAGS 0x1d7bfffffbull
#define FX_MINOR       39u

/* What it offers besides where there is a DAX window. */
#define FX_DAX_FLAGS (FUSE_MAP_ALIGNMENT | 1ull << 33 /* FUSE_HAS_INODE_DAX */)

/**
 * struct fx_opts - how a test wants its surroundings; the initial state of its struct CMUnitTest.
 * @args:    further options of the daemon, NULL at the end.
 * @no_init: connect and bring the rings up, but send no INIT.
 * @no_up:   connect, but bring nothing up.
 * @no_connect: start the daemon only.
 * @no_start: make the share only.
 * @nofile:  RLIMIT_NOFILE of the daemon; 0 = as it is.
 * @uid:     whom the daemon runs as, without privileges; 0 = as we do. The share is that user's.
 * @minor, @flags: of INIT; 0 = FX_MINOR, FX_LINUX_FLAGS.
 * @tmpfs:   the share is on a tmpfs of its own, mounted for this process alone. Only as root: such a
 *           test begins with fx_need_root().
 * @vuf:     the front-end; what the mode of the test binary says (packed rings…) is put in.
 */
struct fx_opts {
	const char *args[FX_ARGS_MAX];
	bool no_init;
	bool no_up;
	bool no_connect;
	bool no_start;
	unsigned int nofile;
	unsigned int uid;
	uint32_t minor;
	uint64_t flags;
	bool tmpfs;
	struct vuf_conf vuf;
};

/**
 * struct fx - the surroundings of one test.
 * @dir:    temporary directory; everything else lies in it.
 * @share:  the shared directory, mode 0755.
 * @sock:   the daemon's socket.
 * @pid:    the daemon that was started, 0 = none is running.
 * @err_fd: reading end of its stderr.
 * @log, @log_len: what it wrote there so far.
 * @v:      the front-end, or NULL.
 * @q:      a request with room for 1 MiB each way, for fz_call().
 * @ring:   where fz_call() sends; initially 1.
 * @uid, @gid: the caller in fz_call(); initially 0.
 * @init:   the reply to INIT.
 * @fds:    the daemon's descriptors before the first request, to be compared at the end; 0 = do not.
 * @dirty:  something is wrong on purpose: do not expect a clean end.
 */
struct fx {
	const struct fx_opts *opts;
	char dir[64];
	char share[80];
	char sock[80];
	pid_t pid;
	int err_fd;
	char log[32768];
	size_t log_len;
	struct vuf *v;
	struct vuf_req *q;
	unsigned int ring;
	uint32_t uid;
	uint32_t gid;
	struct fuse_init_out init;
	unsigned int fds;
	bool dirty;
};

/** FX_TEST() - an entry of the list of tests: a function and its options (NULL = the usual). */
#define FX_TEST(fn, opts)                                                 \
	{                                                                 \
#fn, fn, fx_setup, fx_teardown, (void *)(uintptr_t)(opts) \
	}

/**
 * fx_main() - run a list of tests.
 *
 * Arguments: the daemon's path; split, packed or plain (split without indirect and EVENT_IDX, and the
 * daemon without a sandbox unless the test says otherwise); perhaps a pattern of test names. Returns
 * what main() returns.
 */
int fx_main(int argc, char **argv, const char *name, const struct CMUnitTest *tests, size_t n);

/* cmocka's set-up and tear-down; the latter checks that the daemon ended well and leaves nothing. */
int fx_setup(void **state);
int fx_teardown(void **state);

/* What the test binary was told. */
const char *fx_daemon(void);
bool fx_packed(void);

/** fx_sanitized() - whether this build is slow because it is sanitized; so is the daemon's. */
bool fx_sanitized(void);

/** fx_tsan() - whether it is sanitized for races. */
bool fx_tsan(void);

/**
 * fx_fds_flat() - whether so many descriptors are as many as before.
 *
 * ThreadSanitizer has a helper that names functions, to which it talks from the first suppressed race on.
 */
bool fx_fds_flat(unsigned int before, unsigned int now);

/** fx_spawn() - start the daemon with these words after its name; NULL at the end. */
void fx_spawn(struct fx *f, const char *const *argv);

/** fx_start() - start the daemon on the share and the socket, and wait until it listens. */
void fx_start(struct fx *f);

/** fx_connect() - make the front-end and connect it. */
void fx_connect(struct fx *f);

/** fx_drop() - free the front-end, which hangs up. Accepts that there is none. */
void fx_drop(struct fx *f);

/** fx_up() - bring the connected front-end up; with @init: INIT as the options say. */
void fx_up(struct fx *f, bool init);

/** fx_settle() - a request that does nothing through each ring, so that its thread is up and idle. */
void fx_settle(struct fx *f);

/** fx_wait_log() - wait until the daemon's stderr has this text. False: it ended or time ran out. */
bool fx_wait_log(struct fx *f, const char *text);

/** fx_log_count() - how many lines of stderr hold this text, after reading what is there. */
unsigned int fx_log_count(struct fx *f, const char *text);

/** fx_wait_exit() - wait for the daemon's end: its exit status, 128 + signal, or -1: still runs. */
int fx_wait_exit(struct fx *f, int timeout_ms);

/** fx_serving_pid() - the process that serves: the daemon, or its child inside the sandbox. */
pid_t fx_serving_pid(const struct fx *f);

/** fx_seen() - whether we may look at it: not as nobody, at one in a sandbox. */
bool fx_seen(const struct fx *f);

/** fx_count_fds() - descriptors of the serving process. */
unsigned int fx_count_fds(const struct fx *f);

/** fx_count_maps() - mappings of the serving process whose line in /proc/PID/maps has this text. */
unsigned int fx_count_maps(const struct fx *f, const char *text);

/** fx_count_threads() - threads of the serving process of this name. */
unsigned int fx_count_threads(const struct fx *f, const char *name);

/** fx_rss() - resident memory of the serving process, bytes. */
uint64_t fx_rss(const struct fx *f);

/** fx_proc() - the number that follows @key in a file of /proc/PID, as "status" or "limits"; 0 when it is not there. */
uint64_t fx_proc(const struct fx *f, const char *file, const char *key);

/** fx_path() - "SHARE/NAME" in one of a few static buffers. */
const char *fx_path(const struct fx *f, const char *name);

/** fx_put() - make a file in the share with this content. */
void fx_put(const struct fx *f, const char *name, const void *bytes, size_t len, mode_t mode);

/** fx_stat() - lstat(2) of a name in the share; it must be there. */
struct stat fx_stat(const struct fx *f, const char *name);

/**
 * fx_stall() - mount a file system at a new directory of the share that answers nothing.
 *
 * Whatever the daemon does there waits until the descriptor that this returns is closed; then it fails.
 * Needs fx_opts.tmpfs; skips the test where there is no /dev/fuse.
 */
int fx_stall(const struct fx *f, const char *name);

/** fx_need_root() - skip the test unless it runs as root. */
void fx_need_root(void);

#endif
