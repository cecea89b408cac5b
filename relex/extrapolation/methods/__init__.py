"""Methods, one a file; `relex/extrapolation/method.py` says what a method is."""
