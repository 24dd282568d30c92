type Counts = {
  total: number;
  completed: number;
  failed: number;
  running: number;
  cancelled: number;
};

export function Progress({ of, label }: { of: Counts; label: string }) {
  const { total, completed, failed, running, cancelled } = of;
  const share = (n: number) => `${total === 0 ? 0 : (100 * n) / total}%`;
  const ended = completed + failed + cancelled;
  return (
    <div
      class="progress"
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={total === 0 ? 0 : Math.round((100 * ended) / total)}
    >
      <i class="done" style={{ width: share(completed) }} />
      <i class="failed" style={{ width: share(failed) }} />
      <i class="running" style={{ width: share(running) }} />
    </div>
  );
}
