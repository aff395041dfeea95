"""Read each JSON file the way lm-eval does, so that the data sets' cache is full."""

import sys

import datasets

for file in sys.argv[1:]:
    datasets.load_dataset("json", data_files={"test": file})
