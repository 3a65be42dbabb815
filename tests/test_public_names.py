"""The names that users rely on: there, documented, and in the tree that errors.py draws."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dfinery_async
from dfinery_async import errors, models

ERROR_TREE = """
DfineryError
  ConfigError
  InvalidInputError
  ClientClosed
  QueueFull
  ApiError
    BadRequest
    ValidationFailure
    InvalidServiceId
    InvalidToken
    RateLimited
    TooManyEvents
    TooManyProfiles
    ServerError
    ExportError
      DateRangeExceeded
      QueryFailed
      ExportInterrupted
  ConnectionFailed
  UnexpectedResponse
  DeliveryError
  SpoolError
    SpoolFull
    SpoolCorrupt
    SpoolLocked
""".strip("\n")

CALLS = {
    "__init__": ["service_id", "import_token", "export_token", "base_url", "transport", "http2"],
    "from_env": [],
    "send_events": ["identity", "events"],
    "upsert_identity": ["identity"],
    "delete_identity": ["external_id"],
    "update_profile": ["identity", "properties"],
    "export_events": [
        "from_date",
        "to_date",
        "events",
        "exclude_events",
        "properties",
        "exclude_properties",
        "days_per_call",
    ],
    "export_profiles": ["audience", "properties", "exclude_properties", "identities"],
    "quota": ["api"],
    "probe": ["kind"],
    "producer": ["linger", "max_in_flight", "on_rejected"],
    "load": ["source"],
    "aclose": [],
}
PRODUCER_OPTIONS = {
    "linger",
    "max_in_flight",
    "max_pending_events",
    "max_pending_bytes",
    "on_full",
    "on_rejected",
    "delivery_timeout",
    "taxonomy",
    "validate",
}
PRODUCER_CALLS = {"track", "track_nowait", "identify", "set_profile", "flush", "stats", "aclose"}
EXPORT_CALLS = {"save", "columns"}
COUNTS = {"accepted", "delivered", "rejected", "dropped", "spooled", "pending", "requests", "retries", "throttled"}
REQUIRED = {"DfineryClient", "Event", "Identity", *errors.__all__, *models.__all__}


def drawn(kind: type, depth: int = 0) -> list[str]:
    children: list[type] = kind.__subclasses__()
    below = [line for child in children for line in drawn(child, depth + 1)]
    return [f"{'  ' * depth}{kind.__name__}", *below]


def test_names_are_sorted_unique_and_complete():
    names = dfinery_async.__all__

    assert list(names) == sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert REQUIRED - set(names) == set()


@pytest.mark.parametrize("name", sorted(REQUIRED | set(getattr(dfinery_async, "__all__", ()))))
def test_name_is_there_and_documented(name):
    value = getattr(dfinery_async, name)

    if inspect.isclass(value) or inspect.isroutine(value):
        assert value.__doc__


def test_every_name_is_type_checked_in_use():
    text = (Path(__file__).parent / "typing" / "api.py").read_text(encoding="utf-8")
    used = re.findall(r"\w+", text[text.index("\n)\n") :])  # what follows the imports

    assert set(dfinery_async.__all__) - set(used) == set()


def test_every_name_stands_in_the_api_reference():
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^```\{public-names\}\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)

    assert set(" ".join(listed).split()) == set(dfinery_async.__all__) - {"__version__"}


def test_dir_shows_the_public_names():
    assert set(dfinery_async.__all__) <= set(dir(dfinery_async))


def test_star_import_gives_the_public_names():
    code = "from dfinery_async import *; import dfinery_async; print(set(dfinery_async.__all__) <= set(globals()))"

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "True"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'does_not_exist'"):
        dfinery_async.does_not_exist  # noqa: B018


def test_version_is_the_newest_of_the_changelog():
    changelog = (Path(__file__).parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[?(\d+\.\d+\.\d+)", changelog, flags=re.MULTILINE)

    assert re.fullmatch(r"\d+\.\d+\.\d+", dfinery_async.__version__)
    assert "## Unreleased" in changelog or released
    assert released[:1] in ([], [dfinery_async.__version__])


def test_every_module_with_a_list_of_names_has_those_names():
    package = Path(dfinery_async.__file__).parent
    for path in [*package.glob("[!_]*.py"), *package.glob("core/[!_]*.py"), *package.glob("runtime/[!_]*.py")]:
        name = ".".join(path.relative_to(package.parent).with_suffix("").parts)
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            assert hasattr(module, public), f"{name}.{public}"


def test_error_tree_is_the_one_drawn():
    ours = [line for line in drawn(errors.DfineryError) if line.strip() in errors.__all__]

    assert sorted(ours) == sorted(ERROR_TREE.splitlines())
    assert "\n".join(ours) == ERROR_TREE


def test_docstring_of_errors_draws_the_same_tree():
    found = re.findall(r"^( +[A-Z]\w+)(?: .*)?$", errors.__doc__ or "", flags=re.MULTILINE)

    assert "\n".join(line[4:] for line in found) == ERROR_TREE


def test_every_error_is_public_and_input_errors_are_value_errors():
    assert set(errors.__all__) == {line.strip() for line in ERROR_TREE.splitlines()}
    assert issubclass(errors.InvalidInputError, ValueError)


@pytest.mark.parametrize(("call", "arguments"), CALLS.items(), ids=CALLS)
def test_client_has_the_call(call, arguments):
    parameters = inspect.signature(getattr(dfinery_async.DfineryClient, call)).parameters

    assert [name for name in arguments if name not in parameters] == []


@pytest.mark.parametrize("call", ["__init__", "export_events", "export_profiles", "producer"])
def test_options_are_keyword_only(call):
    parameters = inspect.signature(getattr(dfinery_async.DfineryClient, call)).parameters
    first = {"__init__": ["self", "service_id"], "export_events": ["self", "from_date", "to_date"]}.get(call, ["self"])

    assert [name for name, value in parameters.items() if value.kind is not value.KEYWORD_ONLY] == first


def test_producer_takes_its_options_and_has_its_calls():
    parameters = set(inspect.signature(dfinery_async.DfineryClient.producer).parameters)

    assert PRODUCER_OPTIONS - parameters == set()
    assert PRODUCER_CALLS - set(dir(dfinery_async.Producer)) == set()


def test_export_has_its_calls():
    assert EXPORT_CALLS - set(dir(dfinery_async.Export)) == set()


@pytest.mark.parametrize("kind", [models.Stats, models.Report])
def test_books_have_the_counts_by_name(kind):
    assert COUNTS - kind().to_dict().keys() == set()
