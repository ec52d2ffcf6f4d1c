"""Text for a terminal, whoever prints it: foreign text made harmless, numbers made short.

For the command line and the screens. Knows neither rich nor textual.

    plain      text of models, prompts and files, with control characters spelled out
    figures    numbers, durations, sizes and curves in few characters
    diff       which words of two texts differ
"""
