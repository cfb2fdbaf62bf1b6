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
    cr_assert(!exists("bad/manifest.json"), "%s", make);
}

Test(pack, bad_images) {
    check_bad_image("rm images/04.png", "No such file");
    check_bad_image(": > images/04.png", "empty");
    check_bad_image("echo hello > images/04.png", "not a JPEG or PNG");
    check_bad_image("head -c $(($(stat -c %s images/05.jpg) * 2 / 3)) images/05.jpg > images/04.png", "truncated");
    check_bad_image("head -c $(($(stat -c %s images/06.png) * 2 / 3)) images/06.png > images/04.png", "PNG");
    must(in_folder("{ %s %s/tests/jobs/make_images.py . && %s pack --list list.csv --archive whole --shard-images 5; }",
                   PB_PYTHON, PB_SOURCE_DIR, PB_PROGRAM),
         0);
    must(patchbank(2, "pack --list list.csv --archive bad --shard-images 5"), 0); /* goes on where the image was bad */
    says("shards=5 kept=");
    cr_assert(!strstr(said, "kept=0"), "%s", said);
    must(in_folder("diff -r whole bad"), 0);
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
    cr_assert(!exists("none/manifest.json"));
}

Test(pack, without_bad_images_there_is_no_list_of_them) {
    must(in_folder("mkdir a && echo of a job that was killed > a/rejected.csv"), 0);
    must(patchbank(2, "pack --list list.csv --archive a --max-bad 3"), 0);
    cr_assert(!exists("a/rejected.csv"));
}

Test(pack, a_list_of_bad_images_that_cannot_be_written) {
    must(in_folder("rm images/17.jpg"), 0);
    /* of rank 0's files the note of what is packed and two shards of a list of five come first, then this one */
    must(in_folder("PATCHBANK_FAULT=io.create@0:4 %s -n 3 --map-by :OVERSUBSCRIBE %s pack --list list.csv --archive a "
                   "--shard-images 5 --max-bad 3",
                   PB_MPIEXEC, PB_PROGRAM),
         74);
    says_once("rejected.csv");
    says("event=kept folder=\"a\" shards=5");
    cr_assert(!exists("a/manifest.json") && !exists("a/rejected.csv"));
    /* and when the manifest fails after it: the shards are there, so that it is the second file */
    must(in_folder("PATCHBANK_FAULT=io.create@0:2 %s -n 3 --map-by :OVERSUBSCRIBE %s pack --list list.csv --archive a "
                   "--shard-images 5 --max-bad 3",
                   PB_MPIEXEC, PB_PROGRAM),
         74);
    says_once("manifest.json");
    cr_assert(!exists("a/manifest.json"));
    must(patchbank(4, "pack --list list.csv --archive a --shard-images 5 --max-bad 3"), 0);
    says("kept=5");
    must(in_folder("grep -c images/17.jpg a/rejected.csv"), 0);
    cr_assert(!exists("a/state"));
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

/* In a folder that was there before, and in one that is made for the archive; where nothing was done, nothing stays. */
Test(pack, what_fails_removes_only_what_it_made) {
    must(in_folder("mkdir old empty && echo mine > old/notes"), 0);
    must(in_folder("PATCHBANK_FAULT=io.create@0:2 %s pack --list list.csv --archive old", PB_PROGRAM), 74);
    must(in_folder("ls old | grep -x notes && ls old | wc -l | grep -x 1"), 0);
    must(in_folder("PATCHBANK_FAULT=io.create@0 %s pack --list list.csv --archive empty", PB_PROGRAM), 74);
    cr_assert(exists("empty") && !exists("empty/state"));
    must(in_folder("PATCHBANK_FAULT=io.write@0:2 %s pack --list list.csv --archive new", PB_PROGRAM), 74);
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

/* --- stopped, killed, fenced ------------------------------------------------------------------------------------- */

#define PACK_FIVES "pack --list list.csv --archive a --shard-images 5 --max-bad 2"

static void new_bad_images(void) { must(in_folder("rm images/02.png && echo hello > images/17.jpg"), 0); }

static void pack_whole(void) {
    must(in_folder("%s pack --list list.csv --archive whole --shard-images 5 --max-bad 2", PB_PROGRAM), 0);
}

/* Runs a pack in the background until it is stopped by the fault, as on a node that hangs; its number is in the file pid. */
static void hang(const char *fault, const char *more) {
    must(in_folder("{ (PATCHBANK_FAULT='%s!stop' %s " PACK_FIVES " %s & echo $! > pid; wait $!; echo $? > code) > hung 2>&1 & "
                   "for i in $(seq 200); do grep -q '^State:.T' /proc/$(cat pid)/status && exit 0; sleep 0.1; done; exit 1; }",
                   fault, PB_PROGRAM, more),
         0);
}

/* Sends it `signals` and waits for its exit code. */
static void wake(const char *signals, const char *code) {
    must(in_folder("for s in %s; do kill -$s $(cat pid); done; for i in $(seq 200); do test -s code && break; sleep 0.1; done; "
                   "cat hung; grep -x %s code",
                   signals, code),
         0);
}

/* Asked to stop it saves nothing that is not whole, and any number of ranks goes on. */
Test(pack, goes_on_where_it_was_stopped) {
    new_bad_images();
    pack_whole();
    hang("io.rename@0:3", "--generation 7"); /* the note of what is packed, two shards */
    wake("USR1 CONT", "75");
    says("event=kept folder=\"a\" shards=2");
    must(in_folder("ls a | tr '\\n' ' ' | grep -x 'shard-00000.h5 shard-00001.h5 state '"), 0);
    must(patchbank(3, PACK_FIVES " --generation 7.1"), 0);
    says("kept=2");
    must(in_folder("diff -r whole a"), 0);
}

/* Killed before any rename, by the ranks one and two: nothing is lost, and what comes out is the same. */
Test(pack, goes_on_where_it_was_killed, .timeout = 120) {
    new_bad_images();
    pack_whole();
    int killed = 0;
    for (int hit = 1; hit <= 8; hit++) {
        int code = in_folder("sh -c \"rm -rf a; PATCHBANK_FAULT='io.rename@0:%d!kill' %s " PACK_FIVES "\"", hit, PB_PROGRAM);
        cr_assert_eq(code, 137, "%d: %s", hit, said);
        killed++;
        must(patchbank(1 + hit % 3, PACK_FIVES), 0);
        char kept[32];
        snprintf(kept, sizeof kept, "shards=5 kept=%d ", hit < 2 ? 0 : hit > 7 ? 5 : hit - 2);
        says(kept);
        must(in_folder("diff -r whole a"), 0);
    }
    cr_assert_eq(killed, 8); /* the note, five shards, rejected.csv, the manifest */
}

/* What is there is looked at: other lists, other images, damage. */
Test(pack, goes_on_only_from_what_is_right) {
    new_bad_images();
    must(in_folder("sh -c \"PATCHBANK_FAULT='io.rename@0:6!kill' %s " PACK_FIVES "\"", PB_PROGRAM), 137);
    must(in_folder("%s -c \"b = bytearray(open('a/shard-00001.h5', 'rb').read()); b[len(b) // 2] ^= 16; "
                   "open('a/shard-00001.h5', 'wb').write(b)\"; truncate -s 5000 a/shard-00002.h5; cp images/18.png images/17.jpg",
                   PB_PYTHON),
         0);
    pack_whole();
    must(patchbank(2, PACK_FIVES), 0);
    says("shards=5 kept=1 "); /* the first; of the fourth an image has become good */
    must(in_folder("diff -r whole a"), 0);
    must(in_folder("rm -r a whole; sh -c \"PATCHBANK_FAULT='io.rename@0:5!kill' %s " PACK_FIVES "\"", PB_PROGRAM), 137);
    must(in_folder("sed -i 's/ring/king/' list.csv"), 0);
    pack_whole();
    must(patchbank(2, PACK_FIVES), 0);
    says("event=stale-shards archive=\"a\" removed=3");
    says("kept=0");
    must(in_folder("diff -r whole a"), 0);
}

/* An earlier run that was only asleep finds that another has taken over, and harms nothing. */
Test(pack, an_earlier_run_is_fenced_off) {
    new_bad_images();
    pack_whole();
    hang("io.rename@0:3", "--generation 7");
    must(patchbank(2, PACK_FIVES " --generation 6"), 1);
    says("a/state: refused: this run of generation 6.0 meets");
    must(patchbank(2, PACK_FIVES " --generation 7.1"), 0);
    wake("CONT", "1");
    says("a newer run of this job has taken over");
    must(in_folder("diff -r whole a"), 0);
}

/* An archive that is there, and a state beside it: packing it again says what it would without. */
static void packs_again(const char *options) {
    must(patchbank(3, PACK_FIVES " %s", options), 65);
    says_once("already holds an archive");
}

/* Killed behind its manifest, at any moment of removing its state: the next one takes that away. A newer generation's run keeps
 * its state, and another job what it has saved there. */
Test(pack, the_state_of_an_archive_that_is_there) {
    new_bad_images();
    pack_whole();
    must(in_folder("sh -c \"PATCHBANK_FAULT='io.fsync@0:16!kill' %s " PACK_FIVES "\"", PB_PROGRAM), 137);
    must(in_folder("{ test -e a/manifest.json && test -e a/state/work && cp -a a left; }"), 0);
    packs_again("--generation 7");
    says("event=state-removed state=\"a/state\"");
    must(in_folder("diff -r whole a"), 0);
    must(in_folder("{ cp -a left/state a && mv a/state/work a/state/run-*; }"), 0);
    packs_again("");
    must(in_folder("diff -r whole a"), 0);
    must(in_folder("{ cp -a left/state a && mv a/state/run-* a/state/run-8.0-1; }"), 0);
    packs_again("--generation 7.9");
    says("event=state-left reason=\"a/state: refused: this run of generation 7.9 meets run-8.0-1, ");
    must(in_folder("{ test -e a/state/run-8.0-1/status.json && test -e a/state/work && touch a/state/scores-0-3.h5; }"), 0);
    packs_again("--generation 8");
    cr_assert_null(strstr(said, "event=state"), "%s", said);
    must(in_folder("{ test -e a/state/run-8.0-1 && test -e a/state/work && rm -r a/state && diff -r whole a; }"), 0);
}

/* It slept between looking for an archive and owning the folder, and another has made the archive meanwhile. */
Test(pack, an_archive_that_came_meanwhile_is_not_touched) {
    new_bad_images();
    pack_whole();
    hang("io.mkdir@0:2", "");
    must(patchbank(2, PACK_FIVES), 0);
    must(in_folder("ls -i a > inodes"), 0);
    wake("CONT", "65");
    says("a: already holds an archive");
    must(in_folder("{ ls -i a | cmp - inodes && diff -r whole a; }"), 0);
}

/* A write that fails leaves what is done, and the next run ends it. */
Test(pack, a_failing_write_is_gone_on_from) {
    static const char *const FAULTS[] = {"io.write@1", "io.close@2", "io.fsync@0", "io.rename@1", "io.create@2"};
    must(in_folder("%s pack --list list.csv --archive whole --shard-images 5", PB_PROGRAM), 0);
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        must(in_folder("rm -rf a; PATCHBANK_FAULT=%s %s -n 3 --map-by :OVERSUBSCRIBE %s pack --list list.csv --archive a "
                       "--shard-images 5",
                       FAULTS[i], PB_MPIEXEC, PB_PROGRAM),
             74);
        cr_assert_eq(error_lines(), 1, "%s: %s", FAULTS[i], said);
        cr_assert(!exists("a/manifest.json"), "%s", FAULTS[i]);
        must(in_folder("! find . -name '*.part*' | grep ."), 0);
        must(patchbank(2, "pack --list list.csv --archive a --shard-images 5"), 0);
        must(in_folder("diff -r whole a"), 0);
    }
}
