/* What a written model says of itself: which export it is, so that the same is not done twice. A
 * folder has it in a file of its own, a GGUF file among its metadata. */
#ifndef BS_EVAL_EXPORT_MARK_H
#define BS_EVAL_EXPORT_MARK_H

#include "eval/export/writer.h"
#include "eval/gguf/gguf_write.h"

#define BS_EXPORT_MARK "bitsweep.json" /* of a folder */

/* What stands there. */
struct bs_export_mark {
    char *id, *recipe; /* bs_export's id and label, owned; NULL: it is no export of ours */
    bool verified;
};

/* Writes it into the folder export->path; adds it to the metadata. BS_EIO, BS_ENOMEM. */
enum bs_status bs_export_mark_folder(const struct bs_export *export, struct bs_error *err);
enum bs_status bs_export_mark_gguf(const struct bs_export *export, struct bs_gguf_writer *writer,
                                   struct bs_error *err);

/* Reads it of what stands at `path`, whatever that is: nothing where it is no export, or cannot be
 * read. BS_ENOMEM. */
enum bs_status bs_export_mark_read(const char *path, struct bs_export_mark *mark,
                                   struct bs_error *err);
void bs_export_mark_release(struct bs_export_mark *mark);

#endif
