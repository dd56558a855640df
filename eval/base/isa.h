/* Which instructions the hot loops use. The program is compiled for the oldest processor that it
 * runs on; a source whose name ends in _isa.c is compiled once per level (Makefile), and the
 * program takes each of its loops from the table of the level in use. A level changes how fast a
 * loop is and never a bit of what it computes: sums have fixed lanes, and a fused multiply-add is
 * written as one (fma, fmaf) or is none. The tests run every loop at every level that the machine
 * has. */
#ifndef BS_EVAL_BASE_ISA_H
#define BS_EVAL_BASE_ISA_H

#include <stdbool.h>

#include "eval/base/error.h"

/* From the least to the most. Processors other than x86-64 have the first only, which is then
 * whatever the compiler takes them for, with their own vectors. */
enum bs_isa {
    BS_ISA_BASE, /* x86-64-v2: vectors of 128 bits; fma and fmaf are the C library's, and slow */
    BS_ISA_FMA,  /* and fused multiply-adds, on vectors of 128 bits */
    BS_ISA_V3,   /* x86-64-v3: AVX2, vectors of 256 bits */
    BS_ISA_V4,   /* x86-64-v4: AVX-512 */
    BS_NUM_ISA
};

/* The level in use: the best that the processor has, or what the environment variable
 * BITSWEEP_ISA says. To be read by bs_isa and set by bs_isa_use. */
extern enum bs_isa bs_isa_in_use;
static inline enum bs_isa bs_isa(void) { return bs_isa_in_use; }

/* "base", "fma", "v3", "v4". */
const char *bs_isa_name(enum bs_isa level);

/* Uses this level from now on, for tests; false, and nothing changes, where the processor lacks
 * it. Not while loops run. */
bool bs_isa_use(enum bs_isa level);

/* BS_EUNSUPPORTED where BITSWEEP_ISA is something other than a level that the processor has; it
 * then counts for nothing. Empty is not set. */
enum bs_status bs_isa_check(struct bs_error *err);

/* In a _isa.c source, where BS_ISA is its level's number: the name of its table of loops. */
#define BS_AT_LEVEL(table) BS_ISA_JOIN(table, BS_ISA)
#define BS_ISA_JOIN(table, level) BS_ISA_PASTE(table, level)
#define BS_ISA_PASTE(table, level) table##_##level

/* Defines the array `table` of BS_NUM_ISA pointers to the tables of all levels, each a const
 * struct `table`; to be declared in a header as
 *     extern const struct bs_x_loops *const bs_x_loops[BS_NUM_ISA]; */
#ifdef __x86_64__
#define BS_LEVELS(table)                                                                           \
    extern const struct table table##_0, table##_1, table##_2, table##_3;                          \
    const struct table *const table[BS_NUM_ISA] = {&table##_0, &table##_1, &table##_2, &table##_3}
#else
#define BS_LEVELS(table)                                                                           \
    extern const struct table table##_0;                                                           \
    const struct table *const table[BS_NUM_ISA] = {&table##_0}
#endif

#endif
