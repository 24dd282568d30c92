// The published client in Node: compiled against its types, and run.
import { ApiError, type Client, createClient, type Schemas } from "gpt-task-runner/client";

declare const process: { env: Record<string, string | undefined> };
const { SERVER_URL: baseUrl = "", SERVER_KEY: apiKey = "" } = process.env;
const client: Client = createClient({ baseUrl, apiKey });

const tasks: Schemas["TaskInput"][] = [{ prompt: "one" }, { prompt: "two" }];
const statuses: Schemas["TaskStatus"][] = [];
for await (const { index, status } of client.run(tasks, { isDryRun: true }))
  statuses[index] = status;
if (statuses.join() !== "completed,completed") throw new Error(statuses.join());

const error: unknown = await client.getTask("nowhere").catch((error: unknown) => error);
if (!(error instanceof ApiError && error.code === "TASK_NOT_FOUND")) throw error;
console.log("the client of the package runs in Node");
