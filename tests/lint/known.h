/* For clang-tidy only, which sees one file at a time: the status of a failure is never BS_OK. */
#ifndef BS_TESTS_LINT_KNOWN_H
#define BS_TESTS_LINT_KNOWN_H

#include "eval/base/error.h"

#define bs_fail(err, code, ...) ((bs_fail)((err), (code), __VA_ARGS__), (err)->status = (code))
#define bs_fail_within(err, ...) ((bs_fail_within)((err), __VA_ARGS__), (err)->status = BS_EDATA)
#define bs_fail_memory(err) ((bs_fail_memory)(err), (err)->status = BS_ENOMEM)

#endif
