/* What kind of file a text is: other kinds than plain text and JSON are refused, since their bytes
 * would be measured as prose. */
#ifndef BS_EVAL_DATA_TEXT_KIND_H
#define BS_EVAL_DATA_TEXT_KIND_H

#include <stdbool.h>

#include "eval/data/text.h"

/* True where the file's name, less .gz or .zst, ends as JSON's do: .jsonl, .ndjson, .json. */
bool bs_text_is_json(const char *path);

/* By its name: BS_ECONFIG, with what to do, for tables, documents with layout, archives,
 * weights. */
enum bs_status bs_text_check_name(const char *path, struct bs_error *err);

/* By what it holds, whatever its name: BS_EDATA where the bytes begin as those kinds do, or hold a
 * zero byte, which plain text in UTF-8 does not (UTF-16 does). */
enum bs_status bs_text_check_bytes(const char *path, const struct bs_text *text,
                                   struct bs_error *err);

#endif
