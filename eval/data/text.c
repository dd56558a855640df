#include "eval/data/text.h"

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/data/input.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { PIECE = 1 << 18, FIRST_DOCUMENTS = 1 << 10 };

/* What a JSON file turns out to be at its first character. */
enum json_form { UNDECIDED, LINES, LIST };

/* Where the reading of a list of documents, "[...]" over any number of lines, stands. */
struct list {
    enum { BEFORE, WITHIN, AFTER } part;
    size_t depth; /* of brackets within the element at hand */
    bool in_string, escaped;
    size_t line, column;                 /* of the byte at hand, from 1 */
    size_t element_line, element_column; /* where the element at hand begins */
};

/* A text being read. */
struct reading {
    const char *path;
    const struct bs_text_format *format;
    struct bs_text *text;
    size_t capacity, ends_capacity; /* of text->bytes, text->ends */
    char *line; /* the line or the element of a list at hand, as far as it has been read */
    size_t line_size, line_capacity;
    size_t line_number; /* from 1 */
    bool full;          /* most_documents are there */
    enum json_form form;
    struct list list;
    struct bs_error *err;
};

/* Room for `more` bytes after the `used` ones. */
static enum bs_status reserve(struct reading *reading, char **bytes, size_t *capacity, size_t used,
                              size_t more)
{
    size_t most = reading->format->most_bytes ? reading->format->most_bytes : BS_TEXT_MOST_BYTES;
    if (more > most || used > most - more)
        return bs_fail(reading->err, BS_EDATA, "%s: line %zu: the text has more than %zu bytes",
                       reading->path, reading->line_number, most);
    if (used + more <= *capacity)
        return BS_OK;
    size_t larger = used + more > 2 * *capacity ? used + more : 2 * *capacity;
    char *grown = bs_realloc(*bytes, *capacity, larger, 1);
    if (!grown)
        return bs_fail_memory(reading->err);
    *bytes = grown;
    *capacity = larger;
    return BS_OK;
}

static enum bs_status append(struct reading *reading, const char *bytes, size_t size)
{
    struct bs_text *text = reading->text;
    if (reserve(reading, &text->bytes, &reading->capacity, text->size, size))
        return reading->err->status;
    if (size)
        memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    return BS_OK;
}

/* Bytes that belong to the last document were appended before. */
static enum bs_status end_document(struct reading *reading)
{
    struct bs_text *text = reading->text;
    if (text->num_documents == reading->ends_capacity) {
        size_t larger = reading->ends_capacity ? 2 * reading->ends_capacity : FIRST_DOCUMENTS;
        size_t *grown = bs_realloc(text->ends, reading->ends_capacity, larger, sizeof *grown);
        if (!grown)
            return bs_fail_memory(reading->err);
        text->ends = grown;
        reading->ends_capacity = larger;
    }
    text->ends[text->num_documents++] = text->size;
    reading->full = text->num_documents == reading->format->most_documents;
    return BS_OK;
}

static enum bs_status add_document(struct reading *reading, const char *bytes, size_t size)
{
    struct bs_text *text = reading->text;
    if (text->num_documents && append(reading, reading->format->join, text->join_size))
        return reading->err->status;
    return append(reading, bytes, size) ? reading->err->status : end_document(reading);
}

/* Whether a text from JSON holds half of a surrogate pair, which is no character. */
static bool has_surrogate(const char *text, size_t size)
{
    for (size_t i = 0; i + 1 < size; i++)
        if ((unsigned char)text[i] == 0xed && (unsigned char)text[i + 1] >= 0xa0)
            return true;
    return false;
}

/* One document: an object with the text at the field, or the text itself. */
static enum bs_status add_json(struct reading *reading, const char *text, size_t size, size_t line,
                               size_t column)
{
    struct bs_error *err = reading->err;
    const char *field = reading->format->field;
    const struct bs_json_rules rules = {
        .any = true, .surrogates = true, .read_key = field, .line = line, .column = column};
    json_t *value;
    if (bs_json_parse(reading->path, &rules, text, size, &value, err))
        return err->status;
    const json_t *found = json_is_string(value) ? value : json_object_get(value, field);
    enum bs_status status;
    if (!json_is_string(found))
        status = bs_fail(
            err, BS_EDATA, "%s: line %zu %s '%s', expected an object with a text there",
            reading->path, line, found ? "has no text at the field" : "has no field", field);
    else if (has_surrogate(json_string_value(found), json_string_length(found)))
        status = bs_fail(err, BS_EDATA, "%s: line %zu: the text has half of a surrogate pair",
                         reading->path, line);
    else
        status = add_document(reading, json_string_value(found), json_string_length(found));
    json_decref(value);
    return status;
}

/* A line, with its newline where it has one. */
static enum bs_status add_line(struct reading *reading, const char *line, size_t size)
{
    size_t stripped_size = size;
    const char *stripped = bs_strip(line, &stripped_size);
    bool newline = size && line[size - 1] == '\n';
    switch (reading->format->documents) {
    case BS_DOCUMENT_LINE:
        return add_document(reading, line, size - newline);
    case BS_DOCUMENT_LINE_STRIPPED:
        return add_document(reading, stripped, stripped_size);
    case BS_DOCUMENT_LINE_WIKITEXT:
        return add_document(reading, line, stripped_size ? size : 0);
    case BS_DOCUMENT_JSON:
        return stripped_size ? add_json(reading, line, size - newline, reading->line_number, 1)
                             : BS_OK;
    case BS_DOCUMENT_FILE:
        break;
    }
    assert(!"a whole file has no lines");
    return BS_OK;
}

/* Appends to the line or element at hand. */
static enum bs_status keep(struct reading *reading, const char *bytes, size_t size)
{
    if (reserve(reading, &reading->line, &reading->line_capacity, reading->line_size, size))
        return reading->err->status;
    memcpy(reading->line + reading->line_size, bytes, size);
    reading->line_size += size;
    return BS_OK;
}

/* Adds the lines that end in this piece; what is left waits in reading->line. */
static enum bs_status add_lines(struct reading *reading, const char *piece, size_t size)
{
    while (size && !reading->full) {
        const char *newline = memchr(piece, '\n', size);
        size_t length = newline ? (size_t)(newline - piece) + 1 : size;
        if (keep(reading, piece, length))
            return reading->err->status;
        piece += length;
        size -= length;
        if (!newline)
            continue;
        if (add_line(reading, reading->line, reading->line_size))
            return reading->err->status;
        reading->line_size = 0;
        reading->line_number++;
    }
    return BS_OK;
}

/* The element ends at ',' or ']'. */
static enum bs_status end_element(struct reading *reading, char mark)
{
    struct list *list = &reading->list;
    size_t size = reading->line_size;
    if (mark == ']')
        list->part = AFTER;
    if (mark == ']' && !size && !reading->text->num_documents)
        return BS_OK; /* an empty list */
    reading->line_size = 0;
    return add_json(reading, reading->line, size, size ? list->element_line : list->line,
                    size ? list->element_column : list->column);
}

/* A byte of the element at hand, less the blanks in front. */
static enum bs_status add_element_byte(struct reading *reading, char byte, bool blank)
{
    struct list *list = &reading->list;
    if (!reading->line_size && blank)
        return BS_OK;
    if (!reading->line_size) {
        list->element_line = list->line;
        list->element_column = list->column;
    }
    return keep(reading, &byte, 1);
}

/* What a byte within a list means: true in *ends where the element at hand ends with it. */
static void step_list(struct list *list, char byte, bool *ends)
{
    *ends = false;
    if (list->in_string) {
        list->in_string = list->escaped || byte != '"';
        list->escaped = !list->escaped && byte == '\\';
        return;
    }
    bool opens = byte == '{' || byte == '[', closes = byte == '}' || byte == ']';
    list->in_string = byte == '"';
    *ends = !list->depth && (byte == ',' || byte == ']');
    list->depth += opens;
    list->depth -= closes && list->depth;
}

static enum bs_status fail_list(const struct reading *reading, const char *reason)
{
    return bs_fail(reading->err, BS_EDATA, "%s is not valid JSON: line %zu, column %zu: %s",
                   reading->path, reading->list.line, reading->list.column, reason);
}

/* One byte of a list. */
static enum bs_status add_list_byte(struct reading *reading, char byte)
{
    struct list *list = &reading->list;
    bool blank = byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r', ends = false;
    enum bs_status status = BS_OK;
    if (list->part == BEFORE && byte == '[') {
        list->part = WITHIN;
    } else if (list->part == AFTER && !blank) {
        status = fail_list(reading, "text after the list");
    } else if (list->part == WITHIN) {
        step_list(list, byte, &ends);
        status = ends ? end_element(reading, byte) : add_element_byte(reading, byte, blank);
    }
    list->column += ((unsigned char)byte & 0xc0) != 0x80;
    if (byte == '\n') {
        list->line++;
        list->column = 1;
    }
    return status;
}

/* Adds the documents that end in this piece of a JSON file: a list, or else one a line. */
static enum bs_status add_json_piece(struct reading *reading, const char *piece, size_t size)
{
    size_t first = 0;
    if (!reading->text->num_documents && reading->line_number == 1 && !reading->line_size &&
        size >= 3 && !memcmp(piece, "\xef\xbb\xbf", 3)) {
        piece += 3;
        size -= 3;
    }
    while (first < size && bs_space_length(piece + first, size - first) == 1)
        first++;
    if (reading->form == UNDECIDED && first < size)
        reading->form = piece[first] == '[' ? LIST : LINES;
    if (reading->form != LIST)
        return add_lines(reading, piece, size);
    if (!reading->list.line) { /* blanks came before */
        reading->list.line = reading->line_number;
        reading->list.column = reading->line_size + 1;
        reading->line_size = 0;
    }
    for (size_t i = 0; i < size && !reading->full; i++)
        if (add_list_byte(reading, piece[i]))
            return reading->err->status;
    return BS_OK;
}

static enum bs_status add_piece(struct reading *reading, const char *piece, size_t size)
{
    switch (reading->format->documents) {
    case BS_DOCUMENT_FILE:
        return append(reading, piece, size);
    case BS_DOCUMENT_JSON:
        return add_json_piece(reading, piece, size);
    default:
        return add_lines(reading, piece, size);
    }
}

/* What is left when the file has ended. */
static enum bs_status add_rest(struct reading *reading)
{
    if (reading->format->documents == BS_DOCUMENT_FILE)
        return end_document(reading);
    if (reading->full)
        return BS_OK;
    if (reading->form == LIST)
        return reading->list.part == AFTER ? BS_OK : fail_list(reading, "the list does not end");
    /* a last line without a newline */
    return reading->line_size ? add_line(reading, reading->line, reading->line_size) : BS_OK;
}

static enum bs_status read_all(struct reading *reading, struct bs_input *input, char *piece)
{
    size_t got = 1;
    enum bs_status status = BS_OK;
    while (!status && got && !reading->full) {
        status = bs_input_read(input, piece, PIECE, &got, reading->err);
        if (!status)
            status = add_piece(reading, piece, got);
    }
    return status ? status : add_rest(reading);
}

enum bs_status bs_text_read(const char *path, const struct bs_text_format *format,
                            struct bs_text *text, struct bs_error *err)
{
    *text = (struct bs_text){.join_size = strlen(format->join)};
    struct reading reading = {
        .path = path, .format = format, .text = text, .line_number = 1, .err = err};
    struct bs_input *input = NULL;
    char *piece = NULL;
    enum bs_status status = bs_input_open(path, format->member, &input, err);
    if (!status && !(piece = bs_alloc(PIECE, 1)))
        status = bs_fail_memory(err);
    if (!status)
        status = read_all(&reading, input, piece);
    bs_input_close(input);
    bs_free(piece);
    bs_free(reading.line);
    if (status)
        bs_text_release(text);
    return status;
}

void bs_text_release(struct bs_text *text)
{
    bs_free(text->bytes);
    bs_free(text->ends);
    *text = (struct bs_text){0};
}

const char *bs_text_document(const struct bs_text *text, size_t d, size_t *size)
{
    assert(d < text->num_documents);
    size_t begin = d ? text->ends[d - 1] + text->join_size : 0;
    *size = text->ends[d] - begin;
    return *size ? text->bytes + begin : "";
}

struct bs_digest bs_text_digest(const struct bs_text *text)
{
    return bs_digest_of(text->bytes, text->size);
}

/* The code point of a white space character beyond ASCII at text[0 .. size), or 0: all of them have
 * two or three bytes. */
static uint32_t wide_character(const char *text, size_t size)
{
    const unsigned char *byte = (const unsigned char *)text;
    if (size >= 2 && byte[0] == 0xc2)
        return 0x80u | (byte[1] & 0x3fu);
    if (size >= 3 && byte[0] >= 0xe1 && byte[0] <= 0xe3)
        return (byte[0] & 0xfu) << 12 | (byte[1] & 0x3fu) << 6 | (byte[2] & 0x3fu);
    return 0;
}

size_t bs_space_length(const char *text, size_t size)
{
    if (!size)
        return 0;
    unsigned char first = (unsigned char)text[0];
    if (first < 0x80)
        return (first >= 0x09 && first <= 0x0d) || (first >= 0x1c && first <= 0x20);
    uint32_t c = wide_character(text, size);
    if (c == 0x85 || c == 0xa0)
        return 2;
    bool space = c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
                 c == 0x202f || c == 0x205f || c == 0x3000;
    return space ? 3 : 0;
}

/* As bs_space_length, of the white space that text[0 .. size) ends with. */
static size_t last_space_length(const char *text, size_t size)
{
    for (size_t length = 1; length <= 3 && length <= size; length++)
        if (bs_space_length(text + size - length, length) == length)
            return length;
    return 0;
}

const char *bs_strip(const char *text, size_t *size)
{
    size_t length;
    while ((length = bs_space_length(text, *size))) {
        text += length;
        *size -= length;
    }
    while ((length = last_space_length(text, *size)))
        *size -= length;
    return text;
}

size_t bs_count_words(const char *text, size_t size)
{
    size_t words = 1;
    bool within = false; /* a run of white space */
    for (size_t i = 0; i < size;) {
        size_t length = bs_space_length(text + i, size - i);
        words += length && !within;
        within = length;
        i += length ? length : 1;
    }
    return words;
}
