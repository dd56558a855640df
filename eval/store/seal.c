#include "eval/store/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char first_line[] = "bitsweep result file, HDF5 from byte 512 on\n";
static const char hdf5_mark[] = "\x89HDF\r\n\x1a\n";

void bs_seal_print(const char *line, const struct bs_digest *digest, char seal[BS_SEAL_BYTES])
{
    memset(seal, 0, BS_SEAL_BYTES);
    snprintf(seal, BS_SEAL_BYTES, "%sxxh3-128 %s\n", line, digest->hex);
}

/* The seal that the file's bytes ask for; the map is no shorter than a seal. */
static void seal_print(const struct bs_map *map, char *seal)
{
    struct bs_digest digest = bs_digest_of(map->data + BS_SEAL_BYTES, map->size - BS_SEAL_BYTES);
    bs_seal_print(first_line, &digest, seal);
}

static enum bs_status check_map(const struct bs_map *map, const char *name, struct bs_error *err)
{
    size_t mark = sizeof hdf5_mark - 1, line = sizeof first_line - 1;
    if (map->size >= mark && !memcmp(map->data, hdf5_mark, mark))
        return bs_fail(err, BS_EDATA,
                       "%s: an HDF5 file without bitsweep's seal: no result file, or one of an "
                       "earlier version",
                       name);
    if (map->size < BS_SEAL_BYTES || memcmp(map->data, first_line, line))
        return bs_fail(err, BS_EDATA, "%s: not a result file of bitsweep, or damaged", name);
    char seal[BS_SEAL_BYTES];
    seal_print(map, seal);
    if (!memcmp(map->data, seal, sizeof seal))
        return BS_OK;
    return bs_fail(err, BS_EDATA,
                   "%s: damaged, or changed by another program: its bytes do not match the digest "
                   "it carries",
                   name);
}

enum bs_status bs_seal_check(const char *file, const char *name, struct bs_error *err)
{
    struct bs_map map;
    enum bs_status status = bs_map_open(file, &map, err);
    if (!status)
        status = check_map(&map, name, err);
    bs_map_close(&map);
    return status;
}

enum bs_status bs_seal_write(const char *file, const char *name, struct bs_error *err)
{
    char seal[BS_SEAL_BYTES];
    struct bs_map map;
    enum bs_status status = bs_map_open(file, &map, err);
    if (status)
        return status;
    if (map.size < BS_SEAL_BYTES)
        status = bs_fail(err, BS_EIO, "%s: cut short while it was written", name);
    else
        seal_print(&map, seal);
    bs_map_close(&map);
    if (status)
        return status;
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || pwrite(fd, seal, sizeof seal, 0) != (ssize_t)sizeof seal)
        status = bs_fail(err, BS_EIO, "%s: cannot be sealed: %s", name, strerror(errno));
    if (fd >= 0 && close(fd) && !status)
        status = bs_fail(err, BS_EIO, "%s: cannot be sealed: %s", name, strerror(errno));
    return status;
}
