/* update.h: private to jobs/: the state of an update, shared by its steps: update.c (the job), update_forget.c and update_bank.c.
 *
 * An update goes on where a bank's selection stopped: its rows are the first centres, the patches of new images the candidates,
 * and picks are made until these are covered as well as the bank's own images are. Rows stay, so what they cover they still do
 * (docs/decisions/0031).
 *
 * Three radii are told apart, all in the space of selection: `enough`, what is aimed at; `held`, within what the old images'
 * patches are by the rows that stay; given_radius, within what the new ones are by these alone. */
#ifndef PB_JOBS_UPDATE_H
#define PB_JOBS_UPDATE_H

#include "io/bank_file.h"
#include "jobs/bank_choice.h"
#include "jobs/forget.h"
#include "jobs/train.h"

/* Attribute of updated banks: what updates aim at. */
#define PB_UPDATE_AIM "update_radius"

/* One rank's state, but for `training` the same on every rank. Zeroed it is empty. */
typedef struct pb_update {
    const pb_bank_choice *choice; /* borrowed */
    pb_training training; /* of the new images; its job is the choice's */
    pb_forget forget;     /* what --forget lists */
    pb_bank bank;            /* the old bank, on every rank; after pb_update_forget its rows that stay */
    float *centres;          /* [bank.rows][selection dims] they, as selection sees them */
    float enough;            /* what new images are to be covered within: the radius that the bank was trained to have */
    float held;              /* largest distance of a patch of the old bank's images to a row that stays */
    bool held_exactly;       /* else it is at most that */
    uint64_t rows_forgotten; /* the same on every rank */
    uint64_t images_left_out; /* of the archive's training images, over all ranks: those to be forgotten */
    int64_t archive;         /* number of the archive's opened edition among the old bank's archives, -1: it is new */
    bool whole; /* all that the bank was ever made from are editions of the archive: nothing is taken on trust */
    float given_radius;      /* largest distance of a new patch to a row that stays; 0: there is no new patch */
} pb_update;

/* --- update_forget.c --- */

/* Collective. Takes the rows of listed images out of u->bank and u->centres. Where rows left, u->held grows by the largest
 * distance of such a row to one that stays (triangle inequality), rounded up, and is a bound. Errors, agreed: those of
 * pb_search_create; PB_E_INPUT when no row would be left. */
PB_CHECKED pb_status pb_update_forget(pb_update *u);

/* --- update_bank.c --- */

/* Collective. Collects the new rows and writes --bank-out: the rows that stay in their order, then the new ones in theirs.
 * Errors, agreed: those of pb_train_collect; on rank 0 pb_bank_write's; PB_E_INPUT when a count among the old bank's attributes
 * is no number. */
PB_CHECKED pb_status pb_update_write(pb_update *u);

#endif
