/* Checks jobs/feeder.c and jobs/prepare.c without ranks: batches are those of a plain loop in order, whatever the threads do; a
 * pass can be left at any time; what fails is said. */
#include "jobs/feeder.h"

#include "base/fault.h"
#include "io/file.h"
#include "io/list.h"
#include "shell.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IMAGES = 25, SLOW = 24, CROP = 96, INPUT = CROP * CROP * 3 }; /* image SLOW takes a hundred times as long as the others */

static char folder[64], said[4096];
static pb_archive *archive;
static const pb_preparation HOW = {.fit = {.resize = {CROP, 0}, .crop = {CROP, CROP}, .filter = PB_FILTER_BILINEAR}};
static uint8_t truth[IMAGES][INPUT]; /* by a plain loop */
static double brightness[IMAGES][PB_BRIGHTNESS_STATS];

static void must(pb_status status) { cr_assert_eq(status.code, PB_OK, "%s", status.message); }

static void pack(void) {
    char path[128];
    uint8_t *text;
    size_t size;
    pb_list list;
    pb_shard_summary summaries[8];
    snprintf(path, sizeof path, "%s/list.csv", folder);
    must(pb_file_read(path, 1 << 20, &text, &size));
    must(pb_list_parse(path, (const char *)text, size, &list));
    cr_assert_eq(list.count, IMAGES);
    size_t shards = pb_shard_count(list.count, 9);
    for (size_t shard = 0; shard < shards; shard++)
        must(pb_shard_write(folder, shard, &list, shard, 9, NULL, NULL, &summaries[shard]));
    must(pb_manifest_write(folder, "list.csv", 9, summaries, shards));
    pb_list_free(&list);
    free(text);
}

static void new_archive(void) {
    strcpy(folder, "/tmp/patchbank-test-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    int code = shell(said, sizeof said,
                     "cd %s && %s %s/tests/jobs/make_images.py . && %s -c \"from PIL import Image; "
                     "Image.effect_noise((1200, 900), 80).save('images/slow.png')\" && "
                     "echo images/slow.png,test,,plate,5 >> list.csv",
                     folder, PB_PYTHON, PB_SOURCE_DIR, PB_PYTHON);
    cr_assert_eq(code, 0, "%s", said);
    pack();
    must(pb_archive_open(folder, &archive));
    for (uint64_t i = 0; i < IMAGES; i++) {
        pb_span span;
        must(pb_archive_read(archive, i, 1, &span));
        must(pb_prepare(&HOW, span, truth[i], brightness[i]));
    }
}

static void remove_archive(void) {
    pb_archive_close(&archive);
    shell(said, sizeof said, "rm -rf %s", folder);
}

TestSuite(feeder, .init = new_archive, .fini = remove_archive, .timeout = 120);

static pb_feeder_setup setup_of(const uint64_t *index, size_t count, size_t batch_max, int decoders) {
    return (pb_feeder_setup){
        .archive = archive, .index = index, .count = count, .batch_max = batch_max, .how = HOW, .decoders = decoders};
}

/* Slow images among fast ones, in and against the order of the archive. */
static void fill(uint64_t *index, size_t count) {
    for (size_t i = 0; i < count; i++)
        index[i] = i % 11 == 3 ? SLOW : (i * 7) % IMAGES;
}

static void check_batch(const pb_fed *fed, const uint64_t *index) {
    for (size_t i = 0; i < fed->count; i++) {
        uint64_t image = index[fed->first + i];
        must(fed->verdict[i]);
        cr_assert(!fed->unread[i]);
        cr_assert(memcmp(fed->inputs + i * INPUT, truth[image], INPUT) == 0, "position %zu", fed->first + i);
        cr_assert(memcmp(fed->brightness[i], brightness[image], sizeof brightness[image]) == 0);
        memset(fed->inputs + i * INPUT, 0xAA, INPUT); /* nothing of it may come back */
    }
}

Test(feeder, batches_are_in_order_whatever_the_threads_do) {
    static const size_t BATCHES[] = {1, 7, 32, 100};
    static const int DECODERS[] = {1, 3, 8};
    uint64_t index[80];
    fill(index, 80);
    for (size_t b = 0; b < sizeof BATCHES / sizeof BATCHES[0]; b++)
        for (size_t d = 0; d < sizeof DECODERS / sizeof DECODERS[0]; d++) {
            pb_feeder_setup setup = setup_of(index, 80, BATCHES[b], DECODERS[d]);
            pb_stages stages = {0};
            pb_feeder *feeder;
            pb_fed fed;
            must(pb_feeder_begin(&setup, &feeder));
            for (size_t first = 0; first < 80; first += BATCHES[b]) {
                pb_feeder_next(feeder, &fed);
                cr_assert(fed.first == first && fed.count == (80 - first < BATCHES[b] ? 80 - first : BATCHES[b]));
                check_batch(&fed, index);
                if (first % 2)
                    pb_feeder_release(feeder);
            }
            for (int again = 0; again < 2; again++) {
                pb_feeder_next(feeder, &fed);
                cr_assert_eq(fed.count, 0);
            }
            pb_feeder_end(&feeder, &stages);
            cr_assert_null(feeder);
            cr_assert(stages.read_busy_s > 0 && stages.read_wait_s >= 0 && stages.decode_busy_s > 0 && stages.decode_wait_s >= 0);
            cr_assert_gt(stages.bytes, 0);
        }
}

/* No thread stays behind, nothing leaks (the sanitizer's to say), whatever was under way. */
Test(feeder, a_pass_is_left_at_any_time) {
    uint64_t index[60];
    fill(index, 60);
    for (int decoders = 1; decoders <= 4; decoders += 3)
        for (int batches = 0; batches <= 12; batches++) {
            pb_feeder_setup setup = setup_of(index, 60, 5, decoders);
            pb_stages stages = {0};
            pb_feeder *feeder;
            pb_fed fed;
            must(pb_feeder_begin(&setup, &feeder));
            for (int i = 0; i < batches; i++)
                pb_feeder_next(feeder, &fed);
            pb_feeder_end(&feeder, &stages);
            pb_feeder_end(&feeder, &stages);
        }
}

Test(feeder, a_pass_of_nothing) {
    pb_feeder_setup setup = setup_of(NULL, 0, 5, 2);
    pb_stages stages = {0};
    pb_feeder *feeder;
    pb_fed fed;
    must(pb_feeder_begin(&setup, &feeder));
    pb_feeder_next(feeder, &fed);
    cr_assert_eq(fed.count, 0);
    pb_feeder_end(&feeder, &stages);
}

/* While a batch is out, the caller's thread reads records and images through HDF5. */
Test(feeder, the_archive_is_free_meanwhile) {
    uint64_t index[60];
    fill(index, 60);
    pb_feeder_setup setup = setup_of(index, 60, 4, 2);
    pb_stages stages = {0};
    pb_feeder *feeder;
    pb_fed fed;
    must(pb_feeder_begin(&setup, &feeder));
    for (pb_feeder_next(feeder, &fed); fed.count > 0; pb_feeder_next(feeder, &fed)) {
        check_batch(&fed, index);
        for (uint64_t i = 0; i < IMAGES; i += 5) {
            pb_record record;
            pb_span span;
            must(pb_archive_record(archive, i, &record));
            must(pb_archive_read(archive, i, 1, &span));
        }
    }
    pb_feeder_end(&feeder, &stages);
}

static void flip_byte_of(uint64_t image) {
    char path[128];
    pb_span span;
    uint8_t *bytes;
    size_t size;
    must(pb_archive_read(archive, image, 1, &span));
    snprintf(path, sizeof path, "%s/shard-%05d.h5", folder, (int)(image / 9));
    must(pb_file_read(path, 1 << 26, &bytes, &size));
    uint8_t *place = memmem(bytes, size, span.bytes, span.size);
    cr_assert_not_null(place);
    place[span.size / 2] ^= 1;
    must(pb_file_write(path, bytes, size));
    free(bytes);
}

/* What each place says, of a pass through all images: 'g'ood, 'b'ad, 'u'nread, 'm'achine failed. */
static void judge(pb_feeder_setup *setup, char says[IMAGES + 1]) {
    pb_stages stages = {0};
    pb_feeder *feeder;
    pb_fed fed;
    must(pb_feeder_begin(setup, &feeder));
    memset(says, 0, IMAGES + 1);
    for (pb_feeder_next(feeder, &fed); fed.count > 0; pb_feeder_next(feeder, &fed))
        for (size_t i = 0; i < fed.count; i++)
            says[fed.first + i] =
                (char)(fed.unread[i] ? 'u' : fed.verdict[i].code == PB_OK ? 'g' : fed.verdict[i].code == PB_E_INPUT ? 'b' : 'm');
    pb_feeder_end(&feeder, &stages);
}

static const uint64_t ALL[IMAGES] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
                                     13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24};

Test(feeder, bad_images_keep_their_places) {
    char says[IMAGES + 1];
    pb_feeder_setup setup = setup_of(ALL, IMAGES, 7, 3);
    flip_byte_of(0);
    flip_byte_of(13);
    judge(&setup, says);
    cr_assert_str_eq(says, "ugggggggggggguggggggggggg");
    setup.how.fit = (pb_fit){.resize = {0, 0}, .crop = {150, 140}}; /* sizes go by turns; those of 150 x 140 alone are enough */
    judge(&setup, says);
    cr_assert_str_eq(says, "ubbbgbbbgbbbgubbgbbbgbbbg");
}

static int count_of(const char *says, char what) {
    int count = 0;
    for (; *says; says++)
        count += *says == what;
    return count;
}

static void arm(const char *fault) { must(pb_fault_arm(fault, 0)); }

Test(feeder, what_the_machine_refuses_is_said) {
    char says[IMAGES + 1], fault[40];
    for (int decoders = 1; decoders <= 3; decoders += 2) {
        pb_feeder_setup setup = setup_of(ALL, IMAGES, 4, decoders);
        for (int hit = 1; hit <= IMAGES; hit += 8) {
            snprintf(fault, sizeof fault, "feeder.decode@0:%d", hit);
            arm(fault);
            judge(&setup, says);
            cr_assert(count_of(says, 'm') == 1 && count_of(says, 'g') == IMAGES - 1, "%s", says);
        }
        arm("stream.read@0:2"); /* of the second shard: each has one range, and there is room for all of them in one piece */
        judge(&setup, says);
        cr_assert(count_of(says, 'm') > 0 && count_of(says, 'u') == 0, "%s", says);
        for (int hit = 1; hit <= decoders + 1; hit++) {
            pb_feeder *feeder;
            snprintf(fault, sizeof fault, "feeder.start@0:%d", hit);
            arm(fault);
            pb_status status = pb_feeder_begin(&setup, &feeder);
            cr_assert(status.code == PB_E_SYSTEM && !feeder && strstr(status.message, "cannot start a thread"), "%s",
                      status.message);
        }
    }
}

/* Whatever cannot be allocated: begin fails, or images say so. */
Test(feeder, no_memory) {
    char fault[40];
    for (int hit = 1, all_good = 0; !all_good; hit++) {
        pb_feeder_setup setup = setup_of(ALL, IMAGES, 4, 2);
        pb_stages stages = {0};
        pb_feeder *feeder;
        pb_fed fed;
        snprintf(fault, sizeof fault, "base.allocate@0:%d", hit);
        arm(fault);
        pb_status status = pb_feeder_begin(&setup, &feeder);
        cr_assert(status.code == PB_OK || (status.code == PB_E_SYSTEM && !feeder));
        all_good = feeder != NULL;
        for (fed.count = 1; feeder && fed.count > 0;) {
            pb_feeder_next(feeder, &fed);
            for (size_t i = 0; i < fed.count; i++)
                all_good = all_good && fed.verdict[i].code == PB_OK;
        }
        pb_feeder_end(&feeder, &stages);
        cr_assert_lt(hit, 1000);
    }
    arm("");
}
