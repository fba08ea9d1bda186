"""The HTTP client that authors are given: `self.http`."""
