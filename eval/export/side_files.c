/* The files beside the weights. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/export/folder.h"
#include "eval/export/mark.h"

/* What is taken along: by what a name ends in, or begins with. */
static const char *const endings[] = {".json",     ".jinja", ".txt", ".model",
                                      ".tiktoken", ".py",    NULL};
static const char *const beginnings[] = {"LICENSE", "LICENCE", "NOTICE", "USE_POLICY", NULL};

/* What the folder has of its own, or has no longer. */
static const char *const left[] = {"config.json",       "quantize_config.json",
                                   "quant_config.json", "adapter_config.json",
                                   BS_EXPORT_MARK,      NULL};

static bool is_wanted(const char *name)
{
    if (bs_word_in(name, left) || bs_ends_in(name, ".index.json"))
        return false;
    for (const char *const *end = endings; *end; end++)
        if (bs_ends_in(name, *end))
            return true;
    for (const char *const *begin = beginnings; *begin; begin++)
        if (!strncmp(name, *begin, strlen(*begin)))
            return true;
    return false;
}

static enum bs_status write_all(const char *path, const char *data, size_t size,
                                struct bs_error *err)
{
    int file;
    if (bs_file_create(path, &file, err))
        return err->status;
    size_t at = 0;
    ssize_t done = 1;
    while (at < size && done > 0) {
        done = write(file, data + at, size - at);
        at += done > 0 ? (size_t)done : 0;
    }
    bool failed = at < size || fsync(file);
    int reason = errno;
    close(file);
    return failed ? bs_fail(err, BS_EIO, "cannot write '%s': %s", path, strerror(reason)) : BS_OK;
}

static enum bs_status copy_file(const char *from, const char *to, const char *name,
                                struct bs_error *err)
{
    char *source = bs_path_join(from, name), *target = bs_path_join(to, name), *data = NULL;
    size_t size;
    struct stat info;
    enum bs_status status = source && target ? BS_OK : bs_fail_memory(err);
    if (!status && !stat(source, &info) && S_ISREG(info.st_mode)) {
        status = bs_file_read(source, &data, &size, err);
        if (!status)
            status = write_all(target, data, size, err);
    }
    bs_free(source);
    bs_free(target);
    bs_free(data);
    return status;
}

enum bs_status bs_export_copy_files(const char *from, const char *to, struct bs_error *err)
{
    DIR *folder = opendir(from);
    if (!folder)
        return bs_fail(err, BS_EIO, "%s: %s", from, strerror(errno));
    enum bs_status status = BS_OK;
    for (struct dirent *entry; !status && (entry = readdir(folder));)
        if (is_wanted(entry->d_name))
            status = copy_file(from, to, entry->d_name, err);
    closedir(folder);
    return status;
}
