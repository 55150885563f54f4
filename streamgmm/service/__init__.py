"""The daemon: threads, signals, counters."""
