"""The home, the workers and the command line of the tests of storage."""

from storage.conftest import a_nursery, here, home, nursery

__all__ = ["a_nursery", "here", "home", "nursery"]
