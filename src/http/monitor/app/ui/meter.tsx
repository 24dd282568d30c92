type Props = {
  value: number;
  most: number;
  label: string;
  text: string;
  /** It is worth a warning when it is nearly full. */
  isLimit?: boolean;
};

const NEARLY_FULL = 0.9;

/** How much there is of the most that there can be. */
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
