/* The report: tables on the terminal, and what they were measured with. */
#include "tests/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "eval/base/isa.h"
#include "eval/linalg/blas.h"

static const char *const libraries[] = {"program", "openblas", "onednn"};
enum { NUM_LIBRARIES = sizeof libraries / sizeof *libraries };

/* The value of `key` in a file of "key: value" lines; "unknown" where there is none. */
static void read_value(const char *path, const char *key, char *out, size_t size)
{
    char line[512];
    snprintf(out, size, "unknown");
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (!colon || strncmp(line, key, strlen(key)))
            continue;
        colon += 1 + strspn(colon + 1, " \t");
        snprintf(out, size, "%.*s", (int)strcspn(colon, "\n"), colon);
        break;
    }
    if (file)
        fclose(file);
}

/* Runnable tasks over the last minute; on a busy machine the figures are worth little. */
static double load_average(void)
{
    double load = 0;
    FILE *file = fopen("/proc/loadavg", "r");
    if (file && fscanf(file, "%lf", &load) != 1)
        load = 0;
    if (file)
        fclose(file);
    return load;
}

json_t *bench_environment(const struct bs_numerics *numerics, int threads)
{
    char cpu[256], memory[64];
    struct utsname system;
    read_value("/proc/cpuinfo", "model name", cpu, sizeof cpu);
    read_value("/proc/meminfo", "MemTotal", memory, sizeof memory);
    uname(&system);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:f, s:s, s:f}", "version",
                     BS_VERSION, "commit", BS_COMMIT, "compiler", __VERSION__, "numerics",
                     (numerics ? numerics : bs_numerics())->plugin.name, "level",
                     bs_isa_name(bs_isa()), "libraries", bs_blas_name(), "cpu", cpu, "cores",
                     (int)sysconf(_SC_NPROCESSORS_ONLN), "threads", threads, "memory",
                     1024 * strtod(memory, NULL), "kernel", system.release, "load_average",
                     load_average());
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static const char *word(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

double bench_best_rate(const json_t *gemm)
{
    double best = 0;
    size_t i;
    json_t *shape;
    json_array_foreach(json_object_get(gemm, "shapes"), i, shape) for (int l = 0; l < NUM_LIBRARIES;
                                                                       l++) best =
        fmax(best, number(shape, libraries[l]));
    return best;
}

void bench_raise_rates(json_t *gemm, const json_t *again)
{
    json_t *shapes = json_object_get(gemm, "shapes"), *others = json_object_get(again, "shapes");
    for (size_t i = 0; i < json_array_size(shapes); i++)
        for (int l = 0; l < NUM_LIBRARIES; l++) {
            json_t *shape = json_array_get(shapes, i);
            double other = number(json_array_get(others, i), libraries[l]);
            double rate = fmax(number(shape, libraries[l]), other);
            json_object_set_new(shape, libraries[l], json_real(rate));
        }
}

static void print_environment(const json_t *e)
{
    printf("bitsweep %s (%s), gcc %s\n%s numerics at %s\n%s\n%s, %g cores, %.1f GB, Linux %s, load "
           "average %.2f\n",
           word(e, "version"), word(e, "commit"), word(e, "compiler"), word(e, "numerics"),
           word(e, "level"), word(e, "libraries"), word(e, "cpu"), number(e, "cores"),
           number(e, "memory") * 1e-9, word(e, "kernel"), number(e, "load_average"));
}

static void print_shape(const json_t *gemm, const json_t *shape)
{
    char size[64];
    double rate[NUM_LIBRARIES];
    snprintf(size, sizeof size, "%g x %g x %g", number(shape, "m"), number(shape, "n"),
             number(shape, "k"));
    printf("%-16s %7g %-8s %-4s %-20s", word(gemm, "model"), number(gemm, "threads"),
           word(shape, "use"), word(shape, "form"), size);
    for (int l = 0; l < NUM_LIBRARIES; l++) {
        rate[l] = number(shape, libraries[l]);
        printf(" %9.1f", rate[l]);
    }
    printf(" %7.2f\n", rate[0] / fmax(rate[1], rate[2]));
}

static void print_gemm(const json_t *list)
{
    size_t i, j;
    json_t *gemm, *shape;
    printf("\nfloat32 products, one a thread, best rate in Gflop/s; the program's by the better "
           "library's\n"
           "%-16s %7s %-8s %-4s %-20s %9s %9s %9s %7s\n",
           "model", "threads", "use", "form", "shape m x n x k", "program", "OpenBLAS", "oneDNN",
           "ratio");
    json_array_foreach(list, i, gemm)
    {
        json_array_foreach(json_object_get(gemm, "shapes"), j, shape) print_shape(gemm, shape);
        printf("%-16s %7g %-34s %9.1f\n", word(gemm, "model"), number(gemm, "threads"), "best",
               bench_best_rate(gemm));
    }
}

/* A number in its column, or a dash where there is none. */
static void print_cell(int width, int decimals, double value)
{
    if (isfinite(value))
        printf(" %*.*f", width, decimals, value);
    else
        printf(" %*s", width, "-");
}

static void print_rows(const json_t *rows)
{
    size_t i;
    json_t *row;
    printf("\n%-16s %-22s %6s %-12s %7s %9s %10s %10s %7s %9s %9s %9s %7s %8s %8s\n", "model",
           "case", "blocks", "windows", "threads", "time", "quantizing", "evaluating", "head",
           "tokens/s", "Gflop", "Gflop/s", "of GEMM", "peak", "private");
    printf("%-16s %-22s %6s %-12s %7s %9s %10s %10s %7s %9s %9s %9s %7s %8s %8s\n", "", "", "", "",
           "", "s", "s", "s", "s", "", "", "", "%", "MB", "MB");
    json_array_foreach(rows, i, row)
    {
        const json_t *memory = json_object_get(row, "memory");
        char windows[32];
        snprintf(windows, sizeof windows, "%g x %g", number(row, "windows"), number(row, "tokens"));
        printf("%-16s %-22s %6g %-12s %7g", word(row, "model"), word(row, "case"),
               number(row, "layers"), windows, number(row, "threads"));
        print_cell(9, 2, number(row, "seconds"));
        print_cell(10, 2, number(row, "seconds_quantize"));
        print_cell(10, 2, number(row, "seconds_evaluate"));
        print_cell(7, 2, number(row, "seconds_head"));
        print_cell(9, 1, number(row, "tokens_per_second"));
        print_cell(9, 1, number(row, "flops") * 1e-9);
        print_cell(9, 1, number(row, "gflops_per_second"));
        print_cell(7, 1, number(row, "share_of_gemm") * 100);
        print_cell(8, 0, number(memory, "peak") * 1e-6);
        print_cell(8, 0, number(memory, "peak_private") * 1e-6);
        printf("\n");
    }
}

static void print_ratios(const json_t *ratios)
{
    size_t i;
    json_t *ratio;
    if (json_array_size(ratios))
        printf("\n");
    json_array_foreach(ratios, i, ratio) printf("%-16s %-64s %6.2f\n", word(ratio, "model"),
                                                word(ratio, "name"), number(ratio, "ratio"));
}

/* Held against the first. */
static void print_formats(const json_t *formats)
{
    size_t i;
    json_t *format;
    double first = number(json_array_get(formats, 0), "program");
    printf("\nrounding on one thread, ns of the processor a weight\n"
           "%-28s %9s %9s %9s %9s\n",
           "format", "program", "by first", "ggml", "by ggml");
    json_array_foreach(formats, i, format)
    {
        double program = number(format, "program"), ggml = number(format, "ggml");
        printf("%-28s", word(format, "name"));
        print_cell(9, 3, program);
        print_cell(9, 2, program / first);
        print_cell(9, 3, ggml);
        print_cell(9, 2, program / ggml);
        printf("\n");
    }
}

static void print_report(const json_t *report)
{
    print_environment(json_object_get(report, "environment"));
    if (json_object_get(report, "formats"))
        print_formats(json_object_get(report, "formats"));
    if (!json_array_size(json_object_get(report, "rows")) &&
        !json_array_size(json_object_get(report, "gemm")))
        return;
    print_gemm(json_object_get(report, "gemm"));
    print_rows(json_object_get(report, "rows"));
    print_ratios(json_object_get(report, "ratios"));
}

void bench_fill_shares(json_t *rows, size_t first, const json_t *gemm)
{
    double best = bench_best_rate(gemm);
    for (size_t i = first; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i), *flops = json_object_get(row, "flops");
        if (!json_equal(json_object_get(row, "threads"), json_object_get(gemm, "threads")) ||
            !json_is_number(flops))
            continue;
        double rate = json_number_value(flops) / number(row, "seconds") * 1e-9;
        json_object_set_new(row, "gflops_per_second", json_real(rate));
        json_object_set_new(row, "share_of_gemm", json_real(rate / best));
    }
}

void bench_report(const json_t *report, const char *path)
{
    struct bs_error err;
    print_report(report);
    if (bs_make_parent(path, &err))
        bench_fail("%s", err.message);
    if (json_dump_file(report, path, JSON_INDENT(1) | JSON_REAL_PRECISION(9)))
        bench_fail("%s: cannot be written", path);
    printf("\n%s\n", path);
}
