/* Files of model and dataset repositories in the cache that Hugging Face's own tools keep. */
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

/* The cached file's path in new memory; BS_EIO where the cache does not have it. */
enum bs_status bs_hub_file(const struct bs_remote *remote, char **path, struct bs_error *err);

#endif
