"""Subscribers on UNIX and TCP sockets."""
