"""Turn a folder of raw images and a few words into a training dataset, and measure it honestly."""

__version__ = "0.1.0"
