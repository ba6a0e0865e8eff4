/* Faults on demand, for Linux: loaded before libc into the program under test (LD_PRELOAD).
 *
 * Every call that touches a path below one folder is a step: it is numbered within its process and
 * written to a log before it is made. Chosen steps of one kind of process fail with an error of the
 * operating system's, write only half, or are the last thing that the process does.
 *
 *   FAULTS_UNDER  the folder
 *   FAULTS_LOG    the log: lines of role, process, number, call, place, path, second path, fate
 *   FAULTS_ROLE   the subcommand (`run`, `worker`) whose steps are disturbed
 *   FAULTS_FIRST  the first step that is disturbed, from 1
 *   FAULTS_LAST   the last one
 *   FAULTS_FATE   an error number, `half`, or `kill` (once among all processes that share a log)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* What becomes of a step: 0 it is made, more than 0 this error, or it writes half. */
enum { HALF = -1, KILL = -2 };

static const char *under, *role = "?";
static int logged = -1, fate, disturbed;
static long first, last;
static atomic_long count;

/* The function of libc that has the same name. */
#define REAL(name) ({ \
	static __typeof__(&name) real; \
	if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name); \
	real; })

__attribute__((constructor)) static void begin(int arguments, char **argument)
{
	const char *path = getenv("FAULTS_LOG"), *what = getenv("FAULTS_FATE"), *number;
	under = getenv("FAULTS_UNDER");
	if (!under || !path) return;
	if (arguments > 1) role = argument[1];
	const char *whose = getenv("FAULTS_ROLE");
	disturbed = whose && !strcmp(whose, role);
	first = (number = getenv("FAULTS_FIRST")) ? atol(number) : 0;
	last = (number = getenv("FAULTS_LAST")) ? atol(number) : first;
	fate = !what ? 0 : !strcmp(what, "half") ? HALF : !strcmp(what, "kill") ? KILL : atoi(what);
	logged = REAL(open)(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (logged < 0) { perror(path); abort(); }
}

/* A path from the root, without resolving links: the program's folder has none. */
static void absolute(int folder, const char *path, char *out)
{
	char base[PATH_MAX] = "";
	if (path[0] != '/' && folder == AT_FDCWD) {
		if (!getcwd(base, sizeof base)) base[0] = 0;
	} else if (path[0] != '/') {
		char link[64];
		snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
		ssize_t length = readlink(link, base, sizeof base - 1);
		base[length < 0 ? 0 : length] = 0;
	}
	snprintf(out, PATH_MAX, path[0] == '/' || !*path ? "%s%s" : "%s/%s", base, path);
}

static int is_below(const char *path)
{
	size_t length = strlen(under);
	return !strncmp(path, under, length) && (path[length] == '/' || !path[length]);
}

/* Whether this process is the one that dies, of all that could. */
static int is_victim(void)
{
	char mark[PATH_MAX];
	snprintf(mark, sizeof mark, "%s.killed", getenv("FAULTS_LOG"));
	return REAL(open)(mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) >= 0;
}

/* Counts and logs a step; its fate. */
static int step(const char *call, int folder, const char *path, const char *to)
{
	char from[PATH_MAX], onto[PATH_MAX] = "", line[2 * PATH_MAX + 128];
	struct stat there;
	int before = errno;
	if (logged < 0) return 0;
	absolute(folder, path, from);
	if (to) absolute(AT_FDCWD, to, onto);
	if (!is_below(from) && !is_below(onto)) { errno = before; return 0; }
	long number = atomic_fetch_add(&count, 1) + 1;
	int now = disturbed && first && number >= first && number <= last ? fate : 0;
	if (now == KILL && !is_victim()) now = 0;
	int length = snprintf(line, sizeof line, "%s\t%d\t%ld\t%s\t%s\t%s\t%s\t%d\n", role, getpid(), number, call,
		lstat(to ? onto : from, &there) ? "absent" : "there", from, onto, now);
	if (REAL(write)(logged, line, length) != length) abort();
	if (now == KILL) kill(getpid(), SIGKILL);
	errno = before;
	return now;
}

static int step_of(const char *call, int file)
{
	return step(call, file, "", NULL);
}

#define FAIL_OR(fate, rest) ({ \
	int fate_ = (fate); \
	if (fate_) errno = fate_ > 0 ? fate_ : ENOSPC; \
	fate_ ? -1 : (rest); })

#define OPENED(flags) ((flags) & O_CREAT ? "create" : "open")
#define MODE(flags) ({ \
	mode_t mode_ = 0; \
	if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode_ = va_arg(rest, int); va_end(rest); } \
	mode_; })

int open(const char *path, int flags, ...)
{
	mode_t mode = MODE(flags);
	return FAIL_OR(step(OPENED(flags), AT_FDCWD, path, NULL), REAL(open)(path, flags, mode));
}

int open64(const char *path, int flags, ...)
{
	mode_t mode = MODE(flags);
	return FAIL_OR(step(OPENED(flags), AT_FDCWD, path, NULL), REAL(open64)(path, flags, mode));
}

int openat64(int folder, const char *path, int flags, ...)
{
	mode_t mode = MODE(flags);
	return FAIL_OR(step(OPENED(flags), folder, path, NULL), REAL(openat64)(folder, path, flags, mode));
}

ssize_t read(int file, void *bytes, size_t size)
{
	return FAIL_OR(step_of("read", file), REAL(read)(file, bytes, size));
}

ssize_t write(int file, const void *bytes, size_t size)
{
	static atomic_int full;
	int fate = step_of("write", file);
	/* The half that there is still room for; what comes after it finds a full disk. */
	if (fate == HALF && !atomic_exchange(&full, 1)) return REAL(write)(file, bytes, size / 2);
	return FAIL_OR(fate, REAL(write)(file, bytes, size));
}

ssize_t writev(int file, const struct iovec *pieces, int number)
{
	return FAIL_OR(step_of("write", file), REAL(writev)(file, pieces, number));
}

int fsync(int file)
{
	return FAIL_OR(step_of("fsync", file), REAL(fsync)(file));
}

int flock(int file, int how)
{
	return FAIL_OR(step_of("flock", file), REAL(flock)(file, how));
}

int mkdir(const char *path, mode_t mode)
{
	return FAIL_OR(step("mkdir", AT_FDCWD, path, NULL), REAL(mkdir)(path, mode));
}

int rename(const char *from, const char *to)
{
	return FAIL_OR(step("rename", AT_FDCWD, from, to), REAL(rename)(from, to));
}

int unlink(const char *path)
{
	return FAIL_OR(step("unlink", AT_FDCWD, path, NULL), REAL(unlink)(path));
}

int unlinkat(int folder, const char *path, int flags)
{
	return FAIL_OR(step("unlink", folder, path, NULL), REAL(unlinkat)(folder, path, flags));
}
