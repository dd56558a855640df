#include "eval/export/gguf_types.h"

#include <string.h>

#include "eval/quant/mix.h"
#include "eval/recipe/assign.h"

const char *const bs_gguf_plain_words[] = {"auto", "f32", "f16", "bf16", NULL};

bool bs_gguf_rewrites(const struct bs_recipe *recipe)
{
    for (int s = 0; s < recipe->num_steps; s++)
        if (bs_algorithm_of(&recipe->steps[s])->prepare_block)
            return true;
    return false;
}

/* Of a matrix that is not quantized; `rewritten`: a step may have given it other values. */
static const struct bs_gguf_type *plain_type(const struct bs_export *export,
                                             const struct bs_tensor *tensor, bool rewritten)
{
    static const uint32_t asked[] = {[BS_GGUF_PLAIN_F32] = BS_GGML_F32,
                                     [BS_GGUF_PLAIN_F16] = BS_GGML_F16,
                                     [BS_GGUF_PLAIN_BF16] = BS_GGML_BF16};
    const struct bs_gguf_options *own = export->options;
    if (own->plain != BS_GGUF_PLAIN_AUTO)
        return bs_gguf_type_find(asked[own->plain]);
    if (!tensor || rewritten)
        return bs_gguf_type_find(BS_GGML_F32);
    if (tensor->coded)
        return tensor->coded->blocks ? tensor->coded->blocks : bs_gguf_type_find(BS_GGML_F32);
    return bs_gguf_type_find(tensor->dtype == BS_F16    ? BS_GGML_F16
                             : tensor->dtype == BS_BF16 ? BS_GGML_BF16
                                                        : BS_GGML_F32);
}

/* Of one that a setting quantizes; NULL after bs_fail. */
static const struct bs_gguf_type *quantized_type(const struct bs_setting *setting, const char *name,
                                                 struct bs_error *err)
{
    const char *format = setting->format.plugin->name;
    const struct bs_gguf_type *type = bs_gguf_type_of_format(format);
    if (!type)
        bs_fail(
            err, BS_EUNSUPPORTED,
            "%s: GGUF files have no type for weights of format %s, expected one of theirs, such "
            "as %s",
            name, format, bs_gguf_type_find(BS_GGUF_USUAL)->format);
    return type;
}

/* Whether a slot stands in the tensor. */
static bool is_of(const struct bs_program *p, const struct bs_gguf_matrix *matrix, int slot)
{
    if (matrix->experts)
        return p->slots[slot].expert >= 0 &&
               !strcmp(p->slots[slot].role, p->slots[matrix->first].role);
    return slot >= matrix->first && slot <= matrix->last;
}

const struct bs_gguf_type *bs_gguf_matrix_type(const struct bs_export *export, int layer,
                                               const struct bs_assignment *at,
                                               const struct bs_gguf_matrix *matrix,
                                               const struct bs_tensor *tensor, struct bs_error *err)
{
    const struct bs_program *p = bs_program_of(bs_model_architecture(export->model), layer);
    for (int s = matrix->first + 1; s < p->num_slots; s++)
        if (is_of(p, matrix, s) && !bs_setting_equal(at->weights[matrix->first], at->weights[s])) {
            bs_fail(err, BS_EUNSUPPORTED,
                    "%s: its linears stand in one tensor and are rounded differently, expected one "
                    "format",
                    matrix->name);
            return NULL;
        }
    const struct bs_setting *setting = at->weights[matrix->first];
    return bs_setting_quantizes(setting)
               ? quantized_type(setting, matrix->name, err)
               : plain_type(export, tensor, bs_gguf_rewrites(export->recipe));
}

const struct bs_gguf_type *bs_gguf_outer_type(const struct bs_export *export, enum bs_outer which,
                                              const struct bs_setting **setting,
                                              struct bs_error *err)
{
    struct bs_outer_assignment outer;
    bs_recipe_assign_outer(export->recipe, bs_model_architecture(export->model), &outer);
    *setting = outer.of[which];
    const struct bs_tensor *tensor = bs_model_outer_tensor(export->model, which);
    return bs_setting_quantizes(*setting)
               ? quantized_type(*setting, which == BS_HEAD ? "head" : "embedding", err)
               : plain_type(export, tensor, false);
}

/* --- what the file is called --- */

/* llama.cpp's number for a file most of whose matrices are of a type (enum llama_ftype); -1: it has
 * none. */
static int file_type_of(uint32_t type)
{
    static const struct {
        unsigned char type, file;
    } all[] = {
        {BS_GGML_F32, 0},   {BS_GGML_F16, 1}, {2, 2},   {3, 3},   {8, 7},   {6, 8},   {7, 9},
        {10, 10},           {11, 12},         {12, 15}, {13, 17}, {14, 18}, {16, 19}, {17, 20},
        {18, 23},           {19, 24},         {20, 25}, {21, 26}, {22, 28}, {23, 30}, {29, 31},
        {BS_GGML_BF16, 32}, {34, 36},         {35, 37}, {39, 38}, {40, 39}, {41, 40}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].type == type)
            return all[i].file;
    return -1;
}

/* The type of the most values of the blocks' matrices. */
static uint32_t commonest_type(const struct bs_export *export)
{
    enum { TYPES = 64 };
    const struct bs_architecture *a = bs_model_architecture(export->model);
    double values[TYPES] = {0};
    uint32_t best = BS_GGML_F32;
    for (int l = 0; l < a->num_layers; l++) {
        const struct bs_program *p = bs_program_of(a, l);
        struct bs_assignment at;
        bs_recipe_assign(export->recipe, a, l, &at);
        for (int s = 0; s < p->num_slots; s++) {
            const struct bs_setting *setting = at.weights[s];
            const struct bs_gguf_type *type =
                bs_setting_quantizes(setting)
                    ? bs_gguf_type_of_format(setting->format.plugin->name)
                    : plain_type(export, bs_model_slot_tensor(export->model, l, s),
                                 bs_gguf_rewrites(export->recipe));
            if (type && type->id < TYPES)
                values[type->id] += (double)p->slots[s].out * p->slots[s].in;
        }
    }
    for (uint32_t t = 0; t < TYPES; t++)
        best = values[t] > values[best] ? t : best;
    return best;
}

uint32_t bs_gguf_file_type(const struct bs_export *export)
{
    const int guessed = 1024; /* what llama.cpp calls a file that does not say */
    int mix = bs_mix_file_type(export->recipe->weights.mix);
    int type = mix >= 0 ? mix : file_type_of(commonest_type(export));
    return (uint32_t)(type >= 0 ? type : guessed);
}
