#include "fixture.h"

TestSuite(train, .init = new_archive, .fini = remove_folder);

Test(train, same_bank_for_any_ranks_batch_and_threads) {
    for (int ranks = 1; ranks <= 4; ranks++)
        must(patchbank(ranks, "train --archive archive --bank b%d.h5 " TRAIN_OPTIONS, ranks), 0);
    must(patchbank(2, "train --archive archive --bank b5.h5 --batch 3 --threads 3 " TRAIN_OPTIONS), 0);
    must(patchbank(1, "train --archive archive --bank b6.h5 --batch 1 --threads 2 " TRAIN_OPTIONS), 0);
    for (int other = 2; other <= 6; other++)
        must(in_folder("cmp b1.h5 b%d.h5", other), 0);
}

Test(train, more_ranks_than_images) {
    must(in_folder("head -n 3 list.csv > short.csv"), 0);
    must(patchbank(1, "pack --list short.csv --archive two"), 0);
    must(patchbank(1, "train --archive two --bank b1.h5 " TRAIN_OPTIONS), 0);
    must(patchbank(4, "train --archive two --bank b4.h5 " TRAIN_OPTIONS), 0);
    must(in_folder("cmp b1.h5 b4.h5"), 0);
}

Test(train, options_decide_the_bank) {
    must(patchbank(2, "train --archive archive --bank a.h5 " TRAIN_OPTIONS), 0);
    must(patchbank(2, "train --archive archive --bank b.h5 --seed 1 " TRAIN_OPTIONS), 0);
    must(in_folder("cmp -s a.h5 b.h5"), 1);
    must(patchbank(2, "train --archive archive --bank c.h5 --weights random:7 --resize 96 --crop 64 --taps 4 --ratio 20%%"), 0);
    must(patchbank(1, "info --bank c.h5"), 0);
    says("rows of 40 values");
}

Test(train, wrong_input) {
    must(patchbank(3, "train --archive missing --bank b.h5 " TRAIN_OPTIONS), 65);
    says_once("missing");
    must(patchbank(3, "train --archive archive --bank b.h5 --weights list.csv"), 65);
    says_once("list.csv: not a safetensors file");
    must(patchbank(3, "train --archive archive --bank b.h5 --weights random:x"), 64);
    says_once("random");
    must(patchbank(3, "train --archive archive --bank none/b.h5 " TRAIN_OPTIONS), 65);
    says_once("none");
    must(patchbank(2, "train --archive archive --bank b.h5 --weights random:7 --taps 4,99"), 64);
    says_once("99");
    must(patchbank(2, "train --archive archive --bank b.h5 --weights random:7 --backbone nosuch"), 64);
    says_once("nosuch");
    must(patchbank(2, "train --archive archive --bank b.h5 --weights random:7 --resize 96 --crop 128"), 64);
    must(patchbank(2, "train --archive archive --bank b.h5 --weights random:7 --device cuda:0"), 64);
    says_once("cuda:0");
    cr_assert(!exists("b.h5"));
    nothing_half_written();
}

/* One image's bytes are damaged in the archive: an error that names it, or, within the budget, a bank without it. */
Test(train, a_damaged_image) {
    must(in_folder("%s -c \"import h5py; f = h5py.File('archive/shard-00000.h5', 'r+'); d = f['image/bytes']; "
                   "i = int(f['image/offset'][4]) + 100; d[i] = d[i] ^ 1\"",
                   PB_PYTHON),
         0);
    must(patchbank(3, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 65);
    says_once("images/04.png");
    cr_assert(!exists("b.h5"));
    for (int ranks = 1; ranks <= 4; ranks++)
        must(patchbank(ranks, "train --archive archive --bank b%d.h5 --max-bad 1 " TRAIN_OPTIONS, ranks), 0);
    must(in_folder("cmp b1.h5 b2.h5 && cmp b1.h5 b3.h5 && cmp b1.h5 b4.h5"), 0);
    must(patchbank(1, "info --bank b1.h5"), 0);
    must(in_folder("%s info --bank b1.h5 | grep -E 'training_images +9'", PB_PROGRAM), 0);
}

Test(train, a_failing_write_leaves_the_old_bank) {
    static const char *const FAULTS[] = {"io.write", "io.close", "io.fsync", "io.rename", "io.create"};
    must(in_folder("echo old > b.h5"), 0);
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        must(in_folder("PATCHBANK_FAULT=%s %s -n 3 --map-by :OVERSUBSCRIBE %s train --archive archive --bank b.h5 " TRAIN_OPTIONS,
                       FAULTS[i], PB_MPIEXEC, PB_PROGRAM),
             74);
        cr_assert_eq(error_lines(), 1, "%s: %s", FAULTS[i], said);
        must(in_folder("grep -x old b.h5"), 0);
        nothing_half_written();
    }
}

/* A disk that is really full: a file system of 40 kB under the bank. */
Test(train, a_full_disk) {
    if (in_folder("mkdir disk && unshare -m sh -c 'mount -t tmpfs -o size=40k tmpfs disk'") != 0)
        cr_skip_test("this machine lets nobody mount a small file system");
    must(in_folder("unshare -m sh -c 'mount -t tmpfs -o size=40k tmpfs disk && %s -n 2 --map-by :OVERSUBSCRIBE %s train "
                   "--archive archive --bank disk/b.h5 " TRAIN_OPTIONS "; code=$?; ls -A disk; exit $code'",
                   PB_MPIEXEC, PB_PROGRAM),
         74);
    says_once("No space left on device");
    cr_assert(!strstr(said, "part-"), "%s", said);
}
