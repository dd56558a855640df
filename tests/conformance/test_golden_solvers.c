/* GPTAQ, LDLQ, HQQ and QuIP against their authors' code on one matrix (tests/golden/solvers.json
 * and quip.json): the sum of every row of the rounded weights. Sums of products in another order
 * decide near ties otherwise, and a row from there on; LEAST_ROWS must agree. In QuIP's greedy
 * passes a code may leave its levels until the end of the pass, in ours it may not: there
 * LEAST_GREEDY. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/linalg/blas.h"
#include "tests/support/one_linear.h"

enum { LEAST_ROWS = OUT - 2, LEAST_GREEDY = OUT * 9 / 10 };

/* Of a row's sum, where codes agree. */
static const double CLOSE = 2e-4;

/* The draws of solvers.py. */
static int draw(uint32_t *state, int below)
{
    *state = (*state * 1103515245u + 12345u) % 2147483648u;
    return (int)(*state >> 16) % below;
}

static void fill_matrix(float *weight)
{
    uint32_t state = 1;
    for (int i = 0; i < OUT * IN; i++) {
        int sum = 0;
        for (int k = 0; k < 4; k++)
            sum += draw(&state, 1024) - 512;
        weight[i] = (float)sum / 512;
    }
}

/* H and D of two windows: whole numbers. */
static void fill_statistics(float *hessian, float *deviation)
{
    static float x[TOKENS][IN], other[TOKENS][IN];
    uint32_t state = 2;
    for (int t = 0; t < TOKENS; t++) {
        int common = draw(&state, 7) - 3;
        for (int j = 0; j < IN; j++) {
            int size = j % 7 == 2 ? 3 : 1, own = size * (draw(&state, 7) - 3 + common);
            x[t][j] = (float)own;
            other[t][j] = (float)(own + size * (draw(&state, 5) - 2 + (own > 2)));
        }
    }
    for (int i = 0; i < IN; i++)
        for (int j = 0; j < IN; j++) {
            hessian[i * IN + j] = deviation[i * IN + j] = 0;
            for (int t = 0; t < TOKENS; t++) {
                hessian[i * IN + j] += x[t][i] * x[t][j];
                deviation[i * IN + j] += (other[t][i] - x[t][i]) * x[t][j];
            }
        }
}

/* The levels that a row asks for. QuIP's function b has one scale, of the mean square. */
static const char *levels_of(const json_t *settings)
{
    const char *function = json_string_value(json_object_get(settings, "qfn"));
    if (function && !strcmp(function, "b"))
        return "group_size=tensor range=rms";
    return function ? "grid=gptq symmetric=false" : "symmetric=false";
}

/* "bits=4 act_order=true" of the row's settings. */
static void print_settings(const json_t *row, char *text, size_t size)
{
    json_t *settings = json_object_get(row, "settings"), *value;
    size_t used = (size_t)snprintf(text, size, "%s", levels_of(settings));
    const char *key;
    json_object_foreach(settings, key, value)
    {
        char word[40] = "";
        if (json_is_number(value))
            snprintf(word, sizeof word, "%.9g", json_number_value(value));
        if (json_is_boolean(value))
            snprintf(word, sizeof word, "%s", json_is_true(value) ? "true" : "false");
        if (json_is_string(value) && strcmp(key, "qfn"))
            snprintf(word, sizeof word, "%s", json_string_value(value));
        if (*word)
            used += (size_t)snprintf(text + used, size - used, " %s=%s",
                                     strcmp(key, "group") ? key : "group_size", word);
    }
}

static int rows_that_agree(const struct problem *p, const json_t *sums)
{
    int agree = 0;
    for (size_t r = 0; r < OUT; r++) {
        double sum = 0;
        for (size_t j = 0; j < IN; j++)
            sum += (double)p->decoded[r * IN + j];
        agree += fabs(sum - json_number_value(json_array_get(sums, r))) < CLOSE;
    }
    return agree;
}

/* Of a file with at least so many rows. */
static void assert_rows(const char *path, size_t least)
{
    static struct problem p;
    json_t *golden = json_load_file(path, 0, NULL), *row;
    size_t index;
    int outside = 0;
    assert_non_null(golden);
    json_array_foreach(json_object_get(golden, "rows"), index, row)
    {
        char settings[200];
        const char *algorithm = json_string_value(json_object_get(row, "algorithm"));
        print_settings(row, settings, sizeof settings);
        problem_init(&p, 0);
        fill_matrix(p.original);
        fill_statistics(p.hessian, p.deviation);
        solve_by(&p, algorithm, settings);
        int agree = rows_that_agree(&p, json_object_get(row, "row_sums"));
        printf("%s %s: %d of %d rows\n", algorithm, settings, agree, OUT);
        const json_t *passes = json_object_get(json_object_get(row, "settings"), "greedy_passes");
        outside += agree < (json_integer_value(passes) ? LEAST_GREEDY : LEAST_ROWS);
        problem_release(&p);
    }
    assert_true(index >= least);
    assert_int_equal(outside, 0);
    json_decref(golden);
}

static void rows_are_those_of_the_authors_code(void **state)
{
    (void)state;
    assert_rows("tests/golden/solvers.json", 15);
}

static void rows_of_quip_are_those_of_its_authors_code(void **state)
{
    (void)state;
    assert_rows("tests/golden/quip.json", 11);
}

static int setup(void **state)
{
    (void)state;
    bs_blas_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_of_the_authors_code),
        cmocka_unit_test(rows_of_quip_are_those_of_its_authors_code),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
