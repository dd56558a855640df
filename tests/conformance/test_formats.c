/* Every number format there is, with every value of its options: levels, codes, the bytes of a
 * file, and what is printed of it. A new line in the registry is tested with no new test. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/base/print.h"
#include "eval/quant/codes.h"
#include "tests/support/random_block.h"
#include "tests/support/settings.h"

enum { OUT = 6, NARROW = 70, WIDE = 256, MOST_SETTINGS = 96, TEXT = 64 };

static int in; /* the columns of `weight`: an odd number of groups, where a format takes that */
static float weight[OUT * WIDE];

static void fill(int columns)
{
    in = columns;
    random_fill(weight, OUT * in, 1, 1);
    for (int j = 0; j < in; j++) {
        weight[in + j] = 0.3f * weight[in + j] + 2; /* a row that is far from zero */
        weight[2 * in + j] *= 1e-3f;
    }
}

static const struct bs_format *format_at(int i)
{
    return (const struct bs_format *)bs_format_registry.rows[i];
}

/* Values of an option to try: its words, or some numbers from the least to the most. */
static int candidates(const struct bs_option *option, char texts[12][TEXT])
{
    int count = 0;
    for (int w = 0; option->words && option->words[w] && count < 6; w++)
        snprintf(texts[count++], TEXT, "%s", option->words[w]);
    if (option->type == BS_BOOL)
        for (int k = 0; k < 2; k++)
            snprintf(texts[count++], TEXT, "%s", k ? "true" : "false");
    static const double some[] = {1, 2, 3, 4, 8, 300};
    for (size_t k = 0; (option->type == BS_INT || option->type == BS_DOUBLE) && k < 6; k++)
        if (some[k] >= option->min && some[k] <= option->max)
            snprintf(texts[count++], TEXT, "%.0f", some[k]);
    return count;
}

/* Settings of a format that quantize this matrix: with options at their defaults where these do,
 * and with each value of each option. */
struct variations {
    int count;
    struct bs_setting settings[MOST_SETTINGS];
};

static void try_variation(struct variations *all, const struct bs_setting *base, const char *key,
                          const char *value)
{
    struct bs_error err;
    struct bs_code_layout layout;
    struct bs_setting *setting = &all->settings[all->count];
    assert_true(all->count < MOST_SETTINGS);
    assert_int_equal(bs_setting_copy(setting, base, &err), BS_OK);
    if (!bs_setting_set(setting, BS_FOR_WEIGHTS, key, value, &err) &&
        !bs_setting_resolve(setting, BS_FOR_WEIGHTS, &err) && bs_setting_quantizes(setting) &&
        !bs_setting_lay(setting, OUT, in, &layout, &err)) {
        all->count++;
        return;
    }
    bs_setting_release(setting);
}

/* A setting that quantizes, unresolved: the defaults, or with the first value that makes it so. */
static void first_setting(const struct bs_format *format, struct bs_setting *base)
{
    struct bs_error err;
    bs_setting_init(base);
    assert_int_equal(bs_setting_choose_format(base, &format->plugin, &err), BS_OK);
    for (const struct bs_option *o = format->plugin.options; o && o->name; o++) {
        char texts[12][TEXT];
        int count = candidates(o, texts);
        for (int k = 0; k < count && !bs_setting_quantizes(base); k++)
            assert_int_equal(bs_setting_set(base, BS_FOR_WEIGHTS, o->name, texts[k], &err), BS_OK);
    }
    assert_true(bs_setting_quantizes(base));
}

/* Fills the weight with a width that the format takes. */
static void fill_for(const struct bs_format *format)
{
    struct bs_error err;
    struct bs_setting setting;
    struct bs_code_layout layout;
    first_setting(format, &setting);
    assert_int_equal(bs_setting_resolve(&setting, BS_FOR_WEIGHTS, &err), BS_OK);
    fill(bs_setting_lay(&setting, OUT, NARROW, &layout, &err) ? WIDE : NARROW);
    bs_setting_release(&setting);
}

static void variations_of(const struct bs_format *format, struct variations *all)
{
    static const char *const ranges[] = {"minmax", "mse"};
    struct bs_setting base;
    all->count = 0;
    fill_for(format);
    first_setting(format, &base);
    for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++)
        try_variation(all, &base, "range", ranges[r]);
    for (const struct bs_option *o = format->plugin.options; o && o->name; o++) {
        char texts[12][TEXT];
        int count = candidates(o, texts);
        for (int k = 0; k < count; k++)
            try_variation(all, &base, o->name, texts[k]);
    }
    bs_setting_release(&base);
    assert_true(all->count > 0);
}

static void release(struct variations *all)
{
    for (int i = 0; i < all->count; i++)
        bs_setting_release(&all->settings[i]);
}

/* Calls `check` with every variation of every format. */
static void for_every_setting(void (*check)(const struct bs_setting *setting))
{
    static struct variations all;
    for (int i = 0; format_at(i); i++) {
        variations_of(format_at(i), &all);
        for (int k = 0; k < all.count; k++)
            check(&all.settings[k]);
        release(&all);
    }
}

static struct bs_codes rounded(const struct bs_setting *setting)
{
    struct bs_error err;
    struct bs_codes codes;
    if (bs_codes_init(&codes, setting, 3, OUT, in, &err) ||
        bs_codes_round(&codes, weight, NULL, &err))
        fail_msg("%s: %s", setting->format.plugin->name, err.message);
    return codes;
}

static void every_format_describes_itself(void **state)
{
    (void)state;
    assert_non_null(format_at(0));
    for (int i = 0; format_at(i); i++) {
        const struct bs_format *format = format_at(i);
        assert_true(format->plugin.name && *format->plugin.name);
        assert_true(format->plugin.summary && *format->plugin.summary);
        assert_true(format->plugin.reference && *format->plugin.reference);
        assert_in_range(format->family, BS_FAMILY_NONE + 1, BS_NUM_FAMILIES - 1);
        assert_true(format->lay && format->cell && format->pack && format->unpack);
        assert_true(format->fit || format->encode);
        assert_ptr_equal(bs_registry_find(&bs_format_registry, format->plugin.name),
                         &format->plugin);
        for (const struct bs_option *o = format->plugin.options; o && o->name; o++) {
            assert_true(o->help && *o->help);
            assert_null(bs_option_find(bs_weights_options, o->name)); /* a config has both */
            assert_true(strncmp(o->name, "range", strlen("range")));
        }
    }
}

/* Whether a cell finds codes in steps of another scale than it decodes them by. */
static bool finds_otherwise(const struct bs_cell *cell)
{
    return cell->inverse != 0 && fabsf(cell->inverse * cell->scale - 1) > 1e-6f;
}

static void assert_levels(const struct bs_setting *setting)
{
    struct bs_codes codes = rounded(setting);
    for (int i = 0; i < OUT; i++)
        for (int g = 0; g < codes.groups; g++) {
            struct bs_cell cell = bs_codes_cell(&codes, i, g);
            assert_true(isfinite(cell.scale) && isfinite(cell.shift));
            assert_true(cell.scale != 0 || bs_format_of(setting)->encode);
            assert_in_range(cell.levels->count, 2, 1 << codes.layout.code_bits);
            for (int c = 0; c < cell.levels->count; c++) {
                assert_true(!cell.levels->values || c == 0 ||
                            cell.levels->values[c] > cell.levels->values[c - 1]);
                if (!finds_otherwise(&cell) && cell.scale != 0)
                    assert_int_equal(bs_cell_nearest(&cell, bs_cell_decode(&cell, c)), c);
            }
            assert_true(!codes.layout.whole_numbers ||
                        (!cell.levels->values && cell.shift == 0 && codes.layout.code_bits <= 8));
        }
    bs_codes_release(&codes);
}

static void levels_ascend_and_are_their_own_codes(void **state)
{
    (void)state;
    for_every_setting(assert_levels);
}

static void assert_decoded(const struct bs_setting *setting)
{
    struct bs_codes codes = rounded(setting);
    float decoded[OUT * WIDE];
    bs_codes_decode(&codes, decoded);
    for (int i = 0; i < OUT; i++)
        for (int j = 0; j < in; j++) {
            struct bs_cell cell = bs_codes_cell(&codes, i, bs_codes_group(&codes, j));
            int code = bs_codes_get(&codes, i, j);
            float x = weight[i * in + j];
            assert_in_range(code, 0, cell.levels->count - 1);
            assert_true(code == bs_cell_nearest(&cell, x) || bs_format_of(setting)->encode);
            assert_true(decoded[i * in + j] == bs_cell_decode(&cell, code));
        }
    bs_codes_release(&codes);
}

static void weights_decode_by_the_cells_of_their_groups(void **state)
{
    (void)state;
    for_every_setting(assert_decoded);
}

/* What a file holds has as many bits as are counted, and comes back: codes as they were, parameters
 * as the file rounds them, after which nothing changes any more. */
static void assert_packed(const struct bs_setting *setting)
{
    struct bs_error err;
    struct bs_codes codes = rounded(setting), back;
    size_t bytes = (size_t)(bs_codes_bits(&codes) / 8) + 1024;
    unsigned char *first = bs_calloc(bytes, 1), *second = bs_calloc(bytes, 1);
    struct bs_bits to = {.bytes = first}, from = {.bytes = first}, again = {.bytes = second};
    assert_int_equal(bs_codes_init(&back, setting, 3, OUT, in, &err), BS_OK);
    assert_int_equal(bs_codes_pack(&codes, &to, &err), BS_OK);
    if ((double)to.at != bs_codes_bits(&codes))
        fail_msg("%s: %zu bits in a file, %.0f counted", setting->format.plugin->name, to.at,
                 bs_codes_bits(&codes));
    assert_int_equal(bs_codes_unpack(&back, &from, &err), BS_OK);
    assert_int_equal(from.at, to.at);
    assert_int_equal(bs_codes_pack(&back, &again, &err), BS_OK);
    assert_memory_equal(first, second, bytes);
    for (int i = 0; i < OUT; i++)
        for (int j = 0; j < in; j++) {
            struct bs_cell was = bs_codes_cell(&codes, i, bs_codes_group(&codes, j));
            struct bs_cell is = bs_codes_cell(&back, i, bs_codes_group(&codes, j));
            assert_int_equal(bs_codes_get(&codes, i, j), bs_codes_get(&back, i, j));
            assert_true(fabsf(is.scale - was.scale) <= 2e-3f * fabsf(was.scale) + 1e-6f);
        }
    bs_codes_release(&codes);
    bs_codes_release(&back);
    bs_free(first);
    bs_free(second);
}

static void bits_are_those_of_a_file_that_comes_back(void **state)
{
    (void)state;
    for_every_setting(assert_packed);
}

static double squared_error(const struct bs_setting *setting)
{
    struct bs_codes codes = rounded(setting);
    float decoded[OUT * WIDE];
    double sum = 0;
    bs_codes_decode(&codes, decoded);
    for (int i = 0; i < OUT * in; i++)
        sum += pow((double)decoded[i] - (double)weight[i], 2);
    bs_codes_release(&codes);
    return sum;
}

/* The errors by bits of a code as one option sets them; returns how many there are. */
static int errors_of(const struct bs_setting *base, const struct bs_option *option,
                     double error[17])
{
    char texts[12][TEXT];
    static struct variations all;
    int count = candidates(option, texts), different = 0;
    all.count = 0;
    for (int k = 0; k < count; k++)
        try_variation(&all, base, option->name, texts[k]);
    for (int b = 0; b <= 16; b++)
        error[b] = INFINITY;
    for (int k = 0; k < all.count; k++) {
        int bits = bs_setting_layout(&all.settings[k]).code_bits;
        different += isinf(error[bits]) != 0;
        error[bits] = squared_error(&all.settings[k]);
    }
    release(&all);
    return different;
}

/* Of the formats that come in several widths; a wider exponent need not help where all values are
 * large enough. */
static void more_bits_have_less_error(void **state)
{
    (void)state;
    for (int i = 0; format_at(i); i++) {
        struct bs_setting base;
        bool widths = false;
        int compared = 0;
        fill_for(format_at(i));
        first_setting(format_at(i), &base);
        for (const struct bs_option *o = format_at(i)->plugin.options; o && o->name; o++) {
            double error[17], last = INFINITY;
            if (errors_of(&base, o, error) < 2)
                continue;
            widths = true;
            for (int b = 0; b <= 16; b++) {
                if (isinf(error[b]))
                    continue;
                if (!(error[b] <= 1.001 * last))
                    fail_msg("%s: %s of %d bits", format_at(i)->plugin.name, o->name, b);
                compared += error[b] < 0.7 * last;
                last = error[b];
            }
        }
        assert_true(!widths || compared >= 2);
        bs_setting_release(&base);
    }
}

static char *printed(const struct bs_setting *setting, bool brief)
{
    struct bs_print printing;
    assert_true(bs_print_begin(&printing));
    if (brief)
        bs_setting_print_short(setting, BS_FOR_WEIGHTS, NULL, printing.out);
    else
        bs_setting_print(setting, "weights", BS_FOR_WEIGHTS, printing.out);
    char *text = bs_print_end(&printing);
    assert_non_null(text);
    return text;
}

static void settings_print_alike_exactly_when_they_are_equal(void **state)
{
    (void)state;
    static struct variations all;
    for (int i = 0; format_at(i); i++) {
        variations_of(format_at(i), &all);
        for (int a = 0; a < all.count; a++)
            for (int b = 0; b < all.count; b++) {
                const struct bs_setting *x = &all.settings[a], *y = &all.settings[b];
                char *texts[] = {printed(x, true), printed(y, true), printed(x, false),
                                 printed(y, false)};
                bool equal = bs_setting_equal(x, y);
                assert_int_equal(equal, !strcmp(texts[0], texts[1]));
                assert_int_equal(equal, !strcmp(texts[2], texts[3]));
                for (int t = 0; t < 4; t++)
                    bs_free(texts[t]);
            }
        release(&all);
    }
}

/* Each mode takes a value to a neighbour on its own side, where there is one. */
static void assert_modes(const struct bs_setting *plain)
{
    static const char *const modes[] = {"floor", "ceil", "truncate", "stochastic"};
    struct bs_error err;
    for (int m = 0; m < 4; m++) {
        struct bs_setting setting;
        assert_int_equal(bs_setting_copy(&setting, plain, &err), BS_OK);
        assert_int_equal(bs_setting_set(&setting, BS_FOR_WEIGHTS, "rounding", modes[m], &err),
                         BS_OK);
        struct bs_codes codes = rounded(&setting);
        for (int i = 0; i < OUT; i++)
            for (int j = 0; j < in; j++) {
                struct bs_cell cell = bs_codes_cell(&codes, i, bs_codes_group(&codes, j));
                float x = weight[i * in + j];
                float value = bs_cell_decode(&cell, bs_codes_get(&codes, i, j));
                float least = bs_cell_decode(&cell, cell.scale > 0 ? 0 : cell.levels->count - 1);
                float most = bs_cell_decode(&cell, cell.scale > 0 ? cell.levels->count - 1 : 0);
                bool inside = x >= least && x <= most && !finds_otherwise(&cell);
                assert_true(!inside || m != 0 || value <= x);
                assert_true(!inside || m != 1 || value >= x);
                assert_true(!inside || m != 2 || (x >= 0 ? value <= x : value >= x));
            }
        bs_codes_release(&codes);
        bs_setting_release(&setting);
    }
}

static void every_mode_rounds_to_its_side(void **state)
{
    (void)state;
    for_every_setting(assert_modes);
}

static void assert_threads(const struct bs_setting *setting)
{
    struct bs_codes first = {.codes = NULL};
    for (int threads = 1; threads <= 7; threads += 3) {
        bs_set_threads(threads);
        struct bs_codes codes = rounded(setting);
        if (threads == 1) {
            first = codes;
            continue;
        }
        assert_true(same_codes(&first, &codes));
        bs_codes_release(&codes);
    }
    bs_codes_release(&first);
    bs_set_threads(0);
}

static void threads_do_not_change_a_byte(void **state)
{
    (void)state;
    for_every_setting(assert_threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_describes_itself),
        cmocka_unit_test(levels_ascend_and_are_their_own_codes),
        cmocka_unit_test(weights_decode_by_the_cells_of_their_groups),
        cmocka_unit_test(bits_are_those_of_a_file_that_comes_back),
        cmocka_unit_test(more_bits_have_less_error),
        cmocka_unit_test(settings_print_alike_exactly_when_they_are_equal),
        cmocka_unit_test(every_mode_rounds_to_its_side),
        cmocka_unit_test(threads_do_not_change_a_byte),
    };
    cmocka_set_test_filter(getenv("BITSWEEP_ONLY")); /* NULL: every one */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
