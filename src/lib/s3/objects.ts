import type { Part } from "../file-store.ts";
import { codeIn, type SendToS3 } from "./requests.ts";
import { StorageError } from "./storage-error.ts";

/** An object as the server describes it. */
export type S3Object = { bytes: number; etag: string };

/** A multipart upload that was neither completed nor aborted. */
export type S3Upload = { key: string; uploadId: string; begunAt: number };

/** More are not sent at a time. */
const MOST_LISTED = 1000;

export type S3Objects = ReturnType<typeof createObjects>;

/** The operations on a bucket, by full keys. */
export function createObjects(send: SendToS3) {
  return {
    /** `undefined` if there is no such object. */
    async find(key: string): Promise<S3Object | undefined> {
      const { status, headers } = await send({ method: "HEAD", key, accept: [404] });
      if (status === 404) return undefined;
      return { bytes: Number(headers.get("content-length") ?? 0), etag: headers.get("etag") ?? "" };
    },

    /** A part of one version of an object. */
    async get(key: string, { first, last }: Part, etag: string): Promise<Uint8Array<ArrayBuffer>> {
      const { status, body } = await send({
        method: "GET",
        key,
        headers: { range: `bytes=${first}-${last}`, ...(etag === "" ? {} : { "if-match": etag }) },
        expectBytes: last - first + 1,
        accept: [404, 412, 416],
      });
      if (status >= 400)
        throw new StorageError("it was replaced or removed while it was read", {
          isPassing: true,
        });
      // A server that does not support ranges sends everything.
      const part = status === 206 ? body : body.subarray(first, last + 1);
      if (part.length === last - first + 1) return part;
      throw new StorageError(
        `the server sent ${part.length} bytes instead of ${last - first + 1}`,
        {
          isPassing: true,
        },
      );
    },

    /** The first bytes of an object as text; `undefined` if there is none. */
    async text(key: string, most: number): Promise<string | undefined> {
      const headers = { range: `bytes=0-${most - 1}` };
      const { status, body } = await send({ method: "GET", key, headers, accept: [404, 416] });
      return status >= 400 ? undefined : Buffer.from(body).toString();
    },

    /** Puts an object. With `isFirst`, only if there is none yet. Returns whether it was put. */
    async put(key: string, body: Uint8Array<ArrayBuffer>, isFirst = false): Promise<boolean> {
      const { status } = await send({
        method: "PUT",
        key,
        body,
        ...(isFirst ? { headers: { "if-none-match": "*" }, accept: [409, 412, 501] } : {}),
      });
      return status < 300;
    },

    async remove(key: string): Promise<void> {
      await send({ method: "DELETE", key, accept: [404] });
    },

    async begin(key: string): Promise<string> {
      const { body } = await send({ method: "POST", key, query: { uploads: "" } });
      const uploadId = textIn(Buffer.from(body).toString(), "UploadId");
      if (uploadId !== undefined) return uploadId;
      throw new StorageError("the server's answer has no UploadId", { isPassing: true });
    },

    /** Returns the part's tag. */
    async putPart(
      key: string,
      uploadId: string,
      number: number,
      body: Uint8Array<ArrayBuffer>,
    ): Promise<string> {
      const query = { partNumber: String(number), uploadId };
      const { headers } = await send({ method: "PUT", key, query, body });
      return headers.get("etag") ?? "";
    },

    async complete(key: string, uploadId: string, etags: string[]): Promise<void> {
      const parts = etags.map(
        (etag, i) =>
          `<Part><PartNumber>${i + 1}</PartNumber><ETag>${etag.replaceAll('"', "&quot;")}</ETag></Part>`,
      );
      const { body } = await send({
        method: "POST",
        key,
        query: { uploadId },
        body: new TextEncoder().encode(
          `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${parts.join("")}</CompleteMultipartUpload>`,
        ),
      });
      // The status comes before the work is done.
      const code = codeIn(body);
      if (code === undefined) return;
      throw new StorageError(`the server could not complete the file (${code})`, {
        isPassing: true,
        code,
      });
    },

    async abort(key: string, uploadId: string): Promise<void> {
      await send({ method: "DELETE", key, query: { uploadId }, accept: [404] });
    },

    /** The first thousand unfinished uploads of keys with a prefix. */
    async uploads(prefix: string): Promise<S3Upload[]> {
      const query = { uploads: "", prefix, "encoding-type": "url" };
      const { body } = await send({ method: "GET", query, expectBytes: 1024 * 1024 });
      const { elements } = listed(body, "Upload");
      return elements.map(({ key, xml }) => ({
        key,
        uploadId: textIn(xml, "UploadId") ?? "",
        begunAt: Date.parse(textIn(xml, "Initiated") ?? ""),
      }));
    },

    /** The objects whose keys have a prefix, up to `most` at a time, in the order of their keys. */
    async *list(
      prefix: string,
      most = MOST_LISTED,
    ): AsyncGenerator<{ key: string; changedAt: number }[]> {
      for (let token: string | undefined, isLast = false; !isLast;) {
        const { body } = await send({
          method: "GET",
          query: {
            "list-type": "2",
            "max-keys": String(most),
            prefix,
            "encoding-type": "url",
            ...(token === undefined ? {} : { "continuation-token": token }),
          },
          expectBytes: 1024 * 1024,
        });
        const { text, elements } = listed(body, "Contents");
        yield elements.map(({ key, xml }) => ({
          key,
          changedAt: Date.parse(textIn(xml, "LastModified") ?? ""),
        }));
        token = textIn(text, "NextContinuationToken");
        isLast = token === undefined || textIn(text, "IsTruncated") !== "true";
      }
    },
  };
}

/** The elements of a list in an answer, with their keys. */
function listed(body: Uint8Array, element: string) {
  const text = Buffer.from(body).toString();
  const isEncoded = textIn(text, "EncodingType") === "url";
  const found = text.matchAll(new RegExp(`<${element}>([^]*?)</${element}>`, "g"));
  const elements = [...found].map(([, xml = ""]) => {
    const key = textIn(xml, "Key") ?? "";
    return { xml, key: isEncoded ? decodeURIComponent(key.replaceAll("+", " ")) : key };
  });
  return { text, elements };
}

const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** The text of the first element of a name. */
function textIn(xml: string, name: string): string | undefined {
  const text = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];
  return text?.replaceAll(
    /&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi,
    (all, decimal?: string, hex?: string, entity?: string) =>
      entity === undefined
        ? String.fromCodePoint(decimal === undefined ? parseInt(hex ?? "", 16) : Number(decimal))
        : (ENTITIES[entity] ?? all),
  );
}
