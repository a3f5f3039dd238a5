// SPDX-License-Identifier: Apache-2.0
/* Messages that no honest front-end sends, and what must come back. */
/*
 * Theory of operation
 *
 * Rows only; hz.c plays them, each over a connection of its own. What can be refused by an answer is; what
 * breaks the protocol costs the connection; the daemon waits for the next one.
 */
#include "hz.h"

#define REGION(gpa, size, uva, offset) \
	{                              \
		gpa, size, uva, offset \
	}
#define BODY(type, ...) .body = &(const type){__VA_ARGS__}, .size = sizeof(type)
#define WORD(w)         .body = &(const uint64_t){w}, .size = 8
#define TABLE1(...)     BODY(struct vu_mem_table, 1, 0, {__VA_ARGS__})
#define RAW_HDR(flags)  .hdr_flags = (flags)
#define K64             65536u
#define REPLY           VU_FLAG_REPLY
#define NEED            VU_FLAG_NEED_REPLY

/* clang-format off */
const struct hz_msg hz_msgs[] = {
	/* Headers. */
	{"version 0", VU_GET_FEATURES, RAW_HDR(4 << 4), .want = HZ_DROPPED},
	{"version 2", VU_GET_FEATURES, RAW_HDR(2), .want = HZ_DROPPED},
	{"version 3", VU_GET_FEATURES, RAW_HDR(3 | NEED), .want = HZ_DROPPED},
	{"an answer", VU_GET_FEATURES, RAW_HDR(VU_VERSION | REPLY), .want = HZ_DROPPED},
	{"a size of 2^32-1", VU_SET_FEATURES, .size = UINT32_MAX, .want = HZ_DROPPED},
	{"a size of 2^31", VU_SET_MEM_TABLE, .size = 0x80000000u, .fds = "mm", .want = HZ_DROPPED},
	{"a size of 4096", VU_GET_CONFIG, .size = 4096, .want = HZ_DROPPED},
	{"request 0", 0, .want = HZ_REFUSED},
	{"request 4711, unasked", 4711, .silent = true, .want = HZ_DROPPED},
	{"request 2^32-1", UINT32_MAX, .size = 512, .want = HZ_REFUSED},
	{"descriptors with what takes none", VU_SET_OWNER, .fds = "eeeeeeee", .want = HZ_DROPPED},
	{"descriptors with an unknown request", 4711, .fds = "emdfpz", .want = HZ_REFUSED},

	/* Sizes. */
	{"SET_FEATURES of 7 bytes", VU_SET_FEATURES, .body = "1234567", .size = 7, .want = HZ_DROPPED},
	{"SET_VRING_ADDR of 8 bytes", VU_SET_VRING_ADDR, WORD(0), .want = HZ_DROPPED},
	{"SET_MEM_TABLE of 8 bytes that counts 8 regions", VU_SET_MEM_TABLE, WORD(8), .fds = "mmmmmmmm", .want = HZ_REFUSED},
	{"SET_LOG_BASE without a descriptor", VU_SET_LOG_BASE, BODY(struct vu_log, K64, 0), .want = HZ_DROPPED},
	{"GET_CONFIG beyond the space", VU_GET_CONFIG, BODY(struct vu_config, 250, 200), .want = HZ_DROPPED},
	{"GET_INFLIGHT_FD for 65535 queues", VU_GET_INFLIGHT_FD, BODY(struct vu_inflight, 0, 0, UINT16_MAX, UINT16_MAX), .want = HZ_DROPPED},
	{"GET_INFLIGHT_FD for none", VU_GET_INFLIGHT_FD, BODY(struct vu_inflight), .want = HZ_DROPPED},

	/* Features. */
	{"all features", VU_SET_FEATURES, WORD(UINT64_MAX), .want = HZ_REFUSED},
	{"all protocol features", VU_SET_PROTOCOL_FEATURES, WORD(UINT64_MAX), .want = HZ_REFUSED},
	{"features while the rings run", VU_SET_FEATURES, WORD(1ull << 32), .up = true, .want = HZ_REFUSED},
	{"a status of 2^64-1", VU_SET_STATUS, WORD(UINT64_MAX), .want = HZ_REFUSED},
	{"a configuration that is written", VU_SET_CONFIG, BODY(struct vu_config, 0, 4), .want = HZ_ANY},

	/* Memory. */
	{"a region larger than its file", VU_SET_MEM_TABLE, TABLE1(REGION(0, 2 * K64, 0, 0)), .fds = "m", .want = HZ_REFUSED},
	{"a region of a file of one byte", VU_SET_MEM_TABLE, TABLE1(REGION(0, 4096, 0, 0)), .fds = "x", .want = HZ_REFUSED},
	{"an empty region", VU_SET_MEM_TABLE, TABLE1(REGION(0, 0, 0, 0)), .fds = "m", .want = HZ_REFUSED},
	{"a region that wraps", VU_SET_MEM_TABLE, TABLE1(REGION(UINT64_MAX - 4095, K64, 0, 0)), .fds = "m", .want = HZ_REFUSED},
	{"a region whose address wraps", VU_SET_MEM_TABLE, TABLE1(REGION(0, K64, UINT64_MAX - 4095, 0)), .fds = "m", .want = HZ_REFUSED},
	{"a region whose offset wraps", VU_SET_MEM_TABLE, TABLE1(REGION(0, K64, 0, UINT64_MAX - 4095)), .fds = "m", .want = HZ_REFUSED},
	{"a region of 2^64-1 bytes", VU_SET_MEM_TABLE, TABLE1(REGION(0, UINT64_MAX, 0, 0)), .fds = "m", .want = HZ_REFUSED},
	{"a region in a directory", VU_SET_MEM_TABLE, TABLE1(REGION(0, 4096, 0, 0)), .fds = "d", .want = HZ_REFUSED},
	{"a region in an eventfd", VU_SET_MEM_TABLE, TABLE1(REGION(0, 4096, 0, 0)), .fds = "e", .want = HZ_REFUSED},
	{"a region in a socket", VU_SET_MEM_TABLE, TABLE1(REGION(0, 4096, 0, 0)), .fds = "s", .want = HZ_REFUSED},
	{"a region in an O_PATH descriptor", VU_SET_MEM_TABLE, TABLE1(REGION(0, 4096, 0, 0)), .fds = "p", .want = HZ_REFUSED},
	{"two regions in one place", VU_SET_MEM_TABLE, BODY(struct vu_mem_table, 2, 0, {REGION(0, K64, 0, 0), REGION(4096, K64, 1u << 20, 0)}), .fds = "mm", .want = HZ_REFUSED},
	{"fewer descriptors than regions", VU_SET_MEM_TABLE, BODY(struct vu_mem_table, 2, 0, {REGION(0, K64, 0, 0), REGION(1u << 20, K64, 1u << 20, 0)}), .fds = "m", .want = HZ_REFUSED},
	{"more descriptors than regions", VU_SET_MEM_TABLE, TABLE1(REGION(0, K64, 0, 0)), .fds = "mm", .want = HZ_REFUSED},
	{"a count of 2^32-1 regions", VU_SET_MEM_TABLE, BODY(struct vu_mem_table, UINT32_MAX), .fds = "mmmmmmmm", .want = HZ_REFUSED},
	{"a table without any, while the rings run", VU_SET_MEM_TABLE, BODY(struct vu_mem_table), .up = true, .want = HZ_ACCEPTED},
	{"a slot that overlaps", VU_ADD_MEM_REG, BODY(struct vu_mem_reg, 0, REGION(4096, K64, 1ull << 50, 0)), .fds = "m", .up = true, .want = HZ_REFUSED},
	{"a slot that is not there is removed", VU_REM_MEM_REG, BODY(struct vu_mem_reg, 0, REGION(1ull << 40, K64, 0, 0)), .up = true, .want = HZ_REFUSED},
	{"a log larger than its file", VU_SET_LOG_BASE, BODY(struct vu_log, 2 * K64, 0), .fds = "m", .want = HZ_REFUSED},
	{"a log of 2^64-1 bytes", VU_SET_LOG_BASE, BODY(struct vu_log, UINT64_MAX, 0), .fds = "m", .want = HZ_REFUSED},
	{"a log in a socket", VU_SET_LOG_BASE, BODY(struct vu_log, 4096, 0), .fds = "s", .want = HZ_REFUSED},
	{"an inflight region larger than its file", VU_SET_INFLIGHT_FD, BODY(struct vu_inflight, 1u << 20, 0, 2, 128), .fds = "m", .want = HZ_REFUSED},
	{"an inflight region that wraps", VU_SET_INFLIGHT_FD, BODY(struct vu_inflight, UINT64_MAX, 4096, 2, 128), .fds = "m", .want = HZ_REFUSED},
	{"an inflight region while the rings run", VU_SET_INFLIGHT_FD, BODY(struct vu_inflight, K64, 0, 3, 128), .fds = "m", .up = true, .want = HZ_REFUSED},

	/* Rings. */
	{"a ring of no descriptors", VU_SET_VRING_NUM, BODY(struct vu_vring_state, 1, 0), .want = HZ_REFUSED},
	{"a ring of 65536", VU_SET_VRING_NUM, BODY(struct vu_vring_state, 1, 65536), .want = HZ_REFUSED},
	{"a ring of 2^32-1", VU_SET_VRING_NUM, BODY(struct vu_vring_state, 1, UINT32_MAX), .want = HZ_REFUSED},
	{"ring 65", VU_SET_VRING_NUM, BODY(struct vu_vring_state, 65, 128), .want = HZ_REFUSED},
	{"ring 2^32-1", VU_SET_VRING_NUM, BODY(struct vu_vring_state, UINT32_MAX, 128), .want = HZ_REFUSED},
	{"the size of a running ring", VU_SET_VRING_NUM, BODY(struct vu_vring_state, 1, 64), .up = true, .want = HZ_REFUSED},
	{"ring 2^32-1 is stopped", VU_GET_VRING_BASE, BODY(struct vu_vring_state, UINT32_MAX, 0), .want = HZ_DROPPED},
	{"ring 255 is enabled", VU_SET_VRING_ENABLE, BODY(struct vu_vring_state, 255, 1), .want = HZ_REFUSED},
	{"a ring is enabled by 2", VU_SET_VRING_ENABLE, BODY(struct vu_vring_state, 1, 2), .want = HZ_REFUSED},
	{"a ring at an odd address", VU_SET_VRING_ADDR, BODY(struct vu_vring_addr, 1, 0, 8, 4096, 8192), .want = HZ_REFUSED},
	{"a ring at 2^64-16", VU_SET_VRING_ADDR, BODY(struct vu_vring_addr, 1, 0, UINT64_MAX - 15, UINT64_MAX - 15, UINT64_MAX - 15), .want = HZ_ACCEPTED},
	{"a ring with all flags", VU_SET_VRING_ADDR, BODY(struct vu_vring_addr, 1, UINT32_MAX), .want = HZ_REFUSED},
	{"another address of a running ring", VU_SET_VRING_ADDR, BODY(struct vu_vring_addr, 1, 0, 0, 0, 0), .up = true, .want = HZ_REFUSED},
	{"a kick that is a directory", VU_SET_VRING_KICK, WORD(1), .fds = "d", .want = HZ_REFUSED},
	{"a kick that is a file", VU_SET_VRING_KICK, WORD(1), .fds = "f", .want = HZ_REFUSED},
	{"a kick that is /dev/zero", VU_SET_VRING_KICK, WORD(1), .fds = "z", .want = HZ_REFUSED},
	{"a kick that is memory", VU_SET_VRING_KICK, WORD(1), .fds = "m", .want = HZ_REFUSED},
	{"a kick that is O_PATH", VU_SET_VRING_KICK, WORD(1), .fds = "p", .want = HZ_REFUSED},
	{"a kick that hung up, of a running ring", VU_SET_VRING_KICK, WORD(1), .fds = "s", .up = true, .want = HZ_ACCEPTED},
	{"a call that hung up, of a running ring", VU_SET_VRING_CALL, WORD(1), .fds = "s", .up = true, .want = HZ_ACCEPTED},
	{"a call that is a file", VU_SET_VRING_CALL, WORD(1), .fds = "f", .up = true, .want = HZ_REFUSED},
	{"two kicks", VU_SET_VRING_KICK, WORD(1), .fds = "ee", .want = HZ_DROPPED},
	{"a kick for ring 255", VU_SET_VRING_KICK, WORD(255), .fds = "e", .want = HZ_REFUSED},
	{"a kick with odd bits", VU_SET_VRING_KICK, WORD(1 | 1ull << 63), .fds = "e", .want = HZ_REFUSED},
	{"a kick that is missing", VU_SET_VRING_KICK, WORD(1), .want = HZ_REFUSED},
	{"a back-end channel that is a file", VU_SET_BACKEND_REQ_FD, .fds = "f", .want = HZ_REFUSED},
	{"two back-end channels", VU_SET_BACKEND_REQ_FD, .fds = "ss", .want = HZ_DROPPED},
	{"a reset while the rings run", VU_RESET_OWNER, .up = true, .want = HZ_ACCEPTED},
};
/* clang-format on */

const unsigned int hz_nmsgs = ARRAY_SIZE(hz_msgs);
