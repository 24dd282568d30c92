# The base image is an argument, so that you can use a mirror or your own image. It needs only Bun.
ARG BUN_IMAGE=oven/bun:1.4.5-slim

FROM ${BUN_IMAGE} AS dependencies
WORKDIR /app
COPY package.json bun.lock ./
# Only the files of packages that run are kept, and licences: no source maps, types, sources of compiled code, manuals,
# or libSQL for the other C library.
RUN bun install --frozen-lockfile --production --ignore-scripts \
  && rm -rf node_modules/bun-types/docs node_modules/.cache \
  && find node_modules -type f \( -name '*.map' -o -name '*.ts' -o -name '*.[cm]ts' -o -name '*.md' -o -name '*.mdx' \) -delete \
  && if ldd --version 2>&1 | grep -q musl; then rm -rf node_modules/@libsql/linux-*-gnu; else rm -rf node_modules/@libsql/linux-*-musl; fi \
  && find node_modules -type d -empty -delete

# The page is bundled with its packages, from sources that the server does not need.
FROM dependencies AS page
COPY package.json ./
COPY src ./src
RUN bun run build

FROM ${BUN_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="GPT Task Runner" \
  org.opencontainers.image.description="A self-hosted REST API that runs LLM work in bulk: durable, paced, observable." \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
WORKDIR /app
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 DATA_DIR=/data
# By default Bun makes at most 256 HTTP requests at a time, and collects garbage as if it owned all memory of the
# machine.
ENV BUN_CONFIG_MAX_HTTP_REQUESTS=65535 BUN_JSC_forceRAMSize=536870912
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY drizzle ./drizzle
COPY src ./src
COPY --from=page /app/dist ./dist
# A number, because the base image may not have a named user. The user owns only the data. The link is for relative
# values as in .env.example (./data).
RUN mkdir /data && chown 10001:10001 /data && ln -s /data data
USER 10001:10001
VOLUME /data
EXPOSE 3000
# The OCI image format has no health check, so compose.yaml repeats it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["bun", "src/ready.ts"]
CMD ["bun", "src/main.ts"]
