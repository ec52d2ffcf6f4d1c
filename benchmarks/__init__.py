"""What ppo-tui is measured by; each module is run by a `make` target and writes to `results/`."""
