// SPDX-License-Identifier: Apache-2.0
/* virtiofsd: shares a host directory with a guest through virtio-fs. */
/*
 * Theory of operation
 *
 * One thread until lifecycle_serve(): the command line, then everything that needs the host
 * (limits, the log's socket, the listening socket and its files), then the sandbox, then the
 * backend. In most modes the sandbox leaves a second process outside, which is the one that was
 * started, and removes the files at the end.
 *
 * Exit status: see EXIT_USAGE below and virtiofsd(1).
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"
#include "jail.h"
#include "lifecycle.h"
#include "listener.h"
#include "log.h"
#include "options.h"
#include "parse.h"
#include "pt.h"
#include "util.h"

#define EXIT_USAGE     2 /* the command line is wrong */
#define NOFILE_DEFAULT 1000000u
/*
 * What it saves is the way from one CPU to another and back, 100 us and more on virtual machines; what it
 * can cost each time is this. Twice as long brings a tenth more.
 */
#define POLL_US_DEFAULT 20u

/* Descriptors 0 to 2 must be taken, lest a socket become stderr. */
static void open_stdio(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			_exit(EXIT_FAILURE);
}

__attribute__((format(printf, 1, 2))) static int usage(const char *fmt, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	parse_one_line(line);
	fprintf(stderr, "virtiofsd: %s\n", line);
	return EXIT_USAGE;
}

static void print_capabilities(void)
{
	puts("{\n"
	     "  \"type\": \"fs\",\n"
	     "  \"features\": [\n"
	     "    \"posix-acl-negotiation-mode\",\n"
	     "    \"security-label-negotiation-mode\",\n"
	     "    \"separate-options\"\n"
	     "  ]\n"
	     "}");
}

static uint64_t nr_open(void)
{
	char buf[32] = "";
	FILE *f = fopen("/proc/sys/fs/nr_open", "re");
	uint64_t n = NOFILE_DEFAULT;

	if (f) {
		if (fgets(buf, sizeof(buf), f))
			buf[strcspn(buf, "\n")] = '\0';
		fclose(f);
	}
	return parse_u64(buf, NOFILE_DEFAULT, &n) == 0 ? n : NOFILE_DEFAULT;
}

/* Where there is one CPU only, nothing can come while we look for it. */
static unsigned int default_poll_us(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) == 1)
		return 0;
	return POLL_US_DEFAULT;
}

/* Room for the guest's open files. A default that is not allowed is no error. */
static int limit_nofile(const struct options *o)
{
	struct rlimit now, want;

	if (o->rlimit_nofile_set && !o->rlimit_nofile)
		return 0;
	if (getrlimit(RLIMIT_NOFILE, &now) < 0)
		return -errno;
	if (o->rlimit_nofile_set) {
		want.rlim_cur = want.rlim_max = o->rlimit_nofile;
		return setrlimit(RLIMIT_NOFILE, &want) < 0 ? -errno : 0;
	}
	want.rlim_cur = nr_open();
	want.rlim_max = MAX(now.rlim_max, want.rlim_cur);
	if (setrlimit(RLIMIT_NOFILE, &want) == 0)
		return 0;
	want.rlim_max = now.rlim_max;
	want.rlim_cur = MIN(now.rlim_max, want.rlim_cur);
	if (setrlimit(RLIMIT_NOFILE, &want) < 0)
		log_debug("RLIMIT_NOFILE stays: %s", strerror(errno));
	return 0;
}

static int check_dir(const char *dir)
{
	struct stat st;

	if (stat(dir, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int open_listener(const struct options *o, struct listener *l)
{
	gid_t group = LISTENER_NO_GROUP;
	int r;

	if (o->socket_group && listener_group(o->socket_group, &group) < 0)
		return usage("--socket-group '%.64s': no such group in /etc/group",
			     o->socket_group);
	if (o->socket_path)
		return listener_create(l, o->socket_path, group) < 0 ? EXIT_FAILURE : 0;
	r = listener_adopt(l, o->fd);
	if (r < 0)
		return usage("--fd %d: not a listening socket (%s)", o->fd, strerror(-r));
	return 0;
}

/* Why there are no file handles in the share. */
static const char *lack_of_handles(void)
{
	/* There is no such descriptor, but that is only looked at where there is the call. */
	syscall(SYS_name_to_handle_at, -1, "", NULL, NULL, 0);
	return errno == ENOSYS || errno == EPERM ? "name_to_handle_at(2) is missing or denied"
						 : "its file system has no file handles";
}

static const char *why(const struct options *o, int error)
{
	if (o->inode_file_handles != PT_HANDLES_MANDATORY)
		return strerror(-error);
	if (error == -EOPNOTSUPP)
		return lack_of_handles();
	if (error == -ENOSYS)
		return "open_by_handle_at(2) is missing";
	if (error == -EPERM)
		return "CAP_DAC_READ_SEARCH is missing";
	return strerror(-error);
}

/* Inside the sandbox. Returns the exit status. */
static int serve(const struct options *o, struct listener *l, const struct jail_conf *jail_conf,
		 struct jail *jail)
{
	struct pt_conf conf = {
		.root_fd = jail->root_fd,
		.proc_fd_fd = jail->proc_fd_fd,
		.in_proc = true,
		.cache = o->cache,
		.xattr = o->xattr,
		.xattrmap = o->xattrmap,
		.posix_acl = o->posix_acl,
		.security_label = o->security_label,
		.uids = o->translate_uid,
		.gids = o->translate_gid,
		.readonly = o->readonly,
		.announce_submounts = o->announce_submounts,
		.flock = o->flock,
		.posix_lock = o->posix_lock,
		.direct_io = o->allow_direct_io,
		.mmap = o->allow_mmap,
		.no_readdirplus = !o->readdirplus,
		.writeback = o->writeback,
		.noatime = o->preserve_noatime,
		.killpriv = o->killpriv_v2,
		.handles = o->inode_file_handles,
		.max_inodes = o->max_inodes,
		.max_handles = o->max_open_files,
		.pool_first = o->thread_pool_size > 0,
		.dax = o->dax,
	};
	struct pt *pt;
	int r = pt_new(&conf, &pt);

	if (r < 0) {
		log_err("--shared-dir '%s'%s: %s", o->shared_dir,
			o->inode_file_handles == PT_HANDLES_MANDATORY
				? ": --inode-file-handles=mandatory"
				: "",
			why(o, r));
		return EXIT_FAILURE;
	}
	if (pt_keeps_open(pt))
		log_info("--shared-dir '%s': %s: each file that the guest remembers stays open, "
			 "as many as the limit of open files allows",
			 o->shared_dir, lack_of_handles());
	close(jail->root_fd);
	close(jail->proc_fd_fd);
	r = jail_seal(jail_conf) < 0 ? EXIT_FAILURE : lifecycle_serve(o, l, pt);
	pt_free(pt);
	return r;
}

static struct jail_conf conf_of(const struct options *o)
{
	return (struct jail_conf){
		.kind = o->sandbox,
		.shared_dir = o->shared_dir,
		.readonly = o->readonly,
		.uids = o->uid_map.maps,
		.gids = o->gid_map.maps,
		.n_uids = o->uid_map.n,
		.n_gids = o->gid_map.n,
		.open_handles = o->inode_file_handles == PT_HANDLES_MANDATORY,
		.modcaps = o->modcaps,
		.seccomp = o->seccomp,
	};
}

static int run(const struct options *o)
{
	unsigned int level = o->log_level;
	struct jail_conf jail_conf = conf_of(o);
	struct listener listener = {.fd = -1};
	struct jail jail;
	int r;

	fd_close_others(o->fd);
	r = check_dir(o->shared_dir);
	if (r < 0)
		return usage("--shared-dir '%s': %s", o->shared_dir, strerror(-r));
	options_rust_log(getenv("RUST_LOG"), &level);
	log_init(level, o->syslog ? LOG_SINK_SYSLOG : LOG_SINK_STDERR);
	/* Modes are the guest's business, and those of our own files are given in full. */
	umask(0);
	lifecycle_block_signals();
	r = limit_nofile(o);
	if (r < 0)
		return usage("--rlimit-nofile %u: %s", o->rlimit_nofile, strerror(-r));
	r = open_listener(o, &listener);
	if (r)
		return r;
	jail_conf.service_fd = listener.fd;
	if (o->socket_path) {
		jail_conf.cleanup = listener_cleanup;
		jail_conf.cleanup_arg = &listener;
	}
	jail_enter(&jail_conf, &jail);
	if (jail.kept)
		listener_release(&listener);
	if (fchdir(jail.proc_fd_fd) < 0) {
		log_err("/proc/self/fd: %s", strerror(errno));
		listener_cleanup(&listener);
		return EXIT_FAILURE;
	}
	r = serve(o, &listener, &jail_conf, &jail);
	listener_cleanup(&listener);
	/* What was registered with atexit(3) outside has no business in here. */
	if (o->sandbox != JAIL_NONE)
		_exit(r);
	return r;
}

int main(int argc, char *argv[])
{
	struct options o;
	char err[256];
	int r;

	open_stdio();
	prctl(PR_SET_NAME, "virtiofsd");
	if (options_parse(&o, argc, argv, err, sizeof(err)) < 0) {
		r = usage("%s", err);
	} else if (o.action == OPTIONS_HELP) {
		options_help(stdout);
		r = 0;
	} else if (o.action == OPTIONS_VERSION) {
		puts("virtiofsd " CULVERT_VERSION);
		r = 0;
	} else if (o.action == OPTIONS_SHOW_JAIL) {
		const struct jail_conf conf = conf_of(&o);

		jail_show(&conf, stdout);
		r = 0;
	} else if (o.action == OPTIONS_CAPABILITIES) {
		print_capabilities();
		r = 0;
	} else {
		if (!o.poll_us_set)
			o.poll_us = default_poll_us();
		r = run(&o);
	}
	options_done(&o);
	return r;
}
