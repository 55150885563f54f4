"""Explanation of the output of a model at one moment of a recording, in contributions that add up."""
