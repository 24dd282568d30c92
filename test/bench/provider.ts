/*
 * An OpenAI-compatible provider that uses as little CPU as possible: it answers every request at once,
 * or after LATENCY_MS, give or take SPREAD_MS, as a stream of ten chunks if requested. `GET /arrivals` returns the times at
 * which requests arrived, by prompt, and clears them.
 */
const latencyMs = Number(process.env["LATENCY_MS"] ?? 0);
const spreadMs = Number(process.env["SPREAD_MS"] ?? 0);
const keepsArrivals = process.env["ARRIVALS"] === "1";
let arrivals: [string, number][] = [];
let count = 0;

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  idleTimeout: 120,
  async fetch(request) {
    if (request.method === "GET") {
      const reported = arrivals;
      arrivals = [];
      return Response.json({ arrivals: reported, count });
    }
    const at = keepsArrivals ? performance.timeOrigin + performance.now() : 0;
    const text = await request.text();
    if (keepsArrivals) arrivals.push([JSON.parse(text).messages[0].content, at]);
    if (latencyMs > 0) await Bun.sleep(latencyMs + spreadMs * (2 * Math.random() - 1));
    count++;
    if (text.includes('"stream":true')) return stream();
    return new Response(answer(count), {
      headers: { "content-type": "application/json", "x-request-id": `req_${count}` },
    });
  },
});
console.log(`ready http://127.0.0.1:${server.port}/v1`);

function answer(n: number): string {
  return `{"id":"chatcmpl-${n}","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Answer number ${n}","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":8,"total_tokens":20}}`;
}

function stream(): Response {
  const chunk = (delta: object, finish: string | null) =>
    `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1_700_000_000, model: "gpt-4o-mini", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
  const chunks = [
    ...Array.from({ length: 9 }, (_, i) => chunk({ content: `word ${i} ` }, null)),
    `${chunk({}, "stop")}data: {"id":"c","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":9,"total_tokens":21}}\n\ndata: [DONE]\n\n`,
  ];
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    async pull(controller) {
      const next = chunks.shift();
      if (next === undefined) return controller.close();
      controller.enqueue(encoder.encode(next));
      await Bun.sleep(1);
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}
