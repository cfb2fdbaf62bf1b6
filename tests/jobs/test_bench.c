#include "fixture.h"

TestSuite(bench, .init = new_archive, .fini = remove_folder, .timeout = 120);

#define BENCH "bench extract --archive archive --weights random:7 --resize 96 --crop 96 "

Test(bench, table_and_json) {
    must(patchbank(3, BENCH "--repeat 2 --batch 3 --decoders 2 --json j.json"), 0);
    says("# extraction of 24 images on 3 ranks, 3 a batch; medians of 2 runs");
    says("rank 0 ");
    says("rank 2 ");
    says("all ranks ");
    must(in_folder("%s %s/tests/jobs/check_bench.py j.json 3 24", PB_PYTHON, PB_SOURCE_DIR), 0);
    must(patchbank(1, BENCH "--repeat 1 --images 5 --json -"), 0);
    cr_assert_null(strstr(said, "# extraction"), "%s", said);
    must(in_folder("(%s " BENCH "--repeat 1 --images 5 --json - 2> /dev/null > j.json)", PB_PROGRAM), 0);
    must(in_folder("%s %s/tests/jobs/check_bench.py j.json 1 5", PB_PYTHON, PB_SOURCE_DIR), 0);
}

Test(bench, what_is_measured_must_be_said) {
    must(patchbank(2, "bench"), 64);
    says_once("bench: needs a second word: extract");
    must(patchbank(2, "bench --archive archive"), 64);
    says_once("bench: needs a second word: extract");
    must(patchbank(2, "bench select --archive archive"), 64);
    says_once("bench select: no such job; bench has extract");
    must(patchbank(2, "bench extract"), 64);
    says_once("--archive FOLDER is missing");
    must(patchbank(2, "bench extract extract --archive archive --weights random:7"), 64);
    must(in_folder("%s bench --help", PB_PROGRAM), 0);
    says("  bench extract measure extraction");
    must(in_folder("%s bench extract --help", PB_PROGRAM), 0);
    says("--repeat N");
}

Test(bench, wrong_input) {
    must(patchbank(2, "bench extract --archive missing --weights random:7"), 65);
    says_once("missing");
    must(patchbank(2, BENCH "--json none/j.json --repeat 1"), 65);
    says_once("none");
    must(in_folder("head -n 3 list.csv > two.csv"), 0);
    must(patchbank(1, "pack --list two.csv --archive two"), 0);
    must(patchbank(3, "bench extract --archive two --weights random:7"), 65);
    says_once("fewer images than there are ranks");
    must(in_folder("%s -c \"import h5py; f = h5py.File('archive/shard-00000.h5', 'r+'); d = f['image/bytes']; "
                   "d[100] = d[100] ^ 1\"",
                   PB_PYTHON),
         0);
    must(patchbank(2, BENCH "--repeat 1"), 65);
    says_once("images/00.png");
    must(patchbank(2, BENCH "--repeat 2 --max-bad 1"), 0);
    must(in_folder("PATCHBANK_FAULT=feeder.decode@1:30 %s -n 2 --map-by :OVERSUBSCRIBE %s " BENCH "--max-bad 1", PB_MPIEXEC,
                   PB_PROGRAM),
         74);
    says_once("out of memory");
}
