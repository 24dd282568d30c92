/**
 * Matching takes time in proportion to the text, whatever the text is: the class between the braces is the only part
 * of the pattern that can match those characters, so there is no backtracking.
 */
const PLACEHOLDER = /\{\{([^{}]+)\}\}/g;

export type Template = {
  /** The names that its `{{name}}` placeholders ask for, each once. */
  names: readonly string[];
  /** How many characters `render` would return. */
  lengthWith(values: ReadonlyMap<string, string>): number;
  /** The text with each `{{name}}` replaced by its value, if it has one. Values are never read as templates. */
  render(values: ReadonlyMap<string, string>): string;
};

export function parseTemplate(text: string): Template {
  const holes = [...text.matchAll(PLACEHOLDER)].map(([whole, name = ""]) => ({
    whole: whole.length,
    name: name.trim(),
  }));
  return {
    names: [...new Set(holes.map(({ name }) => name))],
    lengthWith: (values) =>
      holes.reduce(
        (sum, { whole, name }) => sum + (values.get(name)?.length ?? whole) - whole,
        text.length,
      ),
    render: (values) =>
      text.replace(PLACEHOLDER, (whole, name: string) => values.get(name.trim()) ?? whole),
  };
}
