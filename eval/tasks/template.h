/* Templates: text with the fields of an item in it.
 *
 *   Question: {question}\nAnswer:       a field of the item
 *   {question.stem}                     of a field; of a list a number, or that of each
 *   {question.stem, question}           the first of them that the item has
 *   {ctx_b|capitalize}                  through a step (text_steps.h), or several
 *   {{ and }}                           braces
 */
#ifndef BS_EVAL_TASKS_TEMPLATE_H
#define BS_EVAL_TASKS_TEMPLATE_H

#include <jansson.h>

#include "eval/base/error.h"

/* Texts in memory of their own. */
struct bs_texts {
    int count;
    char **texts;
};
void bs_texts_release(struct bs_texts *texts);

/* BS_ECONFIG where the template is not well formed, or names a step that there is not. */
enum bs_status bs_template_check(const char *template, struct bs_error *err);

/* What the template becomes of an item, in new memory. BS_EDATA naming the field that is missing or
 * no text, number or truth value; BS_ENOMEM. */
enum bs_status bs_template_text(const char *template, const json_t *item, char **text,
                                struct bs_error *err);

/* What templates (NULL-terminated) become: a text each, but one that is a single field whose value
 * is a list becomes as many texts. As bs_template_text. */
enum bs_status bs_template_texts(const char *const *templates, const json_t *item,
                                 struct bs_texts *texts, struct bs_error *err);

#endif
