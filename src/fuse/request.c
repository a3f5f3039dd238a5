// SPDX-License-Identifier: Apache-2.0
/* The life of one FUSE request: received once, answered exactly once. */
/*
 * Theory of operation
 *
 * A request belongs to one thread at a time. REQ_FREE -> REQ_RUNNING in req_begin(), -> REQ_REPLIED
 * in finish(), which is the only place that calls @done; the ring's owner makes it REQ_FREE again.
 * Whoever answers once more finds that it is not running and does nothing. That catches our own
 * mistakes only; no guest can bring it about.
 *
 * A reply is written payload first, header last, each through a cursor of its own, so that it does
 * not matter how the guest has cut up the buffers. Where there is no room for a header the chain
 * goes back with nothing in it, which Linux takes as an error of the request.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "dispatch.h"
#include "log.h"
#include "request.h"
#include "session.h"
#include "util.h"

#define OUT_HDR sizeof(struct fuse_out_header)

static_assert(OUT_HDR == 16, "fuse_out_header");

void req_begin(struct request *req)
{
	req->row = NULL;
	req->supp_gid = (uint32_t)-1;
	req->label = NULL;
	req->body_len = 0;
	req->tail = 0;
	req->no_wait = false;
	req->keeps = false;
	req->name[0] = NULL;
	req->name[1] = NULL;
	req->next_pending = NULL;
	atomic_store_explicit(&req->interrupted, REQ_GO_ON, memory_order_relaxed);
	req->state = REQ_RUNNING;
}

void *req_backend(const struct request *req)
{
	return req->se->be;
}

static void finish(struct request *req, size_t used)
{
	if (unlikely(req->state != REQ_RUNNING)) {
		log_debug("%s answered twice", fuse_opcode_name(req->hdr.opcode));
		return;
	}
	req->state = REQ_REPLIED;
	req->done(req, used);
}

/* The header, however the guest has cut up its buffers. False: the memory has gone. */
static out_of_line bool put_parts(const struct request *req, uint32_t len, int32_t error)
{
	const struct fuse_out_header out = {
		.len = len,
		.error = error,
		.unique = req->hdr.unique,
	};
	struct iov_cursor at = req->out;

	return iov_write(&at, &out, OUT_HDR) == OUT_HDR;
}

/* The same; mostly it has a segment of its own, or the beginning of one. */
static bool put_out(const struct request *req, uint32_t len, int32_t error)
{
	const struct fuse_out_header out = {
		.len = len,
		.error = error,
		.unique = req->hdr.unique,
	};
	int r = iov_put(&req->out, &out, OUT_HDR);

	return likely(r > 0) || (r == 0 && put_parts(req, len, error));
}

static void put_header(struct request *req, int error, size_t payload)
{
	uint32_t len = (uint32_t)(OUT_HDR + payload);

	log_debug("%s unique %llu: error %d, %zu bytes", fuse_opcode_name(req->hdr.opcode),
		  (unsigned long long)req->hdr.unique, error, payload);
	/* Where that memory has gone, there is nobody to answer. */
	finish(req, likely(put_out(req, len, error)) ? len : 0);
}

void req_reply_err(struct request *req, int error)
{
	if (req->out.left < OUT_HDR) {
		req_reply_none(req);
		return;
	}
	if (error > 0 || error <= -512)
		error = -EIO;
	put_header(req, error, 0);
}

void req_reply_buf(struct request *req, const void *buf, size_t len)
{
	struct iov_cursor at = req->out;

	if (unlikely(at.left < OUT_HDR || len > req_room(req))) {
		req_reply_err(req, -EIO);
		return;
	}
	iov_skip(&at, OUT_HDR);
	if (unlikely(iov_write(&at, buf, len) != len))
		req_reply_err(req, -EFAULT);
	else
		put_header(req, 0, len);
}

void req_reply_data(struct request *req, size_t len)
{
	if (req->out.left < OUT_HDR || len > req_room(req))
		req_reply_err(req, -EIO);
	else
		put_header(req, 0, len);
}

void req_reply_none(struct request *req)
{
	finish(req, 0);
}

size_t req_room(const struct request *req)
{
	size_t room = req->out.left;

	if (room < OUT_HDR)
		return 0;
	/* The length in the header has 32 bits. */
	return MIN(room, (size_t)UINT32_MAX) - OUT_HDR;
}

struct iov_cursor req_payload(const struct request *req)
{
	struct iov_cursor at = req->out;

	iov_skip(&at, OUT_HDR);
	iov_truncate(&at, req_room(req));
	return at;
}
