// SPDX-License-Identifier: Apache-2.0
/* What no daemon could do without: the least that a start, and files that come and go, take here. */
/*
 * Theory of operation
 *
 * usage: floor --socket-path SOCKET      listen, and end with the first front-end: bench/peers' arm "floor"
 *        floor create DIR SECONDS        what CREATE, WRITE, RELEASE and UNLINK of files in DIR cost at least
 *
 * "create" has 32 files at a time in each stage, as a daemon with 32 requests on its ring has: with the native
 * loop's four system calls, and with the ten that it takes to know a file again by its handle and to have it
 * when its name has gone. In turns; prints the medians, in ns a file.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define FILES     32
#define SIZE      4096 /* bytes written to each */
#define TURN      1000 /* times FILES files */
#define TURNS_MAX 10000u

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int listen_only(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte;

	if (strlen(path) >= sizeof(addr.sun_path)) {
		fprintf(stderr, "floor: '%s' is too long for a socket\n", path);
		return 2;
	}
	strcpy(addr.sun_path, path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 1) < 0)
		die(path);
	fd = accept(fd, NULL, NULL);
	return fd < 0 || read(fd, &byte, 1) < 0;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What tells a file from all others. */
static void know(int fd)
{
	char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	struct file_handle *handle = (void *)room;
	struct statx st;
	int mount;

	handle->handle_bytes = MAX_HANDLE_SZ;
	if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME,
		  &st) < 0 ||
	    name_to_handle_at(fd, "", handle, &mount, AT_EMPTY_PATH) < 0)
		die("a file's handle");
}

/* FILES files come and go. */
static void come_and_go(int dir, bool ten)
{
	static const char data[SIZE];
	int fd[FILES];
	char name[FILES][16];

	for (int i = 0; i < FILES; i++) {
		snprintf(name[i], sizeof(name[i]), "floor-%d", i);
		fd[i] = openat(dir, name[i], O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			       0644);
		if (fd[i] < 0)
			die(name[i]);
		if (ten)
			know(fd[i]);
	}
	for (int i = 0; i < FILES; i++)
		if (pwrite(fd[i], data, SIZE, 0) != SIZE)
			die(name[i]);
	for (int i = 0; i < FILES; i++)
		close(fd[i]);
	for (int i = 0; i < FILES; i++) {
		if (ten) {
			fd[i] = openat(dir, name[i], O_PATH | O_NOFOLLOW | O_CLOEXEC);
			if (fd[i] < 0)
				die(name[i]);
			know(fd[i]);
		}
		if (unlinkat(dir, name[i], 0) < 0)
			die(name[i]);
	}
	/* The guest says that it has forgotten them. */
	for (int i = 0; ten && i < FILES; i++)
		close(fd[i]);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int create(const char *path, unsigned int seconds)
{
	static double ns[2][TURNS_MAX];
	uint64_t end = now_ns() + seconds * UINT64_C(1000000000);
	int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	unsigned int n = 0;

	if (dir < 0)
		die(path);
	do {
		for (int ten = 0; ten < 2; ten++) {
			uint64_t begin = now_ns();

			for (int i = 0; i < TURN; i++)
				come_and_go(dir, ten);
			ns[ten][n] = (double)(now_ns() - begin) / TURN / FILES;
		}
	} while (++n < TURNS_MAX && now_ns() < end);
	for (int ten = 0; ten < 2; ten++) {
		qsort(ns[ten], n, sizeof(ns[ten][0]), compare);
		printf("%s calls: %.0f ns\n", ten ? "ten" : "four", ns[ten][n / 2]);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--socket-path"))
		return listen_only(argv[2]);
	if (argc == 4 && !strcmp(argv[1], "create") && atoi(argv[3]) > 0)
		return create(argv[2], (unsigned int)atoi(argv[3]));
	fputs("usage: floor --socket-path SOCKET | floor create DIR SECONDS\n", stderr);
	return 2;
}
