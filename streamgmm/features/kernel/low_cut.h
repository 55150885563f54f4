/* Levels of frames after the low cut (see low_cut.py). */

enum {
    STRIP = 2 * N_MODES,    /* Samples that are filtered at once; hops hold a whole number of strips. */
    PACKS = STRIP / DOUBLES
};

/* The filter over a strip of samples. The parts of the state are the real and the imaginary part of each mode. */
typedef struct {
    double of_sample[STRIP][STRIP];     /* What each sample adds to the output. */
    double of_state[STRIP][STRIP];      /* What each part of the state before the strip adds to it. */
    double to_state[STRIP][STRIP];      /* What each sample adds to the state after the strip. */
    double keep[STRIP], turn[STRIP];    /* Share of a part itself, and of the other part of its mode, in that state. */
} StripFilter;

/* Unroll s[n + 1] = pole s[n] + x[n];  y[n] = direct x[n] + 2 Re(sum of residue s[n]). */
static void design_strip(const Design *design, StripFilter *filter)
{
    double response[STRIP] = {design->direct};
    for (int part = 0; part < STRIP; part += 2) {
        double pole_real = design->poles[part], pole_imaginary = design->poles[part + 1];
        double residue_real = 2.0 * design->residues[part], residue_imaginary = 2.0 * design->residues[part + 1];
        double real = 1.0, imaginary = 0.0;     /* pole^n */
        for (int n = 0; n < STRIP; n++) {
            filter->of_state[part][n] = residue_real * real - residue_imaginary * imaginary;
            filter->of_state[part + 1][n] = -(residue_real * imaginary + residue_imaginary * real);
            filter->to_state[STRIP - 1 - n][part] = real;
            filter->to_state[STRIP - 1 - n][part + 1] = imaginary;
            if (n + 1 < STRIP)
                response[n + 1] += filter->of_state[part][n];
            double next = pole_real * real - pole_imaginary * imaginary;
            imaginary = pole_real * imaginary + pole_imaginary * real;
            real = next;
        }
        filter->keep[part] = filter->keep[part + 1] = real;
        filter->turn[part] = -imaginary;
        filter->turn[part + 1] = imaginary;
    }
    for (int sample = 0; sample < STRIP; sample++)
        for (int n = 0; n < STRIP; n++)
            filter->of_sample[sample][n] = n < sample ? 0.0 : response[n - sample];
}

/* Filter a hop, a strip at a time: each state waits for the one before. */
static void run_low_cut(State *state, const float *samples)
{
    StripFilter filter;
    design_strip(&state->design, &filter);
    double *modes = state->modes;
    for (int begin = 0; begin < state->design.hop_samples; begin += STRIP) {
        Doubles output[PACKS] = {{0}}, added[PACKS] = {{0}};
        for (int i = 0; i < STRIP; i++) {
            double sample = samples[begin + i];
            for (int pack = 0; pack < PACKS; pack++) {
                output[pack] += sample * load_doubles(filter.of_sample[i] + pack * DOUBLES);
                output[pack] += modes[i] * load_doubles(filter.of_state[i] + pack * DOUBLES);
                added[pack] += sample * load_doubles(filter.to_state[i] + pack * DOUBLES);
            }
        }
        for (int pack = 0; pack < PACKS; pack++) {
            int place = pack * DOUBLES;
            Doubles own = load_doubles(modes + place), other;
            for (int i = 0; i < DOUBLES; i++) {
                other[i] = own[i ^ 1];
                state->filtered[begin + place + i] = (float)output[pack][i];
            }
            added[pack] += load_doubles(filter.turn + place) * other;
            own = load_doubles(filter.keep + place) * own + added[pack];
            store_doubles(modes + place, own);
        }
    }
}

/* Return whether the samples of a block differ by less than the filter may ring. */
static int is_still(const float *samples, int n, double range)
{
    float lowest = samples[0], highest = samples[0];
    /* Sound ends this early. */
    for (int i = 1; i < n && (double)(highest - lowest) < range; i++) {
        lowest = samples[i] < lowest ? samples[i] : lowest;
        highest = samples[i] > highest ? samples[i] : highest;
    }
    return (double)(highest - lowest) < range;
}

/* Filter a hop, of which only `n_samples` count, and write the levels of its frames (dB re full scale); return the sum of
 * their mean squares. */
static double measure_levels(State *state, const float *samples, int n_samples, double *levels_db)
{
    const Design *design = &state->design;
    int n_fine = design->fine_samples;
    if (state->is_first) {
        /* Run from zero states first; what comes out shows which states the stream had before. */
        double begun[2 * N_MODES] = {0};
        run_low_cut(state, samples);
        for (int n = 0; n < design->hop_samples; n++)
            for (int i = 0; i < 2 * N_MODES; i++)
                begun[i] += state->filtered[n] * state->first_state[n * 2 * N_MODES + i];
        memcpy(state->modes, begun, sizeof begun);
        state->is_first = 0;
    }
    run_low_cut(state, samples);
    double squares = 0.0;
    for (int frame = 0; frame < state->hop_frames; frame++) {
        double sum = 0.0;
        for (int block = frame * FRAME_FINE; block < (frame + 1) * FRAME_FINE; block++) {
            int begin = block * n_fine, end = begin + n_fine < n_samples ? begin + n_fine : n_samples;
            /* Ringing after a sound must not count as level. */
            if (is_still(samples + begin, n_fine, design->still_range))
                continue;
            DoubleQuad sums = {0};
            int n = begin;
            for (; n + 4 <= end; n += 4)
                for (int i = 0; i < 4; i++)
                    sums[i] += (double)state->filtered[n + i] * state->filtered[n + i];
            for (; n < end; n++)
                sums[0] += (double)state->filtered[n] * state->filtered[n];
            sum += (sums[0] + sums[1]) + (sums[2] + sums[3]);
        }
        double square = sum / (FRAME_FINE * n_fine);
        squares += square;
        levels_db[frame] = 10.0 * log10(square > design->min_square ? square : design->min_square);
    }
    return squares;
}
