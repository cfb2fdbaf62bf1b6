/* pixels.c: exact pixel AUROC and PRO of any number of images, by counting in two levels (decision 0028).
 *
 * What is summed. Let a defective pixel have the score s, and let `below`, `same` and `above` be the numbers of normal pixels
 * that score less, the same and more. To the AUROC it adds below + same / 2 won pairs (Mann and Whitney). To PRO it adds, with
 * the weight 1 / size of its region, the stretch of false positive rates at which it is found: from above / normal, at which the
 * threshold falls to s, to the limit. Both depend on nothing else, so it is enough to know, for each score that a defective pixel
 * has, how many pixels of either kind have it and how many normal ones score less. No score is kept.
 *
 * How it is counted. Scores are >= +0, so their bits are in the order of their values. The first pass counts by the upper 16 of
 * 31 bits. Where such a value has pixels of one kind only, its lower bits do not matter: no pair is decided within it, and it is
 * settled at once. Mixed values are counted by all bits in passes of PB_PIXELS_FINE values each, in rising order. A pass goes
 * over all images again, which the caller does (pb_pixels_add); its end is a collective (pb_pixels_next).
 *
 * Sums are whole numbers, of products in 128 bits, and so are the same on any number of ranks (invariant 3). Only `overlap` is a
 * sum of doubles: it is made of counts that were summed before, in an order that depends on these alone, by every rank alike.
 */
#include "coreset/pixels.h"

#include "base/memory.h"

#include <math.h>
#include <string.h>

/* A score's 31 bits (its sign is that of +0). The value of the first level: the exponent and the upper 8 bits of the fraction, so
 * that a factor of two between scores is 256 values. FINE_BITS are left for the second. */
enum { COARSE = 1 << 16, FINE_BITS = 15, FINE = 1 << FINE_BITS };

/* The share of a whole region: shares are fractions of it, so that their sums are whole numbers and do not depend on an order.
 * Shares are rounded, and a region's sum is below twice 2^40 in any case (count_pixel): of 64 bits 23 are left for the number of
 * regions (PB_PIXELS_REGIONS_MAX). */
static const uint64_t UNIT = (uint64_t)1 << 40; /* the share of a whole region */

/* Pixels of one value. Summed over the ranks as plain numbers, so it holds nothing but uint64_t. */
typedef struct tally {
    uint64_t normal, defective, share; /* share: sum of UNIT / size of the defective pixels' regions */
} tally;

enum { TALLY_NUMBERS = sizeof(tally) / sizeof(uint64_t) };

__extension__ typedef unsigned __int128 wide; /* products of two numbers of pixels */

/* Counts of one evaluation. `coarse` is this rank's alone until pb_pixels_next has summed it, and so is `fine` in each later
 * pass; all else is the same on all ranks. Memory: 192 MiB for `fine`, where a pass has PB_PIXELS_FINE slots, and 2 MiB. */
struct pb_pixels {
    pb_comm *comm;
    tally *coarse;        /* [COARSE] */
    uint64_t *below;      /* [COARSE] normal pixels of smaller values; after the first pass */
    int16_t *slot;        /* [COARSE] which of `fine` a value has in the present pass, -1: none */
    tally *fine;          /* [slots][FINE] */
    size_t slots;         /* of the present pass; 0 in the first */
    uint32_t next;        /* values of the first level below this one are done */
    bool counted;         /* the first pass is over */
    tally total;
    uint64_t regions;
    wide doubled_wins;    /* twice the pairs that the defective pixel wins, a tie counting once */
    double overlap;       /* sum of shares times worth(): the area below the curve of PRO, before it is divided by UNIT, regions
                           * and normal pixels */
};

pb_status pb_pixels_create(pb_comm *comm, pb_pixels **pixels_out) {
    pb_pixels *pixels;
    *pixels_out = NULL;
    PB_TRY(pb_allocate(&pixels, 1, sizeof *pixels, "pixel counts"));
    pixels->comm = comm;
    pb_status status = pb_allocate(&pixels->coarse, COARSE, sizeof *pixels->coarse, "pixel counts");
    pb_keep_first(&status, pb_allocate(&pixels->below, COARSE, sizeof *pixels->below, "pixel counts"));
    pb_keep_first(&status, pb_allocate(&pixels->slot, COARSE, sizeof *pixels->slot, "pixel counts"));
    if (pb_failed(&status))
        pb_pixels_free(&pixels);
    *pixels_out = pixels;
    return status;
}

void pb_pixels_free(pb_pixels **pixels) {
    if (!*pixels)
        return;
    pb_release(&(*pixels)->coarse);
    pb_release(&(*pixels)->below);
    pb_release(&(*pixels)->slot);
    pb_release(&(*pixels)->fine);
    pb_release(pixels);
}

/* A score >= 0 as a number that keeps its order. -0 counts as +0. */
static uint32_t key_of(float score) {
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    return bits & 0x7FFFFFFFu;
}

/* Counts one pixel. region_size 0: it is normal. The share of a region that a pixel is, is rounded to the nearest: the sum over a
 * region of n pixels misses UNIT by at most n / 2. */
static void count_pixel(tally *of, uint32_t region_size) {
    if (region_size == 0) {
        of->normal++;
        return;
    }
    of->defective++;
    of->share += (UNIT + region_size / 2) / region_size;
}

/* The loop over all pixels of all images, and most of the work. In the first pass each pixel is counted by its upper bits; later
 * only those whose value has a slot, by the lower ones. Regions are counted once. */
void pb_pixels_add(pb_pixels *pixels, const float *scores, const uint32_t *region_size, size_t count, size_t regions) {
    if (!pixels->counted)
        pixels->regions += regions;
    for (size_t i = 0; i < count; i++) {
        PB_ASSERT(scores[i] >= 0);
        const uint32_t key = key_of(scores[i]), value = key >> FINE_BITS, size = region_size ? region_size[i] : 0;
        if (!pixels->counted)
            count_pixel(&pixels->coarse[value], size);
        else if (pixels->slot[value] >= 0)
            count_pixel(&pixels->fine[(size_t)pixels->slot[value] * FINE + key % FINE], size);
    }
}

/* Collective. Replaces counts of this rank by those of all: a tally is three numbers, all of which are just added. */
static void sum_tallies(pb_pixels *pixels, tally *tallies, size_t count) {
    pb_comm_sum_array_u64(pixels->comm, &tallies->normal, count * TALLY_NUMBERS, "pixel counts");
}

/* How many normal pixels' worth of false positives pass between `above`, at which a pixel begins to count, and the limit: where
 * normal pixels score the same it counts more and more from above to above + same, as the line that joins the two points does.
 * Divided by the number of normal pixels it is an area over the false positive rate. Where the limit cuts that line, what is left
 * of it is a triangle. */
static double worth(uint64_t above, uint64_t same, double limit) {
    const double begin = (double)above, end = (double)(above + same);
    if (begin >= limit)
        return 0;
    return end <= limit ? limit - begin / 2 - end / 2 : (limit - begin) * (limit - begin) / (2 * (end - begin));
}

/* Adds what the defective pixels of one score are worth, `below` normal ones scoring less. total must be complete. Every
 * defective pixel is settled once: with its value of the first level, or with its score when that value was mixed. */
static void settle(pb_pixels *pixels, const tally *of, uint64_t below) {
    const uint64_t above = pixels->total.normal - below - of->normal;
    pixels->doubled_wins += (wide)of->defective * (2 * (wide)below + of->normal);
    pixels->overlap += (double)of->share * worth(above, of->normal, PB_PRO_LIMIT * (double)pixels->total.normal);
}

/* Where only one kind of pixel has a value the bits below it do not matter. */
static bool is_mixed(const tally *of) { return of->normal > 0 && of->defective > 0; }

/* After the first pass: how many normal pixels are below each value, the totals, and what values of one kind are worth. Two
 * loops, since settle needs the total. */
static void settle_coarse(pb_pixels *pixels) {
    for (uint32_t value = 0; value < COARSE; value++) {
        pixels->below[value] = pixels->total.normal;
        pixels->total.normal += pixels->coarse[value].normal;
        pixels->total.defective += pixels->coarse[value].defective;
        pixels->total.share += pixels->coarse[value].share;
    }
    for (uint32_t value = 0; value < COARSE; value++)
        if (pixels->coarse[value].defective > 0 && !is_mixed(&pixels->coarse[value]))
            settle(pixels, &pixels->coarse[value], pixels->below[value]);
}

/* After each other one: its values are those with a slot, in rising order, and within each the scores in rising order, so that
 * the normal pixels below are counted on the way. */
static void settle_fine(pb_pixels *pixels) {
    for (uint32_t value = 0; value < COARSE; value++) {
        if (pixels->slot[value] < 0)
            continue;
        const tally *of = pixels->fine + (size_t)pixels->slot[value] * FINE;
        for (uint64_t i = 0, below = pixels->below[value]; i < FINE; below += of[i++].normal)
            if (of[i].defective > 0)
                settle(pixels, &of[i], below);
    }
}

/* Gives slots to the next values that need one, and zeroed room to the slots. Without any left slots is 0, and counting is over.
 * Errors: PB_E_SYSTEM, of this rank alone. */
static pb_status begin_fine(pb_pixels *pixels) {
    memset(pixels->slot, 0xFF, COARSE * sizeof *pixels->slot);
    pixels->slots = 0;
    for (; pixels->next < COARSE && pixels->slots < PB_PIXELS_FINE; pixels->next++)
        if (is_mixed(&pixels->coarse[pixels->next]))
            pixels->slot[pixels->next] = (int16_t)pixels->slots++;
    pb_release(&pixels->fine);
    return pixels->slots > 0 ? pb_allocate(&pixels->fine, pixels->slots * FINE, sizeof *pixels->fine, "pixel counts") : pb_ok();
}

/* What both branches do before the agreement depends on summed counts alone, so all ranks do the same, give the same slots to the
 * same values and leave by the same return. */
pb_status pb_pixels_next(pb_pixels *pixels, bool *again) {
    *again = false;
    pb_status status = pb_ok();
    if (pixels->counted) {
        sum_tallies(pixels, pixels->fine, pixels->slots * FINE);
        settle_fine(pixels);
    } else {
        sum_tallies(pixels, pixels->coarse, COARSE);
        pixels->regions = pb_comm_sum_u64(pixels->comm, pixels->regions, "regions");
        if (pixels->regions > PB_PIXELS_REGIONS_MAX)
            return pb_fail(PB_E_UNSUPPORTED, "%llu regions of defective pixels, at most %llu", /* the same on all ranks */
                           (unsigned long long)pixels->regions, (unsigned long long)PB_PIXELS_REGIONS_MAX);
        settle_coarse(pixels);
        pixels->counted = true;
    }
    status = pb_agree(pixels->comm, begin_fine(pixels));
    *again = !pb_failed(&status) && pixels->slots > 0;
    return status;
}

/* PRO's mean over regions is a sum of shares, since the shares of a region's pixels sum up to one; the total of the shares,
 * rather than UNIT times the regions, makes a perfect map 1, however the shares were rounded. */
pb_status pb_pixels_figures(const pb_pixels *pixels, pb_pixel_figures *figures_out) {
    const tally *total = &pixels->total;
    *figures_out = (pb_pixel_figures){.normal = total->normal, .defective = total->defective, .regions = pixels->regions,
                                      .auroc = NAN, .pro = NAN};
    if (total->normal == 0 || total->defective == 0)
        return pb_fail(PB_E_INPUT, "pixel AUROC needs both kinds: %llu defective and %llu normal pixels",
                       (unsigned long long)total->defective, (unsigned long long)total->normal);
    figures_out->auroc = (double)pixels->doubled_wins / (double)(2 * (wide)total->defective * total->normal);
    figures_out->pro = pixels->overlap / ((double)total->share * PB_PRO_LIMIT * (double)total->normal);
    return pb_ok();
}
