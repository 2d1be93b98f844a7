"""Who may stand on whom: a module imports only what stands above it here (see CONTRIBUTING.md)."""

import ast
from pathlib import Path

import torchpolicy

ORDER = (
    *(
        "version",
        "checks",
        "params",
        "population",
        "spaces",
        "encoders",
        "seeding",
        "heads",
        "checkpoint",
        "fields",
        "config",
        "processes",
        "foreign",
        "imports",
        "device",
    ),
    *("normalizer", "features", "layers", "policies.base", "policies.*", "members"),
    *("envs.tensor", "envs.base", "envs.gym_slots", "envs.*", "envs.native", "envs.native.*", "environments"),
    *("shaping", "gaussian", "clipup", "ascent", "search.base", "search.*", "writers.base", "writers.*"),
    *("episodes", "learn.base", "learn.*", "outcome", "finite", "action_noise", "rollout", "lanes", "tensor_rollout"),
    *("intervals", "evaluation", "diagnosis", "plan", "memory", "scoring", "generation", "watch", "catalog", "preset"),
    *("runs", "hints", "blueprint", "saved", "settings"),
    *("summary", "plotting", "replay", "film", "exporting", "report", "callbacks", "calling", "trainer", "resumption"),
    *("generators", "fingerprint", "module_probe", "environment_probe"),
    *("job", "session", "workers", "launch", "trained", "result", "api"),
    *("cli.base", "cli.*", "cli", "__init__", "__main__"),
)

ONLY_IN = {"tensorboard": ["writers.tensorboard"], "torch.utils.tensorboard": ["writers.tensorboard"]}

ROOT = Path(torchpolicy.__file__).parent


def floor(module: str) -> int:
    """Place of a module in the order; a ``*`` holds all other files of its package, none above another."""
    package = module.rpartition(".")[0]
    return ORDER.index(module if module in ORDER else f"{package}.*") if package else ORDER.index(module)


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append(node.module or "")
    return found


def modules() -> list[tuple[str, Path]]:
    names = []
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        names.append((name, path))
    return names


def test_imports_go_up_only() -> None:
    for name, path in modules():
        if name in ("policies", "envs", "envs.native", "search", "learn", "writers"):
            assert not imports(path), f"{name}: a package's face is empty; names come by catalog or by full path"
            continue
        for imported in imports(path):
            if imported.startswith("torchpolicy"):
                target = imported.removeprefix("torchpolicy").removeprefix(".") or "__init__"
                assert floor(target) < floor(name), f"{name} imports {target}, which does not stand above it"


def test_libraries_stay_in_their_room() -> None:
    for name, path in modules():
        for imported in imports(path):
            for library, rooms in ONLY_IN.items():
                if imported == library or imported.startswith(f"{library}."):
                    assert name in rooms, f"{name} imports {imported}"


def test_files_stay_small_and_there_is_no_drawer() -> None:
    for name, path in modules():
        assert path.read_text(encoding="utf-8").count("\n") <= 300, f"{name} is longer than 300 lines"
        assert not {"utils", "common", "tools", "helpers", "misc"} & set(name.split(".")), name
