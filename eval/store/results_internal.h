/* What writing and reading the result file, and exporting it, share: the field tables, the HDF5
 * types made from them, and how HDF5's failures become messages. */
#ifndef BS_EVAL_STORE_RESULTS_INTERNAL_H
#define BS_EVAL_STORE_RESULTS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include <hdf5.h>

#include "eval/store/results.h"

/* TEXT is an array in the record, STRING a pointer to a text of any length. */
enum bs_field_kind { BS_FIELD_TEXT, BS_FIELD_STRING, BS_FIELD_INT, BS_FIELD_DOUBLE };

/* One member of a compound row; the name is the same in C, HDF5, CSV and JSON. */
struct bs_field {
    const char *name;
    size_t offset;
    enum bs_field_kind kind;
    size_t size;      /* bytes in the record, the final zero of a text included */
    const char *unit; /* "s"; NULL or "" = none */
};

enum { BS_MOST_FIELDS = 96 };

/* A struct as a table of its fields; `fields` ends with a NULL name. */
struct bs_record_type {
    const struct bs_field *fields;
    size_t size; /* of the struct */
};

/* The fields of the tables' rows. */
extern const struct bs_record_type bs_row_type;       /* struct bs_row, but for its values */
extern const struct bs_field bs_row_file_field;       /* its file: for tables alone */
extern const struct bs_record_type bs_value_row_type; /* struct bs_value_row */
extern const struct bs_record_type bs_answer_type;    /* struct bs_answer */

/* The fields of struct bs_layer_row whose values are called `columns`, into `fields`, and their
 * type. */
struct bs_record_type bs_layer_type(char (*columns)[40], int num_columns,
                                    struct bs_field fields[BS_MOST_FIELDS]);

/* The fields of `record`; a text of either kind. */
const char *bs_field_text(const struct bs_field *field, const void *record);
int bs_field_int(const struct bs_field *field, const void *record);
double bs_field_double(const struct bs_field *field, const void *record);

/* Makes every text of a record valid UTF-8 ('?' for a byte that is not), those in the record also
 * end within their field and zero after their end: the same content is then the same bytes, and any
 * style can print it. Texts of any length are replaced by copies that the record owns.
 * BS_ENOMEM. */
enum bs_status bs_record_take(const struct bs_record_type *type, void *record,
                              struct bs_error *err);
/* As that, of a row with its values, which name their trial then. */
enum bs_status bs_row_take(struct bs_row *row, struct bs_error *err);

/* Gives those copies back. */
void bs_record_release(const struct bs_record_type *type, void *record);

/* Call before anything else of HDF5: switches off its printing and its work at exit, which after a
 * failed write would try again. */
void bs_h5_begin(void);

/* Records packed as a dataset holds them: member after member, a text of any length in as many
 * bytes as the longest of the column takes, rounded up. */
struct bs_packing {
    size_t sizes[BS_MOST_FIELDS]; /* of each field */
    size_t size;                  /* of a record */
};
/* That the rows need; and that a dataset's type has, of which every member must be there. */
void bs_packing_of(const struct bs_record_type *type, const void *rows, size_t num_rows,
                   struct bs_packing *packing);
void bs_packing_in(const struct bs_record_type *type, hid_t stored, struct bs_packing *packing);

/* rows to data [num_rows * packing->size] and back; unpacked records own their texts
 * (bs_record_release each, and zeroed beforehand). BS_ENOMEM. */
void bs_pack(const struct bs_record_type *type, const struct bs_packing *packing, const void *rows,
             size_t num_rows, char *data);
enum bs_status bs_unpack(const struct bs_record_type *type, const struct bs_packing *packing,
                         const char *data, size_t num_rows, void *rows, struct bs_error *err);

/* The compound type of packed records: with numbers as this machine has them, or little-endian as
 * they are stored. Negative on failure. Closed with H5Tclose. */
hid_t bs_h5_type(const struct bs_record_type *type, const struct bs_packing *packing, bool stored);

/* A file access list for our files; negative on failure. */
hid_t bs_h5_access(void);

/* Fails with "path: what: HDF5's innermost words". To be called before any other call to HDF5, for
 * each one clears the words. */
enum bs_status bs_h5_fail(struct bs_error *err, enum bs_status status, const char *path,
                          const char *what);

/* Closes an id of whatever kind where it is one (> 0). */
void bs_h5_close(hid_t id);

/* Opens a result file to read, its bytes being those that were written; *file is closed by
 * bs_h5_close. BS_EIO, BS_EDATA. */
enum bs_status bs_h5_open(const char *path, hid_t *file, struct bs_error *err);

/* Opens a dataset of so many dimensions, checked to hold what it says; *dataset is closed by
 * bs_h5_close. BS_EDATA. */
enum bs_status bs_h5_open_dataset(hid_t file, const char *path, const char *place, int rank,
                                  hid_t *dataset, hsize_t *dims, struct bs_error *err);

/* The rows with their values, and the schema_version, of an open result file, checked. rows in new
 * memory. `path` is for messages only. */
enum bs_status bs_h5_check_schema(hid_t file, const char *path, struct bs_error *err);
enum bs_status bs_h5_read_rows(hid_t file, const char *path, struct bs_row **rows, int *num_rows,
                               struct bs_error *err);

/* Whether two finished trials of one id have the same values; BS_EDATA, which names both files and
 * the value, where they have not. */
enum bs_status bs_rows_check_same(const struct bs_row *left, const struct bs_row *right,
                                  struct bs_error *err);

/* A text attribute of the root in new memory; BS_EDATA where there is none. */
enum bs_status bs_h5_read_text(hid_t object, const char *path, const char *name, char **text,
                               struct bs_error *err);

/* A commit under way: the copy that is added to. */
struct bs_commit {
    const char *path;
    char *partial;
    bool created; /* the partial file is ours to remove */
    hid_t file;
    int num_rows;
    struct bs_row *rows; /* what /trials will hold, with what /values will */
};

/* Writing into the open copy (results_write.c): /trials and /values in the place of the old ones,
 * all of one trial below /trial, the root attributes. BS_EIO, BS_ENOMEM. */
enum bs_status bs_commit_write_rows(const struct bs_commit *commit, struct bs_error *err);
enum bs_status bs_commit_write_trial(const struct bs_commit *commit,
                                     const struct bs_trial_record *record, struct bs_error *err);
enum bs_status bs_commit_write_attributes(const struct bs_commit *commit,
                                          const struct bs_run_info *info, struct bs_error *err);

/* The program's version and the commit it was built from. */
extern const char bs_program_version[], bs_program_commit[];

#endif
