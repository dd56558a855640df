/* The bases in which a linear's input and output are, after algorithms have moved factors between
 * tensors or turned channels: a record by which errors are taken in the checkpoint's basis. */
#ifndef BS_EVAL_MODEL_BASIS_H
#define BS_EVAL_MODEL_BASIS_H

#include <stdbool.h>

#include "eval/base/error.h"

/* What a step of a basis does to the channels. */
enum bs_basis_kind {
    BS_DIAGONAL, /* values [width]: T divides channel j by values[j] */
    BS_SHIFT,    /* values [width]: T subtracts values[j] from channel j */
    BS_CENTRE,   /* values NULL: T subtracts the mean of all channels, which is lost */
    BS_HADAMARD, /* values [width] are signs: T x = H (signs * x), H of eval/linalg/hadamard.h */
    BS_MATRIX,   /* values [width][width] are T, orthogonal */
};

/* A change of basis, x' = T x, of `width` channels, each `apart` channels after the one before. The
 * last two kinds, the turns, are the same for all channels: they take each width * apart that
 * follow one another. Of the others width is that of all channels and apart 1. */
struct bs_basis {
    enum bs_basis_kind kind;
    int width, apart;
    float *values;
};

/* Changes one after the other. The first is a diagonal over all channels, of ones until something
 * is folded. */
struct bs_bases {
    int channels, count;
    struct bs_basis *list;
};

/* No change. BS_ENOMEM. */
enum bs_status bs_bases_init(struct bs_bases *bases, int channels, struct bs_error *err);
void bs_bases_release(struct bs_bases *bases);

/* `to` is of as many channels, and afterwards the same. BS_ENOMEM, and then it is no change. */
enum bs_status bs_bases_copy(struct bs_bases *to, const struct bs_bases *from,
                             struct bs_error *err);

/* Adds a copy of a change after the others. Diagonals that follow one another become one.
 * BS_ENOMEM, and then nothing is changed. */
enum bs_status bs_bases_add(struct bs_bases *bases, const struct bs_basis *basis,
                            struct bs_error *err);

/* Takes the last change back, which was no diagonal. */
void bs_bases_drop(struct bs_bases *bases);

/* True where the changes are one diagonal. */
bool bs_bases_diagonal(const struct bs_bases *bases);

/* True where the mean of the channels is lost. */
bool bs_bases_centre(const struct bs_bases *bases);

/* True where both change the channels alike. */
bool bs_bases_equal(const struct bs_bases *a, const struct bs_bases *b);

/* So many channels that follow one another are mixed among themselves only. */
int bs_bases_span(const struct bs_bases *bases);

/* x [rows][channels] = T x of each row; T^-1 x, as far as nothing is lost; T^T x, which is what a
 * row of weights that read changed channels becomes for the original ones, whatever is subtracted.
 * room: bs_bases_span floats. */
void bs_bases_apply(const struct bs_bases *bases, float *x, int rows, float *room);
void bs_bases_undo(const struct bs_bases *bases, float *x, int rows, float *room);
void bs_bases_transpose(const struct bs_bases *bases, float *x, int rows, float *room);

/* w [rows][channels] = T^-T w: what rows of weights that read the original channels become for the
 * changed ones, whatever is subtracted. room: bs_bases_span floats. */
void bs_bases_read(const struct bs_bases *bases, float *w, int rows, float *room);

/* w [count][length] = rows first to first + count - 1 of T^-1 W, of the same rows of W [channels]
 * [length]; what is subtracted stays so. first and count are multiples of the span. room: count *
 * length floats. */
void bs_bases_undo_rows(const struct bs_bases *bases, float *w, int first, int count, int length,
                        float *room);

/* to = the same change, with values of its own. BS_ENOMEM. */
enum bs_status bs_basis_copy(struct bs_basis *to, const struct bs_basis *from,
                             struct bs_error *err);

/* Whether the change is a turn: T is orthogonal. Channels that one takes together. */
bool bs_basis_turns(const struct bs_basis *basis);
int bs_basis_span(const struct bs_basis *basis);

/* x [span][length] = T x, or T^-1 x where `inverse`, of a turn. room: as x. */
void bs_basis_turn(const struct bs_basis *basis, bool inverse, float *x, int length, float *room);

#endif
