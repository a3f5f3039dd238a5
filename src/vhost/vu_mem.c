// SPDX-License-Identifier: Apache-2.0
/* The vhost-user device: guest memory and the dirty log. */
/*
 * Theory of operation
 *
 * A changed memory table is built beside the current one, out of it: regions that are not wanted
 * any more are left out, new ones are put in, the others keep their mapping. Only when all of that
 * has succeeded are the queues quiesced and the tables exchanged; a refused message leaves the old
 * one in force. Requests in flight hold a reference on the table that they were translated by.
 *
 * A region is the same as an old one when address, size, offset and file are the same. The file is
 * known by device and inode number: a number cannot be used again while the old mapping holds it.
 *
 * Control thread only.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fd.h"
#include "util.h"
#include "vu_dev.h"
#include "vu_priv.h"

/* A table in the making. @gm: owned. */
struct draft {
	struct gmem *gm;
	struct vu_region regions[GMEM_REGIONS_MAX];
	unsigned int nregions;
};

static struct gmem_conf conf_of(const struct vu_mem_region *region)
{
	return (struct gmem_conf){
		.gpa = region->gpa,
		.size = region->size,
		.uva = region->uva,
		.offset = region->offset,
	};
}

static int identify(struct vu_dev *dev, const struct vu_mem_region *region, int fd,
		    struct vu_region *ret)
{
	struct stat st;
	int r = fd_stat(fd, &st);

	if (r < 0)
		return r;
	*ret = (struct vu_region){.conf = conf_of(region), .dev = st.st_dev, .ino = st.st_ino};
	ret->conf.cut = vu_shmem_has_mapped(dev, ret);
	return 0;
}

static bool same(const struct vu_region *a, const struct vu_region *b)
{
	return a->conf.gpa == b->conf.gpa && a->conf.size == b->conf.size &&
	       a->conf.uva == b->conf.uva && a->conf.offset == b->conf.offset && a->dev == b->dev &&
	       a->ino == b->ino;
}

static bool contains(const struct vu_region *list, unsigned int count, const struct vu_region *r)
{
	for (unsigned int i = 0; i < count; i++)
		if (same(&list[i], r))
			return true;
	return false;
}

static void draft_init(struct draft *d, const struct vu_dev *dev)
{
	d->gm = gmem_get(dev->gm);
	memcpy(d->regions, dev->regions, dev->nregions * sizeof(d->regions[0]));
	d->nregions = dev->nregions;
}

static void draft_done(struct draft *d)
{
	gmem_put(d->gm);
}

static int draft_add(struct draft *d, const struct vu_region *region, int fd)
{
	struct gmem *gm;
	int r = gmem_with(d->gm, &region->conf, fd, &gm);

	if (r < 0)
		return r;
	gmem_put(d->gm);
	d->gm = gm;
	d->regions[d->nregions++] = *region;
	return 0;
}

static int draft_remove(struct draft *d, unsigned int index)
{
	struct gmem *gm;
	int r = gmem_without(d->gm, &d->regions[index].conf, &gm);

	if (r < 0)
		return r;
	gmem_put(d->gm);
	d->gm = gm;
	d->regions[index] = d->regions[--d->nregions];
	return 0;
}

/* Put a draft in force; it holds the old table afterwards. */
static void publish(struct vu_dev *dev, struct draft *d)
{
	struct gmem *old = dev->gm;

	dev->conf.ops->quiesce(dev->conf.owner);
	dev->gm = d->gm;
	vu_vring_rebind_all(dev);
	dev->conf.ops->resume(dev->conf.owner);
	d->gm = old;
	vu_shmem_set_regions(dev, d->regions, d->nregions);
	vu_vring_start_all(dev);
}

int vu_mem_set_table(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	const struct vu_mem_table *table = &msg->body.mem;
	struct vu_region wanted[VU_MEM_REGIONS_MAX];
	unsigned int count = table->count;
	struct draft d;
	int r = 0;

	(void)reply;
	if (count > VU_MEM_REGIONS_MAX || count != msg->nfds ||
	    msg->hdr.size <
		    offsetof(struct vu_mem_table, region) + count * sizeof(table->region[0]))
		return -EINVAL;
	for (unsigned int i = 0; i < count; i++) {
		r = identify(dev, &table->region[i], msg->fds[i], &wanted[i]);
		if (r < 0)
			return r;
	}
	draft_init(&d, dev);
	for (unsigned int i = d.nregions; r == 0 && i-- > 0;)
		if (!contains(wanted, count, &d.regions[i]))
			r = draft_remove(&d, i);
	for (unsigned int i = 0; r == 0 && i < count; i++)
		if (!contains(d.regions, d.nregions, &wanted[i]))
			r = draft_add(&d, &wanted[i], msg->fds[i]);
	if (r == 0 && d.nregions != count)
		r = -EINVAL; /* one region twice */
	if (r == 0)
		publish(dev, &d);
	draft_done(&d);
	return r;
}

int vu_mem_add_region(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	struct vu_region region;
	struct draft d;
	int r = identify(dev, &msg->body.reg.region, msg->fds[0], &region);

	(void)reply;
	if (r < 0)
		return r;
	draft_init(&d, dev);
	r = draft_add(&d, &region, msg->fds[0]);
	if (r == 0)
		publish(dev, &d);
	draft_done(&d);
	return r;
}

int vu_mem_remove_region(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	const struct gmem_conf conf = conf_of(&msg->body.reg.region);
	struct draft d;
	unsigned int i;
	int r = -ENOENT;

	(void)reply;
	draft_init(&d, dev);
	for (i = 0; i < d.nregions; i++) {
		const struct gmem_conf *c = &d.regions[i].conf;

		if (c->gpa == conf.gpa && c->size == conf.size && c->uva == conf.uva)
			break;
	}
	if (i < d.nregions)
		r = draft_remove(&d, i);
	if (r == 0)
		publish(dev, &d);
	draft_done(&d);
	return r;
}

int vu_mem_get_max_slots(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	(void)dev;
	(void)msg;
	reply->hdr.size = sizeof(reply->body.u64);
	reply->body.u64 = GMEM_REGIONS_MAX;
	return 0;
}

/* Where the guest sees the DAX window: our mirror of it becomes memory there (an extension of contrib/qemu). */
int vu_mem_set_shmem_addr(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	const struct vu_shmem_addr *addr = &msg->body.shmem_addr;
	struct gmem *gm;
	struct draft d;
	int r;

	(void)reply;
	if (addr->shmid || !dev->shmem.mirror || (addr->size && addr->size != dev->conf.shmem_size))
		return -EINVAL;
	r = addr->size ? gmem_with_mirror(dev->gm, addr->gpa, dev->shmem.mirror, &gm)
		       : gmem_without_mirror(dev->gm, &gm);
	if (r < 0)
		return r;
	draft_init(&d, dev);
	gmem_put(d.gm);
	d.gm = gm;
	publish(dev, &d);
	draft_done(&d);
	return 0;
}

int vu_mem_set_log_base(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	struct gmem_log log, old;
	int r = gmem_log_init(&log, msg->fds[0], msg->body.log.size, msg->body.log.offset);

	(void)reply;
	if (r < 0)
		return r;
	dev->conf.ops->quiesce(dev->conf.owner);
	old = dev->log;
	dev->log = log;
	vu_vring_set_log_all(dev);
	dev->conf.ops->resume(dev->conf.owner);
	gmem_log_done(&old);
	return 0;
}

/* An eventfd that may be signalled when the log changes. Front-ends scan the log by themselves. */
int vu_mem_set_log_fd(struct vu_dev *dev, struct vu_msg *msg, struct vu_msg *reply)
{
	(void)dev;
	(void)msg;
	(void)reply;
	return 0;
}

void vu_mem_reset(struct vu_dev *dev)
{
	gmem_put(dev->gm);
	dev->gm = gmem_get(dev->empty);
	vu_shmem_set_regions(dev, NULL, 0);
	gmem_log_done(&dev->log);
}
