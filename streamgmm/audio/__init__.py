"""From a device, a file or a pipe to one mono stream of samples."""
