"""A CSV through Ondine, started or continued: INPUT, OUTPUT, STATE (a folder) and PROVIDER say where. Run by ../tables.bench.ts."""

import os
import re
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
# A session is named in its checkpoint's file name.
sessions = [
    found.group()
    for file in sorted(state.glob("*"), key=lambda file: file.stat().st_mtime)
    if (found := re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", file.name))
]
result = pipeline.execute(resume_from=UUID(sessions[-1]) if sessions else None)
result.data.to_csv(os.environ["OUTPUT"], index=False)
