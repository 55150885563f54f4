"""The model in the box: ten everyday sounds, for the first minute, until there is one of your own.

It was learnt from ESC-10 (K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015,
doi 10.1145/2733373.2806390). `esc10.yaml` beside it tells how, `esc10-credits.txt` who recorded the sounds.
"""

from __future__ import annotations

from importlib.resources import files

from streamgmm.errors import InputMissingError
from streamgmm.model.model import Model
from streamgmm.model.reader import parse_model

SHIPPED_NAME = "esc10.sgm"


def load_shipped_model() -> Model:
    """The model that comes with the package, read as strictly as any other.

    Raises:
        InputMissingError: it cannot be read: the installation is incomplete.
        ModelError: it is damaged.
    """
    try:
        data = files("streamgmm.model").joinpath(SHIPPED_NAME).read_bytes()
    except OSError as error:
        what = f"the model in the box cannot be read: {error.strerror}"
        raise InputMissingError(what, where=SHIPPED_NAME, hint="install streamgmm anew, or use --model FILE") from None
    return parse_model(data, SHIPPED_NAME)
