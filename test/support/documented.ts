/** The bodies that the API's documentation prints. */

export const DOCUMENTED_TASK = {
  id: "task-001",
  prompt: "Write a haiku about programming",
  messages: [
    { role: "system", content: "You are a creative assistant." },
    { role: "user", content: "Write a haiku about programming" },
  ],
  model: "gpt-4",
  temperature: 0.7,
  maxTokens: 1000,
  metadata: { category: "creative", priority: "high" },
  batchId: "batch-001",
  idempotencyKey: "task-001-unique-key",
};

export const DOCUMENTED_BATCH = {
  id: "batch-001",
  name: "Creative Writing Tasks",
  description: "A collection of creative writing tasks",
  tasks: [
    { id: "task-001", prompt: "Write a haiku about programming" },
    { id: "task-002", prompt: "Write a short story about AI" },
  ],
  config: { model: "gpt-4", temperature: 0.7, maxConcurrency: 5 },
};
