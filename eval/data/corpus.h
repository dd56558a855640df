/* The texts that quantization papers measure on, as the papers' codes prepare them; and what a
 * config's `text:` names. */
#ifndef BS_EVAL_DATA_CORPUS_H
#define BS_EVAL_DATA_CORPUS_H

#include <stdbool.h>

#include "eval/data/text.h"
#include "eval/hub/hub.h"

/* What a known text is made of for one of its two uses. */
struct bs_corpus_part {
    const char *source, *preparation; /* in words, for `describe` */
    const char *fetch;                /* the name that `bitsweep fetch` knows the file by */
    const struct bs_remote *file;     /* NULL where the text does not serve this use */
    struct bs_text_format format;
    bool drawn;       /* each window comes from a document drawn at random, not from the stream */
    int most_windows; /* 0 = all */
};

/* A text that papers measure on, by name. */
struct bs_corpus {
    const char *name, *summary;
    struct bs_corpus_part calibration, evaluation;
};

/* All that are known; the last row's name is NULL. */
extern const struct bs_corpus bs_corpora[];

/* The row called `name`, or NULL. */
const struct bs_corpus *bs_corpus_find(const char *name);

/* A name that `bitsweep fetch` takes for known texts, and its files. */
enum { BS_CORPUS_FILES = 4 };
struct bs_corpus_files {
    const char *name, *summary;
    const struct bs_remote *files[BS_CORPUS_FILES]; /* NULL-terminated */
};
extern const struct bs_corpus_files bs_corpus_files[]; /* ends with a row whose name is NULL */
const struct bs_corpus_files *bs_corpus_files_find(const char *name);

/* What a config says of a text. */
struct bs_text_choice {
    /* A known text, else a file: .jsonl and .json hold JSON, others plain text; .gz or .zst may
     * follow. */
    const char *text;
    const char *base;  /* the folder that a relative path starts from; NULL or "" = the current */
    const char *field; /* JSON: the key of the document; NULL = "text" */
    const char *join;  /* between documents; NULL = "\n\n" */
    bool lines;        /* plain text: each line is a document, else the whole file is one */
};

enum bs_text_use { BS_FOR_CALIBRATION, BS_FOR_EVALUATION };

/* Reads the text that is chosen. *part is a known text's row for this use, NULL for a file. Beside
 * what bs_text_read returns, BS_ECONFIG where a choice does not suit the text, and BS_EIO saying
 * what to fetch where a known text's file is not there. */
enum bs_status bs_corpus_read(const struct bs_text_choice *choice, enum bs_text_use use,
                              struct bs_text *text, const struct bs_corpus_part **part,
                              struct bs_error *err);

#endif
