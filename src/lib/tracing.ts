/** Identifies an execution, whichever process reports it. Times are Unix ms. */
export type ExecutionName = {
  /** Trace context (`traceparent`) of the request that started the run, if there was one. */
  parent: string | null;
  executionId: string;
  queuedAt: number;
};

/** An execution that ended. */
export type ExecutionTrace = ExecutionName & {
  endedAt: number;
  model: string;
  attempts: number;
  status: "completed" | "failed" | "cancelled";
  /** What went wrong, of few different words. */
  error: string | null;
};

/** The result of a call to a provider. */
type CallEnd = {
  startedAt: number;
  endedAt: number;
  operation: string;
  provider: string;
  model: string;
  answeredBy: string | null;
  requestId: string | null;
  promptTokens: number | null;
  completionTokens: number | null;
  /** What went wrong, of few different words. */
  error: string | null;
};

/** An ended call of an execution. */
export type CallTrace = ExecutionName & CallEnd & { attempt: number };

/** An ended live call; `parent` is the trace context of the request that waited for it. */
export type LiveTrace = CallEnd & { parent: string | null };

type RequestTrace = {
  method: string;
  path: string;
  requestId: string;
  traceparent: string | undefined;
};

/** An attempt to post an event to a webhook. */
export type DeliveryTrace = {
  /** Trace context of the event. */
  parent: string | null;
  startedAt: number;
  endedAt: number;
  url: string;
  webhookId: string;
  messageId: string;
  eventType: string;
  /** Counted from 1. */
  attempt: number;
  status: number | null;
  /** What went wrong, from a small set of words; null if it was delivered. */
  error: string | null;
};

/** Sends spans to a collector. When it is off it does nothing and costs nothing. */
export type Tracing = {
  isOn: boolean;
  /** Trace context of the current request, for work that is done later on its behalf. */
  current(): string | null;
  /** Answers a request within a span of its own; `answer` gives the status and the route it took. */
  request(
    request: RequestTrace,
    answer: () => Promise<{ status: number; route: string }>,
  ): Promise<void>;
  call(call: CallTrace): void;
  live(call: LiveTrace): void;
  execution(execution: ExecutionTrace): void;
  delivery(delivery: DeliveryTrace): void;
  /** Sends the remaining spans. */
  stop(): Promise<void>;
};

export const NO_TRACING: Tracing = {
  isOn: false,
  current: () => null,
  async request(_, answer) {
    await answer();
  },
  call() {},
  live() {},
  execution() {},
  delivery() {},
  async stop() {},
};
