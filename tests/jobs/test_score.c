#include "fixture.h"

static void new_bank(void) {
    new_archive();
    must(patchbank(2, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 0);
}

TestSuite(score, .init = new_bank, .fini = remove_folder);

#define SCORE "score --archive archive --bank b.h5 --weights random:7"

Test(score, same_results_for_any_ranks_batch_and_threads) {
    for (int ranks = 1; ranks <= 4; ranks++)
        must(patchbank(ranks, SCORE " --results r%d", ranks), 0);
    must(patchbank(3, SCORE " --results r5 --batch 2 --threads 2"), 0);
    for (int other = 2; other <= 5; other++)
        must(in_folder("diff -r r1 r%d", other), 0);
    must(in_folder("wc -l < r1/scores.csv | grep -x 15"), 0);
}

/* An independent search: a bank of all patches holds the features of the training images, so that numpy can compute, in double,
 * the distance of each to the rows of a small bank; what score stored agrees with it, and every small bank row finds itself. */
Test(score, maps_are_the_distances_that_numpy_computes) {
    must(patchbank(3, "train --archive archive --bank all.h5 --weights random:7 --resize 96 --crop 96 --ratios 100%%"), 0);
    must(patchbank(2, SCORE " --results r --split train"), 0);
    must(in_folder("%s %s/tests/jobs/check_maps.py all.h5 b.h5 r/results.h5", PB_PYTHON, PB_SOURCE_DIR), 0);
}

/* A bank from before features could be chosen does not say how its own were made: as means. */
Test(score, a_bank_says_how_its_features_are_made) {
    must(patchbank(2, SCORE " --results r"), 0);
    must(in_folder("%s -c \"import h5py; b = h5py.File('b.h5', 'r+'); del b.attrs['option.features']\"", PB_PYTHON), 0);
    must(patchbank(2, SCORE " --results old"), 0);
    must(in_folder("cmp r/scores.csv old/scores.csv"), 0);
    must(in_folder("%s -c \"import h5py, numpy; b = h5py.File('b.h5', 'r+'); "
                   "b.attrs['option.features'] = numpy.bytes_('median')\"",
                   PB_PYTHON),
         0);
    must(patchbank(2, SCORE " --results bad"), 65);
    says_once("median");
}

Test(score, split_chooses_the_images) {
    must(patchbank(2, SCORE " --results r --split all"), 0);
    must(in_folder("wc -l < r/scores.csv | grep -x 25"), 0);
}

Test(score, defects_stand_out) {
    must(patchbank(2, SCORE " --results r"), 0);
    must(patchbank(1, "eval --results r --json e.json"), 0);
    must(in_folder("%s -c \"import json; e = json.load(open('e.json')); assert e['auroc'] >= 0.8, e\"", PB_PYTHON), 0);
}

Test(score, wrong_input) {
    must(patchbank(3, "score --archive archive --bank b.h5 --weights random:8 --results r"), 65);
    says_once("was trained with random:7");
    must(patchbank(3, "score --archive archive --bank missing.h5 --weights random:7 --results r"), 65);
    says_once("missing.h5");
    must(patchbank(3, "score --archive archive --bank list.csv --weights random:7 --results r"), 65);
    says_once("list.csv");
    must(patchbank(3, "score --archive missing --bank b.h5 --weights random:7 --results r"), 65);
    must(in_folder("head -c 20000 b.h5 > cut.h5"), 0);
    must(patchbank(3, "score --archive archive --bank cut.h5 --weights random:7 --results r"), 65);
    says_once("cut.h5");
    must(in_folder("head -n 5 list.csv > train.csv"), 0);
    must(patchbank(1, "pack --list train.csv --archive train-only"), 0);
    must(patchbank(3, "score --archive train-only --bank b.h5 --weights random:7 --results r"), 65);
    says_once("no test images");
    cr_assert(!exists("r/results.h5") && !exists("r/scores.csv"));
}

Test(score, a_damaged_image_is_in_the_results_without_a_score) {
    must(in_folder("%s -c \"import h5py; f = h5py.File('archive/shard-00001.h5', 'r+'); d = f['image/bytes']; "
                   "i = int(f['image/offset'][4]) + 50; d[i] = d[i] ^ 1\"",
                   PB_PYTHON),
         0);
    must(patchbank(2, SCORE " --results r"), 65);
    says_once("images/13.jpg");
    for (int ranks = 1; ranks <= 3; ranks++)
        must(patchbank(ranks, SCORE " --results r%d --max-bad 1", ranks), 0);
    must(in_folder("diff -r r1 r2 && diff -r r1 r3"), 0);
    must(in_folder("grep -c . r1/rejected.csv | grep -x 2 && grep '^images/13.jpg,13,.*CRC32C' r1/rejected.csv"), 0);
    must(in_folder("tr -d '\\r' < r1/scores.csv | grep -x 'images/13.jpg,test,plate,3,0,,,,,'"), 0);
    must(patchbank(1, "eval --results r1 --json -"), 0);
    says("\"unscored\": 1");
    must(patchbank(2, SCORE " --results r1 --split train"), 0);
    cr_assert(!exists("r1/rejected.csv"), "of the results that were there before");
}

/* Weights that are finite, but make features that are not: infinite, or, where infinite ones are blended, no numbers at all. No
 * image may pass for scored then. */
Test(score, features_that_overflow) {
    static const char *const BLOCKS[] = {"_blocks.3._bn2.bias _blocks.4._bn2.bias", "_blocks.9._bn2.bias _blocks.10._bn2.bias"};
    const char *weights = getenv("PATCHBANK_TEST_WEIGHTS");
    if (!weights)
        cr_skip_test("PATCHBANK_TEST_WEIGHTS does not name the weights of efficientnet_lite0");
    must(patchbank(2, "train --archive archive --bank w.h5 --weights %s --resize 96 --crop 96 --ratios 5%%", weights), 0);
    for (size_t i = 0; i < sizeof BLOCKS / sizeof BLOCKS[0]; i++) {
        must(in_folder("%s %s/tests/jobs/break_weights.py %s sum.safetensors 3e38 %s", PB_PYTHON, PB_SOURCE_DIR, weights,
                       BLOCKS[i]),
             0);
        must(in_folder("%s -c \"import h5py, hashlib, numpy; h5py.File('w.h5', 'r+').attrs['weights'] = numpy.bytes_('sha256:' + "
                       "hashlib.sha256(open('sum.safetensors', 'rb').read()).hexdigest())\"",
                       PB_PYTHON),
             0);
        must(patchbank(3, "score --archive archive --bank w.h5 --weights sum.safetensors --results r"), 65);
        says_once("its features, or their distance to the bank, overflow");
        says("images/");
        cr_assert(!exists("r/results.h5") && !exists("r/scores.csv"));
    }
}

Test(score, a_failing_write_publishes_neither_file) {
    static const char *const FAULTS[] = {"io.write", "io.close", "io.fsync", "io.rename", "io.create"};
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        must(in_folder("PATCHBANK_FAULT=%s %s -n 3 --map-by :OVERSUBSCRIBE %s " SCORE " --results r", FAULTS[i], PB_MPIEXEC,
                       PB_PROGRAM),
             74);
        cr_assert_eq(error_lines(), 1, "%s: %s", FAULTS[i], said);
        cr_assert(!exists("r/results.h5") && !exists("r/scores.csv"), "%s", FAULTS[i]);
        nothing_half_written();
    }
}
