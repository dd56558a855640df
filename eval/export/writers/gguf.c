/* GGUF files, as llama.cpp runs them: a tensor in the type that its place is quantized to, the
 * others as the checkpoint has them, vectors in F32. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/checkpoint/tensor.h"
#include "eval/export/gguf_metadata.h"
#include "eval/export/gguf_types.h"
#include "eval/export/mark.h"
#include "eval/export/writer.h"
#include "eval/linalg/bfloat16.h"
#include "eval/model/stored.h"
#include "eval/recipe/assign.h"

enum { CHUNK_ROWS = 256, MOST_SPAN = 256, QUANTIZATION_VERSION = 2 };

static const struct bs_option gguf_options[] = {
    BS_OPT_WORDS(
        struct bs_gguf_options, plain, BS_CHOICE, BS_GGUF_PLAIN_AUTO, 0, 3, bs_gguf_plain_words,
        "the type of matrices that are not quantized; auto = as the checkpoint has them, f32 "
        "where a step of the recipe rewrites them"),
    {.name = NULL},
};

/* A file on its way. */
struct state {
    const struct bs_export *export;
    struct bs_gguf_target target;
    struct bs_gguf_writer *writer;
    struct bs_gguf_factors factors;
    unsigned char *row;          /* of the widest matrix, in any type */
    struct bs_gguf_row *rows;    /* of the tallest */
    struct bs_gguf_matrix *list; /* [BS_MAX_SLOTS], of the layer at hand */
};

static const struct bs_gguf_type *type_of(uint32_t id) { return bs_gguf_type_find(id); }

/* --- the list of tensors, in the order in which they are written --- */

static enum bs_status add_dims(struct state *s, const char *name, const char *ending,
                               const struct bs_gguf_type *type, int rank, const int64_t *dims,
                               struct bs_error *err)
{
    char whole[BS_GGUF_NAME_BYTES + 16];
    if (!type)
        return err->status;
    snprintf(whole, sizeof whole, "%.*s%s", BS_GGUF_NAME_BYTES, name, ending);
    return bs_gguf_add(s->writer, whole, type, rank, dims, err);
}

static enum bs_status add(struct state *s, const char *name, const char *ending,
                          const struct bs_gguf_type *type, int rank, int64_t width, int64_t rows,
                          struct bs_error *err)
{
    return add_dims(s, name, ending, type, rank, (const int64_t[]){width, rows}, err);
}

/* Factors of frequencies come first: a reader of the architecture looks at them. */
static enum bs_status add_factors(struct state *s, struct bs_error *err)
{
    if (s->factors.count && add(s, s->factors.both ? "rope_factors_short" : "rope_freqs", ".weight",
                                type_of(BS_GGML_F32), 1, s->factors.count, 1, err))
        return err->status;
    return s->factors.both ? add(s, "rope_factors_long", ".weight", type_of(BS_GGML_F32), 1,
                                 s->factors.count, 1, err)
                           : BS_OK;
}

static enum bs_status add_outer(struct state *s, struct bs_error *err)
{
    const struct bs_architecture *a = &s->target.architecture;
    const struct bs_family *stored = &a->stored;
    const struct bs_setting *setting;
    struct bs_gguf_outer list[BS_GGUF_MOST_OUTER];
    int count = bs_gguf_outer(s->export->model, &s->target, list);
    if (add(s, stored->embedding, ".weight",
            bs_gguf_outer_type(s->export, BS_EMBEDDING, &setting, err), 2, a->embedding_size,
            a->vocab_size, err))
        return err->status;
    for (int i = 0; i < count; i++) {
        const struct bs_tensor *t = list[i].tensor;
        if (add(s, list[i].name, list[i].ending, type_of(BS_GGML_F32), t->rank,
                t->shape[t->rank - 1], t->rank > 1 ? t->shape[0] : 1, err))
            return err->status;
    }
    if (!a->tied_head &&
        add(s, stored->head, ".weight", bs_gguf_outer_type(s->export, BS_HEAD, &setting, err), 2,
            a->embedding_size, a->vocab_size, err))
        return err->status;
    return BS_OK;
}

/* Dimensions of a norm's vector: q's and k's may have a row for each head. */
static void norm_shape(const struct bs_architecture *a, enum bs_norm_place n, int *rank,
                       int64_t dims[2])
{
    bool heads = (n == BS_NORM_Q || n == BS_NORM_K) && a->stored.qk_norm == BS_QK_NORM_EACH_HEAD;
    int width = bs_norm_width(a, n);
    *rank = heads ? 2 : 1;
    dims[0] = heads ? a->head_dim : width;
    dims[1] = heads ? width / a->head_dim : 1;
}

static enum bs_status add_norms(struct state *s, int layer, struct bs_error *err)
{
    static const char *const endings[] = {".weight", ".bias"};
    const struct bs_architecture *a = &s->target.architecture;
    for (int n = 0; n < BS_NUM_NORMS; n++) {
        enum bs_norm_place place = (enum bs_norm_place)n;
        char name[BS_GGUF_NAME_BYTES];
        int rank;
        int64_t dims[2];
        if (!bs_has_norm(a, place))
            continue;
        norm_shape(a, place, &rank, dims);
        bs_gguf_norm_name(&s->target, layer, place, name);
        int vectors = bs_norm_vectors(bs_norm_kind_at(a, place));
        assert(vectors <= (int)(sizeof endings / sizeof *endings));
        for (int v = 0; v < vectors; v++)
            if (add(s, name, endings[v], type_of(BS_GGML_F32), rank, dims[0], dims[1], err))
                return err->status;
    }
    return BS_OK;
}

/* Vectors that are neither norms nor biases: sinks, what experts are chosen by. */
static enum bs_status add_vectors(struct state *s, int layer, struct bs_error *err)
{
    const struct bs_architecture *a = &s->target.architecture;
    for (int v = 0; v < BS_NUM_VECTORS; v++) {
        char name[BS_GGUF_NAME_BYTES];
        int width = bs_vector_width(a, layer, (enum bs_vector)v);
        if (!width)
            continue;
        snprintf(name, sizeof name, "blk.%d.%s", layer, a->stored.vectors[v]);
        if (add(s, name, "", type_of(BS_GGML_F32), 1, width, 1, err))
            return err->status;
    }
    return BS_OK;
}

static enum bs_status add_matrix(struct state *s, const struct bs_gguf_matrix *matrix,
                                 const struct bs_gguf_type *type, struct bs_error *err)
{
    int rank = matrix->experts ? 3 : 2;
    const int64_t weight[] = {matrix->in, matrix->out, matrix->experts};
    const int64_t bias[] = {matrix->out, matrix->experts};
    return add_dims(s, matrix->name, ".weight", type, rank, weight, err) ||
                   (matrix->biased &&
                    add_dims(s, matrix->name, ".bias", type_of(BS_GGML_F32), rank - 1, bias, err))
               ? err->status
               : BS_OK;
}

static enum bs_status add_layer(struct state *s, int layer, struct bs_error *err)
{
    const struct bs_architecture *a = bs_model_architecture(s->export->model);
    struct bs_assignment at;
    int count = bs_gguf_matrices(&s->target, layer, s->list);
    bs_recipe_assign(s->export->recipe, a, layer, &at);
    if (add_norms(s, layer, err) || add_vectors(s, layer, err))
        return err->status;
    for (int m = 0; m < count; m++) {
        const struct bs_gguf_matrix *matrix = &s->list[m];
        const struct bs_tensor *tensor =
            bs_model_slot_tensor(s->export->model, layer, matrix->first);
        if (add_matrix(s, matrix, bs_gguf_matrix_type(s->export, layer, &at, matrix, tensor, err),
                       err))
            return err->status;
    }
    return BS_OK;
}

/* --- metadata --- */

static enum bs_status put_metadata(struct state *s, struct bs_error *err)
{
    const char *directory = bs_model_directory(s->export->model);
    const struct bs_architecture *a = &s->target.architecture;
    enum bs_status status;
    if (bs_model_is_gguf(s->export->model))
        status = bs_gguf_copy_metadata(directory, s->writer, err);
    else
        status = bs_gguf_put_text(s->writer, "general.architecture", s->target.arch, err) ||
                         bs_gguf_put_text(s->writer, "general.type", "model", err) ||
                         bs_gguf_put_architecture(&s->target, s->writer, err) ||
                         bs_gguf_put_tokenizer(directory, a->vocab_size, s->writer,
                                               s->export->notes, err)
                     ? err->status
                     : BS_OK;
    if (status)
        return status;
    return bs_gguf_put_count(s->writer, "general.file_type", bs_gguf_file_type(s->export), err) ||
                   bs_gguf_put_count(s->writer, "general.quantization_version",
                                     QUANTIZATION_VERSION, err) ||
                   bs_export_mark_gguf(s->export, s->writer, err)
               ? err->status
               : BS_OK;
}

/* --- bytes --- */

/* Floats as one of the plain types. */
static enum bs_status put_floats(struct state *s, const struct bs_gguf_type *type, const float *x,
                                 size_t count, struct bs_error *err)
{
    if (type->id == BS_GGML_F32)
        return bs_gguf_data(s->writer, x, count * sizeof *x, err);
    uint16_t *to = (uint16_t *)(void *)s->row;
    const float beyond = 65520; /* rounds to infinity */
    for (size_t i = 0; i < count; i++)
        if (type->id == BS_GGML_F16 && isfinite(x[i]) && fabsf(x[i]) >= beyond)
            return bs_fail(err, BS_EUNSUPPORTED,
                           "a weight of %g is beyond what F16 holds, expected plain=f32 or "
                           "plain=bf16",
                           (double)x[i]);
    for (size_t i = 0; i < count; i++)
        to[i] = type->id == BS_GGML_F16 ? bs_half_of(x[i]) : bs_to_bfloat16(x[i]);
    return bs_gguf_data(s->writer, to, count * sizeof *to, err);
}

static enum bs_status put_codes(struct state *s, const struct bs_gguf_type *type,
                                const struct bs_codes *codes, int i, struct bs_error *err)
{
    uint16_t room[MOST_SPAN];
    size_t bytes = (size_t)codes->layout.in / type->values * type->bytes;
    assert(codes->layout.span <= MOST_SPAN);
    memset(s->row, 0, bytes);
    bs_codes_pack_row(codes, i, room, &(struct bs_bits){.bytes = s->row});
    return bs_gguf_data(s->writer, s->row, bytes, err);
}

/* Row i of a linear. */
static enum bs_status put_row(struct state *s, const struct bs_gguf_type *type,
                              const struct bs_linear *linear, int i, struct bs_error *err)
{
    size_t in = (size_t)linear->in_features;
    if (linear->codes.codes)
        return put_codes(s, type, &linear->codes, i, err);
    if (!type->decode)
        return put_floats(s, type, linear->weight + (size_t)i * in, in, err);
    const unsigned char *row = bs_linear_blocks(linear, i);
    if (!row)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: its weights are no longer those of the file's blocks: set plain=f32",
                       linear->name);
    return bs_gguf_data(s->writer, row, in / type->values * type->bytes, err);
}

static enum bs_status put_matrix(struct state *s, const struct bs_block *block,
                                 const struct bs_gguf_matrix *matrix,
                                 const struct bs_gguf_type *type, struct bs_error *err)
{
    if (!type)
        return err->status;
    int rows = bs_gguf_num_rows(matrix);
    bs_gguf_rows(&s->target, block->index, matrix, s->rows);
    for (int r = 0; r < rows; r++) {
        const struct bs_linear *linear = &block->linears[s->rows[r].slot];
        if (put_row(s, type, linear, s->rows[r].row, err))
            return bs_fail_within(err, "%s", matrix->name);
    }
    for (int r = 0; matrix->biased && r < rows; r++)
        if (put_floats(s, type_of(BS_GGML_F32),
                       block->linears[s->rows[r].slot].bias + s->rows[r].row, 1, err))
            return err->status;
    return BS_OK;
}

static enum bs_status put_norms(struct state *s, const struct bs_block *block, struct bs_error *err)
{
    for (int n = 0; n < BS_NUM_NORMS; n++) {
        const struct bs_norm *norm = &block->norms[n];
        int vectors = norm->width ? bs_norm_vectors(norm->kind) : 0;
        if ((vectors > 0 &&
             put_floats(s, type_of(BS_GGML_F32), norm->weight, (size_t)norm->width, err)) ||
            (vectors > 1 &&
             put_floats(s, type_of(BS_GGML_F32), norm->bias, (size_t)norm->width, err)))
            return err->status;
    }
    return BS_OK;
}

/* As add_vectors lists them. */
static enum bs_status put_vectors(struct state *s, const struct bs_block *block,
                                  struct bs_error *err)
{
    for (int v = 0; v < BS_NUM_VECTORS; v++) {
        int width = bs_vector_width(&s->target.architecture, block->index, (enum bs_vector)v);
        if (width && put_floats(s, type_of(BS_GGML_F32), block->vectors[v], (size_t)width, err))
            return err->status;
    }
    return BS_OK;
}

/* --- outside the blocks --- */

static enum bs_status put_vector(struct state *s, const struct bs_gguf_outer *outer,
                                 struct bs_error *err)
{
    size_t count = outer->tensor->count;
    float *values = bs_alloc(count, sizeof *values);
    if (!values)
        return bs_fail_memory(err);
    bs_tensor_read(outer->tensor, 0, count, values);
    for (size_t i = 0; outer->plus_one && i < count; i++)
        values[i] += 1;
    enum bs_status status = put_floats(s, type_of(BS_GGML_F32), values, count, err);
    bs_free(values);
    return status;
}

/* Rows of a matrix that are codes, or plain numbers. */
static enum bs_status put_some(struct state *s, const struct bs_gguf_type *type,
                               const struct bs_outer_rounding *rounding, int first, int count,
                               const float *values, size_t width, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    if (!rounding->setting) {
        for (int i = 0; i < count && !status; i++)
            status = put_floats(s, type, values + (size_t)i * width, width, err);
        return status;
    }
    struct bs_codes codes;
    status = bs_outer_codes(rounding, first, count, values, &codes, err);
    for (int i = 0; i < count && !status; i++)
        status = put_codes(s, type, &codes, i, err);
    bs_codes_release(&codes);
    return status;
}

static enum bs_status put_rows(struct state *s, const struct bs_tensor *tensor,
                               const struct bs_gguf_type *type,
                               const struct bs_outer_rounding *rounding, struct bs_error *err)
{
    int rows = (int)tensor->shape[0];
    size_t width = (size_t)tensor->shape[1];
    if (!rounding->setting && type->decode)
        return bs_gguf_data(s->writer, tensor->coded->parts[0].data,
                            (size_t)rows * (width / type->values) * type->bytes, err);
    float *values = bs_alloc(CHUNK_ROWS * width, sizeof *values);
    if (!values)
        return bs_fail_memory(err);
    enum bs_status status = BS_OK;
    for (int first = 0; first < rows && !status; first += CHUNK_ROWS) {
        int count = rows - first < CHUNK_ROWS ? rows - first : CHUNK_ROWS;
        bs_tensor_read(tensor, (size_t)first * width, (size_t)count * width, values);
        status = put_some(s, type, rounding, first, count, values, width, err);
    }
    bs_free(values);
    return status;
}

static enum bs_status put_outer_matrix(struct state *s, enum bs_outer which, struct bs_error *err)
{
    const struct bs_setting *setting;
    const struct bs_gguf_type *type = bs_gguf_outer_type(s->export, which, &setting, err);
    struct bs_outer_rounding rounding;
    if (!type || bs_outer_rounding_init(s->export->model, which, setting,
                                        s->export->outer_importance[which], NULL, &rounding, err))
        return err->status;
    const struct bs_tensor *tensor = bs_model_outer_tensor(s->export->model, which);
    enum bs_status status = put_rows(s, tensor, type, &rounding, err);
    bs_stored_forget(s->export->model, tensor);
    bs_outer_rounding_release(&rounding);
    return status;
}

/* As add_outer lists them. */
static enum bs_status put_outer(struct state *s, struct bs_error *err)
{
    struct bs_gguf_outer list[BS_GGUF_MOST_OUTER];
    int count = bs_gguf_outer(s->export->model, &s->target, list);
    enum bs_status status = put_outer_matrix(s, BS_EMBEDDING, err);
    for (int i = 0; i < count && !status; i++)
        status = put_vector(s, &list[i], err);
    if (!status && !s->target.architecture.tied_head)
        status = put_outer_matrix(s, BS_HEAD, err);
    return status;
}

static enum bs_status put_factors(struct state *s, struct bs_error *err)
{
    size_t count = (size_t)s->factors.count;
    if (count && put_floats(s, type_of(BS_GGML_F32), s->factors.near, count, err))
        return err->status;
    return s->factors.both ? put_floats(s, type_of(BS_GGML_F32), s->factors.far, count, err)
                           : BS_OK;
}

/* --- hooks --- */

static void gguf_free(void *state)
{
    struct state *s = state;
    if (!s)
        return;
    bs_gguf_writer_free(s->writer);
    bs_free(s->row);
    bs_free(s->rows);
    bs_free(s->list);
    bs_free(s);
}

static enum bs_status allocate(struct state *s, struct bs_error *err)
{
    int widest = s->target.architecture.embedding_size, tallest = 1;
    s->list = bs_alloc(BS_MAX_SLOTS, sizeof *s->list);
    if (!s->list)
        return bs_fail_memory(err);
    for (int l = 0; l < s->target.architecture.num_layers; l++) {
        int count = bs_gguf_matrices(&s->target, l, s->list);
        for (int m = 0; m < count; m++) {
            int rows = bs_gguf_num_rows(&s->list[m]);
            widest = s->list[m].in > widest ? s->list[m].in : widest;
            tallest = rows > tallest ? rows : tallest;
        }
    }
    s->row = bs_alloc((size_t)widest, sizeof(float));
    s->rows = bs_alloc((size_t)tallest, sizeof *s->rows);
    s->writer = bs_gguf_writer_create();
    return s->row && s->rows && s->writer ? BS_OK : bs_fail_memory(err);
}

/* Metadata and the list of tensors. */
static enum bs_status prepare(const struct bs_export *export, struct state **state,
                              struct bs_error *err)
{
    struct state *s = *state = bs_calloc(1, sizeof *s);
    if (!s)
        return bs_fail_memory(err);
    s->export = export;
    if (bs_gguf_target_init(export->model, &s->target, err) || allocate(s, err))
        return err->status;
    bs_gguf_find_factors(export->model, &s->target.architecture, &s->factors);
    if (put_metadata(s, err) || add_factors(s, err) || add_outer(s, err))
        return err->status;
    for (int l = 0; l < s->target.architecture.num_layers; l++)
        if (add_layer(s, l, err))
            return err->status;
    return BS_OK;
}

/* llama.cpp rounds inputs as the type of the weights asks: types must be those that were measured,
 * of the checkpoint, and F32 of just those matrices that a step has rewritten. */
static enum bs_status check_products(const struct bs_export *export, struct bs_error *err)
{
    const struct bs_architecture *a = bs_model_architecture(export->model);
    const struct bs_gguf_options *own = export->options;
    if (own->plain != BS_GGUF_PLAIN_AUTO)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "plain is %s and the recipe multiplies as llama.cpp does, by the types that "
                       "the checkpoint has: expected plain=auto",
                       bs_gguf_plain_words[own->plain]);
    for (int l = 0; bs_gguf_rewrites(export->recipe) && l < a->num_layers; l++) {
        const struct bs_program *p = bs_program_of(a, l);
        struct bs_assignment at;
        bs_recipe_assign(export->recipe, a, l, &at);
        for (int s = 0; s < p->num_slots; s++) {
            const struct bs_tensor *t = bs_model_slot_tensor(export->model, l, s);
            if (!bs_setting_quantizes(at.weights[s]) && t && (t->coded || t->dtype != BS_F32))
                return bs_fail(err, BS_EUNSUPPORTED,
                               "layer %d, %s: not quantized, and written as F32 beside a step that "
                               "rewrites weights, where the recipe multiplies as llama.cpp does by "
                               "what the checkpoint has: expected compute: float32, or a format",
                               l, p->slots[s].name);
        }
    }
    return BS_OK;
}

static enum bs_status gguf_check(const struct bs_export *export, struct bs_error *err)
{
    struct state *s;
    if (bs_recipe_quantizes_activations(export->recipe))
        return bs_fail(err, BS_EUNSUPPORTED,
                       "activations are quantized, which GGUF files cannot say");
    if (export->recipe->compute == BS_AS_LLAMA_CPP && check_products(export, err))
        return err->status;
    enum bs_status status = prepare(export, &s, err);
    gguf_free(s);
    return status;
}

/* Whether a reader of the file computes with the same numbers: not everything that config.json
 * says can be said. The file is there with its whole size, though without most of its tensors. */
static enum bs_status check_numbers(const struct state *s, struct bs_error *err)
{
    const char *differs;
    struct bs_architecture *read = bs_alloc(1, sizeof *read);
    if (!read)
        return bs_fail_memory(err);
    enum bs_status status = bs_architecture_read(s->export->path, NULL, read, NULL, err);
    if (!status && (differs = bs_architecture_difference(&s->target.architecture, read)))
        status =
            bs_fail(err, BS_EUNSUPPORTED, "GGUF files of architecture %s cannot say the model's %s",
                    s->target.arch, differs);
    bs_free(read);
    return status;
}

static enum bs_status gguf_open(const struct bs_export *export, void **state, struct bs_error *err)
{
    struct state *s = NULL;
    enum bs_status status = prepare(export, &s, err);
    *state = s;
    if (!status)
        status = bs_gguf_begin(s->writer, export->path, err);
    if (!status)
        status = put_factors(s, err);
    if (!status)
        status = check_numbers(s, err);
    return status ? status : put_outer(s, err);
}

static enum bs_status gguf_block(void *state, const struct bs_block *original,
                                 const struct bs_block *block, struct bs_error *err)
{
    (void)original;
    struct state *s = state;
    struct bs_assignment at;
    int count = bs_gguf_matrices(&s->target, block->index, s->list);
    if (block->hidden_scale)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "block %d: the recipe divides the MLP's hidden values by factors, for which "
                       "GGUF files have no tensor here",
                       block->index);
    bs_recipe_assign(s->export->recipe, bs_model_architecture(s->export->model), block->index, &at);
    enum bs_status status = put_norms(s, block, err);
    if (!status)
        status = put_vectors(s, block, err);
    for (int m = 0; m < count && !status; m++) {
        const struct bs_gguf_matrix *matrix = &s->list[m];
        const struct bs_tensor *tensor =
            bs_model_slot_tensor(s->export->model, block->index, matrix->first);
        const struct bs_gguf_type *type =
            bs_gguf_matrix_type(s->export, block->index, &at, matrix, tensor, err);
        status = put_matrix(s, block, matrix, type, err);
    }
    return status;
}

static enum bs_status gguf_close(void *state, struct bs_error *err)
{
    struct state *s = state;
    return bs_gguf_end(s->writer, err);
}

const struct bs_writer bs_writer_gguf = {
    .plugin = {.name = "gguf",
               .summary =
                   "one file that llama.cpp runs; weights in its own types, mixes of them too",
               .reference = "ggml-org/ggml docs/gguf.md; ggml-org/llama.cpp conversion/",
               .options_size = sizeof(struct bs_gguf_options),
               .options = gguf_options},
    .ending = ".gguf",
    .check = gguf_check,
    .open = gguf_open,
    .block = gguf_block,
    .close = gguf_close,
    .free = gguf_free,
};
