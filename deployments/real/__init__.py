"""A real language model, small enough for two CPU cores: `make real`."""
