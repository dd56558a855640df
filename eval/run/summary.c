/* What a walk measured, as a row of the result file. */
#include "eval/run/summary.h"

#include <math.h>
#include <string.h>

#include "eval/base/isa.h"
#include "eval/base/mem.h"
#include "eval/linalg/numerics.h"
#include "eval/recipe/assign.h"
#include "eval/model/cache.h"
#include "eval/tasks/metric.h"

enum { WORD_TEXT = 32 };

static void copy_text(char *field, size_t size, const char *text)
{
    snprintf(field, size, "%s", text);
}

static const char *calibrate_on_text(const struct bs_recipe *recipe)
{
    const char *text = "none";
    for (int i = 0; i < recipe->num_steps; i++)
        if (bs_algorithm_of(&recipe->steps[i])->needs)
            text = bs_calibrate_on_names[bs_recipe_calibrates_on(recipe, i)];
    return text;
}

/* Of a code; of values that are not quantized those that models are published with. */
static int bits_of(const struct bs_setting *setting)
{
    return bs_setting_quantizes(setting) ? bs_setting_layout(setting).code_bits
                                         : BS_UNQUANTIZED_BITS;
}

/* Of keys or values in a cache, whichever have fewer. */
static int kv_code_bits(const struct bs_recipe *recipe)
{
    int least = BS_UNQUANTIZED_BITS;
    for (int c = 0; c < BS_NUM_CACHED; c++) {
        int own = bits_of(&recipe->cache[c]);
        least = own < least ? own : least;
    }
    return least;
}

/* Of activations at whatever place has the fewest: trials without any are compared by weights
 * alone. */
static int activation_bits(const struct bs_recipe *recipe)
{
    int least = bits_of(&recipe->activations);
    for (int r = 0; r < recipe->num_rules; r++) {
        int own =
            recipe->rules[r].use == BS_FOR_ACTIVATIONS ? bits_of(&recipe->rules[r].setting) : least;
        least = own < least ? own : least;
    }
    return least;
}

static void describe_recipe(const struct bs_recipe *recipe, struct bs_row *row)
{
    const struct bs_setting *weights = &recipe->weights, *activations = &recipe->activations;
    char text[WORD_TEXT];
    bs_setting_text(weights, "format", row->format, sizeof row->format);
    copy_text(row->format_family, sizeof row->format_family,
              bs_format_families[bs_setting_quantizes(weights) ? bs_format_of(weights)->family
                                                               : BS_FAMILY_NONE]);
    bs_setting_text(weights, "grid", row->grid, sizeof row->grid);
    bs_setting_text(weights, "range", row->range, sizeof row->range);
    bs_setting_text(weights, "group_size", row->granularity, sizeof row->granularity);
    bs_setting_text(activations, "sharing", row->activation_granularity,
                    sizeof row->activation_granularity);
    copy_text(row->calibrate_on, sizeof row->calibrate_on, calibrate_on_text(recipe));
    copy_text(row->compute, sizeof row->compute, bs_compute_names[recipe->compute]);
    row->bits = bits_of(weights);
    row->symmetric = !strcmp(bs_setting_text(weights, "symmetric", text, sizeof text), "true");
    row->activation_bits = activation_bits(recipe);
    row->kv_code_bits = kv_code_bits(recipe);
}

/* What the recipe looked at, where it looks at anything. */
static void describe_calibration(const struct bs_sweep *sweep, const struct bs_trial *trial,
                                 struct bs_row *row)
{
    row->calibration_seed = -1;
    if (!bs_recipe_needs_calibration(&sweep->config->recipes[trial->recipe]))
        return;
    const struct bs_calibration_config *c = &sweep->config->calibrations[trial->calibration];
    const struct bs_windows *windows = &sweep->calibrations[trial->calibration];
    row->calibration_text = c->text;
    copy_text(row->calibration_sampling, sizeof row->calibration_sampling,
              bs_sampling_names[c->sampling]);
    copy_text(row->calibration_text_digest, sizeof row->calibration_text_digest,
              windows->text_digest.hex);
    copy_text(row->calibration_digest, sizeof row->calibration_digest, windows->digest.hex);
    row->calibration_windows = windows->windows;
    row->calibration_tokens = windows->tokens;
    if (c->sampling == BS_SAMPLING_AWQ)
        row->calibration_documents = c->documents;
    row->calibration_seed = bs_calibration_seed(c);
}

static void describe_evaluation(const struct bs_sweep *sweep, int t, struct bs_row *row)
{
    const struct bs_evaluation_config *evaluation = &sweep->config->evaluations[t];
    const struct bs_windows *text = &sweep->texts[t];
    struct bs_protocol_used protocol = bs_evaluation_protocol(&evaluation->how, evaluation->tokens);
    row->text = evaluation->name;
    copy_text(row->evaluation, sizeof row->evaluation, evaluation->how.plugin->name);
    copy_text(row->protocol, sizeof row->protocol, protocol.name);
    copy_text(row->pick, sizeof row->pick,
              text->windows == text->all ? "all" : bs_pick_names[text->pick]);
    copy_text(row->text_digest, sizeof row->text_digest, text->text_digest.hex);
    row->windows = text->windows;
    row->text_windows = text->all;
    row->tokens = text->tokens;
    row->stride = protocol.stride ? protocol.stride : text->tokens;
    row->scored = (int)text->num_scored;
}

/* What a trial is, whatever comes of it. */
static void describe_trial(const struct bs_sweep *sweep, const struct bs_trial *trial,
                           struct bs_row *row)
{
    copy_text(row->id, sizeof row->id, trial->id);
    row->recipe = trial->recipe_label;
    row->algorithm = trial->algorithm;
    row->options = trial->options;
    row->model = sweep->config->models[sweep->model_index];
    copy_text(row->model_digest, sizeof row->model_digest, bs_model_digest(sweep->model).hex);
    describe_recipe(&sweep->config->recipes[trial->recipe], row);
    describe_calibration(sweep, trial, row);
    describe_evaluation(sweep, trial->text, row);
}

enum bs_status bs_trials_label(struct bs_sweep *sweep, struct bs_error *err)
{
    struct bs_row *rows = bs_calloc((size_t)sweep->num_all, sizeof *rows);
    if (!rows)
        return bs_fail_memory(err);
    for (int i = 0; i < sweep->num_all; i++)
        describe_trial(sweep, &sweep->all[i], &rows[i]);
    enum bs_status status = bs_rows_label(rows, sweep->num_all, err);
    for (int i = 0; i < sweep->num_all; i++) /* ours, as all else of the row is the sweep's */
        memcpy(&sweep->all[i].label, &rows[i].label, sizeof sweep->all[i].label);
    bs_free(rows);
    return status;
}

/* ---- what was measured ---- */

static void add_values(struct bs_row *row, const char *evaluation,
                       const struct bs_measured *measured, int count)
{
    for (int i = 0; i < count; i++) {
        struct bs_value_row *value = &row->values[row->num_values++];
        *value = (struct bs_value_row){.value = measured[i].value,
                                       .se = measured[i].se,
                                       .df = measured[i].df,
                                       .calibration_sd = (double)NAN,
                                       .n = measured[i].n};
        copy_text(value->evaluation, sizeof value->evaluation, evaluation);
        copy_text(value->name, sizeof value->name, measured[i].type->name);
    }
}

/* Embedding and head where they are quantized: by the recipe, or in the checkpoint. */
static struct bs_outer_size outer_size(const struct bs_sweep *sweep, const struct bs_recipe *recipe)
{
    const struct bs_architecture *a = bs_model_architecture(sweep->model);
    struct bs_outer_size size = bs_recipe_outer_size(recipe, a);
    struct bs_outer_assignment at;
    bs_recipe_assign_outer(recipe, a, &at);
    if (bs_recipe_turns(recipe)) /* then they are no longer the checkpoint's */
        return size;
    for (int w = 0; w < (a->tied_head ? 1 : BS_NUM_OUTER); w++) {
        double bits = bs_model_outer_bits(sweep->model, (enum bs_outer)w);
        if (bits <= 0 || bs_setting_quantizes(at.of[w]))
            continue;
        size.bits += bits;
        size.weights += (double)a->vocab_size * a->embedding_size;
    }
    return size;
}

/* What all layers' keys and values of a window take, where they are quantized. */
static void measure_cache(const struct bs_architecture *a, const struct bs_recipe *recipe,
                          int tokens, struct bs_metric_model *model)
{
    for (int layer = 0; layer < a->num_layers && bs_recipe_quantizes_cache(recipe); layer++)
        for (int c = 0; c < BS_NUM_CACHED; c++) {
            const struct bs_program *p = bs_program_of(a, layer);
            const struct bs_value *value = &p->values[bs_program_find(p, bs_cached_names[c])];
            double count = (double)tokens * value->width;
            model->cached_values += count;
            model->cache_bits +=
                bs_setting_quantizes(&recipe->cache[c])
                    ? bs_cache_bits(&recipe->cache[c], tokens, value->width, value->heads)
                    : BS_UNQUANTIZED_BITS * count;
        }
}

static int measure_model(const struct bs_sweep *sweep, int text, const struct bs_variant *variant,
                         struct bs_measured *out)
{
    const struct bs_layer_totals *totals = &variant->totals;
    struct bs_outer_size outer = outer_size(sweep, variant->recipe);
    const struct bs_architecture *a = bs_model_architecture(sweep->model);
    double others = (double)bs_model_other_parameters(sweep->model);
    bool parted = a->tied_head && !bs_recipe_ties(variant->recipe, a);
    double added = parted ? (double)a->vocab_size * a->embedding_size : 0;
    struct bs_metric_model model = {.linears = totals->linears,
                                    .weights = totals->weights,
                                    .matrix_bits = variant->linear_bits + outer.bits,
                                    .matrix_weights = variant->linear_weights + outer.weights,
                                    .other_weights = others + added - outer.weights,
                                    .added_weights = added};
    int count;
    measure_cache(a, variant->recipe, sweep->texts[text].tokens, &model);
    bs_metrics_model(&model, totals->sums, totals->values, out, &count);
    return count;
}

/* The row's values: those of its evaluation, then those of the model. */
static enum bs_status measure(const struct bs_sweep *sweep, int text,
                              const struct bs_variant *variant, const struct bs_variant *reference,
                              struct bs_row *row, struct bs_error *err)
{
    const struct bs_choice *how = &sweep->config->evaluations[text].how;
    const struct bs_evaluation *evaluation = bs_evaluation_of(how);
    const struct bs_scores scores = {.requests = &sweep->texts[text],
                                     .figures = &variant->figures[text],
                                     .reference =
                                         variant == reference ? NULL : &reference->figures[text]};
    int of_text = bs_value_types_count(evaluation->values), count = 0;
    struct bs_measured *measured =
        bs_alloc((size_t)(of_text + bs_metrics_values()), sizeof *measured);
    row->values = bs_alloc((size_t)(of_text + bs_metrics_values()), sizeof *row->values);
    enum bs_status status = measured && row->values ? BS_OK : bs_fail_memory(err);
    if (!status)
        status = evaluation->summarise(how->options, &scores, measured, &count, err);
    if (!status) {
        add_values(row, evaluation->plugin.name, measured, count);
        add_values(row, bs_model_values, measured, measure_model(sweep, text, variant, measured));
    }
    bs_free(measured);
    return status;
}

static enum bs_status name_columns(struct bs_layer_table *layers, struct bs_error *err)
{
    layers->num_columns = bs_metrics_linear_values();
    layers->columns = bs_alloc((size_t)layers->num_columns, sizeof *layers->columns);
    if (!layers->columns)
        return bs_fail_memory(err);
    for (int c = 0; c < layers->num_columns; c++)
        copy_text(layers->columns[c], sizeof layers->columns[c],
                  bs_metrics_linear_value_at(c)->name);
    return BS_OK;
}

/* What is kept of the scores: answers, or figures where there are none. */
static enum bs_status answer(const struct bs_sweep *sweep, int text,
                             const struct bs_variant *variant, struct bs_trial_record *record,
                             struct bs_error *err)
{
    const struct bs_evaluation *evaluation =
        bs_evaluation_of(&sweep->config->evaluations[text].how);
    const struct bs_scores scores = {.requests = &sweep->texts[text],
                                     .figures = &variant->figures[text]};
    if (evaluation->answer)
        return evaluation->answer(&scores, &record->answers, err);
    record->figures = &variant->figures[text];
    return BS_OK;
}

enum bs_status bs_trial_summarise(const struct bs_sweep *sweep, const struct bs_run_info *info,
                                  const struct bs_trial *trial, const struct bs_variant *variant,
                                  const struct bs_variant *reference,
                                  struct bs_trial_record *record, struct bs_error *err)
{
    struct bs_row *row = &record->row;
    *record = (struct bs_trial_record){.canonical = trial->canonical, .notices = sweep->notices};
    describe_trial(sweep, trial, row);
    row->seconds_quantize = variant->seconds_quantize;
    row->seconds_evaluate = variant->seconds_evaluate;
    row->cpu = info->cpu;
    row->blas = info->blas;
    row->threads = info->threads;
    row->revision = bs_results_revision();
    copy_text(row->numerics, sizeof row->numerics, bs_numerics()->plugin.name);
    copy_text(row->isa, sizeof row->isa, bs_isa_name(bs_isa()));
    copy_text(row->started, sizeof row->started, info->started);
    copy_text(row->status, sizeof row->status, variant->status ? "failed" : "done");
    if (variant->status) {
        row->message = variant->message;
        return BS_OK;
    }
    record->layers.num_rows = variant->num_layers;
    record->layers.rows = variant->layers;
    record->channels = trial->text ? NULL : &variant->channels;
    if (answer(sweep, trial->text, variant, record, err) || name_columns(&record->layers, err) ||
        measure(sweep, trial->text, variant, reference, row, err))
        return err->status;
    return BS_OK;
}

void bs_trial_record_release(struct bs_trial_record *record)
{
    bs_answers_release(&record->answers);
    bs_free(record->row.values);
    bs_free(record->layers.columns);
    *record = (struct bs_trial_record){.canonical = NULL};
}
