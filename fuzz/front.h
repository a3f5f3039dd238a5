/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of a front-end that says what an input wants it to say. */
#ifndef CULVERT_FUZZ_FRONT_H
#define CULVERT_FUZZ_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuzz.h"
#include "vu_msg.h"

#define FRONT_GPA  0x100000u /* guest memory: rings, then data */
#define FRONT_SIZE 0x40000u
#define FRONT_UVA  0x7f0000000000ull

/* Offsets into it of ring @i's areas, and of data. */
#define FRONT_DESC(i)  ((i)*0x4000u)
#define FRONT_AVAIL(i) (FRONT_DESC(i) + 0x1000u)
#define FRONT_USED(i)  (FRONT_DESC(i) + 0x2000u)
#define FRONT_DATA     0x20000u

/**
 * struct front_msg - a message, ready to be sent.
 * @len:  bytes of @body, whatever @hdr.size says.
 * @fds:  to send with it; they stay the front's.
 */
struct front_msg {
	struct vu_hdr hdr;
	uint8_t body[640];
	size_t len;
	int fds[10];
	unsigned int nfds;
};

/** front_make() - once, after guard_init(): files, pipes and so on that can be passed. */
void front_make(void);

/** front_reset() - for a new input: guest memory is whole, and what is in its rings' area is zero. */
void front_reset(void);

/** front_ram() - guest memory as the guest sees it, FRONT_SIZE bytes. */
uint8_t *front_ram(void);

/** front_cut() - guest memory's file gets shorter. */
void front_cut(struct feed *f);

/** front_inflight() - a descriptor that came in an answer, to be passed later; taken. */
void front_inflight(int fd);

/** front_message() - the next message of the program, spoiled now and then. */
void front_message(struct feed *f, struct front_msg *ret);

/** front_step() - step @n of what starts ring @i, from 0 on; false: there are no more. */
bool front_step(unsigned int n, unsigned int i, uint64_t features, uint64_t protocol, uint32_t size,
		struct front_msg *ret);

/** front_send() - all or, as @f says, a part of it. Errors are the peer's affair. Whether it was all. */
bool front_send(struct feed *f, int sock, const struct front_msg *m);

/**
 * front_replies() - take what has come back, which must be whole answers to @request; 0: to any.
 *
 * Returns how many there were.
 */
unsigned int front_replies(int sock, uint32_t request);

#endif
