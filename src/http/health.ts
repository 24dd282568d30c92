import type { OpenAPIHono } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";

import { AppError } from "../errors.ts";
import { checkInvariants, requireReady } from "../services/health.ts";
import type { EngineProbe } from "../services/status.ts";
import { type AppEnv, success } from "./router.ts";

/**
 * `/healthz`: the process is alive. `/readyz`: it can do its work. Both need no key. `?deep=1` also checks all
 * counters; that reads every task and names batches, so it needs a key.
 */
export function addHealth(
  app: OpenAPIHono<AppEnv>,
  engine: EngineProbe,
  admitted: MiddlewareHandler<AppEnv>,
): void {
  app.get("/healthz", (c) => c.json(success(c, { status: "alive" })));
  app.get("/readyz", async (c) => {
    await requireReady(c.var.ctx, engine);
    if (c.req.query("deep") === "1") {
      await admitted(c, async () => undefined);
      const differences = await checkInvariants(c.var.ctx);
      if (differences.length > 0)
        throw new AppError("SERVICE_UNAVAILABLE", "Counters differ from the rows they count", {
          differences,
        });
    }
    return c.json(success(c, { status: "ready" }));
  });
}
