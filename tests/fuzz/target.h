/* Fuzz targets: each takes the bytes of one kind of input file and does with it what the program
 * does. libfuzzer.c feeds them from libFuzzer, tests/unit/test_fuzz.c from the files of seeds/ and
 * regressions/. */
#ifndef BS_TESTS_FUZZ_TARGET_H
#define BS_TESTS_FUZZ_TARGET_H

#include <stddef.h>

#include "eval/base/error.h"

/* Changes data[0 .. size) in place, in no more than max_size bytes; returns the new size. */
typedef size_t fuzz_mutator(unsigned char *data, size_t size, size_t max_size);

struct fuzz_target {
    const char *name; /* of its folders in seeds/ and regressions/ */
    const char *dictionary;
    size_t max_bytes;
    void (*run)(const unsigned char *data, size_t size);
    /* Keeps an input well-formed enough to get past the first check; NULL where plain changes do.
     * `blind` is the fuzzer's own mutator, for a part of the input. */
    size_t (*mutate)(unsigned char *data, size_t size, size_t max_size, unsigned seed,
                     fuzz_mutator *blind);
};

extern const struct fuzz_target *const fuzz_targets[]; /* NULL-terminated */

/* A folder of this process alone below TMPDIR, made at the first call and removed at exit. */
const char *fuzz_folder(void);

/* "folder/name", good until the fourth call from now. */
const char *fuzz_path(const char *name);

/* Writes a file of that folder. */
void fuzz_put(const char *name, const void *data, size_t size);

/* What every failure must have: its own status in err, and a message that names `path` where it is
 * not NULL. Aborts where not. */
void fuzz_check(enum bs_status status, const struct bs_error *err, const char *path);

/* Opens the tokenizer of fuzz_folder() and, where it opens, encodes text[0 .. size): every id must
 * be one of the vocabulary. */
void fuzz_tokenize(const char *text, size_t size);

/* A mutator for JSON: replaces, copies, removes and nests values of the tree; falls back on `blind`
 * where the data is no JSON or the result too long. */
size_t fuzz_mutate_json(unsigned char *data, size_t size, size_t max_size, unsigned seed,
                        fuzz_mutator *blind);

/* The next number of a small generator. */
unsigned fuzz_random(unsigned *state);

#endif
