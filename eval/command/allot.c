/* What the sensitivities of a config came to, and the budgets shared out by them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/command/arguments.h"
#include "eval/command/command.h"
#include "eval/command/opened.h"
#include "eval/report/sheet.h"
#include "eval/run/allot.h"

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

/* Predicted beside measured. */
static enum bs_status print_budgets(const struct bs_config *config, const struct bs_allotments *all,
                                    enum bs_table_style style, struct bs_error *err)
{
    struct bs_sheet sheet;
    bool several = config->num_models > 1;
    bs_sheet_init(&sheet, 4 + several);
    sheet.num_names += several;
    bs_sheet_title(&sheet,
                   "budgets: the sum over the places, and what was measured of all together");
    if (several)
        bs_sheet_text(&sheet, "model");
    bs_sheet_text(&sheet, "recipe");
    bs_sheet_text(&sheet, "bits/\nweight");
    bs_sheet_text(&sheet, "predicted");
    bs_sheet_text(&sheet, "measured");
    for (int i = 0; i < all->count; i++) {
        const struct bs_allotment *own = &all->list[i];
        const struct bs_sensitivities *s = &all->sensitivities[own->sensitivities];
        int by = budget_of(config, s)->by;
        const struct bs_value_row *value =
            own->row ? bs_row_value(own->row, NULL, bs_damage_values[by]) : NULL;
        char *label = bs_recipe_text(&own->recipe, bs_recipe_print_label);
        if (several)
            bs_sheet_text(&sheet, "%s", config->models[s->model]);
        bs_sheet_text(&sheet, "%s", label ? label : "");
        bs_free(label);
        bs_sheet_text(&sheet, "%.4f", own->bits / s->weights);
        bs_sheet_rounded(&sheet, scale_of(by) * own->predicted);
        if (value && (by == BS_BY_KL || by == BS_BY_NLL))
            bs_sheet_estimate(&sheet, scale_of(by) * value->value, scale_of(by) * value->se, false,
                              0);
        else
            bs_sheet_rounded(&sheet, value ? scale_of(by) * value->value : (double)NAN);
    }
    enum bs_status status = bs_sheet_print(&sheet, style, stdout, err);
    bs_sheet_release(&sheet);
    return status;
}

/* Each grid is for the model whose places it names. */
static void print_grids(const struct bs_config *config, const struct bs_allotments *all)
{
    for (int i = 0; i < all->count; i++) {
        char *label = bs_recipe_text(&all->list[i].recipe, bs_recipe_print_label);
        int model = all->sensitivities[all->list[i].sensitivities].model;
        printf("\n  # %s\n", label ? label : "");
        bs_allot_print_grid(&all->list[i].recipe,
                            config->num_models > 1 ? config->models[model] : NULL, stdout);
        bs_free(label);
    }
}

static enum bs_status print_all(const struct bs_arguments *args, const struct bs_opened *opened,
                                const struct bs_results *rows, struct bs_error *err)
{
    const struct bs_config *config = &opened->config;
    struct bs_allotments all;
    enum bs_table_style style = BS_TABLE_TERMINAL;
    (void)args;
    enum bs_status status = bs_allot(config, opened->wanted, rows, &all, err);
    if (status)
        return status;
    for (int i = 0; i < all.num_sensitivities && !status; i++)
        status = print_places(config, &all.sensitivities[i], style, err);
    if (!status && all.count)
        status = print_budgets(config, &all, style, err);
    if (!status)
        print_grids(config, &all);
    bs_allotments_release(&all);
    return status;
}

static int command_allot(const struct bs_arguments *args)
{
    struct bs_opened opened;
    struct bs_results rows = {.num_rows = 0};
    struct bs_error err;
    int code = bs_open_all(args, &args->telling, &opened);
    if (!code && opened.config.num_spreads == 0) {
        bs_print_line(stderr, "bitsweep: %s has no grid with sensitivity", args->operands[0]);
        code = BS_EXIT_INPUT;
    }
    if (!code &&
        (bs_results_read(opened.path, &rows, &err) || print_all(args, &opened, &rows, &err)))
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
        "and the recipe as a grid that can be pasted into a config.",
    .options = "output model accept-unknown numerics set",
    .run = command_allot,
};
