// SPDX-License-Identifier: Apache-2.0
/* Opening and creating files; what happens to a handle but for its data. */
/*
 * Theory of operation
 *
 * OPEN goes through the inode's O_PATH descriptor, so what is opened is what the guest named, and
 * only if it is a regular file. CREATE makes the file with O_EXCL: it never opens what is there
 * already, be it a link or a device, and the new file can be written whatever its mode says. Where
 * the name exists after all (the host was quicker) and the guest does not insist on a new file, it
 * becomes LOOKUP and OPEN. The inode is then identified by the open file itself, not by its name.
 *
 * Flags. O_APPEND is not kept on the host's descriptor: each WRITE says whether it appends, which
 * follows fcntl(F_SETFL) in the guest, and pages of a mapping go where they belong. Only a file that
 * chattr(1) has made append-only has to be opened with it, and then takes nothing but WRITEs that append;
 * so the guest must not collect them in its page cache (FOPEN_DIRECT_IO). O_SYNC and O_DSYNC
 * are kept. O_DIRECT and O_NOATIME are kept when asked for, by OPEN and CREATE alike; O_NOATIME is
 * dropped where the daemon may not have it.
 *
 * FLUSH is the guest's close(2), a round trip for each: it is asked for (by the lack of FOPEN_NOFLUSH, which
 * Linux knows since 5.16) where it ends locks, and where what was written can still fail then. What a program
 * has written through a mapping comes to the host when that ends, and not when the file is closed before.
 *
 * System calls: OPEN 1, CREATE 3 (and 4 to switch ids, 2 for a umask, 1 for a label), TMPFILE 5,
 * FLUSH 2, RELEASE 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "cred.h"
#include "fd.h"
#include "lock_owner.h"
#include "pt_impl.h"
#include "util.h"

/*
 * A guest that writes pages back later has to read those that are written in part, whatever the
 * program opened the file for. Where the daemon may write and not read, it is as good as it gets.
 */
static int readable(const struct pt *pt, int flags)
{
	if ((flags & O_ACCMODE) != O_WRONLY || !pt_has(pt, FUSE_WRITEBACK_CACHE))
		return flags;
	return (flags & ~O_ACCMODE) | O_RDWR;
}

/*
 * Whether the host has nothing to do when the guest closes a file, so that it need not say so. Locks may
 * have to go then; and what has not been written may be, and fail.
 */
static bool no_flush(const struct pt *pt, uint16_t mount, int flags)
{
	return !pt_has(pt, FUSE_POSIX_LOCKS) &&
	       ((flags & O_ACCMODE) == O_RDONLY || ident_mount_silent(&pt->inodes.mounts, mount));
}

/* Make the handle for @fd, which is taken over. @mount: that it is on. */
static int give(struct pt *pt, uint64_t nodeid, enum handle_kind kind, uint16_t mount, int flags,
		int fd, struct fuse_open_out *ret)
{
	struct fuse_open_out out = {.open_flags = pt_fopen(pt, kind)};
	int r;

	if (unlikely(flags & O_APPEND))
		out.open_flags |= FOPEN_DIRECT_IO;
	if (kind == HANDLE_FILE && no_flush(pt, mount, flags))
		out.open_flags |= FOPEN_NOFLUSH;
	r = handle_new(&pt->handles, nodeid, kind, (uint32_t)flags, fd, &out.fh);

	if (r == 0)
		*ret = out;
	return r;
}

/* @asked, @open_flags: the guest's. */
static int open_node(struct request *req, const struct pt_node *node, uint64_t nodeid,
		     uint32_t asked, uint32_t open_flags, struct fuse_open_out *ret)
{
	struct pt *pt = req_backend(req);
	int fd, flags = pt_open_flags(pt, asked);
	struct cred cred = {0};

	if (node->ino->type == S_IFDIR >> 12)
		return -EISDIR;
	if (open_flags & FUSE_OPEN_KILL_SUIDGID && flags & O_TRUNC)
		pt_kill(req, &cred);
	if (flags & O_TRUNC)
		pt_changed(pt, node->pin.fd);
	fd = pt_reopen(pt, node, readable(pt, flags));
	if (fd == -EACCES)
		fd = pt_reopen(pt, node, flags);
	else
		flags = readable(pt, flags);
	if (unlikely(fd == -EPERM) && asked & O_APPEND && !(flags & O_TRUNC)) {
		flags |= O_APPEND;
		fd = pt_reopen(pt, node, flags);
	}
	cred_end(&cred);
	return fd < 0 ? fd : give(pt, nodeid, HANDLE_FILE, node->ino->mount, flags, fd, ret);
}

int pt_open(struct request *req, uint64_t nodeid, const struct fuse_open_in *in,
	    struct fuse_open_out *ret)
{
	struct pt *pt = req_backend(req);
	scoped_node struct pt_node node = {0};
	int r = pt_node_get(pt, nodeid, &node);

	return r < 0 ? r : open_node(req, &node, nodeid, in->flags, in->open_flags, ret);
}

int pt_opendir(struct request *req, uint64_t nodeid, const struct fuse_open_in *in,
	       struct fuse_open_out *ret)
{
	struct pt *pt = req_backend(req);
	const int flags = O_RDONLY | O_DIRECTORY | (pt_open_flags(pt, in->flags) & O_NOATIME);
	scoped_node struct pt_node node = {0};
	int fd, r = pt_node_get(pt, nodeid, &node);

	if (r)
		return r;
	if (node.ino->type != S_IFDIR >> 12)
		return -ENOTDIR;
	fd = pt_reopen(pt, &node, flags);
	return fd < 0 ? fd : give(pt, nodeid, HANDLE_DIR, node.ino->mount, flags, fd, ret);
}

/* Create as the caller. Returns the descriptor, accounted for. */
/* seccomp: openat */
static int create_as(struct request *req, int dirfd, const char *name, int flags,
		     const struct fuse_create_in *in)
{
	struct pt *pt = req_backend(req);
	struct cred cred;
	int fd, r = fdcache_reserve(&pt->inodes.fds);

	if (r)
		return r;
	fd = pt_become(req, &cred);
	if (fd == 0) {
		bool masked = pt_umask(pt, in->umask);

		do {
			fd = openat(dirfd, name, flags | O_CLOEXEC | O_NOCTTY, in->mode & 07777);
			if (fd < 0)
				fd = errno == EMFILE ? -ENFILE : -errno;
		} while (fd == -EACCES && cred_widen(&cred));
		pt_umask_end(masked);
		cred_end(&cred);
	}
	if (fd >= 0 && unlikely(req->label)) {
		r = pt_label(req, fd);
		if (r < 0) {
			if (flags & O_CREAT)
				pt_label_failed(dirfd, name, fd);
			fd_close(&fd);
			fd = r;
		}
	}
	if (fd < 0)
		fdcache_release(&pt->inodes.fds);
	return fd;
}

/* Identify what was created and make its handle; @fd is taken over. @name is NULL for O_TMPFILE. */
static int created(struct pt *pt, const struct pt_node *dir, const char *name, int flags, int fd,
		   struct fuse_entry_out *ret_entry, struct fuse_open_out *ret_open)
{
	struct fuse_entry_out entry;
	int r = pt_find(pt, dir, name, fd, &entry);

	if (r < 0) {
		fd_close(&fd);
		fdcache_release(&pt->inodes.fds);
		return r;
	}
	r = give(pt, entry.nodeid, HANDLE_FILE, dir->ino->mount, flags, fd, ret_open);
	if (r < 0)
		inode_forget(&pt->inodes, entry.nodeid, 1);
	else
		*ret_entry = entry;
	return r;
}

/* The name is taken and the guest will have what is there. */
static int open_found(struct request *req, const struct pt_node *dir, const char *name,
		      const struct fuse_create_in *in, struct fuse_entry_out *ret_entry,
		      struct fuse_open_out *ret_open)
{
	struct pt *pt = req_backend(req);
	scoped_node struct pt_node node = {0};
	struct fuse_entry_out entry;
	int r = pt_find(pt, dir, name, -1, &entry);

	if (r)
		return r;
	r = pt_node_get(pt, entry.nodeid, &node);
	if (r == 0)
		r = open_node(req, &node, entry.nodeid, in->flags, in->open_flags, ret_open);
	if (r < 0)
		inode_forget(&pt->inodes, entry.nodeid, 1);
	else
		*ret_entry = entry;
	return r;
}

int pt_create(struct request *req, uint64_t parent, const char *name,
	      const struct fuse_create_in *in, struct fuse_entry_out *ret_entry,
	      struct fuse_open_out *ret_open)
{
	struct pt *pt = req_backend(req);
	const int flags = readable(pt, pt_open_flags(pt, in->flags));
	scoped_node struct pt_node dir = {0};
	int fd, r = pt_node_get(pt, parent, &dir);

	if (r)
		return r;
	fd = create_as(req, dir.pin.fd, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW, in);
	if (fd == -EEXIST && !(in->flags & O_EXCL))
		return open_found(req, &dir, name, in, ret_entry, ret_open);
	return fd < 0 ? fd : created(pt, &dir, name, flags, fd, ret_entry, ret_open);
}

/*
 * open(2) hands its O_TMPFILE on. Without it the request is from overlayfs within the guest's kernel,
 * which would go on to check the nameless entry by its name, and find it stale as soon as it expires. Refused,
 * it copies up through a named file.
 */
#define TMPFILE_OF_USER (O_TMPFILE & ~O_DIRECTORY)

int pt_tmpfile(struct request *req, uint64_t parent, const struct fuse_create_in *in,
	       struct fuse_entry_out *ret_entry, struct fuse_open_out *ret_open)
{
	struct pt *pt = req_backend(req);
	const int flags = readable(pt, pt_open_flags(pt, in->flags)) & ~O_TRUNC;
	scoped_node struct pt_node dir = {0};
	int fd, r = pt_node_get(pt, parent, &dir);

	if (r)
		return r;
	if (!(in->flags & TMPFILE_OF_USER))
		return -EOPNOTSUPP;
	fd = create_as(req, dir.pin.fd, ".", flags | O_TMPFILE | ((int)in->flags & O_EXCL), in);
	return fd < 0 ? fd : created(pt, &dir, NULL, flags, fd, ret_entry, ret_open);
}

/* seccomp: fcntl 1==F_DUPFD_CLOEXEC */
int pt_flush(struct request *req, uint64_t nodeid, const struct fuse_flush_in *in)
{
	struct pt *pt = req_backend(req);
	scoped_file struct pt_file file = {0};
	int fd, r = pt_file_get(pt, in->fh, nodeid, HANDLE_FILE, &file);

	if (r)
		return r;
	lock_owner_flush(pt, nodeid, in->lock_owner);
	/* What close(2) reports on some file systems (quota, NFS) is reported to the guest's. */
	fd = fcntl(file.ref.file->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return errno == EMFILE ? 0 : -errno;
	return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

int pt_release(struct request *req, uint64_t nodeid, const struct fuse_release_in *in)
{
	struct pt *pt = req_backend(req);

	return pt_lock_release(pt, nodeid, in);
}

int pt_releasedir(struct request *req, uint64_t nodeid, const struct fuse_release_in *in)
{
	struct pt *pt = req_backend(req);

	return handle_release(&pt->handles, in->fh, nodeid, HANDLE_DIR);
}
