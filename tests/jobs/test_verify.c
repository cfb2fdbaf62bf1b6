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
