#define _GNU_SOURCE /* mkostemp */

#include "eval/base/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"

/* A file that loses its name before there is anything in it; -1 with the error where there is none.
 */
static int open_nameless(const char *directory, struct bs_error *err)
{
    char *path = bs_printf("%s/bitsweep-XXXXXX", directory);
    if (!path) {
        bs_fail_memory(err);
        return -1;
    }
    int file = mkostemp(path, O_CLOEXEC);
    if (file < 0)
        bs_fail(err, BS_EIO, "cannot make a file in the scratch folder '%s': %s", directory,
                strerror(errno));
    else
        unlink(path);
    bs_free(path);
    return file;
}

enum bs_status bs_spill_create(const char *directory, size_t size, struct bs_spill *spill,
                               struct bs_error *err)
{
    *spill = (struct bs_spill){NULL, 0};
    int file = open_nameless(directory, err);
    if (file < 0)
        return err->status;
    int reason = posix_fallocate(file, 0, (off_t)size);
    void *data = MAP_FAILED;
    if (!reason) {
        data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        reason = data == MAP_FAILED ? errno : 0;
    }
    close(file); /* the map keeps it */
    if (reason)
        return bs_fail(err, BS_EIO, "cannot keep %.0f MB in the scratch folder '%s': %s",
                       (double)size / 1e6, directory, strerror(reason));
    *spill = (struct bs_spill){data, size};
    return BS_OK;
}

void bs_spill_free(struct bs_spill *spill)
{
    if (spill->data)
        munmap(spill->data, spill->size);
    *spill = (struct bs_spill){NULL, 0};
}

void bs_spill_forget(const struct bs_spill *spill, const void *data, size_t size)
{
    /* Of a shared map nothing is lost, whoever has written to the pages around. */
    const struct bs_map map = {.data = spill->data, .size = spill->size};
    bs_map_forget(&map, data, size);
}

enum bs_status bs_spill_room(const char *directory, double *bytes, struct bs_error *err)
{
    struct statvfs info;
    int file = open_nameless(directory, err);
    if (file < 0)
        return err->status;
    int reason = fstatvfs(file, &info) ? errno : 0;
    close(file);
    if (reason)
        return bs_fail(err, BS_EIO, "cannot look at the scratch folder '%s': %s", directory,
                       strerror(reason));
    *bytes = (double)info.f_bavail * (double)info.f_frsize;
    return BS_OK;
}
