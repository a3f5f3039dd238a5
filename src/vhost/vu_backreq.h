/* SPDX-License-Identifier: Apache-2.0 */
/* The back-end channel: requests from us to the front-end. */
#ifndef CULVERT_VU_BACKREQ_H
#define CULVERT_VU_BACKREQ_H

#include <stdbool.h>

struct vu_backreq;

/** vu_backreq_new() - use @sock (taken) as the channel; @ack: REPLY_ACK was negotiated. */
int vu_backreq_new(int sock, bool ack, struct vu_backreq **ret);

/** vu_backreq_free() - close it. Accepts NULL. */
void vu_backreq_free(struct vu_backreq *br);

/**
 * vu_backreq_config_changed() - tell the front-end to read the configuration space again.
 *
 * Never blocks for long: the answer, where one is asked for, is waited for at most a second. 0 or
 * -errno.
 */
int vu_backreq_config_changed(struct vu_backreq *br);

#endif
