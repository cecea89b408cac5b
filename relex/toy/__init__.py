"""The embedded example: additions, a base policy that rambles, and how it was built."""
