/* The pickle machine: state dicts of every shape, programs that ask for more, and broken ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/checkpoint/pickle.h"
#include "tests/support/allocation.h"

/* Pieces of a program; a piece is its own literal where a digit would join the escape before it. */
#define PROTO "\x80\x02"
#define TEXT1(letter) "X\1\0\0\0" letter
#define ORDERED "ccollections\nOrderedDict\n)R"
#define V2 "ctorch._utils\n_rebuild_tensor_v2\n"
#define V3 "ctorch._utils\n_rebuild_tensor_v3\n"
#define PARAMETER "ctorch._utils\n_rebuild_parameter\n"
#define STORAGE(type, elements) "(X\7\0\0\0storagec" type "\n" TEXT1("0") TEXT1("c") elements "tQ"
#define FLOATS(elements) STORAGE("torch\nFloatStorage", elements)
#define BYTES STORAGE("torch.storage\nUntypedStorage", "K\x0c")
/* Offset, size and strides of a tensor over 12 floats. */
#define VIEW(view) V2 "(" FLOATS("K\x0c") view "\x89" ORDERED "tR"
#define TENSOR VIEW("K\1K\2K\3\x86K\3K\1\x86")
#define IN_DICT(value) PROTO "}" TEXT1("a") value "s."

struct program {
    const char *bytes;
    size_t size;
    size_t tensors;
    const char *said; /* in the message; NULL for a sound one */
};
#define SOUND(bytes, tensors)                                                                      \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, tensors, NULL                                                    \
    }
#define BROKEN(bytes, said)                                                                        \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, 0, said                                                          \
    }

/* What became of a program: its tensors, or a status. */
struct outcome {
    enum bs_status status;
    struct bs_error err;
    size_t count, name_bytes;
    struct bs_pickled_tensor tensors[8];
    char names[8][16];
};

/* Runs a copy of exactly its size, so that the sanitizer sees a reading beyond it. */
static struct outcome run(const char *bytes, size_t size)
{
    struct outcome out = {0};
    struct bs_pickle *pickle;
    unsigned char *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    out.status = bs_pickle_open("place", copy, size, &pickle, &out.err);
    assert_true((!out.status) == (pickle != NULL));
    if (pickle)
        out.count = bs_pickle_count(pickle, &out.name_bytes);
    size_t cursor = 0;
    assert_true(out.count <= 8);
    for (size_t i = 0; i < out.count && !out.status; i++) {
        struct bs_pickled_tensor *t = &out.tensors[i];
        out.status = bs_pickle_next(pickle, &cursor, t, &out.err);
        snprintf(out.names[i], sizeof out.names[i], "%.*s", (int)t->name.length,
                 (const char *)t->name.bytes);
        t->name.bytes = t->storage.bytes = NULL; /* about to go */
    }
    bs_pickle_free(pickle);
    free(copy);
    return out;
}

static void check(const struct program *programs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct program *p = &programs[i];
        struct outcome out = run(p->bytes, p->size);
        if (!p->said && !out.status && out.count == p->tensors)
            continue;
        if (p->said && out.status && strstr(out.err.message, p->said) &&
            strstr(out.err.message, "place"))
            continue;
        fail_msg("program %zu: status %d, %zu tensors, %s; expected %zu, %s", i, out.status,
                 out.count, out.err.message, p->tensors, p->said ? p->said : "no error");
    }
}
#define CHECK(programs) check(programs, sizeof(programs) / sizeof(programs)[0])

static void test_tensor(void **state)
{
    (void)state;
    static const char plain[] = IN_DICT(TENSOR);
    struct outcome out = run(plain, sizeof plain - 1);
    assert_int_equal(out.status, BS_OK);
    assert_int_equal(out.count, 1);
    assert_int_equal(out.name_bytes, 1);
    const struct bs_pickled_tensor *t = &out.tensors[0];
    assert_string_equal(out.names[0], "a");
    assert_string_equal(t->dtype->name, "F32");
    assert_int_equal(t->storage.length, 1);
    assert_int_equal(t->storage_bytes, 48);
    assert_int_equal(t->offset, 1);
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[1], 3);
    assert_int_equal(t->count, 6);
    assert_int_equal(t->extent, 6);
    assert_false(t->strided);

    static const char turned[] = IN_DICT(VIEW("K\0K\3K\2\x86K\1K\5\x86"));
    out = run(turned, sizeof turned - 1);
    assert_int_equal(out.status, BS_OK);
    assert_true(t->strided);
    assert_int_equal(t->strides[0], 1);
    assert_int_equal(t->strides[1], 5);
    assert_int_equal(t->count, 6);
    assert_int_equal(t->extent, 2 * 1 + 1 * 5 + 1);

    /* Strides of dimensions of one element, or of no elements at all, do not count. */
    static const char unit[] = IN_DICT(VIEW("K\0K\1K\2\x86K\x63K\1\x86"));
    out = run(unit, sizeof unit - 1);
    assert_false(t->strided);
    assert_int_equal(t->extent, 2);
    static const char none[] = IN_DICT(VIEW("K\0K\0K\2\x86K\x63K\7\x86"));
    out = run(none, sizeof none - 1);
    assert_false(t->strided);
    assert_int_equal(t->count, 0);
    assert_int_equal(t->extent, 0);

    static const char typed[] =
        IN_DICT(V3 "(" BYTES "K\1K\2\x85K\1\x85\x89" ORDERED "ctorch\nfloat8_e5m2\ntR");
    out = run(typed, sizeof typed - 1);
    assert_int_equal(out.status, BS_OK);
    assert_string_equal(t->dtype->name, "F8_E5M2");
    assert_int_equal(t->storage_bytes, 12);
}

static void test_state_dicts(void **state)
{
    (void)state;
    static const struct program programs[] = {
        SOUND(IN_DICT(TENSOR), 1),
        SOUND(IN_DICT(PARAMETER TENSOR "\x88" ORDERED "\x87R"), 1),
        SOUND(PROTO ORDERED "(" TEXT1("a") TENSOR TEXT1("b") TENSOR "u.", 2),
        /* entries of other kinds, and keys that are no texts */
        SOUND(PROTO "}(" TEXT1("a") "N" TEXT1("b")
                  TENSOR TEXT1("c") "K\7" TEXT1("d") "G\0\0\0\0\0\0\0\0" TEXT1(
                      "e") "](K\1K\2e" TEXT1("f") "]K\1aK\5" TENSOR TEXT1("g") TEXT1("h")
                      TEXT1("i") "C\2xyu.",
              1),
        /* attributes, as torch hangs them on an OrderedDict */
        SOUND(PROTO ORDERED "(" TEXT1("a") TENSOR "u}" TEXT1("_") "}sb.", 1),
        /* one dict of tensors inside */
        SOUND(IN_DICT("}" TEXT1("b") TENSOR "s"), 1),
        SOUND(PROTO "}(" TEXT1("e") "K\3" TEXT1("m") "}" TEXT1("b") TENSOR "s" TEXT1("o") "}u.", 1),
        /* the same one twice is no choice to make */
        SOUND(PROTO "}(" TEXT1("m") "}" TEXT1("b") TENSOR "sq\0" TEXT1("n") "h\0u.", 1),
        /* a dict in itself */
        SOUND(PROTO "}q\0" TEXT1("a") TENSOR "s" TEXT1("m") "h\0s.", 1),
        /* the memo, in each of its spellings, and the stack's opcodes */
        SOUND(PROTO "}" TEXT1("a") TENSOR "q\0r\1\0\0\0\x94"
                                          "0h\1j\2\0\0\0"
                                          "020s.",
              1),
        SOUND(PROTO "}(K\1K\2"
                    "1" TEXT1("a") TENSOR "s.",
              1),
        /* texts and numbers of every length */
        SOUND("\x80\4\x95\1\0\0\0\0\0\0\0}\x8c\1"
              "a" TENSOR "s.",
              1),
        SOUND(PROTO "}\x8d\1\0\0\0\0\0\0\0"
                    "a" TENSOR "s.",
              1),
        SOUND(IN_DICT(VIEW("\x8a\0\x8a\1\2\x85"
                           "M\1\0\x85")),
              1),
        SOUND(IN_DICT(VIEW("J\0\0\0\0\x8b\4\0\0\0\2\0\0\0\x85"
                           "K\1\x85")),
              1),
        SOUND("\x80\4}" TEXT1("a") "\x8c\x0ctorch._utils\x8c\x12_rebuild_tensor_v2\x93(" FLOATS(
                  "K\x0c") "K\0K\1\x85K\1\x85\x89" ORDERED "tRs.",
              1),
        /* scalars, and more dimensions than are kept */
        SOUND(IN_DICT(VIEW("K\0))")), 1),
        SOUND(IN_DICT(VIEW("K\0(K\1K\1K\1K\1K\1K\2t(K\1K\1K\1K\1K\1K\1t")), 1),
        /* what stands after the end is not read */
        SOUND(IN_DICT(TENSOR) "\xff", 1),
    };
    CHECK(programs);
}

static void test_globals(void **state)
{
    (void)state;
    static const struct program programs[] = {
        BROKEN(PROTO "cos\nsystem\n(X\4\0\0\0exittR.", "asks for 'os.system'"),
        BROKEN("\x80\4\x8c\5posix\x8c\6system\x93\x8c\1x\x85R.", "asks for 'posix.system'"),
        BROKEN(PROTO "c__builtin__\neval\n.", "asks for '__builtin__.eval'"),
        BROKEN(PROTO "ctorch\nload\n.", "asks for 'torch.load'"),
        BROKEN(PROTO "ctorch._utils\n_rebuild_tensor\n.", "_rebuild_tensor'"),
        BROKEN(PROTO "ctorch._utils\n_rebuild_tensor_v2x\n.", "_rebuild_tensor_v2x'"),
        BROKEN(PROTO "ctorch._utils \n_rebuild_tensor_v2\n.", "'torch._utils ._rebuild"),
        BROKEN(PROTO "c\x1b[2J\nx\n.", "asks for '?[2J.x'"),
        BROKEN(PROTO "c\n\n.", "asks for '.'"),
        BROKEN(PROTO "ccollections\nFloatStorage\n.", "asks for"),
        /* opcodes that make objects by other ways, or that no state dict holds */
        BROKEN(PROTO "(i__main__\nX\n.", "byte 3: opcode 0x69"),
        BROKEN(PROTO "ccollections\nOrderedDict\n)\x81.", "opcode 0x81"),
        BROKEN(PROTO "\x82\1.", "opcode 0x82"),
        BROKEN(PROTO "P1\n.", "opcode 0x50"),
        BROKEN(PROTO "\x8f.", "opcode 0x8f"),
        BROKEN(PROTO "\xff.", "opcode 0xff"),
        BROKEN(PROTO "\0.", "opcode 0x00"),
        BROKEN("\x80\1}.", "pickle protocol 1, expected 2 to 5"),
        BROKEN("\x80\6}.", "pickle protocol 6, expected 2 to 5"),
        BROKEN("}.", "no pickle of protocol 2 to 5"),
        BROKEN("", "no pickle of protocol 2 to 5"),
    };
    CHECK(programs);
}

static void test_operands(void **state)
{
    (void)state;
    static const struct program programs[] = {
        /* nothing on the stack, or a mark, or no mark */
        BROKEN(PROTO "0.", "byte 2: the opcode's operand"),
        BROKEN(PROTO "2.", "operand"),
        BROKEN(PROTO "(2.", "operand"),
        BROKEN(PROTO "1.", "operand"),
        BROKEN(PROTO "t.", "operand"),
        BROKEN(PROTO "K\1t.", "operand"),
        BROKEN(PROTO "K\1\x86.", "operand"),
        BROKEN(PROTO "K\1(K\1\x86.", "operand"),
        BROKEN(PROTO "q\0.", "operand"),
        BROKEN(PROTO "(q\0.", "operand"),
        BROKEN(PROTO "\x94.", "operand"),
        BROKEN(PROTO "s.", "operand"),
        BROKEN(PROTO "K\1K\2K\3s.", "operand"),
        BROKEN(PROTO "}(K\1u.", "operand"),
        BROKEN(PROTO "(K\1K\2u.", "operand"),
        BROKEN(PROTO "K\1(K\1K\2u.", "operand"),
        BROKEN(PROTO "}K\1a.", "operand"),
        BROKEN(PROTO "}(K\1e.", "operand"),
        BROKEN(PROTO "K\1}b.", "operand"),
        BROKEN(PROTO "K\1\x85Q.", "persistent id"),
        BROKEN(PROTO ")Q.", "persistent id"),
        BROKEN(PROTO "K\1Q.", "operand"),
        BROKEN(PROTO "K\1K\2\x93.", "operand"),
        BROKEN(PROTO "K\1)R.", "operand"),
        BROKEN(PROTO "ccollections\nOrderedDict\nK\1R.", "operand"),
        BROKEN(PROTO "ccollections\nOrderedDict\nK\1\x85R.", "operand"),
        /* the memo */
        BROKEN(PROTO "h\0.", "nothing has number 0 in the memo"),
        BROKEN(PROTO "}q\1h\0.", "nothing has number 0 in the memo"),
        BROKEN(PROTO "}j\xff\xff\xff\xff.", "number 4294967295 in the memo"),
        BROKEN(PROTO "}r\xff\xff\xff\x7f.", "number 2147483647 of the memo"),
        /* the end */
        BROKEN(PROTO, "cut short"),
        BROKEN(PROTO "}", "cut short"),
        BROKEN(PROTO ".", "ends without an object"),
        BROKEN(PROTO "(.", "ends without an object"),
        BROKEN("\x80", "cut short"),
        BROKEN(PROTO "X\5\0\0\0abcd", "cut short"),
        BROKEN(PROTO "X\5\0\0", "cut short"),
        BROKEN(PROTO "X\xff\xff\xff\xff.", "cut short"),
        BROKEN(PROTO "\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "cut short"),
        BROKEN(PROTO "\x8b\xff\xff\xff\xff.", "cut short"),
        BROKEN(PROTO "\x95\x20\0\0\0\0\0\0\0}.", "frame"),
        BROKEN(PROTO "cos", "cut short"),
        BROKEN(PROTO "cos\nsystem", "cut short"),
    };
    CHECK(programs);
}

static void test_descriptions(void **state)
{
    (void)state;
#define BIG "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"
    static const struct program programs[] = {
        BROKEN(PROTO "K\1.", "is no dict"),
        BROKEN(IN_DICT("N"), "holds no tensors"),
        BROKEN(PROTO "}.", "holds no tensors"),
        BROKEN(IN_DICT("}" TEXT1("b") "}" TEXT1("c") TENSOR "ss"), "holds no tensors"),
        BROKEN(PROTO "}(" TEXT1("m") "}" TEXT1("b") TENSOR "s" TEXT1("n") "}" TEXT1("b") TENSOR
               "su.",
               "tensors stand in 'n' and elsewhere"),
        BROKEN(PROTO "}(" TEXT1("m") "}" TEXT1("b") TENSOR "s" TEXT1("n") TENSOR "u.",
               "tensors stand in 'm' and elsewhere"),
        /* storages */
        BROKEN(IN_DICT(V2 "(" FLOATS("N") "K\0))\x89" ORDERED "tR"), "persistent id"),
        BROKEN(IN_DICT(V2 "(" FLOATS("J\xff\xff\xff\xff") "K\0))\x89" ORDERED "tR"), "persistent"),
        BROKEN(IN_DICT(V2 "(" STORAGE("torch\nfloat32", "K\1") "K\0))\x89" ORDERED "tR"),
               "persistent id"),
        BROKEN(IN_DICT(V2 "(" FLOATS(BIG) "K\0))\x89" ORDERED "tR"), "tensor 'a': the product"),
        /* more than 64 bits */
        BROKEN(IN_DICT(V2 "(" FLOATS("\x8a\x09\0\0\0\0\0\0\0\0\1") "K\0))\x89" ORDERED "tR"),
               "persistent id"),
        /* views */
        BROKEN(IN_DICT(VIEW("N))")), "not described as torch does"),
        BROKEN(IN_DICT(VIEW("J\xff\xff\xff\xff))")), "not described"),
        BROKEN(IN_DICT(VIEW("K\0K\1)")), "not described"),
        BROKEN(IN_DICT(VIEW("K\0K\1\x85)")), "not described"),
        BROKEN(IN_DICT(VIEW("K\0)K\1\x85")), "not described"),
        BROKEN(IN_DICT(VIEW("K\0N\x85K\1\x85")), "not described"),
        BROKEN(IN_DICT(VIEW("K\0J\xff\xff\xff\xff\x85K\1\x85")), "not described"),
        BROKEN(IN_DICT(VIEW("K\0K\1\x85J\xff\xff\xff\xff\x85")), "not described"),
        BROKEN(IN_DICT(VIEW("K\0" BIG BIG "\x86K\1K\1\x86")), "the product of its sizes overflows"),
        BROKEN(IN_DICT(VIEW("K\0" BIG "\x85" BIG "\x85")), "the product of its sizes overflows"),
        BROKEN(IN_DICT(VIEW("K\0" BIG "K\3\x86K\2" BIG "\x86")), "overflows"),
        BROKEN(IN_DICT(VIEW("K\0K\2K\2K\2\x87" BIG BIG BIG "\x87")), "overflows"),
        /* tensors */
        BROKEN(IN_DICT(V2 "(K\1K\0))\x89" ORDERED "tR"), "not described"),
        BROKEN(IN_DICT(V2 "(" FLOATS("K\1") "K\0))\x89tR"), "not described"),
        BROKEN(IN_DICT(V2 "(" FLOATS("K\1") "K\0))\x89" ORDERED "NtR"), "not described"),
        BROKEN(IN_DICT(V2 ")R"), "not described"),
        BROKEN(IN_DICT(V2 "(" BYTES "K\0))\x89" ORDERED "tR"), "no element type"),
        BROKEN(IN_DICT(V3 "(" BYTES "K\0))\x89" ORDERED "NtR"), "no element type"),
        BROKEN(IN_DICT(V3 "(" BYTES "K\0))\x89" ORDERED "tR"), "not described"),
        BROKEN(IN_DICT(PARAMETER "K\1\x88" ORDERED "\x87R"), "a parameter is not described"),
        BROKEN(IN_DICT(PARAMETER TENSOR "\x85R"), "a parameter is not described"),
    };
    CHECK(programs);
}

/* Rank, stack and memo have bounds, and what is in them costs no more than its bytes do. */
static void test_bounds(void **state)
{
    (void)state;
    enum { DEEP = (1 << 20) + 1 };
    char *deep = malloc(DEEP + 3);
    memcpy(deep, PROTO, 2);
    memset(deep + 2, '(', DEEP);
    deep[DEEP + 2] = '.';
    struct outcome out = run(deep, DEEP + 3);
    assert_int_equal(out.status, BS_EDATA);
    assert_non_null(strstr(out.err.message, "more than 1048576 values on the stack"));
    /* Dicts in dicts: nothing recurses, neither here nor when they are freed. */
    for (int i = 0; i < DEEP; i += 5)
        memcpy(deep + 2 + i, "}h\0N0", DEEP - i < 5 ? DEEP - i : 5);
    memcpy(deep + 2, "}q\0", 3);
    out = run(deep, DEEP + 3);
    assert_int_not_equal(out.status, BS_OK);
    free(deep);

    size_t size = (16 << 20) + 1;
    char *large = calloc(size, 1);
    memcpy(large, PROTO, 2);
    out = run(large, size);
    assert_int_equal(out.status, BS_EUNSUPPORTED);
    assert_non_null(strstr(out.err.message, "16777217 bytes, expected at most 16777216"));
    free(large);

    for (int rank = 64; rank <= 65; rank++) {
        char program[1024];
        size_t used = 0;
#define APPEND(text) (memcpy(program + used, text, sizeof text - 1), used += sizeof text - 1)
        APPEND(PROTO "}" TEXT1("a") V2 "(" FLOATS("K\1") "K\0");
        for (int i = 0; i < 2; i++) {
            APPEND("(");
            for (int d = 0; d < rank; d++)
                APPEND("K\1");
            APPEND("t");
        }
        APPEND("\x89" ORDERED "tRs.");
        out = run(program, used);
        assert_int_equal(out.status, rank == 64 ? BS_OK : BS_EDATA);
        assert_true(rank == 65 || out.tensors[0].rank == 64);
    }
}

static void test_damage(void **state)
{
    (void)state;
    static const char sound[] = PROTO ORDERED "(" TEXT1("a") "q\0" TENSOR "q\1" TEXT1("b") PARAMETER
        "h\1\x88" ORDERED "\x87R" TEXT1("c") V3 "(" BYTES "K\1K\2\x85K\1\x85\x89" ORDERED
                                                "ctorch\nbfloat16\ntRu}" TEXT1("_") "}sb.";
    enum { SIZE = sizeof sound - 1 };
    char damaged[SIZE];
    assert_int_equal(run(sound, SIZE).count, 3);
    for (size_t at = 0; at < SIZE; at++) {
        assert_int_equal(run(sound, at).status, BS_EDATA);
        for (int value = 0; value < 256; value++) {
            memcpy(damaged, sound, SIZE);
            damaged[at] = (char)value;
            enum bs_status status = run(damaged, SIZE).status;
            assert_true(!status || status == BS_EDATA || status == BS_EUNSUPPORTED);
        }
    }
}

static void test_memory(void **state)
{
    (void)state;
    static const char sound[] = IN_DICT(TENSOR "q\0");
    struct outcome out;
    long n = 0;
    do {
        bs_alloc_fail_at(++n);
        out = run(sound, sizeof sound - 1);
    } while (allocation_failed(n, out.status, &out.err));
    assert_true(n > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensor),       cmocka_unit_test(test_state_dicts),
        cmocka_unit_test(test_globals),      cmocka_unit_test(test_operands),
        cmocka_unit_test(test_descriptions), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_damage),       cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
