/* SPDX-License-Identifier: Apache-2.0 */
/* Running an operation on both sides, and what is remembered between operations. */
#ifndef CULVERT_DIFF_EXEC_H
#define CULVERT_DIFF_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "prog.h"

enum side {
	SIDE_A,    /* the mount under test */
	SIDE_B,    /* the plain directory */
	SIDE_HOST, /* the directory that the mount shares: side A seen from behind */
};

#define EXEC_BUF  (1u << 20) /* bytes of one read or write at most */
#define EXEC_PATH 8192       /* longest decoded path, longer than PATH_MAX on purpose */

/**
 * struct diff - a difference.
 * @found: there is one.
 * @at:    index of the operation after which it was seen.
 * @code:  that operation.
 * @field: what differs, in a word; with @code it tells one difference from another when shrinking.
 * @text:  what differs, for people.
 */
struct diff {
	bool found;
	size_t at;
	uint8_t code;
	char field[32];
	char text[1200];
};

/**
 * struct conf - how a run is done; constant while it runs.
 * @fuse:     side A is a FUSE mount: the known differences of FUSE are allowed for.
 * @btrfs:  side B is on btrfs.
 * @hostfuse: so is side B: the host's file system is FUSE.
 * @root:     the run may change its uid.
 * @xattr:    side A takes user.* attributes.
 * @btime:  side A has birth times.
 * @fine:     time stamps of both sides change with each operation, however fast.
 * @blocks:   st_blocks follows from what was done, on this file system.
 * @dirsize:  so does the size of directories.
 * @listings: side A's client keeps listings of directories.
 * @apart:  the sides are on two file systems of one kind.
 * @writeback: side A's client delays writes.
 * @maptimes: writing to a mapping stamps the file, on this file system.
 * @settle_ms: what "settle" waits; 0 = drops the kernel's caches instead; -1 = does nothing.
 * @faulty:   what side A does wrong (enum fault).
 */
struct conf {
	bool fuse;
	bool btrfs;
	bool hostfuse;
	bool root;
	bool xattr;
	bool btime;
	bool fine;
	bool blocks;
	bool dirsize;
	bool maptimes;
	bool listings;
	bool apart;
	bool writeback;
	int settle_ms;
	int faulty;
};

/* Faults that can be put into side A, so that it can be seen that the tester finds them. */
#define FAULTS(X)                 \
	X(NONE, "none")           \
	X(TRUNCATE, "truncate")   \
	X(APPEND, "append")       \
	X(NOREPLACE, "noreplace") \
	X(SETID, "setid")         \
	X(LINK, "link")           \
	X(MTIME, "mtime")         \
	X(LOST, "lost-write")     \
	X(ERRNO, "errno")         \
	X(XATTR, "xattr")         \
	X(READDIR, "readdir")     \
	X(HOLE, "hole")           \
	X(HANG, "hang")

enum fault {
#define X(code, name) FAULT_##code,
	FAULTS(X)
#undef X
		FAULT_COUNT
};

/** struct scan - what was read of an open directory on one side, from its start on. */
struct scan {
	struct scan_ent {
		char *name; /* owned */
		uint8_t type;
		int64_t cookie;
	} * ents; /* owned */
	size_t cnt;
	size_t room;
	char *buf; /* owned; what getdents64 gave */
	size_t pos;
	size_t len;
	bool end;
};

/**
 * struct slot - an open file or directory of the program, on both sides.
 * @fd:      -1 when closed.
 * @direct:  O_DIRECT is set: offsets and lengths are rounded.
 * @dir:     it is a directory.
 * @fifo:    it is a fifo: it stays non-blocking, for nobody is at the other end.
 * @wild:    its position is shared or unknown: what readdir gives is not compared.
 * @scan:    what readdir gave.
 * @touched: names that operations named since the scan began, each with its zero; owned.
 */
struct slot {
	int fd[2];
	bool direct;
	bool dir;
	bool fifo;
	bool wild;
	struct scan scan[2];
	char *touched;
	size_t touched_len;
	bool touched_many; /* the names of mkmany and rmmany as well */
};

/** struct map - a mapping of the program, on both sides. */
struct map {
	void *addr[2]; /* NULL when there is none */
	size_t len;
	int64_t off;
	bool shared;
	int fd_b; /* own descriptor of side B: the size behind the mapping */
};

/** struct seen - what an inode looked like when it was last compared. */
struct seen {
	uint64_t ino_b;
	uint64_t ino_a;               /* 0 = not known yet */
	struct statx_timestamp btime; /* with @ino_b: which inode of side B this is */
	struct statx_timestamp mtime[2];
	struct statx_timestamp ctime[2];
	bool valid;
	bool timed;     /* the times are to be compared with */
	bool untimed;   /* its times are never to be compared */
	bool unwritten; /* has had blocks that were allocated and not written */
	bool cut;       /* the client truncated it after a write that the host refused */
	bool late;      /* side A wrote a mapping's changes back: its mtime may be of then */
	int dirty_map; /* mapping with changes that side A has not written yet; -1 none, -2 several */
};

#define EXEC_SEEN      4096
#define EXEC_SEEN_WAYS 8 /* places that an inode can be in */

/**
 * struct outcome - what an operation gave on one side.
 * @ret:  0 or positive, or a negative errno.
 * @data: bytes that it gave; in the side's buffer.
 * @len:  their number.
 */
struct outcome {
	int64_t ret;
	unsigned char *data;
	size_t len;
};

/** struct ex - the state of a running program. One thread. */
struct ex {
	const struct conf *conf;
	int root[3]; /* SIDE_HOST may be -1; borrowed */
	struct slot slot[PROG_SLOTS];
	struct map map[PROG_MAPS];
	struct seen *seen; /* EXEC_SEEN of them */
	unsigned char *buf[2];
	uid_t uid;
	gid_t gid;
	size_t groups; /* how many supplementary ones */
	bool checks;
	int64_t ret; /* of this operation on B */
	bool fifo;   /* the path of this open is a fifo on side B: do not wait for its other end */
	struct timespec began;       /* this operation, on the clock that stamps files */
	const char *prefix;          /* names of this worker in a shared directory, or NULL */
	uint64_t skipped[24];        /* by known_refused() */
	uint64_t count[OP_COUNT][2]; /* how many worked on B, and how many did not */
};

/** exec_init() - start a program in the directories @root (a, b, host or -1). 0 or -errno. */
int exec_init(struct ex *ex, const struct conf *conf, const int root[3]);

/** exec_done() - close all that the program has open, on both sides. */
void exec_done(struct ex *ex);

/** exec_op() - run one operation on both sides and compare. Returns what side B gave. */
int64_t exec_op(struct ex *ex, const struct op *op, struct diff *diff);

/** exec_root() - act as root (@on), or as whoever the program has become. */
void exec_root(struct ex *ex, bool on);

/** exec_groups() - have the supplementary groups that the program has taken (@on), or none. */
void exec_groups(const struct ex *ex, bool on);

/**
 * exec_path() - where a path of an operation is, on a side.
 * @ret_path: EXEC_PATH bytes.
 *
 * Returns the directory's descriptor, which may be an invalid one.
 */
int exec_path(const struct ex *ex, const struct op *op, const char *s, enum side side,
	      char *ret_path);

/** exec_result() - the -1 of a system call as a negative errno. */
int64_t exec_result(int64_t r);

/** exec_fill() - fill @buf with what an operation writes with number @pat at @off. */
void exec_fill(unsigned char *buf, size_t len, int64_t pat, int64_t off);

/** exec_touch() - remember for open directories that an operation names what @s ends in. */
void exec_touch(struct ex *ex, const struct op *op, const char *s);

/** diff_set() - note a difference, unless there is one already. */
void diff_set(struct diff *diff, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Operations, by file. Each runs on one side and gives 0 or positive, or a negative errno. */
typedef int64_t (*exec_fn)(struct ex *ex, const struct op *op, enum side side, struct outcome *o);
exec_fn exec_file_fn(uint8_t code);
exec_fn exec_map_fn(uint8_t code);
exec_fn exec_name_fn(uint8_t code);
exec_fn exec_dir_fn(uint8_t code);

/** exec_close_slot() - close a slot on both sides and forget what was read of it. */
void exec_close_slot(struct slot *s);

/** exec_close_map() - unmap on both sides. */
void exec_close_map(struct map *m);

/** exec_scan_start() - a directory is read from its start: forget what was read. */
void exec_scan_start(struct slot *s);

/** exec_scan_compare() - when both sides have come to their end: the same names, each once. */
void exec_scan_compare(struct ex *ex, struct slot *s, struct diff *diff);

/** exec_scan_fresh() - does reading it all, from the start, through new descriptors, give the same? */
bool exec_scan_fresh(const struct slot *s);

/** exec_map_init() - catch SIGBUS of mappings. */
void exec_map_init(void);

#endif
