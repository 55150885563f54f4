/* For every processor of the architecture: SSE2 on x86-64, NEON on AArch64. */

#define LANES 4
#define LEVEL baseline
#include "analysis.h"
