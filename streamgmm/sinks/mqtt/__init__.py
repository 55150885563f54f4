"""MQTT and Home Assistant: the library and the connection live in a child process that is fed with record lines.

`child`, `bridge`, `client`, `mirror`, `discovery` and `topics` run in the child, the other modules in the daemon.
"""
