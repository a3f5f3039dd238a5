// SPDX-License-Identifier: Apache-2.0
/* A valid request of every opcode, over a small tree. */
/*
 * Theory of operation
 *
 * The table is written down apart from the one in src/fuse, from the protocol: that the two agree
 * is part of what is tested. The requests are what Linux sends.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/fs.h>

#include "fuse_sample.h"
#include "util.h"

#define OP(op) offsetof(struct fuse_ops, op)

enum {
	NO_REPLY = SAMPLE_NO_REPLY,
	CHANGES = SAMPLE_CHANGES,
	SHRINKS = SAMPLE_SHRINKS,
	XATTRS = SAMPLE_XATTRS,
	TAIL = SAMPLE_TAIL,
	SESSION = SAMPLE_SESSION,
};

const struct sample samples[] = {
	{FUSE_LOOKUP, 0, 1, 128, OP(lookup), 0, 0},
	{FUSE_FORGET, 8, 0, 0, OP(forget), NO_REPLY, 0},
	{FUSE_GETATTR, 16, 0, 104, OP(getattr), 0, 0},
	{FUSE_SETATTR, 88, 0, 104, OP(setattr), CHANGES, 0},
	{FUSE_READLINK, 0, 0, sizeof(SAMPLE_TARGET) - 1, OP(readlink), SHRINKS, 0},
	{FUSE_SYMLINK, 0, 1, 128, OP(symlink), CHANGES | TAIL, 0},
	{FUSE_MKNOD, 16, 1, 128, OP(mknod), CHANGES, 0},
	{FUSE_MKDIR, 8, 1, 128, OP(mkdir), CHANGES, 0},
	{FUSE_UNLINK, 0, 1, 0, OP(unlink), CHANGES, 0},
	{FUSE_RMDIR, 0, 1, 0, OP(rmdir), CHANGES, 0},
	{FUSE_RENAME, 8, 2, 0, OP(rename), CHANGES, 0},
	{FUSE_LINK, 8, 1, 128, OP(link), CHANGES, 0},
	{FUSE_OPEN, 8, 0, 16, OP(open), 0, 0},
	{FUSE_READ, 40, 0, sizeof(SAMPLE_DATA) - 1, OP(read), SHRINKS, 0},
	{FUSE_WRITE, 40, 0, 8, OP(write), CHANGES | TAIL, 0},
	{FUSE_STATFS, 0, 0, 80, OP(statfs), 0, 0},
	{FUSE_RELEASE, 24, 0, 0, OP(release), 0, 0},
	{FUSE_FSYNC, 16, 0, 0, OP(fsync), 0, 0},
	{FUSE_SETXATTR, 16, 1, 0, OP(setxattr), CHANGES | XATTRS | TAIL, 0},
	{FUSE_GETXATTR, 8, 1, sizeof(SAMPLE_VALUE) - 1, OP(getxattr), XATTRS | SHRINKS, 0},
	{FUSE_LISTXATTR, 8, 0, sizeof(SAMPLE_XATTR), OP(listxattr), SHRINKS, 0},
	{FUSE_REMOVEXATTR, 0, 1, 0, OP(removexattr), CHANGES | XATTRS, 0},
	{FUSE_FLUSH, 24, 0, 0, OP(flush), 0, 0},
	{FUSE_INIT, 64, 0, 64, 0, SESSION, 0},
	{FUSE_OPENDIR, 8, 0, 16, OP(opendir), 0, 0},
	{FUSE_READDIR, 40, 0, 7 * 32, OP(readdir), SHRINKS, 0},
	{FUSE_RELEASEDIR, 24, 0, 0, OP(releasedir), 0, 0},
	{FUSE_FSYNCDIR, 16, 0, 0, OP(fsyncdir), 0, 0},
	{FUSE_GETLK, 48, 0, 0, 0, 0, -ENOSYS},
	{FUSE_SETLK, 48, 0, 0, 0, 0, -ENOSYS},
	{FUSE_SETLKW, 48, 0, 0, 0, 0, -ENOSYS},
	{FUSE_ACCESS, 8, 0, 0, OP(access), 0, 0},
	{FUSE_CREATE, 16, 1, 144, OP(create), CHANGES, 0},
	{FUSE_INTERRUPT, 8, 0, 0, 0, SAMPLE_NOT_FOUND, -EAGAIN},
	{FUSE_BMAP, 16, 0, 0, 0, 0, -ENOSYS},
	{FUSE_DESTROY, 0, 0, 0, 0, SESSION, 0},
	{FUSE_IOCTL, 32, 0, 0, 0, 0, -ENOSYS},
	{FUSE_POLL, 24, 0, 0, 0, 0, -ENOSYS},
	{FUSE_NOTIFY_REPLY, 0, 0, 0, 0, NO_REPLY, 0},
	{FUSE_BATCH_FORGET, 8, 0, 0, OP(forget), NO_REPLY | TAIL, 0},
	{FUSE_FALLOCATE, 32, 0, 0, OP(fallocate), CHANGES, 0},
	{FUSE_READDIRPLUS, 40, 0, 7 * 160, OP(readdir), SHRINKS, 0},
	{FUSE_RENAME2, 16, 2, 0, OP(rename), CHANGES, 0},
	{FUSE_LSEEK, 24, 0, 8, OP(lseek), 0, 0},
	{FUSE_COPY_FILE_RANGE, 56, 0, 8, OP(copy_file_range), CHANGES, 0},
	{FUSE_SETUPMAPPING, 40, 0, 0, 0, 0, -ENOSYS},
	{FUSE_REMOVEMAPPING, 4, 0, 0, 0, 0, -ENOSYS},
	{FUSE_SYNCFS, 8, 0, 0, OP(syncfs), 0, 0},
	{FUSE_TMPFILE, 16, 1, 144, OP(tmpfile), CHANGES | SAMPLE_ANY_NAME, 0},
	{FUSE_STATX, 24, 0, 288, OP(statx), 0, 0},
};
const unsigned int samples_count = ARRAY_SIZE(samples);

void scene_new(struct rig *r, struct scene *ret)
{
	uint64_t root = FUSE_ROOT_ID;

	assert_int_equal(rig_create(r, root, "f", O_RDWR, &ret->f, &ret->fh), 0);
	assert_int_equal(rig_create(r, root, "g", O_RDWR, &ret->g, &ret->gh), 0);
	assert_int_equal(rig_mkdir(r, root, "d", &ret->d), 0);
	assert_int_equal(rig_mkdir(r, root, "e", &ret->e), 0);
	assert_int_equal(rig_symlink(r, root, "l", SAMPLE_TARGET, &ret->l), 0);
	assert_int_equal(rig_write(r, ret->f, ret->fh, 0, SAMPLE_DATA, sizeof(SAMPLE_DATA) - 1), 0);
	assert_int_equal(rig_setxattr(r, ret->f, SAMPLE_XATTR, SAMPLE_VALUE,
				      sizeof(SAMPLE_VALUE) - 1, 0),
			 0);
	assert_int_equal(rig_opendir(r, root, &ret->rh), 0);
}

/* Node, and the good names. */
static uint64_t target(const struct scene *sc, uint32_t opcode, const char **names)
{
	names[0] = "new";
	names[1] = "other";
	switch (opcode) {
	case FUSE_LOOKUP:
	case FUSE_RENAME:
	case FUSE_RENAME2:
		names[0] = "f";
		return FUSE_ROOT_ID;
	case FUSE_UNLINK:
		names[0] = "g";
		return FUSE_ROOT_ID;
	case FUSE_RMDIR:
		names[0] = "e";
		return FUSE_ROOT_ID;
	case FUSE_TMPFILE:
		names[0] = "/";
		return sc->d;
	case FUSE_SYMLINK:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_LINK:
	case FUSE_CREATE:
		return sc->d;
	case FUSE_GETXATTR:
	case FUSE_REMOVEXATTR:
		names[0] = SAMPLE_XATTR;
		return sc->f;
	case FUSE_SETXATTR:
		names[0] = "user.b";
		return sc->f;
	case FUSE_READLINK:
		return sc->l;
	case FUSE_OPENDIR:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_RELEASEDIR:
	case FUSE_FSYNCDIR:
	case FUSE_STATFS:
	case FUSE_SYNCFS:
		return FUSE_ROOT_ID;
	case FUSE_INIT:
	case FUSE_DESTROY:
		return 0;
	case FUSE_FORGET:
		return sc->g;
	default:
		return sc->f;
	}
}

static void add_args(struct rig *r, const struct scene *sc, const struct sample *s)
{
	union {
		struct fuse_forget_in forget;
		struct fuse_setattr_in setattr;
		struct fuse_mknod_in mknod;
		struct fuse_mkdir_in mkdir;
		struct fuse_rename2_in rename;
		struct fuse_link_in link;
		struct fuse_open_in open;
		struct fuse_read_in read;
		struct fuse_write_in write;
		struct fuse_release_in release;
		struct fuse_fsync_in fsync;
		struct fuse_setxattr_in setxattr;
		struct fuse_getxattr_in getxattr;
		struct fuse_flush_in flush;
		struct fuse_init_in init;
		struct fuse_create_in create;
		struct fuse_interrupt_in interrupt;
		struct fuse_batch_forget_in batch;
		struct fuse_fallocate_in fallocate;
		struct fuse_lseek_in lseek;
		struct fuse_copy_file_range_in copy;
		uint8_t bytes[128];
	} in;

	memset(&in, 0, sizeof(in));
	switch (s->opcode) {
	case FUSE_FORGET:
		in.forget.nlookup = 1;
		break;
	case FUSE_SETATTR:
		in.setattr.valid = FATTR_MODE | FATTR_SIZE;
		in.setattr.mode = 0100600;
		in.setattr.size = 5;
		break;
	case FUSE_MKNOD:
		in.mknod.mode = S_IFCHR | 0600;
		in.mknod.rdev = 0x501;
		break;
	case FUSE_MKDIR:
		in.mkdir.mode = 0750;
		break;
	case FUSE_RENAME:
	case FUSE_RENAME2:
		in.rename.newdir = sc->d;
		if (s->opcode == FUSE_RENAME2)
			in.rename.flags = RENAME_NOREPLACE;
		break;
	case FUSE_LINK:
		in.link.oldnodeid = sc->f;
		break;
	case FUSE_OPEN:
		in.open.flags = O_RDONLY;
		break;
	case FUSE_READ:
		in.read.fh = sc->fh;
		in.read.size = 4096;
		break;
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		in.read.fh = sc->rh;
		in.read.size = 4096;
		break;
	case FUSE_WRITE:
		in.write.fh = sc->fh;
		in.write.offset = 7;
		in.write.size = 4;
		break;
	case FUSE_RELEASE:
		in.release.fh = sc->fh;
		break;
	case FUSE_RELEASEDIR:
		in.release.fh = sc->rh;
		break;
	case FUSE_FSYNC:
		in.fsync.fh = sc->fh;
		break;
	case FUSE_FSYNCDIR:
		in.fsync.fh = sc->rh;
		break;
	case FUSE_SETXATTR:
		in.setxattr.size = 3;
		break;
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
		in.getxattr.size = 100;
		break;
	case FUSE_FLUSH:
		in.flush.fh = sc->fh;
		break;
	case FUSE_INIT:
		in.init.major = 7;
		in.init.minor = 39;
		in.init.max_readahead = 4096;
		in.init.flags = UINT32_MAX;
		in.init.flags2 = UINT32_MAX;
		break;
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		in.create.flags = O_RDWR;
		in.create.mode = 0100640;
		break;
	case FUSE_INTERRUPT:
		in.interrupt.unique = 12345678;
		break;
	case FUSE_BATCH_FORGET:
		in.batch.count = 2;
		break;
	case FUSE_FALLOCATE:
		in.fallocate.fh = sc->fh;
		in.fallocate.length = 8192;
		break;
	case FUSE_LSEEK:
		in.lseek.fh = sc->fh;
		in.lseek.whence = SEEK_DATA;
		break;
	case FUSE_COPY_FILE_RANGE:
		in.copy.fh_in = sc->fh;
		in.copy.nodeid_out = sc->g;
		in.copy.fh_out = sc->gh;
		in.copy.len = 1000;
		break;
	default:
		break;
	}
	rig_add(r, in.bytes, s->args);
}

static void add_tail(struct rig *r, const struct scene *sc, const struct sample *s)
{
	struct fuse_forget_one one[2] = {{.nodeid = sc->g, .nlookup = 1},
					 {.nodeid = sc->e, .nlookup = 1}};

	switch (s->opcode) {
	case FUSE_SYMLINK:
		rig_name(r, SAMPLE_TARGET);
		break;
	case FUSE_WRITE:
		rig_add(r, "data", 4);
		break;
	case FUSE_SETXATTR:
		rig_add(r, "xyz", 3);
		break;
	case FUSE_BATCH_FORGET:
		rig_add(r, one, sizeof(one));
		break;
	default:
		break;
	}
}

void sample_build(struct rig *r, const struct scene *sc, const struct sample *s,
		  const char *const *names)
{
	const char *good[2];

	rig_begin(r, s->opcode, target(sc, s->opcode, good));
	add_args(r, sc, s);
	for (unsigned int i = 0; i < s->names; i++)
		rig_name(r, names && names[i] ? names[i] : good[i]);
	add_tail(r, sc, s);
}
