"""Making of the world from Debian packages; not needed to use it."""
