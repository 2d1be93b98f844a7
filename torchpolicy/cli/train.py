"""Train a policy and save it in a run folder."""

import shlex
import sys
import types
from collections.abc import Callable
from dataclasses import field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import docstring_parser
import tyro
from torch import Tensor

from torchpolicy.api import train
from torchpolicy.cli.base import as_options, parse, parse_pairs, print_result, settings_options, words_of
from torchpolicy.many.seeds import SeedsError, seeds_in_words, train_seeds
from torchpolicy.output.comparison import compare
from torchpolicy.output.config import OLD_NAMES
from torchpolicy.output.plots import plot
from torchpolicy.policies.base import Policy
from torchpolicy.policies.make import policy_names
from torchpolicy.runs.algorithms import (
    Algorithm,
    algorithm_class,
    algorithm_names,
    descriptions_of,
    hyperparameters_of,
    instead_of,
)
from torchpolicy.runs.config_file import algorithm_in, read_settings
from torchpolicy.runs.settings import Settings
from torchpolicy.runs.soften import soften
from torchpolicy.runs.trained import load
from torchpolicy.training.callbacks import Render

EXAMPLE = "--env LunarLander-v3 {policy} --seed 1 --total-steps 2000000 --workers 2"


OF_STD = {
    "std": "First standard deviation of all weights. If not set, each layer's initial scale, which is "
    "1 / sqrt(number of its inputs), times --std-scale.",
    "std_scale": "First standard deviation in units of each layer's initial scale. If not set, 1 for a policy of one "
    "layer, and 0.58 for a network with hidden layers.",
}
"""Help for a std where a run is set up from the shell."""

OF_POLICY = (
    f"Policy: {', '.join(policy_names())}, or one of your own as pkg.mod:factory, a function "
    "factory(observation_space, action_space) that returns a module or a torchpolicy.Policy. "
    "If not set: mlp if --hidden is given, otherwise the preset's policy, or linear if there is none."
)
"""Help for a policy: every policy there is."""


OWN: dict[str, tuple[Any, str]] = {
    "config": (
        Path | None,
        "File of settings: a TOML file, a run's config.json, to train as that run did, or what torchpolicy sweep "
        "--write-preset has written. An option that is given replaces the value in the file.",
    ),
    "hidden": (
        Annotated[tuple[int, ...] | None, tyro.conf.arg(metavar="INT ...")],
        "Units of each hidden layer, such as 64 64 or 64,64: of an mlp, or of what --policy names.",
    ),
    "from_run": (
        Annotated[Path | None, tyro.conf.arg(name="from")],
        "Folder of another run: training goes on from its policy, whatever algorithm trained it.",
    ),
    "soften": (
        float | None,
        "How widely the policy of --from samples at first, whatever its weights: the share of the largest entropy of "
        "its choices, or for Box actions their standard deviation. What it does greedily stays the same.",
    ),
}
"""Options of this command about the policy, and the file of settings, that are no settings: type and help."""

RENDER = (
    int | None,
    "Generations between windows that show an episode of the policy while it trains. If not set, there are none.",
)
"""The option that shows the policy: type and help."""


SEVERAL: dict[str, tuple[Any, str]] = {
    "seeds": (
        str | None,
        "Seeds to train with instead of one, such as 0-9 or 0,3,5 or 0-3,7. Each gets a whole run, the same as with "
        "--seed alone, and all of them lie in one folder, --run-dir or a new one in --log-dir. If this is interrupted, "
        "the same command goes on where it was.",
    ),
    "jobs": (
        int | None,
        "Number of runs that --seeds trains at a time, each in a process of its own. If not set, it is the number of "
        "cores, divided by --workers.",
    ),
}
"""Options for several seeds: type and help."""


def _run_options() -> Any:
    """The options that are the same for every algorithm."""
    settings = settings_options([each.name for each in fields(Settings)], policy=OF_POLICY)
    options = []
    for each in settings:
        more = {"policy_args": OWN, "seed": SEVERAL, "eval_every": {"render": RENDER}}.get(each[0], {})
        options += [
            each,
            *((name, Annotated[kind, tyro.conf.arg(help=text)], None) for name, (kind, text) in more.items()),
        ]
    namespace = {"__doc__": "Settings of a run, the same for every algorithm."}
    return as_options(make_dataclass("RunSettings", options, namespace=namespace))


def run(arguments: list[str]) -> None:
    """``torchpolicy train ALGO --env ENV …``."""
    config, known = _config_of(arguments), algorithm_names()
    named = bool(arguments) and not arguments[0].startswith("-")
    name = arguments[0] if named else config and algorithm_in(config)
    if not isinstance(name, str):
        if {"-h", "--help"} & set(arguments):
            print(_help(known))
            return
        raise ValueError(f"train what? name an algorithm first: torchpolicy train {{{','.join(known)}}} --env ENV")
    try:
        algorithm = algorithm_class(name)
    except ValueError as error:
        raise error if named else ValueError(f"{config}: {error}") from None
    arguments = _apart("--hidden", _with_new_names(arguments))

    def instead(option: str) -> str:
        return instead_of(option.strip("-").replace("-", "_"), algorithm)

    options = parse(_options_of(name, algorithm), f"torchpolicy train {name}", arguments[named:], instead)
    given = _given(vars(options.run) | vars(options.hyperparameters), arguments) | {"algorithm": name}
    several = _several(given)
    from_run, spread = given.pop("from", None), given.pop("soften", None)
    if spread is not None and from_run is None:
        raise ValueError("--soften is for the policy of --from: name its run, too")
    if config is not None:
        if algorithm_in(config) not in (None, name):
            raise ValueError(f"{config} is of {algorithm_in(config)}, and {name} was asked for: leave one of them out")
        given = read_settings(config, **given | ({} if from_run is None else {"policy": given.get("policy")}))
    if "env" not in given:
        raise ValueError("train where? name an environment with --env: a Gymnasium id, or pkg.mod:callable")
    own = None
    if from_run is not None:
        own = given.get("policy")
        given["policy"] = _policy_of(Path(from_run), given)
    if spread is not None:
        place = {name: given[name] for name in ("env_args", "max_episode_steps", "backend", "seed") if name in given}
        soften(given["policy"], given["env"], spread, **place)
    every = given.pop("render", None)
    if every is not None:
        if several:
            raise ValueError("--render shows one run: give one --seed instead of --seeds")
        place = {name: given[name] for name in ("env_args", "max_episode_steps") if name in given}
        given["callbacks"] = [Render(given["env"], every, **place)]
    if several:
        given.pop("seed", None)  # which a file of settings may hold
        _train_seeds(given | several)
    else:
        print_result(train(**given), own)


def _several(given: dict[str, Any]) -> dict[str, Any]:
    """Take the options for several seeds from those that were given; empty if there are none."""
    taken = {name: given.pop(name) for name in SEVERAL if name in given}
    if "seeds" in taken:
        if "seed" in given:
            raise ValueError("--seed and --seeds are two ways to say the same: leave one of them out")
        taken["seeds"] = seeds_in_words(taken["seeds"])
    elif taken:
        raise ValueError("--jobs goes with --seeds: it says how many of them are trained at a time")
    return taken


def _train_seeds(given: dict[str, Any]) -> None:
    """Train with several seeds, and print what they came to.

    Raises:
        SeedsError: If a seed failed, after everything else was printed.
    """
    failed = None
    try:
        folder = train_seeds(**given)[0].run_dir.parent
    except SeedsError as error:
        folder, failed = error.run_dir, error
        if not error.results:
            raise
    print(compare(folder))
    try:
        print(f"\ncurves {plot(folder, folder / 'curves.png')}")
    except ValueError as error:  # matplotlib is missing
        print(f"\ncurves none: {error}")
    print(f"runs   {folder}")
    others = folder if "run_dir" in given else folder.parent  # with what else was trained in this environment
    print(f"next   torchpolicy compare {shlex.quote(str(others))}")
    print(f"       tensorboard --logdir {shlex.quote(str(folder))}", flush=True)
    if failed is not None:
        raise failed


def _config_of(arguments: list[str]) -> str | None:
    """The file of ``--config``, which has to be known before the options are, for it may name the algorithm."""
    for place, word in enumerate(arguments):
        name, equals, path = word.partition("=")
        if name == "--config":
            return path if equals else "".join(arguments[place + 1 : place + 2])
    return None


def _apart(option: str, arguments: list[str]) -> list[str]:
    """The arguments, with numbers of an option that are joined by commas, ``64,64``, as words of their own."""
    said = words_of(option, arguments)
    numbers = [number for word in said for number in word.strip("()[]").split(",") if number]
    place = next((at for at, word in enumerate(arguments) if word.partition("=")[0] == option), None)
    if place is None:
        return arguments
    if not numbers:
        raise ValueError(f"{option} takes the units of each hidden layer, such as {option} 64 64")
    return [
        *arguments[:place],
        option,
        *numbers,
        *arguments[place + (1 if "=" in arguments[place] else 1 + len(said)) :],
    ]


def _with_new_names(arguments: list[str]) -> list[str]:
    """The arguments, with options that had another name in earlier versions under the new one."""
    known = {f"--{old.replace('_', '-')}": f"--{new.replace('_', '-')}" for old, new in OLD_NAMES.items()}
    split = [word.partition("=") for word in arguments]
    return ["".join([known.get(name.replace("_", "-"), name), *rest]) for name, *rest in split]


def _given(options: dict[str, Any], arguments: list[str]) -> dict[str, Any]:
    """What was said, and only that, as keywords of :func:`train`, and ``from``."""
    said = {word.partition("=")[0].strip("-").replace("-", "_") for word in arguments if word.startswith("--")}
    said |= {word.removeprefix("no_") for word in said}
    options["from"] = options.pop("from_run")
    given = {name: value for name, value in options.items() if name in said - {"config", "hidden"}}
    for name in {"env_args", "policy_args", "optimizer_args"} & given.keys():
        given[name] = parse_pairs(f"--{name.replace('_', '-')}", given[name])
    if "hidden" in said:
        given["policy_args"] = given.get("policy_args", {}) | {"hidden": options["hidden"]}
        given.setdefault("policy", "mlp")
    return given


def _policy_of(run_dir: Path, settings: dict[str, Any]) -> Policy:
    """The policy that another run ended with."""
    own = settings.get("policy")
    if settings.get("policy_args") or (own is not None and ":" not in own):
        raise ValueError(f"--from {run_dir} brings a policy: leave --policy, --policy-args and --hidden out")
    return load(run_dir, own)


def _options_of(name: str, algorithm: type[Algorithm]) -> Any:
    """The options of a run, and the algorithm's hyperparameters from its constructor's signature and docstring."""
    hints = get_type_hints(algorithm.__init__)
    described = docstring_parser.parse(algorithm.__doc__ or "")
    options: list[Any] = []
    hints |= {"std": float | None, "std_scale": float | None}
    texts = descriptions_of(algorithm) | OF_STD
    for parameter in hyperparameters_of(algorithm).values():
        kind, text, metavar = _as_words(hints[parameter.name]), texts[parameter.name], None
        if parameter.name == "optimizer_args":
            kind, metavar = tuple[str, ...] | None, "NAME=VALUE ..."
        default = None if parameter.name == "std" else parameter.default
        options.append((parameter.name, Annotated[kind, tyro.conf.arg(help=text, metavar=metavar)], default))
    hyperparameters: Any = as_options(
        make_dataclass("Hyperparameters", options, namespace={"__doc__": f"Hyperparameters of {name}."})
    )
    example = EXAMPLE.format(policy="--policy linear" if algorithm.matrices else "--hidden 64 64")
    return make_dataclass(
        name,
        [("run", _run_options()), ("hyperparameters", hyperparameters, field(default_factory=hyperparameters))],
        namespace={"__doc__": f"{described.short_description}\n\nFor example: torchpolicy train {name} {example}"},
    )


def _as_words(kind: Any) -> Any:
    """A type as the command line can give it: tensors and callables are for Python."""
    if get_origin(kind) in (Union, types.UnionType):
        options = [option for option in get_args(kind) if option is not Tensor and get_origin(option) is not Callable]
        return Union[tuple(options)]  # noqa: UP007
    return kind


def _help(known: list[str]) -> str:
    lines = ["usage: torchpolicy train ALGO --env ENV [options]", "", __doc__ or "", "", "algorithms:"]
    for name in known:
        module = sys.modules[algorithm_class(name).__module__]
        lines.append(f"  {name:10} {(module.__doc__ or '').splitlines()[0]}")
    lines += ["", "torchpolicy train ALGO --help lists the options of an algorithm. To begin, type:", ""]
    lines += ["  torchpolicy train cem --env CartPole-v1"]
    return "\n".join(lines)
