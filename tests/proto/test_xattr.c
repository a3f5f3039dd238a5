// SPDX-License-Identifier: Apache-2.0
/* --xattrmap and --posix-acl: names between guest and host, ACLs and what they do to modes. */
/*
 * Theory of operation
 *
 * The names are compared with what getxattr(2) finds on the host. For ACLs the yardstick is a twin: a plain
 * directory of the host with the same default ACL, in which the same thing is made by the system call and
 * under the umask that the request has.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/xattr.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fx.h"
#include "fz.h"
#include "util.h"

#define ACL_ACCESS  "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

static const struct fx_opts map_all = {.args = {"--xattrmap=:map::user.v.:"}};
static const struct fx_opts map_trusted = {.args = {"-o", "xattrmap=/map/trusted./user.v./"}};
static const struct fx_opts map_refuses = {
	.args = {"--xattrmap", ":bad:client:user.bad:: :unsupported:client:user.un::"
			       ":bad:server::user.hide: :ok:all:::"}};
static const struct fx_opts plain = {.args = {"--xattr"}};
static const struct fx_opts acl = {.args = {"--posix-acl"}};
static const struct fx_opts acl_auto = {.args = {"--posix-acl=auto"}, .no_init = true};
static const struct fx_opts acl_always = {.args = {"-o", "posix_acl"}, .no_init = true};
static const struct fx_opts acl_mapped = {
	.args = {"--posix-acl", "--xattrmap=/prefix/all/system./user.v./ /ok/all///"}};

/* Skip where the file system below has no such attributes. */
static void need(const struct fx *f, const char *name, const void *value, size_t size)
{
	if (setxattr(f->share, name, value, size, 0) < 0) {
		print_message("no %s here: %s\n", name, strerror(errno));
		skip();
	}
	removexattr(f->share, name);
}

static uint64_t file(struct fx *f, const char *name)
{
	need(f, "user.probe", "", 0);
	fx_put(f, name, "content", 7, 0644);
	return fz_walk(f, name);
}

static void host_has(struct fx *f, const char *name, const char *attr, const char *value)
{
	char buf[256];
	ssize_t n = lgetxattr(fx_path(f, name), attr, buf, sizeof(buf));

	if (!value) {
		assert_int_equal(n, -1);
		assert_int_equal(errno, ENODATA);
		return;
	}
	assert_int_equal(n, strlen(value));
	assert_memory_equal(buf, value, strlen(value));
}

/* The list has these names and no other; @all has a space behind each. */
static void lists(struct fx *f, uint64_t node, const char *all)
{
	size_t len = strlen(all), names = 0;
	char buf[1024];

	assert_int_equal(fz_listxattr(f, node, NULL, 0), len);
	if (len) {
		assert_int_equal(fz_listxattr(f, node, buf, len - 1), -ERANGE);
		assert_int_equal(fz_listxattr(f, node, buf, 1), -ERANGE);
		assert_int_equal(fz_listxattr(f, node, buf, len), len);
	}
	assert_int_equal(fz_listxattr(f, node, buf, sizeof(buf)), len);
	for (size_t at = 0; at < len; at += strlen(buf + at) + 1, names++) {
		char word[XATTR_NAME_MAX + 2];

		snprintf(word, sizeof(word), "%s ", buf + at);
		if (!strstr(all, word))
			fail_msg("'%s' is listed, none of '%s'", buf + at, all);
	}
	for (const char *s = all; *s; s++)
		names -= *s == ' ';
	assert_int_equal(names, 0);
}

static void every_name_is_mapped(void **state)
{
	struct fx *f = *state;
	uint64_t node = file(f, "file");
	char buf[64];

	lists(f, node, "");
	assert_int_equal(fz_setxattr(f, node, "trusted.a", "one", 3, XATTR_CREATE), 0);
	assert_int_equal(fz_setxattr(f, node, "trusted.a", "one", 3, XATTR_CREATE), -EEXIST);
	assert_int_equal(fz_setxattr(f, node, "anything", "two", 3, 0), 0);
	host_has(f, "file", "user.v.trusted.a", "one");
	host_has(f, "file", "user.v.anything", "two");
	assert_int_equal(fz_getxattr(f, node, "trusted.a", NULL, 0), 3);
	assert_int_equal(fz_getxattr(f, node, "trusted.a", buf, 2), -ERANGE);
	assert_int_equal(fz_getxattr(f, node, "trusted.a", buf, sizeof(buf)), 3);
	assert_memory_equal(buf, "one", 3);
	/* The host's own do not exist. */
	assert_int_equal(setxattr(fx_path(f, "file"), "user.mine", "x", 1, 0), 0);
	assert_int_equal(fz_getxattr(f, node, "user.mine", buf, sizeof(buf)), -ENODATA);
	lists(f, node, "trusted.a anything ");
	/* A name of the guest's that looks like one of the host's is just a name. */
	assert_int_equal(fz_setxattr(f, node, "user.v.b", "three", 5, 0), 0);
	host_has(f, "file", "user.v.user.v.b", "three");
	lists(f, node, "trusted.a anything user.v.b ");
	assert_int_equal(fz_removexattr(f, node, "trusted.a"), 0);
	assert_int_equal(fz_removexattr(f, node, "trusted.a"), -ENODATA);
	assert_int_equal(fz_removexattr(f, node, "user.mine"), -ENODATA);
	host_has(f, "file", "user.v.trusted.a", NULL);
	host_has(f, "file", "user.mine", "x");
	lists(f, node, "anything user.v.b ");
}

static void mapped_names_have_limits(void **state)
{
	static uint8_t value[65537], got[65536];
	struct fx *f = *state;
	uint64_t node = file(f, "file");
	char name[300], host[320];

	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	name[XATTR_NAME_MAX - 7] = '\0';
	snprintf(host, sizeof(host), "user.v.%s", name);
	assert_int_equal(fz_setxattr(f, node, name, "v", 1, 0), 0);
	host_has(f, "file", host, "v");
	assert_int_equal(fz_getxattr(f, node, name, got, 10), 1);
	assert_int_equal(fz_removexattr(f, node, name), 0);
	name[XATTR_NAME_MAX - 7] = 'n';
	name[XATTR_NAME_MAX - 6] = '\0';
	assert_int_equal(fz_setxattr(f, node, name, "v", 1, 0), -ERANGE);
	assert_int_equal(fz_getxattr(f, node, name, got, 10), -ERANGE);
	assert_int_equal(fz_removexattr(f, node, name), -ERANGE);

	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)(i * 7);
	for (size_t size = 1; size <= 65536; size *= 2) {
		int want = setxattr(f->share, "user.v.user.v", value, size, 0) < 0 ? -errno : 0;

		assert_int_equal(fz_setxattr(f, node, "user.v", value, size, 0), want);
		if (want)
			continue;
		assert_int_equal(fz_getxattr(f, node, "user.v", got, sizeof(got)), size);
		assert_memory_equal(got, value, size);
	}
	assert_int_equal(fz_setxattr(f, node, "user.v", value, 65537, 0), -E2BIG);
}

/* Where the list of the host is longer than any first guess, and of what is left. */
static void a_long_list(void **state)
{
	struct fx *f = *state;
	uint64_t node = file(f, "file");
	static char buf[65536];
	unsigned int made = 0;
	char name[256];
	ssize_t n;

	memset(name, 'x', sizeof(name));
	for (; made < 100; made++) {
		snprintf(name, sizeof(name), "user.v.user.%0200u", made);
		if (setxattr(fx_path(f, "file"), name, "", 0, 0) < 0)
			break;
		snprintf(name, sizeof(name), "user.hidden.%0200u", made);
		if (setxattr(fx_path(f, "file"), name, "", 0, 0) < 0)
			break;
	}
	if (made < 5) {
		print_message("no room for attributes here: %s\n", strerror(errno));
		skip();
	}
	n = fz_listxattr(f, node, NULL, 0);
	assert_in_range(n, made * 206, (made + 1) * 206);
	assert_int_equal(n % 206, 0);
	assert_int_equal(fz_listxattr(f, node, buf, (size_t)n - 1), -ERANGE);
	assert_int_equal(fz_listxattr(f, node, buf, (size_t)n), n);
	for (ssize_t at = 0; at < n; at += 206)
		assert_memory_equal(buf + at, "user.0000", 9);
}

static void one_class_is_mapped(void **state)
{
	struct fx *f = *state;
	uint64_t node = file(f, "file");

	assert_int_equal(fz_setxattr(f, node, "trusted.overlay.opaque", "y", 1, 0), 0);
	assert_int_equal(fz_setxattr(f, node, "user.a", "z", 1, 0), 0);
	host_has(f, "file", "user.v.trusted.overlay.opaque", "y");
	host_has(f, "file", "user.a", "z");
	lists(f, node, "trusted.overlay.opaque user.a ");
	/* No way around by the name that it has on the host. */
	assert_int_equal(fz_setxattr(f, node, "user.v.trusted.overlay.opaque", "n", 1, 0), -EPERM);
	assert_int_equal(fz_getxattr(f, node, "user.v.trusted.overlay.opaque", NULL, 0), -EPERM);
	assert_int_equal(fz_removexattr(f, node, "user.v.trusted.overlay.opaque"), -EPERM);
	host_has(f, "file", "user.v.trusted.overlay.opaque", "y");
}

static void rules_refuse(void **state)
{
	struct fx *f = *state;
	uint64_t node = file(f, "file");
	char buf[16];

	assert_int_equal(fz_setxattr(f, node, "user.bad", "v", 1, 0), -EPERM);
	assert_int_equal(fz_getxattr(f, node, "user.badly", buf, 16), -EPERM);
	assert_int_equal(fz_removexattr(f, node, "user.bad"), -EPERM);
	assert_int_equal(fz_setxattr(f, node, "user.un", "v", 1, 0), -EOPNOTSUPP);
	assert_int_equal(fz_getxattr(f, node, "user.un", buf, 16), -EOPNOTSUPP);
	assert_int_equal(fz_removexattr(f, node, "user.un"), -EOPNOTSUPP);
	/* Hidden is not refused. */
	assert_int_equal(fz_setxattr(f, node, "user.hide", "v", 1, 0), 0);
	assert_int_equal(fz_getxattr(f, node, "user.hide", buf, 16), 1);
	assert_int_equal(fz_setxattr(f, node, "user.shown", "v", 1, 0), 0);
	lists(f, node, "user.shown ");
}

/* Whoever writes to a program must not inherit its capabilities, by whatever name they are kept. */
static void mapped_capabilities_go(void **state)
{
	struct fx *f = *state;
	uint64_t node = file(f, "file");
	struct fuse_setattr_in in = {.valid = FATTR_SIZE, .size = 3};
	struct fuse_open_out o, trunc;
	struct fuse_attr_out a;
	struct fz_entry_open other;

	assert_int_equal(fz_open(f, node, O_RDWR, &o), 0);
	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "other", O_RDWR, 0600, &other), 0);
	assert_int_equal(fz_write(f, other.entry.nodeid, other.open.fh, 0, "abc", 3), 3);
#define GONE(call, want)                                                                     \
	do {                                                                                 \
		assert_int_equal(fz_setxattr(f, node, "security.capability", "c", 1, 0), 0); \
		host_has(f, "file", "user.v.security.capability", "c");                      \
		assert_int_equal(call, want);                                                \
		host_has(f, "file", "user.v.security.capability", NULL);                     \
	} while (0)
	GONE(fz_write(f, node, o.fh, 0, "x", 1), 1);
	GONE(fz_fallocate(f, node, o.fh, 0, 0, 10), 0);
	GONE(fz_copy(f, other.entry.nodeid, other.open.fh, 0, node, o.fh, 0, 3), 3);
	GONE(fz_setattr(f, node, &in, &a), 0);
	in = (struct fuse_setattr_in){.valid = FATTR_GID, .gid = getegid()};
	GONE(fz_setattr(f, node, &in, &a), 0);
	GONE(fz_open(f, node, O_WRONLY | O_TRUNC, &trunc), 0);
	/* What only reads leaves them. */
	assert_int_equal(fz_setxattr(f, node, "security.capability", "c", 1, 0), 0);
	assert_int_equal(fz_read(f, node, o.fh, 0, (char[1]){0}, 1), 0);
	in = (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0755};
	assert_int_equal(fz_setattr(f, node, &in, &a), 0);
	host_has(f, "file", "user.v.security.capability", "c");
	assert_int_equal(fz_release(f, node, trunc.fh), 0);
	assert_int_equal(fz_release(f, node, o.fh), 0);
	assert_int_equal(fz_release(f, other.entry.nodeid, other.open.fh), 0);
}

/* Without a map the host decides; what takes CAP_SYS_ADMIN the sandboxed daemon may not. */
static void without_a_map(void **state)
{
	struct fx *f = *state;
	uint64_t node = file(f, "file");
	char buf[16];
	bool boxed = geteuid() == 0 && fx_serving_pid(f) != f->pid;

	if (!boxed) {
		print_message("needs the sandbox\n");
		skip();
	}
	assert_int_equal(setxattr(fx_path(f, "file"), "trusted.host", "v", 1, 0), 0);
	assert_int_equal(fz_setxattr(f, node, "trusted.a", "v", 1, 0), -EPERM);
	assert_int_equal(fz_getxattr(f, node, "trusted.host", buf, 16), -ENODATA);
	assert_int_equal(fz_removexattr(f, node, "trusted.host"), -EPERM);
	assert_int_equal(fz_setxattr(f, node, "user.a", "v", 1, 0), 0);
	lists(f, node, "user.a ");
}

/* ---- ACLs ---- */

struct acl_blob {
	struct posix_acl_xattr_header h;
	struct posix_acl_xattr_entry e[6];
};

/* user::rwx user:1234:rwx group::r-x mask::rwx other::r-x */
static const struct acl_blob five = {{POSIX_ACL_XATTR_VERSION},
				     {{ACL_USER_OBJ, 7, ACL_UNDEFINED_ID},
				      {ACL_USER, 7, 1234},
				      {ACL_GROUP_OBJ, 5, ACL_UNDEFINED_ID},
				      {ACL_MASK, 7, ACL_UNDEFINED_ID},
				      {ACL_OTHER, 5, ACL_UNDEFINED_ID}}};
#define FIVE_SIZE (sizeof(five.h) + 5 * sizeof(five.e[0]))

static void no_acls_by_default(void **state)
{
	struct fx *f = *state;
	uint64_t node = file(f, "file");
	char buf[128];

	need(f, ACL_ACCESS, &five, FIVE_SIZE);
	assert_int_equal(setxattr(fx_path(f, "file"), ACL_ACCESS, &five, FIVE_SIZE, 0), 0);
	assert_int_equal(setxattr(fx_path(f, "file"), "user.a", "v", 1, 0), 0);
	assert_int_equal(fz_getxattr(f, node, ACL_ACCESS, buf, 128), -EOPNOTSUPP);
	assert_int_equal(fz_setxattr(f, node, ACL_ACCESS, &five, FIVE_SIZE, 0), -EOPNOTSUPP);
	assert_int_equal(fz_removexattr(f, node, ACL_ACCESS), -EOPNOTSUPP);
	assert_int_equal(fz_getxattr(f, FUSE_ROOT_ID, ACL_DEFAULT, buf, 128), -EOPNOTSUPP);
	lists(f, node, "user.a ");
}

static int init(struct fx *f, uint64_t flags, struct fuse_init_out *ret)
{
	struct fuse_init_in in = {7, FX_MINOR, 1 << 17, (uint32_t)flags, (uint32_t)(flags >> 32)};
	struct iovec iov = IOV(in);

	return fz_call(f, FUSE_INIT, 0, &iov, 1, ret, sizeof(*ret), NULL);
}

#define ACL_FLAGS (FUSE_POSIX_ACL | FUSE_DONT_MASK | FUSE_SETXATTR_EXT)

static void auto_takes_what_there_is(void **state)
{
	static const uint32_t lacks[] = {FUSE_POSIX_ACL, FUSE_DONT_MASK, FUSE_SETXATTR_EXT};
	struct fx *f = *state;
	struct fuse_init_out o;

	for (size_t i = 0; i < ARRAY_SIZE(lacks); i++) {
		assert_int_equal(init(f, FX_LINUX_FLAGS & ~(uint64_t)lacks[i], &o), 0);
		assert_int_equal(o.flags & (FUSE_POSIX_ACL | FUSE_DONT_MASK), 0);
	}
	assert_int_equal(init(f, FX_LINUX_FLAGS, &o), 0);
	assert_int_equal(o.flags & ACL_FLAGS, ACL_FLAGS);
}

static void always_insists(void **state)
{
	static const uint32_t lacks[] = {FUSE_POSIX_ACL, FUSE_DONT_MASK, FUSE_SETXATTR_EXT};
	struct fx *f = *state;
	struct fuse_init_out o;
	struct fuse_attr_out a;

	for (size_t i = 0; i < ARRAY_SIZE(lacks); i++) {
		assert_int_equal(init(f, FX_LINUX_FLAGS & ~(uint64_t)lacks[i], &o), -EPROTO);
		assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), -ENOTCONN);
	}
	/* The same daemon serves a guest that can. */
	assert_int_equal(init(f, FX_LINUX_FLAGS, &o), 0);
	assert_int_equal(o.flags & ACL_FLAGS, ACL_FLAGS);
	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
}

/* The ACL of @name in the share is that of @twin there. */
static void same_acl(struct fx *f, const char *name, const char *twin)
{
	static const char *const kinds[] = {ACL_ACCESS, ACL_DEFAULT};
	char ours[256], theirs[256];

	assert_int_equal(fx_stat(f, name).st_mode, fx_stat(f, twin).st_mode);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		ssize_t n = getxattr(fx_path(f, twin), kinds[i], theirs, sizeof(theirs));

		assert_int_equal(getxattr(fx_path(f, name), kinds[i], ours, sizeof(ours)), n);
		if (n > 0)
			assert_memory_equal(ours, theirs, (size_t)n);
	}
}

/* Make each kind of thing in the guest, and its twin by the host under the same umask. */
static void make_all(struct fx *f, const char *dir, const char *twin, uint32_t mask)
{
	struct fuse_create_in create = {.flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0666};
	struct fuse_mknod_in mknod_in = {.mode = S_IFIFO | 0777, .umask = mask};
	struct fuse_mkdir_in mkdir_in = {.mode = 0777, .umask = mask};
	uint64_t node = fz_walk(f, dir);
	struct iovec c[] = {IOV(create), IOV_STR("file")};
	struct iovec n[] = {IOV(mknod_in), IOV_STR("fifo")};
	struct iovec d[] = {IOV(mkdir_in), IOV_STR("dir")};
	char a[64], b[64];
	struct fz_entry_open o;
	struct fuse_entry_out e;
	int fd;

	create.umask = mask;
	assert_int_equal(fz_call(f, FUSE_CREATE, node, c, 2, &o, sizeof(o), NULL), 0);
	assert_int_equal(fz_release(f, o.entry.nodeid, o.open.fh), 0);
	assert_int_equal(fz_call(f, FUSE_MKNOD, node, n, 2, &e, sizeof(e), NULL), 0);
	assert_int_equal(fz_call(f, FUSE_MKDIR, node, d, 2, &e, sizeof(e), NULL), 0);
	umask(mask);
	snprintf(a, sizeof(a), "%s/file", twin);
	fd = open(fx_path(f, a), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	assert_true(fd >= 0);
	close(fd);
	snprintf(a, sizeof(a), "%s/fifo", twin);
	assert_int_equal(mkfifo(fx_path(f, a), 0777), 0);
	snprintf(a, sizeof(a), "%s/dir", twin);
	assert_int_equal(mkdir(fx_path(f, a), 0777), 0);
	umask(022);
	for (size_t i = 0; i < 3; i++) {
		static const char *const names[] = {"file", "fifo", "dir"};

		snprintf(a, sizeof(a), "%s/%s", dir, names[i]);
		snprintf(b, sizeof(b), "%s/%s", twin, names[i]);
		same_acl(f, a, b);
	}
}

static void default_acls_are_inherited(void **state)
{
	/* The last one sees whether the one before was left behind. */
	static const uint32_t masks[] = {0, 022, 027, 077, 0777, 0};
	struct fx *f = *state;

	need(f, ACL_DEFAULT, &five, FIVE_SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		char dir[16], twin[16];

		for (int with = 0; with < 2; with++) {
			snprintf(dir, sizeof(dir), "d%zu%d", i, with);
			snprintf(twin, sizeof(twin), "t%zu%d", i, with);
			assert_int_equal(mkdir(fx_path(f, dir), 0755), 0);
			assert_int_equal(mkdir(fx_path(f, twin), 0755), 0);
			if (with)
				assert_int_equal(setxattr(fx_path(f, twin), ACL_DEFAULT, &five,
							  FIVE_SIZE, 0),
						 0);
			if (with)
				assert_int_equal(fz_setxattr(f, fz_walk(f, dir), ACL_DEFAULT, &five,
							     FIVE_SIZE, 0),
						 0);
			make_all(f, dir, twin, masks[i]);
		}
	}
}

static void acls_are_the_hosts(void **state)
{
	struct fx *f = *state;
	uint64_t node = file(f, "file");
	struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = 0640};
	struct acl_blob got;
	struct fuse_attr_out a;

	need(f, ACL_ACCESS, &five, FIVE_SIZE);
	assert_int_equal(fz_setxattr(f, node, ACL_ACCESS, &five, FIVE_SIZE, 0), 0);
	/* The mode shows the mask where the group was; chmod(2) changes the mask. */
	assert_int_equal(fz_getattr(f, node, &a), 0);
	assert_int_equal(a.attr.mode, S_IFREG | 0775);
	assert_int_equal(fz_getxattr(f, node, ACL_ACCESS, &got, sizeof(got)), FIVE_SIZE);
	assert_memory_equal(&got, &five, FIVE_SIZE);
	lists(f, node, ACL_ACCESS " ");
	assert_int_equal(fz_setattr(f, node, &in, &a), 0);
	assert_int_equal(a.attr.mode, S_IFREG | 0640);
	assert_int_equal(fz_getxattr(f, node, ACL_ACCESS, &got, sizeof(got)), FIVE_SIZE);
	assert_int_equal(got.e[3].e_tag, ACL_MASK);
	assert_int_equal(got.e[3].e_perm, 4);
	assert_int_equal(got.e[1].e_perm, 7);
	assert_int_equal(fz_removexattr(f, node, ACL_ACCESS), 0);
	/* What is no ACL is refused by the host's kernel. */
	assert_int_equal(fz_setxattr(f, node, ACL_ACCESS, "nonsense", 8, 0),
			 setxattr(fx_path(f, "file"), ACL_ACCESS, "nonsense", 8, 0) < 0 ? -errno
											: 0);
}

/* The guest says when the caller may not keep the bit. */
static void setgid_falls_with_an_acl(void **state)
{
	struct fx *f = *state;
	struct fuse_setxattr_in in = {.size = FIVE_SIZE};
	struct iovec iov[] = {IOV(in), IOV_STR(ACL_ACCESS), {(void *)(uintptr_t)&five, FIVE_SIZE}};
	uint64_t node;

	fx_need_root();
	node = file(f, "file");
	need(f, ACL_ACCESS, &five, FIVE_SIZE);
	for (gid_t group = 0; group <= 2000; group += 2000) {
		f->uid = f->gid = 1000;
		in.setxattr_flags = 0;
		assert_int_equal(chown(fx_path(f, "file"), 1000, group), 0);
		assert_int_equal(chmod(fx_path(f, "file"), 02755), 0);
		assert_int_equal(fz_call(f, FUSE_SETXATTR, node, iov, 3, NULL, 0, NULL), 0);
		assert_int_equal(fx_stat(f, "file").st_mode & 07777, 02775);
		in.setxattr_flags = FUSE_SETXATTR_ACL_KILL_SGID;
		assert_int_equal(fz_call(f, FUSE_SETXATTR, node, iov, 3, NULL, 0, NULL), 0);
		assert_int_equal(fx_stat(f, "file").st_mode & 07777, 0775);
	}
	f->uid = f->gid = 0;
}

/* By another name an ACL is data: the host does not take it for one. */
static void a_mapped_acl_is_data(void **state)
{
	struct fx *f = *state;
	uint64_t node = file(f, "file");
	struct fuse_attr_out a;
	char buf[128];

	assert_int_equal(fz_setxattr(f, node, ACL_ACCESS, &five, FIVE_SIZE, 0), 0);
	assert_int_equal(getxattr(fx_path(f, "file"), "user.v." ACL_ACCESS, buf, 128), FIVE_SIZE);
	assert_int_equal(fz_getxattr(f, node, ACL_ACCESS, buf, 128), FIVE_SIZE);
	assert_int_equal(fz_getattr(f, node, &a), 0);
	assert_int_equal(a.attr.mode, S_IFREG | 0644);
	lists(f, node, ACL_ACCESS " ");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(every_name_is_mapped, &map_all),
		FX_TEST(mapped_names_have_limits, &map_all),
		FX_TEST(a_long_list, &map_all),
		FX_TEST(one_class_is_mapped, &map_trusted),
		FX_TEST(rules_refuse, &map_refuses),
		FX_TEST(mapped_capabilities_go, &map_all),
		FX_TEST(without_a_map, &plain),
		FX_TEST(no_acls_by_default, &plain),
		FX_TEST(auto_takes_what_there_is, &acl_auto),
		FX_TEST(always_insists, &acl_always),
		FX_TEST(default_acls_are_inherited, &acl),
		FX_TEST(acls_are_the_hosts, &acl),
		FX_TEST(setgid_falls_with_an_acl, &acl),
		FX_TEST(a_mapped_acl_is_data, &acl_mapped),
	};

	return fx_main(argc, argv, "xattr", tests, ARRAY_SIZE(tests));
}
