#define _GNU_SOURCE /* O_TMPFILE */

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

/* A file under a name, which it loses at once: for file systems that know no other way. */
static enum bs_status open_named(const char *directory, int *file, struct bs_error *err)
{
    char *path = bs_printf("%s/bitsweep-XXXXXX", directory);
    if (!path)
        return bs_fail_memory(err);
    *file = mkostemp(path, O_CLOEXEC);
    int reason = *file < 0 ? errno : 0;
    if (!reason)
        unlink(path);
    bs_free(path);
    return reason ? bs_fail(err, BS_EIO, "cannot make a file in the scratch folder '%s': %s",
                            directory, strerror(reason))
                  : BS_OK;
}

static enum bs_status open_nameless(const char *directory, int *file, struct bs_error *err)
{
    *file = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return *file < 0 ? open_named(directory, file, err) : BS_OK;
}

enum bs_status bs_spill_create(const char *directory, size_t size, struct bs_spill *spill,
                               struct bs_error *err)
{
    int file;
    *spill = (struct bs_spill){NULL, 0};
    if (open_nameless(directory, &file, err))
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
    int file;
    struct statvfs info;
    if (open_nameless(directory, &file, err))
        return err->status;
    int reason = fstatvfs(file, &info) ? errno : 0;
    close(file);
    if (reason)
        return bs_fail(err, BS_EIO, "cannot look at the scratch folder '%s': %s", directory,
                       strerror(reason));
    *bytes = (double)info.f_bavail * (double)info.f_frsize;
    return BS_OK;
}
