#include "eval/hub/hub.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/hub/layout.h"

/* The commit a ref file holds, in new memory; NULL where there is no such ref or it names none. */
static enum bs_status read_ref(const char *folder, const char *revision, char **commit,
                               struct bs_error *err)
{
    *commit = NULL;
    char *path = bs_printf("%s/refs/%s", folder, revision);
    if (!path)
        return bs_fail_memory(err);
    enum bs_status status = BS_OK;
    size_t size;
    struct stat info;
    if (!stat(path, &info) && S_ISREG(info.st_mode))
        status = bs_file_read(path, commit, &size, err);
    bs_free(path);
    if (!*commit)
        return status;
    (*commit)[strcspn(*commit, " \r\n")] = 0;
    if (!bs_hub_is_plain(*commit)) {
        bs_free(*commit);
        *commit = NULL;
    }
    return BS_OK;
}

/* <folder>/snapshots/<commit> of a revision, in new memory. NULL where no ref names one. */
static enum bs_status find_snapshot(const char *folder, const char *revision, char **snapshot,
                                    struct bs_error *err)
{
    *snapshot = NULL;
    char *commit;
    enum bs_status status = read_ref(folder, revision, &commit, err);
    if (status)
        return status;
    if (!commit && bs_hub_is_hex(revision, BS_HUB_COMMIT_DIGITS)) {
        commit = bs_strdup(revision);
        if (!commit)
            return bs_fail_memory(err);
    }
    if (!commit)
        return BS_OK;
    *snapshot = bs_printf("%s/snapshots/%s", folder, commit);
    bs_free(commit);
    return *snapshot ? BS_OK : bs_fail_memory(err);
}

/* Whether the file can be read there; 'linked' tells whether a link stands there at least. */
static enum bs_status look_in(const char *snapshot, const char *path, bool *readable, bool *linked,
                              struct bs_error *err)
{
    struct stat info;
    char *file = bs_printf("%s/%s", snapshot, path);
    if (!file)
        return bs_fail_memory(err);
    *linked = !lstat(file, &info) && S_ISLNK(info.st_mode);
    *readable = !access(file, R_OK);
    bs_free(file);
    return BS_OK;
}

static bool is_there(const char *path)
{
    struct stat info;
    return !stat(path, &info);
}

/* Why the repository's folder does not give the file: the part of a message after the place. */
static const char *reason_of(const char *folder, const char *snapshot, bool linked)
{
    if (!is_there(folder))
        return "it is not there";
    if (!snapshot)
        return "that revision is not there";
    if (!is_there(snapshot))
        return "the snapshot is not there";
    return linked ? "its content is gone (a link to nothing)" : "that file is not there";
}

/* The snapshot with the file in it. BS_OK and NULL, with the reason, where it is not cached. */
static enum bs_status look_up(const char *folder, const char *revision, const char *path,
                              char **snapshot, const char **reason, struct bs_error *err)
{
    bool readable = false, linked = false;
    enum bs_status status = find_snapshot(folder, revision, snapshot, err);
    if (!status && *snapshot)
        status = look_in(*snapshot, path, &readable, &linked, err);
    if (!status && readable)
        return BS_OK;
    *reason = reason_of(folder, *snapshot, linked);
    bs_free(*snapshot);
    *snapshot = NULL;
    return status;
}

/* A name as it was given, and the folder that a path starts from. */
struct wanted {
    const char *name, *base;
};

/* Ends a message about what is no folder: who left the file's own folder out of account is told. */
static const char *hint_of(const struct wanted *wanted)
{
    return *wanted->base && is_there(wanted->name)
               ? " (it is one in the current folder, but paths in a config start from the config's)"
               : "";
}

static const char *place_of(const struct wanted *wanted)
{
    return *wanted->base ? wanted->base : "the current folder";
}

static enum bs_status fail_model(const struct wanted *wanted, const char *folder,
                                 const char *revision, const char *reason, struct bs_error *err)
{
    return bs_fail(err, BS_EIO,
                   "model '%s' is no folder in %s%s, and not in the Hugging Face cache: looked for "
                   "config.json of revision '%s' in '%s', %s; `bitsweep fetch %s` brings it, if it "
                   "is a model of the hub",
                   wanted->name, place_of(wanted), hint_of(wanted), revision, folder, reason,
                   wanted->name);
}

/* What is cached without a config.json may be GGUF files, each a model. */
static enum bs_status fail_uncached(const struct wanted *wanted, const char *folder,
                                    const char *revision, const char *reason, struct bs_error *err)
{
    char *snapshot = NULL, name[BS_NAME_BYTES];
    if (find_snapshot(folder, revision, &snapshot, err))
        return err->status;
    if (snapshot && bs_folder_find(snapshot, ".gguf", name))
        bs_fail(err, BS_EIO,
                "model '%s' has GGUF files and no config.json, and each of them is a model; name "
                "the file: %s/%s",
                wanted->name, snapshot, name);
    else
        fail_model(wanted, folder, revision, reason, err);
    bs_free(snapshot);
    return err->status;
}

static enum bs_status model_in_cache(const struct wanted *wanted, const char *repository,
                                     const char *revision, char **directory, struct bs_error *err)
{
    char *folder;
    const char *reason;
    enum bs_status status = bs_hub_repository_folder(BS_REPO_MODEL, repository, &folder, err);
    if (status)
        return status;
    status = look_up(folder, revision, "config.json", directory, &reason, err);
    if (!status && !*directory)
        status = fail_uncached(wanted, folder, revision, reason, err);
    bs_free(folder);
    return status;
}

static bool is_path(const char *name)
{
    return name[0] == '/' || !strncmp(name, "./", 2) || !strncmp(name, "../", 3);
}

enum bs_status bs_hub_model(const char *name, const char *base, char **directory,
                            struct bs_error *err)
{
    const struct wanted wanted = {name, base};
    *directory = bs_path_join(base, name);
    if (!*directory)
        return bs_fail_memory(err);
    if (is_path(name) || is_there(*directory))
        return BS_OK;
    bs_free(*directory);
    *directory = NULL;
    char *repository, *revision;
    enum bs_status status = bs_hub_split(name, &repository, &revision, err);
    if (status == BS_EIO)
        return bs_fail(
            err, BS_EIO,
            "model '%s' is no folder in %s%s, and no name of the hub, which has the form "
            "org/name or org/name@revision",
            name, place_of(&wanted), hint_of(&wanted));
    if (status)
        return status;
    status = model_in_cache(&wanted, repository, revision ? revision : bs_hub_main, directory, err);
    bs_free(repository);
    bs_free(revision);
    return status;
}

static enum bs_status url_file(const struct bs_remote *remote, char **path, struct bs_error *err)
{
    enum bs_status status = bs_hub_url_file(remote, path, err);
    if (status || !access(*path, R_OK))
        return status;
    bs_fail(err, BS_EIO, "%s has not been fetched: '%s' is not there", remote->path, *path);
    bs_free(*path);
    *path = NULL;
    return BS_EIO;
}

enum bs_status bs_hub_file(const struct bs_remote *remote, char **path, struct bs_error *err)
{
    *path = NULL;
    if (!remote->repository)
        return url_file(remote, path, err);
    const char *revision = remote->revision ? remote->revision : bs_hub_main;
    if (!bs_hub_is_repository(remote->repository) || !bs_hub_is_inside(remote->path) ||
        !bs_hub_is_inside(revision))
        return bs_fail(err, BS_EIO, "%s of %s, revision %s: no names of the hub", remote->path,
                       remote->repository, revision);
    char *folder, *snapshot;
    const char *reason;
    enum bs_status status =
        bs_hub_repository_folder(remote->kind, remote->repository, &folder, err);
    if (status)
        return status;
    status = look_up(folder, revision, remote->path, &snapshot, &reason, err);
    if (!status && !snapshot)
        status =
            bs_fail(err, BS_EIO, "%s of %s is not in the Hugging Face cache: looked in '%s', %s",
                    remote->path, remote->repository, folder, reason);
    if (!status && !(*path = bs_printf("%s/%s", snapshot, remote->path)))
        status = bs_fail_memory(err);
    bs_free(snapshot);
    bs_free(folder);
    return status;
}
