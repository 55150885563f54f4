"""From recordings to a model, and how good it is (only here: scikit-learn and scipy)."""
