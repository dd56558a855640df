#include "eval/run/sweep.h"

#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"
#include "eval/base/spill.h"
#include "eval/hub/hub.h"
#include "eval/linalg/numerics.h"
#include "eval/model/rope.h"
#include "eval/run/places.h"
#include "eval/run/progress.h"
#include "eval/run/summary.h"
#include "eval/tasks/paired_items.h"

/* Part of every trial's id. It grows when a change of the program changes results, so that a result
 * file never mixes the two. */
enum { REVISION = 6 };

int bs_results_revision(void) { return REVISION; }

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
    int other = sweep->reference ? bs_model_architecture(sweep->reference)->max_positions : most;
    if (tokens <= most && tokens <= other)
        return BS_OK;
    return bs_fail(
        err, BS_ECONFIG, "tokens is %d, but '%s' has positions for %d (max_position_embeddings)",
        tokens, other < most ? sweep->config->models[sweep->config->reference] : model_name(sweep),
        other < most ? other : most);
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

static struct bs_evaluation_source evaluation_source(const struct bs_config *config, int t)
{
    const struct bs_evaluation_config *e = &config->evaluations[t];
    return (struct bs_evaluation_source){.text = {.text = e->text,
                                                  .base = config->folder,
                                                  .field = e->field,
                                                  .join = e->join,
                                                  .lines = e->lines},
                                         .tokens = e->tokens,
                                         .windows = e->windows,
                                         .pick = (enum bs_pick)e->pick,
                                         .task = e->task,
                                         .items = e->items,
                                         .shot_items = e->shot_items};
}

enum bs_status bs_calibration_cut(const struct bs_config *config, int index,
                                  const struct bs_model *model,
                                  const struct bs_tokenizer *tokenizer, struct bs_windows *windows,
                                  struct bs_error *err)
{
    struct bs_calibration_choice choice = calibration_choice(config, index);
    const struct bs_architecture *a = bs_model_architecture(model);
    if (choice.tokens > a->max_positions)
        return bs_fail(err, BS_ECONFIG,
                       "calibration: tokens is %d, but the model has positions for %d "
                       "(max_position_embeddings)",
                       choice.tokens, a->max_positions);
    if (bs_windows_calibrate(tokenizer, &choice, a->vocab_size, windows, err))
        return bs_fail_within(err, "calibration");
    return BS_OK;
}

static enum bs_status load_calibrations(struct bs_sweep *sweep,
                                        const struct bs_tokenizer *tokenizer, struct bs_error *err)
{
    const struct bs_config *config = sweep->config;
    if (!any_recipe_calibrates(sweep))
        return BS_OK;
    sweep->calibrations = bs_calloc((size_t)config->num_calibrations, sizeof *sweep->calibrations);
    if (!sweep->calibrations)
        return bs_fail_memory(err);
    for (int c = 0; c < config->num_calibrations; c++)
        if (check_positions(sweep, config->calibrations[c].tokens, err) ||
            bs_calibration_cut(config, c, sweep->model, tokenizer, &sweep->calibrations[c], err))
            return err->status;
    return BS_OK;
}

/* A task's rows are as long as they are, up to the model's positions; items do not share scales. */
static void fit_to_model(const struct bs_sweep *sweep, const struct bs_evaluation *evaluation,
                         struct bs_evaluation_source *source)
{
    const struct bs_architecture *a = bs_model_architecture(sweep->model);
    const struct bs_architecture *b =
        sweep->reference ? bs_model_architecture(sweep->reference) : a;
    if (bs_rope_depends_on_length(a) || bs_rope_depends_on_length(b))
        source->apart = BS_APART_REQUESTS;
    else if (bs_config_spans_tokens(sweep->config, sweep->model_index))
        source->apart = BS_APART_ITEMS;
    if (evaluation->subject == BS_OF_TASK && !source->tokens)
        source->tokens = a->max_positions < b->max_positions ? a->max_positions : b->max_positions;
}

enum bs_status bs_sweep_load_text(const struct bs_sweep *sweep,
                                  const struct bs_tokenizer *tokenizer, int text,
                                  struct bs_windows *windows, struct bs_error *err)
{
    const struct bs_evaluation_config *e = &sweep->config->evaluations[text];
    const struct bs_evaluation *evaluation = bs_evaluation_of(&e->how);
    struct bs_evaluation_source source = evaluation_source(sweep->config, text);
    int vocab = bs_model_architecture(sweep->model)->vocab_size;
    fit_to_model(sweep, evaluation, &source);
    if (check_positions(sweep, source.tokens, err) ||
        evaluation->request(e->how.options, &source, tokenizer, vocab, windows, err))
        return bs_fail_within(err, "evaluation");
    return BS_OK;
}

static enum bs_status load_windows(struct bs_sweep *sweep, const struct bs_tokenizer *tokenizer,
                                   struct bs_error *err)
{
    const struct bs_config *config = sweep->config;
    if (load_calibrations(sweep, tokenizer, err))
        return err->status;
    for (int t = 0; t < config->num_evaluations; t++) {
        if (bs_sweep_load_text(sweep, tokenizer, t, &sweep->texts[t], err))
            return err->status;
        sweep->figures[t] = bs_evaluation_of(&config->evaluations[t].how)->figures | 1u << BS_NLL;
    }
    return BS_OK;
}

/* Opens the importance matrices that the model's recipes name. */
static enum bs_status open_importance(struct bs_sweep *sweep, struct bs_lines *notices,
                                      struct bs_error *err)
{
    const struct bs_config *config = sweep->config;
    enum bs_status status = BS_OK;
    for (int r = 0; r < config->num_recipes && !status; r++)
        if (bs_config_wants(config, r, sweep->model_index))
            status = bs_importance_open(&config->recipes[r], bs_model_architecture(sweep->model),
                                        &sweep->importance, notices, err);
    return status;
}

static void print_windows(const char *name, const struct bs_windows *windows, FILE *out)
{
    fprintf(out, "%s.text: %s\n%s.windows: %d\n%s.tokens: %d\n%s.ids: %s\n", name,
            windows->text_digest.hex, name, windows->windows, name, windows->tokens, name,
            windows->digest.hex);
}

/* How a task is laid out in windows changes no bit of its answers, and depends on other recipes. */
static void print_asked(const struct bs_evaluation_config *e, const struct bs_windows *windows,
                        FILE *out)
{
    if (e->task)
        fprintf(out, "evaluation.text: %s\nevaluation.ids: %s\n", windows->text_digest.hex,
                windows->asked.hex);
    else
        print_windows("evaluation", windows, out);
}

/* What tells numbers apart that were taken on the same ids. */
static void print_how(const struct bs_evaluation_config *e, const struct bs_windows *windows,
                      FILE *out)
{
    fprintf(out, "evaluation: %s\n", e->how.plugin->name);
    bs_choice_print_all(&e->how, "evaluation", out);
    if (e->task)
        bs_task_print(e->task, "task", out);
    if (windows->windows < windows->all)
        fprintf(out, "evaluation.pick: %s of %d\n", bs_pick_names[windows->pick], windows->all);
    fprintf(out, "evaluation.scored: %zu\n", windows->num_scored);
}

/* What a model is called that is compared with a reference: it is as its files have it. */
static const char published[] = "as published";

void bs_trial_print_written(const struct bs_sweep *sweep, const struct bs_trial *trial, FILE *out)
{
    const struct bs_recipe *recipe = &sweep->config->recipes[trial->recipe];
    const struct bs_lines *accepted = &bs_model_remarks(sweep->model)->accepted;
    fprintf(out, "revision: %d\nnumerics: %s\nmodel: %s\n", REVISION, bs_numerics()->plugin.name,
            bs_model_digest(sweep->model).hex);
    if (sweep->reference)
        fprintf(out, "reference: %s\n", bs_model_digest(sweep->reference).hex);
    for (int i = 0; i < accepted->count; i++)
        fprintf(out, "model.accepted: %s\n", accepted->lines[i]);
    bs_recipe_print(recipe, out);
    if (bs_recipe_needs_calibration(recipe))
        print_windows("calibration", &sweep->calibrations[trial->calibration], out);
}

static enum bs_status describe_trial(const struct bs_sweep *sweep, struct bs_trial *trial,
                                     struct bs_error *err)
{
    const struct bs_recipe *recipe = &sweep->config->recipes[trial->recipe];
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    if (!out)
        return bs_fail_memory(err);
    bs_trial_print_written(sweep, trial, out);
    print_asked(&sweep->config->evaluations[trial->text], &sweep->texts[trial->text], out);
    print_how(&sweep->config->evaluations[trial->text], &sweep->texts[trial->text], out);
    if (recipe->num_steps || sweep->reference) {
        /* The windows of the per-linear errors belong to the first text. */
        fprintf(out, "layer_error.windows: %d\n", sweep->config->layer_error.windows);
        if (sweep->config->layer_error.windows)
            fprintf(out, "layer_error.ids: %s\n", sweep->texts[0].digest.hex);
    }
    const struct bs_channels_config *channels = &sweep->config->channels;
    for (int i = 0; i < channels->num_sites && !trial->text; i++)
        fprintf(out, "channels: %s over %d\n", channels->sites[i], channels->windows);
    trial->canonical = bs_print_end(&printing);
    if (!trial->canonical)
        return bs_fail_memory(err);
    bool as_it_is = sweep->reference;
    trial->recipe_label =
        as_it_is ? bs_strdup(published) : bs_recipe_text(recipe, bs_recipe_print_label);
    trial->algorithm =
        as_it_is ? bs_strdup(published) : bs_recipe_text(recipe, bs_recipe_print_algorithm);
    trial->options = bs_recipe_text(recipe, bs_recipe_print_options);
    struct bs_digest digest = bs_digest_of(trial->canonical, strlen(trial->canonical));
    snprintf(trial->id, sizeof trial->id, "%.16s", digest.hex);
    bool whole = trial->recipe_label && trial->algorithm && trial->options;
    return whole ? BS_OK : bs_fail_memory(err);
}

void bs_trial_release(struct bs_trial *trial)
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
    int windows = sweep->texts[trial->text].windows;
    char count[32] = "window";
    if (windows != 1)
        snprintf(count, sizeof count, "%d windows", windows);
    for (int i = 0; i < sweep->num_all; i++)
        if (sweep->all[i].text != trial->text && !strcmp(sweep->all[i].id, trial->id))
            return bs_fail(
                err, BS_ECONFIG,
                "evaluation: '%s' and '%s' are the same %s of the same text, measured in "
                "the same way: expected each once",
                texts[sweep->all[i].text].text, texts[trial->text].text, count);
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
        bs_trial_release(&trial);
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
                    (config->recipe_texts[r] >> t & 1) &&
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

/* Whether the sweep's model is compared with another. */
static bool is_compared(const struct bs_sweep *sweep)
{
    return sweep->config->has_reference && sweep->config->reference != sweep->model_index;
}

/* sweep->notices. */
static enum bs_status print_remarks(struct bs_sweep *sweep, const struct bs_tokenizer *tokenizer,
                                    const struct bs_lines *importance, struct bs_error *err)
{
    const struct bs_remarks *remarks = bs_model_remarks(sweep->model);
    const struct bs_lines *options = bs_tokenizer_notices(tokenizer);
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    const struct bs_config *config = sweep->config;
    if (!out)
        return bs_fail_memory(err);
    if (is_compared(sweep))
        bs_print_line(out, "model: compared with '%s', as its files have it",
                      config->models[config->reference]);
    for (int i = 0; i < remarks->notices.count; i++)
        bs_print_line(out, "model: %s", remarks->notices.lines[i]);
    for (int i = 0; i < remarks->accepted.count; i++)
        bs_print_line(out, "model: config.json: %s: not understood, accepted",
                      remarks->accepted.lines[i]);
    for (int i = 0; i < options->count; i++)
        bs_print_line(out, "tokenizer: %s", options->lines[i]);
    for (int i = 0; i < importance->count; i++)
        bs_print_line(out, "%s", importance->lines[i]);
    for (int t = 0; t < sweep->config->num_evaluations; t++)
        for (int i = 0; i < sweep->texts[t].notices.count; i++)
            bs_print_line(out, "evaluation: %s", sweep->texts[t].notices.lines[i]);
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
    struct bs_lines importance = {0};
    char *directory = NULL;
    enum bs_status status =
        bs_hub_model(config->model_places[model_index], config->folder, &directory, err);
    if (!status)
        status = bs_model_open(directory, &sweep->config->accept_unknown, &sweep->model, err);
    if (!status)
        status = bs_places_check(config, model_index, bs_model_architecture(sweep->model), err);
    if (!status)
        status = open_importance(sweep, &importance, err);
    if (!status)
        status = bs_tokenizer_open(directory, &tokenizer, err);
    if (!status && is_compared(sweep))
        status = bs_sweep_open_reference(sweep, err);
    if (!status)
        status = load_windows(sweep, tokenizer, err);
    if (!status)
        status = print_remarks(sweep, tokenizer, &importance, err);
    bs_lines_release(&importance);
    bs_tokenizer_free(tokenizer);
    bs_free(directory);
    if (!status && is_compared(sweep))
        status = bs_sweep_check_tokens(sweep, err);
    if (!status)
        status = list_trials(sweep, err);
    if (status)
        bs_sweep_close(sweep);
    return status;
}

void bs_sweep_close(struct bs_sweep *sweep)
{
    for (int i = 0; i < sweep->num_all; i++)
        bs_trial_release(&sweep->all[i]);
    bs_free(sweep->all);
    for (int c = 0; sweep->calibrations && c < sweep->config->num_calibrations; c++)
        bs_windows_release(&sweep->calibrations[c]);
    bs_free(sweep->calibrations);
    for (int t = 0; t < BS_MAX_TEXTS; t++)
        bs_windows_release(&sweep->texts[t]);
    bs_free(sweep->notices);
    bs_importance_close(&sweep->importance);
    bs_model_free(sweep->reference);
    bs_model_free(sweep->model);
    *sweep = (struct bs_sweep){.config = NULL};
}

void bs_sweep_mark_done(struct bs_sweep *sweep, const struct bs_results *results)
{
    for (int i = 0; i < sweep->num_all; i++) {
        const struct bs_row *row = bs_results_find(results, sweep->all[i].id);
        if (!row || !bs_row_is_done(row))
            continue;
        sweep->all[i].done = true;
        if (!sweep->all[i].recipe && !sweep->reference)
            sweep->reference_nll[sweep->all[i].text] = bs_row_number(row, "nll");
    }
}

struct bs_walk bs_sweep_walk(const struct bs_sweep *sweep)
{
    return (struct bs_walk){.model = sweep->reference ? sweep->reference : sweep->model,
                            .calibration = sweep->calibration.ids ? &sweep->calibration : NULL,
                            .num_texts = sweep->config->num_evaluations,
                            .texts = sweep->texts,
                            .figures = sweep->figures,
                            .importance = &sweep->importance,
                            .layer_error_windows = sweep->config->layer_error.windows,
                            .channel_windows = sweep->config->channels.windows,
                            .num_channel_sites = sweep->config->channels.num_sites,
                            .channel_sites = sweep->config->channels.sites};
}
