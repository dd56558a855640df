#include "eval/hub/repository.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/hub/checksum.h"
#include "eval/hub/download.h"

enum { MOST_FILES = 4096 }; /* of a model; the largest published ones have a few hundred shards */

enum bs_status bs_repository_open(struct bs_repository *repo, enum bs_repo_kind kind,
                                  const char *name, const char *revision,
                                  const struct bs_fetch_watch *watch, struct bs_error *err)
{
    *repo = (struct bs_repository){.kind = kind, .name = name, .revision = revision};
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

void bs_repository_close(struct bs_repository *repo)
{
    for (int i = 0; i < repo->num_entries; i++)
        bs_free(repo->entries[i].path);
    bs_free(repo->entries);
    bs_free(repo->folder);
    bs_free(repo->locks);
    bs_session_close(&repo->session);
}

enum bs_status bs_repository_add(struct bs_repository *repo, const char *path, struct bs_error *err)
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
        struct bs_entry *grown = bs_realloc(repo->entries, (size_t)repo->capacity, (size_t)larger,
                                            sizeof *repo->entries);
        if (!grown)
            return bs_fail_memory(err);
        repo->entries = grown;
        repo->capacity = larger;
    }
    char *copy = bs_strdup(path);
    if (!copy)
        return bs_fail_memory(err);
    repo->entries[repo->num_entries++] = (struct bs_entry){.path = copy};
    return BS_OK;
}

/* ---- what the hub says of a repository and its files ---- */

static enum bs_status take_commit(struct bs_repository *repo, const char *commit,
                                  struct bs_error *err)
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
static char *resolve_url(const struct bs_repository *repo, const char *path)
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

static enum bs_status check_entry(struct bs_repository *repo, const struct bs_entry *entry,
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
enum bs_status bs_repository_ask(struct bs_repository *repo, struct bs_entry *entry,
                                 struct bs_error *err)
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
enum bs_status bs_repository_list(struct bs_repository *repo, json_t **info, struct bs_error *err)
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
        status = bs_json_parse(url, NULL, text, size, info, err);
    const char *commit = json_string_value(json_object_get(*info, "sha"));
    if (!status)
        status = take_commit(repo, commit ? commit : "", err);
    bs_free(text);
    bs_free(url);
    bs_free(revision);
    return status;
}

/* ---- the cache ---- */

/* <folder>/snapshots/<commit>/<path> */
char *bs_repository_path(const struct bs_repository *repo, const char *path)
{
    return bs_printf("%s/snapshots/%s%s%s", repo->folder, repo->commit, *path ? "/" : "", path);
}

static enum bs_status look(const struct bs_repository *repo, struct bs_entry *entry,
                           struct bs_error *err)
{
    char *file = bs_repository_path(repo, entry->path);
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
static char *link_target(const struct bs_entry *entry)
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

static enum bs_status link_entry(const struct bs_repository *repo, const struct bs_entry *entry,
                                 struct bs_error *err)
{
    char *target = link_target(entry), *file = bs_repository_path(repo, entry->path);
    enum bs_status status = target && file ? link_file(target, file, err) : bs_fail_memory(err);
    bs_free(target);
    bs_free(file);
    return status;
}

static char *blob_path(const struct bs_repository *repo, const struct bs_entry *entry)
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
static enum bs_status write_ref(const struct bs_repository *repo, const char *path,
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
enum bs_status bs_repository_set_ref(const struct bs_repository *repo, struct bs_error *err)
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
static enum bs_status plan(struct bs_repository *repo, struct bs_error *err)
{
    long long lying = 0;
    repo->count = repo->number = 0;
    repo->all_bytes = repo->all_done = 0;
    for (int i = 0; i < repo->num_entries; i++) {
        struct bs_entry *entry = &repo->entries[i];
        if (look(repo, entry, err) || (!entry->there && bs_repository_ask(repo, entry, err)))
            return err->status;
        if (entry->there)
            continue;
        char *blob = blob_path(repo, entry);
        if (!blob)
            return bs_fail_memory(err);
        entry->held = !access(blob, F_OK);
        lying += entry->held ? 0 : bs_download_lying(blob);
        bs_free(blob);
        repo->count += !entry->held;
        repo->all_bytes += entry->held ? 0 : entry->answer.size;
    }
    if (repo->all_bytes <= lying)
        return BS_OK;
    return bs_download_check_room(repo->folder, repo->all_bytes - lying, err);
}

static enum bs_status fetch_blob(struct bs_repository *repo, const struct bs_entry *entry,
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

static enum bs_status fetch_entry(struct bs_repository *repo, struct bs_entry *entry,
                                  struct bs_error *err)
{
    char *blob = blob_path(repo, entry);
    if (!blob)
        return bs_fail_memory(err);
    repo->number++;
    enum bs_status status = fetch_blob(repo, entry, blob, err);
    bs_free(blob);
    if (status)
        return status;
    entry->held = true;
    repo->fetched++;
    repo->all_done += entry->answer.size;
    repo->bytes += entry->answer.size;
    return BS_OK;
}

enum bs_status bs_repository_fetch(struct bs_repository *repo, struct bs_error *err)
{
    if (plan(repo, err))
        return err->status;
    for (int i = 0; i < repo->num_entries; i++) {
        struct bs_entry *entry = &repo->entries[i];
        if (entry->there)
            continue;
        if ((!entry->held && fetch_entry(repo, entry, err)) || link_entry(repo, entry, err))
            return err->status;
        entry->there = true;
    }
    return BS_OK;
}
