"""Sends a table through a server, one prompt for each row, and writes a CSV of answers.

    python run_file.py cities.csv --prompt "In which country is {{city}}?" --columns country --out answers.csv

The same call continues where it was, after Ctrl-C, a lost connection or a restart of the server: the id of the batch is
made of the file and of what is asked, so that nothing is sent, or paid, twice.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import httpx
from runner_client.api.batches import (
    create_batch,
    execute_batch,
    get_batch,
    get_batch_results,
    resume_batch,
)
from runner_client.api.files import delete_file, upload_file
from runner_client.client import AuthenticatedClient
from runner_client.models import (
    Batch,
    BatchConfig,
    BatchCreation,
    BatchExecuteOptions,
    BatchStatus,
    ErrorAnswer,
    FileUpload,
    GetBatchResponse200,
    UploadFileResponse201,
)
from runner_client.types import UNSET, File

PATIENCE_SECONDS = 300
ENDED = {BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.CANCELLED}

A = TypeVar("A")


def patiently(call: Callable[[], A | ErrorAnswer | None]) -> A | ErrorAnswer:
    """The answer to a call that can be made again, once the server can be reached and has time for it."""
    until = time.monotonic() + PATIENCE_SECONDS
    pause = 0.2
    while True:
        try:
            answer = call()
            if answer is None:
                raise SystemExit("The server does not answer as GPT Task Runner does")
            if not isinstance(answer, ErrorAnswer):
                return answer
            if answer.error.code not in ("RATE_LIMIT_EXCEEDED", "SERVICE_UNAVAILABLE"):
                return answer
            why = answer.error.message
        except (httpx.TransportError, json.JSONDecodeError) as error:
            why = str(error)
        if time.monotonic() > until:
            raise SystemExit(f"The server cannot be used: {why}")
        time.sleep(pause)
        pause = min(pause * 2, 5)


def good(answer: A | ErrorAnswer, *accepted: str) -> A | None:
    """What was answered, or `None` for one of these errors. Ends the program with any other."""
    if not isinstance(answer, ErrorAnswer):
        return answer
    if answer.error.code in accepted:
        return None
    raise SystemExit(f"{answer.error.code}: {answer.error.message}")


def find(client: AuthenticatedClient, batch_id: str) -> Batch | None:
    answer = good(patiently(lambda: get_batch.sync(batch_id, client=client, limit=1)), "BATCH_NOT_FOUND")
    return answer.data if isinstance(answer, GetBatchResponse200) else None


def create(client: AuthenticatedClient, batch_id: str, path: Path, config: BatchConfig) -> None:
    def send() -> UploadFileResponse201 | ErrorAnswer | None:
        with path.open("rb") as content:
            return upload_file.sync(
                client=client, body=FileUpload(file=File(payload=content, file_name=path.name))
            )

    upload = good(patiently(send))
    if upload is None:
        return
    body = BatchCreation(
        id=batch_id, name=path.name, input_file=upload.data.id, scoped_ids=True, config=config
    )
    # With the key, a call whose answer was lost can be made again.
    good(patiently(lambda: create_batch.sync(client=client, body=body, idempotency_key=batch_id)))
    # The batch keeps what it has read.
    patiently(lambda: delete_file.sync(upload.data.id, client=client))


def start(client: AuthenticatedClient, batch: Batch, is_dry_run: bool) -> None:
    options = BatchExecuteOptions(is_dry_run=is_dry_run)
    if batch.status == BatchStatus.PENDING:
        started = patiently(lambda: execute_batch.sync(batch.id, client=client, body=options))
        good(started, "BATCH_RUNNING", "BATCH_FINISHED")
    elif batch.status == BatchStatus.PAUSED:
        good(patiently(lambda: resume_batch.sync(batch.id, client=client)), "BATCH_RUNNING")


def follow(client: AuthenticatedClient, batch_id: str) -> Batch:
    pause = 0.1
    while True:
        batch = find(client, batch_id)
        if batch is None:
            raise SystemExit(f"Batch {batch_id} was deleted")
        done = batch.progress.completed + batch.progress.failed + batch.progress.cancelled
        print(f"\r{done} of {batch.progress.total}", end="", file=sys.stderr)
        if batch.status in ENDED and batch.completed_at is not None:
            return batch
        if batch.status == BatchStatus.PAUSED:
            why = batch.pause_reason.message if batch.pause_reason else "by somebody"
            raise SystemExit(f"\nThe batch is paused ({why}); the same call resumes it")
        time.sleep(pause)
        pause = min(pause * 1.5, 2)


def write(client: AuthenticatedClient, batch_id: str, out: Path) -> None:
    """A file that is there is whole: its content is written beside it first."""
    results = good(
        patiently(lambda: get_batch_results.sync_detailed(batch_id, client=client))
    )
    if results is None or results.status_code != HTTPStatus.OK:
        raise SystemExit("The results cannot be read")
    beside = out.with_name(f".{out.name}.part")
    beside.write_bytes(results.content)
    beside.replace(out)


def main() -> None:
    parser = argparse.ArgumentParser(description="Send a table through a server, one prompt a row")
    parser.add_argument("file", type=Path, help="CSV, XLSX, Parquet, JSON or JSONL")
    parser.add_argument("--prompt", required=True, help="with {{column}} for the cells of a row")
    parser.add_argument("--columns", help="fields that each answer is to have, with commas between")
    parser.add_argument("--model")
    parser.add_argument("--max-cost", type=float, help="in USD")
    parser.add_argument("--dry-run", action="store_true", help="let the simulator answer")
    parser.add_argument("--out", type=Path, default=Path("answers.csv"))
    given = parser.parse_args()

    client = AuthenticatedClient(
        base_url=os.environ.get("GPTRUNNER_SERVER", "http://localhost:3000"),
        token=os.environ["GPTRUNNER_KEY"],
        timeout=httpx.Timeout(90),
    )
    config = BatchConfig(
        prompt_template=given.prompt,
        output=given.columns.split(",") if given.columns else UNSET,
        model=given.model or UNSET,
        max_cost_usd=given.max_cost or UNSET,
    )
    asked = json.dumps([config.to_dict(), given.dry_run], sort_keys=True).encode()
    digest = hashlib.sha256(given.file.read_bytes() + b"\0" + asked).hexdigest()
    batch_id = f"python-{digest[:16]}"

    batch = find(client, batch_id)
    if batch is None:
        create(client, batch_id, given.file, config)
        batch = find(client, batch_id)
    if batch is not None:
        start(client, batch, given.dry_run)
    ended = follow(client, batch_id)
    write(client, batch_id, given.out)
    print(
        f"\r{ended.progress.completed} of {ended.progress.total} rows answered, "
        f"cost {ended.cost_usd} USD: {given.out}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
