#include "eval/store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/base/printable.h"

enum { OWNER = 256 };

/* On a file system shared by network a time may be seen late, by up to half a minute. */
static const double usual_renewal = 5, usual_watch = 35;

struct bs_results_lock {
    int fd;
    char *path;        /* of the lock file */
    char owner[OWNER]; /* what stands in it */
    double renewal;
    pthread_t thread; /* that renews it */
    pthread_mutex_t mutex;
    pthread_cond_t over;
    bool renewed, is_over;
};

/* ---- who ---- */

/* "host boot": a machine, as long as it runs. */
static void name_machine(char out[OWNER])
{
    char host[128] = "", boot[64] = "-";
    if (gethostname(host, sizeof host - 1))
        snprintf(host, sizeof host, "unknown");
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file && !fgets(boot, sizeof boot, file))
        snprintf(boot, sizeof boot, "-");
    if (file)
        fclose(file);
    boot[strcspn(boot, "\n")] = '\0';
    snprintf(out, OWNER, "%s %s", host, boot);
}

/* What stands in the lock file, "" where nothing does, and when it was last renewed. Opened anew,
 * so that a file system shared by network looks at what its server has. */
static void look(const char *lock_path, char owner[OWNER], struct timespec *renewed)
{
    struct stat info;
    memset(owner, 0, OWNER);
    *renewed = (struct timespec){0};
    int fd = open(lock_path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    if (!fstat(fd, &info))
        *renewed = info.st_mtim;
    if (read(fd, owner, OWNER - 1) < 0)
        *owner = '\0';
    owner[strcspn(owner, "\n")] = '\0';
    close(fd);
}

/* True where the owner is a process of this machine. */
static bool is_here(const char *owner)
{
    char machine[OWNER];
    name_machine(machine);
    size_t length = strlen(machine);
    return !strncmp(owner, machine, length) && owner[length] == ' ';
}

static void pause_for(double seconds)
{
    struct timespec left = {.tv_sec = (time_t)seconds};
    left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
    while (nanosleep(&left, &left) && errno == EINTR)
        ;
}

static enum bs_status is_busy(const char *path, const char *owner, struct bs_error *err)
{
    if (!*owner || is_here(owner))
        return bs_fail(err, BS_EIO, "%s: another run is writing it", path);
    return bs_fail(err, BS_EIO, "%s: another run is writing it, on %.*s", path,
                   (int)strcspn(owner, " "), owner);
}

/* Watches whether the owner renews the lock. */
static enum bs_status watch(const char *path, const char *lock_path, const char *owner,
                            double seconds, struct bs_error *err)
{
    char now[OWNER];
    struct timespec first, last;
    double end = bs_seconds() + seconds;
    look(lock_path, now, &first);
    bs_print_line(stderr,
                  "bitsweep: %s: a run on %.*s has its lock; waits %.0f s to see whether it "
                  "is still there",
                  path, (int)strcspn(owner, " "), owner, seconds);
    while (bs_seconds() < end) {
        pause_for(seconds / 35);
        look(lock_path, now, &last);
        if (strcmp(now, owner) || last.tv_sec != first.tv_sec || last.tv_nsec != first.tv_nsec)
            return is_busy(path, now, err);
    }
    return BS_OK;
}

/* ---- taking ---- */

/* True where `path` still names the file open as fd, false where its last owner has removed it
 * between our open and our flock. */
static bool still_named(int fd, const char *path)
{
    struct stat ours, theirs;
    return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
           ours.st_ino == theirs.st_ino;
}

static bool has_no_locks(int reason)
{
    return reason == ENOSYS || reason == EOPNOTSUPP || reason == ENOLCK;
}

/* Opens the lock file. *locked: the system knows now that it is ours, as far as it knows of others;
 * false where it has no such locks, or a machine that may be dead has it. NULL: it is not asked
 * whether that is. */
static enum bs_status lock_open(const char *path, const char *lock_path, int *lock_fd, bool *locked,
                                struct bs_error *err)
{
    char owner[OWNER];
    struct timespec renewed;
    for (;;) {
        int fd = open(lock_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
        if (fd < 0) {
            const char *slash = strrchr(path, '/');
            return bs_fail(err, BS_EIO, "%.*s: results cannot be written here: %s",
                           slash ? (int)(slash - path + 1) : 1, slash ? path : ".",
                           strerror(errno));
        }
        int reason = flock(fd, LOCK_EX | LOCK_NB) ? errno : 0;
        look(lock_path, owner, &renewed);
        *lock_fd = fd;
        if (locked)
            *locked = !reason;
        if (locked && reason == EWOULDBLOCK && *owner && !is_here(owner))
            return BS_OK;
        if (has_no_locks(reason) || (!reason && still_named(fd, lock_path)))
            return BS_OK;
        close(fd);
        if (reason == EWOULDBLOCK)
            return is_busy(path, owner, err);
        if (reason && reason != EINTR)
            return bs_fail(err, BS_EIO, "%s: cannot be locked: %s", lock_path, strerror(reason));
    }
}

enum bs_status bs_file_lock(const char *path, const char *what, int *fd, struct bs_error *err)
{
    return lock_open(what, path, fd, NULL, err);
}

/* Makes the open lock file ours where nobody else's name is in it, or one that is dead. */
static enum bs_status claim(struct bs_results_lock *lock, const char *path, bool locked,
                            double watched, struct bs_error *err)
{
    char owner[OWNER];
    struct timespec renewed;
    look(lock->path, owner, &renewed);
    bool others = *owner && !(locked && is_here(owner));
    if (others && watch(path, lock->path, owner, watched, err))
        return err->status;
    name_machine(owner);
    snprintf(lock->owner, sizeof lock->owner, "%.220s %ld", owner, (long)getpid());
    size_t length = strlen(lock->owner);
    if (ftruncate(lock->fd, 0) || pwrite(lock->fd, lock->owner, length, 0) != (ssize_t)length) {
        bs_fail(err, BS_EIO, "%s: cannot be written: %s", lock->path, strerror(errno));
        unlink(lock->path);
        return err->status;
    }
    if (locked && !others)
        return BS_OK;
    pause_for(watched / 10); /* whoever has taken it at the same time writes last, or sees us */
    look(lock->path, owner, &renewed);
    return strcmp(owner, lock->owner) ? is_busy(path, owner, err) : BS_OK;
}

/* ---- holding ---- */

static void *renew(void *context)
{
    struct bs_results_lock *lock = context;
    pthread_mutex_lock(&lock->mutex);
    while (!lock->is_over) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        double next = (double)until.tv_nsec / 1e9 + lock->renewal;
        until.tv_sec += (time_t)next;
        until.tv_nsec = (long)((next - (double)(time_t)next) * 1e9);
        pthread_cond_timedwait(&lock->over, &lock->mutex, &until);
        if (!lock->is_over && futimens(lock->fd, NULL))
            continue; /* the next time may do, and the run is none the worse */
    }
    pthread_mutex_unlock(&lock->mutex);
    return NULL;
}

static enum bs_status hold(struct bs_results_lock *lock, struct bs_error *err)
{
    pthread_mutex_init(&lock->mutex, NULL);
    pthread_cond_init(&lock->over, NULL);
    int failed = pthread_create(&lock->thread, NULL, renew, lock);
    lock->renewed = !failed;
    return failed ? bs_fail(err, BS_EIO, "no thread can be had that renews %s: %s", lock->path,
                            strerror(failed))
                  : BS_OK;
}

static void let_go(struct bs_results_lock *lock)
{
    if (lock->renewed) {
        pthread_mutex_lock(&lock->mutex);
        lock->is_over = true;
        pthread_cond_signal(&lock->over);
        pthread_mutex_unlock(&lock->mutex);
        pthread_join(lock->thread, NULL);
    }
    close(lock->fd);
    bs_free(lock->path);
    bs_free(lock);
}

enum bs_status bs_results_lock_watch(const char *path, double renewal, double watched,
                                     struct bs_results_lock **lock, struct bs_error *err)
{
    *lock = NULL;
    enum bs_status status = bs_make_parent(path, err);
    if (status)
        return status;
    struct stat found;
    if (stat(path, &found) == 0 && !S_ISREG(found.st_mode))
        return bs_fail(err, BS_EIO, "%s: not a regular file", path);
    struct bs_results_lock *taken = bs_calloc(1, sizeof *taken);
    char *lock_path = bs_printf("%s.lock", path);
    bool locked = false;
    int fd = -1;
    status =
        taken && lock_path ? lock_open(path, lock_path, &fd, &locked, err) : bs_fail_memory(err);
    if (status) {
        bs_free(lock_path);
        bs_free(taken);
        return status;
    }
    taken->fd = fd;
    taken->path = lock_path;
    taken->renewal = renewal;
    if (claim(taken, path, locked, watched, err) || hold(taken, err)) {
        let_go(taken);
        return err->status;
    }
    *lock = taken;
    return BS_OK;
}

enum bs_status bs_results_lock_take(const char *path, struct bs_results_lock **lock,
                                    struct bs_error *err)
{
    return bs_results_lock_watch(path, usual_renewal, usual_watch, lock, err);
}

void bs_results_unlock(struct bs_results_lock *lock)
{
    char owner[OWNER];
    struct timespec renewed;
    if (!lock)
        return;
    look(lock->path, owner, &renewed);
    if (!strcmp(owner, lock->owner)) /* else another machine has taken it over */
        unlink(lock->path); /* while it is still locked, so that nobody's new lock is removed */
    let_go(lock);
}
