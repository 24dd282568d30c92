import { signal } from "@preact/signals";

import type { Scope } from "../../../../domain/scope.ts";
import { draftName, keyName } from "./key-name.ts";

type Issue = { path?: string; message?: string };

/** An error of the API, or no answer: then `status` is 0. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly code: string;
  /** The issues of the request, if it was invalid. */
  readonly issues: Issue[];

  constructor(status: number, code: string, message: string, issues: Issue[] = []) {
    super(message);
    this.status = status;
    this.code = code;
    this.issues = issues;
  }
}

/** The URL of the server, also below the path of a proxy: the parent of this file's folder. */
const ROOT = new URL("..", import.meta.url);
const KEY_NAME = keyName(ROOT);

/** The key of this tab; `undefined` if nobody is logged in. */
export const key = signal<string | undefined>(sessionStorage.getItem(KEY_NAME) ?? undefined);
/** What the key may do, from `/status`. */
export const scopes = signal<readonly Scope[]>([]);
/** Why the last session ended, if it did not end by logging out. */
export const ended = signal("");

export function may(scope: Scope): boolean {
  const order: Scope[] = ["read", "write", "admin"];
  return scopes.value.some((one) => order.indexOf(one) >= order.indexOf(scope));
}

export function logIn(text: string): void {
  sessionStorage.setItem(KEY_NAME, text);
  key.value = text;
  ended.value = "";
}

/** Ends the session. If the user ends it, the draft goes too: the next user of this tab may be another. */
export function logOut(why = ""): void {
  sessionStorage.removeItem(KEY_NAME);
  if (why === "") sessionStorage.removeItem(draftName(ROOT));
  ended.value = why;
  scopes.value = [];
  key.value = undefined;
}

export const addressOf = (path: string): string => new URL(`api/v1${path}`, ROOT).href;
export const pageAddress = (): string => new URL(ROOT).href;

type Options = {
  body?: unknown;
  signal?: AbortSignal;
  headers?: Record<string, string>;
  /** The answer, if the request was sent before. */
  sent?: Promise<Response> | undefined;
};

/** Sends a request with the key of this tab. Throws `ApiError`. */
export async function request(
  method: string,
  path: string,
  options: Options = {},
): Promise<Response> {
  const { body, signal } = options;
  const mine = key.value;
  if (mine === undefined) throw new ApiError(401, "UNAUTHORIZED", "You are not logged in");
  const isRaw = body instanceof FormData || body === undefined;
  const send = () =>
    fetch(addressOf(path), {
      method,
      headers: {
        authorization: `Bearer ${mine}`,
        ...(isRaw ? {} : { "content-type": "application/json" }),
        ...options.headers,
      },
      ...(signal ? { signal } : {}),
      ...(body === undefined ? {} : { body: isRaw ? body : JSON.stringify(body) }),
    });
  const response = await (options.sent ?? send()).catch((error: unknown) => {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "UNREACHABLE", "The server cannot be reached");
  });
  if (response.ok) return response;
  throw refusal(response.status, await response.json().catch(() => ({})), mine);
}

/** The error of an answer. If it says that the key is invalid, the session ends. */
export function refusal(status: number, body: unknown, usedKey: string): ApiError {
  const answer = body as {
    error?: { code?: string; message?: string; details?: { issues?: Issue[] } };
  };
  const { code = "ERROR", message = `The server answered ${status}` } = answer.error ?? {};
  // A late answer to a request with an earlier key says nothing about the current one.
  if (status === 401 && usedKey === key.value) logOut("The API key is no longer valid");
  return new ApiError(status, code, message, answer.error?.details?.issues);
}

export async function call<T>(
  method: string,
  path: string,
  body?: unknown,
  options: Options = {},
): Promise<T> {
  const response = await request(method, path, { ...options, body });
  return ((await response.json()) as { data: T }).data;
}

export const get = <T>(path: string, signal?: AbortSignal): Promise<T> =>
  call<T>("GET", path, undefined, signal ? { signal } : {});
export const post = <T>(path: string, body?: unknown): Promise<T> => call<T>("POST", path, body);
export const patch = <T>(path: string, body: unknown): Promise<T> => call<T>("PATCH", path, body);
export const remove = (path: string): Promise<unknown> => call("DELETE", path);

export async function download(path: string, name: string): Promise<void> {
  const blob = await (await request("GET", path)).blob();
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
