#include "eval/run/sweep.h"

#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"
#include "eval/base/spill.h"
#include "eval/hub/hub.h"
#include "eval/run/summary.h"

/* Part of every trial's id. It grows when a change of the program changes results, so that a result
 * file never mixes the two. */
enum { NUMERICS_VERSION = 4 };

static const char *model_name(const struct bs_sweep *sweep)
{
    return sweep->config->models[sweep->model_index];
}

static bool any_recipe_calibrates(const struct bs_sweep *sweep)
{
    const struct bs_config *config = sweep->config;
    for (int i = 0; i < config->num_recipes; i++)
        if (bs_config_wants(config, i, sweep->model_index) &&
            bs_recipe_needs_calibration(&config->recipes[i]))
            return true;
    return false;
}

/* Beyond its positions a model was never trained, and learned positions end. */
static enum bs_status check_positions(const struct bs_sweep *sweep, int tokens,
                                      struct bs_error *err)
{
    int most = bs_model_architecture(sweep->model)->max_positions;
    if (tokens <= most)
        return BS_OK;
    return bs_fail(err, BS_ECONFIG,
                   "tokens is %d, but '%s' has positions for %d (max_position_embeddings)", tokens,
                   model_name(sweep), most);
}

static struct bs_calibration_choice calibration_choice(const struct bs_config *config, int index)
{
    const struct bs_calibration_config *c = &config->calibrations[index];
    return (struct bs_calibration_choice){.text = {.text = c->text,
                                                   .base = config->folder,
                                                   .field = c->field,
                                                   .join = c->join,
                                                   .lines = c->lines},
                                          .sampling = (enum bs_sampling)c->sampling,
                                          .seed = c->seed,
                                          .tokens = c->tokens,
                                          .windows = c->windows,
                                          .documents = c->documents};
}

static struct bs_evaluation_choice evaluation_choice(const struct bs_config *config, int t)
{
    const struct bs_evaluation_config *e = &config->evaluations[t];
    return (struct bs_evaluation_choice){.text = {.text = e->text,
                                                  .base = config->folder,
                                                  .field = e->field,
                                                  .join = e->join,
                                                  .lines = e->lines},
                                         .protocol = (enum bs_protocol)e->protocol,
                                         .tokens = e->tokens,
                                         .stride = bs_evaluation_stride(e),
                                         .windows = e->windows,
                                         .pick = (enum bs_pick)e->pick};
}

static enum bs_status load_calibrations(struct bs_sweep *sweep,
                                        const struct bs_tokenizer *tokenizer, struct bs_error *err)
{
    const struct bs_config *config = sweep->config;
    int vocab = bs_model_architecture(sweep->model)->vocab_size;
    if (!any_recipe_calibrates(sweep))
        return BS_OK;
    sweep->calibrations = bs_calloc((size_t)config->num_calibrations, sizeof *sweep->calibrations);
    if (!sweep->calibrations)
        return bs_fail_memory(err);
    for (int c = 0; c < config->num_calibrations; c++) {
        struct bs_calibration_choice choice = calibration_choice(config, c);
        if (check_positions(sweep, choice.tokens, err) ||
            bs_windows_calibrate(tokenizer, &choice, vocab, &sweep->calibrations[c], err))
            return bs_fail_within(err, "calibration");
    }
    return BS_OK;
}

static enum bs_status load_windows(struct bs_sweep *sweep, const struct bs_tokenizer *tokenizer,
                                   struct bs_error *err)
{
    const struct bs_config *config = sweep->config;
    int vocab = bs_model_architecture(sweep->model)->vocab_size;
    if (load_calibrations(sweep, tokenizer, err))
        return err->status;
    for (int t = 0; t < config->num_evaluations; t++) {
        const struct bs_evaluation_config *e = &config->evaluations[t];
        struct bs_evaluation_choice choice = evaluation_choice(config, t);
        if (check_positions(sweep, e->tokens, err) ||
            bs_windows_evaluate(tokenizer, &choice, vocab, &sweep->texts[t], err))
            return bs_fail_within(err, "evaluation");
    }
    return BS_OK;
}

static void print_windows(const char *name, const struct bs_windows *windows, FILE *out)
{
    fprintf(out, "%s.text: %s\n%s.windows: %d\n%s.tokens: %d\n%s.ids: %s\n", name,
            windows->text_digest.hex, name, windows->windows, name, windows->tokens, name,
            windows->digest.hex);
}

/* What tells numbers apart that were taken on the same ids. */
static void print_protocol(const struct bs_evaluation_config *e, const struct bs_windows *windows,
                           FILE *out)
{
    fprintf(out, "evaluation.protocol: %s\n", bs_protocol_names[e->protocol]);
    if (bs_protocols[e->protocol].slides)
        fprintf(out, "evaluation.stride: %d\n", bs_evaluation_stride(e));
    if (windows->windows < windows->all)
        fprintf(out, "evaluation.pick: %s of %d\n", bs_pick_names[windows->pick], windows->all);
    fprintf(out, "evaluation.scored: %zu\n", windows->num_scored);
}

static enum bs_status describe_trial(const struct bs_sweep *sweep, struct bs_trial *trial,
                                     struct bs_error *err)
{
    const struct bs_recipe *recipe = &sweep->config->recipes[trial->recipe];
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    if (!out)
        return bs_fail_memory(err);
    fprintf(out, "numerics: %d\nmodel: %s\n", NUMERICS_VERSION, bs_model_digest(sweep->model).hex);
    const struct bs_lines *accepted = &bs_model_remarks(sweep->model)->accepted;
    for (int i = 0; i < accepted->count; i++)
        fprintf(out, "model.accepted: %s\n", accepted->lines[i]);
    bs_recipe_print(recipe, out);
    if (bs_recipe_needs_calibration(recipe))
        print_windows("calibration", &sweep->calibrations[trial->calibration], out);
    print_windows("evaluation", &sweep->texts[trial->text], out);
    print_protocol(&sweep->config->evaluations[trial->text], &sweep->texts[trial->text], out);
    if (recipe->num_stages) {
        /* The windows behind the per-linear errors belong to the first text. */
        fprintf(out, "layer_error.windows: %d\n", sweep->config->layer_error.windows);
        if (sweep->config->layer_error.windows)
            fprintf(out, "layer_error.ids: %s\n", sweep->texts[0].digest.hex);
    }
    trial->canonical = bs_print_end(&printing);
    if (!trial->canonical)
        return bs_fail_memory(err);
    trial->recipe_label = bs_recipe_text(recipe, bs_recipe_print_label);
    trial->algorithm = bs_recipe_text(recipe, bs_recipe_print_algorithm);
    trial->options = bs_recipe_text(recipe, bs_recipe_print_options);
    struct bs_digest digest = bs_digest_of(trial->canonical, strlen(trial->canonical));
    snprintf(trial->id, sizeof trial->id, "%.16s", digest.hex);
    bool whole = trial->recipe_label && trial->algorithm && trial->options;
    return whole ? BS_OK : bs_fail_memory(err);
}

static void release_trial(struct bs_trial *trial)
{
    bs_free(trial->canonical);
    bs_free(trial->label);
    bs_free(trial->recipe_label);
    bs_free(trial->algorithm);
    bs_free(trial->options);
}

/* Two draws may be the same windows, of a text that has no others: that is one trial. */
static bool is_listed(const struct bs_sweep *sweep, const struct bs_trial *trial)
{
    for (int i = 0; i < sweep->num_all && trial->calibration > 0; i++)
        if (!strcmp(sweep->all[i].id, trial->id))
            return true;
    return false;
}

/* Another entry that measures the same tokens in the same way would be the same trial twice. */
static enum bs_status check_texts_differ(const struct bs_sweep *sweep, const struct bs_trial *trial,
                                         struct bs_error *err)
{
    const struct bs_evaluation_config *texts = sweep->config->evaluations;
    for (int i = 0; i < sweep->num_all; i++)
        if (sweep->all[i].text != trial->text && !strcmp(sweep->all[i].id, trial->id))
            return bs_fail(err, BS_ECONFIG,
                           "evaluation: '%s' and '%s' are the same %d windows of the same text, "
                           "measured in the same way: expected each once",
                           texts[sweep->all[i].text].text, texts[trial->text].text,
                           sweep->texts[trial->text].windows);
    return BS_OK;
}

static enum bs_status add_trial(struct bs_sweep *sweep, int recipe, int calibration, int text,
                                struct bs_error *err)
{
    struct bs_trial trial = {.recipe = recipe, .calibration = calibration, .text = text};
    enum bs_status status = describe_trial(sweep, &trial, err);
    if (!status)
        status = check_texts_differ(sweep, &trial, err);
    if (!status && !is_listed(sweep, &trial))
        sweep->all[sweep->num_all++] = trial;
    else
        release_trial(&trial);
    return status;
}

static enum bs_status list_trials(struct bs_sweep *sweep, struct bs_error *err)
{
    const struct bs_config *config = sweep->config;
    int parts = bs_sweep_parts(sweep);
    sweep->all = bs_calloc((size_t)parts * (size_t)config->num_recipes,
                           (size_t)config->num_evaluations * sizeof *sweep->all);
    if (!sweep->all)
        return bs_fail_memory(err);
    for (int c = 0; c < parts; c++)
        for (int r = 0; r < config->num_recipes; r++)
            for (int t = 0; t < config->num_evaluations; t++)
                if (bs_config_wants(config, r, sweep->model_index) &&
                    (c == 0 || bs_recipe_needs_calibration(&config->recipes[r])) &&
                    add_trial(sweep, r, c, t, err))
                    return err->status;
    bs_sweep_select(sweep, 0);
    return bs_trials_label(sweep, err);
}

int bs_sweep_parts(const struct bs_sweep *sweep)
{
    return sweep->calibrations ? sweep->config->num_calibrations : 1;
}

void bs_sweep_select(struct bs_sweep *sweep, int part)
{
    int first = 0, end;
    while (first < sweep->num_all && sweep->all[first].calibration < part)
        first++;
    for (end = first; end < sweep->num_all && sweep->all[end].calibration == part;)
        end++;
    sweep->trials = sweep->all + first;
    sweep->num_trials = end - first;
    sweep->calibration =
        sweep->calibrations ? sweep->calibrations[part] : (struct bs_windows){.ids = NULL};
}

bool bs_sweep_is_open(const struct bs_sweep *sweep)
{
    for (int i = 0; i < sweep->num_trials; i++)
        if (!sweep->trials[i].done)
            return true;
    return false;
}

void bs_sweep_order(const struct bs_sweep *sweep, const char **order)
{
    int at[BS_MAX_CALIBRATIONS] = {0}, count = 0; /* next of each part */
    for (int i = sweep->num_all - 1; i >= 0; i--)
        at[sweep->all[i].calibration] = i;
    for (int r = 0; r < sweep->config->num_recipes; r++)
        for (int c = 0; c < bs_sweep_parts(sweep); c++)
            for (; at[c] < sweep->num_all && sweep->all[at[c]].calibration == c &&
                   sweep->all[at[c]].recipe == r;
                 at[c]++)
                order[count++] = sweep->all[at[c]].id;
}

/* sweep->notices. */
static enum bs_status print_remarks(struct bs_sweep *sweep, const struct bs_tokenizer *tokenizer,
                                    struct bs_error *err)
{
    const struct bs_remarks *remarks = bs_model_remarks(sweep->model);
    const struct bs_lines *options = bs_tokenizer_notices(tokenizer);
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    if (!out)
        return bs_fail_memory(err);
    for (int i = 0; i < remarks->notices.count; i++)
        bs_print_line(out, "model: %s", remarks->notices.lines[i]);
    for (int i = 0; i < remarks->accepted.count; i++)
        bs_print_line(out, "model: config.json: %s: not understood, accepted",
                      remarks->accepted.lines[i]);
    for (int i = 0; i < options->count; i++)
        bs_print_line(out, "tokenizer: %s", options->lines[i]);
    sweep->notices = bs_print_end(&printing);
    return sweep->notices ? BS_OK : bs_fail_memory(err);
}

enum bs_status bs_sweep_open(const struct bs_config *config, int model_index,
                             struct bs_sweep *sweep, struct bs_error *err)
{
    *sweep = (struct bs_sweep){.config = config, .model_index = model_index};
    for (int t = 0; t < BS_MAX_TEXTS; t++)
        sweep->reference_nll[t] = (double)NAN;
    struct bs_tokenizer *tokenizer = NULL;
    char *directory = NULL;
    enum bs_status status =
        bs_hub_model(config->model_places[model_index], config->folder, &directory, err);
    if (!status)
        status = bs_model_open(directory, &sweep->config->accept_unknown, &sweep->model, err);
    if (!status)
        status = bs_tokenizer_open(directory, &tokenizer, err);
    if (!status)
        status = print_remarks(sweep, tokenizer, err);
    if (!status)
        status = load_windows(sweep, tokenizer, err);
    bs_tokenizer_free(tokenizer);
    bs_free(directory);
    if (!status)
        status = list_trials(sweep, err);
    if (status)
        bs_sweep_close(sweep);
    return status;
}

void bs_sweep_close(struct bs_sweep *sweep)
{
    for (int i = 0; i < sweep->num_all; i++)
        release_trial(&sweep->all[i]);
    bs_free(sweep->all);
    for (int c = 0; sweep->calibrations && c < sweep->config->num_calibrations; c++)
        bs_windows_release(&sweep->calibrations[c]);
    bs_free(sweep->calibrations);
    for (int t = 0; t < BS_MAX_TEXTS; t++)
        bs_windows_release(&sweep->texts[t]);
    bs_free(sweep->notices);
    bs_model_free(sweep->model);
    *sweep = (struct bs_sweep){.config = NULL};
}

void bs_sweep_mark_done(struct bs_sweep *sweep, const struct bs_results *results)
{
    for (int i = 0; i < sweep->num_all; i++) {
        const struct bs_row *row = bs_results_find(results, sweep->all[i].id);
        sweep->all[i].done = row && bs_row_is_done(row);
        if (sweep->all[i].done && !sweep->all[i].recipe)
            sweep->reference_nll[sweep->all[i].text] = row->nll;
    }
}

static bool is_open(const struct bs_trial *trial) { return !trial->done && !trial->kept; }

bool bs_sweep_recipe_is_open(const struct bs_sweep *sweep, int recipe)
{
    for (int i = 0; i < sweep->num_trials; i++)
        if (sweep->trials[i].recipe == recipe && is_open(&sweep->trials[i]))
            return true;
    return false;
}

struct bs_walk bs_sweep_walk(const struct bs_sweep *sweep)
{
    return (struct bs_walk){.model = sweep->model,
                            .calibration = sweep->calibration.ids ? &sweep->calibration : NULL,
                            .num_texts = sweep->config->num_evaluations,
                            .texts = sweep->texts,
                            .layer_error_windows = sweep->config->layer_error.windows};
}

/* How recipes ride with their streams in memory, or in a scratch directory. */
struct sharing {
    struct bs_walk_memory needed;
    int walks, recipes_a_walk; /* walks 0: not even one recipe fits */
};

static struct sharing share_out(const struct bs_walk *walk, const struct bs_recipe *const *recipes,
                                int count, double memory, double disk)
{
    struct sharing sharing = {.needed = bs_walk_memory(walk, recipes, count)};
    const struct bs_walk_memory *needed = &sharing.needed;
    bool reference_fits = needed->fixed <= memory && needed->disk_fixed <= disk;
    double fit = floor((memory - needed->fixed) / needed->per_passenger);
    if (needed->disk_per_passenger > 0)
        fit = fmin(fit, floor((disk - needed->disk_fixed) / needed->disk_per_passenger));
    if (!reference_fits || (count && fit < 1))
        return sharing;
    int most = fit < count ? (int)fit : count;
    sharing.walks = count ? (count + most - 1) / most : 1;
    sharing.recipes_a_walk = (count + sharing.walks - 1) / sharing.walks;
    return sharing;
}

/* A further walk evaluates the unquantized model once more. To write the streams to a file and read
 * them again, block by block, is counted as a twentieth of their evaluation. */
static bool worth_spilling(const struct sharing *spilled, const struct sharing *in_memory,
                           int recipes)
{
    if (!spilled->walks || !in_memory->walks)
        return spilled->walks;
    return 20 * (in_memory->walks - spilled->walks) > recipes + spilled->walks;
}

static double least_memory(const struct sharing *sharing, int count)
{
    return sharing->needed.fixed + (count ? sharing->needed.per_passenger : 0);
}

static double least_disk(const struct sharing *sharing, int count)
{
    return sharing->needed.disk_fixed + (count ? sharing->needed.disk_per_passenger : 0);
}

/* Decides where streams are: plan->walks and what follows from it. */
static enum bs_status plan_walks(const struct bs_sweep *sweep,
                                 const struct bs_recipe *const *recipes,
                                 const struct bs_limits *limits, struct bs_sweep_plan *plan,
                                 struct bs_error *err)
{
    int count = plan->recipes;
    double memory = limits->memory, room = (double)INFINITY;
    struct bs_walk walk = bs_sweep_walk(sweep);
    struct sharing best = share_out(&walk, recipes, count, memory, room);
    if (best.walks != 1) {
        walk.scratch = limits->scratch;
        struct sharing spilled = share_out(&walk, recipes, count, memory, room);
        if (!best.walks && !spilled.walks)
            return bs_fail(
                err, BS_ENOMEM,
                "the smallest walk needs %.0f MB, and the memory allowed is %.0f MB",
                ceil(fmin(least_memory(&best, count), least_memory(&spilled, count)) / 1e6),
                memory / 1e6);
        if (worth_spilling(&spilled, &best, count)) {
            if (bs_spill_room(limits->scratch, &room, err))
                return err->status;
            spilled = share_out(&walk, recipes, count, memory, room);
            if (!best.walks && !spilled.walks)
                return bs_fail(err, BS_ENOMEM,
                               "the smallest walk needs %.0f MB of memory, or %.0f MB in the "
                               "scratch folder '%s', which has room for %.0f MB",
                               ceil(least_memory(&best, count) / 1e6),
                               ceil(least_disk(&spilled, count) / 1e6), limits->scratch,
                               room / 1e6);
        }
        if (worth_spilling(&spilled, &best, count)) {
            best = spilled;
            plan->scratch = limits->scratch;
        }
    }
    plan->walks = best.walks;
    plan->recipes_a_walk = best.recipes_a_walk;
    plan->bytes = best.needed.fixed + best.recipes_a_walk * best.needed.per_passenger;
    plan->checkpoint_bytes =
        best.needed.kept_fixed + best.recipes_a_walk * best.needed.kept_per_passenger;
    plan->scratch_bytes =
        best.needed.disk_fixed + best.recipes_a_walk * best.needed.disk_per_passenger;
    return BS_OK;
}

enum bs_status bs_sweep_place_streams(const struct bs_limits *limits, struct bs_walk *walk,
                                      const struct bs_recipe *const *recipes, int count,
                                      struct bs_error *err)
{
    struct bs_walk_memory needed = bs_walk_memory(walk, recipes, count);
    if (needed.fixed + count * needed.per_passenger <= limits->memory)
        return BS_OK;
    double room;
    walk->scratch = limits->scratch;
    needed = bs_walk_memory(walk, recipes, count);
    double memory = needed.fixed + count * needed.per_passenger;
    double disk = needed.disk_fixed + count * needed.disk_per_passenger;
    if (memory > limits->memory)
        return bs_fail(err, BS_ENOMEM,
                       "the walk that was kept needs %.0f MB, and the memory allowed is %.0f MB",
                       ceil(memory / 1e6), limits->memory / 1e6);
    if (bs_spill_room(limits->scratch, &room, err))
        return err->status;
    if (disk > room)
        return bs_fail(err, BS_EIO,
                       "the walk that was kept needs %.0f MB in the scratch folder '%s', which has "
                       "room for %.0f MB",
                       ceil(disk / 1e6), limits->scratch, room / 1e6);
    return BS_OK;
}

static void add_common(struct bs_walk_common *to, struct bs_walk_common more)
{
    to->evaluations += more.evaluations;
    to->block_passes += more.block_passes;
    to->factors += more.factors;
    to->flops += more.flops;
}

static void plan_sharing(const struct bs_walk *walk, const struct bs_recipe *const *open,
                         struct bs_sweep_plan *plan)
{
    for (int first = 0; first < plan->recipes; first += plan->recipes_a_walk) {
        int left = plan->recipes - first;
        int count = left < plan->recipes_a_walk ? left : plan->recipes_a_walk;
        add_common(&plan->shared, bs_walk_common(walk, open + first, count));
    }
    for (int i = 0; i < plan->recipes; i++)
        add_common(&plan->alone, bs_walk_common(walk, open + i, 1));
}

/* What the walks compute. */
static void plan_work(const struct bs_sweep *sweep, const struct bs_recipe *const *open,
                      struct bs_sweep_plan *plan)
{
    struct bs_walk walk = bs_sweep_walk(sweep);
    int passes = 0; /* of calibration windows, searches not counted */
    for (int i = 0; i < plan->recipes; i++)
        passes += bs_recipe_needs_calibration(open[i]) ? 2 : 0;
    plan->evaluation_flops = bs_walk_evaluation_flops(&walk) * (plan->recipes + plan->walks);
    plan->calibration_flops = bs_walk_calibration_flops(&walk) * passes;
    plan_sharing(&walk, open, plan);
}

enum bs_status bs_sweep_plan(const struct bs_sweep *sweep, const struct bs_limits *limits,
                             struct bs_sweep_plan *plan, struct bs_error *err)
{
    const struct bs_config *config = sweep->config;
    *plan = (struct bs_sweep_plan){.walks = 0};
    const struct bs_recipe **open =
        bs_alloc((size_t)config->num_recipes, sizeof(const struct bs_recipe *));
    if (!open)
        return bs_fail_memory(err);
    for (int r = 1; r < config->num_recipes; r++)
        if (bs_sweep_recipe_is_open(sweep, r))
            open[plan->recipes++] = &config->recipes[r];
    for (int i = 0; i < sweep->num_trials; i++)
        plan->open_trials += is_open(&sweep->trials[i]);
    enum bs_status status = plan->open_trials ? plan_walks(sweep, open, limits, plan, err) : BS_OK;
    if (!status && plan->open_trials)
        plan_work(sweep, open, plan);
    bs_free(open);
    return status;
}

enum bs_status bs_sweep_plan_all(struct bs_sweep *sweep, const struct bs_limits *limits,
                                 struct bs_sweep_plan *plan, struct bs_error *err)
{
    const struct bs_sweep selected = *sweep;
    enum bs_status status = BS_OK;
    *plan = (struct bs_sweep_plan){.walks = 0};
    for (int c = 0; c < bs_sweep_parts(sweep) && !status; c++) {
        struct bs_sweep_plan part;
        bs_sweep_select(sweep, c);
        status = bs_sweep_plan(sweep, limits, &part, err);
        if (status)
            break;
        plan->open_trials += part.open_trials;
        plan->recipes += part.recipes;
        plan->walks += part.walks;
        if (part.recipes_a_walk > plan->recipes_a_walk)
            plan->recipes_a_walk = part.recipes_a_walk;
        plan->bytes = fmax(plan->bytes, part.bytes);
        if (part.scratch)
            plan->scratch = part.scratch;
        plan->scratch_bytes = fmax(plan->scratch_bytes, part.scratch_bytes);
        plan->checkpoint_bytes = fmax(plan->checkpoint_bytes, part.checkpoint_bytes);
        plan->evaluation_flops += part.evaluation_flops;
        plan->calibration_flops += part.calibration_flops;
        add_common(&plan->shared, part.shared);
        add_common(&plan->alone, part.alone);
    }
    sweep->calibration = selected.calibration;
    sweep->trials = selected.trials;
    sweep->num_trials = selected.num_trials;
    return status;
}

static void print_instead(const char *before, int shared, int alone, const char *after, FILE *out)
{
    if (shared < alone)
        fprintf(out, "%s%d%s instead of %d", before, shared, after, alone);
}

/* What walking together saves. */
static void print_sharing(const struct bs_walk_common *shared, const struct bs_walk_common *alone,
                          FILE *out)
{
    if (shared->evaluations >= alone->evaluations)
        return;
    print_instead("shared: ", shared->evaluations, alone->evaluations,
                  shared->evaluations == 1 ? " evaluation of the unquantized model"
                                           : " evaluations of the unquantized model",
                  out);
    print_instead(", ", shared->block_passes, alone->block_passes,
                  " passes of its calibration windows through a block", out);
    print_instead(", ", shared->factors, alone->factors, " factors of their Hessians", out);
    fprintf(out, ": %.3g Tflop saved\n", (alone->flops - shared->flops) / 1e12);
}

static void print_evaluation(const struct bs_evaluation_config *e, const struct bs_windows *windows,
                             FILE *out)
{
    char stride[48] = "";
    if (bs_protocols[e->protocol].slides)
        snprintf(stride, sizeof stride, " with stride %d", bs_evaluation_stride(e));
    char picked[64] = "";
    if (windows->windows < windows->all)
        snprintf(picked, sizeof picked, ", pick %s of %d", bs_pick_names[windows->pick],
                 windows->all);
    bs_print_line(out,
                  "evaluation: %s, protocol %s%s, %d windows of %d tokens%s, %zu scored (the text "
                  "has %zu)",
                  e->text, bs_protocol_names[e->protocol], stride, windows->windows,
                  windows->tokens, picked, windows->num_scored, windows->text.tokens);
}

static void print_calibration(const struct bs_calibration_config *c,
                              const struct bs_windows *windows, FILE *out)
{
    char seed[32] = "";
    if (bs_calibration_seed(c) >= 0)
        snprintf(seed, sizeof seed, " with seed %d", c->seed);
    bs_print_line(out, "calibration: %s, sampling %s%s, %d windows of %d tokens", c->text,
                  bs_sampling_names[c->sampling], seed, windows->windows, windows->tokens);
}

void bs_sweep_print(const struct bs_sweep *sweep, const struct bs_sweep_plan *plan, FILE *out)
{
    const struct bs_config *config = sweep->config;
    fprintf(out, "%-16s  %-5s  %-16s  %s\n", "trial", "state", "text", "recipe");
    for (int i = 0; i < sweep->num_all; i++) {
        const struct bs_trial *trial = &sweep->all[i];
        const char *state = trial->done ? "done" : trial->kept ? "kept" : "open";
        bs_print_line(out, "%-16s  %-5s  %-16s  %s", trial->id, state,
                      config->evaluations[trial->text].name, trial->label);
    }
    fputc('\n', out);
    for (int c = 0; sweep->calibrations && c < config->num_calibrations; c++)
        print_calibration(&config->calibrations[c], &sweep->calibrations[c], out);
    for (int t = 0; t < config->num_evaluations; t++)
        print_evaluation(&config->evaluations[t], &sweep->texts[t], out);
    fputs(sweep->notices, out);
    fprintf(out, "%d of %d trials to run: %d recipes in %d walk%s of up to %d, at most %.0f MB\n",
            plan->open_trials, sweep->num_all, plan->recipes, plan->walks,
            plan->walks == 1 ? "" : "s", plan->recipes_a_walk, plan->bytes / 1e6);
    if (plan->scratch)
        bs_print_line(out, "streams spilled: %.0f MB in %s", plan->scratch_bytes / 1e6,
                      plan->scratch);
    fprintf(out,
            "arithmetic: %.3g Tflop to evaluate, %.3g Tflop to pass calibration windows "
            "(searches come on top)\n",
            plan->evaluation_flops / 1e12, plan->calibration_flops / 1e12);
    print_sharing(&plan->shared, &plan->alone, out);
}
