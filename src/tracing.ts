import { AsyncLocalStorage } from "node:async_hooks";

import {
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
} from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";

import packageJson from "../package.json" with { type: "json" };
import type { Config } from "./config.ts";
import type { CallTrace, Tracing } from "./lib/tracing.ts";

/**
 * Tells an OpenTelemetry collector (OTLP over HTTP, JSON) of requests and calls. Loaded only where
 * OTEL_EXPORTER_OTLP_ENDPOINT is set. A call belongs to the request that asked for it, however much
 * later and by whichever process it is made: the queue carries the context. Prompts and answers are
 * not told.
 */
export function startTracing(endpoint: string, providers: Config["providers"]): Tracing {
  const url = `${endpoint.replace(/\/+$/, "")}/v1/traces`;
  const tracers = new TracerProvider({
    resource: resourceFromAttributes({
      "service.name": packageJson.name,
      "service.version": packageJson.version,
    }),
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
    call(call) {
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
        contextOf(call.parent),
      );
      const span = tracer.startSpan(
        `${call.operation} ${call.model}`,
        {
          kind: SpanKind.CLIENT,
          startTime: call.startedAt,
          attributes: genAi(call, servers.get(call.provider)),
        },
        trace.setSpan(ROOT_CONTEXT, attempt),
      );
      if (call.error !== null)
        for (const one of [span, attempt])
          one.setStatus({ code: SpanStatusCode.ERROR, message: call.error });
      span.end(call.endedAt);
      attempt.end(call.endedAt);
    },
    stop: () => tracers.shutdown(),
  };
}

/** OpenTelemetry's semantic conventions for calls to generative models. */
function genAi(call: CallTrace, server: URL | undefined) {
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

function toTraceparent(span: Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
}

/** W3C Trace Context; whatever is no valid `traceparent` counts as none. */
function contextOf(traceparent: string | null): Context {
  const [, traceId, spanId, flags] =
    /^00-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})$/.exec(traceparent ?? "") ?? [];
  if (!traceId || !spanId || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags ?? "0", 16) & TraceFlags.SAMPLED,
    isRemote: true,
  });
}
