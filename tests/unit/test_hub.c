/* The Hugging Face cache: where it is, and what is found in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/hub/hub.h"
#include "eval/hub/layout.h"
#include "tests/support/folder.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define OLDER "89abcdef0123456789abcdef0123456789abcdef"

static const char *const variables[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME",
                                        "XDG_CACHE_HOME", "HOME"};
enum { NUM_VARIABLES = sizeof variables / sizeof *variables };

static void expect_cache(const char *expected)
{
    struct bs_error err;
    char *path;
    assert_int_equal(bs_hub_cache_folder(&path, &err), BS_OK);
    assert_string_equal(path, expected);
    bs_free(path);
}

static void test_cache_folder(void **state)
{
    (void)state;
    static const struct {
        const char *set[NUM_VARIABLES], *folder;
    } cases[] = {
        {{"/a", "/b", "/c", "/d", "/h"}, "/a"},
        {{NULL, "/b", "/c", "/d", "/h"}, "/b"},
        {{"", "/b", "/c", "/d", "/h"}, "/b"},
        {{NULL, NULL, "/c", "/d", "/h"}, "/c/hub"},
        {{NULL, "", "", "/d", "/h"}, "/d/huggingface/hub"},
        {{NULL, NULL, NULL, NULL, "/h"}, "/h/.cache/huggingface/hub"},
        {{"~/x", NULL, NULL, NULL, "/h"}, "/h/x"},
        {{"~", NULL, NULL, NULL, "/h"}, "/h"},
        {{"~x/y", NULL, NULL, NULL, "/h"}, "~x/y"},
        {{NULL, NULL, "~/z", NULL, "/h"}, "/h/z/hub"},
        {{NULL, NULL, "/c", NULL, NULL}, "/c/hub"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        for (int i = 0; i < NUM_VARIABLES; i++)
            if (cases[c].set[i])
                setenv(variables[i], cases[c].set[i], 1);
            else
                unsetenv(variables[i]);
        expect_cache(cases[c].folder);
    }
    for (int i = 0; i < NUM_VARIABLES; i++)
        unsetenv(variables[i]);
    struct bs_error err;
    char *path;
    assert_int_equal(bs_hub_cache_folder(&path, &err), BS_EIO);
    assert_non_null(strstr(err.message, "HOME is not set"));
}

/* The variables as the other tests have them: the cache in the test's folder. */
static int use_cache(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_VARIABLES; i++)
        unsetenv(variables[i]);
    setenv("HF_HOME", folder.path, 1);
    return 0;
}

static void write_file(const char *name, const char *text)
{
    struct bs_error err;
    assert_int_equal(bs_make_parent(folder_file(&folder, name), &err), BS_OK);
    folder_write_text(&folder, name, text);
}

/* A repository with two snapshots, as fetching it twice leaves it. */
static void lay_out(void)
{
    struct bs_error err;
    write_file("hub/models--org--model/blobs/b1", "{}");
    write_file("hub/models--org--model/refs/main", COMMIT);
    write_file("hub/models--org--model/refs/refs/pr/1", OLDER "\n");
    static const char *const links[] = {"hub/models--org--model/snapshots/" COMMIT "/config.json",
                                        "hub/models--org--model/snapshots/" OLDER "/config.json"};
    for (int i = 0; i < 2; i++) {
        const char *link = folder_file(&folder, links[i]);
        assert_int_equal(bs_make_parent(link, &err), BS_OK);
        unlink(link);
        assert_int_equal(symlink("../../blobs/b1", link), 0);
    }
}

static void expect_model(const char *name, const char *below)
{
    struct bs_error err = {BS_OK, ""};
    char *directory;
    if (bs_hub_model(name, "", &directory, &err))
        fail_msg("%s", err.message);
    assert_string_equal(directory, folder_file(&folder, below));
    bs_free(directory);
}

static void expect_no_model(const char *name, const char *first, const char *second)
{
    struct bs_error err;
    char *directory;
    assert_int_equal(bs_hub_model(name, "", &directory, &err), BS_EIO);
    assert_null(directory);
    if (!strstr(err.message, first) || !strstr(err.message, second))
        fail_msg("expected '%s' and '%s' in: %s", first, second, err.message);
}

static void test_model(void **state)
{
    (void)state;
    lay_out();
    expect_model("org/model", "hub/models--org--model/snapshots/" COMMIT);
    expect_model("org/model@main", "hub/models--org--model/snapshots/" COMMIT);
    expect_model("org/model@refs/pr/1", "hub/models--org--model/snapshots/" OLDER);
    expect_model("org/model@" OLDER, "hub/models--org--model/snapshots/" OLDER);

    expect_no_model("org/modle", "`bitsweep fetch org/modle`",
                    folder_file(&folder, "hub/models--org--modle', it is not there"));
    expect_no_model("org/model@v2", "`bitsweep fetch org/model@v2`", "revision 'v2'");
    expect_no_model("org/model@v2", "org/model@v2", "that revision is not there");
    expect_no_model("gpt2", "models--gpt2", "it is not there");
}

static void test_damaged(void **state)
{
    (void)state;
    lay_out();
    unlink(folder_file(&folder, "hub/models--org--model/blobs/b1"));
    expect_no_model("org/model", "config.json", "its content is gone");
    unlink(folder_file(&folder, "hub/models--org--model/snapshots/" COMMIT "/config.json"));
    expect_no_model("org/model", "config.json", "that file is not there");
    write_file("hub/models--org--model/snapshots/" COMMIT "/model.Q8_0.gguf", "GGUF");
    expect_no_model("org/model", "name the file: ", "snapshots/" COMMIT "/model.Q8_0.gguf");
    unlink(folder_file(&folder, "hub/models--org--model/snapshots/" COMMIT "/model.Q8_0.gguf"));
    write_file("hub/models--org--model/refs/main", "../../../elsewhere");
    expect_no_model("org/model", "main", "that revision is not there");
    write_file("hub/models--org--model/refs/main", "");
    expect_no_model("org/model", "main", "that revision is not there");
    write_file("hub/models--org--model/refs/main", "fedcba");
    expect_no_model("org/model", "main", "the snapshot is not there");
    unlink(folder_file(&folder, "hub/models--org--model/refs/main"));
    expect_no_model("org/model", "main", "that revision is not there");
}

static void expect_path(const char *name)
{
    struct bs_error err;
    char *directory;
    assert_int_equal(bs_hub_model(name, "", &directory, &err), BS_OK);
    assert_string_equal(directory, name);
    bs_free(directory);
}

static void test_paths(void **state)
{
    (void)state;
    expect_path("/nowhere/at/all");
    expect_path("./nowhere");
    expect_path("../nowhere");
    expect_path(".");
    /* A folder goes before a hub name of the same letters. */
    char before[1024];
    assert_non_null(getcwd(before, sizeof before));
    write_file("org/model/config.json", "{}");
    lay_out();
    assert_int_equal(chdir(folder.path), 0);
    expect_path("org/model");
    assert_int_equal(chdir(before), 0);
    expect_model("org/model", "hub/models--org--model/snapshots/" COMMIT);
}

static void test_hostile_names(void **state)
{
    (void)state;
    static const char *const names[] = {"a/b/c",
                                        "",
                                        "org/",
                                        "/",
                                        "org//model",
                                        "..x/model",
                                        "org/..",
                                        "org/-m",
                                        "o--g/m",
                                        "org/m..l",
                                        "org/m l",
                                        "org/mod\nel",
                                        "org/model@",
                                        "org/model@../x",
                                        "org/model@a/../../b",
                                        "org/model@/etc",
                                        "org/model@a//b",
                                        "org/m\xc3\xa9l"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i][0] != '/')
            expect_no_model(names[i], "no name of the hub", "org/name@revision");
    char longest[200];
    memset(longest, 'a', sizeof longest);
    longest[97] = 0;
    assert_false(bs_hub_is_repository(longest));
    longest[96] = 0;
    assert_true(bs_hub_is_repository(longest));

    static const char *const outside[] = {"",     "/a",  "a/",    "..",   "../a", "a/..", "a/../b",
                                          "a//b", "./a", "a/./b", "a\nb", "a\\b", ".",    "a\x7f"};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        assert_false(bs_hub_is_inside(outside[i]));
    assert_true(bs_hub_is_inside("en/c4-validation.00000-of-00008.json.gz"));
    assert_true(bs_hub_is_inside("..a/.b/c.."));
    static const char *const fancy[] = {"", ".", "..", ".a", "a/b", "a b", "a\"b"};
    for (size_t i = 0; i < sizeof fancy / sizeof *fancy; i++)
        assert_false(bs_hub_is_plain(fancy[i]));
    assert_true(bs_hub_is_plain("0123abcd-4_5.6"));
    assert_true(bs_hub_is_hex("0a", 2) && !bs_hub_is_hex("0A", 2) && !bs_hub_is_hex("0a1", 2));
}

static void test_file(void **state)
{
    (void)state;
    struct bs_error err;
    char *path;
    struct bs_remote remote = {
        .kind = BS_REPO_DATASET, .repository = "allenai/c4", .path = "en/c4.json.gz"};
    assert_int_equal(bs_hub_file(&remote, &path, &err), BS_EIO);
    assert_non_null(strstr(err.message, "en/c4.json.gz of allenai/c4 is not in the"));
    write_file("hub/datasets--allenai--c4/refs/main", COMMIT);
    write_file("hub/datasets--allenai--c4/snapshots/" COMMIT "/en/c4.json.gz", "x");
    assert_int_equal(bs_hub_file(&remote, &path, &err), BS_OK);
    assert_string_equal(
        path, folder_file(&folder, "hub/datasets--allenai--c4/snapshots/" COMMIT "/en/c4.json.gz"));
    bs_free(path);
    remote.revision = COMMIT;
    assert_int_equal(bs_hub_file(&remote, &path, &err), BS_OK);
    bs_free(path);
    remote.kind = BS_REPO_MODEL;
    assert_int_equal(bs_hub_file(&remote, &path, &err), BS_EIO);
    remote.path = "../../../../secret";
    assert_int_equal(bs_hub_file(&remote, &path, &err), BS_EIO);
    assert_non_null(strstr(err.message, "no names of the hub"));

    struct bs_remote other = {.url = "https://example.org/ptb.txt", .path = "ptb/valid.txt"};
    assert_int_equal(bs_hub_file(&other, &path, &err), BS_EIO);
    assert_non_null(strstr(err.message, folder_file(&folder, "bitsweep/ptb/valid.txt")));
    write_file("bitsweep/ptb/valid.txt", "y");
    assert_int_equal(bs_hub_file(&other, &path, &err), BS_OK);
    assert_string_equal(path, folder_file(&folder, "bitsweep/ptb/valid.txt"));
    bs_free(path);
    other.path = "../valid.txt";
    assert_int_equal(bs_hub_file(&other, &path, &err), BS_EIO);
}

static void test_memory(void **state)
{
    (void)state;
    lay_out();
    struct bs_error err;
    char *path;
    bs_alloc_fail_at(0);
    expect_model("org/model@main", "hub/models--org--model/snapshots/" COMMIT);
    long allocations = bs_alloc_fail_at(0);
    assert_true(allocations > 5);
    for (long n = 1; n <= allocations; n++) {
        bs_alloc_fail_at(n);
        assert_int_equal(bs_hub_model("org/model@main", "", &path, &err), BS_ENOMEM);
        assert_null(path);
    }
    bs_alloc_fail_at(0);
    struct bs_remote remote = {.repository = "org/model", .path = "config.json"};
    for (long n = 1;; n++) {
        bs_alloc_fail_at(n);
        enum bs_status status = bs_hub_file(&remote, &path, &err);
        if (!status)
            break;
        assert_int_equal(status, BS_ENOMEM);
        assert_null(path);
        assert_true(n < 50);
    }
    bs_alloc_fail_at(0);
    bs_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache_folder),
        cmocka_unit_test_setup(test_model, use_cache),
        cmocka_unit_test_setup(test_damaged, use_cache),
        cmocka_unit_test_setup(test_paths, use_cache),
        cmocka_unit_test_setup(test_hostile_names, use_cache),
        cmocka_unit_test_setup(test_file, use_cache),
        cmocka_unit_test_setup(test_memory, use_cache),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
