/* version.c: what the build was told on the compiler's command line (base/CMakeLists.txt), in the one file that must be built
 * anew for it. */
#include "base/version.h"

const char *pb_version(void) { return PB_VERSION_TEXT; }

const char *pb_version_commit(void) { return PB_COMMIT_TEXT; }
