#include "emulated.h"

enum { POINTS = 700 };

/* Every third point of POINTS is listed. */
static uint32_t point_of(size_t i) { return (uint32_t)(3 * i + 1) % POINTS; }

static void fill(uint64_t *state, uint32_t *list, size_t count) {
    for (size_t i = 0; i < POINTS; i++)
        state[i] = pb_pack_nearest(fabsf(number_of(UNIFORM, 5, i)), (uint32_t)i % 91);
    for (size_t i = 0; i < count; i++)
        list[i] = point_of(i);
}

static void check_gather(size_t count, int dim) {
    const size_t width = (size_t)dim;
    uint64_t state[POINTS];
    uint32_t list[POINTS], words[3 * POINTS];
    float *rows = numbers(UNIFORM, 0, POINTS * width), *gathered = constants(NAN, count * width);
    fill(state, list, count);
    void *state_there = on_device(state, sizeof state), *list_there = on_device(list, count * 4);
    void *rows_there = on_device(rows, POINTS * width * 4), *words_there = on_device(NULL, count * 12);
    void *gathered_there = on_device(NULL, count * width * 4);
    assert_cuda(pb_cuda_cover_gather(NULL, list_there, count, state_there, 1000, rows_there, dim, words_there, gathered_there));
    off_device(words, words_there, count * 12);
    off_device(gathered, gathered_there, count * width * 4);
    for (size_t i = 0; i < count; i++) {
        const uint32_t point = point_of(i), wanted[] = {1000 + point, point % 91, (uint32_t)(state[point] >> 32)};
        cr_assert_arr_eq(words + 3 * i, wanted, sizeof wanted);
        assert_same_bits(gathered + i * width, rows + point * width, width);
    }
    void *rest[] = {state_there, list_there, rows_there};
    for (size_t i = 0; i < LENGTH(rest); i++)
        assert_cuda(cudaFree(rest[i]));
    assert_sound();
    pb_release(&rows);
    pb_release(&gathered);
}

Test(cover_candidates, gather_copies_points_and_what_is_known_of_them) {
    static const size_t COUNTS[] = {0, 1, 31, 64, 233};
    static const int DIMS[] = {1, 3, 128};
    for (size_t c = 0; c < LENGTH(COUNTS); c++)
        for (size_t d = 0; d < LENGTH(DIMS); d++) {
            emulator_turns(ORDERS[(c + d) % LENGTH(ORDERS)]);
            check_gather(COUNTS[c], DIMS[d]);
        }
    check_gather(600, 2048); /* more values than a launch has threads */
}

static void check_keys(size_t count, uint64_t least) {
    uint64_t state[POINTS], above = 1000, wanted = 1000;
    uint32_t list[POINTS];
    fill(state, list, count);
    void *state_there = on_device(state, sizeof state), *list_there = on_device(list, count * 4);
    void *above_there = on_device(&above, sizeof above);
    assert_cuda(pb_cuda_cover_keys(NULL, list_there, count, state_there, 50, least, above_there));
    off_device(&above, above_there, sizeof above);
    for (size_t i = 0; i < count; i++)
        wanted += pb_pack_farthest(pb_packed_distance2(state[point_of(i)]), 50 + point_of(i)) >= least;
    cr_assert_eq(above, wanted);
    assert_cuda(cudaFree(state_there));
    assert_cuda(cudaFree(list_there));
    assert_sound();
}

Test(cover_candidates, keys_are_counted) {
    static const size_t COUNTS[] = {0, 1, 31, 32, 33, 233, 256, 257};
    for (size_t c = 0; c < LENGTH(COUNTS); c++)
        for (size_t i = 0; i < 4; i++) {
            const float distance2 = fabsf(number_of(UNIFORM, 5, point_of(i)));
            emulator_turns(ORDERS[(c + i) % LENGTH(ORDERS)]);
            check_keys(COUNTS[c], pb_pack_farthest(distance2, 50 + point_of(i)));
            check_keys(COUNTS[c], pb_pack_farthest(distance2, 50 + point_of(i)) + 1);
        }
}

static void check_restore(size_t count) {
    uint64_t state[POINTS], before[POINTS];
    uint32_t list[POINTS], met[POINTS] = {0}, words[3 * POINTS];
    fill(state, list, count);
    memcpy(before, state, sizeof before);
    for (size_t i = 0; i < 3 * count; i++)
        words[i] = (uint32_t)i * 77;
    void *state_there = on_device(state, sizeof state), *list_there = on_device(list, count * 4);
    void *met_there = on_device(met, sizeof met), *words_there = on_device(words, count * 12);
    assert_cuda(pb_cuda_cover_restore(NULL, list_there, count, words_there, 41, state_there, met_there));
    off_device(state, state_there, sizeof state);
    off_device(met, met_there, sizeof met);
    for (size_t i = 0; i < count; i++) {
        const uint32_t point = point_of(i);
        cr_assert_eq(state[point], (uint64_t)words[3 * i + 2] << 32 | words[3 * i + 1]);
        cr_assert_eq(met[point], 41);
        state[point] = before[point];
        met[point] = 0;
    }
    for (size_t i = 0; i < POINTS; i++)
        cr_assert(state[i] == before[i] && met[i] == 0, "point %zu was not listed", i);
    assert_cuda(cudaFree(list_there));
    assert_cuda(cudaFree(words_there));
    assert_sound();
}

Test(cover_candidates, restore_changes_the_listed_points_alone) {
    check_restore(0);
    check_restore(1);
    check_restore(233);
}
