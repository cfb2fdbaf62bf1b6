#include "jobs/brightness.h"

#include "base/memory.h"
#include "jobs/provenance.h"

#include <math.h>
#include <stdio.h>

static const char *const STAT_NAMES[PB_BRIGHTNESS_STATS] = {"mean", "deviation", "gradient", "percentile1"};

static void fit(double (*stats)[PB_BRIGHTNESS_STATS], size_t count, pb_brightness_model *model) {
    for (int k = 0; k < PB_BRIGHTNESS_STATS; k++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < count; i++)
            sum += stats[i][k];
        double mean = count ? sum / (double)count : 0;
        for (size_t i = 0; i < count; i++)
            squares += (stats[i][k] - mean) * (stats[i][k] - mean);
        model->mean[k] = mean;
        model->deviation[k] = count ? sqrt(squares / (double)count) : 0;
    }
}

pb_status pb_brightness_fit(pb_comm *comm, double (*stats)[PB_BRIGHTNESS_STATS], size_t count, pb_brightness_model *model) {
    *model = (pb_brightness_model){0};
    size_t *sizes, total = 0;
    double(*all)[PB_BRIGHTNESS_STATS] = NULL;
    pb_status status = pb_allocate(&sizes, (size_t)pb_comm_size(comm), sizeof *sizes, "sizes of parts");
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        status = pb_comm_gather(comm, stats, count * sizeof *stats, 0, &all, sizes, "brightness statistics");
    if (!pb_failed(&status) && pb_comm_rank(comm) == 0) {
        for (int rank = 0; rank < pb_comm_size(comm); rank++)
            total += sizes[rank] / sizeof *stats;
        fit(all, total, model);
    }
    pb_release(&sizes);
    pb_release(&all);
    return status;
}

double pb_brightness_score(const pb_brightness_model *model, const double stats[PB_BRIGHTNESS_STATS]) {
    double score = 0;
    for (int k = 0; k < PB_BRIGHTNESS_STATS; k++) {
        double z = model->deviation[k] > 0 ? (stats[k] - model->mean[k]) / model->deviation[k] : 0;
        score += z * z;
    }
    return score;
}

static void name_of(int k, const char *what, char name[64]) { snprintf(name, 64, "brightness.%s.%s", STAT_NAMES[k], what); }

pb_status pb_brightness_store(const pb_brightness_model *model, pb_attributes *attributes) {
    char name[64];
    for (int k = 0; k < PB_BRIGHTNESS_STATS; k++) {
        name_of(k, "mean", name);
        PB_TRY(pb_attributes_set_real(attributes, name, model->mean[k]));
        name_of(k, "deviation", name);
        PB_TRY(pb_attributes_set_real(attributes, name, model->deviation[k]));
    }
    return pb_ok();
}

pb_status pb_brightness_load(const pb_attributes *attributes, const char *file, pb_brightness_model *model) {
    char name[64];
    for (int k = 0; k < PB_BRIGHTNESS_STATS; k++) {
        name_of(k, "mean", name);
        PB_TRY(pb_attributes_get_real(attributes, file, name, &model->mean[k]));
        name_of(k, "deviation", name);
        PB_TRY(pb_attributes_get_real(attributes, file, name, &model->deviation[k]));
    }
    return pb_ok();
}
