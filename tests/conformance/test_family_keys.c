/* Keys of config.json that a family does not read, tried on every model of tests/golden/families in
 * every form: notes, and what belongs to training, storage or generation, are accepted; what can
 * only mean other arithmetic is refused by name, but not where it is null. The keys are those of
 * keys.json, collected by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/model/families.h"
#include "tests/support/families.h"
#include "tests/support/folder.h"

enum { FEWEST = 40 }; /* keys of either kind that a model must have been tried with */

static json_t *rows, *keys;

/* The object that the language model is read from: a multimodal config has it inside. */
static json_t *language_model(json_t *config)
{
    json_t *text = json_object_get(config, "text_config");
    return text ? text : config;
}

/* Whether the config has a word of its own on this key, or could have. */
static bool is_there(json_t *config, const char *key)
{
    json_t *text = language_model(config);
    const char *type = json_string_value(json_object_get(text, "model_type"));
    const struct bs_family *family = type ? bs_family_find(type) : NULL;
    const struct bs_config_key_name *read = family ? family->config->keys : NULL;
    for (; read && read->name; read++)
        if (!strcmp(read->name, key) && read->key == BS_KEY_NUM_EXPERTS)
            return true;
    return json_object_get(config, key) || json_object_get(text, key);
}

static enum bs_status read_config(const json_t *config, struct bs_error *err)
{
    struct bs_architecture architecture;
    assert_int_equal(json_dump_file(config, folder_file(&folder, "config.json"), 0), 0);
    return bs_architecture_read(folder.path, NULL, &architecture, NULL, err);
}

static enum bs_status read_with(const json_t *config, const char *key, json_t *value,
                                struct bs_error *err)
{
    json_t *changed = json_deep_copy(config);
    assert_non_null(changed);
    assert_int_equal(json_object_set(language_model(changed), key, value), 0);
    enum bs_status status = read_config(changed, err);
    json_decref(changed);
    return status;
}

static bool is_accepted(const char *label, const json_t *config, const char *key, json_t *value)
{
    struct bs_error err;
    if (!read_with(config, key, value, &err))
        return true;
    printf("%-24s %s\n", label, err.message);
    return false;
}

static bool is_refused(const char *label, const json_t *config, const char *key, json_t *value)
{
    struct bs_error err;
    if (!read_with(config, key, value, &err)) {
        printf("%-24s accepted with %s\n", label, key);
        return false;
    }
    if (err.status == BS_EUNSUPPORTED && strstr(err.message, "config.json") &&
        strstr(err.message, key))
        return true;
    printf("%-24s no word of %s: %s\n", label, key, err.message);
    return false;
}

static bool is_ignored_as_null(const char *label, const json_t *config, const char *key,
                               json_t *value)
{
    (void)value;
    return is_accepted(label, config, key, json_null());
}

/* The keys of one kind, each alone, added to one config.json. Returns how many were judged
 * wrong. */
static int try_config(const char *kind,
                      bool is_right(const char *, const json_t *, const char *, json_t *),
                      const char *name, const char *form)
{
    char path[256], label[128];
    const char *key;
    json_t *value;
    int tried = 0, wrong = 0;
    snprintf(label, sizeof label, "%s%s", name, form);
    snprintf(path, sizeof path, FAMILIES "%s/config.json", label);
    json_t *config = json_load_file(path, 0, NULL);
    assert_non_null(config);
    json_object_foreach(json_object_get(keys, kind), key, value)
    {
        if (is_there(config, key))
            continue;
        wrong += !is_right(label, config, key, value);
        tried++;
    }
    json_decref(config);
    assert_true(tried >= FEWEST);
    return wrong;
}

static void try_all(const char *kind,
                    bool is_right(const char *, const json_t *, const char *, json_t *))
{
    const json_t *row, *form;
    size_t i, j;
    int wrong = 0;
    json_array_foreach(rows, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));
        wrong += try_config(kind, is_right, name, "");
        json_array_foreach(json_object_get(row, "forms"), j, form)
        {
            char folder_of_form[64];
            snprintf(folder_of_form, sizeof folder_of_form, "/%s", json_string_value(form));
            wrong += try_config(kind, is_right, name, folder_of_form);
        }
    }
    assert_int_equal(wrong, 0);
}

static void notes_are_accepted(void **state)
{
    (void)state;
    try_all("harmless", is_accepted);
}

static void unknown_arithmetic_is_refused_by_name(void **state)
{
    (void)state;
    try_all("arithmetic", is_refused);
}

static void unknown_arithmetic_that_is_null_is_accepted(void **state)
{
    (void)state;
    try_all("arithmetic", is_ignored_as_null);
}

static int open_golden(void **state)
{
    folder_setup(state);
    rows = families_load();
    keys = json_load_file(FAMILIES "keys.json", 0, NULL);
    return rows && keys ? 0 : -1;
}

static int close_golden(void **state)
{
    json_decref(rows);
    json_decref(keys);
    return folder_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notes_are_accepted),
        cmocka_unit_test(unknown_arithmetic_is_refused_by_name),
        cmocka_unit_test(unknown_arithmetic_that_is_null_is_accepted),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
