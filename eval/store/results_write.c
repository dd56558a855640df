/* Writing into an open result file: attributes, tables, arrays. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "eval/base/mem.h"
#include "eval/store/results_internal.h"

/* Sets a text attribute anew. A fixed length keeps it inside the checksummed object header. */
static enum bs_status set_text(const struct bs_commit *commit, hid_t object, const char *name,
                               const char *text, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR), attribute = H5I_INVALID_HID;
    if (H5Tset_size(type, strlen(text) + 1) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0 ||
        (H5Aexists(object, name) > 0 && H5Adelete(object, name) < 0) ||
        (attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT)) < 0 ||
        H5Awrite(attribute, type, text) < 0)
        status = bs_h5_fail(err, BS_EIO, commit->path, name);
    bs_h5_close(attribute);
    bs_h5_close(space);
    bs_h5_close(type);
    return status;
}

static enum bs_status set_int(const struct bs_commit *commit, const char *name, int value,
                              struct bs_error *err)
{
    enum bs_status status = BS_OK;
    hid_t space = H5Screate(H5S_SCALAR), attribute = H5I_INVALID_HID;
    if ((H5Aexists(commit->file, name) > 0 && H5Adelete(commit->file, name) < 0) ||
        (attribute =
             H5Acreate2(commit->file, name, H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT)) < 0 ||
        H5Awrite(attribute, H5T_NATIVE_INT, &value) < 0)
        status = bs_h5_fail(err, BS_EIO, commit->path, name);
    bs_h5_close(attribute);
    bs_h5_close(space);
    return status;
}

enum bs_status bs_commit_write_attributes(const struct bs_commit *commit,
                                          const struct bs_run_info *info, struct bs_error *err)
{
    const struct {
        const char *name, *text;
    } texts[] = {
        {"bitsweep_version", bs_program_version},
        {"commit", bs_program_commit},
        {"config", info->config},
        {"host", info->host},
        {"cpu", info->cpu},
        {"blas", info->blas},
        {"finished", info->finished},
    };
    enum bs_status status = set_int(commit, "schema_version", BS_SCHEMA_VERSION, err);
    if (!status && info->threads)
        status = set_int(commit, "threads", info->threads, err);
    for (size_t i = 0; !status && i < sizeof texts / sizeof *texts; i++)
        if (texts[i].text)
            status = set_text(commit, commit->file, texts[i].name, texts[i].text, err);
    /* A run that continues a file does not change when the file was begun. */
    if (!status && info->started && H5Aexists(commit->file, "started") <= 0)
        status = set_text(commit, commit->file, "started", info->started, err);
    return status;
}

enum {
    DEFLATE_LEVEL = 4,
    CHUNK_FIGURES = 1 << 16,
    CHUNK_TRIALS = 16,
    CHUNK_VALUES = 64,
    CHUNK_LAYERS = 1024,
    CHUNK_ANSWERS = 1024
};

/* Writes a new dataset at `place` below `parent`. Each chunk has a checksum, so damage is noticed;
 * `deflate` for all but /trials and /values, whose chunks keep one size so that the space of the
 * old table is used again by the new one. */
static enum bs_status write_dataset(const struct bs_commit *commit, hid_t parent, const char *place,
                                    int rank, const hsize_t *dims, const hsize_t *chunk,
                                    bool deflate, hid_t file_type, hid_t memory_type,
                                    const void *data, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    hid_t space = H5Screate_simple(rank, dims, NULL), create = H5Pcreate(H5P_DATASET_CREATE);
    hid_t dataset = H5I_INVALID_HID;
    if (H5Pset_obj_track_times(create, false) < 0 ||
        (chunk && H5Pset_chunk(create, rank, chunk) < 0) ||
        (chunk && deflate &&
         (H5Pset_shuffle(create) < 0 || H5Pset_deflate(create, DEFLATE_LEVEL) < 0)) ||
        (chunk && H5Pset_fletcher32(create) < 0) ||
        (dataset = H5Dcreate2(parent, place, file_type, space, H5P_DEFAULT, create, H5P_DEFAULT)) <
            0 ||
        (chunk && H5Dwrite(dataset, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0))
        status = bs_h5_fail(err, BS_EIO, commit->path, place);
    if (dataset >= 0 && H5Dclose(dataset) < 0 && !status)
        status = bs_h5_fail(err, BS_EIO, commit->path, place);
    bs_h5_close(create);
    bs_h5_close(space);
    return status;
}

/* Sets the attribute `units` of a dataset: of an array one word, of a table a JSON object of the
 * columns that have one. "" = it has none. */
static enum bs_status set_units(const struct bs_commit *commit, hid_t parent, const char *place,
                                const char *units, struct bs_error *err)
{
    if (!*units)
        return BS_OK;
    hid_t dataset = H5Dopen2(parent, place, H5P_DEFAULT);
    if (dataset < 0)
        return bs_h5_fail(err, BS_EIO, commit->path, place);
    enum bs_status status = set_text(commit, dataset, "units", units, err);
    if (H5Dclose(dataset) < 0 && !status)
        status = bs_h5_fail(err, BS_EIO, commit->path, place);
    return status;
}

/* The same of names with their units, which are taken; NULL = memory had run out. */
static enum bs_status set_json_units(const struct bs_commit *commit, hid_t parent,
                                     const char *place, json_t *units, struct bs_error *err)
{
    char *text = units ? json_dumps(units, 0) : NULL;
    enum bs_status status = text ? BS_OK : bs_fail_memory(err);
    if (!status && json_object_size(units))
        status = set_units(commit, parent, place, text, err);
    free(text);
    json_decref(units);
    return status;
}

/* The fields of a record that have a unit; NULL = memory has run out. */
static json_t *units_of(const struct bs_record_type *record)
{
    json_t *units = json_object();
    for (const struct bs_field *field = record->fields; units && field->name; field++)
        if (field->unit && *field->unit &&
            json_object_set_new(units, field->name, json_string(field->unit))) {
            json_decref(units);
            return NULL;
        }
    return units;
}

/* A compound table in chunks of so many rows. An empty one has no chunks. */
static enum bs_status write_table(const struct bs_commit *commit, hid_t parent, const char *place,
                                  const struct bs_record_type *record, const void *rows,
                                  int num_rows, hsize_t chunk, bool deflate, struct bs_error *err)
{
    struct bs_packing packing;
    bs_packing_of(record, rows, (size_t)num_rows, &packing);
    hid_t file_type = bs_h5_type(record, &packing, true);
    hid_t memory_type = bs_h5_type(record, &packing, false);
    hsize_t count = (hsize_t)num_rows;
    char *data = bs_alloc((size_t)num_rows, packing.size);
    if (chunk > count)
        chunk = count;
    enum bs_status status = BS_OK;
    if (!data)
        status = bs_fail_memory(err);
    else if (file_type < 0 || memory_type < 0)
        status = bs_h5_fail(err, BS_EIO, commit->path, place);
    if (!status) {
        bs_pack(record, &packing, rows, (size_t)num_rows, data);
        status = write_dataset(commit, parent, place, 1, &count, count > 0 ? &chunk : NULL, deflate,
                               file_type, memory_type, data, err);
    }
    if (!status)
        status = set_json_units(commit, parent, place, units_of(record), err);
    bs_free(data);
    bs_h5_close(memory_type);
    bs_h5_close(file_type);
    return status;
}

static enum bs_status remove_table(const struct bs_commit *commit, const char *place,
                                   struct bs_error *err)
{
    if (H5Lexists(commit->file, place, H5P_DEFAULT) <= 0 ||
        H5Ldelete(commit->file, place, H5P_DEFAULT) >= 0)
        return BS_OK;
    return bs_h5_fail(err, BS_EIO, commit->path, place);
}

/* The units of all values by their names; NULL = memory has run out. */
static json_t *units_of_values(const struct bs_value_row *values, int count)
{
    json_t *units = json_object();
    for (int v = 0; v < count && units; v++) {
        const struct bs_value_type *type = bs_value_type_find(values[v].evaluation, values[v].name);
        bool known = !type || !*type->unit || json_object_get(units, type->name);
        if (!known && json_object_set_new(units, type->name, json_string(type->unit))) {
            json_decref(units);
            units = NULL;
        }
    }
    return units;
}

static enum bs_status write_values(const struct bs_commit *commit, struct bs_error *err)
{
    int count = 0;
    for (int i = 0; i < commit->num_rows; i++)
        count += commit->rows[i].num_values;
    struct bs_value_row *values = bs_alloc((size_t)count, sizeof *values);
    if (!values)
        return bs_fail_memory(err);
    count = 0;
    for (int i = 0; i < commit->num_rows; i++)
        for (int v = 0; v < commit->rows[i].num_values; v++)
            values[count++] = commit->rows[i].values[v];
    enum bs_status status = write_table(commit, commit->file, "values", &bs_value_row_type, values,
                                        count, CHUNK_VALUES, false, err);
    if (!status)
        status =
            set_json_units(commit, commit->file, "values", units_of_values(values, count), err);
    bs_free(values);
    return status;
}

/* The old tables go first and the new ones come next, so that they take the old ones' space. */
enum bs_status bs_commit_write_rows(const struct bs_commit *commit, struct bs_error *err)
{
    if (remove_table(commit, "trials", err) || remove_table(commit, "values", err) ||
        write_table(commit, commit->file, "trials", &bs_row_type, commit->rows, commit->num_rows,
                    CHUNK_TRIALS, false, err))
        return err->status;
    return write_values(commit, err);
}

/* One figure of all predictions; a chunk is one window or as many as make up 64 K values. */
static enum bs_status write_figure(const struct bs_commit *commit, hid_t group,
                                   const struct bs_row *row, const struct bs_figure_type *type,
                                   const void *data, struct bs_error *err)
{
    bool is_float = type->kind == BS_FIGURE_FLOAT;
    hsize_t dims[2] = {(hsize_t)row->windows, (hsize_t)row->tokens - 1};
    hsize_t chunk[2] = {dims[1] < CHUNK_FIGURES ? CHUNK_FIGURES / dims[1] : 1, dims[1]};
    if (chunk[0] > dims[0])
        chunk[0] = dims[0];
    if (write_dataset(commit, group, type->name, 2, dims, chunk, true,
                      is_float ? H5T_IEEE_F32LE : H5T_STD_U8LE,
                      is_float ? H5T_NATIVE_FLOAT : H5T_NATIVE_UINT8, data, err))
        return err->status;
    return set_units(commit, group, type->name, type->unit, err);
}

/* What was measured: of a text figures, of a task answers. */
static enum bs_status write_scores(const struct bs_commit *commit, hid_t trial,
                                   const struct bs_trial_record *record, hid_t create,
                                   struct bs_error *err)
{
    const struct bs_row *row = &record->row;
    assert(row->windows > 0 && row->tokens > 1 && row->text && !strchr(row->text, '/'));
    hid_t group = H5Gcreate2(trial, row->text, H5P_DEFAULT, create, H5P_DEFAULT);
    if (group < 0)
        return bs_h5_fail(err, BS_EIO, commit->path, row->text);
    enum bs_status status = BS_OK;
    if (record->answers.count)
        status = write_table(commit, group, "answers", &bs_answer_type, record->answers.rows,
                             record->answers.count, CHUNK_ANSWERS, true, err);
    for (int f = 0; record->figures && !status && f < BS_NUM_FIGURES; f++)
        if (record->figures->of[f])
            status =
                write_figure(commit, group, row, &bs_figure_types[f], record->figures->of[f], err);
    bs_h5_close(group);
    return status;
}

static enum bs_status write_layers(const struct bs_commit *commit, hid_t trial,
                                   const struct bs_layer_table *layers, struct bs_error *err)
{
    struct bs_field fields[BS_MOST_FIELDS];
    struct bs_record_type type = bs_layer_type(layers->columns, layers->num_columns, fields);
    return write_table(commit, trial, "layers", &type, layers->rows, layers->num_rows, CHUNK_LAYERS,
                       true, err);
}

static enum bs_status write_channels(const struct bs_commit *commit, hid_t trial,
                                     const struct bs_channel_list *list, hid_t create,
                                     struct bs_error *err)
{
    hid_t group = H5Gcreate2(trial, "channels", H5P_DEFAULT, create, H5P_DEFAULT);
    enum bs_status status = BS_OK;
    if (group < 0)
        return bs_h5_fail(err, BS_EIO, commit->path, "channels");
    for (int i = 0; i < list->count && !status; i++) {
        const struct bs_channels *of = &list->of[i];
        hsize_t dims[2] = {(hsize_t)of->blocks, (hsize_t)of->width}, chunk[2] = {1, dims[1]};
        status = write_dataset(commit, group, of->site, 2, dims, chunk, true, H5T_IEEE_F32LE,
                               H5T_NATIVE_FLOAT, of->largest, err);
    }
    bs_h5_close(group);
    return status;
}

/* /trial/<id> with all below it. */
enum bs_status bs_commit_write_trial(const struct bs_commit *commit,
                                     const struct bs_trial_record *record, struct bs_error *err)
{
    char place[64];
    snprintf(place, sizeof place, "trial/%s", record->row.id);
    enum bs_status status = BS_OK;
    hid_t trial = H5I_INVALID_HID;
    hid_t create = H5Pcreate(H5P_GROUP_CREATE);
    if (H5Pset_obj_track_times(create, false) < 0 ||
        (trial = H5Gcreate2(commit->file, place, H5P_DEFAULT, create, H5P_DEFAULT)) < 0)
        status = bs_h5_fail(err, BS_EIO, commit->path, place);
    if (!status)
        status = set_text(commit, trial, "canonical", record->canonical, err);
    if (!status && record->notices && *record->notices)
        status = set_text(commit, trial, "notices", record->notices, err);
    bool done = strcmp(record->row.status, "failed");
    if (!status && done) /* no rows for the unquantized model */
        status = write_layers(commit, trial, &record->layers, err);
    if (!status && done && record->channels && record->channels->count)
        status = write_channels(commit, trial, record->channels, create, err);
    if (!status && (record->figures || record->answers.count))
        status = write_scores(commit, trial, record, create, err);
    bs_h5_close(trial);
    bs_h5_close(create);
    return status;
}
