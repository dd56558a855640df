#include "algorithms/factor.h"

#include <math.h>
#include <stdlib.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/ldl.h"

enum { ROWS_A_TASK = 64 };

static double factor_bytes(const struct bs_architecture *architecture, const struct bs_observed *of)
{
    (void)architecture;
    return (double)of->width * of->width * (double)sizeof(float);
}

/* Of a Cholesky factor and its inverse, in^3 / 3 each. */
static double inverse_flops(const struct bs_observed *of)
{
    return 2 * (double)of->width * of->width * of->width / 3;
}

static double ldl_flops(const struct bs_observed *of) { return inverse_flops(of) / 2; }

static void free_factor(struct bs_derived *derived)
{
    struct bs_factor *factor = (struct bs_factor *)derived;
    bs_free(factor->order);
    bs_free(factor->triangle);
    bs_free(factor);
}

static const struct bs_derivation inverses = {
    .of = &bs_stat_hessian, .bytes = factor_bytes, .flops = inverse_flops, .free = free_factor};
static const struct bs_derivation ldls = {
    .of = &bs_stat_hessian, .bytes = factor_bytes, .flops = ldl_flops, .free = free_factor};

static const struct bs_derivation *derivation_of(const struct bs_factor_choice *choice)
{
    return choice->ldl ? &ldls : &inverses;
}

struct bs_derived_choice bs_factor_numbers(const struct bs_factor_choice *choice)
{
    return (struct bs_derived_choice){{choice->percdamp, choice->act_order}};
}

void bs_want_factors(struct bs_wanted *wanted, const struct bs_factor_choice *choice)
{
    bs_want_derived(wanted, derivation_of(choice), BS_ROUNDED_SITES, 0, bs_factor_numbers(choice));
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

static enum bs_status choose_order(struct bs_factor *factor, const struct bs_factor_choice *choice,
                                   const float *hessian, int in, struct bs_error *err)
{
    for (int i = 0; i < in; i++)
        factor->order[i] = i;
    if (!choice->act_order)
        return BS_OK;
    struct ranked *ranked = bs_alloc((size_t)in, sizeof *ranked);
    if (!ranked)
        return bs_fail_memory(err);
    for (int i = 0; i < in; i++)
        ranked[i] = (struct ranked){diagonal(hessian, (size_t)in, (size_t)i), i};
    qsort(ranked, (size_t)in, sizeof *ranked, by_decreasing_value);
    for (int i = 0; i < in; i++)
        factor->order[choice->ldl ? in - 1 - i : i] = ranked[i].column;
    bs_free(ranked);
    return BS_OK;
}

struct filling {
    const int *order;
    const float *hessian;
    size_t in;
    float damp;
    float *to;
};

/* Some rows of H'. */
static enum bs_status fill_rows(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct filling *f = context;
    size_t first = (size_t)index * ROWS_A_TASK, in = f->in;
    for (size_t i = first; i < in && i < first + ROWS_A_TASK; i++) {
        const float *from = f->hessian + (size_t)f->order[i] * in;
        float *to = f->to + i * in;
        for (size_t j = 0; j < in; j++)
            to[j] = from[f->order[j]];
        to[i] = diagonal(f->hessian, in, (size_t)f->order[i]) + f->damp;
    }
    return BS_OK;
}

static double mean_diagonal(const float *hessian, int in)
{
    double mean = 0;
    for (size_t i = 0; i < (size_t)in; i++)
        mean += (double)diagonal(hessian, (size_t)in, i) / (double)in;
    return mean;
}

static void fill(const int *order, const float *hessian, int in, double damp, float *to)
{
    struct filling filling = {order, hessian, (size_t)in, (float)damp, to};
    struct bs_error ignored; /* no row can fail */
    bs_parallel((in + ROWS_A_TASK - 1) / ROWS_A_TASK, fill_rows, &filling, &ignored);
}

void bs_factor_damped(const struct bs_factor *factor, const float *hessian, int in, float *damped)
{
    fill(factor->order, hessian, in, factor->damping * mean_diagonal(hessian, in), damped);
}

static enum bs_status factorise(struct bs_factor *factor, const struct bs_factor_choice *choice,
                                const float *hessian, int in, struct bs_error *err)
{
    const double least = 1e-6, most = 1e6;
    double mean = mean_diagonal(hessian, in), percdamp = choice->percdamp;
    if (!isfinite(mean))
        return bs_fail(err, BS_ENUMERIC, "the Hessian is not finite");
    for (;;) {
        fill(factor->order, hessian, in, percdamp * mean, factor->triangle);
        if (choice->ldl ? bs_ldl(factor->triangle, in)
                        : bs_cholesky_of_inverse(factor->triangle, in))
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
    factor->triangle = bs_alloc((size_t)in * (size_t)in, sizeof *factor->triangle);
    if (!factor->order || !factor->triangle)
        return bs_fail_memory(err);
    if (choose_order(factor, choice, hessian, in, err))
        return err->status;
    return factorise(factor, choice, hessian, in, err);
}

enum bs_status bs_factor_of(const struct bs_statistics *statistics, int site,
                            const struct bs_factor_choice *choice, const struct bs_factor **factor,
                            struct bs_error *err)
{
    struct bs_collected *hessian = bs_statistics_at(statistics, &bs_stat_hessian, site, 0);
    struct bs_derived_choice numbers = bs_factor_numbers(choice);
    *factor = (const struct bs_factor *)bs_derived_find(hessian, derivation_of(choice), numbers);
    if (*factor)
        return BS_OK;
    struct bs_factor *made = bs_calloc(1, sizeof *made);
    if (!made)
        return bs_fail_memory(err);
    made->derived = (struct bs_derived){.derivation = derivation_of(choice), .choice = numbers};
    if (make_factor(made, choice, hessian->data, hessian->of.width, err)) {
        free_factor(&made->derived);
        return err->status;
    }
    bs_derived_keep(hessian, &made->derived);
    *factor = made;
    return BS_OK;
}

void bs_factor_record(const struct bs_factor *factor, const struct bs_factor_choice *choice,
                      struct bs_linear *linear)
{
    linear->damping = factor->damping;
    linear->fallback |= factor->damping != choice->percdamp;
}
