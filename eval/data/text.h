/* Texts in memory: documents read from plain text or JSON, joined into one run of bytes. */
#ifndef BS_EVAL_DATA_TEXT_H
#define BS_EVAL_DATA_TEXT_H

#include <stddef.h>

#include "eval/base/error.h"
#include "eval/base/file.h"

/* What a document is. */
enum bs_documents {
    BS_DOCUMENT_FILE,          /* the whole file */
    BS_DOCUMENT_LINE,          /* a line without its newline */
    BS_DOCUMENT_LINE_STRIPPED, /* a line without the white space around it */
    BS_DOCUMENT_LINE_WIKITEXT, /* a line with its newline, but nothing of one of white space only */
    BS_DOCUMENT_JSON,          /* JSON, an object a line or one list of them: a field of each */
};

/* How a file becomes a text. */
struct bs_text_format {
    enum bs_documents documents;
    const char *field;     /* BS_DOCUMENT_JSON: the key of the document */
    const char *join;      /* what comes between two documents */
    const char *member;    /* of a zip archive, or NULL */
    size_t most_documents; /* the first so many; 0 = all */
    size_t most_bytes;     /* a longer text is refused; 0 = BS_TEXT_MOST_BYTES */
};

/* Far above what papers use (the largest file of C4 or the Pile named here unpacks to 1.3 GB), so
 * that an archive that unpacks to more than memory is refused. */
#define BS_TEXT_MOST_BYTES ((size_t)4 << 30)

/* A text as it is tokenized. */
struct bs_text {
    char *bytes; /* the documents with `join` between them: the exact stream */
    size_t size;
    size_t num_documents;
    size_t *ends; /* [num_documents], where each document ends in bytes */
    size_t join_size;
};

/* Reads the file at `path` (.gz and .zst are unpacked on the way). Of JSON a file that begins with
 * '[' is one list, any other an object a line (blank lines are passed over); a text alone may stand
 * for an object; what is not read may hold anything that JSON allows. BS_EIO where the file cannot
 * be read; BS_EDATA naming file and line where it is damaged, a document is no object with a text
 * at `field`, or the text is too long. */
enum bs_status bs_text_read(const char *path, const struct bs_text_format *format,
                            struct bs_text *text, struct bs_error *err);
void bs_text_release(struct bs_text *text);

/* Document d, borrowed. */
const char *bs_text_document(const struct bs_text *text, size_t d, size_t *size);

/* Of the bytes of the stream. */
struct bs_digest bs_text_digest(const struct bs_text *text);

/* Bytes of the white space that text[0 .. size) begins with: a character for which Python's
 * str.isspace holds. 0 where it begins with another one. */
size_t bs_space_length(const char *text, size_t size);

/* What Python's str.strip leaves of text[0 .. size). */
const char *bs_strip(const char *text, size_t *size);

/* Words as lm-evaluation-harness counts them, len(re.split(r"\s+", text)): the pieces between runs
 * of white space, an empty one at either end included. */
size_t bs_count_words(const char *text, size_t size);

#endif
