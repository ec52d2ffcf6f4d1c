"""A person's taste, learnt from ratings: features, model, what to ask next, what is kept of it.

Computes with numpy and scikit-learn; knows no torch and no screen. scikit-learn takes a second to
import, so it is imported where something is fitted, never with a module of this package.
"""
