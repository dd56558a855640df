/* What containers, batch systems and shells allow, read from folders that look like /proc and
 * /sys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "eval/base/file.h"
#include "eval/base/machine.h"
#include "tests/support/folder.h"

static void put(const char *place, const char *text)
{
    struct bs_error err;
    assert_int_equal(bs_make_parent(folder_file(&folder, place), &err), 0);
    folder_write_text(&folder, place, text);
}

static char root[512];

/* A root of its own for each test, with 8 GB available and no limit. */
static void begin(const char *name, const char *cgroup, const char *mountinfo)
{
    char place[128];
    snprintf(root, sizeof root, "%s", folder_file(&folder, name));
    snprintf(place, sizeof place, "%s/proc/meminfo", name);
    put(place, "MemTotal: 16000000 kB\nMemFree: 1 kB\nMemAvailable:    8000000 kB\n");
    snprintf(place, sizeof place, "%s/proc/self/cgroup", name);
    put(place, cgroup);
    snprintf(place, sizeof place, "%s/proc/self/mountinfo", name);
    put(place, mountinfo);
    snprintf(place, sizeof place, "%s/proc/self/status", name);
    put(place, "VmSize:\t  100000 kB\nVmData:\t  50000 kB\n");
}

static const char v2_mount[] =
    "22 1 8:1 / / rw - ext4 /dev/root rw\n"
    "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
static const char v1_mounts[] =
    "22 1 8:1 / / rw - ext4 /dev/root rw\n"
    "31 22 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    "32 22 0:28 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

static void without_groups_the_machine_decides(void **state)
{
    (void)state;
    begin("none", "", "");
    assert_true(bs_free_memory(root) == 8000000 * 1024.0);
    assert_int_equal(bs_cpu_quota(root), 0);
    assert_true(bs_free_memory("/nowhere") == 2e9); /* nothing is known */
}

static void version_2_with_groups_above(void **state)
{
    (void)state;
    begin("v2", "0::/batch/job/step\n", v2_mount);
    put("v2/sys/fs/cgroup/batch/job/step/memory.max", "max\n");
    put("v2/sys/fs/cgroup/batch/job/step/memory.current", "1000\n");
    put("v2/sys/fs/cgroup/batch/job/memory.max", "200000000\n");
    put("v2/sys/fs/cgroup/batch/job/memory.current", "150000000\n");
    put("v2/sys/fs/cgroup/batch/job/memory.stat",
        "anon 1\nfile 90000000\ninactive_file 60000000\nactive_file 30000000\n");
    put("v2/sys/fs/cgroup/batch/memory.max", "900000000\n");
    put("v2/sys/fs/cgroup/batch/memory.current", "100\n");
    assert_true(bs_free_memory(root) == 140e6); /* its file cache can be had */
    put("v2/sys/fs/cgroup/batch/memory.high", "100000100\n");
    assert_true(bs_free_memory(root) == 100e6);
    put("v2/sys/fs/cgroup/batch/memory.current", "200000000\n");
    assert_true(bs_free_memory(root) == 0);

    put("v2/sys/fs/cgroup/batch/job/step/cpu.max", "max 100000\n");
    assert_int_equal(bs_cpu_quota(root), 0);
    put("v2/sys/fs/cgroup/batch/cpu.max", "150000 100000\n");
    assert_int_equal(bs_cpu_quota(root), 2);
    put("v2/sys/fs/cgroup/batch/job/cpu.max", "20000 50000\n");
    assert_int_equal(bs_cpu_quota(root), 1);
}

/* In a container the group's own folder is the mount, whatever its path outside is. */
static void version_1_in_a_container(void **state)
{
    (void)state;
    begin("v1", "5:memory:/docker/abc\n4:cpu,cpuacct:/user/x\n0::/\n", v1_mounts);
    put("v1/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("v1/sys/fs/cgroup/memory/memory.usage_in_bytes", "100000000\n");
    assert_true(bs_free_memory(root) == 8000000 * 1024.0);
    put("v1/sys/fs/cgroup/memory/memory.limit_in_bytes", "500000000\n");
    put("v1/sys/fs/cgroup/memory/memory.stat",
        "total_inactive_file 30000000\ntotal_active_file 20000000\n"
        "hierarchical_memory_limit 9223372036854771712\n");
    assert_true(bs_free_memory(root) == 450e6);
    put("v1/sys/fs/cgroup/memory/memory.stat", "hierarchical_memory_limit 300000000\n");
    assert_true(bs_free_memory(root) == 200e6);

    put("v1/sys/fs/cgroup/cpu/user/x/cpu.cfs_quota_us", "-1\n");
    put("v1/sys/fs/cgroup/cpu/user/x/cpu.cfs_period_us", "100000\n");
    assert_int_equal(bs_cpu_quota(root), 0);
    put("v1/sys/fs/cgroup/cpu/user/cpu.cfs_quota_us", "350000\n");
    put("v1/sys/fs/cgroup/cpu/user/cpu.cfs_period_us", "100000\n");
    assert_int_equal(bs_cpu_quota(root), 4);
}

/* Garbage is no limit. */
static void what_cannot_be_read_is_no_limit(void **state)
{
    (void)state;
    begin("bad", "0:\nnonsense\n0::/a\n",
          "nonsense\n1 2\n - cgroup2\n30 22 0:26 / /sys - cgroup2 x rw\n");
    put("bad/sys/a/memory.max", "much\n");
    put("bad/sys/a/cpu.max", "\n");
    assert_true(bs_free_memory(root) == 8000000 * 1024.0);
    assert_int_equal(bs_cpu_quota(root), 0);
}

static void limits_of_the_process(void **state)
{
    (void)state;
    static const int limits[] = {RLIMIT_AS, RLIMIT_DATA};
    static const double taken[] = {100000 * 1024.0, 50000 * 1024.0};
#ifdef __SANITIZE_ADDRESS__ /* takes more address space than any limit leaves */
    skip();
#endif
    begin("rlimit", "", "");
    for (int i = 0; i < 2; i++) {
        struct rlimit before, now;
        assert_int_equal(getrlimit(limits[i], &before), 0);
        now = before;
        now.rlim_cur = (rlim_t)7 << 30;
        assert_int_equal(setrlimit(limits[i], &now), 0);
        double bytes = bs_free_memory(root);
        assert_int_equal(setrlimit(limits[i], &before), 0);
        assert_true(bytes == 7 * 1073741824.0 - taken[i]);
    }
}

static void threads_are_openmps_where_it_is_told(void **state)
{
    (void)state;
    int threads = bs_default_threads();
    assert_true(threads >= 1);
    unsetenv("OMP_NUM_THREADS");
    assert_true(bs_default_threads() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_groups_the_machine_decides),
        cmocka_unit_test(version_2_with_groups_above),
        cmocka_unit_test(version_1_in_a_container),
        cmocka_unit_test(what_cannot_be_read_is_no_limit),
        cmocka_unit_test(limits_of_the_process),
        cmocka_unit_test(threads_are_openmps_where_it_is_told),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
