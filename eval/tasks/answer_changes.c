#include "eval/tasks/answer_changes.h"

#include <math.h>

#include "eval/base/mem.h"
#include "eval/tasks/paired_items.h"

int bs_answers_alike(const struct bs_answers *before, const struct bs_answers *after,
                     enum bs_convention convention)
{
    int alike = 0;
    for (int first = 0, count; first < after->count; first += count) {
        const struct bs_answer *a = &before->rows[first], *b = &after->rows[first];
        count = bs_answers_of_item(after, first);
        alike += count == 1 ? a->greedy == b->greedy
                            : bs_answers_take(a, count, convention) ==
                                  bs_answers_take(b, count, convention);
    }
    return alike;
}

static void add(const struct bs_value_type *type, struct bs_mean mean, int items,
                struct bs_measured *out, int *count)
{
    out[(*count)++] = (struct bs_measured){type, mean.mean, mean.se, mean.df, items};
}

enum bs_status bs_answers_changes(const struct bs_answers *before, const struct bs_answers *after,
                                  const struct bs_value_type *types, struct bs_measured *out,
                                  int *count, struct bs_error *err)
{
    int items = after->num_items;
    uint8_t *a = bs_alloc((size_t)items, sizeof *a), *b = bs_alloc((size_t)items, sizeof *b);
    double *x = bs_alloc((size_t)items, sizeof *x), *y = bs_alloc((size_t)items, sizeof *y);
    enum bs_status status = a && b && x && y ? BS_OK : bs_fail_memory(err);
    struct bs_flips flips = {0};
    for (int c = 0; c < BS_NUM_CONVENTIONS && !status; c++) {
        if (!bs_answers_right(before, (enum bs_convention)c, a) ||
            !bs_answers_right(after, (enum bs_convention)c, b))
            continue;
        struct bs_flips own = bs_flips_of(a, b, items);
        add(&types[BS_ACC_DELTA + c], bs_flips_change(own), items, out, count);
        if (c == BS_ACC)
            flips = own;
    }
    for (int i = 0; i < items && !status; i++) {
        x[i] = -before->rows[i].log_likelihood;
        y[i] = -after->rows[i].log_likelihood;
    }
    if (!status && items == after->count)
        add(&types[BS_TARGET_PERPLEXITY_DELTA], bs_item_perplexity_change(x, y, items), items, out,
            count);
    if (!status) {
        int alike = bs_answers_alike(before, after, BS_ACC);
        for (int i = 0; i < items; i++)
            x[i] = i < alike; /* whichever: the mean and its error are the same */
        add(&types[BS_AGREEMENT], bs_item_mean(x, items), items, out, count);
        out[(*count)++] = bs_measured_plainly(&types[BS_LOST], flips.lost, items);
        out[(*count)++] = bs_measured_plainly(&types[BS_GAINED], flips.gained, items);
    }
    bs_free(y);
    bs_free(x);
    bs_free(b);
    bs_free(a);
    return status;
}
