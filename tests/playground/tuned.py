"""A run whose adapter changes what the model writes."""

from models import perturb
from training.toys import make_trainer

from ppo_tui.training.checkpoint import save_checkpoint


def save_tuned(run, config, steps):
    """Checkpoints after these steps, each with an adapter of its own; the last trainer."""
    trainer = make_trainer(config)
    for step in steps:
        perturb(trainer.roles, scale=0.2, seed=step)
        trainer.step = step
        save_checkpoint(run.checkpoints_path, trainer, {})
    return trainer
