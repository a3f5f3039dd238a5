// SPDX-License-Identifier: Apache-2.0
/* virtiofs-bench: GETATTR, LOOKUP, OPEN and RELEASE, files that come and go, FORGET. */
/*
 * Theory of operation
 *
 * All but the last two go round the thousand files of a folder, whose nodes the daemon knows. Each reply
 * must tell of the right file: by inode number and by size, which differ from file to file. What LOOKUP
 * adds to a file's lookup count is given back when the time is over.
 *
 * "create" is a program's temporary file: CREATE, WRITE, RELEASE, UNLINK, and the FORGET that Linux sends
 * on the queue for urgent requests. Of every 64th file the host is asked what it has in it.
 *
 * "forget" is what a guest does that needs memory: a FORGET for each of a thousand files.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "fd.h"
#include "util.h"

#define FILES       1000u
#define CREATE_SIZE 4096u
#define LOOK_EVERY  64u

static int known_begin(struct load *l)
{
	return share_dir(l, DIR_1K, true);
}

static void next_file(struct load *l, struct slot *s)
{
	s->file = (unsigned int)(l->next++ % FILES);
}

static bool right_file(const struct load *l, const struct fuse_attr *a, unsigned int file)
{
	return l->arm->kind == ARM_NULL ||
	       (a->ino == l->files->dir[DIR_1K].ino[file] && a->size == files_size(file) &&
		S_ISREG(a->mode) && a->nlink == 1);
}

/* ---- GETATTR ---- */

static void getattr_issue(struct load *l, struct slot *s)
{
	next_file(l, s);
	slot_begin(l, s, FUSE_GETATTR, l->arm->ids[DIR_1K].id[s->file]);
	slot_arg(s, sizeof(struct fuse_getattr_in));
	slot_reply(s, sizeof(struct fuse_attr_out));
}

static int getattr_check(struct load *l, struct slot *s, bool *ret_rest)
{
	const struct fuse_attr_out *out = slot_payload(s);

	*ret_rest = true;
	if (slot_error(s) || slot_len(s) != sizeof(*out) || !right_file(l, &out->attr, s->file))
		return load_fail(l, "GETATTR of file %u: error %d, inode %llu, size %llu", s->file,
				 slot_error(s), (unsigned long long)out->attr.ino,
				 (unsigned long long)out->attr.size);
	return 1;
}

static int fds_begin(struct native *n)
{
	n->fds = calloc(FILES, sizeof(*n->fds));
	if (!n->fds)
		return -ENOMEM;
	for (unsigned int i = 0; i < FILES; i++) {
		char name[16];

		files_name(name, i);
		n->fds[i] = openat(n->files->dir[DIR_1K].fd, name, O_PATH | O_CLOEXEC);
		if (n->fds[i] < 0)
			return -errno;
	}
	return 0;
}

static void fds_end(struct native *n)
{
	for (unsigned int i = 0; n->fds && i < FILES; i++)
		fd_close(&n->fds[i]);
	free(n->fds);
	n->fds = NULL;
}

static int getattr_native(struct native *n)
{
	for (unsigned int i = 0; i < n->batch; i++) {
		n->at[i] = n->next++ % FILES;
		n->res[i] = native_errno(
			statx(n->fds[n->at[i]], "", AT_EMPTY_PATH, STATX_BASIC_STATS, &n->stat[i]));
	}
	return (int)n->batch;
}

static int stat_native_check(struct native *n)
{
	for (unsigned int i = 0; i < n->batch; i++)
		if (n->res[i] < 0 || n->stat[i].stx_ino != n->files->dir[DIR_1K].ino[n->at[i]])
			return n->res[i] < 0 ? n->res[i] : -EIO;
	return 0;
}

/* ---- LOOKUP ---- */

static void lookup_issue(struct load *l, struct slot *s)
{
	char name[16];

	next_file(l, s);
	files_name(name, s->file);
	slot_begin(l, s, FUSE_LOOKUP, l->arm->ids[DIR_1K].node);
	slot_name(s, name);
	slot_reply(s, sizeof(struct fuse_entry_out));
}

static int lookup_check(struct load *l, struct slot *s, bool *ret_rest)
{
	const struct fuse_entry_out *out = slot_payload(s);
	struct ids *ids = &l->arm->ids[DIR_1K];

	*ret_rest = true;
	if (slot_error(s) || slot_len(s) != sizeof(*out) || !right_file(l, &out->attr, s->file) ||
	    (out->nodeid != ids->id[s->file] && l->arm->kind != ARM_NULL))
		return load_fail(l, "LOOKUP of file %u: error %d, inode %llu", s->file,
				 slot_error(s), (unsigned long long)out->attr.ino);
	ids->refs[s->file]++;
	return 1;
}

static int lookup_end(struct load *l)
{
	return share_forget(l, DIR_1K, 1);
}

static int lookup_native(struct native *n)
{
	for (unsigned int i = 0; i < n->batch; i++) {
		char name[16];

		n->at[i] = n->next++ % FILES;
		files_name(name, (unsigned int)n->at[i]);
		n->res[i] = native_errno(statx(n->files->dir[DIR_1K].fd, name, AT_SYMLINK_NOFOLLOW,
					       STATX_BASIC_STATS, &n->stat[i]));
	}
	return (int)n->batch;
}

static void miss_name(char name[16], unsigned int file)
{
	files_name(name, file);
	name[0] = 'n';
}

static void miss_issue(struct load *l, struct slot *s)
{
	char name[16];

	next_file(l, s);
	miss_name(name, s->file);
	slot_begin(l, s, FUSE_LOOKUP, l->arm->ids[DIR_1K].node);
	slot_name(s, name);
	slot_reply(s, sizeof(struct fuse_entry_out));
}

/* Either way of saying that there is none. */
static int miss_check(struct load *l, struct slot *s, bool *ret_rest)
{
	const struct fuse_entry_out *out = slot_payload(s);
	bool none = slot_error(s) == 0 && slot_len(s) == sizeof(*out) && !out->nodeid;

	*ret_rest = true;
	if (!none && slot_error(s) != -ENOENT && l->arm->kind != ARM_NULL)
		return load_fail(l, "LOOKUP of nothing: error %d", slot_error(s));
	return 1;
}

static int miss_native(struct native *n)
{
	for (unsigned int i = 0; i < n->batch; i++) {
		char name[16];

		miss_name(name, (unsigned int)(n->next++ % FILES));
		n->res[i] = native_errno(statx(n->files->dir[DIR_1K].fd, name, AT_SYMLINK_NOFOLLOW,
					       STATX_BASIC_STATS, &n->stat[i]));
	}
	return (int)n->batch;
}

static int miss_native_check(struct native *n)
{
	for (unsigned int i = 0; i < n->batch; i++)
		if (n->res[i] != -ENOENT)
			return -EIO;
	return 0;
}

/* ---- OPEN and RELEASE ---- */

static int open_begin(struct load *l)
{
	struct slot *s = &l->slot[0];
	struct fuse_open_out out;
	int r = known_begin(l);

	if (r < 0)
		return r;
	slot_begin(l, s, FUSE_OPEN, l->arm->ids[DIR_1K].id[0]);
	slot_arg(s, sizeof(struct fuse_open_in));
	slot_reply(s, sizeof(out));
	r = slot_call(l, s);
	if (r == -ENOSYS)
		return -EOPNOTSUPP;
	if (r < 0)
		return r;
	memcpy(&out, slot_payload(s), sizeof(out));
	return share_release(l, FUSE_RELEASE, l->arm->ids[DIR_1K].id[0], out.fh);
}

enum { STEP_NEW, STEP_OPEN, STEP_WRITTEN, STEP_CLOSED, STEP_GONE };

static void release(struct load *l, struct slot *s, uint64_t node)
{
	struct fuse_release_in *in;

	slot_begin(l, s, FUSE_RELEASE, node);
	in = slot_arg(s, sizeof(*in));
	in->fh = s->fh;
	slot_reply(s, 0);
}

static void open_issue(struct load *l, struct slot *s)
{
	if (s->step == STEP_OPEN) {
		release(l, s, l->arm->ids[DIR_1K].id[s->file]);
		return;
	}
	next_file(l, s);
	slot_begin(l, s, FUSE_OPEN, l->arm->ids[DIR_1K].id[s->file]);
	slot_arg(s, sizeof(struct fuse_open_in));
	slot_reply(s, sizeof(struct fuse_open_out));
}

static int open_check(struct load *l, struct slot *s, bool *ret_rest)
{
	const struct fuse_open_out *out = slot_payload(s);
	bool opening = s->step == STEP_NEW;

	*ret_rest = !opening;
	if (slot_error(s) || slot_len(s) != (opening ? sizeof(*out) : 0))
		return load_fail(l, "%s of file %u: error %d", opening ? "OPEN" : "RELEASE",
				 s->file, slot_error(s));
	if (opening)
		s->fh = out->fh;
	s->step = opening ? STEP_OPEN : STEP_NEW;
	return !opening;
}

static int open_native(struct native *n)
{
	for (unsigned int i = 0; i < n->batch; i++) {
		char name[16];
		int fd;

		files_name(name, (unsigned int)(n->next++ % FILES));
		fd = openat(n->files->dir[DIR_1K].fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		n->res[i] = native_errno(fd);
		if (fd >= 0)
			close(fd);
	}
	return (int)n->batch;
}

static int all_good(struct native *n)
{
	for (unsigned int i = 0; i < n->batch; i++)
		if (n->res[i] < 0)
			return n->res[i];
	return 0;
}

/* ---- files that come and go ---- */

static int create_begin(struct load *l)
{
	for (unsigned int i = 0; i < l->nslots; i++)
		memcpy(l->slot[i].data, l->files->data + i * CREATE_SIZE, CREATE_SIZE);
	return share_enter(l);
}

static void create_name(char name[32], const struct slot *s)
{
	snprintf(name, 32, "slot-%u-%llu", s->number, (unsigned long long)s->seq);
}

static void create_issue(struct load *l, struct slot *s)
{
	char name[32];

	create_name(name, s);
	switch (s->step) {
	case STEP_NEW: {
		struct fuse_create_in *in;

		slot_begin(l, s, FUSE_CREATE, l->arm->made);
		in = slot_arg(s, sizeof(*in));
		in->flags = O_RDWR | O_CREAT | O_EXCL;
		in->mode = S_IFREG | 0644;
		in->umask = 022;
		slot_name(s, name);
		slot_reply(s, sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out));
		break;
	}
	case STEP_OPEN: {
		struct fuse_write_in *in;

		slot_begin(l, s, FUSE_WRITE, s->node);
		in = slot_arg(s, sizeof(*in));
		in->fh = s->fh;
		in->size = CREATE_SIZE;
		slot_send_data(s, CREATE_SIZE);
		slot_reply(s, sizeof(struct fuse_write_out));
		break;
	}
	case STEP_WRITTEN:
		release(l, s, s->node);
		break;
	case STEP_CLOSED:
		slot_begin(l, s, FUSE_UNLINK, l->arm->made);
		slot_name(s, name);
		slot_reply(s, 0);
		break;
	default: {
		struct fuse_forget_in *in;

		slot_begin(l, s, FUSE_FORGET, s->node);
		s->ring = &l->arm->v->ring[0];
		in = slot_arg(s, sizeof(*in));
		in->nlookup = 1;
	}
	}
}

static bool was_created(const struct files *f, const struct slot *s)
{
	uint8_t got[CREATE_SIZE + 1];
	char name[32];
	scoped_fd int fd = -1;

	create_name(name, s);
	fd = openat(f->made_fd, name, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, got, sizeof(got)) == CREATE_SIZE &&
	       !memcmp(got, s->data, CREATE_SIZE);
}

static int create_check(struct load *l, struct slot *s, bool *ret_rest)
{
	const uint8_t *reply = slot_payload(s);
	struct fuse_entry_out e;
	struct fuse_open_out o;

	*ret_rest = false;
	if (s->room && slot_error(s))
		return load_fail(l, "a new file, step %u: error %d", s->step, slot_error(s));
	if (s->step == STEP_NEW) {
		memcpy(&e, reply, sizeof(e));
		memcpy(&o, reply + sizeof(e), sizeof(o));
		if (slot_len(s) != sizeof(e) + sizeof(o) || !S_ISREG(e.attr.mode) ||
		    (e.attr.mode & 07777) != 0644 || e.attr.size)
			return load_fail(l, "CREATE: mode %o, size %llu", e.attr.mode,
					 (unsigned long long)e.attr.size);
		s->node = e.nodeid;
		s->fh = o.fh;
	} else if (s->step == STEP_OPEN) {
		const struct fuse_write_out *out = slot_payload(s);

		if (slot_len(s) != sizeof(*out) || out->size != CREATE_SIZE)
			return load_fail(l, "WRITE to a new file: %u bytes written", out->size);
		if (s->seq % LOOK_EVERY == 0 && !was_created(l->files, s))
			return load_fail(l, "a new file has the wrong content");
	} else if (s->step == STEP_GONE) {
		s->step = STEP_NEW;
		s->seq++;
		*ret_rest = true;
		return 1;
	}
	s->step++;
	return 0;
}

static int create_end(struct load *l)
{
	scoped_fd int fd = openat(l->files->made_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fdopendir(fd);
	unsigned int n = 0;

	if (!d)
		return -errno;
	fd_steal(&fd);
	while (readdir(d))
		n++;
	closedir(d);
	return n == 2 ? 0 : load_fail(l, "%u new files were not removed", n - 2);
}

static int create_native(struct native *n)
{
	for (unsigned int i = 0; i < n->batch; i++) {
		int dir = n->files->made_fd, fd;
		char name[32];

		snprintf(name, sizeof(name), "slot-%u-%llu", i % n->depth,
			 (unsigned long long)n->next++);
		fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		n->res[i] = native_errno(fd);
		if (fd < 0)
			continue;
		n->res[i] = native_errno(pwrite(fd, n->files->data, CREATE_SIZE, 0));
		close(fd);
		if (unlinkat(dir, name, 0) < 0)
			n->res[i] = -errno;
	}
	return (int)n->batch;
}

/* ---- FORGET ---- */

static int forget_begin(struct load *l)
{
	l->next = 0;
	return known_begin(l);
}

static void forget_issue(struct load *l, struct slot *s)
{
	struct ids *ids = &l->arm->ids[DIR_1K];
	struct fuse_forget_in *in;

	next_file(l, s);
	slot_begin(l, s, FUSE_FORGET, ids->id[s->file]);
	s->ring = &l->arm->v->ring[0];
	in = slot_arg(s, sizeof(*in));
	in->nlookup = 1;
	ids->refs[s->file] = 0;
}

static int forget_check(struct load *l, struct slot *s, bool *ret_rest)
{
	(void)s;
	*ret_rest = l->next >= FILES;
	return 1;
}

const struct work work_meta[] = {
	{
		.name = "getattr",
		.about = "GETATTR of 1,000 files in turn",
		.dir = DIR_1K,
		.unit = "op",
		.echo = true,
		.begin = known_begin,
		.issue = getattr_issue,
		.check = getattr_check,
		.native_begin = fds_begin,
		.native_end = fds_end,
		.native = getattr_native,
		.native_check = stat_native_check,
	},
	{
		.name = "lookup",
		.about = "LOOKUP of 1,000 names that the daemon knows",
		.dir = DIR_1K,
		.unit = "op",
		.echo = true,
		.begin = known_begin,
		.end = lookup_end,
		.issue = lookup_issue,
		.check = lookup_check,
		.native = lookup_native,
		.native_check = stat_native_check,
	},
	{
		.name = "lookup-miss",
		.about = "LOOKUP of names that are not there",
		.dir = DIR_1K,
		.unit = "op",
		.echo = true,
		.begin = known_begin,
		.issue = miss_issue,
		.check = miss_check,
		.native = miss_native,
		.native_check = miss_native_check,
	},
	{
		.name = "open",
		.about = "OPEN and RELEASE of 1,000 files in turn",
		.dir = DIR_1K,
		.unit = "pair",
		.begin = open_begin,
		.issue = open_issue,
		.check = open_check,
		.native = open_native,
		.native_check = all_good,
	},
	{
		.name = "create",
		.about = "CREATE, WRITE of 4k, RELEASE, UNLINK and FORGET of new files",
		.size = CREATE_SIZE,
		.dir = -1,
		.unit = "file",
		.begin = create_begin,
		.end = create_end,
		.issue = create_issue,
		.check = create_check,
		.native = create_native,
		.native_check = all_good,
	},
	{
		.name = "forget",
		.about = "FORGET of 1,000 files, one by one",
		.dir = DIR_1K,
		.unit = "op",
		.once = true,
		.begin = forget_begin,
		.issue = forget_issue,
		.check = forget_check,
	},
	{0},
};
