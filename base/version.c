#include "base/version.h"

const char *pb_version(void) { return PB_VERSION_TEXT; }

const char *pb_version_commit(void) { return PB_COMMIT_TEXT; }
