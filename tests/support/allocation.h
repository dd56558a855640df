/* For tests that let every allocation of what they test fail, one after the other:
 *
 *     long n = 0;
 *     do {
 *         bs_alloc_fail_at(++n);
 *         status = ...
 *     } while (allocation_failed(n, status, &err));
 *
 * After the loop n is one more than the allocations there are. */
#ifndef BS_TESTS_SUPPORT_ALLOCATION_H
#define BS_TESTS_SUPPORT_ALLOCATION_H

#include <stdbool.h>

#include "eval/base/error.h"

/* Whether what ended with `status` got as far as its n-th allocation since bs_alloc_fail_at(n),
 * which is called off. Fails where the status is not BS_ENOMEM then, and BS_OK otherwise; err is
 * that of the status, and need not be set for these two. */
bool allocation_failed(long n, enum bs_status status, const struct bs_error *err);

#endif
