#include "eval/store/results_internal.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Name, offset, kind and size are read off the struct, so none of them can drift from it. */
#define FIELD(T, member)                                                                                \
    {                                                                                                   \
        .name = #member,                                                                              \
     .offset = offsetof(T, member),                                                                \
     .kind = _Generic(((T *)0)->member, char *: BS_FIELD_TEXT, int: BS_FIELD_INT,                  \
                      double: BS_FIELD_DOUBLE),                                                    \
     .size = sizeof(((T *)0)->member) \
    }
#define ROW(member) FIELD(struct bs_row, member)
#define LAYER(member) FIELD(struct bs_layer_row, member)

static const struct bs_field row_fields[] = {
    ROW(id),
    ROW(label),
    ROW(algorithm),
    ROW(options),
    ROW(model),
    ROW(text),
    ROW(status),
    ROW(message),
    ROW(grid),
    ROW(range),
    ROW(granularity),
    ROW(activation_granularity),
    ROW(calibrate_on),
    ROW(compute),
    ROW(protocol),
    ROW(text_digest),
    ROW(bits),
    ROW(symmetric),
    ROW(activation_bits),
    ROW(windows),
    ROW(tokens),
    ROW(stride),
    ROW(scored),
    ROW(fallbacks),
    ROW(dead_columns),
    ROW(perplexity),
    ROW(perplexity_se),
    ROW(nll),
    ROW(nll_se),
    ROW(word_perplexity),
    ROW(byte_perplexity),
    ROW(bits_per_byte),
    ROW(perplexity_delta),
    ROW(perplexity_delta_se),
    ROW(nll_delta),
    ROW(nll_delta_se),
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
    ROW(seconds_quantize),
    ROW(seconds_evaluate),
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
    return (const char *)record + field->offset;
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

/* Bytes of the UTF-8 character at text[0], or 0 where there is none. A text cut to its field's size
 * may end in half a character, hence the check. */
static size_t utf8_length(const unsigned char *text)
{
    size_t length = text[0] < 0x80                       ? 1
                    : text[0] >= 0xc2 && text[0] < 0xe0  ? 2
                    : text[0] >= 0xe0 && text[0] < 0xf0  ? 3
                    : text[0] >= 0xf0 && text[0] <= 0xf4 ? 4
                                                         : 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
    bool outside = (text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf4 && text[1] > 0x8f);
    return overlong || outside ? 0 : length;
}

void bs_record_tidy(const struct bs_record_type *type, void *record)
{
    for (const struct bs_field *field = type->fields; field->name; field++) {
        if (field->kind != BS_FIELD_TEXT)
            continue;
        unsigned char *text = (unsigned char *)record + field->offset;
        text[field->size - 1] = '\0';
        size_t used = strlen((const char *)text);
        memset(text + used, 0, field->size - used);
        for (size_t i = 0; i < used;) {
            size_t length = utf8_length(text + i);
            if (length == 0)
                text[i] = '?';
            i += length ? length : 1;
        }
    }
}

void bs_h5_begin(void)
{
    H5dont_atexit(); /* fails harmlessly when it was called before */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

static hid_t member_type(const struct bs_field *field, bool stored)
{
    if (field->kind == BS_FIELD_INT)
        return H5Tcopy(stored ? H5T_STD_I32LE : H5T_NATIVE_INT);
    if (field->kind == BS_FIELD_DOUBLE)
        return H5Tcopy(stored ? H5T_IEEE_F64LE : H5T_NATIVE_DOUBLE);
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && H5Tset_size(type, field->size) >= 0 &&
        H5Tset_strpad(type, H5T_STR_NULLTERM) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0)
        return type;
    bs_h5_close(type);
    return H5I_INVALID_HID;
}

static hid_t compound_type(const struct bs_record_type *type, bool stored)
{
    size_t size = type->size;
    if (stored) {
        size = 0;
        for (const struct bs_field *field = type->fields; field->name; field++)
            size += field->size;
    }
    hid_t compound = H5Tcreate(H5T_COMPOUND, size);
    size_t packed = 0;
    for (const struct bs_field *field = type->fields; compound >= 0 && field->name; field++) {
        hid_t member = member_type(field, stored);
        size_t offset = stored ? packed : field->offset;
        herr_t done = member < 0 ? -1 : H5Tinsert(compound, field->name, offset, member);
        bs_h5_close(member);
        if (done < 0) {
            bs_h5_close(compound);
            return H5I_INVALID_HID;
        }
        packed += field->size;
    }
    return compound;
}

hid_t bs_h5_memory_type(const struct bs_record_type *type) { return compound_type(type, false); }

hid_t bs_h5_file_type(const struct bs_record_type *type) { return compound_type(type, true); }

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
