"""What comes before a run: what this machine can do, what is to be had, what can be found wrong.

For the command line and the screens, which do the same things by the same functions. Knows neither
torch nor textual; asks torch only in a process of its own.

    checkup     what this machine can do, and what is wrong with it
    preflight   what can be found wrong with a configuration before a run is made
    forecast    the memory plan of a configuration on this machine
    new_run     make a run directory and start its worker
"""
