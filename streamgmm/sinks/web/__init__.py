"""A page and HTTP: the server lives in a child process that is fed with record lines.

`request` and `task` belong to the daemon; the other modules run in the child.
"""
