"""Speed on this machine: features and the whole pipeline, beside other libraries in the same run."""
