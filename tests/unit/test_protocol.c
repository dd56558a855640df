/* Which tokens each protocol scores, against the loops of the programs it is named after, written
 * out over small texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/data/windows.h"
#include "tests/support/allocation.h"

enum { MOST = 40, BOS = 1000 };

/* For each token of a text: how often it is scored, and the first token of the context it is then
 * predicted from. */
struct scores {
    int times[MOST], context[MOST];
};

static struct bs_evaluation_choice choose(enum bs_protocol protocol, int tokens, int stride,
                                          int windows)
{
    return (struct bs_evaluation_choice){.text = {.text = "t"},
                                         .protocol = protocol,
                                         .tokens = tokens,
                                         .stride = stride,
                                         .windows = windows};
}

/* Token t of the text has id t + 1. */
static void text_ids(int32_t *ids)
{
    for (int t = 0; t < MOST; t++)
        ids[t] = t + 1;
}

/* What the cut windows score, told from their ids alone. BS_OK is expected. */
static struct scores cut(const struct bs_evaluation_choice *choice, int text_tokens)
{
    struct scores scores = {{0}, {0}};
    struct bs_windows windows = {0};
    struct bs_error err;
    int32_t ids[MOST];
    text_ids(ids);
    if (bs_windows_cut(choice, ids, (size_t)text_tokens, BOS, &windows, &err))
        fail_msg("%d of %d: %s", text_tokens, choice->tokens, err.message);
    size_t scored = 0;
    for (int w = 0; w < windows.windows; w++) {
        const int32_t *window = windows.ids + (size_t)w * (size_t)windows.tokens;
        const struct bs_span range = windows.spans[w];
        assert_int_equal(range.window, w);
        assert_true(range.first >= 0 && range.count > 0);
        assert_true(range.first + range.count <= windows.tokens - 1);
        for (int p = range.first; p < range.first + range.count; p++) {
            int token = window[p + 1] - 1;
            assert_true(token < text_tokens);
            scores.times[token]++;
            scores.context[token] = window[0];
            for (int k = 1; k <= p; k++) /* the context is the text before the token */
                assert_int_equal(window[k], window[p + 1] - (p + 1 - k));
        }
        scored += (size_t)range.count;
    }
    assert_int_equal(windows.num_scored, scored);
    bs_windows_release(&windows);
    return scores;
}

static void assert_scores(const struct scores *got, const struct scores *want, int text_tokens,
                          int tokens, int stride)
{
    for (int t = 0; t < text_tokens; t++)
        if (got->times[t] != want->times[t] ||
            (want->times[t] && got->context[t] != want->context[t]))
            fail_msg("%d tokens in windows of %d, stride %d: token %d is scored %d times from %d, "
                     "want %d from %d",
                     text_tokens, tokens, stride, t, got->times[t], got->context[t], want->times[t],
                     want->context[t]);
}

static void test_gptq(void **state)
{
    (void)state;
    for (int tokens = 2; tokens < 9; tokens++)
        for (int text = tokens; text <= MOST; text++) {
            struct scores want = {{0}, {0}};
            for (int i = 0; i < text / tokens; i++)
                for (int t = 1; t < tokens; t++) {
                    want.times[i * tokens + t] = 1;
                    want.context[i * tokens + t] = i * tokens + 1;
                }
            struct bs_evaluation_choice choice = choose(BS_PROTOCOL_GPTQ, tokens, 0, 0);
            struct scores got = cut(&choice, text);
            assert_scores(&got, &want, text, tokens, 0);
        }
}

static void test_llama_cpp(void **state)
{
    (void)state;
    for (int tokens = 3; tokens < 9; tokens++)
        for (int text = 2 * tokens; text <= MOST; text++) {
            struct scores want = {{0}, {0}};
            for (int i = 0; i < text / tokens; i++)
                for (int j = tokens / 2; j < tokens - 1; j++) {
                    want.times[i * tokens + j + 1] = 1;
                    want.context[i * tokens + j + 1] = BOS;
                }
            struct bs_evaluation_choice choice = choose(BS_PROTOCOL_LLAMA_CPP, tokens, 0, 0);
            struct scores got = cut(&choice, text);
            assert_scores(&got, &want, text, tokens, 0);
        }
}

/* The loop of Hugging Face's page. Labels before the last trg_len are masked, and the first label
 * of a window is never used: its logits come from the position before. */
static struct scores sliding_loop(int text, int max_length, int stride)
{
    struct scores want = {{0}, {0}};
    int prev_end_loc = 0;
    for (int begin_loc = 0; begin_loc < text; begin_loc += stride) {
        int end_loc = begin_loc + max_length < text ? begin_loc + max_length : text;
        int trg_len = end_loc - prev_end_loc;
        for (int t = begin_loc + 1; t < end_loc; t++)
            if (t >= end_loc - trg_len) {
                want.times[t]++;
                want.context[t] = begin_loc + 1;
            }
        prev_end_loc = end_loc;
        if (end_loc == text)
            break;
    }
    return want;
}

static void test_sliding(void **state)
{
    (void)state;
    for (int tokens = 2; tokens < 9; tokens++)
        for (int stride = 1; stride <= tokens; stride++)
            for (int text = 2; text <= MOST; text++) {
                struct scores want = sliding_loop(text, tokens, stride);
                struct bs_evaluation_choice choice = choose(BS_PROTOCOL_SLIDING, tokens, stride, 0);
                struct scores got = cut(&choice, text);
                assert_scores(&got, &want, text, tokens, stride);
            }
}

/* So many windows from the start; the rest of the text does not matter. */
static void test_some_windows(void **state)
{
    (void)state;
    struct bs_evaluation_choice choice = choose(BS_PROTOCOL_SLIDING, 8, 3, 2);
    struct scores some = cut(&choice, MOST), whole = sliding_loop(8 + 3, 8, 3);
    assert_scores(&some, &whole, 11, 8, 3);
    for (int t = 11; t < MOST; t++)
        assert_int_equal(some.times[t], 0);
}

static void test_padding(void **state)
{
    (void)state;
    struct bs_evaluation_choice choice = choose(BS_PROTOCOL_SLIDING, 4, 3, 0);
    struct bs_windows windows = {0};
    struct bs_error err;
    int32_t ids[MOST];
    text_ids(ids);
    assert_int_equal(bs_windows_cut(&choice, ids, 6, BOS, &windows, &err), BS_OK);
    static const int32_t want[] = {1, 2, 3, 4, 4, 5, 6, 6};
    assert_int_equal(windows.windows, 2);
    assert_memory_equal(windows.ids, want, sizeof want);
    assert_int_equal(windows.num_scored, 5);
    bs_windows_release(&windows);
}

static void test_no_bos(void **state)
{
    (void)state;
    struct bs_evaluation_choice choice = choose(BS_PROTOCOL_LLAMA_CPP, 4, 0, 0);
    struct bs_windows windows = {0};
    struct bs_error err;
    int32_t ids[MOST];
    text_ids(ids);
    assert_int_equal(bs_windows_cut(&choice, ids, 8, -1, &windows, &err), BS_OK);
    assert_memory_equal(windows.ids, ids, 8 * sizeof *ids);
    bs_windows_release(&windows);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        enum bs_protocol protocol;
        int text, tokens, stride, windows;
        const char *said;
    } cases[] = {
        {BS_PROTOCOL_GPTQ, 3, 4, 0, 0, "t has 3 tokens, too short for a window of 4"},
        {BS_PROTOCOL_GPTQ, 8, 4, 0, 3, "which make 2 windows of 4, but 3 are asked for"},
        {BS_PROTOCOL_LLAMA_CPP, 7, 4, 0, 0,
         "t has 7 tokens; protocol llama.cpp needs 2 windows of 4 at least"},
        {BS_PROTOCOL_LLAMA_CPP, 9, 2, 0, 0, "protocol llama.cpp scores nothing in windows of 2"},
        {BS_PROTOCOL_SLIDING, 1, 4, 2, 0, "t has 1 tokens, too short"},
        {BS_PROTOCOL_SLIDING, 0, 4, 2, 0, "t has 0 tokens, too short"},
        {BS_PROTOCOL_SLIDING, 9, 4, 2, 5, "which make 4 windows of 4, but 5 are asked for"},
    };
    int32_t ids[MOST];
    text_ids(ids);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_evaluation_choice choice =
            choose(cases[i].protocol, cases[i].tokens, cases[i].stride, cases[i].windows);
        struct bs_windows windows = {0};
        struct bs_error err = {.message = ""};
        enum bs_status status =
            bs_windows_cut(&choice, ids, (size_t)cases[i].text, -1, &windows, &err);
        if (status != BS_ECONFIG || !strstr(err.message, cases[i].said))
            fail_msg("case %zu: %s", i, err.message);
        bs_windows_release(&windows);
    }
}

/* Every row of the table has its name and says what it does. */
static void test_table(void **state)
{
    (void)state;
    for (int p = 0; p < BS_NUM_PROTOCOLS; p++)
        assert_true(bs_protocol_names[p] && bs_protocols[p].summary &&
                    bs_protocols[p].least_windows);
    assert_null(bs_protocol_names[BS_NUM_PROTOCOLS]);
}

static void test_memory(void **state)
{
    (void)state;
    int32_t ids[MOST];
    text_ids(ids);
    struct bs_evaluation_choice choice = choose(BS_PROTOCOL_SLIDING, 8, 3, 0);
    struct bs_error err;
    enum bs_status status;
    long n = 0;
    do {
        struct bs_windows windows = {0};
        bs_alloc_fail_at(++n);
        status = bs_windows_cut(&choice, ids, MOST, -1, &windows, &err);
        bs_windows_release(&windows);
    } while (allocation_failed(n, status, &err));
    assert_true(n > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gptq),    cmocka_unit_test(test_llama_cpp),
        cmocka_unit_test(test_sliding), cmocka_unit_test(test_some_windows),
        cmocka_unit_test(test_padding), cmocka_unit_test(test_no_bos),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_table),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
