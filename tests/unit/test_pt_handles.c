// SPDX-License-Identifier: Apache-2.0
/* The passthrough backend: inodes opened again by their file handles. */
/*
 * Theory of operation
 *
 * Idle descriptors are closed and names are changed on the host, so that an inode is found by its
 * handle or not at all. Takes root and a file system with handles; skipped without.
 */
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "pt_fixture.h"
#include "util.h"

static const struct pt_conf conf_of[] = {
	{.announce_submounts = true, .max_fds = 64, .handles = PT_HANDLES_NEVER},
	{.announce_submounts = true, .max_fds = 64, .handles = PT_HANDLES_PREFER},
	{.announce_submounts = true, .max_fds = 64, .handles = PT_HANDLES_MANDATORY},
};

/* A backend over @path, or the error of making one. */
static int make(const char *path, enum pt_handles handles, struct pt **ret)
{
	struct pt_conf conf = conf_of[handles];
	int r;

	conf.root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	conf.proc_fd_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(conf.root_fd >= 0 && conf.proc_fd_fd >= 0);
	r = pt_new(&conf, ret);
	close(conf.root_fd);
	close(conf.proc_fd_fd);
	return r;
}

static void need_handles(void)
{
	struct pt *pt;

	if (make(getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", PT_HANDLES_MANDATORY, &pt) < 0)
		skip();
	pt_free(pt);
}

static void evict(struct ptf *f)
{
	while (fdcache_shrink(&f->pt->inodes.fds))
		;
}

/* The host moves what the guest knows to where it never looked. */
static void moved_by_the_host(void **state)
{
	need_handles();
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(conf_of); i++) {
		const bool by_handle = conf_of[i].handles != PT_HANDLES_NEVER;
		static const char *const names[] = {"file", "link", "fifo", "dir"};
		uint64_t node[ARRAY_SIZE(names)], fh;
		struct fuse_attr attr;
		char buf[8], to[32];
		struct ptf f;

		ptf_start(&f, conf_of[i]);
		ptf_host_file(&f, "file", "text");
		assert_int_equal(symlinkat("file", f.root, "link"), 0);
		assert_int_equal(mkfifoat(f.root, "fifo", 0600), 0);
		ptf_host_mkdir(&f, "dir");
		ptf_host_file(&f, "dir/x", "x");
		ptf_host_mkdir(&f, "away");
		for (unsigned int n = 0; n < ARRAY_SIZE(names); n++) {
			node[n] = ptf_node(&f, FUSE_ROOT_ID, names[n]);
			snprintf(to, sizeof(to), "away/%s", names[n]);
			assert_int_equal(renameat(f.root, names[n], f.root, to), 0);
		}
		evict(&f);
		for (unsigned int n = 0; n < ARRAY_SIZE(names); n++)
			assert_int_equal(ptf_getattr(&f, node[n], &attr), by_handle ? 0 : -ESTALE);
		if (by_handle) {
			evict(&f);
			assert_int_equal(ptf_open(&f, node[0], O_RDWR, &fh), 0);
			assert_int_equal(ptf_read(&f, node[0], fh, 0, buf, 8), 4);
			assert_int_equal(ptf_release(&f, node[0], fh), 0);
			assert_int_equal(pt_ops.readlink(&f.req, node[1], buf, 8), 4);
			/* Never opened, by whatever way it was found. */
			assert_int_equal(ptf_open(&f, node[2], O_RDWR, &fh), -ENXIO);
			assert_true(ptf_lookup(&f, node[3], "x") > 0);
			evict(&f);
			assert_int_equal(unlinkat(f.root, "away/file", 0), 0);
			assert_int_equal(ptf_getattr(&f, node[0], NULL), -ESTALE);
		}
		ptf_stop(&f);
	}
}

/* A hard link that the guest does not know of is as good as the name it knew. */
static void another_name(void **state)
{
	struct fuse_attr attr;
	struct ptf f;
	uint64_t a;

	need_handles();
	(void)state;
	ptf_start(&f, conf_of[PT_HANDLES_PREFER]);
	ptf_host_file(&f, "a", "text");
	a = ptf_node(&f, FUSE_ROOT_ID, "a");
	assert_int_equal(linkat(f.root, "a", f.root, "b", 0), 0);
	assert_int_equal(unlinkat(f.root, "a", 0), 0);
	ptf_host_file(&f, "a", "other");
	evict(&f);
	assert_int_equal(ptf_getattr(&f, a, &attr), 0);
	assert_int_equal(attr.size, 4);
	ptf_stop(&f);
}

/* More files than descriptors. */
static void within_the_budget(void **state)
{
	enum { N = 300 };
	uint64_t node[N];
	char name[16];
	struct ptf f;

	need_handles();
	(void)state;
	ptf_start(&f, conf_of[PT_HANDLES_PREFER]);
	for (unsigned int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		ptf_host_file(&f, name, "");
		node[i] = ptf_node(&f, FUSE_ROOT_ID, name);
	}
	for (unsigned int i = 0; i < N; i++) {
		assert_int_equal(ptf_getattr(&f, node[i], NULL), 0);
		assert_true(ptf_stats(&f).fds <= 64);
	}
	evict(&f);
	/* The root and its mount. */
	assert_int_equal(ptf_stats(&f).fds, 2);
	ptf_stop(&f);
}

/* The host may unmount what the guest has forgotten, and not before. */
static void mounts_are_let_go(void **state)
{
	uint64_t sub, dir, file;
	struct fuse_attr attr;
	char path[128];
	struct ptf f;

	need_handles();
	(void)state;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		skip();
	ptf_start(&f, conf_of[PT_HANDLES_PREFER]);
	ptf_host_mkdir(&f, "sub");
	snprintf(path, sizeof(path), "%s/sub", f.path);
	for (unsigned int round = 0; round < 20; round++) {
		assert_int_equal(mount("t", path, "tmpfs", 0, NULL), 0);
		ptf_host_mkdir(&f, "sub/dir");
		ptf_host_file(&f, "sub/dir/file", "text");
		sub = ptf_node(&f, FUSE_ROOT_ID, "sub");
		dir = ptf_node(&f, sub, "dir");
		file = ptf_node(&f, dir, "file");
		evict(&f);
		assert_int_equal(ptf_stats(&f).fds, 3);
		assert_int_equal(renameat(f.root, "sub/dir/file", f.root, "sub/elsewhere"), 0);
		assert_int_equal(ptf_getattr(&f, file, &attr), 0);
		assert_int_equal(attr.size, 4);
		evict(&f);
		assert_int_equal(umount2(path, 0), -1);
		assert_int_equal(errno, EBUSY);
		pt_ops.forget(f.pt, file, 1);
		pt_ops.forget(f.pt, dir, 1);
		pt_ops.forget(f.pt, sub, 1);
		assert_int_equal(ptf_stats(&f).fds, 2);
		assert_int_equal(umount2(path, 0), 0);
	}
	ptf_stop(&f);
}

/* Names do not hold a mount while nothing on it is open. */
static void names_hold_no_mount(void **state)
{
	char path[128];
	uint64_t sub;
	struct ptf f;

	(void)state;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		skip();
	ptf_start(&f, conf_of[PT_HANDLES_NEVER]);
	ptf_host_mkdir(&f, "sub");
	snprintf(path, sizeof(path), "%s/sub", f.path);
	assert_int_equal(mount("t", path, "tmpfs", 0, NULL), 0);
	sub = ptf_node(&f, FUSE_ROOT_ID, "sub");
	ptf_node(&f, FUSE_ROOT_ID, "sub");
	evict(&f);
	assert_int_equal(umount2(path, 0), 0);
	/* What is there now is another inode. */
	assert_int_equal(ptf_getattr(&f, sub, NULL), -ESTALE);
	ptf_stop(&f);
}

static int drop_cap(unsigned int cap)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, caps) < 0)
		return -errno;
	caps[CAP_TO_INDEX(cap)].effective &= ~CAP_TO_MASK(cap);
	return syscall(SYS_capset, &head, caps) < 0 ? -errno : 0;
}

/* 0, or which of the answers was wrong. */
static int without_cap(void)
{
	const char *dir = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
	struct pt_stats st;
	struct pt *pt;

	if (drop_cap(CAP_DAC_READ_SEARCH) < 0)
		return 1;
	if (make(dir, PT_HANDLES_MANDATORY, &pt) != -EPERM)
		return 2;
	if (make(dir, PT_HANDLES_PREFER, &pt) != 0)
		return 3;
	pt_stats(pt, &st);
	pt_free(pt);
	/* No descriptor of the mount is kept for nothing. */
	return st.fds == 1 ? 0 : 4;
}

static void without_the_capability(void **state)
{
	int status;
	pid_t pid;

	need_handles();
	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(without_cap());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void without_handles(void **state)
{
	struct pt *pt;

	(void)state;
	assert_int_equal(make("/proc", PT_HANDLES_MANDATORY, &pt), -EOPNOTSUPP);
	assert_int_equal(make("/proc", PT_HANDLES_PREFER, &pt), 0);
	pt_free(pt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moved_by_the_host),      cmocka_unit_test(another_name),
		cmocka_unit_test(within_the_budget),      cmocka_unit_test(mounts_are_let_go),
		cmocka_unit_test(names_hold_no_mount),    cmocka_unit_test(without_handles),
		cmocka_unit_test(without_the_capability),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
