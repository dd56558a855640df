#define _DEFAULT_SOURCE         /* madvise */
#define XXH_STATIC_LINKING_ONLY /* the size of XXH3_state_t, so that bs_alloc can hold one */

#include "eval/base/file.h"

#include "eval/base/map_faults.h"
#include "eval/base/mem.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* What this process has open already, be it a pipe: to open it again waits for nobody. */
static bool is_open_already(const char *path)
{
    static const char *const places[] = {"/dev/stdin", "/dev/fd/", "/proc/self/fd/"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (!strncmp(path, places[i], strlen(places[i])))
            return true;
    return false;
}

enum bs_status bs_file_check(const char *path, struct bs_error *err)
{
    struct stat info;
    if (stat(path, &info) || S_ISREG(info.st_mode) || is_open_already(path))
        return BS_OK;
    return bs_fail(err, BS_EIO, "cannot read '%s': %s", path,
                   S_ISDIR(info.st_mode) ? strerror(EISDIR) : "not a regular file");
}

/* Opens for reading and takes the size. */
static enum bs_status file_open(const char *path, int *fd, struct stat *info, struct bs_error *err)
{
    enum bs_status status = bs_file_check(path, err);
    *fd = -1;
    if (status)
        return status;
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return bs_fail(err, BS_EIO, "cannot open '%s': %s", path, strerror(errno));
    if (!fstat(*fd, info))
        return BS_OK;
    int reason = errno;
    close(*fd);
    return bs_fail(err, BS_EIO, "cannot read '%s': %s", path, strerror(reason));
}

enum bs_status bs_map_open(const char *path, struct bs_map *map, struct bs_error *err)
{
    *map = (struct bs_map){0};
    int fd;
    struct stat info;
    enum bs_status status = file_open(path, &fd, &info, err);
    if (status)
        return status;
    if (!S_ISREG(info.st_mode)) {
        status = bs_fail(err, BS_EIO, "cannot map '%s': not a regular file", path);
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = bs_fail(err, BS_EIO, "cannot map '%s': %s", path, strerror(errno));
        else
            *map = (struct bs_map){.data = data, .size = (size_t)info.st_size};
    }
    close(fd);
    map->device = info.st_dev;
    map->inode = info.st_ino;
    map->seconds = info.st_mtim.tv_sec;
    map->nanoseconds = info.st_mtim.tv_nsec;
    if (map->data)
        bs_map_faults_add(map->data, map->size, path);
    return status;
}

enum bs_status bs_map_check(const struct bs_map *map, const char *path, struct bs_error *err)
{
    struct stat now;
    if (stat(path, &now))
        return bs_fail(err, BS_EDATA, "%s: gone since it was opened: %s", path, strerror(errno));
    if (now.st_dev != map->device || now.st_ino != map->inode)
        return bs_fail(err, BS_EDATA, "%s: replaced by another file since it was opened", path);
    if ((size_t)now.st_size != map->size || now.st_mtim.tv_sec != map->seconds ||
        now.st_mtim.tv_nsec != map->nanoseconds)
        return bs_fail(err, BS_EDATA, "%s: written to since it was opened", path);
    return BS_OK;
}

void bs_map_close(struct bs_map *map)
{
    /* The one place where the const of a map is dropped: munmap takes a plain pointer. */
    if (map->data)
        bs_map_faults_remove(map->data);
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (struct bs_map){0};
}

void bs_map_forget(const struct bs_map *map, const void *data, size_t size)
{
    /* A touch maps the whole neighbourhood of a page that is in the system's cache, so that many
     * bytes more are forgotten on either side. */
    enum { NEIGHBOURHOOD = 64 << 10 };
    uintptr_t start = (uintptr_t)map->data, end = start + map->size;
    uintptr_t from = (uintptr_t)data & ~(uintptr_t)(NEIGHBOURHOOD - 1);
    uintptr_t to = ((uintptr_t)data + size + NEIGHBOURHOOD - 1) & ~(uintptr_t)(NEIGHBOURHOOD - 1);
    if (from < start)
        from = start; /* a page's, since a map begins with one */
    if (to > end)
        to = end;
    if (from < to)
        madvise((void *)from, to - from, MADV_DONTNEED); /* advice: no matter if it is not taken */
}

/* Reads to the end, whatever fstat said: a pipe tells no size, and a file may grow meanwhile. */
static enum bs_status file_read_all(const char *path, int fd, size_t expected, char **data,
                                    size_t *size, struct bs_error *err)
{
    size_t capacity = expected + 2; /* one to see the end, one for the zero byte */
    size_t used = 0;
    char *buffer = bs_alloc(capacity, 1);
    if (!buffer)
        return bs_fail_memory(err);
    for (;;) {
        ssize_t got = read(fd, buffer + used, capacity - 1 - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            bs_free(buffer);
            return bs_fail(err, BS_EIO, "cannot read '%s': %s", path, strerror(errno));
        }
        if (got == 0)
            break;
        used += (size_t)got;
        if (used < capacity - 1)
            continue;
        size_t larger = capacity <= SIZE_MAX / 2 ? capacity * 2 : SIZE_MAX;
        char *grown = bs_realloc(buffer, capacity, larger, 1);
        if (!grown) {
            bs_free(buffer);
            return bs_fail_memory(err);
        }
        buffer = grown;
        capacity = larger;
    }
    buffer[used] = '\0';
    *data = buffer;
    *size = used;
    return BS_OK;
}

enum bs_status bs_file_read(const char *path, char **data, size_t *size, struct bs_error *err)
{
    *data = NULL;
    *size = 0;
    int fd;
    struct stat info;
    enum bs_status status = file_open(path, &fd, &info, err);
    if (status)
        return status;
    size_t expected = S_ISREG(info.st_mode) && info.st_size > 0 ? (size_t)info.st_size : 4096;
    status = file_read_all(path, fd, expected, data, size, err);
    close(fd);
    return status;
}

/* Where one link leads, in new memory; a link in a folder that all may write to is followed only
 * where its maker is the one who asks, or the folder's owner. */
static enum bs_status follow_link(const char *path, const struct stat *link, char **target,
                                  struct bs_error *err)
{
    char text[4096];
    struct stat info;
    char *folder = bs_path_folder(path);
    if (!folder)
        return bs_fail_memory(err);
    bool strange = link->st_uid != geteuid() && !stat(*folder ? folder : ".", &info) &&
                   info.st_mode & S_IWOTH && link->st_uid != info.st_uid;
    ssize_t length = strange ? -1 : readlink(path, text, sizeof text - 1);
    if (length >= 0) {
        text[length] = 0;
        *target = bs_path_join(folder, text);
        if (!*target)
            bs_fail_memory(err);
    } else {
        *target = NULL;
        bs_fail(err, BS_EIO, "%s: %s", path,
                strange ? "a link that another user has made" : strerror(errno));
    }
    bs_free(folder);
    return *target ? BS_OK : err->status;
}

enum bs_status bs_path_target(const char *path, char **target, struct bs_error *err)
{
    enum { MOST_LINKS = 40 };
    struct stat info;
    *target = bs_strdup(path);
    for (int links = 0; *target && !lstat(*target, &info) && S_ISLNK(info.st_mode); links++) {
        char *next = NULL;
        enum bs_status status = links < MOST_LINKS
                                    ? follow_link(*target, &info, &next, err)
                                    : bs_fail(err, BS_EIO, "%s: %s", path, strerror(ELOOP));
        bs_free(*target);
        *target = next;
        if (status)
            return status;
    }
    return *target ? BS_OK : bs_fail_memory(err);
}

enum bs_status bs_file_create(const char *path, int *fd, struct bs_error *err)
{
    if (unlink(path) && errno != ENOENT)
        return bs_fail(err, BS_EIO, "%s: cannot be removed: %s", path, strerror(errno));
    *fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    return *fd < 0 ? bs_fail(err, BS_EIO, "%s: %s", path, strerror(errno)) : BS_OK;
}

char *bs_path_folder(const char *path)
{
    char *parent = bs_strdup(path);
    if (!parent)
        return NULL;
    char *slash = strrchr(parent, '/');
    if (slash == parent && slash)
        slash++; /* the root keeps its slash */
    *(slash ? slash : parent) = '\0';
    return parent;
}

const char *bs_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool bs_ends_in(const char *name, const char *ending)
{
    size_t length = strlen(name), tail = strlen(ending);
    return length > tail && !strcmp(name + length - tail, ending);
}

int bs_folder_find(const char *folder, const char *ending, char name[BS_NAME_BYTES])
{
    int found = 0;
    *name = '\0';
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        if (!bs_ends_in(entry->d_name, ending))
            continue;
        if (!found++ || strcmp(entry->d_name, name) < 0)
            snprintf(name, BS_NAME_BYTES, "%s", entry->d_name);
    }
    if (entries)
        closedir(entries);
    return found;
}

char *bs_path_join(const char *folder, const char *path)
{
    if (!folder || !*folder || *path == '/')
        return bs_strdup(path);
    bool root = folder[strlen(folder) - 1] == '/';
    return bs_printf("%s%s%s", folder, root ? "" : "/", path);
}

/* One level. Whoever made the folder first is fine, as long as it is one. */
static enum bs_status make_one(const char *path, struct bs_error *err)
{
    if (!mkdir(path, 0777))
        return BS_OK;
    int reason = errno;
    struct stat info;
    bool exists = !stat(path, &info);
    if (exists && S_ISDIR(info.st_mode))
        return BS_OK;
    return bs_fail(err, BS_EIO, "cannot create the folder '%s': %s", path,
                   strerror(exists ? ENOTDIR : reason));
}

enum bs_status bs_make_directory(const char *path, struct bs_error *err)
{
    char *partial = bs_strdup(path);
    if (!partial)
        return bs_fail_memory(err);
    enum bs_status status = BS_OK;
    for (char *p = partial; *p && !status; p++) {
        if (*p != '/' || p == partial)
            continue;
        *p = '\0';
        status = make_one(partial, err);
        *p = '/';
    }
    if (!status)
        status = make_one(path, err);
    bs_free(partial);
    return status;
}

enum bs_status bs_make_parent(const char *path, struct bs_error *err)
{
    char *parent = bs_path_folder(path);
    if (!parent)
        return bs_fail_memory(err);
    enum bs_status status = *parent ? bs_make_directory(parent, err) : BS_OK;
    bs_free(parent);
    return status;
}

static enum bs_status sync_path(const char *path, int flags, struct bs_error *err)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return bs_fail(err, BS_EIO, "cannot open '%s': %s", path, strerror(errno));
    int reason = fsync(fd) ? errno : 0;
    close(fd);
    /* Some file systems cannot sync a folder and say EINVAL; that is no failure of the write. */
    if (reason && !((flags & O_DIRECTORY) && reason == EINVAL))
        return bs_fail(err, BS_EIO, "cannot write '%s' to disk: %s", path, strerror(reason));
    return BS_OK;
}

enum bs_status bs_file_commit(const char *temporary, const char *path, struct bs_error *err)
{
    char *parent = bs_path_folder(path);
    if (!parent)
        return bs_fail_memory(err);
    enum bs_status status = sync_path(temporary, O_RDONLY, err);
    if (!status && rename(temporary, path))
        status = bs_fail(err, BS_EIO, "cannot rename '%s' to '%s': %s", temporary, path,
                         strerror(errno));
    if (!status) /* the new name lives in the folder, which is synced on its own */
        status = sync_path(*parent ? parent : ".", O_RDONLY | O_DIRECTORY, err);
    bs_free(parent);
    return status;
}

struct bs_digest_state {
    XXH3_state_t xxh;
};

struct bs_digest_state *bs_digest_create(void)
{
    struct bs_digest_state *state = bs_calloc(1, sizeof *state);
    if (state && XXH3_128bits_reset(&state->xxh) != XXH_OK) {
        bs_free(state);
        return NULL;
    }
    return state;
}

void bs_digest_add(struct bs_digest_state *state, const void *data, size_t size)
{
    if (size == 0)
        return; /* data may be NULL then, which the library counts as an error */
    XXH_errorcode code = XXH3_128bits_update(&state->xxh, data, size);
    assert(code == XXH_OK);
    (void)code;
}

static struct bs_digest digest_print(XXH128_hash_t hash)
{
    static const char digits[] = "0123456789abcdef";
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    struct bs_digest digest = {{0}};
    for (size_t i = 0; i < sizeof canonical.digest; i++) {
        digest.hex[2 * i] = digits[canonical.digest[i] >> 4];
        digest.hex[2 * i + 1] = digits[canonical.digest[i] & 15];
    }
    return digest;
}

struct bs_digest bs_digest_finish(struct bs_digest_state *state)
{
    struct bs_digest digest = digest_print(XXH3_128bits_digest(&state->xxh));
    bs_free(state);
    return digest;
}

struct bs_digest bs_digest_of(const void *data, size_t size)
{
    return digest_print(XXH3_128bits(data, size));
}
