/* libFuzzer's entry points: `--target=NAME` chooses the target; `--list` prints them, one a
 * line. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/target.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static const struct fuzz_target *target;

static void list(void)
{
    for (const struct fuzz_target *const *t = fuzz_targets; *t; t++)
        printf("%s %s %zu\n", (*t)->name, (*t)->dictionary, (*t)->max_bytes);
    exit(0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char option[] = "--target=";
    for (int i = 1; i < *argc; i++) {
        if (!strcmp((*argv)[i], "--list"))
            list();
        if (strncmp((*argv)[i], option, sizeof option - 1))
            continue;
        for (const struct fuzz_target *const *t = fuzz_targets; *t; t++)
            if (!strcmp((*t)->name, (*argv)[i] + sizeof option - 1))
                target = *t;
    }
    if (target)
        return 0;
    fprintf(stderr, "say --target=NAME; --list prints the names\n");
    exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    target->run(data, size);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    if (!target->mutate)
        return LLVMFuzzerMutate(data, size, max_size);
    return target->mutate(data, size, max_size, seed, LLVMFuzzerMutate);
}
