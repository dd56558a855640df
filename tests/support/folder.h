/* A temporary folder for tests, with what it takes to fill and empty it. */
#ifndef BS_TESTS_SUPPORT_FOLDER_H
#define BS_TESTS_SUPPORT_FOLDER_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
    char path[64];
};

static inline struct folder folder_create(void)
{
    struct folder folder = {"/tmp/bitsweep-test-XXXXXX"};
    if (!mkdtemp(folder.path))
        abort();
    return folder;
}

/* "folder/name", good until the fourth call from now. */
static inline const char *folder_file(const struct folder *folder, const char *name)
{
    static char paths[4][512];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder->path, name);
    return path;
}

static inline void folder_write(const struct folder *folder, const char *name, const void *data,
                                size_t size)
{
    FILE *file = fopen(folder_file(folder, name), "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file))
        abort();
}

static inline void folder_write_text(const struct folder *folder, const char *name,
                                     const char *text)
{
    folder_write(folder, name, text, strlen(text));
}

static inline void folder_remove_path(const char *path)
{
    struct stat info;
    if (lstat(path, &info))
        return;
    if (!S_ISDIR(info.st_mode)) {
        unlink(path);
        return;
    }
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char inner[1024];
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        snprintf(inner, sizeof inner, "%.500s/%s", path, entry->d_name);
        folder_remove_path(inner);
    }
    if (directory)
        closedir(directory);
    rmdir(path);
}

static inline void folder_remove(const struct folder *which) { folder_remove_path(which->path); }

/* The folder of a test program, there from its group's setup to its teardown. */
static struct folder folder;

static inline int folder_setup(void **state)
{
    (void)state;
    folder = folder_create();
    return 0;
}

static inline int folder_teardown(void **state)
{
    (void)state;
    folder_remove(&folder);
    return 0;
}

#endif
