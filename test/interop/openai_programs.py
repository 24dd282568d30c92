"""Programs that were written for OpenAI, with another base URL and another key, and nothing else changed.

Usage: openai_programs.py FOLDER, with the server in SERVER_URL and SERVER_KEY; prints one line of JSON per check.
"""

import asyncio
import importlib.metadata
import json
import os
import subprocess
import sys
import traceback

from pydantic import BaseModel

FOLDER = sys.argv[1]
URL, KEY = f"{os.environ['SERVER_URL']}/v1", os.environ["SERVER_KEY"]
MODEL = "gpt-4o-mini"
HELLO = "Hi there, nice to meet you!"
SUNNY = "It is sunny in Paris."


class Person(BaseModel):
    name: str
    age: int


def get_weather(city: str) -> str:
    """Says how the weather is."""
    return f"sunny in {city}"


ADA = Person(name="Ada", age=36)
FIRST_NUMBER = 0.25


def expect(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r} in place of {wanted!r}")


def langchain():
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    def model(**more):
        return ChatOpenAI(model=MODEL, base_url=URL, api_key=KEY, max_retries=0, **more)

    def chat():
        answer = model().invoke("hello")
        expect(answer.content, HELLO)
        assert answer.usage_metadata["output_tokens"] > 0

    def stream():
        chunks = list(model(stream_usage=True).stream("hello"))
        assert len(chunks) > 2
        expect("".join(chunk.content for chunk in chunks), HELLO)

    def tools():
        bound = model().bind_tools([tool(get_weather)])
        asked = bound.invoke("weather")
        [call] = asked.tool_calls
        expect((call["name"], call["args"]), ("get_weather", {"city": "Paris"}))
        said = ToolMessage(get_weather(**call["args"]), tool_call_id=call["id"])
        expect(bound.invoke([HumanMessage("weather"), asked, said]).content, SUNNY)

    def structured():
        expect(model().with_structured_output(Person).invoke("person"), ADA)

    def responses():
        answer = model(use_responses_api=True).invoke("hello")
        expect(answer.text if isinstance(answer.text, str) else answer.text(), HELLO)

    def embeddings():
        embed = OpenAIEmbeddings(
            model="text-embedding-3-small", base_url=URL, api_key=KEY, check_embedding_ctx_length=False
        )
        expect(embed.embed_query("hello")[0], FIRST_NUMBER)

    return "LangChain", "langchain-openai", [chat, stream, tools, structured, responses, embeddings]


def llama_index():
    from llama_index.core.llms import ChatMessage
    from llama_index.core.tools import FunctionTool
    from llama_index.embeddings.openai_like import OpenAILikeEmbedding
    from llama_index.llms.openai_like import OpenAILike

    model = OpenAILike(
        model=MODEL, api_base=URL, api_key=KEY, is_chat_model=True, is_function_calling_model=True, max_retries=0
    )

    def chat():
        expect(model.chat([ChatMessage(role="user", content="hello")]).message.content, HELLO)

    def stream():
        pieces = [piece.delta or "" for piece in model.stream_chat([ChatMessage(role="user", content="hello")])]
        assert len(pieces) > 2
        expect("".join(pieces), HELLO)

    def tools():
        answer = model.predict_and_call([FunctionTool.from_defaults(get_weather)], user_msg="weather")
        expect(answer.response, "sunny in Paris")

    def structured():
        expect(model.as_structured_llm(Person).complete("person").raw, ADA)

    def embeddings():
        embed = OpenAILikeEmbedding(model_name="text-embedding-3-small", api_base=URL, api_key=KEY)
        expect(embed.get_text_embedding("hello")[0], FIRST_NUMBER)

    return "LlamaIndex", "llama-index-llms-openai-like", [chat, stream, tools, structured, embeddings]


def llm_command():
    home = os.path.join(FOLDER, "llm")
    os.makedirs(home, exist_ok=True)
    with open(os.path.join(home, "extra-openai-models.yaml"), "w") as file:
        # JSON is YAML.
        json.dump(
            [
                {
                    "model_id": "ours",
                    "model_name": MODEL,
                    "api_base": URL,
                    "api_key_name": "ours",
                    "supports_tools": True,
                    "supports_schema": True,
                }
            ],
            file,
        )

    def run(*arguments):
        program = os.path.join(os.path.dirname(sys.executable), "llm")
        done = subprocess.run(
            [program, "-m", "ours", "--key", KEY, "--no-log", *arguments],
            env={**os.environ, "LLM_USER_PATH": home},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode != 0:
            raise AssertionError(done.stderr[-1000:])
        return done.stdout.strip()

    def chat():
        expect(run("--no-stream", "hello"), HELLO)

    def stream():
        expect(run("hello"), HELLO)

    def tools():
        code = 'def get_weather(city: str) -> str:\n    "Says how the weather is."\n    return "sunny in " + city\n'
        expect(run("--functions", code, "weather"), SUNNY)

    def structured():
        expect(json.loads(run("--schema", "name, age int", "person")), ADA.model_dump())

    return "llm", "llm", [chat, stream, tools, structured]


def with_instructor():
    import instructor
    from openai import OpenAI

    def client(mode):
        return instructor.from_openai(OpenAI(base_url=URL, api_key=KEY, max_retries=0), mode=mode)

    def ask(mode, **more):
        messages = [{"role": "user", "content": "person"}]
        return client(mode).chat.completions.create(model=MODEL, response_model=Person, messages=messages, **more)

    def tools():
        expect(ask(instructor.Mode.TOOLS).model_dump(), ADA.model_dump())

    def json_schema():
        expect(ask(instructor.Mode.JSON_SCHEMA).model_dump(), ADA.model_dump())

    def partial():
        for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
            objects = client(mode).chat.completions.create_partial(
                model=MODEL, response_model=Person, messages=[{"role": "user", "content": "person"}]
            )
            pieces = [(one.name, one.age) for one in objects]
            assert len(set(pieces)) > 2, pieces
            expect((pieces[0], pieces[-1]), ((None, None), ("Ada", 36)))

    return "instructor", "instructor", [tools, json_schema, partial]


def openai_agents():
    from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool
    from agents import set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)

    def agent(kind, **more):
        model = kind(model=MODEL, openai_client=AsyncOpenAI(base_url=URL, api_key=KEY, max_retries=0))
        return Agent(name="a", model=model, **more)

    def run(kind, text, **more):
        return asyncio.run(Runner.run(agent(kind, **more), text)).final_output

    def chat():
        expect(run(OpenAIChatCompletionsModel, "hello"), HELLO)

    def responses():
        expect(run(OpenAIResponsesModel, "hello"), HELLO)

    def stream():
        async def read(kind):
            running = Runner.run_streamed(agent(kind), "hello")
            count = 0
            async for _ in running.stream_events():
                count += 1
            assert count > 2
            return running.final_output

        for kind in (OpenAIChatCompletionsModel, OpenAIResponsesModel):
            expect(asyncio.run(read(kind)), HELLO)

    def tools():
        for kind in (OpenAIChatCompletionsModel, OpenAIResponsesModel):
            expect(run(kind, "weather", tools=[function_tool(get_weather)]), SUNNY)

    def structured():
        for kind in (OpenAIChatCompletionsModel, OpenAIResponsesModel):
            expect(run(kind, "person", output_type=Person), ADA)

    return "openai-agents", "openai-agents", [chat, responses, stream, tools, structured]


failed = 0
for program in (langchain, llama_index, llm_command, with_instructor, openai_agents):
    try:
        name, package, checks = program()
    except Exception:
        print(json.dumps({"program": program.__name__, "what": "start", "error": traceback.format_exc()[-1500:]}))
        failed += 1
        continue
    version = importlib.metadata.version(package)
    for check in checks:
        line = {"program": f"{name} ({package} {version})", "what": check.__name__}
        try:
            check()
        except Exception:
            line["error"] = traceback.format_exc()[-1500:]
            failed += 1
        print(json.dumps(line), flush=True)
sys.exit(1 if failed else 0)
