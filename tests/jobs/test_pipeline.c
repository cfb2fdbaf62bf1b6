/* Checks jobs/pipeline.c as a user sees it: threads change nothing in what comes out, failures in threads end all ranks, and the
 * log says what the stages did. */
#include "fixture.h"

TestSuite(pipeline, .init = new_archive, .fini = remove_folder, .timeout = 300);

#define SCORE "score --archive archive --weights random:7 "

/* decoders, threads, batch */
static const int HOW[][3] = {{1, 1, 1}, {3, 1, 7}, {1, 2, 32}, {3, 2, 4}, {2, 1, 32}};
enum { WAYS = sizeof HOW / sizeof HOW[0] };

Test(pipeline, same_files_for_any_threads_and_batches) {
    must(patchbank(1, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 0);
    must(patchbank(1, SCORE "--bank b.h5 --results r"), 0);
    for (int way = 0; way < WAYS; way++) {
        must(patchbank(1 + way % 4, "train --archive archive --bank b%d.h5 --decoders %d --threads %d --batch %d " TRAIN_OPTIONS,
                       way, HOW[way][0], HOW[way][1], HOW[way][2]),
             0);
        must(patchbank(1 + (way + 1) % 4, SCORE "--bank b.h5 --results r%d --decoders %d --threads %d --batch %d", way,
                       HOW[way][0], HOW[way][1], HOW[way][2]),
             0);
        must(in_folder("cmp b.h5 b%d.h5 && diff -r r r%d", way, way), 0);
    }
}

/* Flips a byte of image `image` of shard `shard`. */
static void damage(int shard, int image) {
    must(in_folder("%s -c \"import h5py; f = h5py.File('archive/shard-0000%d.h5', 'r+'); d = f['image/bytes']; "
                   "i = int(f['image/offset'][%d]) + 100; d[i] = d[i] ^ 1\"",
                   PB_PYTHON, shard, image),
         0);
}

/* At the first, a middle and the last place of batches, and of shards. */
Test(pipeline, bad_images_anywhere_are_left_out_in_order) {
    damage(0, 0);
    damage(0, 3);
    damage(0, 8);
    must(patchbank(1, "train --archive archive --bank b.h5 --max-bad 3 " TRAIN_OPTIONS), 0);
    must(in_folder("cut -d, -f2 b.h5.rejected.csv | tr '\\r\\n' '  ' | grep -E '^index +0 +3 +8 +$'"), 0);
    for (int way = 0; way < WAYS; way++) {
        must(patchbank(1 + way % 4, "train --archive archive --bank b%d.h5 --decoders %d --threads %d --batch %d --max-bad 3 "
                       TRAIN_OPTIONS, way, HOW[way][0], HOW[way][1], HOW[way][2]),
             0);
        must(in_folder("cmp b.h5 b%d.h5 && cmp b.h5.rejected.csv b%d.h5.rejected.csv", way, way), 0);
        must(patchbank(1 + way % 4, "train --archive archive --bank c.h5 --decoders %d --batch %d --max-bad 2 " TRAIN_OPTIONS,
                       HOW[way][0], HOW[way][2]),
             65);
        says_once("3 bad images, more than --max-bad 2 allows");
        must(
            patchbank(1, "train --archive archive --bank c.h5 --decoders %d --batch %d " TRAIN_OPTIONS, HOW[way][0], HOW[way][2]),
            65);
        says_once("images/00.png");
    }
    cr_assert(!exists("c.h5"));
}

/* A rank's thread fails: all ranks end with its error, none waits. */
Test(pipeline, failures_of_threads_end_all_ranks) {
    static const char *const FAULTS[][2] = {{"stream.read@0", "cannot read"},       {"stream.read@2", "cannot read"},
                                            {"feeder.decode@0", "out of memory"},   {"feeder.decode@1:3", "out of memory"},
                                            {"feeder.start@1:2", "start a thread"}, {"feeder.start@2", "start a thread"}};
    static const char *const WHAT[] = {"train --archive archive --bank new.h5 --decoders 2 --batch 2 --weights random:7 "
                                       "--resize 96 --crop 96",
                                       SCORE "--bank b.h5 --results r --decoders 2 --batch 2",
                                       "verify --archive archive --weights random:7 --bank b.h5 --decoders 2 --batch 2"};
    must(patchbank(1, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 0);
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++)
        for (size_t job = 0; job < sizeof WHAT / sizeof WHAT[0]; job++) {
            must(in_folder("PATCHBANK_FAULT=%s %s -n 3 --map-by :OVERSUBSCRIBE %s %s --watchdog 20", FAULTS[i][0], PB_MPIEXEC,
                           PB_PROGRAM, WHAT[job]),
                 74);
            says_once(FAULTS[i][1]);
        }
    cr_assert(!exists("new.h5") && !exists("r/results.h5"));
}

/* The second pass of a training, which collects the bank's rows, fails likewise. Rank 0 of three has four images. */
Test(pipeline, a_failure_in_the_second_pass) {
    must(in_folder("PATCHBANK_FAULT=feeder.decode@0:5 %s -n 3 --map-by :OVERSUBSCRIBE %s train --archive archive --bank b.h5 "
                   "--weights random:7 --resize 96 --crop 96 --ratios 50%%",
                   PB_MPIEXEC, PB_PROGRAM),
         74);
    says("event=selected");
    says_once("out of memory");
}

/* A device without memory for the batch, on one rank of several, makes batches smaller on all, and says so once; the bank is the
 * same. Where not even one image at a time fits, the job ends. */
Test(pipeline, too_little_memory_makes_batches_smaller) {
    must(patchbank(1, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 0);
    for (int ranks = 1; ranks <= 3; ranks++) {
        must(in_folder("PATCHBANK_FAULT=extractor.memory@%d %s -n %d --map-by :OVERSUBSCRIBE %s train --archive archive "
                       "--bank c.h5 --batch 8 --log-level warn " TRAIN_OPTIONS,
                       ranks - 1, PB_MPIEXEC, ranks, PB_PROGRAM),
             0);
        must(in_folder("cmp b.h5 c.h5 && rm c.h5"), 0);
    }
    must(in_folder("PATCHBANK_FAULT=extractor.memory@1 %s -n 2 --map-by :OVERSUBSCRIBE %s train --archive archive "
                   "--bank c.h5 --batch 8 --log-level warn " TRAIN_OPTIONS
                   " 2>&1 | grep -c 'event=smaller-batch images=4 rank=1 reason=\"no memory for 8 tiles\"' | grep -x 1",
                   PB_MPIEXEC, PB_PROGRAM),
         0);
    must(in_folder("PATCHBANK_FAULT=extractor.memory@1 %s -n 2 --map-by :OVERSUBSCRIBE %s train --archive archive "
                   "--bank d.h5 --batch 1 " TRAIN_OPTIONS,
                   PB_MPIEXEC, PB_PROGRAM),
         74);
    says_once("no memory for 1 tiles");
    cr_assert(!exists("d.h5"));
}

/* TRAIN_OPTIONS, not as a format. */
#define TRAIN_NEW \
    "train --archive archive --bank new.h5 --weights random:7 --resize 96 --crop 96 --ratios 5% --projection 64"

/* Likewise when the device has memory for the network but not for what comes after it: of a rank, once. */
Test(pipeline, memory_that_is_out_later_makes_batches_smaller) {
    static const char *const WHAT[][2] = {
        {"projection.memory", TRAIN_NEW},
        {"projection.memory", TRAIN_NEW " --coreset two-round --parts 3"},
        {"search.memory", SCORE "--bank b.h5 --results new"},
        {"search.memory", "verify --archive archive --weights random:7 --bank b.h5"},
        {"projection.memory", "verify --archive archive --weights random:7 --bank b.h5"}};
    static const char *const SAME[] = {"cmp b.h5 new.h5", "cmp two.h5 new.h5", "diff -r r new", "true", "true"};
    must(patchbank(1, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 0);
    must(patchbank(1, "train --archive archive --bank two.h5 --coreset two-round --parts 3 " TRAIN_OPTIONS), 0);
    must(patchbank(1, SCORE "--bank b.h5 --results r"), 0);
    for (size_t w = 0; w < sizeof WHAT / sizeof *WHAT; w++) {
        const int ranks = 1 + (int)w % 3;
        must(in_folder("PATCHBANK_FAULT=%s@%d %s -n %d --map-by :OVERSUBSCRIBE %s %s --batch 8 --log-level warn > log 2>&1",
                       WHAT[w][0], ranks - 1, PB_MPIEXEC, ranks, PB_PROGRAM, WHAT[w][1]),
             0);
        must(in_folder("grep -c 'event=smaller-batch images=4 rank=%d reason=\"no memory for' log | grep -x 1", ranks - 1), 0);
        must(in_folder("%s && rm -rf new new.h5", SAME[w]), 0);
        must(in_folder("PATCHBANK_FAULT=%s@%d %s -n %d --map-by :OVERSUBSCRIBE %s %s --batch 1", WHAT[w][0], ranks - 1,
                       PB_MPIEXEC, ranks, PB_PROGRAM, WHAT[w][1]),
             74);
        says_once("no memory for");
        cr_assert(!exists("new.h5") && !exists("new/results.h5"));
    }
}

Test(pipeline, stages_are_logged) {
    must(patchbank(3, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 0);
    must(in_folder("%s -n 3 --map-by :OVERSUBSCRIBE %s " SCORE "--bank b.h5 --results r --split all > log 2>&1", PB_MPIEXEC,
                   PB_PROGRAM),
         0);
    must(in_folder("grep -c event=pipeline log | grep -x 1"), 0);
    must(in_folder("grep -E 'pass=score images=24 bytes=[0-9]+ read_busy_s=[0-9.]+ read_wait_s=[0-9.]+ decode_busy_s=[0-9.]+ "
                   "decode_wait_s=[0-9.]+ device_busy_s=[0-9.]+ device_wait_s=[0-9.]+ read_again=0 "
                   "bottleneck=(read|decode|device)$' log"),
         0);
}

/* An archive that somebody stored again, compressed: only HDF5 can read it, so it does, and the bank is the same. */
Test(pipeline, a_compressed_archive_is_read_all_the_same) {
    must(patchbank(2, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 0);
    says("read_again=0");
    must(in_folder("for n in 0 1 2; do %s %s/tests/io/h5_storage.py archive/shard-0000$n.h5 deflated 1000 || exit 1; done",
                   PB_PYTHON, PB_SOURCE_DIR),
         0);
    must(patchbank(2, "train --archive archive --bank c.h5 " TRAIN_OPTIONS), 0);
    says("read_again=10");
    must(in_folder("cmp b.h5 c.h5"), 0);
}
