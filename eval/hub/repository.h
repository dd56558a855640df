/* A repository at one commit, on the hub and in the cache, and the way from the one to the
 * other. */
#ifndef BS_EVAL_HUB_REPOSITORY_H
#define BS_EVAL_HUB_REPOSITORY_H

#include <stdbool.h>

#include "eval/base/json.h"
#include "eval/hub/layout.h"
#include "eval/hub/session.h"

/* One file of a repository. */
struct bs_entry {
    char *path;
    const char *sha256; /* or NULL */
    struct bs_http_answer answer;
    bool there; /* in the snapshot */
    bool held;  /* among the blobs, which another snapshot may have brought */
};

/* A repository at one commit, on the hub and in the cache. */
struct bs_repository {
    struct bs_session session;
    enum bs_repo_kind kind;
    const char *name, *revision;
    char commit[BS_HUB_COMMIT_DIGITS + 1]; /* empty until the hub has told it */
    char *folder;                          /* <cache>/models--org--name */
    char *locks;                           /* <cache>/.locks/models--org--name */
    struct bs_entry *entries;
    int num_entries, capacity;
    int fetched;     /* files, since it was opened */
    long long bytes; /* of these */
    /* of bs_repository_fetch at work, as struct bs_fetch_progress has them */
    int number, count;
    long long all_done, all_bytes;
};

/* `name` and `revision` stay the caller's. To be closed even where opening fails. */
enum bs_status bs_repository_open(struct bs_repository *repo, enum bs_repo_kind kind,
                                  const char *name, const char *revision,
                                  const struct bs_fetch_watch *watch, struct bs_error *err);
void bs_repository_close(struct bs_repository *repo);

/* Asks for the commit and for the hub's description of a model, whose `siblings` are its files;
 * freed with json_decref, also after an error. */
enum bs_status bs_repository_list(struct bs_repository *repo, json_t **info, struct bs_error *err);

/* One more file to have, once. BS_EDATA for a path that would leave its folder. */
enum bs_status bs_repository_add(struct bs_repository *repo, const char *path,
                                 struct bs_error *err);

/* Asks for a file's checksum and size, and the commit. */
enum bs_status bs_repository_ask(struct bs_repository *repo, struct bs_entry *entry,
                                 struct bs_error *err);

/* Brings every file that is missing in the snapshot of the commit. BS_EIO before the first byte
 * where the disk has no room for all of them. */
enum bs_status bs_repository_fetch(struct bs_repository *repo, struct bs_error *err);

/* Lets the revision name the commit in the cache. */
enum bs_status bs_repository_set_ref(const struct bs_repository *repo, struct bs_error *err);

/* <cache>/models--org--name/snapshots/<commit>/<path>, or the snapshot itself for "". In new
 * memory; NULL when memory runs out. */
char *bs_repository_path(const struct bs_repository *repo, const char *path);

#endif
