const PLACEHOLDER = /\{\{\s*([^{}]+?)\s*\}\}/g;

/** The names that a template's `{{name}}` placeholders ask for, each once. */
export function placeholders(template: string): string[] {
  return [...new Set([...template.matchAll(PLACEHOLDER)].map((match) => match[1] ?? ""))];
}

/** The template with each `{{name}}` replaced by its value. Values are never read as templates. */
export function fillTemplate(template: string, values: ReadonlyMap<string, string>): string {
  return template.replace(PLACEHOLDER, (whole, name: string) => values.get(name) ?? whole);
}
