/* What a walk measured, as a row of the result file. */
#include "eval/run/summary.h"

#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/tasks/uncertainty.h"

enum { WORD_TEXT = 32 };

static void copy_text(char *field, size_t size, const char *text)
{
    snprintf(field, size, "%s", text);
}

static const char *calibrate_on_text(const struct bs_recipe *recipe)
{
    const char *text = "none";
    for (int i = 0; i < recipe->num_stages; i++)
        if (bs_algorithm_of(&recipe->stages[i])->needs)
            text = bs_calibrate_on_names[bs_recipe_calibrates_on(recipe, i)];
    return text;
}

/* Of a code; of values that are not quantized those that models are published with. */
static int bits_of(const struct bs_setting *setting) { return bs_flat_of(setting).bits; }

static void describe_recipe(const struct bs_recipe *recipe, struct bs_row *row)
{
    const struct bs_setting *weights = &recipe->weights, *activations = &recipe->activations;
    char text[WORD_TEXT];
    bs_setting_text(weights, "grid", row->grid, sizeof row->grid);
    bs_setting_text(weights, "range", row->range, sizeof row->range);
    bs_setting_text(weights, "group_size", row->granularity, sizeof row->granularity);
    bs_setting_text(activations, "sharing", row->activation_granularity,
                    sizeof row->activation_granularity);
    copy_text(row->calibrate_on, sizeof row->calibrate_on, calibrate_on_text(recipe));
    copy_text(row->compute, sizeof row->compute, bs_compute_names[recipe->compute]);
    row->bits = bits_of(weights);
    row->symmetric = !strcmp(bs_setting_text(weights, "symmetric", text, sizeof text), "true");
    row->activation_bits = bits_of(activations);
}

static size_t values_of(const struct bs_layout *layout)
{
    return (size_t)layout->windows * (size_t)layout->per_window;
}

static enum bs_status summarise_kld(const float *kld, const struct bs_layout *layout,
                                    struct bs_row *row, struct bs_error *err)
{
    size_t count = layout->scored;
    struct bs_mean mean = bs_mean_of(kld, layout);
    row->kld_mean = mean.mean;
    row->kld_mean_se = mean.se;
    float *sorted = bs_alloc(values_of(layout), sizeof *sorted);
    if (!sorted)
        return bs_fail_memory(err);
    memcpy(sorted, kld, values_of(layout) * sizeof *sorted);
    bs_sort(sorted, values_of(layout)); /* what is not scored comes last */
    row->kld_median = bs_quantile(sorted, count, 0.5);
    row->kld_p90 = bs_quantile(sorted, count, 0.9);
    row->kld_p95 = bs_quantile(sorted, count, 0.95);
    row->kld_p99 = bs_quantile(sorted, count, 0.99);
    row->kld_p999 = bs_quantile(sorted, count, 0.999);
    row->kld_max = (double)sorted[count - 1];
    bs_free(sorted);
    return BS_OK;
}

static enum bs_status summarise_same_top(const struct bs_token_figures *figures,
                                         const struct bs_layout *layout, struct bs_row *row,
                                         struct bs_error *err)
{
    size_t count = values_of(layout);
    float *share = bs_alloc(count, sizeof *share);
    if (!share)
        return bs_fail_memory(err);
    for (size_t i = 0; i < count; i++)
        share[i] = isnan(figures->nll[i]) ? NAN : (float)figures->same_top[i];
    struct bs_mean mean = bs_mean_of(share, layout);
    row->same_top = mean.mean;
    row->same_top_se = mean.se;
    bs_free(share);
    return BS_OK;
}

/* The mean NLL of a token, spread over the words and bytes of the text. */
static void summarise_units(double nll, const struct bs_text_size *text, struct bs_row *row)
{
    double all = nll * (double)text->tokens;
    row->word_perplexity = exp(all / (double)text->words);
    row->byte_perplexity = exp(all / (double)text->bytes);
    row->bits_per_byte = all / (double)text->bytes / log(2);
}

/* Fills the row's figures of one text; `reference` are the unquantized model's, or the same. */
static enum bs_status summarise(const struct bs_token_figures *figures,
                                const struct bs_token_figures *reference,
                                const struct bs_windows *text, struct bs_row *row,
                                struct bs_error *err)
{
    const struct bs_layout layout = {
        .windows = text->windows, .per_window = text->tokens - 1, .scored = text->num_scored};
    struct bs_mean perplexity = bs_perplexity_of(figures->nll, &layout);
    struct bs_mean nll = bs_mean_of(figures->nll, &layout);
    row->perplexity = perplexity.mean;
    row->perplexity_se = perplexity.se;
    row->nll = nll.mean;
    row->nll_se = nll.se;
    row->nll_df = nll.df;
    summarise_units(nll.mean, &text->text, row);
    if (figures == reference)
        return BS_OK;
    struct bs_mean delta = bs_perplexity_difference(figures->nll, reference->nll, &layout);
    row->perplexity_delta = delta.mean;
    row->perplexity_delta_se = delta.se;
    delta = bs_mean_difference(figures->nll, reference->nll, &layout);
    row->nll_delta = delta.mean;
    row->nll_delta_se = delta.se;
    row->nll_delta_df = delta.df;
    if (summarise_kld(figures->kld, &layout, row, err))
        return err->status;
    return summarise_same_top(figures, &layout, row, err);
}

/* Every mean of a row whose trial failed, or that the unquantized model does not have. */
static void blank_figures(struct bs_row *row)
{
    double *const figures[] = {&row->perplexity,
                               &row->perplexity_se,
                               &row->nll,
                               &row->nll_se,
                               &row->nll_df,
                               &row->perplexity_delta,
                               &row->perplexity_delta_se,
                               &row->nll_delta,
                               &row->nll_delta_se,
                               &row->nll_delta_df,
                               &row->kld_mean,
                               &row->kld_mean_se,
                               &row->kld_median,
                               &row->kld_p90,
                               &row->kld_p95,
                               &row->kld_p99,
                               &row->kld_p999,
                               &row->kld_max,
                               &row->same_top,
                               &row->same_top_se,
                               &row->weight_mse,
                               &row->sqnr_db,
                               &row->relative_output_error,
                               &row->cosine,
                               &row->bits_per_weight,
                               &row->bytes,
                               &row->compression_ratio,
                               &row->word_perplexity,
                               &row->byte_perplexity,
                               &row->bits_per_byte,
                               &row->perplexity_calibration_sd,
                               &row->nll_calibration_sd,
                               &row->kld_calibration_sd,
                               &row->same_top_calibration_sd};
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        *figures[i] = NAN;
}

static void summarise_weights(const struct bs_sweep *sweep, const struct bs_passenger *passenger,
                              struct bs_row *row)
{
    double other = 2.0 * (double)bs_model_other_parameters(sweep->model);
    row->weight_mse = passenger->weight_mse;
    row->sqnr_db = passenger->sqnr_db;
    row->relative_output_error = passenger->relative_output_error;
    row->cosine = passenger->cosine;
    row->bits_per_weight = passenger->linear_bits / passenger->linear_weights;
    row->bytes = passenger->linear_bits / 8 + other;
    row->compression_ratio = (2 * passenger->linear_weights + other) / row->bytes;
    for (int i = 0; i < passenger->num_layers; i++) {
        row->fallbacks += passenger->layers[i].fallback;
        row->dead_columns += passenger->layers[i].dead_columns;
    }
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
    row->text = evaluation->name;
    copy_text(row->protocol, sizeof row->protocol, bs_protocol_names[evaluation->protocol]);
    copy_text(row->pick, sizeof row->pick,
              text->windows == text->all ? "all" : bs_pick_names[text->pick]);
    copy_text(row->text_digest, sizeof row->text_digest, text->text_digest.hex);
    row->windows = text->windows;
    row->text_windows = text->all;
    row->tokens = text->tokens;
    row->stride = bs_evaluation_stride(evaluation);
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

enum bs_status bs_trial_summarise(const struct bs_sweep *sweep, const struct bs_run_info *info,
                                  const struct bs_trial *trial,
                                  const struct bs_passenger *passenger,
                                  const struct bs_passenger *reference,
                                  struct bs_trial_record *record, struct bs_error *err)
{
    struct bs_row *row = &record->row;
    *record = (struct bs_trial_record){.canonical = trial->canonical, .notices = sweep->notices};
    describe_trial(sweep, trial, row);
    row->seconds_quantize = passenger->seconds_quantize;
    row->seconds_evaluate = passenger->seconds_evaluate;
    row->cpu = info->cpu;
    row->blas = info->blas;
    row->threads = info->threads;
    copy_text(row->started, sizeof row->started, info->started);
    blank_figures(row);
    copy_text(row->status, sizeof row->status, passenger->status ? "failed" : "done");
    if (passenger->status) {
        row->message = passenger->message;
        return BS_OK;
    }
    const struct bs_token_figures *figures = &passenger->figures[trial->text];
    record->num_layers = passenger->num_layers;
    record->layers = passenger->layers;
    record->nll = figures->nll;
    record->kld = figures->kld;
    record->same_top = figures->same_top;
    summarise_weights(sweep, passenger, row);
    return summarise(figures, &reference->figures[trial->text], &sweep->texts[trial->text], row,
                     err);
}
