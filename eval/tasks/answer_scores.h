/* How answers are compared: the conventions by which a choice is taken, and which items are right.
 * */
#ifndef BS_EVAL_TASKS_ANSWER_SCORES_H
#define BS_EVAL_TASKS_ANSWER_SCORES_H

#include <stdbool.h>
#include <stdint.h>

#include "eval/data/answers.h"

/* What the log-likelihood of an answer is divided by, or freed from. */
enum bs_convention {
    BS_ACC,             /* nothing */
    BS_ACC_NORM,        /* characters of the answer, as lm-eval's acc_norm */
    BS_ACC_BYTES,       /* its bytes, as lm-eval's acc_bytes */
    BS_ACC_TOKENS,      /* its tokens */
    BS_ACC_MUTUAL_INFO, /* less what it has without its context, as lm-eval's acc_mutual_info */
    BS_ACC_SUFFIX,      /* the mean after what all answers begin with, as llama.cpp's tools */
    BS_NUM_CONVENTIONS
};

/* What each is called, as the value of a trial is: "acc_norm". */
extern const char *const bs_convention_names[BS_NUM_CONVENTIONS];

/* What exp(-mean log-likelihood) of last words is called. */
extern const char bs_target_perplexity[];

/* What is compared; NaN where it was not measured. */
double bs_answer_score(const struct bs_answer *answer, enum bs_convention convention);

/* The choice that the model takes of an item, whose answers are rows [count]: the first with the
 * highest score; -1 where one of them was not measured. */
int bs_answers_take(const struct bs_answer *rows, int count, enum bs_convention convention);

/* right [num_items] = 1 where the item's right answer is taken, else 0; of an item with one answer
 * (a last word) where that is greedy. False where the convention was not measured, or tells nothing
 * apart: of last words and cloze, whose answers are one continuation (their `suffix` is NaN), all
 * but BS_ACC. */
bool bs_answers_right(const struct bs_answers *answers, enum bs_convention convention,
                      uint8_t *right);

#endif
