"""Searching for hyperparameters: whole runs with several seeds for each trial, chosen by Optuna."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np

from torchpolicy.base.checks import check_count
from torchpolicy.base.errors import RunError
from torchpolicy.base.processes import usable_cores
from torchpolicy.base.signals import Stopped
from torchpolicy.many.child import pack
from torchpolicy.many.display import Display
from torchpolicy.many.seeds import check_seeds, first_job
from torchpolicy.many.side_by_side import side_by_side
from torchpolicy.many.space import Choices, Range, read_space
from torchpolicy.output.config import digest
from torchpolicy.output.writers.jsonl import read_rows
from torchpolicy.runs.folder import folder_of, plain
from torchpolicy.runs.launch import exception_of
from torchpolicy.training.plan import Plan

STUDY = "study.log"
"""The file in a sweep's folder in which all processes that take part write down their trials."""

FAILURE, SCORES = "failure", "scores"
"""Names under which a trial keeps why it failed, and the held-out score of each seed."""


@dataclass(frozen=True)
class Sweep:
    """What a sweep has found.

    Attributes:
        run_dir: The sweep's folder, with a folder for each trial, which holds a run folder for each seed.
        best: The values of the best trial, by name.
        score: Mean over its seeds of the best trial's held-out scores: of each run's validations, the score of the
            policy that it keeps.
        trials: The trials that have ended, each a dictionary: its number (``trial``), its mean held-out ``score`` (None
            if it failed), whether it was ``stopped`` before all of its seeds were trained, and its values by name.
    """

    run_dir: Path
    best: dict[str, Any]
    score: float
    trials: list[dict[str, Any]]


def sweep(
    env: str,
    algorithm: str,
    *,
    params: Iterable[str],
    trials: int = 40,
    seeds: Sequence[int] = (100, 101, 102, 103),
    jobs: int | None = None,
    log_dir: str | Path = "runs",
    run_dir: str | Path | None = None,
    **settings: Any,
) -> Sweep:
    """Search for the settings with the best held-out scores, by training with each of several seeds in every trial.

    A trial is stopped after some of its seeds if it is worse than most trials were by then. The same call goes on with
    a sweep that was interrupted. Made in several processes at once, it shares the work of one sweep between them.

    Args:
        env: A Gymnasium id, or ``"pkg.mod:callable"``.
        algorithm: Name of the algorithm.
        params: What to choose from, such as ``"std_scale=0.1..1"``, ``"learning_rate=log:0.001..0.3"`` or
            ``"episodes=1,4,16"``: hyperparameters and settings of :func:`train`.
        trials: Number of trials.
        seeds: Seeds of every trial. Settings are chosen to suit them, so results are to be reported with others.
        jobs: Number of runs at a time. None means one for each core.
        log_dir: Folder in which the sweep's folder is made, ``<env>/<algorithm>-sweep-<digest of all that it does>``.
        run_dir: The sweep's folder, instead of that one.
        **settings: All other arguments of :func:`train`.

    Returns:
        The best values, their score, and all trials.

    Raises:
        ValueError: If an argument is out of range, the folder holds another sweep, Optuna is missing, or no trial had a
            score.
        KeyboardInterrupt, Terminated: If a signal arrived.
    """
    optuna = _optuna()
    space, chosen = read_space(params), check_seeds(seeds, settings)
    check_count("trials", trials, at_least=1)
    at_once = usable_cores() if jobs is None else check_count("jobs", jobs, at_least=1)
    arguments = {"env": env, "algorithm": algorithm, "target": "none", **settings}
    job = first_job(arguments | {name: each.example for name, each in space.items()}, chosen[0])
    what = digest({"config": plain(job.config), "space": sorted(map(str, space.items())), "seeds": chosen})
    name = f"{algorithm}-sweep-{what[:8]}"
    folder = folder_of(log_dir, job.environment.name) / name if run_dir is None else Path(run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / STUDY)))
    if any(known != what for known in optuna.get_all_study_names(storage)):
        raise ValueError(f"{folder} holds a sweep of other settings: name another run_dir")
    study = optuna.create_study(storage=storage, study_name=what, direction="maximize", load_if_exists=True)
    left = max(0, trials - len(_ended(study)))
    print(
        f"{left} of {trials} trials are left, {len(chosen)} run{'s' if len(chosen) > 1 else ''} each, in {folder}\n"
        "the seeds of a sweep are for tuning: report results with others",
        file=sys.stderr,
    )
    _Trials(study, space, arguments, chosen, min(at_once, len(chosen)), folder).run(trials)
    return _found(study, folder)


class _Trials:
    """Makes the trials of a sweep.

    Args:
        study: Optuna's study.
        space: What to choose from.
        arguments: Arguments of every run.
        seeds: Seeds of every trial.
        jobs: Number of runs at a time.
        folder: The sweep's folder.
    """

    def __init__(
        self,
        study: Any,
        space: Mapping[str, Range | Choices],
        arguments: Mapping[str, Any],
        seeds: Sequence[int],
        jobs: int,
        folder: Path,
    ) -> None:
        self._study, self._space, self._arguments = study, space, arguments
        self._seeds, self._jobs, self._folder = seeds, jobs, folder

    def run(self, trials: int) -> None:
        """Go on until so many trials have ended, in all processes together."""
        states = _optuna().trial.TrialState
        while len(_ended(self._study)) < trials:
            trial = self._study.ask()
            values = {name: each.suggest(trial, name) for name, each in self._space.items()}
            try:
                score, pruned = self._score(trial, values)
            except Stopped as stop:
                self._study.tell(trial, state=states.FAIL)
                self._study.enqueue_trial(trial.params)  # to be tried again
                text = "stopped; the same command goes on from here"
                print(text, file=sys.stderr)
                raise exception_of(stop, text) from None
            except RunError as error:
                trial.set_user_attr(FAILURE, str(error))
                self._study.tell(trial, state=states.FAIL)
                words = f"failed: {error}"
            else:
                self._study.tell(trial, None if pruned else score, state=states.PRUNED if pruned else states.COMPLETE)
                words = f"{score:.4g}{', stopped early' if pruned else ''}"
            chosen = ", ".join(f"{name} {_short(value)}" for name, value in values.items())
            done = f"{len(_ended(self._study))} of {trials}"
            print(f"trial {trial.number}: {words} ({chosen}; {done} done)", file=sys.stderr, flush=True)

    def _score(self, trial: Any, values: Mapping[str, Any]) -> tuple[float, bool]:
        """The mean held-out score of the seeds that were trained, and whether the others were left out."""
        scores: list[float] = []
        while len(scores) < len(self._seeds):
            batch = self._seeds[len(scores) : len(scores) + self._jobs]
            places = {seed: self._folder / f"t{trial.number:04d}" / f"s{seed}" for seed in batch}
            display = _Quiet(f"trial {trial.number}, seed", len(batch), 0, ())
            given = {**self._arguments, **values}
            runs = {seed: pack({**given, "seed": seed, "run_dir": str(place)}) for seed, place in places.items()}
            try:
                failures = side_by_side(runs, self._jobs, display)
            finally:
                display.close()
            if failures:
                raise RunError("; ".join(f"seed {seed}: {reason}" for seed, reason in failures.items()))
            scores += [_held_out(place, given.get("keep") or Plan.keep) for place in places.values()]
            trial.report(float(np.mean(scores)), step=len(scores))
            trial.set_user_attr(SCORES, scores)
            if len(scores) < len(self._seeds) and trial.should_prune():
                return float(np.mean(scores)), True
        return float(np.mean(scores)), False


class _Quiet(Display):
    """Shows the runs of a trial while they last, and says nothing of each."""

    def result(self, key: int) -> str:
        return ""

    def said(self, key: int, line: str) -> None:
        """Nothing is shown."""

    def ended(self, key: int, failure: str | None) -> None:
        del self._shares[key]
        self._remove(key)


def _held_out(run_dir: Path, keep: str) -> float:
    """The held-out score on the way of the policy that a run keeps, its best one or its last: not that of its test."""
    scores = [row["eval/mean_reward"] for _, row in read_rows(run_dir, inf) if row.get("eval/mean_reward") is not None]
    score = float("nan") if not scores else max(scores) if keep == "best" else scores[-1]
    if not isfinite(score):
        raise RunError(f"{run_dir} has no held-out score")
    return float(score)


def _ended(study: Any) -> list[Any]:
    """Trials that are not to be tried again."""
    states = _optuna().trial.TrialState
    found = study.get_trials(deepcopy=False)
    done = (states.COMPLETE, states.PRUNED)
    return [trial for trial in found if trial.state in done or FAILURE in trial.user_attrs]


def _found(study: Any, folder: Path) -> Sweep:
    """What the trials came to.

    Raises:
        ValueError: If no trial was completed.
    """
    states, ended = _optuna().trial.TrialState, _ended(study)
    complete = [trial for trial in ended if trial.state == states.COMPLETE]
    if not complete:
        reasons = {trial.user_attrs.get(FAILURE) for trial in ended}
        raise ValueError(f"no trial of {folder} was completed: {reasons.pop()}")
    best = max(complete, key=lambda trial: trial.value)
    rows = [
        {
            "trial": trial.number,
            "score": float(np.mean(trial.user_attrs[SCORES])) if SCORES in trial.user_attrs else None,
            "stopped": trial.state == states.PRUNED,
            **trial.params,
        }
        for trial in ended
    ]
    return Sweep(folder, dict(best.params), float(best.value), rows)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _optuna() -> Any:
    """The library, which is imported where it is needed.

    Raises:
        ValueError: If it is not installed.
    """
    try:
        import optuna
        import optuna.storages.journal
    except ImportError as error:
        raise ValueError('a sweep needs optuna: pip install "torchpolicy[sweep]"') from error
    return optuna
