import type { OpenAPIHono } from "@hono/zod-openapi";

import { AppError } from "../errors.ts";
import { checkInvariants, requireReady } from "../services/health.ts";
import { type AppEnv, success } from "./router.ts";

/** `/healthz`: the process is alive. `/readyz`: it can do its work; with `?deep=1` its books balance, too. */
export function addHealth(app: OpenAPIHono<AppEnv>, isEngineRunning: () => boolean): void {
  app.get("/healthz", (c) => c.json(success({ status: "alive" })));
  app.get("/readyz", async (c) => {
    await requireReady(c.var.ctx, isEngineRunning);
    if (c.req.query("deep") === "1") {
      const differences = await checkInvariants(c.var.ctx);
      if (differences.length > 0)
        throw new AppError("SERVICE_UNAVAILABLE", "Counters differ from the rows they count", {
          differences,
        });
    }
    return c.json(success({ status: "ready" }));
  });
}
