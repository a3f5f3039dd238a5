// SPDX-License-Identifier: Apache-2.0
/* vu_dev: features, configuration space, resets. */
/*
 * Theory of operation
 *
 * The fixture plays front-end and owner in one thread. Numbers are written out, not taken from the
 * device's headers, so that a wrong bit there is found.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "util.h"
#include "vu_fixture.h"

static void test_hang_up(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, NULL);
	fd_close(&f.fe);
	assert_int_equal(vu_dev_handle(f.dev), 0);
	vu_dev_disconnect(f.dev);
	fix_calls(&f, "X");
	vu_dev_disconnect(f.dev);
	fix_calls(&f, "");
	fix_done(&f);
	vu_dev_free(NULL);
}

static uint64_t get_u64(struct fix *f, uint32_t request)
{
	uint64_t value;

	fix_get(f, request, NULL, 0, &value, sizeof(value), NULL);
	return value;
}

static void test_numbers(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, "tag");
	assert_true(get_u64(&f, VU_GET_FEATURES) == FIX_FEATURES);
	assert_true(get_u64(&f, VU_GET_PROTOCOL_FEATURES) == FIX_PROTOCOL);
	assert_int_equal(get_u64(&f, VU_GET_QUEUE_NUM), FIX_QUEUES);
	fix_negotiate(&f, FIX_FEATURES, FIX_PROTOCOL);
	assert_int_equal(get_u64(&f, VU_GET_MAX_MEM_SLOTS), GMEM_REGIONS_MAX);
	assert_int_equal(get_u64(&f, VU_GET_STATUS), 0);
	fix_u64(&f, VU_SET_STATUS, 0x0b);
	assert_int_equal(get_u64(&f, VU_GET_STATUS), 0x0b);
	fix_done(&f);
}

/* The message that negotiates REPLY_ACK is itself acknowledged. */
static void test_ack_at_once(void **state)
{
	const uint64_t protocol = BIT(VU_PROTOCOL_F_REPLY_ACK);
	struct fix f;

	(void)state;
	fix_init(&f, NULL);
	assert_int_equal(fix_ack(&f, VU_SET_PROTOCOL_FEATURES, &protocol, 8, NULL, 0), 0);
	fix_done(&f);
}

static void test_no_tag(void **state)
{
	uint64_t with = FIX_PROTOCOL;
	struct vu_config config = {.size = 1};
	struct fix f;

	(void)state;
	fix_init(&f, NULL);
	assert_true(get_u64(&f, VU_GET_PROTOCOL_FEATURES) == FIX_PROTOCOL_NOTAG);
	assert_int_equal(fix_do(&f, VU_SET_PROTOCOL_FEATURES, &with, 8, NULL, 0), -EINVAL);
	fix_negotiate(&f, FIX_FEATURES, FIX_PROTOCOL_NOTAG);
	assert_int_equal(fix_do(&f, VU_GET_CONFIG, &config, VU_CONFIG_HDR + 1, NULL, 0),
			 -EOPNOTSUPP);
	fix_done(&f);
}

static void config_case(struct fix *f, uint32_t offset, uint32_t size)
{
	struct vu_config ask = {.offset = offset, .size = size, .flags = 1}, answer;
	uint8_t space[VU_CONFIG_MAX] = "a longer tag";
	const uint32_t queues = htole32(FIX_QUEUES - 1);

	memcpy(space + 36, &queues, sizeof(queues));
	if (offset > VU_CONFIG_MAX || size > VU_CONFIG_MAX - offset) {
		fix_get(f, VU_GET_CONFIG, &ask, VU_CONFIG_HDR + MIN(size, VU_CONFIG_MAX), &answer,
			0, NULL);
		return;
	}
	fix_get(f, VU_GET_CONFIG, &ask, VU_CONFIG_HDR + size, &answer, VU_CONFIG_HDR + size, NULL);
	assert_memory_equal(&answer, &ask, VU_CONFIG_HDR);
	assert_memory_equal(answer.data, space + offset, size);
}

static void test_config(void **state)
{
	static const uint32_t far[] = {255, 256, 257, 0x7fffffff, 0x80000000, UINT32_MAX};
	struct vu_config ask = {.size = 8}, answer;
	struct fix f;

	(void)state;
	fix_init(&f, "a longer tag");
	fix_negotiate(&f, FIX_FEATURES, FIX_PROTOCOL);
	for (uint32_t offset = 0; offset <= 64; offset++)
		for (uint32_t size = 0; size <= 64; size++)
			config_case(&f, offset, size);
	for (size_t i = 0; i < ARRAY_SIZE(far); i++) {
		for (uint32_t n = 0; n <= 2; n++) {
			config_case(&f, far[i], n);
			config_case(&f, n, far[i]);
		}
		config_case(&f, far[i], far[i]);
	}
	config_case(&f, 0, VU_CONFIG_MAX);
	/* A payload that is not what it says. */
	fix_get(&f, VU_GET_CONFIG, &ask, VU_CONFIG_HDR + 7, &answer, 0, NULL);
	fix_get(&f, VU_GET_CONFIG, &ask, VU_CONFIG_HDR + 9, &answer, 0, NULL);
	fix_done(&f);
}

static void test_tags(void **state)
{
	static const char *const bad[] = {"", "1234567890123456789012345678901234567"};
	const char *longest = "123456789012345678901234567890123456";
	struct vu_config ask = {.size = 36}, answer;
	struct vu_dev *dev = NULL;
	struct vu_dev_conf conf = {.max_queues = 2};
	struct fix f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		conf.tag = bad[i];
		assert_int_equal(vu_dev_new(&conf, &dev), -EINVAL);
		assert_null(dev);
	}
	conf.tag = NULL;
	conf.max_queues = 0;
	assert_int_equal(vu_dev_new(&conf, &dev), -EINVAL);
	conf.max_queues = VU_QUEUES_MAX + 1;
	assert_int_equal(vu_dev_new(&conf, &dev), -EINVAL);
	fix_init(&f, longest);
	fix_negotiate(&f, FIX_FEATURES, FIX_PROTOCOL);
	fix_get(&f, VU_GET_CONFIG, &ask, VU_CONFIG_HDR + 36, &answer, VU_CONFIG_HDR + 36, NULL);
	assert_memory_equal(answer.data, longest, 36);
	assert_null(vu_dev_vring(f.dev, FIX_QUEUES));
	assert_non_null(vu_dev_vring(f.dev, FIX_QUEUES - 1));
	fix_done(&f);
}

/* Features may not change under a ring that is served; only logging may. */
static void test_features_while_running(void **state)
{
	uint64_t features = FIX_SPLIT & ~BIT(29);
	struct fix f;

	(void)state;
	fix_init(&f, NULL);
	fix_negotiate(&f, FIX_SPLIT, FIX_PROTOCOL_NOTAG);
	fix_memory(&f);
	fix_ring(&f, 0, 16, 0);
	assert_int_equal(fix_state(&f, VU_SET_VRING_ENABLE, 0, 1), 1);
	f.calls[0] = '\0';
	assert_true(fix_ack(&f, VU_SET_FEATURES, &features, 8, NULL, 0) != 0);
	fix_calls(&f, "");
	assert_true(vu_dev_vring(f.dev, 0)->vq.conf.event_idx);
	fix_u64(&f, VU_SET_FEATURES, FIX_SPLIT | BIT(VU_F_LOG_ALL));
	fix_calls(&f, "QR");
	/* Disabled, it is stopped: the guest's driver is being set up anew. */
	assert_int_equal(fix_state(&f, VU_SET_VRING_ENABLE, 0, 0), 1);
	fix_u64(&f, VU_SET_FEATURES, features);
	fix_calls(&f, "QR-0QR");
	fix_done(&f);
}

static void test_resets(void **state)
{
	struct vu_vring *vr;
	struct fix f;

	(void)state;
	fix_init(&f, NULL);
	fix_negotiate(&f, FIX_SPLIT, FIX_PROTOCOL_NOTAG);
	fix_memory(&f);
	vr = vu_dev_vring(f.dev, 1);
	for (unsigned int how = 0; how < 3; how++) {
		fix_ring(&f, 1, 16, 7);
		assert_int_equal(fix_state(&f, VU_SET_VRING_ENABLE, 1, 1), 1);
		fix_u64(&f, VU_SET_STATUS, 0x0f);
		f.calls[0] = '\0';
		if (how == 0) {
			/* QEMU pauses a guest: no reset, and the base is still asked for. */
			fix_u64(&f, VU_SET_STATUS, 0);
			fix_calls(&f, "-1");
			assert_int_equal(fix_get_base(&f, 1), 7);
		} else if (how == 1) {
			assert_int_equal(fix_do(&f, VU_RESET_OWNER, NULL, 0, NULL, 0), 1);
			fix_calls(&f, "-1");
			assert_int_equal(get_u64(&f, VU_GET_STATUS), 0x0f);
		} else {
			assert_int_equal(fix_do(&f, VU_RESET_DEVICE, NULL, 0, NULL, 0), 1);
			fix_calls(&f, "-1X");
			assert_int_equal(get_u64(&f, VU_GET_STATUS), 0);
			assert_int_equal(fix_get_base(&f, 1), 0);
		}
		assert_false(vr->started);
		assert_false(vr->enabled);
		assert_int_equal(vr->kick_fd, -1);
		assert_true(vr->call_fd >= 0);
	}
	/* Memory was kept through all that. */
	fix_ring(&f, 1, 16, 0);
	fix_calls(&f, "QR+1");
	fix_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hang_up),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_ack_at_once),
		cmocka_unit_test(test_no_tag),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_features_while_running),
		cmocka_unit_test(test_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
