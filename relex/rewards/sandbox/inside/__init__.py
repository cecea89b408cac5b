"""What runs inside the sandbox, with Python's standard library alone.

This folder is mounted there by itself, as the package `inside`; so its files import each other
relatively and nothing else of relex.
"""
