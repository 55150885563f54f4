"""The `streamgmm` command, and `python -m streamgmm`."""

import sys

from streamgmm.signals import ignore_unused_signals


def main() -> int:
    """Run one command (see `streamgmm.cli.main`); for a daemon, signals are set aside before the long imports."""
    if next((word for word in sys.argv[1:] if not word.startswith("-")), None) == "run":
        ignore_unused_signals()
    from streamgmm.cli.main import main as run_command

    return run_command()


if __name__ == "__main__":
    raise SystemExit(main())
