"""Every kind of call at /v1 with OpenAI's own SDK for Python, against the simulator."""

import io
import os
import time

import openai

base = f"{os.environ['SERVER_URL']}/v1"
client = openai.OpenAI(base_url=base, api_key=os.environ["SERVER_KEY"], max_retries=0)
MODEL = "gpt-4o-mini"
hello = [{"role": "user", "content": "Hello"}]

answer = client.chat.completions.create(model=MODEL, messages=hello)
assert answer.choices[0].message.content, answer
raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=hello)
assert raw.headers["x-gtr-provider"] and raw.parse().usage.total_tokens > 0
pieces = client.chat.completions.create(model=MODEL, messages=hello, stream=True)
text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
assert text, "nothing was streamed"
with client.chat.completions.stream(model=MODEL, messages=hello) as stream:
    assert stream.get_final_completion().choices[0].message.content
assert client.responses.create(model=MODEL, input="Hello").output_text
assert client.embeddings.create(model="text-embedding-3-small", input="x").data[0].embedding
assert client.completions.create(model="gpt-3.5-turbo-instruct", prompt="x").choices[0].text
assert MODEL in [model.id for model in client.models.list()]
assert client.models.retrieve(MODEL).id == MODEL


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"not refused with {kind}")


wrong = openai.OpenAI(base_url=base, api_key="wrong", max_retries=0)
assert refused(openai.AuthenticationError, wrong.models.list).code == "invalid_api_key"
error = refused(openai.NotFoundError, lambda: client.batches.retrieve("batch_none"))
assert error.body["message"] == "No batch found with id 'batch_none'.", error.body
error = refused(
    openai.BadRequestError,
    lambda: client.files.create(file=("in.csv", io.BytesIO(b"x")), purpose="batch"),
)
assert error.param == "file", error.body

line = (
    '{"custom_id":"%s","method":"POST","url":"/v1/chat/completions",'
    '"body":{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}}\n'
)


def run(content):
    file = client.files.create(file=("in.jsonl", io.BytesIO(content.encode())), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"by": "python"},
    )
    assert batch.status == "validating", batch
    for _ in range(200):
        batch = client.batches.retrieve(batch.id)
        if batch.status in ("completed", "failed"):
            return batch
        time.sleep(0.05)
    raise AssertionError(batch)


good = run("".join(line % i for i in range(3)))
assert good.request_counts.completed == 3, good
assert len(client.files.content(good.output_file_id).text.splitlines()) == 3
bad = run(line % 1 + line % 1)
assert bad.errors.data[0].code == "duplicate_custom_id", bad
assert {good.id, bad.id} <= {batch.id for batch in client.batches.list(limit=1)}
assert good.output_file_id in [file.id for file in client.files.list(limit=2)]
assert client.files.delete(good.input_file_id).deleted
