"""Train a model on the clips of a data set (from here on: scikit-learn and scipy).

The order of the work: `extraction` measures clips and their augmented copies, `fitting` fits projection and mixtures,
`selection` chooses settings and calibration by cross-validation, `trainer` does all of it, and `enrolment` changes the
classes of a trained model. `workers` runs the jobs of all these in parallel.
"""
