// SPDX-License-Identifier: Apache-2.0
/* A guest that asks what an input says, and remembers what it was answered. */
/*
 * Theory of operation
 *
 * A table has the fields of each opcode's arguments, a letter each; what stands in a field is chosen by its
 * letter: handles and nodes are those of earlier replies, names those of the share, numbers such that
 * arithmetic trips over. One in some requests is spoiled afterwards: cut, too long, of a wrong length or
 * opcode, from another user, with extensions.
 */
#include <endian.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>
#include <sys/stat.h>

#include "guest.h"
#include "share.h"
#include "util.h"

#define ROOM_MAX 4400u

/*
 * H, G handle · n node · o offset · k lock owner · q lookup count · w, p of the window · U unique
 * (8 bytes each); s size · f open flags · m mode · u uid or umask · i any · b bits · c count · C ioctl · y type
 * of lock · z zero (4 bytes each); N name · X attribute · T target · D data of the last size or count · B
 * forgets · R mappings.
 */
static const struct {
	uint32_t opcode;
	const char *args;
} forms[] = {
	{FUSE_LOOKUP, "N"},
	{FUSE_FORGET, "q"},
	{FUSE_GETATTR, "bzH"},
	{FUSE_SETATTR, "izHokoooiiimzuuz"},
	{FUSE_READLINK, ""},
	{FUSE_SYMLINK, "NT"},
	{FUSE_MKNOD, "miuzN"},
	{FUSE_MKDIR, "muN"},
	{FUSE_UNLINK, "N"},
	{FUSE_RMDIR, "N"},
	{FUSE_RENAME, "nNN"},
	{FUSE_LINK, "nN"},
	{FUSE_OPEN, "fb"},
	{FUSE_READ, "Hosbkfz"},
	{FUSE_WRITE, "HosbkfzD"},
	{FUSE_STATFS, ""},
	{FUSE_RELEASE, "Hfbk"},
	{FUSE_FSYNC, "Hbz"},
	{FUSE_SETXATTR, "sbbzXD"},
	{FUSE_GETXATTR, "szX"},
	{FUSE_LISTXATTR, "sz"},
	{FUSE_REMOVEXATTR, "X"},
	{FUSE_FLUSH, "Hzzk"},
	{FUSE_OPENDIR, "fb"},
	{FUSE_READDIR, "Hosbkfz"},
	{FUSE_RELEASEDIR, "Hfbk"},
	{FUSE_FSYNCDIR, "Hbz"},
	{FUSE_GETLK, "Hkooyibz"},
	{FUSE_SETLK, "Hkooyibz"},
	{FUSE_SETLKW, "Hkooyibz"},
	{FUSE_ACCESS, "bz"},
	{FUSE_CREATE, "fmubN"},
	{FUSE_INTERRUPT, "U"},
	{FUSE_BMAP, "oiz"},
	{FUSE_IOCTL, "HbCocsD"},
	{FUSE_POLL, "Hobb"},
	{FUSE_NOTIFY_REPLY, "cD"},
	{FUSE_BATCH_FORGET, "czB"},
	{FUSE_FALLOCATE, "Hoobz"},
	{FUSE_READDIRPLUS, "Hosbkfz"},
	{FUSE_RENAME2, "nbzNN"},
	{FUSE_LSEEK, "Hobz"},
	{FUSE_COPY_FILE_RANGE, "HonGooo"},
	{FUSE_SETUPMAPPING, "Hppwp"},
	{FUSE_REMOVEMAPPING, "czR"},
	{FUSE_SYNCFS, "o"},
	{FUSE_TMPFILE, "fmubN"},
	{FUSE_STATX, "bzHii"},
	{FUSE_DESTROY, ""},
	{FUSE_INIT, "iiiiizzzzzzzzzzz"},
};

static const char *const attributes[] = {
	"user.x",
	"user.virtiofs.user.x",
	"trusted.x",
	"security.capability",
	"security.selinux",
	"system.posix_acl_access",
	"system.posix_acl_default",
	"user.",
	"",
};

struct out {
	uint8_t *buf;
	size_t len;
};

static void add(struct out *o, const void *bytes, size_t len)
{
	if (o->len + len > GUEST_ASK_MAX)
		return;
	memcpy(o->buf + o->len, bytes, len);
	o->len += len;
}

static void add32(struct out *o, uint32_t v)
{
	add(o, &v, sizeof(v));
}

static void add64(struct out *o, uint64_t v)
{
	add(o, &v, sizeof(v));
}

void guest_init(struct guest *g)
{
	memset(g, 0, sizeof(*g));
	g->node[g->n_node++] = FUSE_ROOT_ID;
}

static uint64_t a_node(const struct guest *g, struct feed *f)
{
	uint8_t way = feed_u8(f);

	return way < 250 ? g->node[way % MIN(g->n_node, GUEST_KNOWN)] : feed_odd64(f);
}

/* Mostly one of the node that the request is about. */
static uint64_t a_handle(const struct guest *g, struct feed *f, uint64_t *node)
{
	uint8_t way = feed_u8(f);
	unsigned int i;

	if (way >= 250 || !g->n_fh)
		return feed_odd64(f);
	i = way % MIN(g->n_fh, GUEST_KNOWN);
	if (way < 224 && node)
		*node = g->fh[i].node;
	return g->fh[i].fh;
}

static void add_name(struct out *o, struct feed *f)
{
	static const char fill[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	uint8_t way = feed_u8(f);
	char raw[8];

	if (way < 224) {
		const char *name = share_names[way % (way < 192 ? SHARE_NAMES - 4 : SHARE_NAMES)];

		add(o, name, strlen(name) + 1);
		return;
	}
	if (way < 240) {
		/* 253 to 260 bytes. */
		for (unsigned int left = 253 + way % 8; left;) {
			unsigned int n = MIN(left, sizeof(fill) - 1);

			add(o, fill, n);
			left -= n;
		}
	}
	feed_bytes(f, raw, sizeof(raw));
	add(o, raw, strnlen(raw, sizeof(raw)));
	add(o, "", way != 255);
}

static void add_attribute(struct out *o, struct feed *f, bool *acl)
{
	uint8_t way = feed_u8(f);
	const char *name = attributes[way % ARRAY_SIZE(attributes)];
	char raw[6];

	*acl = !strncmp(name, "system.", 7);
	add(o, name, strlen(name));
	if (way >= 224) {
		feed_bytes(f, raw, sizeof(raw));
		add(o, raw, strnlen(raw, sizeof(raw)));
	}
	add(o, "", 1);
}

static void add_acl(struct out *o, struct feed *f, uint32_t size)
{
	size_t end = o->len + size;

	add32(o, htole32(POSIX_ACL_XATTR_VERSION));
	while (o->len + sizeof(struct posix_acl_xattr_entry) <= end && o->len < GUEST_ASK_MAX - 8) {
		struct posix_acl_xattr_entry e = {
			.e_tag = htole16((uint16_t)(1u << feed_below(f, 6))),
			.e_perm = htole16((uint16_t)feed_below(f, 8)),
			.e_id = htole32(feed_u8(f)),
		};

		add(o, &e, sizeof(e));
	}
}

/* @size bytes: some of the input's, then always the same. */
static void add_data(struct out *o, struct feed *f, uint32_t size, bool acl)
{
	uint8_t some[32];
	size_t n = MIN(size, sizeof(some));

	if (acl) {
		add_acl(o, f, size);
		return;
	}
	feed_bytes(f, some, n);
	add(o, some, n);
	size -= (uint32_t)n;
	size = MIN(size, GUEST_ASK_MAX - (uint32_t)o->len);
	memset(o->buf + o->len, some[0], size);
	o->len += size;
}

static uint32_t a_size(struct feed *f)
{
	uint8_t way = feed_u8(f);

	if (way < 192)
		return way;
	return way < 240 ? feed_u16(f) : (uint32_t)feed_odd64(f);
}

static uint64_t an_offset(const struct guest *g, struct feed *f)
{
	uint8_t way = feed_u8(f);

	if (way < 128)
		return way * (way & 1 ? 1ull : 512);
	return way < 144 ? g->cookie : feed_odd64(f);
}

static uint32_t a_mode(struct feed *f)
{
	static const uint32_t types[] = {S_IFREG, S_IFREG,  S_IFREG, S_IFDIR, S_IFLNK,
					 S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, 0};
	uint32_t mode = feed_u16(f);

	return types[mode % ARRAY_SIZE(types)] | (mode >> 4 & 07777);
}

static uint32_t open_flags(struct feed *f)
{
	static const uint32_t more[] = {O_TRUNC, O_APPEND, O_DIRECT,    O_NOATIME,
					O_SYNC,  O_EXCL,   O_DIRECTORY, O_PATH};
	uint8_t bits = feed_u8(f);
	uint32_t flags = bits & 3;

	for (unsigned int i = 0; bits & 4 && i < ARRAY_SIZE(more); i++)
		if (bits >> 3 & 1u << i % 5)
			flags |= more[i];
	return bits == 255 ? feed_u32(f) : flags;
}

static uint32_t an_ioctl(struct feed *f)
{
	static const uint32_t cmds[] = {FS_IOC_GETFLAGS,   FS_IOC_SETFLAGS,
					FS_IOC_FSGETXATTR, (uint32_t)FS_IOC_FSSETXATTR,
					FS_IOC_GETVERSION, FIGETBSZ};

	return feed_one_in(f, 8) ? feed_u32(f) : cmds[feed_below(f, ARRAY_SIZE(cmds))];
}

static void add_pairs(const struct guest *g, struct out *o, struct feed *f, uint32_t count,
		      bool nodes)
{
	for (count = MIN(count, 16); count; count--) {
		add64(o, nodes ? a_node(g, f) : (uint64_t)feed_u8(f) << 12);
		add64(o, nodes ? feed_u8(f) : (uint64_t)feed_u8(f) << 12);
	}
}

static void add_form(const struct guest *g, struct feed *f, const char *form, struct out *o,
		     uint64_t *node)
{
	uint32_t size = 0;
	bool acl = false;

	for (; *form; form++) {
		switch (*form) {
		case 'H':
			add64(o, a_handle(g, f, node));
			break;
		case 'G':
			add64(o, a_handle(g, f, NULL));
			break;
		case 'n':
			add64(o, a_node(g, f));
			break;
		case 'o':
			add64(o, an_offset(g, f));
			break;
		case 'k':
			add64(o, feed_below(f, 4));
			break;
		case 'q':
			add64(o, feed_one_in(f, 4) ? feed_odd64(f) : feed_below(f, 3));
			break;
		case 'w':
			add64(o, feed_below(f, 4));
			break;
		case 'p':
			add64(o, feed_one_in(f, 16) ? feed_odd64(f) : (uint64_t)feed_u8(f) << 12);
			break;
		case 'U':
			add64(o, g->unique - 2ull * feed_u8(f));
			break;
		case 's':
			size = a_size(f);
			add32(o, size);
			break;
		case 'c':
			size = feed_one_in(f, 16) ? feed_u32(f) : feed_below(f, 72);
			add32(o, size);
			break;
		case 'f':
			add32(o, open_flags(f));
			break;
		case 'm':
			add32(o, a_mode(f));
			break;
		case 'u':
			add32(o, feed_one_in(f, 4) ? (uint32_t)feed_odd64(f) : feed_u8(f));
			break;
		case 'i':
			add32(o, feed_one_in(f, 4) ? (uint32_t)feed_odd64(f) : feed_u16(f));
			break;
		case 'b':
			add32(o, feed_one_in(f, 16) ? feed_u32(f) : feed_u8(f));
			break;
		case 'C':
			add32(o, an_ioctl(f));
			break;
		case 'y':
			add32(o, feed_below(f, 4));
			break;
		case 'z':
			add32(o, 0);
			break;
		case 'N':
			add_name(o, f);
			break;
		case 'X':
			add_attribute(o, f, &acl);
			break;
		case 'T':
			add_name(o, f);
			break;
		case 'D':
			add_data(o, f, size, acl);
			break;
		case 'B':
			add_pairs(g, o, f, size, true);
			break;
		default: /* R */
			add_pairs(g, o, f, size, false);
			break;
		}
	}
}

/* Groups and a label, as the protocol has them or nearly. */
static void add_extensions(struct out *o, struct feed *f, struct fuse_in_header *hdr)
{
	static const char label[24] = "security.selinux\0label";
	size_t from = o->len;
	uint8_t what = feed_u8(f);

	if (what & 1) {
		add32(o, 16);
		add32(o, FUSE_EXT_GROUPS);
		add32(o, feed_below(f, 3));
		add32(o, feed_u8(f));
	}
	if (what & 2) {
		add32(o, 40);
		add32(o, feed_below(f, 3));
		add32(o, feed_below(f, 20));
		add32(o, 0);
		add(o, label, sizeof(label));
	}
	if (what & 4) {
		add32(o, feed_u16(f));
		add32(o, feed_u16(f));
	}
	hdr->total_extlen = (uint16_t)((o->len - from) / 8);
	if (what & 8)
		hdr->total_extlen = feed_u16(f);
	if (what & 16)
		hdr->total_extlen = 0;
}

static void spoil(struct feed *f, struct out *o, struct fuse_in_header *hdr)
{
	switch (feed_below(f, 7)) {
	case 0:
		o->len = sizeof(*hdr) + feed_u16(f) % (o->len - sizeof(*hdr) + 1);
		break;
	case 1:
		add_data(o, f, feed_u8(f), false);
		break;
	case 2:
		hdr->len = (uint32_t)feed_odd64(f);
		return;
	case 3:
		hdr->opcode = feed_u8(f);
		break;
	case 4:
		hdr->unique = feed_odd64(f);
		break;
	case 5:
		o->len = feed_below(f, sizeof(*hdr));
		break;
	default:
		hdr->uid = (uint32_t)feed_odd64(f);
		hdr->gid = (uint32_t)feed_odd64(f);
		break;
	}
	hdr->len = (uint32_t)o->len;
}

void guest_hello(struct guest *g, uint64_t flags, uint8_t *buf, struct guest_ask *ret)
{
	const struct fuse_init_in in = {.major = 7,
					.minor = 39,
					.max_readahead = 4096,
					.flags = (uint32_t)flags,
					.flags2 = (uint32_t)(flags >> 32)};
	const struct fuse_in_header hdr = {
		.len = sizeof(hdr) + sizeof(in), .opcode = FUSE_INIT, .unique = g->unique += 2};

	memcpy(buf, &hdr, sizeof(hdr));
	memcpy(buf + sizeof(hdr), &in, sizeof(in));
	*ret = (struct guest_ask){FUSE_INIT, 0, hdr.unique, hdr.len,
				  16 + sizeof(struct fuse_init_out)};
}

void guest_ask(struct guest *g, struct feed *f, uint8_t *buf, struct guest_ask *ret)
{
	unsigned int i = feed_u8(f) % ARRAY_SIZE(forms);
	uint8_t how;
	uint64_t node = a_node(g, f);
	struct fuse_in_header hdr = {
		.opcode = forms[i].opcode, .unique = g->unique += 2, .pid = 42};
	struct out o = {buf, sizeof(hdr)};

	add_form(g, f, forms[i].args, &o, &node);
	how = feed_u8(f);
	hdr.nodeid = node;
	hdr.uid = how & 1 ? 1000 : 0;
	hdr.gid = how & 2 ? 1001 : 0;
	if (how >= 224)
		add_extensions(&o, f, &hdr);
	hdr.len = (uint32_t)o.len;
	if (how >> 2 == 20)
		spoil(f, &o, &hdr);
	memcpy(buf, &hdr, sizeof(hdr));
	*ret = (struct guest_ask){hdr.opcode, hdr.nodeid, hdr.unique, o.len, ROOM_MAX};
	if (how >> 2 == 21)
		ret->room = feed_u8(f);
	else if (how >> 2 == 22)
		ret->room = 0;
}

/* ---- replies ---- */

static void learn_node(struct guest *g, uint64_t node)
{
	if (node)
		g->node[g->n_node++ % GUEST_KNOWN] = node;
	if (g->n_node == 2 * GUEST_KNOWN)
		g->n_node = GUEST_KNOWN;
	/* The root stays known. */
	g->node[0] = FUSE_ROOT_ID;
}

static void learn_entry(struct guest *g, const uint8_t *at)
{
	struct fuse_entry_out e;

	memcpy(&e, at, sizeof(e));
	if (e.nodeid)
		MUST(!share_is_canary_ino(e.attr.ino));
	learn_node(g, e.nodeid);
}

static void learn_handle(struct guest *g, const uint8_t *at, uint64_t node)
{
	struct fuse_open_out open;

	memcpy(&open, at, sizeof(open));
	g->fh[g->n_fh % GUEST_KNOWN].fh = open.fh;
	g->fh[g->n_fh % GUEST_KNOWN].node = node;
	if (++g->n_fh == 2 * GUEST_KNOWN)
		g->n_fh = GUEST_KNOWN;
}

static void learn_dir(struct guest *g, const uint8_t *at, size_t len, bool plus)
{
	while (len) {
		size_t head = plus ? sizeof(struct fuse_entry_out) : 0, size;
		struct fuse_dirent d;

		MUST(len >= head + FUSE_NAME_OFFSET);
		memcpy(&d, at + head, FUSE_NAME_OFFSET);
		size = head + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + d.namelen);
		MUST(d.namelen && d.namelen <= NAME_MAX && size <= len);
		MUST(!memchr(at + head + FUSE_NAME_OFFSET, '/', d.namelen));
		g->cookie = d.off;
		if (plus)
			learn_entry(g, at);
		at += size;
		len -= size;
	}
}

static void expect(size_t len, size_t want)
{
	MUST(len == want);
}

int guest_learn(struct guest *g, const struct guest_ask *ask, const uint8_t *reply, size_t used)
{
	struct fuse_out_header hdr;
	size_t len;

	MUST(used <= ask->room);
	if (!used)
		return 1;
	MUST(used >= sizeof(hdr));
	memcpy(&hdr, reply, sizeof(hdr));
	MUST(hdr.len == used && hdr.error <= 0 && hdr.error > -512);
	len = used - sizeof(hdr);
	reply += sizeof(hdr);
	MUST(!hdr.error || !len);
	MUST(!share_has_secret(reply, len));
	/* A header that was cut off has no unique that we could compare. */
	if (ask->len >= sizeof(struct fuse_in_header))
		MUST(hdr.unique == ask->unique);
	if (hdr.error || ask->len < sizeof(struct fuse_in_header))
		return hdr.error;
	switch (ask->opcode) {
	case FUSE_LOOKUP:
	case FUSE_SYMLINK:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_LINK:
		expect(len, sizeof(struct fuse_entry_out));
		learn_entry(g, reply);
		break;
	case FUSE_CREATE:
	case FUSE_TMPFILE: {
		struct fuse_entry_out e;

		expect(len, sizeof(e) + sizeof(struct fuse_open_out));
		memcpy(&e, reply, sizeof(e));
		learn_entry(g, reply);
		learn_handle(g, reply + sizeof(e), e.nodeid);
		break;
	}
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		expect(len, sizeof(struct fuse_open_out));
		learn_handle(g, reply, ask->node);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		expect(len, sizeof(struct fuse_attr_out));
		break;
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		learn_dir(g, reply, len, ask->opcode == FUSE_READDIRPLUS);
		break;
	default:
		break;
	}
	return 0;
}
