/* Perplexities of each protocol against transformers' in float32 (tests/golden/protocols.py). */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include <jansson.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"
#include "eval/tasks/uncertainty.h"
#include "eval/run/sweep.h"
#include "tests/support/close.h"
#include "tests/support/folder.h"

static const double bar = 1e-5;
static json_t *golden;

static int setup(void **state)
{
    bs_blas_init();
    folder_setup(state);
    golden = json_load_file("tests/golden/protocols.json", 0, NULL);
    struct bs_error err;
    char *text;
    size_t size;
    if (!golden || bs_file_read("datasets/commons/evaluation.txt", &text, &size, &err))
        return 1;
    json_int_t bytes = json_integer_value(json_object_get(golden, "text_bytes"));
    folder_write(&folder, "text.txt", text, (size_t)bytes);
    bs_free(text);
    return 0;
}

static int teardown(void **state)
{
    json_decref(golden);
    return folder_teardown(state);
}

static int number(const json_t *row, const char *key)
{
    return (int)json_integer_value(json_object_get(row, key));
}

static double real(const json_t *row, const char *key)
{
    return json_number_value(json_object_get(row, key));
}

static enum bs_protocol protocol_of(const json_t *row)
{
    const char *name = json_string_value(json_object_get(row, "protocol"));
    int protocol = 0;
    while (strcmp(bs_protocol_names[protocol], name))
        protocol++;
    return (enum bs_protocol)protocol;
}

/* A config with an evaluation for each row whose text does not begin with BOS. */
static void write_config(void)
{
    FILE *out = fopen(folder_file(&folder, "c.yaml"), "w");
    char here[PATH_MAX];
    size_t i;
    json_t *row;
    assert_non_null(getcwd(here, sizeof here)); /* the config's own folder is another */
    fprintf(out,
            "model: %s/datasets/tiny\nevaluation:\n  layer_error: {windows: 0}\n  perplexity:\n",
            here);
    json_array_foreach(json_object_get(golden, "rows"), i, row)
    {
        enum bs_protocol protocol = protocol_of(row);
        if (json_is_true(json_object_get(row, "bos")))
            continue;
        fprintf(out, "    - {text: %s, protocol: %s, tokens: %d", folder_file(&folder, "text.txt"),
                bs_protocol_names[protocol], number(row, "tokens"));
        if (bs_protocols[protocol].slides)
            fprintf(out, ", stride: %d", number(row, "stride"));
        fputs("}\n", out);
    }
    fputs("sweep: [{algorithm: rtn, weights: {bits: 8, group_size: 32}}]\n", out);
    assert_int_equal(fclose(out), 0);
}

/* Every figure of a row of the result file, through the whole program. */
static void the_program_agrees(void **state)
{
    (void)state;
    struct bs_config config;
    struct bs_sweep sweep;
    struct bs_sweep_outcome outcome = {0, 0};
    struct bs_results results;
    struct bs_error err;
    char path[128];
    snprintf(path, sizeof path, "%s/r.h5", folder.path);
    write_config();
    if (bs_config_load(folder_file(&folder, "c.yaml"), NULL, &config, &err) ||
        bs_sweep_open(&config, 0, &sweep, &err) ||
        bs_sweep_run(&sweep, path, &(struct bs_limits){.memory = 1e9, .scratch = "/tmp"},
                     &(struct bs_telling){.quiet = true}, true, &outcome, &err) ||
        bs_results_read(path, &results, &err))
        fail_msg("%s", err.message);
    assert_int_equal(outcome.failed, 0);
    int compared = 0;
    size_t i;
    json_t *want;
    json_array_foreach(json_object_get(golden, "rows"), i, want)
    {
        if (json_is_true(json_object_get(want, "bos")))
            continue;
        const struct bs_row *got =
            &results.rows[compared++]; /* the unquantized model's come first */
        assert_string_equal(got->algorithm, "unquantized");
        assert_string_equal(got->protocol, json_string_value(json_object_get(want, "protocol")));
        assert_int_equal(got->scored, number(want, "scored"));
        assert_int_equal(got->stride, number(want, "stride"));
        print_message("%-9s %3d tokens: transformers %.6f, off by %+.1e\n", got->protocol,
                      got->tokens, real(want, "perplexity"),
                      bs_row_number(got, "perplexity") / real(want, "perplexity") - 1);
        assert_close(bs_row_number(got, "perplexity"), real(want, "perplexity"), 0, bar);
        /* The mean NLL is spread over words and bytes in the exponent: so is its error. */
        assert_close(bs_row_number(got, "word_perplexity"), real(want, "word_perplexity"), 0,
                     2 * bar);
        assert_close(bs_row_number(got, "byte_perplexity"), real(want, "byte_perplexity"), 0, bar);
        assert_close(bs_row_number(got, "bits_per_byte"), real(want, "bits_per_byte"), 0, bar);
    }
    assert_int_equal(compared, 6);
    bs_results_release(&results);
    bs_sweep_close(&sweep);
    bs_config_release(&config);
}

/* The ids of the text after BOS, in new memory; for llama.cpp less its last newline. */
static int32_t *ids_after_bos(const struct bs_protocol_rules *rules, size_t *count)
{
    struct bs_error err;
    struct bs_tokenizer *tokenizer;
    char *text;
    size_t size;
    int32_t *ids;
    if (bs_tokenizer_open("datasets/tiny", &tokenizer, &err) ||
        bs_file_read(folder_file(&folder, "text.txt"), &text, &size, &err))
        fail_msg("%s", err.message);
    size -= rules->drops_newline && text[size - 1] == '\n';
    if (bs_tokenizer_encode(tokenizer, text, size, false, &ids, count, &err))
        fail_msg("%s", err.message);
    bs_free(text);
    bs_tokenizer_free(tokenizer);
    ids = bs_realloc(ids, *count, *count + 1, sizeof *ids);
    assert_non_null(ids);
    memmove(ids + 1, ids, *count * sizeof *ids);
    ids[0] = 0;
    ++*count;
    return ids;
}

static void bos_agrees(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_recipe none;
    struct bs_model *model;
    struct bs_windows windows[6] = {{0}};
    const json_t *rows[6];
    struct bs_variant variant = {.recipe = &none};
    size_t i;
    int compared = 0;
    json_t *row;
    bs_recipe_init(&none);
    assert_int_equal(bs_model_open("datasets/tiny", NULL, &model, &err), BS_OK);
    json_array_foreach(json_object_get(golden, "rows"), i, row)
    {
        if (!json_is_true(json_object_get(row, "bos")))
            continue;
        struct bs_evaluation_choice choice = {.text = {.text = "text.txt"},
                                              .protocol = protocol_of(row),
                                              .tokens = number(row, "tokens"),
                                              .stride = number(row, "stride")};
        size_t count;
        int32_t *ids = ids_after_bos(&bs_protocols[choice.protocol], &count);
        if (bs_windows_cut(&choice, ids, count, 0, &windows[compared], &err))
            fail_msg("%s", err.message);
        bs_free(ids);
        variant.wanted[compared] = true;
        rows[compared++] = row;
    }
    assert_int_equal(compared, 6);
    struct bs_walk walk = {.model = model, .num_texts = compared, .texts = windows};
    if (bs_walk_run(&walk, &variant, 1, &err) || variant.status)
        fail_msg("%s", variant.status ? variant.message : err.message);
    for (int t = 0; t < compared; t++) {
        struct bs_layout layout = {windows[t].windows, windows[t].tokens - 1,
                                   windows[t].num_scored};
        assert_int_equal(layout.scored, number(rows[t], "scored"));
        assert_close(bs_perplexity_of(bs_figure_floats(&variant.figures[t], BS_NLL), &layout).mean,
                     real(rows[t], "perplexity"), 0, bar);
        bs_windows_release(&windows[t]);
    }
    bs_variant_release(&variant);
    bs_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_program_agrees),
        cmocka_unit_test(bos_agrees),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
