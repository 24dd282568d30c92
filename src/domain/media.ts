/** Image types that every provider with image input accepts. */
const IMAGES: readonly [type: string, begins: (text: string) => boolean][] = [
  ["image/png", (text) => text.startsWith("\x89PNG\r\n\x1a\n")],
  ["image/jpeg", (text) => text.startsWith("\xff\xd8\xff")],
  ["image/gif", (text) => text.startsWith("GIF87a") || text.startsWith("GIF89a")],
  ["image/webp", (text) => text.startsWith("RIFF") && text.startsWith("WEBP", 8)],
];

/** Types of documents by name, for files whose first bytes do not show them. */
const BY_EXTENSION = new Map(
  Object.entries({
    txt: "text/plain",
    md: "text/markdown",
    csv: "text/csv",
    tsv: "text/tab-separated-values",
    html: "text/html",
    htm: "text/html",
    xml: "text/xml",
    json: "application/json",
    jsonl: "application/jsonl",
    rtf: "application/rtf",
    doc: "application/msword",
    xls: "application/vnd.ms-excel",
    ppt: "application/vnd.ms-powerpoint",
    docx: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    xlsx: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    pptx: "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    odt: "application/vnd.oasis.opendocument.text",
  }),
);

/** The number of bytes at the start of a file that show its type. */
export const SIGNATURE_BYTES = 16;

/** The media type of a file, by its first bytes or else its name. */
export function mediaTypeOf(name: string, start: Uint8Array): string {
  const text = String.fromCharCode(...start);
  const image = IMAGES.find(([, begins]) => begins(text));
  if (image) return image[0];
  if (text.startsWith("%PDF-")) return "application/pdf";
  const [, extension = ""] = /\.([A-Za-z0-9]+)$/.exec(name) ?? [];
  return BY_EXTENSION.get(extension.toLowerCase()) ?? "application/octet-stream";
}

export function isImage(type: string): boolean {
  return IMAGES.some(([known]) => known === type);
}

/** Whether documents of a type are text, of which about four bytes are a token. */
export function isText(type: string): boolean {
  return type.startsWith("text/") || type === "application/json" || type === "application/jsonl";
}
