/* version.h: which build this is; written into every output file. Not collective; thread safe. */
#ifndef PB_BASE_VERSION_H
#define PB_BASE_VERSION_H

/* "0.1.0": the version of CMakeLists.txt, project(). Static string. Recorded in every output, so that it is known what made
 * it. */
const char *pb_version(void);

/* Commit of the checkout at configure time, "-dirty" when it had changes, "unknown" outside git. Static string. */
const char *pb_version_commit(void);

#endif
