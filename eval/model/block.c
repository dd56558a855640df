/* A block in memory: its matrices and vectors, copies of them, and factors moved between them. */
#include "eval/model/model.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/model/kernel.h"
#include "eval/model/operations.h"

static void fill_ones(float *x, int count)
{
    for (int i = 0; i < count; i++)
        x[i] = 1;
}

void bs_norm_release(struct bs_norm *norm)
{
    bs_free(norm->weight);
    bs_free(norm->bias);
    *norm = (struct bs_norm){.width = 0};
}

enum bs_status bs_norm_init(struct bs_norm *norm, enum bs_norm_kind kind, int width,
                            struct bs_error *err)
{
    bool biased = kind == BS_LAYER_NORM;
    *norm = (struct bs_norm){.kind = kind, .width = width};
    norm->weight = bs_alloc((size_t)width, sizeof(float));
    if (biased)
        norm->bias = bs_alloc((size_t)width, sizeof(float));
    if (!norm->weight || (biased && !norm->bias))
        return bs_fail_memory(err);
    fill_ones(norm->weight, width);
    return BS_OK;
}

static enum bs_status allocate_linear(struct bs_linear *linear, const struct bs_slot *slot,
                                      struct bs_error *err)
{
    *linear =
        (struct bs_linear){.name = slot->name, .out_features = slot->out, .in_features = slot->in};
    size_t out = (size_t)slot->out, in = (size_t)slot->in;
    bool biased = slot->biased;
    linear->rows = NAN;
    linear->weight = bs_alloc(out * in, sizeof(float));
    if (biased)
        linear->bias = bs_alloc(out, sizeof(float));
    if (!linear->weight || (biased && !linear->bias))
        return bs_fail_memory(err);
    return bs_bases_init(&linear->in, linear->in_features, err)
               ? err->status
               : bs_bases_init(&linear->out, linear->out_features, err);
}

static enum bs_status allocate_vector(struct bs_block *block, enum bs_vector which,
                                      struct bs_error *err)
{
    int width = bs_vector_width(block->architecture, block->index, which);
    if (!width)
        return BS_OK;
    block->vectors[which] = bs_alloc((size_t)width, sizeof(float));
    return block->vectors[which] ? BS_OK : bs_fail_memory(err);
}

enum bs_status bs_block_init(struct bs_block *block, const struct bs_architecture *a, int layer,
                             struct bs_error *err)
{
    const struct bs_program *p = bs_program_of(a, layer);
    *block = (struct bs_block){.architecture = a, .program = p, .index = layer};
    block->linears = bs_calloc((size_t)p->num_slots, sizeof *block->linears);
    block->sites = bs_calloc((size_t)p->num_values, sizeof *block->sites);
    enum bs_status status = block->linears && block->sites ? BS_OK : bs_fail_memory(err);
    for (int s = 0; s < p->num_slots && !status; s++)
        status = allocate_linear(&block->linears[s], &p->slots[s], err);
    for (int n = 0; n < BS_NUM_NORMS && !status; n++)
        if (bs_has_norm(a, (enum bs_norm_place)n))
            status = bs_norm_init(&block->norms[n], bs_norm_kind_at(a, (enum bs_norm_place)n),
                                  bs_norm_width(a, (enum bs_norm_place)n), err);
    for (int n = 0; n < BS_NUM_NORMS && !status; n++)
        block->norms[n].eps = bs_is_latent(n) ? a->family->latent_eps : 0;
    for (int v = 0; v < BS_NUM_VECTORS && !status; v++)
        status = allocate_vector(block, (enum bs_vector)v, err);
    if (status)
        bs_block_release(block);
    return status;
}

static void copy_floats(float *to, const float *from, int count)
{
    if (to)
        memcpy(to, from, (size_t)count * sizeof *to);
}

static void drop_kernel(struct bs_linear *linear)
{
    if (linear->prepared)
        linear->kernel->release(linear->prepared);
    linear->kernel = NULL;
    linear->prepared = NULL;
}

static enum bs_status copy_linear(struct bs_linear *to, const struct bs_linear *from,
                                  struct bs_error *err)
{
    size_t out = (size_t)from->out_features, in = (size_t)from->in_features;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < out; i++)
        memcpy(to->weight + i * in, from->weight + i * in, in * sizeof(float));
    copy_floats(to->bias, from->bias, from->out_features);
    bs_codes_release(&to->codes);
    drop_kernel(to);
    to->file_bits = from->file_bits;
    to->file = from->file;
    to->damping = 0;
    to->dead_columns = 0;
    to->rows = NAN;
    to->fallback = false;
    to->seconds = 0;
    return bs_bases_copy(&to->in, &from->in, err) ? err->status
                                                  : bs_bases_copy(&to->out, &from->out, err);
}

static enum bs_status copy_hidden_scale(struct bs_block *to, const struct bs_block *from,
                                        struct bs_error *err)
{
    bs_free(to->hidden_scale);
    to->hidden_scale = NULL;
    if (!from->hidden_scale)
        return BS_OK;
    int width = from->architecture->intermediate_size;
    to->hidden_scale = bs_alloc((size_t)width, sizeof(float));
    if (!to->hidden_scale)
        return bs_fail_memory(err);
    copy_floats(to->hidden_scale, from->hidden_scale, width);
    return BS_OK;
}

enum bs_status bs_block_copy(struct bs_block *to, const struct bs_block *from, struct bs_error *err)
{
    if (to->program != from->program) {
        bs_block_release(to);
        if (bs_block_init(to, from->architecture, from->index, err))
            return err->status;
    }
    to->index = from->index;
    memcpy(to->sites, from->sites, (size_t)from->program->num_values * sizeof *to->sites);
    for (int s = 0; s < from->program->num_slots; s++)
        if (copy_linear(&to->linears[s], &from->linears[s], err))
            return err->status;
    for (int n = 0; n < BS_NUM_NORMS; n++) {
        copy_floats(to->norms[n].weight, from->norms[n].weight, from->norms[n].width);
        copy_floats(to->norms[n].bias, from->norms[n].bias, from->norms[n].width);
    }
    for (int v = 0; v < BS_NUM_VECTORS; v++)
        copy_floats(to->vectors[v], from->vectors[v],
                    bs_vector_width(from->architecture, from->index, (enum bs_vector)v));
    return copy_hidden_scale(to, from, err);
}

void bs_block_release(struct bs_block *block)
{
    for (int s = 0; block->linears && s < block->program->num_slots; s++) {
        bs_free(block->linears[s].weight);
        bs_free(block->linears[s].bias);
        bs_bases_release(&block->linears[s].in);
        bs_bases_release(&block->linears[s].out);
        bs_codes_release(&block->linears[s].codes);
        drop_kernel(&block->linears[s]);
    }
    for (int n = 0; n < BS_NUM_NORMS; n++)
        bs_norm_release(&block->norms[n]);
    for (int v = 0; v < BS_NUM_VECTORS; v++)
        bs_free(block->vectors[v]);
    bs_free(block->linears);
    bs_free(block->sites);
    bs_free(block->hidden_scale);
    *block = (struct bs_block){.architecture = NULL};
}

double bs_linear_bits(const struct bs_linear *linear)
{
    if (linear->codes.codes)
        return bs_codes_bits(&linear->codes);
    double plain = (double)BS_UNQUANTIZED_BITS * linear->out_features * linear->in_features;
    return linear->file_bits > 0 ? linear->file_bits : plain;
}

bool bs_block_view(const struct bs_block *block, struct bs_block *view)
{
    size_t count = (size_t)block->program->num_slots;
    *view = *block;
    view->linears = bs_alloc(count, sizeof *view->linears);
    if (view->linears)
        memcpy(view->linears, block->linears, count * sizeof *view->linears);
    return view->linears;
}

void bs_block_clear_sites(struct bs_block *block)
{
    for (int v = 0; v < block->program->num_values; v++)
        block->sites[v].setting = NULL;
}

enum bs_status bs_block_init_codes(struct bs_block *block, int slot,
                                   const struct bs_setting *weights, struct bs_error *err)
{
    struct bs_linear *linear = &block->linears[slot];
    return bs_codes_init(&linear->codes, weights, bs_draw_place(block->index, false, slot),
                         linear->out_features, linear->in_features, err);
}

enum bs_status bs_block_quantize_sites(struct bs_block *block,
                                       const struct bs_setting *const *sites, struct bs_error *err)
{
    const struct bs_program *p = block->program;
    bs_block_clear_sites(block);
    for (int v = 0; v < p->num_values; v++) {
        if (!bs_setting_quantizes(sites[v]))
            continue;
        if (bs_values_check(sites[v], p->values[v].width, err))
            return bs_fail_within(err, "%s", p->values[v].name);
        block->sites[v].setting = sites[v];
        block->sites[v].rounder = bs_rounder_of(sites[v], bs_draw_place(block->index, true, v));
    }
    return bs_block_choose_kernels(block, BS_FLOAT32, err);
}

static const struct bs_kernel *first_that_suits(const struct bs_block *block, int slot,
                                                enum bs_compute compute)
{
    const struct bs_linear *linear = &block->linears[slot];
    const struct bs_site_setting *input = &block->sites[block->program->slots[slot].input];
    const struct bs_codes *codes = &linear->codes;
    return bs_kernel_for(&(struct bs_multiplication){.out = linear->out_features,
                                                     .in = linear->in_features,
                                                     .codes = codes->codes ? &codes->layout : NULL,
                                                     .listed = codes->group_index != NULL,
                                                     .input = input->setting,
                                                     .compute = compute});
}

enum bs_status bs_block_choose_kernels(struct bs_block *block, enum bs_compute compute,
                                       struct bs_error *err)
{
    for (int s = 0; s < block->program->num_slots; s++) {
        struct bs_linear *linear = &block->linears[s];
        const struct bs_kernel *kernel = first_that_suits(block, s, compute);
        if (kernel == linear->kernel)
            continue;
        drop_kernel(linear);
        if (kernel->prepare && kernel->prepare(linear, &linear->prepared, err))
            return bs_fail_within(err, "%s", linear->name);
        linear->kernel = kernel;
    }
    return BS_OK;
}

/* --- changes of basis --- */

/* Records a change at the linear that makes a site (slot -1: none does) and at those that read it.
 * They have changed together before, so that none of those taken back is a diagonal. */
static enum bs_status record(struct bs_block *block, int before, int site,
                             const struct bs_basis *basis, struct bs_error *err)
{
    const struct bs_program *p = block->program;
    int slots[BS_MAX_SLOTS], readers = bs_program_scaled(p, site, slots), count = 0;
    struct bs_bases *all[BS_MAX_SLOTS + 1];
    if (before >= 0)
        all[count++] = &block->linears[before].out;
    for (int k = 0; k < readers; k++)
        all[count++] = &block->linears[slots[k]].in;
    for (int k = 0; k < count; k++)
        if (bs_bases_add(all[k], basis, err)) {
            while (k-- > 0)
                bs_bases_drop(all[k]);
            return err->status;
        }
    return BS_OK;
}

/* The weights are no longer what the checkpoint has. */
static void forget_file(struct bs_linear *linear)
{
    linear->file_bits = 0;
    linear->file.tensor = NULL;
}

static void scale_columns(struct bs_linear *linear, const float *scale)
{
    forget_file(linear);
    size_t in = (size_t)linear->in_features;
    for (size_t i = 0; i < (size_t)linear->out_features; i++)
        for (size_t j = 0; j < in; j++)
            linear->weight[i * in + j] *= scale[j];
}

static void divide(float *x, const float *scale, int count)
{
    for (int i = 0; x && i < count; i++)
        x[i] /= scale[i];
}

static void divide_rows(struct bs_linear *linear, const float *scale)
{
    forget_file(linear);
    size_t in = (size_t)linear->in_features;
    for (size_t i = 0; i < (size_t)linear->out_features; i++)
        for (size_t j = 0; j < in; j++)
            linear->weight[i * in + j] /= scale[i];
    divide(linear->bias, scale, linear->out_features);
}

static enum bs_status divide_hidden(struct bs_block *block, const float *scale,
                                    struct bs_error *err)
{
    int width = block->architecture->intermediate_size;
    if (!block->hidden_scale) {
        block->hidden_scale = bs_alloc((size_t)width, sizeof(float));
        if (!block->hidden_scale)
            return bs_fail_memory(err);
        fill_ones(block->hidden_scale, width);
    }
    for (int j = 0; j < width; j++)
        block->hidden_scale[j] *= scale[j];
    return BS_OK;
}

enum bs_status bs_block_fold(struct bs_block *block, int site, const float *scale,
                             struct bs_error *err)
{
    const struct bs_program *p = block->program;
    struct bs_fold fold = p->folds[site];
    assert(fold.op >= 0);
    const struct bs_op *op = &p->ops[fold.op];
    struct bs_basis basis = {BS_DIAGONAL, p->values[site].width, (float *)(uintptr_t)scale};
    if (record(block, op->kind == BS_OP_LINEAR ? fold.slot : -1, site, &basis, err))
        return err->status;
    if (op->kind == BS_OP_DIVIDE && divide_hidden(block, scale, err))
        return err->status;
    if (op->kind == BS_OP_LINEAR)
        divide_rows(&block->linears[fold.slot], scale);
    if (op->kind == BS_OP_NORM) {
        struct bs_norm *norm = &block->norms[op->detail];
        divide(norm->weight, scale, norm->width);
        divide(norm->bias, scale, norm->width);
    }
    for (int s = 0; s < p->num_slots; s++)
        if (bs_program_is_from(p, p->slots[s].input, site))
            scale_columns(&block->linears[s], scale);
    return BS_OK;
}

/* Rows of W, and of the bias. */
static void turn_rows(struct bs_linear *linear, const struct bs_basis *turn, float *room)
{
    forget_file(linear);
    size_t in = (size_t)linear->in_features;
    for (int i = 0; i < linear->out_features; i += turn->width) {
        bs_basis_turn(turn, false, linear->weight + (size_t)i * in, linear->in_features, room);
        if (linear->bias)
            bs_basis_turn(turn, false, linear->bias + i, 1, room);
    }
}

/* W T^-1: of each row, T is applied to it. */
static void turn_columns(struct bs_linear *linear, const struct bs_basis *turn, float *room)
{
    forget_file(linear);
    size_t in = (size_t)linear->in_features;
    for (int i = 0; i < linear->out_features; i++)
        for (int j = 0; j < linear->in_features; j += turn->width)
            bs_basis_turn(turn, false, linear->weight + (size_t)i * in + (size_t)j, 1, room);
}

enum bs_status bs_block_turn(struct bs_block *block, int site, const struct bs_basis *turn,
                             struct bs_error *err)
{
    const struct bs_program *p = block->program;
    const struct bs_value *value = &p->values[site];
    int between, slots[BS_MAX_SLOTS], count = bs_program_scaled(p, site, slots);
    int before = bs_program_source(p, site, &between);
    assert(turn->kind != BS_DIAGONAL);
    if (before < 0)
        return bs_fail(err, BS_EUNSUPPORTED, "%s cannot be turned: %s%s", value->name,
                       between < 0 ? "not only linears read it" : "what makes it is ",
                       between < 0 ? "" : bs_op_types[p->ops[between].kind].name);
    if (bs_is_made_by(p, site, BS_OP_ATTEND))
        value = &p->values[p->ops[value->made_by].in[2]];
    int head = value->width / value->heads;
    if (head % turn->width)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s cannot be turned %d channels at a time: its heads have %d",
                       p->values[site].name, turn->width, head);
    size_t widest = (size_t)block->linears[before].in_features;
    float *room = bs_alloc((size_t)turn->width, widest * sizeof *room);
    if (!room)
        return bs_fail_memory(err);
    enum bs_status status = record(block, before, site, turn, err);
    if (!status) {
        turn_rows(&block->linears[before], turn, room);
        for (int k = 0; k < count; k++)
            turn_columns(&block->linears[slots[k]], turn, room);
    }
    bs_free(room);
    return status;
}
