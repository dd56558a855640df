/* A recipe's rules at the places of a model: which one holds where, and rules that no place has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/quant/format.h"
#include "eval/recipe/assign.h"
#include "tests/support/folder.h"
#include "tests/support/recipes.h"

enum { LAYERS = 4, TEXT = 512 };

static struct bs_architecture read_model(const char *model_type)
{
    struct bs_architecture a;
    struct bs_error err;
    char text[TEXT];
    snprintf(text, sizeof text,
             "{\"model_type\": \"%s\", \"hidden_size\": 32, \"intermediate_size\": 20, "
             "\"num_hidden_layers\": %d, \"num_attention_heads\": 4, \"vocab_size\": 50}",
             model_type, LAYERS);
    folder_write_text(&folder, "config.json", text);
    if (bs_architecture_read(folder.path, NULL, &a, NULL, &err))
        fail_msg("%s", err.message);
    return a;
}

/* The bits of each layer at a slot or a site, a digit each; 0 for 16, which is as it is. */
static void assert_bits(const struct bs_recipe *recipe, const struct bs_architecture *a,
                        const char *place, const char *wanted)
{
    struct bs_place places[BS_MAX_PLACES];
    int count = bs_program_places(&a->programs[0], places), at = 0;
    while (at < count && strcmp(places[at].name, place))
        at++;
    assert_true(at < count);
    char found[LAYERS + 1] = "";
    for (int layer = 0; layer < LAYERS; layer++) {
        struct bs_assignment assignment;
        bs_recipe_assign(recipe, a, layer, &assignment);
        const struct bs_setting *setting = places[at].out ? assignment.weights[places[at].index]
                                                          : assignment.sites[places[at].index];
        bool quantized = bs_setting_quantizes(setting);
        int bits = quantized ? bs_setting_layout(setting).code_bits : 0;
        found[layer] = (char)('0' + bits);
    }
    if (strcmp(found, wanted))
        fail_msg("%s has %s bits, not %s", place, found, wanted);
}

static void test_weights(void **state)
{
    (void)state;
    struct bs_architecture a = read_model("llama");
    struct bs_recipe recipe;
    struct bs_error err;
    const struct bs_rule *rule;
    recipe_build(&recipe, "rtn",
                 "bits=3 @*.down_proj bits=8 @layer[0,-1].* bits=16 @layer[3].mlp.* bits=6 "
                 "@self_attn.k_proj bits=5");
    assert_int_equal(bs_recipe_check_places(&recipe, &a, &rule, &err), BS_OK);
    assert_bits(&recipe, &a, "self_attn.q_proj", "0330");
    assert_bits(&recipe, &a, "self_attn.k_proj", "5555"); /* the last that matches holds */
    assert_bits(&recipe, &a, "mlp.up_proj", "0336");
    assert_bits(&recipe, &a, "mlp.down_proj", "0886");
    assert_bits(&recipe, &a, "attn_input", "0000");
    bs_recipe_release(&recipe);
    recipe_build(&recipe, "rtn", "@layer[1-2].* bits=4"); /* nothing but the exception */
    assert_bits(&recipe, &a, "mlp.down_proj", "0440");
    bs_recipe_release(&recipe);
}

static void test_sites(void **state)
{
    (void)state;
    struct bs_architecture a = read_model("llama");
    struct bs_recipe recipe;
    struct bs_error err;
    const struct bs_rule *rule;
    recipe_build(&recipe, "rtn", "bits=8 a.bits=8 @a.down_input bits=16 @a.layer[0].* bits=4");
    assert_int_equal(bs_recipe_check_places(&recipe, &a, &rule, &err), BS_OK);
    assert_bits(&recipe, &a, "attn_input", "4888");
    assert_bits(&recipe, &a, "down_input", "4000");
    assert_bits(&recipe, &a, "q", "0000"); /* an exception is one from what is quantized */
    assert_bits(&recipe, &a, "mlp.down_proj", "8888");
    bs_recipe_release(&recipe);
    recipe_build(&recipe, "rtn", "bits=8 a.bits=8 a.where=qkv,mlp_input @a.*.k bits=7");
    assert_int_equal(bs_recipe_check_places(&recipe, &a, &rule, &err), BS_OK);
    assert_bits(&recipe, &a, "attn_input", "0000");
    assert_bits(&recipe, &a, "mlp_input", "8888");
    assert_bits(&recipe, &a, "k", "7777");
    assert_bits(&recipe, &a, "v", "8888");
    bs_recipe_release(&recipe);
}

static void assert_refused(const char *model_type, const char *settings, int rule,
                           const char *message)
{
    struct bs_architecture a = read_model(model_type);
    struct bs_recipe recipe;
    struct bs_error err;
    const struct bs_rule *found;
    recipe_build(&recipe, "rtn", settings);
    assert_int_equal(bs_recipe_check_places(&recipe, &a, &found, &err), BS_ECONFIG);
    assert_ptr_equal(found, rule < 0 ? NULL : &recipe.rules[rule]);
    if (!strstr(err.message, message))
        fail_msg("'%s' is not in '%s'", message, err.message);
    bs_recipe_release(&recipe);
}

/* Only a pattern without a star names attention's probabilities. */
static void test_probabilities(void **state)
{
    (void)state;
    struct bs_architecture a = read_model("llama");
    struct bs_recipe recipe;
    struct bs_error err;
    const struct bs_rule *rule;
    recipe_build(&recipe, "rtn", "bits=8 a.bits=8 a.where=*");
    assert_int_equal(bs_recipe_check_places(&recipe, &a, &rule, &err), BS_OK);
    assert_bits(&recipe, &a, "value", "8888");
    assert_bits(&recipe, &a, "attn_probs", "0000");
    bs_recipe_release(&recipe);
    recipe_build(&recipe, "rtn",
                 "bits=8 a.bits=8 a.where=attn_probs @a.layer[1].attn_probs bits=4");
    assert_int_equal(bs_recipe_check_places(&recipe, &a, &rule, &err), BS_OK);
    assert_bits(&recipe, &a, "value", "0000");
    assert_bits(&recipe, &a, "attn_probs", "8488");
    bs_recipe_release(&recipe);
    recipe_build(&recipe, "rtn", "a.format=q8_0 a.where=probabilities"); /* rows are filled up */
    assert_int_equal(bs_recipe_check_places(&recipe, &a, &rule, &err), BS_OK);
    bs_recipe_release(&recipe);
    assert_refused("llama", "a.bits=8 a.where=*probs", -1, "where is '*probs', which is no place");
    assert_refused("llama", "a.bits=8 a.where=attn_probs a.sharing=window", -1,
                   "layer 0: attn_probs: sharing is window, and probabilities are rows of keys");
    assert_refused("llama", "a.bits=8 a.where=attn_probs a.sharing=channel", -1,
                   "expected sharing: token or head, which are a row, static or static_head");
    assert_refused("llama", "a.bits=8 a.where=attn_probs a.threshold=6", -1,
                   "attn_probs: threshold is about columns of channels");
    assert_refused("llama", "a.bits=8 a.where=attn_probs a.sharing=static_channel", -1,
                   "layer 0: attn_probs: sharing is static_channel");
}

/* Before anything is loaded. */
static void test_a_model_that_cannot_be_rewritten(void **state)
{
    (void)state;
    struct bs_architecture a = read_model("llama");
    struct bs_recipe recipe;
    struct bs_error err;
    const struct bs_rule *rule;
    recipe_build(&recipe, "quarot", "bits=4");
    assert_int_equal(bs_recipe_check_places(&recipe, &a, &rule, &err), BS_OK);
    a.num_heads = 9;
    assert_int_equal(bs_recipe_check_places(&recipe, &a, &rule, &err), BS_EUNSUPPORTED);
    assert_null(rule);
    assert_non_null(strstr(err.message, "quarot: num_attention_heads is 9, and there is no "));
    bs_recipe_release(&recipe);
    recipe_build(&recipe, "quarot", "bits=4 across_heads=false");
    assert_int_equal(bs_recipe_check_places(&recipe, &a, &rule, &err), BS_OK);
    bs_recipe_release(&recipe);
}

static void test_no_place(void **state)
{
    (void)state;
    assert_refused("llama", "bits=4 @*.down_proj bits=8 @*.dwn_proj bits=8", 1,
                   "where is '*.dwn_proj', which is no place of this model (llama) for weights; "
                   "there are self_attn.q_proj, ");
    assert_refused("llama", "bits=4 @*.dwn_proj bits=8", 0, "(did you mean '*.down_proj'?)");
    assert_refused("llama", "bits=4 @down_input bits=8", 0, "is no place of this model");
    assert_refused("llama", "bits=4 @layer[0,4].* bits=8", 0,
                   "where is 'layer[0,4].*', expected layers from 0 to 3, or -4 to -1");
    assert_refused("llama", "bits=4 @*.o_proj bits=8 @layer[-5].* bits=8", 1,
                   "expected layers from 0 to 3");
    assert_refused("llama", "bits=4 @*.q_proj @*.fc1 bits=8", 1, "no place of this model");
    assert_refused("llama", "bits=8 a.bits=8 a.where=inputs,atn_input", -1,
                   "where is 'atn_input', which is no place of this model (llama) for activations");
    assert_refused("llama", "bits=8 a.bits=8 @a.qkv bits=4", 0,
                   "where is 'qkv', a place at which activations stay as they are: expected one of "
                   "those that activations: {where: ...} names (inputs)");
}

static int outer_bits(const struct bs_recipe *recipe, const struct bs_architecture *a,
                      enum bs_outer which)
{
    struct bs_outer_assignment at;
    bs_recipe_assign_outer(recipe, a, &at);
    return bs_setting_quantizes(at.of[which]) ? bs_setting_layout(at.of[which]).code_bits : 0;
}

/* Embedding and head are quantized where a rule names them. */
static void test_outer(void **state)
{
    (void)state;
    static const struct {
        const char *settings;
        int embedding, head, tied; /* bits */
    } cases[] = {
        {"bits=4", 0, 0, 0},
        {"bits=4 @* bits=3 @*.* bits=5", 0, 0, 0}, /* stars speak of blocks */
        {"bits=4 @head bits=6", 0, 6, 6},
        {"bits=4 @embedding bits=6", 6, 0, 6},
        {"bits=4 @embedding bits=6 @*.q_proj bits=8 @head bits=6", 6, 6, 6},
        {"bits=16 @head bits=6 @*.q_proj bits=3 @head bits=5", 0, 5, 5},
    };
    struct bs_error err;
    const struct bs_rule *rule;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct bs_architecture a = read_model("llama");
        struct bs_recipe recipe;
        recipe_build(&recipe, "rtn", cases[k].settings);
        a.tied_head = false;
        assert_int_equal(bs_recipe_check_places(&recipe, &a, &rule, &err), BS_OK);
        assert_int_equal(outer_bits(&recipe, &a, BS_EMBEDDING), cases[k].embedding);
        assert_int_equal(outer_bits(&recipe, &a, BS_HEAD), cases[k].head);
        a.tied_head = true;
        assert_int_equal(bs_recipe_check_places(&recipe, &a, &rule, &err), BS_OK);
        assert_int_equal(outer_bits(&recipe, &a, BS_EMBEDDING), cases[k].tied);
        assert_int_equal(outer_bits(&recipe, &a, BS_HEAD), cases[k].tied);
        bs_recipe_release(&recipe);
    }
    struct bs_architecture tied = read_model("llama");
    struct bs_recipe recipe;
    tied.tied_head = true;
    recipe_build(&recipe, "rtn", "bits=4 @head bits=6 @embedding bits=5");
    assert_int_equal(bs_recipe_check_places(&recipe, &tied, &rule, &err), BS_ECONFIG);
    assert_non_null(strstr(err.message, "embedding and head are one tensor of this model"));
    bs_recipe_release(&recipe);
    assert_refused("llama", "bits=4 @embeding bits=8", 0, "(did you mean 'embedding'?)");
}

/* A scale for all of a tensor of the checkpoint cannot part its linears. */
static void test_fused(void **state)
{
    (void)state;
    struct bs_architecture fused = read_model("gpt_neox");
    struct bs_recipe recipe;
    struct bs_error err;
    const struct bs_rule *rule;
    int first = fused.programs[0].slots[0].first, last = fused.programs[0].slots[0].last;
    assert_true(first < last);
    char settings[TEXT];
    snprintf(settings, sizeof settings, "bits=8 group_size=tensor @%s bits=4",
             fused.programs[0].slots[last].name);
    assert_refused("gpt_neox", settings, 0,
                   "are one tensor of the checkpoint, which has one scale");
    assert_refused("gpt_neox", settings, 0, "layer 0: ");
    snprintf(settings, sizeof settings, "bits=8 group_size=128 @%s bits=4",
             fused.programs[0].slots[last].name);
    recipe_build(&recipe, "rtn", settings);
    assert_int_equal(bs_recipe_check_places(&recipe, &fused, &rule, &err), BS_OK);
    bs_recipe_release(&recipe);
    int used = snprintf(settings, sizeof settings, "bits=8 group_size=tensor @layer[1].* bits=4");
    for (int k = first; k <= last; k++) /* the same setting of a rule each */
        used += snprintf(settings + used, sizeof settings - (size_t)used, " @%s bits=3",
                         fused.programs[0].slots[k].name);
    recipe_build(&recipe, "rtn", settings);
    assert_int_equal(bs_recipe_check_places(&recipe, &fused, &rule, &err), BS_OK);
    bs_recipe_release(&recipe);
}

/* What inference fuses has one scale above those of its blocks: of an expert, and of the one that
 * all tokens go to. */
static void test_fused_in_inference(void **state)
{
    (void)state;
    static const char *const roles[] = {"gate",        "up",        "down",
                                        "shared_gate", "shared_up", "shared_down"};
    struct bs_architecture a;
    struct bs_error err;
    assert_int_equal(bs_architecture_read("tests/golden/families/qwen2_moe", NULL, &a, NULL, &err),
                     BS_OK);
    const struct bs_program *p = bs_program_of(&a, 0);
    for (int r = 0; r < 6; r++) {
        int slot = bs_program_slot(p, roles[r]), first, last;
        bool alone = r % 3 == 2;
        assert_true(slot >= 0);
        bs_program_fused(p, slot, &first, &last);
        assert_int_equal(last - first, alone ? 0 : 1);
        assert_string_equal(p->slots[first].role, roles[alone ? r : r - r % 3]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_sites),
        cmocka_unit_test(test_probabilities),
        cmocka_unit_test(test_a_model_that_cannot_be_rewritten),
        cmocka_unit_test(test_no_place),
        cmocka_unit_test(test_outer),
        cmocka_unit_test(test_fused),
        cmocka_unit_test(test_fused_in_inference),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
