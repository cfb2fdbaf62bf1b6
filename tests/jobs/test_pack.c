#include "fixture.h"

TestSuite(pack, .init = new_images, .fini = remove_folder);

Test(pack, same_bytes_for_any_number_of_ranks) {
    for (int ranks = 1; ranks <= 4; ranks++)
        must(patchbank(ranks, "pack --list list.csv --archive a%d --shard-images 5", ranks), 0);
    for (int ranks = 2; ranks <= 4; ranks++)
        must(in_folder("diff -r a1 a%d", ranks), 0);
    must(in_folder("ls a1 | wc -l | grep -x 6"), 0); /* five shards and the manifest */
}

/* Each of these stops a job with the default --max-bad 0. */
static void check_bad_image(const char *make, const char *word) {
    must(in_folder("%s", make), 0);
    must(patchbank(3, "pack --list list.csv --archive bad --shard-images 5"), 65);
    says_once(word);
    says("images/04.png");
    cr_assert(!exists("bad"), "%s", make);
}

Test(pack, bad_images) {
    check_bad_image("rm images/04.png", "No such file");
    check_bad_image(": > images/04.png", "empty");
    check_bad_image("echo hello > images/04.png", "not a JPEG or PNG");
    check_bad_image("head -c $(($(stat -c %s images/05.jpg) * 2 / 3)) images/05.jpg > images/04.png", "truncated");
    check_bad_image("head -c $(($(stat -c %s images/06.png) * 2 / 3)) images/06.png > images/04.png", "PNG");
}

Test(pack, bad_images_within_the_budget_are_left_out) {
    must(in_folder("echo hello > images/04.png; rm images/17.jpg"), 0);
    must(patchbank(2, "pack --list list.csv --archive some --shard-images 5 --max-bad 2"), 0);
    says("images/04.png");
    says("images/17.jpg");
    must(in_folder("printf 'path,index,reason\r\nimages/04.png,4,./images/04.png: not a JPEG or PNG file\r\n"
                   "images/17.jpg,17,./images/17.jpg: cannot open: No such file or directory\r\n' | diff - some/rejected.csv"),
         0);
    for (int ranks = 1; ranks <= 4; ranks++) {
        must(patchbank(ranks, "pack --list list.csv --archive s%d --shard-images 5 --max-bad 9", ranks), 0);
        must(in_folder("diff -r some s%d", ranks), 0);
    }
    must(patchbank(1, "info --archive some"), 0);
    says("22 images in 5 shards");
    must(patchbank(2, "pack --list list.csv --archive none --shard-images 5 --max-bad 1"), 65);
    says_once("2 bad images, more than --max-bad 1");
    cr_assert(!exists("none"));
}

Test(pack, without_bad_images_there_is_no_list_of_them) {
    must(in_folder("mkdir a && echo of a job that was killed > a/rejected.csv"), 0);
    must(patchbank(2, "pack --list list.csv --archive a --max-bad 3"), 0);
    cr_assert(!exists("a/rejected.csv"));
}

Test(pack, a_list_of_bad_images_that_cannot_be_written) {
    must(in_folder("rm images/17.jpg"), 0);
    /* of rank 0's files two shards of a list of five come first, then this one */
    must(in_folder("PATCHBANK_FAULT=io.create@0:3 %s -n 3 --map-by :OVERSUBSCRIBE %s pack --list list.csv --archive a "
                   "--shard-images 5 --max-bad 3",
                   PB_MPIEXEC, PB_PROGRAM),
         74);
    says_once("rejected.csv");
    cr_assert(!exists("a"));
    /* and when the manifest fails after it, it goes too */
    must(in_folder("PATCHBANK_FAULT=io.create@0:4 %s -n 3 --map-by :OVERSUBSCRIBE %s pack --list list.csv --archive a "
                   "--shard-images 5 --max-bad 3",
                   PB_MPIEXEC, PB_PROGRAM),
         74);
    says_once("manifest.json");
    cr_assert(!exists("a"));
}

Test(pack, bad_lists) {
    must(patchbank(2, "pack --archive x"), 64);
    says_once("--list");
    must(patchbank(2, "pack --list missing.csv --archive x"), 65);
    says_once("missing.csv");
    must(in_folder("printf 'path,split\\na.png,trian\\n' > typo.csv"), 0);
    must(patchbank(2, "pack --list typo.csv --archive x"), 65);
    says_once("typo.csv");
    cr_assert(!exists("x"));
    must(patchbank(2, "pack --mvtec missing --archive x"), 65);
    cr_assert(!exists("x"));
}

/* In a folder that was there before, and in one that is made for the archive. */
Test(pack, what_fails_removes_only_what_it_made) {
    must(in_folder("mkdir old && echo mine > old/notes && mkdir empty && echo hello > images/04.png"), 0);
    must(patchbank(2, "pack --list list.csv --archive old --shard-images 5"), 65);
    must(in_folder("ls old | grep -x notes && ls old | wc -l | grep -x 1"), 0);
    must(patchbank(2, "pack --list list.csv --archive empty --shard-images 5"), 65);
    cr_assert(exists("empty"));
    must(patchbank(2, "pack --list list.csv --archive new --shard-images 5"), 65);
    cr_assert(!exists("new"));
    must(in_folder("PATCHBANK_FAULT=io.mkdir@0 %s pack --list list.csv --archive new", PB_PROGRAM), 74);
    cr_assert(!exists("new"));
}

/* What a killed pack leaves: shards, but no manifest. Nothing of it may stay beside the new, smaller archive. */
Test(pack, shards_of_a_killed_pack_are_removed) {
    must(patchbank(1, "pack --list list.csv --archive a --shard-images 9"), 0);
    must(in_folder("cp -a a expected && rm a/manifest.json && cp a/shard-00001.h5 a/shard-00003.h5 && "
                   "cp a/shard-00001.h5 a/shard-100000.h5 && echo mine > a/shard-notes.h5"),
         0);
    must(patchbank(2, "pack --list list.csv --archive a --shard-images 9"), 0);
    says("removed=5");
    must(in_folder("rm a/shard-notes.h5 && diff -r a expected"), 0);
    must(in_folder("rm a/manifest.json"), 0);
    must(patchbank(2, "pack --list missing.csv --archive a"), 65); /* a mistake touches nothing */
    must(in_folder("ls a/*.h5 | wc -l | grep -x 3"), 0);
}

Test(pack, options_out_of_range) {
    must(patchbank(2, "pack --list list.csv --archive x --shard-images 16777217"), 64);
    says_once("--shard-images 16777217: must be a whole number from 1 to 16777216");
    must(patchbank(2, "pack --list list.csv --archive x --threads 2"), 64); /* pack would ignore them */
    says_once("--threads");
    cr_assert(!exists("x"));
    must(patchbank(2, "pack --list list.csv --archive x --shard-images 16777216"), 0);
    must(in_folder("ls x | wc -l | grep -x 2"), 0);
}

Test(pack, an_archive_that_is_there_is_not_touched) {
    must(patchbank(1, "pack --list list.csv --archive a"), 0);
    must(in_folder("cp -a a b"), 0);
    must(patchbank(2, "pack --list list.csv --archive a"), 65);
    says_once("already holds an archive");
    must(in_folder("diff -r a b"), 0);
}

Test(pack, mvtec_folder) {
    must(in_folder("mkdir -p m/cup/train/good m/cup/test/good m/cup/test/hole m/cup/ground_truth/hole"), 0);
    must(in_folder("cp images/00.png m/cup/train/good/000.png; cp images/02.png m/cup/test/good/000.png; "
                   "cp images/16.png m/cup/test/hole/000.png; cp images/16.png m/cup/ground_truth/hole/000_mask.png"),
         0);
    must(patchbank(2, "pack --mvtec m --archive a"), 0);
    must(patchbank(1, "info --archive a"), 0);
    says("3 images");
    says("1 masks");
}

/* The folder becomes a list that exists nowhere: what is wrong with it is said of the folder. */
Test(pack, trouble_in_an_mvtec_folder_names_the_folder) {
    must(in_folder("mkdir -p m/cup/train/good m/cup/test/good && cp images/02.png m/cup/test/good/000.png && "
                   "cp images/00.png \"$(printf 'm/cup/train/good/\\377.png')\""),
         0);
    must(patchbank(2, "pack --mvtec m --archive a"), 65);
    says_once(": m/: ");
    says("not UTF-8");
    cr_assert(!strstr(said, "m/list"), "%s", said);
    cr_assert(!exists("a"));
}

Test(pack, a_failing_write_leaves_nothing) {
    static const char *const FAULTS[] = {"io.write@1", "io.close@2", "io.fsync@0", "io.rename@1", "io.create@2"};
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        must(in_folder("PATCHBANK_FAULT=%s %s -n 3 --map-by :OVERSUBSCRIBE %s pack --list list.csv --archive a --shard-images 5",
                       FAULTS[i], PB_MPIEXEC, PB_PROGRAM),
             74);
        cr_assert_eq(error_lines(), 1, "%s: %s", FAULTS[i], said);
        cr_assert(!exists("a"), "%s", FAULTS[i]);
    }
}
