"""Makes tables with real programs, sends them through the server, and reads its results with real programs.

Usage: check.py FOLDER RESULTS, with the server in SERVER_URL and SERVER_KEY. Every check is a line; the end is a
section of RESULTS with the date and the versions.
"""

import datetime as dt
import io
import json
import os
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request
import uuid

import openpyxl
import pandas as pd
import polars as pl
import pyarrow
import xlsxwriter

FOLDER, RESULTS = sys.argv[1], sys.argv[2]
URL, KEY = os.environ["SERVER_URL"], os.environ["SERVER_KEY"]

COLUMNS = {
    "name": ["007", "=1+1", "東京 😀", "two\nlines", 'a "quoted", b'],
    "n": [1, -2, 3, 400000, 5],
    "price": [0.5, 1234.25, 1e-7, 3.0, -0.125],
    "ok": [True, False, True, False, True],
    "day": [dt.date(2026, 11, 27), dt.date(1999, 12, 31), dt.date(2000, 2, 29), dt.date(1970, 1, 1), dt.date(2100, 3, 1)],
    "at": [dt.datetime(2026, 11, 27, 14, 30), dt.datetime(1999, 12, 31, 23, 59, 59), dt.datetime(2000, 2, 29, 1), dt.datetime(1970, 1, 1, 0, 0, 1), dt.datetime(2100, 3, 1, 12)],
}
ROWS = list(zip(*COLUMNS.values()))
TEMPLATE = "|".join("{{%s}}" % name for name in COLUMNS)
checks: list[tuple[str, str]] = []


def call(method: str, path: str, body=None, content_type="application/json") -> bytes:
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": content_type}
    request = urllib.request.Request(f"{URL}/api/v1{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        raise RuntimeError(json.loads(error.read())["error"]["message"]) from None


def upload(path: str) -> str:
    boundary = uuid.uuid4().hex
    with open(path, "rb") as file:
        content = file.read()
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{os.path.basename(path)}"\r\n\r\n'
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return json.loads(call("POST", "/files", body, f"multipart/form-data; boundary={boundary}"))["data"]["id"]


def batch(path: str, config: dict | None = None) -> str:
    body = {"inputFile": upload(path), "config": {"promptTemplate": TEMPLATE, **(config or {})}}
    return json.loads(call("POST", "/batches", body))["data"]["id"]


def office(source: str, target: str, extension: str) -> str:
    """Converts with LibreOffice, and returns where the new file is."""
    folder = os.path.join(FOLDER, uuid.uuid4().hex)
    command = ["soffice", "--headless", f"-env:UserInstallation=file://{FOLDER}/office", "--convert-to", target, "--outdir", folder, source]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return os.path.join(folder, f"{os.path.splitext(os.path.basename(source))[0]}.{extension}")


def check(name: str, work) -> None:
    try:
        work()
        outcome = "passed"
    except Exception as error:  # noqa: BLE001 - every failure is a line of the report
        traceback.print_exc()
        outcome = f"FAILED: {error}".replace("\n", " ")[:200]
    checks.append((name, outcome))
    print(f"{outcome:10} {name}", flush=True)


def equal(found, expected) -> None:
    if found != expected:
        raise AssertionError(f"found {found!r}, expected {expected!r}")


def text_of(value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() else f"{value:.20f}".rstrip("0") if value == 1e-7 else repr(value)
    return value.isoformat() if isinstance(value, dt.date) else str(value)


def is_read(path: str, config: dict | None = None, normal=lambda row: row) -> None:
    """The server sees the rows that the program wrote."""
    lines = call("GET", f"/batches/{batch(path, config)}/results?format=jsonl").decode().splitlines()
    rows = [json.loads(line) for line in lines]
    found = [[value if isinstance(value, str) else text_of(value) for value in (row[name] for name in COLUMNS)] for row in rows]
    expected = [[text_of(value) for value in row] for row in ROWS]
    equal([normal(row) for row in found], [normal(row) for row in expected])


def is_refused(path: str, words: str) -> None:
    try:
        batch(path)
    except RuntimeError as error:
        if words not in str(error):
            raise
        return
    raise AssertionError("it was taken")


def at(name: str) -> str:
    return os.path.join(FOLDER, name)


def lenient(row: list[str]) -> list[str]:
    """What a text of a number or a date may be in a CSV: 1.0, True, a blank between date and time."""
    name, n, price, ok, day, moment = row
    return [name, str(float(n)), f"{float(price):.10f}", ok.lower(), day[:10], moment.replace(" ", "T")[:19]]


def write_files() -> None:
    frame, table = pd.DataFrame(COLUMNS), pl.DataFrame(COLUMNS)
    for engine in ["openpyxl", "xlsxwriter"]:
        options = {"options": {"strings_to_formulas": False}} if engine == "xlsxwriter" else {}
        with pd.ExcelWriter(at(f"pandas-{engine}.xlsx"), engine=engine, engine_kwargs=options) as writer:
            frame.to_excel(writer, index=False)
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Data")
    sheet.append(list(COLUMNS))
    for row in ROWS:
        cells = [openpyxl.cell.WriteOnlyCell(sheet, value) for value in row]
        cells[0].data_type = "s"
        sheet.append(cells)
    book.save(at("openpyxl.xlsx"))
    with xlsxwriter.Workbook(at("polars.xlsx"), {"strings_to_formulas": False}) as workbook:
        table.write_excel(workbook)
    frame.to_csv(at("pandas.csv"), index=False)
    frame.to_csv(at("pandas-index.csv"))
    table.write_csv(at("polars.csv"))
    frame.to_parquet(at("pandas.parquet"), index=False)
    for compression in ["zstd", "snappy", "gzip", "brotli", "lz4", "uncompressed"]:
        table.write_parquet(at(f"polars-{compression}.parquet"), compression=compression)


def check_reading() -> None:
    plain = {"xlsx": {"sheet": 1}}
    # openpyxl takes a text that begins with = for a formula whatever pandas wants.
    check("pandas with openpyxl writes =1+1 as a formula, which is refused", lambda: is_refused(at("pandas-openpyxl.xlsx"), "has a formula whose value is not stored"))
    for name in ["pandas-xlsxwriter", "openpyxl", "polars"]:
        check(f"{name}.xlsx is read", lambda name=name: is_read(at(f"{name}.xlsx"), plain))
    for name in ["pandas.csv", "pandas-index.csv", "polars.csv"]:
        check(f"{name} is read", lambda name=name: is_read(at(name), None, lenient))
    for name in sorted(name for name in os.listdir(FOLDER) if name.endswith(".parquet")):
        check(f"{name} is read", lambda name=name: is_read(at(name), None, lenient))
    check("LibreOffice's XLSX is read", lambda: is_read(office(at("pandas-xlsxwriter.xlsx"), "xlsx", "xlsx")))
    check("LibreOffice's CSV with semicolons is read", lambda: is_read(office(at("pandas-xlsxwriter.xlsx"), "csv:Text - txt - csv (StarCalc):59,34,76,,,,,false", "csv"), None, office_csv))
    check("LibreOffice's values of formulas are read", check_formula)
    check("LibreOffice's ODS is refused", lambda: is_refused(office(at("polars.xlsx"), "ods", "ods"), "is an OpenDocument spreadsheet"))
    check("LibreOffice's XLS is refused", lambda: is_refused(office(at("polars.xlsx"), "xls", "xls"), "encrypted workbook or an old one"))


def office_csv(row: list[str]) -> list[str]:
    """A sheet displays numbers shortened, and times in its own format."""
    name, n, _, ok, day, _ = lenient(row)
    return [name, n, ok, day]


def check_formula() -> None:
    book = openpyxl.Workbook()
    book.active.append(list(COLUMNS))
    book.active.append(["=CONCATENATE(\"a\",\"b\")", "=1+1", "=1/4", "=TRUE()", "=DATE(2026,1,2)", "=NA()"])
    book.active["E2"].number_format = "yyyy-mm-dd"
    book.save(at("formulas.xlsx"))
    is_refused(at("formulas.xlsx"), "has a formula whose value is not stored")
    converted = batch(office(at("formulas.xlsx"), "xlsx", "xlsx"))
    row = json.loads(call("GET", f"/batches/{converted}/results?format=jsonl"))
    equal([row[name] for name in COLUMNS], ["ab", 2, 0.25, True, "2026-01-02", "#N/A"])


def check_writing() -> None:
    made = batch(at("openpyxl.xlsx"))
    call("POST", f"/batches/{made}/execute", {})
    while json.loads(call("GET", f"/batches/{made}"))["data"]["status"] in ("pending", "running"):
        time.sleep(0.1)
    results = call("GET", f"/batches/{made}/results?format=xlsx")
    with open(at("results.xlsx"), "wb") as file:
        file.write(results)
    check("openpyxl reads results with their types", check_openpyxl)
    frame = lambda: pd.read_excel(at("results.xlsx"), dtype={"name": str})
    check("pandas reads results with their types", lambda: check_frame(frame()))
    check("polars (calamine) reads results with their types", lambda: check_polars(pl.read_excel(at("results.xlsx"))))
    check("LibreOffice reads results", check_office)
    comma = call("GET", f"/batches/{made}/results?format=csv&bom=true")
    check("pandas reads results as CSV", lambda: equal(list(pd.read_csv(io.BytesIO(comma), dtype={"name": str})["name"]), COLUMNS["name"]))
    check("polars reads results as CSV", lambda: equal(list(pl.read_csv(comma, schema_overrides={"name": pl.String})["name"]), COLUMNS["name"]))
    lines = call("GET", f"/batches/{made}/results?format=jsonl")
    check("pandas reads results as JSONL", lambda: equal(list(pd.read_json(io.BytesIO(lines), lines=True, dtype={"name": str})["name"]), COLUMNS["name"]))


def check_openpyxl() -> None:
    sheet = openpyxl.load_workbook(at("results.xlsx")).active
    equal((sheet.title, sheet.freeze_panes), ("Results", "A2"))
    rows = list(sheet.iter_rows(values_only=True))
    equal(rows[0][: len(COLUMNS) + 2], (*COLUMNS, "status", "result"))
    midnight = lambda value: value if isinstance(value, dt.datetime) or not isinstance(value, dt.date) else dt.datetime.combine(value, dt.time())
    equal([row[: len(COLUMNS)] for row in rows[1:]], [tuple(midnight(value) for value in row) for row in ROWS])
    equal({row[len(COLUMNS)] for row in rows[1:]}, {"completed"})
    equal(sheet["A3"].data_type, "s")


def check_frame(frame: pd.DataFrame) -> None:
    equal(list(frame["name"]), COLUMNS["name"])
    equal([str(frame[name].dtype)[:8] for name in ["n", "price", "ok", "day", "at"]], ["int64", "float64", "bool", "datetime", "datetime"])
    equal([value.date() for value in frame["day"]], COLUMNS["day"])
    equal([value.to_pydatetime() for value in frame["at"]], COLUMNS["at"])


def check_polars(frame: pl.DataFrame) -> None:
    equal(list(frame["name"]), COLUMNS["name"])
    equal(list(frame["n"]), COLUMNS["n"])
    equal(list(frame["ok"]), COLUMNS["ok"])
    equal([value if type(value) is dt.date else value.date() for value in frame["day"]], COLUMNS["day"])
    equal(list(frame["at"]), COLUMNS["at"])


def check_office() -> None:
    table = pd.read_csv(office(at("results.xlsx"), "csv:Text - txt - csv (StarCalc):44,34,76", "csv"), dtype=str)
    equal(list(table["name"]), COLUMNS["name"])
    equal(list(table["day"]), [value.isoformat() for value in COLUMNS["day"]])
    equal(list(table["at"]), [value.isoformat(" ") for value in COLUMNS["at"]])


def report() -> None:
    failed = [name for name, outcome in checks if outcome != "passed"]
    version = subprocess.run(["soffice", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    versions = f"LibreOffice {version}, pandas {pd.__version__}, openpyxl {openpyxl.__version__}, XlsxWriter {xlsxwriter.__version__}, polars {pl.__version__}, pyarrow {pyarrow.__version__}"
    with open(RESULTS, "a", encoding="utf-8") as file:
        file.write(f"\n## {dt.date.today()}: {len(checks) - len(failed)} of {len(checks)} passed\n\n{versions}\n\n")
        file.writelines(f"- {name}: {outcome}\n" for name, outcome in checks)
    print(f"{len(checks) - len(failed)} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


write_files()
check_reading()
check_writing()
report()
