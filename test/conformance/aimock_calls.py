"""The calls of aimock.test.ts with OpenAI's own SDK for Python. Run by that test, with SERVER_URL and SERVER_KEY.

Prints the name of each check that passed.
"""

import asyncio
import io
import json
import os
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import openai
from pydantic import BaseModel

URL, KEY = f"{os.environ['SERVER_URL']}/v1", os.environ["SERVER_KEY"]
client = openai.OpenAI(base_url=URL, api_key=KEY, max_retries=0)
MODEL = "gpt-4o-mini"
HELLO = "Hi there, nice to meet you!"
EMBEDDING = [0.25, -0.5]
VECTORS = "text-embedding-3-small"


class Person(BaseModel):
    name: str
    age: int


ADA = Person(name="Ada", age=36)


def ask(text: str) -> dict:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}]}


def equal(found, wanted) -> None:
    assert found == wanted, f"{found!r} in place of {wanted!r}"


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"not refused with {kind}")


def new_client(**settings) -> openai.OpenAI:
    api = client.with_options(base_url=f"{os.environ['SERVER_URL']}/api/v1")
    key = api.post("/api-keys", body=settings, cast_to=object)["data"]["key"]
    return client.with_options(api_key=key)


def chat() -> None:
    whole = client.chat.completions.create(**ask("hello"))
    equal(whole.choices[0].message.content, HELLO)
    assert whole.usage.completion_tokens > 0
    usage = {"include_usage": True}
    with client.chat.completions.stream(**ask("hello"), stream_options=usage) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        last = stream.get_final_completion()
    assert len(deltas) > 2, deltas
    equal(["".join(deltas), last.choices[0].message.content], [HELLO, HELLO])
    assert last.usage.completion_tokens > 0
    parsed = client.chat.completions.parse(**ask("person"), response_format=Person)
    equal(parsed.choices[0].message.parsed, ADA)
    with client.chat.completions.stream(**ask("person"), response_format=Person) as stream:
        equal(stream.get_final_completion().choices[0].message.parsed, ADA)


def tools() -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": parameters}}
    message = client.chat.completions.create(**ask("weather"), tools=[tool]).choices[0].message
    with client.chat.completions.stream(**ask("weather"), tools=[tool]) as stream:
        streamed = stream.get_final_completion().choices[0].message
    for said in (message, streamed):
        equal(json.loads(said.tool_calls[0].function.arguments), {"city": "Paris"})
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}
    messages = [*ask("weather")["messages"], message.model_dump(exclude_none=True), result]
    answer = client.chat.completions.create(model=MODEL, messages=messages, tools=[tool])
    equal(answer.choices[0].message.content, "It is sunny in Paris.")


def responses() -> None:
    equal(client.responses.create(model=MODEL, input="hello").output_text, HELLO)
    with client.responses.stream(model=MODEL, input="hello") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        equal(["".join(deltas), stream.get_final_response().output_text], [HELLO, HELLO])
    parsed = client.responses.parse(model=MODEL, input="person", text_format=Person)
    equal(parsed.output_parsed, ADA)
    with client.responses.stream(model=MODEL, input="person", text_format=Person) as stream:
        equal(stream.get_final_response().output_parsed, ADA)


def embeddings_and_moderations() -> None:
    # The SDK requests base64, and decodes it, unless another format is given.
    for encoding in ({}, {"encoding_format": "float"}):
        data = client.embeddings.create(model=VECTORS, input=["hello", "world"], **encoding).data
        equal([one.embedding for one in data], [EMBEDDING, EMBEDDING])
    [result] = client.moderations.create(model="omni-moderation-latest", input="hello").results
    assert result.flagged and result.categories.violence


def models() -> None:
    listed = [model.id for model in client.models.list()]
    equal(client.models.retrieve(listed[0]).id, listed[0])


def raw() -> None:
    answer = client.chat.completions.with_raw_response.create(**ask("hello"))
    assert answer.headers["x-request-id"].startswith("req-")
    equal(answer.headers["x-gtr-provider"], "openai")
    equal(answer.parse().choices[0].message.content, HELLO)
    with client.chat.completions.with_streaming_response.create(**ask("hello"), stream=True) as one:
        lines = [line for line in one.iter_lines() if line]
    equal(lines[-1], "data: [DONE]")


def errors() -> None:
    for status, kind in {
        400: openai.BadRequestError,
        404: openai.NotFoundError,
        409: openai.ConflictError,
        422: openai.UnprocessableEntityError,
        429: openai.RateLimitError,
        500: openai.InternalServerError,
    }.items():
        error = refused(kind, lambda: client.chat.completions.create(**ask(f"fail {status}")))
        equal([error.status_code, error.code], [status, "some_code"])
        assert error.request_id.startswith("req-")
    wrong = client.with_options(api_key="wrong")
    equal(refused(openai.AuthenticationError, wrong.models.list).code, "invalid_api_key")
    for param, call in {
        "id": lambda: client.batches.retrieve("batch_none"),
        "model": lambda: client.models.retrieve("gpt-none"),
        "after": lambda: client.files.list(after="file-none"),
    }.items():
        error = refused(openai.NotFoundError, call)
        equal([error.param, error.type], [param, "invalid_request_error"])
    table = ("in.csv", io.BytesIO(b"a,b"))
    error = refused(
        openai.BadRequestError, lambda: client.files.create(file=table, purpose="batch")
    )
    equal([error.param, error.code], ["file", "invalid_file_format"])
    slow = new_client(name="python slow", rateLimitPerMinute=1)
    slow.models.list()
    error = refused(openai.RateLimitError, slow.models.list)
    equal(error.code, "rate_limit_exceeded")
    headers = error.response.headers
    equal(int(headers["retry-after-ms"]), 1000 * int(headers["retry-after"]))
    equal(headers["x-ratelimit-limit-requests"], "1")
    reader = new_client(name="python reader", scopes=["read"])
    refused(openai.PermissionDeniedError, lambda: reader.chat.completions.create(**ask("hello")))


def time_outs_and_aborts() -> None:
    hasty = client.with_options(timeout=0.1)
    refused(openai.APITimeoutError, lambda: hasty.chat.completions.create(**ask("slow")))
    stream = client.chat.completions.create(**ask("hello"), stream=True)
    next(iter(stream))
    stream.close()

    async def leave() -> None:
        async with openai.AsyncOpenAI(base_url=URL, api_key=KEY, max_retries=0) as other:
            call = asyncio.create_task(other.chat.completions.create(**ask("slow")))
            await asyncio.sleep(0.05)
            call.cancel()
            answer = await other.chat.completions.create(**ask("hello"))
            equal(answer.choices[0].message.content, HELLO)

    asyncio.run(leave())


async def call_all(other: openai.AsyncOpenAI) -> None:
    chat = other.chat.completions
    chunks = [chunk async for chunk in await chat.create(**ask("hello"), stream=True)]
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    equal(said, HELLO)
    async with chat.stream(**ask("person"), response_format=Person) as stream:
        equal((await stream.get_final_completion()).choices[0].message.parsed, ADA)
    async with other.responses.stream(model=MODEL, input="hello") as stream:
        equal((await stream.get_final_response()).output_text, HELLO)
    parsed = await other.responses.parse(model=MODEL, input="person", text_format=Person)
    equal(parsed.output_parsed, ADA)
    data = (await other.embeddings.create(model=VECTORS, input="hello")).data
    equal([one.embedding for one in data], [EMBEDDING])
    raw = await chat.with_raw_response.create(**ask("hello"))
    equal([raw.parse().choices[0].message.content, raw.retries_taken], [HELLO, 0])
    async with chat.with_streaming_response.create(**ask("hello"), stream=True) as answer:
        lines = [line async for line in answer.iter_lines() if line]
    equal(lines[-1], "data: [DONE]")
    answers = await asyncio.gather(*[chat.create(**ask("hello")) for _ in range(10)])
    equal({answer.choices[0].message.content for answer in answers}, {HELLO})


def asynchronous() -> None:
    async def run() -> None:
        async with openai.AsyncOpenAI(base_url=URL, api_key=KEY, max_retries=0) as other:
            await call_all(other)

    asyncio.run(run())


def start_batch(lines: list[dict]) -> openai.types.Batch:
    content = io.BytesIO("\n".join(json.dumps(line) for line in lines).encode())
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h"
    )


def ended(batch: openai.types.Batch) -> openai.types.Batch:
    while batch.status not in ("completed", "failed"):
        time.sleep(0.02)
        batch = client.batches.retrieve(batch.id)
    return batch


def batches() -> None:
    body = {"model": VECTORS, "input": ["a", "b"]}
    lines = [
        {"custom_id": str(i), "method": "POST", "url": "/v1/embeddings", "body": body}
        for i in range(3)
    ]
    refused_batch = start_batch([{**lines[0], "url": "/v1/responses"}])
    batch = ended(start_batch(lines))
    equal(batch.request_counts.model_dump(), {"total": 3, "completed": 3, "failed": 0})
    content = client.files.content(batch.output_file_id)
    output = content.text.splitlines()
    equal([json.loads(line)["custom_id"] for line in output], ["0", "1", "2"])
    data = json.loads(output[0])["response"]["body"]["data"]
    equal([one["embedding"] for one in data], [EMBEDDING, EMBEDDING])
    with client.files.with_streaming_response.content(batch.output_file_id) as streamed:
        equal(b"".join(streamed.iter_bytes()), content.read())
    [error] = ended(refused_batch).errors.data
    equal([error.code, error.line, error.param], ["url_mismatch", 1, "url"])
    # By its headers the server prevents retries that would be useless.
    patient = client.with_options(max_retries=2)
    conflict = refused(openai.ConflictError, lambda: patient.batches.cancel(batch.id))
    equal(conflict.request.headers["x-stainless-retry-count"], "0")


def pages() -> None:
    for listed in (client.batches.list, client.files.list):
        whole = [one.id for one in listed(limit=100)]
        equal([one.id for one in listed(limit=1)], whole)
        assert len(whole) > 1, whole

    async def run() -> list[str]:
        async with openai.AsyncOpenAI(base_url=URL, api_key=KEY, max_retries=0) as other:
            return [file.id async for file in other.files.list(limit=2, order="asc")]

    equal(asyncio.run(run()), [file.id for file in client.files.list()][::-1])


def webhooks() -> None:
    received = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append((body.decode(), dict(self.headers)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        # This SDK has no methods for endpoints yet, only for what they receive.
        url = f"http://127.0.0.1:{server.server_port}/"
        body = {"name": "python", "url": url, "event_types": ["batch.completed"]}
        endpoint = client.post("/webhook_endpoints", body=body, cast_to=object)
        test = {"event_type": "batch.completed"}
        client.post(f"/webhook_endpoints/{endpoint['id']}/test", body=test, cast_to=object)
        server.shutdown()
    [(payload, headers)] = received
    event = client.webhooks.unwrap(payload, headers, secret=endpoint["signing_secret"])
    equal([event.type, event.data.id], ["batch.completed", "batch_test"])
    wrong = "whsec_d3Jvbmc="
    refused(
        openai.InvalidWebhookSignatureError,
        lambda: client.webhooks.unwrap(payload, headers, secret=wrong),
    )


for check in (
    chat,
    tools,
    responses,
    embeddings_and_moderations,
    models,
    raw,
    asynchronous,
    time_outs_and_aborts,
    batches,
    pages,
    webhooks,
    # The last, because the server calls a provider more slowly after a 429.
    errors,
):
    check()
    print(check.__name__, flush=True)
