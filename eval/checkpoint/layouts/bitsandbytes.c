/* bitsandbytes' checkpoints, as transformers saves them. Of 4 bits, for a linear [out][in]:
 *   weight uint8 [out * in / 2, 1]     codes, the first of two high, row after row
 *   weight.quant_map float32 [16]      what they stand for
 *   weight.absmax float32 [blocks]     of blocks of the flattened matrix
 *   or, of double quantization, uint8 [blocks] with weight.nested_absmax and
 *   weight.nested_quant_map: absmax = map[code] * nested + offset
 *   weight.quant_state.bitsandbytes__nf4 (or fp4)  shape, type, sizes, offset, in JSON
 * and w = map[code] * absmax, rounded to the state's dtype. Of 8 bits:
 *   weight int8 [out][in], SCB float32 [out]      w = q * SCB / 127 in float32
 * of which the library multiplies inputs beyond a threshold apart; that is not followed here. */
#include <stdio.h>
#include <string.h>

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/checkpoint/layouts/grid.h"

enum { LEVELS = 16, NESTED_LEVELS = 256 };

/* A coded matrix of 4 bits, or of 8. */
struct blocks {
    struct bs_coded coded;
    size_t in, block, nested_block;
    enum bs_dtype rounded;
    float map[LEVELS], nested_map[NESTED_LEVELS], offset;
    const unsigned char *codes, *absmax, *nested_absmax; /* nested_absmax NULL: absmax is float32 */
};

static float float_at(const unsigned char *data, size_t index)
{
    float value;
    memcpy(&value, data + 4 * index, sizeof value);
    return value;
}

static float absmax_of(const struct blocks *b, size_t block)
{
    if (!b->nested_absmax)
        return float_at(b->absmax, block);
    float scaled =
        b->nested_map[b->absmax[block]] * float_at(b->nested_absmax, block / b->nested_block);
    return scaled + b->offset;
}

static void decode_nibbles(const struct bs_coded *coded, size_t first, size_t count, float *out)
{
    const struct blocks *b = (const struct blocks *)coded;
    size_t at = first * b->in, end = at + count * b->in;
    while (at < end) {
        float absmax = absmax_of(b, at / b->block);
        size_t stop = (at / b->block + 1) * b->block;
        for (; at < stop && at < end; at++) {
            int code = b->codes[at / 2] >> (at % 2 ? 0 : 4) & 15;
            *out++ = bs_grid_rounded(b->rounded, b->map[code] * absmax);
        }
    }
}

static void decode_bytes(const struct bs_coded *coded, size_t first, size_t count, float *out)
{
    const float seventh = 7.874015718698502e-3F; /* 1 / 127, as the library writes it */
    const struct blocks *b = (const struct blocks *)coded;
    for (size_t i = first; i < first + count; i++)
        for (size_t j = 0; j < b->in; j++) {
            float scaled = (float)(signed char)b->codes[i * b->in + j] * float_at(b->absmax, i);
            *out++ = scaled * seventh;
        }
}

/* --- 8 bits --- */

static enum bs_status make_bytes(struct bs_assembly *assembly, const char *module,
                                 struct bs_error *err)
{
    const int64_t any[] = {BS_ANY_EXTENT, BS_ANY_EXTENT};
    const struct bs_entry *codes, *scales;
    if (bs_assembly_need(assembly, module, ".weight", "I8", 2, any, &codes, err) ||
        bs_assembly_need(assembly, module, ".SCB", "F32", 1, codes->tensor.shape, &scales, err))
        return err->status;
    const struct bs_entry *kind = bs_assembly_find(assembly, module, ".weight_format");
    if (kind && kind->tensor.count && *kind->tensor.data)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: tensor '%.200s' is %d, expected 0: rows one after another",
                       kind->tensor.file, kind->tensor.name, *kind->tensor.data);
    struct blocks *b = bs_calloc(1, sizeof *b);
    if (!b)
        return bs_fail_memory(err);
    b->coded.decode = decode_bytes;
    b->in = (size_t)codes->tensor.shape[1];
    b->codes = codes->tensor.data;
    b->absmax = scales->tensor.data;
    snprintf(b->coded.scheme, sizeof b->coded.scheme, "bitsandbytes, 8 bits, rows");
    const struct bs_entry *spent[] = {codes, scales, kind};
    return bs_assembly_put(assembly, module, ".weight", 2, codes->tensor.shape, &b->coded, spent, 3,
                           err);
}

/* --- 4 bits --- */

/* The tensors of a linear, and what its state says. */
struct parts {
    const struct bs_entry *codes, *map, *absmax, *nested, *nested_map, *state;
    json_t *said;
    int64_t shape[2];
};

static enum bs_status fail_state(const struct parts *parts, const char *key, const char *expected,
                                 struct bs_error *err)
{
    char found[80] = "missing";
    const json_t *value = json_object_get(parts->said, key);
    if (value)
        bs_json_excerpt(value, found, sizeof found);
    return bs_fail(err, BS_EDATA, "%s: tensor '%.200s': %s is %s, expected %s",
                   parts->state->tensor.file, parts->state->tensor.name, key, found, expected);
}

/* A size of the state. */
static enum bs_status state_size(const struct parts *parts, const char *key, size_t *size,
                                 struct bs_error *err)
{
    const json_t *value = json_object_get(parts->said, key);
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 1 || number > 1 << 20)
        return fail_state(parts, key, "a size", err);
    *size = (size_t)number;
    return BS_OK;
}

static enum bs_status read_state(struct parts *parts, struct bs_error *err)
{
    const struct bs_tensor *t = &parts->state->tensor;
    char place[1024];
    snprintf(place, sizeof place, "%.700s: tensor '%.200s'", t->file, t->name);
    if (bs_json_parse(place, NULL, (const char *)t->data, t->count, &parts->said, err))
        return err->status;
    const json_t *shape = json_object_get(parts->said, "shape");
    for (size_t d = 0; d < 2; d++) {
        parts->shape[d] = json_integer_value(json_array_get(shape, d));
        if (json_array_size(shape) != 2 || parts->shape[d] < 1 || parts->shape[d] > 1 << 28)
            return fail_state(parts, "shape", "[out, in]", err);
    }
    return BS_OK;
}

static enum bs_status find_parts(const struct bs_assembly *assembly, const char *module,
                                 struct parts *parts, struct bs_error *err)
{
    static const char *const states[] = {".weight.quant_state.bitsandbytes__nf4",
                                         ".weight.quant_state.bitsandbytes__fp4"};
    const int64_t any[] = {BS_ANY_EXTENT}, levels[] = {LEVELS};
    bool nf4 = bs_assembly_find(assembly, module, states[0]);
    if (bs_assembly_need(assembly, module, states[!nf4], "U8", 1, any, &parts->state, err) ||
        read_state(parts, err) ||
        bs_assembly_need(assembly, module, ".weight.quant_map", "F32", 1, levels, &parts->map, err))
        return err->status;
    int64_t codes[] = {(parts->shape[0] * parts->shape[1] + 1) / 2, 1};
    const struct bs_entry *weight = bs_assembly_find(assembly, module, ".weight");
    if (weight && weight->tensor.rank == 2 && weight->tensor.shape[0] == 1) {
        codes[1] = codes[0];
        codes[0] = 1;
    }
    return bs_assembly_need(assembly, module, ".weight", "U8", 2, codes, &parts->codes, err);
}

/* The largest values of blocks, plain or quantized again. */
static enum bs_status find_absmax(const struct bs_assembly *assembly, const char *module,
                                  struct parts *parts, struct blocks *b, struct bs_error *err)
{
    size_t values = (size_t)parts->shape[0] * (size_t)parts->shape[1];
    if (state_size(parts, "blocksize", &b->block, err))
        return err->status;
    const int64_t blocks[] = {(int64_t)((values + b->block - 1) / b->block)};
    const int64_t levels[] = {NESTED_LEVELS};
    bool nested = bs_assembly_find(assembly, module, ".weight.nested_absmax");
    if (bs_assembly_need(assembly, module, ".weight.absmax", nested ? "U8" : "F32", 1, blocks,
                         &parts->absmax, err))
        return err->status;
    b->absmax = parts->absmax->tensor.data;
    if (!nested)
        return BS_OK;
    const json_t *offset = json_object_get(parts->said, "nested_offset");
    if (!json_is_number(offset))
        return fail_state(parts, "nested_offset", "a number", err);
    b->offset = (float)json_number_value(offset);
    if (state_size(parts, "nested_blocksize", &b->nested_block, err))
        return err->status;
    int64_t sizes[] = {(blocks[0] + (int64_t)b->nested_block - 1) / (int64_t)b->nested_block};
    if (bs_assembly_need(assembly, module, ".weight.nested_absmax", "F32", 1, sizes, &parts->nested,
                         err) ||
        bs_assembly_need(assembly, module, ".weight.nested_quant_map", "F32", 1, levels,
                         &parts->nested_map, err))
        return err->status;
    b->nested_absmax = parts->nested->tensor.data;
    bs_tensor_read(&parts->nested_map->tensor, 0, NESTED_LEVELS, b->nested_map);
    return BS_OK;
}

static enum bs_status fill(const struct bs_assembly *assembly, const char *module,
                           struct parts *parts, struct blocks *b, struct bs_error *err)
{
    const char *dtype = bs_layout_word(parts->said, "dtype", "");
    if (find_absmax(assembly, module, parts, b, err))
        return err->status;
    for (b->rounded = BS_F32; b->rounded <= BS_BF16; b->rounded++)
        if (!strcmp(bs_dtypes[b->rounded].torch, dtype))
            break;
    if (b->rounded > BS_BF16)
        return fail_state(parts, "dtype", "float32, float16 or bfloat16", err);
    b->coded.decode = decode_nibbles;
    b->in = (size_t)parts->shape[1];
    b->codes = parts->codes->tensor.data;
    bs_tensor_read(&parts->map->tensor, 0, LEVELS, b->map);
    snprintf(b->coded.scheme, sizeof b->coded.scheme, "bitsandbytes, %.8s, blocks of %zu%s, in %s",
             bs_layout_word(parts->said, "quant_type", "4 bits"), b->block,
             b->nested_absmax ? " (double quantization)" : "", dtype);
    return BS_OK;
}

static enum bs_status make_nibbles(struct bs_assembly *assembly, const char *module,
                                   struct bs_error *err)
{
    struct parts parts = {.codes = NULL};
    struct blocks *b = bs_calloc(1, sizeof *b);
    if (!b)
        return bs_fail_memory(err);
    if (find_parts(assembly, module, &parts, err) || fill(assembly, module, &parts, b, err)) {
        bs_free(b);
        json_decref(parts.said);
        return err->status;
    }
    json_decref(parts.said);
    const struct bs_entry *spent[] = {parts.codes,  parts.map,        parts.absmax,
                                      parts.nested, parts.nested_map, parts.state};
    return bs_assembly_put(assembly, module, ".weight", 2, parts.shape, &b->coded, spent, 6, err);
}

static enum bs_status make_linear(struct bs_assembly *assembly, const char *module,
                                  const struct bs_entry *first, struct bs_error *err)
{
    return bs_ends_in(first->tensor.name, ".SCB") ? make_bytes(assembly, module, err)
                                                  : make_nibbles(assembly, module, err);
}

const struct bs_layout bs_layout_bitsandbytes = {
    .plugin = {.name = "bitsandbytes",
               .summary = "nf4 and fp4 by blocks, also doubly quantized, and 8 bits by rows",
               .reference = "bitsandbytes-foundation/bitsandbytes bitsandbytes/functional.py"},
    .methods =
        (const char *const[]){"bitsandbytes", "bitsandbytes_4bit", "bitsandbytes_8bit", NULL},
    .endings = (const char *const[]){".weight.absmax", ".SCB", NULL},
    .make = make_linear,
};
