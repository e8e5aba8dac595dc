"""A chain's description: mistakes are named with their line, and everything that can be named is listed."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command_line import run

from bridge.batch.description import Chain, parse_chain, read_chain, schema, stage_kinds, walk
from bridge.batch.listing import list_stages
from bridge.batch.names import Name, check_template, name_of
from bridge.toml_lines import line_of
from streaming.errors import RequestError

CHAINS = sorted((Path(__file__).parents[1] / "examples" / "chains").glob("*.toml"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[[stage]]\ntype = "compressor"',
            r"line 2: stage 1: no stage is called 'compressor'; did you mean Compressor\?",
        ),
        ('[[stage]]\ntype = "Revreb"', r"line 2: stage 1: no stage is called 'Revreb'; did you mean Reverb\?"),
        ('[[stage]]\ntype = "Tuba"', "no stage is called 'Tuba'; --list-stages shows"),
        ("[[stage]]\nratio = 2", r'line 1: stage 1: has no type; say which stage it is: type = "Compressor"'),
        (
            '[[stage]]\ntype = "Gain"\n\n[[stage]]\ntype = "Compressor"\nratio = 0.5',
            r"line 6: stage 2 › ratio: .*greater than or equal to 1 \(got 0.5\)",
        ),
        (
            '[[stage]]\ntype = "separate"\n[[stage.stems.drums.stage]]\ntype = "Gain"\n'
            '[[stage.stems.drums.stage]]\ntype = "Gain"\ngain = 3',
            "line 7: stage 1 › stems › drums › stage 2 › gain: there is no such setting; Gain takes gain_db",
        ),
        (
            '[[stage]]\ntype = "mix"\nbranch = [{ stage = [{ type = "Reverb", room_size = 3 }] }]',
            "line 3: stage 1 › branch 1 › stage 1 › room_size: .*less than or equal to 1",
        ),
        ('tail = "kept"', "line 1: tail: Input should be 'cut' or 'keep'"),
        ('# a chain\n[output]\nformat = "flac"\nbits = "float"', "line 2: output: flac holds 16 or 24 bits, not float"),
        ('[[stage]]\ntype = "trim"\nstart_s = 3\nend_s = 2', "line 1: stage 1: ends at 2 s, before it starts at 3 s"),
        (
            '[[stage]]\ntype = "normalise"\nlufs = "off"\npeak_db = "off"',
            "line 1: stage 1: lufs and peak_db are both off",
        ),
        ('[[stage]]\ntype = "normalise"\nlufs = 3', "lufs is 3, expected -70 to 0"),
        ('[[stage]]\ntype = "flag"\nstart_s = 3', "put a trim before it"),
        ('[[stage]]\ntype = "chop"\nend_s = 3', "put a trim before it"),
        ('[[stage]]\ntype = "query"\nqueries = [" "]', "line 3: stage 1 › queries: a query is empty"),
        ('[[stage]]\ntype = "query"\nqueries = []', "line 3: stage 1 › queries"),
        ("stage = 3", "line 1: stage: "),
        ("[[stages]]", "line 1: stages: there is no such setting"),
        ("x =", "not TOML: Invalid value"),
        (
            '[[stage]]\ntype = "mix"\n[[stage.branch]]\n[[stage.branch.stage]]\ntype = "chop"',
            "1 mix.branch 1.1 chop makes several files of one inside of another stage",
        ),
        (
            '[[stage]]\ntype = "separate"\n[[stage.stems.vocals.stage]]\ntype = "separate"\noutput = "files"',
            "1 separate.vocals.1 separate makes several files of one",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(RequestError, match=said) as error:
        parse_chain(text, "c.toml")
    assert str(error.value).startswith("c.toml: ")
    assert "\n" not in str(error.value)


def test_lines_of_a_file() -> None:
    text = """
a = 1
[table]
b.c = 2
"d e" = 3
[[list]]
x = 1
[[list.inner]]
y = 1
[[list.inner]]
y = 2
[list.inner.deep]
z = 3
[[list]]
x = [
  1,
]
[[list.inner]]
y = 3
"""
    data = tomllib.loads(text)
    assert data["list"][1]["inner"][0]["y"] == 3
    for field, line in (
        (("a",), 2), (("table",), 3), (("table", "b", "c"), 4), (("table", "d e"), 5), (("list", 0), 6),
        (("list", 0, "x"), 7), (("list", 0, "inner", 0, "y"), 9), (("list", 0, "inner", 1, "y"), 11),
        (("list", 0, "inner", 1, "deep", "z"), 13), (("list", 1, "x"), 15), (("list", 1, "x", 0), 15),
        (("list", 1, "inner", 0, "y"), 19), (("list", 1, "inner", 0, "nothing"), 18), (("nothing",), None),
    ):  # fmt: skip
        assert line_of(text, field) == line, field


@pytest.mark.parametrize("path", CHAINS, ids=lambda path: path.stem)
def test_the_schema_holds_for_every_chain_we_ship(path: Path) -> None:
    assert len(CHAINS) >= 10
    chain = read_chain(path)
    check_template(chain)
    assert chain.about
    jsonschema.validate(tomllib.loads(path.read_text()), schema())
    assert Chain.model_validate(chain.model_dump(mode="json", by_alias=True)) == chain


@pytest.mark.parametrize(
    "text", ['[[stage]]\ntype = "Compressor"\nratio = 0.5', 'tail = "maybe"', "x = 1", '[[stage]]\ntype = "x"']
)
def test_the_schema_refuses_what_we_refuse(text: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), schema())


def test_every_stage_is_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    listed = {stage["type"]: stage for stage in list_stages()}
    assert set(listed) == set(stage_kinds())
    ratio = next(setting for setting in listed["Compressor"]["settings"] if setting["name"] == "ratio")
    assert ratio == {"name": "ratio", "type": "number", "default": 1.0, "low": 1.0, "high": 1000.0}
    assert run(monkeypatch, "batch", "--list-stages", "--json") == 0
    assert {stage["type"] for stage in json.loads(capsys.readouterr().out)} == set(stage_kinds())
    assert run(monkeypatch, "batch", "--list-stages") == 0
    assert "threshold_db" in capsys.readouterr().out
    assert run(monkeypatch, "batch", "--schema") == 0
    assert json.loads(capsys.readouterr().out) == schema()


def test_stages_inside_of_stages_have_names() -> None:
    text = (
        '[[stage]]\ntype = "Gain"\n[[stage]]\ntype = "mix"\n[[stage.branch]]\n[[stage.branch]]\n'
        '[[stage.branch.stage]]\ntype = "Gain"\n[[stage.branch.stage]]\ntype = "Delay"\n'
    )
    assert [name for name, _ in walk(parse_chain(text).stage)] == [
        "1 Gain", "2 mix", "2 mix.branch 2.1 Gain", "2 mix.branch 2.2 Delay",
    ]  # fmt: skip


def chain_named(name: str | None, *stages: dict[str, Any]) -> Chain:
    return Chain.model_validate({"stage": list(stages), "output": {} if name is None else {"name": name}})


STEMS = {"type": "separate", "output": "files"}
SLICES = {"type": "chop"}


@pytest.mark.parametrize(
    ("template", "stages", "labels", "name"),
    [
        (None, (), {}, "a/b/kick"),
        (None, (STEMS,), {"stem": "drums"}, "a/b/kick/drums"),
        (None, (SLICES,), {"slice": "03"}, "a/b/kick/kick-03"),
        (None, (STEMS, SLICES), {"stem": "drums", "slice": "03"}, "a/b/kick/drums-03"),
        ("{name}.{ext}", (), {}, "kick.wav"),
        ("{stem}/{path}/{name}", (STEMS,), {"stem": "a/b: c"}, "a_b_ c/a/b/kick"),
    ],
)
def test_outputs_have_names(
    template: str | None, stages: tuple[dict[str, Any], ...], labels: dict[str, str], name: str
) -> None:
    chain = chain_named(template, *stages)
    check_template(chain)
    assert name_of(chain, Name("a/b", "kick", ".wav", labels)) == name


@pytest.mark.parametrize(
    ("template", "stages", "said"),
    [
        ("{nmae}", (), "there is no {nmae}; there is path, name, ext, stem, slice"),
        ("out", (), "the same for every file"),
        ("{path}", (), "the same for every file"),
        ("{name", (), "expected '}'"),
        ("{name}", (STEMS,), "it needs {stem}"),
        ("{name}-{stem}", (STEMS, SLICES), "it needs {slice}"),
        ("../{name}", (), "must lie below"),
        ("/{name}", (), "must lie below"),
    ],
)
def test_a_template_that_cannot_be_is_refused(template: str, stages: tuple[dict[str, Any], ...], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        check_template(chain_named(template, *stages))
