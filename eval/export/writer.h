/* Writers of quantized checkpoints: each a plug-in that puts what a recipe makes of a model, block
 * by block, into the files that other programs read. */
#ifndef BS_EVAL_EXPORT_WRITER_H
#define BS_EVAL_EXPORT_WRITER_H

#include "eval/base/lines.h"
#include "eval/checkpoint/tensor.h"
#include "eval/recipe/recipe.h"

/* What is written, and from what. All borrowed. */
struct bs_export {
    const struct bs_model *model;   /* the unquantized one */
    const struct bs_recipe *recipe; /* resolved, its places checked */
    const char *label;              /* of the recipe, for people */
    const char *id; /* of all that the files follow from, which they name: export/mark.h */
    bool verified;  /* they get their final name only once they were read back and compared */
    /* What an error in each column of embedding and head counts, of a file that the recipe names;
     * NULL = 1 each. */
    const float *outer_importance[BS_NUM_OUTER];
    const void *options; /* the writer's */
    const char
        *path; /* where: a folder that is there and empty, or of a writer of one file the file,
                         which is not there; it gets its final name from the caller */
    struct bs_lines *notes; /* takes what was left out, a line each; NULL: nobody asks */
};

/* A writer. After `check` the hooks are called in the order open, block of each layer, close, free;
 * `free` also where one of the others failed, and then `state` may be NULL. */
struct bs_writer {
    struct bs_plugin plugin;
    const char *ending; /* of the one file that it writes, ".gguf"; NULL: it writes a folder */

    /* Refuses, before anything runs, what the files cannot hold, with the reason and the place.
     * BS_EUNSUPPORTED, BS_ECONFIG. export->path is NULL. */
    enum bs_status (*check)(const struct bs_export *export, struct bs_error *err);

    /* Begins. BS_EIO, BS_ENOMEM. */
    enum bs_status (*open)(const struct bs_export *export, void **state, struct bs_error *err);

    /* Writes a layer: `block` as the recipe has left it, its quantized linears with codes, and
     * `original` as the model has it. BS_EIO; BS_EUNSUPPORTED for what only shows in the numbers.
     */
    enum bs_status (*block)(void *state, const struct bs_block *original,
                            const struct bs_block *block, struct bs_error *err);

    /* Writes what is outside the blocks and ends the files, all of them durable (fsync). */
    enum bs_status (*close)(void *state, struct bs_error *err);
    void (*free)(void *state);

    /* The type that the values are rounded to by whoever reads codes of this setting from such a
     * file. NULL: they are not, BS_F32. */
    enum bs_dtype (*read_as)(const struct bs_setting *weights);

    /* Decodes codes of a block's linear into weight [out][in] as whoever reads them does, where
     * that rounds in more steps than codes do; false where it does not. NULL: it never does. */
    bool (*decode)(const struct bs_codes *codes, float *weight);
};

/* All writers. */
extern const struct bs_registry bs_writer_registry;

/* The one of this name, in which a hyphen is as good as an underscore; NULL where there is none. */
const struct bs_writer *bs_writer_find(const char *name);

#endif
