import { createSocket } from "node:dgram";
import type { AddressInfo } from "node:net";

/** The parts of a service in compose.yaml that tests read. */
export type Service = {
  profiles?: string[];
  restart: string;
  environment: Record<string, string>;
  env_file?: { path: string; required: boolean }[];
  volumes: string[];
  ports?: string[];
  healthcheck: { test: string[] };
  depends_on?: string[] | Record<string, { condition: string }>;
  stop_grace_period: string;
  extra_hosts?: string[];
  logging: { driver: string; options: Record<string, string> };
};

/** The services of compose.yaml, with its anchors resolved. */
export async function readCompose(): Promise<Record<string, Service>> {
  const { services } = Bun.YAML.parse(await Bun.file("compose.yaml").text()) as {
    services: Record<string, Service>;
  };
  return services;
}

/** The variables that the Dockerfile sets, and its commands. */
export async function readDockerfile() {
  const text = (await Bun.file("Dockerfile").text()).replaceAll("\\\n", " ");
  const lists = (word: string): string[] =>
    JSON.parse(new RegExp(`\\b${word} .*?(\\[.*\\])$`, "m").exec(text)?.[1] ?? "[]");
  const env = [...text.matchAll(/^ENV (.*)$/gm)].flatMap(([, line = ""]) =>
    line.split(/\s+/).map((pair) => pair.split("=")),
  );
  return {
    text,
    env: Object.fromEntries(env) as Record<string, string>,
    command: asHere(/^CMD (.*)$/m.exec(text)?.[1] ?? "[]"),
    healthCheck: lists("HEALTHCHECK"),
  };
}

function asHere(list: string): string[] {
  const [program = "", ...rest] = JSON.parse(list) as string[];
  return [program === "bun" ? process.execPath : program, ...rest];
}

/** The environment of a container, as Docker Compose merges it: the image's, then `.env`, then the service's. */
export function environmentOf(
  image: Record<string, string>,
  dotEnv: Record<string, string>,
  { environment, env_file }: Service,
): Record<string, string> {
  return { ...image, ...(env_file ? dotEnv : {}), ...environment };
}

/** A name server that answers every name with these addresses, as Docker's does for the name of a service. */
export async function startNames(addresses: string[]) {
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    // An empty label ends the name; the type and the class follow.
    const question = query.subarray(12, query.indexOf(0, 12) + 5);
    const header = Buffer.alloc(12);
    query.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x81_80, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(addresses.length, 6);
    const answers = addresses.map((address) =>
      Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, ...address.split(".").map(Number)]),
    );
    socket.send(Buffer.concat([header, question, ...answers]), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  const { port } = socket.address() as AddressInfo;
  return { address: `127.0.0.1:${port}`, [Symbol.dispose]: () => socket.close() };
}
