/* Times as people and Slurm write them: sbatch(1), --time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "eval/command/duration.h"

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double seconds;
    } times[] = {
        {"90s", 90},      {"30m", 1800},       {"1.5h", 5400},         {"2d", 172800},
        {"7", 7 * 60},    {"30:00", 1800},     {"0:45", 45},           {"12:30:05", 45005},
        {"2-12", 216000}, {"2-12:30", 217800}, {"2-12:30:05", 217805}, {"0-1", 3600},
        {"90:00", 5400},  {"0.5s", 0.5},
    };
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        assert_true(bs_duration(times[i].text, 60) == times[i].seconds);
}

static void test_no_times(void **state)
{
    (void)state;
    static const char *const others[] = {
        "",   "m",     "-5m",   "0",   "0s",  "5x",    "5mm",   "1:2:3:4", ":30",  "30:", "1-",
        "-1", "1-2-3", "1e99h", "nan", "inf", "1h30m", "1-2:x", "0:00",    "1:-2", "soon"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (bs_duration(others[i], 60) != 0)
            fail_msg("'%s' is taken for a time", others[i]);
    assert_true(bs_duration("30", 0) == 0); /* a unit is asked for */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_no_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
