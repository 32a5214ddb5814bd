"""What an operator hands in: every kind of file is understood, and every kind of mistake is named with its place."""

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exits import CommandError, Exit
from gateway.planning.bad_rows import FIRST_LINE, collecting, place_for
from gateway.planning.columns import ALIASES, HeaderError, read_header
from gateway.planning.csv_source import DELIMITERS, CsvSource, read_delimiter
from gateway.planning.jsonl_source import JsonlSource
from gateway.planning.rows import NEEDED, Given, Rejected, Source
from gateway.planning.rules import read_ids
from gateway.planning.text import LONGEST_LINE, opened
from worker.unlinking.job import MAX_ID, Relation
from worker.unlinking.relation_types import PREFIX, RELATION_TYPES

LINK = Relation("calendar:address", 671, 153)
HEADER = "relationtype,parentid,childid\n"


def read(
    path: Path, *, delimiter: str | None = None, encoding: str | None = None, one_type: str | None = None
) -> tuple[list[Given], list[Rejected], Source]:
    """All rows of a file, good and bad."""
    with opened(str(path), encoding) as text:
        source: Source = (
            JsonlSource(text, one_type) if text.beginning in ("{", "[") else CsvSource(text, delimiter, one_type)
        )
        rows = list(source)
    good = [row for row in rows if isinstance(row, Given)]
    return good, [row for row in rows if isinstance(row, Rejected)], source


def written(tmp_path: Path, content: bytes | str, name: str = "links.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def relations(path: Path, **options: str) -> list[Relation]:
    good, bad, _ = read(path, **options)
    assert not bad
    return [row.relation for row in good]


TABLE = "relationtype,parentid,childid,name\ncalendar:address,671,153,Müller\n"


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode(),
        TABLE.encode("utf-8-sig"),
        TABLE.encode("utf-16"),
        TABLE.encode("cp1252"),
        TABLE.replace(",", ";").encode(),
        TABLE.replace(",", "\t").encode(),
        TABLE.replace(",", "|").encode(),
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace("\n", "\r").encode(),
        TABLE.rstrip().encode(),
        ("\n\n" + TABLE + "\n\n,,,\n").encode(),
        ("sep=;\n" + TABLE.replace(",", ";")).encode(),
        gzip.compress(TABLE.encode(), mtime=0),
        b'"relationtype","parentid","childid","name"\n"calendar:address","671","153","M\xc3\xbcller"\n',
        b" Relation_Type , PARENT-ID , Child Id , name\n calendar:address , 671 , 153 ,M\xc3\xbcller\n",
        f"Typ;Eltern-ID;Kind-ID;name\n{PREFIX}calendar:address;671;153;Müller\n".encode(),
        b"name,child,parent,type\nM\xc3\xbcller,153,671,calendar:address\n",
        b"type,parent,child,name\ncalendar:address,0671,153,M\xc3\xbcller,,\n",
    ],
)
def test_a_csv_of_any_make_is_understood(tmp_path: Path, content: bytes) -> None:
    good, bad, _ = read(written(tmp_path, content))
    assert not bad
    assert [row.relation for row in good] == [LINK]
    assert any(value.strip() == "Müller" for value in good[0].input)


def test_the_input_is_kept_as_it_came_with_its_line(tmp_path: Path) -> None:
    text = 'note,type,parent,child\n"two\nlines",calendar:address,671,153\n\n x ,calendar:address,672,1\n'
    good, _, source = read(written(tmp_path, text))
    assert source.columns == ("note", "type", "parent", "child")
    assert [(row.source, row.input[0]) for row in good] == [("2", "two\nlines"), ("5", " x ")]


def test_what_is_not_utf_8_is_read_as_cp1252_and_said(tmp_path: Path) -> None:
    _, _, source = read(written(tmp_path, TABLE.encode("cp1252")))
    assert source.notes == (f"{source.name} is not UTF-8 and is read as cp1252; --encoding says otherwise",)
    _, _, source = read(written(tmp_path, TABLE.encode("cp1252")), encoding="latin-1")
    assert source.notes == ()
    with pytest.raises(CommandError, match="is not utf-8-sig throughout"):
        read(written(tmp_path, TABLE.encode("cp1252")), encoding="utf-8")


@pytest.mark.parametrize("name", ["hex", "no-such", "base64", "\0", "a b"])
def test_an_unknown_encoding_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(CommandError, match=r"--encoding .* is unknown"):
        read(written(tmp_path, TABLE), encoding=name)


def test_a_type_for_all_rows_stands_in_for_the_column(tmp_path: Path) -> None:
    path = written(tmp_path, "parentid,childid\n671,153\n")
    assert relations(path, one_type="calendar:address") == [LINK]
    with pytest.raises(CommandError, match="names relation types; leave --type out"):
        read(written(tmp_path, TABLE), one_type="calendar:address")


@pytest.mark.parametrize(
    ("values", "field", "reason"),
    [
        (("calendar:adress", "1", "2"), "relationtype", "did you mean calendar:address?"),
        (("", "1", "2"), "relationtype", "is empty"),
        (("x" * 100_000, "1", "2"), "relationtype", "unknown relation type"),
        (("calendar:address", "", "2"), "parentid", "is empty"),
        (("calendar:address", "1", " "), "childid", "is empty"),
        (("calendar:address", "0", "2"), "parentid", "must be a positive record id"),
        (("calendar:address", "000", "2"), "parentid", "must be a positive record id"),
        (("calendar:address", "-5", "2"), "parentid", "is negative"),
        (("calendar:address", "\u22125", "2"), "parentid", "is negative"),
        (("calendar:address", "12.0", "2"), "parentid", "is a decimal number; write digits only"),
        (("calendar:address", '"12,5"', "2"), "parentid", "is a decimal number"),
        (("calendar:address", "1.234", "2"), "parentid", "thousands separators"),
        (("calendar:address", "1 234", "2"), "parentid", "thousands separators"),
        (("calendar:address", "1.2E+06", "2"), "parentid", "scientific notation"),
        (("calendar:address", str(10**30), "2"), "parentid", "is too large"),
        (("calendar:address", str(MAX_ID + 1), "2"), "parentid", "is too large"),
        (("calendar:address", "9" * 100_000, "2"), "parentid", "is too large"),
        (("calendar:address", "1_000", "2"), "parentid", "is no whole number"),
        (("calendar:address", "\u0661", "2"), "parentid", "is no whole number"),
        (("calendar:address", "\u00b2", "2"), "parentid", "is no whole number"),
        (("calendar:address", "0x10", "2"), "parentid", "is no whole number"),
        (("calendar:address", "1", "two"), "childid", "is no whole number"),
        (("calendar:address", "1", "=2"), "childid", "is no whole number"),
        (("calendar:address", "1", "2\0"), "", "holds a NUL byte"),
        (("calendar:address", "1"), "", "has 2 fields where the header has 3"),
        (("calendar:address", "1", "2", "3"), "", "has 4 fields where the header has 3"),
        (('"calendar":address', "1", "2"), "", "is no CSV with this delimiter"),
    ],
)
def test_a_bad_row_is_named_by_line_field_and_reason(
    tmp_path: Path, values: tuple[str, ...], field: str, reason: str
) -> None:
    text = f"{HEADER}calendar:address,671,153\n{','.join(values)}\ncalendar:address,671,153\n"
    good, bad, _ = read(written(tmp_path, text))
    assert [row.relation for row in good] == [LINK, LINK], "the rows around it are read"
    assert [row.source for row in bad] == ["3"]
    assert [fault.field for fault in bad[0].faults] == [field]
    assert reason in bad[0].faults[0].reason
    assert len(bad[0].faults[0].value) <= 80
    assert len(bad[0].faults[0].reason) < 300


def test_every_fault_of_a_row_is_named(tmp_path: Path) -> None:
    _, bad, _ = read(written(tmp_path, f"{HEADER}nothing,-1,x\n"))
    assert [fault.field for fault in bad[0].faults] == list(NEEDED)


def test_a_row_of_another_width_is_kept(tmp_path: Path) -> None:
    _, bad, _ = read(written(tmp_path, f"{HEADER}calendar:address,0014\n"))
    assert [fault.value for fault in bad[0].faults] == ['["calendar:address", "0014"]']


def test_a_read_only_type_is_no_bad_row(tmp_path: Path) -> None:
    """It is known, and the plan says that it is refused."""
    assert relations(written(tmp_path, f"{HEADER}user:messengerUser:is,1,2\n")) == [
        Relation("user:messengerUser:is", 1, 2)
    ]


def test_an_open_quote_takes_no_row_along_in_silence(tmp_path: Path) -> None:
    rows = "".join(f"calendar:address,{number},1,\n" for number in range(1, 10))
    text = f'relationtype,parentid,childid,note\ncalendar:address,671,153,\ncalendar:address,672,153,"open\n{rows}'
    good, bad, _ = read(written(tmp_path, text))
    assert [row.relation for row in good] == [LINK]
    assert [row.source for row in bad] == ["3"]
    assert "never closed (the file ends in line 12)" in bad[0].faults[0].reason


def test_an_open_quote_of_a_large_file_costs_the_rows_it_swallows_and_says_which(tmp_path: Path) -> None:
    rows = "".join(f"calendar:address,{number},1,\n" for number in range(1, 10_001))
    text = f'relationtype,parentid,childid,note\ncalendar:address,672,153,"open\n{rows}'
    good, bad, _ = read(written(tmp_path, text))
    assert bad[0].source == "2"
    assert "a field is longer than 131,072 characters (to line " in bad[0].faults[0].reason
    last = int(bad[0].faults[0].reason.split("to line ")[1].split(")")[0])
    assert [row.source for row in good] == [str(line) for line in range(last + 1, 10_003)]


def test_a_line_without_end_is_a_bad_row_and_no_more(tmp_path: Path) -> None:
    text = f"{HEADER}calendar:address,1,{'9' * (LONGEST_LINE * 3)}\ncalendar:address,671,153\n"
    good, bad, _ = read(written(tmp_path, text))
    assert [row.relation for row in good] == [LINK]
    assert bad[0].faults[0].reason == "the line is longer than 1,000,000 characters"
    assert good[0].source == "3"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n \n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"PK\x03\x04" + b"\0" * 100, "is an Excel workbook"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 100, "is an old Excel workbook"),
        (b"\x7fELF\0\0\0", "is binary, not text"),
        (gzip.compress(TABLE.encode() * 100, mtime=0)[:40], "is cut off"),
        (b"\x1f\x8b garbage that is not gzip", "cannot be read"),
        (b"a,b,c\n1,2,3\n", "no column means relationtype or parentid or childid; the header has 'a', 'b', 'c'"),
        (b"calendar:address,671,153\n", "line 1 looks like data, not like a header"),
        (b"relationtype,parent_idd,childid\n", "is 'parent_idd' parentid? Then rename it"),
        (b"parentid,childid\n", "or give the relation type of all rows with --type"),
        (b"type,relationtype,parentid,childid\n", "the columns 'type' and 'relationtype' both mean relationtype"),
        (b"kind,parentid,childid\n", "no column means relationtype"),
        (b'relationtype,parentid,"childid\n', "no column means relationtype"),
        (b"relationtype,parentid," + b"x" * (LONGEST_LINE + 1), "line 1 is longer than"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(CommandError) as error:
        read(path)
    assert reason in str(error.value)
    assert str(path) in str(error.value)
    assert error.value.code is Exit.BAD_INPUT
    assert len(str(error.value)) < 1000


def test_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    assert relations(written(tmp_path, HEADER)) == []


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(CommandError, match="cannot be read"):
            read(path)


@pytest.mark.parametrize(
    ("value", "delimiter"), [("tab", "\t"), ("\\t", "\t"), (";", ";"), ("Pipe", "|"), ("^", "^"), (None, None)]
)
def test_delimiters_have_names(value: str | None, delimiter: str | None) -> None:
    assert read_delimiter(value) == delimiter


@pytest.mark.parametrize("value", ["", ";;", '"', "\n"])
def test_a_bad_delimiter_is_refused(value: str) -> None:
    with pytest.raises(CommandError, match="--delimiter"):
        read_delimiter(value)


def test_a_named_delimiter_is_used_even_if_another_would_do(tmp_path: Path) -> None:
    path = written(tmp_path, "type^parent^child,x\ncalendar:address^671^153\n".replace(",x", ""))
    assert relations(path, delimiter="^") == [LINK]


def test_no_name_means_two_things() -> None:
    assert "kind" not in ALIASES
    with pytest.raises(HeaderError):
        read_header(["parent", "parentid", "childid", "type"], one_type=False)


@pytest.mark.parametrize(
    "line",
    [
        '{"relationtype": "calendar:address", "parentid": 671, "childid": 153}',
        '{"child": "153", "parent": "671", "type": "calendar:address", "more": [1, {"a": null}]}',
        f'["{PREFIX}calendar:address", 671, "153"]',
    ],
)
def test_json_lines_are_understood_and_kept(tmp_path: Path, line: str) -> None:
    good, bad, source = read(written(tmp_path, f"{line}\n\n{line}\r\n", "links.jsonl"))
    assert not bad
    assert [(row.source, row.relation, row.input) for row in good] == [("1", LINK, (line,)), ("3", LINK, (line,))]
    assert source.columns == ("json",)


def test_json_lines_without_a_type(tmp_path: Path) -> None:
    path = written(tmp_path, '{"parentid": 671, "childid": 153}\n[671, 153]\n')
    assert relations(path, one_type="calendar:address") == [LINK, LINK]


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        ("{", "", "is no JSON; write one object a line"),
        ('{"parentid": 1', "", "is no JSON"),
        ("[" * 100_000, "", "is no JSON"),
        ("7", "", "must be an object or an array"),
        ("[1, 2]", "", "must be [relationtype, parentid, childid]"),
        ('{"parentid": 1, "childid": 2}', "", "no column means relationtype"),
        ('{"type": "calendar:address", "parentid": 1, "parentid": 3, "childid": 2}', "", "is no JSON"),
        ('{"type": 7, "parentid": 1, "childid": 2}', "relationtype", "must be text, not a number"),
        ('{"type": "calendar:address", "parentid": 12.0, "childid": 2}', "parentid", "not a decimal number"),
        ('{"type": "calendar:address", "parentid": true, "childid": 2}', "parentid", "not true or false"),
        ('{"type": "calendar:address", "parentid": null, "childid": 2}', "parentid", "not null"),
        ('{"type": "calendar:address", "parentid": [1], "childid": 2}', "parentid", "not an array"),
        ('{"type": "calendar:address", "parentid": 1, "childid": {}}', "childid", "not an object"),
        ('{"type": "calendar:address", "parentid": -1, "childid": 2}', "parentid", "is negative"),
        ('{"type": "calendar:address", "parentid": 1' + "0" * 30 + ', "childid": 2}', "parentid", "too large"),
        ('{"type": "calendar:address", "parentid": 1' + "0" * 5000 + ', "childid": 2}', "", "is no JSON"),
        ('{"type": "calendar:address", "parentid": "1\0", "childid": 2}', "", "holds a NUL byte"),
    ],
)
def test_a_bad_json_line_is_named(tmp_path: Path, line: str, field: str, reason: str) -> None:
    fine = '["calendar:address", 671, 153]'
    good, bad, _ = read(written(tmp_path, f"{fine}\n{line}\n{fine}\n"))
    assert [row.relation for row in good] == [LINK, LINK]
    assert [(row.source, row.faults[0].field) for row in bad] == [("2", field)]
    assert reason in bad[0].faults[0].reason
    assert len(bad[0].faults[0].value) <= 80


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
IDS = st.integers(1, MAX_ID)
ROWS = st.lists(st.tuples(st.sampled_from(sorted(RELATION_TYPES)), IDS, IDS, TEXT), max_size=20)


@given(
    rows=ROWS,
    delimiter=st.sampled_from(DELIMITERS),
    ending=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    packed=st.booleans(),
)
def test_whatever_a_spreadsheet_writes_comes_back(  # one parameter each way to write a file
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, int, int, str]],
    delimiter: str,
    ending: str,
    encoding: str,
    quoting: int,
    packed: bool,
) -> None:
    if quoting == csv.QUOTE_MINIMAL:  # Python's writer leaves a lone carriage return unquoted
        rows = [(kind, parent, child, note.replace("\r", "")) for kind, parent, child, note in rows]
    buffer = io.StringIO(newline="")
    table = csv.writer(buffer, delimiter=delimiter, lineterminator=ending, quoting=quoting)  # type: ignore[arg-type]  # its constants are ints
    table.writerow([*NEEDED, "note"])
    table.writerows(rows)
    content = buffer.getvalue().encode(encoding)
    path = tmp_path_factory.mktemp("csv") / "links.csv"
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    good, bad, _ = read(path)
    assert not bad
    assert [(row.relation, row.input[3]) for row in good] == [
        (Relation(kind, parent, child), note) for kind, parent, child, note in rows
    ]


@given(content=st.binary(max_size=400), header=st.booleans())
def test_no_bytes_at_all_break_it(tmp_path_factory: pytest.TempPathFactory, content: bytes, header: bool) -> None:
    """Every row is good, or bad with a reason, or the file is refused; nothing else comes out."""
    path = tmp_path_factory.mktemp("any") / "any"
    path.write_bytes((HEADER.encode() if header else b"") + content)
    try:
        good, bad, _ = read(path)
    except CommandError:
        return
    assert all(row.relation.parentid > 0 and row.relation.childid > 0 for row in good)
    assert all(fault.reason for row in bad for fault in row.faults)


def test_bad_rows_go_into_a_csv_that_no_spreadsheet_runs(tmp_path: Path) -> None:
    path = written(tmp_path, f"{HEADER}calendar:address,=1+1,\n\nnone,1,2\ncalendar:address,1\n")
    _, bad, _ = read(path)
    with collecting("links.csv") as list_:
        for row in bad:
            list_.add(row)
        list_.save(tmp_path / "bad.csv")
    with (tmp_path / "bad.csv").open(newline="") as file:
        table = list(csv.reader(file))
    assert table[0] == ["file", "row", "field", "value", "reason"]
    assert table[1] == ["links.csv", "2", "parentid", "'=1+1", "is no whole number"]
    assert table[2] == ["links.csv", "2", "childid", "", "is empty"]
    assert [row[:3] for row in table[3:]] == [["links.csv", "4", "relationtype"], ["links.csv", "5", ""]]
    assert list_.count == 3
    assert list_.first[0] == "line 2: parentid '=1+1' is no whole number"


def test_the_list_of_bad_rows_takes_no_others_place(tmp_path: Path) -> None:
    name = str(tmp_path / "links.csv")
    assert place_for(name, None) == tmp_path / "links.csv.bad.csv"
    (tmp_path / "links.csv.bad.csv").write_text(FIRST_LINE + "x,1,,,\n")
    assert place_for(name, None) == tmp_path / "links.csv.bad.csv", "an earlier list is replaced"
    (tmp_path / "links.csv.bad.csv").write_text("mine")
    assert place_for(name, None) == tmp_path / "links.csv.bad2.csv"
    with pytest.raises(CommandError, match="there is another file"):
        place_for(name, tmp_path / "links.csv.bad.csv")
    (tmp_path / "links.csv").write_text(HEADER)
    with pytest.raises(CommandError, match="there is another file"):
        place_for(name, tmp_path / "links.csv")


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("1,2,3", [1, 2, 3]),
        (" 5 ", [5]),
        ("1\n2\n3\n", [1, 2, 3]),
        ("id\n7\n8", [7, 8]),
        ('"parentid"\r\n"7";8 9', [7, 8, 9]),
    ],
)
def test_ids_of_a_rule_come_from_the_value_or_its_file(tmp_path: Path, text: str, ids: list[int]) -> None:
    assert list(read_ids(str(written(tmp_path, text, "ids.txt")), None)) == ids
    if "\n" not in text:
        assert list(read_ids(text, None)) == ids


def test_bad_ids_of_a_rule_are_named(tmp_path: Path) -> None:
    found = list(read_ids(str(written(tmp_path, "1\nx\n-3, 12.0\n\0\n2\n", "ids.txt")), None))
    assert [each for each in found if isinstance(each, int)] == [1, 2]
    bad = [(each.source, each.faults[0].reason) for each in found if isinstance(each, Rejected)]
    assert [line for line, _ in bad] == ["2", "3", "3", "4"]
    assert json.dumps(bad)
