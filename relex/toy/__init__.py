"""The embedded example: additions, and a base policy that rambles."""
