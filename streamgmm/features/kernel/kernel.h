/* The numbers that define an analysis, and the state of one stream. Shapes are those of the Python modules of the same
 * names; arrays of several bands or phases hold one after the other, each contiguous in time. */

#ifndef STREAMGMM_KERNEL_H
#define STREAMGMM_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#if !defined(__GNUC__)
#error "the kernel needs the vector types of GCC or Clang"
#endif

enum {
    FRAME_FINE = 4,     /* Points of the fine grid per frame. */
    N_MODES = 4,        /* Pairs of modes of the low cut. */
    N_LAGS = 2,         /* Lags of the coherences. */
    N_GROUPS = 6,       /* Groups of bands; the broadband envelope comes before them. */
    N_ENVELOPES = 1 + N_GROUPS,
    N_PAIRED = 1 + N_GROUPS / 2,
    N_LAG_RANGES = 9,   /* Ranges of the envelope periodicity. */
    N_COURSES = 6,      /* Cosine orders in time of the active shape ... */
    N_SHAPE_CEPSTRA = 14,   /* ... and along its bands. */
    MAX_CEPSTRA = 16,
    SLOPE_REACH = 3,    /* Frames on either side of a slope. */
    DELAY_FRAMES = 2 * SLOPE_REACH,
    MAX_LANES = 16,     /* Numbers in the longest vector; arrays end with room for two of them. */
    PADDING = 2 * MAX_LANES,
    SCORE_LANES = 8,    /* Numbers in a pack of scoring.h. */
    SCORE_ROWS = 8      /* Vectors that it scores at once. */
};

/* Bands of one decimation; `taps` are complex, shape (n_taps, n_bands). */
typedef struct {
    int32_t decimation, n_taps, first_band, n_bands, lags[N_LAGS];
    const double *taps;
} GroupDesign;

/* All that defines the features; mirrored by `analysis.py`. */
typedef struct {
    int32_t n_bands, n_band_groups, hop_samples, fine_samples, n_window_hops, n_cepstra, delay_samples, n_features;
    int32_t group_edges[N_GROUPS + 1], lag_edges[N_LAG_RANGES + 1];
    double floor, min_energy, min_detail, shape_range, level_keep;
    double mean_keep, mean_prior_weight, pause_range;
    double direct, poles[2 * N_MODES], residues[2 * N_MODES], still_range, min_square;
    const double *first_state;      /* (hop_samples, 2 * N_MODES) */
    const double *shape_cosines;    /* (n_bands, N_SHAPE_CEPSTRA) */
    const double *cepstral_cosines; /* (n_bands, n_cepstra) */
    const GroupDesign *groups;
} Design;

/* Two neighbouring bands, whose coefficients are computed together. */
typedef struct {
    int reach;          /* Samples on either side of the centre. */
    float *taps;        /* (reach + 1, 4): real and imaginary part of both, by distance from the centre. */
} Pair;

typedef struct {
    int decimation, first_band, n_bands, n_pairs, n_rows, reach, n_past, lags[N_LAGS];
    int columns;        /* Whole multiples of `decimation` that contain `reach`. */
    int phase_stride, row_stride;
    float *phases;      /* (decimation, phase_stride): every `decimation`-th sample, from each first one. */
    int32_t *earlier, *later;   /* (reach + 1): where in `phases` the sample at a distance before and after is. */
    float *real, *imaginary;    /* (2 * n_pairs, row_stride): coefficients, after `n_past` ones of earlier hops. */
    Pair *pairs;
} Group;

typedef struct {
    Design design;
    int hop_fine, hop_frames, n_window_fine;

    /* Low cut: see low_cut.h. */
    double modes[2 * N_MODES];
    double *first_state;
    float *filtered;
    int is_first;

    /* Transform: see transform.h. */
    int margin;         /* Zeros before and after the samples. */
    float *samples;     /* (margin + 2 * delay + hop + margin) */
    Group *groups;
    float *squares;
    double level_sum, level_weight;

    /* The window; arrays hold up to two of them, so that they move to the front once in a window only. */
    int n_stored_hops, end_fine, fine_stride, frame_stride, newest;
    float *energies;    /* (n_bands, fine_stride) */
    float *frames;      /* (n_bands, frame_stride): sums of FRAME_FINE energies. */
    float *coherences;  /* (n_window_hops, N_LAGS, 2, n_bands): real and imaginary parts, a ring of hops. */
    float *powers;      /* (n_window_hops, n_bands), likewise. */

    /* Room to compute in. */
    int scratch_stride;
    float *logs, *detail, *entropies, *together, *features;
    float *envelopes;   /* (N_ENVELOPES, scratch_stride) */
    float *quick;       /* (3, scratch_stride) */
    float *correlated;  /* (3, N_GROUPS, scratch_stride) */
    int n_correlated[3];
    float *paired, *autocorrelation;
    float *courses;     /* (N_COURSES, scratch_stride) */
    float *spectra;     /* (N_COURSES, n_bands) */
    float *shape_cosines;       /* (n_bands, MAX_CEPSTRA), zeros beyond N_SHAPE_CEPSTRA */

    /* Cepstral frames: see cepstra.h. */
    float *cepstral_cosines;    /* (n_bands, MAX_CEPSTRA), zeros beyond n_cepstra */
    float *cepstral_logs;       /* (n_bands, hop_frames) */
    double *cepstra, *centred, *slopes, cepstral_sum[MAX_CEPSTRA], cepstral_weight;
    int *is_active, has_cepstra;
} State;

/* Mixtures behind a projection; mirrored by `scoring.py`. Components follow each other in packs of SCORE_LANES; the
 * last one of a mixture is filled up with components of a weight of next to nothing. */
typedef struct {
    int32_t n_features, n_dimensions, n_mixtures;
    int32_t stride;             /* Of rows of `matrix`: `n_dimensions` or more, whole packs. */
    const double *mean;         /* (n_features) */
    const double *matrix;       /* (n_features, stride) */
    const double *log_norms;    /* (n_packs, SCORE_LANES) */
    const double *factors, *means;      /* (n_packs, n_dimensions, SCORE_LANES) */
    const int32_t *starts;      /* (n_mixtures + 1): the first pack of each mixture, then the number of packs. */
} Mixtures;

/* The same code, compiled for one set of instructions. */
typedef struct {
    const char *name;
    int (*push)(State *, float *samples, int n_hops, int n_last_samples, float largest, float offset, double *measures,
                double *cepstra);
    int (*flush)(State *, double *cepstra);
    void (*score)(const Mixtures *, const double *vectors, int n, double *logs, double *projected, double *densities);
} Level;

extern const Level streamgmm_baseline;
#if defined(__x86_64__)
extern const Level streamgmm_avx2, streamgmm_avx512;
#endif

#endif
