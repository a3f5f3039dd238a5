/* SPDX-License-Identifier: Apache-2.0 */
/* The back-end channel: requests from us to the front-end. */
#ifndef CULVERT_VU_BACKREQ_H
#define CULVERT_VU_BACKREQ_H

#include <stdbool.h>

#include "vu_msg.h"

struct vu_backreq;

/** vu_backreq_new() - the near end of a channel that is not there yet. 0 or -errno. */
int vu_backreq_new(struct vu_backreq **ret);

/** vu_backreq_free() - close it. Nobody uses it. Accepts NULL. */
void vu_backreq_free(struct vu_backreq *br);

/**
 * vu_backreq_open() - use @sock (taken) from now on; who waits on an older one is called off.
 * @ack: REPLY_ACK was negotiated.
 *
 * Control thread, as all that follows unless it says otherwise.
 */
void vu_backreq_open(struct vu_backreq *br, int sock, bool ack);

/** vu_backreq_close() - there is no channel any more; who waits is called off. */
void vu_backreq_close(struct vu_backreq *br);

/**
 * vu_backreq_call_off() - nobody waits for the front-end until vu_backreq_go_on(). Nests.
 *
 * For when the front-end waits for us and for those who wait for it: QEMU does not look at the
 * channel while it stops a ring.
 */
void vu_backreq_call_off(struct vu_backreq *br);

/** vu_backreq_go_on() - end of that. */
void vu_backreq_go_on(struct vu_backreq *br);

/*
 * The requests. Any thread may make them; they go out one after the other. They return 0;
 * -EREMOTEIO when the front-end refused; -EINPROGRESS (no answer came in time) or -EINTR (called off)
 * when the request went out and its outcome is not known; or why it was not sent: -ENOTCONN (no
 * channel), -ECANCELED (called off), -EBUSY (the front-end does not read, or owes too many answers).
 */

/**
 * vu_backreq_config_changed() - tell the front-end to read the configuration space again.
 *
 * Waits a second at most, and for an answer only where there is one.
 */
int vu_backreq_config_changed(struct vu_backreq *br);

/**
 * vu_backreq_map() - SHMEM_MAP: let a part of a file appear in shared memory.
 * @fd: the file; stays the caller's.
 *
 * Waits 10 seconds at most. -EOPNOTSUPP without REPLY_ACK: nobody could tell what came of it.
 */
int vu_backreq_map(struct vu_backreq *br, const struct vu_shmem_map *map, int fd);

/** vu_backreq_unmap() - SHMEM_UNMAP; otherwise the same. */
int vu_backreq_unmap(struct vu_backreq *br, const struct vu_shmem_map *map);

/**
 * vu_backreq_outcome() - what came of the last SHMEM_MAP or SHMEM_UNMAP that went out.
 *
 * Waits for its answer as long as it would have itself. 0 or -EREMOTEIO; -EINPROGRESS or -ECANCELED
 * while that is not known; -ENOTCONN when it never will be.
 */
int vu_backreq_outcome(struct vu_backreq *br);

#endif
