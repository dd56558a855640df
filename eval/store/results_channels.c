/* Channels of a trial, as the result file has them. */
#include "eval/store/results.h"

#include <stdio.h>

#include "eval/base/mem.h"
#include "eval/store/results_internal.h"

/* What a damaged file may say of its size, at most. */
enum { MOST_BLOCKS = 1 << 16, MOST_WIDTH = 1 << 24 };

static enum bs_status read_site(hid_t file, const char *path, const char *place, const char *site,
                                struct bs_channel_list *list, struct bs_error *err)
{
    hid_t dataset = H5I_INVALID_HID;
    hsize_t dims[2] = {0, 0};
    enum bs_status status = bs_h5_open_dataset(file, path, place, 2, &dataset, dims, err);
    if (!status && (dims[0] > MOST_BLOCKS || dims[1] > MOST_WIDTH))
        status = bs_fail(err, BS_EDATA, "%s: /%s holds %llu x %llu values", path, place,
                         (unsigned long long)dims[0], (unsigned long long)dims[1]);
    struct bs_channels *to = &list->of[list->count];
    if (!status && !(status = bs_channels_init(to, site, (int)dims[0], (int)dims[1], err))) {
        list->count++;
        if (H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, to->largest) < 0)
            status = bs_h5_fail(err, BS_EDATA, path, place);
    }
    bs_h5_close(dataset);
    return status;
}

/* The group's members, in the order of their names. */
static enum bs_status read_group(hid_t file, const char *path, const char *place,
                                 struct bs_channel_list *list, struct bs_error *err)
{
    H5G_info_t info = {.nlinks = 0};
    hid_t group = H5Gopen2(file, place, H5P_DEFAULT);
    enum bs_status status = BS_OK;
    if (group < 0 || H5Gget_info(group, &info) < 0)
        status = bs_h5_fail(err, BS_EDATA, path, place);
    for (hsize_t i = 0; !status && i < info.nlinks && list->count < BS_MOST_CHANNEL_SITES; i++) {
        char site[BS_CHANNEL_SITE_BYTES];
        ssize_t length = H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, site,
                                            sizeof site, H5P_DEFAULT);
        if (length < 1 || length >= (ssize_t)sizeof site) {
            status = bs_h5_fail(err, BS_EDATA, path, place);
            break;
        }
        char *whole = bs_printf("%s/%s", place, site);
        status = whole ? read_site(file, path, whole, site, list, err) : bs_fail_memory(err);
        bs_free(whole);
    }
    bs_h5_close(group);
    return status;
}

enum bs_status bs_results_read_channels(const char *path, const char *id,
                                        struct bs_channel_list *list, struct bs_error *err)
{
    char place[64];
    hid_t file = H5I_INVALID_HID;
    snprintf(place, sizeof place, "trial/%s/channels", id);
    *list = (struct bs_channel_list){.count = 0};
    enum bs_status status = bs_h5_open(path, &file, err);
    if (!status && H5Lexists(file, place, H5P_DEFAULT) > 0)
        status = read_group(file, path, place, list, err);
    bs_h5_close(file);
    if (status)
        bs_channel_list_release(list);
    return status;
}
