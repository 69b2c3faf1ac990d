"""Pure functions on arrays, bytes and paths: numpy in, numpy out."""
