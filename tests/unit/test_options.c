// SPDX-License-Identifier: Apache-2.0
/* The command line: launchers' lines, defaults, and every way to get it wrong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jail.h"
#include "log.h"
#include "options.h"
#include "pt.h"

#define WORDS_MAX 32

static char err[256];

/* Parse a line that is cut at its spaces. */
static int parse(struct options *o, const char *line)
{
	char *copy = strdup(line), *argv[WORDS_MAX + 1] = {0}, *save = NULL;
	int argc = 0, r;

	assert_non_null(copy);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		assert_true(argc < WORDS_MAX);
		argv[argc++] = w;
	}
	err[0] = '\0';
	r = options_parse(o, argc, argv, err, sizeof(err));
	free(copy);
	return r;
}

static void good(struct options *o, const char *line)
{
	if (parse(o, line) < 0)
		fail_msg("'%s': %s", line, err);
}

/* Refused, and the line says all of @...: the option, the value. */
static void bad(const char *line, const char *says, const char *says_too)
{
	struct options o;

	if (parse(&o, line) != -EINVAL)
		fail_msg("'%s' is accepted", line);
	if (!strstr(err, says) || !strstr(err, says_too) || strchr(err, '\n'))
		fail_msg("'%s': '%s' lacks '%s' or '%s'", line, err, says, says_too);
	options_done(&o);
}

static void defaults(void **state)
{
	struct options o;

	(void)state;
	good(&o, "virtiofsd --shared-dir=/s --fd=3");
	assert_int_equal(o.action, OPTIONS_RUN);
	assert_string_equal(o.shared_dir, "/s");
	assert_int_equal(o.fd, 3);
	assert_null(o.socket_path);
	assert_null(o.tag);
	assert_int_equal(o.cache, PT_CACHE_AUTO);
	assert_int_equal(o.sandbox, JAIL_NAMESPACE);
	assert_int_equal(o.seccomp, SECCOMP_KILL);
	assert_int_equal(o.log_level, LOG_LEVEL_INFO);
	assert_int_equal(o.thread_pool_size, 0);
	assert_false(o.rlimit_nofile_set);
	assert_false(o.readonly);
	assert_false(o.xattr);
	assert_null(o.xattrmap);
	assert_int_equal(o.posix_acl, PT_NEVER);
	assert_int_equal(o.security_label, PT_NEVER);
	assert_false(o.syslog);
	assert_false(o.relisten);
	assert_true(o.announce_submounts);
	assert_int_equal(o.inode_file_handles, PT_HANDLES_PREFER);
	assert_true(o.readdirplus);
	assert_false(o.writeback);
	assert_false(o.allow_mmap);
	assert_false(o.allow_direct_io);
	assert_false(o.preserve_noatime);
	assert_false(o.killpriv_v2);
	options_done(&o);
}

static void semantics(void **state)
{
	struct options o;

	(void)state;
	good(&o,
	     "virtiofsd --shared-dir /s --fd 3 --no-readdirplus --writeback --allow-mmap "
	     "--allow-direct-io --preserve-noatime --killpriv-v2 --inode-file-handles=mandatory");
	assert_int_equal(o.inode_file_handles, PT_HANDLES_MANDATORY);
	assert_false(o.readdirplus);
	assert_true(o.writeback);
	assert_true(o.allow_mmap);
	assert_true(o.allow_direct_io);
	assert_true(o.preserve_noatime);
	assert_true(o.killpriv_v2);
	options_done(&o);
	good(&o, "virtiofsd --shared-dir /s --fd 3 -o no_readdirplus,writeback,allow_direct_io "
		 "-o preserve_noatime,killpriv_v2");
	assert_false(o.readdirplus);
	assert_true(o.writeback);
	assert_true(o.allow_direct_io);
	assert_true(o.preserve_noatime);
	assert_true(o.killpriv_v2);
	options_done(&o);
	good(&o, "virtiofsd --shared-dir /s --fd 3 --no-readdirplus --writeback --allow-direct-io "
		 "--killpriv-v2 --no-killpriv-v2 --inode-file-handles never "
		 "-o readdirplus,no_writeback,no_allow_direct_io,no_killpriv_v2");
	assert_int_equal(o.inode_file_handles, PT_HANDLES_NEVER);
	assert_true(o.readdirplus);
	assert_false(o.writeback);
	assert_false(o.allow_direct_io);
	assert_false(o.killpriv_v2);
	options_done(&o);
}

/* The DAX window: its size, which files, and for whom. */
static void dax(void **state)
{
	struct options o;

	(void)state;
	good(&o, "virtiofsd --shared-dir /s --fd 3");
	assert_int_equal(o.dax_window, 0);
	assert_int_equal(o.compat, OPTIONS_COMPAT_NONE);
	assert_true(daxrules_match(&o.dax, 0, NULL));
	options_done(&o);
	good(&o, "virtiofsd --shared-dir /s --fd 3 --dax-window 8G --dax never --compat alioth");
	assert_int_equal(o.dax_window, UINT64_C(8) << 30);
	assert_int_equal(o.compat, OPTIONS_COMPAT_ALIOTH);
	assert_false(daxrules_match(&o.dax, UINT64_MAX, "name"));
	options_done(&o);
	good(&o, "virtiofsd --shared-dir /s --fd 3 --dax-window=2M --dax size>=1M,*.so,lib?.a "
		 "--compat=alioth --compat=none");
	assert_int_equal(o.dax_window, UINT64_C(2) << 20);
	assert_int_equal(o.compat, OPTIONS_COMPAT_NONE);
	assert_true(daxrules_match(&o.dax, 1 << 20, NULL));
	assert_false(daxrules_match(&o.dax, (1 << 20) - 1, NULL));
	assert_false(daxrules_match(&o.dax, 0, "x.sox"));
	assert_true(daxrules_match(&o.dax, 0, "x.so"));
	assert_true(daxrules_match(&o.dax, 0, "libc.a"));
	assert_false(daxrules_match(&o.dax, 0, "libcc.a"));
	options_done(&o);
	good(&o, "virtiofsd --shared-dir /s --fd 3 --dax-window 64G --dax-window=0 --dax a --dax "
		 "always");
	assert_int_equal(o.dax_window, 0);
	assert_true(daxrules_match(&o.dax, 0, "b"));
	options_done(&o);
}

static void every_option(void **state)
{
	struct options o;

	(void)state;
	good(&o, "virtiofsd --shared-dir /s --socket-path /r/x.sock --tag t --cache never "
		 "--sandbox chroot --readonly --xattr --thread-pool-size 4 --no-announce-submounts "
		 "--rlimit-nofile 0 --log-level trace --syslog --relisten "
		 "--max-inodes 1000 --max-open-files 100 --max-write 65536 --max-pending 8 "
		 "--poll-us 0");
	assert_string_equal(o.shared_dir, "/s");
	assert_string_equal(o.socket_path, "/r/x.sock");
	assert_int_equal(o.fd, -1);
	assert_string_equal(o.tag, "t");
	assert_int_equal(o.cache, PT_CACHE_NEVER);
	assert_int_equal(o.sandbox, JAIL_CHROOT);
	assert_true(o.readonly);
	assert_true(o.xattr);
	assert_int_equal(o.thread_pool_size, 4);
	assert_false(o.announce_submounts);
	assert_true(o.rlimit_nofile_set);
	assert_int_equal(o.rlimit_nofile, 0);
	assert_int_equal(o.log_level, LOG_LEVEL_TRACE);
	assert_true(o.syslog);
	assert_true(o.relisten);
	assert_int_equal(o.max_inodes, 1000);
	assert_int_equal(o.max_open_files, 100);
	assert_int_equal(o.max_write, 65536);
	assert_int_equal(o.max_pending, 8);
	assert_true(o.poll_us_set);
	assert_int_equal(o.poll_us, 0);
	options_done(&o);
}

static void words(void **state)
{
	static const struct {
		const char *args;
		unsigned int cache, sandbox, level;
	} cases[] = {
		{"--cache=auto --sandbox=namespace --log-level=error", PT_CACHE_AUTO,
		 JAIL_NAMESPACE, LOG_LEVEL_ERROR},
		{"--cache=always --sandbox=chroot --log-level=warn", PT_CACHE_ALWAYS, JAIL_CHROOT,
		 LOG_LEVEL_WARN},
		{"--cache=ALWAYS --sandbox=Chroot --log-level=WARN", PT_CACHE_ALWAYS, JAIL_CHROOT,
		 LOG_LEVEL_WARN},
		{"--cache=never --sandbox=none --log-level=debug", PT_CACHE_NEVER, JAIL_NONE,
		 LOG_LEVEL_DEBUG},
		{"--cache=none --sandbox=none -d", PT_CACHE_NEVER, JAIL_NONE, LOG_LEVEL_DEBUG},
		{"--cache=metadata --sandbox=none --log-level=off", PT_CACHE_METADATA, JAIL_NONE,
		 LOG_LEVEL_OFF},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct options o;
		char line[256];

		snprintf(line, sizeof(line), "virtiofsd --shared-dir=/s --fd=3 %s", cases[i].args);
		good(&o, line);
		assert_int_equal(o.cache, cases[i].cache);
		assert_int_equal(o.sandbox, cases[i].sandbox);
		assert_int_equal(o.log_level, cases[i].level);
		options_done(&o);
	}
}

static void last_wins(void **state)
{
	struct options o;

	(void)state;
	good(&o, "v --shared-dir=/a --cache=never --fd 3 --shared-dir /b --cache always "
		 "--no-announce-submounts --announce-submounts --fd=4 -o cache=metadata,source=/c");
	assert_string_equal(o.shared_dir, "/c");
	assert_int_equal(o.cache, PT_CACHE_METADATA);
	assert_int_equal(o.fd, 4);
	assert_true(o.announce_submounts);
	options_done(&o);
	good(&o, "v --shared-dir=/a --fd=3 -o announce_submounts,no_announce_submounts");
	assert_false(o.announce_submounts);
	options_done(&o);
}

/* What is known of launchers, as far as the options exist. */
static void launchers(void **state)
{
	static const char *const lines[] = {
		"virtiofsd --syslog --cache=auto "
		"--shared-dir=/run/kata-containers/shared/sandboxes/x/shared --fd=3 "
		"--thread-pool-size=1 --announce-submounts --xattr",
		"virtiofsd --socket-path /run/kata/x/root/virtiofsd.sock --shared-dir "
		"/run/kata-containers/shared/sandboxes/x/ro --cache auto --thread-pool-size=1 "
		"-o announce_submounts",
		"virtiofsd --fd=23 --shared-dir /p --cache never --sandbox namespace --xattr "
		"--thread-pool-size=4 --rlimit-nofile=1024 --log-level debug",
		"virtiofsd --fd=23 -o "
		"source=/p,cache=always,sandbox=chroot,xattr,no_flock,no_posix_lock",
		"virtiofsd --fd=3 --cache=metadata --shared-dir=/p",
		"virtiofsd --shared-dir /p --socket-path /s --cache never --tag myfs",
		"virtiofsd --fd=3 --shared-dir=/p --xattr --announce-submounts --cache=auto "
		"--syslog",
		"virtiofsd --shared-dir /p --xattr --fd 3 --no-announce-submounts",
		"virtiofsd --shared-dir /p --xattr --no-announce-submounts --sandbox=chroot --fd 3",
		"virtiofsd --syslog --no-announce-submounts --socket-path /t/s --shared-dir / "
		"--sandbox none",
		"virtiofsd --fd=3 --cache=never --shared-dir=/p --posix-acl=auto",
		"virtiofsd --fd=3 --shared-dir=/p --xattr --posix-acl --announce-submounts "
		"--syslog",
		"virtiofsd --shared-dir /p --xattr --no-announce-submounts --sandbox=chroot "
		"--security-label --fd 3",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct options o;

		good(&o, lines[i]);
		options_done(&o);
	}
}

static void legacy(void **state)
{
	struct options o;

	(void)state;
	good(&o, "v --fd=3 -o source=/with,,comma -ocache=none,no_xattr -o log_level=err -f");
	assert_string_equal(o.shared_dir, "/with,comma");
	assert_int_equal(o.cache, PT_CACHE_NEVER);
	assert_int_equal(o.log_level, LOG_LEVEL_ERROR);
	options_done(&o);
	good(&o, "v --fd=3 -o source=/a,,,xattr");
	assert_string_equal(o.shared_dir, "/a,");
	assert_true(o.xattr);
	options_done(&o);
	/* Locks are the guest's own unless asked for, each kind by itself; they have words of -o only. */
	assert_false(o.flock || o.posix_lock);
	good(&o, "v --fd=3 -o source=/a,flock");
	assert_true(o.flock && !o.posix_lock);
	options_done(&o);
	good(&o, "v --fd=3 -o source=/a,posix_lock -o flock -o no_flock");
	assert_true(!o.flock && o.posix_lock);
	options_done(&o);
	good(&o, "v --fd=3 -o source=/a,posix_lock,flock,no_posix_lock");
	assert_true(o.flock && !o.posix_lock);
	options_done(&o);
	bad("v --fd=3 --shared-dir=/a --flock", "", "--flock");
	bad("v --fd=3 --shared-dir=/a --posix-lock", "", "--posix-lock");
	bad("v --fd=3 -o source=/a,flock=1", "-o flock", "1");
	bad("v --fd=3 -o source=/a,nonsense", "-o", "nonsense");
	bad("v --fd=3 -o source=/a,cache=often", "-o cache", "often");
	bad("v --fd=3 -o source=/a,", "-o", "''");
	bad("v --fd=3 -o source", "-o source", "missing");
	bad("v --fd=3 -o xattr=1", "-o xattr", "'1'");
	bad("v --fd=3 --shared-dir /a -o", "-o", "missing");
}

/* What is about extended attributes asks for them, too. */
static void attributes(void **state)
{
	static const struct {
		const char *args;
		unsigned int acl, label;
		bool map;
	} cases[] = {
		{"--posix-acl", PT_ALWAYS, PT_NEVER, false},
		{"--posix-acl --security-label=auto", PT_ALWAYS, PT_AUTO, false},
		{"--posix-acl=auto --fd 3", PT_AUTO, PT_NEVER, false},
		{"--posix-acl always", PT_ALWAYS, PT_NEVER, false},
		{"--security-label --fd=3", PT_NEVER, PT_ALWAYS, false},
		{"--security-label=always", PT_NEVER, PT_ALWAYS, false},
		{"-o posix_acl", PT_ALWAYS, PT_NEVER, false},
		{"-o security_label,posix_acl,no_posix_acl", PT_NEVER, PT_ALWAYS, false},
		{"--xattrmap=:map::user.v.: --xattrmap /ok/all///", PT_NEVER, PT_NEVER, true},
		{"-o xattrmap=:map::user.a,,b.:", PT_NEVER, PT_NEVER, true},
	};
	struct options o;
	char line[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(line, sizeof(line), "v --shared-dir=/s --fd=3 %s", cases[i].args);
		good(&o, line);
		assert_true(o.xattr);
		assert_int_equal(o.posix_acl, cases[i].acl);
		assert_int_equal(o.security_label, cases[i].label);
		assert_int_equal(o.xattrmap != NULL, cases[i].map);
		options_done(&o);
	}
	good(&o, "v --shared-dir=/s --fd=3 --posix-acl=never --security-label=never "
		 "-o no_posix_acl,no_security_label");
	assert_false(o.xattr);
	options_done(&o);
	bad("v --shared-dir=/s --fd=3 --posix-acl=often", "--posix-acl", "'often'");
	bad("v --shared-dir=/s --fd=3 --security-label=", "--security-label", "''");
	bad("v --shared-dir=/s --fd=3 -o posix_acl=auto", "-o posix_acl", "'auto'");
	bad("v --shared-dir=/s --fd=3 --xattrmap", "--xattrmap", "missing");
	bad("v --shared-dir=/s --fd=3 --xattrmap=", "--xattrmap", "no rule");
	bad("v --shared-dir=/s --fd=3 --xattrmap :ok:all::::bad:both:::", "--xattrmap",
	    "rule 2, byte 16: the scope 'both'");
	bad("v --shared-dir=/s --fd=3 -o xattrmap=:ok:all::", "-o xattrmap", "rule 1, byte 10");
}

/* What other daemons take, and other names of what we take. */
static void others(void **state)
{
	struct options o;

	(void)state;
	good(&o, "v --shared-dir=/s --socket /a/b --socket-group kvm --inode-file-handles=fallback "
		 "-o loglevel=err");
	assert_string_equal(o.socket_path, "/a/b");
	assert_string_equal(o.socket_group, "kvm");
	assert_int_equal(o.inode_file_handles, PT_HANDLES_PREFER);
	assert_int_equal(o.log_level, LOG_LEVEL_ERROR);
	options_done(&o);
	bad("v --shared-dir=/s --fd 3 --socket-group kvm", "--fd", "--socket-group");
	bad("v --shared-dir=/s --fd 3 --socket /a/b", "--fd", "--socket");
	good(&o, "v --shared-dir=/s --fd 3 --migration-mode=file-handles "
		 "--migration-on-error=guest-error");
	assert_int_equal(o.migration_mode, OPTIONS_MIGRATE_HANDLES);
	assert_int_equal(o.migration_on_error, OPTIONS_MIGRATE_GUEST_ERROR);
	options_done(&o);
	good(&o, "v --shared-dir=/s --fd 3 --migration-verify-handles --migration-confirm-paths "
		 "--migration-mode find-paths --migration-on-error abort");
	assert_true(o.migration_verify_handles && o.migration_confirm_paths);
	options_done(&o);
	bad("v --shared-dir=/s --fd 3 --migration-mode=swim", "--migration-mode",
	    "'swim' is not known; it takes: find-paths, file-handles");
	bad("v --shared-dir=/s --fd 3 --migration-mode=file-handles --migration-confirm-paths",
	    "--migration-confirm-paths", "find-paths");
	bad("v --shared-dir=/s --fd 3 --posix-acl-create-fallback", "--posix-acl-create-fallback",
	    "second try");
	bad("v --shared-dir=/s --socket-path s --daemonize", "--daemonize", "foreground");
	bad("v --socket-path s -o source=/s,timeout=5", "-o timeout", "--cache");
	bad("v --socket-path s -o source=/s,timeout", "-o timeout", "--cache");
	bad("v -o vhost_user_socket=/s,source=/s", "-o vhost_user_socket", "--socket-path");
	bad("v --socket-path s -o source=/s,norace", "-o norace", "leave the word out");
}

/* The level that RUST_LOG asks for, where the command line says warn. */
static void rust_log(void **state)
{
	static const struct {
		const char *spec;
		unsigned int level;
	} cases[] = {
		{NULL, LOG_LEVEL_WARN},
		{"", LOG_LEVEL_WARN},
		{"info", LOG_LEVEL_INFO},
		{"INFO", LOG_LEVEL_INFO},
		{" Debug ", LOG_LEVEL_DEBUG},
		{"off", LOG_LEVEL_OFF},
		{"trace,error", LOG_LEVEL_ERROR},
		{"virtiofsd=debug", LOG_LEVEL_DEBUG},
		{"virtiofsd", LOG_LEVEL_TRACE},
		{"virtiofsd=", LOG_LEVEL_TRACE},
		{"virtiofsd = debug", LOG_LEVEL_DEBUG},
		{"error,virtiofsd=debug,hyper=trace", LOG_LEVEL_DEBUG},
		{"virtiofsd=debug,error", LOG_LEVEL_DEBUG},
		{"virtiofsd=debug,virtiofsd=off", LOG_LEVEL_OFF},
		{"hyper=trace", LOG_LEVEL_WARN},
		{"hyper", LOG_LEVEL_WARN},
		{"virtiofsd=loud", LOG_LEVEL_WARN},
		{"virtiofsd=debug=info", LOG_LEVEL_WARN},
		{"loud,,=,=info,debug", LOG_LEVEL_DEBUG},
		{"info/virtiofsd=trace", LOG_LEVEL_INFO},
		{"\377\001%n", LOG_LEVEL_WARN},
		{"virtiofsd::passthrough=trace", LOG_LEVEL_WARN},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned int level = LOG_LEVEL_WARN;

		options_rust_log(cases[i].spec, &level);
		if (level != cases[i].level)
			fail_msg("RUST_LOG='%s': %u", cases[i].spec, level);
	}
}

static void maps(void **state)
{
	struct options o;

	(void)state;
	good(&o, "v --shared-dir=/s --fd=3 --uid-map=:0:1000:1: --uid-map ,1,100000,65535, "
		 "--gid-map=:0:100:1:");
	assert_int_equal(o.uid_map.n, 2);
	assert_int_equal(o.gid_map.n, 1);
	assert_int_equal(o.uid_map.maps[1].inside, 1);
	assert_int_equal(o.uid_map.maps[1].outside, 100000);
	assert_int_equal(o.uid_map.maps[1].count, 65535);
	options_done(&o);
	bad("v --shared-dir=/s --fd=3 --uid-map=:0:0:0:", "--uid-map", "':0:0:0:'");
	bad("v --shared-dir=/s --fd=3 --uid-map=:0:0:1: --sandbox=none", "--uid-map", "namespace");
}

/* As management software writes them: each is one more. */
static void ids(void **state)
{
	struct options o;
	uint32_t id;

	(void)state;
	good(&o, "v --shared-dir=/s --fd=3 --translate-uid=forbid-guest:0:1000 "
		 "--translate-uid=map:1000:2000:1 --translate-uid forbid-guest:1001:0 "
		 "--translate-gid=squash-guest:0:107:4294967295");
	assert_int_equal(idmap_to_host(&o.translate_uid, 999, &id), -EPERM);
	assert_int_equal(idmap_to_host(&o.translate_uid, 1000, &id), 0);
	assert_int_equal(id, 2000);
	assert_int_equal(idmap_to_host(&o.translate_uid, 1001, &id), 0);
	assert_int_equal(id, 1001);
	assert_int_equal(idmap_to_guest(&o.translate_uid, 2000), 1000);
	assert_int_equal(idmap_to_host(&o.translate_gid, 0, &id), 0);
	assert_int_equal(id, 107);
	options_done(&o);
	bad("v --shared-dir=/s --fd=3 --translate-uid=map:1:2", "--translate-uid",
	    "'map:1:2': map takes 3 numbers");
	bad("v --shared-dir=/s --fd=3 --translate-gid map:1:2:3 --translate-gid map:3:9:1",
	    "--translate-gid", "'map:3:9:1': an earlier rule");
	bad("v --shared-dir=/s --fd=3 --translate-gid", "--translate-gid", "missing");
}

static void actions(void **state)
{
	static const struct {
		const char *line;
		unsigned int action;
	} cases[] = {
		{"v --help", OPTIONS_HELP},
		{"v -h", OPTIONS_HELP},
		{"v --version", OPTIONS_VERSION},
		{"v -V", OPTIONS_VERSION},
		{"v --print-capabilities", OPTIONS_CAPABILITIES},
		{"v --fd 3 --print-capabilities", OPTIONS_CAPABILITIES},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct options o;

		good(&o, cases[i].line);
		assert_int_equal(o.action, cases[i].action);
		options_done(&o);
	}
}

static void refused(void **state)
{
	char line[128];

	(void)state;
	bad("v", "--shared-dir", "missing");
	bad("v --shared-dir /s", "--socket-path", "--fd");
	bad("v --shared-dir /s --fd 3 --socket-path /x", "--fd 3", "/x");
	bad("v --shared-dir", "--shared-dir", "missing");
	bad("v --shared-dir= --fd 3", "--shared-dir", "empty");
	bad("v --shared-dir --fd 3", "--shared-dir", "missing");
	bad("v --nonsense", "--nonsense", "unknown");
	bad("v --nonsense=1", "--nonsense=1", "unknown");
	bad("v --shared-di /s --fd 3", "--shared-di", "unknown");
	bad("v -x", "-x", "unknown");
	bad("v - --fd 3", "'-'", "unexpected");
	bad("v /s --fd 3", "'/s'", "unexpected");
	bad("v --", "'--'", "unknown");
	bad("v --shared-dir /s --fd 3 --xattr=yes", "--xattr", "'yes'");
	bad("v --shared-dir /s --fd 3 --cache=often", "--cache", "'often'");
	bad("v --shared-dir /s --fd 3 --cache=", "--cache", "''");
	bad("v --shared-dir /s --fd 3 --sandbox strong", "--sandbox", "'strong'");
	bad("v --shared-dir /s --fd 3 --log-level loud", "--log-level", "'loud'");
	bad("v --shared-dir /s --fd -1", "--fd", "missing");
	bad("v --shared-dir /s --fd=-1", "--fd", "'-1'");
	bad("v --shared-dir /s --fd=3x", "--fd", "'3x'");
	bad("v --shared-dir /s --fd=99999999999", "--fd", "'99999999999'");
	bad("v --shared-dir /s --fd 3 --thread-pool-size 4097", "--thread-pool-size", "'4097'");
	bad("v --shared-dir /s --fd 3 --thread-pool-size=", "--thread-pool-size", "''");
	bad("v --shared-dir /s --fd 3 --tag=", "--tag", "empty");
	bad("v --shared-dir /s --fd 3 --dax-window 1M", "--dax-window", "'1M'");
	bad("v --shared-dir /s --fd 3 --dax-window 3M", "--dax-window", "'3M'");
	bad("v --shared-dir /s --fd 3 --dax-window=2T", "--dax-window", "'2T'");
	bad("v --shared-dir /s --fd 3 --dax-window=2048G", "--dax-window", "'2048G'");
	bad("v --shared-dir /s --fd 3 --dax size>=x", "--dax", "'size>=x'");
	bad("v --shared-dir /s --fd 3 --dax *.so,always", "--dax", "'always'");
	bad("v --shared-dir /s --fd 3 --dax a,,b", "--dax", "''");
	bad("v --shared-dir /s --fd 3 --dax lib/*.so", "--dax", "'lib/*.so'");
	bad("v --shared-dir /s --fd 3 --compat qemu", "--compat", "'qemu'");
	snprintf(line, sizeof(line), "v --shared-dir /s --fd 3 --tag %037d", 0);
	bad(line, "--tag", "longer than 36");
}

/* A long value is cut in the message, not in the check. */
static void long_values(void **state)
{
	char line[8192];
	struct options o;

	(void)state;
	snprintf(line, sizeof(line), "v --shared-dir /%04090d --fd 3", 0);
	good(&o, line);
	assert_int_equal(strlen(o.shared_dir), 4091);
	options_done(&o);
	snprintf(line, sizeof(line), "v --shared-dir /%05000d --fd 3", 0);
	bad(line, "--shared-dir", "4095");
	snprintf(line, sizeof(line), "v --%05000d", 0);
	bad(line, "unknown", "0000");
}

static void help_is_complete(void **state)
{
	static const char *const names[] = {"--shared-dir",
					    "--socket-path",
					    "--fd",
					    "--tag",
					    "--cache",
					    "--sandbox",
					    "--readonly",
					    "--xattr",
					    "--xattrmap",
					    "--uid-map",
					    "--gid-map",
					    "--translate-uid",
					    "--translate-gid",
					    "--posix-acl",
					    "--security-label",
					    "--thread-pool-size",
					    "--dax-window",
					    "--dax",
					    "--compat",
					    "--announce-submounts",
					    "--no-announce-submounts",
					    "--rlimit-nofile",
					    "--log-level",
					    "--syslog",
					    "-o flock",
					    "-o no_flock",
					    "-o posix_lock",
					    "-o no_posix_lock",
					    "--print-capabilities",
					    "--version",
					    "--help"};
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	assert_non_null(f);
	options_help(f);
	fclose(f);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strstr(text, names[i]))
			fail_msg("the help lacks %s", names[i]);
	free(text);
}

/* What was given is quoted, but the message stays one line. */
static void errors_are_one_line(void **state)
{
	(void)state;
	bad("virtiofsd --cache=a\nb", "--cache", "'a?b'");
	bad("virtiofsd --a\r\x1b[2J", "unknown option", "'--a??[2J'");
	bad("virtiofsd -o x\ny", "-o", "'x?y'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),    cmocka_unit_test(every_option),
		cmocka_unit_test(semantics),   cmocka_unit_test(words),
		cmocka_unit_test(last_wins),   cmocka_unit_test(launchers),
		cmocka_unit_test(legacy),      cmocka_unit_test(attributes),
		cmocka_unit_test(ids),         cmocka_unit_test(maps),
		cmocka_unit_test(actions),     cmocka_unit_test(refused),
		cmocka_unit_test(long_values), cmocka_unit_test(help_is_complete),
		cmocka_unit_test(dax),         cmocka_unit_test(others),
		cmocka_unit_test(rust_log),    cmocka_unit_test(errors_are_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
