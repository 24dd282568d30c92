/**
 * The request with an absolute URL. Where HTTP/1.0 gives no `Host`, or that is none, the runtime's
 * URL is a path or nothing that can be read, and routes and queries would not be found in it.
 */
export function withAbsoluteUrl(request: Request): Request {
  const { url } = request;
  if (URL.canParse(url)) return request;
  return new Request(`http://localhost${url.replace(/^https?:\/\/[^/?#]*/, "")}`, request);
}
