"""A package, because a library of the tests installs one of this name that would hide a folder."""
