/* Mean squares of frames after the low cut (see low_cut.py). */

typedef double Modes __attribute__((vector_size(8 * N_MODES)));

/* s[n + 1] = pole s[n] + x[n];  y[n] = direct x[n] + 2 Re(sum of residue s[n]). */
static void run_low_cut(State *state, const float *samples)
{
    const Design *design = &state->design;
    Modes pole_real, pole_imaginary, residue_real, residue_imaginary, real, imaginary;
    for (int i = 0; i < N_MODES; i++) {
        pole_real[i] = design->poles[2 * i];
        pole_imaginary[i] = design->poles[2 * i + 1];
        residue_real[i] = 2.0 * design->residues[2 * i];
        residue_imaginary[i] = 2.0 * design->residues[2 * i + 1];
        real[i] = state->modes[2 * i];
        imaginary[i] = state->modes[2 * i + 1];
    }
    for (int n = 0; n < design->hop_samples; n++) {
        double sample = samples[n];
        Modes parts = residue_real * real - residue_imaginary * imaginary;
        state->filtered[n] = (float)(design->direct * sample + ((parts[0] + parts[1]) + (parts[2] + parts[3])));
        Modes next = pole_real * real + (sample - pole_imaginary * imaginary);
        imaginary = pole_real * imaginary + pole_imaginary * real;
        real = next;
    }
    for (int i = 0; i < N_MODES; i++) {
        state->modes[2 * i] = real[i];
        state->modes[2 * i + 1] = imaginary[i];
    }
}

/* Whether the samples of a block differ by less than the filter may ring. */
static int is_still(const float *samples, int n, double range)
{
    float lowest = samples[0], highest = samples[0];
    for (int i = 1; i < n; i++) {
        lowest = samples[i] < lowest ? samples[i] : lowest;
        highest = samples[i] > highest ? samples[i] : highest;
    }
    return (double)(highest - lowest) < range;
}

/* Filter a hop, of which only `n_samples` count, and measure its frames. */
static void measure_levels(State *state, const float *samples, int n_samples, double *frame_squares)
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
    for (int frame = 0; frame < state->hop_frames; frame++) {
        double sum = 0.0;
        for (int block = frame * FRAME_FINE; block < (frame + 1) * FRAME_FINE; block++) {
            int begin = block * n_fine, end = begin + n_fine < n_samples ? begin + n_fine : n_samples;
            /* Ringing after a sound must not count as level. */
            if (is_still(samples + begin, n_fine, design->still_range))
                continue;
            for (int n = begin; n < end; n++)
                sum += (double)state->filtered[n] * state->filtered[n];
        }
        frame_squares[frame] = sum / (FRAME_FINE * n_fine);
    }
}
