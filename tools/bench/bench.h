/* SPDX-License-Identifier: Apache-2.0 */
/* virtiofs-bench: what its parts share. */
#ifndef CULVERT_BENCH_H
#define CULVERT_BENCH_H

#include <errno.h>
#include <linux/fuse.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "hist.h"
#include "vuf_fuse.h"

#define BENCH_PAGE       4096u
#define BENCH_DEPTH_MAX  256u
#define BENCH_QUEUES_MAX 16u
#define BENCH_SEGS       (256u + 4u)
#define BENCH_RING       1024u
#define BENCH_WAIT_MS    60000

/* ---- files.c: what is in the share ---- */

/**
 * struct bench_dir - a folder of numbered files, "f000000" and so on.
 * @name, @n: constant.
 * @fd:       of the folder, -1 before files_dir().
 * @ino:      of each file.
 *
 * File number i has files_size(i) bytes.
 */
struct bench_dir {
	const char *name;
	unsigned int n;
	int fd;
	uint64_t *ino;
};

enum { DIR_10, DIR_1K, DIR_100K, DIR_MANY, DIRS };

/**
 * struct files - the folder that the work is done in, as this program sees it.
 * @fd:      of the folder FILES_NAME in the share.
 * @data:    what the file "data" has in it: FILES_DATA bytes, no two pages alike.
 * @data_fd: that file, and a file of the same size that is written to.
 * @made_fd: an empty folder, for files that come and go.
 */
struct files {
	char *path;
	int fd;
	uint8_t *data;
	int data_fd;
	int out_fd;
	int made_fd;
	struct bench_dir dir[DIRS];
};

#define FILES_MANY 1000000u
#define FILES_NAME "virtiofs-bench"
#define FILES_DATA (128u << 20)

/** files_open() - make what is not there yet below @dir, but the numbered files. 0 or -errno. */
int files_open(struct files *f, const char *dir);

/** files_dir() - make sure that a folder has its numbered files. 0 or -errno. */
int files_dir(struct files *f, unsigned int which);

/** files_many() - have @n files in DIR_MANY; before arms are opened. */
void files_many(struct files *f, unsigned int n);

/** files_close() - free everything; @remove: the files, too. */
void files_close(struct files *f, bool remove);

/** files_name() - of the file number @i. */
void files_name(char name[16], unsigned int i);

/** files_number() - the number in a name of @len bytes, or -1. */
int files_number(const char *name, size_t len);

/** files_size() - bytes of the file number @i. */
static inline uint64_t files_size(unsigned int i)
{
	return i % 5003u;
}

/** files_stamp() - what the first word of a page is to be that was written as number @seq. */
static inline uint64_t files_stamp(uint64_t page, uint64_t seq)
{
	return (page << 40 | seq) * 0x9e3779b97f4a7c15ull + 1;
}

/* ---- arm.c: what is measured ---- */

enum arm_kind { ARM_DAEMON, ARM_NATIVE, ARM_NULL };

struct echo;

/**
 * struct ids - what an arm's daemon calls a numbered folder and its files.
 * @node: the folder; 0 = not looked up yet.
 * @id:   the files; 0 = not known.
 * @refs: lookups of each that were not forgotten.
 */
struct ids {
	uint64_t node;
	uint64_t *id;
	uint32_t *refs;
};

/**
 * struct arm - a daemon, the native loop, or the ring echo.
 * @name, @kind: constant.
 * @socket:  of a daemon.
 * @pid:     of a daemon: it and its descendants are measured.
 * @v:       the connection, with @queues request queues; NULL for the native loop.
 * @init:    the daemon's answer to INIT.
 * @requests: answered in all, measured or not.
 * @poll:    the null arm's thread does not sleep.
 * @echo:    of the null arm.
 * @root:    node of the folder FILES_NAME; @data, @out, @made: of files and the folder in it.
 * @data_fh, @out_fh: open files.
 * @ids:     of the numbered folders.
 */
struct arm {
	char *name;
	enum arm_kind kind;
	bool poll;
	char *socket;
	pid_t pid;
	struct vuf *v;
	unsigned int queues;
	struct fuse_init_out init;
	uint64_t requests;
	struct echo *echo;
	uint64_t root;
	uint64_t data;
	uint64_t out;
	uint64_t made;
	uint64_t data_fh;
	uint64_t out_fh;
	struct ids ids[DIRS];
};

/** arm_parse() - "native", "null", "null-poll", or "[NAME=]SOCKET[,pid=PID]". 0 or -EINVAL. */
int arm_parse(struct arm *a, const char *text);

/** arm_open() - connect, start the rings, INIT. Says what is wrong on stderr. 0 or -errno. */
int arm_open(struct arm *a, unsigned int queues, const struct files *f);

void arm_close(struct arm *a);

/** arm_pin() - all threads of the daemon (or the echo) to these CPUs. */
void arm_pin(const struct arm *a, const cpu_set_t *cpus);

/**
 * struct usage - what has been used up so far.
 * @cpu_ns:  on a CPU, by all threads that there are.
 * @waits, @preempts: voluntary and other context switches.
 */
struct usage {
	uint64_t cpu_ns;
	uint64_t waits;
	uint64_t preempts;
};

/**
 * struct footprint - what a daemon holds.
 * @rss: bytes in memory, all processes together, without the guest's memory.
 * @fds: open descriptors.
 */
struct footprint {
	uint64_t rss;
	uint64_t fds;
};

struct footprint arm_footprint(const struct arm *a);

/** arm_usage() - once the daemon sleeps, or soon. */
struct usage arm_usage(const struct arm *a);

/* ---- echo.c: a ring that answers ---- */

/**
 * echo_start() - serve the rings of @v with a thread of this process. 0 or -errno.
 * @poll: it looks at them without a pause, instead of sleeping.
 */
int echo_start(struct vuf *v, bool poll, struct echo **ret);

void echo_stop(struct echo *e);

/** echo_tid() - of its thread. */
pid_t echo_tid(const struct echo *e);

/* ---- load.c: requests in the air ---- */

struct load;
struct stall;
struct work;

/**
 * struct slot - room for a request, used over and over.
 * @in, @out: a page each, for what is not data.
 * @data:     pages of data, load.data_len bytes.
 * @ring:     where it goes next; slot_begin() sets the slot's own queue.
 * @own:      that queue.
 * @seg, @nseg: its descriptors so far.
 * @in_len:   bytes used of @in.
 * @room:     bytes that the reply may have.
 * @used:     that it has.
 * @unique, @opcode: not in guest memory.
 * @number:   of the slot.
 * @step, @at, @file, @fh, @node, @seq: the workload's.
 * @unmeasured: its latency is not wanted.
 * @seen:     the workload's: a bit for each file of a listing.
 * @t0:       when it was sent first; 0 = it has not been.
 */
struct slot {
	uint8_t *in;
	uint8_t *out;
	uint8_t *data;
	uint64_t in_gpa;
	uint64_t out_gpa;
	uint64_t data_gpa;
	struct vuf_ring *ring;
	struct vuf_ring *own;
	unsigned int nseg;
	uint32_t in_len;
	uint32_t room;
	uint32_t used;
	uint32_t opcode;
	uint64_t unique;
	unsigned int number;
	unsigned int step;
	uint64_t at;
	unsigned int file;
	uint64_t fh;
	uint64_t node;
	uint64_t seq;
	bool unmeasured;
	uint64_t *seen;
	uint64_t t0;
	struct vuf_seg seg[BENCH_SEGS];
};

/**
 * struct load - the requests of a workload on an arm.
 * @wake:     in a sleep, be woken after so many replies; 0 = all.
 * @spin:     look for replies instead of sleeping.
 * @next:     counts what the workload hands out: blocks, files, names.
 * @deadline: no operation is begun after it; 0 = each slot does one.
 * @ops, @requests: done; @ops in the workload's units.
 * @kicks, @calls: sent and received.
 * @hist:     latencies of operations, or NULL.
 * @seqs:     the workload's: what was written last to each block.
 * @stall:    the workload's: a file that is slow to open.
 * @err:      what went wrong first, in words, or empty.
 */
struct load {
	const struct work *work;
	struct arm *arm;
	struct files *files;
	unsigned int depth;
	unsigned int queues;
	unsigned int wake;
	bool spin;
	size_t data_len;
	struct slot *slot;
	unsigned int nslots;
	uint64_t next;
	uint64_t deadline;
	uint64_t ops;
	uint64_t requests;
	uint64_t kicks;
	uint64_t calls;
	struct hist *hist;
	uint64_t *seqs;
	struct stall *stall;
	char err[160];
};

/** load_init() - slots for @depth requests on each of @queues queues. 0 or -errno. */
int load_init(struct load *l, const struct work *w, struct arm *a, struct files *f,
	      unsigned int depth, unsigned int queues);

void load_done(struct load *l);

/** load_run() - until the deadline, and until all replies are in. 0 or -errno, and perhaps @err. */
int load_run(struct load *l);

/** load_fail() - note what went wrong. Returns -EPROTO. */
int load_fail(struct load *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** slot_begin() - a request with nothing but its header. */
struct fuse_in_header *slot_begin(struct load *l, struct slot *s, uint32_t opcode, uint64_t node);

/** slot_arg() - room for @len bytes more in the request, zeroed. */
void *slot_arg(struct slot *s, size_t len);

/** slot_name() - a name in the request. */
void slot_name(struct slot *s, const char *name);

/** slot_send_data() - the request ends with @len bytes of @data. */
void slot_send_data(struct slot *s, size_t len);

/** slot_reply() - the reply may have @len bytes besides its header; slot_reply_data(): in @data. */
void slot_reply(struct slot *s, size_t len);
void slot_reply_data(struct slot *s, size_t len);

/** slot_call() - send it alone, and wait. The reply's error (0, -errno), or as load_run(). */
int slot_call(struct load *l, struct slot *s);

/** slot_error(), slot_payload(), slot_len() - the reply. */
int slot_error(const struct slot *s);
const void *slot_payload(const struct slot *s);
static inline size_t slot_len(const struct slot *s)
{
	return s->used - sizeof(struct fuse_out_header);
}

/* ---- share.c: names and nodes ---- */

/** share_lookup() - one name. Node and attributes, or an error. */
int share_lookup(struct load *l, uint64_t parent, const char *name, struct fuse_entry_out *ret);

/** share_open() - OPEN or OPENDIR. A daemon that needs no open is answered with 0 as the handle. */
int share_open(struct load *l, uint32_t opcode, uint64_t node, uint32_t flags, uint64_t *ret);

/** share_release() - RELEASE or RELEASEDIR. */
int share_release(struct load *l, uint32_t opcode, uint64_t node, uint64_t fh);

/** share_enter() - look up what is in FILES_NAME, and open the two files; once for an arm. */
int share_enter(struct load *l);

/** share_dir() - look up a numbered folder; @all: its files, too. */
int share_dir(struct load *l, unsigned int which, bool all);

/** share_forget() - all lookups of a numbered folder's files but @keep of each. */
int share_forget(struct load *l, unsigned int which, unsigned int keep);

/* ---- work*.c: what is done ---- */

#define NATIVE_BATCH 256u

/**
 * struct native - the same in a plain loop.
 *
 * Only the system calls of a batch are timed; what they gave is verified afterwards.
 *
 * @depth: buffers, used in turn.
 * @batch: operations at a time.
 * @next:  counts what is handed out, as in struct load.
 * @buf:   @depth buffers of the workload's size.
 * @at, @stat, @res: of each operation of a batch: where, what, and how it ended.
 * @fds:   the workload's.
 */
struct native {
	const struct work *work;
	struct files *files;
	unsigned int depth;
	unsigned int batch;
	uint64_t next;
	uint8_t *buf;
	uint64_t at[NATIVE_BATCH];
	struct statx stat[NATIVE_BATCH];
	int res[NATIVE_BATCH];
	int *fds;
};

/** native_errno() - of a system call that returned @r. */
static inline int native_errno(long r)
{
	return r < 0 ? -errno : (int)r;
}

/**
 * struct work - a workload.
 * @size:   bytes of an operation's data.
 * @dir:    of the numbered folders it works in, or -1.
 * @least_depth, @max_depth: requests at once on a queue, or 0.
 * @latency: is always taken, not with a depth of 1 alone.
 * @unit:   what is counted: "op", "entry".
 * @once:   each slot does one operation, then all is made as it was before: not counted.
 * @echo:   the null arm can do it.
 * @begin:  make ready; -EOPNOTSUPP: this daemon needs no such thing. @end: tidy up, and verify what can only be verified afterwards. Not counted.
 * @issue:  write the next request into the slot.
 * @check:  verify a reply. Returns operations that are done with it, in units, or a negative errno
 *          (-ENFILE: the daemon has no more descriptors); and whether the slot may rest now.
 * @native: do a batch with system calls. Returns operations, in units, or -errno. NULL: there is none.
 * @native_check: verify it. 0 or -errno.
 */
struct work {
	const char *name;
	const char *about;
	size_t size;
	int dir;
	unsigned int least_depth;
	unsigned int max_depth;
	const char *unit;
	bool latency;
	bool once;
	bool echo;
	int (*begin)(struct load *l);
	int (*end)(struct load *l);
	void (*issue)(struct load *l, struct slot *s);
	int (*check)(struct load *l, struct slot *s, bool *ret_rest);
	int (*native_begin)(struct native *n);
	void (*native_end)(struct native *n);
	int (*native)(struct native *n);
	int (*native_check)(struct native *n);
};

/** work_at() - the workloads, from index 0 on; NULL behind the last one. */
const struct work *work_at(unsigned int i);

/* Each ends with a row without a name. */
extern const struct work work_io[];
extern const struct work work_meta[];
extern const struct work work_dir[];
extern const struct work work_stall[];

/** read_issue(), read_check() - READ, also as a part of other work. */
void read_issue(struct load *l, struct slot *s);
int read_check(struct load *l, struct slot *s, bool *ret_rest);

/* ---- util ---- */

uint64_t bench_now(void);
uint64_t bench_thread_cpu(void);

#endif
