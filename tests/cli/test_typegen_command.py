from __future__ import annotations

import json
import subprocess
import sys

from cli_kit import ROOT

STANDARD = ROOT / "dfinery_async" / "_data" / "taxonomy.json"
SHOP = {
    "events": [{"name": "shop_rated", "properties": ["shop_stars"]}],
    "event_properties": [{"name": "shop_stars", "type": "Long"}],
}
USE = """
from events import DfPurchase, Item, ShopRated

print(ShopRated(shop_stars=5).event().properties)
try:
    DfPurchase(df_ordr_id="O-17")
except TypeError as error:
    print(error)
"""


def test_the_module_works_without_the_taxonomy_and_finds_a_misspelt_property(dfinery, tmp_path):
    taxonomy = tmp_path / "shop.json"
    taxonomy.write_text(json.dumps(SHOP), encoding="utf-8")

    assert dfinery("typegen", taxonomy, "-o", tmp_path / "events.py") == (0, "", "")
    taxonomy.unlink()
    (tmp_path / "use.py").write_text(USE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "use.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "{'shop_stars': 5}\nUnexpected keyword argument 'df_ordr_id'\n"


def test_without_a_file_it_goes_to_standard_output(dfinery):
    code, output, errors = dfinery("typegen", STANDARD)

    assert (code, errors) == (0, "")
    assert output == dfinery("typegen", STANDARD, "-o", "-")[1]
    assert "class DfPurchase(TypedEvent, frozen=True, kw_only=True):" in output


def test_the_module_that_the_types_are_checked_with_is_up_to_date(dfinery):
    file = ROOT / "tests" / "typing" / "standard_events.py"

    assert dfinery("typegen", STANDARD, "-o", file, "--check")[0] == 0


def test_check_says_what_is_not_up_to_date(dfinery, tmp_path):
    file = tmp_path / "events.py"

    assert dfinery("typegen", STANDARD, "-o", file, "--check")[0] == 1
    file.write_text("old", encoding="utf-8")
    code, _, errors = dfinery("typegen", STANDARD, "-o", file, "--check")
    assert (code, file.read_text("utf-8")) == (1, "old")
    assert "is not what the taxonomy gives" in errors


def test_what_can_not_be_used_is_named(dfinery, tmp_path):
    bad = tmp_path / "t.json"
    bad.write_text('{"events": [{"name": "a", "properties": ["df_discont"]}]}', encoding="utf-8")

    assert "did you mean df_discount?" in dfinery("typegen", bad)[2]
    assert dfinery("typegen", bad)[0] == 2
    assert dfinery("typegen", tmp_path / "none.json")[0] == 2
    assert dfinery("typegen", STANDARD, "--check")[0] == 2
    assert dfinery("typegen", STANDARD, "-o", tmp_path)[0] == 2
    code, _, errors = dfinery("typegen", STANDARD, "-o", tmp_path / "no" / "e.py")
    assert (code, errors) == (2, f"dfinery: {tmp_path}/no/e.py can't be written: no such file or directory\n")
    code, _, errors = dfinery("typegen", STANDARD, "-o", "/dev/null")
    assert (code, errors) == (2, "dfinery: /dev/null can't be written: is no plain file; give the name of a file\n")


def test_one_object_for_programs(dfinery, tmp_path):
    file = str(tmp_path / "e.py")
    assert dfinery("typegen", STANDARD, "-o", file, "--check", "--json")[:2] == (1, said(file, up_to_date=False))
    assert dfinery("typegen", STANDARD, "-o", file, "--json") == (0, said(file, up_to_date=True), "")
    assert dfinery("typegen", STANDARD, "-o", file, "--check", "--json")[:2] == (0, said(file, up_to_date=True))
    code, output, errors = dfinery("typegen", STANDARD, "--json")
    assert (code, json.loads(output)["exit"]) == (2, 2)
    assert "-o" in errors


def said(path, *, up_to_date):
    return f'{{"path":"{path}","up_to_date":{str(up_to_date).lower()}}}\n'
