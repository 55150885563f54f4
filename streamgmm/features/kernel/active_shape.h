/* The cosine transform of the active part of a window (see active_shape.py). */

/* Write cos(pi order (i + 1/2) / n) for all orders, each over `n` frames and followed by zeros. */
static void write_courses(State *state, int n)
{
    int stride = state->scratch_stride;
    float *courses = state->courses, *slowest = courses + stride;
    double angle = 3.14159265358979323846 / n;
    /* The slowest one by a rotation from frame to frame, in place of a cosine for each. */
    double turn = cos(angle), turn_imaginary = sin(angle), real = cos(angle / 2), imaginary = sin(angle / 2);
    for (int i = 0; i < n; i++) {
        slowest[i] = (float)real;
        double next = real * turn - imaginary * turn_imaginary;
        imaginary = real * turn_imaginary + imaginary * turn;
        real = next;
    }
    /* Those of higher orders by Chebyshev's recurrence: cos(k x) = 2 cos(x) cos((k - 1) x) - cos((k - 2) x). */
    for (int i = 0; i < n; i += LANES) {
        Vector before = splat(1.0f), now = load(slowest + i), twice = now + now;
        store(courses + i, before);
        for (int order = 2; order < N_COURSES; order++) {
            Vector next = twice * now - before;
            store(courses + order * stride + i, next);
            before = now;
            now = next;
        }
    }
    for (int order = 0; order < N_COURSES; order++)
        memset(courses + order * stride + n, 0, sizeof(float) * LANES);
}

static void measure_active_shape(State *state, const float *frames, int n_frames, float gain, float *shape)
{
    const Design *design = &state->design;
    float *loudness = state->detail, loudest = 0.0f, floor = (float)(FRAME_FINE * design->floor);
    for (int i = 0; i < n_frames; i += LANES) {
        Vector sum = {0};
        for (int band = 0; band < design->n_bands; band++)
            sum += load(frames + band * state->frame_stride + i) * gain + floor;
        store(loudness + i, sum);
    }
    for (int i = 0; i < n_frames; i++)
        loudest = loudness[i] > loudest ? loudness[i] : loudest;
    float threshold = loudest * (float)design->shape_range;
    int begin = -1, last = 0, n_active = 0;
    for (int i = 0; i < n_frames; i++)
        if (loudness[i] >= threshold) {
            begin = begin < 0 ? i : begin;
            last = i;
            n_active++;
        }
    int n = last - begin + 1;
    write_courses(state, n);
    memset(shape, 0, sizeof(float) * N_COURSES * N_SHAPE_CEPSTRA);
    /* Time first: the sums over bands then run over N_COURSES spectra only. */
    for (int band = 0; band < design->n_bands; band++) {
        const float *from = frames + band * state->frame_stride + begin;
        Vector sums[N_COURSES] = {{0}};
        for (int i = 0; i < n; i += LANES) {
            /* Lanes beyond the part meet the zeros at the end of the courses. */
            Vector log = logarithm(load(from + i) * gain + floor);
            for (int order = 0; order < N_COURSES; order++)
                sums[order] += log * load(state->courses + order * state->scratch_stride + i);
        }
        for (int order = 0; order < N_COURSES; order++)
            state->spectra[order * design->n_bands + band] = total(sums[order]);
    }
    for (int order = 0; order < N_COURSES; order++) {
        /* Orthonormal, and divided by the root of the length (see `active_shape`). */
        float scale = (order ? sqrtf(2.0f) : 1.0f) / n, sums[MAX_CEPSTRA] = {0.0f};
        for (int band = 0; band < design->n_bands; band++)
            for (int i = 0; i < MAX_CEPSTRA; i += LANES)
                store(sums + i, load(sums + i) + state->spectra[order * design->n_bands + band] *
                                                     load(state->shape_cosines + band * MAX_CEPSTRA + i));
        for (int i = 0; i < N_SHAPE_CEPSTRA; i++)
            *shape++ = scale * sums[i];
    }
    *shape++ = logf((float)n);
    *shape = logf((float)n_active / n);
}
