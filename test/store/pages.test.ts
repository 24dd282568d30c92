import { expect, test } from "bun:test";

import { insertTask } from "../../src/store/new-task.ts";
import { listTasks, type TaskPage } from "../../src/store/tasks.ts";
import { newTask, openStore } from "../support/store.ts";

test.each(["asc", "desc"] as const)(
  "pages by key (%s) have each row once, although all rows have the same time and some are deleted in between",
  async (order) => {
    using store = await openStore();
    for (let i = 0; i < 7; i++) await store.writer.write({ task: insertTask(newTask(`t${i}`)) });
    const page: TaskPage = { sort: "createdAt", order, limit: 2, offset: 0 };
    const seen: string[] = [];
    for (let after: TaskPage["after"]; ;) {
      const rows = await listTasks(store.db, {}, { ...page, after });
      const last = rows.at(-1);
      if (!last) break;
      seen.push(...rows.map(({ task }) => task.id));
      after = [last.sortValue, last.task.seq];
      await store.client.batch(
        ["queue WHERE task", "task_inputs WHERE task", "tasks WHERE seq"].map((where) => ({
          sql: `DELETE FROM ${where} = ?`,
          args: [last.task.seq],
        })),
        "write",
      );
    }
    const all = Array.from({ length: 7 }, (_, i) => `t${i}`);
    expect(seen).toEqual(order === "asc" ? all : all.toReversed());
  },
);
