"""Sinks whose libraries and connections live in a child process that is fed with lines of records."""
