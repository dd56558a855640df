#include "eval/run/imatrix_run.h"

#include "eval/base/machine.h"
#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/hub/hub.h"
#include "eval/model/gguf_config.h"
#include "eval/run/progress.h"
#include "eval/statistics/calibrate.h"

/* A model on its way. */
struct collecting {
    const struct bs_model *model;
    const struct bs_architecture *architecture;
    const struct bs_windows *windows;
    struct bs_rope *rope;
    struct bs_scratch *scratch;
    struct bs_stream stream;
    struct bs_imatrix *imatrix;
    bool output; /* the head's inputs too */
};

/* ---- a block ---- */

/* Adds what a slot's input was to the entry of this name. */
static enum bs_status add_matrix(struct collecting *c, const struct bs_inputs_name *matrix,
                                 const struct bs_collected *collected, struct bs_error *err)
{
    size_t in = (size_t)collected->of.width, m = (size_t)matrix->matrix;
    const float *mean = collected->data;
    struct bs_imatrix_entry *entry = NULL;
    for (size_t i = c->imatrix->count; i-- > 0 && !entry;) /* experts follow one another */
        if (!strcmp(c->imatrix->entries[i].name, matrix->tensor))
            entry = &c->imatrix->entries[i];
    if (!entry &&
        !(entry = bs_imatrix_add(c->imatrix, matrix->tensor, in, (size_t)matrix->matrices)))
        return bs_fail_memory(err);
    double rows = (double)collected->of.rows;
    entry->counts[m] = (float)rows;
    for (size_t j = 0; j < in; j++)
        entry->sums[m * in + j] = (float)((double)mean[j] * rows);
    return BS_OK;
}

/* Adds what the linears of a layer read. A linear that stands in one tensor with others is there by
 * that one's name too, which a file of llama.cpp's perhaps has alone. */
static enum bs_status add_block(struct collecting *c, int layer,
                                const struct bs_statistics *statistics, struct bs_error *err)
{
    const struct bs_program *p = bs_program_of(c->architecture, layer);
    for (int s = 0; s < p->num_slots; s++) {
        const struct bs_slot *slot = &p->slots[s];
        const struct bs_collected *collected =
            bs_statistics_at(statistics, &bs_stat_meansquare, slot->input, 0);
        int names = slot->first != slot->last && slot->expert < 0 ? 2 : 1;
        struct bs_inputs_name matrix;
        for (int which = 0; which < names; which++)
            if (bs_inputs_name_of(slot, p->num_experts, layer, which, &matrix) &&
                add_matrix(c, &matrix, collected, err))
                return err->status;
    }
    return BS_OK;
}

static enum bs_status collect_block(struct collecting *c, int layer, struct bs_error *err)
{
    struct bs_block block = {.architecture = NULL};
    struct bs_statistics statistics = {.windows = 0};
    struct bs_wanted wanted = {.architecture = c->architecture, .layer = layer};
    bs_want(&wanted, &bs_stat_meansquare, BS_EVERY_SITE, 0);
    bool last = layer + 1 == c->architecture->num_layers && !c->output;
    enum bs_status status = bs_wanted_check(&wanted, err);
    if (!status)
        status = bs_block_load(c->model, layer, &block, err);
    if (!status)
        status = bs_calibrate(&block, c->rope, &c->stream, NULL, &wanted, &statistics,
                              last ? NULL : &c->stream, c->scratch, err);
    if (!status)
        status = add_block(c, layer, &statistics, err);
    bs_statistics_release(&statistics);
    bs_wanted_release(&wanted);
    bs_block_release(&block);
    return status;
}

/* ---- the head ---- */

/* Adds the squares of a window's rows [tokens][width]. */
static void add_squares(const float *rows, int tokens, int width, double *sums)
{
    for (int t = 0; t < tokens; t++)
        for (int j = 0; j < width; j++) {
            double value = (double)rows[(size_t)t * (size_t)width + (size_t)j];
            sums[j] += value * value;
        }
}

static void add_windows(struct collecting *c, const struct bs_head *head, float *rows, double *sums,
                        struct bs_imatrix_entry *entry)
{
    int width = c->architecture->embedding_size;
    for (int w = 0; w < c->windows->windows; w++) {
        int tokens = bs_windows_length(c->windows, w);
        bs_head_inputs(head, bs_stream_window(&c->stream, w), tokens, rows, c->scratch);
        add_squares(rows, tokens, width, sums);
        entry->counts[0] += (float)tokens;
        bs_stream_forget(&c->stream, w);
    }
    for (int j = 0; j < width; j++)
        entry->sums[j] = (float)sums[j];
}

static enum bs_status collect_head(struct collecting *c, struct bs_error *err)
{
    const struct bs_architecture *a = c->architecture;
    size_t width = (size_t)a->embedding_size;
    struct bs_head head;
    if (bs_head_load(c->model, a->vocab_size, 0, NULL, &head, err))
        return err->status;
    float *rows = bs_alloc((size_t)c->windows->tokens * width, sizeof *rows);
    double *sums = bs_calloc(width, sizeof *sums);
    struct bs_imatrix_entry *entry =
        bs_imatrix_add(c->imatrix, bs_gguf_outer_name(BS_HEAD, a->tied_head), width, 1);
    bool enough = rows && sums && entry;
    if (enough)
        add_windows(c, &head, rows, sums, entry);
    bs_free(rows);
    bs_free(sums);
    bs_head_release(&head);
    return enough ? BS_OK : bs_fail_memory(err);
}

/* ---- the model ---- */

static enum bs_status embed_window(void *context, int window, int thread, struct bs_error *err)
{
    (void)thread;
    const struct collecting *c = context;
    const int32_t *ids = c->windows->ids + (size_t)window * (size_t)c->windows->tokens;
    struct bs_fork fork = bs_windows_fork(c->windows, window);
    enum bs_status status =
        bs_model_embed_fork(c->model, NULL, ids, &fork, bs_stream_window(&c->stream, window), err);
    bs_stream_forget(&c->stream, window);
    return status;
}

/* Memory as of a walk without recipes: the stream is there where that has room for it. */
static enum bs_status begin(struct collecting *c, const struct bs_limits *limits, int threads,
                            struct bs_error *err)
{
    const struct bs_windows *w = c->windows;
    const struct bs_architecture *a = c->architecture;
    struct bs_walk walk = {.model = c->model, .calibration = w};
    struct bs_limits settled = *limits;
    if (!settled.memory)
        settled.memory = bs_free_memory("") / 2;
    if (bs_sweep_place_streams(&settled, &walk, NULL, NULL, 0, err))
        return err->status;
    c->rope = bs_rope_create(a, &w->tokens, 1);
    size_t floats = bs_block_scratch_floats(a, w->tokens);
    c->scratch = bs_scratch_create(threads, floats);
    if (!c->rope || !c->scratch)
        return bs_fail_memory(err);
    if (bs_stream_init_ragged(walk.scratch, &c->stream, w->windows, w->tokens, w->lengths,
                              a->hidden_size, err))
        return err->status;
    return bs_parallel(w->windows, embed_window, c, err);
}

static enum bs_status collect(struct collecting *c, const struct bs_limits *limits, bool quiet,
                              struct bs_error *err)
{
    struct bs_progress progress;
    int layers = c->architecture->num_layers, threads = bs_threads();
    bs_progress_start(&progress, &(struct bs_telling){.quiet = quiet}, layers);
    enum bs_status status = begin(c, limits, threads, err);
    for (int l = 0; l < layers && !status; l++) {
        status = collect_block(c, l, err);
        bs_progress_report(&progress, l + 1, layers);
        if (status)
            bs_fail_within(err, "block %d", l);
    }
    if (!status && c->output)
        status = collect_head(c, err);
    if (!status)
        status = bs_model_check_files(c->model, err);
    bs_progress_end(&progress);
    bs_stream_release(&c->stream);
    bs_rope_free(c->rope);
    bs_scratch_free(c->scratch, threads);
    return status;
}

static enum bs_status check_calibration(const struct bs_config *config, struct bs_error *err)
{
    if (!config->num_calibrations)
        return bs_fail(err, BS_ECONFIG,
                       "%s: error: calibration is missing, expected a section calibration: {text: "
                       "...}",
                       config->path);
    if (config->num_calibrations > 1)
        return bs_fail(
            err, BS_ECONFIG,
            "%s: error: there are %d calibrations, expected one: an importance matrix is "
            "of one",
            config->path, config->num_calibrations);
    return BS_OK;
}

/* Of an open model. */
static enum bs_status run(const struct bs_config *config, const struct bs_model *model,
                          const struct bs_tokenizer *tokenizer, const struct bs_limits *limits,
                          bool output, bool quiet, struct bs_imatrix *imatrix, struct bs_error *err)
{
    struct bs_windows windows = {.ids = NULL};
    struct collecting c = {.model = model,
                           .architecture = bs_model_architecture(model),
                           .windows = &windows,
                           .imatrix = imatrix,
                           .output = output};
    enum bs_status status = bs_calibration_cut(config, 0, model, tokenizer, &windows, err);
    if (!status)
        status = collect(&c, limits, quiet, err);
    imatrix->chunks = windows.windows;
    imatrix->chunk_size = windows.tokens;
    imatrix->dataset = bs_strdup(config->calibrations[0].text);
    bs_windows_release(&windows);
    return !status && !imatrix->dataset ? bs_fail_memory(err) : status;
}

enum bs_status bs_imatrix_run(const struct bs_config *config, int model,
                              const struct bs_limits *limits, bool output, bool quiet,
                              struct bs_imatrix *imatrix, struct bs_error *err)
{
    *imatrix = (struct bs_imatrix){.count = 0};
    struct bs_model *opened = NULL;
    struct bs_tokenizer *tokenizer = NULL;
    char *directory = NULL;
    enum bs_status status = check_calibration(config, err);
    if (!status)
        status = bs_hub_model(config->model_places[model], config->folder, &directory, err);
    if (!status)
        status = bs_model_open(directory, &config->accept_unknown, &opened, err);
    if (!status)
        status = bs_tokenizer_open(directory, &tokenizer, err);
    if (!status)
        status = run(config, opened, tokenizer, limits, output, quiet, imatrix, err);
    bs_tokenizer_free(tokenizer);
    bs_model_free(opened);
    bs_free(directory);
    if (status)
        bs_imatrix_release(imatrix);
    return status;
}
