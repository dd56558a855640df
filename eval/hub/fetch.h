/* Fetching into the Hugging Face cache: what hub.h looks up, and what huggingface_hub finds as its
 * own. Nothing takes its final name before its size and checksum are right; what was interrupted
 * lies beside it as *.incomplete and is gone on with by the next call. */
#ifndef BS_EVAL_HUB_FETCH_H
#define BS_EVAL_HUB_FETCH_H

#include "eval/hub/hub.h"

/* Where a fetch is. */
struct bs_fetch_progress {
    const char *file;              /* its path in the repository */
    int number, count;             /* the file is number 1 .. count of those to fetch */
    long long done, size;          /* bytes of the file; size is -1 where nobody tells */
    long long all_done, all_bytes; /* bytes of all files to fetch, those lying there counted in */
};

/* Who is told; either function may be NULL. */
struct bs_fetch_watch {
    void (*progress)(void *context, const struct bs_fetch_progress *progress);
    void (*notice)(void *context, const char *text); /* why it waits */
    void *context;
};

/* What was fetched. */
struct bs_fetch_outcome {
    char *path;      /* the model's snapshot, or the file */
    int files;       /* that belong to it */
    int fetched;     /* of these, now; 0 = the cache had them all */
    long long bytes; /* of the fetched files */
};
void bs_fetch_outcome_release(struct bs_fetch_outcome *outcome);

/* Brings what bitsweep needs of "org/name[@revision]": config.json, the tokenizer's files and the
 * weights, as safetensors where there are any, else as PyTorch's .bin. `revision` may be NULL; both
 * revisions are a BS_ECONFIG. The ref is written when everything is there, so that hub.h never
 * finds a model in parts. BS_EIO for what the network, the hub or the disk refuses, BS_EDATA for a
 * wrong checksum or a server that makes no sense. */
enum bs_status bs_fetch_model(const char *name, const char *revision,
                              const struct bs_fetch_watch *watch, struct bs_fetch_outcome *outcome,
                              struct bs_error *err);

/* Brings one file. What is not on the hub is checked against its sha256 where that is known. */
enum bs_status bs_fetch_remote(const struct bs_remote *remote, const struct bs_fetch_watch *watch,
                               struct bs_fetch_outcome *outcome, struct bs_error *err);

#endif
