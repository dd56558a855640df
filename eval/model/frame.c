/* The forward pass: the interpreter of a block's program over one window. */
#include <assert.h>
#include <string.h>

#include "eval/model/cache.h"
#include "eval/model/operations.h"

/* Points the frame's values to a region of scratch. */
static void lay_out(struct bs_frame *frame)
{
    const struct bs_program *p = frame->block->program;
    struct bs_frame_layout layout;
    bs_program_lay(p, frame->tokens, &layout);
    float *region = bs_scratch_take(frame->scratch, layout.floats);
    for (int v = 1; v < p->num_values; v++) {
        const struct bs_value *value = &p->values[v], *home = &p->values[value->home];
        struct bs_frame_value *at = &frame->values[v];
        at->x = region + layout.at[value->home] + value->channel;
        at->stride = home->width;
        at->rows = frame->tokens;
        if (bs_is_input(value))
            at->room = at->x + bs_scratch_floats((size_t)frame->tokens * (size_t)home->width);
    }
}

/* What the kernels of the linears that read a value make of it, each kernel once. */
static void encode_for_kernels(struct bs_frame *frame, int value)
{
    const struct bs_block *block = frame->block;
    const struct bs_program *p = block->program;
    struct bs_frame_value *at = &frame->values[value];
    int width = p->values[value].width;
    const struct bs_kernel *kernel;
    for (int i = 0; (kernel = bs_kernel_at(i)); i++) {
        bool wanted = false;
        for (int s = 0; s < p->num_slots && kernel->encode; s++)
            wanted |= p->slots[s].input == value && block->linears[s].kernel == kernel;
        if (wanted)
            kernel->encode(&block->sites[value], at->x, at->rows, width,
                           at->room + bs_kernel_room_at(kernel, frame->tokens, width));
    }
    at->coded = true;
}

/* Whether anything reads the value as it is: ops other than linears, and linears whose kernels
 * do. */
static bool is_read_itself(const struct bs_block *block, int value)
{
    const struct bs_program *p = block->program;
    bool read = false, itself = false;
    for (int i = 0; i < p->num_ops; i++)
        for (int k = 0; k < 3; k++) {
            if (p->ops[i].in[k] != value)
                continue;
            read = true;
            itself |= p->ops[i].kind != BS_OP_LINEAR;
            for (int s = p->ops[i].slot; s < p->ops[i].slot + p->ops[i].num_slots; s++) {
                const struct bs_kernel *kernel = block->linears[s].kernel;
                itself |= !kernel || !kernel->encode;
            }
        }
    return itself || !read;
}

/* Keys or values become what the cache gives back, but for those at the first positions. */
static void round_cached(struct bs_frame *frame, const struct bs_site_setting *site,
                         const struct bs_values *values)
{
    int first = site->setting->first;
    if (!first)
        bs_cache_round(site, values, 0, frame->scratch);
    for (int i = 0; i <= frame->fork.branches && first; i++) {
        struct bs_segment s = bs_fork_segment(&frame->fork, i);
        int left = first - s.position, keep = left < 0 ? 0 : left < s.count ? left : s.count;
        struct bs_values rest = *values;
        size_t at = (size_t)(s.begin + keep);
        rest.x += at * (size_t)values->stride;
        rest.rows = s.count - keep;
        if (rest.rows > 0)
            bs_cache_round(site, &rest, at * (size_t)values->width, frame->scratch);
    }
}

/* Keys or values that all queries see as the cache stores them. What they see as it was stored at
 * their time attention looks for itself. */
static void quantize_cache(struct bs_frame *frame, int value, const struct bs_values *values)
{
    const struct bs_site_setting *site = &frame->block->sites[value];
    const struct bs_program *p = frame->block->program;
    bool before = bs_program_cached(p, value, site->setting->pre_rope) != value;
    if (site->setting->when == BS_WHEN_USED && !before)
        round_cached(frame, site, values);
}

/* Keys before their positions: rounded in place where all queries see them so, else beside. */
static void quantize_unrotated(struct bs_frame *frame, int key)
{
    const struct bs_site_setting *site = &frame->block->sites[key];
    const struct bs_frame_value *at = &frame->values[frame->unrotated];
    const struct bs_value *is = &frame->block->program->values[frame->unrotated];
    struct bs_values values = {at->x, at->rows, is->width, at->stride, is->heads};
    if (site->setting->when == BS_WHEN_USED) {
        round_cached(frame, site, &values);
        return;
    }
    size_t width = (size_t)is->width;
    frame->stored = bs_scratch_take(frame->scratch, (size_t)at->rows * width);
    for (int t = 0; t < at->rows; t++)
        memcpy(frame->stored + (size_t)t * width, at->x + (size_t)t * (size_t)at->stride,
               width * sizeof(float));
    values.x = frame->stored;
    values.stride = is->width;
    round_cached(frame, site, &values);
    bs_rotate_rows(frame, key, frame->stored, is->width);
}

/* The site of keys that the cache takes before their positions; -1: it does not. */
static int find_unrotated(struct bs_frame *frame)
{
    const struct bs_block *block = frame->block;
    int key = bs_program_find(block->program, "key");
    frame->unrotated = -1;
    if (!block->sites || key < 0 || !block->sites[key].setting)
        return -1;
    int from = bs_program_cached(block->program, key, block->sites[key].setting->pre_rope);
    frame->unrotated = from != key ? from : -1;
    return frame->unrotated >= 0 ? key : -1;
}

/* Quantizes the values at a site: to codes for linears whose kernels multiply such, in place where
 * others read them. */
static void quantize_site(struct bs_frame *frame, int value)
{
    const struct bs_block *block = frame->block;
    const struct bs_site_setting *setting = &block->sites[value];
    struct bs_frame_value *at = &frame->values[value];
    const struct bs_value *is = &block->program->values[value];
    if (!at->rows)
        return;
    if (bs_is_input(&block->program->values[value]))
        encode_for_kernels(frame, value);
    const struct bs_values values = {at->x, at->rows, is->width, at->stride, is->heads};
    if (is->kind == BS_SITE_CACHE)
        quantize_cache(frame, value, &values);
    else if (is_read_itself(block, value))
        bs_values_round(setting->setting, bs_site_fixed(setting), setting->rounder, &values,
                        frame->scratch);
}

/* Turns a value where the block says so. */
static void turn_online(struct bs_frame *frame, int value)
{
    const struct bs_basis *turn = frame->block->online ? &frame->block->online[value] : NULL;
    const struct bs_frame_value *at = &frame->values[value];
    if (!turn || !turn->values)
        return;
    int span = bs_basis_span(turn), width = frame->block->program->values[value].width;
    size_t mark = frame->scratch->used;
    float *room = bs_scratch_take(frame->scratch, (size_t)span);
    for (int t = 0; t < at->rows; t++)
        for (int j = 0; j < width; j += span)
            bs_basis_turn(turn, false, at->x + (size_t)t * (size_t)at->stride + j, 1, room);
    frame->scratch->used = mark;
}

/* Makes an op's value. Where no token went to an expert there is nothing to do. */
static void compute(struct bs_frame *frame, const struct bs_op *op)
{
    int rows = frame->values[op->in[0]].rows;
    frame->values[op->out].rows = rows;
    if (rows > 0 || op->kind == BS_OP_SCATTER)
        bs_op_types[op->kind].forward(op, frame);
    turn_online(frame, op->out);
}

/* Shows what an op has made; false where a pass that is for the observer `only` ends here. */
static bool show(const struct bs_frame *frame, const struct bs_op *op,
                 const struct bs_observer *observer, bool only)
{
    bool aside = op->kind == BS_OP_ATTEND && observer->probabilities;
    int values[] = {op->detail, op->out};
    for (int i = aside ? 0 : 1; i < 2; i++) {
        const struct bs_frame_value *at = &frame->values[values[i]];
        bool site = frame->block->program->values[values[i]].name != NULL;
        if (observer->site && (site || observer->every))
            observer->site(observer->context, values[i], at->x, at->rows, at->stride);
        if (only && values[i] == observer->last)
            return false;
    }
    return true;
}

void bs_block_forward(const struct bs_block *block, const struct bs_rope *rope, const float *x,
                      float *y, int tokens, const struct bs_observer *observer,
                      struct bs_scratch *scratch)
{
    struct bs_fork one = bs_fork_none(tokens);
    bs_block_forward_fork(block, rope, x, y, &one, observer, scratch);
}

void bs_block_forward_fork(const struct bs_block *block, const struct bs_rope *rope, const float *x,
                           float *y, const struct bs_fork *fork, const struct bs_observer *observer,
                           struct bs_scratch *scratch)
{
    const struct bs_program *p = block->program;
    size_t mark = scratch->used;
    struct bs_frame frame = {.block = block,
                             .rope = rope,
                             .tokens = fork->tokens,
                             .fork = *fork,
                             .quantizes = true,
                             .imposed = observer ? observer->routing : NULL,
                             .routed = observer ? observer->routed : NULL,
                             .probabilities = observer ? observer->probabilities : NULL,
                             .scratch = scratch};
    int key = find_unrotated(&frame);
    lay_out(&frame);
    frame.values[0] = (struct bs_frame_value){.x = (float *)(uintptr_t)x, /* which no op writes */
                                              .stride = p->values[0].width,
                                              .rows = fork->tokens};
    if (y)
        frame.values[p->output].x = y;
    for (int i = 0; i < p->num_ops; i++) {
        int made = p->ops[i].out;
        compute(&frame, &p->ops[i]);
        if (observer && !show(&frame, &p->ops[i], observer, !y))
            break;
        if (p->values[made].name && block->sites && block->sites[made].setting)
            quantize_site(&frame, made);
        if (made == frame.unrotated)
            quantize_unrotated(&frame, key);
    }
    scratch->used = mark;
}

void bs_part_forward(const struct bs_block *block, struct bs_part part, const struct bs_rope *rope,
                     const float *x, float *y, int tokens, struct bs_scratch *scratch)
{
    const struct bs_program *p = block->program;
    size_t mark = scratch->used;
    struct bs_frame frame = {.block = block,
                             .rope = rope,
                             .tokens = tokens,
                             .fork = bs_fork_none(tokens),
                             .unrotated = -1,
                             .scratch = scratch};
    bool ops[BS_MAX_OPS], whole = bs_program_range(p, part, ops);
    assert(whole), (void)whole;
    lay_out(&frame);
    frame.values[part.from].x = (float *)(uintptr_t)x; /* which no op of the part writes */
    frame.values[part.from].stride = p->values[part.from].width;
    frame.values[part.from].rows = tokens;
    frame.values[part.to].x = y;
    frame.values[part.to].stride = p->values[part.to].width;
    for (int i = 0; i < p->num_ops; i++)
        if (ops[i])
            compute(&frame, &p->ops[i]);
    scratch->used = mark;
}

static size_t scratch_floats(const struct bs_program *p, int tokens)
{
    struct bs_frame_layout layout;
    size_t most = 0;
    bs_program_lay(p, tokens, &layout);
    for (int i = 0; i < p->num_ops; i++) {
        const struct bs_op_type *type = &bs_op_types[p->ops[i].kind];
        size_t extra = type->extra ? type->extra(p, &p->ops[i], tokens) : 0;
        most = extra > most ? extra : most;
    }
    for (int v = 0; v < p->num_values; v++) { /* what a turn, or rounding, takes while it is made */
        size_t width = bs_scratch_floats((size_t)p->values[v].width);
        size_t rounding = p->values[v].name ? bs_values_floats(tokens, p->values[v].width) : 0;
        most = width > most ? width : most;
        most = rounding > most ? rounding : most;
    }
    size_t hidden = (size_t)p->values[p->output].width;
    int key = bs_program_find(p, "key");
    size_t stored = key < 0 ? 0 : (size_t)tokens * (size_t)p->values[key].width;
    return layout.floats + most + bs_scratch_floats(stored) +
           bs_scratch_floats((size_t)tokens * hidden) + bs_scratch_floats(hidden);
}

size_t bs_block_scratch_floats(const struct bs_architecture *a, int tokens)
{
    size_t most = 0;
    for (int k = 0; k < a->num_kinds; k++) {
        size_t floats = scratch_floats(&a->programs[k], tokens);
        most = floats > most ? floats : most;
    }
    return most;
}
