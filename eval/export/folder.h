/* A folder as transformers reads it: safetensors, config.json and the files beside it. What layouts
 * of quantized weights have in common; they differ in the tensors of a linear and in what
 * config.json says of them. */
#ifndef BS_EVAL_EXPORT_FOLDER_H
#define BS_EVAL_EXPORT_FOLDER_H

#include <jansson.h>

#include "eval/checkpoint/safetensors_write.h"
#include "eval/export/places.h"

struct bs_export_folder;

/* Which of the matrices outside the blocks a layout has codes for. */
enum bs_export_outer { BS_EXPORT_NO_OUTER, BS_EXPORT_HEAD, BS_EXPORT_ALL_OUTER };

/* A layout of quantized weights. */
struct bs_export_layout {
    enum bs_export_outer outer;

    /* Refuses a place whose weights, or inputs, are quantized in a way that the layout does not
     * have. BS_EUNSUPPORTED. */
    enum bs_status (*check)(const struct bs_export *export, const struct bs_export_place *place,
                            struct bs_error *err);

    /* Refuses places that do not go together. NULL = all do. */
    enum bs_status (*check_all)(const struct bs_export *export,
                                const struct bs_export_places *places, struct bs_error *err);

    /* Writes the tensors of a place whose codes these are, by bs_export_put. BS_EIO, BS_ENOMEM;
     * BS_EUNSUPPORTED. */
    enum bs_status (*matrix)(struct bs_export_folder *folder, const struct bs_export_place *place,
                             const struct bs_codes *codes, struct bs_error *err);

    /* What config.json says as quantization_config, in new memory; NULL when memory runs out.
     * NULL = nothing. */
    json_t *(*settings)(const struct bs_export_folder *folder);

    const char *also; /* a file of its own that says the same; NULL = none */
};

/* A folder on its way. */
struct bs_export_folder {
    const struct bs_export *export;
    const struct bs_export_layout *layout;
    struct bs_safetensors *tensors;
    struct bs_export_places places;
    struct bs_stored_linear *list; /* [BS_MAX_SLOTS], of the layer at hand */
    double damping;                /* the largest that a linear's algorithm needed; 0 = none */
};

/* struct bs_writer's hooks, of a folder in this layout; `export` outlives the state. */
enum bs_status bs_export_folder_check(const struct bs_export *export,
                                      const struct bs_export_layout *layout, struct bs_error *err);
enum bs_status bs_export_folder_open(const struct bs_export *export,
                                     const struct bs_export_layout *layout, void **state,
                                     struct bs_error *err);
enum bs_status bs_export_folder_block(void *state, const struct bs_block *original,
                                      const struct bs_block *block, struct bs_error *err);
enum bs_status bs_export_folder_close(void *state, struct bs_error *err);
void bs_export_folder_free(void *state);

/* For layouts: adds the tensor called module and ending. */
enum bs_status bs_export_put(struct bs_export_folder *folder, const char *module,
                             const char *ending, const char *dtype, int rank, const int64_t *shape,
                             const void *data, struct bs_error *err);

/* Copies the files of a model that are neither weights nor config.json and that its users need:
 * tokenizer, generation_config.json, license. BS_EIO, BS_ENOMEM. */
enum bs_status bs_export_copy_files(const char *from, const char *to, struct bs_error *err);

#endif
