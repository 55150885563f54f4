/* Levels of frames after the low cut (see low_cut.py). */

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
    /* Two samples at a time, with the square of the poles: each state waits for the one before. */
    Modes square_real = pole_real * pole_real - pole_imaginary * pole_imaginary;
    Modes square_imaginary = 2.0 * pole_real * pole_imaginary;
    for (int n = 0; n < design->hop_samples; n += 2) {
        double sample = samples[n], later = samples[n + 1];
        Modes middle_real = pole_real * real + (sample - pole_imaginary * imaginary);
        Modes middle_imaginary = pole_real * imaginary + pole_imaginary * real;
        Modes parts = residue_real * real - residue_imaginary * imaginary;
        Modes later_parts = residue_real * middle_real - residue_imaginary * middle_imaginary;
        state->filtered[n] = (float)(design->direct * sample + ((parts[0] + parts[1]) + (parts[2] + parts[3])));
        state->filtered[n + 1] = (float)(design->direct * later + ((later_parts[0] + later_parts[1]) +
                                                                   (later_parts[2] + later_parts[3])));
        Modes next = square_real * real + ((pole_real * sample + later) - square_imaginary * imaginary);
        imaginary = square_real * imaginary + (square_imaginary * real + pole_imaginary * sample);
        real = next;
    }
    for (int i = 0; i < N_MODES; i++) {
        state->modes[2 * i] = real[i];
        state->modes[2 * i + 1] = imaginary[i];
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
            Modes sums = {0};
            int n = begin;
            for (; n + N_MODES <= end; n += N_MODES)
                for (int i = 0; i < N_MODES; i++)
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
