"""streamgmm: hears sounds that you taught it, day and night, and tells other programs."""

__version__ = "0.1.0"
