#include "fixture.h"

TestSuite(verify, .init = new_archive, .fini = remove_folder);

Test(verify, a_sound_archive) {
    for (int ranks = 1; ranks <= 4; ranks++) {
        must(patchbank(ranks, "verify --archive archive"), 0);
        says("24 images in 3 shards, 0 damages: sound");
    }
}

Test(verify, a_flipped_byte) {
    must(in_folder("%s -c \"b = bytearray(open('archive/shard-00001.h5', 'rb').read()); b[len(b) // 2] ^= 16; "
                   "open('archive/shard-00001.h5', 'wb').write(b)\"",
                   PB_PYTHON),
         0);
    for (int ranks = 1; ranks <= 3; ranks++) {
        must(patchbank(ranks, "verify --archive archive"), 1);
        says("shard-00001.h5");
    }
}

Test(verify, what_is_no_archive) {
    must(patchbank(2, "verify --archive images"), 65);
    says_once("images");
    must(in_folder("rm archive/shard-00002.h5"), 0);
    must(patchbank(2, "verify --archive archive"), 65);
    says_once("shard-00002.h5");
}

/* --- repair ----------------------------------------------------------------------------------------------------- */

/* A byte in the middle of a shard, of an image. */
static void flip(const char *shard) {
    must(in_folder("%s -c \"b = bytearray(open('%s', 'rb').read()); b[len(b) // 2] ^= 16; open('%s', 'wb').write(b)\"", PB_PYTHON,
                   shard, shard),
         0);
}

Test(verify, repairs_from_the_list) {
    must(in_folder("cp -a archive sound"), 0);
    for (int ranks = 1; ranks <= 4; ranks++) {
        flip("archive/shard-00001.h5");
        must(in_folder("rm archive/shard-00002.h5"), 0);
        must(patchbank(ranks, "verify --archive archive --repair list.csv"), 0);
        says("event=repaired shard=shard-00001.h5 images=1 lost=0 whole=yes");
        says("event=repaired shard=shard-00002.h5 images=6 lost=0 whole=yes");
        says("archive: 24 images in 3 shards, 0 damages: sound");
        must(in_folder("diff -r archive sound"), 0);
    }
    must(patchbank(2, "verify --archive archive --repair list.csv"), 0);
    cr_assert(!strstr(said, "event=repaired"), "%s", said);
}

/* What the source has not, or has changed, is lost, and nothing else takes its place. */
Test(verify, says_what_is_lost) {
    must(in_folder("cp -a archive sound"), 0);
    flip("archive/shard-00001.h5");
    must(in_folder("mv images elsewhere"), 0);
    must(patchbank(2, "verify --archive archive --repair list.csv"), 1);
    says("event=lost reason=\"./images/1");
    says("event=repaired shard=shard-00001.h5 images=0 lost=1 whole=no");
    says("24 images in 3 shards, 2 damages");
    must(in_folder("rm archive/shard-00000.h5"), 0);
    must(patchbank(3, "verify --archive archive --repair list.csv"), 1);
    says("event=lost reason=\"archive/shard-00000.h5: cannot open");
    must(in_folder("mv elsewhere images"), 0);
    must(patchbank(3, "verify --archive archive --repair list.csv"), 0);
    must(in_folder("diff -r archive sound"), 0);
    must(patchbank(2, "verify --archive archive --repair nowhere.csv"), 65);
    says_once("nowhere.csv: cannot open");
    must(patchbank(2, "verify --archive archive --repair images"), 65);
    must(patchbank(2, "verify --archive archive --repair list.csv --bank b.h5 --weights random:7"), 64);
    says_once("--repair is of an archive alone");
}

/* The folder of MVTec AD with its masks, and an archive that has grown. */
Test(verify, repairs_from_a_folder) {
    must(in_folder(
             "mkdir -p m/cup/train/good m/cup/test/hole m/cup/ground_truth/hole && cp images/00.png m/cup/train/good/000.png && "
             "cp images/16.png m/cup/test/hole/000.png && cp images/16.png m/cup/ground_truth/hole/000_mask.png"),
         0);
    must(patchbank(1, "pack --append --mvtec m --archive archive"), 0);
    must(in_folder("cp -a archive sound"), 0);
    flip("archive/edition-000002/shard-00003.h5");
    must(patchbank(2, "verify --archive archive --repair m"), 0);
    must(in_folder("diff -r archive sound"), 0);
}

/* On a small file system of its own, which is seen by this command alone. */
static int repair_on(int kilobytes, const char *before) {
    return in_folder("unshare -m sh -c 'mkdir -p disk && mount -t tmpfs -o size=%dk tmpfs disk && cp -a archive disk/a && %s "
                     "%s verify --archive disk/a --repair list.csv; code=$?; diff -r disk/a archive > /dev/null && "
                     "echo unchanged; exit $code'",
                     kilobytes, before, PB_PROGRAM);
}

Test(verify, a_repair_on_a_full_or_read_only_disk) {
    flip("archive/shard-00001.h5");
    if (repair_on(2000, "") != 0)
        cr_skip_test("this machine lets nobody mount a small file system");
    must(repair_on(260, ""), 74);
    says_once("No space left on device");
    says("unchanged");
    must(repair_on(2000, "mount -o remount,ro disk &&"), 65);
    says_once("Read-only file system");
    says("unchanged");
}

/* --- banks ------------------------------------------------------------------------------------------------------ */

#define VERIFY_BANK "verify --archive archive --weights random:7 --bank "

/* The certificate of a bank, and what happens when somebody changes a number in it. */
Test(verify, a_bank) {
    must(patchbank(2, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 0);
    must(patchbank(2, "train --archive archive --bank t.h5 --coreset two-round --parts 3 " TRAIN_OPTIONS), 0);
    for (int ranks = 1; ranks <= 4; ranks++) {
        must(patchbank(ranks, VERIFY_BANK "b.h5"), 0);
        says("72 rows, 0 not as extracted");
        says(": sound");
    }
    must(patchbank(3, VERIFY_BANK "t.h5"), 0);
    says("at most");
    must(in_folder("cp b.h5 c.h5; %s -c \"import h5py; f = h5py.File('c.h5', 'r+'); f['features'][5, 7] += 0.001\"", PB_PYTHON),
         0);
    must(patchbank(3, VERIFY_BANK "c.h5"), 1);
    says("row=5");
    says("DIFFERENT");
    must(in_folder("%s -c \"import h5py, numpy; f = h5py.File('b.h5', 'r+'); r = f['covering_radius']; "
                   "r[-1] = numpy.nextafter(r[-1], numpy.float32(9))\"",
                   PB_PYTHON),
         0);
    must(patchbank(3, VERIFY_BANK "b.h5"), 1);
    says("DIFFERENT");
    must(patchbank(1, "pack --list list.csv --archive other --shard-images 20"), 0);
    must(patchbank(3, "verify --archive other --weights random:7 --bank t.h5"), 65);
    says_once("t.h5: other: neither is nor was an archive with the manifest sha256 ");
    must(patchbank(2, "verify --archive archive --bank b.h5"), 64);
    says_once("--weights");
}
