/* What a walk holds in memory and in files. */
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

/* What is held at one block at a time, beside the model's own copy of it. What they have in
 * common is in each of them. */
struct held {
    double gathering;  /* what recipes share is collected; the block before is still there */
    double quantizing; /* of the recipe that takes most */
    double showing;    /* the quantized block is looked at, and goes on with its kernels */
    double streams;    /* that statistics are in */
};

static void raise_to(double *most, double to) { *most = to > *most ? to : *most; }

static struct bs_calibrate_bytes wanted_bytes(const struct bs_walk *walk,
                                              const struct bs_wanted *wanted)
{
    const struct bs_windows *windows = walk->calibration;
    struct bs_calibrate_bytes bytes = {.memory = 0};
    if (windows)
        bytes = bs_calibrate_bytes(wanted, windows->windows, windows->tokens);
    if (wanted->failed) /* memory has no room even for the list of it */
        bytes.memory = (double)INFINITY;
    return bytes;
}

/* Linears that are fitted as one are put together for it. */
static double fused_bytes(const struct bs_program *p, const struct bs_setting *const *weights)
{
    double most = 0;
    for (int s = 0; s < p->num_slots; s++) {
        int first, last;
        double together = 0;
        if (!bs_recipe_sharing(p, weights, s, &first, &last))
            continue;
        for (int k = first; k <= last; k++)
            together += (double)p->slots[k].out * p->slots[k].in * sizeof(float);
        raise_to(&most, together);
    }
    return most;
}

/* Codes, scales and zero points of a layer. */
static double codes_bytes(const struct bs_program *p, const struct bs_setting *const *weights)
{
    double bytes = 0;
    for (int s = 0; s < p->num_slots; s++) {
        if (!bs_setting_quantizes(weights[s]))
            continue;
        struct bs_code_layout layout = bs_setting_layout(weights[s]);
        double spans = ceil((double)p->slots[s].in / layout.span);
        bytes += p->slots[s].out * ((double)p->slots[s].in * (layout.code_bits > 8 ? 2 : 1) +
                                    spans * (double)layout.param_bytes);
    }
    return bytes;
}

/* Weights of a layer once more, as the kernels want them that will multiply them. */
static double prepared_bytes(const struct bs_recipe *recipe, const struct bs_program *p,
                             const struct bs_assignment *at)
{
    double bytes = 0;
    for (int s = 0; s < p->num_slots; s++) {
        const struct bs_slot *slot = &p->slots[s];
        const struct bs_setting *input = at->sites[slot->input];
        struct bs_code_layout layout;
        struct bs_error ignored; /* where the shape is refused, it is when the recipe is applied */
        bool coded = bs_setting_quantizes(at->weights[s]) &&
                     !bs_setting_lay(at->weights[s], slot->out, slot->in, &layout, &ignored);
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

/* What the recipe takes for itself while it quantizes a layer: what the hooks of a step hold, and
 * statistics of one pass at a time, while they are collected, and then with what is made of those
 * at one site. `together` is beside what hooks hold. */
static double own_bytes(const struct bs_walk *walk, const struct bs_recipe *recipe, int layer,
                        double together, double *streams)
{
    struct bs_own_passes passes;
    double hooks[BS_MAX_STEPS], most = together;
    for (int i = 0; i < recipe->num_steps; i++) {
        hooks[i] = bs_walk_hooks_bytes(walk, recipe, i, layer) + together;
        raise_to(&most, hooks[i]);
    }
    bs_apply_own_passes(recipe, bs_model_architecture(walk->model), layer, &passes);
    for (int p = 0; p < passes.count; p++) {
        struct bs_calibrate_bytes bytes = wanted_bytes(walk, &passes.wanted[p]);
        double at = passes.step[p] < 0 ? 0 : hooks[passes.step[p]];
        raise_to(&most, bytes.memory + fmax(bytes.working, bytes.site + at));
        raise_to(streams, bytes.streams);
    }
    bs_own_passes_release(&passes);
    return most;
}

/* Of one recipe at a layer, without what recipes share. */
static struct held recipe_held(const struct bs_walk *walk, const struct bs_recipe *recipe,
                               int layer)
{
    const struct bs_program *p = bs_program_of(bs_model_architecture(walk->model), layer);
    struct bs_assignment at;
    struct held s = {.streams = 0};
    bs_recipe_assign(recipe, bs_model_architecture(walk->model), layer, &at);
    double rewritten = bs_program_weights(p) * sizeof(float);
    double copies = bs_apply_copies_unrounded(recipe) ? 2 : 1, codes = codes_bytes(p, at.weights);
    double prepared = prepared_bytes(recipe, p, &at);
    s.gathering = rewritten + codes + prepared;
    s.quantizing = copies * rewritten + codes +
                   own_bytes(walk, recipe, layer, fused_bytes(p, at.weights), &s.streams);
    s.showing = rewritten + codes + fmax(prepared, walk->quantized_bytes);
    return s;
}

/* Of all recipes: one is quantized at a time, and the block of the last one stays until the next
 * begins. */
static struct held held_at(const struct bs_walk *walk, const struct bs_recipe *const *recipes,
                           int num_recipes, int layer)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    struct held most = {.streams = 0};
    struct bs_wanted wanted = {.architecture = a, .layer = layer};
    for (int i = 0; i < num_recipes; i++) {
        struct held own = recipe_held(walk, recipes[i], layer);
        raise_to(&most.gathering, own.gathering);
        raise_to(&most.quantizing, own.quantizing);
        raise_to(&most.showing, own.showing);
        raise_to(&most.streams, own.streams);
        if (walk->calibration)
            bs_apply_share(recipes[i], &wanted);
    }
    struct bs_calibrate_bytes shared = wanted_bytes(walk, &wanted);
    bs_wanted_release(&wanted);
    most.gathering += shared.memory + shared.working;
    most.quantizing += shared.memory + shared.derived;
    most.showing += shared.memory + shared.derived;
    most.streams += shared.streams;
    return most;
}

/* Of the layer that takes the most of each. */
static struct held most_held(const struct bs_walk *walk, const struct bs_recipe *const *recipes,
                             int num_recipes)
{
    struct held most = {.streams = 0};
    int last = bs_walk_alike_from(walk, recipes, num_recipes);
    for (int l = 0; l <= last; l++) {
        struct held here = held_at(walk, recipes, num_recipes, l);
        raise_to(&most.gathering, here.gathering);
        raise_to(&most.quantizing, here.quantizing);
        raise_to(&most.showing, here.showing);
        raise_to(&most.streams, here.streams);
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

/* The largest values of channels that are kept of one trial. */
static double channels_bytes(const struct bs_walk *walk)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    double widths = 0;
    for (int i = 0; i < walk->num_channel_sites; i++)
        widths += bs_channels_width(a, walk->channel_sites[i]);
    return widths * a->num_layers * (double)sizeof(float);
}

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
                        int num_recipes, double statistics, struct bs_walk_bytes *bytes)
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
        bytes->memory += resident_windows_bytes(walk, statistics > 0);
        bytes->disk = streams + statistics;
        return;
    }
    bytes->memory += streams;
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
    struct held most = most_held(walk, recipes, num_recipes);
    double blocks = fmax(most.gathering + tensor, fmax(most.quantizing, most.showing));
    blocks += bs_most_weights(a) * sizeof(float) + probing_bytes(walk);
    blocks += walk->scratch ? 0 : most.streams;
    double head =
        ((double)a->vocab_size + a->hidden_size) * a->embedding_size * (double)sizeof(float);
    double runs = bs_threads() * (double)bs_walk_head_ids(a) * a->embedding_size * sizeof(float);
    head += runs + rounded_head_bytes(a, recipes, num_recipes) +
            outer_fit_bytes(a, recipes, num_recipes);
    double scratch = (double)bs_threads() * (double)bs_walk_scratch_floats(walk, 0) * sizeof(float);
    struct bs_walk_bytes bytes = {.memory = process + scratch + (blocks > head ? blocks : head) +
                                            figures_bytes(walk, all_texts) + rows_bytes(a) +
                                            channels_bytes(walk)};
    add_streams(walk, recipes, num_recipes, most.streams, &bytes);
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
    double channels = texts & 1 ? channels_bytes(walk) : 0; /* of the first text's windows */
    struct bs_walk_bytes bytes = {.memory = figures + rows_bytes(a) + layers +
                                            own_head_bytes(a, recipe) + channels,
                                  .kept = streams + figures + channels};
    if (walk->scratch)
        bytes.disk = streams;
    else
        bytes.memory += streams;
    return bytes;
}
