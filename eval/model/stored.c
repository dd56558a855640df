#include "eval/model/stored.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/model/model_internal.h"

const char *bs_model_directory(const struct bs_model *model) { return model->directory; }

void bs_stored_forget(const struct bs_model *model, const struct bs_tensor *tensor)
{
    bs_checkpoint_forget(model->checkpoint, tensor);
}

void bs_stored_head(const struct bs_model *model, char module[BS_STORED_NAME_BYTES])
{
    snprintf(module, BS_STORED_NAME_BYTES, "%s%s", model->head_prefix,
             model->architecture.stored.head);
}

/* ---- linears ---- */

static void fill(const struct bs_model *model, const struct bs_program *p, const char *place,
                 int slot, struct bs_stored_linear *stored)
{
    struct bs_slot_tensor t;
    bs_slot_tensor(model, p, place, slot, &t);
    size_t length = strlen(t.weight), ending = strlen(".weight");
    bool usual = bs_ends_in(t.weight, ".weight");
    *stored = (struct bs_stored_linear){.ending = usual ? ".weight" : "",
                                        .source = bs_checkpoint_find(model->checkpoint, t.weight),
                                        .first = p->slots[slot].first,
                                        .last = p->slots[slot].last,
                                        .in = p->slots[slot].in,
                                        .biased = p->slots[slot].biased,
                                        .transposed = model->architecture.stored.transposed,
                                        .stacked = t.rank == 3};
    snprintf(stored->module, sizeof stored->module, "%.*s", (int)(length - (usual ? ending : 0)),
             t.weight);
    for (int s = stored->first; s <= stored->last; s++)
        stored->out += p->slots[s].out;
}

int bs_stored_linears(const struct bs_model *model, int layer,
                      struct bs_stored_linear list[BS_MAX_SLOTS])
{
    const struct bs_program *p = bs_program_of(&model->architecture, layer);
    char place[BS_PLACE_BYTES];
    int count = 0;
    bs_block_place(model, layer, place);
    for (int s = 0; s < p->num_slots; s++)
        if (p->slots[s].first == s)
            fill(model, p, place, s, &list[count++]);
    return count;
}

int bs_stored_row(const struct bs_slot *slot, int i)
{
    const struct bs_tensor_rows *rows = &slot->rows;
    if (!rows->paired)
        return rows->first + i / rows->run * rows->stride + i % rows->run;
    int half = rows->paired / 2, j = i % rows->paired;
    return rows->first + i - j + (j < half ? 2 * j : 2 * (j - half) + 1);
}

bool bs_stored_is_coded(const struct bs_block *block, const struct bs_stored_linear *stored)
{
    return block->linears[stored->first].codes.codes;
}

/* Where the codes of a row begin. */
static unsigned char *row_of(const struct bs_codes *codes, int i, size_t *bytes)
{
    *bytes = (size_t)codes->layout.in * (codes->layout.code_bits <= 8 ? 1 : 2);
    return (unsigned char *)codes->codes + (size_t)i * *bytes;
}

static void copy_rows(const struct bs_slot *slot, const struct bs_codes *from, struct bs_codes *to)
{
    size_t bytes, params = (size_t)from->spans * from->layout.param_bytes;
    for (int i = 0; i < slot->out; i++) {
        int row = bs_stored_row(slot, i);
        const unsigned char *own = row_of(from, i, &bytes);
        memcpy(row_of(to, row, &bytes), own, bytes);
        memcpy(to->params + (size_t)row * params, from->params + (size_t)i * params, params);
    }
}

/* Whether two linears of one tensor are rounded alike, so that their codes make one matrix. */
static bool alike(const struct bs_codes *a, const struct bs_codes *b)
{
    size_t columns = (size_t)a->layout.in * sizeof *a->group_index;
    if (!b->codes || !bs_setting_equal(a->setting, b->setting) ||
        !a->group_index != !b->group_index)
        return false;
    return !a->group_index || !memcmp(a->group_index, b->group_index, columns);
}

/* The linear's own codes of a tensor that is its alone, row for row. */
static bool stands_alone(const struct bs_program *p, const struct bs_stored_linear *stored)
{
    return stored->first == stored->last && !p->slots[stored->first].rows.paired;
}

static enum bs_status join(const struct bs_block *block, const struct bs_stored_linear *stored,
                           struct bs_codes *room, struct bs_error *err)
{
    const struct bs_codes *first = &block->linears[stored->first].codes;
    if (bs_codes_init(room, first->setting, 0, stored->out, stored->in, err))
        return err->status;
    for (int s = stored->first; s <= stored->last; s++)
        copy_rows(&block->program->slots[s], &block->linears[s].codes, room);
    memcpy(room->shared.bytes, first->shared.bytes, first->shared.layout.tensor_bytes);
    if (!first->group_index)
        return BS_OK;
    room->group_index = bs_alloc((size_t)stored->in, sizeof *room->group_index);
    if (!room->group_index)
        return bs_fail_memory(err);
    memcpy(room->group_index, first->group_index, (size_t)stored->in * sizeof *room->group_index);
    return BS_OK;
}

enum bs_status bs_stored_codes(const struct bs_block *block, const struct bs_stored_linear *stored,
                               struct bs_codes *room, const struct bs_codes **codes,
                               struct bs_error *err)
{
    const struct bs_linear *linears = block->linears;
    *room = (struct bs_codes){.codes = NULL};
    *codes = &linears[stored->first].codes;
    if (stands_alone(block->program, stored))
        return BS_OK;
    for (int s = stored->first; s <= stored->last; s++)
        if (!alike(*codes, &linears[s].codes))
            return bs_fail(err, BS_EUNSUPPORTED,
                           "%s: '%s' and '%s' stand in one tensor and are rounded each in its own "
                           "way",
                           stored->module, linears[stored->first].name, linears[s].name);
    *codes = room;
    if (join(block, stored, room, err)) {
        bs_codes_release(room);
        return err->status;
    }
    return BS_OK;
}

static bool floats_differ(const float *a, const float *b, size_t count)
{
    return a && (!b || memcmp(a, b, count * sizeof *a));
}

bool bs_stored_weights_differ(const struct bs_block *original, const struct bs_block *block,
                              const struct bs_stored_linear *stored)
{
    bool differ = false;
    for (int s = stored->first; s <= stored->last; s++) {
        const struct bs_linear *a = &original->linears[s], *b = &block->linears[s];
        differ |=
            floats_differ(a->weight, b->weight, (size_t)a->out_features * (size_t)a->in_features);
    }
    return differ;
}

bool bs_stored_biases_differ(const struct bs_block *original, const struct bs_block *block,
                             const struct bs_stored_linear *stored)
{
    bool differ = false;
    for (int s = stored->first; s <= stored->last; s++)
        differ |= floats_differ(original->linears[s].bias, block->linears[s].bias,
                                (size_t)original->linears[s].out_features);
    return differ;
}

void bs_stored_weights(const struct bs_block *block, const struct bs_stored_linear *stored,
                       float *values)
{
    size_t in = (size_t)stored->in, out = (size_t)stored->out;
    for (int s = stored->first; s <= stored->last; s++) {
        const struct bs_linear *linear = &block->linears[s];
        for (int i = 0; i < linear->out_features; i++) {
            const float *from = linear->weight + (size_t)i * in;
            size_t row = (size_t)bs_stored_row(&block->program->slots[s], i);
            if (!stored->transposed)
                memcpy(values + row * in, from, in * sizeof *values);
            for (size_t j = 0; stored->transposed && j < in; j++)
                values[j * out + row] = from[j];
        }
    }
}

void bs_stored_biases(const struct bs_block *block, const struct bs_stored_linear *stored,
                      float *values)
{
    for (int s = stored->first; s <= stored->last; s++) {
        const struct bs_linear *linear = &block->linears[s];
        for (int i = 0; i < linear->out_features; i++)
            values[bs_stored_row(&block->program->slots[s], i)] = linear->bias[i];
    }
}

/* ---- the rest ---- */

static const struct bs_tensor *find(const struct bs_model *model, const char *place,
                                    const char *name, const char *ending)
{
    char whole[BS_TENSOR_NAME_BYTES];
    snprintf(whole, sizeof whole, "%s%s%s", place, name, ending);
    return bs_checkpoint_find(model->checkpoint, whole);
}

/* Norm weights that are stored less 1: what a reader adds 1 to must be them again. */
static enum bs_status less_one(const struct bs_tensor *tensor, const float *weights, float *values,
                               struct bs_error *err)
{
    for (size_t j = 0; j < tensor->count; j++) {
        values[j] = weights[j] - 1;
        if (values[j] + 1 != weights[j])
            return bs_fail(
                err, BS_EUNSUPPORTED,
                "tensor '%.200s' is stored less 1, and so cannot hold the %.9g that the "
                "recipe makes of a weight: expected a recipe without factors folded into "
                "norms",
                tensor->name, (double)weights[j]);
    }
    return BS_OK;
}

/* Channels `first` and on of a norm's weight or bias. */
struct vector {
    const struct bs_tensor *tensor;
    const float *before, *after;
    bool plus_one;
};

static enum bs_status visit_vector(const struct vector *v, bs_stored_visit *visit, void *context,
                                   struct bs_error *err)
{
    struct bs_stored_tensor tensor = {.source = v->tensor};
    if (!v->tensor)
        return BS_OK;
    if (!floats_differ(v->before, v->after, v->tensor->count))
        return visit(context, &tensor, err);
    assert(v->after); /* a vector that was read is not taken away */
    float *values = bs_alloc(v->tensor->count, sizeof *values);
    if (!values)
        return bs_fail_memory(err);
    enum bs_status status = BS_OK;
    if (v->plus_one)
        status = less_one(v->tensor, v->after, values, err);
    else
        memcpy(values, v->after, v->tensor->count * sizeof *values);
    tensor.values = values;
    if (!status)
        status = visit(context, &tensor, err);
    bs_free(values);
    return status;
}

enum bs_status bs_stored_norms(const struct bs_model *model, const struct bs_block *original,
                               const struct bs_block *block, bs_stored_visit *visit, void *context,
                               struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    char place[BS_PLACE_BYTES], name[BS_NORM_NAME_BYTES];
    bs_block_place(model, block->index, place);
    for (int n = 0; n < BS_NUM_NORMS; n++) {
        const struct bs_norm *from = &original->norms[n], *to = &block->norms[n];
        int parts = from->width ? bs_norm_parts(a, (enum bs_norm_place)n) : 0;
        int vectors = bs_norm_vectors(from->kind);
        for (int p = 0; p < parts; p++) {
            bs_norm_name(a, (enum bs_norm_place)n, p, name);
            size_t at = (size_t)p * (size_t)(from->width / parts);
            struct vector weight = {vectors > 0 ? find(model, place, name, ".weight") : NULL,
                                    from->weight + at, to->weight + at, a->stored.norm_plus_one};
            struct vector bias = {vectors > 1 ? find(model, place, name, ".bias") : NULL,
                                  from->bias ? from->bias + at : NULL,
                                  to->bias ? to->bias + at : NULL, false};
            if (visit_vector(&weight, visit, context, err) ||
                visit_vector(&bias, visit, context, err))
                return err->status;
        }
    }
    for (int v = 0; v < BS_NUM_VECTORS; v++) { /* which no recipe changes */
        struct bs_stored_tensor tensor = {.source = NULL};
        if (original->vectors[v])
            tensor.source = find(model, place, a->stored.vectors[v], "");
        if (tensor.source && visit(context, &tensor, err))
            return err->status;
    }
    return BS_OK;
}

static enum bs_status visit_bias(const struct bs_model *model, const struct bs_block *original,
                                 const struct bs_block *block,
                                 const struct bs_stored_linear *stored, bs_stored_visit *visit,
                                 void *context, struct bs_error *err)
{
    struct bs_stored_tensor tensor = {.source = find(model, "", stored->module, ".bias")};
    if (!bs_stored_biases_differ(original, block, stored))
        return visit(context, &tensor, err);
    float *values = bs_alloc((size_t)stored->out, sizeof *values);
    if (!values)
        return bs_fail_memory(err);
    bs_stored_biases(block, stored, values);
    tensor.values = values;
    enum bs_status status = visit(context, &tensor, err);
    bs_free(values);
    return status;
}

enum bs_status bs_stored_all_biases(const struct bs_model *model, const struct bs_block *original,
                                    const struct bs_block *block, bs_stored_visit *visit,
                                    void *context, struct bs_error *err)
{
    struct bs_stored_linear *list = bs_alloc(BS_MAX_SLOTS, sizeof *list);
    if (!list)
        return bs_fail_memory(err);
    int count = bs_stored_linears(model, block->index, list);
    enum bs_status status = BS_OK;
    for (int k = 0; k < count && !status; k++)
        if (list[k].biased)
            status = visit_bias(model, original, block, &list[k], visit, context, err);
    bs_free(list);
    return status;
}

enum bs_status bs_stored_outer(const struct bs_model *model, bs_stored_visit *visit, void *context,
                               struct bs_error *err)
{
    const struct bs_tensor *const tensors[] = {
        model->embedding,
        model->positions,
        model->project_in,
        model->project_out,
        model->embedding_norm.weight,
        model->embedding_norm.bias,
        model->final_norm.weight,
        model->final_norm.bias,
        model->head != model->embedding ? model->head : NULL,
        model->head_bias,
    };
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        if (tensors[i] && visit(context, &(struct bs_stored_tensor){.source = tensors[i]}, err))
            return err->status;
    return BS_OK;
}
