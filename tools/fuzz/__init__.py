"""`make fuzz`: a hundred thousand files that nobody would write, and a sentence for each.

inputs.py   what is made of a valid file: pieces torn, doubled, moved, put in from elsewhere
valid.py    the valid files
parts.py    what is fed: configurations, journals, checkpoints, run directories, prompts, rewards
bounds.py   the time and the memory that one input may take
"""
