/* Items: what a task's record makes of a row of its file. */
#ifndef BS_EVAL_TASKS_ITEM_H
#define BS_EVAL_TASKS_ITEM_H

#include "eval/data/items.h"
#include "eval/data/random.h"
#include "eval/tasks/task.h"
#include "eval/tasks/template.h"

/* An item in words. */
struct bs_item {
    struct bs_texts contexts;       /* one; of cloze one a choice. Without description and shots */
    struct bs_texts answers;        /* one a choice, without the delimiter; else one */
    int choices;                    /* that there are */
    int gold;                       /* the right one; 0 where there is one answer */
    char *description, *id, *group; /* "" = none */
};

/* Makes row `i` an item. BS_EDATA "file:line: ..." where a field is missing or of the wrong kind,
 * gold is no choice, an answer is empty, or a choice has no other. On failure there is nothing to
 * release. */
enum bs_status bs_item_make(const struct bs_task *task, const struct bs_items *items, int i,
                            struct bs_item *item, struct bs_error *err);
void bs_item_release(struct bs_item *item);

/* Context and answer of choice k, borrowed. */
const char *bs_item_context(const struct bs_item *item, int k);
const char *bs_item_answer(const struct bs_item *item, int k);

/* The digest of all that makes the scores of two files comparable: the bytes of the items, how the
 * record makes requests of them and says which answer is right, and the bytes of the pool that
 * shots are drawn from (NULL = the items, or none). BS_ENOMEM. */
enum bs_status bs_task_take_digest(const struct bs_task *task, const struct bs_items *items,
                                   const struct bs_items *pool, struct bs_digest *digest,
                                   struct bs_error *err);

/* What stands in front of an answer that is asked for; in front of one that is shown in a shot. */
const char *bs_task_delimiter(const struct bs_task *task);
const char *bs_task_shot_delimiter(const struct bs_task *task);

/* Where shots come from: as lm-evaluation-harness draws them, one stream over the items that are
 * asked, in their order (api/samplers.py: Python's Random(1234).sample). */
struct bs_shots {
    const struct bs_task *task;
    const struct bs_items *pool;
    bool of_items; /* the pool is the items' own file: the item at hand is left out */
    int count;     /* of an item */
    struct bs_random random;
};

/* BS_ECONFIG where the pool has too few. */
enum bs_status bs_shots_begin(struct bs_shots *shots, const struct bs_task *task,
                              const struct bs_items *pool, bool of_items, int count,
                              struct bs_error *err);

/* The text of the shots of the next item, whose row and group these are, in new memory; "" where
 * there are none. */
enum bs_status bs_shots_take(struct bs_shots *shots, const json_t *row, const char *group,
                             char **text, struct bs_error *err);

#endif
