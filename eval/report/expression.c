/* Read by an operator stack (Dijkstra's shunting yard) into a list in which operands stand before
 * what combines them. */
#include "eval/report/expression.h"

#include <ctype.h>
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "eval/base/mem.h"
#include "eval/report/column_names.h"

/* In the order of how close they bind, the loosest first. */
enum kind { OPEN, OR, AND, NOT, COMPARE };

enum comparison { EQUAL, NOT_EQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL };

static const struct {
    const char *text;
    enum comparison comparison;
} signs[] = {/* longer ones first */
             {"<=", LESS_EQUAL}, {">=", GREATER_EQUAL}, {"!=", NOT_EQUAL}, {"==", EQUAL},
             {"=", EQUAL},       {"<", LESS},           {">", GREATER}};
enum { NUM_SIGNS = sizeof signs / sizeof *signs };

struct node {
    enum kind kind;
    int column;
    enum comparison comparison;
    char *text;
    double number; /* NaN where the text is none */
};

struct bs_expression {
    int count;
    struct node *nodes;
};

/* Where the reading is. */
struct reader {
    const char *what, *text, *at;
    const struct bs_sheet *sheet;
    struct bs_expression *expression;
    int num_open;
    struct opened {
        enum kind kind;
        const char *at;
    } * open; /* operators and brackets that wait */
    struct bs_error *err;
};

static enum bs_status fail_at(const struct reader *reader, const char *at, const char *message)
{
    return bs_fail(reader->err, BS_ECONFIG, "%s '%s', character %d: %s", reader->what, reader->text,
                   (int)(at - reader->text) + 1, message);
}

int bs_sheet_find(const struct bs_sheet *sheet, const char *name, const char *where,
                  struct bs_error *err)
{
    for (int j = 0; j < sheet->num_columns; j++)
        if (!strcmp(bs_sheet_cell(sheet, 0, j), name))
            return j;
    if (!err)
        return -1;
    const char **names = bs_calloc((size_t)sheet->num_columns + 1, sizeof *names);
    for (int j = 0; names && j < sheet->num_columns; j++)
        names[j] = bs_sheet_cell(sheet, 0, j);
    const char *near = names ? bs_column_near(name, names) : NULL;
    bs_fail(err, BS_ECONFIG, "%s'%.60s' is no column%s%s%s", where, name,
            near ? " (did you mean '" : " of --format csv", near ? near : "", near ? "'?)" : "");
    bs_free((void *)names);
    return -1;
}

/* The number that the whole text is, NaN where it is none. */
static double number_of(const char *text)
{
    static const char units[] = "KMGT";
    char *end;
    double number = strtod(text, &end);
    if (end == text || isnan(number))
        return (double)NAN;
    const char *unit = *end ? strchr(units, *end) : NULL;
    for (const char *u = units; unit && u <= unit; u++)
        number *= 1000;
    if (*end == '%')
        number /= 100;
    end += unit || *end == '%';
    return *end ? (double)NAN : number;
}

static bool is_sign(char letter) { return strchr("=!<>()'\"", letter) != NULL; }

/* The bytes of the word at the reader: of none 0. */
static size_t word_bytes(const char *at)
{
    size_t bytes = 0;
    while (at[bytes] && !isspace((unsigned char)at[bytes]) && !is_sign(at[bytes]))
        bytes++;
    return bytes;
}

static bool is_keyword(const char *at, const char *keyword)
{
    size_t bytes = word_bytes(at);
    return bytes == strlen(keyword) && !strncasecmp(at, keyword, bytes);
}

static void skip_blanks(struct reader *reader)
{
    while (isspace((unsigned char)*reader->at))
        reader->at++;
}

/* What is compared with: a word, or a text in quotes; in new memory. */
static enum bs_status read_operand(struct reader *reader, char **text)
{
    skip_blanks(reader);
    const char *at = reader->at;
    if (*at == '\'' || *at == '"') {
        const char *end = strchr(at + 1, *at);
        if (!end)
            return fail_at(reader, at, "this quote has no end");
        *text = bs_printf("%.*s", (int)(end - at - 1), at + 1);
        reader->at = end + 1;
    } else {
        size_t bytes = word_bytes(at);
        if (!bytes)
            return fail_at(reader, at, "expected a number or a text to compare with");
        *text = bs_printf("%.*s", (int)bytes, at);
        reader->at = at + bytes;
    }
    return *text ? BS_OK : bs_fail_memory(reader->err);
}

/* The comparison's sign at the reader. */
static enum bs_status read_sign(struct reader *reader, enum comparison *comparison)
{
    skip_blanks(reader);
    for (int i = 0; i < NUM_SIGNS; i++)
        if (!strncmp(reader->at, signs[i].text, strlen(signs[i].text))) {
            *comparison = signs[i].comparison;
            reader->at += strlen(signs[i].text);
            return BS_OK;
        }
    return fail_at(reader, reader->at, "expected one of = != < <= > >=");
}

/* Whether the sheet's column holds numbers. */
static bool is_number_column(const struct bs_sheet *sheet, int column)
{
    return sheet->num_cells > sheet->num_columns &&
           sheet->cells[sheet->num_columns + column].kind != BS_CELL_TEXT;
}

static enum bs_status read_comparison(struct reader *reader)
{
    const char *at = reader->at;
    char name[64], place[64];
    size_t bytes = word_bytes(at);
    if (!bytes)
        return fail_at(reader, at, "expected the name of a column");
    snprintf(name, sizeof name, "%.*s", (int)(bytes < 63 ? bytes : 63), at);
    struct node node = {.kind = COMPARE};
    struct bs_error unknown;
    node.column = bs_sheet_find(reader->sheet, name, "", &unknown);
    if (node.column < 0)
        return fail_at(reader, at, unknown.message);
    reader->at += bytes;
    if (read_sign(reader, &node.comparison))
        return reader->err->status;
    skip_blanks(reader);
    at = reader->at;
    if (read_operand(reader, &node.text))
        return reader->err->status;
    node.number = number_of(node.text);
    if (isnan(node.number) && is_number_column(reader->sheet, node.column)) {
        snprintf(place, sizeof place, "'%.30s' is no number", node.text);
        bs_free(node.text);
        return fail_at(reader, at, place);
    }
    reader->expression->nodes[reader->expression->count++] = node;
    return BS_OK;
}

/* Takes from the stack what binds at least as close as `kind`. */
static void settle(struct reader *reader, enum kind kind)
{
    while (reader->num_open && reader->open[reader->num_open - 1].kind >= kind)
        reader->expression->nodes[reader->expression->count++] =
            (struct node){.kind = reader->open[--reader->num_open].kind};
}

static void push(struct reader *reader, enum kind kind, size_t bytes)
{
    reader->open[reader->num_open++] = (struct opened){kind, reader->at};
    reader->at += bytes;
}

/* A comparison, or what may stand before one. *ended is true after a comparison. */
static enum bs_status read_before(struct reader *reader, bool *ended)
{
    if (*reader->at == '(')
        push(reader, OPEN, 1);
    else if (is_keyword(reader->at, "not"))
        push(reader, NOT, 3);
    else if (read_comparison(reader))
        return reader->err->status;
    else
        *ended = true;
    return BS_OK;
}

/* What may stand after a comparison. *ended is false where another one must follow. */
static enum bs_status read_after(struct reader *reader, bool *ended)
{
    bool is_and = is_keyword(reader->at, "and");
    if (*reader->at == ')') {
        settle(reader, OR);
        if (!reader->num_open)
            return fail_at(reader, reader->at, "this bracket was not opened");
        reader->num_open--;
        reader->at++;
        return BS_OK;
    }
    if (!is_and && !is_keyword(reader->at, "or"))
        return fail_at(reader, reader->at, "expected 'and', 'or', a bracket or the end");
    settle(reader, is_and ? AND : OR);
    push(reader, is_and ? AND : OR, is_and ? 3 : 2);
    *ended = false;
    return BS_OK;
}

static enum bs_status read_all(struct reader *reader)
{
    enum bs_status status = BS_OK;
    bool ended = false;
    for (skip_blanks(reader); *reader->at && !status; skip_blanks(reader))
        status = ended ? read_after(reader, &ended) : read_before(reader, &ended);
    if (status)
        return status;
    if (!ended)
        return fail_at(reader, reader->at, "expected the name of a column");
    settle(reader, OR);
    if (reader->num_open)
        return fail_at(reader, reader->open[reader->num_open - 1].at, "this bracket has no end");
    return BS_OK;
}

enum bs_status bs_expression_parse(const char *what, const char *text, const struct bs_sheet *sheet,
                                   struct bs_expression **expression, struct bs_error *err)
{
    size_t most = strlen(text) + 1; /* every node has a letter at least */
    struct reader reader = {.what = what, .text = text, .at = text, .sheet = sheet, .err = err};
    *expression = NULL;
    reader.expression = bs_calloc(1, sizeof *reader.expression);
    reader.open = bs_calloc(most, sizeof *reader.open);
    if (reader.expression)
        reader.expression->nodes = bs_calloc(most, sizeof *reader.expression->nodes);
    enum bs_status status = reader.open && reader.expression && reader.expression->nodes
                                ? read_all(&reader)
                                : bs_fail_memory(err);
    bs_free(reader.open);
    if (status)
        bs_expression_free(reader.expression);
    else
        *expression = reader.expression;
    return status;
}

void bs_expression_free(struct bs_expression *expression)
{
    if (!expression)
        return;
    for (int i = 0; expression->nodes && i < expression->count; i++)
        bs_free(expression->nodes[i].text);
    bs_free(expression->nodes);
    bs_free(expression);
}

static bool satisfies(enum comparison comparison, int order)
{
    switch (comparison) {
    case EQUAL:
        return order == 0;
    case NOT_EQUAL:
        return order != 0;
    case LESS:
        return order < 0;
    case LESS_EQUAL:
        return order <= 0;
    case GREATER:
        return order > 0;
    default:
        return order >= 0;
    }
}

static enum bs_truth compare(const struct node *node, const struct bs_sheet_cell *cell)
{
    bool is_text = cell->kind == BS_CELL_TEXT;
    const char *text = cell->raw ? cell->raw : cell->text;
    double number = is_text ? number_of(text) : cell->number;
    bool equality = node->comparison == EQUAL || node->comparison == NOT_EQUAL;
    if (!is_text && isnan(number))
        return BS_UNKNOWN;
    if (is_text && (equality || isnan(number) || isnan(node->number))) {
        bool alike = !strcmp(text, node->text) || (equality && !fnmatch(node->text, text, 0));
        return satisfies(node->comparison, alike ? 0 : strcmp(text, node->text)) ? BS_TRUE
                                                                                 : BS_FALSE;
    }
    int order = (number > node->number) - (number < node->number);
    return satisfies(node->comparison, order) ? BS_TRUE : BS_FALSE;
}

/* As SQL has it: what is not known stays so unless the other side decides. */
static enum bs_truth combine(enum kind kind, enum bs_truth a, enum bs_truth b)
{
    enum bs_truth deciding = kind == AND ? BS_FALSE : BS_TRUE;
    if (a == deciding || b == deciding)
        return deciding;
    if (a == BS_UNKNOWN || b == BS_UNKNOWN)
        return BS_UNKNOWN;
    return kind == AND ? BS_TRUE : BS_FALSE;
}

/* The value of the part of the list that ends before *end, whose first node *end then is. The depth
 * of the calls is that of the brackets and signs of one command line. */
static enum bs_truth value_before(const struct bs_expression *expression,
                                  const struct bs_sheet_cell *cells, int *end)
{
    const struct node *node = &expression->nodes[--*end];
    if (node->kind == COMPARE)
        return compare(node, &cells[node->column]);
    enum bs_truth right = value_before(expression, cells, end);
    if (node->kind == NOT)
        return right == BS_UNKNOWN ? BS_UNKNOWN : right == BS_TRUE ? BS_FALSE : BS_TRUE;
    return combine(node->kind, value_before(expression, cells, end), right);
}

enum bs_truth bs_expression_holds(const struct bs_expression *expression,
                                  const struct bs_sheet *sheet, int row)
{
    int end = expression->count;
    return value_before(expression, &sheet->cells[(size_t)row * sheet->num_columns], &end);
}
