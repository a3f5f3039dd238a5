// SPDX-License-Identifier: Apache-2.0
/* Guest memory tables and the dirty log. */
/*
 * Theory of operation
 *
 * The memory is one memfd whose 64-bit words say where they are, so a translated address proves itself
 * by what it reads. Mappings are counted in /proc/self/maps by the name of the memfd. A random test
 * compares translations in large tables with a search through the list of what was added.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "fd.h"
#include "gmem.h"
#include "rnd.h"
#include "util.h"

#define PAGE      4096u
#define FILE_SIZE (256 * PAGE)
#define NAME      "culvert-test-gmem"

static int mem;

static int setup(void **state)
{
	uint64_t *words;

	(void)state;
	mem = memfd_create(NAME, MFD_CLOEXEC);
	if (mem < 0 || ftruncate(mem, FILE_SIZE) < 0)
		return -1;
	words = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	if (words == MAP_FAILED)
		return -1;
	for (uint64_t i = 0; i < FILE_SIZE / 8; i++)
		words[i] = i * 8;
	return munmap(words, FILE_SIZE);
}

static unsigned int mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned int n = 0;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, NAME) != NULL;
	fclose(f);
	return n;
}

static int teardown(void **state)
{
	(void)state;
	fd_close(&mem);
	return mappings() == 0 ? 0 : -1;
}

/* Replace *@gm by itself with one more region. */
static int add(struct gmem **gm, uint64_t gpa, uint64_t size, uint64_t uva, uint64_t offset)
{
	const struct gmem_conf conf = {gpa, size, uva, offset};
	struct gmem *with = NULL;
	int r = gmem_with(*gm, &conf, mem, &with);

	if (r == 0) {
		gmem_put(*gm);
		*gm = with;
	} else {
		assert_null(with);
	}
	return r;
}

static int take(struct gmem **gm, uint64_t gpa, uint64_t size, uint64_t uva)
{
	const struct gmem_conf conf = {gpa, size, uva, 0};
	struct gmem *without = NULL;
	int r = gmem_without(*gm, &conf, &without);

	if (r == 0) {
		gmem_put(*gm);
		*gm = without;
	} else {
		assert_null(without);
	}
	return r;
}

static uint64_t word_at(const void *at)
{
	uint64_t v;

	assert_non_null(at);
	memcpy(&v, at, sizeof(v));
	return v;
}

static void addresses(void **state)
{
	struct gmem *gm = gmem_new();

	(void)state;
	assert_int_equal(gmem_count(gm), 0);
	assert_null(gmem_gpa(gm, 0, 1));
	assert_null(gmem_uva(gm, 0, 1));
	/* Added out of order. */
	assert_int_equal(add(&gm, 0x100000, 4 * PAGE, 0x7f0000000000, 8 * PAGE), 0);
	assert_int_equal(add(&gm, 0, 2 * PAGE, 0x7e0000000000, 0), 0);
	assert_int_equal(gmem_count(gm), 2);
	assert_int_equal(word_at(gmem_gpa(gm, 0, 8)), 0);
	assert_int_equal(word_at(gmem_gpa(gm, 2 * PAGE - 8, 8)), 2 * PAGE - 8);
	assert_null(gmem_gpa(gm, 2 * PAGE - 7, 8));
	assert_null(gmem_gpa(gm, 2 * PAGE, 1));
	assert_null(gmem_gpa(gm, 0xfffff, 1));
	assert_int_equal(word_at(gmem_gpa(gm, 0x100000 + PAGE, 8)), 9 * PAGE);
	assert_null(gmem_gpa(gm, 0x100000, 4 * PAGE + 1));
	assert_null(gmem_gpa(gm, 0x100000, UINT64_MAX));
	assert_null(gmem_gpa(gm, UINT64_MAX, 1));
	assert_int_equal(word_at(gmem_uva(gm, 0x7f0000000000, 4 * PAGE)), 8 * PAGE);
	assert_int_equal(word_at(gmem_uva(gm, 0x7e0000000000 + PAGE, 8)), PAGE);
	assert_null(gmem_uva(gm, 0x7f0000000000 + 1, 4 * PAGE));
	assert_null(gmem_uva(gm, 0x7effffffffff, 8));
	assert_null(gmem_uva(gm, 0x7f0000000000, UINT64_MAX));
	gmem_put(gm);
	gmem_put(NULL);
}

static void refused(void **state)
{
	static const struct gmem_conf bad[] = {
		{0, 0, 0, 0},
		{UINT64_MAX - PAGE + 1, 2 * PAGE, 0, 0},
		{0, 2 * PAGE, UINT64_MAX - PAGE + 1, 0},
		{UINT64_MAX, 1, 0, 0},
		/* Overlapping 16..19 pages by gpa, or by uva, from either side or within. */
		{15 * PAGE, 2 * PAGE, 0, 0},
		{19 * PAGE, PAGE, 0, 0},
		{17 * PAGE, PAGE, 0, 0},
		{10 * PAGE, 20 * PAGE, 0, 0},
		{16 * PAGE, 4 * PAGE, 0, 0},
		{20 * PAGE - 1, 1, 0, 0},
		{0, 2 * PAGE, 0x10000000 - PAGE, 0},
		{0, PAGE, 0x10000000 + 3 * PAGE, 0},
		{0, PAGE, 0x10000000 + PAGE, 0},
		{0, 16 * PAGE, 0x10000000 - PAGE, 0},
		/* Beyond the end of the file. */
		{0, FILE_SIZE + 1, 0, 0},
		{0, PAGE, 0, FILE_SIZE},
		{0, PAGE, 0, FILE_SIZE - PAGE + 1},
		{0, PAGE, 0, UINT64_MAX - PAGE + 1},
		{0, PAGE, 0, UINT64_MAX},
		{0, UINT64_MAX, 0, 0},
		{0, UINT64_MAX / 2, 0, 0},
		{0, (uint64_t)INT64_MAX + 1, 0, 0},
	};
	struct gmem *gm = gmem_new(), *same = NULL;
	const struct gmem_conf good = {0, PAGE, 0, 0};

	(void)state;
	assert_int_equal(add(&gm, 16 * PAGE, 4 * PAGE, 0x10000000, 0), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(gmem_with(gm, &bad[i], mem, &same), -EINVAL);
	assert_int_equal(gmem_with(gm, &good, -1, &same), -EBADF);
	assert_null(same);
	assert_int_equal(mappings(), 1);
	/* Neighbours are no overlap, nor is the same memory twice. */
	assert_int_equal(add(&gm, 15 * PAGE, PAGE, 0x10000000 - PAGE, 0), 0);
	assert_int_equal(add(&gm, 20 * PAGE, PAGE, 0x10000000 + 4 * PAGE, 0), 0);
	assert_int_equal(add(&gm, UINT64_MAX - PAGE, PAGE, UINT64_MAX - PAGE, 0), 0);
	assert_int_equal(take(&gm, 16 * PAGE, 4 * PAGE, 0x10000001), -ENOENT);
	assert_int_equal(take(&gm, 16 * PAGE, 3 * PAGE, 0x10000000), -ENOENT);
	assert_int_equal(take(&gm, 17 * PAGE, 4 * PAGE, 0x10000000), -ENOENT);
	assert_int_equal(take(&gm, 16 * PAGE, 4 * PAGE, 0x10000000), 0);
	assert_int_equal(gmem_count(gm), 3);
	gmem_put(gm);
}

/* Offset, size and addresses to the byte, as User-Mode Linux may give them. */
static void unaligned(void **state)
{
	struct gmem *gm = gmem_new();

	(void)state;
	assert_int_equal(add(&gm, 0x1008, PAGE + 24, 0x2008, 3 * PAGE + 16), 0);
	assert_int_equal(word_at(gmem_gpa(gm, 0x1008, 8)), 3 * PAGE + 16);
	assert_int_equal(word_at(gmem_gpa(gm, 0x1008 + PAGE + 16, 8)), 4 * PAGE + 32);
	assert_int_equal(word_at(gmem_uva(gm, 0x2008, PAGE + 24)), 3 * PAGE + 16);
	assert_null(gmem_gpa(gm, 0x1007, 1));
	assert_null(gmem_gpa(gm, 0x1008 + PAGE + 24, 1));
	/* The next one begins where this one ends. */
	assert_int_equal(add(&gm, 0x1008 + PAGE + 24, 8, 0x9000, 8), 0);
	gmem_put(gm);
	assert_int_equal(ftruncate(mem, FILE_SIZE - 100), 0);
	gm = gmem_new();
	assert_int_equal(add(&gm, 0, PAGE, 0, FILE_SIZE - PAGE), -EINVAL);
	assert_int_equal(add(&gm, 0, PAGE - 100, 0, FILE_SIZE - PAGE), 0);
	gmem_put(gm);
	assert_int_equal(ftruncate(mem, FILE_SIZE), 0);
}

/* Tables are copies that share what is mapped; a mapping lives as long as any table with it. */
static void sharing(void **state)
{
	struct gmem *one = gmem_new(), *two = NULL, *three = NULL;
	const struct gmem_conf first = {0, PAGE, 0, 0}, second = {PAGE, PAGE, PAGE, PAGE};
	const void *at;

	(void)state;
	assert_int_equal(add(&one, 0, PAGE, 0, 0), 0);
	at = gmem_gpa(one, 0, PAGE);
	assert_int_equal(gmem_with(one, &second, mem, &two), 0);
	assert_int_equal(mappings(), 2);
	assert_int_equal(gmem_count(one), 1);
	assert_null(gmem_gpa(one, PAGE, 1));
	assert_ptr_equal(gmem_gpa(two, 0, PAGE), at);
	assert_int_equal(gmem_without(two, &first, &three), 0);
	gmem_put(one);
	assert_int_equal(word_at(gmem_gpa(two, 0, 8)), 0);
	assert_ptr_equal(gmem_get(two), two);
	gmem_put(two);
	assert_int_equal(mappings(), 2);
	gmem_put(two);
	assert_int_equal(mappings(), 1);
	assert_int_equal(word_at(gmem_gpa(three, PAGE, 8)), PAGE);
	gmem_put(three);
	assert_int_equal(mappings(), 0);
}

static void pieces(void **state)
{
	struct gmem *gm = gmem_new();
	struct iovec iov[4];
	uint64_t buf[4];

	(void)state;
	assert_int_equal(add(&gm, 0x10000, PAGE, 0x10000, 0), 0);
	assert_int_equal(add(&gm, 0x11000, PAGE, 0x50000, 5 * PAGE), 0);
	assert_int_equal(add(&gm, 0x12000, PAGE, 0x20000, 9 * PAGE), 0);
	assert_int_equal(add(&gm, 0x14000, PAGE, 0x30000, 2 * PAGE), 0);
	assert_int_equal(gmem_gpa_iov(gm, 0x10ff0, 0x1020, true, iov, 4), 3);
	assert_int_equal(iov[0].iov_len, 0x10);
	assert_int_equal(word_at(iov[0].iov_base), 0xff0);
	assert_int_equal(iov[1].iov_len, PAGE);
	assert_int_equal(word_at(iov[1].iov_base), 5 * PAGE);
	assert_int_equal(iov[2].iov_len, 0x10);
	assert_int_equal(word_at(iov[2].iov_base), 9 * PAGE);
	assert_int_equal(gmem_gpa_iov(gm, 0x10ff0, 0x1020, true, iov, 2), -E2BIG);
	assert_int_equal(gmem_gpa_iov(gm, 0x10ff0, 0x10, true, iov, 1), 1);
	assert_int_equal(gmem_gpa_iov(gm, 0x10ff0, 0x10, true, iov, 0), -E2BIG);
	assert_int_equal(gmem_gpa_iov(gm, 0x12000, PAGE + 1, true, iov, 4), -EFAULT);
	assert_int_equal(gmem_gpa_iov(gm, 0x13fff, 2, true, iov, 4), -EFAULT);
	assert_int_equal(gmem_gpa_iov(gm, 0xffff, 2, true, iov, 4), -EFAULT);
	assert_int_equal(gmem_gpa_iov(gm, 0x14000, UINT64_MAX, true, iov, 4), -EFAULT);
	assert_int_equal(gmem_gpa_iov(gm, UINT64_MAX, UINT64_MAX, true, iov, 4), -EFAULT);
	assert_int_equal(gmem_read(gm, 0x10ff0, buf, 32), 0);
	assert_int_equal(buf[0], 0xff0);
	assert_int_equal(buf[2], 5 * PAGE);
	assert_int_equal(gmem_read(gm, 0x12ff0, buf, 32), -EFAULT);
	assert_null(gmem_gpa(gm, 0x10ff0, 32));
	gmem_put(gm);
}

/* A file that may not be written to gives memory that the device does not write to. */
static void read_only(void **state)
{
	struct gmem_conf conf = {0x10000, PAGE, 0x10000, PAGE};
	struct gmem *gm = gmem_new(), *with = NULL;
	struct iovec iov[2];
	char path[64];
	scoped_fd int ro = -1;

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", mem);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(ro >= 0);
	assert_int_equal(add(&gm, 0xf000, PAGE, 0xf000, 0), 0);
	assert_int_equal(gmem_with(gm, &conf, ro, &with), 0);
	assert_int_equal(gmem_gpa_iov(with, 0xfff0, 32, false, iov, 2), 2);
	assert_int_equal(word_at(iov[1].iov_base), PAGE);
	assert_int_equal(gmem_gpa_iov(with, 0xfff0, 32, true, iov, 2), -EFAULT);
	assert_int_equal(gmem_gpa_iov(with, 0xfff0, 16, true, iov, 2), 1);
	assert_int_equal(word_at(gmem_gpa(with, 0x10000, 8)), PAGE);
	assert_null(gmem_uva(with, 0x10000, 8));
	gmem_put(with);
	gmem_put(gm);
}

static void huge_pages(void **state)
{
	scoped_fd int huge = memfd_create(NAME, MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	struct gmem_conf conf = {0, 4 * PAGE, 0, 3 * PAGE};
	struct gmem *gm, *with = NULL;

	(void)state;
	/* Mapping takes pages of the pool at once, unless it has none. */
	if (huge < 0 || ftruncate(huge, 4 << 20) < 0)
		skip();
	gm = gmem_new();
	assert_int_equal(gmem_with(gm, &conf, huge, &with), 0);
	assert_non_null(gmem_gpa(with, 0, 4 * PAGE));
	gmem_put(with);
	gmem_put(gm);
	assert_int_equal(mappings(), 0);
}

#define MANY GMEM_REGIONS_MAX

struct model {
	uint64_t gpa, size, offset;
};

static const struct model *model_find(const struct model *m, uint64_t gpa)
{
	for (unsigned int i = 0; i < MANY; i++)
		if (gpa >= m[i].gpa && gpa - m[i].gpa < m[i].size)
			return &m[i];
	return NULL;
}

static void many_regions(void **state)
{
	static struct model m[MANY];
	struct gmem *gm = gmem_new();
	uint64_t seed = 12;

	(void)state;
	/* Slots of 16 pages in random order; each holds a region that fills it or leaves a gap. */
	for (unsigned int i = 0; i < MANY; i++) {
		unsigned int j = rnd_below(&seed, i + 1);

		m[i].gpa = m[j].gpa;
		m[j].gpa = (uint64_t)i * 16 * PAGE;
	}
	for (unsigned int i = 0; i < MANY; i++) {
		m[i].size = rnd_below(&seed, 2) ? 16 * PAGE : 8 * (1 + rnd_below(&seed, 1000));
		m[i].offset = 8 * (uint64_t)rnd_below(&seed, (FILE_SIZE - 16 * PAGE) / 8);
		assert_int_equal(
			add(&gm, m[i].gpa, m[i].size, m[i].gpa + (1ull << 40), m[i].offset), 0);
	}
	assert_int_equal(gmem_count(gm), MANY);
	assert_int_equal(add(&gm, 1ull << 50, PAGE, 1ull << 50, 0), -ENOSPC);
	for (int round = 0; round < 20000; round++) {
		uint64_t gpa = 8 * (uint64_t)rnd_below(&seed, (MANY + 1) * 16 * PAGE / 8);
		uint64_t len = 8 * (1 + (uint64_t)rnd_below(&seed, 3 * PAGE)), at = gpa;
		struct iovec iov[8];
		int n = gmem_gpa_iov(gm, gpa, len, true, iov, 8);

		for (int i = 0; i < n; i++) {
			const struct model *in = model_find(m, at);
			const char *base = iov[i].iov_base;
			size_t bytes = iov[i].iov_len;

			if (!in) {
				fail_msg("0x%llx is not mapped", (unsigned long long)at);
				return;
			}
			assert_true(bytes <= in->gpa + in->size - at);
			assert_int_equal(word_at(base), in->offset + (at - in->gpa));
			at += bytes;
			assert_int_equal(word_at(base + bytes - 8),
					 in->offset + (at - in->gpa) - 8);
		}
		if (n > 0) {
			assert_int_equal(at, gpa + len);
			continue;
		}
		assert_int_equal(n, -EFAULT);
		for (;;) {
			const struct model *in = model_find(m, at);

			if (!in)
				break;
			at = in->gpa + in->size;
		}
		assert_true(at < gpa + len);
	}
	for (unsigned int i = 0; i < MANY; i++)
		assert_int_equal(take(&gm, m[i].gpa, m[i].size, m[i].gpa + (1ull << 40)), 0);
	gmem_put(gm);
}

#define LOG_BYTES 64u

static void dirty_log(void **state)
{
	static uint8_t want[LOG_BYTES];
	struct gmem_log log = {0};
	uint64_t seed = 77;

	(void)state;
	gmem_log_done(&log);
	assert_int_equal(gmem_log_init(&log, mem, 0, 0), -EINVAL);
	assert_int_equal(gmem_log_init(&log, mem, FILE_SIZE, 1), -EINVAL);
	assert_int_equal(gmem_log_init(&log, -1, 8, 0), -EBADF);
	assert_int_equal(gmem_log_init(&log, mem, LOG_BYTES, PAGE + 8), 0);
	memset(log.base, 0, LOG_BYTES);
	for (int round = 0; round < 3000; round++) {
		uint64_t gpa = rnd_below(&seed, (LOG_BYTES * 8 + 20) * PAGE);
		uint64_t len = rnd_below(&seed, round % 3 ? 2 * PAGE : 100 * PAGE);

		gmem_log_gpa(&log, gpa, len);
		for (uint64_t at = gpa; at < gpa + len; at = (at | (PAGE - 1)) + 1)
			if (at / PAGE < LOG_BYTES * 8)
				want[at / PAGE / 8] |= 1u << at / PAGE % 8;
		assert_memory_equal(log.base, want, LOG_BYTES);
		/* The words around the log still are what they were. */
		assert_int_equal(word_at(log.base - 8), PAGE);
		assert_int_equal(word_at(log.base + LOG_BYTES), PAGE + 8 + LOG_BYTES);
		if (round % 50 == 0) {
			memset(log.base, 0, LOG_BYTES);
			memset(want, 0, LOG_BYTES);
		}
	}
	memset(log.base, 0, LOG_BYTES);
	memset(want, 0, LOG_BYTES);
	gmem_log_gpa(&log, UINT64_MAX, 1);
	gmem_log_gpa(&log, UINT64_MAX, UINT64_MAX);
	gmem_log_gpa(&log, UINT64_MAX - PAGE, 3 * PAGE);
	gmem_log_gpa(&log, 5, 0);
	assert_memory_equal(log.base, want, LOG_BYTES);
	gmem_log_gpa(&log, 8 * PAGE, UINT64_MAX);
	memset(want + 1, 0xff, LOG_BYTES - 1);
	assert_memory_equal(log.base, want, LOG_BYTES);
	gmem_log_done(&log);
	assert_null(log.base);
	assert_int_equal(mappings(), 0);
}

static void dirty_iov(void **state)
{
	struct gmem *gm = gmem_new();
	struct gmem_log log;
	struct iovec iov[4];
	uint8_t *bits;
	int n;

	(void)state;
	assert_int_equal(add(&gm, 0x10000, 2 * PAGE, 0, 32 * PAGE), 0);
	assert_int_equal(add(&gm, 0x12000, 4 * PAGE, 64 * PAGE, 0), 0);
	assert_int_equal(gmem_log_init(&log, mem, 8, 200 * PAGE), 0);
	bits = log.base;
	memset(bits, 0, 8);
	n = gmem_gpa_iov(gm, 0x11800, 0x2000, true, iov, 4);
	assert_int_equal(n, 2);
	/* Only what was written, though the buffers are longer. */
	gmem_log_iov(&log, gm, iov, 2, 1);
	assert_int_equal(bits[2], 0x02);
	gmem_log_iov(&log, gm, iov, 2, 0x800);
	assert_int_equal(bits[2], 0x02);
	gmem_log_iov(&log, gm, iov, 2, 0x801);
	assert_int_equal(bits[2], 0x06);
	gmem_log_iov(&log, gm, iov, 2, UINT64_MAX);
	assert_int_equal(bits[2], 0x0e);
	assert_int_equal(bits[0] | bits[1] | bits[3] | bits[4], 0);
	/* Memory that is not the guest's is not logged. */
	iov[0] = (struct iovec){&n, sizeof(n)};
	gmem_log_iov(&log, gm, iov, 1, 4);
	assert_int_equal(bits[2], 0x0e);
	gmem_log_done(&log);
	gmem_put(gm);
}

/* Replace *@gm by itself with the mirror at @gpa. */
static int put_mirror(struct gmem **gm, uint64_t gpa, const struct gmem_mirror *m)
{
	struct gmem *with = NULL;
	int r = gmem_with_mirror(*gm, gpa, m, &with);

	if (r == 0) {
		gmem_put(*gm);
		*gm = with;
	} else {
		assert_null(with);
	}
	return r;
}

/* What a system call makes of a guest address: the word there, or its errno. */
static int64_t word_by_call(const struct gmem *gm, uint64_t gpa)
{
	scoped_fd int fd = memfd_create("to", MFD_CLOEXEC);
	struct iovec iov;
	uint64_t v;

	if (gmem_gpa_iov(gm, gpa, sizeof(v), false, &iov, 1) != 1)
		return -EFAULT;
	if (pwritev(fd, &iov, 1, 0) != (ssize_t)sizeof(v))
		return -errno;
	assert_int_equal(pread(fd, &v, sizeof(v), 0), sizeof(v));
	return (int64_t)v;
}

/* The DAX window's mirror: what is mapped there is memory, the rest is an error of its own. */
static void mirror(void **state)
{
	const uint64_t size = 2u << 20, at = 1ull << 40;
	struct gmem *gm = gmem_new(), *held, *without;
	struct gmem_mirror *m = NULL;
	unsigned int before;

	(void)state;
	assert_int_equal(add(&gm, 0, 16 * PAGE, 0x1000000, 0), 0);
	assert_int_equal(gmem_mirror_new(size, &m), 0);
	assert_int_equal(put_mirror(&gm, PAGE, m), -EINVAL); /* there is memory */
	assert_int_equal(put_mirror(&gm, UINT64_MAX - PAGE, m), -EINVAL);
	assert_int_equal(put_mirror(&gm, at, m), 0);
	assert_int_equal(word_by_call(gm, at + 8), -EFAULT);

	/* Maps come and go under the table. */
	before = mappings();
	assert_int_equal(gmem_mirror_map(m, mem, 3 * PAGE, 4 * PAGE, 8 * PAGE, true), 0);
	assert_int_equal(word_by_call(gm, at + 4 * PAGE + 16), 3 * PAGE + 16);
	assert_int_equal(word_by_call(gm, at + 3 * PAGE), -EFAULT);
	assert_int_equal(word_by_call(gm, at + 12 * PAGE), -EFAULT);
	assert_int_equal(gmem_mirror_unmap(m, 4 * PAGE, 2 * PAGE), 0);
	assert_int_equal(word_by_call(gm, at + 4 * PAGE), -EFAULT);
	assert_int_equal(word_by_call(gm, at + 6 * PAGE), 5 * PAGE);
	assert_int_equal(mappings(), before + 1);

	/* Over its end, or over the file's. */
	assert_int_equal(gmem_mirror_map(m, mem, 0, size - PAGE, 2 * PAGE, true), -EINVAL);
	assert_int_equal(gmem_mirror_unmap(m, size, PAGE), -EINVAL);
	assert_int_equal(gmem_mirror_map(m, mem, FILE_SIZE - PAGE, 64 * PAGE, 2 * PAGE, true), 0);
	assert_int_equal(word_by_call(gm, at + 64 * PAGE), FILE_SIZE - PAGE);
	assert_int_equal(word_by_call(gm, at + 65 * PAGE), -EFAULT);

	/* No ring lies there; it is at one place only, and memory that comes goes before. */
	assert_null(gmem_uva(gm, 0, PAGE));
	assert_null(gmem_uva(gm, at, PAGE));
	assert_int_equal(put_mirror(&gm, 2 * at, m), 0);
	assert_int_equal(word_by_call(gm, at + 6 * PAGE), -EFAULT);
	assert_int_equal(word_by_call(gm, 2 * at + 6 * PAGE), 5 * PAGE);
	assert_int_equal(gmem_count(gm), 2);
	assert_int_equal(gmem_without_mirror(gm, &without), 0);
	assert_int_equal(gmem_count(without), 1);
	gmem_put(without);
	held = gmem_get(gm);
	assert_int_equal(add(&gm, 2 * at + PAGE, 16 * PAGE, 0x2000000, 0), 0);
	assert_int_equal(word_by_call(gm, 2 * at + PAGE), 0);
	assert_int_equal(word_by_call(gm, 2 * at + 64 * PAGE), -EFAULT);

	/* A table that is still in use finds nothing there when it is over. */
	assert_int_equal(word_by_call(held, 2 * at + 6 * PAGE), 5 * PAGE);
	gmem_mirror_free(m);
	assert_int_equal(word_by_call(held, 2 * at + 6 * PAGE), -EFAULT);
	gmem_put(held);
	gmem_put(gm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
		cmocka_unit_test_setup_teardown(unaligned, setup, teardown),
		cmocka_unit_test_setup_teardown(sharing, setup, teardown),
		cmocka_unit_test_setup_teardown(pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(huge_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(many_regions, setup, teardown),
		cmocka_unit_test_setup_teardown(mirror, setup, teardown),
		cmocka_unit_test_setup_teardown(dirty_log, setup, teardown),
		cmocka_unit_test_setup_teardown(dirty_iov, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
