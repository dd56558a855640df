#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/recipe/where.h"

enum { LAYERS = 12 };

static const struct {
    const char *name, *kind;
} places[] = {{"self_attn.q_proj", NULL}, {"self_attn.o_proj", NULL}, {"mlp.down_proj", NULL},
              {"attn_input", "input"},    {"down_input", "input"},    {"q", "qkv"}};
enum { PLACES = sizeof places / sizeof *places };

static bool matched(const char *pattern, int layer, int place)
{
    const struct bs_where_place of = {layer, LAYERS, places[place].name, places[place].kind};
    return bs_where_matches(pattern, &of);
}

/* Layers as a string of marks, one a layer, for each place that is matched in any; "" for
 * others. */
static void assert_places(const char *pattern, const char *const wanted[PLACES])
{
    struct bs_error err;
    assert_int_equal(bs_where_check(pattern, &err), BS_OK);
    assert_int_equal(bs_where_check_layers(pattern, LAYERS, &err), BS_OK);
    for (int p = 0; p < PLACES; p++) {
        char found[LAYERS + 1] = "";
        bool any = false;
        for (int layer = 0; layer < LAYERS; layer++) {
            found[layer] = matched(pattern, layer, p) ? 'x' : '.';
            any |= found[layer] == 'x';
        }
        if (strcmp(any ? found : "", wanted[p] ? wanted[p] : ""))
            fail_msg("%s at %s: %s", pattern, places[p].name, found);
    }
}

#define ALL "xxxxxxxxxxxx"

static void test_places(void **state)
{
    (void)state;
    assert_places("*", (const char *const[PLACES]){ALL, ALL, ALL, ALL, ALL, ALL});
    assert_places("*.down_proj", (const char *const[PLACES]){[2] = ALL});
    assert_places("mlp.down_proj", (const char *const[PLACES]){[2] = ALL});
    assert_places("self_attn.*", (const char *const[PLACES]){ALL, ALL});
    assert_places("*.*_proj", (const char *const[PLACES]){ALL, ALL, ALL});
    assert_places("*_input", (const char *const[PLACES]){[3] = ALL, ALL});
    assert_places("down_input", (const char *const[PLACES]){[4] = ALL});
    assert_places("input", (const char *const[PLACES]){[3] = ALL, ALL});
    assert_places("inputs", (const char *const[PLACES]){[3] = ALL, ALL});
    assert_places("qkv", (const char *const[PLACES]){[5] = ALL});
    assert_places("down_proj", (const char *const[PLACES]){NULL}); /* its whole name is longer */
    assert_places("layer", (const char *const[PLACES]){NULL});
    assert_places("nothing.*", (const char *const[PLACES]){NULL});
}

static void test_layers(void **state)
{
    (void)state;
    assert_places("layer[0,-1].*.q_proj", (const char *const[PLACES]){"x..........x"});
    assert_places("layer[2-5].self_attn.*",
                  (const char *const[PLACES]){"..xxxx......", "..xxxx......"});
    assert_places("layer[-3--2,0].down_input", (const char *const[PLACES]){[4] = "x........xx."});
    assert_places("layer[10--1].mlp.*", (const char *const[PLACES]){[2] = "..........xx"});
    assert_places("layer[1].inputs",
                  (const char *const[PLACES]){[3] = ".x..........", ".x.........."});
    assert_places("layer.1.*.o_proj", (const char *const[PLACES]){[1] = ".x.........."});
    assert_places("layer.11.qkv", (const char *const[PLACES]){[5] = "...........x"});
    assert_places("layer.*.mlp.down_proj", (const char *const[PLACES]){[2] = ALL});
    assert_places("layer[3].*",
                  (const char *const[PLACES]){"...x........", "...x........", "...x........",
                                              "...x........", "...x........", "...x........"});
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *why;
    } wrong[] = {
        {"", "where is empty, expected a place, or * for all"},
        {"layer[].*", "where is 'layer[].*', expected layers as in layer[0,2-5,-1].*"},
        {"layer[0", "expected layers as in"},
        {"layer[0].", "expected layers as in"},
        {"layer[0]*", "expected layers as in"},
        {"layer[0,].*", "expected layers as in"},
        {"layer[a].*", "expected layers as in"},
        {"layer[1-].*", "expected layers as in"},
        {"layer[1 2].*", "expected layers as in"},
        {"down proj", "expected a place such as *.down_proj, down_input or layer[0,-1].*"},
        {"*.down_proj[0]", "expected a place such as"},
    };
    struct bs_error err;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(bs_where_check(wrong[i].pattern, &err), BS_ECONFIG);
        assert_non_null(strstr(err.message, wrong[i].why));
    }
    static const char *const beyond[] = {"layer[12].*", "layer[-13].*", "layer[0,12].*",
                                         "layer[5-2].*", "layer[99999999999999999999].*"};
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        assert_int_equal(bs_where_check(beyond[i], &err), BS_OK);
        assert_int_equal(bs_where_check_layers(beyond[i], LAYERS, &err), BS_ECONFIG);
        assert_non_null(strstr(err.message, "expected layers from 0 to 11, or -12 to -1"));
    }
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const names[] = {"self_attn.q_proj", "mlp.down_proj", "down_input", NULL};
    static const struct {
        const char *pattern, *meant;
    } cases[] = {
        {"*.down_prj", "*.down_proj"},
        {"mlp.downproj", "mlp.down_proj"},
        {"layer[0,-1].dwn_input", "layer[0,-1].down_input"},
        {"layer.3.self_attn.q_porj", "layer.3.self_attn.q_proj"},
        {"layer[0].q_porj", "layer[0].self_attn.q_proj"},
        {"q_proj", "self_attn.q_proj"},
        {"elephants", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *meant = bs_where_nearest(cases[i].pattern, names);
        if (cases[i].meant ? !meant || strcmp(meant, cases[i].meant) : meant != NULL)
            fail_msg("%s: %s", cases[i].pattern, meant ? meant : "nothing");
        bs_free(meant);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
