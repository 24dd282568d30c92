export function Badge({ status, children }: { status: string; children?: string }) {
  return <span class={`badge ${status}`}>{children ?? status}</span>;
}
