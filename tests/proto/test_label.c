// SPDX-License-Identifier: Apache-2.0
/* --security-label: what the guest creates has its label on the host, or is not there. */
/*
 * Theory of operation
 *
 * No SELinux is needed: to a host without it security.selinux is an attribute that takes CAP_SYS_ADMIN to
 * set, which root keeps without the sandbox. With it, or by a map that refuses the name, labels fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fx.h"
#include "fz.h"
#include "util.h"

#define NAME "security.selinux"

static const struct fx_opts direct = {.args = {"--security-label", "--sandbox=none"}};
static const struct fx_opts mapped = {
	.args = {"-o", "security_label,xattrmap=:map:security.:user.v.:"}};
static const struct fx_opts refused = {
	.args = {
		"--security-label=auto",
		"--xattrmap=:bad:client:security.s:: :unsupported:client:security.u:: :ok:all:::"}};
static const struct fx_opts plain = {.args = {"--xattr"}};
static const struct fx_opts always = {.args = {"--security-label"}, .no_init = true};
static const struct fx_opts automatic = {.args = {"--security-label=auto"}, .no_init = true};

/* A label as Linux sends it: header, length, name, value, and up to a multiple of 8. */
static size_t put_label(uint8_t *buf, const char *name, const char *value)
{
	size_t len = sizeof(struct fuse_secctx_header) + sizeof(struct fuse_secctx);
	struct fuse_secctx_header head = {.nr_secctx = 1};
	struct fuse_secctx ctx = {.size = (uint32_t)strlen(value)};

	memset(buf, 0, 1024);
	memcpy(buf + len, name, strlen(name) + 1);
	len += strlen(name) + 1;
	memcpy(buf + len, value, ctx.size);
	len = (len + ctx.size + 7) & ~(size_t)7;
	head.size = (uint32_t)len;
	memcpy(buf, &head, sizeof(head));
	memcpy(buf + sizeof(head), &ctx, sizeof(ctx));
	return len;
}

static const uint32_t opcodes[] = {FUSE_CREATE, FUSE_MKDIR, FUSE_SYMLINK, FUSE_MKNOD, FUSE_TMPFILE};

/* Create @name by this opcode with the label; the reply stays in f->q. */
static int make(struct fx *f, uint32_t opcode, const char *name, const char *attr,
		const char *value, bool announced)
{
	struct fuse_create_in create = {.flags = O_RDWR, .mode = S_IFREG | 0644};
	struct fuse_mknod_in node = {.mode = S_IFIFO | 0644};
	struct fuse_mkdir_in dir = {.mode = 0755};
	struct fuse_in_header *h = vuf_req_begin(f->q, opcode, FUSE_ROOT_ID);
	uint8_t ext[1024];
	size_t len = put_label(ext, attr, value);

	create.flags |= opcode == FUSE_TMPFILE ? O_TMPFILE : O_CREAT;
	h->uid = f->uid;
	h->gid = f->gid;
	h->total_extlen = announced ? (uint16_t)(len / 8) : 0;
	if (opcode == FUSE_MKNOD)
		vuf_req_add(f->q, &node, sizeof(node));
	else if (opcode == FUSE_MKDIR)
		vuf_req_add(f->q, &dir, sizeof(dir));
	else if (opcode != FUSE_SYMLINK)
		vuf_req_add(f->q, &create, sizeof(create));
	vuf_req_add_str(f->q, opcode == FUSE_TMPFILE ? "/" : name);
	if (opcode == FUSE_SYMLINK)
		vuf_req_add_str(f->q, "target");
	vuf_req_add(f->q, ext, len);
	f->q->out_len = sizeof(struct fuse_out_header) + sizeof(struct fz_entry_open);
	assert_int_equal(vuf_req_call(f->q, &f->v->ring[1]), 0);
	return vuf_req_error(f->q);
}

static void host_has(struct fx *f, const char *name, const char *attr, const char *value)
{
	char buf[256];
	ssize_t n = lgetxattr(fx_path(f, name), attr, buf, sizeof(buf));

	assert_int_equal(n, strlen(value));
	assert_memory_equal(buf, value, strlen(value));
}

static void need(const struct fx *f, const char *name)
{
	if (setxattr(f->share, name, "", 0, 0) < 0) {
		print_message("no %s here: %s\n", name, strerror(errno));
		skip();
	}
	removexattr(f->share, name);
}

static void name_of(char *buf, size_t size, size_t i, bool announced)
{
	snprintf(buf, size, "new%zu%d", i, announced);
}

static void what_is_made_has_its_label(void **state)
{
	struct fx *f = *state;
	char name[16], value[64];

	fx_need_root();
	need(f, NAME);
	for (int user = 0; user < 2; user++) {
		f->uid = f->gid = user ? 1000 : 0;
		assert_int_equal(chmod(f->share, 0777), 0);
		for (size_t i = 0; i < 2 * 4; i++) {
			snprintf(name, sizeof(name), "new%d%zu", user, i);
			snprintf(value, sizeof(value), "user_u:object_r:type%zu_t:s0", i);
			assert_int_equal(make(f, opcodes[i / 2], name, NAME, value, i % 2), 0);
			host_has(f, name, NAME, value);
			assert_int_equal(fx_stat(f, name).st_uid, f->uid);
		}
	}
	f->uid = f->gid = 0;
}

/* What has no name on the host cannot be looked at there, but through the node. */
static void a_tmpfile_has_its_label(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e;
	char buf[64];

	fx_need_root();
	need(f, NAME);
	assert_int_equal(make(f, FUSE_TMPFILE, NULL, NAME, "label", true), 0);
	memcpy(&e, vuf_req_payload(f->q), sizeof(e));
	assert_int_equal(fz_getxattr(f, e.nodeid, NAME, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "label", 5);
}

static void a_label_is_mapped(void **state)
{
	struct fx *f = *state;

	need(f, "user.probe");
	assert_int_equal(make(f, FUSE_CREATE, "file", NAME, "one", true), 0);
	host_has(f, "file", "user.v." NAME, "one");
	assert_int_equal(make(f, FUSE_MKDIR, "dir", NAME, "two", false), 0);
	host_has(f, "dir", "user.v." NAME, "two");
	/* Linux has no user attributes on others: no label, so no file. */
	assert_int_equal(make(f, FUSE_SYMLINK, "link", NAME, "three", true), -EPERM);
	assert_int_equal(access(fx_path(f, "link"), F_OK), -1);
	assert_int_equal(make(f, FUSE_MKNOD, "fifo", NAME, "four", true), -EPERM);
	assert_int_equal(access(fx_path(f, "fifo"), F_OK), -1);
}

static void without_a_label_nothing_is_made(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e;
	struct stat st;
	char name[16];

	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
		for (int announced = 0; announced < 2; announced++) {
			name_of(name, sizeof(name), i, announced);
			assert_int_equal(make(f, opcodes[i], name, NAME, "label", announced),
					 -EPERM);
			assert_int_equal(lstat(fx_path(f, name), &st), -1);
			assert_int_equal(make(f, opcodes[i], name, "security.un", "label",
					      announced),
					 -EOPNOTSUPP);
			assert_int_equal(lstat(fx_path(f, name), &st), -1);
			/* What is no label is not set as one. */
			assert_int_equal(make(f, opcodes[i], name, "system.posix_acl_access",
					      "label", announced),
					 -EINVAL);
			assert_int_equal(lstat(fx_path(f, name), &st), -1);
			assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, name, &e), -ENOENT);
		}
	}
	/* What was there before is not new, and stays. */
	fx_put(f, "old", "content", 7, 0644);
	assert_int_equal(make(f, FUSE_CREATE, "old", NAME, "label", true), 0);
	assert_int_equal(make(f, FUSE_MKDIR, "old", NAME, "label", true), -EEXIST);
	assert_int_equal(fx_stat(f, "old").st_size, 7);
	assert_int_equal(fz_mkdir(f, FUSE_ROOT_ID, "plain", 0755, &e), 0);
}

static int init(struct fx *f, uint64_t flags, struct fuse_init_out *ret)
{
	struct fuse_init_in in = {7, FX_MINOR, 1 << 17, (uint32_t)flags, (uint32_t)(flags >> 32)};
	struct iovec iov = IOV(in);

	return fz_call(f, FUSE_INIT, 0, &iov, 1, ret, sizeof(*ret), NULL);
}

static void always_insists(void **state)
{
	struct fx *f = *state;
	struct fuse_init_out o;

	assert_int_equal(init(f, FX_LINUX_FLAGS & ~FUSE_SECURITY_CTX, &o), -EPROTO);
	assert_int_equal(init(f, FX_LINUX_FLAGS, &o), 0);
	assert_true(o.flags2 & (FUSE_SECURITY_CTX >> 32));
}

static void auto_takes_what_there_is(void **state)
{
	struct fx *f = *state;
	struct fuse_init_out o;

	assert_int_equal(init(f, FX_LINUX_FLAGS & ~FUSE_SECURITY_CTX, &o), 0);
	assert_false(o.flags2 & (FUSE_SECURITY_CTX >> 32));
	assert_int_equal(init(f, FX_LINUX_FLAGS, &o), 0);
	assert_true(o.flags2 & (FUSE_SECURITY_CTX >> 32));
}

static void not_without_the_option(void **state)
{
	struct fx *f = *state;

	assert_false(f->init.flags2 & (FUSE_SECURITY_CTX >> 32));
	assert_int_equal(make(f, FUSE_MKDIR, "dir", "user.label", "label", true), -EINVAL);
	assert_int_equal(access(fx_path(f, "dir"), F_OK), -1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(what_is_made_has_its_label, &direct),
		FX_TEST(a_tmpfile_has_its_label, &direct),
		FX_TEST(a_label_is_mapped, &mapped),
		FX_TEST(without_a_label_nothing_is_made, &refused),
		FX_TEST(always_insists, &always),
		FX_TEST(auto_takes_what_there_is, &automatic),
		FX_TEST(not_without_the_option, &plain),
	};

	return fx_main(argc, argv, "label", tests, ARRAY_SIZE(tests));
}
