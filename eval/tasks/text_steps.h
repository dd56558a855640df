/* Steps that a task does to a text, each by a name: what the code of lm-evaluation-harness does in
 * Python. */
#ifndef BS_EVAL_TASKS_TEXT_STEPS_H
#define BS_EVAL_TASKS_TEXT_STEPS_H

#include <stddef.h>

#include "eval/base/error.h"

/* A step: its name, what it makes of a text, in words, and that in new memory; NULL where memory
 * has run out, or with *why set where the text does not suit it. Texts are valid UTF-8. */
struct bs_text_step {
    const char *name, *summary;
    char *(*make)(const char *text, const char **why);
};

/* All steps; the last row's name is NULL. */
extern const struct bs_text_step bs_text_steps[];

/* The row whose name is the `length` bytes at `name`, or NULL. */
const struct bs_text_step *bs_text_step(const char *name, size_t length);

/* Replaces *text, which is in memory of its own, by what the step makes of it. BS_EDATA "why";
 * BS_ENOMEM. */
enum bs_status bs_text_step_take(const struct bs_text_step *step, char **text,
                                 struct bs_error *err);

/* Replaces it by what the steps called `names` (NULL-terminated, all known) make of it. */
enum bs_status bs_text_steps_take(const char *const *names, char **text, struct bs_error *err);

#endif
