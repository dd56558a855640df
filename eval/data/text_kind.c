#include "eval/data/text_kind.h"

#include <string.h>
#include <strings.h>

static const char table[] =
    "a table, expected plain text or JSON lines; "
    "`python3 -c \"import pandas, sys; pandas.read_csv(sys.argv[1]).to_json(sys.argv[2], "
    "orient='records', lines=True)\" IN OUT.jsonl` makes them, and field: names the column";
static const char columns[] =
    "a file of columns, expected plain text or JSON lines; "
    "`python3 -c \"import pandas, sys; pandas.read_parquet(sys.argv[1]).to_json(sys.argv[2], "
    "orient='records', lines=True)\" IN OUT.jsonl` makes them, and field: names the column";
static const char document[] = "a document with its layout, expected its words as plain text";
static const char archive[] = "packed, expected it unpacked, or packed as .gz or .zst";
static const char binary[] = "no text, expected plain text or JSON lines";

static const struct {
    const char *ending, *advice;
} endings[] = {
    {".csv", table},          {".tsv", table},     {".parquet", columns}, {".arrow", columns},
    {".feather", columns},    {".orc", columns},   {".avro", columns},    {".xls", table},
    {".xlsx", table},         {".ods", table},     {".pdf", document},    {".doc", document},
    {".docx", document},      {".odt", document},  {".rtf", document},    {".epub", document},
    {".ppt", document},       {".pptx", document}, {".ps", document},     {".djvu", document},
    {".zip", archive},        {".7z", archive},    {".rar", archive},     {".xz", archive},
    {".lzma", archive},       {".bz2", archive},   {".lz4", archive},     {".br", archive},
    {".tar", archive},        {".tgz", archive},   {".txz", archive},     {".z", archive},
    {".bin", binary},         {".idx", binary},    {".pt", binary},       {".pth", binary},
    {".safetensors", binary}, {".gguf", binary},   {".onnx", binary},     {".npy", binary},
    {".npz", binary},         {".pkl", binary},    {".pickle", binary},   {".h5", binary},
    {".hdf5", binary},        {".db", binary},     {".sqlite", binary},   {".model", binary},
    {".png", binary},         {".jpg", binary},    {".jpeg", binary},     {".gif", binary},
    {".webp", binary},        {".mp3", binary},    {".wav", binary},      {".mp4", binary},
};

static const struct {
    const char *bytes;
    size_t size;
    const char *advice;
} beginnings[] = {
    {"PAR1", 4, columns},
    {"ARROW1", 6, columns},
    {"ORC\x0a", 4, columns},
    {"Obj\x01", 4, columns},
    {"%PDF-", 5, document},
    {"{\\rtf", 5, document},
    {"\xd0\xcf\x11\xe0", 4, document},
    {"PK\x03\x04", 4, archive},
    {"\x1f\x8b", 2, archive},
    {"\x28\xb5\x2f\xfd", 4, archive},
    {"BZh", 3, archive},
    {"\xfd"
     "7zXZ",
     5, archive},
    {"7z\xbc\xaf", 4, archive},
    {"\x89HDF", 4, binary},
    {"\x89PNG", 4, binary},
    {"GGUF", 4, binary},
    {"\x93NUMPY", 6, binary},
    {"SQLite format 3", 15, binary},
};

/* The length of the name less .gz or .zst. */
static size_t unpacked_length(const char *path)
{
    static const char *const packings[] = {".gz", ".zst"};
    size_t length = strlen(path);
    for (size_t p = 0; p < sizeof packings / sizeof *packings; p++) {
        size_t packing = strlen(packings[p]);
        if (length > packing && !strcmp(path + length - packing, packings[p]))
            return length - packing;
    }
    return length;
}

static bool ends_in(const char *path, const char *ending)
{
    size_t length = unpacked_length(path), end = strlen(ending);
    return length > end && !strncasecmp(path + length - end, ending, end);
}

bool bs_text_is_json(const char *path)
{
    return ends_in(path, ".jsonl") || ends_in(path, ".ndjson") || ends_in(path, ".json");
}

enum bs_status bs_text_check_name(const char *path, struct bs_error *err)
{
    for (size_t e = 0; e < sizeof endings / sizeof *endings; e++)
        if (ends_in(path, endings[e].ending))
            return bs_fail(err, BS_ECONFIG, "%s: its name says that it is %s", path,
                           endings[e].advice);
    return BS_OK;
}

enum bs_status bs_text_check_bytes(const char *path, const struct bs_text *text,
                                   struct bs_error *err)
{
    for (size_t b = 0; b < sizeof beginnings / sizeof *beginnings; b++)
        if (text->size >= beginnings[b].size &&
            !memcmp(text->bytes, beginnings[b].bytes, beginnings[b].size))
            return bs_fail(err, BS_EDATA, "%s: it begins as what is %s", path,
                           beginnings[b].advice);
    const char *zero = text->size ? memchr(text->bytes, 0, text->size) : NULL;
    if (zero)
        return bs_fail(err, BS_EDATA,
                       "%s: a zero byte at offset %zu, expected plain text in UTF-8 (UTF-16 has "
                       "such bytes; `iconv -f UTF-16 -t UTF-8` turns it)",
                       path, (size_t)(zero - text->bytes));
    return BS_OK;
}
