// SPDX-License-Identifier: Apache-2.0
/* Ways out of the sandbox, tried from within: all must fail there, and work without it. */
/*
 * Theory of operation
 *
 * usage: escape [CONFIG...]
 *
 * An attempt is a function that does one thing a daemon that was taken over might do. Each is run in a
 * process of its own: without a sandbox, where it has to succeed (or it would show nothing), and then
 * in each configuration that has to prevent it. It runs as the service would: after jail_enter() and
 * jail_seal(), with the descriptors that the service has. Being killed by the filter is a failure, too.
 *
 * What is outside and to be got at is made once: a secret file, sockets, a process that waits, a shared
 * memory segment. All in mount, uts and ipc namespaces of the test's own, which play the host.
 *
 * As a plain user some attempts fail without a sandbox: those are counted and left out.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "jail.h"
#include "log.h"
#include "util.h"

#define REFUSED 40 /* exit status of an attempt that failed */
#define BROKEN  41 /* of a test that could not be run */

/* The host, and what the service has of it. */
static struct {
	char dir[64];
	char share[80];
	char secret[96];
	char sock[96];
	char abstract[64];
	struct sockaddr_in tcp;
	pid_t victim;
	char *victim_word; /* at the same place in the victim */
	int shm;
	int inherited; /* a directory of the host that a launcher left open */
	union {
		struct file_handle head;
		char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} handle;
} host;

static struct jail jail;

static int result(long r)
{
	return r < 0 ? -errno : 0;
}

static int read_at(int dirfd, const char *path)
{
	char c;
	scoped_fd int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : result(read(fd, &c, 1));
}

/* ---- paths ---- */

static int host_path(void)
{
	return read_at(AT_FDCWD, "/etc/passwd");
}

static int secret_path(void)
{
	return read_at(AT_FDCWD, host.secret);
}

static int dotdot(void)
{
	return read_at(jail.root_fd, "../outside/secret");
}

static int absolute_link(void)
{
	unlinkat(jail.root_fd, "link", 0);
	if (symlinkat("/etc/passwd", jail.root_fd, "link") < 0)
		return -errno;
	return read_at(jail.root_fd, "link");
}

static int upward_link(void)
{
	unlinkat(jail.root_fd, "up", 0);
	if (symlinkat("../outside/secret", jail.root_fd, "up") < 0)
		return -errno;
	return read_at(jail.root_fd, "up");
}

static int pull_in(void)
{
	return result(
		syscall(SYS_renameat2, jail.root_fd, "../outside/movable", jail.root_fd, "in", 0));
}

static int make_outside(void)
{
	return result(mkdirat(jail.root_fd, "../outside/made", 0700));
}

static int inherited(void)
{
	return read_at(host.inherited, "outside/secret");
}

/* ---- /proc ---- */

static int proc_root(void)
{
	return read_at(jail.proc_fd_fd, "../root/etc/passwd");
}

static int proc_mem(void)
{
	scoped_fd int fd = openat(jail.proc_fd_fd, "../mem", O_RDWR | O_CLOEXEC);

	return result(fd);
}

static int proc_others(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)host.victim);
	return read_at(AT_FDCWD, path);
}

static int proc_others_up(void)
{
	char path[64];

	snprintf(path, sizeof(path), "../../%d/status", (int)host.victim);
	return read_at(jail.proc_fd_fd, path);
}

static int proc_look(void)
{
	struct statx stx;

	return result(syscall(SYS_statx, jail.proc_fd_fd, "../status", 0, STATX_MODE, &stx));
}

/* ---- mounts and namespaces ---- */

static int mounting(void)
{
	if (fchdir(jail.root_fd) < 0)
		return -errno;
	return result(mount("none", "sub", "tmpfs", 0, NULL));
}

static int open_tree_clone(void)
{
	scoped_fd int fd = (int)syscall(SYS_open_tree, jail.root_fd, "",
					OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	return result(fd);
}

static int writable_again(void)
{
	return result(mount(NULL, host.dir, NULL, MS_REMOUNT | MS_BIND, NULL));
}

static int change_root(void)
{
	if (fchdir(jail.root_fd) < 0)
		return -errno;
	return result(chroot("sub"));
}

static int new_user_ns(void)
{
	return result(unshare(CLONE_NEWUSER));
}

static int new_mount_ns(void)
{
	return result(unshare(CLONE_NEWNS));
}

static int join_ns(void)
{
	char path[64];
	scoped_fd int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/ns/ipc", (int)host.victim);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : result(setns(fd, 0));
}

static int host_name(void)
{
	return result(sethostname("taken", 5));
}

/* ---- other processes ---- */

static int trace(void)
{
	return result(ptrace(PTRACE_ATTACH, host.victim, NULL, NULL));
}

static int read_memory(void)
{
	char buf[8];
	struct iovec mine = {buf, sizeof(buf)}, theirs = {host.victim_word, sizeof(buf)};

	return result(process_vm_readv(host.victim, &mine, 1, &theirs, 1, 0));
}

static int send_signal(void)
{
	return result(syscall(SYS_kill, host.victim, SIGCONT));
}

static int thread_signal(void)
{
	return result(syscall(SYS_tgkill, host.victim, host.victim, SIGCONT));
}

static int process_descriptor(void)
{
	scoped_fd int fd = (int)syscall(SYS_pidfd_open, host.victim, 0);

	return result(fd);
}

static int shared_memory(void)
{
	void *at = shmat(host.shm, NULL, 0);

	return at == (void *)-1 ? -errno : 0;
}

/* ---- sockets ---- */

static int connect_to(int family, const void *addr, socklen_t len)
{
	scoped_fd int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : result(connect(fd, addr, len));
}

static int unix_socket(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", host.sock);
	return connect_to(AF_UNIX, &addr, sizeof(addr));
}

static int abstract_socket(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strlen(host.abstract);

	memcpy(addr.sun_path + 1, host.abstract, len);
	return connect_to(AF_UNIX, &addr,
			  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len));
}

static int tcp_socket(void)
{
	return connect_to(AF_INET, &host.tcp, sizeof(host.tcp));
}

static int netlink_socket(void)
{
	scoped_fd int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);

	return result(fd);
}

/* ---- devices and inodes ---- */

static int make_device(void)
{
	unlinkat(jail.root_fd, "made", 0);
	return result(mknodat(jail.root_fd, "made", S_IFCHR | 0666, makedev(1, 3)));
}

static int open_device(void)
{
	return read_at(jail.root_fd, "zero");
}

static int foreign_inode(void)
{
	scoped_fd int mount_fd = openat(jail.root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	scoped_fd int fd = -1;

	if (mount_fd < 0)
		return -errno;
	fd = open_by_handle_at(mount_fd, &host.handle.head, O_RDONLY | O_CLOEXEC);
	return result(fd);
}

/* ---- code ---- */

static int execute(void)
{
	scoped_fd int fd = openat(jail.root_fd, "true", O_PATH | O_CLOEXEC);
	char *argv[] = {(char[]){"true"}, NULL};

	if (fd < 0)
		return -errno;
	syscall(SYS_execveat, fd, "", argv, argv + 1, AT_EMPTY_PATH);
	return -errno;
}

static int execute_memory(void)
{
	scoped_fd int from = openat(jail.root_fd, "true", O_RDONLY | O_CLOEXEC);
	scoped_fd int fd = memfd_create("x", MFD_CLOEXEC);
	char *argv[] = {(char[]){"true"}, NULL};
	char buf[4096];
	ssize_t n;

	if (from < 0 || fd < 0)
		return -errno;
	while ((n = read(from, buf, sizeof(buf))) > 0)
		if (write(fd, buf, (size_t)n) != n)
			return -EIO;
	syscall(SYS_execveat, fd, "", argv, argv + 1, AT_EMPTY_PATH);
	return -errno;
}

static int map_file_code(void)
{
	scoped_fd int fd = openat(jail.root_fd, "true", O_RDONLY | O_CLOEXEC);
	void *at;

	if (fd < 0)
		return -errno;
	at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	return at == MAP_FAILED ? -errno : 0;
}

static int map_code(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);

	return at == MAP_FAILED ? -errno : 0;
}

static int turn_to_code(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return -errno;
	return result(mprotect(at, 4096, PROT_READ | PROT_EXEC));
}

static int new_process(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int more_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	data[0].effective = data[0].permitted = 1u << CAP_SYS_ADMIN;
	return result(syscall(SYS_capset, &head, data));
}

static int dumpable(void)
{
	return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int device_control(void)
{
	int flags = 0;

	return result(syscall(SYS_ioctl, STDOUT_FILENO, 0x5451 /* FIOCLEX */, &flags));
}

static int uring(void)
{
	char params[256] = {0};
	scoped_fd int fd = (int)syscall(SYS_io_uring_setup, 1, params);

	return result(fd);
}

static int send_elsewhere(void)
{
	return result(fcntl(STDOUT_FILENO, F_SETOWN, host.victim));
}

/* ---- configurations ---- */

enum {
	NS = 1 << 0,      /* namespace, filter */
	NS_BARE = 1 << 1, /* namespace, no filter: the other stages alone */
	ROOT = 1 << 2,    /* chroot, filter */
	ROOT_BARE = 1 << 3,
	LOCK = 1 << 4, /* landlock, filter */
	LOCK_BARE = 1 << 5,
	NONE = 1 << 6, /* none, filter */
	FILTER = NS | ROOT | LOCK | NONE,
	BARE = NS_BARE | ROOT_BARE | LOCK_BARE,
	JAILS = FILTER | BARE,
	PATHS = JAILS & ~NONE,
};

static const struct config {
	const char *name;
	enum jail_kind kind;
	enum seccomp_action seccomp;
	unsigned int bit;
} configs[] = {
	{"namespace", JAIL_NAMESPACE, SECCOMP_KILL, NS},
	{"namespace-bare", JAIL_NAMESPACE, SECCOMP_NONE, NS_BARE},
	{"chroot", JAIL_CHROOT, SECCOMP_KILL, ROOT},
	{"chroot-bare", JAIL_CHROOT, SECCOMP_NONE, ROOT_BARE},
	{"landlock", JAIL_LANDLOCK, SECCOMP_KILL, LOCK},
	{"landlock-bare", JAIL_LANDLOCK, SECCOMP_NONE, LOCK_BARE},
	{"none", JAIL_NONE, SECCOMP_KILL, NONE},
};

#define ATTEMPT(fn, prevented_by)       \
	{                               \
#fn, fn, (prevented_by) \
	}

static const struct attempt {
	const char *name;
	int (*run)(void);
	unsigned int prevented; /* configurations in which it must fail */
} attempts[] = {
	ATTEMPT(host_path, PATHS),
	ATTEMPT(secret_path, PATHS),
	ATTEMPT(dotdot, PATHS),
	ATTEMPT(absolute_link, PATHS),
	ATTEMPT(upward_link, PATHS),
	ATTEMPT(pull_in, PATHS),
	ATTEMPT(make_outside, PATHS),
	ATTEMPT(inherited, JAILS),
	ATTEMPT(proc_root, PATHS),
	ATTEMPT(proc_mem, PATHS),
	ATTEMPT(proc_others, PATHS),
	ATTEMPT(proc_others_up, PATHS),
	ATTEMPT(proc_look, JAILS), /* as root, in each: the descriptor is detached */
	ATTEMPT(mounting, JAILS),
	ATTEMPT(open_tree_clone, JAILS),
	ATTEMPT(writable_again, JAILS),
	ATTEMPT(change_root, JAILS),
	ATTEMPT(new_user_ns, FILTER),
	ATTEMPT(new_mount_ns, JAILS),
	ATTEMPT(join_ns, JAILS),
	ATTEMPT(host_name, JAILS),
	ATTEMPT(trace, JAILS),
	ATTEMPT(read_memory, JAILS),
	ATTEMPT(send_signal, FILTER | NS_BARE),
	ATTEMPT(thread_signal, FILTER | NS_BARE),
	ATTEMPT(process_descriptor, FILTER | NS_BARE),
	ATTEMPT(shared_memory, FILTER | NS_BARE),
	ATTEMPT(unix_socket, FILTER | NS_BARE | ROOT_BARE),
	ATTEMPT(abstract_socket, FILTER | NS_BARE),
	ATTEMPT(tcp_socket, FILTER | NS_BARE),
	ATTEMPT(netlink_socket, FILTER),
	ATTEMPT(make_device, NS | NS_BARE | ROOT | ROOT_BARE | LOCK | LOCK_BARE),
	ATTEMPT(open_device, NS | NS_BARE),
	ATTEMPT(foreign_inode, NS | NS_BARE | ROOT | ROOT_BARE | LOCK | LOCK_BARE),
	ATTEMPT(execute, FILTER | NS_BARE | LOCK_BARE),
	ATTEMPT(execute_memory, FILTER),
	ATTEMPT(map_file_code, FILTER | NS_BARE),
	ATTEMPT(map_code, FILTER),
	ATTEMPT(turn_to_code, FILTER),
	ATTEMPT(new_process, FILTER),
	ATTEMPT(more_capabilities, NS | NS_BARE | ROOT | ROOT_BARE | LOCK | LOCK_BARE),
	ATTEMPT(dumpable, FILTER),
	ATTEMPT(device_control, FILTER),
	ATTEMPT(uring, FILTER),
	ATTEMPT(send_elsewhere, FILTER),
};

/* No way out, but what has to work in each: the C library finds memory, gives it back, and finds it again. */
static int memory(void)
{
	enum { PIECES = 200, SIZE = 100000 };
	static char *piece[PIECES];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < PIECES; i++) {
			piece[i] = malloc(SIZE);
			if (!piece[i])
				return -1;
			memset(piece[i], i, SIZE);
		}
		for (int i = 0; i < PIECES; i++)
			if (piece[i][0] != (char)i || piece[i][SIZE - 1] != (char)i)
				return -1;
		/* From the end, so that the heap shrinks. */
		for (int i = PIECES; i-- > 0;)
			free(piece[i]);
	}
	return 0;
}

static const struct attempt needed = {"memory", memory, 0};

/* In a child: its exit status says how it went. */
static void try(const struct attempt *a, const struct config *c)
{
	struct jail_conf conf = {.shared_dir = host.share, .service_fd = -1};
	int r;

	/* Whatever goes wrong, do not stay. */
	alarm(20);
	if (c) {
		conf.kind = c->kind;
		conf.seccomp = c->seccomp;
		fd_close_others(-1);
		jail_enter(&conf, &jail);
		if (jail_seal(&conf) < 0)
			_exit(BROKEN);
	} else {
		jail.root_fd = open(host.share, O_PATH | O_DIRECTORY | O_CLOEXEC);
		jail.proc_fd_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	r = a->run();
	_exit(r < 0 ? REFUSED : 0);
}

/* 0 = it got out, 1 = it did not, -1 = the test is broken. */
static int outcome(const struct attempt *a, const struct config *c)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		try(a, c);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if ((WIFEXITED(status) &&
	     (WEXITSTATUS(status) == REFUSED || WEXITSTATUS(status) == 128 + SIGSYS)) ||
	    (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS))
		return 1;
	printf("status %#x\n", status);
	return -1;
}

/* ---- the host ---- */

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	printf("escape: cannot make %s: %s\n", what, strerror(errno));
	exit(1);
}

static void put(const char *path, const char *text)
{
	scoped_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	must(fd >= 0 && write(fd, text, strlen(text)) > 0, path);
}

static const char *in(const char *name)
{
	static char path[8][128];
	static unsigned int i;

	snprintf(path[++i % 8], sizeof(path[0]), "%s/%s", host.dir, name);
	return path[i % 8];
}

static void copy_program(void)
{
	scoped_fd int from = open("/bin/true", O_RDONLY | O_CLOEXEC);
	scoped_fd int to = open(in("share/true"), O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	char buf[4096];
	ssize_t n;

	must(from >= 0 && to >= 0, "a program");
	while ((n = read(from, buf, sizeof(buf))) > 0)
		must(write(to, buf, (size_t)n) == n, "a program");
}

static int listener(int family, const void *addr, socklen_t len)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0 && bind(fd, addr, len) == 0 && listen(fd, 64) == 0, "a socket");
	return fd;
}

static void make_sockets(void)
{
	struct sockaddr_un path = {.sun_family = AF_UNIX}, name = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(host.tcp);
	int fd;

	snprintf(host.sock, sizeof(host.sock), "%s", in("outside/sock"));
	snprintf(path.sun_path, sizeof(path.sun_path), "%s", host.sock);
	listener(AF_UNIX, &path, sizeof(path));
	snprintf(host.abstract, sizeof(host.abstract), "culvert-escape-%d", (int)getpid());
	memcpy(name.sun_path + 1, host.abstract, strlen(host.abstract));
	listener(AF_UNIX, &name,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(host.abstract)));
	host.tcp = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	fd = listener(AF_INET, &host.tcp, sizeof(host.tcp));
	must(getsockname(fd, (struct sockaddr *)&host.tcp, &len) == 0, "a socket");
}

static void make_host(void)
{
	int mount_id;

	snprintf(host.dir, sizeof(host.dir), "/tmp/escape-%d", (int)getpid());
	must(mkdir(host.dir, 0755) == 0, host.dir);
	must(mkdir(in("share"), 0777) == 0 && mkdir(in("share/sub"), 0777) == 0, "the share");
	must(mkdir(in("outside"), 0777) == 0, "the outside");
	snprintf(host.share, sizeof(host.share), "%s", in("share"));
	snprintf(host.secret, sizeof(host.secret), "%s", in("outside/secret"));
	put(host.secret, "secret");
	put(in("outside/movable"), "movable");
	copy_program();
	if (geteuid() == 0) {
		must(mknod(in("share/zero"), S_IFCHR | 0666, makedev(1, 5)) == 0, "a device");
		/* A mount of its own, so that there is something to remount. */
		must(mount(host.dir, host.dir, NULL, MS_BIND, NULL) == 0, "a mount");
	}
	make_sockets();
	host.handle.head.handle_bytes = MAX_HANDLE_SZ;
	must(name_to_handle_at(AT_FDCWD, host.secret, &host.handle.head, &mount_id, 0) == 0,
	     "a handle");
	host.shm = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
	must(host.shm >= 0, "shared memory");
	host.inherited = open(host.dir, O_PATH | O_DIRECTORY);
	host.victim_word = strdup("a word of the victim's");
	host.victim = fork();
	if (host.victim == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
}

static void unmake_host(void)
{
	static const char *const files[] = {"share/true",     "share/zero",      "share/link",
					    "share/up",       "share/made",      "share/in",
					    "outside/secret", "outside/movable", "outside/sock"};
	static const char *const dirs[] = {"share/sub", "share", "outside/made", "outside", ""};

	kill(host.victim, SIGKILL);
	waitpid(host.victim, NULL, 0);
	shmctl(host.shm, IPC_RMID, NULL);
	umount2(in("share/sub"), MNT_DETACH);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		unlink(in(files[i]));
	umount2(host.dir, MNT_DETACH);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		unlink(in(files[i]));
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		rmdir(in(dirs[i]));
}

/* What an attempt may have left, or left changed. */
static void tidy(void)
{
	umount2(in("share/sub"), MNT_DETACH);
	rename(in("share/in"), in("outside/movable"));
	rmdir(in("outside/made"));
	kill(host.victim, SIGCONT);
}

static bool wanted(const struct config *c, int argc, char **argv)
{
#ifdef __SANITIZE_ADDRESS__
	/* The filter only logs then. */
	if (c->seccomp != SECCOMP_NONE)
		return false;
#endif
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], c->name) == 0)
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	unsigned int failed = 0, prevented = 0, left_out = 0;
	const bool root = geteuid() == 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (root && (unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC) < 0 ||
		     mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)) {
		printf("skipped: no namespaces here: %s\n", strerror(errno));
		return 77;
	}
	umask(0);
	log_init(LOG_LEVEL_OFF, LOG_SINK_STDERR);
	make_host();
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		const struct attempt *a = &attempts[i];
		int r = outcome(a, NULL);

		tidy();
		if (r != 0) {
			left_out++;
			if (root) {
				printf("FAIL: %s: does not work without a sandbox\n", a->name);
				failed++;
			}
			continue;
		}
		for (size_t k = 0; k < ARRAY_SIZE(configs); k++) {
			const struct config *c = &configs[k];

			/* A plain user cannot chroot, and without privileges nothing is detached. */
			if (!wanted(c, argc, argv) || !(a->prevented & c->bit) ||
			    (!root && (c->kind == JAIL_CHROOT ||
				       (a->run == proc_look && c->kind != JAIL_NAMESPACE))))
				continue;
			r = outcome(a, c);
			tidy();
			if (r == 1) {
				prevented++;
				continue;
			}
			printf("FAIL: %s: %s\n", c->name,
			       r == 0 ? a->name : "the attempt could not be made");
			if (r < 0)
				printf("      %s\n", a->name);
			failed++;
		}
	}
	for (size_t k = 0; k < ARRAY_SIZE(configs); k++) {
		const struct config *c = &configs[k];

		if (!wanted(c, argc, argv) || (!root && c->kind == JAIL_CHROOT) ||
		    outcome(&needed, c) == 0)
			continue;
		printf("FAIL: %s: %s does not work\n", c->name, needed.name);
		failed++;
	}
	unmake_host();
	printf("%u prevented, %u got out, %u left out\n", prevented, failed, left_out);
	return failed != 0 || prevented == 0;
}
