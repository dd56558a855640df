/* What writing and reading the result file, and exporting it, share: the field tables, the HDF5
 * types made from them, and how HDF5's failures become messages. */
#ifndef BS_EVAL_STORE_RESULTS_INTERNAL_H
#define BS_EVAL_STORE_RESULTS_INTERNAL_H

#include <stddef.h>

#include <hdf5.h>

#include "eval/store/results.h"

enum bs_field_kind { BS_FIELD_TEXT, BS_FIELD_INT, BS_FIELD_DOUBLE };

/* One member of a compound row; the name is the same in C, HDF5, CSV and JSON. */
struct bs_field {
    const char *name;
    size_t offset;
    enum bs_field_kind kind;
    size_t size; /* bytes, the final zero of a text included */
};

/* A struct as a table of its fields; `fields` ends with a NULL name. */
struct bs_record_type {
    const struct bs_field *fields;
    size_t size; /* of the struct */
};

extern const struct bs_record_type bs_row_type;   /* struct bs_row */
extern const struct bs_record_type bs_layer_type; /* struct bs_layer_row */

/* The fields of `record`. */
const char *bs_field_text(const struct bs_field *field, const void *record);
int bs_field_int(const struct bs_field *field, const void *record);
double bs_field_double(const struct bs_field *field, const void *record);

/* Makes every text of a record end within its field, valid UTF-8 ('?' for a byte that is not), and
 * zero behind its end: the same content is then the same bytes, and any style can print it. */
void bs_record_tidy(const struct bs_record_type *type, void *record);

/* Call before anything else of HDF5: switches off its printing and its work at exit, which after a
 * failed write would try again. */
void bs_h5_begin(void);

/* The compound type of a record: as the struct lies in memory, or packed and little-endian as it is
 * stored. Negative on failure. Closed with H5Tclose. */
hid_t bs_h5_memory_type(const struct bs_record_type *type);
hid_t bs_h5_file_type(const struct bs_record_type *type);

/* A file access list for our files; negative on failure. */
hid_t bs_h5_access(void);

/* Fails with "path: what: HDF5's innermost words". To be called before any other call to HDF5, for
 * each one clears the words. */
enum bs_status bs_h5_fail(struct bs_error *err, enum bs_status status, const char *path,
                          const char *what);

/* Closes an id of whatever kind where it is one (> 0). */
void bs_h5_close(hid_t id);

/* The rows, and the schema_version, of an open result file, checked. rows in new memory. `path` is
 * for messages only. */
enum bs_status bs_h5_check_schema(hid_t file, const char *path, struct bs_error *err);
enum bs_status bs_h5_read_rows(hid_t file, const char *path, struct bs_row **rows, int *num_rows,
                               struct bs_error *err);

/* A text attribute of the root in new memory; BS_EDATA where there is none. */
enum bs_status bs_h5_read_text(hid_t object, const char *path, const char *name, char **text,
                               struct bs_error *err);

#endif
