/* Checks jobs/model.c against sums made by hand, and for what must hold whatever the constants. That it predicts real runs is
 * checked by test_plan.c. */
#include "jobs/model.h"
#include "jobs/score_state.h"

#include <criterion/criterion.h>
#include <math.h>

static const pb_constants CONSTANTS = {.threads = 2, .batch = 32, .device_is_host = 1, .patches = 100, .dim = 200,
                                       .selection_dim = 128, .image_bytes = 5000, .path_bytes = 20, .process_bytes = 1e8,
                                       .start_s = 1, .start_processor_s = 0.5, .extract_images_per_s = 50,
                                       .extract_processor_s = 0.02, .select_point_s = 1e-6, .select_pair_s = 1e-9,
                                       .select_pick_s = 1e-5, .select_speedup = 2, .rounds = 30, .rounds_picks = 1000,
                                       .candidates_a_pick = 5, .compare_pairs_per_s = 1e7, .compare_pair_processor_s = 2e-7,
                                       .spread = 0.5, .search_pairs_per_s = 1e9, .search_pair_processor_s = 1e-9,
                                       .score_image_processor_s = 1e-4, .write_bytes_per_s = 1e8, .latency_s = 1e-5,
                                       .link_bytes_per_s = 1e9};
static const pb_work WORK = {.train_images = 1000, .test_images = 400, .ratio = 0.01, .candidates = 8192};

static bool near(double value, double expected) { return fabs(value - expected) <= 1e-9 * fabs(expected); }

Test(model, memory_of_points) {
    /* 128 values and 16 + 4 more a point; 145 for each of 512 centres, for which there is room when 300 are wanted, and the 256
     * of before */
    cr_assert(near(pb_model_cover_bytes(&CONSTANTS, 1000, 300), 1000 * 148 * 4 + 512 * 145 * 4 + 256 * 128 * 4));
    pb_constants narrow = CONSTANTS;
    narrow.selection_dim = 130; /* rows are padded to 144 */
    cr_assert(near(pb_model_cover_bytes(&narrow, 1000, 10), 1000 * 164 * 4 + 256 * 161 * 4));
    narrow.selection_dim = 10; /* too few to be filtered by axes, and not padded */
    cr_assert(near(pb_model_cover_bytes(&narrow, 10, 10), 10 * 30 * 4 + 256 * 27 * 4));
}

Test(model, training_on_one_rank) {
    pb_forecast f = pb_model_train(&CONSTANTS, &WORK, 1);
    double owners = 1000 * (1 - exp(-0.5)); /* 1,000 picks of 1,000 images */
    cr_assert(near(f.picks, 1000) && near(f.rounds, 30));
    cr_assert(near(f.extract_s, 20) && near(f.collect_s, ceil(owners) / 50));
    cr_assert(near(f.select_s, (1e5 * 1e-6 + 1e5 * 1000 * 1e-9 + 1000 * 1e-5) / 2));
    cr_assert(near(f.write_s, 1000 * (800 + 24 + 20) / 1e8));
    cr_assert(f.messages_s == 0 && f.search_s == 0 && f.device_bytes == 0);
    cr_assert(near(f.seconds, 1 + f.extract_s + f.select_s + f.collect_s + f.write_s));
    cr_assert(near(f.processor_s, 0.5 + (1000 + owners) * 0.02 + 0.21));
    cr_assert(f.root_bytes >= f.rank_bytes && f.rank_bytes > 1e8 + pb_model_cover_bytes(&CONSTANTS, 1e5, 1000));
}

Test(model, scoring_on_one_rank) {
    pb_forecast f = pb_model_score(&CONSTANTS, &WORK, 1);
    cr_assert(near(f.extract_s, 8) && near(f.search_s, 400 * 100 * 1000 / 1e9) && f.messages_s == 0);
    cr_assert(near(f.processor_s, 0.5 + 400 * (0.02 + 100 * 1000 * 1e-9) + 400 * 1e-4));
    /* the bank as it came, as points, and of 208 + 17 values for the filter, in which 1,024 queries of 228 stand for each thread
     */
    double bank = 1000 * (800 * 2 + 48 + 20.0), filter = 1024 * 225 * 4 + 2 * 1024 * 228 * 4, queries = 3200 * 28;
    cr_assert(near(f.rank_bytes, 1e8 + bank + filter + queries));
}

/* Then the fullest moment is when the bank has been read. */
Test(model, searches_without_a_filter) {
    double bank = 1000 * (800 * 3 + 48 + 20.0);
    pb_work few = WORK;
    few.test_images = 41; /* less than 4 million pairs */
    cr_assert(near(pb_model_score(&CONSTANTS, &few, 1).rank_bytes, 1e8 + bank));
    few.test_images = 42;
    cr_assert(pb_model_score(&CONSTANTS, &few, 1).rank_bytes > 1e8 + bank);
    pb_constants wide = CONSTANTS;
    wide.dim = 4000; /* too many for a filter */
    cr_assert(near(pb_model_score(&wide, &WORK, 1).rank_bytes, 1e8 + 1000 * (16000 * 3 + 48 + 20.0)));
}

/* All patches wait in memory and then move to the points; 100 places, a million pairs each. */
Test(model, denoising) {
    pb_work noisy = WORK;
    noisy.denoise = true;
    pb_forecast clean = pb_model_train(&CONSTANTS, &WORK, 1), f = pb_model_train(&CONSTANTS, &noisy, 1);
    cr_assert(clean.denoise_s == 0 && near(f.denoise_s, 10) && near(f.seconds, clean.seconds + 10));
    cr_assert(near(f.processor_s, clean.processor_s + 20) && f.picks == clean.picks);
    cr_assert(near(f.rank_bytes, 1e8 + 24 * 1000 + 1e5 * 4 * (128 + 128 + 4)));
    f = pb_model_train(&CONSTANTS, &noisy, 3); /* one rank has 34 places */
    clean = pb_model_train(&CONSTANTS, &WORK, 3);
    cr_assert(near(f.denoise_s, 3.4) && near(f.processor_s, clean.processor_s + 20));
    double bytes = (1e5 / 3 * 512 + 1e5 * 4) * 2 / 3;
    cr_assert(near(f.messages_s, clean.messages_s + 234 * 1e-5 * log2(3) + bytes / 1e9));
}

/* Half as many new images, so at most half as many rows more. Old rows are centres from the beginning. */
Test(model, an_update) {
    pb_work more = WORK;
    more.update_images = 500;
    pb_forecast f = pb_model_update(&CONSTANTS, &more, 1);
    cr_assert(near(f.picks, 1500) && near(f.extract_s, 10) && near(f.collect_s, ceil(500 * (1 - exp(-0.5))) / 50));
    cr_assert(near(f.select_s, (5e4 * 1e-6 + 5e4 * 500 * 1e-9 + 500 * 1e-5) / 2 + 5e4 * 1000 / 1e9) && f.denoise_s == 0);
    cr_assert(near(f.processor_s, 0.5 + (500 + 500 * (1 - exp(-0.5))) * 0.02 + 0.08 + 0.05));
    cr_assert(near(f.write_s, 1500 * (800 + 24 + 20) / 1e8));
    /* the old bank, whole, and projected; new rows have room for one from each patch */
    double bank = 1000 * (800 + 48 + 20 + 512.0) + 5e4 * 24, cover = pb_model_cover_bytes(&CONSTANTS, 5e4, 1500);
    cr_assert(f.rank_bytes > 1e8 + bank + cover && f.rank_bytes < 1e8 + bank + 1.5 * cover);
    cr_assert(f.root_bytes >= 1e8 + bank + cover + 1500 * (800 + 48 + 20));
    pb_forecast four = pb_model_update(&CONSTANTS, &more, 4);
    cr_assert(near(four.extract_s, 2.5) && four.rank_bytes > 1e8 + bank && four.rank_bytes < f.rank_bytes);
    more.denoise = true;
    cr_assert(near(pb_model_update(&CONSTANTS, &more, 1).denoise_s, 2.5));
}

/* Ranks divide images and points; picks, and what every rank does for each, stay; messages come in. */
Test(model, more_ranks) {
    pb_forecast one = pb_model_train(&CONSTANTS, &WORK, 1), four = pb_model_train(&CONSTANTS, &WORK, 4);
    cr_assert(near(four.extract_s, one.extract_s / 4) && four.picks == one.picks && four.rounds == one.rounds);
    cr_assert(near(four.select_s, (25000 * 1e-6 + 25000 * 1000 * 1e-9 + 1000 * 1e-5) / 2));
    double bytes = 5 * 1000 * (12 + 512.0) + 1000 * (800 + 24.0);
    cr_assert(near(four.messages_s, 4 * 30 * 1e-5 * 2 + 0.75 * bytes / 1e9));
    cr_assert(four.rank_bytes < one.rank_bytes && four.sent_bytes < one.sent_bytes);
    pb_forecast single = pb_model_score(&CONSTANTS, &WORK, 1), many = pb_model_score(&CONSTANTS, &WORK, 4);
    cr_assert(near(many.extract_s, single.extract_s / 4) && near(many.search_s, single.search_s / 4));
    /* 4 batches of at most 32 of 100 images; 3 shards of 250 rows each time, and maps to rank 0 */
    cr_assert(near(many.messages_s, 4 * 11 * 1e-5 + (4 * 3 * 250 * 800.0 + 3 * 100 * (400 + (double)sizeof(pb_verdict))) / 1e9));
}

/* Four parts on two ranks: each holds one part's points at a time, and the picks of two; both selections are as greedy's. */
Test(model, training_in_parts) {
    pb_work parts = WORK;
    parts.parts = 4;
    pb_forecast f = pb_model_train(&CONSTANTS, &parts, 2), whole = pb_model_train(&CONSTANTS, &WORK, 2);
    cr_assert(near(f.picks, 1000) && near(f.extract_s, whole.extract_s) && near(f.collect_s, whole.collect_s));
    double part = 25000 * 1e-6 + 25000 * 1000 * 1e-9 + 1000 * 1e-5, last = 2000 * 1e-6 + 2000 * 1000 * 1e-9 + 1000 * 1e-5;
    cr_assert(near(f.select_s, (2 * part + last) / 2));
    cr_assert(f.rank_bytes > 1e8 + pb_model_cover_bytes(&CONSTANTS, 25000, 1000) + 2 * 1000 * 520.0);
    cr_assert(f.rank_bytes < whole.rank_bytes && f.root_bytes < whole.root_bytes);
}

Test(model, memory_of_a_device_of_its_own) {
    pb_constants far = CONSTANTS;
    far.device_is_host = 0;
    pb_forecast near_by = pb_model_train(&CONSTANTS, &WORK, 2), away = pb_model_train(&far, &WORK, 2);
    cr_assert(away.device_bytes >= pb_model_cover_bytes(&far, 5e4, 1000) && away.rank_bytes < near_by.rank_bytes);
    away = pb_model_score(&far, &WORK, 2);
    cr_assert(away.device_bytes > 4 * 500 * 800 && away.device_bytes < 5 * 500 * 800);
}

Test(model, storage) {
    cr_assert(near(pb_model_archive_bytes(&CONSTANTS, &WORK), 1400 * 5084.0));
    cr_assert(near(pb_model_bank_bytes(&CONSTANTS, &WORK), 1000 * 844.0));
    cr_assert(near(pb_model_results_bytes(&CONSTANTS, &WORK), 400 * (400 + 160 + 40.0)));
}

/* A share so small that one pick is left, and one image. */
Test(model, the_smallest_work) {
    pb_work least = {.train_images = 1, .test_images = 1, .ratio = 1e-9, .candidates = 8192};
    pb_forecast f = pb_model_train(&CONSTANTS, &least, 3);
    cr_assert(f.picks == 1 && f.rounds >= 1 && isfinite(f.seconds) && f.seconds > 0);
    f = pb_model_score(&CONSTANTS, &least, 3);
    cr_assert(isfinite(f.seconds) && f.seconds > 0 && isfinite(f.root_bytes));
}
