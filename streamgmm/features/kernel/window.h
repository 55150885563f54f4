/* The vector of a window (see window.py): blocks in the order of `window_layout`. */

/* Where the blocks of bands begin in the vector; the other blocks are written in their order. */
typedef struct {
    float *shape, *modulation, *rise, *kurtosis;
    double rise_deviations;
} BandBlocks;

/* Add a band to the envelopes of its group and to the entropies; measure all that concerns it alone. */
static void measure_band_window(State *state, const float *energies, int n, float gain, int band, BandBlocks *blocks)
{
    const Design *design = &state->design;
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
    float *modulation = blocks->modulation + band, *rise = blocks->rise + band;
    ScaleMeasures measures = {0};
    for (int scale = 1; scale <= LONGEST_BAND_SCALE; scale++) {
        int half = 1 << (scale - 1);
        if (scale > longest)
            ; /* Scales that do not fit repeat the longest one that does. */
        else if (scale == (SYNCHRONY_SCALE < longest ? SYNCHRONY_SCALE : longest))
            n_runs = measure_scale(logs, n_runs, half, MAGNITUDES | RISES, NULL, state->together, &measures);
        else if (holds(RISE_SCALES, scale) || scale == longest)
            n_runs = measure_scale(logs, n_runs, half, MAGNITUDES | RISES, NULL, NULL, &measures);
        else
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
            blocks->rise_deviations += measures.rise_deviation;
    }
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
static void measure_envelope(State *state, const float *log_envelope, int n, int envelope, float *modulation,
                             float *second, float *asymmetries)
{
    float min_detail = (float)state->design.min_detail, *detail = state->detail;
    int longest = longest_scale(n), n_runs = n, n_correlated = 0, starts[N_QUICK];
    ScaleMeasures measures = {0};
    memcpy(state->logs, log_envelope, sizeof(float) * (size_t)n);
    for (int scale = 1; scale <= N_SCALES; scale++) {
        if (scale <= longest)
            n_runs = measure_scale(state->logs, n_runs, 1 << (scale - 1), MAGNITUDES | CUBES | DETAIL, detail, NULL,
                                   &measures);
        modulation[(scale - 1) * N_ENVELOPES + envelope] = measures.magnitude + min_detail;
        if (holds(ASYMMETRY_SCALES, scale)) {
            asymmetries[envelope] = -measures.cubes / (measures.cube_magnitudes + min_detail * min_detail * min_detail);
            asymmetries += N_ENVELOPES;
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
    measure_second_modulations(state, n_points, second + envelope);
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

/* Write the vector of the window that ends with the newest hop; energies are relative to `level`. */
static void measure_window(State *state, double level, double *vector)
{
    const Design *design = &state->design;
    int n = state->n_stored_hops * state->hop_fine, n_bands = design->n_bands, stride = state->scratch_stride;
    size_t size = sizeof(float) * (size_t)(n + LANES);
    float gain = (float)(1.0 / (level > design->min_energy ? level : design->min_energy));
    float min_detail = (float)design->min_detail;
    float *at = state->features, *all[N_ENVELOPES];
    for (int envelope = 0; envelope < N_ENVELOPES; envelope++)
        all[envelope] = memset(state->envelopes + envelope * stride, 0, size);
    memset(state->entropies, 0, size);
    memset(state->together, 0, size);

    float *shape = at, *group_modulation = shape + n_bands;
    float *band_modulation = group_modulation + N_SCALES * N_ENVELOPES, *second = band_modulation + 2 * n_bands;
    float *correlations = second + N_QUICK * N_SLOW * N_ENVELOPES;
    float *asymmetries = correlations + 3 * N_GROUPS * (N_GROUPS - 1) / 2, *rise = asymmetries + 2 * N_ENVELOPES;
    float *kurtosis = rise + 4 * n_bands, *tonality = kurtosis + n_bands, *entropy = tonality + n_bands;
    float *synchrony = entropy + 2, *periodicity = synchrony + 2;
    float *active = periodicity + N_LAG_RANGES * N_PAIRED;

    BandBlocks blocks = {shape, band_modulation, rise, kurtosis, 0.0};
    for (int band = 0; band < n_bands; band++)
        measure_band_window(state, state->energies + band * state->fine_stride + state->end_fine - n, n, gain, band,
                            &blocks);
    float mean_shape = sum_of(shape, n_bands) / n_bands;
    for (int band = 0; band < n_bands; band++)
        shape[band] -= mean_shape;

    /* Sums of envelopes first, then all logarithms in place. */
    float *paired = state->paired;
    int paired_stride = stride + design->lag_edges[N_LAG_RANGES];
    for (int i = 0; i < n; i += LANES) {
        Vector sum = {0};
        for (int pair = 1; pair < N_PAIRED; pair++) {
            Vector both = load(all[2 * pair - 1] + i) + load(all[2 * pair] + i);
            sum += both;
            store(paired + pair * paired_stride + i, logarithm(both));
        }
        Vector log = logarithm(sum);
        store(paired + i, log);
        store(all[0] + i, log);
        store(state->entropies + i, log - load(state->entropies + i) / sum);
        for (int group = 1; group < N_ENVELOPES; group++)
            store(all[group] + i, logarithm(load(all[group] + i)));
    }
    for (int envelope = 0; envelope < N_ENVELOPES; envelope++)
        measure_envelope(state, all[envelope], n, envelope, group_modulation, second, asymmetries);
    for (int scale = 0; scale < 3; scale++)
        correlate_groups(state->correlated + scale * N_GROUPS * stride, stride, state->n_correlated[scale], min_detail,
                         correlations + scale * N_GROUPS * (N_GROUPS - 1) / 2);
    take_logarithms(group_modulation, (int)(correlations - group_modulation));
    take_logarithms(rise, (int)(tonality - rise));
    measure_tonality(state, tonality);

    double mean, deviation;
    mean_and_deviation(state->entropies, n, &mean, &deviation);
    entropy[0] = (float)mean;
    entropy[1] = (float)deviation;
    int longest = longest_scale(n);
    int n_rises = n - (1 << (SYNCHRONY_SCALE < longest ? SYNCHRONY_SCALE : longest)) + 1;
    float peak = 0.0f;
    for (int i = 0; i < n_rises; i++)
        peak = state->together[i] > peak ? state->together[i] : peak;
    mean_and_deviation(state->together, n_rises, &mean, &deviation);
    synchrony[0] = (float)(deviation / n_bands / (blocks.rise_deviations / n_bands + design->min_detail));
    synchrony[1] = (float)log(peak / n_bands / (mean / n_bands + design->min_detail) + 1.0);

    for (int pair = 0; pair < N_PAIRED; pair++)
        measure_periodicity(state, paired + pair * paired_stride, n, periodicity + pair, N_PAIRED);
    measure_active_shape(state, state->frames + (state->end_fine - n) / FRAME_FINE, n / FRAME_FINE, gain, active);
    for (int i = 0; i < design->n_features; i++)
        vector[i] = state->features[i];
}
