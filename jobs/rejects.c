/* rejects.c: counting on each rank, agreeing over all, and one list. What is kept is a row of bytes that can be gathered as it
 * is: index, path, reason, end to end, and not aligned. */
#include "jobs/rejects.h"

#include "base/log.h"
#include "base/memory.h"
#include "io/rejected_file.h"

#include <string.h>

pb_rejects pb_rejects_begin(uint64_t most) { return (pb_rejects){.most = most, .first = pb_ok(), .trouble = pb_ok()}; }

void pb_rejects_free(pb_rejects *rejects) { pb_release(&rejects->kept); }

/* Appends one; room grows to twice of what is needed. */
static pb_status keep(pb_rejects *rejects, uint64_t index, const char *path, const char *reason) {
    size_t path_size = strlen(path) + 1, reason_size = strlen(reason) + 1;
    size_t size = rejects->kept_size + sizeof index + path_size + reason_size;
    if (size > rejects->kept_room) {
        PB_TRY(pb_resize(&rejects->kept, rejects->kept_size, 2 * size, 1, "rejected images"));
        rejects->kept_room = 2 * size;
    }
    char *at = rejects->kept + rejects->kept_size;
    memcpy(at, &index, sizeof index);
    memcpy(at + sizeof index, path, path_size);
    memcpy(at + sizeof index + path_size, reason, reason_size);
    rejects->kept_size = size;
    return pb_ok();
}

void pb_rejects_add(pb_rejects *rejects, uint64_t index, const char *path, const pb_status *why) {
    pb_keep_first(&rejects->first, *why);
    rejects->count++;
    if (rejects->most > 0)
        pb_log(PB_LOG_WARN, "rejected", "bad=%llu reason=\"%s\"", (unsigned long long)rejects->count, why->message);
    if (rejects->count <= rejects->most)
        pb_keep_first(&rejects->trouble, keep(rejects, index, path, why->message));
}

/* Without a budget the first bad image is the error, as it is; with one it is told beside the count. */
static pb_status over_budget(const pb_rejects *rejects, uint64_t count) {
    if (rejects->most == 0 && pb_failed(&rejects->first))
        return rejects->first;
    return pb_fail(PB_E_INPUT, "%llu bad images, more than --max-bad %llu allows; the first on this rank: %s",
                   (unsigned long long)count, (unsigned long long)rejects->most,
                   rejects->count ? rejects->first.message : "none");
}

pb_status pb_rejects_check(const pb_rejects *rejects) {
    return rejects->count > rejects->most ? over_budget(rejects, rejects->count) : rejects->trouble;
}

/* All ranks know the sum, but only a rank that saw one has a reason: it fails, and pb_agree makes that everybody's. There is such
 * a rank when the sum is above the budget. */
pb_status pb_rejects_agree(pb_comm *comm, const pb_rejects *rejects) {
    uint64_t all = pb_comm_sum_u64(comm, rejects->count, "count of bad images");
    /* Only a rank that saw one can say what was bad. */
    bool tells = all > rejects->most && rejects->count > 0;
    return pb_agree(comm, tells ? over_budget(rejects, all) : rejects->trouble);
}

/* On rank 0: `kept` of all ranks, end to end, becomes items that point into it. pb_rejected_file_write sorts them. */
static pb_status write_all(const char *file, const char *kept, size_t size, size_t count) {
    pb_rejected_item *items;
    PB_TRY(pb_allocate(&items, count, sizeof *items, "rejected images"));
    for (size_t at = 0, i = 0; at < size; i++) {
        /* Both come from the same ranks: another number of items is a defect of this program. */
        PB_ASSERT(i < count);
        memcpy(&items[i].index, kept + at, sizeof items[i].index);
        items[i].path = kept + at + sizeof items[i].index;
        items[i].reason = items[i].path + strlen(items[i].path) + 1;
        at = (size_t)(items[i].reason - kept) + strlen(items[i].reason) + 1;
    }
    pb_status status = pb_rejected_file_write(file, items, count);
    pb_release(&items);
    return status;
}

/* The budget was kept, so what ranks have kept is everything; sizes in bytes, `count` in items. */
pb_status pb_rejects_write(pb_comm *comm, const pb_rejects *rejects, const char *file) {
    uint64_t count = pb_comm_sum_u64(comm, rejects->count, "count of bad images");
    size_t *sizes = NULL, size = 0;
    char *all = NULL;
    bool writes = pb_comm_rank(comm) == 0;
    pb_status status = pb_allocate(&sizes, (size_t)pb_comm_size(comm), sizeof *sizes, "sizes of parts");
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        status = pb_comm_gather(comm, rejects->kept, rejects->kept_size, 0, &all, sizes, "rejected images");
    if (!pb_failed(&status) && writes) {
        for (int rank = 0; rank < pb_comm_size(comm); rank++)
            size += sizes[rank];
        status = write_all(file, all, size, (size_t)count);
    }
    pb_release(&sizes);
    pb_release(&all);
    status = pb_agree(comm, status);
    if (!pb_failed(&status) && count > 0)
        pb_log_once(PB_LOG_INFO, "rejected-list", "file=\"%s\" images=%llu", file, (unsigned long long)count);
    return status;
}
