/* scaling.h: private to tests/bench/scaling/: what both programs share, and what each brings. */
#ifndef PB_BENCH_SCALING_H
#define PB_BENCH_SCALING_H

#include "mpi/comm.h"

/* POINTS DIM PICKS QUERIES TIMES; 64 when they are none. */
int scaling_read(char **words, int count);

/* One rank's whole life. */
void scaling_rank(void);

/* Collective. Brought by each program: begins and ends counting part 0 or 1, and prints what was counted, if that is known. */
void scaling_begin(pb_comm *comm);
void scaling_end(pb_comm *comm, int part);
void scaling_print(int part);

#endif
