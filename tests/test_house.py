"""The house rules that no other tool holds: pins, layers, sizes, and that the commands people are told exist."""

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = [
    Requirement(text)
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for text in group
]
# What installs and imports well, and then breaks: pip cannot see it, so the ranges must leave it out.
KNOWN_BAD = {
    "fastapi": "0.155.0",  # Prefect 3.8's API server: Body() got an unexpected keyword argument 'min_items'
    "sqlalchemy": "2.1.0",  # Prefect's scheduler: "Can't evaluate bulk DML statement", nothing is ever scheduled
    "prefect": "3.9.0",  # asks for a certifi that cannot be had everywhere
    "pygtrie": "3.0.0",  # drops the interface that DVC uses
    "transformers": "4.57.0",  # another interface of the cache
}


def constraints() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"==[^*,]+", str(pin.specifier)) and pin.url is None for pin in pins)
    return {canonicalize_name(pin.name): Version(str(pin.specifier)[2:]) for pin in pins}


def make(*arguments: str) -> str:
    done = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("requirement", DECLARED, ids=lambda r: r.name)
def test_constraints_satisfy_the_declared_range(requirement: Requirement) -> None:
    pinned = constraints()
    assert canonicalize_name(requirement.name) in pinned, "renew constraints.txt (CONTRIBUTING.md)"
    assert pinned[canonicalize_name(requirement.name)] in requirement.specifier


def test_constraints_can_be_satisfied_anywhere() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "file:" not in text
    assert "-e " not in text
    # a local version (+cpu, +cu130) would allow one build of torch only
    assert not [name for name, version in constraints().items() if version.local]


@pytest.mark.parametrize(("name", "version"), KNOWN_BAD.items())
def test_known_bad_versions_are_left_out(name: str, version: str) -> None:
    (declared,) = [r for r in DECLARED if canonicalize_name(r.name) == name]
    assert version not in declared.specifier


def test_every_dependency_says_what_it_is_for() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = text.split("\ndependencies = [")[1].split("\n]")[0].splitlines()
    assert not [line for line in listed if line.strip().startswith('"') and "#" not in line]


def test_imports_keep_their_direction() -> None:
    command = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_data_folder_mlflow_hides_no_library() -> None:
    assert not list((ROOT / "mlflow").glob("*.py"))


def test_no_file_holds_a_second_idea() -> None:
    folders = ("flows", "tasks", "models", "tests", "benchmarks")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert files
    assert not {str(p.relative_to(ROOT)) for p in files if len(p.read_text(encoding="utf-8").splitlines()) > 400}


def test_make_help_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", text, flags=re.MULTILINE)
    shown = re.findall(r"^  make (\S+)", make("--no-print-directory", "help"), flags=re.MULTILINE)
    assert shown == phony.split()
    assert shown == re.findall(r"^  make (\S+)", make("--no-print-directory"), flags=re.MULTILINE)


def test_ci_runs_what_people_run() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text(encoding="utf-8").rstrip().endswith("make test")


def test_readme_shows_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text


@pytest.mark.parametrize("document", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)[^):]*\)", document.read_text(encoding="utf-8"))
    assert not [link for link in links if not (document.parent / link).exists()]


def test_the_page_of_settings_is_as_the_code_says() -> None:
    from flows.params import Params

    page = runpy.run_path(str(ROOT / "docs" / "settings.py"))["page"]
    assert (ROOT / "docs" / "SETTINGS.md").read_text(encoding="utf-8") == page(Params), "renew it: make docs"


def test_hooks_fetch_nothing() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"- repo: (\S+)", text) == ["local"]
