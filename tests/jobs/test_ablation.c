/* test_ablation.c: jobs/ablation.sh as a user runs it, on a small archive and with random weights. */
#include "fixture.h"

TestSuite(ablation, .init = new_archive, .fini = remove_folder, .timeout = 300);

/* Settings are given as environment in front of it, further words behind it. */
#define ABLATION "PATCHBANK=%s bash %s/jobs/ablation.sh "
#define RESNET "BACKBONE=resnet18 PATCH_SIZES=3 PAIRS_WITHIN=2 RATIO=5%% "
#define ON_RESNET "BASE_LAYERS=2 " RESNET
#define SMALL "archive random:7 out --resize 32 --crop 32 --projection 64 --feature-dim 64"

#define ablation(environment, words) in_folder(environment ABLATION words, PB_PROGRAM, PB_SOURCE_DIR)

/* base_and_settings: as check_ablation.py takes them. */
static void check(const char *base_and_settings) {
    must(in_folder("%s %s/tests/jobs/check_ablation.py out %s", PB_PYTHON, PB_SOURCE_DIR, base_and_settings), 0);
}

static void does_not_say(const char *word) { cr_assert(!strstr(said, word), "\"%s\" in:\n%s", word, said); }

/* The figures are those of eval, which are those of the definition; a setting of both panels runs once. */
Test(ablation, the_table_has_the_figures_of_eval) {
    must(ablation("LAYERS='2 1,2' " ON_RESNET, SMALL), 0);
    check("2/3 2/3 1,2/3");
    for (int both = 0; both < 2; both++)
        must(in_folder("%s %s/tests/jobs/check_eval.py out/layers-%s2-patch-3/results out/layers-%s2-patch-3/eval.json 2",
                       PB_PYTHON, PB_SOURCE_DIR, both ? "1," : "", both ? "1," : ""),
             0);
    must(in_folder("! cmp out/layers-2-patch-3/bank.h5 out/layers-1,2-patch-3/bank.h5"), 0);
    nothing_half_written();
}

/* Of what is done nothing runs again, not even the first steps of a setting whose last one is missing; only new words decide. */
Test(ablation, it_goes_on_where_it_was) {
    must(ablation("LAYERS='2 3' " ON_RESNET, SMALL), 0);
    must(in_folder("cut -d, -f1-11 out/ablation.csv > before && mv out/layers-3-patch-3 old && rm out/ablation.svg"), 0);
    must(ablation("LAYERS='2 3' RANKS=3 " ON_RESNET, SMALL), 0);
    says("== layers-2-patch-3: is there");
    says("== layers-3-patch-3: runs");
    does_not_say("layers-2-patch-3/bank.h5");
    must(in_folder("cut -d, -f1-11 out/ablation.csv | cmp - before && cmp out/layers-3-patch-3/eval.json old/eval.json"), 0);
    must(in_folder("rm out/layers-3-patch-3/eval.json"), 0);
    must(ablation("LAYERS='2 3' " ON_RESNET, SMALL), 0);
    says("== layers-3-patch-3: runs");
    does_not_say("job=train");
    does_not_say("job=score");
    check("2/3 2/3 3/3");
    must(ablation("LAYERS=2 " ON_RESNET, SMALL " --seed 1"), 64);
    says("results of other input or options");
    says("> train --resize 32 --crop 32 --projection 64 --feature-dim 64 --seed 1");
    must(in_folder("sed -E '2d' list.csv > less.csv"), 0);
    must(patchbank(1, "pack --list less.csv --archive less"), 0);
    must(ablation("LAYERS=2 " ON_RESNET, "less random:7 out --resize 32 --crop 32 --projection 64 --feature-dim 64"), 64);
    says("> archive ");
}

/* A rank that is lost in the middle of a selection: the next run resumes it, and the bank is that of a run without the loss. */
Test(ablation, a_killed_setting_goes_on) {
    cr_assert(ablation("PATCHBANK_FAULT=train.round@0:1!kill LAYERS=2 " ON_RESNET, SMALL " --checkpoint 0") != 0, "%s", said);
    says("== layers-2-patch-3: failed with exit code");
    says("no setting is done");
    cr_assert(exists("out/layers-2-patch-3/bank.h5.state/selection.h5"), "%s", said);
    cr_assert(!exists("out/layers-2-patch-3/train.seconds") && !exists("out/ablation.csv"), "%s", said);
    must(ablation("LAYERS=2 " ON_RESNET, SMALL " --checkpoint 0"), 0);
    says("event=resumed picks=");
    check("2/3 2/3");
    must(patchbank(1,
                   "train --archive archive --bank whole.h5 --weights random:7 --backbone resnet18 --taps 2 --features patchcore "
                   "--ratios 5%% --resize 32 --crop 32 --projection 64 --feature-dim 64"),
         0);
    must(in_folder("cmp whole.h5 out/layers-2-patch-3/bank.h5"), 0);
}

/* The first code that is not 0 is the script's, and the settings behind the failing one are done. */
Test(ablation, a_failing_setting_does_not_stop_the_others) {
    must(ablation("LAYERS='9 2' BASE_LAYERS=9 " RESNET, SMALL), 64);
    says("== layers-9-patch-3: failed with exit code 64");
    says("1 settings failed: layers-9-patch-3");
    check("9/3 2/3");
    must(ablation("LAYERS='9 2' BASE_LAYERS=9 " RESNET, SMALL), 64);
    says("== layers-9-patch-3: failed with exit code 64");
    says("== layers-2-patch-3: is there");
    must(in_folder("echo broken > out/layers-2-patch-3/eval.json"), 0);
    must(ablation("LAYERS=2 " ON_RESNET, SMALL), 65);
    says("layers-2-patch-3 is not as ablation.sh wrote it");
}

/* Without words: the paper's patch sizes, and the last blocks of stride 4, 8 and 16 alone and together. What starts ranks is
 * replaced: the first time it fails with 74, then with 70, and the script's code is the first one. */
Test(ablation, defaults_are_those_of_the_paper) {
    must(in_folder("printf '#!/bin/sh\\n[ -e once ] && exit 70\\n: > once\\nexit 74\\n' > mpiexec && chmod +x mpiexec"), 0);
    must(ablation("PATH=.:$PATH ", "archive random:7 out"), 74);
    says("12 settings failed: layers-4,10-patch-1 layers-4,10-patch-3 layers-4,10-patch-5 layers-4,10-patch-7 "
         "layers-4,10-patch-9 layers-4,10-patch-11 layers-4,10-patch-13 layers-2-patch-3 layers-4-patch-3 layers-10-patch-3 "
         "layers-2,4-patch-3 layers-2,4,10-patch-3\n");
    must(ablation("PATH=.:$PATH BACKBONE=wide_resnet50_2 PATCH_SIZES=3 ", "archive random:7 wrn"), 70);
    says("6 settings failed: layers-2,3-patch-3 layers-1-patch-3 layers-2-patch-3 layers-3-patch-3 layers-1,2-patch-3 "
         "layers-1,2,3-patch-3\n");
}

Test(ablation, wrong_words_are_refused_before_anything_runs) {
    must(ablation("", "archive random:7"), 64);
    says("usage: ");
    must(ablation("BACKBONE=resnet9 ", SMALL), 64);
    says("resnet9: no such backbone");
    must(ablation("LAYERS='2 ../3' ", SMALL), 64);
    says("layers ../3, patch size 3: layers are written as 2,3");
    must(ablation("PATCH_SIZES='3 x' ", SMALL), 64);
    says("layers 4,10, patch size x: ");
    must(ablation("", "images random:7 out"), 65);
    says("images has no manifest.json");
    must(ablation("", "archive missing.safetensors out"), 65);
    says("missing.safetensors cannot be read");
    must(in_folder("PATCHBANK=./none bash %s/jobs/ablation.sh archive random:7 out", PB_SOURCE_DIR), 64);
    says("./none is not there");
    cr_assert(!exists("out"));
    must(ablation("", "archive random:7 list.csv"), 65);
    says("list.csv cannot be made");
}
