"""Reading options from the command line, and printing a run's result."""

import ast
import io
import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import MISSING, dataclass, fields
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, dataclass_transform, get_origin, get_type_hints

import tyro

from torchpolicy.base.checks import suggestion
from torchpolicy.base.user_code import import_name
from torchpolicy.output.blueprint import OwnPolicy
from torchpolicy.policies.base import Policy
from torchpolicy.runs.hints import to_evaluate
from torchpolicy.runs.result import Result
from torchpolicy.runs.settings import Settings, about
from torchpolicy.runs.trained import load_run

Options = TypeVar("Options")

FRAME = ("╭", "│", "╰", " ", "\x1b")
"""What the lines of tyro's frames begin with, in letters of any terminal."""

NUMBERS = {"INT": "a whole number", "FLOAT": "a number"}
"""Kinds of values in words, by tyro's names for them."""


@dataclass_transform(kw_only_default=True)
def as_options(kind: type[Options]) -> type[Options]:
    """Make a class into a dataclass for :func:`parse`. The help names no default for options that are not set."""
    for name, annotation in kind.__annotations__.items():
        if getattr(kind, name, "required") in (None, ()):
            kind.__annotations__[name] = Annotated[annotation, tyro.conf.arg(help_behavior_hint="")]
    return dataclass(kw_only=True)(kind)


def parse(
    options: type[Options], prog: str, arguments: Sequence[str], instead: Callable[[str], str] = lambda name: ""
) -> Options:
    """Read options from the words of a command line.

    Args:
        options: A class made with :func:`as_options`.
        prog: The command, as its help names it.
        arguments: The words after the command.
        instead: Words about an unknown option that stand there instead of a similar one; empty where there are none.

    Raises:
        ValueError: If the arguments have a mistake.
        SystemExit: If ``--help`` was given. Its code is 0.
    """
    read = partial(tyro.cli, options, prog=prog, config=(tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone))
    said, page = io.StringIO(), _Page()
    try:
        with redirect_stderr(said), redirect_stdout(page):
            found: Options = read(args=arguments)
        return found
    except SystemExit as end:
        if not end.code:
            helps = bool({"-h", "--help"} & set(arguments))  # and is no script for the completion of a shell
            print(_wrapped(page.getvalue()) if helps else page.getvalue())
            raise
    with redirect_stdout(io.StringIO()) as told, suppress(SystemExit):
        read(args=["--help"])
    known = re.findall(r"--[\w-]+", told.getvalue())
    for word in arguments:
        name = word.partition("=")[0]
        if name.startswith("--") and name.replace("_", "-") not in known:
            meant = instead(name) or suggestion(name, known)
            raise ValueError(f"unknown option {name}{meant}\n  {prog} --help lists them")
    raise ValueError(_plainly(_unframed(said.getvalue()), arguments))


class _Page(io.StringIO):
    """A page of help, in the colours and letters of the terminal that it will be shown in."""

    encoding: str = getattr(sys.__stdout__, "encoding", "utf-8")

    def isatty(self) -> bool:
        return sys.__stdout__ is not None and sys.__stdout__.isatty()


def _wrapped(page: str) -> str:
    """A page of help whose prose, between the usage and the frames, is as wide as the terminal; commands stay whole."""
    usage, *paragraphs = page.split("\n\n")
    width, whole = shutil.get_terminal_size().columns, []
    for each in paragraphs:
        is_prose = not each.startswith((*FRAME, "For example"))
        whole.append(textwrap.fill(" ".join(each.split()), width) if is_prose else each)
    return "\n\n".join([usage, *whole]).rstrip("\n")


def words_of(option: str, arguments: Sequence[str]) -> list[str]:
    """The values given to an option, as in ``--name a b`` or ``--name=a``, up to the next option."""
    for place, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name.startswith("--") and name.replace("_", "-") == option:
            rest = arguments[place + 1 :]
            end = next((at for at, later in enumerate(rest) if later.startswith("--")), len(rest))
            return [value] if equals else list(rest[:end])
    return []


def _plainly(text: str, arguments: Sequence[str]) -> str:
    """A message of tyro about a value that is no number, in plain words, or no choice; others are left unchanged."""
    choices = re.search(r"Expected one of \(.*", text)
    if choices:  # in any order, and where tyro breaks the line it may lose a comma or a bracket
        known = sorted(set(re.findall(r"'.*?'", choices[0])) - {"'None'"})
        return text.replace(choices[0], f"Expected one of {', '.join(known)}.")
    found = re.match(r"Error parsing (--[\w-]+): ", text)
    kind = found and re.search(rf"^  {found[1]} (INT|FLOAT)(\|{{auto}})?( \.\.\.)?$", text, re.MULTILINE)
    if not (found and kind):
        return text
    takes = NUMBERS[kind[1]] + (" or auto" if kind[2] else "")
    return f"{found[1]} takes {takes}, got {' '.join(words_of(found[1], arguments))}{text[kind.end() :]}"


def _unframed(text: str) -> str:
    """A message of tyro without its frame and title, as plain lines. The first paragraph becomes the first line."""
    lines = [line[1:-1].strip().strip("─") for line in text.splitlines()[1:]]
    lines = [line if line.strip("-") else "" for line in lines]  # a ruled line counts as empty
    first, *others = [list(paragraph) for full, paragraph in groupby(lines, bool) if full]
    sentence = re.sub(r" (?=[.,]( |$))", "", " ".join(first))  # a line of the frame may begin with a full stop
    return "\n".join([sentence, *(f"  {line}" for paragraph in others for line in paragraph)])


def settings_options(
    chosen: Sequence[str], *, open_by_default: bool = False, **texts: str
) -> list[tuple[str, Any, Any]]:
    """Settings of a run as fields of a dataclass of options: name, type with help, and default.

    Args:
        chosen: Names of the settings. Those that have no option are left out.
        open_by_default: Whether all of them are None unless they are given.
        **texts: Help for some of them, instead of their own.
    """
    hints, options = get_type_hints(Settings), []
    for each in fields(Settings):
        known = about(each)
        if each.name in chosen and known.option is not None:
            kind: Any = hints[each.name] if known.option is ... else known.option
            default: Any = None if each.default is MISSING else each.default
            default = Path(default) if kind is Path else default
            words: dict[str, Any] = {}
            if get_origin(kind) is tuple:
                default, words = (), {"metavar": "NAME=VALUE ..."}
            if open_by_default:
                kind, default = Union[kind, None], None  # noqa: UP007
            text = tyro.conf.arg(help=texts.get(each.name, known.help), **words)
            options.append((each.name, Annotated[kind, text], default))
    return options


@as_options
class PolicyOptions:
    """Options that name a run, and the user's own policy that it needs."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run's folder."""
    policy: str | None = None
    """The function that made the run's policy, as pkg.mod:factory. Required if it was your own code."""
    policy_args: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="NAME=VALUE ...")] = None
    """Keyword arguments of that function, as they were given when the run was trained."""

    def own_policy(self) -> OwnPolicy | None:
        """The user's own policy, or what makes it."""
        if self.policy_args is None:
            return self.policy
        if self.policy is None or ":" not in self.policy:
            raise ValueError("--policy-args go with --policy pkg.mod:factory: a run knows those of other policies")
        return partial(import_name(self.policy), **parse_pairs("--policy-args", self.policy_args))


@as_options
class RunOptions(PolicyOptions):
    """Options that name a run, and the user's own code that it needs."""

    seed: int = 1
    """Seed of the episodes. The same seed gives the same episodes."""
    env: str | None = None
    """A Gymnasium id or pkg.mod:callable that replaces the run's environment. Required if that was your own code."""
    env_args: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="NAME=VALUE ...")] = None
    """Keyword arguments of the environment, which replace the run's."""

    def load(self) -> tuple[Policy, dict[str, Any]]:
        """The run's policy, and the keyword arguments that describe its environment."""
        env_args = None if self.env_args is None else parse_pairs("--env-args", self.env_args)
        return load_run(self.run, env=self.env, env_args=env_args, policy=self.own_policy())


def print_result(result: Result, policy: str | None = None) -> None:
    """Print where the run is, its test score, and what to type next. Only the first process of a group prints.

    Args:
        result: The result of the run.
        policy: The name of the user's own policy, if the run was given a policy object instead of this name.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    code = result._code if policy is None else {**result._code, "policy": policy}
    print(f"took   {result.effort}", file=sys.stderr, flush=True)  # standard output is as programs know it
    print(f"run    {result.run_dir}")
    print(f"test   {result.evaluation}")
    print(f"next   {to_evaluate(result.run_dir, code)}")
    print(f"       tensorboard --logdir {shlex.quote(str(result.run_dir))}", flush=True)


def parse_pairs(option: str, pairs: Sequence[str]) -> dict[str, Any]:
    """Words ``name=value`` as a dictionary. A value that is no Python literal is taken as a string.

    Raises:
        ValueError: If a word has another form. The message names the `option`.
    """
    parsed = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise ValueError(f"{option} takes name=value, got {pair!r}")
        try:
            parsed[name] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            parsed[name] = value
    return parsed
