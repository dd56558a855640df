#include "eval/checkpoint/layouts/grid.h"

#include <math.h>

#include "eval/base/mem.h"
#include "eval/linalg/bfloat16.h"
#include "eval/quant/bits.h"

const unsigned char bs_planes[9][3] = {
    [2] = {2}, [3] = {2, 1}, [4] = {4}, [5] = {4, 1}, [6] = {4, 2}, [7] = {4, 2, 1}, [8] = {8}};

static float element(const struct bs_table *table, size_t index)
{
    const struct bs_tensor one = {.dtype = table->dtype,
                                  .rank = 1,
                                  .shape = {1},
                                  .count = 1,
                                  .data = table->data + index * bs_dtypes[table->dtype].bytes};
    float value;
    bs_tensor_read(&one, 0, 1, &value);
    return value;
}

float bs_grid_rounded(enum bs_dtype to, float x)
{
    if (to == BS_F16)
        return bs_half_value(bs_half_of(x));
    return to == BS_BF16 ? bs_round_to_bfloat16(x) : x;
}

/* 2^(E - 127), of which bfloat16 holds each; 255 is no number. */
static float power_of_two(unsigned char exponent)
{
    return exponent == 255 ? (float)NAN : ldexpf(1, exponent - 127);
}

static float scale_of(const struct bs_grid *grid, size_t row, size_t group)
{
    size_t at = row / grid->scale.rows * grid->scale.row_step + group * grid->scale.group_step;
    if (grid->powers)
        return power_of_two(grid->scale.data[at]);
    float scale = element(&grid->scale, at);
    return grid->divisor != 0 ? scale / grid->divisor : scale;
}

static void decode_listed(const struct bs_grid *grid, size_t row, float *w)
{
    size_t held = SIZE_MAX;
    float scale = 0, zero = 0;
    for (size_t j = 0; j < grid->in; j++) {
        size_t group = bs_word_at(grid->list, j);
        if (group != held) {
            scale = scale_of(grid, row, group);
            zero = grid->zero ? grid->zero(grid, row, group) : 0;
            held = group;
        }
        w[j] = bs_grid_rounded(grid->rounded, (w[j] - zero) * scale);
    }
}

static void decode_row(const struct bs_grid *grid, size_t row, float *w)
{
    grid->read(grid, row, w);
    if (grid->list) {
        decode_listed(grid, row, w);
        return;
    }
    for (size_t first = 0, g = 0; first < grid->in; first += grid->group, g++) {
        float scale = scale_of(grid, row, g), zero = grid->zero ? grid->zero(grid, row, g) : 0;
        size_t left = grid->in - first, count = left < grid->group ? left : grid->group;
        for (size_t j = first; j < first + count; j++)
            w[j] = bs_grid_rounded(grid->rounded, (w[j] - zero) * scale);
    }
}

void bs_grid_read_floats(const struct bs_grid *grid, size_t row, float *q)
{
    const struct bs_tensor codes = {.dtype = (enum bs_dtype)grid->variant,
                                    .rank = 1,
                                    .shape = {(int64_t)grid->in},
                                    .count = grid->in,
                                    .data = grid->codes + row * grid->in};
    bs_tensor_read(&codes, 0, grid->in, q);
}

void bs_grid_read_e2m1(const struct bs_grid *grid, size_t row, float *q)
{
    static const float levels[] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6};
    const unsigned char *codes = grid->codes + row * (grid->in / 2);
    for (size_t j = 0; j < grid->in; j++) {
        int code = codes[j / 2] >> (j % 2 ? 4 : 0) & 15;
        q[j] = code & 8 ? -levels[code & 7] : levels[code & 7];
    }
}

void bs_grid_decode(const struct bs_coded *coded, size_t first, size_t count, float *out)
{
    const struct bs_grid *grid = (const struct bs_grid *)coded;
    for (size_t i = 0; i < count; i++)
        decode_row(grid, first + i, out + i * grid->in);
}

struct bs_grid *bs_grid_create(size_t out, size_t in, size_t group)
{
    struct bs_grid *grid = bs_calloc(1, sizeof *grid);
    if (!grid)
        return NULL;
    grid->coded.decode = bs_grid_decode;
    grid->out = out;
    grid->in = in;
    grid->group = group;
    return grid;
}

struct bs_table bs_table_of(const struct bs_entry *entry, size_t rows, size_t row_step,
                            size_t group_step)
{
    return (struct bs_table){.data = entry->tensor.data,
                             .dtype = entry->tensor.dtype,
                             .rows = rows,
                             .row_step = row_step,
                             .group_step = group_step};
}

enum bs_status bs_grid_check_extents(const struct bs_entry *matrix, struct bs_error *err)
{
    const int64_t most = (int64_t)1 << 32, *shape = matrix->tensor.shape;
    if (shape[0] <= most && shape[1] <= most)
        return BS_OK;
    return bs_fail(err, BS_EDATA, "%s: tensor '%.200s' has shape [%lld, %lld], which is too large",
                   matrix->tensor.file, matrix->tensor.name, (long long)shape[0],
                   (long long)shape[1]);
}

enum bs_status bs_grid_need_words(const struct bs_assembly *assembly, const char *module,
                                  const struct bs_entry **words, struct bs_error *err)
{
    const int64_t any[] = {BS_ANY_EXTENT, BS_ANY_EXTENT};
    if (bs_assembly_need(assembly, module, ".qweight", "I32", 2, any, words, err))
        return err->status;
    return bs_grid_check_extents(*words, err);
}

enum bs_status bs_grid_check_list(const struct bs_grid *grid, const struct bs_entry *list,
                                  size_t groups, struct bs_error *err)
{
    for (size_t j = 0; j < grid->in; j++) {
        uint32_t group = bs_word_at(list->tensor.data, j);
        if (group >= groups)
            return bs_fail(err, BS_EDATA,
                           "%s: tensor '%.200s': element %zu is %d, expected a group of 0 to %zu",
                           list->tensor.file, list->tensor.name, j, (int)group, groups - 1);
    }
    return BS_OK;
}
