#include "eval/base/option.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/printable.h"

enum { NUMBER_TEXT = 40, ALLOWED_TEXT = 400, LONGEST_WORD = 48, LONGEST_QUOTE = 60 };

/* Options are reached through their offset; memcpy keeps that free of aliasing questions. */
static void put_bool(const struct bs_option *option, void *values, bool value)
{
    memcpy((char *)values + option->offset, &value, sizeof value);
}

static void put_int(const struct bs_option *option, void *values, int value)
{
    memcpy((char *)values + option->offset, &value, sizeof value);
}

static void put_double(const struct bs_option *option, void *values, double value)
{
    memcpy((char *)values + option->offset, &value, sizeof value);
}

static void put_numbers(const struct bs_option *option, void *values,
                        const struct bs_numbers *numbers)
{
    memcpy((char *)values + option->offset, numbers, sizeof *numbers);
}

static void put_file(const struct bs_option *option, void *values,
                     const struct bs_file_choice *file)
{
    memcpy((char *)values + option->offset, file, sizeof *file);
}

static const struct bs_numbers *numbers_of(const struct bs_option *option, const void *values)
{
    return (const void *)((const char *)values + option->offset);
}

static const struct bs_file_choice *file_of(const struct bs_option *option, const void *values)
{
    return (const void *)((const char *)values + option->offset);
}

/* The field's value, of a type that is one number; every int and bool is exact in a double. */
static double option_value(const struct bs_option *option, const void *values)
{
    const char *field = (const char *)values + option->offset;
    if (option->type == BS_BOOL) {
        bool value;
        memcpy(&value, field, sizeof value);
        return value;
    }
    if (option->type == BS_DOUBLE) {
        double value;
        memcpy(&value, field, sizeof value);
        return value;
    }
    int value;
    memcpy(&value, field, sizeof value);
    return value;
}

void bs_options_default(const struct bs_option *options, void *values)
{
    for (const struct bs_option *option = options; option && option->name; option++) {
        if (option->type == BS_BOOL)
            put_bool(option, values, option->initial != 0);
        else if (option->type == BS_DOUBLE)
            put_double(option, values, option->initial);
        else if (option->type == BS_NUMBERS)
            put_numbers(option, values, option->numbers);
        else if (option->type == BS_FILE)
            put_file(option, values, &(struct bs_file_choice){.word = (int)option->initial});
        else
            put_int(option, values, (int)option->initial);
    }
}

const struct bs_option *bs_option_find(const struct bs_option *options, const char *name)
{
    for (const struct bs_option *option = options; option && option->name; option++)
        if (!strcmp(option->name, name))
            return option;
    return NULL;
}

/* YAML 1.2 has three spellings of each truth value; tables know the lower-case one. */
static const char *plain_truth(const char *text)
{
    if (!strcmp(text, "True") || !strcmp(text, "TRUE"))
        return "true";
    if (!strcmp(text, "False") || !strcmp(text, "FALSE"))
        return "false";
    return text;
}

/* The index of text in words, or -1. */
static int word_index(const char *const *words, const char *text)
{
    for (int k = 0; words && words[k]; k++)
        if (!strcmp(words[k], text))
            return k;
    return -1;
}

static int num_words(const char *const *words)
{
    int count = 0;
    while (words && words[count])
        count++;
    return count;
}

#define WHOLE "+-0123456789"
#define DECIMAL "+-.0123456789eE"

/* Decimal notation only: strtod and strtol would also take blanks, hexadecimal, "inf" and "nan". */
static bool read_number(const char *text, const char *characters, double *value)
{
    if (!*text || text[strspn(text, characters)] != '\0')
        return false;
    char *end;
    *value = strtod(text, &end) + 0.0; /* -0 becomes 0, which prints and compares as 0 */
    return *end == '\0' && isfinite(*value);
}

static bool parse_bool(const struct bs_option *option, const char *text, void *values)
{
    const char *word = plain_truth(text);
    bool value = !strcmp(word, "true");
    if (!value && strcmp(word, "false"))
        return false;
    put_bool(option, values, value);
    return true;
}

static bool parse_choice(const struct bs_option *option, const char *text, void *values)
{
    int index = word_index(option->words, plain_truth(text));
    if (index < 0)
        return false;
    put_int(option, values, index);
    return true;
}

static bool is_within(const struct bs_option *option, double value)
{
    return (value >= option->min && value <= option->max) ||
           (option->also != 0 && value == option->also);
}

static bool parse_number(const struct bs_option *option, const char *text, void *values)
{
    bool whole = option->type == BS_INT;
    int index = whole ? word_index(option->words, text) : -1;
    if (index >= 0) {
        put_int(option, values, -index);
        return true;
    }
    double value;
    if (!read_number(text, whole ? WHOLE : DECIMAL, &value) || !is_within(option, value))
        return false;
    if (!whole) {
        put_double(option, values, value);
        return true;
    }
    if (value < INT_MIN || value > INT_MAX)
        return false;
    put_int(option, values, (int)value);
    return true;
}

/* "[-1, 0.5]", blanks wherever they stand. */
static bool parse_numbers(const struct bs_option *option, const char *text, void *values)
{
    static const char blanks[] = " \t\n";
    struct bs_numbers numbers = {.count = 0};
    text += strspn(text, blanks);
    bool more = *text++ == '[';
    while (more && numbers.count < BS_MOST_NUMBERS) {
        char number[NUMBER_TEXT];
        text += strspn(text, blanks);
        size_t length = strspn(text, DECIMAL);
        if (length >= sizeof number)
            return false;
        memcpy(number, text, length);
        number[length] = '\0';
        double *value = &numbers.values[numbers.count++];
        if (!read_number(number, DECIMAL, value) || !is_within(option, *value))
            return false;
        text += length;
        text += strspn(text, blanks);
        more = *text == ',';
        text += more;
    }
    if (more || numbers.count < option->fewest || *text != ']' ||
        text[1 + strspn(text + 1, blanks)] != '\0')
        return false;
    put_numbers(option, values, &numbers);
    return true;
}

/* What a file is known by: its bytes, or where it cannot be read its path. */
static struct bs_digest digest_of_file(const char *path)
{
    struct bs_map map;
    struct bs_error ignored; /* who needs the file opens it */
    if (bs_file_check(path, &ignored) || bs_map_open(path, &map, &ignored))
        return bs_digest_of(path, strlen(path));
    struct bs_digest digest = bs_digest_of(map.data, map.size);
    bs_map_close(&map);
    return digest;
}

static bool parse_file(const struct bs_option *option, const char *text, void *values)
{
    struct bs_file_choice file = {.word = word_index(option->words, text)};
    if (file.word < 0) {
        if (!*text || strlen(text) >= sizeof file.path)
            return false;
        file.word = BS_IS_FILE;
        file.digest = digest_of_file(text);
        snprintf(file.path, sizeof file.path, "%s", text);
    }
    put_file(option, values, &file);
    return true;
}

bool bs_option_has_word(const struct bs_option *option, const char *text)
{
    return word_index(option->words, text) >= 0;
}

enum bs_status bs_option_parse(const struct bs_option *option, const char *text, void *values,
                               struct bs_error *err)
{
    bool good = false;
    switch (option->type) {
    case BS_BOOL:
        good = parse_bool(option, text, values);
        break;
    case BS_CHOICE:
        good = parse_choice(option, text, values);
        break;
    case BS_INT:
    case BS_DOUBLE:
        good = parse_number(option, text, values);
        break;
    case BS_NUMBERS:
        good = parse_numbers(option, text, values);
        break;
    case BS_FILE:
        good = parse_file(option, text, values);
        break;
    }
    if (good)
        return BS_OK;
    char allowed[ALLOWED_TEXT];
    bs_option_print_allowed(option, allowed, sizeof allowed);
    int shown = bs_cut(text, LONGEST_QUOTE);
    return bs_fail(err, BS_ECONFIG, "%s is '%.*s%s', expected %s", option->name, shown, text,
                   text[shown] ? "..." : "", allowed);
}

/* The shortest text that reads back as the same double: 10 rather than 1e+01. */
static void print_number(double value, char *out, size_t size)
{
    char text[NUMBER_TEXT], shortest[NUMBER_TEXT] = "";
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value && (!shortest[0] || strlen(text) < strlen(shortest)))
            memcpy(shortest, text, sizeof text);
    }
    snprintf(out, size, "%s", shortest[0] ? shortest : text);
}

static void print_value(const struct bs_option *option, double value, char *out, size_t size)
{
    int index = 0;
    switch (option->type) {
    case BS_BOOL:
        snprintf(out, size, "%s", value != 0 ? "true" : "false");
        return;
    case BS_CHOICE:
        index = (int)value;
        break;
    case BS_INT:
        index = value > 0 || value >= option->min ? -1 : -(int)value;
        break;
    case BS_DOUBLE:
        print_number(value, out, size);
        return;
    case BS_NUMBERS: /* more than one value */
        return;
    case BS_FILE:
        index = (int)value;
        break;
    }
    if (index >= 0 && index < num_words(option->words))
        snprintf(out, size, "%s", option->words[index]);
    else
        snprintf(out, size, "%.0f", value);
}

/* Appends to a text that may be full; always terminated. */
static void append(char *out, size_t size, const char *text)
{
    size_t used = strlen(out);
    if (used + 1 < size)
        snprintf(out + used, size - used, "%s", text);
}

static void print_numbers(const struct bs_numbers *numbers, char *out, size_t size)
{
    out[0] = '\0';
    append(out, size, "[");
    for (int i = 0; i < numbers->count; i++) {
        char number[NUMBER_TEXT];
        print_number(numbers->values[i], number, sizeof number);
        append(out, size, i ? ", " : "");
        append(out, size, number);
    }
    append(out, size, "]");
}

static bool is_file(const struct bs_option *option, const void *values)
{
    return option->type == BS_FILE && file_of(option, values)->word == BS_IS_FILE;
}

void bs_option_print(const struct bs_option *option, const void *values, char *out, size_t size)
{
    if (option->type == BS_NUMBERS)
        print_numbers(numbers_of(option, values), out, size);
    else if (is_file(option, values))
        snprintf(out, size, "%s", file_of(option, values)->path);
    else
        print_value(option, option_value(option, values), out, size);
}

void bs_option_print_identity(const struct bs_option *option, const void *values, char *out,
                              size_t size)
{
    if (is_file(option, values))
        snprintf(out, size, "%s", file_of(option, values)->digest.hex);
    else
        bs_option_print(option, values, out, size);
}

void bs_option_print_default(const struct bs_option *option, char *out, size_t size)
{
    if (option->type == BS_NUMBERS)
        print_numbers(option->numbers, out, size);
    else
        print_value(option, option->initial, out, size);
}

static bool same_numbers(const struct bs_numbers *a, const struct bs_numbers *b)
{
    bool same = a->count == b->count;
    for (int i = 0; same && i < a->count; i++)
        same = a->values[i] == b->values[i];
    return same;
}

bool bs_option_is_default(const struct bs_option *option, const void *values)
{
    if (option->type == BS_NUMBERS)
        return same_numbers(numbers_of(option, values), option->numbers);
    return option_value(option, values) == option->initial;
}

bool bs_option_equal(const struct bs_option *option, const void *a, const void *b)
{
    if (option->type == BS_NUMBERS)
        return same_numbers(numbers_of(option, a), numbers_of(option, b));
    if (is_file(option, a) && is_file(option, b))
        return !strcmp(file_of(option, a)->digest.hex, file_of(option, b)->digest.hex);
    return option_value(option, a) == option_value(option, b);
}

/* "a, b or c"; with `more` to follow, "a, b". */
static void append_words(const char *const *words, bool more, char *out, size_t size)
{
    int count = num_words(words);
    for (int k = 0; k < count; k++) {
        if (k > 0)
            append(out, size, k + 1 == count && !more ? " or " : ", ");
        append(out, size, words[k]);
    }
}

static void append_bounds(const struct bs_option *option, bool whole, char *out, size_t size)
{
    char low[NUMBER_TEXT], high[NUMBER_TEXT], bounds[2 * NUMBER_TEXT + 16] = "";
    bool has_low = isfinite(option->min) && !(whole && option->min <= INT_MIN);
    bool has_high = isfinite(option->max) && !(whole && option->max >= INT_MAX);
    if (whole) {
        snprintf(low, sizeof low, "%.0f", option->min);
        snprintf(high, sizeof high, "%.0f", option->max);
    } else {
        print_number(option->min, low, sizeof low);
        print_number(option->max, high, sizeof high);
    }
    if (has_low && has_high)
        snprintf(bounds, sizeof bounds, " from %s to %s", low, high);
    else if (has_low)
        snprintf(bounds, sizeof bounds, " of at least %s", low);
    else if (has_high)
        snprintf(bounds, sizeof bounds, " of at most %s", high);
    append(out, size, bounds);
    if (option->also != 0) {
        print_number(option->also, low, sizeof low);
        append(out, size, ", or ");
        append(out, size, low);
    }
}

static void append_count(const struct bs_option *option, char *out, size_t size)
{
    char count[NUMBER_TEXT + 24];
    snprintf(count, sizeof count, "a list of %d to %d numbers", option->fewest, BS_MOST_NUMBERS);
    append(out, size, count);
}

void bs_option_print_allowed(const struct bs_option *option, char *out, size_t size)
{
    if (size == 0)
        return;
    out[0] = '\0';
    bool whole = option->type == BS_INT;
    switch (option->type) {
    case BS_BOOL:
        append(out, size, "true or false");
        break;
    case BS_CHOICE:
        append_words(option->words, false, out, size);
        break;
    case BS_INT:
    case BS_DOUBLE:
        if (whole && num_words(option->words) > 0) {
            append_words(option->words, true, out, size);
            append(out, size, " or ");
        }
        append(out, size, whole ? "a whole number" : "a number");
        append_bounds(option, whole, out, size);
        break;
    case BS_NUMBERS:
        append_count(option, out, size);
        append_bounds(option, false, out, size);
        break;
    case BS_FILE:
        append_words(option->words, true, out, size);
        append(out, size, " or the path of a file");
        break;
    }
}

static int smallest(int a, int b) { return a < b ? a : b; }

/* Edits (a letter more, less, other, or two neighbours swapped) between two words of at most
 * LONGEST_WORD letters, case aside. */
static int edit_distance(const char *a, const char *b)
{
    int rows[3][LONGEST_WORD + 1];
    int *before = rows[0], *last = rows[1], *now = rows[2];
    int length = (int)strlen(b);
    for (int j = 0; j <= length; j++)
        last[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        now[0] = i;
        for (int j = 1; j <= length; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            now[j] = smallest(last[j - 1] + (x != y), smallest(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2]))
                now[j] = smallest(now[j], before[j - 2] + 1);
        }
        int *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[length];
}

/* People abbreviate as often as they slip: "sym" for symmetric. */
static bool abbreviates(const char *word, const char *candidate)
{
    size_t length = strlen(word);
    return length >= 3 && !strncmp(word, candidate, length);
}

const char *bs_nearest_word(const char *word, const char *const *candidates)
{
    const char *nearest = NULL;
    int least = INT_MAX;
    if (strlen(word) > LONGEST_WORD)
        return NULL;
    for (int k = 0; candidates && candidates[k]; k++) {
        int length = (int)strlen(candidates[k]);
        if (length > LONGEST_WORD)
            continue;
        int distance = edit_distance(word, candidates[k]);
        int tolerated = 1 + length / 4;
        bool near =
            (distance <= tolerated && distance < length) || abbreviates(word, candidates[k]);
        if (near && distance < least) {
            least = distance;
            nearest = candidates[k];
        }
    }
    return nearest;
}
