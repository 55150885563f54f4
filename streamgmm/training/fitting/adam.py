"""Adam: gradient descent with a step size of its own for each parameter, and a decreasing learning rate.

Kingma and Ba, ICLR, 2015, with a cosine schedule (Loshchilov and Hutter, ICLR, 2017).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamgmm.arrays import Float32Array

FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.999, 1e-8
"""Constants of Adam, as published."""


class Adam:
    """Takes the steps of one descent.

    Args:
        parameters: arrays of the shapes of those that will be changed.
        rate: learning rate at the start; it falls to 0 with the last step.
        n_steps: number of all steps.
    """

    def __init__(self, parameters: Sequence[Float32Array], rate: float, n_steps: int) -> None:
        self._rate = rate
        self._n_steps = n_steps
        self._n_done = 0
        self._firsts = [np.zeros_like(array) for array in parameters]
        self._seconds = [np.zeros_like(array) for array in parameters]

    def step(self, parameters: Sequence[Float32Array], gradients: Sequence[Float32Array]) -> list[Float32Array]:
        """Return the parameters after one more step."""
        # A double of NumPy, which would turn the arrays below into double precision unless it is converted.
        rate = 0.5 * self._rate * (1.0 + np.cos(np.pi * self._n_done / self._n_steps))
        self._n_done += 1
        # Both running means start at 0; these shares correct the bias of the first steps.
        first_share, second_share = 1.0 - FIRST_DECAY**self._n_done, 1.0 - SECOND_DECAY**self._n_done
        moved = []
        for i, (array, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            self._firsts[i] += np.float32(1.0 - FIRST_DECAY) * (gradient - self._firsts[i])
            self._seconds[i] += np.float32(1.0 - SECOND_DECAY) * (np.square(gradient) - self._seconds[i])
            deviations = np.sqrt(self._seconds[i] / np.float32(second_share)) + np.float32(EPSILON)
            moved.append(array - np.float32(rate / first_share) * self._firsts[i] / deviations)
        return moved
