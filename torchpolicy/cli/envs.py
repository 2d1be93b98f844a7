"""List the environments that can be used here, and which algorithms have presets for them."""

import importlib.util

import gymnasium
from gymnasium.envs.registration import EnvSpec

from torchpolicy.cli.base import as_options, parse
from torchpolicy.envs.gym import is_mujoco
from torchpolicy.envs.make import twins
from torchpolicy.runs.algorithms import algorithm_names
from torchpolicy.runs.preset import presets_of

FAMILIES = {  # for each module of Gymnasium: the heading, the module that it needs, and the extra that installs it
    "classic_control": ("classic control", None, ""),
    "toy_text": ("toy text", None, ""),
    "box2d": ("Box2D", "Box2D", "box2d"),
    "mujoco": ("MuJoCo", "mujoco", "mujoco"),
}

LEGEND = """threshold: return at which it counts as solved    limit: steps in an episode
native: stepped by this package, many at once, with Gymnasium's returns    presets: algorithms with settings for it"""

OTHERS = "from other packages"


@as_options
class EnvsOptions:
    """List the environments that Gymnasium knows here, the newest version of each.

    The column threshold is the return at which an environment counts as solved, and limit is the largest number of
    steps in an episode. The column native marks environments that this package can also step itself, many at once on
    tensors or in one MuJoCo data structure; the returns equal Gymnasium's "to the bit" or "nearly". The column presets
    names the algorithms that have settings for the environment.

    An environment from another package is named "package:Name-v0", which imports the package. An environment of your
    own is named "pkg.mod:callable".
    """


def run(arguments: list[str]) -> None:
    """``torchpolicy envs``."""
    parse(EnvsOptions, "torchpolicy envs", arguments)
    print(f"{'environment':28} {'threshold':>9} {'limit':>6}  {'native':10}  presets")
    for heading, specs in _families().items():
        print(f"\n{heading}")
        for spec in specs:
            print(f"  {_describe(spec)}".rstrip())
    print(f"\n{LEGEND}")


def _families() -> dict[str, list[EnvSpec]]:
    """The newest version of each environment, grouped under headings."""
    newest: dict[tuple[str | None, str], EnvSpec] = {}
    for spec in gymnasium.registry.values():
        key = spec.namespace, spec.name
        if isinstance(spec.entry_point, str) and (
            key not in newest or (spec.version or 0) > (newest[key].version or 0)
        ):
            newest[key] = spec
    found: dict[str, list[EnvSpec]] = {}
    for family in FAMILIES:
        found[_heading(family)] = []
    for spec in newest.values():
        module = str(spec.entry_point).partition(":")[0].split(".")
        ours = module[:2] == ["gymnasium", "envs"] and module[2] in FAMILIES
        if ours or module[0] != "gymnasium":
            found.setdefault(_heading(module[2]) if ours else OTHERS, []).append(spec)
    return found


def _heading(family: str) -> str:
    name, needs, extra = FAMILIES[family]
    there = needs is None or importlib.util.find_spec(needs) is not None
    return name if there else f'{name} (not installed: pip install "torchpolicy[{extra}]")'


def _describe(spec: EnvSpec) -> str:
    twin = twins().get(spec.id)
    native = "" if twin is None else "to the bit" if twin.bit_equal else "nearly"
    if is_mujoco(spec) and spec.version == 5:
        native = "to the bit"
    presets = " ".join(name for name in algorithm_names() if spec.id in presets_of(name))
    threshold = "" if spec.reward_threshold is None else f"{spec.reward_threshold:g}"
    return f"{spec.id:26} {threshold:>9} {spec.max_episode_steps or '':>6}  {native:10}  {presets}"
