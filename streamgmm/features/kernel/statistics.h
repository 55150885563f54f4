/* Haar details, and what is measured of them (see statistics.py). */

enum {
    /* As in window.py; bit j of a set stands for scale j. */
    N_SCALES = 8,
    LONGEST_BAND_SCALE = 7,
    RISE_SCALES = 1 << 1 | 1 << 3 | 1 << 5 | 1 << 7,
    N_RISE_SCALES = 4,
    BAND_SCALES = 1 << 3 | 1 << 5,
    N_BAND_SCALES = 2,
    SYNCHRONY_SCALE = 3,
    ASYMMETRY_SCALES = 1 << 4 | 1 << 6,
    N_ASYMMETRY_SCALES = 2,
    CORRELATION_SCALES = 1 << 2 | 1 << 4 | 1 << 6,
    N_CORRELATION_SCALES = 3,
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

/* What `measure_scale` does besides doubling the runs. */
enum { MAGNITUDES = 1, RISES = 2, CUBES = 4, DETAIL = 8 };

/* Measures of the details of one envelope at one scale. A longer scale that does not fit repeats them. */
typedef struct {
    int n;              /* Number of details. */
    float magnitude;    /* Mean of |d|. */
    float rise;         /* Mean rise; details are earlier minus later energies, so that a rise is negative. */
    float rise_deviation;   /* Standard deviation of the rise over time. */
    float cubes, cube_magnitudes;   /* Sums of d^3 and |d|^3. */
} ScaleMeasures;

/* Turn `n` sums of runs of `half` points into sums of twice as many; return their number.
 *
 * `actions` is a constant wherever this is called, so that no loop has more to do than its caller needs. The details go
 * to `detail`, followed by zeros; the rises are added to `together`, unless it is NULL. */
INLINE int measure_scale(float *sums, int n, int half, int actions, float *detail, float *together,
                         ScaleMeasures *measures)
{
    Vector magnitudes = {0}, rises = {0}, rise_squares = {0}, cubes = {0}, cube_magnitudes = {0};
    n -= half;
    for (int i = 0; i < n; i += LANES) {
        Vector earlier = load(sums + i), later = load(sums + i + half);
        /* In place: what later points need is not overwritten yet. */
        store(sums + i, earlier + later);
        if (!actions)
            continue;
        Vector one = first((earlier - later) * (0.5f / half), n - i);
        if (actions & DETAIL)
            store(detail + i, one);
        if (actions & MAGNITUDES)
            magnitudes += magnitude(one);
        if (actions & RISES) {
            Vector rise = (Vector)((Integers)-one & (one < 0.0f));
            rises += rise;
            if (together) {
                rise_squares += rise * rise;
                store(together + i, load(together + i) + rise);
            }
        }
        if (actions & CUBES) {
            Vector cube = one * one * one;
            cubes += cube;
            cube_magnitudes += magnitude(cube);
        }
    }
    if (actions)
        measures->n = n;
    if (actions & MAGNITUDES)
        measures->magnitude = total(magnitudes) / n;
    if (actions & RISES) {
        measures->rise = total(rises) / n;
        float variance = total(rise_squares) / n - measures->rise * measures->rise;
        measures->rise_deviation = sqrtf(variance > 0.0f ? variance : 0.0f);
    }
    if (actions & CUBES) {
        measures->cubes = total(cubes);
        measures->cube_magnitudes = total(cube_magnitudes);
    }
    return n;
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
