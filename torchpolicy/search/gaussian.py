"""What searches have in common that draw their candidates from a diagonal Gaussian around the center."""

from typing import Any

from torch import Tensor

from torchpolicy.search.base import Search
from torchpolicy.vectors.bounds import Bound
from torchpolicy.vectors.noise import DenseNoise, Noise
from torchpolicy.vectors.population import Candidates, Population
from torchpolicy.vectors.std import check_std


class GaussianSearch(Search):
    """A search whose candidates are center + std * noise.

    Its ``_update`` gets a :class:`Population`, whose weighted sums need no candidate in full. Arguments that are not
    described here are those of :class:`Search`.

    Args:
        std: Standard deviation of the first samples, one number or (D,).
        noise: Noise that candidates are drawn with. If not set, every number has its own, and none come in pairs.

    Attributes:
        noise: How candidates are drawn.
        initial_std: (D,), standard deviation of the first samples.

    Raises:
        ValueError: If an argument is out of range, or the noise cannot have that std.
    """

    def __init__(
        self,
        center: Tensor,
        *,
        population: int | None,
        std: float | Tensor,
        noise: Noise | None = None,
        seed: int,
        maximize: bool,
        weight_decay: float = 0.0,
        bounds: tuple[Bound, Bound] | None = None,
    ) -> None:
        self.noise = noise or DenseNoise()
        mirrored = self.noise.mirrored
        super().__init__(
            center,
            population=population,
            seed=seed,
            maximize=maximize,
            mirrored=mirrored,
            weight_decay=weight_decay,
            bounds=bounds,
        )
        self.noise_rank = self.noise.rank
        if bounds is not None and self.noise_rank:
            raise ValueError("bounds do not go with noise_rank: candidates of a low rank are never written out in full")
        self.initial_std = check_std(std, self.center)
        self.noise.check_std(self.initial_std)

    def _draw(self, std: Tensor) -> Candidates:
        """Candidates (P, D) around the center, with a std (D,)."""
        return self.noise.draw(self.center, std, self.population, self.generator)

    def _for_update(self, candidates: Population) -> Population:
        return candidates

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"initial_std": self.initial_std.clone()}
