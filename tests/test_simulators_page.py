"""Every Python block of the page on simulators runs after those before it, and prints what stands beside it."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "simulators.md").read_text(encoding="utf-8")
BLOCKS = re.findall(
    r"(?:<!-- needs (\w+) -->\n)?```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", PAGE, flags=re.DOTALL
)


@pytest.mark.timeout(400)
@pytest.mark.filterwarnings("ignore")
def test_blocks_print_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(BLOCKS) == PAGE.count("```python")
    names: dict[str, Any] = {"__name__": "page"}
    for needs, code, printed in BLOCKS:
        if needs and not find_spec(needs):
            continue
        exec(compile(code, "simulators.md", "exec"), names)
        assert capsys.readouterr().out == printed, code


def test_every_line_of_the_table_links_to_an_example() -> None:
    lines = re.findall(r"^\| \[.*?\]\(#(.*?)\)", PAGE, flags=re.MULTILINE)
    titles = [title.lower().replace(" ", "-") for title in re.findall(r"^## (.*)$", PAGE, flags=re.MULTILINE)]
    assert len(lines) == 9
    assert set(lines) <= set(titles)
