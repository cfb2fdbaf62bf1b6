/* constants.h: private to jobs/: what `patchbank bench constants` measures on a cluster and `patchbank plan` reckons with. One
 * list makes the struct, the JSON file and its reader, so a constant cannot be in one and not in another. Names that have _per_s
 * or speedup in them are better when larger, all others when smaller: the worst of all ranks is taken by that
 * (jobs/bench_constants.c). Nothing here is collective. */
#ifndef PB_JOBS_CONSTANTS_H
#define PB_JOBS_CONSTANTS_H

#include "base/status.h"

#include <stdint.h>

enum { PB_CONSTANT_TEXT = 160 };

/* What it was measured with; for people, but for `options`: what else pack, train and score must be told to run like that. */
#define PB_CONSTANT_TEXTS(X) \
    X(device) X(backbone) X(taps) X(options)

/* All numbers. Seconds are of one rank, by the clock, while its host's other ranks do the same; processor seconds are of all its
 * threads. X(name, what)
 * A pair is a patch and a pick (select) or a patch and a bank row (search). */
#define PB_CONSTANT_NUMBERS(X)                                                                        \
    X(ranks, "ranks that measured")                                                                   \
    X(ranks_a_host, "of them on the fullest host")                                                    \
    X(threads, "threads of a rank")                                                                   \
    X(batch, "images a batch")                                                                        \
    X(host_cores, "cores of a host")                                                                  \
    X(host_bytes, "memory of a host")                                                                 \
    X(device_is_host, "1: the device's memory is the host's")                                         \
    X(images, "images that each rank measured with")                                                  \
    X(patches, "patches an image")                                                                    \
    X(dim, "values a feature")                                                                        \
    X(selection_dim, "values that selection sees")                                                    \
    X(image_bytes, "mean bytes of an encoded image")                                                  \
    X(path_bytes, "mean bytes of an image's path with its end")                                       \
    X(process_bytes, "memory of a rank that extracts, but for what it makes")                         \
    X(start_s, "from the start of a job to its first image")                                          \
    X(start_processor_s, "likewise")                                                                  \
    X(read_bytes_per_s, "reading, alone")                                                             \
    X(decode_images_per_s, "decoding and resizing, a thread")                                         \
    X(network_images_per_s, "the network")                                                            \
    X(extract_images_per_s, "all of it, with projecting")                                             \
    X(extract_processor_s, "an image")                                                                \
    X(select_point_s, "processor seconds of selection: a patch")                                      \
    X(select_pair_s, "likewise: a pair")                                                              \
    X(select_pick_s, "likewise: a pick, on every rank")                                               \
    X(select_speedup, "processor seconds of selection in a second by the clock")                      \
    X(rounds, "of a selection of `rounds_picks` picks")                                               \
    X(rounds_picks, "picks of that selection")                                                        \
    X(candidates_a_pick, "candidates that travel, for each pick")                                     \
    X(compare_pairs_per_s, "denoising: pairs of patches at one place")                                \
    X(compare_pair_processor_s, "a pair")                                                             \
    X(spread, "images that own a pick: images * (1 - exp(-spread * picks / images))")                 \
    X(search_pairs_per_s, "search")                                                                   \
    X(search_pair_processor_s, "a pair")                                                              \
    X(score_image_processor_s, "what scoring an image costs beside extraction and search")            \
    X(write_bytes_per_s, "a file, flushed to the disk")                                               \
    X(memory_bytes_per_s, "copying in memory, read and written bytes")                                \
    X(latency_s, "a small agreement over all ranks, for each doubling of ranks; 0: not measured")     \
    X(link_bytes_per_s, "from rank to rank, all at once, one way; 0: not measured")

/* The constants, plain data as they travel to rank 0. Zeroed it is empty, not usable. */
typedef struct pb_constants {
#define PB_CONSTANT_TEXT_MEMBER(name) char name[PB_CONSTANT_TEXT];
#define PB_CONSTANT_NUMBER_MEMBER(name, what) double name;
    PB_CONSTANT_TEXTS(PB_CONSTANT_TEXT_MEMBER)
    PB_CONSTANT_NUMBERS(PB_CONSTANT_NUMBER_MEMBER)
#undef PB_CONSTANT_TEXT_MEMBER
#undef PB_CONSTANT_NUMBER_MEMBER
} pb_constants;

/* Writes them as JSON to `path`, or standard output when that is "-". Numbers are written exactly. Errors: those of
 * pb_json_write. */
PB_CHECKED pb_status pb_constants_write(const pb_constants *constants, const char *path);

/* Reads them back, the same bits. Keys that are not of the list are passed over. Errors, naming the file: PB_E_INPUT when it is
 * missing or is not of such constants: one is missing, no finite number or negative, a text too long; or of another version. */
PB_CHECKED pb_status pb_constants_read(const char *path, pb_constants *constants);

/* Prints them, a line each, with what they mean. */
void pb_constants_print(const pb_constants *constants);

#endif
