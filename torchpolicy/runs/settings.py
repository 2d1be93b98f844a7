"""Every setting of a run, once: its default, its help, and who may set it besides the user.

The arguments of :func:`torchpolicy.train`, the options of ``torchpolicy train`` and ``torchpolicy resume``, what a
preset may hold, what ``config.json`` records and what a resumed run may change all come from this list, or are held to
it by ``tests/test_settings.py``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from math import inf
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from torchpolicy.base.checks import MOST_PROCESSES, check_count, check_range
from torchpolicy.base.processes import PATIENCE
from torchpolicy.envs.make import EnvFactory
from torchpolicy.output.config import OLD_NAMES
from torchpolicy.output.writers.base import MakesWriter
from torchpolicy.policies.base import Policy
from torchpolicy.policies.make import PolicyFactory
from torchpolicy.runs.algorithms import Algorithm
from torchpolicy.training.callbacks import Callback


@dataclass(frozen=True)
class About:
    """Description of a setting, in addition to its name, type and default.

    Attributes:
        help: Text for the command line: the effect of the setting, in whole sentences.
        option: Its type on the command line, if that is another than in Python; None for a setting without an option.
        otherwise: The default for a setting that is None where nothing was given: it counts after the user's value and
            the preset's.
        preset: Whether a preset may hold it.
        resume: Whether a run may be given another value when it goes on.
        recorded: Whether ``config.json`` holds it by its name.
    """

    help: str
    option: Any = Ellipsis
    otherwise: Any = None
    preset: bool = False
    resume: bool = False
    recorded: bool = True


def setting(default: Any, text: str, **about: Any) -> Any:
    """A field of :class:`Settings`, required if `default` is MISSING; keywords are those of :class:`About`."""
    return field(default=default, metadata={"about": About(text, **about)})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one run. None means that nothing was given, so that a preset or the default decides.

    Raises:
        ValueError: If a value is not of the kind that its setting takes.
    """

    env: str | EnvFactory = setting(
        MISSING,
        "Environment: a Gymnasium id, or pkg.mod:callable for one of your own. Required unless --config names it.",
        recorded=False,
        option=str | None,
    )
    algorithm: str | Algorithm = setting(
        MISSING, "Search or learner that trains the policy.", option=None, recorded=False
    )
    env_args: Mapping[str, Any] | None = setting(None, "Keyword arguments of the environment.", option=tuple[str, ...])
    policy: Policy | nn.Module | PolicyFactory | str | None = setting(
        None, "Policy to train.", option=str | None, preset=True, recorded=False
    )
    policy_args: Mapping[str, Any] | None = setting(
        None, "Keyword arguments of the policy.", option=tuple[str, ...], preset=True, recorded=False
    )
    normalize_observations: bool | None = setting(
        None,
        "Bring observations to mean 0 and std 1, as measured in training. Off unless the preset or the policy of "
        "--from does it.",
        preset=True,
    )
    seed: int = setting(0, "Seed of everything random: first weights, search and episodes.")
    target: float | str | None = setting(
        "auto",
        "Held-out score at which the run stops: a number, none, or auto. With auto it is the preset's target, or the "
        "environment's own threshold where there is no preset, and none where a budget is given.",
        option=str,
        preset=True,
        resume=True,
    )
    generations: int | None = setting(None, "Budget of generations.", preset=True, resume=True)
    total_steps: int | None = setting(
        None,
        "Budget of environment steps in training. A new run without any budget gets one million.",
        preset=True,
        resume=True,
    )
    seconds: float | None = setting(None, "Budget of wall-clock time in seconds.", preset=True, resume=True)
    tolerance: float | None = setting(
        None,
        "Stop when the held-out scores have differed by less than this for --tolerance-generations generations.",
        resume=True,
    )
    tolerance_generations: int = setting(
        50,
        "Number of generations for which the held-out scores must stay within --tolerance before the run stops.",
        resume=True,
    )
    episodes: int | Literal["auto"] | None = setting(
        None,
        "Episodes that each candidate plays in a generation, or that a learner learns from. With auto, a search plays "
        "as many as it turns out to need. Unless the preset says otherwise, the default is 1 for a candidate, and each "
        "learner has a default of its own.",
        preset=True,
    )
    actions: Literal["greedy", "sampled"] | None = setting(
        None,
        "How candidates choose their actions in training, for searches only: greedy takes the most probable one, "
        "sampled draws from the policy's distribution. Held-out scores are those of greedy actions. The default is "
        "greedy, unless the preset says otherwise.",
        otherwise="greedy",
        preset=True,
    )
    action_std: float | None = setting(
        None,
        "Std of sampled Box actions before they are squashed into their bounds. A learner changes it from there.",
        preset=True,
    )
    reevaluate: int | None = setting(
        None,
        "Additional episodes that the best quarter of the candidates plays, to be ranked again; for searches only. 0 "
        "unless the preset says otherwise.",
        otherwise=0,
        preset=True,
    )
    failed: Literal["dropped", "worst"] | None = setting(
        None,
        "What becomes of a candidate with a failed episode, for searches only: dropped leaves it out of the update, "
        "worst gives it the lowest score of its generation. The default is dropped, unless the preset says otherwise.",
        otherwise="dropped",
        preset=True,
    )
    step_penalty: float | None = setting(
        None,
        "Amount that is subtracted from the return for each step, in training only; for searches only. It can cancel "
        "the reward that an environment pays for being alive. 0 unless the preset says otherwise.",
        otherwise=0.0,
        preset=True,
    )
    stop_early: bool | None = setting(
        None,
        "Stop an episode of a candidate that has fallen behind the better half of the generation before; for searches "
        "only. Environments on tensors need --backend gymnasium for it. It saves steps where "
        "episodes are long and rewards come all along. Off unless the preset says otherwise.",
        otherwise=False,
        preset=True,
    )
    eval_episodes: int | None = setting(
        None,
        "Episodes of each held-out evaluation, and of the final test. 100 unless the preset says otherwise.",
        otherwise=100,
        preset=True,
    )
    eval_every: int | None = setting(
        None,
        "Generations between held-out evaluations. 10 unless the preset says otherwise.",
        otherwise=10,
        preset=True,
    )
    keep: Literal["best", "last"] | None = setting(
        None,
        "Policy that is tested and saved at the end: the one with the best held-out score, or the last. It is the best "
        "unless the preset says otherwise.",
        otherwise="best",
        preset=True,
    )
    restarts: bool | None = setting(
        None,
        "Begin the search again, from a fresh center and with twice the population, where it has converged or its "
        "scores have stood still for 50 generations; for searches only. Off unless the preset says otherwise.",
        preset=True,
    )
    preset: bool = setting(
        True,
        "Take settings that are not given from the preset for the algorithm, environment and policy, if there is one.",
        recorded=False,
    )
    backend: Literal["auto", "gymnasium", "native", "vector", "envpool"] = setting(
        "auto",
        "Implementation of the environment. gymnasium: Gymnasium's; native: our own, on tensors or, for MuJoCo, in one "
        "shared data structure; vector: Gymnasium's in a vector environment, with --env-args num_envs=32 or another "
        "number; envpool: EnvPool's, a package that you install; auto: our own if its returns equal Gymnasium's to the "
        "last bit, otherwise Gymnasium's.",
    )
    compile: bool = setting(
        False,
        "Step an environment on tensors in one compiled graph, in float32. It pays for large populations.",
    )
    workers: int = setting(1, "Processes on this machine. Any number gives the same result.", recorded=False)
    device: str | torch.device = setting(
        "cpu",
        "Device for the policy, the search and environments on tensors: cpu, cuda, or cuda:1 for one of several GPUs.",
        option=str,
    )
    max_episode_steps: int | None = setting(
        None, "Time limit of an episode in steps, instead of the environment's own."
    )
    strict: bool = setting(
        False,
        "Refuse an environment whose episodes depend on more than seed and actions, instead of only saying so.",
        recorded=False,
    )
    log_dir: str | Path = setting("runs", "Folder in which run folders are made.", option=Path, recorded=False)
    run_dir: str | Path | None = setting(
        None,
        "Folder of this run, instead of a new one in --log-dir. If it already holds a run of the same configuration, "
        "that run is resumed.",
        option=Path | None,
        recorded=False,
    )
    checkpoint_seconds: float = setting(
        10.0, "Seconds between checkpoints. 0 writes one after every generation.", resume=True
    )
    step_timeout: float | None = setting(
        None,
        "Seconds of one step or reset of the environment after which its process counts as hung: the run goes on from "
        "the last checkpoint with new processes, or stops where there is one process. Without it, the user is told "
        "after 60 s, and nothing is stopped.",
        resume=True,
        recorded=False,
    )
    patience: float = setting(
        PATIENCE,
        "Seconds for which another process may give no sign of life before it counts as lost.",
        resume=True,
        recorded=False,
    )
    callbacks: Sequence[Callback] = setting((), "Objects that are called along the way.", option=None, recorded=False)
    writers: Sequence[MakesWriter] = setting((), "Writers, beside the run's own.", option=None, recorded=False)
    hyperparameters: Mapping[str, Any] | None = setting(
        None, "Hyperparameters of the algorithm.", option=None, recorded=False
    )

    def __post_init__(self) -> None:
        check_count("workers", self.workers, at_least=1, at_most=MOST_PROCESSES)
        check_range("patience", self.patience, 1, inf)
        if self.step_timeout is not None:
            check_range("step_timeout", self.step_timeout, 0, inf, open_low=True)
        for name in ("preset", "compile", "strict", "normalize_observations", "restarts", "stop_early"):
            if not isinstance(flag := getattr(self, name), bool | None):
                raise ValueError(f"{name} must be True or False, got {flag!r}")
        for name in ("log_dir", "run_dir"):
            if not isinstance(folder := getattr(self, name), str | Path | None):
                raise ValueError(f"{name} must be a path, got {folder!r}")

    def some(self, names: Sequence[str]) -> dict[str, Any]:
        """The settings of these names."""
        return {name: getattr(self, name) for name in names}


def about(each: "Field[Any]") -> About:
    """The description of a setting."""
    known: About = each.metadata["about"]
    return known


def names_where(flag: str) -> tuple[str, ...]:
    """The settings for which a flag of :class:`About` holds, in their order."""
    return tuple(each.name for each in fields(Settings) if getattr(about(each), flag))


PRESETTABLE = names_where("preset")
"""Settings that a preset may hold, beside hyperparameters."""

RECORDED = names_where("recorded")
"""Settings that ``config.json`` holds by their names."""

MAY_CHANGE = names_where("resume")
"""Settings that a run may be given anew when it goes on."""

DEFAULTS = {each.name: about(each).otherwise for each in fields(Settings) if about(each).otherwise is not None}
"""Values of settings that neither the user nor a preset has given."""


def settings_of(arguments: Mapping[str, Any]) -> Settings:
    """The settings that the arguments of :func:`torchpolicy.train` stand for.

    Raises:
        ValueError: If a setting is given by its old name and by its new one.
    """
    given, hyperparameters = dict(arguments), dict(arguments["hyperparameters"])
    for old, new in OLD_NAMES.items():
        if old in hyperparameters:
            if given[new] is not None:
                raise ValueError(f"{old} is the old name of {new}: give {new} alone")
            given[new] = hyperparameters.pop(old)
    return Settings(**given | {"hyperparameters": hyperparameters})
