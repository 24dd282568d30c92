"""A CSV through Ondine, started or continued: INPUT, OUTPUT, STATE (a folder) and PROVIDER say where. Run by ../tables.bench.ts."""

import os
import sqlite3
from pathlib import Path
from uuid import UUID

from ondine import PipelineBuilder

state = Path(os.environ["STATE"])
pipeline = (
    PipelineBuilder.create()
    .from_csv(os.environ["INPUT"], input_columns=["name"], output_columns=["answer"])
    .with_prompt(os.environ["PROMPT"] + " {name}")
    .with_llm("openai/gpt-4o-mini", api_key="x", base_url=os.environ["PROVIDER"])
    .with_concurrency(int(os.environ["AT_ONCE"]))
    .with_checkpoint_dir(str(state))
    .with_checkpoint_interval(100)
    .with_error_policy("retry")
    .with_max_retries(10)
    .build()
)
# Answers are kept under the session that made them. It can be resumed if its checkpoint was written, too: at the end of all calls,
# on an exception or on Ctrl-C, but not on kill -9.
answers = state / "responses.db"
sessions = (
    sqlite3.connect(answers).execute("SELECT session_id FROM responses ORDER BY rowid DESC LIMIT 1").fetchall()
    if answers.exists()
    else []
)
try:
    result = pipeline.execute(resume_from=UUID(sessions[0][0]) if sessions else None)
except ValueError as error:
    if "No checkpoint found" not in str(error):
        raise
    result = pipeline.execute()
result.data.to_csv(os.environ["OUTPUT"], index=False)
