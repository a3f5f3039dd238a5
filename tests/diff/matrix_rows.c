// SPDX-License-Identifier: Apache-2.0
// The rows of the errno matrix: what each call comes to, and by whom.
/*
 * Theory of operation
 *
 * Only a table. The results are those of ext4 on Linux for root, the owner and somebody else; f is a
 * file, d a directory, l a link, p a fifo, x a program. Where the share cannot give the same, the row
 * has what it gives and why: always something that the FUSE client in the kernel does before the daemon
 * is asked, or does not tell it.
 */
#include <errno.h>

#include "matrix.h"
#include "util.h"

#define ALL(err)              \
	{                     \
		err, err, err \
	}
#define BY(r, own, o)     \
	{                 \
		r, own, o \
	}

/* The same for every call that takes an existing path: @c, with the path where P stands. */
#define PATHS(before, after)                                                               \
	{NULL, before "x" after, ALL(ENOENT)}, {NULL, before "x/f" after, ALL(ENOENT)},    \
		{NULL, before "''" after, ALL(ENOENT)},                                    \
		{"f 644 f", before "f/x" after, ALL(ENOTDIR)},                             \
		{"f 644 f", before "f/../f" after, ALL(ENOTDIR)},                          \
		{"l y x", before "x/f" after, ALL(ENOENT)},                                \
		{"l b a; l a b", before "a/f" after, ALL(ELOOP)},                          \
		{NULL, before "@256" after, ALL(ENAMETOOLONG)},                            \
		{NULL, before "@256/f" after, ALL(ENAMETOOLONG)},                          \
		{"f 644 f", before "^4096" after, ALL(ENAMETOOLONG)},                      \
		{"d 700 d; f 666 d/f", before "d/x" after, BY(ENOENT, ENOENT, EACCES)},    \
		{"d 600 d; f 666 d/f", before "d/f/x" after, BY(ENOTDIR, EACCES, EACCES)}, \
	{                                                                                  \
		"d 644 d 70000 70000", before "d/x" after, BY(ENOENT, EACCES, EACCES)      \
	}

/* The same for every call that makes the path; @pre is set up first. */
#define MAKES(pre, before, after)                                                 \
	{pre, before "x/y" after, ALL(ENOENT)},                                   \
		{pre "; f 644 g", before "g/y" after, ALL(ENOTDIR)},              \
		{pre "; l b a; l a b", before "a/y" after, ALL(ELOOP)},           \
		{pre "; d 777 d", before "d/@256" after, ALL(ENAMETOOLONG)},      \
		{pre "; d 777 d", before "d/@255" after, ALL(0)},                 \
		{pre, before "^4096" after, ALL(ENAMETOOLONG)},                   \
		{pre "; d 777 d", before "d/y" after, ALL(0)},                    \
		{pre "; d 755 d", before "d/y" after, BY(0, 0, EACCES)},          \
		{pre "; d 555 d", before "d/y" after, BY(0, EACCES, EACCES)},     \
		{pre "; d 666 d", before "d/y" after, BY(0, EACCES, EACCES)},     \
		{pre "; d 333 d", before "d/y" after, ALL(0)},                    \
		{pre "; d 775 d 0 3000", before "d/y" after, BY(0, 0, EACCES)},   \
		{pre "; d 2777 d 0 3000", before "d/y" after, ALL(0)},            \
		{pre "; d 2777 d 0 4000", before "d/y" after, ALL(0)},            \
		{pre "; d 2777 d 70000 70000", before "d/y" after, ALL(0)},       \
		{pre "; d 1777 d 0 0", "umask 077; " before "d/y" after, ALL(0)}, \
		{pre "; d 777 d; hostflags i d", before "d/y" after, ALL(EPERM)}, \
		{pre "; d 777 d; hostflags a d", before "d/y" after, ALL(0)},     \
		{pre "; d 777 d; f 644 d/y", before "d/y" after, ALL(EEXIST)},    \
		{pre "; d 555 d; f 644 d/y", before "d/y" after, ALL(EEXIST)},    \
		{pre "; d 777 d; d 755 d/y", before "d/y" after, ALL(EEXIST)},    \
		{pre "; d 777 d; l x d/y", before "d/y" after, ALL(EEXIST)},      \
		{pre "; d 777 d; p 644 d/y", before "d/y" after, ALL(EEXIST)},    \
		{pre, before "." after, ALL(EEXIST)},                             \
		{pre "; d 777 d", before "d/.." after, ALL(EEXIST)},              \
	{                                                                         \
		pre, before "/" after, ALL(EEXIST)                                \
	}

/* The same for every call that changes an inode that exists. */
#define FOLLOWS(before, after, owner_only)                          \
	{"f 666 f; l f l", before "l" after, BY(0, 0, owner_only)}, \
		{"l x l", before "l" after, ALL(ENOENT)},           \
	{                                                           \
		"l b a; l a b", before "a" after, ALL(ELOOP)        \
	}

/* Why the share differs. */
#define UNTOLD                                                                              \
	"the client does not know that the mount is read-only, and checks permissions and " \
	"whether the "                                                                      \
	"name is there before it asks the daemon"
#define ACCESS                                                                                    \
	"the client checks permissions itself and does not ask the daemon, which alone knows of " \
	"the "                                                                                    \
	"read-only mount"
#define SETS_TIME "a client that delays writes keeps the time and sends it for UTIME_NOW"
#define KEPT                                                                                     \
	"the client does not know that an ioctl(2) moves the change time, and keeps the one it " \
	"has"
#define LIMIT "a client that delays writes does not know how late a time the host can keep"
#define ONE_MOUNT                                                                                  \
	"only virtio-fs itself, not the mount by way of /dev/fuse, makes a mount of its own of a " \
	"submount: here EXDEV is the daemon's, after the client has checked permissions and names"

static const struct row chmod_rows[] = {
	PATHS("chmod ", " 644"),
	FOLLOWS("chmod ", " 600", EPERM),
	{"f 644 f", "chmod f 600", BY(0, 0, EPERM)},
	{"f 644 f", "chmod f 644", BY(0, 0, EPERM)},
	{"f 644 f", "chmod f 0", BY(0, 0, EPERM)},
	{"f 644 f", "chmod f 7777", BY(0, 0, EPERM)},
	{"f 644 f", "chmod f 1644", BY(0, 0, EPERM)},
	{"f 6755 f", "chmod f 755", BY(0, 0, EPERM)},
	{"f 644 f 1000 3000", "chmod f 2755", BY(0, 0, EPERM)},
	{"f 644 f 1000 4000", "chmod f 2755", BY(0, 0, EPERM)},
	{"f 644 f 1000 4000", "chmod f 6711", BY(0, 0, EPERM)},
	{"f 644 f 70000 70000", "chmod f 6711", BY(0, EPERM, 0)},
	{"f 644 f 4000000000 4000000000", "chmod f 600", BY(0, EPERM, EPERM)},
	{"d 755 d", "chmod d 2775", BY(0, 0, EPERM)},
	{"d 755 d 1000 4000", "chmod d 2775", BY(0, 0, EPERM)},
	{"d 755 d", "chmod d 1777", BY(0, 0, EPERM)},
	{"d 755 d", "chmod d 0", BY(0, 0, EPERM)},
	{"p 644 p", "chmod p 666", BY(0, 0, EPERM)},
	{"s 644 s", "chmod s 666", BY(0, 0, EPERM)},
	{"b 644 b", "chmod b 666", BY(0, 0, EPERM)},
	{"c 644 c", "chmod c 666", BY(0, 0, EPERM)},
	{"f 644 f; hostflags i f", "chmod f 600", ALL(EPERM)},
	{"f 644 f; hostflags a f", "chmod f 600", ALL(EPERM)},
	{"d 755 d; hostflags i d", "chmod d 700", ALL(EPERM)},
	{"f 644 f; l f l", "lchmod f 600", BY(0, 0, EPERM)},
	{"f 644 f; l f l", "lchmod l 600", ALL(EOPNOTSUPP)},
	{"d 700 d; f 644 d/f", "chmod d/f 600", BY(0, 0, EACCES)},
};

static const struct row chown_rows[] = {
	PATHS("chown ", " -1 3000"),
	FOLLOWS("chown ", " -1 3000", EPERM),
	{"f 644 f", "chown f 70000 70000", BY(0, EPERM, EPERM)},
	{"f 644 f", "chown f 70000 -1", BY(0, EPERM, EPERM)},
	{"f 644 f", "chown f 4000000000 4000000000", BY(0, EPERM, EPERM)},
	{"f 644 f", "chown f 0 0", BY(0, EPERM, EPERM)},
	{"f 644 f", "chown f 1000 1000", BY(0, 0, EPERM)},
	{"f 644 f", "chown f -1 1000", BY(0, 0, EPERM)},
	{"f 644 f", "chown f -1 3000", BY(0, 0, EPERM)},
	{"f 644 f", "chown f -1 4000", BY(0, EPERM, EPERM)},
	{"f 644 f", "chown f 1000 3000", BY(0, 0, EPERM)},
	{"f 644 f 70000 70000", "chown f -1 70000", BY(0, EPERM, 0)},
	{"f 644 f 70000 1000", "chown f 1000 -1", BY(0, EPERM, EPERM)},
	{"f 644 f", "chown f -1 -1", ALL(0)},
	{"f 6755 f", "chown f -1 3000", BY(0, 0, EPERM)},
	{"f 6755 f", "chown f 1000 1000", BY(0, 0, EPERM)},
	{"f 6755 f", "chown f 70000 70000", BY(0, EPERM, EPERM)},
	{"f 4711 f", "chown f -1 3000", BY(0, 0, EPERM)},
	{"f 2644 f", "chown f -1 3000", BY(0, 0, EPERM)},
	{"f 2755 f 1000 3000", "chown f -1 1000", BY(0, 0, EPERM)},
	{"d 6755 d", "chown d -1 3000", BY(0, 0, EPERM)},
	{"d 6755 d", "chown d 70000 70000", BY(0, EPERM, EPERM)},
	{"p 6755 p", "chown p -1 3000", BY(0, 0, EPERM)},
	{"b 644 b", "chown b -1 3000", BY(0, 0, EPERM)},
	{"s 644 s", "chown s -1 3000", BY(0, 0, EPERM)},
	{"f 644 f; l f l", "lchown l -1 3000", BY(0, 0, EPERM)},
	{"f 644 f; l f l", "lchown l 70000 70000", BY(0, EPERM, EPERM)},
	{"l x l", "lchown l -1 3000", BY(0, 0, EPERM)},
	{"f 644 f; hostflags i f", "chown f -1 3000", ALL(EPERM)},
	{"f 644 f; hostflags a f", "chown f -1 3000", ALL(EPERM)},
	{"d 700 d; f 644 d/f", "chown d/f -1 3000", BY(0, 0, EACCES)},
};

static const struct row link_rows[] = {
	PATHS("link ", " y"),
	MAKES("f 666 f", "link f ", ""),
	{"d 755 d", "link d y", ALL(EPERM)},
	{"f 644 f", "link f f", ALL(EEXIST)},
	{"f 644 f; d 777 d", "link f d/y", BY(0, 0, EPERM)},
	{"f 646 f; d 777 d", "link f d/y", ALL(0)},
	{"f 4666 f; d 777 d", "link f d/y", BY(0, 0, EPERM)},
	{"f 0 f; d 777 d", "link f d/y", BY(0, 0, EPERM)},
	{"p 666 p; d 777 d", "link p d/y", BY(0, 0, EPERM)},
	{"b 666 b; d 777 d", "link b d/y", BY(0, 0, EPERM)},
	{"s 666 s; d 777 d", "link s d/y", BY(0, 0, EPERM)},
	{"f 666 f; l f l; d 777 d", "link l d/y", BY(0, 0, EPERM)},
	{"f 666 f; l f l; d 777 d", "linkf l d/y", ALL(0)},
	{"l x l; d 777 d", "linkf l d/y", ALL(ENOENT)},
	{"f 666 f; d 777 d; hostflags i f", "link f d/y", ALL(EPERM)},
	{"f 666 f; d 777 d; hostflags a f", "link f d/y", ALL(EPERM)},
	{"d 700 d; f 666 d/f", "link d/f y", BY(0, 0, EACCES)},
};

static const struct row mkdir_rows[] = {
	MAKES("", "mkdir ", " 777"),
	{"d 777 d", "mkdir d/x 7777", ALL(0)},
	{"d 777 d", "umask 0; mkdir d/x 1777", ALL(0)},
	{"d 2777 d 0 4000", "umask 0; mkdir d/x 2777", ALL(0)},
	{"d 777 d", "mkdir d/x/ 755", ALL(0)},
	{"l x l", "mkdir l 755", ALL(EEXIST)},
};

static const struct row mkfifo_rows[] = {
	MAKES("", "mkfifo ", " 666"),
	{"d 777 d", "umask 0; mkfifo d/x 7777", ALL(0)},
	{"d 777 d", "mkfifo d/x/ 666", ALL(ENOENT)},
};

static const struct row mknod_rows[] = {
	MAKES("", "mknod ", " f 666"),
	{"d 777 d", "bind d/y", ALL(0)},
	{"d 755 d", "bind d/y", BY(0, 0, EACCES)},
	{"d 2777 d 0 4000", "umask 022; bind d/y", ALL(0)},
	{"d 777 d; f 644 d/y", "bind d/y", ALL(EADDRINUSE)},
	{NULL, "bind x/y", ALL(ENOENT)},
	{"d 777 d; hostflags i d", "bind d/y", ALL(EPERM)},
	{"d 777 d", "mknod d/x b 600", BY(0, EPERM, EPERM)},
	{"d 777 d", "mknod d/x c 600", BY(0, EPERM, EPERM)},
	{"d 777 d", "mknod d/x o 600", ALL(0)},
	{"d 777 d", "mknod d/x p 600", ALL(0)},
	{"d 777 d", "mknod d/x s 600", ALL(0)},
	{"d 777 d", "mknod d/x d 700", ALL(EPERM)},
	{"d 777 d", "umask 0; mknod d/x f 7777", ALL(0)},
	{"d 777 d", "mknod d/x/ f 600", ALL(ENOENT)},
	{"d 777 d; f 644 d/x", "mknod d/x c 600", BY(EEXIST, EEXIST, EEXIST)},
};

static const struct row open_rows[] = {
	PATHS("open ", " r"),
	MAKES("", "open ", " wcx 666"),
	{NULL, "open x wc", BY(0, 0, EACCES)},
	{"f 644 f", "open f r", ALL(0)},
	{"f 644 f", "open f w", BY(0, 0, EACCES)},
	{"f 600 f", "open f r", BY(0, 0, EACCES)},
	{"f 0 f", "open f b", BY(0, EACCES, EACCES)},
	{"f 444 f", "open f w", BY(0, EACCES, EACCES)},
	{"f 222 f", "open f r", BY(0, EACCES, EACCES)},
	{"f 222 f", "open f wt", ALL(0)},
	{"f 606 f 1000 70000", "open f b", BY(0, 0, EACCES)},
	{"f 60 f 70000 3000", "open f b", BY(0, 0, EACCES)},
	{"f 6666 f", "open f wt", ALL(0)},
	{"f 6666 f", "open f w", ALL(0)},
	{"f 4711 f", "open f wct", BY(0, 0, EACCES)},
	{"f 644 f", "open f wca", BY(0, 0, EACCES)},
	{"f 644 f; l f l", "open l rn", ALL(ELOOP)},
	{"f 644 f; l f l", "open l wcx", ALL(EEXIST)},
	{"d 777 d; l d/x l", "open l wc", ALL(0)},
	{"f 644 f", "open f rd", ALL(ENOTDIR)},
	{"d 777 d", "open d w", ALL(EISDIR)},
	{"d 777 d", "open d b", ALL(EISDIR)},
	{"d 777 d", "open d rc", ALL(EISDIR)},
	{"d 777 d", "open d rt", ALL(EISDIR)},
	{"d 777 d", "open d rd", ALL(0)},
	{"d 711 d", "open d rd", BY(0, 0, EACCES)},
	{"d 777 d", "open d/x/ wc", ALL(EISDIR)},
	{"p 666 p", "open p wk", ALL(ENXIO)},
	{"p 666 p", "open p rk", ALL(0)},
	{"s 666 s", "open s r", ALL(ENXIO)},
	{"c 666 c", "open c r", ALL(0)},
	{"d 777 d", "open d/x wc 0; open d/x b", BY(0, EACCES, EACCES)},
	{"d 777 d", "write d/x wc 4096 ; chmod d/x 0", ALL(0)},
	{"d 777 d", "open d/x bc 444", ALL(0)},
	{"d 777 d", "open d/x bc 7777", ALL(0)},
	{"d 777 d", "open d bT 600", ALL(0)},
	{"d 555 d", "open d bT 600", BY(0, EACCES, EACCES)},
	{"d 777 d", "open d rT 600", ALL(EINVAL)},
	{"f 644 f", "open f bT 600", ALL(ENOTDIR)},
	{"f 644 f", "open f rN", BY(0, 0, EPERM)},
	{"f 644 f", "open f rS", ALL(0)},
	{"f 666 f; hostflags i f", "open f r", ALL(0)},
	{"f 666 f; hostflags i f", "open f w", ALL(EPERM)},
	{"f 666 f; hostflags i f", "open f rt", ALL(EPERM)},
	{"f 666 f; hostflags a f", "open f r", ALL(0)},
	{"f 666 f; hostflags a f", "open f w", ALL(EPERM)},
	{"f 666 f; hostflags a f", "open f wa", ALL(0)},
	{"f 666 f; hostflags a f", "write f wa 100", ALL(0)},
	{"f 666 f; hostflags a f", "write f wca 100", ALL(0)},
	{"f 666 f; hostflags a f", "open f wat", ALL(EPERM)},
	{"x 777 x", "run x; open x w", ALL(ETXTBSY)},
	{"x 777 x", "run x; open x r", ALL(0)},
	{"x 777 x", "run x; open x wt", ALL(ETXTBSY)},
	{"x 777 x", "hostrun x; open x w", ALL(ETXTBSY)},
	{"x 777 x", "keep x w; run x", ALL(ETXTBSY)},
	{"x 777 x", "keep x r; run x", ALL(0)},
	{"x 711 x", "run x", ALL(0)},
	{"x 644 x", "run x", ALL(EACCES)},
	{"x 744 x", "run x", BY(0, 0, EACCES)},
	{"f 644 f", "access f 2", BY(0, 0, EACCES)},
	{"f 644 f", "access f 1", ALL(EACCES)},
	{"f 6777 f", "write f w 10", ALL(0)},
	{"f 4711 f", "write f w 10", BY(0, 0, EACCES)},
	{"f 2755 f 1000 3000", "write f w 10", BY(0, 0, EACCES)},
	{"f 2644 f", "write f w 10", BY(0, 0, EACCES)},
};

static const struct row rename_rows[] = {
	PATHS("rename ", " y"),
	{"f 644 f", "rename f x/y", ALL(ENOENT)},
	{"f 644 f; f 644 g", "rename f g/y", ALL(ENOTDIR)},
	{"f 644 f; l b a; l a b", "rename f a/y", ALL(ELOOP)},
	{"f 644 f", "rename f @256", ALL(ENAMETOOLONG)},
	{"f 644 f", "rename f ^4096", ALL(ENAMETOOLONG)},
	{"f 644 f", "rename f @255", BY(0, 0, EACCES)},
	{"f 644 f; f 600 g", "rename f g", BY(0, 0, EACCES)},
	{"f 644 f; f 600 g", "rename f g n", BY(EEXIST, EEXIST, EEXIST)},
	{"f 644 f", "rename f g n", BY(0, 0, EACCES)},
	{"f 644 f; f 600 g", "rename f g x", BY(0, 0, EACCES)},
	{"f 644 f; d 755 d", "rename f d x", BY(0, 0, EACCES)},
	{"f 644 f", "rename f g x", ALL(ENOENT)},
	{"f 644 f; f 644 g", "rename f g nx", ALL(EINVAL)},
	{"f 644 f", "rename f g w", BY(0, 0, EACCES)},
	{"f 644 f; f 644 g", "rename f g w", BY(0, 0, EACCES)},
	{"f 644 f", "rename f g xw", ALL(EINVAL)},
	{"f 644 f; d 755 d", "rename f d", BY(EISDIR, EISDIR, EACCES)},
	{"f 644 f; d 755 d", "rename d f", BY(ENOTDIR, ENOTDIR, EACCES)},
	{"d 755 d; d 755 e", "rename d e", BY(0, 0, EACCES)},
	{"d 755 d; d 755 e; f 644 e/f", "rename d e", BY(ENOTEMPTY, ENOTEMPTY, EACCES)},
	{"d 755 d; d 755 d/e", "rename d d/e", BY(EINVAL, EINVAL, EINVAL)},
	{"d 755 d; d 755 d/e", "rename d d/e/x", ALL(EINVAL)},
	{"d 755 d; d 755 d/e", "rename d/e d", ALL(ENOTEMPTY)},
	{"d 755 d; d 755 d/e", "rename d/e d x", ALL(EINVAL)},
	{"d 755 d", "rename d d/.", ALL(EBUSY)},
	{"d 755 d", "rename d/. x", ALL(EBUSY)},
	{"d 755 d", "rename d d/..", ALL(EBUSY)},
	{"d 755 d", "rename d/.. x", ALL(EBUSY)},
	{"d 755 d", "rename d x/", BY(0, 0, EACCES)},
	{"f 644 f", "rename f x/", ALL(ENOTDIR)},
	{"f 644 f", "rename f f", ALL(0)},
	{"f 644 f; l f l", "rename l x", BY(0, 0, EACCES)},
	{"f 644 f; l f l", "rename f l", BY(0, 0, EACCES)},
	{"p 644 p; s 644 s", "rename p s", BY(0, 0, EACCES)},
	{"d 777 d; d 777 e; f 600 d/f", "rename d/f e/f", ALL(0)},
	{"d 777 d; d 777 e; d 700 d/x", "rename d/x e/x", BY(0, 0, EACCES)},
	{"d 777 d; d 777 e; d 777 d/x", "rename d/x e/x", ALL(0)},
	{"d 777 d; d 777 e; d 777 d/x", "rename d/x d/y", ALL(0)},
	{"d 777 d; d 555 e; f 600 d/f", "rename d/f e/f", BY(0, EACCES, EACCES)},
	{"d 555 d; d 777 e; f 600 d/f", "rename d/f e/f", BY(0, EACCES, EACCES)},
	{"d 1777 d 0 0; d 777 e; f 666 d/f", "rename d/f e/f", BY(0, 0, EPERM)},
	{"d 1777 d 0 0; d 777 e; f 666 e/f; f 666 d/f", "rename e/f d/f", BY(0, 0, EPERM)},
	{"d 1777 d; d 777 e; f 666 d/f 70000 70000", "rename d/f e/f", ALL(0)},
	{"d 1777 d 0 0; f 666 d/f; f 666 d/g 70000 70000", "rename d/f d/g", BY(0, EPERM, EPERM)},
	{"d 1777 d 0 0; f 666 d/f; f 666 d/g 70000 70000", "rename d/f d/g x", BY(0, EPERM, EPERM)},
	{"d 2777 d 0 4000; f 666 f", "rename f d/f", BY(0, 0, EACCES)},
	{"d 777 d; f 666 d/f; hostflags i d/f", "rename d/f d/g", ALL(EPERM)},
	{"d 777 d; f 666 d/f; hostflags a d/f", "rename d/f d/g", ALL(EPERM)},
	{"d 777 d; f 666 d/f; hostflags i d", "rename d/f d/g", ALL(EPERM)},
	{"d 777 d; f 666 d/f; hostflags a d", "rename d/f d/g", ALL(EPERM)},
	{"d 777 d; f 666 d/f; f 666 d/g; hostflags i d/g", "rename d/f d/g", ALL(EPERM)},
};

static const struct row rmdir_rows[] = {
	PATHS("rmdir ", ""),
	{"d 755 d", "rmdir d", BY(0, 0, EACCES)},
	{"d 755 d", "rmdir d/", BY(0, 0, EACCES)},
	{"d 0 d 70000 70000", "rmdir d", BY(0, 0, EACCES)},
	{"d 777 d; d 755 d/e", "rmdir d/e", ALL(0)},
	{"d 755 d; f 644 d/f", "rmdir d", BY(ENOTEMPTY, ENOTEMPTY, EACCES)},
	{"d 755 d; d 755 d/e", "rmdir d", BY(ENOTEMPTY, ENOTEMPTY, EACCES)},
	{"d 755 d", "rmdir d/.", ALL(EINVAL)},
	{"d 755 d", "rmdir d/..", ALL(ENOTEMPTY)},
	{NULL, "rmdir .", ALL(EINVAL)},
	{NULL, "rmdir ..", ALL(ENOTEMPTY)},
	{"f 644 f", "rmdir f", BY(ENOTDIR, ENOTDIR, EACCES)},
	{"d 755 d; l d l", "rmdir l", BY(ENOTDIR, ENOTDIR, EACCES)},
	{"d 755 d; l d l", "rmdir l/", BY(ENOTDIR, ENOTDIR, EACCES)},
	{"p 644 p", "rmdir p", BY(ENOTDIR, ENOTDIR, EACCES)},
	{"d 555 d; d 755 d/e", "rmdir d/e", BY(0, EACCES, EACCES)},
	{"d 666 d; d 755 d/e", "rmdir d/e", BY(0, EACCES, EACCES)},
	{"d 1777 d 0 0; d 777 d/e", "rmdir d/e", BY(0, 0, EPERM)},
	{"d 1777 d; d 777 d/e 70000 70000", "rmdir d/e", ALL(0)},
	{"d 777 d; d 777 d/e; hostflags i d/e", "rmdir d/e", ALL(EPERM)},
	{"d 777 d; d 777 d/e; hostflags a d/e", "rmdir d/e", ALL(EPERM)},
	{"d 777 d; d 777 d/e; hostflags i d", "rmdir d/e", ALL(EPERM)},
	{"d 777 d; d 777 d/e; hostflags a d", "rmdir d/e", ALL(EPERM)},
};

static const struct row symlink_rows[] = {
	MAKES("", "symlink target ", ""),
	{NULL, "symlink '' x", ALL(ENOENT)},
	{"d 777 d", "symlink ^4095 d/x", ALL(0)},
	{"d 777 d", "symlink ^4096 d/x", ALL(ENAMETOOLONG)},
	{"d 777 d", "symlink @256 d/x; readlink d/x", ALL(0)},
	{"f 644 f", "readlink f", ALL(EINVAL)},
	{"d 777 d", "symlink f d/x/", ALL(ENOENT)},
};

static const struct row truncate_rows[] = {
	PATHS("truncate ", " 3"),
	FOLLOWS("truncate ", " 3", 0),
	{"f 644 f", "truncate f 3", BY(0, 0, EACCES)},
	{"f 644 f", "truncate f 7", BY(0, 0, EACCES)},
	{"f 666 f", "truncate f 100000", ALL(0)},
	{"f 666 f", "truncate f 0; truncate f 0", ALL(0)},
	{"f 666 f", "truncate f -1", ALL(EINVAL)},
	{"f 666 f", "truncate f 9223372036854775807", ALL(EFBIG)},
	{"f 666 f", "ftruncate f w 3", ALL(0)},
	{"f 666 f", "ftruncate f r 3", ALL(EINVAL)},
	{"f 666 f", "ftruncate f wa 3", ALL(0)},
	{"f 222 f", "truncate f 3", ALL(0)},
	{"f 444 f", "truncate f 3", BY(0, EACCES, EACCES)},
	{"d 777 d", "truncate d 3", ALL(EISDIR)},
	{"p 666 p", "truncate p 3", ALL(EINVAL)},
	{"s 666 s", "truncate s 3", ALL(EINVAL)},
	{"b 666 b", "truncate b 3", ALL(EINVAL)},
	{"f 666 f; hostflags i f", "truncate f 3", ALL(EPERM)},
	{"f 666 f; hostflags a f", "truncate f 3", ALL(EPERM)},
	{"x 777 x", "run x; truncate x 3", ALL(ETXTBSY)},
	{"x 777 x", "hostrun x; truncate x 3", ALL(ETXTBSY)},
	{"f 6777 f", "truncate f 3", ALL(0)},
	{"f 6777 f", "truncate f 7", ALL(0)},
	{"f 6777 f", "ftruncate f w 3", ALL(0)},
	{"f 4711 f", "truncate f 3", BY(0, 0, EACCES)},
	{"f 2644 f", "truncate f 3", BY(0, 0, EACCES)},
	{"d 700 d; f 666 d/f", "truncate d/f 3", BY(0, 0, EACCES)},
};

static const struct row unlink_rows[] = {
	PATHS("unlink ", ""),
	{"f 644 f", "unlink f", BY(0, 0, EACCES)},
	{"f 644 f; d 777 d", "link f d/x; unlink d/x", BY(0, 0, EPERM)},
	{"d 777 d; f 0 d/f", "unlink d/f", ALL(0)},
	{"d 777 d; l x d/l", "unlink d/l", ALL(0)},
	{"d 777 d; p 0 d/p", "unlink d/p", ALL(0)},
	{"d 777 d; b 0 d/b", "unlink d/b", ALL(0)},
	{"d 777 d; s 0 d/s", "unlink d/s", ALL(0)},
	{"d 777 d; d 777 d/e", "unlink d/e", ALL(EISDIR)},
	{"f 644 f", "unlink f/", ALL(ENOTDIR)},
	{"d 777 d", "unlink d/.", ALL(EISDIR)},
	{"d 777 d", "unlink d/..", ALL(EISDIR)},
	{"d 555 d; f 666 d/f", "unlink d/f", BY(0, EACCES, EACCES)},
	{"d 666 d; f 666 d/f", "unlink d/f", BY(0, EACCES, EACCES)},
	{"d 333 d; f 666 d/f", "unlink d/f", ALL(0)},
	{"d 1777 d 0 0; f 666 d/f", "unlink d/f", BY(0, 0, EPERM)},
	{"d 1777 d; f 666 d/f 70000 70000", "unlink d/f", ALL(0)},
	{"d 1777 d 70000 70000; f 666 d/f 0 0", "unlink d/f", BY(0, EPERM, 0)},
	{"d 777 d; f 666 d/f; hostflags i d/f", "unlink d/f", ALL(EPERM)},
	{"d 777 d; f 666 d/f; hostflags a d/f", "unlink d/f", ALL(EPERM)},
	{"d 777 d; f 666 d/f; hostflags i d", "unlink d/f", ALL(EPERM)},
	{"d 777 d; f 666 d/f; hostflags a d", "unlink d/f", ALL(EPERM)},
	{"d 777 d; x 777 d/x", "run d/x; unlink d/x", ALL(0)},
	{"f 666 f", "keep f b; unlink f", BY(0, 0, EACCES)},
};

static const struct row utimensat_rows[] = {
	PATHS("utimens ", " now now"),
	FOLLOWS("utimens ", " 1000 2000", EPERM),
	{"f 644 f", "utimens f now now", BY(0, 0, EACCES)},
	{"f 444 f", "utimens f now now", BY(0, 0, EACCES)},
	{"f 666 f", "utimens f now now", ALL(0)},
	{"f 666 f", "utimens f 1000 2000", BY(0, 0, EPERM)},
	{"f 0 f", "utimens f 1000 2000", BY(0, 0, EPERM)},
	{"f 666 f", "utimens f omit 2000", BY(0, 0, EPERM)},
	{"f 666 f", "utimens f 1000 omit", BY(0, 0, EPERM)},
	{"f 666 f", "utimens f now omit", BY(0, 0, EPERM)},
	{"f 666 f", "utimens f omit now", BY(0, 0, EPERM)},
	{"f 666 f", "utimens f now 2000", BY(0, 0, EPERM)},
	{"f 0 f", "utimens f omit omit", ALL(0)},
	{"f 666 f", "utimens f -1000 4000000000", BY(0, 0, EPERM)},
	{"f 666 f", "utimens f 1000 100000000000", BY(0, 0, EPERM), .not_delayed = LIMIT},
	{"f 6755 f", "utimens f 1000 2000", BY(0, 0, EPERM)},
	{"d 755 d", "utimens d 1000 2000", BY(0, 0, EPERM)},
	{"p 644 p", "utimens p 1000 2000", BY(0, 0, EPERM)},
	{"b 644 b", "utimens b 1000 2000", BY(0, 0, EPERM)},
	{"s 644 s", "utimens s 1000 2000", BY(0, 0, EPERM)},
	{"f 644 f; l f l", "lutimens l 1000 2000", BY(0, 0, EPERM)},
	{"l x l", "lutimens l now now", BY(0, 0, 0)},
	{"f 666 f; hostflags i f", "utimens f now now", ALL(EPERM)},
	{"f 666 f; hostflags i f", "utimens f 1000 2000", ALL(EPERM)},
	{"f 666 f; hostflags a f", "utimens f now now", ALL(0), .not_delayed = SETS_TIME},
	{"f 666 f; hostflags a f", "utimens f 1000 2000", ALL(EPERM)},
	{"d 700 d; f 666 d/f", "utimens d/f now now", BY(0, 0, EACCES)},
};

/* /ro is mounted read-only: f, d, l -> f. */
static const struct row readonly_rows[] = {
	{NULL, "chmod /ro/f 600", ALL(EROFS), BY(EROFS, EROFS, EPERM), UNTOLD},
	{NULL, "chown /ro/f -1 3000", ALL(EROFS), BY(EROFS, EROFS, EPERM), UNTOLD},
	{NULL, "lchown /ro/l -1 3000", ALL(EROFS), BY(EROFS, EROFS, EPERM), UNTOLD},
	{NULL, "link /ro/f /ro/x", ALL(EROFS), BY(EROFS, EROFS, EPERM), UNTOLD},
	{NULL, "mkdir /ro/x 755", ALL(EROFS)},
	{NULL, "mkdir /ro/d 755", ALL(EEXIST)},
	{NULL, "mkfifo /ro/x 644", ALL(EROFS)},
	{NULL, "mknod /ro/x f 644", ALL(EROFS)},
	{NULL, "bind /ro/x", ALL(EROFS)},
	{NULL, "open /ro/f r", ALL(0)},
	{NULL, "open /ro/f w", BY(EROFS, EROFS, EACCES)},
	{NULL, "open /ro/f rt", ALL(EROFS), BY(EROFS, EROFS, EACCES), UNTOLD},
	{NULL, "open /ro/f rc", ALL(0)},
	{NULL, "open /ro/x wc", ALL(EROFS)},
	{NULL, "open /ro/d bT", ALL(EROFS)},
	{NULL, "rename /ro/f /ro/x", ALL(EROFS)},
	{NULL, "rmdir /ro/d", ALL(EROFS)},
	{NULL, "symlink x /ro/x", ALL(EROFS)},
	{NULL, "truncate /ro/f 3", BY(EROFS, EROFS, EACCES)},
	{NULL, "unlink /ro/f", ALL(EROFS)},
	{NULL, "unlink /ro/x", ALL(EROFS), ALL(ENOENT), UNTOLD},
	{NULL, "utimens /ro/f now now", ALL(EROFS), BY(EROFS, EROFS, EACCES), UNTOLD},
	{NULL, "utimens /ro/f 1000 2000", ALL(EROFS), BY(EROFS, EROFS, EPERM), UNTOLD},
	{NULL, "access /ro/f 2", BY(EROFS, EROFS, EACCES), BY(0, 0, EACCES), ACCESS},
	{NULL, "access /ro/f 4", ALL(0)},
};

/* /full has neither blocks nor inodes left: f, d; both of mode 777. */
static const struct row full_rows[] = {
	{NULL, "link /full/f /full/x", ALL(ENOSPC)},
	{NULL, "mkdir /full/x 755", ALL(ENOSPC)},
	{NULL, "mkfifo /full/x 644", ALL(ENOSPC)},
	{NULL, "mknod /full/x f 644", ALL(ENOSPC)},
	{NULL, "bind /full/x", ALL(ENOSPC)},
	{NULL, "open /full/x wc", ALL(ENOSPC)},
	{NULL, "open /full/d bT", ALL(ENOSPC)},
	{NULL, "symlink x /full/x", ALL(ENOSPC)},
	{NULL, "write /full/f wa 4096", ALL(ENOSPC)},
	{NULL, "write /full/f w 4096", ALL(0)},
	{NULL, "rename /full/f /full/g; rename /full/g /full/f", ALL(0)},
	{NULL, "chmod /full/f 777", BY(0, 0, EPERM)},
	{NULL, "rename /full/f x", ALL(EXDEV), BY(EXDEV, EXDEV, EACCES), ONE_MOUNT},
	{NULL, "rename /full/f x x", ALL(EXDEV), ALL(ENOENT), ONE_MOUNT},
	{NULL, "link /full/f x", ALL(EXDEV), BY(EXDEV, EXDEV, EACCES), ONE_MOUNT},
	{"d 777 d", "rename d /full/x", ALL(EXDEV), BY(EXDEV, EXDEV, EACCES), ONE_MOUNT},
	{NULL, "rmdir /full", BY(EBUSY, EACCES, EACCES)},
	{NULL, "rename /full /x", BY(EBUSY, EACCES, EACCES)},
	{"d 777 d", "rename d /full", BY(EBUSY, EACCES, EACCES)},
};

/* The file system at /quota has used up its quota: f, of mode 666; d, of mode 777. */
static const struct row quota_rows[] = {
	{NULL, "write /quota/f wa 4096", ALL(EDQUOT)}, {NULL, "mkdir /quota/d/x 755", ALL(EDQUOT)},
	{NULL, "mknod /quota/d/x f 755", ALL(EDQUOT)}, {NULL, "open /quota/d/x wc", ALL(EDQUOT)},
	{NULL, "symlink x /quota/d/x", ALL(EDQUOT)},
};

/* As many links as ext4 has. Only where /links is there, for the time that it takes. */
static const struct row links_rows[] = {
	{"f 666 f; hostlinks 64998 f; d 777 d", "link f d/y; link f d/z", ALL(EMLINK)},
};

static const struct row chattr_rows[] = {
	{"f 644 f", "nodump f", BY(0, 0, EPERM), .stale = KEPT},
	{"f 600 f", "nodump f", BY(0, 0, EACCES), .stale = KEPT},
	{"d 755 d", "nodump d", BY(0, 0, EPERM), .stale = KEPT},
	{"f 666 f 70000 70000", "nodump f", BY(0, EPERM, 0), .stale = KEPT},
	{"f 644 f; hostflags i f", "nodump f", ALL(EPERM)},
	{"p 666 p", "keep p b; nodump p", ALL(ENOTTY)},
	{NULL, "nodump /ro/f", ALL(EROFS), BY(EROFS, EROFS, EPERM), UNTOLD},
};

#define ROWS(call) #call, call##_rows, ARRAY_SIZE(call##_rows)

const struct rows matrix_rows[] = {
	{ROWS(chmod)},        {ROWS(chown)},          {ROWS(link)},
	{ROWS(mkdir)},        {ROWS(mkfifo)},         {ROWS(mknod)},
	{ROWS(open)},         {ROWS(rename)},         {ROWS(rmdir)},
	{ROWS(symlink)},      {ROWS(truncate)},       {ROWS(unlink)},
	{ROWS(utimensat)},    {ROWS(chattr)},         {ROWS(readonly), "ro"},
	{ROWS(full), "full"}, {ROWS(quota), "quota"}, {ROWS(links), "links"},
};
const size_t matrix_rows_n = ARRAY_SIZE(matrix_rows);
