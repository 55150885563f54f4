"""Data sets: from a folder, a manifest or label files to clips with labels."""
