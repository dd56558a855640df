/* A task: how items become requests, as a record. Those that everybody measures are built in
 * (known_tasks.c), by the YAML of lm-evaluation-harness 0.4.13; anybody's own is the same record in
 * a YAML file. */
#ifndef BS_EVAL_TASKS_TASK_H
#define BS_EVAL_TASKS_TASK_H

#include <stdbool.h>
#include <stdio.h>

#include "eval/base/error.h"
#include "eval/base/option.h"
#include "eval/hub/hub.h"

/* What is asked of an item. */
enum bs_task_kind {
    BS_TASK_CHOICE,    /* one context, several continuations: which is the likeliest? */
    BS_TASK_LAST_WORD, /* one context, one continuation: is each of its tokens the likeliest? */
    BS_TASK_CLOZE,     /* several contexts, one continuation: after which is it the likeliest? */
};
extern const char *const bs_task_kind_names[]; /* NULL-terminated */

enum { BS_TASK_WORDS = 16 };

/* A task's record. Texts are templates (template.h) where it says so; NULL = none. */
struct bs_task {
    const char *name, *summary, *version;
    int kind; /* enum bs_task_kind */

    /* Where the items are, and those that shots are drawn from (none: the items themselves, the
     * one at hand left out). Files as a record's YAML has them, or on the hub. */
    const char *items, *shot_items;
    struct bs_remote remote, shot_remote; /* repository NULL = none */
    const char *columns[BS_TASK_WORDS];   /* of a CSV that does not name them */

    const char *description;                  /* template; in front of the shots */
    const char *context;                      /* template; of choice and last_word */
    const char *context_steps[BS_TASK_WORDS]; /* done to it as a whole */
    const char *choices[BS_TASK_WORDS];       /* templates; one whose field is a list is as many;
                                                  * of cloze the contexts */
    const char *choice_steps[BS_TASK_WORDS];
    const char *continuation; /* template; of last_word and cloze */
    const char *continuation_steps[BS_TASK_WORDS];
    const char *gold;                  /* template; of choice and cloze */
    const char *labels[BS_TASK_WORDS]; /* templates as choices; gold is one of them. None:
                                                  * gold is the choice's number, from 0, or
                                                  * of two choices false or true */
    const char *delimiter;             /* in front of an answer; of last_word in shots alone */
    const char *shot_delimiter;        /* after a shot */
    bool first_shots;                  /* the first ones of the item's group, else drawn */
    const char *id, *group;            /* templates */
};

/* What a key of a record's YAML is: a text, a list of texts (a text alone is a list of one), a word
 * of `words`, or true or false. */
enum bs_task_field_kind { BS_TASK_TEXT, BS_TASK_LIST, BS_TASK_WORD, BS_TASK_FLAG };
struct bs_task_field {
    const char *name, *help;
    enum bs_task_field_kind kind;
    size_t offset;
    bool is_template, is_steps; /* for checking: of a text or of each of a list */
};

/* The keys of a record, in the order of canonical text; ends with a NULL name. */
extern const struct bs_task_field bs_task_fields[];

/* A text field, NULL where it is not set; a list field. */
const char **bs_task_text(const struct bs_task *task, const struct bs_task_field *field);
const char **bs_task_list(const struct bs_task *task, const struct bs_task_field *field);

/* Checks templates and steps, and that the kind has what it needs and nothing else. BS_ECONFIG
 * "KEY ...", KEY being the field's name. */
enum bs_status bs_task_check(const struct bs_task *task, struct bs_error *err);

/* Every field that is set but for where the items are, "PREFIX.KEY: value" a line. */
void bs_task_print(const struct bs_task *task, const char *prefix, FILE *out);

/* The built-in ones; the last row's name is NULL. */
extern const struct bs_task bs_known_tasks[];

/* The row called `name`, or NULL. */
const struct bs_task *bs_known_task(const char *name);

#endif
