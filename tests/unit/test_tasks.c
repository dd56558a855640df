/* Tasks on the embedded model: log-likelihoods of answers against those of lm-evaluation-harness
 * (tests/golden/tasks.py), and rows that share what they begin with against rows that do not. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"
#include "eval/run/walk.h"
#include "eval/tasks/answer_scores.h"
#include "eval/tasks/evaluation.h"
#include "tests/support/close.h"
#include "tests/support/folder.h"
#include "tests/support/recipes.h"

enum { ITEMS = 20, POSITIONS = 256, MOST_VALUES = 32 };

static struct bs_model *model;
static struct bs_tokenizer *tokenizer;
static json_t *golden;

/* The cloze items of tests/golden/tasks.py: each ending's context with a right and a wrong ending
 * in the blank. */
static void write_cloze(void)
{
    FILE *out = fopen(folder_file(&folder, "cloze.jsonl"), "w");
    FILE *in = fopen("datasets/commons/endings.jsonl", "r");
    char line[4096];
    assert_true(in && out);
    for (int i = 0; fgets(line, sizeof line, in); i++) {
        json_t *row = json_loads(line, 0, NULL), *endings = json_object_get(row, "endings");
        size_t right = (size_t)json_integer_value(json_object_get(row, "label"));
        size_t other = (right + 1) % json_array_size(endings), first = i % 3 ? right : other;
        char sentence[4096];
        snprintf(sentence, sizeof sentence, "%s _ That was the end of it, and nobody asked again.",
                 json_string_value(json_object_get(row, "context")));
        json_t *cloze = json_pack(
            "{ssssssss}", "sentence", sentence, "option1",
            json_string_value(json_array_get(endings, first)) + 1, "option2",
            json_string_value(json_array_get(endings, first == right ? other : right)) + 1,
            "answer", i % 3 ? "1" : "2");
        assert_int_equal(json_dumpf(cloze, out, 0), 0);
        fputc('\n', out);
        json_decref(cloze);
        json_decref(row);
    }
    fclose(in);
    fclose(out);
}

static int setup(void **state)
{
    struct bs_error err;
    bs_blas_init();
    folder_setup(state);
    write_cloze();
    golden = json_load_file("tests/golden/tasks.json", 0, NULL);
    assert_non_null(golden);
    assert_int_equal(bs_model_open("datasets/tiny", NULL, &model, &err), BS_OK);
    return bs_tokenizer_open("datasets/tiny", &tokenizer, &err);
}

static int teardown(void **state)
{
    bs_model_free(model);
    bs_tokenizer_free(tokenizer);
    json_decref(golden);
    return folder_teardown(state);
}

/* The embedded model's answers to a task, and its values. */
struct asked {
    struct bs_windows requests;
    struct bs_answers answers;
    struct bs_measured values[MOST_VALUES];
    int num_values;
};

static void set_option(struct bs_choice *how, const char *name, const char *value)
{
    struct bs_error err;
    assert_int_equal(
        bs_option_parse(bs_option_find(how->plugin->options, name), value, how->options, &err),
        BS_OK);
}

/* Through the whole model by a recipe, items and shots as the source says. */
static void ask_by(const struct bs_recipe *recipe, const struct bs_evaluation_source *source,
                   const char *shots, bool mutual, struct asked *asked)
{
    struct bs_error err;
    struct bs_choice how;
    struct bs_variant variant = {.recipe = recipe, .wanted = {true}};
    const struct bs_plugin *plugin = bs_registry_find(&bs_evaluation_registry, "tasks");
    assert_int_equal(bs_choice_init(&how, plugin, &err), BS_OK);
    const struct bs_evaluation *evaluation = bs_evaluation_of(&how);
    set_option(&how, "shots", shots);
    set_option(&how, "mutual_information", mutual ? "true" : "false");
    int vocab = bs_model_architecture(model)->vocab_size;
    if (evaluation->request(how.options, source, tokenizer, vocab, &asked->requests, &err))
        fail_msg("%s", err.message);
    const struct bs_walk walk = {
        .model = model, .num_texts = 1, .texts = &asked->requests, .figures = &evaluation->figures};
    assert_int_equal(bs_walk_run(&walk, &variant, 1, &err), BS_OK);
    const struct bs_scores scores = {.requests = &asked->requests, .figures = variant.figures};
    assert_int_equal(evaluation->answer(&scores, &asked->answers, &err), BS_OK);
    assert_int_equal(
        evaluation->summarise(how.options, &scores, asked->values, &asked->num_values, &err),
        BS_OK);
    bs_variant_release(&variant);
    bs_choice_release(&how);
}

static void ask(const struct bs_evaluation_source *source, const char *shots, bool mutual,
                struct asked *asked)
{
    const struct bs_recipe unquantized = {.num_steps = 0};
    ask_by(&unquantized, source, shots, mutual, asked);
}

static void asked_release(struct asked *asked)
{
    bs_windows_release(&asked->requests);
    bs_answers_release(&asked->answers);
}

static struct bs_evaluation_source source_of(const char *task, const char *items)
{
    return (struct bs_evaluation_source){.task = bs_known_task(task),
                                         .items = items,
                                         .windows = ITEMS,
                                         .tokens = POSITIONS,
                                         .pick = BS_PICK_FIRST};
}

/* ---- golden figures ---- */

static void check_answer(const struct bs_answer *row, const json_t *item, int choices)
{
    const json_t *pair = json_array_get(item, (size_t)row->choice);
    assert_true(bs_close(row->log_likelihood, json_real_value(json_array_get(pair, 0)), 1e-4, 0));
    assert_int_equal(row->greedy, json_integer_value(json_array_get(pair, 1)));
    const json_t *alone = json_array_get(item, (size_t)(choices + row->choice));
    if (choices > 1 && alone)
        assert_true(
            bs_close(row->unconditional, json_real_value(json_array_get(alone, 0)), 1e-4, 0));
    else
        assert_true(isnan(row->unconditional));
}

/* lm-eval's perplexity of last words goes by another name here. */
static void check_metric(const struct asked *asked, const char *name, double want)
{
    const char *own = strcmp(name, "perplexity") ? name : "target_perplexity";
    bool of_se = strstr(name, "_stderr") != NULL;
    size_t length = of_se ? strlen(name) - strlen("_stderr") : strlen(own);
    for (int v = 0; v < asked->num_values; v++) {
        const struct bs_measured *value = &asked->values[v];
        if (strncmp(value->type->name, own, length) || value->type->name[length])
            continue;
        double got = of_se ? value->se : value->value;
        assert_true(bs_close(got, want, 1e-12, 1e-5));
        return;
    }
    assert_true(!strcmp(name, "perplexity_stderr") || !"a metric without a value");
}

static void check_golden(const char *name, const char *task, const char *items, const char *shots)
{
    struct asked asked = {0};
    const struct bs_evaluation_source source = source_of(task, items);
    const json_t *want = json_object_get(json_object_get(golden, "tasks"), name);
    const json_t *rows = json_object_get(want, "answers");
    ask(&source, shots, !strcmp(task, "endings"), &asked);
    assert_int_equal(asked.answers.num_items, ITEMS);
    for (int i = 0; i < asked.answers.count; i++) {
        const struct bs_answer *row = &asked.answers.rows[i];
        check_answer(row, json_array_get(rows, (size_t)row->item),
                     bs_answers_of_item(&asked.answers, i - row->choice));
    }
    const char *metric;
    json_t *value;
    json_object_foreach(json_object_get(want, "metrics"), metric,
                        value) if (!strstr(metric, "stderr") || strcmp(task, "lastword"))
        check_metric(&asked, metric, json_real_value(value));
    asked_release(&asked);
}

static void test_choice(void **state)
{
    (void)state;
    check_golden("endings_0", "endings", "datasets/commons/endings.jsonl", "0");
    check_golden("endings_5", "endings", "datasets/commons/endings.jsonl", "5");
}

static void test_last_word(void **state)
{
    (void)state;
    check_golden("lastword_0", "lastword", "datasets/commons/lastword.jsonl", "0");
    check_golden("lastword_5", "lastword", "datasets/commons/lastword.jsonl", "5");
}

static void test_cloze(void **state)
{
    (void)state;
    check_golden("cloze_0", "winogrande", folder_file(&folder, "cloze.jsonl"), "0");
    check_golden("cloze_5", "winogrande", folder_file(&folder, "cloze.jsonl"), "5");
}

/* An item may have no context: its answers then stand after the tokenizer's first token, as those
 * that are asked without their context do. Figures of lm-evaluation-harness. */
static void test_no_context(void **state)
{
    (void)state;
    struct asked asked = {0};
    struct bs_evaluation_source source = source_of("endings", NULL);
    const json_t *rows = json_object_get(json_object_get(golden, "no_context"), "answers");
    char *items = json_dumps(json_object_get(json_object_get(golden, "no_context"), "items"), 0);
    folder_write_text(&folder, "none.json", items);
    free(items);
    source.items = folder_file(&folder, "none.json");
    ask(&source, "0", true, &asked);
    assert_int_equal(asked.answers.count, 5);
    for (int i = 0; i < asked.answers.count; i++) {
        const struct bs_answer *row = &asked.answers.rows[i];
        int choices = bs_answers_of_item(&asked.answers, i - row->choice);
        check_answer(row, json_array_get(rows, (size_t)row->item), choices);
        if (row->item == 1)
            assert_memory_equal(&row->log_likelihood, &row->unconditional, sizeof(double));
    }
    asked_release(&asked);
}

/* ---- rows that share ---- */

/* The same bits, whether answers share what stands before them or each goes alone, in a window of
 * its own; and so many times fewer tokens go through the model. */
static void check_sharing(struct bs_evaluation_source source, int items, bool mutual, size_t fewer)
{
    struct asked shared = {0}, apart = {0};
    source.windows = items;
    ask(&source, "3", mutual, &shared);
    source.apart = BS_APART_REQUESTS;
    ask(&source, "3", mutual, &apart);
    assert_int_equal(shared.answers.count, apart.answers.count);
    assert_string_equal(shared.requests.asked.hex, apart.requests.asked.hex);
    assert_string_not_equal(shared.requests.digest.hex, apart.requests.digest.hex);
    for (int i = 0; i < shared.answers.count; i++) {
        const struct bs_answer *a = &shared.answers.rows[i], *b = &apart.answers.rows[i];
        assert_memory_equal(&a->log_likelihood, &b->log_likelihood, sizeof(double));
        assert_memory_equal(&a->unconditional, &b->unconditional, sizeof(double));
        assert_memory_equal(&a->suffix, &b->suffix, sizeof(double));
        assert_int_equal(a->greedy, b->greedy);
    }
    if (fewer * bs_windows_total(&shared.requests) > bs_windows_total(&apart.requests))
        fail_msg("%zu tokens, apart %zu", bs_windows_total(&shared.requests),
                 bs_windows_total(&apart.requests));
    asked_release(&shared);
    asked_release(&apart);
}

static void test_sharing(void **state)
{
    (void)state;
    check_sharing(source_of("endings", "datasets/commons/endings.jsonl"), 8, true, 2);
    /* With the same shots in front of all items these share them, one with one answer too. */
    const char *const tasks[] = {"endings", "lastword"};
    for (int t = 0; t < 2; t++) {
        char items[64];
        snprintf(items, sizeof items, "datasets/commons/%s.jsonl", tasks[t]);
        struct bs_evaluation_source source = source_of(tasks[t], items);
        struct bs_task task = *source.task;
        task.first_shots = true;
        source.task = &task;
        check_sharing(source, t ? 16 : 8, false, t ? 2 : 3);
    }
}

/* Where a scale is shared over a window, what an item scores does not depend on the items after it,
 * though all have the same shots. */
static void test_sharing_a_scale(void **state)
{
    (void)state;
    struct bs_evaluation_source source = source_of("endings", "datasets/commons/endings.jsonl");
    struct bs_task task = *source.task;
    struct bs_recipe recipe;
    struct asked few = {0}, more = {0};
    task.first_shots = true;
    source.task = &task;
    source.apart = BS_APART_ITEMS;
    recipe_build(&recipe, "rtn", "bits=16 a.bits=8 a.sharing=window");
    source.windows = 3;
    ask_by(&recipe, &source, "3", false, &few);
    source.windows = 6;
    ask_by(&recipe, &source, "3", false, &more);
    assert_string_not_equal(few.requests.asked.hex, more.requests.asked.hex);
    assert_int_equal(few.requests.windows, 3);
    assert_int_equal(more.requests.windows, 6);
    for (int i = 0; i < few.answers.count; i++)
        assert_memory_equal(&few.answers.rows[i].log_likelihood,
                            &more.answers.rows[i].log_likelihood, sizeof(double));
    asked_release(&few);
    asked_release(&more);
    bs_recipe_release(&recipe);
}

/* llama.cpp's mean: over all tokens after what the answers of an item begin with, also where that
 * is more than the context. */
static void test_suffix(void **state)
{
    (void)state;
    struct asked asked = {0};
    struct bs_evaluation_source source = source_of("endings", NULL);
    folder_write_text(&folder, "same.jsonl",
                      "{\"context\": \"The dog ran\", \"endings\": [\"into the house\", \"into the "
                      "garden and slept\"], \"label\": 1}\n");
    source.items = folder_file(&folder, "same.jsonl");
    ask(&source, "0", false, &asked);
    for (int i = 0; i < 2; i++) {
        const struct bs_answer *row = &asked.answers.rows[i];
        const struct bs_answer_place *place = &asked.requests.places[i];
        assert_int_equal(place->suffix, 2); /* " into the" is of both */
        assert_true(row->suffix != row->log_likelihood / row->tokens);
        assert_true(row->suffix * (row->tokens - 2) > row->log_likelihood);
    }
    asked_release(&asked);
}

/* Where the context is cut, longer answers have more of it cut: what they begin with is the same
 * all the same, and only what tells them apart is scored. */
static void test_suffix_cut(void **state)
{
    (void)state;
    struct asked asked = {0};
    struct bs_evaluation_source source = source_of("endings", NULL);
    folder_write_text(
        &folder, "cut.jsonl",
        "{\"context\": \"When the rain had stopped the dog ran\", \"endings\": [\"into "
        "the house\", \"into the garden and slept\", \"into bed\"], \"label\": 1}\n");
    source.items = folder_file(&folder, "cut.jsonl");
    source.tokens = 8;
    ask(&source, "0", false, &asked);
    assert_int_equal(asked.requests.notices.count, 1);
    assert_non_null(strstr(asked.requests.notices.lines[0], "(line 1)"));
    for (int i = 0; i < 3; i++) {
        const struct bs_answer *row = &asked.answers.rows[i];
        const struct bs_answer_place *place = &asked.requests.places[i];
        assert_int_equal(place->skip, 0);
        assert_int_equal(place->suffix, 1); /* " into" is of all */
        assert_true(row->suffix * (row->tokens - 1) > row->log_likelihood);
    }
    asked_release(&asked);
}

/* Other items, another pool of shots or another record are another text: what is right by one is
 * wrong by another. A pool that nothing is taken from is the same. */
static void test_text_digest(void **state)
{
    (void)state;
    struct bs_task record = *bs_known_task("endings");
    folder_write_text(&folder, "pool.jsonl",
                      "{\"context\": \"It ran\", \"endings\": [\"in\", \"out\"], \"label\": 1}\n"
                      "{\"context\": \"It sat\", \"endings\": [\"in\", \"out\"], \"label\": 0}\n");
    struct bs_evaluation_source sources[5];
    struct asked asked[5] = {{.num_values = 0}};
    for (int i = 0; i < 5; i++) {
        sources[i] = source_of("endings", "datasets/commons/endings.jsonl");
        sources[i].windows = 1;
    }
    record.gold = "0";
    sources[1].task = &record;
    sources[2].items = sources[3].shot_items = sources[4].shot_items =
        folder_file(&folder, "pool.jsonl");
    for (int i = 0; i < 5; i++)
        ask(&sources[i], i == 3 ? "1" : "0", false, &asked[i]);
    const char *plain = asked[0].requests.text_digest.hex;
    for (int i = 1; i < 4; i++)
        assert_string_not_equal(asked[i].requests.text_digest.hex, plain);
    assert_string_equal(asked[4].requests.text_digest.hex, plain);
    for (int i = 0; i < 5; i++)
        asked_release(&asked[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),          cmocka_unit_test(test_last_word),
        cmocka_unit_test(test_cloze),           cmocka_unit_test(test_sharing),
        cmocka_unit_test(test_sharing_a_scale), cmocka_unit_test(test_suffix),
        cmocka_unit_test(test_suffix_cut),      cmocka_unit_test(test_text_digest),
        cmocka_unit_test(test_no_context),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
