/* Windows cut from a text, and the random numbers that place them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/data/random.h"
#include "eval/data/windows.h"
#include "tests/support/allocation.h"
#include "tests/support/folder.h"

static const char text_path[] = "datasets/commons/calibration.txt";
static struct bs_tokenizer *tokenizer;
static int32_t *ids; /* of the whole text */
static size_t count;

static int setup(void **state)
{
    struct bs_error err;
    char *text;
    size_t size;
    folder_setup(state);
    if (bs_tokenizer_open("datasets/tiny", &tokenizer, &err) ||
        bs_file_read(text_path, &text, &size, &err) ||
        bs_tokenizer_encode(tokenizer, text, size, true, &ids, &count, &err)) {
        print_error("%s\n", err.message);
        return 1;
    }
    bs_free(text);
    return 0;
}

static int teardown(void **state)
{
    bs_free(ids);
    bs_tokenizer_free(tokenizer);
    return folder_teardown(state);
}

/* Windows of a file for calibration. */
static enum bs_status cut(const char *path, enum bs_sampling sampling, int seed, int windows,
                          int tokens, int vocab_size, struct bs_windows *out, struct bs_error *err)
{
    struct bs_calibration_choice choice = {.text = {.text = path},
                                           .sampling = sampling,
                                           .seed = seed,
                                           .tokens = tokens,
                                           .windows = windows};
    return bs_windows_calibrate(tokenizer, &choice, vocab_size, out, err);
}

static void assert_draws(uint32_t seed, int64_t low, int64_t high, const int64_t *want, int draws)
{
    struct bs_random random;
    bs_random_seed(&random, seed);
    for (int i = 0; i < draws; i++)
        assert_int_equal(bs_random_int(&random, low, high), want[i]);
}

static void test_random(void **state)
{
    (void)state;
    /* python3: random.seed(s); [random.randint(low, high) for _ in range(n)] */
    assert_draws(0, 0, 999999, (int64_t[]){885440, 403958, 794772, 933488, 441001, 42450}, 6);
    assert_draws(42, -5, 5, (int64_t[]){5, -4, -5, -1, -2, -2, -3, -4}, 8);
    assert_draws(2147483647, 10, 4294967304,
                 (int64_t[]){1364760266, 4023463772, 3510513058, 516955800}, 4);
    assert_draws(7, 3, 3, (int64_t[]){3, 3, 3}, 3);
    /* The 2000th draw lies in the fourth block of the generator. */
    struct bs_random random;
    bs_random_seed(&random, 1);
    int64_t drawn = 0;
    for (int i = 0; i < 2000; i++)
        drawn = bs_random_int(&random, 0, 4294967293);
    assert_int_equal(drawn, 1058062369);
}

static void test_sequential(void **state)
{
    (void)state;
    struct bs_windows all, some;
    struct bs_error err;
    assert_int_equal(cut(text_path, BS_SAMPLING_SEQUENTIAL, 0, 0, 256, 4096, &all, &err), BS_OK);
    assert_int_equal(all.text.tokens, count);
    assert_int_equal(all.windows, count / 256);
    assert_int_equal(all.tokens, 256);
    assert_memory_equal(all.ids, ids, (size_t)all.windows * 256 * sizeof *ids);
    assert_int_equal(cut(text_path, BS_SAMPLING_SEQUENTIAL, 5, 3, 256, 4096, &some, &err), BS_OK);
    assert_int_equal(some.windows, 3);
    assert_memory_equal(some.ids, ids, 3 * 256 * sizeof *ids);
    assert_string_not_equal(some.digest.hex, all.digest.hex);
    bs_windows_release(&all);
    bs_windows_release(&some);
    assert_null(some.ids);
}

static void test_gptq(void **state)
{
    (void)state;
    struct bs_windows drawn, again;
    struct bs_error err;
    assert_int_equal(cut(text_path, BS_SAMPLING_GPTQ, 0, 64, 256, 4096, &drawn, &err), BS_OK);
    assert_int_equal(drawn.text.tokens, 17220);
    /* python3: random.seed(0); [random.randint(0, 17220 - 256 - 1) for _ in range(64)] */
    static const int starts[64] = {
        12623, 13781, 1326,  8484,  16753, 15922, 13268, 9938, 15617, 11732, 7157,  16537, 4563,
        9235,  4579,  3107,  8208,  4815,  10162, 3236,  2416, 10819, 15471, 3299,  11593, 14226,
        10361, 6700,  15630, 14506, 8535,  2040,  460,   3056, 13068, 37,    16173, 10916, 7992,
        10656, 2063,  6260,  7264,  7818,  4669,  14679, 2988, 2636,  10487, 16644, 16032, 3573,
        9877,  9538,  4089,  10903, 6658,  9425,  14581, 3002, 12612, 10388, 7933,  9513};
    for (int w = 0; w < 64; w++)
        assert_memory_equal(drawn.ids + w * 256, ids + starts[w], 256 * sizeof *ids);
    assert_int_equal(cut(text_path, BS_SAMPLING_GPTQ, 0, 64, 256, 4096, &again, &err), BS_OK);
    assert_string_equal(drawn.digest.hex, again.digest.hex);
    bs_windows_release(&again);
    assert_int_equal(cut(text_path, BS_SAMPLING_GPTQ, 1, 64, 256, 4096, &again, &err), BS_OK);
    assert_string_not_equal(drawn.digest.hex, again.digest.hex);
    bs_windows_release(&again);
    bs_windows_release(&drawn);
}

static void test_digest_counts_shape(void **state)
{
    (void)state;
    /* The same 512 ids as 2 windows of 256 and as 4 of 128 are different samples. */
    struct bs_windows two, four;
    struct bs_error err;
    assert_int_equal(cut(text_path, BS_SAMPLING_SEQUENTIAL, 0, 2, 256, 4096, &two, &err), BS_OK);
    assert_int_equal(cut(text_path, BS_SAMPLING_SEQUENTIAL, 0, 4, 128, 4096, &four, &err), BS_OK);
    assert_memory_equal(two.ids, four.ids, 512 * sizeof *ids);
    assert_string_not_equal(two.digest.hex, four.digest.hex);
    bs_windows_release(&two);
    bs_windows_release(&four);
}

static void test_short_and_damaged(void **state)
{
    (void)state;
    folder_write_text(&folder, "five.txt", "1\n2\n3");
    folder_write(&folder, "bad.txt",
                 "ab\xff"
                 "cd",
                 5);
    folder_write_text(&folder, "empty.txt", "");
    static const struct {
        const char *file;
        enum bs_sampling sampling;
        int windows, tokens, vocab_size;
        enum bs_status status;
        const char *said;
    } cases[] = {
        {"five.txt", BS_SAMPLING_SEQUENTIAL, 0, 5, 4096, BS_OK, ""},
        {"five.txt", BS_SAMPLING_SEQUENTIAL, 0, 6, 4096, BS_ECONFIG, "has 5 tokens, too short"},
        {"five.txt", BS_SAMPLING_SEQUENTIAL, 3, 2, 4096, BS_ECONFIG,
         "5 tokens, which make 2 windows of 2, but 3 are asked for"},
        {"five.txt", BS_SAMPLING_GPTQ, 9, 4, 4096, BS_OK, ""},
        {"five.txt", BS_SAMPLING_GPTQ, 9, 5, 4096, BS_ECONFIG, "has 5 tokens, too short"},
        {"five.txt", BS_SAMPLING_SEQUENTIAL, 1, 2, 10, BS_EDATA, "token 0 has id 50"},
        {"empty.txt", BS_SAMPLING_SEQUENTIAL, 0, 1, 4096, BS_ECONFIG, "has 0 tokens"},
        {"bad.txt", BS_SAMPLING_SEQUENTIAL, 0, 1, 4096, BS_EDATA, "byte offset 2"},
        {"none.txt", BS_SAMPLING_SEQUENTIAL, 0, 1, 4096, BS_EIO, "No such file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bs_windows windows;
        struct bs_error err = {0};
        enum bs_status status =
            cut(folder_file(&folder, cases[i].file), cases[i].sampling, 0, cases[i].windows,
                cases[i].tokens, cases[i].vocab_size, &windows, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].said) ||
            (status && !strstr(err.message, cases[i].file)))
            fail_msg("case %zu: status %d, %s", i, status, err.message);
        assert_true(!status == (windows.ids != NULL));
        bs_windows_release(&windows);
    }
}

/* What the windows of an evaluation say of their text. */
static void test_evaluation(void **state)
{
    (void)state;
    folder_write_text(&folder, "words.txt", "One two three,\nfour five six.\n\n");
    struct bs_evaluation_choice choice = {.text = {.text = folder_file(&folder, "words.txt")},
                                          .tokens = 4};
    struct bs_windows gptq, llama;
    struct bs_error err;
    assert_int_equal(bs_windows_evaluate(tokenizer, &choice, 4096, &gptq, &err), BS_OK);
    choice.protocol = BS_PROTOCOL_LLAMA_CPP;
    assert_int_equal(bs_windows_evaluate(tokenizer, &choice, 4096, &llama, &err), BS_OK);
    assert_int_equal(gptq.text.bytes, 31);
    assert_int_equal(gptq.text.words, 7);
    assert_int_equal(gptq.num_scored, 3 * gptq.windows);
    assert_int_equal(llama.text.bytes, 30); /* one newline less */
    assert_int_equal(llama.num_scored, llama.windows);
    assert_string_equal(gptq.text_digest.hex, llama.text_digest.hex);
    bs_windows_release(&gptq);
    bs_windows_release(&llama);
}

/* One of each equal part, none twice, in the text's order; all of them where all are asked for. */
static void test_pick_even(void **state)
{
    (void)state;
    for (size_t all = 1; all <= 60; all++)
        for (size_t windows = 1; windows <= all; windows++)
            for (size_t i = 0; i < windows; i++) {
                size_t at = bs_pick_even(all, windows, i);
                assert_true(at >= i * all / windows && at < (i + 1) * all / windows);
                assert_true(windows < all || at == i);
            }
    /* Shares 0.618, 0.236, 0.854, 0.472 of parts of 51, 51, 51 and 52 windows. */
    static const size_t want[] = {31, 51 + 12, 102 + 43, 153 + 24};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(bs_pick_even(205, 4, i), want[i]);
}

static void test_pick(void **state)
{
    (void)state;
    struct bs_evaluation_choice choice = {.text = {.text = text_path}, .tokens = 64, .windows = 5};
    static const struct {
        enum bs_protocol protocol;
        enum bs_pick asked, got;
    } cases[] = {
        {BS_PROTOCOL_GPTQ, BS_PICK_AUTO, BS_PICK_EVEN},
        {BS_PROTOCOL_GPTQ, BS_PICK_FIRST, BS_PICK_FIRST},
        {BS_PROTOCOL_LLAMA_CPP, BS_PICK_AUTO, BS_PICK_FIRST},
        {BS_PROTOCOL_LLAMA_CPP, BS_PICK_EVEN, BS_PICK_EVEN},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct bs_windows windows;
        struct bs_error err;
        choice.protocol = cases[c].protocol;
        choice.pick = cases[c].asked;
        assert_int_equal(bs_windows_evaluate(tokenizer, &choice, 4096, &windows, &err), BS_OK);
        assert_int_equal(windows.pick, cases[c].got);
        assert_int_equal(windows.windows, 5);
        assert_int_equal(windows.all, count / 64);
        for (size_t i = 0; i < 5; i++) {
            size_t at = cases[c].got == BS_PICK_EVEN ? bs_pick_even(count / 64, 5, i) : i;
            assert_memory_equal(windows.ids + i * 64 + 1, ids + at * 64 + 1, 63 * sizeof *ids);
        }
        bs_windows_release(&windows);
    }
}

static void test_memory(void **state)
{
    (void)state;
    folder_write_text(&folder, "m.txt", "one two three four five six");
    const char *path = folder_file(&folder, "m.txt");
    struct bs_error err;
    enum bs_status status;
    long n = 0;
    do {
        struct bs_windows windows;
        bs_alloc_fail_at(++n);
        status = cut(path, BS_SAMPLING_GPTQ, 0, 2, 3, 4096, &windows, &err);
        bs_windows_release(&windows);
    } while (allocation_failed(n, status, &err));
    assert_true(n > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_sequential),
        cmocka_unit_test(test_gptq),
        cmocka_unit_test(test_digest_counts_shape),
        cmocka_unit_test(test_short_and_damaged),
        cmocka_unit_test(test_evaluation),
        cmocka_unit_test(test_pick_even),
        cmocka_unit_test(test_pick),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
