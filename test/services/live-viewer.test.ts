import { expect, test } from "bun:test";
import { connect } from "node:net";

import { createViewer } from "../../src/services/live-viewer.ts";

const PATCH = new TextEncoder().encode(`event: patch\ndata: ${"x".repeat(10_000)}\n\n`);
const STATE = new TextEncoder().encode("event: state\ndata: {}\n\n");
const PATCHES = 6000;

test("a viewer that does not read makes the server keep only a buffer, and gets a whole state later", async () => {
  const { promise: isOver, resolve: end } = Promise.withResolvers<void>();
  const viewer = createViewer({ wholeFrame: () => STATE, onClose: end });
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => new Response(viewer.body),
  });
  const socket = connect(server.port ?? 0, "127.0.0.1");
  socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await new Promise((resolve) => socket.once("data", resolve));
  socket.pause();

  for (let i = 0; i < PATCHES; i++) {
    viewer.push(PATCH);
    await new Promise(setImmediate);
  }
  let text = "";
  socket.setEncoding("latin1");
  const { promise: hasState, resolve: onState } = Promise.withResolvers<void>();
  socket.on("data", (piece: string) => {
    text += piece;
    if (text.slice(-1000).includes("event: state")) onState();
  });
  socket.resume();
  await hasState;

  // The rest of the patches was dropped. What arrives was in the buffers of the sockets.
  expect(text.length).toBeLessThan((PATCHES * PATCH.length) / 2);
  expect(text.lastIndexOf("event: patch")).toBeLessThan(text.lastIndexOf("event: state"));
  socket.destroy();
  await isOver;
});
