/* Runs a sweep: walk after walk, each committed before the next begins. */
#include "eval/run/sweep.h"

#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/linalg/blas.h"
#include "eval/metrics/statistics.h"
#include "eval/run/progress.h"

/* What all commits of a run share. */
struct running {
    struct bs_sweep *sweep;
    const char *path;
    const char **order;
    struct bs_run_info info;
    char host[256], cpu[128], started[32], finished[32];
};

static void time_text(char *out, size_t size)
{
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static void cpu_text(char *out, size_t size)
{
    char line[256];
    snprintf(out, size, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon)
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, size, "%.*s", (int)size - 1, colon + 2);
        break;
    }
    if (file)
        fclose(file);
}

static enum bs_status start_running(struct running *run, struct bs_error *err)
{
    struct bs_sweep *sweep = run->sweep;
    run->order = bs_alloc((size_t)sweep->num_trials, sizeof *run->order);
    if (!run->order)
        return bs_fail_memory(err);
    for (int i = 0; i < sweep->num_trials; i++)
        run->order[i] = sweep->trials[i].id;
    if (gethostname(run->host, sizeof run->host - 1))
        snprintf(run->host, sizeof run->host, "unknown");
    cpu_text(run->cpu, sizeof run->cpu);
    time_text(run->started, sizeof run->started);
    run->info = (struct bs_run_info){.config = sweep->config->source,
                                     .host = run->host,
                                     .cpu = run->cpu,
                                     .blas = bs_blas_name(),
                                     .started = run->started,
                                     .finished = run->finished,
                                     .threads = bs_threads(),
                                     .num_models = sweep->config->num_models,
                                     .models = sweep->config->models};
    return BS_OK;
}

static void copy_text(char *field, size_t size, const char *text)
{
    snprintf(field, size, "%s", text);
}

static const char *granularity_text(const struct bs_format *format, char *out, size_t size)
{
    if (format->bits == BS_BITS_NONE)
        return "none";
    if (format->group_size == BS_GROUP_CHANNEL)
        return "channel";
    if (format->group_size == BS_GROUP_TENSOR)
        return "tensor";
    snprintf(out, size, "%d", format->group_size);
    return out;
}

static const char *calibrate_on_text(const struct bs_recipe *recipe)
{
    const char *text = "none";
    for (int i = 0; i < recipe->num_stages; i++)
        if (recipe->stages[i].algorithm->needs)
            text = bs_calibrate_on_names[bs_recipe_calibrates_on(recipe, i)];
    return text;
}

static void describe_recipe(const struct bs_recipe *recipe, struct bs_row *row)
{
    static const char *const act_granularity[] = {"token", "tensor", "tensor_static"};
    bool weights = recipe->weights.bits != BS_BITS_NONE;
    char text[16];
    bs_recipe_label(recipe, row->label, sizeof row->label);
    bs_recipe_algorithm_name(recipe, row->algorithm, sizeof row->algorithm);
    bs_recipe_options_text(recipe, row->options, sizeof row->options);
    copy_text(row->grid, sizeof row->grid,
              weights ? bs_grid_name((enum bs_grid)recipe->weights.grid) : "none");
    copy_text(row->range, sizeof row->range,
              !weights                                ? "none"
              : recipe->weights.range == BS_RANGE_MSE ? "mse"
                                                      : "minmax");
    copy_text(row->granularity, sizeof row->granularity,
              granularity_text(&recipe->weights, text, sizeof text));
    copy_text(row->activation_granularity, sizeof row->activation_granularity,
              recipe->activations.bits == BS_BITS_NONE
                  ? "none"
                  : act_granularity[recipe->activations.granularity]);
    copy_text(row->calibrate_on, sizeof row->calibrate_on, calibrate_on_text(recipe));
    copy_text(row->compute, sizeof row->compute, bs_compute_names[recipe->compute]);
    row->bits = recipe->weights.bits;
    row->symmetric = weights && recipe->weights.symmetric;
    row->activation_bits = recipe->activations.bits;
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
    summarise_units(nll.mean, &text->text, row);
    if (figures == reference)
        return BS_OK;
    struct bs_mean delta = bs_perplexity_difference(figures->nll, reference->nll, &layout);
    row->perplexity_delta = delta.mean;
    row->perplexity_delta_se = delta.se;
    delta = bs_mean_difference(figures->nll, reference->nll, &layout);
    row->nll_delta = delta.mean;
    row->nll_delta_se = delta.se;
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
                               &row->perplexity_delta,
                               &row->perplexity_delta_se,
                               &row->nll_delta,
                               &row->nll_delta_se,
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
                               &row->bits_per_byte};
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

static enum bs_status fill_record(const struct bs_sweep *sweep, const struct bs_trial *trial,
                                  const struct bs_passenger *passenger,
                                  const struct bs_passenger *reference,
                                  struct bs_trial_record *record, struct bs_error *err)
{
    const struct bs_windows *text = &sweep->texts[trial->text];
    struct bs_row *row = &record->row;
    *record = (struct bs_trial_record){.canonical = trial->canonical, .notices = sweep->notices};
    copy_text(row->id, sizeof row->id, trial->id);
    copy_text(row->model, sizeof row->model, sweep->config->models[sweep->model_index]);
    copy_text(row->text, sizeof row->text, sweep->config->evaluations[trial->text].name);
    describe_recipe(passenger->recipe, row);
    const struct bs_evaluation_config *evaluation = &sweep->config->evaluations[trial->text];
    copy_text(row->protocol, sizeof row->protocol, bs_protocol_names[evaluation->protocol]);
    copy_text(row->text_digest, sizeof row->text_digest, text->text_digest.hex);
    row->windows = text->windows;
    row->tokens = text->tokens;
    row->stride = bs_evaluation_stride(evaluation);
    row->scored = (int)text->num_scored;
    row->seconds_quantize = passenger->seconds_quantize;
    row->seconds_evaluate = passenger->seconds_evaluate;
    blank_figures(row);
    if (passenger->status) {
        copy_text(row->status, sizeof row->status, "failed");
        copy_text(row->message, sizeof row->message, passenger->message);
        return BS_OK;
    }
    copy_text(row->status, sizeof row->status, "done");
    const struct bs_token_figures *figures = &passenger->figures[trial->text];
    record->num_layers = passenger->num_layers;
    record->layers = passenger->layers;
    record->nll = figures->nll;
    record->kld = figures->kld;
    record->same_top = figures->same_top;
    summarise_weights(sweep, passenger, row);
    return summarise(figures, &reference->figures[trial->text], text, row, err);
}

/* Commits what one walk brought: every open trial of its passengers. */
static enum bs_status commit_walk(struct running *run, const struct bs_passenger *passengers,
                                  int num_passengers, bool last, struct bs_sweep_outcome *outcome,
                                  struct bs_error *err)
{
    struct bs_sweep *sweep = run->sweep;
    struct bs_trial_record *records = bs_alloc((size_t)sweep->num_trials, sizeof *records);
    if (!records)
        return bs_fail_memory(err);
    int count = 0;
    enum bs_status status = BS_OK;
    for (int i = 0; i < sweep->num_trials && !status; i++) {
        struct bs_trial *trial = &sweep->trials[i];
        for (int p = 0; p < num_passengers && !trial->done && !status; p++)
            if (passengers[p].recipe == &sweep->config->recipes[trial->recipe]) {
                status = fill_record(sweep, trial, &passengers[p], &passengers[0],
                                     &records[count++], err);
                trial->done = true;
                outcome->failed += passengers[p].status != BS_OK;
                outcome->done += passengers[p].status == BS_OK;
            }
    }
    if (last)
        time_text(run->finished, sizeof run->finished);
    if (!status)
        status = bs_results_commit(run->path, records, count, run->order, sweep->num_trials,
                                   &run->info, err);
    bs_free(records);
    return status;
}

/* The unquantized model first: every difference is to it. Then the next open recipes. */
static int board(const struct bs_sweep *sweep, int *next, int most, struct bs_passenger *passengers)
{
    const struct bs_config *config = sweep->config;
    int count = 0;
    passengers[count++] = (struct bs_passenger){.recipe = &config->recipes[0]};
    for (; *next < config->num_recipes && count <= most; (*next)++)
        if (*next > 0 && bs_sweep_recipe_is_open(sweep, *next))
            passengers[count++] = (struct bs_passenger){.recipe = &config->recipes[*next]};
    for (int i = 0; i < sweep->num_trials; i++)
        for (int p = 0; p < count && !sweep->trials[i].done; p++)
            if (passengers[p].recipe == &config->recipes[sweep->trials[i].recipe])
                passengers[p].wanted[sweep->trials[i].text] =
                    passengers[0].wanted[sweep->trials[i].text] = true;
    return count;
}

static enum bs_status run_walk(struct running *run, const struct bs_walk *walk, int *next, int most,
                               bool last, struct bs_sweep_outcome *outcome, struct bs_error *err)
{
    struct bs_passenger *passengers = bs_calloc((size_t)most + 1, sizeof *passengers);
    if (!passengers)
        return bs_fail_memory(err);
    int count = board(run->sweep, next, most, passengers);
    enum bs_status status = bs_walk_run(walk, passengers, count, err);
    if (!status && passengers[0].status)
        status = bs_fail(err, passengers[0].status, "the unquantized model: %.*s", 500,
                         passengers[0].message);
    if (!status)
        status = commit_walk(run, passengers, count, last, outcome, err);
    for (int p = 0; p < count; p++)
        bs_passenger_release(&passengers[p]);
    bs_free(passengers);
    return status;
}

static void announce(const struct bs_sweep_plan *plan)
{
    char spilled[64] = "";
    if (plan->scratch)
        snprintf(spilled, sizeof spilled, "; streams spilled: %.0f MB in ",
                 plan->scratch_bytes / 1e6);
    bs_print_line(stderr, "%d trials to run: %d recipes in %d walk%s, at most %.0f MB%s%s",
                  plan->open_trials, plan->recipes, plan->walks, plan->walks == 1 ? "" : "s",
                  plan->bytes / 1e6, spilled, plan->scratch ? plan->scratch : "");
}

enum bs_status bs_sweep_run(struct bs_sweep *sweep, const char *path,
                            const struct bs_limits *limits, bool quiet, bool last,
                            struct bs_sweep_outcome *outcome, struct bs_error *err)
{
    struct bs_sweep_plan plan;
    struct running run = {.sweep = sweep, .path = path};
    if (bs_sweep_plan(sweep, limits, &plan, err))
        return err->status;
    if (!plan.walks)
        return BS_OK;
    if (start_running(&run, err))
        return err->status;
    int layers = bs_model_architecture(sweep->model)->num_layers, next = 0;
    struct bs_progress progress;
    struct bs_walk walk = bs_sweep_walk(sweep);
    walk.scratch = plan.scratch;
    walk.progress = bs_progress_report;
    walk.progress_context = &progress;
    if (!quiet) {
        fputs(sweep->notices, stderr);
        announce(&plan);
    }
    bs_progress_start(&progress, quiet, (layers + 1) * (plan.recipes + 2 * plan.walks));
    enum bs_status status = BS_OK;
    for (int w = 0; w < plan.walks && !status; w++) {
        status = run_walk(&run, &walk, &next, plan.recipes_a_walk, last && w + 1 == plan.walks,
                          outcome, err);
        progress.before += (layers + 1) * (plan.recipes_a_walk + 2);
    }
    bs_progress_end(&progress);
    bs_free(run.order);
    return status;
}
