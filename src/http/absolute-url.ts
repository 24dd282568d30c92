/**
 * The request with an absolute URL. Without a valid `Host` header (HTTP/1.0 allows that), the runtime's URL is a path
 * or cannot be parsed, so routes and queries would not be found.
 */
export function withAbsoluteUrl(request: Request): Request {
  const { url } = request;
  if (URL.canParse(url)) return request;
  return new Request(`http://localhost${url.replace(/^https?:\/\/[^/?#]*/, "")}`, request);
}
