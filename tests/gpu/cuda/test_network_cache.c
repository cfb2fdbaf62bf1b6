#include "gpu/cuda/network_cache.h"

#include "base/fault.h"
#include "base/memory.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

static void begin(void) {
    snprintf(folder, sizeof folder, "/tmp/patchbank-plans-XXXXXX");
    cr_assert(mkdtemp(folder));
}

/* Calls for each file of the folder; returns how many there are. */
static int files(char last[400]) {
    int count = 0;
    DIR *opened = opendir(folder);
    for (struct dirent *at; (at = readdir(opened));)
        if (at->d_name[0] != '.') {
            snprintf(last, 400, "%s/%s", folder, at->d_name);
            count++;
        }
    closedir(opened);
    return count;
}

static void end(void) {
    char path[400];
    while (files(path) > 0)
        remove(path);
    rmdir(folder);
}

TestSuite(network_cache, .init = begin, .fini = end);

static void check_get(const pb_plan_cache *cache, const char *key, const char *expected) {
    char *plan;
    test_must(pb_plan_cache_get(cache, key, &plan));
    cr_assert_eq(plan != NULL, expected != NULL, "%s", key);
    if (expected)
        cr_assert_str_eq(plan, expected);
    pb_release(&plan);
}

static pb_plan_cache opened(const char *maker) {
    pb_plan_cache cache;
    test_must(pb_plan_cache_open(folder, maker, &cache));
    return cache;
}

/* Two plans of a maker in the file; its path. */
static void write_file(char path[400]) {
    pb_plan_cache cache = opened("cuDNN 9; {a device}");
    test_must(pb_plan_cache_put(&cache, "conv", "{one}"));
    test_must(pb_plan_cache_put(&cache, "pool", "{two}"));
    test_must(pb_plan_cache_save(&cache));
    pb_plan_cache_close(&cache);
    cr_assert_eq(files(path), 1, "one file, and no temporary one");
}

Test(network_cache, keeps_plans) {
    char path[400];
    write_file(path);
    pb_plan_cache cache = opened("cuDNN 9; {a device}");
    cr_assert_str_eq(cache.trouble, "");
    check_get(&cache, "conv", "{one}");
    check_get(&cache, "pool", "{two}");
    check_get(&cache, "con", NULL);
    check_get(&cache, "convolution", NULL);
    test_must(pb_plan_cache_put(&cache, "conv", "{other}"));
    check_get(&cache, "conv", "{other}");
    for (int i = 0; i < 200; i++) { /* through several sizes of the array */
        char key[20], plan[2000];
        snprintf(key, sizeof key, "key %d", i);
        memset(plan, 'a' + i % 26, sizeof plan);
        plan[i * 10] = '\0';
        test_must(pb_plan_cache_put(&cache, key, plan));
    }
    test_must(pb_plan_cache_save(&cache));
    pb_plan_cache_close(&cache);
    cache = opened("cuDNN 9; {a device}");
    check_get(&cache, "conv", "{other}");
    check_get(&cache, "key 0", "");
    check_get(&cache, "key 3", "dddddddddddddddddddddddddddddd");
    pb_plan_cache_close(&cache);
}

Test(network_cache, makers_are_apart) {
    char path[400];
    write_file(path);
    pb_plan_cache other = opened("cuDNN 10; {a device}");
    cr_assert_str_eq(other.trouble, "");
    check_get(&other, "conv", NULL);
    char theirs[400];
    snprintf(theirs, sizeof theirs, "%s", other.path);
    pb_plan_cache_close(&other);
    cr_assert_eq(rename(path, theirs), 0);
    other = opened("cuDNN 10; {a device}");
    cr_assert_str_eq(other.trouble, "of another cuDNN or device");
    check_get(&other, "conv", NULL);
    test_must(pb_plan_cache_put(&other, "conv", "{new}"));
    test_must(pb_plan_cache_save(&other)); /* over the foreign one */
    pb_plan_cache_close(&other);
    other = opened("cuDNN 10; {a device}");
    check_get(&other, "conv", "{new}");
    check_get(&other, "pool", NULL);
    pb_plan_cache_close(&other);
}

Test(network_cache, without_a_folder_nothing_is_written) {
    pb_plan_cache cache;
    for (int i = 0; i < 2; i++) {
        test_must(pb_plan_cache_open(i ? "" : NULL, "maker", &cache));
        check_get(&cache, "conv", NULL);
        test_must(pb_plan_cache_put(&cache, "conv", "{one}"));
        check_get(&cache, "conv", "{one}");
        test_must(pb_plan_cache_save(&cache));
        pb_plan_cache_close(&cache);
    }
    char path[400];
    cr_assert_eq(files(path), 0);
}

/* ---- what is not trusted ---- */

static size_t read_file(const char *path, char bytes[4096]) {
    FILE *file = fopen(path, "rb");
    size_t count = fread(bytes, 1, 4096, file);
    fclose(file);
    return count;
}

static void write_bytes(const char *path, const char *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    cr_assert_eq(fwrite(bytes, 1, count, file), count);
    fclose(file);
}

/* Whether the file, as it is, gives an empty cache and says why. */
static void check_refused(const char *what, size_t where) {
    pb_plan_cache cache = opened("cuDNN 9; {a device}");
    cr_assert_str_neq(cache.trouble, "", "%s %zu: taken", what, where);
    check_get(&cache, "conv", NULL);
    pb_plan_cache_close(&cache);
}

Test(network_cache, damage_anywhere_is_an_empty_cache) {
    char path[400], bytes[4096], damaged[4096];
    write_file(path);
    const size_t count = read_file(path, bytes);
    cr_assert(count > 100 && count < sizeof bytes);
    for (size_t i = 0; i < count; i++) {
        memcpy(damaged, bytes, count);
        damaged[i] = (char)(damaged[i] ^ 1 << i % 8);
        write_bytes(path, damaged, count);
        check_refused("bit of byte", i);
        write_bytes(path, bytes, i);
        check_refused("cut at", i);
    }
    write_bytes(path, bytes, count);
    pb_plan_cache cache = opened("cuDNN 9; {a device}");
    check_get(&cache, "conv", "{one}");
    pb_plan_cache_close(&cache);
}

static uint64_t fnv(const char *bytes, size_t count) {
    uint64_t sum = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < count; i++)
        sum = (sum ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
    return sum;
}

static void check_length(const char *path, const char *bytes, size_t count, size_t place, uint64_t length) {
    char damaged[4096];
    memcpy(damaged, bytes, count);
    memcpy(damaged + place, &length, 8);
    if (memcmp(damaged, bytes, count) == 0)
        return;
    uint64_t sum = fnv(damaged, count - 8);
    memcpy(damaged + count - 8, &sum, 8);
    write_bytes(path, damaged, count);
    check_refused("length", place);
}

/* Lengths of maker, keys and plans that lead outside or nowhere, with a checksum that is right: bounds are checked all the same.
 */
Test(network_cache, wrong_lengths_are_found_behind_a_right_checksum) {
    static const uint64_t FAR[] = {UINT64_C(1) << 32, UINT64_MAX, UINT64_MAX - 20, UINT64_MAX - 40};
    char path[400], bytes[4096];
    write_file(path);
    const size_t count = read_file(path, bytes), maker = strlen("cuDNN 9; {a device}"), second = 24 + maker + 16 + 9;
    const size_t places[] = {16, 24 + maker, 32 + maker, second, second + 8};
    for (size_t p = 0; p < 5; p++) {
        for (uint64_t length = 0; length < count + 10; length++)
            check_length(path, bytes, count, places[p], length);
        for (size_t f = 0; f < sizeof FAR / sizeof *FAR; f++)
            check_length(path, bytes, count, places[p], FAR[f]);
    }
}

Test(network_cache, a_file_that_others_may_write_is_not_read) {
    char path[400];
    write_file(path);
    cr_assert_eq(chmod(path, 0660), 0);
    check_refused("group", 0);
    cr_assert_eq(chmod(path, 0602), 0);
    check_refused("others", 0);
    if (geteuid() == 0) { /* only root can give a file away */
        cr_assert(chmod(path, 0600) == 0 && chown(path, 12345, (gid_t)-1) == 0);
        check_refused("another user's", 0);
        cr_assert_eq(chown(path, 0, (gid_t)-1), 0);
    }
    cr_assert_eq(chmod(path, 0600), 0);
    char link[420];
    snprintf(link, sizeof link, "%s.moved", path);
    cr_assert_eq(rename(path, link), 0);
    cr_assert_eq(symlink(link, path), 0);
    check_refused("link", 0);
    remove(path);
    cr_assert_eq(mkdir(path, 0700), 0);
    check_refused("folder", 0);
}

Test(network_cache, is_private_to_its_user) {
    char path[400];
    struct stat about;
    write_file(path);
    cr_assert_eq(stat(path, &about), 0);
    cr_assert_eq(about.st_mode & 0777, 0600);
}

/* Ranks of a node compile at the same time. Whenever a file is there, it is whole, and nothing else is left in the end. */
Test(network_cache, processes_may_save_at_once, .timeout = 60) {
    enum { PROCESSES = 3, TIMES = 30 };
    pid_t children[PROCESSES];
    char path[400];
    write_file(path);
    for (int c = 0; c < PROCESSES; c++)
        if ((children[c] = fork()) == 0) {
            bool sound = true;
            for (int i = 0; i < TIMES; i++) {
                char key[40], *plan = NULL;
                pb_plan_cache cache = opened("cuDNN 9; {a device}");
                snprintf(key, sizeof key, "of process %d: %d", c, i);
                pb_status status = pb_plan_cache_get(&cache, "conv", &plan);
                sound = sound && !pb_failed(&status) && !cache.trouble[0] && plan && strcmp(plan, "{one}") == 0;
                pb_release(&plan);
                pb_keep_first(&status, pb_plan_cache_put(&cache, key, "{more}"));
                pb_keep_first(&status, pb_plan_cache_save(&cache));
                sound = sound && !pb_failed(&status);
                pb_plan_cache_close(&cache);
            }
            _exit(sound ? 0 : 1);
        }
    for (int c = 0; c < PROCESSES; c++) {
        int answer;
        cr_assert_eq(waitpid(children[c], &answer, 0), children[c]);
        cr_assert_eq(answer, 0, "process %d", c);
    }
    cr_assert_eq(files(path), 1);
}

/* ---- errors ---- */

Test(network_cache, a_folder_that_is_not_there_is_an_error_of_save) {
    pb_plan_cache cache;
    char missing[100];
    snprintf(missing, sizeof missing, "%s/none", folder);
    test_must(pb_plan_cache_open(missing, "maker", &cache));
    test_must(pb_plan_cache_save(&cache)); /* nothing new */
    test_must(pb_plan_cache_put(&cache, "conv", "{one}"));
    pb_status status = pb_plan_cache_save(&cache);
    cr_assert_eq(status.code, PB_E_INPUT);
    cr_assert(strstr(status.message, missing), "%s", status.message);
    pb_plan_cache_close(&cache);
}

Test(network_cache, memory_that_is_refused_leaves_nothing) {
    char path[400];
    write_file(path);
    for (int hit = 1, done = 0; !done; hit++) {
        char fault[32];
        pb_plan_cache cache;
        snprintf(fault, sizeof fault, "base.allocate@0:%d", hit);
        test_must(pb_fault_arm(fault, 0));
        pb_status status = pb_plan_cache_open(folder, "cuDNN 9; {a device}", &cache);
        done = !pb_failed(&status) && !cache.trouble[0];
        cr_assert(done || status.code == PB_E_SYSTEM || strstr(cache.trouble, "memory"), "%d: %s", hit, status.message);
        pb_plan_cache_close(&cache);
        cr_assert_lt(hit, 10);
    }
}
