#include "eval/export/pack.h"

#include "eval/base/mem.h"
#include "eval/checkpoint/layouts/grid.h"
#include "eval/quant/format.h"

enum bs_status bs_export_check_whole(const struct bs_export_place *place, int least, int most,
                                     struct bs_error *err)
{
    const struct bs_setting *weights = place->weights;
    char text[BS_EXPORT_TEXT];
    int bits = bs_export_number(weights, "bits"), group = bs_export_number(weights, "group_size");
    if (bits < least || bits > most)
        return least == most ? bs_export_refuse(place, err, "bits is %d, expected %d", bits, least)
                             : bs_export_refuse(place, err, "bits is %d, expected %d to %d", bits,
                                                least, most);
    if (bs_export_says(weights, "zero_point", "float"))
        return bs_export_refuse(place, err,
                                "zero points are any numbers, expected zero_point: "
                                "integer");
    if (bs_setting_layout(weights).halves)
        return bs_export_refuse(place, err,
                                "0 is no level of grid %s, and is one of whole numbers in a file",
                                bs_export_option(weights, "grid", text));
    if (group > 0 && group < place->in && place->in % group)
        return bs_export_refuse(place, err,
                                "rows of %d are no whole number of groups of %s, expected a "
                                "group_size that divides it",
                                place->in, bs_export_option(weights, "group_size", text));
    return BS_OK;
}

void bs_put_planar(uint32_t *words, size_t step, size_t index, int bits, uint32_t value)
{
    size_t plane = index / 32 * (size_t)bits, within = index % 32;
    for (int p = 0; p < 3 && bs_planes[bits][p]; p++) {
        uint32_t width = bs_planes[bits][p], fields = 32 / width;
        words[(plane + within / fields) * step] |= (value & ((1u << width) - 1))
                                                   << within % fields * width;
        value >>= width;
        plane += width;
    }
}

bool bs_export_has_zeros(const struct bs_setting *setting)
{
    return !bs_export_says(setting, "symmetric", "true");
}

int bs_export_zero(const struct bs_codes *codes, int row, int group)
{
    struct bs_cell cell = bs_codes_cell(codes, row, group);
    return (int)cell.zero - cell.first;
}

bool bs_export_is_whole(const struct bs_codes *codes) { return codes->layout.tensor_bytes > 0; }

float *bs_export_scales(const struct bs_codes *codes, bool turned)
{
    size_t out = (size_t)codes->layout.out, groups = (size_t)codes->groups;
    float *scales = bs_alloc(out * groups, sizeof *scales);
    if (!scales)
        return NULL;
    if (bs_export_is_whole(codes)) {
        scales[0] = bs_codes_cell(codes, 0, 0).scale;
        return scales;
    }
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < out; i++)
        for (size_t g = 0; g < groups; g++)
            scales[turned ? g * out + i : i * groups + g] =
                bs_codes_cell(codes, (int)i, (int)g).scale;
    return scales;
}
