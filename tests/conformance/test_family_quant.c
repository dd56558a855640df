/* What quantization must do with every model family, on each tiny model of tests/golden/families:
 * factors fold into whatever stands before a set and leave the function as it is, every algorithm
 * and every kind of activation goes through, and a tensor that holds q, k and v is quantized as the
 * one that it is. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/vector.h"
#include "eval/run/apply.h"
#include "eval/run/walk.h"
#include "tests/support/settings.h"
#include "tests/support/close.h"
#include "tests/support/families.h"
#include "tests/support/variants.h"
#include "tests/support/random_block.h"
#include "tests/support/recipes.h"
#include "tests/support/values.h"

enum { WIDEST = 64, MOST_RIDERS = 64 };

static json_t *rows;

/* One model with the inputs of the block at hand. */
struct subject {
    const char *name;
    struct bs_model *model;
    const struct bs_architecture *a;
    struct bs_windows text;
    struct bs_rope *rope;
    struct bs_scratch *scratch;
    struct bs_stream inputs;
    struct bs_block block;
};

static void check(const struct subject *s, enum bs_status status, const struct bs_error *err)
{
    if (status)
        fail_msg("%s: %s", s->name, err->message);
}

static void subject_open(struct subject *s, const json_t *row)
{
    struct bs_error err;
    *s = (struct subject){.name = json_string_value(json_object_get(row, "name")),
                          .model = family_open(row),
                          .text = family_windows(row)};
    s->a = bs_model_architecture(s->model);
    const int lengths[] = {1, s->text.tokens}; /* assert_outputs_quantized looks at one token */
    s->rope = bs_rope_create(s->a, lengths, 2);
    s->scratch = bs_scratch_create(bs_threads(), 2 * bs_block_scratch_floats(s->a, s->text.tokens));
    assert_true(s->rope && s->scratch);
    check(s, bs_stream_init(&s->inputs, s->text.windows, s->text.tokens, s->a->hidden_size, &err),
          &err);
    check(s,
          bs_model_embed(s->model, NULL, s->text.ids, s->text.windows, s->text.tokens,
                         s->inputs.data, &err),
          &err);
}

static void subject_close(struct subject *s)
{
    bs_block_release(&s->block);
    bs_stream_release(&s->inputs);
    bs_scratch_free(s->scratch, bs_threads());
    bs_rope_free(s->rope);
    bs_windows_release(&s->text);
    bs_model_free(s->model);
}

static void load(struct subject *s, int index)
{
    struct bs_error err;
    bs_block_release(&s->block);
    check(s, bs_block_load(s->model, index, &s->block, &err), &err);
}

/* Moves the inputs to the far side of the block that is loaded. */
static void push(struct subject *s)
{
    struct bs_error err;
    check(s, bs_stream_push(&s->block, s->rope, &s->inputs, s->scratch, &err), &err);
}

/* What the block makes of the inputs; bs_stream_release. */
static struct bs_stream outputs_of(const struct subject *s, const struct bs_block *block)
{
    struct bs_error err;
    struct bs_stream out;
    const struct bs_stream *in = &s->inputs;
    check(s, bs_stream_init(&out, in->windows, in->tokens, in->width, &err), &err);
    memcpy(out.data, in->data, (size_t)(in->windows * in->tokens * in->width) * sizeof(float));
    check(s, bs_stream_push(block, s->rope, &out, s->scratch, &err), &err);
    return out;
}

/* Calls `test` for every block of every model, its inputs those of the unquantized model. */
static void for_every_block(void test(struct subject *s, void *context), void *context)
{
    const json_t *row;
    size_t i;
    assert_true(json_array_size(rows) > 0);
    json_array_foreach(rows, i, row)
    {
        struct subject s;
        subject_open(&s, row);
        for (int b = 0; b < s.a->num_layers; b++) {
            load(&s, b);
            test(&s, context);
            push(&s);
        }
        subject_close(&s);
    }
}

/* --- folding --- */

/* How many sites folded into ops of each kind; how many into none. */
struct seen {
    int folds[BS_NUM_OPS], none;
    int norm_biases, linear_biases;
};

/* True where a factor of the site has a place to go, the row of a linear for each channel here. */
static bool can_fold(const struct bs_program *p, int site)
{
    if (bs_folds_into(p, site, BS_OP_LINEAR))
        return p->slots[p->folds[site].slot].out == p->values[site].width;
    return p->folds[site].op >= 0;
}

/* Folds powers of two: with these every product is the same bits. */
static void fold(const struct subject *s, struct bs_block *block, int site, uint64_t *seed)
{
    struct bs_error err;
    float scale[WIDEST];
    int in = s->block.program->values[site].width;
    assert_in_range(in, 1, WIDEST);
    for (int j = 0; j < in; j++)
        scale[j] = ldexpf(1, (int)(16 * random_unit(seed)) - 8);
    check(s, bs_block_fold(block, site, scale, &err), &err);
}

static void assert_same_function(const struct subject *s, const struct bs_block *folded)
{
    struct bs_stream want = outputs_of(s, &s->block), got = outputs_of(s, folded);
    size_t size = (size_t)(want.windows * want.tokens * want.width) * sizeof(float);
    if (memcmp(want.data, got.data, size))
        fail_msg("%s, block %d: not the same function", s->name, s->block.index);
    bs_stream_release(&want);
    bs_stream_release(&got);
}

/* got[i] * scale[i] is what was there, to the bit; either both or neither are. */
static void assert_divided(const float *got, const float *original, const float *scale, int count)
{
    assert_true(!got == !original);
    for (int i = 0; got && i < count; i++)
        assert_true(got[i] * scale[i] == original[i]);
}

/* weight[i][j] stands for W[i][j] * in_scale[j] / out_scale[i]. */
static void assert_weights_accounted(const struct bs_linear *got, const struct bs_linear *original)
{
    for (int i = 0; i < got->out_features; i++)
        for (int j = 0; j < got->in_features; j++) {
            int at = i * got->in_features + j;
            assert_true(got->weight[at] * got->out.list[0].values[i] / got->in.list[0].values[j] ==
                        original->weight[at]);
        }
    assert_divided(got->bias, original->bias, got->out.list[0].values, got->out_features);
}

/* What the site's factor folds into was divided by what the columns were multiplied by. */
static void assert_fold_accounted(const struct subject *s, const struct bs_block *folded, int site,
                                  struct seen *seen)
{
    const struct bs_program *p = s->block.program;
    const struct bs_op *op = &p->ops[p->folds[site].op];
    int slots[BS_MAX_SLOTS], count = bs_program_readers(p, site, slots);
    const struct bs_linear *first = &folded->linears[slots[0]];
    int in = first->in_features;
    size_t size = (size_t)in * sizeof(float);
    for (int k = 1; k < count; k++)
        assert_memory_equal(folded->linears[slots[k]].in.list[0].values, first->in.list[0].values,
                            size);
    if (op->kind == BS_OP_NORM) {
        const struct bs_norm *norm = &folded->norms[op->detail],
                             *norm_was = &s->block.norms[op->detail];
        assert_int_equal(norm->width, in);
        assert_divided(norm->weight, norm_was->weight, first->in.list[0].values, in);
        assert_divided(norm->bias, norm_was->bias, first->in.list[0].values, in);
        seen->norm_biases += norm->bias != NULL;
    } else if (op->kind == BS_OP_LINEAR) {
        const struct bs_linear *before = &folded->linears[p->folds[site].slot];
        assert_memory_equal(before->out.list[0].values, first->in.list[0].values, size);
        seen->linear_biases += before->bias != NULL;
    } else {
        assert_non_null(folded->hidden_scale);
        assert_memory_equal(folded->hidden_scale, first->in.list[0].values, size);
    }
    seen->folds[op->kind]++;
}

static void assert_folds(struct subject *s, void *context)
{
    struct bs_error err;
    struct seen *seen = context;
    const struct bs_program *p = s->block.program;
    struct bs_block folded = {.architecture = NULL}, alone = {.architecture = NULL};
    uint64_t seed = 7;
    int folds = 0;
    check(s, bs_block_copy(&folded, &s->block, &err), &err);
    for (int k = 0; k < p->num_inputs; k++) {
        int site = p->inputs[k];
        seen->none += p->folds[site].op < 0;
        if (!can_fold(p, site))
            continue;
        check(s, bs_block_copy(&alone, &s->block, &err), &err);
        fold(s, &alone, site, &seed);
        assert_same_function(s, &alone);
        assert_fold_accounted(s, &alone, site, seen);
        fold(s, &folded, site, &seed);
        folds++;
    }
    assert_true(folds > 0);
    assert_same_function(s, &folded);
    assert_false(same_block(&folded, &s->block));
    for (int i = 0; i < p->num_slots; i++)
        assert_weights_accounted(&folded.linears[i], &s->block.linears[i]);
    bs_block_release(&folded);
    bs_block_release(&alone);
}

static void folding_keeps_the_function_of_every_family(void **state)
{
    (void)state;
    struct seen seen = {.norm_biases = 0};
    for_every_block(assert_folds, &seen);
    assert_true(seen.none > 0 && seen.folds[BS_OP_DIVIDE] > 0);
    assert_true(seen.norm_biases > 0 && seen.norm_biases < seen.folds[BS_OP_NORM]);
    assert_true(seen.linear_biases > 0 && seen.linear_biases < seen.folds[BS_OP_LINEAR]);
}

/* --- every algorithm --- */

struct ride {
    int count;
    struct bs_recipe recipes[MOST_RIDERS];
    double bar[MOST_RIDERS]; /* of the mean KL divergence, in nats */
    struct bs_variant variants[MOST_RIDERS];
};

/* Widths end within a group of 8. */
static const char *const groups[] = {"channel", "8"};

static void add(struct ride *ride, const char *chain, const char *settings, double bar)
{
    assert_in_range(ride->count, 0, MOST_RIDERS - 1);
    struct bs_recipe *recipe = &ride->recipes[ride->count];
    recipe_build(recipe, chain, settings);
    ride->variants[ride->count] = (struct bs_variant){.recipe = recipe, .wanted = {true}};
    ride->bar[ride->count++] = bar;
}

/* Without a bar: 3 and 4 bits, where any figure may come out of so small a model. */
static void add_all(struct ride *ride)
{
    static const char *const near[] = {"rtn", "gptq", "awq", "smoothquant"};
    static const char *const sharings[] = {"token", "window", "static"};
    char settings[128];
    *ride = (struct ride){.count = 0};
    for (int i = 0; bs_algorithm_at(i); i++)
        for (int g = 0; g < 2; g++)
            for (int bits = 3; bits <= 4; bits++) {
                snprintf(settings, sizeof settings, "bits=%d group_size=%s", bits, groups[g]);
                add(ride, bs_algorithm_at(i)->plugin.name, settings, (double)INFINITY);
            }
    for (size_t i = 0; i < sizeof near / sizeof *near; i++)
        add(ride, near[i], "bits=8", 0.02);
    for (int g = 0; g < 3; g++)
        for (int bmm = 0; bmm < 2; bmm++) {
            snprintf(settings, sizeof settings,
                     "bits=8 group_size=%s a.bits=8 a.sharing=%s a.where=%s",
                     bmm ? "tensor" : "channel", sharings[g], bmm ? "inputs,qkv" : "inputs");
            add(ride, bmm ? "smoothquant" : "smoothquant gptq", settings, 0.1);
        }
}

static void run(const struct subject *s, struct ride *ride)
{
    struct bs_error err;
    struct bs_walk walk = {.model = s->model,
                           .calibration = &s->text,
                           .num_texts = 1,
                           .texts = &s->text,
                           .layer_error_windows = 1};
    check(s, bs_walk_run(&walk, ride->variants, ride->count, &err), &err);
}

static double mean_kld(const struct bs_variant *variant, const struct bs_windows *text)
{
    size_t count = (size_t)text->windows * (size_t)(text->tokens - 1);
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)bs_figure_floats(&variant->figures[0], BS_KLD)[i];
    return sum / (double)count;
}

/* Finite figures of every linear, and the model as near the unquantized one as it should be. */
static void assert_sound(const struct subject *s, const struct ride *ride, int i)
{
    char label[128];
    const struct bs_variant *variant = &ride->variants[i];
    recipe_label(variant->recipe, label, sizeof label);
    /* What turns a model refuses sizes of which there is no Hadamard matrix. */
    if (variant->status == BS_EUNSUPPORTED &&
        bs_algorithm_find(variant->recipe->steps[0].plugin->name)->prepare_model)
        return;
    if (variant->status)
        fail_msg("%s, %s: %s", s->name, label, variant->message);
    assert_int_equal(variant->num_layers, bs_total_linears(s->a));
    for (int l = 0, first = 0; l < variant->num_layers; l++) {
        const struct bs_layer_row *row = &variant->layers[l];
        first = l && row->block != row[-1].block ? l : first;
        const struct bs_slot *slot = &bs_program_of(s->a, row->block)->slots[l - first];
        double mse = layer_value(row, "weight_mse");
        bool shown = slot->expert < 0; /* perhaps no token goes to it */
        if (slot->routes)              /* which is not rounded */
            continue;
        bool near =
            isfinite(layer_value(row, "relative_output_error")) && layer_value(row, "cosine") > 0.5;
        if (!(mse > 0 && isfinite(mse) && (near || !shown)))
            fail_msg("%s, %s: block %d, %s", s->name, label, row->block, row->name);
    }
    double kld = mean_kld(variant, &s->text);
    /* A token near the edge between two experts goes to the other one, with all it is worth. */
    double bar = (s->a->experts.count ? 5 : 1) * ride->bar[i];
    if (!(kld > 0 && kld < bar))
        fail_msg("%s, %s: mean KL divergence %g", s->name, label, kld);
}

static void ride_release(struct ride *ride)
{
    for (int i = 0; i < ride->count; i++) {
        bs_variant_release(&ride->variants[i]);
        bs_recipe_release(&ride->recipes[i]);
    }
}

static void every_algorithm_takes_every_family_at_any_thread_count(void **state)
{
    (void)state;
    static struct ride one, three;
    const json_t *row;
    size_t i;
    json_array_foreach(rows, i, row)
    {
        struct subject s;
        subject_open(&s, row);
        add_all(&one);
        add_all(&three);
        bs_set_threads(1);
        run(&s, &one);
        bs_set_threads(3);
        run(&s, &three);
        bs_set_threads(0);
        for (int k = 0; k < one.count; k++) {
            assert_sound(&s, &one, k);
            assert_same_variant(&one.variants[k], &three.variants[k], &s.text, 1);
        }
        ride_release(&one);
        ride_release(&three);
        subject_close(&s);
    }
}

/* --- q, k and v in one tensor --- */

static void quantize(const struct subject *s, const struct bs_recipe *recipe,
                     struct bs_block *block)
{
    struct bs_error err;
    struct bs_inputs inputs = {
        .rope = s->rope, .unquantized = &s->inputs, .quantized = &s->inputs, .scratch = s->scratch};
    check(s, bs_block_copy(block, &s->block, &err), &err);
    check(s, bs_apply_recipe(recipe, block, &inputs, &err), &err);
}

/* The grid over the rows of the slots first to last. */
static struct bs_cell grid_over(const struct subject *s, const struct bs_setting *setting,
                                int first, int last)
{
    float low = INFINITY, high = -INFINITY;
    for (int r = first; r <= last; r++) {
        const struct bs_linear *l = &s->block.linears[r];
        float least, most;
        bs_min_max(l->weight, (size_t)l->out_features * (size_t)l->in_features, &least, &most);
        low = fminf(low, least);
        high = fmaxf(high, most);
    }
    return cell_between(setting, low, high);
}

static void assert_tensor_grids(struct subject *s, void *context)
{
    int *fused_blocks = context;
    struct bs_block block = {.architecture = NULL};
    bool fused = s->a->family->fused_qkv != NULL;
    for (int k = 0; k < 2; k++) {
        struct bs_recipe recipe;
        recipe_build(&recipe, k ? "gptq" : "rtn", "bits=4 group_size=tensor");
        quantize(s, &recipe, &block);
        for (int r = 0; r < s->block.program->num_slots; r++) {
            const struct bs_slot *slot = &s->block.program->slots[r];
            if (slot->routes) /* which is not rounded */
                continue;
            struct bs_cell want = grid_over(s, &recipe.weights, slot->first, slot->last);
            if (!same_cell(bs_codes_cell(&block.linears[r].codes, 0, 0), want))
                fail_msg("%s, block %d: the grid of %s", s->name, s->block.index,
                         block.linears[r].name);
        }
        bs_recipe_release(&recipe);
    }
    bs_block_release(&block);
    *fused_blocks += fused;
}

static void a_fused_tensor_has_one_grid(void **state)
{
    (void)state;
    int fused_blocks = 0;
    for_every_block(assert_tensor_grids, &fused_blocks);
    assert_true(fused_blocks > 0);
}

/* What a forward pass shows of attention's values: the range of the outputs of q, k and v, and of
 * the first token the output of v and what o_proj reads. */
enum { MOST_SHOWN = 64 };
struct shown {
    const struct bs_program *program;
    float low[MOST_SHOWN], high[MOST_SHOWN];
    float first[MOST_SHOWN][2 * WIDEST];
};

static void show(void *context, int site, const float *x, int tokens, int stride)
{
    struct shown *shown = context;
    int width = shown->program->values[site].width;
    if (site >= MOST_SHOWN)
        return;
    for (int t = 0; t < tokens; t++) {
        float low, high;
        bs_min_max(x + (size_t)t * (size_t)stride, (size_t)width, &low, &high);
        shown->low[site] = fminf(shown->low[site], low);
        shown->high[site] = fmaxf(shown->high[site], high);
    }
    assert_in_range(width, 1, 2 * WIDEST);
    memcpy(shown->first[site], x, (size_t)width * sizeof *x);
}

/* The block over these windows of the inputs, this many tokens of each. */
static struct shown look(const struct subject *s, const struct bs_block *block, int windows,
                         int tokens)
{
    struct shown shown = {.program = s->block.program};
    for (int v = 0; v < MOST_SHOWN; v++) {
        shown.low[v] = INFINITY;
        shown.high[v] = -INFINITY;
    }
    struct bs_observer observer = {.context = &shown, .site = show};
    size_t width = (size_t)s->a->hidden_size;
    float *y = bs_alloc((size_t)tokens * width, sizeof *y);
    assert_non_null(y);
    for (int w = 0; w < windows; w++)
        bs_block_forward(block, s->rope, bs_stream_window(&s->inputs, w), y, tokens, &observer,
                         s->scratch);
    bs_free(y);
    return shown;
}

/* One token attends to itself alone, so o_proj reads the output of v as it was quantized: by the
 * range of v, or of q, k and v where these are the output of one linear. */
static void assert_outputs_quantized(struct subject *s, const char *sharing)
{
    char settings[128];
    struct bs_recipe recipe;
    struct bs_block block = {.architecture = NULL};
    snprintf(settings, sizeof settings, "bits=8 a.bits=8 a.where=inputs,qkv a.sharing=%s", sharing);
    recipe_build(&recipe, "rtn", settings);
    quantize(s, &recipe, &block);
    struct shown one = look(s, &block, 1, 1);
    bool fixed = recipe.activations.sharing == BS_BY_STATIC;
    struct shown ranges = fixed ? look(s, &s->block, s->text.windows, s->text.tokens) : one;
    /* Where one linear makes all three, v is the last of their channels. */
    const struct bs_program *p = s->block.program;
    bool fused = s->a->family->fused_qkv != NULL;
    if (s->a->latent.key_value || s->block.vectors[BS_VECTOR_SINKS]) { /* v is not read as it is */
        bs_block_release(&block);
        bs_recipe_release(&recipe);
        return;
    }
    int made = bs_program_find(p, fused ? "qkv" : "v"), d = s->a->head_dim;
    int width = s->a->num_kv_heads * d, shared = s->a->num_heads / s->a->num_kv_heads;
    float *v = one.first[made] + p->values[made].width - width;
    const float *heads = one.first[bs_program_find(p, "o_input")];
    round_one_by_one(cell_between(&recipe.activations, ranges.low[made], ranges.high[made]), v,
                     (size_t)width);
    float clip = s->a->qkv_clip > 0 ? s->a->qkv_clip : INFINITY;
    for (int j = 0; j < width; j++)
        v[j] = fminf(fmaxf(v[j], -clip), clip);
    for (int j = 0; j < s->a->num_heads * d; j++)
        if (heads[j] != v[j / d / shared * d + j % d])
            fail_msg("%s, block %d, %s: channel %d of v", s->name, s->block.index, sharing, j);
    bs_block_release(&block);
    bs_recipe_release(&recipe);
}

static void assert_all_sharings(struct subject *s, void *context)
{
    (void)context;
    assert_outputs_quantized(s, "token");
    assert_outputs_quantized(s, "window");
    assert_outputs_quantized(s, "static");
}

static void a_fused_output_is_quantized_as_one(void **state)
{
    (void)state;
    for_every_block(assert_all_sharings, NULL);
}

static int setup(void **state)
{
    (void)state;
    bs_blas_init();
    bs_set_threads(0);
    rows = families_load();
    return rows ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(rows);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folding_keeps_the_function_of_every_family),
        cmocka_unit_test(every_algorithm_takes_every_family_at_any_thread_count),
        cmocka_unit_test(a_fused_tensor_has_one_grid),
        cmocka_unit_test(a_fused_output_is_quantized_as_one),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
