"""Property tests have no deadline: a loaded machine must not fail them."""

from hypothesis import settings

settings.register_profile("ppo-tui", deadline=None)
settings.load_profile("ppo-tui")
