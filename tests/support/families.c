#include "tests/support/families.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

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
    if (bs_model_open(directory, NULL, &model, &err))
        fail_msg("%s", err.message);
    return model;
}

static int integer(const json_t *row, const char *key)
{
    return (int)json_integer_value(json_object_get(row, key));
}

struct bs_windows family_windows(const json_t *row)
{
    enum { MOST = 2048 };
    struct bs_error err;
    struct bs_windows text = {.windows = 0};
    struct bs_evaluation_choice choice = {.protocol = BS_PROTOCOL_GPTQ,
                                          .tokens = integer(row, "tokens")};
    int32_t ids[MOST];
    size_t i, count = json_array_size(json_object_get(row, "ids"));
    const json_t *id;
    assert_true(count <= MOST);
    json_array_foreach(json_object_get(row, "ids"), i, id) ids[i] = (int32_t)json_integer_value(id);
    if (bs_windows_cut(&choice, ids, count, -1, &text, &err))
        fail_msg("%s", err.message);
    assert_int_equal(text.windows, integer(row, "windows"));
    return text;
}
