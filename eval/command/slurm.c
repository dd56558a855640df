#include "eval/command/slurm.h"

#include <math.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/base/stop.h"

double bs_slurm_lead(double time_limit)
{
    const double share = 0.05, least = 5, most = 120;
    return fmin(most, fmax(least, share * time_limit));
}

/* A word of the shell. */
static void print_word(const char *text, FILE *out)
{
    fputc('\'', out);
    for (; *text; text++)
        fputs(*text == '\'' ? "'\\''" : (const char[]){*text, 0}, out);
    fputc('\'', out);
}

/* A value in a line for sbatch, which knows quotes of its own; % means something in names of
 * files. */
static void print_value(const char *text, bool is_file, FILE *out)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        if (*text == '%' && is_file)
            fputc('%', out);
        fputc(*text, out);
    }
}

/* The name of the result file without its folder and ending: what the jobs are called. */
static void print_name(const struct bs_slurm *slurm, const char *more, FILE *out)
{
    const char *name = bs_path_name(slurm->results), *dot = strrchr(name, '.');
    char *whole =
        bs_printf("%.*s%s", (int)(dot && dot > name ? dot - name : (long)strlen(name)), name, more);
    fputs("#SBATCH --job-name=\"", out);
    print_value(whole ? whole : "bitsweep", false, out);
    fputs("\"\n", out);
    bs_free(whole);
}

static void print_log(const struct bs_slurm *slurm, const char *name, FILE *out)
{
    fputs("#SBATCH --output=\"", out);
    print_value(slurm->folder, true, out);
    fprintf(out, "/%s.log\"\n", name);
}

/* Options that both jobs have. */
static void print_place(const struct bs_slurm *slurm, FILE *out)
{
    fputs("#SBATCH --nodes=1\n#SBATCH --ntasks=1\n", out);
    if (!slurm->args->partition)
        return;
    fputs("#SBATCH --partition=\"", out);
    print_value(slurm->args->partition, false, out);
    fputs("\"\n", out);
}

static void print_directory(const struct bs_slurm *slurm, FILE *out)
{
    fputs("\ncd ", out);
    print_word(slurm->directory, out);
    fputs(" || exit 2\nbitsweep=", out);
    print_word(slurm->program, out);
    fputc('\n', out);
}

static void print_option(const char *name, const char *value, FILE *out)
{
    fprintf(out, " --%s ", name);
    print_word(value, out);
}

/* Which trials a sweep has: what run and plan are told alike. */
static void print_choice(const struct bs_slurm *slurm, FILE *out)
{
    const struct bs_arguments *args = slurm->args;
    print_option("output", slurm->results, out);
    for (int i = 0; i < args->num_settings; i++)
        print_option("set", args->settings[i], out);
    for (int i = 0; i < args->num_models; i++)
        print_option("model", args->models[i], out);
    for (int i = 0; i < args->num_accepted; i++)
        print_option("accept-unknown", args->accepted[i], out);
    if (args->numerics)
        print_option("numerics", args->numerics->plugin.name, out);
}

static void print_limits(const struct bs_slurm *slurm, FILE *out)
{
    const struct bs_arguments *args = slurm->args;
    const struct bs_limits *limits = &args->limits;
    if (limits->memory > 0)
        fprintf(out, " --memory %.0f", limits->memory);
    if (limits->checkpoints)
        print_option("scratch", limits->checkpoints, out);
    if (limits->no_checkpoints)
        fputs(" --checkpoint off", out);
    else if (limits->checkpoint_interval >= 0)
        fprintf(out, " --checkpoint %g", limits->checkpoint_interval);
    if (args->threads)
        fprintf(out, " --threads %d", args->threads);
    if (args->job_time > 0)
        fprintf(out, " --time-limit %.0fs", args->job_time - bs_slurm_lead(args->job_time));
}

/* Slurm announces the end of a job whose limit is the partition's; ours we know. */
static void print_time(const struct bs_slurm *slurm, FILE *out)
{
    double time = slurm->args->job_time;
    if (time > 0)
        fprintf(out, "#SBATCH --time=%.0f\n", ceil(time / 60));
    else
        fputs("#SBATCH --signal=B:USR1@120\n", out);
}

/* A node, or as many processors of one as there are threads, and how long. */
static void print_node(const struct bs_slurm *slurm, FILE *out)
{
    print_place(slurm, out);
    if (slurm->args->threads)
        fprintf(out, "#SBATCH --cpus-per-task=%d\n", slurm->args->threads);
    else
        fputs("#SBATCH --exclusive\n", out);
    print_time(slurm, out);
    fputs("#SBATCH --requeue\n#SBATCH --open-mode=append\n", out);
}

/* `run` of the sweep, or of a shard of it (a word of the script), to its end, which is $status. A
 * job that is cut is queued again by `name`, a word of the script too. */
static void print_run(const struct bs_slurm *slurm, const char *shard, const char *name, FILE *out)
{
    fputs("trap 'kill -USR1 \"$run\"' USR1\n"
          "trap 'kill -TERM \"$run\"' TERM\n"
          "\"$bitsweep\" run",
          out);
    if (shard)
        fprintf(out, " --shard \"%s\"", shard);
    print_choice(slurm, out);
    print_limits(slurm, out);
    if (!shard && slurm->args->chart.plots)
        print_option("plots", slurm->args->chart.plots, out);
    fputs(" -- ", out);
    print_word(slurm->args->operands[0], out);
    fputs(" &\nrun=$!\nended=\n"
          "until [ \"$ended\" ]; do # a signal ends wait, but not what it waits for\n"
          "    wait \"$run\"\n"
          "    status=$?\n"
          "    kill -0 \"$run\" 2>/dev/null || ended=yes\n"
          "done\n",
          out);
    fprintf(out, "[ \"$status\" != %d ] ||\n    scontrol requeue \"%s\"\n", BS_STOP_STATUS, name);
}

void bs_slurm_print_shards(const struct bs_slurm *slurm, FILE *out)
{
    fputs(
        "#!/bin/bash\n# By `bitsweep submit`: a task a shard. One that is cut is queued again and "
        "goes on.\n",
        out);
    print_name(slurm, "", out);
    fprintf(out, "#SBATCH --array=1-%d\n", slurm->shards);
    print_node(slurm, out);
    print_log(slurm, "%a", out);
    print_directory(slurm, out);
    fputs("echo \"shard $SLURM_ARRAY_TASK_ID on $(hostname), begun $((${SLURM_RESTART_COUNT:-0} + "
          "1)) "
          "times, $(date)\"\n",
          out);
    char *shard = bs_printf("$SLURM_ARRAY_TASK_ID/%d", slurm->shards);
    print_run(slurm, shard ? shard : "", "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID", out);
    bs_free(shard);
    fputs("exit \"$status\"\n", out);
}

/* Budgets are shared out by what all shards have measured: their recipes run here. */
static void print_second_round(const struct bs_slurm *slurm, FILE *out)
{
    fputs("if \"$bitsweep\" plan --quiet", out);
    print_choice(slurm, out);
    fputs(" -- ", out);
    print_word(slurm->args->operands[0], out);
    fputs(
        " | grep '^budgets: '; then\n"
        "    echo 'what they are shared out by is not complete: the same submit again runs what is "
        "left' >&2\n"
        "    exit 1\n"
        "fi\n",
        out);
    print_run(slurm, NULL, "$SLURM_JOB_ID", out);
    fputs("exit \"$status\"\n", out);
}

static bool has_budgets(const struct bs_config *config)
{
    for (int i = 0; i < config->num_spreads; i++)
        if (config->spreads[i].budget.count || config->spreads[i].budget.random)
            return true;
    return false;
}

static void print_reports(const struct bs_slurm *slurm, FILE *out)
{
    const struct bs_config *config = slurm->config;
    fputs("\"$bitsweep\" table -- \"$whole\"\n", out);
    for (int i = 0; i < config->num_charts; i++) {
        const struct bs_chart_config *chart = &config->charts[i];
        const char *words[][2] = {{"plots", slurm->args->chart.plots},
                                  {"x", chart->x},
                                  {"y", chart->y},
                                  {"lines", chart->lines},
                                  {"panels", chart->panels}};
        fputs("\"$bitsweep\" plot", out);
        for (size_t w = 0; w < sizeof words / sizeof *words; w++)
            if (words[w][1])
                print_option(words[w][0], words[w][1], out);
        fputs(" -- \"$whole\" ", out);
        print_word(chart->name, out);
        fputc('\n', out);
    }
    fputs("\"$bitsweep\" plan --quiet", out);
    print_choice(slurm, out);
    fputs(" -- ", out);
    print_word(slurm->args->operands[0], out);
    fputs(" | grep ' trials to run'\n", out);
}

void bs_slurm_print_merge(const struct bs_slurm *slurm, FILE *out)
{
    bool budgets = has_budgets(slurm->config);
    fprintf(out, "#!/bin/bash\n# By `bitsweep submit`: merges the shards when they have ended%s.\n",
            budgets ? ", and runs what budgets come to" : "");
    print_name(slurm, "-merge", out);
    if (budgets) {
        print_node(slurm, out);
    } else {
        print_place(slurm, out);
        fputs("#SBATCH --requeue\n", out);
    }
    print_log(slurm, "merge", out);
    print_directory(slurm, out);
    fputs("whole=", out);
    print_word(slurm->results, out);
    fputs("\nfiles=()\nfor shard in", out);
    for (int k = 1; k <= slurm->shards; k++) {
        char *path = bs_shard_path(slurm->results, (struct bs_shard){k, slurm->shards});
        fputs(" \\\n    ", out);
        print_word(path ? path : "", out);
        bs_free(path);
    }
    fputs("; do\n"
          "    [ ! -e \"$shard\" ] || files+=(\"$shard\")\n"
          "done\n"
          "[ ! -e \"$whole\" ] || files+=(\"$whole\")\n"
          "rm -f -- \"$whole.merged\"\n"
          "\"$bitsweep\" merge --output \"$whole.merged\" -- \"${files[@]}\" || exit\n"
          "mv -f -- \"$whole.merged\" \"$whole\" || exit\n",
          out);
    if (budgets)
        print_second_round(slurm, out);
    else
        print_reports(slurm, out);
}
