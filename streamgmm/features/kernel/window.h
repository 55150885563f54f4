/* The vector of a window (see window.py): blocks in the order of `window_layout`. */

/* Where the blocks begin in the vector. */
typedef struct {
    float *shape, *group_modulation, *band_modulation, *second_modulation, *correlation, *asymmetry, *rise, *kurtosis;
    float *tonality, *entropy, *synchrony, *periodicity, *active_shape;
} Blocks;

enum { N_CORRELATIONS = N_GROUPS * (N_GROUPS - 1) / 2 };

static Blocks lay_out(float *features, int n_bands)
{
    Blocks blocks;
    blocks.shape = features;
    blocks.group_modulation = blocks.shape + n_bands;
    blocks.band_modulation = blocks.group_modulation + N_SCALES * N_ENVELOPES;
    blocks.second_modulation = blocks.band_modulation + N_BAND_SCALES * n_bands;
    blocks.correlation = blocks.second_modulation + N_QUICK * N_SLOW * N_ENVELOPES;
    blocks.asymmetry = blocks.correlation + N_CORRELATION_SCALES * N_CORRELATIONS;
    blocks.rise = blocks.asymmetry + N_ASYMMETRY_SCALES * N_ENVELOPES;
    blocks.kurtosis = blocks.rise + N_RISE_SCALES * n_bands;
    blocks.tonality = blocks.kurtosis + n_bands;
    blocks.entropy = blocks.tonality + n_bands;
    blocks.synchrony = blocks.entropy + 2;
    blocks.periodicity = blocks.synchrony + 2;
    blocks.active_shape = blocks.periodicity + N_LAG_RANGES * N_PAIRED;
    return blocks;
}

/* Add a band to the envelope of its group and to the entropies, and measure all that concerns it alone; return the
 * standard deviation of its rises. */
static float measure_band_window(State *state, int band, int n, float gain, const Blocks *blocks)
{
    const Design *design = &state->design;
    const float *energies = state->energies + band * state->fine_stride + state->end_fine - n;
    int group = 1, n_bands = design->n_bands;
    while (band >= design->group_edges[group])
        group++;
    float *envelope = state->envelopes + group * state->scratch_stride, *logs = state->logs;
    float floor = (float)design->floor, min_detail = (float)design->min_detail;
    Vector log_sum = {0}, sum = {0}, square_sum = {0};
    for (int i = 0; i < n; i += LANES) {
        Vector energy = load(energies + i) * gain + floor, log = logarithm(energy);
        store(logs + i, log);
        energy = first(energy, n - i);
        log_sum += first(log, n - i);
        sum += energy;
        square_sum += energy * energy;
        store(envelope + i, load(envelope + i) + energy);
        store(state->entropies + i, load(state->entropies + i) + energy * log);
    }
    float mean = total(sum) / n;
    blocks->shape[band] = total(log_sum) / n;
    blocks->kurtosis[band] = total(square_sum) / n / (mean * mean);

    int longest = longest_scale(n), n_runs = n;
    int synchrony_scale = SYNCHRONY_SCALE < longest ? SYNCHRONY_SCALE : longest;
    float *modulation = blocks->band_modulation + band, *rise = blocks->rise + band, rise_deviation = 0.0f;
    ScaleMeasures measures = {0};
    for (int scale = 1; scale <= LONGEST_BAND_SCALE; scale++) {
        int half = 1 << (scale - 1), fits = scale <= longest;
        /* Scales that do not fit repeat the longest one that does. */
        if (fits && scale == synchrony_scale)
            n_runs = measure_scale(logs, n_runs, half, MAGNITUDES | RISES, NULL, state->together, &measures);
        else if (fits && (holds(RISE_SCALES, scale) || scale == longest))
            n_runs = measure_scale(logs, n_runs, half, MAGNITUDES | RISES, NULL, NULL, &measures);
        else if (fits)
            n_runs = measure_scale(logs, n_runs, half, 0, NULL, NULL, NULL);
        if (holds(BAND_SCALES, scale)) {
            *modulation = measures.magnitude + min_detail;
            modulation += n_bands;
        }
        if (holds(RISE_SCALES, scale)) {
            *rise = measures.rise + min_detail;
            rise += n_bands;
        }
        if (scale == SYNCHRONY_SCALE)
            rise_deviation = measures.rise_deviation;
    }
    return rise_deviation;
}

/* Measure how slowly the strength of quick modulations changes: details of the logs of details. */
static void measure_second_modulations(State *state, int n_points, float *modulation)
{
    for (int quick = 0; quick < N_QUICK; quick++) {
        float *strengths = state->quick + quick * state->scratch_stride;
        int longest = longest_scale(n_points), n_runs = n_points;
        ScaleMeasures measures = {0};
        for (int scale = 1; scale < FIRST_SLOW_SCALE + N_SLOW; scale++) {
            int half = 1 << (scale - 1);
            if (scale <= longest && (scale >= FIRST_SLOW_SCALE || scale == longest))
                n_runs = measure_scale(strengths, n_runs, half, MAGNITUDES, NULL, NULL, &measures);
            else if (scale <= longest)
                n_runs = measure_scale(strengths, n_runs, half, 0, NULL, NULL, NULL);
            if (scale >= FIRST_SLOW_SCALE)
                modulation[((scale - FIRST_SLOW_SCALE) * N_QUICK + quick) * N_ENVELOPES] =
                    measures.magnitude + (float)state->design.min_detail;
        }
    }
}

/* Measure the modulations of one envelope. */
static void measure_envelope(State *state, int envelope, int n, const Blocks *blocks)
{
    const float *log_envelope = state->envelopes + envelope * state->scratch_stride;
    float *asymmetry = blocks->asymmetry + envelope, *modulation = blocks->group_modulation + envelope;
    float min_detail = (float)state->design.min_detail, *detail = state->detail;
    int longest = longest_scale(n), n_runs = n, n_correlated = 0, starts[N_QUICK];
    ScaleMeasures measures = {0};
    memcpy(state->logs, log_envelope, sizeof(float) * (size_t)n);
    for (int scale = 1; scale <= N_SCALES; scale++) {
        if (scale <= longest)
            n_runs = measure_scale(state->logs, n_runs, 1 << (scale - 1), MAGNITUDES | CUBES | DETAIL, detail, NULL,
                                   &measures);
        modulation[(scale - 1) * N_ENVELOPES] = measures.magnitude + min_detail;
        if (holds(ASYMMETRY_SCALES, scale)) {
            *asymmetry = -measures.cubes / (measures.cube_magnitudes + min_detail * min_detail * min_detail);
            asymmetry += N_ENVELOPES;
        }
        if (holds(CORRELATION_SCALES, scale)) {
            /* Without the broadband envelope, of which every group is a part. */
            float *to = state->correlated + (n_correlated * N_GROUPS + envelope - 1) * state->scratch_stride;
            if (envelope > 0)
                memcpy(to, detail, sizeof(float) * (size_t)(measures.n + LANES));
            state->n_correlated[n_correlated++] = measures.n;
        }
        int quick = scale - FIRST_QUICK_SCALE;
        if (quick >= 0 && quick < N_QUICK) {
            float *to = state->quick + quick * state->scratch_stride;
            for (int i = 0; i < measures.n; i += LANES)
                store(to + i, logarithm(magnitude(load(detail + i)) + min_detail));
            starts[quick] = measures.n;
        }
    }
    /* Long scales have fewer shifts; aligned at the end, all rows describe the same moments. */
    int n_points = starts[N_QUICK - 1];
    for (int quick = 0; quick < N_QUICK; quick++) {
        float *strengths = state->quick + quick * state->scratch_stride;
        memmove(strengths, strengths + starts[quick] - n_points, sizeof(float) * (size_t)n_points);
    }
    measure_second_modulations(state, n_points, blocks->second_modulation + envelope);
}

/* Write the mean magnitude of the normalised autocorrelation of each band. */
static void measure_tonality(const State *state, float *tonality)
{
    int n_bands = state->design.n_bands, n_hops = state->design.n_window_hops;
    for (int band = 0; band < n_bands; band++) {
        float power = (float)state->design.min_energy, sums[N_LAGS][2] = {{0.0f}};
        for (int age = n_hops - 1; age >= 0; age--) {
            int hop = (state->newest + n_hops - age) % n_hops;
            power += state->powers[hop * n_bands + band];
            for (int lag = 0; lag < N_LAGS; lag++)
                for (int part = 0; part < 2; part++)
                    sums[lag][part] += state->coherences[((hop * N_LAGS + lag) * 2 + part) * n_bands + band];
        }
        tonality[band] = 0.0f;
        for (int lag = 0; lag < N_LAGS; lag++)
            tonality[band] += hypotf(sums[lag][0], sums[lag][1]) / power / N_LAGS;
    }
}

/* Replace the envelopes by their logarithms, and the sums in `entropies` by the entropies; write the paired envelopes. */
static void take_envelope_logarithms(State *state, int n, int paired_stride)
{
    float *envelopes = state->envelopes;
    int stride = state->scratch_stride;
    for (int i = 0; i < n; i += LANES) {
        Vector sum = {0};
        for (int pair = 1; pair < N_PAIRED; pair++) {
            Vector both = load(envelopes + (2 * pair - 1) * stride + i) + load(envelopes + 2 * pair * stride + i);
            sum += both;
            store(state->paired + pair * paired_stride + i, logarithm(both));
        }
        Vector log = logarithm(sum);
        store(state->paired + i, log);
        store(envelopes + i, log);
        /* The sum of -p log p, with p = e / sum, without computing p. */
        store(state->entropies + i, log - load(state->entropies + i) / sum);
        for (int group = 1; group < N_ENVELOPES; group++)
            store(envelopes + group * stride + i, logarithm(load(envelopes + group * stride + i)));
    }
}

static void measure_synchrony(const State *state, int n, double mean_deviation, float *synchrony)
{
    int longest = longest_scale(n), n_bands = state->design.n_bands;
    int n_rises = n - (1 << (SYNCHRONY_SCALE < longest ? SYNCHRONY_SCALE : longest)) + 1;
    float peak = 0.0f;
    double mean, deviation, min_detail = state->design.min_detail;
    for (int i = 0; i < n_rises; i++)
        peak = state->together[i] > peak ? state->together[i] : peak;
    mean_and_deviation(state->together, n_rises, &mean, &deviation);
    synchrony[0] = (float)(deviation / n_bands / (mean_deviation + min_detail));
    synchrony[1] = (float)log(peak / n_bands / (mean / n_bands + min_detail) + 1.0);
}

/* Write the vector of the window that ends with the newest hop; energies are relative to `level`. */
static void measure_window(State *state, double level, double *vector)
{
    const Design *design = &state->design;
    int n = state->n_stored_hops * state->hop_fine, n_bands = design->n_bands, stride = state->scratch_stride;
    size_t size = sizeof(float) * (size_t)(n + LANES);
    float gain = (float)(1.0 / (level > design->min_energy ? level : design->min_energy));
    Blocks blocks = lay_out(state->features, n_bands);
    for (int envelope = 0; envelope < N_ENVELOPES; envelope++)
        memset(state->envelopes + envelope * stride, 0, size);
    memset(state->entropies, 0, size);
    memset(state->together, 0, size);

    double deviations = 0.0, mean, deviation;
    for (int band = 0; band < n_bands; band++)
        deviations += measure_band_window(state, band, n, gain, &blocks);
    measure_synchrony(state, n, deviations / n_bands, blocks.synchrony);
    float mean_shape = sum_of(blocks.shape, n_bands) / n_bands;
    for (int band = 0; band < n_bands; band++)
        blocks.shape[band] -= mean_shape;
    measure_tonality(state, blocks.tonality);

    int paired_stride = stride + design->lag_edges[N_LAG_RANGES];
    take_envelope_logarithms(state, n, paired_stride);
    mean_and_deviation(state->entropies, n, &mean, &deviation);
    blocks.entropy[0] = (float)mean;
    blocks.entropy[1] = (float)deviation;
    for (int envelope = 0; envelope < N_ENVELOPES; envelope++)
        measure_envelope(state, envelope, n, &blocks);
    for (int scale = 0; scale < N_CORRELATION_SCALES; scale++)
        correlate_groups(state->correlated + scale * N_GROUPS * stride, stride, state->n_correlated[scale],
                         (float)design->min_detail, blocks.correlation + scale * N_CORRELATIONS);
    for (int pair = 0; pair < N_PAIRED; pair++)
        measure_periodicity(state, state->paired + pair * paired_stride, n, blocks.periodicity + pair, N_PAIRED);
    measure_active_shape(state, state->frames + (state->end_fine - n) / FRAME_FINE, n / FRAME_FINE, gain,
                         blocks.active_shape);

    /* So far, these blocks are the means whose logarithms are the features. */
    take_logarithms(blocks.group_modulation, (int)(blocks.correlation - blocks.group_modulation));
    take_logarithms(blocks.rise, (int)(blocks.tonality - blocks.rise));
    for (int i = 0; i < design->n_features; i++)
        vector[i] = state->features[i];
}
