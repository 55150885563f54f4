/* What Python calls: the choice of a level, and the memory of designs and streams. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

#define EXPORTED __attribute__((visibility("default")))

enum { MAX_LEVELS = 3 };

/* Write the levels that this processor and its system can run, best first; return their number. */
static int find_levels(const Level **levels)
{
    int n = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    int has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
        levels[n++] = &streamgmm_avx512;
    if (has_avx2)
        levels[n++] = &streamgmm_avx2;
#endif
    levels[n++] = &streamgmm_baseline;
    return n;
}

/* The tables of one design, which all of its streams share: they begin a block of memory that holds all of them. */
typedef struct {
    State state;                    /* The beginning of each stream: tables and lengths. */
    const Level *level;
    size_t scratch_size;
} Plan;

/* A stream: its state begins the one block of memory that holds all that it remembers. */
typedef struct {
    State state;
    const Level *level;
    size_t history_begin, size;     /* What `reset` sets to zero, as offsets. */
} Stream;

/* Cuts arrays from a block; without a block, it only measures the size that is needed. */
typedef struct {
    char *block;
    size_t used;
} Arena;

static void *cut(Arena *arena, size_t count, size_t size)
{
    void *array = arena->block ? arena->block + arena->used : NULL;
    /* Whole cache lines. */
    arena->used += (count * size + 63) / 64 * 64;
    return array;
}

static float *cut_floats(Arena *arena, size_t count)
{
    return cut(arena, count, sizeof(float));
}

/* Samples on either side of the centre at which the wavelet of a band is not zero. */
static int reach_of(const GroupDesign *design, int band)
{
    int centre = design->n_taps / 2, reach = centre;
    for (; reach > 0; reach--) {
        const double *tap = design->taps + 2 * ((centre + reach) * design->n_bands + band);
        if (tap[0] != 0.0 || tap[1] != 0.0)
            break;
    }
    return reach;
}

static void fill_pair(const GroupDesign *design, int first, Pair *pair)
{
    int centre = design->n_taps / 2;
    for (int band = first; band < first + 2 && band < design->n_bands; band++)
        for (int k = 0; k <= pair->reach; k++) {
            const double *tap = design->taps + 2 * ((centre + k) * design->n_bands + band);
            pair->taps[4 * k + 2 * (band - first)] = (float)tap[0];
            pair->taps[4 * k + 2 * (band - first) + 1] = (float)tap[1];
        }
}

static void cut_group(Arena *arena, const GroupDesign *design, int hop_samples, Group *group)
{
    int decimation = design->decimation, reach = design->n_taps / 2;
    int columns = (reach + decimation - 1) / decimation, n_rows = hop_samples / decimation;
    int n_past = design->lags[0] > design->lags[1] ? design->lags[0] : design->lags[1];
    int n_pairs = (design->n_bands + 1) / 2;
    Group made = {decimation, design->first_band, design->n_bands, n_pairs, n_rows, reach, n_past,
                  {design->lags[0], design->lags[1]}, columns, n_rows + 2 * columns + PADDING, n_past + n_rows + PADDING,
                  NULL, NULL, NULL, NULL, NULL, NULL};
    made.earlier = cut(arena, reach + 1, sizeof(int32_t));
    made.later = cut(arena, reach + 1, sizeof(int32_t));
    made.pairs = cut(arena, n_pairs, sizeof(Pair));
    for (int pair = 0; pair < n_pairs; pair++) {
        int low = reach_of(design, 2 * pair), high = 2 * pair + 1 < design->n_bands ? reach_of(design, 2 * pair + 1) : 0;
        Pair made_pair = {low > high ? low : high, NULL};
        made_pair.taps = cut_floats(arena, 4 * ((size_t)made_pair.reach + 1));
        if (!arena->block)
            continue;
        fill_pair(design, 2 * pair, &made_pair);
        made.pairs[pair] = made_pair;
    }
    if (!arena->block)
        return;
    for (int k = 0; k <= reach; k++) {
        int before = columns * decimation - k, after = columns * decimation + k;
        made.earlier[k] = before % decimation * made.phase_stride + before / decimation;
        made.later[k] = after % decimation * made.phase_stride + after / decimation;
    }
    *group = made;
}

/* The design: written once. */
static void cut_tables(Arena *arena, const Design *design, State *state)
{
    state->groups = cut(arena, design->n_band_groups, sizeof(Group));
    for (int g = 0; g < design->n_band_groups; g++)
        cut_group(arena, design->groups + g, design->hop_samples, state->groups + g);
    size_t n_first = (size_t)design->hop_samples * 2 * N_MODES;
    state->first_state = cut(arena, n_first, sizeof(double));
    state->shape_cosines = cut_floats(arena, (size_t)design->n_bands * MAX_CEPSTRA);
    state->cepstral_cosines = cut_floats(arena, (size_t)design->n_bands * MAX_CEPSTRA);
    if (!arena->block)
        return;
    memcpy(state->first_state, design->first_state, n_first * sizeof(double));
    for (int band = 0; band < design->n_bands; band++) {
        for (int i = 0; i < N_SHAPE_CEPSTRA; i++)
            state->shape_cosines[band * MAX_CEPSTRA + i] = (float)design->shape_cosines[band * N_SHAPE_CEPSTRA + i];
        for (int i = 0; i < design->n_cepstra; i++)
            state->cepstral_cosines[band * MAX_CEPSTRA + i] = (float)design->cepstral_cosines[band * design->n_cepstra + i];
    }
}

/* The groups of a stream, with the tables of the plan. */
static void cut_groups(Arena *arena, const State *plan, State *state)
{
    state->groups = cut(arena, plan->design.n_band_groups, sizeof(Group));
    if (arena->block)
        memcpy(state->groups, plan->groups, sizeof(Group) * (size_t)plan->design.n_band_groups);
}

/* What a stream remembers. */
static void cut_history(Arena *arena, const State *plan, State *state)
{
    const Design *design = &plan->design;
    size_t n_bands = design->n_bands, n_hops = design->n_window_hops;
    state->margin = 0;
    for (int g = 0; g < design->n_band_groups; g++) {
        const Group *group = plan->groups + g;
        size_t size = (size_t)group->row_stride * (size_t)(group->n_bands + 1);
        float *real = cut_floats(arena, size), *imaginary = cut_floats(arena, size);
        if (arena->block) {
            state->groups[g].real = real;
            state->groups[g].imaginary = imaginary;
        }
        state->margin = group->decimation > state->margin ? group->decimation : state->margin;
    }
    state->samples = cut_floats(arena, 2 * (size_t)state->margin + 2 * design->delay_samples + design->hop_samples);
    state->energies = cut_floats(arena, n_bands * state->fine_stride);
    state->frames = cut_floats(arena, n_bands * state->frame_stride);
    state->coherences = cut_floats(arena, n_hops * N_LAGS * 2 * n_bands);
    state->powers = cut_floats(arena, n_hops * n_bands);
    state->cepstra = cut(arena, (2 * DELAY_FRAMES + state->hop_frames + DELAY_FRAMES) * MAX_CEPSTRA, sizeof(double));
    state->centred = cut(arena, (2 * DELAY_FRAMES + state->hop_frames) * MAX_CEPSTRA, sizeof(double));
    state->is_active = cut(arena, 2 * DELAY_FRAMES + state->hop_frames, sizeof(int));
}

/* Room to compute in, which no stream keeps. */
static void cut_scratch(Arena *arena, const Design *design, State *state)
{
    for (int g = 0; g < design->n_band_groups; g++) {
        Group *group = state->groups + g;
        group->phases = cut_floats(arena, (size_t)group->decimation * group->phase_stride);
    }
    size_t n_bands = design->n_bands, stride = state->scratch_stride;
    size_t n_lags = design->lag_edges[N_LAG_RANGES];
    state->filtered = cut_floats(arena, design->hop_samples);
    state->squares = cut_floats(arena, design->hop_samples + PADDING);
    state->logs = cut_floats(arena, stride);
    state->detail = cut_floats(arena, stride);
    state->entropies = cut_floats(arena, stride);
    state->together = cut_floats(arena, stride);
    state->features = cut_floats(arena, design->n_features);
    state->envelopes = cut_floats(arena, N_ENVELOPES * stride);
    state->quick = cut_floats(arena, 3 * stride);
    state->correlated = cut_floats(arena, 3 * N_GROUPS * stride);
    state->paired = cut_floats(arena, N_PAIRED * (stride + n_lags) + 4 * MAX_LANES);
    state->autocorrelation = cut_floats(arena, n_lags + 4 * MAX_LANES);
    state->courses = cut_floats(arena, N_COURSES * stride);
    state->spectra = cut_floats(arena, N_COURSES * n_bands);
    state->cepstral_logs = cut_floats(arena, n_bands);
    state->slopes = cut(arena, 2 * (size_t)(state->hop_frames + 2 * DELAY_FRAMES) * MAX_CEPSTRA, sizeof(double));
}

EXPORTED const char *streamgmm_kernel_version(void)
{
    return KERNEL_VERSION;
}

/* Name a level that can run here by its place, best first; NULL beyond the last. */
EXPORTED const char *streamgmm_kernel_level(int32_t place)
{
    const Level *levels[MAX_LEVELS];
    return place < find_levels(levels) ? levels[place]->name : NULL;
}

EXPORTED void streamgmm_kernel_reset(Stream *stream)
{
    State *state = &stream->state;
    memset((char *)stream + stream->history_begin, 0, stream->size - stream->history_begin);
    memset(state->modes, 0, sizeof state->modes);
    memset(state->cepstral_sum, 0, sizeof state->cepstral_sum);
    state->is_first = 1;
    state->level_sum = state->level_weight = 0.0;
    state->n_stored_hops = state->end_fine = state->newest = state->has_cepstra = 0;
    state->cepstral_weight = state->design.mean_prior_weight;
}

/* Return the level of that name, or NULL if there is none here. */
static const Level *find_level(const char *name)
{
    const Level *levels[MAX_LEVELS];
    for (int i = find_levels(levels) - 1; i >= 0; i--)
        if (strcmp(levels[i]->name, name) == 0)
            return levels[i];
    return NULL;
}

/* Score vectors at a level that exists here; arguments as for `score` of scoring.h. */
EXPORTED void streamgmm_kernel_score(const char *level, const Mixtures *mixtures, const double *vectors,
                                     int32_t n, double *logs, double *projected, double *densities)
{
    find_level(level)->score(mixtures, vectors, n, logs, projected, densities);
}

/* Return a new plan, or NULL without memory or without such a level; to be freed with `streamgmm_kernel_free`. */
EXPORTED Plan *streamgmm_kernel_plan(const char *level, const Design *design)
{
    Plan made = {.state = {.design = *design}, .level = find_level(level)};
    State *state = &made.state;
    if (!made.level)
        return NULL;
    state->hop_fine = design->hop_samples / design->fine_samples;
    state->hop_frames = state->hop_fine / FRAME_FINE;
    state->n_window_fine = design->n_window_hops * state->hop_fine;
    state->fine_stride = 2 * state->n_window_fine + PADDING;
    state->frame_stride = state->fine_stride / FRAME_FINE + PADDING;
    state->scratch_stride = state->n_window_fine + 4 * PADDING;
    /* Twice: first to learn the size. */
    char *block = NULL;
    for (int pass = 0; pass < 2; pass++) {
        Arena arena = {block, 0};
        cut(&arena, 1, sizeof(Plan));
        cut_tables(&arena, design, state);
        if (!block && !(block = calloc(1, arena.used)))
            return NULL;
    }
    /* Its memory is that of the caller. */
    state->design.groups = NULL;
    state->design.first_state = state->design.shape_cosines = state->design.cepstral_cosines = NULL;
    Arena scratch = {NULL, 0};
    cut_scratch(&scratch, design, state);
    made.scratch_size = scratch.used;
    memcpy(block, &made, sizeof made);
    return (Plan *)block;
}

/* Return the size of the scratch that the functions below need, in bytes; its content does not matter. */
EXPORTED size_t streamgmm_kernel_scratch_size(const Plan *plan)
{
    return plan->scratch_size;
}

/* Return a new stream, or NULL without memory; to be freed with `streamgmm_kernel_free`, before its plan. */
EXPORTED Stream *streamgmm_kernel_new(const Plan *plan)
{
    Stream made = {.state = plan->state, .level = plan->level};
    State *state = &made.state;
    char *block = NULL;
    for (int pass = 0; pass < 2; pass++) {
        Arena arena = {block, 0};
        cut(&arena, 1, sizeof(Stream));
        cut_groups(&arena, &plan->state, state);
        made.history_begin = arena.used;
        cut_history(&arena, &plan->state, state);
        made.size = arena.used;
        if (!block && !(block = calloc(1, arena.used)))
            return NULL;
    }
    memcpy(block, &made, sizeof made);
    streamgmm_kernel_reset((Stream *)block);
    return (Stream *)block;
}

/* Let a stream compute in `scratch` until the next call. */
static State *attach(Stream *stream, char *scratch)
{
    Arena arena = {scratch, 0};
    cut_scratch(&arena, &stream->state.design, &stream->state);
    return &stream->state;
}

EXPORTED void streamgmm_kernel_free(void *made)
{
    free(made);
}

/* Analyse hops; further arguments and result as for `push` of analysis.h. */
EXPORTED int32_t streamgmm_kernel_push(Stream *stream, char *scratch, float *samples, int32_t n_hops,
                                       int32_t n_last_samples, float largest, float offset, double *measures,
                                       double *cepstra)
{
    State *state = attach(stream, scratch);
    return stream->level->push(state, samples, n_hops, n_last_samples, largest, offset, measures, cepstra);
}

/* Analyse a hop of each of `n` streams of one plan, whose samples are usable; what is written is as if all hops
 * were of one stream. */
EXPORTED void streamgmm_kernel_push_stack(Stream *const *streams, char *scratch, float *samples, int32_t n,
                                          double *measures, double *cepstra)
{
    for (int i = 0; i < n; i++) {
        State *state = attach(streams[i], scratch);
        const Design *design = &state->design;
        streams[i]->level->push(state, samples, 1, design->hop_samples, INFINITY, 0.0f, measures, cepstra);
        if (cepstra)
            cepstra += (size_t)measures[0] * 3 * design->n_cepstra;
        samples += design->hop_samples;
        measures += 2 + state->hop_frames + design->n_features;
    }
}

/* Complete the last cepstral frames; return their number. */
EXPORTED int32_t streamgmm_kernel_flush(Stream *stream, char *scratch, double *cepstra)
{
    return stream->level->flush(attach(stream, scratch), cepstra);
}
