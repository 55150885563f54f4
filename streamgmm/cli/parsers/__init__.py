"""One module per command with its arguments alone: `--help` and mistakes in options load no library.

The code of a command is in the module of the same name in `streamgmm.cli`, and is imported when the command runs.
"""
