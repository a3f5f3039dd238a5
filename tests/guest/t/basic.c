// SPDX-License-Identifier: Apache-2.0
// What a shell cannot say of a file system: run in a directory of the share, prints what failed and exits 1.
//
// Theory of operation: one process, no threads. Each check works on files of its own in the current directory and leaves
// them there for the host to look at, or removes them. A check that the guest's kernel does not have says so.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

static int failures;

#define CHECK(cond)                                                                        \
	do {                                                                               \
		if (!(cond)) {                                                             \
			printf("FAIL: %s:%d: %s (errno: %s)\n", __func__, __LINE__, #cond, \
			       strerror(errno));                                           \
			failures++;                                                        \
			return;                                                            \
		}                                                                          \
	} while (0)

static void holes(void)
{
	int fd = open("sparse", O_RDWR | O_CREAT | O_EXCL, 0644);
	struct stat st;

	CHECK(fd >= 0);
	CHECK(ftruncate(fd, 1 << 20) == 0);
	CHECK(pwrite(fd, "data", 4, 512 << 10) == 4);
	CHECK(fsync(fd) == 0);
	CHECK(lseek(fd, 0, SEEK_DATA) == 512 << 10);
	CHECK(lseek(fd, 512 << 10, SEEK_HOLE) < 1 << 20);
	CHECK(lseek(fd, 2 << 20, SEEK_DATA) == -1 && errno == ENXIO);
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 512 << 10, 64 << 10) == 0);
	CHECK(lseek(fd, 0, SEEK_DATA) == -1 && errno == ENXIO);
	CHECK(fallocate(fd, 0, 1 << 20, 4096) == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_size == (1 << 20) + 4096);
	CHECK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 2 << 20, 4096) == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_size == (1 << 20) + 4096);
	close(fd);
}

static void copy_range(void)
{
	int from = open("copied-from", O_RDWR | O_CREAT | O_EXCL, 0644);
	int to = open("copied-to", O_RDWR | O_CREAT | O_EXCL, 0644);
	loff_t from_off = 4096, to_off = 8192;
	char buf[64 << 10], got[4096];

	CHECK(from >= 0 && to >= 0);
	memset(buf, 'c', sizeof(buf));
	CHECK(write(from, buf, sizeof(buf)) == sizeof(buf));
	CHECK(copy_file_range(from, &from_off, to, &to_off, 4096, 0) == 4096);
	CHECK(pread(to, got, sizeof(got), 8192) == sizeof(got));
	CHECK(memcmp(got, buf, sizeof(got)) == 0);
	CHECK(pread(to, got, sizeof(got), 0) == sizeof(got) && got[0] == 0);
	close(from);
	close(to);
}

static void renames(void)
{
	struct stat a, b, now;
	int fd = open("one", O_CREAT | O_EXCL | O_WRONLY, 0644);
	int fd2 = open("two", O_CREAT | O_EXCL | O_WRONLY, 0644);

	CHECK(fd >= 0 && fd2 >= 0);
	CHECK(fstat(fd, &a) == 0 && fstat(fd2, &b) == 0);
	CHECK(renameat2(AT_FDCWD, "one", AT_FDCWD, "two", RENAME_NOREPLACE) == -1 &&
	      errno == EEXIST);
	CHECK(renameat2(AT_FDCWD, "one", AT_FDCWD, "two", RENAME_EXCHANGE) == 0);
	CHECK(stat("one", &now) == 0 && now.st_ino == b.st_ino);
	CHECK(stat("two", &now) == 0 && now.st_ino == a.st_ino);
	CHECK(rename("one", "two") == 0);
	CHECK(stat("one", &now) == -1 && errno == ENOENT);
	CHECK(unlink("two") == 0);
	close(fd);
	close(fd2);
}

static void unlinked(void)
{
	int fd = open("gone", O_RDWR | O_CREAT | O_EXCL, 0644);
	struct stat st;
	char buf[4];

	CHECK(fd >= 0);
	CHECK(unlink("gone") == 0);
	CHECK(write(fd, "here", 4) == 4);
	CHECK(pread(fd, buf, 4, 0) == 4 && memcmp(buf, "here", 4) == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_size == 4 && st.st_nlink == 0);
	CHECK(fchmod(fd, 0600) == 0 && ftruncate(fd, 2) == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_size == 2 && (st.st_mode & 07777) == 0600);
	close(fd);
}

static void appends(void)
{
	int fd = open("appended", O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0644);

	CHECK(fd >= 0);
	CHECK(write(fd, "one ", 4) == 4);
	CHECK(pwrite(fd, "two ", 4, 0) == 4); // Linux appends, whatever the offset
	CHECK(write(fd, "three", 5) == 5);
	close(fd);
	CHECK(open("appended", O_CREAT | O_EXCL, 0644) == -1 && errno == EEXIST);
}

static void readonly_create(void)
{
	// As git does: the mode forbids to write, the descriptor that made the file may.
	int fd = open("mode-0444", O_RDWR | O_CREAT | O_EXCL, 0444);

	CHECK(fd >= 0);
	CHECK(write(fd, "written", 7) == 7);
	close(fd);
	fd = open("mode-0000", O_WRONLY | O_CREAT | O_EXCL, 0);
	CHECK(fd >= 0);
	CHECK(write(fd, "written", 7) == 7);
	close(fd);
}

static void mapped(void)
{
	int fd = open("mapped", O_RDWR | O_CREAT | O_EXCL, 0644);
	char *p, buf[8];

	CHECK(fd >= 0);
	CHECK(ftruncate(fd, 10000) == 0);
	p = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	memcpy(p + 9000, "mapped", 6);
	CHECK(msync(p, 10000, MS_SYNC) == 0);
	CHECK(pread(fd, buf, 6, 9000) == 6 && memcmp(buf, "mapped", 6) == 0);
	/* What is written after the file was closed is the host's to see when it is mapped no more. */
	CHECK(close(fd) == 0);
	memcpy(p, "closed", 6);
	CHECK(munmap(p, 10000) == 0);
}

static void locks(void)
{
	int a = open("lock", O_RDWR | O_CREAT, 0644), b = open("lock", O_RDWR);
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	CHECK(a >= 0 && b >= 0);
	CHECK(flock(a, LOCK_EX) == 0);
	CHECK(flock(b, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
	CHECK(flock(a, LOCK_UN) == 0 && flock(b, LOCK_EX | LOCK_NB) == 0);
	CHECK(fcntl(a, F_OFD_SETLK, &l) == 0);
	CHECK(fcntl(b, F_OFD_SETLK, &l) == -1 && errno == EAGAIN);
	close(a);
	close(b);
}

static void tmpfile_(void)
{
	int fd = open(".", O_TMPFILE | O_RDWR, 0640);
	char path[64];

	if (fd < 0 && errno == EOPNOTSUPP) {
		printf("note: this kernel has no O_TMPFILE on FUSE\n");
		return;
	}
	CHECK(fd >= 0);
	CHECK(write(fd, "nameless", 8) == 8);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "was-nameless", AT_SYMLINK_FOLLOW) == 0);
	close(fd);
}

static void sockets(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = "socket"};
	int s = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);

	CHECK(s >= 0 && c >= 0);
	CHECK(bind(s, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	CHECK(listen(s, 1) == 0);
	CHECK(connect(c, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	close(s);
	close(c);
}

static void birth(void)
{
	struct statx stx;
	int fd = open("born", O_WRONLY | O_CREAT | O_EXCL, 0644);

	CHECK(fd >= 0);
	CHECK(statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &stx) == 0);
	CHECK((stx.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
	if (!(stx.stx_mask & STATX_BTIME))
		printf("note: no time of birth\n");
	close(fd);
}

static void listing(void)
{
	// A directory that is read while its entries are removed: each is seen once.
	enum { N = 700 };
	static unsigned char seen[N];
	struct dirent *de;
	char name[32];
	DIR *d;
	int i;

	CHECK(mkdir("many", 0755) == 0);
	for (i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "many/%d", i);
		CHECK(mknod(name, S_IFREG | 0644, 0) == 0);
	}
	d = opendir("many");
	CHECK(d);
	while ((de = readdir(d))) {
		if (de->d_name[0] == '.')
			continue;
		CHECK(de->d_type == DT_REG);
		i = atoi(de->d_name);
		CHECK(i >= 0 && i < N && !seen[i]);
		seen[i] = 1;
		CHECK(unlinkat(dirfd(d), de->d_name, 0) == 0);
	}
	closedir(d);
	for (i = 0; i < N; i++)
		CHECK(seen[i]);
	CHECK(rmdir("many") == 0);
}

static void names(void)
{
	char name[258];
	struct statvfs vfs;
	int fd;

	memset(name, 'n', sizeof(name));
	name[256] = 0;
	CHECK(open(name, O_CREAT | O_WRONLY, 0644) == -1 && errno == ENAMETOOLONG);
	name[255] = 0;
	fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
	CHECK(fd >= 0);
	CHECK(unlink(name) == 0);
	CHECK(fstatvfs(fd, &vfs) == 0 && vfs.f_namemax == 255 && vfs.f_blocks > 0);
	close(fd);
}

int main(void)
{
	umask(022);
	holes();
	copy_range();
	renames();
	unlinked();
	appends();
	readonly_create();
	mapped();
	locks();
	tmpfile_();
	sockets();
	birth();
	listing();
	names();
	return failures != 0;
}
