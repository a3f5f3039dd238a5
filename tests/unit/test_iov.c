// SPDX-License-Identifier: Apache-2.0
/* The cursor over guest buffers. */
/*
 * Theory of operation
 *
 * A flat buffer is the model of a list of segments, empty ones among them, which lie in memory the
 * other way round and apart. Random operations are done through the cursor and, by plain arithmetic,
 * on the flat buffer; results must be the same, and what lies between the segments stays as it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "iov.h"
#include "rnd.h"
#include "util.h"

#define FLAT 1000
#define SEGS 40

#define GAP 8

struct cut {
	uint8_t flat[FLAT];
	uint8_t mem[FLAT + (SEGS + 1) * GAP];
	struct iovec iov[SEGS];
	unsigned int cnt;
	size_t total;
};

static void cut_up(struct cut *c, uint64_t *seed)
{
	uint8_t *at = c->mem + sizeof(c->mem) - GAP;
	size_t len;

	memset(c->mem, 0xa5, sizeof(c->mem));
	c->total = 0;
	c->cnt = rnd_below(seed, SEGS + 1);
	for (unsigned int i = 0; i < c->cnt; i++) {
		len = rnd_below(seed, 4) ? rnd_below(seed, 50) : 0;
		len = MIN(len, FLAT - c->total);
		at -= len;
		/* An empty segment's address must not be touched. */
		c->iov[i] = (struct iovec){len ? at : (void *)1, len};
		for (size_t b = 0; b < len; b++)
			c->flat[c->total++] = at[b] = (uint8_t)rnd(seed);
		at -= GAP;
	}
}

/* The segments hold what the model does, and nothing else was written to. */
static void check_memory(const struct cut *c)
{
	const uint8_t *at = c->mem + sizeof(c->mem) - GAP;
	size_t pos = 0;

	for (unsigned int i = 0; i < c->cnt; i++) {
		size_t len = c->iov[i].iov_len;

		at -= len;
		assert_memory_equal(at, c->flat + pos, len);
		for (unsigned int b = 0; b < GAP; b++)
			assert_int_equal(at[len + b], 0xa5);
		at -= GAP;
		pos += len;
	}
}

/* Compare what iov_slice() says with the bytes from @pos on. */
static void check_slice(const struct cut *c, const struct iov_cursor *cur, size_t pos, size_t end,
			uint64_t *seed)
{
	struct iovec vec[SEGS + 1];
	unsigned int max = rnd_below(seed, SEGS + 1);
	size_t want = rnd_below(seed, FLAT + 10), got = 77, sum = 0;
	struct iov_cursor before = *cur;
	unsigned int n = iov_slice(cur, want, vec, max, &got);

	assert_memory_equal(&before, cur, sizeof(before));
	assert_true(n <= max);
	for (unsigned int i = 0; i < n; i++) {
		assert_true(vec[i].iov_len > 0);
		assert_memory_equal(vec[i].iov_base, c->flat + pos + sum, vec[i].iov_len);
		sum += vec[i].iov_len;
	}
	assert_int_equal(sum, got);
	assert_true(got <= want && got <= end - pos);
	if (n < max)
		assert_int_equal(got, MIN(want, end - pos));
}

static void differential(void **state)
{
	uint64_t seed = 20261103;
	static struct cut c;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		uint8_t buf[FLAT + 10];
		struct iov_cursor cur;
		size_t pos = 0, end;

		cut_up(&c, &seed);
		end = c.total;
		iov_init(&cur, c.iov, c.cnt);
		for (int op = 0; op < 30; op++) {
			size_t len = rnd_below(&seed, rnd_below(&seed, 8) ? 60 : FLAT + 10);
			size_t want = MIN(len, end - pos);

			assert_int_equal(cur.left, end - pos);
			switch (rnd_below(&seed, 5)) {
			case 0:
				memset(buf, 0xee, sizeof(buf));
				assert_int_equal(iov_read(&cur, buf, len), want);
				assert_memory_equal(buf, c.flat + pos, want);
				assert_int_equal(buf[want], 0xee);
				pos += want;
				break;
			case 1:
				for (size_t i = 0; i < len; i++)
					buf[i] = (uint8_t)rnd(&seed);
				memcpy(c.flat + pos, buf, want);
				assert_int_equal(iov_write(&cur, buf, len), want);
				check_memory(&c);
				pos += want;
				break;
			case 2:
				assert_int_equal(iov_skip(&cur, len), want);
				pos += want;
				break;
			case 3:
				if (rnd_below(&seed, 4) == 0) {
					iov_truncate(&cur, len);
					end = pos + want;
				}
				break;
			default:
				check_slice(&c, &cur, pos, end, &seed);
			}
		}
	}
}

static void saved_position(void **state)
{
	char text[] = "abcdefgh";
	struct iovec iov[2] = {{text, 3}, {text + 3, 5}};
	struct iov_cursor cur, saved;
	char got[100] = "";

	(void)state;
	iov_init(&cur, iov, 2);
	iov_skip(&cur, 2);
	saved = cur;
	assert_int_equal(iov_read(&cur, got, sizeof(got)), 6);
	assert_string_equal(got, "cdefgh");
	cur = saved;
	iov_truncate(&cur, 100);
	assert_int_equal(cur.left, 6);
	assert_int_equal(iov_write(&cur, "XY", 2), 2);
	assert_string_equal(text, "abXYefgh");
}

/* Where the cursor stands, in one segment, or not at all. */
static void put(void **state)
{
	char text[] = "abcdefgh";
	struct iovec iov[2] = {{text, 3}, {text + 3, 5}};
	struct iov_cursor cur, before;

	(void)state;
	iov_init(&cur, iov, 2);
	iov_skip(&cur, 1);
	before = cur;
	assert_int_equal(iov_put(&cur, "XY", 2), 1);
	assert_int_equal(iov_put(&cur, "123", 3), 0);
	assert_int_equal(iov_put(&cur, "12345678", 8), 0);
	assert_memory_equal(&cur, &before, sizeof(cur));
	iov_truncate(&cur, 1);
	assert_int_equal(iov_put(&cur, "12", 2), 0);
	assert_string_equal(text, "aXYdefgh");
}

static void empty(void **state)
{
	struct iov_cursor cur;
	size_t len = 5;

	(void)state;
	iov_init(&cur, NULL, 0);
	assert_int_equal(iov_read(&cur, &len, 8), 0);
	assert_int_equal(iov_write(&cur, &len, 8), 0);
	assert_int_equal(iov_put(&cur, &len, 8), 0);
	assert_int_equal(iov_skip(&cur, SIZE_MAX), 0);
	assert_int_equal(iov_slice(&cur, SIZE_MAX, NULL, 0, &len), 0);
	assert_int_equal(len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(differential),
		cmocka_unit_test(saved_position),
		cmocka_unit_test(put),
		cmocka_unit_test(empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
