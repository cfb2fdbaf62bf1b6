/* play.h, private to tests/bench/: a whole selection on one rank through gpu/cover.h, on any device. */
#ifndef PB_TESTS_BENCH_PLAY_H
#define PB_TESTS_BENCH_PLAY_H

#include "gpu/cover.h"

/* Selects `picks` points of a cover whose points of `dim` values are written and which has no centre yet, beginning with point 0,
 * whose row is `first` (host memory). Rounds are scheduled as coreset/greedy.h does; candidates are copied out and in as if they
 * were sent. Out: picked [picks] (host memory), how many were made, less than picks when all other points are at 0, and the
 * number of rounds. Errors: those of the device. */
PB_CHECKED pb_status bench_play(pb_device *device, pb_cover *cover, int dim, const float *first, size_t picks, int32_t *picked,
                                size_t *made, size_t *rounds);

#endif
