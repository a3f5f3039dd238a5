// SPDX-License-Identifier: Apache-2.0
/* --translate-uid and --translate-gid: whom files belong to, with the real daemon. */
/*
 * Theory of operation
 *
 * One daemon with a rule of each kind, and one without rules; both do the same, and the owners on the
 * host and in the replies tell which it was. Needs root.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fx.h"
#include "fz.h"
#include "util.h"

struct opt {
	struct fx_opts opts;
	bool with;
};

#define BOTH(rule) "--translate-uid", rule, "--translate-gid=" rule

/* A caller, what is on the host then, and what the guest sees of it. Users and groups alike. */
static const struct {
	const char *kind;
	uint32_t caller, host, guest; /* host 0: forbidden */
} cases[] = {
	{"map", 1001, 5001, 1001},
	{"squash-guest", 2001, 5007, 1007},
	{"forbid-guest", 3001, 0, 0},
	{"guest", 4001, 6001, 6001},
	{"host", 9, 9, 8},
	{"squash-host", 7001, 7001, 8},
	{"none of them", 77, 77, 77},
};

static void owners(void **state)
{
	struct fx *f = *state;
	const struct opt *t = (const void *)f->opts;

	fx_need_root();
	assert_int_equal(chmod(f->share, 0777), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const uint32_t id = cases[i].caller;
		const uint32_t host = t->with ? cases[i].host : id;
		const uint32_t guest = t->with ? cases[i].guest : id;
		struct fuse_setattr_in in = {.valid = FATTR_UID | FATTR_GID, .uid = id, .gid = id};
		struct fuse_attr_out attr = {0};
		struct fz_entry_open c = {0};
		struct stat st;
		int r;

		print_message("%s\n", cases[i].kind);
		f->uid = f->gid = id;
		r = fz_create(f, FUSE_ROOT_ID, cases[i].kind, O_CREAT | O_RDWR, 0600, &c);
		f->uid = f->gid = 0;
		if (!host) {
			assert_int_equal(r, -EPERM);
			assert_int_equal(fz_setattr(f, FUSE_ROOT_ID, &in, &attr), -EPERM);
			continue;
		}
		assert_int_equal(r, 0);
		st = fx_stat(f, cases[i].kind);
		assert_int_equal(st.st_uid, host);
		assert_int_equal(st.st_gid, host);
		assert_int_equal(c.entry.attr.uid, guest);
		assert_int_equal(c.entry.attr.gid, guest);
		assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
		fx_put(f, "given", "", 0, 0600);
		assert_int_equal(fz_setattr(f, fz_walk(f, "given"), &in, &attr), 0);
		st = fx_stat(f, "given");
		assert_int_equal(st.st_uid, host);
		assert_int_equal(st.st_gid, host);
		assert_int_equal(attr.attr.uid, guest);
		assert_int_equal(attr.attr.gid, guest);
		assert_int_equal(unlink(fx_path(f, "given")), 0);
	}
}

#define ACCESS "system.posix_acl_access"

struct acl {
	struct posix_acl_xattr_header head;
	struct posix_acl_xattr_entry entry[6];
};

/* One user and one group of this number beside the owner's, the group's and the others' entries. */
static struct acl acl_with(uint32_t id)
{
	const struct posix_acl_xattr_entry entries[] = {
		{htole16(ACL_USER_OBJ), htole16(6), htole32(UINT32_MAX)},
		{htole16(ACL_USER), htole16(4), htole32(id)},
		{htole16(ACL_GROUP_OBJ), htole16(4), htole32(UINT32_MAX)},
		{htole16(ACL_GROUP), htole16(5), htole32(id)},
		{htole16(ACL_MASK), htole16(5), htole32(UINT32_MAX)},
		{htole16(ACL_OTHER), htole16(0), htole32(UINT32_MAX)},
	};
	struct acl acl = {.head.a_version = htole32(POSIX_ACL_XATTR_VERSION)};

	memcpy(acl.entry, entries, sizeof(entries));
	return acl;
}

/* Users and groups inside ACLs are translated like owners. */
static void named_in_acls(void **state)
{
	struct fx *f = *state;
	const struct opt *t = (const void *)f->opts;
	uint64_t node;

	fx_need_root();
	fx_put(f, "file", "", 0, 0600);
	node = fz_walk(f, "file");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const uint32_t id = cases[i].caller;
		const struct acl set = acl_with(id);
		const struct acl host = acl_with(t->with ? cases[i].host : id);
		const struct acl guest = acl_with(t->with ? cases[i].guest : id);
		struct acl got = {0};
		int r = fz_setxattr(f, node, ACCESS, &set, sizeof(set), 0);

		print_message("%s\n", cases[i].kind);
		if (t->with && !cases[i].host) {
			assert_int_equal(r, -EPERM);
			continue;
		}
		if (r == -EOPNOTSUPP)
			skip();
		assert_int_equal(r, 0);
		assert_int_equal(getxattr(fx_path(f, "file"), ACCESS, &got, sizeof(got)),
				 sizeof(got));
		assert_memory_equal(&got, &host, sizeof(got));
		memset(&got, 0, sizeof(got));
		assert_int_equal(fz_getxattr(f, node, ACCESS, &got, sizeof(got)), sizeof(got));
		assert_memory_equal(&got, &guest, sizeof(got));
	}
}

int main(int argc, char **argv)
{
	static const struct opt with = {
		.opts = {.args = {BOTH("map:1000:5000:100"), BOTH("squash-guest:2000:5007:100"),
				  BOTH("forbid-guest:3000:100"), BOTH("guest:4000:6000:100"),
				  BOTH("host:9:8:1"), BOTH("squash-host:7000:8:100"),
				  BOTH("forbid-guest:0:0"), "--posix-acl"}},
		.with = true,
	};
	static const struct opt without = {.opts = {.args = {"--posix-acl"}}, .with = false};
	const struct CMUnitTest tests[] = {
		FX_TEST(owners, &with.opts),
		FX_TEST(owners, &without.opts),
		FX_TEST(named_in_acls, &with.opts),
		FX_TEST(named_in_acls, &without.opts),
	};

	return fx_main(argc, argv, "ids", tests, ARRAY_SIZE(tests));
}
