/* The kernel as a program, for processors that are only emulated here: reads a design, samples and mixtures from the
 * standard input, and writes their measures and scores to the standard output, all in the order of memory. */

#include <stdio.h>
#include <stdlib.h>

#include "kernel.h"

typedef struct Plan Plan;
typedef struct Stream Stream;
const char *streamgmm_kernel_level(int32_t place);
Plan *streamgmm_kernel_plan(const char *level, const Design *design);
size_t streamgmm_kernel_scratch_size(const Plan *plan);
Stream *streamgmm_kernel_new(const Plan *plan);
int32_t streamgmm_kernel_push(Stream *stream, char *scratch, float *samples, int32_t n_hops, int32_t n_last_samples,
                              float largest, float offset, double *measures, double *cepstra);
void streamgmm_kernel_score(const char *level, const Mixtures *mixtures, const double *vectors, int32_t n, double *logs,
                            double *projected, double *densities);

static void *take(size_t count, size_t size)
{
    void *block = malloc(count * size + 1);
    if (!block || fread(block, size, count, stdin) != count)
        exit(1);
    return block;
}

static int take_count(void)
{
    int32_t *count = take(1, sizeof *count);
    return *count;
}

static void give(const void *block, size_t count, size_t size)
{
    if (fwrite(block, size, count, stdout) != count)
        exit(1);
}

static void analyse(const char *level)
{
    Design *design = take(1, sizeof *design);
    GroupDesign *groups = take(design->n_band_groups, sizeof *groups);
    for (int g = 0; g < design->n_band_groups; g++)
        groups[g].taps = take(2 * (size_t)groups[g].n_taps * groups[g].n_bands, sizeof(double));
    design->groups = groups;
    design->first_state = take((size_t)design->hop_samples * 2 * N_MODES, sizeof(double));
    design->shape_cosines = take((size_t)design->n_bands * N_SHAPE_CEPSTRA, sizeof(double));
    design->cepstral_cosines = take((size_t)design->n_bands * design->n_cepstra, sizeof(double));
    int n_hops = take_count();
    float *samples = take((size_t)n_hops * design->hop_samples, sizeof *samples);

    Plan *plan = streamgmm_kernel_plan(level, design);
    int hop_frames = design->hop_samples / design->fine_samples / FRAME_FINE;
    size_t n_measures = (size_t)n_hops * (2 + hop_frames + design->n_features);
    size_t n_cepstra = (size_t)n_hops * hop_frames * 3 * design->n_cepstra;
    double *measures = calloc(n_measures, sizeof *measures), *cepstra = calloc(n_cepstra, sizeof *cepstra);
    char *scratch = aligned_alloc(64, (streamgmm_kernel_scratch_size(plan) + 63) / 64 * 64);
    if (!streamgmm_kernel_push(streamgmm_kernel_new(plan), scratch, samples, n_hops, design->hop_samples, 1.0f, 0.0f,
                               measures, cepstra))
        exit(1);
    give(measures, n_measures, sizeof *measures);
    give(cepstra, n_cepstra, sizeof *cepstra);
}

static void score(const char *level)
{
    Mixtures *mixtures = take(1, sizeof *mixtures);
    int32_t *starts = take((size_t)mixtures->n_mixtures + 1, sizeof *starts);
    size_t n_components = (size_t)starts[mixtures->n_mixtures] * SCORE_LANES;
    mixtures->starts = starts;
    mixtures->mean = take(mixtures->n_features, sizeof(double));
    mixtures->matrix = take((size_t)mixtures->n_features * mixtures->stride, sizeof(double));
    mixtures->log_norms = take(n_components, sizeof(double));
    mixtures->factors = take(n_components * mixtures->n_dimensions, sizeof(double));
    mixtures->means = take(n_components * mixtures->n_dimensions, sizeof(double));
    int n = take_count();
    double *vectors = take((size_t)n * mixtures->n_features, sizeof *vectors);
    double *logs = calloc(SCORE_ROWS * n_components, sizeof *logs);
    double *projected = calloc((size_t)n * mixtures->stride, sizeof *projected);
    double *densities = calloc((size_t)n * mixtures->n_mixtures, sizeof *densities);
    streamgmm_kernel_score(level, mixtures, vectors, n, logs, projected, densities);
    give(densities, (size_t)n * mixtures->n_mixtures, sizeof *densities);
}

int main(void)
{
    const char *level = streamgmm_kernel_level(0);
    analyse(level);
    score(level);
    return 0;
}
