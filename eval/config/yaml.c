#include "eval/config/yaml.h"

#include <assert.h>
#include <libfyaml.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/base/utf8.h"

enum { LONGEST_QUOTE = 60 };

/* A node as it grows; the reader of the tree sees only the first member. */
struct builder_node {
    struct bs_yaml_node node;
    int capacity;
    char *anchor; /* NULL = none */
    bool open;    /* its end has not been met */
};

struct bs_yaml {
    int num_nodes, capacity;
    struct builder_node **nodes; /* every node once, in the order of the file */
    struct bs_yaml_node *root;
};

/* One parse. `last` is where the newest token stands: empty values have no token of their own. */
struct builder {
    const char *path;
    const char *text; /* of the file */
    struct bs_yaml *yaml;
    int num_items; /* aliases count each time */
    int depth;
    struct builder_node *stack[BS_YAML_MAX_DEPTH];
    struct fy_mark last;
    struct bs_error *err;
};

void bs_yaml_free(struct bs_yaml *yaml)
{
    if (!yaml)
        return;
    for (int i = 0; i < yaml->num_nodes; i++) {
        bs_free(yaml->nodes[i]->node.text);
        bs_free(yaml->nodes[i]->node.items);
        bs_free(yaml->nodes[i]->anchor);
        bs_free(yaml->nodes[i]);
    }
    bs_free(yaml->nodes);
    bs_free(yaml);
}

const struct bs_yaml_node *bs_yaml_root(const struct bs_yaml *yaml) { return yaml->root; }

struct bs_yaml_node *bs_yaml_edit(struct bs_yaml *yaml) { return yaml->root; }

static enum bs_status fail_at(const struct builder *builder, const char *message)
{
    return bs_fail(builder->err, BS_ECONFIG, "%s:%d:%d: error: %s", builder->path,
                   builder->last.line + 1, builder->last.column + 1, message);
}

/* Bytes of the UTF-8 letter at text, or 0 where it is none that YAML allows. */
static size_t letter_bytes(const char *text, size_t left)
{
    uint32_t letter;
    size_t bytes = bs_utf8_letter(text, left, &letter);
    bool control = letter < 0x20 ? !letter || !strchr("\t\n\r", (int)letter) : letter == 0x7f;
    return control ? 0 : bytes;
}

/* Where a check of the file's text stands. */
struct place {
    int line, column;
    bool has_text;   /* more than blanks on this line so far */
    int blank_lines; /* in a row before it */
};

/* True for what may end a line: libfyaml has an eye on those of YAML 1.1 too. */
static bool ends_line(const char *letter, size_t left)
{
    uint32_t code;
    bs_utf8_letter(letter, left, &code);
    bool pair = code == '\r' && left > 1 && letter[1] == '\n';
    return !pair &&
           (code == '\n' || code == '\r' || code == 0x85 || code == 0x2028 || code == 0x2029);
}

static void pass_letter(struct place *place, const char *letter, size_t left)
{
    if (ends_line(letter, left)) {
        place->blank_lines = place->has_text ? 0 : place->blank_lines + 1;
        place->has_text = false;
    } else if (!strchr(" \t\r", *letter)) {
        place->has_text = true;
        place->blank_lines = 0;
    }
    place->column = *letter == '\n' ? 1 : place->column + 1;
    place->line += *letter == '\n';
}

/* libfyaml 0.7 ends silently at a zero byte or at broken UTF-8, dropping the rest of the file; and
 * its time grows with the square of the blank lines in a row within a text. */
static enum bs_status check_text(const char *path, const char *text, size_t size,
                                 struct bs_error *err)
{
    if (size > BS_YAML_MAX_BYTES)
        return bs_fail(err, BS_ECONFIG, "%s:1:1: error: %zu bytes, expected a config of at most %d",
                       path, size, BS_YAML_MAX_BYTES);
    struct place place = {.line = 1, .column = 1};
    for (size_t at = 0; at < size;) {
        size_t bytes = letter_bytes(text + at, size - at);
        if (bytes == 0)
            return bs_fail(err, BS_ECONFIG,
                           "%s:%d:%d: error: byte 0x%02x is no text, expected YAML in UTF-8", path,
                           place.line, place.column, (unsigned char)text[at]);
        pass_letter(&place, text + at, size - at);
        if (place.blank_lines > BS_YAML_MAX_BLANK_LINES)
            return bs_fail(err, BS_ECONFIG,
                           "%s:%d:1: error: more than %d blank lines in a row, expected fewer",
                           path, place.line, BS_YAML_MAX_BLANK_LINES);
        at += bytes;
    }
    return BS_OK;
}

/* A new node at the newest token, owned by the tree; NULL when memory runs out. */
static struct builder_node *new_node(struct builder *builder, enum bs_yaml_kind kind)
{
    struct bs_yaml *yaml = builder->yaml;
    if (yaml->num_nodes == yaml->capacity) {
        int capacity = yaml->capacity ? 2 * yaml->capacity : 64;
        struct builder_node **grown = bs_realloc(yaml->nodes, (size_t)yaml->capacity,
                                                 (size_t)capacity, sizeof(struct builder_node *));
        if (!grown)
            return NULL;
        yaml->nodes = grown;
        yaml->capacity = capacity;
    }
    struct builder_node *made = bs_calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->node.kind = kind;
    made->node.line = builder->last.line + 1;
    made->node.column = builder->last.column + 1;
    return yaml->nodes[yaml->num_nodes++] = made;
}

/* Puts a node where the file has it: into the innermost open collection, or as the root. */
static enum bs_status attach(struct builder *builder, struct bs_yaml_node *node)
{
    if (++builder->num_items > BS_YAML_MAX_NODES)
        return fail_at(builder, "more values than a config may have (10000)");
    if (builder->depth == 0) {
        builder->yaml->root = node;
        return BS_OK;
    }
    struct builder_node *parent = builder->stack[builder->depth - 1];
    if (parent->node.num_items == parent->capacity) {
        int capacity = parent->capacity ? 2 * parent->capacity : 8;
        struct bs_yaml_node **grown = bs_realloc(parent->node.items, (size_t)parent->capacity,
                                                 (size_t)capacity, sizeof(struct bs_yaml_node *));
        if (!grown)
            return bs_fail_memory(builder->err);
        parent->node.items = grown;
        parent->capacity = capacity;
    }
    parent->node.items[parent->node.num_items++] = node;
    return BS_OK;
}

/* A token's text in new memory. */
static enum bs_status copy_text(struct builder *builder, struct fy_token *token, char **text)
{
    size_t length = 0;
    const char *from = token ? fy_token_get_text(token, &length) : "";
    char *copy = from ? bs_alloc(length + 1, 1) : NULL;
    if (!copy)
        return bs_fail_memory(builder->err);
    memcpy(copy, from, length);
    copy[length] = '\0';
    *text = copy;
    if (strlen(copy) != length)
        return fail_at(builder, "a zero byte, expected text");
    return BS_OK;
}

/* What scalars and collections have in common: no tag, perhaps an anchor. */
static enum bs_status add_node(struct builder *builder, enum bs_yaml_kind kind,
                               struct fy_token *anchor, struct fy_token *tag,
                               struct builder_node **added)
{
    if (tag)
        return fail_at(builder, "a tag ('!...'), expected a value without one");
    struct builder_node *made = new_node(builder, kind);
    if (!made)
        return bs_fail_memory(builder->err);
    *added = made;
    if (anchor) {
        enum bs_status status = copy_text(builder, anchor, &made->anchor);
        if (status)
            return status;
    }
    return attach(builder, &made->node);
}

static bool is_quoted(const struct fy_event *event)
{
    enum fy_scalar_style style =
        event->scalar.value ? fy_token_scalar_style(event->scalar.value) : FYSS_PLAIN;
    return style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
}

/* Remembers where the event stands. libfyaml marks what follows a quote or the star of an alias; a
 * reader looks for the sign itself. */
static void note_place(struct builder *builder, struct fy_event *event)
{
    const struct fy_mark *mark = fy_event_start_mark(event);
    if (!mark)
        return;
    builder->last = *mark;
    bool sign = event->type == FYET_ALIAS || (event->type == FYET_SCALAR && is_quoted(event));
    if (sign && builder->last.column > 0)
        builder->last.column--;
}

/* True where a text in single quotes holds two quotes in a row, each written as a pair: libfyaml
 * 0.7 cuts such a text short, and loses memory over a longer row. */
static bool holds_quotes_in_a_row(const struct builder *builder, struct fy_event *event)
{
    static const char two[] = "''''";
    const struct fy_mark *start = fy_event_start_mark(event), *end = fy_event_end_mark(event);
    if (!event->scalar.value || !start || !end ||
        fy_token_scalar_style(event->scalar.value) != FYSS_SINGLE_QUOTED)
        return false;
    for (size_t at = start->input_pos; at + sizeof two - 1 <= end->input_pos; at++)
        if (!memcmp(builder->text + at, two, sizeof two - 1))
            return true;
    return false;
}

static enum bs_status add_scalar(struct builder *builder, struct fy_event *event)
{
    struct builder_node *made;
    if (holds_quotes_in_a_row(builder, event))
        return fail_at(builder, "two quotes in a row within single quotes, expected the text in "
                                "double quotes");
    enum bs_status status =
        add_node(builder, BS_YAML_SCALAR, event->scalar.anchor, event->scalar.tag, &made);
    if (status)
        return status;
    struct fy_token *value = event->scalar.value;
    made->node.quoted = is_quoted(event);
    return copy_text(builder, value, &made->node.text);
}

static enum bs_status open_collection(struct builder *builder, enum bs_yaml_kind kind,
                                      struct fy_token *anchor, struct fy_token *tag)
{
    if (builder->depth == BS_YAML_MAX_DEPTH)
        return fail_at(builder, "lists and mappings nested too deeply (32)");
    struct builder_node *made;
    enum bs_status status = add_node(builder, kind, anchor, tag, &made);
    if (status)
        return status;
    made->open = true;
    builder->stack[builder->depth++] = made;
    return BS_OK;
}

/* An alias is the anchored node once more; the newest anchor of a name holds, as YAML has it. */
static enum bs_status add_alias(struct builder *builder, struct fy_token *token)
{
    char *name = NULL;
    enum bs_status status = copy_text(builder, token, &name);
    if (status)
        goto done;
    struct builder_node *found = NULL;
    for (int i = builder->yaml->num_nodes - 1; i >= 0 && !found; i--) {
        struct builder_node *node = builder->yaml->nodes[i];
        if (node->anchor && !strcmp(node->anchor, name))
            found = node;
    }
    if (!found)
        status =
            fail_at(builder, "an alias ('*...') to no anchor, expected '&...' before it, or quotes "
                             "around what begins with a star");
    else if (found->open)
        status = fail_at(builder, "an alias ('*...') to the value it is part of");
    else
        status = attach(builder, &found->node);
done:
    bs_free(name);
    return status;
}

static enum bs_status take_event(struct builder *builder, struct fy_event *event)
{
    note_place(builder, event);
    switch (event->type) {
    case FYET_DOCUMENT_START:
        if (builder->yaml->root)
            return fail_at(builder, "a second document ('---'), expected one");
        return BS_OK;
    case FYET_SCALAR:
        return add_scalar(builder, event);
    case FYET_SEQUENCE_START:
        return open_collection(builder, BS_YAML_SEQUENCE, event->sequence_start.anchor,
                               event->sequence_start.tag);
    case FYET_MAPPING_START:
        return open_collection(builder, BS_YAML_MAPPING, event->mapping_start.anchor,
                               event->mapping_start.tag);
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
        assert(builder->depth > 0 && builder->stack[builder->depth - 1]);
        builder->stack[--builder->depth]->open = false;
        return BS_OK;
    case FYET_ALIAS:
        return add_alias(builder, event->alias.anchor);
    default:
        return BS_OK;
    }
}

/* The parser's first complaint; those after it follow from it. */
static enum bs_status syntax_error(const struct builder *builder, struct fy_diag *diag)
{
    void *state = NULL;
    const struct fy_diag_error *found = fy_diag_errors_iterate(diag, &state);
    if (!found || !found->msg)
        return fail_at(builder, "this is no YAML");
    return bs_fail(builder->err, BS_ECONFIG, "%s:%d:%d: error: %s", builder->path, found->line,
                   found->column, found->msg);
}

static enum bs_status build(struct builder *builder, struct fy_parser *parser, struct fy_diag *diag)
{
    enum bs_status status = BS_OK;
    struct fy_event *event;
    while (!status && (event = fy_parser_parse(parser))) {
        status = take_event(builder, event);
        fy_parser_event_free(parser, event);
    }
    if (!status && fy_parser_get_stream_error(parser))
        status = syntax_error(builder, diag);
    if (!status && !builder->yaml->root)
        status =
            bs_fail(builder->err, BS_ECONFIG, "%s:1:1: error: the file is empty", builder->path);
    return status;
}

enum bs_status bs_yaml_parse(const char *path, const char *text, size_t size, struct bs_yaml **yaml,
                             struct bs_error *err)
{
    enum bs_status status = check_text(path, text, size, err);
    if (status)
        return status;
    struct fy_diag_cfg quiet;
    fy_diag_cfg_default(&quiet);
    quiet.fp = NULL;
    struct fy_diag *diag = fy_diag_create(&quiet);
    struct fy_parse_cfg config = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG |
                                           FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE |
                                           FYPCF_DISABLE_MMAP_OPT,
                                  .diag = diag};
    struct builder builder = {
        .path = path, .text = text, .err = err, .yaml = bs_calloc(1, sizeof *builder.yaml)};
    struct fy_parser *parser = NULL;
    status = bs_fail_memory(err); /* until all of these exist */
    if (!diag || !builder.yaml)
        goto done;
    fy_diag_set_collect_errors(diag, true);
    parser = fy_parser_create(&config);
    if (!parser || fy_parser_set_string(parser, text, size) != 0)
        goto done;
    status = build(&builder, parser, diag);
done:
    if (parser)
        fy_parser_destroy(parser);
    if (diag)
        fy_diag_destroy(diag);
    if (!status)
        *yaml = builder.yaml;
    else
        bs_yaml_free(builder.yaml);
    return status;
}

static void check_mapping(const struct bs_yaml_node *node, struct bs_report *report)
{
    for (int i = 0; i < node->num_items; i += 2) {
        const struct bs_yaml_node *key = node->items[i];
        if (key->kind != BS_YAML_SCALAR) {
            bs_report_add(report, key->line, key->column, "%s as a key, expected a word",
                          key->kind == BS_YAML_MAPPING ? "a mapping" : "a list");
            continue;
        }
        for (int j = 0; j < i; j += 2) {
            const struct bs_yaml_node *earlier = node->items[j];
            if (earlier->kind != BS_YAML_SCALAR || strcmp(earlier->text, key->text))
                continue;
            bs_report_add(report, key->line, key->column,
                          "the key '%.*s' a second time, expected it once (first at %d:%d)",
                          bs_cut(key->text, LONGEST_QUOTE), key->text, earlier->line,
                          earlier->column);
            break;
        }
    }
}

void bs_yaml_check_keys(const struct bs_yaml *yaml, struct bs_report *report)
{
    for (int i = 0; i < yaml->num_nodes; i++)
        if (yaml->nodes[i]->node.kind == BS_YAML_MAPPING)
            check_mapping(&yaml->nodes[i]->node, report);
}

const struct bs_yaml_node *bs_yaml_get(const struct bs_yaml_node *node, const char *key)
{
    if (node->kind != BS_YAML_MAPPING)
        return NULL;
    for (int i = 0; i + 1 < node->num_items; i += 2)
        if (node->items[i]->kind == BS_YAML_SCALAR && !strcmp(node->items[i]->text, key))
            return node->items[i + 1];
    return NULL;
}

int bs_yaml_num_values(const struct bs_yaml_node *node)
{
    return node->kind == BS_YAML_SEQUENCE ? node->num_items : 1;
}

const struct bs_yaml_node *bs_yaml_value(const struct bs_yaml_node *node, int i)
{
    return node->kind == BS_YAML_SEQUENCE ? node->items[i] : node;
}

bool bs_yaml_is_null(const struct bs_yaml_node *node)
{
    if (node->kind != BS_YAML_SCALAR || node->quoted)
        return false;
    return !*node->text || !strcmp(node->text, "~") || !strcmp(node->text, "null");
}

void bs_yaml_print_found(const struct bs_yaml_node *node, char *out, size_t size)
{
    if (node->kind != BS_YAML_SCALAR)
        snprintf(out, size, node->kind == BS_YAML_SEQUENCE ? "a list" : "a mapping");
    else if (bs_yaml_is_null(node))
        snprintf(out, size, "nothing");
    else
        snprintf(out, size, "'%.*s%s'", bs_cut(node->text, LONGEST_QUOTE), node->text,
                 strlen(node->text) > LONGEST_QUOTE ? "..." : "");
}
