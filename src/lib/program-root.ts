/**
 * The root of the files that come with the program: migrations, the page, entry modules of threads. In the binary of
 * `bun run compile` the whole program is one module, at the same depth of the tree as this one.
 */
export const PROGRAM_ROOT = new URL("../../", import.meta.url);
