/* Structs as tables of their fields. */
#include "eval/store/results_internal.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/utf8.h"

/* Name, offset, kind and size are read off the struct, so none of them can drift from it. */
/* clang-format does not know _Generic. */
/* clang-format off */
#define FIELD_IN(T, member, unit_)                                                                 \
    {                                                                                              \
        .name = #member, .offset = offsetof(T, member), .size = sizeof(((T *)0)->member),          \
        .unit = unit_,                                                                             \
        .kind = _Generic(((T *)0)->member, char *: BS_FIELD_TEXT,                                  \
                         const char *: BS_FIELD_STRING, int: BS_FIELD_INT,                         \
                         double: BS_FIELD_DOUBLE)                                                  \
    }
/* clang-format on */
#define FIELD(T, member) FIELD_IN(T, member, NULL)
#define ROW(member) FIELD(struct bs_row, member)
#define VALUE(member) FIELD(struct bs_value_row, member)
#define LAYER(member) FIELD(struct bs_layer_row, member)
#define ANSWER(member) FIELD(struct bs_answer, member)

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
    ROW(format),
    ROW(format_family),
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
    ROW(evaluation),
    ROW(protocol),
    ROW(pick),
    ROW(text_digest),
    ROW(bits),
    ROW(symmetric),
    ROW(activation_bits),
    ROW(kv_code_bits),
    ROW(windows),
    ROW(tokens),
    ROW(text_windows),
    ROW(stride),
    ROW(scored),
    ROW(calibrations),
    FIELD_IN(struct bs_row, seconds_quantize, "s"),
    FIELD_IN(struct bs_row, seconds_evaluate, "s"),
    ROW(version),
    ROW(commit),
    ROW(cpu),
    ROW(blas),
    ROW(numerics),
    ROW(isa),
    ROW(revision),
    ROW(threads),
    ROW(started),
    {0},
};

static const struct bs_field value_fields[] = {
    VALUE(trial), VALUE(evaluation),     VALUE(name), VALUE(value), VALUE(se),
    VALUE(df),    VALUE(calibration_sd), VALUE(n),    {0},
};

static const struct bs_field layer_fields[] = {
    LAYER(block),
    LAYER(name),
    LAYER(out_features),
    LAYER(in_features),
    FIELD_IN(struct bs_layer_row, seconds, "s"),
    {0},
};

static const struct bs_field answer_fields[] = {
    ANSWER(item),
    ANSWER(choice),
    ANSWER(gold),
    ANSWER(line),
    ANSWER(id),
    ANSWER(group),
    ANSWER(tokens),
    ANSWER(characters),
    ANSWER(bytes),
    ANSWER(greedy),
    FIELD_IN(struct bs_answer, log_likelihood, "nats"),
    FIELD_IN(struct bs_answer, unconditional, "nats"),
    FIELD_IN(struct bs_answer, suffix, "nats"),
    {0},
};

const struct bs_field bs_row_file_field = ROW(file);
const struct bs_record_type bs_row_type = {row_fields, sizeof(struct bs_row)};
const struct bs_record_type bs_value_row_type = {value_fields, sizeof(struct bs_value_row)};
const struct bs_record_type bs_answer_type = {answer_fields, sizeof(struct bs_answer)};

struct bs_record_type bs_layer_type(char (*columns)[40], int num_columns,
                                    struct bs_field fields[BS_MOST_FIELDS])
{
    int count = 0;
    assert(num_columns <= BS_MOST_LINEAR_VALUES);
    for (; layer_fields[count].name; count++)
        fields[count] = layer_fields[count];
    for (int c = 0; c < num_columns; c++) {
        const struct bs_value_type *value = bs_linear_value_type_find(columns[c]);
        fields[count++] = (struct bs_field){.name = columns[c],
                                            .offset = offsetof(struct bs_layer_row, values) +
                                                      (size_t)c * sizeof(double),
                                            .kind = BS_FIELD_DOUBLE,
                                            .size = sizeof(double),
                                            .unit = value ? value->unit : NULL};
    }
    fields[count] = (struct bs_field){.name = NULL};
    return (struct bs_record_type){fields, sizeof(struct bs_layer_row)};
}

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

enum bs_status bs_row_take(struct bs_row *row, struct bs_error *err)
{
    size_t count = (size_t)row->num_values;
    struct bs_value_row *own = bs_alloc(count, sizeof *own);
    for (size_t v = 0; own && v < count; v++) {
        own[v] = row->values[v];
        memcpy(own[v].trial, row->id, sizeof own[v].trial);
        bs_record_take(&bs_value_row_type, &own[v], err); /* it has no texts to copy */
    }
    row->values = own;
    row->num_values = own ? row->num_values : 0;
    enum bs_status status = bs_record_take(&bs_row_type, row, err);
    return own ? status : bs_fail_memory(err);
}

void bs_rows_free(struct bs_row *rows, int num_rows)
{
    for (int i = 0; rows && i < num_rows; i++) {
        bs_free(rows[i].values);
        bs_record_release(&bs_row_type, &rows[i]);
    }
    bs_free(rows);
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
