/* Evaluations: what is asked of a model, and what is made of the answers. An evaluation makes
 * requests, rows of ids with spans to score; the walk takes the figures it asks for at every
 * predicted token of a span; the evaluation summarises them as values. */
#ifndef BS_EVAL_TASKS_EVALUATION_H
#define BS_EVAL_TASKS_EVALUATION_H

#include "eval/base/plugin.h"
#include "eval/data/windows.h"
#include "eval/tasks/figure.h"
#include "eval/tasks/requests.h"
#include "eval/tasks/task.h"
#include "eval/tasks/value.h"

/* What an evaluation is of: what an entry of the config names. */
enum bs_subject { BS_OF_TEXT, BS_OF_TASK };

/* What requests are made from: the part of an entry of the config that every evaluation of its kind
 * has, and what they need to know of the model. */
struct bs_evaluation_source {
    struct bs_text_choice text; /* of a text */
    int tokens;                 /* of a window, or the most of one; of a task the model's positions
                                 * where it says no less */
    int windows;                /* of a task: items; 0 = all that there are */
    enum bs_pick pick;
    const struct bs_task *task;     /* of a task */
    const char *items, *shot_items; /* files in the place of the record's; NULL = those */
    enum bs_apart apart; /* requests: the model's positions depend on a row's length; items: a
                          * recipe shares a scale over a window */
};

/* What the walk took of one trial. */
struct bs_scores {
    const struct bs_windows *requests;
    const struct bs_figures *figures;   /* those that the evaluation asks for */
    const struct bs_figures *reference; /* the unquantized model's, NULL where this is that */
};

/* How a trial is measured, for captions and for what may stand in one table. */
struct bs_protocol_used {
    char name[24]; /* "sliding", "5-shot" */
    int stride;    /* tokens from the start of a window to that of the next; 0 = there is no such */
};

/* An evaluation: what it asks for, and how it summarises what was scored. */
struct bs_evaluation {
    struct bs_plugin plugin; /* options: an entry's own, beside those of its text or task */
    enum bs_subject subject;
    unsigned figures; /* bits 1 << enum bs_figure; BS_NLL is one, by which trials are compared */
    const struct bs_value_type *values; /* ends with a NULL name */

    /* Settles options that follow from others, and checks them. BS_ECONFIG: "NAME is ..., expected
     * ...", NAME being the option's. NULL: nothing to do. */
    enum bs_status (*settle)(void *options, int tokens, struct bs_error *err);

    /* NULL: the plug-in's name, windows side by side. */
    struct bs_protocol_used (*protocol)(const void *options, int tokens);

    /* Fills `out`, spans and digests included; on failure there is nothing to release. Ids must be
     * below vocab_size. */
    enum bs_status (*request)(const void *options, const struct bs_evaluation_source *source,
                              const struct bs_tokenizer *tokenizer, int vocab_size,
                              struct bs_windows *out, struct bs_error *err);

    /* At most one of each of the evaluation's types to `out`, *count of them; those that compare
     * with the unquantized model only where there is a reference. BS_ENOMEM. */
    enum bs_status (*summarise)(const void *options, const struct bs_scores *scores,
                                struct bs_measured *out, int *count, struct bs_error *err);

    /* Fills `answers`, which are kept in the place of the figures: what the model makes of each
     * answer of each item. NULL: the evaluation has no items, and figures are kept. BS_ENOMEM. */
    enum bs_status (*answer)(const struct bs_scores *scores, struct bs_answers *answers,
                             struct bs_error *err);
};

/* All evaluations. */
extern const struct bs_registry bs_evaluation_registry;

/* The evaluation that a choice is of. */
const struct bs_evaluation *bs_evaluation_of(const struct bs_choice *choice);

/* Whether what is stored of the evaluation called so are answers, in the place of figures. */
bool bs_evaluation_has_answers(const char *name);

/* How the evaluation cuts a text into windows of so many tokens. */
struct bs_protocol_used bs_evaluation_protocol(const struct bs_choice *choice, int tokens);

#endif
