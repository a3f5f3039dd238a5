/* SPDX-License-Identifier: Apache-2.0 */
/* The life of one FUSE request: received once, answered exactly once. */
#ifndef CULVERT_REQUEST_H
#define CULVERT_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuse_abi.h"
#include "iov.h"

struct session;

/* What an operation returns when it will answer later, through req_reply_*(). */
#define REQ_PENDING (-1000000)

/*
 * What an operation returns that would have to wait on a thread where it must not (req->no_wait). It has
 * done nothing, and is run again from the beginning on another thread.
 */
#define REQ_WOULD_WAIT (-1000001)

/*
 * Fixed arguments and names of any request, but not the data of WRITE and SETXATTR, a symlink's target,
 * and extensions.
 */
#define REQ_BODY_MAX 1024u

/* Why a request that waits should end. */
enum req_interrupt {
	REQ_GO_ON,
	REQ_INTERRUPTED, /* the guest sent INTERRUPT */
	REQ_RING_STOPS,  /* its ring is being stopped */
};

/**
 * struct req_label - the security label of what is being created (FUSE_SECURITY_CTX).
 * @name:  of the extended attribute: 1 to XATTR_NAME_MAX bytes, terminated.
 * @value: what it is set to.
 * @size:  bytes of @value, not 0.
 */
struct req_label {
	const char *name;
	const void *value;
	uint32_t size;
};

enum req_state {
	REQ_FREE,    /* belongs to the ring's owner */
	REQ_RUNNING, /* received, not answered */
	REQ_REPLIED, /* answered; may be gone any moment */
};

/**
 * struct request - one request, from descriptor chain to reply.
 * @se:      the session; set by the ring's owner before fuse_receive().
 * @in:      what the guest sent and is not read yet. Set before fuse_receive().
 * @out:     where the reply goes, from its first byte. Set before fuse_receive().
 * @done:    told once, when the reply is in @out: @used bytes of it count. It takes the request
 *           back, so nothing touches the request afterwards. Runs on the thread that answers.
 * @state:   enum req_state; only to catch our own double replies.
 * @hdr:     private copy of the header; @hdr.len is checked against what the guest sent.
 * @row:     the opcode's row, NULL for an unknown opcode.
 * @body:    private copy of the first @body_len bytes behind the header.
 * @tail:    offset behind the header of what follows the names: the target of SYMLINK, the value of
 *           SETXATTR, extensions.
 * @name:    the names, in @body; checked and terminated. NULL where the opcode has none.
 * @faulted: an address of the chain was outside guest memory, so @in and @out end early: it is
 *           answered with EFAULT. Set before fuse_receive(), and by it when the header has gone.
 * @supp_gid: the group of the caller that the parent directory belongs to (FUSE_CREATE_SUPP_GROUP), or
 *           (uint32_t)-1.
 * @label:   the label of what is to be created, or NULL; only while the backend's operation runs.
 * @crowded: the guest waits for locks on half of the ring: none should be added. Set before
 *           fuse_receive().
 * @no_wait: the thread has others to serve: what would wait for a disk returns REQ_WOULD_WAIT. Set before
 *           fuse_dispatch().
 * @keeps:   what the backend has found for it may be kept by the thread for its next request, until
 *           ops->rest(). Set by fuse_receive(); cleared before fuse_dispatch() by a thread that does not rest.
 * @interrupted: enum req_interrupt. Set by any thread, read by the one that runs it.
 *
 * @next_pending: the list that session_pending_add() puts it into. Under @se->pending_lock.
 *
 * Owned by the thread that runs it, but for @interrupted and @next_pending.
 */
struct request {
	struct session *se;
	struct iov_cursor in;
	struct iov_cursor out;
	void (*done)(struct request *req, size_t used);
	enum req_state state;
	_Atomic int interrupted;
	struct fuse_in_header hdr;
	const struct fuse_row *row;
	uint32_t supp_gid;
	const struct req_label *label;
	uint32_t body_len;
	uint32_t tail;
	bool faulted;
	bool crowded;
	bool no_wait;
	bool keeps;
	const char *name[2];
	struct request *next_pending;
	_Alignas(8) uint8_t body[REQ_BODY_MAX];
};

/** req_begin() - wipe what is left of the request before, but for @hdr; fuse_receive() does it. */
void req_begin(struct request *req);

/** req_backend() - the backend that the request's session serves. */
void *req_backend(const struct request *req);

/**
 * req_reply_err() - answer with an error (negative errno) or plain success (0), header only.
 *
 * Where the guest left less than a header's room, the chain goes back with 0 bytes used. What no
 * errno of Linux is becomes -EIO: the guest's kernel takes nothing below -511.
 */
void req_reply_err(struct request *req, int error);

/** req_reply_buf() - answer with @len bytes at @buf. Too little room is answered with -EIO. */
void req_reply_buf(struct request *req, const void *buf, size_t len);

/** req_reply_data() - answer with @len bytes that stand in @out behind the header already. */
void req_reply_data(struct request *req, size_t len);

/** req_reply_none() - give the chain back without an answer: FORGET, or no room for one. */
void req_reply_none(struct request *req);

/** req_room() - bytes of payload that the guest left room for behind the reply's header. */
size_t req_room(const struct request *req);

/** req_payload() - a cursor at the reply's payload, for data that is written in place. */
struct iov_cursor req_payload(const struct request *req);

#endif
