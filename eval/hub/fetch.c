#include "eval/hub/fetch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/hub/checksum.h"
#include "eval/hub/download.h"
#include "eval/hub/layout.h"

enum { MOST_FILES = 4096 }; /* of a model; the largest published ones have a few hundred shards */

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

/* One file of a repository. */
struct entry {
    char *path;
    const char *sha256; /* or NULL */
    struct bs_http_answer answer;
    bool there; /* in the snapshot */
};

/* A repository at one commit, on the hub and in the cache. */
struct repository {
    struct bs_session session;
    enum bs_repo_kind kind;
    const char *name, *revision;
    char commit[BS_HUB_COMMIT_DIGITS + 1]; /* empty until the hub has told it */
    char *folder;                          /* <cache>/models--org--name */
    char *locks;                           /* <cache>/.locks/models--org--name */
    struct entry *entries;
    int num_entries, capacity;
    /* of this fetch */
    int number, count;
    long long all_done, all_bytes, bytes;
};

void bs_fetch_outcome_release(struct bs_fetch_outcome *outcome)
{
    bs_free(outcome->path);
    *outcome = (struct bs_fetch_outcome){.path = NULL};
}

static enum bs_status repository_open(struct repository *repo, enum bs_repo_kind kind,
                                      const char *name, const char *revision,
                                      const struct bs_fetch_watch *watch, struct bs_error *err)
{
    *repo = (struct repository){.kind = kind, .name = name, .revision = revision};
    char *cache = NULL, *folder = bs_hub_folder_name(kind, name);
    enum bs_status status = folder ? bs_hub_cache_folder(&cache, err) : bs_fail_memory(err);
    if (!status) {
        repo->folder = bs_printf("%s/%s", cache, folder);
        repo->locks = bs_printf("%s/.locks/%s", cache, folder);
        if (!repo->folder || !repo->locks)
            status = bs_fail_memory(err);
    }
    bs_free(cache);
    bs_free(folder);
    return status ? status : bs_session_open(watch, &repo->session, err);
}

static void repository_close(struct repository *repo)
{
    for (int i = 0; i < repo->num_entries; i++)
        bs_free(repo->entries[i].path);
    bs_free(repo->entries);
    bs_free(repo->folder);
    bs_free(repo->locks);
    bs_session_close(&repo->session);
}

static enum bs_status add_entry(struct repository *repo, const char *path, struct bs_error *err)
{
    for (int i = 0; i < repo->num_entries; i++)
        if (!strcmp(repo->entries[i].path, path))
            return BS_OK;
    if (!bs_hub_is_inside(path))
        return bs_fail(err, BS_EDATA, "%s names the file '%s', which is no path below a folder",
                       repo->name, path);
    if (repo->num_entries == MOST_FILES)
        return bs_fail(err, BS_EDATA, "%s has more than %d files of weights", repo->name,
                       MOST_FILES);
    if (repo->num_entries == repo->capacity) {
        int larger = repo->capacity ? 2 * repo->capacity : 16;
        struct entry *grown = bs_realloc(repo->entries, (size_t)repo->capacity, (size_t)larger,
                                         sizeof *repo->entries);
        if (!grown)
            return bs_fail_memory(err);
        repo->entries = grown;
        repo->capacity = larger;
    }
    char *copy = bs_strdup(path);
    if (!copy)
        return bs_fail_memory(err);
    repo->entries[repo->num_entries++] = (struct entry){.path = copy};
    return BS_OK;
}

/* ---- what the hub says of a repository and its files ---- */

static enum bs_status take_commit(struct repository *repo, const char *commit, struct bs_error *err)
{
    if (!bs_hub_is_hex(commit, BS_HUB_COMMIT_DIGITS))
        return bs_fail(err, BS_EDATA, "%s: %s gives no commit%s%s", repo->name,
                       repo->session.endpoint, *commit ? ", but " : "", commit);
    if (repo->commit[0] && strcmp(repo->commit, commit))
        return bs_fail(err, BS_EDATA, "%s changed while it was fetched, from commit %s to %s",
                       repo->name, repo->commit, commit);
    snprintf(repo->commit, sizeof repo->commit, "%s", commit);
    return BS_OK;
}

/* The address of a file at the commit, or at the revision while the commit is not known. */
static char *resolve_url(const struct repository *repo, const char *path)
{
    struct bs_http *http = repo->session.http;
    char *revision = bs_http_escape(http, repo->commit[0] ? repo->commit : repo->revision, false);
    char *file = bs_http_escape(http, path, true);
    char *url = NULL;
    if (revision && file)
        url =
            bs_printf("%s/%s%s/resolve/%s/%s", repo->session.endpoint,
                      repo->kind == BS_REPO_DATASET ? "datasets/" : "", repo->name, revision, file);
    bs_free(revision);
    bs_free(file);
    return url;
}

static enum bs_status check_entry(struct repository *repo, const struct entry *entry,
                                  struct bs_error *err)
{
    const struct bs_http_answer *answer = &entry->answer;
    enum bs_checksum_kind kind;
    if (!bs_hub_is_plain(answer->etag))
        return bs_fail(err, BS_EDATA, "%s of %s: '%s' is no ETag to name a file by", entry->path,
                       repo->name, answer->etag);
    if (answer->size < 0)
        return bs_fail(err, BS_EDATA, "%s of %s: the size is not told", entry->path, repo->name);
    if (entry->sha256 && bs_checksum_kind_of(answer->etag, &kind) && kind == BS_SHA256 &&
        strcmp(answer->etag, entry->sha256))
        return bs_fail(err, BS_EDATA,
                       "%s of %s has another content than expected: sha256 %s, not %s", entry->path,
                       repo->name, answer->etag, entry->sha256);
    return take_commit(repo, answer->commit, err);
}

/* Asks for checksum, size and commit. */
static enum bs_status ask(struct repository *repo, struct entry *entry, struct bs_error *err)
{
    struct bs_subject subject = {repo->kind, repo->name, repo->revision, entry->path};
    char *url = resolve_url(repo, entry->path);
    if (!url)
        return bs_fail_memory(err);
    enum bs_status status = bs_http_head(repo->session.http, url, &entry->answer, err);
    bs_free(url);
    if (!status)
        status = bs_session_check(&repo->session, &subject, &entry->answer, err);
    return status ? status : check_entry(repo, entry, err);
}

/* Commit and file names of a model. */
static enum bs_status ask_for_files(struct repository *repo, json_t **info, struct bs_error *err)
{
    struct bs_subject subject = {repo->kind, repo->name, repo->revision, NULL};
    struct bs_http_answer answer;
    char *text = NULL, *revision = bs_http_escape(repo->session.http, repo->revision, false);
    size_t size;
    *info = NULL;
    char *url = revision ? bs_printf("%s/api/models/%s/revision/%s", repo->session.endpoint,
                                     repo->name, revision)
                         : NULL;
    enum bs_status status =
        url ? bs_http_get_text(repo->session.http, url, &text, &size, &answer, err)
            : bs_fail_memory(err);
    if (!status)
        status = bs_session_check(&repo->session, &subject, &answer, err);
    if (!status)
        status = bs_json_parse(url, text, size, info, err);
    const char *commit = json_string_value(json_object_get(*info, "sha"));
    if (!status)
        status = take_commit(repo, commit ? commit : "", err);
    bs_free(text);
    bs_free(url);
    bs_free(revision);
    return status;
}

static bool lists(const json_t *info, const char *path)
{
    size_t i;
    json_t *file;
    json_array_foreach(json_object_get(info, "siblings"), i, file)
    {
        const char *name = json_string_value(json_object_get(file, "rfilename"));
        if (name && !strcmp(name, path))
            return true;
    }
    return false;
}

/* ---- the cache ---- */

/* <folder>/snapshots/<commit>/<path> */
static char *snapshot_file(const struct repository *repo, const char *path)
{
    return bs_printf("%s/snapshots/%s%s%s", repo->folder, repo->commit, *path ? "/" : "", path);
}

static enum bs_status look(const struct repository *repo, struct entry *entry, struct bs_error *err)
{
    char *file = snapshot_file(repo, entry->path);
    if (!file)
        return bs_fail_memory(err);
    entry->there = !access(file, R_OK);
    bs_free(file);
    return BS_OK;
}

/* Links the snapshot's file to its blob, relative as huggingface_hub does, so that the cache can
 * move. What stood there could not be read. */
static enum bs_status link_file(const char *target, const char *file, struct bs_error *err)
{
    enum bs_status status = bs_make_parent(file, err);
    if (status)
        return status;
    if (unlink(file) && errno != ENOENT)
        return bs_fail(err, BS_EIO, "cannot replace '%s': %s", file, strerror(errno));
    if (symlink(target, file) && (errno != EEXIST || access(file, R_OK)))
        return bs_fail(err, BS_EIO, "cannot link '%s': %s", file, strerror(errno));
    return BS_OK;
}

/* "../../blobs/<etag>", from a file in the snapshot; one more "../" for each folder it is in. */
static char *link_target(const struct entry *entry)
{
    size_t depth = 2;
    for (const char *p = entry->path; *p; p++)
        depth += *p == '/';
    char *up = bs_calloc(3 * depth + 1, 1);
    for (size_t i = 0; up && i < depth; i++)
        memcpy(up + 3 * i, "../", 3);
    char *target = up ? bs_printf("%sblobs/%s", up, entry->answer.etag) : NULL;
    bs_free(up);
    return target;
}

static enum bs_status link_entry(const struct repository *repo, const struct entry *entry,
                                 struct bs_error *err)
{
    char *target = link_target(entry), *file = snapshot_file(repo, entry->path);
    enum bs_status status = target && file ? link_file(target, file, err) : bs_fail_memory(err);
    bs_free(target);
    bs_free(file);
    return status;
}

static char *blob_path(const struct repository *repo, const struct entry *entry)
{
    return bs_printf("%s/blobs/%s", repo->folder, entry->answer.etag);
}

static enum bs_status write_text(int fd, const char *path, const char *text, struct bs_error *err)
{
    size_t length = strlen(text);
    bool written = write(fd, text, length) == (ssize_t)length;
    if (close(fd) || !written)
        return bs_fail(err, BS_EIO, "cannot write '%s': %s", path, strerror(errno));
    return BS_OK;
}

/* The ref is written aside, where nobody takes the half of it for a ref. */
static enum bs_status write_ref(const struct repository *repo, const char *path,
                                struct bs_error *err)
{
    char *aside = bs_printf("%s/.ref-XXXXXX", repo->folder);
    if (!aside)
        return bs_fail_memory(err);
    enum bs_status status = bs_make_parent(path, err);
    int fd = status ? -1 : mkstemp(aside);
    if (!status && fd < 0)
        status = bs_fail(err, BS_EIO, "cannot create '%s': %s", aside, strerror(errno));
    if (!status)
        status = write_text(fd, aside, repo->commit, err);
    if (!status)
        status = bs_file_commit(aside, path, err);
    if (status && fd >= 0)
        unlink(aside);
    bs_free(aside);
    return status;
}

/* Lets the revision name the commit. A commit asked for by itself needs no ref. */
static enum bs_status set_ref(const struct repository *repo, struct bs_error *err)
{
    char *held = NULL;
    size_t size;
    if (!strcmp(repo->revision, repo->commit))
        return BS_OK;
    char *path = bs_printf("%s/refs/%s", repo->folder, repo->revision);
    if (!path)
        return bs_fail_memory(err);
    enum bs_status status = BS_OK;
    if (!access(path, R_OK))
        status = bs_file_read(path, &held, &size, err);
    if (!status && (!held || strcmp(held, repo->commit)))
        status = write_ref(repo, path, err);
    bs_free(held);
    bs_free(path);
    return status;
}

/* ---- fetching ---- */

/* What is left to fetch, counted; the disk must have room for all of it. */
static enum bs_status plan(struct repository *repo, struct bs_error *err)
{
    long long lying = 0;
    repo->count = repo->number = 0;
    repo->all_bytes = repo->all_done = 0;
    for (int i = 0; i < repo->num_entries; i++) {
        struct entry *entry = &repo->entries[i];
        if (look(repo, entry, err) || (!entry->there && ask(repo, entry, err)))
            return err->status;
        if (entry->there)
            continue;
        char *blob = blob_path(repo, entry);
        if (!blob)
            return bs_fail_memory(err);
        bool there = !access(blob, F_OK);
        lying += there ? entry->answer.size : bs_download_lying(blob);
        bs_free(blob);
        repo->count++;
        repo->all_bytes += entry->answer.size;
    }
    if (repo->all_bytes <= lying)
        return BS_OK;
    return bs_download_check_room(repo->folder, repo->all_bytes - lying, err);
}

static enum bs_status fetch_blob(struct repository *repo, const struct entry *entry,
                                 const char *blob, struct bs_error *err)
{
    struct bs_subject subject = {repo->kind, repo->name, repo->revision, entry->path};
    char *what = bs_printf("%s of %s", entry->path, repo->name);
    char *url = resolve_url(repo, entry->path);
    char *lock = bs_printf("%s/%s.lock", repo->locks, entry->answer.etag);
    const struct bs_download download = {
        .what = what,
        .url = url,
        .target = blob,
        .lock = lock,
        .sums = {entry->answer.etag, entry->sha256},
        .size = entry->answer.size,
        .named_by_content = true,
        /* The ETag of a host that only redirects is not that of the content. */
        .if_range =
            entry->answer.elsewhere || entry->answer.strong[0] != '"' ? NULL : entry->answer.strong,
        .subject = &subject,
        .progress = {.file = entry->path,
                     .number = repo->number,
                     .count = repo->count,
                     .all_done = repo->all_done,
                     .all_bytes = repo->all_bytes},
    };
    enum bs_status status =
        what && url && lock ? bs_download(&repo->session, &download, err) : bs_fail_memory(err);
    bs_free(what);
    bs_free(url);
    bs_free(lock);
    return status;
}

static enum bs_status fetch_entry(struct repository *repo, struct entry *entry,
                                  struct bs_error *err)
{
    char *blob = blob_path(repo, entry);
    if (!blob)
        return bs_fail_memory(err);
    repo->number++;
    enum bs_status status = fetch_blob(repo, entry, blob, err);
    if (!status)
        status = link_entry(repo, entry, err);
    repo->all_done += entry->answer.size;
    repo->bytes += entry->answer.size;
    entry->there = true;
    bs_free(blob);
    return status;
}

/* Brings every entry that is missing; *fetched grows by their number. */
static enum bs_status fetch_entries(struct repository *repo, int *fetched, struct bs_error *err)
{
    if (plan(repo, err))
        return err->status;
    for (int i = 0; i < repo->num_entries; i++) {
        if (repo->entries[i].there)
            continue;
        if (fetch_entry(repo, &repo->entries[i], err))
            return err->status;
        ++*fetched;
    }
    return BS_OK;
}

/* ---- a model ---- */

/* The shards that the index in the snapshot names become entries. */
static enum bs_status add_shards(struct repository *repo, const char *index, struct bs_error *err)
{
    json_t *object = NULL, *file;
    const char *tensor;
    char *path = snapshot_file(repo, index);
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
                     ? add_entry(repo, json_string_value(file), err)
                     : bs_fail(err, BS_EDATA, "%s of %s: the file of '%.200s' is no text", index,
                               repo->name, tensor);
    }
    json_decref(object);
    bs_free(path);
    return status;
}

static enum bs_status add_weights(struct repository *repo, const json_t *info, int *fetched,
                                  struct bs_error *err)
{
    const struct weights *found = NULL;
    for (int i = 0; i < NUM_WEIGHTS_FILES && !found; i++)
        if (lists(info, weights_files[i].file))
            found = &weights_files[i];
    if (!found)
        return bs_fail(err, BS_EIO, "%s has no weights that bitsweep reads: %s, %s, or their index",
                       repo->name, weights_files[0].file, weights_files[2].file);
    enum bs_status status = add_entry(repo, found->file, err);
    if (status || !found->index)
        return status;
    status = fetch_entries(repo, fetched, err);
    return status ? status : add_shards(repo, found->file, err);
}

static enum bs_status fetch_files(struct repository *repo, const json_t *info, int *fetched,
                                  struct bs_error *err)
{
    static const char config[] = "config.json";
    if (!lists(info, config))
        return bs_fail(err, BS_EIO, "%s has no config.json: it is no model for transformers",
                       repo->name);
    enum bs_status status = BS_OK;
    for (int i = 0; i < NUM_SMALL_FILES && !status; i++)
        if (lists(info, small_files[i]))
            status = add_entry(repo, small_files[i], err);
    if (!status)
        status = add_weights(repo, info, fetched, err);
    if (!status)
        status = add_entry(repo, config, err);
    return status ? status : fetch_entries(repo, fetched, err);
}

static enum bs_status fetch_model(struct repository *repo, struct bs_fetch_outcome *outcome,
                                  struct bs_error *err)
{
    json_t *info;
    enum bs_status status = ask_for_files(repo, &info, err);
    if (!status)
        status = fetch_files(repo, info, &outcome->fetched, err);
    json_decref(info);
    if (!status)
        status = set_ref(repo, err);
    if (!status && !(outcome->path = snapshot_file(repo, "")))
        status = bs_fail_memory(err);
    outcome->files = repo->num_entries;
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
    struct repository repo = {.name = NULL};
    if (within && revision)
        status =
            bs_fail(err, BS_ECONFIG, "'%s' names a revision, and so does '%s'", name, revision);
    else if (revision && !bs_hub_is_inside(revision))
        status = bs_fail(err, BS_ECONFIG, "'%s' is no revision", revision);
    if (!revision)
        revision = within ? within : bs_hub_main;
    if (!status)
        status = repository_open(&repo, BS_REPO_MODEL, repository, revision, watch, err);
    if (!status)
        status = fetch_model(&repo, outcome, err);
    repository_close(&repo);
    bs_free(repository);
    bs_free(within);
    return status;
}

/* ---- one file ---- */

static enum bs_status fetch_one(struct repository *repo, const struct bs_remote *remote,
                                struct bs_fetch_outcome *outcome, struct bs_error *err)
{
    enum bs_status status = add_entry(repo, remote->path, err);
    if (status)
        return status;
    repo->entries[0].sha256 = remote->sha256;
    status = ask(repo, &repo->entries[0], err);
    if (!status)
        status = fetch_entries(repo, &outcome->fetched, err);
    if (!status)
        status = set_ref(repo, err);
    if (!status && !(outcome->path = snapshot_file(repo, remote->path)))
        status = bs_fail_memory(err);
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
    struct repository repo;
    enum bs_status status =
        repository_open(&repo, remote->kind, remote->repository, revision, watch, err);
    if (!status)
        status = fetch_one(&repo, remote, outcome, err);
    repository_close(&repo);
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
