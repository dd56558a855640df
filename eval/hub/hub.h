/* The Hugging Face cache: where its own tools keep what they fetch, and what lies there.
 *
 * The layout is huggingface_hub's:
 *   <cache>/models--org--name/refs/<revision>            the commit that a branch or tag stands for
 *   <cache>/models--org--name/snapshots/<commit>/<path>  a relative link to
 *   <cache>/models--org--name/blobs/<etag>               the content, named by its checksum
 * and datasets--org--name likewise. Nothing here asks the network: see fetch.h. */
#ifndef BS_EVAL_HUB_HUB_H
#define BS_EVAL_HUB_HUB_H

#include "eval/base/error.h"

enum bs_repo_kind { BS_REPO_MODEL, BS_REPO_DATASET };

/* One file that can be fetched; a row of data. */
struct bs_remote {
    enum bs_repo_kind kind;
    const char *repository; /* "allenai/c4"; NULL: `url` is used */
    const char *revision;   /* branch, tag or commit; NULL = main */
    const char *path;       /* in the repository; for a url: the file name it gets */
    const char *url;        /* of what is not on the hub; http or https */
    const char *sha256;     /* hexadecimal, or NULL where it is not known */
};

/* The model's folder, in new memory. What exists as seen from `base` ("" = the current folder), is
 * absolute or begins with "./" or "../" is a path from there. Anything else is a hub name,
 * "org/name[@revision]", and gives the snapshot that the cache's ref names, which must hold
 * config.json. BS_EIO saying what was looked for, where, and the command that brings it. */
enum bs_status bs_hub_model(const char *name, const char *base, char **directory,
                            struct bs_error *err);

/* The cached file's path, in new memory. BS_EIO naming the file and the place where it is missing;
 * the caller adds the command that brings it. */
enum bs_status bs_hub_file(const struct bs_remote *remote, char **path, struct bs_error *err);

/* The cache's folder, in new memory: HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else HF_HOME/hub,
 * else XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub. An empty variable counts as
 * not set, "~" at the beginning as HOME. BS_EIO where HOME is needed and not set. */
enum bs_status bs_hub_cache_folder(char **path, struct bs_error *err);

#endif
