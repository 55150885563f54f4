/* Haar details, and what is measured of them (see statistics.py). */

enum {
    /* As in window.py; bit j of a set stands for scale j. */
    N_SCALES = 8,
    LONGEST_BAND_SCALE = 7,
    RISE_SCALES = 1 << 1 | 1 << 3 | 1 << 5 | 1 << 7,
    BAND_SCALES = 1 << 3 | 1 << 5,
    SYNCHRONY_SCALE = 3,
    ASYMMETRY_SCALES = 1 << 4 | 1 << 6,
    CORRELATION_SCALES = 1 << 2 | 1 << 4 | 1 << 6,
    FIRST_QUICK_SCALE = 2,
    N_QUICK = 3,
    FIRST_SLOW_SCALE = 5,
    N_SLOW = 3
};

/* Return whether a scale is in a set. */
INLINE int holds(int scales, int scale)
{
    return scales >> scale & 1;
}

/* Return the longest scale whose wavelet, 2^scale points long, fits into `n` points. */
static int longest_scale(int n)
{
    int scale = 0;
    while (n >> (scale + 1))
        scale++;
    return scale;
}

/* Turn sums of runs of `half` points into sums of twice as many, and return how many there are. */
static int double_runs(float *sums, int n, int half)
{
    /* In place: what later points need is not overwritten yet. */
    for (int i = 0; i < n - half; i += LANES)
        store(sums + i, load(sums + i) + load(sums + i + half));
    return n - half;
}

/* The same, with the details of the scale: `detail` ends with zeros, which add nothing to the sums below. */
static int double_runs_with_detail(float *sums, int n, int half, float *detail)
{
    int n_details = n - half;
    for (int i = 0; i < n_details; i += LANES) {
        Vector earlier = load(sums + i), later = load(sums + i + half);
        store(detail + i, first((earlier - later) * (0.5f / half), n_details - i));
        store(sums + i, earlier + later);
    }
    return n_details;
}

/* Return the mean of |d|. */
static float mean_magnitude(const float *detail, int n)
{
    Vector sum = {0};
    for (int i = 0; i < n; i += LANES)
        sum += magnitude(load(detail + i));
    return total(sum) / n;
}

/* The rise at a detail: details are earlier minus later energies. */
INLINE Vector rise_of(Vector detail)
{
    return (Vector)((Integers)-detail & (detail < 0.0f));
}

static float mean_rise(const float *detail, int n)
{
    Vector sum = {0};
    for (int i = 0; i < n; i += LANES)
        sum += rise_of(load(detail + i));
    return total(sum) / n;
}

/* Add the rises of a band to those of all bands; return their standard deviation over time. */
static double add_rises(const float *detail, int n, float *together)
{
    Vector sum = {0}, squares = {0};
    for (int i = 0; i < n; i += LANES) {
        Vector rise = rise_of(load(detail + i));
        sum += rise;
        squares += rise * rise;
        store(together + i, load(together + i) + rise);
    }
    double mean = total(sum) / n, variance = total(squares) / n - mean * mean;
    return sqrt(variance > 0.0 ? variance : 0.0);
}

/* Return the sum of cubes over the sum of their magnitudes, with the sign changed. */
static float asymmetry(const float *detail, int n, float min_detail)
{
    Vector sum = {0}, magnitudes = {0};
    for (int i = 0; i < n; i += LANES) {
        Vector one = load(detail + i), cube = one * one * one;
        sum += cube;
        magnitudes += magnitude(cube);
    }
    return -total(sum) / (total(magnitudes) + min_detail * min_detail * min_detail);
}

static float product_sum(const float *left, const float *right, int n)
{
    Vector sum = {0};
    for (int i = 0; i < n; i += LANES)
        sum += load(left + i) * load(right + i);
    return total(sum);
}

/* Write the correlations of all pairs of groups; `details` are (N_GROUPS, stride) and are centred in place. */
static void correlate_groups(float *details, int stride, int n, float min_detail, float *correlations)
{
    float deviations[N_GROUPS];
    for (int group = 0; group < N_GROUPS; group++) {
        float *detail = details + group * stride, mean = sum_of(detail, n) / n;
        for (int i = 0; i < n; i += LANES)
            store(detail + i, first(load(detail + i) - mean, n - i));
        deviations[group] = sqrtf(product_sum(detail, detail, n) / n) + min_detail;
    }
    for (int low = 0; low < N_GROUPS; low++)
        for (int high = low + 1; high < N_GROUPS; high++) {
            float covariance = product_sum(details + low * stride, details + high * stride, n) / n;
            *correlations++ = covariance / (deviations[low] * deviations[high]);
        }
}

/* Return the sum of x[i] x[i + lag] for 4 * LANES lags from `lag` on; zeros follow the `n` points. */
INLINE void correlate_lags(const float *x, int n, int lag, float *sums)
{
    Vector even[4] = {{0}}, odd[4] = {{0}};
    /* Two chains of sums: one alone would wait for itself. */
    for (int i = 0; i < n - lag; i += 2)
        for (int part = 0; part < 4; part++) {
            even[part] += x[i] * load(x + i + lag + part * LANES);
            odd[part] += x[i + 1] * load(x + i + 1 + lag + part * LANES);
        }
    for (int part = 0; part < 4; part++)
        store(sums + part * LANES, even[part] + odd[part]);
}

/* Write the strongest normalised autocorrelation in each range of lags, `step` apart. */
static void measure_periodicity(const State *state, float *log_envelope, int n, float *maxima, int step)
{
    const int32_t *edges = state->design.lag_edges;
    int end = (int)(0.8 * n) < edges[N_LAG_RANGES] ? (int)(0.8 * n) : edges[N_LAG_RANGES];
    float mean = sum_of(log_envelope, n) / n, *sums = state->autocorrelation;
    for (int i = 0; i < n; i += LANES)
        store(log_envelope + i, first(load(log_envelope + i) - mean, n - i));
    memset(log_envelope + n, 0, sizeof(float) * (size_t)(edges[N_LAG_RANGES] + 4 * LANES + 2));
    float power = product_sum(log_envelope, log_envelope, n) / n + (float)state->design.min_detail;
    for (int lag = edges[0]; lag < end; lag += 4 * LANES)
        correlate_lags(log_envelope, n, lag, sums + lag - edges[0]);
    for (int range = 0; range < N_LAG_RANGES; range++) {
        float highest = -INFINITY;
        for (int lag = edges[range]; lag < edges[range + 1] && lag < end; lag++) {
            /* Each lag has n - lag pairs. */
            float normal = sums[lag - edges[0]] / ((n - lag) * power);
            highest = normal > highest ? normal : highest;
        }
        maxima[range * step] = edges[range] < end ? highest : 0.0f;
    }
}
