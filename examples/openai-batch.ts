/*
 * A batch through OpenAI's own SDK: upload, create, wait, download. Against OpenAI itself it needs no change but the two
 * variables.
 *
 *   OPENAI_BASE_URL=http://localhost:3000/v1 OPENAI_API_KEY=$KEY bun examples/openai-batch.ts
 */
import OpenAI, { toFile } from "openai";

const openai = new OpenAI();

const lines = ["Paris", "Lima", "Oslo"].map((city, i) =>
  JSON.stringify({
    custom_id: `city-${i}`,
    method: "POST",
    url: "/v1/chat/completions",
    body: {
      model: "gpt-4o-mini",
      messages: [{ role: "user", content: `In which country is ${city}?` }],
    },
  }),
);
const file = await openai.files.create({
  file: await toFile(Buffer.from(lines.join("\n")), "cities.jsonl"),
  purpose: "batch",
});
let batch = await openai.batches.create({
  input_file_id: file.id,
  endpoint: "/v1/chat/completions",
  completion_window: "24h",
});
while (!["completed", "failed", "expired", "cancelled"].includes(batch.status)) {
  await new Promise((resolve) => setTimeout(resolve, 500));
  batch = await openai.batches.retrieve(batch.id);
}
console.log(batch.status, batch.request_counts);
for (const error of batch.errors?.data ?? []) console.error(error.line, error.message);
for (const file of [batch.output_file_id, batch.error_file_id]) {
  const text = file ? await (await openai.files.content(file)).text() : "";
  for (const line of text.split("\n").filter(Boolean)) {
    const { custom_id: id, response, error } = JSON.parse(line);
    console.log(id, response?.body.choices?.[0].message.content ?? response?.body.error ?? error);
  }
}
