from types import SimpleNamespace
from typing import Any

import pytest

import torchpolicy as tp
from torchpolicy.base.seeding import FIRST_SEEDS, Stream, derive_seed, episode_seeds
from torchpolicy.envs.make import make_environment
from torchpolicy.output.film import shoot
from torchpolicy.rollout.tensor import TensorRollout

EPISODES = tuple(FIRST_SEEDS)


def test_streams_never_overlap_whatever_the_root() -> None:
    seeds = {
        stream: {
            seed
            for root in range(3)
            for generation in range(200)
            for seed in episode_seeds(root, stream, generation, 20)
        }
        for stream in EPISODES
    }
    for stream in EPISODES:
        others = set().union(*(seeds[other] for other in EPISODES if other is not stream))
        assert not seeds[stream] & others
        assert len(seeds[stream]) > 11_990


def test_seeds_are_pure_and_fit_31_bits() -> None:
    assert episode_seeds(7, Stream.TEST, 2, 5) == episode_seeds(7, Stream.TEST, 2, 5)
    assert episode_seeds(7, Stream.TEST, 2, 5)[:3] == episode_seeds(7, Stream.TEST, 2, 3)
    assert episode_seeds(7, Stream.TEST, 2, 5) != episode_seeds(8, Stream.TEST, 2, 5)
    assert all(0 <= seed < 2**31 for stream in EPISODES for seed in episode_seeds(2**70, stream, 0, 100))
    assert derive_seed(0, Stream.SEARCH) != derive_seed(0, Stream.POLICY)


def test_what_users_and_callbacks_score_are_no_episodes_of_a_test() -> None:
    """Neither by the default seed, nor by that of the run."""
    policy = tp.LinearPolicy(*make_environment("CartPole-v1").spaces)
    played = {"test": episode_seeds(1, Stream.TEST, 0, 100)}

    def spy(self: TensorRollout, candidates: Any, seeds: list[int], **options: Any) -> Any:
        played[playing] = list(seeds)
        return original(self, candidates, seeds, **options)

    original = TensorRollout.play
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TensorRollout, "play", spy)
        playing = "evaluate"
        tp.evaluate(policy, "CartPole-v1", episodes=100, seed=1)
        playing = "callback"
        watch = tp.callbacks.Evaluate("CartPole-v1", "watched", every=1, episodes=100, seed=1)
        watch.on_generation_end(SimpleNamespace(policy=policy, generation=1), {})  # type: ignore[arg-type]
    played["film"] = [shoot(policy, "CartPole-v1", None, None, 1).seed]
    assert len(played["evaluate"]) == len(played["callback"]) == 100
    for one in ("evaluate", "callback", "film"):
        assert not set(played[one]) & set(played["test"]), one
    assert not set(played["evaluate"]) & set(played["callback"])
