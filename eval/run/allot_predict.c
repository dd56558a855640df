/* What is predicted of mixes, and what was measured. */
#include <math.h>

#include "eval/base/mem.h"
#include "eval/run/allot.h"

/* A trial and how often its damage counts. */
struct part {
    const struct bs_row *row;
    double times;
};

struct parts {
    int count;
    struct part *list;
};

static int damage_by(const struct bs_config *config, const struct bs_allotments *all,
                     const struct bs_mix *mix)
{
    const struct bs_sensitivities *s = &all->sensitivities[mix->sensitivities];
    return config->spreads[s->spreads[0]].budget.by;
}

/* Whether the damage is a mean over tokens, of this figure. */
static bool of_tokens(int by, enum bs_figure *figure)
{
    *figure = by == BS_BY_KL ? BS_KLD : BS_NLL;
    return by == BS_BY_KL || by == BS_BY_NLL;
}

static bool is_done(const struct bs_row *row) { return row && bs_row_is_done(row); }

/* Adds a trial's tokens to the sum. */
static enum bs_status add_tokens(const struct part *part, enum bs_figure figure, double *sum,
                                 size_t count, struct bs_error *err)
{
    void *array;
    if (bs_results_read_figure(part->row->file, part->row, figure, &array, err))
        return err->status;
    const float *values = array;
    for (size_t i = 0; i < count; i++)
        sum[i] += part->times * (double)values[i];
    bs_free(array);
    return BS_OK;
}

/* The mean over tokens of the sum of the parts, all of one text. */
static enum bs_status sum_tokens(const struct parts *parts, enum bs_figure figure,
                                 struct bs_mean *mean, struct bs_error *err)
{
    const struct bs_row *row = parts->list[0].row;
    const struct bs_layout layout = {.windows = row->windows > 0 ? row->windows : 0,
                                     .per_window = row->tokens > 0 ? row->tokens - 1 : 0,
                                     .scored = (size_t)row->scored};
    size_t count = (size_t)layout.windows * (size_t)layout.per_window;
    double *sum = bs_calloc(count, sizeof *sum);
    float *values = bs_alloc(count, sizeof *values);
    enum bs_status status = sum && values ? BS_OK : bs_fail_memory(err);
    for (int i = 0; i < parts->count && !status; i++)
        status = add_tokens(&parts->list[i], figure, sum, count, err);
    for (size_t i = 0; i < count && !status; i++)
        values[i] = (float)sum[i];
    if (!status)
        *mean = bs_mean_of(values, &layout);
    bs_free(values);
    bs_free(sum);
    return status;
}

const struct bs_mix *bs_mix_before(const struct bs_allotments *all, const struct bs_mix *mix)
{
    for (int i = 0; i < all->count && mix->round > 1; i++) {
        const struct bs_mix *other = &all->list[i];
        if (other->kind == BS_MIX_ALLOTTED && other->sensitivities == mix->sensitivities &&
            other->number == mix->number && other->round == mix->round - 1)
            return other;
    }
    return NULL;
}

/* The mix that has another candidate at one place alone than the one before has. */
static const struct bs_mix *neighbour_of(const struct bs_allotments *all,
                                         const struct bs_mix *before, int place, int candidate)
{
    for (int i = 0; i < all->count; i++) {
        const struct bs_mix *other = &all->list[i];
        if (other->kind == BS_MIX_NEIGHBOUR && other->sensitivities == before->sensitivities &&
            other->number == before->number && other->round == before->round + 1 &&
            other->taken[place] == candidate && before->taken[place] != candidate)
            return other;
    }
    return NULL;
}

static void add_part(struct parts *parts, const struct bs_row *row, double times)
{
    parts->list[parts->count++] = (struct part){row, times};
}

/* What the prediction is the sum of, in room for two more parts than places. */
static void list_parts(const struct bs_allotments *all, const struct bs_mix *mix,
                       struct parts *parts)
{
    const struct bs_sensitivities *s = &all->sensitivities[mix->sensitivities];
    const struct bs_mix *before = bs_mix_before(all, mix);
    double changes = 0;
    for (int p = 0; p < s->places.count; p++) {
        int candidate = mix->taken[p];
        if (!before) {
            add_part(parts, s->offers[p * s->num_candidates + candidate].row, 1);
        } else if (candidate != before->taken[p]) {
            const struct bs_mix *other = neighbour_of(all, before, p, candidate);
            add_part(parts, other ? other->rows[s->text] : NULL, 1);
            changes++;
        }
    }
    if (before)
        add_part(parts, before->rows[s->text], 1 - changes);
}

enum bs_status bs_mix_predict(const struct bs_config *config, const struct bs_allotments *all,
                              const struct bs_mix *mix, struct bs_mean *predicted,
                              struct bs_error *err)
{
    const struct bs_sensitivities *s = &all->sensitivities[mix->sensitivities];
    enum bs_figure figure;
    struct parts parts = {.count = 0};
    bool whole = true;
    *predicted = (struct bs_mean){.mean = mix->predicted, .se = (double)NAN};
    if (!of_tokens(damage_by(config, all, mix), &figure) || !is_done(s->unquantized))
        return BS_OK;
    parts.list = bs_alloc((size_t)s->places.count + 2, sizeof *parts.list);
    if (!parts.list)
        return bs_fail_memory(err);
    list_parts(all, mix, &parts);
    double times = 0;
    for (int i = 0; i < parts.count; i++) {
        whole = whole && is_done(parts.list[i].row);
        times += parts.list[i].times;
    }
    if (figure == BS_NLL) /* what each rises by from there */
        add_part(&parts, s->unquantized, -times);
    enum bs_status status = whole ? sum_tokens(&parts, figure, predicted, err) : BS_OK;
    bs_free(parts.list);
    return status;
}

const struct bs_value_row *bs_mix_measured(const struct bs_config *config,
                                           const struct bs_allotments *all,
                                           const struct bs_mix *mix, int text)
{
    const struct bs_row *row = mix->rows[text];
    if (!is_done(row))
        return NULL;
    return bs_row_value(row, NULL, bs_damage_values[damage_by(config, all, mix)]);
}

enum bs_status bs_mix_gain(const struct bs_config *config, const struct bs_allotments *all,
                           const struct bs_mix *mix, int text, struct bs_mean *gain,
                           struct bs_error *err)
{
    const struct bs_mix *before = bs_mix_before(all, mix);
    enum bs_figure figure;
    *gain = (struct bs_mean){.mean = (double)NAN, .se = (double)NAN};
    if (!before || !of_tokens(damage_by(config, all, mix), &figure) ||
        !bs_mix_measured(config, all, before, text) || !bs_mix_measured(config, all, mix, text))
        return BS_OK;
    struct part list[] = {{before->rows[text], 1}, {mix->rows[text], -1}};
    const struct parts parts = {2, list};
    return sum_tokens(&parts, figure, gain, err);
}
