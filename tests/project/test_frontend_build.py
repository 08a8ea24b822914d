"""When the front end is built and what a failure says, on a project of one file with the real npm."""

import json
from pathlib import Path

import pytest

from project import frontend

_BUILD = """
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
mkdirSync('../out', { recursive: true })
writeFileSync('../out/manifest.json', JSON.stringify(readFileSync('src/main.ts', 'utf8')))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    sources = tmp_path / "frontend"
    (sources / "src").mkdir(parents=True)
    package = {"name": "page", "version": "1.0.0", "scripts": {"build": "node build.mjs"}}
    lock = {"name": "page", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": package}}
    (sources / "package.json").write_text(json.dumps(package))
    (sources / "package-lock.json").write_text(json.dumps(lock))
    (sources / "build.mjs").write_text(_BUILD)
    (sources / "src" / "main.ts").write_text("one")
    return sources


def test_it_is_built_when_sources_changed_and_only_then(project: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert not frontend.is_current(project, output)
    assert frontend.build(sources=project, output=output) is True
    assert frontend.build(sources=project, output=output) is False
    (project / "src" / "main.ts").write_text("two")
    assert frontend.build(sources=project, output=output) is True
    assert json.loads((output / "manifest.json").read_text()) == "two"
    (project / "README.md").write_text("not built from")
    assert frontend.is_current(project, output)


def test_a_failed_build_shows_the_end_of_its_output_and_is_tried_again(project: Path, tmp_path: Path) -> None:
    (project / "build.mjs").write_text("console.error('no such board'); process.exit(3)")
    for _ in range(2):
        with pytest.raises(frontend.BuildError, match=r"(?s)npm run in .*failed with 3.*no such board"):
            frontend.build(sources=project, output=tmp_path / "out")


def test_a_build_into_another_folder_is_noticed(project: Path, tmp_path: Path) -> None:
    with pytest.raises(frontend.BuildError, match="check outDir"):
        frontend.build(sources=project, output=tmp_path / "elsewhere")
