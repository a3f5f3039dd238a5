/* SPDX-License-Identifier: Apache-2.0 */
/* Programs of file system operations: their text form, and the table of operations. */
#ifndef CULVERT_DIFF_PROG_H
#define CULVERT_DIFF_PROG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PROG_STR   176 /* bytes of a string in its text form, with its end */
#define PROG_NUMS  6
#define PROG_SLOTS 16 /* open files and directories of a program */
#define PROG_MAPS  8

/*
 * The letters that describe arguments, in the order of the text:
 *   F  slot that the operation fills      f  slot that it uses     M  mapping
 *   p  path                               s  other string          i  number     m  octal mode
 *   T  time: "now", "omit" or seconds.nanoseconds; takes two numbers
 *   and one letter for each list of words (prog_words): o open, r rename, a at, w whence, k fallocate,
 *   x xattr, y msync, t protection, h map, v fadvise, c access, l lock, u flock.
 */
#define PROG_OPS(X)                        \
	X(OPEN, "open", "Fpom")            \
	X(REOPEN, "reopen", "Ffo")         \
	X(DUP, "dup", "Ff")                \
	X(CLOSE, "close", "f")             \
	X(CLOSEALL, "closeall", "")        \
	X(READ, "read", "fii")             \
	X(PREAD, "pread", "fiii")          \
	X(WRITE, "write", "fiii")          \
	X(PWRITE, "pwrite", "fiiii")       \
	X(LSEEK, "lseek", "fiw")           \
	X(TRUNCATE, "truncate", "pi")      \
	X(FTRUNCATE, "ftruncate", "fi")    \
	X(FALLOCATE, "fallocate", "fkii")  \
	X(COPYRANGE, "copyrange", "fifii") \
	X(SENDFILE, "sendfile", "ffii")    \
	X(MMAP, "mmap", "Mfiith")          \
	X(MREAD, "mread", "Mii")           \
	X(MWRITE, "mwrite", "Miii")        \
	X(MSYNC, "msync", "My")            \
	X(MUNMAP, "munmap", "M")           \
	X(FSYNC, "fsync", "f")             \
	X(FDATASYNC, "fdatasync", "f")     \
	X(SYNCFS, "syncfs", "f")           \
	X(FCHMOD, "fchmod", "fm")          \
	X(FCHOWN, "fchown", "fii")         \
	X(FUTIMENS, "futimens", "fTT")     \
	X(FSTAT, "fstat", "f")             \
	X(SETFL, "setfl", "fo")            \
	X(FADVISE, "fadvise", "fv")        \
	X(FLOCK, "flock", "fu")            \
	X(OFDLOCK, "ofdlock", "flii")      \
	X(FSETXATTR, "fsetxattr", "fsiix") \
	X(FGETXATTR, "fgetxattr", "fsi")   \
	X(FLISTXATTR, "flistxattr", "fi")  \
	X(FRMXATTR, "frmxattr", "fs")      \
	X(MKDIR, "mkdir", "pm")            \
	X(RMDIR, "rmdir", "p")             \
	X(UNLINK, "unlink", "p")           \
	X(RENAME, "rename", "ppr")         \
	X(LINK, "link", "ppa")             \
	X(LINKFD, "linkfd", "fp")          \
	X(SYMLINK, "symlink", "sp")        \
	X(READLINK, "readlink", "p")       \
	X(MKNOD, "mknod", "pmi")           \
	X(CHMOD, "chmod", "pm")            \
	X(CHOWN, "chown", "piia")          \
	X(UTIMENS, "utimens", "pTTa")      \
	X(STAT, "stat", "pa")              \
	X(STATFS, "statfs", "p")           \
	X(ACCESS, "access", "pca")         \
	X(CAT, "cat", "p")                 \
	X(PUT, "put", "piii")              \
	X(SETXATTR, "setxattr", "psiixa")  \
	X(GETXATTR, "getxattr", "psia")    \
	X(LISTXATTR, "listxattr", "pia")   \
	X(RMXATTR, "rmxattr", "psa")       \
	X(READDIR, "readdir", "fii")       \
	X(SEEKDIR, "seekdir", "fi")        \
	X(REWINDDIR, "rewinddir", "f")     \
	X(MKMANY, "mkmany", "pi")          \
	X(RMMANY, "rmmany", "p")           \
	X(UMASK, "umask", "m")             \
	X(CRED, "cred", "iii")             \
	X(CHECK, "check", "i")             \
	X(TREE, "tree", "")                \
	X(DROP, "drop", "i")               \
	X(SETTLE, "settle", "")

enum prog_code {
#define X(code, name, args) OP_##code,
	PROG_OPS(X)
#undef X
		OP_COUNT
};

/**
 * struct op - one operation of a program. Plain data; lives in memory shared with workers.
 * @code: which (enum prog_code).
 * @host: on side A done in the directory that the mount shares, not through the mount.
 * @n:    numbers, slots and sets of words, in the order of the text (a time takes two).
 * @s:    strings in their text form (prog_decode()).
 */
struct op {
	uint8_t code;
	bool host;
	int64_t n[PROG_NUMS];
	char s[2][PROG_STR];
};

struct prog_info {
	const char *name;
	const char *args;
};

extern const struct prog_info prog_info[OP_COUNT];

/** struct prog - a list of operations. */
struct prog {
	struct op *ops; /* owned */
	size_t cnt;
	size_t room;
};

/** prog_add() - append a copy of @op. Ends the process when there is no memory. */
void prog_add(struct prog *p, const struct op *op);

/** prog_done() - free what it holds. */
void prog_done(struct prog *p);

/** prog_print() - write one operation as a line of text, without a newline, to @buf. */
void prog_print(const struct op *op, char *buf, size_t size);

/**
 * prog_parse() - read one line.
 *
 * Returns 1, 0 when the line holds nothing (blank, or a comment that begins with #), or -EINVAL.
 */
int prog_parse(const char *line, struct op *ret);

/** prog_load() - read a whole program; says on stderr which line is wrong. 0 or -errno. */
int prog_load(FILE *f, struct prog *ret);

/** prog_paths() - the paths among the arguments, in text form. Returns how many. */
unsigned int prog_paths(const struct op *op, const char *ret[2]);

/** prog_slots() - the slots among the arguments. Returns how many. */
unsigned int prog_slots(const struct op *op, int ret[2]);

/**
 * prog_decode() - the bytes that a string of an operation stands for.
 * @s:    text: %XX is a byte, {unit*count} is unit count times, "" written as %- is nothing.
 * @buf:  filled with the bytes and a zero.
 * @size: its size.
 *
 * Returns the length, or -EINVAL.
 */
int prog_decode(const char *s, char *buf, size_t size);

#endif
