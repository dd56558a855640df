#include "tests/support/tiny_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/tokenizer/tokenizer.h"

static void write_file(const char *directory, const char *name, const void *data, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

struct bs_model *tiny_model_cut(const char *directory, int blocks, void (*change)(char *weights))
{
    static const char layers[] = "\"num_hidden_layers\": 6";
    struct bs_error err;
    struct bs_model *model;
    char *data;
    size_t size;
    assert_int_equal(bs_file_read("datasets/tiny/config.json", &data, &size, &err), BS_OK);
    char *at = strstr(data, layers);
    assert_non_null(at);
    at[sizeof layers - 2] = (char)('0' + blocks);
    write_file(directory, "config.json", data, size);
    bs_free(data);
    assert_int_equal(bs_file_read("datasets/tiny/model.safetensors", &data, &size, &err), BS_OK);
    if (change)
        change(data);
    write_file(directory, "model.safetensors", data, size);
    bs_free(data);
    if (bs_model_open(directory, NULL, &model, &err))
        fail_msg("%s", err.message);
    return model;
}

void tiny_model_set(char *weights, const char *tensor, size_t first, size_t stride, size_t count,
                    uint16_t value)
{
    static const char offsets[] = "\"data_offsets\":[";
    uint64_t header;
    char name[128];
    memcpy(&header, weights, sizeof header);
    snprintf(name, sizeof name, "\"%s\"", tensor);
    const char *at = strstr(weights + sizeof header, name);
    assert_non_null(at);
    at = strstr(at, offsets);
    assert_non_null(at);
    char *data = weights + sizeof header + header + strtoul(at + strlen(offsets), NULL, 10);
    for (size_t i = 0; i < count; i++)
        memcpy(data + sizeof value * (first + i * stride), &value, sizeof value);
}

struct bs_windows tiny_model_windows(const char *text, int windows, int tokens)
{
    static const int vocab_size = 4096;
    struct bs_error err;
    struct bs_windows out;
    struct bs_tokenizer *tokenizer;
    assert_int_equal(bs_tokenizer_open("datasets/tiny", &tokenizer, &err), BS_OK);
    struct bs_evaluation_choice choice = {
        .text = {.text = text}, .tokens = tokens, .windows = windows};
    if (bs_windows_evaluate(tokenizer, &choice, vocab_size, &out, &err))
        fail_msg("%s", err.message);
    bs_tokenizer_free(tokenizer);
    return out;
}

void tiny_model_make_ragged(struct bs_windows *windows)
{
    struct bs_error err;
    size_t count = (size_t)windows->windows;
    bs_free(windows->spans);
    windows->lengths = bs_alloc(count, sizeof *windows->lengths);
    windows->spans = bs_alloc(2 * count, sizeof *windows->spans);
    windows->num_spans = 2 * windows->windows;
    windows->num_scored = 0;
    assert_true(windows->lengths && windows->spans && windows->tokens >= 8);
    for (int w = 0; w < windows->windows; w++) {
        int length = windows->tokens - 1 - 3 * (w % 2);
        windows->lengths[w] = length;
        windows->spans[2 * w] = (struct bs_span){.window = w, .first = 0, .count = 2};
        windows->spans[2 * w + 1] =
            (struct bs_span){.window = w, .first = 3, .count = length - 1 - 3, .item = w};
        windows->num_scored += (size_t)length - 2;
    }
    assert_int_equal(bs_windows_take_digest(windows, &err), BS_OK);
}
