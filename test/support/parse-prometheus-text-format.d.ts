declare module "parse-prometheus-text-format" {
  const parse: (text: string) => unknown[];
  // oxlint-disable-next-line import/no-default-export -- The package has no other export.
  export default parse;
}
