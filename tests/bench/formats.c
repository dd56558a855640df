/* What rounding costs in each number format, on one core: by the program, and by ggml's own encoder
 * where its library is at hand. The environment variable GGML_LIBRARY names that: libggml-base.so
 * of any build. */
#include "tests/bench/bench.h"

#include <dlfcn.h>
#include <float.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/quant/codes.h"
#include "tests/support/settings.h"

enum { ROWS = 64, COLUMNS = 4096, COUNT = ROWS * COLUMNS, TURNS = 9, NOT_GGML = -1, TEXT = 2048 };

/* What is rounded to; the first is what the others are held against. */
static const struct {
    const char *label, *setting;
    int type; /* ggml's number of it */
} formats[] = {
    {"int 4 bits g128", "bits=4 group_size=128", NOT_GGML},
    {"int 4 bits channel", "bits=4 group_size=channel", NOT_GGML},
    {"int 4 bits g64", "bits=4 group_size=64", NOT_GGML},
    {"int 4 bits g32", "bits=4 group_size=32", NOT_GGML},
    {"int 4 bits g16", "bits=4 group_size=16", NOT_GGML},
    {"nf4 g64", "format=nf4", NOT_GGML},
    {"fp4 g64", "format=fp4", NOT_GGML},
    {"codebook of 3 levels g128", "format=codebook group_size=128 levels=3", NOT_GGML},
    {"codebook of 5 levels g128", "format=codebook group_size=128 levels=5", NOT_GGML},
    {"codebook of 8 levels g128", "format=codebook group_size=128 levels=8", NOT_GGML},
    {"codebook of 9 levels g128", "format=codebook group_size=128 levels=9", NOT_GGML},
    {"codebook of 16 levels g128", "format=codebook group_size=128 levels=16", NOT_GGML},
    {"codebook of 17 levels g128", "format=codebook group_size=128 levels=17", NOT_GGML},
    {"codebook of 32 levels g128", "format=codebook group_size=128 levels=32", NOT_GGML},
    {"codebook of 64 levels g128", "format=codebook group_size=128 levels=64", NOT_GGML},
    {"codebook of 128 levels g128", "format=codebook group_size=128 levels=128", NOT_GGML},
    {"codebook of 256 levels g128", "format=codebook group_size=128 levels=256", NOT_GGML},
    {"codebook of 64 uneven levels g128", "format=codebook group_size=128 uneven=64", NOT_GGML},
    {"codebook of 256 uneven levels g128", "format=codebook group_size=128 uneven=256", NOT_GGML},
    {"codebook of 3 levels channel", "format=codebook group_size=channel levels=3", NOT_GGML},
    {"codebook of 16 levels channel", "format=codebook group_size=channel levels=16", NOT_GGML},
    {"codebook of 16 uneven levels channel", "format=codebook group_size=channel uneven=16",
     NOT_GGML},
    {"codebook of 17 levels channel", "format=codebook group_size=channel levels=17", NOT_GGML},
    {"codebook of 256 levels channel", "format=codebook group_size=channel levels=256", NOT_GGML},
    {"codebook of 64 uneven levels channel", "format=codebook group_size=channel uneven=64",
     NOT_GGML},
    {"codebook of 256 uneven levels channel", "format=codebook group_size=channel uneven=256",
     NOT_GGML},
    {"nf4 g4096", "format=nf4 group_size=4096", NOT_GGML},
    {"fp4 g4096", "format=fp4 group_size=4096", NOT_GGML},
    {"mxfp4 g32", "format=mxfp4", NOT_GGML},
    {"mxfp8_e4m3 g32", "format=mxfp8_e4m3", NOT_GGML},
    {"nvfp4 g16", "format=nvfp4", NOT_GGML},
    {"fp8_e4m3 channel", "format=fp8_e4m3 group_size=channel", NOT_GGML},
    {"fp8_e5m2 channel", "format=fp8_e5m2 group_size=channel", NOT_GGML},
    {"float e2m3 channel", "format=float exponent_bits=2 mantissa_bits=3 group_size=channel",
     NOT_GGML},
    {"bf16", "format=bf16", NOT_GGML},
    {"q4_0", "format=q4_0", 2},
    {"q4_1", "format=q4_1", 3},
    {"q5_0", "format=q5_0", 6},
    {"q5_1", "format=q5_1", 7},
    {"q8_0", "format=q8_0", 8},
    {"q2_k", "format=q2_k", 10},
    {"q3_k", "format=q3_k", 11},
    {"q4_k", "format=q4_k", 12},
    {"q5_k", "format=q5_k", 13},
    {"q6_k", "format=q6_k", 14},
    {"iq4_nl", "format=iq4_nl", 20},
    {"iq4_xs", "format=iq4_xs", 23},
    {"tq1_0", "format=tq1_0", 34},
    {"tq2_0", "format=tq2_0", 35},
    {"gguf_mxfp4", "format=gguf_mxfp4", 39},
    {"gguf_nvfp4", "format=gguf_nvfp4", 40},
    {"q4_0 imatrix", "format=q4_0 importance=imatrix", 2},
    {"q4_k imatrix", "format=q4_k importance=imatrix", 12},
    {"iq4_nl imatrix", "format=iq4_nl importance=imatrix", 20},
};
enum { FORMATS = sizeof formats / sizeof *formats };

/* ggml_quantize_chunk. */
typedef size_t ggml_encode(int type, const float *from, void *to, int64_t start, int64_t rows,
                           int64_t columns, const float *importance);

struct work {
    float *weight, *importance; /* [ROWS][COLUMNS], [COLUMNS] */
    void *encoded;
    ggml_encode *ggml; /* NULL = there is none */
};

static uint32_t next_random(uint32_t state) { return state * 1664525 + 1013904223; }

/* Of a codebook "levels=9" at the end stands for so many whole numbers in steps of 2, around 0;
 * "uneven=9" for as many in steps of any size from 1 to 64. */
static const struct bs_setting *setting_of(int f)
{
    const char *setting = formats[f].setting, *last = strrchr(setting, ' ');
    bool even = last && !strncmp(last, " levels=", strlen(" levels="));
    if (!even && !(last && !strncmp(last, " uneven=", strlen(" uneven="))))
        return weights_setting(setting);
    int count = (int)strtol(strchr(last, '=') + 1, NULL, 10), level = 1 - count;
    char text[TEXT];
    int used = snprintf(text, sizeof text, "%.*s levels=", (int)(last - setting), setting);
    uint32_t state = 3;
    for (int k = 0; k < count; k++) {
        used += snprintf(text + used, sizeof text - (size_t)used, "%c%d", k ? ',' : '[', level);
        state = next_random(state);
        level += even ? 2 : 1 + (int)(state >> 26);
    }
    snprintf(text + used, sizeof text - (size_t)used, "]");
    return weights_setting(text);
}

static double processor_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double by_program(const struct work *work, const struct bs_setting *setting)
{
    struct bs_codes codes;
    struct bs_error err;
    if (bs_codes_init(&codes, setting, 0, ROWS, COLUMNS, &err))
        return (double)NAN;
    codes.importance = work->importance;
    double start = processor_seconds();
    enum bs_status status = bs_codes_round(&codes, work->weight, NULL, &err);
    double seconds = processor_seconds() - start;
    bs_codes_release(&codes);
    return status ? (double)NAN : seconds;
}

static double by_ggml(const struct work *work, int type, bool weighed)
{
    double start = processor_seconds();
    work->ggml(type, work->weight, work->encoded, 0, ROWS, COLUMNS,
               weighed ? work->importance : NULL);
    return processor_seconds() - start;
}

/* In turn, the shortest of each: {"name", "program", "ggml"} in nanoseconds a weight. */
static json_t *measure(const struct work *work, int f)
{
    const struct bs_setting *setting = setting_of(f);
    bool ggml = work->ggml && formats[f].type != NOT_GGML;
    bool weighed = setting->importance.word != BS_ALIKE;
    double program = DBL_MAX, other = DBL_MAX;
    for (int turn = 0; turn < TURNS; turn++) {
        double seconds = by_program(work, setting);
        program = seconds < program ? seconds : program;
        seconds = ggml ? by_ggml(work, formats[f].type, weighed) : other;
        other = seconds < other ? seconds : other;
    }
    return json_pack("{s:s, s:f, s:o}", "name", formats[f].label, "program", 1e9 * program / COUNT,
                     "ggml", ggml ? json_real(1e9 * other / COUNT) : json_null());
}

json_t *bench_measure_formats(const void *nothing)
{
    (void)nothing;
    const char *library = getenv("GGML_LIBRARY");
    void *ggml = library ? dlopen(library, RTLD_NOW) : NULL;
    if (library && !ggml)
        return json_pack("{s:s}", "error", dlerror());
    struct work work = {.weight = bs_alloc(COUNT, sizeof *work.weight),
                        .importance = bs_alloc(COLUMNS, sizeof *work.importance),
                        .encoded = bs_alloc(COUNT, 2)};
    if (!work.weight || !work.importance || !work.encoded)
        return json_pack("{s:s}", "error", "memory ran out");
    void *symbol = ggml ? dlsym(ggml, "ggml_quantize_chunk") : NULL;
    memcpy(&work.ggml, &symbol, sizeof symbol);
    bs_set_threads(1);
    uint32_t state = 1;
    for (int i = 0; i < COUNT; i++) { /* sums of four uniform numbers */
        int32_t sum = 0;
        for (int k = 0; k < 4; k++)
            sum += (int32_t)((state = next_random(state)) >> 16) - 32768;
        work.weight[i] = (float)sum / 4e6f;
    }
    for (int j = 0; j < COLUMNS; j++)
        work.importance[j] = 0.1f + work.weight[j] * work.weight[j];
    json_t *all = json_array();
    for (int f = 0; f < FORMATS; f++)
        json_array_append_new(all, measure(&work, f));
    bs_free(work.weight);
    bs_free(work.importance);
    bs_free(work.encoded);
    return json_pack("{s:o}", "formats", all);
}
