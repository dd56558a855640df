#include "eval/hub/download.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/hub/checksum.h"

/* The incomplete file while it grows. */
struct part {
    const struct bs_session *session;
    const struct bs_download *download;
    struct bs_fetch_progress progress;
    char *path;
    char *validator; /* the path of <target>.validator; NULL where the target's name is enough */
    char *if_range;
    int fd;
    long long offset; /* bytes in it */
    long long size;   /* it will have; -1 = not known */
    bool anew;        /* the server cannot go on where the file ends */
};

/* ---- room ---- */

enum bs_status bs_download_check_room(const char *path, long long bytes, struct bs_error *err)
{
    struct statvfs disk;
    char *folder = bs_strdup(path);
    if (!folder)
        return bs_fail_memory(err);
    /* Up to what exists already. */
    char *slash;
    while (statvfs(folder, &disk) && errno == ENOENT && (slash = strrchr(folder, '/')))
        slash[slash == folder] = 0;
    bool asked = !statvfs(*folder ? folder : ".", &disk);
    bs_free(folder);
    double room = (double)disk.f_bavail * (double)disk.f_frsize;
    if (!asked || (double)bytes <= room)
        return BS_OK;
    return bs_fail(err, BS_EIO, "no room for it at '%s': %.1f MB are needed, %.1f MB are free",
                   path, (double)bytes / 1e6, room / 1e6);
}

long long bs_download_lying(const char *target)
{
    struct stat info;
    char *path = bs_printf("%s.incomplete", target);
    bool there = path && !stat(path, &info) && S_ISREG(info.st_mode);
    bs_free(path);
    return there ? (long long)info.st_size : 0;
}

/* ---- the lock ---- */

/* Whether the path still names the file that is open: who had the lock may have removed it. */
static bool is_same_file(int fd, const char *path)
{
    struct stat mine, there;
    return !fstat(fd, &mine) && !stat(path, &there) && mine.st_dev == there.st_dev &&
           mine.st_ino == there.st_ino;
}

static int flock_again(int fd, int operation)
{
    int result;
    do
        result = flock(fd, operation);
    while (result && errno == EINTR);
    return result;
}

static enum bs_status take_lock(const struct bs_session *session, const char *path, int *fd,
                                struct bs_error *err)
{
    bool told = false;
    enum bs_status status = bs_make_parent(path, err);
    while (!status) {
        *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (*fd < 0)
            return bs_fail(err, BS_EIO, "cannot open '%s': %s", path, strerror(errno));
        if (flock_again(*fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
            if (!told && session->watch->notice)
                session->watch->notice(session->watch->context,
                                       "waiting for another process that fetches the same file");
            told = true;
            flock_again(*fd, LOCK_EX);
        }
        if (is_same_file(*fd, path))
            return BS_OK;
        close(*fd);
    }
    return status;
}

/* ---- the file as a sink ---- */

static void report(const struct part *part)
{
    struct bs_fetch_progress progress = part->progress;
    progress.done = part->offset;
    progress.size = part->size;
    progress.all_done += part->offset;
    if (part->session->watch->progress)
        part->session->watch->progress(part->session->watch->context, &progress);
}

static enum bs_http_verdict stop_writing(const struct part *part, struct bs_error *err)
{
    bs_fail(err, BS_EIO, "cannot write '%s': %s", part->path, strerror(errno));
    return BS_HTTP_STOP;
}

static long long part_start(void *context, const char **if_range)
{
    const struct part *part = context;
    *if_range = part->if_range ? part->if_range : "";
    /* Of a file of unknown version nothing can be gone on with. */
    return part->anew || (part->validator && !part->if_range) ? 0 : part->offset;
}

/* Notes which version of the content this is, for the If-Range of a later request. */
static bool keep_validator(struct part *part, const char *strong)
{
    bs_free(part->if_range);
    part->if_range = *strong ? bs_strdup(strong) : NULL;
    if (!part->if_range)
        return !unlink(part->validator) || errno == ENOENT;
    FILE *file = fopen(part->validator, "w");
    bool written = file && fputs(strong, file) >= 0;
    return file && !fclose(file) && written;
}

/* All of the content comes. */
static enum bs_http_verdict accept_whole(struct part *part, const struct bs_http_answer *answer,
                                         struct bs_error *err)
{
    if (ftruncate(part->fd, 0) || lseek(part->fd, 0, SEEK_SET))
        return stop_writing(part, err);
    part->offset = 0;
    part->anew = false;
    if (part->download->size < 0)
        part->size = answer->size;
    if (part->validator && !keep_validator(part, answer->strong))
        return stop_writing(part, err);
    if (part->size > 0 && bs_download_check_room(part->path, part->size, err))
        return BS_HTTP_STOP;
    return BS_HTTP_GO_ON;
}

static enum bs_http_verdict part_accept(void *context, const struct bs_http_answer *answer,
                                        struct bs_error *err)
{
    struct part *part = context;
    if (answer->status == 200)
        return accept_whole(part, answer, err);
    if (part->size < 0)
        part->size = answer->total;
    bool fits = answer->status == 206 && answer->first == part->offset &&
                (answer->total < 0 || answer->total == part->size);
    if (fits)
        return BS_HTTP_GO_ON;
    part->anew = true;
    return BS_HTTP_AGAIN;
}

static enum bs_http_verdict part_take(void *context, const char *data, size_t size,
                                      struct bs_error *err)
{
    struct part *part = context;
    if (part->size >= 0 && part->offset + (long long)size > part->size) {
        unlink(part->path);
        bs_fail(err, BS_EDATA,
                "%s: the server sends more than the %lld bytes it has; what was fetched is removed",
                part->download->what, part->size);
        return BS_HTTP_STOP;
    }
    while (size) {
        ssize_t written = write(part->fd, data, size);
        if (written < 0 && errno != EINTR)
            return stop_writing(part, err);
        size_t done = written > 0 ? (size_t)written : 0;
        data += done;
        size -= done;
        part->offset += (long long)done;
    }
    report(part);
    return BS_HTTP_GO_ON;
}

static enum bs_http_verdict part_end(void *context, struct bs_error *err)
{
    const struct part *part = context;
    (void)err;
    return part->size < 0 || part->offset == part->size ? BS_HTTP_GO_ON : BS_HTTP_AGAIN;
}

/* ---- from the lock to the rename ---- */

static enum bs_status refuse(const struct part *part, const struct bs_http_answer *answer,
                             struct bs_error *err)
{
    const struct bs_download *d = part->download;
    if (d->subject)
        return bs_session_check(part->session, d->subject, answer, err);
    if (answer->status >= 200 && answer->status < 300)
        return BS_OK;
    return bs_fail(err, BS_EIO, "%s: %s answers %ld", d->what, d->url, answer->status);
}

static enum bs_status transfer(struct part *part, struct bs_error *err)
{
    static const struct bs_http_sink sink = {part_start, part_accept, part_take, part_end};
    struct bs_http_answer answer;
    if (part->size >= 0 && part->offset > part->size)
        part->anew = true;
    if (part->size >= 0 && part->offset == part->size && part->size)
        return BS_OK; /* it was interrupted after its last byte */
    report(part);
    enum bs_status status =
        bs_http_get(part->session->http, part->download->url, &sink, part, &answer, err);
    if (status == BS_EIO)
        return bs_fail_within(err, "%s", part->download->what);
    return status ? status : refuse(part, &answer, err);
}

static enum bs_status check_sum(const struct part *part, const char *expected, struct bs_error *err)
{
    enum bs_checksum_kind kind;
    struct bs_checksum found;
    if (!expected || !bs_checksum_kind_of(expected, &kind))
        return BS_OK;
    enum bs_status status = bs_checksum_file(part->path, kind, &found, err);
    if (status || !strcmp(found.hex, expected))
        return status;
    unlink(part->path);
    return bs_fail(err, BS_EDATA,
                   "%s: the checksum is %s, expected %s; what was fetched is removed",
                   part->download->what, found.hex, expected);
}

static enum bs_status open_part(struct part *part, struct bs_error *err)
{
    const struct bs_download *d = part->download;
    part->path = bs_printf("%s.incomplete", d->target);
    if (!part->path)
        return bs_fail_memory(err);
    if (!d->named_by_content && !(part->validator = bs_printf("%s.validator", d->target)))
        return bs_fail_memory(err);
    if (d->if_range && !(part->if_range = bs_strdup(d->if_range)))
        return bs_fail_memory(err);
    size_t size;
    if (part->validator && !access(part->validator, R_OK) &&
        bs_file_read(part->validator, &part->if_range, &size, err))
        return err->status;
    part->fd = open(part->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (part->fd < 0)
        return bs_fail(err, BS_EIO, "cannot open '%s': %s", part->path, strerror(errno));
    part->offset = (long long)lseek(part->fd, 0, SEEK_END);
    return BS_OK;
}

static void close_part(struct part *part)
{
    if (part->fd >= 0)
        close(part->fd);
    bs_free(part->path);
    bs_free(part->validator);
    bs_free(part->if_range);
}

static enum bs_status download_locked(const struct bs_session *session,
                                      const struct bs_download *download, struct bs_error *err)
{
    struct part part = {.session = session,
                        .download = download,
                        .progress = download->progress,
                        .fd = -1,
                        .size = download->size};
    enum bs_status status = bs_make_parent(download->target, err);
    if (!status)
        status = open_part(&part, err);
    if (!status)
        status = transfer(&part, err);
    for (int i = 0; i < 2 && !status; i++)
        status = check_sum(&part, download->sums[i], err);
    if (!status)
        status = bs_file_commit(part.path, download->target, err);
    if (!status && part.validator)
        unlink(part.validator);
    if (status && part.fd >= 0 && !part.offset)
        unlink(part.path); /* nothing in it to go on with */
    close_part(&part);
    return status;
}

enum bs_status bs_download(const struct bs_session *session, const struct bs_download *download,
                           struct bs_error *err)
{
    int lock = -1;
    enum bs_status status = take_lock(session, download->lock, &lock, err);
    if (!status && access(download->target, F_OK))
        status = download_locked(session, download, err);
    if (lock >= 0)
        close(lock); /* which gives the lock back */
    return status;
}
