import type { Context, MiddlewareHandler } from "hono";
import { matchedRoutes } from "hono/route";

import type { AuditLog } from "../services/audit.ts";
import { addressOf } from "./address.ts";
import type { AppEnv } from "./router.ts";

/** Frequent actions. */
const MANY = /^(tasks|batches)\./;

/** POST requests that change and execute nothing. The page sends one at each pause in typing. */
const ASKING = new Set(["batches.preview"]);

const READING = new Set(["GET", "HEAD", "OPTIONS"]);

/**
 * Records every request that changed or executed something. Requests for tasks and batches are frequent, so their
 * answers do not wait until the entry is stored; all others do.
 */
export function audit(log: AuditLog): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    if (READING.has(c.req.method)) return next();
    await next();
    // An execution is recorded even if the request failed later because its key was revoked during the wait.
    if (c.res.status >= 400 && c.var.executionId === undefined) return;
    const action = nameAction(c.req.method, routeOf(c));
    if (ASKING.has(action)) return;
    log.note({
      keyId: c.var.caller.keyId,
      action,
      target: Object.values(c.req.param()).join("/") || (c.var.answeredId ?? null),
      requestId: c.var.requestId,
      address: addressOf(c) ?? null,
      options: optionsOf(c),
    });
    if (!MANY.test(action)) await log.flush();
  };
}

function routeOf(c: Context): string {
  return matchedRoutes(c).at(-1)?.path ?? c.req.path;
}

/** Query parameters that are recorded: booleans and times. Other texts may be secrets. */
const HARMLESS = /^(true|false|\d{4}-\d\d-\d\d(T[\d:.]{5,16}(Z|[+-]\d\d:\d\d)?)?)$/;

function optionsOf(c: Context): string | null {
  const flags = Object.entries(c.req.query()).filter(([, value]) => HARMLESS.test(value));
  return flags.length === 0 ? null : JSON.stringify(Object.fromEntries(flags));
}

const VERBS: Record<string, string> = {
  POST: "create",
  PUT: "replace",
  PATCH: "update",
  DELETE: "delete",
};

/** `POST /api/v1/tasks` is `tasks.create`, `POST /api/v1/tasks/:id/execute` is `tasks.execute`. */
export function nameAction(method: string, route: string): string {
  const parts = route.replace(/^(\/api)?\/v1\//, "").split("/");
  const names = parts.filter((part) => !part.startsWith(":"));
  const isVerb = method === "POST" && names.length > 1 && !parts.at(-1)?.startsWith(":");
  return [...names, ...(isVerb ? [] : [VERBS[method] ?? method])].join(".");
}
