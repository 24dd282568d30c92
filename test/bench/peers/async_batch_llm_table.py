"""A CSV through async-batch-llm, started or continued: INPUT, OUTPUT, STATE (a folder) and PROVIDER say where. Run by ../tables.bench.ts."""

import asyncio
import csv
import os

from async_batch_llm import (
    LLMWorkItem,
    OpenAICompatibleModel,
    OpenAIStrategy,
    ParallelBatchProcessor,
    ProcessorConfig,
    RateLimitConfig,
    ResumePolicy,
    RetryConfig,
    SqliteArtifactStore,
)
from openai import AsyncOpenAI


async def main() -> None:
    client = AsyncOpenAI(base_url=os.environ["PROVIDER"], api_key="x", max_retries=0)
    strategy = OpenAIStrategy(OpenAICompatibleModel("gpt-4o-mini", client))
    with open(os.environ["INPUT"], newline="") as file:
        rows = list(csv.DictReader(file))
    config = ProcessorConfig(
        concurrency=int(os.environ["AT_ONCE"]),
        retry=RetryConfig(max_attempts=10, initial_wait=0.5),
        # Its own default is a pause of five minutes.
        rate_limit=RateLimitConfig(cooldown_seconds=1, slow_start_items=0),
    )
    store = SqliteArtifactStore(os.path.join(os.environ["STATE"], "answers.db"))
    async with ParallelBatchProcessor(
        config=config, artifact_store=store, resume=ResumePolicy.REUSE_SUCCESSES
    ) as processor:
        for row in rows:
            prompt = f"{os.environ['PROMPT']} {row['name']}"
            await processor.add_work(LLMWorkItem(item_id=row["id"], strategy=strategy, prompt=prompt))
        result = await processor.process_all()
    answers = {item.item_id: item.output for item in result.results if item.success}
    with open(os.environ["OUTPUT"], "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "name", "answer"])
        writer.writerows([row["id"], row["name"], answers.get(row["id"], "")] for row in rows)


asyncio.run(main())
