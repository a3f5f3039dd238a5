// SPDX-License-Identifier: Apache-2.0
/* Add 1 to the number in NAME.count, under a lock on NAME, so many times. */
/*
 * Theory of operation
 *
 * The file with the number is opened when the lock is held: that is when a guest looks whether what
 * it has cached is still good. -n does not wait for the lock; -h says that it has it and keeps it until
 * it is killed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void take(int fd, int posix, int wait)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 7, .l_len = 3};

	if (posix ? fcntl(fd, wait ? F_SETLKW : F_SETLK, &fl)
		  : flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)))
		die("lock");
}

static void give(int fd, int posix)
{
	struct flock fl = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	if (posix ? fcntl(fd, F_SETLK, &fl) : flock(fd, LOCK_UN))
		die("unlock");
}

static void add(const char *name)
{
	char buf[32] = "";
	int fd = open(name, O_RDWR);

	if (fd < 0 || pread(fd, buf, 8, 0) != 8)
		die(name);
	snprintf(buf, sizeof(buf), "%08d", atoi(buf) + 1);
	if (pwrite(fd, buf, 8, 0) != 8 || close(fd))
		die(name);
}

int main(int argc, char *argv[])
{
	int wait = 1, hold = 0, posix, fd;
	char count[256];

	if (argc > 1 && argv[1][0] == '-') {
		wait = argv[1][1] != 'n';
		hold = argv[1][1] == 'h';
		argv++;
		argc--;
	}
	if (argc != 4)
		return 2;
	posix = !strcmp(argv[1], "posix");
	snprintf(count, sizeof(count), "%s.count", argv[2]);
	fd = open(argv[2], O_RDWR);
	if (fd < 0)
		die(argv[2]);
	for (int i = atoi(argv[3]); i > 0; i--) {
		take(fd, posix, wait);
		if (hold) {
			puts("holding");
			fflush(stdout);
			pause();
		}
		add(count);
		give(fd, posix);
	}
	return 0;
}
