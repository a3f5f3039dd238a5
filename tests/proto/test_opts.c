// SPDX-License-Identifier: Apache-2.0
/* Options that change what the host does with opens, and what the guest is told that it may do. */
/*
 * Theory of operation
 *
 * Each option has a daemon with it and one without, which are judged alike but for what the option
 * is there for. How the daemon holds a file open is read from its /proc/PID/fdinfo.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fx.h"
#include "fz.h"
#include "util.h"

struct opt {
	struct fx_opts opts;
	uint64_t flags; /* of INIT: agreed on with the option */
	int open_flags; /* of open(2): kept with the option */
	bool with;
};

/* open(2) flags by which the daemon has the file @name open for use; -1 when it has not. */
static int daemon_flags(struct fx *f, const char *name)
{
	struct stat want = fx_stat(f, name), st;
	struct dirent *de;
	char path[64], line[128];
	int flags = -1;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)fx_serving_pid(f));
	d = opendir(path);
	if (!d)
		return -1;
	while ((de = readdir(d))) {
		unsigned int found = O_PATH;
		FILE *info;

		if (fstatat(dirfd(d), de->d_name, &st, 0) < 0 || st.st_ino != want.st_ino ||
		    st.st_dev != want.st_dev)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.16s", (int)fx_serving_pid(f),
			 de->d_name);
		info = fopen(path, "re");
		while (info && fgets(line, sizeof(line), info))
			if (strncmp(line, "flags:", 6) == 0)
				found = (unsigned int)strtoul(line + 6, NULL, 8);
		if (info)
			fclose(info);
		if (!(found & O_PATH))
			flags = (int)found;
	}
	closedir(d);
	return flags;
}

/* The host's file system takes these flags. */
static bool host_takes(struct fx *f, int flags)
{
	int fd = open(fx_path(f, "file"), O_RDWR | flags | O_CLOEXEC);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* OPEN and CREATE keep a flag, or neither does. */
static void kept_on_both(void **state)
{
	struct fx *f = *state;
	const struct opt *t = (const void *)f->opts;
	const int want = t->with ? t->open_flags : 0;
	struct fz_entry_open c;
	struct fuse_open_out o;
	uint64_t node;
	int got;

	fx_put(f, "file", "content", 7, 0644);
	if (!host_takes(f, t->open_flags))
		skip();
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDWR | (uint32_t)t->open_flags, &o), 0);
	got = daemon_flags(f, "file");
	assert_int_not_equal(got, -1);
	assert_int_equal(got & t->open_flags, want);
	assert_int_equal(fz_release(f, node, o.fh), 0);
	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "new",
				   O_CREAT | O_RDWR | (uint32_t)t->open_flags, 0644, &c),
			 0);
	got = daemon_flags(f, "new");
	assert_int_not_equal(got, -1);
	assert_int_equal(got & t->open_flags, want);
	assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
	/* The name is there already. */
	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "file",
				   O_CREAT | O_RDWR | (uint32_t)t->open_flags, 0644, &c),
			 0);
	assert_int_equal(daemon_flags(f, "file") & t->open_flags, want);
	assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
	/* And nothing where the guest's program did not ask. */
	assert_int_equal(fz_open(f, node, O_RDWR, &o), 0);
	assert_int_equal(daemon_flags(f, "file") & t->open_flags, 0);
	assert_int_equal(fz_release(f, node, o.fh), 0);
}

static int write_one(struct fx *f, uint64_t node, uint64_t fh, uint32_t flags)
{
	struct fuse_write_in in = {.fh = fh, .offset = 3, .size = 1, .flags = flags};
	const struct iovec io[] = {IOV(in), {(void *)(uintptr_t) "X", 1}};
	struct fuse_write_out out;

	return fz_call(f, FUSE_WRITE, node, io, 2, &out, sizeof(out), NULL);
}

/* A page that ends with the file, by way of a descriptor that takes aligned data only. */
static void unaligned_and_not_direct(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out o;
	char buf[16] = {0};
	uint64_t node;
	int fd;

	fx_put(f, "file", "content", 7, 0644);
	fd = open(fx_path(f, "file"), O_WRONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		skip();
	/* There are file systems that take anything. */
	if (pwrite(fd, "y", 1, 3) == 1) {
		close(fd);
		skip();
	}
	close(fd);
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDWR | O_DIRECT, &o), 0);
	assert_int_equal(write_one(f, node, o.fh, O_RDWR | O_DIRECT), -EINVAL);
	assert_int_equal(write_one(f, node, o.fh, O_RDWR), 0);
	assert_int_equal(fz_read(f, node, o.fh, 1, buf, 5), 5);
	assert_string_equal(buf, "onXen");
	assert_int_equal(fz_release(f, node, o.fh), 0);
	/* What the handle may not do, it may not do this way either. */
	assert_int_equal(fz_open(f, node, O_RDONLY | O_DIRECT, &o), 0);
	assert_int_equal(write_one(f, node, o.fh, O_RDONLY), -EBADF);
	assert_int_equal(fz_release(f, node, o.fh), 0);
}

static void agreed_at_init(void **state)
{
	struct fx *f = *state;
	const struct opt *t = (const void *)f->opts;
	uint64_t got = f->init.flags | (uint64_t)f->init.flags2 << 32;

	assert_int_equal(got & t->flags, t->with ? t->flags : 0);
}

/* Pages that are written in part are read first, whatever the program opened the file for. */
static void writeback_reads_what_is_opened_for_writing(void **state)
{
	struct fx *f = *state;
	const struct opt *t = (const void *)f->opts;
	struct fuse_write_in in = {.size = 1, .flags = O_WRONLY | O_APPEND};
	const struct iovec io[] = {IOV(in), {(void *)(uintptr_t) "X", 1}};
	struct fuse_write_out out;
	struct fz_entry_open c;
	struct fuse_open_out o;
	char buf[16] = {0};
	uint64_t node;

	fx_put(f, "file", "content", 7, 0600);
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_WRONLY | O_APPEND, &o), 0);
	assert_int_equal(fz_read(f, node, o.fh, 0, buf, 7), t->with ? 7 : -EBADF);
	/* The guest knows where the end is, or we do. */
	in.fh = o.fh;
	assert_int_equal(fz_call(f, FUSE_WRITE, node, io, 2, &out, sizeof(out), NULL), 0);
	assert_int_equal(fx_stat(f, "file").st_size, t->with ? 7 : 8);
	assert_int_equal(fz_release(f, node, o.fh), 0);
	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "new", O_CREAT | O_WRONLY, 0200, &c), 0);
	assert_int_equal(fz_write(f, c.entry.nodeid, c.open.fh, 0, "ab", 2), 2);
	assert_int_equal(fz_read(f, c.entry.nodeid, c.open.fh, 0, buf, 2), t->with ? 2 : -EBADF);
	assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
}

/* More files than descriptors; the host moves the first of them. In the sandbox. */
static void handles_in_the_sandbox(void **state)
{
	enum { N = 200 };
	struct fx *f = *state;
	const struct opt *t = (const void *)f->opts;
	struct fuse_attr_out a;
	uint64_t node[N];
	char name[16];

	fx_need_root();
	assert_int_equal(mkdir(fx_path(f, "away"), 0755), 0);
	for (unsigned int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		fx_put(f, name, "content", 7, 0644);
		node[i] = fz_walk(f, name);
	}
	assert_int_equal(rename(fx_path(f, "f0"), fx_path(f, "away/f0")), 0);
	for (unsigned int i = 1; i < N; i++)
		assert_int_equal(fz_getattr(f, node[i], &a), 0);
	assert_int_equal(fz_getattr(f, node[0], &a), t->with ? 0 : -ESTALE);
}

static void handles_that_are_not_there(void **state)
{
	struct fx *f = *state;
	const char *args[] = {"--shared-dir=/proc",
			      "--socket-path",
			      f->sock,
			      "--sandbox=none",
			      "--inode-file-handles=mandatory",
			      NULL};

	fx_spawn(f, args);
	assert_int_equal(fx_wait_exit(f, FX_WAIT_MS), 1);
	assert_int_equal(fx_log_count(f, "--inode-file-handles=mandatory"), 1);
	assert_int_equal(fx_log_count(f, "Waiting"), 0);
}

/* Without --xattr there are none, and with it there are. */
static void attributes(void **state)
{
	struct fx *f = *state;
	const struct opt *opt = (const void *)f->opts;
	const int want = opt->with ? 0 : -ENOSYS; /* the guest asks no more */
	uint64_t node;
	char buf[64];

	fx_put(f, "file", "x", 1, 0644);
	if (setxattr(fx_path(f, "file"), "user.host", "v", 1, 0) < 0)
		skip();
	node = fz_walk(f, "file");
	assert_int_equal(fz_setxattr(f, node, "user.guest", "v", 1, 0), want);
	assert_int_equal(fz_getxattr(f, node, "user.host", buf, 64), opt->with ? 1 : want);
	assert_int_equal(fz_removexattr(f, node, "user.host"), want);
	assert_int_equal(fz_listxattr(f, node, buf, 64), opt->with ? 11 : want);
	assert_int_equal(getxattr(fx_path(f, "file"), "user.host", buf, 64), opt->with ? -1 : 1);
}

/* The limit of open files of the process that serves. */
static uint64_t nofile(const struct fx *f)
{
	return fx_proc(f, "limits", "Max open files");
}

static void limit_that_is_set(void **state)
{
	assert_int_equal(nofile(*state), 300);
}

static void limit_that_is_left(void **state)
{
	struct rlimit own;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &own), 0);
	assert_int_equal(nofile(*state), own.rlim_cur);
}

/* Whether this process may raise the limit that far. */
static bool may_raise(rlim_t most)
{
	const struct rlimit lim = {most, most};
	int status = 1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(setrlimit(RLIMIT_NOFILE, &lim) < 0);
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static void limit_by_default(void **state)
{
	unsigned long long most = 0;
	FILE *f = fopen("/proc/sys/fs/nr_open", "re");
	struct rlimit own;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%llu", &most), 1);
	fclose(f);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &own), 0);
	most = MIN(most, 1000000ull);
	/* Who may not raise the limit gets as far as the hard one. */
	assert_int_equal(nofile(*state), may_raise(most) ? most : MIN(most, own.rlim_max));
}

/* Requests are told of with debug alone. */
static void log_level(void **state)
{
	struct fx *f = *state;
	const bool debug = strcmp(f->opts->args[0], "--log-level=debug") == 0;

	assert_int_equal(fz_access(f, FUSE_ROOT_ID, R_OK), 0);
	assert_true((fx_log_count(f, "GETATTR") || fx_log_count(f, "ACCESS")) == debug);
}

#define WITH(...)                       \
	{                               \
		.args = { __VA_ARGS__ } \
	}

static const struct opt direct_io = {WITH("--allow-direct-io"), 0, O_DIRECT, true};
static const struct opt no_direct_io = {WITH("--cache=never"), 0, O_DIRECT, false};
static const struct opt noatime = {WITH("--preserve-noatime"), 0, O_NOATIME, true};
static const struct opt no_noatime = {WITH("--cache=auto"), 0, O_NOATIME, false};
static const struct opt synced = {WITH("--cache=auto"), 0, O_SYNC, true};
static const struct opt data_synced = {WITH("--cache=never"), 0, O_DSYNC, true};
static const struct opt writeback = {WITH("--writeback"), FUSE_WRITEBACK_CACHE, 0, true};
static const struct opt writeback_always = {WITH("--cache=always", "-o", "writeback"),
					    FUSE_WRITEBACK_CACHE, 0, true};
static const struct opt writeback_never = {WITH("--writeback", "--cache=never"),
					   FUSE_WRITEBACK_CACHE, 0, false};
static const struct opt writeback_metadata = {WITH("--writeback", "--cache=metadata"),
					      FUSE_WRITEBACK_CACHE, 0, false};
static const struct opt no_writeback = {WITH("--cache=auto"), FUSE_WRITEBACK_CACHE, 0, false};
static const struct opt map_never = {WITH("--allow-mmap", "--cache=never"),
				     FUSE_DIRECT_IO_ALLOW_MMAP, 0, true};
static const struct opt map_metadata = {WITH("--allow-mmap", "--cache=metadata"),
					FUSE_DIRECT_IO_ALLOW_MMAP, 0, true};
static const struct opt map_auto = {WITH("--allow-mmap"), FUSE_DIRECT_IO_ALLOW_MMAP, 0, false};
static const struct opt no_map = {WITH("--cache=never"), FUSE_DIRECT_IO_ALLOW_MMAP, 0, false};
static const struct opt plus = {WITH("--cache=auto"), FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO,
				0, true};
static const struct opt no_plus = {WITH("--no-readdirplus"),
				   FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO, 0, false};
static const struct opt killpriv = {WITH("--killpriv-v2"), FUSE_HANDLE_KILLPRIV_V2, 0, true};
static const struct opt no_killpriv = {WITH("--killpriv-v2", "--no-killpriv-v2"),
				       FUSE_HANDLE_KILLPRIV_V2, 0, false};

static const struct opt mandatory = {WITH("--rlimit-nofile=128", "--inode-file-handles=mandatory"),
				     0, 0, true};
static const struct opt prefer = {WITH("--rlimit-nofile=128", "--sandbox=namespace"), 0, 0, false};
static const struct opt never = {
	WITH("--rlimit-nofile=128", "--sandbox=none", "--inode-file-handles=never"), 0, 0, false};
static const struct opt prefer_none = {
	WITH("--rlimit-nofile=128", "--sandbox=none", "--inode-file-handles=prefer"), 0, 0, true};
static const struct opt with_xattr = {WITH("--xattr"), 0, 0, true};
static const struct opt without_xattr = {WITH("-o", "xattr,no_xattr"), 0, 0, false};
static const struct fx_opts limited = {.args = {"--rlimit-nofile=300"}};
static const struct fx_opts left = {.args = {"--rlimit-nofile=0"}};
static const struct fx_opts log_debug = {.args = {"--log-level=debug"}};
static const struct fx_opts log_info = {.args = {"--log-level=info"}};
static const struct fx_opts no_start = {.no_start = true};

#define OPT_TEST(fn, opt)                                                            \
	{                                                                            \
#fn " " #opt, fn, fx_setup, fx_teardown, (void *)(uintptr_t) & (opt) \
	}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		OPT_TEST(kept_on_both, direct_io),
		OPT_TEST(kept_on_both, no_direct_io),
		OPT_TEST(kept_on_both, noatime),
		OPT_TEST(kept_on_both, no_noatime),
		OPT_TEST(kept_on_both, synced),
		OPT_TEST(kept_on_both, data_synced),
		OPT_TEST(unaligned_and_not_direct, direct_io),
		OPT_TEST(agreed_at_init, writeback),
		OPT_TEST(agreed_at_init, writeback_always),
		OPT_TEST(agreed_at_init, writeback_never),
		OPT_TEST(agreed_at_init, writeback_metadata),
		OPT_TEST(agreed_at_init, no_writeback),
		OPT_TEST(agreed_at_init, map_never),
		OPT_TEST(agreed_at_init, map_metadata),
		OPT_TEST(agreed_at_init, map_auto),
		OPT_TEST(agreed_at_init, no_map),
		OPT_TEST(agreed_at_init, plus),
		OPT_TEST(agreed_at_init, no_plus),
		OPT_TEST(agreed_at_init, killpriv),
		OPT_TEST(agreed_at_init, no_killpriv),
		OPT_TEST(writeback_reads_what_is_opened_for_writing, writeback),
		OPT_TEST(writeback_reads_what_is_opened_for_writing, no_writeback),
		OPT_TEST(handles_in_the_sandbox, mandatory),
		OPT_TEST(handles_in_the_sandbox, prefer),
		OPT_TEST(handles_in_the_sandbox, never),
		OPT_TEST(handles_in_the_sandbox, prefer_none),
		FX_TEST(handles_that_are_not_there, &no_start),
		OPT_TEST(attributes, with_xattr),
		OPT_TEST(attributes, without_xattr),
		FX_TEST(limit_that_is_set, &limited),
		FX_TEST(limit_that_is_left, &left),
		FX_TEST(limit_by_default, NULL),
		FX_TEST(log_level, &log_debug),
		FX_TEST(log_level, &log_info),
	};

	return fx_main(argc, argv, "opts", tests, ARRAY_SIZE(tests));
}
