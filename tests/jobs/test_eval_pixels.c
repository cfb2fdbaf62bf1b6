#include "fixture.h"

#define SCORE "score --bank b.h5 --weights random:7 "

static void new_results(void) {
    new_images();
    must(patchbank(1, "pack --list masked.csv --archive archive --shard-images 9"), 0);
    must(patchbank(2, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 0);
    must(patchbank(2, SCORE "--archive archive --results r"), 0);
}

TestSuite(eval_pixels, .init = new_results, .fini = remove_folder);

static void check(const char *results, const char *sigma, const char *what) {
    must(in_folder("%s %s/tests/jobs/check_pixels.py %s masked.csv e.json 96 %s", PB_PYTHON, PB_SOURCE_DIR, results, sigma), 0);
    says(what);
}

/* By definition, and the same bytes for any number of ranks, any kernels and a GPU. */
Test(eval_pixels, figures_are_those_of_the_definition) {
    must(patchbank(3, "eval --results r --archive archive --json e.json"), 0);
    says("pixels     PRO");
    says("on maps of 96 x 96, sigma 4; PRO: overlap of 5 regions");
    says("1 without a mask are left out, 1 have an empty one");
    check("r", "4", "checked: 11 images, 1 without a mask, 1 empty, 5 regions and 2 classes");
    for (int ranks = 1; ranks <= 4; ranks += ranks) {
        must(patchbank(ranks, "eval --results r --archive archive --json same.json --threads 2 --device %s",
                       ranks == 2 ? "cpu:plain" : "cpu"), 0);
        must(in_folder("cmp e.json same.json"), 0);
    }
    must(patchbank(1, "eval --results r --archive archive --sigma 0.5 --json e.json"), 0);
    check("r", "0.5", "5 regions");
    must(in_folder("PATCHBANK_CUDA_PLUGIN=%s %s eval --results r --archive archive --sigma 0.5 --device cuda:0 --json same.json",
                   PB_EMULATED_PLUGIN, PB_PROGRAM), 0);
    must(in_folder("cmp e.json same.json"), 0);
    must(patchbank(2, "eval --results r --json e.json"), 0);
    cr_assert(!strstr(said, "PRO"), "%s", said);
    must(in_folder("grep pixel e.json ; test $? = 1"), 0);
}

/* What was added to the archive after it was scored does not concern it. */
Test(eval_pixels, the_archive_is_taken_as_it_was_scored) {
    must(patchbank(1, "eval --results r --archive archive --json e.json"), 0);
    must(in_folder("(head -1 masked.csv ; sed -n 's:^images/16:./images/16:p' masked.csv) > more.csv"), 0);
    must(patchbank(1, "pack --list more.csv --archive archive --append"), 0);
    must(patchbank(1, "eval --results r --archive archive --json same.json"), 0);
    must(in_folder("cmp e.json same.json"), 0);
}

/* An image that cannot be read has no map; a class whose defects have no masks keeps its other figures. */
Test(eval_pixels, what_has_no_pixels_is_left_out) {
    must(in_folder("%s -c \"import h5py; f = h5py.File('archive/shard-00001.h5', 'r+'); d = f['image/bytes']; "
                   "i = int(f['image/offset'][4]) + 50; d[i] = d[i] ^ 1\"",
                   PB_PYTHON),
         0);
    must(patchbank(2, SCORE "--archive archive --results some --max-bad 1"), 0);
    must(patchbank(2, "eval --results some --archive archive --json e.json"), 0);
    check("some", "4", "checked: 10 images");
    must(in_folder("sed -E '/(18|21)\\.(png|jpg)/ s/,masks.*png//; 2,$ s/,([0-9]+)\\r$/,\\1,\\r/' masked.csv > fewer.csv && "
                   "cp fewer.csv masked.csv"),
         0);
    must(patchbank(1, "pack --list masked.csv --archive fewer"), 0);
    must(patchbank(2, SCORE "--archive fewer --results f"), 0);
    must(patchbank(2, "eval --results f --archive fewer --json e.json"), 0);
    says("pixels-left-out");
    says("pixel AUROC needs both kinds: 0 defective");
    check("f", "4", "3 without a mask");
    says("2 classes");
}

Test(eval_pixels, what_cannot_be_evaluated) {
    must(patchbank(2, "pack --list list.csv --archive other"), 0);
    must(patchbank(2, "eval --results r --archive other"), 65);
    says_once("other: neither is nor was an archive with the manifest");
    must(patchbank(2, SCORE "--archive other --results o"), 0);
    must(patchbank(2, "eval --results o --archive other"), 65);
    says_once("o: pixel AUROC needs both kinds: 0 defective");
    must(patchbank(2, "eval --results r --archive archive --device nothing"), 64);
    says_once("nothing");
    must(patchbank(2, "eval --results r --archive archive --sigma 65"), 64);
    says_once("--sigma");
    must(in_folder("%s -c \"import h5py; f = h5py.File('r/results.h5', 'r+'); f['map'][3, 2, 2] += 1\"", PB_PYTHON), 0);
    must(patchbank(2, "eval --results r --archive archive"), 65);
    says_once("the map of image 3 is damaged");
}

/* Masks are checked when they are packed; one that is damaged, or changed since, is an error, for nobody knows what it said. */
Test(eval_pixels, a_damaged_mask_is_an_error) {
    must(in_folder("%s -c \"import h5py; f = h5py.File('archive/shard-00001.h5', 'r+'); d = f['mask/bytes']; "
                   "d[-30] = d[-30] ^ 1\"",
                   PB_PYTHON),
         0);
    must(patchbank(2, "eval --results r --archive archive"), 65);
    says_once("mask");
}
