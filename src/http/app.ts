import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context as HonoContext, MiddlewareHandler } from "hono";
import { matchedRoutes } from "hono/route";

import type { Context } from "../context.ts";
import { workFor } from "../lib/leaving.ts";
import type { AuditLog } from "../services/audit.ts";
import type { EventHub } from "../services/event-hub.ts";
import type { KeyWatch } from "../services/key-watch.ts";
import type { LiveHub } from "../services/live-hub.ts";
import type { LiveCalls } from "../services/live.ts";
import type { EngineProbe } from "../services/status.ts";
import { createProxyWarning } from "./address.ts";
import { admit } from "./admit.ts";
import { alertRoutes } from "./api/alerts.ts";
import { keyRoutes } from "./api/api-keys.ts";
import { auditRoutes } from "./api/audit.ts";
import { batchCompareRoutes } from "./api/batch-compare.ts";
import { batchEstimateRoutes } from "./api/batch-estimate.ts";
import { batchExecuteRoutes } from "./api/batch-execute.ts";
import { batchMoveRoutes } from "./api/batch-moves.ts";
import { batchOutputRoutes } from "./api/batch-output.ts";
import { batchPreviewRoutes } from "./api/batch-preview.ts";
import { batchRowRoutes } from "./api/batch-rows.ts";
import { batchRoutes } from "./api/batches.ts";
import { eventRoutes } from "./api/events.ts";
import { executionRoutes } from "./api/executions.ts";
import { fileRoutes, isUpload } from "./api/files.ts";
import { liveRoutes } from "./api/live.ts";
import { metricsRoutes } from "./api/metrics.ts";
import { modelRoutes } from "./api/models.ts";
import { scheduleRoutes } from "./api/schedules.ts";
import { createStatusRoutes } from "./api/status.ts";
import { taskMoveRoutes } from "./api/task-moves.ts";
import { taskRoutes } from "./api/tasks.ts";
import { deliveryRoutes } from "./api/webhook-deliveries.ts";
import { webhookRoutes } from "./api/webhooks.ts";
import { audit } from "./audit.ts";
import { readBody } from "./body.ts";
import { createConnections } from "./connections.ts";
import { allowOrigins } from "./cors.ts";
import { addDocs } from "./docs.ts";
import { methodOf, refuseSecondHost } from "./head.ts";
import { addHealth } from "./health.ts";
import { addLlms } from "./llms.ts";
import { addMcp } from "./mcp.ts";
import { errorAnswer, onError, trace } from "./middleware.ts";
import type { FirstLogin } from "./monitor/login.ts";
import { addMonitor } from "./monitor/page.ts";
import { createLiveRoutes } from "./openai/live.ts";
import { requireKnownQuery } from "./openai/query.ts";
import { openAiRoutes } from "./openai/routes.ts";
import { addPrometheus } from "./prometheus.ts";
import { createRememberingRouter } from "./remembering-router.ts";
import type { AppEnv } from "./router.ts";

export type AppOptions = {
  hub: EventHub;
  liveHub: LiveHub;
  keyWatch: KeyWatch;
  auditLog: AuditLog;
  engine: EngineProbe;
  firstLogin: FirstLogin;
  liveCalls: LiveCalls;
};

/** The whole HTTP interface. */
export function createApp(ctx: Context, options: AppOptions) {
  const app = new OpenAPIHono<AppEnv>({ router: createRememberingRouter() });
  app.onError(onError);
  app.use(async (c, next) => {
    c.set("ctx", ctx);
    // A read can be abandoned when the client disconnects; a change is always completed.
    if (c.req.method === "GET") await workFor(c.req.raw.signal, next);
    else await next();
  });
  app.use(trace(ctx));
  app.use(refuseSecondHost);
  const warnOfProxy = createProxyWarning();
  const connections = createConnections(ctx, options.keyWatch);
  options.liveHub.countWith(connections.open);
  app.use(async (c, next) => {
    c.set("hub", options.hub);
    c.set("liveHub", options.liveHub);
    c.set("connections", connections);
    warnOfProxy(c);
    const leave = connections.enter();
    const begun = ctx.clock.monotonic();
    await next();
    ctx.load.noteRequest(ctx.clock.monotonic() - begun);
    leave();
  });
  const admitted = admit(ctx);
  addHealth(app, options.engine, admitted);
  addPrometheus(app, ctx, options.engine);
  const isRunner = ctx.config.role === "runner";
  if (!isRunner) addFace(app, ctx, { ...options, admitted });
  app.notFound((c) => {
    const methods = methodsOf(app, c.req.path);
    if (methods.length === 0 || methods.includes(c.req.method))
      return errorAnswer(
        c,
        "NOT_FOUND",
        isRunner
          ? `This process has ROLE=runner and answers only /healthz, /readyz and /metrics, not ${c.req.path}`
          : `There is nothing at ${c.req.path}; /docs shows all paths, /openapi.json describes them for programs`,
      );
    const allowed = methods.flatMap((one) => (one === "GET" ? ["GET", "HEAD"] : [one]));
    c.header("Allow", allowed.join(", "));
    return errorAnswer(
      c,
      "METHOD_NOT_ALLOWED",
      `${c.req.path} takes ${allowed.join(", ")}, not ${methodOf(c)}`,
    );
  });
  return app;
}

/** The part for users and their programs: docs, monitor and API. */
function addFace(
  app: OpenAPIHono<AppEnv>,
  ctx: Context,
  options: AppOptions & { admitted: MiddlewareHandler<AppEnv> },
): void {
  const { admitted, auditLog, engine, firstLogin, liveCalls } = options;
  addDocs(app);
  addMonitor(app, firstLogin);
  addLlms(app);
  if (ctx.config.corsOrigins.length > 0) {
    for (const path of ["/api/v1/*", "/mcp"]) app.use(path, allowOrigins(ctx.config.corsOrigins));
    app.use("/v1/*", allowOrigins(ctx.config.corsOrigins, { isOpenAi: true }));
  }
  const read = readBody(ctx);
  app.use("/api/v1/*", admitted, audit(auditLog), async (c, next) =>
    takesBody(c) ? read(c, next) : next(),
  );
  app.route("/api/v1", taskRoutes);
  app.route("/api/v1", taskMoveRoutes);
  app.route("/api/v1", executionRoutes);
  app.route("/api/v1", batchCompareRoutes);
  app.route("/api/v1", batchRoutes);
  app.route("/api/v1", batchPreviewRoutes);
  app.route("/api/v1", batchRowRoutes);
  app.route("/api/v1", batchOutputRoutes);
  app.route("/api/v1", batchExecuteRoutes);
  app.route("/api/v1", batchMoveRoutes);
  app.route("/api/v1", batchEstimateRoutes);
  app.route("/api/v1", keyRoutes);
  app.route("/api/v1", metricsRoutes);
  app.route("/api/v1", fileRoutes);
  app.route("/api/v1", eventRoutes);
  app.route("/api/v1", liveRoutes);
  app.route("/api/v1", auditRoutes);
  app.route("/api/v1", modelRoutes);
  app.route("/api/v1", createStatusRoutes(engine));
  app.route("/api/v1", alertRoutes);
  app.route("/api/v1", webhookRoutes);
  app.route("/api/v1", deliveryRoutes);
  app.route("/api/v1", scheduleRoutes);
  addMcp(app, ctx, admitted);
  app.use("/v1/*", admitted);
  // Live calls change nothing, so they are not audited; the usage of their keys shows them.
  for (const kept of ["files", "batches", "webhook_endpoints"])
    app.use(`/v1/${kept}/*`, audit(auditLog), requireKnownQuery, async (c, next) =>
      takesBody(c) ? read(c, next) : next(),
    );
  app.route("/v1", openAiRoutes);
  app.route("/v1", createLiveRoutes(liveCalls, ctx.config.openAiEndpoints));
}

/**
 * Whether a route reads the body of the request. Otherwise the answer is 404 or 405 whatever the body; uploads are
 * read as they arrive.
 */
function takesBody(c: HonoContext<AppEnv>): boolean {
  const { method, path } = c.req;
  return !isUpload(method, path) && matchedRoutes(c).some((route) => route.method === method);
}

/** The methods that a path accepts, whatever the request's method is. */
function methodsOf(app: OpenAPIHono<AppEnv>, path: string): string[] {
  const taken = app.routes.filter(
    (route) => route.method !== "ALL" && matchesPattern(route.path, path),
  );
  return [...new Set(taken.map(({ method }) => method))];
}

function matchesPattern(pattern: string, path: string): boolean {
  const parts = path.split("/");
  const wanted = pattern.split("/");
  // Only the last part of a pattern can match several segments.
  const isOpen = pattern.endsWith("{.+}");
  return (
    (isOpen ? parts.length >= wanted.length : parts.length === wanted.length) &&
    wanted.every((part, i) => (part.startsWith(":") ? parts[i] !== "" : part === parts[i]))
  );
}
