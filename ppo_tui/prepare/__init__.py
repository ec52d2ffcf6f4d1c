"""What comes before a run: what this machine can do, what is to be had, what can be found wrong.

For the command line and the screens, which do the same things by the same functions. Knows neither
torch nor textual; asks torch only in a process of its own.

    checkup     what this machine can do, and what is wrong with it
    models      the base models that are to be had on this machine, and why one cannot be used
    hub         the search for base models on the Hugging Face hub
    preflight   what can be found wrong with a configuration before a run is made
    forecast    the memory plan of a configuration on this machine
    new_run     make a run directory and start its worker
    load        how busy the machine is with a run
    resume      go on with a run, or begin another from its settings
"""
