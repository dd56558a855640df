#include "eval/report/by_position.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/tasks/evaluation.h"

bool bs_by_position_find(const char *name, struct bs_by_position_what *what)
{
    *what = (struct bs_by_position_what){"perplexity", BS_NLL, true};
    if (!strcmp(name, what->name))
        return true;
    for (int f = 0; f < BS_NUM_FIGURES; f++) {
        *what = (struct bs_by_position_what){bs_figure_types[f].name, (enum bs_figure)f, false};
        if (!strcmp(name, what->name))
            return true;
    }
    return false;
}

/* The figures that result files may have: those that evaluations of texts ask for. Of answers none
 * is kept. */
static unsigned kept_figures(void)
{
    unsigned kept = 0;
    for (int e = 0; bs_evaluation_registry.rows[e]; e++) {
        const struct bs_choice choice = {.plugin = bs_evaluation_registry.rows[e]};
        const struct bs_evaluation *evaluation = bs_evaluation_of(&choice);
        kept |= evaluation->answer ? 0 : evaluation->figures;
    }
    return kept;
}

enum bs_status bs_by_position_unknown(const char *name, struct bs_error *err)
{
    char list[256] = "";
    size_t used = 0;
    unsigned kept = kept_figures();
    for (int f = 0; f < BS_NUM_FIGURES; f++)
        if (kept >> f & 1u)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
                                     kept >> f > 1 ? ", " : " or ", bs_figure_types[f].name);
    return bs_fail(err, BS_ECONFIG,
                   "'%.60s' is no figure of a prediction that there is by position, expected "
                   "perplexity%s",
                   name, list);
}

/* Bytes as numbers, NaN where nothing is scored, which the NLLs say. */
static enum bs_status read_flags(const struct bs_row *row, enum bs_figure figure, float **values,
                                 struct bs_error *err)
{
    void *array, *flags;
    if (bs_results_read_figure(row->file, row, BS_NLL, &array, err))
        return err->status;
    enum bs_status status = bs_results_read_figure(row->file, row, figure, &flags, err);
    float *nll = array;
    size_t count = (size_t)row->windows * ((size_t)row->tokens - 1);
    for (size_t i = 0; i < count && !status; i++)
        if (!isnan(nll[i]))
            nll[i] = (float)((const uint8_t *)flags)[i];
    bs_free(status ? array : flags);
    *values = status ? NULL : nll;
    return status;
}

/* A figure as floats, whole. */
static enum bs_status read_figure(const struct bs_row *row, enum bs_figure figure, float **values,
                                  struct bs_error *err)
{
    void *array = NULL;
    enum bs_status status;
    if (bs_figure_types[figure].kind == BS_FIGURE_BYTE) {
        status = read_flags(row, figure, values, err);
    } else {
        status = bs_results_read_figure(row->file, row, figure, &array, err);
        *values = array;
    }
    if (status)
        return status;
    const struct bs_layout layout = {row->windows, row->tokens - 1, (size_t)row->scored};
    if (isfinite(bs_mean_of(*values, &layout).mean))
        return BS_OK;
    bs_free(*values);
    *values = NULL;
    return bs_fail(err, BS_EDATA, "%s: %s of %s: not all of its %d predictions have a value",
                   row->file, bs_figure_types[figure].name, row->label, row->scored);
}

/* `a` and `b` have room for all values of a range; b NULL = nothing to compare with. */
static struct bs_at_position take(const float *own, const float *other,
                                  const struct bs_layout *layout, struct bs_positions range,
                                  bool exponential, float *a, float *b)
{
    const struct bs_mean none = {.mean = NAN, .se = NAN, .df = NAN};
    struct bs_layout within = bs_positions_take(own, layout, range, a);
    struct bs_at_position taken = {.at = range, .value = none, .change = none};
    taken.value = exponential ? bs_perplexity_of(a, &within) : bs_mean_of(a, &within);
    if (other) {
        bs_positions_take(other, layout, range, b);
        taken.change = bs_mean_difference(a, b, &within);
    }
    return taken;
}

static enum bs_status take_all(const float *own, const float *other, const struct bs_layout *layout,
                               bool exponential, struct bs_by_position *out, struct bs_error *err)
{
    struct bs_positions ranges[BS_MOST_POSITIONS];
    int count = bs_positions_cut(layout->per_window, ranges);
    size_t all = (size_t)layout->windows * (size_t)layout->per_window;
    float *a = bs_alloc(all, sizeof *a), *b = bs_alloc(all, sizeof *b);
    enum bs_status status = a && b ? BS_OK : bs_fail_memory(err);
    out->count = 0;
    for (int r = 0; r < count && !status; r++) {
        struct bs_at_position taken = take(own, other, layout, ranges[r], exponential, a, b);
        if (!isnan(taken.value.mean)) /* anything was scored there */
            out->at[out->count++] = taken;
    }
    bs_free(b);
    bs_free(a);
    return status;
}

enum bs_status bs_by_position_read(const struct bs_row *row, const struct bs_row *unquantized,
                                   const struct bs_by_position_what *what,
                                   struct bs_by_position *out, struct bs_error *err)
{
    float *own = NULL, *other = NULL;
    bool paired = unquantized && unquantized != row && !bs_figure_types[what->figure].compares;
    enum bs_status status = read_figure(row, what->figure, &own, err);
    if (!status && paired)
        status = read_figure(unquantized, what->figure, &other, err);
    const struct bs_layout layout = {row->windows, row->tokens - 1, (size_t)row->scored};
    if (!status)
        status = take_all(own, other, &layout, what->exponential, out, err);
    bs_free(other);
    bs_free(own);
    return status;
}
