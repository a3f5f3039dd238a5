/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the vhost-user device share. */
#ifndef CULVERT_VU_PRIV_H
#define CULVERT_VU_PRIV_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "gmem.h"
#include "vu_dev.h"
#include "vu_msg.h"

struct vu_backreq;

/**
 * struct vu_region - a region of the memory table, and the file that it came from.
 *
 * By these a region that a new table repeats is recognised, and keeps its mapping.
 */
struct vu_region {
	struct gmem_conf conf;
	dev_t dev;
	ino_t ino;
};

/* Does the front-end send a memory table that has what it has just mapped? */
enum vu_tables {
	VU_TABLES_UNKNOWN,
	VU_TABLES_NONE,
	VU_TABLES_COME,
};

/**
 * struct vu_shmem - shared memory (vu_shmem.c). All fields under @lock.
 * @changed: the memory table was changed, or @calls has risen.
 * @agreed: mapping was negotiated; written by the control thread, which reads it without the lock.
 * @slots:  and regions may be added to the memory table one by one.
 * @calls:  how often those who wait were called off.
 * @tables: enum vu_tables.
 * @last:   what was mapped last, as a memory table would have it; size 0 = nothing.
 * @arrived: a memory table came that has one more of it than the one before.
 * @mirror: what is mapped, for buffers there, when the front-end tells where that is; or NULL. Read
 *          by the control thread without the lock.
 */
struct vu_shmem {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool agreed;
	bool slots;
	unsigned int calls;
	enum vu_tables tables;
	struct vu_region last;
	bool arrived;
	struct gmem_mirror *mirror;
};

/**
 * struct vu_dev - the device. All fields belong to the control thread, but for the vrings
 * (vu_dev.h).
 * @sock:      the front-end, or -1.
 * @reader:    the message that is coming in.
 * @features:  acknowledged by SET_FEATURES.
 * @protocol:  acknowledged by SET_PROTOCOL_FEATURES.
 * @status:    as SET_STATUS left it.
 * @empty:     a table without regions, so that there is always one to go back to.
 * @gm:        the current table; never NULL. Queue threads see it through their vq only.
 * @regions:   what @gm consists of, @nregions entries. Written under @shmem.lock.
 * @log:       the dirty log; read by queue threads, changed while they are quiesced.
 * @inflight:  the mapped inflight region, or NULL.
 * @inflight_len: its bytes.
 * @inflight_guard: of its pages.
 * @backreq:   the back-end channel; locks for itself. Constant.
 * @have_channel: it is there.
 * @shmem:     shared memory; locks for itself.
 * @vrings:    @conf.max_queues of them.
 */
struct vu_dev {
	struct vu_dev_conf conf;
	char tag[36];
	int sock;
	struct vu_reader reader;
	uint64_t features;
	uint64_t protocol;
	uint8_t status;
	struct gmem *empty;
	struct gmem *gm;
	struct vu_region regions[GMEM_REGIONS_MAX];
	unsigned int nregions;
	struct gmem_log log;
	void *inflight;
	size_t inflight_len;
	struct guard_entry *inflight_guard;
	struct vu_backreq *backreq;
	bool have_channel;
	struct vu_shmem shmem;
	struct vu_vring vrings[];
};

/**
 * vu_handler - serves one kind of request.
 * @msg:   the request; sizes and number of descriptors are as its row says. Descriptors that are
 *         kept are taken out of it.
 * @reply: for a request with an answer of its own: hdr.size, body and fds (given away) to fill in.
 *
 * Returns 0, or a negative errno: refused, and nothing has changed.
 */
typedef int vu_handler(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply);

vu_handler vu_mem_set_table, vu_mem_add_region, vu_mem_remove_region, vu_mem_get_max_slots;
vu_handler vu_mem_set_log_base, vu_mem_set_log_fd, vu_mem_set_shmem_addr;
vu_handler vu_vring_set_num, vu_vring_set_addr, vu_vring_set_base, vu_vring_get_base;
vu_handler vu_vring_set_kick, vu_vring_set_call, vu_vring_set_err, vu_vring_set_enable;
vu_handler vu_inflight_get_fd, vu_inflight_set_fd;
vu_handler vu_shmem_get_config;

/** vu_dev_has() - whether a feature bit was acknowledged. */
static inline bool vu_dev_has(const struct vu_dev *dev, unsigned int bit)
{
	return dev->features >> bit & 1;
}

/** vu_vring_init() - no descriptors, stopped, disabled. */
void vu_vring_init(struct vu_vring *vr, unsigned int index);

/** vu_vring_forget() - forget size, addresses and base of a stopped ring; call and err stay. */
void vu_vring_forget(struct vu_vring *vr);

/** vu_vring_done() - close the descriptors of a stopped ring and forget what it was told. */
void vu_vring_done(struct vu_vring *vr);

/**
 * vu_vring_settle() - prepare a ring for being described anew.
 *
 * A ring that is started but disabled is stopped: User-Mode Linux takes its queues down by
 * disabling them and never asks for their base. Returns 0, or -EBUSY when the ring is started and
 * enabled.
 */
int vu_vring_settle(struct vu_dev *dev, struct vu_vring *vr);

/** vu_vring_settle_all() - the same for all rings; on -EBUSY none was stopped. */
int vu_vring_settle_all(struct vu_dev *dev);

/** vu_vring_stop_all() - stop and disable all rings; a new kick descriptor starts them again. */
void vu_vring_stop_all(struct vu_dev *dev);

/** vu_vring_start_all() - start the rings that have all they need. */
void vu_vring_start_all(struct vu_dev *dev);

/** vu_vring_rebind_all() - tell started rings of a new memory table. Queues are quiesced. */
void vu_vring_rebind_all(struct vu_dev *dev);

/** vu_vring_set_log_all() - let started rings log, or not. Queues are quiesced. */
void vu_vring_set_log_all(struct vu_dev *dev);

/** vu_mem_reset() - no memory table, no log. All rings are stopped. */
void vu_mem_reset(struct vu_dev *dev);

/** vu_shmem_init() - no shared memory yet, and no channel. 0 or -errno. */
int vu_shmem_init(struct vu_dev *dev);

/** vu_shmem_done() - nobody waits any more. */
void vu_shmem_done(struct vu_dev *dev);

/** vu_shmem_features() - the protocol feature that offers it, or 0. */
uint64_t vu_shmem_features(const struct vu_dev *dev);

/** vu_shmem_negotiated() - the protocol features are others. */
void vu_shmem_negotiated(struct vu_dev *dev);

/** vu_shmem_call_off() - nobody waits for the front-end until vu_shmem_go_on(). Nests. */
void vu_shmem_call_off(struct vu_dev *dev);

/** vu_shmem_go_on() - end of that. */
void vu_shmem_go_on(struct vu_dev *dev);

/**
 * vu_shmem_has_mapped() - whether this is what was mapped last, come as a region of memory.
 *
 * The guest may have made the file shorter since then.
 */
bool vu_shmem_has_mapped(struct vu_dev *dev, const struct vu_region *region);

/** vu_shmem_set_regions() - @dev->regions are these from now on; who waits for one is told. */
void vu_shmem_set_regions(struct vu_dev *dev, const struct vu_region *regions, unsigned int n);

/** vu_inflight_reset() - unmap the inflight region. All rings are stopped. */
void vu_inflight_reset(struct vu_dev *dev);

#endif
