/* GGUF files: the container (ggml-org/ggml docs/gguf.md, versions 2 and 3). */
#ifndef BS_EVAL_GGUF_GGUF_H
#define BS_EVAL_GGUF_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "eval/base/error.h"
#include "eval/base/file.h"
#include "eval/quant/gguf_block.h"

/* Types of metadata, by their numbers in files. */
enum bs_gguf_kind {
    BS_GGUF_U8,
    BS_GGUF_I8,
    BS_GGUF_U16,
    BS_GGUF_I16,
    BS_GGUF_U32,
    BS_GGUF_I32,
    BS_GGUF_F32,
    BS_GGUF_BOOL,
    BS_GGUF_STRING,
    BS_GGUF_ARRAY,
    BS_GGUF_U64,
    BS_GGUF_I64,
    BS_GGUF_F64,
    BS_NUM_GGUF_KINDS
};

/* Bytes of the file that are a text, not terminated. */
struct bs_gguf_text {
    const char *bytes;
    size_t length;
};

/* A value of the metadata, in the map: one, or an array. */
struct bs_gguf_value {
    struct bs_gguf_text key;
    enum bs_gguf_kind kind; /* of an array: of its items */
    bool array;
    size_t count; /* 1 where it is no array */
    const unsigned char *data;
};

enum { BS_GGUF_DIMS = 4 };

/* A tensor; its first dimension is the one whose values follow one another. */
struct bs_gguf_tensor {
    struct bs_gguf_text name;
    const struct bs_gguf_type *type; /* NULL: of no type that is known */
    uint32_t type_id;
    int rank;
    int64_t dims[BS_GGUF_DIMS];
    size_t count;              /* values */
    uint64_t offset;           /* of the file's data */
    const unsigned char *data; /* NULL where the type is not known */
    size_t bytes;
};

/* The contents of one file, which stays mapped. */
struct bs_gguf {
    const char *path; /* borrowed */
    struct bs_gguf_value *values;
    size_t num_values; /* by key */
    struct bs_gguf_tensor *tensors;
    size_t num_tensors; /* by offset */
};

/* Reads the header of the mapped file and checks all of it: texts, arrays and tensors lie inside
 * the file, tensors are aligned and do not overlap, no key stands twice. BS_EDATA naming file and
 * place; BS_EUNSUPPORTED for version 1 and for a file of a machine of the other byte order. The
 * struct is to be released either way. */
enum bs_status bs_gguf_read(const char *path, const struct bs_map *map, struct bs_gguf *gguf,
                            struct bs_error *err);
void bs_gguf_release(struct bs_gguf *gguf);

/* The value of this key, or NULL. */
const struct bs_gguf_value *bs_gguf_find(const struct bs_gguf *gguf, const char *key);

/* A value as JSON, in a new reference: a number, truth value, text or list of them. BS_EDATA naming
 * the key where a text is not UTF-8 or a number not finite; BS_ENOMEM. */
enum bs_status bs_gguf_json(const struct bs_gguf *gguf, const struct bs_gguf_value *value,
                            json_t **json, struct bs_error *err);

/* The texts of a list of them, one after another; *cursor starts at 0 and there are value->count.
 */
struct bs_gguf_text bs_gguf_next_text(const struct bs_gguf_value *value, size_t *cursor);

/* A model's file, or its files in the order of its parts, for those who read the metadata, which
 * the first has, or look at which tensors there are. */
struct bs_gguf_part {
    char *path;
    struct bs_map map;
    struct bs_gguf gguf;
};
struct bs_gguf_model {
    struct bs_gguf_part *parts;
    int num_parts;
};

/* Opens the file of that path, and the other parts where it is the first of several; to be closed
 * either way. BS_EIO, or as bs_gguf_read. */
enum bs_status bs_gguf_open(const char *path, struct bs_gguf_model *model, struct bs_error *err);
void bs_gguf_close(struct bs_gguf_model *model);

/* The tensor of this name in any part, or NULL; a slow look-up. */
const struct bs_gguf_tensor *bs_gguf_tensor(const struct bs_gguf_model *model, const char *name);

/* The GGUF file that a model's place means, in new memory: the place itself where it is such a
 * file; of a folder without config.json its only one, or the first of its only one in parts. *file
 * is NULL where it means none. BS_EUNSUPPORTED for a folder of several, which are named, and for a
 * part other than the first. */
enum bs_status bs_gguf_place(const char *place, char **file, struct bs_error *err);

/* The i-th part (from 1) of a file in parts, "NAME-00002-of-00003.gguf" for 2: false where there is
 * none, or `name` is no such name. */
bool bs_gguf_part_name(const char *name, int i, char out[BS_NAME_BYTES]);

#endif
