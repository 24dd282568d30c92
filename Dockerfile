# The base image is an argument, so that a mirror or an image of your own can take its place; it
# needs nothing but Bun.
ARG BUN_IMAGE=oven/bun:1.4.5-slim

FROM ${BUN_IMAGE} AS dependencies
WORKDIR /app
COPY package.json bun.lock ./
RUN bun install --frozen-lockfile --production --ignore-scripts

FROM ${BUN_IMAGE}
WORKDIR /app
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 DATA_DIR=/data
# Unless told, Bun makes at most 256 HTTP requests at a time, and collects garbage as if all of the
# machine's memory were its own.
ENV BUN_CONFIG_MAX_HTTP_REQUESTS=65535 BUN_JSC_forceRAMSize=268435456
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY drizzle ./drizzle
COPY src ./src
# A number, because the base image may have no user of ours. It owns nothing but the data.
RUN mkdir /data && chown 10001:10001 /data
USER 10001:10001
VOLUME /data
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["bun", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/readyz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["bun", "src/main.ts"]
