/*
 * A disk and a clock that do as they are told, for one process, without root: LD_PRELOAD. It acts only on files below one
 * directory, and on CLOCK_REALTIME. What it does is read at every call from a small file that the process maps, so that
 * faults come and go while it runs; what it learns stands in the same file, which outlives a SIGKILL.
 *
 *   LAB_SHIM_CONTROL  the file, of sizeof(struct control) bytes; shim.ts makes it and knows its layout
 *   LAB_SHIM_ROOT     the directory, canonical, without a slash at its end
 *   LAB_SHIM_TRASH    a directory of the same file system, outside the first: what was unlinked and may come back
 *
 * It keeps account of what a power loss would leave: for each file its length at its last sync; of creations, unlinks and
 * renames, in order, those that no sync has followed. The model is an ordered metadata journal, as of ext4 and XFS: a sync
 * of anything makes every earlier creation, unlink and rename durable. LevelDB relies on that: it syncs a new write-ahead
 * file and not its directory. Directories themselves count as durable at once.
 *
 * stdio writes from within libc, where nothing can be put in between; so the stdio calls themselves are interposed.
 */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#undef fwrite_unlocked /* a macro in some stdio.h */

#define MAGIC 0x6b766f72736869ull
#define SLOTS 2048
#define OPS 512
#define NAME_BYTES 240

enum { OP_CREATE = 1, OP_UNLINK = 2, OP_RENAME = 3 };

struct slot {
  uint64_t inode;
  uint64_t synced;
};

/* A change of names. `number` names the file in the trash that holds what it removed, if `kept`. */
struct op {
  uint32_t kind;
  uint32_t kept;
  uint64_t number;
  uint64_t inode;
  char from[NAME_BYTES];
  char to[NAME_BYTES];
  uint64_t spare;
};

struct control {
  uint64_t magic;
  /* Told to the shim. Counts: how many calls are still to fail; negative: all. */
  _Atomic int64_t sync_delay_us;
  _Atomic int64_t sync_jitter_us;
  _Atomic int64_t sync_errno;
  _Atomic int64_t sync_failures;
  _Atomic int64_t write_errno;
  _Atomic int64_t write_failures;
  _Atomic int64_t clock_offset_ns;
  _Atomic int64_t clock_drift_ppb;
  _Atomic int64_t clock_drift_since_ns; /* CLOCK_MONOTONIC */
  /* Told by it. */
  _Atomic uint64_t syncs;
  _Atomic uint64_t syncs_failed;
  _Atomic uint64_t writes_failed;
  _Atomic uint64_t forgotten; /* what did not fit into the tables and counts as durable */
  _Atomic uint64_t slots_used;
  /* Changes that no sync has followed: from `ops_begin` to before `ops_end`, each in its place modulo OPS. */
  _Atomic uint64_t ops_begin;
  _Atomic uint64_t ops_end;
  char pad[4096 - 17 * 8];
  struct slot slots[SLOTS];
  struct op ops[OPS];
};

_Static_assert(sizeof(struct op) == 512, "shim.ts reads it");
_Static_assert(offsetof(struct control, slots) == 4096, "shim.ts reads it");

static struct control *shared;
static char root[PATH_MAX];
static size_t root_length;
static char trash[PATH_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(result, name, ...)                                   \
  static result (*real_##name)(__VA_ARGS__);                      \
  static result (*get_##name(void))(__VA_ARGS__) {                \
    if (real_##name == NULL) real_##name = dlsym(RTLD_NEXT, #name); \
    return real_##name;                                           \
  }

REAL(int, fsync, int)
REAL(int, fdatasync, int)
REAL(ssize_t, write, int, const void *, size_t)
REAL(ssize_t, pwrite, int, const void *, size_t, off_t)
REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t)
REAL(ssize_t, writev, int, const struct iovec *, int)
REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t)
REAL(ssize_t, pwritev64, int, const struct iovec *, int, off64_t)
REAL(size_t, fwrite, const void *, size_t, size_t, FILE *)
REAL(size_t, fwrite_unlocked, const void *, size_t, size_t, FILE *)
REAL(int, fflush, FILE *)
REAL(int, fflush_unlocked, FILE *)
REAL(int, open, const char *, int, ...)
REAL(int, open64, const char *, int, ...)
REAL(int, openat, int, const char *, int, ...)
REAL(int, openat64, int, const char *, int, ...)
REAL(FILE *, fopen, const char *, const char *)
REAL(FILE *, fopen64, const char *, const char *)
REAL(int, ftruncate, int, off_t)
REAL(int, ftruncate64, int, off64_t)
REAL(int, unlink, const char *)
REAL(int, unlinkat, int, const char *, int)
REAL(int, rename, const char *, const char *)
REAL(int, clock_gettime, clockid_t, struct timespec *)
REAL(int, gettimeofday, struct timeval *, void *)
REAL(time_t, time, time_t *)
REAL(int, sem_timedwait, sem_t *, const struct timespec *)

__attribute__((constructor)) static void begin(void) {
  const char *control_path = getenv("LAB_SHIM_CONTROL");
  const char *root_path = getenv("LAB_SHIM_ROOT");
  const char *trash_path = getenv("LAB_SHIM_TRASH");
  if (control_path == NULL || root_path == NULL || trash_path == NULL) return;
  int fd = get_open()(control_path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  struct stat status;
  if (fstat(fd, &status) == 0 && (size_t)status.st_size >= sizeof(struct control)) {
    void *at = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED && ((struct control *)at)->magic == MAGIC) {
      snprintf(root, sizeof root, "%s", root_path);
      root_length = strlen(root);
      snprintf(trash, sizeof trash, "%s", trash_path);
      shared = at;
    }
  }
  close(fd);
}

/* ---- which files ---- */

/* The name below the root, or NULL. The root itself is "". */
static const char *below(const char *path) {
  if (strncmp(path, root, root_length) != 0) return NULL;
  if (path[root_length] == '\0') return path + root_length;
  return path[root_length] == '/' ? path + root_length + 1 : NULL;
}

static const char *below_fd(int fd, char *buffer) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, buffer, PATH_MAX - 1);
  if (length <= 0) return NULL;
  buffer[length] = '\0';
  return below(buffer);
}

/* The same for a path that need not exist: its directory is made canonical, its last part is taken as it is. */
static const char *below_path(int directory, const char *path, char *buffer) {
  char whole[PATH_MAX];
  if (path[0] == '/' || directory == AT_FDCWD) {
    if (snprintf(whole, sizeof whole, "%s", path) >= (int)sizeof whole) return NULL;
  } else if (snprintf(whole, sizeof whole, "/proc/self/fd/%d/%s", directory, path) >= (int)sizeof whole) {
    return NULL;
  }
  char *slash = strrchr(whole, '/');
  const char *name = slash == NULL ? whole : slash + 1;
  char parent[PATH_MAX];
  snprintf(parent, sizeof parent, "%.*s", slash == NULL ? 1 : (int)(slash - whole), slash == NULL ? "." : whole);
  char resolved[PATH_MAX];
  if (realpath(parent[0] == '\0' ? "/" : parent, resolved) == NULL) return NULL;
  if (snprintf(buffer, PATH_MAX, "%s/%s", resolved, name) >= PATH_MAX) return NULL;
  return below(buffer);
}

/* ---- what is durable; all under the lock ---- */

static struct slot *find(uint64_t inode) {
  uint64_t used = shared->slots_used;
  for (uint64_t i = 0; i < used; i++) {
    if (shared->slots[i].inode == inode) return &shared->slots[i];
  }
  return NULL;
}

static void note_length(uint64_t inode, uint64_t synced) {
  struct slot *slot = find(inode);
  if (slot != NULL) {
    slot->synced = synced;
    return;
  }
  uint64_t used = shared->slots_used;
  if (used == SLOTS) {
    shared->forgotten++;
    return;
  }
  shared->slots[used].synced = synced;
  shared->slots[used].inode = inode;
  shared->slots_used = used + 1;
}

static void forget(uint64_t inode) {
  struct slot *slot = find(inode);
  if (slot == NULL) return;
  struct slot *last = &shared->slots[shared->slots_used - 1];
  /* Killed between the two lines, the last one stands there twice: the same account. */
  *slot = *last;
  shared->slots_used--;
}

static void trash_path(uint64_t number, char *buffer) {
  snprintf(buffer, PATH_MAX, "%.3800s/%llu", trash, (unsigned long long)number);
}

/* The changes of names before `end` are durable: what they removed is gone for good. */
static void commit(uint64_t end) {
  char path[PATH_MAX];
  while (shared->ops_begin < end) {
    struct op *op = &shared->ops[shared->ops_begin % OPS];
    shared->ops_begin++;
    if (!op->kept) continue;
    struct stat status;
    trash_path(op->number, path);
    if (stat(path, &status) == 0 && status.st_nlink == 1) forget(status.st_ino);
    get_unlink()(path);
  }
}

/* Written down before it is done; `ops_end` comes last, so that a kill in between leaves nothing half. */
static struct op *begin_op(uint32_t kind, const char *from, const char *to) {
  if (strlen(from) >= NAME_BYTES || strlen(to) >= NAME_BYTES) {
    shared->forgotten++;
    return NULL;
  }
  if (shared->ops_end - shared->ops_begin == OPS) {
    shared->forgotten++;
    commit(shared->ops_begin + 1);
  }
  struct op *op = &shared->ops[shared->ops_end % OPS];
  memset(op, 0, sizeof *op);
  op->kind = kind;
  op->number = shared->ops_end;
  strcpy(op->from, from);
  strcpy(op->to, to);
  return op;
}

/* Keeps what the change is about to remove. */
static void keep(struct op *op, const char *path) {
  struct stat status;
  if (op == NULL || stat(path, &status) != 0) return;
  op->inode = status.st_ino;
  char aside[PATH_MAX];
  trash_path(op->number, aside);
  if (link(path, aside) == 0) op->kept = 1;
  else shared->forgotten++;
}

static void end_op(struct op *op) {
  if (op != NULL) shared->ops_end++;
}

static void undo_last_op(struct op *op) {
  if (op == NULL) return;
  shared->ops_end--;
  if (!op->kept) return;
  char aside[PATH_MAX];
  trash_path(op->number, aside);
  get_unlink()(aside);
}

/* ---- sync ---- */

static int64_t take(_Atomic int64_t *left) {
  int64_t now = *left;
  if (now < 0) return 1;
  while (now > 0) {
    if (atomic_compare_exchange_weak(left, &now, now - 1)) return 1;
  }
  return 0;
}

/* In slices, so that a disk that is mended goes on at once. */
static void wait_for_disk(void) {
  int64_t most = shared->sync_delay_us;
  if (most <= 0) return;
  static _Atomic uint64_t calls;
  int64_t jitter = shared->sync_jitter_us;
  if (jitter > 0) {
    uint64_t mixed = (++calls) * 0x9e3779b97f4a7c15ull;
    most += (int64_t)((mixed >> 33) % (uint64_t)jitter);
  }
  int64_t waited = 0;
  while (waited < most && shared->sync_delay_us > 0) {
    int64_t slice = most - waited < 5000 ? most - waited : 5000;
    struct timespec time = {0, slice * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
    waited += slice;
  }
}

static int synced(int fd, int (*real)(int)) {
  char path[PATH_MAX];
  if (shared == NULL || below_fd(fd, path) == NULL) return real(fd);
  wait_for_disk();
  shared->syncs++;
  if (take(&shared->sync_failures)) {
    shared->syncs_failed++;
    errno = (int)shared->sync_errno;
    return -1;
  }
  struct stat status;
  int known = fstat(fd, &status) == 0;
  pthread_mutex_lock(&lock);
  uint64_t end = shared->ops_end;
  pthread_mutex_unlock(&lock);
  int result = real(fd);
  if (result != 0 || !known) return result;
  pthread_mutex_lock(&lock);
  if (S_ISREG(status.st_mode)) note_length(status.st_ino, (uint64_t)status.st_size);
  commit(end);
  pthread_mutex_unlock(&lock);
  return result;
}

int fsync(int fd) { return synced(fd, get_fsync()); }
int fdatasync(int fd) { return synced(fd, get_fdatasync()); }

/* ---- write ---- */

/* LevelDB's own log of what it does is left alone: nobody looks at whether it was written. */
static int refuses(int fd) {
  if (shared == NULL || shared->write_failures == 0) return 0;
  char path[PATH_MAX];
  int before = errno;
  const char *name = below_fd(fd, path);
  errno = before;
  if (name == NULL) return 0;
  size_t length = strlen(name);
  if (length >= 4 && strcmp(name + length - 4, "/LOG") == 0) return 0;
  if (!take(&shared->write_failures)) return 0;
  shared->writes_failed++;
  errno = (int)shared->write_errno;
  return 1;
}

ssize_t write(int fd, const void *data, size_t size) { return refuses(fd) ? -1 : get_write()(fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  return refuses(fd) ? -1 : get_pwrite()(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  return refuses(fd) ? -1 : get_pwrite64()(fd, data, size, at);
}
ssize_t writev(int fd, const struct iovec *list, int count) { return refuses(fd) ? -1 : get_writev()(fd, list, count); }
ssize_t pwritev(int fd, const struct iovec *list, int count, off_t at) {
  return refuses(fd) ? -1 : get_pwritev()(fd, list, count, at);
}
ssize_t pwritev64(int fd, const struct iovec *list, int count, off64_t at) {
  return refuses(fd) ? -1 : get_pwritev64()(fd, list, count, at);
}
size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
  return refuses(fileno(file)) ? 0 : get_fwrite()(data, size, count, file);
}
size_t fwrite_unlocked(const void *data, size_t size, size_t count, FILE *file) {
  return refuses(fileno(file)) ? 0 : get_fwrite_unlocked()(data, size, count, file);
}
int fflush(FILE *file) { return file != NULL && refuses(fileno(file)) ? EOF : get_fflush()(file); }
int fflush_unlocked(FILE *file) { return file != NULL && refuses(fileno(file)) ? EOF : get_fflush_unlocked()(file); }

/* ---- names ---- */

static void opened(int fd, int writes, int existed, int truncated) {
  char path[PATH_MAX];
  int before = errno;
  const char *name = writes ? below_fd(fd, path) : NULL;
  struct stat status;
  if (name != NULL && fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
    pthread_mutex_lock(&lock);
    if (!existed) {
      note_length(status.st_ino, 0);
      end_op(begin_op(OP_CREATE, name, ""));
    } else if (truncated) {
      note_length(status.st_ino, 0);
    } else if (find(status.st_ino) == NULL) {
      note_length(status.st_ino, (uint64_t)status.st_size);
    }
    pthread_mutex_unlock(&lock);
  }
  errno = before;
}

static int exists(int directory, const char *path) {
  int before = errno;
  int there = faccessat(directory, path, F_OK, 0) == 0;
  errno = before;
  return there;
}

static int open_with(int fd_of(int, const char *, int, mode_t), int directory, const char *path, int flags, mode_t mode) {
  int writes = shared != NULL && (flags & O_ACCMODE) != O_RDONLY;
  int existed = !writes || !(flags & O_CREAT) || exists(directory, path);
  int fd = fd_of(directory, path, flags, mode);
  if (fd >= 0 && writes) opened(fd, writes, existed, flags & O_TRUNC);
  return fd;
}

static int by_open(int directory, const char *path, int flags, mode_t mode) {
  (void)directory;
  return get_open()(path, flags, mode);
}
static int by_open64(int directory, const char *path, int flags, mode_t mode) {
  (void)directory;
  return get_open64()(path, flags, mode);
}
static int by_openat(int directory, const char *path, int flags, mode_t mode) {
  return get_openat()(directory, path, flags, mode);
}
static int by_openat64(int directory, const char *path, int flags, mode_t mode) {
  return get_openat64()(directory, path, flags, mode);
}

#define MODE(flags)                                  \
  mode_t mode = 0;                                   \
  if ((flags) & (O_CREAT | __O_TMPFILE)) {           \
    va_list list;                                    \
    va_start(list, flags);                           \
    mode = (mode_t)va_arg(list, unsigned int);       \
    va_end(list);                                    \
  }

int open(const char *path, int flags, ...) {
  MODE(flags)
  return open_with(by_open, AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  MODE(flags)
  return open_with(by_open64, AT_FDCWD, path, flags, mode);
}
int openat(int directory, const char *path, int flags, ...) {
  MODE(flags)
  return open_with(by_openat, directory, path, flags, mode);
}
int openat64(int directory, const char *path, int flags, ...) {
  MODE(flags)
  return open_with(by_openat64, directory, path, flags, mode);
}

static FILE *fopen_with(FILE *file_of(const char *, const char *), const char *path, const char *mode) {
  int writes = shared != NULL && (mode[0] != 'r' || strchr(mode, '+') != NULL);
  int existed = !writes || exists(AT_FDCWD, path);
  FILE *file = file_of(path, mode);
  if (file != NULL && writes) opened(fileno(file), writes, existed, mode[0] == 'w');
  return file;
}

FILE *fopen(const char *path, const char *mode) { return fopen_with(get_fopen(), path, mode); }
FILE *fopen64(const char *path, const char *mode) { return fopen_with(get_fopen64(), path, mode); }

static void shortened(int fd, uint64_t length) {
  char path[PATH_MAX];
  int before = errno;
  struct stat status;
  if (shared != NULL && below_fd(fd, path) != NULL && fstat(fd, &status) == 0) {
    pthread_mutex_lock(&lock);
    struct slot *slot = find(status.st_ino);
    if (slot != NULL && slot->synced > length) slot->synced = length;
    pthread_mutex_unlock(&lock);
  }
  errno = before;
}

int ftruncate(int fd, off_t length) {
  int result = get_ftruncate()(fd, length);
  if (result == 0) shortened(fd, (uint64_t)length);
  return result;
}
int ftruncate64(int fd, off64_t length) {
  int result = get_ftruncate64()(fd, length);
  if (result == 0) shortened(fd, (uint64_t)length);
  return result;
}

int unlinkat(int directory, const char *path, int flags) {
  char buffer[PATH_MAX];
  const char *name = shared == NULL || (flags & AT_REMOVEDIR) ? NULL : below_path(directory, path, buffer);
  if (name == NULL) return get_unlinkat()(directory, path, flags);
  pthread_mutex_lock(&lock);
  struct op *op = begin_op(OP_UNLINK, name, "");
  keep(op, buffer);
  end_op(op);
  int result = get_unlinkat()(directory, path, flags);
  if (result != 0) {
    int before = errno;
    undo_last_op(op);
    errno = before;
  }
  pthread_mutex_unlock(&lock);
  return result;
}

int unlink(const char *path) { return shared == NULL ? get_unlink()(path) : unlinkat(AT_FDCWD, path, 0); }

int rename(const char *from, const char *to) {
  char from_buffer[PATH_MAX];
  char to_buffer[PATH_MAX];
  const char *from_name = shared == NULL ? NULL : below_path(AT_FDCWD, from, from_buffer);
  const char *to_name = from_name == NULL ? NULL : below_path(AT_FDCWD, to, to_buffer);
  if (to_name == NULL) return get_rename()(from, to);
  pthread_mutex_lock(&lock);
  struct op *op = begin_op(OP_RENAME, from_name, to_name);
  keep(op, to_buffer);
  end_op(op);
  int result = get_rename()(from, to);
  if (result != 0) {
    int before = errno;
    undo_last_op(op);
    errno = before;
  }
  pthread_mutex_unlock(&lock);
  return result;
}

/* ---- clock ---- */

static int64_t shift_ns(void) {
  int64_t shift = shared->clock_offset_ns;
  int64_t drift = shared->clock_drift_ppb;
  if (drift != 0) {
    struct timespec now;
    get_clock_gettime()(CLOCK_MONOTONIC, &now);
    int64_t since = now.tv_sec * 1000000000ll + now.tv_nsec - shared->clock_drift_since_ns;
    shift += (int64_t)((__int128)since * drift / 1000000000);
  }
  return shift;
}

static void moved(struct timespec *time, int64_t by) {
  __int128 ns = (__int128)time->tv_sec * 1000000000 + time->tv_nsec + by;
  if (ns < 0) ns = 0;
  time->tv_sec = (time_t)(ns / 1000000000);
  time->tv_nsec = (long)(ns % 1000000000);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  int result = get_clock_gettime()(clock, time);
  if (result == 0 && shared != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    moved(time, shift_ns());
  }
  return result;
}

int gettimeofday(struct timeval *time, void *zone) {
  int result = get_gettimeofday()(time, zone);
  if (result == 0 && shared != NULL) {
    struct timespec exact = {time->tv_sec, time->tv_usec * 1000};
    moved(&exact, shift_ns());
    time->tv_sec = exact.tv_sec;
    time->tv_usec = exact.tv_nsec / 1000;
  }
  return result;
}

time_t time(time_t *into) {
  if (shared == NULL) return get_time()(into);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (into != NULL) *into = now.tv_sec;
  return now.tv_sec;
}

/* Its deadline was made with the moved clock, and the kernel compares it with its own. */
int sem_timedwait(sem_t *semaphore, const struct timespec *until) {
  if (shared == NULL) return get_sem_timedwait()(semaphore, until);
  struct timespec mine = *until;
  moved(&mine, -shift_ns());
  return get_sem_timedwait()(semaphore, &mine);
}
