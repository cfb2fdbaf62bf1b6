/* Against the definition, one impulse at a time; test_golden_dinov2.c compares with torch. */
#include "gpu/positions.h"

#include "base/memory.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* Keys' kernel for a = -3/4, multiplied out. */
static double kernel(double x) {
    x = fabs(x);
    return x < 1 ? 1.25 * x * x * x - 2.25 * x * x + 1 : x < 2 ? -0.75 * x * x * x + 3.75 * x * x - 6 * x + 3 : 0;
}

/* What place i of n takes from place `from` of `side` along an axis: places outside are the edge's. */
static double share(int i, int n, int from, int side) {
    double at = (i + 0.5) * (side / (n + 0.1)) - 0.5, sum = 0;
    for (int k = -4; k < side + 4; k++)
        sum += (k < 0 ? 0 : k >= side ? side - 1 : k) == from ? kernel(at - k) : 0;
    return sum;
}

/* Each impulse of a small table goes where the definition says; 5 x 5 to smaller, larger and oblong. */
Test(positions, impulses_are_spread_by_the_kernel) {
    enum { SIDE = 5, CHANNELS = 3 };
    static const pb_size SIZES[] = {{2, 3}, {7, 4}, {5, 6}, {1, 1}, {11, 13}};
    float table[SIDE * SIDE * CHANNELS], out[11 * 13 * CHANNELS];
    for (size_t s = 0; s < sizeof SIZES / sizeof *SIZES; s++)
        for (int p = 0; p < SIDE * SIDE; p++) {
            memset(table, 0, sizeof table);
            table[p * CHANNELS + p % CHANNELS] = 2;
            pb_positions_interpolate(table, SIDE, CHANNELS, SIZES[s], out);
            for (int i = 0; i < SIZES[s].width * SIZES[s].height * CHANNELS; i++) {
                int row = i / CHANNELS / SIZES[s].width, column = i / CHANNELS % SIZES[s].width;
                double both = share(row, SIZES[s].height, p / SIDE, SIDE) * share(column, SIZES[s].width, p % SIDE, SIDE);
                double expected = i % CHANNELS == p % CHANNELS ? 2 * both : 0;
                cr_assert(fabs((double)out[i] - expected) <= 1.5e-7, "%d x %d, impulse %d, value %d: %.9g, expected %.9g",
                          SIZES[s].width, SIZES[s].height, p, i, (double)out[i], expected);
            }
        }
}

Test(positions, the_trained_size_is_left_alone) {
    enum { SIDE = 4, CHANNELS = 2, COUNT = SIDE * SIDE * CHANNELS };
    float table[COUNT], out[COUNT + 1];
    for (int i = 0; i < COUNT; i++)
        table[i] = (float)(i * i % 7) - 3.1f;
    out[COUNT] = 5;
    pb_positions_interpolate(table, SIDE, CHANNELS, test_square(SIDE), out);
    cr_assert_arr_eq(out, table, sizeof table);
    cr_assert_eq(out[COUNT], 5.0f);
}
