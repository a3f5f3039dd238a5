/* SPDX-License-Identifier: Apache-2.0 */
/* Guests and front-ends that lie: what a case is, and what it stands on. */
#ifndef CULVERT_HZ_H
#define CULVERT_HZ_H

#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fuse_abi.h"
#include "fx.h"
#include "util.h"

/*
 * Words that stand for something that is known only when a case runs: node ids, file handles, guest
 * addresses. They are put in wherever they are found, eight bytes long and so aligned.
 */
#define HZ_WORD(n) (0xfacade0000000000ull + (n))
enum hz_word {
	HZ_FILE,  /* nodes: a regular file of 4,096 bytes */
	HZ_DIR,   /* a directory */
	HZ_LINK,  /* a symbolic link to the file */
	HZ_OUT,   /* one that leads out of the share */
	HZ_FIFO,  /* a fifo */
	HZ_GONE,  /* a file that was removed by the host */
	HZ_STALE, /* a node that was forgotten */
	HZ_FH,    /* handles: of the file, for reading and writing */
	HZ_FH_RO, /* of the file, for reading */
	HZ_DIRFH, /* of the directory */
	HZ_OLDFH, /* one that was released */
	HZ_IN,    /* guest addresses: a GETATTR of the root */
	HZ_REPLY, /* room for its reply */
	HZ_TABLE, /* where a chain's table is */
	HZ_EDGE,  /* the last 8 bytes of memory before the hole */
	HZ_WORDS,
};
#define N_ROOT  1ull
#define N_FILE  HZ_WORD(HZ_FILE)
#define N_DIR   HZ_WORD(HZ_DIR)
#define N_LINK  HZ_WORD(HZ_LINK)
#define N_OUT   HZ_WORD(HZ_OUT)
#define N_FIFO  HZ_WORD(HZ_FIFO)
#define N_GONE  HZ_WORD(HZ_GONE)
#define N_STALE HZ_WORD(HZ_STALE)
#define F_FILE  HZ_WORD(HZ_FH)
#define F_RO    HZ_WORD(HZ_FH_RO)
#define F_DIR   HZ_WORD(HZ_DIRFH)
#define F_OLD   HZ_WORD(HZ_OLDFH)
#define A_IN    HZ_WORD(HZ_IN)
#define A_OUT   HZ_WORD(HZ_REPLY)
#define A_TABLE HZ_WORD(HZ_TABLE)
#define A_EDGE  HZ_WORD(HZ_EDGE)
#define A_HOLE  (1ull << 32 | 1ull << 27) /* no memory there */

/* What must come back, where it is no errno (0 or negative). */
enum hz_want {
	HZ_ANY = 1,  /* a well-formed reply, whatever it says */
	HZ_FAILS,    /* a well-formed reply with an error */
	HZ_SILENT,   /* the chain, with nothing in it */
	HZ_BROKEN,   /* the queue is broken, and the front-end told */
	HZ_NOTHING,  /* nothing, and the queue goes on */
	HZ_REFUSED,  /* front-end: an answer that says no */
	HZ_DROPPED,  /* front-end: the connection is closed */
	HZ_ACCEPTED, /* front-end: an answer that says yes */
	HZ_UNHEARD,  /* front-end: served, and no answer expected */
};

/**
 * struct hz_ask - a FUSE request: what is sent, and what must come back.
 * @op, @node: of the header. @node 0 is the root, HZ_NODE0 really 0.
 * @args, @nargs: behind the header; words are put in.
 * @text, @ntext: behind those, as it is.
 * @fill:  bytes of 'A' behind those.
 * @len:   the header's length is off by so much.
 * @cut:   only so many bytes are sent; 0 = all.
 * @room:  bytes of room for the reply, HZ_NO_ROOM for none; 0 = 4,096.
 * @unique0: the header's unique is 0.
 * @uid:   the header's.
 * @early: before INIT.
 * @spoils: the session is another one afterwards: INIT again.
 */
struct hz_ask {
	const char *name;
	uint32_t op;
	uint64_t node;
	const void *args;
	uint32_t nargs;
	const char *text;
	uint32_t ntext;
	uint32_t fill;
	int32_t len;
	uint32_t cut;
	uint32_t room;
	uint32_t uid;
	bool unique0;
	bool early;
	bool spoils;
	int want;
};

#define HZ_NO_ROOM UINT32_MAX
#define HZ_NODE0   (HZ_WORD(0xff))

/**
 * struct hz_chain - descriptors as a guest writes them.
 * @d, @n: in the ring. A link that is 0 becomes the next one's (split). Packed: all have one buffer id.
 * @table, @ntable: at A_TABLE, links as they are.
 * @twist: done behind them, before the kick.
 * @want:  0: the GETATTR is answered well.
 */
struct hz;
struct hz_chain {
	const char *name;
	unsigned int n;
	struct vring_desc d[5];
	unsigned int ntable;
	struct vring_desc table[5];
	void (*twist)(struct hz *h);
	bool split_only;
	bool packed_only;
	int want;
};

/**
 * struct hz_msg - a message of the front-end.
 * @body, @size: payload.
 * @fds:  a letter each: e eventfd, m 64 KiB of memory, f a file, d a directory, p an O_PATH one, z
 *        /dev/zero, s a socket, x one of one byte of memory.
 * @hdr_flags: flags of the header; 0 = version 1 and NEED_REPLY.
 * @silent: do not ask for an answer.
 * @up:   sent when the device runs; else when only features were negotiated.
 */
struct hz_msg {
	const char *name;
	uint32_t request;
	const void *body;
	uint32_t size;
	const char *fds;
	uint32_t hdr_flags;
	bool silent;
	bool up;
	int want;
};

/**
 * struct hz_deed - what takes more than a row.
 * @run:   does it, and checks what comes back.
 * @fresh: only in a daemon of its own; @args further options of that.
 */
struct hz_deed {
	const char *name;
	void (*run)(struct hz *h);
	bool fresh;
	bool root;
	const char *args[4];
	unsigned int nofile;
};

extern const struct hz_ask hz_asks[];
extern const unsigned int hz_nasks;
/** hz_names() - every request that has a name, with every name that is none. Once. */
const struct hz_ask *hz_names(unsigned int *ret_n);

extern const struct hz_chain hz_chains[];
extern const unsigned int hz_nchains;
extern const struct hz_msg hz_msgs[];
extern const unsigned int hz_nmsgs;
extern const struct hz_deed hz_deeds[];
extern const unsigned int hz_ndeeds;

/**
 * struct hz - a daemon that is being lied to.
 * @f:     its surroundings.
 * @word:  what the words stand for.
 * @io:    a page of the guest for requests of chains: GETATTR, reply, table.
 */
struct hz {
	struct fx *f;
	uint64_t word[HZ_WORDS];
	uint8_t *io;
	uint64_t io_gpa;
	unsigned int base_fds;
};

/** hz_start() - the share, the daemon in this sandbox with --relisten, and a guest. */
void hz_start(struct hz *h, const char *sandbox, const char *const *args, unsigned int nofile);

/** hz_connect() - a new front-end with fresh memory and rings; with @up: they run, and INIT. */
void hz_connect(struct hz *h, bool up);

/** hz_reset() - what a guest does with a broken queue: reset the device, begin anew. */
void hz_reset(struct hz *h);

/** hz_know() - find out what the words stand for. After INIT. */
void hz_know(struct hz *h);

/** hz_probe() - ring 1, 2 and the one for FORGET work. */
void hz_probe(struct hz *h);

/** hz_unharmed() - nothing outside the share has changed, and the daemon has complained of nothing. */
void hz_unharmed(struct hz *h);

/** hz_stop() - SIGTERM: it ends with 0. */
void hz_stop(struct hz *h);

/** hz_subst() - put words in. */
uint64_t hz_subst(const struct hz *h, uint64_t w);

void hz_ask_run(struct hz *h, const struct hz_ask *a);
void hz_chain_run(struct hz *h, const struct hz_chain *c);
void hz_msg_run(struct hz *h, const struct hz_msg *m);

#endif
