/* What the sensitivities of a config came to, and the budgets shared out by them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/command/allot_fields.h"
#include "eval/command/arguments.h"
#include "eval/command/command.h"
#include "eval/command/opened.h"
#include "eval/command/reports.h"
#include "eval/report/sheet.h"
#include "eval/run/allot.h"
#include "eval/tasks/rank_correlation.h"

enum { HEADING_WIDTH = 12 };

/* A damage as it is shown: KL divergences and losses in thousandths. */
static double scale_of(int by) { return by == BS_BY_KL || by == BS_BY_NLL ? 1000 : 1; }

static const char *const damage_titles[] = {
    [BS_BY_KL] = "KL mean, 10⁻³ nats",
    [BS_BY_NLL] = "Δ NLL, 10⁻³ nats",
    [BS_BY_OUTPUTS] = "relative output error, mean of all linears",
    [BS_BY_WEIGHTS] = "mean of (W - W^)²",
};

static const struct bs_budget_config *budget_of(const struct bs_config *config,
                                                const struct bs_sensitivities *s)
{
    return &config->spreads[s->spreads[0]].budget;
}

/* What is shown, and how. */
struct showing {
    const struct bs_config *config;
    const struct bs_allotments *all;
    enum bs_table_style style;
};

static const struct bs_sensitivities *sensitivities_of(const struct showing *show,
                                                       const struct bs_mix *mix)
{
    return &show->all->sensitivities[mix->sensitivities];
}

static int by_of(const struct showing *show, const struct bs_mix *mix)
{
    return budget_of(show->config, sensitivities_of(show, mix))->by;
}

/* A label as the head of a column: parted in two lines at its middle, so that many have room. */
static void print_heading(struct bs_sheet *sheet, const char *label)
{
    char *heading = bs_strdup(label), *parting = NULL;
    size_t least = strlen(label);
    for (char *c = heading; c && *c; c++) {
        size_t before = (size_t)(c - heading), after = strlen(c + 1);
        size_t wider = before > after ? before : after;
        if (*c == ' ' && wider < least) {
            least = wider;
            parting = c;
        }
    }
    if (parting && strlen(label) > HEADING_WIDTH)
        *parting = '\n';
    bs_sheet_text(sheet, "%s", heading ? heading : label);
    bs_free(heading);
}

/* A row for each place, a column for each candidate. */
static enum bs_status print_places(const struct bs_config *config, const struct bs_sensitivities *s,
                                   enum bs_table_style style, struct bs_error *err)
{
    struct bs_sheet sheet;
    int by = budget_of(config, s)->by;
    bs_sheet_init(&sheet, 1 + s->num_candidates);
    bs_sheet_title(&sheet, "%s, one place at a time on %s: %s", config->models[s->model],
                   config->evaluations[s->text].name, damage_titles[by]);
    bs_sheet_text(&sheet, "place");
    for (int c = 0; c < s->num_candidates; c++)
        print_heading(&sheet, s->labels[c]);
    for (int p = 0; p < s->places.count; p++) {
        bs_sheet_text(&sheet, "%s", s->places.list[p].where);
        for (int c = 0; c < s->num_candidates; c++) {
            const struct bs_measured_offer *offer = &s->offers[p * s->num_candidates + c];
            if (by == BS_BY_KL || by == BS_BY_NLL)
                bs_sheet_estimate(&sheet, scale_of(by) * offer->damage, scale_of(by) * offer->se,
                                  by == BS_BY_NLL, 0);
            else
                bs_sheet_rounded(&sheet, scale_of(by) * offer->damage);
        }
    }
    if (s->num_open)
        bs_sheet_note(&sheet, "%d of the trials have not run yet", s->num_open);
    if (s->num_failed)
        bs_sheet_note(&sheet, "%d of the trials failed: what they measured is no candidate there",
                      s->num_failed);
    enum bs_status status = bs_sheet_print(&sheet, style, stdout, err);
    bs_sheet_release(&sheet);
    putchar('\n');
    return status;
}

/* A damage with its standard error, where it has one. */
static void add_damage(struct bs_sheet *sheet, int by, double damage, double se, bool sign)
{
    if (by == BS_BY_KL || by == BS_BY_NLL)
        bs_sheet_estimate(sheet, scale_of(by) * damage, scale_of(by) * se, sign, 0);
    else
        bs_sheet_rounded(sheet, scale_of(by) * damage);
}

/* What was measured of a mix on a text. */
static void add_measured(struct bs_sheet *sheet, const struct showing *show,
                         const struct bs_mix *mix, int text)
{
    const struct bs_value_row *value = bs_mix_measured(show->config, show->all, mix, text);
    const double none = (double)NAN;
    add_damage(sheet, by_of(show, mix), value ? value->value : none, value ? value->se : none,
               by_of(show, mix) == BS_BY_NLL);
}

/* Whether a mix is measured on a text beside that by which it was shared out. */
static bool is_judged_on(const struct showing *show, int text)
{
    bool any = false;
    for (int i = 0; i < show->all->count; i++) {
        const struct bs_mix *mix = &show->all->list[i];
        any |= mix->kind != BS_MIX_NEIGHBOUR && text != sensitivities_of(show, mix)->text &&
               bs_mix_measured(show->config, show->all, mix, text);
    }
    return any;
}

static char *label_of(const struct bs_mix *mix)
{
    return bs_recipe_text(&mix->recipe, bs_recipe_print_label);
}

/* What a further round has gained, or that there is none, below the table. */
static enum bs_status note_gain(struct bs_sheet *sheet, const struct showing *show,
                                const struct bs_mix *mix, struct bs_error *err)
{
    char *own = mix->settled ? label_of(mix) : NULL;
    if (own)
        bs_sheet_note(sheet, "%s: round %d comes to the same", own, mix->round + 1);
    bs_free(own);
    for (int t = 0; t < show->config->num_evaluations; t++) {
        struct bs_mean gain;
        if (bs_mix_gain(show->config, show->all, mix, t, &gain, err))
            return err->status;
        char *label = isnan(gain.mean) ? NULL : label_of(mix);
        if (label)
            bs_sheet_note(sheet, "%s: %.2f \xc2\xb1 %.2f less on %s than the round before", label,
                          1000 * gain.mean, 1000 * gain.se, show->config->evaluations[t].name);
        bs_free(label);
    }
    return BS_OK;
}

/* Predicted beside measured. */
static enum bs_status print_budgets(const struct showing *show, struct bs_error *err)
{
    const struct bs_config *config = show->config;
    struct bs_sheet sheet;
    bool several = config->num_models > 1;
    int judged = 0;
    for (int t = 0; t < config->num_evaluations; t++)
        judged += is_judged_on(show, t);
    bs_sheet_init(&sheet, 4 + several + judged);
    sheet.num_names += several;
    bs_sheet_title(&sheet, "budgets: what is predicted of a mix by what was measured of places, "
                           "and what was measured of all together");
    if (several)
        bs_sheet_text(&sheet, "model");
    bs_sheet_text(&sheet, "recipe");
    bs_sheet_text(&sheet, "bits/\nweight");
    bs_sheet_text(&sheet, "predicted");
    bs_sheet_text(&sheet, "measured");
    for (int t = 0; t < config->num_evaluations; t++)
        if (is_judged_on(show, t))
            bs_sheet_text(&sheet, "measured on\n%s", config->evaluations[t].name);
    enum bs_status status = BS_OK;
    for (int i = 0; i < show->all->count && !status; i++) {
        const struct bs_mix *mix = &show->all->list[i];
        const struct bs_sensitivities *s = sensitivities_of(show, mix);
        struct bs_mean predicted;
        if (mix->kind != BS_MIX_ALLOTTED)
            continue;
        status = bs_mix_predict(config, show->all, mix, &predicted, err);
        if (status)
            break;
        char *label = label_of(mix);
        if (several)
            bs_sheet_text(&sheet, "%s", config->models[s->model]);
        bs_sheet_text(&sheet, "%s", label ? label : "");
        bs_free(label);
        bs_sheet_text(&sheet, "%.4f", mix->bits / s->weights);
        add_damage(&sheet, by_of(show, mix), predicted.mean, predicted.se,
                   by_of(show, mix) == BS_BY_NLL);
        add_measured(&sheet, show, mix, s->text);
        for (int t = 0; t < config->num_evaluations; t++)
            if (is_judged_on(show, t))
                add_measured(&sheet, show, mix, t);
    }
    for (int i = 0; i < show->all->count && !status; i++)
        if (show->all->list[i].kind == BS_MIX_ALLOTTED)
            status = note_gain(&sheet, show, &show->all->list[i], err);
    if (!status)
        status = bs_sheet_print(&sheet, show->style, stdout, err);
    bs_sheet_release(&sheet);
    return status;
}

/* ---- at random ---- */

/* How the drawn mixes of some sensitivities came out on a text: those that have run. */
struct drawn {
    struct bs_rank_correlation correlation;
    double bits_low, bits_high; /* a weight */
    double predicted, measured; /* means */
};

/* Into `drawn`, whose bits_low is infinite and the rest zero. */
static enum bs_status gather_drawn(const struct showing *show, int sensitivities, int text,
                                   struct drawn *drawn, struct bs_error *err)
{
    const struct bs_allotments *all = show->all;
    double *values = bs_alloc(2 * (size_t)all->count, sizeof *values);
    int n = 0;
    if (!values)
        return bs_fail_memory(err);
    for (int i = 0; i < all->count; i++) {
        const struct bs_mix *mix = &all->list[i];
        const struct bs_value_row *value = bs_mix_measured(show->config, all, mix, text);
        if (mix->kind != BS_MIX_DRAWN || mix->sensitivities != sensitivities || !value)
            continue;
        double bits = mix->bits / sensitivities_of(show, mix)->weights;
        drawn->bits_low = fmin(drawn->bits_low, bits);
        drawn->bits_high = fmax(drawn->bits_high, bits);
        drawn->predicted += mix->predicted;
        drawn->measured += value->value;
        values[n] = mix->predicted;
        values[all->count + n++] = value->value;
    }
    drawn->predicted /= n;
    drawn->measured /= n;
    drawn->correlation = bs_rank_correlation_of(values, values + all->count, n);
    bs_free(values);
    return BS_OK;
}

/* The recipe of the first of the drawn mixes without its number: "gptq allotted at random". */
static void add_drawn_name(struct bs_sheet *sheet, const struct showing *show, int sensitivities)
{
    const struct bs_spread_config *spread =
        &show->config->spreads[show->all->sensitivities[sensitivities].spreads[0]];
    struct bs_recipe recipe = spread->recipe; /* what it owns stays its own */
    char any[] = "at random";
    recipe.allotted = any;
    char *label = bs_recipe_text(&recipe, bs_recipe_print_label);
    bs_sheet_text(sheet, "%s%s%s", label ? label : "", *spread->budget.name ? " " : "",
                  spread->budget.name);
    bs_free(label);
}

static enum bs_status add_drawn(struct bs_sheet *sheet, const struct showing *show,
                                int sensitivities, int text, struct bs_error *err)
{
    const struct bs_config *config = show->config;
    const struct bs_sensitivities *s = &show->all->sensitivities[sensitivities];
    int by = budget_of(config, s)->by;
    struct drawn drawn = {.bits_low = (double)INFINITY};
    if (gather_drawn(show, sensitivities, text, &drawn, err))
        return err->status;
    if (drawn.correlation.n == 0)
        return BS_OK;
    if (config->num_models > 1)
        bs_sheet_text(sheet, "%s", config->models[s->model]);
    add_drawn_name(sheet, show, sensitivities);
    bs_sheet_text(sheet, "%s", config->evaluations[text].name);
    bs_sheet_int(sheet, drawn.correlation.n);
    bs_sheet_text(sheet, "%.2f to %.2f", drawn.bits_low, drawn.bits_high);
    bs_sheet_rounded(sheet, scale_of(by) * drawn.predicted);
    bs_sheet_rounded(sheet, scale_of(by) * drawn.measured);
    bs_sheet_text(sheet, "%.3f", drawn.correlation.r);
    bs_sheet_text(sheet, "%.3f to %.3f", drawn.correlation.low, drawn.correlation.high);
    return BS_OK;
}

/* How well the sum ranks mixes that nobody chose. */
static enum bs_status print_drawn(const struct showing *show, struct bs_error *err)
{
    static const char *const headings[] = {
        "text", "mixes", "bits/\nweight", "predicted\nmean", "measured\nmean", "rank\ncorrelation",
        "95 %"};
    enum { HEADINGS = sizeof headings / sizeof *headings, CORRELATION = 6 };
    struct bs_sheet sheet;
    int several = show->config->num_models > 1;
    bs_sheet_init(&sheet, 1 + several + HEADINGS);
    sheet.num_names += several;
    for (int j = 0; j < 2; j++)
        bs_sheet_keep(&sheet, several + CORRELATION + j);
    bs_sheet_title(&sheet,
                   "mixes at random: the rank correlation (Spearman's) of what the sum over "
                   "places predicts with what was measured");
    if (several)
        bs_sheet_text(&sheet, "model");
    bs_sheet_text(&sheet, "recipe");
    for (int j = 0; j < HEADINGS; j++)
        bs_sheet_text(&sheet, "%s", headings[j]);
    enum bs_status status = BS_OK;
    for (int i = 0; i < show->all->num_sensitivities; i++)
        for (int t = 0; t < show->config->num_evaluations && !status; t++)
            if (budget_of(show->config, &show->all->sensitivities[i])->random)
                status = add_drawn(&sheet, show, i, t, err);
    if (!status && sheet.num_cells > sheet.num_columns) {
        putchar('\n');
        status = bs_sheet_print(&sheet, show->style, stdout, err);
    }
    bs_sheet_release(&sheet);
    return status;
}

/* Each grid is for the model whose places it names. */
static void print_grids(const struct bs_config *config, const struct bs_allotments *all)
{
    for (int i = 0; i < all->count; i++) {
        if (all->list[i].kind != BS_MIX_ALLOTTED)
            continue;
        char *label = label_of(&all->list[i]);
        int model = all->sensitivities[all->list[i].sensitivities].model;
        printf("\n  # %s\n", label ? label : "");
        bs_allot_print_grid(&all->list[i].recipe,
                            config->num_models > 1 ? config->models[model] : NULL, stdout);
        bs_free(label);
    }
}

/* For the eye: tables, and grids to be pasted. */
static enum bs_status print_tables(const struct showing *show, struct bs_error *err)
{
    const struct bs_allotments *all = show->all;
    bool any = false;
    for (int i = 0; i < all->num_sensitivities; i++)
        if (print_places(show->config, &all->sensitivities[i], show->style, err))
            return err->status;
    for (int i = 0; i < all->count; i++)
        any |= all->list[i].kind == BS_MIX_ALLOTTED;
    if ((any && print_budgets(show, err)) || print_drawn(show, err))
        return err->status;
    if (show->style == BS_TABLE_TERMINAL)
        print_grids(show->config, all);
    return BS_OK;
}

static enum bs_status print_all(const struct bs_opened *opened, const struct bs_results *rows,
                                enum bs_table_style style, struct bs_error *err)
{
    struct bs_allotments all;
    if (bs_allot(&opened->config, opened->wanted, rows, &all, err))
        return err->status;
    const struct showing show = {&opened->config, &all, style};
    enum bs_status status = bs_table_is_for_programs(style)
                                ? bs_allot_print_fields(&opened->config, &all, style, stdout, err)
                                : print_tables(&show, err);
    bs_allotments_release(&all);
    return status;
}

static int command_allot(const struct bs_arguments *args)
{
    struct bs_opened opened;
    struct bs_results rows = {.num_rows = 0};
    struct bs_error err;
    enum bs_table_style style;
    if (bs_report_style(args, &style))
        return BS_EXIT_INPUT;
    int code = bs_open_all(args, &args->telling, &opened);
    if (!code && opened.config.num_spreads == 0) {
        bs_print_line(stderr, "bitsweep: %s has no grid with sensitivity", args->operands[0]);
        code = BS_EXIT_INPUT;
    }
    if (!code &&
        (bs_results_read(opened.path, &rows, &err) || print_all(&opened, &rows, style, &err)))
        code = bs_fail_print(&err);
    bs_results_release(&rows);
    bs_close_all(&opened);
    return code;
}

const struct bs_command bs_command_allot = {
    .name = "allot",
    .operands = "CONFIG",
    .summary = "print what each place can bear, and the bits that budgets give it",
    .min_operands = 1,
    .max_operands = 1,
    .details =
        "Reads what the trials of grids with `sensitivity` came to, prints it place by place, and "
        "shares out each `budget`: what its recipe is predicted to cost, what it was measured to, "
        "and the recipe as a grid that can be pasted into a config; of mixes at random how well "
        "the prediction ranks them. `--format csv`, `json` and `jsonl` have a row for each mix and "
        "text.",
    .options = "format output model accept-unknown numerics set",
    .run = command_allot,
};
