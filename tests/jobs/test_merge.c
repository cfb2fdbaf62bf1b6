/* Checks jobs/merge.c and jobs/list_part.c by the program: several archives become one. */
#include "fixture.h"

TestSuite(merge, .init = new_images, .fini = remove_folder);

static void pack_parts(int parts, const char *more) {
    for (int part = 1; part <= parts; part++)
        must(in_folder("%s pack --list list.csv --archive p%d --shard-images 5 --part %d/%d %s", PB_PROGRAM, part, part, parts,
                       more),
             0);
}

#define PARTS_3 "merge --archives p1,p2,p3 --archive "

/* The parts of one list, packed by jobs of their own, give the bytes of one pack, on any number of ranks; copied as linked. */
Test(merge, parts_of_a_list_are_the_same_bytes_as_one_pack) {
    must(in_folder("{ echo hello > images/04.png; echo hello > images/13.jpg; echo hello > images/20.png; }"), 0);
    must(patchbank(2, "pack --list list.csv --archive whole --shard-images 5 --max-bad 3"), 0);
    pack_parts(3, "--max-bad 2");
    for (int ranks = 1; ranks <= 4; ranks++) {
        must(patchbank(ranks, PARTS_3 "m%d", ranks), 0);
        must(in_folder("diff -r whole m%d", ranks), 0);
    }
    must(in_folder("{ test p1/shard-00000.h5 -ef m3/shard-00000.h5 && test p3/shard-00000.h5 -ef m3/shard-00004.h5; }"), 0);
    must(in_folder("PATCHBANK_FAULT=io.link %s " PARTS_3 "copied", PB_PROGRAM), 0);
    must(in_folder("{ diff -r whole copied && test ! p1/shard-00000.h5 -ef copied/shard-00000.h5; }"), 0);
    must(in_folder("rm -r p1 p2 p3"), 0);
    must(patchbank(2, "verify --archive m2"), 0);
    says("21 images in 5 shards, 0 damages: sound");
}

/* More parts than shards: some have nothing. */
Test(merge, parts_without_images) {
    must(patchbank(1, "pack --list list.csv --archive whole --shard-images 9"), 0);
    for (int part = 1; part <= 4; part++)
        must(in_folder("%s pack --list list.csv --archive p%d --shard-images 9 --part %d/4", PB_PROGRAM, part, part), 0);
    must(patchbank(1, "info --archive p4"), 0);
    says("0 images in 0 shards");
    must(patchbank(2, "merge --archives p1,p2,p3,p4 --archive m"), 0);
    must(in_folder("diff -r whole m"), 0);
    must(patchbank(2, "merge --archives p4,p4 --archive none"), 65);
    cr_assert(!exists("none"));
}

/* A part that is missing would be images that are missing, and nobody would know. */
Test(merge, parts_come_all_and_in_order) {
    static const char *const WRONG[][2] = {
        {"p1,p3", "p3: is of list.csv (part 3/3), but part 2 of a list is expected here"},
        {"p2,p1,p3", "p2: is of list.csv (part 2/3), but part 1 of a list is expected here"},
        {"p1,p2", "part 3 of list.csv is missing"},
        {"p1,other,p2,p3", "other: is of other.csv, but part 2 of a list is expected here"},
        {"p1,strange,p3", "strange: is of other.csv (part 2/3), but part 2 of a list is expected here"},
        {"p1,end,p3", "end: is of t.csv (part 2/3), but part 2 of a list is expected here"},
    };
    pack_parts(3, "");
    must(in_folder("{ head -n 2 list.csv > other.csv; %s pack --list other.csv --archive other; "
                   "%s pack --list other.csv --archive strange --part 2/3; "
                   "cp list.csv t.csv; %s pack --list t.csv --archive end --part 2/3; }",
                   PB_PROGRAM, PB_PROGRAM, PB_PROGRAM),
         0);
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        must(patchbank(2, "merge --archives %s --archive m", WRONG[i][0]), 65);
        says_once(WRONG[i][1]);
        cr_assert(!exists("m"));
    }
}

/* Archives of lists of their own, of several shard sizes, one of which has grown: images follow each other in the order given.
 * One list's name is the end of another's. */
Test(merge, archives_of_several_lists) {
    must(in_folder("{ head -n 7 list.csv > one.csv; { head -n 1 list.csv; sed -n 8,15p list.csv; } > ne.csv; "
                   "{ head -n 1 list.csv; tail -n +16 list.csv; } > three.csv; }"),
         0);
    must(in_folder("%s pack --list one.csv --archive a --shard-images 4", PB_PROGRAM), 0);
    must(in_folder("%s pack --list ne.csv --archive b --shard-images 3", PB_PROGRAM), 0);
    must(in_folder("%s pack --append --list three.csv --archive b --shard-images 8", PB_PROGRAM), 0);
    must(patchbank(3, "merge --archives a,b --archive m"), 0);
    must(in_folder("%s %s/tests/jobs/check_editions.py m one.csv ne.csv three.csv", PB_PYTHON, PB_SOURCE_DIR), 0);
    must(in_folder("cat m/manifest.json"), 0);
    says("\"source\": \"one.csv, ne.csv, three.csv\"");
    says("\"shard_images\": 8");
    must(patchbank(2, "verify --archive m"), 0);
    must(patchbank(2, "merge --archives m,b --archive n"), 65);
    says_once(", which is also in m");
    cr_assert(!exists("n"));
    must(patchbank(2, "merge --archives a,b --archive m"), 65);
    says_once("m: already holds an archive");
    must(patchbank(2, "merge --archives a,,b --archive n"), 64);
    must(patchbank(2, "merge --archives a,c --archive n"), 65);
    says_once("c/manifest.json: cannot open");
    must(patchbank(1, "pack --list one.csv --archive n --part 4/3"), 64);
    says_once("--part 4/3: expected I/N");
    must(patchbank(1, "pack --list one.csv --archive a --append --part 1/3"), 64);
}

/* A shard that cannot be linked is copied, and a damaged one is not. */
Test(merge, a_damaged_shard_is_not_copied) {
    pack_parts(3, "");
    must(in_folder("%s -c \"b = bytearray(open('p2/shard-00000.h5', 'rb').read()); b[len(b) // 2] ^= 16; "
                   "open('p2/shard-00000.h5', 'wb').write(b)\"",
                   PB_PYTHON),
         0);
    must(in_folder("PATCHBANK_FAULT=io.link@0:3 %s " PARTS_3 "m", PB_PROGRAM), 65);
    says_once("p2/shard-00000.h5: damaged: its SHA-256 is ");
    cr_assert(!exists("m"));
}

Test(merge, a_failing_machine_leaves_nothing) {
    static const char *const FAULTS[] = {"io.mkdir@0", "io.create@0", "io.write@0", "io.close@0", "io.fsync@0", "io.rename@0"};
    pack_parts(3, "");
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        must(in_folder("PATCHBANK_FAULT=%s %s -n 2 --map-by :OVERSUBSCRIBE %s " PARTS_3 "m", FAULTS[i], PB_MPIEXEC, PB_PROGRAM),
             74);
        cr_assert(!exists("m"), "%s", FAULTS[i]);
    }
}

/* Into a small file system of its own, which is seen by this command alone: no hard link leads there. */
static int merge_on(int kilobytes, const char *before) {
    return in_folder("unshare -m sh -c 'mkdir -p disk && mount -t tmpfs -o size=%dk tmpfs disk && %s %s " PARTS_3
                     "disk/m; code=$?; diff -r whole disk/m && echo the same; ls disk; exit $code'",
                     kilobytes, before, PB_PROGRAM);
}

Test(merge, another_file_system_a_full_and_a_read_only_one) {
    pack_parts(3, "");
    must(in_folder("%s pack --list list.csv --archive whole --shard-images 5", PB_PROGRAM), 0);
    if (merge_on(2000, "") != 0)
        cr_skip_test("this machine lets nobody mount a small file system");
    says("the same");
    must(merge_on(100, ""), 74);
    says_once("No space left on device");
    cr_assert(!strstr(said, "\nm\n"), "%s", said);
    must(merge_on(2000, "mount -o remount,ro disk &&"), 65);
    says_once("disk/m: cannot create the folder: Read-only file system");
}
