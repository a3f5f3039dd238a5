// SPDX-License-Identifier: Apache-2.0
/* Guest memory: a mirror of the DAX window, for buffers that lie in it. */
/*
 * Theory of operation
 *
 * The front-end shows the guest parts of files in its DAX window, and tells of the window's address but not
 * of what is in it: that is known here, as it was asked for here. So the same parts of the same files
 * are mapped in a range of ours, which is a region of the memory table.
 *
 * Elsewhere in the range an empty file is mapped. A system call that is given such an address, or one
 * behind the end of a file, fails with EFAULT; our own touch is SIGBUS, or SIGSEGV for a write where the
 * file may only be read, and the guard (guard.h) lives with both.
 *
 * Mapping replaces in one step what was there (MAP_FIXED), so queue threads need not be held: a request under
 * way gets the old pages or the new ones, as it would in the guest. Changes are made by one thread at a time.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "fd.h"
#include "gmem_internal.h"
#include "guard.h"

/* seccomp: memfd_create */
int gmem_mirror_new(uint64_t size, struct gmem_mirror **ret)
{
	struct gmem_mirror *m = calloc(1, sizeof(*m));
	uint8_t *at;
	int r;

	if (!m)
		return -ENOMEM;
	m->hole = -1;
	m->map = calloc(1, sizeof(*m->map));
	r = m->map ? 0 : -ENOMEM;
	if (r == 0) {
		m->hole = memfd_create("culvert-window-hole", MFD_CLOEXEC);
		r = m->hole < 0 ? -errno : 0;
	}
	if (r == 0)
		r = gmem_map_pages(m->hole, 0, size, PROT_READ | PROT_WRITE, m->map, &at);
	if (r < 0) {
		fd_close(&m->hole);
		free(m->map);
		free(m);
		return r;
	}
	atomic_init(&m->map->refs, 1);
	*ret = m;
	return 0;
}

static int show(struct gmem_mirror *m, int fd, uint64_t fd_offset, uint64_t offset, uint64_t len,
		int prot)
{
	if (!len || offset > m->map->len || len > m->map->len - offset)
		return -EINVAL;
	return mmap((uint8_t *)m->map->base + offset, (size_t)len, prot,
		    MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, (off_t)fd_offset) == MAP_FAILED
		       ? -errno
		       : 0;
}

int gmem_mirror_map(struct gmem_mirror *mirror, int fd, uint64_t fd_offset, uint64_t offset,
		    uint64_t len, bool write)
{
	return show(mirror, fd, fd_offset, offset, len, PROT_READ | (write ? PROT_WRITE : 0));
}

int gmem_mirror_unmap(struct gmem_mirror *mirror, uint64_t offset, uint64_t len)
{
	/* The offset lets the kernel join what is empty to one mapping again. */
	return show(mirror, mirror->hole, offset, offset, len, PROT_READ | PROT_WRITE);
}

void gmem_mirror_free(struct gmem_mirror *mirror)
{
	if (!mirror)
		return;
	(void)gmem_mirror_unmap(mirror, 0, mirror->map->len); /* tables may have it on */
	gmem_mapping_put(mirror->map);
	fd_close(&mirror->hole);
	free(mirror);
}
