#include "eval/store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"

struct bs_results_lock {
    int fd;
    char *path; /* of the lock file */
};

/* True where `path` still names the file open as fd, false where its last owner has removed it
 * between our open and our flock. */
static bool still_named(int fd, const char *path)
{
    struct stat ours, theirs;
    return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
           ours.st_ino == theirs.st_ino;
}

enum bs_status bs_file_lock(const char *lock_path, const char *path, int *lock_fd,
                            struct bs_error *err)
{
    for (;;) {
        int fd = open(lock_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
        if (fd < 0) {
            const char *slash = strrchr(path, '/');
            return bs_fail(err, BS_EIO, "%.*s: results cannot be written here: %s",
                           slash ? (int)(slash - path + 1) : 1, slash ? path : ".",
                           strerror(errno));
        }
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            int reason = errno;
            close(fd);
            if (reason == EINTR)
                continue;
            if (reason == EWOULDBLOCK)
                return bs_fail(err, BS_EIO, "%s: another run is writing it", path);
            return bs_fail(err, BS_EIO, "%s: cannot be locked: %s", lock_path, strerror(reason));
        }
        if (still_named(fd, lock_path)) {
            *lock_fd = fd;
            return BS_OK;
        }
        close(fd);
    }
}

enum bs_status bs_results_lock_take(const char *path, struct bs_results_lock **lock,
                                    struct bs_error *err)
{
    *lock = NULL;
    enum bs_status status = bs_make_parent(path, err);
    if (status)
        return status;
    struct stat found;
    if (stat(path, &found) == 0 && !S_ISREG(found.st_mode))
        return bs_fail(err, BS_EIO, "%s: not a regular file", path);
    struct bs_results_lock *taken = bs_alloc(1, sizeof *taken);
    char *lock_path = bs_printf("%s.lock", path);
    int fd = -1;
    status = taken && lock_path ? bs_file_lock(lock_path, path, &fd, err) : bs_fail_memory(err);
    if (status) {
        bs_free(lock_path);
        bs_free(taken);
        return status;
    }
    *taken = (struct bs_results_lock){fd, lock_path};
    *lock = taken;
    return BS_OK;
}

void bs_results_unlock(struct bs_results_lock *lock)
{
    if (!lock)
        return;
    unlink(lock->path); /* while it is still locked, so that nobody's new lock is removed */
    close(lock->fd);
    bs_free(lock->path);
    bs_free(lock);
}
