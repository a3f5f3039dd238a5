// SPDX-License-Identifier: Apache-2.0
// Files that a guest has mapped through the DAX window, and the same ones read and written: prints what failed, exits 1.
//
// usage: dax files            every check below, in the current directory
//        dax is FILE          prints "dax" or "cached": how the kernel has this file
//        dax want-map FILE OFFSET TEXT | want-read ...     what a shared mapping (or read) shows there, now
//        dax poke FILE OFFSET TEXT [msync]                 write it through a shared mapping
//        dax hold FILE        map the file, touch every page, print "held", and stay
//        dax turns FILE WHO OF ROUNDS       take turns with others, through a mapping: see turns()
//        dax storm FILE MIB SEED ROUNDS     random reads and writes, mapped and not, of a file; see storm()
//
// Theory of operation: one process; a child where a signal or a fork is what is tested. Each check works on files of its
// own and removes them, but those that the host looks at. Contents are a function of the offset, so that a page of the
// wrong file, or of the wrong place in it, is seen.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef STATX_ATTR_DAX
#define STATX_ATTR_DAX 0x200000
#endif

#define MIB   (1 << 20)
#define RANGE (2 * MIB) // what Linux asks the daemon to map at once

static int failures;

#define CHECK(cond)                                                                        \
	do {                                                                               \
		if (!(cond)) {                                                             \
			printf("FAIL: %s:%d: %s (errno: %s)\n", __func__, __LINE__, #cond, \
			       strerror(errno));                                           \
			failures++;                                                        \
			return;                                                            \
		}                                                                          \
	} while (0)

// The byte at an offset of the file that is called seed.
static uint8_t byte_at(uint64_t off, unsigned seed)
{
	uint64_t x = (off >> 3) * 0x9e3779b97f4a7c15ull + seed * 0xbf58476d1ce4e5b9ull;

	x ^= x >> 29;
	return (uint8_t)(x >> (8 * (off & 7)));
}

static void fill(uint8_t *to, uint64_t off, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		to[i] = byte_at(off + i, seed);
}

static int same(const uint8_t *got, uint64_t off, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++) {
		if (got[i] != byte_at(off + i, seed)) {
			printf("offset %llu: %02x, not %02x\n", (unsigned long long)(off + i),
			       got[i], byte_at(off + i, seed));
			return 0;
		}
	}
	return 1;
}

// A new file of this size, written in one go.
static int made(const char *name, size_t len, unsigned seed)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
	uint8_t *buf = malloc(len + 1);

	fill(buf, 0, len, seed);
	if (fd < 0 || pwrite(fd, buf, len, 0) != (ssize_t)len) {
		printf("cannot make %s: %s\n", name, strerror(errno));
		exit(1);
	}
	free(buf);
	return fd;
}

static uint8_t *mapped(int fd, size_t len, int flags)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);
}

static sigjmp_buf fault;
static void on_fault(int sig)
{
	siglongjmp(fault, sig);
}

// The signal that reading a byte ends in, or 0.
static int touch(const volatile uint8_t *at)
{
	int sig = sigsetjmp(fault, 1);

	if (sig == 0)
		(void)*at;
	return sig;
}

// Reads and writes of odd lengths at odd places, across ranges and pages, agree with a mapping and with memory.
static void unaligned(void)
{
	const size_t len = 2 * RANGE + 777;
	static const struct {
		size_t off, len;
	} at[] = {{0, 1},
		  {1, 4094},
		  {4095, 2},
		  {4097, 8191},
		  {RANGE - 1, 2},
		  {RANGE - 4097, 12291},
		  {RANGE + 3, RANGE - 9},
		  {2 * RANGE - 3, 700},
		  {2 * RANGE + 776, 1}};
	int fd = made("unaligned", len, 1);
	uint8_t *model = malloc(len), *buf = malloc(len), *map = mapped(fd, len, MAP_SHARED);

	CHECK(map != MAP_FAILED);
	fill(model, 0, len, 1);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		CHECK(pread(fd, buf, at[i].len, (off_t)at[i].off) == (ssize_t)at[i].len);
		CHECK(memcmp(buf, model + at[i].off, at[i].len) == 0);
		fill(model + at[i].off, i, at[i].len, 2);
		if (i & 1)
			memcpy(map + at[i].off, model + at[i].off, at[i].len);
		else
			CHECK(pwrite(fd, model + at[i].off, at[i].len, (off_t)at[i].off) ==
			      (ssize_t)at[i].len);
		CHECK(memcmp(map, model, len) == 0);
	}
	CHECK(pread(fd, buf, len, 0) == (ssize_t)len && memcmp(buf, model, len) == 0);
	CHECK(pread(fd, buf, 100, (off_t)len) == 0);
	CHECK(pread(fd, buf, 100, (off_t)len - 50) == 50);
	munmap(map, len);
	close(fd);
	free(model);
	free(buf);
	unlink("unaligned");
}

// Files smaller than a page, and of no size: what lies behind their end reads as zeroes, or not at all.
static void tiny(void)
{
	int fd = made("tiny", 5, 3), empty = made("empty", 0, 0);
	uint8_t *map = mapped(fd, 4096, MAP_SHARED), buf[16];

	CHECK(map != MAP_FAILED && same(map, 0, 5, 3) && map[5] == 0 && map[4095] == 0);
	CHECK(pread(fd, buf, sizeof(buf), 0) == 5 && same(buf, 0, 5, 3));
	map[0] = 'x';
	CHECK(pread(fd, buf, 1, 0) == 1 && buf[0] == 'x');
	munmap(map, 4096);

	CHECK(read(empty, buf, sizeof(buf)) == 0);
	map = mapped(empty, 4096, MAP_SHARED);
	CHECK(map != MAP_FAILED && touch(map) == SIGBUS);
	memcpy(buf, "now", 3); // not from the program itself, which is in the window too
	CHECK(write(empty, buf, 3) == 3 && memcmp(map, "now\0", 4) == 0);
	munmap(map, 4096);
	close(fd);
	close(empty);
	unlink("tiny");
	unlink("empty");
}

// A file grows under its mapping, in steps of all sizes, by writes and by truncation; then it shrinks.
static void grow_and_shrink(void)
{
	const size_t room = 3 * RANGE;
	int fd = made("grows", 1, 4);
	uint8_t *map = mapped(fd, room, MAP_SHARED), *buf = malloc(room);
	size_t size = 1, step = 1;
	struct stat st;

	CHECK(map != MAP_FAILED);
	for (; size + step < room; size += step, step = step * 3 + 1) {
		CHECK(map[size - 1] == byte_at(size - 1, 4));
		CHECK(touch(map + ((size + 4095) & ~4095ul)) == SIGBUS);
		fill(buf, size, step, 4);
		CHECK(pwrite(fd, buf, step, (off_t)size) == (ssize_t)step);
		CHECK(fstat(fd, &st) == 0 && st.st_size == (off_t)(size + step));
		CHECK(same(map, 0, size + step, 4));
	}
	CHECK(ftruncate(fd, (off_t)room) == 0 && map[size] == 0 && map[room - 1] == 0);
	map[room - 1] = 'e';
	CHECK(pread(fd, buf, 1, (off_t)room - 1) == 1 && buf[0] == 'e');

	CHECK(ftruncate(fd, 5000) == 0);
	CHECK(same(map, 0, 5000, 4) && map[5000] == 0 && map[8191] == 0);
	CHECK(touch(map + 8192) == SIGBUS && touch(map + RANGE) == SIGBUS);
	CHECK(ftruncate(fd, 3 * 4096) == 0 && map[5000] == 0 && map[3 * 4096 - 1] == 0);
	CHECK(ftruncate(fd, 0) == 0 && touch(map) == SIGBUS);
	memcpy(buf, "again", 5);
	CHECK(pwrite(fd, buf, 5, 0) == 5 && memcmp(map, "again\0", 6) == 0);
	munmap(map, room);
	close(fd);
	free(buf);
	unlink("grows");
}

// A mapping outlives the file's name, the descriptor, and another file that takes the name.
static void delete_and_rename(void)
{
	const size_t len = RANGE + 4096;
	int a = made("a", len, 5), b = made("b", len, 6);
	uint8_t *old = mapped(a, len, MAP_SHARED), *new = mapped(b, len, MAP_SHARED), *again;

	CHECK(old != MAP_FAILED && new != MAP_FAILED &&same(old, 0, len, 5));
	CHECK(rename("b", "a") == 0);
	close(a);
	close(b);
	CHECK(same(old, 0, len, 5) && same(new, 0, len, 6));
	a = open("a", O_RDWR);
	CHECK(a >= 0);
	again = mapped(a, len, MAP_SHARED);
	CHECK(again != MAP_FAILED && same(again, 0, len, 6));
	again[len - 1] ^= 0xff;
	CHECK(new[len - 1] == again[len - 1] && old[len - 1] == byte_at(len - 1, 5));
	CHECK(unlink("a") == 0);
	old[0] = 'o';
	new[1] = 'n';
	CHECK(old[0] == 'o' && again[1] == 'n');
	munmap(old, len);
	munmap(new, len);
	munmap(again, len);
	close(a);
}

// Reading a hole through a mapping makes no block, and writing makes few; a file may be larger than the window.
static void sparse_and_huge(void)
{
	const off_t size = (off_t)1 << 40;
	int fd = made("huge", 0, 0);
	static const off_t at[] = {0, RANGE - 8, (off_t)5 << 30, (off_t)1 << 39,
				   ((off_t)1 << 40) - 8};
	struct stat st;
	uint8_t *map;

	CHECK(ftruncate(fd, size) == 0);
	map = mapped(fd, (size_t)size, MAP_SHARED | MAP_NORESERVE);
	CHECK(map != MAP_FAILED);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		CHECK(map[at[i]] == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_blocks == 0);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		fill(map + at[i], (uint64_t)at[i], 8, 7);
	CHECK(msync(map, RANGE, MS_SYNC) == 0);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		uint8_t buf[8];

		CHECK(pread(fd, buf, 8, at[i]) == 8 && same(buf, (uint64_t)at[i], 8, 7));
	}
	munmap(map, (size_t)size);
	CHECK(fsync(fd) == 0);
	close(fd);
}

// A private mapping shows the file until it is written to, and its changes stay in it.
static void private(void)
{
	const size_t len = 3 * 4096;
	int fd = made("private", len, 8), status;
	uint8_t *map = mapped(fd, len, MAP_PRIVATE), buf[8];
	pid_t pid;

	CHECK(map != MAP_FAILED && same(map, 0, len, 8));
	fill(buf, 100, 8, 9);
	CHECK(pwrite(fd, buf, 8, 100) == 8 && same(map + 100, 100, 8, 9));
	map[4096] = 'p';
	CHECK(pread(fd, buf, 1, 4096) == 1 && buf[0] == byte_at(4096, 8));
	pid = fork();
	if (pid == 0) {
		map[8192] = 'c';
		_exit(map[4096] != 'p');
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(map[8192] == byte_at(8192, 8));
	munmap(map, len);
	close(fd);
	unlink("private");
}

// A shared mapping is shared over fork(2) and with read(2) and write(2), and msync(2) makes it safe.
static void shared(void)
{
	const size_t len = RANGE + 8192;
	int fd = made("shared", len, 10), status, ro;
	uint8_t *map = mapped(fd, len, MAP_SHARED), buf[8];
	struct timespec past[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
	struct stat st;
	pid_t pid;

	CHECK(map != MAP_FAILED);
	pid = fork();
	if (pid == 0) {
		memcpy(map + RANGE, "child", 5);
		_exit(msync(map, len, MS_SYNC));
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(memcmp(map + RANGE, "child", 5) == 0);
	CHECK(pread(fd, buf, 5, RANGE) == 5 && memcmp(buf, "child", 5) == 0);
	// What is read only first and written to later: the window's mapping must allow it.
	ro = open("shared", O_RDONLY);
	CHECK(ro >= 0 && pread(ro, buf, 8, 0) == 8 && same(buf, 0, 8, 10));
	CHECK(mmap(NULL, len, PROT_WRITE, MAP_SHARED, ro, 0) == MAP_FAILED && errno == EACCES);
	map[0] = 'w';
	CHECK(pread(ro, buf, 1, 0) == 1 && buf[0] == 'w');
	CHECK(msync(map, len, MS_ASYNC) == 0 && fdatasync(fd) == 0);
	CHECK(futimens(fd, past) == 0);
	munmap(map, len);
	close(ro);
	CHECK(fstat(fd, &st) == 0 && st.st_mtime == 1000000);
	close(fd);
	unlink("shared");
}

static void fallocated(void)
{
	const size_t len = 2 * RANGE;
	int fd = made("fallocated", len, 11);
	uint8_t *map = mapped(fd, len + RANGE, MAP_SHARED);
	struct stat st;

	CHECK(map != MAP_FAILED && same(map, 0, len, 11));
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192) == 0);
	CHECK(same(map, 0, 4096, 11) && map[4096] == 0 && map[12287] == 0);
	CHECK(same(map + 12288, 12288, len - 12288, 11));
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 20481, 100) == 0);
	CHECK(map[20480] == byte_at(20480, 11) && map[20481] == 0 && map[20580] == 0);
	CHECK(map[20581] == byte_at(20581, 11));
	map[5000] = 'h';
	CHECK(map[5000] == 'h');
	CHECK(fallocate(fd, 0, (off_t)len, RANGE) == 0 && fstat(fd, &st) == 0);
	CHECK(st.st_size == (off_t)len + RANGE && map[len] == 0);
	map[len + RANGE - 1] = 'z';
	munmap(map, len + RANGE);
	close(fd);
	unlink("fallocated");
}

// O_DIRECT between the window and another file, both ways: it works, or that one call fails and nothing else does.
static void direct(void)
{
	const size_t len = 64 << 10;
	int fd = made("direct", len, 12), to = made("plain", len, 13), from;
	uint8_t *map = mapped(fd, len, MAP_SHARED), *buf = aligned_alloc(4096, len);
	ssize_t n;

	CHECK(map != MAP_FAILED && buf && same(map, 0, len, 12));
	close(to);
	to = open("plain", O_RDWR | O_DIRECT);
	CHECK(to >= 0);
	n = pwrite(to, map, len, 0);
	CHECK(n == (ssize_t)len || (n == -1 && (errno == EFAULT || errno == EIO)));
	printf("direct: written from the window: %s\n", n < 0 ? strerror(errno) : "done");
	if (n > 0)
		CHECK(pread(to, buf, len, 0) == n && same(buf, 0, len, 12));
	n = pread(to, map, len, 0);
	CHECK(n == (ssize_t)len || (n == -1 && (errno == EFAULT || errno == EIO)));
	// A file of another file system, whose driver knows nothing of DAX.
	from = open("/host/bin/bash", O_RDONLY | O_DIRECT);
	if (from >= 0) {
		n = pread(from, map, len, 0);
		printf("direct: read by another driver: %s\n", n < 0 ? strerror(errno) : "done");
		if (n > 0) {
			CHECK(n == (ssize_t)len && memcmp(map, "\177ELF", 4) == 0);
			CHECK(pread(fd, buf, len, 0) == n && memcmp(map, buf, len) == 0);
		}
		close(from);
	}
	CHECK(pwrite(fd, "fine", 4, 0) == 4 && memcmp(map, "fine", 4) == 0);
	munmap(map, len);
	close(fd);
	close(to);
	free(buf);
	unlink("direct");
	unlink("plain");
}

// A write that makes a file longer is a request to the daemon, and its source may be in the window.
static void from_the_window(void)
{
	const size_t len = RANGE + 5000;
	int from = made("from", len, 14), to = made("to", 0, 0);
	uint8_t *map = mapped(from, len, MAP_SHARED), *buf = malloc(len);
	ssize_t n;

	CHECK(map != MAP_FAILED && same(map, 0, len, 14));
	n = write(to, map + 11, len - 11);
	CHECK(n == (ssize_t)len - 11);
	CHECK(pread(to, buf, len, 0) == n && same(buf, 11, (size_t)n, 14));
	n = write(to, "from the program", 16);
	CHECK(n == 16);
	munmap(map, len);
	close(from);
	close(to);
	free(buf);
	unlink("from");
	unlink("to");
}

static int is_dax(const char *name)
{
	struct statx stx;

	if (statx(AT_FDCWD, name, 0, STATX_BASIC_STATS, &stx) != 0)
		return -1;
	return (stx.stx_attributes & STATX_ATTR_DAX) != 0;
}

// Shares a counter in a file's first bytes with OF others: whoever's turn it is adds one. A byte for each of them, in a
// page of its own, repeats the low bits of the count, and every other one's must be as new as the counter.
static void turns(const char *name, unsigned who, unsigned of, unsigned rounds)
{
	int fd = open(name, O_RDWR);
	time_t end = time(NULL) + 150;
	volatile uint8_t *map = mapped(fd, (of + 1) * 4096, MAP_SHARED);
	volatile uint64_t *count = (volatile uint64_t *)map;

	CHECK(fd >= 0 && map != MAP_FAILED);
	for (unsigned r = 0; r < rounds; r++) {
		uint64_t n;

		while (n = __atomic_load_n(count, __ATOMIC_SEQ_CST), n % of != who) {
			CHECK(time(NULL) < end);
			sched_yield();
		}
		if (n > 0)
			CHECK(map[((n - 1) % of + 1) * 4096] == (uint8_t)(n - 1));
		map[(who + 1) * 4096] = (uint8_t)n;
		__atomic_store_n(count, n + 1, __ATOMIC_SEQ_CST);
	}
	munmap((void *)map, (of + 1) * 4096);
	close(fd);
}

// Random accesses to a file much larger than the window: each page has a generation, kept here, and must show it.
static void storm(const char *name, size_t mib, unsigned seed, unsigned rounds)
{
	const size_t len = mib * MIB, pages = len / 4096;
	uint8_t *gen = calloc(pages, 1), buf[4096];
	int fd = open(name, O_RDWR | O_CREAT, 0644);
	uint8_t *map;

	CHECK(fd >= 0 && ftruncate(fd, 0) == 0 && ftruncate(fd, (off_t)len) == 0);
	map = mapped(fd, len, MAP_SHARED);
	CHECK(map != MAP_FAILED);
	srand(seed);
	for (unsigned r = 0; r < rounds; r++) {
		size_t page = (size_t)rand() % pages, off = page * 4096;

		if (r & 1)
			memcpy(buf, map + off, 4096);
		else
			CHECK(pread(fd, buf, 4096, (off_t)off) == 4096);
		if (gen[page])
			CHECK(same(buf, off, 4096, seed + gen[page]));
		else
			CHECK(buf[0] == 0 && buf[4095] == 0);
		gen[page] = (uint8_t)(gen[page] % 250 + 1);
		fill(buf, off, 4096, seed + gen[page]);
		if (r & 2)
			memcpy(map + off, buf, 4096);
		else
			CHECK(pwrite(fd, buf, 4096, (off_t)off) == 4096);
	}
	for (size_t page = 0; page < pages; page++) {
		if (gen[page])
			CHECK(same(map + page * 4096, page * 4096, 4096, seed + gen[page]));
	}
	munmap(map, len);
	close(fd);
	free(gen);
}

static void hold(const char *name)
{
	int fd = open(name, O_RDWR);
	struct stat st;
	uint8_t *map;
	unsigned sum = 0;

	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	map = mapped(fd, (size_t)st.st_size, MAP_SHARED);
	CHECK(map != MAP_FAILED);
	for (off_t off = 0; off < st.st_size; off += 4096)
		sum += map[off];
	printf("held %u\n", sum);
	fflush(stdout);
	pause();
}

// The text at a place: seen through a mapping or by read(2), or put there through a mapping.
static void text(const char *how, const char *name, size_t off, const char *text, int sync)
{
	const size_t len = strlen(text), start = off & ~4095ul;
	int fd = open(name, *how == 'p' ? O_RDWR : O_RDONLY);
	char buf[256];

	CHECK(fd >= 0 && len < sizeof(buf));
	if (strcmp(how, "want-read") == 0) {
		CHECK(pread(fd, buf, len, (off_t)off) == (ssize_t)len);
	} else {
		int prot = PROT_READ | (*how == 'p' ? PROT_WRITE : 0);
		char *map = mmap(NULL, 8192, prot, MAP_SHARED, fd, (off_t)start);

		CHECK(map != MAP_FAILED);
		if (*how == 'p')
			memcpy(map + (off - start), text, len);
		memcpy(buf, map + (off - start), len);
		if (sync)
			CHECK(msync(map, 8192, MS_SYNC) == 0);
		munmap(map, 8192);
	}
	buf[len] = 0;
	if (memcmp(buf, text, len) != 0)
		printf("%s: \"%s\" at %zu, not \"%s\"\n", name, buf, off, text);
	CHECK(memcmp(buf, text, len) == 0);
	close(fd);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	signal(SIGBUS, on_fault);
	signal(SIGSEGV, on_fault);
	umask(022);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(what, "files") == 0) {
		unaligned();
		tiny();
		grow_and_shrink();
		delete_and_rename();
		sparse_and_huge();
		private();
		shared();
		fallocated();
		direct();
		from_the_window();
	} else if (strcmp(what, "is") == 0 && argc == 3) {
		int dax = is_dax(argv[2]);

		puts(dax < 0 ? strerror(errno) : dax ? "dax" : "cached");
	} else if (strcmp(what, "hold") == 0 && argc == 3) {
		hold(argv[2]);
	} else if (strcmp(what, "turns") == 0 && argc == 6) {
		turns(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]),
		      (unsigned)atoi(argv[5]));
	} else if (strcmp(what, "storm") == 0 && argc == 6) {
		storm(argv[2], (size_t)atoi(argv[3]), (unsigned)atoi(argv[4]),
		      (unsigned)atoi(argv[5]));
	} else if (argc >= 5) {
		text(what, argv[2], (size_t)atoll(argv[3]), argv[4], argc > 5);
	} else {
		fprintf(stderr, "dax: what?\n");
		return 2;
	}
	return failures != 0;
}
