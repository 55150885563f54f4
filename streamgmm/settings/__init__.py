"""Settings: typed sections, the settings file, and its schema."""
