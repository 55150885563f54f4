"""Sinks: deliver records to stdout, files, sockets and commands, each through its own queue."""
