#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/config/describe.h"
#include "eval/config/registries.h"
#include "eval/data/corpus.h"
#include "eval/data/protocol.h"
#include "eval/export/writer.h"

/* What a description prints, in memory of malloc. */
static char *described(const char *name, bool markdown)
{
    char *text = NULL;
    size_t size = 0;
    struct bs_error err;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    if (name)
        assert_int_equal(bs_describe_one(name, out, markdown, &err), BS_OK);
    else
        assert_int_equal(bs_describe_all(out, markdown, &err), BS_OK);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void assert_holds(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is missing in: %s", part, text);
}

/* Alone, and in the Markdown of everything: summary, reference and each option with what is
 * allowed. */
static void check_plugin(const struct bs_plugin *plugin, const char *markdown)
{
    assert_holds(markdown, plugin->summary);
    assert_holds(markdown, plugin->reference);
    for (int m = 0; m < 2; m++) {
        char *one = described(plugin->name, m == 1);
        assert_holds(one, plugin->summary);
        assert_holds(one, plugin->reference);
        for (const struct bs_option *o = plugin->options; o && o->name; o++) {
            char allowed[320];
            bs_option_print_allowed(o, allowed, sizeof allowed);
            assert_holds(one, o->name);
            assert_holds(one, allowed);
            assert_holds(markdown, o->name);
        }
        free(one);
    }
}

static void test_plugins(void **state)
{
    (void)state;
    char *all = described(NULL, false), *markdown = described(NULL, true);
    assert_null(strstr(all, "\n\n\n")); /* no two blank lines */
    assert_null(strstr(markdown, "\n\n\n"));
    assert_non_null(bs_registries[0]);
    for (int r = 0; bs_registries[r]; r++) {
        const struct bs_registry *registry = bs_registries[r];
        char *kind = described(registry->kind, false),
             *kind_markdown = described(registry->kind, true);
        assert_holds(all, registry->summary);
        assert_holds(markdown, registry->summary);
        for (int i = 0; registry->rows[i]; i++) {
            assert_holds(all, registry->rows[i]->name);
            assert_holds(kind, registry->rows[i]->summary);
            check_plugin(registry->rows[i], kind_markdown);
            check_plugin(registry->rows[i], markdown);
        }
        free(kind);
        free(kind_markdown);
    }
    free(all);
    free(markdown);
}

static void test_sections(void **state)
{
    (void)state;
    char *all = described(NULL, false), *markdown = described(NULL, true);
    static const char *const sections[] = {"config",      "model",       "sweep",       "weights",
                                           "activations", "calibration", "layer_error", "expected",
                                           "models",      "protocols",   "texts"};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        char *one = described(sections[i], false);
        assert_holds(all, one); /* the whole is made of its parts */
        free(one);
    }
    for (const struct bs_corpus *corpus = bs_corpora; corpus->name; corpus++)
        assert_holds(markdown, corpus->summary);
    for (int p = 0; p < BS_NUM_PROTOCOLS; p++)
        assert_holds(markdown, bs_protocols[p].summary);
    free(all);
    free(markdown);
}

static int times(const char *text, const char *wanted)
{
    int count = 0;
    for (; (text = strstr(text, wanted)); text += strlen(wanted))
        count++;
    return count;
}

/* Who asks for a plug-in is told of it. Only a writer shares its name, with what it is called
 * after; then each is told of once, and the head says which it is. */
static void test_every_plugin_is_told_of_by_its_name(void **state)
{
    (void)state;
    for (int r = 0; bs_registries[r]; r++)
        for (int i = 0; bs_registries[r]->rows[i]; i++) {
            const struct bs_plugin *plugin = bs_registries[r]->rows[i];
            char head[256], kind[96], *one = described(plugin->name, false);
            bool shared = bs_registry_find(&bs_writer_registry, plugin->name);
            snprintf(kind, sizeof kind, " (%s)", bs_registries[r]->kind);
            shared = shared && strstr(one, kind);
            snprintf(head, sizeof head, "%s%s: %.20s", plugin->name, shared ? kind : "",
                     plugin->summary);
            if (times(one, head) != 1 || (!shared && strstr(one, head) != one))
                fail_msg("%s, expected '%s' once: %s", plugin->name, head, one);
            snprintf(head, sizeof head, "\n%s: ", plugin->name);
            if (strstr(one, head))
                fail_msg("%s is more than one thing: %s", plugin->name, one);
            free(one);
        }
}

/* Both that are called gptq. */
static void test_a_shared_name(void **state)
{
    (void)state;
    char *one = described("gptq", false);
    assert_ptr_equal(strstr(one, "gptq (algorithm): "), one);
    assert_holds(one, "\ngptq (writer): ");
    free(one);
}

static void test_unknown(void **state)
{
    (void)state;
    struct bs_error err;
    assert_int_equal(bs_describe_one("gtpq", stderr, false, &err), BS_ECONFIG);
    assert_holds(err.message, "'gtpq' is nothing to describe, expected algorithm, rtn, gptq, ");
    for (int r = 0; bs_registries[r]; r++)
        assert_holds(err.message, bs_registries[r]->kind);
    assert_holds(
        err.message,
        " layer_error, channels, chart, expected, export, models, protocols, texts, known_tasks, "
        "task_record or text_steps (did you mean 'gptq'?)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plugins),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_every_plugin_is_told_of_by_its_name),
        cmocka_unit_test(test_a_shared_name),
        cmocka_unit_test(test_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
