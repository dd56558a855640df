/* Files: read whole, map, digest, and replace at one stroke. */
#ifndef BS_EVAL_BASE_FILE_H
#define BS_EVAL_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "eval/base/error.h"

/* A read-only map of a whole file. An empty file has size 0 and data NULL. */
struct bs_map {
    const unsigned char *data;
    size_t size;
    /* What the file was when it was mapped. */
    unsigned long long device, inode;
    long long seconds, nanoseconds; /* of its last change */
};

/* BS_EIO naming the file and the system's reason. */
enum bs_status bs_map_open(const char *path, struct bs_map *map, struct bs_error *err);
void bs_map_close(struct bs_map *map);

/* BS_EDATA naming the file where it is no longer the one that was mapped: written to, cut short,
 * replaced or removed. */
enum bs_status bs_map_check(const struct bs_map *map, const char *path, struct bs_error *err);

/* From now on a map that can no longer be read (its file was cut short, or its disk fails) ends the
 * program with a message that names the file, and exit status 2. */
void bs_map_watch(void);

/* Takes bytes that were read off the process's resident memory; they stay valid and, as far as the
 * system likes, in its cache of the file. */
void bs_map_forget(const struct bs_map *map, const void *data, size_t size);

/* BS_EIO where `path` is there and no regular file: a pipe that nobody writes to would be waited
 * for, a device has no end. What the process has open already (/dev/stdin, /dev/fd/3) may be
 * anything. All that reads a file named from outside asks this first. */
enum bs_status bs_file_check(const char *path, struct bs_error *err);

/* The file's bytes in new memory with a zero byte after them (freed with bs_free). */
enum bs_status bs_file_read(const char *path, char **data, size_t *size, struct bs_error *err);

/* What of a path follows its last slash. */
const char *bs_path_name(const char *path);

/* The folder part of a path in new memory, without a slash at its end: "" for a bare file name, "/"
 * for the root. NULL when memory runs out. */
char *bs_path_folder(const char *path);

/* `path` as seen from `folder`, in new memory: itself where it is absolute or the folder is "" or
 * NULL. NULL when memory runs out. */
char *bs_path_join(const char *folder, const char *path);

/* True where a name or path ends in `ending` and is longer. */
bool bs_ends_in(const char *name, const char *ending);

enum { BS_NAME_BYTES = 256 }; /* of a name in a folder, with its end */

/* How many names of a folder end in `ending`, and the first of them by its bytes, "" where there is
 * none or the folder cannot be read. */
int bs_folder_find(const char *folder, const char *ending, char name[BS_NAME_BYTES]);

/* Where `path` leads when it is a link, be there a file yet or not, else itself; in new memory.
 * BS_EIO where links go in a circle, or one is a stranger's. */
enum bs_status bs_path_target(const char *path, char **target, struct bs_error *err);

/* A new, empty file in *fd, open for reading and writing. What has the name is removed first; a
 * link that somebody puts in its place is not followed. BS_EIO. */
enum bs_status bs_file_create(const char *path, int *fd, struct bs_error *err);

/* mkdir -p for the folder that will hold `path` (nothing for a bare file name). */
enum bs_status bs_make_parent(const char *path, struct bs_error *err);

/* mkdir -p for `path` itself. */
enum bs_status bs_make_directory(const char *path, struct bs_error *err);

/* Makes `temporary` durable (fsync) and gives it the name `path`, replacing what was there; readers
 * see the old file or the new one, whole. */
enum bs_status bs_file_commit(const char *temporary, const char *path, struct bs_error *err);

/* A 128-bit XXH3 digest as 32 hexadecimal digits. It tells contents apart; it is no signature. */
struct bs_digest {
    char hex[33];
};
struct bs_digest_state;
struct bs_digest_state *bs_digest_create(void); /* NULL when memory runs out */
void bs_digest_add(struct bs_digest_state *state, const void *data, size_t size);
struct bs_digest bs_digest_finish(struct bs_digest_state *state); /* frees the state */
struct bs_digest bs_digest_of(const void *data, size_t size);

#endif
