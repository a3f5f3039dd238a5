// SPDX-License-Identifier: Apache-2.0
/* Extended attributes, and labels of what is created. */
/*
 * Theory of operation
 *
 * Through the descriptor's name in the thread's working directory, /proc/self/fd: one system call,
 * nothing is opened, and it works on links and special files too. Without --xattr everything answers
 * ENOSYS, and the guest asks no more.
 *
 * Names go through two doors, in this order for a name of the guest's, and the other way round for a list
 * of the host's. ACLs (system.posix_acl_access, system.posix_acl_default) do not exist for a guest that
 * has not agreed on obeying them: ENOTSUP, and they are not listed. Then the map, if there is one, may
 * refuse a name or change it.
 *
 * What is behind both doors is the host kernel's to decide, by what the daemon may do; values are not
 * looked at, but for the ids inside ACLs (pt_id.c). In a sandbox the daemon has no CAP_SYS_ADMIN, so
 * trusted.* cannot be set and is not listed. Of security.* it can set security.capability, for which
 * CAP_SETFCAP is kept; the rest takes CAP_SYS_ADMIN too where the host's kernel has security modules, and
 * means nothing where it has none. SELinux has its policy for security.selinux instead.
 *
 * Where the map moves security.capability, the host's kernel no longer removes it when the file changes,
 * and a program with capabilities could be written over by whoever may write to it. So every operation
 * that changes a file's data or owner removes it first (pt_changed()).
 *
 * A label is set after the file was created and before the guest knows of it, under the name that the map
 * gives it. When that fails the file is removed again: the guest would take it for labelled. Only names in
 * security.* are labels; others, ACLs among them, have SETXATTR.
 *
 * No locks.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/xattr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cred.h"
#include "pt_impl.h"

#define LIST_SMALL 4096u /* bytes of a list that go on the stack */

void pt_xattr_init(struct pt *pt)
{
	static const char name[] = XATTR_NAME_CAPS;

	if (!pt->conf.xattrmap || xattrmap_client(pt->conf.xattrmap, name, pt->capability) < 0 ||
	    strcmp(pt->capability, name) == 0)
		pt->capability[0] = '\0';
}

void pt_capability_drop(const struct pt *pt, int fd)
{
	removexattr(pt_fdname(fd).s, pt->capability);
}

static bool is_acl(const char *name)
{
	return strcmp(name, XATTR_NAME_POSIX_ACL_ACCESS) == 0 ||
	       strcmp(name, XATTR_NAME_POSIX_ACL_DEFAULT) == 0;
}

/* What the guest calls @name, on the host. */
static int host_name(const struct pt *pt, const char *name, char ret[XATTRMAP_NAME_SIZE])
{
	size_t len = strlen(name);

	if (is_acl(name) && !pt_has(pt, FUSE_POSIX_ACL))
		return -EOPNOTSUPP;
	if (pt->conf.xattrmap)
		return xattrmap_client(pt->conf.xattrmap, name, ret);
	if (len > XATTR_NAME_MAX)
		return -ERANGE;
	memcpy(ret, name, len + 1);
	return 0;
}

/* An inode, and one of its attributes, for a system call. */
struct target {
	struct pt_node node;
	struct pt_fdname path;
	char name[XATTRMAP_NAME_SIZE];
};

static void target_put(struct target *t)
{
	pt_node_put(&t->node);
}

#define scoped_target __attribute__((cleanup(target_put))) struct target

/* @name is NULL where it is about all of them. */
static int target_get(struct request *req, uint64_t nodeid, const char *name, struct target *ret)
{
	struct pt *pt = req_backend(req);
	int r;

	ret->node = (struct pt_node){0};
	if (!pt->conf.xattr)
		return -ENOSYS;
	r = name ? host_name(pt, name, ret->name) : 0;
	if (r == 0)
		r = pt_node_get(pt, nodeid, &ret->node);
	if (r == 0)
		ret->path = pt_fdname(ret->node.pin.fd);
	return r;
}

/* seccomp: setxattr */
int pt_setxattr(struct request *req, uint64_t nodeid, const char *name, const void *value,
		size_t size, uint32_t flags, uint32_t setxattr_flags)
{
	scoped_target t;
	const struct pt *pt = req_backend(req);
	struct cred cred = {0};
	void *acl = NULL;
	int r = target_get(req, nodeid, name, &t);

	if (r)
		return r;
	if (pt_acl_translates(pt, t.name)) {
		r = pt_acl_to_host(pt, value, size, &acl);
		if (r)
			return r;
		value = acl;
	}
	if (setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID)
		pt_kill(req, &cred);
	r = setxattr(t.path.s, t.name, value, size, (int)flags) < 0 ? -errno : 0;
	cred_end(&cred);
	free(acl);
	return r;
}

/* seccomp: getxattr */
ssize_t pt_getxattr(struct request *req, uint64_t nodeid, const char *name, void *buf, size_t size)
{
	const struct pt *pt = req_backend(req);
	scoped_target t;
	ssize_t n;
	int r = target_get(req, nodeid, name, &t);

	if (r)
		return r;
	n = getxattr(t.path.s, t.name, buf, size);
	if (n < 0)
		return -errno;
	if (size && pt_acl_translates(pt, t.name)) {
		r = pt_acl_to_guest(pt, buf, (size_t)n);
		if (r)
			return r;
	}
	return n;
}

/* Take what the guest may not see out of a list. Returns the bytes that are left. */
static size_t filter(const struct pt *pt, char *list, size_t len)
{
	size_t to = 0;

	if (pt->conf.xattrmap)
		len = xattrmap_list(pt->conf.xattrmap, list, len);
	if (pt_has(pt, FUSE_POSIX_ACL))
		return len;
	for (size_t from = 0, n; from < len; from += n) {
		n = strlen(list + from) + 1;
		if (!is_acl(list + from)) {
			memmove(list + to, list + from, n);
			to += n;
		}
	}
	return to;
}

/* The whole list: what is left of it may be shorter than what the host has. Two system calls for a long one. */
/* seccomp: listxattr */
ssize_t pt_listxattr(struct request *req, uint64_t nodeid, char *buf, size_t size)
{
	struct pt *pt = req_backend(req);
	char small[LIST_SMALL], *big = NULL, *list = small;
	scoped_target t;
	ssize_t n;
	int r = target_get(req, nodeid, NULL, &t);

	if (r)
		return r;
	n = listxattr(t.path.s, small, sizeof(small));
	if (n < 0 && errno == ERANGE) {
		list = big = malloc(XATTR_LIST_MAX);
		if (!big)
			return -ENOMEM;
		n = listxattr(t.path.s, big, XATTR_LIST_MAX);
	}
	if (n < 0) {
		n = -errno;
	} else {
		n = (ssize_t)filter(pt, list, (size_t)n);
		if (size && (size_t)n > size)
			n = -ERANGE;
		else if (size)
			memcpy(buf, list, (size_t)n);
	}
	free(big);
	return n;
}

/* seccomp: removexattr */
int pt_removexattr(struct request *req, uint64_t nodeid, const char *name)
{
	scoped_target t;
	int r = target_get(req, nodeid, name, &t);

	if (r)
		return r;
	return removexattr(t.path.s, t.name) < 0 ? -errno : 0;
}

/* seccomp: setxattr */
int pt_label(const struct request *req, int fd)
{
	const struct pt *pt = req_backend(req);
	const struct req_label *label = req->label;
	char name[XATTRMAP_NAME_SIZE];
	int r;

	if (strncmp(label->name, XATTR_SECURITY_PREFIX, XATTR_SECURITY_PREFIX_LEN) != 0)
		return -EINVAL;
	r = host_name(pt, label->name, name);
	if (r)
		return r;
	return setxattr(pt_fdname(fd).s, name, label->value, label->size, 0) < 0 ? -errno : 0;
}

void pt_label_failed(int dirfd, const char *name, int fd)
{
	struct statx there, ours;

	if (ident_stat(fd, "", AT_EMPTY_PATH, &ours) < 0 || ident_stat(dirfd, name, 0, &there) < 0)
		return;
	if (there.stx_ino == ours.stx_ino && there.stx_dev_major == ours.stx_dev_major &&
	    there.stx_dev_minor == ours.stx_dev_minor)
		unlinkat(dirfd, name, S_ISDIR(ours.stx_mode) ? AT_REMOVEDIR : 0);
}
