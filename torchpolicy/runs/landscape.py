"""The score around a run's policy, along the two main directions of its search, as a picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchpolicy.base.checkpoints import load_checkpoint
from torchpolicy.base.checks import MOST_EPISODES, check_count, check_range, check_seed
from torchpolicy.base.processes import one_thread
from torchpolicy.base.seeding import Stream, derive_seed, episode_seeds
from torchpolicy.base.types import Array
from torchpolicy.base.user_code import no_exit
from torchpolicy.envs.make import make_environment
from torchpolicy.output.blueprint import OwnPolicy
from torchpolicy.output.plots import matplotlib
from torchpolicy.rollout.make import make_rollout
from torchpolicy.runs.algorithms import usual_scale
from torchpolicy.runs.trained import load_run
from torchpolicy.vectors.params import ParamVector

MOST_POINTS = 201
"""The most points along a side of the picture."""


@no_exit()
def landscape(
    run_dir: str | Path,
    path: str | Path = "landscape.png",
    *,
    points: int = 21,
    episodes: int = 5,
    reach: float = 1.0,
    seed: int = 1,
    env: str | None = None,
    env_args: Mapping[str, Any] | None = None,
    policy: OwnPolicy | None = None,
) -> Path:
    """Draw the mean return around the policy of a run, in a plane through its weights.

    The plane is that of the directions in which CMA-ES and xNES spread most. For other searches they are two draws
    from their std, for learners and ARS random ones in proportion to each layer's initial scale. One unit is the length
    of a search's first noise by default, so that pictures of different runs can be compared.

    Args:
        run_dir: The run's folder.
        path: The picture to write. The ending of its name determines the format, such as png, pdf or svg.
        points: Points along each side, an odd number, so that the policy itself is one of them.
        episodes: Episodes for each point, the same for all.
        reach: Units from the policy to each side of the picture.
        seed: Seed of the episodes and of random directions.
        env: Environment instead of the run's; needed for a run in one of your own.
        env_args: Keywords for the environment, instead of the run's.
        policy: Needed for a run of a policy of your own, as :func:`load` takes it.

    Returns:
        The picture's path.

    Raises:
        CheckpointError: If a file of the run is missing or damaged.
        ValueError: If an argument is out of range, or matplotlib is missing.
    """
    check_count("points", points, at_least=3, at_most=MOST_POINTS)
    if points % 2 == 0:
        raise ValueError(f"points must be odd, so that the policy is in the middle, got {points}")
    check_count("episodes", episodes, at_least=1, at_most=MOST_EPISODES)
    check_range("reach", reach, 0, float("inf"), open_low=True)
    drawing, folder = matplotlib(), Path(run_dir)
    loaded, place = load_run(folder, env=env, env_args=env_args, policy=policy)
    vector = ParamVector(loaded.net)
    tree, _ = load_checkpoint(folder / "checkpoints")
    generator = torch.Generator().manual_seed(derive_seed(check_seed(seed), Stream.EVALUATION))
    plane = main_directions((tree or {}).get("algorithm", {}), vector, generator)
    at = torch.linspace(-reach, reach, points, dtype=torch.float64)
    candidates = vector.read().double() + torch.cartesian_prod(at, at) @ plane  # the first direction upwards
    del place["noise_rank"]
    environment = make_environment(place.pop("env"), **place)
    with make_rollout(environment, loaded) as rollout, one_thread():
        seeds = episode_seeds(seed, Stream.EVALUATION, 0, episodes)
        scores = rollout.play(candidates.to(vector.dtype), seeds).scores.reshape(points, points)
    _draw(drawing, scores, reach, f"{environment.name}, {folder.name}", Path(path))
    return Path(path)


def main_directions(state: Mapping[str, Any], vector: ParamVector, generator: torch.Generator) -> Tensor:
    """Two directions (2, D) float64 at right angles, each as long as the first noise of a search usually is.

    Args:
        state: The state of the algorithm, as a checkpoint holds it.
        vector: The weights.
        generator: Draws directions where the search has none of its own.
    """
    scale = vector.initial_scale().double() * usual_scale(vector)
    own = state.get("inner", state)  # a search that begins again holds the present one
    transform = own.get("transform")  # of xNES: samples are center + transform @ noise
    if "axes" in own:  # of CMA-ES, with how wide it is along them
        transform = own["initial_std"].double()[:, None] * own["axes"].double() * own["widths"].double()
    if transform is not None:
        left, _, _ = torch.linalg.svd(transform.double())
        plane = left[:, :2].T
    else:
        std = own.get("std", own.get("initial_std"))
        widths = std.double() if isinstance(std, Tensor) and std.shape == scale.shape else scale
        widths = widths * own["variances"].sqrt().double() if "variances" in own else widths  # of sep-CMA
        plane = torch.randn(2, vector.dim, generator=generator, dtype=torch.float64) * widths
    if len(plane) < 2:
        raise ValueError(f"a landscape has two directions, and the policy has {vector.dim} weight")
    orthogonal, _ = torch.linalg.qr(plane.T)
    directions: Tensor = orthogonal.T * torch.linalg.vector_norm(scale)
    return directions


def _draw(drawing: tuple[Any, Any], scores: Array, reach: float, title: str, path: Path) -> None:
    """Draw scores (points, points) as heights, with the policy in the middle."""
    _, figure_of = drawing
    figure = figure_of(figsize=(6, 5), layout="constrained")
    panel = figure.subplots()
    extent = (-reach, reach, -reach, reach)
    image = panel.imshow(scores, origin="lower", extent=extent, cmap="viridis", interpolation="nearest")
    if scores.max() > scores.min():
        panel.contour(scores, levels=8, extent=extent, colors="white", linewidths=0.6, linestyles="solid", alpha=0.7)
    panel.plot(0, 0, "o", color="red", markersize=5, label="the policy")
    panel.set_title(title, loc="left", fontsize=10)
    panel.set_xlabel("second direction, in lengths of the first noise")
    panel.set_ylabel("first direction")
    panel.legend(fontsize=8, loc="upper right")
    figure.colorbar(image, label="mean return")
    figure.savefig(path, dpi=150)
