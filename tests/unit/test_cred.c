// SPDX-License-Identifier: Apache-2.0
/* Acting as the caller: owners of what is made, and the way back. */
/*
 * Theory of operation
 *
 * The tests run as root, on a temporary directory, with callers that exist nowhere; without root they
 * are skipped. After every switch the ids, groups and effective capabilities of the thread are
 * compared with those before. One test gives up root in a child process.
 */
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "cred.h"
#include "pt_fixture.h"

struct self {
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;
	int groups;
	struct __user_cap_data_struct caps[2];
};

static struct self self(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct self s;

	memset(&s, 0, sizeof(s));
	assert_int_equal(getresuid(&s.ruid, &s.euid, &s.suid), 0);
	assert_int_equal(getresgid(&s.rgid, &s.egid, &s.sgid), 0);
	s.groups = getgroups(0, NULL);
	assert_int_equal(syscall(SYS_capget, &head, s.caps), 0);
	return s;
}

static void assert_home(const struct self *before)
{
	struct self now = self();

	assert_memory_equal(&now, before, sizeof(now));
}

static bool effective(int cap)
{
	struct self s = self();

	return s.caps[CAP_TO_INDEX(cap)].effective & CAP_TO_MASK(cap);
}

static void there_and_back(void **state)
{
	struct cred c;
	struct self s;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(cred_thread_init(NULL), 0);
	s = self();
	assert_int_equal(s.groups, 0);
	assert_int_equal(cred_begin(&c, 0, 0, CRED_NO_GROUP), 0);
	assert_home(&s);
	assert_false(cred_widen(&c));
	cred_end(&c);

	assert_int_equal(cred_begin(&c, 1234, 2345, 3456), 0);
	assert_int_equal(self().euid, 1234);
	assert_int_equal(self().egid, 2345);
	assert_int_equal(self().groups, 1);
	assert_int_equal(self().ruid, 0);
	assert_false(effective(CAP_FSETID));
	assert_false(effective(CAP_DAC_OVERRIDE));
	assert_true(cred_widen(&c));
	assert_true(effective(CAP_DAC_OVERRIDE));
	assert_false(effective(CAP_FSETID));
	assert_false(cred_widen(&c));
	errno = EXDEV;
	cred_end(&c);
	assert_int_equal(errno, EXDEV);
	assert_home(&s);

	assert_int_equal(cred_begin(&c, 0, 2345, CRED_NO_GROUP), 0);
	assert_int_equal(self().euid, 0);
	assert_int_equal(self().egid, 2345);
	assert_false(cred_widen(&c));
	cred_end(&c);
	assert_home(&s);
	assert_int_equal(cred_begin(&c, 1234, 0, CRED_NO_GROUP), 0);
	cred_end(&c);
	assert_home(&s);

	/* Ids that the system calls would take for "leave it". */
	assert_int_equal(cred_begin(&c, UINT32_MAX, 1, CRED_NO_GROUP), -EINVAL);
	assert_int_equal(cred_begin(&c, 1, UINT32_MAX, CRED_NO_GROUP), -EINVAL);
	assert_home(&s);

	cred_kill(&c, 4321);
	assert_false(effective(CAP_FSETID));
	assert_true(effective(CAP_DAC_OVERRIDE));
	assert_int_equal(geteuid(), 0);
	assert_int_equal(getegid(), 4321);
	cred_end(&c);
	assert_home(&s);
}

struct other {
	pthread_barrier_t meet;
	long uid;
	long gid;
};

static void *other_thread(void *arg)
{
	struct other *o = arg;

	pthread_barrier_wait(&o->meet);
	o->uid = syscall(SYS_geteuid);
	o->gid = syscall(SYS_getegid);
	pthread_barrier_wait(&o->meet);
	return NULL;
}

/* The switch is one thread's own: another one that was there before is asked meanwhile. */
static void one_thread_only(void **state)
{
	struct other o = {.uid = -1};
	struct cred c;
	pthread_t t;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(pthread_barrier_init(&o.meet, NULL, 2), 0);
	assert_int_equal(pthread_create(&t, NULL, other_thread, &o), 0);
	assert_int_equal(cred_begin(&c, 1234, 2345, CRED_NO_GROUP), 0);
	assert_int_equal(syscall(SYS_geteuid), 1234);
	pthread_barrier_wait(&o.meet);
	pthread_barrier_wait(&o.meet);
	cred_end(&c);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(o.uid, 0);
	assert_int_equal(o.gid, 0);
	pthread_barrier_destroy(&o.meet);
}

static void as_caller(struct ptf *f, uint32_t uid, uint32_t gid, uint32_t group)
{
	f->req.hdr.uid = uid;
	f->req.hdr.gid = gid;
	f->req.supp_gid = group;
}

static struct stat host_stat(struct ptf *f, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(f->root, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

static void assert_owner(struct ptf *f, const char *name, uid_t uid, gid_t gid)
{
	struct stat st = host_stat(f, name);

	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, gid);
}

/* Everything that creates. */
static void owners(void **state)
{
	struct fuse_mknod_in mk = {.mode = S_IFIFO | 0600};
	struct fuse_create_in tmp = {.mode = S_IFREG | 0600, .flags = O_RDWR};
	struct fuse_open_out out = {0};
	struct fuse_entry_out e = {0};
	struct self s;
	struct ptf f;
	uint64_t fh;

	(void)state;
	if (geteuid() != 0)
		skip();
	ptf_start(&f, (struct pt_conf){.max_fds = 64});
	s = self();
	assert_int_equal(fchmodat(f.root, ".", 0777, 0), 0);
	as_caller(&f, 1234, 2345, UINT32_MAX);
	assert_true(ptf_create(&f, FUSE_ROOT_ID, "file", 0600, O_RDWR, &fh) > 0);
	assert_true(ptf_mkdir(&f, FUSE_ROOT_ID, "dir") > 0);
	assert_int_equal(pt_ops.mknod(&f.req, FUSE_ROOT_ID, "fifo", &mk, &e), 0);
	assert_int_equal(pt_ops.symlink(&f.req, FUSE_ROOT_ID, "link", "x", &e), 0);
	assert_owner(&f, "file", 1234, 2345);
	assert_owner(&f, "dir", 1234, 2345);
	assert_owner(&f, "fifo", 1234, 2345);
	assert_owner(&f, "link", 1234, 2345);
	if (pt_ops.rename(&f.req, FUSE_ROOT_ID, "fifo", FUSE_ROOT_ID, "fifo2", RENAME_WHITEOUT) ==
	    0) {
		assert_owner(&f, "fifo", 1234, 2345);
		assert_int_equal(unlinkat(f.root, "fifo", 0), 0);
	}
	if (pt_ops.tmpfile(&f.req, FUSE_ROOT_ID, &tmp, &e, &out) == 0) {
		assert_int_equal(e.attr.uid, 1234);
		assert_int_equal(e.attr.gid, 2345);
	}
	assert_home(&s);
	/* And back after each kind of failure. */
	assert_int_equal(ptf_create(&f, FUSE_ROOT_ID, "file", 0600, O_RDWR | O_EXCL, &fh), -EEXIST);
	assert_int_equal(ptf_mkdir(&f, FUSE_ROOT_ID, "dir"), -EEXIST);
	assert_int_equal(pt_ops.symlink(&f.req, FUSE_ROOT_ID, "link", "x", &e), -EEXIST);
	as_caller(&f, UINT32_MAX, 0, UINT32_MAX);
	assert_int_equal(ptf_mkdir(&f, FUSE_ROOT_ID, "d2"), -EINVAL);
	assert_home(&s);
	as_caller(&f, 0, 0, UINT32_MAX);
	assert_true(ptf_mkdir(&f, FUSE_ROOT_ID, "root") > 0);
	assert_owner(&f, "root", 0, 0);
	ptf_stop(&f);
}

/* A set-gid directory: the group is inherited, the bit only where the caller is a member. */
static void setgid_directory(void **state)
{
	struct ptf f;
	uint64_t d, fh;

	(void)state;
	if (geteuid() != 0)
		skip();
	ptf_start(&f, (struct pt_conf){.max_fds = 64});
	ptf_host_mkdir(&f, "d");
	assert_int_equal(fchownat(f.root, "d", 0, 5000, 0), 0);
	assert_int_equal(fchmodat(f.root, "d", 02777, 0), 0);
	d = ptf_node(&f, FUSE_ROOT_ID, "d");
	as_caller(&f, 1234, 2345, UINT32_MAX);
	assert_true(ptf_create(&f, d, "alien", 02775, O_RDWR, &fh) > 0);
	assert_owner(&f, "d/alien", 1234, 5000);
	assert_int_equal(host_stat(&f, "d/alien").st_mode & 07777, 0775);
	assert_true(ptf_mkdir(&f, d, "sub") > 0);
	assert_owner(&f, "d/sub", 1234, 5000);
	assert_true(host_stat(&f, "d/sub").st_mode & S_ISGID);
	as_caller(&f, 1234, 2345, 5000);
	assert_true(ptf_create(&f, d, "member", 02775, O_RDWR, &fh) > 0);
	assert_owner(&f, "d/member", 1234, 5000);
	assert_int_equal(host_stat(&f, "d/member").st_mode & 07777, 02775);
	as_caller(&f, 1234, 5000, UINT32_MAX);
	assert_true(ptf_create(&f, d, "primary", 02775, O_RDWR, &fh) > 0);
	assert_int_equal(host_stat(&f, "d/primary").st_mode & 07777, 02775);
	ptf_stop(&f);
}

/* The guest's kernel has allowed it, by a group that the host does not hear of. */
static void unknown_group(void **state)
{
	struct self s;
	struct ptf f;
	uint64_t d, fh;

	(void)state;
	if (geteuid() != 0)
		skip();
	ptf_start(&f, (struct pt_conf){.max_fds = 64});
	s = self();
	ptf_host_mkdir(&f, "d");
	assert_int_equal(fchownat(f.root, "d", 0, 5000, 0), 0);
	assert_int_equal(fchmodat(f.root, "d", 0770, 0), 0);
	d = ptf_node(&f, FUSE_ROOT_ID, "d");
	as_caller(&f, 1234, 2345, UINT32_MAX);
	assert_true(ptf_create(&f, d, "a", 0600, O_RDWR, &fh) > 0);
	assert_true(ptf_mkdir(&f, d, "b") > 0);
	assert_owner(&f, "d/a", 1234, 2345);
	assert_owner(&f, "d/b", 1234, 2345);
	assert_home(&s);
	ptf_stop(&f);
}

/* Without privilege: itself, and nobody else. Returns the number of the check that failed, or 0. */
static int unprivileged(void)
{
	struct cred c;

	if (setgroups(0, NULL) < 0 || setresgid(777, 777, 777) < 0 || setresuid(777, 777, 777) < 0)
		return 1;
	if (cred_thread_init(NULL) < 0)
		return 2;
	if (cred_begin(&c, 0, 0, CRED_NO_GROUP) < 0)
		return 3;
	cred_end(&c);
	if (cred_begin(&c, 777, 777, CRED_NO_GROUP) < 0 || geteuid() != 777)
		return 4;
	cred_end(&c);
	if (cred_begin(&c, 778, 0, CRED_NO_GROUP) != -EPERM)
		return 5;
	if (cred_begin(&c, 0, 778, CRED_NO_GROUP) != -EPERM)
		return 6;
	if (cred_begin(&c, 777, 777, 5000) < 0)
		return 7;
	cred_end(&c);
	cred_kill(&c, 1);
	if (c.caps || c.gid)
		return 8;
	cred_end(&c);
	return geteuid() == 777 && getegid() == 777 ? 0 : 9;
}

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return ok;
}

#define NO_NAMESPACE 100

/* Root of a user namespace with two ids: the others are refused, and not as something invalid. */
static int few_ids(void)
{
	struct cred c;
	pid_t pid;
	int go[2];

	/* The maps are written from outside, which takes no setgroups(2) away. */
	if (pipe(go) < 0)
		return 1;
	pid = getpid();
	if (fork() == 0) {
		char path[64], byte;

		close(go[1]);
		if (read(go[0], &byte, 1) != 1)
			_exit(1);
		snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
		if (!put(path, "0 0 2"))
			_exit(1);
		snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
		_exit(!put(path, "0 0 2"));
	}
	if (unshare(CLONE_NEWUSER) < 0)
		return NO_NAMESPACE;
	if (write(go[1], "", 1) != 1 || wait(go) < 0 || go[0] != 0)
		return 2;
	if (cred_thread_init(NULL) < 0)
		return 3;
	if (cred_begin(&c, 1, 1, CRED_NO_GROUP) < 0 || geteuid() != 1 || getegid() != 1)
		return 4;
	cred_end(&c);
	if (cred_begin(&c, 2, 1, CRED_NO_GROUP) != -EPERM || geteuid() != 0 || getegid() != 0)
		return 5;
	if (cred_begin(&c, 1, 2, CRED_NO_GROUP) != -EPERM || geteuid() != 0 || getegid() != 0)
		return 6;
	/* A group that is not there can merely not help. */
	if (cred_begin(&c, 1, 1, 2) < 0 || geteuid() != 1)
		return 7;
	cred_end(&c);
	return geteuid() == 0 && getegid() == 0 ? 0 : 8;
}

/* @fn in a process of its own; its result. */
static int apart(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void unprivileged_daemon(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(apart(unprivileged), 0);
}

static void ids_that_are_not_there(void **state)
{
	int r;

	(void)state;
	if (geteuid() != 0)
		skip();
	r = apart(few_ids);
	if (r == NO_NAMESPACE)
		skip();
	assert_int_equal(r, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(one_thread_only),
		cmocka_unit_test(owners),
		cmocka_unit_test(setgid_directory),
		cmocka_unit_test(unknown_group),
		cmocka_unit_test(unprivileged_daemon),
		cmocka_unit_test(ids_that_are_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
