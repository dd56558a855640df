#include "eval/store/results_internal.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/utf8.h"

/* Name, offset, kind and size are read off the struct, so none of them can drift from it. */
#define FIELD(T, member)                                                                                \
    {                                                                                                   \
        .name = #member,                                                                              \
     .offset = offsetof(T, member),                                                                \
     .kind = _Generic(((T *)0)->member, char *: BS_FIELD_TEXT, const char *: BS_FIELD_STRING,        \
                      int: BS_FIELD_INT, double: BS_FIELD_DOUBLE),                                                    \
     .size = sizeof(((T *)0)->member) \
    }
#define ROW(member) FIELD(struct bs_row, member)
#define LAYER(member) FIELD(struct bs_layer_row, member)

static const struct bs_field row_fields[] = {
    ROW(id),
    ROW(label),
    ROW(recipe),
    ROW(algorithm),
    ROW(options),
    ROW(model),
    ROW(text),
    ROW(status),
    ROW(message),
    ROW(model_digest),
    ROW(grid),
    ROW(range),
    ROW(granularity),
    ROW(activation_granularity),
    ROW(calibrate_on),
    ROW(calibration_text),
    ROW(calibration_sampling),
    ROW(calibration_text_digest),
    ROW(calibration_digest),
    ROW(calibration_windows),
    ROW(calibration_tokens),
    ROW(calibration_documents),
    ROW(calibration_seed),
    ROW(compute),
    ROW(protocol),
    ROW(pick),
    ROW(text_digest),
    ROW(bits),
    ROW(symmetric),
    ROW(activation_bits),
    ROW(windows),
    ROW(tokens),
    ROW(text_windows),
    ROW(stride),
    ROW(scored),
    ROW(fallbacks),
    ROW(dead_columns),
    ROW(perplexity),
    ROW(perplexity_se),
    ROW(nll),
    ROW(nll_se),
    ROW(nll_df),
    ROW(word_perplexity),
    ROW(byte_perplexity),
    ROW(bits_per_byte),
    ROW(perplexity_delta),
    ROW(perplexity_delta_se),
    ROW(nll_delta),
    ROW(nll_delta_se),
    ROW(nll_delta_df),
    ROW(kld_mean),
    ROW(kld_mean_se),
    ROW(kld_median),
    ROW(kld_p90),
    ROW(kld_p95),
    ROW(kld_p99),
    ROW(kld_p999),
    ROW(kld_max),
    ROW(same_top),
    ROW(same_top_se),
    ROW(weight_mse),
    ROW(sqnr_db),
    ROW(relative_output_error),
    ROW(cosine),
    ROW(bits_per_weight),
    ROW(bytes),
    ROW(compression_ratio),
    ROW(calibrations),
    ROW(perplexity_calibration_sd),
    ROW(nll_calibration_sd),
    ROW(kld_calibration_sd),
    ROW(same_top_calibration_sd),
    ROW(seconds_quantize),
    ROW(seconds_evaluate),
    ROW(commit),
    ROW(cpu),
    ROW(blas),
    ROW(threads),
    ROW(started),
    {0},
};

static const struct bs_field layer_fields[] = {
    LAYER(block),
    LAYER(name),
    LAYER(out_features),
    LAYER(in_features),
    LAYER(weight_mse),
    LAYER(sqnr_db),
    LAYER(relative_output_error),
    LAYER(cosine),
    LAYER(bits_per_weight),
    LAYER(damping),
    LAYER(dead_columns),
    LAYER(fallback),
    LAYER(seconds),
    {0},
};

const struct bs_record_type bs_row_type = {row_fields, sizeof(struct bs_row)};
const struct bs_record_type bs_layer_type = {layer_fields, sizeof(struct bs_layer_row)};

const char *bs_field_text(const struct bs_field *field, const void *record)
{
    const char *text = (const char *)record + field->offset;
    if (field->kind == BS_FIELD_STRING)
        memcpy(&text, (const char *)record + field->offset, sizeof text);
    return text ? text : "";
}

int bs_field_int(const struct bs_field *field, const void *record)
{
    int value;
    memcpy(&value, (const char *)record + field->offset, sizeof value);
    return value;
}

double bs_field_double(const struct bs_field *field, const void *record)
{
    double value;
    memcpy(&value, (const char *)record + field->offset, sizeof value);
    return value;
}

/* A text cut to its field's size may end in half a letter. */
static void make_valid(char *text, size_t used)
{
    for (size_t i = 0; i < used;) {
        uint32_t letter;
        size_t length = bs_utf8_letter(text + i, used - i, &letter);
        if (length == 0)
            text[i] = '?';
        i += length ? length : 1;
    }
}

/* A text in the record, which may have been cut to its field's size. */
static void tidy(const struct bs_field *field, void *record)
{
    char *text = (char *)record + field->offset;
    text[field->size - 1] = '\0';
    size_t used = strlen(text);
    memset(text + used, 0, field->size - used);
    make_valid(text, used);
}

/* A valid copy of text[0 .. size) as the record's own, whatever was there before. */
static enum bs_status set_string(const struct bs_field *field, void *record, const char *text,
                                 size_t size, struct bs_error *err)
{
    char *copy = bs_calloc(size + 1, 1);
    if (copy) {
        memcpy(copy, text, size);
        make_valid(copy, size);
    }
    memcpy((char *)record + field->offset, &copy, sizeof copy);
    return copy ? BS_OK : bs_fail_memory(err);
}

enum bs_status bs_record_take(const struct bs_record_type *type, void *record, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    for (const struct bs_field *field = type->fields; field->name; field++) {
        if (field->kind == BS_FIELD_TEXT) {
            tidy(field, record);
        } else if (field->kind == BS_FIELD_STRING) {
            const char *text = status ? "" : bs_field_text(field, record), *none = NULL;
            if (!status)
                status = set_string(field, record, text, strlen(text), err);
            else /* nothing borrowed stays */
                memcpy((char *)record + field->offset, &none, sizeof none);
        }
    }
    return status;
}

void bs_record_release(const struct bs_record_type *type, void *record)
{
    for (const struct bs_field *field = type->fields; field->name; field++) {
        if (field->kind != BS_FIELD_STRING)
            continue;
        char *text;
        memcpy(&text, (char *)record + field->offset, sizeof text);
        bs_free(text);
        text = NULL;
        memcpy((char *)record + field->offset, &text, sizeof text);
    }
}

void bs_rows_free(struct bs_row *rows, int num_rows)
{
    for (int i = 0; rows && i < num_rows; i++)
        bs_record_release(&bs_row_type, &rows[i]);
    bs_free(rows);
}

void bs_h5_begin(void)
{
    H5dont_atexit(); /* fails harmlessly when it was called before */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

static void add_sizes(const struct bs_record_type *type, struct bs_packing *packing)
{
    packing->size = 0;
    for (int f = 0; type->fields[f].name; f++)
        packing->size += packing->sizes[f];
}

void bs_packing_of(const struct bs_record_type *type, const void *rows, size_t num_rows,
                   struct bs_packing *packing)
{
    enum { STEP = 16 }; /* rows of nearly the same texts make chunks of the same size */
    for (int f = 0; type->fields[f].name; f++) {
        const struct bs_field *field = &type->fields[f];
        assert(f < BS_MOST_FIELDS);
        packing->sizes[f] = field->size;
        if (field->kind != BS_FIELD_STRING)
            continue;
        size_t longest = 0;
        for (size_t i = 0; i < num_rows; i++) {
            size_t length = strlen(bs_field_text(field, (const char *)rows + i * type->size));
            longest = length > longest ? length : longest;
        }
        packing->sizes[f] = (longest / STEP + 1) * STEP;
    }
    add_sizes(type, packing);
}

void bs_packing_in(const struct bs_record_type *type, hid_t stored, struct bs_packing *packing)
{
    for (int f = 0; type->fields[f].name; f++) {
        const struct bs_field *field = &type->fields[f];
        packing->sizes[f] = field->size;
        if (field->kind != BS_FIELD_STRING)
            continue;
        int index = H5Tget_member_index(stored, field->name);
        hid_t member = index < 0 ? index : H5Tget_member_type(stored, (unsigned)index);
        packing->sizes[f] = member < 0 ? 1 : H5Tget_size(member);
        bs_h5_close(member);
    }
    add_sizes(type, packing);
}

void bs_pack(const struct bs_record_type *type, const struct bs_packing *packing, const void *rows,
             size_t num_rows, char *data)
{
    memset(data, 0, num_rows * packing->size);
    for (size_t i = 0; i < num_rows; i++) {
        const char *record = (const char *)rows + i * type->size;
        for (int f = 0; type->fields[f].name; f++) {
            const struct bs_field *field = &type->fields[f];
            if (field->kind == BS_FIELD_STRING) {
                const char *text = bs_field_text(field, record);
                memcpy(data, text, strlen(text));
            } else {
                memcpy(data, record + field->offset, field->size);
            }
            data += packing->sizes[f];
        }
    }
}

enum bs_status bs_unpack(const struct bs_record_type *type, const struct bs_packing *packing,
                         const char *data, size_t num_rows, void *rows, struct bs_error *err)
{
    for (size_t i = 0; i < num_rows; i++) {
        char *record = (char *)rows + i * type->size;
        for (int f = 0; type->fields[f].name; f++) {
            const struct bs_field *field = &type->fields[f];
            if (field->kind != BS_FIELD_STRING) {
                memcpy(record + field->offset, data, field->size);
            } else if (set_string(field, record, data, strnlen(data, packing->sizes[f]), err)) {
                return err->status;
            }
            if (field->kind == BS_FIELD_TEXT)
                tidy(field, record);
            data += packing->sizes[f];
        }
    }
    return BS_OK;
}

static hid_t member_type(const struct bs_field *field, size_t size, bool stored)
{
    if (field->kind == BS_FIELD_INT)
        return H5Tcopy(stored ? H5T_STD_I32LE : H5T_NATIVE_INT);
    if (field->kind == BS_FIELD_DOUBLE)
        return H5Tcopy(stored ? H5T_IEEE_F64LE : H5T_NATIVE_DOUBLE);
    hid_t type = H5Tcopy(H5T_C_S1);
    /* In memory a text may fill its place without an end. */
    if (type >= 0 && H5Tset_size(type, size) >= 0 &&
        H5Tset_strpad(type, stored ? H5T_STR_NULLTERM : H5T_STR_NULLPAD) >= 0 &&
        H5Tset_cset(type, H5T_CSET_UTF8) >= 0)
        return type;
    bs_h5_close(type);
    return H5I_INVALID_HID;
}

hid_t bs_h5_type(const struct bs_record_type *type, const struct bs_packing *packing, bool stored)
{
    hid_t compound = H5Tcreate(H5T_COMPOUND, packing->size);
    size_t offset = 0;
    for (int f = 0; compound >= 0 && type->fields[f].name; f++) {
        hid_t member = member_type(&type->fields[f], packing->sizes[f], stored);
        herr_t done = member < 0 ? -1 : H5Tinsert(compound, type->fields[f].name, offset, member);
        bs_h5_close(member);
        if (done < 0) {
            bs_h5_close(compound);
            return H5I_INVALID_HID;
        }
        offset += packing->sizes[f];
    }
    return compound;
}

/* The 1.10 format checksums its metadata, so damage is noticed. HDF5's own file locks are off: a
 * file here is written under a name that nobody else opens, and some network disks refuse them. */
hid_t bs_h5_access(void)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access < 0)
        return access;
    bool good = H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 &&
                H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0;
#if H5_VERSION_GE(1, 10, 7)
    good = good && H5Pset_file_locking(access, false, true) >= 0;
#endif
    if (good)
        return access;
    bs_h5_close(access);
    return H5I_INVALID_HID;
}

struct words {
    char text[512];
};

static herr_t take_words(unsigned depth, const H5E_error2_t *error, void *context)
{
    struct words *words = context;
    if (depth == 0 && error->desc)
        snprintf(words->text, sizeof words->text, "%s", error->desc);
    return 0;
}

enum bs_status bs_h5_fail(struct bs_error *err, enum bs_status status, const char *path,
                          const char *what)
{
    struct words words = {""};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_words, &words);
    /* Of a failed read or write HDF5 tells time, addresses and file descriptor; the system's reason
     * among them is what helps. */
    static const char reason[] = "error message = '";
    char *start = strstr(words.text, reason);
    if (start) {
        start += sizeof reason - 1;
        char *end = strchr(start, '\'');
        if (end)
            *end = '\0';
    }
    const char *said = start ? start : words.text;
    return bs_fail(err, status, "%s: %s%s%s", path, what, *said ? ": " : "", said);
}

void bs_h5_close(hid_t id)
{
    if (id > 0)
        H5Idec_ref(id);
}
