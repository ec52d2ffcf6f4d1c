"""Take home what a run has made. For the command line and the screens; knows no torch.

adapter   the tuned adapter as a folder that peft loads, with a README of how
readme    that README
"""
