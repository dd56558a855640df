/* Mixes: which format each tensor gets, as llama-quantize gives it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/model/model.h"
#include "eval/quant/mix.h"
#include "eval/recipe/assign.h"
#include "tests/support/recipes.h"
#include "tests/support/settings.h"

enum { WIDE = 2048 };

static int mix_of(const char *word)
{
    for (int k = 0; bs_mix_words[k]; k++)
        if (!strcmp(bs_mix_words[k], word))
            return k;
    fail_msg("no mix %s", word);
    return 0;
}

static const char *format_of(const char *mix, struct bs_mix_place place, bool importance)
{
    const struct bs_plugin *format = bs_mix_format(mix_of(mix), &place, importance);
    return format ? format->name : "none";
}

static struct bs_mix_place place_of(enum bs_mix_role role, int layer, int layers, int sharing)
{
    return (struct bs_mix_place){
        .role = role, .layer = layer, .layers = layers, .sharing = sharing, .in = WIDE};
}

/* A letter for each of 32 layers: u where the format is the usual one. */
static void assert_layers(const char *mix, enum bs_mix_role role, const char *usual,
                          const char *other, const char *layers)
{
    for (int layer = 0; layer < 32; layer++) {
        const char *format = format_of(mix, place_of(role, layer, 32, 1), false);
        assert_string_equal(format, layers[layer] == 'u' ? usual : other);
    }
}

static void more_bits_go_to_some_layers(void **state)
{
    (void)state;
    static const char more[] = "++++uu+uu+uu+uu+uu+uu+uu+uu+++++";
    static const char eighth[] = "++++uuuuuuuuuuuuuuuuuuuuuuuuuuuu";
    static const char two[] = "++uuuuuuuuuuuuuuuuuuuuuuuuuuuuuu";
    assert_layers("q4_k_m", BS_MIX_VALUE, "q4_k", "q6_k", more);
    assert_layers("q4_k_m", BS_MIX_DOWN, "q4_k", "q6_k", more);
    assert_layers("q5_k_m", BS_MIX_DOWN, "q5_k", "q6_k", more);
    assert_layers("q4_k_s", BS_MIX_VALUE, "q4_k", "q5_k", eighth);
    assert_layers("q4_k_s", BS_MIX_DOWN, "q4_k", "q5_k", eighth);
    assert_layers("q3_k_m", BS_MIX_VALUE, "q4_k", "q5_k", two);
    assert_layers("q3_k_m", BS_MIX_DOWN, "q4_k", "q5_k", two);
    assert_layers("iq4_xs", BS_MIX_DOWN, "iq4_xs", "q5_k", eighth);
}

static void roles_and_heads_decide(void **state)
{
    (void)state;
    static const struct {
        const char *mix;
        enum bs_mix_role role;
        int layer, layers, sharing;
        bool importance;
        const char *format;
    } rows[] = {
        {"q2_k", BS_MIX_OTHER, 3, 32, 8, false, "q2_k"},
        {"q2_k", BS_MIX_VALUE, 3, 32, 1, false, "q3_k"},
        {"q2_k", BS_MIX_VALUE, 3, 32, 4, false, "q4_k"},
        {"q2_k", BS_MIX_OUTPUT, 3, 32, 4, false, "q3_k"},
        {"q2_k_s", BS_MIX_VALUE, 3, 32, 3, true, "q2_k"},
        {"q2_k_s", BS_MIX_DOWN, 3, 32, 3, true, "q4_k"},
        {"q3_k_m", BS_MIX_OUTPUT, 9, 32, 4, false, "q4_k"},
        {"q3_k_l", BS_MIX_OUTPUT, 9, 32, 4, false, "q5_k"},
        {"q4_0", BS_MIX_DOWN, 0, 32, 4, false, "q4_0"},
        {"q4_0", BS_MIX_DOWN, 0, 32, 4, true, "q4_1"},
        {"q5_0", BS_MIX_DOWN, 4, 32, 4, true, "q5_0"},
        {"iq4_nl", BS_MIX_DOWN, 0, 32, 4, true, "iq4_nl"},
        {"iq4_nl", BS_MIX_VALUE, 9, 32, 4, true, "q5_k"},
        {"q4_k_m", BS_MIX_VALUE, 11, 80, 8, false, "q5_k"}, /* 80 layers: 70B */
        {"q4_k_m", BS_MIX_VALUE, 12, 80, 8, false, "q6_k"},
        {"tq2_0", BS_MIX_EMBEDDING, 0, 32, 1, false, "q4_k"},
        {"q4_k_m", BS_MIX_EMBEDDING, 0, 32, 1, false, "q4_k"},
        {"q4_k_m", BS_MIX_HEAD, 0, 32, 1, false, "q6_k"},
        {"q8_0", BS_MIX_HEAD, 0, 32, 1, false, "q8_0"},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        assert_string_equal(
            format_of(rows[k].mix,
                      place_of(rows[k].role, rows[k].layer, rows[k].layers, rows[k].sharing),
                      rows[k].importance),
            rows[k].format);
}

static void narrow_rows_get_smaller_blocks(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"q2_k", "q4_0"}, {"q3_k_s", "q4_0"},   {"q4_k_m", "q5_0"}, {"q5_k_m", "q5_1"},
        {"q6_k", "q8_0"}, {"iq4_xs", "iq4_nl"}, {"tq1_0", "q4_0"},  {"q4_1", "q4_1"}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        struct bs_mix_place place = place_of(BS_MIX_OTHER, 5, 30, 3);
        place.in = 576; /* 18 blocks of 32, and no whole number of 256 */
        assert_string_equal(format_of(rows[k][0], place, false), rows[k][1]);
        place.role = BS_MIX_HEAD;
        assert_string_equal(format_of(rows[k][0], place, false), "q8_0");
        place.in = 40;
        assert_string_equal(format_of(rows[k][0], place, false), "none");
    }
}

static void a_mix_reaches_embedding_and_head_of_a_model(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_recipe recipe, copy;
    struct bs_model *model;
    struct bs_assignment at;
    struct bs_outer_assignment outer;
    assert_int_equal(bs_model_open("datasets/tiny", NULL, &model, &err), BS_OK);
    const struct bs_architecture *a = bs_model_architecture(model);
    recipe_build(&recipe, "rtn", "mix=q4_k_m");
    assert_int_equal(bs_recipe_copy(&copy, &recipe, &err), BS_OK);
    bs_recipe_release(&recipe);
    for (int layer = 0; layer < a->num_layers; layer++) {
        bs_recipe_assign(&copy, a, layer, &at);
        for (int s = 0; s < a->programs[0].num_slots; s++) {
            const char *role = a->programs[0].slots[s].role;
            bool more = layer == 2 || layer == 5; /* of 6 layers */
            bool large = more && (!strcmp(role, "v") || !strcmp(role, "down"));
            assert_string_equal(at.weights[s]->format.plugin->name, large ? "q6_k" : "q4_k");
        }
    }
    bs_recipe_assign_outer(&copy, a, &outer);
    for (int w = 0; w < BS_NUM_OUTER; w++)
        assert_string_equal(outer.of[w]->format.plugin->name, "q6_k");
    bs_recipe_release(&copy);
    bs_model_free(model);
}

static void what_a_mix_cannot_be_is_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"format=q4_0 mix=q4_k_m", "formats of its own"},
                                          {"mix=q4_k_m bits=4", "formats of its own"},
                                          {"mix=q2_k_s", "by importance only"}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        struct bs_error err;
        struct bs_recipe recipe;
        recipe_build_unresolved(&recipe, "rtn", rows[k][0]);
        assert_int_equal(bs_recipe_resolve(&recipe, &err), BS_ECONFIG);
        assert_non_null(strstr(err.message, rows[k][1]));
        bs_recipe_release(&recipe);
    }
}

static void mixes_are_told_apart_from_formats(void **state)
{
    (void)state;
    static const char *const rows[] = {"mix=q6_k", "format=q6_k", "mix=q4_k_m", "mix=q4_k_s",
                                       "mix=q4_k_s importance=imatrix"};
    for (size_t a = 0; a < sizeof rows / sizeof *rows; a++)
        for (size_t b = 0; b < sizeof rows / sizeof *rows; b++) {
            struct bs_recipe x, y;
            recipe_build(&x, "rtn", rows[a]);
            recipe_build(&y, "rtn", rows[b]);
            char *texts[] = {bs_recipe_text(&x, bs_recipe_print_label),
                             bs_recipe_text(&y, bs_recipe_print_label),
                             bs_recipe_text(&x, bs_recipe_print),
                             bs_recipe_text(&y, bs_recipe_print)};
            assert_int_equal(!strcmp(texts[0], texts[1]), a == b);
            assert_int_equal(!strcmp(texts[2], texts[3]), a == b);
            assert_int_equal(bs_setting_equal(&x.weights, &y.weights), a == b);
            for (int t = 0; t < 4; t++)
                bs_free(texts[t]);
            bs_recipe_release(&x);
            bs_recipe_release(&y);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_bits_go_to_some_layers),
        cmocka_unit_test(roles_and_heads_decide),
        cmocka_unit_test(narrow_rows_get_smaller_blocks),
        cmocka_unit_test(a_mix_reaches_embedding_and_head_of_a_model),
        cmocka_unit_test(what_a_mix_cannot_be_is_refused),
        cmocka_unit_test(mixes_are_told_apart_from_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
