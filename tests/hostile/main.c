// SPDX-License-Identifier: Apache-2.0
/* Guests and front-ends that lie: every case in a daemon of its own, and again all in one. */
/*
 * Theory of operation
 *
 * Arguments: the daemon; split or packed; the sandbox: namespace, chroot, landlock or none, or one of these
 * behind "user-": as nobody; perhaps a pattern of names. All cases run one after the other in a single
 * daemon, whose descriptors and mappings are as many at the end as in the beginning (but as nobody in a
 * sandbox, where they are not to be seen). Then each case is a test
 * with a fresh daemon, which must serve afterwards on its queues and for a new front-end, and end well.
 *
 * What takes time is the daemons. So each case has its own only in the sandbox that is the default one, and
 * as nobody in none; in a sanitized daemon, in none; with ThreadSanitizer, nowhere. With a pattern, and with
 * CULVERT_CROSS in the environment (meson test --setup cross), it has one everywhere. A deed that is marked
 * fresh runs alone in any case.
 */
#include <fcntl.h>
#include <fnmatch.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "fz.h"
#include "hz.h"

#define TOGETHER_MAX 4096u

enum kind { ASK, CHAIN, MSG, DEED, TOGETHER };

struct hz_case {
	enum kind kind;
	const char *name;
	const void *row;
};

static struct hz_case cases[TOGETHER_MAX];
static struct CMUnitTest tests[TOGETHER_MAX + 1];
static unsigned int ncases, counts[4];
static const char *sandbox, *pattern;
static bool packed;

static bool wanted(const struct hz_case *c)
{
	const struct hz_chain *chain = c->row;
	const struct hz_deed *deed = c->row;

	if (pattern && fnmatch(pattern, c->name, 0))
		return false;
	if (c->kind == CHAIN && (packed ? chain->split_only : chain->packed_only))
		return false;
	return c->kind != DEED || !deed->root || geteuid() == 0;
}

static void add(enum kind kind, const char *name, const void *row)
{
	const struct hz_case c = {kind, name, row};

	if (!wanted(&c))
		return;
	cases[ncases++] = c;
	counts[kind]++;
}

static void run_row(struct hz *h, const struct hz_case *c)
{
	const struct hz_deed *deed = c->row;

	switch (c->kind) {
	case ASK:
		hz_ask_run(h, c->row);
		break;
	case CHAIN:
		hz_chain_run(h, c->row);
		break;
	case MSG:
		hz_msg_run(h, c->row);
		break;
	case DEED:
		deed->run(h);
		break;
	case TOGETHER:
		break;
	}
}

static void alone(void **state)
{
	struct fx *f = *state;
	const struct hz_case *c = (const void *)f->opts;
	const struct hz_deed *deed = c->kind == DEED ? c->row : NULL;
	struct hz h = {.f = f};

	hz_start(&h, sandbox, deed ? deed->args : NULL, deed ? deed->nofile : 0);
	run_row(&h, c);
	hz_probe(&h);
	hz_connect(&h, true);
	hz_probe(&h);
	hz_unharmed(&h);
	hz_stop(&h);
}

static void together(void **state)
{
	struct fx *f = *state;
	struct hz h = {.f = f};
	unsigned int fds = 0, maps = 0, ran = 0;
	bool seen;

	hz_start(&h, sandbox, NULL, 0);
	hz_connect(&h, true);
	/* Every queue's thread is up, then. */
	hz_probe(&h);
	seen = fx_seen(f);
	if (seen) {
		fds = fx_count_fds(f);
		maps = fx_count_maps(f, "");
	}
	for (unsigned int i = 0; i < ncases; i++) {
		const struct hz_deed *deed = cases[i].row;

		if (cases[i].kind == DEED && deed->fresh)
			continue;
		print_message("%s\n", cases[i].name);
		run_row(&h, &cases[i]);
		hz_probe(&h);
		ran++;
	}
	hz_connect(&h, true);
	hz_probe(&h);
	hz_unharmed(&h);
	if (seen) {
		assert_true(fx_fds_flat(fds, fx_count_fds(f)));
		/* Threads that were started have stacks, and heaps that outlive them. */
		assert_in_range(fx_count_maps(f, ""), 1, maps + 64);
	}
	print_message("%u cases in one daemon\n", ran);
	hz_stop(&h);
}

/* cmocka passes the case in where the options of a test stand otherwise. */
static int setup(void **state)
{
	static struct fx_opts none = {.no_start = true};
	void *row = *state;
	int r;

	*state = &none;
	r = fx_setup(state);
	((struct fx *)*state)->opts = row ? row : &none;
	return r;
}

static int teardown(void **state)
{
	static struct fx_opts none = {.no_start = true};
	struct fx *f = *state;

	if (!f->pid)
		f->opts = &none;
	f->dirty = true;
	return fx_teardown(state);
}

/* A copy of the daemon that nobody may run, too, wherever it was built. */
static const char *copy_daemon(const char *path)
{
	static char dir[] = "/tmp/culvert-hostile-XXXXXX", copy[64];
	scoped_fd int from = open(path, O_RDONLY | O_CLOEXEC), to = -1;

	if (from < 0 || !mkdtemp(dir) || chmod(dir, 0755) < 0)
		return NULL;
	snprintf(copy, sizeof(copy), "%s/virtiofsd", dir);
	to = open(copy, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	while (to >= 0) {
		ssize_t n = sendfile(to, from, NULL, 1 << 24);

		if (n <= 0)
			return n == 0 ? copy : NULL;
	}
	return NULL;
}

static void remove_copy(const char *copy)
{
	char dir[64];

	unlink(copy);
	snprintf(dir, sizeof(dir), "%s", copy);
	*strrchr(dir, '/') = '\0';
	rmdir(dir);
}

static int as_nobody(int argc, char **argv)
{
	const char *copy = copy_daemon(argv[1]);
	pid_t pid;
	int status;

	if (!copy)
		return 1;
	pid = fork();
	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0)
			_exit(1);
		argv[1] = (char *)(uintptr_t)copy;
		execv("/proc/self/exe", argv);
		_exit(1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return 1;
	(void)argc;
	remove_copy(copy);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* Whether this host lets a daemon have the sandbox @mode; not asked of what is root's. */
static bool possible(const char *mode)
{
	int status;
	pid_t pid;

	if (strstr(mode, "landlock"))
		return syscall(SYS_landlock_create_ruleset, NULL, 0,
			       LANDLOCK_CREATE_RULESET_VERSION) >= 2;
	if (strcmp(mode, "user-namespace"))
		return true;
	pid = fork();
	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) < 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* Whether each case has a daemon of its own. */
static bool each_alone(const char *mode)
{
	if (pattern || getenv("CULVERT_CROSS"))
		return true;
	if (fx_sanitized())
		return !fx_tsan() && strcmp(mode, "none") == 0;
	return strcmp(mode, "namespace") == 0 || strcmp(mode, "user-none") == 0;
}

int main(int argc, char **argv)
{
	static char sandbox_arg[32];
	const struct hz_ask *names;
	unsigned int n = 0, nnames;
	char *args[] = {argv[0], argv[1], argv[2], NULL};
	bool user, each;

	if (argc < 4) {
		fprintf(stderr, "usage: %s DAEMON split|packed [user-]SANDBOX [PATTERN]\n",
			argv[0]);
		return 2;
	}
	user = strncmp(argv[3], "user-", 5) == 0;
	if (user && geteuid() == 0)
		return as_nobody(argc, argv);
	if (!user && geteuid() != 0) {
		printf("%s needs root\n", argv[3]);
		return 77;
	}
	if (!possible(argv[3])) {
		printf("%s: not on this host\n", argv[3]);
		return 77;
	}
	snprintf(sandbox_arg, sizeof(sandbox_arg), "--sandbox=%s", argv[3] + (user ? 5 : 0));
	sandbox = sandbox_arg;
	pattern = argc > 4 ? argv[4] : NULL;
	packed = strcmp(argv[2], "packed") == 0;
	names = hz_names(&nnames);
	for (unsigned int i = 0; i < hz_nasks; i++)
		add(ASK, hz_asks[i].name, &hz_asks[i]);
	for (unsigned int i = 0; i < nnames; i++)
		add(ASK, names[i].name, &names[i]);
	for (unsigned int i = 0; i < hz_nchains; i++)
		add(CHAIN, hz_chains[i].name, &hz_chains[i]);
	for (unsigned int i = 0; i < hz_ndeeds; i++)
		add(DEED, hz_deeds[i].name, &hz_deeds[i]);
	for (unsigned int i = 0; i < hz_nmsgs; i++)
		add(MSG, hz_msgs[i].name, &hz_msgs[i]);
	each = each_alone(argv[3]);
	tests[n++] = (struct CMUnitTest){"all in one daemon", together, setup, teardown, NULL};
	for (unsigned int i = 0; i < ncases; i++) {
		const struct hz_deed *deed = cases[i].row;

		/* What needs a daemon of its own has one everywhere. */
		if (!each && !(cases[i].kind == DEED && deed->fresh))
			continue;
		tests[n++] = (struct CMUnitTest){cases[i].name, alone, setup, teardown, &cases[i]};
	}
	printf("%u guest cases, %u front-end cases: %s, %s\n",
	       counts[ASK] + counts[CHAIN] + counts[DEED], counts[MSG], argv[2], argv[3]);
	return fx_main(3, args, "hostile", tests, n);
}
