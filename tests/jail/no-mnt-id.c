// SPDX-License-Identifier: Apache-2.0
/* Loaded before the C library: statx(2) as before Linux 5.8, without mount ids. */
#include <linux/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MNT_ID        0x00001000u
#define MNT_ID_UNIQUE 0x00004000u

int statx(int dirfd, const char *path, int flags, unsigned int mask, struct statx *ret);

int statx(int dirfd, const char *path, int flags, unsigned int mask, struct statx *ret)
{
	int r = (int)syscall(SYS_statx, dirfd, path, flags, mask & ~(MNT_ID | MNT_ID_UNIQUE), ret);

	/* The kernel tells it unasked. */
	if (r == 0) {
		ret->stx_mask &= ~(MNT_ID | MNT_ID_UNIQUE);
		ret->stx_mnt_id = 0;
	}
	return r;
}
