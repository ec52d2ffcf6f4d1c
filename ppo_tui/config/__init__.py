"""What a run is: configuration models, presets, and where each value came from.

For everyone: the command line, the screens and the worker all read a run's settings from here.
Knows neither torch nor textual.
"""
