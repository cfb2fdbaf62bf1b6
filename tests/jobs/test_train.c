#include "fixture.h"

TestSuite(train, .init = new_archive, .fini = remove_folder);

Test(train, same_bank_for_any_ranks_batch_and_threads) {
    for (int ranks = 1; ranks <= 4; ranks++)
        must(patchbank(ranks, "train --archive archive --bank b%d.h5 " TRAIN_OPTIONS, ranks), 0);
    must(patchbank(2, "train --archive archive --bank b5.h5 --batch 3 --threads 3 " TRAIN_OPTIONS), 0);
    must(patchbank(1, "train --archive archive --bank b6.h5 --batch 1 --threads 2 " TRAIN_OPTIONS), 0);
    must(patchbank(7, "train --archive archive --bank b7.h5 " TRAIN_OPTIONS), 0);
    for (int other = 2; other <= 7; other++)
        must(in_folder("cmp b1.h5 b%d.h5", other), 0);
}

/* Our own kernels decide alike, whatever the instruction set; a set that this processor lacks is passed over. */
Test(train, same_bank_with_every_set_of_kernels) {
    static const char *const SETS[] = {"avx512", "avx2", "plain"};
    int ran = 0;
    must(patchbank(2, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 0);
    for (size_t set = 0; set < sizeof SETS / sizeof SETS[0]; set++) {
        int code = patchbank(2, "train --archive archive --bank %s.h5 --device cpu:%s " TRAIN_OPTIONS, SETS[set], SETS[set]);
        cr_assert(code == 0 || code == 69, "exit code %d: %s", code, said);
        if (code == 0)
            must(in_folder("cmp b.h5 %s.h5", SETS[set]), 0);
        ran += code == 0;
    }
    cr_assert(ran >= 1);
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
    must(patchbank(2, "train --archive archive --bank c.h5 --weights random:7 --resize 96 --crop 64 --taps 4 --ratios 20%%"), 0);
    must(patchbank(1, "info --bank c.h5"), 0);
    says("rows of 40 values");
}

#define SAME_ROWS "%s %s/tests/jobs/same_rows.py "

/* The filter and DCT scaling are the bank's: verify, which extracts again, needs no option for them. Every JPEG of the fixture
 * has a shorter side of at least 128 and below 192: decoded at a half for 64, whole for 96. */
Test(train, filter_and_scaling_are_the_banks, .timeout = 180) {
    static const char *const HOW[] = {"--interpolation bilinear", "--interpolation bicubic", "--interpolation lanczos",
                                      "--dct-scaling"};
    for (int i = 0; i < 4; i++) {
        must(patchbank(1 + i % 2, "train --archive archive --bank h%d.h5 --weights random:7 --resize 64 --crop 64 --ratios 20%% "
                       "%s", i, HOW[i]), 0);
        must(patchbank(2, "verify --archive archive --weights random:7 --bank h%d.h5", i), 0);
        says(": sound");
        for (int other = 0; other < i; other++)
            must(in_folder(SAME_ROWS "h%d.h5 h%d.h5", PB_PYTHON, PB_SOURCE_DIR, i, other), 1);
    }
    must(in_folder("%s info --bank h3.h5 | grep -E 'option.dct-scaling +true'", PB_PROGRAM), 0);
    must(patchbank(1, "train --archive archive --bank n.h5 --weights random:7 --resize 64 --crop 64 --ratios 20%%"), 0);
    must(in_folder("cmp n.h5 h0.h5"), 0);
    must(patchbank(1, "train --archive archive --bank s.h5 --dct-scaling " TRAIN_OPTIONS), 0);
    must(patchbank(1, "train --archive archive --bank w.h5 " TRAIN_OPTIONS), 0);
    must(in_folder(SAME_ROWS "s.h5 w.h5", PB_PYTHON, PB_SOURCE_DIR), 0);
    must(patchbank(2, "train --archive archive --bank b.h5 --interpolation nearest " TRAIN_OPTIONS), 64);
    says_once("--interpolation");
}

/* A bank from before there was a choice. */
Test(train, a_bank_that_does_not_say_was_made_with_the_defaults) {
    must(patchbank(1, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 0);
    must(in_folder("%s -c \"import h5py; f = h5py.File('b.h5', 'r+'); del f.attrs['option.interpolation']; "
                   "del f.attrs['option.dct-scaling']\"",
                   PB_PYTHON),
         0);
    must(patchbank(2, "verify --archive archive --weights random:7 --bank b.h5"), 0);
    says(": sound");
    must(in_folder("%s -c \"import h5py; h5py.File('b.h5', 'r+').attrs['option.interpolation'] = 'nearest'\"", PB_PYTHON), 0);
    must(patchbank(2, "verify --archive archive --weights random:7 --bank b.h5"), 65);
    says_once("b.h5");
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
    must(patchbank(2, "train --archive archive --bank b.h5 --weights random:7 --device gpu:0"), 64);
    says_once("gpu:0");
    cr_assert(!exists("b.h5"));
    nothing_half_written();
}

/* Another backbone and PatchCore's features: bank and scores are the same files for 1 to 4 ranks, and a bank verifies. */
Test(train, patchcore_of_a_resnet_is_the_same_for_any_ranks) {
    static const char *const HOW[] = {"--backbone resnet18 --features mean",
                                      "--backbone resnet18 --features patchcore",
                                      "--backbone wide_resnet50_2 --features patchcore --taps 2,3 --patch-size 5"};
    for (size_t how = 0; how < sizeof HOW / sizeof HOW[0]; how++) {
        for (int ranks = 1; ranks <= 4; ranks++) {
            must(patchbank(ranks,
                           "train --archive archive --bank b%d.h5 --weights random:7 --resize 96 --crop 64 --ratios 5%% %s",
                           ranks, HOW[how]),
                 0);
            must(patchbank(ranks, "score --archive archive --bank b%d.h5 --weights random:7 --results r%d", ranks, ranks), 0);
        }
        must(in_folder("for n in 2 3 4; do cmp b1.h5 b$n.h5 && diff -r r1 r$n || exit 1; done"), 0);
        must(patchbank(2, "verify --archive archive --bank b1.h5 --weights random:7"), 0);
        must(in_folder("%s info --bank b1.h5 | grep '32 rows of %d values'", PB_PROGRAM, how == 0 ? 128 + 256 : 1024), 0);
        must(in_folder("rm -r b?.h5 r?"), 0);
    }
}

#define VIT "--backbone dinov2_vits14 --resize 98"

/* A vision transformer as AnomalyDINO uses it, at sizes at which position embeddings are interpolated along both axes, whole and
 * in tiles: 10 training images of 6 x 5 patches, of which 4 % are 12. */
Test(train, a_vision_transformer_is_the_same_for_any_ranks, .timeout = 300) {
    static const char *const HOW[] = {"", "--tile 56x42 --tile-overlap 14 --taps 5,11"};
    for (size_t how = 0; how < sizeof HOW / sizeof HOW[0]; how++) {
        for (int ranks = 1; ranks <= 3; ranks += 2) {
            must(patchbank(ranks,
                           "train --archive archive --bank b%d.h5 --weights random:7 " VIT " --crop 84x70 --features mean "
                           "--patch-size 1 --distance cosine --ratios 4%% %s",
                           ranks, HOW[how]),
                 0);
            must(patchbank(ranks, "score --archive archive --bank b%d.h5 --weights random:7 --results r%d", ranks, ranks), 0);
        }
        must(in_folder("cmp b1.h5 b3.h5 && diff -r r1 r3"), 0);
        must(patchbank(2, "verify --archive archive --bank b1.h5 --weights random:7"), 0);
        must(in_folder("%s info --bank b1.h5 | grep '12 rows of %d values'", PB_PROGRAM, how == 0 ? 384 : 768), 0);
        must(in_folder("rm -r b?.h5 r?"), 0);
    }
    must(patchbank(2, "train --archive archive --bank b.h5 --weights random:7 " VIT " --crop 96x70"), 64);
    says_once("the nearest are 84 x 70 and 98 x 70");
    must(patchbank(2, "train --archive archive --bank b.h5 --weights %s/tests/golden/dinov2.safetensors " VIT " --crop 98",
                   PB_SOURCE_DIR),
         65);
    says_once("patch_embed.proj.weight; expected shape [384, 3, 14, 14]");
    cr_assert(!exists("b.h5"));
}

Test(train, features_and_their_options) {
    must(patchbank(2, "train --archive archive --bank b.h5 --features patchcore --patch-size 5 --patch-stride 2 --layer-dim 64 "
                      "--feature-dim 48 " TRAIN_OPTIONS),
         0);
    must(in_folder("%s info --bank b.h5 | grep '18 rows of 48 values'", PB_PROGRAM), 0); /* 10 images of 6 x 6 patches */
    must(patchbank(2, "train --archive archive --bank c.h5 --features patchcore --patch-size 4 " TRAIN_OPTIONS), 64);
    says_once("--patch-size: 4");
    must(patchbank(2, "train --archive archive --bank c.h5 --features patchcore --patch-size 15 " TRAIN_OPTIONS), 64);
    says_once("--patch-size 15");
    static const char *const OF_PATCHCORE[] = {"--patch-stride 2", "--layer-dim 64", "--feature-dim 48"};
    for (size_t i = 0; i < sizeof OF_PATCHCORE / sizeof OF_PATCHCORE[0]; i++) {
        must(patchbank(2, "train --archive archive --bank c.h5 %s " TRAIN_OPTIONS, OF_PATCHCORE[i]), 64);
        says_once("--features: mean takes no");
    }
    must(patchbank(2, "train --archive archive --bank c.h5 --features median " TRAIN_OPTIONS), 64);
    says_once("mean|patchcore");
    must(patchbank(2, "train --archive archive --bank c.h5 --backbone resnet18 --weights %s/tests/golden/resnet.safetensors",
                   PB_SOURCE_DIR),
         65);
    says_once("conv1.weight; expected shape [64, 3, 7, 7]");
    cr_assert(!exists("c.h5"));
}

/* Every way of selecting gives the same bank on any number of ranks. */
Test(train, every_coreset_is_the_same_for_any_ranks) {
    static const char *const WAYS[] = {"greedy", "greedy-step", "random", "two-round --parts 3"};
    for (size_t way = 0; way < sizeof WAYS / sizeof WAYS[0]; way++) {
        for (int ranks = 1; ranks <= 4; ranks++)
            must(patchbank(ranks, "train --archive archive --bank w%zu-%d.h5 --coreset %s " TRAIN_OPTIONS, way, ranks, WAYS[way]),
                 0);
        must(in_folder("for n in 2 3 4; do cmp w%zu-1.h5 w%zu-$n.h5 || exit 1; done", way, way), 0);
    }
    must(in_folder("%s %s/tests/jobs/same_rows.py w0-1.h5 w1-1.h5", PB_PYTHON, PB_SOURCE_DIR), 0);
    must(in_folder("%s %s/tests/jobs/same_rows.py w0-1.h5 w2-1.h5", PB_PYTHON, PB_SOURCE_DIR), 1);
}

/* One selection serves all ratios: its prefixes are the banks that a selection of their own would give. */
Test(train, ratios_are_prefixes) {
    must(patchbank(3, "train --archive archive --bank all.h5 --weights random:7 --resize 96 --crop 96 --ratios 2%%,20%%,5%%"), 0);
    must(patchbank(2, "train --archive archive --bank two.h5 --weights random:7 --resize 96 --crop 96 --ratios 2%%"), 0);
    must(patchbank(1, "train --archive archive --bank five.h5 --weights random:7 --resize 96 --crop 96 --ratios 0.05"), 0);
    must(in_folder("cmp all.2pct.h5 two.h5 && cmp all.5pct.h5 five.h5"), 0);
    must(in_folder("%s info --bank all.20pct.h5 | head -n 2 | grep '288 rows of 152'", PB_PROGRAM), 0);
    cr_assert(!exists("all.h5"));
    must(patchbank(2, "train --archive archive --bank b.h5 --weights random:7 --ratios 5%%,0"), 64);
    says_once("--ratios 5%,0");
}

/* A random coreset's radii are measured, for each ratio; verify finds the same. */
Test(train, random_ratios_have_their_radii) {
    must(patchbank(3, "train --archive archive --bank r.h5 --coreset random --weights random:7 --resize 96 --crop 96 "
                      "--ratios 20%%,0.7%%,5%%"),
         0);
    static const char *const BANKS[] = {"r.20pct.h5", "r.5pct.h5", "r.0.7pct.h5"};
    for (int i = 0; i < 3; i++)
        must(patchbank(2, "verify --archive archive --weights random:7 --bank %s", BANKS[i]), 0);
    must(in_folder("%s info --bank r.0.7pct.h5 | grep -E '^  ratio +0.0070000000000000001$'", PB_PROGRAM), 0);
}

Test(train, ratios_that_would_be_one_file) {
    must(patchbank(2, "train --archive archive --bank b.h5 --weights random:7 --ratios 12.34567%%,12.34568%%"), 64);
    says_once("the same file b.12.3457pct.h5");
}

/* The images labelled defective stay what they are, whatever the split says of them; a warning is due. */
Test(train, defective_training_images_are_said) {
    must(in_folder("sed 's/,train,0,/,train,1,/' list.csv > wrong.csv"), 0);
    must(patchbank(1, "pack --list wrong.csv --archive wrong"), 0);
    must(patchbank(3, "train --archive wrong --bank b.h5 " TRAIN_OPTIONS), 0);
    says("event=defective-training-images images=10");
    must(in_folder("%s info --bank b.h5 | grep -E 'training_images_defective +10'", PB_PROGRAM), 0);
}

/* Weights that are finite, but make features, or only distances, that are not: said, and nothing written. */
Test(train, features_and_distances_that_overflow) {
    const char *weights = getenv("PATCHBANK_TEST_WEIGHTS");
    if (!weights)
        cr_skip_test("PATCHBANK_TEST_WEIGHTS does not name the weights of efficientnet_lite0");
    must(in_folder("%s %s/tests/jobs/break_weights.py %s sum.safetensors 3e38 _blocks.3._bn2.bias _blocks.4._bn2.bias", PB_PYTHON,
                   PB_SOURCE_DIR, weights),
         0);
    must(patchbank(3, "train --archive archive --bank b.h5 --weights sum.safetensors --resize 96 --crop 96"), 65);
    says_once("has a feature that is not finite; are these the right weights");
    says("images/");
    must(in_folder("%s %s/tests/jobs/break_weights.py %s large.safetensors 1e36 _blocks.4._bn2.weight", PB_PYTHON, PB_SOURCE_DIR,
                   weights),
         0);
    must(patchbank(3, "train --archive archive --bank b.h5 --weights large.safetensors --resize 96 --crop 96"), 65);
    says_once("distances between patches overflow");
    must(patchbank(3, "train --archive archive --bank b.h5 --weights large.safetensors --resize 96 --crop 96 "
                      "--coreset greedy-step"),
         65);
    says_once("distances between patches overflow");
    must(patchbank(3, "train --archive archive --bank b.h5 --weights large.safetensors --resize 96 --crop 96 --distance cosine"),
         65);
    says_once("has a feature that is not finite");
    cr_assert(!exists("b.h5"));
}

/* A rank that fails ends all of them at once with its own error, however long the others still have to work. */
Test(train, a_failure_is_heard_before_the_watchdog) {
    must(in_folder("%s -c \"import h5py; f = h5py.File('archive/shard-00000.h5', 'r+'); d = f['image/bytes']; "
                   "i = int(f['image/offset'][0]) + 100; d[i] = d[i] ^ 1\"",
                   PB_PYTHON),
         0);
    must(patchbank(3, "train --archive archive --bank b.h5 --batch 1 --watchdog 5 " TRAIN_OPTIONS), 65);
    says_once("images/00.png");
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
    must(in_folder("grep -c . b1.h5.rejected.csv | grep -x 2 && grep '^images/04.png,4,.*CRC32C' b1.h5.rejected.csv"), 0);
    must(in_folder("for n in 2 3 4; do cmp b1.h5.rejected.csv b$n.h5.rejected.csv || exit 1; done"), 0);
    must(patchbank(2, "train --archive archive --bank b1.h5 --coreset two-round --parts 3 --max-bad 1 " TRAIN_OPTIONS), 0);
    must(in_folder("cmp b1.h5.rejected.csv b2.h5.rejected.csv"), 0);
    must(patchbank(1, "pack --list list.csv --archive good"), 0);
    must(patchbank(2, "train --archive good --bank b1.h5 --max-bad 1 " TRAIN_OPTIONS), 0);
    cr_assert(!exists("b1.h5.rejected.csv"), "of the bank that was there before");
    must(in_folder("cp b2.h5 b1.h5"), 0);
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
