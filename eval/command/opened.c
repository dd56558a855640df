#include "eval/command/opened.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/command/reports.h"
#include "eval/linalg/numerics.h"
#include "eval/report/chart.h"
#include "eval/run/allot.h"

char *bs_result_path(const struct bs_arguments *args)
{
    if (args->output)
        return bs_strdup(args->output);
    const char *name = bs_path_name(args->operands[0]), *dot = strrchr(name, '.');
    int length = (int)(dot && dot != name ? (size_t)(dot - name) : strlen(name));
    return bs_printf("results/%.*s.h5", length, name);
}

enum bs_status bs_may_replace(const char *path, const char *begin, const char *kind,
                              struct bs_error *err)
{
    char found[32] = "";
    size_t length = strlen(begin);
    assert(length < sizeof found);
    if (access(path, F_OK))
        return BS_OK;
    if (bs_file_check(path, err))
        return err->status;
    FILE *file = fopen(path, "rbe");
    size_t read = file ? fread(found, 1, length, file) : 0;
    if (file)
        fclose(file);
    if ((file && !read) || !strcmp(found, begin))
        return BS_OK;
    return bs_fail(err, BS_EIO, "%s: is there already and no %s, expected a name for one", path,
                   kind);
}

void bs_close_all(struct bs_opened *opened)
{
    bs_models_close(&opened->models);
    bs_config_release(&opened->config);
    bs_free(opened->named);
    bs_free(opened->path);
    bs_free(opened->whole);
}

/* The names of the result file: of a shard its own. */
static enum bs_status name_results(const struct bs_arguments *args, struct bs_opened *opened,
                                   struct bs_error *err)
{
    opened->named = bs_result_path(args);
    if (!opened->named)
        return bs_fail_memory(err);
    if (args->shard.number) {
        opened->whole = opened->named;
        opened->named = bs_shard_path(opened->whole, args->shard);
        if (!opened->named)
            return bs_fail_memory(err);
    }
    return bs_path_target(opened->named, &opened->path, err);
}

enum bs_status bs_config_of(const struct bs_arguments *args, struct bs_config *config,
                            struct bs_error *err)
{
    /* Settings of a command that writes are options of its layout. */
    return bs_config_load_set(args->operands[0], args->settings,
                              args->writer ? 0 : args->num_settings, bs_chart_patterns, config,
                              err);
}

/* Shards follow from the config alone: budgets are shared out by the run over what they have
 * merged to. */
static enum bs_status open_budgets(const struct bs_arguments *args, struct bs_opened *opened,
                                   struct bs_error *err)
{
    if (args->shard.count)
        return BS_OK;
    return bs_allot_open(&opened->config, opened->wanted, opened->path, &opened->waiting,
                         &opened->later, err);
}

/* What is said of charts is known to be good before anything is measured. */
static enum bs_status check_charts(const struct bs_config *config, struct bs_error *err)
{
    for (int i = 0; i < config->num_charts; i++) {
        const struct bs_chart_config *chart = &config->charts[i];
        struct bs_chart_how how = {.plots = NULL};
        char at[BS_PLACE_TEXT];
        bs_chart_how_of(chart, &how);
        bs_config_place(config, chart->line, chart->column, at);
        if (bs_chart_check(chart->name, &how, true, err))
            return bs_fail_within(err, "%s: error", at);
    }
    return BS_OK;
}

/* What follows the config. */
static enum bs_status open_rest(const struct bs_arguments *args, struct bs_opened *opened,
                                struct bs_error *err)
{
    bs_numerics_use(args->numerics ? args->numerics : opened->config.numerics);
    if (check_charts(&opened->config, err) || name_results(args, opened, err))
        return err->status;
    for (int i = 0; i < args->num_accepted; i++)
        if (bs_lines_add(&opened->config.accept_unknown, err, "%s", args->accepted[i]))
            return err->status;
    if (bs_config_select(&opened->config, args->models, args->num_models, &opened->wanted, err) ||
        bs_spread_open(&opened->config, opened->wanted, err) || open_budgets(args, opened, err) ||
        bs_models_open(&opened->config, opened->wanted, args->shard, &opened->models, err))
        return err->status;
    return BS_OK;
}

int bs_open_all(const struct bs_arguments *args, const struct bs_telling *telling,
                struct bs_opened *opened)
{
    struct bs_error err;
    memset(opened, 0, sizeof *opened);
    bool loaded = !bs_config_of(args, &opened->config, &err);
    if (loaded && !open_rest(args, opened, &err))
        return BS_EXIT_DONE;
    bs_tell_log(telling, "%s", err.message);
    return loaded ? bs_fail_print_model(&opened->config, &err) : bs_fail_print_config(&err);
}
