/* Every model family against transformers: the logits of the tiny models of tests/golden/families
 * and the perplexity by protocol `gptq`, from the folders that transformers 5 and 4.57 saved
 * (tests/golden/families.py made them; PROVENANCE.md says with what); the same from checkpoints as
 * older versions wrote them; and which changes of a config.json are refused, and which accepted.
 * BITSWEEP_FAMILY=name compares one model only. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"
#include "eval/tasks/uncertainty.h"
#include "eval/run/walk.h"
#include "tests/support/families.h"
#include "tests/support/folder.h"
#include "tests/support/logits.h"

/* Of the logits' range, and relative. */
static const double logits_bar = 2e-6, perplexity_bar = 1e-6;

static json_t *golden;

static void check(enum bs_status status, const struct bs_error *err)
{
    if (status)
        fail_msg("%s", err->message);
}

/* As the program measures it. */
static double perplexity_of(const struct bs_model *model, const struct bs_windows *text)
{
    struct bs_error err;
    struct bs_recipe none;
    bs_recipe_init(&none);
    struct bs_variant variant = {.recipe = &none, .wanted = {true}};
    struct bs_walk walk = {.model = model, .num_texts = 1, .texts = text};
    check(bs_walk_run(&walk, &variant, 1, &err), &err);
    assert_int_equal(variant.status, BS_OK);
    struct bs_layout layout = {text->windows, text->tokens - 1, text->num_scored};
    double mean = bs_perplexity_of(bs_figure_floats(&variant.figures[0], BS_NLL), &layout).mean;
    bs_variant_release(&variant);
    return mean;
}

/* The logits [*tokens][vocab_size] of the last tokens of the first window; bs_free. */
static float *read_logits(const char *name, int vocab_size, int *tokens)
{
    struct bs_error err;
    char path[256], *data;
    size_t size;
    snprintf(path, sizeof path, FAMILIES "%s/logits.f32", name);
    check(bs_file_read(path, &data, &size, &err), &err);
    *tokens = (int)(size / sizeof(float) / (size_t)vocab_size);
    assert_true(*tokens > 0);
    assert_int_equal(size, (size_t)*tokens * (size_t)vocab_size * sizeof(float));
    float *out = bs_alloc(size / sizeof *out, sizeof *out);
    assert_non_null(out);
    memcpy(out, data, size);
    bs_free(data);
    return out;
}

/* The largest difference as a fraction of the golden range; NaN where there is one. */
static double distance(const float *got, const float *want, size_t count)
{
    double low = INFINITY, high = -INFINITY, most = 0;
    for (size_t i = 0; i < count; i++) {
        double off = fabs((double)got[i] - (double)want[i]);
        low = fmin(low, (double)want[i]);
        high = fmax(high, (double)want[i]);
        if (isnan(off))
            return off;
        most = fmax(most, off);
    }
    return most / (high - low);
}

/* False where the model in `directory` is outside a bar of its row or does not open. */
static bool agrees(const json_t *row, const char *directory)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    double want = json_number_value(json_object_get(row, "perplexity"));
    struct bs_error err;
    struct bs_model *model;
    if (bs_model_open(directory, NULL, &model, &err)) {
        printf("%-20s %s\n", name, err.message);
        return false;
    }
    struct bs_windows text = family_windows(row);
    int vocab_size = bs_model_architecture(model)->vocab_size, tokens;
    float *got = logits_of(model, &text), *want_last = read_logits(name, vocab_size, &tokens);
    const float *last = got + (size_t)(text.tokens - tokens) * (size_t)vocab_size;
    double logits_off = distance(last, want_last, (size_t)tokens * (size_t)vocab_size);
    double perplexity_off = perplexity_of(model, &text) / want - 1;
    bool inside = logits_off < logits_bar && fabs(perplexity_off) < perplexity_bar;
    printf("%-20s logits off %.1e of their range, perplexity off %+.1e%s\n", name, logits_off,
           perplexity_off, inside ? "" : "  OUTSIDE");
    bs_free(got);
    bs_free(want_last);
    bs_windows_release(&text);
    bs_model_free(model);
    return inside;
}

/* A safetensors file taken apart: 8 bytes of header size, the header, the data. */
struct parts {
    json_t *header;
    const char *data;
    size_t data_size;
    char *file;
};

static struct parts read_parts(const char *path)
{
    struct bs_error err;
    struct parts parts;
    uint64_t header;
    size_t size;
    check(bs_file_read(path, &parts.file, &size, &err), &err);
    memcpy(&header, parts.file, sizeof header);
    parts.header = json_loadb(parts.file + sizeof header, header, 0, NULL);
    assert_non_null(parts.header);
    parts.data = parts.file + sizeof header + header;
    parts.data_size = size - sizeof header - header;
    return parts;
}

/* Adds a tensor whose bytes follow all others; *end, the size of all data, grows by them. */
static void add_tensor(json_t *header, const char *name, const char *dtype, json_t *shape,
                       size_t size, size_t *end)
{
    json_t *value = json_pack("{s:s, s:O, s:[I, I]}", "dtype", dtype, "shape", shape,
                              "data_offsets", (json_int_t)*end, (json_int_t)(*end + size));
    assert_non_null(value);
    json_object_set_new(header, name, value);
    *end += size;
}

/* The bytes of a tensor: where they begin, and *size. */
static size_t offset_of(const json_t *header, const char *name, size_t *size)
{
    const json_t *offsets = json_object_get(json_object_get(header, name), "data_offsets");
    assert_non_null(offsets);
    size_t begin = (size_t)json_integer_value(json_array_get(offsets, 0));
    *size = (size_t)json_integer_value(json_array_get(offsets, 1)) - begin;
    return begin;
}

/* The header with names less `strip`, and beside them the tensors of `copies` and of `extra`;
 * *end is the size of all data. */
static json_t *older_header(const struct parts *parts, const json_t *older, size_t *end)
{
    const char *strip = json_string_value(json_object_get(older, "strip")), *name;
    json_t *header = json_object(), *value, *length;
    size_t i, size;
    *end = parts->data_size;
    json_object_foreach(parts->header, name, value)
    {
        size_t cut = strncmp(name, strip, strlen(strip)) ? 0 : strlen(strip);
        json_object_set(header, name + cut, value);
    }
    json_object_foreach(json_object_get(older, "copies"), name, value)
    {
        const char *source = json_string_value(value);
        const json_t *entry = json_object_get(parts->header, source);
        offset_of(parts->header, source, &size);
        add_tensor(header, name, json_string_value(json_object_get(entry, "dtype")),
                   json_object_get(entry, "shape"), size, end);
    }
    json_object_foreach(json_object_get(older, "extra"), name, value)
    {
        size = sizeof(float);
        json_array_foreach(value, i, length) size *= (size_t)json_integer_value(length);
        add_tensor(header, name, "F32", value, size, end);
    }
    return header;
}

/* `data` has the bytes of parts, then room for the others, all zero. */
static void fill_copies(const struct parts *parts, const json_t *older, const json_t *header,
                        char *data)
{
    const char *name;
    json_t *source;
    json_object_foreach(json_object_get(older, "copies"), name, source)
    {
        size_t size, from = offset_of(parts->header, json_string_value(source), &size);
        memcpy(data + offset_of(header, name, &size), parts->data + from, size);
    }
}

/* The checkpoint as the hub has older ones: see `older` in families.py. Written to the temporary
 * folder, config.json with it. */
static void write_older(const char *name, const json_t *older)
{
    struct bs_error err;
    char path[256], *config;
    size_t config_size, end;
    snprintf(path, sizeof path, FAMILIES "%s/config.json", name);
    check(bs_file_read(path, &config, &config_size, &err), &err);
    folder_write(&folder, "config.json", config, config_size);
    bs_free(config);

    snprintf(path, sizeof path, FAMILIES "%s/model.safetensors", name);
    struct parts parts = read_parts(path);
    json_t *header = older_header(&parts, older, &end);
    char *text = json_dumps(header, JSON_COMPACT);
    uint64_t length = strlen(text);
    size_t size = sizeof length + length + end;
    char *file = bs_calloc(size, 1);
    assert_non_null(file);
    memcpy(file, &length, sizeof length);
    memcpy(file + sizeof length, text, length);
    memcpy(file + sizeof length + length, parts.data, parts.data_size);
    fill_copies(&parts, older, header, file + sizeof length + length);
    folder_write(&folder, "model.safetensors", file, size);
    bs_free(file);
    free(text);
    json_decref(header);
    json_decref(parts.header);
    bs_free(parts.file);
}

static bool family_agrees(const json_t *row)
{
    char directory[256];
    snprintf(directory, sizeof directory, FAMILIES "%s",
             json_string_value(json_object_get(row, "name")));
    return agrees(row, directory);
}

/* The folder that an earlier transformers saved, where its form differs. */
static bool forms_agree(const json_t *row)
{
    const json_t *form, *forms = json_object_get(row, "forms");
    char directory[256];
    size_t i;
    int outside = 0;
    json_array_foreach(forms, i, form)
    {
        snprintf(directory, sizeof directory, FAMILIES "%s/%s",
                 json_string_value(json_object_get(row, "name")), json_string_value(form));
        outside += !agrees(row, directory);
    }
    return !outside;
}

static bool older_agrees(const json_t *row)
{
    const json_t *older = json_object_get(row, "older");
    if (json_is_null(older))
        return true;
    write_older(json_string_value(json_object_get(row, "name")), older);
    return agrees(row, folder.path);
}

/* All models of the list, or the one that BITSWEEP_FAMILY names. */
static void compare_rows(const json_t *rows, bool is_right(const json_t *row))
{
    const char *only = getenv("BITSWEEP_FAMILY");
    const json_t *row;
    size_t i;
    int compared = 0, outside = 0;
    json_array_foreach(rows, i, row)
    {
        if (only && strcmp(only, json_string_value(json_object_get(row, "name"))))
            continue;
        outside += !is_right(row);
        compared++;
    }
    assert_true(compared > 0);
    assert_int_equal(outside, 0);
}

static void compare(bool is_right(const json_t *row)) { compare_rows(golden, is_right); }

static void families_agree_with_transformers(void **state)
{
    (void)state;
    compare(family_agrees);
}

static void folders_of_earlier_versions_agree(void **state)
{
    (void)state;
    compare(forms_agree);
}

static void older_checkpoints_agree_too(void **state)
{
    (void)state;
    compare(older_agrees);
}

/* As llama.cpp's converter writes them (tests/golden/gguf_models.py), a folder each. */
static void gguf_files_agree(void **state)
{
    (void)state;
    json_t *files = json_load_file("tests/golden/gguf/gguf.json", 0, NULL);
    compare_rows(json_object_get(files, "families"), family_agrees);
    json_decref(files);
}

/* BS_OK where config.json of this model with the change is one that bitsweep can compute. */
static enum bs_status read_changed(const char *name, const json_t *change, struct bs_error *err)
{
    struct bs_architecture architecture;
    char path[256];
    snprintf(path, sizeof path, FAMILIES "%s/config.json", name);
    json_t *config = json_load_file(path, 0, NULL);
    assert_non_null(config);
    assert_int_equal(json_object_update(config, (json_t *)(uintptr_t)change), 0);
    assert_int_equal(json_dump_file(config, folder_file(&folder, "config.json"), 0), 0);
    json_decref(config);
    return bs_architecture_read(folder.path, NULL, &architecture, NULL, err);
}

static bool is_refused(const json_t *row)
{
    const char *name = json_string_value(json_object_get(row, "model"));
    const char *key = json_string_value(json_object_get(row, "names"));
    const json_t *change = json_object_get(row, "change");
    struct bs_error err;
    json_t *none = json_object();
    bool refused = false;
    if (read_changed(name, none, &err)) {
        printf("%-20s %s\n", name, err.message);
    } else if (!read_changed(name, change, &err)) {
        printf("%-20s accepted with a change of %s\n", name, key);
    } else {
        refused = (err.status == BS_EUNSUPPORTED || err.status == BS_EDATA) &&
                  strstr(err.message, "config.json") && strstr(err.message, key);
        if (!refused)
            printf("%-20s no word of %s: %s\n", name, key, err.message);
    }
    json_decref(none);
    return refused;
}

static bool is_accepted(const json_t *row)
{
    const char *name = json_string_value(json_object_get(row, "model"));
    struct bs_error err;
    bool accepted = !read_changed(name, json_object_get(row, "change"), &err);
    if (!accepted)
        printf("%-20s %s\n", name, err.message);
    return accepted;
}

/* All rows of configs.json under `key` are as they should be. */
static void check_configs(const char *key, bool is_right(const json_t *row))
{
    json_t *configs = json_load_file(FAMILIES "configs.json", 0, NULL);
    const json_t *row, *rows = json_object_get(configs, key);
    size_t i;
    int wrong = 0;
    json_array_foreach(rows, i, row) wrong += !is_right(row);
    assert_true(json_array_size(rows) > 0);
    json_decref(configs);
    assert_int_equal(wrong, 0);
}

static void other_forward_passes_are_refused(void **state)
{
    (void)state;
    check_configs("refused", is_refused);
}

static void harmless_keys_are_accepted(void **state)
{
    (void)state;
    check_configs("accepted", is_accepted);
}

static int open_golden(void **state)
{
    bs_blas_init();
    folder_setup(state);
    golden = families_load();
    return golden ? 0 : -1;
}

static int close_golden(void **state)
{
    json_decref(golden);
    return folder_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_agree_with_transformers),
        cmocka_unit_test(folders_of_earlier_versions_agree),
        cmocka_unit_test(older_checkpoints_agree_too),
        cmocka_unit_test(gguf_files_agree),
        cmocka_unit_test(other_forward_passes_are_refused),
        cmocka_unit_test(harmless_keys_are_accepted),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
