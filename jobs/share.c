/* share.c: rank 0 reads, agreement, broadcast. That every rank has memory is agreed on before the bytes go out. */
#include "jobs/share.h"

#include "base/memory.h"
#include "io/file.h"

#include <stdio.h>
#include <string.h>

static const size_t LIST_BYTES_MAX = (size_t)8 << 30;

/* bytes_inout is a pointer to a pointer of any type, hence memcpy. Not rank 0: one byte more is allocated, a 0 behind texts, as
 * pb_file_read has it. */
pb_status pb_share_bytes(pb_comm *comm, pb_status read, void *bytes_inout, size_t *size) {
    char *bytes = NULL;
    bool reader = pb_comm_rank(comm) == 0;
    if (reader)
        memcpy(&bytes, bytes_inout, sizeof bytes);
    pb_status status = pb_agree(comm, reader ? read : pb_ok());
    if (!pb_failed(&status)) {
        pb_comm_broadcast(comm, size, sizeof *size, 0, "size of a shared file");
        if (!reader)
            status = pb_allocate(&bytes, *size + 1, 1, "a shared file");
        status = pb_agree(comm, status);
    }
    if (!pb_failed(&status))
        pb_comm_broadcast(comm, bytes, *size, 0, "a shared file");
    else
        pb_release(&bytes);
    memcpy(bytes_inout, &bytes, sizeof bytes);
    return status;
}

pb_status pb_read_for_all(pb_comm *comm, const char *path, size_t most, void *bytes_out, size_t *size_out) {
    char *bytes = NULL;
    pb_status status = pb_ok();
    if (pb_comm_rank(comm) == 0)
        status = pb_file_read(path, most, &bytes, size_out);
    status = pb_share_bytes(comm, status, &bytes, size_out);
    memcpy(bytes_out, &bytes, sizeof bytes);
    return status;
}

/* The name under which a list goes: messages have it, and relative paths start from its folder. */
static pb_status list_name(const char *file, const char *mvtec, char name[PB_PATH_MAX]) {
    return file ? pb_path_join(".", file, name) : pb_path_join(mvtec, "", name);
}

/* The text travels, not the list: it is one piece, and every rank parses it alike. */
pb_status pb_list_for_all(pb_comm *comm, const char *file, const char *mvtec, pb_list *list_out) {
    char *text = NULL, name[PB_PATH_MAX];
    size_t size = 0;
    *list_out = (pb_list){0};
    pb_status status = list_name(file, mvtec, name);
    if (!pb_failed(&status) && pb_comm_rank(comm) == 0)
        status = file ? pb_file_read(file, LIST_BYTES_MAX, &text, &size) : pb_list_mvtec(mvtec, &text, &size);
    status = pb_share_bytes(comm, status, &text, &size);
    if (!pb_failed(&status))
        status = pb_agree(comm, pb_list_parse(name, text, size, list_out));
    pb_release(&text);
    return status;
}

/* Rank 0 finds the edition, the others open that by its SHA-256: if each looked for the newest, an append in between would give
 * them different ones. */
pb_status pb_archive_open_for_all(pb_comm *comm, const char *folder, const char *sha256, pb_shards shards,
                                  pb_archive **archive_out) {
    char wanted[PB_SHA256_TEXT] = "";
    bool first = pb_comm_rank(comm) == 0;
    pb_status status = pb_ok();
    *archive_out = NULL;
    if (first)
        status = pb_archive_open_edition(folder, sha256, shards, archive_out);
    if (*archive_out)
        snprintf(wanted, sizeof wanted, "%s", pb_archive_sha256(*archive_out));
    status = pb_agree(comm, status);
    if (pb_failed(&status))
        return status;
    pb_comm_broadcast(comm, wanted, sizeof wanted, 0, "edition of the archive");
    if (!first)
        status = pb_archive_open_edition(folder, wanted, shards, archive_out);
    status = pb_agree(comm, status);
    if (pb_failed(&status))
        pb_archive_close(archive_out);
    return status;
}
