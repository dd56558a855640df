#include "eval/linalg/product_choice.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/machine.h"
#include "eval/base/mem.h"
#include "eval/base/parallel.h"

enum { CPU_BYTES = 64, TEXT_BYTES = 256, ROUNDS = 6 };

static const char *const kinds[BS_NUM_PRODUCT_KINDS] = {"wide", "narrow"};

static bool choosing;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static enum bs_isa chosen[BS_NUM_PRODUCT_KINDS];

/* --- the file --- */

void bs_product_choice_print(const enum bs_isa levels[BS_NUM_PRODUCT_KINDS], char *text,
                             size_t size)
{
    char cpu[CPU_BYTES];
    bs_cpu_name(cpu, sizeof cpu);
    int length =
        snprintf(text, size, "bitsweep %s, the faster products of\n%s\n%s %s\n%s %s\n", BS_VERSION,
                 cpu, kinds[0], bs_isa_name(levels[0]), kinds[1], bs_isa_name(levels[1]));
    _Static_assert(BS_NUM_PRODUCT_KINDS == 2, "a line for each");
    if (length < 0 || (size_t)length >= size)
        *text = '\0';
}

bool bs_product_choice_parse(const char *text, enum bs_isa levels[BS_NUM_PRODUCT_KINDS])
{
    char want[TEXT_BYTES];
    for (int wide = BS_ISA_V3; wide <= BS_ISA_V4; wide++)
        for (int narrow = BS_ISA_V3; narrow <= BS_ISA_V4; narrow++) {
            levels[BS_PRODUCT_WIDE] = (enum bs_isa)wide;
            levels[BS_PRODUCT_NARROW] = (enum bs_isa)narrow;
            bs_product_choice_print(levels, want, sizeof want);
            if (*want && !strcmp(text, want))
                return true;
        }
    return false;
}

/* bs_free; NULL where there is no place for it. A relative path is to be ignored (XDG Base
 * Directory Specification). */
static char *file_path(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache == '/')
        return bs_printf("%s/bitsweep/products", cache);
    return home && *home ? bs_printf("%s/.cache/bitsweep/products", home) : NULL;
}

static bool read_choice(const char *path)
{
    struct bs_error err;
    char *data, text[TEXT_BYTES];
    size_t size;
    if (bs_file_check(path, &err) || bs_file_read(path, &data, &size, &err))
        return false;
    bool fits = size < sizeof text;
    if (fits) {
        memcpy(text, data, size);
        text[size] = '\0';
    }
    bs_free(data);
    enum bs_isa levels[BS_NUM_PRODUCT_KINDS];
    if (!fits || strlen(text) != size || !bs_product_choice_parse(text, levels))
        return false;
    memcpy(chosen, levels, sizeof chosen);
    return true;
}

/* Aside first, so that another run never reads half of it. */
static void write_choice(const char *path)
{
    struct bs_error err;
    char text[TEXT_BYTES];
    bs_product_choice_print(chosen, text, sizeof text);
    char *aside = bs_printf("%s.%ld", path, (long)getpid());
    int file;
    if (aside && !bs_make_parent(path, &err) && !bs_file_create(aside, &file, &err)) {
        bool written = write(file, text, strlen(text)) == (ssize_t)strlen(text);
        if (close(file) || !written || rename(aside, path))
            remove(aside);
    }
    bs_free(aside);
}

/* --- the measurement --- */

/* Seconds of the shortest of some products, the levels in turn. */
static void measure(const struct bs_product *product, struct bs_product_room *room,
                    double seconds[BS_NUM_ISA])
{
    for (int level = BS_ISA_V3; level <= BS_ISA_V4; level++)
        seconds[level] = 1e9;
    for (int round = 0; round < ROUNDS; round++)
        for (int level = BS_ISA_V3; level <= BS_ISA_V4; level++) {
            double start = bs_seconds();
            bs_product_loops[level]->multiply(product, room);
            double took = bs_seconds() - start;
            seconds[level] = took < seconds[level] ? took : seconds[level];
        }
}

/* The level in use where the other is not clearly faster, nor can be measured. */
static enum bs_isa faster(enum bs_product_kind kind)
{
    enum { ROWS = 256, SIDE = 512, HEAD = 64 };
    const double clearly = 0.98;
    size_t count = (size_t)SIDE * SIDE;
    float *floats = bs_alloc(3 * count, sizeof *floats);
    struct bs_product_room *room = bs_alloc(1, sizeof *room);
    enum bs_isa level = BS_ISA_V4;
    if (floats && room) {
        double seconds[BS_NUM_ISA];
        for (size_t i = 0; i < 3 * count; i++)
            floats[i] = 0.5f;
        bool wide = kind == BS_PRODUCT_WIDE;
        struct bs_product product = {.m = wide ? ROWS : ROWS / 2,
                                     .n = wide ? SIDE : HEAD,
                                     .k = SIDE,
                                     .alpha = 1,
                                     .a = floats,
                                     .a_row = SIDE,
                                     .a_step = 1,
                                     .b = floats + count,
                                     .b_step = wide ? 1 : HEAD,
                                     .b_column = wide ? SIDE : 1,
                                     .c = floats + 2 * count,
                                     .c_row = SIDE};
        measure(&product, room, seconds);
        if (seconds[BS_ISA_V3] < clearly * seconds[BS_ISA_V4])
            level = BS_ISA_V3;
    }
    bs_free(room);
    bs_free(floats);
    return level;
}

static void choose(void)
{
    char *path = file_path();
    if (!path || !read_choice(path)) {
        for (int kind = 0; kind < BS_NUM_PRODUCT_KINDS; kind++)
            chosen[kind] = faster((enum bs_product_kind)kind);
        if (path)
            write_choice(path);
    }
    bs_free(path);
}

void bs_product_choose(void) { choosing = true; }

const struct bs_product_loops *bs_product_choice(enum bs_product_kind kind)
{
    enum bs_isa level = bs_isa();
    if (choosing && level == BS_ISA_V4) { /* below it longer vectors are always faster */
        pthread_once(&once, choose);
        level = chosen[kind];
    }
    return bs_product_loops[level];
}
