/* Fetching single files, of repositories and of other servers, from the hub on loopback
 * (tests/server); tests/cli/fetch.sh fetches models. */
#define _XOPEN_SOURCE 700

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <signal.h>
#include <sys/wait.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/hub/checksum.h"
#include "eval/hub/fetch.h"
#include "tests/support/folder.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
/* Of "abc"; NIST's example, and git's name of a file that holds it. */
#define ABC_SHA256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC_GIT "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f"

static const struct bs_remote in_dataset = {
    .kind = BS_REPO_DATASET, .repository = "org/texts", .path = "en/a.json.gz"};

static pid_t server;
static char address[64];

static void write_file(const char *name, const char *text)
{
    struct bs_error err;
    assert_int_equal(bs_make_parent(folder_file(&folder, name), &err), BS_OK);
    folder_write_text(&folder, name, text);
}

/* Starts the hub with one fault, or none; the cache is empty. */
static void start_hub(const char *fault)
{
    char program[4096], line[64] = "";
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 64);
    assert_true(length > 0);
    program[length] = 0;
    char *own = strstr(program, "/tests/unit/");
    snprintf(own, sizeof program - (size_t)(own - program), "/tests/server/hub_server");
    folder_remove_path(folder_file(&folder, "home"));
    folder_write_text(&folder, "log", "");
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    server = fork();
    if (!server) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        execl(program, program, folder_file(&folder, "root"), folder_file(&folder, "log"), fault,
              NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *ports = fdopen(ends[0], "r");
    assert_non_null(ports);
    if (!fgets(line, sizeof line, ports))
        fail_msg("no hub at %s: make tests", program);
    fclose(ports);
    snprintf(address, sizeof address, "http://127.0.0.1:%d", (int)strtol(line, NULL, 10));
    setenv("HF_ENDPOINT", address, 1);
}

static int stop_hub(void **state)
{
    (void)state;
    if (server > 0) {
        kill(server, SIGTERM);
        waitpid(server, NULL, 0);
    }
    server = 0;
    return 0;
}

/* How many lines of the hub's log have all of the words. */
static int requests(const char *first, const char *second)
{
    struct bs_error err;
    char *text;
    size_t size;
    int count = 0;
    assert_int_equal(bs_file_read(folder_file(&folder, "log"), &text, &size, &err), BS_OK);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        count += strstr(line, first) && strstr(line, second);
    }
    bs_free(text);
    return count;
}

static int set_up(void **state)
{
    static const char *const unset[] = {"HF_HUB_CACHE",   "HUGGINGFACE_HUB_CACHE", "HF_TOKEN",
                                        "HF_TOKEN_PATH",  "HF_HUB_OFFLINE",        "http_proxy",
                                        "CURL_CA_BUNDLE", "TRANSFORMERS_OFFLINE",  "all_proxy"};
    folder_setup(state);
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++)
        unsetenv(unset[i]);
    setenv("no_proxy", "*", 1);
    setenv("HF_HOME", folder_file(&folder, "home"), 1);
    write_file("root/datasets/org/texts/refs/main", COMMIT);
    write_file("root/datasets/org/texts/commits/" COMMIT "/en/a.json.gz", "abc");
    write_file("root/datasets/org/texts/commits/" COMMIT "/a b+ü#.txt", "abc");
    write_file("root/datasets/org/texts/commits/" COMMIT "/empty.txt", "");
    write_file("root/raw/ptb.txt", "abc");
    write_file("root/models/org/model/refs/main", COMMIT);
    write_file("root/models/org/model/commits/" COMMIT "/config.json", "{}");
    write_file("root/models/org/model/commits/" COMMIT "/model.safetensors.index.json",
               "{\"weight_map\": {\"w\": \"a.safetensors\"}}");
    write_file("root/models/org/model/commits/" COMMIT "/a.safetensors", "abc");
    return 0;
}

/* What the watcher was told last. */
struct told {
    int reports;
    struct bs_fetch_progress last;
};

static void on_progress(void *context, const struct bs_fetch_progress *progress)
{
    struct told *told = context;
    told->reports++;
    told->last = *progress;
}

static enum bs_status fetch(const struct bs_remote *remote, struct bs_fetch_outcome *outcome,
                            struct bs_error *err)
{
    const struct bs_fetch_watch nobody = {NULL, NULL, NULL};
    return bs_fetch_remote(remote, &nobody, outcome, err);
}

/* Fetches, and finds it where the lookup finds it, with the content "abc". */
static void expect_fetched(const struct bs_remote *remote, int fetched, const char *below)
{
    struct bs_error err;
    struct bs_fetch_outcome outcome;
    char *path;
    if (fetch(remote, &outcome, &err) || bs_hub_file(remote, &path, &err))
        fail_msg("%s", err.message);
    assert_int_equal(outcome.fetched, fetched);
    assert_int_equal(outcome.files, 1);
    assert_string_equal(outcome.path, folder_file(&folder, below));
    assert_string_equal(path, outcome.path);
    struct bs_checksum sum;
    assert_int_equal(bs_checksum_file(path, BS_SHA256, &sum, &err), BS_OK);
    assert_string_equal(sum.hex, ABC_SHA256);
    bs_free(path);
    bs_fetch_outcome_release(&outcome);
}

static void expect_failure(const struct bs_remote *remote, enum bs_status status, const char *text)
{
    struct bs_error err;
    struct bs_fetch_outcome outcome;
    assert_int_equal(fetch(remote, &outcome, &err), status);
    assert_null(outcome.path);
    if (!strstr(err.message, text))
        fail_msg("expected '%s' in: %s", text, err.message);
}

static void test_checksums(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_checksum sum;
    enum bs_checksum_kind kind;
    folder_write_text(&folder, "abc", "abc");
    assert_int_equal(bs_checksum_file(folder_file(&folder, "abc"), BS_SHA256, &sum, &err), BS_OK);
    assert_string_equal(sum.hex, ABC_SHA256);
    assert_int_equal(bs_checksum_file(folder_file(&folder, "abc"), BS_GIT_SHA1, &sum, &err), BS_OK);
    assert_string_equal(sum.hex, ABC_GIT);
    folder_write_text(&folder, "abc", "");
    assert_int_equal(bs_checksum_file(folder_file(&folder, "abc"), BS_GIT_SHA1, &sum, &err), BS_OK);
    assert_string_equal(sum.hex, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"); /* git's empty file */
    assert_int_equal(bs_checksum_file(folder_file(&folder, "none"), BS_SHA256, &sum, &err), BS_EIO);
    assert_true(bs_checksum_kind_of(ABC_SHA256, &kind) && kind == BS_SHA256);
    assert_true(bs_checksum_kind_of(ABC_GIT, &kind) && kind == BS_GIT_SHA1);
    assert_false(bs_checksum_kind_of("\"abc\"", &kind));
    bs_alloc_fail_at(1);
    assert_int_equal(bs_checksum_file(folder_file(&folder, "abc"), BS_SHA256, &sum, &err),
                     BS_ENOMEM);
    bs_alloc_fail_at(0);
}

static void test_dataset(void **state)
{
    (void)state;
    static const char below[] = "home/hub/datasets--org--texts/snapshots/" COMMIT "/en/a.json.gz";
    char target[256];
    start_hub(NULL);
    expect_fetched(&in_dataset, 1, below);
    ssize_t length = readlink(folder_file(&folder, below), target, sizeof target - 1);
    assert_int_equal(length, strlen("../../../blobs/" ABC_SHA256));
    assert_memory_equal(target, "../../../blobs/" ABC_SHA256, (size_t)length);
    assert_int_equal(requests("store GET", ""), 1);
    expect_fetched(&in_dataset, 0, below);
    assert_int_equal(requests("store GET", ""), 1);
    assert_int_equal(requests("HEAD /datasets/org/texts/resolve/main/en/a.json.gz", ""), 2);

    struct bs_remote summed = in_dataset;
    summed.sha256 = ABC_SHA256;
    expect_fetched(&summed, 0, below);
    summed.sha256 = "aa7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    expect_failure(&summed, BS_EDATA, "has another content than expected");
}

static void test_names(void **state)
{
    (void)state;
    start_hub(NULL);
    struct bs_remote remote = in_dataset;
    remote.path = "a b+ü#.txt";
    remote.revision = COMMIT;
    expect_fetched(&remote, 1, "home/hub/datasets--org--texts/snapshots/" COMMIT "/a b+ü#.txt");
    /* A small file has git's name, but the row's checksum is sha256: both must hold. */
    folder_remove_path(folder_file(&folder, "home"));
    remote.sha256 = "aa7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    expect_failure(&remote, BS_EDATA, "the checksum is " ABC_SHA256);
    remote = in_dataset;
    remote.path = "../../../evil";
    expect_failure(&remote, BS_EDATA, "no path below a folder");
    remote.path = "none.txt";
    expect_failure(&remote, BS_EIO, "org/texts has no file 'none.txt' in revision 'main'");
    remote.repository = "org/../texts";
    expect_failure(&remote, BS_EIO, "no names of the hub");
    remote.repository = "org/nothing";
    expect_failure(&remote, BS_EIO, "no data set 'org/nothing'");
    remote.path = "empty.txt";
    remote.repository = "org/texts";
    struct bs_error err;
    struct bs_fetch_outcome outcome;
    assert_int_equal(fetch(&remote, &outcome, &err), BS_OK);
    assert_int_equal(outcome.bytes, 0);
    bs_fetch_outcome_release(&outcome);
}

static struct bs_remote at_url(char *url, size_t size)
{
    snprintf(url, size, "%s/raw/ptb.txt", address);
    return (struct bs_remote){.path = "ptb/test.txt", .url = url};
}

static void test_url(void **state)
{
    (void)state;
    char url[128];
    start_hub(NULL);
    struct bs_remote remote = at_url(url, sizeof url);
    static const char below[] = "home/bitsweep/ptb/test.txt";
    expect_fetched(&remote, 1, below);
    assert_int_equal(access(folder_file(&folder, "home/bitsweep/ptb/test.txt.validator"), F_OK),
                     -1);
    expect_fetched(&remote, 0, below);
    assert_int_equal(requests("", ""), 1);
    /* What is damaged on the disk is seen where the checksum is known, and fetched again. */
    remote.sha256 = ABC_SHA256;
    expect_fetched(&remote, 0, below);
    write_file(below, "abd");
    expect_fetched(&remote, 1, below);
    remote.sha256 = "aa7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    expect_failure(&remote, BS_EDATA, "the checksum is " ABC_SHA256);
    assert_int_equal(access(folder_file(&folder, below), F_OK), -1);
    assert_int_equal(access(folder_file(&folder, "home/bitsweep/ptb/test.txt.incomplete"), F_OK),
                     -1);
    remote.path = "ptb/../../test.txt";
    expect_failure(&remote, BS_EIO, "no path below a folder");
    remote = at_url(url, sizeof url);
    snprintf(url, sizeof url, "%s/raw/ptb.txtx", address);
    expect_failure(&remote, BS_EIO, "answers 404");
}

/* A part is gone on with where the server still has the version it is of. */
static void test_url_resumed(void **state)
{
    (void)state;
    char url[128];
    static const char below[] = "home/bitsweep/ptb/test.txt",
                      part[] = "home/bitsweep/ptb/test.txt.incomplete",
                      validator[] = "home/bitsweep/ptb/test.txt.validator";
    char version[64];
    snprintf(version, sizeof version, "\"%.32s\"", ABC_SHA256); /* as the server makes ETags */

    start_hub(NULL);
    struct bs_remote remote = at_url(url, sizeof url);
    write_file(part, "ab");
    write_file(validator, version);
    expect_fetched(&remote, 1, below);
    assert_int_equal(requests("206 range=bytes=2- if-range=", version), 1);
    stop_hub(NULL);

    start_hub(NULL);
    remote = at_url(url, sizeof url);
    write_file(part, "xy");
    write_file(validator, "\"another\"");
    expect_fetched(&remote, 1, below);
    assert_int_equal(requests("200 range=bytes=2- if-range=\"another\"", ""), 1);
    stop_hub(NULL);

    start_hub(NULL);
    remote = at_url(url, sizeof url);
    write_file(part, "xy");
    expect_fetched(&remote, 1, below);
    assert_int_equal(requests("range=", ""), 0);
    stop_hub(NULL);

    start_hub("cut:/raw/:2:1");
    remote = at_url(url, sizeof url);
    expect_fetched(&remote, 1, below);
    assert_int_equal(requests("206 range=bytes=2- if-range=", version), 1);
}

static void test_progress(void **state)
{
    (void)state;
    start_hub("cut:store/:2:1");
    struct bs_error err;
    struct bs_fetch_outcome outcome;
    struct told told = {.reports = 0};
    const struct bs_fetch_watch watch = {on_progress, NULL, &told};
    assert_int_equal(bs_fetch_remote(&in_dataset, &watch, &outcome, &err), BS_OK);
    assert_int_equal(outcome.bytes, 3);
    assert_true(told.reports >= 3);
    assert_int_equal(told.last.done, 3);
    assert_int_equal(told.last.size, 3);
    assert_int_equal(told.last.all_done, 3);
    assert_int_equal(told.last.all_bytes, 3);
    assert_int_equal(told.last.number, 1);
    assert_int_equal(told.last.count, 1);
    bs_fetch_outcome_release(&outcome);
}

static enum bs_status fetch_model(struct bs_fetch_outcome *outcome, struct bs_error *err)
{
    const struct bs_fetch_watch nobody = {NULL, NULL, NULL};
    return bs_fetch_model("org/model@main", NULL, &nobody, outcome, err);
}

static enum bs_status fetch_file(struct bs_fetch_outcome *outcome, struct bs_error *err)
{
    return fetch(&in_dataset, outcome, err);
}

/* A model in parts is never found, and one that is found is whole. */
static void expect_no_part_of_a_model(void)
{
    struct bs_error err;
    char *found;
    if (!bs_hub_model("org/model", "", &found, &err))
        assert_int_equal(access(folder_file(&folder, "home/hub/models--org--model/snapshots/" COMMIT
                                                     "/a.safetensors"),
                                R_OK),
                         0);
    bs_free(found);
}

/* Whichever allocation of ours fails: the fetch ends in good order, with a path or an error. */
static void test_memory(void **state)
{
    (void)state;
    start_hub(NULL);
    enum bs_status (*const fetches[])(struct bs_fetch_outcome *, struct bs_error *) = {fetch_model,
                                                                                       fetch_file};
    for (int f = 0; f < 2; f++) {
        struct bs_error err;
        struct bs_fetch_outcome outcome;
        long failures = 0, allocations = LONG_MAX;
        for (long n = 0; n <= allocations; n++) {
            folder_remove_path(folder_file(&folder, "home"));
            bs_alloc_fail_at(n);
            enum bs_status status = fetches[f](&outcome, &err);
            long made = bs_alloc_fail_at(0);
            allocations = n ? allocations : made; /* of the one run in which none fails */
            assert_true(n ? !status || status == BS_ENOMEM : !status);
            assert_true(!status == !!outcome.path);
            failures += status == BS_ENOMEM;
            bs_fetch_outcome_release(&outcome);
            expect_no_part_of_a_model();
        }
        assert_true(allocations > 50 && failures > allocations * 9 / 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksums),
        cmocka_unit_test_teardown(test_dataset, stop_hub),
        cmocka_unit_test_teardown(test_names, stop_hub),
        cmocka_unit_test_teardown(test_url, stop_hub),
        cmocka_unit_test_teardown(test_url_resumed, stop_hub),
        cmocka_unit_test_teardown(test_progress, stop_hub),
        cmocka_unit_test_teardown(test_memory, stop_hub),
    };
    return cmocka_run_group_tests(tests, set_up, folder_teardown);
}
