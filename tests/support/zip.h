/* Archives for tests, as libzip writes them. */
#ifndef BS_TESTS_SUPPORT_ZIP_H
#define BS_TESTS_SUPPORT_ZIP_H

#include <zip.h>

#include "tests/support/folder.h"

/* An archive in the test's folder, with one member. */
static inline void write_zip(const char *name, const char *member, const char *text)
{
    int code;
    zip_t *archive = zip_open(folder_file(&folder, name), ZIP_CREATE | ZIP_TRUNCATE, &code);
    zip_source_t *source = zip_source_buffer(archive, text, strlen(text), 0);
    assert_true(zip_file_add(archive, member, source, 0) >= 0);
    assert_int_equal(zip_close(archive), 0);
}

#endif
