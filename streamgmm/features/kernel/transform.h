/* The wavelet transform of a hop (see transform.py).
 *
 * A wavelet is a Gaussian times a rotating phase, so its real part w is even and its imaginary part v odd. With the
 * sums and differences of samples at equal distances k from the centre, each coefficient takes half of the products:
 *
 *     c = w[0] x[n] + sum over k of (w[k] (x[n + k] + x[n - k]) + i v[k] (x[n + k] - x[n - k]))
 *
 * Coefficients are `decimation` samples apart. Sorted into phases (every `decimation`-th sample, from each first one),
 * the samples that neighbouring coefficients need lie side by side, and a vector computes LANES coefficients at once,
 * each by itself. */

/* Exchange rows and columns of four times four numbers, each row `from_stride` after the one before. */
INLINE void transpose(const float *from, int from_stride, float *to, int to_stride)
{
    Quad rows[4], halves[4];
    for (int i = 0; i < 4; i++)
        memcpy(rows + i, from + i * from_stride, sizeof rows[i]);
    for (int i = 0; i < 2; i++) {
        halves[2 * i] = SHUFFLE(rows[2 * i], rows[2 * i + 1], 0, 4, 1, 5);
        halves[2 * i + 1] = SHUFFLE(rows[2 * i], rows[2 * i + 1], 2, 6, 3, 7);
    }
    for (int i = 0; i < 2; i++) {
        Quad even = SHUFFLE(halves[i], halves[i + 2], 0, 1, 4, 5), odd = SHUFFLE(halves[i], halves[i + 2], 2, 3, 6, 7);
        memcpy(to + 2 * i * to_stride, &even, sizeof even);
        memcpy(to + (2 * i + 1) * to_stride, &odd, sizeof odd);
    }
}

/* Split the samples around the centres of a group into phases. */
static void split_phases(Group *group, const float *samples)
{
    int decimation = group->decimation, stride = group->phase_stride, n_columns = group->n_rows + 2 * group->columns;
    int n_squared = decimation % 4 ? 0 : n_columns - n_columns % 4;
    /* Four samples of each of four phases at a time: their places in memory are neighbours. */
    for (int column = 0; column < n_squared; column += 4)
        for (int phase = 0; phase < decimation; phase += 4)
            transpose(samples + column * decimation + phase, decimation,
                      group->phases + phase * stride + column, stride);
    for (int phase = 0; phase < decimation; phase++)
        for (int column = n_squared; column < n_columns; column++)
            group->phases[phase * stride + column] = samples[phase + column * decimation];
}

/* Compute the coefficients of two bands; `real` and `imaginary` of the second lie `row_stride` after those of the
 * first. Two vectors of coefficients and two bands make eight independent sums, which keep the multipliers busy. */
static void transform_pair(const Group *group, const Pair *pair, float *real, float *imaginary)
{
    for (int row = 0; row < group->n_rows; row += 2 * LANES) {
        Vector real_sums[2][2] = {{{0}}}, imaginary_sums[2][2] = {{{0}}};
        const float *phases = group->phases + row;
        /* From the small ends of the wavelet to its centre, so that little is lost to rounding. */
        for (int k = pair->reach; k > 0; k--) {
            const float *taps = pair->taps + 4 * k;
            for (int i = 0; i < 2; i++) {
                Vector later = load(phases + group->later[k] + i * LANES);
                Vector earlier = load(phases + group->earlier[k] + i * LANES);
                Vector sum = later + earlier, difference = later - earlier;
                for (int band = 0; band < 2; band++) {
                    real_sums[band][i] += taps[2 * band] * sum;
                    imaginary_sums[band][i] += taps[2 * band + 1] * difference;
                }
            }
        }
        for (int i = 0; i < 2; i++)
            for (int band = 0; band < 2; band++) {
                Vector centre = load(phases + group->later[0] + i * LANES);
                int place = band * group->row_stride + row + i * LANES;
                store(real + place, real_sums[band][i] + pair->taps[2 * band] * centre);
                store(imaginary + place, imaginary_sums[band][i]);
            }
    }
}

/* Sum c[n] conj(c[n - lag]) over the hop. */
static void correlate(const float *real, const float *imaginary, int lag, int n_rows, float *sums, int stride)
{
    Vector real_sum = {0}, imaginary_sum = {0};
    for (int i = 0; i < n_rows; i += LANES) {
        Vector now_real = first(load(real + i), n_rows - i), now_imaginary = first(load(imaginary + i), n_rows - i);
        Vector past_real = load(real + i - lag), past_imaginary = load(imaginary + i - lag);
        real_sum += now_real * past_real + now_imaginary * past_imaginary;
        imaginary_sum += now_imaginary * past_real - now_real * past_imaginary;
    }
    sums[0] = total(real_sum);
    sums[stride] = total(imaginary_sum);
}

/* Measure a band of the hop: its energies, frames, power and coherences go to the end of the window. */
static void measure_band(State *state, const Group *group, int member)
{
    int band = group->first_band + member, n_rows = group->n_rows, n_bands = state->design.n_bands;
    const float *real = group->real + member * group->row_stride + group->n_past;
    const float *imaginary = group->imaginary + member * group->row_stride + group->n_past;
    float *energies = state->energies + band * state->fine_stride + state->end_fine;
    float *frames = state->frames + band * state->frame_stride + state->end_fine / FRAME_FINE;
    float *coherences = state->coherences + state->newest * N_LAGS * 2 * n_bands + band;
    for (int i = 0; i < n_rows; i += LANES) {
        Vector re = load(real + i), im = load(imaginary + i);
        store(state->squares + i, re * re + im * im);
    }
    int rows_per_fine = n_rows / state->hop_fine;
    for (int i = 0; i < state->hop_fine; i++) {
        float sum = 0.0f;
        for (int row = i * rows_per_fine; row < (i + 1) * rows_per_fine; row++)
            sum += state->squares[row];
        energies[i] = sum / rows_per_fine;
    }
    for (int i = 0; i < state->hop_frames; i++) {
        const float *fine = energies + i * FRAME_FINE;
        frames[i] = (fine[0] + fine[1]) + (fine[2] + fine[3]);
    }
    state->powers[state->newest * n_bands + band] = sum_of(state->squares, n_rows);
    for (int lag = 0; lag < N_LAGS; lag++)
        correlate(real, imaginary, group->lags[lag], n_rows, coherences + lag * 2 * n_bands, n_bands);
}

/* Transform a hop of samples, and add it to the window. */
static void transform_hop(State *state, const float *samples)
{
    int n_kept = 2 * state->design.delay_samples, n_new = state->design.hop_samples;
    float *begin = state->samples + state->margin;
    memmove(begin, begin + n_new, sizeof(float) * (size_t)n_kept);
    memcpy(begin + n_kept, samples, sizeof(float) * (size_t)n_new);
    for (int g = 0; g < state->design.n_band_groups; g++) {
        Group *group = state->groups + g;
        /* The centres of all bands lie `delay_samples` before the newest sample: they describe the same moment. */
        split_phases(group, begin + state->design.delay_samples - group->columns * group->decimation);
        for (int pair = 0; pair < group->n_pairs; pair++) {
            float *real = group->real + 2 * pair * group->row_stride;
            float *imaginary = group->imaginary + 2 * pair * group->row_stride;
            for (int band = 0; band < 2; band++) {
                size_t size = sizeof(float) * (size_t)group->n_past;
                memmove(real + band * group->row_stride, real + band * group->row_stride + group->n_rows, size);
                memmove(imaginary + band * group->row_stride, imaginary + band * group->row_stride + group->n_rows, size);
            }
            transform_pair(group, group->pairs + pair, real + group->n_past, imaginary + group->n_past);
        }
        for (int member = 0; member < group->n_bands; member++)
            measure_band(state, group, member);
    }
}
