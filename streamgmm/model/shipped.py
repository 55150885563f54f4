"""The model included in the package, which detects ten everyday sounds.

It was trained on ESC-10 (K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015,
doi 10.1145/2733373.2806390). `esc10.yaml` in the same folder holds the settings of its training,
`esc10-credits.txt` the authors of the recordings.
"""

from __future__ import annotations

from importlib.resources import files

from streamgmm.errors import InputMissingError
from streamgmm.model.model import Model
from streamgmm.model.reader import parse_model

SHIPPED_NAME = "esc10.sgm"


def load_shipped_model() -> Model:
    """Load the model included in the package, with the same checks as any other.

    Raises:
        InputMissingError: the file cannot be read, because the installation is incomplete.
        ModelError: the file is damaged.
    """
    try:
        data = files("streamgmm.model").joinpath(SHIPPED_NAME).read_bytes()
    except OSError as error:
        what = f"the included model cannot be read: {error.strerror}"
        raise InputMissingError(what, where=SHIPPED_NAME, hint="reinstall streamgmm, or use --model FILE") from None
    return parse_model(data, SHIPPED_NAME)
