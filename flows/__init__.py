"""Flows read like the paragraph that describes them."""
