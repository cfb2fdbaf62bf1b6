#include "fixture.h"

TestSuite(info, .init = new_archive, .fini = remove_folder);

Test(info, of_an_archive) {
    must(patchbank(2, "info --archive archive"), 0);
    says("24 images in 3 shards");
    says("width 128 to 160, height 128 to 170 pixels");
    must(in_folder("%s info --archive archive | grep -E 'train +10 +0 +0'", PB_PROGRAM), 0);
    must(in_folder("%s info --archive archive | grep -E 'test +6 +6 +2'", PB_PROGRAM), 0);
}

/* What Python counts in the list and in the image files. */
Test(info, of_an_archive_as_json) {
    must(in_folder("{ head -n 3 list.csv | sed s,images/,more/, | sed 's/[^,]*$//' > more.csv; cp -r images more; "
                   "sed -i '1s/.*/path,split,label,class,group/' more.csv; %s pack --append --list more.csv --archive archive; }",
                   PB_PROGRAM),
         0);
    must(patchbank(2, "info --archive archive --json a.json"), 0);
    says("26 images in 4 shards");
    says("edition 1: 24 images in 3 shards, from list.csv");
    says("class ring, large: 9 images");
    must(in_folder("%s %s/tests/jobs/check_census.py a.json list.csv more.csv", PB_PYTHON, PB_SOURCE_DIR), 0);
    must(in_folder("%s info --archive archive --json - 2> log | head -c -1 | cmp - a.json", PB_PROGRAM), 0);
    must(patchbank(1, "info --bank b.h5 --json -"), 64);
    must(patchbank(1, "info --archive archive --json no/where.json"), 65);
    says_once("no/where.json: cannot create");
}

Test(info, of_a_bank_and_of_results) {
    must(patchbank(2, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 0);
    must(patchbank(2, "info --bank b.h5"), 0);
    says("random:7");
    says("option.projection");
    must(patchbank(2, "score --archive archive --bank b.h5 --weights random:7 --results r"), 0);
    must(patchbank(2, "info --results r"), 0);
    says("14 images, patch maps 12 wide and 12 high");
    says("bank_sha256");
}

Test(info, wants_one_thing) {
    must(patchbank(1, "info"), 64);
    must(patchbank(1, "info --archive a --bank b"), 64);
    must(patchbank(2, "info --bank list.csv"), 65);
    says_once("list.csv");
}
