/* The rotary positions that config.json asks for: where they may be said, and what is refused. The
 * numbers computed from them are those of tests/golden/families. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/model/model.h"
#include "tests/support/folder.h"

#define SIZES                                                                                      \
    "\"hidden_size\": 48, \"intermediate_size\": 64, \"num_hidden_layers\": 2, "                   \
    "\"num_attention_heads\": 4, \"vocab_size\": 50, \"max_position_embeddings\": 128, "
#define LLAMA "\"model_type\": \"llama\", " SIZES
#define NEOX "\"model_type\": \"gpt_neox\", " SIZES
#define PHI "\"model_type\": \"phi\", " SIZES
#define GEMMA                                                                                      \
    "\"model_type\": \"gemma3_text\", \"head_dim\": 12, \"sliding_window\": 16, "                  \
    "\"num_key_value_heads\": 2, " SIZES

static enum bs_status read_text(const char *members, struct bs_architecture *a,
                                struct bs_error *err)
{
    char text[2048];
    snprintf(text, sizeof text, "{%s}", members);
    folder_write_text(&folder, "config.json", text);
    return bs_architecture_read(folder.path, NULL, a, NULL, err);
}

static void must_read(const char *members, struct bs_architecture *a)
{
    struct bs_error err;
    if (read_text(members, a, &err))
        fail_msg("%s: %s", members, err.message);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *members, *said;
    } cases[] = {
        /* one of two readings would be wrong */
        {LLAMA "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}, "
               "\"rope_parameters\": {\"rope_type\": \"default\"}",
         "rope_scaling and rope_parameters differ"},
        {LLAMA "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}, "
               "\"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 4.0}",
         "rope_scaling and rope_parameters differ"},
        {LLAMA
         "\"original_max_position_embeddings\": 64, \"rope_scaling\": {\"rope_type\": \"yarn\", "
         "\"factor\": 2.0, \"original_max_position_embeddings\": 32}",
         "original_max_position_embeddings is 64, but rope_scaling has 32"},
        {PHI
         "\"partial_rotary_factor\": 0.5, \"rope_parameters\": {\"partial_rotary_factor\": 1.0}",
         "partial_rotary_factor is 1, expected 0.5"},
        {NEOX "\"rotary_pct\": 0.5, \"partial_rotary_factor\": 0.25",
         "partial_rotary_factor is 0.25"},
        {NEOX "\"rope_theta\": 500", "rope_theta is 500"},
        /* what transformers' code fails on, or passes over */
        {PHI "\"partial_rotary_factor\": 0.45", "is 5, expected an even number"},
        {NEOX "\"rotary_pct\": 0.45, \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 2.0}",
         "yarn of 5 dimensions"},
        {NEOX "\"rotary_pct\": 1.5", "rotary_pct is 1.5, expected a number from 0 to 1"},
        {LLAMA "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"}}",
         "expected one object for all layers"},
        {GEMMA "\"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 2.0}",
         "expected objects full_attention and sliding_attention"},
        {GEMMA "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}", "rope_type is missing"},
        {GEMMA "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"}, "
               "\"chunked_attention\": {\"rope_type\": \"default\"}}",
         "rope_parameters.chunked_attention"},
        {GEMMA
         "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"yarn\", \"factor\": 2.0, "
         "\"truncate\": false}}",
         "truncate is false"},
        /* settings that are not there, or none of this kind */
        {LLAMA
         "\"rope_scaling\": {\"rope_type\": \"longrope\", \"short_factor\": [1, 1, 1, 1, 1, 1], "
         "\"long_factor\": [1, 2]}",
         "long_factor is [1, 2], expected a list of 6 positive numbers"},
        {LLAMA
         "\"rope_scaling\": {\"rope_type\": \"longrope\", \"short_factor\": [1, 1, 1, 1, 1, 0], "
         "\"long_factor\": [1, 1, 1, 1, 1, 1]}",
         "short_factor is 0"},
        {LLAMA "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2.0, \"beta_fast\": 32}",
         "rope_scaling.beta_fast is 32"},
        {LLAMA "\"rope_scaling\": {\"rope_type\": \"default\", \"mrope_section\": [1, 2]}",
         "rope_scaling.mrope_section"},
        {LLAMA "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 2.0, \"truncate\": 1}",
         "truncate is 1"},
        {NEOX
         "\"rotary_pct\": 0.17, \"rope_scaling\": {\"rope_type\": \"dynamic\", \"factor\": 2.0}",
         "dynamic of 2 dimensions"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_architecture a;
        struct bs_error err = {.message = ""};
        enum bs_status status = read_text(cases[i].members, &a, &err);
        if (!status || !strstr(err.message, cases[i].said))
            fail_msg("%s: expected %s, got %s", cases[i].members, cases[i].said, err.message);
    }
}

/* The same said in other words, or twice, is the same. */
static void test_same(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {LLAMA "\"rope_theta\": 500.0, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}",
         LLAMA
         "\"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 2, \"rope_theta\": 500}"},
        {LLAMA "\"rope_theta\": 500.0, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}",
         LLAMA
         "\"rope_theta\": 500, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}, "
         "\"rope_parameters\": {\"rope_type\": \"linear\", \"type\": \"linear\", \"factor\": 2}"},
        {LLAMA "\"rope_theta\": null, \"rope_scaling\": null, \"rope_parameters\": {}",
         LLAMA "\"x\": 1"},
        {LLAMA
         "\"original_max_position_embeddings\": 32, \"rope_scaling\": {\"rope_type\": \"yarn\", "
         "\"factor\": null}",
         LLAMA
         "\"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 4.0, \"beta_fast\": 0, "
         "\"beta_slow\": null, \"attention_factor\": null, \"mscale\": 0, \"finetuned\": true, "
         "\"original_max_position_embeddings\": 32}"},
        {PHI "\"partial_rotary_factor\": 0.34",
         PHI "\"rope_parameters\": {\"partial_rotary_factor\": 0.34}"},
        {GEMMA
         "\"rope_theta\": 5e5, \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8.0}",
         GEMMA
         "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"linear\", \"factor\": 8.0, "
         "\"rope_theta\": 500000}, \"sliding_attention\": null}"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct bs_architecture a, b;
        must_read(pairs[i][0], &a);
        must_read(pairs[i][1], &b);
        assert_memory_equal(&a.rope, &b.rope, sizeof a.rope);
        assert_memory_equal(&a.local_rope, &b.local_rope, sizeof a.local_rope);
        assert_int_equal(a.rotary_dim, b.rotary_dim);
    }
}

static void test_values(void **state)
{
    (void)state;
    struct bs_architecture a;
    must_read(GEMMA "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"linear\", "
                    "\"factor\": 8.0}, \"sliding_attention\": {\"rope_theta\": 99.0}}",
              &a);
    assert_int_equal(a.rope.kind, BS_ROPE_LINEAR);
    assert_true(a.rope.theta == 1e6 && a.rope.factor == 8);
    assert_int_equal(a.local_rope.kind, BS_ROPE_DEFAULT);
    assert_true(a.local_rope.theta == 99);
    /* Phi-3's attention factor: sqrt(1 + ln(128 / 32) / ln 32) */
    must_read(LLAMA
              "\"original_max_position_embeddings\": 32, \"rope_scaling\": {\"type\": \"su\", "
              "\"short_factor\": [1, 1, 1, 1, 1, 1], \"long_factor\": [1, 2, 3, 4, 5, 6]}",
              &a);
    assert_int_equal(a.rope.kind, BS_ROPE_LONGROPE);
    assert_true(a.rope.attention_factor > 1.18321595 && a.rope.attention_factor < 1.18321597);
    /* odd shares are rounded up to pairs; none at all is none */
    must_read(NEOX "\"rotary_pct\": 0.45", &a);
    assert_int_equal(a.rotary_dim, 5);
    must_read(NEOX "\"rotary_pct\": 0.0", &a);
    assert_int_equal(a.rotary_dim, 0);
    /* positions beyond those of config.json are what these kinds are for */
    must_read(LLAMA "\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2.0}", &a);
    assert_true(a.max_positions > 1000000);
    assert_true(a.rope.original_positions == 128);
    must_read(LLAMA "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0}", &a);
    assert_int_equal(a.max_positions, 512);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
