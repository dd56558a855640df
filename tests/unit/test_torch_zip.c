/* Zip archives made by hand: zip64 and not, and each field wrong in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/checkpoint/torch_zip.h"

/* An archive of two entries, f/one with "data" and f/three without any, laid out so that a test can
 * name each field. */
struct archive {
    unsigned char bytes[512];
    size_t size;
    size_t local[2], data[2], central[2], end64, locator, end;
};

static void put(struct archive *a, uint64_t value, int bytes)
{
    memcpy(a->bytes + a->size, &value, (size_t)bytes);
    a->size += (size_t)bytes;
}

static void put_text(struct archive *a, const char *text)
{
    memcpy(a->bytes + a->size, text, strlen(text));
    a->size += strlen(text);
}

/* Sets a field of so many bytes. */
static void set(struct archive *a, size_t at, uint64_t value, int bytes)
{
    memcpy(a->bytes + at, &value, (size_t)bytes);
}

static const char *const names[] = {"f/one", "f/three"};
static const char *const contents[] = {"data", ""};

static void put_local(struct archive *a, int i, bool zip64)
{
    size_t size = strlen(contents[i]);
    a->local[i] = a->size;
    put(a, 0x04034b50, 4);
    put(a, 0, 2 + 2 + 2 + 2); /* version, flags, method, time */
    put(a, 0, 2 + 4);         /* date, CRC */
    put(a, zip64 ? UINT32_MAX : size, 4);
    put(a, zip64 ? UINT32_MAX : size, 4);
    put(a, strlen(names[i]), 2);
    put(a, zip64 ? 20 : 0, 2);
    put_text(a, names[i]);
    if (zip64) {
        put(a, 1, 2);
        put(a, 16, 2);
        put(a, size, 8);
        put(a, size, 8);
    }
    a->data[i] = a->size;
    put_text(a, contents[i]);
}

static void put_central(struct archive *a, int i, bool zip64)
{
    size_t size = strlen(contents[i]);
    a->central[i] = a->size;
    put(a, 0x02014b50, 4);
    put(a, 0, 8); /* versions, flags, method */
    put(a, 0, 8); /* time, date, CRC */
    put(a, zip64 ? UINT32_MAX : size, 4);
    put(a, zip64 ? UINT32_MAX : size, 4);
    put(a, strlen(names[i]), 2);
    put(a, zip64 ? 6 + 28 : 0, 2);
    put(a, 0, 2 + 2 + 2); /* comment, disk, attributes */
    put(a, 0, 4);
    put(a, zip64 ? UINT32_MAX : a->local[i], 4);
    put_text(a, names[i]);
    if (!zip64)
        return;
    put(a, 0x4242, 2); /* another field in front */
    put(a, 2, 2);
    put(a, 0, 2);
    put(a, 1, 2);
    put(a, 24, 2);
    put(a, size, 8);
    put(a, size, 8);
    put(a, a->local[i], 8);
}

static struct archive make(bool zip64)
{
    struct archive a = {0};
    put_local(&a, 0, zip64);
    put_local(&a, 1, zip64);
    put_central(&a, 0, zip64);
    put_central(&a, 1, zip64);
    size_t bytes = a.size - a.central[0];
    if (zip64) {
        a.end64 = a.size;
        put(&a, 0x06064b50, 4);
        put(&a, 44, 8);
        put(&a, 0, 4);
        put(&a, 0, 8); /* disks */
        put(&a, 2, 8);
        put(&a, 2, 8);
        put(&a, bytes, 8);
        put(&a, a.central[0], 8);
        a.locator = a.size;
        put(&a, 0x07064b50, 4);
        put(&a, 0, 4);
        put(&a, a.end64, 8);
        put(&a, 1, 4);
    }
    a.end = a.size;
    put(&a, 0x06054b50, 4);
    put(&a, 0, 4); /* disks */
    put(&a, zip64 ? UINT16_MAX : 2, 2);
    put(&a, zip64 ? UINT16_MAX : 2, 2);
    put(&a, zip64 ? UINT32_MAX : bytes, 4);
    put(&a, zip64 ? UINT32_MAX : a.central[0], 4);
    put(&a, 0, 2);
    return a;
}

/* Opens a copy of exactly its size; the status, and what was found where it is BS_OK. */
static enum bs_status open_copy(const struct archive *a, size_t size, struct bs_error *err)
{
    unsigned char *copy = malloc(size ? size : 1);
    memcpy(copy, a->bytes, size);
    struct bs_map map = {.data = copy, .size = size};
    struct bs_zip zip;
    enum bs_status status = bs_zip_open("place", &map, &zip, err);
    for (size_t i = 0; !status && i < zip.count; i++) {
        /* each entry is found by its name and its bytes are in the file */
        char name[64] = {0};
        const struct bs_zip_entry *e = &zip.entries[i];
        if (e->name_length < sizeof name && !memchr(e->name, '\0', e->name_length)) {
            memcpy(name, e->name, e->name_length);
            assert_ptr_equal(bs_zip_find(&zip, name), e);
        }
        assert_true(e->data >= copy && e->data <= copy + size &&
                    e->size <= (size_t)(copy + size - e->data));
    }
    bs_zip_close(&zip);
    free(copy);
    return status;
}

static void test_sound(void **state)
{
    (void)state;
    for (int zip64 = 0; zip64 < 2; zip64++) {
        struct archive a = make(zip64);
        struct bs_map map = {.data = a.bytes, .size = a.size};
        struct bs_zip zip;
        struct bs_error err = {0};
        if (bs_zip_open("place", &map, &zip, &err))
            fail_msg("%s", err.message);
        assert_int_equal(zip.count, 2);
        const struct bs_zip_entry *one = bs_zip_find(&zip, "one");
        assert_ptr_equal(one->data, a.bytes + a.data[0]);
        assert_int_equal(one->size, 4);
        assert_int_equal(bs_zip_find(&zip, "three")->size, 0);
        assert_null(bs_zip_find(&zip, "f/one"));
        assert_null(bs_zip_find(&zip, "on"));
        assert_null(bs_zip_find(&zip, ""));
        bs_zip_close(&zip);
        /* A comment at the end, even one that looks like an end, and sizes that follow the data. */
        set(&a, a.end + 20, 30, 2);
        put_text(&a, "PK\5\6 this is just a comment ....");
        a.size = a.end + 22 + 30;
        set(&a, a.local[0] + 6, 8, 2);
        set(&a, a.local[0] + 18, 0, 8);
        if (open_copy(&a, a.size, &err))
            fail_msg("%s", err.message);
    }
}

/* What stands outside of the one folder is left out. */
static void test_folder(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_zip zip;
    struct archive a = make(false);
    a.bytes[a.local[1] + 30] = a.bytes[a.central[1] + 46] = 'g';
    struct bs_map map = {.data = a.bytes, .size = a.size};
    assert_int_equal(bs_zip_open("place", &map, &zip, &err), BS_OK);
    assert_int_equal(zip.count, 1);
    assert_non_null(bs_zip_find(&zip, "one"));
    bs_zip_close(&zip);
    a = make(false);
    for (int i = 0; i < 2; i++)
        a.bytes[a.local[i] + 31] = a.bytes[a.central[i] + 47] = '-';
    assert_int_equal(open_copy(&a, a.size, &err), BS_EDATA);
    assert_non_null(strstr(err.message, "place: entry 'f-one': it is in no folder"));
}

static void test_fields(void **state)
{
    (void)state;
    struct archive plain = make(false), large = make(true);
    const struct {
        const struct archive *archive;
        size_t at;
        uint64_t value;
        int bytes;
        const char *said;
    } cases[] = {
        {&plain, plain.end, 0, 4, "archive's end is missing"},
        {&plain, plain.end + 20, 1, 2, "archive's end is missing"},
        {&plain, plain.end + 4, 1, 2, "in several"},
        {&plain, plain.end + 8, 1, 2, "in several"},
        {&plain, plain.end + 10, 1, 2, "in several"},
        {&plain, plain.end + 12, UINT32_MAX, 4, "does not fit the file's"},
        {&plain, plain.end + 16, UINT32_MAX, 4, "does not fit the file's"},
        {&plain, plain.end + 16, plain.central[0] + 1, 4, "does not fit the file's"},
        {&plain, plain.end + 16, plain.central[0] - 1, 4, "directory is damaged at byte"},
        {&plain, plain.end + 8, 0x00030003, 4, "3 entries in 104 bytes"},
        {&plain, plain.end + 8, 0xffffffff, 4, "65535 entries"},
        {&plain, plain.end + 8, 0, 4, "the zip archive is empty"},
        {&plain, plain.central[1], 0, 4, "directory is damaged at byte"},
        {&plain, plain.central[0] + 8, 1, 2, "entry 'f/one': it is encrypted"},
        {&plain, plain.central[0] + 10, 8, 2, "entry 'f/one': it is compressed"},
        {&plain, plain.central[0] + 20, 3, 4, "its two sizes differ"},
        {&plain, plain.central[0] + 24, 3, 4, "its two sizes differ"},
        {&plain, plain.central[0] + 20, 0x0000000300000003, 8, "its own header gives another size"},
        {&plain, plain.central[0] + 20, 0x1000000010000000, 8, "it reaches into the directory"},
        {&plain, plain.central[0] + 20, UINT64_MAX, 8, "its zip64 field is missing or too short"},
        {&plain, plain.central[0] + 28, UINT16_MAX, 2, "directory is cut short at byte"},
        {&plain, plain.central[0] + 30, UINT16_MAX, 2, "directory is cut short at byte"},
        {&plain, plain.central[0] + 32, UINT16_MAX, 2, "directory is cut short at byte"},
        {&plain, plain.central[0] + 32, 1, 2, "directory is damaged at byte"},
        {&plain, plain.central[1] + 42, plain.central[0], 4, "not in front of the directory"},
        {&plain, plain.central[1] + 42, UINT32_MAX - 1, 4, "not in front of the directory"},
        {&plain, plain.central[1] + 42, 1, 4, "no header stands in its place"},
        {&plain, plain.central[1] + 42, plain.local[0], 4, "its own header gives another name"},
        {&plain, plain.central[0] + 46, 'x', 1, "its own header gives another name"},
        {&plain, plain.local[0] + 8, 8, 2, "its own header says that it is compressed"},
        {&plain, plain.local[0] + 18, 5, 4, "its own header gives another size"},
        {&plain, plain.local[0] + 22, 5, 4, "its own header gives another size"},
        {&plain, plain.local[0] + 26, 4, 2, "its own header gives another name"},
        {&plain, plain.local[0] + 28, UINT16_MAX, 2, "it reaches into the directory"},
        {&plain, plain.local[0] + 28, 4, 2, "'f/three': it overlaps the entry in front of it"},
        {&large, large.locator + 8, large.end64 + 1, 8, "zip64 record is not where it should be"},
        {&large, large.locator + 8, UINT64_MAX, 8, "zip64 record is not where it should be"},
        {&large, large.end64, 0, 4, "zip64 record is not where it should be"},
        {&large, large.end64 + 16, 1, 4, "in several"},
        {&large, large.end64 + 24, 1, 8, "in several"},
        {&large, large.end64 + 40, UINT64_MAX, 8, "does not fit the file's"},
        {&large, large.end64 + 48, UINT64_MAX, 8, "does not fit the file's"},
        {&large, large.locator, 0, 4, "does not fit the file's"},
        {&large, large.central[0] + 46 + 5 + 6, 2, 2, "zip64 field is missing or too short"},
        {&large, large.central[0] + 46 + 5 + 8, 16, 2, "zip64 field is missing or too short"},
        {&large, large.central[0] + 46 + 5 + 10, UINT64_MAX, 8, "its two sizes differ"},
        {&large, large.central[0] + 46 + 5 + 26, UINT64_MAX, 8, "not in front of the directory"},
        {&large, large.local[0] + 30 + 5 + 4, 5, 8, "its own header gives another size"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct archive a = *cases[i].archive;
        struct bs_error err = {0};
        set(&a, cases[i].at, cases[i].value, cases[i].bytes);
        enum bs_status status = open_copy(&a, a.size, &err);
        if (!status || !strstr(err.message, cases[i].said) || !strstr(err.message, "place"))
            fail_msg("case %zu: expected %s, got status %d, %s", i, cases[i].said, status,
                     err.message);
    }
}

/* Two entries of one name cannot stand in one place, so the second one's two headers say "one". */
static void test_twice(void **state)
{
    (void)state;
    struct archive a = {0};
    struct bs_error err;
    put_local(&a, 0, false);
    size_t first = a.local[0];
    put_local(&a, 0, false);
    size_t second = a.local[0], central = a.size;
    a.local[0] = first;
    put_central(&a, 0, false);
    a.local[0] = second;
    put_central(&a, 0, false);
    size_t bytes = a.size - central;
    put(&a, 0x06054b50, 4);
    put(&a, 0, 4);
    put(&a, 0x00020002, 4);
    put(&a, bytes, 4);
    put(&a, central, 4);
    put(&a, 0, 2);
    assert_int_equal(open_copy(&a, a.size, &err), BS_EDATA);
    assert_non_null(strstr(err.message, "entry 'one': it is there twice"));
}

static void test_damage(void **state)
{
    (void)state;
    for (int zip64 = 0; zip64 < 2; zip64++) {
        struct archive sound = make(zip64);
        struct bs_error err;
        for (size_t at = 0; at < sound.size; at++) {
            assert_int_equal(open_copy(&sound, at, &err), BS_EDATA);
            for (int value = 0; value < 256; value++) {
                struct archive a = sound;
                a.bytes[at] = (unsigned char)value;
                enum bs_status status = open_copy(&a, a.size, &err);
                assert_true(!status || status == BS_EDATA || status == BS_EUNSUPPORTED);
            }
        }
    }
}

static void test_memory(void **state)
{
    (void)state;
    struct archive a = make(true);
    struct bs_error err;
    bs_alloc_fail_at(1);
    assert_int_equal(open_copy(&a, a.size, &err), BS_ENOMEM);
    bs_alloc_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound), cmocka_unit_test(test_folder), cmocka_unit_test(test_fields),
        cmocka_unit_test(test_twice), cmocka_unit_test(test_damage), cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
