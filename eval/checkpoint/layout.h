/* The layouts that quantized weights have in a checkpoint's files, each a plug-in that makes one
 * coded matrix of the tensors of a linear: its codes, scales, zero points. */
#ifndef BS_EVAL_CHECKPOINT_LAYOUT_H
#define BS_EVAL_CHECKPOINT_LAYOUT_H

#include <jansson.h>

#include "eval/base/lines.h"
#include "eval/base/plugin.h"
#include "eval/checkpoint/shard.h"

struct bs_assembly;

/* A layout. What the file says decides, not config.json alone: a linear without the tensors of the
 * layout is a plain one. */
struct bs_layout {
    struct bs_plugin plugin;
    const char *const *methods; /* what quantization_config calls it (quant_method);
                                   NULL-terminated */
    const char *const *endings; /* of the tensor by which a linear of it is known: ".qweight";
                                   NULL-terminated */
    size_t state_bytes;         /* of what `read` makes of the settings */

    /* Reads the settings into assembly->state. BS_EDATA, or BS_EUNSUPPORTED for what would change
     * the numbers and is not understood. NULL: there is nothing to read. */
    enum bs_status (*read)(struct bs_assembly *assembly, struct bs_error *err);

    /* Makes the coded matrix of the linear called `module`, which has the tensor `first`, by
     * bs_assembly_put. Nothing where that tensor is none of this layout's. */
    enum bs_status (*make)(struct bs_assembly *assembly, const char *module,
                           const struct bs_entry *first, struct bs_error *err);
};

/* All layouts. */
extern const struct bs_registry bs_layout_registry;

/* What config.json says of quantized weights. */
struct bs_quantization {
    const struct bs_layout *layout; /* NULL: nothing */
    const json_t *settings;         /* borrowed of config.json */
    const char *key;                /* where they stand */
};

/* Looks for it in a config.json; `path` is its. BS_EUNSUPPORTED where no layout is like it. */
enum bs_status bs_quantization_find(const char *path, const json_t *config,
                                    struct bs_quantization *found, struct bs_error *err);

/* A checkpoint whose quantized linears are put together. */
struct bs_assembly {
    struct bs_entries *entries; /* of the files, sorted */
    struct bs_entries made;     /* of the coded matrices */
    const struct bs_layout *layout;
    json_t *config; /* owned */
    const json_t *settings;
    char *place;              /* "DIR/config.json: quantization_config", owned */
    void *state;              /* the layout's, owned */
    struct bs_lines *notices; /* what there is to say of it, the caller's */
};

/* Reads what `directory` says of quantized weights: in config.json, or else in
 * quantize_config.json, which older programs write beside it. Without any, there is no layout. */
enum bs_status bs_assembly_open(struct bs_assembly *assembly, const char *directory,
                                struct bs_error *err);
void bs_assembly_close(struct bs_assembly *assembly);

/* Puts coded matrices in place of the tensors that they are of. */
enum bs_status bs_assembly_run(struct bs_assembly *assembly, struct bs_error *err);

/* For layouts: the tensor called `module` and `ending`, or NULL. */
const struct bs_entry *bs_assembly_find(const struct bs_assembly *assembly, const char *module,
                                        const char *ending);

enum { BS_ANY_EXTENT = -1 };

/* The same, which must be there, of one of these dtypes ("I32", "F16 BF16"), of this shape
 * (BS_ANY_EXTENT = whatever), and contiguous. BS_EDATA. */
enum bs_status bs_assembly_need(const struct bs_assembly *assembly, const char *module,
                                const char *ending, const char *dtypes, int rank,
                                const int64_t *shape, const struct bs_entry **entry,
                                struct bs_error *err);

/* Puts the coded matrix called `module` and `ending` in place of the tensors `spent` (NULL entries
 * are passed over), which are its parts. Takes `coded`, whose decode and scheme are filled in, also
 * where it fails; adds parts and bits. BS_ENOMEM. */
enum bs_status bs_assembly_put(struct bs_assembly *assembly, const char *module, const char *ending,
                               int rank, const int64_t *shape, struct bs_coded *coded,
                               const struct bs_entry *const *spent, int num_spent,
                               struct bs_error *err);

/* Takes a tensor out of the checkpoint that is no weight, such as the scale of a static activation:
 * NULL is passed over. What that leaves out is the layout's to say. */
void bs_assembly_drop(struct bs_assembly *assembly, const struct bs_entry *entry);

/* The number in the tensor called `module` and `ending`, of one element of one of these dtypes,
 * which must be there. BS_EDATA. */
enum bs_status bs_assembly_number(const struct bs_assembly *assembly, const char *module,
                                  const char *ending, const char *dtypes, float *value,
                                  struct bs_error *err);

/* The same of a scale of activations: a float above 0. */
enum bs_status bs_assembly_scale(const struct bs_assembly *assembly, const char *module,
                                 const char *ending, float *value, struct bs_error *err);

/* Of the settings: a whole number between least and most, or `missing` where there is none or null
 * (of `missing` below `least`: BS_EDATA); a text; a truth value. */
enum bs_status bs_layout_int(const struct bs_assembly *assembly, const json_t *object,
                             const char *key, int least, int most, int missing, int *value,
                             struct bs_error *err);
const char *bs_layout_word(const json_t *object, const char *key, const char *missing);
bool bs_layout_true(const json_t *object, const char *key, bool missing);

#endif
