#include "eval/tasks/figure.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/vector.h"

static double nll(const struct bs_prediction *p)
{
    return bs_distribution_log_sum(p->own) - (double)p->own->target;
}

/* sum p (log p - log q) with both normalisers taken out of the sum. */
static double kld(const struct bs_prediction *p)
{
    return p->apart / p->reference->sum - bs_distribution_log_sum(p->reference) +
           bs_distribution_log_sum(p->own);
}

static double same_top(const struct bs_prediction *p) { return p->own->top == p->reference->top; }

static double target_is_top(const struct bs_prediction *p) { return p->own->top == p->target; }

const struct bs_figure_type bs_figure_types[BS_NUM_FIGURES] = {
    [BS_NLL] = {"nll", "nats", BS_FIGURE_FLOAT, false, nll},
    [BS_KLD] = {"kld", "nats", BS_FIGURE_FLOAT, true, kld},
    [BS_SAME_TOP] = {"same_top", "", BS_FIGURE_BYTE, true, same_top},
    [BS_TARGET_IS_TOP] = {"target_is_top", "", BS_FIGURE_BYTE, false, target_is_top},
};

size_t bs_figure_bytes(enum bs_figure figure)
{
    return bs_figure_types[figure].kind == BS_FIGURE_FLOAT ? sizeof(float) : 1;
}

enum bs_status bs_figures_init(struct bs_figures *figures, unsigned asked, size_t count,
                               struct bs_error *err)
{
    *figures = (struct bs_figures){{NULL}};
    for (int f = 0; f < BS_NUM_FIGURES; f++) {
        if (!(asked >> f & 1))
            continue;
        void *array = figures->of[f] = bs_calloc(count, bs_figure_bytes((enum bs_figure)f));
        if (!array) {
            bs_figures_release(figures);
            return bs_fail_memory(err);
        }
        for (size_t i = 0; bs_figure_types[f].kind == BS_FIGURE_FLOAT && i < count; i++)
            ((float *)array)[i] = (float)NAN;
    }
    return BS_OK;
}

void bs_figures_release(struct bs_figures *figures)
{
    for (int f = 0; f < BS_NUM_FIGURES; f++)
        bs_free(figures->of[f]);
    *figures = (struct bs_figures){{NULL}};
}

void bs_figures_put(struct bs_figures *figures, size_t at, const struct bs_prediction *prediction)
{
    for (int f = 0; f < BS_NUM_FIGURES; f++) {
        if (!figures->of[f])
            continue;
        double value = bs_figure_types[f].value(prediction);
        if (bs_figure_types[f].kind == BS_FIGURE_FLOAT)
            ((float *)figures->of[f])[at] = (float)value;
        else
            ((uint8_t *)figures->of[f])[at] = (uint8_t)value;
    }
}

const float *bs_figure_floats(const struct bs_figures *figures, enum bs_figure figure)
{
    assert(bs_figure_types[figure].kind == BS_FIGURE_FLOAT);
    return figures->of[figure];
}

const uint8_t *bs_figure_flags(const struct bs_figures *figures, enum bs_figure figure)
{
    assert(bs_figure_types[figure].kind == BS_FIGURE_BYTE);
    return figures->of[figure];
}

size_t bs_figures_not_finite(const struct bs_figures *figures, size_t first, size_t count)
{
    size_t least = count;
    for (int f = 0; f < BS_NUM_FIGURES; f++) {
        if (!figures->of[f] || bs_figure_types[f].kind != BS_FIGURE_FLOAT)
            continue;
        size_t bad = bs_first_not_finite((const float *)figures->of[f] + first, count);
        least = bad < least ? bad : least;
    }
    return least;
}
