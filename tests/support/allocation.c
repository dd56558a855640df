#include "tests/support/allocation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/base/mem.h"

bool allocation_failed(long n, enum bs_status status, const struct bs_error *err)
{
    bool failed = bs_alloc_fail_at(0) >= n;
    if (status != (failed ? BS_ENOMEM : BS_OK))
        fail_msg("allocation %ld %s, but the status is %d: %s", n,
                 failed ? "failed" : "was not made", (int)status, status ? err->message : "none");
    return failed;
}
