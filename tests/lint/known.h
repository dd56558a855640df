/* For clang-tidy only, which sees one file at a time: the status of a failure is never BS_OK. */
#ifndef BS_TESTS_LINT_KNOWN_H
#define BS_TESTS_LINT_KNOWN_H

#include "eval/base/error.h"

#define bs_fail(err, status, ...) ((bs_fail)((err), (status), __VA_ARGS__), (status))
#define bs_fail_within(err, ...) ((bs_fail_within)((err), __VA_ARGS__), BS_EDATA)
#define bs_fail_memory(err) ((bs_fail_memory)(err), BS_ENOMEM)

#endif
