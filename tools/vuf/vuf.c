// SPDX-License-Identifier: Apache-2.0
/* A vhost-user front-end: from a configuration to a device that runs. */
/*
 * Theory of operation
 *
 * Memory and rings exist without a connection and outlive it, as a guest outlives a back end that is
 * started again: vuf_attach() and vuf_bring_up() then go on with the same rings. What was negotiated
 * belongs to the connection and is asked for anew.
 *
 * Rings are laid out when the front-end is made, so their format and features come from the
 * configuration; a back end that lacks one of them is refused, never worked around in silence:
 * a test must not run in another mode than it says.
 *
 * Threads: one sends messages; rings may be driven by others meanwhile.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "util.h"
#include "vuf.h"

#define MIB (1024u * 1024u)

/* Low memory in two adjacent pieces, and more above a hole, as a PC has it. */
static const struct vuf_region default_regions[] = {
	{.gpa = 0, .size = 8 * MIB, .fd = -1},
	{.gpa = 8 * MIB, .size = 24 * MIB, .offset = VUF_PAGE, .fd = -1},
	{.gpa = 4096ull * MIB, .size = 32 * MIB, .fd = -1},
};

static void fill_defaults(struct vuf_conf *c)
{
	if (!c->rings)
		c->rings = 2;
	if (!c->ring_size)
		c->ring_size = 128;
	if (!c->nregions) {
		c->region = default_regions;
		c->nregions = ARRAY_SIZE(default_regions);
	}
	if (c->rules)
		c->proto = c->rules->proto;
	else if (!c->proto)
		c->proto = VUF_PROTO_ALL;
	if (!c->timeout_ms)
		c->timeout_ms = 20000;
}

static int make_rings(struct vuf *v)
{
	v->ring = calloc(v->conf.rings, sizeof(*v->ring));
	if (!v->ring)
		return -ENOMEM;
	for (unsigned int i = 0; i < v->conf.rings; i++) {
		struct vuf_ring_conf rc = {
			.index = i,
			.size = v->conf.ring_size,
			.packed = v->conf.packed,
			.event_idx = !v->conf.no_event_idx,
			.indirect = !v->conf.no_indirect,
		};
		int r = vuf_ring_init(&v->ring[i], &v->mem, &rc);

		if (r < 0)
			return r;
		v->nrings++;
	}
	return 0;
}

int vuf_new(const struct vuf_conf *conf, struct vuf **ret)
{
	struct vuf *v = calloc(1, sizeof(*v));
	pthread_mutexattr_t attr;
	int r;

	if (!v)
		return -ENOMEM;
	v->sock = v->backend_fd = -1;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&v->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	v->conf = *conf;
	fill_defaults(&v->conf);
	r = v->conf.rings > VUF_RINGS_MAX ? -EINVAL : vuf_mem_init(&v->mem);
	for (unsigned int i = 0; r >= 0 && i < v->conf.nregions; i++)
		r = vuf_mem_add(&v->mem, &v->conf.region[i]);
	if (r >= 0)
		r = make_rings(v);
	if (r < 0) {
		vuf_free(v);
		return r;
	}
	*ret = v;
	return 0;
}

void vuf_free(struct vuf *v)
{
	if (!v)
		return;
	vuf_hangup(v);
	vuf_dax_free(v);
	for (unsigned int i = 0; i < v->nrings; i++)
		vuf_ring_done(&v->ring[i]);
	free(v->ring);
	vuf_mem_done(&v->mem);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

int vuf_connect(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	scoped_fd int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (sock < 0)
		return -errno;
	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	memcpy(sun.sun_path, path, strlen(path));
	if (connect(sock, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return -errno;
	return fd_steal(&sock);
}

void vuf_attach(struct vuf *v, int sock)
{
	vuf_hangup(v);
	v->sock = sock;
	v->features = v->offered = v->proto = v->proto_offered = 0;
	for (unsigned int i = 0; i < v->nrings; i++)
		v->ring[i].watch_fd = sock;
}

void vuf_hangup(struct vuf *v)
{
	for (unsigned int i = 0; i < v->nrings; i++)
		v->ring[i].watch_fd = -1;
	/* So that nobody waits for an answer any more. */
	if (v->sock >= 0)
		shutdown(v->sock, SHUT_RDWR);
	vuf_dax_down(v);
	fd_close(&v->sock);
	fd_close(&v->backend_fd);
}

static uint64_t wanted_features(const struct vuf_conf *c)
{
	uint64_t want = 1ull << VUF_F_VERSION_1;

	if (c->packed)
		want |= 1ull << VUF_F_PACKED;
	if (!c->no_indirect)
		want |= 1ull << VIRTIO_RING_F_INDIRECT_DESC;
	if (!c->no_event_idx)
		want |= 1ull << VIRTIO_RING_F_EVENT_IDX;
	if (c->log_all)
		want |= 1ull << VU_F_LOG_ALL;
	return want;
}

int vuf_negotiate(struct vuf *v)
{
	uint64_t want = wanted_features(&v->conf), proto_bit = 1ull << VU_F_PROTOCOL_FEATURES;
	const struct vuf_rules *rules = v->conf.rules;
	uint64_t queues = 2;
	int r = vuf_get_u64(v, VU_GET_FEATURES, &v->offered);

	if (r < 0)
		return r;
	if ((v->offered & want) != want || !(v->offered & proto_bit))
		return -ENOTSUP;
	r = vuf_get_u64(v, VU_GET_PROTOCOL_FEATURES, &v->proto_offered);
	if (r == 0) {
		uint64_t proto = v->proto_offered & v->conf.proto;

		if (rules && rules->need & ~proto)
			return -ENOTSUP;
		/* Sent before REPLY_ACK holds, so most ask for no answer. */
		if (rules && rules->asks_all)
			v->proto = proto;
		r = vuf_set_u64(v, VU_SET_PROTOCOL_FEATURES, proto);
		v->proto = proto;
	}
	if (r == 0 && (v->proto & (1ull << VU_PROTOCOL_F_MQ)))
		r = vuf_get_u64(v, VU_GET_QUEUE_NUM, &queues);
	if (r == 0 && queues < v->nrings)
		r = -ENOTSUP;
	if (r == 0)
		r = vuf_dax_up(v);
	if (r == 0)
		r = vuf_set_none(v, VU_SET_OWNER);
	if (r == 0)
		r = vuf_set_u64(v, VU_SET_FEATURES, want | proto_bit);
	if (r == 0)
		v->features = want | proto_bit;
	return r;
}

int vuf_share_mem(struct vuf *v)
{
	bool one_by_one = v->conf.rules && v->conf.rules->kick_first;
	struct vu_mem_table table = {0};
	struct vuf_region rg[VUF_REGIONS_MAX + VU_MEM_REGIONS_MAX];
	unsigned int total = v->mem.nregions, n;
	int fds[VU_MEM_REGIONS_MAX];
	int r = 0;

	memcpy(rg, v->mem.region, total * sizeof(rg[0]));
	total += vuf_dax_regions(v, rg + total, VU_MEM_REGIONS_MAX);
	n = one_by_one ? 0 : MIN(total, VU_MEM_REGIONS_MAX);
	table.count = n;
	for (unsigned int i = 0; i < n; i++) {
		table.region[i] = vuf_region_wire(&rg[i]);
		fds[i] = rg[i].fd;
	}
	if (!one_by_one)
		r = vuf_send_ack(v, VU_SET_MEM_TABLE, &table,
				 offsetof(struct vu_mem_table, region) +
					 n * sizeof(table.region[0]),
				 fds, n);
	for (unsigned int i = n; r == 0 && i < total; i++)
		r = vuf_add_region(v, &rg[i]);
	return r;
}

/* The descriptors first, and what starts the ring last. */
static int start_kick_first(struct vuf *v, unsigned int i, uint32_t base)
{
	struct vuf_ring *ring = &v->ring[i];
	int r = vuf_set_fd(v, VU_SET_VRING_ERR, i, ring->err_fd);

	if (r == 0)
		r = vuf_set_fd(v, VU_SET_VRING_KICK, i, ring->kick_fd);
	if (r == 0)
		r = vuf_set_fd(v, VU_SET_VRING_CALL, i, ring->call_fd);
	if (r == 0)
		r = vuf_set_state(v, VU_SET_VRING_NUM, i, ring->conf.size);
	if (r == 0)
		r = vuf_set_state(v, VU_SET_VRING_BASE, i, base);
	if (r == 0)
		r = vuf_set_addr(v, i, v->conf.log_all ? VU_VRING_F_LOG : 0);
	if (r == 0)
		r = vuf_set_state(v, VU_SET_VRING_ENABLE, i, 1);
	return r;
}

int vuf_ring_start(struct vuf *v, unsigned int i, uint32_t base)
{
	struct vuf_ring *ring = &v->ring[i];
	int r;

	if (v->conf.rules && v->conf.rules->kick_first)
		return start_kick_first(v, i, base);
	r = vuf_set_state(v, VU_SET_VRING_NUM, i, ring->conf.size);
	if (r == 0)
		r = vuf_set_addr(v, i, v->conf.log_all ? VU_VRING_F_LOG : 0);
	if (r == 0)
		r = vuf_set_state(v, VU_SET_VRING_BASE, i, base);
	if (r == 0)
		r = vuf_set_fd(v, VU_SET_VRING_ERR, i, ring->err_fd);
	if (r == 0)
		r = vuf_set_fd(v, VU_SET_VRING_CALL, i, ring->call_fd);
	if (r == 0)
		r = vuf_set_fd(v, VU_SET_VRING_KICK, i, ring->kick_fd);
	if (r == 0)
		r = vuf_set_state(v, VU_SET_VRING_ENABLE, i, 1);
	return r;
}

int vuf_ring_stop(struct vuf *v, unsigned int i, uint32_t *ret_base)
{
	uint32_t base;
	int r = vuf_set_state(v, VU_SET_VRING_ENABLE, i, 0);

	if (r == 0)
		r = vuf_get_base(v, i, &base);
	if (r == 0 && ret_base)
		*ret_base = base;
	return r;
}

int vuf_bring_up(struct vuf *v)
{
	int r = vuf_negotiate(v);

	if (r == 0)
		r = vuf_share_mem(v);
	if (r == 0 && vuf_dax_size(v) && v->proto >> VU_PROTOCOL_F_SHMEM_ADDR & 1)
		r = vuf_set_shmem_addr(v, VUF_DAX_GPA, vuf_dax_size(v));
	for (unsigned int i = 0; r == 0 && i < v->nrings; i++)
		r = vuf_ring_start(v, i, vuf_ring_base(&v->ring[i]));
	return r;
}
