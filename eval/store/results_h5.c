/* HDF5: how records lie in datasets, and how its failures become messages. */
#include "eval/store/results_internal.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void bs_h5_begin(void)
{
    H5dont_atexit(); /* fails harmlessly when it was called before */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void bs_packing_in(const struct bs_record_type *type, hid_t stored, struct bs_packing *packing)
{
    packing->size = 0;
    for (int f = 0; type->fields[f].name; f++) {
        const struct bs_field *field = &type->fields[f];
        packing->sizes[f] = field->size;
        packing->size += field->size;
        if (field->kind != BS_FIELD_STRING)
            continue;
        int index = H5Tget_member_index(stored, field->name);
        hid_t member = index < 0 ? index : H5Tget_member_type(stored, (unsigned)index);
        packing->sizes[f] = member < 0 ? 1 : H5Tget_size(member);
        packing->size += packing->sizes[f] - field->size;
        bs_h5_close(member);
    }
}

static hid_t member_type(const struct bs_field *field, size_t size, bool stored)
{
    if (field->kind == BS_FIELD_INT)
        return H5Tcopy(stored ? H5T_STD_I32LE : H5T_NATIVE_INT);
    if (field->kind == BS_FIELD_DOUBLE)
        return H5Tcopy(stored ? H5T_IEEE_F64LE : H5T_NATIVE_DOUBLE);
    hid_t type = H5Tcopy(H5T_C_S1);
    /* In memory a text may fill its place without an end. */
    if (type >= 0 && H5Tset_size(type, size) >= 0 &&
        H5Tset_strpad(type, stored ? H5T_STR_NULLTERM : H5T_STR_NULLPAD) >= 0 &&
        H5Tset_cset(type, H5T_CSET_UTF8) >= 0)
        return type;
    bs_h5_close(type);
    return H5I_INVALID_HID;
}

hid_t bs_h5_type(const struct bs_record_type *type, const struct bs_packing *packing, bool stored)
{
    hid_t compound = H5Tcreate(H5T_COMPOUND, packing->size);
    size_t offset = 0;
    for (int f = 0; compound >= 0 && type->fields[f].name; f++) {
        hid_t member = member_type(&type->fields[f], packing->sizes[f], stored);
        herr_t done = member < 0 ? -1 : H5Tinsert(compound, type->fields[f].name, offset, member);
        bs_h5_close(member);
        if (done < 0) {
            bs_h5_close(compound);
            return H5I_INVALID_HID;
        }
        offset += packing->sizes[f];
    }
    return compound;
}

/* The 1.10 format checksums its metadata, so damage is noticed. HDF5's own file locks are off: a
 * file here is written under a name that nobody else opens, and some network disks refuse them. */
hid_t bs_h5_access(void)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access < 0)
        return access;
    bool good = H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 &&
                H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0;
#if H5_VERSION_GE(1, 10, 7)
    good = good && H5Pset_file_locking(access, false, true) >= 0;
#endif
    if (good)
        return access;
    bs_h5_close(access);
    return H5I_INVALID_HID;
}

struct words {
    char text[512];
};

static herr_t take_words(unsigned depth, const H5E_error2_t *error, void *context)
{
    struct words *words = context;
    if (depth == 0 && error->desc)
        snprintf(words->text, sizeof words->text, "%s", error->desc);
    return 0;
}

enum bs_status bs_h5_fail(struct bs_error *err, enum bs_status status, const char *path,
                          const char *what)
{
    struct words words = {""};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_words, &words);
    /* Of a failed read or write HDF5 tells time, addresses and file descriptor; the system's reason
     * among them is what helps. */
    static const char reason[] = "error message = '";
    char *start = strstr(words.text, reason);
    if (start) {
        start += sizeof reason - 1;
        char *end = strchr(start, '\'');
        if (end)
            *end = '\0';
    }
    const char *said = start ? start : words.text;
    return bs_fail(err, status, "%s: %s%s%s", path, what, *said ? ": " : "", said);
}

void bs_h5_close(hid_t id)
{
    if (id > 0)
        H5Idec_ref(id);
}
