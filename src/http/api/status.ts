import process from "node:process";

import { z } from "@hono/zod-openapi";

import packageJson from "../../../package.json" with { type: "json" };
import { HEALTH_NAMES, type Service, SERVICES } from "../../domain/health.ts";
import { LIST_DATE, LIST_SOURCE } from "../../domain/price-list/list.ts";
import { AppError } from "../../errors.ts";
import { defaultProvider } from "../../services/models.ts";
import { type EngineProbe, serviceHealth, systemStatus } from "../../services/status.ts";
import { failures } from "../failures.ts";
import { route } from "../route.ts";
import { createRouter, json, needs, success, Time, toIso } from "../router.ts";
import { PriceList } from "./models.ts";

const HealthName = z.enum(HEALTH_NAMES).openapi("Health", {
  description:
    "`degraded`: it works, but something needs attention; `unhealthy`: it does not work. `reasons` say why",
});

export const SystemStatus = z
  .object({
    status: HealthName,
    version: z.string(),
    uptime: z.number().int().openapi({ description: "Seconds since this process started" }),
    services: z
      .object(
        Object.fromEntries(SERVICES.map((name) => [name, HealthName])) as Record<
          Service,
          typeof HealthName
        >,
      )
      .openapi("ServicesHealth"),
    reasons: z.array(z.object({ service: z.string(), reason: z.string() }).openapi("StatusReason")),
    provider: z
      .object({
        name: z.string(),
        isSimulator: z.boolean().openapi({
          description: "No provider is configured: the built-in simulator answers, at no cost",
        }),
        defaultModel: z.string(),
      })
      .openapi("DefaultProvider"),
    prices: PriceList,
    caller: z.object({ keyId: z.string(), scopes: z.array(z.string()) }).openapi("StatusCaller", {
      description: "The API key of this request, and its scopes",
    }),
    lastHealthCheck: Time,
  })
  .openapi("SystemStatus", {
    description:
      "`status` is `unhealthy` where the database or the workers are, `degraded` where any other service ails, an alert is open or the files cannot be reached",
  });

export const ServiceStatus = z
  .object({
    service: z.enum(SERVICES),
    status: HealthName,
    reasons: z.array(z.string()),
    details: z.looseObject({}).openapi({
      description:
        "`database`: `queryTime` of a real query in seconds. `openai`: the answer of the default model's provider to a request for its models, at most 30 seconds old, and in `providers` the same of each, with its circuit breaker (`closed`, `open` until `openUntil`, or `half_open`), its refused keys and its `pacers`: for each model and key the limits of a minute (`source`: `open` where none is known, `configured`, `reported` by answers or `learned` from refusals), what remains of them, and until when the provider asked to wait. `workers`: nodes with the age of their last heartbeat, worker threads, what waits, how late the event loop is. `scheduler`: how late fires are. `webhooks`: deliveries that wait",
    }),
  })
  .openapi("ServiceStatus");

const system = route({
  operationId: "getStatus",
  method: "get",
  path: "/status",
  tags: ["status"],
  summary: "Get the status of the system",
  ...needs("read"),
  responses: { 200: json(SystemStatus, "The status of every service, measured now") },
});

const service = route({
  operationId: "getServiceStatus",
  method: "get",
  path: "/status/services/{service}",
  tags: ["status"],
  summary: "Get the status of one service",
  ...needs("read"),
  request: {
    params: z.object({
      service: z
        .string()
        .max(100)
        .openapi({ description: `One of ${SERVICES.join(", ")}` }),
    }),
  },
  responses: {
    200: json(ServiceStatus, "The status of the service, measured now"),
    ...failures(404),
  },
});

export function createStatusRoutes(engine: EngineProbe) {
  return createRouter()
    .openapi(system, async (c) => {
      const { status, services, reasons, checkedAt } = await systemStatus(c.var.ctx, engine);
      return c.json(
        success(c, {
          status,
          version: packageJson.version,
          uptime: Math.floor(process.uptime()),
          services,
          reasons,
          provider: defaultProvider(c.var.ctx.config),
          prices: { source: LIST_SOURCE, date: LIST_DATE },
          caller: { keyId: c.var.caller.keyId, scopes: [...c.var.caller.scopes] },
          lastHealthCheck: toIso(checkedAt),
        }),
        200,
      );
    })
    .openapi(service, async (c) => {
      const name = SERVICES.find((one) => one === c.req.valid("param").service);
      if (!name)
        throw new AppError(
          "SERVICE_NOT_FOUND",
          `There is no such service; there are ${SERVICES.join(", ")}`,
        );
      const health = await serviceHealth(c.var.ctx, engine, name);
      return c.json(success(c, { service: name, ...health }), 200);
    });
}
