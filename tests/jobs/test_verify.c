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
    says_once("is not the archive that t.h5 was made from");
    must(patchbank(2, "verify --archive archive --bank b.h5"), 64);
    says_once("--weights");
}
