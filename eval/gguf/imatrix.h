/* Importance matrices: of the inputs of every matrix product the sums of squares, as llama.cpp's
 * tools exchange them (ggml-org/llama.cpp tools/imatrix/imatrix.cpp, common/imatrix-loader.cpp), in
 * GGUF files and in the layout before them. */
#ifndef BS_EVAL_GGUF_IMATRIX_H
#define BS_EVAL_GGUF_IMATRIX_H

#include <stdbool.h>
#include <stddef.h>

#include "eval/base/error.h"
#include "eval/base/file.h"

/* What one tensor was multiplied with: of each of its matrices (one, or one an expert) the sums of
 * x^2 over all rows, and how many rows there were. */
struct bs_imatrix_entry {
    char *name;           /* "blk.0.attn_q.weight"; owned */
    size_t columns;       /* of a matrix; in a file of the older layout of all of them */
    size_t matrices;      /* counts there are */
    float *sums, *counts; /* [matrices][columns], [matrices]; owned */
};

/* What a file holds, by the names of entries. Starts as zeros. */
struct bs_imatrix {
    size_t count;
    struct bs_imatrix_entry *entries; /* owned */
    int chunks, chunk_size;           /* windows, and tokens of one */
    char *dataset;                    /* the text; owned, NULL = not said */
    bool legacy;                      /* its layout is the older one */
    struct bs_digest digest;          /* of the file that it was read from */
};
void bs_imatrix_release(struct bs_imatrix *imatrix);

/* Reads a file of either layout: one that begins with "GGUF" is of the newer one. BS_EDATA naming
 * the file and the place where it is damaged, has no entry, or a number in it is not finite;
 * BS_EIO, BS_ENOMEM. */
enum bs_status bs_imatrix_read(const char *path, struct bs_imatrix *imatrix, struct bs_error *err);

/* Adds an entry of zeros; it is lent until the next one is added. NULL: memory ran out. */
struct bs_imatrix_entry *bs_imatrix_add(struct bs_imatrix *imatrix, const char *name,
                                        size_t columns, size_t matrices);

/* The entry of this name, or NULL. */
const struct bs_imatrix_entry *bs_imatrix_find(const struct bs_imatrix *imatrix, const char *name);

/* The values of an entry: sums over counts, and 1 where a count is 0, as llama-quantize has them.
 * means [matrices][columns]. */
void bs_imatrix_means(const struct bs_imatrix *imatrix, const struct bs_imatrix_entry *entry,
                      float *means);

/* Writes it under this name, as llama-imatrix does: in the older layout where the name ends in
 * ".dat", else as GGUF. The file is there whole or not at all. BS_EIO, BS_ENOMEM. */
enum bs_status bs_imatrix_write(const char *path, struct bs_imatrix *imatrix, struct bs_error *err);

#endif
