#include "eval/tasks/template.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/tasks/text_steps.h"

enum { MOST_PATH = 200 };

/* A field of a template: {paths|steps}. */
struct field {
    const char *begin, *end; /* what stands between the braces */
    const char *steps;       /* from the first '|' on; end where there is none */
};

void bs_texts_release(struct bs_texts *texts)
{
    for (int i = 0; i < texts->count; i++)
        bs_free(texts->texts[i]);
    bs_free(texts->texts);
    *texts = (struct bs_texts){0};
}

static enum bs_status add_text(struct bs_texts *texts, char *text, struct bs_error *err)
{
    char **more = text ? bs_realloc(texts->texts, (size_t)texts->count, (size_t)texts->count + 1,
                                    sizeof(char *))
                       : NULL;
    if (!more) {
        bs_free(text);
        return bs_fail_memory(err);
    }
    texts->texts = more;
    texts->texts[texts->count++] = text;
    return BS_OK;
}

/* The field that begins at the brace `at`; false where nothing closes it. */
static bool find_field(const char *at, struct field *field)
{
    field->begin = at + 1;
    field->end = strpbrk(field->begin, "{}");
    if (!field->end || *field->end != '}' || field->end == field->begin)
        return false;
    field->steps = memchr(field->begin, '|', (size_t)(field->end - field->begin));
    field->steps = field->steps ? field->steps : field->end;
    return true;
}

/* ---- checking ---- */

static enum bs_status check_steps(const struct field *field, struct bs_error *err)
{
    for (const char *at = field->steps, *next; at < field->end; at = next) {
        at++;
        next = memchr(at, '|', (size_t)(field->end - at));
        next = next ? next : field->end;
        if (!bs_text_step(at, (size_t)(next - at)))
            return bs_fail(err, BS_ECONFIG, "has the step '%.*s', which there is not",
                           (int)(next - at), at);
    }
    return BS_OK;
}

enum bs_status bs_template_check(const char *template, struct bs_error *err)
{
    for (const char *at = template; *at; at++) {
        struct field field;
        if (*at != '{' && *at != '}')
            continue;
        if (at[1] == *at) {
            at++;
            continue;
        }
        if (*at == '}' || !find_field(at, &field))
            return bs_fail(err, BS_ECONFIG,
                           "has a brace that does not belong to a field, expected {field} or {{ "
                           "or }}");
        if (field.steps - field.begin > MOST_PATH)
            return bs_fail(err, BS_ECONFIG, "has a field of more than %d bytes", MOST_PATH);
        if (check_steps(&field, err))
            return err->status;
        at = field.end;
    }
    return BS_OK;
}

/* ---- values ---- */

static json_t *value_at(json_t *from, const char *path);

/* The field called `name` of every element; NULL where one has none. */
static json_t *field_of_each(const json_t *from, const char *name)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < json_array_size(from); i++) {
        json_t *one = json_object_get(json_array_get(from, i), name);
        if (!one || json_array_append(list, one)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* The same of a list: a number is an element, any other name that field of every element. */
static json_t *value_in_list(const json_t *from, const char *name, const char *rest)
{
    size_t length = strlen(name);
    if (strspn(name, "0123456789") == length && length < 9)
        return value_at(json_array_get(from, strtoul(name, NULL, 10)), rest);
    json_t *each = field_of_each(from, name), *value = value_at(each, rest);
    json_decref(each);
    return value;
}

/* The value at `path`, with a reference of its own; NULL where there is none. */
static json_t *value_at(json_t *from, const char *path)
{
    size_t length = strcspn(path, ".");
    const char *rest = path[length] ? path + length + 1 : path + length;
    char name[MOST_PATH + 1];
    snprintf(name, sizeof name, "%.*s", (int)length, path);
    if (!*path || !from)
        return json_incref(from);
    if (json_is_array(from))
        return value_in_list(from, name, rest);
    json_t *whole = json_object_get(from, path); /* a name may hold dots itself */
    return whole ? json_incref(whole) : value_at(json_object_get(from, name), rest);
}

/* The value of the first path that the item has. BS_EDATA naming the last. */
static enum bs_status field_value(const struct field *field, const json_t *item, json_t **value,
                                  struct bs_error *err)
{
    char path[MOST_PATH + 1];
    for (const char *at = field->begin, *end; at < field->steps; at = end + (end < field->steps)) {
        end = memchr(at, ',', (size_t)(field->steps - at));
        end = end ? end : field->steps;
        at += strspn(at, " ");
        snprintf(path, sizeof path, "%.*s", (int)(end - at), at);
        *value = value_at((json_t *)(uintptr_t)item, path);
        if (*value)
            return BS_OK;
    }
    return bs_fail(err, BS_EDATA, "the field '%s' is missing", path);
}

/* A scalar as Python's str() prints it, but for truth values, which are small letters. */
static enum bs_status scalar_text(const struct field *field, const json_t *value, char **text,
                                  struct bs_error *err)
{
    char found[64];
    if (json_is_string(value)) {
        if (strlen(json_string_value(value)) != json_string_length(value))
            return bs_fail(err, BS_EDATA, "the field '%.*s' holds a zero byte",
                           (int)(field->steps - field->begin), field->begin);
        *text = bs_strdup(json_string_value(value));
    } else if (json_is_integer(value)) {
        *text = bs_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_boolean(value)) {
        *text = bs_strdup(json_is_true(value) ? "true" : "false");
    } else {
        bs_json_excerpt(value, found, sizeof found);
        return bs_fail(err, BS_EDATA, "the field '%.*s' is %s, expected a text or a whole number",
                       (int)(field->steps - field->begin), field->begin, found);
    }
    return *text ? BS_OK : bs_fail_memory(err);
}

/* A value as text, through the field's steps. */
static enum bs_status value_text(const struct field *field, const json_t *value, char **text,
                                 struct bs_error *err)
{
    if (scalar_text(field, value, text, err))
        return err->status;
    for (const char *at = field->steps, *next; at < field->end; at = next) {
        at++;
        next = memchr(at, '|', (size_t)(field->end - at));
        next = next ? next : field->end;
        if (bs_text_step_take(bs_text_step(at, (size_t)(next - at)), text, err)) {
            bs_free(*text);
            *text = NULL;
            return bs_fail_within(err, "the field '%.*s'", (int)(field->steps - field->begin),
                                  field->begin);
        }
    }
    return BS_OK;
}

/* ---- templates ---- */

static enum bs_status print_field(const struct field *field, const json_t *item, FILE *out,
                                  struct bs_error *err)
{
    json_t *value;
    char *text = NULL;
    if (field_value(field, item, &value, err))
        return err->status;
    enum bs_status status = value_text(field, value, &text, err);
    json_decref(value);
    if (!status)
        fputs(text, out);
    bs_free(text);
    return status;
}

enum bs_status bs_template_text(const char *template, const json_t *item, char **text,
                                struct bs_error *err)
{
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    enum bs_status status = out ? BS_OK : bs_fail_memory(err);
    *text = NULL;
    if (!out)
        return status;
    for (const char *at = template; *at && !status; at++) {
        struct field field;
        if ((*at == '{' || *at == '}') && at[1] == *at) {
            fputc(*at++, out);
        } else if (*at == '{' && find_field(at, &field)) {
            status = print_field(&field, item, out, err);
            at = field.end;
        } else {
            fputc(*at, out);
        }
    }
    *text = bs_print_end(&printing);
    if (!status && !*text)
        status = bs_fail_memory(err);
    if (status) {
        bs_free(*text);
        *text = NULL;
    }
    return status;
}

/* True for a template that is one field and nothing else. */
static bool is_field(const char *template, struct field *field)
{
    return *template == '{' && template[1] != '{' && find_field(template, field) && !field->end[1];
}

static enum bs_status add_template(const char *template, const json_t *item, struct bs_texts *texts,
                                   struct bs_error *err)
{
    struct field field;
    json_t *value = NULL;
    char *text = NULL;
    if (is_field(template, &field) && field_value(&field, item, &value, err))
        return err->status;
    if (!json_is_array(value)) {
        json_decref(value);
        return bs_template_text(template, item, &text, err) ? err->status
                                                            : add_text(texts, text, err);
    }
    enum bs_status status = BS_OK;
    for (size_t i = 0; i < json_array_size(value) && !status; i++) {
        status = value_text(&field, json_array_get(value, i), &text, err);
        if (!status)
            status = add_text(texts, text, err);
    }
    json_decref(value);
    return status;
}

enum bs_status bs_template_texts(const char *const *templates, const json_t *item,
                                 struct bs_texts *texts, struct bs_error *err)
{
    *texts = (struct bs_texts){0};
    for (int i = 0; templates[i]; i++)
        if (add_template(templates[i], item, texts, err)) {
            bs_texts_release(texts);
            return err->status;
        }
    return BS_OK;
}
