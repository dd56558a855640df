#include "eval/config/yaml_set.h"

#include <libfyaml.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/config/yaml.h"

static const struct fy_parse_cfg parsing = {
    .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_RESOLVE_DOCUMENT | FYPCF_JSON_NONE |
             FYPCF_DEFAULT_VERSION_1_2 | FYPCF_DISABLE_MMAP_OPT};

/* True where a comma parts the value outside brackets and quotes. */
static bool has_several(const char *value)
{
    int depth = 0;
    char quote = 0;
    for (; *value; value++) {
        if (quote)
            quote = *value == quote ? 0 : quote;
        else if (*value == '"' || *value == '\'')
            quote = *value;
        else if (strchr("[{", *value))
            depth++;
        else if (strchr("]}", *value))
            depth--;
        else if (*value == ',' && !depth)
            return true;
    }
    return false;
}

/* The text as a node of the document, which goes on reading it; NULL when memory runs out. */
static struct fy_node *make_value(struct fy_document *document, const char *text)
{
    struct fy_document *own = fy_document_build_from_string(&parsing, text, strlen(text));
    struct fy_node *root = own ? fy_document_root(own) : NULL;
    struct fy_node *node = root ? fy_node_copy(document, root) : NULL;
    if (own)
        fy_document_destroy(own);
    return node;
}

static enum bs_status fail_kind(const struct bs_yaml_setting *setting, const char *key,
                                size_t length, struct bs_error *err)
{
    return bs_fail(err, BS_ECONFIG,
                   "--set '%.100s': expected a mapping to hold '%.*s', and there is none",
                   setting->given, (int)length, key);
}

/* Sets or adds `key` of a mapping; takes the value. */
static enum bs_status put(struct fy_document *document, struct fy_node *mapping, const char *key,
                          size_t length, struct fy_node *value, struct bs_error *err)
{
    struct fy_node_pair *pair = fy_node_mapping_lookup_pair_by_string(mapping, key, length);
    int failed;
    if (pair) {
        failed = fy_node_pair_set_value(pair, value);
    } else {
        struct fy_node *name = fy_node_create_scalar_copy(document, key, length);
        failed = name ? fy_node_mapping_append(mapping, name, value) : -1;
    }
    return failed ? bs_fail_memory(err) : BS_OK;
}

/* Goes from `node` along the rest of the path. */
static enum bs_status set_below(struct fy_document *document, struct fy_node *node,
                                const struct bs_yaml_setting *setting, const char *path,
                                const char *text, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    void *at = NULL;
    if (fy_node_is_sequence(node)) {
        for (struct fy_node *item; !status && (item = fy_node_sequence_iterate(node, &at));)
            status = set_below(document, item, setting, path, text, err);
        return status;
    }
    size_t length = strcspn(path, ".");
    if (!fy_node_is_mapping(node))
        return fail_kind(setting, path, length, err);
    if (!path[length]) {
        struct fy_node *value = make_value(document, text);
        return value ? put(document, node, path, length, value, err) : bs_fail_memory(err);
    }
    struct fy_node *next = fy_node_mapping_lookup_by_string(node, path, length);
    if (!next) {
        next = fy_node_create_mapping(document);
        if (!next)
            return bs_fail_memory(err);
        status = put(document, node, path, length, next, err);
    }
    return status ? status : set_below(document, next, setting, path + length + 1, text, err);
}

/* The value as YAML, in new memory. */
static enum bs_status read_value(const struct bs_yaml_setting *setting, char **text,
                                 struct bs_error *err)
{
    const char *value = setting->value;
    struct bs_yaml *yaml = NULL;
    *text = has_several(value) ? bs_printf("[%s]", value) : bs_strdup(value);
    char *name = bs_printf("--set '%.100s'", setting->given);
    enum bs_status status = *text && name ? BS_OK : bs_fail_memory(err);
    if (!status)
        status = bs_yaml_parse(name, *text, strlen(*text), &yaml, err);
    bs_yaml_free(yaml);
    bs_free(name);
    return status;
}

/* The document with the settings in it as a text, in new memory. `texts` [count] are the values as
 * YAML. */
static enum bs_status set_all(struct fy_document *document, const struct bs_yaml_setting *settings,
                              char *const *texts, int count, char **set, struct bs_error *err)
{
    struct fy_node *root = fy_document_root(document);
    for (int i = 0; i < count; i++)
        if (set_below(document, root, &settings[i], settings[i].path, texts[i], err))
            return err->status;
    char *emitted = fy_emit_document_to_string(document, FYECF_MODE_ORIGINAL | FYECF_INDENT_2 |
                                                             FYECF_WIDTH_INF);
    *set = emitted ? bs_strdup(emitted) : NULL;
    free(emitted);
    return *set ? BS_OK : bs_fail_memory(err);
}

enum bs_status bs_yaml_set(const char *text, const struct bs_yaml_setting *settings, int count,
                           char **set, struct bs_error *err)
{
    struct fy_document *document = fy_document_build_from_string(&parsing, text, strlen(text));
    char **texts = bs_calloc((size_t)count, sizeof *texts);
    enum bs_status status = document && texts ? BS_OK : bs_fail_memory(err);
    *set = NULL;
    for (int i = 0; i < count && !status; i++) {
        status = read_value(&settings[i], &texts[i], err);
    }
    if (!status)
        status = set_all(document, settings, texts, count, set, err);
    if (document)
        fy_document_destroy(document);
    for (int i = 0; i < count && texts; i++)
        bs_free(texts[i]);
    bs_free(texts);
    return status;
}
