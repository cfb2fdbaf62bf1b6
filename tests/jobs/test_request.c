/* What train can be asked for and what its banks say of it: sizes, tiles, distances. */
#include "fixture.h"

TestSuite(request, .init = new_archive, .fini = remove_folder);

#define TRAIN "train --archive archive --weights random:7 --ratios 5%% "
#define SCORE "score --archive archive --weights random:7 "
#define VERIFY "verify --archive archive --weights random:7 "
#define check_by(script_and_words) in_folder("%s %s/tests/jobs/" script_and_words, PB_PYTHON, PB_SOURCE_DIR)

/* The same bank and the same results for 1 and 3 ranks, a bank that verifies, maps of so many rows and columns. */
static void check(const char *how, int rows, int columns) {
    for (int ranks = 1; ranks <= 3; ranks += 2) {
        must(patchbank(ranks, TRAIN "--bank b%d.h5 %s", ranks, how), 0);
        must(patchbank(ranks, SCORE "--bank b%d.h5 --results r%d", ranks, ranks), 0);
    }
    must(in_folder("cmp b1.h5 b3.h5 && diff -r r1 r3"), 0);
    must(patchbank(2, VERIFY "--bank b1.h5"), 0);
    says(" 0 not as extracted");
    says(": sound");
    must(in_folder("%s %s/tests/jobs/check_grid.py r1 %d %d", PB_PYTHON, PB_SOURCE_DIR, rows, columns), 0);
    must(in_folder("%s info --bank b1.h5 | grep -E '^  grid +%dx%d$'", PB_PROGRAM, columns, rows), 0);
    must(in_folder("rm -r b?.h5 r?"), 0);
}

/* The shorter side, both sides, and as they are; a network takes any size, even or odd. */
Test(request, images_may_be_rectangles, .timeout = 120) {
    check("--resize 128 --crop 96x64", 8, 12);
    check("--resize 120x77 --crop 101x75 --interpolation lanczos", 10, 13);
    check("--resize 0 --crop 127x96 --backbone resnet18", 12, 16);
    check("--resize 120x72 --crop 120x72 --features patchcore --layer-dim 64 --feature-dim 48 --patch-stride 2", 5, 8);
}

/* However many tiles the device takes at once, and with tiles that reach beyond the image. */
Test(request, images_may_be_cut_into_tiles, .timeout = 120) {
    check("--resize 168 --crop 160x96 --tile 64 --tile-overlap 32", 12, 20);
    check("--resize 128 --crop 128x100 --tile 128x64 --tile-overlap 16 --patch-size 1", 13, 16);
    check("--resize 168 --crop 160x96 --tile 64 --tile-overlap 32 --distance cosine --features patchcore --feature-dim 48", 12,
          20);
    must(patchbank(2, TRAIN "--bank a.h5 --resize 168 --crop 160x96 --tile 64 --tile-overlap 32"), 0);
    must(patchbank(2, TRAIN "--bank b.h5 --resize 168 --crop 160x96 --tile 64 --tile-overlap 32 --batch 19 --threads 3"), 0);
    must(patchbank(1, TRAIN "--bank c.h5 --resize 168 --crop 160x96 --tile 64 --tile-overlap 32 --batch 1"), 0);
    must(in_folder("cmp a.h5 b.h5 && cmp a.h5 c.h5"), 0);
    must(patchbank(1, TRAIN "--bank d.h5 --resize 168 --crop 160x96"), 0);
    must(check_by("same_rows.py a.h5 d.h5"), 1);
    must(patchbank(1, TRAIN "--bank e.h5 --resize 168 --crop 160x96 --tile 160x96"), 0);
    must(check_by("same_rows.py e.h5 d.h5"), 0);
}

/* Maps of tiled images against numpy's own distances between the features of all patches. */
Test(request, maps_of_tiles_are_the_distances_that_numpy_computes) {
    static const char HOW[] = "--resize 128 --crop 96x64 --tile 64 --tile-overlap 32";
    must(patchbank(2, TRAIN "--bank b.h5 %s", HOW), 0);
    must(patchbank(3, "train --archive archive --weights random:7 --ratios 100%% --bank all.h5 %s", HOW), 0);
    must(patchbank(2, SCORE "--bank b.h5 --results r --split train"), 0);
    must(check_by("check_maps.py all.h5 b.h5 r/results.h5"), 0);
}

/* Features of the Euclidean bank have their lengths, so numpy's cosines do not depend on how the other one scaled them. */
Test(request, cosine_distances_are_those_that_numpy_computes) {
    static const char HOW[] = "--resize 96 --crop 64x96";
    must(patchbank(2, TRAIN "--bank b.h5 --distance cosine %s", HOW), 0);
    must(patchbank(3, "train --archive archive --weights random:7 --ratios 100%% --bank all.h5 %s", HOW), 0);
    must(patchbank(2, SCORE "--bank b.h5 --results r --split train"), 0);
    must(check_by("check_maps.py all.h5 b.h5 r/results.h5 cosine"), 0);
    must(patchbank(2, VERIFY "--bank b.h5"), 0);
    says(": sound");
    must(patchbank(2, SCORE "--bank b.h5 --results r"), 0);
    must(check_by("check_grid.py r 12 8"), 0);
    must(in_folder("%s -c \"import h5py; m = h5py.File('r/results.h5')['map'][()]; assert (m >= 0).all() and (m <= 2).all() "
                   "and m.max() > 0.001, m\"",
                   PB_PYTHON),
         0);
}

/* DCT scaling leaves both sides at least as long as what they are resized to: every JPEG of the fixture has a shorter side of at
 * least 128 and below 192, so that for 96 it is decoded whole, and for 64 at a half. */
Test(request, dct_scaling_never_enlarges) {
    static const char *const HOW[] = {"--resize 96x40 --crop 64x40", "--resize 40x96 --crop 40x64",
                                      "--resize 64x40 --crop 64x40"};
    for (int i = 0; i < 3; i++) {
        must(patchbank(1, TRAIN "--bank s.h5 --dct-scaling %s", HOW[i]), 0);
        must(patchbank(1, TRAIN "--bank w.h5 %s", HOW[i]), 0);
        must(check_by("same_rows.py s.h5 w.h5"), i == 2);
    }
}

/* An image smaller than what is cut is a bad image, as one that does not decode. The fixture's third is 128 wide and 170 high. */
Test(request, a_smaller_image_is_a_bad_image) {
    must(patchbank(2, TRAIN "--bank b.h5 --resize 0 --crop 129x128"), 65);
    says_once("images/02.png: an image of 128 x 170 pixels becomes 128 x 170, smaller than the 129 x 128 to be cut out");
    must(patchbank(2, TRAIN "--bank b.h5 --resize 0 --crop 129x128 --max-bad 2"), 0);
    must(in_folder("grep -c 'smaller than the 129 x 128' b.h5.rejected.csv | grep -x 2"), 0);
}

/* One line, before anything is read, that names the option and what would do. */
Test(request, what_cannot_be_is_a_usage_error, .timeout = 120) {
    static const struct {
        const char *how, *words;
        int code;
    } CASES[] = {
        {"--resize 224y", "--resize: \"224y\": expected a size in pixels", 64},
        {"--resize 0x100", "--resize: \"0x100\": expected a size", 64},
        {"--crop 96x31", "--crop: \"96x31\": expected a size in pixels, as 224 or 320x240 (width x height), of 32 to 65535", 64},
        {"--crop 0", "--crop: \"0\": expected a size", 64},
        {"--resize 0 --crop 65535x65535", "--crop: 65535 x 65535 pixels are more than an image can have", 64},
        {"--resize 96 --crop 97", "--crop: 97 x 97 pixels are more than --resize 96 leaves", 64},
        {"--resize 96 --crop 300x97", "--crop: 300 x 97 pixels are more than --resize 96 leaves", 64},
        {"--resize 96x64 --crop 64x96", "--crop: 64 x 96 pixels are more than --resize 96x64 leaves", 64},
        {"--resize 0 --dct-scaling --crop 96", "--dct-scaling: has no effect with --resize 0", 64},
        {"--tile 16", "--tile: \"16\": expected a size", 64},
        {"--tile whole,", "--tile: \"whole,\": expected a size", 64},
        {"--tile 256", "--tile: tiles 256 pixels wide are larger than the image, which has 224", 64},
        {"--tile 100", "tiles 100 pixels wide that overlap by 0: both must be multiples of 16", 64},
        {"--tile 64 --tile-overlap 40", "tiles 64 pixels wide that overlap by 40: both must be multiples of 16", 64},
        {"--tile 64 --tile-overlap 64", "tiles 64 pixels wide cannot overlap by 64", 64},
        {"--tile-overlap 32", "an overlap of 32 pixels has no effect", 64},
        {"--tile 64 --features patchcore --patch-stride 2", "patch stride of 2", 69},
        {"--patch-size 4", "--patch-size: 4: must be odd", 64},
        {"--distance manhattan", "euclidean|cosine", 64},
        {"--precision fp8", "fp32|tf32|fp16|bf16", 64},
        {"--precision fp16", "device cpu: computes networks in fp32 only; features in fp16", 69},
        {"--device cpu:plain --precision tf32", "features in tf32", 69},
    };
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        must(patchbank(2, TRAIN "--bank b.h5 %s", CASES[c].how), CASES[c].code);
        says_once(CASES[c].words);
        cr_assert(!exists("b.h5"));
    }
}

/* Makes b.h5 from whole.h5, with another value of an option. */
static void change(const char *option, const char *value) {
    must(in_folder("cp whole.h5 b.h5; %s -c \"import h5py, numpy; a = h5py.File('b.h5', 'r+').attrs; "
                   "a['option.%s'] = numpy.bytes_('%s')\"",
                   PB_PYTHON, option, value),
         0);
}

/* A bank from before there were tiles, distances and a choice of means, and banks that say what cannot be. */
Test(request, a_bank_says_what_it_was_made_with) {
    static const char *const NAMES[] = {"resize", "crop", "tile", "interpolation", "features", "distance", "precision"};
    must(patchbank(2, TRAIN "--bank whole.h5 --resize 96 --crop 96"), 0);
    must(in_folder("cp whole.h5 b.h5; %s -c \"import h5py; a = h5py.File('b.h5', 'r+').attrs; "
                   "[a.pop('option.' + n) for n in ('tile', 'tile-overlap', 'distance', 'patch-size', 'patch-stride', "
                   "'precision')]\"",
                   PB_PYTHON),
         0);
    must(patchbank(2, VERIFY "--bank b.h5"), 0);
    says(": sound");
    for (size_t n = 0; n < sizeof NAMES / sizeof *NAMES; n++) {
        change(NAMES[n], "?");
        must(patchbank(2, VERIFY "--bank b.h5"), 65);
        char words[64];
        snprintf(words, sizeof words, " b.h5: option.%s: \"?\"", NAMES[n]);
        says_once(words);
        cr_assert_null(strstr(said, "b.h5: b.h5"), "%s", said);
    }
    change("tile-overlap", "16");
    must(patchbank(2, VERIFY "--bank b.h5"), 65);
    says_once("b.h5: option.tile: an overlap of 16 pixels has no effect");
    change("precision", "bf16");
    must(patchbank(2, VERIFY "--bank b.h5"), 69);
    says_once("features in bf16 (--precision, or the bank's) need a GPU");
    change("patch-size", "5");
    must(patchbank(2, VERIFY "--bank b.h5"), 1);
    says("DIFFERENT");
    change("distance", "cosine");
    must(patchbank(2, VERIFY "--bank b.h5"), 1);
    cr_assert(!exists("r"));
}

/* With a sound bank, what the user said wrong is not the bank's fault. */
Test(request, what_the_user_says_is_not_blamed_on_the_bank, .timeout = 60) {
    must(patchbank(2, TRAIN "--bank whole.h5 --resize 96 --crop 96"), 0);
    must(patchbank(2, "score --archive archive --weights random:x --bank whole.h5 --results r"), 64);
    says_once("--weights random:x: random: needs a seed");
    must(patchbank(2, SCORE "--device tpu --bank whole.h5 --results r"), 64);
    says_once("device tpu: unknown");
    cr_assert_null(strstr(said, "whole.h5: "), "%s", said);
    cr_assert(!exists("r"));
}
