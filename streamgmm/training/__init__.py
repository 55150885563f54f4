"""From clips to a model: augmentation, fitting, calibration (from here on: scikit-learn and scipy)."""
