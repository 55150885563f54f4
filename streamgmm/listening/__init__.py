"""Recordings processed as a live stream: from a file to hops, and from hops to events under any rule."""
