// SPDX-License-Identifier: Apache-2.0
/* Ids in requests and replies: the caller's, owners, and those inside ACLs. */
/*
 * Theory of operation
 *
 * The guest names users and groups in its own numbers, the host in its. They are translated (idmap.h)
 * at this one door: the caller before the thread acts as it, the owner that SETATTR sets, attributes
 * in replies, and the ids of named users and groups in the values of POSIX ACLs, which go through as
 * bytes otherwise. An ACL is told by its name on the host: there it is what the kernel reads, while
 * one that --xattrmap stores under another name is kept as the guest wrote it.
 *
 * An ACL has the same length on both sides. What comes from the guest is checked before it is read,
 * and copied before it is changed. Several ids may become one on the way; the kernel takes that.
 *
 * No locks, no system calls of its own.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/xattr.h>
#include <stdlib.h>
#include <string.h>

#include "cred.h"
#include "pt_impl.h"
#include "util.h"

/* In no file's group: for a caller who may not be any on the host. */
#define NOBODY 65534u

static_assert(sizeof(struct posix_acl_xattr_header) == 4, "header of an ACL");
static_assert(sizeof(struct posix_acl_xattr_entry) == 8, "entry of an ACL");

int pt_become(const struct request *req, struct cred *ret)
{
	const struct pt *pt = req_backend(req);
	uint32_t uid, gid, group = CRED_NO_GROUP;
	int r = idmap_to_host(&pt->conf.uids, req->hdr.uid, &uid);

	if (r == 0)
		r = idmap_to_host(&pt->conf.gids, req->hdr.gid, &gid);
	if (r == 0 && req->supp_gid != CRED_NO_GROUP)
		r = idmap_to_host(&pt->conf.gids, req->supp_gid, &group);
	return r < 0 ? r : cred_begin(ret, uid, gid, group);
}

void pt_kill(const struct request *req, struct cred *ret)
{
	const struct pt *pt = req_backend(req);
	uint32_t gid;

	if (idmap_to_host(&pt->conf.gids, req->hdr.gid, &gid) < 0)
		gid = NOBODY;
	cred_kill(ret, gid);
}

int pt_owner(const struct pt *pt, struct fuse_setattr_in *in)
{
	uint32_t uid = in->uid, gid = in->gid;
	int r = 0;

	if (in->valid & FATTR_UID)
		r = idmap_to_host(&pt->conf.uids, in->uid, &uid);
	if (r == 0 && in->valid & FATTR_GID)
		r = idmap_to_host(&pt->conf.gids, in->gid, &gid);
	if (r < 0)
		return r;
	in->uid = uid;
	in->gid = gid;
	return 0;
}

static bool has_rules(const struct pt *pt)
{
	return pt->conf.uids.to_host.n || pt->conf.uids.to_guest.n || pt->conf.gids.to_host.n ||
	       pt->conf.gids.to_guest.n;
}

bool pt_acl_translates(const struct pt *pt, const char *name)
{
	return has_rules(pt) && (strcmp(name, XATTR_NAME_POSIX_ACL_ACCESS) == 0 ||
				 strcmp(name, XATTR_NAME_POSIX_ACL_DEFAULT) == 0);
}

/* One id of an ACL, by the kind of entry that it stands in. */
static int translate(const struct pt *pt, uint16_t tag, bool to_host, uint32_t *id)
{
	const struct idmap *map = tag == ACL_USER ? &pt->conf.uids : &pt->conf.gids;

	if (tag != ACL_USER && tag != ACL_GROUP)
		return 0;
	if (to_host)
		return idmap_to_host(map, *id, id);
	*id = idmap_to_guest(map, *id);
	return 0;
}

/* In place. -EINVAL for what is no ACL, -EOPNOTSUPP for one of another version, as the kernel says. */
static int translate_acl(const struct pt *pt, bool to_host, void *value, size_t size)
{
	struct posix_acl_xattr_header head;
	struct posix_acl_xattr_entry entry;
	char *at = value;

	if (size < sizeof(head) || (size - sizeof(head)) % sizeof(entry))
		return -EINVAL;
	memcpy(&head, at, sizeof(head));
	if (le32toh(head.a_version) != POSIX_ACL_XATTR_VERSION)
		return -EOPNOTSUPP;
	for (at += sizeof(head); at < (char *)value + size; at += sizeof(entry)) {
		uint32_t id;
		int r;

		memcpy(&entry, at, sizeof(entry));
		id = le32toh(entry.e_id);
		r = translate(pt, le16toh(entry.e_tag), to_host, &id);
		if (r < 0)
			return r;
		entry.e_id = htole32(id);
		memcpy(at, &entry, sizeof(entry));
	}
	return 0;
}

int pt_acl_to_host(const struct pt *pt, const void *value, size_t size, void **ret)
{
	void *copy;
	int r;

	/* Nothing at all takes the ACL away. */
	if (size == 0) {
		*ret = NULL;
		return 0;
	}
	if (size > XATTR_SIZE_MAX)
		return -E2BIG;
	copy = malloc(size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, value, size);
	r = translate_acl(pt, true, copy, size);
	if (r < 0)
		free(copy);
	else
		*ret = copy;
	return r;
}

int pt_acl_to_guest(const struct pt *pt, void *value, size_t size)
{
	return size && translate_acl(pt, false, value, size) < 0 ? -EIO : 0;
}
