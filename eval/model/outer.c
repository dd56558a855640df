/* The matrices outside the blocks, embedding and head, as places that are turned and rounded. */
#include <omp.h>

#include "eval/base/mem.h"
#include "eval/model/model_internal.h"

void bs_outer_places(const struct bs_architecture *a, struct bs_place places[BS_NUM_OUTER])
{
    static const char *const names[] = {[BS_EMBEDDING] = "embedding", [BS_HEAD] = "head"};
    for (int w = 0; w < BS_NUM_OUTER; w++)
        places[w] = (struct bs_place){names[w], "weight", a->vocab_size, a->embedding_size, w};
}

static const struct bs_tensor *tensor_of(const struct bs_model *model, enum bs_outer which)
{
    return which == BS_EMBEDDING ? model->embedding : model->head;
}

const char *const bs_outer_part_names[BS_NUM_OUTER_PARTS] = {
    [BS_PART_POSITIONS] = "the learned positions",
    [BS_PART_PROJECT_IN] = "the projection after the embedding",
    [BS_PART_PROJECT_OUT] = "the projection before the head",
    [BS_PART_EMBEDDING_NORM] = "the embedding's norm",
    [BS_PART_EMBEDDING_NORM_BIAS] = "the bias of the embedding's norm",
    [BS_PART_FINAL_NORM] = "the final norm",
    [BS_PART_FINAL_NORM_BIAS] = "the bias of the final norm",
    [BS_PART_HEAD_BIAS] = "the head's bias",
};

enum bs_status bs_model_outer_part(const struct bs_model *model, enum bs_outer_part part,
                                   float **values, size_t *count, struct bs_error *err)
{
    const struct bs_tensor *const all[BS_NUM_OUTER_PARTS] = {
        model->positions,           model->project_in,
        model->project_out,         model->embedding_norm.weight,
        model->embedding_norm.bias, model->final_norm.weight,
        model->final_norm.bias,     model->head_bias,
    };
    const struct bs_tensor *tensor = all[part];
    bool plus_one = (part == BS_PART_EMBEDDING_NORM || part == BS_PART_FINAL_NORM) &&
                    model->architecture.stored.norm_plus_one;
    *count = tensor ? tensor->count : 0;
    *values = tensor ? bs_alloc(*count, sizeof **values) : NULL;
    if (!tensor)
        return BS_OK;
    if (!*values)
        return bs_fail_memory(err);
    bs_tensor_read(tensor, 0, *count, *values);
    for (size_t i = 0; plus_one && i < *count; i++)
        (*values)[i] += 1;
    return BS_OK;
}

double bs_model_outer_bits(const struct bs_model *model, enum bs_outer which)
{
    const struct bs_coded *coded = tensor_of(model, which)->coded;
    return coded ? coded->bits : 0;
}

float *bs_outer_room(const struct bs_outer_rounding *rounding)
{
    size_t span = (size_t)bs_bases_span(rounding->basis);
    return rounding->room + (size_t)omp_get_thread_num() * span;
}

void bs_outer_turn(const struct bs_outer_rounding *rounding, int count, float *rows)
{
    const struct bs_norm *norm = &rounding->norm;
    if (!rounding->basis || rounding->late)
        return;
    for (int i = 0; i < count; i++)
        for (int j = 0; j < norm->width; j++)
            rows[(size_t)i * (size_t)norm->width + (size_t)j] *= norm->weight[j];
    if (rounding->which == BS_HEAD)
        bs_bases_read(rounding->basis, rows, count, bs_outer_room(rounding));
    else
        bs_bases_apply(rounding->basis, rows, count, bs_outer_room(rounding));
}

/* What all of the matrix shares, from all of its values. */
static enum bs_status fit_shared(const struct bs_model *model, const struct bs_tensor *tensor,
                                 struct bs_outer_rounding *rounding, struct bs_error *err)
{
    float *all = bs_alloc(tensor->count, sizeof *all);
    if (!all)
        return bs_fail_memory(err);
    bs_tensor_read(tensor, 0, tensor->count, all);
    bs_checkpoint_forget(model->checkpoint, tensor);
    bs_outer_turn(rounding, model->architecture.vocab_size, all);
    enum bs_status status =
        bs_tensor_fit(rounding->setting, &rounding->layout, all, &rounding->shared, err);
    bs_free(all);
    return status;
}

/* How the stream's basis, where it is another one, comes to the matrix. */
static enum bs_status init_basis(const struct bs_model *model, const struct bs_bases *basis,
                                 struct bs_outer_rounding *rounding, struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    if (!basis)
        return BS_OK;
    rounding->basis = basis;
    rounding->room =
        bs_alloc((size_t)bs_threads() * (size_t)bs_bases_span(basis), sizeof *rounding->room);
    if (!rounding->room)
        return bs_fail_memory(err);
    rounding->late =
        rounding->which == BS_EMBEDDING && (a->family->embedding_norm || model->project_in);
    if (rounding->which == BS_HEAD && model->project_out)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "the residual stream cannot be turned: a projection stands before the head");
    return rounding->which == BS_HEAD && a->final_norm
               ? bs_model_final_norm(model, &rounding->norm, err)
               : BS_OK;
}

static enum bs_status init_rounding(const struct bs_model *model, const struct bs_setting *setting,
                                    const float *importance, struct bs_outer_rounding *rounding,
                                    struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    struct bs_place places[BS_NUM_OUTER];
    enum bs_outer which = rounding->which;
    bs_outer_places(a, places);
    bool one = a->tied_head && !rounding->basis; /* one tensor, one set of draws */
    rounding->setting = setting;
    rounding->importance = importance;
    rounding->rounder = bs_rounder_of(
        setting, bs_draw_place(BS_MAX_LAYERS, false, one ? BS_EMBEDDING : (int)which));
    enum bs_status status =
        bs_setting_lay(setting, places[which].out, places[which].width, &rounding->layout, err);
    if (!status && rounding->layout.tensor_bytes)
        status = fit_shared(model, tensor_of(model, which), rounding, err);
    return status ? bs_fail_within(err, "%s", places[which].name) : BS_OK;
}

enum bs_status bs_outer_rounding_init(const struct bs_model *model, enum bs_outer which,
                                      const struct bs_setting *setting, const float *importance,
                                      const struct bs_bases *basis,
                                      struct bs_outer_rounding *rounding, struct bs_error *err)
{
    *rounding = (struct bs_outer_rounding){.which = which};
    enum bs_status status = init_basis(model, basis, rounding, err);
    if (!status && bs_setting_quantizes(setting))
        status = init_rounding(model, setting, importance, rounding, err);
    if (status)
        bs_outer_rounding_release(rounding);
    return status;
}

void bs_outer_rounding_release(struct bs_outer_rounding *rounding)
{
    bs_free(rounding->shared);
    bs_free(rounding->room);
    bs_norm_release(&rounding->norm);
    *rounding = (struct bs_outer_rounding){.setting = NULL};
}

enum bs_status bs_outer_codes(const struct bs_outer_rounding *rounding, int first, int count,
                              const float *rows, struct bs_codes *codes, struct bs_error *err)
{
    const struct bs_shared shared = {rounding->layout, rounding->shared, first};
    int in = rounding->layout.in;
    if (bs_codes_init(codes, rounding->setting, 0, count, in, err))
        return err->status;
    codes->shared.first = first;
    codes->rounder = bs_rounder_from(rounding->rounder, (uint64_t)first * (uint64_t)in);
    codes->importance = rounding->importance;
    enum bs_status status = bs_codes_round(codes, rows, &shared, err);
    codes->importance = NULL;
    return status;
}

void bs_outer_round(const struct bs_outer_rounding *rounding, int first, int count, float *rows)
{
    bs_outer_turn(rounding, count, rows);
    if (rounding->setting)
        bs_weights_round(rounding->setting, &rounding->layout, rounding->shared, rounding->rounder,
                         first, rounding->importance, rows, count);
}
