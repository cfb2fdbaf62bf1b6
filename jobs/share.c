#include "jobs/share.h"

#include "base/memory.h"
#include "io/file.h"

#include <string.h>

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
