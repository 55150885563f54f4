"""The analysis of hops in C, an optional replacement of `streamgmm.features.analysis` that gives the same features."""
