// SPDX-License-Identifier: Apache-2.0
/* The front-end's side of a DAX window: its memory. */
/*
 * Theory of operation
 *
 * The window is a range of the guest's physical addresses, reserved like all of them (vuf_mem.c) without any
 * access. A MAP puts the file's pages there with MAP_FIXED, an UNMAP the reservation back; so a test reads
 * and writes the file's own pages, and touches nothing where nothing is mapped.
 *
 * Where mappings are regions of memory, the back end is told of each right after it was made: with
 * ADD_MEM_REG, or with a whole table where it has no slots.
 *
 * Threads: vuf_dax_up(), _down() and _reset() belong to the thread that owns the connection; mappings
 * are made and removed by the thread that serves the channel (vuf_chan.c). Both take vuf.lock to speak on
 * the connection. The list of mappings is under vuf_dax.lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "util.h"
#include "vuf_dax_impl.h"

#define HAS(v, bit) ((v)->proto >> (bit)&1)

uint64_t vuf_dax_size(const struct vuf *v)
{
	return v->dax ? v->dax->size : 0;
}

void *vuf_dax_at(const struct vuf *v, uint64_t offset)
{
	return v->mem.base + VUF_DAX_GPA + offset;
}

/* The kernel copies as it would for a system call: what is not there is an error and no signal. */
int vuf_dax_read(const struct vuf *v, uint64_t offset, void *buf, size_t len)
{
	struct iovec local = {buf, len}, remote = {vuf_dax_at(v, offset), len};

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)len ? 0 : -EFAULT;
}

int vuf_dax_write(const struct vuf *v, uint64_t offset, const void *buf, size_t len)
{
	struct iovec local = {(void *)(uintptr_t)buf, len}, remote = {vuf_dax_at(v, offset), len};

	return process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)len ? 0 : -EFAULT;
}

/* Put the reservation back. */
static void reserve(const struct vuf_dax *d, uint64_t at, uint64_t len)
{
	if (mmap(vuf_dax_at(d->v, at), len, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		abort(); /* the window would stay open, and tests see what is not there */
}

static int push(struct vuf_dax_map **list, size_t *n, size_t *cap, const struct vuf_dax_map *map)
{
	if (*n == *cap) {
		size_t want = *cap ? 2 * *cap : 64;
		struct vuf_dax_map *more = realloc(*list, want * sizeof(*more));

		if (!more)
			return -ENOMEM;
		*list = more;
		*cap = want;
	}
	(*list)[(*n)++] = *map;
	return 0;
}

static struct vuf_region region_of(const struct vuf_dax *d, const struct vuf_dax_map *map)
{
	return (struct vuf_region){
		.gpa = VUF_DAX_GPA + map->at,
		.size = map->len,
		.offset = map->fd_offset,
		.uva = (uintptr_t)vuf_dax_at(d->v, map->at),
		.fd = map->fd,
	};
}

/* QEMU keeps read-only memory to itself. */
static bool is_region(const struct vuf_dax *d, const struct vuf_dax_map *map)
{
	return d->rules->regions && map->write;
}

unsigned int vuf_dax_regions(struct vuf *v, struct vuf_region *ret, unsigned int max)
{
	struct vuf_dax *d = v->dax;
	unsigned int n = 0;

	if (!d || !d->rules->regions)
		return 0;
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < d->nmaps && n < max; i++)
		if (is_region(d, &d->map[i]))
			ret[n++] = region_of(d, &d->map[i]);
	pthread_mutex_unlock(&d->lock);
	return n;
}

/* Tell the back end of a mapping that came or goes. */
static void tell(struct vuf_dax *d, const struct vuf_dax_map *map, bool came)
{
	struct vuf_region rg = region_of(d, map);
	int r;

	if (!HAS(d->v, VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		r = vuf_share_mem(d->v);
	else
		r = came ? vuf_add_region(d->v, &rg) : vuf_rem_region(d->v, &rg);
	if (r < 0 && r != -EPIPE && r != -ECONNRESET && r != -EBADF)
		vuf_dax_forbidden(d, "a mapping as a region of memory is refused: %s",
				  strerror(-r));
}

static int add_map(struct vuf_dax *d, const struct vu_shmem_map *m, int fd)
{
	bool write = m->flags & VU_SHMEM_MAP_RW;
	struct vuf_dax_map map = {m->shm_offset, m->len, m->fd_offset, write, -1};
	int r;

	if (is_region(d, &map)) {
		map.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (map.fd < 0)
			return -errno;
	}
	pthread_mutex_lock(&d->lock);
	r = push(&d->map, &d->nmaps, &d->cap, &map);
	if (r == 0 && mmap(vuf_dax_at(d->v, map.at), map.len, PROT_READ | (write ? PROT_WRITE : 0),
			   MAP_SHARED | MAP_FIXED, fd, (off_t)map.fd_offset) == MAP_FAILED) {
		r = -errno;
		d->nmaps--;
		reserve(d, map.at, map.len);
	}
	d->stats.live = (unsigned int)d->nmaps;
	pthread_mutex_unlock(&d->lock);
	if (r < 0)
		fd_close(&map.fd);
	else if (is_region(d, &map))
		tell(d, &map, true);
	return r;
}

static int drop_map(struct vuf_dax *d, uint64_t at)
{
	struct vuf_dax_map map = {.fd = -1};
	int r = -ENOENT;

	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < d->nmaps && r < 0; i++) {
		if (d->map[i].at != at)
			continue;
		map = d->map[i];
		d->map[i] = d->map[--d->nmaps];
		reserve(d, map.at, map.len);
		r = 0;
	}
	pthread_mutex_unlock(&d->lock);
	if (r == 0 && is_region(d, &map))
		tell(d, &map, false);
	fd_close(&map.fd);
	return r;
}

int vuf_dax_apply(struct vuf_dax *d, struct vu_msg *msg)
{
	const struct vu_shmem_map *m = &msg->body.shmem;

	return msg->hdr.request == VU_BACKEND_SHMEM_MAP ? add_map(d, m, msg->fds[0])
							: drop_map(d, m->shm_offset);
}

void vuf_dax_clear(struct vuf_dax *d)
{
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < d->nmaps; i++)
		fd_close(&d->map[i].fd);
	d->nmaps = 0;
	d->stats.live = 0;
	if (d->size)
		reserve(d, 0, d->size);
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

/* The answer to GET_SHMEM_CONFIG, which is larger than any other message. */
static int recv_config(struct vuf *v, struct vu_shmem_config *ret)
{
	struct vu_hdr hdr;
	struct timeval tv = {.tv_sec = v->conf.timeout_ms / 1000,
			     .tv_usec = v->conf.timeout_ms % 1000 * 1000};
	static const struct timeval never;
	unsigned int nfds = 0;
	int r;

	setsockopt(v->sock, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	r = fd_recvmsg(v->sock, &hdr, sizeof(hdr), NULL, 0, &nfds);
	if (r == 1 && (hdr.request != VU_GET_SHMEM_CONFIG ||
		       hdr.flags != (VU_VERSION | VU_FLAG_REPLY) || hdr.size != sizeof(*ret)))
		r = -EPROTO;
	if (r == 1)
		r = fd_recvmsg(v->sock, ret, sizeof(*ret), NULL, 0, &nfds);
	setsockopt(v->sock, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof(never));
	if (r <= 0)
		return r < 0 ? r : -ECONNRESET;
	return 0;
}

int vuf_get_shmem_config(struct vuf *v, struct vu_shmem_config *ret)
{
	int r;

	pthread_mutex_lock(&v->lock);
	r = vuf_send(v, VU_GET_SHMEM_CONFIG, NULL, 0, NULL, 0, false);
	if (r == 0)
		r = recv_config(v, ret);
	pthread_mutex_unlock(&v->lock);
	return r;
}

int vuf_set_shmem_addr(struct vuf *v, uint64_t gpa, uint64_t size)
{
	const struct vu_shmem_addr addr = {.gpa = gpa, .size = size};

	return vuf_send_ack(v, VU_SET_SHMEM_ADDR, &addr, sizeof(addr), NULL, 0);
}

/* One window that starts at id 0, of a size that a BAR can have. */
static int ask_size(struct vuf_dax *d, uint64_t *ret)
{
	struct vu_shmem_config c = {0};
	uint64_t size;
	int r;

	if (d->rules->no_config) {
		*ret = d->v->conf.dax_size;
		return 0;
	}
	r = vuf_get_shmem_config(d->v, &c);
	if (r < 0)
		return r;
	size = c.size[0];
	if (c.nregions != 1 || c.padding || !size || size & (size - 1) || size % VUF_PAGE)
		vuf_dax_forbidden(d, "a window of %#llx bytes, %u in all", (unsigned long long)size,
				  c.nregions);
	for (unsigned int i = 1; i < VU_SHMEM_REGIONS; i++)
		if (c.size[i])
			vuf_dax_forbidden(d, "there is a window %u", i);
	*ret = size;
	return 0;
}

static struct vuf_dax *make(struct vuf *v)
{
	struct vuf_dax *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->v = v;
	d->rules = v->conf.rules;
	d->sock = -1;
	d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	if (d->wake_fd < 0) {
		free(d);
		return NULL;
	}
	return d;
}

int vuf_dax_up(struct vuf *v)
{
	struct vuf_dax *d = v->dax;
	uint64_t size;
	int r;

	if (!v->conf.rules || !v->conf.rules->shmem || !HAS(v, v->conf.rules->shmem))
		return 0;
	if (!d)
		d = v->dax = make(v);
	if (!d)
		return -ENOMEM;
	r = ask_size(d, &size);
	if (r < 0)
		return r;
	if (size > VUF_DAX_MAX)
		return -E2BIG;
	d->size = size;
	if (!HAS(v, VU_PROTOCOL_F_BACKEND_REQ))
		return 0;
	r = vuf_set_backend_channel(v);
	if (r < 0)
		return r;
	d->sock = v->backend_fd;
	v->backend_fd = -1;
	d->ending = false;
	d->stats.closed = false;
	fd_drain(d->wake_fd);
	r = -pthread_create(&d->thread, NULL, vuf_dax_serve, d);
	d->running = r == 0;
	return r;
}

void vuf_dax_down(struct vuf *v)
{
	struct vuf_dax *d = v->dax;

	if (!d)
		return;
	if (d->running) {
		pthread_mutex_lock(&d->lock);
		d->ending = true;
		pthread_cond_broadcast(&d->changed);
		pthread_mutex_unlock(&d->lock);
		fd_signal(d->wake_fd);
		pthread_join(d->thread, NULL);
		d->running = false;
	}
	fd_close(&d->sock);
	vuf_dax_clear(d);
	d->ngone = 0;
}

void vuf_dax_free(struct vuf *v)
{
	struct vuf_dax *d = v->dax;

	if (!d)
		return;
	fd_close(&d->wake_fd);
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->changed);
	free(d->map);
	free(d->gone);
	free(d);
	v->dax = NULL;
}

/* Take all mappings without having been asked to, and remember that. */
static void forget_all(struct vuf_dax *d)
{
	struct vuf_dax_map map = {0};

	for (;;) {
		bool any;

		pthread_mutex_lock(&d->lock);
		any = d->nmaps > 0;
		if (any) {
			map = d->map[0];
			map.fd = -1;
			(void)push(&d->gone, &d->ngone, &d->gone_cap, &map);
		}
		pthread_mutex_unlock(&d->lock);
		if (!any)
			break;
		(void)drop_map(d, map.at);
	}
	pthread_mutex_lock(&d->lock);
	d->stats.live = 0;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

int vuf_dax_reset(struct vuf *v)
{
	struct vuf_dax *d = v->dax;
	int r = vuf_set_none(v, VU_RESET_DEVICE);

	if (!d || d->rules->keeps_on_reset)
		return r;
	pthread_mutex_lock(&v->lock);
	forget_all(d);
	pthread_mutex_unlock(&v->lock);
	return r;
}

void vuf_dax_set_mood(struct vuf *v, enum vuf_dax_mood mood, int ms)
{
	struct vuf_dax *d = v->dax;

	pthread_mutex_lock(&d->lock);
	d->mood = mood;
	d->late_ms = ms;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

struct vuf_dax_stats vuf_dax_stats(struct vuf *v)
{
	struct vuf_dax_stats stats = {0};

	if (!v->dax)
		return stats;
	pthread_mutex_lock(&v->dax->lock);
	stats = v->dax->stats;
	pthread_mutex_unlock(&v->dax->lock);
	return stats;
}

static bool wait_for(struct vuf *v, bool (*is_so)(const struct vuf_dax *, uint64_t), uint64_t n,
		     int timeout_ms)
{
	struct vuf_dax *d = v->dax;
	struct timespec until;
	bool so;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += timeout_ms / 1000 + 1;
	pthread_mutex_lock(&d->lock);
	while (!is_so(d, n))
		if (pthread_cond_timedwait(&d->changed, &d->lock, &until) == ETIMEDOUT)
			break;
	so = is_so(d, n);
	pthread_mutex_unlock(&d->lock);
	return so;
}

static bool has_requests(const struct vuf_dax *d, uint64_t n)
{
	return d->stats.requests >= n;
}

static bool has_live(const struct vuf_dax *d, uint64_t n)
{
	return d->stats.live == n;
}

bool vuf_dax_wait_requests(struct vuf *v, uint64_t n, int timeout_ms)
{
	return wait_for(v, has_requests, n, timeout_ms);
}

bool vuf_dax_wait_live(struct vuf *v, unsigned int n, int timeout_ms)
{
	return wait_for(v, has_live, n, timeout_ms);
}

bool vuf_dax_quiet(struct vuf *v, int timeout_ms)
{
	uint64_t features;

	/* It closes what came with a message after it has answered it, but before the next one. */
	return vuf_dax_wait_live(v, 0, timeout_ms) &&
	       vuf_get_u64(v, VU_GET_FEATURES, &features) == 0;
}

bool vuf_dax_pending(struct vuf *v, int timeout_ms)
{
	struct pollfd pfd = {.fd = v->dax->sock, .events = POLLIN};

	return poll(&pfd, 1, timeout_ms) == 1;
}

const char *vuf_dax_wrong(struct vuf *v)
{
	const char *wrong = NULL;

	if (!v->dax)
		return NULL;
	pthread_mutex_lock(&v->dax->lock);
	if (v->dax->wrong[0])
		wrong = v->dax->wrong;
	pthread_mutex_unlock(&v->dax->lock);
	return wrong;
}
