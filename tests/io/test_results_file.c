/* Checks io/results_file.c: what h5py and Python's csv read of it, the same bytes in any order of blocks, both files or
 * neither. */
#include "io/file.h"
#include "io/results_file.h"
#include "oracle.h"
#include "sample.h"
#include "trouble.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IMAGES = 23, COLUMNS = 5, ROWS = 3, PATCHES = ROWS * COLUMNS, BANK_ROWS = 9 };
static const pb_size GRID = {.width = COLUMNS, .height = ROWS};

static char folder[ORACLE_PATH], h5_path[2 * ORACLE_PATH], csv_path[2 * ORACLE_PATH];

static void make_folder(void) {
    oracle_folder(folder);
    snprintf(h5_path, sizeof h5_path, "%s/results.h5", folder);
    snprintf(csv_path, sizeof csv_path, "%s/scores.csv", folder);
}

static void remove_folder(void) {
    trouble_arm("");
    oracle_remove(folder);
}

TestSuite(results_file, .init = make_folder, .fini = remove_folder);

/* Images first .. first + count - 1 by the formulas of h5_check.py. */
static pb_status write_block(pb_results_writer *writer, uint64_t first, size_t count) {
    float score[IMAGES], map[IMAGES * PATCHES];
    uint32_t patch[IMAGES], nearest[IMAGES];
    double brightness[IMAGES][PB_BRIGHTNESS_STATS];
    uint64_t archive_index[IMAGES];
    char path[IMAGES][32], group[IMAGES][16];
    pb_record records[IMAGES];
    pb_result_block block = {count, score, map, patch, nearest, brightness};
    for (size_t k = 0; k < count; k++) {
        uint64_t i = first + k;
        score[k] = (float)((double)i / 7.0);
        for (int s = 0; s < PB_BRIGHTNESS_STATS; s++)
            brightness[k][s] = (double)i / 9.0 + s;
        patch[k] = (uint32_t)(i * 5 % PATCHES);
        nearest[k] = (uint32_t)(i * 11 % BANK_ROWS);
        archive_index[k] = 2 * i + 1;
        for (uint64_t p = 0; p < PATCHES; p++)
            map[k * PATCHES + p] = (float)(i * PATCHES + p) / 3.0f;
        snprintf(path[k], sizeof path[k], i % 3 == 0 ? "p/%d, \"quoted\".png" : "p/%d.png", (int)i);
        snprintf(group[k], sizeof group[k], "m%d", (int)(i / 2));
        records[k] = (pb_record){.path = path[k], .class = i % 4 == 0 ? "bolt\nnut" : "", .group = group[k],
                                 .split = i % 2 ? PB_SPLIT_TEST : PB_SPLIT_TRAIN, .label = (int)(i % 3) - 1};
    }
    return pb_results_write(writer, first, &block, archive_index, records);
}

static pb_status publish(pb_results_writer **writer) {
    char text[BANK_ROWS][32], *paths[BANK_ROWS];
    for (int i = 0; i < BANK_ROWS; i++) {
        snprintf(text[i], sizeof text[i], "bank/%d.png", i);
        paths[i] = text[i];
    }
    return pb_results_publish(writer, csv_path, paths, BANK_ROWS);
}

/* The whole of it, in blocks of `block` images, forwards or backwards. */
static pb_status write_results(size_t block, bool backwards) {
    pb_results_writer *writer = NULL;
    pb_attributes attributes = {0};
    sample_assert_ok(pb_attributes_set(&attributes, "bank_sha256", "0123"));
    pb_status status = pb_results_create(h5_path, IMAGES, GRID, &attributes, &writer);
    size_t blocks = (IMAGES + block - 1) / block;
    for (size_t k = 0; k < blocks && status.code == PB_OK; k++) {
        uint64_t first = (backwards ? blocks - 1 - k : k) * block;
        status = write_block(writer, first, IMAGES - first < block ? IMAGES - first : block);
    }
    if (status.code == PB_OK)
        status = publish(&writer);
    pb_results_abandon(&writer);
    pb_attributes_free(&attributes);
    return status;
}

static void assert_names(const char *expected) {
    char *names = trouble_names(folder);
    cr_assert_str_eq(names, expected);
    free(names);
}

Test(results_file, h5py_and_csv_read_it) {
    char words[6 * ORACLE_PATH];
    sample_assert_ok(write_results(5, false));
    assert_names("results.h5 scores.csv ");
    snprintf(words, sizeof words, "results '%s' '%s' %d %d %d %d", h5_path, csv_path, IMAGES, ROWS, COLUMNS, BANK_ROWS);
    char *answer = oracle_python("tests/io/h5_check.py", words, NULL);
    cr_assert_str_eq(answer, "ok [('format', 'patchbank-results'), ('format_version', '1'), ('bank_sha256', '0123')]\n");
    free(answer);
}

typedef struct order {
    size_t block;
    bool backwards;
} order;

static pb_status write_in_order(void *context) {
    const order *chosen = context;
    return write_results(chosen->block, chosen->backwards);
}

Test(results_file, order_of_blocks_does_not_show) {
    static order orders[] = {{IMAGES, false}, {1, false}, {1, true}, {7, true}};
    uint8_t *first_h5 = NULL, *first_csv = NULL;
    size_t h5_size = 0, csv_size = 0;
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        size_t size;
        sleep(i == 1); /* a time in the file would show */
        sample_assert_ok(trouble_child(write_in_order, &orders[i], -1, i % 2 ? 0x55 : 0xAA));
        uint8_t *h5 = oracle_read(h5_path, &size);
        cr_assert(!first_h5 || (size == h5_size && memcmp(h5, first_h5, size) == 0), "order %zu", i);
        free(first_h5);
        first_h5 = h5;
        h5_size = size;
        uint8_t *csv = oracle_read(csv_path, &size);
        cr_assert(!first_csv || (size == csv_size && memcmp(csv, first_csv, size) == 0), "order %zu", i);
        free(first_csv);
        first_csv = csv;
        csv_size = size;
    }
    free(first_h5);
    free(first_csv);
}

Test(results_file, reads_what_eval_needs) {
    pb_results results;
    sample_assert_ok(write_results(6, true));
    sample_assert_ok(pb_results_read(h5_path, &results));
    cr_assert_eq(results.images, IMAGES);
    cr_assert(pb_size_equal(results.grid, GRID));
    for (uint64_t i = 0; i < IMAGES; i++) {
        char group[16];
        snprintf(group, sizeof group, "m%d", (int)(i / 2));
        cr_assert_eq(results.score[i], (float)((double)i / 7.0));
        for (int s = 0; s < PB_BRIGHTNESS_STATS; s++)
            cr_assert_eq(results.brightness[i][s], (double)i / 9.0 + s);
        cr_assert_eq(results.label[i], (int)(i % 3) - 1);
        cr_assert_eq(results.archive_index[i], 2 * i + 1);
        cr_assert_str_eq(results.classes[i], i % 4 == 0 ? "bolt\nnut" : "");
        cr_assert_str_eq(results.groups[i], group);
    }
    cr_assert_str_eq(results.paths[0], "p/0, \"quoted\".png");
    cr_assert_str_eq(results.paths[1], "p/1.png");
    cr_assert_str_eq(pb_attributes_get(&results.attributes, "bank_sha256"), "0123");
    pb_results_free(&results);
    pb_results_free(&results);
}

Test(results_file, maps_are_read_in_stretches) {
    static const size_t STRETCHES[][2] = {{0, IMAGES}, {3, 7}, {IMAGES - 1, 1}, {IMAGES, 0}};
    float values[IMAGES * PATCHES];
    pb_results results;
    pb_results_maps *maps;
    sample_assert_ok(write_results(6, false));
    sample_assert_ok(pb_results_read(h5_path, &results));
    sample_assert_ok(pb_results_maps_open(h5_path, &results, &maps));
    for (size_t s = 0; s < sizeof STRETCHES / sizeof *STRETCHES; s++) {
        sample_assert_ok(pb_results_maps_read(maps, STRETCHES[s][0], STRETCHES[s][1], values));
        for (size_t i = 0; i < STRETCHES[s][1] * PATCHES; i++)
            cr_assert_eq(values[i], (float)(STRETCHES[s][0] * PATCHES + i) / 3.0f);
    }
    pb_results_maps_close(&maps);
    pb_results_maps_close(&maps);
    pb_results_free(&results);
}

/* Changes one bit of the map of image 4, found by its values. */
static void damage_a_map(void) {
    size_t size;
    float map[PATCHES];
    for (size_t p = 0; p < PATCHES; p++)
        map[p] = (float)(4 * PATCHES + p) / 3.0f;
    uint8_t *bytes = oracle_read(h5_path, &size), *found = NULL;
    for (size_t at = 0; at + sizeof map <= size && !found; at++)
        found = memcmp(bytes + at, map, sizeof map) == 0 ? bytes + at : NULL;
    cr_assert_not_null(found);
    found[sizeof map / 2] ^= 1;
    oracle_write(h5_path, bytes, size);
    free(bytes);
}

Test(results_file, a_damaged_map_is_named) {
    float values[IMAGES * PATCHES];
    pb_results results;
    pb_results_maps *maps;
    sample_assert_ok(write_results(6, false));
    damage_a_map();
    sample_assert_ok(pb_results_read(h5_path, &results));
    sample_assert_ok(pb_results_maps_open(h5_path, &results, &maps));
    sample_assert_ok(pb_results_maps_read(maps, 5, IMAGES - 5, values));
    sample_assert_failed(pb_results_maps_read(maps, 2, 4, values), PB_E_INPUT, "the map of image 4 is damaged");
    pb_results_maps_close(&maps);
    cr_assert_eq(pb_results_maps_open("nowhere", &results, &maps).code, PB_E_INPUT);
    cr_assert_null(maps);
    pb_results_free(&results);
}

Test(results_file, no_images) {
    pb_results_writer *writer;
    pb_results results;
    sample_assert_ok(pb_results_create(h5_path, 0, GRID, NULL, &writer));
    sample_assert_ok(publish(&writer));
    cr_assert_null(writer);
    sample_assert_ok(pb_results_read(h5_path, &results));
    cr_assert_eq(results.images, 0);
    cr_assert(pb_size_equal(results.grid, GRID));
    pb_results_free(&results);
}

/* Two images, the second of which could not be read. nearest_of_second: PB_RESULT_UNSCORED, or something else with its NaN. odd:
 * a value of the first one's map. */
static void write_unscored(uint32_t nearest_of_second, float odd) {
    float score[2] = {1.5f, NAN}, map[2 * PATCHES] = {0};
    uint32_t patch[2] = {6, 0}, nearest[2] = {1, nearest_of_second};
    double brightness[2][PB_BRIGHTNESS_STATS] = {{1, 2, 3, 4}, {NAN, NAN, NAN, NAN}};
    uint64_t index[2] = {0, 1};
    pb_record records[2] = {{.path = "a", .class = "", .group = "", .label = PB_LABEL_UNKNOWN},
                            {.path = "b", .class = "c", .group = "g", .split = PB_SPLIT_TEST, .label = PB_LABEL_DEFECTIVE}};
    pb_result_block block = {2, score, map, patch, nearest, brightness};
    pb_results_writer *writer;
    for (int p = 0; p < PATCHES; p++)
        map[PATCHES + p] = NAN;
    map[3] = odd;
    sample_assert_ok(pb_results_create(h5_path, 2, GRID, NULL, &writer));
    sample_assert_ok(pb_results_write(writer, 0, &block, index, records));
    sample_assert_ok(publish(&writer));
}

Test(results_file, image_that_could_not_be_read) {
    size_t size;
    pb_results results;
    write_unscored(PB_RESULT_UNSCORED, 0);
    char *csv = (char *)oracle_read(csv_path, &size);
    cr_assert_str_eq(strchr(csv, '\n'), "\na,train,,,,1.5,1,1,1,bank/1.png\r\nb,test,c,g,1,,,,,\r\n");
    free(csv);
    sample_assert_ok(pb_results_read(h5_path, &results));
    cr_assert(results.score[0] == 1.5f && results.nearest[0] == 1 && results.brightness[0][3] == 4.0);
    cr_assert(isnan(results.score[1]) && results.nearest[1] == PB_RESULT_UNSCORED && isnan(results.brightness[1][0]));
    pb_results_free(&results);
    write_unscored(0, 0); /* a score that is no number, of an image that was read */
    sample_assert_failed(pb_results_read(h5_path, &results), PB_E_INPUT, "impossible values for image 1");
}

/* Of the image that was scored; the other's NaN are as they must be. */
Test(results_file, a_map_of_no_distances_is_refused) {
    static const float ODD[] = {-1.0f, NAN, INFINITY, 0.5f};
    for (size_t i = 0; i < sizeof ODD / sizeof *ODD; i++) {
        float values[2 * PATCHES];
        pb_results results;
        pb_results_maps *maps;
        write_unscored(PB_RESULT_UNSCORED, ODD[i]);
        sample_assert_ok(pb_results_read(h5_path, &results));
        sample_assert_ok(pb_results_maps_open(h5_path, &results, &maps));
        pb_status status = pb_results_maps_read(maps, 0, 2, values);
        cr_assert_eq(status.code, i < 3 ? PB_E_INPUT : PB_OK, "%s", status.message);
        if (i < 3)
            cr_assert(strstr(status.message, "the map of image 0 has values that are no distances"), "%s", status.message);
        else
            cr_assert(isnan(values[PATCHES]));
        pb_results_maps_close(&maps);
        pb_results_free(&results);
    }
}

Test(results_file, abandoned_leaves_nothing) {
    pb_results_writer *writer = NULL;
    pb_results_abandon(&writer);
    sample_assert_ok(pb_results_create(h5_path, IMAGES, GRID, NULL, &writer));
    sample_assert_ok(write_block(writer, 3, 4));
    pb_results_abandon(&writer);
    cr_assert_null(writer);
    assert_names("");
}

/* --- a failing machine ------------------------------------------------------------------------------------------ */

/* Each hit of each fault point in turn, until one is no longer passed. */
Test(results_file, both_or_neither, .timeout = 60) {
    static const char *const FAULTS[] = {"io.create", "io.write", "io.close", "io.fsync", "io.rename"};
    static const int LEAST[] = {2, IMAGES, 2, 4, 2}; /* times each is passed at least */
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        bool done = false;
        for (int hit = 1; !done; hit++) {
            char fault[64];
            snprintf(fault, sizeof fault, "%s@0:%d", FAULTS[i], hit);
            trouble_arm(fault);
            pb_status status = write_results(6, false);
            done = status.code == PB_OK;
            if (!done) {
                sample_assert_failed(status, PB_E_SYSTEM, "cannot ");
                assert_names("");
            }
            cr_assert(done ? hit > LEAST[i] : hit < 200, "%s", fault);
        }
        cr_assert(remove(h5_path) == 0 && remove(csv_path) == 0);
    }
}

static pb_status write_work(void *context) {
    (void)context;
    return write_results(6, false);
}

Test(results_file, full_disk, .timeout = 60) {
    size_t size;
    sample_assert_ok(write_results(6, false));
    free(oracle_read(h5_path, &size));
    cr_assert(remove(h5_path) == 0 && remove(csv_path) == 0);
    for (size_t limit = 0; limit < size; limit += 499) {
        sample_assert_failed(trouble_child(write_work, NULL, (long)limit, 0), PB_E_SYSTEM, "File too large");
        assert_names("");
    }
}

Test(results_file, csv_that_cannot_be_written) {
    pb_results_writer *writer;
    char *no_paths[1] = {folder};
    sample_assert_ok(pb_results_create(h5_path, 0, GRID, NULL, &writer));
    pb_status status = pb_results_publish(&writer, oracle_join(folder, "none/scores.csv"), no_paths, 1);
    sample_assert_failed(status, PB_E_INPUT, "none/scores.csv: cannot create");
    cr_assert_null(writer);
    assert_names("");
}

/* --- damage ----------------------------------------------------------------------------------------------------- */

Test(results_file, refuses_what_is_no_results_file) {
    static const char *const WRONG[][2] = {
        {"format", "results.h5: is a patchbank-other file, not a patchbank-results file"},
        {"version newer", "version 2 of patchbank-results is newer"},
        {"shorter:label", "dataset label has 22 values in dimension 0, expected 23"},
        {"shorter:score", "22 scores, but maps of 23 x 3 x 5"},
        {"wider:score", "dataset score has not the type"},
        {"first:score:nan", "impossible values for image 0"},
        {"last:brightness:nan", "impossible values for image 22"},
        {"last:label:2", "impossible values for image 22"},
        {"missing:group", "cannot open dataset group/bytes"},
        {"first:path/bytes:0", "string 0 of path has a zero in it"},
    };
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        char words[4 * ORACLE_PATH];
        pb_results results;
        sample_assert_ok(write_results(6, false));
        snprintf(words, sizeof words, "'%s' '%s'", h5_path, WRONG[i][0]);
        free(oracle_python("tests/io/h5_damage.py", words, NULL));
        sample_assert_failed(pb_results_read(h5_path, &results), PB_E_INPUT, WRONG[i][1]);
        cr_assert(results.images == 0 && !results.score && results.attributes.count == 0);
    }
}
