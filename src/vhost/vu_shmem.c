// SPDX-License-Identifier: Apache-2.0
/* The vhost-user device: shared memory, which is the DAX window, and what is mapped into it. */
/*
 * Theory of operation
 *
 * There is one region, with the id 0. The front-end reserves it in the guest's address space and maps
 * parts of files into it when we ask, over the back-end channel (vu_backreq.c). Any thread asks but the
 * control thread, which has to serve the main channel meanwhile.
 *
 * Some front-ends (QEMU with its generic vhost-user device) answer before the guest can see what they
 * have mapped, and make it visible and part of the memory table in one go: there the table that has the
 * mapping is awaited. Whether a front-end is of that kind is learned from the first mapping. The same part
 * of a file may be mapped twice, and a table still have what was unmapped: so what counts is that one more
 * such region comes. The number of regions is what limits such mappings. Of what is mapped for reading only
 * they do not tell; but they look at the next request when they are through with the last one, so one that
 * does no harm is sent behind it.
 *
 * Lock order: @lock is a leaf lock. Under it the control thread writes the list of regions, so that
 * others may read it; it alone reads it without.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fd.h"
#include "log.h"
#include "util.h"
#include "vu_backreq.h"
#include "vu_dev.h"
#include "vu_priv.h"

#define FIRST_MS    200  /* how long the first mapping waits for a memory table */
#define TABLE_MS    2000 /* how long others do, where such tables come */
#define SLOTS_MAX   256u /* QEMU's part of what vhost-user devices may have at once */
#define SLOTS_TABLE 8u   /* with SET_MEM_TABLE alone */

int vu_shmem_init(struct vu_dev *dev)
{
	struct vu_shmem *sm = &dev->shmem;
	pthread_condattr_t attr;
	int r = vu_backreq_new(&dev->backreq);

	if (r < 0)
		return r;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&sm->lock, NULL);
	pthread_cond_init(&sm->changed, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

void vu_shmem_done(struct vu_dev *dev)
{
	vu_backreq_free(dev->backreq);
	gmem_mirror_free(dev->shmem.mirror);
	pthread_cond_destroy(&dev->shmem.changed);
	pthread_mutex_destroy(&dev->shmem.lock);
}

uint64_t vu_shmem_features(const struct vu_dev *dev)
{
	if (!dev->conf.shmem_size)
		return 0;
	if (dev->conf.alioth)
		return UINT64_C(1) << VU_PROTOCOL_F_SHMEM_ALIOTH;
	return UINT64_C(1) << VU_PROTOCOL_F_SHMEM | UINT64_C(1) << VU_PROTOCOL_F_SHMEM_ADDR;
}

/* One while the front-end may tell where the window is. Without memory for it: EFAULT for such buffers. */
static void keep_mirror(struct vu_dev *dev)
{
	struct vu_shmem *sm = &dev->shmem;

	if (sm->agreed && dev->protocol >> VU_PROTOCOL_F_SHMEM_ADDR & 1) {
		if (!sm->mirror)
			(void)gmem_mirror_new(dev->conf.shmem_size, &sm->mirror);
		return;
	}
	gmem_mirror_free(sm->mirror);
	sm->mirror = NULL;
}

void vu_shmem_negotiated(struct vu_dev *dev)
{
	const uint64_t needed =
		(vu_shmem_features(dev) & ~(UINT64_C(1) << VU_PROTOCOL_F_SHMEM_ADDR)) |
		UINT64_C(1) << VU_PROTOCOL_F_REPLY_ACK | UINT64_C(1) << VU_PROTOCOL_F_BACKEND_REQ;
	struct vu_shmem *sm = &dev->shmem;

	pthread_mutex_lock(&sm->lock);
	sm->agreed = dev->conf.shmem_size && (dev->protocol & needed) == needed;
	sm->slots = dev->protocol >> VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS & 1;
	sm->tables = VU_TABLES_UNKNOWN;
	sm->last = (struct vu_region){0};
	keep_mirror(dev);
	pthread_cond_broadcast(&sm->changed);
	pthread_mutex_unlock(&sm->lock);
}

/* Where nothing could ever be mapped, the guest is better off without a window. */
int vu_shmem_get_config(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	struct vu_shmem_config *config = &reply->body.shmem_config;

	(void)msg;
	reply->hdr.size = sizeof(*config);
	if (dev->shmem.agreed) {
		config->nregions = 1;
		config->size[0] = dev->conf.shmem_size;
	}
	return 0;
}

void vu_shmem_call_off(struct vu_dev *dev)
{
	struct vu_shmem *sm = &dev->shmem;

	pthread_mutex_lock(&sm->lock);
	sm->calls++;
	pthread_cond_broadcast(&sm->changed);
	pthread_mutex_unlock(&sm->lock);
	vu_backreq_call_off(dev->backreq);
}

void vu_shmem_go_on(struct vu_dev *dev)
{
	vu_backreq_go_on(dev->backreq);
}

static bool is_region(const struct vu_region *region, const struct vu_region *mapped)
{
	return region->dev == mapped->dev && region->ino == mapped->ino &&
	       region->conf.offset == mapped->conf.offset && region->conf.size == mapped->conf.size;
}

static unsigned int count(const struct vu_region *regions, unsigned int n,
			  const struct vu_region *mapped)
{
	unsigned int found = 0;

	for (unsigned int i = 0; i < n; i++)
		found += is_region(&regions[i], mapped);
	return found;
}

bool vu_shmem_has_mapped(struct vu_dev *dev, const struct vu_region *region)
{
	struct vu_shmem *sm = &dev->shmem;
	bool r;

	pthread_mutex_lock(&sm->lock);
	r = sm->last.conf.size && is_region(region, &sm->last);
	pthread_mutex_unlock(&sm->lock);
	return r;
}

void vu_shmem_set_regions(struct vu_dev *dev, const struct vu_region *regions, unsigned int n)
{
	struct vu_shmem *sm = &dev->shmem;

	pthread_mutex_lock(&sm->lock);
	/* Perhaps later than it was waited for, or from one that was not thought to do it. */
	if (sm->last.conf.size &&
	    count(regions, n, &sm->last) > count(dev->regions, dev->nregions, &sm->last)) {
		sm->arrived = true;
		sm->tables = VU_TABLES_COME;
	}
	if (n)
		memcpy(dev->regions, regions, n * sizeof(*regions));
	dev->nregions = n;
	pthread_cond_broadcast(&sm->changed);
	pthread_mutex_unlock(&sm->lock);
}

/* Wait until the table has what was mapped; not when all were called off since. Under the lock. */
static void await_table(struct vu_dev *dev, unsigned int calls)
{
	struct vu_shmem *sm = &dev->shmem;
	int64_t ms = sm->tables == VU_TABLES_UNKNOWN ? FIRST_MS : TABLE_MS;
	struct timespec until;
	int r = 0;

	if (sm->tables == VU_TABLES_NONE)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms % 1000 * 1000000;
	until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (!sm->arrived && sm->agreed && sm->calls == calls && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&sm->changed, &sm->lock, &until);
	if (sm->arrived || r != ETIMEDOUT)
		return;
	if (sm->tables == VU_TABLES_UNKNOWN)
		sm->tables = VU_TABLES_NONE;
	else
		log_debug("vhost-user: a mapping is not in the memory table after %d ms", TABLE_MS);
}

/* May it have one more mapping? Under the lock. */
static int check_room(const struct vu_dev *dev)
{
	const struct vu_shmem *sm = &dev->shmem;

	if (!sm->agreed)
		return -EOPNOTSUPP;
	if (sm->tables != VU_TABLES_COME)
		return 0;
	return dev->nregions < (sm->slots ? SLOTS_MAX : SLOTS_TABLE) ? 0 : -ENOSPC;
}

int vu_dev_shmem_map(struct vu_dev *dev, int fd, uint64_t fd_offset, uint64_t shm_offset,
		     uint64_t len, bool write)
{
	const struct vu_shmem_map map = {
		.fd_offset = fd_offset,
		.shm_offset = shm_offset,
		.len = len,
		.flags = write ? VU_SHMEM_MAP_RW : 0,
	};
	struct vu_region mapped = {.conf = {.offset = fd_offset, .size = len}};
	struct vu_shmem *sm = &dev->shmem;
	unsigned int calls;
	struct stat st;
	bool alone;
	int r;

	r = fd_stat(fd, &st);
	if (r < 0)
		return r;
	mapped.dev = st.st_dev;
	mapped.ino = st.st_ino;
	pthread_mutex_lock(&sm->lock);
	r = check_room(dev);
	if (r == 0) {
		sm->last = mapped;
		sm->arrived = false;
	}
	calls = sm->calls;
	pthread_mutex_unlock(&sm->lock);
	if (r < 0)
		return r;
	r = vu_backreq_map(dev->backreq, &map, fd);
	log_debug("vhost-user: %llu bytes of a file at %llu mapped at %llu: %s",
		  (unsigned long long)len, (unsigned long long)fd_offset,
		  (unsigned long long)shm_offset, strerror(-r));
	if (r < 0)
		return r;
	pthread_mutex_lock(&sm->lock);
	if (sm->mirror)
		(void)gmem_mirror_map(sm->mirror, fd, fd_offset, shm_offset, len, write);
	if (write)
		await_table(dev, calls);
	alone = !write && sm->tables == VU_TABLES_COME;
	pthread_mutex_unlock(&sm->lock);
	if (alone)
		(void)vu_backreq_config_changed(dev->backreq);
	return 0;
}

int vu_dev_shmem_unmap(struct vu_dev *dev, uint64_t shm_offset, uint64_t len)
{
	const struct vu_shmem_map map = {.shm_offset = shm_offset, .len = len};
	struct vu_shmem *sm = &dev->shmem;
	int r;

	pthread_mutex_lock(&sm->lock);
	if (sm->mirror)
		(void)gmem_mirror_unmap(sm->mirror, shm_offset, len);
	pthread_mutex_unlock(&sm->lock);
	r = vu_backreq_unmap(dev->backreq, &map);
	log_debug("vhost-user: %llu bytes unmapped at %llu: %s", (unsigned long long)len,
		  (unsigned long long)shm_offset, strerror(-r));
	return r;
}

int vu_dev_shmem_outcome(struct vu_dev *dev)
{
	return vu_backreq_outcome(dev->backreq);
}

bool vu_dev_shmem_ready(struct vu_dev *dev)
{
	return dev->shmem.agreed && dev->have_channel;
}
