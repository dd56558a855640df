#include "eval/hub/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"

/* Where Hugging Face's tools keep everything, in new memory. */
static char *home_folder(void)
{
    const char *home = getenv("HF_HOME");
    if (home && *home)
        return bs_strdup(home);
    home = getenv("HOME");
    return bs_printf("%s/.cache/huggingface", home ? home : ".");
}

/* The folder of a repository in the cache, in new memory. */
static char *repository_folder(const struct bs_remote *remote)
{
    const char *cache = getenv("HF_HUB_CACHE"), *slash = strchr(remote->repository, '/');
    const char *kind = remote->kind == BS_REPO_MODEL ? "models" : "datasets";
    size_t owner = slash ? (size_t)(slash - remote->repository) : 0;
    char *home = cache && *cache ? bs_strdup(cache) : home_folder();
    char *folder = home ? bs_printf("%s%s/%s--%.*s%s%s", home, cache && *cache ? "" : "/hub", kind,
                                    (int)owner, remote->repository, slash ? "--" : "",
                                    slash ? slash + 1 : remote->repository)
                        : NULL;
    bs_free(home);
    return folder;
}

/* The commit that a branch stood at when it was brought; a commit names itself. */
static char *commit_of(const char *folder, const char *revision)
{
    struct bs_error ignored;
    char *reference = bs_printf("%s/refs/%s", folder, revision), *commit = NULL;
    size_t size;
    if (reference && bs_file_read(reference, &commit, &size, &ignored) == BS_OK)
        commit[strcspn(commit, "\r\n")] = '\0';
    bs_free(reference);
    return commit ? commit : bs_strdup(revision);
}

static char *snapshot_path(const struct bs_remote *remote)
{
    char *folder = repository_folder(remote), *path = NULL;
    char *commit = folder ? commit_of(folder, remote->revision ? remote->revision : "main") : NULL;
    if (commit)
        path = bs_printf("%s/snapshots/%s/%s", folder, commit, remote->path);
    bs_free(commit);
    bs_free(folder);
    return path;
}

static char *url_path(const struct bs_remote *remote)
{
    char *home = home_folder();
    char *path = home ? bs_printf("%s/bitsweep/%s", home, remote->path) : NULL;
    bs_free(home);
    return path;
}

enum bs_status bs_hub_file(const struct bs_remote *remote, char **path, struct bs_error *err)
{
    *path = remote->repository ? snapshot_path(remote) : url_path(remote);
    if (!*path)
        return bs_fail_memory(err);
    if (access(*path, R_OK) == 0)
        return BS_OK;
    bs_fail(err, BS_EIO, "%s is not in the cache: '%s' is not there", remote->path, *path);
    bs_free(*path);
    *path = NULL;
    return BS_EIO;
}
