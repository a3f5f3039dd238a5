// SPDX-License-Identifier: Apache-2.0
/* vu_mem: memory tables, whole and by slots, also while a ring is served. */
/*
 * Theory of operation
 *
 * Most tests have one thread. In the last one a second thread serves a ring as a queue thread
 * would, under a lock that the owner's quiesce and resume take, while the front-end changes the
 * table under it; the driver checks that every buffer comes back once. The sanitizers look for the
 * rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fd.h"
#include "util.h"
#include "vu_fixture.h"

#define HALF (FIX_RAM / 2)

static void begin(struct fix *f)
{
	fix_init(f, NULL);
	fix_negotiate(f, FIX_SPLIT, FIX_PROTOCOL_NOTAG);
}

/* SET_MEM_TABLE by 2 regions or less, of the same file. */
static int set_table(struct fix *f, const struct vu_mem_region *a, const struct vu_mem_region *b)
{
	struct vu_mem_table table = {0};
	const int fds[2] = {f->memfd, f->memfd};

	if (a)
		table.region[table.count++] = *a;
	if (b)
		table.region[table.count++] = *b;
	return fix_do(f, VU_SET_MEM_TABLE, &table,
		      offsetof(struct vu_mem_table, region) + table.count * sizeof(*a), fds,
		      table.count);
}

static int change(struct fix *f, uint32_t request, struct vu_mem_region region, int fd)
{
	const struct vu_mem_reg reg = {.region = region};

	return fix_do(f, request, &reg, sizeof(reg), &fd, fd >= 0);
}

static void test_bad_regions(void **state)
{
	static const struct vu_mem_region bad[] = {
		{.gpa = 0, .size = 0, .uva = 0, .offset = 0},
		{.gpa = 0, .size = FIX_RAM + 1, .uva = 0, .offset = 0},
		{.gpa = 0, .size = 4096, .uva = 0, .offset = FIX_RAM},
		{.gpa = 0, .size = 4096, .uva = 0, .offset = UINT64_MAX - 4095},
		{.gpa = 0, .size = 4096, .uva = 0, .offset = UINT64_MAX - 100},
		{.gpa = UINT64_MAX - 100, .size = 4096, .uva = 0, .offset = 0},
		{.gpa = 0, .size = 4096, .uva = UINT64_MAX - 100, .offset = 0},
		{.gpa = 0, .size = UINT64_MAX, .uva = 0, .offset = 0},
		{.gpa = 0, .size = UINT64_MAX - 4095, .uva = 0, .offset = 4096},
	};
	const struct vu_mem_region half = fix_region(0, HALF), rest = fix_region(HALF, HALF);
	struct vu_mem_region over = fix_region(HALF - 4096, 8192);
	unsigned int before = fix_open_fds(), maps;
	struct vu_mem_table table = {.count = 9};
	struct fix f;

	(void)state;
	begin(&f);
	maps = fix_mappings();
	assert_int_equal(set_table(&f, &half, NULL), 1);
	assert_int_equal(fix_mappings(), maps + 1);
	f.calls[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(set_table(&f, &bad[i], NULL), -EINVAL);
		assert_int_equal(set_table(&f, &half, &bad[i]), -EINVAL);
		assert_int_equal(set_table(&f, &rest, &bad[i]), -EINVAL);
		assert_int_equal(change(&f, VU_ADD_MEM_REG, bad[i], f.memfd), -EINVAL);
	}
	assert_int_equal(set_table(&f, &half, &half), -EINVAL);
	assert_int_equal(set_table(&f, &half, &over), -EINVAL);
	assert_int_equal(change(&f, VU_ADD_MEM_REG, half, f.memfd), -EINVAL);
	assert_int_equal(change(&f, VU_ADD_MEM_REG, over, f.memfd), -EINVAL);
	/* Overlapping by one of the two addresses only. */
	over = rest;
	over.gpa = half.gpa;
	assert_int_equal(change(&f, VU_ADD_MEM_REG, over, f.memfd), -EINVAL);
	over = rest;
	over.uva = half.uva;
	assert_int_equal(change(&f, VU_ADD_MEM_REG, over, f.memfd), -EINVAL);
	/* More regions than there are, or than came with descriptors, or than the payload holds. */
	assert_int_equal(fix_do(&f, VU_SET_MEM_TABLE, &table, sizeof(table), &f.memfd, 1), -EINVAL);
	table.count = UINT32_MAX;
	assert_int_equal(fix_do(&f, VU_SET_MEM_TABLE, &table, sizeof(table), &f.memfd, 1), -EINVAL);
	table.count = 1;
	assert_int_equal(fix_do(&f, VU_SET_MEM_TABLE, &table, sizeof(table), NULL, 0), -EINVAL);
	assert_int_equal(fix_do(&f, VU_SET_MEM_TABLE, &table, 39, &f.memfd, 1), -EINVAL);
	/* The old table stayed in force, and nobody was disturbed. */
	fix_calls(&f, "");
	assert_int_equal(fix_mappings(), maps + 1);
	fix_ring(&f, 0, 16, 0);
	assert_true(vu_dev_vring(f.dev, 0)->started);
	fix_done(&f);
	assert_int_equal(fix_open_fds(), before);
	assert_int_equal(fix_mappings(), maps - 1);
}

/* User-Mode Linux sends room for two regions whatever the count. */
static void test_larger_payload(void **state)
{
	struct vu_mem_table table = {.count = 1, .region[0] = fix_region(0, FIX_RAM)};
	struct fix f;

	(void)state;
	begin(&f);
	assert_int_equal(fix_do(&f, VU_SET_MEM_TABLE, &table,
				offsetof(struct vu_mem_table, region[2]), &f.memfd, 1),
			 1);
	assert_int_equal(set_table(&f, NULL, NULL), 1);
	fix_done(&f);
}

static void test_slots(void **state)
{
	struct vu_mem_region region;
	struct vu_mem_reg gone = {0};
	unsigned int before = fix_open_fds(), open_fds, maps;
	struct fix f;

	(void)state;
	begin(&f);
	maps = fix_mappings();
	open_fds = fix_open_fds();
	for (unsigned int i = 0; i < GMEM_REGIONS_MAX; i++)
		assert_int_equal(change(&f, VU_ADD_MEM_REG, fix_region(i * 8192, 4096), f.memfd),
				 1);
	assert_int_equal(fix_open_fds(), open_fds);
	assert_int_equal(fix_mappings(), maps + GMEM_REGIONS_MAX);
	assert_int_equal(change(&f, VU_ADD_MEM_REG, fix_region(UINT64_C(511) * 8192, 4096),
				f.memfd),
			 -ENOSPC);
	/* Address, size and user address name it; all three. */
	f.calls[0] = '\0';
	region = fix_region(8192, 4096);
	for (unsigned int i = 0; i < 3; i++) {
		struct vu_mem_region other = region;

		other.gpa += i == 0 ? 8192 : 0;
		other.size += i == 1 ? 1 : 0;
		other.uva += i == 2 ? 8192 : 0;
		assert_int_equal(change(&f, VU_REM_MEM_REG, other, -1), 1);
	}
	fix_calls(&f, "");
	/* The offset does not; a descriptor is accepted, and closed. */
	region.offset = 99;
	assert_int_equal(change(&f, VU_REM_MEM_REG, region, f.memfd), 1);
	fix_calls(&f, "QR");
	assert_int_equal(fix_open_fds(), open_fds);
	assert_int_equal(fix_mappings(), maps + GMEM_REGIONS_MAX - 1);
	assert_int_equal(change(&f, VU_ADD_MEM_REG, fix_region(8192, 4096), f.memfd), 1);
	for (unsigned int i = 0; i < GMEM_REGIONS_MAX; i++)
		assert_int_equal(change(&f, VU_REM_MEM_REG, fix_region(i * 8192, 4096), -1), 1);
	assert_int_equal(fix_mappings(), maps);
	/* Gone already. */
	gone.region = region;
	assert_int_equal(fix_ack(&f, VU_REM_MEM_REG, &gone, sizeof(gone), NULL, 0), ENOENT);
	fix_done(&f);
	assert_int_equal(fix_open_fds(), before);
}

/* What a new table repeats keeps its mapping; what only looks the same does not. */
static void test_shared(void **state)
{
	const struct vu_mem_region half = fix_region(0, HALF), rest = fix_region(HALF, HALF);
	struct vu_mem_table table = {.count = 1, .region[0] = half};
	struct fix f;
	struct vq *vq;
	void *desc;
	int other;

	(void)state;
	begin(&f);
	vq = &vu_dev_vring(f.dev, 0)->vq;
	assert_int_equal(set_table(&f, &half, NULL), 1);
	fix_ring(&f, 0, 16, 0);
	desc = vq->desc;
	f.calls[0] = '\0';
	assert_int_equal(set_table(&f, &rest, &half), 1);
	fix_calls(&f, "QR");
	assert_ptr_equal(vq->desc, desc);
	assert_int_equal(gmem_count(vq->gm), 2);
	assert_int_equal(set_table(&f, &half, NULL), 1);
	assert_ptr_equal(vq->desc, desc);
	/* The same addresses, another file. */
	other = memfd_create("vu-test-other", MFD_CLOEXEC);
	assert_int_equal(ftruncate(other, HALF), 0);
	assert_int_equal(pwrite(other, "new", 3, FIX_DESC(0)), 3);
	assert_int_equal(fix_do(&f, VU_SET_MEM_TABLE, &table,
				offsetof(struct vu_mem_table, region[1]), &other, 1),
			 1);
	assert_memory_equal(vq->desc, "new", 3);
	/* The same file, another place in it. */
	assert_int_equal(pwrite(other, "moved", 5, 4096 + FIX_DESC(0)), 5);
	table.region[0].offset = 4096;
	assert_int_equal(ftruncate(other, HALF + 4096), 0);
	assert_int_equal(fix_do(&f, VU_SET_MEM_TABLE, &table,
				offsetof(struct vu_mem_table, region[1]), &other, 1),
			 1);
	assert_memory_equal(vq->desc, "moved", 5);
	assert_true(vu_dev_vring(f.dev, 0)->started);
	assert_false(vq->broken);
	fix_done(&f);
	fd_close(&other);
}

/* The memory of a ring goes and comes back. */
static void test_lost(void **state)
{
	const struct vu_mem_region half = fix_region(0, HALF), rest = fix_region(HALF, HALF);
	struct vu_vring *vr;
	struct fix f;

	(void)state;
	begin(&f);
	vr = vu_dev_vring(f.dev, 0);
	assert_int_equal(set_table(&f, &half, &rest), 1);
	fix_ring(&f, 0, 16, 0);
	assert_int_equal(change(&f, VU_REM_MEM_REG, half, -1), 1);
	assert_true(vr->started);
	assert_true(vr->lost && vr->vq.broken);
	assert_int_equal(fix_counter(f.err[0]), 1);
	assert_int_equal(change(&f, VU_REM_MEM_REG, rest, -1), 1);
	assert_true(vr->lost && vr->vq.broken);
	assert_int_equal(change(&f, VU_ADD_MEM_REG, half, f.memfd), 1);
	assert_false(vr->lost || vr->vq.broken);
	/* A ring that the guest broke stays broken. */
	vr->vq.broken = true;
	assert_int_equal(set_table(&f, NULL, NULL), 1);
	assert_int_equal(set_table(&f, &half, NULL), 1);
	assert_true(vr->vq.broken);
	assert_false(vr->lost);
	/* Stopped while it is lost, it has forgotten that when it starts again. */
	fix_get_base(&f, 0);
	fix_ring(&f, 0, 16, 0);
	assert_false(vr->vq.broken);
	assert_int_equal(set_table(&f, NULL, NULL), 1);
	assert_true(vr->lost);
	fix_get_base(&f, 0);
	assert_false(vr->lost);
	fix_done(&f);
}

/* ---- under I/O ---- */

#define RING   16
#define ROUNDS 400

static struct worker {
	struct fix *f;
	pthread_mutex_t lock;
	atomic_bool quit;
} worker = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void hold(struct fix *f)
{
	(void)f;
	pthread_mutex_lock(&worker.lock);
}

static void let_go(struct fix *f)
{
	(void)f;
	pthread_mutex_unlock(&worker.lock);
}

static void *work(void *arg)
{
	struct vu_vring *vr = vu_dev_vring(worker.f->dev, 0);
	struct iovec iov[VQ_CHAIN_IOV(RING)];

	(void)arg;
	while (!atomic_load(&worker.quit)) {
		pthread_mutex_lock(&worker.lock);
		for (unsigned int n = 0; n < RING; n++) {
			struct vq_chain chain = {.iov = iov, .max = ARRAY_SIZE(iov)};

			if (vq_pop(&vr->vq, &chain) != 1)
				break;
			if (!chain.faulted && chain.nwrite == 1)
				memset(iov[0].iov_base, 0x5a, iov[0].iov_len);
			vq_push(&vr->vq, &chain, chain.faulted ? 0 : 64, vr->vq.gm);
		}
		vq_flush(&vr->vq);
		pthread_mutex_unlock(&worker.lock);
		sched_yield();
	}
	return NULL;
}

static void test_replaced_under_io(void **state)
{
	const struct vu_mem_region half = fix_region(0, HALF), rest = fix_region(HALF, HALF);
	unsigned int before = fix_open_fds(), maps = fix_mappings(), faulted = 0;
	struct vring_avail *avail;
	struct vring_desc *desc;
	struct vring_used *used;
	pthread_t thread;
	struct fix f;

	(void)state;
	begin(&f);
	assert_int_equal(set_table(&f, &half, &rest), 1);
	fix_ring(&f, 0, RING, 0);
	desc = (void *)(f.ram + FIX_DESC(0));
	avail = (void *)(f.ram + FIX_AVAIL(0));
	used = (void *)(f.ram + FIX_USED(0));
	worker.f = &f;
	atomic_store(&worker.quit, false);
	f.on_quiesce = hold;
	f.on_resume = let_go;
	assert_int_equal(pthread_create(&thread, NULL, work, NULL), 0);
	for (uint16_t i = 0; i < ROUNDS; i++) {
		/* Buffers lie in the half that comes and goes. */
		uint64_t at = HALF + 64 * (uint64_t)i;
		uint16_t slot = i % RING;

		desc[slot] = (struct vring_desc){
			.addr = FIX_GPA + at, .len = 64, .flags = VRING_DESC_F_WRITE};
		avail->ring[slot] = slot;
		__atomic_store_n(&avail->idx, i + 1, __ATOMIC_RELEASE);
		f.calls[0] = '\0';
		if (i % 4 == 1)
			assert_int_equal(change(&f, VU_REM_MEM_REG, rest, -1), 1);
		else if (i % 4 == 2)
			assert_int_equal(change(&f, VU_ADD_MEM_REG, rest, f.memfd), 1);
		else
			assert_int_equal(
				set_table(&f, i % 4 ? &half : &rest, i % 4 ? &rest : &half), 1);
		fix_calls(&f, "QR");
		while (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) != i + 1)
			sched_yield();
		assert_int_equal(used->ring[slot].id, slot);
		assert_int_equal(f.ram[at], used->ring[slot].len ? 0x5a : 0);
		faulted += used->ring[slot].len == 0;
	}
	atomic_store(&worker.quit, true);
	pthread_join(thread, NULL);
	/* Only a buffer that was made available around the removal can have missed its memory. */
	assert_true(faulted <= ROUNDS / 4 * 2);
	assert_int_equal(fix_get_base(&f, 0), ROUNDS);
	fix_done(&f);
	assert_int_equal(fix_open_fds(), before);
	assert_int_equal(fix_mappings(), maps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_regions), cmocka_unit_test(test_larger_payload),
		cmocka_unit_test(test_slots),       cmocka_unit_test(test_shared),
		cmocka_unit_test(test_lost),        cmocka_unit_test(test_replaced_under_io),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
