/* trouble.h, private to tests/io/: what the tests of our files need to make the machine fail and to look at what is left.
 * Failures end the test. */
#ifndef PB_TESTS_IO_TROUBLE_H
#define PB_TESTS_IO_TROUBLE_H

#include "base/status.h"

#include <stddef.h>

/* Arms the fault `specification`; the test ends when it has not the right form. */
void trouble_arm(const char *specification);

/* The names in a folder, sorted, with a blank behind each ("a b "); free() it. */
char *trouble_names(const char *folder);

/* What to do in a process of its own. */
typedef pb_status (*trouble_work)(void *context);

/* Runs `work` in a child in which no file can grow beyond `file_bytes` (SIGXFSZ ignored: write(2) then fails, as on a full
 * disk), and returns its status. The child must end by a normal exit within a minute. file_bytes < 0: no limit.
 * perturbation: if not 0, fresh heap memory is filled with a byte made from it, so that uninitialised bytes would show. */
pb_status trouble_child(trouble_work work, void *context, long file_bytes, int perturbation);

#endif
