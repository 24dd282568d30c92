import type { OpenAPIHono } from "@hono/zod-openapi";

import packageJson from "../../package.json" with { type: "json" };
import type { Context } from "../context.ts";
import { createExposition } from "../services/prometheus.ts";
import type { EngineProbe } from "../services/status.ts";
import type { AppEnv } from "./router.ts";

/** `/metrics`: metrics for Prometheus. They contain no ids and no texts, so they need no key, like `/healthz`. */
export function addPrometheus(app: OpenAPIHono<AppEnv>, ctx: Context, engine: EngineProbe): void {
  const expose = createExposition(ctx, engine);
  app.get("/metrics", async (c) =>
    c.body(await expose(c.var.connections.open(), packageJson.version), 200, {
      "Content-Type": "text/plain; version=0.0.4; charset=utf-8",
    }),
  );
}
