/*
 * The baseline for the API: the same framework, validation and database, with only one handler that inserts a row and one
 * that selects it, each statement in its own commit.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import { createClient } from "@libsql/client";

const db = createClient({
  url: `file:${join(mkdtempSync(join(tmpdir(), "bare-")), "bare.db")}`,
  concurrency: 1,
});
await db.execute("PRAGMA journal_mode = WAL");
await db.execute("PRAGMA synchronous = FULL");
await db.execute(
  "CREATE TABLE tasks (id TEXT PRIMARY KEY, prompt TEXT, status TEXT, created_at INTEGER)",
);

const Task = z.object({
  id: z.string(),
  prompt: z.string(),
  status: z.string(),
  createdAt: z.number(),
});
const content = { "application/json": { schema: Task } };
const app = new OpenAPIHono()
  .openapi(
    createRoute({
      method: "post",
      path: "/tasks",
      request: {
        body: {
          content: { "application/json": { schema: z.object({ prompt: z.string().min(1) }) } },
          required: true,
        },
      },
      responses: { 201: { description: "created", content } },
    }),
    async (c) => {
      const { prompt } = c.req.valid("json");
      const task = { id: crypto.randomUUID(), prompt, status: "pending", createdAt: Date.now() };
      await db.execute({
        sql: "INSERT INTO tasks VALUES (?, ?, ?, ?)",
        args: [task.id, task.prompt, task.status, task.createdAt],
      });
      return c.json(task, 201);
    },
  )
  .openapi(
    createRoute({
      method: "get",
      path: "/tasks/{id}",
      request: { params: z.object({ id: z.string() }) },
      responses: { 200: { description: "found", content } },
    }),
    async (c) => {
      const { rows } = await db.execute({
        sql: "SELECT id, prompt, status, created_at AS createdAt FROM tasks WHERE id = ?",
        args: [c.req.valid("param").id],
      });
      const [row] = rows;
      return c.json(
        {
          id: String(row?.["id"]),
          prompt: String(row?.["prompt"]),
          status: String(row?.["status"]),
          createdAt: Number(row?.["createdAt"]),
        },
        200,
      );
    },
  );

const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: app.fetch });
console.log(`ready http://127.0.0.1:${server.port}`);
