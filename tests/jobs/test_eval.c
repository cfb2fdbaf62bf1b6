#include "fixture.h"

static void new_results(void) {
    new_archive();
    must(patchbank(2, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 0);
    must(patchbank(2, "score --archive archive --bank b.h5 --weights random:7 --results r"), 0);
}

TestSuite(eval, .init = new_results, .fini = remove_folder);

Test(eval, figures_are_those_of_the_definition) {
    must(patchbank(2, "eval --results r --pairs-within 2 --json e.json"), 0);
    says("all images");
    says("ring, large");
    says("floor");
    must(in_folder("%s %s/tests/jobs/check_eval.py r/scores.csv e.json 2", PB_PYTHON, PB_SOURCE_DIR), 0);
}

Test(eval, json_on_standard_output_is_only_json) {
    must(in_folder("%s eval --results r --json - --log-level error | %s -m json.tool > /dev/null", PB_PROGRAM, PB_PYTHON), 0);
}

Test(eval, what_cannot_be_evaluated) {
    must(patchbank(2, "eval --results missing"), 65);
    says_once("missing");
    must(in_folder("mkdir text && echo hello > text/results.h5"), 0);
    must(patchbank(2, "eval --results text"), 65);
    says_once("text/results.h5");
    must(patchbank(2, "score --archive archive --bank b.h5 --weights random:7 --results t --split train"), 0);
    must(patchbank(2, "eval --results t"), 65);
    says_once("AUROC needs both kinds");
}
