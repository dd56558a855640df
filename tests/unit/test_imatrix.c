/* Importance matrices of llama.cpp: both layouts of files, and who gets what they hold. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/gguf/imatrix.h"
#include "eval/linalg/blas.h"
#include "eval/model/gguf_config.h"
#include "eval/run/apply.h"
#include "tests/support/folder.h"
#include "tests/support/random_block.h"
#include "tests/support/recipes.h"

static struct random_block random_;
static char place[] = "/tmp/bitsweep-imatrix-XXXXXX", path[64];

static int setup(void **state)
{
    (void)state;
    bs_blas_init();
    random_block_init(&random_, &block_shapes[0]);
    return mkdtemp(place) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    random_block_release(&random_);
    folder_remove_path(place);
    return 0;
}

static const char *path_of(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", place, name);
    return path;
}

/* A matrix that 12 rows met, and four of experts, of which the third met none. */
static struct bs_imatrix two_entries(void)
{
    struct bs_imatrix imatrix = {.chunks = 3, .chunk_size = 4, .dataset = bs_strdup("a text")};
    struct bs_imatrix_entry *entry = bs_imatrix_add(&imatrix, "blk.1.ffn_up_exps.weight", 3, 4);
    const float rows[] = {12, 5, 0, 7};
    for (int i = 0; i < 12; i++)
        entry->sums[i] = rows[i / 3] * (0.5f + (float)i);
    memcpy(entry->counts, rows, sizeof rows);
    entry = bs_imatrix_add(&imatrix, "blk.0.attn_q.weight", 5, 1);
    for (int j = 0; j < 5; j++)
        entry->sums[j] = 12 * (0.25f + (float)j);
    entry->counts[0] = 12;
    return imatrix;
}

static struct bs_imatrix written_and_read(const char *name)
{
    struct bs_error err;
    struct bs_imatrix imatrix = two_entries(), read;
    if (bs_imatrix_write(path_of(name), &imatrix, &err) || bs_imatrix_read(path, &read, &err))
        fail_msg("%s", err.message);
    bs_imatrix_release(&imatrix);
    return read;
}

static void assert_means(const struct bs_imatrix *imatrix)
{
    float means[12];
    const struct bs_imatrix_entry *dense = bs_imatrix_find(imatrix, "blk.0.attn_q.weight");
    const struct bs_imatrix_entry *experts = bs_imatrix_find(imatrix, "blk.1.ffn_up_exps.weight");
    assert_non_null(dense);
    assert_non_null(experts);
    assert_int_equal(dense->columns * dense->matrices, 5);
    assert_int_equal(experts->columns * experts->matrices, 12);
    bs_imatrix_means(imatrix, dense, means);
    for (int j = 0; j < 5; j++)
        assert_true(fabsf(means[j] / (0.25f + (float)j) - 1) < 1e-6f);
    bs_imatrix_means(imatrix, experts, means);
    for (int i = 0; i < 12; i++) /* one that no row came to counts alike */
        assert_true(fabsf(means[i] / (i / 3 == 2 ? 1 : 0.5f + (float)i) - 1) < 1e-6f);
    assert_int_equal(imatrix->chunks, 3);
    assert_string_equal(imatrix->dataset, "a text");
    assert_null(bs_imatrix_find(imatrix, "blk.0.attn_k.weight"));
}

static void both_layouts_come_back(void **state)
{
    (void)state;
    static const char *const names[] = {"a.gguf", "a.dat"};
    for (int legacy = 0; legacy < 2; legacy++) {
        struct bs_imatrix read = written_and_read(names[legacy]);
        assert_int_equal(read.legacy, legacy);
        assert_means(&read);
        assert_int_equal(read.chunk_size, legacy ? 0 : 4);
        bs_imatrix_release(&read);
    }
}

/* By hand, as llama.cpp lays it out: a text's length, the text; calls; values, which are means
 * times calls. What follows the entries may be missing. */
static void the_older_layout_is_read_as_it_is_written_elsewhere(void **state)
{
    (void)state;
    static const char name[] = "blk.0.attn_q.weight";
    const int32_t numbers[] = {1, (int32_t)strlen(name)}, more[] = {2, 3};
    const float values[] = {1, 4, 9};
    struct bs_imatrix read;
    struct bs_error err;
    FILE *file = fopen(path_of("hand.dat"), "wb");
    assert_non_null(file);
    fwrite(numbers, sizeof numbers, 1, file);
    fwrite(name, strlen(name), 1, file);
    fwrite(more, sizeof more, 1, file);
    fwrite(values, sizeof values, 1, file);
    fclose(file);
    assert_int_equal(bs_imatrix_read(path, &read, &err), BS_OK);
    float means[3];
    bs_imatrix_means(&read, bs_imatrix_find(&read, name), means);
    assert_true(means[0] == 0.5f && means[1] == 2 && means[2] == 4.5f);
    assert_null(read.dataset);
    bs_imatrix_release(&read);
}

/* tests/golden/imatrix.py, whose figures these are. */
static void experts_and_the_head_are_read_as_llama_imatrix_writes_them(void **state)
{
    (void)state;
    static const float counts[] = {131, 109, 136, 136};
    static const double first[] = {0.9703933482861701, 1.367605786804759, 1.0758346108829273,
                                   1.3073617149801815};
    struct bs_imatrix read;
    struct bs_error err;
    float means[4 * 48];
    assert_int_equal(bs_imatrix_read("tests/golden/imatrix_experts.gguf", &read, &err), BS_OK);
    assert_int_equal(read.count, 9);
    assert_int_equal(read.chunks, 4);
    assert_int_equal(read.chunk_size, 64);
    assert_string_equal(read.dataset, "calibration.txt");
    const struct bs_imatrix_entry *up = bs_imatrix_find(&read, "blk.0.ffn_up_exps.weight");
    assert_non_null(up);
    assert_int_equal(up->columns, 32);
    assert_int_equal(up->matrices, 4);
    assert_memory_equal(up->counts, counts, sizeof counts);
    bs_imatrix_means(&read, up, means);
    for (int e = 0; e < 4; e++)
        assert_true(fabs((double)means[(size_t)e * up->columns] / first[e] - 1) < 1e-6);
    const struct bs_imatrix_entry *down = bs_imatrix_find(&read, "blk.0.ffn_down_exps.weight");
    assert_non_null(down);
    assert_int_equal(down->columns, 48);
    bs_imatrix_means(&read, down, means);
    assert_true(fabs((double)means[48] / 2.8063414977231155e-05 - 1) < 1e-6);
    const struct bs_imatrix_entry *head = bs_imatrix_find(&read, "output.weight");
    assert_non_null(head);
    assert_true(head->columns == 32 && head->matrices == 1 && head->counts[0] == 256);
    bs_imatrix_means(&read, head, means);
    assert_true(fabs((double)means[0] / 1.1713658571243286 - 1) < 1e-6);
    bs_imatrix_release(&read);
}

static void write_bytes(const char *name, const char *bytes, size_t size)
{
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    fwrite(bytes, 1, size, file);
    fclose(file);
}

/* Of either layout cut short anywhere; only an end between its parts can be one. */
static void damage_is_told(void **state)
{
    (void)state;
    static const char *const names[] = {"a.gguf", "a.dat"};
    for (int legacy = 0; legacy < 2; legacy++) {
        struct bs_imatrix read = written_and_read(names[legacy]);
        struct bs_error err;
        char *bytes;
        size_t size, whole = 0;
        bs_imatrix_release(&read);
        assert_int_equal(bs_file_read(path, &bytes, &size, &err), BS_OK);
        for (size_t cut = 0; cut < size; cut++) {
            write_bytes("cut", bytes, cut);
            enum bs_status status = bs_imatrix_read(path, &read, &err);
            if (status) {
                assert_int_equal(status, BS_EDATA);
                assert_non_null(strstr(err.message, "/cut: "));
            } else {
                whole++;
                bs_imatrix_release(&read);
            }
        }
        if (legacy)
            assert_int_equal(whole, 2); /* after the entries, and after the number of chunks */
        else
            assert_in_range(whole, 0, 31); /* what is cut off is padding */
        bs_free(bytes);
    }
}

static void what_is_no_number_is_told(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_imatrix imatrix = two_entries(), read;
    imatrix.entries[1].sums[2] = NAN;
    assert_int_equal(bs_imatrix_write(path_of("nan.gguf"), &imatrix, &err), BS_OK);
    bs_imatrix_release(&imatrix);
    assert_int_equal(bs_imatrix_read(path, &read, &err), BS_EDATA);
    assert_non_null(strstr(err.message, "entry 'blk.0.attn_q.weight': value 2 is nan"));
}

/* ---- who gets it ---- */

/* An entry for every slot but `absent`, its values by slot and column. */
static void write_for_block(const char *name, int absent, int more_columns)
{
    struct bs_error err;
    struct bs_imatrix imatrix = {.chunks = 1, .chunk_size = 1};
    const struct bs_program *p = &random_.architecture.programs[0];
    for (int s = 0; s < p->num_slots; s++) {
        struct bs_inputs_name matrix;
        int in = p->slots[s].in + more_columns;
        assert_true(bs_inputs_name_of(&p->slots[s], 0, 0, 0, &matrix));
        if (s == absent)
            continue;
        struct bs_imatrix_entry *entry = bs_imatrix_add(&imatrix, matrix.tensor, (size_t)in, 1);
        entry->counts[0] = 2;
        for (int j = 0; j < in; j++)
            entry->sums[j] = 2 * (float)(1 + (7 * j + s) % 23);
    }
    if (bs_imatrix_write(path_of(name), &imatrix, &err))
        fail_msg("%s", err.message);
    bs_imatrix_release(&imatrix);
}

static void apply(const struct bs_recipe *recipe, const struct bs_importance_files *files,
                  struct bs_block *block)
{
    struct bs_error err;
    struct bs_inputs inputs = {
        .rope = random_.rope, .importance = files, .scratch = random_.scratch};
    if (bs_block_copy(block, &random_.block, &err) || bs_apply_recipe(recipe, block, &inputs, &err))
        fail_msg("%s", err.message);
}

static void recipe_with_file(struct bs_recipe *recipe)
{
    char settings[160];
    snprintf(settings, sizeof settings, "format=q4_0 importance=%s", path);
    recipe_build(recipe, "rtn", settings);
}

/* Every linear is rounded by the values of its own name, without calibration; one that the file
 * lacks as if there were none. */
static void each_linear_has_what_goes_by_its_name(void **state)
{
    (void)state;
    enum { ABSENT = 1 };
    struct bs_error err;
    struct bs_recipe recipe, plain;
    struct bs_importance_files files = {.count = 0};
    struct bs_lines notices = {0};
    struct bs_block block = {.architecture = NULL}, alike = {.architecture = NULL};
    const struct bs_program *p = &random_.architecture.programs[0];
    write_for_block("own.gguf", ABSENT, 0);
    recipe_with_file(&recipe);
    assert_false(bs_recipe_needs_calibration(&recipe));
    if (bs_importance_open(&recipe, &random_.architecture, &files, &notices, &err))
        fail_msg("%s", err.message);
    assert_int_equal(files.count, 1);
    assert_int_equal(notices.count, 1);
    assert_non_null(strstr(notices.lines[0], "own.gguf has nothing of blk.0."));
    recipe_build(&plain, "rtn", "format=q4_0");
    apply(&recipe, &files, &block);
    apply(&plain, NULL, &alike);
    for (int s = 0; s < p->num_slots; s++) {
        const struct bs_linear *original = &random_.block.linears[s];
        size_t in = (size_t)original->in_features, count = (size_t)original->out_features * in;
        float importance[1024];
        struct bs_codes codes;
        for (size_t j = 0; j < in; j++)
            importance[j] = (float)(1 + (7 * (int)j + s) % 23);
        assert_int_equal(bs_codes_init(&codes, &recipe.weights, 0, original->out_features,
                                       original->in_features, &err),
                         BS_OK);
        codes.importance = s == ABSENT ? NULL : importance;
        assert_int_equal(bs_codes_round(&codes, original->weight, NULL, &err), BS_OK);
        assert_memory_equal(block.linears[s].codes.codes, codes.codes, count);
        if (s == ABSENT)
            assert_memory_equal(alike.linears[s].codes.codes, codes.codes, count);
        else
            assert_memory_not_equal(alike.linears[s].codes.codes, codes.codes, count);
        bs_codes_release(&codes);
    }
    bs_block_release(&block);
    bs_block_release(&alike);
    bs_recipe_release(&recipe);
    bs_recipe_release(&plain);
    bs_importance_close(&files);
    bs_lines_release(&notices);
}

static void a_file_of_another_model_is_refused(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_recipe recipe;
    struct bs_importance_files files = {.count = 0};
    struct bs_lines notices = {0};
    write_for_block("wide.gguf", -1, 1);
    recipe_with_file(&recipe);
    assert_int_equal(bs_importance_open(&recipe, &random_.architecture, &files, &notices, &err),
                     BS_EDATA);
    assert_non_null(strstr(err.message, "it is of another model"));
    bs_importance_close(&files);
    bs_recipe_release(&recipe);
    struct bs_imatrix other = two_entries();
    assert_int_equal(bs_imatrix_write(path_of("other.gguf"), &other, &err), BS_OK);
    recipe_with_file(&recipe);
    write_for_block("other.gguf", -1, 0); /* the config was read, then the file changed */
    assert_int_equal(bs_importance_open(&recipe, &random_.architecture, &files, &notices, &err),
                     BS_EDATA);
    assert_non_null(strstr(err.message, "changed since the config was read"));
    bs_importance_close(&files);
    bs_recipe_release(&recipe);
    bs_imatrix_release(&other);
}

/* The path is no part of what a recipe is; the bytes are. */
static void a_recipe_knows_a_file_by_its_bytes(void **state)
{
    (void)state;
    struct bs_recipe one, same, other;
    write_for_block("one.gguf", -1, 0);
    recipe_with_file(&one);
    write_for_block("same.gguf", -1, 0);
    recipe_with_file(&same);
    write_for_block("other.gguf", 0, 0);
    recipe_with_file(&other);
    char *texts[3] = {bs_recipe_text(&one, bs_recipe_print), bs_recipe_text(&same, bs_recipe_print),
                      bs_recipe_text(&other, bs_recipe_print)};
    char *label = bs_recipe_text(&one, bs_recipe_print_label);
    assert_string_equal(texts[0], texts[1]);
    assert_string_not_equal(texts[0], texts[2]);
    assert_string_equal(label, "rtn q4_0 imatrix=one.gguf");
    for (int i = 0; i < 3; i++)
        bs_free(texts[i]);
    bs_free(label);
    bs_recipe_release(&one);
    bs_recipe_release(&same);
    bs_recipe_release(&other);
}

/* What changes a model's inputs, or looks at its own, has no use for a file of them. */
static void only_rounding_as_it_is_takes_a_file(void **state)
{
    (void)state;
    static const char *const chains[] = {"gptq", "awq", "smoothquant rtn"};
    struct bs_error err;
    struct bs_recipe recipe;
    write_for_block("own.gguf", -1, 0);
    for (size_t k = 0; k < sizeof chains / sizeof *chains; k++) {
        char settings[160];
        snprintf(settings, sizeof settings, "format=q4_0 importance=%s", path);
        recipe_build_unresolved(&recipe, chains[k], settings);
        assert_int_equal(bs_recipe_resolve(&recipe, &err), BS_ECONFIG);
        bs_recipe_release(&recipe);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_layouts_come_back),
        cmocka_unit_test(the_older_layout_is_read_as_it_is_written_elsewhere),
        cmocka_unit_test(experts_and_the_head_are_read_as_llama_imatrix_writes_them),
        cmocka_unit_test(damage_is_told),
        cmocka_unit_test(what_is_no_number_is_told),
        cmocka_unit_test(each_linear_has_what_goes_by_its_name),
        cmocka_unit_test(a_file_of_another_model_is_refused),
        cmocka_unit_test(a_recipe_knows_a_file_by_its_bytes),
        cmocka_unit_test(only_rounding_as_it_is_takes_a_file),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
