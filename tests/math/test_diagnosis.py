import pytest
import torch

from torchpolicy import CEM, NES, ParamVector, Search
from torchpolicy.base.discovery import names
from torchpolicy.runs.algorithms import algorithm_class
from torchpolicy.training.diagnosis import Diagnosis, signal, spread, ties
from torchpolicy.vectors.low_rank import LowRankPopulation

CENTER = torch.arange(20.0)


def population(mirrored: bool, seed: int) -> torch.Tensor:
    noise = torch.randn(200, 20, generator=torch.Generator().manual_seed(seed)) * torch.linspace(0.1, 9, 20)
    if mirrored:
        noise[1::2] = -noise[0::2]
    return CENTER + noise


@pytest.mark.parametrize("mirrored", [False, True])
def test_signal_is_one_for_noise_and_many_for_a_slope(mirrored: bool) -> None:
    noise, slope = [], []
    for seed in range(30):
        candidates = population(mirrored, seed)
        chance = torch.randn(200, generator=torch.Generator().manual_seed(1000 + seed))
        noise.append(signal(candidates, chance, CENTER, mirrored=mirrored))
        slope.append(signal(candidates, candidates[:, 0], CENTER, mirrored=mirrored))
    assert sum(noise) / 30 == pytest.approx(1, abs=0.2)
    assert sum(slope) / 30 == pytest.approx(1 + (100 if mirrored else 200) / 20, rel=0.1)


def test_signal_of_very_many_weights_is_that_of_some() -> None:
    generator = torch.Generator().manual_seed(0)
    candidates = torch.randn(5000, 1000, generator=generator)  # more than is looked at, both ways
    value = signal(candidates, candidates[:, 0], torch.zeros(1000), mirrored=False)
    assert value == pytest.approx(1 + 4096 / 63, rel=0.05)


@pytest.mark.parametrize("rank", [1, 3])
def test_signal_of_low_rank_noise_is_that_of_its_dense_form(rank: int) -> None:
    vector = ParamVector(torch.nn.Sequential(torch.nn.Linear(9, 20), torch.nn.Linear(20, 9)))
    noise, slope = [], []
    for seed in range(30):
        search = NES(vector.read(), population=100, std=0.1, slices=vector.slices, noise_rank=rank, seed=seed)
        asked = search.ask()
        assert isinstance(asked, LowRankPopulation)
        chance = torch.randn(100, generator=torch.Generator().manual_seed(1000 + seed))
        chance[7] = torch.nan
        along = asked.dense()[:, 5] - asked.center[5]
        noise.append(signal(asked, chance, asked.center, mirrored=True))
        slope.append(signal(asked, along, asked.center, mirrored=True))
        assert slope[-1] == pytest.approx(signal(asked.dense(), along, asked.center, mirrored=True), rel=0.3)
    assert sum(noise) / 30 == pytest.approx(1, abs=0.2)
    assert sum(slope) / 30 > 1.05
    assert torch.tensor(signal(asked, torch.ones(100), asked.center, mirrored=True)).isnan()


def test_signal_knows_no_units_and_leaves_out_what_failed() -> None:
    candidates = population(True, 0)
    scores = candidates[:, 3].exp()
    value = signal(candidates, scores, CENTER, mirrored=True)
    assert signal(10 * candidates, 7 * scores + 3, 10 * CENTER, mirrored=True) == pytest.approx(value)
    failed = torch.cat([scores, torch.tensor([torch.nan, 1e9])])
    assert signal(torch.cat([candidates, candidates[:2]]), failed, CENTER, mirrored=True) == pytest.approx(value)
    assert torch.tensor(signal(candidates, torch.ones(200), CENTER, mirrored=False)).isnan()


def test_ties() -> None:
    assert ties(torch.tensor([1.0, 2.0, 2.0, 3.0, torch.nan])) == 0.5
    assert ties(torch.tensor([torch.nan, torch.nan])) == 0


def test_spread_is_by_tensor() -> None:
    module = torch.nn.Linear(2, 1)
    vector = ParamVector(module)
    search = CEM(vector.read(), std=torch.tensor([1.0, 3.0, 5.0]))
    assert spread(search, vector) == pytest.approx(
        {
            "search/noise_norm": 35**0.5,
            "search/weights_norm": float(vector.read().norm()),
            "search/std_mean": 3.0,
            "search/std_floor": 0.0,
            "std/weight": 2.0,
            "std/bias": 5.0,
        }
    )


@pytest.mark.parametrize("name", names("search"))
def test_std_is_told_in_stalled_generations_as_in_others(name: str) -> None:
    module = torch.nn.Linear(3, 2)
    vector = ParamVector(module)
    search = algorithm_class(name)(vector.read(), population=8, std=0.5, seed=0)  # type: ignore[call-arg, arg-type]
    assert isinstance(search, Search)
    if hasattr(search, "min_std"):
        search.min_std = 0.9  # soon reached
    noise = torch.Generator().manual_seed(0)
    for _ in range(40):
        told = search.tell(search.ask(), torch.randn(8, generator=noise))
        found = spread(search, vector)
        ours = {key: told[key] for key in ("search/std_mean", "search/std_floor") if key in told}
        assert {key: found[key] for key in ours} == pytest.approx(ours)
    rest = search.tell(search.ask(), torch.zeros(8))
    assert rest["search/stalled"] == 1
    assert "search/std_mean" not in rest
    assert {key: spread(search, vector)[key] for key in ours} == pytest.approx(ours)


def said(rows: list[dict[str, float]], stalled: bool = False, pause: int = -1) -> list[str]:
    """What is said over generations; through a saved state in generation `pause`."""
    diagnosis, texts = Diagnosis("a larger std"), []
    for generation, row in enumerate(rows):
        if generation == pause:
            state = diagnosis.state_dict()
            diagnosis = Diagnosis("a larger std")
            diagnosis.load_state_dict(state)
        text = diagnosis.look(row, stalled=stalled)
        texts += [text] if text else []
    return texts


@pytest.mark.parametrize("pause", [-1, 5, 25])
def test_each_way_to_be_stuck_is_said_in_one_line(pause: int) -> None:
    (equal,) = said([{"rollout/ep_rew_mean": 0.0}] * 40, stalled=True, pause=pause)
    assert equal.startswith("no two scores have differed for 10 generations")
    (full,) = said([{"rollout/ep_rew_mean": 500.0, "rollout/truncated": 1.0}] * 40, stalled=True, pause=pause)
    assert full.startswith("for 10 generations all episodes have run to the time limit with the same return")
    (floor,) = said([{"search/std_floor": 0.6}] * 40, pause=pause)
    assert floor.startswith("most of std is at its floor")
    falls = [{"rollout/ep_rew_mean": -200.0, "rollout/truncated": 0.0}] * 3
    hovers = [{"rollout/ep_rew_mean": -100.0, "rollout/truncated": 0.95}] * 40
    (survival,) = said(falls + hovers, pause=pause)
    assert survival.startswith("for 20 generations 95% of the episodes have run to the time limit, without a better")


def test_nothing_is_said_of_progress_or_of_tasks_without_an_end() -> None:
    falls = [{"rollout/ep_rew_mean": -200.0, "rollout/truncated": 0.0}] * 3
    assert not said(falls + [{"rollout/ep_rew_mean": float(mean), "rollout/truncated": 0.95} for mean in range(99)])
    assert not said([{"rollout/ep_rew_mean": -1000.0, "rollout/truncated": 1.0}] * 99)  # Pendulum


TIED = {"search/ties": 1.0, "search/signal": 1.0, "rollout/ep_rew_min": -131.7, "rollout/ep_rew_max": -99.1}


@pytest.mark.parametrize("pause", [-1, 5, 19])
def test_candidates_that_act_alike_are_told_of(pause: int) -> None:
    """As in a default PGPE run of a residual network on LunarLander, which sat there for minutes."""
    (alike,) = said([TIED] * 60, pause=pause)
    assert alike.startswith(
        "for 20 generations nearly all scores have equalled another (search/ties is 1), so candidat"
    )
    assert not said([TIED] * 19, pause=pause)
    assert not said(([TIED] * 19 + [TIED | {"search/ties": 0.5}]) * 3)
    assert not said([TIED | {"search/signal": 1.5}] * 60)  # it points somewhere
    assert not said([TIED | {"rollout/ep_rew_min": 8.0, "rollout/ep_rew_max": 12.0}] * 60)  # steps of a pole


def test_a_std_that_is_small_beside_the_weights_is_told_of() -> None:
    tiny = {"search/noise_norm": 3e-6, "search/weights_norm": 1.0}
    (narrow,) = said([tiny] * 5)
    assert narrow.startswith("std is 3e-06 of the weights, so candidates hardly differ: raise std")
    small = {"search/noise_norm": 3e-4, "search/weights_norm": 1.0}
    assert not said([small] * 60)  # as after a long search
    (alike,) = said([TIED | small] * 60)
    assert "std is 3e-04 of the weights, so a larger one, normalize_observations or" in alike
    (equal,) = said([small] * 60, stalled=True)
    assert "nothing can be learned: std is 3e-04 of the weights, so a larger one, more episodes" in equal
    (wide,) = said([TIED | {"search/noise_norm": 30.0, "search/weights_norm": 1.0}] * 60)
    assert "std is 30.0 times the weights, so a smaller one (std_scale)" in wide
    assert not said([{"search/noise_norm": 3e-6, "search/weights_norm": 0.0}] * 5)  # from zero


def test_one_reason_does_not_hide_another() -> None:
    tiny = {"search/noise_norm": 3e-6, "search/weights_norm": 1.0, "search/std_floor": 0.6}
    assert [text[:6] for text in said([tiny] * 40)] == ["std is", "most o"]
