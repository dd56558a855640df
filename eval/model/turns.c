/* Factors that are moved between the tensors of a block, and turns of its channels. */
#include "eval/model/model.h"

#include <assert.h>
#include <omp.h>
#include <stdint.h>

#include "eval/base/mem.h"
#include "eval/model/operations.h"

/* Records a change at all of these. They have changed together before, so that none of those taken
 * back is a diagonal. */
static enum bs_status record_at(struct bs_bases *const *all, int count,
                                const struct bs_basis *basis, struct bs_error *err)
{
    for (int k = 0; k < count; k++)
        if (bs_bases_add(all[k], basis, err)) {
            while (k-- > 0)
                bs_bases_drop(all[k]);
            return err->status;
        }
    return BS_OK;
}

/* Records a change at the linear that makes a site (slot -1: none does) and at those that read
 * it. */
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
    return record_at(all, count, basis, err);
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
        for (int j = 0; j < width; j++)
            block->hidden_scale[j] = 1;
    }
    for (int j = 0; j < width; j++)
        block->hidden_scale[j] *= scale[j];
    return BS_OK;
}

static bool is_online(const struct bs_block *block, int site)
{
    return block->online && block->online[site].values;
}

bool bs_block_folds(const struct bs_block *block, int site)
{
    return block->program->folds[site].op >= 0 && !is_online(block, site);
}

enum bs_status bs_block_fold(struct bs_block *block, int site, const float *scale,
                             struct bs_error *err)
{
    const struct bs_program *p = block->program;
    struct bs_fold fold = p->folds[site];
    assert(bs_block_folds(block, site));
    const struct bs_op *op = &p->ops[fold.op];
    struct bs_basis basis = {BS_DIAGONAL, p->values[site].width, 1, (float *)(uintptr_t)scale};
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
    for (int i = 0; i < linear->out_features; i += bs_basis_span(turn)) {
        bs_basis_turn(turn, false, linear->weight + (size_t)i * in, linear->in_features, room);
        if (linear->bias)
            bs_basis_turn(turn, false, linear->bias + i, 1, room);
    }
}

/* W T^-1: of each row, T is applied to it. room: the span for each thread. */
static void turn_columns(struct bs_linear *linear, const struct bs_basis *turn, float *room)
{
    forget_file(linear);
    size_t in = (size_t)linear->in_features, span = (size_t)bs_basis_span(turn);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < linear->out_features; i++)
        for (size_t j = 0; j < in; j += span)
            bs_basis_turn(turn, false, linear->weight + (size_t)i * in + j, 1,
                          room + (size_t)omp_get_thread_num() * span);
}

/* Room for either, of linears of so many columns. */
static float *room_for(const struct bs_basis *turn, int columns)
{
    size_t span = (size_t)bs_basis_span(turn), threads = (size_t)omp_get_max_threads();
    size_t widest = (size_t)columns > threads ? (size_t)columns : threads;
    return bs_alloc(span * widest, sizeof(float));
}

enum bs_status bs_block_turn(struct bs_block *block, int site, const struct bs_basis *turn,
                             struct bs_error *err)
{
    const struct bs_program *p = block->program;
    const struct bs_value *value = &p->values[site];
    int between, slots[BS_MAX_SLOTS], count = bs_program_scaled(p, site, slots);
    int before = bs_program_source(p, site, &between);
    assert(bs_basis_turns(turn));
    if (before < 0)
        return bs_fail(err, BS_EUNSUPPORTED, "%s cannot be turned: %s%s", value->name,
                       between < 0 ? "not only linears read it" : "what makes it is ",
                       between < 0 ? "" : bs_op_types[p->ops[between].kind].name);
    if (is_online(block, site))
        return bs_fail(err, BS_EUNSUPPORTED, "%s cannot be turned: it is turned online",
                       value->name);
    if (bs_is_made_by(p, site, BS_OP_ATTEND))
        value = &p->values[p->ops[value->made_by].in[2]];
    int head = value->width / value->heads;
    if (head % bs_basis_span(turn))
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s cannot be turned %d channels at a time: its heads have %d",
                       p->values[site].name, bs_basis_span(turn), head);
    float *room = room_for(turn, block->linears[before].in_features);
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

/* --- online --- */

static bool only_linears_read(const struct bs_program *p, int site)
{
    bool only = true;
    for (int i = 0; i < p->num_ops; i++)
        for (int k = 0; k < 3; k++)
            only &= p->ops[i].in[k] != site || p->ops[i].kind == BS_OP_LINEAR;
    return only;
}

enum bs_status bs_block_turn_online(struct bs_block *block, int site, const struct bs_basis *turn,
                                    struct bs_error *err)
{
    const struct bs_program *p = block->program;
    int slots[BS_MAX_SLOTS], count = bs_program_readers(p, site, slots);
    assert(bs_basis_turns(turn));
    if (p->values[site].width % bs_basis_span(turn))
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s cannot be turned online %d channels at a time: it has %d",
                       p->values[site].name, bs_basis_span(turn), p->values[site].width);
    if (is_online(block, site) || !only_linears_read(p, site))
        return bs_fail(err, BS_EUNSUPPORTED, "%s cannot be turned online: %s", p->values[site].name,
                       is_online(block, site) ? "it is already" : "not only linears read it");
    float *room = room_for(turn, 1);
    if (!room)
        return bs_fail_memory(err);
    enum bs_status status = bs_basis_copy(&block->online[site], turn, err);
    if (!status && record(block, -1, site, turn, err)) {
        status = err->status;
        bs_free(block->online[site].values);
        block->online[site].values = NULL;
    }
    for (int k = 0; k < count && !status; k++)
        turn_columns(&block->linears[slots[k]], turn, room);
    bs_free(room);
    return status;
}

enum bs_status bs_block_turn_keys(struct bs_block *block, const struct bs_basis *turn,
                                  struct bs_error *err)
{
    const struct bs_program *p = block->program;
    int i = 0;
    while (p->ops[i].kind != BS_OP_ATTEND)
        i++;
    int query = p->ops[i].in[0], key = p->ops[i].in[1];
    assert(bs_basis_turns(turn));
    assert(p->values[key].width / p->values[key].heads % bs_basis_span(turn) == 0);
    if (is_online(block, query) || is_online(block, key))
        return bs_fail(err, BS_EUNSUPPORTED, "queries and keys are turned already");
    if (bs_basis_copy(&block->online[query], turn, err))
        return err->status;
    if (!bs_basis_copy(&block->online[key], turn, err))
        return BS_OK;
    bs_free(block->online[query].values);
    block->online[query].values = NULL;
    return err->status;
}

/* --- the residual stream --- */

/* The bias takes over what the weights made of the norm's. */
static enum bs_status fold_norm_bias(struct bs_linear *linear, const struct bs_norm *norm,
                                     struct bs_error *err)
{
    size_t in = (size_t)linear->in_features;
    struct bs_basis shift = {BS_SHIFT, linear->in_features, 1, norm->bias};
    if (bs_bases_add(&linear->in, &shift, err))
        return err->status;
    if (!linear->bias)
        linear->bias = bs_calloc((size_t)linear->out_features, sizeof *linear->bias);
    if (!linear->bias)
        return bs_fail_memory(err);
    for (int i = 0; i < linear->out_features; i++) {
        double sum = (double)linear->bias[i];
        for (size_t j = 0; j < in; j++)
            sum += (double)linear->weight[(size_t)i * in + j] * (double)norm->bias[j];
        linear->bias[i] = (float)sum;
    }
    return BS_OK;
}

/* Where a weight of the norm is 0 the linear's channel gets nothing, and need not be brought back.
 * */
static enum bs_status fold_norm(struct bs_linear *linear, const struct bs_norm *norm,
                                struct bs_error *err)
{
    if (norm->kind == BS_LAYER_NORM && fold_norm_bias(linear, norm, err))
        return err->status;
    float *factors = bs_alloc((size_t)norm->width, sizeof *factors);
    if (!factors)
        return bs_fail_memory(err);
    for (int j = 0; j < norm->width; j++)
        factors[j] = norm->weight[j] != 0 ? norm->weight[j] : 1;
    const struct bs_basis diagonal = {BS_DIAGONAL, norm->width, 1, factors};
    enum bs_status status = bs_bases_add(&linear->in, &diagonal, err);
    bs_free(factors);
    if (!status)
        scale_columns(linear, norm->weight);
    return status;
}

static enum bs_status turn_reader(struct bs_block *block, int slot, int norm,
                                  const struct bs_basis *turn, float *room, struct bs_error *err)
{
    struct bs_linear *linear = &block->linears[slot];
    if ((norm >= 0 && fold_norm(linear, &block->norms[norm], err)) ||
        bs_bases_add(&linear->in, turn, err))
        return err->status;
    turn_columns(linear, turn, room);
    return BS_OK;
}

/* Takes the mean over outputs from the columns, and from the bias. */
static void centre_rows(struct bs_linear *linear)
{
    size_t in = (size_t)linear->in_features, out = (size_t)linear->out_features;
    double bias = 0;
    for (size_t j = 0; j < in; j++) {
        double sum = 0;
        for (size_t i = 0; i < out; i++)
            sum += (double)linear->weight[i * in + j];
        for (size_t i = 0; i < out; i++)
            linear->weight[i * in + j] -= (float)(sum / (double)out);
    }
    for (size_t i = 0; linear->bias && i < out; i++)
        bias += (double)linear->bias[i];
    for (size_t i = 0; linear->bias && i < out; i++)
        linear->bias[i] -= (float)(bias / (double)out);
}

static enum bs_status turn_writer(struct bs_linear *linear, bool centre,
                                  const struct bs_basis *turn, float *room, struct bs_error *err)
{
    const struct bs_basis mean = {BS_CENTRE, linear->out_features, 1, NULL};
    if ((centre && bs_bases_add(&linear->out, &mean, err)) || bs_bases_add(&linear->out, turn, err))
        return err->status;
    if (centre)
        centre_rows(linear);
    turn_rows(linear, turn, room);
    return BS_OK;
}

/* A norm without weights. A layer norm of what has no mean is an RMS norm. */
static void make_plain(struct bs_norm *norm)
{
    norm->kind = BS_RMS_NORM;
    for (int j = 0; j < norm->width; j++)
        norm->weight[j] = 1;
    for (int j = 0; norm->bias && j < norm->width; j++)
        norm->bias[j] = 0;
}

static enum bs_status note_residual(struct bs_block *block, bool centre,
                                    const struct bs_basis *turn, struct bs_error *err)
{
    int width = block->program->values[0].width;
    const struct bs_basis mean = {BS_CENTRE, width, 1, NULL};
    if (!block->residual.count && bs_bases_init(&block->residual, width, err))
        return err->status;
    if (centre && bs_bases_add(&block->residual, &mean, err))
        return err->status;
    return bs_bases_add(&block->residual, turn, err);
}

/* Whether any norm before linears takes the mean away. */
static bool takes_means(const struct bs_block *block, const struct bs_residual_use *use)
{
    bool any = false;
    for (int s = 0; s < block->program->num_slots; s++)
        any |= use->reads[s] && use->norm[s] >= 0 && block->norms[use->norm[s]].kind != BS_RMS_NORM;
    return any;
}

enum bs_status bs_block_turn_residual(struct bs_block *block, const struct bs_basis *turn,
                                      struct bs_error *err)
{
    const struct bs_program *p = block->program;
    struct bs_residual_use use;
    int widest = 1;
    assert(bs_basis_turns(turn) && p->values[0].width % bs_basis_span(turn) == 0);
    if (bs_program_residual(p, &use, err))
        return err->status;
    bool centre = takes_means(block, &use);
    for (int s = 0; s < p->num_slots && centre; s++)
        if (use.reads[s] && use.norm[s] < 0)
            return bs_fail(err, BS_EUNSUPPORTED,
                           "the residual stream cannot be turned: %s reads its mean",
                           p->slots[s].name);
    for (int s = 0; s < p->num_slots; s++)
        widest = p->slots[s].in > widest ? p->slots[s].in : widest;
    float *room = room_for(turn, widest);
    enum bs_status status = room ? note_residual(block, centre, turn, err) : bs_fail_memory(err);
    for (int s = 0; s < p->num_slots && !status; s++) {
        if (use.reads[s])
            status = turn_reader(block, s, use.norm[s], turn, room, err);
        if (use.writes[s] && !status)
            status = turn_writer(&block->linears[s], centre, turn, room, err);
    }
    for (int s = 0; s < p->num_slots && !status; s++)
        if (use.reads[s] && use.norm[s] >= 0)
            make_plain(&block->norms[use.norm[s]]);
    bs_free(room);
    return status;
}
