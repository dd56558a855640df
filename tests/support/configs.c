#include "tests/support/configs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "tests/support/folder.h"
#include "tests/support/recipes.h"

enum { LABEL_TEXT = 256 };

const char *const config_charts[] = {"perplexity_vs_bits", "pareto", "layer_error", NULL};

char config_path[80];

int config_setup(void **state)
{
    folder_setup(state);
    snprintf(config_path, sizeof config_path, "%s", folder_file(&folder, "sweep.yaml"));
    return 0;
}

int config_teardown(void **state) { return folder_teardown(state); }

void config_write(const char *text) { folder_write(&folder, "sweep.yaml", text, strlen(text)); }

enum bs_status config_load(const char *text, struct bs_config *config, struct bs_error *err)
{
    config_write(text);
    return bs_config_load(config_path, config_charts, config, err);
}

const char *const config_frame = "model: m\n"
                                 "evaluation: {perplexity: [{text: e.txt}]}\n"
                                 "calibration: {text: c.txt}\n";

void config_expect_labels(const char *sweep, const char *labels)
{
    char *text = bs_printf("%ssweep:\n%s", config_frame, sweep);
    struct bs_config config;
    struct bs_error err;
    if (config_load(text, &config, &err))
        fail_msg("%s", err.message);
    bs_free(text);
    char got[8192] = "", label[LABEL_TEXT];
    for (int i = 0; i < config.num_recipes; i++) {
        recipe_label(&config.recipes[i], label, sizeof label);
        size_t used = strlen(got);
        snprintf(got + used, sizeof got - used, "%s\n", label);
    }
    assert_memory_equal(got, "unquantized\n", 12);
    assert_string_equal(got + 12, labels);
    bs_config_release(&config);
}

void config_expect_errors(const char *text, const char *lines)
{
    struct bs_config config;
    struct bs_error err = {0};
    assert_int_equal(config_load(text, &config, &err), BS_ECONFIG);
    assert_int_equal(err.status, BS_ECONFIG);
    assert_null(config.recipes);
    assert_null(config.source);
    char got[sizeof err.message] = "";
    size_t used = 0;
    for (const char *line = err.message; *line;) {
        size_t length = strcspn(line, "\n");
        size_t skipped =
            !strncmp(line, config_path, strlen(config_path)) ? strlen(config_path) + 1 : 0;
        used += (size_t)snprintf(got + used, sizeof got - used, "%.*s\n", (int)(length - skipped),
                                 line + skipped);
        line += length + (line[length] == '\n');
    }
    assert_string_equal(got, lines);
}

void config_expect_sweep_errors(const char *sweep, const char *const *fragments)
{
    char *text = bs_printf("%ssweep:\n%s", config_frame, sweep);
    struct bs_config config;
    struct bs_error err = {0};
    assert_int_equal(config_load(text, &config, &err), BS_ECONFIG);
    bs_free(text);
    char *line = err.message;
    for (; *fragments; fragments++) {
        size_t length = strcspn(line, "\n");
        bool last = line[length] == '\0';
        line[length] = '\0';
        if (!strstr(line, *fragments))
            fail_msg("'%s' is not in '%s'", *fragments, line);
        line += length + !last;
    }
    assert_string_equal(line, "");
}
