#include "eval/command/allot_fields.h"

#include <math.h>

#include "eval/base/mem.h"
#include "eval/report/sheet.h"

static const struct bs_budget_config *budget_of(const struct bs_config *config,
                                                const struct bs_sensitivities *s)
{
    return &config->spreads[s->spreads[0]].budget;
}

static void add_headings(struct bs_sheet *sheet, const char *const *headings, int count)
{
    bs_sheet_init(sheet, count);
    for (int i = 0; i < count; i++)
        bs_sheet_text(sheet, "%s", headings[i]);
}

static const char *kind_of(const struct bs_mix *mix)
{
    return mix->kind == BS_MIX_DRAWN ? "at random" : "allotted";
}

/* One mix on one text. */
static void add_mix(struct bs_sheet *sheet, const struct bs_config *config,
                    const struct bs_allotments *all, const struct bs_mix *mix, const char *label,
                    const struct bs_mean *predicted, int text)
{
    const struct bs_sensitivities *s = &all->sensitivities[mix->sensitivities];
    const struct bs_value_row *value = bs_mix_measured(config, all, mix, text);
    bs_sheet_text(sheet, "%s", config->models[s->model]);
    bs_sheet_text(sheet, "%s", label);
    bs_sheet_text(sheet, "%s", kind_of(mix));
    bs_sheet_int(sheet, mix->round);
    bs_sheet_text(sheet, "%s", bs_damage_values[budget_of(config, s)->by]);
    bs_sheet_text(sheet, "%s", config->evaluations[s->text].name);
    bs_sheet_double(sheet, mix->bits / s->weights);
    bs_sheet_double(sheet, mix->bits / 8);
    bs_sheet_double(sheet, predicted->mean);
    bs_sheet_double(sheet, predicted->se);
    bs_sheet_text(sheet, "%s", config->evaluations[text].name);
    bs_sheet_text(sheet, "%s", mix->rows[text] ? mix->rows[text]->id : "");
    bs_sheet_double(sheet, value ? value->value : (double)NAN);
    bs_sheet_double(sheet, value ? value->se : (double)NAN);
}

static enum bs_status add_mixes(struct bs_sheet *sheet, const struct bs_config *config,
                                const struct bs_allotments *all, struct bs_error *err)
{
    static const char *const headings[] = {
        "model", "recipe",    "kind",         "round", "by",    "predicted_from", "bits_per_weight",
        "bytes", "predicted", "predicted_se", "text",  "trial", "measured",       "measured_se"};
    add_headings(sheet, headings, sizeof headings / sizeof *headings);
    for (int i = 0; i < all->count; i++) {
        const struct bs_mix *mix = &all->list[i];
        struct bs_mean predicted;
        if (mix->kind == BS_MIX_NEIGHBOUR)
            continue;
        if (bs_mix_predict(config, all, mix, &predicted, err))
            return err->status;
        char *label = bs_recipe_text(&mix->recipe, bs_recipe_print_label);
        if (!label)
            return bs_fail_memory(err);
        for (int t = 0; t < config->num_evaluations; t++)
            add_mix(sheet, config, all, mix, label, &predicted, t);
        bs_free(label);
    }
    return BS_OK;
}

static void add_places(struct bs_sheet *sheet, const struct bs_config *config,
                       const struct bs_allotments *all)
{
    static const char *const headings[] = {"model", "text",   "place",     "candidate", "by",
                                           "bits",  "damage", "damage_se", "trial"};
    add_headings(sheet, headings, sizeof headings / sizeof *headings);
    for (int i = 0; i < all->num_sensitivities; i++) {
        const struct bs_sensitivities *s = &all->sensitivities[i];
        for (int k = 0; k < s->places.count * s->num_candidates; k++) {
            const struct bs_measured_offer *offer = &s->offers[k];
            bs_sheet_text(sheet, "%s", config->models[s->model]);
            bs_sheet_text(sheet, "%s", config->evaluations[s->text].name);
            bs_sheet_text(sheet, "%s", s->places.list[k / s->num_candidates].where);
            bs_sheet_text(sheet, "%s", s->labels[k % s->num_candidates]);
            bs_sheet_text(sheet, "%s", bs_damage_values[budget_of(config, s)->by]);
            bs_sheet_double(sheet, offer->bits);
            bs_sheet_double(sheet, offer->damage);
            bs_sheet_double(sheet, offer->se);
            bs_sheet_text(sheet, "%s", offer->row ? offer->row->id : "");
        }
    }
}

enum bs_status bs_allot_print_fields(const struct bs_config *config,
                                     const struct bs_allotments *all, enum bs_table_style style,
                                     FILE *out, struct bs_error *err)
{
    struct bs_sheet mixes, places;
    enum bs_status status = add_mixes(&mixes, config, all, err);
    if (!status && style != BS_TABLE_JSON) {
        status = bs_sheet_print(&mixes, style, out, err);
    } else if (!status) {
        add_places(&places, config, all);
        status = bs_json_print(json_pack("{s:o, s:o}", "places", bs_sheet_json(&places), "mixes",
                                         bs_sheet_json(&mixes)),
                               out, err);
        bs_sheet_release(&places);
    }
    bs_sheet_release(&mixes);
    return status;
}
