#include "eval/tasks/item.h"

#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/tasks/text_steps.h"

enum { MOST_CHOICES = 256 };

const char *bs_task_delimiter(const struct bs_task *task)
{
    return task->delimiter ? task->delimiter : " ";
}

const char *bs_task_shot_delimiter(const struct bs_task *task)
{
    return task->shot_delimiter ? task->shot_delimiter : "\n\n";
}

const char *bs_item_context(const struct bs_item *item, int k)
{
    return item->contexts.texts[item->contexts.count > 1 ? k : 0];
}

const char *bs_item_answer(const struct bs_item *item, int k)
{
    return item->answers.texts[item->answers.count > 1 ? k : 0];
}

void bs_item_release(struct bs_item *item)
{
    bs_texts_release(&item->contexts);
    bs_texts_release(&item->answers);
    bs_free(item->description);
    bs_free(item->id);
    bs_free(item->group);
    *item = (struct bs_item){0};
}

/* Templates through their steps. */
static enum bs_status make_texts(const char *const *templates, const char *const *steps,
                                 const json_t *row, struct bs_texts *texts, struct bs_error *err)
{
    if (bs_template_texts(templates, row, texts, err))
        return err->status;
    for (int i = 0; i < texts->count; i++)
        if (bs_text_steps_take(steps, &texts->texts[i], err))
            return err->status;
    return BS_OK;
}

static enum bs_status make_text(const char *template, const char *const *steps, const json_t *row,
                                struct bs_texts *texts, struct bs_error *err)
{
    *texts = (struct bs_texts){.texts = bs_calloc(1, sizeof(char *))};
    if (!texts->texts || bs_template_text(template, row, &texts->texts[0], err))
        return texts->texts ? err->status : bs_fail_memory(err);
    texts->count = 1;
    return bs_text_steps_take(steps, &texts->texts[0], err);
}

static enum bs_status fail_gold(const char *gold, const struct bs_texts *labels, int choices,
                                struct bs_error *err)
{
    if (!labels->count)
        return bs_fail(err, BS_EDATA, "gold is '%.60s', expected a choice's number from 0 to %d",
                       gold, choices - 1);
    return bs_fail(err, BS_EDATA, "gold is '%.60s', expected one of the labels, '%.60s' to '%.60s'",
                   gold, labels->texts[0], labels->texts[labels->count - 1]);
}

/* Which choice is right. */
static enum bs_status find_gold(const struct bs_task *task, const json_t *row, struct bs_item *item,
                                struct bs_error *err)
{
    char *gold;
    struct bs_texts labels = {0};
    if (bs_template_text(task->gold, row, &gold, err))
        return err->status;
    enum bs_status status = bs_template_texts(task->labels, row, &labels, err);
    item->gold = -1;
    if (!status && !labels.count && *gold && strlen(gold) < 9 &&
        strspn(gold, "0123456789") == strlen(gold))
        item->gold = (int)strtol(gold, NULL, 10);
    if (!status && !labels.count && item->choices == 2)
        item->gold = !strcmp(gold, "false") ? 0 : !strcmp(gold, "true") ? 1 : item->gold;
    for (int i = labels.count - 1; i >= 0; i--)
        item->gold = !strcmp(labels.texts[i], gold) ? i : item->gold;
    if (!status && labels.count && labels.count != item->choices)
        status = bs_fail(err, BS_EDATA, "%d labels for %d choices", labels.count, item->choices);
    if (!status && (item->gold < 0 || item->gold >= item->choices))
        status = fail_gold(gold, &labels, item->choices, err);
    bs_texts_release(&labels);
    bs_free(gold);
    return status;
}

static enum bs_status check_answers(const struct bs_item *item, struct bs_error *err)
{
    for (int i = 0; i < item->answers.count; i++)
        if (!*item->answers.texts[i])
            return bs_fail(err, BS_EDATA, "answer %d is empty", i);
    return BS_OK;
}

static enum bs_status make_asked(const struct bs_task *task, const json_t *row,
                                 struct bs_item *item, struct bs_error *err)
{
    bool cloze = task->kind == BS_TASK_CLOZE, choice = task->kind == BS_TASK_CHOICE;
    enum bs_status status =
        cloze ? make_texts(task->choices, task->choice_steps, row, &item->contexts, err)
              : make_text(task->context, task->context_steps, row, &item->contexts, err);
    if (status)
        return status;
    status =
        choice ? make_texts(task->choices, task->choice_steps, row, &item->answers, err)
               : make_text(task->continuation, task->continuation_steps, row, &item->answers, err);
    if (status)
        return status;
    item->choices = cloze ? item->contexts.count : item->answers.count;
    if (cloze || choice) {
        if (item->choices < 2 || item->choices > MOST_CHOICES)
            return bs_fail(err, BS_EDATA, "%d choice%s, expected 2 to %d", item->choices,
                           item->choices == 1 ? "" : "s", MOST_CHOICES);
        if (find_gold(task, row, item, err))
            return err->status;
    }
    return check_answers(item, err);
}

/* A template that may not be there. */
static enum bs_status make_name(const char *template, const json_t *row, char **text,
                                struct bs_error *err)
{
    return bs_template_text(template ? template : "", row, text, err);
}

/* Tells of a field that a template asks for in vain why the file's rows go without it. */
static void explain_left_out(const struct bs_items *items, struct bs_error *err)
{
    const char *name;
    json_t *why;
    json_object_foreach(items->left_out, name, why)
    {
        size_t length = strlen(name);
        const char *at = strstr(err->message, "the field '");
        at = at ? at + strlen("the field '") : "";
        if (!strncmp(at, name, length) && (at[length] == '\'' || at[length] == '.')) {
            bs_fail_within(err, "the column '%s' is left out (%s)", name, json_string_value(why));
            return;
        }
    }
}

enum bs_status bs_item_make(const struct bs_task *task, const struct bs_items *items, int i,
                            struct bs_item *item, struct bs_error *err)
{
    const json_t *row = items->rows[i];
    *item = (struct bs_item){0};
    enum bs_status status = make_asked(task, row, item, err);
    if (!status)
        status = make_name(task->description, row, &item->description, err);
    if (!status)
        status = make_name(task->id, row, &item->id, err);
    if (!status)
        status = make_name(task->group, row, &item->group, err);
    if (status)
        bs_item_release(item);
    if (status == BS_EDATA)
        explain_left_out(items, err);
    if (status && status != BS_ENOMEM)
        bs_fail_within(err, "%s:%d", items->path, items->lines[i]);
    return status;
}

enum bs_status bs_task_take_digest(const struct bs_task *task, const struct bs_items *items,
                                   const struct bs_items *pool, struct bs_digest *digest,
                                   struct bs_error *err)
{
    struct bs_print printing;
    if (!bs_print_begin(&printing))
        return bs_fail_memory(err);
    fprintf(printing.out, "items: %s\n", items->digest.hex);
    if (pool)
        fprintf(printing.out, "shot_items: %s\n", pool->digest.hex);
    bs_task_print(task, "task", printing.out);
    char *text = bs_print_end(&printing);
    if (!text)
        return bs_fail_memory(err);
    *digest = bs_digest_of(text, strlen(text));
    bs_free(text);
    return BS_OK;
}
