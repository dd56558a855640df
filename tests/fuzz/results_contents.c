/* A result file that is sound HDF5 and rightly sealed, with contents that are not: the input says
 * what to do with the file, and holds a list of edits, made through HDF5 to a good file. A damaged
 * file never gets past the seal (results_bytes); this is what another program, or a later version,
 * may have written. */
#include "tests/fuzz/target.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/store/results_internal.h"
#include "eval/store/seal.h"
#include "tests/fuzz/results.h"

enum { MAX_EDITS = 8, MAX_BYTES = 512 };

/* What is left of the input; after its end come zeros. */
struct input {
    const unsigned char *data;
    size_t left;
};

static unsigned take(struct input *input)
{
    if (!input->left)
        return 0;
    input->left--;
    return *input->data++;
}

/* Up to `size` bytes of the input, then zeros. */
static void take_bytes(struct input *input, void *out, size_t size)
{
    size_t given = size < input->left ? size : input->left;
    memset(out, 0, size);
    memcpy(out, input->data, given);
    input->data += given;
    input->left -= given;
}

static const char *const places[] = {
    "trials",        "trial",          "trial/a",        "trial/a/layers",
    "trial/a/t",     "trial/a/t/nll",  "trial/a/t/kld",  "trial/a/t/same_top",
    "trial/b",       "trial/b/layers", "trial/b/t",      "trial/b/t/nll",
    "trial/b/t/kld", "trial/c",        "trial/c/layers", "trial/d",
    "values",
};
static const char *const attributes[] = {"schema_version", "config", "canonical", "started",
                                         "finished",       "host",   "threads",   "other"};

static const char *take_place(struct input *input)
{
    return places[take(input) % (sizeof places / sizeof *places)];
}

static hid_t text_type(size_t size)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, size);
    return type;
}

static hid_t take_simple_type(struct input *input)
{
    static const hsize_t three[] = {3};
    hid_t type;
    switch (take(input) % 14) {
    case 0:
        return H5Tcopy(H5T_NATIVE_INT);
    case 1:
        return H5Tcopy(H5T_STD_I64BE);
    case 2:
        return H5Tcopy(H5T_STD_U8LE);
    case 3:
        return H5Tcopy(H5T_IEEE_F64BE);
    case 4:
        return H5Tcopy(H5T_NATIVE_FLOAT);
    case 5:
        return text_type(1 + take(input));
    case 6:
        return text_type(H5T_VARIABLE);
    case 7:
        return H5Tvlen_create(H5T_NATIVE_FLOAT);
    case 8:
        return H5Tarray_create2(H5T_NATIVE_FLOAT, 1, three);
    case 9:
        type = H5Tenum_create(H5T_NATIVE_INT);
        H5Tenum_insert(type, "one", &(int){1});
        return type;
    case 10:
        return H5Tcreate(H5T_OPAQUE, 1 + take(input));
    case 11:
        return H5Tcopy(H5T_STD_B16LE);
    case 12:
        type = H5Tcreate(H5T_COMPOUND, 8);
        H5Tinsert(type, "x", 0, H5T_NATIVE_DOUBLE);
        return type;
    default:
        return H5Tcopy(H5T_NATIVE_LDOUBLE);
    }
}

/* The compound type of our tables, a few of its members missing, renamed or of another type. */
static hid_t take_table_type(struct input *input)
{
    static char columns[2][40] = {"relative_output_error", "sqnr_db"};
    struct bs_field fields[BS_MOST_FIELDS];
    const struct bs_record_type layer = bs_layer_type(columns, 2, fields);
    const struct bs_record_type *const types[] = {&bs_row_type, &layer, &bs_value_row_type};
    const struct bs_record_type *record = types[take(input) % 3];
    hid_t compound = H5Tcreate(H5T_COMPOUND, 1 << 16);
    size_t offset = 0;
    unsigned odd = take(input) % 64, what = take(input);
    unsigned number = 0;
    for (const struct bs_field *field = record->fields; field->name; field++, number++) {
        hid_t type;
        if (number == odd && what % 4 == 0)
            continue;
        if (number == odd && what % 4 == 1)
            type = take_simple_type(input);
        else if (field->kind == BS_FIELD_TEXT || field->kind == BS_FIELD_STRING)
            type = text_type(number == odd                    ? 1 + take(input)
                             : field->kind == BS_FIELD_STRING ? 32
                                                              : field->size);
        else
            type = H5Tcopy(field->kind == BS_FIELD_INT ? H5T_NATIVE_INT : H5T_NATIVE_DOUBLE);
        H5Tinsert(compound, number == odd && what % 4 == 2 ? "renamed" : field->name, offset, type);
        offset += H5Tget_size(type);
        bs_h5_close(type);
    }
    H5Tset_size(compound, offset ? offset : 1);
    return compound;
}

static hid_t take_space(struct input *input)
{
    static const hsize_t extents[] = {
        0, 1, 2, 3, 4, 5, 8, 16, 1 << 16, (hsize_t)1 << 31, (hsize_t)1 << 33, (hsize_t)1 << 62};
    unsigned rank = take(input) % 5;
    hsize_t dims[3], most[3] = {H5S_UNLIMITED, H5S_UNLIMITED, H5S_UNLIMITED};
    if (rank == 4)
        return H5Screate(take(input) % 2 ? H5S_NULL : H5S_SCALAR);
    for (unsigned d = 0; d < rank; d++)
        dims[d] = extents[take(input) % (sizeof extents / sizeof *extents)];
    return H5Screate_simple((int)rank, dims, rank && take(input) % 2 ? most : NULL);
}

/* How the data are laid out: contiguous, in chunks of whatever size and filter, in the header, in
 * another file, or somewhere else in this one. */
static hid_t take_layout(struct input *input, hid_t space)
{
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    int rank = H5Sget_simple_extent_ndims(space);
    hsize_t chunk[3] = {1 + take(input), 1 + take(input) % 8, 1};
    switch (take(input) % 6) {
    case 0:
        H5Pset_layout(create, H5D_COMPACT);
        break;
    case 1:
        H5Pset_external(create, "/dev/zero", 0, H5F_UNLIMITED);
        break;
    case 2:
        H5Pset_virtual(create, space, ".", "/trial/b/t/nll", space);
        break;
    case 3:
    case 4:
        if (rank > 0)
            H5Pset_chunk(create, rank, chunk);
        H5Pset_deflate(create, 1);
        if (take(input) % 2)
            H5Pset_fletcher32(create);
        break;
    default:
        break;
    }
    return create;
}

/* Values for a dataset or attribute of up to MAX_BYTES bytes without pointers in it; NULL where it
 * is larger or has some. Two thirds hold text, so that there is a terminator here and there. */
static void *take_values(struct input *input, hid_t type, hid_t space)
{
    hssize_t count = H5Sget_simple_extent_npoints(space);
    size_t size = H5Tget_size(type);
    if (count <= 0 || !size || (size_t)count > 8 * MAX_BYTES / size ||
        H5Tdetect_class(type, H5T_VLEN) || H5Tdetect_class(type, H5T_REFERENCE) ||
        (H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type)))
        return NULL;
    unsigned char *values = bs_alloc((size_t)count, size);
    if (!values)
        abort();
    take_bytes(input, values, (size_t)count * size);
    return values;
}

/* True where a member may be a text of variable length, whose values are pointers. */
static bool holds_pointers(hid_t type)
{
    int members = H5Tget_class(type) == H5T_COMPOUND ? H5Tget_nmembers(type) : 0;
    for (int i = 0; i < members; i++) {
        hid_t member = H5Tget_member_type(type, (unsigned)i);
        bool variable = H5Tget_class(member) == H5T_STRING && H5Tis_variable_str(member) > 0;
        bs_h5_close(member);
        if (variable)
            return true;
    }
    return false;
}

static void replace_dataset(hid_t file, struct input *input)
{
    const char *place = take_place(input);
    hid_t type = take(input) % 2 ? take_simple_type(input) : take_table_type(input);
    hid_t space = take_space(input), create = take_layout(input, space);
    H5Ldelete(file, place, H5P_DEFAULT);
    hid_t dataset = H5Dcreate2(file, place, type, space, H5P_DEFAULT, create, H5P_DEFAULT);
    bool elsewhere = H5Pget_layout(create) == H5D_VIRTUAL || H5Pget_external_count(create) > 0;
    void *values =
        dataset < 0 || elsewhere || holds_pointers(type) ? NULL : take_values(input, type, space);
    if (values)
        H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    bs_free(values);
    bs_h5_close(dataset);
    bs_h5_close(create);
    bs_h5_close(space);
    bs_h5_close(type);
}

static void replace_attribute(hid_t file, struct input *input)
{
    const char *name = attributes[take(input) % (sizeof attributes / sizeof *attributes)];
    hid_t object = take(input) % 2 ? H5Oopen(file, take_place(input), H5P_DEFAULT)
                                   : H5Gopen2(file, "/", H5P_DEFAULT);
    hid_t type = take_simple_type(input), space = take_space(input);
    hssize_t count = H5Sget_simple_extent_npoints(space);
    if (object >= 0 && count >= 0 && count < 1 << 16) {
        H5Adelete(object, name);
        hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
        void *values = attribute < 0 ? NULL : take_values(input, type, space);
        if (values)
            H5Awrite(attribute, type, values);
        bs_free(values);
        bs_h5_close(attribute);
    }
    bs_h5_close(space);
    bs_h5_close(type);
    bs_h5_close(object);
}

/* A table, of so many rows, whose packed rows are changed. */
struct changed {
    const char *place;
    const struct bs_record_type *type;
    unsigned num_rows;
};

/* Of the three trials two have four values each. */
static const struct changed trials = {"trials", &bs_row_type, 3};
static const struct changed all_values = {"values", &bs_value_row_type, 8};

typedef void row_change(struct input *input, const struct changed *table, char *rows,
                        const struct bs_packing *packing);

/* Reads the rows, where the table still has as many, and writes them changed. */
static void change_rows(hid_t file, struct input *input, const struct changed *table,
                        row_change *change)
{
    struct bs_packing packing;
    hid_t dataset = H5Dopen2(file, table->place, H5P_DEFAULT);
    hid_t stored = dataset < 0 ? dataset : H5Dget_type(dataset);
    hid_t space = dataset < 0 ? dataset : H5Dget_space(dataset);
    if (stored >= 0 && H5Tget_class(stored) == H5T_COMPOUND && space >= 0 &&
        H5Sget_simple_extent_npoints(space) == (hssize_t)table->num_rows) {
        bs_packing_in(table->type, stored, &packing);
        hid_t type = bs_h5_type(table->type, &packing, false);
        char *rows = bs_calloc(table->num_rows, packing.size);
        if (!rows)
            abort();
        if (H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0) {
            change(input, table, rows, &packing);
            H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows);
        }
        bs_free(rows);
        bs_h5_close(type);
    }
    bs_h5_close(space);
    bs_h5_close(stored);
    bs_h5_close(dataset);
}

static bool is_text(const struct changed *table, size_t field)
{
    return table->type->fields[field].kind == BS_FIELD_TEXT ||
           table->type->fields[field].kind == BS_FIELD_STRING;
}

/* A field of a row by its number, the last one for numbers beyond; *field is its index. */
static char *field_at(const struct changed *table, char *rows, const struct bs_packing *packing,
                      unsigned row, unsigned number, size_t *field)
{
    size_t at = row * packing->size, f = 0;
    for (; number-- && table->type->fields[f + 1].name; f++)
        at += packing->sizes[f];
    *field = f;
    return rows + at;
}

/* Overwrites one field of one row, a text without its end and all. */
static void overwrite_field(struct input *input, const struct changed *table, char *rows,
                            const struct bs_packing *packing)
{
    unsigned row = take(input) % table->num_rows, number = take(input) % BS_MOST_FIELDS;
    size_t field;
    char *place = field_at(table, rows, packing, row, number, &field);
    size_t size = packing->sizes[field];
    take_bytes(input, place, is_text(table, field) && take(input) % 2 ? take(input) % size : size);
}

static void change_field(hid_t file, struct input *input)
{
    change_rows(file, input, &trials, overwrite_field);
}

/* Gives a number of one row a value at an edge. */
static void give_number(struct input *input, const struct changed *table, char *rows,
                        const struct bs_packing *packing)
{
    static const double doubles[] = {0,
                                     -0.0,
                                     (double)NAN,
                                     (double)INFINITY,
                                     -(double)INFINITY,
                                     5e-324,
                                     -5e-324,
                                     2.3e-308,
                                     1.7e308,
                                     -1e308,
                                     1e-10,
                                     0.0996,
                                     1e6,
                                     -3,
                                     1,
                                     1e17};
    static const int ints[] = {0,   1,     -1,      2,       3,           8,  16, 17,
                               255, 65536, INT_MAX, INT_MIN, INT_MAX - 1, 31, 32, 1000};
    unsigned row = take(input) % table->num_rows, which = take(input) % 16, number = take(input);
    size_t first = 0, field;
    while (is_text(table, first))
        first++;
    char *place = field_at(table, rows, packing, row, (unsigned)first + number, &field);
    if (table->type->fields[field].kind == BS_FIELD_INT)
        memcpy(place, &ints[which], sizeof *ints);
    else if (table->type->fields[field].kind == BS_FIELD_DOUBLE)
        memcpy(place, &doubles[which], sizeof *doubles);
}

static void change_number(hid_t file, struct input *input)
{
    change_rows(file, input, &trials, give_number);
}

static void change_value(hid_t file, struct input *input)
{
    change_rows(file, input, &all_values, give_number);
}

static void change_value_field(hid_t file, struct input *input)
{
    change_rows(file, input, &all_values, overwrite_field);
}

static void change_link(hid_t file, struct input *input)
{
    const char *place = take_place(input), *other = take_place(input);
    char name[17] = "";
    switch (take(input) % 7) {
    case 0:
        break;
    case 1: /* where it is a group above the other: a circle */
        if (H5Lexists(file, other, H5P_DEFAULT) > 0 && strcmp(place, other)) {
            H5Ldelete(file, place, H5P_DEFAULT);
            H5Lcreate_hard(file, other, file, place, H5P_DEFAULT, H5P_DEFAULT);
        }
        return;
    case 2:
        H5Ldelete(file, place, H5P_DEFAULT);
        H5Lcreate_soft(other, file, place, H5P_DEFAULT, H5P_DEFAULT);
        return;
    case 3:
        H5Ldelete(file, place, H5P_DEFAULT);
        H5Lcreate_external("r.h5", other, file, place, H5P_DEFAULT, H5P_DEFAULT);
        return;
    case 4:
        H5Ldelete(file, place, H5P_DEFAULT);
        bs_h5_close(H5Gcreate2(file, place, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
        return;
    case 5: {
        H5Ldelete(file, place, H5P_DEFAULT);
        hid_t type = take_simple_type(input);
        H5Tcommit2(file, place, type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        bs_h5_close(type);
        return;
    }
    default:
        take_bytes(input, name, sizeof name - 1);
        if (*name)
            H5Lmove(file, place, file, name, H5P_DEFAULT, H5P_DEFAULT);
        return;
    }
    H5Ldelete(file, place, H5P_DEFAULT);
}

static void edit(const char *path, struct input *input)
{
    static void (*const edits[])(hid_t, struct input *) = {
        replace_dataset, replace_attribute, change_field,      change_link,
        change_number,   change_value,      change_value_field};
    bs_h5_begin();
    hid_t access = bs_h5_access(), file = H5Fopen(path, H5F_ACC_RDWR, access);
    if (file < 0)
        abort();
    for (int i = 0; i < MAX_EDITS && input->left; i++)
        edits[take(input) % (sizeof edits / sizeof *edits)](file, input);
    bs_h5_close(file);
    bs_h5_close(access);
}

/* The bytes of the good file that the edits begin with, made once. */
static const struct bs_map *good_file(void)
{
    static struct bs_map map;
    struct bs_error err = {0};
    if (map.data)
        return &map;
    /* HDF5's buffers of a megabyte are used again: mapping them anew takes most of a run's time. */
    H5set_free_list_limits(1 << 26, 1 << 26, 1 << 26, 1 << 26, 1 << 26, 1 << 26);
    fuzz_make_results(fuzz_path("good.h5"));
    if (bs_map_open(fuzz_path("good.h5"), &map, &err))
        abort();
    return &map;
}

static void run(const unsigned char *data, size_t size)
{
    struct input input = {data, size};
    struct bs_error err = {0};
    const struct bs_map *good = good_file();
    fuzz_put("r.h5", good->data, good->size);
    const char *path = fuzz_path("r.h5");
    unsigned what = take(&input);
    edit(path, &input);
    if (bs_seal_write(path, path, &err))
        abort();
    fuzz_read_results(path, what);
    if (what & FUZZ_CONTINUE)
        fuzz_continue_results(path);
    if (H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) != 0)
        abort(); /* an error path left something of HDF5's open */
}

const struct fuzz_target fuzz_results_contents = {
    .name = "results_contents",
    .dictionary = "results",
    .max_bytes = MAX_BYTES,
    .run = run,
};
