/* A block in memory: its matrices and vectors, and copies of them. */
#include "eval/model/model.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/model/cache.h"
#include "eval/model/gguf_config.h"
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
    block->online = bs_calloc((size_t)p->num_values, sizeof *block->online);
    bool enough = block->linears && block->sites && block->online;
    enum bs_status status = enough ? BS_OK : bs_fail_memory(err);
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

/* A bias may have come with a norm that was folded, and go with the copy of a block without. */
static enum bs_status copy_bias(struct bs_linear *to, const struct bs_linear *from,
                                struct bs_error *err)
{
    if (!from->bias) {
        bs_free(to->bias);
        to->bias = NULL;
    } else if (!to->bias && !(to->bias = bs_alloc((size_t)to->out_features, sizeof(float)))) {
        return bs_fail_memory(err);
    }
    copy_floats(to->bias, from->bias, from->out_features);
    return BS_OK;
}

static enum bs_status copy_linear(struct bs_linear *to, const struct bs_linear *from,
                                  struct bs_error *err)
{
    size_t out = (size_t)from->out_features, in = (size_t)from->in_features;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < out; i++)
        memcpy(to->weight + i * in, from->weight + i * in, in * sizeof(float));
    if (copy_bias(to, from, err))
        return err->status;
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

static void drop_turns(struct bs_block *block)
{
    for (int v = 0; block->online && v < block->program->num_values; v++) {
        bs_free(block->online[v].values);
        block->online[v].values = NULL;
    }
    bs_bases_release(&block->residual);
}

static enum bs_status copy_turns(struct bs_block *to, const struct bs_block *from,
                                 struct bs_error *err)
{
    drop_turns(to);
    for (int v = 0; from->online && v < from->program->num_values; v++)
        if (from->online[v].values && bs_basis_copy(&to->online[v], &from->online[v], err))
            return err->status;
    if (!from->residual.count)
        return BS_OK;
    return bs_bases_init(&to->residual, from->residual.channels, err)
               ? err->status
               : bs_bases_copy(&to->residual, &from->residual, err);
}

enum bs_status bs_block_give_parts(struct bs_block *block, int site, int count,
                                   struct bs_error *err)
{
    struct bs_site_setting *at = &block->sites[site];
    bs_free(at->parts);
    at->parts = bs_calloc((size_t)count, sizeof *at->parts);
    at->num_parts = at->parts ? count : 0;
    return at->parts ? BS_OK : bs_fail_memory(err);
}

static enum bs_status copy_sites(struct bs_block *to, const struct bs_block *from,
                                 struct bs_error *err)
{
    for (int v = 0; v < from->program->num_values; v++) {
        const struct bs_site_setting *site = &from->sites[v];
        bs_free(to->sites[v].parts);
        to->sites[v] = *site;
        to->sites[v].parts = NULL;
        if (!site->parts)
            continue;
        if (bs_block_give_parts(to, v, site->num_parts, err))
            return err->status;
        memcpy(to->sites[v].parts, site->parts, (size_t)site->num_parts * sizeof *site->parts);
    }
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
    to->own = from->own;
    if (copy_sites(to, from, err))
        return err->status;
    for (int s = 0; s < from->program->num_slots; s++)
        if (copy_linear(&to->linears[s], &from->linears[s], err))
            return err->status;
    for (int n = 0; n < BS_NUM_NORMS; n++) {
        to->norms[n].kind = from->norms[n].kind;
        copy_floats(to->norms[n].weight, from->norms[n].weight, from->norms[n].width);
        copy_floats(to->norms[n].bias, from->norms[n].bias, from->norms[n].width);
    }
    for (int v = 0; v < BS_NUM_VECTORS; v++)
        copy_floats(to->vectors[v], from->vectors[v],
                    bs_vector_width(from->architecture, from->index, (enum bs_vector)v));
    if (copy_turns(to, from, err))
        return err->status;
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
    drop_turns(block);
    for (int v = 0; block->sites && v < block->program->num_values; v++)
        bs_free(block->sites[v].parts);
    bs_free(block->linears);
    bs_free(block->sites);
    bs_free(block->online);
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

static void clear_site(struct bs_block *block, int v)
{
    bs_free(block->sites[v].parts);
    block->sites[v] = block->own ? block->own[v] : (struct bs_site_setting){.setting = NULL};
}

void bs_block_clear_sites(struct bs_block *block)
{
    for (int v = 0; v < block->program->num_values; v++)
        clear_site(block, v);
}

bool bs_block_fixes_inputs(const struct bs_block *block)
{
    bool any = false;
    for (int v = 0; v < block->program->num_values && block->own; v++)
        any |= block->own[v].setting && block->own[v].setting->sharing == BS_BY_STATIC;
    return any;
}

enum bs_status bs_block_init_codes(struct bs_block *block, int slot,
                                   const struct bs_setting *weights, struct bs_error *err)
{
    struct bs_linear *linear = &block->linears[slot];
    return bs_codes_init(&linear->codes, weights, bs_draw_place(block->index, false, slot),
                         linear->out_features, linear->in_features, err);
}

static int turned_at(const struct bs_value *value)
{
    return bs_cache_turned(value->width / value->heads, !strcmp(value->name, "value"));
}

static enum bs_status check_site(const struct bs_setting *setting, const struct bs_value *value,
                                 struct bs_error *err)
{
    if (value->kind == BS_SITE_PROBABILITIES)
        return bs_probabilities_check(setting, err);
    return bs_values_check(setting, value->width, value->heads, err);
}

enum bs_status bs_block_quantize_sites(struct bs_block *block,
                                       const struct bs_setting *const *sites, struct bs_error *err)
{
    const struct bs_program *p = block->program;
    for (int v = 0; v < p->num_values; v++) {
        if (!bs_setting_quantizes(sites[v])) {
            clear_site(block, v);
            continue;
        }
        if (check_site(sites[v], &p->values[v], err))
            return bs_fail_within(err, "%s", p->values[v].name);
        if (p->values[v].kind == BS_SITE_PROBABILITIES && bs_setting_is_static(sites[v]) &&
            !bs_setting_watches(sites[v]))
            bs_values_fix(sites[v], 1, 0, 1, &block->sites[v].fixed);
        block->sites[v].setting = sites[v];
        block->sites[v].rounder = bs_rounder_of(sites[v], bs_draw_place(block->index, true, v));
        block->sites[v].turned = turned_at(&p->values[v]);
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

/* Attention meets keys in GGUF's blocks as llama.cpp does where linears are multiplied so too. */
static void choose_attention(struct bs_block *block, enum bs_compute compute)
{
    const struct bs_program *p = block->program;
    for (int v = 0; v < p->num_values; v++) {
        struct bs_site_setting *site = &block->sites[v];
        bool key = p->values[v].kind == BS_SITE_CACHE && !strcmp(p->values[v].name, "key");
        site->blocks =
            compute == BS_AS_LLAMA_CPP && key && site->setting && !site->setting->pre_rope &&
            bs_cache_meets_blocks(site->setting, p->values[v].width / p->values[v].heads);
        site->paired = site->blocks && bs_gguf_pairs(block->architecture->family);
    }
}

enum bs_status bs_block_choose_kernels(struct bs_block *block, enum bs_compute compute,
                                       struct bs_error *err)
{
    choose_attention(block, compute);
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
