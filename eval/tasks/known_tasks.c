/* The tasks that everybody measures, by the YAML of lm-evaluation-harness 0.4.13. Fields are those
 * of the hub's files; where the authors' own files have others, those come second. */
#include "eval/tasks/task.h"

#define HUB(repo, file)                                                                            \
    {                                                                                              \
        .kind = BS_REPO_DATASET, .repository = repo, .path = file                                  \
    }
#define PARQUET "-00000-of-00001.parquet"

/* Both difficulties of ARC: choices are two lists on the hub, a list of objects in the original. */
#define ARC(folder)                                                                                \
    .summary = "questions of science at school, " folder, .version = "1.0",                        \
    .kind = BS_TASK_CHOICE, .remote = HUB("allenai/ai2_arc", folder "/test" PARQUET),              \
    .shot_remote = HUB("allenai/ai2_arc", folder "/train" PARQUET),                                \
    .context = "Question: {question.stem, question}\nAnswer:",                                     \
    .choices = {"{choices.text, question.choices.text}"}, .gold = "{answerKey}",                   \
    .labels = {"{choices.label, question.choices.label}"}, .id = "{id}"

#define LAMBADA                                                                                    \
    .version = "1.0", .kind = BS_TASK_LAST_WORD, .context = "{text|but_last_word}",                \
    .continuation = " {text|last_word}"

const struct bs_task bs_known_tasks[] = {
    {.name = "hellaswag",
     .summary = "how a described scene goes on",
     .version = "1.0",
     .kind = BS_TASK_CHOICE,
     .remote = HUB("Rowan/hellaswag", "data/validation" PARQUET),
     .shot_remote = HUB("Rowan/hellaswag", "data/train" PARQUET),
     .context = "{activity_label}: {ctx_a} {ctx_b|capitalize}",
     .context_steps = {"hellaswag"},
     .choices = {"{endings}"},
     .choice_steps = {"hellaswag"},
     .gold = "{label}",
     .id = "{ind}"},
    {.name = "piqa",
     .summary = "which of two ways reaches a goal",
     .version = "1.0",
     .kind = BS_TASK_CHOICE,
     .remote = HUB("baber/piqa", "piqa_validation.parquet"),
     .shot_remote = HUB("baber/piqa", "piqa_train.parquet"),
     .context = "Question: {goal}\nAnswer:",
     .choices = {"{sol1}", "{sol2}"},
     .gold = "{label}"},
    {.name = "arc_easy", ARC("ARC-Easy")},
    {.name = "arc_challenge", ARC("ARC-Challenge")},
    {.name = "winogrande",
     .summary = "whom or what a blank stands for",
     .version = "1.0",
     .kind = BS_TASK_CLOZE,
     .remote = HUB("allenai/winogrande", "winogrande_xl/validation" PARQUET),
     .shot_remote = HUB("allenai/winogrande", "winogrande_xl/train" PARQUET),
     .choices = {"{sentence|before_blank}{option1}", "{sentence|before_blank}{option2}"},
     .continuation = "{sentence|after_blank|strip}",
     .gold = "{answer}",
     .labels = {"1", "2"}},
    {.name = "boolq",
     .summary = "yes or no, of a passage",
     .version = "2.0",
     .kind = BS_TASK_CHOICE,
     .remote = HUB("aps/super_glue", "boolq/validation" PARQUET),
     .shot_remote = HUB("aps/super_glue", "boolq/train" PARQUET),
     .context = "{passage}\nQuestion: {question}?\nAnswer:",
     .choices = {"no", "yes"},
     .gold = "{label}"},
    {.name = "openbookqa",
     .summary = "questions whose answer takes a fact and common knowledge",
     .version = "1.0",
     .kind = BS_TASK_CHOICE,
     .remote = HUB("allenai/openbookqa", "main/test" PARQUET),
     .shot_remote = HUB("allenai/openbookqa", "main/train" PARQUET),
     .context = "{question_stem, question.stem}",
     .choices = {"{choices.text, question.choices.text}"},
     .gold = "{answerKey|strip}",
     .labels = {"{choices.label, question.choices.label}"},
     .id = "{id}"},
    {.name = "lambada_openai",
     .summary = "the last word of a passage, in OpenAI's form of the text",
     .remote = HUB("EleutherAI/lambada_openai", "data/lambada_test.jsonl"),
     LAMBADA},
    {.name = "lambada_standard",
     .summary = "the last word of a passage, in the authors' form of the text",
     .remote = HUB("cimec/lambada", "plain_text/test" PARQUET),
     .shot_remote = HUB("cimec/lambada", "plain_text/validation" PARQUET),
     LAMBADA},
    {.name = "mmlu",
     .summary = "questions of 57 subjects",
     .version = "2",
     .kind = BS_TASK_CHOICE,
     .remote = HUB("cais/mmlu", "all/test" PARQUET),
     .shot_remote = HUB("cais/mmlu", "all/dev" PARQUET),
     .description = "The following are multiple choice questions (with answers) about "
                    "{subject|words}.\n\n",
     .context = "{question|strip}\nA. {choices.0}\nB. {choices.1}\nC. {choices.2}\nD. "
                "{choices.3}\nAnswer:",
     .choices = {"A", "B", "C", "D"},
     .gold = "{answer}",
     .first_shots = true,
     .group = "{subject}"},
    {.name = "endings",
     .summary = "the embedded items: how a sentence goes on",
     .version = "1",
     .kind = BS_TASK_CHOICE,
     .context = "{context}",
     .choices = {"{endings}"},
     .choice_steps = {"strip"},
     .gold = "{label}"},
    {.name = "lastword",
     .summary = "the embedded items: the last word of a few sentences",
     .version = "1",
     .kind = BS_TASK_LAST_WORD,
     .context = "{context}",
     .continuation = "{target}"},
    {.name = NULL},
};
