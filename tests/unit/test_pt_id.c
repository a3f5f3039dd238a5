// SPDX-License-Identifier: Apache-2.0
/* Ids of users and groups, wherever they pass between guest and host. */
/*
 * Theory of operation
 *
 * A backend with rules over a temporary directory; what comes to the host is read with stat(2) and
 * getxattr(2), what comes to the guest is what the operations return. Needs root, else skipped.
 */
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/xattr.h>

#include "pt_fixture.h"
#include "util.h"

#define ACCESS  "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

/* Both of users and groups: 1000… is 5000… both ways, 2000… is 7, 3000… is nobody's; 9 shows as 8. */
static const char *const usual[] = {"map:1000:5000:100", "squash-guest:2000:7:100",
				    "forbid-guest:3000:100", "host:9:8:1", NULL};

static struct idmap make(const char *const *rules)
{
	struct idmap m = {0};
	char err[128];

	for (; *rules; rules++)
		assert_int_equal(idmap_add(&m, *rules, err, sizeof(err)), 0);
	return m;
}

static void start(struct ptf *f, struct pt_conf *conf)
{
	if (geteuid() != 0)
		skip();
	*conf = (struct pt_conf){
		.xattr = true, .posix_acl = PT_AUTO, .uids = make(usual), .gids = make(usual)};
	ptf_start(f, *conf);
}

static void stop(struct ptf *f, struct pt_conf *conf)
{
	ptf_stop(f);
	idmap_done(&conf->uids);
	idmap_done(&conf->gids);
}

static void as(struct ptf *f, uint32_t uid, uint32_t gid)
{
	f->req.hdr.uid = uid;
	f->req.hdr.gid = gid;
}

static struct stat on_host(struct ptf *f, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(f->root, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

static void host_owner(struct ptf *f, const char *name, uint32_t uid, uint32_t gid)
{
	struct stat st = on_host(f, name);

	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, gid);
}

/* By LOOKUP, GETATTR and STATX alike. */
static void guest_owner(struct ptf *f, const char *name, uint32_t uid, uint32_t gid)
{
	struct fuse_entry_out e = {0};
	struct fuse_statx_out sx = {0};
	struct fuse_attr attr;

	assert_int_equal(pt_ops.lookup(&f->req, FUSE_ROOT_ID, name, &e), 0);
	assert_int_equal(e.attr.uid, uid);
	assert_int_equal(e.attr.gid, gid);
	assert_int_equal(ptf_getattr(f, e.nodeid, &attr), 0);
	assert_int_equal(attr.uid, uid);
	assert_int_equal(attr.gid, gid);
	assert_int_equal(pt_ops.statx(&f->req, e.nodeid, NULL, 0, STATX_BASIC_STATS, &sx), 0);
	assert_int_equal(sx.stat.uid, uid);
	assert_int_equal(sx.stat.gid, gid);
}

static void makers(void **state)
{
	struct fuse_mknod_in nod = {.mode = S_IFREG | 0600};
	struct fuse_entry_out e = {0};
	struct pt_conf conf;
	uint64_t fh = 0;
	struct ptf f;

	(void)state;
	start(&f, &conf);
	assert_int_equal(fchmodat(f.root, ".", 0777, 0), 0);
	as(&f, 1000, 1001);
	assert_true(ptf_create(&f, FUSE_ROOT_ID, "map", 0600, O_RDWR, &fh) > 0);
	host_owner(&f, "map", 5000, 5001);
	guest_owner(&f, "map", 1000, 1001);
	as(&f, 2050, 2001);
	assert_true(ptf_mkdir(&f, FUSE_ROOT_ID, "squash") > 0);
	host_owner(&f, "squash", 7, 7);
	guest_owner(&f, "squash", 7, 7);
	as(&f, 1099, 1100);
	assert_int_equal(pt_ops.mknod(&f.req, FUSE_ROOT_ID, "edge", &nod, &e), 0);
	host_owner(&f, "edge", 5099, 1100);
	as(&f, 9, 9);
	assert_int_equal(pt_ops.symlink(&f.req, FUSE_ROOT_ID, "link", "to", &e), 0);
	assert_int_equal(e.attr.uid, 8);
	host_owner(&f, "link", 9, 9);
	guest_owner(&f, "link", 8, 8);
	/* Nothing is made by whom there may not be. */
	for (int i = 0; i < 2; i++) {
		as(&f, i ? 3000 : 1000, i ? 1000 : 3099);
		assert_int_equal(ptf_create(&f, FUSE_ROOT_ID, "no", 0600, O_RDWR, &fh), -EPERM);
		assert_int_equal(ptf_mkdir(&f, FUSE_ROOT_ID, "no"), -EPERM);
		assert_int_equal(ptf_lookup(&f, FUSE_ROOT_ID, "no"), -ENOENT);
	}
	stop(&f, &conf);
}

/* A directory that only its group, on the host another, may write to and gives to what is in it. */
static void supplementary(void **state)
{
	struct pt_conf conf;
	uint64_t dir, fh = 0;
	struct ptf f;

	(void)state;
	start(&f, &conf);
	ptf_host_mkdir(&f, "d");
	assert_int_equal(fchownat(f.root, "d", 0, 5003, 0), 0);
	assert_int_equal(fchmodat(f.root, "d", 02770, 0), 0);
	dir = ptf_node(&f, FUSE_ROOT_ID, "d");
	as(&f, 1000, 1000);
	f.req.supp_gid = 1003;
	assert_true(ptf_create(&f, dir, "f", 02755, O_RDWR, &fh) > 0);
	/* In the group on the host, too: the set-group-id bit stays. */
	assert_int_equal(on_host(&f, "d/f").st_mode & 07777, 02755);
	host_owner(&f, "d/f", 5000, 5003);
	f.req.supp_gid = 1004;
	assert_true(ptf_create(&f, dir, "g", 02755, O_RDWR, &fh) > 0);
	assert_int_equal(on_host(&f, "d/g").st_mode & 07777, 0755);
	f.req.supp_gid = 3000;
	assert_int_equal(ptf_create(&f, dir, "h", 0755, O_RDWR, &fh), -EPERM);
	stop(&f, &conf);
}

static int chown_to(struct ptf *f, uint64_t node, uint32_t valid, uint32_t uid, uint32_t gid,
		    struct fuse_attr *ret)
{
	struct fuse_setattr_in in = {.valid = valid, .uid = uid, .gid = gid, .size = 1};
	struct fuse_attr_out out = {0};
	int r = pt_ops.setattr(&f->req, node, &in, &out);

	*ret = out.attr;
	return r;
}

static void chown_and_access(void **state)
{
	const uint32_t both = FATTR_UID | FATTR_GID;
	struct fuse_attr attr;
	struct pt_conf conf;
	struct ptf f;
	uint64_t n;

	(void)state;
	start(&f, &conf);
	ptf_host_file(&f, "f", "text");
	n = ptf_node(&f, FUSE_ROOT_ID, "f");
	assert_int_equal(chown_to(&f, n, both, 1010, 2000, &attr), 0);
	host_owner(&f, "f", 5010, 7);
	assert_int_equal(attr.uid, 1010);
	assert_int_equal(attr.gid, 7);
	assert_int_equal(chown_to(&f, n, FATTR_GID, 3000, 1020, &attr), 0);
	host_owner(&f, "f", 5010, 5020);
	/* Refused before anything is done. */
	assert_int_equal(chown_to(&f, n, both | FATTR_SIZE, 1, 3000, &attr), -EPERM);
	assert_int_equal(chown_to(&f, n, both | FATTR_SIZE, 3099, 1, &attr), -EPERM);
	host_owner(&f, "f", 5010, 5020);
	assert_int_equal(on_host(&f, "f").st_size, 4);
	/* ACCESS judges by the ids that the guest sees. */
	assert_int_equal(fchmodat(f.root, "f", 0420, 0), 0);
	as(&f, 1010, 1);
	assert_int_equal(pt_ops.access(&f.req, n, R_OK), 0);
	as(&f, 1, 1020);
	assert_int_equal(pt_ops.access(&f.req, n, W_OK), 0);
	as(&f, 5010, 5020);
	assert_int_equal(pt_ops.access(&f.req, n, R_OK), -EACCES);
	assert_int_equal(pt_ops.access(&f.req, n, W_OK), -EACCES);
	stop(&f, &conf);
}

/* user::rwx, user:@uid:r--, group::r-x, group:@gid:r--, mask::rwx, other::--- */
struct acl {
	struct posix_acl_xattr_header head;
	struct posix_acl_xattr_entry e[6];
};

static struct acl acl(uint32_t uid, uint32_t gid)
{
	return (struct acl){
		.head = {htole32(POSIX_ACL_XATTR_VERSION)},
		.e = {{htole16(ACL_USER_OBJ), htole16(7), htole32(UINT32_MAX)},
		      {htole16(ACL_USER), htole16(4), htole32(uid)},
		      {htole16(ACL_GROUP_OBJ), htole16(5), htole32(UINT32_MAX)},
		      {htole16(ACL_GROUP), htole16(4), htole32(gid)},
		      {htole16(ACL_MASK), htole16(7), htole32(UINT32_MAX)},
		      {htole16(ACL_OTHER), htole16(0), htole32(UINT32_MAX)}},
	};
}

static int set(struct ptf *f, uint64_t n, const char *name, const void *value, size_t size)
{
	return pt_ops.setxattr(&f->req, n, name, value, size, 0, 0);
}

static void acls(void **state)
{
	static const char *const names[] = {ACCESS, DEFAULT};
	struct acl in, got, want;
	struct pt_conf conf;
	char path[128];
	struct ptf f;
	uint64_t n;

	(void)state;
	start(&f, &conf);
	ptf_host_mkdir(&f, "d");
	snprintf(path, sizeof(path), "%s/d", f.path);
	in = acl(1, 1);
	if (setxattr(path, ACCESS, &in, sizeof(in), 0) < 0 && errno == EOPNOTSUPP) {
		stop(&f, &conf);
		skip();
	}
	n = ptf_node(&f, FUSE_ROOT_ID, "d");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *name = names[i];

		/* map, squash; what is not mapped; host. */
		in = acl(1000, 2001);
		assert_int_equal(set(&f, n, name, &in, sizeof(in)), 0);
		want = acl(5000, 7);
		assert_int_equal(getxattr(path, name, &got, sizeof(got)), sizeof(got));
		assert_memory_equal(&got, &want, sizeof(got));
		want = acl(1000, 7);
		assert_int_equal(pt_ops.getxattr(&f.req, n, name, &got, 0), sizeof(got));
		assert_int_equal(pt_ops.getxattr(&f.req, n, name, &got, sizeof(got)), sizeof(got));
		assert_memory_equal(&got, &want, sizeof(got));
		assert_int_equal(pt_ops.getxattr(&f.req, n, name, &got, 4), -ERANGE);
		in = acl(9, 1099);
		assert_int_equal(set(&f, n, name, &in, sizeof(in)), 0);
		want = acl(9, 5099);
		assert_int_equal(getxattr(path, name, &got, sizeof(got)), sizeof(got));
		assert_memory_equal(&got, &want, sizeof(got));
		want = acl(8, 1099);
		assert_int_equal(pt_ops.getxattr(&f.req, n, name, &got, sizeof(got)), sizeof(got));
		assert_memory_equal(&got, &want, sizeof(got));
		/* Forbidden, whichever it is. */
		in = acl(3000, 1);
		assert_int_equal(set(&f, n, name, &in, sizeof(in)), -EPERM);
		in = acl(1, 3000);
		assert_int_equal(set(&f, n, name, &in, sizeof(in)), -EPERM);
		/* No ACLs. */
		in = acl(1, 1);
		for (size_t size = 1; size < sizeof(in); size++)
			if (size < 4 || (size - 4) % 8)
				assert_int_equal(set(&f, n, name, &in, size), -EINVAL);
		in.head.a_version = htole32(3);
		assert_int_equal(set(&f, n, name, &in, sizeof(in)), -EOPNOTSUPP);
		assert_int_equal(getxattr(path, name, &got, sizeof(got)), sizeof(got));
		/* Nothing, as an ACL, is none. */
		assert_int_equal(set(&f, n, name, NULL, 0), 0);
		assert_int_equal(pt_ops.getxattr(&f.req, n, name, &got, sizeof(got)), -ENODATA);
	}
	/* Other attributes are bytes. */
	in = acl(1000, 3000);
	if (set(&f, n, "trusted.acl", &in, sizeof(in)) == 0) {
		assert_int_equal(getxattr(path, "trusted.acl", &got, sizeof(got)), sizeof(got));
		assert_memory_equal(&got, &in, sizeof(got));
	}
	stop(&f, &conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makers),
		cmocka_unit_test(supplementary),
		cmocka_unit_test(chown_and_access),
		cmocka_unit_test(acls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
