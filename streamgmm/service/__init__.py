"""The daemon: threads, signals, counters and the service manager."""
