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
#include "eval/tasks/evaluation.h"

enum bs_status bs_h5_open(const char *path, hid_t *file, struct bs_error *err)
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
enum bs_status bs_h5_open_dataset(hid_t file, const char *path, const char *place, int rank,
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
    enum bs_status status = bs_h5_open_dataset(file, path, place, 1, &dataset, &count, err);
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

/* The index of the trial's row, looked for from `from` on; -1 where there is none. */
static int row_of(const struct bs_row *rows, int num_rows, const char *trial, int from)
{
    for (int i = 0; i < num_rows; i++) {
        int r = (from + i) % num_rows;
        if (!strcmp(rows[r].id, trial))
            return r;
    }
    return -1;
}

/* Gives every row its values; `owners` [num_values], the index of the row that each belongs to. */
static enum bs_status share_out(const struct bs_value_row *values, int num_values,
                                const int *owners, struct bs_row *rows, int num_rows,
                                struct bs_error *err)
{
    for (int v = 0; v < num_values; v++)
        rows[owners[v]].num_values++;
    for (int r = 0; r < num_rows; r++) {
        rows[r].values = bs_alloc((size_t)rows[r].num_values, sizeof *rows[r].values);
        if (!rows[r].values)
            return bs_fail_memory(err);
        rows[r].num_values = 0;
    }
    for (int v = 0; v < num_values; v++) {
        struct bs_row *row = &rows[owners[v]];
        row->values[row->num_values++] = values[v];
    }
    return BS_OK;
}

/* Reads /values into the rows. */
static enum bs_status read_values(hid_t file, const char *path, struct bs_row *rows, int num_rows,
                                  struct bs_error *err)
{
    void *data;
    int count;
    if (read_table(file, path, "values", &bs_value_row_type, &data, &count, err))
        return err->status;
    const struct bs_value_row *values = data;
    int *owners = bs_alloc((size_t)count, sizeof *owners);
    enum bs_status status = owners ? BS_OK : bs_fail_memory(err);
    for (int v = 0; v < count && !status; v++) {
        owners[v] = row_of(rows, num_rows, values[v].trial, v ? owners[v - 1] : 0);
        if (owners[v] < 0)
            status = bs_fail(err, BS_EDATA, "%s: /values has trial '%s', which /trials has not",
                             path, values[v].trial);
    }
    if (!status)
        status = share_out(values, count, owners, rows, num_rows, err);
    bs_free(owners);
    bs_free(data);
    return status;
}

enum bs_status bs_h5_read_rows(hid_t file, const char *path, struct bs_row **rows, int *num_rows,
                               struct bs_error *err)
{
    void *data;
    *rows = NULL;
    if (read_table(file, path, "trials", &bs_row_type, &data, num_rows, err))
        return err->status;
    if (read_values(file, path, data, *num_rows, err)) {
        bs_rows_free(data, *num_rows);
        *num_rows = 0;
        return err->status;
    }
    *rows = data;
    return BS_OK;
}

enum bs_status bs_results_read(const char *path, struct bs_results *results, struct bs_error *err)
{
    *results = (struct bs_results){.schema_version = BS_SCHEMA_VERSION};
    hid_t file;
    enum bs_status status = bs_h5_open(path, &file, err);
    if (!status)
        status = bs_h5_check_schema(file, path, err);
    if (!status)
        status = bs_h5_read_text(file, path, "config", &results->config, err);
    if (!status)
        status = bs_h5_read_rows(file, path, &results->rows, &results->num_rows, err);
    if (!status && !(results->path = bs_strdup(path)))
        status = bs_fail_memory(err);
    for (int i = 0; i < results->num_rows && !status; i++)
        results->rows[i].file = results->path;
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
    for (int p = 0; p < results->num_parts; p++)
        bs_results_release(&results->parts[p]);
    bs_free(results->parts);
    *results = (struct bs_results){0};
}

bool bs_rows_comparable(const struct bs_row *a, const struct bs_row *b)
{
    return !strcmp(a->text, b->text) && !strcmp(a->text_digest, b->text_digest) &&
           !strcmp(a->evaluation, b->evaluation) && !strcmp(a->protocol, b->protocol) &&
           !strcmp(a->pick, b->pick) && a->text_windows == b->text_windows &&
           a->stride == b->stride && a->windows == b->windows && a->tokens == b->tokens &&
           a->scored == b->scored;
}

/* Items that a trial of a task is measured by, 0 of others. */
static int items_of(const struct bs_row *row)
{
    for (int v = 0; v < row->num_values && bs_evaluation_has_answers(row->evaluation); v++)
        if (!strcmp(row->values[v].evaluation, row->evaluation))
            return row->values[v].n;
    return 0;
}

void bs_row_measured(const struct bs_row *row, char out[BS_MEASURED_TEXT])
{
    char stride[32] = "";
    int items = items_of(row);
    if (items) {
        snprintf(out, BS_MEASURED_TEXT, "%s, %d item%s", row->protocol, items,
                 items == 1 ? "" : "s");
        return;
    }
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

enum bs_status bs_results_read_figure(const char *path, const struct bs_row *row,
                                      enum bs_figure figure, void **values, struct bs_error *err)
{
    const struct bs_figure_type *type = &bs_figure_types[figure];
    char *place = bs_printf("trial/%s/%s/%s", row->id, row->text, type->name);
    hid_t file = H5I_INVALID_HID, dataset = H5I_INVALID_HID;
    hsize_t dims[2] = {0, 0};
    *values = NULL;
    enum bs_status status = place ? bs_h5_open(path, &file, err) : bs_fail_memory(err);
    if (!status)
        status = bs_h5_open_dataset(file, path, place, 2, &dataset, dims, err);
    if (!status && (row->windows < 1 || row->tokens < 2 || dims[0] != (hsize_t)row->windows ||
                    dims[1] != (hsize_t)row->tokens - 1))
        status = bs_fail(err, BS_EDATA,
                         "%s: /%s holds %llu x %llu values, its row says %d windows of %d tokens",
                         path, place, (unsigned long long)dims[0], (unsigned long long)dims[1],
                         row->windows, row->tokens);
    if (!status &&
        !(*values = bs_alloc((size_t)dims[0] * (size_t)dims[1], bs_figure_bytes(figure))))
        status = bs_fail_memory(err);
    if (!status &&
        H5Dread(dataset, type->kind == BS_FIGURE_FLOAT ? H5T_NATIVE_FLOAT : H5T_NATIVE_UINT8,
                H5S_ALL, H5S_ALL, H5P_DEFAULT, *values) < 0)
        status = bs_h5_fail(err, BS_EDATA, path, place);
    bs_h5_close(dataset);
    bs_h5_close(file);
    bs_free(place);
    if (status) {
        bs_free(*values);
        *values = NULL;
    }
    return status;
}

/* ---- answers ---- */

/* Items follow one another from 0, their answers too, and one of them is right. */
static bool make_sense(const struct bs_answers *answers)
{
    int item = 0;
    for (int first = 0, count; first < answers->count; first += count, item++) {
        int right = 0;
        count = bs_answers_of_item(answers, first);
        for (int i = 0; i < count; i++) {
            const struct bs_answer *row = &answers->rows[first + i];
            if (row->item != item || row->choice != i || row->tokens < 1 || row->characters < 0 ||
                row->bytes < 0)
                return false;
            right += row->gold == 1;
        }
        if (right != 1)
            return false;
    }
    return answers->count > 0;
}

enum bs_status bs_results_read_answers(const char *path, const struct bs_row *row,
                                       struct bs_answers *answers, struct bs_error *err)
{
    *answers = (struct bs_answers){0};
    char *place = bs_printf("trial/%s/%s/answers", row->id, row->text);
    hid_t file = H5I_INVALID_HID;
    void *rows = NULL;
    enum bs_status status = place ? bs_h5_open(path, &file, err) : bs_fail_memory(err);
    if (!status)
        status = read_table(file, path, place, &bs_answer_type, &rows, &answers->count, err);
    answers->rows = rows;
    if (!status && !make_sense(answers))
        status =
            bs_fail(err, BS_EDATA, "%s: /%s makes no sense: its items are not whole", path, place);
    if (!status)
        answers->num_items = answers->rows[answers->count - 1].item + 1;
    bs_h5_close(file);
    bs_free(place);
    if (status)
        bs_answers_release(answers);
    return status;
}

/* ---- layers ---- */

/* True for a member of the table that every row has. */
static bool is_fixed(const struct bs_record_type *fixed, const char *name)
{
    for (const struct bs_field *field = fixed->fields; field->name; field++)
        if (!strcmp(field->name, name))
            return true;
    return false;
}

/* The names of the table's other members of floats, as many as there is room for. */
static enum bs_status read_columns(hid_t file, const char *path, const char *place,
                                   struct bs_layer_table *layers, struct bs_error *err)
{
    struct bs_field fields[BS_MOST_FIELDS];
    struct bs_record_type fixed = bs_layer_type(NULL, 0, fields);
    hid_t dataset, type = H5I_INVALID_HID;
    hsize_t count;
    layers->columns = bs_calloc(BS_MOST_LINEAR_VALUES, sizeof *layers->columns);
    if (!layers->columns)
        return bs_fail_memory(err);
    enum bs_status status = bs_h5_open_dataset(file, path, place, 1, &dataset, &count, err);
    if (!status && (type = H5Dget_type(dataset)) < 0)
        status = bs_h5_fail(err, BS_EDATA, path, place);
    int members = !status && H5Tget_class(type) == H5T_COMPOUND ? H5Tget_nmembers(type) : 0;
    for (int m = 0; m < members && layers->num_columns < BS_MOST_LINEAR_VALUES; m++) {
        char *name = H5Tget_member_name(type, (unsigned)m);
        if (name && strlen(name) < sizeof *layers->columns && !is_fixed(&fixed, name) &&
            H5Tget_member_class(type, (unsigned)m) == H5T_FLOAT)
            snprintf(layers->columns[layers->num_columns++], sizeof *layers->columns, "%s", name);
        H5free_memory(name);
    }
    bs_h5_close(type);
    bs_h5_close(dataset);
    return status;
}

enum bs_status bs_results_read_layers(const char *path, const char *id,
                                      struct bs_layer_table *layers, struct bs_error *err)
{
    char place[64];
    snprintf(place, sizeof place, "trial/%s/layers", id);
    struct bs_field fields[BS_MOST_FIELDS];
    hid_t file;
    void *rows = NULL;
    *layers = (struct bs_layer_table){.num_rows = 0};
    enum bs_status status = bs_h5_open(path, &file, err);
    if (!status)
        status = read_columns(file, path, place, layers, err);
    if (!status) {
        struct bs_record_type type = bs_layer_type(layers->columns, layers->num_columns, fields);
        status = read_table(file, path, place, &type, &rows, &layers->num_rows, err);
        layers->rows = rows;
    }
    bs_h5_close(file);
    if (status)
        bs_layer_table_release(layers);
    return status;
}

void bs_layer_table_release(struct bs_layer_table *layers)
{
    bs_free(layers->rows);
    bs_free(layers->columns);
    *layers = (struct bs_layer_table){.num_rows = 0};
}

int bs_layer_column(const struct bs_layer_table *layers, const char *name)
{
    for (int c = 0; c < layers->num_columns; c++)
        if (!strcmp(layers->columns[c], name))
            return c;
    return -1;
}

enum bs_status bs_results_read_text(const char *path, const char *id, const char *name, char **text,
                                    struct bs_error *err)
{
    char place[64];
    snprintf(place, sizeof place, "%s%s", id ? "trial/" : "/", id ? id : "");
    hid_t file, group = H5I_INVALID_HID;
    *text = NULL;
    enum bs_status status = bs_h5_open(path, &file, err);
    if (!status && id)
        status = check_exists(file, path, place, err);
    if (!status && (group = H5Gopen2(file, place, H5P_DEFAULT)) < 0)
        status = bs_h5_fail(err, BS_EDATA, path, place);
    if (!status)
        status = bs_h5_read_text(group, path, name, text, err);
    bs_h5_close(group);
    bs_h5_close(file);
    return status;
}
