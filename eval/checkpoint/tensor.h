/* A tensor as a checkpoint's file holds it: element types, places, and widening to float32. */
#ifndef BS_EVAL_CHECKPOINT_TENSOR_H
#define BS_EVAL_CHECKPOINT_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"
#include "eval/base/file.h"
#include "eval/base/isa.h"
#include "eval/quant/gguf_block.h"

/* The types that can be read; F64 is rounded to float32. F8_E4M3 has four bits of exponent, no
 * infinity, and NaN where all bits but the sign are one; F8_E5M2 is the upper half of F16. */
enum bs_dtype { BS_F32, BS_F16, BS_BF16, BS_F8_E4M3, BS_F8_E5M2, BS_F64 };

enum { BS_MAX_RANK = 4, BS_SCHEME_BYTES = 128, BS_MOST_PARTS = 8 };

/* Bytes of a file, in its map. */
struct bs_file_part {
    const struct bs_map *map;
    const unsigned char *data;
    size_t bytes;
};

/* How the inputs of a linear are rounded before they meet its codes, where the checkpoint says it
 * of every run of the model. */
struct bs_coded_inputs {
    char setting[BS_SCHEME_BYTES]; /* keys of activations in a config and their values, parted by
                                      blanks: "format int bits 8 sharing token"; "": they are not */
    float scale, zero;             /* of sharing: static. zero: the code that stands for 0 */
};

/* A matrix that stands in the file as codes, with what decodes them: what a reader, or a layout
 * (layout.h), puts in place of values that follow one another. The first member of a struct of
 * theirs, made once and read by parallel threads. */
struct bs_coded {
    char scheme[BS_SCHEME_BYTES]; /* for people, and for the model's digest: what the codes mean
                                     beside their bytes. "GPTQ, 4 bits, groups of 128" */
    double bits;                  /* that the file spends on the matrix, scales and all counted */
    struct bs_file_part parts[BS_MOST_PARTS]; /* where; data NULL after the last */
    const struct bs_gguf_type *blocks; /* where all of it is parts[0], row after row of whole blocks
                                          of this type; NULL: it is something else */

    struct bs_coded_inputs inputs;

    /* Rows [first, first + count) as float32, [count][in]: what the layout's own library decodes
     * them to, to the bit. */
    void (*decode)(const struct bs_coded *coded, size_t first, size_t count, float *out);
};

/* One tensor; data points into the map. A coded one is a matrix [out][in] (or several, [..][out]
 * [in]) whatever its family's order is; it has neither dtype nor data. */
struct bs_tensor {
    const char *name;
    const char *file; /* path of the file that holds it */
    enum bs_dtype dtype;
    int rank;
    int64_t shape[BS_MAX_RANK];
    size_t count; /* elements */
    const unsigned char *data;
    bool strided;                 /* the elements do not stand in row-major order, but */
    int64_t strides[BS_MAX_RANK]; /* so many elements apart along each dimension */
    struct bs_coded *coded;       /* NULL: plain values. The checkpoint's, bs_free frees it */
};

/* Elements [first, first + count) in row-major order as float32, which holds all but F64
 * exactly. Of a coded tensor these are whole rows. */
void bs_tensor_read(const struct bs_tensor *tensor, size_t first, size_t count, float *out);

/* The bytes of elements [first, first + count) in row-major order: in the map where they stand so,
 * else put together in `scratch`, which has room for them. The tensor is not coded. */
const unsigned char *bs_tensor_bytes(const struct bs_tensor *tensor, size_t first, size_t count,
                                     unsigned char *scratch);

/* True where two tensors of one shape hold the same float32 values. BS_ENOMEM. */
enum bs_status bs_tensor_equal(const struct bs_tensor *a, const struct bs_tensor *b, bool *equal,
                               struct bs_error *err);

/* True when one of the elements at `data` is, as float32, infinite or NaN. */
bool bs_any_special(enum bs_dtype dtype, const unsigned char *data, size_t count);

/* The loops of a level: count elements of a type, at any byte, as float32; and whether one of them
 * is infinite or NaN, of types of 8 and 16 bits given which bits of the exponent are then set. */
struct bs_tensor_loops {
    void (*read_f16)(const unsigned char *data, size_t count, float *out);
    void (*read_bf16)(const unsigned char *data, size_t count, float *out);
    void (*read_e4m3)(const unsigned char *data, size_t count, float *out);
    void (*read_e5m2)(const unsigned char *data, size_t count, float *out);
    void (*read_f64)(const unsigned char *data, size_t count, float *out);
    bool (*any_special8)(const unsigned char *data, size_t count, unsigned char exponent);
    bool (*any_special16)(const unsigned char *data, size_t count, uint16_t exponent);
    bool (*any_special32)(const unsigned char *data, size_t count);
    bool (*any_special64)(const unsigned char *data, size_t count);
};
extern const struct bs_tensor_loops *const bs_tensor_loops[BS_NUM_ISA];

/* What there is to know of an element type, also of those that cannot be read. */
struct bs_dtype_info {
    const char *name;    /* as safetensors spell it, or would */
    size_t bytes;        /* of an element */
    int dtype;           /* enum bs_dtype, or -1 */
    const char *torch;   /* its name in PyTorch */
    const char *storage; /* PyTorch's class of storages of it; NULL where there is none */
};

/* Every type that checkpoints hold, those of enum bs_dtype first and in its order; ends with a row
 * whose name is NULL. */
extern const struct bs_dtype_info bs_dtypes[];

/* The row of this name, or the last, which has none. */
const struct bs_dtype_info *bs_dtype_find(const char *name);

#endif
