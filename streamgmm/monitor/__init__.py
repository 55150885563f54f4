"""The view of a running daemon in a terminal."""
