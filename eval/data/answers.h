/* Answers: what the items of a task offer, each with what a model makes of it. Kept for every trial
 * item by item, so that whatever is asked of them later needs no new run. */
#ifndef BS_EVAL_DATA_ANSWERS_H
#define BS_EVAL_DATA_ANSWERS_H

#include "eval/base/error.h"

/* An answer: a choice, a last word, or one context of a cloze with its continuation. */
struct bs_answer {
    int item;              /* place of its item among those that are asked, from 0 */
    int choice;            /* its place among the item's answers, from 0 */
    int gold;              /* 1: it is the right one, else 0 */
    int line;              /* of the item in its file, from 1 (of Parquet: the row) */
    const char *id;        /* of the item, as its file has it; "" = none */
    const char *group;     /* that the item belongs to, as a subject; "" = none */
    int tokens;            /* that are scored */
    int characters;        /* of the answer without the delimiter in front of it: code points */
    int bytes;             /* the same in UTF-8 */
    int greedy;            /* 1: each of its tokens is the model's likeliest (first of equals) */
    double log_likelihood; /* of its tokens after the context, summed; nats */
    double unconditional;  /* the same after the tokenizer's first token alone; NaN: not asked */
    double suffix;         /* mean a token after what all answers of the item begin with, context
                            * included (llama.cpp); NaN where they are one continuation */
};

/* All answers of a trial, those of an item together, items in the order of their file. */
struct bs_answers {
    int count, num_items;
    struct bs_answer *rows; /* [count]; owns their texts */
};

/* Adds a row with copies of its texts. BS_ENOMEM. */
enum bs_status bs_answers_add(struct bs_answers *answers, const struct bs_answer *row,
                              struct bs_error *err);

/* A copy that owns its texts. BS_ENOMEM, and then `to` is empty. */
enum bs_status bs_answers_copy(struct bs_answers *to, const struct bs_answers *from,
                               struct bs_error *err);

/* The answers of the item whose first row is `first`: how many. */
int bs_answers_of_item(const struct bs_answers *answers, int first);

/* Which group each item is in, of [num_items], from 0, and how many groups there are. BS_ENOMEM. */
enum bs_status bs_answers_groups(const struct bs_answers *answers, int *of, int *groups,
                                 struct bs_error *err);

/* Gives back what they own. */
void bs_answers_release(struct bs_answers *answers);

#endif
