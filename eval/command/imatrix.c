/* imatrix: writes a model's importance matrix as llama.cpp reads it. */
#include <stdio.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/command/opened.h"
#include "eval/linalg/numerics.h"
#include "eval/report/chart.h"
#include "eval/run/imatrix_run.h"

/* What --output says, else beside the results of the same config. In new memory. */
static char *path_of(const struct bs_arguments *args)
{
    static const char ending[] = ".h5";
    if (args->output)
        return bs_strdup(args->output);
    char *results = bs_result_path(args), *path = NULL;
    if (results)
        path = bs_printf("%.*s.imatrix.gguf", (int)(strlen(results) - strlen(ending)), results);
    bs_free(results);
    return path;
}

/* The older layout begins with no name of its own. */
static enum bs_status check_path(const char *path, struct bs_error *err)
{
    return bs_may_replace(path, bs_ends_in(path, ".dat") ? "" : "GGUF", "importance matrix", err);
}

/* Of the config's one model, or of the one that is asked for. */
static enum bs_status write_imatrix(const struct bs_arguments *args, const struct bs_config *config,
                                    struct bs_error *err)
{
    uint64_t wanted;
    struct bs_imatrix imatrix;
    int model = 0;
    if (bs_config_select(config, args->models, args->num_models, &wanted, err))
        return err->status;
    while (!(wanted >> model & 1))
        model++;
    if (wanted >> model != 1)
        return bs_fail(err, BS_ECONFIG,
                       "%s: error: there are several models, expected --model NAME", config->path);
    char *path = path_of(args);
    enum bs_status status = path ? check_path(path, err) : bs_fail_memory(err);
    if (!status)
        status = bs_imatrix_run(config, model, &args->limits, args->process_output, args->quiet,
                                &imatrix, err);
    if (status) {
        bs_free(path);
        return status;
    }
    status = bs_imatrix_write(path, &imatrix, err);
    if (!status)
        bs_print_line(stdout, "%s: %zu entries of %d windows of %d tokens", path, imatrix.count,
                      imatrix.chunks, imatrix.chunk_size);
    bs_free(path);
    bs_imatrix_release(&imatrix);
    return status;
}

static int command_imatrix(const struct bs_arguments *args)
{
    struct bs_config config;
    struct bs_error err;
    if (bs_config_load(args->operands[0], bs_chart_patterns, &config, &err))
        return bs_fail_print_config(&err);
    bs_numerics_use(args->numerics ? args->numerics : config.numerics);
    enum bs_status status = BS_OK;
    for (int i = 0; i < args->num_accepted && !status; i++)
        status = bs_lines_add(&config.accept_unknown, &err, "%s", args->accepted[i]);
    if (!status)
        status = write_imatrix(args, &config, &err);
    int code = status ? bs_fail_print_model(&config, &err) : BS_EXIT_DONE;
    bs_config_release(&config);
    return code;
}

const struct bs_command bs_command_imatrix = {
    .name = "imatrix",
    .operands = "CONFIG",
    .summary = "write llama.cpp's importance matrix of a model from the config's calibration",
    .min_operands = 1,
    .max_operands = 1,
    .details =
        "Takes the windows of the config's calibration through the model, unquantized, and adds "
        "up the squares of what each linear reads. The file is one for `llama-quantize "
        "--imatrix` and for the `importance` of weights in a config; a name that ends in "
        ".dat makes it of llama.cpp's older layout.",
    .options = "output model accept-unknown memory scratch threads numerics process-output quiet",
    .run = command_imatrix,
};
