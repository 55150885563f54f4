"""Recordings as a microphone would have heard them: from a file to hops, and from hops to events under any rule."""
