// SPDX-License-Identifier: Apache-2.0
/* vu_inflight: the region that outlives the daemon, from being made to being found again. */
/*
 * Theory of operation
 *
 * The daemon's death is played by a new connection on the same device: what the old one held is in
 * the region alone. The driver's side of the ring is written by the tests.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "util.h"
#include "vu_fixture.h"

static struct vu_vring *ring(struct fix *f, unsigned int index)
{
	return vu_dev_vring(f->dev, index);
}

static int get_inflight(struct fix *f, uint16_t queues, uint16_t size, size_t payload,
			struct vu_inflight *ret)
{
	const struct vu_inflight ask = {.num_queues = queues, .queue_size = size};
	int fd;

	*ret = (struct vu_inflight){0};
	fix_get(f, VU_GET_INFLIGHT_FD, &ask, payload, ret, payload, &fd);
	return fd;
}

static int set_inflight(struct fix *f, const struct vu_inflight *desc, int fd)
{
	return fix_do(f, VU_SET_INFLIGHT_FD, desc, sizeof(*desc), &fd, 1);
}

static void make_available(struct fix *f, unsigned int index, uint16_t head)
{
	struct vring_desc *desc = (void *)(f->ram + FIX_DESC(index));
	struct vring_avail *avail = (void *)(f->ram + FIX_AVAIL(index));

	desc[head] = (struct vring_desc){.addr = FIX_GPA + 0x100000, .len = 100};
	avail->ring[avail->idx % 16] = head;
	__atomic_store_n(&avail->idx, avail->idx + 1, __ATOMIC_RELEASE);
}

static void test_inflight(void **state)
{
	unsigned int before = fix_open_fds(), maps = fix_mappings();
	struct iovec iov[VQ_CHAIN_IOV(16)];
	struct vq_chain chain = {.iov = iov, .max = ARRAY_SIZE(iov)};
	struct vu_inflight desc, again;
	struct stat st;
	struct fix f;
	int fd;

	(void)state;
	fix_begin(&f, FIX_SPLIT);
	fd = get_inflight(&f, 2, 16, VU_INFLIGHT_MIN, &again);
	assert_true(fd >= 0);
	fd_close(&fd);
	fd = get_inflight(&f, 2, 16, sizeof(desc), &desc);
	assert_true(fd >= 0);
	assert_memory_equal(&desc, &again, sizeof(desc));
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(desc.mmap_size, st.st_size);
	assert_int_equal(desc.mmap_offset, 0);
	assert_int_equal(desc.num_queues, 2);
	assert_int_equal(desc.queue_size, 16);
	/* The front-end cannot shrink what we have mapped. */
	assert_true(ftruncate(fd, 0) < 0);
	assert_int_equal(set_inflight(&f, &desc, fd), 1);
	/* To each queue its own part; to the third, none. */
	assert_int_equal(ring(&f, 0)->inflight_size, desc.mmap_size / 2);
	assert_ptr_equal(ring(&f, 1)->inflight, ring(&f, 0)->inflight + desc.mmap_size / 2);
	assert_null(ring(&f, 2)->inflight);
	fix_ring(&f, 1, 16, 0);
	fix_enable(&f, 1, true);
	assert_non_null(ring(&f, 1)->vq.infl);
	make_available(&f, 1, 3);
	make_available(&f, 1, 9);
	assert_int_equal(vq_pop(&ring(&f, 1)->vq, &chain), 1);
	assert_int_equal(chain.id, 3);
	assert_int_equal(vq_pop(&ring(&f, 1)->vq, &chain), 1);
	vq_push(&ring(&f, 1)->vq, &chain, 0, ring(&f, 1)->vq.gm);
	vq_flush(&ring(&f, 1)->vq);
	/* Not under a ring that is served. */
	assert_int_equal(set_inflight(&f, &desc, fd), -EBUSY);
	assert_non_null(ring(&f, 1)->vq.infl);

	/* The daemon dies with chain 3 in its hands; the next one finds it. */
	fix_connect(&f);
	fix_negotiate(&f, FIX_SPLIT, FIX_PROTOCOL_NOTAG);
	fix_memory(&f);
	assert_int_equal(set_inflight(&f, &desc, fd), 1);
	fix_ring(&f, 1, 16, 0);
	assert_int_equal(vq_pop(&ring(&f, 1)->vq, &chain), 1);
	assert_int_equal(chain.id, 3);
	assert_int_equal(vq_pop(&ring(&f, 1)->vq, &chain), 0);
	assert_int_equal(fix_get_base(&f, 1), 2);

	/* A queue size that the region was not made for: the ring does not start. */
	fix_ring(&f, 0, 32, 0);
	assert_false(ring(&f, 0)->started);
	assert_int_equal(fix_counter(f.err[0]), 1);
	/* A reset drops the region, and then it does. */
	assert_int_equal(fix_do(&f, VU_RESET_DEVICE, NULL, 0, NULL, 0), 1);
	fix_ring(&f, 0, 32, 0);
	assert_true(ring(&f, 0)->started);
	assert_null(ring(&f, 0)->vq.infl);
	fix_done(&f);
	fd_close(&fd);
	assert_int_equal(fix_open_fds(), before);
	assert_int_equal(fix_mappings(), maps);
}

static void test_bad_inflight(void **state)
{
	unsigned int before = fix_open_fds(), maps = fix_mappings();
	struct vu_inflight good, bad;
	struct fix f;
	int fd, small, null;

	(void)state;
	fix_begin(&f, FIX_SPLIT | BIT(34));
	fd = get_inflight(&f, FIX_QUEUES, 1024, sizeof(good), &good);
	assert_true(fd >= 0);
	assert_int_equal(good.mmap_size % (64 * FIX_QUEUES), 0);
#define BAD(field, value)                                              \
	do {                                                           \
		bad = good;                                            \
		bad.field = (value);                                   \
		assert_int_equal(set_inflight(&f, &bad, fd), -EINVAL); \
	} while (0)
	BAD(num_queues, 0);
	BAD(num_queues, FIX_QUEUES + 1);
	BAD(num_queues, UINT16_MAX);
	BAD(queue_size, 0);
	BAD(queue_size, 1025);
	BAD(queue_size, UINT16_MAX);
	BAD(mmap_size, 0);
	BAD(mmap_size, good.mmap_size - 1);
	BAD(mmap_size, good.mmap_size + 1);
	BAD(mmap_size, UINT64_MAX);
	BAD(mmap_offset, 1);
	BAD(mmap_offset, 4096);
	BAD(mmap_offset, UINT64_MAX - 4095);
#undef BAD
	for (unsigned int i = 0; i < 2; i++) {
		bad = (struct vu_inflight){.num_queues = i ? 1 : 0, .queue_size = i ? 0 : 1};
		assert_int_equal(fix_do(&f, VU_GET_INFLIGHT_FD, &bad, sizeof(bad), NULL, 0),
				 -EINVAL);
	}
	small = memfd_create("vu-test", MFD_CLOEXEC);
	assert_int_equal(set_inflight(&f, &good, small), -EINVAL);
	null = open("/dev/zero", O_RDWR | O_CLOEXEC);
	assert_int_equal(set_inflight(&f, &good, null), -EINVAL);
	assert_int_equal(set_inflight(&f, &good, fd), 1);
	assert_int_equal(set_inflight(&f, &good, fd), 1);
	fix_done(&f);
	fd_close(&fd);
	fd_close(&small);
	fd_close(&null);
	assert_int_equal(fix_open_fds(), before);
	assert_int_equal(fix_mappings(), maps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inflight),
		cmocka_unit_test(test_bad_inflight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
