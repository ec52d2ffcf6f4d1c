"""The run directory: the only thing that a worker and its viewers share.

For everyone: the worker writes it, the command line and the screens read it. Nothing is imported
here, so that a viewer pays for the modules it uses only.

    paths         where runs and presets live on this machine
    atomic        a file that is wholly there or not at all
    strict_json   JSON that any parser reads: no NaN, no lone surrogates, no raw control characters
    journal       append-only files of JSON lines: writing, reading, following
    phase         the states of a run
    records       what the lines and `state.json` hold
    process       which process is meant, beyond a number that can be recycled
    lock          one worker a run
    state         `state.json`, and what a viewer concludes from it
    directory     the run directory itself: create, open, name
    control       requests of viewers to the worker
    catalog       all runs: list, find, delete
    launch        start the worker
    samples       `samples.jsonl` a step, a prompt or a rank at a time, never whole
    course        a run's metrics as far as a diagnosis needs them
    symptoms      what they look like when something is wrong
    diagnosis     what goes wrong in a run, in words, with the remedy

Knows neither torch nor a screen; imports nothing heavy.
"""
