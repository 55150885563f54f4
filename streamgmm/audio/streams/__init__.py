"""Streams of samples from pipes, sockets and FFmpeg."""
