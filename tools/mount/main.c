// SPDX-License-Identifier: Apache-2.0
/* virtiofs-mount: mount what a vhost-user-fs daemon shares, without a virtual machine. */
/*
 * Theory of operation
 *
 * The main thread connects, mounts, starts the bridge's workers (bridge.c) and then waits for signals and
 * for the bridge to come down. Unless it is to stay in the foreground, all that happens in a child, and
 * the parent waits for a byte that says that the mount works; what goes wrong before is said on stderr,
 * what goes wrong later goes to the system log.
 *
 * The mount ends in two ways. The kernel takes it away (umount(8), or a signal that makes us ask for it):
 * exit status 0. The daemon goes, or breaks the rules: the mount is detached, what waits for an answer
 * gets an error when our descriptors close, and the exit status is 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "bridge.h"
#include "fd.h"
#include "fusedev.h"
#include "log.h"
#include "parse.h"

/**
 * struct options - what was asked for.
 * @socket, @dir: borrowed from argv; @path is the absolute form of @dir, owned.
 * @opts: mount options, apart by commas; owned.
 */
struct options {
	const char *socket;
	const char *dir;
	char *path;
	char *opts;
	const char *tag;
	unsigned int queues;
	bool foreground;
	bool packed;
	bool debug;
};

static void usage(void)
{
	fputs("usage: virtiofs-mount [OPTION]... SOCKET DIR\n"
	      "Mount on DIR what the vhost-user-fs daemon that listens at SOCKET shares.\n\n"
	      "  -f, --foreground   stay in the foreground\n"
	      "  -o OPTIONS         mount options: ro, nosuid, nodev, noexec, max_read=N…\n"
	      "  -q, --queues N     request queues, a thread for each (1)\n"
	      "  -t, --tag TAG      fail unless the daemon's tag is TAG\n"
	      "      --packed       packed virtqueues\n"
	      "  -d, --debug        log details; stay in the foreground\n"
	      "  -h, --help         this text\n"
	      "  -V, --version      the version\n\n"
	      "umount DIR, or a signal, ends it.\n",
	      stdout);
}

static void add_opts(struct options *o, const char *more)
{
	char *all;

	if (asprintf(&all, "%s%s%s", o->opts ? o->opts : "", o->opts && *o->opts ? "," : "", more) <
	    0)
		exit(EXIT_FAILURE);
	free(o->opts);
	o->opts = all;
}

static void parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"foreground", no_argument, NULL, 'f'}, {"queues", required_argument, NULL, 'q'},
		{"tag", required_argument, NULL, 't'},  {"packed", no_argument, NULL, 'p'},
		{"debug", no_argument, NULL, 'd'},      {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},    {0},
	};
	uint64_t value;
	int c;

	while ((c = getopt_long(argc, argv, "fo:q:t:dhV", longs, NULL)) != -1) {
		switch (c) {
		case 'f':
			o->foreground = true;
			break;
		case 'o':
			add_opts(o, optarg);
			break;
		case 'q':
			if (parse_u64(optarg, BRIDGE_WORKERS_MAX, &value) || !value) {
				fprintf(stderr, "virtiofs-mount: --queues %s: not 1 to %u\n",
					optarg, BRIDGE_WORKERS_MAX);
				exit(EXIT_FAILURE);
			}
			o->queues = (unsigned int)value;
			break;
		case 't':
			o->tag = optarg;
			break;
		case 'p':
			o->packed = true;
			break;
		case 'd':
			o->debug = o->foreground = true;
			break;
		case 'h':
			usage();
			exit(EXIT_SUCCESS);
		case 'V':
			puts("virtiofs-mount " CULVERT_VERSION);
			exit(EXIT_SUCCESS);
		default: /* getopt_long() has said why */
			exit(EXIT_FAILURE);
		}
	}
	if (argc - optind != 2) {
		fputs("virtiofs-mount: it takes a socket and a directory; --help tells more\n",
		      stderr);
		exit(EXIT_FAILURE);
	}
	o->socket = argv[optind];
	o->dir = argv[optind + 1];
	if (!o->opts)
		add_opts(o, "");
}

/* Say why it does not start. */
static int complain(const char *what, int err)
{
	fprintf(stderr, "virtiofs-mount: %s: %s\n", what, strerror(-err));
	return err;
}

static int check_tag(struct vuf *v, const char *tag)
{
	char got[VUF_TAG_MAX + 1] = "";
	int r = vuf_get_config(v, 0, VUF_TAG_MAX, got);

	if (r < 0)
		return complain("asking for the tag", r);
	if (strcmp(got, tag)) {
		fprintf(stderr, "virtiofs-mount: the daemon's tag is \"%s\", not \"%s\"\n", got,
			tag);
		return -EINVAL;
	}
	return 0;
}

static int connect_daemon(const struct options *o, struct vuf **ret)
{
	struct vuf_conf conf = bridge_vuf_conf(o->queues, o->packed);
	struct vuf *v;
	int sock = vuf_connect(o->socket);
	int r;

	if (sock < 0)
		return complain(o->socket, sock);
	r = vuf_new(&conf, &v);
	if (r < 0) {
		fd_close(&sock);
		return complain("guest memory", r);
	}
	vuf_attach(v, sock);
	r = vuf_bring_up(v);
	if (r == -ENOTSUP)
		fprintf(stderr,
			"virtiofs-mount: %s: the daemon lacks a feature, or has fewer than %u "
			"queues\n",
			o->socket, o->queues + 1);
	else if (r < 0)
		complain(o->socket, r);
	if (r >= 0 && o->tag)
		r = check_tag(v, o->tag);
	if (r < 0) {
		vuf_free(v);
		return r;
	}
	*ret = v;
	return 0;
}

/* Mount, agree on the protocol, start. */
static int bring_up(struct options *o, struct bridge *b)
{
	scoped_fd int fd = -1;
	int r;

	o->path = realpath(o->dir, NULL);
	if (!o->path)
		return complain(o->dir, -errno);
	r = fusedev_mount(o->tag ? o->tag : o->socket, o->path, o->opts, &fd);
	if (r < 0)
		return r == -EPROTO ? r : complain(o->dir, r); /* fusermount3 has said why */
	r = bridge_init(b, fd);
	if (r < 0)
		complain("the daemon does not start a FUSE session", r);
	else if ((r = bridge_start(b, fd_steal(&fd))) < 0)
		complain("starting threads", r);
	if (r < 0)
		fusedev_unmount(o->path, true);
	return r;
}

static void block_signals(int *ret_fd)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* A signal asks for the end of the mount; a second one does not wait for its users. */
static bool on_signal(const struct options *o, int sigfd, unsigned int *signals)
{
	struct signalfd_siginfo si;
	int r;

	if (read(sigfd, &si, sizeof(si)) != sizeof(si))
		return true;
	if ((*signals)++)
		return false;
	r = fusedev_unmount(o->path, false);
	if (r == -EBUSY) {
		log_warn("%s is in use: detached, it ends with its last user", o->path);
		r = fusedev_unmount(o->path, true);
	}
	if (r < 0)
		log_err("%s: unmounting: %s", o->path, strerror(-r));
	return r >= 0;
}

/* Until the bridge comes down. The exit status. */
static int serve(const struct options *o, struct bridge *b, int sigfd)
{
	struct pollfd p[] = {
		{.fd = b->end_fd, .events = POLLIN},
		{.fd = sigfd, .events = POLLIN},
	};
	unsigned int signals = 0;

	while (atomic_load(&b->end) == BRIDGE_RUNS) {
		if (poll(p, 2, -1) < 0 || p[0].revents || !p[1].revents)
			continue;
		if (!on_signal(o, sigfd, &signals)) {
			fusedev_unmount(o->path, true);
			log_warn("%s: ended while in use", o->path);
			return EXIT_FAILURE;
		}
	}
	if (atomic_load(&b->end) == BRIDGE_UNMOUNTED)
		return EXIT_SUCCESS;
	fusedev_unmount(o->path, true);
	log_err("%s: the daemon %s: unmounted", o->path,
		atomic_load(&b->end) == BRIDGE_HUNG_UP ? "hung up" : "broke a queue");
	return EXIT_FAILURE;
}

/* Let go of the terminal, and tell the parent that the mount works. */
static void detach(int ready_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (chdir("/") < 0)
		log_debug("chdir: %s", strerror(errno));
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	fd_close(&null);
	(void)!write(ready_fd, "", 1);
}

static int run(struct options *o, int ready_fd)
{
	struct bridge *b = NULL;
	struct vuf *v = NULL;
	int status = EXIT_FAILURE;
	scoped_fd int sigfd = -1;
	int r;

	log_init(o->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
		 o->foreground ? LOG_SINK_STDERR : LOG_SINK_SYSLOG);
	block_signals(&sigfd);
	r = connect_daemon(o, &v);
	if (r >= 0 && (r = bridge_new(v, &b)) < 0)
		complain("buffers", r);
	if (r >= 0)
		r = bring_up(o, b);
	if (r >= 0) {
		if (ready_fd >= 0)
			detach(ready_fd);
		status = serve(o, b, sigfd);
	}
	bridge_free(b);
	for (unsigned int i = 0; r >= 0 && status == EXIT_SUCCESS && i < v->nrings; i++)
		vuf_ring_stop(v, i, NULL);
	vuf_free(v);
	return status;
}

/* Run in a child; the parent ends when the mount works or has failed. */
static int run_detached(struct options *o)
{
	int pipe_fd[2];
	char byte;
	pid_t pid;
	ssize_t n;

	if (pipe2(pipe_fd, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		complain("starting a process", -errno);
		return EXIT_FAILURE;
	}
	if (!pid) {
		fd_close(&pipe_fd[0]);
		return run(o, pipe_fd[1]);
	}
	fd_close(&pipe_fd[1]);
	while ((n = read(pipe_fd[0], &byte, 1)) < 0 && errno == EINTR)
		;
	fd_close(&pipe_fd[0]);
	return n == 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct options o = {.queues = 1};
	int status;

	parse_options(argc, argv, &o);
	status = o.foreground ? run(&o, -1) : run_detached(&o);
	free(o.path);
	free(o.opts);
	return status;
}
