/* From hops of samples to vectors; a level includes this file once, with LANES and LEVEL. */

#include "vectors.h"

#include "low_cut.h"
#include "transform.h"

#include "statistics.h"

#include "active_shape.h"
#include "window.h"

#include "cepstra.h"

#include "scoring.h"

/* Make room for a hop at the end of the window. */
static void advance_window(State *state)
{
    int n_hops = state->design.n_window_hops, n_kept = state->n_window_fine - state->hop_fine;
    state->newest = (state->newest + 1) % n_hops;
    if (state->end_fine + state->hop_fine <= 2 * state->n_window_fine)
        return;
    for (int band = 0; band < state->design.n_bands; band++) {
        float *energies = state->energies + band * state->fine_stride;
        float *frames = state->frames + band * state->frame_stride;
        memmove(energies, energies + state->end_fine - n_kept, sizeof(float) * (size_t)n_kept);
        memmove(frames, frames + (state->end_fine - n_kept) / FRAME_FINE, sizeof(float) * (size_t)n_kept / FRAME_FINE);
    }
    state->end_fine = n_kept;
}

/* Return the running mean of the broadband energy, without the bias of a start at zero (see `RunningLevel`). */
static double update_level(State *state)
{
    double keep = state->design.level_keep;
    /* Four sums: a single one would wait for each addition. */
    DoubleQuad sums = {0};
    for (int band = 0; band < state->design.n_bands; band++) {
        const float *energies = state->energies + band * state->fine_stride + state->end_fine - state->hop_fine;
        for (int i = 0; i < state->hop_fine; i += 4)
            for (int lane = 0; lane < 4; lane++)
                sums[lane] += energies[i + lane];
    }
    double sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    state->level_sum = keep * state->level_sum + (1.0 - keep) * sum / state->hop_fine;
    state->level_weight = keep * state->level_weight + (1.0 - keep);
    return state->level_sum / state->level_weight;
}

/* Return whether none of `n` samples, whole vectors, is beyond `largest`, or NaN. */
static int are_within(const float *samples, int n, float largest)
{
    Integers beyond = {0};
    /* No comparison with NaN holds. */
    for (int i = 0; i < n; i += LANES)
        beyond |= ~(magnitude(load(samples + i)) <= largest);
    int n_beyond = 0;
    for (int lane = 0; lane < LANES; lane++)
        n_beyond += beyond[lane] != 0;
    return n_beyond == 0;
}

/* Analyse hops after `offset` is subtracted from them in place, of whose last one `n_last_samples` count. For each hop,
 * `measures` gets the number of frame vectors, the sum of the mean squares of the frames, their levels, and the vector;
 * the frame vectors follow each other in `cepstra`, which may be NULL. Return 0, and change nothing, if a sample is
 * beyond `largest`, or NaN. */
static int push(State *state, float *samples, int n_hops, int n_last_samples, float largest, float offset,
                double *measures, double *cepstra)
{
    const Design *design = &state->design;
    int n_samples_in_all = n_hops * design->hop_samples;
    if (!are_within(samples, n_samples_in_all, largest))
        return 0;
    for (int i = 0; i < n_samples_in_all; i++)
        samples[i] -= offset;
    for (int hop = 0; hop < n_hops; hop++) {
        int n_samples = hop < n_hops - 1 ? design->hop_samples : n_last_samples;
        double *vector = measures + 2 + state->hop_frames;
        measures[1] = measure_levels(state, samples, n_samples, measures + 2);
        advance_window(state);
        transform_hop(state, samples);
        state->end_fine += state->hop_fine;
        if (state->n_stored_hops < design->n_window_hops)
            state->n_stored_hops++;
        double level = update_level(state);
        measure_window(state, level, vector);
        int n_cepstral_frames = cepstra ? measure_cepstra(state, level, cepstra) : 0;
        measures[0] = n_cepstral_frames;
        if (cepstra)
            cepstra += n_cepstral_frames * 3 * design->n_cepstra;
        samples += design->hop_samples;
        measures = vector + design->n_features;
    }
    return 1;
}

#define STRING_OF(name) #name
#define STRING(name) STRING_OF(name)
#define JOINED(left, right) left##right
#define JOIN(left, right) JOINED(left, right)

const Level JOIN(streamgmm_, LEVEL) = {STRING(LEVEL), push, flush_cepstra, score};
