/* Importance from files: what the matrices that recipes name hold of each linear of a model. */
#ifndef BS_EVAL_RUN_IMPORTANCE_H
#define BS_EVAL_RUN_IMPORTANCE_H

#include "eval/base/lines.h"
#include "eval/gguf/imatrix.h"
#include "eval/recipe/recipe.h"

/* A file, its values as those of the model's linears. */
struct bs_importance_file {
    struct bs_imatrix imatrix;
    float **means; /* [imatrix.count], owned: bs_imatrix_means of each entry */
};

/* Files that recipes name, each once. Starts as zeros. */
struct bs_importance_files {
    int count;
    struct bs_importance_file *files; /* owned */
};

/* Opens the files that a recipe's weights name and that are not open yet, and holds them against
 * the model: adds to `notices` a line for a file that lacks linears, which are rounded as if all
 * their columns counted alike, as llama-quantize does. BS_EDATA as bs_imatrix_read, where the file
 * is not the one that the config named as it was read, or is of another model: an entry has another
 * number of values, or no linear has one; BS_ENOMEM. */
enum bs_status bs_importance_open(const struct bs_recipe *recipe,
                                  const struct bs_architecture *architecture,
                                  struct bs_importance_files *files, struct bs_lines *notices,
                                  struct bs_error *err);
void bs_importance_close(struct bs_importance_files *files);

/* What a setting's file has of a slot of a layer, [in]; of a matrix outside the blocks. NULL where
 * it names no file, that has nothing of it, or `files` is NULL. Borrowed from `files`. */
const float *bs_importance_of(const struct bs_importance_files *files,
                              const struct bs_setting *setting,
                              const struct bs_architecture *architecture, int layer, int slot);
const float *bs_importance_of_outer(const struct bs_importance_files *files,
                                    const struct bs_setting *setting,
                                    const struct bs_architecture *architecture,
                                    enum bs_outer which);

#endif
