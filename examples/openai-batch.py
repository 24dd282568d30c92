"""A batch through OpenAI's own SDK: upload, create, wait, download.

Against OpenAI itself it needs no change but the two variables. It needs the package `openai` (`pip install openai`).

    OPENAI_BASE_URL=http://localhost:3000/v1 OPENAI_API_KEY=$KEY python examples/openai-batch.py
"""

import io
import json
import time

from openai import OpenAI

client = OpenAI()

lines = [
    json.dumps(
        {
            "custom_id": f"city-{i}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": "gpt-4o-mini",
                "messages": [{"role": "user", "content": f"In which country is {city}?"}],
            },
        }
    )
    for i, city in enumerate(["Paris", "Lima", "Oslo"])
]
file = client.files.create(
    file=("cities.jsonl", io.BytesIO("\n".join(lines).encode())), purpose="batch"
)
batch = client.batches.create(
    input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
)
while batch.status not in ("completed", "failed", "expired", "cancelled"):
    time.sleep(0.5)
    batch = client.batches.retrieve(batch.id)
print(batch.status, batch.request_counts)
for error in (batch.errors and batch.errors.data) or []:
    print(error.line, error.message)
for file_id in (batch.output_file_id, batch.error_file_id):
    for line in client.files.content(file_id).text.splitlines() if file_id else []:
        result = json.loads(line)
        body = result["response"]["body"] if result["response"] else {}
        if "choices" in body:
            print(result["custom_id"], body["choices"][0]["message"]["content"])
        else:
            print(result["custom_id"], body.get("error") or result["error"])
