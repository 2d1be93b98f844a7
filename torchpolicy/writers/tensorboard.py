"""TensorBoard scalars over environment steps, in the run's folder."""

from pathlib import Path

from torchpolicy.writers.base import Writer

FLUSH_SECONDS = 2


class TensorBoardWriter(Writer):
    """One event file; a viewer sees what is written within two seconds."""

    def __init__(self, run_dir: Path) -> None:
        super().__init__(run_dir)
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        self._writer = SummaryWriter(str(run_dir), flush_secs=FLUSH_SECONDS)

    def write(self, metrics: dict[str, float], progress: float) -> None:
        steps = int(metrics["rollout/env_steps"])
        for key, value in metrics.items():
            self._writer.add_scalar(key, value, steps)

    def close(self) -> None:
        self._writer.close()
