#include "eval/hub/fetch.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/hub/checksum.h"
#include "eval/hub/download.h"
#include "eval/hub/repository.h"

/* Beside the weights, as far as a repository has them. config.json comes last: with it a snapshot
 * becomes one that is found. */
static const char *const small_files[] = {
    "tokenizer.json", "tokenizer_config.json",   "tokenizer.model",   "vocab.json", "merges.txt",
    "vocab.txt",      "special_tokens_map.json", "added_tokens.json",
};
enum { NUM_SMALL_FILES = sizeof small_files / sizeof *small_files };

/* The weights, the first that a repository has; an index names its shards. */
static const struct weights {
    const char *file;
    bool index;
} weights_files[] = {
    {"model.safetensors", false},
    {"model.safetensors.index.json", true},
    {"pytorch_model.bin", false},
    {"pytorch_model.bin.index.json", true},
};
enum { NUM_WEIGHTS_FILES = sizeof weights_files / sizeof *weights_files };

void bs_fetch_outcome_release(struct bs_fetch_outcome *outcome)
{
    bs_free(outcome->path);
    *outcome = (struct bs_fetch_outcome){.path = NULL};
}

/* ---- a model ---- */

static bool lists(const json_t *info, const char *path)
{
    size_t i;
    json_t *file, *files = json_object_get(info, "siblings");
    json_array_foreach(files, i, file)
    {
        const char *name = json_string_value(json_object_get(file, "rfilename"));
        if (name && !strcmp(name, path))
            return true;
    }
    return false;
}

/* The first GGUF file that is listed; NULL: there is none. */
static const char *first_gguf(const json_t *info)
{
    size_t i;
    json_t *file, *files = json_object_get(info, "siblings");
    json_array_foreach(files, i, file)
    {
        const char *name = json_string_value(json_object_get(file, "rfilename"));
        if (name && bs_ends_in(name, ".gguf"))
            return name;
    }
    return NULL;
}

/* The shards that the index in the snapshot names become entries. */
static enum bs_status add_shards(struct bs_repository *repo, const char *index,
                                 struct bs_error *err)
{
    json_t *object = NULL, *file;
    const char *tensor;
    char *path = bs_repository_path(repo, index);
    if (!path)
        return bs_fail_memory(err);
    enum bs_status status = bs_json_read(path, &object, err);
    json_t *map = json_object_get(object, "weight_map");
    if (!status && !json_object_size(map))
        status = bs_fail(err, BS_EDATA, "%s of %s has no weight_map", index, repo->name);
    json_object_foreach(map, tensor, file)
    {
        if (status)
            break;
        status = json_is_string(file)
                     ? bs_repository_add(repo, json_string_value(file), err)
                     : bs_fail(err, BS_EDATA, "%s of %s: the file of '%.200s' is no text", index,
                               repo->name, tensor);
    }
    json_decref(object);
    bs_free(path);
    return status;
}

static enum bs_status add_weights(struct bs_repository *repo, const json_t *info,
                                  struct bs_error *err)
{
    const struct weights *found = NULL;
    for (int i = 0; i < NUM_WEIGHTS_FILES && !found; i++)
        if (lists(info, weights_files[i].file))
            found = &weights_files[i];
    if (!found)
        return bs_fail(err, BS_EIO, "%s has no weights that bitsweep reads: %s, %s, or their index",
                       repo->name, weights_files[0].file, weights_files[2].file);
    enum bs_status status = bs_repository_add(repo, found->file, err);
    if (status || !found->index)
        return status;
    status = bs_repository_fetch(repo, err);
    return status ? status : add_shards(repo, found->file, err);
}

static enum bs_status fetch_files(struct bs_repository *repo, const json_t *info,
                                  struct bs_error *err)
{
    static const char config[] = "config.json";
    const char *gguf = first_gguf(info);
    if (!lists(info, config) && gguf)
        return bs_fail(
            err, BS_EIO,
            "%s has GGUF files and no config.json, and each of them is a model; download "
            "the one that is meant (%.200s, say) and name the file",
            repo->name, gguf);
    if (!lists(info, config))
        return bs_fail(err, BS_EIO, "%s has no config.json: it is no model for transformers",
                       repo->name);
    enum bs_status status = BS_OK;
    for (int i = 0; i < NUM_SMALL_FILES && !status; i++)
        if (lists(info, small_files[i]))
            status = bs_repository_add(repo, small_files[i], err);
    if (!status)
        status = add_weights(repo, info, err);
    if (!status)
        status = bs_repository_add(repo, config, err);
    return status ? status : bs_repository_fetch(repo, err);
}

static enum bs_status fetch_model(struct bs_repository *repo, struct bs_fetch_outcome *outcome,
                                  struct bs_error *err)
{
    json_t *info;
    enum bs_status status = bs_repository_list(repo, &info, err);
    if (!status)
        status = fetch_files(repo, info, err);
    json_decref(info);
    if (!status)
        status = bs_repository_set_ref(repo, err);
    if (!status && !(outcome->path = bs_repository_path(repo, "")))
        status = bs_fail_memory(err);
    outcome->files = repo->num_entries;
    outcome->fetched = repo->fetched;
    outcome->bytes = repo->bytes;
    return status;
}

enum bs_status bs_fetch_model(const char *name, const char *revision,
                              const struct bs_fetch_watch *watch, struct bs_fetch_outcome *outcome,
                              struct bs_error *err)
{
    *outcome = (struct bs_fetch_outcome){.path = NULL};
    char *repository, *within;
    enum bs_status status = bs_hub_split(name, &repository, &within, err);
    if (status)
        return status;
    struct bs_repository repo = {.name = NULL};
    if (within && revision)
        status =
            bs_fail(err, BS_ECONFIG, "'%s' names a revision, and so does '%s'", name, revision);
    else if (revision && !bs_hub_is_inside(revision))
        status = bs_fail(err, BS_ECONFIG, "'%s' is no revision", revision);
    if (!revision)
        revision = within ? within : bs_hub_main;
    if (!status)
        status = bs_repository_open(&repo, BS_REPO_MODEL, repository, revision, watch, err);
    if (!status)
        status = fetch_model(&repo, outcome, err);
    bs_repository_close(&repo);
    bs_free(repository);
    bs_free(within);
    return status;
}

/* ---- one file ---- */

static enum bs_status fetch_one(struct bs_repository *repo, const struct bs_remote *remote,
                                struct bs_fetch_outcome *outcome, struct bs_error *err)
{
    enum bs_status status = bs_repository_add(repo, remote->path, err);
    if (status)
        return status;
    repo->entries[0].sha256 = remote->sha256;
    status = bs_repository_ask(repo, &repo->entries[0], err);
    if (!status)
        status = bs_repository_fetch(repo, err);
    if (!status)
        status = bs_repository_set_ref(repo, err);
    if (!status && !(outcome->path = bs_repository_path(repo, remote->path)))
        status = bs_fail_memory(err);
    outcome->fetched = repo->fetched;
    outcome->bytes = repo->bytes;
    return status;
}

static enum bs_status fetch_from_hub(const struct bs_remote *remote,
                                     const struct bs_fetch_watch *watch,
                                     struct bs_fetch_outcome *outcome, struct bs_error *err)
{
    const char *revision = remote->revision ? remote->revision : bs_hub_main;
    if (!bs_hub_is_repository(remote->repository) || !bs_hub_is_inside(revision))
        return bs_fail(err, BS_EIO, "%s, revision %s: no names of the hub", remote->repository,
                       revision);
    struct bs_repository repo;
    enum bs_status status =
        bs_repository_open(&repo, remote->kind, remote->repository, revision, watch, err);
    if (!status)
        status = fetch_one(&repo, remote, outcome, err);
    bs_repository_close(&repo);
    return status;
}

/* Whether the file is there with the content it should have, as far as that is known. */
static enum bs_status is_whole(const char *path, const char *sha256, bool *whole,
                               struct bs_error *err)
{
    struct bs_checksum found;
    *whole = !access(path, R_OK);
    if (!*whole || !sha256)
        return BS_OK;
    enum bs_status status = bs_checksum_file(path, BS_SHA256, &found, err);
    *whole = !status && !strcmp(found.hex, sha256);
    return status;
}

static enum bs_status fetch_url(const struct bs_remote *remote, const char *path,
                                const struct bs_fetch_watch *watch,
                                struct bs_fetch_outcome *outcome, struct bs_error *err)
{
    struct bs_session session;
    enum bs_status status = bs_session_open(watch, &session, err);
    if (status)
        return status;
    char *lock = bs_printf("%s.lock", path);
    const struct bs_download download = {
        .what = remote->path,
        .url = remote->url,
        .target = path,
        .lock = lock,
        .sums = {remote->sha256},
        .size = -1,
        .progress = {.file = remote->path, .number = 1, .count = 1, .all_bytes = -1},
    };
    status = lock ? bs_download(&session, &download, err) : bs_fail_memory(err);
    bs_free(lock);
    bs_session_close(&session);
    outcome->fetched = !status;
    return status;
}

static enum bs_status fetch_from_url(const struct bs_remote *remote,
                                     const struct bs_fetch_watch *watch,
                                     struct bs_fetch_outcome *outcome, struct bs_error *err)
{
    bool whole;
    enum bs_status status = bs_hub_url_file(remote, &outcome->path, err);
    if (!status)
        status = is_whole(outcome->path, remote->sha256, &whole, err);
    if (status || whole)
        return status;
    if (unlink(outcome->path) && errno != ENOENT)
        return bs_fail(err, BS_EIO, "cannot replace '%s': %s", outcome->path, strerror(errno));
    status = fetch_url(remote, outcome->path, watch, outcome, err);
    struct stat info;
    if (!status && !stat(outcome->path, &info))
        outcome->bytes = (long long)info.st_size;
    return status;
}

enum bs_status bs_fetch_remote(const struct bs_remote *remote, const struct bs_fetch_watch *watch,
                               struct bs_fetch_outcome *outcome, struct bs_error *err)
{
    *outcome = (struct bs_fetch_outcome){.files = 1};
    enum bs_status status = remote->repository ? fetch_from_hub(remote, watch, outcome, err)
                                               : fetch_from_url(remote, watch, outcome, err);
    if (status)
        bs_fetch_outcome_release(outcome);
    return status;
}
