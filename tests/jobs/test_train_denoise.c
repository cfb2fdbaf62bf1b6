#include "fixture.h"

TestSuite(denoise, .init = new_archive, .fini = remove_folder);

#define IN_FULL "--archive archive --weights random:7 --resize 64 --crop 64 --projection 0 "
#define DENOISE "--denoise %s --denoise-share 0.2 "

static const char *const KINDS[] = {"nearest", "lof"};

/* Scores, limit and selection, each in numpy; the same bank for any ranks and both greedy ways. */
Test(denoise, leaves_out_what_numpy_does) {
    must(patchbank(2, "train --bank every.h5 --ratios 100%% " IN_FULL), 0);
    for (size_t kind = 0; kind < sizeof KINDS / sizeof KINDS[0]; kind++) {
        for (int ranks = 1; ranks <= 4; ranks++)
            must(patchbank(ranks, "train --bank b%d.h5 --ratios 10%% " IN_FULL DENOISE, ranks, KINDS[kind]), 0);
        must(in_folder("for n in 2 3 4; do cmp b1.h5 b$n.h5 || exit 1; done"), 0);
        must(in_folder("%s %s/tests/jobs/check_denoise.py every.h5 b1.h5 %s 0.2", PB_PYTHON, PB_SOURCE_DIR, KINDS[kind]), 0);
        must(patchbank(3, "train --bank s.h5 --ratios 10%% --coreset greedy-step --batch 3 " IN_FULL DENOISE, KINDS[kind]), 0);
        must(in_folder("%s %s/tests/jobs/same_rows.py b1.h5 s.h5", PB_PYTHON, PB_SOURCE_DIR), 0);
    }
}

/* The radius is that of the patches that stay, exactly. */
Test(denoise, a_bank_verifies) {
    must(patchbank(2, "train --archive archive --bank b.h5 --denoise lof " TRAIN_OPTIONS), 0);
    says("event=denoised how=lof patches_left_out=216 of=1440");
    must(patchbank(3, "verify --archive archive --weights random:7 --bank b.h5"), 0);
    says("which is not about 216 that were left out");
    must(in_folder("cp b.h5 c.h5; %s -c \"import h5py; h5py.File('c.h5', 'r+')['covering_radius'][-1] *= 1.0001\"", PB_PYTHON),
         0);
    must(patchbank(3, "verify --archive archive --weights random:7 --bank c.h5"), 1);
    must(in_folder("%s -c \"import h5py; h5py.File('b.h5', 'r+')['covering_radius'][-1] *= 0.5\"", PB_PYTHON), 0);
    must(patchbank(3, "verify --archive archive --weights random:7 --bank b.h5"), 1);
    must(patchbank(2, "train --archive archive --bank n.h5 --denoise lof --denoise-share 0 " TRAIN_OPTIONS), 0);
    must(patchbank(2, "train --archive archive --bank p.h5 " TRAIN_OPTIONS), 0);
    must(in_folder("%s %s/tests/jobs/same_rows.py n.h5 p.h5", PB_PYTHON, PB_SOURCE_DIR), 0);
}

/* An update leaves out what is unusual among its new images; ranks change nothing. */
Test(denoise, an_update) {
    must(in_folder("(sed -n '1,7p' list.csv) > a.csv && (sed -n '1p;8,11p' list.csv) > b.csv"), 0);
    must(patchbank(1, "pack --list a.csv --archive a"), 0);
    must(patchbank(1, "pack --list b.csv --archive b"), 0);
    must(patchbank(2, "train --archive a --bank a.h5 " TRAIN_OPTIONS), 0);
    for (int ranks = 1; ranks <= 3; ranks++)
        must(patchbank(ranks, "update --archive b --bank a.h5 --weights random:7 --bank-out u%d.h5 --denoise nearest", ranks), 0);
    must(in_folder("cmp u1.h5 u2.h5 && cmp u1.h5 u3.h5 && %s info --bank u1.h5 | grep -E 'left_out_patches +86'", PB_PROGRAM), 0);
    must(patchbank(2, "verify --archive b --weights random:7 --bank u1.h5"), 0);
    must(patchbank(2, "update --archive b --bank a.h5 --weights random:7 --bank-out all.h5"), 0);
    cr_assert(!strstr(said, "not-denoised"), "%s", said);
    must(patchbank(2, "update --archive b --bank u1.h5 --weights random:7 --bank-out v.h5"), 0);
    says("event=not-denoised bank=nearest");
    must(in_folder("%s -c \"import h5py; assert len(h5py.File('u1.h5')['image']) < len(h5py.File('all.h5')['image'])\"",
                   PB_PYTHON),
         0);
}

/* Stopped while places are compared, in the selection after it, and after that: what was left out is known each time. */
Test(denoise, a_stopped_one_goes_on) {
    static const char *const FAULTS[] = {"train.batch@0:3!usr1", "train.denoise@1:9!usr1", "train.round@0:2!term",
                                         "train.collect@0:1!usr1"};
    must(patchbank(2, "train --archive archive --bank whole.h5 --denoise lof " TRAIN_OPTIONS), 0);
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        must(
            in_folder("PATCHBANK_FAULT='%s' %s -n 2 --map-by :OVERSUBSCRIBE %s train --archive archive --bank b.h5 --denoise lof "
                      "--batch 1 --checkpoint 0 " TRAIN_OPTIONS,
                      FAULTS[i], PB_MPIEXEC, PB_PROGRAM),
            75);
        must(patchbank(3, "train --archive archive --bank b.h5 --denoise lof " TRAIN_OPTIONS), 0);
        cr_assert_null(strstr(said, "checkpoint-ignored"), "%s", said);
        cr_assert_null(strstr(said, "pass=extract images=10 "), "nothing was saved:\n%s", said);
        must(in_folder("cmp b.h5 whole.h5 && rm b.h5"), 0);
        cr_assert_not(exists("b.h5.state"));
    }
}

Test(denoise, wrong_options) {
    must(patchbank(2, "train --archive archive --bank b.h5 --denoise lof --coreset two-round " TRAIN_OPTIONS), 64);
    says_once("--denoise lof");
    must(patchbank(2, "train --archive archive --bank b.h5 --denoise nearest --coreset random " TRAIN_OPTIONS), 64);
    says_once("--coreset random");
    must(patchbank(2, "train --archive archive --bank b.h5 --denoise lof --denoise-share 1 " TRAIN_OPTIONS), 64);
    says_once("--denoise-share");
    must(patchbank(2, "train --archive archive --bank b.h5 --denoise gauss " TRAIN_OPTIONS), 64);
    says_once("none|nearest|lof");
    cr_assert(!exists("b.h5"));
}
