/* Scores of vectors under mixtures with diagonal covariances (see scoring.py in `model`).
 *
 * In double, and every vector by itself: what is scored beside it does not change a bit of its scores. The components of
 * a mixture fill whole packs of SCORE_LANES, the same for all levels, so that sums have one order. A level takes a pack
 * in PARTS, each as long as its registers: the compiler keeps longer vectors in memory, which takes five times as long. */

#define PARTS (SCORE_LANES / DOUBLES)
#define PROJECTED 8  /* Vectors of columns that are projected at once. */

typedef int64_t Longs __attribute__((vector_size(8 * DOUBLES)));

INLINE Doubles choose(Longs mask, Doubles values, Doubles others)
{
    return (Doubles)(((Longs)values & mask) | ((Longs)others & ~mask));
}

/* Exponential of numbers up to 0; those below -700 count as -700, which is nothing beside 1. */
INLINE Doubles exponential(Doubles values)
{
    /* Added to a small number, it leaves the nearest whole number in the lowest bits. */
    const double whole = 0x1.8p52;
    values = choose(values > -700.0, values, values * 0.0 - 700.0);
    Doubles shifted = values * 1.4426950408889634 + whole, power = shifted - whole;
    /* The logarithm of 2 in two parts, the first of which has few digits, so that its product is exact. */
    Doubles rest = values - power * 0x1.62e42fefa38p-1 - power * 0x1.ef35793c7673p-45;
    /* The Taylor series: the rest is within 0.35, and what is left out below 1e-17. */
    Doubles sum = rest * (1.0 / 6227020800.0) + 1.0 / 479001600.0;
    sum = sum * rest + 1.0 / 39916800.0;
    sum = sum * rest + 1.0 / 3628800.0;
    sum = sum * rest + 1.0 / 362880.0;
    sum = sum * rest + 1.0 / 40320.0;
    sum = sum * rest + 1.0 / 5040.0;
    sum = sum * rest + 1.0 / 720.0;
    sum = sum * rest + 1.0 / 120.0;
    sum = sum * rest + 1.0 / 24.0;
    sum = sum * rest + 1.0 / 6.0;
    sum = sum * rest + 0.5;
    sum = sum * rest + 1.0;
    sum = sum * rest + 1.0;
    /* Times 2^power, by its place in the bits of the exponent. */
    return (Doubles)((Longs)sum + ((Longs)shifted << 52));
}

/* Add the product to `n` vectors of columns of what is there; with a constant `n`, the sums stay in registers. */
INLINE void project_columns(const Mixtures *mixtures, const double *vector, int first, int n, double *projected)
{
    Doubles sums[PROJECTED];
    for (int i = 0; i < n; i++)
        sums[i] = load_doubles(projected + first + i * DOUBLES);
    for (int feature = 0; feature < mixtures->n_features; feature++) {
        const double *row = mixtures->matrix + (size_t)feature * mixtures->stride + first;
        double value = vector[feature] - mixtures->mean[feature];
        for (int i = 0; i < n; i++)
            sums[i] += value * load_doubles(row + i * DOUBLES);
    }
    for (int i = 0; i < n; i++)
        store_doubles(projected + first + i * DOUBLES, sums[i]);
}

/* Add (vector - mean) times the matrix, whose rows have zeros beyond the dimensions. */
static void project(const Mixtures *mixtures, const double *vector, double *projected)
{
    int first = 0;
    for (; first + PROJECTED * DOUBLES <= mixtures->stride; first += PROJECTED * DOUBLES)
        project_columns(mixtures, vector, first, PROJECTED, projected);
    for (; first < mixtures->stride; first += DOUBLES)
        project_columns(mixtures, vector, first, 1, projected);
}

/* Log of the sum of exponentials of `n` numbers, whole packs, none above `highest`. */
static double sum_logs(const double *logs, int n, double highest)
{
    double lanes[SCORE_LANES], sum = 0.0;
    for (int part = 0; part < PARTS; part++) {
        Doubles sums = {0};
        for (int i = part * DOUBLES; i < n; i += SCORE_LANES)
            sums += exponential(load_doubles(logs + i) - highest);
        store_doubles(lanes + part * DOUBLES, sums);
    }
    for (int i = 0; i < SCORE_LANES; i++)
        sum += lanes[i];
    return highest + log(sum);
}

/* The highest of `n` numbers, whole packs. */
static double highest_of(const double *values, int n)
{
    Doubles highest = load_doubles(values);
    for (int i = DOUBLES; i < n; i += DOUBLES) {
        Doubles others = load_doubles(values + i);
        highest = choose(others > highest, others, highest);
    }
    double top = highest[0];
    for (int i = 1; i < DOUBLES; i++)
        top = highest[i] > top ? highest[i] : top;
    return top;
}

/* Write the log densities of `n_rows` vectors, at most SCORE_ROWS, under the components of one part of a pack; those of a
 * row are `stride` numbers after those of the row before. The rows share what is loaded, and each has its own sums, which
 * stay in registers with a constant `n_rows`. */
INLINE void densities_of_part(const Mixtures *mixtures, const double *const *projected, int n_rows, int pack, int part,
                              double *logs, int stride)
{
    int n_dimensions = mixtures->n_dimensions;
    size_t place = (size_t)pack * SCORE_LANES, inside = (size_t)part * DOUBLES;
    const double *factors = mixtures->factors + place * n_dimensions + inside;
    const double *means = mixtures->means + place * n_dimensions + inside;
    Doubles sums[SCORE_ROWS];
    for (int row = 0; row < n_rows; row++)
        sums[row] = load_doubles(mixtures->log_norms + place + inside);
    for (int dimension = 0; dimension < n_dimensions; dimension++) {
        Doubles factor = load_doubles(factors + (size_t)dimension * SCORE_LANES);
        Doubles mean = load_doubles(means + (size_t)dimension * SCORE_LANES);
        for (int row = 0; row < n_rows; row++) {
            Doubles deviation = projected[row][dimension] * factor - mean;
            sums[row] -= deviation * deviation;
        }
    }
    for (int row = 0; row < n_rows; row++)
        store_doubles(logs + (size_t)row * stride, sums[row]);
}

/* Write the log densities of `n_rows` vectors, at most SCORE_ROWS, under a mixture of `n` packs from `first` on; `logs`
 * is room for `n_rows` times its components. */
INLINE void densities_of_rows(const Mixtures *mixtures, const double *const *projected, int n_rows, int first, int n,
                              double *logs, double *densities)
{
    int n_logs = n * SCORE_LANES;
    for (int pack = 0; pack < n; pack++)
        for (int part = 0; part < PARTS; part++)
            densities_of_part(mixtures, projected, n_rows, first + pack, part,
                              logs + pack * SCORE_LANES + part * DOUBLES, n_logs);
    for (int row = 0; row < n_rows; row++) {
        const double *own = logs + (size_t)row * n_logs;
        densities[row] = sum_logs(own, n_logs, highest_of(own, n_logs));
    }
}

/* Write the log densities of `n` vectors in the space of the mixtures under one of them. */
static void densities_of_mixture(const Mixtures *mixtures, const double *projected, int n, int mixture, double *logs,
                                 double *densities)
{
    int first = mixtures->starts[mixture], n_packs = mixtures->starts[mixture + 1] - first;
    for (int i = 0; i < n;) {
        const double *rows[SCORE_ROWS];
        double found[SCORE_ROWS];
        int n_rows = n - i >= SCORE_ROWS ? SCORE_ROWS : n - i >= SCORE_ROWS / 2 ? SCORE_ROWS / 2 : 1;
        for (int row = 0; row < n_rows; row++)
            rows[row] = projected + (size_t)(i + row) * mixtures->stride;
        if (n_rows == SCORE_ROWS)
            densities_of_rows(mixtures, rows, SCORE_ROWS, first, n_packs, logs, found);
        else if (n_rows == SCORE_ROWS / 2)
            densities_of_rows(mixtures, rows, SCORE_ROWS / 2, first, n_packs, logs, found);
        else
            densities_of_rows(mixtures, rows, 1, first, n_packs, logs, found);
        for (int row = 0; row < n_rows; row++, i++)
            densities[(size_t)i * mixtures->n_mixtures + mixture] = found[row];
    }
}

/* Score `n` vectors: complete each in the space of the mixtures, shape (n, stride), which holds what a bottleneck adds,
 * or zeros; and write its log densities, shape (n, n_mixtures). `logs` is room for SCORE_ROWS times the components of a
 * mixture. */
static void score(const Mixtures *mixtures, const double *vectors, int n, double *logs, double *projected,
                  double *densities)
{
    for (int i = 0; i < n; i++)
        project(mixtures, vectors + (size_t)i * mixtures->n_features, projected + (size_t)i * mixtures->stride);
    /* All vectors under one mixture, then the next: its components stay near the processor meanwhile. */
    for (int mixture = 0; mixture < mixtures->n_mixtures; mixture++)
        densities_of_mixture(mixtures, projected, n, mixture, logs, densities);
}
