type Props = {
  value: number;
  most: number;
  label: string;
  text: string;
  /** Warn when it is nearly full. */
  isLimit?: boolean;
};

const NEARLY_FULL = 0.9;

/** Shows a value as a share of its maximum. */
export function Meter({ value, most, label, text, isLimit = false }: Props) {
  const share = most === 0 ? 1 : Math.min(1, value / most);
  return (
    <div
      class="progress"
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(share * 100)}
      aria-valuetext={text}
    >
      <i
        class={isLimit && share >= NEARLY_FULL ? "failed" : "done"}
        style={{ width: `${share * 100}%` }}
      />
    </div>
  );
}
