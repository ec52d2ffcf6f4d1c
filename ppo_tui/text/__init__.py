"""Text for a terminal, whoever prints it: foreign text made harmless, numbers made short.

For the command line and the screens. Knows neither rich nor textual.

    plain      text of models, prompts and files, with control characters spelled out
    secrets    tokens and passwords taken out of what is written or shown
    harmless   a stream that prints foreign text for whoever reads the log with `cat`
    figures    numbers, durations, sizes and curves in few characters
    diff       which words of two texts differ
"""
