/* Whole numbers of 1 to 8 bits by the integer grids in use, in float32. With maxq = 2^bits - 1 and
 * rte = nearest, ties to even, a value becomes the code clip(rte(x / scale) + zero_point, 0, maxq),
 * which stands for scale * (code - zero_point). Grids differ in the range that scale and zero point
 * are made from, and where this says so in the arithmetic.
 *
 * gptq         IST-DASLab/gptq quant.py. The range always contains 0. Symmetric:
 *              hi = max(|lo|, hi), lo = -hi only where lo < 0, zero_point = 2^(bits-1): the
 *              levels are not symmetric around 0, and a group without negative values wastes half
 *              its range, as there.
 *              scale = (hi - lo) / maxq; an all-zero group has lo, hi = -1, 1.
 * awq          mit-han-lab/llm-awq quantizer.py. The range need not contain 0: zero_point is
 *              clipped. hi - lo is at least 1e-5. Symmetric (its forks; the original cannot run
 *              it): scale = max(|x|, 1e-5) / (2^(bits-1) - 1).
 * smoothquant  mit-han-lab/smoothquant fake_quant.py. Symmetric only, the awq scale. The original
 *              does not clip, and need not: its scale is always the group's own. A static
 *              activation scale can be exceeded; then codes clip at the ends.
 * compressed_tensors  vllm-project/compressed-tensors utils/helpers.py. The range contains 0;
 *              symmetric: scale = max |x| / (maxq / 2), 2^-23 for zeros. The zero point, of levels
 *              from -2^(bits-1), is added before rounding: rte(x / scale + zero_point).
 * auto_round   intel/auto-round data_type/int.py int_sym, int_asym. Symmetric: the extreme M of
 *              larger size, with its sign, is the level -2^(bits-1): the scale M / -2^(bits-1) may
 *              be negative. |scale| is at least 1e-5, and stored as float16 before it is used.
 * torchao      pytorch/ao quant_primitives.py. SYMMETRIC: scale = max |x| / (maxq / 2). Values are
 *              multiplied by 1 / scale.
 * torchao_no_clipping  the same, SYMMETRIC_NO_CLIPPING_ERR: the larger of lo / -2^(bits-1) and
 *              hi / (2^(bits-1) - 1).
 * hqq          mobiusml/hqq quantize.py. Asymmetric; values are multiplied by maxq / (hi - lo), at
 *              most 2e4 (1 where hi - lo is up to 1e-4), the zero point is any number, and is added
 *              before rounding.
 *
 * bitsandbytes bitsandbytes int8_vectorwise_quant. Symmetric: values are multiplied by
 *              (2^(bits-1) - 1) / max |x|, and the scale is max |x| times 1 / (2^(bits-1) - 1).
 * kivi         jy-yuan/KIVI quant/new_pack.py. Asymmetric: rte((x - lo) / scale), which stands for
 *              scale * code + lo, both in float16. A group of equal values stays as it is; there it
 *              becomes NaN.
 * kvquant      SqueezeAILab/KVQuant quant_fn_zp. Asymmetric; values are multiplied by maxq / (hi -
 *              lo), the zero point is any number (with zero_point: integer their `clamp`), and is
 *              added before rounding. A group of equal values stays as it is; there it becomes 0.
 * quip         Cornell-RelaxML/QuIP quant.py, qfn b. Symmetric: as many levels above 0 as below,
 *              and none of them 0: (2 code / maxq - 1) max |x|. Theirs has 2.4 times the root of
 *              the mean of x^2 for max |x|: range rms, with group_size: tensor.
 *
 * zero_point: float does the last for the other grids. A code of 1 bit is a sign, + of 0, times the
 * mean |x|, whatever the grid. `scales` is what the scale, and a zero point that is any number, are
 * rounded to before use; with float32 they are used as they are, though a file has 16 bits. */
#ifndef BS_EVAL_QUANT_FORMATS_INT_GRIDS_H
#define BS_EVAL_QUANT_FORMATS_INT_GRIDS_H

#include <stdbool.h>

/* The words of the options. */
enum {
    GRID_GPTQ,
    GRID_AWQ,
    GRID_SMOOTHQUANT,
    GRID_COMPRESSED_TENSORS,
    GRID_AUTO_ROUND,
    GRID_TORCHAO,
    GRID_TORCHAO_NO_CLIPPING,
    GRID_HQQ,
    GRID_BITSANDBYTES,
    GRID_KIVI,
    GRID_KVQUANT,
    GRID_QUIP,
    GRID_AUTO
};
enum { ASYMMETRIC, SYMMETRIC, SYMMETRIC_AUTO };
enum { ZERO_INTEGER, ZERO_FLOAT, ZERO_AUTO };
enum { SCALES_FLOAT32, SCALES_FLOAT16, SCALES_BFLOAT16, SCALES_AUTO };
enum { GROUP_CHANNEL = 0, GROUP_TENSOR = -1 };
enum { NOT_QUANTIZED = 16, SCALE_BITS = 16, LEAST_BITS = 1, MOST_BITS = 8 };

/* The options of the format. */
struct bs_whole {
    int bits;       /* of a code; 16 = not quantized */
    int group_size; /* columns that share parameters, or GROUP_* */
    int symmetric;
    int grid;
    int zero_point, scales;
};

/* The highest code; how many levels lie below 0 where they lie on both sides. */
static inline int bs_whole_maxq(const struct bs_whole *opt) { return (1 << opt->bits) - 1; }
static inline int bs_whole_middle(const struct bs_whole *opt) { return 1 << (opt->bits - 1); }

/* A scale, or a zero point that is no code, as a file has it; it does not become 0. */
float bs_whole_stored(const struct bs_whole *opt, float scale);

/* A grid. */
struct bs_grid_rule {
    int symmetric, zero_point, scales; /* of its authors */
    int only;                          /* symmetric or not, where it is but one; SYMMETRIC_AUTO */
    bool multiplies;                   /* by 1 / scale */
    bool adds;                         /* the zero point, before rounding */
    bool shifts;                       /* the lowest value is kept in place of a zero point */
    bool halves;                       /* 0 is midway between the two middle levels */
    void (*range)(const struct bs_whole *opt, float *low, float *high);
    float (*scale)(const struct bs_whole *opt, float low, float high);
    float (*inverse)(const struct bs_whole *opt, float low, float high); /* or else by 1 / scale */
};
extern const struct bs_grid_rule bs_grid_rules[]; /* by GRID_* */

#endif
