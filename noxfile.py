"""Every check of this project as one command: `nox -s NAME`. `nox -l` lists them, `nox` alone runs the usual ones.

Environments are made with uv where it is installed, with virtualenv otherwise.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import nox
from packaging.requirements import Requirement

HERE = Path(__file__).parent
PACKAGE = "dfinery_async"
EXTRAS = ".[all]"
SEEN_PYTHONS = range(11, 20)
SIDE_BY_SIDE = ("-n", "auto", "--dist", "loadgroup", "-q")
FEW_EXAMPLES = "--hypothesis-profile=few"  # where versions are looked for, not cases
HEAVY = (
    "aiolimiter",
    "anyio",
    "cyclopts",
    "fastapi",
    "httpcore",
    "httpx",
    "opentelemetry",
    "pyarrow",
    "rich",
    "sqlite3",
    "starlette",
    "uvicorn",
)

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = True


def _pythons() -> list[str]:
    """Return the installed Pythons from 3.11 up, oldest first, those of pyenv included.

    A pyenv shim counts only with a Python behind it. One that pyenv does not offer on PATH is put at PATH's end, where
    nox finds it.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = []
    for minor in SEEN_PYTHONS:
        name = f"python3.{minor}"
        on_path = shutil.which(name)
        if on_path is None or not _is_final(on_path):
            installed = [path for path in pyenv.glob(f"3.{minor}.*/bin/{name}") if _is_final(str(path))]
            if not installed:
                continue
            os.environ["PATH"] += os.pathsep + str(installed[-1].parent)
        found.append(f"3.{minor}")
    return found or [f"{sys.version_info.major}.{sys.version_info.minor}"]


def _is_final(python: str) -> bool:
    asked = [python, "-c", "import sys; print(sys.version_info.releaselevel)"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() == "final"  # noqa: S603


PYTHONS = _pythons()
OLDEST = PYTHONS[0]
PROJECT = nox.project.load_toml("pyproject.toml")

nox.options.sessions = ["tests", "lint", "types"]


def _group(*names: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(PROJECT, *names)


# What takes longest and hangs least on the version of Python: `nox -s slow` runs it, on the oldest.
SLOW = (
    "tests/cli/test_hostile_files.py",
    "tests/cli/test_spool_command.py",
    "tests/cli/test_tables.py",
    "tests/crash",
    "tests/docs",
    "tests/engines",
    "tests/examples",
    "tests/integrations",
    "tests/simulation",
    "tests/runtime/test_cancellation.py",
    "tests/runtime/test_export_framing.py",
    "tests/runtime/test_faults_over_loopback.py",
    "tests/runtime/test_load_plan_holds.py",
    "tests/runtime/test_pacing.py",
    "tests/runtime/test_shutdowns.py",
    "tests/runtime/test_spool_faults.py",
    "tests/runtime/test_spool_workers.py",
    "tests/runtime/test_wire_cancellation.py",
    "tests/runtime/test_wire_mutations.py",
)


# What younger Pythons are tried with: what hangs most on the version, such as asyncio, sockets and encodings.
YOUNGER = (
    "tests/cli/test_app.py",
    "tests/core/test_codec.py",
    "tests/core/test_datetimes.py",
    "tests/core/test_lanes.py",
    "tests/core/test_lanes_schedules.py",
    "tests/core/test_log_ids.py",
    "tests/core/test_models.py",
    "tests/core/test_values.py",
    "tests/core/test_values_in_errors.py",
    "tests/emulator/test_emulator_server.py",
    "tests/runtime/test_broken_answers.py",
    "tests/runtime/test_call_answers.py",
    "tests/runtime/test_client.py",
    "tests/runtime/test_client_settings.py",
    "tests/runtime/test_export.py",
    "tests/runtime/test_producer.py",
    "tests/runtime/test_producer_ends.py",
    "tests/runtime/test_producer_room.py",
    "tests/runtime/test_recovery.py",
    "tests/runtime/test_spool_store.py",
    "tests/runtime/test_transport.py",
    "tests/runtime/test_wire_guests.py",
    "tests/runtime/test_wire_sockets.py",
    "tests/runtime/test_wire_tls.py",
    "tests/test_public_names.py",
)


@nox.session(python=OLDEST)
def tests(session: nox.Session) -> None:
    """Run the suite on the oldest Python, but for what `slow` runs. tests/core must reach all of core/."""
    session.install("-e", EXTRAS, *_group("test"))
    if session.posargs:  # a part of the suite says nothing about the rest
        session.run("python", "-m", "pytest", *session.posargs)
        return
    _measure_core(session)
    left_out = [f"--ignore={path}" for path in (*SLOW, "tests/core")]  # core's tests have just run
    session.run("python", "-m", "pytest", *SIDE_BY_SIDE, *left_out)


@nox.session(python=PYTHONS[1:] or [OLDEST])
def younger(session: nox.Session) -> None:
    """Run what hangs most on the version of Python, on all that are installed beside the oldest."""
    if session.python == OLDEST:
        session.skip("there is no other Python here")
    session.install("-e", EXTRAS, *_group("test"))
    session.run("python", "-m", "pytest", *(session.posargs or (*SIDE_BY_SIDE, FEW_EXAMPLES, *YOUNGER)))


@nox.session(python=OLDEST)
def slow(session: nox.Session) -> None:
    """Run what the suite leaves out: the simulation, every block of the docs, processes that are killed, and so on."""
    session.install("-e", EXTRAS, *_group("test"))
    session.run("python", "-m", "pytest", *(session.posargs or (*SIDE_BY_SIDE, *SLOW)))


def _measure_core(session: nox.Session) -> None:
    data = {"COVERAGE_FILE": str(Path(session.create_tmp()) / ".coverage")}
    session.run("coverage", "erase", env=data)
    session.run("coverage", "run", "-m", "pytest", *SIDE_BY_SIDE, "tests/core", env=data)
    session.run("coverage", "combine", "-q", env=data)
    session.run("coverage", "report", f"--include={PACKAGE}/core/*", "--fail-under=100", "--precision=2", env=data)


@nox.session(python=OLDEST)
def lowest(session: nox.Session) -> None:
    """Run the suite, but for what `slow` runs, with the lowest versions that pyproject.toml allows."""
    floors = Path(session.create_tmp()) / "floors.txt"
    floors.write_text("".join(f"{pin}\n" for pin in _floors()))
    session.install("-e", EXTRAS, *_group("test"), "--constraint", str(floors))
    left_out = [f"--ignore={path}" for path in SLOW]
    session.run("python", "-m", "pytest", *(session.posargs or (*SIDE_BY_SIDE, FEW_EXAMPLES, *left_out)))


def _floors() -> list[str]:
    """Turn each `name>=version` of the project and its extras into `name==version`."""
    project = PROJECT["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    pins = []
    for requirement in map(Requirement, lines):
        if requirement.name == project["name"]:
            continue  # an extra that is made of other extras
        bounds = [bound.version for bound in requirement.specifier if bound.operator in {">=", "~=", "=="}]
        if len(bounds) != 1:
            raise ValueError(f"{requirement} needs exactly one floor, or nobody knows what it was tested with")
        marker = f" ; {requirement.marker}" if requirement.marker else ""
        pins.append(f"{requirement.name}=={bounds[0]}{marker}")
    return sorted(set(pins))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format. `nox -s lint -- --fix` repairs what can be repaired."""
    session.install(*_group("lint"))
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")
    session.run("ruff", "format", *([] if fix else ["--check"]), ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy and pyright, both strict, and that no public name lacks one."""
    session.install("-e", EXTRAS, *_group("test", "types"), "nox")
    strict = [PACKAGE, "tests/typing", "noxfile.py", *_folders_with_code("benchmarks", "examples")]
    session.run("mypy", *strict)
    # A test function needs no annotations for its readers; what it does is checked all the same.
    relaxed = ["--allow-untyped-defs", "--allow-incomplete-defs", "--allow-untyped-calls"]
    session.run("mypy", *relaxed, "tests")
    session.run("pyright")
    session.run("pyright", "--verifytypes", PACKAGE, "--ignoreexternal")


def _folders_with_code(*names: str) -> list[str]:
    return [name for name in names if any((HERE / name).rglob("*.py"))]  # mypy takes an empty folder for a mistake


@nox.session
def build(session: nox.Session) -> None:
    """Build sdist and wheel, and use the wheel in empty environments, with extras and without."""
    session.install("build", "virtualenv")
    place = Path(session.create_tmp()).resolve()
    dist = place / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(dist))
    wheel = _check_contents(session, dist)

    bare = _empty_environment(session, place / "bare", str(wheel))
    with session.chdir(place):
        _smoke_import(session, bare)
        _smoke_without_extras(session, bare)
    full = _empty_environment(session, place / "full", f"{wheel}[cli,emulator]")
    with session.chdir(place):
        _smoke_import(session, full)
        _smoke_commands(session, full, wheel.name.split("-")[1])


def _check_contents(session: nox.Session, dist: Path) -> Path:
    (wheel,) = dist.glob("*.whl")
    (sdist,) = dist.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    with tarfile.open(sdist) as archive:
        sources = {name.partition("/")[2] for name in archive.getnames()}
    wanted = _tracked() or {f"{PACKAGE}/py.typed"}  # an unpacked archive is no git checkout
    if missing := sorted((wanted - packed) | ({"LICENSE", "NOTICE", "noxfile.py", "pyproject.toml"} - sources)):
        session.error(f"missing in the archives: {', '.join(missing)}")
    if foreign := sorted(name for name in packed if not name.startswith(("dfinery_async/", "dfinery_async-"))):
        session.error(f"does not belong in the wheel: {', '.join(foreign)}")
    return wheel


def _tracked() -> set[str]:
    if shutil.which("git") is None:
        return set()
    command = ["git", "ls-files", PACKAGE]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)  # noqa: S603
    return set(done.stdout.split())


def _empty_environment(session: nox.Session, place: Path, requirement: str) -> Path:
    session.run("virtualenv", "--quiet", "--clear", str(place))
    session.run(str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", requirement, external=True)
    return place / "bin"


def _smoke_import(session: nox.Session, bin_dir: Path) -> None:
    session.run(
        str(bin_dir / "python"),
        "-I",
        "-c",
        f"import {PACKAGE}, sys, threading; heavy = sys.modules.keys() & set({HEAVY}); "
        f"assert 'site-packages' in {PACKAGE}.__file__, {PACKAGE}.__file__; "
        "assert not heavy, heavy; assert threading.active_count() == 1; "
        f"[getattr({PACKAGE}, name) for name in {PACKAGE}.__all__]; print('import: light, all names there')",
        external=True,
    )


def _smoke_without_extras(session: nox.Session, bin_dir: Path) -> None:
    done = subprocess.run([bin_dir / "dfinery", "doctor"], capture_output=True, text=True, check=False)  # noqa: S603
    session.log(f"dfinery without extras: exit {done.returncode}: {done.stderr.strip()}")
    if done.returncode == 0 or f"{PROJECT['project']['name']}[" not in done.stderr or "Traceback" in done.stderr:
        session.error("without the extra, the command must say what to install")


def _smoke_commands(session: nox.Session, bin_dir: Path, version: str) -> None:
    dfinery = str(bin_dir / "dfinery")
    printed = session.run(dfinery, "--version", silent=True, external=True)
    if version not in str(printed).split():
        session.error(f"dfinery --version says {printed!r}, the wheel {version}")
    done = subprocess.run([dfinery, "demo", "--json"], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        session.error(f"dfinery demo: exit {done.returncode}\n{done.stderr}")
    report = json.loads(done.stdout)
    session.log(f"dfinery demo: {report}")
    if not report["accepted"] == report["delivered"] == report["exported"] > 0:
        session.error("dfinery demo: what was accepted, delivered and exported differ")


@nox.session
def simulate(session: nox.Session) -> None:
    """Simulate 10 million deliveries under faults; 200 million with `--long`. Other options go to the simulation."""
    session.install("-e", ".")
    options = list(session.posargs)
    size = ["--seeds", "1..12000", "--deliveries", "10000000"]
    if "--long" in options:
        options.remove("--long")
        size = ["--seeds", "100001..200000", "--deliveries", "200000000", "--scale", "4"]
    session.run("python", "tests/simulation/run.py", *size, "--processes", "2", *options)


@nox.session
def quota(session: nox.Session) -> None:
    """Share one quota: many clients in virtual time, four processes on an emulator; `--long` for all seeds.

    Needs the server of Redis or Valkey for the part with processes; `--write` keeps the figures.
    """
    session.install("-e", ".[emulator,redis]", "lupa>=2.2")
    session.run("python", "tests/simulation/quota_run.py", *session.posargs)


@nox.session(python=OLDEST)
def engines(session: nox.Session) -> None:
    """Run Spark, Ray, dlt and FastStream for real, with the purchases of the demo; `--long` copies them to 2 million.

    Needs Java 17 for Spark, and the servers of Redis and NATS: what is missing is skipped, and named.
    """
    session.install("-e", EXTRAS, *_group("test", "engines"))
    options = list(session.posargs)
    if "--long" in options:
        options.remove("--long")
        whole = "DFINERY_CDNOW" in os.environ  # else a tenth of the purchases is copied ten times as often
        size = ["--users", "6" if whole else "58", "--times", "5"]
        session.run("python", "tests/engines/campaign.py", *size, *options)
    else:
        session.run("python", "-m", "pytest", "-q", "tests/engines", *options)


@nox.session(python=OLDEST)
def contract(session: nox.Session) -> None:
    """Hold the emulator to the OpenAPI file with schemathesis."""
    session.install("-e", ".[emulator]", *_group("test", "contract"))
    session.run("python", "-m", "pytest", "-q", "tests/contract", *session.posargs)


@nox.session(python=OLDEST)
def page(session: nox.Session) -> None:
    """Use the emulator's page in a headless Chromium (Debian's chromium-driver); `-- --pictures` draws docs/_static."""
    session.install("-e", ".[emulator]", *_group("test", "page"))
    if session.posargs == ["--pictures"]:
        session.run("python", "tests/page/pictures.py")
    else:
        session.run("python", "-m", "pytest", "-q", "tests/page", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site from docs/, the docstrings and the commands' help; each warning is an error."""
    session.install("-e", EXTRAS, *_group("docs"))
    place = Path(session.create_tmp()) / "site"
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-E", "docs", str(place), *session.posargs)
    session.log(f"the site: {place / 'index.html'}")


@nox.session
def crash(session: nox.Session) -> None:
    """Kill 2,000 processes that use a spool, and cut the power 20,000 times; ten times as often with `--long`."""
    session.install("-e", ".", *_group("crash"))
    options = list(session.posargs)
    size = ["--kills", "2000", "--images", "20000"]
    if "--long" in options:
        options.remove("--long")
        size = ["--kills", "20000", "--images", "200000"]
    session.run("python", "tests/crash/crash_run.py", *size, "--processes", "2", *options)


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks: all, or those named after `--`. Options such as `--quick --write` are handed on."""
    session.install("-e", EXTRAS, *_group("bench"))
    every = sorted((path.stem for path in (HERE / "benchmarks").glob("*.py")), key=lambda name: (name == "check", name))
    names = [word for word in session.posargs if word in every]
    handed_on = [word for word in session.posargs if word not in every]
    for name in names or every:
        session.run("python", f"benchmarks/{name}.py", *handed_on)
