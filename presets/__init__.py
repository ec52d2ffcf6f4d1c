"""The presets that ppo-tui ships, one YAML file each; read by `ppo_tui.config.presets`."""
