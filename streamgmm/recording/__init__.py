"""Recording of training clips: takes cut from a stream, their quality, and files that replace none."""
