"""What callbacks see, and what they can do to a run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from worlds import Guess

import torchpolicy as tp
from torchpolicy.base.checkpoints import load_checkpoint
from torchpolicy.callbacks import Callback, Evaluate, KeepPolicies, Run, StopAfter, StopOnPlateau, StopOnReturn


class Does(Callback):
    """Does one thing in one hook."""

    def __init__(self, hook: str, deed: Any) -> None:
        setattr(self, hook, deed)


HOOKS = ("on_start", "on_generation_end", "on_evaluation", "on_checkpoint", "on_exception", "on_end")


class Diary(Callback):
    """Writes down, into a file, for it may be called in another process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _say(self, text: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{text}\n")

    def on_start(self, run: Run) -> None:
        self._say(f"start at {run.generation}")

    def on_generation_end(self, run: Run, metrics: dict[str, float]) -> None:
        assert metrics["generation"] == run.generation
        metrics["diary/pages"] = 2.0 * run.generation
        self._say(f"generation {run.generation}")

    def on_evaluation(self, run: Run, evaluation: tp.Evaluation) -> None:
        self._say(f"evaluation of {len(evaluation.returns)} at {run.generation}")

    def on_checkpoint(self, run: Run, generation: int) -> None:
        self._say(f"checkpoint {generation}")

    def on_exception(self, run: Run, error: BaseException) -> None:
        self._say(f"exception {type(error).__name__} at {run.generation}")

    def on_end(self, run: Run) -> None:
        self._say(f"end at {run.generation}")

    @property
    def lines(self) -> list[str]:
        return self.path.read_text().splitlines()


class Fails(Callback):
    """Raises in one hook."""

    def __init__(self, hook: str) -> None:
        def fail(*_: object) -> None:
            raise OSError("the disk is full")

        setattr(self, hook, fail)


def train(folder: Path, *callbacks: object, **settings: Any) -> tp.Result:
    given: dict[str, Any] = {"population": 6, "generations": 4, "eval_every": 2, "eval_episodes": 3, "seed": 0}
    given |= {"target": None, "checkpoint_seconds": 0, "run_dir": folder, "callbacks": callbacks}
    return tp.train(Guess, "cem", **given | settings)


@pytest.mark.parametrize("workers", [1, 2])
def test_hooks_are_called_in_order_and_once(workers: int, tmp_path: Path) -> None:
    diary = Diary(tmp_path / "diary")
    result = train(tmp_path / "run", diary, generations=2, workers=workers)
    assert diary.lines == [
        *("start at 0", "checkpoint 0", "generation 1", "checkpoint 1"),
        *("evaluation of 3 at 2", "generation 2", "checkpoint 2", "end at 2"),
    ]
    assert [row["diary/pages"] for row in result.metrics] == [2.0, 4.0]
    tp.resume(tmp_path / "run", env=Guess, generations=3, callbacks=[diary])
    assert diary.lines[8:] == ["start at 2", "checkpoint 2", "generation 3", "checkpoint 3", "end at 3"]


def test_callbacks_leave_the_bits_alone(tmp_path: Path) -> None:
    plain = train(tmp_path / "plain", keep="last")
    callbacks = Diary(tmp_path / "diary"), Evaluate(Guess, "other", every=1), KeepPolicies(2)
    watched = train(tmp_path / "watched", *callbacks, keep="last")
    assert all(
        torch.equal(tensor, watched.policy.state_dict()[name]) for name, tensor in plain.policy.state_dict().items()
    )
    assert "other/mean_reward" in watched.metrics[-1]
    assert 0 <= watched.metrics[-1]["other/mean_reward"] <= 10
    kept = tp.load(watched.run_dir / "kept" / "generation-4")
    assert torch.equal(kept.net.weight, watched.policy.net.weight)  # type: ignore[arg-type]
    assert sorted(path.name for path in (watched.run_dir / "kept").iterdir()) == ["generation-2", "generation-4"]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook != "on_exception"])
def test_one_that_raises_ends_the_run_by_its_name(hook: str, workers: int, tmp_path: Path) -> None:
    diary = Diary(tmp_path / "diary")
    with pytest.raises(tp.RunError, match=f"the callback Fails failed in {hook}: OSError: the disk is full"):
        train(tmp_path / "run", Fails(hook), diary, workers=workers)
    state, _ = load_checkpoint(tmp_path / "run" / "checkpoints")
    assert state is not None
    done = {"on_start": 0, "on_generation_end": 1, "on_checkpoint": 0, "on_evaluation": 2, "on_end": 4}[hook]
    assert state["generation"] == done
    assert f"exception RunError at {done}" in diary.lines
    whole = train(tmp_path / "whole")
    resumed = tp.resume(tmp_path / "run", env=Guess)
    assert torch.equal(resumed.policy.net.weight, whole.policy.net.weight)  # type: ignore[arg-type]


def test_one_that_raises_on_an_exception_does_not_hide_it(tmp_path: Path) -> None:
    with pytest.raises(tp.RunError, match="failed in on_generation_end"):
        train(tmp_path / "run", Fails("on_exception"), Fails("on_generation_end"))


@pytest.mark.parametrize("workers", [1, 2])
def test_any_hook_that_answers_true_ends_the_run(workers: int, tmp_path: Path) -> None:
    class Enough(Callback):
        def on_evaluation(self, run: Run, evaluation: tp.Evaluation) -> bool:
            return True

    assert len(train(tmp_path / "run", Enough(), workers=workers).metrics) == 2


def test_stop_on_return(tmp_path: Path) -> None:
    rows = train(tmp_path / "run", StopOnReturn(4.5), generations=50, population=30).metrics
    assert len(rows) < 50
    assert [row["rollout/ep_rew_mean"] >= 4.5 for row in rows] == [False] * (len(rows) - 1) + [True]


def test_stop_on_plateau_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", StopOnPlateau(5, tolerance=2.0), generations=60)
    assert 5 < len(whole.metrics) < 60
    values = [row["rollout/ep_rew_mean"] for row in whole.metrics]
    best, since = float("-inf"), 0
    for value in values:
        best, since = (value, 0) if value > best + 2 else (best, since + 1)
    assert since == 5
    train(tmp_path / "parts", StopOnPlateau(5, tolerance=2.0), generations=len(values) - 2)
    rest = tp.resume(tmp_path / "parts", env=Guess, generations=60, callbacks=[StopOnPlateau(5, tolerance=2.0)])
    assert len(rest.metrics) == len(values)


def test_stop_after_a_time(tmp_path: Path) -> None:
    assert len(train(tmp_path / "run", StopAfter(0.5), generations=10**6).metrics) < 10**5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StopOnReturn(float("nan")), "value must be"),
        (lambda: StopOnPlateau(0), "generations must be an integer >= 1"),
        (lambda: StopAfter(0), "seconds must be"),
        (lambda: Evaluate("CartPol-v1", "other"), "Did you mean"),
        (lambda: Evaluate("CartPole-v1", "other", every=0), "every must be an integer >= 1"),
        (lambda: tp.train("CartPole-v1", "cem", callbacks=[print]), "should be a torchpolicy.callbacks.Callback"),
        (lambda: tp.train("CartPole-v1", "cem", callbacks=StopAfter(1)), "callbacks should be a list of callbacks"),
        (lambda: tp.train("CartPole-v1", "cem", callbacks=[StopAfter]), "Callback, an object, got <class"),
    ],
)
def test_mistakes_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_another_environment_must_have_the_same_spaces(tmp_path: Path) -> None:
    with pytest.raises(
        tp.RunError, match=r"the callback Evaluate failed in on_start: ValueError: Acrobot-v1 has other spaces"
    ):
        train(tmp_path / "run", Evaluate("Acrobot-v1", "other", every=1))


def test_a_run_that_a_callback_ended_is_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop = StopOnReturn(-1.0)
    assert len(train(tmp_path / "run", stop, generations=9).metrics) == 1
    for callbacks in ([], [stop]):
        assert len(tp.resume(tmp_path / "run", env=Guess, callbacks=callbacks).metrics) == 1
        assert "is finished: a callback ended it" in capsys.readouterr().err
    assert len(tp.resume(tmp_path / "run", env=Guess, generations=3).metrics) == 3


@pytest.mark.parametrize("value", [torch.tensor(2.5), np.float32(2.5), np.int64(2)])
def test_a_metric_is_made_a_number(value: Any, tmp_path: Path) -> None:
    callback = Does("on_generation_end", lambda run, metrics: metrics.update(mine=value))
    assert train(tmp_path / "run", callback).metrics[-1]["mine"] == float(value)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("hook", "deed", "message"),
    [
        ("on_generation_end", lambda run, metrics: metrics.update(mine="high"), "the metric mine should be a number"),
        ("on_generation_end", lambda run, metrics: np.array([True, False]), "on_generation_end: ValueError"),
        ("state_dict", lambda: {"t": np.float32(1)}, "failed in state_dict: TypeError: a checkpoint holds"),
        ("state_dict", lambda: {}["t"], "failed in state_dict: KeyError"),
    ],
)
def test_what_else_a_callback_does_wrong_bears_its_name(
    hook: str, deed: Any, message: str, workers: int, tmp_path: Path
) -> None:
    with pytest.raises(tp.RunError, match=f"the callback Does .*{message}"):
        train(tmp_path / "run", Does(hook, deed), workers=workers)
    assert load_checkpoint(tmp_path / "run" / "checkpoints")[0] is not None


def test_the_last_checkpoint_counts_too(tmp_path: Path) -> None:
    def fail(run: Run, generation: int) -> None:
        if generation == 4:
            raise OSError("full")

    with pytest.raises(tp.RunError, match="failed in on_checkpoint: OSError: full"):
        train(tmp_path / "run", Does("on_checkpoint", fail), checkpoint_seconds=60)


def test_a_failure_beside_another_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(run: Run, metrics: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", Does("on_generation_end", stop), Fails("on_exception"))
    assert "the callback Fails failed in on_exception" in capsys.readouterr().err


def test_only_two_hooks_end_a_run(tmp_path: Path) -> None:
    others = [Does(hook, lambda *_: "yes") for hook in ("on_start", "on_checkpoint", "on_end")]
    assert len(train(tmp_path / "run", *others).metrics) == 4


def test_a_callbacks_state_goes_back_with_the_runs(tmp_path: Path) -> None:
    class Counts(Callback):
        def __init__(self) -> None:
            self.seen: list[int] = []

        def on_evaluation(self, run: Run, evaluation: tp.Evaluation) -> None:
            self.seen.append(run.generation)
            if self.seen == [2, 4] and run.metrics:
                raise KeyboardInterrupt

        def state_dict(self) -> dict[str, Any]:
            return {"seen": self.seen}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.seen = state["seen"]

    counts = Counts()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", counts, generations=6)
    assert counts.seen == [2]
    again = Counts()
    tp.resume(tmp_path / "run", env=Guess, callbacks=[again], generations=5)
    assert again.seen == [2, 4]


class Sees(Callback):
    """Keeps what was played: candidates, scores and returns of each generation."""

    def __init__(self) -> None:
        self.seen: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def on_generation_end(self, run: Run, metrics: dict[str, float]) -> None:
        latest = run.latest
        assert latest is not None
        assert latest.candidates is not None
        assert latest.scores is not None
        self.seen.append((latest.candidates.dense().clone(), latest.scores.clone(), latest.returns.clone()))


@pytest.mark.parametrize("rank", [None, 1])
def test_candidates_scores_and_returns_can_be_seen(rank: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[torch.Tensor, torch.Tensor]] = []
    tell = tp.NES.tell

    def listens(self: tp.NES, candidates: Any, scores: torch.Tensor) -> Any:
        told.append((candidates.dense().clone() if rank else candidates.clone(), scores.clone()))
        return tell(self, candidates, scores)

    monkeypatch.setattr(tp.NES, "tell", listens)
    sees = Sees()
    settings: dict[str, Any] = {"policy_args": {"hidden": (8,)}, "episodes": 2, "noise_rank": rank, "population": 6}
    settings |= {"generations": 3, "eval_episodes": 2, "eval_every": 1, "target": None, "preset": False}
    tp.train("CartPole-v1", "nes", callbacks=[sees], **settings)
    assert len(sees.seen) == len(told) == 3
    for (candidates, scores, returns), (vectors, given) in zip(sees.seen, told, strict=True):
        assert torch.equal(candidates, vectors)
        assert torch.equal(scores, given)
        assert returns.shape == (6, 2)
        assert torch.equal(returns.mean(1).double(), scores)


def test_factors_are_not_multiplied_unless_asked_and_no_candidates_outlive_their_generation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torchpolicy.vectors.low_rank import LowRankPopulation

    asked: list[int] = []
    dense = LowRankPopulation.dense

    def counts(self: LowRankPopulation) -> torch.Tensor:
        asked.append(len(self))
        return dense(self)

    class Looks(Callback):
        def on_generation_end(self, run: Run, metrics: dict[str, float]) -> None:
            assert isinstance(run.latest.candidates, LowRankPopulation)  # type: ignore[union-attr]
            before = list(asked)
            run.latest.candidates[2].dense()  # type: ignore[union-attr]
            assert asked == [*before, 1]

        def on_checkpoint(self, run: Run, generation: int) -> None:
            assert generation == 0 or run.latest.candidates is None  # type: ignore[union-attr]

    settings: dict[str, Any] = {"policy_args": {"hidden": (8,)}, "noise_rank": 1, "population": 6, "preset": False}
    settings |= {"generations": 2, "eval_episodes": 2, "target": None, "checkpoint_seconds": 0}
    monkeypatch.setattr(LowRankPopulation, "dense", counts)
    tp.train("CartPole-v1", "nes", callbacks=[Looks()], **settings)
    assert 6 not in asked


def test_a_learner_has_returns_and_no_candidates() -> None:
    seen: list[Any] = []
    look = Does("on_generation_end", lambda run, metrics: seen.append(run.latest))
    settings: dict[str, Any] = {"generations": 1, "episodes": 5, "eval_episodes": 2, "target": None, "preset": False}
    tp.train("CartPole-v1", "reinforce", callbacks=[look], **settings)
    assert (seen[0].candidates, seen[0].scores, tuple(seen[0].returns.shape)) == (None, None, (1, 5))
