// SPDX-License-Identifier: Apache-2.0
/* The passthrough backend: each operation on files, names and attributes. */
/*
 * Theory of operation
 *
 * Operations are called directly and judged by what the host then sees, and the other way round.
 * What needs root (owners, devices, mounts) is skipped without it.
 */
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "pt_fixture.h"
#include "util.h"

static const struct pt_conf plain = {.xattr = true, .announce_submounts = true, .max_fds = 256};

static struct stat host_stat(struct ptf *f, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(f->root, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

static void create_write_read(void **state)
{
	uint64_t a, fh, again;
	char buf[16] = {0};
	struct ptf f;

	(void)state;
	ptf_start(&f, plain);
	a = (uint64_t)ptf_create(&f, FUSE_ROOT_ID, "a", 0640, O_RDWR, &fh);
	assert_int_equal(host_stat(&f, "a").st_mode, S_IFREG | 0640);
	assert_int_equal(ptf_write(&f, a, fh, 0, "hello", 5, O_RDWR, 0), 5);
	assert_int_equal(ptf_read(&f, a, fh, 0, buf, sizeof(buf)), 5);
	assert_string_equal(buf, "hello");
	assert_int_equal(ptf_read(&f, a, fh, 3, buf, 1), 1);
	assert_int_equal(ptf_read(&f, a, fh, 5, buf, sizeof(buf)), 0);
	assert_int_equal(ptf_read(&f, a, fh, 1 << 20, buf, sizeof(buf)), 0);
	/* It is the open file that counts, not the name. */
	assert_int_equal(pt_ops.unlink(&f.req, FUSE_ROOT_ID, "a"), 0);
	assert_int_equal(ptf_write(&f, a, fh, 5, "!", 1, O_RDWR, 0), 1);
	assert_int_equal(ptf_open(&f, a, O_RDONLY, &again), 0);
	assert_int_equal(ptf_read(&f, a, again, 4, buf, sizeof(buf)), 2);
	assert_int_equal(ptf_write(&f, a, again, 0, "x", 1, O_RDONLY, 0), -EBADF);
	assert_int_equal(ptf_release(&f, a, fh), 0);
	assert_int_equal(ptf_release(&f, a, again), 0);
	ptf_stop(&f);
}

/* git makes its objects read-only and then writes them. */
static void create_unwritable(void **state)
{
	static const uint32_t modes[] = {0444, 0000, 0200};
	char name[16];
	struct ptf f;

	(void)state;
	ptf_start(&f, plain);
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		uint64_t fh, node;
		char c = 0;

		snprintf(name, sizeof(name), "f%u", i);
		node = (uint64_t)ptf_create(&f, FUSE_ROOT_ID, name, modes[i], O_RDWR | O_EXCL, &fh);
		assert_int_equal(host_stat(&f, name).st_mode & 07777, modes[i]);
		assert_int_equal(ptf_write(&f, node, fh, 0, "x", 1, O_RDWR, 0), 1);
		assert_int_equal(ptf_read(&f, node, fh, 0, &c, 1), 1);
		assert_int_equal(c, 'x');
		assert_int_equal(ptf_release(&f, node, fh), 0);
	}
	ptf_stop(&f);
}

static void create_over(void **state)
{
	uint64_t a, fh;
	struct ptf f;

	(void)state;
	ptf_start(&f, plain);
	ptf_host_file(&f, "a", "text");
	ptf_host_file(&f, "target", "text");
	ptf_host_mkdir(&f, "dir");
	assert_int_equal(mkfifoat(f.root, "fifo", 0600), 0);
	assert_int_equal(symlinkat("target", f.root, "link"), 0);
	assert_int_equal(symlinkat("none", f.root, "dangling"), 0);
	assert_int_equal(ptf_create(&f, FUSE_ROOT_ID, "a", 0600, O_RDWR | O_EXCL, &fh), -EEXIST);
	a = (uint64_t)ptf_create(&f, FUSE_ROOT_ID, "a", 0600, O_RDWR, &fh);
	assert_int_equal(host_stat(&f, "a").st_size, 4);
	assert_int_equal(ptf_release(&f, a, fh), 0);
	a = (uint64_t)ptf_create(&f, FUSE_ROOT_ID, "a", 0600, O_RDWR | O_TRUNC, &fh);
	assert_int_equal(host_stat(&f, "a").st_size, 0);
	assert_int_equal(ptf_release(&f, a, fh), 0);
	assert_int_equal(ptf_create(&f, FUSE_ROOT_ID, "dir", 0600, O_RDWR, &fh), -EISDIR);
	assert_int_equal(ptf_create(&f, FUSE_ROOT_ID, "fifo", 0600, O_RDWR, &fh), -ENXIO);
	assert_int_equal(ptf_create(&f, FUSE_ROOT_ID, "link", 0600, O_RDWR | O_TRUNC, &fh), -ELOOP);
	assert_int_equal(ptf_create(&f, FUSE_ROOT_ID, "dangling", 0600, O_RDWR, &fh), -ELOOP);
	assert_int_equal(host_stat(&f, "target").st_size, 4);
	assert_int_equal(faccessat(f.root, "none", F_OK, 0), -1);
	/* Only the two successes are counted. */
	pt_ops.forget(f.pt, a, 2);
	assert_int_equal(ptf_stats(&f).inodes, 1);
	ptf_stop(&f);
}

static void append(void **state)
{
	char buf[16] = {0};
	uint64_t a, fh;
	struct ptf f;

	(void)state;
	ptf_start(&f, plain);
	a = (uint64_t)ptf_create(&f, FUSE_ROOT_ID, "a", 0600, O_RDWR | O_APPEND, &fh);
	assert_int_equal(ptf_write(&f, a, fh, 0, "one", 3, O_RDWR | O_APPEND, 0), 3);
	ptf_host_file(&f, "a", "12345");
	assert_int_equal(ptf_write(&f, a, fh, 3, "two", 3, O_RDWR | O_APPEND, 0), 3);
	/* A page of a mapping goes where it belongs. */
	assert_int_equal(ptf_write(&f, a, fh, 1, "X", 1, O_RDWR | O_APPEND, FUSE_WRITE_CACHE), 1);
	assert_int_equal(ptf_read(&f, a, fh, 0, buf, sizeof(buf)), 8);
	assert_string_equal(buf, "1X345two");
	assert_int_equal(ptf_release(&f, a, fh), 0);
	ptf_stop(&f);
}

/* Buffers in more pieces than one system call takes, and with empty ones. */
static void many_segments(void **state)
{
	enum { N = 3000 };
	static uint8_t data[N * 3], back[N * 3];
	static struct iovec vec[2 * N];
	struct fuse_write_in win = {.size = sizeof(data)};
	struct fuse_read_in rin = {.size = sizeof(back)};
	struct iov_cursor c;
	uint64_t a, fh;
	struct ptf f;

	(void)state;
	ptf_start(&f, plain);
	a = (uint64_t)ptf_create(&f, FUSE_ROOT_ID, "a", 0600, O_RDWR, &fh);
	win.fh = rin.fh = fh;
	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	for (unsigned int i = 0; i < N; i++)
		vec[2 * i] = (struct iovec){.iov_base = data + (size_t)i * 3, .iov_len = 3};
	iov_init(&c, vec, 2 * N);
	assert_int_equal(pt_ops.write(&f.req, a, &win, &c), sizeof(data));
	assert_int_equal(c.left, 0);
	for (unsigned int i = 0; i < N; i++)
		vec[2 * i].iov_base = back + (size_t)i * 3;
	iov_init(&c, vec, 2 * N);
	assert_int_equal(pt_ops.read(&f.req, a, &rin, &c), sizeof(back));
	assert_memory_equal(data, back, sizeof(data));
	ptf_stop(&f);
}

/* Guest memory that is not there is the guest's problem. */
static void bad_memory(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct iovec vec[2];
	struct fuse_write_in win = {.size = (uint32_t)page};
	struct fuse_read_in rin = {.size = (uint32_t)page};
	struct iov_cursor c;
	uint64_t a, fh;
	struct ptf f;
	void *hole;

	(void)state;
	ptf_start(&f, plain);
	hole = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(hole != MAP_FAILED);
	a = (uint64_t)ptf_create(&f, FUSE_ROOT_ID, "a", 0600, O_RDWR, &fh);
	assert_int_equal(ptf_write(&f, a, fh, 0, "hello", 5, O_RDWR, 0), 5);
	win.fh = rin.fh = fh;
	vec[0] = (struct iovec){.iov_base = hole, .iov_len = page};
	iov_init(&c, vec, 1);
	assert_int_equal(pt_ops.write(&f.req, a, &win, &c), -EFAULT);
	iov_init(&c, vec, 1);
	assert_int_equal(pt_ops.read(&f.req, a, &rin, &c), -EFAULT);
	munmap(hole, page);
	/* Less memory than was announced. */
	vec[0] = (struct iovec){.iov_base = vec, .iov_len = 3};
	iov_init(&c, vec, 1);
	assert_int_equal(pt_ops.read(&f.req, a, &rin, &c), 3);
	ptf_stop(&f);
}

/* Bytes of a file that are in the page cache, page by page. */
static bool is_cached(int fd, size_t size, size_t at)
{
	void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	unsigned char vec[1];
	bool cached;

	assert_true(map != MAP_FAILED);
	assert_int_equal(mincore((char *)map + at, 4096, vec), 0);
	cached = vec[0] & 1;
	munmap(map, size);
	return cached;
}

/* A thread that must not wait reads what is in the page cache, and nothing where a page is missing. */
static void read_without_waiting(void **state)
{
	enum { SIZE = 1 << 20 };
	char *text = malloc(SIZE), *buf = malloc(SIZE + 4096);
	struct iovec byte = {.iov_base = buf, .iov_len = 1};
	uint64_t node, fh;
	bool can_tell;
	struct ptf f;
	int fd;

	(void)state;
	assert_non_null(text);
	assert_non_null(buf);
	for (int i = 0; i < SIZE; i++)
		text[i] = (char)(i >> 12 ^ i);
	ptf_start(&f, (struct pt_conf){0});
	ptf_host_file(&f, "a", "");
	node = ptf_node(&f, FUSE_ROOT_ID, "a");
	fd = openat(f.root, "a", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, SIZE), SIZE);
	assert_int_equal(ptf_open(&f, node, O_RDWR, &fh), 0);
	can_tell = preadv2(fd, &byte, 1, 0, RWF_NOWAIT) == 1;
	f.req.no_wait = true;
	assert_int_equal(ptf_read(&f, node, fh, 0, buf, SIZE), SIZE);
	assert_memory_equal(buf, text, SIZE);
	/* At the end, which is at the border of a page. */
	assert_int_equal(ptf_read(&f, node, fh, SIZE - 4096, buf, 8192), 4096);
	assert_int_equal(ptf_read(&f, node, fh, SIZE, buf, 8192), 0);
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
	assert_int_equal(pread(fd, buf, 4096, 0), 4096);
	if (can_tell && !is_cached(fd, SIZE, SIZE - 4096)) {
		assert_int_equal(ptf_read(&f, node, fh, 0, buf, SIZE), REQ_WOULD_WAIT);
	} else {
		print_message("the file system of %s cannot tell, or keeps it all\n", f.path);
		assert_int_equal(ptf_read(&f, node, fh, 0, buf, SIZE), SIZE);
	}
	f.req.no_wait = false;
	assert_int_equal(ptf_read(&f, node, fh, 0, buf, SIZE + 4096), SIZE);
	assert_memory_equal(buf, text, SIZE);
	close(fd);
	ptf_stop(&f);
	free(text);
	free(buf);
}

static void handles_are_bound(void **state)
{
	struct fuse_open_in in = {.flags = O_RDONLY};
	struct fuse_release_in rel = {0};
	struct fuse_open_out out = {0};
	uint64_t a, b, fh, dh;
	char buf[4];
	struct ptf f;

	(void)state;
	ptf_start(&f, plain);
	ptf_host_file(&f, "a", "aa");
	ptf_host_file(&f, "b", "bb");
	a = ptf_node(&f, FUSE_ROOT_ID, "a");
	b = ptf_node(&f, FUSE_ROOT_ID, "b");
	assert_int_equal(ptf_open(&f, a, O_RDWR, &fh), 0);
	assert_int_equal(pt_ops.opendir(&f.req, FUSE_ROOT_ID, &in, &out), 0);
	dh = out.fh;
	assert_int_equal(ptf_read(&f, b, fh, 0, buf, 2), -EBADF);
	assert_int_equal(ptf_read(&f, FUSE_ROOT_ID, dh, 0, buf, 2), -EBADF);
	assert_int_equal(ptf_read(&f, a, dh, 0, buf, 2), -EBADF);
	assert_int_equal(ptf_read(&f, a, fh + 1000, 0, buf, 2), -EBADF);
	assert_int_equal(ptf_read(&f, a, 0, 0, buf, 2), -EBADF);
	assert_int_equal(ptf_read(&f, a, UINT64_MAX, 0, buf, 2), -EBADF);
	assert_int_equal(pt_ops.fsync(&f.req, FUSE_ROOT_ID, dh, false), -EBADF);
	assert_int_equal(pt_ops.fsyncdir(&f.req, FUSE_ROOT_ID, dh, false), 0);
	assert_int_equal(pt_ops.fsyncdir(&f.req, a, fh, false), -EBADF);
	assert_int_equal(ptf_release(&f, b, fh), -EBADF);
	rel.fh = fh;
	assert_int_equal(pt_ops.releasedir(&f.req, a, &rel), -EBADF);
	assert_int_equal(ptf_release(&f, a, fh), 0);
	assert_int_equal(ptf_release(&f, a, fh), -EBADF);
	assert_int_equal(ptf_read(&f, a, fh, 0, buf, 2), -EBADF);
	/* The slot is used again: the old number is still nobody's. */
	rel.fh = fh;
	assert_int_equal(ptf_open(&f, a, O_RDWR, &fh), 0);
	assert_int_not_equal(rel.fh, fh);
	assert_int_equal(ptf_read(&f, a, rel.fh, 0, buf, 2), -EBADF);
	assert_int_equal(ptf_read(&f, a, fh, 0, buf, 2), 2);
	/* The guest forgets the inode before it releases the handle. */
	pt_ops.forget(f.pt, a, 1);
	assert_int_equal(ptf_read(&f, a, fh, 0, buf, 2), 2);
	assert_int_equal(ptf_release(&f, a, fh), 0);
	rel.fh = dh;
	assert_int_equal(pt_ops.releasedir(&f.req, FUSE_ROOT_ID, &rel), 0);
	assert_int_equal(ptf_stats(&f).handles, 0);
	ptf_stop(&f);
}

/* Nothing but regular files and directories is ever opened. */
static void special_files(void **state)
{
	static const uint32_t kinds[] = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
	struct fuse_open_in in = {0};
	struct fuse_open_out out;
	char name[16];
	struct ptf f;
	uint64_t fh;

	(void)state;
	ptf_start(&f, plain);
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct fuse_mknod_in mk = {.mode = kinds[i] | 0640};
		struct fuse_entry_out e = {0};
		bool dev = kinds[i] == S_IFCHR || kinds[i] == S_IFBLK;
		int r;

		if (dev)
			mk.rdev = (uint32_t)makedev(7, 300);
		snprintf(name, sizeof(name), "s%u", i);
		r = pt_ops.mknod(&f.req, FUSE_ROOT_ID, name, &mk, &e);
		if (dev && r == -EPERM)
			continue;
		assert_int_equal(r, 0);
		assert_int_equal(e.attr.mode, kinds[i] | 0640);
		assert_int_equal(e.attr.rdev, mk.rdev);
		assert_int_equal(host_stat(&f, name).st_rdev, dev ? makedev(7, 300) : 0);
		assert_int_equal(ptf_open(&f, e.nodeid, O_RDWR, &fh), -ENXIO);
		assert_int_equal(ptf_open(&f, e.nodeid, O_RDONLY | O_NONBLOCK, &fh), -ENXIO);
		assert_int_equal(pt_ops.opendir(&f.req, e.nodeid, &in, &out), -ENOTDIR);
		assert_int_equal(ptf_lookup(&f, e.nodeid, "x"), -ENOTDIR);
	}
	/* A regular file can be made this way, too; directories and links have their own ways. */
	assert_int_equal(pt_ops.mknod(&f.req, FUSE_ROOT_ID, "r",
				      &(struct fuse_mknod_in){.mode = S_IFREG | 0600},
				      &(struct fuse_entry_out){0}),
			 0);
	assert_int_equal(pt_ops.mknod(&f.req, FUSE_ROOT_ID, "d",
				      &(struct fuse_mknod_in){.mode = S_IFDIR | 0600},
				      &(struct fuse_entry_out){0}),
			 -EINVAL);
	ptf_stop(&f);
}

static void links(void **state)
{
	struct fuse_entry_out e = {0};
	struct fuse_attr attr;
	char buf[64] = {0};
	struct ptf f;
	uint64_t fh;

	(void)state;
	ptf_start(&f, plain);
	assert_int_equal(pt_ops.symlink(&f.req, FUSE_ROOT_ID, "l", "/etc/../x", &e), 0);
	assert_true(S_ISLNK(e.attr.mode));
	assert_int_equal(pt_ops.readlink(&f.req, e.nodeid, buf, sizeof(buf)), 9);
	assert_string_equal(buf, "/etc/../x");
	assert_int_equal(pt_ops.readlink(&f.req, e.nodeid, buf, 4), 4);
	assert_int_equal(pt_ops.readlink(&f.req, FUSE_ROOT_ID, buf, 4), -EINVAL);
	assert_int_equal(ptf_open(&f, e.nodeid, O_RDONLY, &fh), -ELOOP);
	assert_int_equal(pt_ops.symlink(&f.req, FUSE_ROOT_ID, "l", "y", &e), -EEXIST);
	/* A hard link to a symbolic link. */
	assert_int_equal(pt_ops.link(&f.req, e.nodeid, FUSE_ROOT_ID, "m", &e), 0);
	assert_int_equal(e.attr.nlink, 2);
	assert_true(S_ISLNK(host_stat(&f, "m").st_mode));
	while (fdcache_shrink(&f.pt->inodes.fds))
		;
	assert_int_equal(ptf_getattr(&f, e.nodeid, &attr), 0);
	assert_true(S_ISLNK(attr.mode));
	assert_int_equal(pt_ops.link(&f.req, FUSE_ROOT_ID, FUSE_ROOT_ID, "n", &e), -EPERM);
	ptf_stop(&f);
}

static int setattr(struct ptf *f, uint64_t node, struct fuse_setattr_in in, struct fuse_attr *ret)
{
	struct fuse_attr_out out = {0};
	int r = pt_ops.setattr(&f->req, node, &in, &out);

	if (ret)
		*ret = out.attr;
	return r;
}

static void change_attributes(void **state)
{
	struct fuse_attr attr;
	uint64_t a, l, fh;
	struct ptf f;

	(void)state;
	ptf_start(&f, plain);
	ptf_host_file(&f, "a", "0123456789");
	assert_int_equal(symlinkat("a", f.root, "l"), 0);
	a = ptf_node(&f, FUSE_ROOT_ID, "a");
	l = ptf_node(&f, FUSE_ROOT_ID, "l");
	assert_int_equal(setattr(&f, a,
				 (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0100601},
				 &attr),
			 0);
	assert_int_equal(attr.mode, S_IFREG | 0601);
	/* Nothing to change is chown(2) with -1 and -1: besides the time, set-id bits show that. */
	assert_int_equal(fchmodat(f.root, "a", 04601, 0), 0);
	assert_int_equal(setattr(&f, a, (struct fuse_setattr_in){.valid = 0}, &attr), 0);
	assert_int_equal(attr.mode, S_IFREG | 0601);
	assert_int_equal(
		setattr(&f, a, (struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 3}, &attr), 0);
	assert_int_equal(attr.size, 3);
	assert_int_equal(setattr(&f, l, (struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 3},
				 NULL),
			 -EINVAL);
	assert_int_equal(setattr(&f, FUSE_ROOT_ID,
				 (struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 3}, NULL),
			 -EISDIR);
	assert_int_equal(setattr(&f, l, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0600},
				 NULL),
			 -EOPNOTSUPP);
	/* By handle: what the handle may not do is refused. */
	assert_int_equal(ptf_open(&f, a, O_RDONLY, &fh), 0);
	assert_int_equal(setattr(&f, a,
				 (struct fuse_setattr_in){
					 .valid = FATTR_SIZE | FATTR_FH, .fh = fh, .size = 5},
				 NULL),
			 -EINVAL);
	assert_int_equal(ptf_release(&f, a, fh), 0);
	assert_int_equal(ptf_open(&f, a, O_RDWR, &fh), 0);
	assert_int_equal(setattr(&f, a,
				 (struct fuse_setattr_in){
					 .valid = FATTR_SIZE | FATTR_FH, .fh = fh, .size = 5},
				 &attr),
			 0);
	assert_int_equal(attr.size, 5);
	assert_int_equal(setattr(&f, a,
				 (struct fuse_setattr_in){
					 .valid = FATTR_SIZE | FATTR_FH, .fh = fh + 1, .size = 5},
				 NULL),
			 -EBADF);
	assert_int_equal(ptf_release(&f, a, fh), 0);
	ptf_stop(&f);
}

static void change_times(void **state)
{
	struct fuse_attr attr;
	uint64_t a, l;
	struct ptf f;

	(void)state;
	ptf_start(&f, plain);
	ptf_host_file(&f, "a", "0123456789");
	assert_int_equal(symlinkat("a", f.root, "l"), 0);
	a = ptf_node(&f, FUSE_ROOT_ID, "a");
	l = ptf_node(&f, FUSE_ROOT_ID, "l");
	assert_int_equal(setattr(&f, a,
				 (struct fuse_setattr_in){.valid = FATTR_MTIME | FATTR_SIZE,
							  .mtime = 1000,
							  .mtimensec = 7,
							  .size = 1},
				 &attr),
			 0);
	assert_int_equal(attr.mtime, 1000);
	assert_int_equal(attr.mtimensec, 7);
	assert_int_equal(attr.size, 1);
	assert_int_equal(setattr(&f, a,
				 (struct fuse_setattr_in){.valid = FATTR_ATIME | FATTR_MTIME |
								   FATTR_MTIME_NOW | FATTR_CTIME,
							  .atime = 5,
							  .mtime = 6},
				 &attr),
			 0);
	assert_int_equal(attr.atime, 5);
	assert_true(attr.mtime > 1000000);
	/* Of the link, not of what it points at. */
	assert_int_equal(setattr(&f, l, (struct fuse_setattr_in){.valid = FATTR_MTIME, .mtime = 77},
				 &attr),
			 0);
	assert_int_equal(attr.mtime, 77);
	assert_int_equal(host_stat(&f, "l").st_mtim.tv_sec, 77);
	assert_true(host_stat(&f, "a").st_mtim.tv_sec > 1000000);
	/* Before 1970. */
	assert_int_equal(
		setattr(&f, a,
			(struct fuse_setattr_in){.valid = FATTR_MTIME, .mtime = (uint64_t)-5},
			&attr),
		0);
	assert_int_equal((int64_t)attr.mtime, -5);
	ptf_stop(&f);
}

static void owners_and_set_id(void **state)
{
	struct fuse_attr attr;
	struct fuse_open_in in = {.flags = O_RDWR | O_TRUNC, .open_flags = FUSE_OPEN_KILL_SUIDGID};
	struct fuse_open_out out = {0};
	uint64_t a, fh;
	struct ptf f;

	(void)state;
	if (geteuid() != 0)
		skip();
	ptf_start(&f, plain);
	ptf_host_file(&f, "a", "0123456789");
	a = ptf_node(&f, FUSE_ROOT_ID, "a");
	/* Owner and mode at once: the mode is what was asked for. */
	assert_int_equal(
		setattr(&f, a,
			(struct fuse_setattr_in){.valid = FATTR_MODE | FATTR_UID | FATTR_GID,
						 .mode = 06755,
						 .uid = 12,
						 .gid = 34},
			&attr),
		0);
	assert_int_equal(attr.mode, S_IFREG | 06755);
	assert_int_equal(attr.uid, 12);
	assert_int_equal(attr.gid, 34);
	assert_int_equal(
		setattr(&f, a, (struct fuse_setattr_in){.valid = FATTR_GID, .gid = 35}, &attr), 0);
	assert_int_equal(attr.uid, 12);
	assert_int_equal(attr.gid, 35);
	assert_int_equal(attr.mode, S_IFREG | 0755);

	assert_int_equal(ptf_open(&f, a, O_RDWR, &fh), 0);
	/* root writes: the bits stay, unless the guest says that they are to go. */
	assert_int_equal(fchmodat(f.root, "a", 06755, 0), 0);
	assert_int_equal(ptf_write(&f, a, fh, 0, "x", 1, O_RDWR, 0), 1);
	assert_int_equal(host_stat(&f, "a").st_mode & 07777, 06755);
	assert_int_equal(ptf_write(&f, a, fh, 0, "x", 1, O_RDWR, FUSE_WRITE_KILL_SUIDGID), 1);
	assert_int_equal(host_stat(&f, "a").st_mode & 07777, 0755);
	assert_int_equal(fchmodat(f.root, "a", 06755, 0), 0);
	assert_int_equal(ptf_write(&f, a, fh, 0, "x", 1, O_RDWR, 0), 1);
	assert_int_equal(host_stat(&f, "a").st_mode & 07777, 06755);
	assert_int_equal(setattr(&f, a,
				 (struct fuse_setattr_in){.valid = FATTR_SIZE | FATTR_KILL_SUIDGID},
				 &attr),
			 0);
	assert_int_equal(attr.mode & 07777, 0755);
	assert_int_equal(fchmodat(f.root, "a", 06755, 0), 0);
	assert_int_equal(pt_ops.open(&f.req, a, &in, &out), 0);
	assert_int_equal(host_stat(&f, "a").st_mode & 07777, 0755);
	/* Without x for the group, the bit stays for callers who are in it. */
	for (int other = 0; other < 2; other++) {
		f.req.hdr.gid = other ? 99 : 35;
		assert_int_equal(fchmodat(f.root, "a", 06666, 0), 0);
		assert_int_equal(ptf_write(&f, a, fh, 0, "x", 1, O_RDWR, FUSE_WRITE_KILL_SUIDGID),
				 1);
		assert_int_equal(host_stat(&f, "a").st_mode & 07777, other ? 0666 : 02666);
	}
	f.req.hdr.gid = 0;
	assert_int_equal(ptf_release(&f, a, fh), 0);
	assert_int_equal(ptf_release(&f, a, out.fh), 0);
	ptf_stop(&f);
}

/* A guest without KILLPRIV_V2 leaves a set-group-id bit without x to us: write, truncate, write. */
static void set_group_id_alone(void **state)
{
	const struct fuse_setattr_in left[] = {
		{.valid = 0},
		{.valid = FATTR_SIZE | FATTR_MODE, .mode = 02666},
		{.valid = FATTR_MODE, .mode = 02666},
	};
	struct fuse_init init = {.capable = FUSE_ATOMIC_O_TRUNC};
	struct fuse_attr attr;
	struct ptf f;
	uint64_t a;

	(void)state;
	if (geteuid() != 0)
		skip();
	ptf_start(&f, plain);
	assert_int_equal(pt_ops.init(f.pt, &init), 0);
	ptf_host_file(&f, "a", "0123456789");
	assert_int_equal(fchownat(f.root, "a", 12, 35, 0), 0);
	a = ptf_node(&f, FUSE_ROOT_ID, "a");
	f.req.hdr.uid = 99;
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(left); i++) {
		f.req.hdr.gid = i & 1 ? 99 : 35;
		assert_int_equal(fchmodat(f.root, "a", 02666, 0), 0);
		assert_int_equal(setattr(&f, a, left[i / 2], &attr), 0);
		assert_int_equal(attr.mode & 07777, i & 1 ? 0666 : 02666);
	}
	ptf_stop(&f);
}

static void data_operations(void **state)
{
	struct fuse_copy_file_range_in copy = {.len = UINT64_MAX};
	struct fuse_fallocate_in alloc = {.length = 4096};
	struct fuse_lseek_in seek = {.whence = SEEK_DATA};
	struct fuse_flush_in flush = {0};
	uint64_t a, b, fa, fb, off = 0;
	struct ptf f;

	(void)state;
	ptf_start(&f, plain);
	a = (uint64_t)ptf_create(&f, FUSE_ROOT_ID, "a", 0600, O_RDWR, &fa);
	b = (uint64_t)ptf_create(&f, FUSE_ROOT_ID, "b", 0600, O_RDWR, &fb);
	assert_int_equal(ptf_write(&f, a, fa, 1 << 20, "data", 4, O_RDWR, 0), 4);
	seek.fh = fa;
	assert_int_equal(pt_ops.lseek(&f.req, a, &seek, &off), 0);
	assert_true(off > 0 && off <= 1 << 20);
	seek.whence = SEEK_HOLE;
	assert_int_equal(pt_ops.lseek(&f.req, a, &seek, &off), 0);
	assert_int_equal(off, 0);
	seek.whence = SEEK_SET;
	assert_int_equal(pt_ops.lseek(&f.req, a, &seek, &off), -EINVAL);
	seek = (struct fuse_lseek_in){.fh = fa, .whence = SEEK_DATA, .offset = 1 << 30};
	assert_int_equal(pt_ops.lseek(&f.req, a, &seek, &off), -ENXIO);

	copy.fh_in = fa;
	copy.fh_out = fb;
	copy.nodeid_out = b;
	copy.off_in = 1 << 20;
	assert_int_equal(pt_ops.copy_file_range(&f.req, a, &copy), 4);
	assert_int_equal(host_stat(&f, "b").st_size, 4);
	copy.nodeid_out = a;
	assert_int_equal(pt_ops.copy_file_range(&f.req, a, &copy), -EBADF);
	copy.nodeid_out = b;
	copy.off_in = UINT64_MAX;
	assert_int_equal(pt_ops.copy_file_range(&f.req, a, &copy), -EINVAL);

	alloc.fh = fb;
	assert_int_equal(pt_ops.fallocate(&f.req, b, &alloc), 0);
	assert_int_equal(host_stat(&f, "b").st_size, 4096);
	alloc.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	assert_int_equal(pt_ops.fallocate(&f.req, b, &alloc), 0);
	alloc.mode = 0x80000000;
	assert_int_equal(pt_ops.fallocate(&f.req, b, &alloc), -EOPNOTSUPP);
	alloc = (struct fuse_fallocate_in){.fh = fb, .offset = UINT64_MAX, .length = 1};
	assert_int_equal(pt_ops.fallocate(&f.req, b, &alloc), -EFBIG);

	flush.fh = fa;
	assert_int_equal(pt_ops.flush(&f.req, a, &flush), 0);
	assert_int_equal(pt_ops.flush(&f.req, b, &flush), -EBADF);
	assert_int_equal(pt_ops.fsync(&f.req, a, fa, false), 0);
	assert_int_equal(pt_ops.fsync(&f.req, a, fa, true), 0);
	assert_int_equal(pt_ops.syncfs(&f.req, FUSE_ROOT_ID), 0);
	ptf_stop(&f);
}

static void tmpfile_and_link(void **state)
{
	struct fuse_create_in in = {.mode = S_IFREG | 0600, .flags = O_RDWR | O_TMPFILE};
	struct fuse_entry_out e = {0}, named = {0};
	struct fuse_open_out out = {0};
	struct fuse_attr attr;
	struct ptf f;
	int r;

	(void)state;
	ptf_start(&f, plain);
	r = pt_ops.tmpfile(&f.req, FUSE_ROOT_ID, &in, &e, &out);
	if (r == -EOPNOTSUPP) {
		ptf_stop(&f);
		skip();
	}
	assert_int_equal(r, 0);
	assert_int_equal(e.attr.nlink, 0);
	assert_int_equal(ptf_write(&f, e.nodeid, out.fh, 0, "tmp", 3, O_RDWR, 0), 3);
	assert_int_equal(ptf_release(&f, e.nodeid, out.fh), 0);
	/* Without a name it lives by its descriptor. */
	while (fdcache_shrink(&f.pt->inodes.fds))
		;
	assert_int_equal(ptf_getattr(&f, e.nodeid, &attr), 0);
	assert_int_equal(attr.size, 3);
	assert_int_equal(pt_ops.link(&f.req, e.nodeid, FUSE_ROOT_ID, "t", &named), 0);
	assert_int_equal(named.nodeid, e.nodeid);
	assert_int_equal(host_stat(&f, "t").st_size, 3);
	while (fdcache_shrink(&f.pt->inodes.fds))
		;
	assert_int_equal(ptf_stats(&f).fds, 1);
	assert_int_equal(ptf_getattr(&f, e.nodeid, &attr), 0);
	/* Not to be linked. */
	in.flags |= O_EXCL;
	assert_int_equal(pt_ops.tmpfile(&f.req, FUSE_ROOT_ID, &in, &e, &out), 0);
	assert_int_equal(pt_ops.link(&f.req, e.nodeid, FUSE_ROOT_ID, "u", &named), -ENOENT);
	/* Not by open(2), but from within the guest's kernel. */
	in.flags = O_RDWR;
	assert_int_equal(pt_ops.tmpfile(&f.req, FUSE_ROOT_ID, &in, &e, &out), -EOPNOTSUPP);
	ptf_stop(&f);
}

static void xattrs(void **state)
{
	struct fuse_entry_out e = {0};
	char buf[256];
	uint64_t a;
	struct ptf f;
	int r;

	(void)state;
	ptf_start(&f, plain);
	ptf_host_file(&f, "a", "");
	a = ptf_node(&f, FUSE_ROOT_ID, "a");
	r = pt_ops.setxattr(&f.req, a, "user.k", "value", 5, 0, 0);
	if (r == -EOPNOTSUPP) {
		ptf_stop(&f);
		skip();
	}
	assert_int_equal(r, 0);
	assert_int_equal(pt_ops.setxattr(&f.req, a, "user.k", "v", 1, XATTR_CREATE, 0), -EEXIST);
	assert_int_equal(pt_ops.setxattr(&f.req, a, "user.n", "v", 1, XATTR_REPLACE, 0), -ENODATA);
	assert_int_equal(pt_ops.setxattr(&f.req, FUSE_ROOT_ID, "user.d", "v", 1, 0, 0), 0);
	assert_int_equal(pt_ops.getxattr(&f.req, a, "user.k", NULL, 0), 5);
	assert_int_equal(pt_ops.getxattr(&f.req, a, "user.k", buf, 4), -ERANGE);
	assert_int_equal(pt_ops.getxattr(&f.req, a, "user.k", buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "value", 5);
	assert_true(pt_ops.listxattr(&f.req, a, buf, sizeof(buf)) >= 7);
	assert_true(pt_ops.listxattr(&f.req, a, NULL, 0) >= 7);
	assert_int_equal(pt_ops.removexattr(&f.req, a, "user.k"), 0);
	assert_int_equal(pt_ops.removexattr(&f.req, a, "user.k"), -ENODATA);
	/* Of the link itself, which has none of this kind; its target is not touched. */
	assert_int_equal(pt_ops.symlink(&f.req, FUSE_ROOT_ID, "l", "a", &e), 0);
	assert_int_equal(pt_ops.setxattr(&f.req, e.nodeid, "user.k", "v", 1, 0, 0), -EPERM);
	assert_int_equal(pt_ops.getxattr(&f.req, a, "user.k", buf, sizeof(buf)), -ENODATA);
	ptf_stop(&f);

	ptf_start(&f, (struct pt_conf){.max_fds = 64});
	assert_int_equal(pt_ops.setxattr(&f.req, FUSE_ROOT_ID, "user.k", "v", 1, 0, 0), -ENOSYS);
	assert_int_equal(pt_ops.getxattr(&f.req, FUSE_ROOT_ID, "user.k", buf, 4), -ENOSYS);
	assert_int_equal(pt_ops.listxattr(&f.req, FUSE_ROOT_ID, buf, 4), -ENOSYS);
	assert_int_equal(pt_ops.removexattr(&f.req, FUSE_ROOT_ID, "user.k"), -ENOSYS);
	ptf_stop(&f);
}

static void stat_operations(void **state)
{
	struct fuse_statx_out sx = {0};
	struct fuse_kstatfs fs = {0};
	struct fuse_attr attr;
	struct statfs host;
	struct stat st;
	uint64_t a, fh;
	struct ptf f;

	(void)state;
	ptf_start(&f, plain);
	ptf_host_file(&f, "a", "12345");
	a = ptf_node(&f, FUSE_ROOT_ID, "a");
	st = host_stat(&f, "a");
	assert_int_equal(ptf_getattr(&f, a, &attr), 0);
	assert_int_equal(attr.ino, st.st_ino);
	assert_int_equal(attr.size, 5);
	assert_int_equal(attr.mode, st.st_mode);
	assert_int_equal(attr.nlink, 1);
	assert_int_equal(attr.mtimensec, st.st_mtim.tv_nsec);
	assert_int_equal(pt_ops.statx(&f.req, a, NULL, 0, UINT32_MAX, &sx), 0);
	assert_int_equal(sx.stat.size, 5);
	assert_int_equal(sx.stat.ino, st.st_ino);
	assert_int_equal(sx.stat.mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
	assert_int_equal(sx.stat.mask & ~(uint32_t)(STATX_BASIC_STATS | STATX_BTIME), 0);
	if (sx.stat.mask & STATX_BTIME)
		assert_true(sx.stat.btime.tv_sec > 1000000);
	assert_int_equal(ptf_open(&f, a, O_RDONLY, &fh), 0);
	assert_int_equal(pt_ops.statx(&f.req, a, &fh, 0, UINT32_MAX, &sx), 0);
	assert_int_equal(pt_ops.statx(&f.req, FUSE_ROOT_ID, &fh, 0, UINT32_MAX, &sx), -EBADF);
	assert_int_equal(pt_ops.statfs(&f.req, a, &fs), 0);
	assert_int_equal(statfs(f.path, &host), 0);
	assert_int_equal(fs.bsize, host.f_bsize);
	assert_int_equal(fs.blocks, host.f_blocks);
	assert_int_equal(fs.namelen, host.f_namelen);
	assert_int_equal(pt_ops.access(&f.req, a, R_OK | W_OK), 0);
	assert_int_equal(pt_ops.access(&f.req, a, X_OK), -EACCES);
	f.req.hdr.uid = f.req.hdr.gid = 12345;
	assert_int_equal(pt_ops.access(&f.req, a, R_OK), 0);
	assert_int_equal(pt_ops.access(&f.req, a, W_OK), -EACCES);
	ptf_stop(&f);
}

/* What the guest is told to cache, by mode. */
static void cache_modes(void **state)
{
	static const struct {
		enum pt_cache cache;
		uint64_t valid;
		uint32_t file, dir;
		bool inval, plus;
	} modes[] = {
		{PT_CACHE_AUTO, 1, 0, 0, true, true},
		{PT_CACHE_ALWAYS, 86400, FOPEN_KEEP_CACHE, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR,
		 false, true},
		{PT_CACHE_NEVER, 0, FOPEN_DIRECT_IO, 0, true, false},
		{PT_CACHE_METADATA, 86400, FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR,
		 true, true},
	};
	struct fuse_open_in in = {.flags = O_RDONLY};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		struct fuse_init init = {.capable = UINT64_MAX,
					 .want = FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS |
						 FUSE_READDIRPLUS_AUTO};
		struct fuse_entry_out e = {0};
		struct fuse_open_out out = {0};
		struct fuse_attr_out attr = {0};
		struct ptf f;

		ptf_start(&f, (struct pt_conf){.cache = modes[i].cache, .readonly = i == 0});
		assert_int_equal(pt_ops.init(f.pt, &init), 0);
		assert_int_equal(!!(init.want & FUSE_AUTO_INVAL_DATA), modes[i].inval);
		assert_int_equal(!!(init.want & FUSE_DO_READDIRPLUS), modes[i].plus);
		assert_int_equal(init.want & FUSE_SUBMOUNTS, 0);
		assert_int_equal(init.readonly, i == 0);
		ptf_host_file(&f, "a", "");
		assert_int_equal(pt_ops.lookup(&f.req, FUSE_ROOT_ID, "a", &e), 0);
		assert_int_equal(e.entry_valid, modes[i].valid);
		assert_int_equal(e.attr_valid, modes[i].valid);
		assert_int_equal(pt_ops.getattr(&f.req, e.nodeid, NULL, &attr), 0);
		assert_int_equal(attr.attr_valid, modes[i].valid);
		assert_int_equal(pt_ops.open(&f.req, e.nodeid, &in, &out), 0);
		assert_int_equal(out.open_flags, modes[i].file | FOPEN_NOFLUSH);
		assert_int_equal(pt_ops.opendir(&f.req, FUSE_ROOT_ID, &in, &out), 0);
		assert_int_equal(out.open_flags, modes[i].dir);
		ptf_stop(&f);
	}
}

static uint32_t opened_with(struct ptf *f, uint64_t node, uint32_t flags)
{
	struct fuse_open_in in = {.flags = flags};
	struct fuse_open_out out = {0};

	assert_int_equal(pt_ops.open(&f->req, node, &in, &out), 0);
	assert_int_equal(ptf_release(f, node, out.fh), 0);
	return out.open_flags;
}

static uint32_t created_with(struct ptf *f, const char *name)
{
	struct fuse_create_in in = {.flags = O_CREAT | O_WRONLY, .mode = 0600};
	struct fuse_entry_out e = {0};
	struct fuse_open_out out = {0};

	assert_int_equal(pt_ops.create(&f->req, FUSE_ROOT_ID, name, &in, &e, &out), 0);
	assert_int_equal(ptf_release(f, e.nodeid, out.fh), 0);
	return out.open_flags;
}

/* The guest says that it closes a file where that can end locks, or tell of an error. */
static void flush_where_it_matters(void **state)
{
	(void)state;
	for (int locks = 0; locks < 2; locks++) {
		struct fuse_init init = {.capable = UINT64_MAX};
		struct ident_mount *mount;
		uint64_t a;
		struct ptf f;

		ptf_start(&f, (struct pt_conf){.posix_lock = locks});
		mount = &f.pt->inodes.mounts.mounts[f.pt->inodes.root->mount];
		assert_int_equal(pt_ops.init(f.pt, &init), 0);
		ptf_host_file(&f, "a", "");
		a = ptf_node(&f, FUSE_ROOT_ID, "a");
		atomic_store(&mount->silent, true);
		assert_int_equal(opened_with(&f, a, O_RDWR), locks ? 0 : FOPEN_NOFLUSH);
		assert_int_equal(created_with(&f, "b"), locks ? 0 : FOPEN_NOFLUSH);
		atomic_store(&mount->silent, false);
		assert_int_equal(opened_with(&f, a, O_RDWR), 0);
		assert_int_equal(opened_with(&f, a, O_WRONLY), 0);
		assert_int_equal(created_with(&f, "c"), 0);
		assert_int_equal(opened_with(&f, a, O_RDONLY), locks ? 0 : FOPEN_NOFLUSH);
		ptf_stop(&f);
	}
}

/* File systems that know less: no handles, handles that only identify; a kernel without openat2(2). */
static void poor_hosts(void **state)
{
	uint64_t d, a, fh;
	struct ptf f;

	(void)state;
	for (enum ident_how how = IDENT_FID; how <= IDENT_NONE; how++) {
		ptf_start(&f, plain);
		atomic_store(&f.pt->inodes.mounts.mounts[f.pt->inodes.root->mount].how, how);
		atomic_store(&f.pt->inodes.no_openat2, true);
		d = (uint64_t)ptf_mkdir(&f, FUSE_ROOT_ID, "d");
		a = (uint64_t)ptf_create(&f, d, "a", 0600, O_RDWR, &fh);
		assert_int_equal(ptf_node(&f, d, "a"), a);
		while (fdcache_shrink(&f.pt->inodes.fds))
			;
		assert_int_equal(ptf_stats(&f).fds, how == IDENT_NONE ? 4 : 2);
		assert_int_equal(ptf_getattr(&f, a, NULL), 0);
		assert_int_equal(ptf_release(&f, a, fh), 0);
		assert_int_equal(pt_ops.unlink(&f.req, d, "a"), 0);
		assert_int_equal(ptf_getattr(&f, a, NULL), 0);
		pt_ops.forget(f.pt, a, 2);
		pt_ops.forget(f.pt, d, 1);
		assert_int_equal(ptf_stats(&f).inodes, 1);
		assert_int_equal(ptf_stats(&f).fds, 1);
		ptf_stop(&f);
	}
}

/* A file system that is mounted beneath, goes, and comes again. */
static void submounts(void **state)
{
	struct fuse_entry_out e = {0};
	struct fuse_kstatfs fs = {0};
	uint64_t m, x, last = 0;
	char path[96];
	struct ptf f;

	(void)state;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		skip();
	ptf_start(&f, plain);
	ptf_host_mkdir(&f, "m");
	snprintf(path, sizeof(path), "%s/m", f.path);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(mount("none", path, "tmpfs", 0, "size=1m"), 0);
		ptf_host_file(&f, "m/x", "x");
		assert_int_equal(pt_ops.lookup(&f.req, FUSE_ROOT_ID, "m", &e), 0);
		assert_true(e.attr.flags & FUSE_ATTR_SUBMOUNT);
		m = e.nodeid;
		assert_int_not_equal(m, last);
		assert_int_equal(pt_ops.lookup(&f.req, m, "x", &e), 0);
		assert_false(e.attr.flags & FUSE_ATTR_SUBMOUNT);
		x = e.nodeid;
		assert_int_equal(pt_ops.statfs(&f.req, x, &fs), 0);
		assert_int_equal(fs.blocks * fs.bsize, 1 << 20);
		assert_int_equal(pt_ops.syncfs(&f.req, FUSE_ROOT_ID), 0);
		assert_int_equal(pt_ops.rmdir(&f.req, FUSE_ROOT_ID, "m"), -EBUSY);
		/* What the guest has forgotten does not keep the host from unmounting. */
		pt_ops.forget(f.pt, x, 1);
		pt_ops.forget(f.pt, m, 1);
		assert_int_equal(umount(path), 0);
		last = m;
	}
	assert_int_equal(pt_ops.lookup(&f.req, FUSE_ROOT_ID, "m", &e), 0);
	assert_false(e.attr.flags & FUSE_ATTR_SUBMOUNT);
	assert_true(f.pt->inodes.mounts.used <= 3);
	ptf_stop(&f);
	/* Where the guest does not know of submounts. */
	ptf_start_in(&f, NULL, plain, UINT64_MAX & ~(uint64_t)FUSE_SUBMOUNTS);
	ptf_host_mkdir(&f, "m");
	snprintf(path, sizeof(path), "%s/m", f.path);
	assert_int_equal(mount("none", path, "tmpfs", 0, NULL), 0);
	assert_int_equal(pt_ops.lookup(&f.req, FUSE_ROOT_ID, "m", &e), 0);
	assert_int_equal(e.attr.flags, 0);
	assert_int_equal(pt_ops.syncfs(&f.req, FUSE_ROOT_ID), 0);
	pt_ops.forget(f.pt, e.nodeid, 1);
	assert_int_equal(umount(path), 0);
	ptf_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(create_write_read),
		cmocka_unit_test(create_unwritable),
		cmocka_unit_test(create_over),
		cmocka_unit_test(append),
		cmocka_unit_test(many_segments),
		cmocka_unit_test(bad_memory),
		cmocka_unit_test(read_without_waiting),
		cmocka_unit_test(handles_are_bound),
		cmocka_unit_test(special_files),
		cmocka_unit_test(links),
		cmocka_unit_test(change_attributes),
		cmocka_unit_test(change_times),
		cmocka_unit_test(owners_and_set_id),
		cmocka_unit_test(set_group_id_alone),
		cmocka_unit_test(data_operations),
		cmocka_unit_test(tmpfile_and_link),
		cmocka_unit_test(xattrs),
		cmocka_unit_test(stat_operations),
		cmocka_unit_test(cache_modes),
		cmocka_unit_test(flush_where_it_matters),
		cmocka_unit_test(poor_hosts),
		cmocka_unit_test(submounts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
