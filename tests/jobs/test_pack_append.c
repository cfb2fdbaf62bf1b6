/* Checks jobs/pack_append.c and io/archive_edition.c by the program: archives that grow. */
#include "fixture.h"

/* list.csv in two pieces of 14 and 10 images, and an archive of the first in three shards. */
static void new_pieces(void) {
    new_images();
    must(in_folder("{ head -n 15 list.csv > one.csv && { head -n 1 list.csv; tail -n +16 list.csv; } > two.csv; }"), 0);
    must(in_folder("%s pack --list one.csv --archive a --shard-images 5", PB_PROGRAM), 0);
}

TestSuite(pack_append, .init = new_pieces, .fini = remove_folder);

#define APPEND "pack --append --list two.csv --archive "

static void editions(const char *words) {
    must(in_folder("%s %s/tests/jobs/check_editions.py %s", PB_PYTHON, PB_SOURCE_DIR, words), 0);
}

/* Whether the archive is what it was before ("a" and "was"), but for the lock file. */
static void is_as_before(const char *why) {
    int code = in_folder("diff -r -x lock -x 'append-*' a was");
    cr_assert_eq(code, 0, "%s: %s", why, said);
}

Test(pack_append, same_bytes_for_any_number_of_ranks) {
    must(in_folder("sha256sum < a/manifest.json > before; for n in 1 2 3 4; do cp -a a a$n; done"), 0);
    for (int ranks = 1; ranks <= 4; ranks++)
        must(patchbank(ranks, APPEND "a%d --shard-images 4", ranks), 0);
    for (int ranks = 2; ranks <= 4; ranks++)
        must(in_folder("diff -r -x lock a1 a%d", ranks), 0);
    must(in_folder("{ for s in 0 1 2; do cmp a/shard-0000$s.h5 a1/shard-0000$s.h5 || exit 1; done; "
                   "ls a1/edition-000002 | tr '\\n' ' '; cat before; }"),
         0);
    says("manifest.json shard-00003.h5 shard-00004.h5 shard-00005.h5 ");
    char before[65];
    snprintf(before, sizeof before, "%s", strrchr(said, '5') ? strstr(said, "shard-00005.h5 ") + 15 : "");
    editions("a1 one.csv two.csv");
    says(before);
    must(patchbank(2, "verify --archive a1"), 0);
    says("24 images in 6 shards, 0 damages: sound");
}

/* Known paths are refused; --skip-known takes what is new, and nothing new changes nothing. */
Test(pack_append, images_that_are_there_already) {
    must(in_folder("cp -a a was"), 0);
    must(patchbank(2, "pack --append --list list.csv --archive a"), 65);
    says_once("a: has 14 of the listed images already, the first is images/00.png; --skip-known leaves them out");
    is_as_before("refused");
    must(patchbank(2, "pack --append --skip-known --list one.csv --archive a"), 0);
    says("left_out=14 new=0");
    is_as_before("nothing new");
    must(in_folder("rm images/15.jpg"), 0);
    must(patchbank(3, "pack --append --skip-known --list list.csv --archive a --shard-images 3 --max-bad 1"), 0);
    must(in_folder("cut -d, -f1,2 a/edition-000002/rejected.csv | tr -d '\\r' | tail -n 1 | grep -x images/15.jpg,15"), 0);
    must(in_folder("{ grep -v images/15.jpg list.csv > rest.csv; cat a/manifest.json; }"), 0);
    says("\"images\": 23");
    must(patchbank(2, "pack --list one.csv --archive b --skip-known"), 64);
    says_once("--skip-known is of --append");
    must(patchbank(2, APPEND "nowhere"), 65);
    says_once("nowhere/manifest.json: cannot open");
    cr_assert(!exists("nowhere"));
}

/* Bank and certificate stay good when the archive has grown, twice. */
Test(pack_append, banks_of_before_are_verified_after) {
    must(patchbank(2, "train --archive a --bank b.h5 " TRAIN_OPTIONS), 0);
    must(in_folder("{ head -n 4 two.csv > three.csv; { head -n 1 two.csv; tail -n +5 two.csv; } > four.csv; }"), 0);
    must(patchbank(2, "pack --append --list three.csv --archive a"), 0);
    must(patchbank(1, "pack --append --list four.csv --archive a"), 0);
    editions("a one.csv three.csv four.csv");
    must(patchbank(3, "verify --archive a --bank b.h5 --weights random:7"), 0);
    says(": sound");
    must(patchbank(2, "score --archive a --bank b.h5 --weights random:7 --results r"), 0);
    must(patchbank(2, "info --results r"), 0);
    says("14 images");
    must(in_folder("sed -i s/two/oww/ a/edition-000003/manifest.json a/manifest.json"), 0); /* the name of no list */
    must(in_folder(
             "sed -i 's/\"source\": \"three.csv\"/\"source\": \"there.csv\"/' a/edition-000003/manifest.json a/manifest.json"),
         0);
    must(patchbank(2, "verify --archive a"), 1);
    says("a: its edition 2 is not the one whose manifest had the sha256 ");
}

/* Killed at any rename or flush: the archive is the old or the new one, whole, and the next append finds it so. */
Test(pack_append, killed_anywhere, .timeout = 120) {
    must(in_folder("cp -a a was && cp -a a new"), 0);
    must(in_folder("%s " APPEND "new --shard-images 5", PB_PROGRAM), 0);
    int killed = 0, code = 137;
    for (int hit = 1; code != 0; hit++) {
        must(in_folder("{ rm -rf a && cp -a was a; }"), 0);
        code = in_folder("sh -c \"PATCHBANK_FAULT='io.rename@0:%d!kill' %s " APPEND "a --shard-images 5\"", hit, PB_PROGRAM);
        killed += code != 0;
        must(in_folder("%s verify --archive a", PB_PROGRAM), 0);
        int again = in_folder("%s " APPEND "a --shard-images 5", PB_PROGRAM);
        cr_assert(again == 0 || again == 65, "hit %d: %d %s", hit, again, said);
        cr_assert_eq(strstr(said, "event=state-removed") != NULL, code != 0 && again == 65, "hit %d: %s", hit, said);
        must(in_folder("%s pack --append --skip-known --list two.csv --archive a --shard-images 5", PB_PROGRAM), 0);
        must(in_folder("diff -r -x lock a new"), 0);
    }
    cr_assert_eq(killed, 6, "%d", killed); /* the note of what is packed, two shards, the manifest, the edition, manifest.json */
}

/* Whatever the machine refuses, the archive stays as it was; only its copy of the manifest may be behind. */
Test(pack_append, a_failing_machine_changes_nothing, .timeout = 240) {
    static const char *const FAULTS[] = {"io.mkdir", "io.create", "io.write", "io.close", "io.fsync", "io.rename"};
    must(in_folder("cp -a a was && cp -a a new"), 0);
    must(in_folder("%s " APPEND "new", PB_PROGRAM), 0);
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        int failed = 0, hit = 1;
        for (bool passed = false; !passed; hit += hit < 8 ? 1 : 7) {
            must(in_folder("{ rm -rf a && cp -a was a; }"), 0);
            int code = in_folder("PATCHBANK_FAULT=%s@0:%d %s " APPEND "a", FAULTS[i], hit, PB_PROGRAM);
            bool behind = strstr(said, "event=manifest-behind") != NULL, appended = strstr(said, "event=appended") != NULL;
            cr_assert_eq(code, appended ? 0 : 74, "%s %d: %s", FAULTS[i], hit, said);
            failed += code != 0;
            if (!appended && !exists("a/edition-000002")) /* else it was the flush of the new name that failed */
                is_as_before(FAULTS[i]);
            passed = appended && !behind;
            cr_assert_lt(hit, 200);
        }
        must(in_folder("diff -r -x lock a new"), 0);
        cr_assert_geq(failed, 1, "%s", FAULTS[i]);
    }
}

/* While one appends, the other waits, and is told who holds the lock. */
Test(pack_append, two_at_once) {
    must(in_folder("{ PATCHBANK_FAULT='io.rename@0:1!stop' %s " APPEND "a > hung 2>&1 & echo $! > pid; "
                   "for i in $(seq 200); do grep -q '^State:.T' /proc/$(cat pid)/status && exit 0; sleep 0.1; done; exit 1; }",
                   PB_PROGRAM),
         0);
    must(in_folder("%s " APPEND "a --wait 0.2", PB_PROGRAM), 74);
    says_once("a/lock: is held, after 0.2 s of waiting, by process ");
    must(in_folder("{ head -n 5 two.csv > other.csv; PATCHBANK_FAULT=io.lock %s pack --append --list other.csv --archive a; }",
                   PB_PROGRAM),
         0);
    says("event=no-lock");
    must(in_folder(
             "{ kill -CONT $(cat pid); for i in $(seq 200); do test -s hung && break; sleep 0.1; done; sleep 0.3; cat hung; }"),
         0);
    says("edition-000002: was made meanwhile, by another; nothing was changed: try again");
    editions("a one.csv other.csv");
}

/* On a small file system of its own, which is seen by this command alone. */
static int append_on(int kilobytes, const char *before) {
    return in_folder("unshare -m sh -c 'mkdir -p disk && mount -t tmpfs -o size=%dk tmpfs disk && cp -a was disk/a && %s "
                     "%s " APPEND "disk/a; code=$?; diff -r -x lock disk/a was > /dev/null && echo unchanged; exit $code'",
                     kilobytes, before, PB_PROGRAM);
}

Test(pack_append, a_full_or_read_only_disk) {
    must(in_folder("cp -a a was"), 0);
    if (append_on(2000, "") != 0)
        cr_skip_test("this machine lets nobody mount a small file system");
    for (int kilobytes = 140; kilobytes <= 212; kilobytes += 24) {
        must(append_on(kilobytes, ""), 74);
        says_once("No space left on device");
        says("unchanged");
    }
    must(append_on(2000, "mount -o remount,ro disk &&"), 65);
    says_once("disk/a/lock: cannot open: Read-only file system");
    says("unchanged");
}
