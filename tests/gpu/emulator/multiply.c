/* The tensor core, as badly as the kernels allow for: each product and the sum so far lose all bits below 2^-23 of the power of
 * two in the largest of them, and so does the result, all toward zero. Measured ones are better by a bit or more (Fasi, Higham,
 * Mikaitis, Pranesh, "Numerical behavior of NVIDIA tensor cores", 2021). */
#include "inside.h"

#include <math.h>
#include <string.h>

enum { ROWS = 16, COLUMNS = 8, DEPTH = 16, BITS = 24 };

__extension__ typedef _Float16 half;

/* Half number `which` of a word. */
static double half_of(unsigned word, unsigned which) {
    const unsigned short bits = (unsigned short)(word >> 16 * which);
    half value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

/* The sum of addends, as above. */
static float sum_of(const double addends[DEPTH + 1]) {
    double most = 0;
    int exponent;
    for (int i = 0; i <= DEPTH; i++)
        most = fmax(most, fabs(addends[i]));
    frexp(most, &exponent);
    const double unit = ldexp(1, exponent - BITS), per_unit = ldexp(1, BITS - exponent);
    int64_t sum = 0;
    for (int i = 0; i <= DEPTH; i++)
        sum += (int64_t)(addends[i] * per_unit);
    int lost = 0;
    while (sum >> lost >= 1 << BITS || -(sum >> lost) > 1 << BITS)
        lost++;
    return (float)((double)(sum / ((int64_t)1 << lost)) * unit * (double)((int64_t)1 << lost));
}

void emulator_multiply_warp(const emulator_fragment lanes[32]) {
    double rows[ROWS][DEPTH], columns[COLUMNS][DEPTH], addends[DEPTH + 1];
    for (unsigned lane = 0; lane < 32; lane++)
        for (unsigned k = 0; k < 2; k++)
            for (unsigned far = 0; far < 2; far++) {
                const unsigned g = lane / 4, at = 2 * (lane % 4) + 8 * far + k;
                rows[g][at] = half_of(lanes[lane].rows[2 * far], k);
                rows[g + 8][at] = half_of(lanes[lane].rows[2 * far + 1], k);
                columns[g][at] = half_of(lanes[lane].columns[far], k);
            }
    for (unsigned row = 0; row < ROWS; row++)
        for (unsigned column = 0; column < COLUMNS; column++) {
            float *sum = lanes[row % 8 * 4 + column / 2].sums + row / 8 * 2 + column % 2;
            for (int k = 0; k < DEPTH; k++)
                addends[k] = rows[row][k] * columns[column][k];
            addends[DEPTH] = (double)*sum;
            *sum = sum_of(addends);
        }
}
