/* What `plan` prints of a sweep. */
#include <math.h>

#include "eval/base/printable.h"
#include "eval/linalg/numerics.h"
#include "eval/run/progress.h"
#include "eval/run/shard.h"
#include "eval/tasks/paired_items.h"

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

static void print_time(const struct bs_sweep_plan *plan, FILE *out)
{
    char about[32];
    int threads = bs_threads();
    if (isnan(plan->seconds))
        return;
    bs_print_about(plan->seconds, about, sizeof about);
    fprintf(out, "time: about %s on %d thread%s, by a piece of the work; checkpoints come on top\n",
            about, threads, threads == 1 ? "" : "s");
}

/* What difference so many items can show, so that nobody reads less: of three shares of items that
 * turn one way or the other, which nobody knows beforehand. */
static void print_power(int items, FILE *out)
{
    static const int turned[] = {5, 10, 20}; /* percent */
    char text[3][24];
    bool any = false;
    for (int i = 0; i < 3; i++) {
        double least = 100 * bs_detectable_difference(items, turned[i] / 100.0, 0.05, 0.8);
        any = any || !isnan(least);
        if (isnan(least))
            snprintf(text[i], sizeof text[i], "no change");
        else
            snprintf(text[i], sizeof text[i], "%.2g %%", least);
    }
    if (!any) {
        bs_print_line(out,
                      "  so few items cannot tell a change of acc from chance where %d %% of them "
                      "turn or fewer",
                      turned[2]);
        return;
    }
    bs_print_line(out,
                  "  a change of acc against another trial is told from chance in 4 of 5 cases "
                  "(power 0.8 at 5 %%, paired by item) from: %s where %d %% of the items turn, %s "
                  "where %d %%, %s where %d %%",
                  text[0], turned[0], text[1], turned[1], text[2], turned[2]);
}

static void print_task(const struct bs_evaluation_config *e, const struct bs_windows *requests,
                       FILE *out)
{
    struct bs_protocol_used protocol = bs_evaluation_protocol(&e->how, e->tokens);
    int items = requests->answers.num_items;
    bs_print_line(out, "evaluation: %s, %s, %d item%s in %d row%s of up to %d tokens, %zu scored",
                  e->name, protocol.name, items, items == 1 ? "" : "s", requests->windows,
                  requests->windows == 1 ? "" : "s", requests->tokens, requests->num_scored);
    print_power(items, out);
}

static void print_evaluation(const struct bs_evaluation_config *e, const struct bs_windows *windows,
                             FILE *out)
{
    struct bs_protocol_used protocol = bs_evaluation_protocol(&e->how, e->tokens);
    char stride[48] = "";
    if (protocol.stride != e->tokens)
        snprintf(stride, sizeof stride, " with stride %d", protocol.stride);
    char picked[64] = "";
    if (windows->windows < windows->all)
        snprintf(picked, sizeof picked, ", pick %s of %d", bs_pick_names[windows->pick],
                 windows->all);
    bs_print_line(out,
                  "evaluation: %s, protocol %s%s, %d windows of %d tokens%s, %zu scored (the text "
                  "has %zu)",
                  e->text, protocol.name, stride, windows->windows, windows->tokens, picked,
                  windows->num_scored, windows->text.tokens);
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

/* "3  ", or "2-4  ": the shards that have the trial. */
static void print_shards_of(const struct bs_sweep *sweep, const struct bs_trial *trial,
                            const struct bs_shards *shards, char out[24])
{
    int first = 0, last = 0;
    for (int k = 1; k <= shards->count; k++)
        if (bs_shards_has(shards, k, sweep->model_index, trial->calibration, trial->recipe)) {
            first = first ? first : k;
            last = k;
        }
    snprintf(out, 24, first < last ? "%d-%d" : "%d", first, last);
}

static void print_trials(const struct bs_sweep *sweep, const struct bs_shards *shards, FILE *out)
{
    char shard[32] = "";
    if (shards)
        snprintf(shard, sizeof shard, "%-9s  ", "shard");
    fprintf(out, "%-16s  %-5s  %s%-16s  %s\n", "trial", "state", shard, "text", "recipe");
    for (int i = 0; i < sweep->num_all; i++) {
        const struct bs_trial *trial = &sweep->all[i];
        const char *state = trial->done ? "done" : trial->kept ? "kept" : "open";
        char of[24];
        if (shards) {
            print_shards_of(sweep, trial, shards, of);
            snprintf(shard, sizeof shard, "%-9s  ", of);
        }
        bs_print_line(out, "%-16s  %-5s  %s%-16s  %s", trial->id, state, shard,
                      sweep->config->evaluations[trial->text].name, trial->label);
    }
    fputc('\n', out);
}

void bs_sweep_print(const struct bs_sweep *sweep, const struct bs_sweep_plan *plan,
                    const struct bs_shards *shards, FILE *out)
{
    const struct bs_config *config = sweep->config;
    print_trials(sweep, shards, out);
    for (int c = 0; sweep->calibrations && c < config->num_calibrations; c++)
        print_calibration(&config->calibrations[c], &sweep->calibrations[c], out);
    for (int t = 0; t < config->num_evaluations; t++) {
        const struct bs_evaluation_config *e = &config->evaluations[t];
        bool is_task = bs_evaluation_of(&e->how)->subject == BS_OF_TASK;
        (is_task ? print_task : print_evaluation)(e, &sweep->texts[t], out);
    }
    fputs(sweep->notices, out);
    fprintf(out, "%d of %d trials to run: %d recipe%s in %d walk%s of up to %d, at most %.0f MB\n",
            plan->open_trials, sweep->num_all, plan->recipes, plan->recipes == 1 ? "" : "s",
            plan->walks, plan->walks == 1 ? "" : "s", plan->recipes_a_walk, plan->bytes / 1e6);
    if (plan->scratch)
        bs_print_line(out, "streams spilled: %.0f MB in %s", plan->scratch_bytes / 1e6,
                      plan->scratch);
    fprintf(out,
            "arithmetic: %.3g Tflop to evaluate, %.3g Tflop to calibrate and to quantize, by %s "
            "numerics\n",
            plan->evaluation_flops / 1e12, plan->quantize_flops / 1e12, bs_numerics()->plugin.name);
    print_sharing(&plan->shared, &plan->alone, out);
    print_time(plan, out);
}
