// SPDX-License-Identifier: Apache-2.0
/* Set-id bits, file capabilities, set-gid and sticky directories: as in a plain directory. */
/*
 * Theory of operation
 *
 * The yardstick is a directory beside the share, on the same file system: a child with the caller's
 * ids does there what the guest is said to do. In the share the test plays the guest's kernel, with
 * KILLPRIV_V2 and without: the requests are those that Linux sends for the same system call by the
 * same caller. What stands on the host afterwards has to be the same. Takes root.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fx.h"
#include "fz.h"
#include "util.h"

#define OWNER 1000u
#define GROUP 1000u

struct caller {
	uint32_t uid;
	uint32_t gid;
};

static const struct caller callers[] = {
	{0, 0}, {OWNER, GROUP}, {OWNER, 3000}, {1001, GROUP}, {2000, 2000},
};

static const mode_t modes[] = {0777, 04777, 02777, 06777, 02767, 06767, 04767, 06666, 02766};

enum op {
	WRITE,
	WRITE_DIRECT,
	TRUNCATE,
	OPEN_TRUNC,
	FALLOCATE,
	COPY,
	CHGRP,
	CHOWN,
	CHOWN_NOTHING,
	OPS
};

static const char *const op_names[OPS] = {"write",        "direct write", "truncate",
					  "open O_TRUNC", "fallocate",    "copy",
					  "chgrp",        "chown",        "chown of nothing"};

static const struct fx_opts killpriv = {.args = {"--killpriv-v2", "--xattr"}};
static const struct fx_opts guest_kills = {.args = {"--xattr"}};

static bool v2(struct fx *f)
{
	return f->init.flags & FUSE_HANDLE_KILLPRIV_V2;
}

/* A directory beside the share. */
static int plain_dir(struct fx *f)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/plain", f->dir);
	assert_true(mkdir(path, 0777) == 0 || errno == EEXIST);
	assert_int_equal(chmod(path, 0777), 0);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void make_file(int dir, const char *name, mode_t mode)
{
	int fd = openat(dir, name, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "content", 7), 7);
	assert_int_equal(fchown(fd, OWNER, GROUP), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int become(const struct caller *c)
{
	if (setgroups(0, NULL) < 0 || setresgid(c->gid, c->gid, c->gid) < 0 ||
	    setresuid(c->uid, c->uid, c->uid) < 0)
		return -1;
	return 0;
}

/* In the child; errno says what went wrong. @fd and @src were opened by root. */
static int do_op(enum op op, int fd, int src, const struct caller *c)
{
	switch (op) {
	case WRITE:
	case WRITE_DIRECT:
		return write(fd, "x", 1) == 1 ? 0 : -1;
	case TRUNCATE:
		return ftruncate(fd, 3);
	case OPEN_TRUNC:
		return open("file", O_WRONLY | O_TRUNC | O_CLOEXEC);
	case FALLOCATE:
		return fallocate(fd, 0, 0, 100);
	case COPY:
		return copy_file_range(src, NULL, fd, NULL, 3, 0) == 3 ? 0 : -1;
	case CHGRP:
		return fchown(fd, (uid_t)-1, c->uid ? c->gid : 77);
	case CHOWN:
		return fchown(fd, 55, 77);
	case CHOWN_NOTHING:
		return fchown(fd, (uid_t)-1, (gid_t)-1);
	case OPS:
		break;
	}
	return -1;
}

/* Mode bits after the operation in the plain directory, or a negative errno. */
static int plain(struct fx *f, enum op op, mode_t mode, const struct caller *c)
{
	int dir = plain_dir(f), fd, src, status;
	struct stat st;
	pid_t pid;

	make_file(dir, "file", mode);
	make_file(dir, "src", 0666);
	fd = openat(dir, "file", O_RDWR | O_CLOEXEC);
	src = openat(dir, "src", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && src >= 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (fchdir(dir) < 0 || become(c) < 0)
			_exit(255);
		_exit(do_op(op, fd, src, c) < 0 ? errno : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 255);
	assert_int_equal(fstat(fd, &st), 0);
	close(src);
	close(fd);
	close(dir);
	return WEXITSTATUS(status) ? -WEXITSTATUS(status) : (int)(st.st_mode & 07777);
}

/* What Linux without KILLPRIV_V2 adds to a SETATTR that makes bits fall, and whether they would. */
static bool guest_kill(mode_t mode, const struct caller *c, bool chown, struct fuse_setattr_in *in)
{
	const bool x = mode & S_IXGRP;

	if (c->uid == 0 && !chown)
		return false;
	if (!(mode & S_ISUID) && !(mode & S_ISGID && (x || (c->uid && c->gid != GROUP))))
		return false;
	in->mode = (S_IFREG | mode) & ~(mode_t)S_ISUID;
	if (mode & S_ISGID && x)
		in->mode &= ~(mode_t)S_ISGID;
	if (mode & S_ISUID || (mode & S_ISGID && x))
		in->valid |= FATTR_MODE;
	return true;
}

static int write_one(struct fx *f, uint64_t node, uint64_t fh, uint32_t write_flags)
{
	struct fuse_write_in in = {
		.fh = fh, .size = 1, .flags = O_RDWR, .write_flags = write_flags};
	const struct iovec io[] = {IOV(in), {(void *)(uintptr_t) "x", 1}};
	struct fuse_write_out out;

	return fz_call(f, FUSE_WRITE, node, io, 2, &out, sizeof(out), NULL);
}

static int open_trunc(struct fx *f, uint64_t node, const struct caller *c)
{
	struct fuse_open_in in = {.flags = O_WRONLY | O_TRUNC};
	const struct iovec io[] = {IOV(in)};
	struct fuse_open_out out;
	int r;

	if (v2(f) && c->uid)
		in.open_flags = FUSE_OPEN_KILL_SUIDGID;
	r = fz_call(f, FUSE_OPEN, node, io, 1, &out, sizeof(out), NULL);
	return r < 0 ? r : fz_release(f, node, out.fh);
}

/* The requests of the guest's kernel; @mode is the file's. */
static int guest_op(struct fx *f, enum op op, mode_t mode, const struct caller *c, uint64_t node,
		    uint64_t fh, uint64_t src)
{
	const uint32_t kill = c->uid ? FUSE_WRITE_KILL_SUIDGID : 0;
	struct fuse_setattr_in in = {.size = 3, .uid = 55, .gid = 77};
	struct fuse_attr_out a;
	bool falls = !v2(f) && guest_kill(mode, c, op >= CHGRP, &in);

	switch (op) {
	case WRITE:
		if (falls)
			assert_int_equal(fz_setattr(f, node, &in, &a), 0);
		return write_one(f, node, fh, v2(f) ? kill : 0);
	case WRITE_DIRECT:
		return write_one(f, node, fh, kill);
	case TRUNCATE:
		in.valid |= FATTR_SIZE;
		if (v2(f) && c->uid)
			in.valid |= FATTR_KILL_SUIDGID;
		return fz_setattr(f, node, &in, &a);
	case OPEN_TRUNC:
		return open_trunc(f, node, c);
	case FALLOCATE:
		if (falls)
			assert_int_equal(fz_setattr(f, node, &in, &a), 0);
		return fz_fallocate(f, node, fh, 0, 0, 100);
	case COPY:
		if (falls)
			assert_int_equal(fz_setattr(f, node, &in, &a), 0);
		return fz_copy(f, fz_walk(f, "src"), src, 0, node, fh, 0, 3) == 3 ? 0 : -EIO;
	/* Linux: with KILLPRIV_V2 the flag goes with any change of owners, also root's. */
	case CHGRP:
		in.valid |= FATTR_GID | (v2(f) ? FATTR_KILL_SUIDGID : 0);
		if (c->uid)
			in.gid = c->gid;
		return fz_setattr(f, node, &in, &a);
	case CHOWN:
		in.valid |= FATTR_UID | FATTR_GID | (v2(f) ? FATTR_KILL_SUIDGID : 0);
		return fz_setattr(f, node, &in, &a);
	case CHOWN_NOTHING:
		return fz_setattr(f, node, &in, &a);
	case OPS:
		break;
	}
	return -EINVAL;
}

static int shared(struct fx *f, enum op op, mode_t mode, const struct caller *c)
{
	int dir = open(f->share, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	struct fuse_open_out file, src;
	uint64_t node, from;

	assert_true(dir >= 0);
	make_file(dir, "file", mode);
	make_file(dir, "src", 0666);
	close(dir);
	node = fz_walk(f, "file");
	from = fz_walk(f, "src");
	assert_int_equal(fz_open(f, node, O_RDWR, &file), 0);
	assert_int_equal(fz_open(f, from, O_RDONLY, &src), 0);
	f->uid = c->uid;
	f->gid = c->gid;
	r = guest_op(f, op, mode, c, node, file.fh, src.fh);
	f->uid = f->gid = 0;
	assert_int_equal(fz_release(f, from, src.fh), 0);
	assert_int_equal(fz_release(f, node, file.fh), 0);
	return r < 0 ? r : (int)(fx_stat(f, "file").st_mode & 07777);
}

/*
 * A write, or a chown of nothing, by the owner, who is not in the file's group, to a file with set-user-id and a set-group-id
 * bit that means nothing (no x): without KILLPRIV_V2 the request is the same as chmod(2) of one who is in
 * the group by a supplementary one. The bit stays.
 */
static bool is_chmod(struct fx *f, enum op op, mode_t mode, const struct caller *c)
{
	return !v2(f) && (op == WRITE || op == CHOWN_NOTHING) && c->uid == OWNER &&
	       c->gid != GROUP && mode & S_ISUID && (mode & (S_ISGID | S_IXGRP)) == S_ISGID;
}

static void bits_fall_as_on_the_host(void **state)
{
	struct fx *f = *state;
	unsigned int wrong = 0, done = 0;

	fx_need_root();
	for (unsigned int op = 0; op < OPS; op++) {
		for (unsigned int m = 0; m < ARRAY_SIZE(modes); m++) {
			for (unsigned int c = 0; c < ARRAY_SIZE(callers); c++) {
				int want = plain(f, op, modes[m], &callers[c]), got;

				/* Whether the caller may at all, the guest's kernel says. */
				if (want < 0 || is_chmod(f, op, modes[m], &callers[c]))
					continue;
				done++;
				got = shared(f, op, modes[m], &callers[c]);
				if (got == want)
					continue;
				wrong++;
				print_message("%s of %04o by %u:%u: %04o, on the host %04o\n",
					      op_names[op], modes[m], callers[c].uid,
					      callers[c].gid, (unsigned int)got,
					      (unsigned int)want);
			}
		}
	}
	assert_int_equal(wrong, 0);
	assert_true(done > 6 * ARRAY_SIZE(modes) * ARRAY_SIZE(callers) - 50);
}

/* File capabilities go whoever writes. */
static void capabilities_fall(void **state)
{
	/* Version 2, effective, CAP_CHOWN. */
	static const uint32_t caps[5] = {0x02000001, 1, 0, 0, 0};
	static const enum op ops[] = {WRITE, TRUNCATE, OPEN_TRUNC, FALLOCATE, CHOWN};
	struct fx *f = *state;
	const struct caller root = {0, 0};
	struct fuse_open_out o;
	uint64_t node;

	fx_need_root();
	for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++) {
		int dir = open(f->share, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		make_file(dir, "file", 0755);
		close(dir);
		if (setxattr(fx_path(f, "file"), "security.capability", caps, sizeof(caps), 0) < 0)
			skip();
		node = fz_walk(f, "file");
		assert_int_equal(fz_open(f, node, O_RDWR, &o), 0);
		assert_int_equal(guest_op(f, ops[i], 0755, &root, node, o.fh, 0), 0);
		assert_int_equal(getxattr(fx_path(f, "file"), "security.capability", NULL, 0), -1);
		assert_int_equal(errno, ENODATA);
		assert_int_equal(fz_release(f, node, o.fh), 0);
	}
}

struct made {
	struct stat file;
	struct stat dir;
	struct stat fifo;
};

/* What a child with the caller's ids makes in the plain directory @name. */
static void plain_make(struct fx *f, mode_t mode, const struct caller *c, struct made *ret)
{
	int top = plain_dir(f), dir, status;
	pid_t pid;

	assert_int_equal(mkdirat(top, "d", 0700), 0);
	dir = openat(top, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fchown(dir, OWNER, GROUP), 0);
	assert_int_equal(fchmod(dir, mode), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		umask(0);
		if (fchdir(dir) < 0 || become(c) < 0 ||
		    open("file", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 06775) < 0 ||
		    mkdir("dir", 01775) < 0 || mknod("fifo", S_IFIFO | 02664, 0) < 0)
			_exit(1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(fstatat(dir, "file", &ret->file, 0), 0);
	assert_int_equal(fstatat(dir, "dir", &ret->dir, 0), 0);
	assert_int_equal(fstatat(dir, "fifo", &ret->fifo, 0), 0);
	unlinkat(dir, "file", 0);
	unlinkat(dir, "dir", AT_REMOVEDIR);
	unlinkat(dir, "fifo", 0);
	close(dir);
	assert_int_equal(unlinkat(top, "d", AT_REMOVEDIR), 0);
	close(top);
}

static void same(struct fx *f, const char *name, const struct stat *want)
{
	struct stat got = fx_stat(f, name);

	assert_int_equal(got.st_mode, want->st_mode);
	assert_int_equal(got.st_uid, want->st_uid);
	assert_int_equal(got.st_gid, want->st_gid);
}

/* Directories with set-gid and sticky bits, and what is made in them. */
static void directories_hand_down(void **state)
{
	static const mode_t dirs[] = {0777, 01777, 02777, 03777};
	struct fx *f = *state;
	unsigned int n = 0;

	fx_need_root();
	for (unsigned int d = 0; d < ARRAY_SIZE(dirs); d++) {
		for (unsigned int c = 0; c < ARRAY_SIZE(callers); c++) {
			char top[16], name[32];
			struct fuse_entry_out e;
			struct fz_entry_open o;
			struct made want;
			uint64_t node;

			plain_make(f, dirs[d], &callers[c], &want);
			snprintf(top, sizeof(top), "d%u", n++);
			assert_int_equal(mkdir(fx_path(f, top), 0700), 0);
			assert_int_equal(chown(fx_path(f, top), OWNER, GROUP), 0);
			assert_int_equal(chmod(fx_path(f, top), dirs[d]), 0);
			node = fz_walk(f, top);
			f->uid = callers[c].uid;
			f->gid = callers[c].gid;
			assert_int_equal(fz_create(f, node, "file", O_CREAT | O_EXCL | O_RDWR,
						   S_IFREG | 06775, &o),
					 0);
			assert_int_equal(fz_release(f, o.entry.nodeid, o.open.fh), 0);
			assert_int_equal(fz_mkdir(f, node, "dir", 01775, &e), 0);
			assert_int_equal(fz_mknod(f, node, "fifo", S_IFIFO | 02664, 0, &e), 0);
			f->uid = f->gid = 0;
			snprintf(name, sizeof(name), "%s/file", top);
			same(f, name, &want.file);
			snprintf(name, sizeof(name), "%s/dir", top);
			same(f, name, &want.dir);
			snprintf(name, sizeof(name), "%s/fifo", top);
			same(f, name, &want.fifo);
		}
	}
}

#define SETID_TEST(fn, opt)                                                          \
	{                                                                            \
#fn " " #opt, fn, fx_setup, fx_teardown, (void *)(uintptr_t) & (opt) \
	}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SETID_TEST(bits_fall_as_on_the_host, killpriv),
		SETID_TEST(bits_fall_as_on_the_host, guest_kills),
		SETID_TEST(capabilities_fall, killpriv),
		SETID_TEST(capabilities_fall, guest_kills),
		SETID_TEST(directories_hand_down, guest_kills),
	};

	return fx_main(argc, argv, "setid", tests, ARRAY_SIZE(tests));
}
