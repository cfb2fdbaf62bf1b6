/* eval_pixels.c: pixel AUROC and PRO, in passes over the images. docs/decisions/0028 has the reasons.
 *
 * Counting takes several passes (coreset/pixels.h), and in each every map is read, raised and smoothed anew and every mask
 * decoded: what all maps would take in memory, millions of images do not have. Ranks share the images evenly; counts are whole
 * numbers, so that their sums do not depend on how. Maps are made on the device in blocks; regions, masks and counting are the
 * host's. */
#include "jobs/eval_pixels.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "coreset/regions.h"
#include "io/file.h"
#include "jobs/provenance.h"
#include "jobs/request.h"
#include "jobs/setup.h"
#include "jobs/share.h"
#include "jobs/truth.h"
#include "mpi/partition.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Maps that the device makes at once: enough to fill it, few enough bytes. */
enum { BLOCK_MAPS = 32, BLOCK_BYTES = 64 << 20 };

struct pb_eval_pixels {
    const pb_job *job;
    const pb_results *results;
    pb_archive *archive;
    pb_device *device;
    pb_results_maps *maps;
    pb_fit fit; /* from a decoded image to the network's input */
    pb_smoothing smoothing;
    size_t block;                     /* maps made at once */
    float *patches, *scores;          /* [block] maps: of patches, and of pixels */
    float *device_patches, *device_scores; /* the same in device memory */
    bool *defective;                  /* of one image */
    uint32_t *region_size;            /* likewise */
};

/* The images of one measurement: all of them, and which are this rank's, a range of `index`. Owned by the measurement. */
typedef struct chosen {
    uint64_t *index; /* in the results, rising */
    uint64_t count;
    pb_range mine;
} chosen;

/* ---- opening ---- */

/* How images became inputs is written in the results among what they have of their bank, whose names begin with "bank." there.
 * The bank's attributes are made again and read as those of any bank (jobs/request.h). */
static pb_status read_fit(const pb_results *results, const char *file, pb_fit *fit) {
    pb_attributes bank = {0};
    pb_request request;
    pb_status status = pb_ok();
    for (size_t i = 0; i < results->attributes.count && !pb_failed(&status); i++)
        if (strncmp(results->attributes.names[i], "bank.", 5) == 0)
            status = pb_attributes_set(&bank, results->attributes.names[i] + 5, results->attributes.values[i]);
    if (!pb_failed(&status))
        status = pb_request_read(&bank, file, &request);
    if (!pb_failed(&status))
        *fit = request.fit;
    pb_attributes_free(&bank);
    return status;
}

/* What this rank reads of the results. archive_sha256: of the archive that was scored; the results'. */
static pb_status open_results(pb_eval_pixels *p, const char **archive_sha256) {
    char file[PB_PATH_MAX];
    PB_TRY(pb_path_join(p->job->options->results, "results.h5", file));
    PB_TRY(pb_attributes_need(&p->results->attributes, file, "archive_sha256", archive_sha256));
    PB_TRY(read_fit(p->results, file, &p->fit));
    return pb_results_maps_open(file, p->results, &p->maps);
}

/* Collective. Ranks that read different files would not meet again: they would count other images in other passes. Scores and
 * labels stand for all of it. */
static pb_status check_same(const pb_eval_pixels *p, const char *archive_sha256) {
    const pb_results *results = p->results;
    const size_t images = (size_t)results->images;
    char text[160];
    snprintf(text, sizeof text, "%zu images, %08x, %08x, archive %s", images,
             pb_crc32c(results->score, images * sizeof *results->score), pb_crc32c(results->label, images), archive_sha256);
    return pb_agree_equal(p->job->comm, text, p->job->options->results);
}

/* A block is as many maps as 64 MiB hold, at most 32 and at least one. The host has patches, maps, and mask and regions of one
 * image. */
static pb_status allocate(pb_eval_pixels *p) {
    const size_t patches = pb_size_area(p->results->grid), area = pb_size_area(p->fit.crop);
    const size_t fit = BLOCK_BYTES / sizeof(float) / area;
    p->block = fit < 1 ? 1 : fit < BLOCK_MAPS ? fit : BLOCK_MAPS;
    PB_TRY(pb_allocate(&p->patches, p->block * patches, sizeof *p->patches, "patch maps"));
    PB_TRY(pb_allocate(&p->scores, p->block * area, sizeof *p->scores, "maps of pixels"));
    PB_TRY(pb_allocate(&p->defective, area, sizeof *p->defective, "a mask"));
    PB_TRY(pb_allocate(&p->region_size, area, sizeof *p->region_size, "a mask"));
    PB_TRY(pb_device_alloc(p->device, p->block * patches * sizeof(float), &p->device_patches, "patch maps"));
    return pb_device_alloc(p->device, p->block * area * sizeof(float), &p->device_scores, "maps of pixels");
}

/* What else this rank needs. Indices come from a file and are looked at before they are used. */
static pb_status prepare(pb_eval_pixels *p) {
    for (uint64_t i = 0; i < p->results->images; i++)
        if (p->results->archive_index[i] >= pb_archive_images(p->archive))
            return pb_fail(PB_E_INPUT, "%s: image %ju is none of the archive's; results.h5 is damaged", p->job->options->results,
                           (uintmax_t)i);
    PB_TRY(pb_setup_device(p->job, pb_setup_threads(p->job), &p->device));
    pb_smoothing_gaussian(p->job->options->sigma, &p->smoothing);
    return allocate(p);
}

/* Collective. The archive is opened as it was when it was scored: images that were added since are none of the results'. */
static pb_status open_all(pb_eval_pixels *p) {
    pb_comm *comm = p->job->comm;
    const char *archive_sha256 = NULL;
    pb_status status = pb_agree(comm, open_results(p, &archive_sha256));
    if (!pb_failed(&status))
        status = check_same(p, archive_sha256);
    if (!pb_failed(&status))
        status = pb_archive_open_for_all(comm, p->job->options->archive, archive_sha256, PB_SHARDS_THERE, &p->archive);
    return pb_failed(&status) ? status : pb_agree(comm, prepare(p));
}

/* pb_eval_pixels_close takes it in any state, so one call undoes what was opened. */
pb_status pb_eval_pixels_open(const pb_job *job, const pb_results *results, pb_eval_pixels **pixels_out) {
    pb_status status = pb_agree(job->comm, pb_allocate(pixels_out, 1, sizeof **pixels_out, "pixels"));
    if (!pb_failed(&status)) {
        **pixels_out = (pb_eval_pixels){.job = job, .results = results};
        status = open_all(*pixels_out);
    }
    if (pb_failed(&status))
        pb_eval_pixels_close(pixels_out);
    return status;
}

/* What the device owns goes before it. One that was never opened to the end is fine. */
void pb_eval_pixels_close(pb_eval_pixels **pixels) {
    pb_eval_pixels *p = *pixels;
    if (!p)
        return;
    if (p->device) {
        pb_device_release(p->device, &p->device_patches);
        pb_device_release(p->device, &p->device_scores);
    }
    pb_device_close(&p->device);
    pb_results_maps_close(&p->maps);
    pb_archive_close(&p->archive);
    pb_release(&p->patches);
    pb_release(&p->scores);
    pb_release(&p->defective);
    pb_release(&p->region_size);
    pb_release(pixels);
}

pb_size pb_eval_pixels_size(const pb_eval_pixels *pixels) { return pixels->fit.crop; }

/* ---- measuring ---- */

/* The same on every rank, but for images->mine. Images that have no label or no score take no part. */
static pb_status choose(const pb_eval_pixels *p, const char *class, chosen *images) {
    const pb_results *results = p->results;
    *images = (chosen){0};
    PB_TRY(pb_allocate(&images->index, (size_t)results->images, sizeof *images->index, "images"));
    for (uint64_t i = 0; i < results->images; i++)
        if (results->label[i] != PB_LABEL_UNKNOWN && !isnan(results->score[i]) &&
            (!class || strcmp(class, results->classes[i]) == 0))
            images->index[images->count++] = i;
    images->mine = pb_partition(images->count, pb_comm_size(p->job->comm), pb_comm_rank(p->job->comm));
    return pb_ok();
}

/* The maps of `count` <= p->block images become maps of pixels, in p->scores. Neighbours in the file are read together. */
static pb_status make_maps(pb_eval_pixels *p, const uint64_t *index, size_t count) {
    const size_t patches = pb_size_area(p->results->grid), area = pb_size_area(p->fit.crop);
    for (size_t begin = 0, end; begin < count; begin = end) {
        for (end = begin + 1; end < count && index[end] == index[end - 1] + 1;)
            end++;
        PB_TRY(pb_results_maps_read(p->maps, index[begin], end - begin, p->patches + begin * patches));
    }
    PB_TRY(pb_device_upload(p->device, p->device_patches, p->patches, count * patches * sizeof *p->patches));
    PB_TRY(pb_device_smooth_maps(p->device, &p->smoothing, p->device_patches, (int)count, p->results->grid, p->fit.crop,
                                 p->device_scores));
    return pb_device_download(p->device, p->scores, p->device_scores, count * area * sizeof *p->scores);
}

/* Counts the pixels of one image. row: counts of images, this rank's. A mask decides, also of an image labelled normal; without
 * one only a normal image counts, with all its pixels. */
static pb_status count_image(pb_eval_pixels *p, uint64_t index, const float *scores, pb_pixels *pixels, pb_pixel_row *row) {
    const bool defective = p->results->label[index] == PB_LABEL_DEFECTIVE;
    const size_t area = pb_size_area(p->fit.crop);
    pb_record record;
    pb_span mask;
    size_t regions = 0;
    PB_TRY(pb_archive_record(p->archive, p->results->archive_index[index], &record));
    if (record.mask_length == 0 && defective) {
        row->without_mask++;
        return pb_ok();
    }
    if (record.mask_length > 0) {
        PB_TRY(pb_archive_read_mask(p->archive, p->results->archive_index[index], &mask));
        PB_TRY(pb_truth_of_mask(mask, &record, &p->fit, p->defective));
        PB_TRY(pb_regions_measure(p->defective, p->fit.crop, p->region_size, &regions));
    }
    row->images++;
    row->empty_mask += defective && regions == 0;
    pb_pixels_add(pixels, scores, regions > 0 ? p->region_size : NULL, area, regions);
    return pb_ok();
}

/* One pass over this rank's images. The counts of images are those of the last pass: every pass sees the same ones. */
static pb_status count_images(pb_eval_pixels *p, const chosen *images, pb_pixels *pixels, pb_pixel_row *row) {
    const size_t area = pb_size_area(p->fit.crop);
    *row = (pb_pixel_row){0};
    for (uint64_t first = images->mine.first; first < images->mine.end; first += p->block) {
        const uint64_t left = images->mine.end - first, *index = images->index + first;
        const size_t count = left < p->block ? (size_t)left : p->block;
        PB_TRY(make_maps(p, index, count));
        for (size_t i = 0; i < count; i++)
            PB_TRY(count_image(p, index[i], p->scores + i * area, pixels, row));
    }
    return pb_ok();
}

/* Collective. All passes, until the counts are exact; pb_pixels_next says so on all ranks alike. */
static pb_status count_all(pb_eval_pixels *p, const chosen *images, pb_pixels *pixels, pb_pixel_row *row) {
    pb_comm *comm = p->job->comm;
    const double begin = pb_clock_seconds();
    bool again = true;
    int passes = 0;
    for (; again; passes++) {
        pb_status status = pb_agree(comm, count_images(p, images, pixels, row));
        if (!pb_failed(&status))
            status = pb_pixels_next(pixels, &again);
        if (pb_failed(&status))
            return status;
    }
    row->images = pb_comm_sum_u64(comm, row->images, "images with pixels");
    row->without_mask = pb_comm_sum_u64(comm, row->without_mask, "images without masks");
    row->empty_mask = pb_comm_sum_u64(comm, row->empty_mask, "images with empty masks");
    pb_log_once(PB_LOG_INFO, "pixels", "images=%llu without_mask=%llu empty_mask=%llu passes=%d seconds=%.2f",
                (unsigned long long)row->images, (unsigned long long)row->without_mask, (unsigned long long)row->empty_mask,
                passes, pb_clock_seconds() - begin);
    return pb_pixels_figures(pixels, &row->figures); /* the same on every rank */
}

pb_status pb_eval_pixels_measure(pb_eval_pixels *p, const char *class, pb_pixel_row *row_out) {
    chosen images;
    pb_pixels *pixels = NULL;
    *row_out = (pb_pixel_row){0};
    pb_status status = choose(p, class, &images);
    if (!pb_failed(&status))
        status = pb_pixels_create(p->job->comm, &pixels);
    status = pb_agree(p->job->comm, status);
    if (!pb_failed(&status))
        status = count_all(p, &images, pixels, row_out);
    pb_pixels_free(&pixels);
    pb_release(&images.index);
    return status;
}
