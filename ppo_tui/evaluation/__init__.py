"""Base against tuned: what the run achieved, and what could have been achieved."""
