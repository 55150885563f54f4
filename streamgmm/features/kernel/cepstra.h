/* Cepstral frames with their slopes (see cepstra.py). All rows are MAX_CEPSTRA long; those of earlier frames come first:
 * 2 * DELAY_FRAMES of `cepstra`, DELAY_FRAMES of `centred` and `is_active`. */

enum { KNOWN = 2 * DELAY_FRAMES };

/* Fit a line through each of `n` rows and its neighbours; the first row lies SLOPE_REACH rows after `rows`. */
static void fit_slopes(const double *rows, int n, double *slopes)
{
    int norm = 0;
    for (int k = 1; k <= SLOPE_REACH; k++)
        norm += 2 * k * k;
    for (int i = 0; i < n * MAX_CEPSTRA; i++) {
        const double *middle = rows + SLOPE_REACH * MAX_CEPSTRA + i;
        double sum = 0.0;
        for (int k = 1; k <= SLOPE_REACH; k++)
            sum += k * (middle[k * MAX_CEPSTRA] - middle[-k * MAX_CEPSTRA]);
        slopes[i] = sum / norm;
    }
}

/* Write the vectors of the frames that the `n` newest rows complete and that are no pauses; return their number. */
static int complete_frames(State *state, int n, double *vectors)
{
    int n_cepstra = state->design.n_cepstra, n_written = 0;
    double *slopes = state->slopes, *slopes_of_slopes = slopes + (n + DELAY_FRAMES) * MAX_CEPSTRA;
    fit_slopes(state->cepstra, n + DELAY_FRAMES, slopes);
    fit_slopes(slopes, n, slopes_of_slopes);
    for (int frame = 0; frame < n; frame++) {
        if (!state->is_active[frame])
            continue;
        for (int i = 0; i < n_cepstra; i++) {
            vectors[i] = state->centred[frame * MAX_CEPSTRA + i];
            vectors[n_cepstra + i] = slopes[(frame + SLOPE_REACH) * MAX_CEPSTRA + i];
            vectors[2 * n_cepstra + i] = slopes_of_slopes[frame * MAX_CEPSTRA + i];
        }
        vectors += 3 * n_cepstra;
        n_written++;
    }
    size_t row = sizeof(double) * MAX_CEPSTRA;
    memmove(state->cepstra, state->cepstra + n * MAX_CEPSTRA, KNOWN * row);
    memmove(state->centred, state->centred + n * MAX_CEPSTRA, DELAY_FRAMES * row);
    memmove(state->is_active, state->is_active + n, DELAY_FRAMES * sizeof(int));
    return n_written;
}

/* Add the frames of the newest hop, relative to `level`; return the number of vectors. */
static int measure_cepstra(State *state, double level, double *vectors)
{
    const Design *design = &state->design;
    int n_frames = state->hop_frames, n_bands = design->n_bands;
    float gain = (float)(1.0 / FRAME_FINE / (level > design->min_energy ? level : design->min_energy));
    const float *newest = state->frames + state->end_fine / FRAME_FINE - n_frames;
    for (int frame = 0; frame < n_frames; frame++) {
        double *cepstra = state->cepstra + (KNOWN + frame) * MAX_CEPSTRA, power = 0.0;
        double *centred = state->centred + (DELAY_FRAMES + frame) * MAX_CEPSTRA;
        float *logs = state->cepstral_logs, sums[MAX_CEPSTRA] = {0.0f};
        for (int band = 0; band < n_bands; band++) {
            float energy = newest[band * state->frame_stride + frame] * gain;
            power += energy;
            logs[band] = energy + (float)design->floor;
        }
        take_logarithms(logs, n_bands);
        for (int band = 0; band < n_bands; band++)
            for (int i = 0; i < MAX_CEPSTRA; i += LANES)
                store(sums + i, load(sums + i) + logs[band] * load(state->cepstral_cosines + band * MAX_CEPSTRA + i));
        state->cepstral_weight = design->mean_keep * state->cepstral_weight + 1.0;
        for (int i = 0; i < MAX_CEPSTRA; i++) {
            cepstra[i] = sums[i];
            state->cepstral_sum[i] = design->mean_keep * state->cepstral_sum[i] + sums[i];
            centred[i] = sums[i] - state->cepstral_sum[i] / state->cepstral_weight;
        }
        state->is_active[DELAY_FRAMES + frame] = power > design->pause_range;
    }
    if (!state->has_cepstra)
        /* Before its beginning, a stream has the spectrum of its first frame. */
        for (int frame = 0; frame < KNOWN; frame++)
            memcpy(state->cepstra + frame * MAX_CEPSTRA, state->cepstra + KNOWN * MAX_CEPSTRA,
                   sizeof(double) * MAX_CEPSTRA);
    state->has_cepstra = 1;
    return complete_frames(state, n_frames, vectors);
}

/* Complete the last frames as if the last spectrum continued; return the number of vectors. */
static int flush_cepstra(State *state, double *vectors)
{
    if (!state->has_cepstra)
        return 0;
    for (int frame = 0; frame < DELAY_FRAMES; frame++) {
        memcpy(state->cepstra + (KNOWN + frame) * MAX_CEPSTRA, state->cepstra + (KNOWN - 1) * MAX_CEPSTRA,
               sizeof(double) * MAX_CEPSTRA);
        /* The repeated frames only complete the slopes of those before them. */
        state->is_active[DELAY_FRAMES + frame] = 0;
    }
    return complete_frames(state, DELAY_FRAMES, vectors);
}
