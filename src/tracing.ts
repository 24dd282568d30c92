import { AsyncLocalStorage } from "node:async_hooks";
import { createHash } from "node:crypto";

import {
  type Context,
  defaultTextMapGetter,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Tracer,
} from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, RandomIdGenerator, TracerProvider } from "@opentelemetry/sdk-trace";

import packageJson from "../package.json" with { type: "json" };
import type { Config } from "./config.ts";
import type {
  CallTrace,
  DeliveryTrace,
  ExecutionName,
  ExecutionTrace,
  LiveTrace,
  Tracing,
} from "./lib/tracing.ts";

/** W3C Trace Context. */
const propagator = new W3CTraceContextPropagator();

/**
 * Sends spans of requests, executions, calls and webhooks to an OpenTelemetry collector (OTLP over
 * HTTP, JSON). Loaded only if OTEL_EXPORTER_OTLP_ENDPOINT is set. All of them belong to the request
 * that caused them, however much later and in whichever process they happen: the queue, the
 * event log and the deliveries carry its context. Prompts and answers are not sent.
 *
 *   request ─┬─ live call to a provider
 *            ├─ execution ─┬─ attempt ── call to the provider
 *            │             └─ attempt ── call to the provider
 *            └─ attempt to deliver an event to a webhook
 */
export function startTracing(endpoint: string, providers: Config["providers"]): Tracing {
  const ids = createIds();
  const url = `${endpoint.replace(/\/+$/, "")}/v1/traces`;
  const tracers = new TracerProvider({
    resource: resourceFromAttributes({
      "service.name": packageJson.name,
      "service.version": packageJson.version,
    }),
    idGenerator: ids,
    spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url }) })],
  });
  const tracer = tracers.getTracer(packageJson.name, packageJson.version);
  const active = new AsyncLocalStorage<Span>();
  const servers = new Map(
    providers.flatMap((one) => (one.kind === "openai" ? [[one.name, new URL(one.baseUrl)]] : [])),
  );

  return {
    isOn: true,
    current() {
      const span = active.getStore();
      return span ? toTraceparent(span) : null;
    },
    async request({ method, path, requestId, traceparent }, answer) {
      const attributes = {
        "http.request.method": method,
        "url.path": path,
        "gptrunner.request_id": requestId,
      };
      const span = tracer.startSpan(
        method,
        { kind: SpanKind.SERVER, attributes },
        contextOf(traceparent ?? null),
      );
      try {
        const { status, route } = await active.run(span, answer);
        span.updateName(`${method} ${route}`);
        span.setAttributes({ "http.route": route, "http.response.status_code": status });
        if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
      } finally {
        span.end();
      }
    },
    call: (call) => announceCall(tracer, servers.get(call.provider), call),
    live: (call) => spanOfCall(tracer, servers.get(call.provider), call, contextOf(call.parent)),
    execution: (execution) => announceExecution(tracer, ids, execution),
    delivery: (delivery) => announceDelivery(tracer, delivery),
    stop: () => tracers.shutdown(),
  };
}

function announceCall(tracer: Tracer, server: URL | undefined, call: CallTrace): void {
  const attempt = tracer.startSpan(
    "attempt",
    {
      kind: SpanKind.INTERNAL,
      startTime: call.startedAt,
      attributes: {
        "gptrunner.execution_id": call.executionId,
        "gptrunner.attempt": call.attempt,
        "gptrunner.waited_ms": call.startedAt - call.queuedAt,
      },
    },
    trace.setSpanContext(ROOT_CONTEXT, spanOf(call)),
  );
  spanOfCall(tracer, server, call, trace.setSpan(ROOT_CONTEXT, attempt));
  end(attempt, call);
}

/** The span of the HTTP request to the provider. */
function spanOfCall(
  tracer: Tracer,
  server: URL | undefined,
  call: CallTrace | LiveTrace,
  parent: Context,
): void {
  const span = tracer.startSpan(
    `${call.operation} ${call.model}`,
    { kind: SpanKind.CLIENT, startTime: call.startedAt, attributes: genAi(call, server) },
    parent,
  );
  end(span, call);
}

function announceExecution(
  tracer: Tracer,
  ids: ReturnType<typeof createIds>,
  execution: ExecutionTrace,
): void {
  const attributes = {
    "gptrunner.execution_id": execution.executionId,
    "gptrunner.attempts": execution.attempts,
    "gptrunner.status": execution.status,
    "gen_ai.request.model": execution.model,
    ...(execution.error === null ? {} : { "error.type": execution.error }),
  };
  const span = ids.with(spanOf(execution), () =>
    tracer.startSpan(
      "execution",
      { kind: SpanKind.INTERNAL, startTime: execution.queuedAt, attributes },
      contextOf(execution.parent),
    ),
  );
  end(span, execution);
}

function announceDelivery(tracer: Tracer, delivery: DeliveryTrace): void {
  const span = tracer.startSpan(
    "POST webhook",
    { kind: SpanKind.CLIENT, startTime: delivery.startedAt, attributes: http(delivery) },
    contextOf(delivery.parent),
  );
  end(span, delivery);
}

function end(span: Span, { error, endedAt }: { error: string | null; endedAt: number }): void {
  if (error !== null) span.setStatus({ code: SpanStatusCode.ERROR, message: error });
  span.end(endedAt);
}

/** OpenTelemetry's semantic conventions for calls to generative models. */
function genAi(call: CallTrace | LiveTrace, server: URL | undefined) {
  return {
    "gen_ai.operation.name": call.operation,
    "gen_ai.provider.name": call.provider,
    "gen_ai.request.model": call.model,
    ...(call.answeredBy === null ? {} : { "gen_ai.response.model": call.answeredBy }),
    ...(call.requestId === null ? {} : { "gptrunner.provider_request_id": call.requestId }),
    ...(call.promptTokens === null ? {} : { "gen_ai.usage.input_tokens": call.promptTokens }),
    ...(call.completionTokens === null
      ? {}
      : { "gen_ai.usage.output_tokens": call.completionTokens }),
    ...(call.error === null ? {} : { "error.type": call.error }),
    ...(server ? { "server.address": server.hostname } : {}),
    ...(server?.port ? { "server.port": Number(server.port) } : {}),
  };
}

/**
 * OpenTelemetry's semantic conventions for HTTP clients, without the URL, because many receivers have a secret in its
 * path.
 */
function http(delivery: DeliveryTrace) {
  const url = new URL(delivery.url);
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  return {
    "http.request.method": "POST",
    "url.scheme": url.protocol.slice(0, -1),
    "server.address": url.hostname,
    "server.port": port,
    ...(delivery.status === null ? {} : { "http.response.status_code": delivery.status }),
    ...(delivery.attempt > 1 ? { "http.request.resend_count": delivery.attempt - 1 } : {}),
    ...(delivery.error === null ? {} : { "error.type": delivery.error }),
    "gptrunner.webhook_id": delivery.webhookId,
    "gptrunner.webhook_message_id": delivery.messageId,
    "gptrunner.event_type": delivery.eventType,
    "gptrunner.attempt": delivery.attempt,
    "gptrunner.outcome": delivery.error === null ? "delivered" : "failed",
  };
}

/**
 * The span of an execution. Its attempts name it as their parent before it has ended, maybe from another process, so
 * its ids are derived from facts that all of them know. Without a request it is the root of a trace.
 */
function spanOf({ parent, executionId, queuedAt }: ExecutionName): SpanContext {
  const hash = createHash("sha256")
    .update(`${parent ?? ""} ${executionId} ${queuedAt}`)
    .digest("hex");
  const above = trace.getSpanContext(contextOf(parent));
  return {
    traceId: above?.traceId ?? hash.slice(16, 48),
    spanId: hash.slice(0, 16),
    traceFlags: above?.traceFlags ?? TraceFlags.SAMPLED,
  };
}

/** Random ids, except for a span that is started within `with`. */
function createIds() {
  const random = new RandomIdGenerator();
  let given: SpanContext | undefined;
  return {
    generateTraceId: () => given?.traceId ?? random.generateTraceId(),
    generateSpanId: () => given?.spanId ?? random.generateSpanId(),
    with<T>(ids: SpanContext, start: () => T): T {
      given = ids;
      try {
        return start();
      } finally {
        given = undefined;
      }
    },
  };
}

function toTraceparent(span: Span): string | null {
  const headers: { traceparent?: string } = {};
  propagator.inject(trace.setSpan(ROOT_CONTEXT, span), headers, defaultTextMapSetter);
  return headers.traceparent ?? null;
}

/** An invalid `traceparent` is ignored. */
function contextOf(traceparent: string | null): Context {
  return propagator.extract(ROOT_CONTEXT, { traceparent }, defaultTextMapGetter);
}
