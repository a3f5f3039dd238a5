/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of memfs share; private to this folder. */
#ifndef CULVERT_MEMFS_I_H
#define CULVERT_MEMFS_I_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "memfs.h"

#define MEMFS_PAGE      4096u
#define MEMFS_IDS_MAX   (1u << 20) /* nodes, and handles */
#define MEMFS_XATTRS    128u       /* extended attributes of a node */
#define MEMFS_NAME_MAX  255u
#define MEMFS_VALID_SEC 1u /* how long the guest may keep names and attributes */

/* Everything below is under struct memfs.lock. */

/**
 * struct memfs_ids - objects by id: generation << 32 | slot. Slot 0 is never used.
 * @slots: @cap of them, of which @count were ever used.
 * @free:  first freed slot, 0 = none; the next is in its @next.
 */
struct memfs_ids {
	struct memfs_id {
		void *obj;
		uint32_t gen;
		uint32_t next;
	} * slots;
	uint32_t count;
	uint32_t cap;
	uint32_t free;
};

/** struct memfs_dent - a name in a directory. @cookie: its offset; where the next one begins. */
struct memfs_dent {
	struct memfs_dent *next;
	struct memfs_dent *prev;
	struct memfs_node *node;
	uint64_t cookie;
	size_t len;
	char name[];
};

/** struct memfs_page - @mem holds bytes @index * MEMFS_PAGE on of a file. */
struct memfs_page {
	uint64_t index;
	uint8_t *mem;
};

struct memfs_xattr {
	struct memfs_xattr *next;
	char *name;
	uint8_t *value;
	size_t size;
};

/**
 * struct memfs_node - an inode.
 * @nlookup:  lookups that the guest has to give back; without any it cannot name the node.
 * @opens:    handles on it.
 * @unnamed:  made by TMPFILE and not linked yet.
 * @parent:   of a directory that has a name; the root's is itself.
 * @first, @last, @cookies: a directory's names in the order of their cookies; the last one given.
 * @pages, @npages, @cap: a file's pages in the order of their index; what is missing is a hole.
 * @target:   of a symbolic link.
 *
 * It lives while it has a name, a lookup or a handle.
 */
struct memfs_node {
	uint64_t id;
	uint64_t nlookup;
	uint32_t opens;
	bool unnamed;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t nlink;
	uint32_t rdev;
	struct timespec atime;
	struct timespec mtime;
	struct timespec ctime;
	struct timespec btime;
	struct memfs_node *parent;
	struct memfs_dent *first;
	struct memfs_dent *last;
	uint64_t cookies;
	struct memfs_page *pages;
	size_t npages;
	size_t cap;
	uint64_t size;
	char *target;
	struct memfs_xattr *xattrs;
};

struct memfs_handle {
	uint64_t id;
	struct memfs_node *node;
	uint32_t flags;
	bool dir;
};

struct memfs {
	pthread_mutex_t lock;
	struct memfs_ids nodes;
	struct memfs_ids handles;
	struct memfs_node *root;
	uint64_t used_pages;
	uint64_t max_pages;
	uint32_t fail_nth;
	int fail_error;
};

/* memfs.c */

/** scoped_memfs - holds the lock to the end of the block, having got it from memfs_enter(). */
#define scoped_memfs __attribute__((cleanup(memfs_leave)))

/** memfs_enter() - lock the tree that @req is for. *@ret_err: 0, or the error that was ordered. */
struct memfs *memfs_enter(struct request *req, int *ret_err);
void memfs_leave(struct memfs **fs);

/** memfs_node() - the node that the guest knows by @id; NULL when it knows none. */
struct memfs_node *memfs_node(struct memfs *fs, uint64_t id);

/** memfs_dir() - the same for a directory that has not been removed, else *@ret_err. */
struct memfs_node *memfs_dir(struct memfs *fs, uint64_t id, int *ret_err);

/** memfs_handle() - a handle of the node @id and of that kind; NULL when it is not. */
struct memfs_handle *memfs_handle(struct memfs *fs, uint64_t id, uint64_t fh, bool dir);

/** memfs_node_new() - a node without a name, of the caller's; NULL when there is no room. */
struct memfs_node *memfs_node_new(struct memfs *fs, const struct request *req, uint32_t mode);

/** memfs_node_drop() - free a node that nothing holds any more; else nothing. */
void memfs_node_drop(struct memfs *fs, struct memfs_node *n);

/** memfs_open() - a handle. 0, -ENFILE or -ENOMEM. */
int memfs_open(struct memfs *fs, struct memfs_node *n, uint32_t flags, bool dir,
	       struct fuse_open_out *ret);

/** memfs_close() - the end of a handle, and of its node if that was all that held it. */
void memfs_close(struct memfs *fs, struct memfs_handle *h);

/** memfs_now() - the time of now. */
struct timespec memfs_now(void);

/** memfs_attr() - a node's attributes. */
void memfs_attr(const struct memfs_node *n, struct fuse_attr *ret);

/** memfs_entry() - the answer that names a node; counts a lookup. */
void memfs_entry(struct memfs_node *n, struct fuse_entry_out *ret);

/* memfs_data.c */

/** memfs_data_truncate() - cut or extend a file to @size. */
void memfs_data_truncate(struct memfs *fs, struct memfs_node *n, uint64_t size);

int memfs_data_open(struct request *req, uint64_t nodeid, const struct fuse_open_in *in,
		    struct fuse_open_out *ret);
ssize_t memfs_data_read(struct request *req, uint64_t nodeid, const struct fuse_read_in *in,
			struct iov_cursor *dst);
ssize_t memfs_data_write(struct request *req, uint64_t nodeid, const struct fuse_write_in *in,
			 struct iov_cursor *src);
int memfs_data_fallocate(struct request *req, uint64_t nodeid, const struct fuse_fallocate_in *in);
int memfs_data_lseek(struct request *req, uint64_t nodeid, const struct fuse_lseek_in *in,
		     uint64_t *ret_off);
ssize_t memfs_data_copy(struct request *req, uint64_t nodeid,
			const struct fuse_copy_file_range_in *in);

/* memfs_meta.c */

int memfs_meta_getattr(struct request *req, uint64_t nodeid, const uint64_t *fh,
		       struct fuse_attr_out *ret);
int memfs_meta_statx(struct request *req, uint64_t nodeid, const uint64_t *fh, uint32_t flags,
		     uint32_t mask, struct fuse_statx_out *ret);
int memfs_meta_setattr(struct request *req, uint64_t nodeid, const struct fuse_setattr_in *in,
		       struct fuse_attr_out *ret);
ssize_t memfs_meta_readlink(struct request *req, uint64_t nodeid, char *buf, size_t size);
int memfs_meta_statfs(struct request *req, uint64_t nodeid, struct fuse_kstatfs *ret);
int memfs_meta_setxattr(struct request *req, uint64_t nodeid, const char *name, const void *value,
			size_t size, uint32_t flags, uint32_t setxattr_flags);
ssize_t memfs_meta_getxattr(struct request *req, uint64_t nodeid, const char *name, void *buf,
			    size_t size);
ssize_t memfs_meta_listxattr(struct request *req, uint64_t nodeid, char *buf, size_t size);
int memfs_meta_removexattr(struct request *req, uint64_t nodeid, const char *name);

/* memfs_name.c */

/** memfs_name_clear() - take all names out of a directory that goes as a whole. */
void memfs_name_clear(struct memfs_node *dir);

int memfs_name_lookup(struct request *req, uint64_t parent, const char *name,
		      struct fuse_entry_out *ret);
int memfs_name_symlink(struct request *req, uint64_t parent, const char *name, const char *target,
		       struct fuse_entry_out *ret);
int memfs_name_mknod(struct request *req, uint64_t parent, const char *name,
		     const struct fuse_mknod_in *in, struct fuse_entry_out *ret);
int memfs_name_mkdir(struct request *req, uint64_t parent, const char *name,
		     const struct fuse_mkdir_in *in, struct fuse_entry_out *ret);
int memfs_name_unlink(struct request *req, uint64_t parent, const char *name);
int memfs_name_rmdir(struct request *req, uint64_t parent, const char *name);
int memfs_name_rename(struct request *req, uint64_t parent, const char *name, uint64_t newparent,
		      const char *newname, uint32_t flags);
int memfs_name_link(struct request *req, uint64_t nodeid, uint64_t newparent, const char *newname,
		    struct fuse_entry_out *ret);
int memfs_name_create(struct request *req, uint64_t parent, const char *name,
		      const struct fuse_create_in *in, struct fuse_entry_out *ret_entry,
		      struct fuse_open_out *ret_open);
int memfs_name_tmpfile(struct request *req, uint64_t parent, const struct fuse_create_in *in,
		       struct fuse_entry_out *ret_entry, struct fuse_open_out *ret_open);
int memfs_name_readdir(struct request *req, uint64_t nodeid, const struct fuse_read_in *in,
		       struct direntbuf *db);

#endif
