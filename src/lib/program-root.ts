/**
 * Where the files lie that come with the program: migrations, the page, entries of threads. In the binary of
 * `bun run compile` all of the program is one module, at a place as deep in the tree as this one.
 */
export const PROGRAM_ROOT = new URL("../../", import.meta.url);
