/* What evaluations and metrics say of their values, whichever there are: as the result file, tables
 * and charts need it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/store/results.h"
#include "eval/tasks/evaluation.h"
#include "eval/tasks/metric.h"

static void assert_shown(const struct bs_value_type *type)
{
    struct bs_value_row row;
    print_message("%s\n", type->name);
    assert_true(*type->name && strlen(type->name) < sizeof row.name);
    /* The name of a column, of an axis, and of a list's word. */
    assert_int_equal(strspn(type->name, "abcdefghijklmnopqrstuvwxyz0123456789_"),
                     strlen(type->name));
    assert_true(type->direction >= -1 && type->direction <= 1);
    assert_non_null(type->unit);
    assert_true(type->meaning && *type->meaning && !strchr(type->meaning, '\n'));
    const char *line = type->heading ? strchr(type->heading, '\n') : NULL;
    assert_true(!line || !strchr(line + 1, '\n')); /* two lines at most */
    assert_true(type->decimals >= 0 && type->scale >= 0);
}

static void values_can_be_stored_and_shown(void **state)
{
    (void)state;
    struct bs_value_row row;
    const struct bs_value_type *type;
    const char *evaluation;
    int count = 0;
    for (; (type = bs_value_type_at(count, &evaluation)); count++) {
        assert_shown(type);
        assert_true(strlen(evaluation) < sizeof row.evaluation);
        assert_ptr_equal(bs_value_type_find(evaluation, type->name), type);
    }
    assert_true(count > 20);
    for (int c = 0; c < bs_metrics_linear_values(); c++)
        assert_shown(bs_metrics_linear_value_at(c));
    assert_null(bs_metrics_linear_value_at(bs_metrics_linear_values()));
}

/* A column is a name: within a trial, whose values are its evaluation's and the metrics', none is
 * there twice. */
static void names_are_those_of_one_value(void **state)
{
    (void)state;
    const struct bs_value_type *a, *b;
    const char *of_a, *of_b;
    for (int i = 0; (a = bs_value_type_at(i, &of_a)); i++)
        for (int k = 0; (b = bs_value_type_at(k, &of_b)) && k < i; k++)
            if (!strcmp(of_a, of_b) || !strcmp(of_a, bs_model_values))
                assert_string_not_equal(a->name, b->name);
    for (int i = 0; i < bs_metrics_linear_values(); i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(bs_metrics_linear_value_at(i)->name,
                                    bs_metrics_linear_value_at(k)->name);
}

static void evaluations_ask_for_figures_there_are(void **state)
{
    (void)state;
    for (int e = 0; bs_evaluation_registry.rows[e]; e++) {
        const struct bs_evaluation *evaluation = (const void *)bs_evaluation_registry.rows[e];
        assert_true(evaluation->figures >> BS_NLL & 1); /* by which trials are compared */
        assert_int_equal(evaluation->figures >> BS_NUM_FIGURES, 0);
        assert_true(evaluation->request && evaluation->summarise);
        assert_string_not_equal(evaluation->plugin.name, bs_model_values);
    }
    for (int f = 0; f < BS_NUM_FIGURES; f++)
        assert_true(bs_figure_types[f].name && bs_figure_types[f].value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_can_be_stored_and_shown),
        cmocka_unit_test(names_are_those_of_one_value),
        cmocka_unit_test(evaluations_ask_for_figures_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
