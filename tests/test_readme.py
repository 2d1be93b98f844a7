"""Every Python block of the README runs, and prints what stands beside it."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", README, flags=re.DOTALL)


def test_no_block_is_left_out() -> None:
    assert len(BLOCKS) == README.count("```python")


@pytest.mark.parametrize(("code", "printed"), BLOCKS)
def test_block_prints_what_it_says(code: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out == printed
