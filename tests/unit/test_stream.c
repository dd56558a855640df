/* Windows of activations: where they are kept, and that it makes no difference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/model/stream.h"
#include "tests/support/folder.h"
#include "tests/support/resident.h"

enum { WINDOWS = 5, TOKENS = 60, WIDTH = 1000, FLOATS = TOKENS * WIDTH }; /* not whole pages */

static float value_of(int window, int i) { return (float)(window * FLOATS + i); }

static void assert_windows_are_kept(const struct bs_stream *stream)
{
    for (int w = 0; w < WINDOWS; w++) {
        float *x = bs_stream_window(stream, w);
        for (int i = 0; i < FLOATS; i++)
            x[i] = value_of(w, i);
        bs_stream_forget(stream, w);
    }
    for (int w = 0; w < WINDOWS; w++) {
        const float *x = bs_stream_window(stream, w);
        for (int i = 0; i < FLOATS; i++)
            assert_true(x[i] == value_of(w, i));
        bs_stream_forget(stream, w);
    }
}

static void windows_are_kept_in_memory_and_in_files(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_stream held, spilled;
    assert_int_equal(bs_stream_init(&held, WINDOWS, TOKENS, WIDTH, &err), BS_OK);
    assert_int_equal(bs_stream_init_in(folder.path, &spilled, WINDOWS, TOKENS, WIDTH, &err), BS_OK);
    assert_true(!held.spill.data && spilled.spill.data);
    assert_windows_are_kept(&held);
    assert_windows_are_kept(&spilled);
    assert_int_equal(resident_pages(spilled.data), 0);
    bs_stream_release(&held);
    bs_stream_release(&spilled);
    assert_true(!held.data && !spilled.data && !spilled.spill.data);
    bs_stream_release(&spilled);
}

static void what_is_beside_is_where_the_other_is(void **state)
{
    (void)state;
    struct bs_error err;
    const char *const places[] = {NULL, folder.path};
    for (int p = 0; p < 2; p++) {
        struct bs_stream stream, beside;
        assert_int_equal(bs_stream_init_in(places[p], &stream, WINDOWS, TOKENS, 1, &err), BS_OK);
        assert_int_equal(bs_stream_init_beside(&stream, &beside, WIDTH, &err), BS_OK);
        assert_int_equal(beside.windows, WINDOWS);
        assert_int_equal(beside.tokens, TOKENS);
        assert_int_equal(beside.width, WIDTH);
        assert_true((beside.spill.data != NULL) == (p == 1) && beside.data != stream.data);
        assert_windows_are_kept(&beside);
        bs_stream_release(&beside);
        bs_stream_release(&stream);
    }
}

static void a_stream_that_has_no_room_is_none(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_stream stream;
    const char *nowhere = folder_file(&folder, "nowhere");
    assert_int_equal(bs_stream_init_in(nowhere, &stream, WINDOWS, TOKENS, WIDTH, &err), BS_EIO);
    assert_non_null(strstr(err.message, nowhere));
    assert_null(stream.data);
    bs_stream_release(&stream);
    bs_alloc_fail_at(1);
    enum bs_status status = bs_stream_init(&stream, WINDOWS, TOKENS, WIDTH, &err);
    bs_alloc_fail_at(0);
    assert_int_equal(status, BS_ENOMEM);
    assert_null(stream.data);
    bs_stream_release(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_kept_in_memory_and_in_files),
        cmocka_unit_test(what_is_beside_is_where_the_other_is),
        cmocka_unit_test(a_stream_that_has_no_room_is_none),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
