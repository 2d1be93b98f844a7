"""TensorBoard scalars over environment steps, in the run's folder."""

from pathlib import Path

from torchpolicy.writers.base import Writer

FLUSH_SECONDS = 2


class TensorBoardWriter(Writer):
    """One event file a session; a viewer sees what is written within two seconds, and one curve over all sessions."""

    def __init__(self, run_dir: Path, resumed_at: int | None = None) -> None:
        super().__init__(run_dir, resumed_at)
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        purge_step = None if resumed_at is None else resumed_at + 1
        self._writer = SummaryWriter(str(run_dir), purge_step=purge_step, flush_secs=FLUSH_SECONDS)

    def write(self, metrics: dict[str, float], progress: float) -> None:
        steps = int(metrics["rollout/env_steps"])
        for key, value in metrics.items():
            self._writer.add_scalar(key, value, steps)

    def close(self) -> None:
        self._writer.close()
