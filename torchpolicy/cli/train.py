"""Train a policy and save it in a run folder."""

import dataclasses
import sys
import types
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import docstring_parser
import tyro
from torch import Tensor

from torchpolicy.api import train
from torchpolicy.base.discovery import names
from torchpolicy.cli.base import as_options, parse, parse_pairs, print_result, words_of
from torchpolicy.policies.base import Policy
from torchpolicy.runs.algorithms import Algorithm, algorithm_class, algorithm_names, descriptions_of, hyperparameters_of
from torchpolicy.runs.settings import algorithm_in, read_settings
from torchpolicy.runs.trained import load

EXAMPLE = "--env LunarLander-v3 --hidden 64 64 --seed 1 --total-steps 2000000 --workers 2"


OF_STD = {
    "std": "First standard deviation, of all weights. If not set, each layer's initial scale times std_scale.",
    "std_scale": "First standard deviation in units of each layer's initial scale.",
}
"""What is said of a std where a run is set up from the shell."""


OF_POLICY = (
    f"{', '.join(names('policies'))}, or pkg.mod:factory for one of your own, a function "
    "factory(observation_space, action_space) that returns a module or a torchpolicy.Policy. "
    "If not set, mlp where --hidden is given, and linear otherwise."
)
"""Every policy there is."""


@as_options
class TrainOptions:
    """Settings of a run, the same for every algorithm."""

    config: Path | None = None
    """Settings from a file: a TOML, or a run's config.json, to train as it did. What is given beside it counts."""
    env: str | None = None
    """A Gymnasium id, or pkg.mod:callable for an environment of your own. Required unless --config names it."""
    env_args: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")] = ()
    """Keywords for the environment."""
    policy: Annotated[str | None, tyro.conf.arg(help=OF_POLICY)] = None
    policy_args: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")] = ()
    """Keywords for the policy."""
    hidden: Annotated[tuple[int, ...] | None, tyro.conf.arg(metavar="INT ...")] = None
    """Units of each hidden layer of an mlp: 64 64, or 64,64."""
    from_run: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Go on from the policy of another run, whatever trained it: the run's folder."""
    normalize_observations: bool | None = None
    """Bring observations to mean 0 and std 1 by what candidates saw. Off unless the preset or --from says otherwise."""
    seed: int = 0
    """Seed of everything random: first weights, search, episodes."""
    target: str = "auto"
    """Held-out score at which to stop: a number, none, or auto, which is the preset's or else the environment's own,
    and none where a budget is given."""
    generations: int | None = None
    """Budget of generations."""
    total_steps: int | None = None
    """Budget of environment steps. One million if no budget is given."""
    seconds: float | None = None
    """Budget of wall time."""
    tolerance: float | None = None
    """Stop when the held-out scores have stayed within this range for --tolerance-generations."""
    tolerance_generations: int = 50
    """Generations for which the held-out scores have to stay within --tolerance."""
    episodes: int | None = None
    """Episodes that each candidate plays in a generation, or that a learner learns from. 1 for candidates, and the
    learner's own number, unless the preset says otherwise."""
    reevaluate: int | None = None
    """Fresh episodes that the best quarter of the candidates plays as well, to be ranked again. 0 unless the preset
    says otherwise."""
    failed: Literal["dropped", "worst"] | None = None
    """What becomes of a candidate with a failed episode: it is dropped, or gets the worst score of its generation.
    dropped unless the preset says otherwise."""
    survival_bonus: float | None = None
    """What is taken off the return for each step, in training only. 0 unless the preset says otherwise."""
    eval_episodes: int | None = None
    """Episodes of each held-out evaluation, and of the final test. 100 unless the preset says otherwise."""
    eval_every: int | None = None
    """Generations between held-out evaluations. 10 unless the preset says otherwise."""
    preset: bool = True
    """Fill in what is not given from the preset of the algorithm for the environment, where there is one."""
    backend: Literal["auto", "gymnasium", "native"] = "auto"
    """native: our own twin of an environment, on tensors; auto: where its returns are Gymnasium's to the last bit."""
    compile: bool = False
    """Step an environment on tensors in one compiled graph, in float32: for large populations."""
    device: str = "cpu"
    """Where networks and environments on tensors are computed: cpu, cuda, or cuda:1 for one of several."""
    max_episode_steps: int | None = None
    """Time limit of an episode in steps, instead of the environment's own."""
    strict: bool = False
    """Refuse an environment whose episodes depend on more than seed and actions, instead of saying so in a line."""
    log_dir: Path = Path("runs")
    """Folder in which run folders are made."""
    run_dir: Path | None = None
    """The run's folder itself. A run of equal configuration that it holds is resumed."""
    checkpoint_seconds: float = 10.0
    """Seconds between checkpoints. 0 writes one after every generation."""
    workers: int = 1
    """Processes on this machine. Any number gives the same result."""


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
    arguments = _apart("--hidden", arguments)
    options = parse(_options_of(name, algorithm), f"torchpolicy train {name}", arguments[named:])
    given = _given(vars(options.run) | vars(options.hyperparameters), arguments) | {"algorithm": name}
    from_run = given.pop("from", None)
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
    print_result(train(**given), own)


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


def _given(options: dict[str, Any], arguments: list[str]) -> dict[str, Any]:
    """What was said, and only that, as keywords of :func:`train`, and ``from``."""
    said = {word.partition("=")[0].strip("-").replace("-", "_") for word in arguments if word.startswith("--")}
    said |= {word.removeprefix("no_") for word in said}
    options["from"] = options.pop("from_run")
    given = {name: value for name, value in options.items() if name in said - {"config", "hidden"}}
    for name in {"env_args", "policy_args"} & given.keys():
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
    """The options above, and the algorithm's hyperparameters from its constructor's signature and docstring."""
    hints = get_type_hints(algorithm.__init__)
    described = docstring_parser.parse(algorithm.__doc__ or "")
    fields: list[Any] = []
    hints |= {"std": float | None, "std_scale": float}
    texts = descriptions_of(algorithm) | OF_STD
    for parameter in hyperparameters_of(algorithm).values():
        kind, text = _as_words(hints[parameter.name]), texts[parameter.name]
        default = None if parameter.name == "std" else parameter.default
        fields.append((parameter.name, Annotated[kind, tyro.conf.arg(help=text)], default))
    hyperparameters: Any = as_options(
        dataclasses.make_dataclass("Hyperparameters", fields, namespace={"__doc__": f"Of {name}."})
    )
    return dataclasses.make_dataclass(
        name,
        [("run", TrainOptions), ("hyperparameters", hyperparameters, field(default_factory=hyperparameters))],
        namespace={"__doc__": f"{described.short_description}\n\nFor example: torchpolicy train {name} {EXAMPLE}"},
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
    lines += ["", "torchpolicy train ALGO --help lists the options of an algorithm. To begin with:", ""]
    lines += ["  torchpolicy train cem --env CartPole-v1"]
    return "\n".join(lines)
