import { describe, expect, test } from "bun:test";

import { readAnswer } from "../../src/domain/answer.ts";
import { ComposeError, composeRequest } from "../../src/domain/compose.ts";
import { matchesModel } from "../../src/domain/models.ts";
import { costUsd, priceOf } from "../../src/domain/prices.ts";
import {
  fromProviderBody,
  promptOf,
  promptText,
  type TaskRequest,
  toChatBody,
} from "../../src/domain/request.ts";
import { parseTemplate } from "../../src/domain/template.ts";
import { readUsage } from "../../src/domain/usage.ts";

const NONE = new Map<string, string>();

describe("a request", () => {
  test.each([
    ["a prompt", { prompt: "hi" }, { model: "m", messages: [{ role: "user", content: "hi" }] }],
    [
      "messages before a prompt",
      { prompt: "kept", messages: [{ role: "user" as const, content: "sent" }] },
      { model: "m", messages: [{ role: "user", content: "sent" }] },
    ],
    [
      "a limit in the words of the model",
      { prompt: "hi", model: "o3-mini", maxTokens: 5 },
      { model: "o3-mini", messages: [{ role: "user", content: "hi" }], max_completion_tokens: 5 },
    ],
    [
      "parameters as they are",
      {
        prompt: "hi",
        temperature: 0,
        parameters: { top_p: 0.1, response_format: { type: "json_object" } },
      },
      {
        model: "m",
        messages: [{ role: "user", content: "hi" }],
        temperature: 0,
        top_p: 0.1,
        response_format: { type: "json_object" },
      },
    ],
  ])("sends %s", (_name, task, body) => {
    expect(composeRequest(task, {}, NONE, "m").body).toEqual(body as never);
  });

  test.each([
    ["nothing", {}, "prompt"],
    ["blanks", { prompt: "  " }, "prompt"],
    ["a limit twice", { prompt: "x", maxTokens: 1, parameters: { max_tokens: 2 } }, "parameters"],
  ])("of %s is refused", (_name, task, field) => {
    try {
      composeRequest(task, {}, NONE, "m");
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(ComposeError);
      expect((error as ComposeError).field).toBe(field);
    }
  });

  test("is returned as it was sent", () => {
    for (const model of ["gpt-4o", "o1"]) {
      const asked: TaskRequest = {
        prompt: null,
        messages: [{ role: "user", content: "hi" }],
        model,
        temperature: 0.5,
        maxTokens: 9,
        serviceTier: model === "o1" ? "flex" : null,
        parameters: { stop: ["x"] },
      };
      const { prompt: _prompt, ...read } = asked;
      expect(fromProviderBody("/v1/chat/completions", toChatBody(asked))).toEqual(read);
    }
  });

  test("has a prompt only if its message is nothing but that", () => {
    expect(promptOf({ messages: [{ role: "user", content: "hi" }] })).toBe("hi");
    expect(promptOf({ messages: [{ role: "system", content: "hi" }] })).toBeNull();
    expect(
      promptOf({ messages: [{ role: "user", content: [{ type: "text", text: "hi" }] }] }),
    ).toBeNull();
    expect(promptOf({ input: "hi" })).toBeNull();
  });

  test("gives all text that it sends", () => {
    expect(
      promptText({
        messages: [
          { role: "system", content: "a" },
          {
            role: "user",
            content: [
              { type: "text", text: "b" },
              { type: "image_url", image_url: { url: "u" } },
            ],
          },
        ],
      }),
    ).toBe("a\nb");
    expect(promptText({ input: ["c", "d"] })).toBe("c\nd");
    expect(promptText({ instructions: "e", input: [{ role: "user", content: "f" }] })).toBe("e\nf");
    expect(promptText({ prompt: "g" })).toBe("g");
  });
});

describe("a template", () => {
  test("replaces each placeholder once, and no placeholders in values", () => {
    const values = new Map([
      ["a", "{{b}}"],
      ["b", "B"],
      ["with space", "S"],
    ]);
    const template = parseTemplate("{{a}} {{ b }} {{a}} {{with space}} {{x}} {c} $&");
    expect(template.names).toEqual(["a", "b", "with space", "x"]);
    const filled = "{{b}} B {{b}} S {{x}} {c} $&";
    expect(template.render(values)).toBe(filled);
    expect(template.lengthWith(values)).toBe(filled.length);
  });

  test("are found in linear time", () => {
    const bait = [
      "{{" + " ".repeat(1_000_000) + "x{",
      "{".repeat(1_000_000),
      "{{a ".repeat(250_000),
    ];
    for (const text of bait) expect(parseTemplate(text).names).toEqual([]);
  });
});

describe("an answer", () => {
  test.each([
    [
      "/v1/chat/completions",
      { choices: [{ message: { content: "x" }, finish_reason: "stop" }] },
      "x",
    ],
    [
      "/v1/chat/completions",
      { choices: [{ message: { content: [{ type: "text", text: "y" }] } }] },
      "y",
    ],
    ["/v1/chat/completions", { choices: [{ message: { content: null } }] }, null],
    ["/v1/completions", { choices: [{ text: "z" }] }, "z"],
    [
      "/v1/responses",
      {
        output: [
          { type: "reasoning" },
          { type: "message", content: [{ type: "output_text", text: "r" }] },
        ],
      },
      "r",
    ],
    ["/v1/embeddings", { data: [{ embedding: [1, 2] }] }, "[1,2]"],
    ["/v1/embeddings", { data: [{ embedding: [1] }, { embedding: [2] }] }, "[[1],[2]]"],
  ] as const)("of %s is read", (endpoint, response, content) => {
    expect(readAnswer(endpoint, response as never)?.content).toBe(content);
  });

  test.each([
    ["/v1/chat/completions", {}],
    ["/v1/chat/completions", { choices: [] }],
    ["/v1/chat/completions", []],
    ["/v1/chat/completions", "text"],
    ["/v1/completions", { choices: [] }],
    ["/v1/responses", { output: null }],
    ["/v1/embeddings", { data: [] }],
  ] as const)("of %s that contains none is none: %j", (endpoint, response) => {
    expect(readAnswer(endpoint, response as never)).toBeUndefined();
  });

  test("has its usage in both formats, and null for missing values", () => {
    expect(
      readUsage({
        prompt_tokens: 3,
        completion_tokens: 2,
        prompt_tokens_details: { cached_tokens: 1 },
      }),
    ).toEqual({
      reported: "reported",
      usage: { promptTokens: 3, completionTokens: 2, totalTokens: 5, cachedTokens: 1 },
    });
    expect(
      readUsage({
        input_tokens: 3,
        output_tokens: 2,
        output_tokens_details: { reasoning_tokens: 1 },
      }),
    ).toEqual({
      reported: "reported",
      usage: { promptTokens: 3, completionTokens: 2, totalTokens: 5, reasoningTokens: 1 },
    });
    expect(readUsage({ prompt_tokens: 4, total_tokens: 4 }).usage?.completionTokens).toBe(0);
    expect(readUsage(null)).toEqual({ reported: "absent", usage: null });
    expect(readUsage({ prompt_tokens: "many" })).toEqual({ reported: "absurd", usage: null });
  });
});

describe("models and prices", () => {
  test.each([
    [["gpt-4*"], "gpt-4-turbo", true],
    [["gpt-4*"], "gpt-3.5-turbo", false],
    [["GPT-4O"], "gpt-4o", true],
    [["a.b"], "axb", false],
    [["*"], "anything/at:all", true],
    [[], "gpt-4", false],
  ])("%j allow %s: %p", (patterns, model, allowed) => {
    expect(matchesModel(patterns, model)).toBe(allowed);
  });

  test("cost counts cached tokens at their price, and is null without a known price", () => {
    const usage = { promptTokens: 1_000_000, completionTokens: 1_000_000, totalTokens: 2_000_000 };
    expect(costUsd(priceOf("gpt-4o", []), usage)).toBe(12.5);
    expect(costUsd(priceOf("gpt-4o-2024-08-06", []), usage)).toBe(12.5);
    expect(costUsd(priceOf("gpt-4o-2024-05-13", []), usage)).toBe(20);
    expect(costUsd(priceOf("gpt-4o", []), { ...usage, cachedTokens: 1_000_000 })).toBe(11.25);
    expect(costUsd(priceOf("llama-3", []), usage)).toBeNull();
  });
});
