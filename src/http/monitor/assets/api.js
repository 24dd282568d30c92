// Calls to the API with the key of this tab.

// Another server of the same origin, below another path of the proxy, must not be sent this one's key.
const KEY = `gpt-task-runner-key ${new URL("..", import.meta.url).pathname}`;

class ApiError extends Error {
  constructor(status, code, message, details) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

export const session = {
  get key() {
    return sessionStorage.getItem(KEY);
  },
  set key(key) {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  },
  /** Scopes of the key, from `/status`. */
  scopes: [],
  canWrite() {
    return this.scopes.includes("write") || this.scopes.includes("admin");
  },
};

/** Where a path of the API is, also behind a proxy that puts the server below a path of its own. */
export const addressOf = (path) => new URL(`../api/v1${path}`, import.meta.url).href;

let pausedUntil = 0;

async function request(method, path, body) {
  if (method === "GET" && Date.now() < pausedUntil)
    throw new ApiError(429, "RATE_LIMIT_EXCEEDED", "Too many requests; waiting a little");
  const isForm = body instanceof FormData;
  const { key } = session;
  const response = await fetch(addressOf(path), {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(body === undefined || isForm ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: isForm ? body : JSON.stringify(body) }),
  }).catch(() => {
    throw new ApiError(0, "UNREACHABLE", "The server cannot be reached");
  });
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  if (response.status === 429)
    pausedUntil = Date.now() + 1000 * Number(response.headers.get("retry-after") ?? 5);
  const {
    code = "ERROR",
    message = `The server answered ${response.status}`,
    details,
  } = answer.error ?? {};
  const error = new ApiError(response.status, code, message, details);
  // An answer that comes late, when another key is in use, says nothing of that one.
  error.isOfOtherKey = key !== session.key;
  throw error;
}

export async function call(method, path, body) {
  return (await (await request(method, path, body)).json()).data;
}

export const get = (path) => call("GET", path);
export const post = (path, body) => call("POST", path, body);

export async function download(path, name) {
  const blob = await (await request("GET", path)).blob();
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
