/* The formats that weights come in, each a plug-in that reads one file of a checkpoint. */
#ifndef BS_EVAL_CHECKPOINT_READER_H
#define BS_EVAL_CHECKPOINT_READER_H

#include "eval/base/plugin.h"
#include "eval/checkpoint/shard.h"

/* A kind of weight file. */
struct bs_reader {
    struct bs_plugin plugin;
    /* What a folder calls its weights: as one file, and the index that says in which of several a
     * tensor is. NULL = no such name. */
    const char *file, *index;
    const char *loose; /* the ending of a file of any name that is the weights where the folder has
                          no usual name; NULL = none */
    const char *const *endings; /* of the files it reads; "" = of any that no other reader's is
                                   nearer to; NULL-terminated */
    const char *begins; /* the bytes that its files begin with, whatever their names are; or NULL */

    /* Appends the tensors of the mapped shard, which may point into the map. BS_EDATA, or
     * BS_EUNSUPPORTED. */
    enum bs_status (*read)(struct bs_shard *shard, struct bs_entries *entries,
                           struct bs_error *err);
};

/* All readers. */
extern const struct bs_registry bs_reader_registry;

/* The i-th reader in the order in which their names are looked for, NULL beyond the last. */
const struct bs_reader *bs_reader_at(int i);

/* The reader of a file: the one with the longest ending that the name has. */
const struct bs_reader *bs_reader_of(const char *name);

#endif
