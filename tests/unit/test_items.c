/* Items files, templates, and what a task's record makes of a row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/config/task.h"
#include "eval/tasks/item.h"
#include "eval/tasks/text_steps.h"
#include "tests/support/folder.h"

static const char *path_of(const char *name, const char *content)
{
    folder_write_text(&folder, name, content);
    return folder_file(&folder, name);
}

static void expect_fault(const char *name, const char *content, enum bs_status status,
                         const char *words)
{
    struct bs_items items;
    struct bs_error err;
    assert_int_equal(bs_items_read(path_of(name, content), NULL, &items, &err), status);
    if (!strstr(err.message, words))
        fail_msg("expected '%s' in '%s'", words, err.message);
}

/* ---- files ---- */

static void test_json_lines(void **state)
{
    (void)state;
    struct bs_items items;
    struct bs_error err;
    const char *path = path_of("a.jsonl", "{\"a\": 1}\n\n  \n{\"a\": \"x\"}");
    assert_int_equal(bs_items_read(path, NULL, &items, &err), BS_OK);
    assert_int_equal(items.count, 2);
    assert_int_equal(items.lines[0], 1);
    assert_int_equal(items.lines[1], 4);
    bs_items_release(&items);
    assert_int_equal(
        bs_items_read(path_of("a.json", "[{\"a\": 1}, {\"a\": 2}]"), NULL, &items, &err), BS_OK);
    assert_int_equal(items.count, 2);
    bs_items_release(&items);
    expect_fault("b.jsonl", "{\"a\": 1}\n[1]\n", BS_EDATA, "b.jsonl:2: [1] is no item");
    expect_fault("c.jsonl", "{\"a\": 1}\n{\"a\": \n", BS_EDATA, "line 2, column 7");
    expect_fault("d.jsonl", "\n", BS_EDATA, "d.jsonl: no items in it");
    expect_fault("e.txt", "x", BS_ECONFIG, "e.txt: items are read from");
}

static void test_csv(void **state)
{
    (void)state;
    static const char *const columns[] = {"q", "A", NULL}, *const twice[] = {"q", "q", NULL};
    struct bs_items items;
    struct bs_error err;
    const char *path =
        path_of("a.csv", "\xef\xbb\xbfq,A\r\n\"two, \"\"three\"\"\nlines\",x\r\n\ny,\"\"\n");
    assert_int_equal(bs_items_read(path, NULL, &items, &err), BS_OK);
    assert_int_equal(items.count, 2);
    assert_string_equal(json_string_value(json_object_get(items.rows[0], "q")),
                        "two, \"three\"\nlines");
    assert_string_equal(json_string_value(json_object_get(items.rows[0], "A")), "x");
    assert_string_equal(json_string_value(json_object_get(items.rows[1], "A")), "");
    assert_int_equal(items.lines[0], 2);
    assert_int_equal(items.lines[1], 5);
    bs_items_release(&items);
    assert_int_equal(bs_items_read(path_of("b.csv", "1,2\n3,4"), columns, &items, &err), BS_OK);
    assert_int_equal(items.count, 2);
    assert_string_equal(json_string_value(json_object_get(items.rows[1], "A")), "4");
    bs_items_release(&items);
    expect_fault("c.csv", "q,A\n1\n", BS_EDATA, "c.csv:2: 1 fields, expected 2");
    expect_fault("d.csv", "q,A\n1,\"2\n", BS_EDATA, "d.csv:2: a field begins with a quote");
    expect_fault("e.csv", "q,A\n1,\"2\"3\n", BS_EDATA, "e.csv:2: expected a comma");
    expect_fault("f.csv", "q,q\n1,2\n", BS_EDATA, "f.csv:1: the field 'q' is named twice");
    assert_int_equal(bs_items_read(path_of("t.csv", "1,2\n"), twice, &items, &err), BS_ECONFIG);
    assert_non_null(strstr(err.message, "t.csv: the field 'q' is named twice in the task's"));
    expect_fault("g.csv", "q,A\n1,\xff\n", BS_EDATA, "g.csv:2");
}

/* ---- steps: what Python 3.11 and lm-evaluation-harness 0.4.13 print ---- */

static void test_steps(void **state)
{
    (void)state;
    static const struct {
        const char *step, *text, *made;
    } rows[] = {
        {"strip", " \t\xc2\xa0x y\xe2\x80\x83\n", "x y"},
        {"capitalize", "hE SAYS ÄÖ", "He says äö"},
        {"capitalize", "ßÉ", "Ssé"},
        {"capitalize", "\xc7\x86X", "\xc7\x85x"}, /* a letter with a title form of its own */
        {"capitalize", "", ""},
        {"capitalize", "ΟΔΟΣ ΣΑΣ.", "Οδος σας."},
        {"lower", "İX", "i̇x"},
        {"words", "high_school_us_history", "high school us history"},
        {"before_blank", "a _ b _", "a "},
        {"after_blank", "a _ b _", " b _"},
        {"but_last_word", "a b  c", "a b "},
        {"last_word", "a b  c", "c"},
        {"last_word", "a ", ""},
        {"hellaswag", " [header] How to [title] Do it [step] a  b   c [x\n] ",
         " How to. Do it a b  c [x\n]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bs_error err;
        char *text = bs_strdup(rows[i].text);
        const struct bs_text_step *step = bs_text_step(rows[i].step, strlen(rows[i].step));
        assert_int_equal(bs_text_step_take(step, &text, &err), BS_OK);
        assert_string_equal(text, rows[i].made);
        bs_free(text);
    }
}

/* ---- templates ---- */

static void test_templates(void **state)
{
    (void)state;
    static const struct {
        const char *template, *made;
    } rows[] = {
        {"plain {{x}}", "plain {x}"},
        {"{a}{n}{b}", "one2true"},
        {"{o.p}/{l.1}/{d.t.0}", "deep/y/first"},
        {"{none.x, o.p|capitalize}", "Deep"},
        {"{a|strip|capitalize}.", "One."},
        {"{dot.ted}", "whole"},
    };
    struct bs_error err;
    json_t *item = json_loads(
        "{\"a\": \"one\", \"n\": 2, \"b\": true, \"o\": {\"p\": \"deep\"}, \"l\": [\"x\", "
        "\"y\"], \"d\": [{\"t\": \"first\"}, {\"t\": \"second\"}], \"z\": null, \"f\": "
        "0.5, \"dot.ted\": \"whole\"}",
        0, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text;
        assert_int_equal(bs_template_check(rows[i].template, &err), BS_OK);
        assert_int_equal(bs_template_text(rows[i].template, item, &text, &err), BS_OK);
        assert_string_equal(text, rows[i].made);
        bs_free(text);
    }
    static const char *const lists[] = {"{l|capitalize}", "{d.t}", "{a}", NULL};
    struct bs_texts texts;
    assert_int_equal(bs_template_texts(lists, item, &texts, &err), BS_OK);
    assert_int_equal(texts.count, 5);
    assert_string_equal(texts.texts[0], "X");
    assert_string_equal(texts.texts[3], "second");
    bs_texts_release(&texts);
    static const char *const wrong[] = {"{", "}", "{a", "{}", "{a{b}}", "{a|upper}", "{a|}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(bs_template_check(wrong[i], &err), BS_ECONFIG);
    static const char *const missing[] = {"{q}", "{z}", "{f}", "{l}", "{l.7}", "{a|before_blank}"};
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        char *text;
        assert_int_equal(bs_template_text(missing[i], item, &text, &err), BS_EDATA);
    }
    json_decref(item);
}

/* ---- records ---- */

static void expect_item_fault(const char *task, const char *content, const char *words)
{
    struct bs_items items;
    struct bs_item item;
    struct bs_error err;
    assert_int_equal(bs_items_read(path_of("items.jsonl", content), NULL, &items, &err), BS_OK);
    assert_int_equal(bs_item_make(bs_known_task(task), &items, items.count - 1, &item, &err),
                     BS_EDATA);
    if (!strstr(err.message, words))
        fail_msg("expected '%s' in '%s'", words, err.message);
    bs_items_release(&items);
}

/* Each known task on a row as the hub, and as the authors have it. */
static void test_known_tasks(void **state)
{
    (void)state;
    static const struct {
        const char *task, *row, *context, *answer;
        int choices, gold;
    } rows[] = {
        {"hellaswag",
         "{\"ind\": 4, \"activity_label\": \"Roof\", \"ctx_a\": \"A man.\", \"ctx_b\": \"he "
         "SITS\", "
         "\"endings\": [\"a [x]b\", \"c\"], \"label\": \"1\"}",
         "Roof: A man. He sits", "c", 2, 1},
        {"hellaswag",
         "{\"ind\": 4, \"activity_label\": \"Roof\", \"ctx_a\": \"A man.\", \"ctx_b\": \"\", "
         "\"endings\": [\"a\", \"c\"], \"label\": \"0\"}",
         "Roof: A man.", "a", 2, 0},
        {"piqa", "{\"goal\": \"G\", \"sol1\": \"s\", \"sol2\": \"t\", \"label\": 1}",
         "Question: G\nAnswer:", "t", 2, 1},
        {"arc_easy",
         "{\"id\": \"M\", \"question\": \"Q\", \"choices\": {\"text\": [\"a\", \"b\", \"c\"], "
         "\"label\": [\"1\", \"2\", \"3\"]}, \"answerKey\": \"3\"}",
         "Question: Q\nAnswer:", "c", 3, 2},
        {"arc_challenge",
         "{\"id\": \"M\", \"question\": {\"stem\": \"Q\", \"choices\": [{\"text\": \"a\", "
         "\"label\": "
         "\"A\"}, {\"text\": \"b\", \"label\": \"B\"}]}, \"answerKey\": \"B\"}",
         "Question: Q\nAnswer:", "b", 2, 1},
        {"winogrande",
         "{\"sentence\": \"Ann met Bo as _ ran.\", \"option1\": \"Ann\", \"option2\": \"Bo\", "
         "\"answer\": \"2\"}",
         "Ann met Bo as Bo", "ran.", 2, 1},
        {"boolq", "{\"passage\": \"P\", \"question\": \"q\", \"label\": 0}",
         "P\nQuestion: q?\nAnswer:", "no", 2, 0},
        {"boolq", "{\"passage\": \"P\", \"question\": \"q\", \"label\": true}",
         "P\nQuestion: q?\nAnswer:", "yes", 2, 1},
        {"boolq", "{\"passage\": \"P\", \"question\": \"q\", \"label\": false}",
         "P\nQuestion: q?\nAnswer:", "no", 2, 0},
        {"openbookqa",
         "{\"id\": \"i\", \"question_stem\": \"Q\", \"choices\": {\"text\": [\"a\", \"b\"], "
         "\"label\": [\"A\", \"B\"]}, \"answerKey\": \" B\"}",
         "Q", "b", 2, 1},
        {"lambada_openai", "{\"text\": \"he said so\"}", "he said", " so", 0, 0},
        {"mmlu",
         "{\"question\": \" Q \", \"subject\": \"us_law\", \"choices\": [\"w\", \"x\", \"y\", "
         "\"z\"], \"answer\": 3}",
         "Q\nA. w\nB. x\nC. y\nD. z\nAnswer:", "D", 4, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bs_items items;
        struct bs_item item;
        struct bs_error err;
        assert_int_equal(bs_items_read(path_of("row.jsonl", rows[i].row), NULL, &items, &err),
                         BS_OK);
        if (bs_item_make(bs_known_task(rows[i].task), &items, 0, &item, &err))
            fail_msg("%s", err.message);
        assert_string_equal(bs_item_context(&item, item.gold), rows[i].context);
        assert_string_equal(bs_item_answer(&item, item.gold), rows[i].answer);
        assert_int_equal(item.gold, rows[i].gold);
        if (rows[i].choices)
            assert_int_equal(item.choices, rows[i].choices);
        if (*item.group)
            assert_string_equal(item.description, "The following are multiple choice questions "
                                                  "(with answers) about us law.\n\n");
        bs_item_release(&item);
        bs_items_release(&items);
    }
    struct bs_error err;
    for (const struct bs_task *task = bs_known_tasks; task->name; task++)
        assert_int_equal(bs_task_check(task, &err), BS_OK);
}

/* What is wrong with a row is told with its file and line; none is scored as if it were right. */
static void test_wrong_rows(void **state)
{
    (void)state;
    expect_item_fault("endings", "{}\n{\"context\": \"c\", \"endings\": [\"a\", \"b\"]}",
                      "items.jsonl:2: the field 'label' is missing");
    expect_item_fault("endings", "{\"context\": \"c\", \"endings\": [\"a\", \"b\"], \"label\": 2}",
                      "items.jsonl:1: gold is '2', expected a choice's number from 0 to 1");
    expect_item_fault("endings", "{\"context\": \"c\", \"endings\": [\"a\", \"b\"], \"label\": -1}",
                      "gold is '-1'");
    expect_item_fault("endings",
                      "{\"context\": \"c\", \"endings\": [\"a\", \"b\"], \"label\": \"\"}",
                      "gold is ''");
    expect_item_fault("endings", "{\"context\": \"c\", \"endings\": [\"a\"], \"label\": 0}",
                      "1 choice, expected 2 to");
    expect_item_fault("endings", "{\"context\": \"c\", \"endings\": [\"a\", \" \"], \"label\": 0}",
                      "answer 1 is empty");
    expect_item_fault("endings", "{\"context\": null, \"endings\": [\"a\", \"b\"], \"label\": 0}",
                      "the field 'context' is null");
    expect_item_fault("arc_easy",
                      "{\"id\": 1, \"question\": \"Q\", \"choices\": {\"text\": [\"a\", \"b\"], "
                      "\"label\": [\"A\", \"B\"]}, \"answerKey\": \"E\"}",
                      "gold is 'E', expected one of the labels, 'A' to 'B'");
    expect_item_fault(
        "winogrande",
        "{\"sentence\": \"none\", \"option1\": \"a\", \"option2\": \"b\", \"answer\": "
        "\"1\"}",
        "the field 'sentence': has no '_'");
}

/* ---- shots ---- */

static void test_sample(void **state)
{
    (void)state;
    /* r = random.Random(1234); r.sample(range(n), k), one after the other */
    static const struct {
        int n, k, drawn[6];
    } rows[] = {
        {300, 5, {225, 59, 3, 46, 298}}, {300, 6, {17, 42, 50, 181, 121, 8}},
        {20, 5, {0, 19, 11, 15, 14}},    {21, 5, {4, 2, 5, 3, 0}},
        {22, 5, {16, 15, 7, 2, 21}},     {85, 6, {69, 59, 8, 76, 11, 65}},
        {86, 6, {74, 5, 34, 71, 8, 82}},
    };
    struct bs_random random;
    struct bs_error err;
    bs_random_seed(&random, 1234);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int drawn[6];
        assert_int_equal(bs_random_sample(&random, rows[i].n, rows[i].k, drawn, &err), BS_OK);
        assert_memory_equal(drawn, rows[i].drawn, (size_t)rows[i].k * sizeof *drawn);
    }
}

/* Drawn from the items themselves: one more than asked for, and the item left out. */
static void test_own_shots(void **state)
{
    (void)state;
    static const int want[10][3] = {{7, 1, 9}, {9, 0, 8}, {5, 3, 0}, {0, 5, 7}, {7, 2, 1},
                                    {1, 0, 7}, {1, 8, 7}, {9, 1, 0}, {1, 4, 3}, {5, 4, 3}};
    static const struct bs_task task = {.name = "own",
                                        .kind = BS_TASK_LAST_WORD,
                                        .context = "{n}",
                                        .continuation = "{n}",
                                        .delimiter = "=",
                                        .shot_delimiter = ";"};
    struct bs_items items;
    struct bs_shots shots;
    struct bs_error err;
    const char *path =
        path_of("ten.jsonl", "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\":4}\n"
                             "{\"n\":5}\n{\"n\":6}\n{\"n\":7}\n{\"n\":8}\n{\"n\":9}");
    assert_int_equal(bs_items_read(path, NULL, &items, &err), BS_OK);
    assert_int_equal(bs_shots_begin(&shots, &task, &items, true, 3, &err), BS_OK);
    for (int i = 0; i < 10; i++) {
        char *text, expected[32];
        const int *w = want[i];
        assert_int_equal(bs_shots_take(&shots, items.rows[i], "", &text, &err), BS_OK);
        snprintf(expected, sizeof expected, "%d=%d;%d=%d;%d=%d;", w[0], w[0], w[1], w[1], w[2],
                 w[2]);
        assert_string_equal(text, expected);
        bs_free(text);
    }
    assert_int_equal(bs_shots_begin(&shots, &task, &items, true, 10, &err), BS_ECONFIG);
    bs_items_release(&items);
}

/* ---- own records ---- */

static void test_own_record(void **state)
{
    (void)state;
    struct bs_task *task;
    struct bs_error err;
    const char *path =
        path_of("own.yaml", "kind: choice\nitems: rows.csv\ncolumns: [q, a, b, gold]\n"
                            "context: \"Q: {q|strip}\\nA:\"\nchoices: [\"{a}\", "
                            "\"{b}\"]\ngold: \"{gold}\"\nlabels: [A, B]\n");
    if (bs_task_read(path, &task, &err))
        fail_msg("%s", err.message);
    assert_string_equal(task->items, folder_file(&folder, "rows.csv"));
    assert_string_equal(task->context, "Q: {q|strip}\nA:");
    assert_string_equal(task->choices[1], "{b}");
    assert_null(task->choices[2]);
    bs_task_free(task);
    static const struct {
        const char *text, *words;
    } wrong[] = {
        {"kind: chioce\n", "did you mean 'choice'?"},
        {"kind: last_word\ncontext: x\n", "continuation is missing"},
        {"kind: last_word\ncontext: x\ncontinuation: y\ngold: z\n", "4:7: error: gold is not for"},
        {"kind: choice\ncontext: \"{a\"\nchoices: \"{b}\"\ngold: \"0\"\n", "2:10: error: context"},
        {"kind: choice\nkontext: a\n", "unknown key 'kontext'"},
        {"kind: choice\ncontext: a\ncontext_steps: upper\nchoices: \"{b}\"\ngold: \"0\"\n",
         "the step 'upper'"},
        {"- 1\n", "expected a mapping"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(bs_task_read(path_of("own.yaml", wrong[i].text), &task, &err), BS_ECONFIG);
        if (!strstr(err.message, wrong[i].words))
            fail_msg("expected '%s' in '%s'", wrong[i].words, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_lines),  cmocka_unit_test(test_csv),
        cmocka_unit_test(test_steps),       cmocka_unit_test(test_templates),
        cmocka_unit_test(test_known_tasks), cmocka_unit_test(test_wrong_rows),
        cmocka_unit_test(test_sample),      cmocka_unit_test(test_own_shots),
        cmocka_unit_test(test_own_record),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
