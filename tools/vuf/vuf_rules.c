// SPDX-License-Identifier: Apache-2.0
/* Personalities of front-ends that have a DAX window, and each request of a back end held against one. */
/*
 * Theory of operation
 *
 * A personality is a row of a table. What the specification forbids (a MAP over a mapping, an UNMAP that is
 * not one whole mapping, what is not aligned or out of bounds) is forbidden to all: it is noted, and the
 * test fails for it. What a front-end merely cannot do it refuses, and the back end has to live with that.
 *
 * Threads: the checks run on the thread that serves the channel.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"
#include "vuf_dax_impl.h"

#define F(name) (1ull << VU_PROTOCOL_F_##name)

static const struct vuf_rules table[] = {
	/* The specification to the letter. */
	{
		.name = "strict",
		.proto = VUF_PROTO_ALL | F(SHMEM),
		.shmem = VU_PROTOCOL_F_SHMEM,
	},
	/* Our own window for QEMU (contrib/qemu), which also tells where the guest sees it. */
	{
		.name = "culvert",
		.proto = VUF_PROTO_ALL | F(SHMEM) | F(SHMEM_ADDR),
		.shmem = VU_PROTOCOL_F_SHMEM,
	},
	/* vhost-user-test-device-pci of QEMU 11.1. */
	{
		.name = "qemu11",
		.proto = VUF_PROTO_ALL | F(SHMEM),
		.need = F(CONFIG),
		.shmem = VU_PROTOCOL_F_SHMEM,
		.refuses_past_end = true,
		.grows_empty = true,
		.regions = true,
		.late = true,
		.one_thread = true,
	},
	/* The same where memory tables are small. */
	{
		.name = "qemu11-slots",
		.proto = (VUF_PROTO_ALL | F(SHMEM)) & ~F(CONFIGURE_MEM_SLOTS),
		.need = F(CONFIG),
		.shmem = VU_PROTOCOL_F_SHMEM,
		.refuses_past_end = true,
		.grows_empty = true,
		.regions = true,
		.slots = VU_MEM_REGIONS_MAX,
		.late = true,
		.one_thread = true,
	},
	{
		.name = "crosvm",
		.proto = F(MQ) | F(REPLY_ACK) | F(BACKEND_REQ) | F(CONFIG) | F(RESET_DEVICE) |
			 F(SHMEM),
		.need = F(CONFIG),
		.shmem = VU_PROTOCOL_F_SHMEM,
		.unmaps_by_start = true,
		.keeps_on_reset = true,
	},
	{
		.name = "alioth",
		.proto = F(MQ) | F(REPLY_ACK) | F(BACKEND_REQ) | F(CONFIG) | F(BACKEND_SEND_FD) |
			 F(RESET_DEVICE) | F(CONFIGURE_MEM_SLOTS) | F(STATUS) | F(SHMEM_ALIOTH),
		.need = F(MQ) | F(REPLY_ACK) | F(BACKEND_REQ) | F(BACKEND_SEND_FD) |
			F(CONFIGURE_MEM_SLOTS) | F(SHMEM_ALIOTH),
		.shmem = VU_PROTOCOL_F_SHMEM_ALIOTH,
		.no_config = true,
		.keeps_on_reset = true,
		.asks_all = true,
		.kick_first = true,
	},
	/* Knows of no window, and so has no channel. */
	{
		.name = "nochannel",
		.proto = VUF_PROTO_ALL & ~(F(BACKEND_REQ) | F(BACKEND_SEND_FD)),
	},
};

const struct vuf_rules *vuf_rules_at(unsigned int i)
{
	return i < ARRAY_SIZE(table) ? &table[i] : NULL;
}

const struct vuf_rules *vuf_rules_named(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(table); i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

void vuf_dax_forbidden(struct vuf_dax *d, const char *fmt, ...)
{
	char line[200];
	size_t len;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&d->lock);
	len = strlen(d->wrong);
	snprintf(d->wrong + len, sizeof(d->wrong) - len, "%s\n", line);
	pthread_mutex_unlock(&d->lock);
}

#define FORBID(d, req, why)                                                                        \
	(vuf_dax_forbidden(                                                                        \
		 d, "%s %#llx+%#llx of %#llx, flags %llu: %s", (req)->map ? "MAP" : "UNMAP",       \
		 (unsigned long long)(req)->m.shm_offset, (unsigned long long)(req)->m.len,        \
		 (unsigned long long)(req)->m.fd_offset, (unsigned long long)(req)->m.flags, why), \
	 -EINVAL)

/* A MAP or an UNMAP. */
struct asked {
	bool map;
	struct vu_shmem_map m;
	unsigned int nfds;
	int fd;
};

/* What can be seen without knowing what is mapped. */
static int check_form(struct vuf_dax *d, const struct asked *req)
{
	static const uint8_t zero[7];
	const struct vu_shmem_map *m = &req->m;

	if (memcmp(m->padding, zero, sizeof(zero)) != 0)
		return FORBID(d, req, "padding is not zero");
	if (m->shmid != 0)
		return FORBID(d, req, "no such region");
	if (m->flags & ~VU_SHMEM_MAP_RW)
		return FORBID(d, req, "unknown flags");
	if (req->nfds != req->map)
		return FORBID(d, req, req->map ? "not one descriptor" : "a descriptor");
	if (!m->len || (m->len | m->shm_offset | m->fd_offset) % VUF_PAGE)
		return FORBID(d, req, "not aligned");
	if (m->len > d->size || m->shm_offset > d->size - m->len)
		return FORBID(d, req, "out of bounds");
	if (req->map && m->fd_offset > INT64_MAX - m->len)
		return FORBID(d, req, "more than a file can have");
	return 0;
}

static int check_file(struct vuf_dax *d, const struct asked *req)
{
	int flags = fcntl(req->fd, F_GETFL);
	bool write = req->m.flags & VU_SHMEM_MAP_RW;
	struct stat st;

	if (flags < 0 || fstat(req->fd, &st) < 0)
		return FORBID(d, req, "a bad descriptor");
	if (!S_ISREG(st.st_mode))
		return FORBID(d, req, "not a regular file");
	if (flags & O_PATH || (flags & O_ACCMODE) == O_WRONLY ||
	    (write && (flags & O_ACCMODE) != O_RDWR))
		return FORBID(d, req, "the file is not open for that");
	if (d->rules->grows_empty && !st.st_size) {
		(void)!ftruncate(req->fd, (off_t)(req->m.fd_offset + req->m.len));
		return FORBID(d, req, "an empty file grows by it");
	}
	if (d->rules->refuses_past_end && req->m.fd_offset + req->m.len > (uint64_t)st.st_size) {
		pthread_mutex_lock(&d->lock);
		d->stats.past_end++;
		pthread_mutex_unlock(&d->lock);
		return -EINVAL;
	}
	return 0;
}

static bool overlap(const struct vuf_dax_map *map, const struct vu_shmem_map *m)
{
	return m->shm_offset < map->at + map->len && map->at < m->shm_offset + m->len;
}

static int check_map(struct vuf_dax *d, const struct asked *req)
{
	bool taken = false;
	size_t used = d->v->mem.nregions;

	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < d->nmaps; i++)
		taken |= overlap(&d->map[i], &req->m);
	used += d->nmaps;
	pthread_mutex_unlock(&d->lock);
	if (taken)
		return FORBID(d, req, "over a mapping");
	if (d->rules->slots && used >= d->rules->slots)
		return -ENOSPC;
	return check_file(d, req);
}

/* Whether there is one; @exact: it has that length, too. */
static bool find(const struct vuf_dax_map *map, size_t n, const struct vu_shmem_map *m, bool exact)
{
	for (size_t i = 0; i < n; i++)
		if (map[i].at == m->shm_offset && (!exact || map[i].len == m->len))
			return true;
	return false;
}

static int check_unmap(struct vuf_dax *d, const struct asked *req)
{
	bool whole, known, gone;

	pthread_mutex_lock(&d->lock);
	whole = find(d->map, d->nmaps, &req->m, true);
	known = find(d->map, d->nmaps, &req->m, false);
	gone = find(d->gone, d->ngone, &req->m, true);
	pthread_mutex_unlock(&d->lock);
	if (whole)
		return 0;
	if (gone && !known)
		return -ENOENT;
	(void)FORBID(d, req, "not one whole mapping");
	return known && d->rules->unmaps_by_start ? 0 : -EINVAL;
}

int vuf_dax_check(struct vuf_dax *d, const struct vu_msg *msg)
{
	struct asked req = {
		.map = msg->hdr.request == VU_BACKEND_SHMEM_MAP,
		.m = msg->body.shmem,
		.nfds = msg->nfds,
		.fd = msg->nfds ? msg->fds[0] : -1,
	};
	int r;

	if (msg->hdr.size != sizeof(req.m)) {
		vuf_dax_forbidden(d, "a request of %u bytes", msg->hdr.size);
		return -EINVAL;
	}
	r = check_form(d, &req);
	if (r == 0)
		r = req.map ? check_map(d, &req) : check_unmap(d, &req);
	return r;
}
