import { addressOf, ApiError, key, refusal } from "./client.ts";
import type { StoredFile } from "./wire.ts";

/** Uploads a file and reports how much of it is sent, from 0 to 1: `fetch` does not. Throws `ApiError`. */
export function upload(
  file: File,
  onProgress: (share: number) => void,
  signal: AbortSignal,
): Promise<StoredFile> {
  const mine = key.value;
  if (mine === undefined) throw new ApiError(401, "UNAUTHORIZED", "You are not logged in");
  const request = new XMLHttpRequest();
  request.open("POST", addressOf("/files"));
  request.setRequestHeader("authorization", `Bearer ${mine}`);
  request.responseType = "json";
  request.upload.addEventListener("progress", ({ loaded, total }) => onProgress(loaded / total));
  signal.addEventListener("abort", () => request.abort());
  const { promise, resolve, reject } = Promise.withResolvers<StoredFile>();
  request.addEventListener("load", () => {
    const { status, response } = request;
    if (status < 300) resolve((response as { data: StoredFile }).data);
    else reject(refusal(status, response ?? {}, mine));
  });
  request.addEventListener("error", () =>
    reject(new ApiError(0, "UNREACHABLE", "The server cannot be reached, or refused the file")),
  );
  request.addEventListener("abort", () =>
    reject(new ApiError(0, "STOPPED", "The upload was stopped")),
  );
  const body = new FormData();
  body.append("file", file, file.name);
  request.send(body);
  return promise;
}
