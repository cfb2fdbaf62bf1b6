#include "coreset/pixels.h"

#include "base/memory.h"

#include <math.h>
#include <string.h>

/* A score's 31 bits (its sign is that of +0): the value of the first level, and what is left for the second. */
enum { COARSE = 1 << 16, FINE_BITS = 15, FINE = 1 << FINE_BITS };

static const uint64_t UNIT = (uint64_t)1 << 40; /* the share of a whole region */

/* Pixels of one value. Summed over the ranks as plain numbers. */
typedef struct tally {
    uint64_t normal, defective, share; /* share: sum of UNIT / size of the defective pixels' regions */
} tally;

enum { TALLY_NUMBERS = sizeof(tally) / sizeof(uint64_t) };

__extension__ typedef unsigned __int128 wide; /* products of two numbers of pixels */

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
    double overlap;       /* sum of shares times normal pixels of the rates from where they count up to the limit */
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

/* -0 counts as +0. */
static uint32_t key_of(float score) {
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    return bits & 0x7FFFFFFFu;
}

static void count_pixel(tally *of, uint32_t region_size) {
    if (region_size == 0) {
        of->normal++;
        return;
    }
    of->defective++;
    of->share += (UNIT + region_size / 2) / region_size;
}

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

static void sum_tallies(pb_pixels *pixels, tally *tallies, size_t count) {
    pb_comm_sum_array_u64(pixels->comm, &tallies->normal, count * TALLY_NUMBERS, "pixel counts");
}

/* How many normal pixels' worth of false positives pass between `above`, at which a pixel begins to count, and the limit: where
 * normal pixels score the same it counts more and more from above to above + same, as the line that joins the two points does. */
static double worth(uint64_t above, uint64_t same, double limit) {
    const double begin = (double)above, end = (double)(above + same);
    if (begin >= limit)
        return 0;
    return end <= limit ? limit - begin / 2 - end / 2 : (limit - begin) * (limit - begin) / (2 * (end - begin));
}

/* Adds what the defective pixels of one score are worth, `below` normal ones scoring less. */
static void settle(pb_pixels *pixels, const tally *of, uint64_t below) {
    const uint64_t above = pixels->total.normal - below - of->normal;
    pixels->doubled_wins += (wide)of->defective * (2 * (wide)below + of->normal);
    pixels->overlap += (double)of->share * worth(above, of->normal, PB_PRO_LIMIT * (double)pixels->total.normal);
}

/* Where only one kind of pixel has a value the bits below it do not matter. */
static bool is_mixed(const tally *of) { return of->normal > 0 && of->defective > 0; }

/* After the first pass. */
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

/* After each other one: its values are those with a slot, in rising order. */
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

/* Gives slots to the next values that need one, and room to the slots. */
static pb_status begin_fine(pb_pixels *pixels) {
    memset(pixels->slot, 0xFF, COARSE * sizeof *pixels->slot);
    pixels->slots = 0;
    for (; pixels->next < COARSE && pixels->slots < PB_PIXELS_FINE; pixels->next++)
        if (is_mixed(&pixels->coarse[pixels->next]))
            pixels->slot[pixels->next] = (int16_t)pixels->slots++;
    pb_release(&pixels->fine);
    return pixels->slots > 0 ? pb_allocate(&pixels->fine, pixels->slots * FINE, sizeof *pixels->fine, "pixel counts") : pb_ok();
}

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
