/* bank_archives.c: a bank lists the archives it was made from by the SHA-256 of their manifests, in the order in which they came;
 * an archive's manifest lists its own earlier editions likewise. Whether the two have one in common is all that is asked here.
 * Lists are short: they are compared one by one. */
#include "jobs/bank_archives.h"

#include <stdio.h>

/* Editions are looked through from the oldest, so the last hit is the newest. */
size_t pb_bank_editions(const pb_attributes *attributes, const pb_archive *archive, int64_t *newest) {
    size_t count = 0;
    *newest = -1;
    for (size_t i = 0; i < pb_archive_editions(archive); i++)
        if (pb_bank_archive_number(attributes, pb_archive_edition(archive, i)->sha256) >= 0) {
            *newest = (int64_t)i;
            count++;
        }
    return count;
}

bool pb_bank_is_of(const pb_attributes *attributes, const pb_archive *archive, uint32_t number) {
    size_t i = 0, editions = pb_archive_editions(archive);
    while (i < editions && pb_bank_archive_number(attributes, pb_archive_edition(archive, i)->sha256) != (int64_t)number)
        i++;
    return i < editions;
}

/* On rank 0: only the manifest is read. */
static pb_status find_newest(const char *folder, const pb_attributes *attributes, const char *file, char sha256[PB_SHA256_TEXT]) {
    pb_archive *archive;
    int64_t newest;
    PB_TRY(pb_archive_open_edition(folder, NULL, PB_SHARDS_MAY_BE_MISSING, &archive));
    pb_status status = pb_ok();
    if (pb_bank_editions(attributes, archive, &newest) == 0) {
        const char *listed = pb_attributes_get(attributes, "archive_sha256");
        status = pb_fail(PB_E_INPUT, "%s: %s: neither is nor was an archive with the manifest sha256 %s, which the bank is of",
                         file, folder, listed ? listed : "(missing)");
    } else
        snprintf(sha256, PB_SHA256_TEXT, "%s", pb_archive_edition(archive, (size_t)newest)->sha256);
    pb_archive_close(&archive);
    return status;
}

pb_status pb_bank_newest_edition(pb_comm *comm, const char *folder, const pb_attributes *attributes, const char *file,
                                 char sha256[PB_SHA256_TEXT]) {
    pb_status status = pb_comm_rank(comm) == 0 ? find_newest(folder, attributes, file, sha256) : pb_ok();
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        pb_comm_broadcast(comm, sha256, PB_SHA256_TEXT, 0, "the edition of a bank");
    return status;
}
