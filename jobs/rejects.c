#include "jobs/rejects.h"

#include "base/log.h"

pb_rejects pb_rejects_begin(uint64_t most) { return (pb_rejects){.most = most, .first = pb_ok()}; }

void pb_rejects_add(pb_rejects *rejects, const pb_status *why) {
    pb_keep_first(&rejects->first, *why);
    rejects->count++;
    if (rejects->most > 0)
        pb_log(PB_LOG_WARN, "rejected", "bad=%llu reason=\"%s\"", (unsigned long long)rejects->count, why->message);
}

static pb_status over_budget(const pb_rejects *rejects, uint64_t count) {
    if (rejects->most == 0 && pb_failed(&rejects->first))
        return rejects->first;
    return pb_fail(PB_E_INPUT, "%llu bad images, more than --max-bad %llu allows; the first on this rank: %s",
                   (unsigned long long)count, (unsigned long long)rejects->most,
                   rejects->count ? rejects->first.message : "none");
}

pb_status pb_rejects_check(const pb_rejects *rejects) {
    return rejects->count > rejects->most ? over_budget(rejects, rejects->count) : pb_ok();
}

pb_status pb_rejects_agree(pb_comm *comm, const pb_rejects *rejects) {
    uint64_t all = pb_comm_sum_u64(comm, rejects->count, "count of bad images");
    /* Only a rank that saw one can say what was bad. */
    bool tells = all > rejects->most && rejects->count > 0;
    return pb_agree(comm, tells ? over_budget(rejects, all) : pb_ok());
}
