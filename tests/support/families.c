#include "tests/support/families.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "eval/base/mem.h"

json_t *families_load(void)
{
    json_t *file = json_load_file(FAMILIES "families.json", 0, NULL);
    json_t *rows = json_incref(json_object_get(file, "families"));
    json_decref(file);
    return rows;
}

struct bs_model *family_open(const json_t *row)
{
    struct bs_error err;
    struct bs_model *model;
    char directory[256];
    snprintf(directory, sizeof directory, FAMILIES "%s",
             json_string_value(json_object_get(row, "name")));
    if (bs_model_open(directory, &model, &err))
        fail_msg("%s", err.message);
    return model;
}

static int integer(const json_t *row, const char *key)
{
    return (int)json_integer_value(json_object_get(row, key));
}

struct bs_windows family_windows(const json_t *row)
{
    struct bs_windows text = {.windows = integer(row, "windows"), .tokens = integer(row, "tokens")};
    size_t i;
    const json_t *id, *ids = json_object_get(row, "ids");
    text.text_tokens = (size_t)(text.windows * text.tokens);
    assert_true(text.text_tokens > 0 && json_array_size(ids) == text.text_tokens);
    text.ids = bs_alloc(text.text_tokens, sizeof *text.ids);
    assert_non_null(text.ids);
    json_array_foreach(ids, i, id) text.ids[i] = (int32_t)json_integer_value(id);
    return text;
}
