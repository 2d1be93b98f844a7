"""Slots that share one MuJoCo data structure against Gymnasium's environments, over whole episodes, to the last bit."""

import shutil
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

import torchpolicy as tp
from torchpolicy.base.errors import CodeError
from torchpolicy.envs.make import make_environment
from torchpolicy.envs.mujoco.make import ROBOTS
from torchpolicy.rollout.make import make_rollout

NAMES = sorted(
    f"{spec.name}-v5"
    for spec in gymnasium.registry.values()
    if spec.version == 5 and str(spec.entry_point).removeprefix("gymnasium.envs.mujoco.").replace(":", ".") in ROBOTS
)

ARGS: list[tuple[str, dict[str, Any]]] = [
    ("HalfCheetah-v5", {"forward_reward_weight": 0.7, "exclude_current_positions_from_observation": False}),
    ("Hopper-v5", {"terminate_when_unhealthy": False, "healthy_reward": 0.3, "frame_skip": 2}),
    ("Hopper-v5", {"healthy_state_range": (-3.0, 3.0), "healthy_z_range": (0.5, 2.0), "reset_noise_scale": 0.1}),
    ("Walker2d-v5", {"healthy_angle_range": (-0.3, 0.3), "exclude_current_positions_from_observation": False}),
    ("Swimmer-v5", {"exclude_current_positions_from_observation": False, "ctrl_cost_weight": np.float64(0.3)}),
    ("Ant-v5", {"include_cfrc_ext_in_observation": False, "main_body": "front_left_leg", "contact_cost_weight": 0.1}),
    ("Ant-v5", {"contact_force_range": (-5.0, 3.0), "terminate_when_unhealthy": False, "healthy_reward": 0.2}),
    ("Humanoid-v5", {"include_cvel_in_observation": False, "contact_cost_range": (0.0, 1e-3), "healthy_reward": 0.5}),
    ("HumanoidStandup-v5", {"include_cinert_in_observation": False, "impact_cost_weight": 1e-3}),
    ("InvertedDoublePendulum-v5", {"healthy_reward": 3, "reset_noise_scale": 0.3}),
    ("Reacher-v5", {"reward_control_weight": 0.5}),
    ("Pusher-v5", {"reward_near_weight": 2.0}),
]


def test_all_eleven_are_there() -> None:
    assert len(NAMES) == len(ROBOTS) == 11


def compare(name: str, args: dict[str, Any], dtype: type, *, episodes: int = 6, steps: int = 300) -> None:
    """Play episodes in slots that share one data structure, and each in Gymnasium; random actions."""
    slots, environment = 4, make_environment(name, args, steps)
    assert environment.backend == "native"
    rng, waiting = np.random.default_rng(0), list(range(episodes))
    shared = environment.make_slots(slots, np.dtype(np.float64))
    single = [gymnasium.make(name, steps, disable_env_checker=True, **args) for _ in range(slots)]
    low, high = environment.action_space.low, environment.action_space.high
    live = list(range(slots))
    for slot in live:
        assert shared.reset(slot, waiting[0]) is None
        np.testing.assert_array_equal(shared.observations[slot], single[slot].reset(seed=waiting.pop(0))[0])
    while live:
        actions = rng.uniform(low, high, (slots, *low.shape)).astype(dtype)
        ended, failed = shared.step(live, actions)
        assert not failed
        for slot in list(live):
            observation, reward, terminated, truncated, _ = single[slot].step(actions[slot])
            np.testing.assert_array_equal(shared.observations[slot], observation)
            assert shared.rewards[slot] == reward
            assert (slot in ended) == (terminated or truncated)
            if slot in ended:
                assert shared.truncated[slot] == (not terminated)
                if not waiting:
                    live.remove(slot)
                    continue
                assert shared.reset(slot, waiting[0]) is None
                np.testing.assert_array_equal(shared.observations[slot], single[slot].reset(seed=waiting.pop(0))[0])
    shared.close()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_step_by_step_it_is_gymnasiums(name: str, dtype: type) -> None:
    compare(name, {}, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_over_whole_episodes_it_is_gymnasiums(name: str) -> None:
    compare(name, {}, np.float32, episodes=12, steps=1000)


@pytest.mark.parametrize(("name", "args"), ARGS)
def test_with_arguments_it_is_gymnasiums(name: str, args: dict[str, Any]) -> None:
    compare(name, args, np.float32, episodes=5, steps=100)


@pytest.mark.parametrize("name", ["HalfCheetah-v5", "Hopper-v5", pytest.param("Humanoid-v5", marks=pytest.mark.slow)])
def test_a_population_earns_what_it_does_in_gymnasiums(name: str) -> None:
    """With more episodes than slots, and the moments for a normaliser."""
    there, here = (make_environment(name, max_episode_steps=150, backend=each) for each in ("gymnasium", "native"))
    policy = tp.MLPPolicy(*there.spaces, hidden=(16,))
    policy.normalize()
    candidates = torch.randn(20, tp.ParamVector(policy.net).dim, generator=torch.Generator().manual_seed(0))
    with make_rollout(there, policy) as one, make_rollout(here, policy) as other:
        expected, outcome = (rollout.play(candidates, [3, 4], observe=True) for rollout in (one, other))
    for each in ("returns", "lengths", "truncated", "moments"):
        np.testing.assert_array_equal(getattr(outcome, each), getattr(expected, each))


def test_a_slot_that_fails_leaves_the_others_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = make_environment("Hopper-v5")
    slots, alone = (environment.make_slots(count, np.dtype(np.float64)) for count in (3, 1))
    for slot in range(3):
        slots.reset(slot, slot)
    alone.reset(0, 2)
    actions = np.zeros((3, 3), np.float32)
    advance = slots._robot.advance  # type: ignore[attr-defined]

    def fail(slot: int) -> None:
        if slot == 1:
            raise RuntimeError("the stack of MuJoCo is full")
        advance(slot)

    monkeypatch.setattr(slots._robot, "advance", fail)  # type: ignore[attr-defined]
    ended, failed = slots.step([0, 1, 2], actions)
    assert not ended
    assert list(failed) == [1]
    assert failed[1].startswith("step raised RuntimeError: the stack of MuJoCo is full")
    assert slots.reset(1, 2) is None
    alone.step([0], actions[:1])
    np.testing.assert_array_equal(slots.observations[2], alone.observations[0])
    slots.step([0, 1, 2], actions)
    np.testing.assert_array_equal(slots.observations[1], alone.observations[0])


class Doubled(gymnasium.RewardWrapper[Any, Any]):
    def reward(self, reward: Any) -> Any:
        return 2 * reward


@pytest.mark.filterwarnings("ignore:.*out of date:DeprecationWarning")
@pytest.mark.parametrize(
    ("env", "args"),
    [
        ("HalfCheetah-v4", {}),
        ("Ant-v5", {"xml_file": "another"}),
        ("Mine/Doubled-v0", {}),
        (lambda: gymnasium.make("Hopper-v5"), {}),
    ],
)
def test_what_was_changed_goes_through_gymnasium(env: Any, args: dict[str, Any], tmp_path: Any) -> None:
    if args:
        inner: Any = gymnasium.make("Ant-v5").unwrapped
        args = {"xml_file": shutil.copy(inner.fullpath, tmp_path)}
    if env == "Mine/Doubled-v0" and env not in gymnasium.registry:
        entry = "gymnasium.envs.mujoco.hopper_v5:HopperEnv"
        wrapper = gymnasium.envs.registration.WrapperSpec("Doubled", f"{__name__}:Doubled", {})
        gymnasium.register(env, entry, max_episode_steps=50, additional_wrappers=(wrapper,))
    environment = make_environment(env, args)
    assert environment.backend == "gymnasium"
    assert bool(environment.note) == isinstance(env, str)
    with pytest.raises(ValueError, match="there is no native"):
        make_environment(env, args, backend="native")


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("Hopper-v5", {"healthy_state_range": np.array([-100.0, 100.0])}),
        ("Hopper-v5", {"healthy_state_range": (np.full(10, -2.0), np.full(10, 2.0))}),
        ("Ant-v5", {"contact_cost_weight": np.float32(0.1), "healthy_z_range": [0.2, 1.0]}),
    ],
)
def test_unusual_arguments_are_gymnasiums_too(name: str, args: dict[str, Any]) -> None:
    compare(name, args, np.float32, episodes=4, steps=60)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("Ant-v5", {"contact_force_range": (np.full(6, -1.0), np.full(6, 1.0))}),
        ("Hopper-v5", {"healthy_reward": 10**30}),
        ("InvertedDoublePendulum-v5", {"healthy_reward": np.array([1.0])}),
        ("Ant-v5", {"main_body": "nonsense"}),
        ("Hopper-v5", {"healthy_reward": None}),
        ("Humanoid-v5", {"contact_cost_range": (0,)}),
        ("Humanoid-v5", {"frame_skip": -1}),
    ],
)
def test_arguments_that_do_not_suit_arrays_go_through_gymnasium(name: str, args: dict[str, Any]) -> None:
    assert make_environment(name, args).backend == "gymnasium"


def test_a_method_that_was_changed_goes_through_gymnasium(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gymnasium.envs.mujoco.hopper_v5.HopperEnv._get_rew", lambda *_: (42.0, {}))
    assert make_environment("Hopper-v5").backend == "gymnasium"


def test_the_order_of_actions_in_memory_does_not_matter() -> None:
    one, other = (make_environment("Ant-v5").make_slots(4, np.dtype(np.float64)) for _ in range(2))
    rng = np.random.default_rng(0)
    for slot in range(4):
        one.reset(slot, slot)
        other.reset(slot, slot)
    for _ in range(20):
        actions = rng.uniform(-1, 1, (4, 8)).astype(np.float32)
        one.step([0, 1, 2, 3], actions)
        other.step([0, 1, 2, 3], np.asfortranarray(actions))
        np.testing.assert_array_equal(one.rewards, other.rewards)


@pytest.mark.parametrize("action", [np.nan, np.inf, 1e6, 1e200])
def test_absurd_actions_do_in_a_slot_what_they_do_alone(action: float) -> None:
    """MuJoCo sets a state that is not finite back to its beginning, and other slots stay as they are."""
    slots = make_environment("HalfCheetah-v5").make_slots(2, np.dtype(np.float64))
    single = [gymnasium.make("HalfCheetah-v5", disable_env_checker=True) for _ in range(2)]
    for slot, env in enumerate(single):
        slots.reset(slot, slot)
        env.reset(seed=slot)
    actions = np.zeros((2, 6))
    actions[0] = action
    for _ in range(5):
        slots.step([0, 1], actions)
        for slot, env in enumerate(single):
            with np.errstate(over="ignore", invalid="ignore"):
                observation, reward, *_ = env.step(actions[slot])
            np.testing.assert_array_equal(slots.observations[slot], observation)
            np.testing.assert_array_equal(slots.rewards[slot], reward)


def test_an_environment_that_cannot_be_made_again_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    slots: Any = make_environment("Hopper-v5").make_slots(1, np.dtype(np.float64))
    slots.reset(0, 0)

    def fail(*_: Any) -> None:
        raise OSError("gone")

    monkeypatch.setattr(slots._robot, "advance", fail)
    monkeypatch.setattr(slots, "_make", fail)
    with pytest.raises(CodeError, match="making the environment failed: OSError: gone"):
        slots.step([0], np.zeros((1, 3), np.float32))
