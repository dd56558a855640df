/* Reading the result file. Everything is checked before it is believed: a file that is damaged, cut
 * or not ours gives BS_EDATA with its path, never a crash or a wrong number. */
#include "eval/store/results.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/store/results_internal.h"
#include "eval/store/seal.h"

/* Opens the file to read, its bytes being those that were written. */
static enum bs_status open_file(const char *path, hid_t *file, struct bs_error *err)
{
    bs_h5_begin();
    *file = H5I_INVALID_HID;
    enum bs_status status = bs_seal_check(path, path, err);
    if (status)
        return status;
    hid_t access = bs_h5_access();
    *file = H5Fopen(path, H5F_ACC_RDONLY, access);
    if (*file < 0)
        status = bs_h5_fail(err, BS_EDATA, path, "not a result file, or damaged");
    bs_h5_close(access);
    return status;
}

enum bs_status bs_h5_check_schema(hid_t file, const char *path, struct bs_error *err)
{
    if (H5Aexists(file, "schema_version") <= 0)
        return bs_fail(err, BS_EDATA, "%s: not a result file of bitsweep (no schema_version)",
                       path);
    int version = 0;
    hid_t attribute = H5Aopen(file, "schema_version", H5P_DEFAULT);
    hid_t space = attribute < 0 ? attribute : H5Aget_space(attribute);
    enum bs_status status = BS_OK;
    if (space < 0 || H5Sget_simple_extent_npoints(space) != 1 ||
        H5Aread(attribute, H5T_NATIVE_INT, &version) < 0)
        status = bs_h5_fail(err, BS_EDATA, path, "schema_version cannot be read");
    else if (version != BS_SCHEMA_VERSION)
        status =
            bs_fail(err, BS_EDATA, "%s: schema_version is %d, this bitsweep reads and writes %d",
                    path, version, BS_SCHEMA_VERSION);
    bs_h5_close(space);
    bs_h5_close(attribute);
    return status;
}

enum bs_status bs_h5_read_text(hid_t object, const char *path, const char *name, char **text,
                               struct bs_error *err)
{
    enum bs_status status = BS_OK;
    hid_t attribute = H5I_INVALID_HID, type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    *text = NULL;
    if (H5Aexists(object, name) <= 0)
        return bs_fail(err, BS_EDATA, "%s: attribute %s is missing", path, name);
    attribute = H5Aopen(object, name, H5P_DEFAULT);
    type = attribute < 0 ? attribute : H5Aget_type(attribute);
    space = attribute < 0 ? attribute : H5Aget_space(attribute);
    if (type < 0 || space < 0 || H5Tget_class(type) != H5T_STRING ||
        H5Tis_variable_str(type) != 0 || H5Sget_simple_extent_npoints(space) != 1) {
        status = bs_fail(err, BS_EDATA, "%s: attribute %s is no text", path, name);
        goto done;
    }
    size_t size = H5Tget_size(type);
    *text = bs_calloc(size + 1, 1);
    if (!*text) {
        status = bs_fail_memory(err);
        goto done;
    }
    if (H5Aread(attribute, type, *text) < 0) {
        status = bs_h5_fail(err, BS_EDATA, path, name);
        bs_free(*text);
        *text = NULL;
    }
done:
    bs_h5_close(space);
    bs_h5_close(type);
    bs_h5_close(attribute);
    return status;
}

/* BS_OK where the link `place` ("a/b/c", from `file`) and all on the way to it are there, none of
 * them leading to another place or file. */
static enum bs_status check_exists(hid_t file, const char *path, const char *place,
                                   struct bs_error *err)
{
    size_t length = strlen(place);
    char *part = bs_strdup(place);
    H5L_info_t info;
    bool found = part != NULL;
    for (size_t i = 0; found && i <= length; i++) {
        if (place[i] != '/' && place[i] != '\0')
            continue;
        part[i] = '\0';
        found = H5Lexists(file, part, H5P_DEFAULT) > 0 &&
                H5Lget_info(file, part, &info, H5P_DEFAULT) >= 0 && info.type == H5L_TYPE_HARD;
        part[i] = place[i];
    }
    enum bs_status status = part ? BS_OK : bs_fail_memory(err);
    bs_free(part);
    return status || found ? status : bs_fail(err, BS_EDATA, "%s: /%s is missing", path, place);
}

/* A dataset may claim any size: the memory for it is asked for only where the file holds that much,
 * be it compressed, and not in another file or, by a detour, in this one again. */
static enum bs_status check_storage(hid_t dataset, hid_t space, const char *path, const char *place,
                                    struct bs_error *err)
{
    enum { DEFLATE_AT_MOST = 1032 }; /* bytes that one of deflate's can stand for */
    enum bs_status status = BS_OK;
    hid_t create = H5Dget_create_plist(dataset), type = H5Dget_type(dataset);
    hssize_t count = H5Sget_simple_extent_npoints(space);
    if (create < 0 || type < 0 || count < 0)
        status = bs_h5_fail(err, BS_EDATA, path, place);
    else if (H5Pget_layout(create) == H5D_VIRTUAL || H5Pget_external_count(create) != 0)
        status = bs_fail(err, BS_EDATA, "%s: /%s is not kept in this file", path, place);
    else if ((double)count * (double)H5Tget_size(type) >
             (double)H5Dget_storage_size(dataset) * DEFLATE_AT_MOST)
        status = bs_fail(err, BS_EDATA, "%s: /%s has %lld values, more than the file can hold",
                         path, place, (long long)count);
    bs_h5_close(type);
    bs_h5_close(create);
    return status;
}

/* Opens dataset `place` and gives its extent; dims of `rank`. */
static enum bs_status open_dataset(hid_t file, const char *path, const char *place, int rank,
                                   hid_t *dataset, hsize_t *dims, struct bs_error *err)
{
    *dataset = H5I_INVALID_HID;
    if (check_exists(file, path, place, err))
        return err->status;
    *dataset = H5Dopen2(file, place, H5P_DEFAULT);
    hid_t space = *dataset < 0 ? *dataset : H5Dget_space(*dataset);
    enum bs_status status = BS_OK;
    if (space < 0)
        status = bs_h5_fail(err, BS_EDATA, path, place);
    else if (H5Sget_simple_extent_ndims(space) != rank ||
             H5Sget_simple_extent_dims(space, dims, NULL) < 0)
        status = bs_fail(err, BS_EDATA, "%s: /%s does not have %d dimension%s", path, place, rank,
                         rank == 1 ? "" : "s");
    else
        status = check_storage(*dataset, space, path, place, err);
    bs_h5_close(space);
    return status;
}

/* HDF5 matches members by name and leaves out what is not there, so each is looked for first. */
static enum bs_status check_members(hid_t dataset, const struct bs_record_type *record,
                                    const char *path, const char *place, struct bs_error *err)
{
    static const H5T_class_t classes[] = {
        [BS_FIELD_TEXT] = H5T_STRING,
        [BS_FIELD_STRING] = H5T_STRING,
        [BS_FIELD_INT] = H5T_INTEGER,
        [BS_FIELD_DOUBLE] = H5T_FLOAT,
    };
    enum bs_status status = BS_OK;
    hid_t type = H5Dget_type(dataset);
    if (type < 0 || H5Tget_class(type) != H5T_COMPOUND)
        status = bs_fail(err, BS_EDATA, "%s: /%s is no compound table", path, place);
    for (const struct bs_field *field = record->fields; !status && field->name; field++) {
        int member = H5Tget_member_index(type, field->name);
        if (member < 0)
            status = bs_fail(err, BS_EDATA, "%s: /%s has no member %s", path, place, field->name);
        else if (H5Tget_member_class(type, (unsigned)member) != classes[field->kind])
            status = bs_fail(err, BS_EDATA, "%s: member %s of /%s is of another type", path,
                             field->name, place);
    }
    bs_h5_close(type);
    return status;
}

/* A whole compound table in new memory. */
static enum bs_status read_table(hid_t file, const char *path, const char *place,
                                 const struct bs_record_type *record, void **rows, int *num_rows,
                                 struct bs_error *err)
{
    hid_t dataset = H5I_INVALID_HID, stored = H5I_INVALID_HID, type = H5I_INVALID_HID;
    hsize_t count = 0;
    char *data = NULL, *packed = NULL;
    struct bs_packing packing;
    *rows = NULL;
    *num_rows = 0;
    enum bs_status status = open_dataset(file, path, place, 1, &dataset, &count, err);
    if (!status)
        status = check_members(dataset, record, path, place, err);
    if (status)
        goto done;
    if (count > INT_MAX) {
        status = bs_fail(err, BS_EDATA, "%s: /%s has too many rows", path, place);
        goto done;
    }
    stored = H5Dget_type(dataset);
    bs_packing_in(record, stored, &packing);
    type = bs_h5_type(record, &packing, false);
    data = bs_calloc((size_t)count, record->size);
    packed = bs_alloc((size_t)count, packing.size);
    if (type < 0 || !data || !packed) {
        status = bs_fail_memory(err);
        goto done;
    }
    if (count > 0 && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, packed) < 0) {
        status = bs_h5_fail(err, BS_EDATA, path, place);
        goto done;
    }
    status = bs_unpack(record, &packing, packed, (size_t)count, data, err);
    for (size_t i = 0; status && i < count; i++)
        bs_record_release(record, data + i * record->size);
    if (status)
        goto done;
    *rows = data;
    *num_rows = (int)count;
    data = NULL;
done:
    bs_free(packed);
    bs_free(data);
    bs_h5_close(type);
    bs_h5_close(stored);
    bs_h5_close(dataset);
    return status;
}

enum bs_status bs_h5_read_rows(hid_t file, const char *path, struct bs_row **rows, int *num_rows,
                               struct bs_error *err)
{
    void *data;
    enum bs_status status = read_table(file, path, "trials", &bs_row_type, &data, num_rows, err);
    *rows = data;
    return status;
}

enum bs_status bs_results_read(const char *path, struct bs_results *results, struct bs_error *err)
{
    *results = (struct bs_results){.schema_version = BS_SCHEMA_VERSION};
    hid_t file;
    enum bs_status status = open_file(path, &file, err);
    if (!status)
        status = bs_h5_check_schema(file, path, err);
    if (!status)
        status = bs_h5_read_text(file, path, "config", &results->config, err);
    if (!status)
        status = bs_h5_read_rows(file, path, &results->rows, &results->num_rows, err);
    if (!status && !(results->path = bs_strdup(path)))
        status = bs_fail_memory(err);
    bs_h5_close(file);
    if (status)
        bs_results_release(results);
    return status;
}

void bs_results_release(struct bs_results *results)
{
    bs_free(results->path);
    bs_free(results->config);
    bs_rows_free(results->rows, results->num_rows);
    *results = (struct bs_results){0};
}

bool bs_rows_comparable(const struct bs_row *a, const struct bs_row *b)
{
    return !strcmp(a->text, b->text) && !strcmp(a->text_digest, b->text_digest) &&
           !strcmp(a->protocol, b->protocol) && !strcmp(a->pick, b->pick) &&
           a->text_windows == b->text_windows && a->stride == b->stride &&
           a->windows == b->windows && a->tokens == b->tokens && a->scored == b->scored;
}

void bs_row_measured(const struct bs_row *row, char out[BS_MEASURED_TEXT])
{
    char stride[32] = "";
    if (row->stride != row->tokens)
        snprintf(stride, sizeof stride, " with stride %d", row->stride);
    if (row->text_windows > row->windows)
        snprintf(out, BS_MEASURED_TEXT, "protocol %s%s, %s%d of %d windows%s \xc3\x97 %d tokens",
                 row->protocol, stride, !strcmp(row->pick, "first") ? "the first " : "",
                 row->windows, row->text_windows,
                 !strcmp(row->pick, "even") ? " spread evenly" : "", row->tokens);
    else
        snprintf(out, BS_MEASURED_TEXT, "protocol %s%s, %d windows \xc3\x97 %d tokens",
                 row->protocol, stride, row->windows, row->tokens);
}

const struct bs_row *bs_results_find(const struct bs_results *results, const char *id)
{
    for (int i = 0; i < results->num_rows; i++)
        if (!strcmp(results->rows[i].id, id))
            return &results->rows[i];
    return NULL;
}

bool bs_results_several_models(const struct bs_results *results)
{
    for (int i = 1; i < results->num_rows; i++)
        if (strcmp(results->rows[i].model, results->rows[0].model))
            return true;
    return false;
}

/* One per-token array in new memory, its shape checked against the row. */
static enum bs_status read_array(hid_t file, const char *path, const struct bs_row *row,
                                 const char *name, hid_t type, size_t size, void **data,
                                 struct bs_error *err)
{
    char *place = bs_printf("trial/%s/%s/%s", row->id, row->text, name);
    hid_t dataset = H5I_INVALID_HID;
    hsize_t dims[2] = {0, 0};
    *data = NULL;
    enum bs_status status =
        place ? open_dataset(file, path, place, 2, &dataset, dims, err) : bs_fail_memory(err);
    if (!status && (row->windows < 1 || row->tokens < 2 || dims[0] != (hsize_t)row->windows ||
                    dims[1] != (hsize_t)row->tokens - 1))
        status = bs_fail(err, BS_EDATA,
                         "%s: /%s holds %llu x %llu values, its row says %d windows of %d tokens",
                         path, place, (unsigned long long)dims[0], (unsigned long long)dims[1],
                         row->windows, row->tokens);
    if (!status && !(*data = bs_alloc((size_t)dims[0] * (size_t)dims[1], size)))
        status = bs_fail_memory(err);
    if (!status && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *data) < 0)
        status = bs_h5_fail(err, BS_EDATA, path, place);
    bs_h5_close(dataset);
    bs_free(place);
    if (status) {
        bs_free(*data);
        *data = NULL;
    }
    return status;
}

enum bs_status bs_results_read_tokens(const char *path, const struct bs_row *row, float **nll,
                                      float **kld, uint8_t **same_top, struct bs_error *err)
{
    hid_t file;
    void *nll_data = NULL, *kld_data = NULL, *top_data = NULL;
    enum bs_status status = open_file(path, &file, err);
    if (!status && nll)
        status =
            read_array(file, path, row, "nll", H5T_NATIVE_FLOAT, sizeof(float), &nll_data, err);
    if (!status && kld)
        status =
            read_array(file, path, row, "kld", H5T_NATIVE_FLOAT, sizeof(float), &kld_data, err);
    if (!status && same_top)
        status = read_array(file, path, row, "same_top", H5T_NATIVE_UINT8, 1, &top_data, err);
    bs_h5_close(file);
    if (status) {
        bs_free(nll_data);
        bs_free(kld_data);
        bs_free(top_data);
        nll_data = kld_data = top_data = NULL;
    }
    if (nll)
        *nll = nll_data;
    if (kld)
        *kld = kld_data;
    if (same_top)
        *same_top = top_data;
    return status;
}

enum bs_status bs_results_read_layers(const char *path, const char *id,
                                      struct bs_layer_row **layers, int *num_layers,
                                      struct bs_error *err)
{
    char place[64];
    snprintf(place, sizeof place, "trial/%s/layers", id);
    hid_t file;
    void *rows = NULL;
    *num_layers = 0;
    enum bs_status status = open_file(path, &file, err);
    if (!status)
        status = read_table(file, path, place, &bs_layer_type, &rows, num_layers, err);
    bs_h5_close(file);
    *layers = rows;
    return status;
}

enum bs_status bs_results_read_text(const char *path, const char *id, const char *name, char **text,
                                    struct bs_error *err)
{
    char place[64];
    snprintf(place, sizeof place, "trial/%s", id);
    hid_t file, group = H5I_INVALID_HID;
    *text = NULL;
    enum bs_status status = open_file(path, &file, err);
    if (!status)
        status = check_exists(file, path, place, err);
    if (!status && (group = H5Gopen2(file, place, H5P_DEFAULT)) < 0)
        status = bs_h5_fail(err, BS_EDATA, path, place);
    if (!status)
        status = bs_h5_read_text(group, path, name, text, err);
    bs_h5_close(group);
    bs_h5_close(file);
    return status;
}
