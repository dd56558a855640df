#include "eval/hub/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"

/* The cache's folder in new memory, as huggingface_hub finds it. */
static char *cache_folder(void)
{
    const char *cache = getenv("HF_HUB_CACHE"), *home = getenv("HF_HOME");
    if (cache && *cache)
        return bs_strdup(cache);
    if (home && *home)
        return bs_printf("%s/hub", home);
    home = getenv("HOME");
    return bs_printf("%s/.cache/huggingface/hub", home ? home : ".");
}

/* The commit that a branch stood at when it was brought; a commit names itself. */
static char *commit_of(const char *repository, const char *revision)
{
    struct bs_error ignored;
    char *reference = bs_printf("%s/refs/%s", repository, revision), *commit = NULL;
    size_t size;
    if (reference && bs_file_read(reference, &commit, &size, &ignored) == BS_OK)
        commit[strcspn(commit, "\r\n")] = '\0';
    bs_free(reference);
    return commit ? commit : bs_strdup(revision);
}

enum bs_status bs_hub_file(const struct bs_remote *remote, char **path, struct bs_error *err)
{
    char *cache = cache_folder(), *name = bs_strdup(remote->repository), *repository = NULL;
    char *commit = NULL;
    *path = NULL;
    const char *slash = name ? strchr(name, '/') : NULL;
    if (cache && name)
        repository = bs_printf("%s/%s--%.*s%s%s", cache,
                               remote->kind == BS_REPO_MODEL ? "models" : "datasets",
                               (int)(slash ? (size_t)(slash - name) : strlen(name)), name,
                               slash ? "--" : "", slash ? slash + 1 : "");
    if (repository)
        commit = commit_of(repository, remote->revision);
    if (commit)
        *path = bs_printf("%s/snapshots/%s/%s", repository, commit, remote->path);
    enum bs_status status = *path ? BS_OK : bs_fail_memory(err);
    if (*path && access(*path, R_OK) != 0) {
        status = bs_fail(err, BS_EIO, "%s of %s is not in the cache %s", remote->path,
                         remote->repository, cache);
        bs_free(*path);
        *path = NULL;
    }
    bs_free(commit);
    bs_free(repository);
    bs_free(name);
    bs_free(cache);
    return status;
}
