"""`make chaos`: workers killed at a hundred moments, and the runs none the worse for it.

    injected/sitecustomize.py   in the worker: dies at one file operation
    moments.py                  which moments there are, and the choice among them
    workers.py                  a run under fire: start, kill, start again
    invariants.py               what must hold between a kill and the next worker
    compare.py                  a finished run against one that nobody disturbed, bit for bit
    sheet.py                    the result as text and JSON

For Linux: the worker looks up what it has open in /proc.
"""
