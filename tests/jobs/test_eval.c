#include "fixture.h"

static void new_results(void) {
    new_archive();
    must(patchbank(2, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 0);
    must(patchbank(2, "score --archive archive --bank b.h5 --weights random:7 --results r"), 0);
}

TestSuite(eval, .init = new_results, .fini = remove_folder);

#define SCORE "score --bank b.h5 --weights random:7 "

static void check(const char *arguments, const char *what) {
    must(in_folder("%s %s/tests/jobs/check_eval.py %s", PB_PYTHON, PB_SOURCE_DIR, arguments), 0);
    says(what);
}

Test(eval, figures_are_those_of_the_definition) {
    must(patchbank(2, "eval --results r --pairs-within 2 --json e.json"), 0);
    says("all images");
    says("ring, large");
    says("floor");
    check("r e.json 2", "all images and 2 classes, near pairs in 2 of them, 0 unscored, 2 unlabelled");
    must(patchbank(2, "eval --results r --json e.json"), 0);
    check("r e.json", "all images and 2 classes, near pairs in 0 of them");
}

/* An image whose bytes are damaged is in the results without a score. */
Test(eval, unscored_images_are_counted) {
    must(in_folder("%s -c \"import h5py; f = h5py.File('archive/shard-00001.h5', 'r+'); d = f['image/bytes']; "
                   "i = int(f['image/offset'][4]) + 50; d[i] = d[i] ^ 1\"",
                   PB_PYTHON),
         0);
    must(patchbank(2, SCORE "--archive archive --results some --max-bad 1"), 0);
    must(patchbank(1, "eval --results some --pairs-within 0 --json e.json"), 0);
    check("some e.json 0", "1 unscored");
}

/* The list changed by a sed command, packed and scored as `name`. */
static void score_changed(const char *name, const char *change) {
    must(in_folder("sed -E '%s' list.csv > %s.csv", change, name), 0);
    must(patchbank(2, "pack --list %s.csv --archive %s-archive", name, name), 0);
    must(patchbank(2, SCORE "--archive %s-archive --results %s", name, name), 0);
}

/* Defects that are darker in every statistic: the floor is that of the opposite direction. */
Test(eval, the_floor_knows_both_directions) {
    must(in_folder("%s -c \"import h5py, numpy; f = h5py.File('r/results.h5', 'r+'); "
                   "f['brightness'][:] = -numpy.outer(f['score'][:], [1, 2, 3, 4])\"",
                   PB_PYTHON),
         0);
    must(patchbank(1, "eval --results r --pairs-within 2 --json e.json"), 0);
    check("r e.json 2", "all images and 2 classes, near pairs in 2 of them");
}

/* The rings' defects are in groups far away: that class has an AUROC, but no near pair. */
Test(eval, a_class_without_near_pairs_keeps_its_other_figures) {
    score_changed("far", "/(18|21)\\.(png|jpg)/ s/,([0-9]+)\\r$/,100\\1\\r/");
    must(patchbank(2, "eval --results far --pairs-within 2 --json e.json"), 0);
    says("near-pairs-left-out");
    says("\nring, large");
    check("far e.json 2", "all images and 2 classes, near pairs in 1 of them");
}

Test(eval, group_numbers_out_of_range_are_refused) {
    score_changed("huge", "s/,([0-9]+)\\r$/,1844674407370955161\\1\\r/");
    must(patchbank(2, "eval --results huge"), 0);
    must(patchbank(2, "eval --results huge --pairs-within 0"), 65);
    says_once("huge: images/10.png: group \"18446744073709551610\" is too large a number for --pairs-within");
    score_changed("words", "s/,([0-9]+)\\r$/,module \\1\\r/");
    must(patchbank(2, "eval --results words --pairs-within 0"), 65);
    says_once("words: images/10.png: group \"module 0\" is not a whole number");
}

Test(eval, a_json_file_that_cannot_be_written_is_named_alone) {
    must(patchbank(2, "eval --results r --json nodir/e.json"), 65);
    says_once(": nodir/e.json: ");
    cr_assert(!strstr(said, "r: nodir"), "%s", said);
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
