#include "eval/run/export_proof.h"

#include <math.h>
#include <string.h>

#include "eval/base/float_bits.h"
#include "eval/base/mem.h"
#include "eval/checkpoint/layouts/grid.h"
#include "eval/linalg/elementary.h"
#include "eval/model/gguf_target.h"
#include "eval/recipe/assign.h"

enum { CHUNK = 4096 };

enum bs_status bs_export_proof_init(struct bs_export_proof *proof,
                                    const struct bs_architecture *architecture,
                                    const struct bs_writer *writer, struct bs_error *err)
{
    *proof = (struct bs_export_proof){
        .architecture = architecture, .writer = writer, .parts = bs_most_linears(architecture) + 1};
    size_t count = (size_t)architecture->num_layers * (size_t)proof->parts;
    proof->digests = bs_calloc(count, sizeof *proof->digests);
    return proof->digests ? BS_OK : bs_fail_memory(err);
}

void bs_export_proof_release(struct bs_export_proof *proof)
{
    bs_free(proof->digests);
    proof->digests = NULL;
}

/* Adds values as they are read from a file that rounds them to a type; 0 and -0 are one. */
static void add(struct bs_digest_state *state, const float *values, size_t count, enum bs_dtype as)
{
    float chunk[CHUNK];
    for (size_t at = 0; at < count; at += CHUNK) {
        size_t here = count - at < CHUNK ? count - at : CHUNK;
        for (size_t j = 0; j < here; j++)
            chunk[j] = bs_grid_rounded(as, values[at + j]) + 0.0f;
        bs_digest_add(state, chunk, here * sizeof *chunk);
    }
}

static enum bs_status digest_linear(const struct bs_linear *linear, const float *weight,
                                    enum bs_dtype as, struct bs_digest *digest,
                                    struct bs_error *err)
{
    struct bs_digest_state *state = bs_digest_create();
    if (!state)
        return bs_fail_memory(err);
    size_t out = (size_t)linear->out_features;
    add(state, weight, out * (size_t)linear->in_features, as);
    if (linear->bias)
        add(state, linear->bias, out, BS_F32);
    *digest = bs_digest_finish(state);
    return BS_OK;
}

/* Norms, and the vectors that attention has. */
static enum bs_status digest_norms(const struct bs_block *block, struct bs_digest *digest,
                                   struct bs_error *err)
{
    struct bs_digest_state *state = bs_digest_create();
    if (!state)
        return bs_fail_memory(err);
    for (int n = 0; n < BS_NUM_NORMS; n++) {
        const struct bs_norm *norm = &block->norms[n];
        add(state, norm->weight, (size_t)norm->width, BS_F32);
        if (norm->bias)
            add(state, norm->bias, (size_t)norm->width, BS_F32);
    }
    for (int v = 0; v < BS_NUM_VECTORS; v++)
        if (block->vectors[v])
            add(state, block->vectors[v],
                (size_t)bs_vector_width(block->architecture, block->index, (enum bs_vector)v),
                BS_F32);
    *digest = bs_digest_finish(state);
    return BS_OK;
}

/* A linear as it is read from the files. */
static enum bs_status take_linear(struct bs_export_proof *proof, const struct bs_linear *linear,
                                  struct bs_digest *digest, struct bs_error *err)
{
    const struct bs_writer *writer = proof->writer;
    bool coded = linear->codes.codes != NULL;
    enum bs_dtype as = BS_F32;
    float *decoded = NULL;
    if (coded && writer->read_as)
        as = writer->read_as(linear->codes.setting);
    if (coded && writer->decode) {
        decoded =
            bs_alloc((size_t)linear->out_features * (size_t)linear->in_features, sizeof *decoded);
        if (!decoded)
            return bs_fail_memory(err);
    }
    bool other = decoded && writer->decode(&linear->codes, decoded);
    proof->matrices += coded;
    proof->rounded |= as != BS_F32 || other;
    enum bs_status status =
        digest_linear(linear, other ? decoded : linear->weight, as, digest, err);
    bs_free(decoded);
    return status;
}

enum bs_status bs_export_proof_take(struct bs_export_proof *proof, const struct bs_block *block,
                                    struct bs_error *err)
{
    struct bs_digest *own = proof->digests + (size_t)block->index * (size_t)proof->parts;
    for (int s = 0; s < block->program->num_slots; s++)
        if (take_linear(proof, &block->linears[s], &own[s], err))
            return err->status;
    return digest_norms(block, &own[block->program->num_slots], err);
}

static enum bs_status compare_block(const struct bs_export_proof *proof,
                                    const struct bs_block *block, struct bs_error *err)
{
    const struct bs_digest *own = proof->digests + (size_t)block->index * (size_t)proof->parts;
    int slots = block->program->num_slots;
    for (int k = 0; k <= slots; k++) {
        struct bs_digest now;
        if (k < slots
                ? digest_linear(&block->linears[k], block->linears[k].weight, BS_F32, &now, err)
                : digest_norms(block, &now, err))
            return err->status;
        if (strcmp(now.hex, own[k].hex))
            return bs_fail(err, BS_EDATA, "layer %d, %s: what is read back is not what was written",
                           block->index, k < slots ? block->linears[k].name : "the norms");
    }
    return BS_OK;
}

enum bs_status bs_export_proof_compare(const struct bs_export_proof *proof,
                                       const struct bs_model *model, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    for (int layer = 0; layer < proof->architecture->num_layers && !status; layer++) {
        struct bs_block block;
        status = bs_block_load(model, layer, &block, err);
        if (!status)
            status = compare_block(proof, &block, err);
        bs_block_release(&block);
    }
    return status;
}

/* ---- outside the blocks ---- */

static enum bs_status fail_outer(const char *what, struct bs_error *err)
{
    return bs_fail(err, BS_EDATA, "%s: what is read back is not what was written", what);
}

static bool same(const float *a, const float *b, size_t count, enum bs_dtype as)
{
    for (size_t i = 0; i < count; i++)
        if (bs_bits_of_float(bs_grid_rounded(as, a[i]) + 0.0f) != bs_bits_of_float(b[i] + 0.0f))
            return false;
    return true;
}

static enum bs_status compare_part(const struct bs_model *written, const struct bs_model *read,
                                   enum bs_outer_part part, struct bs_error *err)
{
    float *a = NULL, *b = NULL;
    size_t count, other;
    enum bs_status status = bs_model_outer_part(written, part, &a, &count, err);
    if (!status)
        status = bs_model_outer_part(read, part, &b, &other, err);
    if (!status && (count != other || !same(a, b, count, BS_F32)))
        status = fail_outer(bs_outer_part_names[part], err);
    bs_free(a);
    bs_free(b);
    return status;
}

/* Rows of embedding or head, some at a time. */
static enum bs_status compare_rows(const struct bs_outer_rounding *rounding,
                                   const struct bs_tensor *written, const struct bs_tensor *read,
                                   enum bs_dtype as, const char *name, struct bs_error *err)
{
    enum { ROWS = 256 };
    int rows = (int)written->shape[0];
    size_t width = (size_t)written->shape[1];
    float *a = bs_alloc(ROWS * width, sizeof *a), *b = bs_alloc(ROWS * width, sizeof *b);
    enum bs_status status = a && b ? BS_OK : bs_fail_memory(err);
    for (int first = 0; first < rows && !status; first += ROWS) {
        int count = rows - first < ROWS ? rows - first : ROWS;
        bs_tensor_read(written, (size_t)first * width, (size_t)count * width, a);
        bs_tensor_read(read, (size_t)first * width, (size_t)count * width, b);
        bs_outer_round(rounding, first, count, a);
        if (!same(a, b, (size_t)count * width, as))
            status = fail_outer(name, err);
    }
    bs_free(a);
    bs_free(b);
    return status;
}

static enum bs_status compare_matrix(struct bs_export_proof *proof, const struct bs_export *export,
                                     const struct bs_model *model, enum bs_outer which,
                                     struct bs_error *err)
{
    const struct bs_architecture *a = bs_model_architecture(export->model);
    struct bs_place places[BS_NUM_OUTER];
    struct bs_outer_assignment outer;
    struct bs_outer_rounding rounding;
    bs_outer_places(a, places);
    bs_recipe_assign_outer(export->recipe, a, &outer);
    if (bs_outer_rounding_init(export->model, which, outer.of[which],
                               export->outer_importance[which], NULL, &rounding, err))
        return err->status;
    enum bs_dtype as = BS_F32;
    if (rounding.setting && proof->writer->read_as)
        as = proof->writer->read_as(rounding.setting);
    proof->rounded |= as != BS_F32;
    proof->matrices += rounding.setting != NULL;
    enum bs_status status =
        compare_rows(&rounding, bs_model_outer_tensor(export->model, which),
                     bs_model_outer_tensor(model, which), as, places[which].name, err);
    bs_outer_rounding_release(&rounding);
    return status;
}

enum bs_status bs_export_proof_compare_outer(struct bs_export_proof *proof,
                                             const struct bs_export *export,
                                             const struct bs_model *model, struct bs_error *err)
{
    bool tied = proof->architecture->tied_head;
    for (int p = 0; p < BS_NUM_OUTER_PARTS; p++)
        if (compare_part(export->model, model, (enum bs_outer_part)p, err))
            return err->status;
    for (int w = 0; w < (tied ? BS_HEAD : BS_NUM_OUTER); w++)
        if (compare_matrix(proof, export, model, (enum bs_outer)w, err))
            return err->status;
    return BS_OK;
}

static void leave_weights(struct bs_setting *setting)
{
    bs_setting_release(setting);
    bs_setting_init(setting);
}

enum bs_status bs_export_proof_recipe(const struct bs_recipe *recipe, struct bs_recipe *as_written,
                                      struct bs_error *err)
{
    struct bs_recipe copy;
    bs_recipe_init(as_written);
    if (bs_recipe_copy(&copy, recipe, err))
        return err->status;
    for (int i = 0; i < copy.num_steps; i++)
        bs_choice_release(&copy.steps[i]);
    copy.num_steps = 0;
    leave_weights(&copy.weights);
    for (int r = 0; r < copy.num_rules; r++)
        if (copy.rules[r].use == BS_FOR_WEIGHTS)
            leave_weights(&copy.rules[r].setting);
    *as_written = copy;
    return bs_recipe_add(as_written, bs_algorithm_usual(), err);
}

double bs_export_perplexity(const struct bs_variant *variant, const struct bs_windows *windows,
                            int text)
{
    const float *nll = bs_figure_floats(&variant->figures[text], BS_NLL);
    size_t count = (size_t)windows->windows * (size_t)(windows->tokens - 1);
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += isnan(nll[i]) ? 0 : (double)nll[i];
    return bs_exp(sum / (double)windows->num_scored);
}

bool bs_export_same_nll(const struct bs_variant *a, const struct bs_variant *b,
                        const struct bs_windows *windows, int text)
{
    size_t count = (size_t)windows->windows * (size_t)(windows->tokens - 1);
    return !memcmp(bs_figure_floats(&a->figures[text], BS_NLL),
                   bs_figure_floats(&b->figures[text], BS_NLL), count * sizeof(float));
}
