/** A call to a provider that ended, in Unix ms. */
export type CallTrace = {
  /** Trace context (`traceparent`) of the request that asked for the run, if there was one. */
  parent: string | null;
  executionId: string;
  attempt: number;
  queuedAt: number;
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

export type RequestTrace = {
  method: string;
  path: string;
  requestId: string;
  traceparent: string | undefined;
};

/** What tells a collector of traces. Off, it does nothing and costs nothing. */
export type Tracing = {
  isOn: boolean;
  /** Trace context of the request that is being answered, for what is done later on its behalf. */
  current(): string | null;
  /** Answers a request within a span of its own; `answer` gives the status and the route it took. */
  request(
    request: RequestTrace,
    answer: () => Promise<{ status: number; route: string }>,
  ): Promise<void>;
  call(call: CallTrace): void;
  /** Sends what has not been sent. */
  stop(): Promise<void>;
};

export const NO_TRACING: Tracing = {
  isOn: false,
  current: () => null,
  async request(_, answer) {
    await answer();
  },
  call() {},
  async stop() {},
};
