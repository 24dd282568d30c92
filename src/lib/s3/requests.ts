import { AwsV4Signer } from "aws4fetch";

import type { Clock } from "../clock.ts";
import type { Random } from "../random.ts";
import { StorageError } from "./storage-error.ts";

/** A bucket of an S3 server, and the prefix of all keys. */
export type Bucket = {
  /** Such as `https://s3.eu-central-1.amazonaws.com`. */
  endpoint: string;
  region: string;
  bucket: string;
  /** Empty, or with a slash at its end. */
  prefix: string;
  accessKeyId: string;
  secretAccessKey: string;
};

export type Machine = {
  clock: Pick<Clock, "now" | "monotonic" | "setTimeout" | "sleep">;
  random: Random;
  /** The global `fetch`, without what runtimes add to it. */
  fetch: (url: string, init?: RequestInit) => Promise<Response>;
};

type S3Request = {
  method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** The full key; without one, the request is for the bucket itself. */
  key?: string;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  body?: Uint8Array<ArrayBuffer>;
  /** The expected length of the answer, which determines the time limit. */
  expectBytes?: number;
  /** Statuses that are returned instead of thrown; those below 300 always are. */
  accept?: readonly number[];
};

type S3Answer = { status: number; headers: Headers; body: Uint8Array<ArrayBuffer> };

export type SendToS3 = (request: S3Request) => Promise<S3Answer>;

/** The time limit of a request, besides what its bytes take. */
const PATIENCE_MS = 20_000;
const SLOWEST_BYTES_PER_MS = 128;
const MOST_TRIES = 5;
const RETRY_MS = 200;
const EMPTY = new Uint8Array(0);

/**
 * Sends requests to a bucket, signed (AWS Signature Version 4). Each request and each answer is held in memory as a
 * whole, so it can be sent again, and has a time limit that follows from its size. Transient failures are retried
 * with growing pauses, until `PATIENCE_MS` are over. Throws `StorageError`, which contains nothing of the request.
 */
export function createSender(bucket: Bucket, machine: Machine): SendToS3 {
  const keys = new Map<string, ArrayBuffer>();
  return async (request) => {
    const begun = machine.clock.monotonic();
    for (let tries = 1; ; tries++) {
      const error = await sendOnce(bucket, machine, request, keys).catch((error: unknown) => error);
      if (!(error instanceof Error)) return error as S3Answer;
      const isLate = machine.clock.monotonic() - begun > PATIENCE_MS;
      if (!(error instanceof StorageError && error.isPassing) || isLate || tries === MOST_TRIES)
        throw error;
      await machine.clock.sleep(machine.random() * RETRY_MS * 2 ** tries);
    }
  };
}

async function sendOnce(
  bucket: Bucket,
  { clock, fetch }: Machine,
  request: S3Request,
  keys: Map<string, ArrayBuffer>,
): Promise<S3Answer> {
  const { method, body = EMPTY, expectBytes = 0, accept = [] } = request;
  const { url, headers } = await sign(bucket, request, clock.now(), keys);
  const ms = PATIENCE_MS + (body.length + expectBytes) / SLOWEST_BYTES_PER_MS;
  const giveUp = new AbortController();
  const cancel = clock.setTimeout(() => giveUp.abort(), ms);
  try {
    const response = await fetch(url.href, {
      method,
      headers,
      redirect: "manual",
      signal: giveUp.signal,
      ...(method === "PUT" || method === "POST" ? { body } : {}),
    });
    const answer = new Uint8Array(await response.arrayBuffer());
    const { status } = response;
    const isAccepted = accept.includes(status) && codeIn(answer) !== "NoSuchBucket";
    if (status < 300 || isAccepted) return { status, headers: response.headers, body: answer };
    throw refusalOf(bucket, response, answer);
  } catch (error) {
    if (error instanceof StorageError) throw error;
    const why = giveUp.signal.aborted
      ? `no answer within ${Math.round(ms / 1000)} s`
      : `no connection (${codeOf(error)})`;
    throw new StorageError(`${hostOf(bucket)} cannot be reached: ${why}`, { isPassing: true });
  } finally {
    cancel();
  }
}

async function sign(
  { endpoint, bucket, region, accessKeyId, secretAccessKey }: Bucket,
  { method, key, query = {}, headers = {}, body = EMPTY }: S3Request,
  now: number,
  cache: Map<string, ArrayBuffer>,
) {
  const path = [bucket, ...(key?.split("/") ?? [])].map(encodeURIComponent).join("/");
  const url = new URL(`${endpoint.replace(/\/+$/, "")}/${path}`);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  const hash = Buffer.from(await crypto.subtle.digest("SHA-256", body)).toString("hex");
  const signer = new AwsV4Signer({
    method,
    // Spaces are signed as `%20`, and must be sent so.
    url: url.href.replaceAll("+", "%20"),
    headers: { ...headers, "x-amz-content-sha256": hash },
    accessKeyId,
    secretAccessKey,
    region,
    service: "s3",
    datetime: new Date(now).toISOString().replaceAll(/[:-]|\.\d{3}/g, ""),
    cache,
  });
  return signer.sign();
}

const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);
/** Transient errors with status 400 or 409. */
const PASSING_CODES = new Set(["RequestTimeout", "OperationAborted", "ConditionalRequestConflict"]);

/** The error for a server's refusal. The server's message may repeat what was signed, so only its code is used. */
function refusalOf(bucket: Bucket, { status, headers }: Response, body: Uint8Array): StorageError {
  const code = codeIn(body);
  const why = WHY[code ?? ""]?.(bucket) ?? whyByStatus(bucket, status, headers);
  const isPassing = PASSING.has(status) || (code !== undefined && PASSING_CODES.has(code));
  const said = code === undefined ? `status ${status}` : `status ${status}, ${code}`;
  return new StorageError(`${why} (${hostOf(bucket)}: ${said})`, {
    isPassing,
    code: code ?? String(status),
  });
}

/** The code of an error that the server describes. */
export function codeIn(body: Uint8Array): string | undefined {
  const text = Buffer.from(body.subarray(0, 4096)).toString();
  return /<Error>[^]*?<Code>([A-Za-z0-9.]{1,60})<\/Code>/.exec(text)?.[1];
}

const WHY: Record<string, (bucket: Bucket) => string> = {
  NoSuchBucket: ({ bucket }) => `the bucket ${bucket} does not exist`,
  InvalidAccessKeyId: () => "the server does not know S3_ACCESS_KEY_ID",
  SignatureDoesNotMatch: () => "S3_SECRET_ACCESS_KEY is not that of S3_ACCESS_KEY_ID",
  RequestTimeTooSkewed: () => "the clock of this machine differs from the server's",
  PermanentRedirect: otherRegion,
  AuthorizationHeaderMalformed: otherRegion,
  IllegalLocationConstraintException: otherRegion,
};

function otherRegion({ bucket, region }: Bucket): string {
  return `the bucket ${bucket} is in another region than ${region} (S3_REGION)`;
}

function whyByStatus(bucket: Bucket, status: number, headers: Headers): string {
  if (status === 301 || (headers.has("x-amz-bucket-region") && status === 400))
    return otherRegion(bucket);
  if (status === 401 || status === 403)
    return `the credentials may not do this in the bucket ${bucket.bucket}`;
  if (status === 507) return "the server has no room left";
  if (PASSING.has(status)) return "the server does not do it at present";
  return "the server refuses it";
}

function hostOf({ endpoint }: Bucket): string {
  return new URL(endpoint).host;
}

/**
 * The runtime's code for an error, such as `ConnectionRefused`. The message may contain more than should be reported.
 */
function codeOf(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if ("code" in cause && typeof cause.code === "string") return cause.code.slice(0, 60);
  return "it broke off";
}
