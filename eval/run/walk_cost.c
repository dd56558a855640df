#include "eval/run/walk_cost.h"

#include <math.h>

#include "eval/linalg/packed.h"
#include "eval/model/ggml.h"
#include "eval/model/kernel.h"
#include "eval/quant/format.h"
#include "eval/recipe/assign.h"
#include "eval/tasks/token_metrics.h"
#include "eval/run/layer_error.h"
#include "eval/run/apply.h"

int bs_walk_head_ids(const struct bs_architecture *a)
{
    return a->vocab_size < BS_HEAD_IDS ? a->vocab_size : BS_HEAD_IDS;
}

int bs_walk_longest_window(const struct bs_walk *walk)
{
    int tokens = walk->calibration ? walk->calibration->tokens : 1;
    for (int t = 0; t < walk->num_texts; t++)
        tokens = walk->texts[t].tokens > tokens ? walk->texts[t].tokens : tokens;
    return tokens;
}

/* What one version of the model has at the head: its inputs and, a row, a distribution and a
 * sum. */
static size_t head_variant_floats(const struct bs_architecture *a)
{
    enum { ROW = (sizeof(struct bs_distribution) + sizeof(double)) / sizeof(float) };
    return bs_scratch_floats(BS_HEAD_ROWS * (size_t)a->embedding_size) +
           bs_scratch_floats(BS_HEAD_ROWS * (size_t)ROW) + bs_scratch_floats(BS_HEAD_ROWS);
}

static size_t head_floats(const struct bs_architecture *a, int num_variants)
{
    enum { POINTERS = 6 }; /* of a variant, in floats */
    size_t tile = BS_HEAD_ROWS * (size_t)bs_walk_head_ids(a), variants = (size_t)num_variants;
    size_t normed = bs_scratch_floats(BS_HEAD_ROWS * (size_t)a->hidden_size);
    size_t product = bs_head_floats(bs_walk_head_ids(a), a->embedding_size);
    return product + (variants + 1) * head_variant_floats(a) + 4 * bs_scratch_floats(tile) +
           normed + bs_scratch_floats(2 * (size_t)BS_HEAD_ROWS) +
           bs_scratch_floats(POINTERS * variants);
}

size_t bs_walk_scratch_floats(const struct bs_walk *walk, int num_variants)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    size_t most = bs_block_scratch_floats(a, bs_walk_longest_window(walk));
    size_t head = head_floats(a, num_variants), probing = 0;
    if (bs_walk_probe_windows(walk))
        probing = bs_layer_error_floats(a, walk->texts[0].tokens);
    most = head > most ? head : most;
    return probing > most ? probing : most;
}

int bs_walk_probe_windows(const struct bs_walk *walk)
{
    int all = walk->num_texts ? walk->texts[0].windows : 0;
    return walk->layer_error_windows < all ? walk->layer_error_windows : all;
}

static double stream_bytes(const struct bs_windows *windows, int width)
{
    return (double)bs_windows_total(windows) * width * (double)sizeof(float);
}

/* What statistics take while recipes pass one block: what they share, once; and what the most
 * demanding of them collects for itself besides, in one pass. Infinite where memory has no room
 * even for the list of it. */
struct statistics_bytes {
    struct bs_calibrate_bytes shared, own;
};

static void raise_to(double *most, double to) { *most = to > *most ? to : *most; }

static void raise_bytes(struct bs_calibrate_bytes *most, const struct bs_walk *walk,
                        const struct bs_wanted *wanted)
{
    const struct bs_windows *windows = walk->calibration;
    struct bs_calibrate_bytes bytes = bs_calibrate_bytes(wanted, windows->windows, windows->tokens);
    raise_to(&most->memory, wanted->failed ? (double)INFINITY : bytes.memory);
    raise_to(&most->derived, bytes.derived);
    raise_to(&most->streams, bytes.streams);
}

static struct statistics_bytes bytes_at_block(const struct bs_walk *walk,
                                              const struct bs_recipe *const *recipes,
                                              int num_recipes, int layer)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    struct statistics_bytes bytes = {.shared = {.memory = 0}};
    struct bs_wanted shared = {.architecture = a, .layer = layer};
    for (int i = 0; i < num_recipes && walk->calibration; i++) {
        struct bs_own_passes own;
        bs_apply_share(recipes[i], &shared);
        bs_apply_own_passes(recipes[i], a, layer, &own);
        for (int p = 0; p < own.count; p++)
            raise_bytes(&bytes.own, walk, &own.wanted[p]);
        bs_own_passes_release(&own);
    }
    if (walk->calibration)
        raise_bytes(&bytes.shared, walk, &shared);
    bs_wanted_release(&shared);
    return bytes;
}

/* The layers are alike from this one on: where nothing tells them apart the second is as all that
 * follow. */
static int alike_from(const struct bs_architecture *a, const struct bs_recipe *const *recipes,
                      int num_recipes)
{
    for (int i = 0; i < num_recipes; i++)
        if (bs_recipe_unlike_layers(recipes[i], a) > 1)
            return a->num_layers - 1;
    return a->num_layers > 1 ? 1 : 0;
}

/* In the block that takes the most of each. */
static struct statistics_bytes statistics_bytes(const struct bs_walk *walk,
                                                const struct bs_recipe *const *recipes,
                                                int num_recipes)
{
    struct statistics_bytes most = {.shared = {.memory = 0}};
    int last = alike_from(bs_model_architecture(walk->model), recipes, num_recipes);
    for (int l = 0; l <= last; l++) {
        struct statistics_bytes here = bytes_at_block(walk, recipes, num_recipes, l);
        raise_to(&most.shared.memory, here.shared.memory);
        raise_to(&most.shared.derived, here.shared.derived);
        raise_to(&most.own.memory, here.own.memory);
        if (here.shared.streams + here.own.streams > most.shared.streams + most.own.streams) {
            most.shared.streams = here.shared.streams;
            most.own.streams = here.own.streams;
        }
    }
    return most;
}

/* The most that a question about a program is answered with. */
static double most_of_kinds(const struct bs_architecture *a,
                            double (*question)(const struct bs_program *p))
{
    double most = 0;
    for (int k = 0; k < a->num_kinds; k++)
        raise_to(&most, question(&a->programs[k]));
    return most;
}

/* Channels of the widest input of linears. */
static double widest_input(const struct bs_program *p)
{
    double widest = 0;
    for (int k = 0; k < p->num_inputs; k++)
        raise_to(&widest, p->values[p->inputs[k]].width);
    return widest;
}

/* The most weights that one factor is for: those of all experts, where tokens go to them. */
static double most_scaled(const struct bs_program *p)
{
    double most = 0;
    for (int k = 0; k < p->num_inputs; k++)
        if (p->values[p->inputs[k]].kind == BS_SITE_ROUTER)
            raise_to(&most, bs_site_weights(p, p->inputs[k]));
    return most;
}

/* Codes, scales and zero points of a block, of the recipe that has the most of them. */
static double codes_bytes(const struct bs_architecture *a, const struct bs_recipe *const *recipes,
                          int num_recipes)
{
    double most = 0;
    for (int i = 0; i < num_recipes; i++) {
        const struct bs_setting *weights = &recipes[i]->weights;
        if (!bs_setting_quantizes(weights))
            continue;
        struct bs_code_layout layout = bs_setting_layout(weights);
        double each = (layout.code_bits > 8 ? 2 : 1) + (double)layout.param_bytes / layout.span;
        most = each > most ? each : most;
    }
    return most * bs_most_weights(a);
}

/* What the hooks say they hold, of the most demanding recipe. */
static double hooks_bytes(const struct bs_walk *walk, const struct bs_recipe *const *recipes,
                          int num_recipes)
{
    double most = 0;
    for (int i = 0; i < num_recipes; i++)
        raise_to(&most, bs_walk_own_cost(walk, recipes[i]).bytes);
    return most;
}

/* A block to rewrite, statistics and working memory of the most demanding recipe: one is quantized
 * at a time. */
static double quantizing_bytes(const struct bs_walk *walk, const struct bs_recipe *const *recipes,
                               int num_recipes)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    struct statistics_bytes statistics = statistics_bytes(walk, recipes, num_recipes);
    double streams = statistics.shared.streams + statistics.own.streams;
    bool needed = false, twice = false;
    for (int i = 0; i < num_recipes; i++) {
        needed |= bs_recipe_needs_calibration(recipes[i]);
        twice |= bs_apply_keeps_unrounded(recipes[i]);
    }
    if (!num_recipes)
        return 0;
    double widest = most_of_kinds(a, widest_input);
    double linears = 3 * widest * a->hidden_size, scaled = most_of_kinds(a, most_scaled);
    linears = (scaled > linears ? scaled : linears) * sizeof(float);
    if (streams > 0)
        linears *= bs_side_by_side(walk->calibration->windows, BS_MOST_VERSIONS);
    double bytes =
        (twice ? 2 : 1) * bs_most_weights(a) * sizeof(float) + codes_bytes(a, recipes, num_recipes);
    const struct bs_family *stored = &a->stored;
    if (!needed) /* linears of one tensor are looked at together */
        return bytes +
               (stored->fused_qkv || stored->fused_gate_up || stored->fused_shared ? linears : 0);
    bytes += linears + widest * widest * sizeof(float) + hooks_bytes(walk, recipes, num_recipes);
    bytes += statistics.shared.memory + statistics.shared.derived + statistics.own.memory;
    return bytes + (walk->scratch ? 0 : streams);
}

/* The inputs that per-linear errors are taken over. */
static double probing_bytes(const struct bs_walk *walk)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    int probes = bs_walk_probe_windows(walk);
    if (!probes)
        return 0;
    return bs_probe_bytes(a, probes, walk->texts[0].tokens);
}

static const unsigned all_texts = ~0u;

/* Per-token figures of texts. */
static double figures_bytes(const struct bs_walk *walk, unsigned texts)
{
    double bytes = 0;
    for (int t = 0; t < walk->num_texts; t++)
        for (int f = 0; f < BS_NUM_FIGURES; f++)
            if ((texts >> t & 1) && (bs_walk_figures(walk, t) >> f & 1))
                bytes += (double)walk->texts[t].windows * walk->texts[t].tokens *
                         (double)bs_figure_bytes((enum bs_figure)f);
    return bytes;
}

/* While blocks pass, a thread is at work on a window, at most on one that it becomes and, where
 * `statistics` are in streams, on one of theirs; the pages around them come along. */
static double resident_windows_bytes(const struct bs_walk *walk, bool statistics)
{
    const double around = 256 << 10;
    int width = bs_model_architecture(walk->model)->hidden_size;
    double window = (double)bs_walk_longest_window(walk) * width * sizeof(float);
    return (statistics ? 3 : 2) * bs_threads() * (window + around);
}

/* Of one version of the model. */
static double streams_bytes(const struct bs_walk *walk, unsigned texts, bool calibration)
{
    int width = bs_model_architecture(walk->model)->hidden_size;
    double bytes = calibration && walk->calibration ? stream_bytes(walk->calibration, width) : 0;
    for (int t = 0; t < walk->num_texts; t++)
        bytes += texts >> t & 1 ? stream_bytes(&walk->texts[t], width) : 0;
    return bytes;
}

/* Streams of the unquantized model and, on the disk, of a block's statistics. */
static void add_streams(const struct bs_walk *walk, const struct bs_recipe *const *recipes,
                        int num_recipes, struct bs_walk_bytes *bytes)
{
    bool reference = false;
    for (int i = 0; i < num_recipes; i++) {
        struct bs_reach reach = bs_apply_reach(recipes[i], bs_model_architecture(walk->model));
        reference |= bs_apply_awaits_unquantized(recipes[i], &reach, 1);
    }
    double streams = streams_bytes(walk, all_texts, true);
    bytes->kept = streams + figures_bytes(walk, all_texts);
    streams += reference ? streams_bytes(walk, 0, true) : 0;
    if (walk->scratch) {
        struct statistics_bytes most = statistics_bytes(walk, recipes, num_recipes);
        double statistics = most.shared.streams + most.own.streams;
        bytes->memory += resident_windows_bytes(walk, statistics > 0);
        bytes->disk = streams + statistics;
        return;
    }
    bytes->memory += streams;
}

/* Weights of a layer once more, as the kernels want them that will multiply them. */
static double prepared_bytes(const struct bs_architecture *a, const struct bs_recipe *recipe,
                             int layer)
{
    const struct bs_program *p = bs_program_of(a, layer);
    struct bs_assignment at;
    double bytes = 0;
    bs_recipe_assign(recipe, a, layer, &at);
    for (int s = 0; s < p->num_slots; s++) {
        const struct bs_slot *slot = &p->slots[s];
        const struct bs_setting *input = at.sites[slot->input];
        struct bs_code_layout layout;
        struct bs_error ignored; /* where the shape is refused, it is when the recipe is applied */
        bool coded = bs_setting_quantizes(at.weights[s]) &&
                     !bs_setting_lay(at.weights[s], slot->out, slot->in, &layout, &ignored);
        const struct bs_kernel *kernel = bs_kernel_for(
            &(struct bs_multiplication){.out = slot->out,
                                        .in = slot->in,
                                        .codes = coded ? &layout : NULL,
                                        .input = bs_setting_quantizes(input) ? input : NULL,
                                        .compute = (enum bs_compute)recipe->compute});
        double each = kernel->weight_bytes ? (double)kernel->weight_bytes() : 0;
        bytes += each * slot->out * slot->in;
    }
    return bytes;
}

/* Of the layer and the recipe that take most. */
static double most_prepared_bytes(const struct bs_architecture *a,
                                  const struct bs_recipe *const *recipes, int num_recipes)
{
    double most = 0;
    for (int i = 0; i < num_recipes; i++) {
        int layers = bs_recipe_unlike_layers(recipes[i], a);
        for (int l = 0; l < layers; l++)
            raise_to(&most, prepared_bytes(a, recipes[i], l));
    }
    return most;
}

/* Bytes of a number of the output matrix, as it is multiplied by. */
static double head_number_bytes(int compute)
{
    if (compute == BS_AS_LLAMA_CPP)
        return BS_GGML_WEIGHT_BYTES;
    return (double)bs_packed_bytes((enum bs_compute)compute);
}

/* The output matrix once more for each way, other than in float32, that recipes multiply it. */
static double rounded_head_bytes(const struct bs_architecture *a,
                                 const struct bs_recipe *const *recipes, int num_recipes)
{
    bool any[BS_AS_LLAMA_CPP + 1] = {false};
    double each = 0;
    for (int i = 0; i < num_recipes; i++)
        any[recipes[i]->compute] = true;
    for (int c = BS_FLOAT32 + 1; c <= BS_AS_LLAMA_CPP; c++)
        each += any[c] ? head_number_bytes(c) : 0;
    return each * a->vocab_size * a->embedding_size;
}

/* The output matrix of a recipe that quantizes or turns it. */
static double own_head_bytes(const struct bs_architecture *a, const struct bs_recipe *recipe)
{
    struct bs_outer_assignment outer;
    bs_recipe_assign_outer(recipe, a, &outer);
    if (!bs_setting_quantizes(outer.of[BS_HEAD]) && !bs_recipe_turns(recipe))
        return 0;
    return head_number_bytes(recipe->compute) * a->vocab_size * a->embedding_size;
}

/* An outer matrix that a format looks at as a whole. */
static double outer_fit_bytes(const struct bs_architecture *a,
                              const struct bs_recipe *const *recipes, int num_recipes)
{
    bool whole = false;
    for (int i = 0; i < num_recipes; i++) {
        struct bs_outer_assignment outer;
        bs_recipe_assign_outer(recipes[i], a, &outer);
        for (int w = 0; w < BS_NUM_OUTER; w++)
            whole |= bs_setting_quantizes(outer.of[w]) &&
                     bs_setting_layout(outer.of[w]).tensor_bytes > 0;
    }
    return whole ? (double)a->vocab_size * a->embedding_size * sizeof(float) : 0;
}

/* What a version of the model has at the head, on all threads. */
static double rows_bytes(const struct bs_architecture *a)
{
    return bs_threads() * (double)head_variant_floats(a) * (double)sizeof(float);
}

struct bs_walk_bytes bs_walk_fixed_bytes(const struct bs_walk *walk,
                                         const struct bs_recipe *const *recipes, int num_recipes)
{
    /* The program, its libraries, the buffers they keep and what has been freed but not
     * returned. */
    const double process = 80e6;
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    double widest = most_of_kinds(a, widest_input);
    double tensor = widest * a->hidden_size * (double)sizeof(float); /* of a block, read whole */
    double blocks =
        bs_most_weights(a) * sizeof(float) + quantizing_bytes(walk, recipes, num_recipes);
    double head =
        ((double)a->vocab_size + a->hidden_size) * a->embedding_size * (double)sizeof(float);
    double runs = bs_threads() * (double)bs_walk_head_ids(a) * a->embedding_size * sizeof(float);
    blocks += probing_bytes(walk) + tensor + most_prepared_bytes(a, recipes, num_recipes);
    head += runs + rounded_head_bytes(a, recipes, num_recipes) +
            outer_fit_bytes(a, recipes, num_recipes);
    double scratch = (double)bs_threads() * (double)bs_walk_scratch_floats(walk, 0) * sizeof(float);
    struct bs_walk_bytes bytes = {.memory = process + scratch + (blocks > head ? blocks : head) +
                                            figures_bytes(walk, all_texts) + rows_bytes(a)};
    add_streams(walk, recipes, num_recipes, &bytes);
    return bytes;
}

struct bs_walk_bytes bs_walk_recipe_bytes(const struct bs_walk *walk,
                                          const struct bs_recipe *recipe, unsigned texts)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    struct bs_reach reach = bs_apply_reach(recipe, a);
    double layers = (double)bs_total_linears(a) * (double)sizeof(struct bs_layer_row);
    double figures = figures_bytes(walk, texts);
    double streams = streams_bytes(walk, texts, bs_apply_carries_own(recipe, &reach));
    struct bs_walk_bytes bytes = {.memory =
                                      figures + rows_bytes(a) + layers + own_head_bytes(a, recipe),
                                  .kept = streams + figures};
    if (walk->scratch)
        bytes.disk = streams;
    else
        bytes.memory += streams;
    return bytes;
}

double bs_walk_calibration_flops(const struct bs_walk *walk)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    const struct bs_windows *windows = walk->calibration;
    return windows ? windows->windows * bs_total_flops(a, windows->tokens) : 0;
}

/* The same of one layer. */
static double layer_flops(const struct bs_walk *walk, int layer)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    const struct bs_windows *windows = walk->calibration;
    return windows ? windows->windows * bs_block_flops(a, layer, windows->tokens) : 0;
}

/* Of the calibration windows through one block up to the last site that is looked at. */
static double pass_to_inputs_flops(const struct bs_walk *walk, const struct bs_wanted *wanted)
{
    const struct bs_program *p = bs_wanted_program(wanted);
    const struct bs_windows *windows = walk->calibration;
    return windows->windows * bs_flops_until(p, bs_wanted_last(wanted), windows->tokens);
}

/* The same with these statistics taken, and to the end of the block where its outputs are
 * wanted. */
static double pass_flops(const struct bs_walk *walk, const struct bs_wanted *wanted, bool outputs)
{
    const struct bs_windows *windows = walk->calibration;
    double pass = outputs ? layer_flops(walk, wanted->layer) : pass_to_inputs_flops(walk, wanted);
    if (bs_wanted_compares(wanted) && !outputs) /* which goes through the unquantized model too */
        pass *= 2;
    return pass + bs_calibrate_flops(wanted, windows->windows, windows->tokens);
}

/* Of what is made of these statistics. */
static double derived_flops(const struct bs_walk *walk, const struct bs_wanted *wanted)
{
    return bs_derived_flops(wanted, walk->calibration->windows, walk->calibration->tokens);
}

/* What is done at one block, in the order of the walk. */
static struct bs_walk_common common_of_block(const struct bs_walk *walk,
                                             const struct bs_recipe *const *recipes,
                                             int num_recipes, int layer)
{
    struct bs_walk_common common = {.flops = 0};
    struct bs_wanted all = {.architecture = bs_model_architecture(walk->model), .layer = layer};
    bool goes_on = false;
    for (int i = 0; i < num_recipes; i++) {
        struct bs_reach reach = bs_apply_reach(recipes[i], all.architecture);
        bs_apply_share(recipes[i], &all);
        goes_on |= bs_apply_awaits_unquantized(recipes[i], &reach, layer + 1);
    }
    if (bs_wanted_any(&all) || goes_on) {
        common.block_passes++;
        common.flops += pass_flops(walk, &all, goes_on);
    }
    common.factors = bs_derived_count(&all);
    common.flops += all.failed ? (double)INFINITY : derived_flops(walk, &all);
    bs_wanted_release(&all);
    return common;
}

static void add_common(struct bs_walk_common *to, struct bs_walk_common block, int times)
{
    to->block_passes += times * block.block_passes;
    to->factors += times * block.factors;
    to->flops += times * block.flops;
}

struct bs_walk_common bs_walk_common(const struct bs_walk *walk,
                                     const struct bs_recipe *const *recipes, int num_recipes)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    int last = a->num_layers - 1, alike = alike_from(a, recipes, num_recipes);
    struct bs_walk_common common = {.evaluations = 1, .flops = bs_walk_evaluation_flops(walk)};
    if (!walk->calibration)
        return common;
    for (int l = 0; l < alike && l < last; l++)
        add_common(&common, common_of_block(walk, recipes, num_recipes, l), 1);
    if (alike < last) /* the last one is not left by calibration windows */
        add_common(&common, common_of_block(walk, recipes, num_recipes, alike), last - alike);
    add_common(&common, common_of_block(walk, recipes, num_recipes, last), 1);
    return common;
}

static double own_passes_flops(const struct bs_walk *walk, const struct bs_recipe *recipe,
                               int layer)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    struct bs_own_passes passes;
    bs_apply_own_passes(recipe, a, layer, &passes);
    double flops = 0;
    for (int i = 0; i < passes.count; i++)
        flops +=
            pass_flops(walk, &passes.wanted[i], false) + derived_flops(walk, &passes.wanted[i]);
    bs_own_passes_release(&passes);
    struct bs_reach reach = bs_apply_reach(recipe, a);
    if (bs_apply_carries_own(recipe, &reach) && layer >= reach.first && layer < reach.last)
        flops += layer_flops(walk, layer);
    return flops;
}

/* Adds what the hooks compute at one layer, so many times. */
static void add_layer_cost(const struct bs_recipe *recipe, struct bs_extent *extent, int layer,
                           int times, struct bs_cost *cost)
{
    struct bs_assignment at;
    struct bs_cost own = {.flops = 0};
    bool rounds = false;
    bs_recipe_assign(recipe, extent->architecture, layer, &at);
    extent->layer = layer;
    extent->weights = at.weights;
    extent->sites = at.sites;
    for (int s = 0; s < recipe->num_steps; s++) {
        const struct bs_choice *step = &recipe->steps[s];
        rounds |= bs_algorithm_of(step)->quantize != NULL;
        if (bs_algorithm_of(step)->cost)
            bs_algorithm_of(step)->cost(step->options, extent, &own);
    }
    if (!rounds) /* then it is rounded to nearest */
        own.weights += bs_block_weights(extent->architecture, layer);
    cost->flops += times * own.flops;
    cost->weights += times * own.weights;
    raise_to(&cost->bytes, own.bytes);
    extent->weights = NULL;
    extent->sites = NULL;
}

struct bs_cost bs_walk_own_cost(const struct bs_walk *walk, const struct bs_recipe *recipe)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    const struct bs_windows *calibration = walk->calibration;
    struct bs_extent extent = {.architecture = a};
    struct bs_cost cost = {.flops = 0};
    if (calibration) {
        extent.windows = calibration->windows;
        extent.tokens = calibration->tokens;
    }
    struct bs_reach reach = bs_apply_reach(recipe, a);
    if (calibration && bs_apply_carries_own(recipe, &reach))
        extent.passed += (double)bs_windows_total(calibration);
    for (int t = 0; t < walk->num_texts; t++)
        extent.passed += (double)bs_windows_total(&walk->texts[t]);
    int unlike = bs_recipe_unlike_layers(recipe, a);
    for (int l = 0; l < unlike; l++)
        add_layer_cost(recipe, &extent, l, a->num_layers / unlike, &cost);
    for (int l = 0; l < a->num_layers && calibration; l++)
        cost.flops += own_passes_flops(walk, recipe, l);
    cost.weights += bs_recipe_outer_size(recipe, a).weights;
    return cost;
}
