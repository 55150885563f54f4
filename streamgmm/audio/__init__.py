"""Audio input: turn a device, a file, a pipe or a socket into one mono stream of samples."""
