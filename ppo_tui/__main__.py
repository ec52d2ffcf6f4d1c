"""`python -m ppo_tui` is the command `ppo-tui`."""

from ppo_tui.cli import main

if __name__ == "__main__":
    main()
