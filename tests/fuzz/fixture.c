/* What the targets share: their folder, and what is asked of every failure. */
#include "tests/fuzz/target.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/folder.h"

static char own_folder[200];

static void remove_own_folder(void) { folder_remove_path(own_folder); }

const char *fuzz_folder(void)
{
    if (*own_folder)
        return own_folder;
    const char *parent = getenv("TMPDIR");
    snprintf(own_folder, sizeof own_folder, "%s/bitsweep-fuzz-XXXXXX",
             parent && *parent ? parent : "/tmp");
    if (!mkdtemp(own_folder) || atexit(remove_own_folder))
        abort();
    return own_folder;
}

const char *fuzz_path(const char *name)
{
    static char paths[4][512];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", fuzz_folder(), name);
    return path;
}

void fuzz_put(const char *name, const void *data, size_t size)
{
    FILE *file = fopen(fuzz_path(name), "wb");
    if (!file || (size && fwrite(data, 1, size, file) != size) || fclose(file))
        abort();
}

void fuzz_check(enum bs_status status, const struct bs_error *err, const char *path)
{
    if (!status)
        return;
    bool told = err->status == status && *err->message && (!path || strstr(err->message, path));
    if (told)
        return;
    fprintf(stderr, "status %d came with status %d and the message '%s'\n", (int)status,
            (int)err->status, err->message);
    abort();
}

unsigned fuzz_random(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}
