"""Where, when and with which recipe runs happen."""
