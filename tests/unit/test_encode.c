/* Many values are rounded at once, by loops of each level of instructions: to the codes that each
 * value has by itself. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/quant/codes.h"
#include "tests/support/random_block.h"
#include "tests/support/settings.h"

enum { COUNT = 331 };

static uint32_t noise(uint64_t *seed) { return (uint32_t)((double)random_unit(seed) * 16777216); }

/* Noise of many sizes, levels and middles between them, and what is no plain number. */
static void fill(const struct bs_cell *cell, uint64_t seed, float *x)
{
    static const float strange[] = {NAN,     INFINITY, -INFINITY,    0,       -0.0f,
                                    FLT_MAX, -FLT_MAX, FLT_TRUE_MIN, FLT_MIN, 1e-30f};
    enum { STRANGE = sizeof strange / sizeof *strange };
    for (int i = 0; i < COUNT; i++) {
        int code = (int)(noise(&seed) % (unsigned)cell->levels->count);
        int next = code + 1 < cell->levels->count ? code + 1 : code;
        float level = bs_cell_decode(cell, code), above = bs_cell_decode(cell, next);
        float size = ldexpf(1, (int)(noise(&seed) % 40) - 30);
        switch (noise(&seed) % 8) {
        case 0:
            x[i] = strange[noise(&seed) % STRANGE];
            break;
        case 1:
            x[i] = level;
            break;
        case 2:
        case 3:
            x[i] = level / 2 + above / 2;
            break;
        case 4:
            x[i] = nextafterf(level / 2 + above / 2, noise(&seed) % 2 ? INFINITY : -INFINITY);
            break;
        default:
            x[i] = size * (float)(2 * random_unit(&seed) - 1);
        }
    }
}

static void assert_codes(const struct bs_cell *cell, uint64_t seed)
{
    float x[COUNT];
    uint16_t codes[COUNT + 1];
    bool wide = cell->levels->count > 256;
    fill(cell, seed, x);
    for (int level = 0; level < BS_NUM_ISA; level++) {
        if (!bs_isa_use((enum bs_isa)level))
            continue;
        for (int count = COUNT - 40; count <= COUNT; count += 8) {
            memset(codes, 0xaa, sizeof codes);
            bs_cell_encode_all(cell, x, (size_t)count, wide, codes);
            for (int i = 0; i < count; i++) {
                int code = wide ? codes[i] : ((uint8_t *)codes)[i];
                if (code != bs_cell_nearest(cell, x[i]))
                    fail_msg("level %d: %.9g has code %d, alone %d", level, (double)x[i], code,
                             bs_cell_nearest(cell, x[i]));
            }
            uint8_t after = ((uint8_t *)codes)[(size_t)count * (wide ? 2 : 1)];
            assert_int_equal(after, 0xaa);
        }
    }
}

static void values_in_a_row_have_their_own_codes(void **state)
{
    static const char *const settings[] = {
        "bits=4 group_size=128",
        "bits=8 symmetric=true",
        "bits=3 grid=torchao",
        "bits=4 grid=compressed_tensors symmetric=false",
        "bits=4 grid=hqq",
        "bits=1",
        "format=nf4",
        "format=fp4",
        "format=codebook levels=[-1,-0.25,0,0.5,3]",
        "format=codebook levels=[-9,-8,-7,-6,-5,-4,-3,-2,-1,0,1,2,3,4,5,6,7,8,9]",
        "format=mxfp4",
        "format=mxfp6_e2m3",
        "format=mxfp6_e3m2",
        "format=mxfp8_e4m3",
        "format=mxfp8_e5m2",
        "format=mxint8",
        "format=nvfp4",
        "format=fp8_e4m3",
        "format=fp8_e5m2",
        "format=fp16",
        "format=bf16",
        "format=float exponent_bits=8 mantissa_bits=3 variant=ieee",
        "format=float exponent_bits=3 mantissa_bits=0",
        "format=float exponent_bits=1 mantissa_bits=2",
        "format=q4_0",
        "format=q8_0",
        "format=iq4_nl"};
    (void)state;
    enum bs_isa own = bs_isa();
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
        enum { OUT = 3, IN = 512 };
        struct bs_codes codes;
        struct bs_error err;
        float weight[OUT * IN];
        uint64_t seed = s + 1;
        for (int i = 0; i < OUT * IN; i++)
            weight[i] = (float)(2 * random_unit(&seed) - 1) * (i < IN ? 1 : 1e-6f);
        if (bs_codes_init(&codes, weights_setting(settings[s]), 0, OUT, IN, &err) ||
            bs_codes_round(&codes, weight, NULL, &err))
            fail_msg("%s: %s", settings[s], err.message);
        for (int i = 0; i < OUT; i++) {
            struct bs_cell cell = bs_codes_cell(&codes, i, 0);
            assert_codes(&cell, seed + (unsigned)i);
        }
        bs_codes_release(&codes);
        bs_isa_use(own);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_in_a_row_have_their_own_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
