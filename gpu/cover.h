/* cover.h: points that are being covered by centres: the device's part of exact greedy selection in rounds (coreset/greedy.h).
 *
 * Every point keeps how many of the centres it has met, an upper bound on its canonical distance^2 to the nearest of those, and
 * which one that is. Bounds only fall. A point is worked on only while its bound is at or above a floor, so most pairs of a point
 * and a centre are never looked at; whoever is looked at may be told apart by anything cheap, as long as what is kept is decided
 * by the canonical distance (gpu/device.h). Hence the picks are those of the textbook loop, on every device.
 *
 * A key is pb_pack_farthest(distance^2, global index): the order of picking. The key of a point's bound is at least that of its
 * distance, and the same floor for all ranks splits all points into candidates (bound's key >= floor) and the rest, none of which
 * can be picked before every candidate has fallen below the floor.
 *
 * Life of a cover: create; write all points; add the first centre; then any number of rounds
 *   refresh(floor) -> candidates -> (gathered over the ranks by the caller) -> select -> update.
 * None of these functions is collective. Memory: the points, 20 floats a point beside them, and for each centre its row and 17
 * floats, with room for twice as many; rows of more than 16 floats take up whole multiples of 16. Source of the idea: T. F.
 * Gonzalez, TCS 38 (1985) for greedy; lazy upper bounds as in M. Minoux' accelerated greedy (1978).
 *
 * Errors, where nothing else is said: PB_E_SYSTEM when memory is out or the device failed; PB_E_UNSUPPORTED on a device without
 * covers. After an error of refresh, select or update the cover is to be freed. A cover is used by its device's thread. Numbers
 * of points, candidates and centres stay below 2^32 - 1.
 */
#ifndef PB_GPU_COVER_H
#define PB_GPU_COVER_H

#include "gpu/device.h"

typedef struct pb_cover pb_cover;

/* Room for `capacity` points of `dim` values, capacity < 2^32 - 1; first_index: global index of point 0, first_index + capacity <
 * 2^32 - 1. Owned by the caller. Errors: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_device_cover_create(pb_device *device, size_t capacity, int dim, uint32_t first_index,
                                            pb_cover **cover_out);
void pb_device_cover_free(pb_device *device, pb_cover **cover);

/* Stores rows [count][dim] (device memory) as points first .. first + count - 1; as pb_device_points_write, *not_finite is the
 * least index with a value that is not finite, or -1. Only before the first centre is added. A point that is not finite makes
 * everything later undefined, so the caller must stop. */
PB_CHECKED pb_status pb_device_cover_write(pb_device *device, pb_cover *cover, size_t first, size_t count, const float *rows,
                                           int64_t *not_finite);

/* Global index of point 0, when it is only known after all points are written. Only before the first centre is added. */
void pb_device_cover_place(pb_device *device, pb_cover *cover, uint32_t first_index);

/* Copies points first .. first + count - 1 (local) to host memory, [count][dim]. All of them must have been written. */
PB_CHECKED pb_status pb_device_cover_read(pb_device *device, const pb_cover *cover, size_t first, size_t count,
                                          float *host_rows);

/* Adds centres from host memory, [count][dim]; they are numbered in the order in which they are added (by this function and by
 * select). The first one ever added is met by every point at once, so that all bounds are finite. */
PB_CHECKED pb_status pb_device_cover_add(pb_device *device, pb_cover *cover, const float *centres, size_t count);

/* A point that may be the next pick. 12 bytes without padding: candidates are gathered over the ranks as bytes, with their rows
 * beside them. */
typedef struct pb_candidate {
    uint32_t index;   /* global */
    uint32_t nearest; /* number of the centre at which its distance is least */
    float bound;      /* >= d, its canonical distance^2 to all centres, and d >= bound (1 - 6 (dim + 4) 2^-24) */
} pb_candidate;

/* Brings every point whose bound's key is >= floor up to date: it meets the centres that it has missed, until it has met all or
 * has fallen below the floor. Those still >= floor are the candidates. *count: how many; *most: the largest key of a bound among
 * all points, candidates or not, 0 when there are no points. Any floor will do, also one above that of the round before. Cost: a
 * pass over the bounds, and for each point that stays the distances, or filters, of what it has missed. */
PB_CHECKED pb_status pb_device_cover_refresh(pb_device *device, pb_cover *cover, uint64_t floor, size_t *count, uint64_t *most);

/* For when there are more candidates than can be gathered. settle: every candidate's bound becomes its canonical distance^2, and
 * those that fall below the floor are candidates no longer. key: the key of the candidate at `position` in falling order of keys,
 * 0 when there are no more than `position`. raise: the floor becomes `floor`, larger than before. *count: candidates left. All
 * three are asked after refresh and before candidates. */
PB_CHECKED pb_status pb_device_cover_settle(pb_device *device, pb_cover *cover, size_t *count);
PB_CHECKED pb_status pb_device_cover_key(pb_device *device, pb_cover *cover, size_t position, uint64_t *key);
PB_CHECKED pb_status pb_device_cover_raise(pb_device *device, pb_cover *cover, uint64_t floor, size_t *count);

/* Copies the candidates (device memory, [count]) and their rows (device memory, [count][dim]), in any fixed order. The order is
 * that in which update takes them back; count is that of the last refresh, settle or raise. */
PB_CHECKED pb_status pb_device_cover_candidates(pb_device *device, pb_cover *cover, pb_candidate *candidates, float *rows);

/* Greedy selection among candidates gathered from all ranks (device memory; rows [count][dim]), up to date with all centres of
 * this cover: again and again the largest key of canonical distance^2 (smallest index on a tie) is picked and becomes a centre,
 * while it is >= floor and fewer than `most` are made. Candidates may come in any order and all be other ranks'; their bounds and
 * nearest centres are brought up to date. picked, distance2: host memory, room for `most`: the global indices and the canonical
 * distance^2 at which they were picked. *made: how many; *next: the exact key of what would be picked next (with most 0: first)
 * if it is >= floor, else 0. The result is the same bits on every device. Cost: a pass over the candidates a pick. */
PB_CHECKED pb_status pb_device_cover_select(pb_device *device, pb_cover *cover, pb_candidate *candidates, const float *rows,
                                            size_t count, uint64_t floor, size_t most, uint64_t *picked, float *distance2,
                                            size_t *made, uint64_t *next);

/* Gives this cover's own candidates (device memory) back, in the order in which pb_device_cover_candidates gave them, after
 * select has changed them. */
PB_CHECKED pb_status pb_device_cover_update(pb_device *device, pb_cover *cover, const pb_candidate *candidates, size_t count);

#endif
