#include "algorithms/factor.h"

#include <math.h>
#include <stdlib.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"

enum { ROWS_A_TASK = 64 };

static double factor_bytes(const struct bs_architecture *architecture, const struct bs_observed *of)
{
    (void)architecture;
    return (double)of->width * of->width * (double)sizeof(float);
}

/* Of a Cholesky factor and its inverse, in^3 / 3 each. */
static double factor_flops(const struct bs_observed *of)
{
    return 2 * (double)of->width * of->width * of->width / 3;
}

static void free_factor(struct bs_derived *derived)
{
    struct bs_factor *factor = (struct bs_factor *)derived;
    bs_free(factor->order);
    bs_free(factor->upper);
    bs_free(factor);
}

static const struct bs_derivation factors = {
    .of = &bs_stat_hessian, .bytes = factor_bytes, .flops = factor_flops, .free = free_factor};

static struct bs_derived_choice as_numbers(const struct bs_factor_choice *choice)
{
    return (struct bs_derived_choice){{choice->percdamp, choice->act_order}};
}

void bs_want_factors(struct bs_wanted *wanted, const struct bs_factor_choice *choice)
{
    bs_want_derived(wanted, &factors, BS_ROUNDED_SITES, 0, as_numbers(choice));
}

/* The Hessian's diagonal as the factor sees it: a channel that never fires counts 1. */
static float diagonal(const float *hessian, size_t in, size_t i)
{
    float value = hessian[i * in + i];
    return value == 0 ? 1 : value;
}

struct ranked {
    float value;
    int column;
};

static int by_decreasing_value(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->value != y->value)
        return x->value > y->value ? -1 : 1;
    return x->column - y->column;
}

static enum bs_status choose_order(struct bs_factor *factor, bool act_order, const float *hessian,
                                   int in, struct bs_error *err)
{
    for (int i = 0; i < in; i++)
        factor->order[i] = i;
    if (!act_order)
        return BS_OK;
    struct ranked *ranked = bs_alloc((size_t)in, sizeof *ranked);
    if (!ranked)
        return bs_fail_memory(err);
    for (int i = 0; i < in; i++)
        ranked[i] = (struct ranked){diagonal(hessian, (size_t)in, (size_t)i), i};
    qsort(ranked, (size_t)in, sizeof *ranked, by_decreasing_value);
    for (int i = 0; i < in; i++)
        factor->order[i] = ranked[i].column;
    bs_free(ranked);
    return BS_OK;
}

struct filling {
    const struct bs_factor *factor;
    const float *hessian;
    size_t in;
    float damp;
};

/* Some rows of H'. */
static enum bs_status fill_rows(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct filling *f = context;
    const int *order = f->factor->order;
    size_t first = (size_t)index * ROWS_A_TASK, in = f->in;
    for (size_t i = first; i < in && i < first + ROWS_A_TASK; i++) {
        const float *from = f->hessian + (size_t)order[i] * in;
        float *to = f->factor->upper + i * in;
        for (size_t j = 0; j < in; j++)
            to[j] = from[order[j]];
        to[i] = diagonal(f->hessian, in, (size_t)order[i]) + f->damp;
    }
    return BS_OK;
}

static enum bs_status factorise(struct bs_factor *factor, double percdamp, const float *hessian,
                                int in, struct bs_error *err)
{
    const double least = 1e-6, most = 1e6;
    double mean = 0;
    for (size_t i = 0; i < (size_t)in; i++)
        mean += (double)diagonal(hessian, (size_t)in, i) / (double)in;
    if (!isfinite(mean))
        return bs_fail(err, BS_ENUMERIC, "the Hessian is not finite");
    for (;;) {
        struct filling filling = {factor, hessian, (size_t)in, (float)(percdamp * mean)};
        bs_parallel((in + ROWS_A_TASK - 1) / ROWS_A_TASK, fill_rows, &filling, err);
        if (bs_cholesky_of_inverse(factor->upper, in))
            break;
        percdamp = percdamp > 0 ? 10 * percdamp : least;
        if (percdamp > most)
            return bs_fail(err, BS_ENUMERIC, "the Hessian has no Cholesky factor at any damping");
    }
    factor->damping = percdamp;
    return BS_OK;
}

static enum bs_status make_factor(struct bs_factor *factor, const struct bs_factor_choice *choice,
                                  const float *hessian, int in, struct bs_error *err)
{
    factor->order = bs_alloc((size_t)in, sizeof *factor->order);
    factor->upper = bs_alloc((size_t)in * (size_t)in, sizeof *factor->upper);
    if (!factor->order || !factor->upper)
        return bs_fail_memory(err);
    if (choose_order(factor, choice->act_order, hessian, in, err))
        return err->status;
    return factorise(factor, choice->percdamp, hessian, in, err);
}

enum bs_status bs_factor_of(const struct bs_statistics *statistics, int site,
                            const struct bs_factor_choice *choice, const struct bs_factor **factor,
                            struct bs_error *err)
{
    struct bs_collected *hessian = bs_statistics_at(statistics, &bs_stat_hessian, site, 0);
    struct bs_derived_choice numbers = as_numbers(choice);
    *factor = (const struct bs_factor *)bs_derived_find(hessian, &factors, numbers);
    if (*factor)
        return BS_OK;
    struct bs_factor *made = bs_calloc(1, sizeof *made);
    if (!made)
        return bs_fail_memory(err);
    made->derived = (struct bs_derived){.derivation = &factors, .choice = numbers};
    if (make_factor(made, choice, hessian->data, hessian->of.width, err)) {
        free_factor(&made->derived);
        return err->status;
    }
    bs_derived_keep(hessian, &made->derived);
    *factor = made;
    return BS_OK;
}
