/* Files of model and dataset repositories in the cache that Hugging Face's own tools keep. */
#ifndef BS_EVAL_HUB_HUB_H
#define BS_EVAL_HUB_HUB_H

#include "eval/base/error.h"

enum bs_repo_kind { BS_REPO_MODEL, BS_REPO_DATASET };

/* One file of a repository. */
struct bs_remote {
    enum bs_repo_kind kind;
    const char *repository, *revision, *path; /* "allenai/c4", "main", "en/x.json.gz" */
    const char *url;                          /* where it is brought from; NULL = from the hub */
    const char *sha256; /* 64 hexadecimal digits, or NULL where no source gives them */
};

/* The cached file's path in new memory; BS_EIO where the cache does not have it. */
enum bs_status bs_hub_file(const struct bs_remote *remote, char **path, struct bs_error *err);

#endif
