"""`python -m streamgmm` is the `streamgmm` command."""

from streamgmm.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
